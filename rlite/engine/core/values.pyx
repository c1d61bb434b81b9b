# cython: cdivision=True
"""Values that are no strings: one switch over their types and encodings for each thing that all of them can do."""
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

from rlite.engine.core.heap cimport heap_bytes
from rlite.engine.core.intset cimport byte, is_copy, is_count, is_sound, is_bytes
from rlite.engine.core.members cimport (
    field_t, fields_copy, fields_free, hash_t, member_t, members_copy, members_free, set_t,
)
from rlite.engine.core.packed cimport lp_bytes, lp_copy, lp_count, lp_sound
from rlite.engine.core.platform cimport (
    pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock, rl_granted, rl_load,
)
from rlite.engine.core.quicklist cimport node_t, ql_copy, ql_free, quick_t
from rlite.engine.core.skiplist cimport zs_copy, zs_free, zset_t
from rlite.engine.core cimport skiplist
from rlite.engine.core.streamlog cimport sl_audit, sl_copy, sl_free, stream_t
from rlite.engine.core.table cimport (
    TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STREAM, TYPE_ZSET, entry_t, table_each, table_size,
)

cdef enum:
    FREED_AT_ONCE = 64         # elements of the largest value that is not left to another thread


cdef int64_t bytes_of(int kind, int encoding, void* value) noexcept nogil:
    if encoding != FULL:
        return rl_granted(value)
    if kind == TYPE_LIST:
        return (<quick_t*>value).bytes
    if kind == TYPE_SET:
        return (<set_t*>value).bytes + (<set_t*>value).table.bytes
    if kind == TYPE_HASH:
        return (<hash_t*>value).bytes + (<hash_t*>value).table.bytes + heap_bytes(&(<hash_t*>value).deadlines)
    if kind == TYPE_ZSET:
        return (<zset_t*>value).bytes + (<zset_t*>value).table.bytes
    return (<stream_t*>value).bytes


cdef int64_t count_of(int kind, int encoding, void* value) noexcept nogil:
    if encoding == PACKED:
        return lp_count(<byte*>value) // (2 if kind == TYPE_HASH or kind == TYPE_ZSET else 1)
    if encoding == INTSET:
        return is_count(<byte*>value)
    if kind == TYPE_LIST:
        return (<quick_t*>value).count
    if kind == TYPE_SET:
        return table_size(&(<set_t*>value).table)
    if kind == TYPE_HASH:
        return table_size(&(<hash_t*>value).table)
    if kind == TYPE_ZSET:
        return (<zset_t*>value).count
    return (<stream_t*>value).count


cdef void free_value(int kind, int encoding, void* value) noexcept nogil:
    if encoding != FULL:
        free(value)
    elif kind == TYPE_LIST:
        ql_free(<quick_t*>value)
    elif kind == TYPE_SET:
        members_free(<set_t*>value)
    elif kind == TYPE_HASH:
        fields_free(<hash_t*>value)
    elif kind == TYPE_ZSET:
        zs_free(<zset_t*>value)
    elif kind == TYPE_STREAM:
        sl_free(<stream_t*>value)


# --- large values, freed by another thread ------------------------------------------------------------------------------

cdef struct discarded_t:
    int kind
    int encoding
    void* value

cdef pthread_mutex_t bin_mutex
cdef discarded_t* bin_ = NULL
cdef int64_t bin_count = 0, bin_cap = 0
pthread_mutex_init(&bin_mutex, NULL)


cdef void discard(int kind, int encoding, void* value) noexcept nogil:
    global bin_, bin_count, bin_cap
    cdef discarded_t* grown
    if encoding != FULL or count_of(kind, encoding, value) <= FREED_AT_ONCE:
        free_value(kind, encoding, value)
        return
    pthread_mutex_lock(&bin_mutex)
    if bin_count == bin_cap:
        grown = <discarded_t*>realloc(bin_, (2 * bin_cap + 64) * sizeof(discarded_t))
        if grown == NULL:
            pthread_mutex_unlock(&bin_mutex)
            free_value(kind, encoding, value)
            return
        bin_ = grown
        bin_cap = 2 * bin_cap + 64
    bin_[bin_count].kind = kind
    bin_[bin_count].encoding = encoding
    bin_[bin_count].value = value
    bin_count += 1
    pthread_mutex_unlock(&bin_mutex)


cdef int64_t bin_len() noexcept nogil:
    return rl_load(&bin_count)


