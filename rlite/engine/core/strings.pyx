# cython: cdivision=True
"""The string commands, implemented once: the reactor's plain path and the ordinary path both call these.

Each function gets its call with the stripes of its keys locked and its arity checked, and writes one whole reply.
Nothing here needs the GIL.
"""
from libc.errno cimport ERANGE, errno
from libc.math cimport isinf, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport strtold
from libc.string cimport memcpy, memmove, memset

from rlite.engine.core.errors cimport (
    E_DECR_OVERFLOW, E_INVALID_EXPIRE, E_NAN_OR_INFINITY, E_NOT_A_FLOAT, E_NOT_AN_INTEGER, E_OFFSET_OUT_OF_RANGE,
    E_OUT_OF_MEMORY, E_OVERFLOW, E_STRING_TOO_LONG, E_SYNTAX, E_WRONG_ARITY, E_WRONG_TYPE,
)
from rlite.engine.core.execute cimport (
    CLASS_GENERIC, CLASS_STRING, call_error, call_t, effect_date, effect_key, effect_part, enlist, event, find, int_arg,
    is_word, read, stripe_of,
)
from rlite.engine.core.keyspace cimport (
    NEVER, clear_deadline, create, keeps_expired, lookup, remove_entry, set_deadline, set_value_size, stripe_t,
)
from rlite.engine.core.resp cimport format_int, out_bulk, out_head, out_int, out_null, out_ok, out_raw, parse_int
from rlite.engine.core.table cimport ENTRY_RAW, ENTRY_TEXT, TYPE_STRING, entry_t, entry_value


cdef extern from *:
    ctypedef long double longdouble "long double"
    int isnanl "isnan" (longdouble) noexcept nogil
    int isinfl "isinf" (longdouble) noexcept nogil


# --- shared steps ----------------------------------------------------------------------------------------------------

cdef inline bint is_string(call_t* c, entry_t* e) noexcept nogil:
    """False: the error is written."""
    if e.type == TYPE_STRING:
        return True
    call_error(c, E_WRONG_TYPE)
    return False


cdef inline void reply_value(call_t* c, entry_t* e) noexcept nogil:
    if e == NULL:
        out_null(c.out, c.resp)
    else:
        out_bulk(c.out, entry_value(e), e.vlen)


cdef entry_t* store(call_t* c, int k, int key, entry_t* e, const char* value, size_t size,
                    const char* name) noexcept nogil:
    """Gives the key (whose entry is `e`, or NULL) this value; `name` is the event. NULL: no memory, and the error is written."""
    cdef stripe_t* s = stripe_of(c, k)
    if e == NULL:
        e = create(c.ks, s, c.hashes[k], c.argv[key].data, c.argv[key].size, size, c.now_ns)
    else:
        e = set_value_size(s, c.hashes[k], e, size, False)
    if e == NULL:
        call_error(c, E_OUT_OF_MEMORY)
        return NULL
    memcpy(entry_value(e), value, size)
    e.flags = 0
    c.dirty += 1
    event(c, k, name, CLASS_STRING)
    return e


cdef enum ttl_unit:
    SECONDS
    MILLISECONDS
    AT_SECONDS
    AT_MILLISECONDS


