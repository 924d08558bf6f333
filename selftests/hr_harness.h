/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kselftest_harness.h, with the invariants looked at after each test, whatever it
 * was, and in this place, and with the time that it took: HR_HARNESS_MAIN instead of
 * TEST_HARNESS_MAIN.
 */
#ifndef HR_HARNESS_H
#define HR_HARNESS_H

#include <time.h>

#include "../kselftest_harness.h"
#include "hr.h"

#define HR_MAX_TESTS 64
/* What the look may take, if it is in vain, on a slow machine. */
#define HR_CHECK_SECONDS 60

typedef void hr_test(struct __test_metadata *t,
		     struct __fixture_variant_metadata *variant);

static struct {
	struct __test_metadata *test;
	hr_test *fn;
} hr_tests[HR_MAX_TESTS];

/* In the process of the test, when that and its teardown are over. */
static void hr_run_and_check(struct __test_metadata *t,
			     struct __fixture_variant_metadata *variant)
{
	time_t begun = time(NULL);
	int i;

	for (i = 0; hr_tests[i].test != t;)
		i++;
	hr_tests[i].fn(t, variant);
	if (t->exit_code != KSFT_SKIP && hr_check_invariants()) {
		ksft_print_msg("the invariants do not hold after %s\n",
			       t->name);
		t->exit_code = KSFT_FAIL;
	}
	ksft_print_msg("%s: %d s\n", t->name, (int)(time(NULL) - begun));
}

static int hr_harness_run(int argc, char **argv)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t;
	int nr = 0;

	for (f = __fixture_list; f; f = f->next) {
		for (t = f->tests; t; t = t->next) {
			if (nr == HR_MAX_TESTS)
				ksft_exit_fail_msg("more than %d tests\n", nr);
			hr_tests[nr].test = t;
			hr_tests[nr++].fn = t->fn;
			t->fn = hr_run_and_check;
			t->timeout += HR_CHECK_SECONDS;
		}
	}
	return test_harness_run(argc, argv);
}

#define HR_HARNESS_MAIN                            \
	int main(int argc, char **argv)            \
	{                                          \
		return hr_harness_run(argc, argv); \
	}

#endif /* HR_HARNESS_H */
