// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's part of `make demo`: plug 1 GiB, onlined as the argument says,
 * use it as a machine does that has been up for a while, take it all back.
 *
 *	demo online_kernel | online_movable | online_hotremove
 *
 * Lines for the reader are progress; lines "RESULT <key> <value>" are what
 * harness/demo.sh makes the table of. Exit 1: data were lost, or memory that
 * was onlined to be removable did not come back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hr.h"
#include "load.h"
#include "report.h"

#define AUTO_ONLINE HR_SYS_MEMORY "/auto_online_blocks"
#define DEVICE "vm0"
#define PLUG_MIB 1024L

/* Inode and dentry of an empty file take 0.8 kB: about 52 MB in all. */
#define FILES 65536

/*
 * After a refusal the driver rests for 50 s; a new request wakes it. So long
 * without progress is a refusal, so many in a row are an answer. Where all is
 * expected to come back, a busy host must not be taken for a refusal.
 */
static const struct patience {
	int stall_seconds;
	int tries;
} kernel_patience = { 4, 2 }, movable_patience = { 15, 4 };

#define MAX_BLOCKS 64

static const struct {
	const char *name;
	long mib;
} plan[] = {
	{ "thp", 416 },	 { "anon", 96 }, { "tmpfs", 64 },
	{ "clean", 32 }, { "fork", 32 },
};
#define LOADS (sizeof(plan) / sizeof(plan[0]))

static struct load loads[LOADS];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	va_list ap;

	printf("%5.1f s  ", now());
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- plug -------------------------------------------------------------- */

static int plugged[MAX_BLOCKS], nr_plugged;

/* The blocks that are online now and were not before. */
static void find_plugged(const int *before, int nr_before)
{
	int blocks[MAX_BLOCKS], nr, i, j;

	nr = hr_blocks_in_state("online", blocks, MAX_BLOCKS);
	for (nr_plugged = 0, i = 0; i < nr; i++) {
		for (j = 0; j < nr_before && before[j] != blocks[i]; j++)
			;
		if (j == nr_before)
			plugged[nr_plugged++] = blocks[i];
	}
}

static void plug(const char *how)
{
	int want = PLUG_MIB * 1048576 / hr_block_bytes();
	long long deadline = hr_deadline(60);
	int before[MAX_BLOCKS], nr_before, ret;

	nr_before = hr_blocks_in_state("online", before, MAX_BLOCKS);
	ret = hr_write_file(AUTO_ONLINE, how);
	if (ret)
		die(ret, "write %s to %s", how, AUTO_ONLINE);
	ret = hr_vmem_resize(DEVICE, PLUG_MIB, 60);
	if (ret)
		die(ret, "plug %ld MiB", PLUG_MIB);
	do {
		find_plugged(before, nr_before);
	} while (nr_plugged < want && hr_poll(deadline));
	if (nr_plugged < want)
		die(-ETIMEDOUT, "%d of %d blocks online", nr_plugged, want);
	say("plugged %ld MiB through virtio-mem", PLUG_MIB);
}

/* ---- an aged machine --------------------------------------------------- */

static void make_files(int first, int nr)
{
	char path[64];
	int fd;

	for (; nr--; first++) {
		snprintf(path, sizeof(path), "/tmp/files/%d", first);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		if (fd < 0)
			die(-errno, "create %s", path);
		close(fd);
	}
}

/*
 * A process grows while kernel objects are made, and then exits: what remains
 * lies here and there, if it may lie in what was plugged at all. A machine that
 * has been up for a while looks so.
 */
#define STEPS 16

