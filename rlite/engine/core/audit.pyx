# cython: cdivision=True
"""The books of a keyspace, counted anew. For tests, and for a moment of doubt."""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.database cimport Database
from rlite.engine.core.heap cimport heap_bytes, heap_t
from rlite.engine.core.keyspace cimport (
    NEVER, PERSISTENT, VOLATILE, Keyspace, all_stripes, hash_key, keyspace_t, stripe_at, stripe_index, stripe_t,
)
from rlite.engine.core.platform cimport rl_granted, rl_popcount
from rlite.engine.core.table cimport (
    TYPE_HASH, TYPE_SET, TYPE_STREAM, TYPE_ZSET, bucket_t, entry_key, entry_t, table_each, table_find, table_size, table_t,
)
from rlite.engine.core.values cimport FULL, audit_value, count_of, value_bytes, value_of


cdef struct audit_t:
    keyspace_t* ks
    stripe_t* s
    int index
    int64_t bytes
    int64_t count
    int64_t volatiles
    int64_t faults


cdef void audit_entry(void* context, entry_t* e) noexcept nogil:
    cdef audit_t* a = <audit_t*>context
    cdef uint64_t h = hash_key(a.ks, entry_key(e), e.klen)
    a.count += 1
    cdef int64_t value = audit_value(e)
    a.bytes += rl_granted(e) + value
    if value < 0 or value != value_bytes(e) or (e.type and count_of(e.type, e.encoding, value_of(e)) == 0 and e.type != TYPE_STREAM):
        a.faults += 1
    if e.heap_pos:
        a.volatiles += 1
        if e.heap_pos > a.s.heap.len or a.s.heap.slots[e.heap_pos - 1].entry != e:
            a.faults += 1
    if stripe_index(a.ks, h) != a.index or table_find(&a.s.table, h, entry_key(e), e.klen) != e:
        a.faults += 1
    if e.newer.older != e or e.older.newer != e:
        a.faults += 1


cdef int64_t length(entry_t* end) noexcept nogil:
    cdef int64_t n = 0
    cdef entry_t* e = end.older
    while e != end:
        n += 1
        e = e.older
    return n


cdef bint ordered(heap_t* h) noexcept nogil:
    cdef unsigned int i
    for i in range(1, h.len):
        if h.slots[(i - 1) // 4].at > h.slots[i].at:
            return False
    return True


def audit(Keyspace keyspace) -> int:
    """Counts everything anew and holds it against the books. For tests and for a moment of doubt.

    Raises AssertionError naming what disagrees. Returns the bytes taken.
    """
    cdef int d, i
    cdef stripe_t* s
    cdef audit_t a
    cdef uint64_t every = all_stripes(keyspace.ks)
    cdef int64_t bytes = 0, of_lock, next
    fault = None
    keyspace.acquire(every)
    for i in range(keyspace.ks.stripes):
        of_lock = 0
        for d in range(keyspace.ks.databases):
            s = stripe_at(keyspace.ks, d, i)
            a.ks, a.s, a.index, a.bytes, a.count, a.volatiles, a.faults = keyspace.ks, s, i, 0, 0, 0, 0
            table_each(&s.table, audit_entry, &a)
            if a.faults:
                fault = f"{a.faults} entries are misplaced, or their values unsound"
            if a.count != table_size(&s.table) or a.count != s.keys:
                fault = f"{a.count} entries, {table_size(&s.table)} in the table, {s.keys} published"
            if a.volatiles != s.heap.len or a.volatiles != s.volatiles:
                fault = f"{a.volatiles} volatile entries, {s.heap.len} in the heap, {s.volatiles} published"
            if a.bytes != s.entry_bytes:
                fault = f"entries take {a.bytes} bytes, {s.entry_bytes} are booked"
            if not ordered(&s.heap):
                fault = "the heap is out of order"
            if length(&s.ends[PERSISTENT]) != a.count - a.volatiles or length(&s.ends[VOLATILE]) != a.volatiles:
                fault = "the lists of access hold other entries than the table"
            next = s.heap.slots[0].at if s.heap.len else <int64_t>NEVER
            if s.fields.len:
                next = min(next, s.fields.slots[0].at)
            if s.next_deadline != next:
                fault = "the next deadline published is not the heap's"
            of_lock += a.bytes + s.table.bytes + heap_bytes(&s.heap) + heap_bytes(&s.fields)
        if of_lock != keyspace.ks.locks[i].bytes:
            fault = f"stripe {i} takes {of_lock} bytes, {keyspace.ks.locks[i].bytes} are published"
        bytes += of_lock
    keyspace.release(every)
    if fault is not None:
        raise AssertionError(fault)
    return bytes


cdef tuple shape(const table_t* t):
    """(items, buckets, buckets by how many items are in them and their children, children, whether it is resized)."""
    cdef int64_t i, buckets = 0, children = 0, n
    cdef int which
    cdef bucket_t* b
    cdef list filled = []
    for which in range(2):
        if t.exp[which] < 0 or t.buckets[which] == NULL:
            continue
        buckets += <int64_t>1 << t.exp[which]
        for i in range(<int64_t>1 << t.exp[which]):
            b = &t.buckets[which][i]
            n = 0
            while True:
                n += rl_popcount(b.meta & 0x7f)
                if not b.meta & 0x80:
                    break
                children += 1
                b = <bucket_t*>b.slot[6]
            while <int64_t>len(filled) <= n:
                filled.append(0)
            filled[n] += 1
    return table_size(t), buckets, filled, children, t.rehash_at >= 0


Shape = tuple                  # as `shape` returns it


def table_shapes(Database db) -> list:
    """How full the tables of a database are, stripe by stripe: a tuple as `shape` returns. Every lock is held."""
    return [shape(&stripe_at(db.ks, db.index, i).table) for i in range(db.ks.stripes)]


def shape_of_value(Database db, bytes key):
    """The same of the table a large hash, set or sorted set has. None: the key has none, or is not there."""
    cdef uint64_t h = db.hash(key)
    cdef entry_t* e = db.find(key, h, False)
    if e == NULL or e.type not in (TYPE_HASH, TYPE_SET, TYPE_ZSET) or e.encoding != FULL:
        return None
    return shape(<table_t*>value_of(e))      # with which all three begin
