# cython: cdivision=True
"""Loading RDB files: strings and today's forms of other values without the GIL, the rest left to Python.

The bytes may be anybody's: every block is checked before it is taken over.
"""
from collections import namedtuple

from libc.math cimport isnan
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from rlite.engine.core.crc64 cimport crc64_of
from rlite.engine.core.hashes cimport hash_empty, hash_set, hash_unpack
from rlite.engine.core.intset cimport is_at, is_count, is_sound
from rlite.engine.core.keyspace cimport (
    Keyspace, create, create_value, hash_key, keyspace_t, order_by_use, set_deadline, settle, stripe_at, stripe_index, stripe_t,
)
from rlite.engine.core.members cimport fields_new, members_add, members_new, set_t
from rlite.engine.core.packed cimport END, byte, lp_bytes, lp_count, lp_first, lp_next, lp_read, lp_sound, piece_t
from rlite.engine.core.platform cimport rl_monotonic_ns
from rlite.engine.core.quicklist cimport lp_fits, ql_append_block, ql_free, ql_from, ql_new, ql_push, quick_t
from rlite.engine.core.rdb cimport (
    CHECKED_VERSION, ITEM_AUX, ITEM_BAD, ITEM_END, ITEM_FUNCTION, ITEM_HEADER, ITEM_KEY, ITEM_MODULE, ITEM_MORE,
    ITEM_RESIZE, RDB_HASH, RDB_HASH_LISTPACK, RDB_LIST_QUICKLIST_2, RDB_SET, RDB_SET_INTSET, RDB_SET_LISTPACK, RDB_STRING,
    RDB_ZSET_2, RDB_ZSET_LISTPACK, cursor_t, item_kind, item_t, rdb_next, scratch_t, string_t, take_length, take_raw, take_string,
    walk_t, wrong,
)
from rlite.engine.core.rdb import RdbError
from rlite.engine.core.resp cimport format_int
from rlite.engine.core.sets cimport set_add, set_empty
from rlite.engine.core.skiplist cimport zs_new
from rlite.engine.core.table cimport (
    TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_ZSET, entry_t, entry_value, table_find, table_prefetch, table_reserve,
)
from rlite.engine.core.values cimport FULL, INTSET, PACKED, free_value, value_bytes, value_of
from rlite.engine.core.zsets cimport parse_double, zset_empty, zset_set

cdef enum:
    BREATH = 1 << 20           # bytes between two calls of `progress`
    LONGEST = 0xffffffff       # of a string
    NODE_PLAIN = 1             # a list's node that is one element
    AHEAD = 16                 # items that are walked over before the first of them is loaded
    SMALLEST_ITEM = 4          # bytes of a key with its value

cdef enum step:                # why `load_some` came back
    STEP_BREATH
    STEP_PYTHON                # the item is for Python
    STEP_END
    STEP_BAD                   # cursor_t.wrong
    STEP_CUT

cdef struct load_t:
    walk_t walk
    cursor_t c                 # behind what has been walked over
    item_t ahead[AHEAD]        # keys of one database, and the item that ends their row
    uint64_t hashes[AHEAD]
    int ahead_at               # which is next
    int ahead_len
    int database               # of those keys
    item_t item                # the one in hand
    keyspace_t* ks
    int64_t now_ns
    int64_t now_ms             # wall clock; -1: nothing is too old
    int64_t keys
    int64_t expired
    bint deep
    bint checked
    uint64_t crc               # of everything from the start of the file up to …
    size_t crc_at
    scratch_t key_scratch
    scratch_t scratch[2]


# --- values: each makes the key, or notes what is wrong ---------------------------------------------------------------

cdef inline bint out_of_memory(load_t* l) noexcept nogil:
    return wrong(&l.c, b"not enough memory", l.item.start)


cdef entry_t* adopt(load_t* l, stripe_t* s, uint64_t h, const string_t* key, int kind, int encoding,
                    void* value) noexcept nogil:
    """The key with this value, which is freed where there is no memory."""
    cdef entry_t* e = NULL
    if value != NULL:
        e = create_value(l.ks, s, h, key.data, key.size, kind, encoding, value, l.now_ns)
        if e == NULL:
            free_value(kind, encoding, value)
    if e == NULL:
        out_of_memory(l)
    return e


