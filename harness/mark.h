/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks for harness/plugin/insn.c: instructions that do nothing on any CPU, and
 * without the plugin nothing at all.
 */
#ifndef MARK_H
#define MARK_H

/* nopl disp32(%rax,%rax,1), with a displacement that no compiler makes. */
#define MARK_BYTES 8
#define MARK_MAGIC 0x0f, 0x1f, 0x84, 0x00, 0x68, 0x72, 0x6d
#define MARK_END 0xff

/* What is counted from here on counts for `id`, below 16, a constant. */
#define mark_begin(id)                                                  \
	asm volatile(".byte 0x0f, 0x1f, 0x84, 0, 0x68, 0x72, 0x6d, %c0" \
		     :                                                  \
		     : "i"(id)                                          \
		     : "memory")
#define mark_end() mark_begin(MARK_END)

#endif /* MARK_H */
