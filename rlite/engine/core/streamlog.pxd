"""Streams: entries in the order of their ids, in blocks; found by halving (O(log n + m) for m entries).

Consumer groups are Python's (rlite.engine.types.groups); the stream holds them and counts what they take.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef struct id_t:
    uint64_t ms
    uint64_t seq

cdef struct item_t:            # an entry's head; its strings follow: each a varint (LEB128) for its length, and its bytes
    uint32_t size              # of head and strings
    uint32_t fields            # strings: twice the number of pairs
    uint64_t ms
    uint64_t seq
    uint32_t deleted
    uint32_t spare

cdef struct block_t:
    char* data
    uint32_t size
    uint32_t entries           # deleted ones included
    uint32_t live
    id_t first                 # id of the first entry, deleted or not
    id_t last

cdef struct stream_t:
    block_t* blocks            # in order, from `head`
    int64_t head
    int64_t len
    int64_t cap
    int64_t count              # live entries
    id_t last_id
    id_t max_deleted
    uint64_t added
    int64_t bytes              # this struct, blocks, and what the groups say they take
    int64_t groups_bytes
    void* groups               # an owned Python object, or NULL; touched with the GIL only

cdef struct place_t:           # an entry; NULL: none
    item_t* item
    int64_t block

cdef inline int id_cmp(id_t a, id_t b) noexcept nogil:
    if a.ms != b.ms:
        return -1 if a.ms < b.ms else 1
    return -1 if a.seq < b.seq else 1 if a.seq > b.seq else 0

cdef inline id_t item_id(const item_t* item) noexcept nogil:
    cdef id_t i
    i.ms = item.ms
    i.seq = item.seq
    return i

cdef struct text_t:            # a string of an entry
    const char* data
    size_t size

cdef stream_t* sl_new() noexcept nogil
cdef void sl_free(stream_t* s) noexcept nogil
cdef stream_t* sl_copy(stream_t* s) noexcept nogil                     # without the groups
cdef int64_t sl_audit(stream_t* s) noexcept nogil
cdef char* sl_open(stream_t* s, id_t id, uint32_t fields, size_t size, uint32_t max_bytes, uint32_t max_entries) noexcept nogil
cdef size_t text_cost(size_t size) noexcept nogil
cdef char* text_put(char* to, const char* data, size_t size) noexcept nogil
cdef const char* text_get(const char* at, text_t* text) noexcept nogil
cdef place_t sl_from(stream_t* s, id_t id) noexcept nogil              # the first live entry at or after it
cdef place_t sl_until(stream_t* s, id_t id) noexcept nogil             # the last live entry at or before it
cdef void sl_next(stream_t* s, place_t* p) noexcept nogil
cdef void sl_prev(stream_t* s, place_t* p) noexcept nogil
cdef bint sl_delete(stream_t* s, id_t id) noexcept nogil
cdef int64_t sl_trim_count(stream_t* s, int64_t keep, bint whole_blocks, int64_t limit) noexcept nogil
cdef int64_t sl_trim_before(stream_t* s, id_t id, bint whole_blocks, int64_t limit) noexcept nogil
cdef object take_orphans()                                              # how many groups objects were let go of

cdef inline const char* item_text(const item_t* item) noexcept nogil:
    return <const char*>item + sizeof(item_t)
