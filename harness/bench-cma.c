// SPDX-License-Identifier: GPL-2.0
/*
 * Scenarios of `make bench` that allocate from a CMA area, through its files in
 * debugfs: what freed pages cost that pass by the per-cpu lists, how much work
 * each effort is at worst, how much of what is asked for is had while others are
 * at work (Minchan Kim's test of 2020), and what kernel memory can have of it. The
 * last one compares it with ZONE_MOVABLE and hot-removable memory.
 *
 * The stock kernel has "alloc" and "free" only: what needs more is "-" there.
 *
 * With keywords other than cma the area is all of the memory that comes online,
 * through the files of CONFIG_CONTIG_TEST. A CMA area is searched for room, of a
 * range it is said where that is to be: as one, at its beginning.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "churn.h"
#include "hr.h"
#include "pressure.h"
#include "report.h"

#define AREA "/sys/kernel/debug/cma/"
#define RANGE "/sys/kernel/debug/contig_test/"
#define PCP_POLICY "/proc/sys/vm/hotremove_pcp"
#define ORDER 4
#define PIECE (1UL << ORDER)

#define KPF_LRU (1ULL << 5)
#define KPF_BUDDY (1ULL << 10)
#define KPF_ANON (1ULL << 12)
#define KPF_SWAPBACKED (1ULL << 14)

#define MAX_ROUNDS 1000

/* ---- the area -------------------------------------------------------------- */

static char area[64];
static unsigned long base, count; /* pfn, pages */

static long area_get(const char *file)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "%s/%s", area, file);
	return hr_read_file(path, buf, sizeof(buf)) < 0 ? -1 : atol(buf);
}

/* One write; its errno, negative. */
static int area_set(const char *file, unsigned long val)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "%s/%s", area, file);
	snprintf(buf, sizeof(buf), "%lu", val);
	return hr_write_file(path, buf);
}

/* A part of the area, as one or in pieces: how many, or the errno, negative. */
static long range_ask(const char *what)
{
	int fd = open(RANGE "alloc", O_RDWR | O_CLOEXEC);
	char buf[32] = "";
	long ret;

	if (fd < 0)
		die(-errno, "a kernel with CONFIG_CONTIG_TEST");
	ret = write(fd, what, strlen(what));
	if (ret < 0)
		ret = -errno;
	else if (pread(fd, buf, sizeof(buf) - 1, 0) >= 0)
		ret = atol(buf);
	close(fd);
	return ret;
}

static int current_effort = 2;

static int set_effort(int effort)
{
	current_effort = effort;
	return is_cma() ? area_set("effort", effort) : 0;
}

/* As one; a range from its page `at` on. */
static int alloc_whole(unsigned long at, unsigned long pages)
{
	char buf[128];
	long ret;

	if (is_cma())
		return area_set("alloc", pages);
	snprintf(buf, sizeof(buf), "%lu %lu %d", base + at, base + at + pages,
		 current_effort);
	ret = range_ask(buf);
	return ret < 0 ? ret : 0;
}

static long alloc_bulk(unsigned int order, unsigned long nr)
{
	char buf[128];

	if (is_cma()) {
		if (area_set("order", order) || area_set("bulk", nr))
			return 0;
		return area_get("bulk");
	}
	snprintf(buf, sizeof(buf), "%lu %lu %d %u %lu", base, base + count,
		 current_effort, order, nr);
	return range_ask(buf);
}

static void free_all(void)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lu", count);
	if (is_cma())
		area_set("free", count);
	else
		hr_write_file(RANGE "free", buf);
}

static void find_range(void)
{
	if (!nr_blocks)
		die(-ENODEV, "no memory block is offline");
	online();
	base = hr_block_pfn(blocks[0]);
	count = nr_blocks * hr_block_pages();
}

static void find_area(void)
{
	static const char *const names[] = { "reserved", "cma_reserved",
					     "linux,cma" };

	if (!is_cma()) {
		find_range();
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(area, sizeof(area), AREA "%s", names[i]);
		if (area_get("count") <= 0)
			continue;
		base = area_get("base_pfn");
		count = area_get("count");
		return;
	}
	die(-ENODEV, "no CMA area in debugfs");
}

static bool have_bulk(void)
{
	return !is_cma() || area_get("order") >= 0;
}

/* Which pages of the area are in use; ones on per-cpu lists are as well. */
static void area_in_use(bool *used)
{
	static uint64_t *flags;

	if (!flags)
		flags = calloc(count, sizeof(*flags));
	if (!flags || hr_kpageflags(base, count, flags) < 0)
		die(-errno, "/proc/kpageflags");
	for (unsigned long i = 0; i < count; i++)
		used[i] = !(flags[i] & KPF_BUDDY);
}

static long used_in_pieces(const bool *used)
{
	FILE *f = fopen(RANGE "pieces", "re");
	unsigned long pfn, nr;
	long sum = 0;

	if (!f)
		die(-errno, RANGE "pieces");
	while (fscanf(f, "%lu %lu", &pfn, &nr) == 2) {
		for (unsigned long i = 0; i < nr; i++)
			sum += !used || used[pfn - base + i];
	}
	fclose(f);
	return sum;
}

/* How many of these pages are allocated from the area now. */
static long used_and_given(const bool *used)
{
	char path[128];
	long sum = 0;
	FILE *f;

	if (!is_cma())
		return used_in_pieces(used);
	snprintf(path, sizeof(path), "%s/bitmap", area);
	f = fopen(path, "re");
	if (!f)
		die(-errno, "%s", path);
	for (unsigned long i = 0; i < count; i += 32) {
		unsigned int word;

		if (fscanf(f, "%u", &word) != 1)
			die(-EIO, "%s", path);
		for (unsigned long j = 0; j < 32 && i + j < count; j++)
			sum += (word >> j & 1) && used[i + j];
	}
	fclose(f);
	return sum;
}

/* ---- memory in it ------------------------------------------------------------ */

static struct {
	char *map;
	size_t bytes;
	char **pages; /* those in the area */
	unsigned long *pfns; /* where */
	long nr;
} filling;