cdef byte* take_block(load_t* l, cursor_t* c, bint numbers) noexcept nogil:
    """A string that is a listpack, or an intset, as an allocation of its own. NULL: it is none."""
    cdef size_t at = c.at
    cdef string_t s
    cdef byte* block
    if not take_string(c, l.scratch, &s):
        return NULL
    if not (is_sound(<const byte*>s.data, s.size) if numbers else lp_sound(<const byte*>s.data, s.size)):
        wrong(c, b"a packed value is damaged", at)
        return NULL
    block = <byte*>malloc(s.size)
    if block == NULL:
        out_of_memory(l)
    else:
        memcpy(block, s.data, s.size)
    return block


cdef entry_t* load_string(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key) noexcept nogil:
    cdef string_t value
    cdef entry_t* e
    cdef size_t at = c.at
    if not take_string(c, l.scratch, &value):
        return NULL
    if value.size > LONGEST:
        wrong(c, b"a string is longer than 4 GB", at)
        return NULL
    e = create(l.ks, s, h, key.data, key.size, value.size, l.now_ns)
    if e == NULL:
        out_of_memory(l)
    else:
        memcpy(entry_value(e), value.data, value.size)
    return e


cdef entry_t* load_list(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key) noexcept nogil:
    cdef:
        uint64_t n = 0, i, kind = 0
        quick_t* q
        byte* block
        string_t element
        bint fine = True
        size_t start = c.at
    take_length(c, &n)
    if n == 0:
        wrong(c, b"a list without elements", start)
        return NULL
    if n == 1 and c.p[c.at] != NODE_PLAIN:             # the usual small list stays one block
        take_length(c, &kind)
        block = take_block(l, c, False)
        if block == NULL:
            return NULL
        if lp_count(block) == 0:
            free(block)
            wrong(c, b"a list without elements", start)
            return NULL
        if lp_fits(block, lp_count(block) - 1, 0, l.ks.limits.list_size):
            return adopt(l, s, h, key, TYPE_LIST, PACKED, block)
        q = ql_from(block)
        if q == NULL:
            free(block)
        return adopt(l, s, h, key, TYPE_LIST, FULL, q)
    q = ql_new()
    if q == NULL:
        out_of_memory(l)
        return NULL
    for i in range(n):
        fine = take_length(c, &kind)
        if kind == NODE_PLAIN:
            fine = fine and take_string(c, l.scratch, &element)
            if fine and not ql_push(q, False, element.data, element.size, l.ks.limits.list_size):
                fine = out_of_memory(l)
        else:
            block = take_block(l, c, False) if fine else NULL
            fine = block != NULL
            if fine and lp_count(block) == 0:
                free(block)
            elif fine and not ql_append_block(q, block):
                free(block)
                fine = out_of_memory(l)
        if not fine:
            break
    if fine and q.count == 0:
        fine = wrong(c, b"a list without elements", start)
    if not fine:
        ql_free(q)
        return NULL
    return adopt(l, s, h, key, TYPE_LIST, FULL, q)


cdef entry_t* load_set(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key) noexcept nogil:
    cdef:
        uint64_t n = 0, i
        size_t start = c.at
        string_t member
        int encoding = PACKED, made
        entry_t* e = NULL
        int64_t before = 0
        void* value
    take_length(c, &n)
    if n == 0:
        wrong(c, b"a set without members", start)
        return NULL
    for i in range(n):
        if not take_string(c, l.scratch, &member):
            break
        if e == NULL:
            value = set_empty(l.ks, member.data, member.size, <int64_t>min(n, <uint64_t>1 << 62), &encoding)
            e = adopt(l, s, h, key, TYPE_SET, encoding, value)
            if e == NULL:
                return NULL
            before = value_bytes(e)
        made = set_add(l.ks, e, member.data, member.size)
        if made <= 0:
            if made < 0:
                out_of_memory(l)
            else:
                wrong(c, b"a member of a set comes twice", start)
            break
    if e != NULL:
        settle(s, e, before)
    return e


