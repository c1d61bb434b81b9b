# cython: cdivision=True
"""The commands of streams in the core: XADD, with all its options, and XLEN. The others are Python's."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memchr

from rlite.engine.core.errors cimport (
    E_LIMIT_NEGATIVE, E_LIMIT_WITHOUT_APPROX, E_LIMIT_WITHOUT_STRATEGY, E_MAXLEN_NEGATIVE,
    E_OUT_OF_MEMORY, E_STREAM_ID, E_STREAM_ID_LAST, E_STREAM_ID_SMALLER, E_STREAM_ID_ZERO, E_TRIM_TWICE, E_XADD_ARITY,
)
from rlite.engine.core.execute cimport (
    CLASS_STREAM, call_error, call_t, effect_key, effect_number, effect_part, enlist, event, find, int_arg, is_other, is_word,
    read, stripe_of,
)
from rlite.engine.core.keyspace cimport create_value, is_link, settle
from rlite.engine.core.platform cimport rl_load_int
from rlite.engine.core.resp cimport arg_t, out_bulk, out_int, out_null
from rlite.engine.core.streamlog cimport (
    id_cmp, id_t, sl_free, sl_new, sl_open, sl_trim_before, sl_trim_count, stream_t, text_cost, text_put,
)
from rlite.engine.core.table cimport TYPE_STREAM, entry_t
from rlite.engine.core.values cimport FULL, value_bytes, value_of

cdef enum:
    TRIM_NOTHING = 0
    TRIM_MAXLEN = 1
    TRIM_MINID = 2
    UNLIMITED_TRIM = 10000     # entries an approximate trim removes at most where nodes have no limit of entries

cdef uint64_t MOST = <uint64_t>-1

cdef struct xadd_t:
    id_t id
    bint automatic             # *
    bint open_seq              # ms-*
    bint no_stream             # NOMKSTREAM
    int trim
    bint approximate
    bint limited
    int64_t keep
    id_t before
    int64_t limit


cdef bint parse_part(const char* p, size_t size, uint64_t* v) noexcept nogil:
    """An unsigned 64-bit number."""
    cdef size_t i
    cdef uint64_t digit
    if size == 0 or size > 20:
        return False
    v[0] = 0
    for i in range(size):
        if not c'0' <= p[i] <= c'9':
            return False
        digit = <uint64_t>(p[i] - c'0')
        if v[0] > (MOST - digit) / 10:
            return False
        v[0] = v[0] * 10 + digit
    return True


cdef bint parse_id(const arg_t* a, id_t* id, bint* open_seq) noexcept nogil:
    """`ms`, `ms-seq`, or where open_seq is given `ms-*`."""
    cdef const char* dash = <const char*>memchr(a.data, c'-', a.size)
    cdef size_t head = a.size if dash == NULL else <size_t>(dash - a.data)
    cdef size_t tail = 0 if dash == NULL else a.size - head - 1
    id.seq = 0
    if not parse_part(a.data, head, &id.ms):
        return False
    if dash == NULL:
        return True
    if open_seq != NULL and tail == 1 and dash[1] == c'*':
        open_seq[0] = True
        return True
    return parse_part(dash + 1, tail, &id.seq)


cdef int parse_trim(call_t* c, int i, xadd_t* o) noexcept nogil:
    """MAXLEN or MINID at argument i and its threshold. Returns the threshold's index; 0: the error is written."""
    cdef int kind = TRIM_MAXLEN if is_word(&c.argv[i], b"maxlen") else TRIM_MINID
    if o.trim:
        call_error(c, E_TRIM_TWICE)
        return 0
    o.trim = kind
    o.approximate = False
    if c.argc - 1 - i >= 2 and c.argv[i + 1].size == 1 and (c.argv[i + 1].data[0] == c'~' or c.argv[i + 1].data[0] == c'='):
        o.approximate = c.argv[i + 1].data[0] == c'~'
        i += 1
    if kind == TRIM_MINID:
        if not parse_id(&c.argv[i + 1], &o.before, NULL):
            call_error(c, E_STREAM_ID)
            return 0
    else:
        if not int_arg(c, i + 1, &o.keep):
            return 0
        if o.keep < 0:
            call_error(c, E_MAXLEN_NEGATIVE)
            return 0
    return i + 1


cdef bint is_replayed(call_t* c) noexcept nogil:
    """Whether a log or a master says this. Redis's say `MAXLEN = n LIMIT m` for what was `~` to the client: n is what is to
    be left then, and the limit means nothing.
    """
    return is_link() or rl_load_int(&c.ks.loading) != 0


cdef int parse_xadd(call_t* c, xadd_t* o) noexcept nogil:
    """Reads options and id. Returns the index of the first field; 0: the error is written."""
    cdef int i = 2
    cdef bint last
    while i < c.argc:
        last = i == c.argc - 1
        if c.argv[i].size == 1 and c.argv[i].data[0] == c'*':
            o.automatic = True
            break
        if not last and (is_word(&c.argv[i], b"maxlen") or is_word(&c.argv[i], b"minid")):
            i = parse_trim(c, i, o)
            if i == 0:
                return 0
        elif not last and is_word(&c.argv[i], b"limit"):
            if not int_arg(c, i + 1, &o.limit):
                return 0
            if o.limit < 0:
                call_error(c, E_LIMIT_NEGATIVE)
                return 0
            o.limited = True
            i += 1
        elif is_word(&c.argv[i], b"nomkstream"):
            o.no_stream = True
        else:
            if not parse_id(&c.argv[i], &o.id, &o.open_seq):
                call_error(c, E_STREAM_ID)
                return 0
            break
        i += 1
    if o.limit and not o.trim:
        call_error(c, E_LIMIT_WITHOUT_STRATEGY)
    elif o.limited and not o.approximate and not is_replayed(c):
        call_error(c, E_LIMIT_WITHOUT_APPROX)
    elif c.argc - i - 1 < 2 or (c.argc - i - 1) % 2:
        call_error(c, E_XADD_ARITY)
    elif not o.automatic and not o.open_seq and o.id.ms == 0 and o.id.seq == 0:
        call_error(c, E_STREAM_ID_ZERO)
    else:
        if not o.approximate:
            o.limit = 0
        return i + 1
    return 0