static unsigned long entry_pfn(uint64_t entry)
{
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

static bool entry_in_area(uint64_t entry)
{
	const unsigned long pfn = entry_pfn(entry);

	return pfn >= base && pfn < base + count;
}

static void map_filling(long mib)
{
	if (mib <= 0)
		die(-ENOMEM, "%ld MiB to fill", mib);
	filling.bytes = mib << 20;
	filling.nr = 0;
	if (!filling.pages)
		filling.pages = calloc(count, sizeof(*filling.pages));
	if (!filling.pfns)
		filling.pfns = calloc(count, sizeof(*filling.pfns));
	filling.map = mmap(NULL, filling.bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!filling.pages || !filling.pfns || filling.map == MAP_FAILED ||
	    madvise(filling.map, filling.bytes, MADV_NOHUGEPAGE))
		die(-errno, "map %ld MiB", mib);
}

/* So much of it, from there on. */
static void touch_filling(size_t from, size_t bytes)
{
	if (madvise(filling.map + from, bytes, MADV_POPULATE_WRITE))
		die(-errno, "fill %zu MiB", bytes >> 20);
}

/* What of it lies in the area; let go of the rest, unless all is to stay. */
static void find_filling(bool all)
{
	static uint64_t entries[512];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(-errno, "/proc/self/pagemap");
	for (size_t at = 0; at < filling.bytes;
	     at += sizeof(entries) / 8 * PAGE) {
		char *addr = filling.map + at;
		size_t n = sizeof(entries) / 8;

		if (n > (filling.bytes - at) / PAGE)
			n = (filling.bytes - at) / PAGE;
		if (pread(fd, entries, n * 8, (uintptr_t)addr / PAGE * 8) !=
		    (ssize_t)(n * 8))
			die(-errno, "read pagemap");
		for (size_t i = 0; i < n; i++, addr += PAGE) {
			if (entry_in_area(entries[i])) {
				filling.pfns[filling.nr] =
					entry_pfn(entries[i]);
				filling.pages[filling.nr++] = addr;
			} else if (!all) {
				madvise(addr, PAGE, MADV_DONTNEED);
			}
		}
	}
	close(fd);
}

static void fill_mib(long mib, bool all)
{
	map_filling(mib);
	touch_filling(0, filling.bytes);
	find_filling(all);
}

/*
 * Anonymous memory takes from the area what it takes from the rest, as far as
 * both are free: fill them to `spare` MiB, and let go of what lies elsewhere,
 * unless all is to stay.
 */
static void fill(long spare, bool all)
{
	fill_mib(hr_meminfo_kb("MemFree") / 1024 - spare, all);
}

static void fill_area(long spare)
{
	fill(spare, false);
}

static void empty_area(void)
{
	if (filling.map)
		munmap(filling.map, filling.bytes);
	filling.map = NULL;
	filling.nr = 0;
}

/* References that are in the way, for as long as nobody reads the pipes. */
#define MAX_PINS 64

static int pins[MAX_PINS][2];
static char *pinned[MAX_PINS];

static bool is_pinned(const char *page, int nr)
{
	for (int i = 0; i < nr; i++) {
		if (pinned[i] == page)
			return true;
	}
	return false;
}

/* Some of the pages that are there. Of each four, number `gap` is not; -1: all are. */
static void pin(int nr, int gap)
{
	if (nr > MAX_PINS || filling.nr < 4 * nr || filling.nr < 4)
		die(-EINVAL, "hold %d pages of %ld", nr, filling.nr);
	for (int i = 0; i < nr; i++) {
		struct iovec iov = { .iov_len = 1 };

		do {
			long at = rand() % (filling.nr / 4) * 4;

			at += gap < 0 ? rand() % 4 : (gap + 1 + rand() % 3) % 4;
			iov.iov_base = filling.pages[at];
		} while (is_pinned(iov.iov_base, i));
		if (pipe(pins[i]) || vmsplice(pins[i][1], &iov, 1, 0) != 1)
			die(-errno, "hold a page");
		pinned[i] = iov.iov_base;
	}
}

/* How many of these lie in the area: they stay where they are. */
static int pinned_in_area(int nr)
{
	int sum = 0;

	for (int i = 0; i < nr; i++) {
		const unsigned long pfn = hr_virt_to_pfn(pinned[i]);

		sum += pfn >= base && pfn < base + count;
	}
	return sum;
}

static void unpin(int nr)
{
	for (int i = 0; i < nr; i++) {
		close(pins[i][0]);
		close(pins[i][1]);
	}
}

/* All of a memory block in pieces, for bench-removal.c: how many of how many. */
long bench_bulk_block(int block, unsigned int order, long *of)
{
	char buf[128];
	const unsigned long pfn = hr_block_pfn(block);

	*of = hr_block_pages() >> order;
	snprintf(buf, sizeof(buf), "%lu %lu 2 %u %ld", pfn,
		 pfn + hr_block_pages(), order, *of);
	return range_ask(buf);
}

void bench_bulk_free(void)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lu", hr_block_pages());
	hr_write_file(RANGE "free", buf);
}

/* ---- frees past the per-cpu lists ---------------------------------------------- */

static const char *const policies[] = { "never", "always", "auto" };

static int nr_policies(void)
{
	return access(PCP_POLICY, F_OK) ? 1 : 3;
}

