#!/bin/sh
# Configure the kernel in <src> for <out>: allnoconfig plus the fragments of
# qemu-configs, then check that each symbol of a fragment is in the result.
#
#	harness/config.sh <src> <out>		DEBUG=1 adds debug.config
#
# A fragment whose first line is "# optional" may name symbols the kernel does
# not have; one that exists and was lost is an error there, too.
set -eu

fail() {
	echo "config: $*" >&2
	exit 3
}

[ $# -eq 2 ] || fail "usage: harness/config.sh <src> <out>"
mkdir -p "$2"
src=$(cd "$1" && pwd)
out=$(cd "$2" && pwd)
dir=$(cd "$(dirname "$0")/../qemu-configs" && pwd)
log=$out/config.log

fragments="machine ${ARCH:=x86_64} memory workload test hotremove"
[ "$ARCH-${PAGE_KIB:-4}" != arm64-64 ] || fragments="$fragments arm64-64k"
[ "${DEBUG:-0}" = 0 ] || fragments="$fragments debug"

files=
for fragment in $fragments; do
	files="$files $dir/$fragment.config"
done

merged=$out/merged.config
# shellcheck disable=SC2086 # a list of files
(cd "$out" && KCONFIG_CONFIG=$merged "$src/scripts/kconfig/merge_config.sh" \
	-m $files) >"$log" 2>&1 ||
	{ cat "$log" >&2; fail "cannot merge the fragments"; }
make -C "$src" O="$out" KCONFIG_ALLCONFIG="$merged" allnoconfig \
	>>"$log" 2>&1 ||
	{ cat "$log" >&2; fail "make allnoconfig failed in $src"; }

# Only the series adds what may be missing, and it does so in mm or lib.
known() {
	grep -rqE --include='Kconfig*' "^(menu)?config ${1#CONFIG_}\$" \
		"$src/mm" "$src/lib"
}

# Prints what the fragment asks for and the final config does not have.
lost() {
	grep -E '^(CONFIG_[A-Z0-9_]+=|# CONFIG_[A-Z0-9_]+ is not set)' "$1" |
	while read -r line; do
		case $line in
		'#'*)	symbol=${line#\# } symbol=${symbol% is not set}
			! grep -q "^$symbol=" "$out/.config" || echo "$line" ;;
		*)	grep -qxF "$line" "$out/.config" || echo "$line" ;;
		esac
	done
}

bad=
for file in $files; do
	optional=false
	[ "$(head -n 1 "$file")" != "# optional" ] || optional=true
	lost=$(lost "$file")
	[ -n "$lost" ] || continue
	while read -r line; do
		symbol=${line%%=*}
		if $optional && ! known "$symbol"; then
			echo "config: this kernel has no $symbol, left out"
		else
			echo "config: $line ($(basename "$file")) did not survive;" \
				"a dependency is missing:" \
				"grep -rn 'config ${symbol#CONFIG_}\$' $src" >&2
			bad=y
		fi
	done <<-EOF
	$lost
	EOF
done
[ -z "$bad" ] || fail "see $log"
