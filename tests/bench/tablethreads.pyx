# cython: cdivision=True, language_level=3
"""Threads straight on the table: 80 % reads, 20 % writes, without sockets or the GIL. Built when it is run."""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from rlite.engine.core.keyspace cimport (
    Keyspace, create, hash_key, keyspace_t, lock_mask, lookup, set_value_size, stripe_at, stripe_index, stripe_t, touch,
    unlock_mask,
)
from rlite.engine.core.platform cimport rl_monotonic_ns
from rlite.engine.core.resp cimport format_int
from rlite.engine.core.table cimport entry_t, entry_value, next_random, table_prefetch


cdef enum:
    AHEAD = 16                             # operations looked at together, as the reactor does with a pipeline

cdef struct operation_t:
    uint64_t r
    uint64_t h
    int size
    char key[32]


cdef int64_t drive(keyspace_t* ks, int keys, int64_t operations, uint64_t seed) noexcept nogil:
    """Returns the sum of what was read, so that no compiler can leave the reading out."""
    cdef:
        uint64_t state = seed
        operation_t ahead[AHEAD]
        operation_t* o
        char value[32]
        int64_t n = 0, sum = 0, now = rl_monotonic_ns()
        int at, k
        stripe_t* s
        entry_t* e
    memcpy(value, b"0123456789abcdef0123456789abcdef", 32)
    while n < operations:
        for k in range(AHEAD):
            o = &ahead[k]
            o.r = next_random(&state)
            memcpy(o.key, b"key:", 4)
            o.size = 4 + format_int(o.key + 4, <int64_t>((o.r >> 8) % <uint64_t>keys))
            o.h = hash_key(ks, o.key, o.size)
            table_prefetch(&stripe_at(ks, 0, stripe_index(ks, o.h)).table, o.h)
        for k in range(AHEAD):
            o = &ahead[k]
            n += 1
            at = stripe_index(ks, o.h)
            lock_mask(ks, <uint64_t>1 << at)
            s = stripe_at(ks, 0, at)
            e = lookup(ks, s, o.h, o.key, o.size, now)
            if (o.r & 0xff) < 205:         # 80 %
                if e != NULL:
                    touch(ks, s, e, now + n)
                    sum += entry_value(e)[0]
            elif e == NULL:
                e = create(ks, s, o.h, o.key, o.size, 32, now + n)
                if e != NULL:
                    memcpy(entry_value(e), value, 32)
            else:
                e = set_value_size(s, o.h, e, 32, False)
                if e != NULL:
                    memcpy(entry_value(e), value, 32)
                    touch(ks, s, e, now + n)
            unlock_mask(ks, <uint64_t>1 << at)
    return sum


def run(Keyspace keyspace, int keys, int64_t operations, uint64_t seed):
    """One thread's work: so many operations on so many keys."""
    cdef int64_t sum
    with nogil:
        sum = drive(keyspace.ks, keys, operations, seed)
    return sum
