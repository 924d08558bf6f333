// SPDX-License-Identifier: GPL-2.0
/* What the hotremove selftests share; hr.h says what each function promises. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hr.h"

/* A violation or a blocker, as a TAP diagnostic. */
static void __attribute__((format(printf, 1, 2))) diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("# ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

unsigned long hr_page_bytes;

static void __attribute__((constructor)) ask_page_size(void)
{
	hr_page_bytes = sysconf(_SC_PAGESIZE);
}

bool hr_supported(void)
{
	glob_t g;
	bool found = !glob(HR_SYS_MEMORY "/memory*/hotremove", 0, NULL, &g);

	globfree(&g);
	return found;
}

bool hr_booted_with(const char *word)
{
	char words[4096];

	return hr_read_file("/proc/cmdline", words, sizeof(words)) > 0 &&
	       strstr(words, word);
}

/*
 * Whoever runs the tests may have seen to it that he is not killed for want of
 * memory. A test has not: what it does wrong must not hit somebody else.
 */
static void __attribute__((constructor)) be_killable(void)
{
	char score[16];

	if (hr_read_file("/proc/self/oom_score_adj", score, sizeof(score)) >
		    0 &&
	    score[0] == '-')
		hr_write_file("/proc/self/oom_score_adj", "0");
}

#define MAX_HELD 256

void hr_hold_blocks(bool hold)
{
	static const char *const attrs[] = { "state", "hotremove" };
	static int held[MAX_HELD], nr;
	struct dirent *entry;
	char path[64];
	DIR *dir;
	int i, block;

	while (nr)
		close(held[--nr]);
	dir = hold ? opendir(HR_SYS_MEMORY) : NULL;
	while (dir && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, "memory%d", &block) != 1)
			continue;
		for (i = 0; i < 2 && nr < MAX_HELD; i++) {
			snprintf(path, sizeof(path),
				 HR_SYS_MEMORY "/memory%d/%s", block, attrs[i]);
			held[nr] = open(path, O_RDONLY | O_CLOEXEC);
			nr += held[nr] >= 0;
		}
	}
	if (dir)
		closedir(dir);
}

/* ---- time -------------------------------------------------------------- */

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static unsigned long timeout_mul(void)
{
	const char *mul = getenv("HR_TIMEOUT_MUL");

	return mul && atol(mul) > 0 ? atol(mul) : 1;
}

bool hr_short(void)
{
	const char *value = getenv("HR_SHORT");

	return value && !strcmp(value, "1");
}

bool hr_debug_kernel(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

long long hr_deadline(unsigned int seconds)
{
	return now_ms() + seconds * timeout_mul() * 1000;
}

bool hr_poll(long long deadline)
{
	if (now_ms() > deadline)
		return false;
	poll(NULL, 0, 10);
	return true;
}

/* ---- text files ------------------------------------------------------ */

int hr_fail(char *why, size_t len, int err, const char *fmt, ...)
{
	va_list ap;
	size_t used;

	va_start(ap, fmt);
	vsnprintf(why, len, fmt, ap);
	va_end(ap);
	used = strlen(why);
	snprintf(why + used, len - used, ": %s", strerror(-err));
	return err;
}

int hr_read_file(const char *path, char *buf, size_t len)
{
	size_t used = 0;
	ssize_t n = 0;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (used < len - 1) {
		n = read(fd, buf + used, len - 1 - used);
		if (n <= 0)
			break;
		used += n;
	}
	err = errno;
	close(fd);
	if (n < 0)
		return -err;
	buf[used] = '\0';
	return used;
}

int hr_write_file(const char *path, const char *val)
{
	size_t len = strlen(val);
	ssize_t n;
	int fd, err;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, val, len);
	err = errno;
	close(fd);
	if (n < 0)
		return -err;
	return (size_t)n == len ? 0 : -EIO;
}

int hr_log_lines(const char *text)
{
	FILE *f = popen("dmesg", "re");
	char line[1024];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += !!strstr(line, text);
	if (f)
		pclose(f);
	return n;
}

/* The number after "key" at the start of a line of path. */
static long number_after(const char *path, const char *key)
{
	size_t keylen = strlen(key);
	long value = -ENOENT;
	char line[256];
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, keylen)) {
			value = strtol(line + keylen, NULL, 10);
			break;
		}
	}
	fclose(f);
	return value;
}

/* Counters are batched per CPU; writing here folds the batches in. */
static void refresh_counters(void)
{
	hr_write_file("/proc/sys/vm/stat_refresh", "1");
}

long hr_vmstat(const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s ", name);
	refresh_counters();
	return number_after("/proc/vmstat", key);
}

long hr_meminfo_kb(const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s:", name);
	refresh_counters();
	return number_after("/proc/meminfo", key);
}

long hr_zoneinfo(int node, const char *zone, const char *name)
{
	char line[256], cur_zone[32] = "", key[64];
	long value, sum = -ENOENT;
	int cur_node = -1;
	FILE *f;

	refresh_counters();
	f = fopen("/proc/zoneinfo", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d, zone %31s", &cur_node, cur_zone) ==
		    2)
			continue;
		/* "  pages free     N" opens the list of unnamed counters. */
		if (sscanf(line, " pages %63s %ld", key, &value) != 2 &&
		    sscanf(line, " %63s %ld", key, &value) != 2)
			continue;
		if (strcmp(key, name) || (node >= 0 && node != cur_node) ||
		    (zone && strcmp(zone, cur_zone)))
			continue;
		sum = (sum < 0 ? 0 : sum) + value;
	}
	fclose(f);
	return sum;
}

/* ---- memory blocks -------------------------------------------------- */

