"""A min-heap of deadlines whose entries know their place in it, so that any of them leaves in O(log n).

Runs under the stripe's lock, without the GIL.
"""
from libc.stdint cimport int64_t, uint32_t

from rlite.engine.core.table cimport entry_t

cdef struct deadline_t:
    int64_t at                 # monotonic milliseconds
    entry_t* entry

cdef struct heap_t:
    deadline_t* slots
    uint32_t len
    uint32_t cap
    int pos_at                 # where an item keeps its place (4 bytes)

cdef void heap_init(heap_t* h) noexcept nogil                                  # of entries
cdef void heap_init_items(heap_t* h, int pos_at) noexcept nogil                # of others
cdef void heap_release(heap_t* h) noexcept nogil
cdef bint heap_push(heap_t* h, entry_t* e, int64_t at) noexcept nogil          # has no deadline; False: no memory
cdef void heap_remove(heap_t* h, entry_t* e) noexcept nogil                    # e has a deadline
cdef void heap_update(heap_t* h, entry_t* e, int64_t at) noexcept nogil        # e has a deadline
cdef int64_t heap_due(const heap_t* h, int64_t now) noexcept nogil             # how many are at or before `now`

cdef inline int64_t heap_bytes(const heap_t* h) noexcept nogil:
    return h.cap * sizeof(deadline_t)
