# cython: cdivision=True
"""The keyspace: databases of stripes, their locks, expiry, order of access and eviction.

Everything below the class is `nogil` and runs under the lock of the stripe it touches. Commands live elsewhere.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcpy

import os

from rlite.engine.core.heap cimport (
    heap_bytes, heap_due, heap_init, heap_init_items, heap_push, heap_release, heap_remove, heap_update,
)
from rlite.engine.core.log cimport Log, log_gone
from rlite.engine.core.members cimport field_key, field_t, fields_remove, hash_t
from rlite.engine.core.platform cimport (
    rl_add, rl_add_int, rl_bump, rl_ctz64, rl_granted, rl_load, rl_load_int, rl_lock_a_while, rl_monotonic_ns, rl_pause, rl_raise, rl_store, rl_store_int, rl_take,
    rl_usable, rl_wall_ms,
)
from rlite.engine.core.table cimport (
    entry_key, entry_t, next_random, table_each, table_find, table_init, table_insert, table_random,
    TYPE_HASH, table_bucket, table_rehash, table_release, table_remove, table_replace, table_size, table_t,
)
from rlite.engine.core.streamlog cimport take_orphans
from rlite.engine.core.values cimport FULL, bin_len, discard, empty_bin, free_value, set_value, value_bytes, value_of

cdef extern from *:
    """
    static __thread int rl_link;         /* whether this thread is the master's link */
    static inline int rl_link_get(void) { return rl_link; }
    static inline void rl_link_set(int on) { rl_link = on; }
    """
    int rl_link_get() nogil
    void rl_link_set(int on) nogil

cdef enum:
    LFU_START = 5              # a new key's counter: not the first to go, as in Redis
    GREED = 1 << 20            # APPEND and its kind allocate up to this much ahead
    EXPIRE_BATCH = 64          # deadlines handled for one taking of the lock
    SPINS = 40                 # about 5 to 20 microseconds in all
    REHASH_BATCH = 16          # buckets moved for one taking of the lock by the keeper


# --- locks ---------------------------------------------------------------------------------------------------------

cdef inline bint spin_for(keyspace_t* ks, int i) noexcept nogil:
    """Tries for a stripe's lock for a while. Most are held for a fraction of a microsecond, less than going to sleep and
    waking up takes."""
    cdef int turn, n
    for turn in range(SPINS):
        if pthread_mutex_trylock(&ks.locks[i].mutex) == 0:
            return True
        for n in range(turn + 1):
            rl_pause()
    return False


cdef void lock_one(keyspace_t* ks, int i) noexcept nogil:
    if not spin_for(ks, i):
        pthread_mutex_lock(&ks.locks[i].mutex)


cdef void lock_mask(keyspace_t* ks, uint64_t mask) noexcept nogil:
    while mask:
        lock_one(ks, rl_ctz64(mask))
        mask &= mask - 1


cdef bint lock_mask_unless_busy(keyspace_t* ks, uint64_t mask) noexcept nogil:
    """As `lock_mask`, for threads that serve clients: they must be free to hear SCRIPT KILL while a script runs."""
    cdef uint64_t left = mask
    cdef int i
    while left:
        i = rl_ctz64(left)
        if not spin_for(ks, i):
            while rl_lock_a_while(&ks.locks[i].mutex) != 0:
                if rl_load_int(&ks.busy):
                    unlock_mask(ks, mask & ~left)
                    return False
        left &= left - 1
    return True


cdef void unlock_mask(keyspace_t* ks, uint64_t mask) noexcept nogil:
    while mask:
        pthread_mutex_unlock(&ks.locks[rl_ctz64(mask)].mutex)
        mask &= mask - 1


# --- accounts ------------------------------------------------------------------------------------------------------

cdef inline void publish(stripe_t* s) noexcept nogil:
    """Brings the figures that others may read in line with the stripe."""
    cdef int64_t bytes = s.entry_bytes + s.table.bytes + heap_bytes(&s.heap) + heap_bytes(&s.fields)
    cdef int64_t next = s.heap.slots[0].at if s.heap.len else <int64_t>NEVER
    if s.fields.len and s.fields.slots[0].at < next:
        next = s.fields.slots[0].at
    if bytes != s.counted:
        rl_bump(s.total, bytes - s.counted)
        s.counted = bytes
    rl_store(&s.keys, table_size(&s.table))
    rl_store(&s.volatiles, s.heap.len)
    rl_store(&s.next_deadline, next)


cdef int64_t used_memory(keyspace_t* ks) noexcept nogil:
    cdef int64_t sum = rl_load(&ks.other_bytes)
    cdef int i
    for i in range(ks.stripes):
        sum += rl_load(&ks.locks[i].bytes)
    if sum > rl_load(&ks.peak):
        rl_store(&ks.peak, sum)
    return sum


# --- order of access -----------------------------------------------------------------------------------------------

cdef inline void unlink_entry(entry_t* e) noexcept nogil:
    e.newer.older = e.older
    e.older.newer = e.newer


cdef inline void link_newest(entry_t* end, entry_t* e) noexcept nogil:
    e.newer = end
    e.older = end.older
    end.older.newer = e
    end.older = e


cdef int lfu_now(keyspace_t* ks, entry_t* e, int64_t now_ns) noexcept nogil:
    """The counter less one for each `lfu-decay-time` minutes since the last access."""
    cdef int64_t periods
    if ks.lfu_decay_minutes <= 0:
        return e.lfu
    periods = (now_ns - <int64_t>e.stamp) // (<int64_t>60000000000 * ks.lfu_decay_minutes)
    return <int>(e.lfu - periods) if periods < e.lfu else 0


cdef void count_use(keyspace_t* ks, entry_t* e, int64_t now_ns) noexcept nogil:
    """Morris's logarithmic counter: the busier a key, the less likely one more use moves it."""
    cdef int counter = lfu_now(ks, e, now_ns)
    cdef uint64_t state = <uint64_t>now_ns ^ <uint64_t>e
    cdef int above = counter - LFU_START if counter > LFU_START else 0
    if counter < 255 and next_random(&state) % <uint64_t>(<int64_t>above * ks.lfu_log_factor + 1) == 0:
        counter += 1
    e.lfu = <uint8_t>counter


