// SPDX-License-Identifier: GPL-2.0
/*
 * Memory blocks change between ordinary and hot-removable while they are online
 * and in use, and nothing moves.
 *
 *	ordinary       [mm  m free    ]   online_hotremove ->  [mm  m free    ]
 *	  one page that hot-removable memory could not hold:
 *	ordinary       [mm  p free    ]   online_hotremove ->  EBUSY, as before
 *	hot-removable  [mm  m free    ]   online_kernel ---->  [mm  m kkkkkk  ]
 *
 * What was switched keeps the promise of what was onlined: it can be offlined,
 * and holds no kernel memory. What was refused is as it was, to the pageblock.
 *
 * Most of it happens in boot memory, which no other interface can make removable
 * without offlining it. Seen failing with this left out of mm/switch.c:
 *  - the test for references in judge_folio(): refuses_long_term_pin and
 *    refuses_spliced_page, for both were switched;
 *  - the answer of leaves_enough(): there is no ENOMEM;
 *  - slab_add_node(): the kernel dies of a NULL pointer as soon as a slab comes
 *    from the node, in first_ordinary_memory_of_a_node;
 *  - what is added to zone->hotremove_managed: a warning at the next offline;
 *  - the change of type in give_up_pageblock(): the invariants after any test.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hr_harness.h"
#include "../../../../mm/gup_test.h"
#include "churn.h"
#include "hr.h"
#include "pressure.h"

#define MIB (1UL << 20)
#define MAX_BLOCKS 128

/* Bounds, not expectations: enough for an emulated CPU on a busy machine. */
#define OFFLINE_S 60
#define TEST_S 600

/* What stays in a block while it is switched. */
#define BYTES (8 * MIB)

static size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static int to_hotremove(int block)
{
	return hr_block_write(block, "state", "online_hotremove");
}

static int to_ordinary(int block)
{
	return hr_block_write(block, "state", "online_kernel");
}

static bool is_hotremove(int block)
{
	return hr_block_is(block, "hotremove", "yes");
}

/* References come and go, on a busy machine for longer than the kernel waits. */
static int to_hotremove_soon(int block)
{
	long long deadline = hr_deadline(10);
	int ret;

	while ((ret = to_hotremove(block)) == -EBUSY && hr_poll(deadline))
		;
	return ret;
}

/* ---- what must not change ------------------------------------------------ */

static const char *const types[] = { "Unmovable",  "Movable", "Reclaimable",
				     "HighAtomic", "CMA",     "HotRemove",
				     "Isolate" };
static const char *const zones[] = { "DMA", "DMA32", "Normal", "Movable" };

struct snapshot {
	long type[ARRAY_SIZE(types)];
	struct {
		long present, managed, spanned, hotremove;
	} zone[ARRAY_SIZE(zones)];
	long total_kb, switches;
};

static void take_snapshot(struct snapshot *s)
{
	size_t i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < ARRAY_SIZE(types); i++)
		s->type[i] = hr_pageblocks(types[i]);
	for (i = 0; i < ARRAY_SIZE(zones); i++) {
		s->zone[i].present = hr_zoneinfo(-1, zones[i], "present");
		s->zone[i].managed = hr_zoneinfo(-1, zones[i], "managed");
		s->zone[i].spanned = hr_zoneinfo(-1, zones[i], "spanned");
		s->zone[i].hotremove = hr_zoneinfo(-1, zones[i], "hotremove");
	}
	s->total_kb = hr_meminfo_kb("HotRemoveTotal");
	s->switches = hr_vmstat("hotremove_switch");
}

static int changes(const struct snapshot *was, bool quiet)
{
	struct snapshot now;
	int bad = 0;
	size_t i;

	take_snapshot(&now);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		if (was->type[i] == now.type[i])
			continue;
		bad++;
		if (!quiet)
			ksft_print_msg("%s pageblocks: %ld, were %ld\n",
				       types[i], now.type[i], was->type[i]);
	}
	for (i = 0; i < ARRAY_SIZE(zones); i++) {
		if (!memcmp(&was->zone[i], &now.zone[i], sizeof(now.zone[i])))
			continue;
		bad++;
		if (!quiet)
			ksft_print_msg("%s: present, managed, ... changed\n",
				       zones[i]);
	}
	bad += was->total_kb != now.total_kb;
	bad += was->switches != now.switches;
	return bad;
}

/*
 * A switch to hot-removable must fail with that errno and change nothing. The
 * kernel changes types of pageblocks by itself, but not every time.
 */
static int not_refused(int block, int err)
{
	struct snapshot before;
	int i, ret, bad = 1;

	for (i = 0; bad && i < 5; i++) {
		take_snapshot(&before);
		ret = to_hotremove(block);
		if (ret != err) {
			ksft_print_msg("memory%d: %s, not %s\n", block,
				       ret ? strerror(-ret) : "switched",
				       strerror(-err));
			return 1;
		}
		bad = changes(&before, i < 4);
	}
	return bad + is_hotremove(block) +
	       !hr_block_is(block, "state", "online") + hr_check_invariants();
}

