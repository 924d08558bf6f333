// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that memory of a CMA area can be had in pieces: as many as
 * can be emptied, with nothing lost, whatever else is in the area or wanted from
 * it; and that how hard is tried is bounded.
 *
 * Why: a range that is asked for as a whole fails for one page that cannot be
 * moved, and whoever gets a part of what was asked for has to get that part for
 * good: bits of the area, pages and counters have to agree, or a piece is leaked
 * by each call that does not get all.
 *
 *   area   [ anon | anon | pinned | anon ]     bulk of all: all but the pinned
 *
 * The kernel functions cma_alloc_bulk() and alloc_contig_bulk() have no user-space
 * interface but the files of the area in debugfs ("order", "effort", "bulk",
 * "free"). Arguments that cannot be given through these are tested by KUnit.
 *
 * Seen failing (6.12.117, cma guest):
 * - partial, with bits of places left set where no piece could be had:
 *   16 pages of the area were lost;
 * - partial_shared, with the end of migration at the first page that does not
 *   move: without effort 1,425 of 2,048 pieces;
 * - moved_once, with one pageblock isolated at a time: 14,354 pages moved, of
 *   7,917 that had to;
 * - claimed, with the wait for claims at each effort: 550 ms, all of the time that the
 *   other one took;
 * - busy_elsewhere, with the wait for the area at each effort: 1.5 s, as claimed;
 * - cache_dropped, without reclaim_clean_pages_from_list(): 4,113 pages moved, none
 *   dropped;
 * - pcp_policy_works and pcp_policy_auto, with frees_past_pcp() false but for what is
 *   isolated: no page is free at once.
 * - units.each_order and units.partial, with the bits of gaps cleared by the size of
 *   pieces, not of units: none of them was taken;
 * - units.poisoned, with pages that failed taken as if they were free: a warning of
 *   list_del().
 * Not seen failing: effort, held_for_a_moment, killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hr_harness.h"
#include "hr.h"

#define MIB (1UL << 20)
#define AREA "/sys/kernel/debug/cma/"
#define MAX_ORDER 10
#define PCP_POLICY "/proc/sys/vm/hotremove_pcp"
#define TRACING "/sys/kernel/tracing/"
#define BUSY_RETRY TRACING "events/cma/cma_alloc_busy_retry/enable"
#define MIGRATE_INFO "mm_alloc_contig_migrate_range_info"
#define MIGRATE_INFO_ENABLE TRACING "events/kmem/" MIGRATE_INFO "/enable"

/* KPF_ of kernel-page-flags.h */
#define LRU (1ULL << 5)
#define BUDDY (1ULL << 10)

static char area[64];

static long area_get(const char *file)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "%s/%s", area, file);
	return hr_read_file(path, buf, sizeof(buf)) < 0 ? -1 : atol(buf);
}

/* One write; its errno, negative. */
static int area_set(const char *file, unsigned long long val)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "%s/%s", area, file);
	snprintf(buf, sizeof(buf), "%llu", val);
	return hr_write_file(path, buf);
}

static bool is_area(const char *name)
{
	snprintf(area, sizeof(area), AREA "%s", name);
	return area_get("count") > 0 && area_get("order") >= 0;
}

/* The first area with anything in it that can allocate in bulk. */
static bool find_area(void)
{
	static const char *const names[] = { "reserved", "cma_reserved",
					     "linux,cma" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (is_area(names[i]))
			return true;
	}
	return false;
}

/* Pieces that were got, or the errno of the write, negative. */
static long bulk(unsigned int order, unsigned long long nr)
{
	int err;

	if (area_set("order", order))
		return -EIO;
	err = area_set("bulk", nr);
	return err ? err : area_get("bulk");
}

FIXTURE(bulk)
{
	unsigned long base, count; /* pfn, pages */
	long used; /* pages, by others */
	long policy, effort; /* as they were */
};

FIXTURE_SETUP(bulk)
{
	char buf[32];

	if (!find_area())
		SKIP(return,
		     "needs a CMA area that can allocate in bulk (cma=, CONFIG_CMA_DEBUGFS)");
	self->base = area_get("base_pfn");
	self->count = area_get("count");
	self->used = area_get("used");
	self->policy =
		hr_read_file(PCP_POLICY, buf, sizeof(buf)) < 0 ? -1 : atol(buf);
	self->effort = area_get("effort");
	ASSERT_LE(0, self->effort);
	ASSERT_EQ(0, area_set("effort", 1));
}

FIXTURE_TEARDOWN(bulk)
{
	char buf[32];

	/* Who comes next asks as cma_alloc() does. */
	area_set("effort", self->effort);
	hr_write_file(BUSY_RETRY, "0");
	hr_write_file(MIGRATE_INFO_ENABLE, "0");
	/* All that was allocated here; "free" takes an int. */
	area_set("free", self->count);
	EXPECT_EQ(self->used, area_get("used"));
	if (self->policy >= 0) {
		snprintf(buf, sizeof(buf), "%ld", self->policy);
		hr_write_file(PCP_POLICY, buf);
	}
}

/* Pages of the area that are neither free nor on an LRU list: given away. */
static long pages_given(FIXTURE_DATA(bulk) * self)
{
	uint64_t *flags = calloc(self->count, sizeof(*flags));
	long sum = -1;

	if (!flags || hr_kpageflags(self->base, self->count, flags) < 0)
		goto out;
	sum = 0;
	for (unsigned long i = 0; i < self->count; i++) {
		/* By page_owner, as pages on per-cpu lists have no flag. */
		if (!(flags[i] & (LRU | BUDDY)) &&
		    hr_page_owner_gfp(self->base + i) > 0)
			sum++;
	}
out:
	free(flags);
	return sum;
}

/* Pages that somebody is at work on just now are soon where they belong. */
static bool none_lost(FIXTURE_DATA(bulk) * self, long before)
{
	long long deadline = hr_deadline(10);
	long given;

	do {
		given = pages_given(self);
	} while (given > before + 64 && hr_poll(deadline));
	return given >= 0 && given <= before + 64;
}

/*
 * Pages that have these flags and are given away now, by the bits of the area. What
 * was given away before has other flags.
 */
static long given_with(FIXTURE_DATA(bulk) * self, const uint64_t *flags,
		       uint64_t want)
{
	const long unit = 1L << area_get("order_per_bit");
	unsigned int word = 0;
	char path[128];
	long sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/bitmap", area);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	for (unsigned long i = 0; i < self->count; i++) {
		const unsigned long bit = i / unit;

		if (!(i % (32 * unit)) && fscanf(f, "%u", &word) != 1) {
			sum = -EIO;
			break;
		}
		sum += (word >> bit % 32 & 1) && (flags[i] & want) == want;
	}
	fclose(f);
	return sum;
}