unsigned long hr_block_bytes(void)
{
	/* Asked for with each page that is looked at. */
	static unsigned long bytes;
	char buf[32];

	if (!bytes && hr_read_file(HR_SYS_MEMORY "/block_size_bytes", buf,
				   sizeof(buf)) > 0)
		bytes = strtoul(buf, NULL, 16);
	return bytes;
}

unsigned long hr_block_pages(void)
{
	return hr_block_bytes() / sysconf(_SC_PAGESIZE);
}

unsigned long hr_block_pfn(int block)
{
	return block * hr_block_pages();
}

static void attr_path(char *path, size_t len, int block, const char *attr)
{
	snprintf(path, len, HR_SYS_MEMORY "/memory%d/%s", block, attr);
}

int hr_block_read(int block, const char *attr, char *buf, size_t len)
{
	char path[128];
	int n;

	attr_path(path, sizeof(path), block, attr);
	n = hr_read_file(path, buf, len);
	if (n > 0 && buf[n - 1] == '\n')
		buf[n - 1] = '\0';
	return n < 0 ? n : 0;
}

int hr_block_write(int block, const char *attr, const char *val)
{
	char path[128];

	attr_path(path, sizeof(path), block, attr);
	return hr_write_file(path, val);
}

bool hr_block_is(int block, const char *attr, const char *want)
{
	char buf[64];

	return !hr_block_read(block, attr, buf, sizeof(buf)) &&
	       !strcmp(buf, want);
}

int hr_block_node(int block)
{
	int node = -1;
	char path[128];
	glob_t g;

	attr_path(path, sizeof(path), block, "node[0-9]*");
	if (!glob(path, 0, NULL, &g))
		node = atoi(strrchr(g.gl_pathv[0], 'e') + 1);
	globfree(&g);
	return node;
}

static void on_alarm(int sig)
{
	(void)sig;
}

/*
 * A timer for this thread only (another one may own alarm()), repeating: a
 * signal that arrives just before write(2) would otherwise be lost.
 */
int hr_block_offline_usec(int block, unsigned long usec)
{
	struct sigaction act = { .sa_handler = on_alarm }, old;
	struct itimerspec when = {
		.it_value.tv_sec = usec / 1000000,
		.it_value.tv_nsec = usec % 1000000 * 1000,
		.it_interval.tv_nsec = 100 * 1000 * 1000,
	};
	struct sigevent ev = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGALRM,
		._sigev_un._tid = syscall(SYS_gettid),
	};
	timer_t timer;
	int ret;

	if (timer_create(CLOCK_MONOTONIC, &ev, &timer))
		return -errno;
	sigaction(SIGALRM, &act, &old);
	timer_settime(timer, 0, &when, NULL);
	ret = hr_block_write(block, "state", "offline");
	timer_delete(timer);
	sigaction(SIGALRM, &old, NULL);
	return ret;
}

