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
 *   other one took.
 * Not seen failing: effort, held_for_a_moment, killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

#include "../kselftest_harness.h"
#include "hr.h"

#define MIB (1UL << 20)
#define AREA "/sys/kernel/debug/cma/"
#define MAX_ORDER 10
#define PCP_POLICY "/proc/sys/vm/hotremove_pcp"
#define TRACING "/sys/kernel/tracing/"
#define BUSY_RETRY TRACING "events/cma/cma_alloc_busy_retry/enable"

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

/* The first area with anything in it that can allocate in bulk. */
static bool find_area(void)
{
	static const char *const names[] = { "reserved", "cma_reserved",
					     "linux,cma" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(area, sizeof(area), AREA "%s", names[i]);
		if (area_get("count") > 0 && area_get("order") >= 0)
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
	long policy;
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
	ASSERT_EQ(0, area_set("effort", 1));
}

FIXTURE_TEARDOWN(bulk)
{
	char buf[32];

	area_set("effort", 1);
	hr_write_file(BUSY_RETRY, "0");
	/* All that was allocated here; "free" takes an int. */
	area_set("free", self->count);
	EXPECT_EQ(self->used, area_get("used"));
	if (self->policy >= 0) {
		snprintf(buf, sizeof(buf), "%ld", self->policy);
		hr_write_file(PCP_POLICY, buf);
	}
	EXPECT_EQ(0, hr_check_invariants());
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

/* Anonymous memory that lies in the area, page by page. */
struct filling {
	char *map;
	size_t bytes, page;
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
	*filling = (struct filling){};
}

/*
 * The kernel uses the area when little else is free: fill memory, and let go of
 * what lies elsewhere, so that there is a place to move to. Or let go of every
 * other page in the area, so that this is the place. Returns how many pages are
 * in the area.
 */
static long fill_area(FIXTURE_DATA(bulk) * self, struct filling *filling,
		      bool all, bool shared)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	const long spare_kb = 48 * 1024;
	const int advice = shared ? MADV_REMOVE : MADV_DONTNEED;
	unsigned long found = 0;
	size_t at;

	/* What must move has to have a place to go to. */
	if (self->count > hr_meminfo_kb("MemTotal") / 16)
		return -ENOSPC;
	*filling = (struct filling){
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
	while (at) {
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
	struct filling filling;

	for (unsigned int order = 0; order <= MAX_ORDER; order += 2) {
		/* Half of it: the rest is for what cannot be had. */
		long nr = self->count >> order >> 1;
		long before = fill_area(self, &filling, true, false), got,
		     moved;

		if (before == -ENOSPC)
			SKIP(return,
				   "needs an area of a quarter of memory at most");
		ASSERT_LT(self->count / 4, before);
		moved = hr_vmstat("pgmigrate_success");
		got = bulk(order, nr);
		moved = hr_vmstat("pgmigrate_success") - moved;
		TH_LOG("order %u: %ld of %ld pieces, %ld pages moved, %ld of %lu were in use",
		       order, got, nr, moved, before, self->count);
		EXPECT_EQ(nr, got);
		/* At most what is in the pieces, and a little that others did */
		EXPECT_GE((got << order) * 6 / 5, moved);
		EXPECT_GE(self->count - (got << order),
			  still_in_area(self, &filling));
		EXPECT_EQ(0, wrong_pages(&filling));
		EXPECT_EQ(0, area_set("free", self->count));
		EXPECT_EQ(self->used, area_get("used"));
		empty_area(&filling);
	}
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
		hr_write_file(TRACING "trace", "");
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
	while (area_get("used") < (long)self->count)
		;
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
	unsigned long wrong = 0, singles = 0;
	pthread_t threads[2];
	long got, pieces = 0;

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

			if (!pid) {
				area_set("order", i % 6);
				area_set("bulk", self->count >> (i % 6) >> 1);
				_exit(0);
			}
			ASSERT_LT(0, pid);
			usleep(1000 * (i % 7));
			if (i % 2)
				kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			got = area_get("bulk");
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
	}
	TH_LOG("%ld pieces, %lu single allocations", pieces, singles);
	EXPECT_LT(0, pieces);
	EXPECT_LT(0, singles);
	EXPECT_EQ(0, wrong);
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

TEST_HARNESS_MAIN
