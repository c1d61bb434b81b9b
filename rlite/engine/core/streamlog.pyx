# cython: cdivision=True
"""Streams: blocks of entries, filled as `stream-node-max-entries` and `stream-node-max-bytes` say.

A deleted entry stays in its block, marked, until the block has more of them than of others.
"""
from cpython.ref cimport Py_DECREF, PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove

from rlite.engine.core.platform cimport (
    pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock, rl_granted, rl_usable,
)


# --- groups of streams that are gone -----------------------------------------------------------------------------------
# A stream may end on a thread without the GIL (DEL, expiry, eviction); its groups wait here for one that has it.

cdef pthread_mutex_t orphans_mutex
cdef void** orphans = NULL
cdef int64_t orphans_len = 0, orphans_cap = 0
pthread_mutex_init(&orphans_mutex, NULL)


cdef void abandon(void* groups) noexcept nogil:
    global orphans, orphans_len, orphans_cap
    cdef void** grown
    pthread_mutex_lock(&orphans_mutex)
    if orphans_len == orphans_cap:
        grown = <void**>realloc(orphans, (2 * orphans_cap + 16) * sizeof(void*))
        if grown == NULL:              # no memory even for a pointer: it is never freed
            pthread_mutex_unlock(&orphans_mutex)
            return
        orphans = grown
        orphans_cap = 2 * orphans_cap + 16
    orphans[orphans_len] = groups
    orphans_len += 1
    pthread_mutex_unlock(&orphans_mutex)


cdef object take_orphans():
    global orphans_len
    cdef void* one
    cdef int n = 0
    while orphans_len:
        pthread_mutex_lock(&orphans_mutex)
        one = NULL
        if orphans_len:
            orphans_len -= 1
            one = orphans[orphans_len]
        pthread_mutex_unlock(&orphans_mutex)
        if one != NULL:
            Py_DECREF(<object>one)
            n += 1
    return n


# --- blocks ------------------------------------------------------------------------------------------------------------

cdef stream_t* sl_new() noexcept nogil:
    cdef stream_t* s = <stream_t*>calloc(1, sizeof(stream_t))
    if s != NULL:
        s.bytes = rl_granted(s)
    return s


cdef void sl_free(stream_t* s) noexcept nogil:
    cdef int64_t i
    for i in range(s.head, s.head + s.len):
        free(s.blocks[i].data)
    free(s.blocks)
    if s.groups != NULL:
        abandon(s.groups)
    free(s)


cdef stream_t* sl_copy(stream_t* s) noexcept nogil:
    cdef stream_t* made = <stream_t*>malloc(sizeof(stream_t))
    cdef int64_t i
    cdef char* data
    if made == NULL:
        return NULL
    made[0] = s[0]
    made.groups = NULL
    made.groups_bytes = 0
    made.head = 0
    made.len = 0
    made.cap = s.len
    made.bytes = rl_granted(made)
    made.blocks = NULL
    if s.len:
        made.blocks = <block_t*>malloc(s.len * sizeof(block_t))
        if made.blocks == NULL:
            free(made)
            return NULL
        made.bytes += rl_granted(made.blocks)
    for i in range(s.len):
        data = <char*>malloc(s.blocks[s.head + i].size)
        if data == NULL:
            sl_free(made)
            return NULL
        made.blocks[i] = s.blocks[s.head + i]
        memcpy(data, made.blocks[i].data, made.blocks[i].size)
        made.blocks[i].data = data
        made.len += 1
        made.bytes += rl_granted(data)
    return made


cdef int64_t sl_audit(stream_t* s) noexcept nogil:
    cdef int64_t i, bytes = rl_granted(s) + s.groups_bytes, live = 0
    cdef uint32_t n, mine
    cdef block_t* b
    cdef item_t* item
    cdef id_t last
    if s.blocks != NULL:
        bytes += rl_granted(s.blocks)
    last.ms = last.seq = 0
    for i in range(s.head, s.head + s.len):
        b = &s.blocks[i]
        bytes += rl_granted(b.data)
        item = <item_t*>b.data
        mine = 0
        for n in range(b.entries):
            if id_cmp(item_id(item), last) <= 0:
                return -1
            last = item_id(item)
            mine += 0 if item.deleted else 1
            item = <item_t*>(<char*>item + item.size)
        if <char*>item != b.data + b.size or mine != b.live or id_cmp(last, b.last) != 0:
            return -1
        live += mine
    return bytes if live == s.count else -1