int hr_block_offline(int block, unsigned int seconds)
{
	return hr_block_offline_usec(block,
				     seconds * timeout_mul() * 1000000UL);
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int hr_blocks_in_state(const char *state, int *blocks, int max)
{
	int block, n = 0;
	size_t i;
	glob_t g;

	if (!glob(HR_SYS_MEMORY "/memory[0-9]*", 0, NULL, &g)) {
		for (i = 0; i < g.gl_pathc && n < max; i++) {
			block = atoi(strrchr(g.gl_pathv[i], 'y') + 1);
			if (hr_block_is(block, "state", state))
				blocks[n++] = block;
		}
	}
	globfree(&g);
	qsort(blocks, n, sizeof(*blocks), compare_ints);
	return n;
}

/* Boot memory starts online and tests put it back: what is offline is not boot memory. */
int hr_offline_blocks(int *blocks, int max)
{
	return hr_blocks_in_state("offline", blocks, max);
}

/* ---- pages ------------------------------------------------------------ */

static int read_u64s(const char *path, unsigned long index, unsigned long nr,
		     uint64_t *out)
{
	size_t want = nr * sizeof(*out), done = 0;
	ssize_t n = 0;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (done < want) {
		n = pread(fd, (char *)out + done, want - done,
			  index * sizeof(*out) + done);
		if (n <= 0)
			break;
		done += n;
	}
	err = errno;
	close(fd);
	if (n < 0)
		return -err;
	return done == want ? 0 : -ENODATA;
}

unsigned int hr_max_order(void)
{
	static unsigned int order;
	char line[4096], *at;

	/* "Node 0, zone   Normal      1 ...": a column for each. */
	if (order || hr_read_file("/proc/buddyinfo", line, sizeof(line)) <= 0)
		return order;
	line[strcspn(line, "\n")] = '\0';
	at = strstr(line, "zone");
	for (at = at ? strtok(at, " ") : NULL; at; at = strtok(NULL, " "))
		order++;
	/* "zone", its name, and those of order 0 */
	order = order > 3 ? order - 3 : 10;
	return order;
}

bool hr_small_huge_pages(void)
{
	return hr_meminfo_kb("Hugepagesize") == 2048;
}

int hr_kpageflags(unsigned long pfn, unsigned long nr, uint64_t *flags)
{
	return read_u64s("/proc/kpageflags", pfn, nr, flags);
}

bool hr_can_poison(void)
{
	return !access(UNPOISON, F_OK) && !access(SOFT_OFFLINE, F_OK) &&
	       (hr_booted_with("page_owner=off") ||
		!hr_booted_with("page_owner=on"));
}

/* By their flags: what was looked up may have moved before it was poisoned. */
long hr_unpoison(unsigned long pfn, unsigned long nr)
{
	const uint64_t hwpoison = 1ULL << 19; /* KPF_HWPOISON */
	uint64_t *flags = calloc(nr, sizeof(*flags));
	long sum = flags ? hr_kpageflags(pfn, nr, flags) : -ENOMEM;
	char text[32];

	for (unsigned long i = 0; sum >= 0 && i < nr; i++) {
		if (!(flags[i] & hwpoison))
			continue;
		snprintf(text, sizeof(text), "0x%lx", pfn + i);
		sum += !hr_write_file(UNPOISON, text);
	}
	free(flags);
	return sum;
}

int hr_kpagecount(unsigned long pfn, unsigned long nr, uint64_t *count)
{
	return read_u64s("/proc/kpagecount", pfn, nr, count);
}

int hr_virt_to_pfns(const void *addr, size_t bytes, uint64_t *pfns)
{
	const uint64_t present = 1ULL << 63, pfn_mask = (1ULL << 55) - 1;
	const size_t page = sysconf(_SC_PAGESIZE), nr = bytes / page;
	size_t i;
	int ret;

	ret = read_u64s("/proc/self/pagemap", (uintptr_t)addr / page, nr, pfns);
	for (i = 0; !ret && i < nr; i++)
		pfns[i] = pfns[i] & present ? pfns[i] & pfn_mask : 0;
	return ret;
}

unsigned long hr_virt_to_pfn(const void *addr)
{
	uint64_t pfn;

	return hr_virt_to_pfns(addr, sysconf(_SC_PAGESIZE), &pfn) ? 0 : pfn;
}

bool hr_pfn_in_block(unsigned long pfn, int block)
{
	unsigned long first = hr_block_pfn(block);

	return pfn >= first && pfn < first + hr_block_pages();
}

long hr_pages_in_block(const void *addr, size_t bytes, int block)
{
	const size_t nr = bytes / sysconf(_SC_PAGESIZE);
	uint64_t *pfns = malloc(nr * sizeof(*pfns));
	long inside = 0;
	size_t i;
	int ret;

	if (!pfns)
		return -ENOMEM;
	ret = hr_virt_to_pfns(addr, bytes, pfns);
	for (i = 0; !ret && i < nr; i++)
		inside += pfns[i] && hr_pfn_in_block(pfns[i], block);
	free(pfns);
	return ret ? ret : inside;
}

/* Not to be used up while looking for a block. */
#define SPARE_KB (64 * 1024)

void *hr_anon_in_block(int block, size_t bytes, int advice)
{
	const size_t all = hr_meminfo_kb("MemTotal") * 1024 / bytes * bytes;
	const long enough = bytes / sysconf(_SC_PAGESIZE) / 4;
	char *map, *at, *end;

	map = mmap(NULL, all, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	end = map + all;
	madvise(map, all, advice);
	for (at = map; at < end; at += bytes) {
		if (hr_meminfo_kb("MemAvailable") <
		    SPARE_KB + (long)(bytes / 1024))
			break;
		memset(at, 0xa5, bytes);
		if (hr_pages_in_block(at, bytes, block) < enough)
			continue;
		munmap(map, at - map);
		munmap(at + bytes, end - at - bytes);
		return at;
	}
	munmap(map, all);
	return NULL;
}

static uint64_t word_at(size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

void hr_fill(void *mem, size_t bytes)
{
	uint64_t *words = mem;
	size_t i;

	for (i = 0; i < bytes / sizeof(*words); i++)
		words[i] = word_at(i);
}

void *hr_small_pages(size_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	madvise(mem, bytes, MADV_NOHUGEPAGE);
	hr_fill(mem, bytes);
	return mem;
}

size_t hr_wrong_bytes(const void *mem, size_t bytes)
{
	const uint64_t *words = mem;
	size_t i, wrong = 0;

	for (i = 0; i < bytes / sizeof(*words); i++)
		wrong += words[i] == word_at(i) ? 0 : sizeof(*words);
	return wrong;
}

long hr_page_owner_gfp(unsigned long pfn)
{
	unsigned int order, mask;
	unsigned long owner_pfn;
	char record[4096];
	const char *line;
	ssize_t n;
	int fd;

	fd = open("/sys/kernel/debug/page_owner", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -EOPNOTSUPP;
	/* The file's offset is a pfn: the first allocated page from there on. */
	n = pread(fd, record, sizeof(record) - 1, pfn);
	close(fd);
	if (n < 0)
		return -EOPNOTSUPP;
	record[n] = '\0';
	line = strstr(record, "\nPFN ");
	if (!line || sscanf(line, "\nPFN %lx", &owner_pfn) != 1 ||
	    owner_pfn != pfn ||
	    sscanf(record, "Page allocated via order %u, mask 0x%x", &order,
		   &mask) != 2)
		return -ENOENT;
	return mask;
}

/* Bit numbers of /proc/kpageflags, include/uapi/linux/kernel-page-flags.h. */
#define KPF(bit) (1ULL << (bit))
#define KPF_UPTODATE KPF(3)
#define KPF_LRU KPF(5)
#define KPF_SLAB KPF(7)
#define KPF_BUDDY KPF(10)
#define KPF_ANON KPF(12)
#define KPF_SWAPCACHE KPF(13)
#define KPF_HUGE KPF(17)
#define KPF_NOPAGE KPF(20)
#define KPF_OFFLINE KPF(23)
#define KPF_PGTABLE KPF(26)
#define KPF_RESERVED KPF(32)

/*
 * Flags alone cannot tell a page waiting in a pcp list from a vmalloc page:
 * neither has any. page_owner can: free pages have no record there, and an
 * allocated one shows whether the request was eligible for ZONE_MOVABLE. That
 * also covers pages on their way to an LRU list and movable_ops pages.
 */
static bool unmovable(unsigned long pfn, uint64_t flags)
{
	const long movable_zone = 0x02 |
				  0x08; /* __GFP_HIGHMEM, __GFP_MOVABLE */
	long gfp;

	if (flags & (KPF_SLAB | KPF_PGTABLE | KPF_RESERVED))
		return true;
	if (flags & (KPF_BUDDY | KPF_LRU | KPF_OFFLINE | KPF_NOPAGE | KPF_HUGE))
		return false;
	gfp = hr_page_owner_gfp(pfn);
	if (gfp >= 0)
		return (gfp & movable_zone) != movable_zone;
	/* No record: free, or the tail of an allocation judged by its head. */
	if (gfp == -ENOENT)
		return false;
	/* No page_owner: let pass what looks like user memory or a free page. */
	return flags && !(flags & (KPF_ANON | KPF_SWAPCACHE | KPF_UPTODATE));
}

/* For a diagnostic: 0 where page_owner knows nothing. */
static long shown_gfp(unsigned long pfn)
{
	long gfp = hr_page_owner_gfp(pfn);

	return gfp < 0 ? 0 : gfp;
}

long hr_unmovable_pages(int block)
{
	const int max_shown = 8;
	unsigned long i, pfn = hr_block_pfn(block), nr = hr_block_pages();
	uint64_t *flags, now;
	long found = 0;
	int ret;

	flags = malloc(nr * sizeof(*flags));
	if (!flags)
		return -ENOMEM;
	ret = hr_kpageflags(pfn, nr, flags);
	for (i = 0; !ret && i < nr; i++) {
		/* Twice: between the two reads of one look the page may be reused. */
		if (!unmovable(pfn + i, flags[i]) ||
		    hr_kpageflags(pfn + i, 1, &now) || !unmovable(pfn + i, now))
			continue;
		if (found++ < max_shown)
			diag("memory%d: pfn 0x%lx flags 0x%llx gfp 0x%lx is unmovable",
			     block, pfn + i, (unsigned long long)now,
			     shown_gfp(pfn + i));
	}
	free(flags);
	return ret ? ret : found;
}

/* ---- the hypervisor, by QMP ------------------------------------------- */

#define QMP_PORT "/dev/virtio-ports/qmp"
#define QMP_LIMIT_S 10

bool hr_qmp_available(void)
{
	return !access(QMP_PORT, R_OK | W_OK);
}

/* Only one process can have the port open; wait for the other one. */
static int qmp_open(void)
{
	long long deadline = hr_deadline(QMP_LIMIT_S);
	int fd;

	while ((fd = open(QMP_PORT, O_RDWR | O_CLOEXEC | O_NONBLOCK)) < 0)
		if (errno != EBUSY || !hr_poll(deadline))
			return -errno;
	return fd;
}

static int qmp_send(int fd, const char *text, long long deadline)
{
	size_t len = strlen(text);
	ssize_t n;

	while (len) {
		n = write(fd, text, len);
		if (n > 0) {
			text += n;
			len -= n;
			continue;
		}
		/* EAGAIN: full, or the host side is not connected yet. */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (!hr_poll(deadline))
			return -ETIMEDOUT;
	}
	return 0;
}

/* Lines until the one that carries id; greeting and events are passed over. */
static int qmp_receive(int fd, const char *id, char *line, size_t len,
		       long long deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	char c;

	for (;;) {
		if (poll(&p, 1, 1000) <= 0 || read(fd, &c, 1) != 1) {
			if (!hr_poll(deadline))
				return -ETIMEDOUT;
			continue;
		}
		if (c != '\n') {
			if (used < len - 1)
				line[used++] = c;
			continue;
		}
		line[used] = '\0';
		used = 0;
		if (strstr(line, id))
			return strstr(line, "\"error\"") ? -EIO : 0;
	}
}

static int qmp_transact(int fd, const char *command, char *line, size_t len)
{
	static unsigned int serial;
	long long deadline = hr_deadline(QMP_LIMIT_S);
	char text[1024], id[48];
	int ret;

	while (isspace((unsigned char)*command))
		command++;
	if (*command != '{')
		return -EINVAL;
	snprintf(id, sizeof(id), "\"hr-%d-%u\"", getpid(), serial++);
	ret = snprintf(text, sizeof(text), "{\"id\": %s, %s\n", id,
		       command + 1);
	if ((size_t)ret >= sizeof(text))
		return -E2BIG;
	ret = qmp_send(fd, text, deadline);
	return ret ? ret : qmp_receive(fd, id, line, len, deadline);
}

int hr_qmp(const char *command, char *reply, size_t len)
{
	char line[16384]; /* the longest reply we ask for, a device list */
	int fd, ret;

	fd = qmp_open();
	if (fd < 0)
		return fd;
	/* An error if an earlier process did it: all that counts is the command. */
	qmp_transact(fd, "{'execute': 'qmp_capabilities'}", line, sizeof(line));
	ret = qmp_transact(fd, command, line, sizeof(line));
	if (reply)
		snprintf(reply, len, "%s", line);
	close(fd);
	return ret;
}

long long hr_qom_get(const char *id, const char *property)
{
	char command[256], reply[4096];
	const char *value;
	int ret;

	snprintf(command, sizeof(command),
		 "{'execute': 'qom-get', 'arguments': {"
		 "'path': '/machine/peripheral/%s', 'property': '%s'}}",
		 id, property);
	ret = hr_qmp(command, reply, sizeof(reply));
	if (ret)
		return ret;
	value = strstr(reply, "\"return\":");
	if (!value)
		return -EPROTO;
	return strtoll(value + strlen("\"return\":"), NULL, 10);
}

static long vmem_get_mib(const char *id, const char *property)
{
	long long bytes = hr_qom_get(id, property);

	return bytes < 0 ? bytes : bytes >> 20;
}

long hr_vmem_size_mib(const char *id)
{
	return vmem_get_mib(id, "size");
}

long hr_vmem_requested_mib(const char *id)
{
	return vmem_get_mib(id, "requested-size");
}

int hr_vmem_resize(const char *id, unsigned long mib, unsigned int seconds)
{
	long long deadline = hr_deadline(seconds);
	char command[256];
	long size;
	int ret;

	snprintf(command, sizeof(command),
		 "{'execute': 'qom-set', 'arguments': {"
		 "'path': '/machine/peripheral/%s', 'property': 'requested-size', 'value': %llu}}",
		 id, (unsigned long long)mib << 20);
	ret = hr_qmp(command, NULL, 0);
	if (ret)
		return ret;
	for (;;) {
		size = hr_vmem_size_mib(id);
		if (size < 0)
			return size;
		if ((unsigned long)size == mib)
			return 0;
		if (!hr_poll(deadline))
			return -ETIMEDOUT;
	}
}

/* ---- blocks for a test ------------------------------------------------- */

#define VMEM "vm0"
#define MAX_TAKEN 64
/* Far beyond what an offline or an unplug needs under emulation. */
#define TAKE_LIMIT_S 60
#define BUSY_LIMIT_S 5

static int taken[MAX_TAKEN], nr_taken;
/* vm0 before it was grown, and the offline blocks there were then. */
static long vmem_mib_before = -1;
static int offline_before;

/* Grow vm0 without letting the new blocks come online. */
static int plug_blocks(int missing)
{
	static const char policy[] = HR_SYS_MEMORY "/auto_online_blocks";
	long mib = hr_vmem_size_mib(VMEM);
	char old[32];
	int ret;

	if (mib < 0)
		return mib;
	if (hr_read_file(policy, old, sizeof(old)) < 0 ||
	    hr_write_file(policy, "offline"))
		return -EIO;
	if (vmem_mib_before < 0)
		vmem_mib_before = mib;
	mib += missing * (hr_block_bytes() >> 20);
	ret = hr_vmem_resize(VMEM, mib, TAKE_LIMIT_S);
	hr_write_file(policy, old);
	return ret;
}

int hr_take_blocks(int *blocks, int want, int max)
{
	int n = hr_offline_blocks(blocks, max);
	long long deadline;

	if (vmem_mib_before < 0)
		offline_before = n;
	if (n < want && hr_qmp_available() && !plug_blocks(want - n)) {
		/* The device has its size before the guest has the blocks. */
		deadline = hr_deadline(TAKE_LIMIT_S);
		while ((n = hr_offline_blocks(blocks, max)) < want &&
		       hr_poll(deadline))
			;
	}
	for (nr_taken = 0; nr_taken < n && nr_taken < MAX_TAKEN; nr_taken++)
		taken[nr_taken] = blocks[nr_taken];
	return n;
}

/*
 * What the kernel has and does not give back, lent or not: let it have the block, so
 * that the next test can begin with others.
 */
static bool give_up_block(int block)
{
	char is[32];

	if (hr_block_read(block, "hotremove", is, sizeof(is)))
		return false;
	if (strstr(is, "partial"))
		return !hr_block_write(block, "state", "online_kernel");
	return !strcmp(is, "no");
}

int hr_return_blocks(void)
{
	int blocks[MAX_TAKEN], err, ret = 0, kept = 0;
	unsigned int limit = TAKE_LIMIT_S;
	long long deadline;

	while (nr_taken) {
		int block = taken[--nr_taken];

		if (!hr_block_is(block, "state", "online"))
			continue;
		err = hr_block_offline(block, TAKE_LIMIT_S);
		if (err) {
			diag("memory%d does not go offline: %s", block,
			     strerror(-err));
			ret = err;
			kept += give_up_block(block);
		}
	}
	if (vmem_mib_before >= 0) {
		/* What does not go offline is not unplugged either. */
		if (ret && !kept)
			limit = BUSY_LIMIT_S;
		vmem_mib_before += kept * (hr_block_bytes() >> 20);
		err = hr_vmem_resize(VMEM, vmem_mib_before, limit);
		ret = err ? err : ret;
		vmem_mib_before = -1;
		/* Without its memory a block takes a little longer to go. */
		deadline = hr_deadline(limit);
		while (hr_offline_blocks(blocks, MAX_TAKEN) > offline_before &&
		       hr_poll(deadline))
			;
	}
	return ret;
}

/*
 * The success rate that n successes in n tries prove with 95 % confidence: what
 * would lead to them in one case of twenty.
 */
double hr_success_bound(long n)
{
	double low = 0, high = 1, p, all;
	long i;

	while (high - low > 0.0000001) {
		p = (low + high) / 2;
		for (all = 1, i = 0; i < n; i++)
			all *= p;
		if (all < 0.05)
			low = p;
		else
			high = p;
	}
	return low;
}

/* ---- file systems and swap ---------------------------------------------- */

int hr_mount_detached(const char *type, const char *key, const char *value)
{
	int fs = fsopen(type, FSOPEN_CLOEXEC), root = -1, err;

	if (fs < 0)
		return -errno;
	if ((!key || !fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0)) &&
	    !fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		root = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	err = errno;
	close(fs);
	return root < 0 ? -err : root;
}

int hr_mke2fs(const char *const *words)
{
	const char *args[16] = { "mke2fs", "-F", "-b", "4096" };
	int i, null, status = -1;
	pid_t pid;

	for (i = 4; i < 15 && *words; i++)
		args[i] = *words++;
	pid = fork();
	if (!pid) {
		null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		dup2(null, 2);
		execvp(args[0], (char *const *)args);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -ENOEXEC : 0;
}

#define ZRAM_CONTROL "/sys/class/zram-control/"

/* What mkswap writes: the first page of a swap area of that many pages. */
static int make_swap(const char *dev, size_t pages)
{
	union {
		unsigned char bytes[PAGE_MOST];
		struct {
			char bootbits[1024];
			uint32_t version, last_page, nr_badpages;
		} info;
	} header = { .info = { .version = 1, .last_page = pages - 1 } };
	int fd = open(dev, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	memcpy(header.bytes + PAGE - 10, "SWAPSPACE2", 10);
	if (write(fd, &header, PAGE) != (ssize_t)PAGE || fsync(fd))
		ret = -EIO;
	close(fd);
	return ret;
}

int hr_zram_add(size_t bytes)
{
	char path[64], val[32];
	int zram, ret;

	if (hr_read_file(ZRAM_CONTROL "hot_add", val, sizeof(val)) <= 0)
		return -EOPNOTSUPP;
	zram = strtol(val, NULL, 10);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", zram);
	snprintf(val, sizeof(val), "%zu", bytes);
	ret = hr_write_file(path, val);
	if (!ret)
		return zram;
	hr_zram_swapoff(zram);
	return ret;
}

int hr_zram_swapon(size_t bytes)
{
	char path[64];
	int zram = hr_zram_add(bytes), ret;

	if (zram < 0)
		return zram;
	snprintf(path, sizeof(path), "/dev/zram%d", zram);
	ret = make_swap(path, bytes / PAGE);
	if (!ret && swapon(path, 0))
		ret = errno == ENOSYS ? -EOPNOTSUPP : -errno;
	if (!ret)
		return zram;
	hr_zram_swapoff(zram);
	return ret;
}

void hr_zram_swapoff(int zram)
{
	char path[64], val[16];

	snprintf(path, sizeof(path), "/dev/zram%d", zram);
	swapoff(path);
	snprintf(path, sizeof(path), "/sys/block/zram%d/reset", zram);
	hr_write_file(path, "1");
	snprintf(val, sizeof(val), "%d", zram);
	hr_write_file(ZRAM_CONTROL "hot_remove", val);
}

/* ---- invariants ------------------------------------------------------- */

#define MAX_ZONES 32

/* One zone as two files see it; pages throughout. */
struct zone_view {
	int node;
	char name[16];
	/* /proc/zoneinfo */
	long spanned, present, managed, hotremove, released, open;
	long nr_free_pages, nr_free_cma, nr_free_hotremove;
	/* /proc/pagetypeinfo */
	long listed, listed_cma, listed_hotremove;
	long blocks_hotremove, blocks_isolate;
	bool capped; /* a list too long for pagetypeinfo to count */
};

struct memory_view {
	struct zone_view zone[MAX_ZONES];
	int nr;
	long pageblock_pages;
};

static struct zone_view *find_zone(struct memory_view *m, int node,
				   const char *name)
{
	int i;

	for (i = 0; i < m->nr; i++)
		if (m->zone[i].node == node && !strcmp(m->zone[i].name, name))
			return &m->zone[i];
	return NULL;
}

static void read_zoneinfo(struct memory_view *m)
{
	struct zone_view *z = NULL;
	char line[256], key[64], name[16];
	long value;
	int node;
	FILE *f;

	memset(m, 0, sizeof(*m));
	refresh_counters();
	f = fopen("/proc/zoneinfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d, zone %15s", &node, name) == 2) {
			if (m->nr == MAX_ZONES)
				break;
			z = &m->zone[m->nr++];
			z->node = node;
			strcpy(z->name, name);
		} else if (z && sscanf(line, " %63s %ld", key, &value) == 2) {
			struct {
				const char *key;
				long *value;
			} wanted[] = {
				{ "spanned", &z->spanned },
				{ "present", &z->present },
				{ "managed", &z->managed },
				{ "hotremove", &z->hotremove },
				{ "released", &z->released },
				{ "open", &z->open },
				{ "nr_free_pages", &z->nr_free_pages },
				{ "nr_free_cma", &z->nr_free_cma },
				{ "nr_free_hotremove", &z->nr_free_hotremove },
			};
			size_t i;

			for (i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
				if (!strcmp(key, wanted[i].key))
					*wanted[i].value = value;
		}
	}
	if (f)
		fclose(f);
}

/* "Node 0, zone Normal, type CMA  N0 >N1 ...": free pages, all orders. */
static long sum_free_lists(char *counts, bool *capped)
{
	long pages = 0;
	int order = 0;
	char *word;

	for (word = strtok(counts, "\n "); word; word = strtok(NULL, "\n ")) {
		if (*word == '>') {
			*capped = true;
			word++;
		}
		pages += atol(word) << order++;
	}
	return pages;
}

/* Which column of the pageblock table a type is; the first one is 0. */
static int column_of(const char *header, const char *type)
{
	char copy[512], *word;
	int column = 0;

	snprintf(copy, sizeof(copy), "%s", header);
	for (word = strtok(copy, "\n "); word; word = strtok(NULL, "\n ")) {
		if (!strcmp(word, type))
			return column;
		column++;
	}
	return -1;
}

static long nth_number(const char *text, int n)
{
	char *end;
	long value = 0;

	if (n < 0)
		return 0;
	do {
		value = strtol(text, &end, 10);
		if (end == text)
			return 0;
		text = end;
	} while (n--);
	return value;
}

long hr_pageblocks(const char *type)
{
	static const char table[] = "Number of blocks type";
	bool in_table = false;
	int at, column = -1;
	char line[512];
	long sum = 0;
	FILE *f;

	f = fopen("/proc/pagetypeinfo", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, table, sizeof(table) - 1)) {
			column = column_of(line + sizeof(table), type);
			in_table = true;
			continue;
		}
		at = 0;
		if (sscanf(line, "Node %*d, zone %*s%n", &at) < 0 || !at)
			in_table = false;
		else if (in_table)
			sum += nth_number(line + at, column);
	}
	fclose(f);
	return column < 0 ? -ENOENT : sum;
}

static void read_pagetypeinfo(struct memory_view *m)
{
	static const char table[] = "Number of blocks type";
	int node, at, col_hotremove = -1, col_isolate = -1;
	char line[512], name[16], type[32];
	bool in_table = false;
	struct zone_view *z;
	long pages;
	FILE *f;

	f = fopen("/proc/pagetypeinfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Pages per block: %ld", &pages) == 1)
			m->pageblock_pages = pages;
		/* One table of each kind per node; a third one is of no use here. */
		if (!strncmp(line, "Number of mixed", 15) ||
		    !strncmp(line, "Page block order", 16))
			in_table = false;
		if (!strncmp(line, table, sizeof(table) - 1)) {
			col_hotremove =
				column_of(line + sizeof(table), "HotRemove");
			col_isolate =
				column_of(line + sizeof(table), "Isolate");
			in_table = true;
		} else if (sscanf(line, "Node %d, zone %15[^,], type %31s%n",
				  &node, name, type, &at) == 3) {
			z = find_zone(m, node, name);
			if (!z)
				continue;
			pages = sum_free_lists(line + at, &z->capped);
			/* Isolated pages are free but counted nowhere. */
			if (strcmp(type, "Isolate"))
				z->listed += pages;
			if (!strcmp(type, "CMA"))
				z->listed_cma = pages;
			if (!strcmp(type, "HotRemove"))
				z->listed_hotremove = pages;
		} else if (in_table && sscanf(line, "Node %d, zone %15s%n",
					      &node, name, &at) == 2) {
			z = find_zone(m, node, name);
			if (!z)
				continue;
			z->blocks_hotremove =
				nth_number(line + at, col_hotremove);
			z->blocks_isolate = nth_number(line + at, col_isolate);
		}
	}
	if (f)
		fclose(f);
}

static long broken(bool show, const struct zone_view *z, const char *what,
		   long a, long b)
{
	if (show)
		diag("Node %d, zone %s: %s: %ld, %ld", z->node, z->name, what,
		     a, b);
	return 1;
}

static long check_zone(const struct zone_view *z, long pageblock_pages,
		       bool show)
{
	long bad = 0;

	if (z->present > z->spanned)
		bad += broken(show, z, "present above spanned", z->present,
			      z->spanned);
	if (z->managed > z->present)
		bad += broken(show, z, "managed above present", z->managed,
			      z->present);
	if (z->nr_free_pages > z->managed)
		bad += broken(show, z, "free above managed", z->nr_free_pages,
			      z->managed);
	if (z->blocks_isolate)
		bad += broken(show, z, "isolated pageblocks, expected",
			      z->blocks_isolate, 0);
	if (z->released < 0 || z->released > z->hotremove)
		bad += broken(show, z, "released above hotremove", z->released,
			      z->hotremove);
	if (z->open < 0 || z->open > z->released)
		bad += broken(show, z, "open above released", z->open,
			      z->released);
	/* What is released and not open has its home type again. */
	if (z->blocks_hotremove * pageblock_pages != z->hotremove - z->open)
		bad += broken(show, z,
			      "pages in HotRemove pageblocks, hotremove - open",
			      z->blocks_hotremove * pageblock_pages,
			      z->hotremove - z->open);
	if (z->capped)
		return bad;
	if (z->listed != z->nr_free_pages)
		bad += broken(show, z, "pages on free lists, nr_free_pages",
			      z->listed, z->nr_free_pages);
	if (z->listed_cma != z->nr_free_cma)
		bad += broken(show, z, "pages on CMA lists, nr_free_cma",
			      z->listed_cma, z->nr_free_cma);
	if (z->listed_hotremove != z->nr_free_hotremove)
		bad += broken(show, z,
			      "pages on HotRemove lists, nr_free_hotremove",
			      z->listed_hotremove, z->nr_free_hotremove);
	return bad;
}

/*
 * Pages of a plugged block that hold its own memory map, which nobody can allocate:
 * no part of what is hot-removable. 64 bytes a page.
 */
static long memmap_pages(void)
{
	return hr_booted_with("memory_hotplug.memmap_on_memory=1") ?
		       hr_block_pages() * 64 / sysconf(_SC_PAGESIZE) :
		       0;
}

long hr_released_pages(long *all, int *partial)
{
	static int blocks[4096];
	unsigned long armed, total;
	long released = 0;
	char buf[64];
	int i, n;

	*all = 0;
	*partial = 0;
	n = hr_blocks_in_state("online", blocks, 4096);
	for (i = 0; i < n; i++) {
		if (hr_block_read(blocks[i], "hotremove", buf, sizeof(buf)) ||
		    !strcmp(buf, "no"))
			continue;
		*all += hr_block_pages() - memmap_pages();
		if (sscanf(buf, "partial %lu/%lu", &armed, &total) == 2 &&
		    total) {
			released += hr_block_pages() / total * (total - armed);
			++*partial;
		}
	}
	return released;
}

/* "Node 0 HotRemoveReleased: 2048 kB" of all nodes, pages; -1 if there is none. */
static long released_of_nodes(void)
{
	char text[4096], *at;
	long kb = -1;
	size_t i;
	glob_t g;

	if (!glob("/sys/devices/system/node/node*/meminfo", 0, NULL, &g)) {
		for (i = 0; i < g.gl_pathc; i++) {
			if (hr_read_file(g.gl_pathv[i], text, sizeof(text)) < 0)
				continue;
			at = strstr(text, "HotRemoveReleased:");
			if (at)
				kb = (kb < 0 ? 0 : kb) +
				     atol(at + strlen("HotRemoveReleased:"));
		}
	}
	globfree(&g);
	return kb < 0 ? -1 : kb * 1024 / sysconf(_SC_PAGESIZE);
}

/*
 * Nobody is at work on pages that he took off an LRU list, or has lost them. Node by
 * node: what CPUs have counted of one that went offline is added to no total.
 */
static long check_isolated(bool show)
{
	static const char *const names[] = { "nr_isolated_anon ",
					     "nr_isolated_file " };
	long pages, bad = 0;
	glob_t g;

	refresh_counters();
	if (glob("/sys/devices/system/node/node[0-9]*/vmstat", 0, NULL, &g))
		return 0;
	for (size_t node = 0; node < g.gl_pathc; node++) {
		for (int i = 0; i < 2; i++) {
			pages = number_after(g.gl_pathv[node], names[i]);
			if (pages <= 0)
				continue;
			bad++;
			if (show)
				diag("%s: %s: %ld, expected: 0",
				     g.gl_pathv[node], names[i], pages);
		}
	}
	globfree(&g);
	return bad;
}

static long check_totals(const struct memory_view *m, bool show)
{
	long hotremove = 0, free_hotremove = 0, released = 0, bad = 0, pages;
	long kb = sysconf(_SC_PAGESIZE) / 1024;
	long of_blocks;
	int i;

	if (!hr_supported())
		return 0;
	for (i = 0; i < m->nr; i++) {
		hotremove += m->zone[i].hotremove;
		released += m->zone[i].released;
		free_hotremove += m->zone[i].nr_free_hotremove;
	}
	of_blocks = hr_released_pages(&pages, &i);
	if (of_blocks != released) {
		bad++;
		if (show)
			diag("released pages of blocks: %ld, of zones: %ld",
			     of_blocks, released);
	}
	of_blocks = hr_meminfo_kb("HotRemoveReleased");
	if (of_blocks >= 0 && of_blocks / kb != released) {
		bad++;
		if (show)
			diag("HotRemoveReleased: %ld pages, zones: %ld",
			     of_blocks / kb, released);
	}
	of_blocks = released_of_nodes();
	if (of_blocks >= 0 && of_blocks != released) {
		bad++;
		if (show)
			diag("HotRemoveReleased of nodes: %ld pages, zones: %ld",
			     of_blocks, released);
	}
	if (pages != hotremove) {
		bad++;
		if (show)
			diag("hotremove pages of blocks: %ld, of zones: %ld",
			     pages, hotremove);
	}
	pages = hr_meminfo_kb("HotRemoveTotal") / kb;
	if (pages != hotremove) {
		bad++;
		if (show)
			diag("HotRemoveTotal: %ld pages, zones: %ld", pages,
			     hotremove);
	}
	pages = hr_meminfo_kb("HotRemoveFree") / kb;
	if (pages != free_hotremove) {
		bad++;
		if (show)
			diag("HotRemoveFree: %ld pages, zones: %ld", pages,
			     free_hotremove);
	}
	return bad;
}

static long check_once(bool show)
{
	struct memory_view m;
	long bad = 0;
	int i;

	read_zoneinfo(&m);
	read_pagetypeinfo(&m);
	if (!m.nr || !m.pageblock_pages) {
		diag("no zones in /proc/zoneinfo or nothing in /proc/pagetypeinfo");
		return 1;
	}
	for (i = 0; i < m.nr; i++)
		if (m.zone[i].present)
			bad += check_zone(&m.zone[i], m.pageblock_pages, show);
	return bad + check_isolated(show) + check_totals(&m, show);
}

/*
 * The files are read one after the other while the system runs, so a single
 * disagreement proves nothing. Drift is for ever: it survives every retry,
 * whereas one look in a quiet moment is enough to acquit.
 */
int hr_check_invariants(void)
{
	long long deadline = hr_deadline(10);

	while (check_once(false)) {
		if (!hr_poll(deadline))
			return check_once(true);
	}
	return 0;
}

void hr_take_snapshot(struct hr_snapshot *s)
{
	s->pageblocks = hr_pageblocks("HotRemove");
	s->total_kb = hr_meminfo_kb("HotRemoveTotal");
	s->present = hr_zoneinfo(-1, NULL, "present");
	s->managed = hr_zoneinfo(-1, NULL, "managed");
	s->spanned = hr_zoneinfo(-1, NULL, "spanned");
}

int hr_differs(const char *what, long before, long now)
{
	if (before == now)
		return 0;
	diag("%s was %ld, is %ld", what, before, now);
	return 1;
}

int hr_changed(const struct hr_snapshot *before)
{
	struct hr_snapshot now;

	hr_take_snapshot(&now);
	return hr_differs("HotRemove pageblocks", before->pageblocks,
			  now.pageblocks) +
	       hr_differs("HotRemoveTotal", before->total_kb, now.total_kb) +
	       hr_differs("present", before->present, now.present) +
	       hr_differs("managed", before->managed, now.managed) +
	       hr_differs("spanned", before->spanned, now.spanned);
}
