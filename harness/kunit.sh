#!/bin/sh
# make kunit: the unit tests of the series by the kernel's own kunit.py, which boots
# QEMU with nothing of this project in it. (make check boots them in a guest of ours
# as well, whose log is scanned as that of any other.)
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

harness/packages.sh kunit
out=$(cd "$OUT" && pwd)
cd "$src"
logged kunit "V=1 make kunit" python3 tools/testing/kunit/kunit.py exec \
	--arch x86_64 --build_dir "$out" --timeout $((300 * TIMEOUT_MUL))
[ "${V:-0}" != 0 ] || grep 'Testing complete' "$log/kunit"
