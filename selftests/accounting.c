// SPDX-License-Identifier: GPL-2.0
/*
 * Going online and offline under load leaves no trace in any counter.
 *
 * Free pages change lists and counters when a pageblock is isolated, when it
 * gets its type back, when it goes offline, and all the while user processes
 * allocate and free pages of the same blocks. A page that is taken from one
 * counter and given to another is never noticed until, months later, the
 * watermarks are wrong; so this test does it a few hundred times and compares
 * the free lists with the counters, zone by zone and type by type. The zone
 * must afterwards span, hold and manage exactly the pages it did before.
 *
 *	blocks  A  B        A  B        A  B        A  B
 *	        -  -   ->   H  -   ->   H  H   ->   -  H  ...  200 times
 *	        `-- the zone grows and shrinks at both ends --'
 *
 * Seen failing with the hunk in account_freepages() of "mm: introduce
 * MIGRATE_HOTREMOVE and its accounting" reverted (nr_free_hotremove is not the
 * sum of the lists), and with hotremove_offline_end() in offline_pages() of
 * "mm/memory_hotplug: online_hotremove" reverted (zones keep hot-removable pages
 * that they no longer have).
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "hr_harness.h"
#include "hr.h"

#define MIB (1UL << 20)
#define MAX_BLOCKS 4
/* Stop the load and look every so often: drift shows where it began. */
#define CYCLES_PER_CHECK 25
/* Each a bound, not an expectation. */
#define OFFLINE_S 120
#define TEST_S 900

/* ---- load ------------------------------------------------------------------ */

#define LOADS 3

/* Pages of all ages, some of them in huge pages. */
static void anonymous_load(void)
{
	const size_t len = 24 * MIB, hole = 64 * 1024;
	unsigned char *mem;
	unsigned int i;

	for (i = 0;; i++) {
		mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (mem == MAP_FAILED)
			_exit(1);
		madvise(mem + i % 256 * hole, hole, MADV_DONTNEED);
		munmap(mem, len);
	}
}

/* Page cache of a tmpfs that nobody else sees. */
static void file_load(void)
{
	static char buf[MIB];
	int fd, i;

	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/tmp", "tmpfs", 0, "size=32M"))
		_exit(1);
	fd = open("/tmp/file", O_RDWR | O_CREAT, 0600);
	for (;;) {
		for (i = 0; i < 16; i++)
			if (pwrite(fd, buf, sizeof(buf), i * MIB) < 0)
				_exit(1);
		if (ftruncate(fd, 0))
			_exit(1);
	}
}

/* Short lives: page tables, stacks, copies on write. */
static void fork_load(void)
{
	unsigned char *mem = malloc(2 * MIB);
	pid_t pid;

	for (;;) {
		pid = fork();
		if (!pid) {
			memset(mem, 1, 2 * MIB);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			_exit(1);
	}
}

static pid_t start_load(void (*load)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* There are more loads than CPUs, and one who takes memory away. */
	nice(19);
	load();
	_exit(1);
}

/* ---- cycles ------------------------------------------------------------------ */

struct zone_sizes {
	long present, managed, spanned, hotremove;
};

static const char *const zones[] = { "DMA", "DMA32", "Normal", "Movable" };

static void read_sizes(struct zone_sizes *sizes)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(zones); i++) {
		sizes[i].present = hr_zoneinfo(-1, zones[i], "present");
		sizes[i].managed = hr_zoneinfo(-1, zones[i], "managed");
		sizes[i].spanned = hr_zoneinfo(-1, zones[i], "spanned");
		sizes[i].hotremove = hr_zoneinfo(-1, zones[i], "hotremove");
	}
}

static int sizes_differ(const struct zone_sizes *a, const struct zone_sizes *b)
{
	int bad = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(zones); i++) {
		if (!memcmp(&a[i], &b[i], sizeof(a[i])))
			continue;
		bad++;
		ksft_print_msg("%s: present %ld, %ld managed %ld, %ld spanned %ld, %ld hotremove %ld, %ld\n",
			       zones[i], a[i].present, b[i].present,
			       a[i].managed, b[i].managed, a[i].spanned,
			       b[i].spanned, a[i].hotremove, b[i].hotremove);
	}
	return bad;
}

