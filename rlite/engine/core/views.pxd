"""Values as Python handlers see them. A view is good while the locks are held under which it was made."""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.keyspace cimport Keyspace, keyspace_t, stripe_t
from rlite.engine.core.table cimport entry_t


cdef class View:
    cdef Keyspace keyspace
    cdef keyspace_t* ks
    cdef stripe_t* s
    cdef entry_t* e            # NULL: there is no such key, now
    cdef uint64_t h
    cdef readonly bytes key
    cdef int64_t now_ns

    cdef int _make(self, int kind, int encoding, void* value) except -1
    cdef int _settle(self, int64_t before) except -1


cdef class ListView(View):
    cdef int _open(self) except -1


cdef class HashView(View):
    cdef int _open(self) except -1


cdef class SetView(View):
    cdef int _open(self, bytes first, int64_t hint) except -1


cdef class SortedSetView(View):
    pass
