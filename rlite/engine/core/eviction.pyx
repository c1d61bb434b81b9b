# cython: cdivision=True
"""maxmemory: which keys go when memory runs out.

LRU and volatile-ttl are exact: the victim is the oldest, or the next to go, of all stripes. LFU takes the least used of
a sample. Nobody holds a lock when this begins; it takes one at a time.
"""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.keyspace cimport (
    ALLKEYS_LFU, ALLKEYS_LRU, GONE_EVICTED, NEVER, NOEVICTION, PERSISTENT, VOLATILE, VOLATILE_LFU, VOLATILE_LRU, VOLATILE_TTL,
    Keyspace, hash_key, keyspace_t, lfu_now, note_gone, pthread_mutex_lock, pthread_mutex_unlock, remove_entry, stripe_at,
    stripe_t, used_memory,
)
from rlite.engine.core.platform cimport rl_add, rl_load, rl_load_int, rl_monotonic_ns, rl_raise
from rlite.engine.core.table cimport entry_key, entry_t, next_random, table_bucket, table_random


cdef struct victim_t:
    int database
    int index
    uint64_t rank              # the lowest goes first
    bint found


cdef inline bint only_volatile(int policy_) noexcept nogil:
    return policy_ >= VOLATILE_LRU


cdef void oldest_of(keyspace_t* ks, int d, int i, victim_t* best) noexcept nogil:
    """Offers the least recently used entry of one stripe."""
    cdef stripe_t* s
    cdef entry_t* end
    cdef int which
    pthread_mutex_lock(&ks.locks[i].mutex)
    s = stripe_at(ks, d, i)
    for which in range(VOLATILE if only_volatile(ks.policy) else PERSISTENT, VOLATILE + 1):
        end = &s.ends[which]
        if end.newer != end and (not best.found or end.newer.stamp < best.rank):
            best.database, best.index, best.rank, best.found = d, i, end.newer.stamp, True
    pthread_mutex_unlock(&ks.locks[i].mutex)


cdef entry_t* oldest_in(keyspace_t* ks, stripe_t* s) noexcept nogil:
    cdef entry_t* a = s.ends[VOLATILE].newer if s.ends[VOLATILE].newer != &s.ends[VOLATILE] else NULL
    cdef entry_t* b = s.ends[PERSISTENT].newer if s.ends[PERSISTENT].newer != &s.ends[PERSISTENT] else NULL
    if only_volatile(ks.policy) or b == NULL:
        return a
    return b if a == NULL or b.stamp < a.stamp else a


cdef entry_t* sampled_in(keyspace_t* ks, stripe_t* s, uint64_t* state) noexcept nogil:
    if only_volatile(ks.policy):
        return s.heap.slots[next_random(state) % s.heap.len].entry if s.heap.len else NULL
    return table_random(&s.table, state)


cdef bint random_stripe(keyspace_t* ks, uint64_t* state, victim_t* at) noexcept nogil:
    """A stripe chosen with the weight of its candidates. False: none has any."""
    cdef int64_t total = 0, n, pick
    cdef int d, i, turn
    cdef stripe_t* s
    for turn in range(2):
        if turn == 1:
            if total == 0:
                return False
            pick = <int64_t>(next_random(state) % <uint64_t>total)
        for d in range(ks.databases):
            for i in range(ks.stripes):
                s = stripe_at(ks, d, i)
                n = rl_load(&s.volatiles) if only_volatile(ks.policy) else rl_load(&s.keys)
                if turn == 0:
                    total += n
                elif pick < n:
                    at.database, at.index = d, i
                    return True
                else:
                    pick -= n
    return False


