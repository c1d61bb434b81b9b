/* zlib's CRC-32 (polynomial 0xEDB88320, reflected) for records of some tens of bytes, where zlib's own start-up costs
 * more than the sum.
 *
 * Where the processor multiplies without carry: sixteen bytes a step, folded into one register, then reduced (V. Gopal
 * et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", 2009; the constants are powers of x
 * modulo the polynomial, reflected). Elsewhere: tables, eight bytes a step ("slicing by 8",
 * M. Kounavis and F. Berry, 2005). Free of state but for tables that rl_crc_init fills once.
 */
#ifndef RLITE_CRC32_H
#define RLITE_CRC32_H

#include "platform.h"

static uint32_t rl_crc_table[8][256];
static int rl_crc_folds; /* whether the processor can */

/* Of a state that is inverted already, as below. */
static inline uint32_t rl_crc_tables(uint32_t crc, const unsigned char *p, size_t n) {
    while (n >= 8) {
        uint32_t a = rl_le32(p) ^ crc, b = rl_le32(p + 4);
        crc = rl_crc_table[7][a & 0xff] ^ rl_crc_table[6][(a >> 8) & 0xff] ^ rl_crc_table[5][(a >> 16) & 0xff] ^
              rl_crc_table[4][a >> 24] ^ rl_crc_table[3][b & 0xff] ^ rl_crc_table[2][(b >> 8) & 0xff] ^
              rl_crc_table[1][(b >> 16) & 0xff] ^ rl_crc_table[0][b >> 24];
        p += 8;
        n -= 8;
    }
    while (n--) crc = (crc >> 8) ^ rl_crc_table[0][(crc ^ *p++) & 0xff];
    return crc;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#define RL_FOLD __attribute__((target("pclmul,ssse3,sse4.1")))

/* Moves what is in `x` on by 16 bytes (or 64, as the constants say) and adds what stands there. */
RL_FOLD static inline __m128i rl_crc_step(__m128i x, __m128i by, __m128i next) {
    return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11)));
}
RL_FOLD static inline __m128i rl_crc_load(const unsigned char *p) { return _mm_loadu_si128((const __m128i *)p); }

/* n: 16 or more. What is more than whole blocks is taken first, as the end of a block of zeros, which add nothing. */
RL_FOLD static uint32_t rl_crc_fold(uint32_t crc, const unsigned char *p, size_t n) {
    static const unsigned char moves[48] = {
        128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0,   1,   2,   3,   4,   5,   6,   7,
        8,   9,   10,  11,  12,  13,  14,  15,  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
    };
    const __m128i by16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    const __m128i by64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i last = _mm_set_epi64x(0, 0x163cd6124);
    const __m128i poly = _mm_set_epi64x(0x1f7011641, 0x1db710641); /* its inverse, and itself */
    const __m128i low = _mm_setr_epi32(~0, 0, ~0, 0);
    __m128i x = _mm_xor_si128(rl_crc_load(p), _mm_cvtsi32_si128((int)crc)), t;
    size_t head = n & 15;
    if (head) {
        x = _mm_shuffle_epi8(x, rl_crc_load(moves + head));
        t = _mm_shuffle_epi8(_mm_cvtsi32_si128((int)crc), rl_crc_load(moves + 16 + head)); /* what of the crc is behind it */
        p += head;
        n -= head;
        x = rl_crc_step(x, by16, _mm_xor_si128(rl_crc_load(p), t));
    }
    p += 16;
    n -= 16;
    if (n >= 112) { /* four registers, so that one need not wait for the other */
        __m128i y = rl_crc_load(p), z = rl_crc_load(p + 16), w = rl_crc_load(p + 32);
        p += 48;
        n -= 48;
        while (n >= 64) {
            x = rl_crc_step(x, by64, rl_crc_load(p));
            y = rl_crc_step(y, by64, rl_crc_load(p + 16));
            z = rl_crc_step(z, by64, rl_crc_load(p + 32));
            w = rl_crc_step(w, by64, rl_crc_load(p + 48));
            p += 64;
            n -= 64;
        }
        x = rl_crc_step(rl_crc_step(rl_crc_step(x, by16, y), by16, z), by16, w);
    }
    for (; n; p += 16, n -= 16) x = rl_crc_step(x, by16, rl_crc_load(p));
    x = _mm_xor_si128(_mm_srli_si128(x, 8), _mm_clmulepi64_si128(x, by16, 0x10));
    t = _mm_srli_si128(x, 4);
    x = _mm_xor_si128(t, _mm_clmulepi64_si128(_mm_and_si128(x, low), last, 0x00));
    t = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(x, low), poly, 0x10), low);
    x = _mm_xor_si128(x, _mm_clmulepi64_si128(t, poly, 0x00));
    return (uint32_t)_mm_extract_epi32(x, 1);
}
static inline int rl_crc_can_fold(void) {
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}
#else
static inline uint32_t rl_crc_fold(uint32_t crc, const unsigned char *p, size_t n) { return rl_crc_tables(crc, p, n); }
static inline int rl_crc_can_fold(void) { return 0; }
#endif

static void rl_crc_init(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0xEDB88320u : c >> 1;
        rl_crc_table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (uint32_t i = 0; i < 256; i++)
            rl_crc_table[t][i] = (rl_crc_table[t - 1][i] >> 8) ^ rl_crc_table[0][rl_crc_table[t - 1][i] & 0xff];
    rl_crc_folds = rl_crc_can_fold();
}

static inline uint32_t rl_crc32(uint32_t crc, const unsigned char *p, size_t n) {
    return ~(rl_crc_folds && n >= 16 ? rl_crc_fold(~crc, p, n) : rl_crc_tables(~crc, p, n));
}

#endif
