# cython: cdivision=True
"""LZF: matches are found by the place where the same three bytes were seen last, and no further search."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cdef enum:
    MAX_LITERAL = 32
    MAX_DISTANCE = 1 << 13
    MAX_MATCH = 264
    IMPATIENCE = 6             # after 2**6 bytes without a match, every second place is looked at, and so on


cdef void lzf_init(lzf_t* z) noexcept nogil:
    memset(z, 0, sizeof(lzf_t))


cdef inline size_t put_literal(char* to, const char* data, size_t size) noexcept nogil:
    cdef size_t at = 0, part
    while size:
        part = min(size, <size_t>MAX_LITERAL)
        to[at] = <char>(part - 1)
        memcpy(to + at + 1, data, part)
        at += part + 1
        data += part
        size -= part
    return at


cdef inline size_t literal_size(size_t size) noexcept nogil:
    return size + (size + MAX_LITERAL - 1) // MAX_LITERAL


cdef size_t lzf_compress(lzf_t* z, const char* data, size_t size, char* to, size_t room) noexcept nogil:
    """Returns the bytes written, at most `room`; 0 where they would be more (or there is nothing)."""
    cdef:
        const unsigned char* p = <const unsigned char*>data
        size_t at = 0, literal = 0, out = 0, before, length, limit, distance, misses = 0
        uint32_t h, was
    if size > <size_t>0x7fffffff:
        return 0
    if z.base > <uint32_t>0x7fffffff:
        lzf_init(z)
    while at + 2 < size:
        h = ((<uint32_t>p[at] << 16 | <uint32_t>p[at + 1] << 8 | p[at + 2]) * <uint32_t>2654435761u) >> (32 - LZF_BITS)
        was = z.seen[h]
        z.seen[h] = z.base + <uint32_t>at + 1
        if was > z.base:
            before = was - z.base - 1
            distance = at - before - 1
            if distance < MAX_DISTANCE and p[before] == p[at] and p[before + 1] == p[at + 1] \
                    and p[before + 2] == p[at + 2]:
                length = 3
                limit = min(<size_t>MAX_MATCH, size - at)
                while length < limit and p[before + length] == p[at + length]:
                    length += 1
                if out + literal_size(at - literal) + 3 > room:
                    break
                out += put_literal(to + out, data + literal, at - literal)
                if length < 9:
                    to[out] = <char>((length - 2) << 5 | distance >> 8)
                    out += 1
                else:
                    to[out] = <char>(7 << 5 | distance >> 8)
                    to[out + 1] = <char>(length - 9)
                    out += 2
                to[out] = <char>distance
                out += 1
                at += length
                literal = at
                misses = 0
                continue
        if out + at - literal > room:      # however well the rest goes
            break
        at += 1 + (misses >> IMPATIENCE)
        misses += 1
    z.base += <uint32_t>size
    if out + literal_size(size - literal) > room:
        return 0
    return out + put_literal(to + out, data + literal, size - literal)


cdef const char* lzf_decompress(const char* data, size_t packed, char* to, size_t size) noexcept nogil:
    """Fills `to` with `size` bytes. Returns NULL, or what is wrong with the data."""
    cdef:
        const unsigned char* p = <const unsigned char*>data
        size_t at = 0, out = 0, length, distance, i
    while at < packed:
        length = p[at]
        at += 1
        if length < MAX_LITERAL:
            length += 1
            if length > packed - at:
                return b"LZF: a literal is cut short"
            if length > size - out:
                return b"LZF: more data than announced"
            memcpy(to + out, p + at, length)
            at += length
            out += length
            continue
        distance = (length & 0x1f) << 8
        length >>= 5
        if length == 7:
            if at == packed:
                return b"LZF: an item is cut short"
            length += p[at]
            at += 1
        length += 2
        if at == packed:
            return b"LZF: an item is cut short"
        distance += p[at] + 1
        at += 1
        if distance > out:
            return b"LZF: a distance reaches before the start"
        if length > size - out:
            return b"LZF: more data than announced"
        if distance >= length:
            memcpy(to + out, to + out - distance, length)
        else:                              # a source that overlaps its own copy repeats
            for i in range(length):
                to[out + i] = to[out + i - distance]
        out += length
    if out != size:
        return b"LZF: less data than announced"
    return NULL


# --- for Python, under the GIL ---------------------------------------------------------------------------------------

cdef lzf_t shared
lzf_init(&shared)


def compress(bytes data not None) -> bytes:
    """The data as LZF items; may come out longer than it went in."""
    cdef size_t size = len(data), room = literal_size(size) + 8, made
    cdef char* to
    if size > <size_t>0x7fffffff:
        raise ValueError("LZF: no block is larger than 2 GB")
    to = <char*>malloc(room)
    if to == NULL:
        raise MemoryError
    made = lzf_compress(&shared, data, size, to, room)
    try:
        return to[:made]
    finally:
        free(to)


def decompress(bytes data not None, size_t size) -> bytes:
    """The `size` bytes that were compressed. Raises ValueError for data that is damaged or does not give just so many."""
    cdef const char* wrong
    cdef bytes made
    if size > 133 * <size_t>len(data):     # three bytes of an item make 264 at most
        raise ValueError("LZF: less data than announced")
    made = PyBytes_FromStringAndSize(NULL, size)
    wrong = lzf_decompress(data, len(data), made, size)
    if wrong != NULL:
        raise ValueError((<bytes>wrong).decode())
    return made
