# cython: cdivision=True
"""Snapshots: the whole keyspace as an RDB file. Runs under every lock, without the GIL but for streams."""
from os import strerror

from libc.errno cimport EINTR, ENOMEM, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from rlite.engine.core.crc64 cimport crc64_of
from rlite.engine.core.intset cimport is_bytes
from rlite.engine.core.keyspace cimport (
    ALLKEYS_LFU, ALLKEYS_LRU, VOLATILE_LFU, VOLATILE_LRU, Keyspace, deadline_of, keyspace_t, lfu_now, stripe_at, stripe_t,
)
from rlite.engine.core.lzf cimport lzf_compress, lzf_init, lzf_t
from rlite.engine.core.members cimport field_key, field_t, field_value, hash_t, member_key, member_t, set_t
from rlite.engine.core.packed cimport END, byte, lp_bytes, lp_count, lp_first, lp_next, lp_read, piece_t
from rlite.engine.core.platform cimport rl_monotonic_ns, rl_store
from rlite.engine.core.quicklist cimport node_t, quick_t
from rlite.engine.core.rdb cimport (
    FIELDS_VERSION, OP_AUX, OP_END, OP_EXPIRE_MS, OP_FREQ, OP_IDLE, OP_RESIZE, OP_SELECT, RDB_HASH, RDB_HASH_LISTPACK,
    RDB_HASH_METADATA, RDB_LIST_QUICKLIST_2, RDB_SET, RDB_SET_INTSET, RDB_STRING, RDB_ZSET_2, RDB_ZSET_LISTPACK,
    WRITTEN_VERSION, put_integer_at, put_length_at,
)
from rlite.engine.core.skiplist cimport node_key, zset_t
from rlite.engine.core cimport skiplist
from rlite.engine.core.table cimport (
    TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STREAM, TYPE_STRING, TYPE_ZSET, entry_key, entry_t, entry_value, table_each,
    table_size,
)
from rlite.engine.core.values cimport FULL, INTSET, PACKED, value_of

cdef extern from *:
    """
    #include <fcntl.h>
    #include <unistd.h>
    /* Has the kernel begin to bring bytes to the disk that were written, so that the sync at the end is short. */
    static void rl_begin_sync(int fd, int64_t from, int64_t size) {
    #if defined(__linux__) && defined(SYNC_FILE_RANGE_WRITE)
        sync_file_range(fd, from, size, SYNC_FILE_RANGE_WRITE);
    #else
        (void)fd; (void)from; (void)size;
    #endif
    }
    """
    ssize_t write(int fd, const void* data, size_t size) nogil
    void rl_begin_sync(int fd, int64_t at, int64_t size) noexcept nogil

cdef enum:
    BUFFER = 256 * 1024        # stays in the second cache, where the CRC finds it
    SHORTEST_COMPRESSED = 20
    LZF_STRING = 0xc3
    NODE_PACKED = 2            # what a list's node is
    SYNCED_PIECE = 4 << 20     # as Redis does it

cdef struct sink_t:
    char* data                 # BUFFER bytes
    size_t size
    int fd
    int error                  # errno of the first failure; nothing is written after it
    int64_t written            # what has left the buffer
    int64_t synced             # up to here the kernel was asked to bring it to the disk
    bint piecewise             # rdb-save-incremental-fsync
    bint checked
    uint64_t crc               # of what has left it
    bint compressed
    char* scratch
    size_t scratch_cap
    lzf_t* lzf


# --- bytes -----------------------------------------------------------------------------------------------------------

cdef void emit(sink_t* s, const char* data, size_t size) noexcept nogil:
    """Straight to the file."""
    cdef ssize_t n
    if s.checked:
        s.crc = crc64_of(s.crc, data, size)
    while size and not s.error:
        n = write(s.fd, data, size)
        if n < 0:
            if errno != EINTR:
                s.error = errno
            continue
        s.written += n
        data += n
        size -= n
    if s.piecewise and s.written - s.synced >= SYNCED_PIECE:
        rl_begin_sync(s.fd, s.synced, s.written - s.synced)
        s.synced = s.written


cdef void flush(sink_t* s) noexcept nogil:
    emit(s, s.data, s.size)
    s.size = 0


