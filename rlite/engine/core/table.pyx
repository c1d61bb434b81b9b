# cython: cdivision=True
"""The hash table. Runs under the stripe's lock, without the GIL.

A bucket is one cache line: seven slots, seven tags (the top byte of each hash) and a bit for each slot that is taken,
so a look-up touches the bucket's line and, nearly always, only the entry it wants. A full bucket turns its last slot
into a link to a child bucket. The table doubles when it holds six entries a bucket and halves when it holds fewer than
one; either way entries move a bucket at a time, with each write, so that no single command pays for it.

Cursors of `table_scan` count buckets with the bits reversed, highest first: when a table doubles or halves, the
buckets already visited stay exactly the ones whose entries were returned (the method of Redis's SCAN, by P. Noordhuis).
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from rlite.engine.core.platform cimport (
    rl_bitreverse64, rl_ctz64, rl_granted, rl_popcount, rl_prefetch, rl_zeroed, rl_zeroed_free,
)
from rlite.engine.core.siphash cimport siphash13

cdef enum:
    FULL = 6                   # mean entries a bucket at which the table doubles
    CHAINED = 0x80
    SLOTS = 7
    CROWD = 3 * SLOTS
    MIN_EXP = 2

cdef uint64_t ONES = <uint64_t>0x0101010101010100      # one in each tag byte; byte 0 is not a tag
cdef uint64_t TOPS = <uint64_t>0x8080808080808000


cdef inline char* item_key(const table_t* t, entry_t* e) noexcept nogil:
    return <char*>e + t.key_at


cdef inline uint32_t item_klen(const table_t* t, entry_t* e) noexcept nogil:
    return (<uint32_t*>(<char*>e + t.klen_at))[0]


cdef void table_init(table_t* t, const uint64_t* seed) noexcept nogil:
    cdef entry_t e
    table_init_items(t, seed, <int>sizeof(entry_t), <int>(<char*>&e.klen - <char*>&e))


cdef void table_init_items(table_t* t, const uint64_t* seed, int key_at, int klen_at) noexcept nogil:
    t.key_at = key_at
    t.klen_at = klen_at
    t.buckets[0] = NULL
    t.buckets[1] = NULL
    t.exp[0] = -1
    t.exp[1] = -1
    t.used[0] = 0
    t.used[1] = 0
    t.rehash_at = -1
    t.bytes = 0
    t.seed[0] = seed[0]
    t.seed[1] = seed[1]


cdef inline size_t array_bytes(int exp) noexcept nogil:
    return sizeof(bucket_t) << exp


cdef void free_children(table_t* t, bucket_t* b) noexcept nogil:
    """Frees the chain below `b` and leaves `b` without one."""
    cdef bucket_t* child
    cdef bucket_t* below
    if not b.meta & CHAINED:
        return
    child = <bucket_t*>b.slot[6]
    b.meta &= ~<uint64_t>CHAINED
    while child != NULL:
        below = <bucket_t*>child.slot[6] if child.meta & CHAINED else NULL
        t.bytes -= rl_granted(child)
        free(child)
        child = below


cdef void free_array(table_t* t, int which) noexcept nogil:
    if t.buckets[which] != NULL:
        rl_zeroed_free(t.buckets[which], array_bytes(t.exp[which]))
        t.bytes -= array_bytes(t.exp[which])
    t.buckets[which] = NULL
    t.exp[which] = -1
    t.used[which] = 0


cdef void table_release(table_t* t) noexcept nogil:
    cdef int64_t i
    cdef int which
    for which in range(2):
        if t.buckets[which] != NULL:
            for i in range(<int64_t>1 << t.exp[which]):
                free_children(t, &t.buckets[which][i])
        free_array(t, which)
    t.rehash_at = -1


cdef int64_t table_size(const table_t* t) noexcept nogil:
    return t.used[0] + t.used[1]


cdef inline bucket_t* home(table_t* t, int which, uint64_t h) noexcept nogil:
    return &t.buckets[which][h & ((<uint64_t>1 << t.exp[which]) - 1)]


cdef entry_t* table_find(table_t* t, uint64_t h, const char* key, size_t klen) noexcept nogil:
    cdef:
        uint64_t tags = (h >> 56) * <uint64_t>0x0101010101010101
        uint64_t x, candidates
        bucket_t* b
        entry_t* e
        int which, i
    for which in range(2):
        if t.exp[which] < 0:
            break
        b = home(t, which, h)
        while True:
            # The classic test for a zero byte; a borrow may mark the byte above a true match too, and a tag of an
            # empty slot may match, so the slot's own bit and then the key decide.
            x = b.meta ^ tags
            candidates = (x - ONES) & ~x & TOPS
            while candidates:
                i = (rl_ctz64(candidates) >> 3) - 1
                if (b.meta >> i) & 1:
                    e = <entry_t*>b.slot[i]
                    if item_klen(t, e) == klen and memcmp(item_key(t, e), key, klen) == 0:
                        return e
                candidates &= candidates - 1
            if not b.meta & CHAINED:
                break
            b = <bucket_t*>b.slot[6]
    return NULL


cdef void table_prefetch(table_t* t, uint64_t h) noexcept nogil:
    """Starts to fetch the bucket's line. Reads the table's own two words only, and what they say is but a hint."""
    cdef int exp = t.exp[0]
    if exp >= 0:
        rl_prefetch(&t.buckets[0][h & ((<uint64_t>1 << exp) - 1)])


cdef void table_prefetch_entry(table_t* t, uint64_t h) noexcept nogil:
    cdef:
        bucket_t* b
        uint64_t x, candidates
        int i
    if t.exp[0] < 0:
        return
    b = home(t, 0, h)
    x = b.meta ^ ((h >> 56) * <uint64_t>0x0101010101010101)
    candidates = (x - ONES) & ~x & TOPS
    while candidates:
        i = (rl_ctz64(candidates) >> 3) - 1
        if (b.meta >> i) & 1:
            rl_prefetch(b.slot[i])
            rl_prefetch(<char*>b.slot[i] + 64)
        candidates &= candidates - 1


cdef inline void set_slot(bucket_t* b, int i, uint64_t tag, void* e) noexcept nogil:
    cdef int shift = 8 * (i + 1)
    b.slot[i] = e
    b.meta = (b.meta & ~(<uint64_t>0xff << shift)) | (tag << shift) | (<uint64_t>1 << i)


cdef inline uint64_t tag_of(bucket_t* b, int i) noexcept nogil:
    return (b.meta >> (8 * (i + 1))) & 0xff


cdef bint place(table_t* t, int which, uint64_t h, entry_t* e) noexcept nogil:
    """Puts an entry in the first free slot of its chain, lengthening the chain where there is none."""
    cdef:
        bucket_t* b = home(t, which, h)
        bucket_t* child
        uint64_t vacant
    while True:
        vacant = ~b.meta & (0x3f if b.meta & CHAINED else 0x7f)
        if vacant:
            set_slot(b, rl_ctz64(vacant), h >> 56, e)
            t.used[which] += 1
            return True
        if not b.meta & CHAINED:
            child = <bucket_t*>calloc(1, sizeof(bucket_t))
            if child == NULL:
                return False
            t.bytes += rl_granted(child)
            set_slot(child, 0, tag_of(b, 6), b.slot[6])
            b.slot[6] = child
            b.meta = (b.meta & ~<uint64_t>0x40) | CHAINED
        b = <bucket_t*>b.slot[6]


cdef bint resize(table_t* t, int exp) noexcept nogil:
    """Gives the table 2**exp buckets; entries follow step by step. False where memory is short: nothing changed."""
    cdef bucket_t* array = <bucket_t*>rl_zeroed(array_bytes(exp))
    cdef int which = 0 if t.exp[0] < 0 else 1
    if array == NULL:
        return False
    t.buckets[which] = array
    t.exp[which] = exp
    t.used[which] = 0
    t.bytes += array_bytes(exp)
    if which == 1:
        t.rehash_at = 0
    return True


cdef void table_reserve(table_t* t, int64_t items) noexcept nogil:
    """Gives an empty table the size that it would grow to; where memory is short, it grows as always."""
    cdef int exp = MIN_EXP
    if t.exp[0] >= 0:
        return
    while exp < 40 and items > <int64_t>FULL << exp:
        exp += 1
    resize(t, exp)


cdef bint table_insert(table_t* t, uint64_t h, entry_t* e) noexcept nogil:
    if t.exp[0] < 0 and not resize(t, 0):
        return False
    if t.rehash_at >= 0:
        table_rehash(t, 1)
    elif t.used[0] >= <int64_t>FULL << t.exp[0]:
        resize(t, max(t.exp[0] + 1, MIN_EXP))     # where memory is short, chains grow instead
    return place(t, 1 if t.rehash_at >= 0 else 0, h, e)


cdef void table_rehash(table_t* t, int steps) noexcept nogil:
    cdef:
        int64_t size
        int empties = steps * 10
        bucket_t* b
        bucket_t* at
        entry_t* e
        int i
    if t.rehash_at < 0:
        return
    size = <int64_t>1 << t.exp[0]
    while steps > 0 and t.rehash_at < size:
        b = &t.buckets[0][t.rehash_at]
        if b.meta & 0xff == 0:
            t.rehash_at += 1
            empties -= 1
            if empties == 0:
                break
            continue
        at = b
        while True:
            for i in range(SLOTS):
                if (at.meta >> i) & 1:
                    e = <entry_t*>at.slot[i]
                    # No memory for a child bucket leaves the rest of this bucket for the next write.
                    if not place(t, 1, siphash13(t.seed, item_key(t, e), item_klen(t, e)), e):
                        return
                    t.used[0] -= 1
                    at.meta &= ~(<uint64_t>1 << i)
            if not at.meta & CHAINED:
                break
            at = <bucket_t*>at.slot[6]
        free_children(t, b)
        t.rehash_at += 1
        steps -= 1
        if t.rehash_at < size:     # the next step's entries are cold: start fetching them now
            b = &t.buckets[0][t.rehash_at]
            for i in range(SLOTS):
                if (b.meta >> i) & 1:
                    rl_prefetch(b.slot[i])
    if t.rehash_at >= size:
        free_array(t, 0)
        t.buckets[0] = t.buckets[1]
        t.exp[0] = t.exp[1]
        t.used[0] = t.used[1]
        t.buckets[1] = NULL
        t.exp[1] = -1
        t.used[1] = 0
        t.rehash_at = -1


cdef bucket_t* locate(table_t* t, uint64_t h, uintptr_t address, int* which, int* index) noexcept nogil:
    """The bucket and the slot that hold the entry which is, or was, at this address."""
    cdef bucket_t* b
    cdef int w, i
    for w in range(2):
        if t.exp[w] < 0:
            break
        b = home(t, w, h)
        while True:
            for i in range(SLOTS):
                if <uintptr_t>b.slot[i] == address and (b.meta >> i) & 1:
                    which[0] = w
                    index[0] = i
                    return b
            if not b.meta & CHAINED:
                break
            b = <bucket_t*>b.slot[6]
    return NULL


cdef void table_replace(table_t* t, uint64_t h, uintptr_t old, entry_t* new) noexcept nogil:
    cdef int which = 0, i = 0
    cdef bucket_t* b = locate(t, h, old, &which, &i)
    if b != NULL:
        b.slot[i] = new


cdef void close_gap(table_t* t, bucket_t* head, bucket_t* b, int i) noexcept nogil:
    """Fills a freed slot from the end of its chain, so that chains shrink as they empty."""
    cdef:
        bucket_t* parent = NULL
        bucket_t* last = head
        int j
    while last.meta & CHAINED:
        parent = last
        last = <bucket_t*>last.slot[6]
    if parent == NULL:
        return
    if last != b and last.meta & 0x7f:
        j = rl_ctz64(last.meta & 0x7f)
        set_slot(b, i, tag_of(last, j), last.slot[j])
        last.meta &= ~(<uint64_t>1 << j)
    if last.meta & 0x7f == 0:
        parent.meta &= ~<uint64_t>CHAINED
        parent.slot[6] = NULL
        t.bytes -= rl_granted(last)
        free(last)


cdef void table_remove(table_t* t, uint64_t h, entry_t* e) noexcept nogil:
    cdef int which = 0, i = 0
    cdef bucket_t* b = locate(t, h, <uintptr_t>e, &which, &i)
    if b == NULL:
        return
    b.meta &= ~(<uint64_t>1 << i)
    t.used[which] -= 1
    close_gap(t, home(t, which, h), b, i)
    if t.rehash_at >= 0:
        table_rehash(t, 1)
    elif t.exp[0] > MIN_EXP and t.used[0] < <int64_t>1 << t.exp[0]:
        resize(t, t.exp[0] - 1)


cdef inline void visit_chain(bucket_t* b, visit_fn visit, void* context) noexcept nogil:
    cdef int i
    while True:
        for i in range(SLOTS):
            if (b.meta >> i) & 1:
                visit(context, <entry_t*>b.slot[i])
        if not b.meta & CHAINED:
            break
        b = <bucket_t*>b.slot[6]


cdef inline uint64_t reversed_next(uint64_t cursor, uint64_t mask) noexcept nogil:
    return rl_bitreverse64(rl_bitreverse64(cursor | ~mask) + 1)


cdef uint64_t table_scan(table_t* t, uint64_t cursor, visit_fn visit, void* context) noexcept nogil:
    """Visits one bucket (while rehashing: with all it becomes, or comes from). Returns the next cursor; 0: the end."""
    cdef uint64_t small_mask, large_mask
    cdef int small = 0, large = 1
    if t.exp[0] < 0:
        return 0
    if t.rehash_at < 0:
        small_mask = (<uint64_t>1 << t.exp[0]) - 1
        visit_chain(&t.buckets[0][cursor & small_mask], visit, context)
        return reversed_next(cursor, small_mask)
    if t.exp[0] > t.exp[1]:
        small, large = 1, 0
    small_mask = (<uint64_t>1 << t.exp[small]) - 1
    large_mask = (<uint64_t>1 << t.exp[large]) - 1
    visit_chain(&t.buckets[small][cursor & small_mask], visit, context)
    while True:
        visit_chain(&t.buckets[large][cursor & large_mask], visit, context)
        cursor = reversed_next(cursor, large_mask)
        if not cursor & (small_mask ^ large_mask):
            break
    return cursor


cdef inline void prefetch_entries(bucket_t* b) noexcept nogil:
    cdef int i
    for i in range(SLOTS):
        if (b.meta >> i) & 1:
            rl_prefetch(b.slot[i])
            rl_prefetch(<char*>b.slot[i] + 64)


cdef void table_each(table_t* t, visit_fn visit, void* context) noexcept nogil:
    cdef int64_t i, size
    cdef int which
    for which in range(2):
        if t.exp[which] >= 0:
            size = <int64_t>1 << t.exp[which]
            for i in range(size):
                if i + 2 < size:       # buckets stand in a row, what they hold does not
                    prefetch_entries(&t.buckets[which][i + 2])
                visit_chain(&t.buckets[which][i], visit, context)


cdef void table_bucket(table_t* t, uint64_t h, visit_fn visit, void* context) noexcept nogil:
    cdef int which
    for which in range(2):
        if t.exp[which] >= 0:
            visit_chain(home(t, which, h), visit, context)


cdef entry_t* table_random(table_t* t, uint64_t* state) noexcept nogil:
    cdef:
        uint64_t size0, total, r
        bucket_t* b
        bucket_t* at
        int n, i, pick
    if table_size(t) == 0:
        return NULL
    size0 = <uint64_t>1 << t.exp[0]
    total = size0 + (<uint64_t>1 << t.exp[1] if t.exp[1] >= 0 else 0)
    while True:    # at least one bucket in seven holds something: the table halves otherwise
        r = next_random(state) % total
        b = &t.buckets[0][r] if r < size0 else &t.buckets[1][r - size0]
        n = 0
        at = b
        while True:
            n += rl_popcount(at.meta & 0x7f)
            if not at.meta & CHAINED:
                break
            at = <bucket_t*>at.slot[6]
        # A bucket is as likely to be taken as it is full: who sits in it alone has no better chance than others, and
        # who shares it has no worse one, up to CROWD; at six a bucket, not one bucket in a million holds more.
        pick = next_random(state) % <uint64_t>max(n, <int>CROWD)
        if pick >= n:
            continue
        while True:
            for i in range(SLOTS):
                if (b.meta >> i) & 1:
                    if pick == 0:
                        return <entry_t*>b.slot[i]
                    pick -= 1
            b = <bucket_t*>b.slot[6]
