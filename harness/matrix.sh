#!/bin/sh
# The series in other configurations than the guests': CONFIG_MIGRATE_HOTREMOVE y
# and n with something of the kernel left out, on another machine, by another
# compiler. The files that the series touches compile with W=1, as far as the
# configuration has them, without a warning that the kernel does not have
# without it. That is enough for what is tried here, stubs in headers, and takes
# a minute a row; nothing is run, and nothing linked but in the row "modules", where
# drivers want what the series exports. Others who include these headers are
# compiled by bisect-check, in the configuration of the guests.
#
#	harness/matrix.sh [NAME...]	rows of the table below; none: all
#
# One object tree for each compiler goes from row to row. A row that was found
# good is not repeated while the sources are the same.
set -eu
cd "$(dirname "$0")/.."
. harness/lib.sh

# name, compiler, configuration to start from, what CONFIG_MIGRATE_HOTREMOVE is
# to be (lost: asked for, and refused by Kconfig), symbols to switch off, on (+) or
# to make a module (@)
rows() {
	for option in y n; do
		cat <<-EOF
		guest x86_64 guest $option
		no-cma x86_64 guest $option CMA
		no-numa x86_64 guest $option NUMA
		no-smp x86_64 guest $option SMP
		no-memcg x86_64 guest $option MEMCG
		no-swap x86_64 guest $option SWAP
		no-thp x86_64 guest $option TRANSPARENT_HUGEPAGE
		no-hugetlb x86_64 guest $option HUGETLBFS
		rt x86_64 guest $option +EXPERT +PREEMPT_RT
		EOF
	done
	# transparent huge pages select compaction
	cat <<-EOF
	damon x86_64 guest y +DAMON +DAMON_PADDR
	modules x86_64 guest y @VIRTIO_MEM @VIRTIO_BALLOON
	no-compaction x86_64 guest lost TRANSPARENT_HUGEPAGE COMPACTION
	no-remove x86_64 guest lost MEMORY_HOTREMOVE
	no-hotplug x86_64 guest lost MEMORY_HOTPLUG
	defconfig x86_64 defconfig y
	defconfig x86_64 defconfig n
	clang clang guest y
	clang clang guest n
	arm64 arm64 defconfig y
	arm64 arm64 defconfig n
	EOF
}

dir=$BUILD/matrix
base=$(git -C "$src" rev-parse base)
# What is warned of without the series, in whatever row it was asked.
known=$dir/known-$base
good=$dir/good
touched=$(touched)

# kmake SOURCE OBJECTS TARGET...
kmake() {
	_source=$1 _objects=$2
	shift 2
	case $compiler in
	arm64)	set -- ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- "$@" ;;
	clang)	set -- CC=clang "$@" ;;
	esac
	nice -n 10 make -C "$_source" O="$PWD/$_objects" -j"$JOBS" "$@"
}

# configure SOURCE OBJECTS
configure() {
	mkdir -p "$2"
	changes=
	if [ "$start" = guest ]; then
		cp "$OUT/.config" "$2/.config"
	else
		logged matrix-config "make matrix V=1" kmake "$1" "$2" "$start"
		# what the option depends on
		changes="-e MEMORY_HOTPLUG -e MEMORY_HOTREMOVE"
	fi
	for symbol in $off; do
		case $symbol in
		+*)	changes="$changes -e ${symbol#+}" ;;
		@*)	changes="$changes -m ${symbol#@}" ;;
		*)	changes="$changes -d $symbol" ;;
		esac
	done
	[ "$option" = n ] && changes="$changes -d" || changes="$changes -e"
	# shellcheck disable=SC2086 # a list of words
	"$src/scripts/config" --file "$2/.config" $changes MIGRATE_HOTREMOVE
	logged matrix-config "make matrix V=1" kmake "$1" "$2" olddefconfig
}

# Did Kconfig do what it was told, and refuse what it should?
configured() {
	for symbol in $off; do
		case $symbol in
		[+@]*)	grep -q "^CONFIG_${symbol#[+@]}=[ym]" "$1" ||
				die "$row: something keeps ${symbol#?} out" "next: see $1" ;;
		*)	! grep -q "^CONFIG_$symbol=" "$1" ||
				die "$row: something selects $symbol" "next: see $1" ;;
		esac
	done
	is=n
	! grep -q '^CONFIG_MIGRATE_HOTREMOVE=y' "$1" || is=y
	case $option-$is in
	y-y | n-n | lost-n) ;;
	*)	die "$row: MIGRATE_HOTREMOVE=$is" "next: see $1" ;;
	esac
}

# targets SOURCE OBJECTS: of the files the series touches, those that this
# configuration builds. Not tools/, which has makefiles of its own, nor arch/.
targets() {
	[ "$name" != modules ] || { echo "vmlinux modules"; return; }
	# shellcheck disable=SC2016 # variables of make
	for directory in drivers/base drivers/virtio fs/proc kernel/cgroup mm mm/damon; do
		printf '%s\n' "include $2/.config" "include $1/$directory/Makefile" \
			'objects := $(foreach o,$(obj-y),$(or $($(o:.o=-y)),$(o)))' \
			'print: ; @printf "%s\n" $(objects)' |
			make -s -f - print | sed "s|^|$directory/|; s|o\$|c|" |
			grep -xF "$touched" | sed 's|c$|o|'
	done
}

# compile SOURCE OBJECTS LOG: adds to the log, as what was compiled before an
# error is not compiled again and still has to be judged.
compile() {
	# Of the whole kernel that would be for others to look at.
	warn=W=1
	[ "$name" != modules ] || warn=
	# shellcheck disable=SC2046,SC2086 # a list of targets
	kmake "$1" "$2" $warn $(targets "$1" "$2") >>"$3" 2>&1 || {
		cat "$3" >&2
		die "$row: does not compile" "next: see $3"
	}
}

new_warnings() {
	warnings "$output" | comm -23 - "$known"
}

check() {
	objects=$dir/$compiler
	output=$dir/$compiler.log
	configure "$src" "$objects"
	configured "$objects/.config"
	compile "$src" "$objects" "$output"
	if [ -n "$(new_warnings)" ]; then
		say "W=1" "the same without the series"
		tree_at "$base"
		configure "$tree" "$objects-base"
		compile "$tree" "$objects-base" "$output-base"
		warnings "$output-base" | sort -u -o "$known" - "$known"
	fi
	[ -z "$(new_warnings)" ] ||
		die "$row: new warnings" "$(new_warnings)" "next: see $output"
	rm -f "$output" "$output-base"
}

mkdir -p "$dir"
touch "$known" "$good"
state=$(git -C "$src" rev-parse 'HEAD^{tree}')
rows | while read -r name compiler start option off; do
	row="$name, MIGRATE_HOTREMOVE=$option"
	case " ${*:-$name} " in
	*" $name "*) ;;
	*)	continue ;;
	esac
	! grep -qxF "$state $row $off" "$good" || continue
	say "W=1" "$row"
	check </dev/null
	# what is not committed is part of no state
	[ -n "$(git -C "$src" status --porcelain -uno)" ] || echo "$state $row $off" >>"$good"
done
say MATRIX "each of these configurations compiles, no new warning"
