#!/bin/sh
# Build the configured kernel of $BUILD/src in $OUT.
#
#	harness/kernel.sh STAMP		touches STAMP if there is a new image or module
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

stamp=$1
mkdir -p "$log"
rm -f "$OUT/.failed"

image=${IMAGE:-arch/x86/boot/bzImage}
targets=${image##*/}
! grep -qx CONFIG_MODULES=y "$OUT/.config" || targets="$targets modules"

# Minutes without a sign of life look like a hang: one line per 250 files.
progress() {
	if [ "${V:-0}" != 0 ]; then
		cat >&2
	else
		awk -v quiet="${QUIET-}" '/^  [A-Z]/ && ++n % 250 == 0 && !quiet {
			printf "  KERNEL   %d files\n", n >"/dev/stderr" }'
	fi
}

# shellcheck disable=SC2086 # a list of targets
{ make -C "$src" O="$PWD/$OUT" -j"$JOBS" V="${V:-0}" $targets 2>&1 ||
	touch "$OUT/.failed"; } | tee "$log/kernel" | progress

if [ -e "$OUT/.failed" ]; then
	rm -f "$stamp"
	[ "${V:-0}" != 0 ] || grep -v '^  [A-Z]' "$log/kernel" >&2 || :
	die "the kernel does not build; all that was done: $log/kernel" \
		"next: correct $src or the patches, then make kernel JOBS=1"
fi
if [ ! -e "$stamp" ] || [ -n "$(find "$OUT" -type f \( -name "${image##*/}" -o -name "*.ko" \) \
		-newer "$stamp" | head -n 1)" ]; then
	say KERNEL "$OUT/$image"
	touch "$stamp"
fi