/* Anonymous memory that lies in the area, page by page. */
struct filling {
	char *map;
	size_t bytes, page;
	size_t filled; /* bytes of it, from the beginning */
	char **pages;
	long nr;
};

static bool in_area(FIXTURE_DATA(bulk) * self, const void *addr)
{
	unsigned long pfn = hr_virt_to_pfn(addr);

	return pfn >= self->base && pfn < self->base + self->count;
}

static void empty_area(struct filling *filling)
{
	if (filling->map && filling->map != MAP_FAILED)
		munmap(filling->map, filling->bytes);
	free(filling->pages);
	*filling = (struct filling) {};
}

/* The kernel uses the area when little else is free: fill memory. */
static int fill_memory(FIXTURE_DATA(bulk) * self, struct filling *filling,
		       bool shared)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	const long spare_kb = 48 * 1024;
	size_t at;

	/* What must move has to have a place to go to. */
	if (self->count > hr_meminfo_kb("MemTotal") / 16)
		return -ENOSPC;
	*filling = (struct filling) {
		.page = page,
		.bytes = hr_meminfo_kb("MemTotal") * 1024 / MIB * MIB,
		.pages = calloc(self->count, sizeof(char *)),
	};
	filling->map = mmap(NULL, filling->bytes, PROT_READ | PROT_WRITE,
			    (shared ? MAP_SHARED : MAP_PRIVATE) |
				    MAP_ANONYMOUS | MAP_NORESERVE,
			    -1, 0);
	if (filling->map == MAP_FAILED || !filling->pages) {
		empty_area(filling);
		return -ENOMEM;
	}
	madvise(filling->map, filling->bytes, MADV_NOHUGEPAGE);
	for (at = 0; at < filling->bytes; at += page) {
		char *addr = filling->map + at;

		if (!(at % MIB) && hr_meminfo_kb("MemAvailable") < spare_kb)
			break;
		hr_fill(addr, page);
		*(size_t *)addr = at;
	}
	filling->filled = at;
	return 0;
}

/*
 * Fill memory, and let go of what lies elsewhere, so that there is a place to move
 * to. Or let go of every other page in the area, so that this is the place. Returns
 * how many pages are in the area.
 */
static long fill_area(FIXTURE_DATA(bulk) * self, struct filling *filling,
		      bool all, bool shared)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	const int advice = shared ? MADV_REMOVE : MADV_DONTNEED;
	int ret = fill_memory(self, filling, shared);
	unsigned long found = 0;

	if (ret)
		return ret;
	for (size_t at = filling->filled; at;) {
		char *addr = filling->map + (at -= page);

		if (!in_area(self, addr)) {
			if (all)
				madvise(addr, page, advice);
		} else if (filling->nr < self->count && (all || found++ % 2)) {
			filling->pages[filling->nr++] = addr;
		} else {
			madvise(addr, page, advice);
		}
	}
	return filling->nr;
}

/* Pages of it that are not what they were */
static long wrong_pages(const struct filling *filling)
{
	long wrong = 0;

	for (long i = 0; i < filling->nr; i++) {
		const char *addr = filling->pages[i];

		/* The first word is where it belongs, the others are as ever. */
		wrong += *(size_t *)addr != (size_t)(addr - filling->map) ||
			 hr_wrong_bytes(addr, filling->page) > sizeof(size_t);
	}
	return wrong;
}

static long still_in_area(FIXTURE_DATA(bulk) * self,
			  const struct filling *filling)
{
	long sum = 0;

	for (long i = 0; i < filling->nr; i++)
		sum += in_area(self, filling->pages[i]);
	return sum;
}

/* What cannot be is refused, with its errno, and changes nothing. */
TEST_F(bulk, bad_arguments)
{
	EXPECT_EQ(-EINVAL, bulk(4, 0));
	EXPECT_EQ(-EINVAL, bulk(MAX_ORDER + 1, 1));
	EXPECT_EQ(-EINVAL, bulk(31, 1));
	EXPECT_EQ(-EINVAL, bulk(32, 1));
	EXPECT_EQ(-EINVAL, bulk(64, 1));
	EXPECT_EQ(-EINVAL, bulk(~0U, 1));
	/* More than can be stored: no array */
	EXPECT_EQ(-EINVAL, bulk(0, 1ULL << 61));
	EXPECT_EQ(-EINVAL, bulk(0, 1ULL << 62));
	EXPECT_EQ(self->used, area_get("used"));
	EXPECT_EQ(-EINVAL, area_get("bulk"));
}

/* Each order, all of the area, twice: the second time there is nothing left. */
TEST_F_TIMEOUT(bulk, each_order, 600)
{
	for (unsigned int order = 0; order <= MAX_ORDER; order++) {
		unsigned long most = self->count >> order;
		long used, got = bulk(order, most);

		/* Others may have pages of it, and it need not be aligned. */
		ASSERT_LE(1, got);
		ASSERT_GE(most, got);
		used = area_get("used");
		EXPECT_LE(self->used + (got << order), used);
		if (!self->used && !(self->base & ((1UL << order) - 1)))
			EXPECT_EQ(most, got);
		EXPECT_EQ(-ENOMEM, bulk(order, 1));
		EXPECT_EQ(used, area_get("used"));
		ASSERT_EQ(0, area_set("free", got << order));
		ASSERT_EQ(self->used, area_get("used"));
	}
}

/* Memory in use moves away, no more of it than has to, and is what it was. */
TEST_F_TIMEOUT(bulk, content, 900)
{
	uint64_t *flags = calloc(self->count, sizeof(*flags));
	struct filling filling;

	ASSERT_NE(NULL, flags);
	for (unsigned int order = 0; order <= MAX_ORDER; order += 2) {
		/* Half of it: the rest is for what cannot be had. */
		long nr = self->count >> order >> 1;
		long before = fill_area(self, &filling, true, false), got,
		     moved, had_to;

		if (before == -ENOSPC)
			SKIP(return,
			     "needs an area of a quarter of memory at most");
		ASSERT_LT(self->count / 4, before);
		ASSERT_EQ(0, hr_kpageflags(self->base, self->count, flags));
		moved = hr_vmstat("pgmigrate_success");
		got = bulk(order, nr);
		moved = hr_vmstat("pgmigrate_success") - moved;
		had_to = given_with(self, flags, LRU);
		ASSERT_LE(0, had_to);
		TH_LOG("order %u: %ld of %ld pieces, %ld pages moved, %ld were in use there; %ld of %lu in all",
		       order, got, nr, moved, had_to, before, self->count);
		EXPECT_EQ(nr, got);
		/* At most what was in the pieces, and a little that others did */
		EXPECT_GE(had_to * 6 / 5 + 64, moved);
		EXPECT_GE(self->count - (got << order),
			  still_in_area(self, &filling));
		EXPECT_EQ(0, wrong_pages(&filling));
		EXPECT_EQ(0, area_set("free", self->count));
		EXPECT_EQ(self->used, area_get("used"));
		empty_area(&filling);
	}
	free(flags);
}

