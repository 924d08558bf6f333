// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that it does not matter which allocation fails while a memory
 * block goes offline, comes online, is switched, or is allocated from: either it is
 * done all the same, or all is as before and it can be done again.
 *
 * Why: each of these allocations has an error path that nobody takes, as so little
 * memory is asked for. What such a path forgets, a pageblock that stays isolated, a
 * type or a count, is found much later: by who cannot remove the memory.
 *
 *   n = 1, 2, 3, ...   [ n -> fail-nth ][ operation ][ fail-nth -> left ]
 *
 *   left == 0   the nth allocation failed: done, or an errno and all as before
 *   left > 0    there are fewer than n: done, and that was the last one
 *
 * Only what this task asks for fails, kernel threads get theirs. Like ones come in
 * thousands, one for each page that moves or that KASAN needs for what comes online.
 * Where the time is too short for all, some between the first and the last are left
 * out.
 *
 * Releasing memory to the kernel is not among the operations: a request that is to
 * fail does so before it comes to where memory is lent, and who lends it allocates
 * nothing.
 *
 * Not seen failing: nothing was undone for it. Run with KASAN and lockdep (6.12.117,
 * dimm guest): 518 allocations of an offlining, 4,133 of an onlining.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "hr_harness.h"
#include "hr.h"

#define MIB (1UL << 20)
#define FAIL_NTH "/proc/thread-self/fail-nth"
#define FAILSLAB "/sys/kernel/debug/failslab/"
#define FAIL_PAGE_ALLOC "/sys/kernel/debug/fail_page_alloc/"
#define CONTIG "/sys/kernel/debug/contig_test/"
#define ALL (~0UL)
#define MAX_ORDER hr_max_order()

#define OFFLINE "offline"
#define MOVABLE "online_movable"
#define ORDINARY "online_kernel"
#define HOTREMOVE "online_hotremove"

/* In the block while it is worked on: one allocation for each page. */
#define BYTES (2 * MIB)
/* Ordinary memory to be left free: less than a block has, more than is needed. */
#define FREE_MIB 96

/* More than any operation has. */
#define NEVER 1000000
#define MAX_CALLS 20000
/* All of the first and of the last, and as many between as there is time for. */
#define FIRST 64
#define LAST 64
#define BETWEEN_S 60

/* Bounds, not expectations: enough for an emulated CPU and a kernel with KASAN. */
#define OFFLINE_S 60
#define BUSY_S 10
#define TEST_S 3600

/* ---- what fails -------------------------------------------------------- */

/*
 * By default only who may not wait fails, and single pages never do. A message for
 * each failure would be all there is in the log.
 */
static const struct {
	const char *path, *value;
} settings[] = {
	{ FAILSLAB "verbose", "0" },
	{ FAILSLAB "cache-filter", "N" },
	{ FAILSLAB "ignore-gfp-wait", "N" },
	{ FAIL_PAGE_ALLOC "verbose", "0" },
	{ FAIL_PAGE_ALLOC "ignore-gfp-wait", "N" },
	{ FAIL_PAGE_ALLOC "ignore-gfp-highmem", "N" },
	{ FAIL_PAGE_ALLOC "min-order", "0" },
};

