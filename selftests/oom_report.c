// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that the report of an OOM kill says which free memory the request could
 * not use: the numbers add up, and the class that is to blame is named.
 *
 *	Usable for this request: 4800kB of 406000kB free memory, order=0: ...
 *	Not usable for it: 400000kB hot-removable (...), 1200kB in CMA (...)
 *	Released instead of a kill: 0kB now, vm.hotremove_release=0; 1 would ...
 *	Node 0 DMA32 usable: free:6000kB = ordinary:4800kB + hotremove:0kB(...) + ...
 *
 * Why: "Out of memory" with most of the memory free is what people get to see
 * of movable-only memory; ZONE_MOVABLE is not in the report at all without this.
 *
 * Each test provokes a kill of its own kind, of a grower that asks for kernel
 * memory, and reads the kernel's log. One control: a kill within a memory cgroup
 * says nothing of this, as the machine is not short.
 *
 * mixed: user memory is in use, some of it anonymous, most of it page cache, and
 * there is no room left for it. The kill comes when ordinary memory is the
 * kernel's, and there is little that is free to be named.
 *
 * pieces: half of ordinary memory is free, but in pieces that are smaller than what
 * is asked for, and between which nothing can be moved. That is what is said then.
 *
 * What each vm.hotremove_release would have given is what is free of hot-removable
 * memory, as the second line has it.
 *
 * bound: the grower is bound to one node, by a policy or by its cpuset. What is
 * free elsewhere is in a class of its own, to the page of what zoneinfo says, no zone
 * of another node is said to be usable, and only what the node itself could be lent
 * is spoken of.
 *
 * atomic, thisnode: requests that fail without a kill. Signals wait in slab asked
 * for with GFP_ATOMIC, of which the marks are lower; move_pages() wants pages of one
 * node and no other, for which hot-removable memory is as good as any. User space
 * has no way to what is both of a higher order and loud: huge pages and large slabs
 * are asked for with __GFP_NOWARN; KUnit formats such.
 *
 * On a kernel without the report all but the control fail for want of a first line.
 *
 * Seen failing (numa guest): bound, with a grower that is not: nothing is on other
 * nodes, and those are usable; atomic, with the marks of everybody else. Pieces (release
 * guest), without the holes: too little is free.
 *
 * Seen failing (numa guest) where room is made on nodes without ordinary memory only: mixed,
 * killed at 52 % with 434 MiB of page cache left, once in two runs.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hr_harness.h"

#include "hr.h"
#include "pressure.h"

#define PLUG_MIB 512UL
/* Between the lines of a report memory comes and goes. */
#define SLACK_KB 8192L
#define MAX_NODES 8
/* What half of ordinary memory is left for, and how much of it is free at least. */
#define LEAVE_MIB 32UL
#define PIECES_KB (32L * 1024)

struct report {
	int kills, failures; /* of a grower; all that follows is of the first */
	char failure[256]; /* its line, if it was not a kill */
	bool inside; /* are the lines now its report? */
	char first[512], second[512];
	char third[256]; /* on what was or could be released */
	long given[3]; /* kB, what each policy would have given, as the third has it */
	long usable, free; /* kB, as the first line has it */
	int order;
	int most_order; /* of the pieces there are, if that is the reason; or -1 */
	long unusable; /* kB, the sum of the second line */
	long zones; /* kB, the sum of the lines on zones */
	struct {
		char name[32];
		long free;
	} known[32]; /* as the report of the kernel without the series has it */
	int nr_known, compared, differ;
	int wrong_sums;
	int most_lines; /* on one zone */
	int zones_usable[MAX_NODES]; /* lines that say so, by node */
	long needs_min, zone_min; /* kB; of the first zone that is usable */
	long barred; /* kB in zones that are not, for the reason that is asked for */
};

/* What is said of zones that a request must not use because it is bound. */
static const char *bar;