cdef void empty_bin() noexcept nogil:
    global bin_count
    cdef discarded_t one
    while rl_load(&bin_count):
        pthread_mutex_lock(&bin_mutex)
        one.value = NULL
        if bin_count:
            bin_count -= 1
            one = bin_[bin_count]
        pthread_mutex_unlock(&bin_mutex)
        if one.value != NULL:
            free_value(one.kind, one.encoding, one.value)


cdef void* copy_value(entry_t* e) noexcept nogil:
    cdef void* value = value_of(e)
    if e.encoding == PACKED:
        return lp_copy(<byte*>value)
    if e.encoding == INTSET:
        return is_copy(<byte*>value)
    if e.type == TYPE_LIST:
        return ql_copy(<quick_t*>value)
    if e.type == TYPE_SET:
        return members_copy(<set_t*>value)
    if e.type == TYPE_HASH:
        return fields_copy(<hash_t*>value)
    if e.type == TYPE_ZSET:
        return zs_copy(<zset_t*>value)
    return sl_copy(<stream_t*>value)


cdef const char* type_name(int kind) noexcept nogil:
    """What TYPE says."""
    if kind == TYPE_LIST:
        return b"list"
    if kind == TYPE_SET:
        return b"set"
    if kind == TYPE_ZSET:
        return b"zset"
    if kind == TYPE_HASH:
        return b"hash"
    return b"stream" if kind == TYPE_STREAM else b"string"


cdef const char* encoding_name(entry_t* e) noexcept nogil:
    """What OBJECT ENCODING says."""
    if e.encoding == PACKED:
        return b"listpack"
    if e.encoding == INTSET:
        return b"intset"
    if e.type == TYPE_LIST:
        return b"quicklist"
    if e.type == TYPE_ZSET:
        return b"skiplist"
    return b"stream" if e.type == TYPE_STREAM else b"hashtable"


# --- the books, counted anew -----------------------------------------------------------------------------------------

cdef struct tally_t:
    int64_t bytes
    int64_t count


cdef void tally(void* context, entry_t* item) noexcept nogil:
    (<tally_t*>context).bytes += rl_granted(item)
    (<tally_t*>context).count += 1


cdef int64_t audit_list(quick_t* q) noexcept nogil:
    cdef int64_t bytes = rl_granted(q), count = 0, nodes = 0
    cdef node_t* n = q.head
    cdef node_t* last = NULL
    while n != NULL:
        if n.prev != last or n.count != lp_count(n.lp) or n.count == 0 or not lp_sound(n.lp, lp_bytes(n.lp)):
            return -1
        bytes += rl_granted(n) + rl_granted(n.lp)
        count += n.count
        nodes += 1
        last = n
        n = n.next
    return bytes if count == q.count and nodes == q.nodes and last == q.tail else -1


cdef int64_t audit_zset(zset_t* z) noexcept nogil:
    cdef int64_t bytes = rl_granted(z) + z.table.bytes, count = 0
    cdef skiplist.node_t* n = z.head
    cdef skiplist.node_t* next
    while True:
        bytes += rl_granted(<char*>n - n.level * sizeof(skiplist.link_t))
        next = skiplist.node_next(n)
        if next == NULL:
            break
        if next.back != (NULL if n == z.head else n) or skiplist.zs_rank(z, next) != count:
            return -1
        if skiplist.zs_at(z, count) != next or skiplist.zs_find(z, skiplist.node_key(next), next.klen) != next:
            return -1
        count += 1
        n = next
    return bytes if count == z.count and table_size(&z.table) == count and (count == 0 or z.tail == n) else -1


cdef int64_t audit_value(entry_t* e) noexcept nogil:
    cdef void* value
    cdef tally_t t
    if e.type == 0:            # a string has no such value: nothing may be read of it
        return 0
    value = value_of(e)
    if e.encoding == PACKED:
        return rl_granted(value) if lp_sound(<byte*>value, lp_bytes(<byte*>value)) else -1
    if e.encoding == INTSET:
        return rl_granted(value) if is_sound(<byte*>value, is_bytes(<byte*>value)) else -1
    if e.type == TYPE_LIST:
        return audit_list(<quick_t*>value)
    if e.type == TYPE_ZSET:
        return audit_zset(<zset_t*>value)
    if e.type == TYPE_STREAM:
        return sl_audit(<stream_t*>value)
    t.bytes = rl_granted(value)
    t.count = 0
    if e.type == TYPE_SET:
        table_each(&(<set_t*>value).table, tally, &t)
        return t.bytes + (<set_t*>value).table.bytes
    table_each(&(<hash_t*>value).table, tally, &t)
    return t.bytes + (<hash_t*>value).table.bytes + heap_bytes(&(<hash_t*>value).deadlines)
