// SPDX-License-Identifier: GPL-2.0
/*
 * The sysfs interface does what it says and nothing else.
 *
 * A memory block is switched by root, by scripts and by udev, often by several
 * of them at once; a keyword that is nearly right, or right in the wrong state,
 * must be refused with its errno and change nothing. The old tools must keep
 * working on a machine with hot-removable blocks.
 *
 *	         online_kernel ---> online, kernel zone,     hotremove = no
 *	offline  online_movable --> online, zone Movable,    hotremove = no
 *	         online_hotremove > online, kernel zone,     hotremove = yes
 *	   ^---------------------------- offline
 *
 * Seen failing with a hunk reverted, of "mm/memory_hotplug: online_hotremove":
 *  - the case in state_store(): every state that needs the keyword;
 *  - hotremove_offline_end() clearing the home type: hotremove_attribute, for
 *    pageblocks of a block that is now ZONE_MOVABLE still are HotRemove;
 *  - memory_block_offline() clearing ->hotremove: offline blocks say "yes";
 * and of "drivers/base/memory: forget the online type of a refused request":
 * refused_keyword_leaves_no_trace.
 */
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hr_harness.h"
#include "hr.h"

#define PARAMETERS "/sys/module/memory_hotplug/parameters/"
#define AUTO_ONLINE HR_SYS_MEMORY "/auto_online_blocks"
#define ONLINE_MOVABLE PARAMETERS "online_movable"
#define ONLINE_POLICY PARAMETERS "online_policy"
#define NUMA_AWARE PARAMETERS "auto_movable_numa_aware"

/* Bounds, not expectations: enough for an emulated CPU on a busy machine. */
#define OFFLINE_S 30
#define UNPLUG_S 60
#define TEST_S 300

static const char *const keywords[] = { "offline", "online", "online_kernel",
					"online_movable", "online_hotremove" };

/* What no attribute that takes a keyword may accept. */
static const struct {
	const char *text;
	size_t len; /* 0: strlen() */
} bad_words[] = {
	{ "onlin" },
	{ "onlinee" },
	{ "online_" },
	{ "online_movabl" },
	{ "online_kernell" },
	{ "online_hotremov" },
	{ "online_hotremovee" },
	{ "online-hotremove" },
	{ "hotremove" },
	{ "ONLINE" },
	{ "Online_hotremove" },
	{ " online_hotremove" },
	{ "online_hotremove " },
	{ "online_kernel " },
	{ "online\t" },
	{ "online_hotremove\n\n" },
	{ "offline\n\nx" },
	{ "offline online" },
	{ "\n" },
	{ "garbage" },
	{ "2" },
	{ "-1" },
	{ "\0online", 7 },
	{ "onl\0ine", 7 },
	{ "online_hotr\xc3\xa9move" },
	{ "\xff\xfe\xfd" },
};

static bool is_hotremove(const char *keyword)
{
	return !strcmp(keyword, "online_hotremove");
}

static int write_bytes(const char *path, const void *buf, size_t len)
{
	int fd, err;
	ssize_t n;

	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	n = write(fd, buf, len);
	err = errno;
	close(fd);
	return n < 0 ? -err : (int)n;
}

static int block_path(char *path, size_t len, int block, const char *attr)
{
	return snprintf(path, len, HR_SYS_MEMORY "/memory%d/%s", block, attr);
}

static bool in_kernel_zone(int block)
{
	char zone[64];

	return !hr_block_read(block, "valid_zones", zone, sizeof(zone)) &&
	       strcmp(zone, "Movable") && strcmp(zone, "none");
}

/* State, zone and attribute of a block, as one word. */
static const char *kind_of(int block)
{
	bool hotremove = hr_block_is(block, "hotremove", "yes");

	if (hr_block_is(block, "state", "offline"))
		return hotremove ? "offline but hotremove" : "offline";
	if (!hr_block_is(block, "state", "online"))
		return "no state";
	if (in_kernel_zone(block))
		return hotremove ? "online_hotremove" : "online_kernel";
	return hotremove ? "movable but hotremove" : "online_movable";
}

/* Every bad word and one too long for sysfs; returns how many got through. */
static int bad_words_accepted(const char *path)
{
	long page = sysconf(_SC_PAGESIZE);
	int accepted = 0, ret;
	char *big;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad_words); i++) {
		ret = write_bytes(path, bad_words[i].text,
				  bad_words[i].len ?:
						     strlen(bad_words[i].text));
		if (ret != -EINVAL) {
			accepted++;
			ksft_print_msg("%s: \"%s\" gives %d\n", path,
				       bad_words[i].text, ret);
		}
	}
	/* A keyword, then blanks into the next page. */
	big = malloc(page + 16);
	memset(big, ' ', page + 16);
	memcpy(big, "online", strlen("online"));
	ret = write_bytes(path, big, page + 16);
	free(big);
	if (ret != -EINVAL) {
		accepted++;
		ksft_print_msg("%s: more than a page gives %d\n", path, ret);
	}
	return accepted;
}

