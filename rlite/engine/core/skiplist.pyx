# cython: cdivision=True
"""Large sorted sets: order is by score, then by the members' bytes."""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from rlite.engine.core.platform cimport rl_granted
from rlite.engine.core.siphash cimport siphash13
from rlite.engine.core.table cimport (
    entry_t, next_random, table_find, table_init_items, table_insert, table_release, table_remove,
)


cdef int compare(const char* a, size_t an, const char* b, size_t bn) noexcept nogil:
    cdef int order = memcmp(a, b, min(an, bn))
    return order if order else (an > bn) - (an < bn)


cdef node_t* make_node(int level, double score, const char* data, size_t size) noexcept nogil:
    cdef char* block = <char*>calloc(1, level * sizeof(link_t) + sizeof(node_t) + size)
    cdef node_t* n
    if block == NULL:
        return NULL
    n = <node_t*>(block + level * sizeof(link_t))
    n.score = score
    n.klen = <uint32_t>size
    n.level = level
    memcpy(node_key(n), data, size)
    return n


cdef inline void* block_of(node_t* n) noexcept nogil:
    return <char*>n - n.level * sizeof(link_t)


cdef inline bint comes_before(node_t* n, double score, const char* data, size_t size) noexcept nogil:
    return n.score < score or (n.score == score and compare(node_key(n), n.klen, data, size) < 0)


cdef zset_t* zs_new(const uint64_t* seed) noexcept nogil:
    cdef zset_t* z = <zset_t*>calloc(1, sizeof(zset_t))
    cdef node_t n
    if z == NULL:
        return NULL
    z.head = make_node(MAX_LEVEL, 0, b"", 0)
    if z.head == NULL:
        free(z)
        return NULL
    table_init_items(&z.table, seed, sizeof(node_t), <int>(<char*>&n.klen - <char*>&n))
    z.level = 1
    z.random = seed[0] ^ <uint64_t>z | 1
    z.bytes = rl_granted(z) + rl_granted(block_of(z.head))
    return z


cdef void zs_free(zset_t* z) noexcept nogil:
    cdef node_t* n = z.head
    cdef node_t* next
    while n != NULL:
        next = node_next(n)
        free(block_of(n))
        n = next
    table_release(&z.table)
    free(z)


cdef zset_t* zs_copy(zset_t* z) noexcept nogil:
    cdef zset_t* made = zs_new(z.table.seed)
    cdef node_t* n = node_next(z.head)
    while made != NULL and n != NULL:
        if not zs_add(made, n.score, node_key(n), n.klen):
            zs_free(made)
            return NULL
        n = node_next(n)
    return made


cdef node_t* zs_find(zset_t* z, const char* data, size_t size) noexcept nogil:
    return <node_t*>table_find(&z.table, siphash13(z.table.seed, data, size), data, size)


cdef inline void path(zset_t* z, double score, const char* data, size_t size, node_t** update, int64_t* rank) noexcept nogil:
    """On each level the last node before the place of (score, member), and its rank."""
    cdef node_t* n = z.head
    cdef node_t* next
    cdef int i
    for i in range(z.level - 1, -1, -1):
        rank[i] = 0 if i == z.level - 1 else rank[i + 1]
        next = link_at(n, i).to
        while next != NULL and comes_before(next, score, data, size):
            rank[i] += link_at(n, i).span
            n = next
            next = link_at(n, i).to
        update[i] = n


cdef void link_in(zset_t* z, node_t* n) noexcept nogil:
    cdef node_t* update[MAX_LEVEL]
    cdef int64_t rank[MAX_LEVEL]
    cdef int i
    path(z, n.score, node_key(n), n.klen, update, rank)
    for i in range(z.level, n.level):
        rank[i] = 0
        update[i] = z.head
        link_at(z.head, i).span = z.count
    z.level = max(z.level, n.level)
    for i in range(n.level):
        link_at(n, i).to = link_at(update[i], i).to
        link_at(update[i], i).to = n
        link_at(n, i).span = link_at(update[i], i).span - (rank[0] - rank[i])
        link_at(update[i], i).span = rank[0] - rank[i] + 1
    for i in range(n.level, z.level):
        link_at(update[i], i).span += 1
    n.back = NULL if update[0] == z.head else update[0]
    if node_next(n) != NULL:
        node_next(n).back = n
    else:
        z.tail = n
    z.count += 1


