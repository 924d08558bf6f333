// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that a range of hot-removable memory can be had in pieces,
 * as a CMA area can: as many as can be emptied, with nothing lost, while the
 * memory goes offline, loses pages that fail, and is wanted by others as well.
 *
 * Why: those who empty a range, those who take it away and those who take single
 * pages out of use meet in the same pageblocks. What each of them has isolated or
 * taken off the free lists is its own; a page that two of them take, or give back,
 * is lost, or used twice, and nobody sees that until the memory block is to go.
 *
 *   block   [ piece | user memory | poison | piece ]   asked for, taken away, used
 *
 * The kernel function alloc_contig_bulk() has no user-space interface but the
 * files of CONFIG_CONTIG_TEST in debugfs.
 *
 * Seen failing (6.12.117, dimm guest): races, with a piece forgotten by each
 * request that is killed: 32,736 and 32,704 of 32,768 pages could be had in the
 * end, and the memory blocks did not go. Not seen failing: pcp_policy, and huge, which
 * where user memory lies before all huge pages also passes if a request ends there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hr_harness.h"
#include "hr.h"

#define MIB (1UL << 20)
#define FILES "/sys/kernel/debug/contig_test/"
#define MAX_ORDER hr_max_order()
#define KEYWORD "online_hotremove"
#define HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define HUGE (2 * MIB)
#define HUGE_PAGES (HUGE / PAGE)
#define UNEVICTABLE "/proc/sys/vm/compact_unevictable_allowed"
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#define PCP_POLICY "/proc/sys/vm/hotremove_pcp"
#define KPF_BUDDY (1ULL << 10)

/* How many pieces, or the errno of the write, negative. */
static long ask(const char *what)
{
	int fd = open(FILES "alloc", O_RDWR | O_CLOEXEC);
	char buf[32] = "";
	long ret;

	if (fd < 0)
		return -errno;
	if (write(fd, what, strlen(what)) < 0)
		ret = -errno;
	else if (pread(fd, buf, sizeof(buf) - 1, 0) < 0)
		ret = -errno;
	else
		ret = atol(buf);
	close(fd);
	return ret;
}

static long bulk(unsigned long start, unsigned long end, int effort,
		 unsigned int order, unsigned long nr)
{
	char buf[128];

	snprintf(buf, sizeof(buf), "%lu %lu %d %u %lu", start, end, effort,
		 order, nr);
	return ask(buf);
}

static long whole(unsigned long start, unsigned long end, int effort)
{
	char buf[128];

	snprintf(buf, sizeof(buf), "%lu %lu %d", start, end, effort);
	return ask(buf);
}

static int give_back(unsigned long pages)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lu", pages);
	return hr_write_file(FILES "free", buf);
}

#define ALL (~0UL)

/* Pages of all pieces there are */
static long pages_had(void)
{
	FILE *f = fopen(FILES "pieces", "re");
	unsigned long pfn, nr;
	long sum = 0;

	if (!f)
		return -errno;
	while (fscanf(f, "%lu %lu", &pfn, &nr) == 2)
		sum += nr;
	fclose(f);
	return sum;
}

/*
 * The first is asked for while pages of it fail, the second while it goes
 * offline: with such a page it would not come back.
 */
#define BLOCKS 2

FIXTURE(range)
{
	int blocks[BLOCKS];
	unsigned long start, end, pages; /* PFNs of the first */
	char policy[32]; /* as it was, or empty */
};

FIXTURE_SETUP(range)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (access(FILES "alloc", F_OK))
		SKIP(return, "needs CONFIG_CONTIG_TEST");
	if (hr_take_blocks(self->blocks, BLOCKS, BLOCKS) < BLOCKS)
		SKIP(return, "needs two memory blocks to plug");
	for (int i = 0; i < BLOCKS; i++)
		ASSERT_EQ(0, hr_block_write(self->blocks[i], "state", KEYWORD));
	self->start = hr_block_pfn(self->blocks[0]);
	self->pages = hr_block_pages();
	self->end = self->start + self->pages;
	if (hr_read_file(PCP_POLICY, self->policy, sizeof(self->policy)) < 0)
		self->policy[0] = '\0';
}

