"""A file looked at through a window that moves: constant memory whatever its size, an I/O error an error and no SIGBUS.

One thread each. Nothing here needs the GIL. The file is only read, and only up to the size that was given.
"""
from libc.stdint cimport int64_t

cdef enum:
    WINDOW = 256 * 1024        # fits a second-level cache: what was checksummed is still near when it is parsed

cdef struct window_t:
    int fd                     # the caller's
    int64_t size               # what is behind it does not exist for us; shrinks where the file turns out shorter
    char* data
    int64_t base               # place in the file of data[0]
    size_t fill
    int error                  # errno of a read that failed: stays

cdef bint window_open(window_t* w, int fd, int64_t size) noexcept nogil       # False: no memory
cdef void window_close(window_t* w) noexcept nogil
cdef const char* window_move(window_t* w, int64_t at, size_t need, size_t* have) noexcept nogil
cdef int64_t window_nonzero(window_t* w, int64_t at, int64_t limit) noexcept nogil    # first byte there that is not 0

cdef inline const char* window_look(window_t* w, int64_t at, size_t need, size_t* have) noexcept nogil:
    """The bytes at `at`: at least `need` (no more than WINDOW) where the file has them, and how many there are.
    NULL: a read failed."""
    if w.base <= at and at + <int64_t>need <= w.base + <int64_t>w.fill:
        have[0] = w.fill - <size_t>(at - w.base)
        return w.data + (at - w.base)
    return window_move(w, at, need, have)
