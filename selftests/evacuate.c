// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that user memory leaves ordinary memory when the kernel
 * needs room there, whatever kind of memory it is and whoever asks, and that it
 * stays where it is when nobody needs room.
 *
 * room: all of 90 % of ordinary memory is allocated for the kernel, nothing is
 * reclaimed, and kswapd sleeps afterwards; for plain anonymous memory nobody enters
 * direct reclaim, and most is done before anybody has to wait.
 *
 *   ordinary   [uuuuuuuuu...]  ->  [kkkkkkkkkkk.]
 *   plugged    [............]      [uuuuuuuuu...]
 *
 * in_use: the same for memory that somebody works with meanwhile, merged, written
 * back, in zram, mapped by many; not a byte of it changes.
 *
 * stay_where_they_are: huge pages of hugetlb, passed by whoever makes room.
 *
 * ping_pong: user memory is replaced and the kernel grows, by turns; what moves
 * is what has to.
 *
 * a_limit_is_no_need: nor does a memcg at its limit move anything, or kill others.
 *
 * nothing_happens_without_need: what fits moves nothing and wakes nobody.
 *
 * Seen failing on a kernel that does not evacuate (6.12.117, small guest):
 * - room: killed with 47 to 59 of 340 MiB, with swap 117; the requests with
 *   GFP_NOIO wait until somebody else is killed
 * - ping_pong: killed in the first round
 *
 * Seen failing with one hunk of the series undone at a time (small guest):
 * - no direct evacuation: room, 304 calls of direct reclaim; with mlocked memory
 *   kswapd is still at work a second later
 * - no evacuation by kswapd: room, who allocates vacates 95 pageblocks of 95
 *   instead of 17 to 32
 * - requests without I/O do not wait for kswapd: room.noio, 4,104 calls of direct
 *   reclaim instead of 320 to 460
 *
 * Not seen failing: in_use and room.mthp, with anything undone; without the earlier low
 * watermark (room: 32 stalls), without hotremove_ordinary_short() (ping_pong: 299,470
 * pages moved for 324,311), which only says something where both kinds of memory share
 * a zone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "hr_harness.h"

#include "hr.h"
#include "load.h"
#include "pressure.h"

/* ---- room --------------------------------------------------------------- */

#define THP_ENABLED "/sys/kernel/mm/transparent_hugepage/enabled"
#define MTHP "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/"
#define MTHP_ENABLED MTHP "enabled"
#define MTHP_KIB 64UL
#define ROOM_PLUG_MIB 256UL
#define BLOCK_PAGES 512
/* 130 MiB with what belongs to each, and 40 MiB of disk and its buffers. */
#define NOFS_FILES 81920UL

SCENE(room);

FIXTURE_VARIANT(room)
{
	const char *keyword;
	struct pressure_options anon;
	bool mthp; /* pages of 64 KiB, and none of 2 MiB */
	bool no_stall; /* not one call of direct reclaim */
	bool tmpfs; /* instead of anonymous memory */
	const char *lru_gen;
	bool swap;
	bool memcg; /* all in one group, with room to spare */
	bool memcg_full; /* user memory in a group that may not have more */
	bool noio;
	bool nofs;
	const char *release; /* what a kernel that may release must not do */
};

FIXTURE_VARIANT_ADD(room, hotremove) {
	.keyword = "online_hotremove",
	.no_stall = true,
};

FIXTURE_VARIANT_ADD(room, release) {
	.keyword = "online_hotremove",
	.release = "1",
};

FIXTURE_VARIANT_ADD(room, release_noio) {
	.keyword = "online_hotremove",
	.noio = true,
	.release = "1",
};

FIXTURE_VARIANT_ADD(room, movable) {
	.keyword = "online_movable",
	.no_stall = true,
};

FIXTURE_VARIANT_ADD(room, thp) {
	.keyword = "online_hotremove",
	.anon = { .thp = true },
};

FIXTURE_VARIANT_ADD(room, mthp) {
	.keyword = "online_hotremove",
	.anon = { .thp = true },
	.mthp = true,
};

FIXTURE_VARIANT_ADD(room, mlock) {
	.keyword = "online_hotremove",
	.anon = { .mlock = true },
};

FIXTURE_VARIANT_ADD(room, tmpfs) {
	.keyword = "online_hotremove",
	.tmpfs = true,
};

FIXTURE_VARIANT_ADD(room, lru_gen) {
	.keyword = "online_hotremove",
	.lru_gen = "y",
};

FIXTURE_VARIANT_ADD(room, swap) {
	.keyword = "online_hotremove",
	.swap = true,
};