/* ---- boot memory --------------------------------------------------------- */

/* Online blocks of one kernel zone, the highest first. */
static int ordinary_blocks(int *blocks, int max)
{
	int all[MAX_BLOCKS], n, i, nr = 0;
	char zone[64];

	n = hr_blocks_in_state("online", all, MAX_BLOCKS);
	for (i = n - 1; i >= 0 && nr < max; i--) {
		if (is_hotremove(all[i]) ||
		    hr_block_read(all[i], "valid_zones", zone, sizeof(zone)) ||
		    !strcmp(zone, "none") || !strcmp(zone, "Movable"))
			continue;
		blocks[nr++] = all[i];
	}
	return nr;
}

/* A block that was ordinary and is hot-removable now, or 0. */
static int switch_any(void)
{
	int blocks[MAX_BLOCKS], n, i;

	n = ordinary_blocks(blocks, MAX_BLOCKS);
	for (i = 0; i < n; i++)
		if (!to_hotremove(blocks[i]))
			return blocks[i];
	return 0;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ---- one block of boot memory --------------------------------------------- */

FIXTURE(boot)
{
	int block;
	struct pressure kernel;
};

FIXTURE_SETUP(boot)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	self->block = switch_any();
	if (!self->block)
		SKIP(return, "needs boot memory that can be switched");
}

FIXTURE_TEARDOWN(boot)
{
	pressure_stop(&self->kernel);
	if (!hr_block_is(self->block, "state", "online"))
		EXPECT_EQ(0, to_hotremove(self->block));
	if (is_hotremove(self->block))
		EXPECT_EQ(0, to_ordinary(self->block));
}

/* Memory of that kind, at least a quarter of it in the block. */
static void *memory_in(int block, int flags, int advice)
{
	const size_t all = hr_meminfo_kb("MemTotal") * 1024 / BYTES * BYTES;
	const long enough = BYTES / page_size() / 4;
	char *map, *at;

	if (flags & MAP_PRIVATE)
		return hr_anon_in_block(block, BYTES, advice);
	map = mmap(NULL, all, PROT_READ | PROT_WRITE,
		   flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	for (at = map; at < map + all; at += BYTES) {
		if (hr_meminfo_kb("MemAvailable") < 96 * 1024)
			break;
		memset(at, 1, BYTES);
		if (hr_pages_in_block(at, BYTES, block) < enough)
			continue;
		madvise(map, at - map, MADV_REMOVE);
		munmap(map, at - map);
		munmap(at + BYTES, map + all - at - BYTES);
		return at;
	}
	munmap(map, all);
	return NULL;
}

FIXTURE(data)
{
	int block;
	unsigned char *mem;
};

FIXTURE_VARIANT(data)
{
	int flags, advice;
	bool lock;
};

FIXTURE_VARIANT_ADD(data, anon) {
	.flags = MAP_PRIVATE,
	.advice = MADV_NOHUGEPAGE,
};

FIXTURE_VARIANT_ADD(data, thp) {
	.flags = MAP_PRIVATE,
	.advice = MADV_HUGEPAGE,
};

FIXTURE_VARIANT_ADD(data, mlock) {
	.flags = MAP_PRIVATE,
	.advice = MADV_NOHUGEPAGE,
	.lock = true,
};

FIXTURE_VARIANT_ADD(data, shmem) {
	.flags = MAP_SHARED,
};

FIXTURE_SETUP(data)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	self->block = switch_any();
	if (!self->block)
		SKIP(return, "needs boot memory that can be switched");
}

FIXTURE_TEARDOWN(data)
{
	if (self->mem)
		munmap(self->mem, BYTES);
	if (!hr_block_is(self->block, "state", "online"))
		EXPECT_EQ(0, to_hotremove(self->block));
	if (is_hotremove(self->block))
		EXPECT_EQ(0, to_ordinary(self->block));
}

