/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Workloads that put kernel memory against user memory: holders, which have
 * user memory and keep it, and growers, which allocate unmovable kernel memory
 * until they are told to stop or killed for it.
 *
 *	struct pressure anon, files;
 *
 *	pressure_anon(&anon, 330, NULL);
 *	pressure_files(&files, NULL);
 *	ret = pressure_grow(&files, 600000, 0, 120);	1: killed
 *	... pressure_done(&files), files.shared->last, pressure_verdict_ms(&files)
 *	pressure_stop(&files);
 *	corrupt = pressure_check(&anon);
 *	pressure_stop(&anon);
 *
 * Each is a child process and all it holds goes with it. A grower is the first
 * choice of the OOM killer and everybody else its last, so that there are two
 * outcomes: all was allocated, or the grower died of SIGKILL.
 *
 * The caller should be quiet while a grower grows: what it allocates itself may
 * stall and is counted, too. That is why the grower takes the snapshots.
 */
#ifndef PRESSURE_H
#define PRESSURE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What the kernel's log calls a grower. */
#define PRESSURE_GROWER "hr-grower"

/* ---- what the kernel counts ------------------------------------------ */

/* -1 in a snapshot or a difference: this kernel has no such counter. */
enum pressure_counter {
	PC_NS, /* CLOCK_MONOTONIC */
	PC_ALLOCSTALL, /* calls of direct reclaim, all zones */
	PC_PGSCAN, /* pages, by kswapd and direct reclaim */
	PC_PGSTEAL,
	PC_PGSTEAL_KSWAPD,
	PC_PGSTEAL_DIRECT,
	PC_PGSTEAL_UNUSABLE,
	PC_THROTTLED, /* who was kept waiting for kswapd before reclaim */
	PC_SLABS_SCANNED,
	PC_PSWPOUT,
	PC_OOM_KILL,
	PC_MIGRATED, /* pgmigrate_success: whoever moved it */
	PC_COMPACT_STALL,
	PC_EVACUATE_STALL,
	PC_EVACUATE_BLOCKS,
	PC_EVACUATE_ISOLATED,
	PC_EVACUATE_MIGRATED,
	PC_EVACUATE_FAILED,
	PC_EVACUATE_CROSS_NODE,
	PC_RELEASE, /* hotremove_release and _rearm: pageblocks */
	PC_REARM,
	PC_REFAULT, /* workingset_refault_anon and _file */
	PC_KSWAPD_RUNS, /* pageoutrun */
	PC_KSWAPD_MS, /* CPU time of all kswapds, in steps of 10 ms */
	PC_FREE, /* pages, from here on: levels, not events */
	PC_FREE_ORDINARY, /* free pages that a kernel request may use */
	PC_FREE_CMA,
	PC_FREE_HOTREMOVE,
	PC_RELEASED, /* pages: what is ordinary memory instead of killing */
	PC_SLAB, /* reclaimable and not */
	PC_FILE, /* nr_file_pages */
	PC_ANON,
	PC_NR
};

struct pressure_counters {
	long long v[PC_NR];
};

/* "evacuate_stall" and so on, for output. */
const char *pressure_counter_name(enum pressure_counter counter);
void pressure_counters(struct pressure_counters *now);
/* Differences of everything, levels included. */
void pressure_delta(const struct pressure_counters *from,
		    const struct pressure_counters *to,
		    struct pressure_counters *delta);
/* Direct reclaim and direct evacuation: how often an allocation had to wait. */
long long pressure_stalls(const struct pressure_counters *delta);
/* "allocstall 3, pgsteal 17, ...": what is neither 0 nor -1. */
void pressure_describe(const struct pressure_counters *delta, char *buf,
		       size_t len);

/* ---- workloads ---------------------------------------------------------- */

struct pressure_options {
	bool thp; /* anon: huge pages as far as there are any; else none */
	bool mlock; /* anon */
	bool holes; /* anon, unmovable: when all is there each second page goes */
	bool loop; /* cache: a reader that goes on reading it all */
	const char *cgroup; /* directory of the cgroup to be in, may be NULL */
	bool nobody; /* grower: without any privilege once it is there */
	unsigned long nodes; /* mask of nodes to bind all memory to, 0: none */
	unsigned long prefer; /* the same, but not strictly */
	unsigned long snapshot; /* grower: units between snapshots, 0: default */
	unsigned int patience; /* grower: seconds without a unit, 0: any number */
};

