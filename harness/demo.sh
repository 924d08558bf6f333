#!/bin/sh
# The demo: the same guest three times, which differ in one word written to
# auto_online_blocks; what happened in one table. Then a small guest, three times,
# which needs the memory plugged for its kernel. harness/demo.c and harness/bench.c
# are what runs in the guests; their lines "RESULT <key> <value>" are what the
# table is made of. Last, what its administrator gets to see (harness/tour.c).
#
# Of what the kernel was lent in the second table it may keep a page, and with that
# a memory block.
#
# Exit status as in guest.sh; 1 also if hot-removable memory did not all come
# back, data were lost, or, in the tour, nothing was lent or a memory block is not
# whole again after that. That online_kernel gives everything back now and then is
# no failure.
#
# Environment: as for guest.sh.
set -eu

harness=$(cd "$(dirname "$0")" && pwd)
: "${BUILD:=build/${SERIES:-6.12}}"
# Found out once, not by each guest.
ACCEL=${ACCEL:-$("$harness/probe-accel")}
export ACCEL

out=$(mktemp -d "${TMPDIR:-/tmp}/hr-demo.XXXXXX")
pids=
trap 'rm -rf "$out"' EXIT
# Guests in the background do not see Ctrl-C.
trap 'kill $pids 2>/dev/null || :; exit 3' HUP INT TERM

# start KEYWORD: a guest in the background, its progress on our stdout.
start() {
	: >"$out/$1"
	"$harness/guest.sh" demo "demo:$1" >"$out/$1" 2>&1 &
	pid=$!
	pids="$pids $pid"
	tail -n +1 -f -s 0.2 --pid=$pid "$out/$1" |
		sed -n -u "s/^ *[0-9.]* s  /$(printf '%-16s' "$1") &/p" &
}

# story KEYWORD: the small guest, in the background.
story() {
	NAME=demo-story-$1 ALLOW=$harness/bench.allow \
		"$harness/guest.sh" story "bench:$story,keyword=$1" >"$out/story-$1" 2>&1 &
	pid=$!
	pids="$pids $pid"
}
# As an administrator gets it: with the kernel's default.
story=files,anon=330,plug=1024,limit=600000,release=1

# tour: the transcript, in the background.
tour() {
	: >"$out/tour"
	NAME=demo-tour ALLOW=$harness/bench.allow \
		"$harness/guest.sh" story tour:online_hotremove >"$out/tour" 2>&1 &
	pid=$!
	pids="$pids $pid"
}

# told KEYWORD PID: what became of it.
told() {
	finish "story-$1" "$2"
	cat "$BUILD/logs/demo-story-$1/tap" >>"$out/story-$1"
	printf '%-16s  story  %s files made, killed: %s\n' "$1" \
		"$(value "story-$1" files)" "$(value "story-$1" killed)"
}

status=0
# finish KEYWORD PID: the worst status of all guests is ours.
finish() {
	s=0
	wait "$2" || s=$?
	[ $s -eq 0 ] || failed="${failed-} $1"
	[ $s -le $status ] || status=$s
}

value() {
	sed -n "s/^RESULT $2 //p" "$out/$1" | tail -n 1
}

row() {
	label=$1
	shift
	printf '%-42s %14s %15s %17s\n' "$label" "${1:--}" "${2:--}" "${3:--}"
}

# rows LABEL KEY [KEY]: one line of the table; the values of two keys are added.
# of: "" or "story-".
of=
rows() {
	line=
	for keyword in online_kernel online_movable online_hotremove; do
		v=$(value "$of$keyword" "$2")
		[ $# -lt 3 ] || v=$((${v:-0} + $(value "$of$keyword" "$3" || echo 0)))
		line="$line ${v:--}"
	done
	# shellcheck disable=SC2086 # one word each
	row "$1" $line
}

echo "Plug 1 GiB, use it, unplug it: the same guest three times (QEMU, $ACCEL)"
# Two at a time; online_kernel takes longest, most of it waiting for the driver.
start online_kernel
kernel=$pid
start online_hotremove
finish online_hotremove "$pid"
start online_movable
finish online_movable "$pid"
story online_hotremove
hotremove=$pid
finish online_kernel "$kernel"
story online_kernel
kernel=$pid
told online_hotremove "$hotremove"
story online_movable
movable=$pid
told online_kernel "$kernel"
tour
tour=$pid
told online_movable "$movable"
finish tour "$tour"
cat "$BUILD/logs/demo-tour/tap" >>"$out/tour"
pids=
wait

echo
row '' online_kernel online_movable online_hotremove
rows 'zone that the memory joined' zone
rows 'pageblocks: HotRemove' HotRemove
rows '            Movable' Movable
rows '            Unmovable, Reclaimable' Unmovable Reclaimable
rows 'kernel objects made (empty files)' files
rows 'in use at the unplug, of 1024 MiB' used_mib
rows '    by slab and page tables, MiB' kernel_mib
rows 'came back under load, of 1024 MiB' back_mib
rows '    after seconds of the guest' seconds
rows '    memory blocks gone, of 8' blocks_gone
rows 'data intact' intact
rows 'memory module: offlined in use, device_del' dimm
of=story-
echo
echo 'A guest of 512 MiB, 330 of them in use, 1 GiB plugged; then only its kernel grows:'
rows 'kernel objects made (empty files)' files
rows 'killed for want of memory' killed
rows 'free MiB then' free_mib
rows 'stayed when unplugged, of 1024 MiB' left_mib
rows 'data intact' intact
echo
sed -n 's/^TOUR //p' "$out/tour"
echo

# Of what was lent, a stranger may keep a page: as many pageblocks as in the selftests.
keyword=online_hotremove
if [ $status -eq 0 ] && { [ "$(value $keyword back_mib)" != 1024 ] ||
	[ "$(value $keyword intact)" != yes ] ||
	[ "$(value $keyword dimm)" != gone ] ||
	[ "$(value story-$keyword killed)" != no ] ||
	! [ "$(value story-$keyword left_mib)" -le 16 ] ||
	[ "$(value story-$keyword intact)" != yes ]; }; then
	failed=" $keyword" status=1
fi
if [ $status -eq 0 ] && { [ "$(value tour made)" = "" ] ||
	[ "$(value tour partial)" = 0 ] ||
	[ "$(value tour armed)" != "$(value tour blocks)" ] ||
	[ "$(value tour boot_switched)" = 0 ] ||
	[ "$(value tour returned)" != yes ] ||
	[ "$(value tour released_kib)" != 0 ] ||
	[ "$(value tour refused)" != yes ] ||
	[ "$(value tour not_refused)" != yes ] ||
	[ "$(value tour boot_offline)" != yes ] ||
	[ "$(value tour in_use_refused)" != yes ] ||
	[ "$(value tour intact)" != yes ]; }; then
	failed=" tour" status=1
fi
if [ $status -ne 0 ]; then
	for keyword in $failed; do
		echo "---- $keyword"
		cat "$out/$keyword"
	done >&2
	echo "demo: not as it should be:$failed (logs: $BUILD/logs/demo-*/)" >&2
	exit $status
fi
echo "Next:  make check    all tests in all guests"
echo "       make shell    a guest to try it in (plug 512, plug 0)"
