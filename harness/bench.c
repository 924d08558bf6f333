// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's part of `make bench`: one scenario, with the memory that is
 * offline at boot onlined as the keyword says.
 *
 *	bench <scenario>,keyword=<keyword>[,<name>=<number>...]
 *
 * The scenarios are at the end of this file, those that remove memory in
 * bench-removal.c, those of CMA areas in bench-cma.c, that of sizes in
 * bench-scaling.c, the numbers in `options`. Memory is present at boot and comes
 * online through sysfs: under icount that is the same
 * to the instruction in every run. Keywords: online_hotremove, online_movable,
 * online_kernel, auto-movable, none, and cma, cma-always and cma-never: boot memory
 * is what differs, and the latter two are vm.evacuate_to_cma.
 *
 * Lines "RESULT <key> <value>" are what harness/bench.sh collects; "-" is for
 * what did not come to pass, or what this kernel does not count. A kill is a
 * result, too: exit 1 means that the scenario itself could not be played.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "hr.h"
#include "pressure.h"
#include "report.h"

struct bench_options opt = { .order = 9 };

static const struct {
	const char *name;
	long *value;
} options[] = {
	{ "plug", &opt.plug },	     { "limit", &opt.limit },
	{ "anon", &opt.anon },	     { "anon_pct", &opt.anon_pct },
	{ "bound", &opt.bound },     { "pre", &opt.pre },
	{ "cache", &opt.cache },     { "grow", &opt.grow },
	{ "thp", &opt.thp },	     { "mlock", &opt.mlock },
	{ "loop", &opt.loop },	     { "mglru", &opt.mglru },
	{ "rounds", &opt.rounds },   { "stay", &opt.stay },
	{ "busy", &opt.busy },	     { "release", &opt.release },
	{ "tmpfs", &opt.tmpfs },     { "pct", &opt.pct },
	{ "seed", &opt.seed },	     { "huge", &opt.huge },
	{ "spare", &opt.spare },     { "inside", &opt.inside },
	{ "hold", &opt.hold },	     { "aged", &opt.aged },
	{ "ballast", &opt.ballast }, { "swap", &opt.swap },
	{ "bind", &opt.bind },	     { "cpuset", &opt.cpuset },
	{ "memcg", &opt.memcg },     { "nofs", &opt.nofs },
	{ "noio", &opt.noio },	     { "fit", &opt.fit },
	{ "prefer", &opt.prefer },   { "orders", &opt.orders },
	{ "held", &opt.held },	     { "order", &opt.order },
};
#define NR_OPTIONS (sizeof(options) / sizeof(options[0]))

const char *keyword = "none";

#define RELEASE "/proc/sys/vm/hotremove_release"

/* No scenario takes longer than that of virtual time unless it hangs. */
#define LIMIT_SECONDS 600
/*
 * Who may not be the reason for a kill waits for ever, on any kernel. A kill is
 * decided in 2.5 s, and a request waits a second at most to be let into reclaim.
 */
#define PATIENCE_SECONDS 5

long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* A counter or a measure of what may not have happened: negative is "-". */
void result_count(const char *key, long long count)
{
	if (count < 0)
		result(key, "-");
	else
		result(key, "%lld", count);
}

void must(int err, const struct pressure *p, const char *what)
{
	if (err)
		die(err, "%s (%s)", what, p ? pressure_why(p) : "");
}

/* ---- the memory in question ---------------------------------------------- */

#define PARAMETERS "/sys/module/memory_hotplug/parameters"

int blocks[MAX_BLOCKS], nr_blocks;

/* virtio-mem adds its memory while user space is already running. */
static void find_blocks(void)
{
	long long deadline = hr_deadline(5);
	int seen = 0;

	do {
		seen = nr_blocks;
		poll(NULL, 0, 500);
		nr_blocks = hr_offline_blocks(blocks, MAX_BLOCKS);
	} while (nr_blocks != seen && hr_poll(deadline));
}

/* Before anything comes online: what kernel requests have to live on. */
static long ordinary_pages(void)
{
	long cma = hr_meminfo_kb("CmaTotal");

	return KIB_PAGES(hr_meminfo_kb("MemTotal") - (cma > 0 ? cma : 0));
}

bool is_cma(void)
{
	return !strncmp(keyword, "cma", 3);
}

/*
 * virtio-mem adds no more than 1 GiB before some of it is online, hence in
 * rounds. All of it, or the row is not what its title says.
 */
static void online_all(const char *word)
{
	long block_mib = hr_block_bytes() >> 20;
	long long deadline = hr_deadline(60);
	int i = 0, ret;

	for (;;) {
		for (; i < nr_blocks; i++) {
			ret = hr_block_write(blocks[i], "state", word);
			if (ret)
				die(ret, "write %s to memory%d", word,
				    blocks[i]);
		}
		if (nr_blocks * block_mib >= opt.plug || !hr_poll(deadline))
			break;
		ret = hr_offline_blocks(blocks + i, MAX_BLOCKS - i);
		nr_blocks += ret > 0 ? ret : 0;
	}
	if (nr_blocks * block_mib != opt.plug)
		die(-ENOMEM, "%ld MiB came of %ld", nr_blocks * block_mib,
		    opt.plug);
}

void online(void)
{
	const char *word = keyword;
	char zones[64] = "-";
	int ret;

	if (is_cma()) {
		if (hr_meminfo_kb("CmaTotal") <= 0)
			die(-ENOMEM, "no CMA area");
		if (strcmp(keyword, "cma")) {
			ret = hr_write_file(
				"/proc/sys/vm/evacuate_to_cma",
				!strcmp(keyword, "cma-always") ? "1" : "-1");
			if (ret)
				die(ret, "evacuate_to_cma for %s", keyword);
		}
		return;
	}
	if (!strcmp(keyword, "none"))
		return;
	if (!nr_blocks)
		die(-ENODEV, "no memory block is offline");
	if (!strcmp(keyword, "auto-movable")) {
		ret = hr_write_file(PARAMETERS "/online_policy", keyword);
		if (ret)
			die(ret, "set the online policy");
		word = "online";
	}
	online_all(word);
	hr_block_read(blocks[0], "valid_zones", zones, sizeof(zones));
	result("zone", "%s", zones);
	result("online_mib", "%ld", nr_blocks * (hr_block_bytes() >> 20));
}

static bool have_virtio_mem(void)
{
	glob_t g;
	bool found = !glob("/sys/bus/virtio/drivers/virtio_mem/virtio*", 0,
			   NULL, &g);

	globfree(&g);
	return found;
}

/* As it came: through the hypervisor, or block by block. */
static void unplug(void)
{
	int left = 0;

	if (!nr_blocks || !strcmp(keyword, "none"))
		return;
	if (have_virtio_mem()) {
		if (!strcmp(keyword, "online_kernel")) {
			/* Some of it will not come back, ever. */
			hr_vmem_resize("vm0", 0, 5);
			result("left_mib", "%ld", hr_vmem_size_mib("vm0"));
			return;
		}
		/*
		 * The hypervisor answers in the host's time. Meanwhile this
		 * guest is idle and its clock runs on without one. What
		 * the kernel was lent it may keep.
		 */
		setenv("HR_TIMEOUT_MUL", opt.release ? "5" : "1000", 1);
		hr_vmem_resize("vm0", 0, 60);
		result("left_mib", "%ld", hr_vmem_size_mib("vm0"));
		return;
	}
	for (int i = 0; i < nr_blocks; i++) {
		if (!hr_block_offline(blocks[i], 5))
			continue;
		left++;
		/* Where nothing is lent, one does not go for all of them. */
		if (!opt.release) {
			left = nr_blocks - i;
			break;
		}
	}
	result("left_mib", "%ld", left * (hr_block_bytes() >> 20));
}

