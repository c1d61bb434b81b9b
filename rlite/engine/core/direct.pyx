"""The short way from a script to the core's commands.

A script holds every stripe while it runs, and was admitted as a whole; what is left to do for each of its commands is
what this does, and what the reactor's plain path does as well: find it, run it, count it. Everything else (commands of
Python, a stripe with observers, what the script must not do) goes the ordinary way. Runs with the GIL.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from rlite.engine.core.counters cimport Counters
from rlite.engine.core.database cimport Database
from rlite.engine.core.execute cimport CommandTable, call_t, command_t, find_core, hash_keys, log_change
from rlite.engine.core.keyspace cimport is_logged, stripe_at, stripe_index
from rlite.engine.core.platform cimport rl_load_int, rl_monotonic_ns
from rlite.engine.core.resp cimport arg_t, out_release, out_t, parse_int

from rlite.engine.reply import Raw

Told = tuple                   # (whether it failed, the reply, whether that is but a line: a status or an error)

cdef enum:
    MOST = 32                  # arguments; a longer command goes the ordinary way
    SPARE = 64                 # bytes that a string takes in Lua beside its own


def argument(value):
    """An argument of redis.call as it goes to the command: strings and numbers of Lua; None for what cannot be one."""
    if type(value) is bytes:
        return value
    if type(value) is int:
        return b"%d" % value
    if type(value) is float:
        return b"%d" % value if value.is_integer() and abs(value) < 2**63 else b"%.17g" % value
    return None


cdef class Direct:
    """redis.call of one Lua runtime. What cannot go the short way goes by `otherwise(args)`.

    Returns `Told`. resp: the protocol that
    the script has chosen. wrote: whether a command that writes has run since `begin`.
    """
    cdef object otherwise, convert, memory_used
    cdef int64_t most
    cdef Database db           # None: nothing goes the short way
    cdef CommandTable table
    cdef Counters counters
    cdef bint may_write, may_grow
    cdef int64_t slow_ns
    cdef object noteworthy
    cdef public int resp
    cdef readonly bint wrote

    def __init__(self, otherwise, convert, memory_used, int64_t most):
        """convert(reply, failed): makes any reply what this returns. memory_used(): the bytes that Lua takes; `most` is
        what it may take with a reply."""
        self.otherwise, self.convert, self.memory_used, self.most = otherwise, convert, memory_used, most
        self.resp = 2

    def begin(self, Database db, CommandTable table, Counters counters, bint may_write, bint may_grow, int64_t slow_ns,
              noteworthy):
        """A script begins, for a client of this database, with every stripe locked. Of commands that take slow_ns,
        noteworthy(words, ns, bytes of reply) is told."""
        self.db, self.table, self.counters = db, table, counters
        self.may_write, self.may_grow = may_write, may_grow
        self.slow_ns, self.noteworthy = slow_ns, noteworthy
        self.wrote = False

    def end(self):
        """Nothing goes the short way any more."""
        self.db = None

    def __call__(self, *args):
        done = None if self.db is None else self.run(args)
        return self.otherwise(args) if done is None else done

    cdef tuple run(self, tuple args):
        """Runs a command; None: nothing was done."""
        cdef:
            arg_t argv[MOST]
            uint64_t hashes[MOST]
            uint64_t mask
            call_t c
            out_t out, effect
            command_t* cmd
            int argc = <int>len(args), i, n
            int64_t started, took
            list held = None
            bytes arg
        if not 0 < argc <= MOST:
            return None
        for i in range(argc):
            value = args[i]
            if type(value) is not bytes:
                value = argument(value)
                if value is None:
                    return None
                if held is None:
                    held = []
                held.append(value)
            arg = value
            argv[i].data, argv[i].size = arg, len(arg)
        cmd = find_core(&self.table.table, argv, argc)
        if cmd == NULL:
            return None
        if (cmd.write and not self.may_write) or (cmd.denyoom and not self.may_grow):
            return None
        n = hash_keys(self.db.ks, cmd, argc, argv, hashes, &mask)
        if mask & ~self.db.held:
            return None
        if rl_load_int(&self.db.ks.observers):
            for i in range(n):
                if rl_load_int(&stripe_at(self.db.ks, self.db.index, stripe_index(self.db.ks, hashes[i])).observers):
                    return None
        memset(&c, 0, sizeof(c))
        memset(&out, 0, sizeof(out))
        memset(&effect, 0, sizeof(effect))
        started = rl_monotonic_ns()
        c.ks = self.db.ks
        c.database = self.db.index
        c.resp = self.resp
        c.argc, c.argv = argc, argv
        c.hashes = hashes
        c.out = &out
        c.now_ns = started
        c.no_touch = self.db.no_touch
        c.name, c.name_size = <const char*>cmd.word, cmd.name_size
        self.wrote = self.wrote or cmd.write
        c.effect = &effect if cmd.write and is_logged(self.db.ks) else NULL
        cmd.run(&c)
        try:
            if out.failed:
                raise MemoryError
            if c.declined:
                return None
            if c.dirty and c.effect != NULL:
                log_change(&c, NULL, 0)
            took = rl_monotonic_ns() - started
            self.counters.count(cmd.id, took, c.error != 0)
            self.counters.dirty += c.dirty
            self.counters.hits += c.hits
            self.counters.misses += c.misses
            if c.error:
                self.counters.count_error(c.error)
            if took >= self.slow_ns:
                self.noteworthy([argv[i].data[:argv[i].size] for i in range(argc)], took, out.size)
            return self.told(&out, c.error != 0)
        finally:
            out_release(&out)
            out_release(&effect)

    cdef tuple told(self, out_t* out, bint failed):
        """A whole reply as Lua gets it."""
        cdef int64_t n
        cdef size_t at = 1
        if out.data[0] == c':' and parse_int(out.data + 1, out.size - 3, &n):
            return failed, n, False
        if self.memory_used() + out.size + SPARE > self.most:
            return self.convert(Raw(out.data[:out.size]), failed)
        if out.data[0] == c'+' or out.data[0] == c'-':
            return failed, out.data[1:out.size - 2], True
        if out.data[0] == c'$' and out.data[1] != c'-':
            while out.data[at] != c'\r':
                at += 1
            return failed, out.data[at + 2:out.size - 2], False
        return self.convert(Raw(out.data[:out.size]), failed)
