#!/bin/sh
# The patches of $SERIES and the branch "hotremove" of $BUILD/src, which is
# "base" plus one commit per patch. "applied" is the last state that was the
# same in both places.
#
#	harness/series.sh list		the patch files in order
#	harness/series.sh apply		patches -> branch
#	harness/series.sh refresh	branch -> patches
#	harness/series.sh export DIR	branch plus the selftests -> mails in DIR,
#					$patches/cover-letter being the first
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

patches=patches/$SERIES
series=$patches/series
scratch=$BUILD/scratch

list() {
	sed 's/[[:space:]]*#.*//; /^$/d' "$series"
}

# A work tree of COMMIT with a full index and no files: am and commit take
# what they need from the index, and the real files keep their times.
make_scratch() {
	git -C "$src" worktree prune
	rm -rf "$scratch"
	git -C "$src" worktree prune
	git -C "$src" worktree add -q --no-checkout --detach "$PWD/$scratch" "$1"
	git -C "$scratch" read-tree HEAD
}

drop_scratch() {
	git -C "$src" worktree remove --force "$PWD/$scratch"
}

apply() {
	unsaved=$(unsaved)
	[ -z "$unsaved" ] ||
		die "$src has changes that are not in $patches:" "$unsaved" \
			"next: make refresh, or to throw them away:" \
			"      git -C $src reset --hard applied && git -C $src clean -fd"
	make_scratch base
	for patch in $(list); do
		say APPLY "$patch"
		[ -r "$patches/$patch" ] || die "$series names $patch, which does not exist"
		# The date: the same patches give the same commit ids.
		git -C "$scratch" am -q --committer-date-is-author-date \
			--keep-non-patch "$PWD/$patches/$patch" >"$scratch.log" 2>&1 ||
			no_match "$patch"
	done
	rm -f "$scratch.log"
	# Writes only the files that differ between the two commits.
	git -C "$src" reset -q --keep "$(git -C "$scratch" rev-parse HEAD)"
	git -C "$src" tag --force applied HEAD >/dev/null
	drop_scratch
}

# Prints the hunk, which am does not.
no_match() {
	git -C "$scratch" apply --cached --verbose "$PWD/$patches/$1" >&2 &&
		cat "$scratch.log" >&2
	die "$patches/$1 does not apply to $(git -C "$src" log -1 --format=%s base)" \
		"with the patches before it; the file, the line and the hunk are above" \
		"next: correct $patches/$1, then make patched"
}

format_patch() {
	git -C "$src" -c core.abbrev=12 format-patch -q --zero-commit --no-signature \
		"$@"
}

# Prints what $series says about a patch of that subject, whatever its number.
state() {
	sed -n "s/^[0-9]*-$1[[:space:]]*\(#.*\)/\1/p" "$series"
}

refresh() {
	[ "$(git -C "$src" symbolic-ref -q HEAD)" = refs/heads/hotremove ] ||
		die "$src is not on its branch, a rebase is under way?" \
			"next: git -C $src status"
	dirty=$(git -C "$src" status --porcelain)
	[ -z "$dirty" ] ||
		die "$src has changes that are in no commit:" "$dirty" \
			"next: git -C $src commit --amend (or --fixup and rebase --autosquash base), then make refresh"
	unfolded=$(git -C "$src" log --oneline --grep='^\(fixup\|squash\|amend\)!' base..HEAD)
	[ -z "$unfolded" ] ||
		die "these are to be folded first:" "$unfolded" \
			"next: GIT_SEQUENCE_EDITOR=: git -C $src rebase -i --autosquash base, then make refresh"

	new=$BUILD/refreshed
	rm -rf "$new"
	mkdir -p "$new"
	format_patch --no-numbered --abbrev=12 -o "$PWD/$new" base..HEAD

	sed '/^[^#]/,$d' "$series" >"$new/series"
	for path in "$new"/*.patch; do
		[ -e "$path" ] || break
		patch=${path##*/}
		was=$(state "${patch#*-}")
		printf '%s\t%s\n' "$patch" "${was:-# not yet}" >>"$new/series"
	done
	for patch in $(list); do
		[ -e "$new/$patch" ] || { say REMOVE "$patch"; rm -f "$patches/$patch"; }
	done
	# What did not change keeps its time, for make.
	for path in "$new"/*; do
		cmp -s "$path" "$patches/${path##*/}" && continue
		say WRITE "$patches/${path##*/}"
		cp "$path" "$patches"
	done
	rm -rf "$new"
	git -C "$src" tag --force applied HEAD >/dev/null
}

# Fills in the form: the first line of the text is the subject.
cover() {
	awk -v text="$patches/cover-letter" '
		/^Subject:/ && (getline line <text) > 0 {
			sub(/\*\*\* SUBJECT HERE \*\*\*/, line)
			getline line <text
		}
		/^\*\*\* BLURB HERE/ {
			while ((getline line <text) > 0)
				print line
			next
		}
		1' "$1" >"$1.filled"
	mv "$1.filled" "$1"
}

# The selftests as the kernel wants them: in their directory and in TARGETS.
export_to() {
	dir=$1
	case $dir in
	"$BUILD"/*) rm -rf "$dir" ;;
	esac
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
	! ls "$dir"/*.patch >/dev/null 2>&1 ||
		die "$dir has patches already" "next: rm $dir/*.patch, or make export DIR=<another>"
	make_scratch hotremove
	tests=tools/testing/selftests
	mkdir -p "$scratch/$tests"
	rsync -a --filter=':- .gitignore' selftests/ "$scratch/$tests/hotremove"
	git -C "$scratch" show "HEAD:$tests/Makefile" |
		awk '!done && /^TARGETS \+= / && $3 > "hotremove" {
			print "TARGETS += hotremove"; done = 1 } 1' >"$scratch/$tests/Makefile"
	git -C "$scratch" show HEAD:MAINTAINERS |
		sed "s|^F:\\t$tests/memory-hotplug/|F:\\t$tests/hotremove/\\n&|" >"$scratch/MAINTAINERS"
	git -C "$scratch" add -f "$tests/hotremove" "$tests/Makefile" MAINTAINERS
	GIT_AUTHOR_NAME=$(git -C "$scratch" log -1 --format=%an)
	GIT_AUTHOR_EMAIL=$(git -C "$scratch" log -1 --format=%ae)
	GIT_AUTHOR_DATE=$(git -C "$scratch" log -1 --format=%aI)
	export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
	git -C "$scratch" commit -q -F - <<-EOM
	selftests: hotremove: test hot-removable memory blocks

	Nothing in the tree drives the life of a memory block from outside: plug,
	online, load, take back, and look at what is left behind.

	Add tests that do so for blocks of type MIGRATE_HOTREMOVE: the interface with
	its refusals, what may and may not lie in such a block, that removal works
	under load and loses no byte, and that an aborted one puts everything back.

	They need root and skip what the machine lacks. Those that plug memory expect
	a virtual machine whose monitor is reachable through the virtio-serial port
	"qmp".
	EOM
	# The cover letter is from who commits, and of that time.
	GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL \
		GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE format_patch --numbered \
		--cover-letter -o "$dir" "base..$(git -C "$scratch" rev-parse HEAD)"
	drop_scratch
	cover "$dir/0000-cover-letter.patch"
	say EXPORT "$(find "$dir" -name '*.patch' | wc -l) mails in $dir; next: git am --empty=drop $1/*.patch"
}

case $1 in
list|apply|refresh)	"$1" ;;
export)			export_to "$2" ;;
esac