TEST_F_TIMEOUT(data, stays_where_it_is, TEST_S)
{
	const size_t page = page_size(), nr = BYTES / page;
	unsigned long pfns[nr];
	long inside;
	int status;
	pid_t pid;
	size_t i;

	ASSERT_EQ(0, to_ordinary(self->block));
	self->mem = memory_in(self->block, variant->flags, variant->advice);
	ASSERT_NE(NULL, self->mem);
	if (variant->lock)
		ASSERT_EQ(0, mlock(self->mem, BYTES));
	hr_fill(self->mem, BYTES);
	inside = hr_pages_in_block(self->mem, BYTES, self->block);
	for (i = 0; i < nr; i++)
		pfns[i] = hr_virt_to_pfn(self->mem + i * page);

	/* Mapped by two processes. */
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(pause());

	EXPECT_EQ(0, to_hotremove_soon(self->block));
	EXPECT_TRUE(is_hotremove(self->block));
	for (i = 0; i < nr; i++)
		ASSERT_EQ(pfns[i], hr_virt_to_pfn(self->mem + i * page));
	EXPECT_EQ(inside, hr_pages_in_block(self->mem, BYTES, self->block));
	EXPECT_EQ(0, hr_wrong_bytes(self->mem, BYTES));
	EXPECT_EQ(0, hr_check_invariants());
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);

	/* The same on the way back, and once more. */
	EXPECT_EQ(0, to_ordinary(self->block));
	EXPECT_FALSE(is_hotremove(self->block));
	EXPECT_EQ(0, to_hotremove_soon(self->block));
	EXPECT_EQ(inside, hr_pages_in_block(self->mem, BYTES, self->block));

	/* Hot-removable is what it is now. */
	EXPECT_EQ(0, hr_block_offline(self->block, OFFLINE_S));
	EXPECT_EQ(0, hr_pages_in_block(self->mem, BYTES, self->block));
	EXPECT_EQ(0, hr_wrong_bytes(self->mem, BYTES));
}

/* Sizes of all zones, as text. */
static void read_sizes(char *buf, size_t len)
{
	static const char *const words[] = { "Node", "present", "managed",
					     "hotremove", "spanned" };
	char line[256], word[64];
	size_t i;
	FILE *f;

	*buf = '\0';
	f = fopen("/proc/zoneinfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s", word) != 1)
			continue;
		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (!strcmp(word, words[i]))
				snprintf(buf + strlen(buf), len - strlen(buf),
					 "%s", line);
	}
	if (f)
		fclose(f);
}

/* What was switched does not differ from what was onlined as that. */
TEST_F_TIMEOUT(boot, same_as_onlined, TEST_S)
{
	static char ordinary[8192], switched[8192], onlined[8192], back[8192];
	long total, high;

	ASSERT_EQ(0, to_ordinary(self->block));
	read_sizes(ordinary, sizeof(ordinary));
	ASSERT_EQ(0, to_hotremove_soon(self->block));
	total = hr_meminfo_kb("HotRemoveTotal");
	read_sizes(switched, sizeof(switched));
	EXPECT_STRNE(ordinary, switched);
	high = pressure_watermark_pages("high");

	ASSERT_EQ(0, hr_block_offline(self->block, OFFLINE_S));
	ASSERT_EQ(0, hr_block_write(self->block, "state", "online_hotremove"));
	EXPECT_EQ(total, hr_meminfo_kb("HotRemoveTotal"));
	read_sizes(onlined, sizeof(onlined));
	EXPECT_STREQ(onlined, switched);
	/* The kernel calculates them from what they were before, and rounds. */
	EXPECT_LT(labs(high - pressure_watermark_pages("high")), 8);

	ASSERT_EQ(0, to_ordinary(self->block));
	read_sizes(back, sizeof(back));
	EXPECT_STREQ(ordinary, back);
}

/* ---- what may not be in hot-removable memory ------------------------------- */

/* Anonymous memory of the block, which is ordinary. */
static unsigned char *anon_in(int block)
{
	unsigned char *mem = hr_anon_in_block(block, BYTES, MADV_NOHUGEPAGE);
	size_t at;

	for (at = 0; mem && at < BYTES; at += page_size())
		if (hr_pfn_in_block(hr_virt_to_pfn(mem + at), block))
			return mem + at;
	return NULL;
}

TEST_F_TIMEOUT(boot, refuses_long_term_pin, TEST_S)
{
	struct pin_longterm_test gup = {
		.size = page_size(),
		.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE,
	};
	unsigned char *mem;
	int fd;

	fd = open("/sys/kernel/debug/gup_test", O_RDWR);
	if (fd < 0)
		SKIP(return, "needs CONFIG_GUP_TEST");
	ASSERT_EQ(0, to_ordinary(self->block));
	mem = anon_in(self->block);
	ASSERT_NE(NULL, mem);
	gup.addr = (uintptr_t)mem;
	ASSERT_EQ(0, ioctl(fd, PIN_LONGTERM_TEST_START, &gup));
	EXPECT_EQ(0, not_refused(self->block, -EBUSY));
	ASSERT_EQ(0, ioctl(fd, PIN_LONGTERM_TEST_STOP));
	/* It was the pin, and only the pin. */
	EXPECT_EQ(0, to_hotremove_soon(self->block));
}

