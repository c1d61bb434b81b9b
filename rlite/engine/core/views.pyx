# cython: cdivision=True
"""Views: lists, hashes, sets and sorted sets with the methods that handlers need.

A view of a key that does not exist is empty, and makes the key when something is added; one whose last element goes
removes it. Each change is booked at once.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from rlite.engine.core.glob cimport glob_match
from rlite.engine.core.hashes cimport hash_delete, hash_empty, hash_get, hash_len, hash_set, hash_unpack
from rlite.engine.core.intset cimport is_at, is_count
from rlite.engine.core.keyspace cimport NEVER, create_value, remove_entry, settle, watch_fields
from rlite.engine.core.lists cimport (
    list_empty, list_insert, list_len, list_push, list_remove, list_remove_range, list_replace, list_seek, list_shrunk,
    list_step,
)
from rlite.engine.core.members cimport (
    field_key, field_t, field_value, fields_deadline, fields_find, fields_persist, hash_t, is_hidden, member_key, member_t, set_t,
)
from rlite.engine.core.packed cimport END, byte, lp_equals, lp_first, lp_next, lp_read, needle_init, needle_t, piece_t
from rlite.engine.core.platform cimport rl_monotonic_ns
from rlite.engine.core.quicklist cimport spot_t
from rlite.engine.core.resp cimport format_int
from rlite.engine.core.sets cimport set_add, set_empty, set_has, set_len, set_random, set_remove
from rlite.engine.core.skiplist cimport node_key, node_t, zset_t
from rlite.engine.core.table cimport (
    TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_ZSET, entry_t, next_random, table_each, table_random, table_scan, table_t,
)
from rlite.engine.core.values cimport FULL, INTSET, PACKED, count_of, free_value, value_bytes, value_of
from rlite.engine.core.zsets cimport (
    parse_double, seat_ok, seat_read, seat_t, zset_at, zset_below, zset_empty, zset_len, zset_lex_below, zset_rank,
    zset_remove, zset_remove_at, zset_score, zset_set, zset_step,
)

cdef uint64_t dice = <uint64_t>rl_monotonic_ns() | 1


def parse_score(bytes text):
    """A score or weight as Redis reads it; None for what is none."""
    cdef double v
    return v if parse_double(text, len(text), &v) else None


cdef inline bytes piece_bytes(piece_t* piece):
    return piece.data[:piece.size]


cdef class View:
    def __len__(self):
        return 0 if self.e == NULL else count_of(self.e.type, self.e.encoding, value_of(self.e))

    cdef int _make(self, int kind, int encoding, void* value) except -1:
        if value != NULL:
            self.e = create_value(self.ks, self.s, self.h, self.key, len(self.key), kind, encoding, value, self.now_ns)
            if self.e == NULL:
                free_value(kind, encoding, value)
        if self.e == NULL:
            raise MemoryError
        return 0

    cdef int _settle(self, int64_t before) except -1:
        """Books a change; the key goes with its last element."""
        settle(self.s, self.e, before)
        if count_of(self.e.type, self.e.encoding, value_of(self.e)) == 0:
            remove_entry(self.s, self.h, self.e)
            self.e = NULL
        return 0

    def clear(self):
        """Removes the key."""
        if self.e != NULL:
            remove_entry(self.s, self.h, self.e)
            self.e = NULL


# --- lists -----------------------------------------------------------------------------------------------------------

cdef class ListView(View):
    cdef int _open(self) except -1:
        cdef int encoding
        cdef void* value
        if self.e == NULL:
            value = list_empty(&encoding)
            self._make(TYPE_LIST, encoding, value)
        return 0

    def push(self, items, bint left):
        """Adds items, one after the other, at the left or the right end."""
        cdef bytes item
        cdef int64_t before
        cdef bint fine = True
        if not items:
            return
        self._open()
        before = value_bytes(self.e)
        for item in items:
            fine = list_push(self.ks, self.e, left, item, len(item))
            if not fine:
                break
        self._settle(before)
        if not fine:
            raise MemoryError

    def pop(self, bint left):
        """Removes an end and returns it; None where the list is empty."""
        cdef int64_t before
        cdef spot_t s
        cdef piece_t piece
        if self.e == NULL:
            return None
        before = value_bytes(self.e)
        s = list_seek(self.e, 0 if left else -1)
        lp_read(s.at, &piece)
        item = piece_bytes(&piece)
        list_remove(self.e, s)
        if list_len(self.e):
            list_shrunk(self.ks, self.e)
        self._settle(before)
        return item

    def index(self, int64_t at):
        """The element at an index (negative: from the end); None where there is none."""
        cdef spot_t s
        cdef piece_t piece
        if self.e == NULL:
            return None
        s = list_seek(self.e, at)
        if s.at == NULL:
            return None
        lp_read(s.at, &piece)
        return piece_bytes(&piece)

    def set(self, int64_t at, bytes item) -> bool:
        """Replaces the element at an index. False: there is none."""
        cdef int64_t before
        cdef spot_t s
        cdef bint fine
        if self.e == NULL:
            return False
        s = list_seek(self.e, at)
        if s.at == NULL:
            return False
        before = value_bytes(self.e)
        fine = list_replace(self.ks, self.e, s, item, len(item))
        if fine:
            list_shrunk(self.ks, self.e)
        self._settle(before)
        if not fine:
            raise MemoryError
        return True

    def range(self, int64_t start, int64_t stop) -> list:
        """The elements start..stop-1, as far as there are any."""
        cdef list found = []
        cdef spot_t s
        cdef piece_t piece
        cdef int64_t i
        stop = min(stop, <int64_t>len(self))
        if self.e == NULL or start >= stop:
            return found
        s = list_seek(self.e, start)
        for i in range(start, stop):
            lp_read(s.at, &piece)
            found.append(piece_bytes(&piece))
            if i + 1 < stop:
                list_step(&s, True)
        return found

    def insert(self, bytes pivot, bytes item, bint after) -> bool:
        """Puts an element beside the first that equals `pivot`. False: there is none."""
        cdef int64_t before
        cdef spot_t s
        cdef needle_t needle
        cdef bint fine
        if self.e == NULL:
            return False
        needle_init(&needle, pivot, len(pivot))
        s = list_seek(self.e, 0)
        while s.at != NULL and not lp_equals(s.at, &needle):
            list_step(&s, True)
        if s.at == NULL:
            return False
        before = value_bytes(self.e)
        fine = list_insert(self.ks, self.e, s, after, item, len(item))
        self._settle(before)
        if not fine:
            raise MemoryError
        return True

    def remove(self, bytes item, int64_t count) -> int:
        """Removes elements that equal `item`: the first `count`, the last -`count`, or all (0). Returns how many."""
        cdef int64_t before, n = 0, i, size
        cdef spot_t s
        cdef needle_t needle
        if self.e == NULL:
            return 0
        needle_init(&needle, item, len(item))
        before = value_bytes(self.e)
        if count >= 0:
            s = list_seek(self.e, 0)
            while s.at != NULL:
                if lp_equals(s.at, &needle):
                    s = list_remove(self.e, s)
                    n += 1
                    if n == count or list_len(self.e) == 0:
                        break
                else:
                    list_step(&s, True)
        else:
            count = -count
            i = list_len(self.e) - 1
            s = list_seek(self.e, i)
            while i >= 0:
                if lp_equals(s.at, &needle):
                    list_remove(self.e, s)
                    n += 1
                    i -= 1
                    if n == count or i < 0:
                        break
                    s = list_seek(self.e, i)
                else:
                    i -= 1
                    if i >= 0:
                        list_step(&s, False)
        if list_len(self.e):
            list_shrunk(self.ks, self.e)
        self._settle(before)
        return n

    def trim(self, int64_t start, int64_t stop):
        """Keeps the elements start..stop-1 only."""
        cdef int64_t before, n
        if self.e == NULL:
            return
        before = value_bytes(self.e)
        n = list_len(self.e)
        if start >= stop or start >= n:
            self.clear()
            return
        if stop < n:
            list_remove_range(self.e, stop, n - stop)
        list_remove_range(self.e, 0, start)
        list_shrunk(self.ks, self.e)
        self._settle(before)

    def positions(self, bytes item, int64_t rank, int64_t count, int64_t most) -> list:
        """Indexes of elements that equal `item`, from the rank-th match on (negative: from the end), up to `count`
        (0: all), looking at `most` elements (0: all)."""
        cdef list found = []
        cdef spot_t s
        cdef needle_t needle
        cdef int64_t n, i, seen = 0, matches = 0
        cdef bint forward = rank > 0
        if self.e == NULL:
            return found
        needle_init(&needle, item, len(item))
        n = list_len(self.e)
        i = 0 if forward else n - 1
        s = list_seek(self.e, i)
        while 0 <= i < n and (most == 0 or seen < most):
            if lp_equals(s.at, &needle):
                matches += 1
                if matches >= (rank if forward else -rank):
                    found.append(i)
                    if count and <int64_t>len(found) == count:
                        break
            seen += 1
            i += 1 if forward else -1
            if 0 <= i < n:
                list_step(&s, forward)
        return found


# --- walking tables ----------------------------------------------------------------------------------------------------

cdef struct gather_t:
    void* found                # a list; visits run with the GIL
    const char* pattern
    size_t plen
    hash_t* hash               # of fields


cdef void gather_member(void* context, entry_t* item) noexcept nogil:
    cdef gather_t* g = <gather_t*>context
    cdef member_t* m = <member_t*>item
    if g.pattern == NULL or glob_match(g.pattern, g.plen, member_key(m), m.klen, False):
        with gil:
            (<list>g.found).append(member_key(m)[:m.klen])


cdef void gather_field(void* context, entry_t* item) noexcept nogil:
    cdef gather_t* g = <gather_t*>context
    cdef field_t* f = <field_t*>item
    if not is_hidden(g.hash, f) and (g.pattern == NULL or glob_match(g.pattern, g.plen, field_key(f), f.klen, False)):
        with gil:
            (<list>g.found).append((field_key(f)[:f.klen], field_value(f)[:f.vlen]))


cdef void gather_node(void* context, entry_t* item) noexcept nogil:
    cdef gather_t* g = <gather_t*>context
    cdef node_t* n = <node_t*>item
    if g.pattern == NULL or glob_match(g.pattern, g.plen, node_key(n), n.klen, False):
        with gil:
            (<list>g.found).append((node_key(n)[:n.klen], n.score))


cdef uint64_t scan_table(table_t* t, uint64_t cursor, int64_t count, bytes pattern, list found, object visit_kind) except? 0:
    cdef gather_t g
    cdef int64_t budget = count * 10
    g.found = <void*>found
    g.pattern = NULL
    g.plen = 0
    if pattern is not None:
        g.pattern, g.plen = pattern, len(pattern)
    while True:
        if visit_kind == TYPE_SET:
            cursor = table_scan(t, cursor, gather_member, &g)
        elif visit_kind == TYPE_HASH:
            g.hash = <hash_t*>t        # it begins with its table
            cursor = table_scan(t, cursor, gather_field, &g)
        else:
            cursor = table_scan(t, cursor, gather_node, &g)
        budget -= 1
        if cursor == 0 or budget <= 0 or <int64_t>len(found) >= count:
            return cursor


cdef list matching(list pairs, bytes pattern, bint paired):
    cdef bytes name
    cdef list found = []
    if pattern is None:
        return pairs
    for item in pairs:
        name = item[0] if paired else item
        if glob_match(pattern, len(pattern), name, len(name), False):
            found.append(item)
    return found


# --- hashes ------------------------------------------------------------------------------------------------------------

cdef class HashView(View):
    def __len__(self):
        return 0 if self.e == NULL else hash_len(self.e)

    cdef int _open(self) except -1:
        cdef int encoding
        cdef void* value
        if self.e == NULL:
            value = hash_empty(&encoding)
            self._make(TYPE_HASH, encoding, value)
        return 0

    def get(self, bytes field):
        """A field's value; None where there is no such field."""
        cdef piece_t value
        if self.e == NULL or not hash_get(self.e, field, len(field), &value):
            return None
        return piece_bytes(&value)

    def set(self, bytes field, bytes value, bint keep_ttl=False) -> bool:
        """Gives a field a value; its deadline goes unless `keep_ttl`. True: the field is new."""
        cdef int64_t before
        cdef int made
        self._open()
        before = value_bytes(self.e)
        made = hash_set(self.ks, self.s, self.e, field, len(field), value, len(value), keep_ttl)
        self._settle(before)
        if made < 0:
            raise MemoryError
        return made == 1

    def delete(self, bytes field) -> bool:
        cdef int64_t before
        cdef bint found
        if self.e == NULL:
            return False
        before = value_bytes(self.e)
        found = hash_delete(self.s, self.e, field, len(field))
        self._settle(before)
        return found

    def items(self) -> list:
        """All (field, value) pairs."""
        cdef list found = []
        cdef gather_t g
        cdef piece_t field, value
        cdef byte* at
        if self.e == NULL:
            return found
        if self.e.encoding == FULL:
            g.found = <void*>found
            g.pattern = NULL
            g.hash = <hash_t*>value_of(self.e)
            table_each(&g.hash.table, gather_field, &g)
            return found
        at = lp_first(<byte*>value_of(self.e))
        while at[0] != END:
            lp_read(at, &field)
            at = lp_next(at)
            lp_read(at, &value)
            at = lp_next(at)
            found.append((piece_bytes(&field), piece_bytes(&value)))
        return found

    def random(self):
        """Any (field, value) pair; None where the hash is empty."""
        cdef field_t* f
        cdef hash_t* h
        if self.e == NULL:
            return None
        if self.e.encoding == FULL:
            h = <hash_t*>value_of(self.e)
            f = <field_t*>table_random(&h.table, &dice)
            while is_hidden(h, f):       # not all are, or nobody would see the hash
                f = <field_t*>table_random(&h.table, &dice)
            return field_key(f)[:f.klen], field_value(f)[:f.vlen]
        pairs = self.items()
        return pairs[next_random(&dice) % <uint64_t>len(pairs)]

    def scan(self, uint64_t cursor, int64_t count, bytes pattern=None):
        """One step of HSCAN: (next cursor, pairs). A small hash comes whole."""
        cdef list found = []
        if self.e == NULL:
            return 0, found
        if self.e.encoding != FULL:
            return 0, matching(self.items(), pattern, True)
        cursor = scan_table(&(<hash_t*>value_of(self.e)).table, cursor, count, pattern, found, TYPE_HASH)
        return cursor, found

    def deadline(self, bytes field):
        """When a field goes, in Unix milliseconds; None: never, or there is no such field."""
        cdef field_t* f
        cdef hash_t* h
        if self.e == NULL or self.e.encoding != FULL:
            return None
        h = <hash_t*>value_of(self.e)
        f = fields_find(h, field, len(field))
        if f == NULL or not f.heap_pos:
            return None
        return h.deadlines.slots[f.heap_pos - 1].at + self.ks.wall_offset_ms

    def set_deadline(self, bytes field, at) -> bool:
        """Gives a field a deadline in Unix milliseconds, or none (None). False: there is no such field."""
        cdef field_t* f
        cdef hash_t* h
        cdef int64_t before
        cdef bint fine = True
        cdef piece_t value
        if self.e == NULL or not hash_get(self.e, field, len(field), &value):
            return False
        before = value_bytes(self.e)
        h = hash_unpack(self.ks, self.e)
        if h != NULL:
            f = fields_find(h, field, len(field))
            h.entry = self.e
            if at is None:
                fields_persist(h, f)
            else:
                fine = fields_deadline(h, f, max(0, at) - self.ks.wall_offset_ms)
            fine = watch_fields(self.s, h) and fine
        self._settle(before)
        if h == NULL or not fine:
            raise MemoryError
        return True


