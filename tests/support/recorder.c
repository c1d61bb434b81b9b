/* A layer under a server (LD_PRELOAD) that records, in order, all that it does to the files of one directory and all that
 * it sends to its clients; and, on order, lets such calls fail. support/recorder.py builds it, sets it up and reads what it
 * wrote; the structs here are repeated there.
 *
 * RECORDER_DIR: the directory, a real path. RECORDER_FILE: records are appended here (outside of the directory).
 * RECORDER_CONTROL: a file with one `struct control`, mapped by all processes: the lock that makes one order of the calls
 * of all threads and forked children, and the faults to inject.
 *
 * The lock is held over each call and its record, except fsync: that is recorded when it begins and when it has ended.
 * So what stands before the beginning is what a finished fsync has made durable, and a reply that stands before the end
 * left before the data was safe. Only libc's functions are seen: a program that makes system calls itself, writes through
 * a shared mapping (recorded as unsupported) or by stdio goes unseen.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 1 << 16, RULES = 8 };
enum op { OPEN = 1, WRITE = 2, TRUNCATE = 4, FSYNC = 8, RENAME = 16, UNLINK = 32, MKDIR = 64, LINK = 128, RMDIR = 256,
          /* records only */ SYNCED = 512, SEND = 1024, UNSUPPORTED = 2048, FAILED = 4096 };

/* What happens to calls of the kinds in `ops`, on paths that hold `path`: after `skip` of them, `times` of them (-1: all)
 * first wait `delay_us`, then fail with `error`, or, for writes, take only `bytes` (where that is not -1). */
struct rule {
    uint32_t ops, hits;
    int32_t skip, times, error, delay_us;
    int64_t bytes;
    char path[64];
};

struct control {
    uint32_t holder; /* process id of who holds the lock; 0: free */
    uint32_t rules;  /* how many of them count */
    struct rule rule[RULES];
};

struct record {
    uint32_t op, path, second, thread; /* sizes of what follows: a path, a second path */
    uint64_t data;                  /* and data */
    uint64_t inode, ns;
    int64_t at, size; /* OPEN: 1 if it made the file, the size afterwards; WRITE: offset; TRUNCATE: size; SEND: port */
};

static struct control *control;
static char directory[PATH_MAX];
static size_t directory_size;
static int out = -1;

enum { UNKNOWN, OTHER, FILE_FD, DIRECTORY_FD, SOCKET_FD };
static struct { uint8_t kind; int port; uint64_t inode; char *path; } fds[FDS];

__attribute__((constructor)) static void set_up(void) {
    const char *dir = getenv("RECORDER_DIR"), *file = getenv("RECORDER_FILE"), *page = getenv("RECORDER_CONTROL");
    if (!dir || !file || !page) return;
    directory_size = strlen(dir);
    memcpy(directory, dir, directory_size + 1);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC);
    int low = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CLOEXEC);
    /* High, where no program counts its descriptors. */
    out = (int)syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, 900);
    syscall(SYS_close, low);
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (out < 0 || at == MAP_FAILED) {
        fprintf(stderr, "recorder: cannot open its files\n");
        _exit(99);
    }
    control = at;
}

static void lock(void) {
    uint32_t me = (uint32_t)syscall(SYS_getpid), free_ = 0;
    for (unsigned tries = 0; !__atomic_compare_exchange_n(&control->holder, &free_, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);) {
        if (tries++ > 1000 && free_ != me && kill((pid_t)free_, 0) < 0 && errno == ESRCH)
            __atomic_store_n(&control->holder, 0, __ATOMIC_RELEASE); /* killed while it held it */
        free_ = 0;
        sched_yield();
    }
}

static void unlock(void) { __atomic_store_n(&control->holder, 0, __ATOMIC_RELEASE); }