/*
 * Where the area itself is the place to move to, what leaves one piece does not
 * go where the next one is to be.
 */
TEST_F_TIMEOUT(bulk, moved_once, 900)
{
	const long half = self->count / 2;
	long filled, got, moved, had_to = 0;
	struct filling filling;

	filled = fill_area(self, &filling, false, false);
	if (filled == -ENOSPC)
		SKIP(return, "needs an area of a quarter of memory at most");
	ASSERT_LT(self->count / 8, filled);
	for (long i = 0; i < filling.nr; i++)
		had_to += hr_virt_to_pfn(filling.pages[i]) < self->base + half;
	moved = hr_vmstat("pgmigrate_success");
	got = bulk(0, half);
	moved = hr_vmstat("pgmigrate_success") - moved;
	TH_LOG("%ld of %ld pages, %ld moved, %ld had to", got, half, moved,
	       had_to);
	EXPECT_EQ(half, got);
	EXPECT_GE(had_to * 6 / 5 + 64, moved);
	EXPECT_EQ(0, wrong_pages(&filling));
	empty_area(&filling);
}

/* What cannot be moved costs its piece and no other, and nothing is lost. */
static void partial(struct __test_metadata *_metadata,
		    FIXTURE_DATA(bulk) * self, bool shared)
{
	const unsigned int order = 4;
	const long all = self->count >> order;
	long before = pages_given(self), filled, got, given;
	struct iovec iov = { .iov_len = 1 };
	struct filling filling;
	int pipes[2];

	ASSERT_LE(0, before);
	filled = fill_area(self, &filling, true, shared);
	if (filled == -ENOSPC)
		SKIP(return, "needs an area of a quarter of memory at most");
	ASSERT_LT(self->count / 4, filled);
	iov.iov_base = filling.pages[filling.nr / 2];
	ASSERT_EQ(0, pipe(pipes));
	/* A pipe holds a reference to the page, for as long as nobody reads. */
	ASSERT_EQ(1, vmsplice(pipes[1], &iov, 1, 0));

	for (int effort = 0; effort <= 2; effort++) {
		ASSERT_EQ(0, area_set("effort", effort));
		got = bulk(order, all);
		TH_LOG("effort %d: %ld of %ld pieces", effort, got, all);
		EXPECT_TRUE(in_area(self, iov.iov_base));
		ASSERT_LT(0, got);
		EXPECT_GT(all, got);
		/* Without effort, LRU batches of other CPUs are in the way. */
		if (!self->used)
			EXPECT_LE(effort ? all - 8 : all * 9 / 10, got);
		EXPECT_EQ(self->used + (got << order), area_get("used"));
		given = pages_given(self);
		EXPECT_LE(got << order, given);
		EXPECT_GE(before + (got << order) + 64, given);
		EXPECT_EQ(0, area_set("free", self->count));
		EXPECT_EQ(self->used, area_get("used"));
	}
	EXPECT_EQ(0, wrong_pages(&filling));
	close(pipes[0]);
	close(pipes[1]);

	/* It is let go, and can be had. */
	ASSERT_EQ(0, area_set("effort", 2));
	got = bulk(order, all);
	if (!self->used)
		EXPECT_EQ(all, got);
	EXPECT_EQ(0, area_set("free", self->count));
	EXPECT_EQ(0, wrong_pages(&filling));
	empty_area(&filling);
	/* What was freed has no owner any more. */
	EXPECT_GE(before + 64, pages_given(self));
}

/* It is not even taken off its LRU list. */
TEST_F_TIMEOUT(bulk, partial, 900)
{
	partial(_metadata, self, false);
}

/* It is, and then cannot be moved, with others in line behind it. */
TEST_F_TIMEOUT(bulk, partial_shared, 900)
{
	partial(_metadata, self, true);
}

/* ---- effort ---------------------------------------------------------------- */

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

#define MAX_HELD 64

/* References to the first page there is in each of `nr` parts of the area. */
static int hold_parts(FIXTURE_DATA(bulk) * self, const struct filling *filling,
		      int nr, int pipes[2])
{
	const unsigned long part = self->count / nr;
	bool held[MAX_HELD] = {};
	int sum = 0;

	if (nr > MAX_HELD || pipe(pipes) ||
	    fcntl(pipes[1], F_SETPIPE_SZ, MAX_HELD * filling->page) < 0)
		return -1;
	for (long i = 0; i < filling->nr; i++) {
		struct iovec iov = { filling->pages[i], 1 };
		unsigned long at =
			(hr_virt_to_pfn(iov.iov_base) - self->base) / part;

		if (at >= nr || held[at])
			continue;
		if (vmsplice(pipes[1], &iov, 1, 0) != 1)
			return -1;
		held[at] = true;
		sum++;
	}
	return sum;
}

static void let_go(int pipes[2])
{
	close(pipes[0]);
	close(pipes[1]);
}

/* To open it like that is what empties it. */
static void empty_trace(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
}

/* Ranges that were tried in vain, since the trace was emptied. */
static long busy_retries(void)
{
	FILE *f = fopen(TRACING "trace", "re");
	char line[512];
	long sum = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		sum += !!strstr(line, "cma_alloc_busy_retry:");
	fclose(f);
	return sum;
}

/*
 * An allocation that cannot be had, as a page is held in each eighth of the area
 * that has one of ours, ends after so many attempts as its effort says: a lap over
 * the area, 4, or 16, with a range tried for each page in the way. Without effort
 * nothing that was tried is tried again.
 */
