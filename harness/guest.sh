#!/bin/sh
# Boot one guest, wait for its end within limits, judge what it left.
#
#	harness/guest.sh <variant> <what>
#
# <variant> is qemu-configs/<variant>.args, <what> goes to init as hr.run=:
# tests=<a,b,...>, demo:<arg>, bench:<arg>, upstream:<arg>, kunit, shell, probe.
#
# Exit status, here and in judge.sh and scan-log.sh:
#
#	0	passed
#	1	failed: a test, the program that was run, or the log scan
#	2	guest lost: panic, hang, silence
#	3	could not run: something is missing on the host
#	4	skipped: there was nothing but skipped tests
#
# QEMU's own status is no verdict: it exits 0 after a guest panic.
#
# Environment: BUILD SERIES OUT QEMU ACCEL TIMEOUT_MUL V, and APPEND: further
# words for the kernel command line; EXTRA: further QEMU options, one a line;
# NAME: the directory for logs, if not named after variant or argument; INITRAMFS.
set -eu

harness=$(cd "$(dirname "$0")" && pwd)
configs=$harness/../qemu-configs
: "${BUILD:=build/${SERIES:-6.12}}"
: "${OUT:=$BUILD/out}"
: "${QEMU:=qemu-system-x86_64}"
: "${TIMEOUT_MUL:=1}"
kernel=$OUT/${IMAGE:-arch/x86/boot/bzImage}
initramfs=${INITRAMFS:-$BUILD/initramfs.cpio}

# Limits in seconds, before TIMEOUT_MUL. Init writes a line every 5 s, the first
# when it has booted, which takes 2 s under TCG on an idle host.
: "${SILENCE_LIMIT:=120}"
# What is no selftest takes less than this on two slow cores.
: "${RUN_LIMIT:=900}"

fail() {
	echo "guest: $*" >&2
	exit 3
}

# Previous logs move aside first, lest they be taken for this run's.
make_log_directory() {
	case $what in
	tests=*) name=$variant ;;
	demo:*)	name=demo-${what#demo:} ;;
	*)	name=$variant-$(echo "$what" | tr ':=,' '---') ;;
	esac
	name=${NAME:-$name}
	logs=$BUILD/logs/$name
	if [ -d "$logs" ]; then
		mkdir -p "$BUILD/logs.old"
		rm -rf "$BUILD/logs.old/$name"
		mv "$logs" "$BUILD/logs.old/$name"
	fi
	mkdir -p "$logs"
	echo "$what" >"$logs/what"
}

check_host() {
	command -v "$QEMU" >/dev/null || fail "$QEMU is missing (QEMU=<path>)"
	for file in "$kernel" "$initramfs"; do
		[ -r "$file" ] || fail "$file is missing (make kernel initramfs)"
	done
	[ -n "${ACCEL:-}" ] || ACCEL=$("$harness/probe-accel")
	# Emulated CPUs are of a kind, those of the host are not.
	accel=$configs/$ACCEL.args
	[ "${ARCH:-x86_64}" = x86_64 ] || [ "$ACCEL" = kvm ] ||
		accel=$configs/$ACCEL-$ARCH.args
	[ -r "$accel" ] ||
		fail "no such accelerator: $ACCEL (${accel#"$harness/../"})"
}

# The limit of the whole run, and what the guest must know of limits. Where its
# time is virtual it is not made longer by a slow host.
set_limits() {
	limit=$((RUN_LIMIT * TIMEOUT_MUL))
	silence=$((SILENCE_LIMIT * TIMEOUT_MUL))
	mul=$TIMEOUT_MUL
	[ "$ACCEL" != icount ] || mul=1
	words="hr.run=$what hr.variant=$variant hr.timeout_mul=$mul"
	case $what in
	kunit)	words="$words kunit.enable=1" ;;
	tests=*)
		# One limit per test program, from where run_kselftest.sh has it.
		settings=$BUILD/selftests/hotremove/settings
		timeout=$(sed -n 's/^timeout=//p' "$settings" 2>/dev/null || :)
		timeout=${timeout:-45}
		words="$words hr.timeout=$((timeout * mul))"
		limit=$((silence + timeout * TIMEOUT_MUL *
			$(echo "$what" | tr ',' '\n' | wc -l)))
		;;
	esac
	words="$words sysctl.kernel.hung_task_timeout_secs=$((120 * mul))"
	# What leaked, not only how much did.
	[ "${DEBUG:-0}" = 0 ] || words="$words kmemleak.verbose=1"
	# Soft lockups; 60 is the most the kernel takes.
	thresh=$((10 * mul))
	words="$words watchdog_thresh=$((thresh < 60 ? thresh : 60))"
}