cdef entry_t* load_block_set(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key,
                             bint numbers) noexcept nogil:
    cdef:
        size_t start = c.at
        byte* block = take_block(l, c, numbers)
        byte* at
        set_t* made
        piece_t piece
        uint32_t i
        int64_t count
        bint fine = True
    if block == NULL:
        return NULL
    count = is_count(block) if numbers else lp_count(block)
    if count == 0:
        free(block)
        wrong(c, b"a set without members", start)
        return NULL
    if count <= (l.ks.limits.set_intset if numbers else l.ks.limits.set_entries):
        return adopt(l, s, h, key, TYPE_SET, INTSET if numbers else PACKED, block)
    made = members_new(l.ks.seed)
    if made != NULL and numbers:
        for i in range(is_count(block)):
            fine = fine and members_add(made, piece.digits, format_int(piece.digits, is_at(block, i))) >= 0
    elif made != NULL:
        at = lp_first(block)
        while at[0] != END:
            lp_read(at, &piece)
            fine = fine and members_add(made, piece.data, piece.size) >= 0
            at = lp_next(at)
    free(block)
    if not fine:
        free_value(TYPE_SET, FULL, made)
        made = NULL
    return adopt(l, s, h, key, TYPE_SET, FULL, made)


cdef entry_t* load_zset(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key) noexcept nogil:
    cdef:
        uint64_t n = 0, i
        size_t start = c.at
        string_t member
        const char* raw
        double score
        int encoding = FULL, made
        entry_t* e = NULL
        int64_t before = 0
        void* value
    take_length(c, &n)
    if n == 0:
        wrong(c, b"a sorted set without members", start)
        return NULL
    for i in range(n):
        if not take_string(c, l.scratch, &member) or not take_raw(c, 8, &raw):
            break
        memcpy(&score, raw, 8)
        if isnan(score):
            wrong(c, b"a member of a sorted set has no score", start)
            break
        if e == NULL:
            if n > <uint64_t>max(<int64_t>0, l.ks.limits.zset_entries):
                value = zs_new(l.ks.seed)
            else:
                value = zset_empty(l.ks, member.size, &encoding)
            e = adopt(l, s, h, key, TYPE_ZSET, encoding, value)
            if e == NULL:
                return NULL
            before = value_bytes(e)
        made = zset_set(l.ks, e, member.data, member.size, score)
        if made <= 0:
            if made < 0:
                out_of_memory(l)
            else:
                wrong(c, b"a member of a sorted set comes twice", start)
            break
    if e != NULL:
        settle(s, e, before)
    return e


cdef bint scores_rise(byte* block) noexcept nogil:
    """Whether a packed sorted set is one: members and scores in turn, in ascending order."""
    cdef byte* at = lp_first(block)
    cdef piece_t piece
    cdef double score, last = 0
    cdef bint first = True
    while at[0] != END:
        at = lp_next(at)
        if at[0] == END:
            return False
        lp_read(at, &piece)
        if piece.is_number:
            score = <double>piece.number
        elif not parse_double(piece.data, piece.size, &score):
            return False
        if not first and score < last:
            return False
        last = score
        first = False
        at = lp_next(at)
    return not first


cdef entry_t* load_packed_zset(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key) noexcept nogil:
    cdef:
        size_t start = c.at
        byte* block = take_block(l, c, False)
        byte* at
        entry_t* e
        piece_t member, text
        double score = 0
        int64_t before
        int made = 1
    if block == NULL:
        return NULL
    if not scores_rise(block):
        free(block)
        wrong(c, b"a packed sorted set is damaged", start)
        return NULL
    if lp_count(block) // 2 <= l.ks.limits.zset_entries:
        return adopt(l, s, h, key, TYPE_ZSET, PACKED, block)
    e = adopt(l, s, h, key, TYPE_ZSET, FULL, zs_new(l.ks.seed))
    if e == NULL:
        free(block)
        return NULL
    before = value_bytes(e)
    at = lp_first(block)
    while at[0] != END and made > 0:
        lp_read(at, &member)
        at = lp_next(at)
        lp_read(at, &text)
        at = lp_next(at)
        if text.is_number:
            score = <double>text.number
        else:
            parse_double(text.data, text.size, &score)
        made = zset_set(l.ks, e, member.data, member.size, score)
    free(block)
    settle(s, e, before)
    if made < 0:
        out_of_memory(l)
    elif made == 0:
        wrong(c, b"a member of a sorted set comes twice", start)
    return e


