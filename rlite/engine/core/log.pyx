# cython: cdivision=True
"""The log's memory side: those who change data append here, and those who answer write it."""
from libc.errno cimport EFBIG, EINTR, ENOMEM, errno
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from rlite.engine.core.backlog cimport BLOCK, backlog_begin, backlog_end, backlog_put
from rlite.engine.core.histogram cimport Histogram, note_time
from rlite.engine.core.platform cimport (
    rl_bump, rl_fence, rl_load, rl_load_int, rl_monotonic_ns, rl_raise, rl_spin_lock, rl_spin_unlock, rl_store, rl_store_int, rl_take,
    rl_wall_ms,
)
from rlite.engine.core.records cimport CRC_SIZE, HEAD_SIZE, grow_record, head_record, seal_records
from rlite.engine.core.resp cimport format_int, out_bulk, out_head, out_raw, out_release, out_room

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <sys/stat.h>
    #include <unistd.h>
    #if defined(__APPLE__)
    #define rl_datasync(fd) fsync(fd)
    #else
    #define rl_datasync(fd) fdatasync(fd)
    #endif
    /* Blocks for the next bytes of a file, its size left alone. 0; or ENOSPC and its kind: there are none. Where a file
     * system knows no such thing, or has another reason, it is taken for done: a write will tell. */
    static inline int rl_reserve(int fd, int64_t from, int64_t size) {
    #ifdef FALLOC_FL_KEEP_SIZE
        if (fallocate(fd, FALLOC_FL_KEEP_SIZE, from, size) != 0 && (errno == ENOSPC || errno == EDQUOT)) return errno;
    #else
        (void)fd, (void)from, (void)size;
    #endif
        return 0;
    }
    /* Gives back what was reserved and not used. */
    static inline void rl_trim(int fd) {
        struct stat s;
        if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && ftruncate(fd, s.st_size) != 0) return;
    }
    static __thread void *rl_batch;      /* of this thread; see batch_t */
    static inline void *rl_batch_get(void) { return rl_batch; }
    static inline void rl_batch_set(void *batch) { rl_batch = batch; }
    """
    int rl_datasync(int fd) nogil
    int rl_reserve(int fd, int64_t at, int64_t size) nogil
    void rl_trim(int fd) nogil
    ssize_t c_write "write" (int fd, const void* data, size_t size) nogil
    int c_close "close" (int fd) nogil
    void* rl_batch_get() nogil
    void rl_batch_set(void* batch) nogil

cdef enum:
    RESERVE = 1 << 19          # bytes of a segment that have blocks before there are records for them, under `always`
    RELIEF = 1 << 16           # bytes that are written before the end of a turn
    KEEP = 1 << 18             # a larger buffer is given back once it is written
    PATIENCE = 1 << 25         # bytes that may wait for a sync to end, before somebody writes all the same
    LONGEST = 0xffff0000       # bytes of RESP in one record
    JOINED = 1 << 12           # bytes of RESP up to which commands of one millisecond share a record
    NONE = <size_t>-1
    SELECT_SIZE = 48           # what a SELECT takes at most

cdef struct batch_t:           # one record in the making, between a thread's `begin` and `commit`
    log_t* log
    int depth
    int commands
    int first                  # database of the first command
    int database               # of the last one
    out_t resp

cdef bytes MULTI = b"*1\r\n$5\r\nMULTI\r\n"
cdef bytes EXEC = b"*1\r\n$4\r\nEXEC\r\n"
cdef const char* MULTI_RESP = MULTI
cdef const char* EXEC_RESP = EXEC
cdef bytes PING = b"*1\r\n$4\r\nPING\r\n"
cdef const char* PING_RESP = PING
cdef enum:
    PING_SIZE = 14
    MULTI_SIZE = 15
    EXEC_SIZE = 14


# --- appending: under the locks of what was changed ----------------------------------------------------------------------

cdef int put_select(char* to, int database) noexcept nogil:
    """Writes a SELECT of at most SELECT_SIZE bytes; returns how many."""
    cdef char digits[24]
    cdef int n = format_int(digits, database), at = 20
    memcpy(to, b"*2\r\n$6\r\nSELECT\r\n$", 17)
    at = 17 + format_int(to + 17, n)
    memcpy(to + at, b"\r\n", 2)
    memcpy(to + at + 2, digits, n)
    memcpy(to + at + 2 + n, b"\r\n", 2)
    return at + n + 4


cdef void lose(log_t* l, int error) noexcept nogil:
    """A record is missing from the log, or may be: no more writes until a new base holds everything."""
    rl_store_int(&l.lost, error)
    rl_store_int(&l.refusing, error)


cdef void log_lose(log_t* l) noexcept nogil:
    lose(l, ENOMEM)


cdef bint open_record(log_t* l, int database, int64_t ms, size_t size) noexcept nogil:
    """Makes room for a new record of `size` bytes of RESP, and writes its head. False: the log has lost it.

    The RESP goes in front of the last CRC_SIZE bytes of `fresh`, with `l.offset` moved on behind it.
    """
    cdef int64_t unsynced
    if size > LONGEST:
        lose(l, EFBIG)
        return False
    if not out_room(&l.fresh, HEAD_SIZE + size + CRC_SIZE):
        l.fresh.failed = False
        lose(l, ENOMEM)
        return False
    unsynced = l.appended - rl_load(&l.durable)
    head_record(l.fresh.data + l.fresh.size, size, l.offset, ms, <uint32_t>database,
                <uint32_t>min(unsynced, <int64_t>0xffffffff))
    l.open_at = l.fresh.size
    l.open_ms = ms
    l.fresh.size += HEAD_SIZE + size + CRC_SIZE
    rl_bump(&l.appended, HEAD_SIZE + size + CRC_SIZE)
    return True


cdef bint join_record(log_t* l, int64_t ms, size_t size) noexcept nogil:
    """Makes room at the end of the record that was begun last, where that may still grow: it is of the same millisecond,
    no longer than a page, and the stream goes on right behind it."""
    cdef size_t resp
    if l.open_at == NONE or ms != l.open_ms or l.offset != l.record_end:
        return False
    resp = l.fresh.size - l.open_at - HEAD_SIZE - CRC_SIZE
    if resp + size > JOINED or not out_room(&l.fresh, size):
        l.fresh.failed = False
        return False
    grow_record(l.fresh.data + l.open_at, resp + size)
    l.fresh.size += size
    rl_bump(&l.appended, size)
    return True


cdef void moved_on(log_t* l, const char* resp, size_t size) noexcept nogil:
    """The stream is longer by these bytes; replicas are to have them too."""
    if l.backlog.on:
        backlog_put(&l.backlog, resp, size)
    rl_bump(&l.offset, size)


cdef void put_record(log_t* l, int first, int last, int64_t ms, const char* resp, size_t size, bint many,
                     bint joins) noexcept nogil:
    """Appends one record: `many` commands stand between MULTI and EXEC. It begins in database `first` and leaves `last`.
    joins: it may be a part of the record before it."""
    cdef char select[SELECT_SIZE]
    cdef int n = 0
    cdef size_t whole
    cdef char* to
    cdef bint filed = True
    rl_spin_lock(&l.lock)
    if first != l.database:
        n = put_select(select, first)
    whole = n + size + (MULTI_SIZE + EXEC_SIZE if many else 0)
    if l.filing:
        filed = (joins and n == 0 and join_record(l, ms, size)) or open_record(l, first, ms, whole)
        if filed:
            to = l.fresh.data + l.fresh.size - CRC_SIZE - whole
            memcpy(to, select, n)
            to += n
            if many:
                memcpy(to, MULTI_RESP, MULTI_SIZE)
                to += MULTI_SIZE
            memcpy(to, resp, size)
            if many:
                memcpy(to + size, EXEC_RESP, EXEC_SIZE)
        if not joins:
            l.open_at = NONE
    if filed or l.backlog.on:          # replicas must not miss what only the file could not take
        l.database = last
        moved_on(l, select, n)
        if many:
            moved_on(l, MULTI_RESP, MULTI_SIZE)
        moved_on(l, resp, size)
        if many:
            moved_on(l, EXEC_RESP, EXEC_SIZE)
        l.record_end = l.offset
    rl_spin_unlock(&l.lock)


cdef void log_follow(log_t* l, int64_t offset, int first, int last, int64_t ms, const char* resp,
                     size_t size) noexcept nogil:
    """Appends a piece of a master's stream: whole commands, a transaction in one piece. `offset`, where it begins, is
    where the log is, or behind that; its first command runs in database `first`, and it leaves `last` selected."""
    cdef bint many = size >= MULTI_SIZE and memcmp(resp, MULTI_RESP, MULTI_SIZE) == 0
    rl_spin_lock(&l.lock)
    if offset > l.offset:              # not for the log to judge; replicas of ours are behind it all the same
        rl_store(&l.offset, offset)
    if l.filing:
        if (not many and join_record(l, ms, size)) or open_record(l, first, ms, size):
            memcpy(l.fresh.data + l.fresh.size - CRC_SIZE - size, resp, size)
        if many:
            l.open_at = NONE
    l.database = last
    moved_on(l, resp, size)
    l.record_end = l.offset
    rl_spin_unlock(&l.lock)


cdef inline void select_anew(log_t* l) noexcept nogil:
    """Has the next record say its database, for somebody begins to read there; `lock` is held. A master's stream is as it
    is: `Log.selected` says what there is to know."""
    if not rl_load_int(&l.following):
        l.database = -1


cdef void log_follow_gap(log_t* l, int64_t offset, const char* resp, size_t size) noexcept nogil:
    """As `log_follow`, for what is no part of the log: it goes to replicas of ours, and counts."""
    rl_spin_lock(&l.lock)
    if offset > l.offset:
        rl_store(&l.offset, offset)
    moved_on(l, resp, size)
    rl_spin_unlock(&l.lock)


cdef void log_say(log_t* l, const char* resp, size_t size) noexcept nogil:
    rl_spin_lock(&l.lock)
    if l.backlog.on:
        moved_on(l, resp, size)
    rl_spin_unlock(&l.lock)


cdef inline batch_t* batch_of(log_t* l) noexcept nogil:
    cdef batch_t* b = <batch_t*>rl_batch_get()
    return b if b != NULL and b.log == l else NULL


cdef out_t* batch_room(batch_t* b, int database) noexcept nogil:
    """Where the next command of a batch is to be written."""
    cdef char select[SELECT_SIZE]
    if b.commands == 0:
        b.first = database
    elif b.database != database:
        out_raw(&b.resp, select, put_select(select, database))
    b.database = database
    b.commands += 1
    return &b.resp


cdef void log_append(log_t* l, int database, int64_t ms, const char* resp, size_t size) noexcept nogil:
    cdef batch_t* b
    if rl_load_int(&l.following):
        return
    b = batch_of(l)
    if b == NULL:
        put_record(l, database, database, ms, resp, size, False, True)
    else:
        out_raw(batch_room(b, database), resp, size)


cdef void log_gone(log_t* l, int database, int64_t ms, const char* key, size_t klen, const char* field,
                   size_t flen) noexcept nogil:
    """A key, or (field not NULL) a field of it, has left by itself."""
    cdef out_t own
    cdef out_t* o = &own
    cdef batch_t* b
    if rl_load_int(&l.following):
        return
    b = batch_of(l)
    own.data = NULL
    own.size = own.cap = 0
    own.failed = False
    if b != NULL:
        o = batch_room(b, database)
    out_head(o, c'*', 2 if field == NULL else 3)
    out_bulk(o, b"DEL" if field == NULL else b"HDEL", 3 if field == NULL else 4)
    out_bulk(o, key, klen)
    if field != NULL:
        out_bulk(o, field, flen)
    if b == NULL:
        if own.failed:
            lose(l, ENOMEM)
        else:
            put_record(l, database, database, ms, own.data, own.size, False, True)
        out_release(&own)


# --- sending to replicas -------------------------------------------------------------------------------------------------

cdef int64_t log_limit(log_t* l) noexcept nogil:
    """The end of the process alone, or under `always` that of the machine, must not take back what a replica has: it
    would be ahead of its master then, and have to begin anew. While the log waits for a sync, or is refused by the disk,
    replicas do not wait with it."""
    if not l.filing or rl_load_int(&l.refusing) or rl_load(&l.appended) == \
            rl_load(&l.durable if rl_load_int(&l.policy) == FSYNC_ALWAYS else &l.written):
        return l.offset
    if rl_load_int(&l.syncing) and rl_load_int(&l.policy) != FSYNC_ALWAYS:
        return l.offset
    return rl_load(&l.safe)


cdef void log_wake(log_t* l) noexcept nogil:
    if not l.backlog.on:
        return
    rl_fence()                         # what there is to send was published; a sleeper looks after it has said that it sleeps
    if rl_load_int(&l.sleepers):
        pthread_mutex_lock(&l.feed_mutex)
        pthread_cond_broadcast(&l.feed_cond)
        pthread_mutex_unlock(&l.feed_mutex)


# --- writing: no lock of data is held ------------------------------------------------------------------------------------

cdef int write_all(int fd, const char* data, size_t size, size_t* done) noexcept nogil:
    """Writes from `done` on, which it moves. Returns 0 or errno."""
    cdef ssize_t n
    while done[0] < size:
        n = c_write(fd, data + done[0], size - done[0])
        if n >= 0:
            done[0] += n
        elif errno != EINTR:
            return errno
    return 0


cdef int write_taken(log_t* l) noexcept nogil:
    cdef size_t before = l.taken_at
    cdef int64_t began
    cdef int error
    if before == l.taken.size:
        return 0
    began = rl_monotonic_ns()
    error = write_all(l.fd, l.taken.data, l.taken.size, &l.taken_at)
    began = rl_monotonic_ns() - began
    note_time(&l.write_times, began)
    rl_raise(&l.longest_stalled_write if rl_load_int(&l.syncing) else &l.longest_write, began)
    rl_bump(&l.written, l.taken_at - before)
    rl_bump(&l.segment_bytes, l.taken_at - before)
    return error


cdef int reserve(log_t* l) noexcept nogil:
    """Makes sure of room for what comes next (`file_mutex` is held, or nobody is there). Returns 0 or errno.

    Under `always` nobody may be shown what the disk might not take: that there is no room is found out before a command
    has changed anything, not behind it.
    """
    cdef int error
    cdef int64_t used = rl_load(&l.segment_bytes)
    if rl_load_int(&l.policy) != FSYNC_ALWAYS or used + RESERVE // 2 <= l.reserved:
        return 0
    error = rl_reserve(l.fd, used, RESERVE)
    if not error:
        l.reserved = used + RESERVE
    return error


cdef int flush(log_t* l) noexcept nogil:
    """Writes what is there (`file_mutex` is held). Returns 0 or errno; what could not be written is kept, and goes first."""
    cdef out_t spare
    cdef int error = write_taken(l)
    if error:
        return error
    l.taken_at = l.taken.size = 0
    if l.taken.cap > KEEP:
        out_release(&l.taken)
    rl_spin_lock(&l.lock)
    spare = l.taken
    if l.divided:
        l.taken = l.parted
        l.parted = spare
        l.taking = l.parted_offset
    else:
        l.taken = l.fresh
        l.fresh = spare
        l.open_at = NONE
        l.taking = l.offset
    rl_spin_unlock(&l.lock)
    seal_records(l.taken.data, l.taken.size, l.seed)       # not by those who append: they hold locks
    error = write_taken(l)
    if not error and rl_load_int(&l.policy) != FSYNC_ALWAYS:
        rl_store(&l.safe, l.taking)
    return error


cdef int flush_and_reserve(log_t* l) noexcept nogil:
    """As `flush`; sets `refusing` as it goes, and looks for room for what comes next."""
    cdef int error = flush(l)
    if not error:
        rl_store_int(&l.refusing, l.lost if l.lost else reserve(l))
    else:
        rl_store_int(&l.refusing, error)
    return error


cdef int timed_sync(log_t* l, int fd) noexcept nogil:
    """As rl_datasync, counted. Returns 0 or errno."""
    cdef int64_t began = rl_monotonic_ns()
    cdef int result = rl_datasync(fd)
    cdef int error = errno
    began = rl_monotonic_ns() - began
    note_time(&l.sync_times, began)
    rl_raise(&l.longest_sync, began)
    if result == 0:
        rl_bump(&l.syncs, 1)
    return error if result else 0


cdef int sync(log_t* l) noexcept nogil:
    """Brings what is written to the disk (`file_mutex` is held). Returns 0 or errno."""
    cdef int64_t target = l.written
    cdef int error = timed_sync(l, l.fd)
    if error:
        return error
    if l.taken_at == l.taken.size:
        rl_store(&l.safe, l.taking)
    if target > rl_load(&l.durable):
        rl_store(&l.durable, target)
    return 0


cdef bint log_settle(log_t* l, int64_t target, bint wrote) noexcept nogil:
    """To be called before replies leave: brings the log up to `target` (`appended`, read after the last command ran).

    `always`: to the disk; otherwise to the system, so that the end of the process alone loses nothing. False: that could
    not be done, and replies to commands that `wrote` must not be sent. While writes are refused, reads are answered.
    """
    cdef int error = 0
    cdef bint always = rl_load_int(&l.policy) == FSYNC_ALWAYS
    if rl_load(&l.durable if always else &l.written) >= target:
        return True
    if rl_load_int(&l.refusing):
        if not wrote:
            return True
    elif not always and rl_load_int(&l.syncing) and target - rl_load(&l.written) < PATIENCE:
        return True
    pthread_mutex_lock(&l.file_mutex)
    while l.divided and target > l.parted_at and not rl_load_int(&l.lost):
        pthread_cond_wait(&l.arrived, &l.file_mutex)
    if (l.durable if always else l.written) < target:
        error = rl_load_int(&l.lost)
        if not error:
            error = flush_and_reserve(l)
            if not error and always:
                error = sync(l)
                if error:
                    lose(l, error)
    pthread_mutex_unlock(&l.file_mutex)
    log_wake(l)
    return error == 0 or not wrote


cdef void log_relieve(log_t* l) noexcept nogil:
    """Writes what has piled up in the middle of a turn, while it is still in the processor's cache."""
    if rl_load(&l.appended) - rl_load(&l.written) < RELIEF or rl_load_int(&l.refusing) or rl_load_int(&l.syncing):
        return
    pthread_mutex_lock(&l.file_mutex)
    if not l.lost:
        flush_and_reserve(l)
    pthread_mutex_unlock(&l.file_mutex)


