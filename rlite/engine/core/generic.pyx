# cython: cdivision=True
"""The key, expiry and connection commands of the core, implemented once for both paths (see strings.pyx)."""
from libc.stdint cimport int64_t
from libc.string cimport strlen

from rlite.engine.core.errors cimport (
    E_EXPIRE_GT_WITH_LT, E_EXPIRE_NX_WITH_OTHERS, E_INVALID_EXPIRE, E_OUT_OF_MEMORY, E_UNSUPPORTED_OPTION,
    E_WRONG_ARITY,
)
from rlite.engine.core.execute cimport (
    CLASS_GENERIC, call_error, call_t, effect_date, effect_key, enlist, event, find, int_arg, is_word, noted, read, stripe_of,
)
from rlite.engine.core.keyspace cimport (
    NEVER, clear_deadline, deadline_of, keeps_expired, lookup, remove_entry, set_deadline, stripe_t,
)
from rlite.engine.core.resp cimport out_bulk, out_error, out_int, out_raw
from rlite.engine.core.table cimport entry_t
from rlite.engine.core.values cimport type_name


cdef void ping(call_t* c) noexcept nogil:
    if c.argc > 2:
        call_error(c, E_WRONG_ARITY)
    elif c.argc == 2:
        out_bulk(c.out, c.argv[1].data, c.argv[1].size)
    else:
        out_raw(c.out, b"+PONG\r\n", 7)


cdef void echo(call_t* c) noexcept nogil:
    out_bulk(c.out, c.argv[1].data, c.argv[1].size)


cdef inline entry_t* peek(call_t* c, int k, int argument) noexcept nogil:
    """The live entry, its order of access left alone."""
    return lookup(c.ks, stripe_of(c, k), c.hashes[k], c.argv[argument].data, c.argv[argument].size, c.now_ns)


cdef entry_t* glance(call_t* c, int k, int argument) noexcept nogil:
    """As `peek`, counted."""
    return noted(c, k, peek(c, k, argument))


# --- keys ------------------------------------------------------------------------------------------------------------

cdef void del_(call_t* c) noexcept nogil:
    cdef int i
    cdef int64_t n = 0
    cdef entry_t* e
    for i in range(1, c.argc):
        e = peek(c, i - 1, i)
        if e != NULL:
            event(c, i - 1, b"del", CLASS_GENERIC)
            remove_entry(stripe_of(c, i - 1), c.hashes[i - 1], e)
            n += 1
    c.dirty += n
    out_int(c.out, n)


cdef void exists(call_t* c) noexcept nogil:
    cdef int i
    cdef int64_t n = 0
    for i in range(1, c.argc):
        n += glance(c, i - 1, i) != NULL
    out_int(c.out, n)


cdef void touch_keys(call_t* c) noexcept nogil:
    cdef int i
    cdef int64_t n = 0
    for i in range(1, c.argc):
        if read(c, i - 1, i) != NULL:
            n += 1
    out_int(c.out, n)


cdef void type_(call_t* c) noexcept nogil:
    cdef entry_t* e = glance(c, 0, 1)
    if e == NULL:
        out_raw(c.out, b"+none\r\n", 7)
    else:
        out_raw(c.out, b"+", 1)
        out_raw(c.out, type_name(e.type), strlen(type_name(e.type)))
        out_raw(c.out, b"\r\n", 2)


# --- expiry ----------------------------------------------------------------------------------------------------------

