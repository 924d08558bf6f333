#!/bin/sh
# The two kernels make bench compares with: the one without the series, and the
# one with it but without the option. Everything else is as configured in $OUT.
#
#	harness/bench-kernels.sh
#
# Environment: STOCK, OPTION_N: object directories; those that exist and are not
# ours are left alone.
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

tree=$BUILD/stock-src
: "${STOCK:=$BUILD/out-stock}" "${OPTION_N:=$BUILD/out-n}"

# build NAME TREE OBJECTS: unless it is of this commit and configuration already.
build() {
	name=$1 from=$2 objects=$3
	stamp="$(git -C "$from" rev-parse HEAD) $(git -C "$from" diff HEAD | cksum)"
	stamp="$stamp $(cksum <"$objects/.config")"
	if [ "$(cat "$objects/.bench" 2>/dev/null)" != "$stamp" ]; then
		say KERNEL "$name, in $objects"
		logged "$name" "make bench V=1" \
			make -C "$from" O="$PWD/$objects" -j"$JOBS" bzImage
		echo "$stamp" >"$objects/.bench"
	fi
}

# configure TREE OBJECTS: as $OUT, without the option.
configure() {
	mkdir -p "$2"
	"$1/scripts/config" --file "$2/.config.new" --disable MIGRATE_HOTREMOVE
	KCONFIG_CONFIG=$PWD/$2/.config.new logged bench-config "make bench V=1" \
		make -C "$1" O="$PWD/$2" olddefconfig
	cmp -s "$2/.config.new" "$2/.config" || cp "$2/.config.new" "$2/.config"
	rm -f "$2/.config.new" "$2/.config.new.old"
}

if [ "$STOCK" = "$BUILD/out-stock" ]; then
	mkdir -p "$STOCK"
	tree_at base
	cp "$OUT/.config" "$STOCK/.config.new"
	configure "$tree" "$STOCK"
	build stock "$tree" "$STOCK"
fi
if [ "$OPTION_N" = "$BUILD/out-n" ]; then
	# What was compiled with the option is a start: only what asks for it,
	# and its release, differ.
	[ -e "$OPTION_N/vmlinux" ] || {
		rm -rf "$OPTION_N"
		cp -a "$OUT" "$OPTION_N"
	}
	cp "$OUT/.config" "$OPTION_N/.config.new"
	configure "$src" "$OPTION_N"
	build option-n "$src" "$OPTION_N"
fi
