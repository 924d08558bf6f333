# shellcheck shell=sh
# What the build scripts share. Sourced from the top directory.

: "${SERIES:?run this through make}" "${BUILD:=build/$SERIES}"
src=${SOURCE:-$BUILD/src}
log=$PWD/$BUILD/log

# One git for everybody: the same mails and commit ids on every machine, also
# where nobody ever told git a name. And none but those it is told: git rebase --exec
# and hooks name their own.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_COMMITTER_NAME=hotremove GIT_COMMITTER_EMAIL=hotremove@localhost
# Nor does a kernel say when and where it was built: results name it by its image.
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_USER=hotremove KBUILD_BUILD_HOST=localhost

# say WHAT TEXT: one short line of progress, silent under make -s.
say() {
	[ -n "${QUIET-}" ] || printf '  %-8s %s\n' "$1" "$2" >&2
}

# die LINE...: what was tried, on what, why it failed; last what to type next.
die() {
	printf '%s\n' "$@" >&2
	exit 1
}

# logged NAME NEXT COMMAND...: quiet when it works; otherwise the whole log and
# then NEXT, the command to type.
logged() {
	_log=$log/$1 _next=$2
	shift 2
	mkdir -p "$log"
	if [ "${V:-0}" != 0 ]; then
		echo "+ $*" >&2
		"$@" >&2 || die "failed: $*" "next: $_next"
		return
	fi
	"$@" >"$_log" 2>&1 || {
		cat "$_log" >&2
		die "failed: $*" "log: $_log" "next: $_next"
	}
}

# Package lists older than a day may name versions the archive has dropped.
# (The lists' own times are the archive's, the directory's is ours.)
apt_update_if_old() {
	[ -z "$(find /var/lib/apt/lists/partial -maxdepth 0 -mtime -1 2>/dev/null)" ] ||
		! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || return 0
	[ "$(id -u)" = 0 ] || return 0
	say UPDATE "the package lists"
	logged apt-update "apt-get update" apt-get update -q
}

# The developer's work that is in the tree but not in patches/, if any.
unsaved() {
	[ -e "$src/.git" ] || return 0
	git -C "$src" status --porcelain --untracked-files=normal &&
	git -C "$src" log --oneline applied..HEAD
}

# tree_at COMMIT: a second work tree, to compile other commits than the last.
tree=$BUILD/bisect/src
tree_at() {
	if ! [ -e "$tree/.git" ]; then
		git -C "$src" worktree prune
		git -C "$src" worktree add -q --detach "$PWD/$tree" "$1"
	fi
	git -C "$tree" checkout -q --detach "$1"
}

# Prints what the tools complain about in a build log, without the line numbers,
# which move when a patch adds lines above.
warnings() {
	grep -E '(warning|error|WARNING):' "$1" |
		sed -E "s|^$PWD/($src\|$tree)/||; s|^(\.\./)*||; s/:[0-9]+(:[0-9]+)?:/:/" |
		sort -u
}

# results_dir NUMBERS...: where results are kept, by the kernel that a guest names.
results_dir() {
	_kernel=$(awk -F '\t' '$4 == "kernel" { sub(/[ +].*/, "", $5); print $5; exit }' "$@")
	[ -n "$_kernel" ] || die "no kernel is named in $*" "next: make bench"
	mkdir -p "docs/results/$_kernel"
	echo "docs/results/$_kernel"
}

# The .c and .h files the series touches.
touched() {
	git -C "$src" diff --name-only base applied -- '*.c' '*.h'
}