static void age(void)
{
	size_t step = (PLUG_MIB - PLUG_MIB / 8) / STEPS << 20;
	char *mem;
	int i;

	mem = mmap(NULL, STEPS * step, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		die(-errno, "mmap");
	if (mkdir("/tmp/files", 0700) ||
	    mount("files", "/tmp/files", "ramfs", 0, NULL))
		die(-errno, "mount ramfs");
	for (i = 0; i < STEPS; i++) {
		if (madvise(mem + i * step, step, MADV_POPULATE_WRITE))
			die(-errno, "fill %zu bytes", step);
		make_files(i * (FILES / STEPS), FILES / STEPS);
	}
	munmap(mem, STEPS * step);
	say("a process used it and is gone; meanwhile %d files were made",
	    FILES);
	result("files", "%d", FILES);
}

/* ---- load -------------------------------------------------------------- */

static void start_loads(void)
{
	unsigned int i;
	long mib = 0;
	int ret;

	for (i = 0; i < LOADS; i++) {
		ret = load_start(&loads[i], plan[i].name, plan[i].mib, i + 1);
		if (ret)
			die(ret, "start %s: %s", plan[i].name,
			    load_why(&loads[i]));
		mib += plan[i].mib;
	}
	say("load: %ld MiB of huge and small pages, tmpfs, page cache; fork storm",
	    mib);
	result("load_mib", "%ld", mib);
}

static long check_loads(void)
{
	long corrupt, sum = 0;
	unsigned int i;

	for (i = 0; i < LOADS; i++) {
		corrupt = load_stop(&loads[i]);
		if (corrupt)
			say("%s: %ld bytes corrupt %s", plan[i].name, corrupt,
			    load_why(&loads[i]));
		sum += !!corrupt;
	}
	result("intact", "%s", sum ? "NO" : "yes");
	return sum;
}

/* ---- where the pages went ---------------------------------------------- */

/* Bits of /proc/kpageflags. */
#define KPF_SLAB (1UL << 7)
#define KPF_BUDDY (1UL << 10)
#define KPF_NOPAGE (1UL << 20)
#define KPF_OFFLINE (1UL << 23)
#define KPF_PGTABLE (1UL << 26)

static void count_pages(void)
{
	unsigned long nr = hr_block_pages(), used = 0, kernel = 0, j;
	uint64_t *flags = calloc(nr, sizeof(*flags));
	int i;

	for (i = 0; flags && i < nr_plugged; i++) {
		if (hr_kpageflags(hr_block_pfn(plugged[i]), nr, flags) < 0)
			continue;
		for (j = 0; j < nr; j++) {
			used += !(flags[j] &
				  (KPF_BUDDY | KPF_NOPAGE | KPF_OFFLINE));
			kernel += !!(flags[j] & (KPF_SLAB | KPF_PGTABLE));
		}
	}
	free(flags);
	say("in use: %lu of %ld plugged MiB, %lu of them slab and page tables",
	    used >> 8, PLUG_MIB, kernel >> 8);
	result("used_mib", "%lu", used >> 8);
	result("kernel_mib", "%lu", kernel >> 8);
}

/* Boot memory is below 4 GiB: these zones hold nothing but what was plugged. */
static void count_pageblocks(const char *zone)
{
	static const char table[] = "Number of blocks type";
	char line[512], name[32], *type, *save, types[512] = "";
	bool in_table = false;
	FILE *f = fopen("/proc/pagetypeinfo", "re");
	int at = 0, n;
	long count;

	result("zone", "%s", zone);
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, table, strlen(table))) {
			strcpy(types, line + strlen(table));
			in_table = true;
			continue;
		}
		if (!in_table ||
		    sscanf(line, "Node %*d, zone %31s%n", name, &at) != 1 ||
		    strcmp(name, zone))
			continue;
		for (type = strtok_r(types, " \n", &save); type;
		     type = strtok_r(NULL, " \n", &save)) {
			if (sscanf(line + at, "%ld%n", &count, &n) != 1)
				break;
			at += n;
			result(type, "%ld", count);
		}
		break;
	}
	if (f)
		fclose(f);
}

/* ---- unplug ------------------------------------------------------------ */