# --- sets --------------------------------------------------------------------------------------------------------------

cdef class SetView(View):
    cdef int _open(self, bytes first, int64_t hint) except -1:
        cdef int encoding = 0
        cdef void* value
        if self.e == NULL:
            value = set_empty(self.ks, first, len(first), hint, &encoding)
            self._make(TYPE_SET, encoding, value)
        return 0

    def has(self, bytes member) -> bool:
        return self.e != NULL and set_has(self.e, member, len(member))

    def add(self, members) -> int:
        """Adds members; returns how many are new."""
        cdef bytes member
        cdef int64_t before, n = 0
        cdef int made = 0
        if not members:
            return 0
        self._open(next(iter(members)), len(members))
        before = value_bytes(self.e)
        for member in members:
            made = set_add(self.ks, self.e, member, len(member))
            if made < 0:
                break
            n += made
        self._settle(before)
        if made < 0:
            raise MemoryError
        return n

    def remove(self, bytes member) -> bool:
        cdef int64_t before
        cdef bint found
        if self.e == NULL:
            return False
        before = value_bytes(self.e)
        found = set_remove(self.e, member, len(member))
        self._settle(before)
        return found

    def members(self) -> list:
        cdef list found = []
        cdef gather_t g
        cdef piece_t piece
        cdef byte* at
        cdef uint32_t i
        if self.e == NULL:
            return found
        if self.e.encoding == FULL:
            g.found = <void*>found
            g.pattern = NULL
            table_each(&(<set_t*>value_of(self.e)).table, gather_member, &g)
        elif self.e.encoding == INTSET:
            at = <byte*>value_of(self.e)
            for i in range(is_count(at)):
                found.append(b"%d" % is_at(at, i))
        else:
            at = lp_first(<byte*>value_of(self.e))
            while at[0] != END:
                lp_read(at, &piece)
                found.append(piece_bytes(&piece))
                at = lp_next(at)
        return found

    def random(self):
        """Any member; None where the set is empty."""
        cdef piece_t piece
        if self.e == NULL:
            return None
        set_random(self.e, &dice, &piece)
        return piece_bytes(&piece)

    def scan(self, uint64_t cursor, int64_t count, bytes pattern=None):
        """One step of SSCAN: (next cursor, members). A small set comes whole."""
        cdef list found = []
        if self.e == NULL:
            return 0, found
        if self.e.encoding != FULL:
            return 0, matching(self.members(), pattern, False)
        cursor = scan_table(&(<set_t*>value_of(self.e)).table, cursor, count, pattern, found, TYPE_SET)
        return cursor, found


