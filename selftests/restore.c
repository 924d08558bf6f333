// SPDX-License-Identifier: GPL-2.0
/*
 * A removal that fails leaves the block exactly as it was.
 *
 * Offlining and alloc_contig_range() first isolate every pageblock of their
 * range, and give the type back when they fail. They do not know which type it
 * was: 6.12 says MIGRATE_MOVABLE. A hot-removable pageblock that came back as
 * MIGRATE_MOVABLE would soon hold kernel objects, its free pages would be
 * missing in nr_free_hotremove, and the next removal would fail for good.
 *
 *	HotRemove --isolate--> Isolate --success--> offline
 *	    ^                     |
 *	    +---- home type <-----+ signal, veto, pinned page, virtio-mem refused,
 *	                            or the end of an alloc_contig_range()
 *
 * Each test runs on a ZONE_MOVABLE block, too: that is the control, and all of
 * it that a kernel without MIGRATE_HOTREMOVE can do.
 *
 * Seen failing with the hunk in unset_migratetype_isolate() of "mm/page_isolation:
 * keep the home type of hot-removable pageblocks" reverted: after the first abort
 * no HotRemove pageblock is left, slab moves in, and the block is lost.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "hr_harness.h"
#include "hr.h"
#include "pressure.h"

#define PASSES "/sys/module/memory_hotplug/parameters/offline_passes"
#define VETO_DIR "/sys/kernel/debug/notifier-error-inject/memory/actions/"
#define MIB (1UL << 20)

/* Bounds, not expectations: enough for an emulated CPU on a busy machine. */
#define OFFLINE_S 60
#define UNPLUG_S 60
#define TEST_S 300

static unsigned long page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* Pages the kernel keeps for itself: a block that has lost its type attracts them. */
#define KERNEL_MIB 24

/* ---- user memory ----------------------------------------------------------- */

/* Of ordinary memory, above the watermarks: less than a memory block has. */
#define LEAVE_MIB 90

/*
 * User memory is taken from where more is free: let that be the block. What moves
 * out of it must fit, too.
 */
static int prefer_block(struct pressure *p)
{
	return pressure_leave(p, LEAVE_MIB + pressure_watermark_pages("high") /
						     MIB_PAGES);
}

/* The node of the block comes first, wherever this process runs. */
static unsigned char *fill(int block, size_t len)
{
	unsigned long node = 1UL << hr_block_node(block);
	unsigned char *mem;

	mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	syscall(SYS_mbind, mem, len, MPOL_PREFERRED, &node, 8 * sizeof(node),
		0);
	madvise(mem, len, MADV_NOHUGEPAGE);
	hr_fill(mem, len);
	return mem;
}

/* Is it a removal of the block that has to move it? */
static bool lies_in(const unsigned char *mem, size_t len, int block)
{
	long all = len / page_size();
	long inside = hr_pages_in_block(mem, len, block);

	if (inside >= all / 2)
		return true;
	ksft_print_msg("%ld pages of %ld are in memory%d\n", inside, all,
		       block);
	return false;
}

/* ---- a page that cannot move --------------------------------------------- */

#define PIN_BYTES (16 * MIB)

/* One page of it is pinned. */
struct user_memory {
	unsigned char *mem;
	int pipe[2]; /* holds the page */
};

/* vmsplice() keeps a reference that no migration can take along. */
static int pin_in(struct user_memory *u, int block)
{
	struct iovec iov = { .iov_len = page_size() };
	unsigned char *at;

	u->mem = fill(block, PIN_BYTES);
	if (!u->mem || !lies_in(u->mem, PIN_BYTES, block) || pipe(u->pipe))
		return -1;
	for (at = u->mem; !hr_pfn_in_block(hr_virt_to_pfn(at), block);)
		at += page_size();
	iov.iov_base = at;
	return vmsplice(u->pipe[1], &iov, 1, 0) == (ssize_t)iov.iov_len ? 0 :
									  -1;
}