cdef entry_t* load_hash(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key) noexcept nogil:
    cdef:
        uint64_t n = 0, i
        size_t start = c.at
        string_t field, value
        int encoding = FULL, made
        entry_t* e
        int64_t before
        void* empty
    take_length(c, &n)
    if n == 0:
        wrong(c, b"a hash without fields", start)
        return NULL
    if n > <uint64_t>max(<int64_t>0, l.ks.limits.hash_entries):
        empty = fields_new(l.ks.seed)
    else:
        empty = hash_empty(&encoding)
    e = adopt(l, s, h, key, TYPE_HASH, encoding, empty)
    if e == NULL:
        return NULL
    before = value_bytes(e)
    for i in range(n):
        if not take_string(c, l.scratch, &field) or not take_string(c, l.scratch + 1, &value):
            break
        made = hash_set(l.ks, s, e, field.data, field.size, value.data, value.size, False)
        if made <= 0:
            if made < 0:
                out_of_memory(l)
            else:
                wrong(c, b"a field of a hash comes twice", start)
            break
    settle(s, e, before)
    return e


cdef entry_t* load_packed_hash(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key) noexcept nogil:
    cdef:
        size_t start = c.at
        byte* block = take_block(l, c, False)
        entry_t* e
        int64_t count, before
    if block == NULL:
        return NULL
    count = lp_count(block)
    if count == 0 or count % 2:
        free(block)
        wrong(c, b"a packed hash is damaged", start)
        return NULL
    e = adopt(l, s, h, key, TYPE_HASH, PACKED, block)
    if e != NULL and count // 2 > l.ks.limits.hash_entries:
        before = value_bytes(e)
        if hash_unpack(l.ks, e) == NULL:
            out_of_memory(l)
        settle(s, e, before)
    return e


# --- items -----------------------------------------------------------------------------------------------------------

cdef inline bint for_python(load_t* l, int kind) noexcept nogil:
    if kind == RDB_STRING or kind == RDB_HASH or kind == RDB_SET or kind == RDB_ZSET_2:
        return False
    if kind == RDB_HASH_LISTPACK or kind == RDB_ZSET_LISTPACK or kind == RDB_SET_LISTPACK or kind == RDB_SET_INTSET \
            or kind == RDB_LIST_QUICKLIST_2:
        return l.deep
    return True


cdef entry_t* load_value(load_t* l, cursor_t* c, stripe_t* s, uint64_t h, const string_t* key) noexcept nogil:
    cdef int kind = l.item.type
    if kind == RDB_STRING:
        return load_string(l, c, s, h, key)
    if kind == RDB_HASH_LISTPACK:
        return load_packed_hash(l, c, s, h, key)
    if kind == RDB_ZSET_LISTPACK:
        return load_packed_zset(l, c, s, h, key)
    if kind == RDB_LIST_QUICKLIST_2:
        return load_list(l, c, s, h, key)
    if kind == RDB_HASH:
        return load_hash(l, c, s, h, key)
    if kind == RDB_SET:
        return load_set(l, c, s, h, key)
    if kind == RDB_ZSET_2:
        return load_zset(l, c, s, h, key)
    return load_block_set(l, c, s, h, key, kind == RDB_SET_INTSET)


