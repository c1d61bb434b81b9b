# cython: cdivision=True
"""A file looked at through a window that moves."""
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove

from rlite.engine.core.platform cimport rl_read64

cdef extern from "unistd.h" nogil:
    ssize_t pread(int fd, void* buf, size_t count, int64_t offset)

cdef extern from *:
    """
    #include <unistd.h>
    /* The next byte that may hold data; where the system cannot say, `at` itself. -1: none. */
    static long long rl_next_data(int fd, long long at) {
    #ifdef SEEK_DATA
        off_t found = lseek(fd, (off_t)at, SEEK_DATA);
        if (found >= 0) return (long long)found;
        return errno == ENXIO ? -1 : at;
    #else
        (void)fd;
        return at;
    #endif
    }
    """
    int64_t rl_next_data(int fd, int64_t at) noexcept nogil


cdef bint window_open(window_t* w, int fd, int64_t size) noexcept nogil:
    w.fd = fd
    w.size = size
    w.base = 0
    w.fill = 0
    w.error = 0
    w.data = <char*>malloc(WINDOW)
    return w.data != NULL


cdef void window_close(window_t* w) noexcept nogil:
    free(w.data)
    w.data = NULL


cdef const char* window_move(window_t* w, int64_t at, size_t need, size_t* have) noexcept nogil:
    """Has the window begin at `at`; keeps what it already holds of that."""
    cdef size_t kept = 0
    cdef ssize_t got
    cdef size_t want
    have[0] = 0
    if w.base <= at < w.base + <int64_t>w.fill:
        kept = w.fill - <size_t>(at - w.base)
        memmove(w.data, w.data + (at - w.base), kept)
    w.base = at
    w.fill = kept
    while w.fill < WINDOW and at + <int64_t>w.fill < w.size:
        want = WINDOW - w.fill
        if <int64_t>want > w.size - at - <int64_t>w.fill:
            want = <size_t>(w.size - at - <int64_t>w.fill)
        got = pread(w.fd, w.data + w.fill, want, at + <int64_t>w.fill)
        if got < 0:
            if errno == EINTR:
                continue
            if w.fill >= need:                     # enough for now; the next look will fail again
                break
            w.error = errno
            return NULL
        if got == 0:                               # somebody has shortened it meanwhile
            w.size = at + <int64_t>w.fill
            break
        w.fill += <size_t>got
    have[0] = w.fill
    return w.data


cdef int64_t window_nonzero(window_t* w, int64_t at, int64_t limit) noexcept nogil:
    """The first byte from `at` on that is not 0, `limit` where there is none before it, -1: a read failed. Holes of
    a sparse file are passed over without being read."""
    cdef size_t have = 0, i
    cdef const char* p
    cdef int64_t data
    while at < limit:
        data = rl_next_data(w.fd, at)
        if data < 0 or data >= limit:
            return limit
        if data > at:
            at = data
        p = window_look(w, at, 1, &have)
        if p == NULL:
            return -1
        if have == 0:
            return limit
        i = 0
        while i + 8 <= have and rl_read64(p + i) == 0:
            i += 8
        while i < have and p[i] == 0:
            i += 1
        at += <int64_t>i
        if i < have:
            return at if at < limit else limit
    return limit
