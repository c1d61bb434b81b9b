"""How long things took: how many fell into each of many narrow ranges. Log-linear, as HdrHistogram's.

Each power of two is cut into 32 equal ranges, so the middle of a range is within 1/64 (1.6 %) of all that fell into it;
what is below 32 ns is counted to the nanosecond, what is above 18 minutes as 18 minutes. 9 KiB each.

Written by one thread (or under the GIL), read by all: a sum taken meanwhile is a moment's figure.
"""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.platform cimport rl_bump, rl_msb64

cdef enum:
    STEP_BITS = 5              # ranges of a power of two, as one
    STEPS = 1 << STEP_BITS
    TOP_BITS = 40              # 2^40 ns
    SLOTS = (TOP_BITS - STEP_BITS + 1) * STEPS

cdef struct histogram_t:
    int64_t counts[SLOTS]


cdef inline int slot_of(int64_t ns) noexcept nogil:
    """The range that a duration falls into."""
    cdef int shift
    if ns < 0:
        ns = 0
    elif ns >= <int64_t>1 << TOP_BITS:
        return SLOTS - 1
    shift = rl_msb64(<uint64_t>ns | STEPS) - STEP_BITS
    return (shift << STEP_BITS) + <int>(ns >> shift)


cdef inline void note_time(histogram_t* h, int64_t ns) noexcept nogil:
    rl_bump(&h.counts[slot_of(ns)], 1)


cdef class Histogram:
    """One of its own, or the sum of several."""
    cdef histogram_t sums

    cdef void add(self, const histogram_t* other) noexcept