TEST_F_TIMEOUT(bulk, effort, 600)
{
	static const long laps[] = { 1, 4, 16 };
	/* Others come by, and what lies in batches of other CPUs is in the way. */
	const long slack = 64;
	struct filling filling;
	long filled, retries, pages;
	int pipes[2], held;
	long long ms;

	if (access(BUSY_RETRY, F_OK))
		SKIP(return, "needs the trace event cma_alloc_busy_retry");
	filled = fill_area(self, &filling, true, false);
	if (filled == -ENOSPC)
		SKIP(return, "needs an area of a quarter of memory at most");
	ASSERT_LT(self->count / 4, filled);
	held = hold_parts(self, &filling, 8, pipes);
	/* In the first eighth, in the last one, and between */
	ASSERT_LE(3, held);
	ASSERT_EQ(0, hr_write_file(BUSY_RETRY, "1"));
	for (int effort = 0; effort <= 2; effort++) {
		ASSERT_EQ(0, area_set("effort", effort));
		empty_trace();
		pages = hr_vmstat("pgmigrate_success") +
			hr_vmstat("pgmigrate_fail");
		ms = now_ms();
		EXPECT_EQ(-ENOMEM, area_set("alloc", self->count / 8 * 7));
		ms = now_ms() - ms;
		pages = hr_vmstat("pgmigrate_success") +
			hr_vmstat("pgmigrate_fail") - pages;
		retries = busy_retries();
		TH_LOG("effort %d: %ld ranges tried, %ld pages moved or tried to, of %ld, %lld ms",
		       effort, retries, pages, filled, ms);
		EXPECT_LE(laps[effort], retries);
		EXPECT_GE(laps[effort] * (held + 1) + slack, retries);
		EXPECT_GE(filled * laps[effort] + 16 * slack, pages);
		/* The pauses alone, of 7 and 191 ms */
		if (effort)
			EXPECT_LE(effort == 1 ? 7 : 191, ms);
		EXPECT_EQ(self->used, area_get("used"));
	}
	EXPECT_EQ(0, hr_write_file(BUSY_RETRY, "0"));
	let_go(pipes);
	EXPECT_EQ(0, wrong_pages(&filling));
	empty_area(&filling);
}

/* The reference to a page that another attempt is for */
static void *let_go_soon(void *arg)
{
	usleep(40 * 1000);
	let_go(arg);
	return NULL;
}

/* What is held for a moment fails an allocation without effort, not one with. */
TEST_F_TIMEOUT(bulk, held_for_a_moment, 600)
{
	struct filling filling;
	pthread_t thread;
	int pipes[2];
	long filled;

	if (self->used)
		SKIP(return, "somebody else has pages of the area");
	filled = fill_area(self, &filling, true, false);
	if (filled == -ENOSPC)
		SKIP(return, "needs an area of a quarter of memory at most");
	ASSERT_LT(self->count / 4, filled);
	ASSERT_EQ(1, hold_parts(self, &filling, 1, pipes));
	ASSERT_EQ(0, area_set("effort", 0));
	EXPECT_EQ(-ENOMEM, area_set("alloc", self->count));
	ASSERT_EQ(0, area_set("effort", 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, let_go_soon, pipes));
	EXPECT_EQ(0, area_set("alloc", self->count));
	pthread_join(thread, NULL);
	EXPECT_EQ(self->count, area_get("used"));
	EXPECT_EQ(0, area_set("free", self->count));
	EXPECT_EQ(0, wrong_pages(&filling));
	empty_area(&filling);
}

/* Who is killed meanwhile comes to an end, with that as its error. */
TEST_F_TIMEOUT(bulk, killed, 600)
{
	const long all = self->count >> MAX_ORDER;
	struct filling filling;
	int pipes[2], ready[2];
	long filled, used;
	long long ms;
	pid_t pid;
	char c;

	filled = fill_area(self, &filling, true, false);
	if (filled == -ENOSPC)
		SKIP(return, "needs an area of a quarter of memory at most");
	if (!all || all > MAX_HELD || self->count & ((1UL << MAX_ORDER) - 1))
		SKIP(return, "needs an area of 4 to 256 MiB");
	ASSERT_LT(0, hold_parts(self, &filling, all, pipes));
	ASSERT_EQ(0, area_set("effort", 2));
	/* Where none of our pages lay. */
	bulk(MAX_ORDER, all);
	used = area_get("used");
	ms = now_ms();
	EXPECT_EQ(-EBUSY, bulk(MAX_ORDER, all));
	ms = now_ms() - ms;
	/* Moved is what could be, what is left are the pauses. */
	EXPECT_LE(191, ms);
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		if (write(ready[1], "", 1) == 1)
			area_set("bulk", all);
		_exit(0);
	}
	ASSERT_LT(0, pid);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	usleep(60 * 1000);
	kill(pid, SIGKILL);
	ms = now_ms();
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	TH_LOG("ended %lld ms after the signal", now_ms() - ms);
	EXPECT_EQ(-EINTR, area_get("bulk"));
	EXPECT_EQ(used, area_get("used"));
	let_go(ready);
	let_go(pipes);
	EXPECT_EQ(0, wrong_pages(&filling));
	empty_area(&filling);
}

/* All of the area, for as long as that takes */
static void *claim(void *arg)
{
	long long *ms = arg, start = now_ms();

	area_set("bulk", area_get("count") >> 4);
	*ms = now_ms() - start;
	return NULL;
}

/*
 * Somebody has claimed all of the area, and may yet give some back: who wants no
 * effort does not wait for that.
 */
TEST_F_TIMEOUT(bulk, claimed, 600)
{
	struct filling filling;
	long long ms, all_ms;
	pthread_t thread;
	long filled, ret;

	if (self->used || self->count & 15)
		SKIP(return, "somebody else has pages of the area");
	filled = fill_area(self, &filling, true, false);
	if (filled == -ENOSPC)
		SKIP(return, "needs an area of a quarter of memory at most");
	ASSERT_LT(self->count / 4, filled);
	ASSERT_EQ(0, area_set("effort", 2));
	ASSERT_EQ(0, area_set("order", 4));
	ASSERT_EQ(0, pthread_create(&thread, NULL, claim, &all_ms));
	for (ms = now_ms(); area_get("used") < (long)self->count;)
		ASSERT_GT(30000, now_ms() - ms);
	area_set("effort", 0);
	ms = now_ms();
	ret = bulk(0, 1);
	ms = now_ms() - ms;
	pthread_join(thread, NULL);
	TH_LOG("%lld ms, while the other one took %lld", ms, all_ms);
	EXPECT_EQ(-EBUSY, ret);
	EXPECT_GT(all_ms / 3, ms);
	EXPECT_EQ(0, area_set("free", self->count));
	EXPECT_EQ(0, wrong_pages(&filling));
	empty_area(&filling);
}

