#!/bin/sh
# Make $BUILD/initramfs.cpio: init, busybox, the few programs it lacks, modules
# if there are any, and the installed selftests. No root is needed: the kernel's
# gen_init_cpio writes device nodes and owners from a list.
#
# Environment: BUILD, with out (built kernel) and, if there, selftests (what
# `make install` of the selftests left); SOURCE: kernel source; with CROSS_COMPILE the
# guest's programs are compiled with it, and found in BUILD/root.
set -eu

fail() {
	echo "initramfs: $*" >&2
	exit 3
}

harness=$(dirname "$0")
: "${BUILD:=build/${SERIES:-6.12}}"
: "${SOURCE:=$BUILD/src}"
: "${HOSTCC:=gcc}" "${CC:=${CROSS_COMPILE-}gcc}"
root=${CROSS_COMPILE:+$BUILD/root}
OUT=${OUT:-$BUILD/out}
work=$BUILD/initramfs
list=$work/list
mkdir -p "$work"
[ -z "$root" ] || "$harness/foreign.sh" busybox-static coreutils e2fsprogs util-linux

$HOSTCC -O2 -o "$work/gen_init_cpio" "$SOURCE/usr/gen_init_cpio.c" ||
	fail "cannot build $SOURCE/usr/gen_init_cpio.c"
$CC -static -s -O2 -Wall -Wextra -o "$work/init" "$harness/init.c" ||
	fail "cannot build $harness/init.c (a static libc is needed: libc6-dev)"

# What make demo, make bench and make soak run, where they are.
programs=
for program in demo bench tour soak; do
	[ -e "$harness/$program.c" ] || continue
	tests=$harness/../selftests more=
	[ $program != bench ] ||
		more="$harness/bench-removal.c $harness/bench-cma.c $harness/bench-scaling.c $tests/churn.c"
	# shellcheck disable=SC2086 # a list it is
	$CC -static -s -O2 -Wall -D_GNU_SOURCE -I"$tests" -I"$SOURCE" -o "$work/$program" \
		"$harness/$program.c" $more "$harness/report.c" "$tests/hr.c" "$tests/load.c" "$tests/load_rivals.c" "$tests/pressure.c" ||
		fail "cannot build $harness/$program.c"
	programs="$programs $program"
done

find_program() {
	(
		PATH=$PATH:/usr/sbin:/sbin
		[ -z "$root" ] || PATH=$root/usr/bin:$root/bin:$root/usr/sbin:$root/sbin
		command -v "$1"
	) || fail "$1 is missing ${root:+in $root }(package $2)"
}

# The archive needs each directory before what is in it.
add_dir() {
	[ "$1" = / ] || { add_dir "$(dirname "$1")"; echo "dir $1 755 0 0"; }
}

add_file() {
	add_dir "$(dirname "$1")"
	echo "file $1 $(realpath "$2") ${3:-755} 0 0"
}

# A program from this machine, or for another one, with the libraries it names.
add_program() {
	path=$(find_program "$1" "$2")
	add_file "/usr/bin/$1" "$path"
	if [ -n "$root" ]; then
		add_foreign_libraries "$path"
	else
		ldd "$path" | grep -o '/[^ ]*' | while read -r library; do
			add_file "$library" "$library"
		done
	fi
}

# What ldd would say, which runs the program.
add_foreign_libraries() {
	loader=$("${CROSS_COMPILE}readelf" -l "$1" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
	[ -z "$loader" ] || add_file "$loader" "$root$loader"
	"${CROSS_COMPILE}readelf" -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
	while read -r library; do
		file=$(find "$root/lib" "$root/usr/lib" -name "$library" | head -n 1)
		[ -n "$file" ] || fail "$1 needs $library"
		add_file "${file#"$root"}" "$file"
		add_foreign_libraries "$file"
	done
}

add_tree() {
	find "$1" -type f | while read -r file; do
		mode=644
		[ ! -x "$file" ] || mode=755
		add_file "$2${file#"$1"}" "$file" $mode
	done
}

busybox=$(find_program busybox busybox-static)
"${CROSS_COMPILE-}readelf" -l "$busybox" | grep -q INTERP &&
	fail "$busybox is not static (package busybox-static)"

# Modules are for this kernel only: install them afresh.
rm -rf "$work/modules"
if [ -s "$OUT/modules.order" ]; then
	make -s -C "$SOURCE" O="$(realpath "$OUT")" modules_install \
		INSTALL_MOD_PATH="$(realpath "$work")/modules" >"$work/modules.log" 2>&1 ||
		{ cat "$work/modules.log" >&2; fail "modules_install failed"; }
	rm -f "$work"/modules/lib/modules/*/build "$work"/modules/lib/modules/*/source
fi

{
	for dir in /dev /proc /sys /tmp /run /etc /root /lib /lib/modules; do
		echo "dir $dir 755 0 0"
	done
	echo "nod /dev/console 600 0 0 c 5 1"
	echo "slink /sbin bin 777 0 0"
	add_file /init "$work/init"
	add_file /bin/busybox "$busybox"
	for program in $programs; do
		add_file "/bin/$program" "$work/$program"
	done
	# Another machine's does not run here; it is the same package.
	busybox --list | while read -r applet; do
		[ "$applet" = busybox ] || echo "slink /bin/$applet busybox 777 0 0"
	done
	add_program timeout coreutils
	add_program lsmem util-linux
	add_program chmem util-linux
	add_program mke2fs e2fsprogs
	echo "slink /usr/sbin bin 777 0 0"
	echo "slink /usr/bin/mkfs.ext4 mke2fs 777 0 0"
	echo "file /etc/profile $(realpath "$harness/guest/profile") 644 0 0"
	add_file /bin/dump "$harness/guest/dump"
	add_file /usr/bin/kunit-results "$harness/guest/kunit"
	add_file /usr/bin/perl "$harness/guest/perl"
	echo "slink /usr/bin/env /bin/busybox 777 0 0"
	[ ! -d "$work/modules" ] || add_tree "$work/modules" ""
	[ ! -d "$BUILD/selftests" ] || add_tree "$BUILD/selftests" /kselftest
} >"$list.raw"
# Shared libraries and parent directories come up once per program.
awk '!seen[$2]++' "$list.raw" >"$list"

# A reader of the old archive (a guest that is starting) keeps the old one.
"$work/gen_init_cpio" "$list" >"$BUILD/initramfs.cpio.new"
mv "$BUILD/initramfs.cpio.new" "$BUILD/initramfs.cpio"
