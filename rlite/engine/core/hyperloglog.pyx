# cython: cdivision=True
"""HyperLogLog: how many different elements were seen, in at most 12 KiB, give or take 0.81 %.

The bytes are Redis's own, so that GET and SET carry a value from one to the other: "HYLL", the encoding (0 dense, 1
sparse), three zeros, the last estimate (64 bits, little-endian, its highest bit set where it is out of date), then
16384 registers. Dense: six bits each, the lowest first. Sparse: runs, `00nnnnnn` for n+1 zeros, `01nnnnnn nnnnnnnn` for
n+1 zeros, `1vvvvvnn` for n+1 registers of v+1.

An element's hash (MurmurHash64A) chooses a register by its low 14 bits; the register keeps the greatest number of
zeros, plus one, that the rest began with. The estimate is O. Ertl's ("New cardinality estimation algorithms for
HyperLogLog sketches", 2017). Works on bytes alone, with the GIL; a ValueError says that they are no HyperLogLog.
"""
from libc.math cimport INFINITY, llround, pow, sqrt
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memmove

cdef enum:
    HEADER = 16
    INDEX_BITS = 14                 # of a hash, that choose the register
    REGISTERS = 1 << INDEX_BITS
    WIDTH = 6                       # bits of a dense register
    HASH_BITS = 50                  # of a hash, beyond those that choose the register
    DENSE_SIZE = HEADER + REGISTERS * WIDTH // 8
    DENSE = 0
    SPARSE = 1
    ZERO_MOST = 64                  # the longest run of each kind
    XZERO_MOST = REGISTERS
    VAL_MOST = 4
    VAL_HIGHEST = 32                # the greatest number a sparse register holds

cdef double ALPHA = 0.721347520444481703680      # 1 / (2 ln 2)


cdef uint64_t murmur64a(const uint8_t* data, size_t size, uint64_t seed) noexcept nogil:
    """A. Appleby's MurmurHash64A, little-endian on every machine."""
    cdef uint64_t m = <uint64_t>0xc6a4a7935bd1e995
    cdef uint64_t h = seed ^ (<uint64_t>size * m), k
    cdef size_t i, tail = size & 7
    for i in range(0, size - tail, 8):
        k = little_endian(data + i, 8) * m
        k = (k ^ (k >> 47)) * m
        h = (h ^ k) * m
    if tail:
        h = (h ^ little_endian(data + size - tail, tail)) * m
    h = (h ^ (h >> 47)) * m
    return h ^ (h >> 47)


cdef inline uint64_t little_endian(const uint8_t* data, size_t size) noexcept nogil:
    cdef uint64_t k = 0
    cdef size_t i
    for i in range(size):
        k |= <uint64_t>data[i] << (8 * i)
    return k


cdef int place_of(bytes element, int* index) noexcept:
    """The register an element belongs to, and what it would have that hold."""
    cdef uint64_t h = murmur64a(<const uint8_t*><const char*>element, len(element), <uint64_t>0xadc83b19)
    cdef int zeros = 0
    index[0] = <int>(h & (REGISTERS - 1))
    h = (h >> INDEX_BITS) | (<uint64_t>1 << HASH_BITS)
    while not h & 1:
        h >>= 1
        zeros += 1
    return zeros + 1


# --- dense -----------------------------------------------------------------------------------------------------------

cdef inline int dense_get(const uint8_t* r, int index) noexcept nogil:
    cdef int bit = index * WIDTH, at = bit >> 3, shift = bit & 7
    cdef int two = r[at]
    if shift > 8 - WIDTH:
        two |= <int>r[at + 1] << 8
    return (two >> shift) & 63


cdef inline void dense_put(uint8_t* r, int index, int value) noexcept nogil:
    cdef int bit = index * WIDTH, at = bit >> 3, shift = bit & 7
    r[at] = <uint8_t>((r[at] & ~(63 << shift)) | (value << shift))
    if shift > 8 - WIDTH:
        r[at + 1] = <uint8_t>((r[at + 1] & ~(63 >> (8 - shift))) | (value >> (8 - shift)))


# --- sparse ----------------------------------------------------------------------------------------------------------

cdef struct run_t:
    int length                # registers
    int value                      # what each of them holds
    int size                       # bytes of the run's description; 0: it is cut off