static void set_policy(int policy)
{
	char buf[16];
	int ret;

	if (nr_policies() == 1)
		return;
	snprintf(buf, sizeof(buf), "%d", policy);
	ret = hr_write_file(PCP_POLICY, buf);
	if (ret)
		die(ret, "write %s to %s", buf, PCP_POLICY);
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void result_named(const char *what, const char *name, double value)
{
	char key[64];

	snprintf(key, sizeof(key), "%s_%s", what, name);
	result(key, value == (long long)value ? "%.0f" : "%.3f", value);
}

static double median(double *values, long nr)
{
	qsort(values, nr, sizeof(*values), compare);
	return values[nr / 2];
}

/*
 * Instructions for each page that is let go of, in one call and in a call for each
 * page, which has the call in it. With one CPU, 2 ns are an instruction.
 */
void run_cma_free(void)
{
	static double batch[MAX_ROUNDS], single[MAX_ROUNDS];
	long long start;
	long pages = 0;

	find_area();
	hold();
	for (int policy = 0; policy < nr_policies(); policy++) {
		set_policy(policy);
		for (long i = 0; i < opt.rounds; i++) {
			fill_area(opt.spare);
			pages += filling.nr;
			start = now_ns();
			madvise(filling.map, filling.bytes, MADV_DONTNEED);
			batch[i] = (now_ns() - start) / 2.0 / filling.nr;
			empty_area();
			fill_area(opt.spare);
			start = now_ns();
			for (long j = 0; j < filling.nr; j++)
				madvise(filling.pages[j], PAGE, MADV_DONTNEED);
			single[i] = (now_ns() - start) / 2.0 / filling.nr;
			empty_area();
		}
		result_named("batch_insn", policies[policy],
			     median(batch, opt.rounds));
		result_named("single_insn", policies[policy],
			     median(single, opt.rounds));
	}
	result("pages", "%ld", pages / opt.rounds / nr_policies());
}

/* ---- how often zone->lock is taken ------------------------------------------------ */

#define LOCK_STAT "/proc/lock_stat"
#define ZONE_LOCK "&zone->lock:"
#define CYCLES 4096

static void watch_lock(void)
{
	int ret = hr_write_file(LOCK_STAT, "0");

	if (ret)
		die(ret, "a kernel with CONFIG_LOCK_STAT");
}

/* By anybody since watch_lock(). */
static double lock_taken(void)
{
	char line[512], *at;
	double sum = 0, n;
	FILE *f = fopen(LOCK_STAT, "re");

	if (!f)
		die(-errno, LOCK_STAT);
	while (fgets(line, sizeof(line), f)) {
		at = strstr(line, ZONE_LOCK);
		if (!at)
			continue;
		if (sscanf(at + strlen(ZONE_LOCK),
			   " %*s %*s %*s %*s %*s %*s %*s %lf", &n) != 1)
			die(-EIO, "what is this: %s", line);
		sum += n;
	}
	fclose(f);
	return sum;
}

/* One page comes and goes, where all that is free lies in the area: how often. */
static double take_and_free(long *in_area)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	if (page == MAP_FAILED || fd < 0)
		die(-errno, "a page");
	watch_lock();
	for (long i = 0; i < CYCLES; i++) {
		*page = 1;
		if (pread(fd, &entry, 8, (uintptr_t)page / PAGE * 8) != 8)
			die(-errno, "read pagemap");
		*in_area += entry_in_area(entry);
		madvise(page, PAGE, MADV_DONTNEED);
	}
	close(fd);
	munmap(page, PAGE);
	return lock_taken() * 1000 / CYCLES;
}

/*
 * For each 1,000 pages that are let go of, in one call and in a call for each page,
 * and for 1,000 times that one comes and goes. By a call for each page is also how
 * often a kernel would take it that freed them past the lists one by one whenever
 * they are freed: what batches save is the former to the latter.
 */
void run_cma_locks(void)
{
	static double batch[MAX_ROUNDS], single[MAX_ROUNDS], cycle[MAX_ROUNDS];

	if (opt.rounds > MAX_ROUNDS)
		die(-EINVAL, "rounds=%ld", opt.rounds);
	find_area();
	hold();
	for (int policy = 0; policy < nr_policies(); policy++) {
		long in_area = 0;

		set_policy(policy);
		for (long i = 0; i < opt.rounds; i++) {
			fill_area(opt.spare);
			watch_lock();
			madvise(filling.map, filling.bytes, MADV_DONTNEED);
			batch[i] = lock_taken() * 1000 / filling.nr;
			empty_area();

			fill(opt.spare, true);
			watch_lock();
			for (long j = 0; j < filling.nr; j++)
				madvise(filling.pages[j], PAGE, MADV_DONTNEED);
			single[i] = lock_taken() * 1000 / filling.nr;
			cycle[i] = take_and_free(&in_area);
			empty_area();
		}
		result_named("batch_locks", policies[policy],
			     median(batch, opt.rounds));
		result_named("single_locks", policies[policy],
			     median(single, opt.rounds));
		result_named("cycle_locks", policies[policy],
			     median(cycle, opt.rounds));
		result_named("cycle_in_area_pct", policies[policy],
			     100.0 * in_area / CYCLES / opt.rounds);
		result_named("batch_to_single_pct", policies[policy],
			     100 * median(batch, opt.rounds) /
				     median(single, opt.rounds));
	}
	set_policy(0);
}

/* ---- while others are at work ---------------------------------------------------- */

enum mode { WHOLE, SINGLES, BULK, NR_MODES };

static const char *const mode_name[] = { "whole", "singles", "bulk" };

struct tally {
	long n, complete, worst; /* attempts, pieces of the worst one */
	long held; /* attempts with all pages held that were to be */
	long moved, had_to, dropped; /* pages */
	double ms[MAX_ROUNDS];
};

#define TRACING "/sys/kernel/tracing/"
#define MIGRATE_INFO "mm_alloc_contig_migrate_range_info"

/*
 * Clean page cache is dropped where others are moved: how much, the kernel only says
 * in a trace event for each pass over a range, on stock as well. To open the trace
 * like that is what empties it.
 */
static void watch_dropped(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 ||
	    hr_write_file(TRACING "events/kmem/" MIGRATE_INFO "/enable", "1"))
		die(-EIO, "trace " MIGRATE_INFO);
	close(fd);
}

static long number_after(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? atol(at + strlen(name)) : 0;
}

/* What the kernel calls who asks: of a CMA area, or of a range */
#define MIGRATE_MOVABLE 1
#define MIGRATE_CMA 4

/*
 * The kernel passes the type before the numbers, where the event has it after them
 * (6.12, stock as well): each number then has the name of the next one, and the last
 * one that of the type.
 */