static const char *missing(void)
{
	if (access(FAIL_NTH, F_OK))
		return "CONFIG_FAULT_INJECTION";
	if (access(FAILSLAB, F_OK))
		return "CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS";
	if (access(FAIL_PAGE_ALLOC, F_OK))
		return "CONFIG_FAIL_PAGE_ALLOC";
	return NULL;
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Memory that is not hot-removable is tried until a signal comes; 0: none comes. */
static void signal_after(unsigned int seconds)
{
	struct itimerval when = { 0 };

	if (seconds) {
		when.it_value.tv_sec =
			(hr_deadline(seconds) - hr_deadline(0)) / 1000;
		when.it_interval.tv_usec = 100 * 1000;
	}
	setitimer(ITIMER_REAL, &when, NULL);
}

/*
 * Write to a file with the nth allocation failing. 0 or the errno, negative; left is
 * 0 if there was an nth. The files are open: to open one allocates, too.
 */
static int write_with_nth(int fail_nth, int file, const char *text,
			  unsigned int n, unsigned int *left)
{
	const size_t len = strlen(text);
	char number[16] = "";
	ssize_t armed, written, read;
	int err;

	snprintf(number, sizeof(number), "%u", n);
	signal_after(OFFLINE_S);
	armed = pwrite(fail_nth, number, strlen(number), 0);
	written = pwrite(file, text, len, 0);
	err = errno;
	read = pread(fail_nth, number, sizeof(number) - 1, 0);
	pwrite(fail_nth, "0", 1, 0);
	signal_after(0);
	if (armed <= 0 || read <= 0)
		return -EPROTO;
	number[read] = '\0';
	*left = strtoul(number, NULL, 10);
	if (written < 0)
		return -err;
	return (size_t)written == len ? 0 : -EIO;
}

/* ---- which n there is time for ------------------------------------------ */

struct plan {
	unsigned int calls; /* about as many as there are */
	long long last, end; /* ms */
};

static unsigned int next_n(struct plan *p, unsigned int n)
{
	const unsigned int tail = p->calls > LAST ? p->calls - LAST : 0;
	const long long now = hr_deadline(0), took = now - p->last;
	unsigned int step;

	p->last = now;
	if (n < FIRST || n >= tail)
		return n + 1;
	if (now >= p->end)
		return tail;
	step = 1 + (tail - n) * took / (p->end - now);
	return step < tail - n ? n + step : tail;
}

/* ---- what must not change ------------------------------------------------ */

static int is_not(int block, const char *keyword)
{
	const char *state = strcmp(keyword, OFFLINE) ? "online" : "offline";
	const char *hotremove = strcmp(keyword, HOTREMOVE) ? "no" : "yes";

	if (hr_block_is(block, "state", state) &&
	    (!hr_supported() || hr_block_is(block, "hotremove", hotremove)))
		return 0;
	ksft_print_msg("memory%d is not %s and hotremove=%s\n", block, state,
		       hotremove);
	return 1;
}

/* Pages of all pieces that alloc_contig_bulk() and the like were asked for. */
static long pages_had(void)
{
	FILE *f = fopen(CONTIG "pieces", "re");
	unsigned long pfn, nr;
	long sum = 0;

	if (!f)
		return 0;
	while (fscanf(f, "%lu %lu", &pfn, &nr) == 2)
		sum += nr;
	fclose(f);
	return sum;
}

static int give_back(void)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", ALL);
	return hr_write_file(CONTIG "free", text);
}

/* ---- the operations ------------------------------------------------------ */

FIXTURE(nth)
{
	int block;
	int for_kernel; /* another one, which it may have; 0: none */
	const char *is; /* the keyword, of the first */
	bool lost; /* to the kernel */
	int fail_nth, file;
	char operation[128];
	char *mem; /* BYTES, at least a quarter of it in the block */
	char *ballast;
	size_t ballast_bytes;
	char was[ARRAY_SIZE(settings)][32];
};

FIXTURE_VARIANT(nth)
{
	const char *from, *to;
	const char *filled_as; /* with user memory in it, which comes then */
	int pieces; /* to be allocated from it, 1: all of it as one */
	bool busy; /* may fail for a moment without a reason of ours */
	int errnos[4];
};

FIXTURE_VARIANT_ADD(nth, offline_hotremove) {
	.from = HOTREMOVE,
	.to = OFFLINE,
	.filled_as = HOTREMOVE,
	.errnos = { ENOMEM, EBUSY },
};

/* The control, and all that a kernel without MIGRATE_HOTREMOVE can do. */
FIXTURE_VARIANT_ADD(nth, offline_movable) {
	.from = MOVABLE,
	.to = OFFLINE,
	.filled_as = MOVABLE,
	.errnos = { ENOMEM, EBUSY },
};

/* EPERM: KASAN is asked as well, and has no errno for what it cannot have. */
FIXTURE_VARIANT_ADD(nth, online) {
	.from = OFFLINE,
	.to = HOTREMOVE,
	.errnos = { ENOMEM, EPERM },
};

/* EINVAL: the test's own array, without which nothing can be asked for. */
FIXTURE_VARIANT_ADD(nth, bulk) {
	.from = HOTREMOVE,
	.to = HOTREMOVE,
	.filled_as = HOTREMOVE,
	.pieces = 64,
	.busy = true,
	.errnos = { ENOMEM, EBUSY, EINVAL },
};

