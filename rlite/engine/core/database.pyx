# cython: cdivision=True
"""One database as Python handlers see it.

The dispatcher makes a Database for each call, locks the stripes of the call's keys through it, and lets go of them
afterwards. A method that is given a key of another stripe locks it for itself where nothing is held, and refuses
where something is (taking it then would break the order of locks): such a command must lock everything first.
Deadlines are Unix milliseconds here; what is kept is monotonic.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from rlite.engine import errors
from rlite.engine.core.execute cimport CoreCommand, call_t, event_t, log_change
from rlite.engine.core.glob cimport glob_match
from rlite.engine.core.keyspace cimport (
    NEVER, Keyspace, all_stripes, clear_deadline, create, create_value, deadline_of, hash_key, is_logged, keyspace_t, lfu_now, lookup, remove_entry,
    set_deadline, set_value_size, stripe_at, stripe_index, stripe_t, touch, watch_fields,
)
from rlite.engine.core.heap cimport heap_remove
from rlite.engine.core.members cimport hash_t
from rlite.engine.core.platform cimport rl_granted, rl_load, rl_monotonic_ns
from rlite.engine.core.resp cimport arg_t, out_release, out_t, parse_int
from rlite.engine.core.table cimport (
    ENTRY_RAW, ENTRY_TEXT, TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STREAM, TYPE_STRING, TYPE_ZSET, entry_key, entry_t, entry_value, next_random, table_random, table_scan, table_size,
)
from rlite.engine.core.streamlog cimport stream_t
from rlite.engine.core.streamview cimport StreamView, give_groups
from rlite.engine.core.values cimport (
    FULL, copy_value, count_of, encoding_name, free_value, type_name, value_bytes, value_of,
)
from rlite.engine.core.views cimport HashView, ListView, SetView, SortedSetView, View

cdef enum:
    EVENTS = 16                # keyspace events of one call, to begin with
    EMBSTR_MAX = 44            # up to here OBJECT ENCODING says embstr
    LOCK_BUCKETS = 1024        # KEYS lets others in after so many buckets


cdef void collect(void* context, entry_t* e) noexcept nogil:
    cdef collector_t* c = <collector_t*>context
    if c.type_ >= 0 and e.type != c.type_:
        return
    if e.heap_pos and deadline_of(c.s, e) <= c.now_ms:
        return
    if c.pattern != NULL and not glob_match(c.pattern, c.plen, entry_key(e), e.klen, False):
        return
    with gil:
        (<list>c.list_).append(entry_key(e)[:e.klen])


TYPES = {"string": TYPE_STRING, "list": TYPE_LIST, "set": TYPE_SET, "zset": TYPE_ZSET, "hash": TYPE_HASH,
         "stream": TYPE_STREAM}


cdef void adopt_fields(stripe_t* s, entry_t* e) noexcept:
    """Makes a hash that came to a new entry known to its stripe, if fields of it have deadlines."""
    cdef hash_t* h
    if e.encoding == FULL:
        h = <hash_t*>value_of(e)
        h.entry = e
        watch_fields(s, h)


cdef void forget_value(stripe_t* s, entry_t* e) noexcept:
    """Turns an entry whose value has gone elsewhere into a string that is about to be removed."""
    s.entry_bytes -= value_bytes(e)
    e.type = TYPE_STRING
    e.encoding = 0


class KeyspaceBusyError(Exception):
    """A script has held every lock for long; nothing has been done."""


cdef class Database:
    def __cinit__(self, Keyspace keyspace, int index):
        if not 0 <= index < keyspace.ks.databases:
            raise IndexError(f"database {index} of {keyspace.ks.databases}")
        self.keyspace = keyspace
        self.ks = keyspace.ks
        self.index = index
        self.now_ns = rl_monotonic_ns()

    # --- locks ---

    cdef int take(self, uint64_t mask) except -1:
        if not self.keyspace.try_acquire(mask):
            raise KeyspaceBusyError
        return 0

    def lock(self, list keys):
        """Locks the stripes of these keys; call once, before anything else. Ends with `unlock()`.

        Raises KeyspaceBusyError where a script has held them for long.
        """
        cdef uint64_t mask = 0
        cdef bytes key
        for key in keys:
            mask |= <uint64_t>1 << stripe_index(self.ks, self.hash(key))
        self.take(mask)
        self.held = mask

    def lock_all(self):
        """Locks every stripe."""
        self.take(all_stripes(self.keyspace.ks))
        self.held = all_stripes(self.keyspace.ks)

    def unlock(self):
        self.keyspace.release(self.held)
        self.held = 0

    def hold_still(self):
        """Has nothing go for its age that is looked at through this Database (snapshots walk over what is there)."""
        self.now_ns = -<int64_t>NEVER
        self.no_touch = True

    def sibling(self, int index) -> Database:
        """Another database under the same locks (they count for all databases)."""
        cdef Database other = Database(self.keyspace, index)
        other.held = self.held
        other.no_touch = self.no_touch
        return other

    cdef uint64_t enter(self, uint64_t h) except? 0:
        """Makes sure the key's stripe is locked. Returns the mask to let go of again."""
        cdef uint64_t bit = <uint64_t>1 << stripe_index(self.ks, h)
        if self.held & bit:
            return 0
        if self.held:
            raise AssertionError("a handler touched a key that its declaration does not name")
        self.take(bit)
        return bit

    cdef uint64_t hash(self, bytes key) noexcept:
        return hash_key(self.ks, key, len(key))

    cdef stripe_t* stripe(self, uint64_t h) noexcept:
        return stripe_at(self.ks, self.index, stripe_index(self.ks, h))

    cdef entry_t* find(self, bytes key, uint64_t h, bint touched) noexcept:
        cdef stripe_t* s = self.stripe(h)
        cdef entry_t* e = lookup(self.ks, s, h, key, len(key), self.now_ns)
        if e != NULL and touched and not self.no_touch:
            touch(self.ks, s, e, self.now_ns)
        return e

    # --- commands of the core ---

    def run_core(self, CoreCommand command, list args, list positions, int resp, bint noting=False):
        """Runs a command of the core under the locks held. `positions`: where its keys stand in `args`.

        Returns (reply as RESP, whether it is an error, changes made, hits, misses, keyspace events: class, name, key,
        where `noting`); None: it declined, and Python's handler of the command must have it.
        """
        cdef:
            call_t c
            out_t out, effect
            int argc = <int>len(args), i
            int n = <int>len(positions)
            bytes name, arg
            bint fine
        memset(&c, 0, sizeof(c))
        memset(&out, 0, sizeof(out))
        memset(&effect, 0, sizeof(effect))
        c.argv = <arg_t*>malloc(sizeof(arg_t) * argc + sizeof(uint64_t) * (n + 1))
        if c.argv == NULL:
            raise MemoryError
        try:
            for i in range(argc):
                arg = args[i]
                c.argv[i].data, c.argv[i].size = arg, len(arg)
            c.hashes = <const uint64_t*>(c.argv + argc)
            for i in range(n):
                arg = args[positions[i]]
                (<uint64_t*>c.hashes)[i] = hash_key(self.ks, arg, len(arg))
            name = command.name.encode()
            c.ks = self.ks
            c.database = self.index
            c.resp = resp
            c.argc = argc
            c.out = &out
            c.now_ns = rl_monotonic_ns()
            c.no_touch = self.no_touch
            c.name, c.name_size = name, len(name)
            if noting:
                c.events = <event_t*>malloc(EVENTS * sizeof(event_t))
                c.event_cap = EVENTS
                if c.events == NULL:
                    raise MemoryError
            c.effect = &effect if is_logged(self.ks) else NULL
            command.run(&c)
            if c.dirty and c.effect != NULL and not c.declined:
                log_change(&c, NULL, 0)
            if out.failed:
                raise MemoryError
            if c.declined:
                return None
            raised = [(chr(c.events[i].kind), c.events[i].name.decode(), args[positions[c.events[i].key]])
                      for i in range(c.event_count)]
            return out.data[:out.size], c.error != 0, c.dirty, c.hits, c.misses, raised
        finally:
            free(c.argv)
            free(c.events)
            out_release(&out)
            out_release(&effect)

    # --- reading ---

    def exists(self, bytes key) -> bool:
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef bint there = self.find(key, h, False) != NULL
        self.keyspace.release(bit)
        return there

    def type(self, bytes key):
        """The name of the value's type as TYPE gives it; None where the key does not exist."""
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef entry_t* e = self.find(key, h, False)
        name = None if e == NULL else type_name(e.type).decode()
        self.keyspace.release(bit)
        return name

    cdef View view(self, bytes key, int kind, type cls, bint create):
        """A view of the key's value; None where it does not exist, unless `create`."""
        cdef uint64_t h = self.hash(key)
        cdef entry_t* e
        cdef View made
        if not self.held >> stripe_index(self.ks, h) & 1:
            raise AssertionError("a view needs its key locked")
        e = self.find(key, h, True)
        if e == NULL and not create:
            return None
        if e != NULL and e.type != kind:
            raise errors.CommandError(errors.WRONG_TYPE)
        made = cls.__new__(cls)
        made.keyspace = self.keyspace
        made.ks = self.ks
        made.s = self.stripe(h)
        made.e = e
        made.h = h
        made.key = key
        made.now_ns = self.now_ns
        return made

    def list(self, bytes key, bint create=False):
        return self.view(key, TYPE_LIST, ListView, create)

    def hash_(self, bytes key, bint create=False):
        return self.view(key, TYPE_HASH, HashView, create)

    def set_(self, bytes key, bint create=False):
        return self.view(key, TYPE_SET, SetView, create)

    def sorted_set(self, bytes key, bint create=False):
        return self.view(key, TYPE_ZSET, SortedSetView, create)

    def stream(self, bytes key, bint create=False):
        return self.view(key, TYPE_STREAM, StreamView, create)

    def get(self, bytes key):
        """A string's value; None where the key does not exist. Raises WRONGTYPE for another type."""
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef entry_t* e
        cdef bytes value = None
        cdef bint wrong = False
        e = self.find(key, h, True)
        if e != NULL:
            if e.type == TYPE_STRING:
                value = entry_value(e)[:e.vlen]
            else:
                wrong = True
        self.keyspace.release(bit)
        if wrong:
            raise errors.CommandError(errors.WRONG_TYPE)
        return value

    def length(self, bytes key):
        """A string's length in bytes; None where the key does not exist. Raises WRONGTYPE for another type."""
        return self._part(key, 0, 0)[0]

    def read(self, bytes key, int64_t start, int64_t end) -> bytes:
        """The bytes start..end-1 of a string, as far as it has them; no copy is made of the rest."""
        return self._part(key, start, end)[1]

    cdef tuple _part(self, bytes key, int64_t start, int64_t end):
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef entry_t* e = self.find(key, h, True)
        cdef bytes part = b""
        cdef bint wrong = False
        length = None
        if e != NULL:
            if e.type == TYPE_STRING:
                length = e.vlen
                end = min(end, <int64_t>e.vlen)
                start = max(start, <int64_t>0)
                if start < end:
                    part = entry_value(e)[start:end]
            else:
                wrong = True
        self.keyspace.release(bit)
        if wrong:
            raise errors.CommandError(errors.WRONG_TYPE)
        return length, part

    def deadline(self, bytes key):
        """When the key goes, in Unix milliseconds; None: never, or there is no such key."""
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef entry_t* e = self.find(key, h, False)
        cdef int64_t at = NEVER
        if e != NULL:
            at = deadline_of(self.stripe(h), e)
        self.keyspace.release(bit)
        return None if at == NEVER else at + self.ks.wall_offset_ms

    def inspect(self, bytes key):
        """Facts about a key, its order of access left alone: a dict of encoding, idle_ms, frequency, bytes (what the
        allocator granted) and length; None where it does not exist."""
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef entry_t* e = self.find(key, h, False)
        cdef int64_t number
        facts = None
        if e != NULL:
            if e.type != TYPE_STRING:
                encoding = encoding_name(e).decode()
            elif e.flags & ENTRY_RAW or e.vlen > EMBSTR_MAX:
                encoding = "raw"
            elif not e.flags & ENTRY_TEXT and parse_int(entry_value(e), e.vlen, &number):
                encoding = "int"
            else:
                encoding = "embstr"
            facts = {"encoding": encoding, "idle_ms": (self.now_ns - <int64_t>e.stamp) // 1000000,
                     "frequency": lfu_now(self.ks, e, self.now_ns), "bytes": rl_granted(e) + value_bytes(e),
                     "length": e.vlen if e.type == TYPE_STRING else count_of(e.type, e.encoding, value_of(e))}
        self.keyspace.release(bit)
        return facts

    # --- writing ---

    def set(self, bytes key, bytes value, bint keep_ttl=False, bint raw=False):
        """Makes the key hold this string; `raw`: bytes to work on in place, as OBJECT ENCODING then says."""
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef stripe_t* s = self.stripe(h)
        cdef entry_t* e = self.find(key, h, True)
        if e == NULL:
            e = create(self.ks, s, h, key, len(key), len(value), self.now_ns)
        else:
            e = set_value_size(s, h, e, len(value), False)
        if e != NULL:
            memcpy(entry_value(e), <const char*>value, len(value))
            e.flags = ENTRY_RAW if raw else 0
            if not keep_ttl:
                clear_deadline(s, e)
        self.keyspace.release(bit)
        if e == NULL:
            raise MemoryError

    def write(self, bytes key, int64_t offset, bytes data):
        """Writes into a string at `offset`, zero-filling up to there; makes the key where it does not exist.

        Raises WRONGTYPE for another type, and the error of proto-max-bulk-len for a string that would be too long.
        """
        cdef uint64_t h = self.hash(key)
        cdef size_t old = 0, size = offset + len(data)
        cdef uint64_t bit
        cdef stripe_t* s = self.stripe(h)
        cdef entry_t* e
        cdef bint wrong = False
        if <int64_t>size > self.ks.max_string:
            raise errors.CommandError(errors.STRING_TOO_LONG)
        bit = self.enter(h)
        e = self.find(key, h, True)
        if e == NULL:
            e = create(self.ks, s, h, key, len(key), size, self.now_ns)
        elif e.type != TYPE_STRING:
            wrong = True
        else:
            old = e.vlen
            if size > old:
                e = set_value_size(s, h, e, size, True)
        if e != NULL and not wrong:
            if size > old:
                memset(entry_value(e) + old, 0, size - old)
            memcpy(entry_value(e) + offset, <const char*>data, len(data))
            e.flags |= ENTRY_RAW
        self.keyspace.release(bit)
        if wrong:
            raise errors.CommandError(errors.WRONG_TYPE)
        if e == NULL:
            raise MemoryError

    def delete(self, bytes key) -> bool:
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef entry_t* e = self.find(key, h, False)
        if e != NULL:
            remove_entry(self.stripe(h), h, e)
        self.keyspace.release(bit)
        return e != NULL

    def set_deadline(self, bytes key, at) -> bool:
        """Gives an existing key a deadline in Unix milliseconds, or none (None). False: there is no such key."""
        cdef uint64_t h = self.hash(key)
        cdef int64_t when = 0 if at is None else max(0, at) - self.ks.wall_offset_ms
        cdef uint64_t bit = self.enter(h)
        cdef entry_t* e = self.find(key, h, False)
        cdef bint fine = True
        if e != NULL:
            if at is None:
                clear_deadline(self.stripe(h), e)
            else:
                fine = set_deadline(self.stripe(h), e, when)
        self.keyspace.release(bit)
        if not fine:
            raise MemoryError
        return e != NULL

    def set_use(self, bytes key, idle_ms=None, frequency=None):
        """Sets how long ago a key was used, or its LFU counter (RESTORE's IDLETIME and FREQ)."""
        cdef uint64_t h = self.hash(key)
        cdef uint64_t bit = self.enter(h)
        cdef entry_t* e = self.find(key, h, False)
        if e != NULL:
            if idle_ms is not None:
                e.stamp = max(0, rl_monotonic_ns() - idle_ms * 1000000)
            if frequency is not None:
                e.lfu = frequency
        self.keyspace.release(bit)

    def copy(self, bytes source, Database target, bytes name) -> bool:
        """Copies a key, with its deadline, over whatever `name` is in `target`. False: there is no such key."""
        cdef uint64_t h = self.hash(source), to = target.hash(name)
        cdef entry_t* e
        cdef entry_t* made
        cdef int64_t at
        cdef void* value
        cdef stripe_t* s = target.stripe(to)
        if not self.held >> stripe_index(self.ks, h) & 1 or not target.held >> stripe_index(self.ks, to) & 1:
            raise AssertionError("copy needs both keys locked")
        target.delete(name)
        e = self.find(source, h, True)
        if e == NULL:
            return False
        at = deadline_of(self.stripe(h), e)
        if e.type != TYPE_STRING:
            value = copy_value(e)
            made = NULL
            if value != NULL:
                made = create_value(self.ks, s, to, name, len(name), e.type, e.encoding, value, self.now_ns)
                if made == NULL:
                    free_value(e.type, e.encoding, value)
        else:
            made = create(self.ks, s, to, name, len(name), e.vlen, self.now_ns)
        if made == NULL or (at != NEVER and not set_deadline(s, made, at)):
            raise MemoryError
        if e.type == TYPE_STRING:
            memcpy(entry_value(made), entry_value(e), e.vlen)
        elif e.type == TYPE_HASH:
            adopt_fields(s, made)
        elif e.type == TYPE_STREAM and (<stream_t*>value_of(e)).groups != NULL:
            give_groups(s, made, (<object>(<stream_t*>value_of(e)).groups).copied())
        made.flags = e.flags
        made.lfu = e.lfu
        return True

    def rename(self, bytes source, Database target, bytes name) -> bool:
        """Moves a value, with its deadline, over whatever `name` is in `target`. False: there is no such key."""
        cdef uint64_t h = self.hash(source), to = target.hash(name)
        cdef entry_t* e
        cdef entry_t* made
        cdef stripe_t* s = target.stripe(to)
        cdef int64_t at
        cdef int kind, encoding
        cdef void* value
        if not self.held >> stripe_index(self.ks, h) & 1 or not target.held >> stripe_index(self.ks, to) & 1:
            raise AssertionError("rename needs both keys locked")
        target.delete(name)
        e = self.find(source, h, True)
        if e == NULL:
            return False
        if e.type == TYPE_STRING:
            self.copy(source, target, name)
            self.delete(source)
            return True
        at = deadline_of(self.stripe(h), e)
        kind, encoding = e.type, e.encoding
        value = value_of(e)
        made = create_value(self.ks, s, to, name, len(name), kind, encoding, value, self.now_ns)
        if made == NULL:
            raise MemoryError
        made.lfu = e.lfu
        if kind == TYPE_HASH and encoding == FULL and (<hash_t*>value).heap_pos:
            heap_remove(&self.stripe(h).fields, <entry_t*>value)
        # The old entry keeps an empty value of its own for the moment until it is removed.
        forget_value(self.stripe(h), e)
        remove_entry(self.stripe(h), h, e)
        if kind == TYPE_HASH:
            adopt_fields(s, made)
        if at != NEVER and not set_deadline(s, made, at):
            raise MemoryError
        return True

    # --- the whole database ---

    cdef int _all_or_none(self) except -1:
        if self.held and self.held != all_stripes(self.keyspace.ks):
            raise AssertionError("a handler that walks the keyspace must lock everything or nothing")
        return 0

    def flush(self, bint everything=False):
        """Empties this database, or all. Returns the Grave with what was there; its `bury()` frees it."""
        self._all_or_none()
        return self.keyspace.flush(-1 if everything else self.index, self.held)

    def swap(self, int a, int b):
        """Exchanges two databases."""
        self._all_or_none()
        self.keyspace.swap(a, b, self.held)

    def exchange(self, Keyspace other not None):
        """As `Keyspace.exchange`, under the locks that are held."""
        self._all_or_none()
        self.keyspace.trade(other, self.held)

    # --- walking ---

    def random_key(self):
        """Any live key; None where the database is empty."""
        cdef uint64_t state = <uint64_t>rl_monotonic_ns() | 1
        cdef int i, attempt
        cdef int64_t total, pick, n
        cdef entry_t* e
        cdef stripe_t* s
        cdef uint64_t bit
        for attempt in range(100):     # keys past their deadline may be all that is left for a moment
            total = 0
            for i in range(self.ks.stripes):
                total += rl_load(&stripe_at(self.ks, self.index, i).keys)
            if total == 0:
                return None
            pick = <int64_t>(next_random(&state) % <uint64_t>total)
            for i in range(self.ks.stripes):
                n = rl_load(&stripe_at(self.ks, self.index, i).keys)
                if pick < n:
                    break
                pick -= n
            else:
                continue
            key = None
            bit = (<uint64_t>1 << i) & ~self.held
            self.take(bit)
            s = stripe_at(self.ks, self.index, i)
            e = table_random(&s.table, &state)
            if e != NULL and not (e.heap_pos and deadline_of(s, e) <= self.now_ns // 1000000):
                key = entry_key(e)[:e.klen]
            self.keyspace.release(bit)
            if key is not None:
                return key
        return None

    def scan(self, uint64_t cursor, int64_t count, bytes pattern=None, type_name=None):
        """One step of SCAN: (next cursor, keys). A cursor holds the stripe in its low bits and the table's own above.

        `count` is how many keys to aim for; at most ten times so many buckets are looked at.
        """
        cdef int i, shift = 0
        cdef uint64_t bit, at
        cdef int64_t budget = count * 10
        cdef list found = []
        cdef collector_t c
        while (1 << shift) < self.ks.stripes:
            shift += 1
        self._collector(&c, found, pattern, type_name)
        i = <int>(cursor & <uint64_t>(self.ks.stripes - 1))
        at = cursor >> shift
        while i < self.ks.stripes:
            bit = (<uint64_t>1 << i) & ~self.held
            self.take(bit)
            c.s = stripe_at(self.ks, self.index, i)
            while True:
                at = table_scan(&c.s.table, at, collect, &c)
                budget -= 1
                if at == 0 or budget <= 0 or <int64_t>len(found) >= count:
                    break
            self.keyspace.release(bit)
            if at == 0:
                i += 1
                if i == self.ks.stripes:
                    return 0, found
            if budget <= 0 or <int64_t>len(found) >= count:
                break
        return (at << shift) | <uint64_t>i, found

    def keys(self, bytes pattern=None) -> list:
        """Every live key that matches. Others are let in between, so keys that come or go meanwhile may be missed."""
        cdef list found = []
        cdef uint64_t cursor = 0
        cdef list some
        while True:
            cursor, some = self.scan(cursor, LOCK_BUCKETS, pattern)
            found += some
            if cursor == 0:
                break
        # A table that shrinks while it is walked may show a key twice.
        return found if len(set(found)) == len(found) else list(dict.fromkeys(found))

    cdef void _collector(self, collector_t* c, list found, bytes pattern, type_name) except *:
        c.list_ = <void*>found
        c.ks = self.ks
        c.now_ms = self.now_ns // 1000000
        c.pattern = NULL
        c.plen = 0
        if pattern is not None and pattern != b"*":
            c.pattern, c.plen = pattern, len(pattern)
        c.type_ = -1 if type_name is None else TYPES.get(type_name, 255)
