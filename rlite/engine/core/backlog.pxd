"""The newest part of the replication stream, in memory: what a replica is sent, and can come back for.

Blocks of 1 MiB in a row; a byte of the history stands at its offset, and is never moved nor changed once it is there.
Everything here is called under the log's `lock`; what has been looked up may be read without it, by whoever has joined at
or before that place: blocks that somebody still needs stay.
"""
from libc.stdint cimport int64_t

cdef enum:
    BLOCK_BITS = 20
    BLOCK = 1 << BLOCK_BITS

cdef struct place_t:           # how far somebody has read
    int64_t at                 # offset of the first byte that he has not taken; published, he alone moves it
    int overrun                # published; he is too far behind, and is to leave

cdef struct backlog_t:
    int on                     # published
    char** blocks              # NULL: there are none
    int count
    int cap
    int64_t base               # offset at which the first block begins
    int64_t first              # offset of the oldest byte; published
    int64_t end                # offset behind the newest
    int64_t size               # repl-backlog-size: as much is kept at least, once it was there
    int64_t limit              # bytes that a reader may be behind; 0: any number
    char* spare                # a block to be used again
    place_t** places
    int joined
    int room                   # for places

cdef bint backlog_begin(backlog_t* b, int64_t offset) noexcept nogil       # False: no memory
cdef void backlog_end(backlog_t* b) noexcept nogil
cdef void backlog_put(backlog_t* b, const char* data, size_t size) noexcept nogil
cdef bint backlog_join(backlog_t* b, place_t* p) noexcept nogil            # False: its place is not there, or no memory
cdef void backlog_leave(backlog_t* b, place_t* p) noexcept nogil
cdef size_t backlog_look(backlog_t* b, int64_t at, int64_t until, const char** data) noexcept nogil   # bytes in one piece
