# cython: cdivision=True
"""The list commands of the core, implemented once for both paths (see strings.pyx), and the steps below them.

A list is one listpack while that is no larger than a node may be, a chain of them from then on.
"""
from libc.stdint cimport int64_t

from rlite.engine.core.errors cimport E_OUT_OF_MEMORY, E_WRONG_ARITY
from rlite.engine.core.execute cimport (
    CLASS_LIST, call_error, call_t, clamp_range, count_arg, drop_empty, enlist, event, find, int_arg, is_other, out_piece,
    read, stripe_of,
)
from rlite.engine.core.keyspace cimport create_value, keyspace_t, settle
from rlite.engine.core.packed cimport (
    END, byte, lp_append, lp_bytes, lp_count, lp_end, lp_first, lp_insert, lp_new, lp_next, lp_prev, lp_remove, lp_replace,
    lp_seek,
)
from rlite.engine.core.quicklist cimport (
    lp_fits, ql_end, ql_from, ql_insert, ql_only_block, ql_push, ql_remove, ql_remove_range, ql_replace, ql_seek, ql_step,
    quick_t, spot_t,
)
from rlite.engine.core.resp cimport out_head, out_int, out_null, out_raw
from rlite.engine.core.table cimport TYPE_LIST, entry_t
from rlite.engine.core.values cimport FULL, PACKED, count_of, free_value, set_value, value_bytes, value_of


# --- steps -----------------------------------------------------------------------------------------------------------

cdef int64_t list_len(entry_t* e) noexcept nogil:
    return count_of(TYPE_LIST, e.encoding, value_of(e))


cdef void* list_empty(int* encoding) noexcept nogil:
    encoding[0] = PACKED
    return lp_new(16)


cdef spot_t list_seek(entry_t* e, int64_t index) noexcept nogil:
    cdef spot_t s
    if e.encoding == FULL:
        return ql_seek(<quick_t*>value_of(e), index)
    s.node = NULL
    s.at = lp_seek(<byte*>value_of(e), index)
    if s.at[0] == END:
        s.at = NULL
    return s


cdef void list_step(spot_t* s, bint forward) noexcept nogil:
    """Past either end `at` is NULL."""
    if s.node != NULL:
        ql_step(s, forward)
        return
    if forward:
        s.at = lp_next(s.at)
        if s.at[0] == END:
            s.at = NULL
    else:
        s.at = lp_prev(s.at)           # the caller knows where the first one is


cdef bint unpack(entry_t* e) noexcept nogil:
    cdef quick_t* q = ql_from(<byte*>value_of(e))
    if q == NULL:
        return False
    set_value(e, q, FULL)
    return True


cdef inline bint has_room(keyspace_t* ks, byte* lp, size_t size) noexcept nogil:
    return lp_fits(lp, lp_count(lp), size, ks.limits.list_size)


cdef bint list_push(keyspace_t* ks, entry_t* e, bint left, const char* data, size_t size) noexcept nogil:
    cdef byte* lp
    cdef bint fine
    if e.encoding == PACKED:
        lp = <byte*>value_of(e)
        if has_room(ks, lp, size):
            fine = lp_insert(&lp, lp_first(lp) if left else lp_end(lp), data, size) != NULL
            set_value(e, lp, PACKED)
            return fine
        if not unpack(e):
            return False
    return ql_push(<quick_t*>value_of(e), left, data, size, ks.limits.list_size)


cdef bint list_insert(keyspace_t* ks, entry_t* e, spot_t s, bint after, const char* data, size_t size) noexcept nogil:
    cdef byte* lp
    cdef bint fine
    cdef quick_t* q
    if e.encoding == PACKED:
        lp = <byte*>value_of(e)
        if has_room(ks, lp, size):
            fine = lp_insert(&lp, lp_next(s.at) if after else s.at, data, size) != NULL
            set_value(e, lp, PACKED)
            return fine
        if not unpack(e):
            return False
        s.node = (<quick_t*>value_of(e)).head      # the block itself has not moved
    return ql_insert(<quick_t*>value_of(e), s, after, data, size, ks.limits.list_size)


cdef bint list_replace(keyspace_t* ks, entry_t* e, spot_t s, const char* data, size_t size) noexcept nogil:
    cdef byte* lp
    cdef bint fine
    if e.encoding == PACKED:
        lp = <byte*>value_of(e)
        if has_room(ks, lp, size):
            fine = lp_replace(&lp, s.at, data, size) != NULL
            set_value(e, lp, PACKED)
            return fine
        if not unpack(e):
            return False
        s.node = (<quick_t*>value_of(e)).head
    return ql_replace(<quick_t*>value_of(e), s, data, size, ks.limits.list_size)


cdef spot_t list_remove(entry_t* e, spot_t s) noexcept nogil:
    cdef byte* lp
    if e.encoding == FULL:
        return ql_remove(<quick_t*>value_of(e), s)
    lp = <byte*>value_of(e)
    s.at = lp_remove(&lp, s.at, 1)
    set_value(e, lp, PACKED)
    if s.at[0] == END:
        s.at = NULL
    return s


cdef void list_remove_range(entry_t* e, int64_t start, int64_t n) noexcept nogil:
    cdef byte* lp
    if n <= 0:
        return
    if e.encoding == FULL:
        ql_remove_range(<quick_t*>value_of(e), start, n)
        return
    lp = <byte*>value_of(e)
    lp_remove(&lp, lp_seek(lp, start), n)
    set_value(e, lp, PACKED)


