#!/bin/sh
# After every patch, with CONFIG_MIGRATE_HOTREMOVE y and n: what the series
# touches compiles with W=1 and without a warning that the kernel did not have
# before the series.
#
# One object tree per setting walks from commit to commit, so that each step
# compiles only what its patch changed. A step that was found good is not
# repeated: the same patches are the same commits.
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

dir=$BUILD/bisect
base=$(git -C "$src" rev-parse base)
files=$(touched)
[ -n "$files" ] || { say BISECT "the series is empty"; exit 0; }

# What to build of the tree that is checked out. The two directories have most
# users of the headers, and files of our own that one of the settings leaves out.
targets() {
	for file in $files; do
		case $file in
		mm/*|drivers/base/*|*.h) printf '%s\n' mm/ drivers/base/ ;;
		# not built by the kernel's makefiles, or not for this machine
		tools/* | arch/powerpc/*) ;;
		*)	! [ -e "$tree/$file" ] || echo "${file%.c}.o" ;;
		esac
	done | sort -u | tr '\n' ' '
}

# Adds to the log: what an earlier run compiled before it was interrupted, or
# failed, is not compiled again and still has to be judged.
compile() {
	# shellcheck disable=SC2046 # a list of targets
	make -C "$tree" O="$PWD/$objects" -j"$JOBS" W=1 $(targets) >>"$output" 2>&1 || {
		cat "$output" >&2
		die "does not compile with MIGRATE_HOTREMOVE=$option: $subject" \
			"next: make -C $tree O=$PWD/$objects W=1 $(targets)"
	}
}

new_warnings() {
	warnings "$output" | comm -23 - "$known"
}

# Sets up the object tree for the commit: symbols come with the patches.
configure() {
	tree_at "$1"
	mkdir -p "$objects"
	cp "$OUT/.config" "$objects/.config"
	[ "$option" = y ] ||
		"$tree/scripts/config" --file "$objects/.config" --disable MIGRATE_HOTREMOVE
	logged bisect-config "make bisect-check V=1" \
		make -C "$tree" O="$PWD/$objects" olddefconfig
}

check() {
	configure "$1"
	compile
	if [ "$1" = "$base" ]; then
		warnings "$output" | sort -u -o "$known" - "$known"
	elif [ -n "$(new_warnings)" ]; then
		# Of this commit, or left over? Ask once more.
		new_warnings | cut -d: -f1 | (cd "$tree" && xargs touch -c)
		: >"$output"
		compile
		[ -z "$(new_warnings)" ] ||
			die "new warnings with MIGRATE_HOTREMOVE=$option: $subject" \
				"$(new_warnings)" "next: see $output"
	fi
	rm -f "$output"
}

mkdir -p "$dir"
for option in y n; do
	objects=$dir/$option
	output=$dir/$option.log
	known=$dir/known-$option-$base
	good=$dir/good-$option
	touch "$known" "$good"
	for commit in $base $(git -C "$src" rev-list --reverse base..applied); do
		subject=$(git -C "$src" log -1 --format=%s "$commit")
		# The base has to be asked again when the series touches other files.
		key="$commit $([ "$commit" != "$base" ] || echo "$files" | cksum)"
		! grep -qxF "$key" "$good" || continue
		say "W=1 $option" "$subject"
		check "$commit"
		echo "$key" >>"$good"
	done
done
say BISECT "every patch compiles with the option on and off, no new warning"
