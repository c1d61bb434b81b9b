# cython: cdivision=True
"""Runs logged commands into a keyspace at start, as fast as it goes.

Commands of the core run straight through their functions, without the GIL, some dozens for one taking of all locks;
everything else goes to Python one by one (`otherwise`). Replies are thrown away. Knows nothing of files: it gets buffers,
and says where in them it stopped and why. While it works `Keyspace.loading` should be set (nothing expires then).
"""
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp

from rlite.engine import errors
from rlite.engine.core.execute cimport CommandTable, command_t
from rlite.engine.core.keyspace cimport Keyspace, all_stripes, keyspace_t, lock_mask, unlock_mask
from rlite.engine.core.platform cimport rl_load, rl_store
from rlite.engine.core.records cimport (
    RECORD_CRC, RECORD_END, RECORD_GOOD, RECORD_LENGTH, RECORD_SHORT, record_at, record_state, record_t,
)
from rlite.engine.core.resp cimport (
    PARSED_COMMAND, PARSED_ERROR, PARSED_INLINE, PARSED_MORE, arg_t, parse_int, parse_request, parse_reset,
    parse_t, parsed, well_framed,
)
from rlite.engine.core.steps cimport (
    BATCH, listed, named, step_args, step_t, steps_add, steps_begin, steps_command, steps_fetch, steps_forget,
    steps_init, steps_release, steps_run, steps_t, steps_trim,
)

cdef enum stop_t:              # why `records` and `commands` return
    STOP_UNTIL                 # `until` is reached
    STOP_END                   # the bytes end here, between records or commands
    STOP_SHORT                 # they end inside one, or inside a transaction
    STOP_LENGTH                # records: no record is so short
    STOP_CRC
    STOP_OFFSET                # records: it begins before the one before it ends
    STOP_RESP                  # the RESP is none
    STOP_FAILED                # a command failed that must not
    STOP_RAISED                # `otherwise` raised

STOPS = {
    STOP_UNTIL: "until", STOP_END: "end", STOP_SHORT: "short", STOP_LENGTH: "length", STOP_CRC: "crc",
    STOP_OFFSET: "offset", STOP_RESP: "resp", STOP_FAILED: "failed",
}


