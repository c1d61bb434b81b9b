"""Large sorted sets: a skip list whose links know how far they reach (rank and range in O(log n)), and a table of
its nodes by member. Source: W. Pugh, "Skip Lists" (1990), with spans as Redis adds them.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from rlite.engine.core.table cimport table_t

cdef enum:
    MAX_LEVEL = 32

cdef struct link_t:
    node_t* to
    int64_t span               # nodes from here to there

cdef struct node_t:            # one allocation: its links, the highest first, then this, then the member's bytes
    double score
    node_t* back
    uint32_t klen
    int level

cdef struct zset_t:
    table_t table
    node_t* head               # no member
    node_t* tail               # NULL: empty
    int64_t count
    int level
    uint64_t random
    int64_t bytes              # this struct and all nodes, as granted; the table counts for itself

cdef inline link_t* link_at(node_t* n, int level) noexcept nogil:
    return <link_t*>n - 1 - level

cdef inline node_t* node_next(node_t* n) noexcept nogil:
    return link_at(n, 0).to

cdef inline char* node_key(node_t* n) noexcept nogil:
    return <char*>n + sizeof(node_t)

cdef zset_t* zs_new(const uint64_t* seed) noexcept nogil                            # NULL: no memory
cdef void zs_free(zset_t* z) noexcept nogil
cdef zset_t* zs_copy(zset_t* z) noexcept nogil
cdef node_t* zs_find(zset_t* z, const char* data, size_t size) noexcept nogil
cdef bint zs_add(zset_t* z, double score, const char* data, size_t size) noexcept nogil   # absent; False: no memory
cdef bint zs_move(zset_t* z, node_t* n, double score) noexcept nogil
cdef void zs_remove(zset_t* z, node_t* n) noexcept nogil
cdef int64_t zs_rank(zset_t* z, node_t* n) noexcept nogil                           # from 0
cdef node_t* zs_at(zset_t* z, int64_t rank) noexcept nogil                          # NULL: out of range
cdef int64_t zs_below(zset_t* z, double score, bint inclusive) noexcept nogil       # members of a lower (or equal) score
cdef int64_t zs_lex_below(zset_t* z, const char* data, size_t size, bint inclusive) noexcept nogil
cdef int compare(const char* a, size_t an, const char* b, size_t bn) noexcept nogil
