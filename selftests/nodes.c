// SPDX-License-Identifier: GPL-2.0
/*
 * What each node says of hot-removable memory is true of that node.
 *
 *	node/node0/meminfo   HotRemoveTotal        0   HotRemoveFree       0
 *	node/node1/meminfo   HotRemoveTotal   262144   HotRemoveFree  196608
 *
 * Why: other tests compare the sum over the nodes with /proc/meminfo, which is
 * right too when the numbers of two nodes are mixed up, or when one node has
 * everything. Who plugs memory to a node and watches that node would be misled.
 *
 * Blocks are onlined on one node, one after the other, used from there and from
 * elsewhere by memory that is bound, given to the kernel in place, and taken back.
 * After each step all nodes are looked at, and no other may have changed.
 *
 * Seen failing where it was told that the blocks are on the other node: 24 of its
 * expectations, nearly all (numa guest); and where vma_migratable() does not look at
 * what the mapping allows, all 1,024 pages of the device in the block.
 */
#include <fcntl.h>
#include <glob.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hr_harness.h"

#include "hr.h"
#include "pressure.h"

#define MAX_NODES 8
#define BLOCKS 3
#define USED_MIB 64UL
/* What comes and goes meanwhile: per-CPU lists, page tables, others. */
#define SLACK_KB 8192L
/* Of a node with a kernel and CPUs: more of both. */
#define SLACK_OTHER_KB 24576L

struct node {
	bool there;
	long MemTotal, MemFree, HotRemoveTotal, HotRemoveFree;
	long HotRemoveReleased, KernelAvailable;
};

static long number_of(const char *text, const char *name)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), " %s:", name);
	at = strstr(text, key);
	return at ? atol(at + strlen(key)) : -1;
}

static void read_nodes(struct node *nodes)
{
	char path[64], text[8192];
	struct node *n;
	int i;

	/* Counters are batched per CPU; this folds the batches in. */
	hr_write_file("/proc/sys/vm/stat_refresh", "1");
	memset(nodes, 0, MAX_NODES * sizeof(*nodes));
	for (i = 0; i < MAX_NODES; i++) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/node/node%d/meminfo", i);
		if (hr_read_file(path, text, sizeof(text)) <= 0)
			continue;
		n = &nodes[i];
		n->there = true;
		n->MemTotal = number_of(text, "MemTotal");
		n->MemFree = number_of(text, "MemFree");
		n->HotRemoveTotal = number_of(text, "HotRemoveTotal");
		n->HotRemoveFree = number_of(text, "HotRemoveFree");
		n->HotRemoveReleased = number_of(text, "HotRemoveReleased");
		n->KernelAvailable = number_of(text, "KernelAvailable");
	}
}

FIXTURE(nodes)
{
	int blocks[SCENE_BLOCKS];
	int node, other; /* where the blocks are, and another one with memory */
	struct scene s;
	struct node was[MAX_NODES], now[MAX_NODES];
	void *mem;
};

FIXTURE_SETUP(nodes)
{
	int i;

	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (hr_take_blocks(self->blocks, BLOCKS, SCENE_BLOCKS) < BLOCKS)
		SKIP(return, "needs %d memory blocks to online", BLOCKS);
	self->node = hr_block_node(self->blocks[0]);
	self->other = -1;
	read_nodes(self->was);
	for (i = 0; i < MAX_NODES; i++)
		if (i != self->node && self->was[i].there &&
		    self->was[i].MemFree > 2 * SLACK_KB)
			self->other = i;
	for (i = 1; i < BLOCKS; i++)
		if (hr_block_node(self->blocks[i]) != self->node)
			self->other = -1;
	if (self->node < 0 || self->other < 0) {
		hr_return_blocks();
		SKIP(return, "needs a second node with memory");
	}
	/* Nothing but what is ordinary counts as the kernel's. */
	ASSERT_EQ(0, scene_release(&self->s, "0"));
	self->mem = MAP_FAILED;
}

FIXTURE_TEARDOWN(nodes)
{
	if (self->mem != MAP_FAILED)
		munmap(self->mem, USED_MIB << 20);
	scene_end(&self->s);
	EXPECT_EQ(0, hr_return_blocks());
}

/* Memory of that node and no other. */
static void *bound_to(int node, size_t bytes)
{
	unsigned long mask = 1UL << node;
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return mem;
	if (!syscall(SYS_mbind, mem, bytes, MPOL_BIND, &mask, 8 * sizeof(mask),
		     0)) {
		memset(mem, 1, bytes);
		return mem;
	}
	munmap(mem, bytes);
	return MAP_FAILED;
}

