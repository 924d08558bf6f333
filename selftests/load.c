// SPDX-License-Identifier: GPL-2.0
/*
 * Workloads to remove memory from under; load.h says what each function
 * promises.
 *
 * Life of a load:
 *
 *   caller                        worker (child)
 *   load_start(): setup, fork --> fill
 *            wait <-------------- 0 or -errno
 *   ... removals ...              churn, churn, churn, ...
 *   load_stop(): stop ----------> check
 *            wait <-------------- corrupt bytes or -errno
 *            undo the setup
 *
 * Each kind of load is one row of load_types[]: how to set the machine up, how
 * to fill, what to do in the meantime, how to check. Where a load claims a
 * kind of memory (huge, merged, swapped out), its fill fails unless the kernel
 * says that it really is of that kind.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load_type.h"

/* ---- the pattern ------------------------------------------------------- */

/*
 * One 64-bit word per cache line, repeated: distinct for each line of each
 * load, quick to make, and it compresses as swapped memory usually does.
 */
#define LINE 64UL

static uint64_t line_word(uint64_t seed, uint64_t line)
{
	uint64_t x = seed + line * 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	return x ^ (x >> 27);
}

void pattern_fill(void *mem, size_t len, uint64_t seed, uint64_t pos)
{
	uint64_t *p = mem, word;
	size_t i, j;

	for (i = 0; i < len / LINE; i++) {
		word = line_word(seed, pos / LINE + i);
		for (j = 0; j < LINE / sizeof(word); j++)
			*p++ = word;
	}
}

long pattern_check(const void *mem, size_t len, uint64_t seed, uint64_t pos)
{
	const uint64_t *p = mem;
	long corrupt = 0;
	uint64_t word, diff;
	size_t i, j;

	for (i = 0; i < len / LINE; i++) {
		word = line_word(seed, pos / LINE + i);
		for (j = 0; j < LINE / sizeof(word); j++) {
			for (diff = *p++ ^ word; diff; diff >>= 8)
				corrupt += !!(diff & 0xff);
		}
	}
	return corrupt;
}

/* ---- worker: common parts ---------------------------------------------- */

