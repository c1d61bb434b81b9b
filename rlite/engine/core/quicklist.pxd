"""Quicklist: a long list as a chain of listpacks, so both ends are O(1) and a step is a few bytes (Redis's name).

A place in it (`spot_t`) holds until the list changes.
"""
from libc.stdint cimport int64_t, uint32_t

from rlite.engine.core.packed cimport byte, needle_t, piece_t

cdef struct node_t:
    node_t* prev
    node_t* next
    byte* lp                   # never empty; a long element has one for itself
    int64_t count

cdef struct quick_t:
    node_t* head
    node_t* tail
    int64_t count              # elements
    int64_t nodes
    int64_t bytes              # nodes and blocks, as granted, and this struct

cdef struct spot_t:
    node_t* node               # NULL: past an end
    byte* at

cdef quick_t* ql_new() noexcept nogil
cdef quick_t* ql_from(byte* lp) noexcept nogil                       # takes the block over; NULL: no memory, untouched
cdef bint ql_append_block(quick_t* q, byte* lp) noexcept nogil       # takes it over, not empty; False: no memory
cdef byte* ql_only_block(quick_t* q) noexcept nogil                  # of one node: its block, and the list is freed
cdef void ql_free(quick_t* q) noexcept nogil
cdef quick_t* ql_copy(quick_t* q) noexcept nogil
cdef bint ql_push(quick_t* q, bint left, const char* data, size_t size, int fill) noexcept nogil
cdef spot_t ql_end(quick_t* q, bint left) noexcept nogil
cdef spot_t ql_seek(quick_t* q, int64_t index) noexcept nogil        # negative: from the end
cdef void ql_step(spot_t* s, bint forward) noexcept nogil
cdef bint ql_insert(quick_t* q, spot_t s, bint after, const char* data, size_t size, int fill) noexcept nogil
cdef bint ql_replace(quick_t* q, spot_t s, const char* data, size_t size, int fill) noexcept nogil
cdef spot_t ql_remove(quick_t* q, spot_t s) noexcept nogil           # returns what came after
cdef void ql_remove_range(quick_t* q, int64_t start, int64_t n) noexcept nogil
cdef bint lp_fits(byte* lp, int64_t count, size_t size, int fill) noexcept nogil   # one more such element