/* A pipe holds the page by a reference like any other. */
TEST_F_TIMEOUT(boot, refuses_spliced_page, TEST_S)
{
	struct iovec iov = { .iov_len = page_size() };
	char blocker[64];
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, to_ordinary(self->block));
	iov.iov_base = anon_in(self->block);
	ASSERT_NE(NULL, iov.iov_base);
	ASSERT_EQ(iov.iov_len, vmsplice(pipes[1], &iov, 1, 0));
	snprintf(blocker, sizeof(blocker), "stays ordinary: pfn %#lx is ",
		 hr_virt_to_pfn(iov.iov_base));
	EXPECT_EQ(0, not_refused(self->block, -EBUSY));
	EXPECT_LT(0, hr_log_lines(blocker));
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(0, to_hotremove_soon(self->block));
}

/* Whoever has the page is told by force; it is not looked at any more. */
static void told_of_poison(int sig)
{
	(void)sig;
}

/* What may fail must not be counted as removable, and is named. */
TEST_F_TIMEOUT(boot, refuses_poisoned_page, TEST_S)
{
	static const int advice[] = { MADV_SOFT_OFFLINE, MADV_HWPOISON };
	char blocker[64], text[32];
	unsigned char *mem;
	unsigned long pfn;
	size_t i;

	if (access(UNPOISON, W_OK))
		SKIP(return, "needs CONFIG_HWPOISON_INJECT");
	signal(SIGBUS, told_of_poison);
	ASSERT_EQ(0, to_ordinary(self->block));
	for (i = 0; i < ARRAY_SIZE(advice); i++) {
		mem = anon_in(self->block);
		ASSERT_NE(NULL, mem);
		pfn = hr_virt_to_pfn(mem);
		ASSERT_EQ(0, madvise(mem, page_size(), advice[i]));
		munmap(mem, page_size());
		EXPECT_EQ(0, not_refused(self->block, -EBUSY));
		snprintf(blocker, sizeof(blocker),
			 "stays ordinary: pfn %#lx is hwpoison", pfn);
		EXPECT_LT(0, hr_log_lines(blocker));
		snprintf(text, sizeof(text), "%#lx", pfn);
		ASSERT_EQ(0, hr_write_file(UNPOISON, text));
	}
	/* It was the poison, and only that. */
	EXPECT_EQ(0, to_hotremove_soon(self->block));
}

/* What the kernel has for itself, down to a little above the high watermarks. */
static long room_kb(void)
{
	return hr_meminfo_kb("MemFree") - hr_meminfo_kb("HotRemoveFree") -
	       pressure_watermark_pages("high") * (long)PAGE_KIB - 16 * 1024;
}

/* ---- errno ------------------------------------------------------------------ */

TEST_F_TIMEOUT(boot, present_state, TEST_S)
{
	struct snapshot before;

	take_snapshot(&before);
	EXPECT_EQ(-EINVAL, to_hotremove(self->block));
	EXPECT_EQ(-EINVAL, hr_block_write(self->block, "state", "online"));
	EXPECT_EQ(-EINVAL,
		  hr_block_write(self->block, "state", "online_movable"));
	EXPECT_TRUE(is_hotremove(self->block));
	EXPECT_EQ(0, changes(&before, false));
	ASSERT_EQ(0, to_ordinary(self->block));
	EXPECT_EQ(-EINVAL, to_ordinary(self->block));
	EXPECT_EQ(-EINVAL, hr_block_write(self->block, "state", "online"));
	EXPECT_EQ(-EINVAL,
		  hr_block_write(self->block, "state", "online_movable"));
	EXPECT_FALSE(is_hotremove(self->block));
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* A signal after 100 us to 200 ms, and then all the time. */
TEST_F_TIMEOUT(boot, signals, TEST_S)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval off = { 0 }, on = { .it_value.tv_usec = 100,
					     .it_interval.tv_usec = 100 };
	unsigned char *mem;
	int i, ret, stopped = 0, done = 0;

	ASSERT_EQ(0, to_ordinary(self->block));
	mem = hr_anon_in_block(self->block, BYTES, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, mem);
	sigaction(SIGALRM, &act, NULL);
	for (i = 0; i < 50; i++) {
		on.it_value.tv_usec = 100 << i % 12;
		setitimer(ITIMER_REAL, &on, NULL);
		ret = to_hotremove(self->block);
		setitimer(ITIMER_REAL, &off, NULL);
		stopped += ret == -EINTR;
		done += !ret;
		ASSERT_TRUE(!ret || ret == -EINTR || ret == -EBUSY)
		TH_LOG("%s", strerror(-ret));
		ASSERT_EQ(!ret, is_hotremove(self->block));
		if (!ret)
			ASSERT_EQ(0, to_ordinary(self->block));
	}
	ksft_print_msg("%d stopped, %d done\n", stopped, done);
	EXPECT_LT(0, stopped);
	EXPECT_LT(0, done);
	munmap(mem, BYTES);
	EXPECT_EQ(0, hr_check_invariants());
}

