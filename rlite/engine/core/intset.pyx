# cython: cdivision=True
"""Intset: found by halving; all numbers grow to the next width when one needs it."""
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove

from rlite.engine.core.platform cimport rl_usable

cdef enum:
    HEAD = 8


cdef inline uint32_t width(const byte* s) noexcept nogil:
    cdef uint32_t v
    memcpy(&v, s, 4)
    return v


cdef inline uint32_t needed(int64_t v) noexcept nogil:
    return 2 if -32768 <= v <= 32767 else 4 if -2147483648 <= v <= 2147483647 else 8


cdef inline int64_t number_at(const byte* s, uint32_t w, uint32_t i) noexcept nogil:
    cdef int16_t a
    cdef int32_t b
    cdef int64_t c
    if w == 2:
        memcpy(&a, s + HEAD + 2 * i, 2)
        return a
    if w == 4:
        memcpy(&b, s + HEAD + 4 * <size_t>i, 4)
        return b
    memcpy(&c, s + HEAD + 8 * <size_t>i, 8)
    return c


cdef inline void put_at(byte* s, uint32_t w, uint32_t i, int64_t v) noexcept nogil:
    memcpy(s + HEAD + <size_t>w * i, &v, w)      # little-endian machines: the low bytes come first


cdef inline void set_head(byte* s, uint32_t w, uint32_t n) noexcept nogil:
    memcpy(s, &w, 4)
    memcpy(s + 4, &n, 4)


cdef byte* is_new() noexcept nogil:
    cdef byte* s = <byte*>malloc(HEAD + 8)
    if s != NULL:
        set_head(s, 2, 0)
    return s


cdef uint32_t is_count(const byte* s) noexcept nogil:
    cdef uint32_t n
    memcpy(&n, s + 4, 4)
    return n


cdef size_t is_bytes(const byte* s) noexcept nogil:
    return HEAD + <size_t>width(s) * is_count(s)


cdef int64_t is_at(const byte* s, uint32_t i) noexcept nogil:
    return number_at(s, width(s), i)


cdef bint is_find(const byte* s, int64_t v, uint32_t* at) noexcept nogil:
    cdef uint32_t low = 0, high = is_count(s), middle, w = width(s)
    while low < high:
        middle = (low + high) // 2
        if number_at(s, w, middle) < v:
            low = middle + 1
        else:
            high = middle
    at[0] = low
    return low < is_count(s) and number_at(s, w, low) == v


cdef bint reserve(byte** s, size_t size) noexcept nogil:
    cdef byte* grown
    if size <= rl_usable(s[0]):
        return True
    grown = <byte*>realloc(s[0], size + (size >> 3))
    if grown == NULL:
        return False
    s[0] = grown
    return True


cdef int is_add(byte** s, int64_t v) noexcept nogil:
    cdef uint32_t at, n = is_count(s[0]), w = width(s[0]), wanted = needed(v), i
    if wanted > w:
        if not reserve(s, HEAD + <size_t>wanted * (n + 1)):
            return -1
        at = 0 if v < 0 else n           # wider than all that are there: it comes first or last
        for i in range(n, 0, -1):
            put_at(s[0], wanted, i - 1 + (0 if at else 1), number_at(s[0], w, i - 1))
        w = wanted
    else:
        if is_find(s[0], v, &at):
            return 0
        if not reserve(s, HEAD + <size_t>w * (n + 1)):
            return -1
        memmove(s[0] + HEAD + <size_t>w * (at + 1), s[0] + HEAD + <size_t>w * at, <size_t>w * (n - at))
    put_at(s[0], w, at, v)
    set_head(s[0], w, n + 1)
    return 1


cdef bint is_remove(byte** s, int64_t v) noexcept nogil:
    cdef uint32_t at, n = is_count(s[0]), w = width(s[0])
    cdef byte* smaller
    cdef size_t size
    if not is_find(s[0], v, &at):
        return False
    memmove(s[0] + HEAD + <size_t>w * at, s[0] + HEAD + <size_t>w * (at + 1), <size_t>w * (n - at - 1))
    set_head(s[0], w, n - 1)
    size = is_bytes(s[0])
    if rl_usable(s[0]) > 2 * size + 64:
        smaller = <byte*>realloc(s[0], size)
        if smaller != NULL:
            s[0] = smaller
    return True


cdef byte* is_copy(const byte* s) noexcept nogil:
    cdef byte* made = <byte*>malloc(is_bytes(s))
    if made != NULL:
        memcpy(made, s, is_bytes(s))
    return made


cdef bint is_sound(const byte* s, size_t size) noexcept nogil:
    cdef uint32_t i
    if size < HEAD or width(s) not in (2, 4, 8) or is_bytes(s) != size or is_count(s) == 0:
        return False
    for i in range(1, is_count(s)):
        if is_at(s, i - 1) >= is_at(s, i):
            return False
    return True
