// SPDX-License-Identifier: GPL-2.0
/*
 * The last part of `make demo`: what an administrator gets to see when the kernel
 * needs more than ordinary memory has, and what can be done about it. A small
 * guest with 1 GiB of virtio-mem that is there, and offline, at boot.
 *
 *	tour online_hotremove
 *
 * Lines "TOUR <text>" are the transcript, commands and their real output, lines
 * "RESULT <key> <value>" are what harness/demo.sh judges. All of the rest is
 * noise.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hr.h"
#include "pressure.h"
#include "report.h"

#define PLUG_MIB 1024UL
#define ANON_MIB 330
#define FILES 600000UL
#define RELEASE "/proc/sys/vm/hotremove_release"
#define PIN_BYTES (8UL << 20)

static struct scene scene;

static void __attribute__((format(printf, 1, 2))) tell(const char *fmt, ...)
{
	va_list ap;

	printf("TOUR ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* Show a command, and what it prints, in the directory of the memory blocks. */
static void __attribute__((format(printf, 1, 2))) show(const char *fmt, ...)
{
	char command[512], full[600], line[512];
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	tell("# %s", command);
	snprintf(full, sizeof(full), "cd " HR_SYS_MEMORY "; { %s; } 2>&1",
		 command);
	f = popen(full, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		/* A report has long lines. */
		tell("%.157s%s", line, strlen(line) > 157 ? "..." : "");
	}
	if (f)
		pclose(f);
}

static int count_blocks(const char *word)
{
	char state[64];
	int i, nr = 0;

	for (i = 0; i < scene.nr; i++) {
		if (!hr_block_read(scene.blocks[i], "hotremove", state,
				   sizeof(state)))
			nr += !strncmp(state, word, strlen(word));
	}
	return nr;
}

/* Empty files until FILES or a kill. */
static void make_files(const char *policy)
{
	struct pressure *files = &scene.grower;
	int ret = hr_write_file(RELEASE, policy);

	if (ret)
		die(ret, "write %s to %s", policy, RELEASE);
	show("echo %s >" RELEASE "; cat " RELEASE, policy);
	ret = pressure_files(files, NULL);
	if (ret)
		die(ret, "files: %s", pressure_why(files));
	ret = pressure_grow(files, FILES, 0, GROW_SECONDS);
	if (ret < 0)
		die(ret, "files: %s", pressure_why(files));
	tell("  %lu files made, killed for want of memory: %s",
	     pressure_done(files), ret ? "yes" : "no");
	result(ret ? "killed_at" : "made", "%lu", pressure_done(files));
}

/* Given back to the kernel, which then has something there: refused, by name. */
static void refuse_in_use(int block)
{
	unsigned long files;
	int ret;

	show("echo online_kernel >memory%d/state; cat memory%d/hotremove",
	     block, block);
	ret = pressure_files(&scene.grower, NULL);
	for (files = 20000;
	     !ret && files <= 200000 && hr_unmovable_pages(block) <= 0;
	     files += 20000)
		ret = pressure_grow(&scene.grower, files, 0, GROW_SECONDS);
	if (ret)
		die(ret, "files: %s", pressure_why(&scene.grower));
	tell("  the kernel puts something there");
	show("echo online_hotremove >memory%d/state; cat memory%d/hotremove",
	     block, block);
	show("dmesg | grep -o 'stays ordinary.*' | tail -n 1");
	result("in_use_refused", "%s",
	       hr_block_is(block, "hotremove", "no") ? "yes" : "NO");
	pressure_stop(&scene.grower);
}

/*
 * Make what was there at boot removable, as far as it is of one zone, without holes,
 * and the kernel does not sit in it; remove a block of that, and make all of it what
 * it was.
 */
