// SPDX-License-Identifier: GPL-2.0
/*
 * Scenarios of `make bench` that take memory blocks offline: what that costs,
 * how much moves, how it ends when it cannot be done, and what others notice.
 *
 * Costs are what one write(2) to `state` takes. With one CPU, time that is not
 * spent idle is instructions, whoever runs them: 2 ns each (qemu-configs/
 * icount.args). Marks around it let harness/plugin/insn.c count the same.
 *
 * User memory comes to lie in a block because all memory is filled and what
 * does not lie there is given back: it needs no knowledge of how the kernel
 * chooses.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench-removal.h"
#include "bench.h"
#include "hr.h"
#include "load.h"
#include "mark.h"
#include "pressure.h"
#include "report.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define HUGE_PAGES 512L /* in a huge page */
#define HUGE (HUGE_PAGES * PAGE)

/* Bits of /proc/kpageflags. */
#define KPF_LRU (1ULL << 5)
#define KPF_HUGE (1ULL << 17)

#define MINSN(ns) ((ns) / 2e6)

/* What is counted by the plugin, see harness/profile.sh. */
enum { MARK_ONLINE = 1, MARK_OFFLINE, MARK_WALK, MARK_BULK };

/* No removal that ends by itself takes longer, in virtual ms. */
#define ENDS_MS 60000
/* When one that does not is ended by a signal. */
#define HOPELESS_MS 5000

/* ---- what it costs ------------------------------------------------------- */

static long long cpu_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static long long idle_ns(void)
{
	long long sum = 0, ns;
	char line[256];
	int cpu = -1;
	FILE *f;

	f = fopen("/proc/timer_list", "re");
	if (!f)
		die(-errno, "/proc/timer_list");
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "cpu: %d", &cpu);
		if (!cpu &&
		    (sscanf(line, " .idle_sleeptime : %lld", &ns) == 1 ||
		     sscanf(line, " .iowait_sleeptime : %lld", &ns) == 1))
			sum += ns;
	}
	fclose(f);
	return sum;
}

void cost_begin(struct cost *c)
{
	c->idle_ns = idle_ns();
	c->cpu_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	c->ns = now_ns();
}

void cost_end(struct cost *c)
{
	c->ns = now_ns() - c->ns;
	c->cpu_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - c->cpu_ns;
	c->idle_ns = idle_ns() - c->idle_ns;
}

long long busy_ns(const struct cost *c)
{
	return c->ns - c->idle_ns;
}

static int compare(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;

	return x < y ? -1 : x > y;
}

long long median(long long *values, int nr)
{
	qsort(values, nr, sizeof(*values), compare);
	return values[nr / 2];
}

/* ---- a removal ------------------------------------------------------------- */

static void on_alarm(int sig)
{
	(void)sig;
}

static void set_alarm(long ms)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval when = {
		.it_value = { ms / 1000, ms % 1000 * 1000 },
		.it_interval = { 0, ms ? 100000 : 0 },
	};

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &when, NULL);
}

static int open_state(int block)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), HR_SYS_MEMORY "/memory%d/state", block);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		die(-errno, "%s", path);
	return fd;
}

/* It is the caller's business whether that worked. */
static void try_removal(int block, long limit_ms, struct removal *r)
{
	int fd = open_state(block);
	ssize_t n;

	r->moved = hr_vmstat("pgmigrate_success");
	set_alarm(limit_ms);
	cost_begin(&r->cost);
	r->begin_ns = r->cost.ns;
	mark_begin(MARK_OFFLINE);
	n = write(fd, "offline", 7);
	r->err = n < 0 ? -errno : 0;
	mark_end();
	cost_end(&r->cost);
	r->end_ns = r->begin_ns + r->cost.ns;
	set_alarm(0);
	r->moved = hr_vmstat("pgmigrate_success") - r->moved;
	close(fd);
}

void remove_block(int block, struct removal *r)
{
	try_removal(block, ENDS_MS, r);
	if (r->err)
		die(r->err, "offline memory%d", block);
}

void add_block(int block, struct cost *c)
{
	int fd = open_state(block);
	size_t len = strlen(keyword);
	ssize_t n;

	cost_begin(c);
	mark_begin(MARK_ONLINE);
	n = write(fd, keyword, len);
	mark_end();
	cost_end(c);
	if (n < 0)
		die(-errno, "write %s to memory%d", keyword, block);
	close(fd);
}

/* In a process of its own, so that somebody else can look on. */
static pid_t begin_removal(int block, long limit_ms, struct removal **r)
{
	pid_t pid;

	*r = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (*r == MAP_FAILED)
		die(-errno, "shared memory");
	pid = fork();
	if (pid < 0)
		die(-errno, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* A pipe that is open here as well keeps its pages. */
		close_range(3, ~0U, 0);
		try_removal(block, limit_ms, *r);
		_exit(0);
	}
	return pid;
}

static void result_errno(const char *key, int err)
{
	static const struct {
		int err;
		const char *name;
	} names[] = {
		{ 0, "ok" },	       { -EBUSY, "EBUSY" },
		{ -EINTR, "EINTR" },   { -ENOMEM, "ENOMEM" },
		{ -EAGAIN, "EAGAIN" }, { -EINVAL, "EINVAL" },
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].err == err) {
			result(key, "%s", names[i].name);
			return;
		}
	}
	result(key, "%d", err);
}

/* What the kernel says of its last failure: the word, then the line. */
static void result_blocker(int block)
{
	static const char *const words[] = {
		"none",	     "pinned",	 "unmovable", "hugetlb-no-target",
		"no-memory", "notifier", "signal",
	};
	char line[256] = "";
	unsigned int i;

	hr_block_read(block, "offline_blocker", line, sizeof(line));
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(line, words[i]))
			break;
	result("blocker", "%s",
	       i < sizeof(words) / sizeof(words[0]) ? words[i] : "-");
	result("blocker_line", "%s", line[0] ? line : "-");
}

static double percent_of(long long part, long long all)
{
	return all > 0 ? part * 100.0 / all : 0;
}