/* ---- who may have what ------------------------------------------------------ */

#define CGROUP "/sys/fs/cgroup"
#define GROUP CGROUP "/bench"

static void make_group(void)
{
	/*
	 * Page cache charged to a group is kept where any of those without a memcg
	 * of their own may be confined to: the guest's own file system would be.
	 */
	const char *controller = opt.cpuset ? "+cpuset +memory" : "+memory";
	int ret;

	if (!opt.cpuset && !opt.memcg)
		return;
	if (opt.cpuset && opt.memcg)
		die(-EINVAL, "a memcg or a cpuset");
	ret = hr_write_file(CGROUP "/cgroup.subtree_control", controller);
	if (ret)
		die(ret, "write %s", controller);
	if (mkdir(GROUP, 0700))
		die(-errno, "mkdir " GROUP);
	ret = opt.cpuset ? hr_write_file(GROUP "/cpuset.mems", "0") : 0;
	if (ret)
		die(ret, "node 0 for " GROUP);
}

static void make_swap(void)
{
	int ret = opt.swap ? hr_zram_swapon(opt.swap << 20) : 0;

	if (ret < 0)
		die(ret, "swap to zram");
}

/* What a memcg had at most, and its own kills, of which there are to be none. */
static void result_group(void)
{
	char bytes[32] = "", events[256] = "", *oom;

	if (!opt.memcg)
		return;
	hr_read_file(GROUP "/memory.peak", bytes, sizeof(bytes));
	result("charged_mib", "%ld", atol(bytes) >> 20);
	hr_read_file(GROUP "/memory.events", events, sizeof(events));
	oom = strstr(events, "\noom ");
	result("group_ooms", "%ld", oom ? atol(oom + strlen("\noom ")) : -1);
}

/* ---- holders --------------------------------------------------------------- */

static struct pressure anon, bound, cache;
static bool have_anon, have_bound, have_cache;

/* Blocks that are there, but offline, have theirs already. */
static long memmap_to_come(void)
{
	long there = nr_blocks * (long)(hr_block_bytes() >> 20);

	/* 64 bytes a page. */
	return (opt.plug - there) / 64;
}

void hold(void)
{
	struct pressure_options how = {
		.thp = opt.thp,
		.mlock = opt.mlock,
		.cgroup = opt.memcg ? GROUP : NULL,
	};
	struct pressure_options node0 = {
		.nodes = opt.cpuset ? 0 : 1,
		.cgroup = opt.cpuset || opt.memcg ? GROUP : NULL,
	};

	/* What it opens are slabs, which no released pageblock is to keep. */
	if (opt.release)
		scene_wait_armed(0, NULL);
	if (opt.anon_pct)
		opt.anon =
			(hr_meminfo_kb("MemFree") / 1024 - memmap_to_come()) *
			opt.anon_pct / 100;
	if (opt.anon) {
		must(pressure_anon(&anon, opt.anon, &how), &anon, "hold anon");
		have_anon = true;
		result("anon_mib", "%ld", opt.anon);
	}
	if (opt.bound) {
		must(pressure_anon(&bound, opt.bound, &node0), &bound,
		     "hold anon on node 0");
		have_bound = true;
	}
}

void hold_cache(void)
{
	struct pressure_options how = {
		.loop = opt.loop,
		.cgroup = opt.memcg ? GROUP : NULL,
	};

	if (!opt.cache)
		return;
	if (opt.prefer && nr_blocks && hr_block_node(blocks[0]) >= 0)
		how.prefer = 1UL << hr_block_node(blocks[0]);
	must(pressure_cache(&cache, opt.cache, &how), &cache, "hold cache");
	have_cache = true;
}

/* Are the holders' data still what and where they were? */
static void check(void)
{
	long wrong = 0;

	if (have_anon)
		wrong += pressure_check(&anon) != 0;
	if (have_bound) {
		result("out_of_bounds", "%ld", pressure_outside(&bound, 1));
		wrong += pressure_check(&bound) != 0;
	}
	result("intact", "%s", wrong ? "NO" : "yes");
}

void check_and_stop(void)
{
	check();
	if (have_cache)
		pressure_stop(&cache);
	if (have_bound)
		pressure_stop(&bound);
	if (have_anon)
		pressure_stop(&anon);
}

/* A kswapd with nothing to do has a second to find that out. */
static void result_kswapd(void)
{
	struct pressure_counters from, to, d;

	poll(NULL, 0, 1000);
	pressure_counters(&from);
	poll(NULL, 0, 5000);
	pressure_counters(&to);
	pressure_delta(&from, &to, &d);
	result_count("kswapd_after_ms", d.v[PC_KSWAPD_MS]);
	result_count("kswapd_runs_after", d.v[PC_KSWAPD_RUNS]);
	result_count("evacuated_after", d.v[PC_EVACUATE_BLOCKS]);
}

static void end(void)
{
	result_kswapd();
	check();
	/* It may be more than finds room elsewhere. */
	if (have_cache)
		pressure_stop(&cache);
	if (!opt.stay)
		unplug();
	if (have_bound)
		pressure_stop(&bound);
	if (have_anon)
		pressure_stop(&anon);
}

/* ---- the kill ----------------------------------------------------------------- */

#define TRACING "/sys/kernel/tracing"

/* When the OOM killer has chosen, to the instruction. */
static void watch_for_kill(void)
{
	if (hr_write_file(TRACING "/trace_clock", "mono") ||
	    hr_write_file(TRACING "/events/oom/mark_victim/enable", "1"))
		die(-EIO, "trace the OOM killer");
}

/* CLOCK_MONOTONIC of the last choice, -1 if there was none. */
static long long kill_ns(void)
{
	long long ns = -1, s, us;
	char line[512], *at;
	FILE *f;

	f = fopen(TRACING "/trace", "re");
	while (f && fgets(line, sizeof(line), f)) {
		/* "task-pid [000] flags  seconds.microseconds: mark_victim: ..." */
		at = strstr(line, ": mark_victim:");
		if (!at)
			continue;
		while (at > line && at[-1] != ' ')
			at--;
		if (sscanf(at, "%lld.%lld", &s, &us) == 2)
			ns = s * 1000000000LL + us * 1000;
	}
	if (f)
		fclose(f);
	return ns;
}

/* ---- growth ------------------------------------------------------------------ */

/* Points of the curves that the plots show. */
#define MAX_SAMPLES 64

static struct {
	unsigned long done;
	struct pressure_counters at;
} samples[MAX_SAMPLES];
static int nr_samples;

static void take_sample(const struct pressure *p)
{
	if (nr_samples == MAX_SAMPLES)
		return;
	samples[nr_samples].done = pressure_done(p);
	samples[nr_samples++].at = p->shared->last;
}

/* Said afterwards: to write takes memory, too. */
static void print_samples(void)
{
	const long long *v;
	int i;

	for (i = 0; i < nr_samples; i++) {
		v = samples[i].at.v;
		printf("SAMPLE %lu %lld %lld %lld\n", samples[i].done,
		       (v[PC_NS] - samples[0].at.v[PC_NS]) / 1000,
		       v[PC_FREE_ORDINARY] / 256,
		       (v[PC_FREE] - v[PC_FREE_ORDINARY]) / 256);
	}
}

/* Kernel memory that may not be the reason for a kill is made of other things. */
static bool special_requests(void)
{
	return opt.nofs || opt.noio;
}

/* What there was left for the kernel when it was last looked. */
static long left_pages;
static unsigned long left_done;

/*
 * Who waits for a page gets it when the ballast goes, and has been told by then to
 * die.
 */
