#!/bin/sh
# make bench: the rows of qemu-configs/bench, each in one guest per column, the
# raw numbers in $BUILD/bench/raw.tsv, the curves in samples.tsv, and the table.
#
#	harness/bench.sh
#	harness/bench.sh --table	of the numbers that are there
#	harness/bench.sh --kernels	which ones the rows need, a word each
#	harness/bench.sh --repeat	each guest twice: are the numbers the same?
#	harness/bench.sh --wallclock	each guest TIMES times in the host's time, one
#					after the other: medians and ratios
#
# Time in the guests is virtual (qemu-configs/icount.args), hence the same on a
# busy host, and guests may run side by side.
#
# With BENCH= the other rows of the table are those measured before, on the same
# images and machines. Each guest leaves its numbers when it ends, so that a run
# that was interrupted has a table, too, and goes on with RESUME=1. Exit status 0
# if every row has what it needs, 3 if it could not run, else 1.
#
# Environment: as for guest.sh, and
#	BENCH		rows or patterns (a,b*), empty: all
#	BENCH_ARGS	further words for each scenario: seed=5,rounds=100
#	RESUME		1: without the guests that have come to their end on the same
#			kernel, machine and file system
#	JOBS		guests at a time
#	TIMES		of --wallclock
#	ACCEL		kvm, tcg or icount; empty: icount, for --wallclock what is found out
#	STOCK OPTION_N PATCHED LOCKSTAT STOCK_LOCKSTAT PLACEMENT NAIVE
#			object directories of the kernels (bench-kernels.sh)
# -f: patterns of rows are not names of files.
set -fu

harness=$(cd "$(dirname "$0")" && pwd)
matrix=$harness/../qemu-configs/bench
: "${BUILD:=build/${SERIES:-6.12}}"
: "${PATCHED:=$BUILD/out-bench}"
: "${STOCK:=$BUILD/out-stock}"
: "${OPTION_N:=$BUILD/out-n}"
: "${LOCKSTAT:=$BUILD/out-lockstat}"
: "${STOCK_LOCKSTAT:=$BUILD/out-stock-lockstat}"
: "${PLACEMENT:=$BUILD/out-placement}" "${NAIVE:=$BUILD/out-naive}"
: "${TIMEOUT_MUL:=1}"
: "${QEMU:=qemu-system-x86_64}"
: "${ACCEL:=}"
: "${BENCH_ARGS:=}"
: "${RESUME:=0}"
: "${BENCH_DIR:=$BUILD/bench}"
: "${TIMES:=6}"
if [ -z "$ACCEL" ] && [ "${1:-}" = --wallclock ]; then
	ACCEL=$("$harness/probe-accel") || exit 3
fi
[ -n "$ACCEL" ] || ACCEL=icount
dir=$BENCH_DIR
raw=$dir/raw.tsv
export BENCH_ARGS BENCH_DIR BUILD STOCK OPTION_N PATCHED LOCKSTAT STOCK_LOCKSTAT
export PLACEMENT NAIVE TIMEOUT_MUL QEMU ACCEL

fail() {
	echo "bench: $*" >&2
	exit 3
}

objects() {
	case $1 in
	stock)	echo "$STOCK" ;;
	n)	echo "$OPTION_N" ;;
	lockstat) echo "$LOCKSTAT" ;;
	stock-lockstat) echo "$STOCK_LOCKSTAT" ;;
	placement|first|last|half) echo "$PLACEMENT" ;;
	naive)	echo "$NAIVE" ;;
	*)	echo "$PATCHED" ;;
	esac
}