/*
 * The area but for a piece of the largest order, or half of it, in pieces of order 4;
 * by a thread that runs wherever it likes. What it has moved tells how far it is: a
 * pageblock at a time, all of what it wants being isolated meanwhile.
 */
struct claimer {
	pthread_t thread;
	cpu_set_t cpus;
	long pieces;
	long start, end; /* pages moved: by all, ever */
	atomic_bool ended;
};

static void *claim_part(void *arg)
{
	struct claimer *claimer = arg;

	sched_setaffinity(0, sizeof(claimer->cpus), &claimer->cpus);
	area_set("bulk", claimer->pieces);
	claimer->ended = true;
	return NULL;
}

/* At this effort; returns when the first pages have moved, 0, or an error. */
static int start_claim(struct claimer *claimer, int effort, long pages)
{
	int ret;

	claimer->pieces = pages >> 4;
	claimer->ended = false;
	ret = area_set("order", 4);
	if (!ret)
		ret = area_set("effort", effort);
	claimer->start = hr_vmstat("pgmigrate_success");
	if (!ret)
		ret = pthread_create(&claimer->thread, NULL, claim_part,
				     claimer);
	while (!ret && !claimer->ended &&
	       hr_vmstat("pgmigrate_success") == claimer->start)
		;
	return ret;
}

static void end_claim(struct claimer *claimer)
{
	pthread_join(claimer->thread, NULL);
	claimer->end = hr_vmstat("pgmigrate_success");
}

/* Of what was moved by then, so much more that it was in the middle of it. */
static bool was_claiming(const struct claimer *claimer, long moved)
{
	return moved > claimer->start && claimer->end - moved > 512;
}

static int compare_ms(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double own_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

#define CALLS 20

/*
 * Somebody is at work on nearly all of the area, and there is room: who wants no
 * effort does not wait until that is over, whether he has his page or not.
 */
TEST_F_TIMEOUT(bulk, busy_elsewhere, 900)
{
	const long room = 1L << MAX_ORDER;
	double own[CALLS], ms[CALLS];
	struct claimer claimer;
	long moved[CALLS], filled;
	int calls, during = 0, had = 0;
	struct filling filling;

	if (self->used || self->count < 16 * room)
		SKIP(return, "needs an area of 64 MiB that nobody else uses");
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(claimer.cpus), &claimer.cpus));
	/* What moves fast is over before so many calls. */
	for (int tries = 0; tries < 3 && during < CALLS / 2; tries++) {
		filled = fill_area(self, &filling, true, false);
		if (filled == -ENOSPC)
			SKIP(return,
			     "needs an area of a quarter of memory at most");
		ASSERT_LT(self->count / 4, filled);
		ASSERT_EQ(0, start_claim(&claimer, 2, self->count - room));
		area_set("effort", 0);
		for (calls = 0; calls < CALLS && !claimer.ended; calls++) {
			const long long start = now_ms();

			own[calls] = own_ms();
			had += !area_set("alloc", 1);
			own[calls] = own_ms() - own[calls];
			ms[calls] = now_ms() - start;
			moved[calls] = hr_vmstat("pgmigrate_success");
		}
		end_claim(&claimer);
		during = 0;
		for (int i = 0; i < calls; i++)
			during += was_claiming(&claimer, moved[i]);
		EXPECT_EQ(0, area_set("free", self->count));
		EXPECT_EQ(0, wrong_pages(&filling));
		empty_area(&filling);
	}
	ASSERT_LT(0, calls);
	qsort(own, calls, sizeof(*own), compare_ms);
	qsort(ms, calls, sizeof(*ms), compare_ms);
	TH_LOG("%d of %d calls ended while %ld pages moved, %d had a page; ms: median %.0f, most %.0f, own time %.1f",
	       during, calls, claimer.end - claimer.start, had, ms[calls / 2],
	       ms[calls - 1], own[calls / 2]);
	/* Who waits comes back when all is moved, and then finds nobody at work. */
	EXPECT_LE(CALLS / 2, during);
	EXPECT_GT(50, own[calls / 2]);
}

/* ---- page cache ---------------------------------------------------------------- */

#define CACHE_DISK "/dev/ram0"
/* The file has no blocks: the file system need not have many. */
#define CACHE_DISK_BLOCKS "512"

/* A file of that size on a disk, or -errno. */
static int open_cache(size_t bytes)
{
	const char *const words[] = { CACHE_DISK, CACHE_DISK_BLOCKS, NULL };
	int root, fd, ret = hr_mke2fs(words);

	if (ret)
		return ret;
	root = hr_mount_detached("ext4", "source", CACHE_DISK);
	if (root < 0)
		return root;
	fd = openat(root, "data", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, bytes))
		fd = -errno;
	close(root);
	return fd;
}

/* Read without mapping, as most of a page cache is. */
static bool read_cache(int fd, size_t bytes)
{
	static char buf[64 * 1024];

	for (size_t at = 0; at < bytes; at += sizeof(buf)) {
		if (pread(fd, buf, sizeof(buf), at) != sizeof(buf))
			return false;
	}
	return true;
}

/* How many of its pages are in memory, and of these in the area. */
static long cached(FIXTURE_DATA(bulk) * self, int fd, size_t bytes,
		   long *inside)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	const long nr = bytes / page;
	unsigned char *in_core = calloc(nr, 1);
	char *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	long sum = -1;

	if (map == MAP_FAILED || !in_core || mincore(map, bytes, in_core))
		goto out;
	sum = 0;
	for (long i = 0; i < nr; i++) {
		if (!(in_core[i] & 1))
			continue;
		sum++;
		if (!inside)
			continue;
		/* It is mapped by a look at it. */
		(void)*(volatile char *)(map + i * page);
		*inside += in_area(self, map + i * page);
	}
out:
	if (map != MAP_FAILED)
		munmap(map, bytes);
	free(in_core);
	return sum;
}

/* What is on an LRU list, in the area */
static long on_lru(FIXTURE_DATA(bulk) * self)
{
	uint64_t *flags = calloc(self->count, sizeof(*flags));
	long sum = -1;

	if (flags && !hr_kpageflags(self->base, self->count, flags)) {
		sum = 0;
		for (unsigned long i = 0; i < self->count; i++)
			sum += !!(flags[i] & LRU);
	}
	free(flags);
	return sum;
}

