"""Readiness of file descriptors, level-triggered. One poller belongs to one thread."""
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, realloc
from posix.unistd cimport close

from rlite.engine.core.platform cimport RL_HAVE_EPOLL


cdef extern from *:
    """
    #ifndef __linux__
    /* Never called there: poller_init chooses poll. */
    typedef union { void *ptr; } rl_epoll_data;
    struct epoll_event { uint32_t events; rl_epoll_data data; };
    enum { EPOLLIN = 1, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 16, EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2,
           EPOLL_CTL_MOD = 3, EPOLL_CLOEXEC = 0 };
    static inline int epoll_create1(int f) { return -1; }
    static inline int epoll_ctl(int e, int o, int f, struct epoll_event *v) { return -1; }
    static inline int epoll_wait(int e, struct epoll_event *v, int n, int t) { return -1; }
    #endif
    """
    union epoll_data:
        void* ptr
    struct epoll_event:
        uint32_t events
        epoll_data data
    int EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLL_CLOEXEC
    int epoll_create1(int flags) noexcept nogil
    int epoll_ctl(int ep, int op, int fd, epoll_event* event) noexcept nogil
    int epoll_wait(int ep, epoll_event* events, int room, int timeout) noexcept nogil

cdef enum:
    BATCH = 256


cdef bint poller_init(poller_t* p, bint use_poll) noexcept nogil:
    p.epoll = -1
    p.fds = NULL
    p.data = NULL
    p.count = 0
    p.cap = 0
    if RL_HAVE_EPOLL and not use_poll:
        p.epoll = epoll_create1(EPOLL_CLOEXEC)
        return p.epoll >= 0
    return True


cdef void poller_release(poller_t* p) noexcept nogil:
    if p.epoll >= 0:
        close(p.epoll)
        p.epoll = -1
    free(p.fds)
    free(p.data)
    p.fds = NULL
    p.data = NULL
    p.count = p.cap = 0


cdef int slot_of(poller_t* p, int fd) noexcept nogil:
    cdef int i
    for i in range(p.count):
        if p.fds[i].fd == fd:
            return i
    return -1


cdef bint poller_set(poller_t* p, int fd, int events, void* data, bint known) noexcept nogil:
    cdef:
        epoll_event event
        int i
        void* grown
    if p.epoll >= 0:
        event.events = (EPOLLIN if events & READABLE else 0) | (EPOLLOUT if events & WRITABLE else 0)
        event.data.ptr = data
        return epoll_ctl(p.epoll, EPOLL_CTL_MOD if known else EPOLL_CTL_ADD, fd, &event) == 0
    i = slot_of(p, fd) if known else -1
    if i < 0:
        if p.count == p.cap:
            i = p.cap * 2 if p.cap else 64
            grown = realloc(p.fds, i * sizeof(pollfd))
            if grown == NULL:
                return False
            p.fds = <pollfd*>grown
            grown = realloc(p.data, i * sizeof(void*))
            if grown == NULL:
                return False
            p.data = <void**>grown
            p.cap = i
        i = p.count
        p.count += 1
    p.fds[i].fd = fd
    p.fds[i].events = (POLLIN if events & READABLE else 0) | (POLLOUT if events & WRITABLE else 0)
    p.fds[i].revents = 0
    p.data[i] = data
    return True


cdef void poller_forget(poller_t* p, int fd) noexcept nogil:
    cdef epoll_event event
    cdef int i
    if p.epoll >= 0:
        epoll_ctl(p.epoll, EPOLL_CTL_DEL, fd, &event)
        return
    i = slot_of(p, fd)
    if i >= 0:
        p.count -= 1
        p.fds[i] = p.fds[p.count]
        p.data[i] = p.data[p.count]


cdef int poller_wait(poller_t* p, ready_t* ready, int room, int timeout_ms) noexcept nogil:
    cdef:
        epoll_event events[BATCH]
        int i, n, found = 0
    if p.epoll >= 0:
        n = epoll_wait(p.epoll, events, min(room, BATCH), timeout_ms)
        for i in range(n):
            ready[i].data = events[i].data.ptr
            ready[i].events = (READABLE if events[i].events & EPOLLIN else 0) | \
                (WRITABLE if events[i].events & EPOLLOUT else 0) | \
                (BROKEN if events[i].events & (EPOLLERR | EPOLLHUP) else 0)
        return max(n, 0)
    n = poll(p.fds, p.count, timeout_ms)
    if n <= 0:
        return 0
    for i in range(p.count):
        if p.fds[i].revents:
            ready[found].data = p.data[i]
            ready[found].events = (READABLE if p.fds[i].revents & POLLIN else 0) | \
                (WRITABLE if p.fds[i].revents & POLLOUT else 0) | \
                (BROKEN if p.fds[i].revents & (POLLERR | POLLHUP) else 0)
            found += 1
            if found == room:      # level-triggered: the rest is reported again
                break
    return found
