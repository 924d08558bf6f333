#!/bin/sh
# make check: the harness tests itself, then one guest per variant of
# qemu-configs/matrix runs its selftests, then prove sums up all of the TAP.
#
#	TESTS=restore,dimm:pins		only these, in all variants or in one
#	TESTS=harness			only the harness
#	CI=true				without those in parentheses there, and less
#					often what is repeated for a rate
#	RETRY=0				what failed is not run again
#	DEBUG=1				slower kernel, hence longer limits
#
# Exit status 0 if all passed or skipped, 3 if it could not run, else 1. What prove
# says comes last, then what failed.
set -u

harness=$(cd "$(dirname "$0")" && pwd)
: "${BUILD:=build/${SERIES:-6.12}}"
: "${TIMEOUT_MUL:=1}"
OUT=${OUT:-$BUILD/out}
logs=$BUILD/logs
matrix=$harness/../qemu-configs/matrix
[ "${ARCH:-x86_64}" = x86_64 ] || matrix=$matrix-$ARCH
[ "${PAGE_KIB:-4}" = 4 ] || matrix=$matrix-${PAGE_KIB}k

# KASAN and lockdep make a guest several times slower.
[ "${DEBUG:-0}" = 0 ] || TIMEOUT_MUL=$((TIMEOUT_MUL * 4))
# In the guest HR_SHORT: hr_short() in selftests/hr.h.
[ -z "${CI:-}" ] || APPEND="${APPEND:-} hr.short=1"
export BUILD OUT TIMEOUT_MUL APPEND

# The tests of a guest that failed, of those that came to their end.
failed_tests() {
	for test in $(echo "$tests" | tr ',' ' '); do
		tail -n 1 "$logs/$name/$test.tap" 2>/dev/null | grep -q '^# not ok' ||
			continue
		echo "$test"
	done
}

# A test that failed is run once more, alone in a new guest: time in a guest on a
# busy host is not what it is on a machine, and some tests race on purpose. Only one
# test of a guest, and nothing that a log scan or a lost guest says, is taken for
# chance. What it said the first time is shown at the end.
run_again() {
	[ "${RETRY:-1}" != 0 ] || return 0
	! grep -q '^not ok' "$logs/$name/guest.tap" || return 0
	again=$(failed_tests)
	case $again in
	''|*[!a-z_]*) again=; return 0 ;;
	esac
	NAME=$name-again "$harness/guest.sh" "$variant" "tests=$again" \
		>"$logs/$name-again.out" 2>&1
	status=$?
	# Skipped is not passed.
	[ $status -ne 4 ] || status=1
	[ $status -eq 0 ] || return 0
	mv "$logs/$name/$again.tap" "$logs/$name/$again.first"
	cp "$logs/$name-again/$again.tap" "$logs/$name/"
	rm -f "$logs/$name-again.out"
}

