"""Large sets and hashes: a table of members, or of fields with their values and, where they have one, a deadline."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from rlite.engine.core.heap cimport heap_t
from rlite.engine.core.table cimport entry_t, table_t

cdef struct member_t:          # one allocation: this, then the member's bytes
    uint32_t klen

cdef struct set_t:
    table_t table
    int64_t bytes              # this struct and all members, as granted; the table counts for itself

cdef struct field_t:           # one allocation: this, then the field's bytes, then the value's
    uint32_t heap_pos          # 1 + slot in the hash's heap; 0: no deadline
    uint32_t klen
    uint32_t vlen

cdef struct hash_t:
    table_t table
    heap_t deadlines           # of fields, monotonic ms
    int64_t bytes              # as of set_t
    entry_t* entry             # whose value this is, while a field has a deadline
    uint32_t heap_pos          # in the stripe's heap of hashes that have fields with deadlines
    int64_t hidden             # fields that whoever looked it up last may not see, for they are past their deadline
    int64_t hidden_at          # monotonic ms; while `hidden`: those due by then

cdef inline char* member_key(member_t* m) noexcept nogil:
    return <char*>m + sizeof(member_t)

cdef inline char* field_key(field_t* f) noexcept nogil:
    return <char*>f + sizeof(field_t)

cdef inline char* field_value(field_t* f) noexcept nogil:
    return <char*>f + sizeof(field_t) + f.klen

cdef inline bint is_hidden(hash_t* h, field_t* f) noexcept nogil:
    return h.hidden and f.heap_pos and h.deadlines.slots[f.heap_pos - 1].at <= h.hidden_at

cdef set_t* members_new(const uint64_t* seed) noexcept nogil                       # NULL: no memory
cdef void members_free(set_t* s) noexcept nogil
cdef set_t* members_copy(set_t* s) noexcept nogil
cdef member_t* members_find(set_t* s, const char* data, size_t size) noexcept nogil
cdef int members_add(set_t* s, const char* data, size_t size) noexcept nogil       # 1: added; 0: there; -1: no memory
cdef void members_remove(set_t* s, member_t* m) noexcept nogil

cdef hash_t* fields_new(const uint64_t* seed) noexcept nogil
cdef void fields_free(hash_t* h) noexcept nogil
cdef hash_t* fields_copy(hash_t* h) noexcept nogil                                 # belongs to no entry yet
cdef field_t* fields_find(hash_t* h, const char* data, size_t size) noexcept nogil
cdef int fields_set(hash_t* h, const char* data, size_t size, const char* value, size_t vlen) noexcept nogil
cdef void fields_remove(hash_t* h, field_t* f) noexcept nogil
cdef bint fields_deadline(hash_t* h, field_t* f, int64_t at) noexcept nogil        # False: no memory
cdef void fields_persist(hash_t* h, field_t* f) noexcept nogil
