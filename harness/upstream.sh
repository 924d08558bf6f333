#!/bin/sh
# make upstream: what others test memory management with, the kernel's own suites and
# stress-ng, on the stock kernel, on the patched one with the feature unused, and with
# half of the guest's memory hot-removable; one guest after the other. qemu-configs/upstream
# is what runs, harness/upstream.awk compares. What passed on stock and not on the patched
# kernel is run once more, there, in a new guest.
#
#	harness/upstream.sh
#	harness/upstream.sh --table	of the guests that have been run
#
# Exit status 0 if all that passed on stock passed on the patched kernel, if not at first;
# 1 if something did not; 3 if it could not run.
#
# Environment: as for guest.sh, and
#	UPSTREAM	tests (collection:program) or patterns, separated by commas; empty: all
#	RESUME		1: without the guests that have come to their end
#	STOCK PATCHED	object directories of the kernels
set -euf
cd "$(dirname "$0")/.."
. harness/lib.sh

: "${STOCK:=$BUILD/out-stock-upstream}" "${PATCHED:=$BUILD/out-upstream}"
: "${TIMEOUT_MUL:=1}" "${CC:=gcc}" "${QEMU:=qemu-system-x86_64}"
list=qemu-configs/upstream
work=$BUILD/upstream
collections="cgroup damon memory-hotplug mm"
export BUILD TIMEOUT_MUL

# The suites are those of the stock kernel, compiled outside of any kernel tree: one of
# them writes to where its source is. -DKSFT_SKIP: khugepaged.c of 6.12.y uses it and does not
# include what has it.
build_suites() {
	commit=$(git -C "$src" rev-parse base)
	[ "$(cat "$work/.built" 2>/dev/null)" != "$commit" ] || return 0
	say SUITES "$work/kselftest"
	rm -rf "$work/src" "$work/obj" "$work/kselftest"
	mkdir -p "$work/src"
	git -C "$src" archive base tools scripts include mm/gup_test.h lib/test_hmm_uapi.h |
		tar -x -C "$work/src"
	logged upstream "make upstream V=1" \
		make -C "$work/src/tools/testing/selftests" O="$PWD/$work/obj" -j"$JOBS" \
		TARGETS="$collections" FORCE_TARGETS=1 CC="$CC" USERLDFLAGS=-static \
		USERCFLAGS=-DKSFT_SKIP=4 KHDR_INCLUDES="-isystem $(realpath "$OUT/usr/include")" \
		INSTALL_PATH="$PWD/$work/kselftest" install
	find "$work/kselftest" -type f -perm -u+x | while read -r file; do
		case $(head -c 4 "$file" | tail -c 3) in
		ELF)	strip "$file" ;;
		esac
	done
	echo "$commit" >"$work/.built"
}

# The archive needs each directory before what is in it.
add_dir() {
	[ "$1" = / ] || { add_dir "$(dirname "$1")"; echo "dir $1 755 0 0"; }
}

add_file() {
	add_dir "$(dirname "$1")"
	echo "file $1 $(realpath "$2") 755 0 0"
}

add_program() {
	add_file "$1" "$2"
	ldd "$2" | grep -o '/[^ ]*' | while read -r library; do
		add_file "$library" "$library"
	done
}

# The guest's file system is that of make check and another archive behind it, which the
# kernel unpacks to the same place.
pack() {
	{
		add_file /bin/upstream harness/guest/upstream
		add_file /kselftest/upstream "$work/tests"
		add_file /kselftest/kselftest-list.txt "$work/kselftest-list.txt"
		(cd "$work/kselftest" && find . -type f ! -name kselftest-list.txt) |
		while read -r file; do
			add_file "/kselftest/${file#./}" "$work/kselftest/$file"
		done
		for program in bash stress-ng; do
			add_program "/usr/bin/$program" "$(command -v $program)"
		done
		echo "slink /bin/bash /usr/bin/bash 777 0 0"
		add_dir /kselftest/stress-ng
		echo "slink /kselftest/stress-ng/stress-ng /usr/bin/stress-ng 777 0 0"
	} | awk '!seen[$2]++' >"$work/list"
	sed -E -e '/^(#|$)/d' -e 's/ .*//' "$work/tests" | sort -u >"$work/kselftest-list.txt"
	$CC -O2 -o "$work/gen_init_cpio" "$src/usr/gen_init_cpio.c"
	"$work/gen_init_cpio" "$work/list" | cat "$BUILD/initramfs.cpio" - >"$work/initramfs.cpio"
}