TEST(never)
{
	int blocks[MAX_BLOCKS], n;
	struct snapshot before;

	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	/* The first block has ZONE_DMA and holes in it. */
	ASSERT_TRUE(hr_block_is(0, "state", "online"));
	take_snapshot(&before);
	EXPECT_EQ(-EINVAL, to_hotremove(0));
	EXPECT_EQ(-EINVAL, to_ordinary(0));
	EXPECT_EQ(0, changes(&before, false));

	n = hr_take_blocks(blocks, 1, MAX_BLOCKS);
	if (n >= 1) {
		ASSERT_EQ(0,
			  hr_block_write(blocks[0], "state", "online_movable"));
		EXPECT_EQ(-EINVAL, to_hotremove(blocks[0]));
		EXPECT_EQ(-EINVAL, to_ordinary(blocks[0]));
		EXPECT_TRUE(hr_block_is(blocks[0], "valid_zones", "Movable"));
		EXPECT_EQ(0, hr_return_blocks());
	}
	EXPECT_EQ(0, hr_check_invariants());
}

/* ---- who is told ------------------------------------------------------------ */

/* Is there a KOBJ_CHANGE event of that block in the queue? */
static bool told(int fd, int block)
{
	char buf[2048], want[64];
	bool found = false;
	ssize_t n;

	snprintf(want, sizeof(want), "change@/devices/system/memory/memory%d",
		 block);
	while ((n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT)) > 0) {
		buf[n] = '\0';
		found |= !strcmp(buf, want);
	}
	return found;
}

TEST_F_TIMEOUT(boot, event_and_counter, TEST_S)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	long switches = hr_vmstat("hotremove_switch");
	long total = hr_meminfo_kb("HotRemoveTotal");
	int fd;

	fd = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	told(fd, self->block);
	EXPECT_EQ(-EINVAL, to_hotremove(self->block));
	EXPECT_FALSE(told(fd, self->block));
	EXPECT_EQ(0, to_ordinary(self->block));
	EXPECT_TRUE(told(fd, self->block));
	EXPECT_EQ(total - hr_block_bytes() / 1024,
		  hr_meminfo_kb("HotRemoveTotal"));
	EXPECT_EQ(0, to_hotremove_soon(self->block));
	EXPECT_TRUE(told(fd, self->block));
	EXPECT_EQ(total, hr_meminfo_kb("HotRemoveTotal"));
	EXPECT_EQ(switches + 2, hr_vmstat("hotremove_switch"));
	close(fd);
}

/* ---- many, and all at once --------------------------------------------------- */

#define SWITCHES 1000
#define LOADS 2

TEST_F_TIMEOUT(boot, thousand_switches_under_load, 900)
{
	const size_t bytes = 32 * MIB;
	int tries, ret, i, switched = 0, busy = 0, in_a_row = 0;
	double start, took, total = 0, worst = 0;
	pid_t load[LOADS];
	unsigned char *mem;

	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	hr_fill(mem, bytes);
	load[0] = churn_start(churn_memory);
	load[1] = churn_start(churn_tasks);

	for (tries = 0; switched < SWITCHES && tries < 20 * SWITCHES; tries++) {
		const bool there = is_hotremove(self->block);

		start = now_s();
		ret = there ? to_ordinary(self->block) :
			      to_hotremove(self->block);
		took = now_s() - start;
		ASSERT_TRUE(!ret || (!there && ret == -EBUSY))
		TH_LOG("%s", strerror(-ret));
		ASSERT_EQ(there ^ !ret, is_hotremove(self->block));
		if (ret) {
			busy++;
			/* What is in the way is not always short-lived. */
			if (++in_a_row == 200)
				break;
			continue;
		}
		in_a_row = 0;
		total += took;
		if (took > worst)
			worst = took;
		if (++switched % 100)
			continue;
		for (i = 0; i < LOADS; i++)
			kill(load[i], SIGSTOP);
		ASSERT_EQ(0, hr_check_invariants())
		TH_LOG("after %d switches", switched);
		for (i = 0; i < LOADS; i++)
			kill(load[i], SIGCONT);
	}
	for (i = 0; i < LOADS; i++)
		EXPECT_TRUE(churn_end(load[i]));
	ksft_print_msg("%d switches, mean %.1f ms, worst %.1f ms; %d times EBUSY\n",
		       switched, total * 1e3 / switched, worst * 1e3, busy);
	EXPECT_EQ(SWITCHES, switched);
	EXPECT_EQ(0, hr_wrong_bytes(mem, bytes));
	EXPECT_EQ(0, hr_pageblocks("Isolate"));
	munmap(mem, bytes);
}

#define RACERS 3
#define WRITES 150

struct race {
	int block;
	atomic_int count[8], wrong;
};

