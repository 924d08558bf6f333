// SPDX-License-Identifier: GPL-2.0
/*
 * The program of `make soak`: a memory block goes offline while somebody else is
 * at work on it, at thousands of different moments, each of which can be had again.
 *
 *	soak seed=1,rounds=500,pair=all
 *
 * Each number from `seed` on is a schedule. By it are chosen: who races, how much
 * memory there is and where, and how many instructions either side spins before it
 * begins; and how often the CPUs take turns.
 *
 *	CPU 0	prepare   T spin [ echo offline >memoryN/state ]      judge
 *	CPU 1	 prepare  T   spin   [ fork, munmap, pin, ... ]
 *	pacers	            . . . . . . . . . . . .		each a timer
 *
 * The guest counts instructions for a clock (qemu-configs/icount.args), so that all
 * of it, timer interrupts included, is the same each time; and its two CPUs are one
 * thread of QEMU, which goes on with the other CPU when a timer is due or set. With
 * the tick alone that is every 4 ms or less often: most races would be none. Hence
 * the pacers, a process for each CPU that sets a timer all the time.
 *
 * After each round, whatever came of it: both sides said what they may say, no byte
 * of user memory changed, all memory can go offline, and zones, free lists and
 * counters are as before and agree (hr_check_invariants()). The first round that
 * fails is the last one, as it is in a state that nobody knows.
 *
 * Lines "SCHEDULE <seed> ..." are for harness/soak.sh, all else is the TAP of a
 * kselftest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hr.h"
#include "mm/gup_test.h"
#include "pressure.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define KEYWORD "online_hotremove"
#define CONTIG "/sys/kernel/debug/contig_test/"
#define MIB (1UL << 20)
#define MS 1000000LL

/* Far beyond what it takes, in virtual time, of which a busy host makes no more. */
#define OFFLINE_SECONDS 20
#define RACER_SECONDS 60

/*
 * What ordinary memory has left. User memory comes from where more is free: less
 * than a memory block has; but more than that of a round, or it could not go.
 */
#define LEAVE_MIB 32
#define AWAKE_NS (2 * MS)
#define MAX_STEPS 64
#define MAX_TURNS 20000
/* Rounds of one kind in a row: what they need is set up once. */
#define IN_A_ROW 25

enum side { OFFLINE, RIVAL, SIDES };

/* What the racers and the pacers have in common, and tell. */
struct shared {
	int pacing; /* a futex */
	unsigned long pace_ns;
	uint64_t pace_state[SIDES];
	bool ready;
	long long start_ns;
	struct {
		long long begin_ns, end_ns;
		int err;
	} side[SIDES];
	long long step_ns[MAX_STEPS]; /* of the rival */
	int steps;
	long wrong; /* bytes */
};

static struct shared *shared;

struct round {
	uint64_t seed, state; /* of random_below() */
	const struct pair *pair;
	int block, other; /* which is to go; where to */
	size_t bytes;
	char *mem; /* user memory in the block, of both sides */
	char *own; /* the rival's, of the same size */
	int fd, pipe[2];
	unsigned long spin[SIDES]; /* instructions */
	bool kept; /* the kernel has something in the block: no failure */
};

struct pair {
	const char *name, *what;
	/* Of instructions each side spins, the most: what the other one takes. */
	unsigned long spin[SIDES];
	bool own; /* the rival has memory of its own in the block */
	bool alone; /* the other block is not online when the race begins */
	unsigned long limit_ms; /* when an offline that does not end is stopped */
	int may[SIDES][4]; /* errno, but for 0 */
	/* Before and after rounds of this kind: 0 or -errno. */
	int (*begin)(void);
	void (*end)(void);
	/* In the rival's process. */
	int (*prepare)(struct round *r);
	int (*race)(struct round *r);
	/* What is still had then is given back: 0 or -errno. */
	int (*settle)(struct round *r);
};

/* ---- numbers, time ----------------------------------------------------------- */

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static unsigned long random_below(struct round *r, unsigned long limit)
{
	return limit ? next_random(&r->state) % limit : 0;
}

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void sleep_until(long long ns)
{
	struct timespec ts = { ns / 1000000000, ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ==
	       EINTR)
		;
}

