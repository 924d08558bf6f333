/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the hotremove selftests share: memory blocks, counters, page flags,
 * the guest's own hypervisor (QMP), and the invariants checked after each test.
 *
 * Units are in the names: _bytes, _kb, _pages, _mib; pfn is a page frame
 * number; block is the N of memoryN. Functions return 0 or a count on success
 * and -errno on failure unless they say otherwise; none of them exits.
 */
#ifndef HR_H
#define HR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a page, which are 4, 16 or 64 KiB on arm64. */
extern unsigned long hr_page_bytes;

#define PAGE hr_page_bytes
#define PAGE_MOST (64UL << 10)
#define PAGE_KIB (PAGE / 1024)
#define MIB_PAGES ((long)((1UL << 20) / PAGE))
/* Of the largest free piece that the kernel has lists of. */
unsigned int hr_max_order(void);
/* Whether a huge page of hugetlb has 2 MiB if nobody says how much. */
bool hr_small_huge_pages(void);

#define HR_SYS_MEMORY "/sys/devices/system/memory"

/* Does this kernel have MIGRATE_HOTREMOVE? Tests SKIP with this reason. */
bool hr_supported(void);
#define HR_SKIP_REASON "needs CONFIG_MIGRATE_HOTREMOVE"

/* Is this word, or this option of a word, on the kernel's command line? */
bool hr_booted_with(const char *word);

/* ---- memory blocks -------------------------------------------------- */

unsigned long hr_block_bytes(void);
unsigned long hr_block_pages(void);
unsigned long hr_block_pfn(int block); /* first pfn of memoryN */

/* One attribute of one block; a trailing newline is cut. */
int hr_block_read(int block, const char *attr, char *buf, size_t len);
/* One write(2) of exactly val; the errno of that write, negative. */
int hr_block_write(int block, const char *attr, const char *val);
bool hr_block_is(int block, const char *attr, const char *want);
/* The node of a block, -1 if unknown. */
int hr_block_node(int block);
/* Offline with a bound: SIGALRM after seconds makes the kernel say -EINTR. */
int hr_block_offline(int block, unsigned int seconds);
/* The same with a first signal after usec, to stop an offline half-way. */
int hr_block_offline_usec(int block, unsigned long usec);

/*
 * Blocks above boot memory that are offline now (DIMMs present at boot, or
 * plugged by hr_plug_mib()), ascending. Returns how many were stored.
 */
int hr_offline_blocks(int *blocks, int max);
/* All blocks in a state ("online", "offline"), boot memory included. */
int hr_blocks_in_state(const char *state, int *blocks, int max);

/*
 * Find at least want offline blocks, growing virtio-mem vm0 if the DIMMs are
 * not enough; max may be more. Returns how many, less than want if there is no
 * more. hr_return_blocks() offlines those the test left online and takes vm0
 * back to the size it had: for FIXTURE_TEARDOWN, harmless without a take.
 */
int hr_take_blocks(int *blocks, int want, int max);
int hr_return_blocks(void);
/* What n removals without a failure prove with 95 % confidence, of 1. */
double hr_success_bound(long n);

/*
 * Keep what sysfs remembers of all memory blocks where it is now, in ordinary
 * memory. Were it reclaimed when memory is short and needed again then, it would be
 * in memory that the kernel is lent, and keep that from being given back: to
 * write to a file needs all of its path. Harmless twice; ended by false.
 */
void hr_hold_blocks(bool hold);

/* ---- time ------------------------------------------------------------ */

/*
 * Every wait has a bound, HR_TIMEOUT_MUL times as long on slow machines:
 *	deadline = hr_deadline(10);
 *	while (!condition && hr_poll(deadline))
 *		;
 * hr_poll() pauses a little, or returns false when the deadline has passed.
 */
long long hr_deadline(unsigned int seconds);
bool hr_poll(long long deadline);

/*
 * Where there is less than an hour for all (HR_SHORT=1, in CI): what is repeated for
 * a rate is repeated less often, and what another guest does in much the same way is
 * left to that one.
 */
bool hr_short(void);

/*
 * Is this a kernel with debugging options? How much CPU time or memory something
 * takes says nothing then: KASAN keeps freed memory for a while.
 */
bool hr_debug_kernel(void);

/* ---- text files ------------------------------------------------------ */

/* Note why something failed, with the text of err; returns err. */
int __attribute__((format(printf, 4, 5)))
hr_fail(char *why, size_t len, int err, const char *fmt, ...);

int hr_read_file(const char *path, char *buf, size_t len); /* bytes read */
int hr_write_file(const char *path, const char *val);
/* Lines of the kernel's log that have this in them. */
int hr_log_lines(const char *text);
/* "name N" in /proc/vmstat, "Name: N kB" in /proc/meminfo; -ENOENT if absent. */
long hr_vmstat(const char *name);
long hr_meminfo_kb(const char *name);
/* Sum of a per-zone statistic over one node (-1: all) and zone (NULL: all). */
long hr_zoneinfo(int node, const char *zone, const char *name);
/* Pageblocks of a type ("HotRemove", "Isolate"), all zones, by pagetypeinfo. */
long hr_pageblocks(const char *type);

