// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that whatever the kernel allocates for itself, no page
 * of it gets into a hot-removable block.
 *
 * Why: removability is that one promise. One slab page in the block is enough
 * to make every later removal fail, and nobody sees it until then.
 *
 *            1. user memory   2. kernel grows   3. control comes, kernel grows
 *   HR       [uuuu........]   [uuuu........]    [uuuu........]   never a k
 *   control  (offline)        (offline)         [kkkk........]   same check: k
 *
 * Step 1 proves that the block is in use at all. In step 2 the block may be the
 * only free memory of its zone. Step 3 is the negative control: in the same
 * guest, under the same load, the same check must find kernel pages in a block
 * that was onlined online_kernel. Last, the block must come offline with the
 * load still there.
 *
 * Three witnesses: page flags (hr_unmovable_pages()), page_owner (boot with
 * page_owner=on: each allocation must have asked for __GFP_HIGHMEM and
 * __GFP_MOVABLE, which is ZONE_MOVABLE's rule), and the pageblock types in
 * pagetypeinfo. Block-device buffers are on the LRU like user memory and are
 * asked for with __GFP_MOVABLE alone: they are found through the page cache of
 * the device instead, see buffer_pages().
 *
 * Seen failing with one hunk of "mm: give hot-removable pages only to requests
 * that may use ZONE_MOVABLE" undone at a time (6.12.117, dimm guest):
 * - hotremove_alloc_flags() for every request: slab, 4601 pages in the block
 * - gfp_allows_hotremove() by __GFP_MOVABLE alone: 1890 of 1925 buffers
 * - pcp_may_mismatch() never true: 807 to 2181 of 6083 buffers, by run
 * - may_mismatch in isolate_migratepages_block() never true: 1 to 320 buffers
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/fs.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hr_harness.h"
#include "hr.h"
#include "pressure.h"

#define MIB (1UL << 20)
/* Enough to see it in the block, little enough to leave the block mostly free. */
#define USER_BYTES (16 * MIB)
/* Steps of a load before the control block comes, and in all. A step is 2 to 8 MiB. */
#define STEPS_ALONE 6
#define STEPS_MAX 150
/* Of the buffers, after the control block has got some: 30 MiB or so. */
#define STEPS_MORE 12
/* So many of its pages must a load leave in the control block. */
#define ENOUGH_PAGES 256
/* A step takes about a second under emulation. */
#define STEP_LIMIT_MS 120000

/* Chosen once, so that a control block that stayed online is used again. */
static int hotremove_block = -1;
static int control_block = -1;

/* ---- loads: each grow() allocates and keeps a few MiB of kernel memory -- */

static int load_root =
	-1; /* a file system mounted nowhere: goes with the process */

static bool mount_load(const char *type, const char *source)
{
	load_root = hr_mount_detached(type, source ? "source" : NULL, source);
	if (load_root < 0)
		errno = -load_root;
	return load_root >= 0;
}

static bool slab_begin(void)
{
	return mount_load("ramfs", NULL);
}

/* Inodes and dentries of empty files. */
static bool slab_grow(int step)
{
	char name[32];

	for (int i = 0; i < 4000; i++) {
		snprintf(name, sizeof(name), "%d-%d", step, i);
		if (mknodat(load_root, name, S_IFREG | 0600, 0))
			return false;
	}
	return true;
}

/* One page table page for each 2 MiB; the data is the zero page. */
static bool page_tables_grow(int step)
{
	const size_t len = 2048 * 2 * MIB;
	volatile char *p = mmap(NULL, len, PROT_READ,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);

	(void)step;
	if (p == MAP_FAILED || madvise((void *)p, len, MADV_NOHUGEPAGE))
		return false;
	for (size_t at = 0; at < len; at += 2 * MIB)
		(void)p[at];
	return true;
}

static void *sleeper(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

static bool stacks_grow(int step)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err = 0;

	(void)step;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 4 * sysconf(_SC_PAGESIZE));
	for (int i = 0; !err && i < 64; i++)
		err = pthread_create(&thread, &attr, sleeper, NULL);
	pthread_attr_destroy(&attr);
	errno = err;
	return !err;
}

#define BIG_FD ((1 << 20) - 1)

static bool vmalloc_begin(void)
{
	struct rlimit files = { BIG_FD + 1, BIG_FD + 1 };

	return !setrlimit(RLIMIT_NOFILE, &files);
}