/* Charged, and below the limit. */
FIXTURE_VARIANT_ADD(room, memcg) {
	.keyword = "online_hotremove",
	.memcg = true,
};

/* What moves is charged already. */
FIXTURE_VARIANT_ADD(room, memcg_full) {
	.keyword = "online_hotremove",
	.memcg_full = true,
};

FIXTURE_VARIANT_ADD(room, noio) {
	.keyword = "online_hotremove",
	.noio = true,
};

FIXTURE_VARIANT_ADD(room, nofs) {
	.keyword = "online_hotremove",
	.nofs = true,
};

FIXTURE_SETUP(room)
{
	struct scene *s = &self->s;
	const char *needs = scene_needs(s, variant->keyword, variant->lru_gen,
					variant->swap);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (variant->release &&
	    (access(SCENE_RELEASE, W_OK) || scene_release(s, variant->release)))
		SCENE_SKIP(&self->s, "needs a kernel that releases");
	/* Off by default in guests below 512 MiB. */
	if (variant->anon.thp &&
	    scene_set(s, THP_ENABLED, variant->mthp ? "never" : "madvise"))
		SCENE_SKIP(&self->s, "needs CONFIG_TRANSPARENT_HUGEPAGE");
	if (variant->mthp && scene_set(s, MTHP_ENABLED, "madvise"))
		SCENE_SKIP(&self->s, "needs huge pages of 64 KiB");
	if ((variant->memcg || variant->memcg_full) &&
	    scene_cgroup(s, "memory"))
		SCENE_SKIP(&self->s, "needs CONFIG_MEMCG");
}

static unsigned long mthp_faults(void)
{
	char nr[32];

	return hr_read_file(MTHP "stats/anon_fault_alloc", nr, sizeof(nr)) > 0 ?
		       strtoul(nr, NULL, 10) :
		       0;
}

TEST_F_TIMEOUT(room, is_made_for_the_kernel, 300)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_options options = variant->anon;
	struct pressure_counters delta;
	unsigned long mib = scene_anon_mib(50, ROOM_PLUG_MIB), want;
	const bool group = variant->memcg || variant->memcg_full;
	const unsigned long before = mthp_faults();
	unsigned long large;

	options.cgroup = group ? SCENE_CGROUP : NULL;
	if (variant->tmpfs)
		START(&s->anon, tmpfs, mib, &options);
	else
		START(&s->anon, anon, mib, &options);
	large = variant->mthp ? (mthp_faults() - before) * MTHP_KIB :
				hr_meminfo_kb("AnonHugePages");
	if (options.thp)
		ASSERT_LE(s->anon.mib * MIB_KIB / 3, large);
	PLUG(s, variant->keyword, ROOM_PLUG_MIB);
	options.thp = false;
	options.mlock = false;
	want = percent(pressure_capacity_pages() * PAGE_KIB, 90);
	if (variant->memcg)
		ASSERT_EQ(0,
			  scene_cgroup_max(s->anon.mib + want / MIB_KIB + 64));
	/* Less than is isolated at once: a charge for the target would not fit. */
	if (variant->memcg_full) {
		ASSERT_EQ(0, scene_cgroup_max(scene_cgroup_mib() + 1));
		options.cgroup = NULL;
	}
	if (variant->nofs) {
		/* There are not inodes enough for all of it. */
		ASSERT_EQ(0, scene_ballast(s, s->anon.mib + 32));
		START(grower, nofs, &options);
		want = NOFS_FILES;
	} else if (variant->noio) {
		START(grower, noio, &options);
	} else {
		START(grower, unmovable, &options);
	}
	ASSERT_EQ(0, pressure_grow(grower, want, 0, GROW_SECONDS))
	TH_LOG("%lu of %lu MiB, then %s; %lld MiB free: %s",
	       pressure_done(grower) / MIB_KIB, want / MIB_KIB,
	       grower->killed ? "killed" : pressure_why(grower),
	       grower->shared->last.v[PC_FREE] / MIB_PAGES,
	       pressure_described(&grower->shared->start,
				  &grower->shared->last));
	pressure_delta(&grower->shared->start, &grower->shared->last, &delta);
	TH_LOG("%zu MiB of user memory, %lu MiB of the kernel: %s", s->anon.mib,
	       want / MIB_KIB,
	       pressure_described(&grower->shared->start,
				  &grower->shared->last));
	/* Their disk has buffers, all that such a request may reclaim. */
	EXPECT_GE(variant->nofs ? MIB_PAGES : 0, delta.v[PC_PGSTEAL]);
	EXPECT_GE(0, delta.v[PC_RELEASE]);
	/*
	 * Evacuation does it all, and most of it in the background: who has to
	 * wait moves a pageblock. Some kinds of memory take it longer, and
	 * requests without I/O depend on kswapd altogether. On a busy host kswapd
	 * may come late once or twice; where time is counted in instructions it
	 * does not (make bench, row b).
	 */
	if (variant->no_stall && !scene_on_other_node(s)) {
		EXPECT_GE(4, delta.v[PC_ALLOCSTALL]);
		EXPECT_LE(delta.v[PC_EVACUATE_STALL] * BLOCK_PAGES,
			  percent(delta.v[PC_EVACUATE_MIGRATED], 75));
	}
	/* They wait for kswapd rather than try again and again. */
	if (variant->noio)
		EXPECT_LE(delta.v[PC_ALLOCSTALL], 4 * want / MIB_KIB);
	if (group)
		EXPECT_STREQ("max 0 oom 0", scene_cgroup_limits());
	/* The kernel's memory is still there. */
	EXPECT_REST();
	ALL_COMES_BACK(s);
}