static void switch_boot_memory(void)
{
	int blocks[64], nr, boot[64], nr_boot = 0, i, j, any = -1, switched = 0;
	int first = -1;

	nr = hr_blocks_in_state("online", blocks, 64);
	for (i = 0; i < nr; i++) {
		for (j = 0; j < scene.nr && scene.blocks[j] != blocks[i]; j++)
			;
		if (j == scene.nr)
			boot[nr_boot++] = blocks[i];
	}
	for (i = 0; i < nr_boot; i++) {
		show("echo online_hotremove >memory%d/state; cat memory%d/hotremove",
		     boot[i], boot[i]);
		if (hr_block_is(boot[i], "hotremove", "yes")) {
			if (first < 0)
				first = boot[i];
			any = boot[i];
			switched++;
		}
	}
	result("boot_blocks", "%d", nr_boot);
	result("boot_switched", "%d", switched);
	if (any >= 0) {
		show("echo offline >memory%d/state; cat memory%d/state", any,
		     any);
		result("boot_offline", "%s",
		       hr_block_is(any, "state", "offline") ? "yes" : "NO");
	}
	if (first >= 0)
		refuse_in_use(first);
	for (i = 0; i < nr_boot; i++)
		hr_block_write(boot[i], "state", "online_kernel");
}

/*
 * A page of the last block is held by an I/O that has not ended: the block is
 * refused, with the reason, and goes when the reason does.
 */
static void refuse_pinned(void)
{
	int pipes[2], block = scene.blocks[scene.nr - 1];
	struct iovec page = { .iov_len = sysconf(_SC_PAGESIZE) };
	size_t i;

	page.iov_base = hr_anon_in_block(block, PIN_BYTES, MADV_NOHUGEPAGE);
	if (!page.iov_base || pipe(pipes))
		die(-errno, "memory in memory%d", block);
	/* A quarter of it lies there, wherever that is. */
	for (i = 0; i < PIN_BYTES; i += page.iov_len) {
		if (hr_pfn_in_block(hr_virt_to_pfn(page.iov_base), block))
			break;
		page.iov_base += page.iov_len;
	}
	if (vmsplice(pipes[1], &page, 1, 0) != (ssize_t)page.iov_len)
		die(-errno, "pin a page of memory%d", block);
	tell("One page of memory%d is held by an I/O that has not ended:",
	     block);
	show("echo offline >memory%d/state", block);
	show("cat memory%d/offline_blocker", block);
	result("refused", "%s",
	       hr_block_is(block, "state", "online") ? "yes" : "NO");
	close(pipes[0]);
	close(pipes[1]);
	tell("  the I/O ends");
	show("echo offline >memory%d/state; cat memory%d/state", block, block);
	result("not_refused", "%s",
	       hr_block_is(block, "state", "offline") ? "yes" : "NO");
}

int main(int argc, char **argv)
{
	long long deadline;
	int ret;

	setlinebuf(stdout);
	if (argc != 2 || !getenv("HR_RUN"))
		die(-EINVAL, "usage, in a guest: tour online_hotremove");
	if (!scene_take(&scene, PLUG_MIB))
		die(-ENODEV, "%lu MiB to plug", PLUG_MIB);
	ret = scene_online(&scene, argv[1]);
	if (ret)
		die(ret, "%s", argv[1]);
	ret = pressure_anon(&scene.anon, ANON_MIB, NULL);
	if (ret)
		die(ret, "anon: %s", pressure_why(&scene.anon));

	tell("The kernel's own memory grows until something is killed:");
	make_files("0");
	show("dmesg | grep -A2 'Usable for this' | sed 's/^.[ 0-9.]*. //'");
	pressure_stop(&scene.grower);

	tell(" ");
	tell("The same if it may be lent what is to be removable:");
	make_files("1");
	sleep(2);
	result("partial", "%d", count_blocks("partial"));
	show("grep partial */hotremove");
	show("grep Released /proc/meminfo");
	pressure_stop(&scene.grower);
	tell("  the files are deleted");
	deadline = hr_deadline(ARM_SECONDS);
	while (count_blocks("yes") < scene.nr && hr_poll(deadline))
		;
	result("armed", "%d", count_blocks("yes"));
	result("blocks", "%d", scene.nr);
	show("grep yes */hotremove | wc -l");
	show("dmesg | grep -o 'hotremove: memory.*'");

	tell(" ");
	refuse_pinned();

	tell(" ");
	tell("What was there at boot becomes removable, except blocks that span two zones or have holes:");
	switch_boot_memory();

	ret = hr_return_blocks();
	result("returned", "%s", ret ? "NO" : "yes");
	result("released_kib", "%ld", hr_meminfo_kb("HotRemoveReleased"));
	result("intact", "%s", pressure_check(&scene.anon) ? "NO" : "yes");
	pressure_stop(&scene.anon);
	return 0;
}