/* Written by the child, read by everybody. */
struct pressure_shared {
	unsigned long done; /* units: KiB or files; holders: see below */
	long long last_ns; /* when the last unit was done */
	struct pressure_counters start; /* when the first unit began */
	struct pressure_counters at_mark; /* v[PC_NS] is 0 until then */
	struct pressure_counters last; /* the newest snapshot */
	struct pressure_counters slot[2];
	unsigned int newest;
	char why[120];
};

struct pressure {
	const struct pressure_type *type;
	struct pressure_options options;
	size_t mib; /* holders */
	struct pressure_shared *shared;
	pid_t pid; /* 0: not running */
	int to_child, from_child;
	bool killed;
	long long death_ns;
	/* Only the child's copies of these mean anything. */
	unsigned char *mem;
	int fd, root;
};

/*
 * Start a holder and return when it has its memory. 0 or -errno; after an error
 * nothing is left to stop, pressure_why() says more. options may be NULL.
 */
int pressure_anon(struct pressure *p, size_t mib,
		  const struct pressure_options *options);
/*
 * Movable memory comes from where more is free. Hold ordinary memory so that no more
 * than that is left of it: what is onlined as hot-removable afterwards is used first.
 */
int pressure_leave(struct pressure *p, size_t mib);
/*
 * Clean page cache, read from a sparse file of ext4 on /dev/ram0, one such
 * holder at a time; shared->done counts the MiB its reader has read.
 */
int pressure_cache(struct pressure *p, size_t mib,
		   const struct pressure_options *options);
/* A file of tmpfs of that size: movable, and reclaimable only with swap. */
int pressure_tmpfs(struct pressure *p, size_t mib,
		   const struct pressure_options *options);

/* Start a grower, which then waits. */
typedef int pressure_start(struct pressure *p,
			   const struct pressure_options *options);

/* Pipes, counted in KiB. */
int pressure_unmovable(struct pressure *p,
		       const struct pressure_options *options);
/* The same in pieces of 32 KiB. */
int pressure_rings(struct pressure *p, const struct pressure_options *options);
/* Empty files in a ramfs of its own, counted by the file. */
int pressure_files(struct pressure *p, const struct pressure_options *options);
/*
 * Pages of ram disks, asked for with GFP_NOIO, counted in KiB: at most 960 MiB.
 * The OOM killer is not for such requests: without memory they wait for ever.
 */
int pressure_noio(struct pressure *p, const struct pressure_options *options);
/*
 * Inodes of ext4, which asks for them with GFP_NOFS, of files that are open and
 * have no name: counted by the file, each of which takes more than a KiB.
 */
int pressure_nofs(struct pressure *p, const struct pressure_options *options);
/*
 * Let it grow until it has done `target` units in all. When it has done `mark`
 * of them (0: never) it fills shared->at_mark. Returns 0 when there, 1 if it
 * was killed by the OOM killer, 2 if it has done nothing for as long as
 * options.patience says, -ETIMEDOUT, or why it could not go on. After 2 it may
 * need a page before it can die, and pressure_stop() waits until there is one.
 */
int pressure_grow(struct pressure *p, unsigned long target, unsigned long mark,
		  unsigned int seconds);
/* The same in two steps, for several growers at a time: begin says 0 or -errno. */
int pressure_grow_begin(struct pressure *p, unsigned long target,
			unsigned long mark);
int pressure_grow_end(struct pressure *p, unsigned int seconds);
unsigned long pressure_done(const struct pressure *p);
/* From the last unit done to the kill. */
long long pressure_verdict_ms(const struct pressure *p);
const char *pressure_why(const struct pressure *p);

/* Bytes of a holder that are wrong, or -errno. A cache is all zeroes. */
long pressure_check(struct pressure *p);
/* Pages of a holder that are in memory now. */
long pressure_resident(struct pressure *p);
/* Pages of a holder (not of a cache) that lie outside of `nodes`, a mask. */
long pressure_outside(struct pressure *p, unsigned long nodes);
/* End it; when this returns its memory is free. Harmless twice. */
void pressure_stop(struct pressure *p);

/*
 * Let workqueues have as many workers as they will need: one that is started when
 * memory is short has its stack, for good, in what the kernel was just lent.
 */
