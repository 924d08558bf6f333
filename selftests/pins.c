// SPDX-License-Identifier: GPL-2.0
/*
 * This test will show that a long-term pin never keeps a page in a
 * hot-removable block: the page moves out first, then it is pinned.
 *
 * Why: a pinned page cannot be migrated, and a long-term pin (RDMA, VFIO,
 * io_uring fixed buffers) ends when its owner likes. One would be enough to
 * make the block stay.
 *
 *   user memory in the block   pin()                    offline
 *   HR     [uuuu....]          [........]               (gone)
 *   else   [........]          [pppp....]               [pppp....]  same frames
 *
 * by pin_user_pages() and pin_user_pages_fast() through gup_test, for reading
 * and writing, small pages and huge ones, by io_uring, and with a removal of
 * the block under way at the moment of the pin.
 *
 * A short-term pin (direct I/O) goes away by itself and must not cost a
 * migration: there the pages have to stay.
 *
 * Seen failing with the hunk of folio_is_longterm_pinnable() in "mm:
 * give hot-removable pages only to requests that may use ZONE_MOVABLE" undone
 * (6.12.117): all 2048 pages were pinned in the block, which did not go offline.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hr_harness.h"
#include "../../../../mm/gup_test.h"
#include "hr.h"

#define MIB (1UL << 20)
#define BYTES (8 * MIB)
/* Each round hits the removal at another point, see lose_time(). */
#define RACES 12

FIXTURE(pins)
{
	int block;
	int fd; /* of gup_test or of a ring */
	unsigned char *mem;
};

FIXTURE_VARIANT(pins)
{
	bool uring;
	int flags; /* PIN_LONGTERM_TEST_FLAG_* */
	int advice;
};

/* clang-format off */
#define PINNING(name, ...) FIXTURE_VARIANT_ADD(pins, name) { __VA_ARGS__ }
PINNING(slow, .flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE, .advice = MADV_NOHUGEPAGE);
PINNING(slow_read, .flags = 0, .advice = MADV_NOHUGEPAGE);
PINNING(slow_thp, .flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE, .advice = MADV_HUGEPAGE);
PINNING(fast, .flags = PIN_LONGTERM_TEST_FLAG_USE_FAST | PIN_LONGTERM_TEST_FLAG_USE_WRITE,
	.advice = MADV_NOHUGEPAGE);
PINNING(fast_read, .flags = PIN_LONGTERM_TEST_FLAG_USE_FAST, .advice = MADV_NOHUGEPAGE);
PINNING(fast_thp, .flags = PIN_LONGTERM_TEST_FLAG_USE_FAST | PIN_LONGTERM_TEST_FLAG_USE_WRITE,
	.advice = MADV_HUGEPAGE);
PINNING(uring, .uring = true, .advice = MADV_NOHUGEPAGE);
PINNING(uring_thp, .uring = true, .advice = MADV_HUGEPAGE);
/* clang-format on */

static int open_pinner(bool uring)
{
	struct io_uring_params params = { 0 };

	return uring ? (int)syscall(SYS_io_uring_setup, 4, &params) :
		       open("/sys/kernel/debug/gup_test", O_RDWR);
}

/* Long-term, until unpin(). */
static int pin(FIXTURE_DATA(pins) * self, const FIXTURE_VARIANT(pins) * variant)
{
	struct pin_longterm_test gup = {
		.addr = (uintptr_t)self->mem,
		.size = BYTES,
		.flags = variant->flags,
	};
	struct iovec buffer = { self->mem, BYTES };
	int ret;

	if (variant->uring)
		ret = syscall(SYS_io_uring_register, self->fd,
			      IORING_REGISTER_BUFFERS, &buffer, 1);
	else
		ret = ioctl(self->fd, PIN_LONGTERM_TEST_START, &gup);
	return ret < 0 ? -errno : ret;
}

static int unpin(FIXTURE_DATA(pins) * self,
		 const FIXTURE_VARIANT(pins) * variant)
{
	if (variant->uring)
		return syscall(SYS_io_uring_register, self->fd,
			       IORING_UNREGISTER_BUFFERS, NULL, 0);
	return ioctl(self->fd, PIN_LONGTERM_TEST_STOP);
}

static int pin_and_release(FIXTURE_DATA(pins) * self, unsigned int cmd)
{
	struct gup_test gup = {
		.addr = (uintptr_t)self->mem,
		.size = BYTES,
		.nr_pages_per_call = BYTES / sysconf(_SC_PAGESIZE),
		.gup_flags = 1, /* FOLL_WRITE */
	};

	return ioctl(self->fd, cmd, &gup) ? -errno :
	       gup.size == BYTES	  ? 0 :
					    -EIO;
}

/* User memory with a pattern, inside the block. */
static bool fill(FIXTURE_DATA(pins) * self,
		 const FIXTURE_VARIANT(pins) * variant)
{
	self->mem = hr_anon_in_block(self->block, BYTES, variant->advice);
	if (self->mem)
		hr_fill(self->mem, BYTES);
	return self->mem;
}

static void drop(FIXTURE_DATA(pins) * self)
{
	if (self->mem)
		munmap(self->mem, BYTES);
	self->mem = NULL;
}

