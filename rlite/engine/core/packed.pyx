# cython: cdivision=True
"""Listpack: blocks are allocated with a little room to spare and given back when half of it is unused.

Nothing here knows of keys or locks. `lp_sound` alone may be shown bytes of a stranger.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove

from rlite.engine.core.platform cimport rl_usable
from rlite.engine.core.resp cimport format_int, parse_int

cdef enum:
    LONGEST_HEAD = 5           # of a text's encoding
    LONGEST_NUMBER = 9


# --- the parts of an element -----------------------------------------------------------------------------------------

cdef inline size_t read_le(const byte* p, int n) noexcept nogil:
    cdef size_t v = 0
    while n:
        n -= 1
        v = (v << 8) | p[n]
    return v


cdef inline void write_le(byte* p, uint64_t v, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        p[i] = <byte>(v >> (8 * i))


cdef inline size_t body_size(const byte* at) noexcept nogil:
    """Bytes of an element's encoding and data; 0 for a byte that begins none."""
    cdef byte first = at[0]
    if first < 0x80:
        return 1
    if first < 0xc0:
        return 1 + (first & 0x3f)
    if first < 0xe0:
        return 2
    if first < 0xf0:
        return 2 + ((<size_t>(first & 0x0f) << 8) | at[1])
    if first == 0xf0:
        return LONGEST_HEAD + read_le(at + 1, 4)
    if first < 0xf4:
        return first - 0xf0 + 2        # 16, 24, 32 bits
    return 9 if first == 0xf4 else 0


cdef inline int tail_size(size_t body) noexcept nogil:
    return 1 if body < 128 else 2 if body < 16384 else 3 if body < 2097152 else 4 if body < 268435456 else 5


cdef inline void write_tail(byte* p, size_t body) noexcept nogil:
    """Seven bits a byte, the lowest in the last, all but the first marked."""
    cdef int n = tail_size(body), i
    for i in range(n - 1, -1, -1):
        p[i] = <byte>((body & 0x7f) | (0x80 if i else 0))
        body >>= 7


cdef inline size_t write_number(byte* p, int64_t v) noexcept nogil:
    """The shortest of seven forms. Returns the bytes written."""
    if 0 <= v <= 127:
        p[0] = <byte>v
        return 1
    if -4096 <= v <= 4095:
        p[0] = <byte>(0xc0 | ((v >> 8) & 0x1f))
        p[1] = <byte>v
        return 2
    if -32768 <= v <= 32767:
        p[0] = 0xf1
        write_le(p + 1, v, 2)
        return 3
    if -8388608 <= v <= 8388607:
        p[0] = 0xf2
        write_le(p + 1, v, 3)
        return 4
    if -2147483648 <= v <= 2147483647:
        p[0] = 0xf3
        write_le(p + 1, v, 4)
        return 5
    p[0] = 0xf4
    write_le(p + 1, v, 8)
    return LONGEST_NUMBER


cdef inline size_t write_text_head(byte* p, size_t size) noexcept nogil:
    if size < 64:
        p[0] = <byte>(0x80 | size)
        return 1
    if size < 4096:
        p[0] = <byte>(0xe0 | (size >> 8))
        p[1] = <byte>size
        return 2
    p[0] = 0xf0
    write_le(p + 1, size, 4)
    return LONGEST_HEAD