static void *racer(void *arg)
{
	static const char *const words[] = { "online_hotremove",
					     "online_kernel" };
	static const int errors[] = { 0, -EINVAL, -EBUSY, -ENOMEM, -EINTR };
	unsigned int seed = (unsigned long)pthread_self() >> 12, choice, e;
	struct race *r = arg;
	int i, ret;

	for (i = 0; i < WRITES; i++) {
		choice = rand_r(&seed) % 5;
		if (choice < 4)
			ret = hr_block_write(r->block, "state",
					     words[choice % 2]);
		else
			ret = hr_block_offline_usec(r->block, 300000);
		for (e = 0; e < ARRAY_SIZE(errors); e++)
			if (ret == errors[e])
				break;
		if (e < ARRAY_SIZE(errors))
			r->count[e]++;
		else if (!r->wrong++)
			ksft_print_msg("unexpected: %s\n", strerror(-ret));
	}
	return NULL;
}

TEST_F_TIMEOUT(boot, raced_with_offline, TEST_S)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct race r = { .block = self->block };
	const long managed = hr_zoneinfo(-1, NULL, "managed");
	const long present = hr_zoneinfo(-1, NULL, "present");
	pthread_t threads[RACERS];
	pid_t load;
	int i;

	/* What the racers save and restore, each in the middle of the others. */
	sigaction(SIGALRM, &act, NULL);
	load = churn_start(churn_tasks);
	for (i = 0; i < RACERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, racer, &r));
	for (i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	EXPECT_TRUE(churn_end(load));
	ksft_print_msg("%d ok, %d EINVAL, %d EBUSY, %d ENOMEM, %d EINTR\n",
		       r.count[0], r.count[1], r.count[2], r.count[3],
		       r.count[4]);
	EXPECT_EQ(0, r.wrong);
	EXPECT_LT(10, r.count[0]);
	if (!hr_block_is(self->block, "state", "online"))
		ASSERT_EQ(0, to_hotremove(self->block));
	EXPECT_EQ(managed, hr_zoneinfo(-1, NULL, "managed"));
	EXPECT_EQ(present, hr_zoneinfo(-1, NULL, "present"));
	EXPECT_EQ(0, hr_check_invariants());
}

/* ---- who may use it -------------------------------------------------------- */

static bool node_has_normal_memory(int node)
{
	char list[64];

	return hr_read_file("/sys/devices/system/node/has_normal_memory", list,
			    sizeof(list)) > 0 &&
	       strchr(list, '0' + node);
}

/*
 * After the others: the block may not be removable any more. Where the kernel has
 * come to all of boot memory, which is so after a test or two, it is plugged.
 */
FIXTURE(kernel)
{
	int block;
	struct pressure kernel;
};

FIXTURE_SETUP(kernel)
{
	int blocks[MAX_BLOCKS];

	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	self->block = switch_any();
	/* Not a node's first one: somebody is waiting for that. */
	if (!self->block && hr_take_blocks(blocks, 1, MAX_BLOCKS) > 0 &&
	    node_has_normal_memory(hr_block_node(blocks[0])) &&
	    !to_hotremove(blocks[0]))
		self->block = blocks[0];
	if (!self->block) {
		hr_return_blocks();
		SKIP(return, "needs a memory block that is hot-removable");
	}
	ksft_print_msg("memory%d of node %d\n", self->block,
		       hr_block_node(self->block));
}

FIXTURE_TEARDOWN(kernel)
{
	pressure_stop(&self->kernel);
	if (is_hotremove(self->block))
		EXPECT_EQ(0, to_ordinary(self->block));
	hr_return_blocks();
}

/*
 * The kernel's own memory runs out while the block could be had: it may not be
 * taken away from it then.
 */
TEST_F_TIMEOUT(kernel, leaves_enough_for_the_kernel, TEST_S)
{
	long kib, limit = hr_meminfo_kb("MemTotal");
	int ret = 0;

	ASSERT_EQ(0, pressure_unmovable(&self->kernel, NULL));
	for (kib = 4 * 1024; kib < limit && ret != -ENOMEM; kib += 2 * 1024) {
		ASSERT_EQ(0, pressure_grow(&self->kernel, kib, 0, GROW_SECONDS))
		{
			TH_LOG("killed for a switch at %ld KiB", kib);
		}
		ASSERT_EQ(0, to_ordinary(self->block));
		ret = to_hotremove_soon(self->block);
		if (ret == -EBUSY)
			SKIP(return, "kernel memory came to the block first");
		if (ret != -ENOMEM)
			ASSERT_EQ(0, ret);
	}
	EXPECT_EQ(-ENOMEM, ret);
	ksft_print_msg("ENOMEM with %lu KiB of pipes, %ld KiB free, high watermarks %ld KiB\n",
		       pressure_done(&self->kernel), hr_meminfo_kb("MemFree"),
		       pressure_watermark_pages("high") * (long)PAGE_KIB);
	/* A moment later kswapd may have found some. */
	EXPECT_FALSE(is_hotremove(self->block));
	EXPECT_EQ(0, hr_pageblocks("HotRemove"));
	EXPECT_EQ(0, hr_pageblocks("Isolate"));
	EXPECT_EQ(0, hr_check_invariants());
	pressure_stop(&self->kernel);
}

