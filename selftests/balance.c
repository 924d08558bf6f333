// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that nothing is killed for want of memory while a CMA area is
 * free and user memory outside of it could move there, and that the area can be had
 * by its owner afterwards.
 *
 * Why: kernel memory cannot use CMA. Where user memory fills what is left, the
 * machine kills with most of the area free.
 *
 *   ordinary   [uuuuuuuuu...]  ->  [kkkkkkkkkkkk]
 *   area       [............]      [uuuuuuuuuuuu]  ->  cma_alloc()
 *
 * At vm.evacuate_to_cma=0 that is what the area is for rather than a kill; at -1 it
 * is not, and stays free: without that the test would prove nothing.
 *
 * Seen failing (6.12.117, cma guest): see the variant `never`, which has at the kill
 * what `rather_than_kill` must not have.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hr_harness.h"
#include "hr.h"
#include "pressure.h"

#define AREA "/sys/kernel/debug/cma/"
#define TO_CMA "/proc/sys/vm/evacuate_to_cma"
#define KMSG "/dev/kmsg"
#define EIGHTHS 4

static char area[64];

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

static bool find_area(void)
{
	static const char *const names[] = { "reserved", "cma_reserved",
					     "linux,cma" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(area, sizeof(area), AREA "%s", names[i]);
		if (area_get("count") > 0)
			return true;
	}
	return false;
}

SCENE(balance);

FIXTURE_VARIANT(balance)
{
	const char *to_cma;
};

FIXTURE_VARIANT_ADD(balance, rather_than_kill) {
	.to_cma = "0",
};

FIXTURE_VARIANT_ADD(balance, always) {
	.to_cma = "1",
};

FIXTURE_VARIANT_ADD(balance, never) {
	.to_cma = "-1",
};

FIXTURE_SETUP(balance)
{
	struct scene *s = &self->s;
	static char effort[96];

	if (!find_area())
		SKIP(return, "needs a CMA area (cma=, CONFIG_CMA_DEBUGFS)");
	if (access(TO_CMA, F_OK))
		SKIP(return, "needs vm.evacuate_to_cma");
	ASSERT_EQ(0, scene_set(s, TO_CMA, variant->to_cma));
	ASSERT_EQ(0, scene_release(s, "0"));
	scene_spares(s);
	/* As cma_alloc() asks, whatever a test before this one left there. */
	snprintf(effort, sizeof(effort), "%s/effort", area);
	if (!access(effort, F_OK))
		ASSERT_EQ(0, scene_set(s, effort, "2"));
}

static long log_pages(const char *record, const char *name)
{
	const char *at = strstr(record, name);

	return at ? atol(at + strlen(name)) : 0;
}

/* Of the first kill after that: free pages of CMA, and what user memory there is. */
static bool read_kill(int kmsg, long *free_cma, long *user)
{
	static char record[8192];
	ssize_t n;

	/* EPIPE: the oldest records went meanwhile. */
	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue;
		record[n] = '\0';
		/* Pages, of all memory: that of nodes and zones is in kB. */
		if (!strstr(record, ";active_anon:"))
			continue;
		*free_cma = log_pages(record, " free_cma:");
		*user = log_pages(record, ";active_anon:") +
			log_pages(record, " inactive_anon:") +
			log_pages(record, " active_file:") +
			log_pages(record, " inactive_file:");
		return true;
	}
	return false;
}

/* Kernel memory until a kill, then the owner of the area wants half of it. */
TEST_F_TIMEOUT(balance, kill, 900)
{
	struct scene *s = &self->s;
	const long count = area_get("count");
	long free_cma, user, outside, stranded;
	int kmsg, got = 0;

	/* User memory for which there is no need to go to the area at first. */
	START(&s->anon, anon, 2 * count / MIB_PAGES, NULL);
	START(&s->grower, unmovable, NULL);
	kmsg = open(KMSG, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, kmsg);
	lseek(kmsg, 0, SEEK_END);
	ASSERT_EQ(1, pressure_grow(&s->grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(&s->grower));
	ASSERT_TRUE(read_kill(kmsg, &free_cma, &user));
	close(kmsg);

	/* What of user memory lies outside and would have had room in the area */
	outside = user - (count - free_cma);
	stranded = outside < 0 ? 0 : outside < free_cma ? outside : free_cma;
	TH_LOG("killed after %lu MiB of kernel memory, with %ld of %ld MiB of CMA free and %ld MiB of user memory outside",
	       pressure_done(&s->grower) / MIB_KIB, free_cma / MIB_PAGES,
	       count / MIB_PAGES, outside / MIB_PAGES);
	if (atoi(variant->to_cma) < 0) {
		EXPECT_LE(count / 4, stranded);
	} else {
		EXPECT_GE(MIB_PAGES, stranded);
	}

	pressure_stop(&s->grower);
	for (int i = 0; i < EIGHTHS; i++)
		got += !area_set("alloc", count / 8);
	EXPECT_EQ(EIGHTHS, got);
	EXPECT_EQ(0, area_set("free", count / 8 * got));
	EXPECT_EQ(0, pressure_check(&s->anon));
	EXPECT_EQ(0, hr_check_invariants());
}

HR_HARNESS_MAIN
