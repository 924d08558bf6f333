// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel memory against user memory; pressure.h says what each function
 * promises.
 *
 *   caller                               child
 *   pressure_files(): fork ------------> begin
 *            wait <--------------------- 0 or -errno
 *   pressure_grow(): 'g', target, mark > unit, unit, ..., snapshot, unit, ...
 *            sleep <-------------------- 0, or the pipe breaks: killed
 *   pressure_check(): 'c' -------------> compare every byte
 *            wait <--------------------- wrong bytes
 *
 * The caller sleeps while a grower grows. It learns of the kill from the pipe,
 * which a dying process lets go of before anything that takes time.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/fs.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hr.h"
#include "pressure.h"

#define THP (2UL << 20)
#define MIB (1UL << 20)

/* Filling a GiB takes 20 s in a guest without hardware acceleration. */
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

#define HOLDER_SECONDS 120

/* ---- what the kernel counts ------------------------------------------ */

/* Lines of /proc/vmstat that add up to one counter. */
static const struct {
	enum pressure_counter counter;
	const char *key;
	bool prefix;
} vmstat_keys[] = {
	{ PC_ALLOCSTALL, "allocstall_", true },
	{ PC_PGSCAN, "pgscan_kswapd" },
	{ PC_PGSCAN, "pgscan_direct" },
	{ PC_PGSTEAL, "pgsteal_kswapd" },
	{ PC_PGSTEAL, "pgsteal_direct" },
	{ PC_PGSTEAL_KSWAPD, "pgsteal_kswapd" },
	{ PC_PGSTEAL_DIRECT, "pgsteal_direct" },
	{ PC_PGSTEAL_UNUSABLE, "pgsteal_unusable" },
	{ PC_THROTTLED, "pgscan_direct_throttle" },
	{ PC_SLABS_SCANNED, "slabs_scanned" },
	{ PC_PSWPOUT, "pswpout" },
	{ PC_OOM_KILL, "oom_kill" },
	{ PC_MIGRATED, "pgmigrate_success" },
	{ PC_COMPACT_STALL, "compact_stall" },
	{ PC_EVACUATE_STALL, "evacuate_stall" },
	{ PC_EVACUATE_BLOCKS, "evacuate_blocks" },
	{ PC_EVACUATE_ISOLATED, "evacuate_isolated" },
	{ PC_EVACUATE_MIGRATED, "evacuate_migrated" },
	{ PC_EVACUATE_FAILED, "evacuate_failed" },
	{ PC_EVACUATE_CROSS_NODE, "evacuate_cross_node" },
	{ PC_RELEASE, "hotremove_release" },
	{ PC_REARM, "hotremove_rearm" },
	{ PC_REFAULT, "workingset_refault_", true },
	{ PC_KSWAPD_RUNS, "pageoutrun" },
	{ PC_FREE, "nr_free_pages" },
	{ PC_FREE_CMA, "nr_free_cma" },
	{ PC_FREE_HOTREMOVE, "nr_free_hotremove" },
	{ PC_SLAB, "nr_slab_", true },
	{ PC_FILE, "nr_file_pages" },
	{ PC_ANON, "nr_anon_pages" },
};

static const char *const counter_names[PC_NR] = {
	[PC_NS] = "ns",
	[PC_ALLOCSTALL] = "allocstall",
	[PC_PGSCAN] = "pgscan",
	[PC_PGSTEAL] = "pgsteal",
	[PC_PGSTEAL_KSWAPD] = "pgsteal_kswapd",
	[PC_PGSTEAL_DIRECT] = "pgsteal_direct",
	[PC_PGSTEAL_UNUSABLE] = "pgsteal_unusable",
	[PC_THROTTLED] = "throttled",
	[PC_SLABS_SCANNED] = "slabs_scanned",
	[PC_PSWPOUT] = "pswpout",
	[PC_OOM_KILL] = "oom_kill",
	[PC_MIGRATED] = "migrated",
	[PC_COMPACT_STALL] = "compact_stall",
	[PC_EVACUATE_STALL] = "evacuate_stall",
	[PC_EVACUATE_BLOCKS] = "evacuate_blocks",
	[PC_EVACUATE_ISOLATED] = "evacuate_isolated",
	[PC_EVACUATE_MIGRATED] = "evacuate_migrated",
	[PC_EVACUATE_FAILED] = "evacuate_failed",
	[PC_EVACUATE_CROSS_NODE] = "evacuate_cross_node",
	[PC_RELEASE] = "release",
	[PC_REARM] = "rearm",
	[PC_REFAULT] = "refault",
	[PC_KSWAPD_RUNS] = "kswapd_runs",
	[PC_KSWAPD_MS] = "kswapd_ms",
	[PC_FREE] = "free",
	[PC_FREE_ORDINARY] = "free_ordinary",
	[PC_FREE_CMA] = "free_cma",
	[PC_FREE_HOTREMOVE] = "free_hotremove",
	[PC_RELEASED] = "released",
	[PC_SLAB] = "slab",
	[PC_FILE] = "file",
	[PC_ANON] = "anon",
};

const char *pressure_counter_name(enum pressure_counter counter)
{
	return counter_names[counter];
}

/*
 * Files stay open, and are read into a static buffer: a snapshot in the middle
 * of an OOM must not need memory.
 */
static char text[64 << 10];

static const char *reread(int *fd, const char *path)
{
	ssize_t n, used = 0;

	if (*fd < 0)
		*fd = open(path, O_RDONLY | O_CLOEXEC);
	while (*fd >= 0 && used < sizeof(text) - 1 &&
	       (n = pread(*fd, text + used, sizeof(text) - 1 - used, used)) > 0)
		used += n;
	text[used] = '\0';
	return text;
}

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void add_vmstat(struct pressure_counters *now, const char *key,
		       size_t len, long long value)
{
	const char *want;
	size_t i;

	for (i = 0; i < sizeof(vmstat_keys) / sizeof(*vmstat_keys); i++) {
		want = vmstat_keys[i].key;
		if (strncmp(key, want, strlen(want)) ||
		    (!vmstat_keys[i].prefix && len != strlen(want)))
			continue;
		now->v[vmstat_keys[i].counter] =
			value + (now->v[vmstat_keys[i].counter] < 0 ?
					 0 :
					 now->v[vmstat_keys[i].counter]);
	}
}

