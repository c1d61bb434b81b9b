"""Plain integers that count: one set a thread, summed when somebody asks. Nothing is locked: a sum taken while others
count is a moment's figure, exact once they rest."""
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from rlite.engine.core.errors cimport E_COUNT
from rlite.engine.core.histogram cimport Histogram, histogram_t
from rlite.engine.core.platform cimport rl_published

from rlite.engine.core.errors import TEXTS


cdef class Counters:
    def __cinit__(self, int size):
        self.size = size
        self.tallies = <tally_t*>calloc(size, sizeof(tally_t))
        self.by_error = <int64_t*>calloc(E_COUNT, sizeof(int64_t))
        self.times = <histogram_t**>calloc(size, sizeof(histogram_t*))
        if self.times == NULL or self.tallies == NULL or self.by_error == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int i
        if self.times != NULL:
            for i in range(self.size):
                free(self.times[i])
        free(self.times)
        free(self.tallies)
        free(self.by_error)

    def record(self, int which, int64_t ns, bint failed):
        """Counts one call of a command, from Python."""
        self.count(which, ns, failed)

    def reject(self, int which):
        """Counts a call that was refused before it ran."""
        self.tallies[which].rejected += 1

    def effects(self, int64_t dirty, int64_t hits, int64_t misses):
        self.dirty += dirty
        self.hits += hits
        self.misses += misses

    def tally(self, int which):
        """(calls, ns, failed, rejected) of one command."""
        cdef tally_t* t = &self.tallies[which]
        return t.calls, t.ns, t.failed, t.rejected

    def track(self, bint on):
        """Whether the time of each call is kept for percentiles, too."""
        self.tracking = on

    def add_times(self, int which, Histogram into not None):
        """Adds what calls of one command took."""
        cdef histogram_t* found = <histogram_t*>rl_published(<void**>&self.times[which])
        if found != NULL:
            into.add(found)

    def totals(self):
        return {"commands": self.commands, "hits": self.hits, "misses": self.misses, "dirty": self.dirty,
                "net_in": self.net_in, "net_out": self.net_out, "reads": self.reads, "writes": self.writes}

    def error_counts(self):
        """Error replies by the first word of their text."""
        cdef int i
        found = {}
        for i in range(E_COUNT):
            if self.by_error[i]:
                word = TEXTS[i].partition(" ")[0]
                found[word] = found.get(word, 0) + self.by_error[i]
        return found

    def reset(self):
        """CONFIG RESETSTAT: all but the number of changes."""
        cdef int i
        memset(self.tallies, 0, self.size * sizeof(tally_t))
        for i in range(self.size):
            if self.times[i] != NULL:
                memset(self.times[i], 0, sizeof(histogram_t))
        memset(self.by_error, 0, E_COUNT * sizeof(int64_t))
        self.commands = self.hits = self.misses = 0
        self.net_in = self.net_out = self.reads = self.writes = 0