void pressure_warm_workers(void);

/* ---- where memory is ------------------------------------------------- */

/*
 * Pages of clean or dirty page cache (on the LRU, not swap-backed) in these
 * memory blocks: what of it lies in movable-only memory.
 */
long pressure_file_pages_in(const int *blocks, int nr);
/*
 * Pages that kernel requests could have in all if every movable page left
 * ordinary memory, down to the min watermark: managed pages of the zones that
 * kernel requests may use, less hot-removable and CMA ones, less those in use
 * by something unmovable now (the memmap of what is plugged included), less the
 * min watermarks.
 */
long pressure_capacity_pages(void);
/* Of all nodes: watermark "min", "low", "high" of zones with ordinary memory. */
long pressure_watermark_pages(const char *name);

/* ---- scenes: what the tests share --------------------------------------- */

#define MIB_KIB 1024UL

/* Without hardware acceleration, 500,000 files take 30 s. */
#define GROW_SECONDS 240

/* Far above what there is memory for. */
#define NO_END 100000000UL

/*
 * Deciding on a kill takes 10 to 150 ms in an idle machine without plugged memory.
 * A busy host makes that much longer, but does not make it a livelock.
 */
#define VERDICT_MS 10000

#define SCENE_BLOCKS 16
#define SCENE_KNOBS 6
#define SCENE_SPARES 2
/* An instance of its own: the traces of others stay as they are. */
#define SCENE_TRACE "/sys/kernel/tracing/instances/hr-scene"
#define SCENE_CGROUP "/sys/fs/cgroup/hr-scene"

/* Zeroed at first; scene_end() undoes all of it, in any state. */
struct scene {
	int blocks[SCENE_BLOCKS], nr;
	struct pressure anon, other, grower, ballast;
	struct {
		const char *file;
		char was[32];
	} set[SCENE_KNOBS];
	int nr_set;
	int zram; /* number + 1 */
	bool cgroup, trace;
	bool may_stay; /* a block, if the kernel has something in it */
	pid_t spare[SCENE_SPARES];
};

/* Who may be killed for others while a victim is on its way; scene_take() has them. */
void scene_spares(struct scene *s);

/*
 * What a kernel may release instead of killing: "0" in each scene, so that there
 * is a kill when nothing can be evacuated or reclaimed, unless a test says
 * otherwise by scene_release(). 0, also on a kernel that does not release, or
 * -errno.
 */
#define SCENE_RELEASE "/proc/sys/vm/hotremove_release"
int scene_release(struct scene *s, const char *policy);
/*
 * Memory will be onlined by this keyword, lru_gen is to be "y", "n" or as it is
 * (NULL), and there is to be swap. Returns what this kernel needs for that, or
 * NULL.
 */
const char *scene_needs(struct scene *s, const char *keyword,
			const char *lru_gen, bool swap);
/* Write to a file of /proc/sys or /sys until the end. */
int scene_set(struct scene *s, const char *file, const char *value);
/* SCENE_CGROUP, with that controller. */
int scene_cgroup(struct scene *s, const char *controller);
/* SCENE_TRACE "/trace" is to have what happens there from now on: "oom/...". */
int scene_trace(struct scene *s, const char *event);
/* Its limit, its usage (rounded up), and how often the limit was met. */
int scene_cgroup_max(unsigned long mib);
unsigned long scene_cgroup_mib(void);
/* "max 3 oom 1", in a static buffer. */
const char *scene_cgroup_limits(void);
/* Is there that much to plug? For those who do it late. */
bool scene_can_plug(unsigned long mib);
/* Take so much that is offline; false if it is less. */
bool scene_take(struct scene *s, unsigned long mib);
/* Online what was taken. */
int scene_online(struct scene *s, const char *keyword);
/*
 * Kernel memory until only so much could be had: what is left is as small in a
 * large machine as in a small one. 0, 1 or -errno, as from pressure_grow().
 */
int scene_ballast(struct scene *s, unsigned long leave_mib);
/*
 * The same, and then half of it is given back in single pages: much is free, but
 * in pieces between which nothing can be moved.
 */
int scene_pieces(struct scene *s, unsigned long leave_mib);
/*
 * Memory of another node is the last step before a kill, by intention: what lies
 * here and is cheap to reclaim goes first, and nobody works ahead.
 */