/* So many instructions, of two a turn. */
static void spin(unsigned long instructions)
{
	unsigned long turns = instructions / 2 + 1;

#ifdef __aarch64__
	asm volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(turns) : : "cc");
#else
	asm volatile("1: dec %0\n\tjnz 1b" : "+r"(turns) : : "cc");
#endif
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* ---- how it ends -------------------------------------------------------------- */

static uint64_t seed_now;
static const char *pair_now = "none";
static int failures;

static void __attribute__((format(printf, 1, 2))) failed(const char *fmt, ...)
{
	va_list ap;

	printf("# FAILED seed %llu, %s: ", (unsigned long long)seed_now,
	       pair_now);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	failures++;
}

/* Nothing was raced: not to be had here is skipped, all else is no success. */
static void __attribute__((format(printf, 2, 3), noreturn))
stop(bool skip, const char *fmt, ...)
{
	va_list ap;

	printf(skip ? "# 1..0 # SKIP " : "# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n%s 1 selftests: soak: soak%s\n", skip ? "ok" : "not ok",
	       skip ? " # SKIP" : "");
	exit(skip ? 4 : 1);
}

/* ---- the rivals ----------------------------------------------------------------- */

static void step(void)
{
	if (shared->steps < MAX_STEPS)
		shared->step_ns[shared->steps] = now_ns();
	shared->steps++;
}

static void touch(char *mem, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE)
		*(volatile char *)(mem + at) = mem[at];
}

/* Children that write to some of it, so that pages are copied, look, and exit. */
static int race_fork(struct round *r)
{
	int i, status, nr = 1 + random_below(r, 4);
	size_t part = (1 + random_below(r, 16)) * 16 * PAGE;
	size_t at = random_below(r, r->bytes - part);
	pid_t pid;

	for (i = 0; i < nr; i++) {
		pid = fork();
		if (pid < 0)
			return -errno;
		if (!pid) {
			touch(r->mem + at / PAGE * PAGE, part);
			_exit(hr_wrong_bytes(r->mem, r->bytes) != 0);
		}
		step();
		if (waitpid(pid, &status, 0) != pid || status)
			return -EIO;
		step();
	}
	return 0;
}

/* Pages go, piece by piece, and some are asked for again. */
static int race_free(struct round *r)
{
	size_t piece = (1 + random_below(r, 64)) * PAGE, at;
	size_t every = (2 + random_below(r, 3)) * piece;
	bool again = random_below(r, 2);

	for (at = 0; at + piece <= r->bytes; at += every) {
		if (madvise(r->own + at, piece, MADV_DONTNEED))
			return -errno;
		if (again)
			memcpy(r->own + at, r->mem + at, piece);
		step();
	}
	/* All of it is compared later, and has the same pattern. */
	for (at = 0; !again && at + piece <= r->bytes; at += every)
		memcpy(r->own + at, r->mem + at, piece);
	return 0;
}

enum { PIN_PIPE, PIN_LONG, PIN_LONG_FAST, PIN_KINDS };

static int prepare_pin(struct round *r)
{
	r->fd = open("/sys/kernel/debug/gup_test", O_RDWR | O_CLOEXEC);
	return r->fd < 0 ? -errno : pipe2(r->pipe, O_CLOEXEC) ? -errno : 0;
}

/* A page is held for a while: where it is, or only once it has moved out. */
static int race_pin(struct round *r)
{
	size_t pages = 1 + random_below(r, 16);
	size_t at = random_below(r, r->bytes / PAGE - pages) * PAGE;
	int kind = random_below(r, PIN_KINDS);
	unsigned long hold = random_below(r, 4000000);
	struct iovec iov = { r->own + at, pages * PAGE };
	struct pin_longterm_test gup = {
		.addr = (uintptr_t)r->own + at,
		.size = pages * PAGE,
		.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE |
			 (kind == PIN_LONG_FAST ?
				  PIN_LONGTERM_TEST_FLAG_USE_FAST :
				  0),
	};
	int ret = 0;

	if (kind == PIN_PIPE) {
		if (vmsplice(r->pipe[1], &iov, 1, 0) < 0)
			ret = -errno;
	} else if (ioctl(r->fd, PIN_LONGTERM_TEST_START, &gup)) {
		ret = -errno;
	}
	step();
	spin(hold);
	if (kind == PIN_PIPE) {
		close(r->pipe[0]);
		close(r->pipe[1]);
	} else if (!ret && ioctl(r->fd, PIN_LONGTERM_TEST_STOP)) {
		ret = -errno;
	}
	return ret;
}

