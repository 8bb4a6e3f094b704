// Preloaded into a program, makes one of its system calls fail, or ends the program there. It counts
// the calls that change something under the folder FAULT_UNDER. At number FAULT_AT, counted from 1,
// FAULT says what happens:
//
//   kill  the program ends before the call, as by SIGKILL
//   torn  a write writes half of its bytes, then the program ends
//   fail  the call fails: no space left on device
//   full  this call and all later ones that need space fail
//
// FAULT_LOG names a file, elsewhere, that gets a line for each call: its name, then what it is about
// (power.rs reads it).

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum need { NO_SPACE, SPACE };

static const char *under, *what;
static long at, calls;
static int logging = -1;

__attribute__((constructor)) static void begin(void) {
    const char *number = getenv("FAULT_AT"), *log = getenv("FAULT_LOG");
    under = getenv("FAULT_UNDER");
    what = getenv("FAULT") ? getenv("FAULT") : "";
    at = number ? atol(number) : 0;
    if (log) logging = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static int is_under(const char *path) {
    char full[PATH_MAX];
    size_t length = under ? strlen(under) : 0;
    if (!length || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(full, sizeof full)) return 0;
        size_t used = strlen(full);
        snprintf(full + used, sizeof full - used, "/%s", path);
        path = full;
    }
    return !strncmp(path, under, length) && (path[length] == '/' || path[length] == 0);
}

static const char *path_of(int fd, char *buffer) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

static void note(const char *call, const char *from, const char *to, long offset, const void *bytes, size_t count) {
    if (logging < 0) return;
    char line[3 * PATH_MAX];
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\t%ld\t%zu\n", call, from, to, offset, count);
    syscall(SYS_write, logging, line, (size_t)length);
    if (bytes) syscall(SYS_write, logging, bytes, count);
}

static void end(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

// Counts a call; true if it has to fail.
static int fails(enum need need) {
    long number = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (!at || number < at) return 0;
    errno = ENOSPC;
    if (number > at) return !strcmp(what, "full") && need == SPACE;
    if (!strcmp(what, "kill")) end();
    return !strcmp(what, "fail") || !strcmp(what, "full");
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    int changes = (flags & (O_CREAT | O_TRUNC)) && is_under(path);
    if (changes && fails(SPACE)) return -1;
    if (changes) note("open", path, (flags & O_TRUNC) ? "truncate" : "", 0, 0, 0);
    return syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(flags)                                                 \
    mode_t mode = 0;                                                \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                          \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode = va_arg(rest, mode_t);                                \
        va_end(rest);                                               \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_at(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_at(folder, path, flags | O_LARGEFILE, mode); }

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[PATH_MAX];
    if (is_under(path_of(fd, path))) {
        long offset = lseek(fd, 0, SEEK_CUR);
        if (!strcmp(what, "torn") && calls + 1 == at) {
            syscall(SYS_write, fd, bytes, count / 2);
            end();
        }
        if (fails(SPACE)) return -1;
        note("write", path, "", offset, bytes, count);
    }
    return syscall(SYS_write, fd, bytes, count);
}

#define ON_FD(name, need, declared, used)                           \
    int name declared {                                             \
        char path[PATH_MAX];                                        \
        if (is_under(path_of(fd, path))) {                          \
            if (fails(need)) return -1;                             \
            note(#name, path, "", 0, 0, 0);                         \
        }                                                           \
        return REAL(name) used;                                     \
    }
ON_FD(fsync, SPACE, (int fd), (fd))
ON_FD(fdatasync, SPACE, (int fd), (fd))
ON_FD(fchmod, NO_SPACE, (int fd, mode_t mode), (fd, mode))

static int truncate_at(int fd, off64_t length) {
    char path[PATH_MAX];
    if (is_under(path_of(fd, path))) {
        if (fails(SPACE)) return -1;
        note("ftruncate", path, "", length, 0, 0);
    }
    return syscall(SYS_ftruncate, fd, length);
}
int ftruncate(int fd, off_t length) { return truncate_at(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncate_at(fd, length); }

#define ON_PATH(name, need, declared, used)                         \
    int name declared {                                             \
        if (is_under(path)) {                                       \
            if (fails(need)) return -1;                             \
            note(#name, path, "", 0, 0, 0);                         \
        }                                                           \
        return REAL(name) used;                                     \
    }
ON_PATH(mkdir, SPACE, (const char *path, mode_t mode), (path, mode))
ON_PATH(rmdir, NO_SPACE, (const char *path), (path))
ON_PATH(unlink, NO_SPACE, (const char *path), (path))
ON_PATH(chmod, NO_SPACE, (const char *path, mode_t mode), (path, mode))

int unlinkat(int folder, const char *path, int flags) {
    char full[2 * PATH_MAX], base[PATH_MAX];
    if (folder == AT_FDCWD || path[0] == '/') snprintf(full, sizeof full, "%s", path);
    else snprintf(full, sizeof full, "%s/%s", path_of(folder, base), path);
    if (is_under(full)) {
        if (fails(NO_SPACE)) return -1;
        note((flags & AT_REMOVEDIR) ? "rmdir" : "unlink", full, "", 0, 0, 0);
    }
    return syscall(SYS_unlinkat, folder, path, flags);
}

#define ON_PATHS(name, call, declared, used)                        \
    int name declared {                                             \
        if (is_under(from) || is_under(to)) {                       \
            if (fails(SPACE)) return -1;                            \
            note(call, from, to, 0, 0, 0);                          \
        }                                                           \
        return REAL(name) used;                                     \
    }
ON_PATHS(rename, "rename", (const char *from, const char *to), (from, to))
ON_PATHS(link, "link", (const char *from, const char *to), (from, to))
ON_PATHS(symlink, "symlink", (const char *from, const char *to), (from, to))
ON_PATHS(renameat2, flags ? "exchange" : "rename", (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