static void stop_growth(struct pressure *p, struct pressure *ballast)
{
	if (p->pid)
		kill(p->pid, SIGKILL);
	if (ballast)
		pressure_stop(ballast);
	pressure_stop(p);
}

/*
 * Grow in steps, so that there is a curve. 1: killed, 2: waited for ever, and is no
 * more: whoever looks at anything while nothing is left is the reason for a kill.
 */
static int grow_to(struct pressure *p, unsigned long target, unsigned long mark,
		   struct pressure *ballast)
{
	unsigned long from = pressure_done(p), step;
	int ret = 0;

	step = (target - from) / (MAX_SAMPLES - 4) + 1;
	while (!ret && from < target) {
		from = from + step < target ? from + step : target;
		ret = pressure_grow(p, from, mark, LIMIT_SECONDS);
		take_sample(p);
		if (opt.nofs && !ret) {
			left_pages = pressure_capacity_pages() -
				     opt.bound * MIB_PAGES;
			left_done = from;
		}
	}
	if (ret < 0)
		die(ret, "grow (%s)", pressure_why(p));
	if (ret == 2)
		stop_growth(p, ballast);
	return ret;
}

/*
 * What it took from the beginning to the end, and how that came. Most may have
 * happened after the last snapshot of one that did not get all.
 */
