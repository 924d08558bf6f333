// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that physically contiguous allocations respect
 * hot-removable blocks: those for the kernel's own use stay out, huge pages
 * that can be migrated may come in and leave again.
 *
 * Why: alloc_contig_pages() does not ask the buddy allocator. It looks for a
 * range whose pages can be moved away, and a hot-removable block is the best
 * there is.
 *
 * Who can be made to call it from user space:
 * - gigantic hugetlb pages, GFP_HIGHUSER: too large to move;
 * - KFENCE, GFP_KERNEL, when it is switched on after boot; once per boot.
 * A test module could not: the function is not exported.
 *
 *              all offline    online_hotremove   one GiB asked for
 *   blocks     [   1 GiB  ]   [ free.......... ] [ free.......... ]   no page
 *
 * Seen failing with the hunk of pfn_range_valid_contig() in "mm: give
 * hot-removable pages only to requests that may use ZONE_MOVABLE" undone
 * (6.12.117, dimm guest): the GiB was taken, and 585 pages for KFENCE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hr_harness.h"
#include "hr.h"
#include "pressure.h"

#define MIB (1UL << 20)
#define MAX_BLOCKS 64
/* Of ordinary memory: less than a memory block has. */
#define LEAVE_MIB 64
#define HUGEPAGES "/sys/kernel/mm/hugepages/"
#define GIGANTIC HUGEPAGES "hugepages-1048576kB/nr_hugepages"
#define HUGE HUGEPAGES "hugepages-2048kB/nr_hugepages"
#define KFENCE "/sys/module/kfence/parameters/sample_interval"

static long number_in(const char *path)
{
	char buf[32];

	return hr_read_file(path, buf, sizeof(buf)) < 0 ? -1 : atol(buf);
}

static int write_number(const char *path, long number)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%ld", number);
	return hr_write_file(path, buf);
}

FIXTURE(contig)
{
	int blocks[MAX_BLOCKS];
	int nr;
	long gigantic, huge; /* pool sizes to put back */
};

FIXTURE_SETUP(contig)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	self->gigantic = number_in(GIGANTIC);
	self->huge = number_in(HUGE);
	self->nr = hr_take_blocks(self->blocks, 1, MAX_BLOCKS);
	if (!self->nr)
		SKIP(return, "needs a memory block to plug");
	for (int i = 0; i < self->nr; i++)
		ASSERT_EQ(0, hr_block_write(self->blocks[i], "state",
					    "online_hotremove"));
}

FIXTURE_TEARDOWN(contig)
{
	if (self->gigantic >= 0)
		write_number(GIGANTIC, self->gigantic);
	if (self->huge >= 0)
		write_number(HUGE, self->huge);
	EXPECT_EQ(0, hr_return_blocks());
}

static long unmovable_pages(FIXTURE_DATA(contig) * self)
{
	long sum = 0;

	for (int i = 0; i < self->nr; i++)
		sum += hr_unmovable_pages(self->blocks[i]);
	return sum;
}

/* Is there an aligned GiB in our blocks? They are in ascending order. */
static bool holds_gigantic(FIXTURE_DATA(contig) * self)
{
	const unsigned long per_gib = 1024 * MIB / hr_block_bytes();
	int first = 0;

	for (int i = 0; i < self->nr; i++) {
		if (i && self->blocks[i] != self->blocks[i - 1] + 1)
			first = i;
		if (self->blocks[i] % per_gib == per_gib - 1 &&
		    i - first + 1 >= (int)per_gib)
			return true;
	}
	return false;
}

TEST_F_TIMEOUT(contig, gigantic_pages_stay_out, 600)
{
	if (self->gigantic < 0)
		SKIP(return,
		     "needs CONFIG_HUGETLBFS, CONFIG_CONTIG_ALLOC and 1 GiB pages (pdpe1gb)");
	if (!holds_gigantic(self))
		SKIP(return, "needs 1 GiB of blocks in a row");
	write_number(GIGANTIC, self->gigantic + 1);
	EXPECT_EQ(self->gigantic, number_in(GIGANTIC));
	EXPECT_EQ(0, unmovable_pages(self));
}

/* The one line that says that KFENCE got its pool. */
static bool kfence_started(void)
{
	char line[1024];
	bool found = false;
	ssize_t len;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	while (fd >= 0 && !found &&
	       (len = read(fd, line, sizeof(line) - 1)) > 0) {
		line[len] = '\0';
		found = strstr(line, "kfence: initialized");
	}
	close(fd);
	return found;
}

TEST_F_TIMEOUT(contig, kfence_pool_stays_out, 600)
{
	if (number_in(KFENCE))
		SKIP(return,
		     "needs CONFIG_KFENCE and kfence.sample_interval=0");
	if (kfence_started())
		SKIP(return, "KFENCE has had its pool since an earlier test");
	EXPECT_EQ(0, write_number(KFENCE, 100));
	EXPECT_EQ(0, write_number(KFENCE, 0));
	/* It is to get its memory: elsewhere. */
	EXPECT_TRUE(kfence_started());
	EXPECT_EQ(0, unmovable_pages(self));
}

/*
 *   pool of 2 MiB pages        offline of a block
 *   HR     [HHHH....][....]    (gone)    [HHHH]     same bytes
 */
TEST_F_TIMEOUT(contig, huge_pages_come_and_go, 600)
{
	const size_t bytes = 32 * MIB;
	const int nr = bytes / (2 * MIB);
	struct pressure anon = { 0 };
	unsigned char *mem;
	long inside = 0;
	int block = -1;

	if (self->huge < 0 || !hr_small_huge_pages())
		SKIP(return, "needs CONFIG_HUGETLBFS, 2 MiB");
	/* The pool is to be in the blocks. */
	for (int i = 0; i < self->nr; i++)
		ASSERT_EQ(0, hr_block_offline(self->blocks[i], 120));
	ASSERT_EQ(0, pressure_leave(&anon, LEAVE_MIB));
	for (int i = 0; i < self->nr; i++)
		ASSERT_EQ(0, hr_block_write(self->blocks[i], "state",
					    "online_hotremove"));
	ASSERT_EQ(0, write_number(HUGE, self->huge + nr));
	ASSERT_EQ(self->huge + nr, number_in(HUGE));
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	hr_fill(mem, bytes);
	for (int i = 0; i < self->nr && !inside; i++) {
		block = self->blocks[i];
		inside = hr_pages_in_block(mem, bytes, block);
	}
	ASSERT_LT(0, inside);
	EXPECT_EQ(0, unmovable_pages(self));
	pressure_stop(&anon);

	EXPECT_EQ(0, hr_block_offline(block, 120));
	EXPECT_EQ(0, hr_pages_in_block(mem, bytes, block));
	EXPECT_EQ(0, hr_wrong_bytes(mem, bytes));
	munmap(mem, bytes);
}

HR_HARNESS_MAIN
