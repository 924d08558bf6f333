# SPDX-License-Identifier: GPL-2.0
# From a pristine machine to a verdict: `make` and `make check` are all you need.

# All the knobs. Set them on the command line or in the environment.
## the kernel to start from: a git tree or an unpacked tarball (never written to); empty: Debian's source package
KERNEL_SRC  ?=
## the series to use, a directory of patches/
SERIES      ?= 6.12
## compiler processes at a time
JOBS        ?= $(shell nproc)
## QEMU accelerator, kvm or tcg; empty: find out by booting a guest
ACCEL       ?=
## the guest's machine: x86_64 or arm64 (make check, shell, kernel)
ARCH        ?= x86_64
## KiB in a page of arm64: 4 or 64
PAGE_KIB    ?= 4
## the hypervisor
QEMU        ?= qemu-system-$(ARCH:arm64=aarch64)
## 1: a kernel with debugging options, built beside the other
DEBUG       ?= 0
## what make check runs: test or variant:test, separated by commas; empty: all
TESTS       ?=
## 0: a test that failed is not run once more
RETRY       ?= 1
## what make bench runs: rows of qemu-configs/bench or patterns (a,b*); empty: all
BENCH       ?=
## further words for each scenario of make bench: seed=5,rounds=100
BENCH_ARGS  ?=
## 1: make bench, make soak and make upstream go on where they were interrupted
RESUME      ?= 0
## how often make bench-wallclock runs each guest
TIMES       ?= 6
## what make soak runs: the first schedule
SEED        ?= 1
## how many of them
ROUNDS      ?= 10000
## who races against the removal, a name of harness/soak.c; all: each in turn
PAIR        ?= all
## further words for that program: plant=byte, plant=block
SOAK_ARGS   ?=
## what make upstream runs: collection:program of qemu-configs/upstream or patterns (mm:*,stress-ng:*); empty: all
UPSTREAM    ?=
## factor on every time limit, for slow machines
TIMEOUT_MUL ?= 1
## what make bench-compare compares: A= was, B= is; empty: what was kept, and the last make bench
A           ?=
## see A=
B           ?=
## where make export puts its mails
DIR         ?= $(BUILD)/export
## 1: show every command and all its output
V           ?= 0

# What is not the default machine has a directory in which all but the source is its own.
machine := $(filter-out x86_64-4,$(ARCH)-$(PAGE_KIB))
TREE    := build/$(SERIES)
SOURCE  := $(TREE)/src
BUILD   := $(TREE)$(addprefix /,$(patsubst %-64,%-64k,$(machine:-4=)))
OUT     := $(BUILD)/out$(if $(filter-out 0,$(DEBUG)),-debug)
IMAGE   := $(if $(machine),arch/arm64/boot/Image,arch/x86/boot/bzImage)
run   := . harness/lib.sh;
# make -s
QUIET := $(findstring s,$(firstword -$(MAKEFLAGS)))

export ACCEL BENCH BENCH_ARGS BUILD DEBUG JOBS KERNEL_SRC OUT QEMU QUIET RESUME RETRY \
	SERIES TESTS TIMES TIMEOUT_MUL UPSTREAM V SEED ROUNDS PAIR SOAK_ARGS \
	IMAGE PAGE_KIB SOURCE
# None of this is meant for the makefiles of the kernel.
unexport MAKEFLAGS
# But these are, and leave the kernel's default alone where it is the machine.
CROSS_COMPILE ?= $(if $(filter-out $(ARCH:arm64=aarch64),$(shell uname -m)),aarch64-linux-gnu-)
ifeq ($(machine),)
unexport ARCH CROSS_COMPILE
else
export ARCH CROSS_COMPILE
endif
ifeq ($(filter x86_64-4 arm64-4 arm64-64,$(ARCH)-$(PAGE_KIB)),)
$(error ARCH=$(ARCH) PAGE_KIB=$(PAGE_KIB): there are ARCH=x86_64, ARCH=arm64 and ARCH=arm64 PAGE_KIB=64)
endif

# Their guests are made for the default machine.
ifneq ($(machine),)
others := $(filter-out check shell source patched kernel kernel-image initramfs clean \
	distclean help,$(or $(MAKECMDGOALS),demo))
$(if $(others),$(error make $(others) is for ARCH=x86_64 only))
endif

ifeq ($(wildcard patches/$(SERIES)/series),)
$(error no patches/$(SERIES)/series; SERIES= is one of: $(patsubst patches/%/series,%,$(wildcard patches/*/series)))
endif

.DELETE_ON_ERROR:
# Each step is parallel in itself.
.NOTPARALLEL:
.SUFFIXES:
.PHONY: demo check bench bench-repeat bench-wallclock bench-compare plots table soak \
	upstream dump kcsan kunit shell source patched kernel kernel-image initramfs lint lint-style \
	bisect-check matrix docs export refresh clean distclean help \
	packages lint-packages FORCE
ifneq ($(V),1)
.SILENT:
endif

## seven guests, two tables and a transcript: what comes back, what the kernel is lent (the default)
demo: kernel initramfs
	harness/demo.sh

## all tests in all guest variants
check: kernel initramfs
	harness/check.sh

## what kernel memory gets, stock and with the series: the table and raw numbers
bench: kernel initramfs
	harness/bench-kernels.sh
	harness/bench.sh

## two runs of the same guests: are the numbers the same? one row if BENCH= is empty
bench-repeat: kernel initramfs
	BENCH='$(or $(BENCH),j)' harness/bench-kernels.sh
	BENCH='$(or $(BENCH),j)' harness/bench.sh --repeat

# Rows with one CPU that take seconds under KVM.
wallclock_rows := k,k-full,r-empty,r-full,t-*

## time on this host, best with KVM: medians of TIMES= runs, stock and with the series
bench-wallclock: kernel initramfs
	BENCH='$(or $(BENCH),$(wallclock_rows))' harness/bench-kernels.sh
	BENCH='$(or $(BENCH),$(wallclock_rows))' harness/bench.sh --wallclock

## the ratios of two runs, A= and B=: files like raw.tsv
bench-compare:
	awk -f harness/bench-compare.awk \
		$(or $(A),$(lastword $(shell ls -v docs/results/*/raw.tsv))) \
		$(or $(B),$(BUILD)/bench/raw.tsv) qemu-configs/bench

