/* SPDX-License-Identifier: GPL-2.0 */
/* How the programs in the guest of make demo and make bench report. */
#ifndef REPORT_H
#define REPORT_H

/* A line "RESULT <key> <value>", for the scripts on the host. */
void __attribute__((format(printf, 2, 3)))
result(const char *key, const char *fmt, ...);
/* Say what failed and exit; err is negative. */
void __attribute__((format(printf, 2, 3), noreturn))
die(int err, const char *fmt, ...);

#endif /* REPORT_H */