static void add_zone_line(struct report *r, const char *line)
{
	static char zone[64], last[64];
	char name[16];
	static int lines;
	long free, ordinary, hotremove, cma, highatomic;
	const char *at = strstr(line, "usable: "), *needs;
	int i, node = -1, n = 0;

	if (!r->zones)
		last[0] = '\0';
	snprintf(zone, sizeof(zone), "%.*s", (int)(at - line), line);
	lines = strcmp(zone, last) ? 1 : lines + 1;
	strcpy(last, zone);
	if (lines > r->most_lines)
		r->most_lines = lines;

	at += strlen("usable: ");
	needs = strstr(at, "needs min:");
	if (!r->needs_min && needs &&
	    sscanf(needs, "needs min:%ldkB", &r->needs_min) == 1 &&
	    sscanf(line, "Node %d %15s", &node, name) == 2)
		r->zone_min = hr_zoneinfo(node, name, "min") * PAGE_KIB;
	if (sscanf(at, "free:%ldkB%n", &free, &n) != 1)
		return;
	r->zones += free;
	if (sscanf(line, "Node %d", &node) == 1 && node >= 0 &&
	    node < MAX_NODES && !strstr(line, " unusable: "))
		r->zones_usable[node]++;
	if (bar && strstr(line, bar))
		r->barred += free;
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

/* "...; 1 would have given 4096kB, 2 6144kB" */
static void add_given(struct report *r)
{
	const char *at = strstr(r->third, "; ");
	int policy, n = 0;
	long kb;

	if (!at ||
	    sscanf(at, "; %d would have given %ldkB%n", &policy, &kb, &n) != 2)
		return;
	do {
		if (policy < 1 || policy > 2)
			return;
		r->given[policy] = kb;
		at += n;
	} while (sscanf(at, ", %d %ldkB%n", &policy, &kb, &n) == 2);
}

static void add_line(struct report *r, const char *line)
{
	const char *at;

	if (strstr(line, " invoked oom-killer")) {
		r->inside = strstr(line, PRESSURE_GROWER) && !r->kills++ &&
			    !r->failures;
	} else if (!strncmp(line, PRESSURE_GROWER ": page allocation failure",
			    strlen(PRESSURE_GROWER) + 25)) {
		r->inside = !r->failures++ && !r->kills;
		if (r->inside)
			snprintf(r->failure, sizeof(r->failure), "%s", line);
	} else if (strstr(line, "Tasks state") || strstr(line, "SLUB: ")) {
		r->inside = false;
	}
	if (!r->inside)
		return;
	at = strstr(line, " free:");
	if (!strncmp(line, "Usable for this request: ", 25)) {
		snprintf(r->first, sizeof(r->first), "%s", line);
		if (sscanf(line,
			   "Usable for this request: %ldkB of %ldkB free memory, order=%d",
			   &r->usable, &r->free, &r->order) != 3)
			return;
		at = strstr(line, ": enough, but in pieces of at most order=");
		if (at)
			r->most_order = atoi(strrchr(at, '=') + 1);
	} else if (!strncmp(line, "Not usable for it:", 18)) {
		snprintf(r->second, sizeof(r->second), "%s", line);
		for (at = strchr(line, ':'); at; at = strchr(at + 1, ','))
			r->unusable += atol(at + 1);
	} else if (!strncmp(line, "Released instead of a kill: ", 28)) {
		snprintf(r->third, sizeof(r->third), "%s", line);
		add_given(r);
	} else if (!strncmp(line, "Node ", 5) && at &&
		   strstr(at, "kB boost:") && r->nr_known < 32) {
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
	struct report r = { .order = -1, .most_order = -1 };
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

/* What the second line has of a class, in kB. */
static long class_kb(const struct report *r, const char *name)
{
	const char *at = strstr(r->second, name);

	if (!at)
		return 0;
	while (at > r->second && at[-1] != ',' && at[-1] != ':')
		at--;
	return atol(at);
}

/* What adds up whatever the request is. */
#define REPORT_ADDS_UP(r)                                                           \
	do {                                                                        \
		EXPECT_LT(0, (r).free);                                             \
		/* A page, an inode or the ring of a pipe may be the last straw. */ \
		EXPECT_LE(0, (r).order);                                            \
		EXPECT_GE(3, (r).order);                                            \
		EXPECT_EQ((r).free, (r).usable + (r).unusable);                     \
		EXPECT_EQ(0, (r).wrong_sums);                                       \
		EXPECT_LE((r).most_lines, 6);                                       \
		/* Where all that is free can be used there is nothing to say. */   \
		if (*(r).second) {                                                  \
			/* All zones that were in the report before agree. */       \
			EXPECT_LT(0, (r).compared);                                 \
			/* While one fails kswapd goes on, and changes them. */     \
			if (!(r).failures) {                                        \
				EXPECT_EQ(0, (r).differ);                           \
				EXPECT_LE(labs((r).zones - (r).free),               \
					  SLACK_KB);                                \
			}                                                           \
		} else {                                                            \
			EXPECT_EQ(0, (r).zones);                                    \
		}                                                                   \
	} while (0)

/*
 * What one of vm.hotremove_release would have given is what is free and hot-removable;
 * at 1 without what user memory has parts of.
 */
#define WOULD_GIVE_WHAT_IS_FREE(r)                                       \
	do {                                                             \
		long free_ = class_kb(&(r), "hot-removable");            \
		EXPECT_LE((r).given[1], free_ + SLACK_KB);               \
		EXPECT_LE((r).given[2], free_ + SLACK_KB);               \
		if ((r).given[1])                                        \
			EXPECT_LE(free_ / 4 * 3, (r).given[1]);          \
		if ((r).given[2])                                        \
			EXPECT_GE(SLACK_KB, labs((r).given[2] - free_)); \
	} while (0)

SCENE(report);

FIXTURE_VARIANT(report)
{
	const char *keyword;
	/* What is to be in the second line, and at least so much of the rest */
	const char *blamed;
	pressure_start *grow;
	bool cache; /* plugged memory is full of page cache */
	bool mixed; /* everything is, and of anonymous memory: little is free */
	bool mlock;
	bool cma; /* instead of anything plugged */
	bool far; /* on another node, and user memory is bound to this one */
	bool memcg;
	bool pieces; /* enough is free, but nothing of the order that is wanted */
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
	.advice = " vm.hotremove_release=0; 1 would have given "
#define RELEASED(policy, said)                                 \
	.keyword = "online_hotremove", .grow = pressure_files, \
	.release = policy, .advice = " vm.hotremove_release=" policy "; " said
#define MOVABLE .keyword = "online_movable", .blamed = "in ZONE_MOVABLE"

/* clang-format off */
REPORT(hotremove, HOTREMOVE, .grow = pressure_unmovable);
REPORT(movable, MOVABLE, .grow = pressure_unmovable);
REPORT(files, HOTREMOVE, .grow = pressure_files);
REPORT(cache, HOTREMOVE, .grow = pressure_unmovable, .cache = true);
REPORT(mixed, .keyword = "online_hotremove", .grow = pressure_unmovable, .mixed = true);
REPORT(mlock, HOTREMOVE, .grow = pressure_unmovable, .mlock = true);
REPORT(rings, HOTREMOVE, .grow = pressure_rings);
REPORT(pieces, HOTREMOVE, .grow = pressure_rings, .pieces = true);
REPORT(cma, .blamed = "in CMA", .grow = pressure_unmovable, .cma = true);
REPORT(hotremove_node, HOTREMOVE, .grow = pressure_unmovable, .far = true);
REPORT(movable_node, MOVABLE, .grow = pressure_unmovable, .far = true);
REPORT(memcg, HOTREMOVE, .grow = pressure_unmovable, .memcg = true);
REPORT(release_1, RELEASED("1", "2 would have given "));
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

/*
 * Of a machine with 1776 MiB and 1024 MiB to plug, 880 MiB are mapped and 1200 MiB
 * cache of files: as much of this one.
 */
static unsigned long mixed_anon_mib(void)
{
	unsigned long ordinary = hr_meminfo_kb("MemTotal") / MIB_KIB - PLUG_MIB;

	return ordinary * 880 / 1776;
}

static unsigned long mixed_cache_mib(void)
{
	return hr_meminfo_kb("MemTotal") / MIB_KIB * 1200 / (1776 + 1024);
}

TEST_F_TIMEOUT(report, adds_up, 300)
{
	struct pressure_options options = { .mlock = variant->mlock };
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	unsigned long capacity = 0;
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
	START(&s->anon, anon, variant->mixed ? mixed_anon_mib() : 64, &options);
	if (variant->mixed)
		START(&s->other, cache, mixed_cache_mib(), &options);
	if (variant->cache) {
		options.prefer = 1UL << hr_block_node(s->blocks[0]);
		START(&s->other, cache, percent(PLUG_MIB, 50), &options);
	}

	memset(&options, 0, sizeof(options));
	if (variant->pieces)
		ASSERT_EQ(0, scene_pieces(s, LEAVE_MIB));
	if (variant->memcg) {
		options.cgroup = SCENE_CGROUP;
		ASSERT_EQ(0, scene_cgroup_max(64));
	}
	ASSERT_EQ(0, variant->grow(grower, &options));
	capacity = pressure_capacity_pages() * PAGE_KIB;
	fd = log_open();
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	r = log_read(fd);
	TH_LOG("%s", r.first);
	TH_LOG("%s", r.second);
	TH_LOG("%s", r.third);

	ASSERT_LE(1, r.kills);
	if (variant->mixed) {
		TH_LOG("%zu MiB anon, %zu MiB cache, %lu MiB of the kernel (%lu %%)",
		       s->anon.mib, s->other.mib,
		       pressure_done(grower) / MIB_KIB,
		       pressure_done(grower) * 100 / capacity);
		/* Nobody is killed for what could be moved or reclaimed, on any node. */
		EXPECT_GE(pressure_done(grower), percent(capacity, 90));
		REPORT_ADDS_UP(r);
		EXPECT_EQ(-1, r.most_order);
		/* All else is the kernel's. */
		EXPECT_EQ(r.unusable, class_kb(&r, "hot-removable") +
					      class_kb(&r, "in CMA") +
					      class_kb(&r, "reserved"));
		EXPECT_GE(percent(PLUG_MIB, 50) * MIB_KIB, r.unusable);
		pressure_stop(&s->other);
		ALL_COMES_BACK(s);
		return;
	}
	if (variant->memcg) {
		EXPECT_STREQ("", r.first);
		EXPECT_STREQ("", r.third);
		EXPECT_EQ(0, r.zones);
		ALL_COMES_BACK(s);
		return;
	}
	REPORT_ADDS_UP(r);
	EXPECT_EQ(variant->pieces, r.most_order >= 0);
	if (variant->pieces) {
		EXPECT_LT(r.most_order, r.order);
		EXPECT_LE(PIECES_KB, r.usable);
	}
	if (variant->release) {
		/* Of what was plugged, all but what user memory has parts of. */
		EXPECT_LE((long)(percent(PLUG_MIB, 60) * MIB_KIB),
			  atol(r.third +
			       strlen("Released instead of a kill: ")));
	} else {
		EXPECT_NE(NULL, strstr(r.second, variant->blamed));
		EXPECT_LE(16 * 1024, r.unusable);
	}
	if (!access(SCENE_RELEASE, F_OK) && variant->advice) {
		EXPECT_NE(NULL, strstr(r.third, variant->advice));
		WOULD_GIVE_WHAT_IS_FREE(r);
	} else {
		EXPECT_STREQ("", r.third);
	}
	pressure_stop(&s->other);
	if (variant->release)
		NEARLY_ALL_COMES_BACK(s);
	else
		ALL_COMES_BACK(s);
}

/* ---- requests that are bound ------------------------------------------------ */

/*
 * What is free by the zones: kB that who is bound to `node` must not use because it
 * is elsewhere, and kB of the node itself that are for movable pages only.
 */
static long free_elsewhere_kb(int node, long *hotremove_kb)
{
	static const char *const zones[] = { "DMA", "DMA32", "Normal" };
	long elsewhere = 0, hotremove = 0;
	size_t z;
	int i;

	for (i = 0; i < MAX_NODES; i++) {
		for (z = 0; z < ARRAY_SIZE(zones); z++) {
			if (hr_zoneinfo(i, zones[z], "present") <= 0)
				continue;
			if (i == node)
				hotremove += hr_zoneinfo(i, zones[z],
							 "nr_free_hotremove");
			else
				elsewhere += hr_zoneinfo(i, zones[z],
							 "nr_free_pages");
		}
	}
	*hotremove_kb = hotremove * PAGE_KIB;
	return elsewhere * PAGE_KIB;
}

static bool several_nodes(void)
{
	char nodes[32];

	return hr_read_file("/sys/devices/system/node/possible", nodes,
			    sizeof(nodes)) > 0 &&
	       strcmp(nodes, "0") && strcmp(nodes, "0\n");
}

static int last_node_with_memory(void)
{
	int node = MAX_NODES;

	while (--node >= 0 && hr_zoneinfo(node, NULL, "managed") <= 0)
		;
	return node;
}

SCENE(bound);

FIXTURE_VARIANT(bound)
{
	bool cpuset; /* else a memory policy */
	bool last; /* to the last node, else to the first */
};

FIXTURE_VARIANT_ADD(bound, policy_first) {
	.cpuset = false,
};

FIXTURE_VARIANT_ADD(bound, cpuset_first) {
	.cpuset = true,
};

FIXTURE_VARIANT_ADD(bound, policy_last) {
	.last = true,
};

FIXTURE_VARIANT_ADD(bound, cpuset_last) {
	.cpuset = true,
	.last = true,
};

FIXTURE_SETUP(bound)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (!several_nodes())
		SKIP(return, "needs a second node");
	if (hr_meminfo_kb("HotRemoveReleased") > 0)
		SKIP(return, "something is still released");
	ASSERT_EQ(0, scene_release(&self->s, "0"));
	if (variant->cpuset && scene_cgroup(&self->s, "cpuset"))
		SCENE_SKIP(&self->s, "needs CONFIG_CPUSETS");
}

/*
 *	node 0   ordinary [kkkkkkkk]   kill
 *	node 1   ordinary [........] + hot-removable [........]
 *
 * All that is free elsewhere is there, in one class, and nothing else is; no zone
 * of another node is said to be usable.
 */
TEST_F_TIMEOUT(bound, adds_up, 300)
{
	struct pressure_options options = { 0 };
	struct scene *s = &self->s;
	struct pressure *grower = &s->grower;
	const char *said, *not_said;
	long elsewhere, hotremove;
	struct report r;
	char mems[8];
	int node, plugged, i, fd;

	PLUG(s, "online_hotremove", PLUG_MIB);
	plugged = hr_block_node(s->blocks[0]);
	/* A node needs ordinary memory to be somewhere else. */
	if (plugged && hr_zoneinfo(plugged, NULL, "present") <=
			       hr_zoneinfo(plugged, NULL, "hotremove")) {
		ASSERT_EQ(0, hr_block_write(s->blocks[0], "state",
					    "online_kernel"));
		s->may_stay = true;
	}
	node = variant->last ? last_node_with_memory() : 0;
	ASSERT_LE(0, node);
	if (variant->cpuset) {
		snprintf(mems, sizeof(mems), "%d", node);
		ASSERT_EQ(0, hr_write_file(SCENE_CGROUP "/cpuset.mems", mems));
		options.cgroup = SCENE_CGROUP;
		bar = "(outside of the cpuset)";
		said = "outside of the cpuset";
		not_said = "on other nodes";
	} else {
		options.nodes = 1UL << node;
		bar = "(not among the nodes of the request)";
		said = "on other nodes";
		not_said = "outside of the cpuset";
	}
	ASSERT_EQ(0, pressure_unmovable(grower, &options));
	fd = log_open();
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pressure_grow(grower, NO_END, 0, GROW_SECONDS))
	TH_LOG("%s", pressure_why(grower));
	/* What is not bound has gone there before, and stays. */
	elsewhere = free_elsewhere_kb(node, &hotremove);
	r = log_read(fd);
	TH_LOG("bound to node %d, %ld kB free elsewhere: %s", node, elsewhere,
	       r.first);
	TH_LOG("%s", r.second);
	TH_LOG("%s", r.third);

	ASSERT_LE(1, r.kills);
	REPORT_ADDS_UP(r);
	EXPECT_LT(2 * SLACK_KB, elsewhere);
	EXPECT_GE(SLACK_KB, labs(elsewhere - class_kb(&r, said)));
	EXPECT_GE(SLACK_KB, labs(r.barred - class_kb(&r, said)));
	EXPECT_EQ(0, class_kb(&r, not_said));
	EXPECT_GE(SLACK_KB, labs(hotremove - class_kb(&r, "hot-removable")));
	for (i = 0; i < MAX_NODES; i++) {
		if (i == node) {
			EXPECT_LT(0, r.zones_usable[i]);
		} else {
			EXPECT_EQ(0, r.zones_usable[i]);
		}
	}
	/* It could be lent what is there, and nothing of other nodes. */
	if (access(SCENE_RELEASE, F_OK) || plugged != node) {
		EXPECT_STREQ("", r.third);
	} else {
		EXPECT_NE(NULL, strstr(r.third, "1 would have given "));
	}
	pressure_stop(grower);
	for (i = s->nr - 1; i >= 0; i--) {
		fd = hr_block_offline(s->blocks[i], 10);
		if (fd)
			TH_LOG("memory%d: %s", s->blocks[i], strerror(-fd));
		if (i || !s->may_stay)
			EXPECT_EQ(0, fd);
	}
	EXPECT_EQ(0, hr_check_invariants());
}

/* ---- failures without a kill -------------------------------------------------- */

/* One line in ten seconds is what the kernel allows itself. */
#define TOLD_SECONDS 30

/*
 * What is told of a child that asks for something until it fails, and is called as
 * the log may have it. Its status is not 0 if that is not how it went.
 */
static struct report failure_of(void (*ask)(void *), void *arg, int *status)
{
	long long deadline = hr_deadline(TOLD_SECONDS);
	struct report r;
	pid_t pid;
	int fd;

	do {
		fd = log_open();
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, PRESSURE_GROWER);
			/* Rather this one than a stranger, if anybody. */
			hr_write_file("/proc/self/oom_score_adj", "1000");
			ask(arg);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, status, 0) != pid)
			*status = -1;
		r = log_read(fd);
	} while (!*status && !r.failures && !poll(NULL, 0, 2000) &&
		 hr_poll(deadline));
	return r;
}