static unsigned long number_after(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

#define MIGRATE_CMA 4

/*
 * Pages that were dropped, by the trace since it was emptied. The kernel passes the
 * type before the numbers, where the event has it after them (6.12, stock as well):
 * each number then has the name of the next one, and the last one that of the type.
 */
static long dropped_pages(void)
{
	FILE *f = fopen(TRACING "trace", "re");
	unsigned long reclaimed = 0, next = 0;
	bool shifted = false;
	char line[512];

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, MIGRATE_INFO ":"))
			continue;
		shifted |= number_after(line, " migratetype=") != MIGRATE_CMA;
		reclaimed += number_after(line, " nr_reclaimed=");
		next += number_after(line, " nr_mapped=");
	}
	fclose(f);
	return shifted ? next : reclaimed;
}

/* Page cache that is clean and that nobody has mapped is dropped, and not moved. */
TEST_F_TIMEOUT(bulk, cache_dropped, 600)
{
	const size_t bytes = 16 * MIB;
	const bool trace = !access(MIGRATE_INFO_ENABLE, F_OK);
	long before, after, inside = 0, others, moved, dropped = -1, got;
	struct filling filling;
	int fd, ret;

	if (self->count < 2 * bytes / sysconf(_SC_PAGESIZE))
		SKIP(return, "needs an area of 32 MiB");
	fd = open_cache(bytes);
	if (fd < 0)
		SKIP(return,
		     "needs CONFIG_BLK_DEV_RAM, CONFIG_EXT4_FS and mke2fs");
	ret = fill_memory(self, &filling, false);
	if (ret == -ENOSPC)
		SKIP(return, "needs an area of a quarter of memory at most");
	ASSERT_EQ(0, ret);
	/* Then most of what is free lies in the area. */
	for (size_t at = 0; at < filling.filled; at += filling.page) {
		if (in_area(self, filling.map + at))
			madvise(filling.map + at, filling.page, MADV_DONTNEED);
	}
	ASSERT_TRUE(read_cache(fd, bytes));
	before = cached(self, fd, bytes, &inside);
	empty_area(&filling);
	ASSERT_LT(bytes / sysconf(_SC_PAGESIZE) / 4, inside);
	others = on_lru(self) - inside;
	ASSERT_EQ(0, area_set("effort", 2));
	if (trace) {
		ASSERT_EQ(0, hr_write_file(MIGRATE_INFO_ENABLE, "1"));
		empty_trace();
	}
	moved = hr_vmstat("pgmigrate_success");
	got = bulk(4, self->count >> 4);
	moved = hr_vmstat("pgmigrate_success") - moved;
	if (trace)
		dropped = dropped_pages();
	after = cached(self, fd, bytes, NULL);
	TH_LOG("%ld pieces; %ld pages of a file in the area, %ld of others: %ld moved, %ld dropped by the trace, %ld of the file are gone",
	       got, inside, others, moved, dropped, before - after);
	EXPECT_LT(0, got);
	EXPECT_LE(inside / 2, before - after);
	if (trace)
		EXPECT_LE(inside / 2, dropped);
	EXPECT_GE((others > 0 ? others : 0) + inside / 4, moved);
	EXPECT_EQ(0, area_set("free", self->count));
	close(fd);
}

/* ---- all at once ------------------------------------------------------------- */

static atomic_bool stop;

/* Memory comes and goes, in the area too. */
static void *churn(void *arg)
{
	const size_t bytes = 16 * MIB;
	unsigned long *wrong = arg;

	while (!stop) {
		char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (mem == MAP_FAILED)
			continue;
		hr_fill(mem, bytes);
		*wrong += hr_wrong_bytes(mem, bytes);
		/* Freed together, and one by one */
		madvise(mem, bytes, MADV_DONTNEED);
		for (int i = 0; i < 1000 && !stop; i++) {
			*mem = 1;
			madvise(mem, bytes, MADV_DONTNEED);
		}
		munmap(mem, bytes);
	}
	return NULL;
}

/* Single allocations from the same area, at the same time */
static void *single(void *arg)
{
	while (!stop) {
		if (!area_set("alloc", 16))
			++*(unsigned long *)arg;
		usleep(1000);
	}
	return NULL;
}

/* Who asks at the same time, and is killed; whatever the policy for freeing. */
TEST_F_TIMEOUT(bulk, races, 900)
{
	long got, pieces = 0, killed = 0, before = pages_given(self);
	unsigned long wrong = 0, singles = 0;
	pthread_t threads[2];

	ASSERT_LE(0, before);
	for (int policy = 0; policy <= (self->policy < 0 ? 0 : 2); policy++) {
		char buf[16];

		snprintf(buf, sizeof(buf), "%d", policy);
		if (self->policy >= 0)
			ASSERT_EQ(0, hr_write_file(PCP_POLICY, buf));
		stop = false;
		ASSERT_EQ(0, pthread_create(&threads[0], NULL, churn, &wrong));
		ASSERT_EQ(0,
			  pthread_create(&threads[1], NULL, single, &singles));
		for (int i = 0; i < 30; i++) {
			pid_t pid = fork();
			int status = 0;

			if (!pid) {
				area_set("order", i % 6);
				area_set("bulk", self->count >> (i % 6) >> 1);
				_exit(0);
			}
			ASSERT_LT(0, pid);
			usleep(1000 * (i % 7));
			if (i % 2)
				kill(pid, SIGKILL);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			/* Where it was killed nobody knows, but not always late. */
			got = WIFEXITED(status) ? area_get("bulk") : 0;
			killed += WIFSIGNALED(status);
			if (got > 0)
				pieces += got;
			/* From both, in any order */
			area_set("free", self->count);
		}
		stop = true;
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
		EXPECT_EQ(0, area_set("free", self->count));
		EXPECT_EQ(self->used, area_get("used"));
		EXPECT_TRUE(none_lost(self, before));
	}
	TH_LOG("%ld pieces, %ld requests killed, %lu single allocations",
	       pieces, killed, singles);
	/* Nor is a page lost of which nobody keeps count. */
	if (!self->used) {
		ASSERT_EQ(0, area_set("effort", 2));
		EXPECT_EQ(self->count, bulk(0, self->count));
	}
	EXPECT_LT(0, pieces);
	EXPECT_LT(0, killed);
	EXPECT_LT(0, singles);
	EXPECT_EQ(0, wrong);
}

/* Writing 1 empties the lists of all CPUs: they have room for what is freed then. */
static int set_policy(int policy)
{
	int ret = hr_write_file(PCP_POLICY, "1");
	char buf[16];

	snprintf(buf, sizeof(buf), "%d", policy);
	return ret ? ret : hr_write_file(PCP_POLICY, buf);
}

#define SINGLES 16
#define BATCH 64