/* ---- all kinds of it, in use -------------------------------------------- */

/* Of merged pages half is left. */
#define LOAD_MIB 128

FIXTURE(in_use)
{
	struct scene s;
	struct load load;
};

FIXTURE_VARIANT(in_use)
{
	const char *load;
	bool may_fit; /* what zram makes of it, beside all that is asked for */
};

#define LOAD(name)                        \
	FIXTURE_VARIANT_ADD(in_use, name) \
	{                                 \
		.load = #name,            \
	}
LOAD(dirty);
LOAD(ksm);
FIXTURE_VARIANT_ADD(in_use, swap) {
	.load = "swap",
	.may_fit = true,
};

LOAD(fork);
LOAD(readers);

FIXTURE_SETUP(in_use)
{
	const char *needs =
		scene_needs(&self->s, "online_hotremove", NULL, false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
}

FIXTURE_TEARDOWN(in_use)
{
	load_abort(&self->load);
	scene_end(&self->s);
	EXPECT_EQ(0, hr_return_blocks());
}

TEST_F_TIMEOUT(in_use, makes_room_and_stays_intact, 300)
{
	struct scene *s = &self->s;
	struct pressure_counters delta;
	unsigned long rounds, want;
	long long deadline;
	int ret;

	ret = load_start(&self->load, variant->load, LOAD_MIB, 1);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "needs %s", load_needs(variant->load));
	ASSERT_EQ(0, ret)
	TH_LOG("%s", load_why(&self->load));
	PLUG(s, "online_hotremove", ROOM_PLUG_MIB);
	START(&s->grower, unmovable, NULL);
	/* A load needs memory of the kernel's, too. */
	want = percent(pressure_capacity_pages() * PAGE_KIB, 90);
	rounds = load_rounds(&self->load);
	ASSERT_EQ(0, pressure_grow(&s->grower, want, 0, GROW_SECONDS))
	TH_LOG("%lu of %lu MiB, then %s", pressure_done(&s->grower) / MIB_KIB,
	       want / MIB_KIB,
	       s->grower.killed ? "killed" : pressure_why(&s->grower));
	pressure_delta(&s->grower.shared->start, &s->grower.shared->last,
		       &delta);
	TH_LOG("%s: %s", load_what(variant->load),
	       pressure_described(&s->grower.shared->start,
				  &s->grower.shared->last));
	/* In a CMA area it is in nobody's way. */
	if (!variant->may_fit && hr_meminfo_kb("CmaTotal") <= 0)
		EXPECT_LT(0, delta.v[PC_EVACUATE_MIGRATED]);
	EXPECT_EQ(0, delta.v[PC_OOM_KILL]);
	/* It goes on, however long a round takes in what is left. */
	deadline = hr_deadline(GROW_SECONDS);
	while (load_rounds(&self->load) == rounds && hr_poll(deadline))
		;
	EXPECT_LT(rounds, load_rounds(&self->load));
	pressure_stop(&s->grower);
	EXPECT_EQ(0, hr_return_blocks());
	EXPECT_EQ(0, load_stop(&self->load))
	TH_LOG("%s", load_why(&self->load));
	EXPECT_EQ(0, hr_check_invariants());
}

/* ---- huge pages of hugetlb ------------------------------------------------ */

/* They are replaced only by hugetlb itself, so evacuation leaves them. */
#define HUGE_BYTES (2UL << 20)
#define NR_HUGE 16
#define HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

SCENE(huge);