static long dropped_pages(void)
{
	const long type = is_cma() ? MIGRATE_CMA : MIGRATE_MOVABLE;
	static bool shifted;
	FILE *f = fopen(TRACING "trace", "re");
	long reclaimed = 0, next = 0;
	char line[512];

	if (!f)
		die(-errno, TRACING "trace");
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, MIGRATE_INFO ":"))
			continue;
		shifted |= number_after(line, " migratetype=") != type;
		reclaimed += number_after(line, " nr_reclaimed=");
		next += number_after(line, " nr_mapped=");
	}
	fclose(f);
	return shifted ? next : reclaimed;
}

static long free_in_area(void)
{
	static bool *used;
	long sum = 0;

	if (is_cma())
		return hr_meminfo_kb("CmaFree") / 4;
	if (!used)
		used = calloc(count, sizeof(*used));
	if (!used)
		die(-ENOMEM, "%lu bytes", count);
	area_in_use(used);
	for (unsigned long i = 0; i < count; i++)
		sum += !used[i];
	return sum;
}

/* For each page that is to be held, so many to choose from. */
#define CHOICE 64

/*
 * The area is to be in use, though what was asked for last has just been freed:
 * by anonymous memory of ours, rather than wait until others have come there.
 * If others have all of it, but a page of ours is to be held there, more is taken
 * than is free: what is reclaimed for it lies in the area as well.
 */
static void use_area(void)
{
	const long room = hr_meminfo_kb("MemFree") / 1024 - opt.spare;

	/* Half of the room to all of it, by the seed. */
	if (free_in_area() > (long)count / 16 && room > 0)
		fill_mib(room - rand() % (room / 2 + 1), false);
	for (long more = 32; filling.nr < CHOICE * opt.held && more <= 256;
	     more *= 2) {
		empty_area();
		fill_mib((room > 0 ? room : 0) + more, false);
	}
}

static long ask(enum mode mode, unsigned long pieces)
{
	unsigned long got = 0, failed = 0, at = 0, most;
	long ret;

	switch (mode) {
	case WHOLE:
		return alloc_whole(0, pieces * PIECE) ? 0 : pieces;
	case SINGLES:
		/* One that fails has looked at all of a CMA area. */
		most = is_cma() ? 20 : count / PIECE - pieces + 1;
		for (; got < pieces && failed < most; at += PIECE) {
			if (alloc_whole(at, PIECE))
				failed++;
			else
				got++;
		}
		return got;
	default:
		ret = alloc_bulk(ORDER, pieces);
		return ret < 0 ? 0 : ret;
	}
}

static void attempt(enum mode mode, unsigned long pieces, struct tally *t)
{
	static bool *used;
	long before, got, held;
	long long start;

	if (!used)
		used = calloc(count, sizeof(*used));
	if (!used)
		die(-ENOMEM, "%lu bytes", count);
	use_area();
	held = filling.nr >= 4 * opt.held ? opt.held : 0;
	if (held)
		pin(held, -1);
	usleep(rand() % 200000);
	watch_dropped();
	area_in_use(used);
	before = hr_vmstat("pgmigrate_success");
	start = now_ns();
	got = ask(mode, pieces);
	t->ms[t->n] = (now_ns() - start) / 1e6;
	t->moved += hr_vmstat("pgmigrate_success") - before;
	t->had_to += used_and_given(used);
	t->dropped += dropped_pages();
	t->held += held && pinned_in_area(held) == held;
	t->complete += got == (long)pieces;
	if (!t->n++ || got < t->worst)
		t->worst = got;
	free_all();
	if (held)
		unpin(held);
	empty_area();
}

static void result_tally(const char *name, struct tally *t)
{
	result_named("n", name, t->n);
	result_named("complete", name, t->complete);
	result_named("worst", name, t->worst);
	if (opt.held)
		result_named("held_attempts", name, t->held);
	result_named("moved", name, t->moved);
	result_named("in_use", name, t->had_to);
	result_named("dropped", name, t->dropped);
	if (t->had_to > t->dropped)
		result_named("moved_ratio", name,
			     (double)t->moved / (t->had_to - t->dropped));
	result_named("ms", name, median(t->ms, t->n));
	result_named("max_ms", name, t->ms[t->n - 1]);
}

static pid_t churners[2];
static bool churned = true;

static void resume_churn(void)
{
	churners[0] = churn_start(churn_memory);
	churners[1] = churn_start(churn_tasks);
	if (churners[0] < 0 || churners[1] < 0)
		die(-errno, "start to churn");
}

static void pause_churn(void)
{
	for (int i = 0; i < 2; i++)
		churned &= churn_end(churners[i]);
}

static void start_churn(void)
{
	find_area();
	srand(opt.seed);
	hold();
	hold_cache();
	resume_churn();
}

static void end_churn(void)
{
	pause_churn();
	result("churned", "%s", churned ? "yes" : "NO");
	result_count("used_pages",
		     is_cma() ? area_get("used") : used_in_pieces(NULL));
	check_and_stop();
}

/* From so many attempts on single allocations would take too long. */
#define MANY_ROUNDS 20

/*
 * `grow` MiB in pieces, as one, one by one (once a guest, and not where pages are
 * held or there are many attempts) and in bulk. Each attempt has a seed of its own: how
 * much of what is free is filled first, where those who are at work begin, and for how
 * long they are before anything is asked for.
 */
void run_cma_bulk(void)
{
	const unsigned long pieces = (opt.grow << 20) / (PAGE * PIECE);
	static struct tally tally[NR_MODES];

	if (opt.rounds > MAX_ROUNDS)
		die(-EINVAL, "rounds=%ld", opt.rounds);
	start_churn();
	result("pieces", "%lu", pieces);
	for (long i = 0; i < opt.rounds * NR_MODES; i++) {
		enum mode mode = (i + opt.seed) % NR_MODES;

		if (mode == BULK && !have_bulk())
			continue;
		/* That takes as long as all others together. */
		if (mode == SINGLES && (tally[mode].n || opt.held))
			continue;
		/* How sure bulk is is the question then. */
		if (mode != BULK && opt.rounds >= MANY_ROUNDS)
			continue;
		srand(opt.seed + i / NR_MODES);
		pause_churn();
		resume_churn();
		attempt(mode, pieces, &tally[mode]);
	}
	for (int mode = 0; mode < NR_MODES; mode++) {
		if (tally[mode].n)
			result_tally(mode_name[mode], &tally[mode]);
	}
	end_churn();
}