/* ---- one block ---------------------------------------------------------- */

struct saved {
	char auto_online[32], online_movable[32], online_policy[32];
	char numa_aware[32];
};

static void save_parameters(struct saved *s)
{
	memset(s, 0, sizeof(*s));
	hr_read_file(AUTO_ONLINE, s->auto_online, sizeof(s->auto_online));
	hr_read_file(ONLINE_MOVABLE, s->online_movable,
		     sizeof(s->online_movable));
	hr_read_file(ONLINE_POLICY, s->online_policy, sizeof(s->online_policy));
	hr_read_file(NUMA_AWARE, s->numa_aware, sizeof(s->numa_aware));
}

static void restore_parameters(const struct saved *s)
{
	hr_write_file(AUTO_ONLINE, s->auto_online);
	hr_write_file(ONLINE_POLICY, s->online_policy);
	if (*s->numa_aware)
		hr_write_file(NUMA_AWARE, s->numa_aware);
	if (*s->online_movable)
		hr_write_file(ONLINE_MOVABLE, s->online_movable);
}

/* Then `online` means movable: a little of it, compared with boot memory. */
static int choose_auto_movable(void)
{
	if (!access(NUMA_AWARE, F_OK) && hr_write_file(NUMA_AWARE, "N"))
		return -1;
	return hr_write_file(ONLINE_POLICY, "auto-movable");
}

FIXTURE(block)
{
	int nr;
	char state[128]; /* path of its state attribute */
	struct saved saved;
};

FIXTURE_SETUP(block)
{
	int blocks[64], n;

	save_parameters(&self->saved);
	n = hr_take_blocks(blocks, 1, ARRAY_SIZE(blocks));
	if (n < 1)
		SKIP(return,
		     "needs an offline memory block: a DIMM or CONFIG_VIRTIO_MEM");
	ASSERT_EQ(0, hr_write_file(AUTO_ONLINE, "offline"));
	self->nr = blocks[0];
	block_path(self->state, sizeof(self->state), self->nr, "state");
}

FIXTURE_TEARDOWN(block)
{
	EXPECT_EQ(0, hr_return_blocks());
	restore_parameters(&self->saved);
}

/*
 * But not online as kernel memory, from where a block may not come back: that is
 * keyword_on_kernel_block, once.
 */
TEST_F_TIMEOUT(block, keyword_on_every_state, TEST_S)
{
	static const char *const from[] = { "offline", "online_movable",
					    "online_hotremove" };
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(from); i++) {
		if (is_hotremove(from[i]) && !hr_supported())
			continue;
		for (k = 0; k < ARRAY_SIZE(keywords); k++) {
			bool known = !is_hotremove(keywords[k]) ||
				     hr_supported();
			bool was_offline = !strcmp(from[i], "offline");
			bool go_offline = !strcmp(keywords[k], "offline");
			bool ok = known && was_offline != go_offline;

			/* Into a kernel zone only for a refusal. */
			if (ok && (!strcmp(keywords[k], "online") ||
				   !strcmp(keywords[k], "online_kernel")))
				continue;
			/* A switch, which has a test of its own. */
			if (is_hotremove(from[i]) &&
			    !strcmp(keywords[k], "online_kernel"))
				continue;
			if (!was_offline)
				ASSERT_EQ(0, hr_block_write(self->nr, "state",
							    from[i]));
			EXPECT_EQ(ok ? 0 : -EINVAL,
				  hr_block_write(self->nr, "state",
						 keywords[k]))
			{
				TH_LOG("%s on a block that is %s", keywords[k],
				       from[i]);
			}
			EXPECT_STREQ(ok ? keywords[k] : from[i],
				     kind_of(self->nr));
			if (hr_block_is(self->nr, "state", "online"))
				ASSERT_EQ(0, hr_block_offline(self->nr,
							      OFFLINE_S));
		}
	}
	EXPECT_EQ(0, hr_check_invariants());
}

TEST_F_TIMEOUT(block, bad_words, TEST_S)
{
	static const char *const from[] = { "offline", "online_movable",
					    "online_hotremove" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(from); i++) {
		if (is_hotremove(from[i]) && !hr_supported())
			continue;
		if (strcmp(from[i], "offline"))
			ASSERT_EQ(0,
				  hr_block_write(self->nr, "state", from[i]));
		EXPECT_EQ(0, bad_words_accepted(self->state));
		EXPECT_STREQ(from[i], kind_of(self->nr));
		if (strcmp(from[i], "offline"))
			ASSERT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
	}
}

