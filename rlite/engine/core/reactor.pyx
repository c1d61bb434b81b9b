# cython: cdivision=True
"""The I/O threads: sockets in, commands run, replies out.

A turn of a loop: wait; receive from every socket that is ready, parse, run; send. All of it goes without the GIL as
long as only plain work turns up (see `Loop.plain`). Anything else takes the GIL once for the run of commands that
needs it (`Loop.ordinary`). What other threads want of a connection (close it, resume it, hand it a message) they
`post` to its loop, which looks between turns.
"""
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

import collections
import os

from rlite.engine import errors
from rlite.engine import reply as replies
from rlite.engine.core.connection cimport KIND_CONN, KIND_LISTENER, KIND_WAKE, Client, conn_t
from rlite.engine.core.counters cimport Counters
from rlite.engine.core.eviction cimport evict_until_within
from rlite.engine.core.execute cimport CommandTable, command_t, find_core, hash_keys, log_change
from rlite.engine.core.hotkeys cimport HotKeys, hot_note
from rlite.engine.core.keyspace cimport (
    FOLLOWING_KEPT, Keyspace, is_logged, lock_mask_unless_busy, pthread_mutex_trylock, pthread_mutex_unlock, stripe_at, stripe_index, unlock_mask,
)
from rlite.engine.core.log cimport log_relieve, log_settle, log_wake
from rlite.engine.core.platform cimport RL_HAVE_TICKS, rl_add, rl_ctz64, rl_load, rl_load_int, rl_monotonic_ns, rl_store_int, rl_ticks
from rlite.engine.core.poller cimport (
    BROKEN, READABLE, WRITABLE, poller_forget, poller_init, poller_release, poller_set, poller_wait,
)
from rlite.engine.core.steps cimport listed
from rlite.engine.core.table cimport table_prefetch, table_prefetch_entry
from rlite.engine.core.resp cimport (
    P_BULK_LENGTH, P_BULK_STRING, P_EXPECTED_DOLLAR, P_INLINE_TOO_BIG, P_MULTIBULK_LENGTH, P_MULTIBULK_STRING,
    P_UNAUTH_BULK, P_UNAUTH_MULTIBULK, PARSED_COMMAND, PARSED_ERROR, PARSED_INLINE, PARSED_MORE, PARSED_NOTHING,
    arg_t, encode_reply, out_raw, out_release, parse_request, parse_reset, parsed,
)
from rlite.engine.split_args import UnbalancedQuotes, split_args

cdef extern from "sys/socket.h" nogil:
    ssize_t c_recv "recv" (int fd, void* buf, size_t size, int flags) noexcept
    ssize_t c_send "send" (int fd, const void* buf, size_t size, int flags) noexcept
    int MSG_NOSIGNAL, MSG_DONTWAIT

PROTOCOL_ERRORS = {
    P_MULTIBULK_LENGTH: errors.INVALID_MULTIBULK_LENGTH, P_MULTIBULK_STRING: errors.TOO_BIG_MULTIBULK_STRING,
    P_BULK_LENGTH: errors.INVALID_BULK_LENGTH, P_BULK_STRING: errors.TOO_BIG_BULK_STRING,
    P_EXPECTED_DOLLAR: errors.EXPECTED_DOLLAR, P_INLINE_TOO_BIG: errors.TOO_BIG_INLINE,
    P_UNAUTH_MULTIBULK: errors.UNAUTH_MULTIBULK_LENGTH, P_UNAUTH_BULK: errors.UNAUTH_BULK_LENGTH,
}

cdef bytes INTERNAL = b"-" + errors.INTERNAL.encode() + b"\r\n"


def trusted_ticks() -> bool:
    """Whether the kernel itself keeps time by the processor's counter: it is constant and the same on all cores."""
    try:
        with open("/sys/devices/system/clocksource/clocksource0/current_clocksource") as source:
            return source.read().strip() == "tsc"
    except OSError:
        return False


cdef class Gate:
    def close(self):
        """Sends every command of every client to Python, until as many `open` as `close`."""
        rl_store_int(&self.reasons, self.reasons + 1)

    def open(self):
        rl_store_int(&self.reasons, self.reasons - 1)


