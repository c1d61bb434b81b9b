"""RESP: reply buffers and their writers, and the parser of requests.

Source of the format: the RESP2 and RESP3 specifications. Nothing in this file needs the GIL but the last part.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from rlite.engine.core.errors cimport error_tail, error_text, text_t

# --- replies ---------------------------------------------------------------------------------------------------------

cdef struct out_t:
    char* data
    size_t size
    size_t cap
    bint failed                # memory was short: what is here is cut, and the connection must go

cdef bint out_grow(out_t* o, size_t more) noexcept nogil     # room for `more` bytes; False: failed
cdef void out_release(out_t* o) noexcept nogil
cdef void out_double(out_t* o, double v, int resp) noexcept nogil
cdef int format_int(char* to, int64_t v) noexcept nogil      # at most 20 characters; returns how many
cdef bint parse_int(const char* p, size_t size, int64_t* v) noexcept nogil   # Redis's strict form

cdef inline bint out_room(out_t* o, size_t more) noexcept nogil:
    return o.cap - o.size >= more or out_grow(o, more)

cdef inline void out_raw(out_t* o, const char* p, size_t size) noexcept nogil:
    if size and out_room(o, size):        # memcpy may not be given a null, not even for nothing
        memcpy(o.data + o.size, p, size)
        o.size += size

cdef inline void out_head(out_t* o, char kind, int64_t n) noexcept nogil:
    """A type byte, a number and CRLF: `:1`, `$3`, `*2`, `%1` …"""
    cdef char* p
    if not out_room(o, 32):
        return
    p = o.data + o.size
    p[0] = kind
    if 0 <= n < 10:
        p[1] = <char>(c'0' + n)
        p += 2
    else:
        p += 1 + format_int(p + 1, n)
    p[0] = c'\r'
    p[1] = c'\n'
    o.size = p + 2 - o.data

cdef inline void out_int(out_t* o, int64_t v) noexcept nogil:
    out_head(o, c':', v)

cdef inline void out_bulk(out_t* o, const char* p, size_t size) noexcept nogil:
    if not out_room(o, size + 34):
        return
    out_head(o, c'$', size)
    memcpy(o.data + o.size, p, size)
    o.size += size + 2
    o.data[o.size - 2] = c'\r'
    o.data[o.size - 1] = c'\n'

cdef inline void out_ok(out_t* o) noexcept nogil:
    out_raw(o, b"+OK\r\n", 5)

cdef inline void out_null(out_t* o, int resp) noexcept nogil:
    if resp == 3:
        out_raw(o, b"_\r\n", 3)
    else:
        out_raw(o, b"$-1\r\n", 5)

cdef inline void out_error(out_t* o, int which, const char* named, size_t size) noexcept nogil:
    """An error of errors.pxd; `named` stands where its text has %s."""
    cdef text_t head = error_text(which), tail = error_tail(which)
    out_raw(o, b"-", 1)
    out_raw(o, head.data, head.size)
    out_raw(o, named, size)
    out_raw(o, tail.data, tail.size)
    out_raw(o, b"\r\n", 2)

# --- requests --------------------------------------------------------------------------------------------------------

cdef enum parsed:
    PARSED_COMMAND             # args[base:base+argc] hold it, `pos` is behind it
    PARSED_MORE                # it does not end in this buffer
    PARSED_NOTHING             # an empty command was passed over
    PARSED_INLINE              # a line from `line` of `line_size` bytes, `pos` behind it
    PARSED_ERROR               # `error`, and the byte that offended in `culprit`

cdef enum protocol_error:
    P_NONE = 0
    P_MULTIBULK_LENGTH         # a bad count of arguments
    P_MULTIBULK_STRING         # no end to the line that counts them
    P_BULK_LENGTH
    P_BULK_STRING
    P_EXPECTED_DOLLAR          # with the culprit
    P_INLINE_TOO_BIG
    P_UNAUTH_MULTIBULK
    P_UNAUTH_BULK

cdef enum:
    MAX_ARGS = 1024 * 1024
    MAX_LINE = 65536
    UNAUTH_ARGS = 10
    UNAUTH_BULK = 16384

cdef struct arg_t:
    const char* data
    size_t size

cdef struct parse_t:
    arg_t* args                # of the commands parsed since `parse_reset`, one after the other
    int cap
    int base                   # where the last command's arguments begin; offsets into the buffer until it is complete
    int argc                   # arguments of the last command complete so far
    int want                   # arguments announced; 0: between commands
    int64_t bulk               # bytes of the argument being read; -1: its length is not known yet
    size_t pos
    int64_t max_bulk           # proto-max-bulk-len
    bint authenticated
    const char* line
    size_t line_size
    protocol_error error
    char culprit

cdef void parse_init(parse_t* p) noexcept nogil
cdef void parse_reset(parse_t* p) noexcept nogil             # forgets complete commands, keeps one that has begun
cdef void parse_release(parse_t* p) noexcept nogil
cdef parsed parse_request(parse_t* p, const char* buf, size_t size) noexcept nogil

cdef inline bint well_framed(const char* start, const arg_t* argv, int argc) noexcept nogil:
    """Whether CR and LF stand around all that was read as a command, which is whole: our parser, like Redis's, takes any
    byte for the LF."""
    cdef const char* p = start
    cdef int i
    while p[0] != c'\r':
        p += 1
    if (p + 1)[0] != c'\n':
        return False
    for i in range(argc):
        p = argv[i].data
        if (p - 2)[0] != c'\r' or (p - 1)[0] != c'\n' or p[argv[i].size] != c'\r' or p[argv[i].size + 1] != c'\n':
            return False
    return True

# --- with the GIL ----------------------------------------------------------------------------------------------------

cdef int encode_reply(out_t* o, object reply, int resp) except -1
