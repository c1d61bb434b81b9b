# cython: cdivision=True
"""Which keys are used most, found from a sample of all uses.

Cheap because most uses only count down to the next that is looked at. How far that is follows from the traffic: every one
while there are few, one in some dozens of millions a second, so that what is looked at costs a bounded share of a core.
"""
from libc.math cimport exp
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from rlite.engine.core.keyspace cimport Keyspace, hash_key
from rlite.engine.core.platform cimport rl_monotonic_ns, rl_spin_lock, rl_spin_unlock

cdef enum:
    SLOTS = 2048               # a power of two, four times TRACKED
    CHOOSE_NS = 10000000       # between two choices of the interval: longer than a pipeline, which says little
    CHOOSE = 4096              # uses looked at after which that is not waited for
    A_SECOND = 100000          # uses looked at, as the interval is chosen
    LONGEST_INTERVAL = 4096

cdef double TAU = 10e9         # ns in which what was added comes to weigh a third
cdef double HEAVY = 600.0      # e^600 is still a number


cdef inline double weight(hotlist_t* l, int64_t now_ns) noexcept nogil:
    return exp(<double>(now_ns - l.origin_ns) / TAU)


cdef inline uint64_t draw(hotlist_t* l) noexcept nogil:
    """xorshift64 (Marsaglia 2003)."""
    l.random ^= l.random << 13
    l.random ^= l.random >> 7
    l.random ^= l.random << 17
    return l.random


cdef void rebase(hotlist_t* l, int64_t now_ns) noexcept nogil:
    """Weighs everything anew from now on, before the weights grow out of a double's range."""
    cdef double by = 1.0 / weight(l, now_ns)
    cdef int i
    for i in range(l.n):
        l.uses[i].uses *= by
        l.uses[i].error *= by
        l.uses[i].writes *= by
        l.uses[i].ns *= by
        l.uses[i].bytes *= by
    l.origin_ns = now_ns


cdef void choose_interval(hotlist_t* l, int64_t now_ns) noexcept nogil:
    cdef int64_t took = now_ns - l.chosen_ns
    cdef double wanted = <double>l.looked * l.interval * 1e9 / (<double>max(took, <int64_t>1) * A_SECOND)
    l.interval = <int>min(max(wanted, 1.0), <double>LONGEST_INTERVAL)
    l.looked = 0
    l.chosen_ns = now_ns


cdef inline void put(hotlist_t* l, int place, int which) noexcept nogil:
    l.heap[place] = which
    l.uses[which].place = place


cdef void sink(hotlist_t* l, int place) noexcept nogil:
    """Moves an entry that is used more now to its place, away from the root."""
    cdef int which = l.heap[place], child
    while True:
        child = 2 * place + 1
        if child >= l.n:
            break
        if child + 1 < l.n and l.uses[l.heap[child + 1]].uses < l.uses[l.heap[child]].uses:
            child += 1
        if l.uses[which].uses <= l.uses[l.heap[child]].uses:
            break
        put(l, place, l.heap[child])
        place = child
    put(l, place, which)


cdef void rise(hotlist_t* l, int place) noexcept nogil:
    cdef int which = l.heap[place], above
    while place:
        above = (place - 1) // 2
        if l.uses[l.heap[above]].uses <= l.uses[which].uses:
            break
        put(l, place, l.heap[above])
        place = above
    put(l, place, which)


cdef int slot_of(hotlist_t* l, uint64_t hash, int database, const char* key, size_t klen) noexcept nogil:
    """Where a key stands in `slots`, or would."""
    cdef int at = <int>(hash & (SLOTS - 1))
    cdef use_t* u
    while l.slots[at]:
        u = &l.uses[l.slots[at] - 1]
        if u.hash == hash and u.database == database and u.cut == (klen > LONGEST) and \
                u.klen == <int>min(klen, <size_t>LONGEST) and memcmp(u.key, key, u.klen) == 0:
            break
        at = (at + 1) & (SLOTS - 1)
    return at


cdef void vacate(hotlist_t* l, int which) noexcept nogil:
    """Takes a key out of `slots`; those behind it close up."""
    cdef int at = <int>(l.uses[which].hash & (SLOTS - 1)), behind, home
    while l.slots[at] != which + 1:
        at = (at + 1) & (SLOTS - 1)
    behind = at
    while True:
        behind = (behind + 1) & (SLOTS - 1)
        if not l.slots[behind]:
            break
        home = <int>(l.uses[l.slots[behind] - 1].hash & (SLOTS - 1))
        if ((behind - home) & (SLOTS - 1)) >= ((behind - at) & (SLOTS - 1)):
            l.slots[at] = l.slots[behind]
            at = behind
    l.slots[at] = 0


