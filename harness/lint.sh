#!/bin/sh
# The style of everything.
#
#	harness/lint.sh [style] [sparse]
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

bad=
# verdict NAME COMMAND...: run all checks before failing.
verdict() {
	say LINT "$1"
	shift
	"$@" >&2 || bad=y
}

# allowed WHOM: prints the types of complaint that lint.allow permits, with commas.
allowed() {
	awk -v whom="$1" 'whom ~ "^" $1 { print $2 }' \
		"patches/$SERIES/lint.allow" | paste -sd,
}

# checkpatch WHOM ARGUMENT...: what is not permitted to WHOM.
checkpatch() (
	ignore=$(allowed "$1")
	shift
	# /usr/bin first: its python3 has what checkpatch's licence check needs
	cd "$src" && PATH=/usr/bin:$PATH scripts/checkpatch.pl --strict --no-signoff \
		--quiet --show-types ${ignore:+--ignore "$ignore"} "$@"
)

# xargs calls us back for each of them, as one is not done in no time.
check_one() {
	case $1 in
	selftests/*)	checkpatch "$1" -f "$PWD/$1" ;;
	*)		checkpatch "${1#*-}" "$PWD/patches/$SERIES/$1" ;;
	esac
}

check_patches() {
	harness/series.sh list | xargs -P "$JOBS" -n 1 harness/lint.sh --one
}

check_selftests() {
	printf '%s\n' selftests/*.[ch] | xargs -P "$JOBS" -n 1 harness/lint.sh --one
}

check_shell() {
	# shellcheck disable=SC2046 # a list of files
	shellcheck -x .ci/run $(grep -rlE '^#(!/bin/sh| shellcheck shell)' harness)
}

# The kernel's rules, as its other selftests have them where clang-format knows
# nothing of kselftest_harness.h: a space in "FIXTURE_VARIANT_ADD(a, b) {", SKIP() left
# as it was written, a "(" at the end of a line only of what has one argument.
selftest_format() {
	sed -e 's/^\(PenaltyBreakBeforeFirstCallParameter\):.*/\1: 2000/' \
		-e '/^\.\.\.$/d' "$src/.clang-format"
	echo 'SpaceBeforeCpp11BracedList: true'
	echo 'WhitespaceSensitiveMacros: [SKIP]'
}

# The kernel's own rules. What is not so is mended by
#	clang-format -i --style=file:build/6.12/src/.clang-format harness/FILE
#	clang-format -i --style=file:build/6.12/selftests.clang-format selftests/FILE
check_format() (
	status=0
	ours=$BUILD/selftests.clang-format
	selftest_format >"$ours"
	for file in harness/*.[ch] harness/plugin/*.c selftests/*.[ch]; do
		case $file in
		selftests/*) rules=$ours ;;
		*) rules=$src/.clang-format ;;
		esac
		clang-format --style="file:$rules" "$file" |
			diff -u "$file" - || status=1
	done
	exit $status
)

# Ours is what we wrote and what our patches add. The kernel's context lines
# and the X's of mktemp are not.
check_todo() {
	left=$(
		grep -nwE 'TO[D]O|FIX[M]E|XX[X]' -r Makefile README.md .ci docs harness \
			qemu-configs selftests 2>/dev/null
		grep -nwE '\+.*(TO[D]O|FIX[M]E|XX[X])' patches/*/*.patch /dev/null
	) || :
	[ -z "$left" ] || { echo "left to be done:"; echo "$left"; return 1; }
}

# sparse_in TREE OBJECTS RESULT: the complaints about the files we touch, in the
# configuration of the guests and with what is not in it and has some of these files.
# C=2: also about those which are compiled already.
sparse_in() {
	mkdir -p "$2"
	cp "$OUT/.config" "$2"
	"$1/scripts/config" --file "$2/.config" --enable DAMON --enable DAMON_PADDR \
		--enable ZSWAP --enable ZSMALLOC
	logged sparse-config "make lint V=1" make -C "$1" O="$PWD/$2" olddefconfig
	objects=$(for file in $files; do
		! [ -e "$1/$file" ] || echo "${file%.c}.o"
	done)
	# shellcheck disable=SC2086 # a list of targets
	make -C "$1" O="$PWD/$2" -j"$JOBS" C=2 $objects >"$log/sparse" 2>&1 ||
		{ cat "$log/sparse"; return 1; }
	# Of an unlock in an inline function it names the header.
	warnings "$log/sparse" | sed 's/^include.*: \(warning: context imbalance\)/\1/' |
		sort -u >"$3"
}

check_sparse() {
	# not built by the kernel's makefiles, or not for this machine
	files=$(touched | grep '\.c$' | grep -v -e '^tools/' -e '^arch/powerpc/') || return 0
	dir=$BUILD/bisect/sparse
	known=$dir/known-$(git -C "$src" rev-parse base)-$(echo "$files" | cksum | tr ' ' -)
	mkdir -p "$dir" "$log"
	if ! [ -e "$known" ]; then
		tree_at base
		sparse_in "$tree" "$dir/base" "$known.new" || return 1
		mv "$known.new" "$known"
	fi
	sparse_in "$src" "$dir/patched" "$dir/found" || return 1
	new=$(comm -23 "$dir/found" "$known")
	[ -z "$new" ] || { echo "new warnings:"; echo "$new"; return 1; }
}

if [ "${1-}" = --one ]; then
	check_one "$2"
	exit
fi

for part; do
	case $part in
	style)	verdict "patches: checkpatch.pl" check_patches
		verdict "selftests: checkpatch.pl" check_selftests
		verdict "scripts: shellcheck" check_shell
		verdict "C: clang-format with the kernel's rules" check_format
		verdict "nothing left to be done" check_todo
		verdict "tables are of the numbers" harness/table.sh --check ;;
	sparse)	verdict "touched kernel files: sparse" check_sparse ;;
	esac
done
[ -z "$bad" ] || die "lint failed" "next: correct what is listed above, then make lint"
