"""Plain integers that count: one set a thread, summed when somebody asks."""
from libc.stdint cimport int64_t

cdef struct tally_t:           # of one command
    int64_t calls
    int64_t ns
    int64_t failed             # it ran and answered with an error
    int64_t rejected           # it was refused before it ran

cdef class Counters:
    """Written by one thread (or under the GIL), read by all."""
    cdef tally_t* tallies      # by command id
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

    cdef inline void count_error(self, int which) noexcept nogil:
        self.by_error[which] += 1