static void read_vmstat(struct pressure_counters *now)
{
	static int fd = -1;
	const char *line, *space;

	for (line = reread(&fd, "/proc/vmstat"); *line; line++) {
		space = strchr(line, ' ');
		if (!space)
			break;
		add_vmstat(now, line, space - line, atoll(space));
		line = strchr(space, '\n');
		if (!line)
			break;
	}
}

/* What no counter of all zones tells; -1 if this kernel releases nothing. */
static void read_zoneinfo(long long *free_in_zone_movable, long long *released)
{
	static const char zone[] = "zone  Movable", pages[] = "pages free";
	static const char out[] = "\n        released ";
	static int fd = -1;
	const char *all = reread(&fd, "/proc/zoneinfo"), *at = all;

	*free_in_zone_movable = 0;
	while ((at = strstr(at, zone)) && (at = strstr(at, pages)))
		*free_in_zone_movable += atoll(at + strlen(pages));
	*released = -1;
	for (at = all; (at = strstr(at, out)); at += strlen(out))
		*released = atoll(at + strlen(out)) +
			    (*released < 0 ? 0 : *released);
}

#define MAX_KSWAPDS 8

static int kswapds[MAX_KSWAPDS]; /* their stat */
static int nr_kswapds = -1;

static void find_kswapds(void)
{
	char path[64];
	glob_t g;
	size_t i;
	int fd;

	if (nr_kswapds >= 0)
		return;
	nr_kswapds = 0;
	if (glob("/proc/[0-9]*", 0, NULL, &g))
		return;
	for (i = 0; i < g.gl_pathc && nr_kswapds < MAX_KSWAPDS; i++) {
		snprintf(path, sizeof(path), "%s/stat", g.gl_pathv[i]);
		fd = -1;
		if (strstr(reread(&fd, path), "(kswapd"))
			kswapds[nr_kswapds++] = fd;
		else
			close(fd);
	}
	globfree(&g);
}

/* Field 15 of stat: all of kswapd's time is system time. */
static long long kswapd_ms(void)
{
	long long ticks, sum = 0;
	const char *at;
	int i;

	find_kswapds();
	for (i = 0; i < nr_kswapds; i++) {
		at = strchr(reread(&kswapds[i], NULL), ')');
		if (at &&
		    sscanf(at + 1,
			   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %lld",
			   &ticks) == 1)
			sum += ticks * 1000 / sysconf(_SC_CLK_TCK);
	}
	return sum;
}

void pressure_counters(struct pressure_counters *now)
{
	long long in_zone_movable;
	int i;

	for (i = 0; i < PC_NR; i++)
		now->v[i] = -1;
	read_vmstat(now);
	now->v[PC_NS] = now_ns();
	now->v[PC_KSWAPD_MS] = kswapd_ms();
	read_zoneinfo(&in_zone_movable, &now->v[PC_RELEASED]);
	now->v[PC_FREE_ORDINARY] = now->v[PC_FREE] - in_zone_movable;
	if (now->v[PC_FREE_CMA] > 0)
		now->v[PC_FREE_ORDINARY] -= now->v[PC_FREE_CMA];
	if (now->v[PC_FREE_HOTREMOVE] > 0)
		now->v[PC_FREE_ORDINARY] -= now->v[PC_FREE_HOTREMOVE];
}

void pressure_delta(const struct pressure_counters *from,
		    const struct pressure_counters *to,
		    struct pressure_counters *delta)
{
	int i;

	for (i = 0; i < PC_NR; i++)
		delta->v[i] = from->v[i] < 0 ? -1 : to->v[i] - from->v[i];
}

long long pressure_stalls(const struct pressure_counters *delta)
{
	long long evacuate = delta->v[PC_EVACUATE_STALL];

	return delta->v[PC_ALLOCSTALL] + (evacuate < 0 ? 0 : evacuate);
}

void pressure_describe(const struct pressure_counters *delta, char *buf,
		       size_t len)
{
	size_t used = 0;
	int i;

	buf[0] = '\0';
	for (i = PC_NS + 1; i < PC_FREE && used < len; i++)
		if (delta->v[i] > 0)
			used += snprintf(buf + used, len - used, "%s%s %lld",
					 used ? ", " : "", counter_names[i],
					 delta->v[i]);
}

/* ---- where memory is ------------------------------------------------- */

static const char *const kernel_zones[] = { "DMA", "DMA32", "Normal" };
#define NR_KERNEL_ZONES (sizeof(kernel_zones) / sizeof(*kernel_zones))

/* Sum of the statistics in a list over the zones for kernel requests. */
static long sum_kernel_zones(const char *const *names)
{
	long value, sum = 0;
	size_t i;

	for (; *names; names++) {
		for (i = 0; i < NR_KERNEL_ZONES; i++) {
			value = hr_zoneinfo(-1, kernel_zones[i], *names);
			sum += value > 0 ? value : 0;
		}
	}
	return sum;
}

#define MAX_NODES 4

long pressure_watermark_pages(const char *name)
{
	long managed, value, sum = 0;
	size_t i;
	int node;

	/* What other zones keep back is not lost to kernel requests. */
	for (node = 0; node < MAX_NODES; node++) {
		for (i = 0; i < NR_KERNEL_ZONES; i++) {
			managed = hr_zoneinfo(node, kernel_zones[i], "managed");
			if (managed <= 0 ||
			    managed == hr_zoneinfo(node, kernel_zones[i],
						   "hotremove"))
				continue;
			value = hr_zoneinfo(node, kernel_zones[i], name);
			sum += value > 0 ? value : 0;
		}
	}
	return sum;
}

long pressure_capacity_pages(void)
{
	/* What is neither free nor on the LRU is there to stay. */
	static const char *const could_be_had[] = {
		"nr_free_pages",
		"nr_zone_inactive_anon",
		"nr_zone_active_anon",
		"nr_zone_inactive_file",
		"nr_zone_active_file",
		"nr_zone_unevictable",
		/* Of the per-CPU lists, thousands by now. */
		"count:",
		NULL,
	};
	static const char *const others[] = { "hotremove", NULL };
	long cma_kb = hr_meminfo_kb("CmaTotal");

	return sum_kernel_zones(could_be_had) - sum_kernel_zones(others) -
	       (cma_kb > 0 ? cma_kb * 1024 / (long)PAGE : 0) -
	       pressure_watermark_pages("min");
}

#define KPF_LRU (1ULL << 5)
#define KPF_SWAPBACKED (1ULL << 14)