/*
 * sysfs hands every write to the attribute as a whole, at whatever offset, and
 * ends it at the first NUL.
 */
TEST_F_TIMEOUT(block, odd_writes, TEST_S)
{
	const char *keyword = hr_supported() ? "online_hotremove" :
					       "online_movable";
	int fd;

	fd = open(self->state, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, write(fd, "", 0));
	EXPECT_STREQ("offline", kind_of(self->nr));

	/* The two halves of a word do not make a word. */
	EXPECT_EQ(-1, write(fd, keyword, 3));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(fd, keyword + 3, strlen(keyword) - 3, 3));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(fd, "garbage", 7, 100));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_STREQ("offline", kind_of(self->nr));

	/* Two words, one file. */
	EXPECT_EQ((ssize_t)strlen(keyword),
		  write(fd, keyword, strlen(keyword)));
	EXPECT_STREQ(keyword, kind_of(self->nr));
	EXPECT_EQ(-1, write(fd, keyword, strlen(keyword)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(8, write(fd, "offline\n", 8));
	EXPECT_STREQ("offline", kind_of(self->nr));
	/* The NUL ends the word, and it is offline already. */
	EXPECT_EQ(-1, write(fd, "offline\0online", 14));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

TEST_F(block, read_only_attributes)
{
	static const char *const names[] = { "hotremove", "valid_zones",
					     "removable", "phys_index",
					     "phys_device" };
	char path[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		block_path(path, sizeof(path), self->nr, names[i]);
		/* hotremove is not there without CONFIG_MIGRATE_HOTREMOVE. */
		if (access(path, F_OK))
			continue;
		EXPECT_EQ(-EACCES, write_bytes(path, "yes", 3))
		TH_LOG("%s", names[i]);
	}
	EXPECT_STREQ("offline", kind_of(self->nr));
}

/*
 * A keyword that came at the wrong moment is not remembered until the right one:
 * the bool attribute below has a meaning of its own.
 */
TEST_F_TIMEOUT(block, refused_keyword_leaves_no_trace, TEST_S)
{
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	ASSERT_EQ(0, choose_auto_movable());
	ASSERT_EQ(0, hr_block_write(self->nr, "state", "online_movable"));
	EXPECT_EQ(-EINVAL,
		  hr_block_write(self->nr, "state", "online_hotremove"));
	ASSERT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
	ASSERT_EQ(0, hr_block_write(self->nr, "online", "1"));
	EXPECT_STREQ("online_movable", kind_of(self->nr));
}

/*
 * The generic device attribute: a bool, and idempotent where `state` is not.
 * The auto-movable policy keeps the block out of the kernel zones meanwhile.
 */
TEST_F_TIMEOUT(block, online_attribute, TEST_S)
{
	static const char *const yes[] = { "1", "y", "Y", "on", "On\n", "t" };
	static const char *const no[] = { "0", "n", "N", "off", "OFF\n", "f" };
	/* Whatever begins with "on" is a yes, "online_hotremove" too. */
	static const char *const bad[] = { "2", "",  " 1", "-1",
					   "o", "x", "\n", "\xff" };
	char path[128];
	size_t i;

	ASSERT_EQ(0, choose_auto_movable());
	block_path(path, sizeof(path), self->nr, "online");
	for (i = 0; i < ARRAY_SIZE(yes); i++) {
		EXPECT_EQ(0, hr_write_file(path, yes[i])) TH_LOG("%s", yes[i]);
		ASSERT_STREQ("online_movable", kind_of(self->nr));
		EXPECT_EQ(0, hr_write_file(path, yes[i]));
		EXPECT_EQ(0, hr_write_file(path, no[i])) TH_LOG("%s", no[i]);
		ASSERT_STREQ("offline", kind_of(self->nr));
		EXPECT_EQ(0, hr_write_file(path, no[i]));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* sysfs swallows an empty write. */
		EXPECT_EQ(*bad[i] ? -EINVAL : 0, hr_write_file(path, bad[i]))
		TH_LOG("%s", bad[i]);
		EXPECT_STREQ("offline", kind_of(self->nr));
	}
}

TEST_F_TIMEOUT(block, unprivileged_writer, TEST_S)
{
	static const char *const attrs[] = { "state", "online" };
	static const char *const files[] = { AUTO_ONLINE, ONLINE_MOVABLE };
	char path[128], buf[64];
	int status;
	pid_t pid;
	size_t i;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int bad = setgroups(0, NULL) || setgid(65534) || setuid(65534);

		for (i = 0; i < ARRAY_SIZE(attrs); i++) {
			block_path(path, sizeof(path), self->nr, attrs[i]);
			bad |= write_bytes(path, "1", 1) != -EACCES;
			bad |= hr_read_file(path, buf, sizeof(buf)) <= 0;
		}
		for (i = 0; i < ARRAY_SIZE(files); i++) {
			if (access(files[i], F_OK))
				continue;
			bad |= write_bytes(files[i], "offline", 7) != -EACCES;
			bad |= hr_read_file(files[i], buf, sizeof(buf)) <= 0;
		}
		_exit(bad);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_STREQ("offline", kind_of(self->nr));
}

TEST_F_TIMEOUT(block, hotremove_attribute, TEST_S)
{
	long total = hr_meminfo_kb("HotRemoveTotal");
	long blocks = hr_pageblocks("HotRemove");
	long kb = hr_block_bytes() / 1024;
	char state[32];

	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	EXPECT_TRUE(hr_block_is(self->nr, "hotremove", "no"));
	ASSERT_EQ(0, hr_block_write(self->nr, "state", "online_hotremove\n"));
	EXPECT_TRUE(hr_block_is(self->nr, "hotremove", "yes"));
	/* The words older tools know: `online`, and the name of a zone. */
	ASSERT_EQ(0, hr_block_read(self->nr, "state", state, sizeof(state)));
	EXPECT_STREQ("online", state);
	EXPECT_TRUE(in_kernel_zone(self->nr));
	EXPECT_EQ(total + kb, hr_meminfo_kb("HotRemoveTotal"));
	EXPECT_LT(blocks, hr_pageblocks("HotRemove"));
	EXPECT_EQ(0, hr_check_invariants());

	ASSERT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
	EXPECT_TRUE(hr_block_is(self->nr, "hotremove", "no"));
	EXPECT_EQ(total, hr_meminfo_kb("HotRemoveTotal"));

	/* What it was has no say in what it becomes. */
	ASSERT_EQ(0, hr_block_write(self->nr, "state", "online_movable"));
	EXPECT_STREQ("online_movable", kind_of(self->nr));
	EXPECT_EQ(blocks, hr_pageblocks("HotRemove"));
	EXPECT_EQ(0, hr_check_invariants());
}

/* online_movable means what the parameter says, for every tool that uses it. */
TEST_F_TIMEOUT(block, online_movable_parameter, TEST_S)
{
	static const char *const bad[] = {
		"zon", "zonee",		 "Zone", " zone",  "hotremove x",
		"1",   "online_movable", "\xff", "movable"
	};
	char now[32];
	size_t i;

	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	ASSERT_EQ(0, hr_write_file(ONLINE_MOVABLE, "zone"));
	ASSERT_EQ(0, hr_block_write(self->nr, "state", "online_movable"));
	EXPECT_STREQ("online_movable", kind_of(self->nr));
	ASSERT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));

	ASSERT_EQ(0, hr_write_file(ONLINE_MOVABLE, "hotremove\n"));
	ASSERT_EQ(0, hr_block_write(self->nr, "state", "online_movable"));
	EXPECT_STREQ("online_hotremove", kind_of(self->nr));
	/* Changing the parameter changes no block. */
	ASSERT_EQ(0, hr_write_file(ONLINE_MOVABLE, "zone"));
	EXPECT_STREQ("online_hotremove", kind_of(self->nr));
	ASSERT_EQ(0, hr_write_file(ONLINE_MOVABLE, "hotremove"));
	ASSERT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, hr_write_file(ONLINE_MOVABLE, bad[i]))
		TH_LOG("%s", bad[i]);
		EXPECT_LT(0, hr_read_file(ONLINE_MOVABLE, now, sizeof(now)));
		EXPECT_STREQ("hotremove\n", now);
	}

	/* Also where the kernel decides by itself. */
	ASSERT_EQ(0, choose_auto_movable());
	ASSERT_EQ(0, hr_block_write(self->nr, "state", "online"));
	EXPECT_STREQ("online_hotremove", kind_of(self->nr));
	EXPECT_EQ(0, hr_check_invariants());
}

