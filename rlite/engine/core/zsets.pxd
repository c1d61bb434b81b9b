"""Sorted sets: what their commands and the views of Python share. `e` holds one, its stripe's lock is held."""
from libc.stdint cimport int64_t

from rlite.engine.core.keyspace cimport keyspace_t
from rlite.engine.core.packed cimport byte, piece_t
from rlite.engine.core.resp cimport out_t
from rlite.engine.core.skiplist cimport node_t
from rlite.engine.core.table cimport entry_t

cdef struct seat_t:            # a member's place; it holds until the set changes
    byte* at                   # packed: the member; NULL: past an end
    node_t* node               # full

cdef int64_t zset_len(entry_t* e) noexcept nogil
cdef bint zset_score(entry_t* e, const char* data, size_t size, double* score) noexcept nogil     # False: no such member
cdef int64_t zset_rank(entry_t* e, const char* data, size_t size, double* score) noexcept nogil   # -1: no such member
cdef int zset_set(keyspace_t* ks, entry_t* e, const char* data, size_t size, double score) noexcept nogil  # 1: new; 0; -1: no memory
cdef bint zset_remove(entry_t* e, const char* data, size_t size) noexcept nogil
cdef void zset_remove_at(entry_t* e, seat_t seat) noexcept nogil
cdef seat_t zset_at(entry_t* e, int64_t rank) noexcept nogil
cdef void zset_step(entry_t* e, seat_t* seat, bint forward) noexcept nogil
cdef bint seat_ok(seat_t* seat) noexcept nogil
cdef double seat_read(seat_t* seat, piece_t* member) noexcept nogil
cdef int64_t zset_below(entry_t* e, double score, bint inclusive) noexcept nogil
cdef int64_t zset_lex_below(entry_t* e, const char* data, size_t size, bint inclusive) noexcept nogil
cdef void* zset_empty(keyspace_t* ks, size_t size, int* encoding) noexcept nogil                  # for a member of this size
cdef bint parse_double(const char* p, size_t size, double* v) noexcept nogil
