/* SPDX-License-Identifier: GPL-2.0 */
/* What the scenarios of `make bench` share: bench.c, and each bench-*.c. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>

#define KIB_PAGES(kib) ((kib) / 4)

/* MiB unless it says otherwise. */
struct bench_options {
	long plug; /* what is to come online */
	long anon; /* held from before the memory comes online */
	long anon_pct; /* the same, in percent of what is free then */
	long bound; /* held, too, and bound to node 0 */
	long pre; /* kernel memory from before the memory comes online */
	long cache; /* page cache that is read after it */
	long prefer; /* 1: into the node of what is plugged, as far as it fits */
	long grow; /* kernel memory that is the question */
	long thp, mlock, tmpfs, loop; /* 1: holders are so */
	long mglru; /* 1: the other LRU implementation */
	long rounds;
	long busy; /* movable memory that comes and goes */
	long orders; /* with gaps, and somebody asks for pieces meanwhile */
	long order; /* that are of this order, 9 */
	long stay; /* 1: the memory is not unplugged at the end */
	long limit; /* files to make at most, 0: a quarter more than fit */
	long release; /* vm.hotremove_release, where there is one */
	long ballast; /* kernel memory from before the question, too, but after it */
	long swap; /* in zram */
	long bind; /* 1: the grower's policy binds it to node 0 */
	long cpuset; /* 1: grower and bound memory are in one with node 0 only */
	long memcg; /* 1: all in one group without a limit */
	long nofs, noio; /* 1: the grower's requests are such */
	long fit; /* grow by what fits, percent, rather than `grow` or `limit` */
	/* scenarios that remove */
	long pct; /* user memory in the block, or in all memory, percent */
	long hold; /* 1: all that is free is in use by then */
	long seed; /* the first one */
	long aged; /* 1: memory in use has gaps */
	long huge, spare; /* huge pages in use in the block; free ones in all */
	long held; /* pages of what is asked for that somebody holds */
	long inside; /* 1: the bystander's memory is to be moved as well */
};
extern struct bench_options opt;

extern const char *keyword;

#define MAX_BLOCKS 512
extern int blocks[MAX_BLOCKS], nr_blocks; /* those offline at boot */

struct pressure;

long long now_ns(void);
/* Negative is "-": what did not come to pass, or what is not counted. */
void result_count(const char *key, long long count);
/* Die, unless err is 0. */
void must(int err, const struct pressure *p, const char *what);
bool is_cma(void); /* by the keyword */
/* All blocks, as the keyword says. */
void online(void);
/* What the options say is to be held from before that. */
void hold(void);

/* Virtual ns for a page that is touched, let go of, and one of the kernel's. */
enum hot { HOT_FAULT, HOT_UNMAP, HOT_PIPE_PAGE, HOT_NR };
/* Keys have `when` in them; medians go to `median`, which has HOT_NR. */
void measure_hot_paths(const char *when, double *median);

void run_empty(void);
void run_abba(void);
void run_full(void);
void run_use(void);
void run_unplug(void);
void run_tail(void);
void run_pinned(void);
void run_pin_goes(void);
void run_no_memory(void);
void run_cache(void);
void run_hugetlb(void);
void run_victim(void);
void run_many(void);
void run_rate(void);
/* Of the holders: check what they have, and end them. */
void check_and_stop(void);
void hold_cache(void);

long bench_bulk_block(int block, unsigned int order, long *of);
void bench_bulk_free(void);
void run_full_bulk(void);

void run_cma_free(void);
void run_cma_locks(void);
void run_cma_churn(void);
void run_cma_unplug(void);
void run_cma_effort(void);
void run_cma_bulk(void);
void run_cma_balance(void);
void run_area(void);

void run_scaling(void);

#endif /* BENCH_H */