/* ---- many writers ------------------------------------------------------- */

#define WRITERS 4
#define WRITES_EACH 40

struct writers {
	int block;
	atomic_int ok, refused, wrong, gone;
};

static void *writer(void *arg)
{
	const char *const words[] = { "offline", "online_movable", "offline",
				      hr_supported() ? "online_hotremove" :
						       "onlin" };
	struct writers *w = arg;
	int i, ret;

	for (i = 0; i < WRITES_EACH; i++) {
		ret = hr_block_write(w->block, "state",
				     words[rand() % ARRAY_SIZE(words)]);
		if (!ret)
			w->ok++;
		else if (ret == -EINVAL || ret == -EBUSY || ret == -EINTR)
			w->refused++;
		/* EPERM: virtio-mem, about a block that it is taking away. */
		else if (ret == -ENODEV || ret == -ENOENT || ret == -EPERM)
			w->gone++;
		else if (!w->wrong++)
			ksft_print_msg("unexpected errno %d\n", -ret);
	}
	return NULL;
}

static int start_writers(struct writers *w, pthread_t *threads)
{
	int i;

	for (i = 0; i < WRITERS; i++)
		if (pthread_create(&threads[i], NULL, writer, w))
			return -1;
	return 0;
}

static void join_writers(pthread_t *threads)
{
	int i;

	for (i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
}

TEST_F_TIMEOUT(block, concurrent_writers, TEST_S)
{
	struct writers w = { .block = self->nr };
	pthread_t threads[WRITERS];
	const char *kind;

	ASSERT_EQ(0, start_writers(&w, threads));
	join_writers(threads);
	ksft_print_msg("%d ok, %d refused\n", w.ok, w.refused);
	EXPECT_LT(0, w.ok);
	EXPECT_EQ(0, w.wrong);
	EXPECT_EQ(0, w.gone);

	kind = kind_of(self->nr);
	EXPECT_TRUE(!strcmp(kind, "offline") ||
		    !strcmp(kind, "online_movable") ||
		    !strcmp(kind, "online_hotremove"))
	TH_LOG("%s", kind);
	if (strcmp(kind, "offline"))
		EXPECT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
	EXPECT_EQ(0, hr_check_invariants());
}

/* ---- other people's tools ------------------------------------------------ */

/* Run a command, keep its output; its exit status, 127 if there is none. */
static int run(char *out, size_t len, const char *fmt, ...)
{
	char command[256];
	va_list ap;
	size_t n;
	FILE *p;
	int ret;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	p = popen(command, "re");
	if (!p)
		return 127;
	n = fread(out, 1, len - 1, p);
	out[n] = '\0';
	ret = pclose(p);
	return WIFEXITED(ret) ? WEXITSTATUS(ret) : -1;
}

/* The line of lsmem for one block: "N online Normal". */
static bool lsmem_says(int block, const char *state, const char *zone)
{
	char out[16384], line[64];

	snprintf(line, sizeof(line), "%d %s %s\n", block, state, zone);
	return !run(out, sizeof(out),
		    "lsmem -a -r -n -o BLOCK,STATE,ZONES 2>&1") &&
	       strstr(out, line);
}

TEST_F_TIMEOUT(block, lsmem_and_chmem, TEST_S)
{
	char out[4096], zones[64];

	if (run(out, sizeof(out), "lsmem --version 2>&1") ||
	    run(out, sizeof(out), "chmem --version 2>&1"))
		SKIP(return, "needs lsmem and chmem of util-linux");
	/* Where memory does not begin at 0 they take it that there are no zones. */
	if (access(HR_SYS_MEMORY "/memory0/valid_zones", F_OK))
		SKIP(return,
		     "lsmem looks for zones in memory0, which is not there");
	ASSERT_EQ(0,
		  hr_block_read(self->nr, "valid_zones", zones, sizeof(zones)));
	EXPECT_TRUE(lsmem_says(self->nr, "offline",
			       strchr(zones, ' ') ? "Normal/Movable" : zones))
	TH_LOG("valid_zones: %s", zones);

	EXPECT_EQ(0, run(out, sizeof(out), "chmem -b -e -z Movable %d 2>&1",
			 self->nr))
	TH_LOG("%s", out);
	EXPECT_STREQ("online_movable", kind_of(self->nr));
	EXPECT_TRUE(lsmem_says(self->nr, "online", "Movable"));
	EXPECT_EQ(0, run(out, sizeof(out), "chmem -b -d %d 2>&1", self->nr))
	TH_LOG("%s", out);
	EXPECT_STREQ("offline", kind_of(self->nr));

	if (!hr_supported())
		return;
	/* chmem knows no keyword of ours, the parameter is made for it. */
	ASSERT_EQ(0, hr_write_file(ONLINE_MOVABLE, "hotremove"));
	EXPECT_EQ(0, run(out, sizeof(out), "chmem -b -e -z Movable %d 2>&1",
			 self->nr))
	TH_LOG("%s", out);
	EXPECT_STREQ("online_hotremove", kind_of(self->nr));
	EXPECT_TRUE(lsmem_says(self->nr, "online", "Normal"));
	EXPECT_EQ(0, run(out, sizeof(out), "chmem -b -d %d 2>&1", self->nr))
	TH_LOG("%s", out);
	EXPECT_STREQ("offline", kind_of(self->nr));
}

/* ---- the block goes away -------------------------------------------------- */

struct held {
	int state, hotremove, zones;
};

static void hold(struct held *h, int block)
{
	char path[128];

	block_path(path, sizeof(path), block, "state");
	h->state = open(path, O_RDWR);
	block_path(path, sizeof(path), block, "hotremove");
	h->hotremove = open(path, O_RDONLY);
	block_path(path, sizeof(path), block, "valid_zones");
	h->zones = open(path, O_RDONLY);
}

static void release(struct held *h)
{
	close(h->state);
	if (h->hotremove >= 0)
		close(h->hotremove);
	close(h->zones);
}

/* Each must say ENODEV now. */
static int still_alive(const struct held *h)
{
	const int fds[] = { h->state, h->hotremove, h->zones };
	char buf[64];
	int bad = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] < 0)
			continue;
		if (pread(fds[i], buf, sizeof(buf), 0) != -1 || errno != ENODEV)
			bad++;
	}
	if (write(h->state, "online_hotremove", 16) != -1 || errno != ENODEV)
		bad++;
	if (write(h->state, "offline", 7) != -1 || errno != ENODEV)
		bad++;
	return bad;
}