FIXTURE(cycles)
{
	int block[MAX_BLOCKS], nr;
	pid_t load[LOADS];
	long pageblocks;
	struct zone_sizes before[ARRAY_SIZE(zones)];
};

FIXTURE_VARIANT(cycles)
{
	const char *keyword[2]; /* taken in turns */
	int cycles;
};

FIXTURE_VARIANT_ADD(cycles, hotremove) {
	.keyword = { "online_hotremove", "online_hotremove" },
	.cycles = 200,
};

/* The control, and all that a kernel without the feature can do. */
FIXTURE_VARIANT_ADD(cycles, movable) {
	.keyword = { "online_movable", "online_movable" },
	.cycles = 50,
};

/* A block changes its kind, next to one of the other kind. */
FIXTURE_VARIANT_ADD(cycles, mixed) {
	.keyword = { "online_hotremove", "online_movable" },
	.cycles = 100,
};

FIXTURE_SETUP(cycles)
{
	if (strstr(variant->keyword[0], "hotremove") && !hr_supported())
		SKIP(return, HR_SKIP_REASON);
	self->nr = hr_take_blocks(self->block, 2, MAX_BLOCKS);
	if (self->nr < 2)
		SKIP(return,
		     "needs two offline memory blocks: DIMMs or CONFIG_VIRTIO_MEM");
	read_sizes(self->before);
	self->pageblocks = hr_pageblocks("HotRemove");
	self->load[0] = start_load(anonymous_load);
	self->load[1] = start_load(file_load);
	self->load[2] = start_load(fork_load);
}

static void signal_load(const pid_t *load, int sig)
{
	int i;

	for (i = 0; i < LOADS; i++)
		if (load[i] > 0)
			kill(load[i], sig);
}

/* True if it was still running. */
static bool end_load(pid_t *load)
{
	bool alive = true;
	int i, status;

	signal_load(load, SIGKILL);
	for (i = 0; i < LOADS; i++) {
		if (load[i] <= 0)
			continue;
		alive &= waitpid(load[i], &status, 0) == load[i] &&
			 WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		load[i] = 0;
	}
	return alive;
}

FIXTURE_TEARDOWN(cycles)
{
	end_load(self->load);
	EXPECT_EQ(0, hr_return_blocks());
}

TEST_F_TIMEOUT(cycles, no_drift, TEST_S)
{
	struct zone_sizes after[ARRAY_SIZE(zones)];
	int i, block;

	srand(1);
	for (i = 0; i < variant->cycles; i++) {
		/* Any of them: the zone shrinks at either end, or not at all. */
		block = self->block[rand() % self->nr];
		if (hr_block_is(block, "state", "online"))
			ASSERT_EQ(0, hr_block_offline(block, OFFLINE_S));
		ASSERT_EQ(0, hr_block_write(block, "state",
					    variant->keyword[i % 2]));
		if (i % CYCLES_PER_CHECK)
			continue;
		signal_load(self->load, SIGSTOP);
		ASSERT_EQ(0, hr_check_invariants()) TH_LOG("cycle %d", i);
		signal_load(self->load, SIGCONT);
	}
	for (i = 0; i < self->nr; i++)
		if (hr_block_is(self->block[i], "state", "online"))
			ASSERT_EQ(0,
				  hr_block_offline(self->block[i], OFFLINE_S));
	/* It was load all the time. */
	EXPECT_TRUE(end_load(self->load));

	EXPECT_EQ(0, hr_check_invariants());
	EXPECT_EQ(0, hr_pageblocks("Isolate"));
	EXPECT_EQ(self->pageblocks, hr_pageblocks("HotRemove"));
	read_sizes(after);
	EXPECT_EQ(0, sizes_differ(self->before, after));
}

HR_HARNESS_MAIN
