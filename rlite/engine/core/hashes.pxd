"""Hashes: what the hash commands and the views of Python share. `e` holds a hash, its stripe's lock is held."""
from libc.stdint cimport int64_t

from rlite.engine.core.keyspace cimport keyspace_t, stripe_t
from rlite.engine.core.members cimport hash_t
from rlite.engine.core.packed cimport piece_t
from rlite.engine.core.table cimport entry_t

cdef int64_t hash_len(entry_t* e) noexcept nogil
cdef bint hash_get(entry_t* e, const char* field, size_t size, piece_t* value) noexcept nogil      # False: no such field
cdef int hash_set(keyspace_t* ks, stripe_t* s, entry_t* e, const char* field, size_t size, const char* value,
                  size_t vlen, bint keep_ttl) noexcept nogil        # 1: new; 0: it was there; -1: no memory
cdef bint hash_delete(stripe_t* s, entry_t* e, const char* field, size_t size) noexcept nogil
cdef hash_t* hash_unpack(keyspace_t* ks, entry_t* e) noexcept nogil  # the full form, made where it is not; NULL: no memory
cdef void* hash_empty(int* encoding) noexcept nogil