/* Wait until memoryN appears or is gone. */
static bool wait_block(int block, bool present)
{
	long long deadline = hr_deadline(UNPLUG_S);
	char path[128];

	block_path(path, sizeof(path), block, "");
	while (!access(path, F_OK) != present) {
		if (!hr_poll(deadline))
			return false;
	}
	return true;
}

FIXTURE(plug)
{
	long mib; /* size of vm0, -1: none */
	struct saved saved;
	int dimm_block; /* of dimm3, taken away, else 0 */
	long long dimm_slot;
};

FIXTURE_SETUP(plug)
{
	save_parameters(&self->saved);
	self->dimm_block = 0;
	self->mib = -1;
	if (!hr_qmp_available())
		SKIP(return, "needs the QMP port, CONFIG_VIRTIO_CONSOLE");
	self->mib = hr_vmem_size_mib("vm0");
	ASSERT_EQ(0, hr_write_file(AUTO_ONLINE, "offline"));
}

static int put_dimm_back(long long slot)
{
	long long deadline = hr_deadline(UNPLUG_S);
	char command[256];

	snprintf(command, sizeof(command),
		 "{'execute': 'device_add', 'arguments': {"
		 "'driver': 'pc-dimm', 'id': 'dimm3', 'memdev': 'mdimm3', 'slot': %lld}}",
		 slot);
	while (hr_qmp(command, NULL, 0)) {
		if (!hr_poll(deadline))
			return -1;
	}
	return 0;
}