/* Nothing that is said of the other nodes is about these blocks. */
#define OTHERS_ARE_AS_THEY_WERE()                                              \
	do {                                                                   \
		long total_ = 0, free_ = 0;                                    \
		int i_;                                                        \
		for (i_ = 0; i_ < MAX_NODES; i_++) {                           \
			const struct node *was_ = &self->was[i_];              \
			const struct node *now_ = &self->now[i_];              \
			if (!now_->there)                                      \
				continue;                                      \
			total_ += now_->HotRemoveTotal;                        \
			free_ += now_->HotRemoveFree;                          \
			EXPECT_EQ(0, now_->HotRemoveReleased);                 \
			if (i_ == self->node)                                  \
				continue;                                      \
			EXPECT_EQ(was_->MemTotal, now_->MemTotal);             \
			EXPECT_EQ(was_->HotRemoveTotal, now_->HotRemoveTotal); \
			EXPECT_EQ(was_->HotRemoveFree, now_->HotRemoveFree);   \
		}                                                              \
		EXPECT_EQ(hr_meminfo_kb("HotRemoveTotal"), total_);            \
		EXPECT_GE(SLACK_KB,                                            \
			  labs(hr_meminfo_kb("HotRemoveFree") - free_));       \
	} while (0)

#define LOOK_TEXT \
	"%s: node %d: %ld kB, free %ld, KernelAvailable %ld; node %d: free %ld, %ld, %ld kB"
#define LOOK(what)                                                           \
	do {                                                                 \
		const struct node *n_ = &self->now[self->node];              \
		const struct node *o_ = &self->now[self->other];             \
		read_nodes(self->now);                                       \
		TH_LOG(LOOK_TEXT, what, self->node, n_->HotRemoveTotal,      \
		       n_->HotRemoveFree, n_->KernelAvailable, self->other,  \
		       o_->MemFree, o_->HotRemoveFree, o_->KernelAvailable); \
	} while (0)

#define NEARLY(a, b) EXPECT_GE(SLACK_KB, labs((a) - (b)))
#define ROUGHLY(a, b) EXPECT_GE(SLACK_OTHER_KB, labs((a) - (b)))

TEST_F_TIMEOUT(nodes, each_has_its_own, 300)
{
	const long block = hr_block_bytes() / 1024, used = USED_MIB * 1024;
	const struct node *was = self->was, *now = self->now;
	const int node = self->node, other = self->other;
	/* Of where the blocks are. */
	const long slack = node ? SLACK_KB : SLACK_OTHER_KB;
	long free, node_free, available;
	size_t bytes;
	int i;

	for (i = 0; i < MAX_NODES; i++) {
		if (!was[i].there)
			continue;
		ASSERT_LE(0, was[i].KernelAvailable);
		ASSERT_EQ(0, was[i].HotRemoveTotal);
		ASSERT_EQ(0, was[i].HotRemoveFree);
		ASSERT_EQ(0, was[i].HotRemoveReleased);
	}

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, hr_block_write(self->blocks[i], "state",
					    "online_hotremove"));
		LOOK("onlined");
		EXPECT_EQ((i + 1) * block, now[node].HotRemoveTotal);
		EXPECT_EQ(was[node].MemTotal + (i + 1) * block,
			  now[node].MemTotal);
		EXPECT_GE((i + 1) * block, now[node].HotRemoveFree);
		NEARLY((i + 1) * block, now[node].HotRemoveFree);
		/* With policy 0, of no use but as room for what can move. */
		EXPECT_GE(block / 2, labs(was[node].KernelAvailable -
					  now[node].KernelAvailable));
		ROUGHLY(was[other].KernelAvailable, now[other].KernelAvailable);
		OTHERS_ARE_AS_THEY_WERE();
	}
	free = now[node].HotRemoveFree;
	available = now[node].KernelAvailable;

	/* The kernel could be lent it, and would be there. */
	ASSERT_EQ(0, hr_write_file(SCENE_RELEASE, "1"));
	LOOK("policy 1");
	EXPECT_GE(block / 2,
		  labs(available + free - now[node].KernelAvailable));
	ROUGHLY(was[other].KernelAvailable, now[other].KernelAvailable);
	ASSERT_EQ(0, hr_write_file(SCENE_RELEASE, "0"));

	/*
	 * More than the node's ordinary memory, if it has any, as that and the
	 * blocks are filled side by side.
	 */
	node_free = now[node].MemFree;
	bytes = (node_free - free + used) * 1024;
	self->mem = bound_to(node, bytes);
	ASSERT_NE(MAP_FAILED, self->mem);
	LOOK("used");
	EXPECT_EQ(2 * block, now[node].HotRemoveTotal);
	EXPECT_GE(free - used + SLACK_KB, now[node].HotRemoveFree);
	EXPECT_GE(slack, labs(free - used - now[node].MemFree));
	ROUGHLY(was[other].MemFree, now[other].MemFree);
	OTHERS_ARE_AS_THEY_WERE();
	munmap(self->mem, bytes);

	/* The control. */
	self->mem = bound_to(other, used * 1024);
	ASSERT_NE(MAP_FAILED, self->mem);
	LOOK("used elsewhere");
	NEARLY(free, now[node].HotRemoveFree);
	ROUGHLY(was[other].MemFree - used, now[other].MemFree);
	OTHERS_ARE_AS_THEY_WERE();
	munmap(self->mem, used * 1024);
	self->mem = MAP_FAILED;
	LOOK("given back");
	NEARLY(free, now[node].HotRemoveFree);
	ROUGHLY(was[other].MemFree, now[other].MemFree);

	/*
	 * In place, to the kernel. Where it has its other memory it would use the
	 * block at once, and it would not come back.
	 */
	if (node) {
		available = now[node].KernelAvailable;
		ASSERT_EQ(0, hr_block_write(self->blocks[1], "state",
					    "online_kernel"));
		LOOK("one of them ordinary");
		EXPECT_EQ(block, now[node].HotRemoveTotal);
		EXPECT_EQ(was[node].MemTotal + 2 * block, now[node].MemTotal);
		NEARLY(free - block, now[node].HotRemoveFree);
		NEARLY(available + block, now[node].KernelAvailable);
		ROUGHLY(was[other].KernelAvailable, now[other].KernelAvailable);
		OTHERS_ARE_AS_THEY_WERE();
		/* The last ordinary memory of a node is not switched, but may go. */
		ASSERT_EQ(0, hr_block_offline(self->blocks[1], 60));
		ASSERT_EQ(0, hr_block_write(self->blocks[1], "state",
					    "online_hotremove"));
	}

	/* Movable-only as well, and not counted. */
	ASSERT_EQ(0,
		  hr_block_write(self->blocks[2], "state", "online_movable"));
	LOOK("one in ZONE_MOVABLE");
	EXPECT_EQ(2 * block, now[node].HotRemoveTotal);
	NEARLY(free, now[node].HotRemoveFree);
	OTHERS_ARE_AS_THEY_WERE();

	for (i = BLOCKS - 1; i >= 0; i--) {
		ASSERT_EQ(0, hr_block_offline(self->blocks[i], 60));
		LOOK("offline");
		EXPECT_EQ((i > 1 ? 2 : i) * block, now[node].HotRemoveTotal);
		NEARLY((i > 1 ? 2 : i) * block, now[node].HotRemoveFree);
		OTHERS_ARE_AS_THEY_WERE();
	}
	EXPECT_EQ(was[node].MemTotal, now[node].MemTotal);
	EXPECT_GE(slack,
		  labs(was[node].KernelAvailable - now[node].KernelAvailable));
}

