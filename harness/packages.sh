#!/bin/sh
# Install the Debian packages that are missing, or say which.
#
#	harness/packages.sh		to build and to run
#	harness/packages.sh lint	to check the style, too
#	harness/packages.sh plots	to draw, too
#	harness/packages.sh kunit	to run kunit.py, too
#	harness/packages.sh docs	to render documentation, too
#	harness/packages.sh dump	to read dumps, too
#	harness/packages.sh matrix	to compile for other machines, too
#	harness/packages.sh upstream	to compile and run other suites, too
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

build="bc binutils bison cpio flex gcc git kmod libc6-dev libelf-dev
	libssl-dev make rsync xz-utils"
# busybox-static: the guest has no dynamic loader for its shell.
guest="busybox-static coreutils e2fsprogs util-linux qemu-system-x86"
# prove reads the TAP, checkpatch.pl needs the same package.
test=perl
# The two modules: checkpatch.pl looks at licences with them.
lint="clang-format python3-git python3-ply shellcheck sparse"

wanted="$build $guest $test"
[ -z "${CROSS_COMPILE-}" ] ||
	wanted="$wanted gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm"
[ "${1-}" != lint ] || wanted="$wanted $lint"
[ "${1-}" != plots ] || wanted="$wanted gnuplot-nox"
[ "${1-}" != kunit ] || wanted="$wanted python3"
[ "${1-}" != docs ] || wanted="$wanted python3-sphinx python3-sphinx-rtd-theme"
[ "${1-}" != dump ] || wanted="$wanted makedumpfile"
[ "${1-}" != matrix ] || wanted="$wanted clang gcc-aarch64-linux-gnu"
[ "${1-}" != upstream ] ||
	wanted="$wanted bash libcap-dev libnuma-dev liburing-dev stress-ng"

# Elsewhere the build itself will say what it lacks.
command -v dpkg-query >/dev/null || exit 0

# shellcheck disable=SC2086 # a list of names
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
	sed -n 's/ installed$//p') || true
missing=
for package in $wanted; do
	printf '%s\n' "$installed" | grep -qx "$package" ||
		missing="$missing $package"
done
[ -n "$missing" ] || exit 0

[ "$(id -u)" = 0 ] ||
	die "packages are missing; as root:" \
		"apt-get install --no-install-recommends$missing"

say INSTALL "${missing# }"
apt_update_if_old
# shellcheck disable=SC2086 # a list of names
logged packages "apt-get update && apt-get install$missing" \
	env DEBIAN_FRONTEND=noninteractive \
	apt-get install -y -q --no-install-recommends $missing
