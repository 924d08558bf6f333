// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that user memory is taken from where more is free, however the
 * memory of a node is divided into zones.
 *
 * Why: such a zone is first in zonelists. If it were filled first, as ZONE_MOVABLE is,
 * all of it would have to move when it is taken away, with room elsewhere all the time.
 *
 *              start           1. difference    2. then half of it each
 *   ordinary   [............]  [uuuuuuuu....]   [uuuuuuuuuu..]
 *   HR         [....]          [....]           [uu..]
 *
 * It comes first in its guest: ordinary memory that is free in pageblocks of the
 * kernel's does not count, and later there is much of that.
 *
 * Seen failing without "mm/page_alloc: balance movable requests between the zones of
 * a node" (6.12.117, dimm guest): 64 of 32768 pages free where 31129 were expected; and
 * with one that left zones alone that have ordinary memory besides (highboot): 0.
 */
#include <stdio.h>

#include "hr_harness.h"
#include "hr.h"
#include "pressure.h"

/* Evacuated ahead in each zone, above its high watermark, in pages. */
#define AHEAD (8 * MIB_PAGES)
/* lowmem_reserve, and free in pageblocks of the kernel's. */
#define SLACK (8 * MIB_PAGES)
/* More memory than this would take too long to fill. */
#define HALVES_MAX_MIB 3000

/* Pages of ordinary memory that no zone can spare. */
static long kept_back(int node)
{
	static const char *const zones[] = { "DMA32", "Normal" };
	long high, sum = SLACK;
	unsigned int i;

	for (i = 0; i < sizeof(zones) / sizeof(*zones); i++) {
		high = hr_zoneinfo(node, zones[i], "high");
		if (high > 0)
			sum += high + AHEAD;
	}
	return sum;
}

static long free_hotremove(void)
{
	struct pressure_counters now;

	pressure_counters(&now);
	return now.v[PC_FREE_HOTREMOVE];
}

TEST(halves)
{
	struct pressure first = { 0 }, second = { 0 };
	struct pressure_counters start;
	long more, free, kept;
	int block;

	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (hr_take_blocks(&block, 1, 1) < 1)
		SKIP(return, "needs a memory block to plug");
	ASSERT_EQ(0, hr_block_write(block, "state", "online_hotremove"));
	pressure_counters(&start);
	kept = kept_back(hr_block_node(block));
	more = start.v[PC_FREE_ORDINARY] - start.v[PC_FREE_HOTREMOVE];
	if (hr_zoneinfo(hr_block_node(block), "DMA32", "managed") < 0 ||
	    more < 2 * kept || more > HALVES_MAX_MIB * MIB_PAGES) {
		hr_block_offline(block, 60);
		SKIP(return,
		     "needs more ordinary memory on the node, up to %d MiB",
		     HALVES_MAX_MIB);
	}

	EXPECT_EQ(0, pressure_anon(&first, (more - kept) / MIB_PAGES, NULL));
	free = free_hotremove();
	EXPECT_LE(start.v[PC_FREE_HOTREMOVE] * 95 / 100, free);

	EXPECT_EQ(0,
		  pressure_anon(&second, start.v[PC_FREE_HOTREMOVE] / MIB_PAGES,
				NULL));
	free = free_hotremove();
	TH_LOG("kept back %ld pages; %ld of %lld hot-removable pages free",
	       kept, free, start.v[PC_FREE_HOTREMOVE]);
	EXPECT_LE(start.v[PC_FREE_HOTREMOVE] / 4, free);
	EXPECT_GE(start.v[PC_FREE_HOTREMOVE] * 3 / 4, free);

	pressure_stop(&second);
	pressure_stop(&first);
	EXPECT_EQ(0, hr_block_offline(block, 120));
	EXPECT_EQ(0, hr_return_blocks());
	EXPECT_EQ(0, hr_check_invariants());
}

HR_HARNESS_MAIN
