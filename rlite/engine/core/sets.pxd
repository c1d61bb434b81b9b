"""Sets: what the set commands and the views of Python share. `e` holds a set, its stripe's lock is held."""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.keyspace cimport keyspace_t
from rlite.engine.core.packed cimport piece_t
from rlite.engine.core.table cimport entry_t

cdef int64_t set_len(entry_t* e) noexcept nogil
cdef bint set_has(entry_t* e, const char* data, size_t size) noexcept nogil
cdef int set_add(keyspace_t* ks, entry_t* e, const char* data, size_t size) noexcept nogil   # 1: new; 0: there; -1: no memory
cdef bint set_remove(entry_t* e, const char* data, size_t size) noexcept nogil
cdef void set_random(entry_t* e, uint64_t* state, piece_t* piece) noexcept nogil             # it holds something
cdef void* set_empty(keyspace_t* ks, const char* data, size_t size, int64_t hint, int* encoding) noexcept nogil