/* Signals wait in slab that is asked for with GFP_ATOMIC. */
static void ask_for_signals(void *arg)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	union sigval value = { 0 };
	sigset_t set;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) ||
	    setrlimit(RLIMIT_SIGPENDING, &limit))
		_exit(1);
	while (!sigqueue(getpid(), SIGRTMIN, value))
		;
	_exit(errno == EAGAIN ? 0 : 1);
}

SCENE(atomic);

FIXTURE_SETUP(atomic)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (hr_meminfo_kb("HotRemoveReleased") > 0)
		SKIP(return, "something is still released");
	ASSERT_EQ(0, scene_release(&self->s, "0"));
}

/* Who cannot wait may use what is reserved, and has to leave less. */
TEST_F_TIMEOUT(atomic, has_other_marks, 300)
{
	struct scene *s = &self->s;
	struct report r;
	int status;

	PLUG(s, "online_hotremove", PLUG_MIB);
	ASSERT_EQ(0, scene_ballast(s, 32))
	TH_LOG("%s", pressure_why(&s->ballast));
	r = failure_of(ask_for_signals, NULL, &status);
	TH_LOG("%s", r.failure);
	TH_LOG("%s", r.first);
	TH_LOG("%s", r.second);
	EXPECT_EQ(0, status);
	ASSERT_LE(1, r.failures);
	EXPECT_NE(NULL, strstr(r.failure, "GFP_ATOMIC"));
	REPORT_ADDS_UP(r);
	EXPECT_STREQ("", r.third);
	EXPECT_LE(32 * 1024, class_kb(&r, "hot-removable"));
	EXPECT_EQ(0, class_kb(&r, "reserved for atomic requests"));
	EXPECT_NE(0, r.needs_min);
	/* Half, and a quarter of that less. */
	EXPECT_GE(64, labs(r.needs_min - r.zone_min * 3 / 8));
	ALL_COMES_BACK(s);
}