FIXTURE_TEARDOWN(plug)
{
	if (self->mib >= 0)
		EXPECT_EQ(0, hr_vmem_resize("vm0", self->mib, UNPLUG_S));
	if (self->dimm_block) {
		/* The old slot may still be busy with the eject. */
		EXPECT_EQ(0, put_dimm_back(self->dimm_slot ^ 4));
		EXPECT_TRUE(wait_block(self->dimm_block, true));
	}
	restore_parameters(&self->saved);
}

/* All blocks, whatever their state. */
static int all_blocks(int *blocks, int max)
{
	int n = hr_blocks_in_state("offline", blocks, max);

	return n + hr_blocks_in_state("online", blocks + n, max - n);
}

static bool contains(const int *blocks, int n, int block)
{
	while (n--)
		if (blocks[n] == block)
			return true;
	return false;
}

/* Grow vm0 by a block; its number, -1 if none came. */
static int grow_by_one_block(long mib)
{
	static int before[4096], after[4096];
	long long deadline;
	int n, m;

	n = all_blocks(before, ARRAY_SIZE(before));
	if (hr_vmem_resize("vm0", mib + (hr_block_bytes() >> 20), UNPLUG_S))
		return -1;
	/* The device has its size before the guest has the block. */
	deadline = hr_deadline(UNPLUG_S);
	do {
		m = all_blocks(after, ARRAY_SIZE(after));
		while (m--)
			if (!contains(before, n, after[m]))
				return after[m];
	} while (hr_poll(deadline));
	return -1;
}

/* A new block is first there, then online. */
static bool becomes(int block, const char *kind)
{
	long long deadline = hr_deadline(UNPLUG_S);

	while (strcmp(kind_of(block), kind)) {
		if (!hr_poll(deadline))
			return false;
	}
	return true;
}

