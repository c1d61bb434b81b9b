"""The stream of a master, applied while clients read (see follow.pyx)."""
from libc.stdint cimport int64_t

from rlite.engine.core.counters cimport Counters
from rlite.engine.core.execute cimport CommandTable
from rlite.engine.core.keyspace cimport Keyspace, keyspace_t
from rlite.engine.core.reactor cimport Gate
from rlite.engine.core.resp cimport arg_t, out_t, parse_t
from rlite.engine.core.steps cimport step_t, steps_t

cdef enum outcome_t:
    GOES_ON
    ENDED                      # `end` was called: nothing more is applied
    BROKEN                     # the stream is none
    RAISED                     # `otherwise` raised, or there was no memory

cdef class Follower:
    cdef Keyspace keyspace
    cdef keyspace_t* ks
    cdef CommandTable table
    cdef Gate gate
    cdef Counters counters
    cdef object otherwise
    cdef object raised
    cdef steps_t steps
    cdef parse_t* parse            # of the steps
    cdef out_t rest                # what has come and is not applied: a command, or a transaction, that does not end yet
    cdef const char* data          # the buffer in hand; what follows are places in it
    cdef size_t begin              # where the command at hand begins
    cdef size_t multi              # where the transaction at hand begins; NONE: there is none
    cdef size_t multi_end          # behind its MULTI
    cdef size_t piece              # where begins what is done, and not yet logged; NONE: there is nothing
    cdef size_t piece_end
    cdef int piece_database        # that it begins in
    cdef bint torn                 # some of the transaction at hand is not for the log
    cdef int64_t base              # offset of the buffer's first byte
    cdef int64_t now_ms            # wall clock of what is applied now
    cdef int database              # of the next command
    cdef int ended                 # published
    cdef public bint asked         # REPLCONF GETACK has come
    cdef int64_t _offset           # published
    cdef int64_t _commands         # published
    cdef int64_t _failed           # published
    cdef readonly object failure

    cdef outcome_t run(self, size_t size) noexcept nogil
    cdef step_t* gather(self) noexcept nogil
    cdef outcome_t flush(self) noexcept nogil
    cdef outcome_t transaction(self) noexcept nogil
    cdef outcome_t alone(self, step_t* step) noexcept nogil
    cdef outcome_t python(self, step_t* step, bint* failed) noexcept
    cdef bint is_plain(self, const step_t* step) noexcept nogil
    cdef outcome_t plain(self, step_t* step, bint* declined) noexcept nogil
    cdef outcome_t no_memory(self) noexcept nogil
    cdef void fails(self, const arg_t* argv, int argc, const char* text, size_t size) noexcept nogil
    cdef void note(self, size_t at, size_t end, int database, bint unlogged) noexcept nogil
    cdef void log_piece(self) noexcept nogil
    cdef void log_gap(self, size_t at, size_t end) noexcept nogil
    cdef int keep(self, size_t size) except -1
