/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a kind of load is made of: for load.c and load_rivals.c only.
 *
 * setup() runs in the caller, all else in the worker, which is a child of it. Each
 * of them says why it failed with fail(); a churn() that finds what it must not
 * find says so with wrong().
 */
#ifndef HR_LOAD_TYPE_H
#define HR_LOAD_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hr.h"
#include "load.h"

#define THP (2UL << 20)
#define MIB (1UL << 20)

/* Files are written and rewritten in chunks; also the size of the buffers. */
#define CHUNK (64UL << 10)

/*
 * Filling or checking 512 MiB takes about 10 s in a guest without hardware
 * acceleration on a busy host; ten times that is a hang.
 */
#define WORKER_SECONDS 100

/* What caller, worker and the worker's children all see. */
struct load_shared {
	unsigned long rounds;
	long corrupt; /* found by the worker's children */
	char why[120];
};

struct load_type {
	const char *name;
	const char *what;
	const char *needs;
	int (*setup)(struct load *l);
	int (*fill)(struct load *l);
	void (*churn)(struct load *l); /* a fraction of a second; may be NULL */
	long (*check)(struct load *l); /* corrupt bytes */
};

/* Anonymous memory, and something else at work meanwhile; the last has no name. */
extern const struct load_type load_rivals[];

#define fail(l, err, ...) \
	hr_fail((l)->shared->why, sizeof((l)->shared->why), err, __VA_ARGS__)
#define wrong(l, err, ...)                \
	((void)fail(l, err, __VA_ARGS__), \
	 (void)__atomic_add_fetch(&(l)->shared->corrupt, 1, __ATOMIC_RELAXED))

/* Bytes for position pos of the memory or file with that seed, and how many are not. */
void pattern_fill(void *mem, size_t len, uint64_t seed, uint64_t pos);
long pattern_check(const void *mem, size_t len, uint64_t seed, uint64_t pos);

/* A child that does not outlive its parent. */
pid_t spawn(void);
/* All children gone; one that failed or was killed (by OOM) counts as corrupt. */
void reap(struct load *l);
bool told_to_stop(const struct load *l, int wait_ms);
/* Which of so many parts it is the turn of. */
unsigned int turn(const struct load *l, unsigned int parts);
/* "Name:  N kB" of a file in /proc/self. */
long self_kb(const char *file, const char *name);

struct knob {
	const char *file, *val;
};

/* Written now, and back as they were when the load ends; at most LOAD_KNOBS. */
int set_knobs(struct load *l, const struct knob *knobs, int nr);

/* l->mem of l->bytes, empty or with the pattern, and its check. */
int map_anon(struct load *l, int advice);
int fill_anon(struct load *l);
long check_mem(struct load *l);
/* One eighth to swap, the opposite eighth back. */
void churn_swap(struct load *l);

/* A file of l->bytes in ext4 on a loop device. */
int setup_ext4(struct load *l);
int open_file(struct load *l, int flags);
int fill_file(struct load *l);
int fill_clean(struct load *l);
int write_chunk(struct load *l, int fd, size_t chunk);
long check_chunk(struct load *l, int fd, size_t chunk);
long check_file(struct load *l);

#endif /* HR_LOAD_TYPE_H */