static void result_growth(struct pressure *p, int ended)
{
	static const char *const how[] = { "all", "killed", "waiting" };
	const struct pressure_shared *s = p->shared;
	struct pressure_counters end, d;
	char text[512];

	pressure_counters(&end);
	pressure_delta(&s->start, ended ? &end : &s->last, &d);
	pressure_describe(&d, text, sizeof(text));
	printf("from start to end: %s\n", text);
	result("killed", "%s", ended == 1 ? "yes" : "no");
	result("end", "%s", how[ended]);
	result_count("kills", d.v[PC_OOM_KILL]);
	result_count("stalls", pressure_stalls(&d));
	result_count("direct_reclaim", d.v[PC_ALLOCSTALL]);
	result_count("reclaimed", d.v[PC_PGSTEAL]);
	result_count("reclaimed_unusable", d.v[PC_PGSTEAL_UNUSABLE]);
	result_count("evacuated", d.v[PC_EVACUATE_MIGRATED]);
	result_count("evacuate_isolated", d.v[PC_EVACUATE_ISOLATED]);
	result_count("evacuate_cross_node", d.v[PC_EVACUATE_CROSS_NODE]);
	result_count("swapped_out", d.v[PC_PSWPOUT]);
	result_count("kswapd_ms", d.v[PC_KSWAPD_MS]);
	result("seconds", "%.2f", (s->last_ns - s->start.v[PC_NS]) / 1e9);
	result("free_mib", "%lld", s->last.v[PC_FREE] / 256);
	result("free_ordinary_mib", "%lld", s->last.v[PC_FREE_ORDINARY] / 256);
	result_count("free_cma_pages", s->last.v[PC_FREE_CMA]);
	if (ended == 1 && kill_ns() > 0)
		result("decision_ms", "%.2f", (kill_ns() - s->last_ns) / 1e6);
	else
		result("decision_ms", "-");
	result_group();
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static struct pressure_options grower_options(void)
{
	return (struct pressure_options){
		.nodes = opt.bind ? 1 : 0,
		.cgroup = opt.cpuset || opt.memcg ? GROUP : NULL,
		.patience = special_requests() ? PATIENCE_SECONDS : 0,
	};
}

/* ---- growers ----------------------------------------------------------------- */

/* So many files tell what one takes. */
#define PROBE_FILES 20000UL

/*
 * Make files on a disk until one can tell how many pages each takes: the first
 * ones fill slabs that are partly for others, and a disk takes 256 bytes for an
 * inode, too.
 */
static double probe_inodes(struct pressure *p)
{
	struct pressure_counters d, half;
	int i;

	for (i = 1; i <= 2; i++) {
		half = p->shared->last;
		must(pressure_grow(p, i * PROBE_FILES / 2, 0, LIMIT_SECONDS), p,
		     "the first files");
	}
	pressure_delta(&half, &p->shared->last, &d);
	return d.v[PC_SLAB] / (PROBE_FILES / 2.0) + 256.0 / PAGE;
}

static void start_pipes(struct pressure *p)
{
	const struct pressure_options how = grower_options();

	must(pressure_unmovable(p, &how), p, "start to grow");
}

/* Pipes, to be grown; a kill is for who comes then. */
static void grow_ballast(struct pressure *p, unsigned long kib)
{
	char path[64];

	must(pressure_grow(p, kib, 0, LIMIT_SECONDS), p,
	     "grow to where the question begins");
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", p->pid);
	must(special_requests() ? hr_write_file(path, "-1000") : 0, p,
	     "spare the ballast");
}

/* ---- scenarios --------------------------------------------------------------- */

/*
 * After the kernel's memory is gone: what was lent to it is armed again, at last when
 * somebody drops what is in slab caches, as who wants to unplug would.
 */
static void wait_armed(const struct pressure *p)
{
	long long freed = now_ns();
	long kept;

	result_count("released_mib", p->shared->last.v[PC_RELEASED] / 256);
	result("released_left", "%ld", scene_wait_armed(ARM_SECONDS, &kept));
	result("released_kept", "%ld", kept);
	result("armed_seconds", "%.1f", (now_ns() - freed) / 1e9);
}

/*
 * Empty files in ramfs until a kill: the one page story. How many there could
 * be is computed on the way: what kernel requests could have, by what a file
 * was seen to take.
 */
static void run_files(void)
{
	long ordinary = ordinary_pages();
	const struct pressure_options how = grower_options();
	struct pressure_counters d;
	unsigned long capacity, mark, limit = opt.limit;
	struct pressure files, ballast;
	double pages_per_file;
	long room, predicted;
	int ret;

	hold();
	online();
	if (opt.ballast) {
		start_pipes(&ballast);
		grow_ballast(&ballast, opt.ballast * 1024);
	}
	predicted = hr_meminfo_kb("KernelAvailable");
	if (opt.nofs)
		ret = pressure_nofs(&files, &how);
	else
		ret = pressure_files(&files, &how);
	must(ret, &files, "start the files");
	room = pressure_capacity_pages() - opt.bound * MIB_PAGES;
	if (opt.nofs) {
		pages_per_file = probe_inodes(&files);
	} else {
		ret = pressure_grow(&files, PROBE_FILES, 0, LIMIT_SECONDS);
		must(ret, &files, "the first files");
		pressure_delta(&files.shared->start, &files.shared->last, &d);
		pages_per_file = (double)d.v[PC_SLAB] / pressure_done(&files);
	}
	capacity = room / pages_per_file;
	mark = capacity / 10 * 9;
	if (opt.fit)
		limit = capacity * opt.fit / 100;
	else if (!limit)
		limit = capacity + capacity / 4;
	take_sample(&files);
	ret = grow_to(&files, limit, mark, opt.ballast ? &ballast : NULL);
	/* The first ones do not tell what disk and descriptors will take. */
	if (left_done)
		capacity = (double)left_done * room / (room - left_pages);

	print_samples();
	result_growth(&files, ret);
	result("bytes_per_file", "%.0f", pages_per_file * PAGE);
	result("files", "%lu", pressure_done(&files));
	result("capacity_files", "%lu", capacity);
	result("capacity_pct", "%.1f",
	       pressure_done(&files) * 100.0 / capacity);
	if (predicted > 0)
		result("predicted_pct", "%.1f",
		       pressure_done(&files) * pages_per_file * PAGE / 1024 *
			       100.0 / predicted);
	result("kernel_pct", "%.1f",
	       pressure_done(&files) * pages_per_file * 100.0 / ordinary);
	if (files.shared->at_mark.v[PC_NS]) {
		pressure_delta(&files.shared->start, &files.shared->at_mark,
			       &d);
		result_count("reclaimed_90", d.v[PC_PGSTEAL]);
		result_count("stalls_90", pressure_stalls(&d));
	} else {
		result("reclaimed_90", "-");
		result("stalls_90", "-");
	}
	stop_growth(&files, opt.ballast ? &ballast : NULL);
	if (opt.release)
		wait_armed(&files);
	end();
}

/*
 * The same again and again: how long a kill takes to be decided depends on what
 * kswapd and kcompactd are doing at that moment, so one says little.
 */
#define MAX_KILLS 15

static void run_kills(void)
{
	double ms[MAX_KILLS];
	struct pressure files;
	int i, ret;

	if (opt.rounds < 1 || opt.rounds > MAX_KILLS)
		die(-EINVAL, "rounds=%ld", opt.rounds);
	for (i = 0; i < opt.rounds; i++) {
		hold();
		online();
		must(pressure_files(&files, NULL), &files, "start the files");
		ret = pressure_grow(&files, NO_END, 0, LIMIT_SECONDS);
		if (ret != 1)
			die(ret, "grow (%s)", pressure_why(&files));
		ms[i] = (kill_ns() - files.shared->last_ns) / 1e6;
		printf("KILL %d %lu files %.2f ms\n", i, pressure_done(&files),
		       ms[i]);
		pressure_stop(&files);
		unplug();
		pressure_stop(&anon);
	}
	qsort(ms, opt.rounds, sizeof(double), compare);
	result_kswapd();
	result("kills", "%ld", opt.rounds);
	result("decision_best_ms", "%.2f", ms[0]);
	result("decision_median_ms", "%.2f", ms[opt.rounds / 2]);
	result("decision_worst_ms", "%.2f", ms[opt.rounds - 1]);
}

static long cache_in_blocks(void)
{
	return have_cache && nr_blocks && strcmp(keyword, "none") ?
		       pressure_file_pages_in(blocks, nr_blocks) :
		       -1;
}

/* Returns KiB that a unit takes. */
static double start_special(struct pressure *p)
{
	const struct pressure_options how = grower_options();

	if (opt.noio) {
		must(pressure_noio(p, &how), p, "start GFP_NOIO");
		return 1;
	}
	must(pressure_nofs(p, &how), p, "start GFP_NOFS");
	return probe_inodes(p) * PAGE_KIB;
}

/*
 * Kernel memory against user memory of one kind or the other. What had to be
 * reclaimed is what was asked for beyond what was free, whoever could use it.
 */
static void run_grow(void)
{
	long inside, resident = -1, room, free, missing, left, lent;
	unsigned long pre = (opt.pre + opt.ballast) * 1024, from, want, got;
	struct pressure_counters d;
	struct pressure grower, ballast, *pipes;
	double unit = 1; /* KiB */
	int ret;

	hold();
	pipes = special_requests() ? &ballast : &grower;
	start_pipes(pipes);
	if (opt.pre)
		grow_ballast(pipes, opt.pre * 1024);
	online();
	hold_cache();
	if (opt.ballast)
		grow_ballast(pipes, pre);
	if (special_requests())
		unit = start_special(&grower);
	inside = cache_in_blocks();
	if (have_cache)
		resident = pressure_resident(&cache);
	room = pressure_capacity_pages() - opt.bound * MIB_PAGES;
	pressure_counters(&grower.shared->start);
	free = grower.shared->start.v[PC_FREE];
	want = opt.grow * 1024;
	if (opt.fit)
		want = (pre + room * PAGE_KIB) / 100 * opt.fit - pre;
	from = pressure_done(&grower);
	ret = grow_to(&grower, from + want / unit, 0,
		      special_requests() ? &ballast : NULL);

	got = (pressure_done(&grower) - from) * unit + 0.5;
	missing = KIB_PAGES(got) + pressure_watermark_pages("min") - free;
	/* The disk's inodes are read into page cache. */
	if (opt.nofs)
		missing += got / unit * 256 / PAGE;
	print_samples();
	result_growth(&grower, ret);
	result("asked_mib", "%lu", want / 1024);
	result("got_mib", "%lu", got / 1024);
	if (special_requests())
		result("bytes_per_unit", "%.0f", unit * 1024);
	/* The last unit of a file may be begun. */
	result("got_pct", "%lu", (got + (long)unit + 1) * 100 / want);
	/* In all: what was there before is part of both. */
	result("capacity_mib", "%ld", pre / 1024 + room / 256);
	result("capacity_pct", "%.1f",
	       KIB_PAGES(pre + got) * 100.0 / (KIB_PAGES(pre) + room));
	if (ret)
		pressure_counters(&grower.shared->last);
	pressure_delta(&grower.shared->start, &grower.shared->last, &d);
	if (missing > 0 && d.v[PC_PGSTEAL] > missing)
		result("needed_pct", "%.1f", missing * 100.0 / d.v[PC_PGSTEAL]);
	else if (missing > 0)
		result("needed_pct", "100");
	else
		result("needed_pct", "-");
	if (have_cache) {
		result("cache_mib", "%ld", resident / 256);
		result("cache_left_mib", "%ld",
		       pressure_resident(&cache) / 256);
		result_count("cache_reads_mib", cache.shared->done);
	}
	/* Where nobody knows which pages are in movable-only memory, of all. */
	if (inside > 0) {
		left = cache_in_blocks();
	} else {
		left = resident > 0 ? pressure_resident(&cache) : -1;
		inside = resident;
	}
	if (left >= 0 && inside > 0) {
		result("cache_survived_pct", "%.1f", left * 100.0 / inside);
		/* What the kernel was lent is no longer there for it. */
		lent = grower.shared->last.v[PC_RELEASED];
		result("cache_lost_pct", "%.1f",
		       (inside - left - (lent > 0 ? lent : 0)) * 100.0 /
			       inside);
	} else {
		result("cache_survived_pct", "-");
		result("cache_lost_pct", "-");
	}
	stop_growth(&grower, special_requests() ? &ballast : NULL);
	if (opt.release)
		wait_armed(&grower);
	end();
}

/* What is set aside for emergencies, and from when on kswapd works. */
static void run_reserves(void)
{
	static const char *const marks[] = { "min", "low", "high" };
	char min_free_kb[32] = "-", key[32];
	long ordinary, all;
	int i;

	online();
	/* khugepaged has its own idea of it, a moment later. */
	poll(NULL, 0, 2000);
	hr_read_file("/proc/sys/vm/min_free_kbytes", min_free_kb,
		     sizeof(min_free_kb));
	result("min_free_kb", "%s", strtok(min_free_kb, "\n"));
	for (i = 0; i < 3; i++) {
		ordinary = pressure_watermark_pages(marks[i]);
		all = hr_zoneinfo(-1, NULL, marks[i]);
		snprintf(key, sizeof(key), "%s_kb", marks[i]);
		result(key, "%ld", ordinary * 4);
		snprintf(key, sizeof(key), "other_%s_kb", marks[i]);
		result(key, "%ld", (all - ordinary) * 4);
	}
}

/* So much movable memory comes and goes, again and again. */
static void churn(size_t bytes, long long until_ns)
{
	char *mem;

	while (now_ns() < until_ns) {
		mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (mem == MAP_FAILED ||
		    madvise(mem, bytes, MADV_POPULATE_WRITE))
			die(-errno, "%zu bytes", bytes);
		munmap(mem, bytes);
	}
}

/* Each second piece is free: something to do for compaction. */
#define FRAGMENT (256UL << 10)

static char *fragment(size_t bytes)
{
	size_t half = PAGE << (opt.order - 1), i;
	size_t piece = half < FRAGMENT ? half : FRAGMENT;
	char *mem;

	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || madvise(mem, bytes, MADV_NOHUGEPAGE) ||
	    madvise(mem, bytes, MADV_POPULATE_WRITE))
		die(-errno, "%zu bytes", bytes);
	for (i = 0; i < bytes; i += 2 * piece)
		if (madvise(mem + i, piece, MADV_DONTNEED))
			die(-errno, "let go of memory");
	return mem;
}