FIXTURE_SETUP(huge)
{
	const char *needs =
		scene_needs(&self->s, "online_hotremove", NULL, false);
	char nr[32];

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (scene_set(&self->s, HUGEPAGES, "16") ||
	    hr_read_file(HUGEPAGES, nr, sizeof(nr)) <= 0 || atoi(nr) != NR_HUGE)
		SCENE_SKIP(&self->s, "needs %d huge pages of 2 MiB", NR_HUGE);
}

TEST_F_TIMEOUT(huge, stay_where_they_are, 300)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_counters delta;
	unsigned long pfn[NR_HUGE], want;
	char *mem;
	int i;

	mem = mmap(NULL, NR_HUGE * HUGE_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	hr_fill(mem, NR_HUGE * HUGE_BYTES);
	for (i = 0; i < NR_HUGE; i++)
		pfn[i] = hr_virt_to_pfn(mem + i * HUGE_BYTES);
	START(&s->anon, anon, scene_anon_mib(40, ROOM_PLUG_MIB), NULL);
	PLUG(s, "online_hotremove", ROOM_PLUG_MIB);
	want = percent(pressure_capacity_pages() * PAGE_KIB, 90);
	START(grower, unmovable, NULL);
	ASSERT_EQ(0, pressure_grow(grower, want, 0, GROW_SECONDS))
	TH_LOG("%lu of %lu MiB, then %s", pressure_done(grower) / MIB_KIB,
	       want / MIB_KIB,
	       grower->killed ? "killed" : pressure_why(grower));
	pressure_delta(&grower->shared->start, &grower->shared->last, &delta);
	TH_LOG("%lu MiB of the kernel: %s", want / MIB_KIB,
	       pressure_described(&grower->shared->start,
				  &grower->shared->last));
	/* Others went, and they were passed on the way. */
	if (!scene_on_other_node(s) && hr_meminfo_kb("CmaTotal") <= 0)
		EXPECT_LT(0, delta.v[PC_EVACUATE_MIGRATED]);
	EXPECT_EQ(0, delta.v[PC_PGSTEAL]);
	for (i = 0; i < NR_HUGE; i++)
		EXPECT_EQ(pfn[i], hr_virt_to_pfn(mem + i * HUGE_BYTES));
	EXPECT_EQ(0, hr_wrong_bytes(mem, NR_HUGE * HUGE_BYTES));
	EXPECT_REST();
	munmap(mem, NR_HUGE * HUGE_BYTES);
	ALL_COMES_BACK(s);
}

/* ---- ping-pong and rest ------------------------------------------------ */

SCENE(peace);

FIXTURE_SETUP(peace)
{
	const char *needs =
		scene_needs(&self->s, "online_hotremove", NULL, false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
}

#define PEACE_PLUG_MIB 256UL
#define ROUNDS 10
#define LIMIT_MIB 64UL

/*
 * Each round, user memory is replaced, so that some of it is in ordinary
 * memory again, and then the kernel wants more of that than is free.
 */
TEST_F_TIMEOUT(peace, ping_pong, 600)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure *user[2] = { &s->anon, &s->other };
	struct pressure_counters delta;
	long long moved = 0, needed = 0, must;
	unsigned long mib, want;
	int i;

	PLUG(s, "online_hotremove", PEACE_PLUG_MIB);
	/* Compaction may join in. */
	ASSERT_EQ(0,
		  scene_set(s, "/proc/sys/vm/compaction_proactiveness", "100"));
	/* Where there is more, user memory would not have to move. */
	ASSERT_EQ(0, scene_ballast(s, PEACE_PLUG_MIB * 5 / 4));
	want = percent(pressure_capacity_pages() / MIB_PAGES, 80);
	/* Old and new are there at the same time, and fill all there is. */
	mib = percent(pressure_capacity_pages() / MIB_PAGES + PEACE_PLUG_MIB,
		      40);
	if (mib > percent(PEACE_PLUG_MIB, 85))
		mib = percent(PEACE_PLUG_MIB, 85);
	START(user[0], anon, mib, NULL);
	for (i = 0; i < ROUNDS; i++) {
		START(user[!(i & 1)], anon, mib, NULL);
		pressure_stop(user[i & 1]);
		START(grower, unmovable, NULL);
		ASSERT_EQ(0, pressure_grow(grower, want * MIB_KIB, 0,
					   GROW_SECONDS))
		TH_LOG("round %d: %s", i, pressure_why(grower));
		pressure_delta(&grower->shared->start, &grower->shared->last,
			       &delta);
		must = want * MIB_PAGES + want * MIB_PAGES / 64 +
		       pressure_watermark_pages("high") -
		       grower->shared->start.v[PC_FREE_ORDINARY];
		if (must > 0)
			needed += must;
		moved += delta.v[PC_MIGRATED];
		pressure_stop(grower);
	}
	TH_LOG("%d rounds: %lld pages moved, %lld had to", ROUNDS, moved,
	       needed);
	/* Otherwise it proves nothing. */
	ASSERT_LT(ROUNDS * MIB_PAGES, needed);
	EXPECT_LE(moved, 2 * needed);
	for (i = 0; i < 2; i++)
		if (user[i]->pid)
			EXPECT_EQ(0, pressure_check(user[i]));
}