FIXTURE_TEARDOWN(range)
{
	hr_write_file(HUGEPAGES, "0");
	hr_write_file(UNEVICTABLE, "1");
	if (self->policy[0])
		hr_write_file(PCP_POLICY, self->policy);
	EXPECT_EQ(0, give_back(ALL));
	EXPECT_EQ(0, pages_had());
	/* Nothing is left in them: that is what they are offline for. */
	EXPECT_EQ(0, hr_return_blocks());
}

/* What cannot be is refused, and changes nothing. */
TEST_F_TIMEOUT(range, bad_arguments, 120)
{
	const unsigned long start = self->start, end = self->end;

	EXPECT_EQ(-EINVAL, bulk(start, end, 1, 4, 0));
	EXPECT_EQ(-EINVAL, bulk(start, end, 1, MAX_ORDER + 1, 1));
	EXPECT_EQ(-EINVAL, bulk(start, end, 1, 64, 1));
	EXPECT_EQ(-EINVAL, bulk(start, end, 1, ~0U, 1));
	EXPECT_EQ(-EINVAL, bulk(start, end, 1, 0, 1UL << 62));
	EXPECT_EQ(-EINVAL, bulk(start, start, 1, 0, 1));
	EXPECT_EQ(-EINVAL, bulk(end, start, 1, 0, 1));
	EXPECT_EQ(-EINVAL, bulk(start + 1, start + 16, 1, 4, 1));
	EXPECT_EQ(-EINVAL, bulk(start, ~0UL, 1, 0, 1));
	EXPECT_EQ(-EINVAL, bulk(~0UL - 1, ~0UL, 1, 0, 1));
	EXPECT_EQ(-EINVAL, whole(end, start, 1));
	EXPECT_EQ(-EINVAL, whole(start, ~0UL, 1));
	EXPECT_EQ(-EINVAL, ask("x"));
	EXPECT_EQ(-EINVAL, ask("1 2"));
	EXPECT_EQ(0, pages_had());
	/* memory that is offline, and such that half of it is */
	ASSERT_EQ(0, hr_block_offline(self->blocks[0], 30));
	EXPECT_EQ(-EINVAL, bulk(start, end, 1, 0, 1));
	EXPECT_EQ(-EINVAL, whole(start, end, 1));
	if (self->blocks[1] == self->blocks[0] + 1) {
		EXPECT_EQ(-EINVAL, bulk(end - 16, end + 16, 1, 0, 1));
		EXPECT_EQ(-EINVAL, whole(end - 16, end + 16, 1));
	}
	ASSERT_EQ(0, hr_block_write(self->blocks[0], "state", KEYWORD));
	EXPECT_EQ(0, pages_had());
}

/* Each order: all of the block, no more, and it does not go with a piece in it. */
TEST_F_TIMEOUT(range, each_order, 300)
{
	for (unsigned int order = 0; order <= MAX_ORDER; order++) {
		const unsigned long most = self->pages >> order;

		ASSERT_EQ(most, bulk(self->start, self->end, 2, order, most));
		EXPECT_EQ(self->pages, pages_had());
		EXPECT_EQ(-EBUSY, bulk(self->start, self->end, 0, order, 1));
		EXPECT_EQ(-EBUSY, whole(self->start, self->end, 0));
		EXPECT_NE(0, hr_block_offline(self->blocks[0], 1));
		EXPECT_TRUE(hr_block_is(self->blocks[0], "state", "online"));
		EXPECT_EQ(self->pages, pages_had());
		ASSERT_EQ(0, give_back(ALL));
		EXPECT_EQ(0, pages_had());
	}
	EXPECT_EQ(1, whole(self->start, self->end, 2));
	EXPECT_EQ(self->pages, pages_had());
	ASSERT_EQ(0, give_back(ALL));
	EXPECT_EQ(0, hr_block_offline(self->blocks[0], 30));
}