pid_t spawn(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

bool told_to_stop(const struct load *l, int wait_ms)
{
	struct pollfd p = { .fd = l->stop, .events = POLLIN };

	return poll(&p, 1, wait_ms) > 0;
}

void reap(struct load *l)
{
	int status;

	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			__atomic_add_fetch(&l->shared->corrupt, 1,
					   __ATOMIC_RELAXED);
}

unsigned int turn(const struct load *l, unsigned int parts)
{
	return l->shared->rounds % parts;
}

/* ---- caller: knobs set for the time of a load -------------------------- */

int set_knobs(struct load *l, const struct knob *knobs, int nr)
{
	char old[64], *open, *close;
	int i, ret;

	for (i = 0; i < nr; i++) {
		ret = hr_read_file(knobs[i].file, old, sizeof(old));
		if (ret < 0)
			return fail(l, ret == -ENOENT ? -EOPNOTSUPP : ret,
				    "read %s", knobs[i].file);
		/* "always [madvise] never" means madvise. */
		open = strchr(old, '[');
		close = strchr(old, ']');
		if (open && close)
			*close = '\0';
		snprintf(l->saved[i].val, sizeof(l->saved[i].val), "%.15s",
			 open ? open + 1 : old);
		ret = hr_write_file(knobs[i].file, knobs[i].val);
		if (ret)
			return fail(l, ret, "write %s to %s", knobs[i].val,
				    knobs[i].file);
		l->saved[i].file = knobs[i].file;
	}
	return 0;
}

static void restore_knobs(struct load *l)
{
	int i;

	for (i = LOAD_KNOBS; i--;)
		if (l->saved[i].file)
			hr_write_file(l->saved[i].file, l->saved[i].val);
}

/* ---- anonymous memory -------------------------------------------------- */

int map_anon(struct load *l, int advice)
{
	unsigned char *p;

	p = mmap(NULL, l->bytes + THP, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return fail(l, -errno, "mmap %zu bytes", l->bytes);
	l->mem = (void *)(((uintptr_t)p + THP - 1) & ~(THP - 1));
	/* Without huge pages in the kernel there is nothing to forbid. */
	if (madvise(l->mem, l->bytes, advice) && advice != MADV_NOHUGEPAGE)
		return fail(l, -errno, "madvise(%d)", advice);
	return 0;
}

int fill_anon(struct load *l)
{
	int ret = map_anon(l, MADV_NOHUGEPAGE);

	if (!ret)
		pattern_fill(l->mem, l->bytes, l->seed, 0);
	return ret;
}

long check_mem(struct load *l)
{
	return pattern_check(l->mem, l->bytes, l->seed, 0);
}

long self_kb(const char *file, const char *name)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/%s", file);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (!kb && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			kb = strtol(line + strlen(name) + 1, NULL, 10);
	fclose(f);
	return kb;
}

static int setup_thp(struct load *l)
{
	static const struct knob knobs[] = {
		/* Off by default in guests below 512 MiB. */
		{ "/sys/kernel/mm/transparent_hugepage/enabled", "madvise" },
	};

	return set_knobs(l, knobs, 1);
}

static int fill_thp(struct load *l)
{
	int ret = map_anon(l, MADV_HUGEPAGE);
	size_t huge;

	if (ret)
		return ret;
	pattern_fill(l->mem, l->bytes, l->seed, 0);
	huge = self_kb("smaps_rollup", "AnonHugePages") * 1024UL;
	if (huge < l->bytes / 2)
		return fail(l, -ENODATA, "only %zu of %zu bytes in huge pages",
			    huge, l->bytes);
	return 0;
}

#define MTHP "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/"

static int setup_mthp(struct load *l)
{
	static const struct knob knobs[] = {
		{ "/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/enabled",
		  "never" },
		{ MTHP "enabled", "madvise" },
	};

	return set_knobs(l, knobs, 2);
}

static long mthp_faults(void)
{
	char text[32] = "";

	hr_read_file(MTHP "stats/anon_fault_alloc", text, sizeof(text));
	return strtol(text, NULL, 10);
}

static int fill_mthp(struct load *l)
{
	long folios = -mthp_faults();
	int ret = map_anon(l, MADV_HUGEPAGE);

	if (ret)
		return ret;
	pattern_fill(l->mem, l->bytes, l->seed, 0);
	folios += mthp_faults();
	if (folios < (long)(l->bytes >> 16) / 2)
		return fail(l, -ENODATA, "only %ld folios of 64 KiB", folios);
	return 0;
}

static int fill_mlock(struct load *l)
{
	int ret = fill_anon(l);

	if (!ret && mlock(l->mem, l->bytes))
		ret = fail(l, -errno, "mlock %zu bytes", l->bytes);
	return ret;
}

/* ---- merged pages ------------------------------------------------------ */

#define KSM "/sys/kernel/mm/ksm/"

static int setup_ksm(struct load *l)
{
	static const struct knob knobs[] = {
		{ KSM "sleep_millisecs", "20" },
		{ KSM "pages_to_scan", "2000" },
		{ KSM "run", "1" },
	};

	return set_knobs(l, knobs, 3);
}

static long ksm_sharing(void)
{
	char buf[32];

	return hr_read_file(KSM "pages_sharing", buf, sizeof(buf)) > 0 ?
		       strtol(buf, NULL, 10) :
		       0;
}

/* Pages come in equal pairs, so half of the memory stays, all of it merged. */
static int fill_ksm(struct load *l)
{
	time_t limit = time(NULL) + WORKER_SECONDS / 2;
	long want = l->bytes / PAGE / 4;
	size_t pos;
	int ret = map_anon(l, MADV_NOHUGEPAGE);

	if (ret)
		return ret;
	for (pos = 0; pos < l->bytes; pos += PAGE)
		pattern_fill(l->mem + pos, PAGE, l->seed,
			     pos & ~(2 * PAGE - 1));
	if (madvise(l->mem, l->bytes, MADV_MERGEABLE))
		return fail(l, -errno, "madvise(MADV_MERGEABLE)");
	while (ksm_sharing() < want) {
		if (time(NULL) > limit)
			return fail(l, -ETIMEDOUT, "%ld pages merged, want %ld",
				    ksm_sharing(), want);
		if (told_to_stop(l, 20))
			break;
	}
	return 0;
}

/* Write to some merged pages what is already there; ksmd merges them again. */
static void churn_ksm(struct load *l)
{
	size_t slice = l->bytes / 64, i;
	volatile unsigned char *p = l->mem + turn(l, 64) * slice;

	for (i = 0; i < slice; i += PAGE)
		p[i] = p[i];
}

static long check_ksm(struct load *l)
{
	long corrupt = 0;
	size_t pos;

	for (pos = 0; pos < l->bytes; pos += PAGE)
		corrupt += pattern_check(l->mem + pos, PAGE, l->seed,
					 pos & ~(2 * PAGE - 1));
	return corrupt;
}

/* ---- swap on zram ------------------------------------------------------ */

static int setup_swap(struct load *l)
{
	l->zram = hr_zram_swapon(l->bytes + MIB);
	return l->zram < 0 ? fail(l, l->zram, "swap on zram") : 0;
}

static void undo_swap(struct load *l)
{
	if (l->zram >= 0)
		hr_zram_swapoff(l->zram);
	l->zram = -1;
}

static int fill_swap(struct load *l)
{
	int ret = fill_anon(l);
	size_t swapped;

	if (ret)
		return ret;
	if (madvise(l->mem, l->bytes / 2, MADV_PAGEOUT))
		return fail(l, -errno, "madvise(MADV_PAGEOUT)");
	swapped = self_kb("status", "VmSwap") * 1024UL;
	if (swapped < l->bytes / 4)
		return fail(l, -ENODATA, "only %zu of %zu bytes swapped out",
			    swapped, l->bytes / 2);
	return 0;
}

void churn_swap(struct load *l)
{
	size_t slice = l->bytes / 8;
	size_t out = turn(l, 8) * slice;
	size_t in = (turn(l, 8) + 4) % 8 * slice;

	madvise(l->mem + out, slice, MADV_PAGEOUT);
	l->shared->corrupt += pattern_check(l->mem + in, slice, l->seed, in);
}

/* ---- many processes ---------------------------------------------------- */

#define STORM 4

/*
 * Children share a quarter of the worker's memory copy on write, write some of
 * it and are gone: reference counts run ahead of map counts all the time.
 */
static int fill_fork(struct load *l)
{
	int ret = fill_anon(l);

	if (!ret &&
	    madvise(l->mem + l->bytes / 4, l->bytes / 4 * 3, MADV_DONTFORK))
		ret = fail(l, -errno, "madvise(MADV_DONTFORK)");
	return ret;
}

static void churn_fork(struct load *l)
{
	size_t slice = l->bytes / 64, pos;
	int i;

	for (i = 0; i < STORM; i++) {
		if (spawn())
			continue;
		pos = (turn(l, 16) + i) % 16 * slice;
		pattern_fill(l->mem + pos, slice / 2, l->seed, pos);
		_exit(!!pattern_check(l->mem + pos, slice, l->seed, pos));
	}
	reap(l);
}

/* Each child fills memory of its own and takes it along when it exits. */
static void churn_exit(struct load *l)
{
	size_t slice = l->bytes / 32;
	uint64_t seed;
	void *mem;
	int i;

	for (i = 0; i < STORM; i++) {
		if (spawn())
			continue;
		seed = l->seed + getpid();
		mem = mmap(NULL, slice, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (mem == MAP_FAILED)
			_exit(1);
		pattern_fill(mem, slice, seed, 0);
		_exit(!!pattern_check(mem, slice, seed, 0));
	}
	reap(l);
}

/* ---- files ------------------------------------------------------------- */

static int mount_tmpfs(struct load *l, size_t bytes)
{
	char options[32];

	strcpy(l->dir, "/tmp/hr-load.XXXXXX");
	if (!mkdtemp(l->dir)) {
		int err = -errno;

		l->dir[0] = '\0';
		return fail(l, err, "mkdtemp in /tmp");
	}
	snprintf(options, sizeof(options), "size=%zu", bytes);
	if (mount("hr-load", l->dir, "tmpfs", 0, options))
		return fail(l, errno == ENODEV ? -EOPNOTSUPP : -errno,
			    "mount tmpfs on %s", l->dir);
	return 0;
}

static int setup_tmpfs(struct load *l)
{
	strcpy(l->file, "/data");
	return mount_tmpfs(l, l->bytes + MIB);
}

/*
 * Bind the file to a loop device that goes away with its last user. The
 * descriptor returned is read-only: a device open for writing by somebody else
 * may not be mounted (CONFIG_BLK_DEV_WRITE_MOUNTED).
 */
static int loop_bind(const char *file, char *dev, size_t len)
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int ctl, backing, writable, loop = -1;

	ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (ctl < 0)
		return -EOPNOTSUPP;
	snprintf(dev, len, "/dev/loop%d", ioctl(ctl, LOOP_CTL_GET_FREE));
	backing = open(file, O_RDWR | O_CLOEXEC);
	writable = open(dev, O_RDWR | O_CLOEXEC);
	config.fd = backing;
	if (backing >= 0 && writable >= 0 &&
	    !ioctl(writable, LOOP_CONFIGURE, &config))
		loop = open(dev, O_RDONLY | O_CLOEXEC);
	if (loop < 0)
		loop = -errno;
	close(writable);
	close(backing);
	close(ctl);
	return loop;
}

/* ext4 on a loop device on tmpfs: a disk in memory that may move as well. */
int setup_ext4(struct load *l)
{
	size_t disk = l->bytes + l->bytes / 16 + 4 * MIB;
	char image[64], mnt[64], dev[32];
	int fd, loop, ret;

	ret = mount_tmpfs(l, disk + MIB);
	if (ret)
		return ret;
	snprintf(image, sizeof(image), "%s/disk", l->dir);
	snprintf(mnt, sizeof(mnt), "%s/mnt", l->dir);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, disk) || mkdir(mnt, 0700))
		ret = fail(l, -errno, "make %s", image);
	if (fd >= 0)
		close(fd);
	if (ret)
		return ret;
	loop = loop_bind(image, dev, sizeof(dev));
	if (loop < 0)
		return fail(l, loop, "loop device for %s", image);
	ret = hr_mke2fs((const char *[]) { dev, NULL });
	if (ret)
		ret = fail(l, ret, "mke2fs %s", dev);
	else if (mount(dev, mnt, "ext4", 0, NULL))
		ret = fail(l, errno == ENODEV ? -EOPNOTSUPP : -errno,
			   "mount %s", dev);
	close(loop);
	strcpy(l->file, "/mnt/data");
	return ret;
}

