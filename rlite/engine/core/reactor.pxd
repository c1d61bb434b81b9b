"""The I/O threads: sockets in, commands run, replies out. See `Loop.turn` for the order of things."""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.connection cimport conn_t
from rlite.engine.core.counters cimport Counters
from rlite.engine.core.execute cimport CommandTable, call_t, command_t, commands_t
from rlite.engine.core.hotkeys cimport HotKeys, hotlist_t
from rlite.engine.core.keyspace cimport Keyspace, keyspace_t
from rlite.engine.core.poller cimport poller_t, ready_t
from rlite.engine.core.resp cimport arg_t, out_t, parsed

cdef enum:
    INPUT_SIZE = 65536         # what one read takes at most, unless a large argument is on its way
    READY = 256                # connections looked at in one turn
    CHOKE = 1 << 20            # reply bytes waiting at which a connection's commands wait too
    MAX_LISTENERS = 64
    KEEP_OUT = 4096            # a larger reply buffer is given back once it is sent
    KEEP_ARGS = 1024           # as is a longer array of arguments

    SPIN_NS = 50000            # how long work is looked for before the thread sleeps
    SPIN_REST = 16             # short sleeps in a row that make it look again after it looked in vain
    BATCH = 32                 # commands of one pipeline looked at together

cdef struct item_t:            # a parsed command that may take the plain path
    command_t* cmd
    int base                   # of its arguments
    int argc
    int first_hash             # of its keys
    int hashes
    uint64_t mask              # locks it needs
    size_t start               # where it stands in the buffer
    size_t end

cdef struct ticks_t:           # the processor's counter against the monotonic clock
    bint used
    uint64_t first
    int64_t first_ns
    uint64_t anchor            # both at the start of this turn
    int64_t anchor_ns
    double ns_per_tick

cdef struct tag_t:             # what the poller points at for sockets that are no connections
    int kind
    int index

cdef class Gate:
    """Reasons of the whole server against the plain path (a pause, MONITOR …); 0: none."""
    cdef int reasons

cdef class Loop:
    """One I/O thread's work. All but `post`, `stop` and the figures is for that thread alone."""
    cdef Keyspace keyspace
    cdef keyspace_t* ks
    cdef CommandTable command_table
    cdef commands_t* commands
    cdef Gate gate
    cdef object handler
    cdef readonly Counters counters
    cdef readonly HotKeys hot_keys
    cdef hotlist_t* hot
    cdef poller_t poller
    cdef ready_t ready[READY]
    cdef tag_t wake
    cdef int wake_in, wake_out
    cdef tag_t listener_tags[MAX_LISTENERS]
    cdef bint deaf                     # listeners rest: no descriptors were left
    cdef list listeners
    cdef object mail                   # deque of (method name, client, argument)
    cdef int stopping
    cdef bint woken
    cdef char* input
    cdef uint64_t* hashes
    cdef int hashes_cap
    cdef conn_t** writers
    cdef int n_writers, cap_writers
    cdef conn_t** doomed
    cdef int n_doomed, cap_doomed
    cdef set clients                   # keeps them alive
    cdef size_t start                  # where the command being parsed begins in its buffer
    cdef int64_t slow_ns               # commands from here on are told of; so are requests and replies from so many bytes
    cdef int64_t large_request
    cdef int64_t large_reply
    cdef int64_t query_limit           # client-query-buffer-limit
    cdef int64_t push_limit            # client-output-buffer-limit pubsub, the hard one
    cdef int64_t turns
    cdef int patience                  # above 0: look before sleeping
    cdef call_t call
    cdef item_t batch[BATCH]
    cdef parsed tail                   # what followed the batch
    cdef const char* buffer            # of the connection being served
    cdef out_t effect                  # what a command has for the log
    cdef bint wrote                    # something of this turn was logged
    cdef int64_t owed                  # where the log must have come before this turn's replies leave
    cdef conn_t* held_up               # its command has the others attended to; NULL: none
    cdef ticks_t ticks

    cdef void loop(self) noexcept nogil
    cdef int wait(self) noexcept nogil
    cdef void anchor(self) noexcept nogil
    cdef void take(self, int n) noexcept nogil
    cdef void attend_once(self) noexcept nogil
    cdef void serve(self, conn_t* c, int events) noexcept nogil
    cdef void receive(self, conn_t* c) noexcept nogil
    cdef void process(self, conn_t* c, const char* buf, size_t size) noexcept nogil
    cdef int64_t clock(self) noexcept nogil
    cdef int gather(self, conn_t* c, const char* buf, size_t size) noexcept nogil
    cdef bint run_batch(self, conn_t* c, int n) noexcept nogil
    cdef command_t* plain_command(self, conn_t* c) noexcept nogil
    cdef bint plain(self, conn_t* c, item_t* item) noexcept nogil
    cdef void note_use(self, conn_t* c, item_t* item, int64_t ns) noexcept nogil
    cdef void ordinary(self, conn_t* c, parsed what, const char* buf, size_t size) noexcept
    cdef void answer(self, conn_t* c, const arg_t* args, int argc, size_t request) noexcept
    cdef void refuse(self, conn_t* c) noexcept
    cdef void note(self, conn_t* c, item_t* item, int64_t ns, size_t reply) noexcept
    cdef void rewind(self, conn_t* c, size_t to) noexcept nogil
    cdef void keep_rest(self, conn_t* c, const char* buf, size_t size) noexcept nogil
    cdef void send(self, conn_t* c) noexcept nogil
    cdef void send_queued(self) noexcept nogil
    cdef bint settled(self) noexcept nogil
    cdef void watch(self, conn_t* c) noexcept nogil
    cdef void queue(self, conn_t* c) noexcept nogil
    cdef void doom(self, conn_t* c) noexcept nogil
    cdef void bury(self) noexcept
    cdef void hear(self) noexcept
    cdef void take_mail(self) noexcept
    cdef void accept(self, int index) noexcept

    cdef inline bint is_noteworthy(self, int64_t ns, size_t request, size_t reply) noexcept nogil:
        return ns >= self.slow_ns or <int64_t>request >= self.large_request or <int64_t>reply >= self.large_reply