FIXTURE_SETUP(pins)
{
	self->fd = -1;
	if (!hr_supported())
		SKIP(return, HR_SKIP_REASON);
	self->fd = open_pinner(variant->uring);
	if (self->fd < 0)
		SKIP(return, "needs %s",
		     variant->uring ? "CONFIG_IO_URING" : "CONFIG_GUP_TEST");
	if (hr_take_blocks(&self->block, 1, 1) != 1)
		SKIP(return, "needs a memory block to plug");
	ASSERT_EQ(0, hr_block_write(self->block, "state", "online_hotremove"))
	{
		hr_return_blocks();
	}
}

/*
 * The file stays open till exit: when a ring goes, the kernel notifies its
 * process as by a signal, and an offline in that moment would say -EINTR.
 */
FIXTURE_TEARDOWN(pins)
{
	unpin(self, variant);
	drop(self);
	EXPECT_EQ(0, hr_return_blocks());
}

TEST_F_TIMEOUT(pins, pages_leave_the_block_first, 600)
{
	const size_t page = sysconf(_SC_PAGESIZE), nr = BYTES / page;
	unsigned long pfns[nr];
	long inside;

	ASSERT_TRUE(fill(self, variant));
	inside = hr_pages_in_block(self->mem, BYTES, self->block);

	if (!variant->uring) {
		EXPECT_EQ(0, pin_and_release(self, PIN_FAST_BENCHMARK));
		EXPECT_EQ(0, pin_and_release(self, PIN_BASIC_TEST));
		EXPECT_EQ(inside,
			  hr_pages_in_block(self->mem, BYTES, self->block));
	}

	ASSERT_EQ(0, pin(self, variant));
	EXPECT_EQ(0, hr_pages_in_block(self->mem, BYTES, self->block));
	EXPECT_EQ(0, hr_wrong_bytes(self->mem, BYTES));

	/* That they are pinned is seen from their staying where they are. */
	for (size_t i = 0; i < nr; i++)
		pfns[i] = hr_virt_to_pfn(self->mem + i * page);
	EXPECT_EQ(0, hr_block_offline(self->block, 120));
	for (size_t i = 0; i < nr; i++)
		ASSERT_EQ(pfns[i], hr_virt_to_pfn(self->mem + i * page));
	EXPECT_EQ(0, hr_wrong_bytes(self->mem, BYTES));

	/* What the kernel holds is what the process writes after the pin, too. */
	if (!variant->uring) {
		unsigned char *seen = malloc(BYTES);
		uint64_t to = (uintptr_t)seen;

		memset(self->mem, 0x3c, BYTES / 2);
		EXPECT_EQ(0, ioctl(self->fd, PIN_LONGTERM_TEST_READ, &to));
		EXPECT_EQ(0, memcmp(seen, self->mem, BYTES));
		free(seen);
	}
	EXPECT_EQ(0, unpin(self, variant));
}

/* gup_test warns, and so panics our guests, if it could pin a page in the block. */
TEST_F_TIMEOUT(pins, kernel_agrees, 600)
{
	if (variant->uring)
		SKIP(return, "gup_test only");
	ASSERT_TRUE(fill(self, variant));
	EXPECT_EQ(0, pin_and_release(self, PIN_LONGTERM_BENCHMARK));
	EXPECT_EQ(0, hr_pages_in_block(self->mem, BYTES, self->block));
	EXPECT_EQ(0, hr_wrong_bytes(self->mem, BYTES));
}

/* Not a sleep: a different amount of work each time, to hit different places. */
static void lose_time(int round)
{
	for (volatile int i = 0; i < round * round * 4000; i++)
		;
}

/*
 * Migration gives up after ten tries on a page that the removal is holding at
 * the moment, and the pin fails with -ENOMEM and nothing pinned: so it does in
 * ZONE_MOVABLE. If some pages were pinned before without any of that, io_uring lets
 * go of them and says -EFAULT. What counts is that it gets there, and where to.
 */
static int pin_at_last(FIXTURE_DATA(pins) * self,
		       const FIXTURE_VARIANT(pins) * variant)
{
	int err = -ENOMEM;

	for (int tries = 0; (err == -ENOMEM || err == -EFAULT) && tries < 100;
	     tries++)
		err = pin(self, variant);
	return err;
}

/* Every other time the pages are shared with the process that removes them. */
TEST_F_TIMEOUT(pins, removal_under_way, 600)
{
	for (int round = 0; round < RACES; round++) {
		const bool share = round % 2;
		int go[2], status = -1;
		char byte = 0;
		pid_t child;

		ASSERT_EQ(0, pipe(go));
		if (share)
			ASSERT_TRUE(fill(self, variant));
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			close(go[1]);
			if (read(go[0], &byte, 1) != 1)
				_exit(EPIPE);
			_exit(-hr_block_offline(self->block, 120));
		}
		if (!share)
			ASSERT_TRUE(fill(self, variant));
		ASSERT_EQ(1, write(go[1], &byte, 1));
		lose_time(round);
		EXPECT_EQ(0, pin_at_last(self, variant));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		close(go[0]);
		close(go[1]);
		ASSERT_EQ(0, status)
		{
			TH_LOG("round %d: offline: %s", round,
			       strerror(WEXITSTATUS(status)));
		}
		EXPECT_EQ(0, hr_pages_in_block(self->mem, BYTES, self->block));
		EXPECT_EQ(0, hr_wrong_bytes(self->mem, BYTES));
		EXPECT_EQ(0, unpin(self, variant));
		drop(self);
		ASSERT_EQ(0, hr_block_write(self->block, "state",
					    "online_hotremove"));
	}
}

HR_HARNESS_MAIN
