# cython: cdivision=True
"""The commands of sorted sets in the core, implemented once for both paths (see strings.pyx), and the steps below them.

A sorted set is one listpack of members and scores in turn while it is small, a skip list with a table from then on.
"""
from libc.errno cimport ERANGE, errno
from libc.math cimport HUGE_VAL, isinf, isnan, signbit
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, strtod
from libc.string cimport memcpy

from rlite.engine.core.errors cimport (
    E_NOT_A_FLOAT, E_OUT_OF_MEMORY, E_SCORE_NAN, E_SYNTAX, E_ZADD_GT_LT_NX, E_ZADD_INCR_PAIRS,
    E_ZADD_NX_XX,
)
from rlite.engine.core.execute cimport (
    CLASS_ZSET, call_error, call_t, clamp_range, count_arg, drop_empty, enlist, event, find, int_arg, is_other, is_word,
    read, stripe_of,
)
from rlite.engine.core.keyspace cimport create_value, keyspace_t, settle
from rlite.engine.core.packed cimport (
    END, byte, lp_append, lp_count, lp_end, lp_equals, lp_find, lp_first, lp_insert, lp_new, lp_next, lp_prev, lp_read, lp_remove,
    lp_seek, needle_init, needle_t, piece_t,
)
from rlite.engine.core.resp cimport format_int, out_bulk, out_double, out_head, out_int, out_null, out_raw, parse_int
from rlite.engine.core.skiplist cimport (
    compare, node_key, node_next, node_t, zs_add, zs_at, zs_below, zs_find, zs_free, zs_lex_below, zs_move, zs_new,
    zs_rank, zs_remove, zset_t,
)
from rlite.engine.core.table cimport TYPE_ZSET, entry_t
from rlite.engine.core.values cimport FULL, PACKED, count_of, free_value, set_value, value_bytes, value_of

cdef extern from *:
    """
    #include <errno.h>
    #define clear_errno() (errno = 0)
    """
    void clear_errno() noexcept nogil

cdef enum:
    LONGEST_SCORE = 511        # characters of a score read from a client


# --- scores as text --------------------------------------------------------------------------------------------------

cdef bint parse_double(const char* p, size_t size, double* v) noexcept nogil:
    """A score as strtod reads it, the whole of it, no leading space, no NaN."""
    cdef char text[LONGEST_SCORE + 1]
    cdef char* end = NULL
    cdef int64_t whole
    if parse_int(p, size, &whole) and -(<int64_t>1 << 53) <= whole <= <int64_t>1 << 53:
        v[0] = <double>whole
        return True
    if size == 0 or size > LONGEST_SCORE or p[0] == c' ' or c'\t' <= p[0] <= c'\r':
        return False
    memcpy(text, p, size)
    text[size] = 0
    clear_errno()
    v[0] = strtod(text, &end)
    if end != text + size or isnan(v[0]):
        return False
    return not (errno == ERANGE and (v[0] == HUGE_VAL or v[0] == -HUGE_VAL or v[0] == 0))


cdef int format_score(char* to, size_t cap, double v) noexcept nogil:
    if -4503599627370496.0 < v < 4503599627370496.0 and v == <double><int64_t>v and not (v == 0 and signbit(v)):
        return format_int(to, <int64_t>v)
    if isinf(v):
        return snprintf(to, cap, b"inf" if v > 0 else b"-inf")
    return snprintf(to, cap, b"%.17g", v)


cdef double score_at(const byte* at) noexcept nogil:
    cdef piece_t piece
    cdef double v = 0
    lp_read(at, &piece)
    if piece.is_number:
        return <double>piece.number
    parse_double(piece.data, piece.size, &v)
    return v


# --- steps -----------------------------------------------------------------------------------------------------------

cdef int64_t zset_len(entry_t* e) noexcept nogil:
    return count_of(TYPE_ZSET, e.encoding, value_of(e))


cdef void* zset_empty(keyspace_t* ks, size_t size, int* encoding) noexcept nogil:
    if ks.limits.zset_entries and <int64_t>size <= ks.limits.zset_value:
        encoding[0] = PACKED
        return lp_new(32)
    encoding[0] = FULL
    return zs_new(ks.seed)


cdef inline byte* find_packed(entry_t* e, const char* data, size_t size) noexcept nogil:
    cdef needle_t needle
    needle_init(&needle, data, size)
    return lp_find(lp_first(<byte*>value_of(e)), &needle, 1)