/* The same for each policy of freeing: as one, and in bulk. */
void run_cma_churn(void)
{
	const unsigned long pieces = (opt.grow << 20) / (PAGE * PIECE);
	static struct tally tally[3][NR_MODES];
	char name[32];

	if (opt.rounds > MAX_ROUNDS)
		die(-EINVAL, "rounds=%ld", opt.rounds);
	start_churn();
	for (long i = 0; i < opt.rounds; i++) {
		for (int policy = 0; policy < nr_policies(); policy++) {
			set_policy(policy);
			attempt(WHOLE, pieces, &tally[policy][WHOLE]);
			if (have_bulk())
				attempt(BULK, pieces, &tally[policy][BULK]);
		}
	}
	set_policy(0);
	for (int policy = 0; policy < nr_policies(); policy++) {
		for (int mode = 0; mode < NR_MODES; mode++) {
			if (!tally[policy][mode].n)
				continue;
			snprintf(name, sizeof(name), "%s_%s", mode_name[mode],
				 policies[policy]);
			result_tally(name, &tally[policy][mode]);
		}
	}
	end_churn();
}

/*
 * virtio-mem is asked for `grow` MiB back while others are at work, for each policy
 * of freeing, and given them again. What the hypervisor takes for its part is in it.
 */
void run_cma_unplug(void)
{
	static struct tally tally[3];

	if (opt.rounds > MAX_ROUNDS)
		die(-EINVAL, "rounds=%ld", opt.rounds);
	if (hr_write_file("/sys/devices/system/memory/auto_online_blocks",
			  keyword))
		die(-errno, "bring memory online as %s", keyword);
	start_churn();
	for (long i = 0; i < opt.rounds; i++) {
		for (int policy = 0; policy < nr_policies(); policy++) {
			struct tally *t = &tally[policy];
			long moved, left;
			long long start;

			set_policy(policy);
			poll(NULL, 0, rand() % 200);
			moved = hr_vmstat("pgmigrate_success");
			start = now_ns();
			hr_vmem_resize("vm0", opt.plug - opt.grow, 20);
			t->ms[t->n] = (now_ns() - start) / 1e6;
			t->moved += hr_vmstat("pgmigrate_success") - moved;
			left = hr_vmem_size_mib("vm0") - (opt.plug - opt.grow);
			t->complete += !left;
			if (!t->n++ || opt.grow - left < t->worst)
				t->worst = opt.grow - left;
			hr_vmem_resize("vm0", opt.plug, 20);
		}
	}
	set_policy(0);
	for (int policy = 0; policy < nr_policies(); policy++) {
		const char *name = policies[policy];
		struct tally *t = &tally[policy];

		result_named("complete", name, t->complete);
		result_named("worst_mib", name, t->worst);
		result_named("moved", name, (double)t->moved / t->n);
		result_named("ms", name, median(t->ms, t->n));
		result_named("max_ms", name, t->ms[t->n - 1]);
	}
	end_churn();
}

/* ---- how hard to try ----------------------------------------------------------------- */

struct worst {
	long n, got, asked, isolated, moved; /* got and asked: of all of them */
	double ms, minsn;
};

static const char *const efforts[] = { "noretry", "normal", "hard" };

static double cpu_minsn(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (ts.tv_sec * 1e9 + ts.tv_nsec) / 2e6;
}

#define MOST(a, b)                 \
	do {                       \
		if ((a) < (b))     \
			(a) = (b); \
	} while (0)

/*
 * What an allocation takes that is in vain, or not: the most of each. As one, or in
 * pieces, which the file notes one by one: that is in it as well. Only what it got is
 * given back. Isolated are pages off LRU lists and, of one that succeeds as one, those
 * it takes off the free lists.
 */
static void try_hard(int effort, enum mode mode, unsigned long pages,
		     struct worst *w)
{
	const unsigned long piece = mode == BULK ? PIECE : pages;
	long isolated = hr_vmstat("compact_isolated");
	long moved =
		hr_vmstat("pgmigrate_success") + hr_vmstat("pgmigrate_fail");
	long long start;
	double minsn;
	long got;

	if (set_effort(effort) && effort != 1)
		return;
	if (mode == BULK && area_set("order", ORDER))
		die(-EINVAL, "order");
	minsn = cpu_minsn();
	start = now_ns();
	got = !area_set(mode == BULK ? "bulk" : "alloc",
			mode == BULK ? pages / PIECE : pages);
	MOST(w->ms, (now_ns() - start) / 1e6);
	MOST(w->minsn, cpu_minsn() - minsn);
	if (got && mode == BULK)
		got = area_get("bulk");
	isolated = hr_vmstat("compact_isolated") - isolated;
	moved = hr_vmstat("pgmigrate_success") + hr_vmstat("pgmigrate_fail") -
		moved;
	MOST(w->isolated, isolated);
	MOST(w->moved, moved);
	w->n++;
	w->got += got;
	w->asked += pages / piece;
	/* "free" takes what was had last first. */
	if (got)
		area_set("free", got * piece);
}

static void result_worst(const char *name, const struct worst *w)
{
	result_named("n", name, w->n);
	result_named("got", name, w->got);
	if (w->asked > w->n)
		result_named("asked", name, w->asked);
	result_named("isolated", name, w->isolated);
	result_named("moved", name, w->moved);
	result_named("minsn", name, w->minsn);
	result_named("max_ms", name, w->ms);
}

#define MOST_HELD 8

/*
 * An area of which three quarters are in use, up to MOST_HELD of its pages held, and
 * an eighth to all of it asked for. The same for each effort of a seed, and for both
 * modes.
 */