cdef class Replay:
    """The commands of a log, run into a keyspace.

    otherwise(database, args) -> (error or None, fatal): runs a command that the core has not, or declined. An error is
    counted, and ends the replay where `strict` is set or `fatal` is true. What it raises is raised from `records` and
    `commands`. strict: no command may fail (our own log holds only what has succeeded).
    """
    cdef Keyspace keyspace
    cdef keyspace_t* ks
    cdef CommandTable table
    cdef object otherwise
    cdef object raised
    cdef bint strict
    cdef steps_t steps
    cdef parse_t* parse                # of the steps
    cdef bint locked
    cdef int database              # of the next command
    cdef size_t fault_at           # where STOP_FAILED happened
    cdef readonly size_t broken_at     # where in the buffer the last command began that does not end, or is none
    cdef int64_t _commands
    cdef int64_t _failed
    cdef int64_t _offset           # where the next record may begin
    cdef int64_t _last_ms
    cdef int64_t _records
    cdef readonly object failure   # (command, error) of the first that failed; None: none has

    def __cinit__(self, Keyspace keyspace, CommandTable table, otherwise, bint strict=True):
        self.keyspace, self.ks = keyspace, keyspace.ks
        self.table, self.otherwise, self.strict = table, otherwise, strict
        steps_init(&self.steps, self.ks, &table.table)
        self.parse = &self.steps.parse

    def __dealloc__(self):
        steps_release(&self.steps)

    @property
    def running(self):
        """Commands run so far; may be read by any thread."""
        return rl_load(&self._commands)

    @property
    def failed(self):
        """How many of them answered with an error."""
        return rl_load(&self._failed)

    @property
    def count(self):
        """Records replayed so far."""
        return self._records

    @property
    def offset(self):
        """Records: where in the history the last one ended."""
        return self._offset

    @offset.setter
    def offset(self, int64_t offset):
        self._offset = offset

    @property
    def last_ms(self):
        """Unix time of the last good record, or of the last line that tells it; 0: none did."""
        return self._last_ms

    @property
    def longest(self):
        """Bytes that an argument may have; one that says it has more makes its command none."""
        return self.parse.max_bulk

    @longest.setter
    def longest(self, int64_t size):
        self.parse.max_bulk = size

    @property
    def selected(self):
        """The database that the next command runs in."""
        return self.database

    @selected.setter
    def selected(self, int index):
        self.database = index

    def records(self, const unsigned char[::1] data not None, size_t size, size_t at, uint32_t seed, size_t until):
        """Runs the records from `at` on of the first `size` bytes of a buffer, up to the first that begins at or behind
        `until`. Returns (why, where): a word of STOPS, and where the next record, or the bad one, begins.

        Everything before that has been run; of a record that holds "failed" or "resp", some may have been.
        """
        cdef stop_t why
        cdef size_t where = at
        if size > <size_t>data.shape[0] or at > size:
            raise IndexError(f"bytes {at} to {size} of {data.shape[0]}")
        if size == at:
            return STOPS[STOP_END], at
        with nogil:
            why = self.run_records(<const char*>&data[0], size, &where, seed, until)
        return self.stopped(why, where)

    def commands(self, const unsigned char[::1] data not None, size_t size, size_t at, size_t until):
        """The same for a log that is RESP and nothing else, with lines that begin with `#` between the commands. A
        transaction is run when all of it is there: "short" where it is not, and `where` is its MULTI then.
        """
        cdef stop_t why
        cdef size_t where = at
        if size > <size_t>data.shape[0] or at > size:
            raise IndexError(f"bytes {at} to {size} of {data.shape[0]}")
        if size == at:
            return STOPS[STOP_END], at
        with nogil:
            why = self.run_commands(<const char*>&data[0], size, &where, until)
        return self.stopped(why, where)

    cdef tuple stopped(self, stop_t why, size_t where):
        self.unlock()
        steps_trim(&self.steps)
        if why == STOP_RAISED:
            raised, self.raised = self.raised, None
            raise raised
        return STOPS[why], where

    # --- the two forms -----------------------------------------------------------------------------------------------

    cdef stop_t run_records(self, const char* data, size_t size, size_t* where, uint32_t seed, size_t until) noexcept nogil:
        cdef:
            record_t r
            record_state state
            size_t at = where[0]
            stop_t why = STOP_UNTIL, ran
            parsed what
        self.begin()
        while at < until:
            state = record_at(data, size, at, seed, &r)
            if state != RECORD_GOOD:
                why = (STOP_END if state == RECORD_END else STOP_SHORT if state == RECORD_SHORT else
                       STOP_LENGTH if state == RECORD_LENGTH else STOP_CRC)
                break
            if r.offset < self._offset:
                why = STOP_OFFSET
                break
            if r.database >= <uint32_t>self.ks.databases:
                why = self.beyond(at, r.database)
                break
            self.database = <int>r.database
            self.parse.pos = r.resp - data
            while self.parse.pos < r.end - 4:
                what = parse_request(self.parse, data, r.end - 4)
                if what != PARSED_COMMAND:
                    self.abandon()
                    why = STOP_RESP
                    break
                why = self.take(at)
                if why != STOP_UNTIL:
                    break
            if why != STOP_UNTIL:
                break
            self._offset = r.offset + <int64_t>r.resp_size
            self._last_ms = r.ms
            self._records += 1
            at = r.end
        ran = self.flush()
        if ran != STOP_UNTIL:            # before whatever else was found
            why = ran
        elif why == STOP_UNTIL and at == size:
            why = STOP_END
        where[0] = self.fault_at if why == STOP_FAILED or why == STOP_RAISED else at
        return why

    cdef stop_t run_commands(self, const char* data, size_t size, size_t* where, size_t until) noexcept nogil:
        cdef:
            size_t at = where[0]
            size_t inside = 0              # up to where the transaction at hand goes
            size_t multi = 0               # where it begins
            stop_t why = STOP_UNTIL, ran
        self.begin()
        self.parse.pos = at
        while at < until or at < inside:
            if at == size:
                why = STOP_END
                break
            if data[at] == c'#':
                why = self.remark(data, size)
            elif data[at] != c'*':
                self.broken_at = at
                why = STOP_RESP
            else:
                why = self.whole(data, size)
            if why != STOP_UNTIL:
                break
            if data[at] == c'*':
                if at >= inside and self.parse.argc == 1 and named(&self.parse.args[self.parse.base], b"MULTI", 5):
                    multi = at
                    why = self.transaction(data, size, &inside)
                    if why != STOP_UNTIL:
                        break
                else:
                    why = self.take(at)
                    if why != STOP_UNTIL:
                        break
            at = self.parse.pos
        ran = self.flush()
        if ran != STOP_UNTIL:
            why = ran
        elif why == STOP_UNTIL and at == size:
            why = STOP_END
        where[0] = self.fault_at if why == STOP_FAILED or why == STOP_RAISED else at
        return why

    cdef stop_t whole(self, const char* data, size_t size) noexcept nogil:
        """One command, complete, and each line of it ended as it must be: nothing else vouches for its lengths."""
        cdef parsed what
        self.broken_at = self.parse.pos
        what = parse_request(self.parse, data, size)
        if what == PARSED_COMMAND:
            if well_framed(data + self.broken_at, self.parse.args + self.parse.base, self.parse.argc):
                return STOP_UNTIL
            what = PARSED_ERROR
        self.abandon()
        return STOP_SHORT if what == PARSED_MORE else STOP_RESP

    cdef stop_t remark(self, const char* data, size_t size) noexcept nogil:
        """A line that begins with `#`; `#TS:` and Unix seconds tell when the commands behind it ran."""
        cdef int64_t seconds
        cdef parsed what
        self.broken_at = self.parse.pos
        what = parse_request(self.parse, data, size)
        if what == PARSED_MORE:
            return STOP_SHORT
        if what != PARSED_INLINE:
            return STOP_RESP
        if self.parse.line_size > 4 and memcmp(self.parse.line, b"#TS:", 4) == 0 and \
                parse_int(self.parse.line + 4, self.parse.line_size - 4, &seconds) and 0 <= seconds < (<int64_t>1 << 50):
            self._last_ms = seconds * 1000
        return STOP_UNTIL

    cdef stop_t transaction(self, const char* data, size_t size, size_t* end) noexcept nogil:
        """Behind MULTI: looks for its EXEC, and stays where it is. `end`: where EXEC begins, which is passed over later."""
        cdef size_t begin = self.parse.pos, at
        cdef stop_t why
        cdef int n = 0
        why = self.flush()                 # what was gathered so far; its arguments go
        if why != STOP_UNTIL:
            return why
        while True:
            at = self.parse.pos
            self.broken_at = at
            if at == size:
                return STOP_SHORT
            if data[at] == c'#':
                why = self.remark(data, size)
            elif data[at] != c'*':
                return STOP_RESP
            else:
                why = self.whole(data, size)
            if why != STOP_UNTIL:
                return why
            if data[at] == c'*':
                if self.parse.argc == 1 and named(&self.parse.args[self.parse.base], b"EXEC", 4):
                    break
                parse_reset(self.parse)
        parse_reset(self.parse)
        self.parse.pos = begin
        end[0] = at
        return STOP_UNTIL

    # --- commands ----------------------------------------------------------------------------------------------------

    cdef void begin(self) noexcept nogil:
        self.parse.want = self.parse.argc = self.parse.base = 0
        steps_forget(&self.steps)

    cdef void abandon(self) noexcept nogil:
        """Forgets a command that does not end; those gathered before it stay."""
        self.parse.want = 0
        self.parse.argc = 0

    cdef stop_t take(self, size_t at) noexcept nogil:
        """The command just parsed: kept for the next batch, or run at once where Python must have it."""
        cdef:
            arg_t* argv = self.parse.args + self.parse.base
            int argc = self.parse.argc
            int64_t index
            command_t* cmd
            stop_t why
        if argv[0].size <= 6:
            if argc == 2 and named(argv, b"SELECT", 6):
                if not parse_int(argv[1].data, argv[1].size, &index) or not 0 <= index < self.ks.databases:
                    why = self.flush()
                    return why if why != STOP_UNTIL else self.fails(at, argv, argc, <const char*>NULL, 0)
                self.database = <int>index
                rl_store(&self._commands, self._commands + 1)
                return self.passed_over()
            if argc == 1 and (named(argv, b"MULTI", 5) or named(argv, b"EXEC", 4)):
                return self.passed_over()          # all of it is there, and nobody looks on
        cmd = steps_command(&self.steps)
        if cmd == NULL:
            why = self.flush_before()
            if why == STOP_UNTIL:
                why = self.ask_python(at, argv, argc)
            parse_reset(self.parse)
            return why
        if steps_add(&self.steps, cmd, at, self.database) == NULL:
            why = self.flush()
            return why if why != STOP_UNTIL else self.fails(at, argv, argc, b"no memory", 9)
        return self.flush() if self.steps.n == BATCH else STOP_UNTIL

    cdef stop_t passed_over(self) noexcept nogil:
        """The command just parsed has been dealt with; its arguments go at once where nothing has been gathered."""
        if self.steps.n == 0:
            parse_reset(self.parse)
        return STOP_UNTIL

    cdef stop_t flush(self) noexcept nogil:
        """Runs what has been gathered, and forgets its arguments."""
        cdef stop_t why = self.flush_before()
        parse_reset(self.parse)
        self.unlock()
        return why

    cdef stop_t flush_before(self) noexcept nogil:
        """Runs what has been gathered; the command just parsed keeps its arguments."""
        cdef:
            steps_t* g = &self.steps
            int i, n = g.n
            step_t* step
            stop_t why
        steps_forget(g)
        if n == 0:
            return STOP_UNTIL
        self.lock()
        steps_fetch(g, 0, n)
        steps_begin(g)
        for i in range(n):
            step = &g.step[i]
            steps_run(g, step)
            if g.call.declined:
                why = self.ask_python(step.at, step_args(g, step), step.argc)
                self.lock()
            elif g.call.error or g.out.failed:
                why = self.fails(step.at, step_args(g, step), step.argc, g.out.data + 1,
                                 g.out.size - 3 if g.out.size > 3 else 0)
            else:
                why = STOP_UNTIL
                rl_store(&self._commands, self._commands + 1)
            if why != STOP_UNTIL:
                return why
        return STOP_UNTIL

    cdef void lock(self) noexcept nogil:
        if not self.locked:
            lock_mask(self.ks, all_stripes(self.ks))
            self.locked = True

    cdef void unlock(self) noexcept nogil:
        if self.locked:
            unlock_mask(self.ks, all_stripes(self.ks))
            self.locked = False

    cdef stop_t ask_python(self, size_t at, const arg_t* argv, int argc) noexcept nogil:
        """Has Python run a command, without our locks: it takes its own."""
        self.unlock()
        with gil:
            try:
                rl_store(&self._commands, self._commands + 1)
                args = listed(argv, argc)
                error, fatal = self.otherwise(self.database, args)
                if error is None:
                    return STOP_UNTIL
                rl_store(&self._failed, self._failed + 1)
                if self.failure is None or fatal or self.strict:
                    self.failure = (args, error)
                self.fault_at = at
                return STOP_FAILED if fatal or self.strict else STOP_UNTIL
            except BaseException as fault:
                self.raised = fault
                self.fault_at = at
                return STOP_RAISED

    cdef stop_t fails(self, size_t at, const arg_t* argv, int argc, const char* text, size_t size) noexcept nogil:
        """Notes that a command failed. text: of the error; NULL: the database that it names does not exist."""
        rl_store(&self._commands, self._commands + 1)
        rl_store(&self._failed, self._failed + 1)
        self.fault_at = at
        with gil:
            if self.failure is None or self.strict:
                args = listed(argv, argc)
                error = errors.DB_OUT_OF_RANGE if text == NULL else errors.OUT_OF_MEMORY if self.steps.out.failed else \
                    text[:size].decode("utf-8", "surrogateescape")
                self.failure = (args, error)
        if self.steps.out.failed:
            steps_trim(&self.steps)
            return STOP_FAILED
        return STOP_FAILED if self.strict or text == NULL else STOP_UNTIL

    cdef stop_t beyond(self, size_t at, uint32_t database) noexcept nogil:
        """A record of a database that is not there."""
        self.fault_at = at
        with gil:
            self.failure = ([b"SELECT", b"%d" % database], errors.DB_OUT_OF_RANGE)
        return STOP_FAILED
