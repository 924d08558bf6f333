#!/bin/sh
# Make $SOURCE: a git tree of the kernel the series is made against, tagged
# "base". It comes from KERNEL_SRC (a git tree or an unpacked tarball, only
# read), else from Debian's source package.
#
#	harness/source.sh STAMP		touches STAMP if the tree is a new one
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

stamp=$1
base=patches/$SERIES/base
new=$src.new

# field NAME: the value in the series' base file.
field() {
	awk -v name="$1" '$1 == name { print $2 }' "$base"
}

# Prints the version in a kernel Makefile on stdin.
version() {
	awk '/^(VERSION|PATCHLEVEL|SUBLEVEL) = / { v = v sep $3; sep = "." }
		$1 == "EXTRAVERSION" { v = v $3; exit }
		END { print v }'
}

right_series() {
	case $1 in
	"$SERIES".*) ;;
	*)	die "$2 is Linux ${1:-of an unknown version}, the series needs $SERIES.y" \
			"next: make KERNEL_SRC=<a tree of $SERIES.y>, or without KERNEL_SRC" ;;
	esac
}

# Prints the versions of the package in the archive, newest first.
versions() {
	apt-cache madison "$package" | awk '{ print $3 }' | sort -Vru
}

# Prints the package version to take: as recorded for this suite, else the same
# upstream version, else the newest.
choose() {
	suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	recorded=$(awk -v suite="$suite" '$1 == suite { print $2 }' "$base")
	versions | awk -v series="$SERIES." -v recorded="$recorded" -v upstream="$upstream-" '
		$0 == recorded { exact = $0 }
		index($0, upstream) == 1 && !same { same = $0 }
		index($0, series) == 1 && !newest { newest = $0 }
		END { print exact ? exact : same ? same : newest }'
}

download() {
	upstream=$(field upstream) package=$(field package)
	command -v apt-get >/dev/null ||
		die "no apt-get here to fetch $package with" \
			"next: make KERNEL_SRC=<a tree of $SERIES.y>"

	version=$(choose)
	case $version in
	"$upstream"-*) ;;
	*)	apt_update_if_old
		version=$(choose) ;;
	esac
	[ -n "$version" ] ||
		die "no $package $SERIES.y in the package lists of this machine" \
			"next: apt-get update (as root), or make KERNEL_SRC=<a tree of $SERIES.y>"
	case $version in
	"$upstream"-*) ;;
	*)	echo "warning: $package $upstream is gone from the archive," \
			"taking $version instead" >&2 ;;
	esac

	deb=${src%/*}/download/${package}_${version}_all.deb
	if ! [ -e "$deb" ]; then
		say FETCH "$package $version"
		mkdir -p "$deb.part"
		# The sandbox user may not write here; as root apt would say so.
		(cd "$deb.part" && logged fetch "apt-get update, then make source" \
			apt-get download -q -o APT::Sandbox::User=root "$package=$version")
		mv "$deb.part"/*.deb "$deb"
		rmdir "$deb.part"
	fi

	sum=$(awk -v version="$version" '$2 == version { print $3; exit }' "$base")
	case $sum in
	""|-)	say VERIFY "by apt's signatures; $base has no sha256 of $version" ;;
	*)	echo "$sum  $deb" | sha256sum --check --status ||
			die "$deb is not the file recorded in $base:" \
				"  wanted sha256 $sum" \
				"  got    sha256 $(sha256sum <"$deb" | cut -d' ' -f1)" \
				"next: rm $deb; make source" ;;
	esac

	say UNPACK "$deb"
	mkdir -p "$new"
	dpkg-deb --fsys-tarfile "$deb" |
		tar -xO --wildcards './usr/src/*.tar.xz' |
		xz -dc -T0 |
		tar -x --strip-components=1 -C "$new" ||
		die "cannot unpack $deb" "next: rm $deb; make source"
}

# A tarball's tree becomes one commit.
# The automatic run would pack 90000 objects in the middle of a build.
no_gc() {
	git -C "$new" config gc.auto 0
}

import() {
	right_series "$(version <"$new/Makefile")" "$1"
	say COMMIT "$1"
	# Debian ends the file with "ignore everything", which would hide the
	# developer's own new files.
	sed -i '/^# Debian packaging/,$d' "$new/.gitignore"
	# Built in? O= wants a clean tree.
	! [ -e "$new/.config" ] || make -s -C "$new" mrproper
	git -C "$new" init -q
	no_gc
	# -f: the kernel tracks files which its own .gitignore names.
	git -C "$new" -c core.compression=1 add -Af .
	GIT_AUTHOR_NAME=hotremove GIT_AUTHOR_EMAIL=hotremove@localhost \
	GIT_AUTHOR_DATE='@0 +0000' GIT_COMMITTER_DATE='@0 +0000' \
		git -C "$new" commit -q -m "Linux $(version <"$new/Makefile")"
}

clone() {
	right_series "$(git -C "$KERNEL_SRC" show HEAD:Makefile | version)" "$KERNEL_SRC"
	say CLONE "$KERNEL_SRC"
	git --no-optional-locks -C "$KERNEL_SRC" diff-index --quiet HEAD ||
		echo "note: $KERNEL_SRC has uncommitted changes, its HEAD is taken" >&2
	git clone -q --shared --no-tags --single-branch "$KERNEL_SRC" "$new"
}

# What is asked for; the tree remembers what it was made from.
if [ -z "${KERNEL_SRC-}" ]; then
	origin="$(field package) $(field upstream)"
elif ! [ -e "$KERNEL_SRC/Makefile" ] && ! [ -e "$KERNEL_SRC/.git" ]; then
	die "KERNEL_SRC=$KERNEL_SRC is no kernel tree" \
		"next: make KERNEL_SRC=<a git tree or an unpacked tarball of $SERIES.y>"
elif [ -e "$KERNEL_SRC/.git" ]; then
	origin="$KERNEL_SRC $(git -C "$KERNEL_SRC" rev-parse HEAD)"
else
	origin="$KERNEL_SRC $(version <"$KERNEL_SRC/Makefile")"
fi
if [ -e "$stamp" ] && [ "$(cat "$src/.git/origin" 2>/dev/null)" = "$origin" ]; then
	exit 0
fi

unsaved=$(unsaved)
[ -z "$unsaved" ] ||
	die "$src has changes that are not in patches/$SERIES, and is to be replaced by $origin:" \
		"$unsaved" "next: make refresh"
rm -rf "$new"
if [ -z "${KERNEL_SRC-}" ]; then
	download
	import "$origin"
elif [ -e "$KERNEL_SRC/.git" ]; then
	clone
else
	say COPY "$KERNEL_SRC"
	cp -a "$KERNEL_SRC" "$new"
	import "$KERNEL_SRC"
fi

no_gc
git -C "$new" tag --force base HEAD >/dev/null
git -C "$new" tag --force applied HEAD >/dev/null
git -C "$new" checkout -q -B hotremove
# The selftests are copied in to be built and belong to their own directory.
echo /tools/testing/selftests/hotremove/ >>"$new/.git/info/exclude"
echo "$origin" >"$new/.git/origin"
rm -rf "$src"
mv "$new" "$src"
touch "$stamp"