cdef inline bint read_number(const byte* at, int64_t* v) noexcept nogil:
    """False: it is text."""
    cdef byte first = at[0]
    cdef int bits
    if first < 0x80:
        v[0] = first
        return True
    if 0xc0 <= first < 0xe0:
        v[0] = (<int64_t>(first & 0x1f) << 8) | at[1]
        if v[0] > 4095:
            v[0] -= 8192
        return True
    if 0xf1 <= first <= 0xf4:
        bits = 64 if first == 0xf4 else 8 * (first - 0xf0 + 1)
        v[0] = <int64_t>(<uint64_t>read_le(at + 1, bits // 8) << (64 - bits)) >> (64 - bits)
        return True
    return False


# --- reading ---------------------------------------------------------------------------------------------------------

cdef size_t lp_bytes(const byte* lp) noexcept nogil:
    return read_le(lp, 4)


cdef int64_t lp_count(byte* lp) noexcept nogil:
    cdef int64_t n = <int64_t>read_le(lp + 4, 2)
    cdef byte* at
    if n < MAX_COUNT:
        return n
    n = 0
    at = lp_first(lp)
    while at[0] != END:
        n += 1
        at = lp_next(at)
    return n


cdef byte* lp_next(byte* at) noexcept nogil:
    cdef size_t body = body_size(at)
    return at + body + tail_size(body)


cdef byte* lp_prev(byte* at) noexcept nogil:
    cdef byte* p = at - 1
    cdef size_t body = p[0] & 0x7f
    cdef int shift = 7
    while p[0] & 0x80:
        p -= 1
        body |= <size_t>(p[0] & 0x7f) << shift
        shift += 7
    return p - body


cdef byte* lp_seek(byte* lp, int64_t index) noexcept nogil:
    cdef int64_t n = lp_count(lp)
    cdef byte* at
    if index < 0:
        index += n
    if index < 0 or index >= n:
        return lp_end(lp)
    if index <= n // 2:
        at = lp_first(lp)
        while index:
            at = lp_next(at)
            index -= 1
    else:
        at = lp_end(lp)
        while index < n:
            at = lp_prev(at)
            index += 1
    return at


cdef void lp_read(const byte* at, piece_t* piece) noexcept nogil:
    cdef byte first = at[0]
    piece.is_number = read_number(at, &piece.number)
    if piece.is_number:
        piece.data = piece.digits
        piece.size = format_int(piece.digits, piece.number)
    elif first < 0xc0:
        piece.data = <const char*>at + 1
        piece.size = first & 0x3f
    elif first < 0xf0:
        piece.data = <const char*>at + 2
        piece.size = (<size_t>(first & 0x0f) << 8) | at[1]
    else:
        piece.data = <const char*>at + LONGEST_HEAD
        piece.size = read_le(at + 1, 4)


cdef void needle_init(needle_t* needle, const char* data, size_t size) noexcept nogil:
    needle.data = data
    needle.size = size
    needle.is_number = parse_int(data, size, &needle.number)


cdef bint lp_equals(const byte* at, const needle_t* needle) noexcept nogil:
    cdef piece_t piece
    cdef int64_t v
    cdef byte first = at[0]
    if read_number(at, &v):
        return needle.is_number and v == needle.number
    if needle.is_number:
        return False
    if first < 0xc0:
        return needle.size == <size_t>(first & 0x3f) and memcmp(at + 1, needle.data, needle.size) == 0
    lp_read(at, &piece)
    return piece.size == needle.size and memcmp(piece.data, needle.data, piece.size) == 0


cdef byte* lp_find(byte* at, const needle_t* needle, int skip) noexcept nogil:
    cdef int i
    while at[0] != END:
        if lp_equals(at, needle):
            return at
        at = lp_next(at)
        for i in range(skip):
            at = lp_next(at)
    return NULL


# --- writing ---------------------------------------------------------------------------------------------------------

cdef byte* lp_new(size_t room) noexcept nogil:
    cdef byte* lp = <byte*>malloc(HEAD + 1 + room)
    if lp != NULL:
        write_le(lp, HEAD + 1, 4)
        write_le(lp + 4, 0, 2)
        lp[HEAD] = END
    return lp


cdef size_t lp_cost(const char* data, size_t size) noexcept nogil:
    return size + LONGEST_HEAD + tail_size(size + LONGEST_HEAD)


cdef inline void set_head(byte* lp, size_t bytes, int64_t added) noexcept nogil:
    cdef int64_t n = <int64_t>read_le(lp + 4, 2)
    write_le(lp, bytes, 4)
    if n < MAX_COUNT:
        n = min(n + added, <int64_t>MAX_COUNT)
    elif added < 0 and bytes < MAX_COUNT:       # it may be few again
        write_le(lp + 4, MAX_COUNT, 2)
        n = min(lp_count(lp), <int64_t>MAX_COUNT)
    write_le(lp + 4, n, 2)


cdef byte* splice(byte** lp, byte* at, size_t gone, const char* data, size_t size, int64_t added) noexcept nogil:
    """Puts an element in the place of `gone` bytes at `at`. NULL: no memory, and nothing has changed."""
    cdef:
        byte head[16]
        int64_t number
        bint is_number = parse_int(data, size, &number)
        size_t prefix = write_number(head, number) if is_number else write_text_head(head, size)
        size_t body = prefix if is_number else prefix + size
        size_t need = body + tail_size(body)
        size_t old = lp_bytes(lp[0]), new = old - gone + need
        size_t offset = at - lp[0]
        byte* p
    if new > <size_t>0xffffffff:
        return NULL
    if new > rl_usable(lp[0]):
        p = <byte*>realloc(lp[0], new + (new >> 4))
        if p == NULL:
            return NULL
        lp[0] = p
        at = p + offset
    if need != gone:
        memmove(at + need, at + gone, old - offset - gone)
    memcpy(at, head, prefix)
    if not is_number:
        memcpy(at + prefix, data, size)
    write_tail(at + body, body)
    set_head(lp[0], new, added)
    return at


cdef byte* lp_insert(byte** lp, byte* at, const char* data, size_t size) noexcept nogil:
    return splice(lp, at, 0, data, size, 1)


cdef byte* lp_replace(byte** lp, byte* at, const char* data, size_t size) noexcept nogil:
    return splice(lp, at, lp_next(at) - at, data, size, 0)


cdef byte* lp_remove(byte** lp, byte* at, int64_t n) noexcept nogil:
    cdef:
        byte* stop = at
        byte* smaller
        size_t old = lp_bytes(lp[0]), offset = at - lp[0], new
        int64_t removed = 0
    while removed < n and stop[0] != END:
        stop = lp_next(stop)
        removed += 1
    new = old - (stop - at)
    memmove(at, stop, old - (stop - lp[0]))
    set_head(lp[0], new, -removed)
    if rl_usable(lp[0]) > 2 * new + 64:
        smaller = <byte*>realloc(lp[0], new + (new >> 4))
        if smaller != NULL:
            lp[0] = smaller
    return lp[0] + offset


cdef byte* lp_copy(byte* lp) noexcept nogil:
    cdef size_t size = lp_bytes(lp)
    cdef byte* made = <byte*>malloc(size)
    if made != NULL:
        memcpy(made, lp, size)
    return made


cdef bint lp_sound(const byte* lp, size_t size) noexcept nogil:
    cdef:
        size_t at = HEAD, body, told
        int64_t n = 0
        int shift
        const byte* p
    if size < HEAD + 1 or lp_bytes(lp) != size or lp[size - 1] != END:
        return False
    while at < size - 1:
        if lp[at] >= 0xf5 or size - at < 6 and (lp[at] == 0xf0 or (lp[at] >= 0xe0 and size - at < 3)):
            return False
        body = body_size(lp + at)
        if body == 0 or body > size or at + body + tail_size(body) > size - 1:
            return False
        p = lp + at + body + tail_size(body) - 1
        told = p[0] & 0x7f
        shift = 7
        while p[0] & 0x80 and p > lp + at + body:
            p -= 1
            told |= <size_t>(p[0] & 0x7f) << shift
            shift += 7
        if told != body or p != lp + at + body or p[0] & 0x80:
            return False
        at += body + tail_size(body)
        n += 1
    told = read_le(lp + 4, 2)
    return at == size - 1 and (told == MAX_COUNT or told == <size_t>n)