# The lines of the list that UPSTREAM= names.
wanted() {
	number=0
	while read -r test _; do
		number=$((number + 1))
		case $test in
		''|'#'*) continue ;;
		esac
		for pattern in $(echo "${UPSTREAM:-*}" | tr ',' ' '); do
			# shellcheck disable=SC2254 # a pattern it is
			case $test in
			$pattern) echo $number; break ;;
			esac
		done
	done <$list | paste -sd,
}

# guest NAME OBJECTS KEYWORD NUMBERS
guest() {
	[ ! -e "$work/$1.tap" ] || return 0
	say GUEST "$1"
	limit=$(awk -v numbers=",$4," 'index(numbers, "," NR ",") { n += $2 + 30 } END { print n + 300 }' "$work/tests")
	status=0
	NAME=upstream-$1 OUT=$2 INITRAMFS=$work/initramfs.cpio RUN_LIMIT=$limit \
		harness/guest.sh upstream "upstream:$3:$4" >"$work/$1.out" 2>&1 || status=$?
	# A test that fails, and what the log has, is for the table.
	[ $status -ne 3 ] || { cat "$work/$1.out" >&2; exit 3; }
	collect "$1"
}

# collect NAME: what it said, and of each test what the log should not have.
collect() {
	logs=$BUILD/logs/upstream-$1
	{
		cat "$logs/tap"
		awk '
			FILENAME ~ /scan$/ { denied[$0] = 1; next }
			/hotremove: upstream: / { n = $0; sub(/.*upstream: /, "", n); sub(/ .*/, "", n) }
			$0 in denied { sub(/^\[[^]]*\] /, ""); print "log: " n + 0 " " $0 }
		' "$logs/scan" "$logs/console.log"
		grep '^not ok 1' "$logs/guest.tap" || :
	} | tr -d '\r' >"$work/$1.tap"
}

# compare WORD...: what upstream.awk says of all guests.
compare() {
	set -- "$@" "$work/tests"
	column=0
	for name in stock unused used unused-again used-again; do
		column=$((column + 1))
		[ ! -e "$work/$name.tap" ] || set -- "$@" column=$column "$work/$name.tap"
	done
	awk -f harness/upstream.awk "$@"
}

describe() {
	echo "Made by: make upstream${UPSTREAM:+ UPSTREAM=$UPSTREAM}"
	echo "$("$QEMU" --version | head -n 1), accelerator $ACCEL; $(stress-ng --version | sed 's/ (.*//')"
	echo "series: tree $(git -C "${SOURCE:-$BUILD/src}" rev-parse 'HEAD^{tree}' 2>/dev/null)"
	for kernel in "stock $STOCK" "patched $PATCHED"; do
		echo "${kernel% *}: $(sed -n 's/.*Linux version \([^ ]*\) .*/\1/p' \
			"$BUILD/logs/upstream-$(echo "${kernel% *}" | sed s/patched/used/)/console.log" | head -n 1)," \
			"image $(sha256sum <"${kernel#* }/arch/x86/boot/bzImage" | cut -c1-16)"
	done
	echo
}

if [ "${1:-}" != --table ]; then
	numbers=$(wanted)
	[ -n "$numbers" ] || die "UPSTREAM=$UPSTREAM names nothing in $list"
	for objects in "$STOCK" "$PATCHED"; do
		[ -r "$objects/arch/x86/boot/bzImage" ] ||
			die "$objects/arch/x86/boot/bzImage is missing" "next: make upstream"
	done
	mkdir -p "$work"
	[ "${RESUME:-0}" = 1 ] ||
		rm -f "$work"/stock.tap "$work"/unused*.tap "$work"/used*.tap
	# A copy: the list may be edited while this runs.
	cp $list "$work/tests"
	build_suites
	pack
	ACCEL=$(harness/probe-accel)
	export ACCEL
	guest stock "$STOCK" online_kernel "$numbers"
	guest unused "$PATCHED" online_kernel "$numbers"
	guest used "$PATCHED" online_hotremove "$numbers"
	again=$(compare -v again=2)
	[ -z "$again" ] || guest unused-again "$PATCHED" online_kernel "$again"
	again=$(compare -v again=3)
	[ -z "$again" ] || guest used-again "$PATCHED" online_hotremove "$again"
fi
ACCEL=$(harness/probe-accel)
describe | tee "$work/table"
status=0
compare >"$work/compared" || status=$?
tee -a "$work/table" <"$work/compared"
echo "Output of all tests: $work/*.tap; logs: $BUILD/logs/upstream-*/"
exit $status