cdef void list_shrunk(keyspace_t* ks, entry_t* e) noexcept nogil:
    """Half of what made it a chain must be gone, or a list at the limit would change its form with every step."""
    cdef quick_t* q
    cdef int fill = ks.limits.list_size
    if e.encoding != FULL:
        return
    q = <quick_t*>value_of(e)
    if q.nodes != 1:
        return
    if fill >= 0 and q.count > fill // 2:
        return
    if lp_fits(q.head.lp, 0 if fill >= 0 else q.count, lp_bytes(q.head.lp), fill if fill < 0 else -2):
        set_value(e, ql_only_block(q), PACKED)


# --- commands --------------------------------------------------------------------------------------------------------

cdef void push(call_t* c, bint left, bint only_existing) noexcept nogil:
    cdef entry_t* e = find(c, 0, 1)
    cdef int64_t before
    cdef int i, encoding
    cdef void* value
    if is_other(c, e, TYPE_LIST):
        return
    if e == NULL:
        if only_existing:
            out_int(c.out, 0)
            return
        value = list_empty(&encoding)
        if value != NULL:
            e = create_value(c.ks, stripe_of(c, 0), c.hashes[0], c.argv[1].data, c.argv[1].size, TYPE_LIST, encoding,
                             value, c.now_ns)
        if e == NULL:
            free_value(TYPE_LIST, encoding, value)
            call_error(c, E_OUT_OF_MEMORY)
            return
    before = value_bytes(e)
    for i in range(2, c.argc):
        if not list_push(c.ks, e, left, c.argv[i].data, c.argv[i].size):
            call_error(c, E_OUT_OF_MEMORY)
            break
        c.dirty += 1
    settle(stripe_of(c, 0), e, before)
    event(c, 0, b"lpush" if left else b"rpush", CLASS_LIST)
    if c.error:
        drop_empty(c, 0, e)
        return
    out_int(c.out, list_len(e))


cdef void lpush(call_t* c) noexcept nogil:
    push(c, True, False)


cdef void rpush(call_t* c) noexcept nogil:
    push(c, False, False)


cdef void lpushx(call_t* c) noexcept nogil:
    push(c, True, True)


cdef void rpushx(call_t* c) noexcept nogil:
    push(c, False, True)


cdef void pop(call_t* c, bint left) noexcept nogil:
    """LPOP key [count]"""
    cdef:
        int64_t want = 1, before, i
        entry_t* e
        spot_t s
    if c.argc > 3:
        call_error(c, E_WRONG_ARITY)
        return
    if c.argc == 3:
        if not count_arg(c, 2, &want):
            return
    e = find(c, 0, 1)
    if is_other(c, e, TYPE_LIST):
        return
    if e == NULL:
        if c.argc == 3 and c.resp == 2:
            out_raw(c.out, b"*-1\r\n", 5)
        else:
            out_null(c.out, c.resp)
        return
    want = min(want, list_len(e))
    if c.argc == 3:
        out_head(c.out, c'*', want)
    if want == 0:
        return
    before = value_bytes(e)
    for i in range(want):
        s = ql_end(<quick_t*>value_of(e), left) if e.encoding == FULL else list_seek(e, 0 if left else -1)
        out_piece(c.out, s.at)
        list_remove(e, s)
    c.dirty += want
    if list_len(e):
        list_shrunk(c.ks, e)
    settle(stripe_of(c, 0), e, before)
    event(c, 0, b"lpop" if left else b"rpop", CLASS_LIST)
    drop_empty(c, 0, e)


cdef void lpop(call_t* c) noexcept nogil:
    pop(c, True)


cdef void rpop(call_t* c) noexcept nogil:
    pop(c, False)


cdef void llen(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if not is_other(c, e, TYPE_LIST):
        out_int(c.out, 0 if e == NULL else list_len(e))


cdef void lindex(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef int64_t index
    cdef spot_t s
    if is_other(c, e, TYPE_LIST):
        return
    if e == NULL:
        out_null(c.out, c.resp)
        return
    if not int_arg(c, 2, &index):
        return
    s = list_seek(e, index)
    if s.at == NULL:
        out_null(c.out, c.resp)
    else:
        out_piece(c.out, s.at)


cdef void lrange(call_t* c) noexcept nogil:
    cdef entry_t* e
    cdef int64_t start, stop, n
    cdef spot_t s
    if not int_arg(c, 2, &start) or not int_arg(c, 3, &stop):
        return
    e = read(c, 0, 1)
    if is_other(c, e, TYPE_LIST):
        return
    n = 0 if e == NULL else list_len(e)
    if not clamp_range(&start, &stop, n):
        out_head(c.out, c'*', 0)
        return
    out_head(c.out, c'*', stop - start + 1)
    s = list_seek(e, start)
    while True:
        out_piece(c.out, s.at)
        if start == stop:
            break
        list_step(&s, True)
        start += 1


COMMANDS = {}
enlist(COMMANDS, "lpush", lpush)
enlist(COMMANDS, "rpush", rpush)
enlist(COMMANDS, "lpushx", lpushx)
enlist(COMMANDS, "rpushx", rpushx)
enlist(COMMANDS, "lpop", lpop)
enlist(COMMANDS, "rpop", rpop)
enlist(COMMANDS, "llen", llen)
enlist(COMMANDS, "lindex", lindex)
enlist(COMMANDS, "lrange", lrange)