cdef bint choose_id(call_t* c, const stream_t* s, xadd_t* o) noexcept nogil:
    """Makes o.id the id of the new entry. False: the error is written."""
    cdef id_t last
    last.ms = last.seq = 0
    if s != NULL:
        last = s.last_id
    if last.ms == MOST and last.seq == MOST:
        call_error(c, E_STREAM_ID_LAST)
        return False
    if o.automatic:
        o.id.ms = <uint64_t>(c.now_ns / 1000000 + c.ks.wall_offset_ms)
        o.id.seq = 0
        if o.id.ms <= last.ms:
            o.id = last
            o.id.seq += 1
            if o.id.seq == 0:
                o.id.ms += 1
        return True
    if o.open_seq and o.id.ms == last.ms and last.seq != MOST:
        o.id.seq = last.seq + 1
    if id_cmp(o.id, last) <= 0:
        call_error(c, E_STREAM_ID_SMALLER)
        return False
    return True


cdef void xadd(call_t* c) noexcept nogil:
    """XADD key [NOMKSTREAM] [(MAXLEN | MINID) [= | ~] threshold [LIMIT count]] (* | id) field value [field value ...]"""
    cdef:
        xadd_t o
        entry_t* e
        stream_t* s
        size_t size = 0
        char* to
        char text[48]
        int64_t before
        int i, first
    o.automatic = o.open_seq = o.no_stream = o.approximate = o.limited = False
    o.trim = TRIM_NOTHING
    o.keep = o.limit = 0
    first = parse_xadd(c, &o)
    if first == 0:
        return
    e = find(c, 0, 1)
    if is_other(c, e, TYPE_STREAM):
        return
    if e == NULL and o.no_stream:
        out_null(c.out, c.resp)
        return
    s = <stream_t*>value_of(e) if e != NULL else NULL
    if not choose_id(c, s, &o):
        return
    if e == NULL:
        s = sl_new()
        if s != NULL:
            e = create_value(c.ks, stripe_of(c, 0), c.hashes[0], c.argv[1].data, c.argv[1].size, TYPE_STREAM, FULL, s,
                             c.now_ns)
            if e == NULL:
                sl_free(s)
        if e == NULL:
            call_error(c, E_OUT_OF_MEMORY)
            return
    for i in range(first, c.argc):
        size += text_cost(c.argv[i].size)
    before = value_bytes(e)
    to = sl_open(s, o.id, <uint32_t>(c.argc - first), size, <uint32_t>c.ks.limits.stream_bytes,
                 <uint32_t>c.ks.limits.stream_entries)
    if to == NULL:
        call_error(c, E_OUT_OF_MEMORY)
        return
    for i in range(first, c.argc):
        to = text_put(to, c.argv[i].data, c.argv[i].size)
    c.dirty += 1
    event(c, 0, b"xadd", CLASS_STREAM)
    if o.trim and trimmed(c, s, &o):
        event(c, 0, b"xtrim", CLASS_STREAM)
    settle(stripe_of(c, 0), e, before)
    size = snprintf(text, sizeof(text), b"%llu-%llu", <unsigned long long>o.id.ms, <unsigned long long>o.id.seq)
    out_bulk(c.out, text, size)
    if o.automatic or o.open_seq or o.approximate:
        effect_xadd(c, s, &o, first, text, size)


cdef void effect_xadd(call_t* c, stream_t* s, xadd_t* o, int first, const char* id, size_t size) noexcept nogil:
    """The entry by its id, and the length that was left: an approximate trim cuts where our blocks end, and elsewhere
    they end elsewhere."""
    cdef int i
    effect_key(c, c.argc - first + 3 + (3 if o.trim else 0), b"XADD")
    if o.trim:
        effect_part(c, b"MAXLEN", 6)
        effect_part(c, b"=", 1)
        effect_number(c, s.count)
    effect_part(c, id, size)
    for i in range(first, c.argc):
        effect_part(c, c.argv[i].data, c.argv[i].size)


cdef int64_t trimmed(call_t* c, stream_t* s, xadd_t* o) noexcept nogil:
    cdef int64_t limit = o.limit, n
    if o.approximate and not o.limited:
        limit = 100 * c.ks.limits.stream_entries
        if limit == 0:
            limit = UNLIMITED_TRIM
    if o.trim == TRIM_MAXLEN:
        n = sl_trim_count(s, o.keep, o.approximate, limit)
    else:
        n = sl_trim_before(s, o.before, o.approximate, limit)
    c.dirty += n
    return n


cdef void xlen(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if not is_other(c, e, TYPE_STREAM):
        out_int(c.out, 0 if e == NULL else (<stream_t*>value_of(e)).count)


COMMANDS = {}
enlist(COMMANDS, "xadd", xadd)
enlist(COMMANDS, "xlen", xlen)
