"""What a command of the core gets and gives: one call, its helpers, and the table of such commands by name.

A `command_fn` runs without the GIL, with the locks of its keys' stripes held, and writes its whole reply to `out`.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport strlen

from rlite.engine.core.errors cimport E_WRONG_TYPE
from rlite.engine.core.keyspace cimport (
    Keyspace, create, entry_t, hash_key, keyspace_t, lookup, remove_entry, set_value_size, stripe_at, stripe_index,
    stripe_t, touch,
)
from rlite.engine.core.packed cimport byte, lp_read, piece_t
from rlite.engine.core.platform cimport rl_monotonic_ns
from rlite.engine.core.resp cimport arg_t, format_int, out_bulk, out_error, out_head, out_t
from rlite.engine.core.table cimport entry_value
from rlite.engine.core.values cimport count_of, value_of

cdef enum:
    MAX_NAME = 24              # bytes of a command's name; a longer one is nobody's

cdef enum:                     # classes of keyspace events, by the letter notify-keyspace-events has for each
    CLASS_GENERIC = 103       # g
    CLASS_STRING = 36         # $
    CLASS_LIST = 108          # l
    CLASS_SET = 115           # s
    CLASS_HASH = 104          # h
    CLASS_ZSET = 122          # z
    CLASS_STREAM = 116        # t
    CLASS_MISS = 109          # m

cdef struct event_t:
    const char* name
    int key                    # index of the key
    char kind

cdef struct call_t:
    keyspace_t* ks
    int database
    int resp                   # 2 or 3
    int argc
    arg_t* argv
    const uint64_t* hashes     # of the keys, in the order of their positions
    out_t* out
    int64_t now_ns             # monotonic
    bint no_touch              # CLIENT NO-TOUCH
    const char* name           # lower case, for errors that say it
    size_t name_size
    int error                  # errors.pxd; 0: it went well
    bint declined              # nothing done, nothing written: Python's handler of the command must have it
    int64_t dirty              # changes made
    out_t* effect              # what the log is to hold instead of the command; NULL: nobody logs
    event_t* events            # NULL: nobody asks
    int event_count
    int event_cap
    int64_t hits
    int64_t misses

ctypedef void (*command_fn)(call_t* c) noexcept nogil

cdef struct command_t:
    uint64_t word[3]           # the name in lower case, padded with zeros
    size_t name_size
    command_fn run             # NULL: only Python knows how
    int id                     # index of its counters
    int arity                  # negative: at least so many
    int first_key              # 0: none
    int last_key               # negative: counted from the end
    int key_step
    bint write
    bint denyoom

cdef struct commands_t:
    command_t* slots           # open addressing
    int mask

cdef command_t* find_core(const commands_t* t, const arg_t* name, int argc) noexcept nogil    # NULL: the core has not got it, so or at all
cdef int hash_keys(keyspace_t* ks, const command_t* cmd, int argc, const arg_t* argv, uint64_t* hashes,
                   uint64_t* mask) noexcept nogil
cdef void event(call_t* c, int key, const char* name, char kind) noexcept nogil     # a keyspace event, if somebody asks
cdef void log_change(call_t* c, const char* raw, size_t size) noexcept nogil      # after a command that changed something
cdef void call_error(call_t* c, int which) noexcept nogil
cdef bint is_word(const arg_t* a, const char* word) noexcept nogil          # `word` in lower case
cdef bint int_arg(call_t* c, int i, int64_t* v) noexcept nogil              # False: the error is written
cdef bint count_arg(call_t* c, int i, int64_t* v) noexcept nogil            # the same, from 0 on


cdef inline out_t* effect(call_t* c, int argc) noexcept nogil:
    """Where to write the `argc` arguments of what the log is to hold instead of the command; NULL: nobody logs."""
    if c.effect != NULL:
        c.effect.size = 0
        out_head(c.effect, c'*', argc)
    return c.effect


cdef inline void effect_key(call_t* c, int argc, const char* name) noexcept nogil:
    """Begins an effect with a command's name and the call's first key, if anybody logs."""
    if effect(c, argc) != NULL:
        out_bulk(c.effect, name, strlen(name))
        out_bulk(c.effect, c.argv[1].data, c.argv[1].size)


cdef inline void effect_part(call_t* c, const char* data, size_t size) noexcept nogil:
    if c.effect != NULL:
        out_bulk(c.effect, data, size)


cdef inline void effect_number(call_t* c, int64_t v) noexcept nogil:
    cdef char digits[24]
    if c.effect != NULL:
        out_bulk(c.effect, digits, format_int(digits, v))


cdef inline void effect_date(call_t* c, int64_t at) noexcept nogil:
    """A deadline (monotonic ms) as the Unix milliseconds that the log holds."""
    effect_number(c, at + c.ks.wall_offset_ms)


cdef inline bint clamp_range(int64_t* start, int64_t* stop, int64_t n) noexcept nogil:
    """Indexes of n elements, negative ones counted from the end, as places from 0 on. False: nothing lies there."""
    if start[0] < 0:
        start[0] = max(start[0] + n, <int64_t>0)
    if stop[0] < 0:
        stop[0] += n
    stop[0] = min(stop[0], n - 1)
    return start[0] <= stop[0]


cdef inline stripe_t* stripe_of(call_t* c, int k) noexcept nogil:
    return stripe_at(c.ks, c.database, stripe_index(c.ks, c.hashes[k]))


cdef inline entry_t* find(call_t* c, int k, int argument) noexcept nogil:
    """The live entry of the k-th key, which stands at `argument`; counted as used. NULL: there is none."""
    cdef stripe_t* s = stripe_of(c, k)
    cdef entry_t* e = lookup(c.ks, s, c.hashes[k], c.argv[argument].data, c.argv[argument].size, c.now_ns)
    if e != NULL and not c.no_touch:
        touch(c.ks, s, e, c.now_ns)
    return e


cdef inline entry_t* noted(call_t* c, int k, entry_t* e) noexcept nogil:
    """What was found at the k-th key, counted as a hit or a miss."""
    if e == NULL:
        c.misses += 1
        event(c, k, b"keymiss", CLASS_MISS)
    else:
        c.hits += 1
    return e


cdef inline entry_t* read(call_t* c, int k, int argument) noexcept nogil:
    """As `find`, counted."""
    return noted(c, k, find(c, k, argument))


cdef inline bint is_other(call_t* c, entry_t* e, int kind) noexcept nogil:
    """True: the value is of another type, and the error is written."""
    if e == NULL or e.type == kind:
        return False
    call_error(c, E_WRONG_TYPE)
    return True


cdef inline void drop_empty(call_t* c, int k, entry_t* e) noexcept nogil:
    """Removes the k-th key where its value has no elements left. Its entry may be gone afterwards."""
    if count_of(e.type, e.encoding, value_of(e)) == 0:
        event(c, k, b"del", CLASS_GENERIC)
        remove_entry(stripe_of(c, k), c.hashes[k], e)


cdef inline void out_piece(out_t* o, const byte* at) noexcept nogil:
    """An element of a listpack as a bulk string."""
    cdef piece_t piece
    lp_read(at, &piece)
    out_bulk(o, piece.data, piece.size)


cdef class CommandTable:
    """Commands by name, for the reactor. Filled once, before any thread reads it."""
    cdef commands_t table
    cdef int count
    cdef readonly list names           # by id, lower case; a subcommand as `config|get`

    cdef command_t* get(self, bytes name) noexcept


cdef class CoreCommand:
    """One command of the core, callable with the GIL (the ordinary path)."""
    cdef command_fn run
    cdef readonly str name


cdef object enlist(dict commands, str name, command_fn run)
