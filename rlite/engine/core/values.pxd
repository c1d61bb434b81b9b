"""Values that are no strings: how an entry holds them, what they take, how they end.

The entry's value area holds one pointer; `encoding` says to what. What a value takes is counted in the stripe's
entry_bytes: who changes a value brackets the change with `value_bytes` before and `settle` after.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from rlite.engine.core.table cimport entry_t, entry_value

cdef enum:                     # entry_t.encoding
    PACKED = 0                 # a listpack (packed.pxd)
    INTSET = 1                 # (intset.pxd)
    FULL = 2                   # quick_t, set_t, zset_t, hash_t, stream_t

cdef inline void* value_of(entry_t* e) noexcept nogil:
    cdef void* p
    memcpy(&p, entry_value(e), sizeof(p))      # behind a key of any length, so of any alignment
    return p

cdef inline void set_value(entry_t* e, void* p, int encoding) noexcept nogil:
    memcpy(entry_value(e), &p, sizeof(p))
    e.encoding = <unsigned char>encoding

cdef int64_t bytes_of(int kind, int encoding, void* value) noexcept nogil
cdef int64_t count_of(int kind, int encoding, void* value) noexcept nogil      # elements
cdef void free_value(int kind, int encoding, void* value) noexcept nogil
cdef void discard(int kind, int encoding, void* value) noexcept nogil          # frees it; a large one later, elsewhere
cdef void empty_bin() noexcept nogil                                           # … which is here
cdef int64_t bin_len() noexcept nogil
cdef void* copy_value(entry_t* e) noexcept nogil                               # NULL: no memory
cdef int64_t audit_value(entry_t* e) noexcept nogil                            # bytes, counted anew; -1: unsound
cdef const char* type_name(int kind) noexcept nogil
cdef const char* encoding_name(entry_t* e) noexcept nogil

cdef inline int64_t value_bytes(entry_t* e) noexcept nogil:
    """What the value takes beside the entry."""
    return bytes_of(e.type, e.encoding, value_of(e)) if e.type else 0
