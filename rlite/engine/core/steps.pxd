"""Commands that are not a client's, gathered from a buffer and run some dozens at a time: for the replay of a log, and
for a master's stream. Whoever uses this locks, decides, and logs."""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.execute cimport call_t, command_t, commands_t
from rlite.engine.core.keyspace cimport keyspace_t
from rlite.engine.core.resp cimport arg_t, out_t, parse_t

cdef enum:
    BATCH = 64                 # commands gathered before they run: the look-ahead hides the memory's latency

cdef struct step_t:            # a gathered command
    command_t* cmd             # NULL: nothing to run, or `python`
    bint python                # of a stream: the core has not got it
    int base                   # of its arguments
    int argc
    int first_hash             # of its keys
    int hashes
    int database               # that it runs in
    int leaves                 # … and leaves selected
    uint64_t mask              # of the locks of its keys
    size_t at                  # where it, or the record that it is in, begins
    size_t end                 # where it ends
    bint unlogged              # of a stream: it counts there, and is no part of the log

cdef struct steps_t:
    keyspace_t* ks
    const commands_t* commands
    parse_t parse
    out_t out                  # of replies, which nobody gets
    call_t call                # of the step that ran last
    uint64_t* hashes
    int hashes_cap
    int hashes_used
    step_t step[BATCH]
    int n

cdef void steps_init(steps_t* g, keyspace_t* ks, const commands_t* commands) noexcept nogil
cdef void steps_release(steps_t* g) noexcept nogil
cdef void steps_trim(steps_t* g) noexcept nogil               # gives back what one large reply has taken
cdef command_t* steps_command(steps_t* g) noexcept nogil      # the one just parsed; NULL: the core has not got it, so or at all
cdef step_t* steps_add(steps_t* g, command_t* cmd, size_t at, int database) noexcept nogil   # it; NULL: no memory
cdef void steps_fetch(steps_t* g, int first, int n) noexcept nogil    # their locks are held: what they touch is on its way
cdef void steps_begin(steps_t* g) noexcept nogil              # calls from here on are made now
cdef void steps_run(steps_t* g, const step_t* s) noexcept nogil       # under its locks; `call` and `out` tell what came of it

cdef inline void steps_forget(steps_t* g) noexcept nogil:
    """What was gathered; its arguments stay until `parse_reset`."""
    g.n = g.hashes_used = 0

cdef inline arg_t* step_args(steps_t* g, const step_t* s) noexcept nogil:
    return g.parse.args + s.base

cdef inline bint named(const arg_t* name, const char* upper, size_t size) noexcept nogil:
    cdef size_t i
    if name.size != size:
        return False
    for i in range(size):
        if (<unsigned char>name.data[i] & 0xdf) != <unsigned char>upper[i]:
            return False
    return True

cdef list listed(const arg_t* args, int argc)                 # a command as Python sees it