static void undo_files(struct load *l)
{
	char mnt[64];

	if (!l->dir[0])
		return;
	snprintf(mnt, sizeof(mnt), "%s/mnt", l->dir);
	umount2(mnt, MNT_DETACH);
	umount2(l->dir, MNT_DETACH);
	rmdir(l->dir);
	l->dir[0] = '\0';
}

int open_file(struct load *l, int flags)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s%s", l->dir, l->file);
	fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? fail(l, -errno, "open %s", path) : fd;
}

static uint64_t chunk_seed(const struct load *l, size_t chunk)
{
	return l->seed + l->generation[chunk] * 0xd1342543de82ef95ULL;
}

int write_chunk(struct load *l, int fd, size_t chunk)
{
	static unsigned char buf[CHUNK];
	off_t pos = chunk * CHUNK;

	pattern_fill(buf, CHUNK, chunk_seed(l, chunk), pos);
	return pwrite(fd, buf, CHUNK, pos) == CHUNK ? 0 : -EIO;
}

long check_chunk(struct load *l, int fd, size_t chunk)
{
	static unsigned char buf[CHUNK];
	off_t pos = chunk * CHUNK;

	if (pread(fd, buf, CHUNK, pos) != CHUNK)
		return CHUNK;
	return pattern_check(buf, CHUNK, chunk_seed(l, chunk), pos);
}

