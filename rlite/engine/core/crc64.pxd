"""CRC-64 as Redis has it in RDB files and DUMP payloads: the polynomial of D. Jones, reflected, from 0."""
from libc.stdint cimport uint64_t

cdef uint64_t crc64_of(uint64_t crc, const char* data, size_t size) noexcept nogil     # to be continued
