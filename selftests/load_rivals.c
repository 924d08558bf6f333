// SPDX-License-Identifier: GPL-2.0
/*
 * Rivals: what else may be at work on pages while the memory they lie in goes.
 *
 * Each of these loads has anonymous memory or a file as those of load.c do, so that
 * there is something to move, and does to it, or beside it, what its name says. None
 * of it may make a removal fail, end with other bytes, or fail itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load_type.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))

/* In a new process? */
static bool child(struct load *l)
{
	pid_t pid = spawn();

	if (pid < 0)
		wrong(l, -errno, "fork");
	return !pid;
}

/* Processes at a time. */
#define STORM 4

/* What a rival uses besides l->bytes. */
#define SCRATCH (2 * MIB)

/* Headers of the host may be older than the kernel. */
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static int map_scratch(struct load *l, unsigned char **mem)
{
	unsigned char *p = mmap(NULL, SCRATCH + THP, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return fail(l, -errno, "mmap");
	*mem = (void *)(((uintptr_t)p + THP - 1) & ~(THP - 1));
	return 0;
}

/* ---- secret memory: unmovable, and not to be seen in a block ------------- */

static unsigned char *secret;

static unsigned char *map_secret(struct load *l, size_t len, uint64_t seed)
{
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	unsigned char *p = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, len))
		p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		fail(l, errno == ENOSYS ? -EOPNOTSUPP : -errno, "memfd_secret");
	else
		pattern_fill(p, len, seed, 0);
	if (fd >= 0)
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static int fill_secret(struct load *l)
{
	long kb = hr_meminfo_kb("Unevictable");
	int ret = fill_anon(l);

	if (ret)
		return ret;
	errno = 0;
	secret = map_secret(l, SCRATCH, l->seed);
	if (!secret)
		return errno == ENOSYS ? -EOPNOTSUPP : -EIO;
	kb = hr_meminfo_kb("Unevictable") - kb;
	if (kb < (long)(SCRATCH >> 10) / 2)
		return fail(l, -ENODATA, "%ld kB of secret memory", kb);
	return 0;
}

static void churn_secret(struct load *l)
{
	uint64_t seed = l->seed + l->shared->rounds;
	unsigned char *more = map_secret(l, SCRATCH / 4, seed);

	if (!more || pattern_check(more, SCRATCH / 4, seed, 0))
		wrong(l, -EIO, "secret memory");
	if (more)
		munmap(more, SCRATCH / 4);
}

static long check_secret(struct load *l)
{
	return check_mem(l) + pattern_check(secret, SCRATCH, l->seed, 0);
}

/* ---- userfaultfd: missing, minor, write-protected, moved ----------------- */

#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};

#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

#define UFFD_BYTES (64 * PAGE)

static struct {
	int fd;
	unsigned char *missing; /* anonymous, also written to while protected */
	unsigned char *minor; /* a second mapping of a file in memory */
	unsigned char *spare; /* a page to copy or move to where one is missing */
	unsigned long faults[3], moved; /* missing, minor, protected */
} uffd;

static void resolve_missing(struct load *l, unsigned char *at)
{
	struct uffdio_move move = {
		.dst = (uintptr_t)at,
		.src = (uintptr_t)uffd.spare,
		.len = PAGE,
	};
	struct uffdio_copy copy = {
		.dst = (uintptr_t)at,
		.src = (uintptr_t)uffd.spare,
		.len = PAGE,
	};

	pattern_fill(uffd.spare, PAGE, l->seed, at - uffd.missing);
	/* Refused while the page is held by somebody, as by a migration. */
	if (++uffd.faults[0] % 2 && !ioctl(uffd.fd, UFFDIO_MOVE, &move)) {
		uffd.moved++;
		return;
	}
	while (ioctl(uffd.fd, UFFDIO_COPY, &copy) && errno == EAGAIN)
		;
}

