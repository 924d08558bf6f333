// SPDX-License-Identifier: GPL-2.0
/*
 * What may not be moved to the nearest node that has room is moved to one that is
 * farther away.
 *
 *	node 0: the kernel's memory, and most of it a task's in a cpuset of nodes 0 and 1
 *	node 1: 768 MiB of movable-only memory
 *	node 2: 128 MiB of it, and the nearest
 *
 * Why: pages are moved to other nodes instead of killing, the nearest first. If
 * whoever comes to the end of a lap there says that nothing is left to be moved, and
 * all others believe it, something is killed with most of the memory free.
 *
 * Kernel memory is allocated until a kill. As much has to be had as if the task were
 * bound to nothing, and none of its pages may be on node 2.
 *
 * Seen failing where only the last step before a kill tries another node: killed with
 * 87 of 581 MiB and 935 MiB free (movable). It had all of it (hotremove), for 4.9
 * million pages that were isolated, where it is 129,000.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hr_harness.h"

#include "hr.h"
#include "pressure.h"

#define AUTO_ONLINE HR_SYS_MEMORY "/auto_online_blocks"
#define PLUG_SECONDS 60
#define PLUG_MIB 768UL
/* The memory of the third node, which is the nearest if it has no CPU. */
#define NEAR_VMEM "vm1"
#define NEAR_MIB 128UL

SCENE(farther);

FIXTURE_VARIANT(farther)
{
	const char *keyword;
};

FIXTURE_VARIANT_ADD(farther, hotremove) {
	.keyword = "online_hotremove",
};

FIXTURE_VARIANT_ADD(farther, movable) {
	.keyword = "online_movable",
};

FIXTURE_SETUP(farther)
{
	const char *needs =
		scene_needs(&self->s, variant->keyword, NULL, false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (!hr_qmp_available() || hr_vmem_size_mib(NEAR_VMEM))
		SCENE_SKIP(&self->s,
			   "needs an empty virtio-mem device " NEAR_VMEM);
	if (scene_cgroup(&self->s, "cpuset"))
		SCENE_SKIP(&self->s, "needs CONFIG_CPUSETS");
	ASSERT_EQ(0, hr_write_file(SCENE_CGROUP "/cpuset.mems", "0"));
}

/* 0 as well if there is no such node. */
static long node_free_mib(int node)
{
	char path[64], info[256] = "", *free;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo",
		 node);
	hr_read_file(path, info, sizeof(info));
	free = strstr(info, "MemFree:");
	return free ? strtol(free + strlen("MemFree:"), NULL, 10) / MIB_KIB : 0;
}

/* Plug on the third node. Returns 0 or -errno. */
static int plug_near(const char *keyword)
{
	long long deadline = hr_deadline(PLUG_SECONDS);
	char old[32];
	int ret;

	if (hr_read_file(AUTO_ONLINE, old, sizeof(old)) < 0 ||
	    hr_write_file(AUTO_ONLINE, keyword))
		return -EIO;
	ret = hr_vmem_resize(NEAR_VMEM, NEAR_MIB, PLUG_SECONDS);
	/* The device has its size before the guest has the blocks. */
	while (!ret && node_free_mib(2) < (long)percent(NEAR_MIB, 90))
		if (!hr_poll(deadline))
			ret = -ETIMEDOUT;
	hr_write_file(AUTO_ONLINE, old);
	return ret;
}

TEST_F_TIMEOUT(farther, the_nearest_is_not_for_all, 600)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_options bound = { .cgroup = SCENE_CGROUP };
	unsigned long capacity;

	START(&s->anon, anon, scene_anon_mib(75, PLUG_MIB), &bound);
	PLUG(s, variant->keyword, PLUG_MIB);
	if (hr_block_node(s->blocks[0]) != 1)
		SKIP(return, "needs memory on the second node");
	ASSERT_EQ(0, plug_near(variant->keyword));
	ASSERT_EQ(0, hr_write_file(SCENE_CGROUP "/cpuset.mems", "0,1"));
	START(grower, unmovable, NULL);
	capacity = pressure_capacity_pages() * PAGE_KIB;
	ASSERT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	TH_LOG("%lu of %lu MiB, decided in %lld ms, %lld MiB free: %s",
	       pressure_done(grower) / MIB_KIB, capacity / MIB_KIB,
	       pressure_verdict_ms(grower),
	       grower->shared->last.v[PC_FREE] / MIB_PAGES,
	       pressure_described(&grower->shared->start,
				  &grower->shared->last));
	/* 5 % less than within a node, and the pipes' own memory. */
	EXPECT_GE(pressure_done(grower), percent(capacity, 90));
	EXPECT_EQ(0, pressure_outside(&s->anon, 1 | 2))
	TH_LOG("bound pages are on another node");
	EXPECT_LT(0, pressure_outside(&s->anon, 1));
	EXPECT_REST();
	pressure_stop(grower);
	EXPECT_EQ(0, hr_vmem_resize(NEAR_VMEM, 0, PLUG_SECONDS));
	ALL_COMES_BACK(s);
}

HR_HARNESS_MAIN