# xargs calls us back for each guest: one line on success, everything on failure.
if [ "${1:-}" = --guest ]; then
	variant=$2 tests=$3 what=tests=$3 name=$2
	[ "$tests" != kunit ] || what=kunit name=$variant-kunit
	# So many are the same each time, whatever the host does, and whatever else is
	# asked for.
	[ "$tests" != soak ] || {
		what=soak:seed=1,rounds=200,pair=all
		export ACCEL=icount NAME=soak APPEND=
	}
	"$harness/guest.sh" "$variant" "$what" >"$logs/$name.out" 2>&1
	status=$?
	again=
	[ $status -ne 1 ] || [ "$what" != "tests=$tests" ] || run_again
	case $status in
	0)	verdict="passed" ;;
	1)	verdict="FAILED" ;;
	2)	verdict="GUEST LOST" ;;
	4)	verdict="all skipped" ;;
	*)	verdict="COULD NOT RUN" ;;
	esac
	skipped=$(cat "$logs/$name"/*.tap 2>/dev/null | grep -ciE "^(ok|1\.\.0) .*# skip")
	echo "$name: $verdict after $(cat "$logs/$name/seconds" 2>/dev/null) s" \
		"($tests; $skipped skipped${again:+; at first FAILED: $again})"
	case $status in
	0|4)	rm -f "$logs/$name.out" ;;
	esac
	exit 0
fi

wanted() {
	[ -n "${TESTS:-}" ] || return 0
	for pattern in $(echo "$TESTS" | tr ',' ' '); do
		case $1:$2 in
		"$pattern"|*:"$pattern") return 0 ;;
		esac
	done
	return 1
}

# "<variant> <test>,<test>" for each guest to boot.
plan() {
	# Those in parentheses are left out where CI= is set.
	marked='s/[()]//g'
	[ -z "${CI:-}" ] || marked='s/([a-z_]*)//g'
	grep -v -e '^#' -e '^$' "$matrix" | sed "$marked" |
	while read -r variant tests; do
		# What memory that machine has is for the other kernel.
		[ "${DEBUG:-0}" = 0 ] || [ "$tests" != soak ] || continue
		list=
		for test in $tests; do
			! wanted "$variant" "$test" || list=$list,$test
		done
		[ -z "$list" ] || echo "$variant ${list#,}"
	done
}

# Its output is judged like that of a guest: the last line is its exit.
files=
rm -rf "$logs/harness" "$logs"/*.out "$logs"/*/*.first "$logs"/*-again
mkdir -p "$logs/harness"
if wanted all harness; then
	if "$harness/tests/run" >"$logs/harness/golden.tap" 2>&1; then
		echo "harness: passed"
		echo "# ok" >>"$logs/harness/golden.tap"
	else
		echo "harness: FAILED"
		cat "$logs/harness/golden.tap"
		echo "# not ok" >>"$logs/harness/golden.tap"
	fi
	files=harness/golden.tap
fi

plan >"$logs/plan"
if [ -s "$logs/plan" ]; then
	ACCEL=$("$harness/probe-accel") || exit 3
	export ACCEL
	echo "kernel $(cat "$OUT/include/config/kernel.release"), accelerator $ACCEL"
elif [ -z "$files" ]; then
	echo "check: TESTS=$TESTS names nothing in qemu-configs/${matrix##*/}" >&2
	exit 3
fi

# A guest takes one CPU of the host under TCG, else two.
parallel=$(nproc)
[ "${ACCEL:-}" = tcg ] || parallel=$(((parallel + 1) / 2))
xargs -r -P "$parallel" -L 1 "$0" --guest <"$logs/plan"

for out in "$logs"/*.out; do
	[ ! -e "$out" ] || cat "$out"
done

while read -r variant tests; do
	if [ "$tests" = kunit ]; then
		# Only the guest knows which suites there are.
		files="$files $(cd "$logs" && echo "$variant-kunit"/*.tap)"
		continue
	fi
	files="$files $variant/guest.tap"
	for test in $(echo "$tests" | tr ',' ' '); do
		files="$files $variant/$test.tap"
	done
done <"$logs/plan"

# What failed, the comments before each "not ok" included.
failures() {
	awk '
		/^#  RUN / { said = "" }
		{ said = said $0 "\n" }
		/^not ok / { print "\n" FILENAME ":\n" said }
		/^(not )?ok / { said = "" }
	' "$@" 2>/dev/null
}

# Names as short as "small/restore.tap" in the summary.
cd "$logs" || exit 3
# shellcheck disable=SC2086 # a list of files
prove --exec "$harness/replay-tap" $files
status=$?

# The end of a long output is what is read: what failed, once more.
for first in */*.first; do
	[ ! -e "$first" ] || {
		echo "Failed at first, and passed when run again (RETRY=0 to not do that):"
		failures "$first"
	}
done
[ $status -ne 0 ] || exit 0
# shellcheck disable=SC2086
failures $files
for again in *-again/*.tap; do
	[ ! -e "$again" ] || failures "$again"
done
exit 1