cdef bint zset_score(entry_t* e, const char* data, size_t size, double* score) noexcept nogil:
    cdef byte* at
    cdef node_t* n
    if e.encoding == PACKED:
        at = find_packed(e, data, size)
        if at == NULL:
            return False
        score[0] = score_at(lp_next(at))
        return True
    n = zs_find(<zset_t*>value_of(e), data, size)
    if n == NULL:
        return False
    score[0] = n.score
    return True


cdef int64_t zset_rank(entry_t* e, const char* data, size_t size, double* score) noexcept nogil:
    cdef needle_t needle
    cdef byte* at
    cdef node_t* n
    cdef int64_t rank = 0
    if e.encoding == PACKED:
        needle_init(&needle, data, size)
        at = lp_first(<byte*>value_of(e))
        while at[0] != END:
            if lp_equals(at, &needle):
                score[0] = score_at(lp_next(at))
                return rank
            at = lp_next(lp_next(at))
            rank += 1
        return -1
    n = zs_find(<zset_t*>value_of(e), data, size)
    if n == NULL:
        return -1
    score[0] = n.score
    return zs_rank(<zset_t*>value_of(e), n)


cdef inline bint lp_order(const byte* at, double score, const char* data, size_t size) noexcept nogil:
    """Whether the member at a place comes before (score, member)."""
    cdef piece_t piece
    cdef double there = score_at(lp_next(<byte*>at))
    if there != score:
        return there < score
    lp_read(at, &piece)
    return compare(piece.data, piece.size, data, size) < 0


cdef bint insert_packed(byte** lp, double score, const char* data, size_t size) noexcept nogil:
    cdef char text[64]
    cdef int n = format_score(text, sizeof(text), 0.0 if score == 0 else score)      # -0 is 0 here, as in Redis
    cdef byte* at = lp_end(lp[0])
    cdef byte* last
    # Members often come in order: look at the last one first.
    if lp_first(lp[0]) != at:
        last = lp_prev(lp_prev(at))
        if not lp_order(last, score, data, size):
            at = lp_first(lp[0])
            while lp_order(at, score, data, size):
                at = lp_next(lp_next(at))
    at = lp_insert(lp, at, data, size)
    if at == NULL:
        return False
    if lp_insert(lp, lp_next(at), text, n) == NULL:
        lp_remove(lp, at, 1)
        return False
    return True


cdef bint unpack(keyspace_t* ks, entry_t* e) noexcept nogil:
    cdef zset_t* z = zs_new(ks.seed)
    cdef byte* at = lp_first(<byte*>value_of(e))
    cdef piece_t member
    if z == NULL:
        return False
    while at[0] != END:
        lp_read(at, &member)
        at = lp_next(at)
        if not zs_add(z, score_at(at), member.data, member.size):
            zs_free(z)
            return False
        at = lp_next(at)
    free(value_of(e))
    set_value(e, z, FULL)
    return True


