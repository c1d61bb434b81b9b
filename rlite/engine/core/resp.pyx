# cython: cdivision=True
"""RESP: the growth of reply buffers, numbers to text and back, the parser of requests, and Python values to replies."""
from libc.math cimport isinf, isnan, signbit
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy, memmove

from rlite.engine import reply as replies

cdef enum:
    FIRST_CAP = 256


# --- buffers ---------------------------------------------------------------------------------------------------------

cdef bint out_grow(out_t* o, size_t more) noexcept nogil:
    cdef size_t cap = o.cap * 2 if o.cap else FIRST_CAP
    cdef char* data
    if o.failed:
        return False
    while cap < o.size + more:
        cap *= 2
    data = <char*>realloc(o.data, cap)
    if data == NULL:
        o.failed = True
        return False
    o.data = data
    o.cap = cap
    return True


cdef void out_release(out_t* o) noexcept nogil:
    free(o.data)
    o.data = NULL
    o.size = 0
    o.cap = 0
    o.failed = False


# --- numbers ---------------------------------------------------------------------------------------------------------

cdef int format_int(char* to, int64_t v) noexcept nogil:
    cdef char digits[20]
    cdef uint64_t u = <uint64_t>v if v >= 0 else ~<uint64_t>v + 1
    cdef int n = 0, size = 0
    while True:
        digits[n] = <char>(c'0' + u % 10)
        u //= 10
        n += 1
        if u == 0:
            break
    if v < 0:
        to[0] = c'-'
        size = 1
    while n:
        n -= 1
        to[size] = digits[n]
        size += 1
    return size


cdef bint parse_int(const char* p, size_t size, int64_t* v) noexcept nogil:
    """A signed 64-bit number in its one canonical form: no sign but a minus, no leading zero, no space, not -0."""
    cdef:
        uint64_t u
        uint64_t limit = <uint64_t>0x7fffffffffffffff
        unsigned int digit
        bint negative = False
        size_t i
    if size == 0 or size > 20:
        return False
    if p[0] == c'-':
        negative = True
        limit += 1
        p += 1
        size -= 1
        if size == 0 or p[0] == c'0':
            return False
    elif p[0] == c'0':
        v[0] = 0
        return size == 1
    u = 0
    for i in range(size):
        digit = <unsigned int>(<unsigned char>p[i]) - c'0'
        if digit > 9 or u > (limit - digit) // 10:
            return False
        u = u * 10 + digit
    v[0] = <int64_t>(~u + 1) if negative else <int64_t>u
    return True


cdef void out_double(out_t* o, double v, int resp) noexcept nogil:
    """`%.17g`, as Redis prints a double; RESP2 has it as a bulk string."""
    cdef char text[64]
    cdef int size
    if isnan(v):
        size = snprintf(text, sizeof(text), b"nan")
    elif isinf(v):
        size = snprintf(text, sizeof(text), b"inf" if v > 0 else b"-inf")
    elif -1e15 < v < 1e15 and v == <double><int64_t>v and not (v == 0 and signbit(v)):
        size = format_int(text, <int64_t>v)        # the same text, ten times as fast
    else:
        size = snprintf(text, sizeof(text), b"%.17g", v)
    if resp == 3:
        out_raw(o, b",", 1)
        out_raw(o, text, size)
        out_raw(o, b"\r\n", 2)
    else:
        out_bulk(o, text, size)


# --- requests --------------------------------------------------------------------------------------------------------

cdef void parse_init(parse_t* p) noexcept nogil:
    p.args = NULL
    p.cap = 0
    p.base = 0
    p.argc = 0
    p.want = 0
    p.bulk = -1
    p.pos = 0
    p.max_bulk = 512 << 20
    p.authenticated = True
    p.line = NULL
    p.line_size = 0
    p.error = P_NONE
    p.culprit = 0


cdef void parse_release(parse_t* p) noexcept nogil:
    free(p.args)
    p.args = NULL
    p.cap = 0


cdef void parse_reset(parse_t* p) noexcept nogil:
    if p.want == 0:
        p.argc = 0
    elif p.base:
        memmove(p.args, p.args + p.base, p.argc * sizeof(arg_t))
    p.base = 0


cdef inline parsed fail(parse_t* p, protocol_error error) noexcept nogil:
    p.error = error
    return PARSED_ERROR


cdef inline bint read_count(const char* p, const char* end, int64_t* v) noexcept nogil:
    """The number between a type byte and CR."""
    if end - p == 1 and c'0' <= p[0] <= c'9':
        v[0] = p[0] - c'0'
        return True
    return parse_int(p, end - p, v)