static void note(enum op op, uint64_t inode, int64_t at, int64_t size, const char *path, const char *second,
                 const struct iovec *data, int parts, size_t limit) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    struct record r = {.op = op, .inode = inode, .at = at, .size = size, .thread = (uint32_t)syscall(SYS_gettid)};
    r.ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    struct iovec all[3 + 64];
    int count = 3;
    r.path = path ? (uint32_t)strlen(path) : 0;
    r.second = second ? (uint32_t)strlen(second) : 0;
    all[0] = (struct iovec){&r, sizeof r};
    all[1] = (struct iovec){(void *)path, r.path};
    all[2] = (struct iovec){(void *)second, r.second};
    for (int i = 0; i < parts && limit; i++, count++) {
        all[count] = data[i];
        if (all[count].iov_len > limit) all[count].iov_len = limit;
        limit -= all[count].iov_len;
        r.data += all[count].iov_len;
    }
    size_t total = sizeof r + r.path + r.second + r.data;
    if (syscall(SYS_writev, out, all, count) != (long)total) {
        fprintf(stderr, "recorder: cannot write its record\n");
        _exit(99);
    }
}

/* The path below the directory ("" for itself), or NULL where it is elsewhere. `at`: what it is relative to. */
static char *below(int at, const char *path, char *buffer) {
    char whole[2 * PATH_MAX], parent[PATH_MAX];
    if (!control || !path) return NULL;
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char link[64], base[PATH_MAX];
        if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return NULL;
        base[n] = 0;
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    size_t n = strlen(whole);
    while (n > 1 && whole[n - 1] == '/') whole[--n] = 0;
    char *slash = strrchr(whole, '/');
    if (!slash) return NULL;
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s", slash + 1);
    if (!strcmp(name, ".") || !strcmp(name, "..")) {
        if (!realpath(whole, buffer)) return NULL;
    } else {
        *(slash == whole ? slash + 1 : slash) = 0;
        if (!realpath(whole, parent)) return NULL;
        if (snprintf(buffer, PATH_MAX, "%s/%s", parent, name) >= PATH_MAX) return NULL;
    }
    if (strncmp(buffer, directory, directory_size)) return NULL;
    if (buffer[directory_size] == 0) return buffer + directory_size;
    return buffer[directory_size] == '/' ? buffer + directory_size + 1 : NULL;
}

/* The rule that a call falls under, counted; NULL: none. Called with the lock held. */
static struct rule *rule_for(enum op op, const char *path) {
    for (uint32_t i = 0; i < control->rules; i++) {
        struct rule *r = &control->rule[i];
        if (!(r->ops & op) || (r->path[0] && !strstr(path, r->path)) || r->times == 0) continue;
        if (r->skip > 0) {
            r->skip--;
            continue;
        }
        if (r->times > 0) r->times--;
        r->hits++;
        return r;
    }
    return NULL;
}

/* Whether a call is to fail; errno is set then. Waits as ordered, the lock free meanwhile. */
static int fails(enum op op, const char *path, int64_t *bytes) {
    struct rule *r = rule_for(op, path);
    if (!r) return 0;
    int error = r->error, delay = r->delay_us;
    if (bytes && r->bytes >= 0) *bytes = r->bytes;
    if (delay) {
        unlock();
        struct timespec t = {delay / 1000000, delay % 1000000 * 1000L};
        nanosleep(&t, NULL);
        lock();
    }
    errno = error;
    return error != 0;
}

static int known(int fd) { return control && fd >= 0 && fd < FDS && (fds[fd].kind == FILE_FD || fds[fd].kind == DIRECTORY_FD); }

static void forget(int fd) {
    if (fd < 0 || fd >= FDS) return;
    free(fds[fd].path);
    memset(&fds[fd], 0, sizeof fds[fd]);
}

static void copied(int from, int to) {
    if (from < 0 || from >= FDS || to < 0 || to >= FDS || from == to) return;
    forget(to);
    fds[to] = fds[from];
    if (fds[to].path) fds[to].path = strdup(fds[to].path);
}

