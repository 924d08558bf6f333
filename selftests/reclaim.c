// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that movable-only memory (hot-removable, or ZONE_MOVABLE)
 * is no loss to the kernel when memory gets short: nothing is killed as long as
 * movable pages could leave ordinary memory, and nothing is reclaimed that is of
 * no use to who needs memory.
 *
 *              before              kernel memory grows    what must not happen
 *   ordinary   [uuuuuuuuuu..]      [kkkkkkkkkkkk]         [kkuuuuuuuuuu] KILL
 *   plugged    [............]      [uuuuuuuuuu..]         [............]
 *
 * kill: files are made until that is killed for, which comes when ordinary memory
 * is full of what cannot move, and is decided as fast as in the control of the
 * same run, the machine without plugged memory. Up to 90 % of that nothing is
 * reclaimed and nearly nobody waits.
 *
 * cache: page cache in movable-only memory is of no use to the kernel: a
 * legitimate kill leaves it alone, and a busy reader does not put the kill off.
 *
 * buffers: what only ordinary memory can hold is reclaimed instead of killing, whatever
 * else seems older.
 *
 * full: plugged memory is full; then page cache must be reclaimed to make room
 * for what is to leave ordinary memory, and not much more than that.
 *
 * ratio: half of ordinary memory is the kernel's when everything is full of user
 * memory, however much there is of that.
 *
 * usable: kswapd gives up by what the kernel can use, and comes back.
 *
 * throttle: who reclaims waits for kswapd if the reserves that he may use are low,
 * whatever else is free, until kswapd has vacated memory for him.
 *
 * nodes: plugged memory is a node of its own; what is bound stays where it is.
 * Nobody waits for reserves that it does not have.
 *
 * After each, kswapd sleeps within a second, all that was plugged comes back,
 * and no byte of user memory has changed.
 *
 * Seen failing on a kernel that does not evacuate (6.12.117, small guest):
 * - kill: with 59,293 files of 491,913 and 1041 MiB free; in ZONE_MOVABLE 46,520
 * - cache: 0 of 58,864 pages left; with a reader 36,714, and 105,309 reclaimed
 * - full: killed with 82 of 321 MiB
 * - nodes (numa guest): killed with 30 of 496 MiB and 810 MiB free
 *
 * Seen failing with one hunk of the series undone at a time (small guest unless
 * said otherwise):
 * - evacuate_lru_use() always LRU_HELPS: full, kswapd still reclaims a second later
 * - evacuate_zone() does not reset kswapd_failures: usable, kswapd does nothing any
 *   more, 397 evacuations by who allocates instead of 25
 * - balance_pgdat() does not count runs in vain: usable, kswapd never gives up
 * - folio_may_be_bound() never true: nodes (numa guest), all 16,384 bound pages
 *   are on the other node, by policy and by cpuset
 * - cache_is_bound() never true: nodes.cpuset_cache (numa guest), 213 pages
 * - without reclaim_in_place(): buffers, all 49,280 kB are left at the kill
 * - reclaim_in_place() never waits for writeback: buffers.dirty, all 49,152 kB are left,
 *   and the kill comes at 84 % instead of 96 %
 * - without reclaim_slab_in_place(): protected, all 47,628 kB are left at the kill
 * - all huge pages of a node taken to be in movable-only memory: cache.hugetlb
 *   (highboot guest), 88,420 of 111,644 pages left
 * - allow_direct_reclaim() counts all that is free, and all zones: throttle, nobody
 *   waits, and 24 calls of direct reclaim instead of one
 * And with a last resort that drained per-CPU lists for one refill at a time:
 * cache, 8,226 of 117,730 pages left.
 *
 * Not seen failing: without the boost of watermarks withheld (kill: 8 stalls up to
 * the end), without gather_room() (full: 55 calls of direct reclaim instead of 2
 * to 9), without the last resort where all is on one node (kill). Nor that
 * KernelAvailable is wrong (kill).
 */
#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hr_harness.h"

#include "hr.h"
#include "pressure.h"

#define AUTO_ONLINE HR_SYS_MEMORY "/auto_online_blocks"

/* ---- kill ---------------------------------------------------------------- */

/* Enough to know what a file takes, to a hundredth. */
#define SAMPLE_FILES 40000UL
#define KILL_PLUG_MIB 1024UL
/* What the machine without plugged memory needs to decide may vary as well. */
#define VERDICT_SLACK_MS 3000

/* Make some files: what one takes, in bytes, or -errno. */
static long make_sample(struct pressure *files)
{
	struct pressure_counters delta;
	int ret = pressure_grow(files, SAMPLE_FILES, 0, GROW_SECONDS);

	if (ret)
		return ret < 0 ? ret : -ENOMEM;
	pressure_delta(&files->shared->start, &files->shared->last, &delta);
	return delta.v[PC_SLAB] * PAGE_KIB * 1024 / SAMPLE_FILES;
}

static bool several_nodes(void)
{
	char nodes[32];

	return hr_read_file("/sys/devices/system/node/possible", nodes,
			    sizeof(nodes)) > 0 &&
	       strcmp(nodes, "0") && strcmp(nodes, "0\n");
}

/* One node and one zone is where all of them run, if time is short. */
static bool left_to_others(const char *keyword, const char *lru_gen, bool swap)
{
	bool plain = !strcmp(keyword, "online_hotremove") && !swap &&
		     !(lru_gen && !strcmp(lru_gen, "y"));

	return hr_short() && !plain &&
	       (several_nodes() || hr_zoneinfo(-1, "Normal", "managed") > 0);
}