cdef inline bint looks_at_order(int policy_) noexcept nogil:
    return policy_ == ALLKEYS_LRU or policy_ == VOLATILE_LRU


cdef int by_stamp(const void* a, const void* b) noexcept nogil:
    cdef uint64_t x = (<entry_t**>a)[0].stamp, y = (<entry_t**>b)[0].stamp
    return -1 if x < y else 1 if x > y else 0


cdef bint restore_order(stripe_t* s) noexcept nogil:
    """Puts both lists in the order of the stamps. False: no memory, and the lists are as they were."""
    cdef:
        int64_t n
        int which
        entry_t* e
        entry_t** all_
    for which in range(2):
        if s.ends[which].older == &s.ends[which]:
            continue
        all_ = <entry_t**>malloc(table_size(&s.table) * sizeof(entry_t*))
        if all_ == NULL:
            return False
        n = 0
        e = s.ends[which].newer
        while e != &s.ends[which]:
            all_[n] = e
            n += 1
            e = e.newer
        qsort(all_, n, sizeof(entry_t*), by_stamp)
        s.ends[which].newer = s.ends[which].older = &s.ends[which]
        while n:
            n -= 1
            # from the newest on: each goes to the old end
            e = all_[n]
            e.older = &s.ends[which]
            e.newer = s.ends[which].newer
            s.ends[which].newer.older = e
            s.ends[which].newer = e
        free(all_)
    return True


cdef bint order_by_use(keyspace_t* ks) noexcept nogil:
    """Brings the lists in line with stamps that were set by hand, if a policy looks at them."""
    cdef int i
    cdef bint fine = True
    if looks_at_order(ks.policy):
        for i in range(ks.stripes * ks.databases):
            fine = restore_order(ks.stripe_of[i]) and fine
    return fine


cdef void touch(keyspace_t* ks, stripe_t* s, entry_t* e, int64_t now_ns) noexcept nogil:
    """Marks an entry as used now.

    Moving it to the front touches its neighbours' cache lines, so that is done only while a policy looks at the order;
    `restore_order` makes the lists right again when one begins to.
    """
    cdef entry_t* end
    if looks_at_order(ks.policy):
        end = &s.ends[VOLATILE if e.heap_pos else PERSISTENT]
        if end.older != e:
            unlink_entry(e)
            link_newest(end, e)
    elif ks.policy == ALLKEYS_LFU or ks.policy == VOLATILE_LFU:
        count_use(ks, e, now_ns)
    e.stamp = now_ns


# --- keys ----------------------------------------------------------------------------------------------------------

cdef bint is_link() noexcept nogil:
    return rl_link_get()


cdef bint set_link(bint on) noexcept nogil:
    cdef bint before = rl_link_get()
    rl_link_set(on)
    return before