/* How one ended that could not be done. */
static void result_failure(int block, const struct removal *r)
{
	result_errno("errno", r->err);
	result("seconds", "%.3f", r->cost.ns / 1e9);
	result("cpu_pct", "%.2f", percent_of(r->cost.cpu_ns, r->cost.ns));
	result("moved", "%ld", r->moved);
	result_blocker(block);
}

#define PASSES "/sys/module/memory_hotplug/parameters/offline_passes"

/*
 * What a refusal takes for waiting: the same once more, with a single pass, is the
 * rest of it.
 */
static void result_waiting(int block, const struct removal *r)
{
	struct removal *once;
	char passes[16];

	if (r->err != EBUSY && r->err != -EBUSY)
		return;
	if (hr_read_file(PASSES, passes, sizeof(passes)) <= 0 ||
	    hr_write_file(PASSES, "1"))
		die(-ENOENT, PASSES);
	waitpid(begin_removal(block, HOPELESS_MS, &once), NULL, 0);
	result("once_ms", "%.2f", once->cost.ns / 1e6);
	result("once_cpu_ms", "%.2f", once->cost.cpu_ns / 1e6);
	result("wait_cpu_pct", "%.2f",
	       percent_of(r->cost.cpu_ns - once->cost.cpu_ns,
			  r->cost.ns - once->cost.ns));
	if (hr_write_file(PASSES, passes))
		die(-EIO, PASSES);
}

/* ---- user memory in a block ------------------------------------------------- */

static int page_block(uint64_t entry)
{
	if (!(entry >> 63))
		return -1;
	return (entry & ((1ULL << 55) - 1)) / hr_block_pages();
}

static int index_of(int block, const int *in, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (in[i] == block)
			return i;
	return -1;
}

