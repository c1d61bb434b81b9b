# cython: cdivision=True
"""Records of the log: written, read, found again behind damage. Nothing here needs the GIL but the functions for Python at the end."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from rlite.engine.core.platform cimport rl_put_le32, rl_put_le64

cdef extern from "crc32.h" nogil:
    void rl_crc_init() noexcept
    uint32_t rl_crc32(uint32_t crc, const unsigned char* p, size_t n) noexcept

rl_crc_init()


cdef uint32_t crc32(uint32_t crc, const char* data, size_t size) noexcept nogil:
    return rl_crc32(crc, <const unsigned char*>data, size)


cdef void head_record(char* record, size_t resp_size, int64_t offset, int64_t ms, uint32_t database,
                      uint32_t unsynced) noexcept nogil:
    rl_put_le32(record, <uint32_t>(FIELDS_SIZE + resp_size))
    rl_put_le64(record + 4, <uint64_t>offset)
    rl_put_le64(record + 12, <uint64_t>ms)
    rl_put_le32(record + 20, database)
    rl_put_le32(record + 24, unsynced)


cdef void grow_record(char* record, size_t resp_size) noexcept nogil:
    rl_put_le32(record, <uint32_t>(FIELDS_SIZE + resp_size))


cdef void seal_records(char* records, size_t size, uint32_t seed) noexcept nogil:
    """One after the other: no sum waits for the one before it, so the processor works at several."""
    cdef char* end = records + size
    cdef size_t summed
    while records < end:
        summed = LENGTH_SIZE + take32(records)
        rl_put_le32(records + summed, crc32(seed, records, summed))
        records += summed + CRC_SIZE


cdef record_state record_at(const char* data, size_t size, size_t at, uint32_t seed, record_t* r) noexcept nogil:
    """Reads and checks the record that begins at `at`; `r` is set where it is good."""
    cdef size_t left = size - at, length
    if left == 0:
        return RECORD_END
    if left < LENGTH_SIZE:
        return RECORD_SHORT
    length = take32(data + at)
    if length <= FIELDS_SIZE:
        return RECORD_LENGTH
    if left < LENGTH_SIZE + length + CRC_SIZE:
        return RECORD_SHORT
    if crc32(seed, data + at, LENGTH_SIZE + length) != take32(data + at + LENGTH_SIZE + length):
        return RECORD_CRC
    r.offset = take64(data + at + 4)
    r.ms = take64(data + at + 12)
    r.database = take32(data + at + 20)
    r.unsynced = take32(data + at + 24)
    r.resp = data + at + HEAD_SIZE
    r.resp_size = length - FIELDS_SIZE
    r.end = at + LENGTH_SIZE + length + CRC_SIZE
    return RECORD_GOOD


cdef size_t next_record(const char* data, size_t size, size_t at, uint32_t seed, int64_t least,
                        record_t* r) noexcept nogil:
    """Finds the next good record at or after `at` whose offset is `least` or more.

    The cheap tests come first: a length that fits, an offset and a database that can be. What passes them by chance is
    refused by the CRC, which holds the segment's salt as well, so that records of other files are not taken for ours.
    """
    cdef size_t length
    cdef int64_t offset
    while at + HEAD_SIZE + CRC_SIZE < size:
        length = take32(data + at)
        if FIELDS_SIZE < length <= size - at - LENGTH_SIZE - CRC_SIZE:
            offset = take64(data + at + 4)
            # A history does not grow by more than a thousand terabytes within one file.
            if least <= offset < least + (<int64_t>1 << 50) and take32(data + at + 20) < <uint32_t>1 << 31:
                if record_at(data, size, at, seed, r) == RECORD_GOOD:
                    return at
        at += 1
    return size


# --- for Python ------------------------------------------------------------------------------------------------------

STATES = {RECORD_GOOD: "good", RECORD_END: "end", RECORD_SHORT: "short", RECORD_LENGTH: "length", RECORD_CRC: "crc"}


def checksum(const unsigned char[::1] data not None, uint32_t crc=0) -> int:
    """The CRC-32 of a buffer, which is not empty; crc: of what stands before it."""
    return crc32(crc, <const char*>&data[0], data.shape[0])


def sealed(bytes resp, int64_t offset, int64_t ms, uint32_t database, uint32_t seed, uint32_t unsynced=0) -> bytes:
    """One record as it stands in a file. resp: one command or more; seed: see segment.Header."""
    cdef bytearray record = bytearray(HEAD_SIZE + len(resp) + CRC_SIZE)
    cdef char* at = record
    memcpy(at + HEAD_SIZE, <const char*>resp, len(resp))
    head_record(at, len(resp), offset, ms, database, unsynced)
    seal_records(at, len(record), seed)
    return bytes(record)


def read_record(const unsigned char[::1] data not None, size_t at, uint32_t seed):
    """(state, record) at a place of a buffer: a word of STATES, and (offset, ms, database, resp, end) where it is good,
    else None. Raises IndexError beyond the buffer."""
    cdef record_t r
    cdef record_state state
    if at > <size_t>data.shape[0]:
        raise IndexError(f"offset {at} of {data.shape[0]} bytes")
    if at == <size_t>data.shape[0]:
        return "end", None
    state = record_at(<const char*>&data[0], data.shape[0], at, seed, &r)
    if state != RECORD_GOOD:
        return STATES[state], None
    return "good", (r.offset, r.ms, r.database, r.resp[:r.resp_size], r.end)


def find_record(const unsigned char[::1] data not None, size_t at, uint32_t seed, int64_t least):
    """Where the next good record begins, at or after `at`, whose offset is at least `least`; None: nowhere."""
    cdef record_t r
    cdef size_t found, size = data.shape[0]
    if at >= size:
        return None
    with nogil:
        found = next_record(<const char*>&data[0], size, at, seed, least, &r)
    return None if found == size else found