long pressure_file_pages_in(const int *blocks, int nr)
{
	unsigned long pages = hr_block_pages(), i;
	uint64_t *flags = malloc(pages * sizeof(*flags));
	long found = 0;
	int ret = flags ? 0 : -ENOMEM;

	for (; !ret && nr--; blocks++) {
		ret = hr_kpageflags(hr_block_pfn(*blocks), pages, flags);
		for (i = 0; !ret && i < pages; i++)
			found += (flags[i] & (KPF_LRU | KPF_SWAPBACKED)) ==
				 KPF_LRU;
	}
	free(flags);
	return ret ? ret : found;
}

/* ---- child: common parts --------------------------------------------- */

enum command { GROW = 'g', CHECK = 'c', RESIDENT = 'r', OUTSIDE = 'o' };

struct message {
	enum command command;
	unsigned long target, mark;
};

struct pressure_type {
	const char *name;
	int oom_score_adj;
	int (*begin)(struct pressure *p);
	/* A grower's next unit: how much it was, or -errno. */
	long (*grow)(struct pressure *p);
	/* A holder's spare time. */
	void (*idle)(struct pressure *p);
};

#define fail(p, err, ...) \
	hr_fail((p)->shared->why, sizeof((p)->shared->why), err, __VA_ARGS__)

static int enter_cgroup(struct pressure *p)
{
	char path[128];
	int ret;

	if (!p->options.cgroup)
		return 0;
	snprintf(path, sizeof(path), "%s/cgroup.procs", p->options.cgroup);
	ret = hr_write_file(path, "0");
	return ret ? fail(p, ret, "enter %s", p->options.cgroup) : 0;
}

#define NOBODY 65534

static int become_nobody(struct pressure *p)
{
	if (!p->options.nobody)
		return 0;
	if (syscall(SYS_setgroups, 0, NULL) ||
	    syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) ||
	    syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY))
		return fail(p, -errno, "become uid %d", NOBODY);
	/* That undoes this. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return 0;
}

static int set_policy(struct pressure *p)
{
	unsigned long mask = p->options.nodes | p->options.prefer;
	int mode = p->options.nodes ? MPOL_BIND : MPOL_PREFERRED;

	if (mask && syscall(SYS_set_mempolicy, mode, &mask, 8 * sizeof(mask)))
		return fail(p, -errno, "memory from nodes 0x%lx", mask);
	return 0;
}

/* ---- holders ----------------------------------------------------------- */

/* Give back the second page of each two, and be able to check the others. */
static int make_holes(struct pressure *p)
{
	size_t pos;

	for (pos = 0; pos < p->mib * MIB; pos += 2 * PAGE) {
		hr_fill(p->mem + pos, PAGE);
		if (madvise(p->mem + pos + PAGE, PAGE, MADV_DONTNEED))
			return fail(p, -errno, "madvise(MADV_DONTNEED)");
	}
	return 0;
}

static long wrong_between_holes(struct pressure *p)
{
	long wrong = 0;
	size_t pos;

	for (pos = 0; pos < p->mib * MIB; pos += 2 * PAGE)
		wrong += hr_wrong_bytes(p->mem + pos, PAGE);
	return wrong;
}