cdef parsed parse_request(parse_t* p, const char* buf, size_t size) noexcept nogil:
    """Reads one command from buf[p.pos:size]; called again with more bytes it goes on where it stopped.

    Between calls the bytes from the command's start must stay where they are relative to `buf`.
    """
    cdef:
        const char* cr
        const char* at
        int64_t n
        int i
        arg_t* args
    if p.want == 0:
        at = buf + p.pos
        if p.pos == size:
            return PARSED_MORE
        if at[0] != c'*':
            cr = <const char*>memchr(at, c'\n', size - p.pos)
            if cr == NULL:
                return fail(p, P_INLINE_TOO_BIG) if size - p.pos > MAX_LINE else PARSED_MORE
            p.line = at
            p.line_size = cr - at
            if p.line_size and (cr - 1)[0] == c'\r':
                p.line_size -= 1
            p.pos = cr + 1 - buf
            return PARSED_INLINE
        cr = <const char*>memchr(at, c'\r', size - p.pos)
        if cr == NULL:
            return fail(p, P_MULTIBULK_STRING) if size - p.pos > MAX_LINE else PARSED_MORE
        if cr + 1 == buf + size:
            return PARSED_MORE
        if not read_count(at + 1, cr, &n) or n > MAX_ARGS:
            return fail(p, P_MULTIBULK_LENGTH)
        if n > UNAUTH_ARGS and not p.authenticated:
            return fail(p, P_UNAUTH_MULTIBULK)
        p.pos = cr + 2 - buf
        if n <= 0:
            return PARSED_NOTHING
        p.want = <int>n
        p.base += p.argc
        p.argc = 0
        p.bulk = -1

    while p.argc < p.want:
        if p.bulk < 0:
            at = buf + p.pos
            # A line of a few digits is the rule: no search for it.
            if size - p.pos >= 5 and at[2] == c'\r' and at[0] == c'$' and c'0' <= at[1] <= c'9':
                n = at[1] - c'0'
                p.pos += 4
            elif size - p.pos >= 6 and at[3] == c'\r' and at[0] == c'$' and c'1' <= at[1] <= c'9' \
                    and c'0' <= at[2] <= c'9':
                n = (at[1] - c'0') * 10 + (at[2] - c'0')
                p.pos += 5
            else:
                cr = <const char*>memchr(at, c'\r', size - p.pos)
                if cr == NULL:
                    return fail(p, P_BULK_STRING) if size - p.pos > MAX_LINE else PARSED_MORE
                if cr + 1 == buf + size:
                    return PARSED_MORE
                if at[0] != c'$':
                    p.culprit = at[0]
                    return fail(p, P_EXPECTED_DOLLAR)
                if not read_count(at + 1, cr, &n) or n < 0 or n > p.max_bulk:
                    return fail(p, P_BULK_LENGTH)
                if n > UNAUTH_BULK and not p.authenticated:
                    return fail(p, P_UNAUTH_BULK)
                p.pos = cr + 2 - buf
            p.bulk = n
        if <int64_t>(size - p.pos) < p.bulk + 2:
            return PARSED_MORE
        if p.base + p.argc == p.cap:
            # Grown as arguments come, never by what a stranger announces.
            args = <arg_t*>realloc(p.args, sizeof(arg_t) * (p.cap * 2 if p.cap else 16))
            if args == NULL:
                return fail(p, P_MULTIBULK_LENGTH)
            p.args = args
            p.cap = p.cap * 2 if p.cap else 16
        p.args[p.base + p.argc].data = <const char*>p.pos
        p.args[p.base + p.argc].size = p.bulk
        p.argc += 1
        p.pos += p.bulk + 2
        p.bulk = -1

    for i in range(p.base, p.base + p.argc):
        p.args[i].data = buf + <size_t>p.args[i].data
    p.want = 0
    return PARSED_COMMAND


# --- Python values to replies ----------------------------------------------------------------------------------------

cdef inline void out_line(out_t* o, char kind, bytes text) noexcept:
    out_raw(o, &kind, 1)
    out_raw(o, text, len(text))
    out_raw(o, b"\r\n", 2)


cdef int encode_all(out_t* o, object items, int resp) except -1:
    for item in items:
        encode_reply(o, item, resp)
    return 0


