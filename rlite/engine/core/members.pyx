# cython: cdivision=True
"""Large sets and hashes. Every item is one allocation, counted as the allocator granted it."""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from rlite.engine.core.heap cimport heap_init_items, heap_push, heap_release, heap_remove, heap_update
from rlite.engine.core.platform cimport rl_granted
from rlite.engine.core.siphash cimport siphash13
from rlite.engine.core.table cimport (
    entry_t, table_each, table_find, table_init_items, table_insert, table_release, table_remove, table_replace,
)


cdef void free_item(void* context, entry_t* e) noexcept nogil:
    free(e)


# --- sets ------------------------------------------------------------------------------------------------------------

cdef set_t* members_new(const uint64_t* seed) noexcept nogil:
    cdef set_t* s = <set_t*>calloc(1, sizeof(set_t))
    if s != NULL:
        table_init_items(&s.table, seed, sizeof(member_t), 0)
        s.bytes = rl_granted(s)
    return s


cdef void members_free(set_t* s) noexcept nogil:
    table_each(&s.table, free_item, NULL)
    table_release(&s.table)
    free(s)


cdef member_t* members_find(set_t* s, const char* data, size_t size) noexcept nogil:
    return <member_t*>table_find(&s.table, siphash13(s.table.seed, data, size), data, size)


cdef int members_add(set_t* s, const char* data, size_t size) noexcept nogil:
    cdef uint64_t h = siphash13(s.table.seed, data, size)
    cdef member_t* m
    if table_find(&s.table, h, data, size) != NULL:
        return 0
    m = <member_t*>malloc(sizeof(member_t) + size)
    if m == NULL:
        return -1
    m.klen = <uint32_t>size
    memcpy(member_key(m), data, size)
    if not table_insert(&s.table, h, <entry_t*>m):
        free(m)
        return -1
    s.bytes += rl_granted(m)
    return 1


cdef void members_remove(set_t* s, member_t* m) noexcept nogil:
    table_remove(&s.table, siphash13(s.table.seed, member_key(m), m.klen), <entry_t*>m)
    s.bytes -= rl_granted(m)
    free(m)


cdef struct copy_t:
    void* to
    void* source
    bint failed


cdef void copy_member(void* context, entry_t* e) noexcept nogil:
    cdef copy_t* c = <copy_t*>context
    cdef member_t* m = <member_t*>e
    if members_add(<set_t*>c.to, member_key(m), m.klen) < 0:
        c.failed = True


cdef set_t* members_copy(set_t* s) noexcept nogil:
    cdef copy_t c
    c.to = members_new(s.table.seed)
    c.failed = False
    if c.to == NULL:
        return NULL
    table_each(&s.table, copy_member, &c)
    if c.failed:
        members_free(<set_t*>c.to)
        return NULL
    return <set_t*>c.to


# --- hashes ----------------------------------------------------------------------------------------------------------

cdef hash_t* fields_new(const uint64_t* seed) noexcept nogil:
    cdef hash_t* h = <hash_t*>calloc(1, sizeof(hash_t))
    cdef field_t f
    if h != NULL:
        table_init_items(&h.table, seed, sizeof(field_t), <int>(<char*>&f.klen - <char*>&f))
        heap_init_items(&h.deadlines, 0)
        h.bytes = rl_granted(h)
    return h


cdef void fields_free(hash_t* h) noexcept nogil:
    table_each(&h.table, free_item, NULL)
    table_release(&h.table)
    heap_release(&h.deadlines)
    free(h)


cdef field_t* fields_find(hash_t* h, const char* data, size_t size) noexcept nogil:
    return <field_t*>table_find(&h.table, siphash13(h.table.seed, data, size), data, size)


cdef int fields_set(hash_t* h, const char* data, size_t size, const char* value, size_t vlen) noexcept nogil:
    """Gives a field its value; a deadline it had stays. 1: the field is new; 0: it was there; -1: no memory."""
    cdef uint64_t at = siphash13(h.table.seed, data, size)
    cdef field_t* f = <field_t*>table_find(&h.table, at, data, size)
    cdef field_t* moved
    cdef uintptr_t former = <uintptr_t>f
    cdef int64_t before
    if f != NULL:
        if f.vlen != vlen:
            before = rl_granted(f)
            moved = <field_t*>realloc(f, sizeof(field_t) + size + vlen)
            if moved == NULL:
                return -1
            if <uintptr_t>moved != former:
                table_replace(&h.table, at, former, <entry_t*>moved)
                if moved.heap_pos:
                    h.deadlines.slots[moved.heap_pos - 1].entry = <entry_t*>moved
            f = moved
            f.vlen = <uint32_t>vlen
            h.bytes += <int64_t>rl_granted(f) - before
        memcpy(field_value(f), value, vlen)
        return 0
    f = <field_t*>malloc(sizeof(field_t) + size + vlen)
    if f == NULL:
        return -1
    f.heap_pos = 0
    f.klen = <uint32_t>size
    f.vlen = <uint32_t>vlen
    memcpy(field_key(f), data, size)
    memcpy(field_value(f), value, vlen)
    if not table_insert(&h.table, at, <entry_t*>f):
        free(f)
        return -1
    h.bytes += rl_granted(f)
    return 1


cdef void fields_remove(hash_t* h, field_t* f) noexcept nogil:
    if f.heap_pos:
        heap_remove(&h.deadlines, <entry_t*>f)
    table_remove(&h.table, siphash13(h.table.seed, field_key(f), f.klen), <entry_t*>f)
    h.bytes -= rl_granted(f)
    free(f)


cdef bint fields_deadline(hash_t* h, field_t* f, int64_t at) noexcept nogil:
    if f.heap_pos:
        heap_update(&h.deadlines, <entry_t*>f, at)
        return True
    return heap_push(&h.deadlines, <entry_t*>f, at)


cdef void fields_persist(hash_t* h, field_t* f) noexcept nogil:
    if f.heap_pos:
        heap_remove(&h.deadlines, <entry_t*>f)


cdef void copy_field(void* context, entry_t* e) noexcept nogil:
    cdef copy_t* c = <copy_t*>context
    cdef hash_t* to = <hash_t*>c.to
    cdef hash_t* source = <hash_t*>c.source
    cdef field_t* f = <field_t*>e
    if fields_set(to, field_key(f), f.klen, field_value(f), f.vlen) < 0:
        c.failed = True
    elif f.heap_pos and not fields_deadline(
            to, fields_find(to, field_key(f), f.klen), source.deadlines.slots[f.heap_pos - 1].at):
        c.failed = True


cdef hash_t* fields_copy(hash_t* h) noexcept nogil:
    cdef copy_t c
    c.to = fields_new(h.table.seed)
    c.source = h
    c.failed = False
    if c.to == NULL:
        return NULL
    table_each(&h.table, copy_field, &c)
    if c.failed:
        fields_free(<hash_t*>c.to)
        return NULL
    return <hash_t*>c.to
