# cython: cdivision=True
"""The log's memory side: those who change data append here, and those who answer write it."""
from libc.errno cimport EFBIG, EINTR, ENOMEM, errno
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

from rlite.engine.core.platform cimport (
    rl_bump, rl_load, rl_load_int, rl_spin_lock, rl_spin_unlock, rl_store, rl_store_int, rl_wall_ms,
)
from rlite.engine.core.records cimport CRC_SIZE, HEAD_SIZE, head_record, seal_records
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
cdef enum:
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


cdef void put_record(log_t* l, int first, int last, int64_t ms, const char* resp, size_t size, bint many) noexcept nogil:
    """Appends one record: `many` commands stand between MULTI and EXEC. It begins in database `first` and leaves `last`."""
    cdef char select[SELECT_SIZE]
    cdef int n = 0
    cdef size_t whole
    cdef int64_t unsynced
    cdef char* to
    rl_spin_lock(&l.lock)
    if first != l.database:
        n = put_select(select, first)
    whole = n + size + (MULTI_SIZE + EXEC_SIZE if many else 0)
    if whole > LONGEST:
        lose(l, EFBIG)
    elif not out_room(&l.fresh, HEAD_SIZE + whole + CRC_SIZE):
        l.fresh.failed = False
        lose(l, ENOMEM)
    else:
        to = l.fresh.data + l.fresh.size + HEAD_SIZE
        memcpy(to, select, n)
        to += n
        if many:
            memcpy(to, MULTI_RESP, MULTI_SIZE)
            to += MULTI_SIZE
        memcpy(to, resp, size)
        if many:
            memcpy(to + size, EXEC_RESP, EXEC_SIZE)
        unsynced = l.appended - rl_load(&l.durable)
        head_record(l.fresh.data + l.fresh.size, whole, l.offset, ms, <uint32_t>first,
                    <uint32_t>min(unsynced, <int64_t>0xffffffff))
        l.fresh.size += HEAD_SIZE + whole + CRC_SIZE
        l.database = last
        rl_store(&l.record_end, l.offset + whole)      # first: who sees the offset sees this
        rl_bump(&l.offset, whole)
        rl_bump(&l.appended, HEAD_SIZE + whole + CRC_SIZE)
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
    cdef batch_t* b = batch_of(l)
    if b == NULL:
        put_record(l, database, database, ms, resp, size, False)
    else:
        out_raw(batch_room(b, database), resp, size)


cdef void log_gone(log_t* l, int database, int64_t ms, const char* key, size_t klen, const char* field,
                   size_t flen) noexcept nogil:
    """A key, or (field not NULL) a field of it, has left by itself."""
    cdef out_t own
    cdef out_t* o = &own
    cdef batch_t* b = batch_of(l)
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
            put_record(l, database, database, ms, own.data, own.size, False)
        out_release(&own)


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
    cdef int error = write_all(l.fd, l.taken.data, l.taken.size, &l.taken_at)
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
    l.taken = l.fresh
    l.fresh = spare
    rl_spin_unlock(&l.lock)
    seal_records(l.taken.data, l.taken.size, l.seed)       # not by those who append: they hold locks
    return write_taken(l)


cdef int flush_and_reserve(log_t* l) noexcept nogil:
    """As `flush`; sets `refusing` as it goes, and looks for room for what comes next."""
    cdef int error = flush(l)
    if not error:
        rl_store_int(&l.refusing, l.lost if l.lost else reserve(l))
    else:
        rl_store_int(&l.refusing, error)
    return error


cdef int sync(log_t* l) noexcept nogil:
    """Brings what is written to the disk (`file_mutex` is held). Returns 0 or errno."""
    cdef int64_t target = l.written
    if rl_datasync(l.fd) != 0:
        return errno
    rl_bump(&l.syncs, 1)
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
    if (l.durable if always else l.written) < target:
        error = rl_load_int(&l.lost)
        if not error:
            error = flush_and_reserve(l)
            if not error and always:
                error = sync(l)
                if error:
                    lose(l, error)
    pthread_mutex_unlock(&l.file_mutex)
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
        if rl_datasync(fd) != 0:
            error = errno
            lose(l, error)
        else:
            rl_bump(&l.syncs, 1)
            rl_store(&l.durable, target)
        rl_store_int(&l.syncing, 0)
    pthread_mutex_unlock(&l.sync_mutex)
    return error if error else rl_load_int(&l.refusing)


# --- for Python ----------------------------------------------------------------------------------------------------------

POLICIES = {"no": FSYNC_NO, "everysec": FSYNC_EVERYSEC, "always": FSYNC_ALWAYS}


