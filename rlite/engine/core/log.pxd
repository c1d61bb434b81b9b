"""The log's memory side: who changes data appends, who is about to answer settles (see docs/internals/log-format.md).

It has up to two readers: the segment files, and the backlog from which replicas are sent the same bytes. Either may be
missing; with neither nothing is logged.

Records are put together under `lock`, in the order in which the changes happened: whoever appends still holds the locks
of what it changed. `file_mutex` is held to write and, under `appendfsync always`, to sync: one sync serves all who wait
for it. `lock` may be taken under it, and under stripes; nothing is taken under `lock`. Nobody who holds the GIL or a
stripe waits for `file_mutex`, and who holds it may then lock stripes (`Log.prepare_switch`).

Positions count bytes of files since the server started, over all segments: `appended`, `written` and `durable` only grow.
"""
from libc.stdint cimport int64_t, uint32_t

from rlite.engine.core.backlog cimport backlog_t
from rlite.engine.core.histogram cimport histogram_t
from rlite.engine.core.platform cimport (
    pthread_cond_broadcast, pthread_cond_destroy, pthread_cond_init, pthread_cond_t, pthread_cond_wait,
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock,
)
from rlite.engine.core.resp cimport out_t

cdef enum policy_t:            # appendfsync
    FSYNC_NO = 0
    FSYNC_EVERYSEC = 1
    FSYNC_ALWAYS = 2

cdef struct log_t:
    int on                     # published; 0: nobody reads, so nothing is logged
    int filing                 # published; there is a segment
    int following              # published; a master's stream is logged, and nothing else
    int refusing               # published; errno of why writes are refused, 0: they are not
    int lost                   # published; errno: a sync failed, or a record could not be kept. Only a new base heals that
    int policy                 # published
    int lock                   # held for as long as a record is copied
    out_t fresh                # records not yet taken to be written, nor summed
    uint32_t seed              # of the segment that `fresh` goes to
    size_t open_at             # where in `fresh` the record begins that plain commands may still join; NONE: there is none
    int64_t open_ms            # its time
    int64_t offset             # of the history: behind its last byte; published
    int64_t record_end         # behind the last record; what comes then is not in the files
    backlog_t backlog
    int64_t taking             # offset up to which `taken` goes
    int64_t safe               # up to which the files hold everything (`always`: the disk does); published
    int sleepers               # published; threads that wait for more to send
    pthread_mutex_t feed_mutex # `lock` may be taken under it
    pthread_cond_t feed_cond
    int database               # that the last record left selected; -1: the segment has none yet
    int64_t appended           # published
    pthread_mutex_t file_mutex
    int fd                     # of the segment; -1: none
    int divided                # published; what is in `fresh` belongs to a segment that is not there yet
    out_t parted               # while it is: what still belongs to this one, and was not taken
    int64_t parted_offset      # up to which that goes
    int64_t parted_at          # the same as a position: who waits for more waits for the new segment
    pthread_cond_t arrived     # of file_mutex: it is there
    out_t taken                # being written; what a failed write has left stays here
    size_t taken_at
    int64_t written            # published
    int64_t segment_bytes      # written to this segment; published
    int64_t reserved           # up to here it has blocks, written or not
    int former_fd              # of the segment that a switch has ended; -1: none
    out_t former               # what still belongs to it
    uint32_t former_seed
    pthread_mutex_t sync_mutex # held by the thread that syncs each second; nothing is taken under it
    int syncing                # published; it is at it, so a write might have to wait
    int64_t durable            # published
    int64_t syncs              # published
    histogram_t write_times    # of each write, by whoever holds file_mutex
    histogram_t sync_times     # of each sync
    int64_t longest_write      # ns, since somebody took it; so the others
    int64_t longest_stalled_write      # while a sync was under way
    int64_t longest_sync

cdef void log_append(log_t* l, int database, int64_t ms, const char* resp, size_t size) noexcept nogil   # one command
cdef void log_gone(log_t* l, int database, int64_t ms, const char* key, size_t klen, const char* field,
                   size_t flen) noexcept nogil           # DEL of a key, or HDEL of its field, which left by itself
cdef void log_lose(log_t* l) noexcept nogil               # memory was short for a record
cdef void log_follow(log_t* l, int64_t offset, int database, int64_t ms, const char* resp,
                     size_t size) noexcept nogil          # a piece of a master's stream, as it came, at its offset
cdef void log_follow_gap(log_t* l, int64_t offset, const char* resp, size_t size) noexcept nogil   # of it: no record
cdef void log_say(log_t* l, const char* resp, size_t size) noexcept nogil     # for replicas only: a gap in the files
cdef void log_wake(log_t* l) noexcept nogil               # whoever sends to replicas has more to send
cdef int64_t log_limit(log_t* l) noexcept nogil           # up to where replicas may be sent; under `lock`
cdef void log_relieve(log_t* l) noexcept nogil            # in a turn; no lock is held
cdef bint log_settle(log_t* l, int64_t target, bint wrote) noexcept nogil


cdef class Log:
    cdef log_t* log

    cdef void _begin_segment(self, int fd, int64_t size, uint32_t seed) noexcept