cdef inline char* room(sink_t* s, size_t size) noexcept nogil:
    """Room for a few bytes; the caller adds to `size` what it used."""
    if s.size + size > BUFFER:
        flush(s)
    return s.data + s.size


cdef void put_raw(sink_t* s, const char* data, size_t size) noexcept nogil:
    if size > BUFFER // 2:
        flush(s)
        emit(s, data, size)
        return
    memcpy(room(s, size), data, size)
    s.size += size


cdef inline void put_byte(sink_t* s, int v) noexcept nogil:
    room(s, 1)[0] = <char>v
    s.size += 1


cdef inline void put_length(sink_t* s, uint64_t n) noexcept nogil:
    cdef size_t used = put_length_at(room(s, 9), n)        # `room` may change `size`
    s.size += used


cdef inline void put_le(sink_t* s, uint64_t v, int n) noexcept nogil:
    cdef char* to = room(s, n)
    cdef int i
    for i in range(n):
        to[i] = <char>(v >> (8 * i))
    s.size += n


cdef bint put_compressed(sink_t* s, const char* data, size_t size) noexcept nogil:
    """False: it would not be shorter by more than four bytes."""
    cdef size_t limit = size - 5, made
    cdef char* grown
    if limit > s.scratch_cap:
        grown = <char*>realloc(s.scratch, limit)
        if grown == NULL:
            return False
        s.scratch = grown
        s.scratch_cap = limit
    made = lzf_compress(s.lzf, data, size, s.scratch, limit)
    if made == 0:
        return False
    put_byte(s, LZF_STRING)
    put_length(s, made)
    put_length(s, size)
    put_raw(s, s.scratch, made)
    return True


cdef inline void put_string(sink_t* s, const char* data, size_t size) noexcept nogil:
    cdef size_t n
    if size <= 11:
        n = put_integer_at(room(s, 9), data, size)
        if n:
            s.size += n
            return
    elif s.compressed and size > SHORTEST_COMPRESSED and put_compressed(s, data, size):
        return
    put_length(s, size)
    put_raw(s, data, size)


cdef inline void put_block(sink_t* s, const byte* data, size_t size) noexcept nogil:
    """A listpack or an intset; never taken for an integer."""
    if not (s.compressed and size > SHORTEST_COMPRESSED and put_compressed(s, <const char*>data, size)):
        put_length(s, size)
        put_raw(s, <const char*>data, size)


# --- values ----------------------------------------------------------------------------------------------------------

cdef struct save_t:
    sink_t sink
    keyspace_t* ks
    stripe_t* stripe
    int64_t now_ns
    int64_t keys
    int64_t* progress          # may be NULL
    bint tell_idle
    bint tell_freq
    entry_t** streams          # of the stripe, for Python
    int64_t streams_len
    int64_t streams_cap
    hash_t* hash               # whose fields are being written
    int64_t first_ms           # the first of their deadlines, monotonic


cdef void save_member(void* context, entry_t* item) noexcept nogil:
    cdef member_t* m = <member_t*>item
    put_string(&(<save_t*>context).sink, member_key(m), m.klen)


cdef void save_field(void* context, entry_t* item) noexcept nogil:
    cdef sink_t* s = &(<save_t*>context).sink
    cdef field_t* f = <field_t*>item
    put_string(s, field_key(f), f.klen)
    put_string(s, field_value(f), f.vlen)


cdef void save_field_with_deadline(void* context, entry_t* item) noexcept nogil:
    cdef save_t* c = <save_t*>context
    cdef field_t* f = <field_t*>item
    put_length(&c.sink, 0 if not f.heap_pos else c.hash.deadlines.slots[f.heap_pos - 1].at - c.first_ms + 1)
    save_field(context, item)


cdef void save_list(save_t* c, entry_t* e) noexcept nogil:
    cdef node_t* n
    if e.encoding == PACKED:
        put_length(&c.sink, 1)
        put_length(&c.sink, NODE_PACKED)
        put_block(&c.sink, <byte*>value_of(e), lp_bytes(<byte*>value_of(e)))
        return
    put_length(&c.sink, (<quick_t*>value_of(e)).nodes)
    n = (<quick_t*>value_of(e)).head
    while n != NULL:
        put_length(&c.sink, NODE_PACKED)
        put_block(&c.sink, n.lp, lp_bytes(n.lp))
        n = n.next


