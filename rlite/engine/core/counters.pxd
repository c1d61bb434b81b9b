"""Plain integers that count: one set a thread, summed when somebody asks."""
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc

from rlite.engine.core.histogram cimport histogram_t, note_time
from rlite.engine.core.platform cimport rl_publish

cdef struct tally_t:           # of one command
    int64_t calls
    int64_t ns
    int64_t failed             # it ran and answered with an error
    int64_t rejected           # it was refused before it ran

cdef class Counters:
    """Written by one thread (or under the GIL), read by all."""
    cdef tally_t* tallies      # by command id
    cdef histogram_t** times   # by command id, of those that ran while `tracking`; NULL: it did not
    cdef bint tracking
    cdef readonly int size
    cdef int64_t commands
    cdef int64_t hits
    cdef int64_t misses
    cdef int64_t dirty         # changes to the data set
    cdef int64_t net_in
    cdef int64_t net_out
    cdef int64_t reads         # turns of reading and writing on sockets
    cdef int64_t writes
    cdef int64_t* by_error     # error replies of the core, by errors.pxd

    cdef inline void count(self, int which, int64_t ns, bint failed) noexcept nogil:
        cdef tally_t* t = &self.tallies[which]
        t.calls += 1
        t.ns += ns
        self.commands += 1
        if failed:
            t.failed += 1
        if self.tracking:
            if self.times[which] == NULL:
                rl_publish(<void**>&self.times[which], calloc(1, sizeof(histogram_t)))
                if self.times[which] == NULL:      # without memory it is not counted this time
                    return
            note_time(self.times[which], ns)

    cdef inline void count_error(self, int which) noexcept nogil:
        self.by_error[which] += 1