cdef int encode_reply(out_t* o, object reply, int resp) except -1:
    """Writes one value of rlite.engine.reply. Raises TypeError for anything else."""
    cdef bytes text
    if type(reply) is bytes:
        text = reply
        out_bulk(o, text, len(text))
    elif reply is None:
        out_null(o, resp)
    elif reply is True or reply is False:
        if resp == 3:
            out_raw(o, b"#t\r\n" if reply else b"#f\r\n", 4)
        else:
            out_int(o, 1 if reply else 0)
    elif type(reply) is int:
        out_int(o, reply)
    elif type(reply) is list or type(reply) is tuple:
        out_head(o, c'*', len(reply))
        encode_all(o, reply, resp)
    elif type(reply) is replies.Simple:
        out_line(o, c'+', reply.text.encode())
    elif type(reply) is replies.ErrorReply:
        out_line(o, c'-', reply.text.encode("utf-8", "surrogateescape"))
    elif type(reply) is replies.Raw:
        text = reply.data
        out_raw(o, text, len(text))
    elif type(reply) is dict:
        if resp == 3:
            out_head(o, c'%', len(reply))
        else:
            out_head(o, c'*', 2 * len(reply))
        for key, value in reply.items():
            encode_reply(o, key, resp)
            encode_reply(o, value, resp)
    elif type(reply) is float:
        out_double(o, reply, resp)
    elif type(reply) is replies.Pairs:
        if resp == 3:
            out_head(o, c'%', len(reply.pairs))
        else:
            out_head(o, c'*', 2 * len(reply.pairs))
        for key, value in reply.pairs:
            encode_reply(o, key, resp)
            encode_reply(o, value, resp)
    elif type(reply) is replies.RespSet:
        out_head(o, c'~' if resp == 3 else c'*', len(reply.items))
        encode_all(o, reply.items, resp)
    elif type(reply) is replies.Push:
        out_head(o, c'>' if resp == 3 else c'*', len(reply.items))
        encode_all(o, reply.items, resp)
    elif type(reply) is replies.Several:
        encode_all(o, reply.replies, resp)
    elif reply is replies.NULL_ARRAY:
        if resp == 3:
            out_raw(o, b"_\r\n", 3)
        else:
            out_raw(o, b"*-1\r\n", 5)
    elif type(reply) is replies.Verbatim:
        text = reply.data
        if resp == 3:
            out_head(o, c'=', len(text) + 4)
            out_raw(o, reply.format.encode(), 3)
            out_raw(o, b":", 1)
            out_raw(o, text, len(text))
            out_raw(o, b"\r\n", 2)
        else:
            out_bulk(o, text, len(text))
    elif type(reply) is replies.BigNumber:
        text = reply.text.encode()
        if resp == 3:
            out_line(o, c'(', text)
        else:
            out_bulk(o, text, len(text))
    elif reply is not replies.NO_REPLY:
        raise TypeError(f"a handler returned {type(reply).__name__}, which is no reply")
    if o.failed:
        raise MemoryError
    return 0


def encode(reply, int resp) -> bytes:
    """One reply as bytes. resp: 2 or 3."""
    cdef out_t o
    o.data = NULL
    o.size = o.cap = 0
    o.failed = False
    try:
        encode_reply(&o, reply, resp)
        return o.data[:o.size]
    finally:
        out_release(&o)


# --- replies to Python values ----------------------------------------------------------------------------------------

class IncompleteError(Exception):
    """The reply does not end in the bytes at hand."""


cdef Py_ssize_t line_end(bytes data, Py_ssize_t at) except -1:
    cdef Py_ssize_t end = data.find(b"\r\n", at)
    if end < 0:
        raise IncompleteError
    return end


def decode_reply(bytes data, Py_ssize_t at):
    """Reads one reply (RESP2 or RESP3) at an offset. Returns (value of rlite.engine.reply, offset behind it).

    Raises IncompleteError where it does not end, ValueError where it is no RESP.
    """
    cdef Py_ssize_t end = line_end(data, at), n
    kind = data[at:at + 1]
    line = data[at + 1:end]
    at = end + 2
    if kind == b"$" or kind == b"=":
        n = int(line)
        if n < 0:
            return None, at
        if len(data) < at + n + 2:
            raise IncompleteError
        body = data[at:at + n]
        return (body if kind == b"$" else replies.Verbatim(body[:3].decode(), body[4:])), at + n + 2
    if kind == b":":
        return int(line), at
    if kind == b"+":
        return replies.Simple(line.decode()), at
    if kind == b"-":
        return replies.ErrorReply(line.decode("utf-8", "surrogateescape")), at
    if kind == b"_":
        return None, at
    if kind == b",":
        return float(line), at
    if kind == b"#":
        return line == b"t", at
    if kind == b"(":
        return replies.BigNumber(line.decode()), at
    if kind not in (b"*", b"~", b">", b"%"):
        raise ValueError(f"no reply begins with {kind!r}")
    n = int(line)
    if n < 0:
        return replies.NULL_ARRAY, at
    items = []
    for _ in range(2 * n if kind == b"%" else n):
        item, at = decode_reply(data, at)
        items.append(item)
    if kind == b"%":
        return dict(zip(items[::2], items[1::2], strict=True)), at
    if kind == b"~":
        return replies.RespSet(items), at
    return (replies.Push(items) if kind == b">" else items), at