cdef void save_set(save_t* c, entry_t* e) noexcept nogil:
    cdef byte* at
    cdef piece_t piece
    if e.encoding == FULL:
        put_length(&c.sink, table_size(&(<set_t*>value_of(e)).table))
        table_each(&(<set_t*>value_of(e)).table, save_member, c)
        return
    put_length(&c.sink, lp_count(<byte*>value_of(e)))      # Redis 7.0 knows no set that is a listpack
    at = lp_first(<byte*>value_of(e))
    while at[0] != END:
        lp_read(at, &piece)
        put_string(&c.sink, piece.data, piece.size)
        at = lp_next(at)


cdef void save_zset(save_t* c, entry_t* e) noexcept nogil:
    cdef skiplist.node_t* n = (<zset_t*>value_of(e)).tail
    cdef uint64_t bits
    put_length(&c.sink, (<zset_t*>value_of(e)).count)
    while n != NULL:           # the highest first: whoever reads it inserts each at the front
        put_string(&c.sink, node_key(n), n.klen)
        memcpy(&bits, &n.score, 8)
        put_le(&c.sink, bits, 8)
        n = n.back


cdef void save_hash(save_t* c, entry_t* e) noexcept nogil:
    cdef hash_t* h = <hash_t*>value_of(e)
    if h.deadlines.len:
        c.hash = h
        c.first_ms = h.deadlines.slots[0].at
        put_le(&c.sink, c.first_ms + c.ks.wall_offset_ms, 8)
    put_length(&c.sink, table_size(&h.table))
    table_each(&h.table, save_field_with_deadline if h.deadlines.len else save_field, c)


cdef inline int rdb_type(entry_t* e) noexcept nogil:
    """Of all but streams."""
    if e.type == TYPE_STRING:
        return RDB_STRING
    if e.type == TYPE_LIST:
        return RDB_LIST_QUICKLIST_2
    if e.type == TYPE_SET:
        return RDB_SET_INTSET if e.encoding == INTSET else RDB_SET
    if e.type == TYPE_ZSET:
        return RDB_ZSET_2 if e.encoding == FULL else RDB_ZSET_LISTPACK
    if e.encoding != FULL:
        return RDB_HASH_LISTPACK
    return RDB_HASH_METADATA if (<hash_t*>value_of(e)).deadlines.len else RDB_HASH


