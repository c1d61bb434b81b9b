# cython: cdivision=True
"""A stream as Python handlers see it. Ids are pairs of numbers; an entry is (id, [field, value, …])."""
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t

from rlite.engine.core.keyspace cimport create_value, keyspace_t, settle
from rlite.engine.core.streamlog cimport (
    id_t, item_t, item_text, place_t, sl_delete, sl_from, sl_new, sl_next, sl_open, sl_prev, sl_trim_before,
    sl_trim_count, sl_until, stream_t, text_cost, text_get, text_put, text_t,
)
from rlite.engine.core.table cimport TYPE_STREAM, entry_t
from rlite.engine.core.values cimport FULL, value_bytes, value_of


cdef int give_groups(stripe_t* s, entry_t* e, object groups) except -1:
    """Hands a stream its groups, an object with `memory`; they stay with it until it ends."""
    cdef stream_t* to = <stream_t*>value_of(e)
    Py_INCREF(groups)
    to.groups = <void*>groups
    to.groups_bytes = 0
    return 0


cdef inline id_t as_id(tuple pair) except *:
    cdef id_t i
    i.ms, i.seq = pair
    return i


cdef list strings(item_t* item):
    cdef text_t text
    cdef const char* at = item_text(item)
    cdef uint32_t i
    cdef list found = []
    for i in range(item.fields):
        at = text_get(at, &text)
        found.append(text.data[:text.size])
    return found


cdef class StreamView(View):
    cdef int _open(self) except -1:
        if self.e == NULL:
            self._make(TYPE_STREAM, FULL, sl_new())
        return 0

    cdef int _settle(self, int64_t before) except -1:
        settle(self.s, self.e, before)         # a stream without entries is still there
        return 0

    def make(self):
        """Makes the key, with no entries, where there is none."""
        self._open()

    @property
    def last_id(self):
        if self.e == NULL:
            return 0, 0
        return (<stream_t*>value_of(self.e)).last_id.ms, (<stream_t*>value_of(self.e)).last_id.seq

    @property
    def max_deleted(self):
        """The highest id that was deleted on request."""
        cdef stream_t* s
        if self.e == NULL:
            return 0, 0
        s = <stream_t*>value_of(self.e)
        return s.max_deleted.ms, s.max_deleted.seq

    @property
    def added(self):
        """How many entries were ever added."""
        return 0 if self.e == NULL else (<stream_t*>value_of(self.e)).added

    @property
    def blocks(self):
        return 0 if self.e == NULL else (<stream_t*>value_of(self.e)).len

    def adjust(self, *, last_id=None, added=None, max_deleted=None):
        """Sets what XSETID and RESTORE may set."""
        cdef stream_t* s
        self._open()
        s = <stream_t*>value_of(self.e)
        if last_id is not None:
            s.last_id = as_id(last_id)
        if added is not None:
            s.added = added
        if max_deleted is not None:
            s.max_deleted = as_id(max_deleted)

    @property
    def groups(self):
        """The consumer groups' object; None where there never were any."""
        cdef stream_t* s
        if self.e == NULL:
            return None
        s = <stream_t*>value_of(self.e)
        return None if s.groups == NULL else <object>s.groups

    def give_groups(self, groups):
        """Sets the consumer groups' object, once: (it has `memory` and `copied()`)."""
        self._open()
        if (<stream_t*>value_of(self.e)).groups != NULL:
            raise AssertionError("a stream is given its groups once")
        give_groups(self.s, self.e, groups)
        self.count_groups()

    def count_groups(self):
        """Books what the groups take now."""
        cdef stream_t* s = <stream_t*>value_of(self.e)
        cdef int64_t before = value_bytes(self.e)
        cdef int64_t now = (<object>s.groups).memory
        s.bytes += now - s.groups_bytes
        s.groups_bytes = now
        settle(self.s, self.e, before)

    def add(self, tuple id_, list strings_):
        """Appends an entry; the id must be above the last one."""
        cdef stream_t* s
        cdef size_t size = 0
        cdef bytes text
        cdef char* to
        cdef int64_t before
        for text in strings_:
            size += text_cost(len(text))
        self._open()
        s = <stream_t*>value_of(self.e)
        before = value_bytes(self.e)
        to = sl_open(s, as_id(id_), <uint32_t>len(strings_), size, <uint32_t>self.ks.limits.stream_bytes,
                     <uint32_t>self.ks.limits.stream_entries)
        if to == NULL:
            raise MemoryError
        for text in strings_:
            to = text_put(to, text, len(text))
        self._settle(before)

    def range(self, tuple start, tuple end, int64_t count=-1, bint reverse=False) -> list:
        """The entries with start <= id <= end, at most `count` (negative: all); with `reverse` the last first."""
        cdef list found = []
        cdef stream_t* s
        cdef place_t p
        if self.e == NULL or count == 0 or start > end:
            return found
        s = <stream_t*>value_of(self.e)
        p = sl_until(s, as_id(end)) if reverse else sl_from(s, as_id(start))
        while p.item != NULL:
            id_ = (p.item.ms, p.item.seq)
            if (id_ < start) if reverse else (id_ > end):
                break
            found.append((id_, strings(p.item)))
            count -= 1
            if count == 0:
                break
            if reverse:
                sl_prev(s, &p)
            else:
                sl_next(s, &p)
        return found

    def first(self):
        """The first entry; None where there is none."""
        some = self.range((0, 0), (2**64 - 1, 2**64 - 1), 1)
        return some[0] if some else None

    def last(self):
        """The last entry; None where there is none."""
        some = self.range((0, 0), (2**64 - 1, 2**64 - 1), 1, True)
        return some[0] if some else None

    def has(self, tuple id_) -> bool:
        cdef place_t p
        if self.e == NULL:
            return False
        p = sl_from(<stream_t*>value_of(self.e), as_id(id_))
        return p.item != NULL and (p.item.ms, p.item.seq) == id_

    def delete(self, tuple id_) -> bool:
        cdef int64_t before
        cdef bint found
        if self.e == NULL:
            return False
        before = value_bytes(self.e)
        found = sl_delete(<stream_t*>value_of(self.e), as_id(id_))
        self._settle(before)
        return found

    def trim(self, *, maxlen=None, minid=None, bint approx=False, int64_t limit=0) -> int:
        """Removes the oldest entries: down to `maxlen`, or those before `minid`. Returns how many."""
        cdef int64_t before, n
        if self.e == NULL:
            return 0
        before = value_bytes(self.e)
        if maxlen is not None:
            n = sl_trim_count(<stream_t*>value_of(self.e), min(maxlen, 2**62), approx, limit)
        else:
            n = sl_trim_before(<stream_t*>value_of(self.e), as_id(minid), approx, limit)
        self._settle(before)
        return n
