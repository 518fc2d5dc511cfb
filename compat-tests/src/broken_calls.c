/* System calls that fail on purpose, for files below one directory. Loaded with LD_PRELOAD; the rules
 * are in a file that the test maps too (broken_calls.rs), so that they change while the process runs.
 *
 * Only calls on files of that directory are touched: a runtime that cannot write to its own event
 * descriptor is broken in a way that no disk breaks it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

struct rules {
	_Atomic uint32_t calls;   /* a bit for each of enum call; 0: all goes well */
	_Atomic uint32_t let_by;  /* so many calls go well first */
	_Atomic uint32_t failing; /* so many fail then */
	_Atomic uint32_t percent; /* of those that fail: which share */
	_Atomic int32_t error;    /* errno; 0: half of the bytes, -1: none of them; and see TORN */
	_Atomic uint32_t failed;  /* so many have failed */
};

/* With an errno: half of the bytes are written, and nobody is told. */
enum { TORN = 1 << 16 };

enum call { WRITE = 1, SYNC = 2, READ = 4, OPEN = 8, RENAME = 16, MAP = 32 };

static struct rules *rules;
static char dir[512];
static size_t dir_len;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("BROKEN_CALLS"), *of = getenv("BROKEN_CALLS_DIR");
	void *(*map)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
	int (*open_file)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
	int fd = path && of ? open_file(path, O_RDWR) : -1;
	if (fd < 0)
		return;
	dir_len = (size_t)snprintf(dir, sizeof dir, "%s/", of);
	void *at = map(NULL, sizeof *rules, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		rules = at;
}

static int is_below(const char *path)
{
	return path && strncmp(path, dir, dir_len) == 0;
}

static int is_ours(int fd)
{
	char link[32], path[1024];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n < 0)
		return 0;
	path[n] = 0;
	return is_below(path);
}

/* Takes one from a counter; whether there was one. */
static int take(_Atomic uint32_t *counter)
{
	uint32_t n = atomic_load(counter);
	while (n > 0 && n != UINT32_MAX)
		if (atomic_compare_exchange_weak(counter, &n, n - 1))
			return 1;
	return n == UINT32_MAX;
}

/* Whether the rules want this call to fail. */
static int fails(enum call call)
{
	static _Thread_local uint64_t random;
	if (!(atomic_load(&rules->calls) & call) || take(&rules->let_by))
		return 0;
	random = random ? random : (uint64_t)(uintptr_t)&random ^ (uint64_t)getpid();
	random = random * 6364136223846793005u + 1442695040888963407u;
	if ((random >> 33) % 100 >= atomic_load(&rules->percent) || !take(&rules->failing))
		return 0;
	atomic_fetch_add(&rules->failed, 1);
	return 1;
}

static int on_file(enum call call, int fd)
{
	int before = errno;
	int bad = rules && (atomic_load(&rules->calls) & call) && is_ours(fd) && fails(call);
	errno = before;
	return bad;
}

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) \
		real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Fails as the rules say, or makes `n` what is left of it. */
#define SPOIL(n) \
	do { \
		int error = atomic_load(&rules->error); \
		if (error > 0) { \
			errno = error; \
			return -1; \
		} \
		n = error < 0 ? 0 : n / 2; \
	} while (0)

ssize_t write(int fd, const void *bytes, size_t n)
{
	REAL(write);
	if (on_file(WRITE, fd)) {
		int error = atomic_load(&rules->error);
		if (error > TORN) {
			if (real(fd, bytes, n / 2) >= 0)
				errno = error & ~TORN;
			return -1;
		}
		SPOIL(n);
		/* A write that writes nothing is no error, and what comes next is up to the caller. */
		if (n == 0)
			return 0;
	}
	return real(fd, bytes, n);
}

ssize_t read(int fd, void *bytes, size_t n)
{
	REAL(read);
	if (on_file(READ, fd))
		SPOIL(n);
	return real(fd, bytes, n);
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t at)
{
	REAL(pread64);
	if (on_file(READ, fd))
		SPOIL(n);
	return real(fd, bytes, n, at);
}

int fsync(int fd)
{
	REAL(fsync);
	if (on_file(SYNC, fd)) {
		errno = atomic_load(&rules->error);
		return -1;
	}
	return real(fd);
}

int fdatasync(int fd)
{
	REAL(fdatasync);
	if (on_file(SYNC, fd)) {
		errno = atomic_load(&rules->error);
		return -1;
	}
	return real(fd);
}

int open64(const char *path, int flags, ...)
{
	REAL(open64);
	va_list rest;
	va_start(rest, flags);
	mode_t mode = va_arg(rest, mode_t);
	va_end(rest);
	if (rules && is_below(path) && fails(OPEN)) {
		errno = atomic_load(&rules->error);
		return -1;
	}
	return real(path, flags, mode);
}

int rename(const char *from, const char *to)
{
	REAL(rename);
	if (rules && is_below(to) && fails(RENAME)) {
		errno = atomic_load(&rules->error);
		return -1;
	}
	return real(from, to);
}

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t offset)
{
	REAL(mmap64);
	if (fd >= 0 && on_file(MAP, fd)) {
		errno = atomic_load(&rules->error);
		return MAP_FAILED;
	}
	return real(at, n, protection, flags, fd, offset);
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	return mmap64(at, n, protection, flags, fd, offset);
}