# What KASAN, kmemleak and others keep beside each page and object: with as much more,
# a test has about the memory that it has without them. The first node is larger then.
DEBUG_MIB=192
machine() {
	cat "$accel" "$configs/all.args" "$configs/${ARCH:-x86_64}.args" "$configs/$variant.args"
	echo "${EXTRA:-}"
}
debug_machine() {
	[ "${DEBUG:-0}" != 0 ] || { cat; return; }
	awk -v more=$DEBUG_MIB '
		/^-m [0-9]+M/ { sub(/[0-9]+M/, substr($2, 1, index($2, "M") - 1) + more "M") }
		match($0, /id=ram0,size=[0-9]+M/) {
			size = substr($0, RSTART + 13, RLENGTH - 14)
			sub(/id=ram0,size=[0-9]+M/, "id=ram0,size=" size + more "M")
		}
		{ sub(/max-ram-below-4g=1G/, "max-ram-below-4g=" 1024 + more "M"); print }'
}

# Options and kernel words from the .args files, then what is the same for all.
compose() {
	append=
	set --
	while read -r option rest; do
		# shellcheck disable=SC2086 # an option and its value are two words
		case $option in
		''|'#'*) ;;
		-append) append="$append $rest" ;;
		*)	set -- "$@" $option $rest ;;
		esac
	done <<-EOF
	$(machine | debug_machine)
	EOF
	append="${append# } $words${APPEND:+ $APPEND}"

	console="file:$logs/console.log"
	[ "$what" != shell ] || console=mon:stdio

	# The guest's qmp port is a client of its own monitor's socket.
	boot "$QEMU" "$@" \
		-kernel "$kernel" -initrd "$initramfs" -append "$append" \
		-serial "$console" -device virtio-serial-pci \
		-chardev "file,id=verdict,path=$logs/verdict" \
		-device virtserialport,chardev=verdict,name=verdict \
		-chardev "file,id=tap,path=$logs/tap" \
		-device virtserialport,chardev=tap,name=tap \
		-chardev "socket,id=mon,path=$sockets/qmp,server=on,wait=off" \
		-mon chardev=mon,mode=control \
		-chardev "socket,id=ctl,path=$sockets/qmp" \
		-device virtserialport,chardev=ctl,name=qmp
}

# As one would type it; only -append has spaces.
print_command() {
	printf 'mkdir -p %s; ' "$sockets"
	for arg; do
		case $arg in
		*' '*)	printf "'%s' " "$arg" ;;
		*)	printf '%s ' "$arg" ;;
		esac
	done
	echo
}

# QEMU dies with this shell, however this shell dies.
boot() {
	print_command "$@" >"$logs/qemu.sh"
	[ "${V:-0}" = 0 ] || cat "$logs/qemu.sh" >&2
	if [ "$what" = shell ]; then
		setpriv --pdeathsig KILL "$@" || fail "cannot start $QEMU"
		exit 0
	fi
	setpriv --pdeathsig KILL "$@" >"$logs/qemu.log" 2>&1 </dev/null &
	pid=$!
}

# The demo shows its progress; V=1 shows everything.
follow() {
	set --
	case $what in
	demo:*)	set -- "$logs/tap" ;;
	esac
	[ "${V:-0}" = 0 ] || set -- "$logs/console.log" "$logs/tap"
	[ $# -eq 0 ] || tail -q -n +1 -F -s 0.2 --pid=$pid "$@" 2>/dev/null &
}

# Ends QEMU, and leaves the reason for judge.sh.
give_up() {
	echo "$*" >"$logs/lost"
	kill -KILL "$pid" 2>/dev/null || :
}

wait_for_end() {
	start=$(date +%s)
	while kill -0 "$pid" 2>/dev/null; do
		now=$(date +%s)
		heard=$(stat -c %Y "$logs/verdict" 2>/dev/null || echo "$start")
		if [ $((now - heard)) -gt $silence ]; then
			give_up "no word from init for $silence s" \
				"($SILENCE_LIMIT s times TIMEOUT_MUL=$TIMEOUT_MUL)"
		elif [ $((now - start)) -gt $limit ]; then
			give_up "not finished after $limit s" \
				"(TIMEOUT_MUL=$TIMEOUT_MUL)"
		fi
		sleep 0.2
	done
	wait "$pid" || echo "QEMU exited with status $?" >>"$logs/qemu.log"
	pid=
	wait
	echo $(($(date +%s) - start)) >"$logs/seconds"
	# CPU time, of QEMU in the second line: the rest of the seconds it slept.
	times >"$logs/times"
	[ -s "$logs/console.log" ] || [ -e "$logs/lost" ] || {
		cat "$logs/qemu.log" >&2
		fail "no guest started; the command is in $logs/qemu.sh"
	}
}

# shellcheck disable=SC2317 # called by trap
cleanup() {
	[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || :
	rm -rf "$sockets"
}

[ $# -eq 2 ] || fail "usage: harness/guest.sh <variant> <what>"
variant=$1 what=$2
[ -r "$configs/$variant.args" ] ||
	fail "no such variant: $variant (qemu-configs/$variant.args)"

make_log_directory
check_host
set_limits
# The path of a unix socket has room for 107 characters, hence not in $logs.
sockets=$(mktemp -d /tmp/hr.XXXXXX)
pid=
trap cleanup EXIT
trap 'exit 3' HUP INT TERM
compose
follow
wait_for_end
"$harness/judge.sh" "$logs"