static int prepare_contig(struct round *r)
{
	r->fd = open(CONTIG "alloc", O_RDWR | O_CLOEXEC);
	return r->fd < 0 ? -errno : 0;
}

static int give_back(void)
{
	char all[32];

	snprintf(all, sizeof(all), "%lu", ~0UL);
	return hr_write_file(CONTIG "free", all);
}

/* Pieces of the block, in bulk or as one range, are had for a while. */
static int race_contig(struct round *r)
{
	unsigned long pages = hr_block_pages(), first = hr_block_pfn(r->block);
	unsigned long at = random_below(r, pages / 512) * 512;
	unsigned int order = random_below(r, 11);
	unsigned long nr = 1 + random_below(r, 2048 >> order);
	unsigned int effort = random_below(r, 3);
	bool bulk = random_below(r, 4);
	unsigned long hold = random_below(r, 6000000);
	char text[128];
	int ret = 0;

	if (bulk)
		snprintf(text, sizeof(text), "%lu %lu %u %u %lu", first + at,
			 first + pages, effort, order, nr);
	else
		snprintf(text, sizeof(text), "%lu %lu %u", first + at,
			 first + at + 512, effort);
	if (write(r->fd, text, strlen(text)) < 0)
		ret = -errno;
	step();
	spin(hold);
	return give_back() ?: ret;
}

static int settle_contig(struct round *r)
{
	(void)r;
	return give_back();
}

/* The other one comes online, and is where to move to from then on. */
static int race_online(struct round *r)
{
	return hr_block_write(r->other, "state", KEYWORD);
}

/* One of the two changes sides, and back. */
static int race_switch(struct round *r)
{
	int block = random_below(r, 2) ? r->block : r->other;
	unsigned long hold = random_below(r, 200000);
	int ret;

	ret = hr_block_write(block, "state", "online_kernel");
	step();
	spin(hold);
	return hr_block_write(block, "state", KEYWORD) ?: ret;
}

/* What the kernel put there in between may have to go first. */
static int settle_switch(struct round *r)
{
	const int blocks[] = { r->block, r->other };
	long long deadline = hr_deadline(20);
	int i;

	for (i = 0; i < 2; i++) {
		while (hr_block_is(blocks[i], "state", "online") &&
		       hr_block_is(blocks[i], "hotremove", "no") &&
		       hr_block_write(blocks[i], "state", KEYWORD)) {
			if (!hr_poll(deadline)) {
				r->kept = true;
				return 0;
			}
			scene_shrink_slabs();
		}
	}
	return 0;
}

#define PIPE_BYTES MIB
#define MAX_PIPES 128

static int pipes[MAX_PIPES][2];
static long in_pipes_kib;

static int fill_pipes(long kib)
{
	static char text[64 << 10];
	const long piece = sizeof(text) / 1024;

	for (; in_pipes_kib < kib; in_pipes_kib += piece) {
		int i = in_pipes_kib / (PIPE_BYTES / 1024);

		if (i == MAX_PIPES)
			return -ENFILE;
		if (write(pipes[i][1], text, sizeof(text)) < 0)
			return -errno;
	}
	return 0;
}