#define ASKED_MIB 96UL
/* More than watermarks and per-CPU lists keep back, less than is asked for. */
#define LEFT_MIB 48UL

/* Memory that lies on node 0 is to move to another one. */
static void ask_for_node(void *arg)
{
	const unsigned long nr = ASKED_MIB * MIB_PAGES, mask = 1;
	const int node = *(int *)arg;
	void **pages = malloc(nr * sizeof(*pages));
	int *nodes = malloc(nr * sizeof(*nodes));
	int *states = malloc(nr * sizeof(*states));
	unsigned long i;
	char *mem;

	mem = mmap(NULL, ASKED_MIB << 20, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED ||
	    madvise(mem, ASKED_MIB << 20, MADV_NOHUGEPAGE) ||
	    syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 8 * sizeof(mask)))
		_exit(1);
	memset(mem, 1, ASKED_MIB << 20);
	for (i = 0; i < nr; i++) {
		pages[i] = mem + i * PAGE_KIB * 1024;
		nodes[i] = node;
	}
	/* Some, and then no more. */
	syscall(SYS_move_pages, 0, nr, pages, nodes, states, MPOL_MF_MOVE);
}

SCENE(thisnode);

FIXTURE_SETUP(thisnode)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	if (hr_meminfo_kb("HotRemoveReleased") > 0)
		SKIP(return, "something is still released");
	ASSERT_EQ(0, scene_release(&self->s, "0"));
}

