"""Records of the log: `[length][data][CRC32]`, checked one by one (docs/internals/log-format.md has every byte).

Pure functions of bytes: no file, no lock, no keyspace. Whoever writes, replays or checks a log does it with these.
"""
from libc.stdint cimport int64_t, uint32_t

from rlite.engine.core.platform cimport rl_le32, rl_le64

cdef enum:
    LENGTH_SIZE = 4
    FIELDS_SIZE = 24           # offset, time, database and how much was unsynced, at the start of data
    HEAD_SIZE = 28             # what stands before the RESP
    CRC_SIZE = 4

cdef enum record_state:
    RECORD_GOOD
    RECORD_END                 # the bytes end here, between records
    RECORD_SHORT               # they end inside a record
    RECORD_LENGTH              # no record is so short
    RECORD_CRC

cdef struct record_t:
    int64_t offset             # of the history, where this record's RESP begins
    int64_t ms                 # Unix time at which it was written
    uint32_t database          # that its first command runs in
    uint32_t unsynced          # bytes right before it that may not have been on disk when it was put together
    const char* resp           # one command or more
    size_t resp_size
    size_t end                 # where the next record begins

cdef uint32_t crc32(uint32_t crc, const char* data, size_t size) noexcept nogil        # zlib's, to be continued
cdef inline uint32_t take32(const char* at) noexcept nogil:
    return rl_le32(at)

cdef inline int64_t take64(const char* at) noexcept nogil:
    return <int64_t>rl_le64(at)

cdef void head_record(char* record, size_t resp_size, int64_t offset, int64_t ms, uint32_t database,
                      uint32_t unsynced) noexcept nogil                     # writes all before its RESP
cdef void grow_record(char* record, size_t resp_size) noexcept nogil       # whose RESP has become longer
cdef void seal_records(char* records, size_t size, uint32_t seed) noexcept nogil       # writes the CRC of each
cdef record_state record_at(const char* data, size_t size, size_t at, uint32_t seed, record_t* r) noexcept nogil
cdef size_t next_record(const char* data, size_t size, size_t at, uint32_t seed, int64_t least,
                        record_t* r) noexcept nogil      # after damage: where a good one begins; `size`: nowhere