static void unpin(struct user_memory *u)
{
	close(u->pipe[0]);
	close(u->pipe[1]);
	munmap(u->mem, PIN_BYTES);
}

/* ---- one block ------------------------------------------------------------ */

FIXTURE(block)
{
	int nr;
	struct hr_snapshot before;
	struct pressure anon;
};

FIXTURE_VARIANT(block)
{
	const char *keyword, *hotremove;
};

FIXTURE_VARIANT_ADD(block, hotremove) {
	.keyword = "online_hotremove",
	.hotremove = "yes",
};

FIXTURE_VARIANT_ADD(block, movable) {
	.keyword = "online_movable",
	.hotremove = "no",
};

FIXTURE_SETUP(block)
{
	int blocks[64];

	if (!strcmp(variant->hotremove, "yes") && !hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (hr_take_blocks(blocks, 1, 64) < 1)
		SKIP(return,
		     "needs an offline memory block: a DIMM or CONFIG_VIRTIO_MEM");
	self->nr = blocks[0];
	/* ZONE_MOVABLE comes first, whatever is free elsewhere. */
	if (!strcmp(variant->hotremove, "yes"))
		ASSERT_EQ(0, prefer_block(&self->anon));
	ASSERT_EQ(0, hr_block_write(self->nr, "state", variant->keyword));
	hr_take_snapshot(&self->before);
}

static void veto(const char *action, int err)
{
	char path[128], value[16];

	snprintf(path, sizeof(path), VETO_DIR "%s/error", action);
	snprintf(value, sizeof(value), "%d", err);
	hr_write_file(path, value);
}

FIXTURE_TEARDOWN(block)
{
	veto("MEM_GOING_OFFLINE", 0);
	veto("MEM_GOING_ONLINE", 0);
	pressure_stop(&self->anon);
	EXPECT_EQ(0, hr_return_blocks());
}

/* After an abort: the block is what it was, and stays so when the kernel grows. */
static int not_restored(int block, const struct hr_snapshot *before,
			const char *hotremove)
{
	struct pressure pipes;
	int bad = 0;

	if (!hr_block_is(block, "state", "online") ||
	    (hr_supported() && !hr_block_is(block, "hotremove", hotremove))) {
		ksft_print_msg("memory%d is no longer online and hotremove=%s\n",
			       block, hotremove);
		bad++;
	}
	bad += hr_changed(before);
	bad += hr_check_invariants();
	bad += pressure_unmovable(&pipes, NULL) ||
	       pressure_grow(&pipes, KERNEL_MIB * MIB_KIB, 0, GROW_SECONDS);
	bad += hr_unmovable_pages(block) != 0;
	pressure_stop(&pipes);
	return bad;
}

/* The page is pinned, the administrator gives up. */
TEST_F_TIMEOUT(block, signal_while_pinned, TEST_S)
{
	struct user_memory pinned;
	char passes[16] = "";
	long left;

	ASSERT_EQ(0, pin_in(&pinned, self->nr));
	/* That it ends by itself is for "refusal". */
	hr_read_file(PASSES, passes, sizeof(passes));
	hr_write_file(PASSES, "0");
	EXPECT_EQ(-EINTR, hr_block_offline(self->nr, 1));
	hr_write_file(PASSES, passes);
	/* The others are gone by then, or most of them. */
	left = hr_pages_in_block(pinned.mem, PIN_BYTES, self->nr);
	EXPECT_LE(1, left);
	EXPECT_GT((long)(PIN_BYTES / page_size() / 4), left);
	EXPECT_EQ(0, not_restored(self->nr, &self->before, variant->hotremove));
	EXPECT_EQ(0, hr_wrong_bytes(pinned.mem, PIN_BYTES));
	/* It was the pin, and only the pin. */
	unpin(&pinned);
	EXPECT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
}

/*
 * Signals from the first microsecond to about the time an offline takes; each second
 * one when some of what is in the block has moved, and some has not.
 */
TEST_F_TIMEOUT(block, signal_at_any_moment, TEST_S)
{
	const size_t len = 32 * MIB;
	const long pages = len / page_size();
	int i, ret, stopped = 0, halfway = 0;
	unsigned char *mem = NULL;
	unsigned long aim = 10000;
	long in = 0, left = 0;

	for (i = 0; i < 48; i++) {
		/* What is gone would be nothing to stop at. */
		if (left < pages / 2) {
			if (mem) {
				EXPECT_EQ(0, hr_wrong_bytes(mem, len));
				munmap(mem, len);
			}
			mem = fill(self->nr, len);
			ASSERT_NE(NULL, mem);
			ASSERT_TRUE(lies_in(mem, len, self->nr));
		}
		in = hr_pages_in_block(mem, len, self->nr);
		ret = hr_block_offline_usec(self->nr,
					    i % 2 ? aim : 50UL << i / 2 % 12);
		left = hr_pages_in_block(mem, len, self->nr);
		ASSERT_LE(0, left);
		if (ret) {
			ASSERT_EQ(-EINTR, ret);
			stopped++;
			halfway += left && left < in;
			EXPECT_EQ(0, hr_changed(&self->before));
		} else {
			ASSERT_EQ(0, left);
			ASSERT_EQ(0, hr_block_write(self->nr, "state",
						    variant->keyword));
		}
		/* How long it takes to begin depends on the machine. */
		if (i % 2 && left >= in)
			aim += aim / 4;
		else if (i % 2 && !left)
			aim -= aim / 4;
	}
	ksft_print_msg("%d of 48 offlines stopped, %d with a part moved\n",
		       stopped, halfway);
	EXPECT_LT(0, stopped);
	EXPECT_LT(0, halfway);
	EXPECT_EQ(0, not_restored(self->nr, &self->before, variant->hotremove));
	EXPECT_EQ(0, hr_wrong_bytes(mem, len));
	munmap(mem, len);
}

static bool can_veto(void)
{
	if (access(VETO_DIR, F_OK) &&
	    system("modprobe memory-notifier-error-inject 2>/dev/null"))
		return false;
	return !access(VETO_DIR, F_OK);
}

#define VETO_SKIP "needs CONFIG_MEMORY_NOTIFIER_ERROR_INJECT"

TEST_F_TIMEOUT(block, veto_going_offline, TEST_S)
{
	static const int errors[] = { -EBUSY, -ENOMEM, -EINVAL };
	const size_t len = 16 * MIB;
	unsigned char *mem;
	size_t i;

	if (!can_veto())
		SKIP(return, VETO_SKIP);
	mem = fill(self->nr, len);
	ASSERT_NE(NULL, mem);
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		ASSERT_TRUE(lies_in(mem, len, self->nr));
		veto("MEM_GOING_OFFLINE", errors[i]);
		EXPECT_EQ(errors[i], hr_block_offline(self->nr, OFFLINE_S));
		EXPECT_EQ(0, not_restored(self->nr, &self->before,
					  variant->hotremove));
	}
	veto("MEM_GOING_OFFLINE", 0);
	EXPECT_TRUE(lies_in(mem, len, self->nr));
	EXPECT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
	EXPECT_EQ(0, hr_wrong_bytes(mem, len));
	munmap(mem, len);
}