# set_machine MACHINE KERNEL KEYWORD: sets EXTRA and APPEND, the machine as
# options for QEMU and the kernel.
set_machine() {
	m=512 low=0 vmem=0 dimm=0 max=64 node=0 smp=2 insn=0 APPEND=
	for word in $(echo "$1" | tr ',' ' '); do
		case $word in
		word=*)	APPEND="$APPEND ${word#word=}" ;;
		m=*|low=*|vmem=*|dimm=*|max=*|node=*|smp=*|insn=*)
			eval "${word%%=*}=\${word#*=}" ;;
		*)	fail "$word: not part of a machine" ;;
		esac
	done
	case $2 in
	first|last|half) APPEND="$APPEND hotremove_placement=$2" ;;
	esac
	case $3 in
	cma*)
		APPEND="$APPEND cma=${dimm}M"
		m=$((m + dimm)) dimm=0
		;;
	esac
	# reserve=off: most of it is never touched.
	EXTRA="-m ${m}M,slots=4,maxmem=${max}G
-smp $smp"
	[ "$low" = 0 ] || EXTRA="$EXTRA
-machine max-ram-below-4g=${low}M"
	[ "$node" = 0 ] || EXTRA="$EXTRA
-object memory-backend-ram,id=ram0,size=${m}M
-numa node,nodeid=0,cpus=0-$((smp - 1)),memdev=ram0
-numa node,nodeid=1"
	[ "$vmem" = 0 ] || EXTRA="$EXTRA
-object memory-backend-ram,id=vmem0,size=${vmem}M,reserve=off
-device virtio-mem-pci,id=vm0,memdev=vmem0,node=$node,block-size=2M,requested-size=${vmem}M"
	[ "$dimm" = 0 ] || EXTRA="$EXTRA
-object memory-backend-ram,id=mdimm0,size=${dimm}M,reserve=off
-device pc-dimm,id=dimm0,memdev=mdimm0,node=$node"
}

# setup SCENARIO MACHINE KERNEL: what a number depends on, except bench.c.
setup() {
	echo "$1${BENCH_ARGS:+,$BENCH_ARGS} $2 $(sha256sum <"$(objects "$3")/arch/x86/boot/bzImage" | cut -c1-16)"
}

# The guest's file system: another one moves a kill by a few percent.
files() {
	sha256sum <"$BUILD/initramfs.cpio" | cut -c1-16
}

# The sites of the static keys in the paths that row k is about.
static_key() {
	[ -r "$OUT/mm/page_alloc.o" ] || return 0
	for key in hotremove_key evacuate_key; do
		"$harness/static-key.sh" "$OUT/mm/page_alloc.o" "$key"
	done | awk '
		/ sites in .text/ { n += $1; wrong += $(NF - 4) }
		END { printf "key_sites\t%d\nkey_no_nops\t%d\n", n, wrong }'
}

# insn_results COUNTS GUEST_RESULTS: what the plugin counted for a removal, in all
# or for each page that moved, with what copied it and without, and for a bulk
# allocation.
insn_results() {
	[ -s "$1" ] || return 0
	printf 'system_map\t%s\n' "$OUT/System.map"
	"$harness/insn.sh" functions "$1" "$OUT/System.map" | awk -F '\t' '
		FNR == NR { of[$1] = $2; next }
		{ all[$1] += $3 }
		$2 ~ /^(copy_mc_|copy_page|memcpy|__memcpy|rep_movs)/ { copy[$1] += $3 }
		END {
			rounds = of["rounds"] ? of["rounds"] : 1
			printf "counted_online_minsn\t%.3f\n", all[1] / rounds / 1e6
			printf "counted_minsn\t%.3f\n", all[2] / rounds / 1e6
			if (all[3])
				printf "counted_walk_minsn\t%.3f\n", all[3] / rounds / 1e6
			if (!of["moved"])
				exit
			printf "insn_page\t%.0f\n", all[2] / of["moved"]
			printf "copy_page\t%.0f\n", copy[2] / of["moved"]
			printf "other_page\t%.0f\n", (all[2] - copy[2]) / of["moved"]
			if (!of["bulk_moved"])
				exit
			printf "bulk_insn_page\t%.0f\n", all[4] / of["bulk_moved"]
			printf "bulk_copy_page\t%.0f\n", copy[4] / of["bulk_moved"]
			printf "bulk_other_page\t%.0f\n", (all[4] - copy[4]) / of["bulk_moved"]
			bulk = (all[4] - copy[4]) / of["bulk_moved"]
			removal = (all[2] - copy[2]) / of["moved"]
			printf "bulk_to_removal_pct\t%.1f\n", 100 * bulk / removal
		}' "$2" -
}

