"""Listpack: a few short elements in one block of bytes, each text or a number (Redis's format of that name).

A block: its size (4 bytes, little-endian), how many elements (2 bytes; 65535: count them), the elements, 0xff.
An element: its encoding, its bytes, and the length of both, written to be read backwards.
A place is a pointer to an element, or to the end mark; it holds until the block changes.
"""
from libc.stdint cimport int64_t

ctypedef unsigned char byte

cdef enum:
    END = 0xff
    HEAD = 6                   # bytes before the first element
    MAX_COUNT = 0xffff

cdef struct piece_t:           # an element, read
    const char* data           # text, or the digits below
    size_t size
    int64_t number
    bint is_number
    char digits[24]

cdef struct needle_t:          # an element looked for
    const char* data
    size_t size
    int64_t number
    bint is_number             # such an element is always held as a number

cdef byte* lp_new(size_t room) noexcept nogil                        # NULL: no memory
cdef size_t lp_bytes(const byte* lp) noexcept nogil
cdef int64_t lp_count(byte* lp) noexcept nogil
cdef byte* lp_next(byte* at) noexcept nogil                          # may be the end
cdef byte* lp_prev(byte* at) noexcept nogil                          # `at` is not the first
cdef byte* lp_seek(byte* lp, int64_t index) noexcept nogil           # negative: from the end; the end: out of range
cdef void lp_read(const byte* at, piece_t* piece) noexcept nogil
cdef bint lp_equals(const byte* at, const needle_t* needle) noexcept nogil
cdef byte* lp_find(byte* at, const needle_t* needle, int skip) noexcept nogil  # passes over `skip` after each; NULL: none
cdef void needle_init(needle_t* needle, const char* data, size_t size) noexcept nogil
cdef size_t lp_cost(const char* data, size_t size) noexcept nogil    # bytes the element would take, at most
cdef byte* lp_insert(byte** lp, byte* at, const char* data, size_t size) noexcept nogil   # before `at`; NULL: no memory
cdef byte* lp_replace(byte** lp, byte* at, const char* data, size_t size) noexcept nogil
cdef byte* lp_remove(byte** lp, byte* at, int64_t n) noexcept nogil  # returns what came after
cdef byte* lp_copy(byte* lp) noexcept nogil
cdef bint lp_sound(const byte* lp, size_t size) noexcept nogil       # every bound of a stranger's bytes

cdef inline byte* lp_first(byte* lp) noexcept nogil:
    return lp + HEAD

cdef inline byte* lp_end(byte* lp) noexcept nogil:
    return lp + lp_bytes(lp) - 1

cdef inline byte* lp_append(byte** lp, const char* data, size_t size) noexcept nogil:
    return lp_insert(lp, lp_end(lp[0]), data, size)
