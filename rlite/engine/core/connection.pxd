"""A connection: what its I/O thread keeps (conn_t), and its face for Python (Client)."""
from libc.stdint cimport int64_t

from rlite.engine.core.resp cimport out_t, parse_t

cdef enum:                     # what a poller's data points at: the first field of each such struct
    KIND_CONN = 1
    KIND_LISTENER = 2
    KIND_WAKE = 3

cdef enum:                     # conn_t.ordinary: why its commands do not take the plain path
    NEEDS_AUTH = 1
    IN_TRANSACTION = 2
    SILENCED = 4               # CLIENT REPLY OFF or SKIP
    RESTRICTED = 8             # whatever else Python wants to see each command for

cdef struct conn_t:            # touched by its own I/O thread, or with the GIL while that thread waits for it
    int kind
    int fd                     # -1: closed, or in process
    int64_t id
    int ordinary
    int database
    int resp
    bint no_touch
    int last_command           # id; -1: none yet
    int64_t created_ns
    int64_t active_ns
    int64_t net_in
    int64_t net_out
    int64_t commands
    int64_t took_ns            # its last command of the ordinary path; -1: it did not run
    parse_t parse
    char* input                # bytes not yet consumed; NULL: none
    size_t input_size
    size_t input_cap
    out_t out
    size_t sent                # of out
    int interest               # what the poller watches
    bint queued                # in this turn's list of writers
    bint choked                # its reader is slow: no more commands until it catches up
    bint blocked               # Python said wait: input stays until `resume`, or until `answer`
    bint again                 # the blocked command is run again by `resume`
    bint closing               # gone at the end of this turn
    bint close_after           # gone when all is sent
    int64_t accounted          # bytes of buffers that used memory counts
    void* client               # the Client, borrowed; it owns this struct


cdef class Client:
    """One client of the server: over a socket, or in process (no I/O thread behind it)."""
    cdef conn_t* conn
    cdef public object mailbox         # its I/O thread's `post`; None in process
    cdef public object loop            # that serves it; None in process
    cdef public str name
    cdef public str lib_name
    cdef public str lib_ver
    cdef public str address
    cdef public str local_address
    cdef public str user
    cdef public object transaction     # queued commands, or None outside MULTI
    cdef public bint transaction_failed
    cdef public object watched         # (database, key) -> whether it existed, or None
    cdef public bint watch_broken
    cdef public str reply_mode         # CLIENT REPLY: on, off, skip-next, skip
    cdef public bint no_evict
    cdef public bint is_unix
    cdef public object subscriptions   # commands/subscriptions.py; None: it listens to nothing
    cdef public bint in_script         # it stands for a running script
    cdef public str peer               # "replica": it follows this server; "master": this server follows it; "": neither
    cdef object __weakref__