# --- sorted sets -------------------------------------------------------------------------------------------------------

cdef class SortedSetView(View):
    def score(self, bytes member):
        cdef double score
        if self.e == NULL or not zset_score(self.e, member, len(member), &score):
            return None
        return score

    def add(self, bytes member, double score) -> bool:
        """Gives a member its score. True: the member is new."""
        cdef int64_t before
        cdef int made, encoding = 0
        cdef void* value
        if self.e == NULL:
            value = zset_empty(self.ks, len(member), &encoding)
            self._make(TYPE_ZSET, encoding, value)
        before = value_bytes(self.e)
        made = zset_set(self.ks, self.e, member, len(member), score)
        self._settle(before)
        if made < 0:
            raise MemoryError
        return made == 1

    def remove(self, bytes member) -> bool:
        cdef int64_t before
        cdef bint found
        if self.e == NULL:
            return False
        before = value_bytes(self.e)
        found = zset_remove(self.e, member, len(member))
        self._settle(before)
        return found

    def rank(self, bytes member):
        """Its place from 0, lowest score first; None where there is no such member."""
        cdef double score
        cdef int64_t rank
        if self.e == NULL:
            return None
        rank = zset_rank(self.e, member, len(member), &score)
        return None if rank < 0 else rank

    def items(self, int64_t start=0, int64_t stop=NEVER, bint reverse=False) -> list:
        """The (member, score) pairs of ranks start..stop-1; with `reverse` the last of them first."""
        cdef list found = []
        cdef seat_t seat
        cdef piece_t member
        cdef double score
        cdef int64_t n
        if self.e == NULL:
            return found
        start = max(start, <int64_t>0)
        stop = min(stop, zset_len(self.e))
        n = stop - start
        if n <= 0:
            return found
        seat = zset_at(self.e, stop - 1 if reverse else start)
        while True:
            score = seat_read(&seat, &member)
            found.append((piece_bytes(&member), score))
            n -= 1
            if n == 0:
                return found
            zset_step(self.e, &seat, not reverse)

    def remove_range(self, int64_t start, int64_t stop) -> int:
        """Removes the ranks start..stop-1; returns how many there were."""
        cdef int64_t before, n = 0
        if self.e == NULL:
            return 0
        start = max(start, <int64_t>0)
        stop = min(stop, zset_len(self.e))
        before = value_bytes(self.e)
        while start + n < stop:
            zset_remove_at(self.e, zset_at(self.e, start))
            n += 1
        self._settle(before)
        return n

    def below(self, double score, bint inclusive) -> int:
        """How many members have a lower score (or an equal one, where `inclusive`)."""
        return 0 if self.e == NULL else zset_below(self.e, score, inclusive)

    def lex_below(self, bytes member, bint inclusive) -> int:
        """How many members come before this one in the order of bytes, all scores being equal."""
        return 0 if self.e == NULL else zset_lex_below(self.e, member, len(member), inclusive)

    def random(self):
        """Any (member, score) pair; None where the set is empty."""
        if self.e == NULL:
            return None
        at = next_random(&dice) % <uint64_t>zset_len(self.e)
        return self.items(at, at + 1)[0]

    def scan(self, uint64_t cursor, int64_t count, bytes pattern=None):
        """One step of ZSCAN: (next cursor, pairs). A small set comes whole."""
        cdef list found = []
        if self.e == NULL:
            return 0, found
        if self.e.encoding != FULL:
            return 0, matching(self.items(), pattern, True)
        cursor = scan_table(&(<zset_t*>value_of(self.e)).table, cursor, count, pattern, found, TYPE_ZSET)
        return cursor, found