cdef bint reserve_block(stream_t* s) noexcept nogil:
    cdef block_t* grown
    cdef int64_t before
    if s.head + s.len < s.cap:
        return True
    if s.head > s.len:                 # more room in front than in use: slide
        memmove(s.blocks, s.blocks + s.head, s.len * sizeof(block_t))
        s.head = 0
        return True
    before = rl_granted(s.blocks) if s.blocks != NULL else 0
    grown = <block_t*>realloc(s.blocks, (2 * s.cap + 2) * sizeof(block_t))
    if grown == NULL:
        return False
    s.blocks = grown
    s.cap = 2 * s.cap + 2
    s.bytes += <int64_t>rl_granted(grown) - before
    return True


cdef size_t text_cost(size_t size) noexcept nogil:
    cdef size_t n = size + 1
    while size >= 128:
        size >>= 7
        n += 1
    return n


cdef char* text_put(char* to, const char* data, size_t size) noexcept nogil:
    cdef size_t n = size
    while n >= 128:
        to[0] = <char>(n & 0x7f | 0x80)
        to += 1
        n >>= 7
    to[0] = <char>n
    memcpy(to + 1, data, size)
    return to + 1 + size


cdef const char* text_get(const char* at, text_t* text) noexcept nogil:
    """Reads one string of an entry; returns what follows it."""
    cdef int shift = 0
    text.size = 0
    while at[0] & 0x80:
        text.size |= <size_t>(at[0] & 0x7f) << shift
        shift += 7
        at += 1
    text.size |= <size_t>at[0] << shift
    text.data = at + 1
    return at + 1 + text.size


cdef char* sl_open(stream_t* s, id_t id, uint32_t fields, size_t size, uint32_t max_bytes,
                   uint32_t max_entries) noexcept nogil:
    """A new last entry with room for `size` bytes of strings, which the caller writes. NULL: no memory."""
    cdef:
        size_t need = (sizeof(item_t) + size + 7) & ~<size_t>7
        block_t* b = NULL
        item_t* item
        char* grown
        int64_t before
    if need > <size_t>0xffffffff:
        return NULL
    if s.len:
        b = &s.blocks[s.head + s.len - 1]
    if b == NULL or (max_entries and b.entries >= max_entries) or (max_bytes and b.size >= max_bytes) \
            or b.size + need > <size_t>0xffffffff:
        if not reserve_block(s):
            return NULL
        b = &s.blocks[s.head + s.len]
        b.data = <char*>malloc(need)
        if b.data == NULL:
            return NULL
        b.size = b.entries = b.live = 0
        b.first = id
        s.len += 1
        s.bytes += rl_granted(b.data)
    elif b.size + need > rl_usable(b.data):
        before = rl_granted(b.data)
        grown = <char*>realloc(b.data, b.size + need + (b.size >> 1))
        if grown == NULL:
            return NULL
        b.data = grown
        s.bytes += <int64_t>rl_granted(grown) - before
    item = <item_t*>(b.data + b.size)
    item.size = <uint32_t>need
    item.fields = fields
    item.ms = id.ms
    item.seq = id.seq
    item.deleted = 0
    item.spare = 0
    b.size += <uint32_t>need
    b.entries += 1
    b.live += 1
    b.last = id
    s.count += 1
    s.added += 1
    s.last_id = id
    return <char*>item + sizeof(item_t)


# --- walking -----------------------------------------------------------------------------------------------------------

cdef int64_t block_for(stream_t* s, id_t id) noexcept nogil:
    """The first block whose last id is at or after `id`; head + len: none."""
    cdef int64_t low = s.head, high = s.head + s.len, middle
    while low < high:
        middle = (low + high) // 2
        if id_cmp(s.blocks[middle].last, id) < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline item_t* block_end(block_t* b) noexcept nogil:
    return <item_t*>(b.data + b.size)


cdef inline item_t* after(item_t* item) noexcept nogil:
    return <item_t*>(<char*>item + item.size)


cdef place_t sl_from(stream_t* s, id_t id) noexcept nogil:
    cdef place_t p
    cdef item_t* item
    p.block = block_for(s, id)
    while p.block < s.head + s.len:
        item = <item_t*>s.blocks[p.block].data
        while item != block_end(&s.blocks[p.block]):
            if not item.deleted and id_cmp(item_id(item), id) >= 0:
                p.item = item
                return p
            item = after(item)
        p.block += 1
    p.item = NULL
    return p


cdef place_t sl_until(stream_t* s, id_t id) noexcept nogil:
    cdef place_t p
    cdef item_t* item
    p.item = NULL
    p.block = block_for(s, id)
    if p.block == s.head + s.len:
        p.block -= 1
    while p.block >= s.head and s.len:
        item = <item_t*>s.blocks[p.block].data
        while item != block_end(&s.blocks[p.block]) and id_cmp(item_id(item), id) <= 0:
            if not item.deleted:
                p.item = item
            item = after(item)
        if p.item != NULL:
            break
        p.block -= 1
    return p