/* Who wants a page of one node and no other fails, with memory free elsewhere. */
TEST_F_TIMEOUT(thisnode, has_one_node, 300)
{
	struct pressure_options options = { .mlock = true };
	struct scene *s = &self->s;
	long elsewhere, hotremove, free_mib, said;
	int status, node, i;
	struct report r;

	PLUG(s, "online_hotremove", PLUG_MIB);
	node = hr_block_node(s->blocks[0]);
	if (node < 1)
		SKIP(return, "needs memory to plug on another node");
	bar = "(not among the nodes of the request)";
	options.nodes = 1UL << node;
	free_mib = hr_zoneinfo(node, NULL, "nr_free_pages") / MIB_PAGES;
	START(&s->anon, anon, free_mib - LEFT_MIB, &options);
	elsewhere = free_elsewhere_kb(node, &hotremove);
	r = failure_of(ask_for_node, &node, &status);
	TH_LOG("%s", r.failure);
	TH_LOG("%ld kB free elsewhere: %s", elsewhere, r.first);
	TH_LOG("%s", r.second);
	EXPECT_EQ(0, status);
	ASSERT_LE(1, r.failures);
	EXPECT_NE(NULL, strstr(r.failure, "__GFP_THISNODE"));
	REPORT_ADDS_UP(r);
	EXPECT_STREQ("", r.third);
	/* A movable page, and so the class that is to blame is another one. */
	EXPECT_EQ(0, class_kb(&r, "hot-removable"));
	/* Some of what is asked for lies there, or did a moment ago. */
	said = class_kb(&r, "on other nodes");
	EXPECT_GE(elsewhere + SLACK_KB, said);
	EXPECT_LE(elsewhere - (long)(ASKED_MIB * MIB_KIB) - 4 * SLACK_KB, said);
	EXPECT_GE(SLACK_KB, labs(r.barred - said));
	for (i = 0; i < MAX_NODES; i++) {
		if (i == node) {
			EXPECT_LT(0, r.zones_usable[i]);
		} else {
			EXPECT_EQ(0, r.zones_usable[i]);
		}
	}
	ALL_COMES_BACK(s);
}

HR_HARNESS_MAIN