static void map_fill(struct fill *f)
{
	int flags = MAP_NORESERVE |
		    (opt.tmpfs ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	unsigned char *mem;

	f->fd = opt.tmpfs ? memfd_create("fill", MFD_CLOEXEC) : -1;
	if (opt.tmpfs && ftruncate(f->fd, (f->pages + HUGE_PAGES) * PAGE))
		die(-errno, "a file in tmpfs");
	mem = mmap(NULL, f->pages * PAGE + HUGE, PROT_READ | PROT_WRITE, flags,
		   f->fd, 0);
	if (mem == MAP_FAILED)
		die(-errno, "map %zu pages", f->pages);
	if (!opt.tmpfs)
		mem = (void *)(((uintptr_t)mem + HUGE - 1) & -HUGE);
	f->mem = mem;
	madvise(mem, f->pages * PAGE,
		opt.thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	/* A child's copy would be one more user of each page. */
	madvise(mem, f->pages * PAGE, MADV_DONTFORK);
	if (opt.mlock && mlock2(mem, f->pages * PAGE, MLOCK_ONFAULT))
		die(-errno, "lock %zu pages", f->pages);
}

static void drop(struct fill *f, size_t from, size_t to)
{
	int ret;

	if (from == to)
		return;
	if (opt.tmpfs)
		ret = fallocate(f->fd,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				from * PAGE, (to - from) * PAGE);
	else
		ret = madvise(f->mem + from * PAGE, (to - from) * PAGE,
			      opt.mlock ? MADV_DONTNEED_LOCKED : MADV_DONTNEED);
	if (ret)
		die(-errno, "give back memory");
}

/* Up to `each` pages in each of the blocks, as thp=, mlock= and tmpfs= say. */
static void fill_blocks(struct fill *f, const int *in, int nr, long each)
{
	const long unit = opt.thp ? HUGE_PAGES : 1;
	/* What nobody gets without reclaim. */
	const long spare_kb = pressure_watermark_pages("low") * 4 + 8 * 1024;
	uint64_t entry[HUGE_PAGES];
	long *count, missing = nr * each;
	size_t at = 0, i, from = 0;
	int pagemap, which;

	memset(f, 0, sizeof(*f));
	f->pages = hr_meminfo_kb("MemTotal") / 4 & -HUGE_PAGES;
	map_fill(f);
	f->kept = calloc(f->pages, sizeof(*f->kept));
	count = calloc(nr, sizeof(*count));
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (!f->kept || !count || pagemap < 0)
		die(-errno, "what is needed to fill blocks");
	while (missing > 0 && at < f->pages &&
	       hr_meminfo_kb("MemFree") > spare_kb) {
		for (i = at; i < at + HUGE_PAGES; i++)
			*(volatile uint64_t *)(f->mem + i * PAGE) = i;
		if (pread(pagemap, entry, sizeof(entry),
			  ((uintptr_t)f->mem / PAGE + at) * sizeof(*entry)) !=
		    sizeof(entry))
			die(-errno, "read pagemap");
		for (i = 0; i < HUGE_PAGES; i++) {
			which = index_of(page_block(entry[i / unit * unit]), in,
					 nr);
			if (which < 0 || count[which] >= each)
				continue;
			f->kept[at + i] = true;
			count[which]++;
			missing--;
			f->nr++;
		}
		at += HUGE_PAGES;
	}
	close(pagemap);
	free(count);
	for (i = 0; i < at; i++) {
		if (!f->kept[i])
			continue;
		drop(f, from, i);
		from = i + 1;
	}
	drop(f, from, at);
	if (opt.tmpfs)
		munmap(f->mem, f->pages * PAGE);
}

int fill_one(struct fill *f, const int *in, int nr, long each)
{
	uint64_t entry[HUGE_PAGES];
	size_t at = 0, i, from = 0;
	int pagemap, found = -1;
	int *which;
	long *count;

	memset(f, 0, sizeof(*f));
	f->pages = hr_meminfo_kb("MemFree") / 4 & -HUGE_PAGES;
	map_fill(f);
	f->kept = calloc(f->pages, sizeof(*f->kept));
	which = calloc(f->pages, sizeof(*which));
	count = calloc(nr, sizeof(*count));
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (!f->kept || !which || !count || pagemap < 0)
		die(-errno, "what is needed to fill a block");
	for (; found < 0; at += HUGE_PAGES) {
		if (at == f->pages)
			die(-ENOMEM, "no block has %ld pages", each);
		for (i = at; i < at + HUGE_PAGES; i++)
			*(volatile uint64_t *)(f->mem + i * PAGE) = i;
		if (pread(pagemap, entry, sizeof(entry),
			  ((uintptr_t)f->mem / PAGE + at) * sizeof(*entry)) !=
		    sizeof(entry))
			die(-errno, "read pagemap");
		for (i = 0; i < HUGE_PAGES; i++) {
			which[at + i] = index_of(page_block(entry[i]), in, nr);
			if (which[at + i] >= 0 &&
			    ++count[which[at + i]] == each)
				found = which[at + i];
		}
	}
	close(pagemap);
	for (i = 0; i < at; i++) {
		if (which[i] != found || f->nr == each)
			continue;
		f->kept[i] = true;
		f->nr++;
		drop(f, from, i);
		from = i + 1;
	}
	drop(f, from, at);
	free(which);
	free(count);
	return found;
}

bool fill_intact(struct fill *f)
{
	long wrong = 0;
	size_t i;

	if (opt.tmpfs)
		f->mem = mmap(NULL, f->pages * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, f->fd, 0);
	if (f->mem == MAP_FAILED)
		die(-errno, "map what was filled");
	for (i = 0; i < f->pages; i++)
		wrong += f->kept[i] &&
			 *(volatile uint64_t *)(f->mem + i * PAGE) != i;
	if (opt.tmpfs)
		munmap(f->mem, f->pages * PAGE);
	return !wrong;
}

void fill_free(struct fill *f)
{
	if (!opt.tmpfs)
		munmap(f->mem, f->pages * PAGE);
	else
		close(f->fd);
	free(f->kept);
}

/* The first page of it, to be pinned. */
static void *fill_page(struct fill *f)
{
	size_t i;

	for (i = 0; i < f->pages; i++)
		if (f->kept[i])
			return f->mem + i * PAGE;
	die(-ENOMEM, "no page in the block");
}

/* Pages of a block that have one of these flags. */
static long pages_with(int block, uint64_t want)
{
	long pages = hr_block_pages(), found = 0, i;
	uint64_t *flags = malloc(pages * sizeof(*flags));

	if (!flags || hr_kpageflags(hr_block_pfn(block), pages, flags))
		die(-EIO, "flags of the pages of memory%d", block);
	for (i = 0; i < pages; i++)
		found += !!(flags[i] & want);
	free(flags);
	return found;
}

long block_part(long pct)
{
	return hr_block_pages() * pct / 100;
}

int last_block(void)
{
	if (nr_blocks < 2)
		die(-ENODEV, "%d blocks", nr_blocks);
	return blocks[nr_blocks - 1];
}

/* ---- empty and full blocks --------------------------------------------------- */

/* One word of as many structures as a block of 128 MiB has pages. */
static long long walk_ns(void)
{
	struct entry {
		volatile uint64_t word[8];
	} *all = calloc(hr_block_pages(), sizeof(*all));
	unsigned long i, nr = hr_block_pages();
	uint64_t sum = 0;
	struct cost c;

	if (!all)
		die(-ENOMEM, "structures to walk");
	for (i = 0; i < nr; i++)
		all[i].word[0] = i;
	cost_begin(&c);
	mark_begin(MARK_WALK);
	for (i = 0; i < nr; i++)
		sum += all[i].word[0];
	mark_end();
	cost_end(&c);
	if (sum != nr * (nr - 1) / 2)
		die(-EIO, "walk");
	free(all);
	return busy_ns(&c);
}

#define EMPTY_ROUNDS 9

void run_empty(void)
{
	long long online_cost[EMPTY_ROUNDS], cost[EMPTY_ROUNDS];
	long long elapsed[EMPTY_ROUNDS], own[EMPTY_ROUNDS];
	long long walked[EMPTY_ROUNDS], walk, offline;
	struct removal r;
	struct cost c;
	long moved = 0;
	int i, victim;

	online();
	victim = last_block();
	for (i = 0; i < EMPTY_ROUNDS; i++) {
		remove_block(victim, &r);
		add_block(victim, &c);
		moved += r.moved;
		elapsed[i] = r.cost.ns;
		own[i] = r.cost.cpu_ns;
		cost[i] = busy_ns(&r.cost);
		online_cost[i] = busy_ns(&c);
	}
	for (i = 0; i < EMPTY_ROUNDS; i++)
		walked[i] = walk_ns();
	walk = median(walked, EMPTY_ROUNDS);
	offline = median(cost, EMPTY_ROUNDS);
	result("rounds", "%d", EMPTY_ROUNDS);
	result("moved", "%ld", moved);
	result("walk_minsn", "%.3f", MINSN(walk));
	result("online_minsn", "%.3f",
	       MINSN(median(online_cost, EMPTY_ROUNDS)));
	result("offline_minsn", "%.3f", MINSN(offline));
	result("offline_best_minsn", "%.3f", MINSN(cost[0]));
	result("offline_own_minsn", "%.3f", MINSN(median(own, EMPTY_ROUNDS)));
	result("offline_us", "%.1f", median(elapsed, EMPTY_ROUNDS) / 1e3);
	result("walk_ratio", "%.2f", (double)offline / walk);
}

/* One block, as full as it gets or as pct= says. */
static void remove_full(int victim)
{
	struct removal r;
	struct fill f;

	fill_blocks(&f, &victim, 1, block_part(opt.pct ? opt.pct : 100));
	remove_block(victim, &r);
	result("pages", "%ld", f.nr);
	result("moved", "%ld", r.moved);
	result("ms", "%.2f", r.cost.ns / 1e6);
	result("waiting_pct", "%.2f", percent_of(r.cost.idle_ns, r.cost.ns));
	if (r.moved)
		result("busy_page", "%.0f", busy_ns(&r.cost) / 2.0 / r.moved);
	result("intact", "%s", fill_intact(&f) ? "yes" : "NO");
	fill_free(&f);
}

void run_full(void)
{
	online();
	remove_full(last_block());
}

/* ---- two policies in one boot -------------------------------------------------- */

/* Words as the kernel's own loop copies them, where nothing else is to be had. */
static long long copy_ns(void)
{
	const size_t words = PAGE / sizeof(uint64_t);
	uint64_t *from = calloc(hr_block_pages(), PAGE), *to;
	long pages = hr_block_pages(), i;
	struct cost c;
	size_t w;

	to = malloc(PAGE);
	if (!from || !to)
		die(-ENOMEM, "pages to copy");
	for (i = 0; i < pages; i++)
		from[i * words] = i;
	cost_begin(&c);
	for (i = 0; i < pages; i++)
		for (w = 0; w < words; w += 4) {
			const volatile uint64_t *src = from + i * words + w;
			volatile uint64_t *dst = to + w;
			uint64_t one = src[0], two = src[1];
			uint64_t three = src[2], four = src[3];

			dst[0] = one;
			dst[1] = two;
			dst[2] = three;
			dst[3] = four;
		}
	cost_end(&c);
	if (to[0] != (uint64_t)pages - 1)
		die(-EIO, "copy");
	free(from);
	free(to);
	return busy_ns(&c);
}

#define ABBA_ROUNDS 10

/* The median, and how far the others lie apart. */
static void abba_result(const char *word, const char *what, const char *unit,
			long long *values, double per_unit)
{
	double middle = median(values, ABBA_ROUNDS); /* sorts them */
	char key[64];

	snprintf(key, sizeof(key), "%s_%s_%s", word, what, unit);
	result(key, per_unit > 10 ? "%.3f" : "%.0f", middle / per_unit);
	snprintf(key, sizeof(key), "%s_%s_spread_pct", word, what);
	result(key, "%.1f",
	       100 * (values[ABBA_ROUNDS - 1] - values[0]) / middle);
}

/*
 * The same memory block, empty and then full, in turn of either policy: ABBA, so that
 * what has become of the machine meanwhile does the same to both.
 */
void run_abba(void)
{
	static const char *const words[] = { "online_movable",
					     "online_hotremove" };
	long long empty[2][ABBA_ROUNDS], full[2][ABBA_ROUNDS];
	long long on[2][ABBA_ROUNDS], walked[ABBA_ROUNDS], copied[ABBA_ROUNDS];
	int victim, i, which, turn;
	bool intact = true;
	struct removal r;
	struct cost c;
	struct fill f;

	online();
	victim = last_block();
	remove_block(victim, &r);
	for (i = 0; i < ABBA_ROUNDS; i++) {
		for (turn = 0; turn < 2; turn++) {
			which = (i + turn) % 2;
			keyword = words[which];
			add_block(victim, &c);
			on[which][i] = busy_ns(&c);
			remove_block(victim, &r);
			empty[which][i] = busy_ns(&r.cost);
			add_block(victim, &c);
			fill_blocks(&f, &victim, 1, block_part(100));
			remove_block(victim, &r);
			if (!r.moved)
				die(-ENODATA, "nothing moved");
			full[which][i] = busy_ns(&r.cost) / r.moved;
			intact &= fill_intact(&f);
			fill_free(&f);
		}
		walked[i] = walk_ns();
		copied[i] = copy_ns() / hr_block_pages();
	}
	result("rounds", "%d", ABBA_ROUNDS);
	for (which = 0; which < 2; which++) {
		const char *word = words[which] + strlen("online_");

		abba_result(word, "online", "minsn", on[which], 2e6);
		abba_result(word, "empty", "minsn", empty[which], 2e6);
		abba_result(word, "full", "page", full[which], 2);
	}
	result("online_ratio", "%.3f",
	       (double)median(on[1], ABBA_ROUNDS) / median(on[0], ABBA_ROUNDS));
	result("empty_ratio", "%.3f",
	       (double)median(empty[1], ABBA_ROUNDS) /
		       median(empty[0], ABBA_ROUNDS));
	result("full_ratio", "%.3f",
	       (double)median(full[1], ABBA_ROUNDS) /
		       median(full[0], ABBA_ROUNDS));
	result("walk_minsn", "%.3f", MINSN(median(walked, ABBA_ROUNDS)));
	result("copy_page", "%.0f", median(copied, ABBA_ROUNDS) / 2.0);
	result("intact", "%s", intact ? "yes" : "NO");
}

/* All of such a block in pieces of order 4, and after that removed. */
void run_full_bulk(void)
{
	long got, of, moved;
	struct fill f;
	bool intact;
	int victim;

	online();
	victim = last_block();
	fill_blocks(&f, &victim, 1, block_part(100));
	moved = hr_vmstat("pgmigrate_success");
	mark_begin(MARK_BULK);
	got = bench_bulk_block(victim, 4, &of);
	mark_end();
	moved = hr_vmstat("pgmigrate_success") - moved;
	result("bulk_of", "%ld", of);
	result("bulk_got", "%ld", got);
	result("bulk_moved", "%ld", moved);
	bench_bulk_free();
	intact = fill_intact(&f);
	fill_free(&f);
	result("bulk_intact", "%s", intact ? "yes" : "NO");
	remove_full(victim);
}

/* ---- how much has to move ----------------------------------------------------- */

static uint64_t next_random(uint64_t *seed)
{
	uint64_t x = (*seed += 0x9e3779b97f4a7c15ULL);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* So many pages, wherever they come to lie. */
static unsigned char *touch(long pages)
{
	unsigned char *mem;
	long i;

	mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		die(-errno, "map %ld pages", pages);
	madvise(mem, pages * PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < pages; i++)
		*(volatile long *)(mem + i * PAGE) = i;
	return mem;
}

static bool touched(const unsigned char *mem, long pages)
{
	long wrong = 0, i, found;

	for (i = 0; i < pages; i++) {
		found = *(volatile long *)(mem + i * PAGE);
		/* What was given back is 0. */
		wrong += found && found != i;
	}
	return !wrong;
}

#define AGE_PAGES 64

/* Give back pieces here and there, until so many pages are left. */
static void age(unsigned char *mem, long pages, long left)
{
	long nr = pages / AGE_PAGES, i;
	bool *gone = calloc(nr, sizeof(*gone));
	uint64_t seed = opt.seed;

	if (!gone)
		die(-ENOMEM, "age memory");
	while (pages - AGE_PAGES >= left) {
		i = next_random(&seed) % nr;
		if (gone[i])
			continue;
		gone[i] = true;
		if (madvise(mem + i * AGE_PAGES * PAGE, AGE_PAGES * PAGE,
			    MADV_DONTNEED))
			die(-errno, "give back memory");
		pages -= AGE_PAGES;
	}
	free(gone);
}

/* So much is in use before most of it is given back, percent. */
#define AGED_FROM 90

/* pct= of all memory; aged=1: more, and then pieces here and there are given back. */
static unsigned char *use(long *pages)
{
	long total, user;
	unsigned char *mem;

	online();
	total = KIB_PAGES(hr_meminfo_kb("MemTotal"));
	user = total * opt.pct / 100 -
	       (total - KIB_PAGES(hr_meminfo_kb("MemFree")));
	*pages = user;
	if (opt.aged)
		*pages += total * (AGED_FROM - opt.pct) / 100;
	if (user <= 0 || *pages < user)
		die(-EINVAL, "pct=%ld", opt.pct);
	mem = touch(*pages);
	if (opt.aged)
		age(mem, *pages, user);
	result("user_pages", "%ld", user);
	return mem;
}

/* What of so much in use has no room in the free memory that is not its own. */
static long unavoidable(long in_use, long pages)
{
	long fits = KIB_PAGES(hr_meminfo_kb("MemFree")) - (pages - in_use) -
		    pressure_watermark_pages("min");

	return in_use > fits ? in_use - fits : 0;
}

/*
 * Memory is in use, then one block goes: of hot-removable ones that which holds
 * least, as virtio-mem does it; of others the last one, as an unplug does. At least
 * what does not fit elsewhere has to move.
 */
void run_use(void)
{
	long pages, minimum, in_use = 0, least = -1, all = 0, n;
	unsigned char *mem;
	struct removal r;
	int victim, emptiest = -1, i;

	mem = use(&pages);
	victim = last_block();
	for (i = 0; i < nr_blocks; i++) {
		n = pages_with(blocks[i], KPF_LRU);
		all += n;
		printf("memory%d holds %ld pages\n", blocks[i], n);
		if (least < 0 || n < least) {
			least = n;
			emptiest = blocks[i];
		}
		in_use = n;
	}
	if (!strcmp(keyword, "online_hotremove")) {
		victim = emptiest;
		in_use = least;
	}
	minimum = unavoidable(in_use, hr_block_pages());
	result("in_blocks", "%ld", all);
	result("mean", "%ld", all / nr_blocks);
	result("in_use", "%ld", in_use);
	result("emptiest", "%ld", least);
	result("minimum", "%ld", minimum);
	remove_block(victim, &r);
	result("moved", "%ld", r.moved);
	result("minimum_ratio", "%.2f",
	       (double)r.moved / (minimum ? minimum : 1));
	result("to_emptiest", "%.3f", (double)r.moved / (least ? least : 1));
	result("ms", "%.2f", r.cost.ns / 1e6);
	result("intact", "%s", touched(mem, pages) ? "yes" : "NO");
}

/* What virtio-mem asks the hypervisor for, block-size= of bench.sh. */
#define PIECE_PAGES 512L

static int compare_long(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

/* Pages in use in the so many emptiest pieces of all blocks, and in the last ones. */
static long emptiest_pieces(long want, long *last)
{
	long pages = hr_block_pages(), each = pages / PIECE_PAGES;
	long nr = nr_blocks * each, sum = 0, i, j;
	uint64_t *flags = malloc(pages * sizeof(*flags));
	long *used = calloc(nr, sizeof(*used));

	if (!flags || !used || want > nr)
		die(-ENOMEM, "%ld pieces of %ld", want, nr);
	for (i = 0; i < nr_blocks; i++) {
		if (hr_kpageflags(hr_block_pfn(blocks[i]), pages, flags))
			die(-EIO, "flags of memory%d", blocks[i]);
		for (j = 0; j < pages; j++)
			used[i * each + j / PIECE_PAGES] +=
				!!(flags[j] & KPF_LRU);
	}
	*last = 0;
	for (i = nr - want; i < nr; i++)
		*last += used[i];
	qsort(used, nr, sizeof(*used), compare_long);
	for (i = 0; i < want; i++)
		sum += used[i];
	free(used);
	free(flags);
	return sum;
}

/*
 * Memory is in use, then virtio-mem is asked for grow= MiB back, whichever it takes.
 * What the emptiest pieces hold has to move, as memory is in use that way. With what
 * the hypervisor takes for its part.
 */
void run_unplug(void)
{
	long want = (opt.grow << 20) / PAGE / PIECE_PAGES;
	long pages, least, last, moved, left;
	unsigned char *mem;
	long long start;

	mem = use(&pages);
	least = emptiest_pieces(want, &last);
	result("last", "%ld", last);
	result("emptiest", "%ld", least);
	result("minimum", "%ld", unavoidable(least, want * PIECE_PAGES));
	moved = hr_vmstat("pgmigrate_success");
	start = now_ns();
	hr_vmem_resize("vm0", opt.plug - opt.grow, 20);
	result("ms", "%.2f", (now_ns() - start) / 1e6);
	left = hr_vmem_size_mib("vm0") - (opt.plug - opt.grow);
	moved = hr_vmstat("pgmigrate_success") - moved;
	result("left_mib", "%ld", left);
	result("moved", "%ld", moved);
	result("to_emptiest", "%.3f", (double)moved / (least ? least : 1));
	result("intact", "%s", touched(mem, pages) ? "yes" : "NO");
}

/* ---- many removals ------------------------------------------------------------- */

/* Up to 4 ms of it, so that each removal meets the others elsewhere. */
static void spin(uint64_t *seed)
{
	volatile long n = next_random(seed) % 400000;

	while (n)
		n--;
}

#define STORMS 4
#define STORM_PAGES 2048

struct storm {
	volatile long stop;
	volatile long rounds;
};

/*
 * Half of them fork, half of them make files; they rest as long as they work, so
 * that what a removal takes is not how long it waits for a CPU.
 */
static void storm(struct storm *s, int nr, uint64_t seed)
{
	unsigned char *mem = NULL;
	long long start = now_ns();
	long i, pages;
	pid_t pid;
	int fd;

	if (nr % 2)
		mem = touch(STORM_PAGES);
	while (!s->stop) {
		poll(NULL, 0, (now_ns() - start) / 1000000 + 1);
		start = now_ns();
		pages = next_random(&seed) % 1024;
		__atomic_add_fetch(&s->rounds, 1, __ATOMIC_RELAXED);
		if (!mem) {
			fd = memfd_create("storm", MFD_CLOEXEC);
			for (i = 0; fd >= 0 && i < pages; i++)
				if (pwrite(fd, &i, sizeof(i), i * PAGE) < 0)
					break;
			close(fd);
			continue;
		}
		pid = fork();
		if (!pid) {
			for (i = 0; i < pages; i++)
				*(volatile long *)(mem + i * PAGE) = i;
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	_exit(0);
}

static struct storm *start_storms(pid_t *pids)
{
	struct storm *s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int i;

	if (s == MAP_FAILED)
		die(-errno, "shared memory");
	for (i = 0; i < STORMS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die(-errno, "fork");
		if (!pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			storm(s, i, opt.seed * STORMS + i);
		}
	}
	return s;
}

/*
 * rounds= removals, block by block, while others fork and make files. All but a
 * part of ordinary memory is in use before (anon_pct=), so that theirs is in
 * the blocks.
 */
void run_tail(void)
{
	long long *ns, *moved;
	uint64_t seed = opt.seed;
	pid_t pids[STORMS];
	struct removal r;
	struct storm *s;
	struct cost c;
	int i;

	ns = calloc(opt.rounds, sizeof(*ns));
	moved = calloc(opt.rounds, sizeof(*moved));
	if (!ns || !moved)
		die(-ENOMEM, "rounds=%ld", opt.rounds);
	hold();
	online();
	s = start_storms(pids);
	for (i = 0; i < opt.rounds; i++) {
		poll(NULL, 0, 5);
		spin(&seed);
		remove_block(blocks[i % nr_blocks], &r);
		ns[i] = r.cost.ns;
		moved[i] = r.moved;
		printf("TAIL %lld %lld\n", ns[i], moved[i]);
		add_block(blocks[i % nr_blocks], &c);
	}
	s->stop = 1;
	for (i = 0; i < STORMS; i++)
		waitpid(pids[i], NULL, 0);
	result("removals", "%ld", opt.rounds);
	result("storm_rounds", "%ld", s->rounds);
	result("median_ms", "%.2f", median(ns, opt.rounds) / 1e6);
	result("p99_ms", "%.2f", ns[opt.rounds * 99 / 100] / 1e6);
	result("max_ms", "%.2f", ns[opt.rounds - 1] / 1e6);
	result("median_moved", "%lld", median(moved, opt.rounds));
	result("max_moved", "%lld", moved[opt.rounds - 1]);
	result("max_ratio", "%.2f",
	       (double)ns[opt.rounds - 1] / ns[opt.rounds / 2]);
}

/* MiB of each load of selftests/load.c. */
#define LOAD_MIB 32

/* rounds= seeded removals under each load, from seed= on. */
void run_rate(void)
{
	long removals = 0, failures = 0, corrupt = 0, moved = 0, loads = 0, ret;
	uint64_t seed = opt.seed;
	struct removal r;
	struct load load;
	const char *name;
	struct cost c;
	int n, i, block;

	hold();
	online();
	for (n = 0; (name = load_name(n)); n++) {
		ret = load_start(&load, name, LOAD_MIB, opt.seed + n);
		if (ret) {
			printf("load %s: %s\n", name, load_why(&load));
			continue;
		}
		loads++;
		for (i = 0; i < opt.rounds; i++) {
			poll(NULL, 0, next_random(&seed) % 8);
			spin(&seed);
			block = blocks[removals++ % nr_blocks];
			try_removal(block, ENDS_MS / 3, &r);
			moved += r.moved;
			if (r.err) {
				failures++;
				printf("load %s, removal %d, memory%d: %s\n",
				       name, i, block, strerror(-r.err));
				continue;
			}
			add_block(block, &c);
		}
		ret = load_stop(&load);
		corrupt += ret;
		if (ret)
			printf("load %s: %ld bytes wrong %s\n", name, ret,
			       load_why(&load));
	}
	result("loads", "%ld", loads);
	result("removals", "%ld", removals);
	result("failures", "%ld", failures);
	result("moved", "%ld", moved);
	result("corrupt", "%ld", corrupt);
	if (failures)
		result("bound_pct", "-");
	else
		result("bound_pct", "%.2f", 100 * hr_success_bound(removals));
}

/*
 * All blocks but one in a row. What moves out of one may come to lie in the
 * next, hence also the cost per page.
 */
void run_many(void)
{
	long long total = 0, first = 0, last = 0, alone;
	long moved = 0, alone_moved, nr = nr_blocks - 1;
	struct removal r;
	struct fill f;
	struct cost c;
	int i, one;

	online();
	one = last_block();
	/* The first one of all does what none does again. */
	remove_block(one, &r);
	add_block(one, &c);
	if (opt.pct)
		fill_blocks(&f, &one, 1, block_part(opt.pct));
	remove_block(one, &r);
	alone = busy_ns(&r.cost);
	alone_moved = r.moved;
	add_block(one, &c);
	if (opt.pct) {
		fill_free(&f);
		fill_blocks(&f, blocks + 1, nr, block_part(opt.pct));
		result("pages", "%ld", f.nr);
	}
	for (i = 1; i <= nr; i++) {
		remove_block(blocks[i], &r);
		last = busy_ns(&r.cost);
		if (i == 1)
			first = last;
		total += last;
		moved += r.moved;
		printf("MANY %d %lld %ld\n", i, last, r.moved);
	}
	result("blocks", "%ld", nr);
	result("moved", "%ld", moved);
	result("alone_minsn", "%.3f", MINSN(alone));
	result("first_minsn", "%.3f", MINSN(first));
	result("last_minsn", "%.3f", MINSN(last));
	result("mean_minsn", "%.3f", MINSN(total) / nr);
	result("last_ratio", "%.3f", (double)last / first);
	result("mean_ratio", "%.3f", (double)total / nr / alone);
	result("mean_to_first", "%.3f", (double)total / nr / first);
	if (!opt.pct)
		return;
	result("moved_ratio", "%.2f", (double)moved / f.nr);
	result("alone_page", "%.0f", alone / 2.0 / alone_moved);
	result("page", "%.0f", total / 2.0 / moved);
	result("page_ratio", "%.3f",
	       ((double)total / moved) / ((double)alone / alone_moved));
	result("intact", "%s", fill_intact(&f) ? "yes" : "NO");
}

/* ---- removals that cannot be done ----------------------------------------------- */

/*
 * One page of the block is in a pipe, for good or, release_ms later, not any
 * more. What the same removal takes without it is measured before.
 */
static void pinned(long release_ms)
{
	struct removal success, then, *r;
	long long released = 0, wait_cpu = 0, waited;
	int victim, fds[2];
	struct iovec iov;
	clockid_t clock;
	struct fill f;
	struct cost c;
	pid_t pid;

	online();
	victim = last_block();
	fill_blocks(&f, &victim, 1, block_part(opt.pct));
	remove_block(victim, &success);
	fill_free(&f);
	add_block(victim, &c);
	fill_blocks(&f, &victim, 1, block_part(opt.pct));
	iov.iov_base = fill_page(&f);
	iov.iov_len = PAGE;
	if (pipe(fds) || vmsplice(fds[1], &iov, 1, 0) != (ssize_t)PAGE)
		die(-errno, "pin a page");

	pid = begin_removal(victim, HOPELESS_MS, &r);
	if (release_ms) {
		close(fds[1]);
		poll(NULL, 0, release_ms);
		if (!clock_getcpuclockid(pid, &clock))
			wait_cpu = cpu_ns(clock);
		released = now_ns();
		close(fds[0]);
	}
	waitpid(pid, NULL, 0);
	result("success_ms", "%.2f", success.cost.ns / 1e6);
	result("success_moved", "%ld", success.moved);
	result_failure(victim, r);
	if (release_ms) {
		result("after_ms", "%.2f", (r->end_ns - released) / 1e6);
		waited = released - r->begin_ns - success.cost.ns;
		wait_cpu -= success.cost.cpu_ns;
	} else {
		result("waited_seconds", "%.3f",
		       (r->cost.ns - 2 * success.cost.ns) / 1e9);
		waited = r->cost.ns - success.cost.ns;
		wait_cpu = r->cost.cpu_ns - success.cost.cpu_ns;
		close(fds[1]);
		close(fds[0]);
	}
	/* Beyond what the pages took that did move. */
	result("wait_cpu_pct", "%.2f", percent_of(wait_cpu, waited));
	result("busy_pct", "%.2f", percent_of(busy_ns(&r->cost), r->cost.ns));
	if (r->err) {
		try_removal(victim, ENDS_MS, &then);
		result_errno("then", then.err);
	} else {
		result("then", "ok");
	}
	result("intact", "%s", fill_intact(&f) ? "yes" : "NO");
}

void run_pinned(void)
{
	pinned(0);
}

void run_pin_goes(void)
{
	pinned(500);
}

/* All memory but what no request gets without reclaim, and some kB above that. */
static void hold_all(struct pressure *p, long above)
{
	long kb = hr_meminfo_kb("MemFree") -
		  pressure_watermark_pages("low") * 4 - above;

	result("held_mib", "%ld", kb / 1024);
	must(pressure_anon(p, kb / 1024, NULL), p, "hold all memory");
}

/* The least there was for the kernel while a process was at work, in kB. */
static long watch_ordinary(pid_t pid)
{
	struct pressure_counters now;
	long least = -1, kb;

	while (!waitpid(pid, NULL, WNOHANG)) {
		pressure_counters(&now);
		kb = now.v[PC_FREE_ORDINARY] * 4;
		if (least < 0 || kb < least)
			least = kb;
		poll(NULL, 0, 5);
	}
	return least;
}

/* So much kernel memory is asked for afterwards, MiB. */
#define AFTERWARDS 4

void run_no_memory(void)
{
	struct pressure_counters from, now;
	struct pressure all, grower;
	long least, min_kb;
	struct removal *r;
	int victim, ret;
	pid_t pid;

	/* It offers itself to be killed, as well. */
	must(pressure_unmovable(&grower, NULL), &grower, "start to grow");
	online();
	victim = last_block();
	hold_all(&all, 4 * 1024);
	min_kb = pressure_watermark_pages("min") * 4;
	result("in_use", "%ld", pages_with(victim, KPF_LRU));
	pressure_counters(&from);
	pid = begin_removal(victim, HOPELESS_MS, &r);
	least = watch_ordinary(pid);
	pressure_counters(&now);
	result_failure(victim, r);
	result_waiting(victim, r);
	result("before_kb", "%lld", from.v[PC_FREE_ORDINARY] * 4);
	result("least_kb", "%ld", least);
	result("min_kb", "%ld", min_kb);
	result("margin_kb", "%ld", least - min_kb);
	result("oom_kills", "%lld", now.v[PC_OOM_KILL] - from.v[PC_OOM_KILL]);
	ret = pressure_grow(&grower, AFTERWARDS * 1024, 0, 60);
	if (ret < 0)
		printf("grow: %s\n", pressure_why(&grower));
	pressure_counters(&now);
	result("oom_kills_then", "%lld",
	       now.v[PC_OOM_KILL] - from.v[PC_OOM_KILL]);
	result("intact", "%s", pressure_check(&all) ? "NO" : "yes");
}

/* Room for what is in a block, and some more. */
#define CACHE_ROOM_MIB 64

/*
 * A block full of clean page cache that nobody has used since it was read. With hold=1
 * there is no free memory to move it to.
 */
void run_cache(void)
{
	struct pressure cache, all = {};
	struct removal r;
	long mib, pages;
	int victim;

	online();
	victim = last_block();
	mib = (hr_meminfo_kb("MemFree") >> 10) - (hr_block_bytes() >> 20) -
	      CACHE_ROOM_MIB;
	must(pressure_cache(&cache, mib, NULL), &cache, "read a file");
	if (opt.hold)
		hold_all(&all, 0);
	pages = pages_with(victim, KPF_LRU);
	result("pages", "%ld", pages);
	result("free_mib", "%ld", hr_meminfo_kb("MemFree") >> 10);
	remove_block(victim, &r);
	result("moved", "%ld", r.moved);
	result("dropped", "%ld", pages - r.moved);
	result("ms", "%.2f", r.cost.ns / 1e6);
	if (pages)
		result("busy_page", "%.0f", busy_ns(&r.cost) / 2.0 / pages);
	result("intact", "%s", pressure_check(&cache) ? "NO" : "yes");
}

#define NR_HUGE "/proc/sys/vm/nr_hugepages"

static long set_huge(long nr)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", nr);
	hr_write_file(NR_HUGE, text);
	if (hr_read_file(NR_HUGE, text, sizeof(text)) <= 0)
		die(-ENOENT, NR_HUGE);
	return atol(text);
}

/*
 * huge= huge pages in use in the block; spare= free ones, anywhere. Without those, all
 * memory is huge pages: what is not in the block is in use, and what else is in it, free.
 */
void run_hugetlb(void)
{
	struct removal *r;
	unsigned char *mem;
	long nr, kept = 0, i;
	int victim;

	online();
	victim = last_block();
	nr = set_huge(hr_meminfo_kb("MemFree") / 2048);
	mem = mmap(NULL, nr * HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED)
		die(-errno, "map %ld huge pages", nr);
	madvise(mem, nr * HUGE, MADV_DONTFORK);
	for (i = 0; i < nr; i++)
		*(volatile long *)(mem + i * HUGE) = i;
	for (i = 0; i < nr; i++) {
		bool in = hr_pages_in_block(mem + i * HUGE, PAGE, victim) == 1;

		if (in && kept < opt.huge) {
			kept++;
			continue;
		}
		if (!in && !opt.spare)
			continue;
		if (munmap(mem + i * HUGE, HUGE))
			die(-errno, "give back a huge page");
	}
	result("huge", "%ld", kept);
	if (opt.spare)
		nr = set_huge(kept + opt.spare);
	result("pool", "%ld", nr);
	result("spare_inside", "%ld",
	       pages_with(victim, KPF_HUGE) / HUGE_PAGES - kept);
	waitpid(begin_removal(victim, HOPELESS_MS, &r), NULL, 0);
	result_failure(victim, r);
	result_waiting(victim, r);
	if (kept)
		result("moved_ratio", "%.2f",
		       (double)r->moved / (kept * HUGE_PAGES));
}

/* ---- what others notice ----------------------------------------------------------- */

/* What a bystander walks through, and how much of it is one unit of its work. */
#define WALK_PAGES 8192
#define WALK_UNIT 16

static void run_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die(-errno, "run on CPU %d", cpu);
}

struct bystander {
	volatile long units;
	volatile long ready;
};

static void __attribute__((noreturn))
walk_for_ever(struct bystander *b, int block)
{
	unsigned char **pages = calloc(WALK_PAGES, sizeof(*pages));
	struct fill f;
	long nr = 0;
	size_t i, j;

	if (!pages)
		die(-ENOMEM, "a bystander");
	if (block >= 0) {
		fill_blocks(&f, &block, 1, WALK_PAGES);
		for (i = 0; i < f.pages && nr < WALK_PAGES; i++)
			if (f.kept[i])
				pages[nr++] = f.mem + i * PAGE;
	} else {
		f.mem = touch(WALK_PAGES);
		for (; nr < WALK_PAGES; nr++)
			pages[nr] = f.mem + nr * PAGE;
	}
	run_on(1);
	b->ready = 1;
	for (i = 0;; i = (i + 1) % nr) {
		for (j = 0; j < PAGE; j += 64)
			++*(volatile uint64_t *)(pages[i] + j);
		if (i % WALK_UNIT == 0)
			b->units++;
	}
}

/* Units a virtual second, while the caller does nothing. */
static double units_a_second(struct bystander *b, int ms)
{
	long long from = now_ns();
	long units = b->units;

	poll(NULL, 0, ms);
	return (b->units - units) * 1e9 / (now_ns() - from);
}

/*
 * Two CPUs take turns in virtual time. What is left of it for a program on the
 * other one is known from the same removal while that program was stopped: all
 * that it does less than it could do then was taken from it.
 */
void run_victim(void)
{
	long long from, left, ns, busy = 0;
	long units, moved = 0;
	struct bystander *b;
	struct removal r;
	double alone;
	struct fill f;
	pid_t walker;
	int i;

	b = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		 -1, 0);
	if (b == MAP_FAILED)
		die(-errno, "shared memory");
	if (nr_blocks != 5)
		die(-EINVAL, "%d blocks instead of 5", nr_blocks);
	if (opt.inside)
		online();
	run_on(0);
	walker = fork();
	if (walker < 0)
		die(-errno, "fork");
	if (!walker) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		walk_for_ever(b, opt.inside ? blocks[1] : -1);
	}
	while (!b->ready)
		poll(NULL, 0, 10);
	if (!opt.inside)
		online();
	fill_blocks(&f, blocks + 1, 4, block_part(opt.pct ? opt.pct : 100));
	alone = units_a_second(b, 1000);

	kill(walker, SIGSTOP);
	poll(NULL, 0, 10);
	for (i = 3; i <= 4; i++) {
		remove_block(blocks[i], &r);
		busy += busy_ns(&r.cost);
		moved += r.moved;
	}
	result("stopped_ms", "%.1f", busy / 1e6);
	result("stopped_moved", "%ld", moved);
	kill(walker, SIGCONT);
	poll(NULL, 0, 10);
	moved = 0;
	ns = 0;
	units = 0;
	for (i = 1; i <= 2; i++) {
		from = b->units;
		remove_block(blocks[i], &r);
		units += b->units - from;
		ns += r.cost.ns;
		moved += r.moved;
	}
	kill(walker, SIGKILL);
	waitpid(walker, NULL, 0);
	left = ns - busy;
	result("moved", "%ld", moved);
	result("ms", "%.1f", ns / 1e6);
	result("left_ms", "%.1f", left / 1e6);
	result("alone", "%.0f", alone);
	result("during", "%.0f", units * 1e9 / left);
	result("during_pct", "%.1f", units * 1e9 / left * 100 / alone);
	result("lost_ms_block", "%.2f", (left - units * 1e9 / alone) / 1e6 / 2);
	result("intact", "%s", fill_intact(&f) ? "yes" : "NO");
}