cdef void save_head(save_t* c, entry_t* e, int kind) noexcept nogil:
    """What stands before the value: deadline, use, type, key."""
    cdef sink_t* s = &c.sink
    if e.heap_pos:
        put_byte(s, OP_EXPIRE_MS)
        put_le(s, deadline_of(c.stripe, e) + c.ks.wall_offset_ms, 8)
    if c.tell_idle:
        put_byte(s, OP_IDLE)
        put_length(s, max(<int64_t>0, c.now_ns - <int64_t>e.stamp) // 1000000000)
    elif c.tell_freq:
        put_byte(s, OP_FREQ)
        put_byte(s, lfu_now(c.ks, e, c.now_ns))
    put_byte(s, kind)
    put_string(s, entry_key(e), e.klen)


cdef inline void count_key(save_t* c) noexcept nogil:
    c.keys += 1
    if c.progress != NULL and (c.keys & 0xff) == 0:
        rl_store(c.progress, c.keys)


cdef void save_entry(void* context, entry_t* e) noexcept nogil:
    cdef save_t* c = <save_t*>context
    cdef entry_t** grown
    if c.sink.error:
        return
    if e.type == TYPE_STREAM:
        if c.streams_len == c.streams_cap:
            grown = <entry_t**>realloc(c.streams, (2 * c.streams_cap + 64) * sizeof(entry_t*))
            if grown == NULL:
                c.sink.error = ENOMEM
                return
            c.streams = grown
            c.streams_cap = 2 * c.streams_cap + 64
        c.streams[c.streams_len] = e
        c.streams_len += 1
        return
    save_head(c, e, rdb_type(e))
    if e.type == TYPE_STRING:
        put_string(&c.sink, entry_value(e), e.vlen)
    elif e.type == TYPE_LIST:
        save_list(c, e)
    elif e.type == TYPE_SET and e.encoding != INTSET:
        save_set(c, e)
    elif e.encoding == INTSET:
        put_block(&c.sink, <byte*>value_of(e), is_bytes(<byte*>value_of(e)))
    elif e.encoding == PACKED:             # a hash or a sorted set
        put_block(&c.sink, <byte*>value_of(e), lp_bytes(<byte*>value_of(e)))
    elif e.type == TYPE_ZSET:
        save_zset(c, e)
    else:
        save_hash(c, e)
    count_key(c)


# --- the whole -------------------------------------------------------------------------------------------------------

cdef int save_streams(save_t* c, int database, object stream) except -1:
    """Those of one stripe that were passed over."""
    cdef int64_t i
    cdef entry_t* e
    cdef bytes key, body
    for i in range(c.streams_len):
        e = c.streams[i]
        key = entry_key(e)[:e.klen]
        found = stream(database, key)
        if found is None:                  # its deadline passed meanwhile
            continue
        kind, body = found
        save_head(c, e, kind)
        put_raw(&c.sink, body, len(body))
        count_key(c)
    c.streams_len = 0
    return 0


cdef int save_database(save_t* c, int database, object stream) except -1:
    cdef int64_t keys = 0, volatiles = 0
    cdef int i
    for i in range(c.ks.stripes):
        keys += table_size(&stripe_at(c.ks, database, i).table)
        volatiles += stripe_at(c.ks, database, i).heap.len
    if keys == 0:
        return 0
    put_byte(&c.sink, OP_SELECT)
    put_length(&c.sink, database)
    put_byte(&c.sink, OP_RESIZE)
    put_length(&c.sink, keys)
    put_length(&c.sink, volatiles)
    for i in range(c.ks.stripes):
        c.stripe = stripe_at(c.ks, database, i)
        with nogil:
            table_each(&c.stripe.table, save_entry, c)
        save_streams(c, database, stream)
    return 0


cdef bint has_fields_with_deadlines(keyspace_t* ks) noexcept nogil:
    cdef int i
    for i in range(ks.stripes * ks.databases):
        if ks.stripe_of[i].fields.len:
            return True
    return False


def save(Keyspace keyspace not None, int descriptor, aux, stream, *, bint compressed=True, bint checked=True,
         bint piecewise=False, progress=None):
    """Writes every database as an RDB file to a descriptor: (keys, bytes). See rdbsave.pyi."""
    cdef:
        save_t c
        sink_t* s = &c.sink
        int64_t[::1] counter
        int d
        bytes name, value, head
    c.ks = keyspace.ks
    c.now_ns = rl_monotonic_ns()
    c.keys = 0
    c.progress = NULL
    if progress is not None:
        counter = progress
        c.progress = &counter[0]
    c.tell_idle = c.ks.policy in (ALLKEYS_LRU, VOLATILE_LRU)
    c.tell_freq = c.ks.policy in (ALLKEYS_LFU, VOLATILE_LFU)
    c.streams = NULL
    c.streams_len = c.streams_cap = 0
    s.fd = descriptor
    s.size = 0
    s.error = 0
    s.written = s.synced = 0
    s.piecewise = piecewise
    s.checked = checked
    s.crc = 0
    s.compressed = compressed
    s.scratch = NULL
    s.scratch_cap = 0
    s.data = <char*>malloc(BUFFER)
    s.lzf = <lzf_t*>malloc(sizeof(lzf_t))
    try:
        if s.data == NULL or s.lzf == NULL:
            raise MemoryError
        lzf_init(s.lzf)
        head = b"REDIS%04d" % (FIELDS_VERSION if has_fields_with_deadlines(c.ks) else WRITTEN_VERSION)
        put_raw(s, head, len(head))
        for name, value in aux:
            put_byte(s, OP_AUX)
            put_string(s, name, len(name))
            put_string(s, value, len(value))
        for d in range(c.ks.databases):
            save_database(&c, d, stream)
        put_byte(s, OP_END)
        with nogil:
            flush(s)
        s.checked = False
        put_le(s, s.crc, 8)
        flush(s)
        if s.error == ENOMEM:
            raise MemoryError
        if s.error:
            raise OSError(s.error, strerror(s.error))
        if c.progress != NULL:
            rl_store(c.progress, c.keys)
        return c.keys, s.written
    finally:
        free(s.data)
        free(s.lzf)
        free(s.scratch)
        free(c.streams)
