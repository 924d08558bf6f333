// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the test guest: mount what tests expect, run what the kernel command
 * line asks for, say how it ended on the verdict port, power off.
 *
 *	hr.run=tests=<a,b,...>	kselftests, one run_kselftest.sh each
 *	hr.run=demo:<arg>	/bin/demo <arg>
 *	hr.run=bench:<arg>	/bin/bench <arg>
 *	hr.run=tour:<arg>	/bin/tour <arg>
 *	hr.run=soak:<arg>	/bin/soak <arg>
 *	hr.run=upstream:<arg>	/bin/upstream <arg>
 *	hr.run=dump:<arg>	/bin/dump <arg>
 *	hr.run=kunit		results of the KUnit suites that ran at boot
 *	hr.run=shell		a shell on the console
 *	hr.run=probe		nothing: that this is reached is the answer
 *
 * Each hr.<name>=<value> is also in the environment as HR_<NAME>.
 *
 * Three virtio-serial ports, found by their names: "verdict" (only init writes:
 * "booted", "alive" now and then, "exit N"), "tap" (what is run writes), "qmp"
 * (the guest's own hypervisor). No "exit N" means that the guest was lost.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORTS "/sys/class/virtio-ports"
#define KSELFTEST "/kselftest/run_kselftest.sh"

static int verdict = -1, tap = -1;

/* No verdict is the verdict of a guest that cannot go on: tell the console why. */
static void die(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

static void die(const char *fmt, ...)
{
	int error = errno;
	va_list args;

	fputs("init: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(error));
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void mount_one(const char *type, const char *dir)
{
	if (mkdir(dir, 0755) && errno != EEXIST)
		die("mkdir %s", dir);
	if (mount(type, dir, type, 0, NULL))
		die("mount %s on %s", type, dir);
}

static void mount_all(void)
{
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	mount_one("devtmpfs", "/dev");
	mount_one("debugfs", "/sys/kernel/debug");
	mount_one("tracefs", "/sys/kernel/tracing");
	mount_one("cgroup2", "/sys/fs/cgroup");
	mount_one("tmpfs", "/tmp");
	mount_one("tmpfs", "/run");
	/* For shm_open(3). */
	mount_one("tmpfs", "/dev/shm");
}

static void link_or_die(const char *target, const char *name)
{
	if (symlink(target, name))
		die("link %s to %s", name, target);
}

/* run_kselftest.sh writes to /dev/stdout; shells read /dev/fd. */
static void link_standard_files(void)
{
	link_or_die("/proc/self/fd", "/dev/fd");
	link_or_die("/proc/self/fd/0", "/dev/stdin");
	link_or_die("/proc/self/fd/1", "/dev/stdout");
	link_or_die("/proc/self/fd/2", "/dev/stderr");
}

/* hr.timeout_mul=3 becomes HR_TIMEOUT_MUL=3. */
static void export_cmdline(void)
{
	static char line[4096];
	char *word, *value, *c;
	FILE *f = fopen("/proc/cmdline", "r");

	if (!f || !fgets(line, sizeof(line), f))
		die("read /proc/cmdline");
	fclose(f);

	for (word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
		value = strchr(word, '=');
		if (strncmp(word, "hr.", 3) || !value)
			continue;
		*value++ = '\0';
		for (c = word; *c; c++)
			*c = *c == '.' ? '_' : toupper(*c);
		setenv(word, value, 1);
	}
	setenv("PATH", "/usr/bin:/bin", 1);
	setenv("HOME", "/", 1);
}

/* Link each port under its name; their number and order is the host's affair. */
static int link_ports(void)
{
	char path[PATH_MAX], link[PATH_MAX], name[64];
	struct dirent *entry;
	DIR *dir = opendir(PORTS);
	int found = 0;
	FILE *f;

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), PORTS "/%s/name", entry->d_name);
		f = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (!f)
			continue;
		if (fscanf(f, "%63s", name) == 1) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			snprintf(link, sizeof(link), "/dev/virtio-ports/%s",
				 name);
			if (!symlink(path, link) || errno == EEXIST)
				found++;
		}
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* The host announces ports one by one: wait for the three, at most 10 s. */
static void open_ports(void)
{
	int tries;

	mkdir("/dev/virtio-ports", 0755);
	for (tries = 0; link_ports() < 3; tries++) {
		if (tries == 1000)
			die("fewer than 3 named virtio ports after 10 s");
		usleep(10000);
	}
	verdict = open("/dev/virtio-ports/verdict", O_WRONLY | O_CLOEXEC);
	tap = open("/dev/virtio-ports/tap", O_WRONLY | O_CLOEXEC);
	if (verdict < 0 || tap < 0)
		die("open the verdict and tap ports");
}

static void write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno != EINTR)
			die("write to a virtio port");
		if (n > 0) {
			buf += n;
			len -= n;
		}
	}
}

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *fmt, ...)
{
	char line[64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	write_all(verdict, line, strlen(line));
}

/* The host takes two minutes of silence for a hang. */
static void say_alive(void)
{
	static time_t last;
	time_t now = time(NULL);

	if (now - last >= 5) {
		say("alive\n");
		last = now;
	}
}

/* The console log tells which test a kernel message belongs to. */
static void mark(const char *what)
{
	FILE *f = fopen("/dev/kmsg", "w");

	if (f) {
		fprintf(f, "hotremove: %s\n", what);
		fclose(f);
	}
}

/* Copy what comes within the time to the tap port. False if nothing came. */
static bool pump(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[4096];
	ssize_t n;

	if (poll(&p, 1, timeout_ms) <= 0)
		return false;
	n = read(fd, buf, sizeof(buf));
	if (n > 0)
		write_all(tap, buf, n);
	return n > 0;
}

/* PID 1 reaps everybody, but waits for one. */
static bool ended(pid_t pid, int *status)
{
	pid_t dead;

	do
		dead = waitpid(-1, status, WNOHANG);
	while (dead > 0 && dead != pid);
	return dead == pid;
}

/*
 * Run a command with its output copied to the tap port, which cannot be its
 * stdout: a port opens once, and run_kselftest.sh opens /dev/stdout again.
 * Orphans may hold the pipe open for ever, hence the end is the command's.
 */
static int run(char *const argv[])
{
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork for %s", argv[0]);
	if (!pid) {
		setsid();
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		execv(argv[0], argv);
		fprintf(stderr, "# init: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	while (!ended(pid, &status)) {
		/* A command that closed its stdout is not to be spun on. */
		if (!pump(fds[0], 20))
			usleep(20000);
		say_alive();
	}
	while (pump(fds[0], 0))
		;
	close(fds[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * The shell that runs the tests is no smaller than a test, and without it the guest
 * is lost: let it be killed for want of memory after all others. Tests take this
 * back for themselves.
 */
static void spare_runner(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "w");

	if (!f || fputs("-999", f) < 0 || fclose(f))
		die("oom_score_adj");
}

/*
 * What nobody points to any more, with DEBUG=1: by itself the kernel looks once in
 * ten minutes. It says in its log how many it found, and the log scan takes that for
 * a failure. What is younger than 5 s is not looked at, and what two looks in turn
 * find is no page that somebody was just moving.
 */
static void look_for_leaks(void)
{
	static const char path[] = "/sys/kernel/debug/kmemleak";
	int i, fd;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	for (i = 0; i < 2; i++) {
		time_t end = time(NULL) + 6;

		while (time(NULL) < end) {
			usleep(100000);
			say_alive();
		}
		/* EPERM or EBUSY: it gave up for want of memory, and said so. */
		if (write(fd, "scan", 4) < 0)
			break;
	}
	close(fd);
	mark(i == 2 ? "looked for leaks" : "nobody looked for leaks");
}

/* How much KCSAN has watched, in a kernel that has it (make kcsan), to its log. */
static void say_watched(void)
{
	FILE *f = fopen("/sys/kernel/debug/kcsan", "r");
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strstr(line, "watchpoints") || strstr(line, "races"))
			mark(line);
	}
	if (f)
		fclose(f);
}

/* Its exit status says nothing in 6.12: the host reads the TAP instead. */
static int run_tests(char *list)
{
	char *argv[] = { KSELFTEST, "-t", NULL, "-o", NULL, NULL };
	char name[128], *test;
	int error;

	/* run_kselftest.sh drops all limits in silence without this program. */
	if (access("/usr/bin/timeout", X_OK))
		die("/usr/bin/timeout");
	spare_runner();
	argv[2] = name;
	argv[4] = getenv("HR_TIMEOUT");
	if (!argv[4])
		die("no hr.timeout= on the kernel command line");
	for (test = strtok(list, ","); test; test = strtok(NULL, ",")) {
		snprintf(name, sizeof(name), "hotremove:%s", test);
		mark(name);
		error = run(argv);
		if (error)
			return error;
	}
	mark("end of tests");
	look_for_leaks();
	return 0;
}

static int run_program(char *path, char *arg)
{
	char *argv[] = { path, arg, NULL };

	mark(path);
	return run(argv);
}

static int run_kunit(void)
{
	char *argv[] = { "/usr/bin/kunit-results", NULL };

	return run(argv);
}

/* A shell needs a terminal of its own for job control, hence cttyhack. */
static int run_shell(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		execl("/bin/setsid", "setsid", "cttyhack", "/bin/sh", "-l",
		      NULL);
		_exit(127);
	}
	while (waitpid(-1, &status, 0) != pid)
		;
	return 0;
}

static int run_what(char *what)
{
	static const char *const programs[] = { "demo", "bench",    "tour",
						"soak", "upstream", "dump" };
	char path[32];
	size_t i, len;

	if (!what)
		die("no hr.run= on the kernel command line");
	if (!strncmp(what, "tests=", 6))
		return run_tests(what + 6);
	for (i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		len = strlen(programs[i]);
		if (strncmp(what, programs[i], len) || what[len] != ':')
			continue;
		snprintf(path, sizeof(path), "/bin/%s", programs[i]);
		return run_program(path, what + len + 1);
	}
	if (!strcmp(what, "kunit"))
		return run_kunit();
	if (!strcmp(what, "shell"))
		return run_shell();
	if (!strcmp(what, "probe"))
		return 0;
	errno = EINVAL;
	die("hr.run=%s", what);
}

int main(void)
{
	int status;

	mount_all();
	link_standard_files();
	export_cmdline();
	open_ports();
	say("booted\n");
	status = run_what(getenv("HR_RUN"));
	say_watched();
	say("exit %d\n", status);
	sync();
	reboot(RB_POWER_OFF);
	die("power off");
}
