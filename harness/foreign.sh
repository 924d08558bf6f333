#!/bin/sh
# Make $BUILD/root: what the guest has of this machine's programs, for a guest of
# another architecture, unpacked from Debian's packages for it. Nothing is installed
# and no root is needed: apt has its lists and archives in $BUILD.
#
#	harness/foreign.sh PACKAGE...
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

root=$BUILD/root
apt=$PWD/$BUILD/apt
[ "$(cat "$root/.packages" 2>/dev/null)" != "$*" ] || exit 0

command -v apt-get >/dev/null ||
	die "no apt-get here to fetch programs for $ARCH with" \
		"next: make ARCH=$ARCH on a Debian machine"

# of_arch COMMAND...: apt as on a machine of that architecture on which nothing is
# installed.
of_arch() {
	apt-get -q -o APT::Architecture="$ARCH" -o APT::Architectures::="$ARCH" \
		-o Dir::State::Lists="$apt/lists" -o Dir::State::status=/dev/null \
		-o Dir::Cache="$apt/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@"
}

say FETCH "$* for $ARCH"
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
logged foreign "make initramfs ARCH=$ARCH V=1" of_arch update
logged foreign "make initramfs ARCH=$ARCH V=1" \
	of_arch install -y --download-only --no-install-recommends "$@"
rm -rf "$root"
mkdir -p "$root"
for package in "$apt"/cache/archives/*.deb; do
	dpkg-deb -x "$package" "$root"
done
rm -rf "$apt"
echo "$*" >"$root/.packages"
