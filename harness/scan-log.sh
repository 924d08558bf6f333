#!/bin/sh
# Print the lines of a console log that log.deny names and log.allow does not.
#
#	harness/scan-log.sh <console.log>
#
# Exit status as in guest.sh: 0 clean, 1 not clean, 3 could not tell. A check
# that does not work must not look like a clean log: an empty log, or one that
# never saw a kernel, is no clean log.
set -u

harness=$(dirname "$0")
log=$1

fail() {
	echo "scan-log: $*"
	exit 3
}

# Comments and empty lines out; an empty expression would match every line.
patterns() {
	[ -r "$1" ] || fail "cannot read $1"
	sed -e '/^#/d' -e '/^[[:space:]]*$/d' "$1"
}

deny=$(patterns "${DENY:-$harness/log.deny}") || fail "$deny"
allow=$(patterns "${ALLOW:-$harness/log.allow}") || fail "$allow"
[ -n "$deny" ] || fail "log.deny is empty"
[ -r "$log" ] || fail "cannot read $log"
grep -aq 'Linux version' "$log" || fail "no kernel ever wrote to $log"

hits=$(grep -aE -e "$deny" "$log")
[ $? -le 1 ] || fail "grep cannot use log.deny"
if [ -n "$allow" ]; then
	hits=$(printf '%s\n' "$hits" | grep -avE -e "$allow")
	[ $? -le 1 ] || fail "grep cannot use log.allow"
fi
[ -n "$hits" ] || exit 0
printf '%s\n' "$hits"
exit 1
