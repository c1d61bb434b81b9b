# cython: cdivision=True
"""The hash commands of the core, implemented once for both paths (see strings.pyx), and the steps below them.

A hash is one listpack of fields and values in turn while it is small, a table from then on, or once a field has a
deadline.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from rlite.engine.core.errors cimport (
    E_HASH_NOT_AN_INTEGER, E_OUT_OF_MEMORY, E_OVERFLOW, E_WRONG_ARITY,
)
from rlite.engine.core.execute cimport (
    CLASS_HASH, call_error, call_t, drop_empty, enlist, event, find, int_arg, is_other, out_piece, read, stripe_of,
)
from rlite.engine.core.keyspace cimport NEVER, create_value, keyspace_t, settle, stripe_t, watch_fields
from rlite.engine.core.members cimport (
    field_key, field_t, field_value, fields_find, fields_free, fields_new, fields_persist, fields_remove, fields_set, hash_t,
    is_hidden,
)
from rlite.engine.core.packed cimport (
    END, byte, lp_append, lp_count, lp_find, lp_first, lp_new, lp_next, lp_read, lp_remove, lp_replace, needle_init,
    needle_t, piece_t,
)
from rlite.engine.core.resp cimport format_int, out_bulk, out_head, out_int, out_null, out_ok, out_t, parse_int
from rlite.engine.core.table cimport TYPE_HASH, entry_t, table_each
from rlite.engine.core.values cimport FULL, PACKED, count_of, free_value, set_value, value_bytes, value_of


# --- steps -----------------------------------------------------------------------------------------------------------

cdef int64_t hash_len(entry_t* e) noexcept nogil:
    return count_of(TYPE_HASH, e.encoding, value_of(e)) - ((<hash_t*>value_of(e)).hidden if e.encoding == FULL else 0)


cdef void* hash_empty(int* encoding) noexcept nogil:
    encoding[0] = PACKED
    return lp_new(32)


cdef bint hash_get(entry_t* e, const char* field, size_t size, piece_t* value) noexcept nogil:
    cdef needle_t needle
    cdef byte* at
    cdef field_t* f
    if e.encoding == PACKED:
        needle_init(&needle, field, size)
        at = lp_find(lp_first(<byte*>value_of(e)), &needle, 1)
        if at == NULL:
            return False
        lp_read(lp_next(at), value)
        return True
    f = fields_find(<hash_t*>value_of(e), field, size)
    if f == NULL or is_hidden(<hash_t*>value_of(e), f):
        return False
    value.is_number = False
    value.data = field_value(f)
    value.size = f.vlen
    return True


cdef hash_t* hash_unpack(keyspace_t* ks, entry_t* e) noexcept nogil:
    cdef byte* lp
    cdef byte* at
    cdef hash_t* h
    cdef piece_t field, value
    if e.encoding == FULL:
        return <hash_t*>value_of(e)
    h = fields_new(ks.seed)
    if h == NULL:
        return NULL
    lp = <byte*>value_of(e)
    at = lp_first(lp)
    while at[0] != END:
        lp_read(at, &field)
        at = lp_next(at)
        lp_read(at, &value)
        at = lp_next(at)
        if fields_set(h, field.data, field.size, value.data, value.size) < 0:
            fields_free(h)
            return NULL
    free(lp)
    set_value(e, h, FULL)
    return h


cdef int hash_set(keyspace_t* ks, stripe_t* s, entry_t* e, const char* field, size_t size, const char* value,
                  size_t vlen, bint keep_ttl) noexcept nogil:
    cdef:
        needle_t needle
        byte* lp
        byte* at
        bint fine
        hash_t* h
        field_t* f
        int made
    if e.encoding == PACKED and (<int64_t>size > ks.limits.hash_value or <int64_t>vlen > ks.limits.hash_value) \
            and hash_unpack(ks, e) == NULL:
        return -1
    if e.encoding == PACKED:
        lp = <byte*>value_of(e)
        needle_init(&needle, field, size)
        at = lp_find(lp_first(lp), &needle, 1)
        if at != NULL:
            fine = lp_replace(&lp, lp_next(at), value, vlen) != NULL
            set_value(e, lp, PACKED)
            return 0 if fine else -1
        if lp_count(lp) // 2 < ks.limits.hash_entries:
            fine = lp_append(&lp, field, size) != NULL
            if fine and lp_append(&lp, value, vlen) == NULL:
                lp_remove(&lp, lp_find(lp_first(lp), &needle, 1), 1)
                fine = False
            set_value(e, lp, PACKED)
            return 1 if fine else -1
        if hash_unpack(ks, e) == NULL:
            return -1
    h = <hash_t*>value_of(e)
    made = fields_set(h, field, size, value, vlen)
    if made == 0 and not keep_ttl and h.heap_pos:
        f = fields_find(h, field, size)
        if f.heap_pos:
            fields_persist(h, f)
            watch_fields(s, h)
    return made


cdef bint hash_delete(stripe_t* s, entry_t* e, const char* field, size_t size) noexcept nogil:
    cdef:
        needle_t needle
        byte* lp
        byte* at
        hash_t* h
        field_t* f
    if e.encoding == PACKED:
        lp = <byte*>value_of(e)
        needle_init(&needle, field, size)
        at = lp_find(lp_first(lp), &needle, 1)
        if at == NULL:
            return False
        lp_remove(&lp, at, 2)
        set_value(e, lp, PACKED)
        return True
    h = <hash_t*>value_of(e)
    f = fields_find(h, field, size)
    if f == NULL:
        return False
    fields_remove(h, f)
    if h.heap_pos:
        watch_fields(s, h)
    return True


# --- commands --------------------------------------------------------------------------------------------------------

cdef entry_t* open_hash(call_t* c) noexcept nogil:
    """The hash at the key, made where there is none. NULL: the error is written."""
    cdef entry_t* e = find(c, 0, 1)
    cdef int encoding
    cdef void* value
    if is_other(c, e, TYPE_HASH):
        return NULL
    if e == NULL:
        value = hash_empty(&encoding)
        if value != NULL:
            e = create_value(c.ks, stripe_of(c, 0), c.hashes[0], c.argv[1].data, c.argv[1].size, TYPE_HASH, encoding,
                             value, c.now_ns)
        if e == NULL:
            free_value(TYPE_HASH, encoding, value)
            call_error(c, E_OUT_OF_MEMORY)
    return e


cdef int64_t set_pairs(call_t* c) noexcept nogil:
    """Sets the fields from argument 2 on. Returns how many are new; on an error, it is written."""
    cdef entry_t* e
    cdef int64_t before, added = 0
    cdef int i, made
    if c.argc % 2:
        call_error(c, E_WRONG_ARITY)
        return 0
    e = open_hash(c)
    if e == NULL:
        return 0
    before = value_bytes(e)
    for i in range(2, c.argc, 2):
        made = hash_set(c.ks, stripe_of(c, 0), e, c.argv[i].data, c.argv[i].size, c.argv[i + 1].data,
                        c.argv[i + 1].size, False)
        if made < 0:
            call_error(c, E_OUT_OF_MEMORY)
            break
        added += made
        c.dirty += 1
    settle(stripe_of(c, 0), e, before)
    event(c, 0, b"hset", CLASS_HASH)
    if c.error:
        drop_empty(c, 0, e)
    return added


cdef void hset(call_t* c) noexcept nogil:
    cdef int64_t added = set_pairs(c)
    if not c.error:
        out_int(c.out, added)


cdef void hmset(call_t* c) noexcept nogil:
    set_pairs(c)
    if not c.error:
        out_ok(c.out)


cdef void hsetnx(call_t* c) noexcept nogil:
    cdef entry_t* e = find(c, 0, 1)
    cdef piece_t value
    if is_other(c, e, TYPE_HASH):
        return
    if e != NULL and hash_get(e, c.argv[2].data, c.argv[2].size, &value):
        out_int(c.out, 0)
        return
    set_pairs(c)
    if not c.error:
        out_int(c.out, 1)


cdef void hget(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef piece_t value
    if is_other(c, e, TYPE_HASH):
        return
    if e != NULL and hash_get(e, c.argv[2].data, c.argv[2].size, &value):
        out_bulk(c.out, value.data, value.size)
    else:
        out_null(c.out, c.resp)


cdef void hmget(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef piece_t value
    cdef int i
    if is_other(c, e, TYPE_HASH):
        return
    out_head(c.out, c'*', c.argc - 2)
    for i in range(2, c.argc):
        if e != NULL and hash_get(e, c.argv[i].data, c.argv[i].size, &value):
            out_bulk(c.out, value.data, value.size)
        else:
            out_null(c.out, c.resp)


cdef void hlen(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if not is_other(c, e, TYPE_HASH):
        out_int(c.out, 0 if e == NULL else hash_len(e))


cdef void hexists(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef piece_t value
    if not is_other(c, e, TYPE_HASH):
        out_int(c.out, 1 if e != NULL and hash_get(e, c.argv[2].data, c.argv[2].size, &value) else 0)


cdef void hstrlen(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef piece_t value
    if is_other(c, e, TYPE_HASH):
        return
    value.size = 0
    if e != NULL and not hash_get(e, c.argv[2].data, c.argv[2].size, &value):
        value.size = 0
    out_int(c.out, value.size)


cdef void hdel(call_t* c) noexcept nogil:
    cdef entry_t* e = find(c, 0, 1)
    cdef int64_t before, n = 0
    cdef int i
    if is_other(c, e, TYPE_HASH):
        return
    if e != NULL:
        before = value_bytes(e)
        for i in range(2, c.argc):
            if hash_delete(stripe_of(c, 0), e, c.argv[i].data, c.argv[i].size):
                n += 1
                if hash_len(e) == 0:
                    break
        settle(stripe_of(c, 0), e, before)
        if n:
            event(c, 0, b"hdel", CLASS_HASH)
            drop_empty(c, 0, e)
    c.dirty += n
    out_int(c.out, n)


cdef void hincrby(call_t* c) noexcept nogil:
    cdef:
        int64_t by, v = 0, before
        entry_t* e
        piece_t value
        char text[24]
        int size
    if not int_arg(c, 3, &by):
        return
    e = find(c, 0, 1)
    if is_other(c, e, TYPE_HASH):
        return
    if e != NULL and hash_get(e, c.argv[2].data, c.argv[2].size, &value) and not parse_int(value.data, value.size, &v):
        call_error(c, E_HASH_NOT_AN_INTEGER)
        return
    if (by < 0 and v < 0 and by < -<int64_t>NEVER - 1 - v) or (by > 0 and v > 0 and by > <int64_t>NEVER - v):
        call_error(c, E_OVERFLOW)
        return
    e = open_hash(c)
    if e == NULL:
        return
    v += by
    size = format_int(text, v)
    before = value_bytes(e)
    if hash_set(c.ks, stripe_of(c, 0), e, c.argv[2].data, c.argv[2].size, text, size, True) < 0:
        call_error(c, E_OUT_OF_MEMORY)
    settle(stripe_of(c, 0), e, before)
    if c.error:
        drop_empty(c, 0, e)
        return
    c.dirty += 1
    event(c, 0, b"hincrby", CLASS_HASH)
    out_int(c.out, v)


cdef enum part:
    FIELDS = 1
    VALUES = 2

cdef struct walk_t:
    out_t* out
    hash_t* hash
    int parts


cdef void write_field(void* context, entry_t* item) noexcept nogil:
    cdef walk_t* w = <walk_t*>context
    cdef field_t* f = <field_t*>item
    if is_hidden(w.hash, f):
        return
    if w.parts & FIELDS:
        out_bulk(w.out, field_key(f), f.klen)
    if w.parts & VALUES:
        out_bulk(w.out, field_value(f), f.vlen)


cdef void reply_all(call_t* c, int parts) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef walk_t w
    cdef byte* at
    cdef int64_t n
    if is_other(c, e, TYPE_HASH):
        return
    n = 0 if e == NULL else hash_len(e)
    if parts != (FIELDS | VALUES):
        out_head(c.out, c'*', n)
    elif c.resp == 3:
        out_head(c.out, c'%', n)
    else:
        out_head(c.out, c'*', 2 * n)
    if e == NULL:
        return
    if e.encoding == FULL:
        w.out = c.out
        w.hash = <hash_t*>value_of(e)
        w.parts = parts
        table_each(&w.hash.table, write_field, &w)
        return
    at = lp_first(<byte*>value_of(e))
    while at[0] != END:
        if parts & FIELDS:
            out_piece(c.out, at)
        at = lp_next(at)
        if parts & VALUES:
            out_piece(c.out, at)
        at = lp_next(at)


cdef void hgetall(call_t* c) noexcept nogil:
    reply_all(c, FIELDS | VALUES)


cdef void hkeys(call_t* c) noexcept nogil:
    reply_all(c, FIELDS)


cdef void hvals(call_t* c) noexcept nogil:
    reply_all(c, VALUES)


COMMANDS = {}
enlist(COMMANDS, "hset", hset)
enlist(COMMANDS, "hmset", hmset)
enlist(COMMANDS, "hsetnx", hsetnx)
enlist(COMMANDS, "hget", hget)
enlist(COMMANDS, "hmget", hmget)
enlist(COMMANDS, "hlen", hlen)
enlist(COMMANDS, "hexists", hexists)
enlist(COMMANDS, "hstrlen", hstrlen)
enlist(COMMANDS, "hdel", hdel)
enlist(COMMANDS, "hincrby", hincrby)
enlist(COMMANDS, "hgetall", hgetall)
enlist(COMMANDS, "hkeys", hkeys)
enlist(COMMANDS, "hvals", hvals)