static void *resolve(void *load)
{
	struct pollfd p = { .fd = uffd.fd, .events = POLLIN };
	struct load *l = load;
	struct uffd_msg msg;
	uintptr_t at;

	for (;;) {
		if (poll(&p, 1, -1) < 1 ||
		    read(uffd.fd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		at = msg.arg.pagefault.address & ~(PAGE - 1);
		if (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			struct uffdio_writeprotect wp = {
				.range = { .start = at, .len = PAGE },
			};

			uffd.faults[2]++;
			while (ioctl(uffd.fd, UFFDIO_WRITEPROTECT, &wp) &&
			       errno == EAGAIN)
				;
		} else if (msg.arg.pagefault.flags &
			   UFFD_PAGEFAULT_FLAG_MINOR) {
			struct uffdio_continue go = {
				.range = { .start = at, .len = PAGE },
			};

			uffd.faults[1]++;
			while (ioctl(uffd.fd, UFFDIO_CONTINUE, &go) &&
			       errno == EAGAIN)
				;
		} else {
			resolve_missing(l, (unsigned char *)at);
		}
	}
	return NULL;
}

static int register_uffd(struct load *l, unsigned char *mem, int mode)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)mem, .len = UFFD_BYTES },
		.mode = mode,
	};

	return ioctl(uffd.fd, UFFDIO_REGISTER, &reg) ?
		       fail(l, -errno, "UFFDIO_REGISTER %d", mode) :
		       0;
}

static int fill_uffd(struct load *l)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MOVE,
	};
	int ret = fill_anon(l), memfd;
	unsigned char *other;
	pthread_t thread;

	if (ret)
		return ret;
	uffd.fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd.fd < 0 || ioctl(uffd.fd, UFFDIO_API, &api))
		return fail(l, -EOPNOTSUPP, "userfaultfd");
	memfd = memfd_create("hr-uffd", MFD_CLOEXEC);
	if (memfd < 0 || ftruncate(memfd, UFFD_BYTES))
		return fail(l, -errno, "memfd");
	other = mmap(NULL, UFFD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		     memfd, 0);
	uffd.minor = mmap(NULL, UFFD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  memfd, 0);
	uffd.missing = mmap(NULL, UFFD_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uffd.spare = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (other == MAP_FAILED || uffd.minor == MAP_FAILED ||
	    uffd.missing == MAP_FAILED || uffd.spare == MAP_FAILED)
		return fail(l, -errno, "mmap");
	pattern_fill(other, UFFD_BYTES, l->seed, 0);
	madvise(uffd.missing, UFFD_BYTES, MADV_NOHUGEPAGE);
	ret = register_uffd(l, uffd.missing,
			    UFFDIO_REGISTER_MODE_MISSING |
				    UFFDIO_REGISTER_MODE_WP);
	if (!ret)
		ret = register_uffd(l, uffd.minor, UFFDIO_REGISTER_MODE_MINOR);
	if (!ret && pthread_create(&thread, NULL, resolve, l))
		ret = fail(l, -EAGAIN, "thread");
	return ret;
}

static void churn_uffd(struct load *l)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)uffd.missing,
			   .len = UFFD_BYTES },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	volatile unsigned char *p;

	madvise(uffd.missing, UFFD_BYTES, MADV_DONTNEED);
	madvise(uffd.minor, UFFD_BYTES, MADV_DONTNEED);
	if (pattern_check(uffd.missing, UFFD_BYTES, l->seed, 0) ||
	    pattern_check(uffd.minor, UFFD_BYTES, l->seed, 0))
		wrong(l, -EIO, "what userfaultfd put there");
	while (ioctl(uffd.fd, UFFDIO_WRITEPROTECT, &wp))
		if (errno != EAGAIN)
			return wrong(l, -errno, "UFFDIO_WRITEPROTECT");
	for (p = uffd.missing; p < uffd.missing + UFFD_BYTES; p += PAGE)
		*p = *p;
}

