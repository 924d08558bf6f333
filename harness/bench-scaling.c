// SPDX-License-Identifier: GPL-2.0
/*
 * The scenario of `make bench` that asks what the amount of memory which came
 * online does to operations that are about a part of it: one block, one page, or
 * none. Its rows differ in that amount only, and the table has the exponents.
 *
 * Nothing here touches all of it, so that 64 GiB can be had from a host with few:
 * with memory_hotplug.memmap_on_memory=1 a guest needs a GiB for their memory map.
 *
 * With one CPU, instructions are those of everybody, half of the virtual ns that
 * were not spent idle (qemu-configs/icount.args); what ends with _us is all the time
 * that went by. Where time is not virtual, that is what there is to look at.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench-removal.h"
#include "bench.h"
#include "hr.h"
#include "pressure.h"
#include "report.h"

#define MIN_FREE "/proc/sys/vm/min_free_kbytes"

#define DEFAULT_ROUNDS 9
#define MAX_ROUNDS 99

/* No block is all free: its memory map may be in it, and others have lists. */
#define FULL_PCT 95

/* Kernel memory that is not to come so near that somebody is evacuated for it. */
#define MARGIN_MIB 64

/* The same operation some times over. */
struct costs {
	long long busy[MAX_ROUNDS], elapsed[MAX_ROUNDS];
	int nr;
};

static void add_cost(struct costs *all, const struct cost *c)
{
	all->busy[all->nr] = busy_ns(c);
	all->elapsed[all->nr++] = c->ns;
}

/* The median, of what each operation does so many times. */
static void result_costs(const char *name, struct costs *all, long times)
{
	char key[64];

	snprintf(key, sizeof(key), "%s_insn", name);
	result(key, "%.1f", median(all->busy, all->nr) / 2.0 / times);
	snprintf(key, sizeof(key), "%s_us", name);
	result(key, "%.3f", median(all->elapsed, all->nr) / 1e3 / times);
}

static void result_cost(const char *name, const struct cost *c, long times)
{
	struct costs one = {};

	add_cost(&one, c);
	result_costs(name, &one, times);
}

/* The last block: the zone ends with it, and begins as far away as it can. */
static void one_block(int rounds)
{
	static struct costs off, on;
	int victim = last_block(), i;
	struct removal r;
	struct cost c;
	long moved = 0;

	for (i = 0; i < rounds; i++) {
		remove_block(victim, &r);
		add_cost(&off, &r.cost);
		moved += r.moved;
		add_block(victim, &c);
		add_cost(&on, &c);
	}
	result("empty_moved", "%ld", moved);
	result_costs("online", &on, 1);
	result_costs("empty", &off, 1);
}

/*
 * What was given back is on per-cpu lists, which hold the more the larger the zone is:
 * a GiB of 64. Who takes memory of the zone offline drains them, and this is to be
 * somebody else than who is measured next.
 */
static void drain_lists(void)
{
	struct removal r;
	struct cost c;

	remove_block(last_block(), &r);
	add_block(last_block(), &c);
}

/*
 * Where the memory map is in the block, there is one free page of 2 MiB beside those of
 * 4 MiB, and these are taken first: one of each block, before one is full.
 */
static void full_block(void)
{
	struct removal r;
	struct fill f;
	struct cost c;
	int which;

	which = fill_one(&f, blocks, nr_blocks, block_part(FULL_PCT));
	drain_lists();
	remove_block(blocks[which], &r);
	/* How far from the beginning, as what follows may depend on that. */
	result("full_block", "%d", which);
	result("full_moved", "%ld", r.moved);
	result_cost("full", &r.cost, 1);
	if (r.moved)
		result_cost("full_page", &r.cost, r.moved);
	result("full_intact", "%s", fill_intact(&f) ? "yes" : "NO");
	fill_free(&f);
	add_block(blocks[which], &c);
	drain_lists();
}

/* What there was is written again, so that nothing changes. */
static void watermarks(int rounds)
{
	static struct costs all;
	char value[32] = "";
	struct cost c;
	int fd, len, i;

	len = hr_read_file(MIN_FREE, value, sizeof(value));
	fd = open(MIN_FREE, O_WRONLY | O_CLOEXEC);
	if (len <= 0 || fd < 0)
		die(-errno, MIN_FREE);
	for (i = 0; i < rounds; i++) {
		cost_begin(&c);
		if (pwrite(fd, value, len, 0) != len)
			die(-errno, "write " MIN_FREE);
		cost_end(&c);
		add_cost(&all, &c);
	}
	close(fd);
	result_costs("watermarks", &all, 1);
	result("high_kb", "%ld", pressure_watermark_pages("high") * 4);
}