cdef bint evict_one(keyspace_t* ks, uint64_t* state) noexcept nogil:
    """Removes one key as the policy says. False: there is none to remove."""
    cdef:
        victim_t best
        victim_t at
        stripe_t* s
        entry_t* e
        int d, i, n
        int64_t now_ns = rl_monotonic_ns()
        uint64_t rank
        uint64_t key_hash = 0
        bint lfu = ks.policy == ALLKEYS_LFU or ks.policy == VOLATILE_LFU
        bint lru = ks.policy == ALLKEYS_LRU or ks.policy == VOLATILE_LRU
    best.found = False
    best.database = best.index = 0
    best.rank = 0
    if lru or ks.policy == VOLATILE_TTL:
        for d in range(ks.databases):
            for i in range(ks.stripes):
                s = stripe_at(ks, d, i)
                if lru:
                    if rl_load(&s.volatiles if only_volatile(ks.policy) else &s.keys):
                        oldest_of(ks, d, i, &best)
                elif rl_load(&s.volatiles):
                    rank = <uint64_t>rl_load(&s.next_deadline)
                    if not best.found or rank < best.rank:
                        best.database, best.index, best.rank, best.found = d, i, rank, True
    elif lfu:
        # The lowest counter of a sample, the longest unused among equals.
        for n in range(4 * ks.samples):
            if not random_stripe(ks, state, &at):
                return False
            pthread_mutex_lock(&ks.locks[at.index].mutex)
            e = sampled_in(ks, stripe_at(ks, at.database, at.index), state)
            if e != NULL:
                rank = (<uint64_t>lfu_now(ks, e, now_ns) << 56) | (e.stamp >> 8)
                if not best.found or rank < best.rank:
                    best.database, best.index, best.rank, best.found = at.database, at.index, rank, True
                    key_hash = hash_key(ks, entry_key(e), e.klen)
            pthread_mutex_unlock(&ks.locks[at.index].mutex)
    else:
        best.found = random_stripe(ks, state, &best)
    if not best.found:
        return False

    pthread_mutex_lock(&ks.locks[best.index].mutex)
    s = stripe_at(ks, best.database, best.index)
    if lru:
        e = oldest_in(ks, s)
    elif ks.policy == VOLATILE_TTL:
        e = s.heap.slots[0].entry if s.heap.len else NULL
    elif lfu:
        e = find_by_rank(ks, s, key_hash, best.rank, now_ns)
    else:
        e = sampled_in(ks, s, state)
    if e != NULL:
        note_gone(ks, GONE_EVICTED, best.database, entry_key(e), e.klen)
        remove_entry(s, hash_key(ks, entry_key(e), e.klen), e)
        rl_add(&ks.evicted, 1)
    pthread_mutex_unlock(&ks.locks[best.index].mutex)
    return True


cdef struct rank_search_t:
    keyspace_t* ks
    uint64_t h
    uint64_t rank
    int64_t now_ns
    entry_t* found


cdef void match_rank(void* context, entry_t* e) noexcept nogil:
    cdef rank_search_t* c = <rank_search_t*>context
    if ((<uint64_t>lfu_now(c.ks, e, c.now_ns) << 56) | (e.stamp >> 8)) == c.rank and \
            hash_key(c.ks, entry_key(e), e.klen) == c.h:
        c.found = e


cdef entry_t* find_by_rank(keyspace_t* ks, stripe_t* s, uint64_t h, uint64_t rank, int64_t now_ns) noexcept nogil:
    """The sampled entry again, after its lock was let go: its bucket holds it, unless it has gone or been used."""
    cdef rank_search_t c
    c.ks, c.h, c.rank, c.now_ns, c.found = ks, h, rank, now_ns, NULL
    table_bucket(&s.table, h, match_rank, &c)
    return c.found


cdef bint evict_until_within(keyspace_t* ks) noexcept nogil:
    """Evicts until used memory is within maxmemory, for a bounded time; the next command goes on where it stopped."""
    cdef:
        int64_t limit = rl_load(&ks.maxmemory)
        int64_t began, until
        uint64_t state
        int n = 0
        bint fine = True
    if limit == 0 or rl_load_int(&ks.loading) or not rl_load_int(&ks.evicting) or used_memory(ks) <= limit:
        return True
    if ks.policy == NOEVICTION:
        return False
    began = until = rl_monotonic_ns()
    state = <uint64_t>until | 1
    # tenacity 10 is half a millisecond, as in Redis; 100 is as long as it takes
    until += <int64_t>50000 * ks.tenacity if ks.tenacity <= 10 else (
        <int64_t>500000 << min(ks.tenacity - 10, 30) if ks.tenacity < 100 else <int64_t>NEVER // 2)
    while used_memory(ks) > limit:
        fine = evict_one(ks, &state)
        n += 1
        if not fine or (n % 16 == 0 and rl_monotonic_ns() > until):
            break
    rl_raise(&ks.longest_eviction, rl_monotonic_ns() - began)
    return fine


def make_room(Keyspace keyspace) -> bool:
    """Evicts until within maxmemory. False: over it, and there is nothing to evict."""
    cdef bint fine
    with nogil:
        fine = evict_until_within(keyspace.ks)
    return fine
