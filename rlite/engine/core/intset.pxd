"""Intset: a few numbers, sorted, each of 16, 32 or 64 bits, in one block (Redis's format of that name).

A block: the bytes of a number (4 bytes, little-endian), how many there are (4), the numbers.
"""
from libc.stdint cimport int64_t, uint32_t

ctypedef unsigned char byte

cdef byte* is_new() noexcept nogil                                          # NULL: no memory
cdef uint32_t is_count(const byte* s) noexcept nogil
cdef size_t is_bytes(const byte* s) noexcept nogil
cdef int64_t is_at(const byte* s, uint32_t i) noexcept nogil
cdef bint is_find(const byte* s, int64_t v, uint32_t* at) noexcept nogil    # `at`: where it stands, or belongs
cdef int is_add(byte** s, int64_t v) noexcept nogil                         # 1: added; 0: there already; -1: no memory
cdef bint is_remove(byte** s, int64_t v) noexcept nogil
cdef byte* is_copy(const byte* s) noexcept nogil
cdef bint is_sound(const byte* s, size_t size) noexcept nogil               # every bound of a stranger's bytes
