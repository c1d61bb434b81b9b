"""The log's memory side: who changes data appends, who is about to answer settles (see docs/internals/log-format.md).

Records are put together under `lock`, in the order in which the changes happened: whoever appends still holds the locks
of what it changed. `file_mutex` is held to write and, under `appendfsync always`, to sync: one sync serves all who wait
for it. `lock` may be taken under it, and under stripes; nothing is taken under `lock`. Nobody who holds the GIL or a
stripe waits for `file_mutex`, and who holds it may then lock stripes (`Log.prepare_switch`).

Positions count bytes of files since the server started, over all segments: `appended`, `written` and `durable` only grow.
"""
from libc.stdint cimport int64_t, uint32_t

from rlite.engine.core.platform cimport (
    pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock,
)
from rlite.engine.core.resp cimport out_t

cdef enum policy_t:            # appendfsync
    FSYNC_NO = 0
    FSYNC_EVERYSEC = 1
    FSYNC_ALWAYS = 2

cdef struct log_t:
    int on                     # published; 0: nothing is logged
    int refusing               # published; errno of why writes are refused, 0: they are not
    int lost                   # published; errno: a sync failed, or a record could not be kept. Only a new base heals that
    int policy                 # published
    int lock                   # held for as long as a record is copied
    out_t fresh                # records not yet taken to be written, nor summed
    uint32_t seed              # of the segment that `fresh` goes to
    int64_t offset             # of the history: where the next record's RESP begins; published
    int64_t record_end         # behind the last record: what counts but is not logged moves only `offset`; published
    int database               # that the last record left selected; -1: the segment has none yet
    int64_t appended           # published
    pthread_mutex_t file_mutex
    int fd                     # of the segment; -1: none
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

cdef void log_append(log_t* l, int database, int64_t ms, const char* resp, size_t size) noexcept nogil   # one command
cdef void log_gone(log_t* l, int database, int64_t ms, const char* key, size_t klen, const char* field,
                   size_t flen) noexcept nogil           # DEL of a key, or HDEL of its field, which left by itself
cdef void log_lose(log_t* l) noexcept nogil               # memory was short for a record
cdef void log_relieve(log_t* l) noexcept nogil            # in a turn; no lock is held
cdef bint log_settle(log_t* l, int64_t target, bint wrote) noexcept nogil


cdef class Log:
    cdef log_t* log

    cdef void _begin_segment(self, int fd, int64_t size, uint32_t seed) noexcept