static void effort_any(enum mode mode)
{
	static struct worst worst[3];
	char name[32];

	if (mode == BULK && !have_bulk())
		return;
	for (long i = 0; i < opt.rounds; i++) {
		for (int effort = 0; effort < 3; effort++) {
			unsigned long pages;
			int nr, gap;

			srand((opt.seed - 1) * opt.rounds + i + 1);
			nr = rand() % (MOST_HELD + 1);
			pages = count / 8 * (1 + rand() % 8);
			gap = rand() % 4;
			fill_area(opt.spare);
			for (long j = gap; j < filling.nr; j += 4)
				madvise(filling.pages[j], PAGE, MADV_DONTNEED);
			pin(nr, gap);
			try_hard(effort, mode, pages, &worst[effort]);
			unpin(nr);
			empty_area();
		}
	}
	for (int effort = 0; effort < 3; effort++) {
		snprintf(name, sizeof(name), "%s%s",
			 mode == BULK ? "bulk_" : "", efforts[effort]);
		if (worst[effort].n)
			result_worst(name, &worst[effort]);
	}
}

/* Long enough for all that these do. */
#define GROW_LIMIT_SECONDS 600
#define BALLAST_MIB 32

/*
 * While memory is free elsewhere, a part of the area stays free: both are used by
 * turns. So what is free elsewhere at the end is to lie in pageblocks that were the
 * kernel's: movable memory takes the area before it takes from those.
 */
static void fill_all_of_area(void)
{
	const long mib = hr_meminfo_kb("MemFree") / 1024 - opt.spare;
	const size_t step = 1UL << 20;
	struct pressure ballast;
	size_t at;

	must(pressure_unmovable(&ballast, NULL), &ballast, "ballast");
	must(pressure_grow(&ballast, BALLAST_MIB * MIB_KIB, 0,
			   GROW_LIMIT_SECONDS),
	     &ballast, "ballast");
	map_filling(mib);
	at = mib > BALLAST_MIB ? (mib - BALLAST_MIB) * step : 0;
	touch_filling(0, at);
	pressure_stop(&ballast);
	for (; at < filling.bytes && free_in_area() > 0; at += step)
		touch_filling(at, step);
	find_filling(false);
}

#define PIPE_PAGES 256

/*
 * Hold the first page of ours in each so many pages of the area, for good: how many
 * there are.
 */
static long hold_each(unsigned long part)
{
	const long parts = count / part;
	long *first = malloc(parts * sizeof(*first)), held = 0, in_pipe = 0;
	int fds[2];

	if (!first)
		die(-ENOMEM, "%ld parts", parts);
	for (long i = 0; i < parts; i++)
		first[i] = -1;
	for (long i = 0; i < filling.nr; i++) {
		const long n = (filling.pfns[i] - base) / part;

		if (n < parts &&
		    (first[n] < 0 || filling.pfns[i] < filling.pfns[first[n]]))
			first[n] = i;
	}
	for (long i = 0; i < parts; i++) {
		struct iovec iov = { .iov_len = 1 };

		if (first[i] < 0)
			continue;
		iov.iov_base = filling.pages[first[i]];
		if (!(in_pipe++ % PIPE_PAGES) &&
		    (pipe(fds) ||
		     fcntl(fds[1], F_SETPIPE_SZ, PIPE_PAGES * PAGE) < 0))
			die(-errno, "a pipe of %d pages", PIPE_PAGES);
		if (vmsplice(fds[1], &iov, 1, 0) != 1)
			die(-errno, "hold a page");
		held += hr_virt_to_pfn(iov.iov_base) == filling.pfns[first[i]];
	}
	free(first);
	return held;
}

/*
 * A page held in each `held`th of the area, and as much as that asked for: each place
 * has one in it, and others that can be moved. What is not held, as others had it or
 * nobody, is taken first. A stock kernel knows no effort: what it takes is what it is
 * compared with, whatever the effort.
 */
static void effort_small(void)
{
	static struct worst worst[3];
	const unsigned long part = count / opt.held;
	long taken = 0;

	if (!part)
		die(-EINVAL, "held=%ld of %lu pages", opt.held, count);
	fill_all_of_area();
	result("asked_pages", "%lu", part);
	result("held_pages", "%ld", hold_each(part));
	empty_area();
	set_effort(2);
	while (taken < opt.held && !area_set("alloc", part))
		taken++;
	result("taken", "%ld", taken);
	for (long i = 0; i < opt.rounds; i++) {
		for (int effort = 0; effort < 3; effort++) {
			fill_area(opt.spare);
			try_hard(effort, WHOLE, part, &worst[effort]);
			empty_area();
		}
	}
	for (int effort = 0; effort < 3; effort++)
		result_worst(efforts[effort],
			     &worst[worst[effort].n ? effort : 1]);
	area_set("free", count);
}

/*
 * With held= small allocations that have no place; with order=4 in bulk, in pieces
 * of 64 KiB; else as one.
 */
void run_cma_effort(void)
{
	if (!is_cma())
		die(-EINVAL, "a CMA area");
	find_area();
	hold();
	if (opt.held)
		effort_small();
	else
		effort_any(opt.order == ORDER ? BULK : WHOLE);
	result("area_pages", "%lu", count);
}

/* ---- what kernel memory can have of it, and who pays ---------------------------------- */

/* So many eighths of the area, one after the other: how many there were, how soon. */
static void ask_eighths(const char *when, int nr)
{
	long moved = hr_vmstat("pgmigrate_success");
	double ms, sum = 0, most = 0;
	int got = 0;

	for (int i = 0; i < nr; i++) {
		const long long start = now_ns();

		got += !alloc_whole(0, count / 8);
		ms = (now_ns() - start) / 1e6;
		sum += ms;
		MOST(most, ms);
	}
	result_named(when, "got", got);
	result_named(when, "moved", hr_vmstat("pgmigrate_success") - moved);
	result_named(when, "ms", sum);
	result_named(when, "max_ms", most);
	free_all();
}