cdef inline run_t run_at(const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef run_t run
    run.length, run.value, run.size = 0, 0, 0
    if p >= end:
        return run
    run.size = 1
    if p[0] & 0x80:
        run.value = ((p[0] >> 2) & 31) + 1
        run.length = (p[0] & 3) + 1
    elif p[0] & 0x40:
        run.size = 2 if p + 1 < end else 0
        run.length = (((p[0] & 63) << 8) | p[1]) + 1 if run.size else 0
    else:
        run.length = (p[0] & 63) + 1
    return run


cdef inline int put_run(uint8_t* p, int value, int length) noexcept nogil:
    """Describes a run; returns the bytes taken."""
    if value:
        p[0] = <uint8_t>(0x80 | ((value - 1) << 2) | (length - 1))
        return 1
    if length <= ZERO_MOST:
        p[0] = <uint8_t>(length - 1)
        return 1
    p[0] = <uint8_t>(0x40 | ((length - 1) >> 8))
    p[1] = <uint8_t>((length - 1) & 255)
    return 2


cdef int sparse_put(bytearray hll, int index, int value, Py_ssize_t most) except -2:
    """Raises a register of a sparse value. 1: done; 0: it held as much; -1: the value must become dense first."""
    cdef uint8_t* start = <uint8_t*><char*>hll
    cdef uint8_t* end = start + len(hll)
    cdef uint8_t* p = start + HEADER
    cdef int first = 0, last
    cdef Py_ssize_t at, before = HEADER
    cdef int n = 0, grown
    cdef run_t run
    cdef uint8_t made[5]
    if value > VAL_HIGHEST:
        return -1
    while True:
        run = run_at(p, end)
        if run.size == 0:
            raise ValueError("the runs end too early")
        if index < first + run.length:
            break
        before = p - start
        p += run.size
        first += run.length
    at = p - start
    last = first + run.length - 1
    if run.value >= value:
        return 0
    if index != first:
        n += put_run(made + n, run.value, index - first)
    n += put_run(made + n, value, 1)
    if index != last:
        n += put_run(made + n, run.value, last - index)
    grown = n - run.size
    if grown > 0 and len(hll) + grown > most:
        return -1
    hll[at:at + run.size] = made[:n]
    join_runs(hll, before)
    return 1


cdef int join_runs(bytearray hll, Py_ssize_t at) except -1:
    """Joins neighbours of one value, from the run before the place that was changed on; five runs are looked at."""
    cdef uint8_t* p = <uint8_t*><char*>hll
    cdef uint8_t* end = p + len(hll)
    cdef uint8_t* start = p
    cdef int left = 5
    cdef int length
    p += at
    while p < end and left:
        left -= 1
        if not p[0] & 0x80:
            p += 2 if p[0] & 0x40 else 1
            continue
        if p + 1 < end and p[1] & 0x80 and p[0] & 0x7c == p[1] & 0x7c:
            length = (p[0] & 3) + (p[1] & 3) + 2
            if length <= VAL_MOST:
                p[1] = <uint8_t>(0x80 | (p[0] & 0x7c) | (length - 1))
                memmove(p, p + 1, end - p - 1)
                end -= 1
                continue
        p += 1
    del hll[end - start:]
    return 0


# --- for the commands ------------------------------------------------------------------------------------------------

def fresh() -> bytearray:
    """A value that has seen nothing: sparse, one run of zeros."""
    made = bytearray(b"HYLL\x01" + bytes(HEADER - 5) + bytes(2))
    put_run(<uint8_t*><char*>made + HEADER, 0, XZERO_MOST)
    return made


def looks_right(hll) -> bool:
    """Whether a string begins as a HyperLogLog does and can be one by its length."""
    if len(hll) < HEADER or hll[:4] != b"HYLL" or hll[4] > SPARSE:
        return False
    return hll[4] == SPARSE or len(hll) == DENSE_SIZE


def is_dense(hll) -> bool:
    return hll[4] == DENSE


def known_estimate(hll):
    """The estimate kept with the value; None where it is out of date."""
    return None if hll[15] & 0x80 else int.from_bytes(hll[8:16], "little")


def keep_estimate(bytearray hll, number):
    """Keeps an estimate with the value; None: there is none any more."""
    if number is None:
        hll[15] |= 0x80
    else:
        hll[8:16] = number.to_bytes(8, "little")


def raise_register(bytearray hll, int index, int value, Py_ssize_t most) -> bool:
    """Has a register hold at least `value`. False: it does. A sparse value that would be longer than `most` bytes, or
    cannot hold the number, becomes dense. Raises ValueError."""
    cdef int done
    cdef uint8_t* r
    if not 0 <= index < REGISTERS or not 0 <= value <= HASH_BITS + 1:
        raise ValueError("no such register, or more than it can hold")
    if hll[4] == SPARSE:
        done = sparse_put(hll, index, value, most)
        if done >= 0:
            return done == 1
        make_dense(hll)
    r = <uint8_t*><char*>hll + HEADER
    if dense_get(r, index) >= value:
        return False
    dense_put(r, index, value)
    return True


def add(bytearray hll, bytes element, Py_ssize_t most) -> bool:
    """Shows it an element. False: no register changed. Raises ValueError."""
    cdef int index = 0
    cdef int value = place_of(element, &index)
    return raise_register(hll, index, value, most)


def registers(hll) -> bytearray:
    """The 16384 registers, a byte each. Raises ValueError."""
    cdef bytearray found = bytearray(REGISTERS)
    cdef bytes data = bytes(hll)
    cdef const uint8_t* p = <const uint8_t*><const char*>data
    cdef const uint8_t* end = p + len(data)
    cdef uint8_t* out = <uint8_t*><char*>found
    cdef int i, at = 0
    cdef run_t run
    if not looks_right(data):
        raise ValueError("not a HyperLogLog")
    p += HEADER
    if data[4] == DENSE:
        for i in range(REGISTERS):
            out[i] = <uint8_t>dense_get(p, i)
        return found
    while p < end:
        run = run_at(p, end)
        if run.size == 0 or at + run.length > REGISTERS:
            raise ValueError("the runs make too many registers")
        for i in range(at, at + run.length):
            out[i] = <uint8_t>run.value
        at += run.length
        p += run.size
    if at != REGISTERS:
        raise ValueError("the runs make too few registers")
    return found


def make_dense(bytearray hll):
    """Writes a sparse value densely. Raises ValueError."""
    cdef bytearray held = registers(hll)
    cdef const uint8_t* value = <const uint8_t*><const char*>held
    cdef bytearray made = bytearray(DENSE_SIZE)
    cdef uint8_t* r = <uint8_t*><char*>made + HEADER
    cdef int i
    memcpy(<char*>made, <const char*>hll, HEADER)
    made[4] = DENSE
    for i in range(REGISTERS):
        dense_put(r, i, value[i])
    hll[:] = made


def raise_all(bytearray into, bytearray other):
    """Has registers hold at least what `other`'s hold; both as `registers` returns them."""
    cdef uint8_t* a = <uint8_t*><char*>into
    cdef const uint8_t* b = <const uint8_t*><const char*>other
    cdef int i
    if len(into) != REGISTERS or len(other) != REGISTERS:
        raise ValueError("not all registers")
    for i in range(REGISTERS):
        if b[i] > a[i]:
            a[i] = b[i]


def estimate(bytearray held) -> int:
    """How many different elements were seen, from the registers."""
    cdef const uint8_t* value = <const uint8_t*><const char*>held
    cdef double m = REGISTERS, z
    cdef int counts[64]
    cdef int i
    cdef int j
    if len(held) != REGISTERS:
        raise ValueError("not all registers")
    for j in range(64):
        counts[j] = 0
    for i in range(REGISTERS):
        counts[value[i] & 63] += 1
    z = m * tau((m - counts[HASH_BITS + 1]) / m)
    for j in range(HASH_BITS, 0, -1):
        z = (z + counts[j]) * 0.5
    z += m * sigma(counts[0] / m)
    return llround(ALPHA * m * m / z)


cdef double tau(double x) noexcept nogil:
    cdef double before, y = 1.0, z = 1 - x
    if x == 0.0 or x == 1.0:
        return 0.0
    while True:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= pow(1 - x, 2) * y
        if before == z:
            return z / 3


cdef double sigma(double x) noexcept nogil:
    cdef double before, y = 1.0, z = x
    if x == 1.0:
        return INFINITY
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if before == z:
            return z
