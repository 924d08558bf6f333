// SPDX-License-Identifier: GPL-2.0
/*
 * This test will prove that memory which only movable pages may use
 * (hot-removable, or ZONE_MOVABLE) is no loss to the kernel: when the kernel
 * needs memory for itself, movable pages leave ordinary memory for it, instead
 * of being reclaimed in vain, and nothing is killed as long as that helps.
 *
 *              before              kernel memory grows    what must not happen
 *   ordinary   [uuuuuuuuuu..]      [kkkkkkkkkkkk]         [kkuuuuuuuuuu] KILL
 *   plugged    [............]      [uuuuuuuuuu..]         [............]
 *
 * kill: growing until killed, which comes when ordinary memory is full of what
 * cannot move, not before, and is not decided any slower than in a machine
 * without plugged memory, the control of the same run. Afterwards all that was
 * plugged comes back and no byte of user memory has changed.
 *
 * room: all of 90 % of ordinary memory is allocated, nothing is reclaimed,
 * nobody waits in direct reclaim, and kswapd sleeps afterwards; with user memory
 * and machines of several kinds.
 *
 * cache: page cache in movable-only memory is of no use to the kernel: a legitimate
 * kill leaves it alone, a busy reader does not put the kill off.
 *
 * full: plugged memory is full; then page cache must be reclaimed to make room
 * for what is to leave ordinary memory, and not much more than that.
 *
 * ping_pong: kernel and user memory grow by turns; nothing moves that need not.
 *
 * idle: what fits moves nothing and wakes nobody.
 *
 * nodes: plugged memory is a node of its own; what is bound stays where it is.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"

#include "hr.h"
#include "pressure.h"

#define MIB_KIB 1024UL
#define PAGE_KIB 4UL
#define MIB_PAGES 256L

/* Without hardware acceleration, 500,000 files take 30 s. */
#define GROW_SECONDS 240

/* Far above what there is memory for. */
#define NO_END 100000000UL

#define MAX_BLOCKS 16

/* Deciding on a kill takes 10 to 150 ms in machines without plugged memory. */
#define VERDICT_MS 1000

static unsigned long percent(unsigned long of, unsigned int n)
{
	return of * n / 100;
}

/* What each test has; zeroed by the harness. */
struct scene {
	int blocks[MAX_BLOCKS], nr;
	unsigned long plugged_mib;
	struct pressure anon, other, grower;
	char lru_gen[16];
	int zram; /* number + 1 */
	bool cgroup;
};

#define CGROUP "/sys/fs/cgroup"
#define OUR_CGROUP CGROUP "/hr-reclaim"
#define LRU_GEN "/sys/kernel/mm/lru_gen/enabled"

static void scene_end(struct scene *s)
{
	pressure_stop(&s->grower);
	pressure_stop(&s->other);
	pressure_stop(&s->anon);
	if (s->lru_gen[0])
		hr_write_file(LRU_GEN, s->lru_gen);
	if (s->zram)
		hr_zram_swapoff(s->zram - 1);
	if (s->cgroup)
		rmdir(OUR_CGROUP);
}

/* At most `blocks` blocks of what can be had are onlined. */
static int plug(struct scene *s, const char *keyword, int blocks)
{
	int found[MAX_BLOCKS], i, ret;

	s->nr = hr_take_blocks(found, blocks, MAX_BLOCKS);
	if (s->nr > blocks)
		s->nr = blocks;
	for (i = 0; i < s->nr; i++) {
		s->blocks[i] = found[i];
		ret = hr_block_write(found[i], "state", keyword);
		if (ret)
			return ret;
	}
	s->plugged_mib = s->nr * (hr_block_bytes() >> 20);
	return 0;
}

/*
 * Memory of another node is the last step before a kill, by intention: what lies
 * here and is cheap to reclaim goes first, and nobody works ahead.
 */
static bool on_other_node(const struct scene *s)
{
	return hr_block_node(s->blocks[0]) > 0;
}

static int nr_blocks(unsigned long mib)
{
	return mib / (hr_block_bytes() >> 20);
}

/* User memory that fits, to be in ordinary memory before anything is plugged. */
static unsigned long anon_mib(unsigned long plug_mib)
{
	unsigned long mib = pressure_capacity_pages() / MIB_PAGES;

	mib = percent(mib, 75);
	return mib < percent(plug_mib, 90) ? mib : percent(plug_mib, 90);
}