/*
 * A process with descriptor 2^20 - 1 has a file table of 8 MiB, which is more
 * than the page allocator can give in one piece and so comes from vmalloc().
 */
static bool vmalloc_grow(int step)
{
	int done[2];
	pid_t pid;
	char ok;

	(void)step;
	if (pipe(done))
		return false;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(done[1], BIG_FD) == BIG_FD &&
		    write(done[1], "k", 1) == 1)
			sleeper(NULL);
		_exit(1);
	}
	close(done[1]);
	ok = pid > 0 && read(done[0], &ok, 1) == 1;
	close(done[0]);
	return ok;
}

static bool pipes_grow(int step)
{
	static char full[MIB];
	int ends[2];

	(void)step;
	for (int i = 0; i < 4; i++) {
		if (pipe(ends) ||
		    fcntl(ends[1], F_SETPIPE_SZ, sizeof(full)) < 0 ||
		    write(ends[1], full, sizeof(full)) != sizeof(full))
			return false;
	}
	return true;
}

#define CGROUPS_PER_STEP 32
/* Made if begin() had to enable the memory controller; says that to end(). */
#define CGROUP_MARK "hr-memory"

static bool set_memory_controller(const char *to)
{
	int fd = openat(load_root, "cgroup.subtree_control", O_WRONLY);
	bool ok = write(fd, to, strlen(to)) == (ssize_t)strlen(to);

	close(fd);
	return ok;
}

static bool percpu_begin(void)
{
	char on[256] = "";
	int fd;

	if (!mount_load("cgroup2", NULL))
		return false;
	fd = openat(load_root, "cgroup.subtree_control", O_RDONLY);
	if (fd < 0 || read(fd, on, sizeof(on) - 1) < 0)
		return false;
	close(fd);
	return strstr(on, "memory") ||
	       (!mkdirat(load_root, CGROUP_MARK, 0700) &&
		set_memory_controller("+memory"));
}

/* Statistics of a memory cgroup are per CPU. */
static bool percpu_grow(int step)
{
	char name[32];

	for (int i = 0; i < CGROUPS_PER_STEP; i++) {
		snprintf(name, sizeof(name), "hr-%d-%d", step, i);
		if (mkdirat(load_root, name, 0700))
			return false;
	}
	return true;
}

/* A cgroup, unlike everything else here, survives the process that made it. */
static void percpu_end(void)
{
	char name[32];

	mount_load("cgroup2", NULL);
	for (int step = 0; step < STEPS_MAX; step++) {
		for (int i = 0; i < CGROUPS_PER_STEP; i++) {
			snprintf(name, sizeof(name), "hr-%d-%d", step, i);
			unlinkat(load_root, name, AT_REMOVEDIR);
		}
	}
	if (!unlinkat(load_root, CGROUP_MARK, AT_REMOVEDIR))
		set_memory_controller("-memory");
	close(load_root);
}

#define DISK "/dev/ram0"

static bool buffers_begin(void)
{
	cpu_set_t one;

	if (hr_mke2fs((const char *[]) { "-i", "4096", DISK, NULL })) {
		errno = ENOPKG;
		return false;
	}
	/* One CPU: what is freed here is what the next allocation finds first. */
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	return mount_load("ext4", DISK);
}

/*
 * Directories: each is a buffer of its own and a part of an inode table block,
 * and lies in brd's kernel pages as well. In between user pages are freed to
 * the per-CPU list that MOVABLE requests share, where a buffer must not find
 * them.
 */