static int begin_anon(struct pressure *p)
{
	size_t bytes = p->mib * MIB;
	unsigned char *map;

	map = mmap(NULL, bytes + THP, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return fail(p, -errno, "mmap %zu MiB", p->mib);
	p->mem = (void *)(((uintptr_t)map + THP - 1) & ~(THP - 1));
	/* Without huge pages in the kernel there is nothing to forbid. */
	if (madvise(p->mem, bytes,
		    p->options.thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) &&
	    p->options.thp)
		return fail(p, -errno, "madvise(MADV_HUGEPAGE)");
	hr_fill(p->mem, bytes);
	if (p->options.holes && make_holes(p))
		return -ENOMEM;
	/* What is not there is to stay away. */
	if (p->options.mlock && syscall(SYS_mlock2, p->mem, bytes,
					p->options.holes ? MLOCK_ONFAULT : 0))
		return fail(p, -errno, "mlock %zu MiB", p->mib);
	return 0;
}

/* A file of that size in the file system `root`, mapped. */
static int map_file(struct pressure *p, int root, int prot)
{
	int fd, ret = 0;

	fd = openat(root, "data", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	close(root);
	if (fd < 0 || ftruncate(fd, p->mib * MIB))
		return fail(p, -errno, "make a file of %zu MiB", p->mib);
	p->mem = mmap(NULL, p->mib * MIB, prot, MAP_SHARED, fd, 0);
	if (p->mem == MAP_FAILED)
		ret = fail(p, -errno, "mmap a file of %zu MiB", p->mib);
	p->fd = fd;
	return ret;
}

static int begin_tmpfs(struct pressure *p)
{
	char size[32];
	int root, ret;

	snprintf(size, sizeof(size), "%zum", p->mib);
	root = hr_mount_detached("tmpfs", "size", size);
	if (root < 0)
		return fail(p, root, "mount tmpfs");
	ret = map_file(p, root, PROT_READ | PROT_WRITE);
	if (!ret)
		hr_fill(p->mem, p->mib * MIB);
	return ret;
}

#define RAM_DISK "/dev/ram0"
/* The file has no blocks: the file system need not have many. */
#define RAM_DISK_BLOCKS "512"

/* Read without mapping, as most of a page cache is; wrong bytes or -errno. */
static long read_file(struct pressure *p, size_t from, size_t to)
{
	static uint64_t words[(64 << 10) / sizeof(uint64_t)];
	long wrong = 0;
	ssize_t n;
	size_t i;

	for (; from < to; from += n) {
		n = pread(p->fd, words, sizeof(words), from);
		if (n <= 0)
			return n ? -errno : -ENODATA;
		for (i = 0; i < n / sizeof(*words); i++)
			wrong += words[i] ? sizeof(*words) : 0;
	}
	return wrong;
}

static int begin_cache(struct pressure *p)
{
	const char *const words[] = { RAM_DISK, RAM_DISK_BLOCKS, NULL };
	int root, ret = hr_mke2fs(words);

	if (ret)
		return fail(p, ret, "mke2fs " RAM_DISK);
	root = hr_mount_detached("ext4", "source", RAM_DISK);
	if (root < 0)
		return fail(p, root, "mount ext4 on " RAM_DISK);
	ret = map_file(p, root, PROT_READ);
	if (!ret)
		ret = read_file(p, 0, p->mib * MIB);
	return ret > 0 ? -EIO : ret;
}

/* A MiB at a time, lest a command waits. */
static void loop_over_cache(struct pressure *p)
{
	size_t at = p->shared->done++ % p->mib * MIB;

	if (read_file(p, at, at + MIB))
		_exit(1);
}

static long check_holder(struct pressure *p)
{
	if (p->type->idle)
		return read_file(p, 0, p->mib * MIB);
	if (p->options.holes)
		return wrong_between_holes(p);
	return hr_wrong_bytes(p->mem, p->mib * MIB);
}

static long resident(struct pressure *p)
{
	static unsigned char in_core[(16 * MIB) / 4096];
	size_t bytes = p->mib * MIB, pos, len, i;
	long found = 0;

	for (pos = 0; pos < bytes; pos += len) {
		len = bytes - pos < 16 * MIB ? bytes - pos : 16 * MIB;
		if (mincore(p->mem + pos, len, in_core))
			return -errno;
		for (i = 0; i < len / PAGE; i++)
			found += in_core[i] & 1;
	}
	return found;
}

/* move_pages(2) without destinations tells where pages are. */
static long outside(struct pressure *p, unsigned long nodes)
{
	void *pages[512];
	int status[512];
	size_t pos;
	long found = 0;
	int i;

	for (pos = 0; pos < p->mib * MIB; pos += 512 * PAGE) {
		for (i = 0; i < 512; i++) {
			pages[i] = p->mem + pos + i * PAGE;
			/* Page cache that was read is not mapped yet. */
			if (p->type->idle)
				(void)*(volatile char *)pages[i];
		}
		if (syscall(SYS_move_pages, 0, 512, pages, NULL, status, 0))
			return -errno;
		for (i = 0; i < 512; i++)
			found += status[i] >= 0 && !(nodes >> status[i] & 1);
	}
	return found;
}

/* ---- growers ------------------------------------------------------------- */

/*
 * The reply pipe and the spare memory have the highest descriptors: those are
 * let go of first when the process dies. The pipe tells the caller of the death
 * at once. Taking down half a million files needs a while, and nothing comes
 * free at first; ram disks keep their pages until the caller takes them back.
 * The spare memory is what others live on meanwhile.
 */
#define FIRST_SPARE_FD 16384
/* Its files are many, and nobody kills for a request with GFP_NOFS. */
#define FIRST_SPARE_FD_NOFS 262144
#define SPARE_PIPES 4
#define SPARE_PIPES_NOIO 16

/* Longer than the default is for the mighty, and so is more than 64 MiB. */
static int make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	return fcntl(fds[1], F_SETPIPE_SZ, MIB) < 0 ? -errno : 0;
}

/* Up to 64 KiB into the pipe: bytes, 0 when it is full, or -errno. */
static long fill_pipe(int fd)
{
	static char data[64 << 10];
	ssize_t n = write(fd, data, sizeof(data));

	return n >= 0 ? n : errno == EAGAIN ? 0 : -errno;
}

static int spare_memory(int pipes, int first_fd)
{
	int fds[2], ret;

	while (pipes--) {
		ret = make_pipe(fds);
		if (ret)
			return ret;
		while (fill_pipe(fds[1]) > 0)
			;
		if (fcntl(fds[0], F_DUPFD_CLOEXEC, first_fd) < 0 ||
		    fcntl(fds[1], F_DUPFD_CLOEXEC, first_fd) < 0)
			return -errno;
		close(fds[0]);
		close(fds[1]);
	}
	return 0;
}

static int begin_grower(struct pressure *p, int pipes, int first_fd)
{
	struct rlimit limit = { first_fd + 64, first_fd + 64 };
	int ret;

	prctl(PR_SET_NAME, PRESSURE_GROWER);
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return fail(p, -errno, "raise RLIMIT_NOFILE");
	ret = spare_memory(pipes, first_fd);
	if (ret)
		return fail(p, ret, "spare memory");
	ret = fcntl(p->from_child, F_DUPFD_CLOEXEC, first_fd);
	if (ret < 0)
		return fail(p, -errno, "dup");
	close(p->from_child);
	p->from_child = ret;
	return 0;
}

/* Pipes that are to go again, and the other one of the last two. */
#define MAX_HOLED 2048
static struct {
	int ends[MAX_HOLED][2];
	int nr, keep;
	unsigned long pages;
} holed;

/* Pages for two pipes by turns, so that those of each lie between the other's. */
static long grow_holed(void)
{
	static char page[PAGE_MOST];
	int fds[2], ret;

	if (!holed.pages) {
		if (holed.nr == MAX_HOLED)
			return -ENOSPC;
		ret = make_pipe(fds);
		if (!ret)
			ret = make_pipe(holed.ends[holed.nr]);
		if (ret)
			return ret;
		holed.nr++;
		holed.keep = fds[1];
		holed.pages = MIB / PAGE;
	}
	holed.pages--;
	if (write(holed.keep, page, PAGE) < 0 ||
	    write(holed.ends[holed.nr - 1][1], page, PAGE) < 0)
		return -errno;
	return 2 * PAGE >> 10;
}

static void give_every_other(void)
{
	while (holed.nr) {
		close(holed.ends[--holed.nr][0]);
		close(holed.ends[holed.nr][1]);
	}
	holed.pages = 0;
}

static int begin_unmovable(struct pressure *p)
{
	p->fd = -1;
	return begin_grower(p, SPARE_PIPES, FIRST_SPARE_FD);
}

static long grow_unmovable(struct pressure *p)
{
	int fds[2], ret;
	long n;

	if (p->options.holes)
		return grow_holed();
	n = p->fd < 0 ? 0 : fill_pipe(p->fd);
	if (n)
		return n < 0 ? n : n >> 10;
	ret = make_pipe(fds);
	if (ret)
		return ret;
	p->fd = fds[1];
	return fill_pipe(p->fd) >> 10;
}

/* The ring of 512 buffers of an empty pipe: one piece of 32 KiB, order 3. */
static int begin_rings(struct pressure *p)
{
	return begin_grower(p, SPARE_PIPES, FIRST_SPARE_FD_NOFS);
}

static long grow_rings(struct pressure *p)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) || fcntl(fds[1], F_SETPIPE_SZ, 2 * MIB) < 0)
		return -errno;
	return 32;
}

/* Few enough for a directory, many enough for the directories not to matter. */
#define FILES_PER_DIRECTORY 10000

static int begin_files(struct pressure *p)
{
	int root = hr_mount_detached("ramfs", NULL, NULL);

	if (root < 0)
		return fail(p, root, "mount ramfs");
	p->root = root;
	p->fd = -1;
	return begin_grower(p, SPARE_PIPES, FIRST_SPARE_FD);
}