TEST_F_TIMEOUT(plug, files_held_across_unplug, TEST_S)
{
	pthread_t threads[WRITERS];
	struct writers w = { 0 };
	struct held held;
	int block;

	if (self->mib < 0)
		SKIP(return, "needs virtio-mem vm0, CONFIG_VIRTIO_MEM");
	block = grow_by_one_block(self->mib);
	ASSERT_LE(0, block);
	hold(&held, block);

	/* The device goes while others are at it. */
	w.block = block;
	ASSERT_EQ(0, start_writers(&w, threads));
	EXPECT_EQ(0, hr_vmem_resize("vm0", self->mib, UNPLUG_S));
	join_writers(threads);
	EXPECT_EQ(0, w.wrong);
	EXPECT_TRUE(wait_block(block, false));
	EXPECT_EQ(0, still_alive(&held));
	EXPECT_EQ(0, hr_check_invariants());
}

TEST_F_TIMEOUT(plug, files_held_across_device_del, TEST_S)
{
	long long addr = hr_qom_get("dimm3", "addr");
	struct held held;
	int block;

	if (addr < 0)
		SKIP(return, "needs dimm3, CONFIG_ACPI_HOTPLUG_MEMORY");
	block = addr / hr_block_bytes();
	ASSERT_TRUE(hr_block_is(block, "state", "offline"));
	self->dimm_slot = hr_qom_get("dimm3", "slot");
	hold(&held, block);
	ASSERT_EQ(0,
		  hr_qmp("{'execute': 'device_del', 'arguments': {'id': 'dimm3'}}",
			 NULL, 0));
	self->dimm_block = block;
	ASSERT_TRUE(wait_block(block, false));
	EXPECT_EQ(0, still_alive(&held));
}

/* ---- policy for new memory -------------------------------------------------- */

FIXTURE(policy)
{
	struct saved saved;
};

FIXTURE_SETUP(policy)
{
	save_parameters(&self->saved);
}

FIXTURE_TEARDOWN(policy)
{
	restore_parameters(&self->saved);
}

TEST_F(policy, auto_online_blocks)
{
	char want[32], now[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keywords); i++) {
		if (is_hotremove(keywords[i]) && !hr_supported())
			continue;
		EXPECT_EQ(0, hr_write_file(AUTO_ONLINE, keywords[i]));
		snprintf(want, sizeof(want), "%s\n", keywords[i]);
		EXPECT_LT(0, hr_read_file(AUTO_ONLINE, now, sizeof(now)));
		EXPECT_STREQ(want, now);
		EXPECT_EQ(0, bad_words_accepted(AUTO_ONLINE));
		EXPECT_LT(0, hr_read_file(AUTO_ONLINE, now, sizeof(now)));
		EXPECT_STREQ(want, now);
	}
	if (!hr_supported())
		EXPECT_EQ(-EINVAL,
			  hr_write_file(AUTO_ONLINE, "online_hotremove"));
}

/* The value of "key=" on the kernel command line, the last one if repeated. */
static bool command_line(const char *key, char *value, size_t len)
{
	char line[4096], *word, *save;
	bool found = false;

	if (hr_read_file("/proc/cmdline", line, sizeof(line)) < 0)
		return false;
	for (word = strtok_r(line, "\n ", &save); word;
	     word = strtok_r(NULL, "\n ", &save)) {
		if (strncmp(word, key, strlen(key)))
			continue;
		snprintf(value, len, "%s\n", word + strlen(key));
		found = true;
	}
	return found;
}

TEST_F(policy, command_line)
{
	bool any = false;
	char want[32];

	/* Nothing has changed them since boot: tests put them back. */
	if (command_line("memhp_default_state=", want, sizeof(want))) {
		EXPECT_STREQ(want, self->saved.auto_online);
		any = true;
	}
	if (hr_supported() && command_line("memory_hotplug.online_movable=",
					   want, sizeof(want))) {
		EXPECT_STREQ(want, self->saved.online_movable);
		any = true;
	}
	if (!any)
		SKIP(return,
		     "neither memhp_default_state= nor memory_hotplug.online_movable= given");
}

TEST_F_TIMEOUT(plug, auto_online_new_block, TEST_S)
{
	static const struct {
		const char *policy, *online_movable, *kind;
	} values[] = {
		{ "offline", "zone", "offline" },
		{ "online_movable", "zone", "online_movable" },
		{ "online_hotremove", "zone", "online_hotremove" },
		{ "online_movable", "hotremove", "online_hotremove" },
	};
	size_t i;
	int block;

	if (self->mib < 0)
		SKIP(return, "needs virtio-mem vm0, CONFIG_VIRTIO_MEM");
	for (i = 0; i < (hr_supported() ? ARRAY_SIZE(values) : 2); i++) {
		if (hr_supported())
			ASSERT_EQ(0, hr_write_file(ONLINE_MOVABLE,
						   values[i].online_movable));
		ASSERT_EQ(0, hr_write_file(AUTO_ONLINE, values[i].policy));
		block = grow_by_one_block(self->mib);
		ASSERT_LE(0, block);
		EXPECT_TRUE(becomes(block, values[i].kind))
		TH_LOG("%s, not %s", kind_of(block), values[i].kind);
		EXPECT_EQ(0, hr_check_invariants());
		EXPECT_EQ(0, hr_vmem_resize("vm0", self->mib, UNPLUG_S));
		EXPECT_TRUE(wait_block(block, false));
	}
}

