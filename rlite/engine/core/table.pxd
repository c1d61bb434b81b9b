"""A hash table: buckets of one cache line, growth a bucket at a time. A stripe's holds entries; a large hash, set or
sorted set has one of its own, whose items are passed as entry_t* too, and keep their keys elsewhere (`key_at`).

Knows nothing of locks, time or commands: whoever calls holds the stripe's lock. Nothing here needs the GIL.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

cdef enum:                     # value_type
    TYPE_STRING = 0            # Redis's numbers, which DEBUG DIGEST hashes
    TYPE_LIST = 1              # the value area of all but strings holds a pointer (values.pxd)
    TYPE_SET = 2
    TYPE_ZSET = 3
    TYPE_HASH = 4
    TYPE_STREAM = 6

cdef enum:                     # entry_flag
    ENTRY_RAW = 1              # OBJECT ENCODING says `raw` whatever the length: APPEND, SETRANGE or SETBIT made it
    ENTRY_TEXT = 2             # … says no `int`: INCRBYFLOAT made it

cdef struct entry_t:           # one allocation: this header, then the key's bytes, then the value's
    entry_t* newer             # neighbours in the stripe's order of access
    entry_t* older
    uint64_t stamp             # monotonic ns of the last access
    uint32_t heap_pos          # 1 + slot in the stripe's heap of deadlines; 0: no deadline
    uint32_t klen
    uint32_t vlen
    uint8_t type               # value_type
    uint8_t flags              # entry_flag
    uint8_t lfu                # logarithmic access counter (LFU policies)
    uint8_t encoding           # of a value that is no string (values.pxd)

cdef struct bucket_t:          # 64 bytes
    uint64_t meta              # bits 0-6: slot holds an entry; bit 7: slot[6] is a child bucket; bytes 1-7: tags
    void* slot[7]

cdef struct table_t:
    bucket_t* buckets[2]       # [1] only while growing or shrinking
    int exp[2]                 # log2 of the number of buckets; -1: no such table
    int64_t used[2]
    int64_t rehash_at          # next bucket of [0] to move to [1]; -1: not rehashing
    int64_t bytes              # what both arrays and all child buckets take
    uint64_t seed[2]           # SipHash key, the same in every table of a process
    int key_at                 # where an item's key begins, and its length (4 bytes) stands
    int klen_at

ctypedef void (*visit_fn)(void* context, entry_t* e) noexcept nogil

cdef void table_init(table_t* t, const uint64_t* seed) noexcept nogil     # of entries
cdef void table_init_items(table_t* t, const uint64_t* seed, int key_at, int klen_at) noexcept nogil   # of others
cdef void table_release(table_t* t) noexcept nogil           # the arrays; entries are the caller's
cdef int64_t table_size(const table_t* t) noexcept nogil
cdef entry_t* table_find(table_t* t, uint64_t h, const char* key, size_t klen) noexcept nogil
cdef void table_prefetch(table_t* t, uint64_t h) noexcept nogil           # the bucket; needs no lock
cdef void table_prefetch_entry(table_t* t, uint64_t h) noexcept nogil     # what the bucket offers; under the lock
cdef void table_reserve(table_t* t, int64_t items) noexcept nogil          # of an empty table: so many are to come
cdef bint table_insert(table_t* t, uint64_t h, entry_t* e) noexcept nogil    # key must be absent; False: no memory
cdef void table_remove(table_t* t, uint64_t h, entry_t* e) noexcept nogil    # must be present
cdef void table_replace(table_t* t, uint64_t h, uintptr_t old, entry_t* new) noexcept nogil   # old: its former address
cdef void table_rehash(table_t* t, int steps) noexcept nogil
cdef uint64_t table_scan(table_t* t, uint64_t cursor, visit_fn visit, void* context) noexcept nogil
cdef void table_each(table_t* t, visit_fn visit, void* context) noexcept nogil   # every entry; must not change it
cdef void table_bucket(table_t* t, uint64_t h, visit_fn visit, void* context) noexcept nogil  # entries beside h
cdef entry_t* table_random(table_t* t, uint64_t* state) noexcept nogil       # NULL: empty

cdef inline char* entry_key(entry_t* e) noexcept nogil:
    return <char*>e + sizeof(entry_t)

cdef inline char* entry_value(entry_t* e) noexcept nogil:
    return <char*>e + sizeof(entry_t) + e.klen

cdef inline uint64_t next_random(uint64_t* state) noexcept nogil:
    """xorshift64*: for sampling, never for secrets. The state must not be 0."""
    cdef uint64_t x = state[0]
    x ^= x >> 12
    x ^= x << 25
    x ^= x >> 27
    state[0] = x
    return x * <uint64_t>0x2545F4914F6CDD1D