/* ---- pages ------------------------------------------------------------ */

/* /proc/kpageflags and /proc/kpagecount over [pfn, pfn + nr). */
int hr_kpageflags(unsigned long pfn, unsigned long nr, uint64_t *flags);
int hr_kpagecount(unsigned long pfn, unsigned long nr, uint64_t *count);
/* Page frame behind a virtual address of this process, 0 if none. */
unsigned long hr_virt_to_pfn(const void *addr);
/* The same of all pages of [addr, addr + bytes). */
int hr_virt_to_pfns(const void *addr, size_t bytes, uint64_t *pfns);
bool hr_pfn_in_block(unsigned long pfn, int block);
/* Pages of [addr, addr + bytes) that are in memory and lie in block. */
long hr_pages_in_block(const void *addr, size_t bytes, int block);
/*
 * Touch private anonymous memory until a quarter of `bytes` in a row lies in
 * block (the kernel may spread it over ordinary pageblocks as well), trying as
 * much as is available, and let go of all but those; advice is for madvise(2).
 * NULL if the block is never reached. The caller unmaps.
 */
void *hr_anon_in_block(int block, size_t bytes, int advice);
/* Anonymous memory of single pages, filled (hr_fill()), or NULL. */
void *hr_small_pages(size_t bytes);
/* Fill memory so that each word tells where it belongs; bytes that do not. */
void hr_fill(void *mem, size_t bytes);
size_t hr_wrong_bytes(const void *mem, size_t bytes);
/*
 * GFP mask an allocated page was requested with, from page_owner (boot with
 * page_owner=on); -ENOENT: free or not the first page, -EOPNOTSUPP: no page_owner.
 */
long hr_page_owner_gfp(unsigned long pfn);

/*
 * Pages in a block that removal could not move: not free, not on or bound for
 * an LRU list, not movable-ops, not offline, not a migratable huge page.
 * Prints the first few to the TAP stream as diagnostics. Returns the count.
 */
long hr_unmovable_pages(int block);

/* ---- the hypervisor, by QMP ------------------------------------------- */

bool hr_qmp_available(void);
/* One command (JSON text, QEMU takes '' for "") and its reply, which may be NULL. */
int hr_qmp(const char *command, char *reply, size_t len);
/* A number among the properties of device `id`; -EIO if there is no such device. */
long long hr_qom_get(const char *id, const char *property);
/* Resize virtio-mem `id` and wait until size == requested or seconds passed. */
int hr_vmem_resize(const char *id, unsigned long mib, unsigned int seconds);
long hr_vmem_size_mib(const char *id);
long hr_vmem_requested_mib(const char *id);

/* ---- file systems and swap ---------------------------------------------- */

/*
 * A file system mounted nowhere: goes with the last process that has it. One
 * parameter, unless key is NULL. A descriptor or -errno.
 */
int hr_mount_detached(const char *type, const char *key, const char *value);
/* mke2fs with blocks of 4 KiB and these words, the last of them NULL. */
int hr_mke2fs(const char *const *words);

/* A zram device of its own of that size: its number or -errno; and as swap. */
int hr_zram_add(size_t bytes);
int hr_zram_swapon(size_t bytes);
void hr_zram_swapoff(int zram);

/* ---- released memory ----------------------------------------------------- */

/*
 * By the hotremove attributes of all memory blocks that are online: pages that
 * are ordinary memory for now (released), all that are hot-removable, released
 * ones included, and how many blocks are "partial".
 */
long hr_released_pages(long *all, int *partial);

/* ---- invariants ------------------------------------------------------- */

/*
 * evidence: counters agree with the free lists of every zone and type, no
 * pageblock or page is left isolated, spans, present and managed pages are sane, and
 * zones, nodes and memory blocks agree on what is released. hr_harness.h has it
 * looked at after each test.
 * Prints each violation as a diagnostic. Returns the number of violations.
 */
int hr_check_invariants(void);

/* What an operation that fails must leave as it was. */
struct hr_snapshot {
	long pageblocks, total_kb, present, managed, spanned;
};

void hr_take_snapshot(struct hr_snapshot *s);
/* Say what is different, if it is. Return the number of differences. */
int hr_differs(const char *what, long before, long now);
int hr_changed(const struct hr_snapshot *before);

/* Poisoned pages (CONFIG_HWPOISON_INJECT), and what makes them so. */
#define UNPOISON "/sys/kernel/debug/hwpoison/unpoison-pfn"
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#define SOFT_OFFLINE "/sys/devices/system/memory/soft_offline_page"

/*
 * Whether there are these files, and page_owner is off: it counts a page as freed when
 * it fails, and when it comes back.
 */
bool hr_can_poison(void);
/* Of that many pages from pfn on. How many were, or a negative errno. */
long hr_unpoison(unsigned long pfn, unsigned long nr);

#endif /* HR_H */
