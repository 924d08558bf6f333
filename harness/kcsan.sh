#!/bin/sh
# make kcsan: data races that the kernel's own detector (KCSAN) finds while memory is
# evacuated, lent, switched, allocated in bulk and removed, and on the stock kernel
# while it reclaims and removes memory in ZONE_MOVABLE. CPUs of these guests run at the
# same time, and time is the host's: no two runs find the same.
#
#	harness/kcsan.sh
#	harness/kcsan.sh --report	of the logs that are there
#
# Printed is each race that neither the stock kernel has nor harness/kcsan.allow, which
# names those of upstream's code that it did not happen to have, with a reason. Exit
# status 0 if there is none, 3 if it could not run, else 1.
#
# Environment: as for guest.sh, and
#	KCSAN STOCK_KCSAN	object directories of the kernels (bench-kernels.sh)
#	KCSAN_GUESTS		names of guests below, empty: all
set -u

harness=$(cd "$(dirname "$0")" && pwd)
: "${BUILD:=build/${SERIES:-6.12}}"
: "${KCSAN:=$BUILD/out-kcsan}" "${STOCK_KCSAN:=$BUILD/out-stock-kcsan}"
: "${KCSAN_GUESTS:=}"
# Accesses that are watched are delayed, and each CPU of a guest wants one of the host.
TIMEOUT_MUL=$((${TIMEOUT_MUL:-1} * 4))
: "${SILENCE_LIMIT:=600}" "${RUN_LIMIT:=1800}"
# Nothing but races is looked for.
ALLOW=/dev/null
ACCEL=tcg-multi
# A report is no reason to stop. Twice as many accesses are watched as by default,
# as an emulated CPU does little in a second.
APPEND="${APPEND:-} panic_on_warn=0 kcsan.skip_watch=2000"
export APPEND BUILD TIMEOUT_MUL SILENCE_LIMIT RUN_LIMIT ALLOW ACCEL

# <name> <kernel> <variant> <what>
guests() {
	cat <<-EOF
	stock-kill stock bench bench:files,anon=330,plug=1024,keyword=online_movable
	stock-rate stock dimm bench:rate,anon_pct=60,rounds=2,seed=1,plug=512,keyword=online_movable
	kill patched bench bench:files,anon=330,plug=1024,keyword=online_hotremove
	rate patched dimm bench:rate,anon_pct=60,rounds=2,seed=1,plug=512,keyword=online_hotremove
	evacuate patched small tests=evacuate
	release patched release tests=release
	switch patched switch tests=switch_online
	range patched dimm tests=range
	EOF
}

run_guest() {
	NAME=kcsan-$1 OUT=$KCSAN EXTRA=
	[ "$2" != stock ] || OUT=$STOCK_KCSAN
	# That of row a (qemu-configs/bench).
	[ "$3" != bench ] || EXTRA="-m 512M,slots=4,maxmem=8G
-object memory-backend-ram,id=vmem0,size=1024M,reserve=off
-device virtio-mem-pci,id=vm0,memdev=vmem0,node=0,block-size=2M,requested-size=1024M"
	[ -r "$OUT/arch/x86/boot/bzImage" ] || {
		echo "kcsan: no kernel in $OUT (make kcsan)" >&2
		exit 3
	}
	export NAME OUT EXTRA
	"$harness/guest.sh" "$3" "$4" >"$BUILD/kcsan/$1.out" 2>&1
	echo "  $1: $(grep -ac 'BUG: KCSAN' "$BUILD/logs/$NAME/console.log") reports," \
		"after $(cat "$BUILD/logs/$NAME/seconds" 2>/dev/null) s"
}

report() {
	set --
	for name in $(guests | cut -d ' ' -f 1); do
		log=$BUILD/logs/kcsan-$name/console.log
		[ ! -r "$log" ] || set -- "$@" "$log"
	done
	awk -v allow="$harness/kcsan.allow" -f "$harness/kcsan.awk" "$@"
}

mkdir -p "$BUILD/kcsan"
if [ "${1:-}" != --report ]; then
	guests | while read -r name kernel variant what; do
		case " ${KCSAN_GUESTS:-$name} " in
		*" $name "*) run_guest "$name" "$kernel" "$variant" "$what" </dev/null || exit ;;
		esac
	done || exit
fi
report
