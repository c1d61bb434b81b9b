# cython: cdivision=True
"""The set commands of the core, implemented once for both paths (see strings.pyx), and the steps below them.

A set is an intset while it holds a few numbers only, a listpack while it is small, a table from then on.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from rlite.engine.core.errors cimport E_OUT_OF_MEMORY
from rlite.engine.core.execute cimport (
    CLASS_SET, call_error, call_t, drop_empty, effect_key, effect_part, enlist, event, find, is_other, out_piece, read,
    stripe_of,
)
from rlite.engine.core.intset cimport is_add, is_at, is_count, is_find, is_new, is_remove
from rlite.engine.core.keyspace cimport create_value, keyspace_t, settle
from rlite.engine.core.members cimport (
    member_key, member_t, members_add, members_find, members_free, members_new, members_remove, set_t,
)
from rlite.engine.core.packed cimport (
    END, byte, lp_append, lp_count, lp_end, lp_find, lp_first, lp_new, lp_next, lp_read, lp_remove, lp_seek, needle_init,
    needle_t, piece_t,
)
from rlite.engine.core.resp cimport format_int, out_bulk, out_head, out_int, out_null, out_t, parse_int
from rlite.engine.core.table cimport TYPE_SET, entry_t, next_random, table_each, table_random
from rlite.engine.core.values cimport FULL, INTSET, PACKED, count_of, free_value, set_value, value_bytes, value_of


# --- steps -----------------------------------------------------------------------------------------------------------

cdef int64_t set_len(entry_t* e) noexcept nogil:
    return count_of(TYPE_SET, e.encoding, value_of(e))


cdef void* set_empty(keyspace_t* ks, const char* data, size_t size, int64_t hint, int* encoding) noexcept nogil:
    """A new value in the form that suits its first member and the number (`hint`) to come."""
    cdef int64_t v
    if parse_int(data, size, &v) and hint <= ks.limits.set_intset:
        encoding[0] = INTSET
        return is_new()
    if hint <= ks.limits.set_entries:
        encoding[0] = PACKED
        return lp_new(16)
    encoding[0] = FULL
    return members_new(ks.seed)


cdef bint set_has(entry_t* e, const char* data, size_t size) noexcept nogil:
    cdef needle_t needle
    cdef int64_t v
    cdef uint32_t at
    if e.encoding == FULL:
        return members_find(<set_t*>value_of(e), data, size) != NULL
    if e.encoding == INTSET:
        return parse_int(data, size, &v) and is_find(<byte*>value_of(e), v, &at)
    needle_init(&needle, data, size)
    return lp_find(lp_first(<byte*>value_of(e)), &needle, 0) != NULL


cdef bint to_full(keyspace_t* ks, entry_t* e) noexcept nogil:
    cdef set_t* s = members_new(ks.seed)
    cdef byte* old = <byte*>value_of(e)
    cdef byte* at
    cdef piece_t piece
    cdef uint32_t i
    if s == NULL:
        return False
    if e.encoding == INTSET:
        for i in range(is_count(old)):
            if members_add(s, piece.digits, format_int(piece.digits, is_at(old, i))) < 0:
                members_free(s)
                return False
    else:
        at = lp_first(old)
        while at[0] != END:
            lp_read(at, &piece)
            if members_add(s, piece.data, piece.size) < 0:
                members_free(s)
                return False
            at = lp_next(at)
    free(old)
    set_value(e, s, FULL)
    return True


cdef bint to_packed(entry_t* e) noexcept nogil:
    """A listpack instead of an intset."""
    cdef byte* lp = lp_new(is_count(<byte*>value_of(e)) * 4)
    cdef char digits[24]
    cdef uint32_t i
    if lp == NULL:
        return False
    for i in range(is_count(<byte*>value_of(e))):
        if lp_append(&lp, digits, format_int(digits, is_at(<byte*>value_of(e), i))) == NULL:
            free(lp)
            return False
    free(value_of(e))
    set_value(e, lp, PACKED)
    return True


cdef int set_add(keyspace_t* ks, entry_t* e, const char* data, size_t size) noexcept nogil:
    cdef:
        byte* value
        needle_t needle
        int made
        int64_t v
    if e.encoding == INTSET:
        value = <byte*>value_of(e)
        if parse_int(data, size, &v):
            made = is_add(&value, v)
            set_value(e, value, INTSET)
            if made == 1 and <int64_t>is_count(value) > ks.limits.set_intset and not to_full(ks, e):
                return 1                # larger than it should be, but whole
            return made
        if <int64_t>is_count(value) < ks.limits.set_entries and <int64_t>size <= ks.limits.set_value:
            if not to_packed(e):
                return -1
        elif not to_full(ks, e):
            return -1
    if e.encoding == PACKED:
        value = <byte*>value_of(e)
        needle_init(&needle, data, size)
        if lp_find(lp_first(value), &needle, 0) != NULL:
            return 0
        if <int64_t>size <= ks.limits.set_value and lp_count(value) < ks.limits.set_entries:
            made = lp_append(&value, data, size) != NULL
            set_value(e, value, PACKED)
            return 1 if made else -1
        if not to_full(ks, e):
            return -1
    return members_add(<set_t*>value_of(e), data, size)


cdef bint set_remove(entry_t* e, const char* data, size_t size) noexcept nogil:
    cdef:
        byte* value
        byte* at
        member_t* m
        needle_t needle
        int64_t v
        bint found
    if e.encoding == FULL:
        m = members_find(<set_t*>value_of(e), data, size)
        if m == NULL:
            return False
        members_remove(<set_t*>value_of(e), m)
        return True
    value = <byte*>value_of(e)
    if e.encoding == INTSET:
        found = parse_int(data, size, &v) and is_remove(&value, v)
    else:
        needle_init(&needle, data, size)
        at = lp_find(lp_first(value), &needle, 0)
        found = at != NULL
        if found:
            lp_remove(&value, at, 1)
    set_value(e, value, e.encoding)
    return found


cdef void set_random(entry_t* e, uint64_t* state, piece_t* piece) noexcept nogil:
    cdef member_t* m
    cdef int64_t pick
    if e.encoding == FULL:
        m = <member_t*>table_random(&(<set_t*>value_of(e)).table, state)
        piece.data = member_key(m)
        piece.size = m.klen
        return
    pick = <int64_t>(next_random(state) % <uint64_t>set_len(e))
    if e.encoding == PACKED:
        lp_read(lp_seek(<byte*>value_of(e), pick), piece)
        return
    piece.data = piece.digits
    piece.size = format_int(piece.digits, is_at(<byte*>value_of(e), <uint32_t>pick))


# --- commands --------------------------------------------------------------------------------------------------------

cdef void sadd(call_t* c) noexcept nogil:
    cdef entry_t* e = find(c, 0, 1)
    cdef int64_t before, added = 0
    cdef int i, made, encoding = 0
    cdef void* value
    if is_other(c, e, TYPE_SET):
        return
    if e == NULL:
        value = set_empty(c.ks, c.argv[2].data, c.argv[2].size, c.argc - 2, &encoding)
        if value != NULL:
            e = create_value(c.ks, stripe_of(c, 0), c.hashes[0], c.argv[1].data, c.argv[1].size, TYPE_SET, encoding,
                             value, c.now_ns)
        if e == NULL:
            free_value(TYPE_SET, PACKED if value == NULL else encoding, value)
            call_error(c, E_OUT_OF_MEMORY)
            return
    before = value_bytes(e)
    for i in range(2, c.argc):
        made = set_add(c.ks, e, c.argv[i].data, c.argv[i].size)
        if made < 0:
            call_error(c, E_OUT_OF_MEMORY)
            break
        added += made
    settle(stripe_of(c, 0), e, before)
    c.dirty += added
    if added:
        event(c, 0, b"sadd", CLASS_SET)
    if c.error:
        drop_empty(c, 0, e)
        return
    out_int(c.out, added)


cdef void srem(call_t* c) noexcept nogil:
    cdef entry_t* e = find(c, 0, 1)
    cdef int64_t before, n = 0
    cdef int i
    if is_other(c, e, TYPE_SET):
        return
    if e != NULL:
        before = value_bytes(e)
        for i in range(2, c.argc):
            if set_remove(e, c.argv[i].data, c.argv[i].size):
                n += 1
                if set_len(e) == 0:
                    break
        settle(stripe_of(c, 0), e, before)
        if n:
            event(c, 0, b"srem", CLASS_SET)
            drop_empty(c, 0, e)
    c.dirty += n
    out_int(c.out, n)


cdef void scard(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if not is_other(c, e, TYPE_SET):
        out_int(c.out, 0 if e == NULL else set_len(e))


cdef void sismember(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if not is_other(c, e, TYPE_SET):
        out_int(c.out, 1 if e != NULL and set_has(e, c.argv[2].data, c.argv[2].size) else 0)


cdef void smismember(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef int i
    if is_other(c, e, TYPE_SET):
        return
    out_head(c.out, c'*', c.argc - 2)
    for i in range(2, c.argc):
        out_int(c.out, 1 if e != NULL and set_has(e, c.argv[i].data, c.argv[i].size) else 0)


cdef void write_member(void* context, entry_t* item) noexcept nogil:
    out_bulk(<out_t*>context, member_key(<member_t*>item), (<member_t*>item).klen)


cdef void smembers(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef byte* at
    cdef piece_t piece
    cdef uint32_t i
    if is_other(c, e, TYPE_SET):
        return
    out_head(c.out, c'~' if c.resp == 3 else c'*', 0 if e == NULL else set_len(e))
    if e == NULL:
        return
    if e.encoding == FULL:
        table_each(&(<set_t*>value_of(e)).table, write_member, c.out)
    elif e.encoding == INTSET:
        at = <byte*>value_of(e)
        for i in range(is_count(at)):
            out_bulk(c.out, piece.digits, format_int(piece.digits, is_at(at, i)))
    else:
        at = lp_first(<byte*>value_of(e))
        while at[0] != END:
            out_piece(c.out, at)
            at = lp_next(at)


cdef void spop(call_t* c) noexcept nogil:
    """SPOP key; with a count it is Python's."""
    cdef entry_t* e
    cdef piece_t piece
    cdef int64_t before
    cdef uint64_t state = <uint64_t>c.now_ns ^ <uint64_t>c.hashes[0] | 1
    if c.argc != 2:
        c.declined = True
        return
    e = find(c, 0, 1)
    if is_other(c, e, TYPE_SET):
        return
    if e == NULL:
        out_null(c.out, c.resp)
        return
    before = value_bytes(e)
    next_random(&state)
    set_random(e, &state, &piece)
    out_bulk(c.out, piece.data, piece.size)
    effect_key(c, 3, b"SREM")
    effect_part(c, piece.data, piece.size)
    if e.encoding == FULL:
        members_remove(<set_t*>value_of(e), <member_t*>(piece.data - sizeof(member_t)))
    else:
        set_remove(e, piece.data, piece.size)
    settle(stripe_of(c, 0), e, before)
    c.dirty += 1
    event(c, 0, b"spop", CLASS_SET)
    drop_empty(c, 0, e)


COMMANDS = {}
enlist(COMMANDS, "sadd", sadd)
enlist(COMMANDS, "srem", srem)
enlist(COMMANDS, "scard", scard)
enlist(COMMANDS, "sismember", sismember)
enlist(COMMANDS, "smismember", smismember)
enlist(COMMANDS, "smembers", smembers)
enlist(COMMANDS, "spop", spop)