cdef int tick(log_t* l, bint syncing) noexcept nogil:
    """What the log's own thread does twice a second. Returns errno of what is wrong, or 0."""
    cdef int error, fd
    cdef int64_t target
    pthread_mutex_lock(&l.file_mutex)
    error = l.lost
    if error:
        rl_store_int(&l.refusing, error)
    else:
        error = flush_and_reserve(l)
    # Whoever ends this segment takes sync_mutex before it closes the file; a switch needs file_mutex first.
    pthread_mutex_lock(&l.sync_mutex)
    fd = l.fd
    target = l.written
    pthread_mutex_unlock(&l.file_mutex)
    if syncing and not error and rl_load(&l.durable) < target:
        rl_store_int(&l.syncing, 1)
        error = timed_sync(l, fd)
        if error:
            lose(l, error)
        else:
            rl_store(&l.durable, target)
        rl_store_int(&l.syncing, 0)
    pthread_mutex_unlock(&l.sync_mutex)
    log_wake(l)
    return error if error else rl_load_int(&l.refusing)


# --- for Python ----------------------------------------------------------------------------------------------------------

cdef int put_words(out_t* o, words) except -1:
    """One command as RESP."""
    cdef bytes word
    out_head(o, c'*', len(words))
    for word in words:
        out_bulk(o, word, len(word))
    return 0


