"""Lists: what the list commands and the views of Python share. `e` holds a list, its stripe's lock is held."""
from libc.stdint cimport int64_t

from rlite.engine.core.keyspace cimport keyspace_t
from rlite.engine.core.packed cimport byte
from rlite.engine.core.quicklist cimport spot_t
from rlite.engine.core.table cimport entry_t

cdef int64_t list_len(entry_t* e) noexcept nogil
cdef spot_t list_seek(entry_t* e, int64_t index) noexcept nogil          # .at NULL: out of range
cdef void list_step(spot_t* s, bint forward) noexcept nogil
cdef bint list_push(keyspace_t* ks, entry_t* e, bint left, const char* data, size_t size) noexcept nogil
cdef bint list_insert(keyspace_t* ks, entry_t* e, spot_t s, bint after, const char* data, size_t size) noexcept nogil
cdef bint list_replace(keyspace_t* ks, entry_t* e, spot_t s, const char* data, size_t size) noexcept nogil
cdef spot_t list_remove(entry_t* e, spot_t s) noexcept nogil             # returns what came after
cdef void list_remove_range(entry_t* e, int64_t start, int64_t n) noexcept nogil
cdef void list_shrunk(keyspace_t* ks, entry_t* e) noexcept nogil         # after removals: packed again where it is small
cdef void* list_empty(int* encoding) noexcept nogil                      # a new value; NULL: no memory
