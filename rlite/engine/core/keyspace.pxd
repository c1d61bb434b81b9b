"""The keyspace: databases of stripes, their locks, expiry, order of access and eviction.

A stripe's fields are touched only with its lock held, but for those marked *published*, which anybody may read.
Lock i guards stripe i of every database. Locks are taken in index order. Nobody waits for a lock while holding the
GIL: `lock_mask` is for threads without it, `Keyspace.acquire` tries first and lets go of the GIL to wait.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from rlite.engine.core.heap cimport heap_t
from rlite.engine.core.log cimport Log, log_t
from rlite.engine.core.members cimport hash_t
from rlite.engine.core.platform cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_trylock, pthread_mutex_unlock, rl_load_int,
)
from rlite.engine.core.siphash cimport siphash13
from rlite.engine.core.table cimport entry_t, table_t

cdef enum:              # maxmemory-policy
    NOEVICTION = 0
    ALLKEYS_LRU = 1
    ALLKEYS_LFU = 2
    ALLKEYS_RANDOM = 3
    VOLATILE_LRU = 4
    VOLATILE_LFU = 5
    VOLATILE_RANDOM = 6
    VOLATILE_TTL = 7

cdef enum:               # the two lists of a stripe
    PERSISTENT = 0             # entries without a deadline
    VOLATILE = 1               # entries with one

cdef enum:
    MAX_STRIPES = 64
    NEVER = 0x7fffffffffffffff

cdef struct stripe_t:
    table_t table
    heap_t heap
    heap_t fields              # hashes (hash_t) whose fields have deadlines, by the next of them
    int database               # whose stripe it is; changed by SWAPDB
    entry_t ends[2]            # by order: .older is the newest entry, .newer the oldest; circular
    int64_t entry_bytes        # what all entries take, with their values
    int64_t counted            # what of this stripe is in total[0]
    int64_t* total             # of its lock: the bytes of stripe i in every database
    int64_t next_deadline      # of both heaps, monotonic ms; NEVER: none; published
    int64_t keys               # published
    int64_t volatiles          # published
    int observers              # watched keys and the like: above 0, no plain path here; published

cdef struct lock_t:
    pthread_mutex_t mutex
    int64_t bytes              # entries, tables and heaps of stripe i in every database; published
    char pad[80]               # two cache lines each: neighbours are fetched in pairs

cdef enum:               # why a key, or a field, left without being asked to
    GONE_EXPIRED = 0
    GONE_EVICTED = 1
    GONE_FIELD = 2             # fields of a hash
    GONE_EMPTIED = 3           # a hash whose last field went so

cdef struct gone_t:
    int why
    int database
    uint32_t klen
    char* key

cdef enum follow_t:            # how a replica treats what is past its deadline: the DEL is its master's to send
    NOT_FOLLOWING = 0
    FOLLOWING_KEPT = 1         # kept; there for the link, missing for everybody else
    FOLLOWING_WRITABLE = 2     # kept; there for the link, removed, without a word to the log, when anybody else comes by

cdef struct limits_t:          # up to where values stay compact; the directives' names and meanings are Redis's
    int64_t hash_entries
    int64_t hash_value
    int64_t set_intset
    int64_t set_entries
    int64_t set_value
    int64_t zset_entries
    int64_t zset_value
    int list_size
    int64_t stream_bytes
    int64_t stream_entries

cdef struct keyspace_t:
    int stripes                # a power of two
    int databases
    lock_t* locks
    stripe_t** stripe_of       # [database * stripes + i]
    uint64_t seed[2]           # of the hash
    int64_t wall_offset_ms     # wall clock - monotonic clock
    int64_t maxmemory          # published; 0: no limit
    int policy                 # published
    int samples                # maxmemory-samples
    int tenacity               # maxmemory-eviction-tenacity
    int lfu_log_factor
    int lfu_decay_minutes
    int active_expire          # published; DEBUG SET-ACTIVE-EXPIRE
    int observers              # of all stripes; published
    int loading                # published; the log is being replayed: nothing expires, nothing is evicted
    int following              # published; see follow_t
    int evicting               # published; 0: nothing is evicted, whatever is used (a replica leaves that to its master)
    int busy                   # published; a script has held all locks for long: who waits for one gives up
    int64_t max_string         # proto-max-bulk-len: no string grows beyond it
    int64_t other_bytes        # client buffers and the like; published, many writers
    int64_t expired            # keys gone by their deadline; many writers
    int64_t expired_fields     # fields of hashes gone by theirs; many writers
    int64_t evicted            # keys gone for want of memory; many writers
    int64_t peak               # of used memory, as far as it was looked at
    int64_t expire_ns          # what turns of expiry took; published
    int64_t longest_expiry     # ns of the longest turn, and eviction for one command, since somebody took them
    int64_t longest_eviction
    int64_t evicting_since     # monotonic ns; 0: within the limit
    log_t* log                 # where changes are logged; NULL: nowhere. Belongs to `Keyspace.journal`
    limits_t limits
    pthread_mutex_t gone_mutex # taken last of all locks, for a moment
    int noting                 # published; whether departures are written down
    gone_t* gone
    int64_t gone_len
    int64_t gone_cap

# --- locks
cdef void lock_mask(keyspace_t* ks, uint64_t mask) noexcept nogil        # waits; index order
cdef bint lock_mask_unless_busy(keyspace_t* ks, uint64_t mask) noexcept nogil    # False: nothing is locked
cdef void unlock_mask(keyspace_t* ks, uint64_t mask) noexcept nogil

# --- keys: the stripe's lock is held, `h` is hash_key(key)
cdef entry_t* lookup(keyspace_t* ks, stripe_t* s, uint64_t h, const char* key, size_t klen, int64_t now_ns) noexcept nogil
cdef void touch(keyspace_t* ks, stripe_t* s, entry_t* e, int64_t now_ns) noexcept nogil
cdef entry_t* create(keyspace_t* ks, stripe_t* s, uint64_t h, const char* key, size_t klen, size_t vlen, int64_t now_ns) noexcept nogil
cdef entry_t* set_value_size(stripe_t* s, uint64_t h, entry_t* e, size_t vlen, bint greedy) noexcept nogil
cdef entry_t* create_value(keyspace_t* ks, stripe_t* s, uint64_t h, const char* key, size_t klen, int kind, int encoding, void* value, int64_t now_ns) noexcept nogil
cdef void settle(stripe_t* s, entry_t* e, int64_t before) noexcept nogil          # `before`: value_bytes before a change
cdef void remove_entry(stripe_t* s, uint64_t h, entry_t* e) noexcept nogil
cdef void note_gone(keyspace_t* ks, int why, int database, const char* key, size_t klen) noexcept nogil
cdef bint watch_fields(stripe_t* s, hash_t* h) noexcept nogil                     # after a change of its deadlines
cdef bint set_deadline(stripe_t* s, entry_t* e, int64_t at_ms) noexcept nogil     # monotonic ms; False: no memory
cdef void clear_deadline(stripe_t* s, entry_t* e) noexcept nogil
cdef bint order_by_use(keyspace_t* ks) noexcept nogil                             # every lock is held; False: no memory
cdef int lfu_now(keyspace_t* ks, entry_t* e, int64_t now_ns) noexcept nogil       # the counter, decayed

# --- the whole
cdef int64_t used_memory(keyspace_t* ks) noexcept nogil
cdef int64_t expire_due(keyspace_t* ks, int64_t now_ms, int64_t until_ns) noexcept nogil   # keys removed

# --- the thread of a master's link: it sees what is past its deadline as there, for so it is at the master
cdef bint is_link() noexcept nogil
cdef bint set_link(bint on) noexcept nogil               # of this thread; returns what it was

cdef inline bint is_logged(keyspace_t* ks) noexcept nogil:
    return ks.log != NULL and rl_load_int(&ks.log.on) and not rl_load_int(&ks.following)

cdef inline bint keeps_expired(keyspace_t* ks) noexcept nogil:
    """Whether a date in the past is a deadline like any other, not a deletion."""
    return rl_load_int(&ks.loading) or rl_load_int(&ks.following)

cdef inline uint64_t all_stripes(keyspace_t* ks) noexcept nogil:
    """The mask of every lock."""
    return (<uint64_t>1 << ks.stripes) - 1 if ks.stripes < 64 else ~<uint64_t>0

cdef inline uint64_t hash_key(keyspace_t* ks, const char* key, size_t klen) noexcept nogil:
    return siphash13(ks.seed, key, klen)

cdef inline int stripe_index(keyspace_t* ks, uint64_t h) noexcept nogil:
    return <int>((h >> 40) & <uint64_t>(ks.stripes - 1))

cdef inline stripe_t* stripe_at(keyspace_t* ks, int database, int index) noexcept nogil:
    return ks.stripe_of[database * ks.stripes + index]

cdef inline int64_t deadline_of(stripe_t* s, entry_t* e) noexcept nogil:
    """Monotonic ms; NEVER where the key stays."""
    return s.heap.slots[e.heap_pos - 1].at if e.heap_pos else NEVER


cdef class Grave:
    cdef table_t* tables
    cdef heap_t* heaps
    cdef heap_t* field_heaps
    cdef int filled
    cdef readonly long long keys

    cdef void take(self, stripe_t* s, const uint64_t* seed) noexcept


cdef class Keyspace:
    cdef keyspace_t* ks
    cdef readonly Log journal          # None: nothing is logged

    cdef bint try_acquire(self, uint64_t mask) noexcept    # with the GIL held; False: a script is busy
    cdef void acquire(self, uint64_t mask) noexcept        # with the GIL held
    cdef void release(self, uint64_t mask) noexcept
    cdef stripe_t* checked(self, int database, int i) except NULL
    cdef Grave flush(self, int database, uint64_t held)
    cdef void swap(self, int a, int b, uint64_t held) noexcept
    cdef int trade(self, Keyspace other, uint64_t held) except -1
    cdef int _set_policy(self, int wanted) except -1
