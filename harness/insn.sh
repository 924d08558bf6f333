#!/bin/sh
# Instructions by function, counted by QEMU (harness/plugin/insn.c) between the
# marks of a program in the guest (harness/mark.h).
#
#	harness/insn.sh build		the plugin for $QEMU, as $BUILD/insn.so
#	harness/insn.sh functions <counts> <System.map>
#					"<id> TAB <function> TAB <instructions>"
#	harness/insn.sh profile		docs/results/<kernel>/removal-profile.txt, of
#					row r-full as make bench BENCH=r-full left it
set -eu

harness=$(cd "$(dirname "$0")" && pwd)
: "${BUILD:=build/${SERIES:-6.12}}"
: "${QEMU:=qemu-system-x86_64}"
: "${CC:=gcc}"

fail() {
	echo "insn: $*" >&2
	exit 3
}

# What QEMU offers to plugins changed incompatibly with 9.0 and with 9.1.
build() {
	version=$("$QEMU" --version | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
	api=1
	[ "${version:-0}" -lt 9 ] || api=3
	mkdir -p "$BUILD"
	$CC -O2 -Wall -Wextra -shared -fPIC -DQEMU_PLUGIN_API=$api \
		-o "$BUILD/insn.so.new" "$harness/plugin/insn.c" ||
		fail "cannot build $harness/plugin/insn.c"
	mv "$BUILD/insn.so.new" "$BUILD/insn.so"
}

# Addresses are as long as each other and sort as text, a symbol before what is
# in it. What the compiler split off counts for the function it came from.
functions() {
	{
		awk '$2 ~ /^[tTwW]$/ { print $1, 0, $3 }' "$2"
		awk '{ print $2, $1 + 1, $3 }' "$1"
	} | LC_ALL=C sort | awk '
		$2 == 0 { name = $3; sub(/[.](isra|constprop|part|cold).*/, "", name); next }
		{ sum[$2 - 1 "\t" ($1 ~ /^0+$/ ? "(user)" : name)] += $3 }
		END { for (i in sum) printf "%s\t%.0f\n", i, sum[i] }' | sort -k 1,1n -k 3,3nr
}

# The columns of row r-full, the most expensive functions of each.
profile() {
	echo "Where the instructions of a removal go: row r-full of make bench, a block of"
	echo "128 MiB full of anonymous pages of 4 KiB, instructions for each page that moved."
	echo "Made by: make bench BENCH=r-full && harness/insn.sh profile"
	for counts in "$BUILD"/bench/r-full.*.insn; do
		[ -r "$counts" ] || fail "no $BUILD/bench/r-full.*.insn (make bench BENCH=r-full)"
		column=${counts%.insn}
		map=$(sed -n 's/.*\tsystem_map\t//p' "$column")
		moved=$(sed -n 's/.*\tmoved\t//p' "$column")
		echo
		echo "${column#*/r-full.}: $moved pages" | tr . ' '
		functions "$counts" "$map" | awk -v moved="$moved" '
			$1 != 2 { next }
			{ all += $3; if (++n <= 25) line[n] = sprintf("%8.1f  %s", $3 / moved, $2) }
			END {
				printf "%8.1f  in all\n", all / moved
				for (i = 1; i <= n && i <= 25; i++)
					print line[i]
			}'
	done
}

case ${1:-} in
build)	build ;;
functions) functions "$2" "$3" ;;
profile)
	: "${SERIES:=6.12}"
	. harness/lib.sh
	to=$(results_dir "$BUILD"/bench/r-full.*)
	profile >"$to/removal-profile.txt"
	;;
*)	fail "usage: harness/insn.sh build|functions <counts> <System.map>|profile" ;;
esac