/*
 * User memory moves away, and is what it was; a page that somebody holds costs
 * the piece that it is in, and all of the range if that is asked for as one.
 */
TEST_F_TIMEOUT(range, held, 300)
{
	const unsigned int order = 4;
	const unsigned long most = self->pages >> order;
	const size_t bytes = 48 * MIB;
	struct iovec iov = { .iov_len = 1 };
	long used, got, moved;
	int pipes[2];
	char *mem;

	mem = hr_anon_in_block(self->blocks[0], bytes, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, mem);
	hr_fill(mem, bytes);
	used = hr_pages_in_block(mem, bytes, self->blocks[0]);
	for (iov.iov_base = mem;
	     !hr_pages_in_block(iov.iov_base, PAGE, self->blocks[0]);)
		iov.iov_base = (char *)iov.iov_base + PAGE;
	ASSERT_EQ(0, pipe(pipes));
	/* A pipe holds a reference to the page, for as long as nobody reads. */
	ASSERT_EQ(1, vmsplice(pipes[1], &iov, 1, 0));

	for (int effort = 0; effort <= 2; effort++) {
		moved = hr_vmstat("pgmigrate_success");
		got = bulk(self->start, self->end, effort, order, most);
		moved = hr_vmstat("pgmigrate_success") - moved;
		TH_LOG("effort %d: %ld of %ld pieces, %ld pages moved, %ld are user memory",
		       effort, got, most, moved, used);
		EXPECT_LE(effort ? most - 1 : most * 9 / 10, got);
		EXPECT_GT(most, got);
		EXPECT_EQ(got << order, pages_had());
		EXPECT_EQ(1, hr_pages_in_block(iov.iov_base, PAGE,
					       self->blocks[0]));
		EXPECT_EQ(0, give_back(ALL));
		EXPECT_EQ(-EBUSY, whole(self->start, self->end, effort));
		EXPECT_EQ(0, pages_had());
	}
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(1, whole(self->start, self->end, 2));
	EXPECT_EQ(0, hr_pages_in_block(mem, bytes, self->blocks[0]));
	EXPECT_EQ(0, hr_wrong_bytes(mem, bytes));
	munmap(mem, bytes);
}

/* Single pages, outside of a block, that stay where they are. */
static char *lock_pages(int not_in, size_t bytes)
{
	char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	madvise(mem, bytes, MADV_NOHUGEPAGE);
	memset(mem, 1, bytes);
	for (char *at = mem; at < mem + bytes; at += PAGE) {
		if (hr_pages_in_block(at, PAGE, not_in))
			madvise(at, PAGE, MADV_DONTNEED);
	}
	if (mlock2(mem, bytes, MLOCK_ONFAULT)) {
		munmap(mem, bytes);
		return NULL;
	}
	return mem;
}

static long set_pool(long pages)
{
	char value[16];

	snprintf(value, sizeof(value), "%ld", pages);
	hr_write_file(HUGEPAGES, value);
	return hr_read_file(HUGEPAGES, value, sizeof(value)) < 0 ? -1 :
								   atol(value);
}

/*
 * A huge page of hugetlb that has no replacement costs the pieces it lies in, and
 * no others: what is behind it moves. All of memory that can be a huge page is one
 * that is in use, but for some: there, each other page is free, and compaction has
 * to leave alone what lies between.
 */