/* Kernel memory up to a little less than what there is; pages of it inside. */
static long kernel_pages_in(struct pressure *p, int block, bool until_found)
{
	long kib, pages = 0;

	if (pressure_unmovable(p, NULL))
		return -1;
	for (kib = 8 * 1024; room_kb() > 0; kib += 8 * 1024) {
		if (pressure_grow(p, kib, 0, GROW_SECONDS)) {
			ksft_print_msg("%ld KiB: %s\n", kib, pressure_why(p));
			return -1;
		}
		if (!until_found)
			continue;
		pages = hr_unmovable_pages(block);
		if (pages > 64)
			break;
	}
	return hr_unmovable_pages(block);
}

TEST_F_TIMEOUT(kernel, kernel_may_use_it_or_not, TEST_S)
{
	struct iovec iov = { .iov_len = page_size() };
	int ret, pipes[2];
	long pages;

	/* Never while it is hot-removable, */
	pages = kernel_pages_in(&self->kernel, self->block, false);
	EXPECT_EQ(0, pages);
	ksft_print_msg("hot-removable: %ld kernel pages, with %lu KiB of pipes\n",
		       pages, pressure_done(&self->kernel));
	pressure_stop(&self->kernel);

	/* as soon as it is not, */
	ASSERT_EQ(0, to_ordinary(self->block));
	pages = kernel_pages_in(&self->kernel, self->block, true);
	EXPECT_LT(64, pages);
	ksft_print_msg("ordinary: %ld kernel pages, with %lu KiB of pipes\n",
		       pages, pressure_done(&self->kernel));

	/* which then keeps it from being switched, if its size does not. */
	ret = to_hotremove(self->block);
	EXPECT_TRUE(ret == -EBUSY || ret == -ENOMEM);
	EXPECT_EQ(0, not_refused(self->block, ret));
	pressure_stop(&self->kernel);

	/* Its pageblocks are of several types, which a refusal must keep. */
	ASSERT_EQ(0, pipe(pipes));
	iov.iov_base = anon_in(self->block);
	if (iov.iov_base) {
		ASSERT_EQ(iov.iov_len, vmsplice(pipes[1], &iov, 1, 0));
		EXPECT_EQ(0, not_refused(self->block, -EBUSY));
	}
	close(pipes[0]);
	close(pipes[1]);
	hr_write_file("/proc/sys/vm/drop_caches", "3");
	/* Page tables and slabs of others may have come there meanwhile. */
	if (to_hotremove_soon(self->block)) {
		ksft_print_msg("%ld kernel pages stayed\n",
			       hr_unmovable_pages(self->block));
		return;
	}
	EXPECT_EQ(0, kernel_pages_in(&self->kernel, self->block, false));
}

/* On the LRU, movable by __GFP_MOVABLE, and yet what makes removals fail. */
TEST_F_TIMEOUT(kernel, refuses_block_device_buffer, TEST_S)
{
	const size_t all = 60 * MIB, step = MIB;
	unsigned char *map;
	int fd = -1, disk, other;
	long inside = 0;
	char path[32];
	size_t at;

	if (access("/dev/ram0", R_OK))
		SKIP(return, "needs CONFIG_BLK_DEV_RAM");
	ASSERT_EQ(0, to_ordinary(self->block));
	/* It takes what is free in order, and the block comes late. */
	for (disk = 0; disk < 16 && !inside; disk++) {
		snprintf(path, sizeof(path), "/dev/ram%d", disk);
		fd = open(path, O_RDONLY);
		ASSERT_LE(0, fd);
		for (at = 0; at < all && !inside; at += step) {
			map = mmap(NULL, step, PROT_READ,
				   MAP_SHARED | MAP_POPULATE, fd, at);
			ASSERT_NE(MAP_FAILED, map);
			inside = hr_pages_in_block(map, step, self->block);
			munmap(map, step);
		}
	}
	ksft_print_msg("%ld buffers in the block\n", inside);
	ASSERT_LT(0, inside);
	/* Let go of what came before, or too little would be left. */
	posix_fadvise(fd, 0, at - step, POSIX_FADV_DONTNEED);
	for (disk -= 2; disk >= 0; disk--) {
		snprintf(path, sizeof(path), "/dev/ram%d", disk);
		other = open(path, O_RDONLY);
		ASSERT_LE(0, other);
		posix_fadvise(other, 0, all, POSIX_FADV_DONTNEED);
		close(other);
	}
	EXPECT_EQ(0, not_refused(self->block, -EBUSY));
	ASSERT_EQ(0, hr_write_file("/proc/sys/vm/drop_caches", "1"));
	/* Page tables and slabs of others may have come there meanwhile. */
	if (to_hotremove_soon(self->block))
		ksft_print_msg("%ld kernel pages stayed\n",
			       hr_unmovable_pages(self->block));
	close(fd);
}

