// SPDX-License-Identifier: GPL-2.0
/*
 * This test will prove that a word on the kernel's command line is enough: memory that
 * is plugged when the machine boots, and what is plugged later, comes online as
 * hot-removable without anybody in user space, is used, and goes again.
 *
 *	memhp_default_state=online_hotremove
 *	memhp_default_state=online_movable memory_hotplug.online_movable=hotremove
 *
 * On a kernel without the series the first is an unknown word, and memory stays
 * offline; with the second it comes to ZONE_MOVABLE.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hr_harness.h"

#include "hr.h"

#define AUTO_ONLINE HR_SYS_MEMORY "/auto_online_blocks"
#define ONLINE_MOVABLE "/sys/module/memory_hotplug/parameters/online_movable"
#define MAX_BLOCKS 512
#define MORE_MIB 256
#define PLUG_S 60

/* Hot-removable memory as its blocks have it. */
static long removable_mib(void)
{
	static int blocks[MAX_BLOCKS];
	int i, nr = hr_blocks_in_state("online", blocks, MAX_BLOCKS);
	long found = 0;

	for (i = 0; i < nr; i++)
		found += hr_block_is(blocks[i], "hotremove", "yes");
	return found * (long)(hr_block_bytes() >> 20);
}

static bool becomes(long mib)
{
	long long deadline = hr_deadline(PLUG_S);

	/* A memory block that is about to go is counted until it is gone. */
	while (removable_mib() != mib ||
	       hr_meminfo_kb("HotRemoveTotal") != mib << 10)
		if (!hr_poll(deadline))
			return false;
	return true;
}

FIXTURE(booted)
{
	long mib;
};

FIXTURE_SETUP(booted)
{
	if (!hr_booted_with("memhp_default_state=online_hotremove") &&
	    !hr_booted_with("memory_hotplug.online_movable=hotremove"))
		SKIP(return, "needs a word on the kernel's command line");
	if (!hr_qmp_available())
		SKIP(return, "needs virtio-mem vm0");
	self->mib = hr_vmem_size_mib("vm0");
	if (self->mib <= 0)
		SKIP(return, "needs memory that is plugged at boot");
}

FIXTURE_TEARDOWN(booted)
{
	hr_vmem_resize("vm0", self->mib, PLUG_S);
}

TEST_F_TIMEOUT(booted, memory_of_boot, 300)
{
	size_t bytes = (size_t)self->mib << 19;
	unsigned char *mem;

	EXPECT_EQ(self->mib, removable_mib());
	EXPECT_EQ(self->mib << 10, hr_meminfo_kb("HotRemoveTotal"));
	/* It is memory like any other. */
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	hr_fill(mem, bytes);
	EXPECT_EQ(0, hr_wrong_bytes(mem, bytes));
	/* And goes while half of it, or as much of other memory, is in use. */
	EXPECT_EQ(0, hr_vmem_resize("vm0", 0, PLUG_S));
	EXPECT_TRUE(becomes(0));
	EXPECT_EQ(0, hr_wrong_bytes(mem, bytes));
	munmap(mem, bytes);
}

TEST_F_TIMEOUT(booted, memory_of_later, 300)
{
	ASSERT_EQ(0, hr_vmem_resize("vm0", self->mib + MORE_MIB, PLUG_S));
	EXPECT_TRUE(becomes(self->mib + MORE_MIB))
	TH_LOG("%ld MiB of %ld", removable_mib(), self->mib + MORE_MIB);
	ASSERT_EQ(0, hr_vmem_resize("vm0", self->mib, PLUG_S));
	EXPECT_TRUE(becomes(self->mib));
}

HR_HARNESS_MAIN