# "12/293, 0:07 of about 2:50 h": guests that have ended, and the time if the others
# take as long.
progress() {
	done=$(wc -l <"$dir/done") all=$(wc -l <"$dir/plan")
	took=$((($(date +%s) - $(cat "$dir/begun")) / 60))
	about=$((($(date +%s) - $(cat "$dir/begun")) * all / done / 60))
	printf '%d/%d, %d:%02d of about %d:%02d h' "$done" "$all" \
		$((took / 60)) $((took % 60)) $((about / 60)) $((about % 60))
}

# xargs calls us back for each guest: its numbers to a file of its own, the setup
# last, and one line of progress.
if [ "${1:-}" = --guest ]; then
	row=$2 scenario=$3 machine=$4 kernel=${5%%:*} keyword=${5#*:}
	NAME=bench-$row-$kernel-$keyword
	out=$dir/$row.$kernel.$keyword
	set_machine "$machine" "$kernel" "$keyword"
	OUT=$(objects "$kernel")
	# No plugin sees what a real CPU does.
	[ "$ACCEL" != kvm ] || insn=0
	# Virtual time passes at once in a guest that waits for its hypervisor.
	: "${SILENCE_LIMIT:=600}" "${RUN_LIMIT:=1800}"
	rm -f "$out.insn"
	[ "$insn" = 0 ] || EXTRA="$EXTRA
-plugin $BUILD/insn.so,out=$out.insn"
	ALLOW=$harness/bench.allow
	export NAME EXTRA APPEND OUT SILENCE_LIMIT RUN_LIMIT ALLOW
	"$harness/guest.sh" bench "bench:$scenario${BENCH_ARGS:+,$BENCH_ARGS},plug=$((vmem + dimm)),keyword=$keyword" >"$out.log" 2>&1
	status=$?
	# What a guest said before it was lost is no result.
	case $status in
	0)
		sed -n 's/^RESULT \([^ ]*\) /\1\t/p' "$BUILD/logs/$NAME/tap" |
			tr -d '\r' | tee "$out.guest"
		[ "$insn" = 0 ] || insn_results "$out.insn" "$out.guest"
		rm -f "$out.guest"
		[ "$scenario" != hotpath ] || static_key
		;;
	*)	# Nobody was left to kill: what the kernel came to, and no failure here.
		if grep -q 'not syncing: System is deadlocked on memory' \
			"$BUILD/logs/$NAME/console.log" 2>/dev/null; then
			printf 'deadlocked\tyes\n'
		else
			printf 'lost\t%s\n' "$status"
		fi ;;
	esac | tr -d '\r' | sed "s/^/$row\t$kernel\t$keyword\t/" >"$out"
	seconds=$(cat "$BUILD/logs/$NAME/seconds" 2>/dev/null)
	verdict=ended
	[ $status -eq 0 ] || verdict="FAILED (status $status: $out.log)"
	! grep -q '	deadlocked	' "$out" || verdict='DEADLOCKED on memory'
	printf '%s\t%s\t%s\t%s\t%s\n' "$row" "$kernel" "$keyword" host_seconds "$seconds" \
		"$row" "$kernel" "$keyword" initramfs "$(files)" \
		"$row" "$kernel" "$keyword" command "$(cat "$BUILD/logs/$NAME/qemu.sh")" \
		"$row" "$kernel" "$keyword" setup "$(setup "$scenario" "$machine" "$kernel")" >>"$out"
	echo "$row $kernel $keyword" >>"$dir/done"
	echo "  $(progress) $row $kernel $keyword: $verdict after $seconds s"
	exit 0
fi

wanted() {
	[ -n "${BENCH:-}" ] || return 0
	for pattern in $(echo "$BENCH" | tr ',' ' '); do
		# shellcheck disable=SC2254 # a pattern it is
		case $1 in
		$pattern) return 0 ;;
		esac
	done
	return 1
}