/* ---- what can never be offlined or added --------------------------------- */

TEST(boot_block_with_holes)
{
	if (!hr_block_is(0, "state", "online"))
		SKIP(return, "memory0 is not online");
	EXPECT_EQ(-EINVAL, hr_block_write(0, "state", "offline"));
	EXPECT_EQ(-EINVAL, hr_block_write(0, "state", "online_hotremove"));
	EXPECT_TRUE(hr_block_is(0, "state", "online"));
}

TEST(probe)
{
	static const char path[] = HR_SYS_MEMORY "/probe";
	char address[32];

	if (access(path, W_OK))
		SKIP(return, "needs CONFIG_ARCH_MEMORY_PROBE");
	EXPECT_EQ(-EINVAL, hr_write_file(path, "garbage"));
	EXPECT_EQ(-EINVAL, hr_write_file(path, "0x1001"));
	/* Boot memory is there already. */
	snprintf(address, sizeof(address), "0x%lx", hr_block_bytes());
	EXPECT_EQ(-EEXIST, hr_write_file(path, address));
}

/* ---- last: this one may cost a block ------------------------------------ */

FIXTURE(kernel)
{
	int nr;
	struct saved saved;
};

FIXTURE_SETUP(kernel)
{
	int blocks[64], n;

	save_parameters(&self->saved);
	if (hr_zoneinfo(-1, "Normal", "present") <= 0)
		SKIP(return, "needs boot memory in zone Normal");
	n = hr_take_blocks(blocks, 1, ARRAY_SIZE(blocks));
	if (n < 1)
		SKIP(return,
		     "needs an offline memory block: a DIMM or CONFIG_VIRTIO_MEM");
	ASSERT_EQ(0, hr_write_file(AUTO_ONLINE, "offline"));
	self->nr = blocks[n - 1];
}

FIXTURE_TEARDOWN(kernel)
{
	hr_return_blocks();
	restore_parameters(&self->saved);
}

/*
 * Kernel objects may move into such a block, and then it cannot be taken back.
 * So: only where the kernel has other memory in the zone, which it prefers; as
 * few system calls as possible while the block is online; and no EXPECT that it
 * returns, for that is what kernel memory means.
 */
TEST_F_TIMEOUT(kernel, keyword_on_kernel_block, TEST_S)
{
	int ret[ARRAY_SIZE(keywords)], off, fd;
	char zone[64] = "", attr[64] = "no";
	struct held held;
	size_t i;

	if (hr_supported()) {
		ASSERT_EQ(0, hr_block_write(self->nr, "state",
					    "online_hotremove"));
		ASSERT_EQ(0, hr_block_offline(self->nr, OFFLINE_S));
	}
	hold(&held, self->nr);
	fd = held.state;
	ASSERT_LE(0, fd);

	ASSERT_EQ(13, write(fd, "online_kernel", 13));
	for (i = 1; i < ARRAY_SIZE(keywords); i++)
		ret[i] = write(fd, keywords[i], strlen(keywords[i])) < 0 ?
				 errno :
				 0;
	/* Still the keyword of a switch, which is undone. */
	if (!ret[ARRAY_SIZE(keywords) - 1])
		write(fd, "online_kernel", 13);
	pread(held.zones, zone, sizeof(zone) - 1, 0);
	pread(held.hotremove, attr, sizeof(attr) - 1, 0);
	off = write(fd, "offline", 7) < 0 ? errno : 0;
	release(&held);

	/* A switch, if the kernel has not used the block yet. */
	for (i = 1; i < ARRAY_SIZE(keywords); i++)
		EXPECT_TRUE(ret[i] == EINVAL ||
			    (is_hotremove(keywords[i]) && hr_supported() &&
			     (!ret[i] || ret[i] == EBUSY || ret[i] == ENOMEM)))
		{
			TH_LOG("%s: %s", keywords[i], strerror(ret[i]));
		}
	EXPECT_STRNE("Movable\n", zone);
	/* It has been hot-removable: nothing of that is left. */
	EXPECT_EQ(0, strncmp(attr, "no", 2));
	EXPECT_TRUE(off == 0 || off == EBUSY);
	EXPECT_STREQ(off ? "online_kernel" : "offline", kind_of(self->nr));
	EXPECT_GE(0, hr_pageblocks("HotRemove"));
	EXPECT_EQ(0, hr_check_invariants());
}

HR_HARNESS_MAIN
