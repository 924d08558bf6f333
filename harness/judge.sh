#!/bin/sh
# Judge what one guest left behind; exit status as in guest.sh.
#
#	harness/judge.sh <directory>
#
# In the directory: what (hr.run=), verdict (what init said), console.log, tap
# (the output of what was run), lost (why the guest was ended, if it was).
# Leaves one TAP file per test program for prove: <test>.tap, and guest.tap for
# the guest itself. Success is quiet; a failure prints everything.
set -u

harness=$(dirname "$0")
logs=$1
[ -r "$logs/what" ] || { echo "judge: no guest ran in $logs" >&2; exit 3; }
what=$(cat "$logs/what")
name=$(basename "$logs")

complain() {
	status=$1
	shift
	echo "---- console of the guest: $logs/console.log"
	cat "$logs/console.log" 2>/dev/null
	if [ -s "$logs/tap" ]; then
		echo "---- output: $logs/tap"
		cat "$logs/tap"
	fi
	echo "----"
	echo "$name: $*"
	echo "To repeat it in view of everything: V=1 harness/guest.sh" \
		"${name%%-*} '$what'"
	exit "$status"
} >&2

# run_kselftest.sh nests: "# ok 1 case" lines, then "ok 1 selftests: d: test".
# One file per test, unnested; the outer line comes last, as a comment.
tr -d '\r' <"$logs/tap" 2>/dev/null | awk -v dir="$logs" '
	/^# selftests: / { test = $4; next }
	/^(not )?ok [0-9]+ selftests: / {
		print "# " $0 >(dir "/" test ".tap"); test = ""; next
	}
	test { sub(/^# ?/, ""); print >(dir "/" test ".tap") }
'

lost=
if ! grep -q '^exit ' "$logs/verdict" 2>/dev/null; then
	lost=$(cat "$logs/lost" 2>/dev/null) ||
		lost=$(grep -aEs -m 1 'Kernel panic|^init: ' "$logs/console.log") ||
		lost="it ended without a verdict"
fi

"$harness/scan-log.sh" "$logs/console.log" >"$logs/scan"
scan=$?

{
	echo "1..2"
	if [ -z "$lost" ]; then
		echo "ok 1 the guest came to its end"
	else
		echo "not ok 1 the guest was lost: $lost"
	fi
	if [ $scan -eq 0 ]; then
		echo "ok 2 the console log is clean"
	else
		# First: what is printed of a failure is what comes before it.
		sed 's/^/# /' "$logs/scan"
		echo "not ok 2 the console log is clean"
	fi
	echo "# ok"
} >"$logs/guest.tap"

[ -z "$lost" ] || complain 2 "guest lost: $lost"
[ $scan -ne 3 ] || complain 3 "the console log could not be scanned"
[ $scan -eq 0 ] || complain 1 "the console log has: $(head -n 1 "$logs/scan")"

exit=$(sed -n 's/^exit //p' "$logs/verdict")
case $what in
tests=*|kunit) ;;
*)
	case $exit in
	0|4)	exit "$exit" ;;
	*)	complain 1 "$what exited with status $exit" ;;
	esac
	;;
esac

[ "$exit" = 0 ] || complain 1 "run_kselftest.sh exited with status $exit"
if [ "$what" = kunit ]; then
	tests=$(sed -n 's/^# selftests: kunit: //p' "$logs/tap")
else
	tests=$(echo "${what#tests=}" | tr ',' ' ')
fi
files=
for test in $tests; do
	files="$files $logs/$test.tap"
done
# shellcheck disable=SC2086 # a list of files
prove --quiet --exec "$harness/replay-tap" $files >"$logs/prove" 2>&1 ||
	{ cat "$logs/prove" >&2; complain 1 "a test failed"; }
# shellcheck disable=SC2086 # a list of files
grep -hE '^ok ' $files | grep -qvi '# skip' || exit 4
exit 0