cdef class Loop:
    """
    handler: `execute(client, args) -> reply`, `admit(socket, address) -> Client | None`, `place(client)` (gives a new
    client to a loop), `closed(client)`, `noteworthy(client, args, ns, request, reply)`, `refused(client, reason)`, `bug(client, args)`.
    """

    def __cinit__(self, Keyspace keyspace, CommandTable table, Gate gate, handler, bint use_poll=False):
        self.keyspace = keyspace
        self.ks = keyspace.ks
        self.command_table = table
        self.commands = &table.table
        self.gate = gate
        self.handler = handler
        self.counters = Counters(len(table.names))
        self.hot_keys = HotKeys(keyspace)
        self.hot = self.hot_keys.list
        self.mail = collections.deque()
        self.clients = set()
        self.listeners = []
        self.ticks.used = RL_HAVE_TICKS and trusted_ticks()
        self.ticks.first_ns = rl_monotonic_ns()
        self.ticks.first = rl_ticks()
        self.ticks.ns_per_tick = 0     # until the first anchors are apart: a turn's first commands take no time
        self.slow_ns = self.large_request = self.large_reply = INT64_MAX
        self.query_limit = 1 << 30
        self.input = <char*>malloc(INPUT_SIZE)
        self.wake.kind = KIND_WAKE
        self.wake_in = self.wake_out = -1
        if self.input == NULL or not poller_init(&self.poller, use_poll):
            raise MemoryError
        self.wake_in, self.wake_out = os.pipe()
        os.set_blocking(self.wake_in, False)
        os.set_blocking(self.wake_out, False)
        poller_set(&self.poller, self.wake_in, READABLE, &self.wake, False)

    def __dealloc__(self):
        poller_release(&self.poller)
        if self.wake_in >= 0:
            os.close(self.wake_in)
            os.close(self.wake_out)
        free(self.input)
        free(self.hashes)
        free(self.writers)
        free(self.doomed)
        out_release(&self.effect)

    # --- for every thread, with the GIL ---

    def post(self, str what, client=None, argument=None):
        """Asks the loop to do something between turns: adopt, send, close, close_after, resume, answer,
        call (a function, with the client), listen, deafen."""
        self.mail.append((what, client, argument))
        try:
            os.write(self.wake_out, b"!")
        except BlockingIOError:
            pass                        # it is full of wake-ups already

    def stop(self):
        """Ends `run` after the current turn."""
        rl_store_int(&self.stopping, 1)
        self.post("nothing")

    def configure(self, *, slow_ns=None, large_request=None, large_reply=None, query_limit=None, push_limit=None):
        """slow_ns, large_request, large_reply: commands that take as long, or came or were answered in as many bytes, are
        told of (INT64_MAX: none); query_limit: bytes of pending input;
        push_limit: bytes of messages waiting for a listener, beyond which it is let go (0: no limit)."""
        if push_limit is not None:
            self.push_limit = push_limit
        if slow_ns is not None:
            self.slow_ns = slow_ns
        if large_request is not None:
            self.large_request = large_request
        if large_reply is not None:
            self.large_reply = large_reply
        if query_limit is not None:
            self.query_limit = query_limit

    @property
    def resting(self):
        """Whether it takes no connections for the moment: descriptors have run out."""
        return self.deaf

    @property
    def turn_count(self):
        return self.turns

    def run(self):
        """Serves until `stop`, then closes every connection. Blocks; without the GIL but where Python is needed."""
        with nogil:
            self.loop()
        for client in list(self.clients):
            self.doom((<Client>client).conn)
        self.bury()

    def attend(self, Client client):
        """Serves the others for a moment, out of a command of `client` that takes long. For the loop's own thread.

        What the turn under way keeps in the loop is put aside meanwhile. The client itself, and whoever is to go,
        must wait until that turn goes on.
        """
        cdef:
            char* input = self.input
            uint64_t* hashes = self.hashes
            conn_t** writers = self.writers
            int hashes_cap = self.hashes_cap, n_writers = self.n_writers, cap_writers = self.cap_writers, i
            size_t start = self.start
            call_t call = self.call
            parsed tail = self.tail
            bint wrote = self.wrote
            const char* buffer = self.buffer
            item_t* batch = <item_t*>malloc(sizeof(self.batch))
            ready_t* ready = <ready_t*>malloc(sizeof(self.ready))
            char* other_input = <char*>malloc(INPUT_SIZE)
        if self.held_up == NULL and batch != NULL and ready != NULL and other_input != NULL:
            memcpy(batch, self.batch, sizeof(self.batch))
            memcpy(ready, self.ready, sizeof(self.ready))
            self.input, self.hashes, self.hashes_cap = other_input, NULL, 0
            self.writers, self.n_writers, self.cap_writers = NULL, 0, 0
            self.held_up = client.conn
            with nogil:
                self.attend_once()
            self.held_up = NULL
            free(self.hashes)
            free(self.writers)
            self.input, self.hashes, self.hashes_cap = input, hashes, hashes_cap
            self.writers, self.n_writers, self.cap_writers = writers, n_writers, cap_writers
            self.start, self.call, self.tail = start, call, tail
            self.wrote, self.buffer = wrote, buffer
            memcpy(self.batch, batch, sizeof(self.batch))
            memcpy(self.ready, ready, sizeof(self.ready))
            for i in range(n_writers):         # they were queued before, and so not again
                if not writers[i].closing:
                    self.send(writers[i])
        free(batch)
        free(ready)
        free(other_input)

    # --- a turn ---

    cdef void loop(self) noexcept nogil:
        cdef int n
        while not rl_load_int(&self.stopping):
            n = self.wait()
            self.turns += 1
            self.anchor()
            self.take(n)
            self.send_queued()
            self.n_writers = 0
            if self.n_doomed:
                with gil:
                    self.bury()

    cdef void take(self, int n) noexcept nogil:
        """Serves what the poller found ready, then reads the mail."""
        cdef int i
        for i in range(n):
            if (<tag_t*>self.ready[i].data).kind == KIND_CONN:
                self.serve(<conn_t*>self.ready[i].data, self.ready[i].events)
            elif (<tag_t*>self.ready[i].data).kind == KIND_WAKE:
                self.woken = True
            else:
                with gil:
                    self.accept((<tag_t*>self.ready[i].data).index)
        if self.woken:
            with gil:
                self.take_mail()

    cdef void attend_once(self) noexcept nogil:
        self.take(poller_wait(&self.poller, self.ready, READY, 0))
        self.send_queued()

    cdef int wait(self) noexcept nogil:
        """Waits for work. While work keeps coming within microseconds, it is looked for rather than slept for.

        Going to sleep and being woken costs more than a small command, on virtual machines several times as much. A
        thread that has just looked in vain sleeps at once the next times, so an idle or a slow server spins for nobody.
        """
        cdef int n = 0
        cdef int64_t began, now
        if self.patience > 0:
            began = rl_monotonic_ns()
            while True:
                n = poller_wait(&self.poller, self.ready, READY, 0)
                if n:
                    return n
                now = rl_monotonic_ns()
                if now - began > SPIN_NS:
                    self.patience = -SPIN_REST
                    break
        began = rl_monotonic_ns()
        n = poller_wait(&self.poller, self.ready, READY, -1)
        if rl_monotonic_ns() - began < SPIN_NS:
            self.patience += 1
        elif self.patience > -SPIN_REST:
            self.patience = min(self.patience, 0) - 1
        return n

    cdef void anchor(self) noexcept nogil:
        """Sets the two clocks side by side again; the longer they have run, the better their ratio is known."""
        if not self.ticks.used:
            return
        self.ticks.anchor_ns = rl_monotonic_ns()
        self.ticks.anchor = rl_ticks()
        if self.ticks.anchor_ns - self.ticks.first_ns > 1000000:
            self.ticks.ns_per_tick = <double>(self.ticks.anchor_ns - self.ticks.first_ns) / \
                <double>(self.ticks.anchor - self.ticks.first)

    cdef void serve(self, conn_t* c, int events) noexcept nogil:
        if c.closing or c == self.held_up:
            return
        if events & WRITABLE:
            self.send(c)
        if events & (READABLE | BROKEN) and not c.closing:
            self.receive(c)

    cdef void receive(self, conn_t* c) noexcept nogil:
        cdef:
            ssize_t n
            size_t cap
            char* grown
        if c.input == NULL:
            n = c_recv(c.fd, self.input, INPUT_SIZE, MSG_DONTWAIT)
        else:
            if c.input_cap - c.input_size < INPUT_SIZE // 4:
                # Doubled as bytes come: a length announced and not sent costs nothing.
                cap = c.input_cap * 2 if c.input_cap > INPUT_SIZE else INPUT_SIZE * 2
                grown = <char*>realloc(c.input, cap)
                if grown == NULL:
                    self.doom(c)
                    return
                c.input = grown
                c.input_cap = cap
            n = c_recv(c.fd, c.input + c.input_size, c.input_cap - c.input_size, MSG_DONTWAIT)
        if n <= 0:
            if n == 0 or (errno != EAGAIN and errno != EINTR):
                self.doom(c)
            return
        c.active_ns = rl_monotonic_ns()
        c.net_in += n
        self.counters.net_in += n
        self.counters.reads += 1
        if c.input == NULL:
            self.process(c, self.input, n)
        else:
            c.input_size += n
            self.process(c, c.input, c.input_size)

    cdef void process(self, conn_t* c, const char* buf, size_t size) noexcept nogil:
        """Runs what is complete in the buffer, and keeps the rest."""
        cdef int n
        self.call.ks = self.ks
        self.call.out = &c.out
        self.call.now_ns = self.clock()
        self.start = 0
        self.buffer = buf
        while not (c.closing or c.close_after or c.blocked):
            if c.out.size - c.sent > CHOKE:
                c.choked = True
                break
            n = self.gather(c, buf, size)
            if self.ks.log != NULL:
                log_relieve(self.ks.log)
            if n and not self.run_batch(c, n):
                continue
            if self.tail == PARSED_MORE:
                break
            if self.tail == PARSED_ERROR:
                with gil:
                    self.refuse(c)
                break
            if self.tail != PARSED_NOTHING:
                with gil:
                    self.ordinary(c, self.tail, buf, size)
        parse_reset(&c.parse)
        if c.parse.cap > KEEP_ARGS and c.parse.want == 0:
            free(c.parse.args)
            c.parse.args = NULL
            c.parse.cap = 0
        self.keep_rest(c, buf, size)
        if c.out.size > c.sent or c.close_after or c.choked or c.blocked:
            self.queue(c)

    cdef void rewind(self, conn_t* c, size_t to) noexcept nogil:
        """Forgets what was parsed from here on; it is parsed again when it may run."""
        c.parse.pos = to
        c.parse.want = 0
        c.parse.bulk = -1
        self.start = to

    cdef int gather(self, conn_t* c, const char* buf, size_t size) noexcept nogil:
        """Parses commands as long as they look plain, hashes their keys and starts to fetch the buckets.

        Returns how many; `tail` says what came after them, parsed but not run.
        """
        cdef:
            int n = 0, hashes = 0
            item_t* item
            int k
            size_t begin = self.start
            command_t* cmd
            void* grown
        parse_reset(&c.parse)
        self.tail = PARSED_NOTHING
        while n < BATCH:
            self.tail = parse_request(&c.parse, buf, size)
            if self.tail == PARSED_NOTHING:
                begin = c.parse.pos
                if n == 0:
                    self.start = begin
                continue
            if self.tail != PARSED_COMMAND:
                break
            cmd = self.plain_command(c)
            if cmd == NULL:
                break
            if hashes + c.parse.argc > self.hashes_cap:
                grown = realloc(self.hashes, 2 * (hashes + c.parse.argc) * sizeof(uint64_t))
                if grown == NULL:
                    break
                self.hashes = <uint64_t*>grown
                self.hashes_cap = 2 * (hashes + c.parse.argc)
            item = &self.batch[n]
            item.cmd = cmd
            item.base = c.parse.base
            item.argc = c.parse.argc
            item.first_hash = hashes
            item.start = begin
            item.end = begin = c.parse.pos
            item.hashes = hash_keys(self.ks, cmd, item.argc, c.parse.args + item.base, self.hashes + hashes,
                                    &item.mask)
            for k in range(hashes, hashes + item.hashes):
                table_prefetch(&stripe_at(self.ks, c.database, stripe_index(self.ks, self.hashes[k])).table,
                               self.hashes[k])
            hashes += item.hashes
            n += 1
            self.tail = PARSED_NOTHING
        return n

    cdef bint run_batch(self, conn_t* c, int n) noexcept nogil:
        """Runs gathered commands in order. False: it stopped before the end, and what did not run is parsed anew."""
        cdef:
            int i, at
            item_t* item
            uint64_t h
        if n > 1:
            # The buckets are on their way or here: have them name the entries, so that those come while others run.
            for i in range(n):
                item = &self.batch[i]
                if item.hashes == 1:
                    h = self.hashes[item.first_hash]
                    at = stripe_index(self.ks, h)
                    if pthread_mutex_trylock(&self.ks.locks[at].mutex) == 0:
                        table_prefetch_entry(&stripe_at(self.ks, c.database, at).table, h)
                        pthread_mutex_unlock(&self.ks.locks[at].mutex)
        for i in range(n):
            item = &self.batch[i]
            if c.out.size - c.sent > CHOKE:
                self.rewind(c, item.start)
                return False
            if not self.plain(c, item):
                self.start = item.start
                with gil:
                    self.answer(c, c.parse.args + item.base, item.argc, item.end - item.start)
                self.call.now_ns = self.clock()
                if c.blocked or c.closing or c.close_after:
                    self.rewind(c, item.start if c.blocked and c.again else item.end)
                    return False
            self.start = item.end
        return True

    cdef void keep_rest(self, conn_t* c, const char* buf, size_t size) noexcept nogil:
        """Moves what is left of the buffer to the connection's own, the unfinished command at its start."""
        cdef size_t rest = size - self.start
        cdef int i
        cdef int64_t bytes
        if rest == 0:
            free(c.input)
            c.input = NULL
            c.input_size = c.input_cap = 0
        elif buf == c.input:
            if self.start:
                memmove(c.input, c.input + self.start, rest)
            c.input_size = rest
        else:
            c.input_cap = max(rest * 2, <size_t>1024)
            c.input = <char*>malloc(c.input_cap)
            if c.input == NULL:
                c.input_size = c.input_cap = 0
                self.doom(c)
                return
            memcpy(c.input, buf + self.start, rest)
            c.input_size = rest
        c.parse.pos -= self.start
        if c.parse.want:                # arguments so far are offsets
            for i in range(c.parse.argc):       # they begin at 0: parse_reset has seen to it
                c.parse.args[i].data -= self.start
        if <int64_t>c.input_size > self.query_limit:
            with gil:
                self.handler.refused(<object>c.client, "query-buffer-limit")
            self.doom(c)
        bytes = <int64_t>(c.input_cap + c.out.cap + c.parse.cap * sizeof(arg_t))
        if bytes != c.accounted:
            rl_add(&self.ks.other_bytes, bytes - c.accounted)
            c.accounted = bytes

    # --- the plain path ---

    cdef int64_t clock(self) noexcept nogil:
        """Monotonic ns; between the anchors of two turns by the processor's own counter where that can be trusted."""
        if not self.ticks.used:
            return rl_monotonic_ns()
        return self.ticks.anchor_ns + <int64_t>(<double>(rl_ticks() - self.ticks.anchor) * self.ticks.ns_per_tick)

    cdef command_t* plain_command(self, conn_t* c) noexcept nogil:
        """The command just parsed, if it is one of the core's and nothing demands Python's eye. NULL: it is not."""
        if c.ordinary or rl_load_int(&self.gate.reasons):
            return NULL
        return find_core(self.commands, c.parse.args + c.parse.base, c.parse.argc)

    cdef bint plain(self, conn_t* c, item_t* item) noexcept nogil:
        """Runs a gathered command. False: it did not run, nothing has changed, and the ordinary path must have it."""
        cdef:
            call_t* call = &self.call
            command_t* cmd = item.cmd
            uint64_t bits
            int64_t took
            size_t was = c.out.size
            int i
        if rl_load_int(&self.gate.reasons):
            return False
        if cmd.write and self.ks.log != NULL and rl_load_int(&self.ks.log.refusing):
            return False
        if cmd.write and rl_load_int(&self.ks.following) == FOLLOWING_KEPT:
            return False
        if cmd.write and rl_load(&self.ks.maxmemory) and not evict_until_within(self.ks) and cmd.denyoom:
            return False
        call.database = c.database
        call.resp = c.resp
        call.argc = item.argc
        call.argv = c.parse.args + item.base
        call.hashes = self.hashes + item.first_hash
        call.no_touch = c.no_touch
        call.name = <const char*>cmd.word
        call.name_size = cmd.name_size
        call.error = 0
        call.declined = False
        call.dirty = call.hits = call.misses = 0
        call.effect = &self.effect if cmd.write and is_logged(self.ks) else NULL
        self.effect.size = 0
        if not lock_mask_unless_busy(self.ks, item.mask):
            return False
        if rl_load_int(&self.ks.observers):
            bits = item.mask
            while bits:
                if rl_load_int(&stripe_at(self.ks, c.database, rl_ctz64(bits)).observers):
                    unlock_mask(self.ks, item.mask)
                    return False
                bits &= bits - 1
        if item.hashes > 1:
            for i in range(item.hashes):
                table_prefetch_entry(
                    &stripe_at(self.ks, c.database, stripe_index(self.ks, call.hashes[i])).table, call.hashes[i])
        cmd.run(call)
        if call.dirty and call.effect != NULL:
            log_change(call, self.buffer + item.start, item.end - item.start)
            self.wrote = True
        unlock_mask(self.ks, item.mask)
        if call.declined:
            return False
        took = call.now_ns
        call.now_ns = self.clock()
        took = call.now_ns - took
        c.last_command = cmd.id
        c.commands += 1
        self.counters.count(cmd.id, took, call.error != 0)
        self.counters.dirty += call.dirty
        self.counters.hits += call.hits
        self.counters.misses += call.misses
        if call.error:
            self.counters.count_error(call.error)
        if self.is_noteworthy(took, item.end - item.start, c.out.size - was):
            with gil:
                self.note(c, item, took, c.out.size - was)
        if item.hashes:
            self.hot.left -= item.hashes
            if self.hot.left <= 0:
                self.note_use(c, item, took)
        return True

    cdef void note_use(self, conn_t* c, item_t* item, int64_t ns) noexcept nogil:
        """Has the list of hot keys know of one of a command's keys."""
        cdef int which = 0 if item.hashes == 1 else <int>(self.hot.random % <uint64_t>item.hashes)
        cdef const arg_t* key = c.parse.args + item.base + item.cmd.first_key + which * item.cmd.key_step
        hot_note(self.hot, self.hashes[item.first_hash + which], c.database, key.data, key.size, item.cmd.write, ns,
                 <int64_t>(item.end - item.start), self.call.now_ns)

    cdef void note(self, conn_t* c, item_t* item, int64_t ns, size_t reply) noexcept:
        try:
            self.handler.noteworthy(<object>c.client, listed(c.parse.args + item.base, item.argc), ns,
                                    item.end - item.start, reply)
        except Exception:
            self.handler.bug(<object>c.client, [])

    # --- the ordinary path ---

    cdef void ordinary(self, conn_t* c, parsed what, const char* buf, size_t size) noexcept:
        """Runs the command just parsed, and those behind it that need Python too."""
        cdef size_t begin
        while True:
            if what == PARSED_INLINE:
                self.answer(c, NULL, 0, c.parse.pos - self.start)
            elif what == PARSED_COMMAND:
                self.answer(c, c.parse.args + c.parse.base, c.parse.argc, c.parse.pos - self.start)
            if c.blocked and c.again:
                self.rewind(c, self.start)
                return
            self.start = begin = c.parse.pos
            if c.blocked:
                self.rewind(c, begin)
                return
            if c.closing or c.close_after or c.out.size - c.sent > CHOKE:
                break
            parse_reset(&c.parse)
            what = parse_request(&c.parse, buf, size)
            if what == PARSED_MORE or what == PARSED_ERROR:
                if what == PARSED_ERROR:       # met again, and answered, when it is parsed again
                    self.rewind(c, begin)
                break
            if what == PARSED_COMMAND and self.plain_command(c) != NULL:
                self.rewind(c, begin)
                break
        self.call.now_ns = self.clock()

    cdef void answer(self, conn_t* c, const arg_t* raw, int argc, size_t request) noexcept:
        """Hands one command to Python and writes its reply. argc 0: the inline command just parsed; request: its bytes."""
        cdef list args = []
        cdef object client = <object>c.client
        cdef size_t was = c.out.size
        cdef int64_t logged = 0 if self.ks.log == NULL else rl_load(&self.ks.log.offset)
        try:
            args = listed(raw, argc) if argc else split_args(c.parse.line[:c.parse.line_size])
            if not args:
                return
            c.took_ns = -1
            reply = self.handler.execute(client, args)
            if reply is replies.WAIT:           # the command stays where it is until `resume`
                c.blocked = c.again = True
                return
            if reply is replies.BLOCK:          # it is done with, but its reply comes by `answer`
                c.blocked = True
                c.again = False
                return
            encode_reply(&c.out, reply, c.resp)
            if c.took_ns >= 0 and self.is_noteworthy(c.took_ns, request, c.out.size - was):
                self.handler.noteworthy(client, args, c.took_ns, request, c.out.size - was)
        except UnbalancedQuotes:
            self.protocol_error(<Client>client, errors.UNBALANCED_QUOTES)
        except Exception:
            c.out.size = was                    # no half reply
            c.close_after = True
            out_raw(&c.out, INTERNAL, len(INTERNAL))
            self.handler.bug(client, args)
        if self.ks.log != NULL and rl_load(&self.ks.log.offset) != logged:
            self.wrote = True

    cdef void refuse(self, conn_t* c) noexcept:
        text = PROTOCOL_ERRORS[c.parse.error]
        self.protocol_error(<Client><object>c.client, text.replace("%s", chr(<unsigned char>c.parse.culprit)))

    def protocol_error(self, Client client, str text):
        cdef bytes line = b"-" + text.encode("latin-1") + b"\r\n"
        out_raw(&client.conn.out, line, len(line))
        client.conn.close_after = True
        self.handler.refused(client, text)

    # --- sending ---

    cdef void queue(self, conn_t* c) noexcept nogil:
        cdef void* grown
        if c.queued or c.closing:
            return
        if self.n_writers == self.cap_writers:
            grown = realloc(self.writers, (2 * self.cap_writers + 64) * sizeof(conn_t*))
            if grown == NULL:
                self.doom(c)
                return
            self.writers = <conn_t**>grown
            self.cap_writers = 2 * self.cap_writers + 64
        self.writers[self.n_writers] = c
        self.n_writers += 1
        c.queued = True

    cdef void send(self, conn_t* c) noexcept nogil:
        """Sends what the socket takes; the rest waits for it, and with more than a little so do new commands."""
        cdef ssize_t n
        cdef size_t rest
        if c.out.failed:
            self.doom(c)
            return
        while c.out.size > c.sent:
            n = c_send(c.fd, c.out.data + c.sent, c.out.size - c.sent, MSG_NOSIGNAL | MSG_DONTWAIT)
            if n < 0:
                if errno == EINTR:
                    continue
                if errno != EAGAIN:
                    self.doom(c)
                    return
                break
            c.sent += n
            c.net_out += n
            self.counters.net_out += n
            self.counters.writes += 1
        if c.sent == c.out.size:
            c.out.size = c.sent = 0
            if c.out.cap > KEEP_OUT:
                out_release(&c.out)
            if c.close_after:
                self.doom(c)
                return
        if c.choked and c.out.size - c.sent <= CHOKE // 2:
            c.choked = False
            if c.input != NULL:
                c.active_ns = rl_monotonic_ns()
                self.process(c, c.input, c.input_size)
                if self.ks.log != NULL:
                    self.owed = rl_load(&self.ks.log.appended)
        self.watch(c)

    cdef void send_queued(self) noexcept nogil:
        """Ends a turn: what it has changed goes to the log, then its replies go out."""
        cdef int i = 0
        cdef bint fine = True
        self.owed = 0 if self.ks.log == NULL else rl_load(&self.ks.log.appended)
        while i < self.n_writers:          # a connection whose reader catches up runs on, and queues again behind
            if self.owed:
                fine = self.settled()
            self.writers[i].queued = False
            if not fine and self.writers[i].out.size > self.writers[i].sent:
                self.doom(self.writers[i])         # what it was about to be told is not so sure
            elif not self.writers[i].closing:
                self.send(self.writers[i])
            i += 1
        if self.wrote:
            self.wrote = False
            log_wake(self.ks.log)

    cdef bint settled(self) noexcept nogil:
        cdef bint fine = log_settle(self.ks.log, self.owed, self.wrote)
        if fine:
            self.owed = 0
        return fine

    cdef void watch(self, conn_t* c) noexcept nogil:
        """Tells the poller what this connection waits for, if that has changed."""
        cdef int interest = 0
        if not c.choked and not c.close_after and not (c.blocked and c.input_size > CHOKE):
            interest |= READABLE
        if c.out.size > c.sent:
            interest |= WRITABLE
        if interest != c.interest and not c.closing:
            c.interest = interest
            if not poller_set(&self.poller, c.fd, interest, c, True):
                self.doom(c)

    # --- coming and going, with the GIL ---

    cdef void doom(self, conn_t* c) noexcept nogil:
        cdef void* grown
        if c.closing:
            return
        if self.n_doomed == self.cap_doomed:
            grown = realloc(self.doomed, (2 * self.cap_doomed + 64) * sizeof(conn_t*))
            if grown == NULL:
                return                  # tried again at its next event
            self.doomed = <conn_t**>grown
            self.cap_doomed = 2 * self.cap_doomed + 64
        c.closing = True
        self.doomed[self.n_doomed] = c
        self.n_doomed += 1

    cdef void bury(self) noexcept:
        cdef int i
        cdef conn_t* c
        cdef Client client
        for i in range(self.n_doomed):
            c = self.doomed[i]
            client = <Client>c.client
            poller_forget(&self.poller, c.fd)
            os.close(c.fd)
            c.fd = -1
            rl_add(&self.ks.other_bytes, -c.accounted)
            c.accounted = 0
            try:
                self.handler.closed(client)
            except Exception:
                self.handler.bug(client, [])
            self.clients.discard(client)
        self.n_doomed = 0

    cdef void accept(self, int index) noexcept:
        """Takes what waits at a listening socket, up to a turn's worth."""
        cdef int n
        try:
            for n in range(READY):
                try:
                    peer, address = self.listeners[index].accept()
                except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                    return
                client = self.handler.admit(peer, address)
                if client is not None:
                    self.handler.place(client)
        except OSError as fault:
            # Level-triggered, it would be offered again at once: the listener rests until the server's next `hear`.
            poller_forget(&self.poller, self.listeners[index].fileno())
            self.deaf = True
            self.handler.refused(None, f"could not accept a connection: {os.strerror(fault.errno)}")
        except Exception:
            self.handler.bug(None, [])

    cdef void hear(self) noexcept:
        """Listens again after a rest."""
        cdef int i
        if self.deaf:
            self.deaf = False
            for i in range(len(self.listeners)):
                if self.listeners[i].fileno() >= 0:
                    poller_set(&self.poller, self.listeners[i].fileno(), READABLE, &self.listener_tags[i], False)

    cdef void take_mail(self) noexcept:
        cdef Client client
        cdef conn_t* c
        self.woken = False
        try:
            os.read(self.wake_in, 65536)
        except BlockingIOError:
            pass
        while self.mail:
            what, whom, argument = self.mail.popleft()
            if what == "hear":
                self.hear()
            elif what == "listen" and len(self.listeners) < MAX_LISTENERS:
                self.listeners.append(argument)
                self.listener_tags[len(self.listeners) - 1].kind = KIND_LISTENER
                self.listener_tags[len(self.listeners) - 1].index = len(self.listeners) - 1
                poller_set(&self.poller, argument.fileno(), READABLE, &self.listener_tags[len(self.listeners) - 1],
                           False)
            elif what == "deafen":
                for listener in self.listeners:
                    if listener.fileno() >= 0:
                        poller_forget(&self.poller, listener.fileno())
                argument.set()
            elif whom is not None:
                client = whom
                c = client.conn
                if c.fd < 0 or c.closing:
                    continue
                if what == "adopt":
                    self.clients.add(client)
                    c.interest = READABLE
                    if not poller_set(&self.poller, c.fd, READABLE, c, False):
                        self.doom(c)
                elif what == "send":
                    out_raw(&c.out, <bytes>argument, len(<bytes>argument))
                    if self.push_limit and <int64_t>(c.out.size - c.sent) > self.push_limit:
                        self.handler.refused(client, "its messages wait beyond client-output-buffer-limit pubsub")
                        self.doom(c)
                    self.queue(c)
                elif what == "close":
                    self.doom(c)
                elif what == "call":
                    try:
                        argument(client)
                    except Exception:
                        self.handler.bug(client, [])
                elif what == "close_after":
                    c.close_after = True
                    self.queue(c)
                elif (what == "resume" and c.blocked and c.again) or (what == "answer" and c.blocked):
                    if what == "answer":
                        self.wrote = True      # another thread's command may have, on its behalf
                        out_raw(&c.out, <bytes>argument, len(<bytes>argument))
                    c.blocked = False
                    if c.input != NULL:
                        c.active_ns = rl_monotonic_ns()
                        with nogil:            # it may wait for a stripe, whose holder may wait for the GIL
                            self.process(c, c.input, c.input_size)
                    self.queue(c)