#define LEFT_TO_OTHERS "to save time: another guest does this"

SCENE(kill);

FIXTURE_VARIANT(kill)
{
	const char *keyword;
	const char *lru_gen;
	bool swap;
};

FIXTURE_VARIANT_ADD(kill, hotremove) {
	.keyword = "online_hotremove",
};

FIXTURE_VARIANT_ADD(kill, movable) {
	.keyword = "online_movable",
};

/* Compressed, user memory would fit where it is. It is not to be touched. */
FIXTURE_VARIANT_ADD(kill, lru_gen_swap) {
	.keyword = "online_hotremove",
	.lru_gen = "y",
	.swap = true,
};

FIXTURE_SETUP(kill)
{
	const char *needs = scene_needs(&self->s, variant->keyword,
					variant->lru_gen, variant->swap);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (left_to_others(variant->keyword, variant->lru_gen, variant->swap))
		SCENE_SKIP(&self->s, LEFT_TO_OTHERS);
	if (!scene_can_plug(KILL_PLUG_MIB))
		SCENE_SKIP(&self->s, "needs %lu MiB to plug", KILL_PLUG_MIB);
}

TEST_F_TIMEOUT(kill, not_before_memory_is_full, 900)
{
	struct scene *s = &self->s;
	struct pressure *files = &s->grower;
	struct pressure_counters delta;
	unsigned long capacity, want;
	long long limit_ms = VERDICT_MS;
	long bytes, available, had;
	bool other_node;

	START(&s->anon, anon, scene_anon_mib(75, KILL_PLUG_MIB), NULL);

	/* The control: no plugged memory. It would leave user memory in swap. */
	if (!variant->swap) {
		START(files, files, NULL);
		ASSERT_EQ(1, pressure_grow(files, NO_END, 0, GROW_SECONDS));
		limit_ms = 2 * pressure_verdict_ms(files) + VERDICT_SLACK_MS;
		TH_LOG("%zu MiB anon, nothing plugged: %lu files, decided in %lld ms",
		       s->anon.mib, pressure_done(files),
		       pressure_verdict_ms(files));
	}

	PLUG(s, variant->keyword, KILL_PLUG_MIB);
	other_node = scene_on_other_node(s);
	available = hr_meminfo_kb("KernelAvailable");
	START(files, files, NULL);
	capacity = pressure_capacity_pages();
	bytes = make_sample(files);
	ASSERT_LT(0, bytes)
	TH_LOG("%lu files, %s", pressure_done(files), pressure_why(files));
	want = capacity * PAGE_KIB * 1024 / bytes;
	TH_LOG("room for %lu files of %ld bytes", want, bytes);

	ASSERT_EQ(1,
		  pressure_grow(files, NO_END, percent(want, 90), GROW_SECONDS))
	TH_LOG("%s", pressure_why(files));
	TH_LOG("%lu files (%lu %%), decided in %lld ms, %lld MiB free: %s",
	       pressure_done(files), pressure_done(files) * 100 / want,
	       pressure_verdict_ms(files),
	       files->shared->last.v[PC_FREE] / MIB_PAGES,
	       pressure_described(&files->shared->start, &files->shared->last));
	EXPECT_GE(pressure_done(files), percent(want, other_node ? 92 : 97));
	/* Said before; how much fits on another node is not looked at here. */
	had = pressure_done(files) * bytes / 1024;
	TH_LOG("%ld MiB in files, KernelAvailable was %ld MiB (%ld %%)",
	       had / (long)MIB_KIB, available / (long)MIB_KIB,
	       available * 100 / had);
	if (available > 0 && !other_node) {
		EXPECT_GE(available, percent(had, 95));
		EXPECT_LE(available, percent(had, 105));
	}
	EXPECT_LE(pressure_verdict_ms(files), limit_ms);
	if (files->shared->at_mark.v[PC_NS] && !other_node) {
		TH_LOG("up to 90 %%: %s",
		       pressure_described(&files->shared->start,
					  &files->shared->at_mark));
		pressure_delta(&files->shared->start, &files->shared->at_mark,
			       &delta);
		EXPECT_EQ(0, delta.v[PC_PGSTEAL]);
		EXPECT_LE(pressure_stalls(&delta), 10);
	}
	EXPECT_REST();
	ALL_COMES_BACK(s);
}

/* ---- cache --------------------------------------------------------------- */

SCENE(cache);

FIXTURE_VARIANT(cache)
{
	const char *keyword;
	const char *lru_gen;
	bool loop;
	bool huge; /* a quarter of ordinary memory in huge pages of hugetlb */
};

FIXTURE_VARIANT_ADD(cache, hotremove) {
	.keyword = "online_hotremove",
	.lru_gen = "n",
};

FIXTURE_VARIANT_ADD(cache, movable) {
	.keyword = "online_movable",
	.lru_gen = "n",
};

FIXTURE_VARIANT_ADD(cache, reader) {
	.keyword = "online_hotremove",
	.lru_gen = "n",
	.loop = true,
};

FIXTURE_VARIANT_ADD(cache, lru_gen_reader) {
	.keyword = "online_hotremove",
	.lru_gen = "y",
	.loop = true,
};

/* They are on no LRU list, and not to be taken for what is not either. */
FIXTURE_VARIANT_ADD(cache, hugetlb) {
	.keyword = "online_hotremove",
	.lru_gen = "n",
	.huge = true,
};