static long grow_files(struct pressure *p)
{
	unsigned long i = p->shared->done;
	char name[32];

	if (!(i % FILES_PER_DIRECTORY)) {
		snprintf(name, sizeof(name), "%lu", i / FILES_PER_DIRECTORY);
		if (p->fd >= 0)
			close(p->fd);
		if (mkdirat(p->root, name, 0700))
			return -errno;
		p->fd = openat(p->root, name, O_DIRECTORY | O_CLOEXEC);
		if (p->fd < 0)
			return -errno;
	}
	snprintf(name, sizeof(name), "%lu", i);
	return mknodat(p->fd, name, S_IFREG | 0600, 0) ? -errno : 1;
}

/* Not the one that a cache may be on: 0. */
#define FIRST_OWN_DISK 1
#define NOFS_DISK "/dev/ram1"

/* As many inodes as fit with 256 bytes each, without a journal. */
static int begin_nofs(struct pressure *p)
{
	const char *const words[] = { "-N", "200000", NOFS_DISK, NULL };
	int ret = hr_mke2fs(words);

	if (ret)
		return fail(p, ret, "mke2fs " NOFS_DISK);
	p->root = hr_mount_detached("ext4", "source", NOFS_DISK);
	if (p->root < 0)
		return fail(p, p->root, "mount ext4 on " NOFS_DISK);
	return begin_grower(p, SPARE_PIPES, FIRST_SPARE_FD_NOFS);
}

static long grow_nofs(struct pressure *p)
{
	return openat(p->root, ".", O_TMPFILE | O_RDWR, 0600) < 0 ? -errno : 1;
}

#define FIRST_NOIO_DISK 2
#define RAM_DISKS 16

/* Each has 64 MiB and gives its pages back when told to discard. */
static int open_ram_disk(int nr)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/ram%d", nr);
	return open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
}

static int begin_noio(struct pressure *p)
{
	p->root = FIRST_NOIO_DISK;
	p->fd = open_ram_disk(p->root);
	if (p->fd < 0)
		return fail(p, -errno, "open a ram disk");
	return begin_grower(p, SPARE_PIPES_NOIO, FIRST_SPARE_FD);
}

/* The disk takes a page for each it is given, with GFP_NOIO. */
static long grow_noio(struct pressure *p)
{
	static char data[64 << 10] __attribute__((aligned(4096)));
	ssize_t n = write(p->fd, data, sizeof(data));

	if (n > 0)
		return n >> 10;
	if (n < 0 && errno != ENOSPC)
		return -errno;
	close(p->fd);
	p->fd = open_ram_disk(++p->root);
	return p->fd < 0 ? -errno : 0;
}

static void discard_ram_disks(int first)
{
	uint64_t range[2] = { 0 };
	int i, fd;

	for (i = first; i < RAM_DISKS; i++) {
		fd = open_ram_disk(i);
		/* Somebody else has a file system on it. */
		if (fd < 0)
			continue;
		if (!ioctl(fd, BLKGETSIZE64, &range[1]))
			ioctl(fd, BLKDISCARD, range);
		close(fd);
	}
}

#define WARM_ROUNDS 4
#define WARM_CPUS 64

/* Write back to all disks at once, which takes a worker each. */
static void sync_ram_disks(void)
{
	static char data[MIB];
	int fds[RAM_DISKS], i;
	char path[32];

	for (i = 0; i < RAM_DISKS; i++) {
		snprintf(path, sizeof(path), "/dev/ram%d", i);
		fds[i] = open(path, O_WRONLY | O_CLOEXEC);
		if (fds[i] < 0)
			break;
		write(fds[i], data, sizeof(data));
	}
	sync();
	/* Only now: the last close of a disk writes back as well. */
	while (i-- > 0)
		close(fds[i]);
}

void pressure_warm_workers(void)
{
	unsigned long all, one;
	int cpu, round;

	if (syscall(SYS_sched_getaffinity, 0, sizeof(all), &all) < 0)
		return;
	for (cpu = 0; cpu < WARM_CPUS; cpu++) {
		one = 1UL << cpu;
		if (!(all & one) ||
		    syscall(SYS_sched_setaffinity, 0, sizeof(one), &one))
			continue;
		for (round = 0; round < WARM_ROUNDS; round++)
			sync_ram_disks();
	}
	syscall(SYS_sched_setaffinity, 0, sizeof(all), &all);
	discard_ram_disks(0);
}

/* ---- child: the loop ------------------------------------------------- */

/* Snapshots every 8 MiB of pipes or of files. */
#define UNITS_PER_SNAPSHOT_KIB (8UL << 10)
#define UNITS_PER_SNAPSHOT_FILES 10000UL

static void snapshot(struct pressure_shared *shared)
{
	unsigned int next = !shared->newest;

	/* Death may come at any time, and must not find half a snapshot. */
	pressure_counters(&shared->slot[next]);
	__atomic_store_n(&shared->newest, next, __ATOMIC_RELEASE);
}

static long grow(struct pressure *p, const struct message *m)
{
	struct pressure_shared *shared = p->shared;
	unsigned long next = shared->done;
	long n;

	if (!shared->done)
		pressure_counters(&shared->start);
	while (shared->done < m->target) {
		if (shared->done >= next) {
			snapshot(shared);
			next += p->options.snapshot;
		}
		n = p->type->grow(p);
		if (n < 0)
			return fail(p, n, "%s: unit %lu", p->type->name,
				    shared->done);
		shared->done += n;
		shared->last_ns = now_ns();
		if (m->mark && shared->done >= m->mark &&
		    !shared->at_mark.v[PC_NS])
			pressure_counters(&shared->at_mark);
	}
	if (p->options.holes)
		give_every_other();
	snapshot(shared);
	return 0;
}

static long obey(struct pressure *p, const struct message *m)
{
	switch (m->command) {
	case GROW:
		return grow(p, m);
	case CHECK:
		return check_holder(p);
	case RESIDENT:
		return resident(p);
	case OUTSIDE:
		return outside(p, m->target);
	}
	return -EINVAL;
}

static int begin(struct pressure *p)
{
	char score[16];
	int ret;

	snprintf(score, sizeof(score), "%d", p->type->oom_score_adj);
	ret = hr_write_file("/proc/self/oom_score_adj", score);
	if (ret)
		return fail(p, ret, "oom_score_adj %s", score);
	ret = enter_cgroup(p);
	if (!ret)
		ret = set_policy(p);
	if (!ret)
		ret = p->type->begin(p);
	if (!ret)
		ret = become_nobody(p);
	return ret;
}

