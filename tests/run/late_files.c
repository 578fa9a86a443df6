/* A shared file system at its worst, between a program and a real one; loaded by LD_PRELOAD.

   Below LATE_ROOT: a file that another process made is not there for LATE_MS milliseconds; the third rename of each process is
   done and then said to have failed; and in a process that has LATE_STALE in its command line the
   first file that is opened to be read has a stale handle. LATE_NOTES is a folder in which it keeps who made what. Each
   trouble adds a letter to LATE_NOTES/troubles: l, r, s. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int below(const char *path) {
    const char *root = getenv("LATE_ROOT");
    return root && path && !strncmp(path, root, strlen(root));
}

static int sys_open(const char *path, int flags, int mode) { return syscall(SYS_openat, AT_FDCWD, path, flags, mode); }

static void trouble(const char *letter) {
    char path[4096];
    snprintf(path, sizeof path, "%s/troubles", getenv("LATE_NOTES"));
    int saved = errno, file = sys_open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (write(file, letter, 1) < 0) abort();
    close(file);
    errno = saved;
}

/* Whose file this is: with `mine` ours from now on; else the process that made it, 0 if nobody has said so. */
static long maker(unsigned long inode, int mine) {
    char path[4096], text[32] = "";
    snprintf(path, sizeof path, "%s/%lu", getenv("LATE_NOTES"), inode);
    int file = sys_open(path, mine ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0644);
    if (file < 0) return 0;
    if (mine) dprintf(file, "%d", getpid());
    else if (read(file, text, sizeof text - 1) < 0) abort();
    close(file);
    return atol(text);
}

static int real_stat(const char *path, struct stat *found) { return syscall(SYS_newfstatat, AT_FDCWD, path, found, 0); }

static void made(const char *path) {
    struct stat found;
    int saved = errno;
    if (below(path) && !real_stat(path, &found) && S_ISREG(found.st_mode)) maker(found.st_ino, 1);
    errno = saved;
}

static int late(const char *path) {
    struct stat found;
    struct timespec now;
    int saved = errno;
    if (!below(path) || real_stat(path, &found) || !S_ISREG(found.st_mode)) { errno = saved; return 0; }
    long owner = maker(found.st_ino, 0);
    clock_gettime(CLOCK_REALTIME, &now);
    long age_ms = (now.tv_sec - found.st_ctim.tv_sec) * 1000 + (now.tv_nsec - found.st_ctim.tv_nsec) / 1000000;
    errno = saved;
    if (!owner || owner == getpid() || age_ms >= atol(getenv("LATE_MS"))) return 0;
    trouble("l");
    errno = ENOENT;
    return 1;
}

static int stale(const char *path, int flags) {
    static int told;
    static pid_t asked;
    char line[4096];
    if (!below(path) || (flags & (O_CREAT | O_DIRECTORY)) || (flags & O_ACCMODE) != O_RDONLY || asked == getpid()) return 0;
    int file = sys_open("/proc/self/cmdline", O_RDONLY, 0);
    long size = read(file, line, sizeof line);
    close(file);
    const char *word = getenv("LATE_STALE");
    if (size <= 0 || !word || !memmem(line, size, word, strlen(word))) return 0;
    asked = getpid();
    if (told++ > 8) return 0;
    trouble("s");
    errno = ESTALE;
    return 1;
}

static int opened(const char *name, int at, const char *path, int flags, int mode) {
    int inside = at == AT_FDCWD || (path && path[0] == '/');
    if (inside && (stale(path, flags) || (!(flags & O_CREAT) && late(path)))) return -1;
    int (*real)(int, const char *, int, ...) = dlsym(RTLD_NEXT, name);
    int file = real(at, path, flags, mode);
    if (inside && file >= 0 && (flags & O_CREAT)) made(path);
    return file;
}

#define MODE(flags) \
    int mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, int); va_end(more); }

int open(const char *path, int flags, ...) { MODE(flags) return opened("openat", AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened("openat64", AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened("openat", at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened("openat64", at, path, flags, mode); }

int stat64(const char *path, struct stat64 *found) {
    int (*real)(const char *, struct stat64 *) = dlsym(RTLD_NEXT, "stat64");
    return late(path) ? -1 : real(path, found);
}

int lstat64(const char *path, struct stat64 *found) {
    int (*real)(const char *, struct stat64 *) = dlsym(RTLD_NEXT, "lstat64");
    return late(path) ? -1 : real(path, found);
}

int fstatat64(int at, const char *path, struct stat64 *found, int flags) {
    int (*real)(int, const char *, struct stat64 *, int) = dlsym(RTLD_NEXT, "fstatat64");
    return at == AT_FDCWD && late(path) ? -1 : real(at, path, found, flags);
}

int __xstat(int version, const char *path, struct stat *found) {
    int (*real)(int, const char *, struct stat *) = dlsym(RTLD_NEXT, "__xstat");
    return late(path) ? -1 : real(version, path, found);
}

int rename(const char *from, const char *to) {
    static int count;
    static pid_t counted;
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    int done = real(from, to);
    if (done || !below(to)) return done;
    made(to);
    if (counted != getpid()) { counted = getpid(); count = 0; }
    if (++count != 3) return 0;
    trouble("r");
    errno = ENOENT;
    return -1;
}
