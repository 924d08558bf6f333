// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU's emulator (TCG): how many instructions ran where, between
 * marks that a program in the guest sets (harness/mark.h).
 *
 *	-plugin <path>/insn.so,out=<file>
 *
 * The file gets lines "<id> TAB <address> TAB <instructions>" at exit, an address
 * for each block of code that was translated, 0 for all of user space.
 * harness/profile.sh adds the names of functions. An interval that is entered
 * again adds to what is there.
 *
 * Each translated block adds its length to a counter of its own, inline, with
 * or without marks; a mark copies the counters. A block counts as run when it was
 * entered: what is wrong by that is the rest of one that a fault interrupts. A
 * string instruction with a rep prefix counts once for each time round, as in
 * QEMU's own count. Nothing the guest can see depends on any of this.
 *
 * No header of QEMU is needed, as Debian has none: what is used of it is declared
 * here. QEMU_PLUGIN_API is 1 (QEMU before 9) or 3 (QEMU 9.1 and later).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../mark.h"

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
struct qemu_plugin_scoreboard;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *
qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(
	uint64_t id, void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_cb(
	struct qemu_plugin_insn *insn, void (*cb)(unsigned int cpu, void *data),
	enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_atexit_cb(uint64_t id,
				    void (*cb)(uint64_t id, void *data),
				    void *data);

__attribute__((visibility("default"))) int qemu_plugin_version =
	QEMU_PLUGIN_API;

/* Blocks of code that have a counter of their own; 0 is user space. */
#define SLOTS (1U << 18)
#define IDS 16

static uint64_t address[SLOTS];
static uint64_t base[SLOTS];
static uint64_t *sum[IDS];
static int current = -1; /* the interval that is being counted */
static unsigned int used;
static FILE *out;

#if QEMU_PLUGIN_API < 3
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb,
					      enum qemu_plugin_op op, void *ptr,
					      uint64_t imm);

static uint64_t counter[SLOTS];

static void make_counters(void)
{
}

static void count(struct qemu_plugin_tb *tb, unsigned int slot)
{
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
						 &counter[slot],
						 qemu_plugin_tb_n_insns(tb));
}

static uint64_t counted(unsigned int slot)
{
	return counter[slot];
}

static void insn_bytes(const struct qemu_plugin_insn *insn, void *bytes)
{
	memcpy(bytes, qemu_plugin_insn_data(insn), MARK_BYTES);
}
#else

struct counter {
	struct qemu_plugin_scoreboard *board;
	size_t offset;
};

size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest,
			     size_t len);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
uint64_t qemu_plugin_u64_sum(struct counter entry);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
	struct qemu_plugin_tb *tb, enum qemu_plugin_op op, struct counter entry,
	uint64_t imm);

static struct qemu_plugin_scoreboard *board;

static struct counter counter(unsigned int slot)
{
	return (struct counter){ board, slot * sizeof(uint64_t) };
}

static void make_counters(void)
{
	board = qemu_plugin_scoreboard_new(SLOTS * sizeof(uint64_t));
}

static void count(struct qemu_plugin_tb *tb, unsigned int slot)
{
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
		tb, QEMU_PLUGIN_INLINE_ADD_U64, counter(slot),
		qemu_plugin_tb_n_insns(tb));
}

static uint64_t counted(unsigned int slot)
{
	return qemu_plugin_u64_sum(counter(slot));
}

static void insn_bytes(const struct qemu_plugin_insn *insn, void *bytes)
{
	qemu_plugin_insn_data(insn, bytes, MARK_BYTES);
}
#endif

/* Blocks are translated more than once: the same address, the same counter. */
static unsigned int find_slot(uint64_t vaddr)
{
	unsigned int slot;

	if (!(vaddr >> 63))
		return 0;
	slot = (vaddr * 0x9e3779b97f4a7c15ULL) >> 46;
	while (address[slot] != vaddr) {
		if (slot && !address[slot]) {
			if (used == SLOTS / 2) {
				fprintf(stderr, "insn: too much code\n");
				exit(1);
			}
			used++;
			address[slot] = vaddr;
			break;
		}
		slot = (slot + 1) % SLOTS;
	}
	return slot;
}

static void end(void)
{
	unsigned int i;

	if (current < 0)
		return;
	for (i = 0; i < SLOTS; i++)
		if (!i || address[i])
			sum[current][i] += counted(i) - base[i];
	current = -1;
}

static void mark(unsigned int cpu, void *data)
{
	int id = (intptr_t)data;
	unsigned int i;

	(void)cpu;
	end();
	if (id == MARK_END)
		return;
	if (!sum[id])
		sum[id] = calloc(SLOTS, sizeof(*sum[id]));
	if (!sum[id])
		return;
	for (i = 0; i < SLOTS; i++)
		base[i] = !i || address[i] ? counted(i) : 0;
	current = id;
}

static void translate(uint64_t plugin, struct qemu_plugin_tb *tb)
{
	static const unsigned char magic[] = { MARK_MAGIC };
	size_t nr = qemu_plugin_tb_n_insns(tb), i;
	unsigned char bytes[MARK_BYTES];
	struct qemu_plugin_insn *insn;
	intptr_t id;

	(void)plugin;
	count(tb, find_slot(qemu_plugin_tb_vaddr(tb)));
	for (i = 0; i < nr; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		if (qemu_plugin_insn_size(insn) != MARK_BYTES)
			continue;
		insn_bytes(insn, bytes);
		id = bytes[MARK_BYTES - 1];
		if (memcmp(bytes, magic, sizeof(magic)) ||
		    (id != MARK_END && id >= IDS))
			continue;
		qemu_plugin_register_vcpu_insn_exec_cb(
			insn, mark, QEMU_PLUGIN_CB_NO_REGS, (void *)id);
	}
}

static void say(uint64_t plugin, void *data)
{
	unsigned int id, i;

	(void)plugin;
	(void)data;
	end();
	for (id = 0; id < IDS; id++)
		for (i = 0; sum[id] && i < SLOTS; i++)
			if (sum[id][i])
				fprintf(out,
					"%u\t%016" PRIx64 "\t%" PRIu64 "\n", id,
					address[i], sum[id][i]);
	fclose(out);
}

__attribute__((visibility("default"))) int
qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc,
		    char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "insn: out=<file> is needed\n");
		return -1;
	}
	out = fopen(argv[0] + 4, "w");
	if (!out) {
		perror(argv[0] + 4);
		return -1;
	}
	make_counters();
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, say, NULL);
	return 0;
}
