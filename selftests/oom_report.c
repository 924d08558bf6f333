// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that the report of an OOM kill says which free memory the request could
 * not use: the numbers add up, and the class that is to blame is named.
 *
 *	Usable for this request: 4800kB of 406000kB free memory, order=0: ...
 *	Not usable for it: 400000kB hot-removable (...), 1200kB in CMA (...)
 *	Released instead of a kill: 0kB so far, vm.hotremove_release=0; 1 would ...
 *	Node 0 DMA32 usable: free:6000kB = ordinary:4800kB + hotremove:0kB(...) + ...
 *
 * Why: "Out of memory" with most of the memory free is what people get to see
 * of movable-only memory; ZONE_MOVABLE is not in the report at all without this.
 *
 * Each test provokes a kill of its own kind, of a grower that asks for kernel
 * memory, and reads the kernel's log. One control: a kill within a memory cgroup
 * says nothing of this, as the machine is not short.
 *
 * On a kernel without the report all but the control fail for want of a first line.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../kselftest_harness.h"

#include "hr.h"
#include "pressure.h"

#define PLUG_MIB 512UL
/* Between the lines of a report memory comes and goes. */
#define SLACK_KB 8192L

struct report {
	int kills; /* of a grower; all that follows is of the first */
	bool inside; /* are the lines now its report? */
	char first[512], second[512];
	char third[256]; /* on what was or could be released */
	long usable, free; /* kB, as the first line has it */
	int order;
	long unusable; /* kB, the sum of the second line */
	long zones; /* kB, the sum of the lines on zones */
	struct {
		char name[32];
		long free;
	} known[32]; /* as the report of the kernel without the series has it */
	int nr_known, compared, differ;
	int wrong_sums;
	int most_lines; /* on one zone */
};

static void add_zone_line(struct report *r, const char *line)
{
	static char zone[64], last[64];
	static int lines;
	long free, ordinary, hotremove, cma, highatomic;
	const char *at = strstr(line, "usable: ");
	int i, n = 0;

	if (!r->zones)
		last[0] = '\0';
	snprintf(zone, sizeof(zone), "%.*s", (int)(at - line), line);
	lines = strcmp(zone, last) ? 1 : lines + 1;
	strcpy(last, zone);
	if (lines > r->most_lines)
		r->most_lines = lines;

	at += strlen("usable: ");
	if (sscanf(at, "free:%ldkB%n", &free, &n) != 1)
		return;
	r->zones += free;
	zone[strcspn(zone, "u") - 1] = '\0';
	for (i = 0; i < r->nr_known; i++) {
		if (strcmp(zone, r->known[i].name))
			continue;
		r->compared++;
		if (labs(r->known[i].free - free) <= SLACK_KB / 4)
			continue;
		r->differ++;
		printf("# was %ldkB: %s\n", r->known[i].free, line);
	}
	if (at[n] == '\0' || strncmp(at + n, " = ", 3))
		return;
	if (sscanf(at + n, " = ordinary:%ldkB + hotremove:%ldkB", &ordinary,
		   &hotremove) != 2 ||
	    sscanf(strstr(at, " + cma:"), " + cma:%ldkB", &cma) != 1 ||
	    sscanf(strstr(at, " + highatomic:"), " + highatomic:%ldkB",
		   &highatomic) != 1 ||
	    ordinary + hotremove + cma + highatomic != free) {
		r->wrong_sums++;
		printf("# does not add up: %s\n", line);
	}
}

