# cython: cdivision=True
"""Histograms of durations as Python reads them: sums of those that threads keep, and their percentiles."""
from libc.stdint cimport int64_t
from libc.string cimport memset

from rlite.engine.core.platform cimport rl_load


cdef int64_t floor_of(int slot) noexcept nogil:
    """Where a range begins (ns). The one behind the last tells where that ends."""
    cdef int shift = max((slot >> STEP_BITS) - 1, 0)
    return <int64_t>(slot - (shift << STEP_BITS)) << shift


cdef class Histogram:
    cdef void add(self, const histogram_t* other) noexcept:
        cdef int i
        for i in range(SLOTS):
            self.sums.counts[i] += rl_load(&other.counts[i])

    def record(self, int64_t ns):
        """Counts one duration."""
        note_time(&self.sums, ns)

    def clear(self):
        memset(&self.sums, 0, sizeof(histogram_t))

    def merge(self, Histogram other not None):
        """Adds what another has counted."""
        self.add(&other.sums)

    @property
    def total(self):
        """How many durations were counted."""
        cdef int i
        cdef int64_t found = 0
        for i in range(SLOTS):
            found += rl_load(&self.sums.counts[i])
        return found

    def percentiles(self, wanted):
        """For each percentage (0 to 100, in any order) the nanoseconds that so many did not exceed, as the middle of
        the range it falls into: within 1.6 %. Zeros where nothing was counted."""
        cdef int i
        cdef int64_t seen = 0, total = self.total, target
        found = {}
        asked = sorted(set(wanted))
        i = 0
        for each in asked:
            target = max(<int64_t>(<double>each / 100.0 * <double>total + 0.5), <int64_t>1)
            while total and seen + self.sums.counts[i] < target and i < SLOTS - 1:
                seen += self.sums.counts[i]
                i += 1
            found[each] = (<double>floor_of(i) + <double>(floor_of(i + 1) - 1)) / 2 if total else 0.0
        return [found[each] for each in wanted]

    def below(self, bounds):
        """For each bound (ns, rising) how many durations were shorter. Exact where a range begins there: below 64 ns,
        and for powers of two and their multiples of 1/32."""
        cdef int i = 0
        cdef int64_t seen = 0
        found = []
        for bound in bounds:
            while i < SLOTS and floor_of(i + 1) <= <int64_t>bound:
                seen += self.sums.counts[i]
                i += 1
            found.append(seen)
        return found