/* Nearly all that there is without anything being lent. */
static int prepare_release(struct round *r)
{
	long kib = pressure_capacity_pages() * PAGE_KIB;
	int i;

	for (i = 0; i < MAX_PIPES; i++)
		if (pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK) ||
		    fcntl(pipes[i][1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
			return -errno;
	return fill_pipes(kib - (4 + random_below(r, 4)) * MIB_KIB);
}

/* More than there is: some is lent, and given back. */
static int race_release(struct round *r)
{
	int nr = 8 + random_below(r, 8), i, ret = 0;

	for (i = 0; i < nr && !ret; i++) {
		ret = fill_pipes(in_pipes_kib + MIB_KIB);
		step();
	}
	for (i = 0; i < MAX_PIPES; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	return ret;
}

/* Or what is needed to look at them would be had from what is lent. */
static int begin_release(void)
{
	hr_hold_blocks(true);
	return 0;
}

static void end_release(void)
{
	hr_hold_blocks(false);
}

static int settle_release(struct round *r)
{
	r->kept = scene_wait_armed(ARM_SECONDS, NULL) != 0;
	return 0;
}

static int zram = -1;

static int begin_reclaim(void)
{
	zram = hr_zram_swapon(32 * MIB);
	return zram < 0 ? zram : 0;
}

static void end_reclaim(void)
{
	hr_zram_swapoff(zram);
}

/* Pages are written to swap and read again: those, or what the kernel chooses. */
static int race_reclaim(struct round *r)
{
	size_t piece = (16 + random_below(r, 240)) * PAGE, at;
	int kind = random_below(r, 3), ret;
	char text[16];

	for (at = 0; at + piece <= r->bytes; at += piece) {
		ret = 0;
		if (kind == 0) {
			snprintf(text, sizeof(text), "%lu", piece);
			ret = hr_write_file("/sys/fs/cgroup/memory.reclaim",
					    text);
		} else if (kind == 1) {
			ret = hr_write_file("/proc/sys/vm/drop_caches", "3");
		}
		/* EAGAIN: less than that. */
		if (ret && ret != -EAGAIN)
			return ret;
		if (madvise(r->own + at, piece, MADV_PAGEOUT))
			return -errno;
		step();
		touch(r->own + at, piece);
		step();
	}
	return 0;
}

static const struct pair pairs[] = {
	{ "fork",
	  "children copy pages and exit",
	  { 2000000, 4000000 },
	  .race = race_fork },
	{ "free",
	  "pages are freed",
	  { 500000, 4000000 },
	  .own = true,
	  .race = race_free },
	{ "pin",
	  "pages are pinned for a while",
	  { 1000000, 4000000 },
	  .own = true,
	  .may = { { EBUSY }, { ENOMEM } },
	  .prepare = prepare_pin,
	  .race = race_pin },
	{ "contig",
	  "contiguous memory is allocated there",
	  { 3000000, 1000000 },
	  .may = { { EBUSY }, { EBUSY, EINVAL, ENOMEM } },
	  .prepare = prepare_contig,
	  .race = race_contig,
	  .settle = settle_contig },
	{ "online",
	  "another block comes online",
	  { 2000000, 4000000 },
	  .alone = true,
	  .race = race_online },
	{ "switch",
	  "a block changes sides",
	  { 2000000, 4000000 },
	  .limit_ms = 300,
	  .may = { { EBUSY, EINVAL, EINTR }, { EBUSY, EINVAL } },
	  .race = race_switch,
	  .settle = settle_switch },
	{ "release",
	  "the kernel is lent memory",
	  { 8000000, 4000000 },
	  .may = { { EBUSY } },
	  .begin = begin_release,
	  .end = end_release,
	  .prepare = prepare_release,
	  .race = race_release,
	  .settle = settle_release },
	{ "reclaim",
	  "pages go to swap and come back",
	  { 1000000, 4000000 },
	  .own = true,
	  .begin = begin_reclaim,
	  .end = end_reclaim,
	  .race = race_reclaim },
};
#define PAIRS (int)(sizeof(pairs) / sizeof(*pairs))

/* ---- the race -------------------------------------------------------------------- */

static void set_pacing(int on)
{
	__atomic_store_n(&shared->pacing, on, __ATOMIC_SEQ_CST);
	if (on)
		syscall(SYS_futex, &shared->pacing, FUTEX_WAKE, SIDES);
}

/*
 * Both as often, or the one with the longer pauses has next to no turns: QEMU goes on
 * with the first CPU when a timer is due, and with the next one when the first timer
 * of all is set.
 */
static void __attribute__((noreturn)) pace(int cpu)
{
	const struct sched_param first = { .sched_priority = 1 };
	struct timespec ts = { 0 };
	int turns = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run_on(cpu);
	sched_setscheduler(0, SCHED_FIFO, &first);
	for (;;) {
		if (!__atomic_load_n(&shared->pacing, __ATOMIC_SEQ_CST)) {
			syscall(SYS_futex, &shared->pacing, FUTEX_WAIT, 0,
				NULL);
			turns = 0;
			continue;
		}
		/* Who waits for as long needs none. */
		if (++turns == MAX_TURNS)
			set_pacing(0);
		ts.tv_nsec =
			shared->pace_ns +
			next_random(&shared->pace_state[cpu]) % shared->pace_ns;
		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	}
}

static int take_offline(struct round *r)
{
	unsigned long limit_ms = r->pair->limit_ms;

	return hr_block_offline_usec(r->block,
				     limit_ms ? limit_ms * 1000 :
						OFFLINE_SECONDS * 1000000UL);
}

/*
 * While all CPUs are idle time goes on as QEMU's other thread comes round to it, and
 * which CPU is the first to run when both have to is chance, then. Hence one CPU is
 * never idle. What it does meanwhile costs little: 5 us of nothing, for which QEMU
 * makes no code, and then it is the other CPU's turn, as QEMU takes "pause" for that.
 */
static void __attribute__((noreturn)) never_idle(void)
{
	const struct sched_param none = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run_on(RIVAL);
	sched_setscheduler(0, SCHED_IDLE, &none);
	for (;;)
#ifdef __x86_64__
		asm volatile(".fill 2500, 1, 0x90\n\tpause");
#else
		spin(2500);
#endif
}

/* Neither side sleeps when it is to start: the pacing is for both. */
static void be_awake(void)
{
	sleep_until(shared->start_ns - AWAKE_NS);
	set_pacing(1);
	while (now_ns() < shared->start_ns)
		;
}

/* With one side at its end, there is nobody to take turns with. */
static void run_side(struct round *r, enum side side)
{
	if (side == OFFLINE)
		be_awake();
	else
		sleep_until(shared->start_ns);
	spin(r->spin[side]);
	shared->side[side].begin_ns = now_ns();
	shared->side[side].err = side == OFFLINE ? take_offline(r) :
						   r->pair->race(r);
	shared->side[side].end_ns = now_ns();
	set_pacing(0);
}

static void __attribute__((noreturn)) be_rival(struct round *r)
{
	int err = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "hr-rival");
	run_on(RIVAL);
	if (r->pair->own && !(r->own = hr_small_pages(r->bytes)))
		err = -ENOMEM;
	if (!err && r->pair->prepare)
		err = r->pair->prepare(r);
	shared->side[RIVAL].err = err;
	__atomic_store_n(&shared->ready, true, __ATOMIC_SEQ_CST);
	if (err)
		_exit(1);
	while (!__atomic_load_n(&shared->start_ns, __ATOMIC_SEQ_CST))
		poll(NULL, 0, 1);
	run_side(r, RIVAL);
	shared->wrong = hr_wrong_bytes(r->mem, r->bytes);
	if (r->own)
		shared->wrong += hr_wrong_bytes(r->own, r->bytes);
	_exit(0);
}

/* A rival that has all it needs and waits for the start, or -1. */
static pid_t start_rival(struct round *r)
{
	long long deadline = hr_deadline(RACER_SECONDS);
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		be_rival(r);
	while (pid > 0 && !__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST)) {
		if (now_ns() / MS > deadline ||
		    waitpid(pid, NULL, WNOHANG) == pid)
			return -1;
		poll(NULL, 0, 1);
	}
	return pid;
}

static void end_rival(pid_t pid)
{
	long long deadline = hr_deadline(RACER_SECONDS);
	int status = 0;

	while (!waitpid(pid, &status, WNOHANG)) {
		if (hr_poll(deadline))
			continue;
		failed("the rival did not end within %d s", RACER_SECONDS);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return;
	}
	if (WIFSIGNALED(status))
		failed("the rival was killed by signal %d", WTERMSIG(status));
}

static void check_errno(const struct round *r, enum side side)
{
	int err = -shared->side[side].err, i;

	for (i = 0; err && i < 4; i++)
		if (r->pair->may[side][i] == err)
			return;
	if (err)
		failed("%s: %s", side == OFFLINE ? "offline" : "the rival",
		       strerror(err));
}

/* All that the race may have left goes, and is not needed by anybody. */
static void go_offline(int block)
{
	int err;

	if (!hr_block_is(block, "state", "online") ||
	    hr_block_is(block, "hotremove", "no"))
		return;
	err = hr_block_offline(block, OFFLINE_SECONDS);
	if (err) {
		failed("memory%d does not go: %s", block, strerror(-err));
		hr_unmovable_pages(block);
	}
}

static struct hr_snapshot at_rest;

#define MAX_BLOCKS 16

static int blocks[MAX_BLOCKS], nr_blocks;
static struct pressure ballast;

/* Kernel memory in all that is free but for that. */
static int leave_little(void)
{
	struct pressure_counters now;
	char path[64];
	long kib;
	int ret;

	pressure_counters(&now);
	kib = now.v[PC_FREE_ORDINARY] * PAGE_KIB - LEAVE_MIB * MIB_KIB;
	/* A pipe of 1 MiB takes 16 KiB and a bit for itself. */
	kib -= kib / 61;
	ret = ballast.pid ? 0 : pressure_unmovable(&ballast, NULL);
	if (!ret && kib > 0)
		ret = pressure_grow(&ballast, pressure_done(&ballast) + kib, 0,
				    GROW_SECONDS);
	/* Whoever grows next is to be killed, if anybody is. */
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", ballast.pid);
	return ret ? ret : hr_write_file(path, "-1000");
}

/*
 * What others have taken meanwhile, and keep, is what the kernel may do with memory it
 * was lent. Such a block is ordinary memory from now on, and others are raced for.
 */
static void give_up_kept(struct round *r)
{
	int i, n = 0;

	for (i = 0; i < nr_blocks; i++) {
		if (!hr_block_is(blocks[i], "state", "online")) {
			blocks[n++] = blocks[i];
		} else if (!hr_block_offline(blocks[i], OFFLINE_SECONDS)) {
			blocks[n++] = blocks[i];
		} else if (hr_block_write(blocks[i], "state",
					  "online_kernel")) {
			failed("memory%d can neither go nor be given up",
			       blocks[i]);
		}
	}
	if (n == nr_blocks)
		return;
	nr_blocks = n;
	munmap(r->mem, r->bytes);
	r->mem = NULL;
	if (leave_little())
		failed("ballast: %s", pressure_why(&ballast));
	hr_take_snapshot(&at_rest);
}

static void judge(struct round *r, const char *plant)
{
	long wrong;

	if (r->pair->settle && r->pair->settle(r))
		failed("what was had could not be given back");
	check_errno(r, OFFLINE);
	check_errno(r, RIVAL);
	if (!strcmp(plant, "byte"))
		r->mem[r->bytes / 2] ^= 1;
	wrong = shared->wrong + hr_wrong_bytes(r->mem, r->bytes);
	if (wrong)
		failed("%ld bytes of user memory are wrong", wrong);
	if (r->kept)
		give_up_kept(r);
	go_offline(r->block);
	if (strcmp(plant, "block"))
		go_offline(r->other);
	if (!r->kept && hr_changed(&at_rest))
		failed("something is not as before");
	if (hr_check_invariants())
		failed("counters do not agree");
}

/* ---- schedules ----------------------------------------------------------------- */

static uint64_t fnv(uint64_t hash, uint64_t value)
{
	int i;

	for (i = 0; i < 8; i++, value >>= 8)
		hash = (hash ^ (value & 0xff)) * 0x100000001b3ULL;
	return hash;
}

/* Every moment that is known, counted from the start. */
static uint64_t hash_of(const struct round *r)
{
	uint64_t hash = fnv(0xcbf29ce484222325ULL, r->pair - pairs);
	int i;

	for (i = 0; i < SIDES; i++) {
		hash = fnv(hash, r->spin[i]);
		hash = fnv(hash, shared->side[i].begin_ns - shared->start_ns);
		hash = fnv(hash, shared->side[i].end_ns - shared->start_ns);
		hash = fnv(hash, shared->side[i].err);
	}
	for (i = 0; i < shared->steps && i < MAX_STEPS; i++)
		hash = fnv(hash, shared->step_ns[i] - shared->start_ns);
	return hash;
}

static const char *outcome(int err)
{
	switch (err) {
	case 0:
		return "ok";
	case -EBUSY:
		return "EBUSY";
	case -EINTR:
		return "EINTR";
	case -EINVAL:
		return "EINVAL";
	case -ENOMEM:
		return "ENOMEM";
	default:
		return "other";
	}
}

/* The rival's steps before, while and after the block was going offline. */
static void count_steps(int *nr)
{
	const long long begin = shared->side[OFFLINE].begin_ns;
	const long long end = shared->side[OFFLINE].end_ns;
	int i;

	memset(nr, 0, 3 * sizeof(*nr));
	for (i = 0; i < shared->steps && i < MAX_STEPS; i++)
		nr[shared->step_ns[i] < begin ? 0 :
		   shared->step_ns[i] < end   ? 1 :
						2]++;
}

static bool at_a_time(void)
{
	return shared->side[OFFLINE].begin_ns < shared->side[RIVAL].end_ns &&
	       shared->side[RIVAL].begin_ns < shared->side[OFFLINE].end_ns;
}

static void report(const struct round *r, long moved)
{
	const long long zero = shared->start_ns;
	int nr[3];

	count_steps(nr);
	printf("# # SCHEDULE %llu %s %016llx %s %s %s %d/%d/%d %ld %lu %lu %lu %lld-%lld %lld-%lld\n",
	       (unsigned long long)r->seed, r->pair->name,
	       (unsigned long long)hash_of(r),
	       at_a_time() ? "overlap" : "apart",
	       r->kept ? "kept" : outcome(shared->side[OFFLINE].err),
	       outcome(shared->side[RIVAL].err), nr[0], nr[1], nr[2], moved,
	       r->spin[OFFLINE], r->spin[RIVAL], shared->pace_ns,
	       (shared->side[OFFLINE].begin_ns - zero) / 1000,
	       (shared->side[OFFLINE].end_ns - zero) / 1000,
	       (shared->side[RIVAL].begin_ns - zero) / 1000,
	       (shared->side[RIVAL].end_ns - zero) / 1000);
	fflush(stdout);
}

/*
 * User memory of the last round is on per-cpu lists, and would be what is had first:
 * to set this empties them.
 */
static void empty_lists(void)
{
	static const char policy[] = "/proc/sys/vm/hotremove_pcp";
	char was[16];

	if (hr_read_file(policy, was, sizeof(was)) > 0) {
		hr_write_file(policy, "1");
		hr_write_file(policy, was);
	}
}

static void run_round(struct round *r, const char *plant)
{
	long moved;
	pid_t pid;
	int i;

	memset(shared, 0, sizeof(*shared));
	i = random_below(r, nr_blocks);
	r->block = blocks[i];
	r->other = blocks[(i + 1 + random_below(r, nr_blocks - 1)) % nr_blocks];
	r->bytes = (2 + random_below(r, 3)) * MIB;
	for (i = 0; i < SIDES; i++) {
		r->spin[i] = random_below(r, r->pair->spin[i]);
		shared->pace_state[i] = next_random(&r->state);
	}
	shared->pace_ns = 10000UL << random_below(r, 5);
	empty_lists();
	/* Only then is there another block: this is where the memory is to be. */
	if (hr_block_write(r->block, "state", KEYWORD)) {
		failed("memory%d does not come online", r->block);
		return;
	}
	r->mem = hr_anon_in_block(r->block, r->bytes, MADV_NOHUGEPAGE);
	if (!r->mem) {
		failed("no user memory comes to lie in memory%d", r->block);
		return;
	}
	hr_fill(r->mem, r->bytes);
	pid = start_rival(r);
	if (pid < 0) {
		failed("the rival cannot: %s",
		       strerror(-shared->side[RIVAL].err));
		return;
	}
	if (!r->pair->alone && hr_block_write(r->other, "state", KEYWORD))
		failed("memory%d does not come online", r->other);
	moved = hr_vmstat("pgmigrate_success");
	shared->start_ns = (now_ns() / (4 * MS) + 2) * 4 * MS;
	run_side(r, OFFLINE);
	end_rival(pid);
	judge(r, plant);
	moved = hr_vmstat("pgmigrate_success") - moved;
	report(r, moved);
	if (r->mem)
		munmap(r->mem, r->bytes);
}

/* ---- what it says in the end ----------------------------------------------------- */

static struct {
	long rounds, apart, refused;
	int failures;
} tally[PAIRS];

static int tap(void)
{
	int i, n = 0, bad = 0;

	for (i = 0; i < PAIRS; i++) {
		if (!tally[i].rounds)
			continue;
		bad += tally[i].failures != 0;
		printf("# %sok %d offline against %s: %s: %ld schedules, %ld at a time, %ld removed\n",
		       tally[i].failures ? "not " : "", ++n, pairs[i].name,
		       pairs[i].what, tally[i].rounds,
		       tally[i].rounds - tally[i].apart,
		       tally[i].rounds - tally[i].refused);
	}
	printf("# 1..%d\n", n);
	if (bad)
		printf("not ok 1 selftests: soak: soak # exit=1\n");
	else
		printf("ok 1 selftests: soak: soak\n");
	return bad ? 1 : 0;
}

static const struct pair *pair_of(uint64_t seed, const char *name)
{
	int i;

	for (i = 0; i < PAIRS; i++)
		if (!strcmp(pairs[i].name, name))
			return &pairs[i];
	return &pairs[(seed / IN_A_ROW) % PAIRS];
}

static void run(uint64_t seed, long rounds, const char *pair, const char *plant)
{
	const struct pair *was = NULL;
	struct round r;
	int err;

	for (; rounds && !failures; rounds--, seed++) {
		memset(&r, 0, sizeof(r));
		r.seed = r.state = seed_now = seed;
		r.pair = pair_of(seed, pair);
		pair_now = r.pair->name;
		if (r.pair != was) {
			if (was && was->end)
				was->end();
			was = r.pair;
			err = was->begin ? was->begin() : 0;
			if (err)
				failed("cannot begin: %s", strerror(-err));
			hr_take_snapshot(&at_rest);
		}
		if (!failures)
			run_round(&r, plant);
		tally[r.pair - pairs].rounds++;
		tally[r.pair - pairs].apart += !at_a_time();
		tally[r.pair - pairs].refused += !!shared->side[OFFLINE].err;
		/* Rounds that there will not be are no success. */
		if (rounds > 1 && nr_blocks < 2)
			failed("the kernel keeps a part of all other memory blocks");
		tally[r.pair - pairs].failures += failures;
	}
	if (was && was->end)
		was->end();
}

/*
 * Who looks needs memory himself, most of it for the first look, which takes more
 * the more zones there are. It must not be what the kernel is lent.
 */
static void look_once(void)
{
	int i;

	pressure_warm_workers();
	for (i = 0; i < 2; i++)
		hr_block_write(blocks[i], "state", KEYWORD);
	scene_wait_armed(0, NULL);
	hr_check_invariants();
	hr_take_snapshot(&at_rest);
	for (i = 0; i < 2; i++)
		hr_block_offline(blocks[i], OFFLINE_SECONDS);
	run_on(OFFLINE);
}

int main(int argc, char **argv)
{
	char *pair = "all", *plant = "", *word, *value;
	unsigned long long seed = 1;
	long rounds = 1;
	int i;

	printf("# selftests: soak: soak\n# TAP version 13\n");
	for (word = strtok(argc > 1 ? argv[1] : NULL, ","); word;
	     word = strtok(NULL, ",")) {
		value = strchr(word, '=');
		if (!value)
			stop(false, "name=value instead of %s", word);
		*value++ = '\0';
		if (!strcmp(word, "seed"))
			seed = strtoull(value, NULL, 0);
		else if (!strcmp(word, "rounds"))
			rounds = atol(value);
		else if (!strcmp(word, "pair"))
			pair = value;
		else if (!strcmp(word, "plant"))
			plant = value;
		else
			stop(false, "no word %s", word);
	}
	for (i = 0; i < PAIRS && strcmp(pairs[i].name, pair); i++)
		;
	if (i == PAIRS && strcmp(pair, "all"))
		stop(false, "no pair %s", pair);
	if (!hr_supported())
		stop(true, HR_SKIP_REASON);
	if (access(CONTIG "alloc", F_OK))
		stop(true, "needs CONFIG_CONTIG_TEST");
	nr_blocks = hr_offline_blocks(blocks, MAX_BLOCKS);
	if (nr_blocks < 2)
		stop(true, "needs two memory blocks that are offline");

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (shared == MAP_FAILED)
		stop(false, "shared memory");
	run_on(0);
	fflush(stdout);
	if (!fork())
		never_idle();
	for (i = 0; i < SIDES; i++)
		if (!fork())
			pace(i);
	/* Until the clock is the TSC, timers are no finer than a tick. */
	sleep(3);
	look_once();
	if (leave_little())
		stop(false, "ballast: %s", pressure_why(&ballast));
	run(seed, rounds, pair, plant);
	pressure_stop(&ballast);
	return tap();
}