cdef bint load_key(load_t* l) noexcept nogil:
    """The key of the item that was just passed. False: something is wrong with it."""
    cdef:
        cursor_t c = l.c
        string_t key
        uint64_t h
        stripe_t* s
        entry_t* e
    c.size = l.item.end        # the value's own end: it was measured
    c.at = l.item.name
    if not take_string(&c, &l.key_scratch, &key) or key.size > LONGEST:
        return wrong(&l.c, b"a key is longer than 4 GB", l.item.name)
    h = l.hashes[l.ahead_at - 1]
    s = stripe_at(l.ks, l.database, stripe_index(l.ks, h))
    if table_find(&s.table, h, key.data, key.size) != NULL:
        return wrong(&l.c, b"a key comes twice", l.item.start)
    c.at = l.item.value
    e = load_value(l, &c, s, h, &key)
    if c.wrong != NULL:
        l.c.wrong, l.c.wrong_at = c.wrong, c.wrong_at
    if l.c.wrong != NULL:
        return False
    if e == NULL or c.at != l.item.end:
        return wrong(&l.c, b"a value is damaged", l.item.value)
    if l.item.expire_ms >= 0 and not set_deadline(s, e, l.item.expire_ms - l.ks.wall_offset_ms):
        return out_of_memory(l)
    if l.item.idle_s > 0:
        e.stamp = <uint64_t>max(<int64_t>0, l.now_ns - l.item.idle_s * 1000000000)
    if l.item.freq >= 0:
        e.lfu = <unsigned char>l.item.freq
    l.keys += 1
    return True


cdef void continue_crc(load_t* l, size_t until) noexcept nogil:
    if l.checked:
        l.crc = crc64_of(l.crc, <const char*>l.c.p + l.crc_at, until - l.crc_at)
    l.crc_at = until


cdef item_kind walk_ahead(load_t* l) noexcept nogil:
    """Walks over some keys and starts to fetch the buckets they belong to, which are far apart."""
    cdef item_t* item
    cdef cursor_t c
    cdef string_t key
    cdef uint64_t h
    l.database = l.walk.database
    l.ahead_at = l.ahead_len = 0
    while l.ahead_len < AHEAD:
        item = &l.ahead[l.ahead_len]
        if rdb_next(&l.walk, &l.c, item) == ITEM_BAD or item.kind == ITEM_MORE:
            return item.kind
        l.ahead_len += 1
        if item.kind != ITEM_KEY:
            break
        if l.database >= l.ks.databases:
            wrong(&l.c, b"a key of a database that this server does not have (see the directive `databases`)", item.start)
            return ITEM_BAD
        c = l.c
        c.at = item.name
        if not take_string(&c, &l.key_scratch, &key):
            l.c.wrong, l.c.wrong_at = c.wrong, c.wrong_at
            wrong(&l.c, b"a key is damaged", item.name)
            return ITEM_BAD
        h = hash_key(l.ks, key.data, key.size)
        l.hashes[l.ahead_len - 1] = h
        table_prefetch(&stripe_at(l.ks, l.database, stripe_index(l.ks, h)).table, h)
    return ITEM_KEY