cdef bint deadline_arg(call_t* c, int i, ttl_unit unit, int64_t* at) noexcept nogil:
    """Reads a time to live or a date; `at` is monotonic ms. False: the error is written."""
    cdef int64_t v, now_ms = c.now_ns // 1000000 + c.ks.wall_offset_ms
    if not int_arg(c, i, &v):
        return False
    if v <= 0 or ((unit == SECONDS or unit == AT_SECONDS) and v > <int64_t>NEVER // 1000):
        call_error(c, E_INVALID_EXPIRE)
        return False
    if unit == SECONDS or unit == AT_SECONDS:
        v *= 1000
    if unit == SECONDS or unit == MILLISECONDS:
        if v > <int64_t>NEVER - now_ms:
            call_error(c, E_INVALID_EXPIRE)
            return False
        v += now_ms
    at[0] = v - c.ks.wall_offset_ms
    return True


cdef inline bint ttl_option(const call_t* c, int i, ttl_unit* unit) noexcept nogil:
    """Whether argument i is EX, PX, EXAT or PXAT."""
    if is_word(&c.argv[i], b"ex"):
        unit[0] = SECONDS
    elif is_word(&c.argv[i], b"px"):
        unit[0] = MILLISECONDS
    elif is_word(&c.argv[i], b"exat"):
        unit[0] = AT_SECONDS
    elif is_word(&c.argv[i], b"pxat"):
        unit[0] = AT_MILLISECONDS
    else:
        return False
    return True


cdef bint give_deadline(call_t* c, int k, entry_t* e, int64_t at) noexcept nogil:
    if set_deadline(stripe_of(c, k), e, at):
        event(c, k, b"expire", CLASS_GENERIC)
        return True
    call_error(c, E_OUT_OF_MEMORY)
    return False


cdef void effect_set(call_t* c, const char* value, size_t size, int64_t at) noexcept nogil:
    """The log holds a time to live as a date, whatever it was given as."""
    effect_key(c, 5, b"SET")
    effect_part(c, value, size)
    effect_part(c, b"PXAT", 4)
    effect_date(c, at)


# --- GET, SET and their kind -----------------------------------------------------------------------------------------

cdef void get(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if e == NULL or is_string(c, e):
        reply_value(c, e)


cdef void set_(call_t* c) noexcept nogil:
    """SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]"""
    cdef:
        bint nx = False, xx = False, want_old = False, keep = False, has_ttl = False
        int64_t at = 0
        ttl_unit unit = SECONDS
        ttl_unit named = SECONDS
        int i = 3, ttl_at = 0
        stripe_t* s
        entry_t* e
    while i < c.argc:
        if is_word(&c.argv[i], b"nx") and not xx:
            nx = True
        elif is_word(&c.argv[i], b"xx") and not nx:
            xx = True
        elif is_word(&c.argv[i], b"get"):
            want_old = True
        elif is_word(&c.argv[i], b"keepttl") and not has_ttl:
            keep = True
        elif ttl_option(c, i, &named) and not keep and i + 1 < c.argc and (not has_ttl or named == unit):
            has_ttl = True                  # the same one twice: the last counts
            unit = named
            i += 1
            ttl_at = i
        else:
            call_error(c, E_SYNTAX)
            return
        i += 1
    if has_ttl and not deadline_arg(c, ttl_at, unit, &at):
        return
    e = read(c, 0, 1) if want_old else find(c, 0, 1)
    if want_old:
        if e != NULL and not is_string(c, e):
            return
        reply_value(c, e)
    if (nx and e != NULL) or (xx and e == NULL):
        if not want_old:
            out_null(c.out, c.resp)
        return
    e = store(c, 0, 1, e, c.argv[2].data, c.argv[2].size, b"set")
    if e == NULL:
        return
    if has_ttl:
        if not give_deadline(c, 0, e, at):
            return
        effect_set(c, c.argv[2].data, c.argv[2].size, at)
    elif e.heap_pos and not keep:
        clear_deadline(stripe_of(c, 0), e)
    if not want_old:
        out_ok(c.out)


cdef void setnx(call_t* c) noexcept nogil:
    if find(c, 0, 1) != NULL:
        out_int(c.out, 0)
    elif store(c, 0, 1, NULL, c.argv[2].data, c.argv[2].size, b"set") != NULL:
        out_int(c.out, 1)


cdef void set_with_ttl(call_t* c, ttl_unit unit) noexcept nogil:
    cdef int64_t at
    cdef entry_t* e
    if not deadline_arg(c, 2, unit, &at):
        return
    e = store(c, 0, 1, find(c, 0, 1), c.argv[3].data, c.argv[3].size, b"set")
    if e != NULL and give_deadline(c, 0, e, at):
        effect_set(c, c.argv[3].data, c.argv[3].size, at)
        out_ok(c.out)


cdef void setex(call_t* c) noexcept nogil:
    set_with_ttl(c, SECONDS)


cdef void psetex(call_t* c) noexcept nogil:
    set_with_ttl(c, MILLISECONDS)


cdef void getset(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if e != NULL and not is_string(c, e):
        return
    reply_value(c, e)
    e = store(c, 0, 1, e, c.argv[2].data, c.argv[2].size, b"set")
    if e != NULL:
        clear_deadline(stripe_of(c, 0), e)


cdef void getdel(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if e != NULL and not is_string(c, e):
        return
    reply_value(c, e)
    if e != NULL:
        event(c, 0, b"del", CLASS_GENERIC)
        remove_entry(stripe_of(c, 0), c.hashes[0], e)
        effect_key(c, 2, b"DEL")
        c.dirty += 1


cdef void getex(call_t* c) noexcept nogil:
    """GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]"""
    cdef:
        bint persist = False, has_ttl = False
        int64_t at = 0
        ttl_unit unit = SECONDS
        ttl_unit named = SECONDS
        int i = 2, ttl_at = 0
        entry_t* e
    while i < c.argc:
        if is_word(&c.argv[i], b"persist") and not has_ttl:
            persist = True
        elif ttl_option(c, i, &named) and not persist and i + 1 < c.argc and (not has_ttl or named == unit):
            has_ttl = True
            unit = named
            i += 1
            ttl_at = i
        else:
            call_error(c, E_SYNTAX)
            return
        i += 1
    e = read(c, 0, 1)
    if e == NULL:
        out_null(c.out, c.resp)
        return
    if not is_string(c, e):
        return
    if has_ttl and not deadline_arg(c, ttl_at, unit, &at):
        return
    reply_value(c, e)
    if has_ttl:
        c.dirty += 1
        if at <= c.now_ns // 1000000 and not keeps_expired(c.ks):
            event(c, 0, b"del", CLASS_GENERIC)
            remove_entry(stripe_of(c, 0), c.hashes[0], e)
            effect_key(c, 2, b"DEL")
        else:
            give_deadline(c, 0, e, at)
            effect_key(c, 3, b"PEXPIREAT")
            effect_date(c, at)
    elif persist and e.heap_pos:
        clear_deadline(stripe_of(c, 0), e)
        event(c, 0, b"persist", CLASS_GENERIC)
        effect_key(c, 2, b"PERSIST")
        c.dirty += 1


cdef void mget(call_t* c) noexcept nogil:
    cdef int i
    cdef entry_t* e
    out_head(c.out, c'*', c.argc - 1)
    for i in range(1, c.argc):
        e = read(c, i - 1, i)
        reply_value(c, NULL if e != NULL and e.type != TYPE_STRING else e)


cdef void mset_pairs(call_t* c) noexcept nogil:
    cdef int i
    cdef entry_t* e
    for i in range(1, c.argc, 2):
        e = store(c, i // 2, i, find(c, i // 2, i), c.argv[i + 1].data, c.argv[i + 1].size, b"set")
        if e == NULL:
            return
        if e.heap_pos:
            clear_deadline(stripe_of(c, i // 2), e)


cdef void mset(call_t* c) noexcept nogil:
    if c.argc % 2 == 0:
        call_error(c, E_WRONG_ARITY)
        return
    mset_pairs(c)
    if not c.error:
        out_ok(c.out)


cdef void msetnx(call_t* c) noexcept nogil:
    cdef int i
    if c.argc % 2 == 0:
        call_error(c, E_WRONG_ARITY)
        return
    for i in range(1, c.argc, 2):
        if find(c, i // 2, i) != NULL:
            out_int(c.out, 0)
            return
    mset_pairs(c)
    if not c.error:
        out_int(c.out, 1)


# --- numbers ---------------------------------------------------------------------------------------------------------

cdef void add(call_t* c, int64_t by) noexcept nogil:
    cdef:
        entry_t* e = find(c, 0, 1)
        int64_t v = 0
        char text[24]
        int size
    if e != NULL:
        if not is_string(c, e):
            return
        if not parse_int(entry_value(e), e.vlen, &v):
            call_error(c, E_NOT_AN_INTEGER)
            return
    if (by < 0 and v < 0 and by < -<int64_t>NEVER - 1 - v) or (by > 0 and v > 0 and by > <int64_t>NEVER - v):
        call_error(c, E_OVERFLOW)
        return
    v += by
    size = format_int(text, v)
    if store(c, 0, 1, e, text, size, b"incrby") != NULL:
        out_int(c.out, v)


cdef void incr(call_t* c) noexcept nogil:
    add(c, 1)


cdef void decr(call_t* c) noexcept nogil:
    add(c, -1)


cdef void incrby(call_t* c) noexcept nogil:
    cdef int64_t by
    if int_arg(c, 2, &by):
        add(c, by)


cdef void decrby(call_t* c) noexcept nogil:
    cdef int64_t by
    if not int_arg(c, 2, &by):
        return
    if by == -<int64_t>NEVER - 1:
        call_error(c, E_DECR_OVERFLOW)
        return
    add(c, -by)


cdef bint parse_long_double(const char* p, size_t size, longdouble* v) noexcept nogil:
    """strtold on the whole of the text, no space before it, no NaN."""
    cdef char text[257]
    cdef char* end
    if size == 0 or size > 256 or p[0] in (c' ', c'\t', c'\n', c'\v', c'\f', c'\r'):
        return False
    memcpy(text, p, size)
    text[size] = 0
    v[0] = strtold(text, &end)
    return end == text + size and not isnanl(v[0]) and not (isinfl(v[0]) and size > 0 and is_overflow(text))


cdef bint is_overflow(const char* text) noexcept nogil:
    """An infinity that was not spelled as one came from digits that were too many."""
    if text[0] == c'+' or text[0] == c'-':
        text += 1
    return not (text[0] == c'i' or text[0] == c'I')


cdef int format_long_double(char* to, size_t room, longdouble v) noexcept nogil:
    """`%.17Lf` without trailing zeros, as Redis writes the result of INCRBYFLOAT."""
    cdef int size = snprintf(to, room, b"%.17Lf", v)
    while size > 1 and to[size - 1] == c'0':
        size -= 1
    if size > 1 and to[size - 1] == c'.':
        size -= 1
    if size == 2 and to[0] == c'-' and to[1] == c'0':
        to[0] = c'0'
        size = 1
    return size


cdef void incrbyfloat(call_t* c) noexcept nogil:
    cdef:
        entry_t* e = find(c, 0, 1)
        longdouble v = 0, by = 0
        char text[5200]        # the longest long double has 4,933 digits before the point
        int size
    if e != NULL:
        if not is_string(c, e):
            return
        if not parse_long_double(entry_value(e), e.vlen, &v):
            call_error(c, E_NOT_A_FLOAT)
            return
    if not parse_long_double(c.argv[2].data, c.argv[2].size, &by):
        call_error(c, E_NOT_A_FLOAT)
        return
    v += by
    if isnanl(v) or isinfl(v):
        call_error(c, E_NAN_OR_INFINITY)
        return
    size = format_long_double(text, sizeof(text), v)
    e = store(c, 0, 1, e, text, size, b"incrbyfloat")
    if e != NULL:
        e.flags = ENTRY_TEXT
        effect_key(c, 4, b"SET")       # the sum, for floats need not add up to the same elsewhere
        effect_part(c, text, size)
        effect_part(c, b"KEEPTTL", 7)
        out_bulk(c.out, text, size)


def sum_of_floats(bytes a, bytes b):
    """The sum of two numbers in text, as INCRBYFLOAT writes it; None where one of them is no number, b"" where the sum
    is not a finite one."""
    cdef longdouble x = 0, y = 0
    cdef char text[5200]
    if not parse_long_double(a, len(a), &x) or not parse_long_double(b, len(b), &y):
        return None
    x += y
    if isnanl(x) or isinfl(x):
        return b""
    return text[:format_long_double(text, sizeof(text), x)]


# --- parts -----------------------------------------------------------------------------------------------------------

cdef void strlen_(call_t* c) noexcept nogil:
    cdef entry_t* e = read(c, 0, 1)
    if e == NULL:
        out_int(c.out, 0)
    elif is_string(c, e):
        out_int(c.out, e.vlen)


cdef entry_t* extend(call_t* c, entry_t* e, size_t size) noexcept nogil:
    """The key's entry with a value of `size` bytes (at least the old ones), new bytes zero, ready to be written to."""
    cdef size_t old = 0 if e == NULL else e.vlen
    if <int64_t>size > c.ks.max_string:
        call_error(c, E_STRING_TOO_LONG)
        return NULL
    if e == NULL:
        e = create(c.ks, stripe_of(c, 0), c.hashes[0], c.argv[1].data, c.argv[1].size, size, c.now_ns)
    elif size > old:
        e = set_value_size(stripe_of(c, 0), c.hashes[0], e, size, True)
    if e == NULL:
        call_error(c, E_OUT_OF_MEMORY)
        return NULL
    if size > old:
        memset(entry_value(e) + old, 0, size - old)
    e.flags |= ENTRY_RAW
    return e


cdef void append(call_t* c) noexcept nogil:
    cdef entry_t* e = find(c, 0, 1)
    cdef size_t old, size
    if e == NULL:      # as SET: no `raw` about it
        if <int64_t>c.argv[2].size > c.ks.max_string:
            call_error(c, E_STRING_TOO_LONG)
        elif store(c, 0, 1, NULL, c.argv[2].data, c.argv[2].size, b"append") != NULL:
            out_int(c.out, c.argv[2].size)
        return
    if not is_string(c, e):
        return
    old = e.vlen
    size = old + c.argv[2].size
    e = extend(c, e, size)
    if e != NULL:
        memcpy(entry_value(e) + old, c.argv[2].data, c.argv[2].size)
        c.dirty += 1
        event(c, 0, b"append", CLASS_STRING)
        out_int(c.out, size)


cdef void setrange(call_t* c) noexcept nogil:
    cdef:
        int64_t offset
        entry_t* e
        size_t old, size
    if not int_arg(c, 2, &offset):
        return
    if offset < 0:
        call_error(c, E_OFFSET_OUT_OF_RANGE)
        return
    e = find(c, 0, 1)
    if e != NULL and not is_string(c, e):
        return
    old = 0 if e == NULL else e.vlen
    if c.argv[3].size == 0:
        out_int(c.out, old)
        return
    if offset > c.ks.max_string or offset + <int64_t>c.argv[3].size > c.ks.max_string:
        call_error(c, E_STRING_TOO_LONG)
        return
    size = max(old, <size_t>offset + c.argv[3].size)
    e = extend(c, e, size)
    if e != NULL:
        memcpy(entry_value(e) + offset, c.argv[3].data, c.argv[3].size)
        c.dirty += 1
        event(c, 0, b"setrange", CLASS_STRING)
        out_int(c.out, size)


cdef void getrange(call_t* c) noexcept nogil:
    cdef:
        int64_t start, end, size
        entry_t* e
    if not int_arg(c, 2, &start) or not int_arg(c, 3, &end):
        return
    e = read(c, 0, 1)
    if e == NULL:
        out_bulk(c.out, b"", 0)
        return
    if not is_string(c, e):
        return
    size = e.vlen
    if start < 0 and end < 0 and start > end:
        out_bulk(c.out, b"", 0)
        return
    if start < 0:
        start = max(<int64_t>0, size + start)
    if end < 0:
        end = max(<int64_t>0, size + end)
    end = min(end, size - 1)
    if start > end or size == 0:
        out_bulk(c.out, b"", 0)
    else:
        out_bulk(c.out, entry_value(e) + start, end - start + 1)


# --- the table -------------------------------------------------------------------------------------------------------

COMMANDS = {}
enlist(COMMANDS, "get", get)
enlist(COMMANDS, "set", set_)
enlist(COMMANDS, "setnx", setnx)
enlist(COMMANDS, "setex", setex)
enlist(COMMANDS, "psetex", psetex)
enlist(COMMANDS, "getset", getset)
enlist(COMMANDS, "getdel", getdel)
enlist(COMMANDS, "getex", getex)
enlist(COMMANDS, "mget", mget)
enlist(COMMANDS, "mset", mset)
enlist(COMMANDS, "msetnx", msetnx)
enlist(COMMANDS, "incr", incr)
enlist(COMMANDS, "decr", decr)
enlist(COMMANDS, "incrby", incrby)
enlist(COMMANDS, "decrby", decrby)
enlist(COMMANDS, "incrbyfloat", incrbyfloat)
enlist(COMMANDS, "strlen", strlen_)
enlist(COMMANDS, "append", append)
enlist(COMMANDS, "setrange", setrange)
enlist(COMMANDS, "getrange", getrange)
enlist(COMMANDS, "substr", getrange)