static void __attribute__((noreturn)) child(struct pressure *p)
{
	bool idle = p->type->idle && p->options.loop;
	struct pollfd command = { .fd = p->to_child, .events = POLLIN };
	struct message m;
	long result = begin(p);

	for (;;) {
		if (write(p->from_child, &result, sizeof(result)) !=
		    sizeof(result))
			_exit(1);
		while (idle && !poll(&command, 1, 0))
			p->type->idle(p);
		if (read(p->to_child, &m, sizeof(m)) != sizeof(m))
			_exit(0);
		result = obey(p, &m);
	}
}

/* ---- caller ------------------------------------------------------------ */

static const struct pressure_type anon_type = { "anon", -1000, begin_anon };
static const struct pressure_type tmpfs_type = { "tmpfs", -1000, begin_tmpfs };
static const struct pressure_type cache_type = { "cache", -1000, begin_cache,
						 NULL, loop_over_cache };
static const struct pressure_type unmovable_type = { "unmovable", 1000,
						     begin_unmovable,
						     grow_unmovable };
static const struct pressure_type rings_type = { "rings", 1000, begin_rings,
						 grow_rings };
static const struct pressure_type files_type = { "files", 1000, begin_files,
						 grow_files };
static const struct pressure_type nofs_type = { "nofs", 1000, begin_nofs,
						grow_nofs };
static const struct pressure_type noio_type = { "noio", 1000, begin_noio,
						grow_noio };

/* The child's answer; -EPIPE if it died instead, -EAGAIN if it is stuck. */
static long hear(struct pressure *p, unsigned int seconds,
		 unsigned int patience)
{
	struct pollfd answer = { .fd = p->from_child, .events = POLLIN };
	long long deadline = hr_deadline(seconds);
	long long stuck = hr_deadline(patience);
	unsigned long done = p->shared->done;
	long result;

	/* hr_poll() rests 10 ms each time; this wakes up at once. */
	while (poll(&answer, 1, 100) <= 0) {
		if (p->shared->done != done)
			stuck = hr_deadline(patience);
		else if (patience && !hr_poll(stuck))
			return -EAGAIN;
		done = p->shared->done;
		if (!hr_poll(deadline))
			return fail(p, -ETIMEDOUT, "%s: no answer in %u s",
				    p->type->name, seconds);
	}
	if (read(p->from_child, &result, sizeof(result)) == sizeof(result))
		return result;
	p->death_ns = now_ns();
	return -EPIPE;
}

static int tell(struct pressure *p, enum command what, unsigned long target,
		unsigned long mark)
{
	struct message m = { what, target, mark };

	if (!p->pid || write(p->to_child, &m, sizeof(m)) != sizeof(m))
		return fail(p, -ESRCH, "%s", p->type ? p->type->name : "");
	return 0;
}

static long ask(struct pressure *p, enum command what, unsigned long target,
		unsigned long mark, unsigned int seconds)
{
	int ret = tell(p, what, target, mark);

	return ret ? ret : hear(p, seconds, 0);
}

/* All it held is free when this returns. */
static void reap(struct pressure *p)
{
	int status;

	if (waitpid(p->pid, &status, 0) == p->pid)
		p->killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	p->pid = 0;
	close(p->to_child);
	close(p->from_child);
	if (p->type == &noio_type || p->type == &nofs_type)
		discard_ram_disks(FIRST_OWN_DISK);
}

static int start(struct pressure *p, const struct pressure_type *type,
		 size_t mib, const struct pressure_options *options)
{
	static const struct pressure_options none;
	int from[2], to[2], ret;
	pid_t parent = getpid();

	memset(p, 0, sizeof(*p));
	p->type = type;
	p->mib = mib;
	p->options = options ? *options : none;
	if (!p->options.snapshot)
		p->options.snapshot = type == &files_type ?
					      UNITS_PER_SNAPSHOT_FILES :
					      UNITS_PER_SNAPSHOT_KIB;
	p->shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p->shared == MAP_FAILED)
		return -errno;
	if (pipe2(from, O_CLOEXEC))
		return fail(p, -errno, "pipe");
	if (pipe2(to, O_CLOEXEC)) {
		ret = fail(p, -errno, "pipe");
		close(from[0]);
		close(from[1]);
		return ret;
	}
	p->pid = fork();
	if (!p->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(from[0]);
		close(to[1]);
		p->from_child = from[1];
		p->to_child = to[0];
		child(p);
	}
	close(from[1]);
	close(to[0]);
	p->from_child = from[0];
	p->to_child = to[1];
	ret = p->pid < 0 ? fail(p, -errno, "fork") : hear(p, HOLDER_SECONDS, 0);
	if (p->pid < 0)
		p->pid = 0;
	if (ret)
		pressure_stop(p);
	return ret;
}

int pressure_anon(struct pressure *p, size_t mib,
		  const struct pressure_options *options)
{
	return start(p, &anon_type, mib, options);
}

int pressure_leave(struct pressure *p, size_t mib)
{
	struct pressure_counters now;
	long more;

	memset(p, 0, sizeof(*p));
	pressure_counters(&now);
	/* CMA areas take their part of it, and all of it in the end. */
	more = (now.v[PC_FREE_ORDINARY] + now.v[PC_FREE_CMA]) / MIB_PAGES -
	       (long)mib;
	return more > 0 ? pressure_anon(p, more, NULL) : 0;
}

int pressure_cache(struct pressure *p, size_t mib,
		   const struct pressure_options *options)
{
	return start(p, &cache_type, mib, options);
}

int pressure_tmpfs(struct pressure *p, size_t mib,
		   const struct pressure_options *options)
{
	return start(p, &tmpfs_type, mib, options);
}

int pressure_unmovable(struct pressure *p,
		       const struct pressure_options *options)
{
	return start(p, &unmovable_type, 0, options);
}

int pressure_rings(struct pressure *p, const struct pressure_options *options)
{
	return start(p, &rings_type, 0, options);
}

int pressure_files(struct pressure *p, const struct pressure_options *options)
{
	return start(p, &files_type, 0, options);
}

int pressure_nofs(struct pressure *p, const struct pressure_options *options)
{
	return start(p, &nofs_type, 0, options);
}

int pressure_noio(struct pressure *p, const struct pressure_options *options)
{
	return start(p, &noio_type, 0, options);
}