static bool buffers_grow(int step)
{
	const size_t churn = 256 << 10;
	char name[32];

	snprintf(name, sizeof(name), "%d", step);
	if (mkdirat(load_root, name, 0700))
		return false;
	for (int i = 0; i < 300; i++) {
		char *p = mmap(NULL, churn, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return false;
		memset(p, 1, churn);
		munmap(p, churn);
		snprintf(name, sizeof(name), "%d/%d", step, i);
		if (mkdirat(load_root, name, 0700))
			return false;
	}
	return true;
}

/* brd keeps what was written to it until told otherwise. */
static void buffers_end(void)
{
	uint64_t all[2] = { 0, 0 };
	int fd = open(DISK, O_RDWR);

	all[1] = lseek(fd, 0, SEEK_END);
	ioctl(fd, BLKDISCARD, all);
	close(fd);
}

/* ---- witnesses --------------------------------------------------------- */

#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif

/*
 * mincore(2) would not do: it asks for PG_uptodate, which a page that is read
 * and written by its buffers need not have.
 */
static bool is_cached(int fd, off_t at, size_t len)
{
	uint64_t range[2] = { at, len }, stat[5] = { 0 };

	return !syscall(__NR_cachestat, fd, range, stat, 0) && stat[0];
}

/*
 * Buffers of the block device that lie in a block. They live in its page cache,
 * which can be mapped; only what is there is touched, so that looking does not
 * allocate. The file system must be mounted, or there are none.
 */
static long buffer_pages(int block)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	int fd = open(DISK, O_RDONLY);
	off_t len = lseek(fd, 0, SEEK_END);
	volatile char *p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	long nr = 0, inside = -EIO;

	if (p != MAP_FAILED) {
		madvise((void *)p, len, MADV_RANDOM);
		for (off_t at = 0; at < len; at += page) {
			if (is_cached(fd, at, page)) {
				(void)p[at];
				nr++;
			}
		}
		inside = hr_pages_in_block((void *)p, len, block);
		munmap((void *)p, len);
		printf("# memory%d: %ld of %ld buffer pages\n", block, inside,
		       nr);
	}
	close(fd);
	return nr ? inside : -EIO;
}

/*
 * Allocations in a block, on an LRU list or not, that did not ask for what
 * ZONE_MOVABLE wants (__GFP_HIGHMEM and __GFP_MOVABLE); negative: no page_owner.
 */
static long page_owner_refused(int block)
{
	const unsigned int movable_zone = 0x02 | 0x08;
	static char record[4096];
	unsigned long pfn, first = hr_block_pfn(block);
	long refused = 0, seen = 0;
	unsigned int gfp;
	ssize_t len;
	int fd = open("/sys/kernel/debug/page_owner", O_RDONLY);

	if (fd < 0)
		return -errno;
	/* The offset of this file is a page frame number; a read is a record. */
	lseek(fd, first, SEEK_SET);
	while ((len = read(fd, record, sizeof(record) - 1)) > 0) {
		const char *line;

		record[len] = '\0';
		line = strstr(record, "\nPFN ");
		if (!line || sscanf(line, "\nPFN %lx", &pfn) != 1 ||
		    sscanf(record, "Page allocated via order %*u, mask %x",
			   &gfp) != 1 ||
		    pfn >= first + hr_block_pages())
			break;
		/* Nobody's yet: what compaction has taken to move a page there. */
		if (gfp == 0x08)
			continue;
		seen++;
		if ((gfp & movable_zone) != movable_zone && ++refused <= 3)
			printf("# memory%d: pfn %#lx asked for with gfp %#x\n",
			       block, pfn, gfp);
	}
	close(fd);
	printf("# memory%d: page_owner knows %ld allocations, %ld not for ZONE_MOVABLE\n",
	       block, seen, refused);
	return refused;
}

/* What a load must leave in the control block and may not leave in ours. */
static long kernel_pages(int block, bool buffers)
{
	return buffers ? buffer_pages(block) : page_owner_refused(block);
}

/* ---- the test ---------------------------------------------------------- */

FIXTURE(placement)
{
	pid_t load;
	int to_load, from_load;
	long pageblocks; /* HotRemove ones, before the block came online */
};

FIXTURE_VARIANT(placement)
{
	const char *needs; /* reported when begin() fails */
	bool (*begin)(void);
	bool (*grow)(int step);
	void (*end)(void);
	bool buffers; /* what grows is buffers: LRU pages no other check finds */
};

#define LOAD(name, ...)                          \
	FIXTURE_VARIANT_ADD(placement, name)     \
	{                                        \
		.grow = name##_grow, __VA_ARGS__ \
	}

/* clang-format off */
LOAD(slab, .begin = slab_begin, .needs = "ramfs");
LOAD(page_tables);
LOAD(stacks);
LOAD(vmalloc, .begin = vmalloc_begin, .needs = "fs.nr_open of 2^20");
LOAD(pipes);
LOAD(percpu, .begin = percpu_begin, .end = percpu_end, .needs = "CONFIG_MEMCG");
/* clang-format on */