static unsigned long log_value(const char *record, const char *name)
{
	const char *at = strstr(record, name);

	return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

/*
 * What the kernel's log says of memory at the first kill. User memory outside of
 * the area that would have had room there is what should not be: `stranded`.
 */
static void result_kill(void)
{
	static char record[8192];
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	long user, room, outside;
	ssize_t n;

	if (fd < 0)
		die(-errno, "/dev/kmsg");
	/* EPIPE: the oldest records went meanwhile. */
	while ((n = read(fd, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue;
		record[n] = '\0';
		/* Pages, of all memory: that of nodes and zones is in kB. */
		if (strstr(record, ";active_anon:"))
			break;
	}
	close(fd);
	if (n <= 0)
		die(-ENOENT, "no word in the log of memory at the kill");
	user = log_value(record, ";active_anon:") +
	       log_value(record, " inactive_anon:") +
	       log_value(record, " active_file:") +
	       log_value(record, " inactive_file:");
	room = log_value(record, " free_cma:");
	outside = user - ((long)count - room);
	outside = outside > 0 ? outside : 0;
	result("kill_free_mib", "%.1f",
	       log_value(record, " free:") * 1.0 / MIB_PAGES);
	result("kill_free_cma_mib", "%.1f", room * 1.0 / MIB_PAGES);
	result("kill_outside_mib", "%.1f", outside * 1.0 / MIB_PAGES);
	result("stranded_mib", "%.1f",
	       (room < outside ? room : outside) * 1.0 / MIB_PAGES);
}

/*
 * User memory where the kernel put it, then kernel memory: `grow` MiB more than is
 * free outside of the area, which is where others begin to pay, then all it can
 * have.
 */
void run_cma_balance(void)
{
	struct pressure_counters from, d;
	struct pressure grower;
	int killed;

	find_area();
	online();
	hold_cache();
	hold();
	must(pressure_unmovable(&grower, NULL), &grower, "start to grow");
	pressure_counters(&from);
	result("area_mib", "%lu", count / MIB_PAGES);
	result("start_free_cma_mib", "%lld", from.v[PC_FREE_CMA] / MIB_PAGES);
	result("start_free_ordinary_mib", "%lld",
	       from.v[PC_FREE_ORDINARY] / MIB_PAGES);

	killed = pressure_grow(&grower,
			       from.v[PC_FREE_ORDINARY] * PAGE_KIB +
				       opt.grow * MIB_KIB,
			       0, GROW_LIMIT_SECONDS);
	if (!killed) {
		pressure_delta(&from, &grower.shared->last, &d);
		result_count("short_reclaimed", d.v[PC_PGSTEAL]);
		result_count("short_evacuated", d.v[PC_EVACUATE_MIGRATED]);
		result("short_free_cma_mib", "%lld",
		       grower.shared->last.v[PC_FREE_CMA] / MIB_PAGES);
		ask_eighths("short", 2);
	}
	result_count("short_kills", hr_vmstat("oom_kill"));
	if (!killed)
		killed = pressure_grow(&grower, NO_END, 0, GROW_LIMIT_SECONDS);
	if (killed != 1)
		die(killed, "grow (%s)", pressure_why(&grower));
	result("got_mib", "%lu", pressure_done(&grower) / MIB_KIB);
	result_kill();
	pressure_stop(&grower);
	ask_eighths("after", 4);
	check_and_stop();
}

/* ---- a zone, or pageblocks -------------------------------------------------------------- */

/* Names seen in files of counters, each once, whatever the zone or node. */
static struct {
	char name[256][48];
	int nr;
} names;

static bool new_name(const char *name)
{
	for (int i = 0; i < names.nr; i++) {
		if (!strcmp(names.name[i], name))
			return false;
	}
	if (names.nr < 256)
		snprintf(names.name[names.nr++], sizeof(names.name[0]), "%s",
			 name);
	return true;
}

/*
 * Counters of the area by itself: those with its name, and all that stand under the
 * heading of a zone. How many, and how many of them are about user memory in it.
 */
static void result_counters(void)
{
	static const char *const files[] = {
		"/proc/meminfo",
		"/proc/vmstat",
		"/proc/zoneinfo",
		"/sys/devices/system/node/node0/meminfo",
	};
	const char *kind = is_cma()			      ? "cma" :
			   !strcmp(keyword, "online_movable") ? "movable" :
								"hotremove";
	long user = 0;
	char line[256];

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		FILE *f = fopen(files[i], "re");
		bool of_zone = false;

		if (!f)
			die(-errno, "%s", files[i]);
		while (fgets(line, sizeof(line), f)) {
			char name[48], zone[16];
			unsigned long value;
			int node;

			if (sscanf(line, "Node %d, zone %15s", &node, zone) ==
			    2) {
				of_zone = !strcasecmp(zone, kind);
				continue;
			}
			if (strstr(line, "pagesets"))
				of_zone = false;
			if (sscanf(line, "Node %d %47s %lu", &node, name,
				   &value) != 3 &&
			    sscanf(line, " %47s %lu", name, &value) != 2)
				continue;
			name[strcspn(name, ":")] = '\0';
			if ((of_zone || strcasestr(name, kind)) &&
			    new_name(name))
				user += strstr(name, "anon") ||
					strstr(name, "file");
		}
		fclose(f);
	}
	for (int i = 0; i < names.nr; i++)
		printf("COUNTER %s\n", names.name[i]);
	result("counters", "%d", names.nr);
	result("counters_user", "%ld", user);
}

#define FAULT_MIB 32UL
#define FAULT_ROUNDS 11

/* Instructions a page for memory that is touched, and where that came to lie. */
static void time_area_faults(const char *when)
{
	const size_t bytes = FAULT_MIB << 20;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	double insn[FAULT_ROUNDS];
	long in_area = 0;
	char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fd < 0 || mem == MAP_FAILED || madvise(mem, bytes, MADV_NOHUGEPAGE))
		die(-errno, "memory to touch");
	for (int i = 0; i < FAULT_ROUNDS; i++) {
		const double start = cpu_minsn();

		for (size_t at = 0; at < bytes; at += PAGE)
			*(volatile char *)(mem + at) = 1;
		insn[i] = (cpu_minsn() - start) * 1e6 / (bytes / PAGE);
		for (size_t at = 0; at < bytes; at += PAGE) {
			uint64_t entry;

			if (pread(fd, &entry, 8,
				  (uintptr_t)(mem + at) / PAGE * 8) != 8)
				die(-errno, "read pagemap");
			in_area += entry_in_area(entry);
		}
		madvise(mem, bytes, MADV_DONTNEED);
	}
	close(fd);
	munmap(mem, bytes);
	result_named("fault_insn", when, median(insn, FAULT_ROUNDS));
	result_named("fault_in_area_pct", when,
		     100.0 * in_area / FAULT_ROUNDS / (bytes / PAGE));
}

/* All is in use but `spare` MiB and, of the area, so many. */
static void leave_in_area(long mib)
{
	fill(opt.spare, true);
	for (long i = 0; i < mib * MIB_PAGES && i < filling.nr; i++)
		madvise(filling.pages[i], PAGE, MADV_DONTNEED);
}

static long reclaim_scanned(void)
{
	return hr_vmstat("pgscan_kswapd") + hr_vmstat("pgscan_direct");
}

/*
 * Anonymous memory, beside page cache that could be reclaimed, until somebody looks
 * for something to reclaim. Of each four MiB one stays, wherever that is.
 */
static char *use_until_reclaim(size_t *bytes)
{
	const size_t most = hr_meminfo_kb("MemTotal") * 1024UL;
	const long scanned = reclaim_scanned();
	char *mem = mmap(NULL, most, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t at = 0;

	if (mem == MAP_FAILED || madvise(mem, most, MADV_NOHUGEPAGE))
		die(-errno, "memory to use");
	for (; reclaim_scanned() == scanned && at < most; at += 1UL << 20) {
		if (madvise(mem + at, 1UL << 20, MADV_POPULATE_WRITE))
			die(-errno, "use memory");
	}
	result("reclaim_used_pct", "%.1f",
	       100.0 * (count - free_in_area()) / count);
	result("reclaim_free_mib", "%ld", hr_meminfo_kb("MemFree") / 1024);
	for (size_t i = 0; i < at; i += 4UL << 20)
		madvise(mem + i, 3UL << 20, MADV_DONTNEED);
	*bytes = most;
	return mem;
}

static void grow_until_kill(struct pressure *grower)
{
	long room = pressure_capacity_pages(), kib = room * PAGE_KIB;
	int ret = pressure_grow(grower, NO_END, 0, GROW_LIMIT_SECONDS);

	if (ret != 1)
		die(ret, "grow (%s)", pressure_why(grower));
	result("got_mib", "%lu", pressure_done(grower) / MIB_KIB);
	result("capacity_pct", "%.1f", pressure_done(grower) * 100.0 / kib);
	pressure_stop(grower);
}

static bool empty_once(void)
{
	bool done = true;

	if (is_cma()) {
		done = !alloc_whole(0, count);
		free_all();
		return done;
	}
	for (int i = 0; i < nr_blocks; i++)
		done = !hr_block_offline(blocks[i], 5) && done;
	return done;
}

/* Files of a disk that are made each time. */
#define DISK_FILES 4000

struct buffers {
	long all, in_area; /* pages, of all times */
};

/* Pages of files in the area; those in LRU batches are not seen. */
static long file_pages_in_area(void)
{
	static uint64_t *flags;
	long sum = 0;

	if (!flags)
		flags = calloc(count, sizeof(*flags));
	if (!flags || hr_kpageflags(base, count, flags) < 0)
		die(-errno, "/proc/kpageflags");
	for (unsigned long i = 0; i < count; i++)
		sum += (flags[i] & (KPF_LRU | KPF_ANON | KPF_SWAPBACKED)) ==
		       KPF_LRU;
	return sum;
}

/*
 * Buffers of the inodes of a disk, when most of what is free lies in the area.
 * Few enough for nothing to be reclaimed.
 */
static void make_buffers(struct pressure *disk, struct buffers *made)
{
	leave_in_area(3 * FAULT_MIB);
	made->all -= KIB_PAGES(hr_meminfo_kb("Buffers"));
	made->in_area -= file_pages_in_area();
	must(pressure_grow(disk, pressure_done(disk) + DISK_FILES, 0,
			   GROW_LIMIT_SECONDS),
	     disk, "files");
	made->all += KIB_PAGES(hr_meminfo_kb("Buffers"));
	made->in_area += file_pages_in_area();
	empty_area();
}

/*
 * By offlining, or by cma_alloc(): full of user memory, for which there is room, and
 * with buffers of that disk, if any.
 */
static void empty_often(const char *when, struct pressure *disk)
{
	static double ms[MAX_ROUNDS];
	struct buffers buffers = { 0 };
	long done = 0, moved = 0;

	for (long i = 0; i < opt.rounds; i++) {
		long long start;

		if (disk)
			make_buffers(disk, &buffers);
		fill_area(opt.spare);
		moved -= hr_vmstat("pgmigrate_success");
		start = now_ns();
		done += empty_once();
		ms[i] = (now_ns() - start) / 1e6;
		moved += hr_vmstat("pgmigrate_success");
		empty_area();
		for (int j = 0; !is_cma() && j < nr_blocks; j++)
			hr_block_write(blocks[j], "state", keyword);
	}
	if (disk) {
		result("buffers", "%ld", buffers.all);
		result("buffers_in_area", "%ld", buffers.in_area);
	}
	result_named("emptied", when, done);
	result_named("emptied_moved", when, moved / opt.rounds);
	result_named("emptied_ms", when, median(ms, opt.rounds));
	result_named("emptied_max_ms", when, ms[opt.rounds - 1]);
}

/* The same questions for each kind of memory, in one guest each. */
void run_area(void)
{
	struct pressure grower, disk;
	size_t bytes;
	char *mem;

	if (opt.rounds > MAX_ROUNDS)
		die(-EINVAL, "rounds=%ld", opt.rounds);
	find_area();
	if (is_cma())
		online();
	/* Now, or they would share the memory that is filled later, and keep it. */
	must(pressure_unmovable(&grower, NULL), &grower, "start to grow");
	must(pressure_nofs(&disk, NULL), &disk, "a disk");
	hold_cache();
	result_counters();
	time_area_faults("any");
	leave_in_area(3 * FAULT_MIB);
	time_area_faults("area");
	empty_area();
	empty_often("plain", NULL);

	mem = use_until_reclaim(&bytes);
	grow_until_kill(&grower);
	munmap(mem, bytes);

	empty_often("disk", &disk);
	pressure_stop(&disk);
	check_and_stop();
}
