/* SPDX-License-Identifier: GPL-2.0 */
/* What bench-removal.c has for other scenarios that take memory offline. */
#ifndef BENCH_REMOVAL_H
#define BENCH_REMOVAL_H

#include <stdbool.h>
#include <stddef.h>

struct cost {
	long long ns; /* from beginning to end */
	long long cpu_ns; /* of the caller */
	long long idle_ns; /* of the first CPU */
};

void cost_begin(struct cost *c);
void cost_end(struct cost *c);
/* With one CPU: what it did not spend idle, whoever used it. */
long long busy_ns(const struct cost *c);
/* Sorts them. */
long long median(long long *values, int nr);

struct removal {
	int err;
	long moved; /* pages, by whomever */
	long long begin_ns, end_ns;
	struct cost cost;
};

/* Or die. */
void remove_block(int block, struct removal *r);
void add_block(int block, struct cost *c);
int last_block(void);
/* Pages. */
long block_part(long pct);

/* User memory that lies in a block. */
struct fill {
	unsigned char *mem;
	size_t pages; /* of address space */
	bool *kept; /* of these */
	long nr;
	int fd; /* tmpfs */
};

/*
 * So many pages in one block, whichever has as many first: of `in`, whose index it
 * returns. Where there is much memory nobody need touch all of it.
 */
int fill_one(struct fill *f, const int *in, int nr, long each);
bool fill_intact(struct fill *f);
void fill_free(struct fill *f);

#endif /* BENCH_REMOVAL_H */
