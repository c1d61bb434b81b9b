"""Readiness of file descriptors: epoll on Linux, poll elsewhere or where it is asked for."""

cdef enum:
    READABLE = 1
    WRITABLE = 2
    BROKEN = 4                 # hung up or in error; only reported

cdef struct ready_t:
    void* data
    int events

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd* fds, unsigned long n, int timeout) noexcept
    short POLLIN, POLLOUT, POLLERR, POLLHUP

cdef struct poller_t:
    int epoll                  # -1: poll is used
    pollfd* fds                # for poll: dense, in no order
    void** data
    int count
    int cap

cdef bint poller_init(poller_t* p, bint use_poll) noexcept nogil
cdef void poller_release(poller_t* p) noexcept nogil
cdef bint poller_set(poller_t* p, int fd, int events, void* data, bint known) noexcept nogil   # known: it was set before
cdef void poller_forget(poller_t* p, int fd) noexcept nogil
cdef int poller_wait(poller_t* p, ready_t* ready, int room, int timeout_ms) noexcept nogil     # how many are ready
