"""One database as Python handlers see it: typed operations on keys, under the locks the dispatcher took."""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.keyspace cimport Keyspace, keyspace_t, stripe_t
from rlite.engine.core.table cimport entry_t
from rlite.engine.core.views cimport View


cdef struct collector_t:
    void* list_                # a Python list; visits run with the GIL held by the caller
    keyspace_t* ks
    stripe_t* s
    int64_t now_ms
    const char* pattern        # NULL: all
    size_t plen
    int type_                  # -1: all


cdef class Database:
    cdef Keyspace keyspace
    cdef keyspace_t* ks
    cdef readonly int index
    cdef uint64_t held                 # locks this call holds
    cdef int64_t now_ns
    cdef public bint no_touch          # CLIENT NO-TOUCH

    cdef View view(self, bytes key, int kind, type cls, bint create)
    cdef int take(self, uint64_t mask) except -1
    cdef uint64_t enter(self, uint64_t h) except? 0
    cdef entry_t* find(self, bytes key, uint64_t h, bint touched) noexcept
    cdef stripe_t* stripe(self, uint64_t h) noexcept
    cdef uint64_t hash(self, bytes key) noexcept
    cdef tuple _part(self, bytes key, int64_t start, int64_t end)
    cdef void _collector(self, collector_t* c, list found, bytes pattern, type_name) except *
    cdef int _all_or_none(self) except -1