cdef entry_t* lookup(keyspace_t* ks, stripe_t* s, uint64_t h, const char* key, size_t klen,
                     int64_t now_ns) noexcept nogil:
    """The key's entry; NULL where there is none, or where its deadline has passed (it is removed then, unless `following`
    has it kept).

    Fields of a hash that are past theirs are gone too, and the hash with the last of them.
    """
    cdef entry_t* e = table_find(&s.table, h, key, klen)
    cdef int following
    if e != NULL and e.heap_pos and s.heap.slots[e.heap_pos - 1].at <= now_ns // 1000000 and not rl_load_int(&ks.loading):
        following = rl_load_int(&ks.following)
        if following == FOLLOWING_KEPT and not is_link():
            return NULL
        if not following or not is_link():
            note_gone(ks, GONE_EXPIRED, s.database, key, klen)
            remove_entry(s, h, e)
            rl_add(&ks.expired, 1)
            return NULL
    if e != NULL and e.type == TYPE_HASH and e.encoding == FULL and (<hash_t*>value_of(e)).heap_pos:
        return expire_fields(ks, s, h, e, now_ns // 1000000, -1)
    return e


cdef entry_t* expire_fields(keyspace_t* ks, stripe_t* s, uint64_t h, entry_t* e, int64_t now_ms, int most) noexcept nogil:
    """Removes up to `most` fields that are due (negative: all). NULL: the hash went with them.

    Where `following` has them kept, all of them are hidden instead until the next look-up, and NULL hides the hash.
    """
    cdef hash_t* hash = <hash_t*>value_of(e)
    cdef int following
    cdef field_t* f
    cdef int64_t before
    cdef int n = 0
    hash.hidden = 0
    if hash.deadlines.slots[0].at > now_ms or rl_load_int(&ks.loading):
        return e
    following = rl_load_int(&ks.following)
    if following and is_link():
        return e
    if following == FOLLOWING_KEPT:
        hash.hidden_at = now_ms
        hash.hidden = heap_due(&hash.deadlines, now_ms)
        return e if hash.hidden < table_size(&hash.table) else NULL
    before = value_bytes(e)
    while n != most and hash.deadlines.len and hash.deadlines.slots[0].at <= now_ms:
        f = <field_t*>hash.deadlines.slots[0].entry
        if is_logged(ks):
            log_gone(ks.log, s.database, rl_wall_ms(), entry_key(e), e.klen, field_key(f), f.klen)
        fields_remove(hash, f)
        n += 1
    rl_add(&ks.expired_fields, n)
    note_gone(ks, GONE_FIELD, s.database, entry_key(e), e.klen)
    settle(s, e, before)
    if table_size(&hash.table) == 0:
        note_gone(ks, GONE_EMPTIED, s.database, entry_key(e), e.klen)
        remove_entry(s, h, e)
        return NULL
    watch_fields(s, hash)
    return e


cdef bint watch_fields(stripe_t* s, hash_t* h) noexcept nogil:
    """Puts a hash where its next field deadline belongs among those of the stripe. False: no memory."""
    if h.deadlines.len == 0:
        if h.heap_pos:
            heap_remove(&s.fields, <entry_t*>h)
    elif h.heap_pos:
        heap_update(&s.fields, <entry_t*>h, h.deadlines.slots[0].at)
    elif not heap_push(&s.fields, <entry_t*>h, h.deadlines.slots[0].at):
        return False
    publish(s)
    return True


cdef void note_gone(keyspace_t* ks, int why, int database, const char* key, size_t klen) noexcept nogil:
    """Says that a key is about to leave by itself: to the log, and to those who asked to be told (`noting`)."""
    cdef gone_t* grown
    cdef gone_t g
    if (why == GONE_EXPIRED or why == GONE_EVICTED) and is_logged(ks):
        log_gone(ks.log, database, rl_wall_ms(), key, klen, NULL, 0)
    if not rl_load_int(&ks.noting):
        return
    g.why = why
    g.database = database
    g.klen = <uint32_t>klen
    g.key = <char*>malloc(klen + 1)
    if g.key == NULL:
        return
    memcpy(g.key, key, klen)
    pthread_mutex_lock(&ks.gone_mutex)
    if ks.gone_len == ks.gone_cap:
        grown = <gone_t*>realloc(ks.gone, (2 * ks.gone_cap + 64) * sizeof(gone_t))
        if grown == NULL:
            pthread_mutex_unlock(&ks.gone_mutex)
            free(g.key)
            return
        ks.gone = grown
        ks.gone_cap = 2 * ks.gone_cap + 64
    ks.gone[ks.gone_len] = g
    ks.gone_len += 1
    pthread_mutex_unlock(&ks.gone_mutex)


cdef entry_t* create(keyspace_t* ks, stripe_t* s, uint64_t h, const char* key, size_t klen, size_t vlen,
                     int64_t now_ns) noexcept nogil:
    """A new string entry with room for `vlen` bytes, which the caller fills. The key must be absent, or hidden from this
    thread by `following`: what is hidden goes. NULL: no memory."""
    cdef entry_t* e = <entry_t*>malloc(sizeof(entry_t) + klen + vlen)
    cdef entry_t* hidden
    if e == NULL:
        return NULL
    if rl_load_int(&ks.following) == FOLLOWING_KEPT and not is_link():
        hidden = table_find(&s.table, h, key, klen)
        if hidden != NULL:
            remove_entry(s, h, hidden)
    e.stamp = now_ns
    e.heap_pos = 0
    e.klen = <unsigned int>klen
    e.vlen = <unsigned int>vlen
    e.type = 0
    e.flags = 0
    e.lfu = LFU_START
    e.encoding = 0
    memcpy(entry_key(e), key, klen)
    if not table_insert(&s.table, h, e):
        free(e)
        return NULL
    link_newest(&s.ends[PERSISTENT], e)
    s.entry_bytes += rl_granted(e)
    publish(s)
    return e


cdef entry_t* set_value_size(stripe_t* s, uint64_t h, entry_t* e, size_t vlen, bint greedy) noexcept nogil:
    """Makes room for a value of `vlen` bytes, keeping what is there. The entry may move. NULL: no memory, no change.

    `greedy` allocates ahead, for values that grow piece by piece.
    """
    cdef:
        size_t need = sizeof(entry_t) + e.klen + vlen
        bint other = let_go(s, e)
        size_t usable = rl_usable(e)
        size_t before = rl_granted(e)
        uintptr_t former = <uintptr_t>e
        entry_t* moved
    if need <= usable and (greedy or usable - need <= need // 2 + 16):
        e.vlen = <unsigned int>vlen
        if other:
            publish(s)
        return e
    moved = <entry_t*>realloc(e, need + (min(need, <size_t>GREED) if greedy else 0))
    if moved == NULL:
        return NULL
    if <uintptr_t>moved != former:
        moved.newer.older = moved
        moved.older.newer = moved
        if moved.heap_pos:
            s.heap.slots[moved.heap_pos - 1].entry = moved
        table_replace(&s.table, h, former, moved)
    moved.vlen = <unsigned int>vlen
    s.entry_bytes += <int64_t>rl_granted(moved) - <int64_t>before
    publish(s)
    return moved


cdef entry_t* create_value(keyspace_t* ks, stripe_t* s, uint64_t h, const char* key, size_t klen, int kind, int encoding,
                           void* value, int64_t now_ns) noexcept nogil:
    """A new entry that holds this value, whose bytes are counted. NULL: no memory, and the value is the caller's."""
    cdef entry_t* e = create(ks, s, h, key, klen, sizeof(void*), now_ns)
    if e != NULL:
        e.type = <uint8_t>kind
        set_value(e, value, encoding)
        settle(s, e, 0)
    return e


cdef void settle(stripe_t* s, entry_t* e, int64_t before) noexcept nogil:
    s.entry_bytes += value_bytes(e) - before
    publish(s)


cdef bint let_go(stripe_t* s, entry_t* e) noexcept nogil:
    """Ends the value of an entry, unless it is a string; it is one afterwards, of bytes that mean nothing."""
    if e.type == 0:
        return False
    if e.type == TYPE_HASH and e.encoding == FULL and (<hash_t*>value_of(e)).heap_pos:
        heap_remove(&s.fields, <entry_t*>value_of(e))
    s.entry_bytes -= value_bytes(e)
    discard(e.type, e.encoding, value_of(e))
    e.type = 0
    e.encoding = 0
    return True


cdef void remove_entry(stripe_t* s, uint64_t h, entry_t* e) noexcept nogil:
    let_go(s, e)
    if e.heap_pos:
        heap_remove(&s.heap, e)
    unlink_entry(e)
    table_remove(&s.table, h, e)
    s.entry_bytes -= rl_granted(e)
    free(e)
    publish(s)


cdef bint set_deadline(stripe_t* s, entry_t* e, int64_t at_ms) noexcept nogil:
    if e.heap_pos:
        heap_update(&s.heap, e, at_ms)
    else:
        if not heap_push(&s.heap, e, at_ms):
            return False
        unlink_entry(e)
        link_newest(&s.ends[VOLATILE], e)
    publish(s)
    return True


cdef void clear_deadline(stripe_t* s, entry_t* e) noexcept nogil:
    if e.heap_pos:
        heap_remove(&s.heap, e)
        unlink_entry(e)
        link_newest(&s.ends[PERSISTENT], e)
        publish(s)


# --- expiry --------------------------------------------------------------------------------------------------------

cdef int64_t expire_due(keyspace_t* ks, int64_t now_ms, int64_t until_ns) noexcept nogil:
    """Removes every key whose deadline has passed, a few for each taking of a lock, and stops at `until_ns`."""
    cdef:
        int64_t removed = 0
        stripe_t* s
        entry_t* e
        int d, i, n
    if not rl_load_int(&ks.active_expire) or keeps_expired(ks):
        return 0
    for d in range(ks.databases):
        for i in range(ks.stripes):
            s = stripe_at(ks, d, i)
            while rl_load(&s.next_deadline) <= now_ms:
                n = 0
                pthread_mutex_lock(&ks.locks[i].mutex)
                s = stripe_at(ks, d, i)      # SWAPDB may have come between
                while n < EXPIRE_BATCH and s.fields.len and s.fields.slots[0].at <= now_ms:
                    e = (<hash_t*>s.fields.slots[0].entry).entry
                    expire_fields(ks, s, hash_key(ks, entry_key(e), e.klen), e, now_ms, EXPIRE_BATCH)
                    n += EXPIRE_BATCH
                n = 0
                while n < EXPIRE_BATCH and s.heap.len and s.heap.slots[0].at <= now_ms:
                    e = s.heap.slots[0].entry
                    note_gone(ks, GONE_EXPIRED, d, entry_key(e), e.klen)
                    remove_entry(s, hash_key(ks, entry_key(e), e.klen), e)
                    n += 1
                pthread_mutex_unlock(&ks.locks[i].mutex)
                removed += n
                rl_add(&ks.expired, n)
                if rl_monotonic_ns() >= until_ns:
                    return removed
    return removed


cdef void move_tables(keyspace_t* ks) noexcept nogil:
    """Helps tables that are growing or shrinking along, so that an idle one does not stay in two halves."""
    cdef stripe_t* s
    cdef int d, i
    for d in range(ks.databases):
        for i in range(ks.stripes):
            s = stripe_at(ks, d, i)
            if rl_load(&s.keys) == 0 or s.table.rehash_at < 0:    # a stale look costs a turn, no more
                continue
            pthread_mutex_lock(&ks.locks[i].mutex)
            s = stripe_at(ks, d, i)
            table_rehash(&s.table, REHASH_BATCH)
            publish(s)
            pthread_mutex_unlock(&ks.locks[i].mutex)


# --- a stripe's life -------------------------------------------------------------------------------------------------

cdef void init_fields(heap_t* h) noexcept nogil:
    cdef hash_t hash
    heap_init_items(h, <int>(<char*>&hash.heap_pos - <char*>&hash))


cdef void stripe_init(stripe_t* s, const uint64_t* seed, int64_t* total, int database) noexcept nogil:
    cdef int which
    table_init(&s.table, seed)
    heap_init(&s.heap)
    init_fields(&s.fields)
    s.database = database
    for which in range(2):
        s.ends[which].newer = &s.ends[which]
        s.ends[which].older = &s.ends[which]
    s.entry_bytes = 0
    s.counted = 0
    s.total = total
    s.next_deadline = NEVER
    s.keys = 0
    s.volatiles = 0
    s.observers = 0


cdef void trade_lists(entry_t* a, entry_t* b) noexcept nogil:
    """Exchanges the entries of two lists, by their ends."""
    cdef entry_t* end
    cdef int turn
    a.newer, b.newer = b.newer, a.newer
    a.older, b.older = b.older, a.older
    for turn in range(2):
        end = b if turn else a
        if end.newer == (a if turn else b):          # the other one was empty, and pointed at itself
            end.newer = end.older = end
        else:
            end.newer.older = end
            end.older.newer = end


cdef void trade_stripes(stripe_t* a, stripe_t* b) noexcept nogil:
    """Exchanges what two stripes hold (their locks are held). The stripes themselves stay where they are, for some look
    at them without a lock; and so do their observers."""
    cdef int which
    a.table, b.table = b.table, a.table
    a.heap, b.heap = b.heap, a.heap
    a.fields, b.fields = b.fields, a.fields
    a.entry_bytes, b.entry_bytes = b.entry_bytes, a.entry_bytes
    for which in range(2):
        trade_lists(&a.ends[which], &b.ends[which])
    publish(a)
    publish(b)


cdef void free_visited(void* context, entry_t* e) noexcept nogil:
    if e.type:
        free_value(e.type, e.encoding, value_of(e))
    free(e)


cdef class Grave:
    """What FLUSHDB took out of the keyspace, to be freed by `bury()`: at once, or later by another thread."""

    def __cinit__(self, int stripes):
        self.tables = <table_t*>calloc(stripes, sizeof(table_t))
        self.heaps = <heap_t*>calloc(stripes, sizeof(heap_t))
        self.field_heaps = <heap_t*>calloc(stripes, sizeof(heap_t))
        if self.tables == NULL or self.heaps == NULL or self.field_heaps == NULL:
            raise MemoryError

    cdef void take(self, stripe_t* s, const uint64_t* seed) noexcept:
        """Empties a stripe (its lock is held) into this grave."""
        cdef int which
        self.tables[self.filled] = s.table
        self.heaps[self.filled] = s.heap
        self.field_heaps[self.filled] = s.fields
        self.filled += 1
        self.keys += table_size(&s.table)
        table_init(&s.table, seed)
        heap_init(&s.heap)
        init_fields(&s.fields)
        for which in range(2):
            s.ends[which].newer = &s.ends[which]
            s.ends[which].older = &s.ends[which]
        s.entry_bytes = 0
        publish(s)

    def bury(self):
        """Frees everything, without the GIL. May be called again to no effect."""
        cdef int i
        with nogil:
            for i in range(self.filled):
                table_each(&self.tables[i], free_visited, NULL)
                table_release(&self.tables[i])
                heap_release(&self.heaps[i])
                heap_release(&self.field_heaps[i])
            self.filled = 0
        take_orphans()

    def __dealloc__(self):
        if self.filled:
            self.bury()
        free(self.tables)
        free(self.heaps)
        free(self.field_heaps)


cdef class Keyspace:
    """All databases of one server. Thread-safe; each method takes the locks it needs.

    databases: how many; stripes: locks, a power of two up to 64. like: a Keyspace that this one is to be exchanged with:
    its hash and its policies are taken over, and where values stay compact; `maxmemory` and the log are not.
    """

    def __cinit__(self, int databases=16, int stripes=16, Keyspace like=None):
        cdef int d, i
        cdef bytes secret = os.urandom(16)
        if stripes < 1 or stripes > MAX_STRIPES or stripes & (stripes - 1):
            raise ValueError(f"stripes must be a power of two from 1 to {MAX_STRIPES}, not {stripes}")
        if databases < 1:
            raise ValueError(f"databases must be at least 1, not {databases}")
        self.ks = <keyspace_t*>calloc(1, sizeof(keyspace_t))
        if self.ks == NULL:
            raise MemoryError
        self.ks.stripes = stripes
        self.ks.databases = databases
        memcpy(self.ks.seed, <const char*>secret if like is None else <const char*>like.ks.seed, 16)
        self.ks.locks = <lock_t*>calloc(stripes, sizeof(lock_t))
        self.ks.stripe_of = <stripe_t**>calloc(stripes * databases, sizeof(stripe_t*))
        if self.ks.locks == NULL or self.ks.stripe_of == NULL:
            raise MemoryError
        pthread_mutex_init(&self.ks.gone_mutex, NULL)
        for i in range(stripes):
            pthread_mutex_init(&self.ks.locks[i].mutex, NULL)
        for d in range(databases):
            for i in range(stripes):
                self.ks.stripe_of[d * stripes + i] = <stripe_t*>calloc(1, sizeof(stripe_t))
                if self.ks.stripe_of[d * stripes + i] == NULL:
                    raise MemoryError
                stripe_init(stripe_at(self.ks, d, i), self.ks.seed, &self.ks.locks[i].bytes, d)
        self.ks.wall_offset_ms = rl_wall_ms() - rl_monotonic_ns() // 1000000
        self.ks.samples = 5
        self.ks.tenacity = 10
        self.ks.lfu_log_factor = 10
        self.ks.lfu_decay_minutes = 1
        self.ks.active_expire = 1
        self.ks.evicting = 1
        self.ks.max_string = 512 << 20
        self.ks.limits.hash_entries = 512
        self.ks.limits.hash_value = self.ks.limits.set_value = self.ks.limits.zset_value = 64
        self.ks.limits.set_intset = 512
        self.ks.limits.set_entries = self.ks.limits.zset_entries = 128
        self.ks.limits.list_size = -2
        self.ks.limits.stream_bytes = 4096
        self.ks.limits.stream_entries = 100
        if like is not None:
            self.ks.wall_offset_ms = like.ks.wall_offset_ms
            self.ks.policy = like.ks.policy
            self.ks.samples = like.ks.samples
            self.ks.lfu_log_factor = like.ks.lfu_log_factor
            self.ks.lfu_decay_minutes = like.ks.lfu_decay_minutes
            self.ks.max_string = like.ks.max_string
            self.ks.limits = like.ks.limits

    def __dealloc__(self):
        cdef int i
        if self.ks == NULL:
            return
        if self.ks.stripe_of != NULL:
            for i in range(self.ks.stripes * self.ks.databases):
                if self.ks.stripe_of[i] != NULL:
                    table_each(&self.ks.stripe_of[i].table, free_visited, NULL)
                    table_release(&self.ks.stripe_of[i].table)
                    heap_release(&self.ks.stripe_of[i].heap)
                    heap_release(&self.ks.stripe_of[i].fields)
                    free(self.ks.stripe_of[i])
        if self.ks.locks != NULL:
            for i in range(self.ks.stripes):
                pthread_mutex_destroy(&self.ks.locks[i].mutex)
        while self.ks.gone_len:
            self.ks.gone_len -= 1
            free(self.ks.gone[self.ks.gone_len].key)
        free(self.ks.gone)
        free(self.ks.stripe_of)
        free(self.ks.locks)
        free(self.ks)

    cdef void acquire(self, uint64_t mask) noexcept:
        cdef int i
        while mask:
            i = rl_ctz64(mask)
            if pthread_mutex_trylock(&self.ks.locks[i].mutex):
                with nogil:
                    pthread_mutex_lock(&self.ks.locks[i].mutex)
            mask &= mask - 1

    cdef bint try_acquire(self, uint64_t mask) noexcept:
        cdef uint64_t left = mask
        cdef bint got
        while left and pthread_mutex_trylock(&self.ks.locks[rl_ctz64(left)].mutex) == 0:
            left &= left - 1
        if left == 0:
            return True
        with nogil:
            got = lock_mask_unless_busy(self.ks, left)
        if not got:
            unlock_mask(self.ks, mask & ~left)
        return got

    def book(self, int64_t amount):
        """Counts bytes that somebody else has taken (or given back) as used memory."""
        rl_add(&self.ks.other_bytes, amount)

    def set_busy(self, bint busy):
        """Says that a script has held every lock for long, or does so no longer. Who serves clients and waits for a
        lock then gives up (KeyspaceBusyError)."""
        rl_store_int(&self.ks.busy, busy)

    cdef void release(self, uint64_t mask) noexcept:
        unlock_mask(self.ks, mask)

    cdef stripe_t* checked(self, int database, int i) except NULL:
        if not 0 <= database < self.ks.databases:
            raise IndexError(f"database {database} of {self.ks.databases}")
        return stripe_at(self.ks, database, i)

    @property
    def databases(self):
        return self.ks.databases

    @property
    def stripes(self):
        return self.ks.stripes

    def size(self, int database):
        """The number of keys, those past their deadline but not yet removed included (as DBSIZE counts)."""
        cdef int i
        return sum([rl_load(&self.checked(database, i).keys) for i in range(self.ks.stripes)])

    def volatile_size(self, int database):
        """The number of keys with a deadline."""
        cdef int i
        return sum([rl_load(&self.checked(database, i).volatiles) for i in range(self.ks.stripes)])

    def average_ttl_ms(self, int database):
        """The mean time to live of a sample of the volatile keys, in milliseconds; 0 where there are none."""
        cdef int i, j
        cdef int64_t now = rl_monotonic_ns() // 1000000, sum = 0, n = 0
        cdef stripe_t* s
        for i in range(self.ks.stripes):
            self.acquire(<uint64_t>1 << i)
            s = stripe_at(self.ks, database, i)
            for j in range(0, s.heap.len, max(1, <int>s.heap.len // 16)):
                sum += max(<int64_t>0, s.heap.slots[j].at - now)
                n += 1
            self.release(<uint64_t>1 << i)
        return sum // n if n else 0

    def used_memory(self):
        """Bytes taken by entries, tables, heaps and client buffers, as the allocator granted them."""
        return used_memory(self.ks)

    def dataset_bytes(self):
        """Bytes taken by entries alone."""
        cdef int i
        cdef int64_t sum = 0
        for i in range(self.ks.stripes * self.ks.databases):
            sum += self.ks.stripe_of[i].entry_bytes
        return sum

    def counters(self):
        """Figures since the start or the last reset: expired and evicted keys, and the peak of used memory."""
        used_memory(self.ks)
        return {"expired_keys": rl_load(&self.ks.expired), "evicted_keys": rl_load(&self.ks.evicted),
                "expired_fields": rl_load(&self.ks.expired_fields),
                "expire_ns": rl_load(&self.ks.expire_ns), "peak": rl_load(&self.ks.peak), "client_bytes": rl_load(&self.ks.other_bytes)}

    def limit(self, *, hash_entries=None, hash_value=None, set_intset=None, set_entries=None, set_value=None,
              zset_entries=None, zset_value=None, list_size=None, stream_bytes=None, stream_entries=None):
        """Sets up to where values stay compact, for changes from now on (see limits_t)."""
        cdef limits_t* to = &self.ks.limits
        if hash_entries is not None:
            to.hash_entries = hash_entries
        if hash_value is not None:
            to.hash_value = hash_value
        if set_intset is not None:
            to.set_intset = set_intset
        if set_entries is not None:
            to.set_entries = set_entries
        if set_value is not None:
            to.set_value = set_value
        if zset_entries is not None:
            to.zset_entries = zset_entries
        if zset_value is not None:
            to.zset_value = zset_value
        if list_size is not None:
            to.list_size = list_size
        if stream_bytes is not None:
            to.stream_bytes = stream_bytes
        if stream_entries is not None:
            to.stream_entries = stream_entries

    def attach(self, Log journal):
        """Has changes logged from here on. Every stripe is locked, or nobody is there yet."""
        self.journal = journal
        self.ks.log = journal.log

    def note_departures(self, bint on):
        """Whether keys that expire or are evicted are written down for `departures`."""
        rl_store_int(&self.ks.noting, on)

    def departures(self):
        """What left by itself since the last call, in order: (why, database, key) with why 0: expired, 1: evicted, 2: a
        hash lost fields, 3: it lost the last of them."""
        cdef gone_t* taken
        cdef int64_t n, i
        cdef list found = []
        if rl_load(&self.ks.gone_len) == 0:
            return found
        pthread_mutex_lock(&self.ks.gone_mutex)
        taken, n = self.ks.gone, self.ks.gone_len
        self.ks.gone = NULL
        self.ks.gone_len = self.ks.gone_cap = 0
        pthread_mutex_unlock(&self.ks.gone_mutex)
        for i in range(n):
            found.append((taken[i].why, taken[i].database, taken[i].key[:taken[i].klen]))
            free(taken[i].key)
        free(taken)
        return found

    def discarded(self):
        """Whether `bury_discarded` has something to do."""
        return bin_len() > 0

    def bury_discarded(self):
        """Frees large values that commands have let go of, without the GIL, and the groups of streams that are gone."""
        with nogil:
            empty_bin()
        take_orphans()

    def take_longest(self):
        """(ns of the longest turn of expiry, of the longest eviction for one command) since this was last called."""
        return rl_take(&self.ks.longest_expiry), rl_take(&self.ks.longest_eviction)

    def reset_counters(self):
        rl_store(&self.ks.expired, 0)
        rl_store(&self.ks.expired_fields, 0)
        rl_store(&self.ks.evicted, 0)
        rl_store(&self.ks.expire_ns, 0)
        rl_store(&self.ks.peak, used_memory(self.ks))

    def configure(self, *, maxmemory=None, policy=None, samples=None, tenacity=None, lfu_log_factor=None,
                  lfu_decay_minutes=None, active_expire=None, max_string=None, evicting=None):
        """Sets what is given. `policy` is the index of the policy in Redis's order (see keyspace.pxd)."""
        if maxmemory is not None:
            rl_store(&self.ks.maxmemory, maxmemory)
        if policy is not None:
            self._set_policy(policy)
        if samples is not None:
            self.ks.samples = samples
        if tenacity is not None:
            self.ks.tenacity = tenacity
        if lfu_log_factor is not None:
            self.ks.lfu_log_factor = lfu_log_factor
        if lfu_decay_minutes is not None:
            self.ks.lfu_decay_minutes = lfu_decay_minutes
        if active_expire is not None:
            rl_store_int(&self.ks.active_expire, active_expire)
        if max_string is not None:
            self.ks.max_string = min(max_string, 0xffffffff)
        if evicting is not None:
            rl_store_int(&self.ks.evicting, evicting)

    cdef int _set_policy(self, int wanted) except -1:
        cdef int i, d
        cdef bint begins = looks_at_order(wanted) and not looks_at_order(self.ks.policy)
        cdef bint fine = True
        self.ks.policy = wanted           # from here on every use moves its entry
        if begins:
            for i in range(self.ks.stripes):
                self.acquire(<uint64_t>1 << i)
                for d in range(self.ks.databases):
                    fine = restore_order(stripe_at(self.ks, d, i)) and fine
                self.release(<uint64_t>1 << i)
        if not fine:
            raise MemoryError("not enough memory to put the keys in their order of access")
        return 0

    @property
    def loading(self):
        """Whether the log is being replayed. Until it is all there nothing expires and nothing is evicted, and a date
        in the past becomes a deadline like any other."""
        return rl_load_int(&self.ks.loading) != 0

    @loading.setter
    def loading(self, bint on):
        rl_store_int(&self.ks.loading, on)

    @property
    def following(self):
        """Whether a master's stream is applied here, so that nothing expires by itself: 0: no. 1: what is past its
        deadline is kept until the master's DEL comes, and missing for all but the link. 2: it is removed when somebody
        else than the link comes by (a replica that may be written to)."""
        return rl_load_int(&self.ks.following)

    @following.setter
    def following(self, int how):
        if not NOT_FOLLOWING <= how <= FOLLOWING_WRITABLE:
            raise ValueError(f"following must be 0, 1 or 2, not {how}")
        rl_store_int(&self.ks.following, how)

    @property
    def keeps_expired(self):
        """Whether a date in the past is a deadline like any other, not a deletion: while loading, and on a replica."""
        return keeps_expired(self.ks)

    def observe(self, int database, bytes key, int by):
        """Adds to the observers of a key's stripe; above none, its commands all take the ordinary path."""
        cdef int i = stripe_index(self.ks, hash_key(self.ks, key, len(key)))
        # No lock: who takes the stripe's lock after this sees it, who held it before has had its say.
        rl_add_int(&stripe_at(self.ks, database, i).observers, by)
        rl_add_int(&self.ks.observers, by)

    def follow_wall_clock(self):
        """Takes over a step of the wall clock, so that absolute times on the wire are right again.

        Small drifts are left alone: a deadline given as a date then reads back as that very date.
        """
        cdef int64_t offset = rl_wall_ms() - rl_monotonic_ns() // 1000000
        if abs(offset - self.ks.wall_offset_ms) > 500:
            self.ks.wall_offset_ms = offset

    def keep(self, int64_t budget_ns):
        """One turn of the background work, without the GIL: expiry, and tables that are being moved.

        Returns the nanoseconds until the next deadline, at most 25 ms.
        """
        cdef int64_t wait
        with nogil:
            wait = keep_once(self.ks, budget_ns)
        return wait

    cdef Grave flush(self, int database, uint64_t held):
        """Empties one database, or all (-1). Returns the Grave that holds what was there."""
        cdef int d, i
        cdef uint64_t wanted = all_stripes(self.ks) & ~held
        cdef Grave grave = Grave(self.ks.stripes * self.ks.databases)
        self.acquire(wanted)
        for d in range(self.ks.databases):
            if database == -1 or d == database:
                for i in range(self.ks.stripes):
                    grave.take(stripe_at(self.ks, d, i), self.ks.seed)
        self.release(wanted)
        return grave

    cdef void swap(self, int a, int b, uint64_t held) noexcept:
        """Exchanges two databases. Observers stay: they watch a database's name, not its content."""
        cdef int i, n = self.ks.stripes
        cdef stripe_t* x
        cdef stripe_t* y
        cdef uint64_t wanted = all_stripes(self.ks) & ~held
        self.acquire(wanted)
        for i in range(n):
            x, y = self.ks.stripe_of[a * n + i], self.ks.stripe_of[b * n + i]
            self.ks.stripe_of[a * n + i], self.ks.stripe_of[b * n + i] = y, x
            x.observers, y.observers = y.observers, x.observers
            x.database, y.database = b, a
        self.release(wanted)

    cdef int trade(self, Keyspace other, uint64_t held) except -1:
        """See `exchange`; `held`: the locks of self that the caller has."""
        cdef int i
        cdef bint fine = True
        cdef uint64_t every = all_stripes(self.ks)
        if other is self:
            raise ValueError("a keyspace cannot be exchanged with itself")
        if other.ks.stripes != self.ks.stripes or other.ks.databases != self.ks.databases \
                or other.ks.seed[0] != self.ks.seed[0] or other.ks.seed[1] != self.ks.seed[1]:
            raise ValueError("only a keyspace that was made like this one can be exchanged with it")
        if looks_at_order(self.ks.policy) and not looks_at_order(other.ks.policy):
            other._set_policy(self.ks.policy)        # here, where nobody waits for it
        self.acquire(every & ~held)
        other.acquire(every)
        with nogil:
            for i in range(self.ks.stripes * self.ks.databases):
                trade_stripes(self.ks.stripe_of[i], other.ks.stripe_of[i])
            if not looks_at_order(other.ks.policy):  # ours may, since a moment ago
                fine = order_by_use(self.ks)
        other.release(every)
        self.release(every & ~held)
        if not fine:
            raise MemoryError("not enough memory to put the keys in their order of access")
        return 0

    def exchange(self, Keyspace other not None):
        """Exchanges all data with another keyspace, made by `Keyspace(databases, stripes, like=self)`, at one moment: whoever
        looks sees the one or the other. What is no data stays: locks, observers, limits, counters, the log.

        What was here is in `other` then: nobody else uses that, and `Database(other, 0).flush(True).bury()` frees it without
        the GIL. Takes every lock; who holds them calls `Database.exchange`. Raises ValueError for one that was not made like
        this one.
        """
        self.trade(other, 0)


def mark_link(bint on) -> bool:
    """Says whether this thread is the master's link, for which keys past their deadline are there; returns whether it
    was."""
    return set_link(on)


cdef int64_t keep_once(keyspace_t* ks, int64_t budget_ns) noexcept nogil:
    cdef:
        int64_t now = rl_monotonic_ns()
        int64_t soonest = NEVER
        int64_t took
        int i
    if rl_load_int(&ks.loading):       # who replays the log has the locks most of the time, and moves tables on its way
        return 25000000
    expire_due(ks, now // 1000000, now + budget_ns)
    took = rl_monotonic_ns() - now
    rl_bump(&ks.expire_ns, took)
    rl_raise(&ks.longest_expiry, took)
    move_tables(ks)
    if rl_load_int(&ks.following):     # what is due stays due
        return 25000000
    for i in range(ks.stripes * ks.databases):
        soonest = min(soonest, rl_load(&ks.stripe_of[i].next_deadline))
    now = rl_monotonic_ns()
    if soonest >= now // 1000000 + 25:
        return 25000000
    return max(<int64_t>1000000, soonest * 1000000 - now)