FIXTURE_VARIANT_ADD(placement, buffers) {
	.needs = "CONFIG_BLK_DEV_RAM, CONFIG_EXT4_FS and mke2fs",
	.begin = buffers_begin,
	.grow = buffers_grow,
	.end = buffers_end,
	.buffers = true,
};

/*
 * Where CPUs and the blocks are on different nodes, nobody would come there
 * before their own node is full. The node must have memory: call when it has.
 */
static void prefer_node_of(int block)
{
	unsigned long node;
	glob_t g;
	char path[128];

	snprintf(path, sizeof(path), HR_SYS_MEMORY "/memory%d/node[0-9]*",
		 block);
	if (!glob(path, 0, NULL, &g)) {
		node = atol(strstr(g.gl_pathv[0], "/node") + 5);
		node = 1UL << node;
		syscall(SYS_set_mempolicy, MPOL_PREFERRED, &node,
			8 * sizeof(node));
	}
	globfree(&g);
}

/* One byte in, one step, one byte out; the answer to the first is begin()'s. */
static void run_load(const FIXTURE_VARIANT(placement) * variant, int in,
		     int out)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int step = -1; read(in, &byte, 1) == 1; step++) {
		if (!step)
			prefer_node_of(hotremove_block);
		bool ok = step >= 0 ? variant->grow(step) :
				      !variant->begin || variant->begin();

		byte = ok ? 0 : errno ? errno : EIO;
		if (write(out, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static bool start_load(FIXTURE_DATA(placement) * self,
		       const FIXTURE_VARIANT(placement) * variant)
{
	int in[2], out[2];

	if (pipe(in) || pipe(out))
		return false;
	self->load = fork();
	if (!self->load) {
		close(in[1]);
		run_load(variant, in[0], out[1]);
	}
	close(in[0]);
	close(out[1]);
	self->to_load = in[1];
	self->from_load = out[0];
	return self->load > 0;
}

/* 0, the -errno of a step that failed, or -ETIME: the load is slow or dead. */
static int step_load(FIXTURE_DATA(placement) * self)
{
	struct pollfd answer = { .fd = self->from_load, .events = POLLIN };
	char byte = 0;

	if (write(self->to_load, &byte, 1) != 1)
		return -EPIPE;
	if (poll(&answer, 1, STEP_LIMIT_MS) != 1 ||
	    read(self->from_load, &byte, 1) != 1)
		return -ETIME;
	return -byte;
}

static void stop_load(FIXTURE_DATA(placement) * self,
		      const FIXTURE_VARIANT(placement) * variant)
{
	if (self->load <= 0)
		return;
	kill(self->load, SIGKILL);
	waitpid(self->load, NULL, 0);
	if (variant->end)
		variant->end();
	self->load = 0;
}

FIXTURE_SETUP(placement)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (access("/sys/kernel/debug/page_owner", R_OK))
		SKIP(return, "needs CONFIG_PAGE_OWNER and page_owner=on");
	if (hotremove_block < 0 || control_block < 0)
		SKIP(return, "needs two memory blocks to plug");

	signal(SIGPIPE, SIG_IGN);
	ASSERT_TRUE(start_load(self, variant));
	if (step_load(self)) {
		stop_load(self, variant);
		SKIP(return, "needs %s", variant->needs);
	}
	self->pageblocks = hr_pageblocks("HotRemove");
	ASSERT_EQ(0,
		  hr_block_write(hotremove_block, "state", "online_hotremove"))
	{
		stop_load(self, variant);
	}
}

FIXTURE_TEARDOWN(placement)
{
	stop_load(self, variant);
	if (!hr_block_is(hotremove_block, "state", "offline"))
		hr_block_offline(hotremove_block, 120);
	/* It may well be impossible. That is what hot-removable blocks are for. */
	if (!hr_block_is(control_block, "state", "offline"))
		hr_block_offline(control_block, 2);
}

TEST_F_TIMEOUT(placement, keeps_kernel_pages_out, 600)
{
	const long pageblocks = hr_pageblocks("HotRemove");
	void *user;
	long found, want;
	int step = 0;

	prefer_node_of(hotremove_block);

	/* 1. user memory gets in */
	EXPECT_LT(self->pageblocks, pageblocks);
	user = hr_anon_in_block(hotremove_block, USER_BYTES, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, user)
	{
		TH_LOG("user memory does not reach memory%d", hotremove_block);
	}
	hr_fill(user, USER_BYTES);

	/* 2. the kernel stays out though nothing else may be free in the zone */
	for (; step < STEPS_ALONE; step++)
		ASSERT_EQ(0, step_load(self));
	EXPECT_EQ(0, hr_unmovable_pages(hotremove_block));
	EXPECT_EQ(0, page_owner_refused(hotremove_block));
	if (variant->buffers)
		EXPECT_EQ(0, buffer_pages(hotremove_block));

	/* 3. the checks can find what they did not find */
	TH_LOG("memory%d is the control: kernel pages are expected there",
	       control_block);
	if (hr_block_is(control_block, "state", "offline"))
		ASSERT_EQ(0, hr_block_write(control_block, "state",
					    "online_kernel"));
	found = kernel_pages(control_block, variant->buffers);
	for (want = found + ENOUGH_PAGES; step < STEPS_MAX && found < want;
	     step++) {
		ASSERT_EQ(0, step_load(self));
		found = kernel_pages(control_block, variant->buffers);
	}
	EXPECT_LE(want, found);
	EXPECT_LT(0, hr_unmovable_pages(control_block));

	EXPECT_EQ(0, page_owner_refused(hotremove_block));

	/*
	 * Compaction finds its targets without asking the allocator, and goes
	 * by what the mapping admits: ext4 asks for the two pages of its buddy
	 * cache with GFP_NOFS, and they may come. No page_owner here.
	 */
	EXPECT_EQ(0, hr_write_file("/proc/sys/vm/compact_memory", "1"));
	EXPECT_EQ(0, hr_unmovable_pages(hotremove_block));
	if (variant->buffers)
		EXPECT_EQ(0, buffer_pages(hotremove_block));

	/*
	 * The fuller the ordinary memory, the more of the user pages that come
	 * and go between the buffers are hot-removable.
	 */
	for (int i = 0; variant->buffers && i < STEPS_MORE; i++)
		ASSERT_EQ(0, step_load(self));
	EXPECT_EQ(0, hr_unmovable_pages(hotremove_block));
	if (variant->buffers)
		EXPECT_EQ(0, buffer_pages(hotremove_block));

	EXPECT_EQ(pageblocks, hr_pageblocks("HotRemove"));
	EXPECT_TRUE(hr_block_is(hotremove_block, "hotremove", "yes"));

	/* and that is why it can leave, with the load still there */
	EXPECT_EQ(0, hr_block_offline(hotremove_block, 120));
	EXPECT_EQ(0, hr_wrong_bytes(user, USER_BYTES));
	EXPECT_EQ(self->pageblocks, hr_pageblocks("HotRemove"));
}

/* Free pages of the blocks' zone, while none of the blocks is online. */
static long free_in_zone(void)
{
	return hr_zoneinfo(hr_block_node(control_block), "Normal",
			   "nr_free_pages");
}

/*
 * Where ordinary memory shares the zone with the blocks, fill it: how much of it
 * is free depends on what ran before, and a load comes to the control block only
 * when nothing else is.
 */
static void fill_zone(struct pressure *filler)
{
	const long enough =
		hr_zoneinfo(hr_block_node(control_block), "Normal", "low") +
		2 * MIB_PAGES;
	int ret = 0;

	if (free_in_zone() <= enough)
		return;
	ret = pressure_unmovable(filler, NULL);
	while (!ret && free_in_zone() > enough)
		ret = pressure_grow(filler, pressure_done(filler) + MIB_KIB, 0,
				    GROW_SECONDS);
	printf("# %lu MiB fill the zone%s%s\n", pressure_done(filler) / MIB_KIB,
	       ret ? ": " : "", pressure_why(filler));
	/* Tests are forked. */
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct pressure filler = { 0 };
	int blocks[2], ret;

	if (hr_supported() && hr_take_blocks(blocks, 2, 2) == 2) {
		/* Compaction moves pages upwards: to where it must not. */
		hotremove_block = blocks[1];
		control_block = blocks[0];
		fill_zone(&filler);
	}
	ret = hr_harness_run(argc, argv);
	pressure_stop(&filler);
	/* Waiting for a control block that kernel memory holds is in vain. */
	if (control_block >= 0 &&
	    hr_block_is(control_block, "state", "offline"))
		hr_return_blocks();
	return ret;
}