/* Nothing came of it: the block is offline and remembers nothing. */
TEST_F_TIMEOUT(block, veto_going_online, TEST_S)
{
	static const int errors[] = { -EBUSY, -ENOMEM, -EINVAL };
	struct hr_snapshot offline;
	size_t i;

	if (!can_veto())
		SKIP(return, VETO_SKIP);
	ASSERT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
	hr_take_snapshot(&offline);
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		veto("MEM_GOING_ONLINE", errors[i]);
		EXPECT_EQ(errors[i],
			  hr_block_write(self->nr, "state", variant->keyword));
		EXPECT_TRUE(hr_block_is(self->nr, "state", "offline"));
		if (hr_supported())
			EXPECT_TRUE(hr_block_is(self->nr, "hotremove", "no"));
		EXPECT_EQ(0, hr_changed(&offline));
		EXPECT_EQ(0, hr_check_invariants());
	}
	veto("MEM_GOING_ONLINE", 0);
	/* As something else first, lest a left-over bit goes unseen. */
	ASSERT_EQ(0, hr_block_write(self->nr, "state", "online_movable"));
	EXPECT_EQ(offline.pageblocks, hr_pageblocks("HotRemove"));
	ASSERT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
	ASSERT_EQ(0, hr_block_write(self->nr, "state", variant->keyword));
	EXPECT_EQ(0, not_restored(self->nr, &self->before, variant->hotremove));
}