static long check_uffd(struct load *l)
{
	int i;

	for (i = 0; l->shared->rounds && i < 3; i++)
		if (!uffd.faults[i])
			return fail(l, -ENODATA, "no fault of kind %d", i);
	if (l->shared->rounds && !uffd.moved)
		return fail(l, -ENODATA, "UFFDIO_MOVE never moved a page");
	return check_mem(l);
}

/* ---- programs that start, and the stacks they are given ------------------ */

#define PROGRAM "/bin/true"

static int setup_exec(struct load *l)
{
	return access(PROGRAM, X_OK) ? fail(l, -EOPNOTSUPP, PROGRAM) : 0;
}

/* The pages of the arguments are moved to where the stack comes to lie. */
static void churn_exec(struct load *l)
{
	static char text[64 << 10];
	char *const argv[] = { PROGRAM, text, text, text, NULL };
	int i;

	memset(text, 'x', sizeof(text) - 1);
	for (i = 0; i < STORM; i++) {
		if (!child(l))
			continue;
		execv(PROGRAM, argv);
		_exit(1);
	}
	reap(l);
}

/* ---- somebody looks into the process, and writes there ------------------- */

static int setup_trace(struct load *l)
{
	return process_vm_readv(getpid(), NULL, 0, NULL, 0, 0) &&
			       errno == ENOSYS ?
		       fail(l, -EOPNOTSUPP, "process_vm_readv") :
		       0;
}

static int try_trace(struct load *l, pid_t pid)
{
	size_t slice = l->bytes / 64, pos = turn(l, 64) * slice, i;
	struct iovec local = { .iov_len = slice };
	struct iovec remote = { .iov_base = l->mem + pos, .iov_len = slice };
	char path[64];
	uint64_t entry;
	long word;
	int fd;

	local.iov_base = malloc(slice);
	if (!local.iov_base ||
	    process_vm_readv(pid, &local, 1, &remote, 1, 0) != slice ||
	    pattern_check(local.iov_base, slice, l->seed, pos) ||
	    process_vm_writev(pid, &local, 1, &remote, 1, 0) != slice)
		return 1;
	for (i = 0; i < slice; i += PAGE) {
		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, pid, l->mem + pos + i, NULL);
		if (errno ||
		    ptrace(PTRACE_POKEDATA, pid, l->mem + pos + i, word))
			return 2;
	}
	/* 4: soft-dirty bits. */
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	if (hr_write_file(path, "4"))
		return 3;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (i = 0; i < slice; i += PAGE)
		if (pread(fd, &entry, sizeof(entry),
			  ((uintptr_t)l->mem + pos + i) / PAGE *
				  sizeof(entry)) != sizeof(entry))
			return 4;
	return 0;
}

static void churn_trace(struct load *l)
{
	pid_t parent = getpid();
	int status, bad;

	if (!child(l))
		return reap(l);
	if (ptrace(PTRACE_ATTACH, parent, NULL, NULL) ||
	    waitpid(parent, &status, __WALL) != parent)
		_exit(5);
	bad = try_trace(l, parent);
	if (bad)
		fail(l, -EIO, "step %d of looking into a process", bad);
	ptrace(PTRACE_DETACH, parent, NULL, NULL);
	_exit(bad);
}

/* ---- what memory is for changes, and where it is ------------------------- */

static unsigned char *scratch;

static int fill_advise(struct load *l)
{
	int ret = fill_anon(l);

	return ret ? ret : map_scratch(l, &scratch);
}