/* What a memcg may not have is no reason to move anything, nor to kill others. */
TEST_F_TIMEOUT(peace, a_limit_is_no_need, 120)
{
	const bool charged = !hr_booted_with("nokmem");
	struct pressure_options in_group = { .cgroup = SCENE_CGROUP };
	struct scene *s = &self->s;
	struct pressure_counters from, to, delta;

	if (scene_cgroup(s, "memory"))
		SKIP(return, "needs CONFIG_MEMCG");
	ASSERT_EQ(0, scene_cgroup_max(LIMIT_MIB));
	/* Nor a reason to release anything. */
	ASSERT_EQ(0, scene_release(s, "1"));
	/* Something that could be moved, and room for it. */
	START(&s->anon, anon, scene_anon_mib(50, PEACE_PLUG_MIB), NULL);
	PLUG(s, "online_hotremove", PEACE_PLUG_MIB);
	pressure_counters(&from);
	START(&s->other, cache, 3 * LIMIT_MIB / 2, &in_group);
	START(&s->grower, unmovable, &in_group);
	/* Pipes are charged, unless no kernel memory is. */
	EXPECT_EQ(charged,
		  pressure_grow(&s->grower, 3 * LIMIT_MIB / 2 * MIB_KIB, 0,
				GROW_SECONDS))
	TH_LOG("%s", pressure_why(&s->grower));
	pressure_counters(&to);
	pressure_delta(&from, &to, &delta);
	TH_LOG("%lu of %lu MiB of the kernel, limits: %s; %s",
	       pressure_done(&s->grower) / MIB_KIB, 3 * LIMIT_MIB / 2,
	       scene_cgroup_limits(), pressure_described(&from, &to));
	/* It had to do without some of its page cache, if nothing else. */
	EXPECT_GE(LIMIT_MIB * MIB_PAGES, pressure_resident(&s->other));
	EXPECT_EQ(charged, delta.v[PC_OOM_KILL]);
	/* A few pageblocks for pieces larger than a page are another matter. */
	EXPECT_LE(delta.v[PC_EVACUATE_MIGRATED], 16 * BLOCK_PAGES);
	EXPECT_GE(0, delta.v[PC_RELEASE]);
	EXPECT_EQ(0, pressure_stalls(&delta));
	EXPECT_EQ(0, delta.v[PC_PGSTEAL]);
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

TEST_F_TIMEOUT(peace, nothing_happens_without_need, 120)
{
	struct scene *s = &self->s;
	struct pressure_counters from, to, delta;
	long spare;

	PLUG(s, "online_hotremove", PEACE_PLUG_MIB);
	EXPECT_REST();

	/* User memory fills it, and ordinary memory to above the high mark. */
	pressure_counters(&from);
	spare = 2 * pressure_watermark_pages("high") / MIB_PAGES + 32;
	START(&s->anon, anon, from.v[PC_FREE] / MIB_PAGES - spare, NULL);
	pressure_counters(&to);
	pressure_delta(&from, &to, &delta);
	TH_LOG("%zu MiB of user memory, %lld MiB of ordinary memory free: %s",
	       s->anon.mib, to.v[PC_FREE_ORDINARY] / MIB_PAGES,
	       pressure_described(&from, &to));
	/*
	 * None for single pages: kswapd may vacate one for a larger piece, or
	 * because a watermark was boosted, and finds it at the second look.
	 */
	EXPECT_GE(4, delta.v[PC_EVACUATE_BLOCKS]);
	EXPECT_GE(2 * BLOCK_PAGES, delta.v[PC_EVACUATE_MIGRATED]);
	EXPECT_EQ(0, pressure_stalls(&delta));
	EXPECT_EQ(0, delta.v[PC_PGSTEAL]);
	EXPECT_REST();
	EXPECT_EQ(0, pressure_check(&s->anon));
	/* There is no room for what would have to leave. */
	pressure_stop(&s->anon);
	ALL_COMES_BACK(s);
}

HR_HARNESS_MAIN