cdef void expect(load_t* l, uint64_t keys) noexcept nogil:
    """Makes room in the tables of a database for keys that the file announces, as far as it can hold them."""
    cdef int i
    cdef int64_t each
    if l.walk.database >= l.ks.databases:
        return
    each = <int64_t>min(keys, <uint64_t>(l.c.size - l.c.at) // SMALLEST_ITEM) // l.ks.stripes
    if each >= 64:
        for i in range(l.ks.stripes):
            table_reserve(&stripe_at(l.ks, l.walk.database, i).table, each + (each >> 5))


cdef step load_some(load_t* l) noexcept nogil:
    cdef size_t breath = l.c.at + BREATH
    cdef item_kind ahead
    while l.ahead_at < l.ahead_len or l.c.at < breath:
        if l.ahead_at == l.ahead_len:
            ahead = walk_ahead(l)
            if ahead != ITEM_KEY:
                return STEP_BAD if ahead == ITEM_BAD else STEP_CUT
        l.item = l.ahead[l.ahead_at]
        l.ahead_at += 1
        if l.item.kind == ITEM_KEY:
            if 0 <= l.item.expire_ms < l.now_ms:
                l.expired += 1
            elif for_python(l, l.item.type):
                return STEP_PYTHON
            elif not load_key(l):
                return STEP_BAD
        elif l.item.kind == ITEM_RESIZE:
            expect(l, l.item.numbers[0])
        elif l.item.kind == ITEM_END:
            continue_crc(l, l.item.start + 1)
            if l.checked and l.walk.version >= CHECKED_VERSION and l.item.numbers[0] \
                    and l.item.numbers[0] != l.crc:
                wrong(&l.c, b"the checksum is not that of the bytes before it: the file is damaged", l.item.start + 1)
                return STEP_BAD
            return STEP_END
        elif l.item.kind == ITEM_AUX or l.item.kind == ITEM_FUNCTION or l.item.kind == ITEM_MODULE:
            return STEP_PYTHON
    continue_crc(l, l.c.at)
    return STEP_BREATH


Loaded = namedtuple("Loaded", "keys expired end version aux dropped")


cdef bytes text_at(load_t* l, size_t at):
    cdef cursor_t c = l.c
    cdef string_t s
    c.at = at
    if not take_string(&c, &l.key_scratch, &s):
        raise RdbError("a string is damaged" if c.wrong == NULL else (<bytes>c.wrong).decode(), at)
    return s.data[:s.size]


cdef int with_python(load_t* l, object other, dict aux, list dropped) except -1:
    cdef item_t* i = &l.item
    if i.kind == ITEM_AUX:
        aux[text_at(l, i.name)] = text_at(l, i.value)
    elif i.kind == ITEM_KEY:
        use = (None if i.expire_ms < 0 else i.expire_ms, None if i.idle_s < 0 else i.idle_s,
               None if i.freq < 0 else i.freq)
        other(l.database, text_at(l, i.name), (i.type, i.value, i.end), use)
        l.keys += 1
    else:
        dropped.append("a function library" if i.kind == ITEM_FUNCTION else "data of a module")
    return 0


def load(Keyspace keyspace not None, const unsigned char[::1] data not None, other, *, size_t at=0, now_ms=None,
         bint checked=True, bint deep=False, progress=None):
    """Loads the RDB file that begins at a place of a buffer. See rdbload.pyi."""
    cdef:
        load_t l
        step why
        dict aux = {}
        list dropped = []
        int i
    if at > <size_t>data.shape[0]:
        raise IndexError(f"offset {at} of {data.shape[0]} bytes")
    l.walk.version = l.walk.database = 0
    l.c.p = &data[0] if data.shape[0] else <const unsigned char*>b""
    l.c.size = data.shape[0]
    l.c.at = at
    l.c.wrong = NULL
    l.c.wrong_at = 0
    l.ks = keyspace.ks
    l.now_ns = rl_monotonic_ns()
    l.now_ms = -1 if now_ms is None else now_ms
    l.keys = l.expired = 0
    l.ahead_at = l.ahead_len = l.database = 0
    l.deep = deep
    l.checked = checked
    l.crc = 0
    l.crc_at = at
    l.key_scratch.data = NULL
    l.key_scratch.cap = 0
    for i in range(2):
        l.scratch[i].data = NULL
        l.scratch[i].cap = 0
    try:
        while True:
            with nogil:
                why = load_some(&l)
            if why == STEP_END:
                if not order_by_use(l.ks):
                    raise MemoryError
                return Loaded(l.keys, l.expired, l.c.at, l.walk.version, aux, dropped)
            if why == STEP_CUT:
                at = l.ahead[l.ahead_len].start
                raise RdbError(f"the file ends in the middle of what begins at offset {at}", l.c.size)
            if why == STEP_BAD:
                raise RdbError((<bytes>l.c.wrong).decode(), l.c.wrong_at)
            if why == STEP_PYTHON:
                with_python(&l, other, aux, dropped)
            elif progress is not None:
                progress(l.c.at)
    finally:
        free(l.key_scratch.data)
        for i in range(2):
            free(l.scratch[i].data)
