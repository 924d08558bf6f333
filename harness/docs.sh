#!/bin/sh
# make docs: the kernel's documentation, as far as the series touches it, rendered by
# Sphinx, and its comments read by kernel-doc: is there a warning that the kernel does
# not have without the series? What was rendered is in $BUILD/docs.
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

# Directories of Documentation; ABI files are rendered as part of the admin-guide.
directories=$(git -C "$src" diff --name-only base applied -- Documentation |
	cut -d / -f 2 | sed 's/^ABI$/admin-guide/' | sort -u | tr '\n' ' ')
objects=$BUILD/docs
known=$objects/known-$(git -C "$src" rev-parse base)

# render TREE OBJECTS LOG
render() {
	say DOCS "$directories, of $1"
	mkdir -p "$2"
	nice make -C "$1" O="$PWD/$2" SPHINXDIRS="${directories% }" htmldocs >"$3" 2>&1 || {
		cat "$3" >&2
		die "cannot render $1/Documentation" "next: see $3"
	}
	for file in $(touched); do
		! [ -e "$1/$file" ] || (cd "$1" && scripts/kernel-doc -none -Wall "$file") >>"$3" 2>&1 || :
	done
}

# rendered LOG: what it complains about, wherever the tree and what was made of it are.
rendered() {
	warnings "$1" | sed -E "s#$PWD/($src|$tree|$objects/base|$objects/patched)/##g" | sort -u
}

mkdir -p "$objects" "$log"
if ! [ -e "$known" ]; then
	tree_at base
	render "$tree" "$objects/base" "$log/docs-base"
	rendered "$log/docs-base" >"$known"
	rm -rf "$objects/base"
fi
render "$src" "$objects/patched" "$log/docs"
new=$(rendered "$log/docs" | comm -23 - "$known")
[ -z "$new" ] || die "new warnings:" "$new" "next: see $log/docs"
say DOCS "no new warning; $objects/patched/Documentation/output"
