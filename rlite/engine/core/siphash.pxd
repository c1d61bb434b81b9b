"""SipHash-1-3 (Aumasson, Bernstein 2012; the 1-3 variant as CPython and Redis-family servers use it).

Keyed by a secret of the process, so that nobody outside can choose keys that collide.
"""
from libc.stdint cimport uint64_t

from rlite.engine.core.platform cimport rl_read64


cdef inline uint64_t rotl(uint64_t x, int b) noexcept nogil:
    return (x << b) | (x >> (64 - b))


cdef inline uint64_t siphash13(const uint64_t* seed, const char* data, size_t size) noexcept nogil:
    cdef:
        uint64_t v0 = seed[0] ^ <uint64_t>0x736f6d6570736575
        uint64_t v1 = seed[1] ^ <uint64_t>0x646f72616e646f6d
        uint64_t v2 = seed[0] ^ <uint64_t>0x6c7967656e657261
        uint64_t v3 = seed[1] ^ <uint64_t>0x7465646279746573
        uint64_t m
        uint64_t last = (<uint64_t>size) << 56
        const unsigned char* p = <const unsigned char*>data
        const unsigned char* end = p + (size & ~<size_t>7)
        size_t left = size & 7
        int i

    while p != end:
        m = rl_read64(p)
        v3 ^= m
        v0 += v1; v1 = rotl(v1, 13); v1 ^= v0; v0 = rotl(v0, 32)
        v2 += v3; v3 = rotl(v3, 16); v3 ^= v2
        v0 += v3; v3 = rotl(v3, 21); v3 ^= v0
        v2 += v1; v1 = rotl(v1, 17); v1 ^= v2; v2 = rotl(v2, 32)
        v0 ^= m
        p += 8
    while left:
        left -= 1
        last |= (<uint64_t>p[left]) << (8 * left)

    v3 ^= last
    v0 += v1; v1 = rotl(v1, 13); v1 ^= v0; v0 = rotl(v0, 32)
    v2 += v3; v3 = rotl(v3, 16); v3 ^= v2
    v0 += v3; v3 = rotl(v3, 21); v3 ^= v0
    v2 += v1; v1 = rotl(v1, 17); v1 ^= v2; v2 = rotl(v2, 32)
    v0 ^= last
    v2 ^= 0xff
    for i in range(3):
        v0 += v1; v1 = rotl(v1, 13); v1 ^= v0; v0 = rotl(v0, 32)
        v2 += v3; v3 = rotl(v3, 16); v3 ^= v2
        v0 += v3; v3 = rotl(v3, 21); v3 ^= v0
        v2 += v1; v1 = rotl(v1, 17); v1 ^= v2; v2 = rotl(v2, 32)
    return v0 ^ v1 ^ v2 ^ v3
