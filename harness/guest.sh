#!/bin/sh
# Boot one guest, wait for its end within limits, judge what it left.
#
#	harness/guest.sh <variant> <what>
#
# <variant> is qemu-configs/<variant>.args, <what> goes to init as hr.run=:
# tests=<a,b,...>, demo:<arg>, kunit, shell, probe.
#
# Exit status, here and in judge.sh, scan-log.sh and check.sh:
#
#	0	passed
#	1	failed: a test, the program that was run, or the log scan
#	2	guest lost: panic, hang, silence
#	3	could not run: something is missing on the host
#	4	skipped: there was nothing but skipped tests
#
# QEMU's own status is no verdict: it exits 0 after a guest panic.
#
# Environment: BUILD SERIES OUT QEMU ACCEL TIMEOUT_MUL V APPEND (further words
# for the kernel command line).
set -eu

harness=$(cd "$(dirname "$0")" && pwd)
configs=$harness/../qemu-configs
: "${BUILD:=build/${SERIES:-6.12}}"
: "${QEMU:=qemu-system-x86_64}"
: "${TIMEOUT_MUL:=1}"
OUT=${OUT:-$BUILD/out}

# Limits in seconds, before TIMEOUT_MUL. A guest boots in 3 s under TCG.
: "${BOOT_LIMIT:=60}"
# For demo, kunit and the like: longer than any of them takes on 2 slow cores.
: "${RUN_LIMIT:=900}"

fail() {
	echo "guest: $*" >&2
	exit 3
}

[ $# -eq 2 ] || fail "usage: harness/guest.sh <variant> <what>"
variant=$1 what=$2
[ -r "$configs/$variant.args" ] ||
	fail "no such variant: $variant (qemu-configs/$variant.args)"
command -v "$QEMU" >/dev/null || fail "$QEMU is missing (QEMU=<path>)"
kernel=$OUT/arch/x86/boot/bzImage
initramfs=$BUILD/initramfs.cpio
for file in "$kernel" "$initramfs"; do
	[ -r "$file" ] || fail "$file is missing (make kernel initramfs)"
done

case $what in
tests=*) name=$variant ;;
*)	name=$variant-$(echo "$what" | tr ':=,' '---') ;;
esac
logs=$BUILD/logs/$name
if [ -d "$logs" ]; then
	mkdir -p "$BUILD/logs.old"
	rm -rf "$BUILD/logs.old/$name"
	mv "$logs" "$BUILD/logs.old/$name"
fi
mkdir -p "$logs"
echo "$what" >"$logs/what"

[ -n "${ACCEL:-}" ] || ACCEL=$("$harness/probe-accel")

# One limit per test program, from the file run_kselftest.sh reads.
limit=$((RUN_LIMIT * TIMEOUT_MUL))
words="hr.run=$what hr.variant=$variant hr.timeout_mul=$TIMEOUT_MUL"
case $what in
tests=*)
	settings=$BUILD/selftests/hotremove/settings
	timeout=$(sed -n 's/^timeout=//p' "$settings" 2>/dev/null || :)
	timeout=$((${timeout:-45} * TIMEOUT_MUL))
	words="$words hr.timeout=$timeout"
	count=$(echo "$what" | tr ',' '\n' | wc -l)
	limit=$((count * timeout + BOOT_LIMIT * TIMEOUT_MUL))
	;;
kunit)	words="$words kunit.enable=1" ;;
esac
# Slow machines are slow in the guest, too.
words="$words sysctl.kernel.hung_task_timeout_secs=$((120 * TIMEOUT_MUL))"
thresh=$((10 * TIMEOUT_MUL))
# 60 is the most the kernel takes.
words="$words watchdog_thresh=$((thresh < 60 ? thresh : 60))"

# The path of a unix socket has room for 107 characters, hence not in $logs.
sockets=$(mktemp -d /tmp/hr.XXXXXX)
pid=
# shellcheck disable=SC2317 # called by trap
cleanup() {
	[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || :
	rm -rf "$sockets"
}
trap cleanup EXIT
trap 'exit 3' HUP INT TERM

append=
set --
while read -r option rest; do
	# shellcheck disable=SC2086 # an option and its value are two words
	case $option in
	''|'#'*) ;;
	-append) append="$append $rest" ;;
	*)	set -- "$@" $option $rest ;;
	esac
done <<EOF
$(cat "$configs/all.args" "$configs/$variant.args")
EOF
append="${append# } $words${APPEND:+ $APPEND}"

console="file:$logs/console.log"
[ "$what" != shell ] || console=mon:stdio
set -- "$QEMU" -accel "$ACCEL" "$@" -kernel "$kernel" -initrd "$initramfs" \
	-append "$append" -serial "$console" -device virtio-serial-pci \
	-chardev "file,id=verdict,path=$logs/verdict" \
	-device virtserialport,chardev=verdict,name=verdict \
	-chardev "file,id=tap,path=$logs/tap" \
	-device virtserialport,chardev=tap,name=tap \
	-chardev "socket,id=mon,path=$sockets/qmp,server=on,wait=off" \
	-mon chardev=mon,mode=control \
	-chardev "socket,id=ctl,path=$sockets/qmp" \
	-device virtserialport,chardev=ctl,name=qmp

# As one would type it, the directory of the QMP socket included; only -append
# has spaces.
printf 'mkdir -p %s; ' "$sockets" >"$logs/qemu.sh"
for arg; do
	case $arg in
	*' '*)	printf "'%s' " "$arg" ;;
	*)	printf '%s ' "$arg" ;;
	esac
done >>"$logs/qemu.sh"
[ "${V:-0}" = 0 ] || { cat "$logs/qemu.sh"; echo; } >&2

# QEMU dies with this shell, however this shell dies.
if [ "$what" = shell ]; then
	setpriv --pdeathsig KILL "$@" || fail "cannot start $QEMU"
	exit 0
fi
setpriv --pdeathsig KILL "$@" >"$logs/qemu.log" 2>&1 </dev/null &
pid=$!

# The demo shows its progress.
case $what in
demo:*)	tail -q -n +1 -F --pid=$pid -s 0.2 "$logs/tap" 2>/dev/null & ;;
esac

# Ends QEMU, and leaves the reason for judge.sh.
give_up() {
	echo "$*" >"$logs/lost"
	kill -KILL "$pid" 2>/dev/null || :
}

start=$(date +%s)
while kill -0 "$pid" 2>/dev/null; do
	waited=$(($(date +%s) - start))
	if [ $waited -gt $((BOOT_LIMIT * TIMEOUT_MUL)) ] && [ ! -s "$logs/verdict" ]; then
		give_up "no word from init after $waited s" \
			"(limit $BOOT_LIMIT s times TIMEOUT_MUL=$TIMEOUT_MUL)"
	elif [ $waited -gt $limit ]; then
		give_up "not finished after $waited s" \
			"(limit $limit s, TIMEOUT_MUL=$TIMEOUT_MUL)"
	fi
	sleep 0.2
done
wait "$pid" || echo "QEMU exited with status $?" >>"$logs/qemu.log"
pid=
wait
echo "$(($(date +%s) - start))" >"$logs/seconds"

if [ ! -e "$logs/console.log" ]; then
	cat "$logs/qemu.log" >&2
	fail "QEMU did not start; the command is in $logs/qemu.sh"
fi
status=0
"$harness/judge.sh" "$logs" || status=$?
exit $status