long check_file(struct load *l)
{
	int fd = open_file(l, O_RDONLY);
	long corrupt = 0;
	size_t chunk;

	if (fd < 0)
		return fd;
	for (chunk = 0; chunk < l->bytes / CHUNK; chunk++)
		corrupt += check_chunk(l, fd, chunk);
	close(fd);
	return corrupt;
}

int fill_file(struct load *l)
{
	int fd = open_file(l, O_RDWR | O_CREAT), ret = 0;
	size_t chunk;

	if (fd < 0)
		return fd;
	l->generation = calloc(l->bytes / CHUNK, sizeof(*l->generation));
	for (chunk = 0; !ret && chunk < l->bytes / CHUNK; chunk++)
		ret = write_chunk(l, fd, chunk);
	if (ret)
		ret = fail(l, ret, "write %s%s", l->dir, l->file);
	close(fd);
	return ret;
}

/* Written back, dropped and read in again: clean, and not dirty before. */
int fill_clean(struct load *l)
{
	int ret = fill_file(l), fd;

	if (ret)
		return ret;
	fd = open_file(l, O_RDONLY);
	if (fd < 0)
		return fd;
	if (fsync(fd))
		ret = fail(l, -errno, "fsync");
	else
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	if (!ret && check_file(l))
		ret = fail(l, -EIO, "read back %s%s", l->dir, l->file);
	return ret;
}

