# cython: cdivision=True
"""Sends the stream to one replica: from the backlog into a socket, in a thread of its own, without the GIL.

Takes the log's `lock` for a moment to learn what there is; the bytes go out straight from the backlog, whose blocks stay
for as long as the feed has joined.
"""
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t

from rlite.engine.core.backlog cimport backlog_join, backlog_leave, backlog_look, place_t
from rlite.engine.core.log cimport Log, log_limit, log_t
from rlite.engine.core.platform cimport (
    pthread_mutex_lock, pthread_mutex_unlock, rl_add_int, rl_fence, rl_load, rl_load_int, rl_spin_lock, rl_spin_unlock,
    rl_store, rl_store_int, rl_wait_ms,
)

cdef extern from *:
    """
    #include <poll.h>
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    /* Whether a socket takes bytes, or has ended, within some milliseconds. */
    static inline int rl_poll_out(int fd, int ms) {
        struct pollfd p = {fd, POLLOUT, 0};
        return poll(&p, 1, ms);
    }
    """
    ssize_t c_send "send" (int fd, const void* data, size_t size, int flags) nogil
    int MSG_NOSIGNAL, MSG_DONTWAIT
    int rl_poll_out(int fd, int ms) nogil

cdef enum:
    LOOK_MS = 100              # how long it sleeps at most before it looks whether it is to stop
    PIECE = 1 << 18            # bytes offered to the socket at once

cdef enum end_t:
    END_STOPPED
    END_OVERRUN
    END_CLOSED

ENDS = {END_STOPPED: "stopped", END_OVERRUN: "overrun", END_CLOSED: "closed"}


cdef class Feed:
    """What one replica is sent from memory, from an offset on. `join` first, then `run`, `leave` at last."""
    cdef Log log
    cdef place_t place
    cdef int stopping
    cdef bint joined
    cdef int64_t _sent

    def __cinit__(self, Log log not None):
        self.log = log

    def __dealloc__(self):
        self.leave()

    def join(self, int64_t at) -> bool:
        """Holds the stream from this offset on in memory. False: it is not there (any more), or there is no memory."""
        cdef log_t* l = self.log.log
        self.leave()
        rl_store(&self.place.at, at)
        rl_store_int(&self.place.overrun, 0)
        rl_spin_lock(&l.lock)
        self.joined = backlog_join(&l.backlog, &self.place)
        rl_spin_unlock(&l.lock)
        return self.joined

    def leave(self):
        """Needs nothing more. Not while `run` is at work."""
        cdef log_t* l = self.log.log
        if self.joined:
            rl_spin_lock(&l.lock)
            backlog_leave(&l.backlog, &self.place)
            rl_spin_unlock(&l.lock)
            self.joined = False

    def run(self, int fd) -> str:
        """Sends to a socket, from where it has joined, for as long as it goes. Returns why it ended, a word of ENDS."""
        cdef end_t why
        if not self.joined:
            raise ValueError("it has not joined")
        with nogil:
            why = self.send(fd)
        return ENDS[why]

    def stop(self):
        """Has `run` end within a tenth of a second. From any thread."""
        rl_store_int(&self.stopping, 1)

    cdef end_t send(self, int fd) noexcept nogil:
        cdef:
            log_t* l = self.log.log
            int64_t at = self.place.at
            const char* data = NULL
            size_t size
            ssize_t n
        while True:
            if rl_load_int(&self.stopping):
                return END_STOPPED
            if rl_load_int(&self.place.overrun):
                return END_OVERRUN
            rl_spin_lock(&l.lock)
            size = backlog_look(&l.backlog, at, log_limit(l), &data)
            rl_spin_unlock(&l.lock)
            if size == 0:
                self.sleep(at)
                continue
            n = c_send(fd, data, min(size, <size_t>PIECE), MSG_NOSIGNAL | MSG_DONTWAIT)
            if n > 0:
                at += n
                rl_store(&self.place.at, at)
                rl_store(&self._sent, self._sent + n)
            elif n < 0 and errno == EAGAIN:
                rl_poll_out(fd, LOOK_MS)
            elif n < 0 and errno != EINTR:
                return END_CLOSED

    cdef void sleep(self, int64_t at) noexcept nogil:
        """Waits for more to send, or for a moment."""
        cdef log_t* l = self.log.log
        cdef int64_t limit
        pthread_mutex_lock(&l.feed_mutex)
        rl_add_int(&l.sleepers, 1)
        rl_fence()                     # whoever has something to send looks for sleepers after it is there
        rl_spin_lock(&l.lock)
        limit = log_limit(l)
        rl_spin_unlock(&l.lock)
        if limit <= at and not rl_load_int(&self.stopping):
            rl_wait_ms(&l.feed_cond, &l.feed_mutex, LOOK_MS)
        rl_add_int(&l.sleepers, -1)
        pthread_mutex_unlock(&l.feed_mutex)

    @property
    def at(self):
        """Offset of the first byte that it has not given to the socket."""
        return rl_load(&self.place.at)

    @property
    def sent(self):
        """Bytes given to sockets."""
        return rl_load(&self._sent)

    @property
    def overrun(self):
        """Whether it is further behind than it may be."""
        return rl_load_int(&self.place.overrun) != 0