static void add_line(struct report *r, const char *line)
{
	const char *at;

	if (strstr(line, " invoked oom-killer")) {
		r->inside = strstr(line, PRESSURE_GROWER) && !r->kills++;
	} else if (strstr(line, "Tasks state")) {
		r->inside = false;
	}
	if (!r->inside)
		return;
	if (!strncmp(line, "Usable for this request: ", 25)) {
		snprintf(r->first, sizeof(r->first), "%s", line);
		sscanf(line,
		       "Usable for this request: %ldkB of %ldkB free memory, order=%d",
		       &r->usable, &r->free, &r->order);
	} else if (!strncmp(line, "Not usable for it:", 18)) {
		snprintf(r->second, sizeof(r->second), "%s", line);
		for (at = strchr(line, ':'); at; at = strchr(at + 1, ','))
			r->unusable += atol(at + 1);
	} else if (!strncmp(line, "Released instead of a kill: ", 28)) {
		snprintf(r->third, sizeof(r->third), "%s", line);
	} else if (!strncmp(line, "Node ", 5) &&
		   (at = strstr(line, " free:")) && strstr(at, "kB boost:") &&
		   r->nr_known < 32) {
		snprintf(r->known[r->nr_known].name, sizeof(r->known[0].name),
			 "%.*s", (int)(at - line), line);
		r->known[r->nr_known++].free = atol(at + 6);
	} else if (!strncmp(line, "Node ", 5) && strstr(line, "usable: ")) {
		add_zone_line(r, line);
	}
}

static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	lseek(fd, 0, SEEK_END);
	return fd;
}

/* What was logged since log_open(); closes it. */
static struct report log_read(int fd)
{
	struct report r = { .order = -1 };
	char record[2048], *text, *end;
	ssize_t len;

	while ((len = read(fd, record, sizeof(record) - 1)) > 0 ||
	       (len < 0 && errno == EPIPE)) {
		if (len < 0)
			continue;
		record[len] = '\0';
		text = strchr(record, ';');
		end = text ? strchr(text, '\n') : NULL;
		if (!end)
			continue;
		*end = '\0';
		add_line(&r, text + 1);
	}
	close(fd);
	return r;
}

SCENE(report);

FIXTURE_VARIANT(report)
{
	const char *keyword;
	/* What is to be in the second line, and at least so much of the rest */
	const char *blamed;
	int (*grow)(struct pressure * p, const struct pressure_options *o);
	bool cache; /* plugged memory is full of page cache */
	bool mlock;
	bool cma; /* instead of anything plugged */
	bool far; /* on another node, and user memory is bound to this one */
	bool memcg;
	/* vm.hotremove_release, NULL: 0; and what is said of it */
	const char *release;
	const char *advice;
};

#define REPORT(name, ...)                 \
	FIXTURE_VARIANT_ADD(report, name) \
	{                                 \
		__VA_ARGS__               \
	}

#define HOTREMOVE                                                 \
	.keyword = "online_hotremove", .blamed = "hot-removable", \
	.advice = " vm.hotremove_release=0; 1 would have prevented this"
#define RELEASED(policy, said)                                 \
	.keyword = "online_hotremove", .grow = pressure_files, \
	.release = policy, .advice = " vm.hotremove_release=" policy "; " said
#define MOVABLE .keyword = "online_movable", .blamed = "in ZONE_MOVABLE"

/* clang-format off */
REPORT(hotremove, HOTREMOVE, .grow = pressure_unmovable);
REPORT(movable, MOVABLE, .grow = pressure_unmovable);
REPORT(files, HOTREMOVE, .grow = pressure_files);
REPORT(cache, HOTREMOVE, .grow = pressure_unmovable, .cache = true);
REPORT(mlock, HOTREMOVE, .grow = pressure_unmovable, .mlock = true);
REPORT(rings, HOTREMOVE, .grow = pressure_rings);
REPORT(cma, .blamed = "in CMA", .grow = pressure_unmovable, .cma = true);
REPORT(hotremove_node, HOTREMOVE, .grow = pressure_unmovable, .far = true);
REPORT(movable_node, MOVABLE, .grow = pressure_unmovable, .far = true);
REPORT(memcg, HOTREMOVE, .grow = pressure_unmovable, .memcg = true);
REPORT(release_1, RELEASED("1", "2 would have prevented this"));
REPORT(release_2, RELEASED("2", "no more can be"));
/* clang-format on */

