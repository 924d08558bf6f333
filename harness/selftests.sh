#!/bin/sh
# Build the selftests inside the kernel tree, where the kernel's own makefiles
# find them, and install them to $BUILD/selftests.
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

overlay=$src/tools/testing/selftests/hotremove
installed=$PWD/$BUILD/selftests

rsync -a --delete --filter=':- .gitignore' selftests/ "$overlay"
rm -rf "$installed.new"
say SELFTEST "$BUILD/selftests"
logged headers "make initramfs V=1" \
	make -C "$src" O="$PWD/$OUT" -j"$JOBS" headers
# FORCE_TARGETS: without it a test that does not build is no error.
logged selftests "make initramfs V=1" \
	make -C "$src/tools/testing/selftests" O="$PWD/$OUT" -j"$JOBS" \
	TARGETS=hotremove FORCE_TARGETS=1 INSTALL_PATH="$installed.new" install
# All of them are in the guest's memory, each with a C library of its own.
find "$installed.new" -type f -perm -u+x | while read -r file; do
	case $(head -c 4 "$file" | tail -c 3) in
	ELF)	"${CROSS_COMPILE-}strip" "$file" ;;
	esac
done
rm -rf "$installed"
mv "$installed.new" "$installed"