/* Rewrite some chunks with new content; every 16th time push it all out. */
static void churn_dirty(struct load *l)
{
	size_t nr = l->bytes / CHUNK, i, chunk;
	int fd = open_file(l, O_RDWR);

	if (fd < 0)
		return;
	for (i = 0; i < 16; i++) {
		chunk = (l->shared->rounds * 16 + i) % nr;
		l->generation[chunk]++;
		if (write_chunk(l, fd, chunk))
			l->shared->corrupt += CHUNK;
	}
	if (!(l->shared->rounds % 16))
		fdatasync(fd);
	close(fd);
}

/* One reader maps the file, the others read it; all check what they see. */
static void reader(struct load *l, int nr)
{
	int fd = open_file(l, O_RDONLY);
	size_t chunks = l->bytes / CHUNK, chunk, i;
	unsigned char *map = NULL;
	long corrupt = fd < 0;

	if (!nr && fd >= 0)
		map = mmap(NULL, l->bytes, PROT_READ, MAP_SHARED, fd, 0);
	for (i = nr; !corrupt && !told_to_stop(l, 1); i++) {
		chunk = line_word(l->seed, i) % chunks;
		corrupt = map ? pattern_check(map + chunk * CHUNK, CHUNK,
					      l->seed, chunk * CHUNK) :
				check_chunk(l, fd, chunk);
		__atomic_add_fetch(&l->shared->rounds, 1, __ATOMIC_RELAXED);
	}
	_exit(!!corrupt);
}

static int fill_readers(struct load *l)
{
	int ret = fill_clean(l), i;

	for (i = 0; !ret && i < 3; i++)
		if (!spawn())
			reader(l, i);
	return ret;
}

static long check_readers(struct load *l)
{
	reap(l);
	return check_file(l);
}

/* ---- the table --------------------------------------------------------- */

static const struct load_type load_types[] = {
	{ "anon", "anonymous memory in 4 KiB pages", NULL, NULL, fill_anon,
	  NULL, check_mem },
	{ "thp", "anonymous memory in 2 MiB pages",
	  "CONFIG_TRANSPARENT_HUGEPAGE", setup_thp, fill_thp, NULL, check_mem },
	{ "mthp", "anonymous memory in folios of 64 KiB",
	  "CONFIG_TRANSPARENT_HUGEPAGE", setup_mthp, fill_mthp, NULL,
	  check_mem },
	{ "mlock", "locked anonymous memory", NULL, NULL, fill_mlock, NULL,
	  check_mem },
	{ "tmpfs", "a file in tmpfs", "CONFIG_TMPFS", setup_tmpfs, fill_file,
	  NULL, check_file },
	{ "clean", "clean page cache of ext4",
	  "CONFIG_EXT4_FS and CONFIG_BLK_DEV_LOOP", setup_ext4, fill_clean,
	  NULL, check_file },
	{ "dirty", "page cache of ext4, rewritten and written back",
	  "CONFIG_EXT4_FS and CONFIG_BLK_DEV_LOOP", setup_ext4, fill_file,
	  churn_dirty, check_file },
	{ "ksm", "merged pages, written to and merged again", "CONFIG_KSM",
	  setup_ksm, fill_ksm, churn_ksm, check_ksm },
	{ "swap", "memory going to zram and coming back",
	  "CONFIG_SWAP and CONFIG_ZRAM", setup_swap, fill_swap, churn_swap,
	  check_mem },
	{ "fork", "processes forked, writing and gone", NULL, NULL, fill_fork,
	  churn_fork, check_mem },
	{ "exit", "processes that take their memory along", NULL, NULL,
	  fill_anon, churn_exit, check_mem },
	{ "readers", "page cache of ext4, read and mapped",
	  "CONFIG_EXT4_FS and CONFIG_BLK_DEV_LOOP", setup_ext4, fill_readers,
	  NULL, check_readers },
};

