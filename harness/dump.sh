#!/bin/sh
# make dump: does makedumpfile read a dump of a kernel that has hot-removable memory?
# The hypervisor writes the memory of a guest to a file; makedumpfile goes by what the
# kernel says of itself (VMCOREINFO) through all free lists, and leaves out what is free.
# On the stock kernel with memory in ZONE_MOVABLE, and on the patched one.
#
#	harness/dump.sh
#
# Exit status 0 if it finds the pages free that the kernel had counted, 1 if not, 3 if
# it could not run.
#
# Environment: as for guest.sh, and
#	STOCK PATCHED	object directories of the kernels
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

: "${STOCK:=$BUILD/out-stock}" "${PATCHED:=$OUT}"
dir=$PWD/$BUILD/dump
status=0

# Between the count and the dump a page comes and goes.
allowed_percent=1

# dump NAME OBJECTS KEYWORD
dump() {
	say DUMP "$1: $3"
	rm -f "$dir/$1".*
	NAME=dump-$1 OUT=$2 EXTRA="-device vmcoreinfo" \
		harness/guest.sh dimm "dump:$3:$dir/$1.flat" >"$dir/$1.out" 2>&1 ||
		{ cat "$dir/$1.out" >&2; exit 3; }
	# -R: as it came, it is for a pipe. -d 16: without free pages. Level 16: the report.
	{
		makedumpfile -R "$dir/$1.dump" <"$dir/$1.flat" &&
		makedumpfile -l -d 16 --message-level 16 "$dir/$1.dump" "$dir/$1.small" &&
		makedumpfile --dump-dmesg "$dir/$1.small" "$dir/$1.dmesg"
	} >"$dir/$1.log" 2>&1 || { cat "$dir/$1.log" >&2; status=1; return; }
	rm -f "$dir/$1.flat" "$dir/$1.dump"
	tap=$BUILD/logs/dump-$1/tap
	free=$(($(tr -d '\r' <"$tap" | awk '/MemFree:/ { print $(NF - 1) }') / 4))
	inside=$(($(tr -d '\r' <"$tap" | awk '/HotRemoveFree:/ { n = $(NF - 1) } END { print n + 0 }') / 4))
	found=$(sed -n 's/.*Free pages *: 0x\([0-9a-f]*\).*/\1/p' "$dir/$1.log")
	found=$((0x${found:-0}))
	off=$((found > free ? found - free : free - found))
	verdict=same
	grep -q 'Linux version' "$dir/$1.dmesg" || verdict="no kernel log in it"
	[ $((off * 100)) -le $((free * allowed_percent)) ] || verdict=DIFFERENT
	[ "$verdict" = same ] || status=1
	printf '%-24s %8d free (%d hot-removable), makedumpfile: %d: %s\n' \
		"$1 $3" "$free" "$inside" "$found" "$verdict"
}

mkdir -p "$dir"
ACCEL=$(harness/probe-accel)
export ACCEL BUILD
makedumpfile -v | head -n 1
dump stock "$STOCK" online_movable
dump patched "$PATCHED" online_hotremove
exit $status