/* Returns the MiB that are still plugged. */
static long unplug(const struct patience *patience)
{
	long long deadline = hr_deadline(patience->stall_seconds);
	double start = now(), last = start;
	long size, left = PLUG_MIB, said = left;
	int tries = 1;

	while (left) {
		/* To repeat a request changes nothing. */
		hr_vmem_resize(DEVICE, 0, 1);
		size = hr_vmem_size_mib(DEVICE);
		if (size < left) {
			left = size;
			last = now();
			deadline = hr_deadline(patience->stall_seconds);
			if (left && said - left >= PLUG_MIB / 4) {
				say("%ld MiB are back", PLUG_MIB - left);
				said = left;
			}
		} else if (!hr_poll(deadline)) {
			if (tries++ == patience->tries)
				break;
			/* To ask for what there is makes 0 a new one. */
			hr_vmem_resize(DEVICE, left, 1);
			deadline = hr_deadline(patience->stall_seconds);
		}
	}
	say("%ld of %ld MiB came back in %.1f s", PLUG_MIB - left, PLUG_MIB,
	    last - start);
	result("back_mib", "%ld", PLUG_MIB - left);
	result("seconds", "%.1f", last - start);
	return left;
}

/* Whole memory blocks are what the host, and a module's slot, gets back. */
static void count_blocks_gone(bool all)
{
	long long deadline = hr_deadline(10);
	char path[64];
	int gone, i;

	do {
		for (gone = 0, i = 0; i < nr_plugged; i++) {
			snprintf(path, sizeof(path), HR_SYS_MEMORY "/memory%d",
				 plugged[i]);
			gone += !!access(path, F_OK);
		}
		/* The device reports its size before Linux is done. */
	} while (all && gone < nr_plugged && hr_poll(deadline));
	result("blocks_gone", "%d", gone);
}

/* ---- one memory module ------------------------------------------------- */

static bool dimm_present(void)
{
	char reply[4096];

	return hr_qmp("{'execute': 'query-memory-devices'}", reply,
		      sizeof(reply)) ||
	       strstr(reply, "\"dimm0\"");
}

/* Online as hot-removable, use, offline while in use, delete the device. */
static void remove_dimm(const int *blocks, int nr)
{
	long long deadline;
	struct load load;
	double start;
	long corrupt;
	int i, ret;

	for (i = 0; i < nr; i++) {
		ret = hr_block_write(blocks[i], "state", "online_hotremove");
		if (ret)
			die(ret, "online memory%d", blocks[i]);
	}
	ret = load_start(&load, "anon", 128, 99);
	if (ret)
		die(ret, "start anon: %s", load_why(&load));
	start = now();
	for (i = 0; i < nr; i++) {
		ret = hr_block_offline(blocks[i], 30);
		if (ret)
			die(ret, "offline memory%d", blocks[i]);
	}
	ret = hr_qmp("{'execute': 'device_del', 'arguments': {'id': 'dimm0'}}",
		     NULL, 0);
	if (ret)
		die(ret, "device_del dimm0");
	deadline = hr_deadline(30);
	while (dimm_present())
		if (!hr_poll(deadline))
			die(-ETIMEDOUT, "wait for dimm0 to be gone");
	result("dimm_seconds", "%.1f", now() - start);
	corrupt = load_stop(&load);
	if (corrupt)
		die(-EIO, "%ld bytes corrupt %s", corrupt, load_why(&load));
	say("memory module of %d blocks offlined in use and deleted", nr);
	result("dimm", "gone");
}

int main(int argc, char **argv)
{
	int dimm[MAX_BLOCKS], nr_dimm;
	bool movable, hotremove, comes_back;
	long left, lost;

	setlinebuf(stdout);
	if (argc != 2 || !getenv("HR_RUN"))
		die(-EINVAL, "usage, in a guest: demo online_<type>");
	movable = !strcmp(argv[1], "online_movable");
	hotremove = !strcmp(argv[1], "online_hotremove");
	comes_back = movable || hotremove;
	nr_dimm = hr_offline_blocks(dimm, MAX_BLOCKS);

	plug(argv[1]);
	age();
	start_loads();
	count_pages();
	count_pageblocks(movable ? "Movable" : "Normal");
	left = unplug(comes_back ? &movable_patience : &kernel_patience);
	count_blocks_gone(!left);
	lost = check_loads();
	if (lost || (comes_back && left))
		return 1;
	if (hotremove)
		remove_dimm(dimm, nr_dimm);
	return 0;
}