# "<row> <scenario> <machine> <kernel>:<keyword>" for each guest there could be.
guests() {
	grep '^run' "$matrix" | while read -r _ row scenario machine columns; do
		for column in $columns; do
			echo "$row $scenario $machine $column"
		done
	done
}

# Those that BENCH= names.
named() {
	guests | while read -r row rest; do
		! wanted "$row" || echo "$row $rest"
	done
}

# have ROW SCENARIO MACHINE KERNEL KEYWORD: is there a result that holds?
have() {
	[ -r "$(objects "$4")/arch/x86/boot/bzImage" ] &&
		grep -qF "	setup	$(setup "$2" "$3" "$4")" "$dir/$1.$4.$5" 2>/dev/null
}

# ended ROW KERNEL KEYWORD FILES: of a guest that came to its end, with these?
ended() {
	grep -qF "	initramfs	$4" "$dir/$1.$2.$3" &&
		! grep -qF "	lost	" "$dir/$1.$2.$3"
}

# Those that BENCH= names, the last one first where there and back again is asked for.
in_order() {
	named | if [ "${BACK:-0}" = 1 ]; then tac; else cat; fi
}

# Those to boot.
plan() {
	[ "$RESUME" = 1 ] || { in_order; return; }
	these=$(files)
	in_order | while read -r row scenario machine column; do
		kernel=${column%%:*} keyword=${column#*:}
		have "$row" "$scenario" "$machine" "$kernel" "$keyword" &&
			ended "$row" "$kernel" "$keyword" "$these" ||
			echo "$row $scenario $machine $column"
	done
}

# "<row> <kernel> <keyword>" of those with a result that holds.
results() {
	guests | while read -r row scenario machine column; do
		kernel=${column%%:*} keyword=${column#*:}
		! have "$row" "$scenario" "$machine" "$kernel" "$keyword" ||
			echo "$row $kernel $keyword"
	done
}

# The kernels that they are about.
kernels() {
	named | awk '{ sub(/:.*/, "", $4); print $4 }' |
		sed -E 's/^(first|last|half)$/placement/' | sort -u
}

describe() {
	echo "# $("$QEMU" --version | head -n 1)"
	echo "# $(uname -m), accelerator $ACCEL, file system $(files)"
	echo "# series: tree $(git -C "${SOURCE:-$BUILD/src}" rev-parse 'HEAD^{tree}' 2>/dev/null)"
	for kernel in $({ printf '%s\n' stock n patched; kernels; } | awk '!seen[$0]++'); do
		objects=$(objects "$kernel")
		[ -r "$objects/arch/x86/boot/bzImage" ] || continue
		echo "# $kernel: image $(sha256sum <"$objects/arch/x86/boot/bzImage" |
			cut -c1-16), config $(sha256sum <"$objects/.config" | cut -c1-16)"
	done
}

run() {
	mkdir -p "$dir"
	"$harness/insn.sh" build || exit 3
	plan >"$dir/plan"
	if [ ! -s "$dir/plan" ]; then
		[ "$RESUME" = 1 ] || fail "BENCH=$BENCH names no row of qemu-configs/bench"
		return
	fi
	: >"$dir/done"
	date +%s >"$dir/begun"
	while read -r row _ _ column; do
		image=$(objects "${column%%:*}")/arch/x86/boot/bzImage
		[ -r "$image" ] || fail "$image is missing (make bench)"
		rm -f "$dir/$row.${column%%:*}.${column#*:}"
	done <"$dir/plan"
	echo "$(wc -l <"$dir/plan") guests, ${JOBS:-1} at a time; logs: $BUILD/logs/bench-*/"
	xargs -r -P "${JOBS:-1}" -L 1 "$0" --guest <"$dir/plan"
}

# What a guest said of itself, without what the host has a part in.
said() {
	awk -F '\t' '$4 !~ /^(host_seconds|command)$/' "$1"
}

# Each guest once more, in a directory of its own: the md5 of both.
repeat() {
	RESUME=0 first=$BUILD/bench-repeat/1
	for dir in "$first" "$BUILD/bench-repeat/2"; do
		BENCH_DIR=$dir
		run
	done
	echo
	while read -r row _ _ column; do
		name=$row.${column%%:*}.${column#*:}
		was=$(said "$first/$name" | md5sum | cut -c1-32)
		is=$(said "$dir/$name" | md5sum | cut -c1-32)
		if grep -qF "	lost	" "$first/$name" "$dir/$name"; then
			echo "FAIL $name: a guest did not come to its end"
		elif [ "$was" = "$is" ]; then
			echo "PASS $name: $is twice, of $(said "$dir/$name" | wc -l) numbers"
		else
			echo "FAIL $name: $was, then $is"
			said "$first/$name" >"$first/said"
			said "$dir/$name" | diff "$first/said" - | cut -f 4- -s |
				sed 's/^/  /'
		fi
	done <"$dir/plan" | tee "$dir/verdict"
	! grep -q '^FAIL' "$dir/verdict"
}

# Row by row there and back again (ABBA, ABCCBA), so that a host which gets slower, or
# warmer, does so to all columns: the results of each round in a directory of its own.
wallclock() {
	case $TIMES in
	''|*[!0-9]*|0) fail "TIMES=$TIMES is no number of runs" ;;
	esac
	JOBS=1 top=$BUILD/bench-wallclock
	rows=$(named | awk '!seen[$1]++ { print $1 }')
	[ -n "$rows" ] || fail "BENCH=$BENCH names no row of qemu-configs/bench"
	mkdir -p "$top"
	: >"$top/files"
	for each in $rows; do
		round=0
		while [ $round -lt "$TIMES" ]; do
			BACK=$((round % 2)) round=$((round + 1))
			dir=$top/$round BENCH=$each
			BENCH_DIR=$dir
			echo "row $each, round $round of $TIMES"
			run
			named | while read -r _ _ _ column; do
				echo "$dir/$each.${column%%:*}.${column#*:}"
			done >>"$top/files"
		done
	done
	BENCH=
	{
		describe
		printf 'row\tkernel\tkeyword\tkey\tvalue\n'
		xargs -r cat <"$top/files"
	} >"$top/raw.tsv"
	echo
	echo "Medians of $TIMES runs in the host's time, accelerator $ACCEL; ratios to the first"
	echo "column: of the medians, then the lowest and the highest one of a round."
	echo
	awk -f "$harness/bench-wallclock.awk" -f "$harness/bench-judge.awk" "$top/raw.tsv" \
		"$matrix"
	status=$?
	echo "Raw numbers: $top/raw.tsv"
	return $status
}

collect() {
	results >"$dir/results"
	{
		describe
		printf 'row\tkernel\tkeyword\tkey\tvalue\n'
		while read -r row kernel keyword; do
			cat "$dir/$row.$kernel.$keyword"
		done <"$dir/results"
	} >"$raw"
	{
		printf 'row\tkernel\tkeyword\tdone\tus\tfree_ordinary_mib\tfree_other_mib\n'
		while read -r row kernel keyword; do
			sed -n "s/^SAMPLE /$row $kernel $keyword /p" \
				"$BUILD/logs/bench-$row-$kernel-$keyword/tap" |
				tr -d '\r' | tr ' ' '\t'
		done <"$dir/results"
	} >"$dir/samples.tsv"
}

if [ "${1:-}" = --kernels ]; then
	kernels
	exit 0
elif [ "${1:-}" = --repeat ]; then
	repeat
	exit
elif [ "${1:-}" = --wallclock ]; then
	wallclock
	exit
elif [ "${1:-}" = --table ]; then
	[ -d "$dir" ] || fail "no $dir (make bench)"
else
	run
fi
collect
echo
awk -f "$harness/bench-judge.awk" -f "$harness/bench.awk" "$raw" "$matrix"
status=$?
echo "Raw numbers: $raw"
exit $status