/*
 * One second after a scenario nobody is at work any more. CPU time is counted
 * in steps of 10 ms, and a look at free memory now and then is no work.
 */
static bool at_rest(char *why, size_t len)
{
	struct pressure_counters from, to, work;
	long long deadline = hr_deadline(1);

	while (hr_poll(deadline))
		;
	pressure_counters(&from);
	poll(NULL, 0, 1000);
	pressure_counters(&to);
	pressure_delta(&from, &to, &work);
	pressure_describe(&work, why, len);
	return work.v[PC_KSWAPD_MS] <= 10 && work.v[PC_EVACUATE_BLOCKS] <= 0 &&
	       work.v[PC_PGSTEAL] <= 0;
}

static const char *described(const struct pressure_counters *from,
			     const struct pressure_counters *to)
{
	static char text[512];
	struct pressure_counters delta;

	pressure_delta(from, to, &delta);
	pressure_describe(&delta, text, sizeof(text));
	return text;
}

/* Movable-only memory serves both words, but without evacuation neither. */
static const char *reason_to_skip(const char *keyword)
{
	if (!strcmp(keyword, "online_hotremove") && !hr_supported())
		return HR_SKIP_REASON;
	if (!hr_supported() && hr_vmstat("evacuate_blocks") < 0)
		return "needs a kernel that evacuates";
	return NULL;
}

#define EXPECT_REST()                                          \
	do {                                                   \
		char why[256];                                 \
                                                               \
		EXPECT_TRUE(at_rest(why, sizeof(why)))         \
		TH_LOG("still, for the next second: %s", why); \
	} while (0)

/* All plugged memory can go while its user is there, who has lost nothing. */
#define ALL_COMES_BACK(s)                                          \
	do {                                                       \
		pressure_stop(&(s)->grower);                       \
		EXPECT_EQ(0, hr_return_blocks());                  \
		if ((s)->anon.pid)                                 \
			EXPECT_EQ(0, pressure_check(&(s)->anon));  \
		if ((s)->other.pid && !(s)->other.options.loop)    \
			EXPECT_EQ(0, pressure_check(&(s)->other)); \
		EXPECT_EQ(0, hr_check_invariants());               \
	} while (0)