/* ---- virtio-mem -------------------------------------------------------------- */

#define AUTO_ONLINE HR_SYS_MEMORY "/auto_online_blocks"

FIXTURE(vmem)
{
	int nr;
	long mib; /* size of vm0 before, -1: none */
	char auto_online[32];
	struct hr_snapshot before;
	struct user_memory pinned;
	struct pressure anon;
};

FIXTURE_VARIANT(vmem)
{
	const char *keyword, *hotremove;
};

FIXTURE_VARIANT_ADD(vmem, hotremove) {
	.keyword = "online_hotremove",
	.hotremove = "yes",
};

FIXTURE_VARIANT_ADD(vmem, movable) {
	.keyword = "online_movable",
	.hotremove = "no",
};

static bool wait_online(int block)
{
	long long deadline = hr_deadline(UNPLUG_S);

	while (!hr_block_is(block, "state", "online"))
		if (!hr_poll(deadline))
			return false;
	return true;
}

/* One block of vm0, which comes online by itself. */
FIXTURE_SETUP(vmem)
{
	int old[64], new[64], n, m, i;
	long long deadline;

	if (!strcmp(variant->hotremove, "yes") && !hr_supported())
		SKIP(return, HR_SKIP_REASON);
	self->mib = hr_qmp_available() ? hr_vmem_size_mib("vm0") : -1;
	if (self->mib < 0)
		SKIP(return, "needs virtio-mem vm0, CONFIG_VIRTIO_MEM");
	ASSERT_LT(0, hr_read_file(AUTO_ONLINE, self->auto_online,
				  sizeof(self->auto_online)));
	if (!strcmp(variant->hotremove, "yes"))
		ASSERT_EQ(0, prefer_block(&self->anon));
	n = hr_blocks_in_state("online", old, 64);
	ASSERT_EQ(0, hr_write_file(AUTO_ONLINE, variant->keyword));
	ASSERT_EQ(0, hr_vmem_resize("vm0", self->mib + hr_block_bytes() / MIB,
				    UNPLUG_S));
	deadline = hr_deadline(UNPLUG_S);
	while ((m = hr_blocks_in_state("online", new, 64)) == n)
		ASSERT_TRUE(hr_poll(deadline));
	for (i = 0; i < n && old[i] == new[i]; i++)
		;
	self->nr = new[i];
	ASSERT_TRUE(m == n + 1 && wait_online(self->nr));
	hr_take_snapshot(&self->before);
}

FIXTURE_TEARDOWN(vmem)
{
	veto("MEM_GOING_OFFLINE", 0);
	pressure_stop(&self->anon);
	EXPECT_EQ(0, hr_vmem_resize("vm0", self->mib, UNPLUG_S));
	hr_write_file(AUTO_ONLINE, self->auto_online);
}

