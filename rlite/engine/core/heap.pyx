# cython: cdivision=True
"""A four-ary min-heap of deadlines: half the depth of a binary one, and four children share a cache line."""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

from rlite.engine.core.platform cimport rl_zeroed_free, rl_zeroed_grow
from rlite.engine.core.table cimport entry_t

cdef enum:
    ARITY = 4
    MIN_CAP = 16


cdef inline uint32_t* place_of(const heap_t* h, entry_t* e) noexcept nogil:
    return <uint32_t*>(<char*>e + h.pos_at)


cdef void heap_init(heap_t* h) noexcept nogil:
    cdef entry_t e
    heap_init_items(h, <int>(<char*>&e.heap_pos - <char*>&e))


cdef void heap_init_items(heap_t* h, int pos_at) noexcept nogil:
    h.pos_at = pos_at
    h.slots = NULL
    h.len = 0
    h.cap = 0


cdef void heap_release(heap_t* h) noexcept nogil:
    rl_zeroed_free(h.slots, h.cap * sizeof(deadline_t))
    heap_init_items(h, h.pos_at)


cdef bint set_capacity(heap_t* h, uint32_t cap) noexcept nogil:
    cdef deadline_t* slots = <deadline_t*>rl_zeroed_grow(
        h.slots, h.cap * sizeof(deadline_t), cap * sizeof(deadline_t))
    if slots == NULL:
        return False
    h.slots = slots
    h.cap = cap
    return True


cdef inline void put(heap_t* h, uint32_t i, deadline_t d) noexcept nogil:
    h.slots[i] = d
    place_of(h, d.entry)[0] = i + 1


cdef void sift_up(heap_t* h, uint32_t i, deadline_t d) noexcept nogil:
    cdef uint32_t parent
    while i > 0:
        parent = (i - 1) // ARITY
        if h.slots[parent].at <= d.at:
            break
        put(h, i, h.slots[parent])
        i = parent
    put(h, i, d)


cdef void sift_down(heap_t* h, uint32_t i, deadline_t d) noexcept nogil:
    cdef uint32_t child, best, j
    while True:
        child = i * ARITY + 1
        if child >= h.len:
            break
        best = child
        for j in range(child + 1, min(child + ARITY, h.len)):
            if h.slots[j].at < h.slots[best].at:
                best = j
        if d.at <= h.slots[best].at:
            break
        put(h, i, h.slots[best])
        i = best
    put(h, i, d)


cdef void settle(heap_t* h, uint32_t i, deadline_t d) noexcept nogil:
    """Puts `d` where it belongs, beginning at the vacant slot i."""
    if i > 0 and d.at < h.slots[(i - 1) // ARITY].at:
        sift_up(h, i, d)
    else:
        sift_down(h, i, d)


cdef bint heap_push(heap_t* h, entry_t* e, int64_t at) noexcept nogil:
    cdef deadline_t d
    if h.len == h.cap and not set_capacity(h, h.cap * 2 if h.cap else MIN_CAP):
        return False
    d.at = at
    d.entry = e
    h.len += 1
    sift_up(h, h.len - 1, d)
    return True


cdef void heap_remove(heap_t* h, entry_t* e) noexcept nogil:
    cdef uint32_t i = place_of(h, e)[0] - 1
    cdef deadline_t last
    place_of(h, e)[0] = 0
    h.len -= 1
    if i != h.len:
        last = h.slots[h.len]
        settle(h, i, last)
    if h.len == 0:
        heap_release(h)
    elif h.cap > MIN_CAP and h.len < h.cap // 4:
        set_capacity(h, h.cap // 2)     # on failure the larger array stays


cdef void heap_update(heap_t* h, entry_t* e, int64_t at) noexcept nogil:
    cdef deadline_t d
    d.at = at
    d.entry = e
    settle(h, place_of(h, e)[0] - 1, d)


cdef int64_t due_from(const heap_t* h, uint64_t i, int64_t now) noexcept nogil:
    if i >= h.len or h.slots[i].at > now:
        return 0
    cdef int64_t n = 1
    cdef int j
    for j in range(1, ARITY + 1):
        n += due_from(h, i * ARITY + j, now)
    return n


cdef int64_t heap_due(const heap_t* h, int64_t now) noexcept nogil:
    return due_from(h, 0, now)