#define START(p, what, ...)                                        \
	do {                                                       \
		ASSERT_EQ(0, pressure_##what(p, ##__VA_ARGS__))    \
		TH_LOG("pressure_" #what ": %s", pressure_why(p)); \
	} while (0)

#define PLUG(s, keyword, mib)                                                         \
	do {                                                                          \
		ASSERT_EQ(0, plug(s, keyword, nr_blocks(mib)));                       \
		if ((s)->nr < nr_blocks(mib))                                         \
			SKIP(return,                                                  \
				   "needs %d MiB that are offline or can be plugged", \
				   (int)(mib));                                       \
	} while (0)

/* ---- kill ---------------------------------------------------------------- */

/* Enough to know what a file takes, to a hundredth. */
#define SAMPLE_FILES 40000UL
#define KILL_PLUG_MIB 1024UL
/* What the machine without plugged memory needs to decide may vary as well. */
#define VERDICT_SLACK_MS 250

FIXTURE(kill)
{
	struct scene s;
};

FIXTURE_VARIANT(kill)
{
	const char *keyword;
};

FIXTURE_VARIANT_ADD(kill, hotremove){
	.keyword = "online_hotremove",
};

FIXTURE_VARIANT_ADD(kill, movable){
	.keyword = "online_movable",
};

FIXTURE_SETUP(kill)
{
	const char *reason = reason_to_skip(variant->keyword);

	if (reason)
		SKIP(return, "%s", reason);
}

FIXTURE_TEARDOWN(kill)
{
	scene_end(&self->s);
	EXPECT_EQ(0, hr_return_blocks());
}

TEST_F_TIMEOUT(kill, not_before_memory_is_full, 900)
{
	struct scene *s = &self->s;
	struct pressure *files = &s->grower;
	struct pressure_counters delta, sample;
	unsigned long capacity, want, control_files;
	long long control_ms, bytes;
	bool other_node;

	START(&s->anon, anon, anon_mib(KILL_PLUG_MIB), NULL);

	/* The control: no plugged memory. */
	START(files, files, NULL);
	ASSERT_EQ(1, pressure_grow(files, NO_END, 0, GROW_SECONDS));
	control_files = pressure_done(files);
	control_ms = pressure_verdict_ms(files);
	TH_LOG("%zu MiB anon, nothing plugged: %lu files, decided in %lld ms",
	       s->anon.mib, control_files, control_ms);

	PLUG(s, variant->keyword, KILL_PLUG_MIB);
	other_node = on_other_node(s);
	START(files, files, NULL);
	capacity = pressure_capacity_pages();
	ASSERT_EQ(0, pressure_grow(files, SAMPLE_FILES, 0, GROW_SECONDS))
	TH_LOG("%lu files, %s", pressure_done(files), pressure_why(files));
	pressure_delta(&files->shared->start, &files->shared->last, &sample);
	bytes = sample.v[PC_SLAB] * PAGE_KIB * 1024 / SAMPLE_FILES;
	ASSERT_LT(0, bytes);
	want = capacity * PAGE_KIB * 1024 / bytes;
	TH_LOG("room for %lu files of %lld bytes", want, bytes);

	ASSERT_EQ(1,
		  pressure_grow(files, NO_END, percent(want, 90), GROW_SECONDS))
	TH_LOG("%s", pressure_why(files));
	TH_LOG("%lu files (%lu %%), decided in %lld ms, %lld MiB free: %s",
	       pressure_done(files), pressure_done(files) * 100 / want,
	       pressure_verdict_ms(files),
	       files->shared->last.v[PC_FREE] / MIB_PAGES,
	       described(&files->shared->start, &files->shared->last));
	EXPECT_GE(pressure_done(files), percent(want, other_node ? 92 : 97));
	EXPECT_LE(pressure_verdict_ms(files),
		  2 * control_ms + VERDICT_SLACK_MS);
	if (files->shared->at_mark.v[PC_NS] && !other_node) {
		pressure_delta(&files->shared->start, &files->shared->at_mark,
			       &delta);
		EXPECT_EQ(0, delta.v[PC_PGSTEAL]);
		EXPECT_LE(pressure_stalls(&delta), 10)
		TH_LOG("up to 90 %%: %s", described(&files->shared->start,
						    &files->shared->at_mark));
	}
	EXPECT_REST();
	ALL_COMES_BACK(s);
}

/* ---- room --------------------------------------------------------------- */

#define ROOM_PLUG_MIB 512UL

FIXTURE(room)
{
	struct scene s;
};

FIXTURE_VARIANT(room)
{
	const char *keyword;
	struct pressure_options anon;
	bool tmpfs; /* instead of anonymous memory */
	const char *lru_gen;
	bool swap;
	bool memcg;
	bool noio;
};

FIXTURE_VARIANT_ADD(room, hotremove){
	.keyword = "online_hotremove",
};

FIXTURE_VARIANT_ADD(room, movable){
	.keyword = "online_movable",
};

FIXTURE_VARIANT_ADD(room, thp){
	.keyword = "online_hotremove",
	.anon = { .thp = true },
};

FIXTURE_VARIANT_ADD(room, mlock){
	.keyword = "online_hotremove",
	.anon = { .mlock = true },
};

FIXTURE_VARIANT_ADD(room, tmpfs){
	.keyword = "online_hotremove",
	.tmpfs = true,
};

FIXTURE_VARIANT_ADD(room, lru_gen){
	.keyword = "online_hotremove",
	.lru_gen = "y",
};

FIXTURE_VARIANT_ADD(room, swap){
	.keyword = "online_hotremove",
	.swap = true,
};

/* Charged, and below the limit. */
FIXTURE_VARIANT_ADD(room, memcg){
	.keyword = "online_hotremove",
	.memcg = true,
};

FIXTURE_VARIANT_ADD(room, noio){
	.keyword = "online_hotremove",
	.noio = true,
};

FIXTURE_SETUP(room)
{
	const char *reason = reason_to_skip(variant->keyword);
	struct scene *s = &self->s;

	if (reason)
		SKIP(return, "%s", reason);
	if (variant->lru_gen) {
		if (hr_read_file(LRU_GEN, s->lru_gen, sizeof(s->lru_gen)) < 0)
			SKIP(return, "needs CONFIG_LRU_GEN");
		ASSERT_EQ(0, hr_write_file(LRU_GEN, variant->lru_gen));
	}
	if (variant->swap) {
		s->zram = 1 + hr_zram_swapon(64 << 20);
		if (s->zram <= 0)
			SKIP(return, "needs CONFIG_SWAP and CONFIG_ZRAM");
	}
	if (variant->memcg) {
		if (hr_write_file(CGROUP "/cgroup.subtree_control", "+memory"))
			SKIP(return, "needs CONFIG_MEMCG");
		ASSERT_EQ(0, mkdir(OUR_CGROUP, 0700));
		s->cgroup = true;
	}
}

FIXTURE_TEARDOWN(room)
{
	scene_end(&self->s);
	EXPECT_EQ(0, hr_return_blocks());
}

TEST_F_TIMEOUT(room, is_made_for_the_kernel, 300)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_options options = variant->anon;
	struct pressure_counters delta;
	unsigned long want;
	char max[32];

	options.cgroup = variant->memcg ? OUR_CGROUP : NULL;
	if (variant->tmpfs)
		START(&s->anon, tmpfs, anon_mib(ROOM_PLUG_MIB), &options);
	else
		START(&s->anon, anon, anon_mib(ROOM_PLUG_MIB), &options);
	PLUG(s, variant->keyword, ROOM_PLUG_MIB);
	options.thp = options.mlock = false;
	if (variant->noio)
		START(grower, noio, &options);
	else
		START(grower, unmovable, &options);
	want = percent(pressure_capacity_pages() * PAGE_KIB, 90);
	if (variant->memcg) {
		snprintf(max, sizeof(max), "%luM",
			 s->anon.mib + want / MIB_KIB + 64);
		ASSERT_EQ(0, hr_write_file(OUR_CGROUP "/memory.max", max));
	}
	ASSERT_EQ(0, pressure_grow(grower, want, 0, GROW_SECONDS))
	TH_LOG("%lu of %lu MiB, then %s; %lld MiB free: %s",
	       pressure_done(grower) / MIB_KIB, want / MIB_KIB,
	       grower->killed ? "killed" : pressure_why(grower),
	       grower->shared->last.v[PC_FREE] / MIB_PAGES,
	       described(&grower->shared->start, &grower->shared->last));
	pressure_delta(&grower->shared->start, &grower->shared->last, &delta);
	TH_LOG("%zu MiB of user memory, %lu MiB of the kernel: %s", s->anon.mib,
	       want / MIB_KIB,
	       described(&grower->shared->start, &grower->shared->last));
	EXPECT_EQ(0, delta.v[PC_PGSTEAL]);
	/* kswapd evacuates on behalf of those who may not wait for I/O. */
	if (!variant->noio && !on_other_node(s)) {
		EXPECT_EQ(0, delta.v[PC_ALLOCSTALL]);
		EXPECT_LE(pressure_stalls(&delta), 10);
	}
	/* The kernel's memory is still there. */
	EXPECT_REST();
	ALL_COMES_BACK(s);
}

/* ---- cache --------------------------------------------------------------- */

FIXTURE(cache)
{
	struct scene s;
};

FIXTURE_VARIANT(cache)
{
	const char *keyword;
	const char *lru_gen;
	bool loop;
};

FIXTURE_VARIANT_ADD(cache, hotremove){
	.keyword = "online_hotremove",
	.lru_gen = "n",
};

FIXTURE_VARIANT_ADD(cache, movable){
	.keyword = "online_movable",
	.lru_gen = "n",
};

FIXTURE_VARIANT_ADD(cache, reader){
	.keyword = "online_hotremove",
	.lru_gen = "n",
	.loop = true,
};

FIXTURE_VARIANT_ADD(cache, lru_gen_reader){
	.keyword = "online_hotremove",
	.lru_gen = "y",
	.loop = true,
};

#define CACHE_PLUG_MIB 512UL
FIXTURE_SETUP(cache)
{
	const char *reason = reason_to_skip(variant->keyword);
	struct scene *s = &self->s;

	if (reason)
		SKIP(return, "%s", reason);
	if (hr_read_file(LRU_GEN, s->lru_gen, sizeof(s->lru_gen)) > 0)
		ASSERT_EQ(0, hr_write_file(LRU_GEN, variant->lru_gen));
}

FIXTURE_TEARDOWN(cache)
{
	scene_end(&self->s);
	EXPECT_EQ(0, hr_return_blocks());
}

TEST_F_TIMEOUT(cache, survives_a_kill, 300)
{
	struct pressure_options options = { .loop = variant->loop };
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_counters delta, after;
	long capacity, inside, left, of_cache, outside;

	PLUG(s, variant->keyword, CACHE_PLUG_MIB);
	START(grower, unmovable, NULL);
	capacity = pressure_capacity_pages() * PAGE_KIB;
	ASSERT_EQ(0,
		  pressure_grow(grower, percent(capacity, 70), 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	options.nodes = 1UL << hr_block_node(s->blocks[0]);
	START(&s->other, cache, percent(CACHE_PLUG_MIB, 90), &options);
	of_cache = s->other.mib * MIB_PAGES;
	inside = pressure_file_pages_in(s->blocks, s->nr);
	outside = of_cache > inside ? of_cache - inside : 0;
	TH_LOG("%ld of %ld pages of cache are in plugged memory", inside,
	       of_cache);
	ASSERT_GE(inside, percent(of_cache, 80));

	ASSERT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	pressure_counters(&after);
	left = pressure_file_pages_in(s->blocks, s->nr);
	pressure_delta(&grower->shared->start, &after, &delta);
	TH_LOG("%lu MiB of the kernel (%lu %%), decided in %lld ms, %ld of %ld pages of cache left: %s",
	       pressure_done(grower) / MIB_KIB,
	       pressure_done(grower) * 100 / capacity,
	       pressure_verdict_ms(grower), left, inside,
	       described(&grower->shared->start, &after));
	/* A pipe of 1 MiB takes 16 KiB and a bit for itself. */
	EXPECT_GE(pressure_done(grower), percent(capacity, 95));
	EXPECT_GE(left, percent(inside, 95));
	EXPECT_LE(delta.v[PC_PGSTEAL], percent(inside, 5) + outside);
	EXPECT_LE(pressure_verdict_ms(grower), VERDICT_MS);
	if (!variant->loop)
		EXPECT_GE(pressure_resident(&s->other), percent(inside, 95));
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

/* ---- full ---------------------------------------------------------------- */

FIXTURE(full)
{
	struct scene s;
};

FIXTURE_VARIANT(full)
{
	const char *keyword;
	const char *lru_gen;
};

FIXTURE_VARIANT_ADD(full, hotremove){
	.keyword = "online_hotremove",
	.lru_gen = "n",
};

FIXTURE_VARIANT_ADD(full, lru_gen){
	.keyword = "online_hotremove",
	.lru_gen = "y",
};

FIXTURE_VARIANT_ADD(full, movable){
	.keyword = "online_movable",
	.lru_gen = "n",
};

#define FULL_PLUG_MIB 256UL

FIXTURE_SETUP(full)
{
	const char *reason = reason_to_skip(variant->keyword);
	struct scene *s = &self->s;

	if (reason)
		SKIP(return, "%s", reason);
	if (hr_read_file(LRU_GEN, s->lru_gen, sizeof(s->lru_gen)) > 0)
		ASSERT_EQ(0, hr_write_file(LRU_GEN, variant->lru_gen));
}

FIXTURE_TEARDOWN(full)
{
	scene_end(&self->s);
	EXPECT_EQ(0, hr_return_blocks());
}

TEST_F_TIMEOUT(full, makes_room_by_reclaim, 300)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_counters delta;
	long capacity, total, want, needed;

	/* As in a machine of 3328 MB: 1400 anon, 1200 cache, 1600 kernel. */
	capacity = pressure_capacity_pages() / MIB_PAGES;
	total = capacity + FULL_PLUG_MIB;
	START(&s->anon, anon, percent(total, 43), NULL);
	PLUG(s, variant->keyword, FULL_PLUG_MIB);
	START(&s->other, cache, percent(total, 37), NULL);
	want = percent(total, 49);
	START(grower, unmovable, NULL);
	ASSERT_EQ(0, pressure_grow(grower, want * MIB_KIB, 0, GROW_SECONDS))
	TH_LOG("%lu of %lu MiB, then %s; %lld MiB free: %s",
	       pressure_done(grower) / MIB_KIB, want,
	       grower->killed ? "killed" : pressure_why(grower),
	       grower->shared->last.v[PC_FREE] / MIB_PAGES,
	       described(&grower->shared->start, &grower->shared->last));
	pressure_delta(&grower->shared->start, &grower->shared->last, &delta);
	/* What was free at the start need not be reclaimed, if it may be used. */
	needed = want * MIB_PAGES + want * MIB_PAGES / 64 -
		 grower->shared->start.v[PC_FREE] +
		 pressure_watermark_pages("high");
	TH_LOG("%lld pages reclaimed, %ld needed: %s", delta.v[PC_PGSTEAL],
	       needed,
	       described(&grower->shared->start, &grower->shared->last));
	ASSERT_LT(0, needed);
	EXPECT_LE(percent(delta.v[PC_PGSTEAL], 85), needed);
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

/* ---- ping-pong and rest ------------------------------------------------ */

FIXTURE(peace)
{
	struct scene s;
};

FIXTURE_SETUP(peace)
{
	const char *reason = reason_to_skip("online_hotremove");

	if (reason)
		SKIP(return, "%s", reason);
}

FIXTURE_TEARDOWN(peace)
{
	scene_end(&self->s);
	EXPECT_EQ(0, hr_return_blocks());
}

#define PEACE_PLUG_MIB 256UL
#define ROUNDS 10

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
	       described(&from, &to));
	EXPECT_LE(delta.v[PC_EVACUATE_BLOCKS], 0);
	EXPECT_EQ(0, pressure_stalls(&delta));
	EXPECT_EQ(0, delta.v[PC_PGSTEAL]);
	EXPECT_REST();
	EXPECT_EQ(0, pressure_check(&s->anon));
	/* There is no room for what would have to leave. */
	pressure_stop(&s->anon);
	ALL_COMES_BACK(s);
}

/* ---- nodes ---------------------------------------------------------------- */

FIXTURE(nodes)
{
	struct scene s;
};

FIXTURE_VARIANT(nodes)
{
	const char *keyword;
	bool cpuset; /* else a memory policy */
};

FIXTURE_VARIANT_ADD(nodes, policy){
	.keyword = "online_hotremove",
};

FIXTURE_VARIANT_ADD(nodes, cpuset){
	.keyword = "online_hotremove",
	.cpuset = true,
};

FIXTURE_VARIANT_ADD(nodes, movable){
	.keyword = "online_movable",
};

#define NODES_PLUG_MIB 768UL
/* Bound to the node of the kernel's memory. */
#define BOUND_MIB 64UL

FIXTURE_SETUP(nodes)
{
	const char *reason = reason_to_skip(variant->keyword);
	char nodes[32];

	if (reason)
		SKIP(return, "%s", reason);
	if (hr_read_file("/sys/devices/system/node/possible", nodes,
			 sizeof(nodes)) < 0 ||
	    !strcmp(nodes, "0\n"))
		SKIP(return, "needs a second node");
	if (variant->cpuset) {
		if (hr_write_file(CGROUP "/cgroup.subtree_control", "+cpuset"))
			SKIP(return, "needs CONFIG_CPUSETS");
		ASSERT_EQ(0, mkdir(OUR_CGROUP, 0700));
		self->s.cgroup = true;
		ASSERT_EQ(0, hr_write_file(OUR_CGROUP "/cpuset.mems", "0"));
	}
}

FIXTURE_TEARDOWN(nodes)
{
	scene_end(&self->s);
	EXPECT_EQ(0, hr_return_blocks());
}

TEST_F_TIMEOUT(nodes, what_is_bound_stays, 600)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_options bound = {
		.nodes = variant->cpuset ? 0 : 1,
		.cgroup = variant->cpuset ? OUR_CGROUP : NULL,
	};
	unsigned long capacity;

	START(&s->other, anon, BOUND_MIB, &bound);
	START(&s->anon, anon, anon_mib(NODES_PLUG_MIB), NULL);
	PLUG(s, variant->keyword, NODES_PLUG_MIB);
	if (!hr_block_node(s->blocks[0]))
		SKIP(return, "needs memory on the second node");
	START(grower, unmovable, NULL);
	capacity = pressure_capacity_pages() * PAGE_KIB - BOUND_MIB * MIB_KIB;
	ASSERT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	TH_LOG("%lu of %lu MiB, decided in %lld ms, %lld MiB free: %s",
	       pressure_done(grower) / MIB_KIB, capacity / MIB_KIB,
	       pressure_verdict_ms(grower),
	       grower->shared->last.v[PC_FREE] / MIB_PAGES,
	       described(&grower->shared->start, &grower->shared->last));
	/* 5 % less than within a node, and the pipes' own memory. */
	EXPECT_GE(pressure_done(grower), percent(capacity, 90));
	EXPECT_LE(pressure_verdict_ms(grower), VERDICT_MS);
	EXPECT_EQ(0, pressure_outside(&s->other, 1))
	TH_LOG("bound pages are on another node");
	EXPECT_LT(0, pressure_outside(&s->anon, 1));
	EXPECT_REST();
	ALL_COMES_BACK(s);
}

TEST_HARNESS_MAIN
