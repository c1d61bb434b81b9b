# cython: cdivision=True
"""The replication stream read back from a segment of the log: what replicas are sent whom memory has nothing for.

Reads through a window (windows.pxd), without the GIL. Every record is checked before a byte of it is given. Knows one
file: what follows what is persistence/history.py.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memset

from rlite.engine.core.logscan cimport crc_of
from rlite.engine.core.records cimport (
    CRC_SIZE, FIELDS_SIZE, HEAD_SIZE, LENGTH_SIZE, RECORD_CRC, RECORD_END, RECORD_GOOD, RECORD_LENGTH, RECORD_SHORT,
    crc32, record_state, take32, take64,
)
from rlite.engine.core.windows cimport WINDOW, window_close, window_look, window_open, window_t

import os

cdef extern from *:
    """
    #include <sys/stat.h>
    static long long rl_size_of(int fd) { struct stat s; return fstat(fd, &s) ? -1 : (long long)s.st_size; }
    """
    int64_t rl_size_of(int fd) nogil

cdef enum state_t:
    GIVEN                      # as many bytes as were asked for
    ENDED                      # all records that are there have been read
    UNFINISHED                 # so they have, and there is a part of one more
    DAMAGED                    # what stands at `place` is no record, or none that could come there
    FAILED                     # a read failed

STATES = {GIVEN: "given", ENDED: "end", UNFINISHED: "short", DAMAGED: "damaged"}
cdef enum:
    PADDING = 10               # what stands where no record does: "\n", which replicas pass over and count
    PASSED = 1 << 26           # bytes of a file that one call passes over, looking for its offset


cdef class SegmentStream:
    """The stream from `offset` on, as far as a segment holds it. The descriptor stays the caller's.

    at: place in the file of a record; before it: an offset at or below which that record begins; seed: see
    segment.Header.
    """
    cdef window_t w
    cdef uint32_t seed
    cdef readonly int64_t offset       # of the next byte that is given
    cdef readonly int64_t place        # in the file, of the record that comes next
    cdef readonly int64_t behind       # offset behind the last record that was read: nothing begins before that
    cdef int64_t resp_at, resp_left    # of the record that is being given
    cdef int64_t gap                   # bytes of padding before it

    def __cinit__(self, int fd, int64_t at, uint32_t seed, int64_t before, int64_t offset):
        if not window_open(&self.w, fd, 0):
            raise MemoryError
        self.seed = seed
        self.place = at
        self.behind = before
        self.offset = offset

    def __dealloc__(self):
        window_close(&self.w)

    cdef record_state next_record(self) noexcept nogil:
        """Checks the record at `place`, and makes ready to give what it holds from `offset` on."""
        cdef size_t have = 0
        cdef int64_t left = self.w.size - self.place, length, first, passed
        cdef uint32_t crc, stored
        cdef const char* p
        if left <= 0:
            return RECORD_END
        p = window_look(&self.w, self.place, HEAD_SIZE, &have)
        if p == NULL or have < HEAD_SIZE:
            return RECORD_SHORT
        length = take32(p)
        if length <= FIELDS_SIZE:
            return RECORD_LENGTH
        if left < LENGTH_SIZE + length + CRC_SIZE:
            return RECORD_SHORT
        first = take64(p + 4)
        if LENGTH_SIZE + length + CRC_SIZE <= WINDOW:
            p = window_look(&self.w, self.place, <size_t>(LENGTH_SIZE + length + CRC_SIZE), &have)
            if p == NULL or <int64_t>have < LENGTH_SIZE + length + CRC_SIZE:
                return RECORD_SHORT
            crc = crc32(self.seed, p, LENGTH_SIZE + <size_t>length)
            stored = take32(p + LENGTH_SIZE + length)
        else:
            crc = crc_of(&self.w, self.place, LENGTH_SIZE + length, self.seed)
            p = window_look(&self.w, self.place + LENGTH_SIZE + length, CRC_SIZE, &have)
            if p == NULL or have < CRC_SIZE:
                return RECORD_SHORT
            stored = take32(p)
        if crc != stored or first < self.behind:
            return RECORD_CRC
        self.behind = first + length - FIELDS_SIZE
        self.resp_at = self.place + HEAD_SIZE
        self.resp_left = length - FIELDS_SIZE
        self.place += LENGTH_SIZE + length + CRC_SIZE
        if self.offset <= first:
            self.gap = first - self.offset
        else:
            passed = min(self.offset - first, self.resp_left)
            self.resp_at += passed
            self.resp_left -= passed
        return RECORD_GOOD

    cdef state_t give(self, char* to, int64_t most, int64_t* given) noexcept nogil:
        cdef record_state state
        cdef size_t have = 0
        cdef int64_t n, until = self.place + PASSED
        cdef const char* p
        while given[0] < most:
            n = min(self.gap, most - given[0])
            if n:
                memset(to + given[0], PADDING, <size_t>n)
                self.gap -= n
            elif self.resp_left:
                p = window_look(&self.w, self.resp_at, 1, &have)
                if p == NULL or have == 0:             # somebody has shortened the file
                    return FAILED if self.w.error else DAMAGED
                n = min(min(<int64_t>have, self.resp_left), most - given[0])
                memcpy(to + given[0], p, <size_t>n)
                self.resp_at += n
                self.resp_left -= n
            else:
                state = self.next_record()
                if self.w.error:
                    return FAILED
                if state == RECORD_END:
                    return ENDED
                if state == RECORD_SHORT:
                    return UNFINISHED
                if state != RECORD_GOOD:
                    return DAMAGED
                if given[0] == 0 and self.place > until:
                    return GIVEN
                continue
            given[0] += n
            self.offset += n
        return GIVEN

    def read(self, int64_t most):
        """(bytes, why it gave no more): up to `most` bytes of the stream. "given": there may be more (of none, too); "end": no more is
        written; "short": there is a part of a record behind them; "damaged": what stands at `place` is no record that
        could come there. Raises OSError where a read fails."""
        cdef bytes out = PyBytes_FromStringAndSize(NULL, most)
        cdef char* to = PyBytes_AS_STRING(out)
        cdef int64_t given = 0, size
        cdef state_t state
        with nogil:
            size = rl_size_of(self.w.fd)
            if size > self.w.size:
                self.w.size = size
            state = self.give(to, most, &given)
        if state == FAILED:
            raise OSError(self.w.error, os.strerror(self.w.error))
        return out if given == most else out[:given], STATES[state]
