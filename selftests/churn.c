// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "churn.h"

#define MIB (1UL << 20)
/* Static, and in each guest. */
#define BUSYBOX "/bin/busybox"

void churn_memory(void)
{
	const size_t len = 24 * MIB, hole = 64 * 1024;
	unsigned char *mem;
	unsigned int i;

	/* By the seed of who started us. */
	for (i = rand();; i++) {
		mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (mem == MAP_FAILED)
			_exit(1);
		madvise(mem + i % 256 * hole, hole, MADV_DONTNEED);
		munmap(mem, len);
	}
}

/* Without a name: nothing is left of it when this is killed. */
static void write_file(void)
{
	static const char data[64 * 1024];
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	if (write(fd, data, sizeof(data)) == sizeof(data))
		fsync(fd);
	close(fd);
}

void churn_tasks(void)
{
	unsigned char *mem = malloc(2 * MIB);
	unsigned int i;
	pid_t pid;

	for (i = 0;; i++) {
		pid = fork();
		if (!pid) {
			memset(mem, 1, 2 * MIB);
			if (!(i % 16))
				write_file();
			if (i % 2)
				execl(BUSYBOX, "true", NULL);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			_exit(1);
	}
}

pid_t churn_start(void (*churn)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	nice(19);
	churn();
	_exit(1);
}

bool churn_end(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}
