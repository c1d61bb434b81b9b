"""A connection's face for Python. The struct behind it belongs to its I/O thread; what Python changes here are words
that the thread reads at its next command (database, protocol, reasons for the ordinary path)."""
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

import itertools

from rlite.engine.core.platform cimport rl_monotonic_ns
from rlite.engine.core.resp cimport out_raw, out_release, parse_init, parse_release

_ids = itertools.count(1)

REASONS = {"auth": NEEDS_AUTH, "transaction": IN_TRANSACTION, "silenced": SILENCED, "restricted": RESTRICTED}


cdef class Client:
    def __cinit__(self, int fd=-1):
        self.conn = <conn_t*>calloc(1, sizeof(conn_t))
        if self.conn == NULL:
            raise MemoryError
        self.conn.kind = KIND_CONN
        self.conn.fd = fd
        self.conn.id = next(_ids)
        self.conn.resp = 2
        self.conn.last_command = -1
        self.conn.created_ns = self.conn.active_ns = rl_monotonic_ns()
        self.conn.client = <void*>self
        parse_init(&self.conn.parse)
        self.name = self.lib_name = self.lib_ver = self.address = self.local_address = self.peer = ""
        self.user = "default"
        self.reply_mode = "on"

    def __dealloc__(self):
        if self.conn != NULL:
            parse_release(&self.conn.parse)
            out_release(&self.conn.out)
            free(self.conn.input)
            free(self.conn)

    @property
    def id(self):
        return self.conn.id

    @property
    def fd(self):
        """The socket; -1 once it is closed, or in process."""
        return self.conn.fd

    @property
    def database(self):
        return self.conn.database

    @database.setter
    def database(self, int index):
        self.conn.database = index

    @property
    def resp(self):
        """The protocol it speaks: 2 or 3."""
        return self.conn.resp

    @resp.setter
    def resp(self, int version):
        self.conn.resp = version

    @property
    def no_touch(self):
        return self.conn.no_touch

    @no_touch.setter
    def no_touch(self, bint on):
        self.conn.no_touch = on

    @property
    def last_command(self):
        """Id of its last command; -1: none yet."""
        return self.conn.last_command

    @last_command.setter
    def last_command(self, int which):
        self.conn.last_command = which
        self.conn.commands += 1

    @property
    def took_ns(self):
        """What its last command took on the ordinary path; -1: it did not run."""
        return self.conn.took_ns

    @took_ns.setter
    def took_ns(self, int64_t ns):
        self.conn.took_ns = ns

    @property
    def max_bulk(self):
        """The longest argument its parser takes, in bytes."""
        return self.conn.parse.max_bulk

    @max_bulk.setter
    def max_bulk(self, int64_t size):
        self.conn.parse.max_bulk = size

    @property
    def closing(self):
        return self.conn.closing or self.conn.close_after

    def restricted(self, str reason) -> bool:
        return self.conn.ordinary & <int>REASONS[reason] != 0

    def restrict(self, str reason):
        """From now on every command of this client comes to Python, for this reason."""
        self.conn.ordinary |= <int>REASONS[reason]
        if reason == "auth":
            self.conn.parse.authenticated = False

    def lift(self, str reason):
        self.conn.ordinary &= ~<int>REASONS[reason]
        if reason == "auth":
            self.conn.parse.authenticated = True

    def close_when_sent(self):
        """Ends the connection after the replies it has been given. Only from its own I/O thread."""
        self.conn.close_after = True

    def drop(self):
        """Ends the connection without the replies that wait. Only from its own I/O thread."""
        self.conn.out.size = self.conn.sent
        self.conn.close_after = True

    def write_now(self, bytes data):
        """Puts bytes before whatever reply comes next. Only from its own I/O thread, while a command of it runs."""
        out_raw(&self.conn.out, data, len(data))

    def facts(self):
        """What CLIENT LIST says of its connection: seconds of age and idleness, bytes of each buffer and in all."""
        cdef int64_t now = rl_monotonic_ns()
        cdef conn_t* c = self.conn
        return {
            "age": (now - c.created_ns) // 1000000000, "idle": (now - c.active_ns) // 1000000000,
            "qbuf": c.input_size, "qbuf_free": c.input_cap - c.input_size, "argv_mem": c.parse.cap * 16,
            "obl": c.out.size - c.sent, "omem": c.out.cap, "rbs": c.out.cap,
            "total": sizeof(conn_t) + c.input_cap + c.out.cap + c.parse.cap * 16,
            "events": ("r" if c.interest & 1 else "") + ("w" if c.interest & 2 else ""),
            "net_in": c.net_in, "net_out": c.net_out, "commands": c.commands,
        }