/* As many entries as make their array one piece; so many fds there may be. */
#define RING_ENTRIES(order) (64U << (order))
#define MAX_RINGS 960
/* In all, and the pauses while they are asked for, whatever the order. */
#define RINGS_ORDER_9 12
#define RING_PAUSE_MS 5

static int nr_rings(void)
{
	int nr = RINGS_ORDER_9 << (9 - opt.order);

	return nr < MAX_RINGS ? nr : MAX_RINGS;
}

/*
 * Somebody for whom direct compaction runs: asks for kernel memory in large pieces,
 * and gives it back, again and again. A ring takes two of order 9, and one of a
 * lower order and some more.
 */
static pid_t ask_for_high_orders(void)
{
	int group = 1 << (9 - opt.order), nr = nr_rings(), i;
	struct io_uring_params params;
	int fds[MAX_RINGS];
	pid_t pid;

	pid = fork();
	if (pid < 0)
		die(-errno, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		for (i = 0; i < nr; i++) {
			memset(&params, 0, sizeof(params));
			fds[i] = syscall(SYS_io_uring_setup,
					 RING_ENTRIES(opt.order), &params);
			if (!(i % group))
				poll(NULL, 0, RING_PAUSE_MS);
		}
		for (i = 0; i < nr; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		poll(NULL, 0, RING_PAUSE_MS);
	}
}

/*
 * Memory online, half of it used, and nothing to do for evacuation; busy=, MiB, and
 * orders= for 10 s.
 */
static void run_idle(void)
{
	struct pressure_counters from, to, d;
	long failed, pages;
	pid_t asker = 0;

	hold();
	/* Gaps in ordinary memory: there is none other yet. */
	if (opt.orders)
		fragment(opt.orders << 20);
	online();
	hold_cache();
	poll(NULL, 0, 1000);
	pressure_counters(&from);
	failed = hr_vmstat("compact_fail");
	if (opt.orders)
		asker = ask_for_high_orders();
	if (opt.busy)
		churn(opt.busy << 20, now_ns() + 10000000000LL);
	else
		poll(NULL, 0, opt.orders ? 10000 : 30000);
	pressure_counters(&to);
	if (asker) {
		kill(asker, SIGKILL);
		waitpid(asker, NULL, 0);
	}
	pressure_delta(&from, &to, &d);
	result_count("evacuated_blocks", d.v[PC_EVACUATE_BLOCKS]);
	result_count("evacuated", d.v[PC_EVACUATE_MIGRATED]);
	result_count("stalls", pressure_stalls(&d));
	result_count("direct_reclaim", d.v[PC_ALLOCSTALL]);
	result_count("compact_stalls", d.v[PC_COMPACT_STALL]);
	result_count("compact_fail", hr_vmstat("compact_fail") - failed);
	result_count("moved", d.v[PC_MIGRATED]);
	if (opt.orders) {
		/* What it has in large pieces when it has all of them. */
		pages = (long)nr_rings() << opt.order;
		if (opt.order == 9)
			pages *= 2;
		result_count("asked", pages);
		result("moved_pct", "%.0f", 100. * d.v[PC_MIGRATED] / pages);
	}
	result_count("reclaimed", d.v[PC_PGSTEAL]);
	result_count("kswapd_ms", d.v[PC_KSWAPD_MS]);
	result_count("start_free_ordinary_mib", from.v[PC_FREE_ORDINARY] / 256);
	result("high_mib", "%ld", pressure_watermark_pages("high") / 256);
	end();
}

/*
 * Kernel memory comes and goes, user memory comes and goes: what moves, and
 * what had to? Each round asks for more kernel memory than there is free
 * ordinary memory; the difference has to move. What compaction moves meanwhile
 * counts as moved, but not as what had to.
 */
static void run_pingpong(void)
{
	struct pressure_counters before, after, d;
	long long moved = 0, had_to = 0, reclaimed = 0, need;
	struct pressure grower, movable;
	long daemon, direct, stalls;
	int killed = 0, i;
	pid_t asker = 0;

	hold();
	/* Ordinary memory with gaps: there is none other yet. */
	if (opt.orders)
		fragment(opt.orders << 20);
	online();
	stalls = hr_vmstat("compact_stall");
	daemon = hr_vmstat("compact_daemon_migrate_scanned");
	direct = hr_vmstat("compact_migrate_scanned");
	/* The gaps are for direct compaction, before kcompactd closes them. */
	if (opt.orders) {
		asker = ask_for_high_orders();
		poll(NULL, 0, 500);
	}
	if (hr_write_file("/proc/sys/vm/compaction_proactiveness", "100"))
		die(-EIO, "compaction_proactiveness");
	for (i = 0; i < opt.rounds && !killed; i++) {
		must(pressure_unmovable(&grower, NULL), &grower, "start");
		pressure_counters(&before);
		need = opt.grow * MIB_PAGES - before.v[PC_FREE_ORDINARY] +
		       pressure_watermark_pages("high");
		killed = pressure_grow(&grower, opt.grow * 1024, 0,
				       LIMIT_SECONDS);
		had_to += need > 0 ? need : 0;
		pressure_stop(&grower);
		must(pressure_anon(&movable, opt.grow, NULL), &movable,
		     "movable pressure");
		if (pressure_check(&movable))
			die(-EIO, "data of round %d", i);
		pressure_stop(&movable);
		pressure_counters(&after);
		pressure_delta(&before, &after, &d);
		moved += d.v[PC_MIGRATED];
		reclaimed += d.v[PC_PGSTEAL];
	}
	stalls = hr_vmstat("compact_stall") - stalls;
	/* That of all includes the daemon's. */
	daemon = hr_vmstat("compact_daemon_migrate_scanned") - daemon;
	direct = hr_vmstat("compact_migrate_scanned") - direct - daemon;
	if (asker) {
		kill(asker, SIGKILL);
		waitpid(asker, NULL, 0);
	}
	result("rounds", "%d", i - killed);
	result("killed", "%s", killed ? "yes" : "no");
	result("moved", "%lld", moved);
	result("had_to_move", "%lld", had_to);
	result("moved_ratio", "%.2f", had_to ? (double)moved / had_to : 0.0);
	result("reclaimed", "%lld", reclaimed);
	result("compact_stalls", "%ld", stalls);
	result("compact_direct", "%ld", direct);
	result("compact_daemon", "%ld", daemon);
	end();
}

/*
 * Which memory do movable pages take, and what follows from it? User memory
 * comes when all memory is online, then kernel memory, then the removal.
 */
static void run_place(void)
{
	struct pressure_counters from, to, d;
	long total, inside, reads = 0;
	struct pressure grower;
	int ret;

	must(pressure_unmovable(&grower, NULL), &grower, "start to grow");
	online();
	total = hr_meminfo_kb("HotRemoveTotal");
	hold();
	hold_cache();
	pressure_counters(&from);
	/* What a removal would have to move now. */
	inside = total - hr_meminfo_kb("HotRemoveFree");
	result_count("headroom_mib", from.v[PC_FREE_ORDINARY] / 256);
	result("inside_mib", "%ld", inside / 1024);
	if (have_cache)
		reads = cache.shared->done;
	ret = pressure_grow(&grower, opt.grow * 1024, 0, LIMIT_SECONDS);
	if (ret != 0 && ret != 1)
		die(ret, "grow (%s)", pressure_why(&grower));
	result_growth(&grower, ret);
	result("got_mib", "%lu", pressure_done(&grower) / 1024);
	if (opt.loop) {
		/* A reader of what no longer fits. */
		poll(NULL, 0, 5000);
		pressure_counters(&to);
		pressure_delta(&from, &to, &d);
		reads = (cache.shared->done - reads) * MIB_PAGES;
		result_count("refaults", d.v[PC_REFAULT]);
		result("read_pages", "%ld", reads);
		result("refault_pct", "%.1f",
		       reads ? d.v[PC_REFAULT] * 100.0 / reads : 0.0);
	}
	pressure_stop(&grower);
	check();
	/* What does not fit elsewhere is not what a removal costs. */
	if (opt.loop)
		pressure_stop(&cache);
	pressure_counters(&from);
	unplug();
	pressure_counters(&to);
	pressure_delta(&from, &to, &d);
	result_count("removal_moved", d.v[PC_MIGRATED]);
	result("removal_ms", "%.0f", d.v[PC_NS] / 1e6);
}

/* ---- the allocator's hot paths --------------------------------------------- */

#define HOT_MIB 32L
#define HOT_PIPE 4096
#define HOT_ROUNDS 11 /* the first one is not counted */

static const char *const hot_name[] = { "fault", "unmap", "pipe" };

/* Virtual ns for each page of private memory touched and let go of. */
static void time_faults(char *mem, double *fault, double *unmap)
{
	const long nr = HOT_MIB * MIB_PAGES;
	long long t0, t1, t2;
	long i;

	t0 = now_ns();
	for (i = 0; i < nr; i++)
		*(volatile char *)(mem + i * PAGE) = 1;
	t1 = now_ns();
	madvise(mem, nr * PAGE, MADV_DONTNEED);
	t2 = now_ns();
	*fault = (double)(t1 - t0) / nr;
	*unmap = (double)(t2 - t1) / nr;
}

/*
 * A packet pipe takes a page for each write, however small, and frees it when
 * it is read: order 0, unmovable, one by one, and no page is cleared or copied.
 */
static double time_pipe(const int *fds)
{
	long long start = now_ns();
	char byte = 0;
	int i, j;

	for (i = 0; i < HOT_PIPE; i += 16) {
		for (j = 0; j < 16; j++)
			if (write(fds[1], &byte, 1) != 1)
				die(-errno, "write to a pipe");
		for (j = 0; j < 16; j++)
			if (read(fds[0], &byte, 1) != 1)
				die(-errno, "read from a pipe");
	}
	return (double)(now_ns() - start) / HOT_PIPE;
}

/* How many of so many new pages are in what was plugged? */
static long pages_in_blocks(char *mem)
{
	long i, inside = 0;
	int b;

	memset(mem, 1, HOT_MIB << 20);
	for (i = 0; i < HOT_MIB * MIB_PAGES; i++) {
		unsigned long pfn = hr_virt_to_pfn(mem + i * PAGE);

		for (b = 0; b < nr_blocks; b++)
			inside += hr_pfn_in_block(pfn, blocks[b]);
	}
	return inside;
}

void measure_hot_paths(const char *when, double *median)
{
	double ns[HOT_NR][HOT_ROUNDS];
	char key[32], *mem;
	int fds[2], i, j;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	mem = mmap(NULL, HOT_MIB << 20, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || pipe2(fds, O_DIRECT))
		die(-errno, "memory and a pipe");
	madvise(mem, HOT_MIB << 20, MADV_NOHUGEPAGE);
	for (i = 0; i < HOT_ROUNDS; i++) {
		time_faults(mem, &ns[HOT_FAULT][i], &ns[HOT_UNMAP][i]);
		ns[HOT_PIPE_PAGE][i] = time_pipe(fds);
	}
	for (j = 0; j < HOT_NR; j++) {
		qsort(ns[j] + 1, HOT_ROUNDS - 1, sizeof(double), compare);
		snprintf(key, sizeof(key), "%s_%s_ns", hot_name[j], when);
		median[j] = ns[j][HOT_ROUNDS / 2];
		result(key, "%.2f", median[j]);
		snprintf(key, sizeof(key), "%s_%s_spread_pct", hot_name[j],
			 when);
		result(key, "%.3f",
		       (ns[j][HOT_ROUNDS - 1] - ns[j][1]) * 100.0 /
			       ns[j][HOT_ROUNDS / 2]);
	}
	if (!strcmp(when, "online"))
		result("inside_pct", "%.1f",
		       pages_in_blocks(mem) * 100.0 / (HOT_MIB * MIB_PAGES));
	munmap(mem, HOT_MIB << 20);
	close(fds[0]);
	close(fds[1]);
}

static void run_hotpath(void)
{
	double bare[HOT_NR], with[HOT_NR], after[HOT_NR];
	char key[32];
	int i;

	hold();
	measure_hot_paths("bare", bare);
	if (!strcmp(keyword, "none"))
		return;
	online();
	measure_hot_paths("online", with);
	for (i = 0; i < HOT_NR; i++) {
		snprintf(key, sizeof(key), "%s_cost_pct", hot_name[i]);
		result(key, "%.2f", (with[i] - bare[i]) * 100 / bare[i]);
	}
	unplug();
	measure_hot_paths("after", after);
}

/* ---- what evacuation costs -------------------------------------------------- */

#define EVACUATE TRACING "/events/compaction/mm_evacuate_"
#define MAX_SPANS 65536
/* A span shorter than that is not worth its microseconds. */
#define SPAN_PAGES 64

/* "task-pid [000] flags  seconds.microseconds: event: ..." */
static bool parse_event(const char *line, const char *event, long long *us,
			char *task, size_t len)
{
	const char *at = strstr(line, event), *cpu = strstr(line, " [");
	long long s, fraction;

	if (!at || !cpu)
		return false;
	while (at > line && at[-1] != ' ')
		at--;
	if (sscanf(at, "%lld.%lld", &s, &fraction) != 2)
		return false;
	*us = s * 1000000 + fraction;
	snprintf(task, len, "%.*s", (int)(cpu - line), line);
	return true;
}

/* The number after `name` in a line, -1 if there is none. */
static long field(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? atol(at + strlen(name)) : -1;
}

/*
 * Virtual ns a page of each span of evacuation, on one CPU, less the time others
 * ran in between. Returns how many.
 */
static int read_spans(double *ns, long *pages)
{
	long long us, begin = 0, out = 0, away = 0;
	char line[512], task[64], begun[64] = "";
	FILE *f = fopen(TRACING "/trace", "re");
	long n, pid = -1;
	int nr = 0;

	while (f && nr < MAX_SPANS && fgets(line, sizeof(line), f)) {
		if (parse_event(line, ": mm_evacuate_begin:", &us, task,
				sizeof(task))) {
			strcpy(begun, task);
			pid = atol(strrchr(task, '-') + 1);
			begin = us;
			away = 0;
		} else if (parse_event(line, ": sched_switch:", &us, task,
				       sizeof(task))) {
			if (field(line, "prev_pid=") == pid)
				out = us;
			if (field(line, "next_pid=") == pid)
				away += us - out;
		} else if (parse_event(line, ": mm_evacuate_end:", &us, task,
				       sizeof(task))) {
			n = field(line, "nr_moved=");
			*pages += n;
			if (n >= SPAN_PAGES && !strcmp(begun, task))
				ns[nr++] = (us - begin - away) * 1000.0 / n;
			begun[0] = '\0';
			pid = -1;
		}
	}
	if (f)
		fclose(f);
	return nr;
}

/*
 * Ordinary memory full of small pages of one process, and kernel memory that
 * needs room. What the same kernel takes to move as many pages out of a memory
 * block is the measure for it.
 */
static void run_vacate(void)
{
	static double ns[MAX_SPANS];
	struct pressure_counters from, to, d;
	struct pressure grower;
	long pages = 0;
	int nr, ret;

	if (hr_write_file(EVACUATE "begin/enable", "1") ||
	    hr_write_file(EVACUATE "end/enable", "1") ||
	    hr_write_file(TRACING "/events/sched/sched_switch/enable", "1")) {
		result("spans", "-");
		return;
	}
	hr_write_file(TRACING "/buffer_size_kb", "4096");
	hold();
	online();
	must(pressure_unmovable(&grower, NULL), &grower, "start to grow");
	ret = pressure_grow(&grower, opt.grow * 1024, 0, LIMIT_SECONDS);
	hr_write_file(TRACING "/tracing_on", "0");
	nr = read_spans(ns, &pages);
	qsort(ns, nr, sizeof(*ns), compare);
	result("killed", "%s", ret ? "yes" : "no");
	result("spans", "%d", nr);
	result("spans_moved", "%ld", pages);
	if (nr) {
		/* An instruction takes 2 ns. */
		result("vacate_minsn", "%.2f", ns[nr / 2] * 512 / 2 / 1e6);
		result("vacate_minsn_best", "%.2f", ns[0] * 512 / 2 / 1e6);
		result("vacate_minsn_p90", "%.2f",
		       ns[nr * 9 / 10] * 512 / 2 / 1e6);
	}
	pressure_stop(&grower);
	result_kswapd();
	pressure_counters(&from);
	unplug();
	pressure_counters(&to);
	pressure_delta(&from, &to, &d);
	if (d.v[PC_MIGRATED] > 0)
		result("offline_minsn", "%.2f",
		       (double)d.v[PC_NS] / d.v[PC_MIGRATED] * 512 / 2 / 1e6);
	check();
}

/* ---- how long locks are held ------------------------------------------------ */

#define LOCK_STAT "/proc/lock_stat"

static const struct {
	const char *name, *key;
} locks[] = {
	{ "&lruvec->lru_lock:", "lru" },
	{ "&zone->lock:", "zone" },
};
#define NR_LOCKS (sizeof(locks) / sizeof(locks[0]))

/* Entries of the TLB, and all of it: counted with CONFIG_DEBUG_TLBFLUSH. */
static const struct {
	const char *name, *key;
} flushes[] = {
	{ "nr_tlb_local_flush_one", "tlb_one" },
	{ "nr_tlb_local_flush_all", "tlb_all" },
};
#define NR_FLUSHES (sizeof(flushes) / sizeof(flushes[0]))

/* Grace periods of RCU, by the trace event of their end: with CONFIG_RCU_TRACE. */
static const struct {
	const char *event, *key;
} graces[] = {
	{ "rcu_grace_period", "rcu" },
	{ "rcu_exp_grace_period", "rcu_expedited" },
};
#define NR_GRACES (sizeof(graces) / sizeof(graces[0]))
/* Apart from what else is traced. */
#define RCU_TRACING TRACING "/instances/rcu"

struct held {
	double max_us[NR_LOCKS], all_us[NR_LOCKS], times[NR_LOCKS];
	long migrated;
	long flushed[NR_FLUSHES], graces[NR_GRACES]; /* negative: not counted */
};

static int watch_event(const char *event)
{
	char path[128];
	int ret;

	snprintf(path, sizeof(path), RCU_TRACING "/events/rcu/%s/filter",
		 event);
	ret = hr_write_file(path, "gpevent == \"end\"");
	snprintf(path, sizeof(path), RCU_TRACING "/events/rcu/%s/enable",
		 event);
	return ret ? ret : hr_write_file(path, "1");
}

static void watch_graces(struct held *held)
{
	unsigned int i;
	int fd;

	mkdir(RCU_TRACING, 0700);
	hr_write_file(RCU_TRACING "/tracing_on", "0");
	/* To open it like that is what empties it. */
	fd = open(RCU_TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	for (i = 0; i < NR_GRACES; i++)
		held->graces[i] = watch_event(graces[i].event) ? -1 : 0;
	hr_write_file(RCU_TRACING "/tracing_on", "1");
}

static void read_graces(struct held *held)
{
	char line[512], name[64];
	unsigned int i;
	FILE *f;

	hr_write_file(RCU_TRACING "/tracing_on", "0");
	f = fopen(RCU_TRACING "/trace", "re");
	while (f && fgets(line, sizeof(line), f)) {
		for (i = 0; i < NR_GRACES; i++) {
			snprintf(name, sizeof(name), ": %s: ", graces[i].event);
			if (held->graces[i] >= 0 && strstr(line, name))
				held->graces[i]++;
		}
	}
	if (f)
		fclose(f);
}

static void watch_locks(struct held *held)
{
	unsigned int i;
	int ret;

	watch_graces(held);
	for (i = 0; i < NR_FLUSHES; i++)
		held->flushed[i] = hr_vmstat(flushes[i].name);
	ret = hr_write_file(LOCK_STAT, "0");
	if (ret)
		die(ret, "a kernel with CONFIG_LOCK_STAT");
	held->migrated = hr_vmstat("pgmigrate_success");
}

static void result_lock(const char *work, const char *lock, const char *what,
			double value)
{
	char key[64];

	snprintf(key, sizeof(key), "%s_%s_%s", work, lock, what);
	result(key, "%.3f", value);
}

/* How long everybody has held them since watch_locks(). */
static void read_locks(struct held *held)
{
	FILE *f = fopen(LOCK_STAT, "re");
	char line[512], *at;
	unsigned int i;

	while (f && fgets(line, sizeof(line), f)) {
		for (i = 0; i < NR_LOCKS; i++) {
			at = strstr(line, locks[i].name);
			if (at &&
			    sscanf(at + strlen(locks[i].name),
				   " %*s %*s %*s %*s %*s %*s %*s %lf %*s %lf %lf",
				   &held->times[i], &held->max_us[i],
				   &held->all_us[i]) != 3)
				die(-EIO, "what is this: %s", line);
		}
	}
	if (f)
		fclose(f);
	held->migrated = hr_vmstat("pgmigrate_success") - held->migrated;
	for (i = 0; i < NR_FLUSHES; i++)
		if (held->flushed[i] >= 0)
			held->flushed[i] =
				hr_vmstat(flushes[i].name) - held->flushed[i];
	read_graces(held);
}

static void add_locks(struct held *sum, const struct held *held)
{
	unsigned int i;

	for (i = 0; i < NR_LOCKS; i++) {
		sum->times[i] += held->times[i];
		sum->all_us[i] += held->all_us[i];
		if (sum->max_us[i] < held->max_us[i])
			sum->max_us[i] = held->max_us[i];
	}
	sum->migrated += held->migrated;
	for (i = 0; i < NR_FLUSHES; i++)
		sum->flushed[i] += held->flushed[i];
	for (i = 0; i < NR_GRACES; i++)
		sum->graces[i] += held->graces[i];
}

/*
 * Longest and mean times, of everybody: all that is said is that what goes on does
 * not make them longer. Checking locks takes longer than what it checks, hence the
 * ratio to another kind of work in the same run. `besides` is what others would
 * have done as well, and no part of what each page took that moved.
 */
static void result_locks(const char *work, const struct held *held,
			 const struct held *besides, const struct held *measure)
{
	char key[64];
	unsigned int i;
	double us;

	snprintf(key, sizeof(key), "%s_moved", work);
	result(key, "%ld", held->migrated);
	for (i = 0; i < NR_FLUSHES; i++) {
		snprintf(key, sizeof(key), "%s_%s", work, flushes[i].key);
		result_count(key, held->flushed[i]);
	}
	for (i = 0; i < NR_GRACES; i++) {
		snprintf(key, sizeof(key), "%s_%s", work, graces[i].key);
		result_count(key, held->graces[i]);
	}
	for (i = 0; i < NR_LOCKS; i++) {
		const char *lock = locks[i].key;

		result_lock(work, lock, "times", held->times[i]);
		result_lock(work, lock, "max_us", held->max_us[i]);
		result_lock(work, lock, "mean_us",
			    held->all_us[i] / held->times[i]);
		us = held->all_us[i] - (besides ? besides->all_us[i] : 0);
		if (held->migrated > 0)
			result_lock(work, lock, "page_us", us / held->migrated);
		if (measure)
			result_lock(work, lock, "max_ratio",
				    held->max_us[i] / measure->max_us[i]);
	}
}

#define MAX_PIPES 480

/*
 * Kernel memory, 1 MiB each. Not a grower: its snapshots read /proc/zoneinfo,
 * which is written under zone->lock.
 */
static void fill_pipes(int (*fds)[2], int nr)
{
	static char data[1 << 20];

	for (; nr--; fds++)
		if (pipe(*fds) ||
		    fcntl((*fds)[1], F_SETPIPE_SZ, sizeof(data)) < 0 ||
		    write((*fds)[1], data, sizeof(data)) != sizeof(data))
			die(-errno, "fill a pipe");
}

static void empty_pipes(int (*fds)[2], int nr)
{
	for (; nr--; fds++) {
		close((*fds)[0]);
		close((*fds)[1]);
	}
}

/*
 * Kernel memory while there is enough, compaction of what has gaps, then evacuation
 * for as much kernel memory, then a removal.
 */
static void run_locks(void)
{
	static struct held fill, round, compact, evacuate, offline;
	int fds[MAX_PIPES][2], ret, i;
	char *mem;

	if (opt.grow > MAX_PIPES)
		die(-EINVAL, "grow=%ld", opt.grow);
	watch_locks(&fill);
	fill_pipes(fds, opt.grow);
	read_locks(&fill);
	result_locks("fill", &fill, NULL, NULL);
	empty_pipes(fds, opt.grow);

	/* Twice: the longest hold is of no fewer pages than evacuation moves. */
	for (i = 0; i < 2; i++) {
		mem = fragment(opt.anon << 20);
		watch_locks(&round);
		ret = hr_write_file("/proc/sys/vm/compact_memory", "1");
		if (ret)
			die(ret, "compact");
		read_locks(&round);
		add_locks(&compact, &round);
		munmap(mem, opt.anon << 20);
	}
	result_locks("compact", &compact, NULL, NULL);

	hold();
	online();
	watch_locks(&evacuate);
	fill_pipes(fds, opt.grow);
	read_locks(&evacuate);
	result_locks("evacuate", &evacuate, &fill, &compact);
	empty_pipes(fds, opt.grow);

	watch_locks(&offline);
	unplug();
	read_locks(&offline);
	result_locks("offline", &offline, NULL, &compact);
	check();
}

/* Removal alone, which a kernel without the series can be asked for as well. */
static void run_removal_locks(void)
{
	static struct held offline;
	char *mem;

	online();
	mem = mmap(NULL, opt.anon << 20, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED ||
	    madvise(mem, opt.anon << 20, MADV_POPULATE_WRITE))
		die(-errno, "%ld MiB", opt.anon);
	watch_locks(&offline);
	unplug();
	read_locks(&offline);
	result_locks("offline", &offline, NULL, NULL);
}

/* ---- start --------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
	{ "files", run_files },
	{ "kills", run_kills },
	{ "grow", run_grow },
	{ "reserves", run_reserves },
	{ "idle", run_idle },
	{ "pingpong", run_pingpong },
	{ "hotpath", run_hotpath },
	{ "vacate", run_vacate },
	{ "place", run_place },
	{ "locks", run_locks },
	{ "removal_locks", run_removal_locks },
	{ "empty", run_empty },
	{ "abba", run_abba },
	{ "full", run_full },
	{ "full_bulk", run_full_bulk },
	{ "use", run_use },
	{ "unplug", run_unplug },
	{ "tail", run_tail },
	{ "pinned", run_pinned },
	{ "pin_goes", run_pin_goes },
	{ "no_memory", run_no_memory },
	{ "cache", run_cache },
	{ "hugetlb", run_hugetlb },
	{ "victim", run_victim },
	{ "many", run_many },
	{ "rate", run_rate },
	{ "cma_free", run_cma_free },
	{ "cma_locks", run_cma_locks },
	{ "cma_churn", run_cma_churn },
	{ "cma_unplug", run_cma_unplug },
	{ "cma_effort", run_cma_effort },
	{ "cma_bulk", run_cma_bulk },
	{ "cma_balance", run_cma_balance },
	{ "area", run_area },
	{ "scaling", run_scaling },
};
#define NR_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static void set_option(char *word)
{
	char *value = strchr(word, '=');
	unsigned int i;

	if (!value)
		die(-EINVAL, "%s: no value", word);
	*value++ = '\0';
	if (!strcmp(word, "keyword")) {
		keyword = value;
		return;
	}
	for (i = 0; i < NR_OPTIONS; i++) {
		if (!strcmp(word, options[i].name)) {
			*options[i].value = atol(value);
			return;
		}
	}
	die(-EINVAL, "no option %s", word);
}

static void describe_machine(void)
{
	char cmdline[2048] = "";
	struct utsname u;

	uname(&u);
	hr_read_file("/proc/cmdline", cmdline, sizeof(cmdline));
	result("kernel", "%s %s", u.release, u.version);
	result("cmdline", "%s", strtok(cmdline, "\n"));
}

int main(int argc, char **argv)
{
	char *word, *name;
	unsigned int i;
	int ret;

	setlinebuf(stdout);
	if (argc != 2 || !getenv("HR_RUN"))
		die(-EINVAL, "usage, in a guest: bench <scenario>[,...]");
	name = strtok(argv[1], ",");
	while ((word = strtok(NULL, ",")))
		set_option(word);
	describe_machine();
	ret = hr_write_file("/sys/kernel/mm/lru_gen/enabled",
			    opt.mglru ? "y" : "n");
	if (ret)
		die(ret, "choose the LRU implementation");
	/* The kernel's default is not to kill: rows that ask for it say so. */
	if (!access(RELEASE, F_OK)) {
		char policy[4];

		snprintf(policy, sizeof(policy), "%ld", opt.release);
		ret = hr_write_file(RELEASE, policy);
		if (ret)
			die(ret, "write %s to %s", policy, RELEASE);
	}
	/* Whom the OOM killer is to choose says so itself. */
	ret = hr_write_file("/proc/self/oom_score_adj", "-1000");
	if (ret)
		die(ret, "be spared by the OOM killer");
	watch_for_kill();
	make_group();
	make_swap();
	find_blocks();
	for (i = 0; i < NR_SCENARIOS; i++) {
		if (strcmp(name, scenarios[i].name))
			continue;
		scenarios[i].run();
		return 0;
	}
	die(-EINVAL, "no scenario %s", name);
}
