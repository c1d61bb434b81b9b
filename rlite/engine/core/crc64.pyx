"""CRC-64, eight bytes a step ("slicing by 8", Kounavis and Berry 2005)."""
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    static uint64_t rl_crc64_table[8][256];

    static void rl_crc64_init(void) {
        for (uint64_t i = 0; i < 256; i++) {
            uint64_t c = i;
            for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ UINT64_C(0x95AC9329AC4BC9B5) : c >> 1;
            rl_crc64_table[0][i] = c;
        }
        for (int t = 1; t < 8; t++)
            for (int i = 0; i < 256; i++)
                rl_crc64_table[t][i] = (rl_crc64_table[t - 1][i] >> 8) ^ rl_crc64_table[0][rl_crc64_table[t - 1][i] & 0xff];
    }

    static uint64_t rl_crc64(uint64_t crc, const unsigned char *p, size_t n) {
        while (n >= 8) {
            uint64_t w;
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            memcpy(&w, p, 8);
    #else
            w = 0;
            for (int i = 7; i >= 0; i--) w = w << 8 | p[i];
    #endif
            w ^= crc;
            crc = rl_crc64_table[7][w & 0xff] ^ rl_crc64_table[6][(w >> 8) & 0xff] ^
                  rl_crc64_table[5][(w >> 16) & 0xff] ^ rl_crc64_table[4][(w >> 24) & 0xff] ^
                  rl_crc64_table[3][(w >> 32) & 0xff] ^ rl_crc64_table[2][(w >> 40) & 0xff] ^
                  rl_crc64_table[1][(w >> 48) & 0xff] ^ rl_crc64_table[0][w >> 56];
            p += 8;
            n -= 8;
        }
        while (n--) crc = (crc >> 8) ^ rl_crc64_table[0][(crc ^ *p++) & 0xff];
        return crc;
    }
    """
    void rl_crc64_init() noexcept nogil
    uint64_t rl_crc64(uint64_t crc, const unsigned char* p, size_t n) noexcept nogil

rl_crc64_init()


cdef uint64_t crc64_of(uint64_t crc, const char* data, size_t size) noexcept nogil:
    return rl_crc64(crc, <const unsigned char*>data, size)


def crc64(const unsigned char[::1] data not None, uint64_t crc=0) -> int:
    """The CRC-64 of bytes; `crc`: of those before them."""
    if data.shape[0]:
        with nogil:
            crc = rl_crc64(crc, &data[0], data.shape[0])
    return crc