FIXTURE_VARIANT_ADD(nth, whole) {
	.from = HOTREMOVE,
	.to = HOTREMOVE,
	.filled_as = HOTREMOVE,
	.pieces = 1,
	.busy = true,
	.errnos = { ENOMEM, EBUSY },
};

/* Last, as the kernel may keep what it was given. */
FIXTURE_VARIANT_ADD(nth, to_hotremove) {
	.from = ORDINARY,
	.to = HOTREMOVE,
	.filled_as = HOTREMOVE,
	.busy = true,
	.errnos = { ENOMEM, EBUSY },
};

FIXTURE_VARIANT_ADD(nth, to_ordinary) {
	.from = HOTREMOVE,
	.to = ORDINARY,
	.filled_as = HOTREMOVE,
	.errnos = { ENOMEM, EBUSY },
};

static bool switches(const FIXTURE_VARIANT(nth) * variant)
{
	return strcmp(variant->from, OFFLINE) && strcmp(variant->to, OFFLINE) &&
	       !variant->pieces;
}

FIXTURE_SETUP(nth)
{
	struct sigaction act = { .sa_handler = on_alarm };
	size_t i;

	if (missing())
		SKIP(return, "needs %s", missing());
	if (strcmp(variant->from, MOVABLE) && !hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (variant->pieces && access(CONTIG "alloc", F_OK))
		SKIP(return, "needs CONFIG_CONTIG_TEST");
	if (hr_take_blocks(&self->block, 1, 1) < 1)
		SKIP(return,
		     "needs an offline memory block: a DIMM or CONFIG_VIRTIO_MEM");
	self->is = OFFLINE;
	self->file = -1;
	/* Without SA_RESTART: it is to end what takes too long. */
	sigaction(SIGALRM, &act, NULL);
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		hr_read_file(settings[i].path, self->was[i],
			     sizeof(self->was[i]));
		ASSERT_EQ(0,
			  hr_write_file(settings[i].path, settings[i].value));
	}
	self->fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fail_nth);
}

/* Without anything failing; what can be in the way of a switch goes by itself. */
static int become(FIXTURE_DATA(nth) * self, const char *keyword)
{
	long long deadline = hr_deadline(BUSY_S);
	int ret;

	if (!strcmp(self->is, keyword))
		return 0;
	if (!strcmp(keyword, OFFLINE)) {
		ret = hr_block_offline(self->block, OFFLINE_S);
	} else {
		while ((ret = hr_block_write(self->block, "state", keyword)) ==
			       -EBUSY &&
		       hr_poll(deadline))
			;
	}
	if (!ret)
		self->is = keyword;
	return ret;
}

/* An ordinary block is the kernel's, too, and then cannot be switched any more. */
static void look_for_kernel(FIXTURE_DATA(nth) * self)
{
	self->lost = !strcmp(self->is, ORDINARY) &&
		     hr_unmovable_pages(self->block) > 0;
}

FIXTURE_TEARDOWN(nth)
{
	size_t i;
	int ret;

	close(self->fail_nth);
	close(self->file);
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		hr_write_file(settings[i].path, self->was[i]);
	if (variant->pieces)
		EXPECT_EQ(0, give_back());
	if (self->mem)
		munmap(self->mem, BYTES);
	if (self->ballast)
		munmap(self->ballast, self->ballast_bytes);
	if (!strcmp(self->is, ORDINARY) && become(self, HOTREMOVE))
		look_for_kernel(self);
	ret = hr_return_blocks();
	if (self->lost)
		ksft_print_msg("memory%d stays with the kernel\n", self->block);
	else
		EXPECT_EQ(0, ret);
	if (self->for_kernel && hr_block_offline(self->for_kernel, BUSY_S))
		ksft_print_msg("memory%d stays with the kernel\n",
			       self->for_kernel);
}

/*
 * While the block is ordinary the kernel is to find enough elsewhere in its zone: a
 * block that is online as that, or one that is onlined now.
 */
static int satisfy_kernel(FIXTURE_DATA(nth) * self)
{
	static int blocks[4096];
	char zone[32];
	int i, n, ret;

	ret = become(self, HOTREMOVE);
	if (!ret)
		ret = hr_block_read(self->block, "valid_zones", zone,
				    sizeof(zone));
	if (ret)
		return ret;
	n = hr_blocks_in_state("online", blocks, ARRAY_SIZE(blocks));
	for (i = 0; i < n; i++)
		if (hr_block_is(blocks[i], "valid_zones", zone) &&
		    hr_block_is(blocks[i], "hotremove", "no"))
			return 0;
	if (hr_offline_blocks(blocks, 1) < 1)
		return -ENODEV;
	ret = hr_block_write(blocks[0], "state", ORDINARY);
	if (!ret)
		self->for_kernel = blocks[0];
	return ret;
}