FIXTURE_SETUP(report)
{
	if (variant->keyword && !strcmp(variant->keyword, "online_hotremove") &&
	    !hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (variant->release && access(SCENE_RELEASE, W_OK))
		SKIP(return, "needs a kernel that releases");
	/* The stacks it remembers would be lent memory that never comes back. */
	if (variant->release && !hr_booted_with("page_owner=off"))
		SKIP(return, "needs page_owner=off on the command line");
	if (hr_meminfo_kb("HotRemoveReleased") > 0)
		SKIP(return, "something is still released");
	ASSERT_EQ(0, scene_release(&self->s, variant->release ?: "0"));
	if (variant->cma && hr_meminfo_kb("CmaTotal") < 65536)
		SKIP(return, "needs cma= on the command line");
	if (variant->memcg && hr_booted_with("cgroup.memory=nokmem"))
		SKIP(return, "kernel memory is not charged");
}

TEST_F_TIMEOUT(report, adds_up, 300)
{
	struct pressure_options options = { .mlock = variant->mlock };
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	struct report r;
	int fd;

	if (variant->keyword)
		PLUG(s, variant->keyword, PLUG_MIB);
	if (variant->far && !scene_on_other_node(s))
		SKIP(return, "needs a second node");
	/* All of it may be used in the last resort; here it must not. */
	if (variant->cma)
		ASSERT_EQ(0,
			  scene_set(s, "/proc/sys/vm/evacuate_to_cma", "-1"));
	if (variant->memcg)
		ASSERT_EQ(0, scene_cgroup(s, "memory"));
	if (variant->far)
		options.nodes = 1;
	START(&s->anon, anon, 64, &options);
	if (variant->cache) {
		options.prefer = 1UL << hr_block_node(s->blocks[0]);
		START(&s->other, cache, percent(PLUG_MIB, 50), &options);
	}

	memset(&options, 0, sizeof(options));
	if (variant->memcg) {
		options.cgroup = SCENE_CGROUP;
		ASSERT_EQ(0, scene_cgroup_max(64));
	}
	ASSERT_EQ(0, variant->grow(grower, &options));
	fd = log_open();
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	r = log_read(fd);
	TH_LOG("%s", r.first);
	TH_LOG("%s", r.second);
	TH_LOG("%s", r.third);

	ASSERT_LE(1, r.kills);
	if (variant->memcg) {
		EXPECT_STREQ("", r.first);
		EXPECT_STREQ("", r.third);
		EXPECT_EQ(0, r.zones);
		ALL_COMES_BACK(s);
		return;
	}
	EXPECT_LT(0, r.free);
	/* A page, an inode or the ring of a pipe may be the last straw. */
	EXPECT_LE(0, r.order);
	EXPECT_GE(3, r.order);
	EXPECT_EQ(r.free, r.usable + r.unusable);
	if (variant->release) {
		/* Of what was plugged, all but what user memory has parts of. */
		EXPECT_LE(
			(long)(percent(PLUG_MIB, 60) * MIB_KIB),
			atol(r.third + strlen("Released instead of a kill: ")));
	} else {
		EXPECT_NE(NULL, strstr(r.second, variant->blamed));
		EXPECT_LE(32 * 1024, r.unusable);
	}
	if (!access(SCENE_RELEASE, F_OK) && variant->advice) {
		EXPECT_NE(NULL, strstr(r.third, variant->advice));
	} else {
		EXPECT_STREQ("", r.third);
	}
	EXPECT_EQ(0, r.wrong_sums);
	/* Where all that is free can be used there is nothing to say of zones. */
	if (*r.second) {
		EXPECT_LE(labs(r.zones - r.free), SLACK_KB);
		/* All zones that were in the report before are there, and agree. */
		EXPECT_LT(0, r.compared);
		EXPECT_EQ(0, r.differ);
	} else {
		EXPECT_EQ(0, r.zones);
	}
	EXPECT_LE(r.most_lines, 6);
	pressure_stop(&s->other);
	if (variant->release)
		NEARLY_ALL_COMES_BACK(s);
	else
		ALL_COMES_BACK(s);
}

TEST_HARNESS_MAIN
