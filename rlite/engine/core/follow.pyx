# cython: cdivision=True
"""Applies the stream of a master while clients read, and logs it as it came, at the master's offsets.

Commands of the core run without the GIL, some dozens for one taking of the locks of their keys; a transaction runs when
all of it is there, under every lock, so that nobody sees half of it. What the core has not got, or what somebody
watches or waits for, goes to Python under every lock (`otherwise`), and so does everything while the gate is closed.
Knows nothing of sockets: it gets bytes, cut anywhere.

The log gets every byte, under the locks of what it changed, in pieces: commands that changed places with one batch of
locks, or a transaction, are a record each. What changed nothing here and must count all the same (PUBLISH, GETACK, an
empty line, a command that failed) is a gap in the files, and goes to replicas of this server.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memmove

from rlite.engine import errors
from rlite.engine.core.database cimport Database
from rlite.engine.core.errors cimport E_OUT_OF_MEMORY
from rlite.engine.core.eviction cimport evict_until_within
from rlite.engine.core.execute cimport command_t
from rlite.engine.core.keyspace cimport all_stripes, lock_mask, set_link, stripe_at, stripe_index, unlock_mask
from rlite.engine.core.log cimport log_follow, log_follow_gap, log_relieve
from rlite.engine.core.platform cimport rl_load, rl_load_int, rl_monotonic_ns, rl_store, rl_store_int, rl_wall_ms
from rlite.engine.core.resp cimport (
    PARSED_COMMAND, PARSED_MORE, PARSED_NOTHING, out_raw, out_release, parse_int, parse_request, parse_reset, parsed,
    well_framed,
)
from rlite.engine.core.steps cimport (
    BATCH, listed, named, step_args, steps_add, steps_begin, steps_command, steps_fetch, steps_forget, steps_init,
    steps_release, steps_run, steps_trim,
)

cdef enum:
    KEEP = 1 << 20             # a larger buffer for what does not end yet is given back when it has
    SHOWN = 40                 # bytes of what is no command that an error shows

cdef size_t NONE = <size_t>-1


cdef class Follower:
    """A master's stream, from `offset` on; `database` is the one it has selected there.

    otherwise(db, args) -> error or None: runs a command that is Python's, in and under `db`, a Database that holds every
    lock; what it raises is raised from `feed`, and the data may then stand at no offset at all. An error that it returns,
    or that a command of the core answers with, is counted (`failed`, and the first in `failure`), and the stream goes on:
    the master has done it, whatever we think of it. counters: of the thread that feeds.
    """

    def __cinit__(self, Keyspace keyspace not None, CommandTable table not None, Gate gate not None, otherwise,
                  Counters counters not None, int64_t offset=0, int database=0):
        self.keyspace, self.ks = keyspace, keyspace.ks
        self.table, self.gate, self.otherwise, self.counters = table, gate, otherwise, counters
        self.base = self._offset = offset
        self.multi = self.piece = NONE
        self.selected = database
        steps_init(&self.steps, self.ks, &table.table)
        self.parse = &self.steps.parse

    def __dealloc__(self):
        steps_release(&self.steps)
        out_release(&self.rest)

    @property
    def offset(self):
        """Behind the last byte that was applied; may be read by any thread, as all figures here."""
        return rl_load(&self._offset)

    @property
    def read(self):
        """Behind the last byte that has come."""
        return self.base + <int64_t>self.rest.size

    @property
    def commands(self):
        """How many have been applied."""
        return rl_load(&self._commands)

    @property
    def failed(self):
        """How many of them answered with an error."""
        return rl_load(&self._failed)

    @property
    def selected(self):
        """The database that the next command runs in."""
        return self.database

    @selected.setter
    def selected(self, int index):
        if not 0 <= index < self.ks.databases:
            raise ValueError(f"database {index} of {self.ks.databases}")
        self.database = index

    def end(self):
        """From any thread: nothing more is applied. Who holds every lock knows that nothing is being applied either."""
        rl_store_int(&self.ended, 1)

    def feed(self, const unsigned char[::1] data not None) -> bool:
        """Applies what is complete with these bytes, and keeps the rest for later. False: `end` was called.

        Raises ValueError, which names the offset, for bytes that are no commands; MemoryError; and what `otherwise`
        raises. Nothing more is applied then.
        """
        cdef outcome_t why
        cdef bint before
        cdef size_t size = data.shape[0]
        if size and not self.ended:
            self.data = <const char*>&data[0]
            if self.rest.size:
                out_raw(&self.rest, self.data, size)
                if self.rest.failed:
                    self.end()
                    raise MemoryError("not enough memory for what a master sent")
                self.data, size = self.rest.data, self.rest.size
            before = set_link(True)
            with nogil:
                why = self.run(size)
            set_link(before)
            steps_trim(&self.steps)
            if why != GOES_ON:
                self.end()
            if why == BROKEN:
                raise ValueError(f"at offset {self.base + <int64_t>self.begin} of the master's stream is no command: "
                                 f"{self.data[self.begin:min(size, self.begin + SHOWN)]!r}")
            if why == RAISED:
                raised, self.raised = self.raised, None
                raise raised
            if why == GOES_ON:
                self.keep(size)
        return not self.ended

    cdef int keep(self, size_t size) except -1:
        """Keeps what does not end yet; its parsing goes on where it stopped."""
        cdef size_t done = self.begin if self.multi == NONE else self.multi
        cdef size_t left = size - done
        cdef int i
        if self.data == self.rest.data:
            memmove(self.rest.data, self.rest.data + done, left)
            self.rest.size = left
        else:
            out_raw(&self.rest, self.data + done, left)
        if self.rest.failed:
            self.end()
            raise MemoryError("not enough memory for what a master sent")
        if left == 0 and self.rest.cap > KEEP:
            out_release(&self.rest)
        self.base += done
        self.begin -= done
        self.parse.pos -= done
        if self.multi != NONE:
            self.multi -= done
            self.multi_end -= done
        if self.parse.want:            # arguments so far are places in the buffer, and stand at the front of `args`
            for i in range(self.parse.argc):
                self.parse.args[i].data -= done
        return 0

    # --- what comes ---

    cdef outcome_t run(self, size_t size) noexcept nogil:
        cdef parsed what
        cdef outcome_t why
        cdef char first = c'*'
        while True:
            if self.parse.want == 0:
                self.begin = self.parse.pos
                if self.begin == size:
                    break
                first = self.data[self.begin]
                if first == c'\r' and self.begin + 1 == size:
                    break
            if self.parse.want == 0 and first != c'*':
                if first == c'\r' and self.data[self.begin + 1] == c'\n':
                    self.parse.pos += 2
                elif first == c'\n':
                    self.parse.pos += 1
                else:
                    why = self.flush()
                    return BROKEN if why == GOES_ON else why
                what = PARSED_NOTHING
            else:
                what = parse_request(self.parse, self.data, size)
            if what == PARSED_MORE:
                break
            if what == PARSED_NOTHING:
                if self.multi != NONE:             # seen to when all is there
                    continue
                if steps_add(&self.steps, NULL, self.begin, self.database) == NULL:
                    return self.no_memory()
                self.steps.step[self.steps.n - 1].argc = 0
                self.steps.step[self.steps.n - 1].unlogged = True
            elif what != PARSED_COMMAND or not well_framed(
                    self.data + self.begin, self.parse.args + self.parse.base, self.parse.argc):
                why = self.flush()
                return BROKEN if why == GOES_ON else why
            elif self.parse.argc == 1 and named(self.parse.args + self.parse.base, b"MULTI", 5):
                why = self.flush()
                if why == GOES_ON and self.multi != NONE:
                    why = BROKEN
                if why != GOES_ON:
                    return why
                self.multi = self.begin
                self.multi_end = self.parse.pos
                parse_reset(self.parse)
                continue
            elif self.multi != NONE:
                if self.parse.argc == 1 and named(self.parse.args + self.parse.base, b"EXEC", 4):
                    why = self.transaction()
                    if why != GOES_ON:
                        return why
                parse_reset(self.parse)
                continue
            elif self.gather() == NULL:
                return self.no_memory()
            if self.steps.n == BATCH:
                why = self.flush()
                if why != GOES_ON:
                    return why
        return self.flush()

    cdef step_t* gather(self) noexcept nogil:
        """Makes a step of the command just parsed. NULL: no memory."""
        cdef:
            arg_t* argv = self.parse.args + self.parse.base
            int argc = self.parse.argc, database = self.database
            int64_t index
            step_t* step
            command_t* cmd = NULL
            bint unlogged = False, python = False
        if argc == 2 and named(argv, b"SELECT", 6):
            if parse_int(argv[1].data, argv[1].size, &index) and 0 <= index < self.ks.databases:
                self.database = <int>index
            else:
                self.fails(argv, argc, NULL, 0)
                unlogged = True
            rl_store(&self._commands, self._commands + 1)
        elif named(argv, b"REPLCONF", 8):
            if argc > 1 and named(&argv[1], b"GETACK", 6):
                self.asked = True
            unlogged = True
        else:
            cmd = steps_command(&self.steps)
            if cmd == NULL:
                python = True
                # In a transaction, which scripts make of it too, it may stand in the log: nobody listens when that runs.
                unlogged = self.multi == NONE and (named(argv, b"PUBLISH", 7) or named(argv, b"SPUBLISH", 8))
        step = steps_add(&self.steps, cmd, self.begin, database)
        if step != NULL:
            step.leaves = self.database
            step.unlogged = unlogged
            step.python = python
        return step

    # --- what is done with it ---

    cdef outcome_t flush(self) noexcept nogil:
        """Runs what has been gathered, and forgets its arguments."""
        cdef:
            steps_t* g = &self.steps
            step_t* step
            uint64_t mask
            int i = 0, k, n = g.n
            bint failed, declined
            outcome_t why = GOES_ON
        steps_forget(g)
        while i < n:
            mask = 1                   # at least one lock, so that no role changes meanwhile
            for k in range(i, n):
                mask |= g.step[k].mask
            if rl_load(&self.ks.maxmemory):
                evict_until_within(self.ks)
            lock_mask(self.ks, mask)
            if rl_load_int(&self.ended):
                unlock_mask(self.ks, mask)
                return ENDED
            steps_fetch(g, i, n)
            steps_begin(g)
            self.now_ms = rl_wall_ms()
            declined = False
            while i < n:
                step = &g.step[i]
                failed = step.unlogged
                if step.python or (step.cmd != NULL and not self.is_plain(step)):
                    declined = True
                elif step.cmd != NULL:
                    why = self.plain(step, &declined)
                    failed = failed or g.call.error
                if declined or why != GOES_ON:
                    break
                self.note_step(step, failed)
                i += 1
            self.log_piece()
            unlock_mask(self.ks, mask)
            if declined and why == GOES_ON:
                why = self.alone(&g.step[i])
                i += 1
            if why != GOES_ON:
                return why
            if self.ks.log != NULL:
                log_relieve(self.ks.log)
        parse_reset(self.parse)
        return GOES_ON

    cdef outcome_t transaction(self) noexcept nogil:
        """Runs all between MULTI and the EXEC just parsed, under every lock."""
        cdef:
            size_t exec_at = self.begin, end = self.parse.pos
            uint64_t every = all_stripes(self.ks)
            step_t* step
            bint failed, declined
            outcome_t why = GOES_ON
        parse_reset(self.parse)
        self.parse.pos = self.multi_end
        if rl_load(&self.ks.maxmemory):
            evict_until_within(self.ks)
        lock_mask(self.ks, every)
        if rl_load_int(&self.ended):
            unlock_mask(self.ks, every)
            return ENDED
        steps_begin(&self.steps)
        self.now_ms = rl_wall_ms()
        self.torn = False
        self.note(self.multi, self.multi_end, self.database, self.database, False)
        while self.parse.pos < exec_at and why == GOES_ON:
            self.begin = self.parse.pos
            if self.data[self.begin] != c'*':
                self.parse.pos += 1
                self.note(self.begin, self.parse.pos, self.database, self.database, True)
                continue
            if parse_request(self.parse, self.data, exec_at) != PARSED_COMMAND:     # there is one, or nothing
                self.note(self.begin, self.parse.pos, self.database, self.database, True)
                continue
            step = self.gather()
            if step == NULL:
                why = self.no_memory()
                break
            steps_forget(&self.steps)
            failed = step.unlogged
            declined = step.python or (step.cmd != NULL and not self.is_plain(step))
            if step.cmd != NULL and not declined:
                why = self.plain(step, &declined)
                failed = failed or self.steps.call.error
            if declined:
                with gil:
                    why = self.python(step, &failed)
            if why == GOES_ON:
                self.note_step(step, failed)
            parse_reset(self.parse)
        if why == GOES_ON:
            self.note(exec_at, end, self.database, self.database, self.torn)
            self.log_piece()
        unlock_mask(self.ks, every)
        if self.ks.log != NULL:
            log_relieve(self.ks.log)
        self.begin = exec_at
        self.parse.pos = end
        self.multi = NONE
        return why

    cdef outcome_t alone(self, step_t* step) noexcept nogil:
        """Has Python run one command, and logs it."""
        cdef outcome_t why = ENDED
        cdef bint failed = step.unlogged
        with gil:
            self.keyspace.acquire(all_stripes(self.ks))
            if not rl_load_int(&self.ended):
                why = self.python(step, &failed)
            if why == GOES_ON:
                self.note_step(step, failed)
                self.log_piece()
            self.keyspace.release(all_stripes(self.ks))
        return why

    cdef outcome_t python(self, step_t* step, bint* failed) noexcept:
        """Has Python run a command, under every lock."""
        cdef Database db
        cdef bytes text
        try:
            db = Database(self.keyspace, step.database)
            db.held = all_stripes(self.ks)
            try:
                error = self.otherwise(db, listed(step_args(&self.steps, step), step.argc))
            finally:
                db.held = 0
            rl_store(&self._commands, self._commands + 1)
            if error is not None:
                text = error.encode("utf-8", "surrogateescape")
                self.fails(step_args(&self.steps, step), step.argc, text, len(text))
                failed[0] = True
        except BaseException as fault:
            self.raised = fault
            return RAISED
        return GOES_ON

    cdef bint is_plain(self, const step_t* step) noexcept nogil:
        """Whether nobody but the data has to know of a command of the core; its locks are held."""
        cdef int k
        if rl_load_int(&self.gate.reasons):
            return False
        if rl_load_int(&self.ks.observers):
            for k in range(step.first_hash, step.first_hash + step.hashes):
                if rl_load_int(&stripe_at(self.ks, step.database, stripe_index(self.ks, self.steps.hashes[k])).observers):
                    return False
        return True

    cdef outcome_t plain(self, step_t* step, bint* declined) noexcept nogil:
        """Runs a command of the core; `declined`: nothing was done, and Python must have it."""
        cdef steps_t* g = &self.steps
        cdef int64_t began = g.call.now_ns
        g.call.dirty = g.call.hits = g.call.misses = 0
        steps_run(g, step)
        if g.call.declined:
            declined[0] = True
            return GOES_ON
        if g.out.failed or g.call.error == E_OUT_OF_MEMORY:
            return self.no_memory()
        g.call.now_ns = rl_monotonic_ns()
        rl_store(&self._commands, self._commands + 1)
        self.counters.count(step.cmd.id, g.call.now_ns - began, g.call.error != 0)
        self.counters.dirty += g.call.dirty
        self.counters.hits += g.call.hits
        self.counters.misses += g.call.misses
        if g.call.error:
            self.counters.count_error(g.call.error)
            self.fails(step_args(g, step), step.argc, g.out.data + 1, g.out.size - 3)
        return GOES_ON

    cdef outcome_t no_memory(self) noexcept nogil:
        with gil:
            self.raised = MemoryError("not enough memory for what a master sent")
        return RAISED

    cdef void fails(self, const arg_t* argv, int argc, const char* text, size_t size) noexcept nogil:
        """Notes that a command failed. text: of the error; NULL: the database that it names does not exist."""
        rl_store(&self._failed, self._failed + 1)
        if self._failed > 1:
            return
        with gil:
            self.failure = (listed(argv, argc), errors.DB_OUT_OF_RANGE if text == NULL else
                            text[:size].decode("utf-8", "surrogateescape"))

    # --- the log: the locks of what was changed are held ---

    cdef void note_step(self, const step_t* step, bint unlogged) noexcept nogil:
        self.note(step.at, step.end, step.database, step.leaves, unlogged)

    cdef void note(self, size_t at, size_t end, int database, int leaves, bint unlogged) noexcept nogil:
        """Takes bytes of the stream for done."""
        if unlogged:
            if self.multi != NONE and not self.torn:       # not all of it is for the log: its commands are, one by one
                self.torn = True
                self.log_gap(self.multi, self.multi_end)
                self.piece = NONE if self.piece_end == self.multi_end else self.multi_end
            self.log_piece()
            self.log_gap(at, end)
        else:
            if self.piece == NONE:
                self.piece = at
                self.piece_database = database
            self.piece_end = end
            self.piece_leaves = leaves

    cdef void log_piece(self) noexcept nogil:
        if self.piece == NONE:
            return
        if self.ks.log != NULL:
            log_follow(self.ks.log, self.base + self.piece, self.piece_database, self.piece_leaves, self.now_ms,
                       self.data + self.piece, self.piece_end - self.piece)
        rl_store(&self._offset, self.base + self.piece_end)
        self.piece = NONE

    cdef void log_gap(self, size_t at, size_t end) noexcept nogil:
        if self.ks.log != NULL:
            log_follow_gap(self.ks.log, self.base + at, self.data + at, end - at)
        rl_store(&self._offset, self.base + end)