/*
 * User memory is taken from where more is free. That is to be the block, lest much has
 * to be filled each time before it comes there.
 */
static void fill_ordinary(FIXTURE_DATA(nth) * self)
{
	const long free_kb = hr_meminfo_kb("MemFree") - FREE_MIB * 1024;
	char *mem;

	if (free_kb <= 0)
		return;
	self->ballast_bytes = free_kb / 4 * PAGE;
	mem = mmap(NULL, self->ballast_bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	self->ballast = mem == MAP_FAILED ? NULL : mem;
}

static bool is_filled(FIXTURE_DATA(nth) * self)
{
	return self->mem && hr_pages_in_block(self->mem, BYTES, self->block) >=
				    (long)(BYTES / PAGE / 4);
}

static int fill(FIXTURE_DATA(nth) * self)
{
	if (self->mem)
		munmap(self->mem, BYTES);
	self->mem = hr_anon_in_block(self->block, BYTES, MADV_NOHUGEPAGE);
	if (!self->mem) {
		ksft_print_msg("user memory does not come to memory%d\n",
			       self->block);
		return -ENOMEM;
	}
	hr_fill(self->mem, BYTES);
	return 0;
}

/* As it was before the operation, for the next one. */
static int prepare(FIXTURE_DATA(nth) * self,
		   const FIXTURE_VARIANT(nth) * variant)
{
	int ret = 0;

	if (variant->filled_as && !is_filled(self)) {
		ret = become(self, variant->filled_as);
		if (!ret)
			ret = fill(self);
	}
	if (!ret)
		ret = become(self, variant->from);
	if (ret == -EBUSY)
		look_for_kernel(self);
	return ret;
}

/* No larger than what the allocator has, however large the block is. */
static unsigned int piece_order(const FIXTURE_VARIANT(nth) * variant)
{
	const unsigned int order =
		__builtin_ctzl(hr_block_pages() / variant->pieces);

	return variant->pieces > 1 && order > MAX_ORDER ? MAX_ORDER : order;
}

static int open_operation(FIXTURE_DATA(nth) * self,
			  const FIXTURE_VARIANT(nth) * variant)
{
	const unsigned long start = hr_block_pfn(self->block);
	const unsigned long pages = hr_block_pages();
	char path[128];
	int used;

	if (variant->pieces) {
		used = snprintf(self->operation, sizeof(self->operation),
				"%lu %lu 2", start, start + pages);
		if (variant->pieces > 1)
			snprintf(self->operation + used,
				 sizeof(self->operation) - used, " %u %d",
				 piece_order(variant), variant->pieces);
		snprintf(path, sizeof(path), CONTIG "alloc");
	} else {
		snprintf(self->operation, sizeof(self->operation), "%s",
			 variant->to);
		snprintf(path, sizeof(path), HR_SYS_MEMORY "/memory%d/state",
			 self->block);
	}
	self->file =
		open(path, (variant->pieces ? O_RDWR : O_WRONLY) | O_CLOEXEC);
	return self->file < 0 ? -errno : 0;
}

/* What was allocated is what is said, and is given back: as good as EBUSY if not all. */
static int check_pieces(FIXTURE_DATA(nth) * self,
			const FIXTURE_VARIANT(nth) * variant, bool all)
{
	const long per_piece = 1L << piece_order(variant);
	char text[32] = "";
	long got, had;
	int ret;

	if (pread(self->file, text, sizeof(text) - 1, 0) <= 0)
		return -EPROTO;
	got = atol(text);
	had = pages_had();
	ret = give_back();
	if (got <= 0 || had != got * per_piece) {
		ksft_print_msg("%ld pieces of %ld pages, %ld pages\n", got,
			       per_piece, had);
		return -EPROTO;
	}
	if (!ret && all && got < variant->pieces)
		ret = -EBUSY;
	return ret;
}

/* With the nth failing; if there is none, an operation that may be busy is repeated. */
static int operate(FIXTURE_DATA(nth) * self,
		   const FIXTURE_VARIANT(nth) * variant, unsigned int n,
		   unsigned int *left)
{
	long long deadline = hr_deadline(BUSY_S);
	int ret;

	do {
		ret = write_with_nth(self->fail_nth, self->file,
				     self->operation, n, left);
		if (!ret && variant->pieces)
			ret = check_pieces(self, variant, *left);
	} while (ret == -EBUSY && *left && variant->busy && hr_poll(deadline));
	if (!ret)
		self->is = variant->to;
	else if (ret == -EBUSY && *left)
		look_for_kernel(self);
	return ret;
}

static bool is_expected(const FIXTURE_VARIANT(nth) * variant, int err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(variant->errnos); i++)
		if (variant->errnos[i] && variant->errnos[i] == err)
			return true;
	return false;
}

