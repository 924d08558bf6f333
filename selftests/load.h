/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Workloads to remove memory from under: user memory of every kind that
 * hot-removable memory may hold, in use while it moves, checked to the byte.
 *
 * A load is a child process (some fork more). It fills its memory with a
 * pattern made from a seed and the position, keeps using it until it is told
 * to stop, and then compares every byte.
 */
#ifndef HR_LOAD_H
#define HR_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The most sysctl-like files one load sets. */
#define LOAD_KNOBS 6

struct load_type;
struct load_shared;

struct load {
	const struct load_type *type;
	size_t bytes;
	uint64_t seed;
	struct load_shared *shared;
	pid_t pid;
	int from_worker; /* one long when filled, one after the check */
	int to_worker; /* one byte: stop */
	int stop; /* the end of to_worker that the worker polls */
	char dir[32]; /* mount point of the file loads, else empty */
	char file[48];
	int zram; /* number of our zram device, -1: none */
	struct {
		const char *file;
		char val[16];
	} saved[LOAD_KNOBS]; /* what to restore, last first */
	/* Only the worker's copies of these mean anything. */
	unsigned char *mem;
	uint64_t *generation; /* how often each chunk of a file was rewritten */
};

/* The i-th load: its name, or NULL behind the last one. */
const char *load_name(unsigned int i);
/* One line saying what a load is; the config symbol it needs. */
const char *load_what(const char *name);
const char *load_needs(const char *name);

/*
 * Start a load and wait until its memory is filled. -EOPNOTSUPP: the kernel
 * lacks load_needs(). After an error nothing is left to stop.
 */
int load_start(struct load *l, const char *name, size_t mib, uint64_t seed);
/* Why the last call with this load failed, for a diagnostic. */
const char *load_why(const struct load *l);
/* Work done since the start, in units of the load: it must keep growing. */
unsigned long load_rounds(const struct load *l);
/* Is there any to be done, other than to be there? */
bool load_works(const struct load *l);
/* Stop and check: number of corrupt bytes, or -errno if it did not come to that. */
long load_stop(struct load *l);
/* Kill and clean up without a check. Harmless after load_stop(). */
void load_abort(struct load *l);

#endif /* HR_LOAD_H */
