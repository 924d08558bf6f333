#!/bin/sh
# make soak: schedules of races (harness/soak.c), some hundred to a guest, until
# ROUNDS of them are done, and a table of what came of them.
#
#	harness/soak.sh
#	harness/soak.sh --table		of what there is, with the same SEED= and so on
#
# A guest is repeated, to the instruction, by its first seed and its rounds, unless a
# busy host has a part in it (docs/testing.md): its time is virtual
# (qemu-configs/icount.args), and the hypervisor has no part in it. Each
# leaves its schedules in $BUILD/soak, with what they depend on, so that a run that
# was interrupted goes on with RESUME=1. Exit status 0 if nothing failed, 3 if it
# could not run, else 1.
#
# Environment: as for guest.sh, and
#	SEED		the first schedule
#	ROUNDS		how many
#	PAIR		who races against a removal, empty: all, 25 schedules in turn
#	SOAK_ARGS	further words for the program: plant=byte
#	RESUME		1: without the guests that have come to their end on the same
#			kernel and file system
#	JOBS		guests at a time
set -fu

harness=$(cd "$(dirname "$0")" && pwd)
: "${BUILD:=build/${SERIES:-6.12}}"
: "${OUT:=$BUILD/out}"
: "${SEED:=1}" "${ROUNDS:=10000}" "${PAIR:=all}" "${SOAK_ARGS:=}" "${RESUME:=0}"
# In a guest; more of them fail together, fewer spend their time with booting.
: "${PER_GUEST:=400}"
: "${SILENCE_LIMIT:=600}" "${RUN_LIMIT:=7200}"
dir=$BUILD/soak
ACCEL=icount
export BUILD OUT SEED ROUNDS PAIR SOAK_ARGS ACCEL SILENCE_LIMIT RUN_LIMIT

fail() {
	echo "soak: $*" >&2
	exit 3
}

# words SEED ROUNDS: for the program. What is longer or shorter takes the kernel
# another time to read, and all would be different.
words() {
	echo "seed=$1,rounds=$2,pair=$PAIR${SOAK_ARGS:+,$SOAK_ARGS}"
}

# What a schedule depends on, but for its seed.
setup() {
	cat "$OUT/arch/x86/boot/bzImage" "$BUILD/initramfs.cpio" \
		"$harness/../qemu-configs/soak.args" "$harness/../qemu-configs/icount.args" \
		2>/dev/null | sha256sum | cut -c1-16
}

# name SEED ROUNDS: of a guest and its file.
name() {
	words "$1" "$2" | tr '=,' '-.'
}

# "12/25, 4790 schedules, 0:07 of about 0:15 h"
progress() {
	done=$(wc -l <"$dir/done") all=$(wc -l <"$dir/plan")
	took=$((($(date +%s) - $(cat "$dir/begun")) / 60))
	about=$((($(date +%s) - $(cat "$dir/begun")) * all / done / 60))
	printf '%d/%d, %d schedules, %d:%02d of about %d:%02d h' "$done" "$all" \
		"$(awk '{ n += $1 } END { print n + 0 }' "$dir/done")" \
		$((took / 60)) $((took % 60)) $((about / 60)) $((about % 60))
}

# xargs calls us back for each guest: one line, and more if it failed.
if [ "${1:-}" = --guest ]; then
	seed=$2 rounds=$3
	file=$dir/$(name "$seed" "$rounds")
	NAME=soak-$(name "$seed" "$rounds")
	export NAME
	"$harness/guest.sh" soak "soak:$(words "$seed" "$rounds")" >"$file.log" 2>&1
	status=$?
	logs=$BUILD/logs/$NAME
	tr -d '\r' <"$logs/tap" 2>/dev/null | sed -n 's/^# # SCHEDULE //p' >"$file.new"
	n=$(wc -l <"$file.new")
	why=$(tr -d '\r' <"$logs/tap" 2>/dev/null | sed -n 's/^# FAILED //p')
	# Whatever it said of what it could not, the schedule after the last one was it.
	[ $status -ne 3 ] || why="seed $seed and later: could not be run, or was ended from outside"
	[ $status -eq 0 ] || [ -n "$why" ] ||
		why="seed $((seed + n)), status $status: $(tail -n 2 "$file.log" | head -n 1)"
	verdict=passed
	[ $status -eq 0 ] || {
		verdict=FAILED
		printf '%s\n' "$why" | sed 's/^/failed /' >>"$file.new"
	}
	echo "setup $(setup)" >>"$file.new"
	mv "$file.new" "$file"
	echo "$n" >>"$dir/done"
	echo "  $(progress): from $seed on: $verdict after $(cat "$logs/seconds" 2>/dev/null) s"
	[ $status -eq 0 ] ||
		printf '%s\n' "$why" "again, from the first schedule of that guest on:" \
			"  make soak SEED=$seed ROUNDS=$rounds PAIR=$PAIR${SOAK_ARGS:+ SOAK_ARGS=$SOAK_ARGS}" |
			sed 's/^/    /'
	exit 0
fi

# "<seed> <rounds>" of each guest.
guests() {
	seed=$SEED left=$ROUNDS
	while [ "$left" -gt 0 ]; do
		rounds=$((left < PER_GUEST ? left : PER_GUEST))
		echo "$seed $rounds"
		seed=$((seed + rounds)) left=$((left - rounds))
	done
}

plan() {
	is=$(setup)
	guests | while read -r seed rounds; do
		file=$dir/$(name "$seed" "$rounds")
		[ "$RESUME" = 1 ] && grep -qx "setup $is" "$file" 2>/dev/null &&
			! grep -q '^failed' "$file" || echo "$seed $rounds"
	done
}

table() {
	is=$(setup)
	set --
	while read -r seed rounds; do
		file=$dir/$(name "$seed" "$rounds")
		! grep -qx "setup $is" "$file" 2>/dev/null || set -- "$@" "$file"
	done <<-EOF
	$(guests)
	EOF
	[ $# -gt 0 ] || fail "nothing was run"
	echo "$(git -C "${SOURCE:-$BUILD/src}" log -1 --format='series: tree %T'), setup $is"
	awk -v wanted="$ROUNDS" -f "$harness/soak.awk" "$@"
}

for number in "$SEED" "$ROUNDS"; do
	case $number in
	''|*[!0-9]*) fail "SEED=$SEED and ROUNDS=$ROUNDS are to be numbers" ;;
	esac
done
for file in "$OUT/arch/x86/boot/bzImage" "$BUILD/initramfs.cpio"; do
	[ -r "$file" ] || fail "$file is missing (make kernel initramfs)"
done
mkdir -p "$dir"
if [ "${1:-}" != --table ]; then
	plan >"$dir/plan"
	while read -r seed rounds; do
		rm -f "$dir/$(name "$seed" "$rounds")"
	done <"$dir/plan"
	: >"$dir/done"
	date +%s >"$dir/begun"
	echo "$(wc -l <"$dir/plan") guests, ${JOBS:-1} at a time; schedules: $dir/, logs: $BUILD/logs/soak-*/"
	xargs -r -P "${JOBS:-1}" -L 1 "$0" --guest <"$dir/plan"
	echo
fi
table