/* So many of our pages that are still in the area: the first of them, or -1. */
static long next_pages(FIXTURE_DATA(bulk) * self, const struct filling *filling,
		       long *from, long nr)
{
	for (long inside = 0; *from < filling->nr;) {
		if (in_area(self, filling->pages[(*from)++]))
			inside++;
		else
			inside = 0;
		if (inside == nr)
			return *from - nr;
	}
	return -1;
}

/*
 * Let go of these by one call: there is nothing between them any more. How many are
 * on a free list then: the flag is shown for each page of what is free in one piece.
 */
static long free_at_once(const struct filling *filling, long first, long nr)
{
	/* They were found from the end on. */
	char *start = filling->pages[first + nr - 1];
	char *end = filling->pages[first] + filling->page;
	unsigned long pfns[BATCH];
	uint64_t flags;
	long sum = 0;

	for (long i = 0; i < nr; i++)
		pfns[i] = hr_virt_to_pfn(filling->pages[first + i]);
	if (madvise(start, end - start, MADV_DONTNEED))
		return -errno;
	for (long i = 0; i < nr; i++)
		sum += !hr_kpageflags(pfns[i], 1, &flags) && (flags & BUDDY);
	return sum;
}

/* The lists are those of one CPU, and what lies in LRU batches is not free. */
static bool stay_on_one_cpu(cpu_set_t *before)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	return !sched_getaffinity(0, sizeof(*before), before) &&
	       !sched_setaffinity(0, sizeof(one), &one);
}

/*
 * What is freed is on a free list at once at 1, and not at 0, and not at 2 either
 * while nothing is isolated.
 */
TEST_F_TIMEOUT(bulk, pcp_policy_works, 600)
{
	struct filling filling;
	long filled, from = 0;
	cpu_set_t cpus;

	if (self->policy < 0)
		SKIP(return, "needs vm.hotremove_pcp");
	ASSERT_TRUE(stay_on_one_cpu(&cpus));
	filled = fill_area(self, &filling, true, false);
	if (filled == -ENOSPC)
		SKIP(return, "needs an area of a quarter of memory at most");
	ASSERT_LT(self->count / 4, filled);
	for (int policy = 0; policy <= 2; policy++) {
		const long want = policy == 1 ? BATCH : 0;
		long first, singles = 0, batch = -1;

		ASSERT_EQ(0, set_policy(policy));
		for (int i = 0; i < SINGLES; i++) {
			first = next_pages(self, &filling, &from, 1);
			ASSERT_LE(0, first);
			singles += free_at_once(&filling, first, 1);
		}
		/* Others empty the lists and take what is free: then once more. */
		for (int tries = 0; tries < 3 && batch != want; tries++) {
			ASSERT_EQ(0, set_policy(policy));
			first = next_pages(self, &filling, &from, BATCH);
			ASSERT_LE(0, first);
			batch = free_at_once(&filling, first, BATCH);
		}
		TH_LOG("policy %d: free at once are %ld of %d one by one, %ld of %d together",
		       policy, singles, SINGLES, batch, BATCH);
		EXPECT_EQ(want, batch);
		if (policy == 1) {
			EXPECT_LE(SINGLES - 1, singles);
		} else {
			EXPECT_GE(1, singles);
		}
	}
	empty_area(&filling);
}

#define MOST_SAMPLES 256

/*
 * While one half of the area is isolated, what is freed in the other one is on a
 * free list at once at 2, and at 0 it is not.
 */
TEST_F_TIMEOUT(bulk, pcp_policy_auto, 900)
{
	static const int policies[] = { 0, 2 };
	const unsigned long middle = self->base + self->count / 2;
	static struct {
		long before, after; /* pages moved */
		bool free;
	} samples[MOST_SAMPLES];
	struct claimer claimer;
	struct filling filling;

	if (self->policy < 0)
		SKIP(return, "needs vm.hotremove_pcp");
	if (self->used || self->count & ((2UL << MAX_ORDER) - 1))
		SKIP(return, "needs an area that nobody else uses");
	ASSERT_TRUE(stay_on_one_cpu(&claimer.cpus));
	for (int i = 0; i < 2; i++) {
		long seen = 0, valid = 0;

		/* What moves fast is over before anything is seen. */
		for (int tries = 0; tries < 3 && !valid; tries++) {
			long filled = fill_area(self, &filling, true, false);
			long from = 0;
			int n = 0;

			if (filled == -ENOSPC)
				SKIP(return,
				     "needs an area of a quarter of memory at most");
			ASSERT_LT(self->count / 4, filled);
			ASSERT_EQ(0, set_policy(policies[i]));
			/* One lap: nothing else is isolated, or again. */
			ASSERT_EQ(0, start_claim(&claimer, 0, self->count / 2));
			while (!claimer.ended && n < MOST_SAMPLES) {
				long page =
					next_pages(self, &filling, &from, 1);

				if (page < 0)
					break;
				if (hr_virt_to_pfn(filling.pages[page]) <
				    middle)
					continue;
				samples[n].before =
					hr_vmstat("pgmigrate_success");
				samples[n].free =
					free_at_once(&filling, page, 1) > 0;
				samples[n++].after =
					hr_vmstat("pgmigrate_success");
			}
			end_claim(&claimer);
			while (n--) {
				if (!was_claiming(&claimer,
						  samples[n].before) ||
				    !was_claiming(&claimer, samples[n].after))
					continue;
				valid++;
				seen += samples[n].free;
			}
			EXPECT_EQ(0, area_set("free", self->count));
			empty_area(&filling);
		}
		TH_LOG("policy %d: of %ld pages that were freed while half of the area was isolated, %ld were free at once",
		       policies[i], valid, seen);
		if (!valid)
			SKIP(return, "pages move too fast to be seen");
		/* All but what somebody took, or lists he emptied */
		if (policies[i]) {
			EXPECT_LE(valid - valid / 8, seen);
		} else {
			EXPECT_GE(valid / 8, seen);
		}
	}
}

/* A bad value of the policy is refused and changes nothing. */
TEST_F(bulk, pcp_policy)
{
	char buf[32];

	if (self->policy < 0)
		SKIP(return, "needs vm.hotremove_pcp");
	EXPECT_EQ(0, self->policy);
	for (int policy = 2; policy >= 0; policy--) {
		snprintf(buf, sizeof(buf), "%d", policy);
		EXPECT_EQ(0, hr_write_file(PCP_POLICY, buf));
		EXPECT_EQ(-EINVAL, hr_write_file(PCP_POLICY, "3"));
		EXPECT_EQ(-EINVAL, hr_write_file(PCP_POLICY, "-1"));
		EXPECT_EQ(-EINVAL, hr_write_file(PCP_POLICY, "x"));
		ASSERT_LT(0, hr_read_file(PCP_POLICY, buf, sizeof(buf)));
		EXPECT_EQ(policy, atol(buf));
	}
}