/* Grown back to the whole block, nothing may tell that it ever shrank. */
static int not_regrown(int block, long mib, const struct hr_snapshot *before,
		       const char *hotremove)
{
	long long deadline = hr_deadline(UNPLUG_S);

	if (hr_vmem_resize("vm0", mib, UNPLUG_S)) {
		ksft_print_msg("vm0 does not grow back\n");
		return 1;
	}
	/* The device has its size before the guest uses the memory. */
	while (hr_zoneinfo(-1, NULL, "managed") != before->managed &&
	       hr_poll(deadline))
		;
	return not_restored(block, before, hotremove);
}

/*
 * alloc_contig_range() takes the sub-blocks one by one, and they come back. What is
 * free goes first: in the end, less is left than is in use.
 */
TEST_F_TIMEOUT(vmem, alloc_contig, TEST_S)
{
	const long full = self->mib + hr_block_bytes() / MIB;
	const size_t len = 64 * MIB;
	unsigned char *mem;
	long part, in;

	mem = fill(self->nr, len);
	ASSERT_NE(NULL, mem);
	in = hr_pages_in_block(mem, len, self->nr);
	ASSERT_LT((long)(40 * MIB / page_size()), in);
	for (part = full - 2; part > self->mib + 32; part -= 46) {
		ASSERT_EQ(0, hr_vmem_resize("vm0", part, UNPLUG_S));
		EXPECT_TRUE(hr_block_is(self->nr, "state", "online"));
		if (hr_supported())
			EXPECT_TRUE(hr_block_is(self->nr, "hotremove",
						variant->hotremove));
		EXPECT_EQ(self->before.pageblocks, hr_pageblocks("HotRemove"));
		EXPECT_EQ(0, hr_check_invariants());
	}
	EXPECT_GT((long)(36 * MIB / page_size()),
		  hr_pages_in_block(mem, len, self->nr));
	EXPECT_EQ(0, not_regrown(self->nr, full, &self->before,
				 variant->hotremove));
	EXPECT_EQ(0, hr_wrong_bytes(mem, len));
	munmap(mem, len);
}

/* One pinned page refuses its sub-block, and with it the unplug of the block. */
TEST_F_TIMEOUT(vmem, pinned, TEST_S)
{
	const long full = self->mib + hr_block_bytes() / MIB;

	ASSERT_EQ(0, pin_in(&self->pinned, self->nr));
	/* So long that it has come to the page, and rests. */
	EXPECT_EQ(-ETIMEDOUT, hr_vmem_resize("vm0", self->mib, 5));
	EXPECT_TRUE(hr_block_is(self->nr, "state", "online"));
	EXPECT_EQ(self->before.pageblocks, hr_pageblocks("HotRemove"));
	EXPECT_EQ(0, hr_check_invariants());
	EXPECT_EQ(0, not_regrown(self->nr, full, &self->before,
				 variant->hotremove));
	EXPECT_EQ(0, hr_wrong_bytes(self->pinned.mem, PIN_BYTES));
	unpin(&self->pinned);
}

/* The offline that the driver tries last is over, and without effect. */
static bool settles(int block, const struct hr_snapshot *before)
{
	long long deadline = hr_deadline(UNPLUG_S);

	while (!hr_block_is(block, "state", "online") ||
	       hr_pageblocks("HotRemove") != before->pageblocks)
		if (!hr_poll(deadline))
			return false;
	return true;
}

/* All sub-blocks are given back, but nobody lets the block go. */
TEST_F_TIMEOUT(vmem, veto, TEST_S)
{
	const long full = self->mib + hr_block_bytes() / MIB;

	if (!can_veto())
		SKIP(return, VETO_SKIP);
	veto("MEM_GOING_OFFLINE", -EBUSY);
	EXPECT_EQ(0, hr_vmem_resize("vm0", self->mib, UNPLUG_S));
	EXPECT_TRUE(settles(self->nr, &self->before));
	EXPECT_EQ(0, hr_check_invariants());
	EXPECT_EQ(0, not_regrown(self->nr, full, &self->before,
				 variant->hotremove));
}

HR_HARNESS_MAIN