cdef class Log:
    """One server's log, for Python: also the `Journal` of the ordinary path (commands/context.py)."""

    def __cinit__(self):
        self.log = <log_t*>calloc(1, sizeof(log_t))
        if self.log == NULL:
            raise MemoryError
        pthread_mutex_init(&self.log.file_mutex, NULL)
        pthread_mutex_init(&self.log.sync_mutex, NULL)
        self.log.fd = self.log.former_fd = -1
        self.log.database = -1
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
        cdef bytes word
        own.data = NULL
        own.size = own.cap = 0
        own.failed = False
        if not rl_load_int(&self.log.on):
            return
        if b != NULL:
            o = batch_room(b, database)
        out_head(o, c'*', len(words))
        for word in words:
            out_bulk(o, word, len(word))
        if b == NULL:
            if own.failed:
                lose(self.log, ENOMEM)
            else:
                put_record(self.log, database, database, rl_wall_ms(), own.data, own.size, False)
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
        elif b.commands and rl_load_int(&self.log.on):
            put_record(self.log, b.first, b.database, rl_wall_ms(), b.resp.data, b.resp.size, b.commands > 1)
        out_release(&b.resp)
        free(b)

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

    def open(self, int fd, int64_t size, uint32_t seed, int64_t offset):
        """Begins to log, to a new file of `size` bytes (its header), which is the log's from here on. offset: of the
        history. Every stripe is locked, or nobody is there yet."""
        self.log.offset = offset
        self.log.record_end = offset
        self._begin_segment(fd, size, seed)
        rl_store_int(&self.log.lost, 0)
        rl_store_int(&self.log.refusing, reserve(self.log))
        rl_store_int(&self.log.on, 1)

    cdef void _begin_segment(self, int fd, int64_t size, uint32_t seed) noexcept:
        self.log.fd = fd
        self.log.seed = seed
        self.log.database = -1
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

    def switch(self, int fd, int64_t size, uint32_t seed, bint forsake=False):
        """The second step, with every stripe locked: what is appended from here on goes to the new file.

        forsake: what the old file could not take is dropped, for a new base is about to hold it.
        """
        cdef log_t* l = self.log
        cdef int64_t left
        rl_spin_lock(&l.lock)
        left = l.fresh.size + l.taken.size - l.taken_at
        l.former_fd = l.fd
        if forsake:
            l.fresh.size = l.taken.size = l.taken_at = 0
            rl_bump(&l.written, left)
        else:                           # `taken` is empty: prepare_switch has written it
            l.former = l.fresh
            l.former_seed = l.seed
            l.fresh.data = NULL
            l.fresh.size = l.fresh.cap = 0
        self._begin_segment(fd, size, seed)
        rl_spin_unlock(&l.lock)
        if not l.lost:
            rl_store_int(&l.refusing, reserve(l))

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
            pthread_mutex_unlock(&l.file_mutex)
        return error

    def abandon_switch(self):
        """Instead of `switch`: everything stays as it was."""
        pthread_mutex_unlock(&self.log.file_mutex)

    def heal(self):
        """A new base holds all there was when it was made, and the segment behind it is whole: writes are taken again."""
        rl_store_int(&self.log.lost, 0)
        rl_store_int(&self.log.refusing, 0)

    def settle(self) -> bool:
        """Before an answer to somebody in this process; as log_settle."""
        cdef bint fine
        cdef int64_t target = rl_load(&self.log.appended)
        if rl_load(&self.log.durable) >= target:
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

    def close(self) -> int:
        """Logs no more; writes and syncs what there is. Returns 0 or errno."""
        cdef int error = 0
        rl_store_int(&self.log.on, 0)
        with nogil:
            pthread_mutex_lock(&self.log.file_mutex)
            if self.log.fd >= 0:
                error = flush(self.log)
                if not error:
                    error = sync(self.log)
                rl_trim(self.log.fd)
                pthread_mutex_lock(&self.log.sync_mutex)
                c_close(self.log.fd)
                self.log.fd = -1
                pthread_mutex_unlock(&self.log.sync_mutex)
            # Nobody waits for what could not be written: there is no log any more.
            self.log.fresh.size = self.log.taken.size = self.log.taken_at = 0
            rl_store(&self.log.written, self.log.appended)
            rl_store(&self.log.durable, self.log.appended)
            pthread_mutex_unlock(&self.log.file_mutex)
        rl_store_int(&self.log.lost, 0)
        rl_store_int(&self.log.refusing, 0)
        return error

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
    def record_end(self):
        """The offset behind the last record, or at which the log began: no record ends behind it."""
        return rl_load(&self.log.record_end)

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