cdef use_t* entry_for(hotlist_t* l, uint64_t hash, int database, const char* key, size_t klen) noexcept nogil:
    """The key's entry; a new one where it has none, in the place of the least used if the list is full."""
    cdef int at = slot_of(l, hash, database, key, klen), which
    cdef use_t* u
    cdef double inherited = 0
    if l.slots[at]:
        return &l.uses[l.slots[at] - 1]
    if l.n < TRACKED:
        which = l.n
        l.n += 1
        u = &l.uses[which]
        u.uses = 0
        put(l, which, which)
        rise(l, which)
    else:
        which = l.heap[0]
        u = &l.uses[which]
        inherited = u.uses
        vacate(l, which)
        at = slot_of(l, hash, database, key, klen)
    u.hash, u.database = hash, database
    u.klen, u.cut = <int>min(klen, <size_t>LONGEST), klen > LONGEST
    u.uses = u.error = inherited
    u.writes = u.ns = u.bytes = 0
    memcpy(u.key, key, u.klen)
    l.slots[at] = which + 1
    return u


cdef void hot_note(hotlist_t* l, uint64_t hash, int database, const char* key, size_t klen, bint write, int64_t ns,
                   int64_t bytes, int64_t now_ns) noexcept nogil:
    """Counts a use, and all those passed over since the one before, as this key's; draws how many are passed over next."""
    cdef double w
    cdef use_t* u
    rl_spin_lock(&l.lock)
    if <double>(now_ns - l.origin_ns) / TAU > HEAVY:
        rebase(l, now_ns)
    w = weight(l, now_ns) * l.interval
    u = entry_for(l, hash, database, key, klen)
    u.uses += w
    if write:
        u.writes += w
    u.ns += w * <double>ns
    u.bytes += w * <double>bytes
    sink(l, u.place)
    l.looked += 1
    if l.looked >= CHOOSE or now_ns - l.chosen_ns >= CHOOSE_NS:
        choose_interval(l, now_ns)
    l.left = 1 if l.interval == 1 else 1 + <int>(draw(l) % <uint64_t>(2 * l.interval - 1))
    rl_spin_unlock(&l.lock)


cdef class HotKeys:
    """The list of one thread."""

    def __cinit__(self, Keyspace keyspace not None):
        self.keyspace = keyspace
        self.list = <hotlist_t*>calloc(1, sizeof(hotlist_t))
        if self.list == NULL:
            raise MemoryError
        self.list.uses = <use_t*>calloc(TRACKED, sizeof(use_t))
        self.list.heap = <int*>calloc(TRACKED, sizeof(int))
        self.list.slots = <int*>calloc(SLOTS, sizeof(int))
        if self.list.uses == NULL or self.list.heap == NULL or self.list.slots == NULL:
            raise MemoryError
        self.list.random = <uint64_t>rl_monotonic_ns() | 1
        self.reset()

    def __dealloc__(self):
        if self.list != NULL:
            free(self.list.uses)
            free(self.list.heap)
            free(self.list.slots)
        free(self.list)

    def reset(self):
        """Forgets everything."""
        cdef int64_t now = rl_monotonic_ns()
        rl_spin_lock(&self.list.lock)
        self.list.n = self.list.looked = 0
        self.list.interval = 1
        self.list.origin_ns = self.list.since_ns = self.list.chosen_ns = now
        memset(self.list.slots, 0, SLOTS * sizeof(int))
        rl_spin_unlock(&self.list.lock)

    def note(self, int database, list args, positions, bint write, int64_t ns):
        """Counts the uses of a call's keys (its arguments at `positions`), for whoever holds the GIL."""
        cdef bytes key
        cdef int64_t size
        for at in positions:
            self.list.left -= 1
            if self.list.left <= 0:
                key = args[at]
                size = sum(map(len, args))
                hot_note(self.list, hash_key(self.keyspace.ks, key, len(key)), database, key, len(key), write, ns, size,
                         rl_monotonic_ns())

    def uses(self):
        """What is on the list: (database, key, whether that is only its beginning, hash, uses, error, writes, CPU ns,
        bytes), each figure but the hash a rate a second, over about the last ten seconds."""
        cdef hotlist_t* l = self.list
        cdef int64_t now = rl_monotonic_ns()
        cdef int i, n
        cdef double scale
        cdef use_t* u
        cdef use_t* copy = <use_t*>calloc(TRACKED, sizeof(use_t))
        if copy == NULL:
            raise MemoryError
        try:
            rl_spin_lock(&l.lock)
            n = l.n
            memcpy(copy, l.uses, n * sizeof(use_t))
            # All that ever came in at a rate r weighs r times this.
            scale = TAU / 1e9 * (weight(l, now) - weight(l, l.since_ns))
            rl_spin_unlock(&l.lock)
            scale = 1 / scale if scale > 0 else 0
            found = []
            for i in range(n):
                u = &copy[i]
                found.append((u.database, u.key[:u.klen], u.cut, u.hash, u.uses * scale, u.error * scale,
                              u.writes * scale, u.ns * scale, u.bytes * scale))
            return found
        finally:
            free(copy)

    @property
    def interval(self):
        """One in so many uses is looked at."""
        return self.list.interval