#define CACHE_PLUG_MIB 512UL
#define HUGE_MIB 2UL
#define HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static bool reserve_huge_pages(struct scene *s)
{
	unsigned long nr = pressure_capacity_pages() / MIB_PAGES / 4 / HUGE_MIB;
	char want[32], got[32];

	snprintf(want, sizeof(want), "%lu", nr);
	return !scene_set(s, HUGEPAGES, want) &&
	       hr_read_file(HUGEPAGES, got, sizeof(got)) > 0 &&
	       strtoul(got, NULL, 10) >= nr / 2;
}

/* The most that justified a retry of the grower, in any zone: pages, or -1. */
static long seemed_reclaimable(void)
{
	FILE *f = fopen(SCENE_TRACE "/trace", "re");
	long pages, most = -1;
	char line[512], *at;

	while (f && fgets(line, sizeof(line), f)) {
		at = strstr(line, " reclaimable=");
		if (!at || !strstr(line, PRESSURE_GROWER "-"))
			continue;
		pages = atol(at + strlen(" reclaimable="));
		if (pages > most)
			most = pages;
	}
	if (f)
		fclose(f);
	return most;
}

FIXTURE_SETUP(cache)
{
	const char *needs = scene_needs(&self->s, variant->keyword,
					variant->lru_gen, false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (left_to_others(variant->keyword, variant->lru_gen, false))
		SCENE_SKIP(&self->s, LEFT_TO_OTHERS);
	if (variant->huge && !reserve_huge_pages(&self->s))
		SCENE_SKIP(&self->s, "needs huge pages of hugetlb");
}

TEST_F_TIMEOUT(cache, survives_a_kill, 300)
{
	struct pressure_options options = { .loop = variant->loop };
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_counters delta, after;
	long capacity, inside, left, of_cache, outside, reclaimable;

	PLUG(s, variant->keyword, CACHE_PLUG_MIB);
	START(grower, unmovable, NULL);
	capacity = pressure_capacity_pages() * PAGE_KIB;
	ASSERT_EQ(0,
		  pressure_grow(grower, percent(capacity, 70), 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	options.prefer = 1UL << hr_block_node(s->blocks[0]);
	START(&s->other, cache, percent(CACHE_PLUG_MIB, 90), &options);
	of_cache = s->other.mib * MIB_PAGES;
	inside = pressure_file_pages_in(s->blocks, s->nr);
	outside = of_cache > inside ? of_cache - inside : 0;
	TH_LOG("%ld of %ld pages of cache are in plugged memory", inside,
	       of_cache);
	ASSERT_GE(inside, percent(of_cache, 80));
	ASSERT_EQ(0, scene_trace(s, "oom/reclaim_retry_zone"));

	ASSERT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	pressure_counters(&after);
	left = pressure_file_pages_in(s->blocks, s->nr);
	pressure_delta(&grower->shared->start, &after, &delta);
	TH_LOG("%lu MiB of the kernel (%lu %%), decided in %lld ms: %s",
	       pressure_done(grower) / MIB_KIB,
	       pressure_done(grower) * 100 / capacity,
	       pressure_verdict_ms(grower),
	       pressure_described(&grower->shared->start, &after));
	TH_LOG("%ld of %ld pages of cache left", left, inside);
	/* A pipe of 1 MiB takes 16 KiB and a bit for itself. */
	EXPECT_GE(pressure_done(grower), percent(capacity, 95));
	EXPECT_GE(left, percent(inside, 95));
	EXPECT_LE(delta.v[PC_PGSTEAL], percent(inside, 5) + outside);
	EXPECT_LE(pressure_verdict_ms(grower), VERDICT_MS);
	reclaimable = seemed_reclaimable();
	TH_LOG("at most %ld pages seemed reclaimable", reclaimable);
	EXPECT_LE(0, reclaimable);
	EXPECT_LE(reclaimable, percent(inside, 25) + outside);
	if (!variant->loop)
		EXPECT_GE(pressure_resident(&s->other), percent(inside, 95));
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

/* ---- buffers ------------------------------------------------------------- */

SCENE(buffers);

FIXTURE_VARIANT(buffers)
{
	const char *lru_gen;
	bool dirty;
};

FIXTURE_VARIANT_ADD(buffers, lru) {
	.lru_gen = "n",
};

FIXTURE_VARIANT_ADD(buffers, lru_gen) {
	.lru_gen = "y",
};

/* So few that nobody has to write them yet, and the disk takes no memory for them. */
FIXTURE_VARIANT_ADD(buffers, dirty) {
	.lru_gen = "n",
	.dirty = true,
};

/* A ram disk that holds nothing, and that nobody else uses. */
#define BUFFERS "/dev/ram1"
#define BUFFERS_MIB 48UL
#define WRITEBACK "/proc/sys/vm/dirty_writeback_centisecs"

FIXTURE_SETUP(buffers)
{
	const char *needs = scene_needs(&self->s, "online_hotremove",
					variant->lru_gen, false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (left_to_others("online_hotremove", variant->lru_gen, false))
		SCENE_SKIP(&self->s, LEFT_TO_OTHERS);
}

/* MiB read, or written */
static unsigned long use_buffers(int fd, bool dirty)
{
	static char data[64 << 10];
	unsigned long bytes = 0;
	ssize_t n;

	while (bytes < BUFFERS_MIB * MIB_KIB * 1024) {
		n = dirty ? pwrite(fd, data, sizeof(data), bytes) :
			    pread(fd, data, sizeof(data), bytes);
		if (n <= 0)
			break;
		bytes += n;
	}
	return bytes / 1024 / MIB_KIB;
}

/* A disk of zeros that takes no memory; it goes with the scene. */
static int open_zram(struct scene *s)
{
	int zram = hr_zram_add(BUFFERS_MIB * MIB_KIB * 1024);
	char path[32];

	if (zram < 0)
		return zram;
	s->zram = 1 + zram;
	snprintf(path, sizeof(path), "/dev/zram%d", zram);
	return open(path, O_RDWR | O_CLOEXEC);
}

/*
 * What can be reclaimed and cannot be anywhere else: the buffers of a block device,
 * which were used twice, while what was used once is of no use to the kernel. They
 * go before anybody is killed, even if they have to be written first and nobody but
 * who needs the memory has a reason to begin with that.
 */
TEST_F_TIMEOUT(buffers, go_before_a_kill, 300)
{
	struct pressure_options options = {};
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	long capacity, before, after;
	int fd;

	PLUG(s, "online_hotremove", CACHE_PLUG_MIB);
	START(grower, unmovable, NULL);
	capacity = pressure_capacity_pages() * PAGE_KIB;
	ASSERT_EQ(0,
		  pressure_grow(grower, percent(capacity, 60), 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	options.prefer = 1UL << hr_block_node(s->blocks[0]);
	START(&s->other, cache, percent(CACHE_PLUG_MIB, 90), &options);
	if (variant->dirty)
		ASSERT_EQ(0, scene_set(s, WRITEBACK, "0"));
	fd = variant->dirty ? open_zram(s) :
			      open(BUFFERS, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "needs zram and " BUFFERS);
	before = hr_meminfo_kb("Buffers");
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(BUFFERS_MIB, use_buffers(fd, variant->dirty));
	before = hr_meminfo_kb("Buffers") - before;
	EXPECT_LT(BUFFERS_MIB * MIB_KIB / 2, before);
	if (variant->dirty)
		EXPECT_LT(BUFFERS_MIB * MIB_KIB / 2, hr_meminfo_kb("Dirty"));

	EXPECT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	after = hr_meminfo_kb("Buffers");
	TH_LOG("%lu MiB of the kernel (%lu %%), decided in %lld ms, %ld kB of buffers before, %ld after: %s",
	       pressure_done(grower) / MIB_KIB,
	       pressure_done(grower) * 100 / capacity,
	       pressure_verdict_ms(grower), before, after,
	       pressure_described(&grower->shared->start,
				  &grower->shared->last));
	/* In each zone less than there is between its marks may stay. */
	EXPECT_GE(percent(before, 25), after);
	EXPECT_LE(percent(capacity, 90), pressure_done(grower));
	EXPECT_LE(pressure_verdict_ms(grower), VERDICT_MS);
	close(fd);
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

/* ---- protected ------------------------------------------------------------ */

SCENE(protected);

/*
 * Names that do not exist, each remembered by a dentry of 192 bytes, as sysfs keeps
 * these.
 */
#define NAMES 250000
#define NAMES_LOW "1G"

FIXTURE_SETUP(protected)
{
	const char *needs =
		scene_needs(&self->s, "online_hotremove", NULL, false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (scene_cgroup(&self->s, "memory") ||
	    hr_write_file(SCENE_CGROUP "/memory.low", NAMES_LOW))
		SCENE_SKIP(&self->s, "needs CONFIG_MEMCG");
}

/* In the cgroup. Returns 0 or -errno. */
static int look_for_names(void)
{
	pid_t pid = fork();
	int status, i;

	if (pid < 0)
		return -errno;
	if (!pid) {
		char name[64];

		if (hr_write_file(SCENE_CGROUP "/cgroup.procs", "0"))
			_exit(1);
		for (i = 0; i < NAMES; i++) {
			snprintf(name, sizeof(name),
				 "/sys/kernel/no-such-name-%d", i);
			if (!access(name, F_OK))
				_exit(1);
		}
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return -ECHILD;
	return 0;
}

/*
 * Slab of a group within memory.low goes before anybody is killed, though there is
 * page cache of nobody's that could be reclaimed, and is of no use.
 */
TEST_F_TIMEOUT(protected, slab_goes_before_a_kill, 300)
{
	struct pressure_options options = {};
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	long capacity, before, after;

	PLUG(s, "online_hotremove", CACHE_PLUG_MIB);
	before = hr_meminfo_kb("SReclaimable");
	ASSERT_EQ(0, look_for_names());
	before = hr_meminfo_kb("SReclaimable") - before;
	ASSERT_LT(NAMES * 150L / 1024, before);
	START(grower, unmovable, NULL);
	capacity = pressure_capacity_pages() * PAGE_KIB;
	options.prefer = 1UL << hr_block_node(s->blocks[0]);
	START(&s->other, cache, percent(CACHE_PLUG_MIB, 95), &options);

	ASSERT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	after = hr_meminfo_kb("SReclaimable");
	TH_LOG("%lu MiB of the kernel (%lu %%), decided in %lld ms, %ld kB of names before, %ld kB of slab after: %s",
	       pressure_done(grower) / MIB_KIB,
	       pressure_done(grower) * 100 / capacity,
	       pressure_verdict_ms(grower), before, after,
	       pressure_described(&grower->shared->start,
				  &grower->shared->last));
	EXPECT_GE(percent(before, 25), after);
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

/* ---- full ---------------------------------------------------------------- */

SCENE(full);

FIXTURE_VARIANT(full)
{
	const char *keyword;
	const char *lru_gen;
	bool swap;
	const char *release; /* reclaim is to come before that */
};

FIXTURE_VARIANT_ADD(full, hotremove) {
	.keyword = "online_hotremove",
	.lru_gen = "n",
};

FIXTURE_VARIANT_ADD(full, release) {
	.keyword = "online_hotremove",
	.lru_gen = "n",
	.release = "1",
};

FIXTURE_VARIANT_ADD(full, lru_gen) {
	.keyword = "online_hotremove",
	.lru_gen = "y",
};

FIXTURE_VARIANT_ADD(full, movable) {
	.keyword = "online_movable",
	.lru_gen = "n",
};

FIXTURE_VARIANT_ADD(full, swap) {
	.keyword = "online_hotremove",
	.lru_gen = "n",
	.swap = true,
};

#define FULL_PLUG_MIB 256UL

FIXTURE_SETUP(full)
{
	const char *needs = scene_needs(&self->s, variant->keyword,
					variant->lru_gen, variant->swap);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (left_to_others(variant->keyword, variant->lru_gen, variant->swap))
		SCENE_SKIP(&self->s, LEFT_TO_OTHERS);
	if (variant->release && (access(SCENE_RELEASE, W_OK) ||
				 scene_release(&self->s, variant->release)))
		SCENE_SKIP(&self->s, "needs a kernel that releases");
}

TEST_F_TIMEOUT(full, makes_room_by_reclaim, 300)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_counters delta;
	long capacity, total, want, needed;

	/*
	 * As in a machine of 3328 MB: 1400 anon, 1200 cache, 1500 kernel. The
	 * root file system has to find a place as well.
	 */
	capacity = pressure_capacity_pages() / MIB_PAGES;
	total = capacity + FULL_PLUG_MIB;
	START(&s->anon, anon, percent(total, 43), NULL);
	PLUG(s, variant->keyword, FULL_PLUG_MIB);
	START(&s->other, cache, percent(total, 37), NULL);
	want = percent(total, 45);
	START(grower, unmovable, NULL);
	ASSERT_EQ(0, pressure_grow(grower, want * MIB_KIB, 0, GROW_SECONDS))
	TH_LOG("%lu of %lu MiB, then %s; %lld MiB free: %s",
	       pressure_done(grower) / MIB_KIB, want,
	       grower->killed ? "killed" : pressure_why(grower),
	       grower->shared->last.v[PC_FREE] / MIB_PAGES,
	       pressure_described(&grower->shared->start,
				  &grower->shared->last));
	pressure_delta(&grower->shared->start, &grower->shared->last, &delta);
	/* What was free at the start need not be reclaimed, if it may be used. */
	needed = want * MIB_PAGES + want * MIB_PAGES / 64 -
		 grower->shared->start.v[PC_FREE] +
		 pressure_watermark_pages("high");
	TH_LOG("%lld pages reclaimed, %ld needed: %s", delta.v[PC_PGSTEAL],
	       needed,
	       pressure_described(&grower->shared->start,
				  &grower->shared->last));
	ASSERT_LT(0, needed);
	EXPECT_GE(0, delta.v[PC_RELEASE]);
	/*
	 * Swap is at hand before another node is, and of two nodes the kswapd
	 * of each makes room: 82 to 86 % were needed at times, 64 with swap.
	 */
	EXPECT_LE(percent(delta.v[PC_PGSTEAL], !several_nodes() ? 85 :
					       variant->swap	? 60 :
								  75),
		  needed);
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

/* ---- ratio ---------------------------------------------------------------- */

#define PLUG_SECONDS 60

FIXTURE(ratio)
{
	struct scene s;
	char auto_online[32];
	bool plugged;
};

FIXTURE_VARIANT(ratio)
{
	const char *keyword;
	unsigned int times; /* plugged memory, in ordinary memory */
};

FIXTURE_VARIANT_ADD(ratio, hotremove_1) {
	.keyword = "online_hotremove",
	.times = 1,
};

FIXTURE_VARIANT_ADD(ratio, hotremove_2) {
	.keyword = "online_hotremove",
	.times = 2,
};

FIXTURE_VARIANT_ADD(ratio, hotremove_4) {
	.keyword = "online_hotremove",
	.times = 4,
};

FIXTURE_VARIANT_ADD(ratio, movable_4) {
	.keyword = "online_movable",
	.times = 4,
};

FIXTURE_SETUP(ratio)
{
	const char *needs =
		scene_needs(&self->s, variant->keyword, NULL, false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (!hr_qmp_available() || hr_vmem_size_mib("vm0"))
		SCENE_SKIP(&self->s, "needs an empty virtio-mem device vm0");
}

FIXTURE_TEARDOWN(ratio)
{
	scene_end(&self->s);
	if (self->plugged)
		EXPECT_EQ(0, hr_vmem_resize("vm0", 0, PLUG_SECONDS));
	if (self->auto_online[0])
		hr_write_file(AUTO_ONLINE, self->auto_online);
}

/* Everything is full of user memory when the kernel begins to want its half. */
TEST_F_TIMEOUT(ratio, half_is_for_the_kernel, 600)
{
	unsigned long ordinary = hr_meminfo_kb("MemTotal") / MIB_KIB;
	unsigned long block = hr_block_bytes() >> 20, plug, want;
	struct scene *s = &self->s;
	struct pressure *files = &s->grower;
	struct pressure_counters full;
	long bytes;
	int ret;

	plug = (ordinary * variant->times + block - 1) / block * block;
	START(&s->anon, anon, percent(ordinary, 40), NULL);
	/* The driver stops at 1 GiB that is offline: online it as it comes. */
	ASSERT_LT(0, hr_read_file(AUTO_ONLINE, self->auto_online,
				  sizeof(self->auto_online)));
	ASSERT_EQ(0, hr_write_file(AUTO_ONLINE, variant->keyword));
	ret = hr_vmem_resize("vm0", plug, PLUG_SECONDS);
	self->plugged = true;
	if (ret == -EIO)
		SKIP(return, "needs %lu MiB to plug", plug);
	ASSERT_EQ(0, ret);
	START(files, files, NULL);
	bytes = make_sample(files);
	ASSERT_LT(0, bytes)
	TH_LOG("%lu files, %s", pressure_done(files), pressure_why(files));
	pressure_counters(&full);
	START(&s->other, cache, percent(full.v[PC_FREE] / MIB_PAGES, 95), NULL);
	pressure_counters(&full);

	want = percent(ordinary, 50) * MIB_KIB * 1024 / bytes;
	ASSERT_EQ(0, pressure_grow(files, want, 0, GROW_SECONDS))
	TH_LOG("%lu MiB plugged to %lu: %lu of %lu files, then %s: %s", plug,
	       ordinary, pressure_done(files), want,
	       files->killed ? "killed" : pressure_why(files),
	       pressure_described(&full, &files->shared->last));
	TH_LOG("%lu MiB plugged to %lu: %lu files: %s", plug, ordinary, want,
	       pressure_described(&full, &files->shared->last));
	EXPECT_REST();
	/* How far it goes depends on what plugged memory takes to be managed. */
	EXPECT_EQ(1, pressure_grow(files, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(files));
	TH_LOG("killed with %lu %% of ordinary memory, decided in %lld ms",
	       pressure_done(files) * bytes / 1024 / MIB_KIB * 100 / ordinary,
	       pressure_verdict_ms(files));
	EXPECT_LE(pressure_verdict_ms(files), VERDICT_MS);
	pressure_stop(&s->other);
	EXPECT_EQ(0, hr_vmem_resize("vm0", 0, PLUG_SECONDS));
	ALL_COMES_BACK(s);
}

/* ---- usable --------------------------------------------------------------- */

SCENE(usable);

#define USABLE_PLUG_MIB 256UL

FIXTURE_SETUP(usable)
{
	const char *needs =
		scene_needs(&self->s, "online_hotremove", "n", false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (several_nodes())
		SCENE_SKIP(&self->s,
			   "needs one node: its reserves, its kswapd");
	/* What is free in several zones does not add up to their watermarks. */
	if (hr_zoneinfo(-1, "Normal", "managed") > 0)
		SCENE_SKIP(&self->s, "needs ordinary memory in one zone");
	/* ZONE_DMA is small, and for everybody now. */
	ASSERT_EQ(0, scene_set(&self->s, "/proc/sys/vm/lowmem_reserve_ratio",
			       "0 0 0 0"));
	/* And per-CPU lists do not take all of it at once. */
	ASSERT_EQ(0, scene_set(&self->s,
			       "/proc/sys/vm/percpu_pagelist_high_fraction",
			       "10000"));
}

/* Has kswapd given up, on any node? */
static bool given_up(void)
{
	return hr_zoneinfo(-1, NULL, "node_unreclaimable:") > 0;
}

/* Grow until so much ordinary memory is free and stays so; 0 or an error. */
static int grow_until_free(struct pressure *p, long pages)
{
	struct pressure_counters now;
	unsigned long want;
	long over;
	int ret = 0, quiet = 0;

	while (!ret && quiet < 2) {
		pressure_counters(&now);
		over = now.v[PC_FREE_ORDINARY] - pages;
		if (over <= 0) {
			/* Does somebody make more of it? */
			poll(NULL, 0, 200);
			quiet++;
			continue;
		}
		quiet = 0;
		/* What it takes to have a page is not in it. */
		want = pressure_done(p) + over * PAGE_KIB * 3 / 4 + 1;
		ret = pressure_grow(p, want, 0, GROW_SECONDS);
	}
	return ret;
}

/* Each request below the low watermarks wakes kswapd. */
#define WAKES 300
#define WAKE_PAUSE_MS 50
/* Two steps of a grower, so that none of them gets below the min watermarks. */
#define WAKE_MARGIN 32

/* A page of the kernel's, asked for and given back; 0 or an error. */
static int touch_pipe(void)
{
	int fds[2], ret = 0;

	if (pipe(fds))
		return -errno;
	if (write(fds[1], "", 1) != 1)
		ret = -errno;
	close(fds[0]);
	close(fds[1]);
	return ret;
}

/*
 * 16 runs of kswapd in vain are enough. Other zones than the one that is short
 * may have a few pages above their marks, so take these first.
 */
static int wake_until_given_up(struct pressure *p)
{
	long enough = pressure_watermark_pages("min") + WAKE_MARGIN;
	struct pressure_counters now;
	int wakes, ret;

	for (wakes = 0; wakes < WAKES && !given_up(); wakes++) {
		pressure_counters(&now);
		if (now.v[PC_FREE_ORDINARY] > enough)
			ret = pressure_grow(p, pressure_done(p) + 1, 0,
					    GROW_SECONDS);
		else
			ret = touch_pipe();
		if (ret)
			return ret;
		poll(NULL, 0, WAKE_PAUSE_MS);
	}
	return given_up() ? 0 : -ETIMEDOUT;
}

/*
 * Ordinary memory is short, and holds nothing that could be moved or reclaimed:
 * page cache elsewhere is no reason for kswapd to go on. It comes back to work
 * when there is something to do again.
 */
TEST_F_TIMEOUT(usable, kswapd_gives_up_and_comes_back, 300)
{
	struct scene *s = &self->s;
	struct pressure_counters delta;
	unsigned long want;

	PLUG(s, "online_hotremove", USABLE_PLUG_MIB);
	START(&s->other, cache, percent(USABLE_PLUG_MIB, 60), NULL);
	START(&s->grower, unmovable, NULL);
	ASSERT_EQ(0, grow_until_free(&s->grower,
				     pressure_watermark_pages("low") - 32))
	TH_LOG("%s", pressure_why(&s->grower));
	ASSERT_EQ(0, wake_until_given_up(&s->grower))
	TH_LOG("%s", pressure_why(&s->grower));
	EXPECT_REST();
	pressure_stop(&s->grower);

	START(&s->anon, anon, scene_anon_mib(50, USABLE_PLUG_MIB), NULL);
	START(&s->grower, unmovable, NULL);
	want = percent(pressure_capacity_pages(), 90);
	ASSERT_EQ(0,
		  pressure_grow(&s->grower, want * PAGE_KIB, 0, GROW_SECONDS));
	pressure_delta(&s->grower.shared->start, &s->grower.shared->last,
		       &delta);
	TH_LOG("%s", pressure_described(&s->grower.shared->start,
					&s->grower.shared->last));
	EXPECT_FALSE(given_up());
	EXPECT_LT(0, delta.v[PC_KSWAPD_MS]);
	EXPECT_REST();
	ALL_COMES_BACK(s);
}

/* ---- throttle ------------------------------------------------------------- */

SCENE(throttle);

#define THROTTLE_PLUG_MIB 256UL
#define THROTTLE_CACHE_MIB 128UL
#define THROTTLE_FREE_MIB 40UL
#define MIN_FREE "/proc/sys/vm/min_free_kbytes"

FIXTURE_SETUP(throttle)
{
	const char *needs =
		scene_needs(&self->s, "online_hotremove", "n", false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (several_nodes())
		SCENE_SKIP(&self->s,
			   "needs one node: its reserves, its kswapd");
	if (hr_zoneinfo(-1, "Normal", "managed") > 0)
		SCENE_SKIP(&self->s, "needs ordinary memory in one zone");
	/* What is free in ZONE_DMA is for nobody here. */
	ASSERT_EQ(0, scene_set(&self->s, "/proc/sys/vm/lowmem_reserve_ratio",
			       "1 256 32 0"));
}

static long dma_free(void)
{
	long pages = hr_zoneinfo(-1, "DMA", "nr_free_pages");

	return pages > 0 ? pages : 0;
}

/*
 * Reserves are made three times what is free of ordinary memory; of other memory
 * there is more free than all of them.
 */
TEST_F_TIMEOUT(throttle, by_what_is_usable, 300)
{
	struct scene *s = &self->s;
	struct pressure_counters from, to, delta;
	char was[32], reserve[32];
	long held, free;

	ASSERT_LT(0, hr_read_file(MIN_FREE, was, sizeof(was)));
	START(&s->other, cache, THROTTLE_CACHE_MIB, NULL);
	pressure_counters(&from);
	held = pressure_capacity_pages() - from.v[PC_FREE_ORDINARY] +
	       dma_free();
	ASSERT_EQ(0, scene_ballast(s, held / MIB_PAGES + THROTTLE_FREE_MIB))
	TH_LOG("%s", pressure_why(&s->ballast));
	PLUG(s, "online_hotremove", THROTTLE_PLUG_MIB);
	START(&s->grower, unmovable, NULL);
	pressure_counters(&from);
	free = from.v[PC_FREE_ORDINARY];
	TH_LOG("%ld MiB of ordinary memory free, %lld of other",
	       free / MIB_PAGES, from.v[PC_FREE_HOTREMOVE] / MIB_PAGES);
	/* As much as is to be kept free is free, but of no use. */
	ASSERT_LT(3 * free, from.v[PC_FREE_HOTREMOVE]);
	snprintf(reserve, sizeof(reserve), "%lu", free * PAGE_KIB * 3);
	ASSERT_EQ(0, scene_set(s, MIN_FREE, reserve));
	TH_LOG("%s kB to be kept free, %ld pages", reserve,
	       pressure_watermark_pages("min"));
	ASSERT_EQ(0, pressure_grow(&s->grower, MIB_KIB, 0, GROW_SECONDS))
	TH_LOG("%s", s->grower.killed ? "killed" : pressure_why(&s->grower));
	pressure_counters(&to);
	EXPECT_EQ(0, hr_write_file(MIN_FREE, was));

	pressure_delta(&from, &to, &delta);
	TH_LOG("%lld MiB of ordinary memory free then: %s",
	       to.v[PC_FREE_ORDINARY] / MIB_PAGES,
	       pressure_described(&from, &to));
	EXPECT_LT(0, delta.v[PC_THROTTLED]);
	EXPECT_LT(0, delta.v[PC_EVACUATE_MIGRATED]);
	EXPECT_LT(from.v[PC_FREE_ORDINARY], to.v[PC_FREE_ORDINARY]);
	EXPECT_EQ(0, delta.v[PC_OOM_KILL]);
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

/* ---- nodes ---------------------------------------------------------------- */

SCENE(nodes);

FIXTURE_VARIANT(nodes)
{
	const char *keyword;
	bool cpuset; /* else a memory policy */
	bool cache; /* that nobody maps; else anonymous memory is bound */
};

FIXTURE_VARIANT_ADD(nodes, policy) {
	.keyword = "online_hotremove",
};

FIXTURE_VARIANT_ADD(nodes, cpuset) {
	.keyword = "online_hotremove",
	.cpuset = true,
};

FIXTURE_VARIANT_ADD(nodes, cpuset_cache) {
	.keyword = "online_hotremove",
	.cpuset = true,
	.cache = true,
};

FIXTURE_VARIANT_ADD(nodes, movable) {
	.keyword = "online_movable",
};

#define NODES_PLUG_MIB 768UL
/* Bound to the node of the kernel's memory. */
#define BOUND_MIB 64UL
#define BOUND_PLUG_MIB 256UL

FIXTURE_SETUP(nodes)
{
	const char *needs =
		scene_needs(&self->s, variant->keyword, NULL, false);

	if (needs)
		SCENE_SKIP(&self->s, "%s", needs);
	if (!several_nodes())
		SCENE_SKIP(&self->s, "needs a second node");
	if (variant->cpuset) {
		if (scene_cgroup(&self->s, "cpuset"))
			SCENE_SKIP(&self->s, "needs CONFIG_CPUSETS");
		ASSERT_EQ(0, hr_write_file(SCENE_CGROUP "/cpuset.mems", "0"));
	}
}

TEST_F_TIMEOUT(nodes, what_is_bound_stays, 600)
{
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct pressure_options bound = {
		.nodes = variant->cpuset ? 0 : 1,
		.cgroup = variant->cpuset ? SCENE_CGROUP : NULL,
	};
	unsigned long capacity;

	if (!variant->cache)
		START(&s->other, anon, BOUND_MIB, &bound);
	/* All of it, and what else went to the other node, is to fit here again. */
	START(&s->anon, anon, scene_anon_mib(75, NODES_PLUG_MIB) - BOUND_MIB,
	      NULL);
	PLUG(s, variant->keyword, NODES_PLUG_MIB);
	if (!hr_block_node(s->blocks[0]))
		SKIP(return, "needs memory on the second node");
	START(grower, unmovable, NULL);
	capacity = pressure_capacity_pages() * PAGE_KIB - BOUND_MIB * MIB_KIB;
	if (variant->cache) {
		/* Only when others have been moved comes that before reclaim. */
		ASSERT_EQ(0, pressure_grow(grower, percent(capacity, 60), 0,
					   GROW_SECONDS));
		EXPECT_LT(0, grower->shared->last.v[PC_EVACUATE_CROSS_NODE]);
		START(&s->other, cache, BOUND_MIB, &bound);
	}
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
	EXPECT_LE(pressure_verdict_ms(grower), VERDICT_MS);
	EXPECT_EQ(0, pressure_outside(&s->other, 1))
	TH_LOG("bound pages are on another node");
	EXPECT_LT(0, pressure_outside(&s->anon, 1));
	EXPECT_REST();
	ALL_COMES_BACK(s);
}

/*
 * The kernel's own memory for a task that is bound to such a node cannot come
 * from there: as with a node of ZONE_MOVABLE, the policy is for user memory.
 */
TEST_F(nodes, kernel_memory_of_the_bound)
{
	struct pressure_options bound = { .nodes = 2 };
	struct scene *s = &self->s;

	if (variant->cpuset)
		SKIP(return, "a cpuset binds the kernel's memory as well");
	PLUG(s, variant->keyword, NODES_PLUG_MIB);
	if (!scene_on_other_node(s))
		SKIP(return, "needs memory on the second node");
	START(&s->grower, files, &bound);
	EXPECT_EQ(0, pressure_grow(&s->grower, SAMPLE_FILES, 0, GROW_SECONDS))
	TH_LOG("%lu of %lu files, then %s", pressure_done(&s->grower),
	       SAMPLE_FILES,
	       s->grower.killed ? "killed" : pressure_why(&s->grower));
}

/*
 * Who is bound to such a node and reads more than it has makes room there: that
 * the kernel can take nothing from the node is no reason to wait for reserves.
 */
TEST_F_TIMEOUT(nodes, the_bound_reclaim_their_node, 300)
{
	struct pressure_options bound = { .nodes = 2 };
	struct scene *s = &self->s;
	struct pressure_counters from, to, delta;

	if (variant->cpuset)
		SKIP(return, "a cpuset binds the kernel's memory as well");
	PLUG(s, variant->keyword, BOUND_PLUG_MIB);
	if (!scene_on_other_node(s))
		SKIP(return, "needs memory on the second node");
	pressure_counters(&from);
	START(&s->other, cache, BOUND_PLUG_MIB * 3 / 2, &bound);
	pressure_counters(&to);
	pressure_delta(&from, &to, &delta);
	TH_LOG("%ld of %lu MiB in memory: %s",
	       pressure_resident(&s->other) / MIB_PAGES, s->other.mib,
	       pressure_described(&from, &to));
	/* Not elsewhere instead. */
	EXPECT_GE(BOUND_PLUG_MIB * MIB_PAGES, pressure_resident(&s->other));
	EXPECT_LT(0, delta.v[PC_PGSTEAL]);
	EXPECT_EQ(0, delta.v[PC_THROTTLED]);
	EXPECT_EQ(0, delta.v[PC_OOM_KILL]);
	EXPECT_REST();
	pressure_stop(&s->other);
	ALL_COMES_BACK(s);
}

HR_HARNESS_MAIN