POLICIES = {"no": FSYNC_NO, "everysec": FSYNC_EVERYSEC, "always": FSYNC_ALWAYS}


cdef class Log:
    """One server's log, for Python: also the `Journal` of the ordinary path (commands/context.py)."""

    def __cinit__(self):
        self.log = <log_t*>calloc(1, sizeof(log_t))
        if self.log == NULL:
            raise MemoryError
        pthread_mutex_init(&self.log.file_mutex, NULL)
        pthread_mutex_init(&self.log.sync_mutex, NULL)
        pthread_mutex_init(&self.log.feed_mutex, NULL)
        pthread_cond_init(&self.log.feed_cond, NULL)
        pthread_cond_init(&self.log.arrived, NULL)
        self.log.fd = self.log.former_fd = -1
        self.log.database = -1
        self.log.open_at = NONE
        self.log.policy = FSYNC_EVERYSEC

    def __dealloc__(self):
        if self.log == NULL:
            return
        if self.log.fd >= 0:
            c_close(self.log.fd)
        if self.log.former_fd >= 0:
            c_close(self.log.former_fd)
        out_release(&self.log.fresh)
        out_release(&self.log.taken)
        out_release(&self.log.former)
        backlog_end(&self.log.backlog)
        out_release(&self.log.parted)
        pthread_cond_destroy(&self.log.arrived)
        pthread_cond_destroy(&self.log.feed_cond)
        pthread_mutex_destroy(&self.log.feed_mutex)
        pthread_mutex_destroy(&self.log.file_mutex)
        pthread_mutex_destroy(&self.log.sync_mutex)
        free(self.log)

    # --- one record of several commands ---

    def begin(self):
        """What this thread appends from here on is one record, until as many `commit` as `begin`. Raises MemoryError."""
        cdef batch_t* b = <batch_t*>rl_batch_get()
        if b == NULL:
            b = <batch_t*>calloc(1, sizeof(batch_t))
            if b == NULL:
                raise MemoryError
            b.log = self.log
            rl_batch_set(b)
        if b.log == self.log:
            b.depth += 1

    def append(self, int database, words):
        """Logs one command, under the locks of what it changed."""
        cdef out_t own
        cdef out_t* o = &own
        cdef batch_t* b = batch_of(self.log)
        own.data = NULL
        own.size = own.cap = 0
        own.failed = False
        if not rl_load_int(&self.log.on) or rl_load_int(&self.log.following):
            return
        if b != NULL:
            o = batch_room(b, database)
        put_words(o, words)
        if b == NULL:
            if own.failed:
                lose(self.log, ENOMEM)
            else:
                put_record(self.log, database, database, rl_wall_ms(), own.data, own.size, False, False)
            out_release(&own)

    def commit(self):
        cdef batch_t* b = batch_of(self.log)
        if b == NULL:
            return
        b.depth -= 1
        if b.depth:
            return
        rl_batch_set(NULL)
        if b.resp.failed:
            lose(self.log, ENOMEM)
        elif b.commands and rl_load_int(&self.log.on) and not rl_load_int(&self.log.following):
            put_record(self.log, b.first, b.database, rl_wall_ms(), b.resp.data, b.resp.size, b.commands > 1, False)
        out_release(&b.resp)
        free(b)

    # --- figures ---

    def add_times(self, Histogram writes not None, Histogram syncs not None):
        """Adds what each write and each sync took, since the start."""
        writes.add(&self.log.write_times)
        syncs.add(&self.log.sync_times)

    def take_longest(self):
        """(ns of the longest write, of the longest write during a sync, of the longest sync) since this was last
        called."""
        return rl_take(&self.log.longest_write), rl_take(&self.log.longest_stalled_write), rl_take(&self.log.longest_sync)

    # --- files ---

    def configure(self, str policy):
        """appendfsync: a word of POLICIES."""
        cdef int error
        rl_store_int(&self.log.policy, POLICIES[policy])
        with nogil:
            pthread_mutex_lock(&self.log.file_mutex)
            if self.log.fd >= 0 and not self.log.lost:
                error = reserve(self.log)
                if error:
                    rl_store_int(&self.log.refusing, error)
            pthread_mutex_unlock(&self.log.file_mutex)

    def open(self, int fd, int64_t size, uint32_t seed, offset=None) -> int:
        """Begins to log, to a new file of `size` bytes (its header), which is the log's from here on. offset: of the
        history; None: where it is. Returns it. Every stripe is locked, or nobody is there yet."""
        cdef log_t* l = self.log
        cdef int64_t here
        if offset is not None:
            self.start_at(offset)
        rl_spin_lock(&l.lock)
        here = l.offset
        rl_store(&l.safe, here)
        self._begin_segment(fd, size, seed)
        rl_store_int(&l.filing, 1)
        rl_spin_unlock(&l.lock)
        rl_store_int(&l.lost, 0)
        rl_store_int(&l.refusing, reserve(l))
        rl_store_int(&l.on, 1)
        return here

    def start_at(self, int64_t offset, bint anew=False):
        """The history goes on at an offset that is not the one it had come to, or (anew) another one begins: what the
        backlog holds is of no use then, and who reads it is let go. Every stripe is locked, or nobody is there yet."""
        cdef log_t* l = self.log
        cdef int i
        rl_spin_lock(&l.lock)
        if offset != l.offset or anew:
            rl_store(&l.offset, offset)
            if l.backlog.on:
                for i in range(l.backlog.joined):
                    rl_store_int(&l.backlog.places[i].overrun, 1)
                backlog_begin(&l.backlog, offset)
        l.record_end = offset
        rl_store(&l.safe, offset)
        rl_spin_unlock(&l.lock)

    cdef void _begin_segment(self, int fd, int64_t size, uint32_t seed) noexcept:
        self.log.fd = fd
        self.log.seed = seed
        select_anew(self.log)
        self.log.open_at = NONE
        self.log.reserved = size
        rl_store(&self.log.segment_bytes, size)

    def prepare_switch(self) -> int:
        """The first of three steps to a new segment: writes and syncs the old one as far as it goes, and keeps everybody
        else from writing until `finish_switch`, by the same thread. Returns 0 or errno; then there is no switch, unless
        `switch` is told to forsake what is not written."""
        cdef int error
        with nogil:
            pthread_mutex_lock(&self.log.file_mutex)
            error = self.log.lost
            if not error:
                error = flush(self.log)
                if not error:
                    error = sync(self.log)
                    if error:
                        lose(self.log, error)
        return error

    def switch(self, int fd, int64_t size, uint32_t seed, bint forsake=False) -> int:
        """The second step, with every stripe locked: what is appended from here on goes to the new file. Returns the offset
        of this moment, which no record of the old one is behind.

        forsake: what the old file could not take is dropped, for a new base is about to hold it.
        """
        cdef log_t* l = self.log
        cdef int64_t left, offset
        rl_spin_lock(&l.lock)
        offset = l.offset
        left = l.fresh.size + l.parted.size + l.taken.size - l.taken_at
        l.taking = l.offset
        l.former_fd = l.fd
        if forsake:
            l.fresh.size = l.parted.size = l.taken.size = l.taken_at = 0
            rl_bump(&l.written, left)
            rl_store_int(&l.divided, 0)
        else:                           # `taken` is empty: prepare_switch has written it
            l.former = l.fresh
            l.former_seed = l.seed
            l.fresh.data = NULL
            l.fresh.size = l.fresh.cap = 0
        self._begin_segment(fd, size, seed)
        rl_spin_unlock(&l.lock)
        if not l.lost:
            rl_store_int(&l.refusing, reserve(l))
        return offset

    def finish_switch(self) -> int:
        """The last step, no lock held: the old segment is complete and on disk before anything of the new one is written.
        Returns 0 or errno; then something may be missing between the two."""
        cdef log_t* l = self.log
        cdef int error = 0
        cdef size_t at = 0
        with nogil:
            seal_records(l.former.data, l.former.size, l.former_seed)
            error = write_all(l.former_fd, l.former.data, l.former.size, &at)
            rl_bump(&l.written, l.former.size)
            if l.former_fd >= 0:
                if not error and at and rl_datasync(l.former_fd) != 0:
                    error = errno
                rl_trim(l.former_fd)
                pthread_mutex_lock(&l.sync_mutex)
                c_close(l.former_fd)
                l.former_fd = -1
                pthread_mutex_unlock(&l.sync_mutex)
            out_release(&l.former)
            if error:
                lose(l, error)
            else:
                rl_store(&l.durable, l.written)
                rl_store(&l.safe, l.taking)
            pthread_cond_broadcast(&l.arrived)
            pthread_mutex_unlock(&l.file_mutex)
        return error

    def abandon_switch(self):
        """Instead of `switch` or `go_on`: everything stays as it was."""
        pthread_cond_broadcast(&self.log.arrived)
        pthread_mutex_unlock(&self.log.file_mutex)

    def divide(self):
        """With every stripe locked: what comes from here on belongs to another segment, which need not be there yet. Until
        `go_on` none of it is written, and who has to wait for that waits. Nothing is waited for here. Returns (offset,
        record_end) of this moment. Twice without `go_on`: it stays where it was."""
        cdef log_t* l = self.log
        cdef int64_t offset, record_end
        rl_spin_lock(&l.lock)
        offset, record_end = l.offset, l.record_end
        select_anew(l)
        if l.filing and not l.divided:
            l.parted, l.fresh = l.fresh, l.parted
            l.parted_offset = offset
            l.parted_at = l.appended
            l.open_at = NONE
            rl_store_int(&l.divided, 1)
        rl_spin_unlock(&l.lock)
        return offset, record_end

    def go_on(self, int fd, int64_t size, uint32_t seed):
        """Between `prepare_switch` and `finish_switch`: the segment is there that what came since `divide` belongs to."""
        cdef log_t* l = self.log
        cdef int database
        rl_spin_lock(&l.lock)
        database = l.database
        l.taking = l.parted_offset
        l.former_fd = l.fd
        l.former = l.parted             # which prepare_switch has emptied
        l.former_seed = l.seed
        l.parted.data = NULL
        l.parted.size = l.parted.cap = 0
        self._begin_segment(fd, size, seed)
        l.database = database
        l.open_at = NONE
        rl_store_int(&l.divided, 0)
        rl_spin_unlock(&l.lock)
        if not l.lost:
            rl_store_int(&l.refusing, reserve(l))

    def give_up(self, int error):
        """Between `prepare_switch` and the last step: the new segment cannot be had, or not be named. No more is written
        until a new base heals that."""
        lose(self.log, error)

    def heal(self):
        """A new base holds all there was when it was made, and the segment behind it is whole: writes are taken again."""
        rl_store_int(&self.log.lost, 0)
        rl_store_int(&self.log.refusing, 0)

    def settle(self) -> bool:
        """Before an answer to somebody in this process; as log_settle."""
        cdef bint fine
        cdef int64_t target = rl_load(&self.log.appended)
        if rl_load(&self.log.durable) >= target:
            log_wake(self.log)
            return True
        with nogil:
            fine = log_settle(self.log, target, True)
        return fine

    def tick(self, bint syncing=True) -> int:
        """Writes, and if it may (`syncing`) syncs. Returns errno of what is wrong, 0: nothing."""
        cdef int error = 0
        with nogil:
            if self.log.fd >= 0:
                error = tick(self.log, syncing)
        return error

    def forsake(self):
        """With every stripe locked: no more goes to the segment, nor to any until `open`, though the log goes on. Waits for
        nothing; `end_file` is to be called before `open`."""
        cdef log_t* l = self.log
        rl_spin_lock(&l.lock)
        rl_store_int(&l.filing, 0)
        l.open_at = NONE
        rl_spin_unlock(&l.lock)

    def end_file(self) -> int:
        """Writes and syncs what belongs to the segment, and closes it; nothing more must be coming. Returns 0 or errno."""
        cdef int error = 0
        with nogil:
            pthread_mutex_lock(&self.log.file_mutex)
            if self.log.fd >= 0:
                error = rl_load_int(&self.log.lost)        # what follows something that is missing must not be there
                if not error:
                    error = flush(self.log)
                if not error:
                    error = sync(self.log)
                rl_trim(self.log.fd)
                pthread_mutex_lock(&self.log.sync_mutex)
                c_close(self.log.fd)
                self.log.fd = -1
                pthread_mutex_unlock(&self.log.sync_mutex)
            # Nobody waits for what could not be written: there is no log any more.
            self.log.fresh.size = self.log.parted.size = self.log.taken.size = self.log.taken_at = 0
            rl_store_int(&self.log.divided, 0)
            rl_store(&self.log.written, self.log.appended)
            rl_store(&self.log.durable, self.log.appended)
            pthread_cond_broadcast(&self.log.arrived)
            pthread_mutex_unlock(&self.log.file_mutex)
        rl_store_int(&self.log.lost, 0)
        rl_store_int(&self.log.refusing, 0)
        return error

    def close(self) -> int:
        """Logs no more, unless replicas are sent what is logged; as `end_file`."""
        rl_store_int(&self.log.filing, 0)
        rl_store_int(&self.log.on, self.log.backlog.on)
        return self.end_file()

    # --- the stream ---

    def stream(self, int64_t size, int64_t limit):
        """Keeps the newest `size` bytes of the stream in memory from here on, and has replicas go that are more than
        `limit` bytes behind (0: none). Every stripe is locked, or it streams already. Raises MemoryError."""
        cdef log_t* l = self.log
        cdef bint fine = True
        rl_spin_lock(&l.lock)
        l.backlog.size = max(size, <int64_t>BLOCK)
        l.backlog.limit = limit
        if not l.backlog.on:
            fine = backlog_begin(&l.backlog, l.offset)
            select_anew(l)
        rl_spin_unlock(&l.lock)
        if not fine:
            raise MemoryError
        rl_store_int(&l.on, 1)

    def end_stream(self):
        """Lets the backlog go, where nobody reads it. Every stripe is locked."""
        cdef log_t* l = self.log
        rl_spin_lock(&l.lock)
        if not l.backlog.joined:
            backlog_end(&l.backlog)
        rl_spin_unlock(&l.lock)
        rl_store_int(&l.on, l.filing or l.backlog.on)

    def reselect(self):
        """Whatever comes next is led by its SELECT: somebody begins to read here. Every stripe is locked."""
        rl_spin_lock(&self.log.lock)
        select_anew(self.log)
        rl_spin_unlock(&self.log.lock)

    def say(self, words):
        """Sends a command to replicas that is no change of the data, and does not go into the files."""
        cdef out_t resp
        if not self.log.backlog.on or rl_load_int(&self.log.following):
            return
        resp.data = NULL
        resp.size = resp.cap = 0
        resp.failed = False
        put_words(&resp, words)
        if not resp.failed:
            log_say(self.log, resp.data, resp.size)
            log_wake(self.log)
        out_release(&resp)

    def ping(self):
        """A PING for replicas, which is a record as well, in whichever database the stream is."""
        cdef log_t* l = self.log
        cdef int database
        if not rl_load_int(&l.on) or rl_load_int(&l.following):
            return
        rl_spin_lock(&l.lock)
        database = max(l.database, 0)
        rl_spin_unlock(&l.lock)
        put_record(l, database, database, rl_wall_ms(), PING_RESP, PING_SIZE, False, False)
        log_wake(l)

    def wake(self):
        """Has what was appended go to replicas."""
        log_wake(self.log)

    @property
    def on(self):
        """Whether anybody reads: there are files, or there is a backlog."""
        return rl_load_int(&self.log.on) != 0

    @property
    def filing(self):
        """Whether there is a segment."""
        return rl_load_int(&self.log.filing) != 0

    @property
    def streaming(self):
        """Whether there is a backlog."""
        return rl_load_int(&self.log.backlog.on) != 0

    @property
    def following(self):
        """Whether it logs a master's stream, and nothing that this server does by itself."""
        return rl_load_int(&self.log.following) != 0

    @following.setter
    def following(self, bint yes):
        rl_store_int(&self.log.following, yes)

    @property
    def backlog(self):
        """(offset of the oldest byte in memory, bytes of memory, bytes that are kept at least); all 0: there is none."""
        cdef log_t* l = self.log
        if not rl_load_int(&l.backlog.on):
            return 0, 0, 0
        return rl_load(&l.backlog.first), <int64_t>l.backlog.count * BLOCK, l.backlog.size

    @property
    def record_end(self):
        """Offset behind the last record: what follows was for replicas only."""
        return self.log.record_end

    @property
    def selected(self):
        """The database that the stream has selected; who follows a master's sets it, under the locks of what it runs."""
        return max(self.log.database, 0)

    @selected.setter
    def selected(self, int database):
        rl_spin_lock(&self.log.lock)
        self.log.database = database
        rl_spin_unlock(&self.log.lock)

    @property
    def refusing(self):
        """errno of why writes are refused; 0: they are not."""
        return rl_load_int(&self.log.refusing)

    @property
    def lost(self):
        """errno of what only a new base can heal; 0: nothing of the kind."""
        return rl_load_int(&self.log.lost)

    @property
    def offset(self):
        """Bytes of RESP since the history began (Redis's master_repl_offset)."""
        return rl_load(&self.log.offset)

    @property
    def segment_bytes(self):
        """What has been written to the current segment."""
        return rl_load(&self.log.segment_bytes)

    @property
    def pending(self):
        """Bytes not yet written."""
        return rl_load(&self.log.appended) - rl_load(&self.log.written)

    @property
    def positions(self):
        """(appended, written, durable), in bytes of files since the start."""
        return rl_load(&self.log.appended), rl_load(&self.log.written), rl_load(&self.log.durable)

    @property
    def syncs(self):
        """How many syncs have succeeded."""
        return rl_load(&self.log.syncs)