bool scene_on_other_node(const struct scene *s);
/* So many percent of ordinary memory, if they fit into what is to be plugged. */
unsigned long scene_anon_mib(unsigned int of_ordinary, unsigned long plug_mib);
/*
 * After a scenario nobody is at work any more: kswapd sleeps, and nothing is
 * evacuated or reclaimed, for a second that begins a second later or, on a busy
 * host, some more. "", or what goes on all the time, in a static buffer. How long
 * it takes in virtual time is for make bench.
 */
const char *scene_unrest(void);
/*
 * What was released comes back once who has it is gone: pages that are still
 * released when there are none or the time is over. Nearly all of it comes back
 * by itself (*by_itself: what did not, may be NULL); empty slabs and unused
 * dentries keep the rest until they are told to go, which is done then. To be
 * called once before anything is released as well: it takes memory at first.
 */
#define ARM_SECONDS 90
long scene_wait_armed(unsigned int seconds, long *by_itself);
/* Give back what nobody uses but the slab allocator and the caches keep. */
void scene_shrink_slabs(void);
void scene_end(struct scene *s);

/* Differences as text, in a static buffer. */
const char *pressure_described(const struct pressure_counters *from,
			       const struct pressure_counters *to);

static inline unsigned long percent(unsigned long of, unsigned int n)
{
	return of * n / 100;
}

/* For the bodies of tests, with kselftest_harness.h. */

#define SCENE(fixture)                                        \
	FIXTURE(fixture)                                      \
	{                                                     \
		struct scene s;                               \
	};                                                    \
	FIXTURE_TEARDOWN(fixture)                             \
	{                                                     \
		bool may_stay = self->s.may_stay;             \
		scene_end(&self->s);                          \
		EXPECT_TRUE(!hr_return_blocks() || may_stay); \
	}                                                     \
	static_assert(1, "ends with a semicolon")

/* In a setup: there will be no teardown. */
#define SCENE_SKIP(s, ...)                 \
	do {                               \
		scene_end(s);              \
		SKIP(return, __VA_ARGS__); \
	} while (0)

#define START(p, what, ...)                                        \
	do {                                                       \
		ASSERT_EQ(0, pressure_##what(p, ##__VA_ARGS__))    \
		TH_LOG("pressure_" #what ": %s", pressure_why(p)); \
	} while (0)

#define PLUG(s, keyword, mib)                                       \
	do {                                                        \
		if (!scene_take(s, mib))                            \
			SKIP(return, "needs %lu MiB to plug", mib); \
		ASSERT_EQ(0, scene_online(s, keyword));             \
	} while (0)

#define EXPECT_REST() EXPECT_STREQ("", scene_unrest())

/* All plugged memory can go while its user is there, who has lost nothing. */
#define ALL_COMES_BACK(s)                                          \
	do {                                                       \
		pressure_stop(&(s)->grower);                       \
		pressure_stop(&(s)->ballast);                      \
		EXPECT_EQ(0, scene_wait_armed(ARM_SECONDS, NULL)); \
		EXPECT_EQ(0, hr_return_blocks());                  \
		if ((s)->anon.pid)                                 \
			EXPECT_EQ(0, pressure_check(&(s)->anon));  \
		if ((s)->other.pid && !(s)->other.options.loop)    \
			EXPECT_EQ(0, pressure_check(&(s)->other)); \
		EXPECT_EQ(0, hr_check_invariants());               \
	} while (0)

/*
 * The same where the kernel was lent memory. Others, who were at work meanwhile,
 * may have a few pages of it and keep them; tests that follow are skipped then.
 */
#define STRANGERS_PAGES (8 * 512)

#define NEARLY_ALL_COMES_BACK(s)                                              \
	do {                                                                  \
		long left_;                                                   \
		pressure_stop(&(s)->grower);                                  \
		pressure_stop(&(s)->ballast);                                 \
		left_ = scene_wait_armed(ARM_SECONDS, NULL);                  \
		EXPECT_GE(STRANGERS_PAGES, left_);                            \
		(s)->may_stay = left_;                                        \
		if ((s)->may_stay)                                            \
			TH_LOG("%ld released pages are still in use", left_); \
		else                                                          \
			ALL_COMES_BACK(s);                                    \
		EXPECT_EQ(0, hr_check_invariants());                          \
	} while (0)

#endif /* PRESSURE_H */