cdef void sl_next(stream_t* s, place_t* p) noexcept nogil:
    cdef item_t* item = after(p.item)
    while True:
        while item != block_end(&s.blocks[p.block]):
            if not item.deleted:
                p.item = item
                return
            item = after(item)
        p.block += 1
        if p.block == s.head + s.len:
            p.item = NULL
            return
        item = <item_t*>s.blocks[p.block].data


cdef void sl_prev(stream_t* s, place_t* p) noexcept nogil:
    cdef item_t* item = <item_t*>s.blocks[p.block].data
    cdef item_t* stop = p.item
    cdef item_t* found = NULL
    while True:
        while item != stop:
            if not item.deleted:
                found = item
            item = after(item)
        if found != NULL:
            p.item = found
            return
        p.block -= 1
        if p.block < s.head:
            p.item = NULL
            return
        item = <item_t*>s.blocks[p.block].data
        stop = block_end(&s.blocks[p.block])


# --- removing ------------------------------------------------------------------------------------------------------------

cdef void drop_block(stream_t* s, int64_t at) noexcept nogil:
    s.bytes -= rl_granted(s.blocks[at].data)
    s.count -= s.blocks[at].live
    free(s.blocks[at].data)
    if at == s.head:
        s.head += 1
    else:
        memmove(s.blocks + at, s.blocks + at + 1, (s.head + s.len - at - 1) * sizeof(block_t))
    s.len -= 1
    if s.len == 0:
        s.head = 0


cdef void compact(stream_t* s, block_t* b) noexcept nogil:
    """Rewrites a block without its deleted entries."""
    cdef item_t* item = <item_t*>b.data
    cdef item_t* stop = block_end(b)
    cdef char* to = b.data
    cdef int64_t before = rl_granted(b.data)
    cdef uint32_t size
    cdef char* smaller
    while item != stop:
        size = item.size
        if not item.deleted:
            memmove(to, item, size)
            to += size
        item = <item_t*>(<char*>item + size)
    b.size = <uint32_t>(to - b.data)
    b.entries = b.live
    b.first = item_id(<item_t*>b.data)
    item = <item_t*>b.data
    while after(item) != block_end(b):
        item = after(item)
    b.last = item_id(item)
    smaller = <char*>realloc(b.data, b.size)
    if smaller != NULL:
        b.data = smaller
    s.bytes += <int64_t>rl_granted(b.data) - before


cdef void mark(stream_t* s, int64_t at, item_t* item) noexcept nogil:
    """Deletes one entry of a block. Places in the block, and the block itself, may be gone afterwards."""
    cdef block_t* b = &s.blocks[at]
    item.deleted = 1
    b.live -= 1
    s.count -= 1
    if b.live == 0:
        drop_block(s, at)
    elif b.entries > 2 * b.live + 16:
        compact(s, b)


cdef bint sl_delete(stream_t* s, id_t id) noexcept nogil:
    cdef place_t p = sl_from(s, id)
    if p.item == NULL or id_cmp(item_id(p.item), id) != 0:
        return False
    mark(s, p.block, p.item)
    if id_cmp(id, s.max_deleted) > 0:
        s.max_deleted = id
    return True


cdef int64_t sl_trim_count(stream_t* s, int64_t keep, bint whole_blocks, int64_t limit) noexcept nogil:
    """Removes the oldest entries until `keep` are left; with `whole_blocks` only where that empties a block."""
    cdef int64_t removed = 0
    cdef place_t p
    cdef id_t zero
    zero.ms = zero.seq = 0
    while s.len and s.count > keep:
        if s.count - s.blocks[s.head].live >= keep and (not limit or removed + s.blocks[s.head].live <= limit):
            removed += s.blocks[s.head].live
            drop_block(s, s.head)
            continue
        if whole_blocks:
            break
        p = sl_from(s, zero)
        mark(s, p.block, p.item)
        removed += 1
    return removed


cdef int64_t sl_trim_before(stream_t* s, id_t id, bint whole_blocks, int64_t limit) noexcept nogil:
    """Removes the entries before an id; as `sl_trim_count` otherwise."""
    cdef int64_t removed = 0
    cdef place_t p
    cdef id_t zero
    zero.ms = zero.seq = 0
    while s.len and s.count:
        if id_cmp(s.blocks[s.head].last, id) < 0 and (not limit or removed + s.blocks[s.head].live <= limit):
            removed += s.blocks[s.head].live
            drop_block(s, s.head)
            continue
        if whole_blocks:
            break
        p = sl_from(s, zero)
        if p.item == NULL or id_cmp(item_id(p.item), id) >= 0:
            break
        mark(s, p.block, p.item)
        removed += 1
    return removed