#define LOAD_TYPES (sizeof(load_types) / sizeof(*load_types))

/* The i-th of both tables: the last one has no name. */
static const struct load_type *nth(unsigned int i)
{
	return i < LOAD_TYPES ? &load_types[i] : &load_rivals[i - LOAD_TYPES];
}

static const struct load_type *find(const char *name)
{
	unsigned int i;

	for (i = 0; nth(i)->name; i++)
		if (!strcmp(nth(i)->name, name))
			return nth(i);
	return NULL;
}

const char *load_name(unsigned int i)
{
	return nth(i)->name;
}

const char *load_what(const char *name)
{
	return find(name)->what;
}

const char *load_needs(const char *name)
{
	return find(name)->needs;
}

bool load_works(const struct load *l)
{
	return l->type->churn;
}

/* ---- caller ------------------------------------------------------------ */

static int now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void __attribute__((noreturn)) worker(struct load *l, int out)
{
	long result;
	int start, rest = l->type->churn ? 1 : -1;

	result = l->type->fill(l);
	if (write(out, &result, sizeof(result)) != sizeof(result) || result)
		_exit(1);
	/* Resting as long as it works leaves the removals half a machine. */
	while (!told_to_stop(l, rest)) {
		start = now_ms();
		l->type->churn(l);
		rest = now_ms() - start + 1;
		__atomic_add_fetch(&l->shared->rounds, 1, __ATOMIC_RELAXED);
	}
	result = l->type->check(l);
	if (result >= 0)
		result += l->shared->corrupt;
	_exit(write(out, &result, sizeof(result)) != sizeof(result));
}

/* The worker's next message. */
static long hear(struct load *l)
{
	struct pollfd p = { .fd = l->from_worker, .events = POLLIN };
	long result;
	int ret;

	ret = poll(&p, 1, WORKER_SECONDS * 1000);
	if (!ret)
		return fail(l, -ETIMEDOUT, "%s: nothing heard for %d s",
			    l->type->name, WORKER_SECONDS);
	if (ret < 0 ||
	    read(l->from_worker, &result, sizeof(result)) != sizeof(result))
		return fail(l, -ECHILD, "%s: worker died", l->type->name);
	return result;
}

static int start_worker(struct load *l)
{
	int from[2], to[2];

	if (pipe2(from, O_CLOEXEC))
		return fail(l, -errno, "pipe");
	if (pipe2(to, O_CLOEXEC)) {
		close(from[0]);
		close(from[1]);
		return fail(l, -errno, "pipe");
	}
	l->stop = to[0];
	l->pid = spawn();
	if (!l->pid)
		worker(l, from[1]);
	close(from[1]);
	l->from_worker = from[0];
	l->to_worker = to[1];
	if (l->pid < 0)
		return fail(l, -errno, "fork");
	return hear(l);
}

int load_start(struct load *l, const char *name, size_t mib, uint64_t seed)
{
	int ret = 0;

	memset(l, 0, sizeof(*l));
	l->type = find(name);
	l->bytes = mib * MIB;
	l->seed = seed;
	l->zram = -1;
	l->from_worker = -1;
	l->to_worker = -1;
	if (!l->type)
		return -EINVAL;
	l->shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l->shared == MAP_FAILED)
		return -errno;
	if (l->type->setup)
		ret = l->type->setup(l);
	if (!ret)
		ret = start_worker(l);
	if (ret)
		load_abort(l);
	return ret;
}

const char *load_why(const struct load *l)
{
	return l->shared ? l->shared->why : "";
}

unsigned long load_rounds(const struct load *l)
{
	return __atomic_load_n(&l->shared->rounds, __ATOMIC_RELAXED);
}

long load_stop(struct load *l)
{
	long corrupt;

	if (write(l->to_worker, "", 1) != 1)
		corrupt = fail(l, -errno, "stop %s", l->type->name);
	else
		corrupt = hear(l);
	load_abort(l);
	return corrupt;
}

void load_abort(struct load *l)
{
	if (!l->type)
		return;
	if (l->pid > 0) {
		kill(l->pid, SIGKILL);
		waitpid(l->pid, NULL, 0);
	}
	if (l->pid) {
		close(l->from_worker);
		close(l->to_worker);
		close(l->stop);
	}
	undo_files(l);
	undo_swap(l);
	restore_knobs(l);
	l->type = NULL;
}