static int is_wrong(FIXTURE_DATA(nth) * self, const char *keyword,
		    const struct hr_snapshot *snapshot)
{
	return is_not(self->block, keyword) + hr_changed(snapshot) +
	       hr_differs("pages had", 0, pages_had()) +
	       hr_differs("wrong bytes", 0,
			  self->mem ? hr_wrong_bytes(self->mem, BYTES) : 0);
}

#define LOST "kernel memory has come to the memory block"

TEST_F_TIMEOUT(nth, each_call, TEST_S)
{
	unsigned int n, left, tried = 0, done = 0, none;
	unsigned int refused[ARRAY_SIZE(variant->errnos)] = { 0 };
	struct hr_snapshot before, after;
	struct plan plan;
	int ret;

	if (switches(variant)) {
		ret = satisfy_kernel(self);
		if (ret == -ENODEV)
			SKIP(return, "needs two memory blocks to plug");
		ASSERT_EQ(0, ret);
	} else if (variant->filled_as) {
		fill_ordinary(self);
	}
	ASSERT_EQ(0, open_operation(self, variant));

	/* Once without a failure: how many there are, and what comes of it. */
	ret = prepare(self, variant);
	if (self->lost)
		SKIP(return, LOST);
	ASSERT_EQ(0, ret);
	hr_take_snapshot(&before);
	ret = operate(self, variant, NEVER, &left);
	if (self->lost)
		SKIP(return, LOST);
	ASSERT_EQ(0, ret);
	ASSERT_LT(0, left);
	plan.calls = NEVER - left;
	/* Without any there is nothing to be shown. */
	ASSERT_LT(0, plan.calls);
	ASSERT_GT(MAX_CALLS, plan.calls);
	hr_take_snapshot(&after);

	plan.last = hr_deadline(0);
	plan.end = plan.last + BETWEEN_S * 1000LL;
	left = 0;
	for (n = 1; n < MAX_CALLS; n = next_n(&plan, n)) {
		ret = prepare(self, variant);
		if (self->lost)
			SKIP(return, LOST);
		ASSERT_EQ(0, ret);
		ret = operate(self, variant, n, &left);
		if (self->lost)
			SKIP(return, LOST);
		if (left) {
			ASSERT_EQ(0, ret);
			ASSERT_EQ(0, is_wrong(self, variant->to, &after));
			break;
		}
		tried++;
		if (ret) {
			ASSERT_TRUE(is_expected(variant, -ret))
			{
				TH_LOG("allocation %u: %s", n, strerror(-ret));
			}
			for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
				refused[i] += variant->errnos[i] == -ret;
			ASSERT_EQ(0, is_wrong(self, variant->from, &before) +
					     hr_check_invariants())
			{
				TH_LOG("allocation %u: %s", n, strerror(-ret));
			}
			ret = operate(self, variant, NEVER, &none);
			if (self->lost)
				SKIP(return, LOST);
			ASSERT_EQ(0, ret)
			{
				TH_LOG("after allocation %u failed", n);
			}
		} else {
			done++;
		}
		ASSERT_EQ(0, is_wrong(self, variant->to, &after))
		{
			TH_LOG("allocation %u", n);
		}
	}
	TH_LOG("%u allocations, %u of them failed: done all the same %u times",
	       n - 1, tried, done);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (refused[i])
			TH_LOG("%u times: %s", refused[i],
			       strerror(variant->errnos[i]));
	/* There is an end, and the first one was hit. */
	EXPECT_LT(0, left);
	EXPECT_LT(0, tried);
	EXPECT_EQ(0, hr_check_invariants());
}

HR_HARNESS_MAIN
