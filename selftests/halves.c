// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that user memory is taken from where more is free, also where
 * hot-removable memory is a zone of its own.
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
 * a node" (6.12.117, dimm guest): 64 of 32768 pages free where 31129 were expected.
 */
#include <stdio.h>

#include "../kselftest_harness.h"
#include "hr.h"
#include "pressure.h"

/* More than watermarks, lowmem_reserve and what is evacuated ahead, in pages. */
#define KEPT_BACK (24 * MIB_PAGES)
/* More memory than this would take too long to fill. */
#define HALVES_MAX_MIB 3000

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
	long more, free;
	int block;

	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (hr_take_blocks(&block, 1, 1) < 1)
		SKIP(return, "needs a memory block to plug");
	if (hr_zoneinfo(hr_block_node(block), "Normal", "nr_free_pages") > 0) {
		hr_return_blocks();
		SKIP(return, "needs a zone without ordinary memory");
	}
	ASSERT_EQ(0, hr_block_write(block, "state", "online_hotremove"));
	pressure_counters(&start);
	more = start.v[PC_FREE_ORDINARY] - start.v[PC_FREE_HOTREMOVE];
	if (hr_zoneinfo(hr_block_node(block), "DMA32", "managed") < 0 ||
	    more < 2 * KEPT_BACK || more > HALVES_MAX_MIB * MIB_PAGES) {
		hr_block_offline(block, 60);
		SKIP(return,
			   "needs more ordinary memory on the node, up to %d MiB",
			   HALVES_MAX_MIB);
	}

	EXPECT_EQ(0,
		  pressure_anon(&first, (more - KEPT_BACK) / MIB_PAGES, NULL));
	free = free_hotremove();
	EXPECT_LE(start.v[PC_FREE_HOTREMOVE] * 95 / 100, free);

	EXPECT_EQ(0, pressure_anon(&second,
				   (KEPT_BACK + start.v[PC_FREE_HOTREMOVE]) /
					   MIB_PAGES,
				   NULL));
	free = free_hotremove();
	TH_LOG("%ld of %lld hot-removable pages free", free,
	       start.v[PC_FREE_HOTREMOVE]);
	EXPECT_LE(start.v[PC_FREE_HOTREMOVE] / 4, free);
	EXPECT_GE(start.v[PC_FREE_HOTREMOVE] * 3 / 4, free);

	pressure_stop(&second);
	pressure_stop(&first);
	EXPECT_EQ(0, hr_block_offline(block, 120));
	EXPECT_EQ(0, hr_return_blocks());
	EXPECT_EQ(0, hr_check_invariants());
}

TEST_HARNESS_MAIN