static void churn_advise(struct load *l)
{
	size_t slice = l->bytes / 64, pos = turn(l, 64) * slice;
	unsigned char *at = l->mem + pos, *away;
	long bad;

	mprotect(at, slice, PROT_READ);
	bad = pattern_check(at, slice, l->seed, pos);
	mprotect(at, slice, PROT_READ | PROT_WRITE);

	away = mmap(NULL, slice, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (away == MAP_FAILED ||
	    mremap(at, slice, slice, MREMAP_MAYMOVE | MREMAP_FIXED, away) !=
		    away)
		return wrong(l, -errno, "mremap");
	bad += pattern_check(away, slice, l->seed, pos);
	if (mremap(away, slice, slice, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
		return wrong(l, -errno, "mremap back");

	/* Freed lazily and written again: nothing of that may get lost. */
	madvise(scratch, SCRATCH, turn(l, 2) ? MADV_FREE : MADV_DONTNEED);
	pattern_fill(scratch, SCRATCH, l->seed + l->shared->rounds, 0);
	madvise(scratch, SCRATCH, MADV_COLLAPSE);
	bad += pattern_check(scratch, SCRATCH, l->seed + l->shared->rounds, 0);
	madvise(scratch, SCRATCH, MADV_COLD);
	if (bad)
		wrong(l, -EIO, "%ld bytes", bad);
}

/* ---- khugepaged, kcompactd and NUMA balancing ---------------------------- */

#define THP_DIR "/sys/kernel/mm/transparent_hugepage/"

static int setup_daemons(struct load *l)
{
	static const struct knob knobs[] = {
		{ THP_DIR "enabled", "madvise" },
		{ THP_DIR "khugepaged/scan_sleep_millisecs", "10" },
		{ THP_DIR "khugepaged/alloc_sleep_millisecs", "10" },
		{ THP_DIR "khugepaged/pages_to_scan", "8192" },
		{ "/proc/sys/vm/compaction_proactiveness", "100" },
		{ "/proc/sys/kernel/numa_balancing", "1" },
	};

	return set_knobs(l, knobs, NR(knobs));
}

static int fill_daemons(struct load *l)
{
	time_t limit = time(NULL) + WORKER_SECONDS / 2;
	long before = hr_vmstat("thp_collapse_alloc");
	int ret = fill_anon(l);

	if (ret)
		return ret;
	if (madvise(l->mem, l->bytes, MADV_HUGEPAGE))
		return fail(l, -errno, "madvise(MADV_HUGEPAGE)");
	while (hr_vmstat("thp_collapse_alloc") <= before) {
		if (time(NULL) > limit)
			return fail(l, -ETIMEDOUT,
				    "khugepaged collapses nothing");
		if (told_to_stop(l, 20))
			break;
	}
	return 0;
}

/* A hole in a huge page is one more piece of work for it. */
static void churn_daemons(struct load *l)
{
	size_t pos = turn(l, l->bytes / THP) * THP + turn(l, 512) * PAGE;

	madvise(l->mem + pos, PAGE, MADV_DONTNEED);
	pattern_fill(l->mem + pos, PAGE, l->seed, pos);
}

/* ---- what an administrator asks for -------------------------------------- */

#define DROP_CACHES "/proc/sys/vm/drop_caches"

static int cgroup = -1;

static int fill_reclaim(struct load *l)
{
	/* From now on without a line in the log each time. */
	hr_write_file(DROP_CACHES, "4");
	cgroup = hr_mount_detached("cgroup2", NULL, NULL);
	return cgroup < 0 ? fail(l, -EOPNOTSUPP, "mount cgroup2") :
			    fill_clean(l);
}

static void churn_reclaim(struct load *l)
{
	size_t chunk = turn(l, l->bytes / CHUNK);
	int fd, ret = 0;

	switch (turn(l, 3)) {
	case 0:
		ret = hr_write_file(DROP_CACHES, "3");
		break;
	case 1:
		ret = hr_write_file("/proc/sys/vm/compact_memory", "1");
		break;
	case 2: /* EAGAIN: less than that */
		fd = openat(cgroup, "memory.reclaim", O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return wrong(l, -errno, "open memory.reclaim");
		if (write(fd, "4M", 2) != 2 && errno != EAGAIN)
			wrong(l, -errno, "write memory.reclaim");
		close(fd);
		break;
	}
	if (ret)
		wrong(l, ret, "drop caches or compact");
	fd = open_file(l, O_RDONLY);
	if (fd < 0 || check_chunk(l, fd, chunk))
		wrong(l, -EIO, "chunk %zu after that", chunk);
	if (fd >= 0)
		close(fd);
}

/* ---- memory of the kernel comes and goes --------------------------------- */

#define PIPES 48

/* A pipe of these holds 16 pages; their buffers and inodes are slab objects. */
static void churn_slab(struct load *l)
{
	static char buf[16 * PAGE_MOST];
	int i, n, fds[2], nr = PIPES + turn(l, 16);

	for (i = 0; i < STORM; i++) {
		if (!child(l))
			continue;
		for (n = 0; n < nr; n++)
			if (pipe(fds) ||
			    write(fds[1], buf, 16 * PAGE) !=
				    (long)(16 * PAGE) ||
			    eventfd(0, 0) < 0)
				_exit(1);
		_exit(0);
	}
	reap(l);
}

/* ---- direct I/O: pages are pinned while it lasts ------------------------- */

static unsigned char *io_mem;

static int fill_direct(struct load *l)
{
	int ret = fill_clean(l), fd;

	if (ret)
		return ret;
	ret = map_scratch(l, &io_mem);
	if (ret)
		return ret;
	fd = open_file(l, O_RDWR | O_DIRECT);
	if (fd < 0)
		return fd;
	if (pread(fd, io_mem, CHUNK, 0) != CHUNK)
		ret = fail(l, -errno, "read directly");
	close(fd);
	return ret;
}

static void churn_direct(struct load *l)
{
	size_t chunks = l->bytes / CHUNK, chunk;
	int i, n, fd;

	for (i = 0; i < STORM; i++) {
		if (!child(l))
			continue;
		fd = open_file(l, O_RDWR | O_DIRECT);
		for (n = 0; n < SCRATCH / CHUNK; n++) {
			unsigned char *at = io_mem + n * CHUNK;

			chunk = (turn(l, chunks) + i * chunks / STORM + n) %
				chunks;
			/* Two may write the same chunk, and then the same bytes. */
			if (pread(fd, at, CHUNK, chunk * CHUNK) != CHUNK ||
			    pattern_check(at, CHUNK, l->seed, chunk * CHUNK) ||
			    pwrite(fd, at, CHUNK, chunk * CHUNK) != CHUNK)
				_exit(1);
		}
		_exit(0);
	}
	reap(l);
}

/* ---- pages under writeback ------------------------------------------------ */

#define WRITTEN 16 /* chunks at a time */

static unsigned long under_way; /* seen under writeback, at least */

static void churn_writeback(struct load *l)
{
	size_t nr = l->bytes / CHUNK, i,
	       chunk = turn(l, nr / WRITTEN) * WRITTEN;
	int fd = open_file(l, O_RDWR);
	long pages;

	if (fd < 0)
		return wrong(l, fd, "open");
	for (i = chunk; i < chunk + WRITTEN; i++) {
		l->generation[i]++;
		if (write_chunk(l, fd, i))
			wrong(l, -EIO, "write chunk %zu", i);
	}
	/* Begun, and not waited for. */
	if (sync_file_range(fd, chunk * CHUNK, WRITTEN * CHUNK,
			    SYNC_FILE_RANGE_WRITE))
		wrong(l, -errno, "sync_file_range");
	pages = hr_vmstat("nr_writeback");
	if (pages > 0)
		under_way += pages;
	close(fd);
}

static long check_writeback(struct load *l)
{
	if (!under_way)
		return fail(l, -ENODATA, "no page under writeback");
	return check_file(l);
}

/* ---- CPUs leave and come back -------------------------------------------- */

#define CPU1 "/sys/devices/system/cpu/cpu1/online"

static int setup_cpus(struct load *l)
{
	static const struct knob knobs[] = { { CPU1, "1" } };

	return set_knobs(l, knobs, NR(knobs));
}

static void churn_cpus(struct load *l)
{
	int ret = hr_write_file(CPU1, "0");

	if (!ret)
		ret = hr_write_file(CPU1, "1");
	if (ret)
		wrong(l, ret, CPU1);
}

/* ---- swap that is full --------------------------------------------------- */

static int setup_full(struct load *l)
{
	l->zram = hr_zram_swapon(l->bytes / 8);
	return l->zram < 0 ? fail(l, l->zram, "swap on zram") : 0;
}

static int fill_full(struct load *l)
{
	int ret = fill_anon(l);

	if (ret)
		return ret;
	if (madvise(l->mem, l->bytes, MADV_PAGEOUT))
		return fail(l, -errno, "madvise(MADV_PAGEOUT)");
	if (hr_meminfo_kb("SwapFree") > (long)(l->bytes >> 10) / 64)
		return fail(l, -ENODATA, "%ld kB of swap left",
			    hr_meminfo_kb("SwapFree"));
	return 0;
}

/* ---- watermarks that rise and fall --------------------------------------- */

#define MIN_FREE "/proc/sys/vm/min_free_kbytes"
#define SCALE "/proc/sys/vm/watermark_scale_factor"

static int setup_marks(struct load *l)
{
	static const struct knob knobs[] = {
		{ MIN_FREE, "4096" },
		{ SCALE, "10" },
	};

	return set_knobs(l, knobs, NR(knobs));
}

/* At most a quarter of what the tests leave of ordinary memory. */
static void churn_marks(struct load *l)
{
	static const char *const min_kb[] = { "24576", "128" };
	static const char *const scale[] = { "10", "300", "100" };
	int ret = hr_write_file(MIN_FREE, min_kb[turn(l, 2)]);

	if (!ret)
		ret = hr_write_file(SCALE, scale[turn(l, 3)]);
	if (ret)
		wrong(l, ret, "set watermarks");
}

const struct load_type load_rivals[] = {
	{ "secret", "secret memory, made and gone", "CONFIG_SECRETMEM", NULL,
	  fill_secret, churn_secret, check_secret },
	{ "uffd", "userfaultfd: missing, minor, write-protected, moved",
	  "CONFIG_USERFAULTFD", NULL, fill_uffd, churn_uffd, check_uffd },
	{ "exec", "programs started with large arguments", PROGRAM, setup_exec,
	  fill_anon, churn_exec, check_mem },
	{ "trace", "ptrace, process_vm_readv, pagemap, soft-dirty",
	  "CONFIG_CROSS_MEMORY_ATTACH and CONFIG_MEM_SOFT_DIRTY", setup_trace,
	  fill_anon, churn_trace, check_mem },
	{ "advise", "mprotect, mremap, madvise", NULL, NULL, fill_advise,
	  churn_advise, check_mem },
	{ "daemons", "khugepaged, kcompactd, NUMA balancing",
	  "CONFIG_TRANSPARENT_HUGEPAGE and CONFIG_NUMA_BALANCING",
	  setup_daemons, fill_daemons, churn_daemons, check_mem },
	{ "reclaim", "drop_caches, compact_memory, memory.reclaim",
	  "CONFIG_EXT4_FS, CONFIG_BLK_DEV_LOOP and CONFIG_MEMCG", setup_ext4,
	  fill_reclaim, churn_reclaim, check_file },
	{ "slab", "kernel memory, made and gone", NULL, NULL, fill_anon,
	  churn_slab, check_mem },
	{ "direct", "direct I/O", "CONFIG_EXT4_FS and CONFIG_BLK_DEV_LOOP",
	  setup_ext4, fill_direct, churn_direct, check_file },
	{ "writeback", "page cache of ext4 under writeback",
	  "CONFIG_EXT4_FS and CONFIG_BLK_DEV_LOOP", setup_ext4, fill_file,
	  churn_writeback, check_writeback },
	{ "cpus", "a CPU that leaves and comes back", "two CPUs", setup_cpus,
	  fill_anon, churn_cpus, check_mem },
	{ "full", "swap that is full", "CONFIG_SWAP and CONFIG_ZRAM",
	  setup_full, fill_full, churn_swap, check_mem },
	{ "marks", "watermarks that rise and fall", NULL, setup_marks,
	  fill_anon, churn_marks, check_mem },
	{ NULL },
};
