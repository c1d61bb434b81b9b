"""maxmemory: which keys go when memory runs out."""
from rlite.engine.core.keyspace cimport keyspace_t

# Evicts for a bounded time; the next command goes on where it stopped. False: over the limit, and nothing to evict.
cdef bint evict_until_within(keyspace_t* ks) noexcept nogil