int pressure_grow_begin(struct pressure *p, unsigned long target,
			unsigned long mark)
{
	return tell(p, GROW, target, mark);
}

int pressure_grow_end(struct pressure *p, unsigned int seconds)
{
	long ret = hear(p, seconds, p->options.patience);

	p->shared->last = p->shared->slot[p->shared->newest];
	if (ret == -EAGAIN)
		return 2;
	if (ret != -EPIPE)
		return ret;
	reap(p);
	return p->killed ? 1 : fail(p, -ECHILD, "%s died", p->type->name);
}

int pressure_grow(struct pressure *p, unsigned long target, unsigned long mark,
		  unsigned int seconds)
{
	int ret = pressure_grow_begin(p, target, mark);

	return ret ? ret : pressure_grow_end(p, seconds);
}

unsigned long pressure_done(const struct pressure *p)
{
	return p->shared->done;
}

long long pressure_verdict_ms(const struct pressure *p)
{
	return p->killed ? (p->death_ns - p->shared->last_ns) / 1000000 : -1;
}

const char *pressure_why(const struct pressure *p)
{
	return p->shared ? p->shared->why : "";
}

long pressure_check(struct pressure *p)
{
	return ask(p, CHECK, 0, 0, HOLDER_SECONDS);
}

long pressure_resident(struct pressure *p)
{
	return ask(p, RESIDENT, 0, 0, HOLDER_SECONDS);
}

long pressure_outside(struct pressure *p, unsigned long nodes)
{
	return ask(p, OUTSIDE, nodes, 0, HOLDER_SECONDS);
}

void pressure_stop(struct pressure *p)
{
	if (p->pid) {
		kill(p->pid, SIGKILL);
		reap(p);
		p->killed = false;
	}
}

/* ---- scenes ---------------------------------------------------------------- */

#define CGROUP "/sys/fs/cgroup"
#define LRU_GEN "/sys/kernel/mm/lru_gen/enabled"

int scene_set(struct scene *s, const char *file, const char *value)
{
	char old[64], *open, *close;
	int ret = hr_read_file(file, old, sizeof(old));

	if (ret < 0)
		return ret;
	if (s->nr_set == SCENE_KNOBS)
		return -ENOSPC;
	/* "always [madvise] never" means madvise. */
	open = strchr(old, '[');
	close = strchr(old, ']');
	if (open && close)
		*close = '\0';
	snprintf(s->set[s->nr_set].was, sizeof(s->set[0].was), "%.31s",
		 open ? open + 1 : old);
	ret = hr_write_file(file, value);
	if (!ret)
		s->set[s->nr_set++].file = file;
	return ret;
}

int scene_release(struct scene *s, const char *policy)
{
	int ret = scene_set(s, SCENE_RELEASE, policy);

	return ret == -ENOENT ? 0 : ret;
}

#define SWAP_BYTES (64 * MIB)

const char *scene_needs(struct scene *s, const char *keyword,
			const char *lru_gen, bool swap)
{
	if (!strcmp(keyword, "online_hotremove") && !hr_supported())
		return HR_SKIP_REASON;
	/* Movable-only memory serves both words, but without evacuation neither. */
	if (!hr_supported() && hr_vmstat("evacuate_blocks") < 0)
		return "needs a kernel that evacuates";
	if (scene_release(s, "0"))
		return "needs vm.hotremove_release to be written to";
	/* Without it there is one kind of LRU. */
	if (lru_gen && scene_set(s, LRU_GEN, lru_gen) && *lru_gen == 'y')
		return "needs CONFIG_LRU_GEN";
	if (swap) {
		s->zram = 1 + hr_zram_swapon(SWAP_BYTES);
		if (s->zram <= 0)
			return "needs CONFIG_SWAP and CONFIG_ZRAM";
	}
	return NULL;
}

int scene_cgroup(struct scene *s, const char *controller)
{
	char word[32];
	int ret;

	snprintf(word, sizeof(word), "+%s", controller);
	ret = hr_write_file(CGROUP "/cgroup.subtree_control", word);
	if (ret)
		return ret;
	if (mkdir(SCENE_CGROUP, 0700))
		return -errno;
	s->cgroup = true;
	return 0;
}

int scene_trace(struct scene *s, const char *event)
{
	char path[128];

	if (mkdir(SCENE_TRACE, 0700))
		return -errno;
	s->trace = true;
	snprintf(path, sizeof(path), SCENE_TRACE "/events/%s/enable", event);
	return hr_write_file(path, "1");
}

int scene_cgroup_max(unsigned long mib)
{
	char max[32];

	snprintf(max, sizeof(max), "%luM", mib);
	return hr_write_file(SCENE_CGROUP "/memory.max", max);
}

unsigned long scene_cgroup_mib(void)
{
	char bytes[32] = "";

	hr_read_file(SCENE_CGROUP "/memory.current", bytes, sizeof(bytes));
	return (strtoul(bytes, NULL, 10) + MIB - 1) / MIB;
}

const char *scene_cgroup_limits(void)
{
	static char limits[64];
	unsigned long max, oom;
	char events[256] = "";

	hr_read_file(SCENE_CGROUP "/memory.events", events, sizeof(events));
	if (sscanf(events, "low %*u high %*u max %lu oom %lu", &max, &oom) == 2)
		snprintf(limits, sizeof(limits), "max %lu oom %lu", max, oom);
	return limits;
}

/*
 * Who was killed takes a moment to give back what it had, in pipes above all, and for
 * who asks meanwhile, be it a kernel thread, somebody else is killed: one of these, not
 * the test.
 */
void scene_spares(struct scene *s)
{
	for (int i = 0; i < SCENE_SPARES; i++) {
		if (s->spare[i])
			continue;
		s->spare[i] = fork();
		if (s->spare[i])
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, PRESSURE_GROWER);
		hr_write_file("/proc/self/oom_score_adj", "999");
		for (;;)
			pause();
	}
}

static void stop_spares(struct scene *s)
{
	for (int i = 0; i < SCENE_SPARES; i++) {
		if (s->spare[i] <= 0)
			continue;
		kill(s->spare[i], SIGKILL);
		waitpid(s->spare[i], NULL, 0);
	}
}

bool scene_take(struct scene *s, unsigned long mib)
{
	scene_spares(s);
	s->nr = mib / (hr_block_bytes() >> 20);
	return hr_take_blocks(s->blocks, s->nr, SCENE_BLOCKS) >= s->nr;
}