static int is_client(int fd) {
    if (!control || fd < 0 || fd >= FDS) return 0;
    if (fds[fd].kind == UNKNOWN) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        int before = errno;
        if (!getpeername(fd, (struct sockaddr *)&peer, &size) && peer.sin_family == AF_INET) {
            fds[fd].port = ntohs(peer.sin_port);
            fds[fd].kind = SOCKET_FD;
        } else {
            fds[fd].kind = OTHER;
        }
        errno = before;
    }
    return fds[fd].kind == SOCKET_FD;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static int opened(int at, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX], *name = below(at, path, buffer);
    if (!name) return (int)syscall(SYS_openat, at, path, flags, mode);
    lock();
    struct stat s;
    int was = !fstatat(at, path, &s, 0);
    if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && fails(OPEN, name, NULL)) {
        unlock();
        return -1;
    }
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    int error = errno;
    if (fd >= 0 && fd < FDS && !fstat(fd, &s)) {
        forget(fd);
        fds[fd].kind = S_ISDIR(s.st_mode) ? DIRECTORY_FD : FILE_FD;
        fds[fd].inode = s.st_ino;
        fds[fd].path = strdup(name);
        if (flags & O_TMPFILE & ~O_DIRECTORY) note(UNSUPPORTED, 0, 0, 0, name, NULL, NULL, 0, 0);
        if (!was || (flags & O_TRUNC)) note(OPEN, s.st_ino, !was, s.st_size, name, NULL, NULL, 0, 0);
    }
    unlock();
    errno = error;
    return fd;
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }
int open(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE_OF(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE_OF(flags) return opened(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX], *old = below(from_at, from, a), *new = below(to_at, to, b);
    if (!old && !new) return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    lock();
    if (!old || !new || (flags & ~(unsigned)RENAME_NOREPLACE)) note(UNSUPPORTED, 0, 0, 0, from, to, NULL, 0, 0);
    struct stat s = {0};
    int done = -1;
    if (!fails(RENAME, new ? new : old, NULL)) {
        fstatat(from_at, from, &s, AT_SYMLINK_NOFOLLOW);
        done = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
        if (!done) note(RENAME, s.st_ino, 0, s.st_size, old, new, NULL, 0, 0);
    }
    int error = errno;
    unlock();
    errno = error;
    return done;
}
int renameat(int from_at, const char *from, int to_at, const char *to) { return renameat2(from_at, from, to_at, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *path, int flags) {
    char buffer[PATH_MAX], *name = below(at, path, buffer);
    if (!name) return (int)syscall(SYS_unlinkat, at, path, flags);
    lock();
    int done = -1;
    enum op op = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    if (!fails(op, name, NULL)) {
        done = (int)syscall(SYS_unlinkat, at, path, flags);
        if (!done) note(op, 0, 0, 0, name, NULL, NULL, 0, 0);
    }
    int error = errno;
    unlock();
    errno = error;
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    int done = unlink(path);
    return done < 0 && (errno == EISDIR || errno == EPERM) ? rmdir(path) : done;
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    char a[PATH_MAX], b[PATH_MAX], *old = below(from_at, from, a), *new = below(to_at, to, b);
    if (!new) return (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
    lock();
    struct stat s = {0};
    int done = -1;
    if (!old) note(UNSUPPORTED, 0, 0, 0, from, to, NULL, 0, 0);
    if (!fails(LINK, new, NULL)) {
        done = (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
        fstatat(to_at, to, &s, AT_SYMLINK_NOFOLLOW);
        if (!done) note(LINK, s.st_ino, 0, 0, old, new, NULL, 0, 0);
    }
    int error = errno;
    unlock();
    errno = error;
    return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int at, const char *path, mode_t mode) {
    char buffer[PATH_MAX], *name = below(at, path, buffer);
    if (!name) return (int)syscall(SYS_mkdirat, at, path, mode);
    lock();
    int done = -1;
    if (!fails(MKDIR, name, NULL)) {
        done = (int)syscall(SYS_mkdirat, at, path, mode);
        if (!done) note(MKDIR, 0, 0, 0, name, NULL, NULL, 0, 0);
    }
    int error = errno;
    unlock();
    errno = error;
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* --- descriptors -------------------------------------------------------------------------------------------------- */

int close(int fd) {
    if (fd >= 0 && fd == out) return 0; /* programs that close all descriptors before they run another */
    forget(fd);
    return (int)syscall(SYS_close, fd);
}
int dup(int fd) {
    int to = (int)syscall(SYS_dup, fd);
    copied(fd, to);
    return to;
}
int dup3(int fd, int to, int flags) {
    int done = (int)syscall(SYS_dup3, fd, to, flags);
    if (done >= 0) copied(fd, to);
    return done;
}
int dup2(int fd, int to) { return fd == to ? (fcntl(fd, F_GETFD) < 0 ? -1 : to) : dup3(fd, to, 0); }

static int controlled(int fd, int command, long argument) {
    int done = (int)syscall(SYS_fcntl, fd, command, argument);
    if (done >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC)) copied(fd, done);
    return done;
}
#define ARGUMENT(command) \
    va_list more; \
    va_start(more, command); \
    long argument = va_arg(more, long); \
    va_end(more)
int fcntl(int fd, int command, ...) { ARGUMENT(command); return controlled(fd, command, argument); }
int fcntl64(int fd, int command, ...) { ARGUMENT(command); return controlled(fd, command, argument); }

/* --- what is written ---------------------------------------------------------------------------------------------- */

/* at: where, -1 for where the descriptor stands. */
static ssize_t written(int fd, const struct iovec *parts, int count, int64_t at) {
    if (known(fd)) {
        struct iovec own[64];
        int64_t bytes = -1;
        ssize_t done = -1;
        lock();
        if (count > 64) note(UNSUPPORTED, 0, 0, 0, fds[fd].path, NULL, NULL, 0, 0);
        if (!fails(WRITE, fds[fd].path, &bytes)) {
            if (bytes >= 0 && count <= 64) { /* a short write */
                int left = 0;
                for (; left < count && bytes > 0; left++) {
                    own[left] = parts[left];
                    if ((int64_t)own[left].iov_len > bytes) own[left].iov_len = (size_t)bytes;
                    bytes -= (int64_t)own[left].iov_len;
                }
                parts = own;
                count = left;
            }
            done = at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
            if (done > 0) {
                int error = errno;
                int64_t where = at < 0 ? lseek(fd, 0, SEEK_CUR) - done : at;
                note(WRITE, fds[fd].inode, where, done, fds[fd].path, NULL, parts, count, (size_t)done);
                errno = error;
            }
        }
        int error = errno;
        unlock();
        errno = error;
        return done;
    }
    if (at < 0 && is_client(fd)) {
        lock();
        ssize_t done = syscall(SYS_writev, fd, parts, count);
        int error = errno;
        if (done > 0) note(SEND, 0, fds[fd].port, done, NULL, NULL, parts, count, (size_t)done);
        unlock();
        errno = error;
        return done;
    }
    return at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
}

ssize_t write(int fd, const void *data, size_t size) {
    if (!known(fd) && !is_client(fd)) return syscall(SYS_write, fd, data, size);
    return written(fd, &(struct iovec){(void *)data, size}, 1, -1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return written(fd, parts, count, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return written(fd, &(struct iovec){(void *)data, size}, 1, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
    return written(fd, &(struct iovec){(void *)data, size}, 1, at);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return written(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return written(fd, parts, count, at); }

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    if (!is_client(fd)) return syscall(SYS_sendto, fd, data, size, flags, to, length);
    lock();
    ssize_t done = syscall(SYS_sendto, fd, data, size, flags | MSG_DONTWAIT, to, length);
    int error = errno;
    if (done > 0) note(SEND, 0, fds[fd].port, done, NULL, NULL, &(struct iovec){(void *)data, size}, 1, (size_t)done);
    unlock();
    errno = error;
    return done;
}
ssize_t send(int fd, const void *data, size_t size, int flags) { return sendto(fd, data, size, flags, NULL, 0); }
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (!is_client(fd)) return syscall(SYS_sendmsg, fd, message, flags);
    lock();
    ssize_t done = syscall(SYS_sendmsg, fd, message, flags | MSG_DONTWAIT);
    int error = errno, parts = (int)message->msg_iovlen;
    if (done > 0) note(SEND, 0, fds[fd].port, done, NULL, NULL, message->msg_iov, parts > 64 ? 64 : parts, (size_t)done);
    unlock();
    errno = error;
    return done;
}

/* Data that did not come from memory: read back from the file. */
static void note_back(int fd, int64_t at, ssize_t size) {
    char link[64], *data = malloc((size_t)size);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int in = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
    if (!data || in < 0 || pread(in, data, (size_t)size, at) != size) note(UNSUPPORTED, 0, 0, 0, fds[fd].path, NULL, NULL, 0, 0);
    else note(WRITE, fds[fd].inode, at, size, fds[fd].path, NULL, &(struct iovec){data, (size_t)size}, 1, (size_t)size);
    if (in >= 0) syscall(SYS_close, in);
    free(data);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    if (!known(to)) return syscall(SYS_sendfile, to, from, offset, size);
    lock();
    ssize_t done = -1;
    if (!fails(WRITE, fds[to].path, NULL)) {
        done = syscall(SYS_sendfile, to, from, offset, size);
        if (done > 0) note_back(to, lseek(to, 0, SEEK_CUR) - done, done);
    }
    int error = errno;
    unlock();
    errno = error;
    return done;
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) { return sendfile(to, from, offset, size); }
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    if (!known(to)) return syscall(SYS_copy_file_range, from, from_at, to, to_at, size, flags);
    lock();
    ssize_t done = -1;
    if (!fails(WRITE, fds[to].path, NULL)) {
        done = syscall(SYS_copy_file_range, from, from_at, to, to_at, size, flags);
        if (done > 0) note_back(to, (to_at ? *to_at : lseek(to, 0, SEEK_CUR)) - done, done);
    }
    int error = errno;
    unlock();
    errno = error;
    return done;
}

int ftruncate(int fd, off_t size) {
    if (!known(fd)) return (int)syscall(SYS_ftruncate, fd, size);
    lock();
    int done = -1;
    if (!fails(TRUNCATE, fds[fd].path, NULL)) {
        done = (int)syscall(SYS_ftruncate, fd, size);
        if (!done) note(TRUNCATE, fds[fd].inode, 0, size, fds[fd].path, NULL, NULL, 0, 0);
    }
    int error = errno;
    unlock();
    errno = error;
    return done;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int truncate(const char *path, off_t size) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int done = ftruncate(fd, size), error = errno;
    close(fd);
    errno = error;
    return done;
}
int truncate64(const char *path, off64_t size) { return truncate(path, size); }

int fallocate(int fd, int mode, off_t at, off_t size) {
    if (!known(fd)) return (int)syscall(SYS_fallocate, fd, mode, at, size);
    lock();
    int done = -1;
    struct stat s;
    if (mode & ~FALLOC_FL_KEEP_SIZE) note(UNSUPPORTED, 0, 0, 0, fds[fd].path, NULL, NULL, 0, 0);
    if (!fails(WRITE, fds[fd].path, NULL)) {
        done = (int)syscall(SYS_fallocate, fd, mode, at, size);
        if (!done && !mode && !fstat(fd, &s)) note(TRUNCATE, fds[fd].inode, 0, s.st_size, fds[fd].path, NULL, NULL, 0, 0);
    }
    int error = errno;
    unlock();
    errno = error;
    return done;
}
int fallocate64(int fd, int mode, off64_t at, off64_t size) { return fallocate(fd, mode, at, size); }
int posix_fallocate(int fd, off_t at, off_t size) { return fallocate(fd, 0, at, size) ? errno : 0; }
int posix_fallocate64(int fd, off64_t at, off64_t size) { return posix_fallocate(fd, at, size); }

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && known(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
        lock();
        note(UNSUPPORTED, 0, 0, 0, fds[fd].path, NULL, NULL, 0, 0);
        unlock();
    }
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) {
    return mmap(at, size, protection, flags, fd, offset);
}

/* --- what is made durable ----------------------------------------------------------------------------------------- */

/* The data in flight when the fsync began is what it makes durable, and only when it ends well. */
static int synced(int fd, long call) {
    if (!known(fd)) return (int)syscall(call, fd);
    uint64_t inode = fds[fd].inode;
    lock();
    note(FSYNC, inode, fds[fd].kind == DIRECTORY_FD, 0, fds[fd].path, NULL, NULL, 0, 0);
    int done = fails(FSYNC, fds[fd].path, NULL) ? -1 : 0, error = errno;
    unlock();
    if (!done) {
        done = (int)syscall(call, fd);
        error = errno;
    }
    lock();
    note(done ? FAILED : SYNCED, inode, fds[fd].kind == DIRECTORY_FD, 0, fds[fd].path, NULL, NULL, 0, 0);
    unlock();
    errno = error;
    return done;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