cdef void link_out(zset_t* z, node_t* n) noexcept nogil:
    cdef node_t* update[MAX_LEVEL]
    cdef int64_t rank[MAX_LEVEL]
    cdef int i
    if n.back == NULL:                 # the first of all: the head is before it on every level
        for i in range(z.level):
            update[i] = z.head
    else:
        path(z, n.score, node_key(n), n.klen, update, rank)
    for i in range(z.level):
        if link_at(update[i], i).to == n:
            link_at(update[i], i).span += link_at(n, i).span - 1
            link_at(update[i], i).to = link_at(n, i).to
        else:
            link_at(update[i], i).span -= 1
    if node_next(n) != NULL:
        node_next(n).back = n.back
    else:
        z.tail = n.back
    while z.level > 1 and link_at(z.head, z.level - 1).to == NULL:
        z.level -= 1
    z.count -= 1


cdef bint zs_add(zset_t* z, double score, const char* data, size_t size) noexcept nogil:
    cdef node_t* n
    cdef int level = 1
    cdef uint64_t luck = next_random(&z.random)
    while luck & 3 == 0 and level < MAX_LEVEL:         # one in four goes up
        level += 1
        luck >>= 2
    n = make_node(level, score, data, size)
    if n == NULL:
        return False
    if not table_insert(&z.table, siphash13(z.table.seed, data, size), <entry_t*>n):
        free(block_of(n))
        return False
    z.bytes += rl_granted(block_of(n))
    link_in(z, n)
    return True


cdef bint zs_move(zset_t* z, node_t* n, double score) noexcept nogil:
    cdef node_t* next = node_next(n)
    if (n.back == NULL or comes_before(n.back, score, node_key(n), n.klen)) \
            and (next == NULL or not comes_before(next, score, node_key(n), n.klen)):
        n.score = score                # its neighbours stay the same
        return True
    link_out(z, n)
    n.score = score
    link_in(z, n)
    return True


cdef void zs_remove(zset_t* z, node_t* n) noexcept nogil:
    link_out(z, n)
    table_remove(&z.table, siphash13(z.table.seed, node_key(n), n.klen), <entry_t*>n)
    z.bytes -= rl_granted(block_of(n))
    free(block_of(n))


cdef int64_t zs_rank(zset_t* z, node_t* n) noexcept nogil:
    cdef node_t* update[MAX_LEVEL]
    cdef int64_t rank[MAX_LEVEL]
    path(z, n.score, node_key(n), n.klen, update, rank)
    return rank[0]


cdef node_t* zs_at(zset_t* z, int64_t rank) noexcept nogil:
    cdef node_t* n = z.head
    cdef int64_t at = -1
    cdef int i
    if rank < 0 or rank >= z.count:
        return NULL
    if rank == z.count - 1:
        return z.tail
    for i in range(z.level - 1, -1, -1):
        while link_at(n, i).to != NULL and at + link_at(n, i).span <= rank:
            at += link_at(n, i).span
            n = link_at(n, i).to
        if at == rank:
            break
    return n


cdef int64_t zs_below(zset_t* z, double score, bint inclusive) noexcept nogil:
    cdef node_t* n = z.head
    cdef node_t* next
    cdef int64_t passed = 0
    cdef int i
    for i in range(z.level - 1, -1, -1):
        next = link_at(n, i).to
        while next != NULL and (next.score < score or (inclusive and next.score == score)):
            passed += link_at(n, i).span
            n = next
            next = link_at(n, i).to
    return passed


cdef int64_t zs_lex_below(zset_t* z, const char* data, size_t size, bint inclusive) noexcept nogil:
    cdef node_t* n = z.head
    cdef node_t* next
    cdef int64_t passed = 0
    cdef int i, order
    for i in range(z.level - 1, -1, -1):
        next = link_at(n, i).to
        while next != NULL:
            order = compare(node_key(next), next.klen, data, size)
            if order > 0 or (order == 0 and not inclusive):
                break
            passed += link_at(n, i).span
            n = next
            next = link_at(n, i).to
    return passed