TEST_F_TIMEOUT(range, huge, 600)
{
	const unsigned int order = 4;
	const long most = self->pages >> order;
	const size_t bytes = 128 * MIB, some = 80 * MIB, locked = 64 * MIB;
	long pool, used, huge, got, moved;
	char *mem, *singles, *pages;

	if (!hr_small_huge_pages())
		SKIP(return, "needs CONFIG_HUGETLBFS, 2 MiB");
	ASSERT_EQ(0, hr_write_file(UNEVICTABLE, "0"));
	mem = hr_anon_in_block(self->blocks[0], bytes, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, mem);
	/* Between what stays there is to be room for huge pages. */
	for (size_t at = 0; at < bytes; at += 8 * MIB)
		madvise(mem + at, 7 * MIB, MADV_DONTNEED);
	pool = set_pool(100000);
	if (pool * HUGE < 2 * some)
		SKIP(return, "no huge pages");
	pool = set_pool(pool - some / HUGE);
	singles = lock_pages(self->blocks[0], locked);
	ASSERT_NE(NULL, singles);
	pages = mmap(NULL, pool * HUGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	hr_fill(pages, pool * HUGE);
	for (size_t at = 0; at < locked; at += 2 * PAGE)
		madvise(singles + at, PAGE, MADV_DONTNEED_LOCKED);
	used = hr_pages_in_block(mem, bytes, self->blocks[0]);
	huge = hr_pages_in_block(pages, pool * HUGE, self->blocks[0]) /
	       HUGE_PAGES;
	ASSERT_LT(0, huge);
	ASSERT_LT(0, used);

	moved = hr_vmstat("pgmigrate_success");
	got = bulk(self->start, self->end, 1, order, most);
	moved = hr_vmstat("pgmigrate_success") - moved;
	TH_LOG("%ld huge pages of %ld and %ld pages of user memory are in the block: %ld of %ld pieces, %ld pages moved",
	       huge, pool, used, got, most, moved);
	/* Others may be at work in some. */
	EXPECT_LE(most - (huge * (long)HUGE_PAGES >> order) - 16, got);
	EXPECT_EQ(0, hr_wrong_bytes(pages, pool * HUGE));
	EXPECT_EQ(0, give_back(ALL));
	munmap(pages, pool * HUGE);
	munmap(singles, locked);
	munmap(mem, bytes);
}

#define SINGLES 16
/* Less than fits in the lists of a small zone */
#define BATCH 32

/* Those that lie in the block, in ascending order; let go of the others. */
static long pages_in_block(int block, char *mem, size_t bytes, char **pages)
{
	long nr = 0;

	for (char *at = mem; at < mem + bytes; at += PAGE) {
		if (hr_pages_in_block(at, PAGE, block))
			pages[nr++] = at;
		else
			madvise(at, PAGE, MADV_DONTNEED);
	}
	return nr;
}

/*
 * Let go of these by one call: there is nothing between them. How many are on a free
 * list then: the flag is shown for each page of what is free in one piece.
 */
static long free_at_once(char *const *pages, long nr)
{
	unsigned long pfns[BATCH];
	uint64_t flags;
	long sum = 0;

	for (long i = 0; i < nr; i++)
		pfns[i] = hr_virt_to_pfn(pages[i]);
	if (madvise(pages[0], pages[nr - 1] + PAGE - pages[0], MADV_DONTNEED))
		return -errno;
	for (long i = 0; i < nr; i++)
		sum += !hr_kpageflags(pfns[i], 1, &flags) &&
		       (flags & KPF_BUDDY);
	return sum;
}

/* Writing 1 empties the lists of all CPUs: they have room for what is freed then. */
static int set_policy(int policy)
{
	int ret = hr_write_file(PCP_POLICY, "1");
	char buf[16];

	snprintf(buf, sizeof(buf), "%d", policy);
	return ret ? ret : hr_write_file(PCP_POLICY, buf);
}

/*
 * Hot-removable pages that are freed are on a free list at once at 1, and not at 0,
 * and not at 2 either while nothing is isolated.
 */
TEST_F_TIMEOUT(range, pcp_policy, 300)
{
	static char *pages[48 * MIB / 4096], **at = pages;
	const size_t bytes = 48 * MIB;
	cpu_set_t one;
	char *mem;
	long nr;

	if (!self->policy[0])
		SKIP(return, "needs vm.hotremove_pcp");
	/* The lists are those of one CPU, and what lies in LRU batches is not free. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
	mem = hr_anon_in_block(self->blocks[0], bytes, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, mem);
	nr = pages_in_block(self->blocks[0], mem, bytes, pages);
	ASSERT_LE(3 * (SINGLES + 3 * BATCH), nr);
	for (int policy = 0; policy <= 2; policy++) {
		const long want = policy == 1 ? BATCH : 0;
		long singles = 0, batch = -1;

		ASSERT_EQ(0, set_policy(policy));
		for (int i = 0; i < SINGLES; i++)
			singles += free_at_once(at++, 1);
		/* Others empty the lists and take what is free: then once more. */
		for (int tries = 0; tries < 3 && batch != want; tries++) {
			ASSERT_EQ(0, set_policy(policy));
			batch = free_at_once(at, BATCH);
			at += BATCH;
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
	munmap(mem, bytes);
}

/* ---- all at once ----------------------------------------------------------- */

#define RACE_MS 25000
#define RACERS 6

struct race {
	bool stop;
	unsigned long rounds[RACERS], done[RACERS];
	unsigned long wrong; /* bytes of user memory */
	unsigned long hard, busy; /* pages that failed, or were to */
};

static bool give_up(const struct race *race)
{
	return *(volatile const bool *)&race->stop;
}

/* Pieces of any size of a part of either block, given back after a while. */
static void race_bulk(FIXTURE_DATA(range) * self, struct race *race, int me)
{
	unsigned long start = hr_block_pfn(self->blocks[rand() % BLOCKS]);
	unsigned long at = rand() % self->pages;
	unsigned long end = at + 1 + rand() % (self->pages - at);
	unsigned int order = rand() % (MAX_ORDER + 1);
	unsigned long nr = 1 + rand() % (self->pages >> order);

	/* Few in most cases: to give them back takes long. */
	if (rand() % 4)
		nr = 1 + nr % 256;
	race->done[me] += bulk(start + at, start + end, rand() % 3, order, nr) >
			  0;
	poll(NULL, 0, rand() % 5);
	/* The oldest pieces, whoever asked for them, or all */
	give_back(rand() % 4 ? ALL : self->pages / 2);
	/* A removal that begins now may succeed. */
	if (rand() % 2)
		poll(NULL, 0, rand() % 50);
}

/* All or nothing, of a few pageblocks. */
static void race_whole(FIXTURE_DATA(range) * self, struct race *race, int me)
{
	unsigned long start = hr_block_pfn(self->blocks[rand() % BLOCKS]);
	unsigned long pages = 1024;
	unsigned long at = rand() % (self->pages / pages) * pages;

	race->done[me] += whole(start + at, start + at + pages, rand() % 3) > 0;
	give_back(pages);
	poll(NULL, 0, rand() % 20);
}

static void race_offline(FIXTURE_DATA(range) * self, struct race *race, int me)
{
	const int block = self->blocks[1];
	int ret;

	/*
	 * Half of the time stopped by a signal, in most cases half-way; the other
	 * half without pieces in it, but for those that come between.
	 */
	if (race->rounds[me] % 2) {
		ret = hr_block_offline_usec(block, 500 + rand() % 20000);
	} else {
		give_back(ALL);
		ret = hr_block_offline(block, 1);
	}
	race->done[me] += !ret;
	if (!ret)
		hr_block_write(block, "state", KEYWORD);
	/* Whatever was done: a block that is online says "Invalid argument". */
	poll(NULL, 0, 20);
}

/* Who has a page that fails is told, and does not touch it. */
static void told_of_poison(int sig)
{
	(void)sig;
}

/*
 * Pages are taken out of use before they fail, in use or not, and come back: so
 * is a free one taken off the lists by somebody else.
 */
static void race_soft(FIXTURE_DATA(range) * self, struct race *race, int me)
{
	char text[32];

	for (int i = 0; i < 16; i++) {
		snprintf(text, sizeof(text), "0x%lx",
			 (self->start + rand() % self->pages) * PAGE);
		race->done[me] += !hr_write_file(SOFT_OFFLINE, text);
	}
	if (!(race->rounds[me] % 4))
		hr_unpoison(self->start, self->pages);
}

/* User memory comes and goes; now and then a page of it fails. */
static void race_memory(FIXTURE_DATA(range) * self, struct race *race, int me)
{
	const size_t bytes = 24 * MIB;
	char *mem = hr_anon_in_block(self->blocks[0], bytes,
				     race->rounds[me] % 2 ? MADV_NOHUGEPAGE :
							    MADV_NORMAL);

	if (!mem)
		return;
	hr_fill(mem, bytes);
	race->wrong += hr_wrong_bytes(mem, bytes);
	race->done[me] += hr_pages_in_block(mem, bytes, self->blocks[0]) > 0;
	munmap(mem, bytes);
}

static void race_hard(FIXTURE_DATA(range) * self, struct race *race, int me)
{
	const size_t bytes = 8 * MIB;
	char *mem;

	poll(NULL, 0, 100);
	signal(SIGBUS, told_of_poison);
	mem = hr_anon_in_block(self->blocks[0], bytes, MADV_NOHUGEPAGE);
	if (!mem)
		return;
	for (char *at = mem; at < mem + bytes; at += PAGE) {
		if (!hr_pages_in_block(at, PAGE, self->blocks[0]))
			continue;
		if (madvise(at, PAGE, MADV_HWPOISON))
			race->busy++;
		else
			race->done[me]++;
		break;
	}
	munmap(mem, bytes);
}

static const struct racer {
	const char *name;
	void (*round)(FIXTURE_DATA(range) * self, struct race *race, int me);
	bool poisons;
} racers[RACERS] = {
	{ "bulk", race_bulk },
	{ "whole", race_whole },
	{ "offline", race_offline },
	{ "memory", race_memory },
	{ "soft offline", race_soft, true },
	{ "hard", race_hard, true },
};

static pid_t start_racer(FIXTURE_DATA(range) * self, struct race *race, int i)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "hr-racer");
	srand(i + 1);
	for (; !give_up(race); race->rounds[i]++)
		racers[i].round(self, race, i);
	_exit(0);
}

