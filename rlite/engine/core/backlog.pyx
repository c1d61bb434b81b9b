# cython: cdivision=True
"""The newest part of the replication stream, in memory."""
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove

from rlite.engine.core.platform cimport rl_load, rl_store, rl_store_int

cdef enum:
    FEW = 16                   # blocks, places: an array begins with room for as many


cdef bint backlog_begin(backlog_t* b, int64_t offset) noexcept nogil:
    if b.blocks == NULL:
        b.blocks = <char**>malloc(FEW * sizeof(char*))
        if b.blocks == NULL:
            return False
        b.cap = FEW
    b.count = 0
    b.base = offset & ~<int64_t>(BLOCK - 1)
    b.end = offset
    rl_store(&b.first, offset)
    rl_store_int(&b.on, 1)
    return True


cdef void release_blocks(backlog_t* b) noexcept nogil:
    cdef int i
    for i in range(b.count):
        free(b.blocks[i])
    b.count = 0


cdef void backlog_end(backlog_t* b) noexcept nogil:
    rl_store_int(&b.on, 0)
    release_blocks(b)
    free(b.blocks)
    free(b.spare)
    free(b.places)
    b.blocks, b.spare, b.places = NULL, NULL, NULL
    b.cap = b.joined = b.room = 0


cdef void trim(backlog_t* b) noexcept nogil:
    """Lets go of the blocks that are older than what is kept, and that nobody is still to read."""
    cdef int64_t keep = b.end - b.size, at
    cdef int i, gone = 0
    for i in range(b.joined):
        at = rl_load(&b.places[i].at)
        keep = min(keep, at)
        if b.limit and b.end - at > b.limit:
            rl_store_int(&b.places[i].overrun, 1)
    while gone < b.count - 1 and b.base + (<int64_t>(gone + 1) << BLOCK_BITS) <= keep:
        if b.spare == NULL:
            b.spare = b.blocks[gone]
        else:
            free(b.blocks[gone])
        gone += 1
    if gone:
        memmove(b.blocks, b.blocks + gone, (b.count - gone) * sizeof(char*))
        b.count -= gone
        b.base += <int64_t>gone << BLOCK_BITS
        rl_store(&b.first, b.base)


cdef bint add_block(backlog_t* b) noexcept nogil:
    cdef char** grown
    trim(b)
    if b.count == b.cap:
        grown = <char**>realloc(b.blocks, 2 * b.cap * sizeof(char*))
        if grown == NULL:
            return False
        b.blocks = grown
        b.cap *= 2
    if b.spare == NULL:
        b.spare = <char*>malloc(BLOCK)
        if b.spare == NULL:
            return False
    b.blocks[b.count] = b.spare
    b.spare = NULL
    b.count += 1
    return True


cdef void forget(backlog_t* b, int64_t offset) noexcept nogil:
    """Memory is short: what is there goes, and the backlog begins anew. Who was reading it must leave; his blocks wait
    for that, so they are given up, not freed."""
    cdef int i
    for i in range(b.joined):
        rl_store_int(&b.places[i].overrun, 1)
    if b.joined == 0:
        release_blocks(b)
    b.count = 0
    b.base = offset & ~<int64_t>(BLOCK - 1)
    b.end = offset
    rl_store(&b.first, offset)


cdef void backlog_put(backlog_t* b, const char* data, size_t size) noexcept nogil:
    cdef size_t at, n
    cdef int64_t behind = b.end + <int64_t>size
    while size:
        at = <size_t>(b.end - b.base)
        if at >> BLOCK_BITS == <size_t>b.count and not add_block(b):
            forget(b, behind)
            return
        at = <size_t>(b.end - b.base)          # older blocks may have gone
        n = min(size, <size_t>BLOCK - (at & (BLOCK - 1)))
        memcpy(b.blocks[at >> BLOCK_BITS] + (at & (BLOCK - 1)), data, n)
        data += n
        size -= n
        b.end += n


cdef bint backlog_join(backlog_t* b, place_t* p) noexcept nogil:
    cdef place_t** grown
    if not b.on or not b.first <= p.at <= b.end:
        return False
    if b.joined == b.room:
        grown = <place_t**>realloc(b.places, (b.room + FEW) * sizeof(place_t*))
        if grown == NULL:
            return False
        b.places = grown
        b.room += FEW
    b.places[b.joined] = p
    b.joined += 1
    return True


cdef void backlog_leave(backlog_t* b, place_t* p) noexcept nogil:
    cdef int i
    for i in range(b.joined):
        if b.places[i] == p:
            b.joined -= 1
            b.places[i] = b.places[b.joined]
            return


cdef size_t backlog_look(backlog_t* b, int64_t at, int64_t until, const char** data) noexcept nogil:
    cdef size_t place
    if at >= until or at < b.first or at >= b.end:
        return 0
    place = <size_t>(at - b.base)
    data[0] = b.blocks[place >> BLOCK_BITS] + (place & (BLOCK - 1))
    return min(<size_t>(min(until, b.end) - at), <size_t>BLOCK - (place & (BLOCK - 1)))
