#!/bin/sh
# The kernels of make bench, those that its rows need: the one without the series,
# the one with it but without the option, and the one with both; with and without
# it, those that count locks, TLB flushes and RCU's grace periods; and those with a patch of
# patches/experiments. And those of make kcsan and make upstream, if they are named.
# Everything else is as configured in $OUT, but for CONFIG_DEBUG_VM, which has a
# part in every allocation and which no distribution sets.
#
#	harness/bench-kernels.sh
#	harness/bench-kernels.sh NAME...	these instead, as bench.sh --kernels has them
#
# Environment: BENCH, as for bench.sh; STOCK, OPTION_N, PATCHED, LOCKSTAT, STOCK_LOCKSTAT,
# PLACEMENT, NAIVE, KCSAN, STOCK_KCSAN, UPSTREAM_KERNEL, STOCK_UPSTREAM: object directories; those that exist and are not ours are left alone.
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

: "${STOCK:=$BUILD/out-stock}" "${OPTION_N:=$BUILD/out-n}"
: "${PATCHED:=$BUILD/out-bench}"
: "${LOCKSTAT:=$BUILD/out-lockstat}"
: "${STOCK_LOCKSTAT:=$BUILD/out-stock-lockstat}"
: "${PLACEMENT:=$BUILD/out-placement}" "${NAIVE:=$BUILD/out-naive}"
: "${KCSAN:=$BUILD/out-kcsan}" "${STOCK_KCSAN:=$BUILD/out-stock-kcsan}"
: "${UPSTREAM_KERNEL:=$BUILD/out-upstream}" "${STOCK_UPSTREAM:=$BUILD/out-stock-upstream}"

# build NAME TREE OBJECTS [WORD...]: unless it is of this commit and configuration
# already; with WORD for make.
build() {
	name=$1 from=$2 objects=$3
	shift 3
	stamp="$(git -C "$from" rev-parse HEAD) $(git -C "$from" diff HEAD | cksum)"
	stamp="$stamp $(cksum <"$objects/.config")"
	if [ "$(cat "$objects/.bench" 2>/dev/null)" != "$stamp" ]; then
		say KERNEL "$name, in $objects"
		logged "$name" "make bench V=1" \
			make -C "$from" O="$PWD/$objects" -j"$JOBS" bzImage "$@"
		echo "$stamp" >"$objects/.bench"
	fi
}

# configure TREE OBJECTS [WORD...]: with what WORD says to scripts/config.
configure() {
	from=$1 objects=$2
	shift 2
	mkdir -p "$objects"
	new=$PWD/$objects/.config.new
	cp "$OUT/.config" "$new"
	"$from/scripts/config" --file "$new" --disable DEBUG_VM "$@"
	KCONFIG_CONFIG=$new logged bench-config "make bench V=1" \
		make -C "$from" O="$PWD/$objects" olddefconfig
	cmp -s "$new" "$objects/.config" || cp "$new" "$objects/.config"
	rm -f "$new" "$new.old"
}

# start OBJECTS: what was compiled for $PATCHED is a start where little differs.
start() {
	[ -e "$1/vmlinux" ] || {
		rm -rf "$1"
		cp -a "$PATCHED" "$1"
	}
}

needed=" ${*:-$(harness/bench.sh --kernels | tr '\n' ' ')} "
needs() {
	case $needed in
	*" $1 "*) ;;
	*)	return 1 ;;
	esac
}

if [ "$PATCHED" = "$BUILD/out-bench" ] && ! needs kcsan && ! needs upstream; then
	configure "$src" "$PATCHED"
	build patched "$src" "$PATCHED"
fi

if needs stock && [ "$STOCK" = "$BUILD/out-stock" ]; then
	tree=$BUILD/stock-src
	tree_at base
	configure "$tree" "$STOCK" --disable MIGRATE_HOTREMOVE
	build stock "$tree" "$STOCK"
fi
# An old one of another series would keep its numbers in the table.
if { needs n || { [ $# -eq 0 ] && [ -e "$OPTION_N/vmlinux" ]; }; } && [ "$OPTION_N" = "$BUILD/out-n" ]; then
	start "$OPTION_N"
	configure "$src" "$OPTION_N" --disable MIGRATE_HOTREMOVE
	build option-n "$src" "$OPTION_N"
fi
if needs lockstat && [ "$LOCKSTAT" = "$BUILD/out-lockstat" ]; then
	configure "$src" "$LOCKSTAT" --enable LOCK_STAT --enable DEBUG_TLBFLUSH \
		--enable RCU_TRACE
	build lockstat "$src" "$LOCKSTAT"
fi
if needs stock-lockstat && [ "$STOCK_LOCKSTAT" = "$BUILD/out-stock-lockstat" ]; then
	tree=$BUILD/stock-src
	tree_at base
	configure "$tree" "$STOCK_LOCKSTAT" --disable MIGRATE_HOTREMOVE \
		--enable LOCK_STAT --enable DEBUG_TLBFLUSH --enable RCU_TRACE
	build stock-lockstat "$tree" "$STOCK_LOCKSTAT"
fi

# kcsan NAME TREE OBJECTS: as static branches are rewritten while other CPUs run, they
# are ordinary ones here (qemu-configs/tcg-multi.args). The kernel leaves page_alloc.c
# out, in which reports are frequent; it is what others' counters are read by, and
# both kernels have the same of these. Nor need a value have changed meanwhile.
kcsan() {
	configure "$2" "$3" --enable KCSAN --disable JUMP_LABEL \
		--disable KCSAN_REPORT_VALUE_CHANGE_ONLY
	build "$1" "$2" "$3" KCSAN_SANITIZE_page_alloc.o=y
}

if needs kcsan; then
	kcsan kcsan "$src" "$KCSAN"
fi
if needs stock-kcsan; then
	tree=$BUILD/stock-src
	tree_at base
	kcsan stock-kcsan "$tree" "$STOCK_KCSAN"
fi

# upstream NAME TREE OBJECTS: with what others' tests ask for. Both check what they do.
upstream() {
	configure "$2" "$3" --enable DEBUG_VM --enable CGROUP_HUGETLB \
		--enable PTE_MARKER_UFFD_WP --enable DAMON --enable DAMON_VADDR \
		--enable DAMON_PADDR --enable DAMON_SYSFS --enable DAMON_DBGFS_DEPRECATED \
		--enable DAMON_RECLAIM --enable DAMON_LRU_SORT
	build "$1" "$2" "$3"
}

if needs upstream; then
	upstream upstream "$src" "$UPSTREAM_KERNEL"
fi
if needs stock-upstream; then
	tree=$BUILD/stock-src
	tree_at base
	upstream stock-upstream "$tree" "$STOCK_UPSTREAM"
fi

# experiment NAME OBJECTS: the series and patches/experiments/NAME.patch.
experiment() {
	tree=$BUILD/$1-src
	# Without the patch of the last time.
	[ ! -e "$tree/.git" ] || git -C "$tree" reset -q --hard
	tree_at "$(git -C "$src" rev-parse HEAD)"
	git -C "$tree" apply "$PWD/patches/experiments/$1.patch" ||
		die "patches/experiments/$1.patch does not apply to $src" \
			"next: correct it, or BENCH= without the rows that need it"
	configure "$tree" "$2"
	build "$1" "$tree" "$2"
}

if needs placement && [ "$PLACEMENT" = "$BUILD/out-placement" ]; then
	experiment placement "$PLACEMENT"
fi
if needs naive && [ "$NAIVE" = "$BUILD/out-naive" ]; then
	experiment naive "$NAIVE"
fi
