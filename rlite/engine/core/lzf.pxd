"""LZF, the compression of strings in RDB files (format by Marc Lehmann, liblzf).

A block is a run of items. Control byte below 32: so many bytes and one follow as they are. Otherwise the top three bits
are a length less two (7: one more byte adds to it), and the low five with the next byte a distance less one: copy that
many bytes from so far back. Pure functions of bytes; a `lzf_t` belongs to one thread at a time.
"""
from libc.stdint cimport uint32_t

cdef enum:
    LZF_BITS = 13

cdef struct lzf_t:             # where three bytes were last seen; serves one block after the other without being cleared
    uint32_t seen[1 << LZF_BITS]
    uint32_t base              # what stands in `seen` up to here is of blocks before

cdef void lzf_init(lzf_t* z) noexcept nogil
cdef size_t lzf_compress(lzf_t* z, const char* data, size_t size, char* to, size_t room) noexcept nogil   # 0: does not fit
cdef const char* lzf_decompress(const char* data, size_t packed, char* to, size_t size) noexcept nogil   # NULL, or what is wrong