/* To so many KiB in all: 1 if it was killed on the way. */
static int grow(struct pressure *p, unsigned long kib, struct cost *c)
{
	int ret;

	cost_begin(c);
	ret = pressure_grow(p, kib, 0, 600);
	cost_end(c);
	if (ret < 0 || ret > 1)
		die(ret, "grow (%s)", pressure_why(p));
	return ret;
}

/*
 * Kernel memory, grow= MiB more than there is free ordinary memory. What it takes by
 * itself is known from what was had before.
 */
static void evacuation(void)
{
	struct pressure_counters from, to, d;
	struct cost alone, with;
	struct pressure grower;
	long room, spare_kib;
	int killed;

	if (!opt.grow)
		return;
	must(pressure_unmovable(&grower, NULL), &grower, "start to grow");
	pressure_counters(&from);
	room = from.v[PC_FREE_ORDINARY] - pressure_watermark_pages("high");
	spare_kib = (room - MARGIN_MIB * MIB_PAGES) * PAGE_KIB;
	if (spare_kib <= 0)
		die(-ENOMEM, "%ld pages of ordinary memory", room);
	if (grow(&grower, spare_kib, &alone))
		die(-ENOMEM, "killed for %ld KiB", spare_kib);
	pressure_counters(&to);
	pressure_delta(&from, &to, &d);
	result_count("evacuated_before", d.v[PC_EVACUATE_MIGRATED]);
	killed = grow(&grower, room * PAGE_KIB + opt.grow * MIB_KIB, &with);
	pressure_counters(&to);
	pressure_delta(&from, &to, &d);
	result("room_mib", "%ld", room / MIB_PAGES);
	result("killed", "%s", killed ? "yes" : "no");
	result_count("reclaimed", d.v[PC_PGSTEAL]);
	result_count("evacuated", d.v[PC_EVACUATE_MIGRATED]);
	if (!killed && d.v[PC_EVACUATE_MIGRATED] > 0) {
		double more = (double)(pressure_done(&grower) - spare_kib) /
			      spare_kib;
		long pages = d.v[PC_EVACUATE_MIGRATED];

		result("evacuate_page_insn", "%.1f",
		       (busy_ns(&with) - busy_ns(&alone) * more) / 2 / pages);
		result("evacuate_page_us", "%.3f",
		       (with.ns - alone.ns * more) / 1e3 / pages);
	} else {
		result("evacuate_page_insn", "-");
		result("evacuate_page_us", "-");
	}
	pressure_stop(&grower);
}

/*
 * Block by block, the last one first, and online again. What is in one that is not
 * empty (of this program, for example) is not what the others are asked about.
 */
static void all_blocks(void)
{
	struct cost all = {}, c;
	struct removal r;
	int i, empty = 0;

	for (i = nr_blocks - 1; i >= 0; i--) {
		remove_block(blocks[i], &r);
		if (r.moved)
			continue;
		all.ns += r.cost.ns;
		all.idle_ns += r.cost.idle_ns;
		empty++;
	}
	result("all_empty", "%d", empty);
	if (empty)
		result_cost("all_removed", &all, empty);
	for (i = 0; i < nr_blocks; i++)
		add_block(blocks[i], &c);
}

void run_scaling(void)
{
	int rounds = opt.rounds ? opt.rounds : DEFAULT_ROUNDS;
	struct pressure_counters now;
	double paths[HOT_NR];
	struct cost c;

	if (rounds < 1 || rounds > MAX_ROUNDS)
		die(-EINVAL, "rounds=%d", rounds);
	/* Before there is anything else: in ordinary memory. */
	hold();
	cost_begin(&c);
	online();
	cost_end(&c);
	result("blocks", "%d", nr_blocks);
	result("block_mib", "%lu", hr_block_bytes() >> 20);
	pressure_counters(&now);
	result("ordinary_free_mib", "%lld", now.v[PC_FREE_ORDINARY] / 256);
	result_cost("all_online", &c, nr_blocks);
	measure_hot_paths("online", paths);
	one_block(rounds);
	full_block();
	all_blocks();
	watermarks(rounds);
	evacuation();
	check_and_stop();
}
