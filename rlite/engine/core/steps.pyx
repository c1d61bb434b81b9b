# cython: cdivision=True
"""Gathering and running commands of the core, without the GIL; nothing here locks."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from rlite.engine.core.execute cimport find_core, hash_keys
from rlite.engine.core.keyspace cimport stripe_at, stripe_index
from rlite.engine.core.platform cimport rl_monotonic_ns
from rlite.engine.core.resp cimport out_release, parse_init, parse_release
from rlite.engine.core.table cimport table_prefetch, table_prefetch_entry

cdef enum:
    KEEP_OUT = 65536           # a larger reply buffer is given back


cdef void steps_init(steps_t* g, keyspace_t* ks, const commands_t* commands) noexcept nogil:
    memset(g, 0, sizeof(steps_t))
    g.ks = ks
    g.commands = commands
    parse_init(&g.parse)
    g.parse.max_bulk = <int64_t>1 << 62          # what comes was let in once


cdef void steps_release(steps_t* g) noexcept nogil:
    parse_release(&g.parse)
    out_release(&g.out)
    free(g.hashes)
    g.hashes = NULL


cdef void steps_trim(steps_t* g) noexcept nogil:
    if g.out.cap > KEEP_OUT or g.out.failed:
        out_release(&g.out)


cdef command_t* steps_command(steps_t* g) noexcept nogil:
    return find_core(g.commands, g.parse.args + g.parse.base, g.parse.argc)


cdef step_t* steps_add(steps_t* g, command_t* cmd, size_t at, int database) noexcept nogil:
    cdef:
        arg_t* argv = g.parse.args + g.parse.base
        int argc = g.parse.argc, k
        uint64_t* grown
        step_t* step = &g.step[g.n]
    if g.hashes_used + argc > g.hashes_cap:
        grown = <uint64_t*>realloc(g.hashes, 2 * (g.hashes_used + argc) * sizeof(uint64_t))
        if grown == NULL:
            return NULL
        g.hashes = grown
        g.hashes_cap = 2 * (g.hashes_used + argc)
    step.cmd = cmd
    step.base = g.parse.base
    step.argc = argc
    step.at = at
    step.end = g.parse.pos
    step.database = step.leaves = database
    step.first_hash = g.hashes_used
    step.hashes = 0
    step.mask = 0
    step.unlogged = step.python = False
    if cmd != NULL:
        step.hashes = hash_keys(g.ks, cmd, argc, argv, g.hashes + g.hashes_used, &step.mask)
        for k in range(step.first_hash, step.first_hash + step.hashes):
            table_prefetch(&stripe_at(g.ks, database, stripe_index(g.ks, g.hashes[k])).table, g.hashes[k])
        g.hashes_used += step.hashes
    g.n += 1
    return step


cdef void steps_fetch(steps_t* g, int first, int n) noexcept nogil:
    cdef step_t* step
    cdef int i, k
    for i in range(first, n):
        step = &g.step[i]
        for k in range(step.first_hash, step.first_hash + step.hashes):
            table_prefetch_entry(&stripe_at(g.ks, step.database, stripe_index(g.ks, g.hashes[k])).table, g.hashes[k])


cdef void steps_begin(steps_t* g) noexcept nogil:
    memset(&g.call, 0, sizeof(call_t))
    g.call.ks = g.ks
    g.call.resp = 2
    g.call.out = &g.out
    g.call.now_ns = rl_monotonic_ns()


cdef void steps_run(steps_t* g, const step_t* s) noexcept nogil:
    cdef call_t* c = &g.call
    g.out.size = 0
    c.database = s.database
    c.argc, c.argv = s.argc, step_args(g, s)
    c.hashes = g.hashes + s.first_hash
    c.name, c.name_size = <const char*>s.cmd.word, s.cmd.name_size
    c.error = 0
    c.declined = False
    s.cmd.run(c)


cdef list listed(const arg_t* args, int argc):
    cdef int i
    return [PyBytes_FromStringAndSize(args[i].data, args[i].size) for i in range(argc)]