/*
 * Who wants the same memory, takes it away, uses it, and finds that it fails. In
 * the end all of it can be had.
 */
TEST_F_TIMEOUT(range, races, 300)
{
	const bool poison = hr_can_poison();
	pid_t pids[RACERS] = {};
	struct race *race;
	long got;

	race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, race);
	for (int i = 0; i < RACERS; i++) {
		if (!racers[i].poisons || poison)
			pids[i] = start_racer(self, race, i);
	}
	/* Some are killed in what they do, and others take their place. */
	for (int i = 0; i < RACE_MS / 1000; i++) {
		poll(NULL, 0, 1000);
		kill(pids[0], SIGKILL);
		EXPECT_EQ(pids[0], waitpid(pids[0], NULL, 0));
		pids[0] = start_racer(self, race, 0);
	}
	race->stop = true;
	for (int i = 0; i < RACERS; i++) {
		int status = 0;

		if (pids[i] <= 0)
			continue;
		EXPECT_EQ(pids[i], waitpid(pids[i], &status, 0));
		TH_LOG("%s: %lu of %lu rounds", racers[i].name, race->done[i],
		       race->rounds[i]);
		EXPECT_EQ(0, status);
		EXPECT_LT(0, race->done[i]);
	}
	EXPECT_EQ(0, race->wrong);

	EXPECT_EQ(0, give_back(ALL));
	if (poison) {
		TH_LOG("%ld pages unpoisoned, %lu were busy when they failed",
		       hr_unpoison(self->start, self->pages), race->busy);
		EXPECT_EQ(0, hr_meminfo_kb("HardwareCorrupted"));
	}
	if (hr_block_is(self->blocks[1], "state", "offline"))
		EXPECT_EQ(0, hr_block_write(self->blocks[1], "state", KEYWORD));
	for (int i = 0; i < BLOCKS; i++) {
		unsigned long start = hr_block_pfn(self->blocks[i]);

		got = bulk(start, start + self->pages, 2, 0, self->pages);
		EXPECT_EQ(self->pages, got);
		EXPECT_EQ(0, give_back(ALL));
		EXPECT_EQ(1, whole(start, start + self->pages, 2));
		EXPECT_EQ(0, give_back(ALL));
	}
}

HR_HARNESS_MAIN