cdef void expire_at(call_t* c, int64_t base_ms, bint seconds) noexcept nogil:
    """EXPIRE and its kind: key time [NX | XX | GT | LT]; `base_ms` is the wall clock, or 0 for a date."""
    cdef:
        bint nx = False, xx = False, gt = False, lt = False
        int64_t v, at, current
        int i
        entry_t* e
        stripe_t* s
    for i in range(3, c.argc):
        if is_word(&c.argv[i], b"nx"):
            nx = True
        elif is_word(&c.argv[i], b"xx"):
            xx = True
        elif is_word(&c.argv[i], b"gt"):
            gt = True
        elif is_word(&c.argv[i], b"lt"):
            lt = True
        else:
            c.error = E_UNSUPPORTED_OPTION
            out_error(c.out, E_UNSUPPORTED_OPTION, c.argv[i].data, c.argv[i].size)
            return
    if nx and (xx or gt or lt):
        call_error(c, E_EXPIRE_NX_WITH_OTHERS)
        return
    if gt and lt:
        call_error(c, E_EXPIRE_GT_WITH_LT)
        return
    if not int_arg(c, 2, &v):
        return
    if seconds:
        if v > <int64_t>NEVER // 1000 or v < -(<int64_t>NEVER // 1000):
            call_error(c, E_INVALID_EXPIRE)
            return
        v *= 1000
    if v > <int64_t>NEVER - base_ms:
        call_error(c, E_INVALID_EXPIRE)
        return
    v += base_ms
    s = stripe_of(c, 0)
    e = find(c, 0, 1)
    if e == NULL:
        out_int(c.out, 0)
        return
    # A date far before the epoch must not wrap when it is moved to the monotonic clock: all the past is alike.
    at = max(v, <int64_t>0) - c.ks.wall_offset_ms
    current = deadline_of(s, e)
    if (nx and current != NEVER) or (xx and current == NEVER) or (gt and (current == NEVER or at <= current)) \
            or (lt and current != NEVER and at >= current):
        out_int(c.out, 0)
        return
    c.dirty += 1
    if at <= c.now_ns // 1000000 and not keeps_expired(c.ks):
        event(c, 0, b"del", CLASS_GENERIC)
        remove_entry(s, c.hashes[0], e)
        effect_key(c, 2, b"DEL")
    elif not set_deadline(s, e, at):
        call_error(c, E_OUT_OF_MEMORY)
        return
    else:
        event(c, 0, b"expire", CLASS_GENERIC)
        effect_key(c, 3, b"PEXPIREAT")
        effect_date(c, at)
    out_int(c.out, 1)


cdef inline int64_t wall_ms(call_t* c) noexcept nogil:
    return c.now_ns // 1000000 + c.ks.wall_offset_ms


cdef void expire(call_t* c) noexcept nogil:
    expire_at(c, wall_ms(c), True)


cdef void pexpire(call_t* c) noexcept nogil:
    expire_at(c, wall_ms(c), False)


cdef void expireat(call_t* c) noexcept nogil:
    expire_at(c, 0, True)


cdef void pexpireat(call_t* c) noexcept nogil:
    expire_at(c, 0, False)


cdef void reply_deadline(call_t* c, bint absolute, bint seconds) noexcept nogil:
    cdef entry_t* e = glance(c, 0, 1)
    cdef int64_t at
    if e == NULL:
        out_int(c.out, -2)
        return
    at = deadline_of(stripe_of(c, 0), e)
    if at == NEVER:
        out_int(c.out, -1)
        return
    at = at + c.ks.wall_offset_ms if absolute else max(<int64_t>0, at - c.now_ns // 1000000)
    out_int(c.out, (at + 500) // 1000 if seconds else at)


cdef void ttl(call_t* c) noexcept nogil:
    reply_deadline(c, False, True)


cdef void pttl(call_t* c) noexcept nogil:
    reply_deadline(c, False, False)


cdef void expiretime(call_t* c) noexcept nogil:
    reply_deadline(c, True, True)


cdef void pexpiretime(call_t* c) noexcept nogil:
    reply_deadline(c, True, False)


cdef void persist(call_t* c) noexcept nogil:
    cdef entry_t* e = find(c, 0, 1)
    if e == NULL or not e.heap_pos:
        out_int(c.out, 0)
        return
    clear_deadline(stripe_of(c, 0), e)
    event(c, 0, b"persist", CLASS_GENERIC)
    c.dirty += 1
    out_int(c.out, 1)


# --- the table -------------------------------------------------------------------------------------------------------

COMMANDS = {}
enlist(COMMANDS, "ping", ping)
enlist(COMMANDS, "echo", echo)
enlist(COMMANDS, "del", del_)
enlist(COMMANDS, "unlink", del_)
enlist(COMMANDS, "exists", exists)
enlist(COMMANDS, "touch", touch_keys)
enlist(COMMANDS, "type", type_)
enlist(COMMANDS, "expire", expire)
enlist(COMMANDS, "pexpire", pexpire)
enlist(COMMANDS, "expireat", expireat)
enlist(COMMANDS, "pexpireat", pexpireat)
enlist(COMMANDS, "ttl", ttl)
enlist(COMMANDS, "pttl", pttl)
enlist(COMMANDS, "expiretime", expiretime)
enlist(COMMANDS, "pexpiretime", pexpiretime)
enlist(COMMANDS, "persist", persist)