int scene_online(struct scene *s, const char *keyword)
{
	int i, ret = 0;

	for (i = 0; i < s->nr && !ret; i++)
		ret = hr_block_write(s->blocks[i], "state", keyword);
	hr_hold_blocks(true);
	return ret;
}

bool scene_can_plug(unsigned long mib)
{
	int found[SCENE_BLOCKS];
	unsigned long blocks = hr_offline_blocks(found, SCENE_BLOCKS);

	return blocks * (hr_block_bytes() >> 20) >= mib ||
	       (hr_qmp_available() && hr_vmem_size_mib("vm0") >= 0);
}

bool scene_on_other_node(const struct scene *s)
{
	return hr_block_node(s->blocks[0]) > 0;
}

static int fill_ordinary(struct scene *s, unsigned long leave_mib,
			 const struct pressure_options *options)
{
	int ret = pressure_unmovable(&s->ballast, options);
	long kib = pressure_capacity_pages() * PAGE_KIB - leave_mib * MIB_KIB;
	char path[64];

	/* A pipe of 1 MiB takes 16 KiB and a bit for itself. */
	kib -= kib / 61;
	if (!ret && kib > 0)
		ret = pressure_grow(&s->ballast, kib, 0, GROW_SECONDS);
	/* Whoever grows next is to be killed, if anybody is. */
	if (!ret) {
		snprintf(path, sizeof(path), "/proc/%d/oom_score_adj",
			 s->ballast.pid);
		ret = hr_write_file(path, "-1000");
	}
	return ret;
}

int scene_ballast(struct scene *s, unsigned long leave_mib)
{
	return fill_ordinary(s, leave_mib, NULL);
}

int scene_pieces(struct scene *s, unsigned long leave_mib)
{
	const struct pressure_options holes = { .holes = true };

	return fill_ordinary(s, leave_mib, &holes);
}

unsigned long scene_anon_mib(unsigned int of_ordinary, unsigned long plug_mib)
{
	unsigned long here =
		percent(pressure_capacity_pages() / MIB_PAGES, of_ordinary);
	unsigned long there = percent(plug_mib, 90);

	return here < there ? here : there;
}

#define REST_PAGES 32

/* On a busy host a second is not much: so many are waited for, at most. */
#define REST_SECONDS 10

const char *scene_unrest(void)
{
	struct pressure_counters from, to, work;
	long long deadline = hr_deadline(1);
	int i;

	while (hr_poll(deadline))
		;
	for (i = 0; i < REST_SECONDS; i++) {
		pressure_counters(&from);
		poll(NULL, 0, 1000);
		pressure_counters(&to);
		pressure_delta(&from, &to, &work);
		/*
		 * CPU time is counted in steps of 10 ms; a short look is no
		 * work. Where all memory is full, whoever looks needs a few
		 * pages, and may have to vacate a pageblock for that.
		 */
		if (work.v[PC_KSWAPD_MS] <= 10 &&
		    work.v[PC_PGSTEAL] <= REST_PAGES &&
		    (work.v[PC_EVACUATE_BLOCKS] <= 0 ||
		     work.v[PC_EVACUATE_STALL] == 1))
			return "";
	}
	return pressure_described(&from, &to);
}

#define MAX_SLABS 512

static int slabs[MAX_SLABS]; /* their file "shrink" */
static int nr_slabs;
/* Held open: what looks for it in /proc each time is there each time. */
static int drop_caches = -1;

/* Long before it is needed: that takes dentries and inodes, which are slabs. */
static void find_slabs(void)
{
	size_t i;
	glob_t g;

	if (nr_slabs)
		return;
	drop_caches = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (!glob("/sys/kernel/slab/*/shrink", 0, NULL, &g))
		for (i = 0; i < g.gl_pathc && nr_slabs < MAX_SLABS; i++) {
			slabs[nr_slabs] =
				open(g.gl_pathv[i], O_WRONLY | O_CLOEXEC);
			if (slabs[nr_slabs] >= 0)
				nr_slabs++;
		}
	globfree(&g);
}

void scene_shrink_slabs(void)
{
	int i;

	if (pwrite(drop_caches, "2", 1, 0) != 1)
		return;
	for (i = 0; i < nr_slabs; i++)
		if (pwrite(slabs[i], "1", 1, 0) != 1)
			return;
}

/* The kernel looks once a second, and less often if nothing has changed. */
#define BY_ITSELF_SECONDS 5

static long wait_armed(unsigned int seconds)
{
	long long deadline = hr_deadline(seconds);
	struct pressure_counters now;

	/* Each look is some 100 KiB of text. */
	do
		pressure_counters(&now);
	while (now.v[PC_RELEASED] > 0 && !poll(NULL, 0, 200) &&
	       hr_poll(deadline));
	return now.v[PC_RELEASED] < 0 ? 0 : now.v[PC_RELEASED];
}

long scene_wait_armed(unsigned int seconds, long *by_itself)
{
	long long deadline = hr_deadline(seconds), patience = deadline;
	long released, said = 0;

	find_slabs();
	released = wait_armed(BY_ITSELF_SECONDS);
	if (by_itself)
		*by_itself = released;
	/*
	 * What was in use a moment ago is spared once; and RCU takes a while.
	 * Where this goes, the last line is kept until the next one is written.
	 */
	while (released && hr_poll(deadline) && hr_poll(patience)) {
		if (released != said) {
			patience = hr_deadline(seconds / 3);
			printf("# %ld pages are still released\n", released);
			fflush(stdout);
			said = released;
		}
		scene_shrink_slabs();
		released = wait_armed(2);
	}
	return released;
}

void scene_end(struct scene *s)
{
	pressure_stop(&s->grower);
	pressure_stop(&s->ballast);
	pressure_stop(&s->other);
	pressure_stop(&s->anon);
	stop_spares(s);
	if (!s->may_stay)
		scene_wait_armed(ARM_SECONDS, NULL);
	hr_hold_blocks(false);
	while (s->nr_set--)
		hr_write_file(s->set[s->nr_set].file, s->set[s->nr_set].was);
	if (s->zram > 0)
		hr_zram_swapoff(s->zram - 1);
	if (s->cgroup)
		rmdir(SCENE_CGROUP);
	if (s->trace)
		rmdir(SCENE_TRACE);
	memset(s, 0, sizeof(*s));
}

const char *pressure_described(const struct pressure_counters *from,
			       const struct pressure_counters *to)
{
	static char described[512];
	struct pressure_counters delta;

	pressure_delta(from, to, &delta);
	pressure_describe(&delta, described, sizeof(described));
	return described;
}