/* ---- last: what these hold may not be removable any more ------------------- */

static atomic_bool stop_resizing;

/* alloc_contig_range() for the sub-blocks, and back. */
static void *resizer(void *arg)
{
	const long *mib = arg;
	long part = hr_block_bytes() / MIB / 2;

	while (!stop_resizing) {
		hr_vmem_resize("vm0", *mib - part, 5);
		hr_vmem_resize("vm0", *mib, 5);
		part = part > 8 ? part - 6 : hr_block_bytes() / MIB / 2;
	}
	return NULL;
}

FIXTURE(vmem)
{
	int block, sink;
	long mib;
};

FIXTURE_SETUP(vmem)
{
	int blocks[MAX_BLOCKS];

	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (!hr_qmp_available() || hr_vmem_size_mib("vm0") < 0)
		SKIP(return, "needs virtio-mem vm0, CONFIG_VIRTIO_MEM");
	ASSERT_LE(2, hr_take_blocks(blocks, 2, MAX_BLOCKS));
	self->block = blocks[0];
	self->sink = blocks[1];
	self->mib = hr_vmem_size_mib("vm0");
	ASSERT_EQ(0, to_hotremove(self->block));
}

/* Kernel memory may have come to the block, which then does not go. */
FIXTURE_TEARDOWN(vmem)
{
	hr_vmem_resize("vm0", self->mib, OFFLINE_S);
	if (!is_hotremove(self->block))
		to_hotremove_soon(self->block);
	hr_return_blocks();
}

/* Of a node without ordinary memory: slabs need something before they come. */
TEST_F_TIMEOUT(vmem, first_ordinary_memory_of_a_node, TEST_S)
{
	const int node = hr_block_node(self->block);
	struct pressure_options there = { .nodes = 1UL << node };
	struct pressure files = { 0 };
	long pages;

	if (node < 1 || node_has_normal_memory(node))
		SKIP(return, "needs a node without ordinary memory");
	ASSERT_EQ(0, to_ordinary(self->block));
	EXPECT_TRUE(node_has_normal_memory(node));
	ASSERT_EQ(0, pressure_files(&files, &there));
	EXPECT_EQ(0, pressure_grow(&files, 20000, 0, GROW_SECONDS));
	pages = hr_unmovable_pages(self->block);
	ksft_print_msg("%ld kernel pages in the block\n", pages);
	EXPECT_LT(1000, pages);
	pressure_stop(&files);
	/* Whatever is in it, it is the last: */
	pages = to_hotremove(self->block);
	EXPECT_TRUE(pages == -EBUSY || pages == -ENOMEM);
	EXPECT_TRUE(node_has_normal_memory(node));
	EXPECT_EQ(0, hr_check_invariants());
}

/*
 * The zone of the block may have no other memory, and then the kernel would use
 * the block as soon as it can; the sink is there for it.
 */
TEST_F_TIMEOUT(vmem, raced_with_unplug, TEST_S)
{
	int i, ret, there = 0, back = 0, refused = 0;
	int blocks[MAX_BLOCKS], offline;
	pthread_t thread;
	long managed;

	ASSERT_EQ(0, to_ordinary(self->sink));
	offline = hr_offline_blocks(blocks, MAX_BLOCKS);
	managed = hr_zoneinfo(-1, NULL, "managed");
	ASSERT_EQ(0, pthread_create(&thread, NULL, resizer, &self->mib));
	for (i = 0; i < 200; i++) {
		ret = to_ordinary(self->block);
		there += !ret;
		ASSERT_TRUE(!ret || ret == -EINVAL)
		TH_LOG("%s", strerror(-ret));
		ret = to_hotremove(self->block);
		back += !ret;
		refused += !!ret;
		ASSERT_TRUE(!ret || ret == -EBUSY || ret == -ENOMEM)
		TH_LOG("%s", strerror(-ret));
		usleep(20000);
	}
	stop_resizing = true;
	pthread_join(thread, NULL);
	ksft_print_msg("%d given up, %d taken back, %d refused\n", there, back,
		       refused);
	EXPECT_LT(0, there);
	EXPECT_LT(0, back);
	ASSERT_EQ(0, hr_vmem_resize("vm0", self->mib, OFFLINE_S));
	for (i = 0; i < 500 && hr_zoneinfo(-1, NULL, "managed") != managed; i++)
		usleep(10000);
	/* The driver may have preferred a new block, which stays offline. */
	if (hr_offline_blocks(blocks, MAX_BLOCKS) == offline)
		EXPECT_EQ(managed, hr_zoneinfo(-1, NULL, "managed"));
	EXPECT_EQ(0, hr_check_invariants());
}

HR_HARNESS_MAIN
