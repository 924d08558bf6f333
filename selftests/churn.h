/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Somebody else at work meanwhile, of whom nothing is checked but that they still
 * are: see load.h for memory with a content.
 */
#ifndef HR_CHURN_H
#define HR_CHURN_H

#include <stdbool.h>
#include <sys/types.h>

/* Pages of all ages, some of them in huge pages. */
void churn_memory(void);
/*
 * Short lives: page tables, stacks, copies on write. Each other one becomes another
 * program, and one of 16 writes a file with fsync(2), to /tmp: in the guests that is
 * tmpfs, where there is nothing to wait for. No disk is mounted where this runs, and
 * what a ram disk has would stay in memory that tests want to have back.
 */
void churn_tasks(void);

/* In a process of low priority that ends with this one. */
pid_t churn_start(void (*churn)(void));
/* True if it was still running. */
bool churn_end(pid_t pid);

#endif /* HR_CHURN_H */