/* ---- areas that are managed in larger units than pages ------------------------ */

FIXTURE(units)
{
	unsigned long base, count; /* pfn, pages */
	unsigned long unit; /* pages */
	long effort; /* as it was */
};

FIXTURE_SETUP(units)
{
	/* Of hugetlb, as long as nobody has gigantic pages. */
	if (!is_area("hugetlb0") || area_get("used"))
		SKIP(return, "needs an unused area of hugetlb (hugetlb_cma=)");
	self->base = area_get("base_pfn");
	self->count = area_get("count");
	self->unit = 1UL << area_get("order_per_bit");
	self->effort = area_get("effort");
	ASSERT_LT(1, self->unit);
	ASSERT_EQ(0, area_set("effort", 2));
}

FIXTURE_TEARDOWN(units)
{
	area_set("effort", self->effort);
	area_set("free", self->count);
	EXPECT_EQ(0, area_get("used"));
}

/* Each piece takes a unit, or some; what it does not fill stays free memory. */
TEST_F_TIMEOUT(units, each_order, 300)
{
	static const int orders[] = { 0, 4, 8, 9, 10 };

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		const unsigned long piece = 1UL << orders[i];
		const unsigned long takes = piece > self->unit ? piece :
								 self->unit;
		const long pieces = self->count / takes;
		long some = pieces / 3, free_kb;

		EXPECT_EQ(some, bulk(orders[i], some));
		EXPECT_EQ(some * takes, area_get("used"));
		EXPECT_EQ(pieces - some, bulk(orders[i], pieces));
		EXPECT_EQ(pieces * takes, area_get("used"));
		EXPECT_EQ(-ENOMEM, bulk(orders[i], 1));
		free_kb = hr_meminfo_kb("CmaFree");
		TH_LOG("order %d: %ld pieces, %ld of %lu kB free", orders[i],
		       pieces, free_kb, self->count * 4);
		EXPECT_LE(free_kb, (self->count - pieces * piece) * 4);
		EXPECT_EQ(0, area_set("free", pieces * piece));
		EXPECT_EQ(0, area_get("used"));
	}
	EXPECT_EQ(self->count / self->unit, bulk(9, self->count / self->unit));
}

#define HELD_UNITS 8

/* What lies there moves, and who holds the first page of a unit has it for himself. */
TEST_F_TIMEOUT(units, partial, 300)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	const size_t nr = 3 * (self->count / 2) / 2;
	uint64_t *pfns = calloc(nr, sizeof(*pfns));
	long in_area = 0, held = 0, wrong = 0;
	int pipes[2];
	char *map;

	map = mmap(NULL, nr * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(NULL, pfns);
	ASSERT_EQ(0, madvise(map, nr * page, MADV_NOHUGEPAGE));
	for (size_t i = 0; i < nr; i++)
		*(size_t *)(map + i * page) = i;
	ASSERT_EQ(0, hr_virt_to_pfns(map, nr * page, pfns));
	ASSERT_EQ(0, pipe(pipes));
	for (size_t i = 0; i < nr; i++) {
		struct iovec iov = { map + i * page, 1 };

		if (pfns[i] < self->base || pfns[i] >= self->base + self->count)
			continue;
		in_area++;
		if (held == HELD_UNITS || pfns[i] % self->unit)
			continue;
		ASSERT_EQ(1, vmsplice(pipes[1], &iov, 1, 0));
		held++;
	}
	TH_LOG("%ld of %ld pages lie in the area", in_area, (long)nr);
	ASSERT_LT(self->count / 8, in_area);
	ASSERT_EQ(HELD_UNITS, held);
	EXPECT_EQ(self->count / self->unit - held, bulk(0, self->count));
	/* All that it said it had is what there is to give back. */
	EXPECT_EQ(self->count - held * self->unit, area_get("used"));
	EXPECT_EQ(0, area_set("free", self->count));
	EXPECT_EQ(0, area_get("used"));
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(self->count / self->unit, bulk(0, self->count));
	for (size_t i = 0; i < nr; i++)
		wrong += *(size_t *)(map + i * page) != i;
	EXPECT_EQ(0, wrong);
	munmap(map, nr * page);
	free(pfns);
}

/* Pages of the area are taken out of use and come back, free ones and others. */
static void *poison(void *arg)
{
	FIXTURE_DATA(units) const *self = arg;
	unsigned int seed = 1;
	char text[32];
	long done = 0;

	while (!stop) {
		snprintf(text, sizeof(text), "0x%lx",
			 (self->base + rand_r(&seed) % self->count) *
				 sysconf(_SC_PAGESIZE));
		done += !hr_write_file(SOFT_OFFLINE, text);
		if (!(rand_r(&seed) % 64))
			hr_unpoison(self->base, self->count);
	}
	return (void *)done;
}

/* A page that failed is in no piece, and none is lost for it. */
TEST_F_TIMEOUT(units, poisoned, 300)
{
	long long deadline = hr_deadline(15);
	long pieces = 0, rounds = 0, left;
	unsigned long wrong = 0;
	pthread_t threads[2];
	void *done;

	if (!hr_can_poison())
		SKIP(return,
		     "needs soft_offline_page, unpoison-pfn and page_owner=off");
	stop = false;
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, churn, &wrong));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, poison, self));
	do {
		long got;

		area_set("effort", rounds % 3);
		got = bulk(rounds % 11, self->count);
		EXPECT_LT(0, got);
		pieces += got;
		EXPECT_EQ(0, area_set("free", self->count));
		rounds++;
	} while (hr_poll(deadline));
	stop = true;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], &done);
	left = hr_unpoison(self->base, self->count);
	TH_LOG("%ld rounds, %ld pieces, %ld pages taken out of use, %ld of them to the end",
	       rounds, pieces, (long)done, left);
	EXPECT_LT(0, (long)done);
	EXPECT_LE(0, left);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0, hr_meminfo_kb("HardwareCorrupted"));
	ASSERT_EQ(0, area_set("effort", 2));
	EXPECT_EQ(self->count / self->unit, bulk(9, self->count / self->unit));
	EXPECT_EQ(0, area_set("free", self->count));
}

HR_HARNESS_MAIN