## draw the curves of the last make bench, with the data, in docs/results/<kernel>
plots:
	harness/packages.sh plots
	harness/plots.sh

## write docs/results/<kernel>/table.md, of the numbers kept beside it
table:
	harness/table.sh

## the kernel's own suites and stress-ng, stock and with the series: what is not the same
upstream: kernel initramfs
	harness/packages.sh upstream
	harness/bench-kernels.sh stock-upstream upstream
	harness/upstream.sh

## a dump of a guest, stock and with the series: does makedumpfile find in it what is free?
dump: kernel initramfs
	harness/packages.sh dump
	PATCHED=$(OUT) harness/bench-kernels.sh stock
	harness/dump.sh

## thousands of schedules of a removal and somebody else, each with a seed
soak: kernel initramfs
	harness/soak.sh

## data races that KCSAN finds, stock and with the series: what is not the same
kcsan: kernel initramfs
	harness/bench-kernels.sh stock-kcsan kcsan
	harness/kcsan.sh

## the kernel's unit tests for the series, by its own kunit.py
kunit: kernel
	harness/kunit.sh

## an interactive guest with memory to plug
shell: kernel initramfs
	harness/shell.sh

## fetch or clone the kernel source to build/<series>/src
source: $(TREE)/.source

## apply the series there, one commit per patch
patched: $(TREE)/.patched

## build the kernel
kernel: $(OUT)/.built

## build the kernel and print the path of its image; with -s nothing else
kernel-image: kernel
	echo $(abspath $(OUT)/$(IMAGE))

## build the selftests and pack the guest's file system
initramfs: $(BUILD)/initramfs.cpio

## check the style of everything: checkpatch, sparse, shellcheck, clang-format
lint: patched lint-packages $(OUT)/.config
	harness/lint.sh style sparse

## the same without sparse, which compiles
lint-style: patched lint-packages
	harness/lint.sh style

## compile after every patch, with the option on and off, no new warning
bisect-check: patched $(OUT)/.config
	harness/bisect-check.sh

## compile in other configurations, on arm64 and by clang: option on and off, no new warning
matrix: patched $(OUT)/.config
	harness/packages.sh matrix
	harness/matrix.sh

## render the kernel's documentation, as far as the series touches it: no new warning
docs: patched
	harness/packages.sh docs
	harness/docs.sh

## write the commits of build/<series>/src back to patches/
refresh: $(TREE)/.source
	harness/series.sh refresh
	touch $(TREE)/.patched

## write mails for git am to DIR: the series and the selftests
export: patched
	harness/series.sh export $(DIR)

## remove what was built, keep the source
clean:
	rm -rf $(filter-out $(SOURCE) $(TREE)/download,$(wildcard $(BUILD)/*)) \
		$(BUILD)/.selftests

## remove everything that was made or fetched
distclean:
	$(run) left=$$(unsaved) || die "cannot tell what is unsaved in $$src" "next: rm -rf build"; \
		[ -z "$$left" ] || die "$$src has changes that are not in patches/:" \
		"$$left" "next: make refresh, or rm -rf build"
	rm -rf build

## show this
help:
	awk -f harness/help.awk $(firstword $(MAKEFILE_LIST))

packages:
	harness/packages.sh

lint-packages:
	harness/packages.sh lint

# A file with the value of a variable, newer than what was made with another.
$(BUILD)/.OUT: FORCE
	mkdir -p $(BUILD)
	echo '$(OUT)' | cmp -s - $@ || echo '$(OUT)' >$@

# FORCE: these look for themselves, and leave the file alone if nothing is new.
$(TREE)/.source: FORCE | packages
	mkdir -p $(TREE)
	harness/source.sh $@

$(TREE)/.patched: $(TREE)/.source patches/$(SERIES)/series $(wildcard patches/$(SERIES)/*.patch)
	harness/series.sh apply
	touch $@

$(OUT)/.config: $(TREE)/.patched harness/config.sh $(wildcard qemu-configs/*.config)
	$(run) say CONFIG $@; logged config "make kernel V=1" harness/config.sh $(SOURCE) $(OUT)

$(OUT)/.built: $(OUT)/.config FORCE
	harness/kernel.sh $@

$(BUILD)/.selftests: $(TREE)/.patched $(OUT)/.built $(wildcard selftests/*)
	harness/selftests.sh
	touch $@

$(BUILD)/initramfs.cpio: $(BUILD)/.selftests $(BUILD)/.OUT $(OUT)/.built \
		$(wildcard harness/*.[ch] harness/guest/*) harness/initramfs.sh
	$(run) say INITRD $@; logged initramfs "make initramfs V=1" harness/initramfs.sh