#define DEVICE "/dev/ram1"
#define DEVICE_MIB 4UL

/* Ask for all of it to be moved to where the block is; pages that are in it then. */
static long moved_to(int block, char *mem, size_t bytes)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	int node = hr_block_node(block), status;
	long found = 0;

	for (size_t at = 0; at < bytes; at += page) {
		void *address = mem + at;

		/* It may be busy for a moment. */
		for (int i = 0; i < 3; i++)
			syscall(SYS_move_pages, 0, 1, &address, &node, &status,
				MPOL_MF_MOVE);
		found += hr_pfn_in_block(hr_virt_to_pfn(address), block);
	}
	return found;
}

/*
 * A block device has its pages where the kernel may have them, as a file system's
 * buffers do. Whoever maps it cannot have them moved to where they would stay.
 */
TEST_F_TIMEOUT(nodes, a_device_is_moved_to_no_block, 300)
{
	const size_t bytes = DEVICE_MIB << 20, page = sysconf(_SC_PAGESIZE);
	unsigned long other = 1UL << self->other;
	const struct node *now = self->now;
	char *device, *anon;
	size_t at;
	int fd;

	fd = open(DEVICE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "needs " DEVICE);
	device = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, device);
	ASSERT_EQ(0, syscall(SYS_set_mempolicy, MPOL_PREFERRED, &other,
			     8 * sizeof(other)));
	for (at = 0; at < bytes; at += page)
		(void)*(volatile char *)(device + at);
	ASSERT_EQ(0, syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0));
	ASSERT_EQ(0,
		  hr_block_write(self->blocks[0], "state", "online_hotremove"));
	/* Then what moves to that node can only go there. */
	LOOK("onlined");
	if (now[self->node].MemFree - now[self->node].HotRemoveFree >
	    SLACK_KB) {
		munmap(device, bytes);
		close(fd);
		SKIP(return, "needs a node without memory of its own");
	}

	/* The control. */
	anon = bound_to(self->other, bytes);
	ASSERT_NE(MAP_FAILED, anon);
	EXPECT_LT(0, moved_to(self->blocks[0], anon, bytes));
	EXPECT_EQ(0, moved_to(self->blocks[0], device, bytes));

	munmap(anon, bytes);
	munmap(device, bytes);
	close(fd);
}

HR_HARNESS_MAIN