cdef int zset_set(keyspace_t* ks, entry_t* e, const char* data, size_t size, double score) noexcept nogil:
    """Gives a member its score. 1: the member is new."""
    cdef byte* lp
    cdef byte* at
    cdef node_t* n
    cdef bint fine, there
    if e.encoding == PACKED:
        lp = <byte*>value_of(e)
        at = find_packed(e, data, size)
        there = at != NULL
        if there:
            if score_at(lp_next(at)) == score:
                return 0
            lp_remove(&lp, at, 2)
        if there or (lp_count(lp) // 2 < ks.limits.zset_entries and <int64_t>size <= ks.limits.zset_value):
            fine = insert_packed(&lp, score, data, size)
            set_value(e, lp, PACKED)
            return -1 if not fine else 0 if there else 1
        if not unpack(ks, e):
            return -1
    n = zs_find(<zset_t*>value_of(e), data, size)
    if n != NULL:
        if n.score != score:
            zs_move(<zset_t*>value_of(e), n, score)
        return 0
    return 1 if zs_add(<zset_t*>value_of(e), score, data, size) else -1


cdef bint zset_remove(entry_t* e, const char* data, size_t size) noexcept nogil:
    cdef seat_t seat
    if e.encoding == PACKED:
        seat.at = find_packed(e, data, size)
        if seat.at == NULL:
            return False
    else:
        seat.at = NULL
        seat.node = zs_find(<zset_t*>value_of(e), data, size)
        if seat.node == NULL:
            return False
    zset_remove_at(e, seat)
    return True


cdef void zset_remove_at(entry_t* e, seat_t seat) noexcept nogil:
    cdef byte* lp
    if e.encoding == PACKED:
        lp = <byte*>value_of(e)
        lp_remove(&lp, seat.at, 2)
        set_value(e, lp, PACKED)
    else:
        zs_remove(<zset_t*>value_of(e), seat.node)


cdef seat_t zset_at(entry_t* e, int64_t rank) noexcept nogil:
    cdef seat_t seat
    seat.at = NULL
    seat.node = NULL
    if rank < 0 or rank >= zset_len(e):
        return seat
    if e.encoding == PACKED:
        seat.at = lp_seek(<byte*>value_of(e), 2 * rank)
    else:
        seat.node = zs_at(<zset_t*>value_of(e), rank)
    return seat


cdef bint seat_ok(seat_t* seat) noexcept nogil:
    return seat.at != NULL or seat.node != NULL


cdef void zset_step(entry_t* e, seat_t* seat, bint forward) noexcept nogil:
    if seat.node != NULL:
        seat.node = node_next(seat.node) if forward else seat.node.back
    elif forward:
        seat.at = lp_next(lp_next(seat.at))
        if seat.at[0] == END:
            seat.at = NULL
    elif seat.at == lp_first(<byte*>value_of(e)):
        seat.at = NULL
    else:
        seat.at = lp_prev(lp_prev(seat.at))


cdef double seat_read(seat_t* seat, piece_t* member) noexcept nogil:
    if seat.node != NULL:
        member.data = node_key(seat.node)
        member.size = seat.node.klen
        return seat.node.score
    lp_read(seat.at, member)
    return score_at(lp_next(seat.at))


cdef int64_t zset_below(entry_t* e, double score, bint inclusive) noexcept nogil:
    cdef byte* at
    cdef int64_t n = 0
    cdef double there
    if e.encoding == FULL:
        return zs_below(<zset_t*>value_of(e), score, inclusive)
    at = lp_first(<byte*>value_of(e))
    while at[0] != END:
        there = score_at(lp_next(at))
        if there > score or (there == score and not inclusive):
            break
        n += 1
        at = lp_next(lp_next(at))
    return n


cdef int64_t zset_lex_below(entry_t* e, const char* data, size_t size, bint inclusive) noexcept nogil:
    cdef byte* at
    cdef int64_t n = 0
    cdef piece_t piece
    cdef int order
    if e.encoding == FULL:
        return zs_lex_below(<zset_t*>value_of(e), data, size, inclusive)
    at = lp_first(<byte*>value_of(e))
    while at[0] != END:
        lp_read(at, &piece)
        order = compare(piece.data, piece.size, data, size)
        if order > 0 or (order == 0 and not inclusive):
            break
        n += 1
        at = lp_next(lp_next(at))
    return n


# --- ZADD and ZINCRBY --------------------------------------------------------------------------------------------------

cdef struct zadd_t:
    bint nx
    bint xx
    bint gt
    bint lt
    bint ch
    bint incr


cdef void zadd_pairs(call_t* c, zadd_t* o, int first) noexcept nogil:
    """The score-member pairs from argument `first` on."""
    cdef:
        entry_t* e
        int64_t before, added = 0, updated = 0, processed = 0
        int i, made, encoding = 0
        double score = 0, old = 0
        bint there
        void* value
    for i in range(first, c.argc, 2):
        if not parse_double(c.argv[i].data, c.argv[i].size, &score):
            call_error(c, E_NOT_A_FLOAT)
            return
    e = find(c, 0, 1)
    if is_other(c, e, TYPE_ZSET):
        return
    if e == NULL:
        if o.xx:
            if o.incr:
                out_null(c.out, c.resp)
            else:
                out_int(c.out, 0)
            return
        value = zset_empty(c.ks, c.argv[first + 1].size, &encoding)
        if value != NULL:
            e = create_value(c.ks, stripe_of(c, 0), c.hashes[0], c.argv[1].data, c.argv[1].size, TYPE_ZSET, encoding,
                             value, c.now_ns)
        if e == NULL:
            free_value(TYPE_ZSET, PACKED if value == NULL else encoding, value)
            call_error(c, E_OUT_OF_MEMORY)
            return
    before = value_bytes(e)
    for i in range(first, c.argc, 2):
        parse_double(c.argv[i].data, c.argv[i].size, &score)
        there = zset_score(e, c.argv[i + 1].data, c.argv[i + 1].size, &old)
        if (there and o.nx) or (not there and o.xx):
            continue
        if there and o.incr:
            score += old
            if isnan(score):
                call_error(c, E_SCORE_NAN)
                break
        if there and ((o.gt and score <= old) or (o.lt and score >= old)):
            continue
        made = zset_set(c.ks, e, c.argv[i + 1].data, c.argv[i + 1].size, score)
        if made < 0:
            call_error(c, E_OUT_OF_MEMORY)
            break
        added += made
        updated += there and old != score
        processed += 1
    settle(stripe_of(c, 0), e, before)
    c.dirty += added + updated
    if added + updated:
        event(c, 0, b"zincr" if o.incr else b"zadd", CLASS_ZSET)
    drop_empty(c, 0, e)
    if c.error:
        return
    if not o.incr:
        out_int(c.out, added + updated if o.ch else added)
    elif processed:
        out_double(c.out, score, c.resp)
    else:
        out_null(c.out, c.resp)


cdef void zadd(call_t* c) noexcept nogil:
    """ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]"""
    cdef zadd_t o
    cdef int i = 2
    o.nx = o.xx = o.gt = o.lt = o.ch = o.incr = False
    while i < c.argc:
        if is_word(&c.argv[i], b"nx"):
            o.nx = True
        elif is_word(&c.argv[i], b"xx"):
            o.xx = True
        elif is_word(&c.argv[i], b"gt"):
            o.gt = True
        elif is_word(&c.argv[i], b"lt"):
            o.lt = True
        elif is_word(&c.argv[i], b"ch"):
            o.ch = True
        elif is_word(&c.argv[i], b"incr"):
            o.incr = True
        else:
            break
        i += 1
    if (c.argc - i) % 2 or i == c.argc:
        call_error(c, E_SYNTAX)
    elif o.nx and o.xx:
        call_error(c, E_ZADD_NX_XX)
    elif (o.gt and o.nx) or (o.lt and o.nx) or (o.gt and o.lt):
        call_error(c, E_ZADD_GT_LT_NX)
    elif o.incr and c.argc - i > 2:
        call_error(c, E_ZADD_INCR_PAIRS)
    else:
        zadd_pairs(c, &o, i)


cdef void zincrby(call_t* c) noexcept nogil:
    cdef zadd_t o
    o.nx = o.xx = o.gt = o.lt = o.ch = False
    o.incr = True
    zadd_pairs(c, &o, 2)


# --- the others ----------------------------------------------------------------------------------------------------------

cdef void zcard(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if not is_other(c, e, TYPE_ZSET):
        out_int(c.out, 0 if e == NULL else zset_len(e))


cdef void zscore(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef double score
    if is_other(c, e, TYPE_ZSET):
        return
    if e != NULL and zset_score(e, c.argv[2].data, c.argv[2].size, &score):
        out_double(c.out, score, c.resp)
    else:
        out_null(c.out, c.resp)


cdef void zmscore(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    cdef double score
    cdef int i
    if is_other(c, e, TYPE_ZSET):
        return
    out_head(c.out, c'*', c.argc - 2)
    for i in range(2, c.argc):
        if e != NULL and zset_score(e, c.argv[i].data, c.argv[i].size, &score):
            out_double(c.out, score, c.resp)
        else:
            out_null(c.out, c.resp)


cdef void rank_of(call_t* c, bint reverse) noexcept nogil:
    """ZRANK key member [WITHSCORE]"""
    cdef entry_t* e
    cdef int64_t rank = -1
    cdef double score = 0
    if c.argc > 4 or (c.argc == 4 and not is_word(&c.argv[3], b"withscore")):
        call_error(c, E_SYNTAX)
        return
    e = read(c, 0, 1)
    if is_other(c, e, TYPE_ZSET):
        return
    if e != NULL:
        rank = zset_rank(e, c.argv[2].data, c.argv[2].size, &score)
    if rank < 0:
        if c.argc == 4 and c.resp == 2:
            out_raw(c.out, b"*-1\r\n", 5)
        else:
            out_null(c.out, c.resp)
        return
    if reverse:
        rank = zset_len(e) - 1 - rank
    if c.argc == 4:
        out_head(c.out, c'*', 2)
    out_int(c.out, rank)
    if c.argc == 4:
        out_double(c.out, score, c.resp)


cdef void zrank(call_t* c) noexcept nogil:
    rank_of(c, False)


cdef void zrevrank(call_t* c) noexcept nogil:
    rank_of(c, True)


cdef void zrem(call_t* c) noexcept nogil:
    cdef entry_t* e = find(c, 0, 1)
    cdef int64_t before, n = 0
    cdef int i
    if is_other(c, e, TYPE_ZSET):
        return
    if e != NULL:
        before = value_bytes(e)
        for i in range(2, c.argc):
            if zset_remove(e, c.argv[i].data, c.argv[i].size):
                n += 1
                if zset_len(e) == 0:
                    break
        settle(stripe_of(c, 0), e, before)
        if n:
            event(c, 0, b"zrem", CLASS_ZSET)
            drop_empty(c, 0, e)
    c.dirty += n
    out_int(c.out, n)


cdef void reply_pairs(call_t* c, entry_t* e, seat_t seat, int64_t n, bint forward, bint scores, bint nested) noexcept nogil:
    cdef piece_t member
    cdef double score
    if not scores or nested:
        out_head(c.out, c'*', n)
    else:
        out_head(c.out, c'*', 2 * n)
    while n > 0:
        score = seat_read(&seat, &member)
        if nested:
            out_head(c.out, c'*', 2)
        out_bulk(c.out, member.data, member.size)
        if scores:
            out_double(c.out, score, c.resp)
        n -= 1
        if n:
            zset_step(e, &seat, forward)


cdef void range_by_rank(call_t* c, bint reverse) noexcept nogil:
    """ZRANGE key start stop [WITHSCORES]; the other forms are Python's."""
    cdef entry_t* e
    cdef int64_t start, stop, n
    cdef bint scores = c.argc == 5 and is_word(&c.argv[4], b"withscores")
    cdef seat_t seat
    if c.argc > 5 or (c.argc == 5 and not scores):
        c.declined = True
        return
    if not int_arg(c, 2, &start) or not int_arg(c, 3, &stop):
        return
    e = read(c, 0, 1)
    if is_other(c, e, TYPE_ZSET):
        return
    n = 0 if e == NULL else zset_len(e)
    if not clamp_range(&start, &stop, n):
        out_head(c.out, c'*', 0)
        return
    seat = zset_at(e, n - 1 - start if reverse else start)
    reply_pairs(c, e, seat, stop - start + 1, not reverse, scores, scores and c.resp == 3)


cdef void zrange(call_t* c) noexcept nogil:
    range_by_rank(c, False)


cdef void zrevrange(call_t* c) noexcept nogil:
    range_by_rank(c, True)


cdef void pop(call_t* c, bint lowest) noexcept nogil:
    """ZPOPMIN key [count]"""
    cdef:
        entry_t* e
        int64_t want = 1, before, i
        bint nested
        seat_t seat
    if c.argc > 3:
        call_error(c, E_SYNTAX)
        return
    if c.argc == 3:
        if not count_arg(c, 2, &want):
            return
    e = find(c, 0, 1)
    if is_other(c, e, TYPE_ZSET):
        return
    want = 0 if e == NULL else min(want, zset_len(e))
    if want == 0:
        out_head(c.out, c'*', 0)
        return
    nested = c.argc == 3 and c.resp == 3
    reply_pairs(c, e, zset_at(e, 0 if lowest else -1 + zset_len(e)), want, lowest, True, nested)
    before = value_bytes(e)
    for i in range(want):
        zset_remove_at(e, zset_at(e, 0 if lowest else zset_len(e) - 1))
    settle(stripe_of(c, 0), e, before)
    c.dirty += want
    event(c, 0, b"zpopmin" if lowest else b"zpopmax", CLASS_ZSET)
    drop_empty(c, 0, e)


cdef void zpopmin(call_t* c) noexcept nogil:
    pop(c, True)


cdef void zpopmax(call_t* c) noexcept nogil:
    pop(c, False)


COMMANDS = {}
enlist(COMMANDS, "zadd", zadd)
enlist(COMMANDS, "zincrby", zincrby)
enlist(COMMANDS, "zcard", zcard)
enlist(COMMANDS, "zscore", zscore)
enlist(COMMANDS, "zmscore", zmscore)
enlist(COMMANDS, "zrank", zrank)
enlist(COMMANDS, "zrevrank", zrevrank)
enlist(COMMANDS, "zrem", zrem)
enlist(COMMANDS, "zrange", zrange)
enlist(COMMANDS, "zrevrange", zrevrange)
enlist(COMMANDS, "zpopmin", zpopmin)
enlist(COMMANDS, "zpopmax", zpopmax)
