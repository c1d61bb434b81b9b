# cython: cdivision=True
"""One fast pass over a log: ours (records) or Redis's (bare RESP)."""
import os

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from rlite.engine.core.records cimport CRC_SIZE, FIELDS_SIZE, HEAD_SIZE, LENGTH_SIZE, crc32, take32, take64
from rlite.engine.core.windows cimport (
    WINDOW, window_close, window_look, window_nonzero, window_open, window_t,
)

STATES = {
    SCAN_MORE: "more", SCAN_END: "end", SCAN_SHORT: "short", SCAN_LENGTH: "length", SCAN_CRC: "crc",
    SCAN_BACK: "back", SCAN_RESP: "resp", SCAN_COMMAND: "command", SCAN_UNTIL: "until",
}
REASONS = {
    WHY_NOTHING: "", WHY_UNKNOWN: "unknown", WHY_ARITY: "arity", WHY_DATABASE: "database", WHY_NESTED: "nested",
    WHY_OUTSIDE: "outside", WHY_UNENDED: "unended",
}
OTHERS = "(others)"            # names that no longer fitted the table

cdef int64_t MAX = (<int64_t>1 << 62) - 1 + (<int64_t>1 << 62)

cdef enum:
    LINE = 32                  # more than `*1048576\r\n` or `$536870912\r\n` take


# --- commands by name ------------------------------------------------------------------------------------------------

cdef name_t* names_find(names_t* names, const char* text, size_t size, bint add) noexcept nogil:
    cdef uint32_t at = 2166136261u
    cdef size_t i
    cdef name_t* slot
    if size == 0 or size >= NAME_MAX:
        return NULL
    for i in range(size):
        at = (at ^ <unsigned char>text[i]) * 16777619u
    at &= NAMES - 1
    while True:
        slot = &names.slots[at]
        if slot.size == 0:
            break
        if slot.size == size and memcmp(slot.text, text, size) == 0:
            return slot
        at = (at + 1) & (NAMES - 1)
    if not add or names.used >= NAMES * 7 // 10:
        return NULL
    names.used += 1
    memcpy(slot.text, text, size)
    slot.size = <unsigned char>size
    slot.arity = 0
    slot.count = 0
    return slot


cdef inline bint is_name(const command_t* c, const char* text, size_t size) noexcept nogil:
    return c.name_size == size and memcmp(c.name, text, size) == 0


# --- RESP ------------------------------------------------------------------------------------------------------------

cdef walked take_line(window_t* w, int64_t* at, int64_t end, char kind, int64_t most, int64_t* v) noexcept nogil:
    """`*12\\r\\n` or `$5\\r\\n`; `at` moves behind it, or to the byte that is wrong."""
    cdef size_t have = 0, i = 1
    cdef const char* p = window_look(w, at[0], LINE, &have)
    cdef int64_t number = 0
    if p == NULL:
        return WALK_ERROR
    if <int64_t>have > end - at[0]:
        have = <size_t>(end - at[0])
    if have == 0:
        return WALK_SHORT
    if p[0] != kind:
        return WALK_BAD
    while i < have and c'0' <= p[i] <= c'9' and number <= most:
        number = number * 10 + (p[i] - c'0')
        i += 1
    if i < have and number <= most and i > 1 and p[i] == c'\r':
        if i + 1 == have:
            return WALK_SHORT
        if p[i + 1] == c'\n':
            v[0] = number
            at[0] += <int64_t>i + 2
            return WALK_COMMAND
        i += 1
    elif i == have and number <= most:
        return WALK_SHORT
    at[0] += <int64_t>i
    return WALK_BAD


cdef walked walk(window_t* w, int64_t* at, int64_t end, command_t* c) noexcept nogil:
    """Passes over one command that begins at `at` and must end at or before `end`."""
    cdef int64_t size = 0, i
    cdef size_t have = 0, k, most
    cdef const char* p
    cdef walked state = take_line(w, at, end, c'*', 1 << 30, &c.argc)
    if state != WALK_COMMAND:
        return state
    if c.argc == 0:
        at[0] -= 3
        return WALK_BAD
    c.first = -1
    for i in range(c.argc):
        state = take_line(w, at, end, c'$', <int64_t>1 << 40, &size)
        if state != WALK_COMMAND:
            return state
        if size > end - at[0] - 2:
            # A line that should be there and is not tells a wrong length from a file that ends too early.
            at[0] = end
            return WALK_SHORT
        if i < 2:
            most = NAME_MAX if size > NAME_MAX else <size_t>size
            p = window_look(w, at[0], most + 2, &have)
            if p == NULL:
                return WALK_ERROR
            if have < most:
                return WALK_SHORT
            if i == 0:
                c.name_size = <size_t>size
                for k in range(most):
                    c.name[k] = <char>(p[k] - 32) if c'a' <= p[k] <= c'z' else p[k]
            elif 0 < size < 10:
                c.first = 0
                for k in range(most):
                    if not c'0' <= p[k] <= c'9':
                        c.first = -1
                        break
                    c.first = c.first * 10 + (p[k] - c'0')
        at[0] += size
        p = window_look(w, at[0], 2, &have)
        if p == NULL:
            return WALK_ERROR
        if have < 2:
            return WALK_SHORT
        if p[0] != c'\r' or p[1] != c'\n':
            return WALK_BAD
        at[0] += 2
    return WALK_COMMAND


cdef int64_t count_heads(window_t* w, int64_t at, int64_t end) noexcept nogil:
    """How many commands seem to begin between two places: `*`, digits, CRLF, `$` and a digit."""
    cdef size_t have = 0, i, k, usable
    cdef const char* p
    cdef int64_t found = 0
    while at < end:
        p = window_look(w, at, LINE * 2, &have)
        if p == NULL or have == 0:
            break
        # A head that begins here may end in the next window, so that begins a little earlier.
        usable = have if at + <int64_t>have >= w.size or have <= LINE else have - LINE
        if <int64_t>usable > end - at:
            usable = <size_t>(end - at)
        i = 0
        while i < usable:
            if p[i] == c'*':
                k = i + 1
                while k < have and k < i + 10 and c'0' <= p[k] <= c'9':
                    k += 1
                if k > i + 1 and k + 3 < have and p[k] == c'\r' and p[k + 1] == c'\n' and p[k + 2] == c'$' \
                        and c'0' <= p[k + 3] <= c'9':
                    found += 1
            i += 1
        at += <int64_t>usable
    return found


# --- what both kinds of scan share -----------------------------------------------------------------------------------

cdef class Pass:
    """A file, a window on it, and the commands counted so far."""
    cdef window_t w
    cdef names_t* names
    cdef bint deep
    cdef int64_t databases
    cdef readonly int64_t at           # of the next record or command
    cdef readonly int64_t commands
    cdef readonly int64_t found, wanted, place
    cdef readonly int64_t records      # whole ones (a transaction of Redis's log counts as one)
    cdef int64_t first_ms_, last_ms_
    cdef readonly int64_t durable      # bytes before this were on disk when some good record was written
    cdef int64_t until_place, until_ms # stop before what goes beyond them
    cdef objection why_
    cdef char culprit[NAME_MAX]
    cdef size_t culprit_size

    def __cinit__(self, int fd, int64_t size, *_args, **_named):
        self.names = <names_t*>malloc(sizeof(names_t))
        if self.names == NULL or not window_open(&self.w, fd, size):
            raise MemoryError
        memset(self.names, 0, sizeof(names_t))
        self.first_ms_ = self.last_ms_ = -1
        self.until_place = self.until_ms = MAX

    def __dealloc__(self):
        window_close(&self.w)
        free(self.names)

    cdef int declare(self, arities) except -1:
        cdef name_t* slot
        cdef bytes name
        for name, arity in arities.items():
            slot = names_find(self.names, name, len(name), True)
            if slot != NULL:
                slot.arity = arity
        return 0

    cdef objection count(self, const command_t* c) noexcept nogil:
        """Counts a command; with deep, says what speaks against it."""
        cdef name_t* slot = names_find(self.names, c.name, c.name_size, True)
        self.commands += 1
        if slot == NULL:
            self.names.others += 1
        else:
            slot.count += 1
        if not self.deep:
            return WHY_NOTHING
        if slot == NULL or slot.arity == 0:
            return WHY_UNKNOWN
        if c.argc != slot.arity if slot.arity > 0 else c.argc < -slot.arity:
            return WHY_ARITY
        if c.first >= self.databases and is_name(c, b"SELECT", 6):
            self.found = c.first
            return WHY_DATABASE
        return WHY_NOTHING

    cdef scanned object_to(self, const command_t* c, objection why, int64_t place) noexcept nogil:
        self.why_ = why
        self.place = place
        self.culprit_size = NAME_MAX if c.name_size > NAME_MAX else c.name_size
        memcpy(self.culprit, c.name, self.culprit_size)
        if why != WHY_DATABASE:
            self.found = c.argc
        return SCAN_COMMAND

    def stop_behind(self, place, ms):
        """Has `run` stop ("until") before the first record that ends behind an offset of the history (of a file of
        Redis's: a place in it), or is later than a Unix time in ms. None: no limit."""
        self.until_place = MAX if place is None else place
        self.until_ms = MAX if ms is None else ms

    cdef object result(self, scanned state):
        if state == SCAN_ERROR:
            raise OSError(self.w.error, os.strerror(self.w.error))
        return STATES[state]

    @property
    def why(self):
        return REASONS[self.why_]

    @property
    def command(self):
        """The command that was objected to: bytes, at most 32 of them."""
        return self.culprit[:self.culprit_size]

    @property
    def size(self):
        """Of the file, as far as it is looked at."""
        return self.w.size

    @property
    def first_ms(self):
        return None if self.first_ms_ < 0 else self.first_ms_

    @property
    def last_ms(self):
        return None if self.last_ms_ < 0 else self.last_ms_

    @property
    def by_name(self):
        """How often each command stands there: a dict, by name in upper case."""
        cdef dict found = {}
        cdef int i
        for i in range(NAMES):
            if self.names.slots[i].size and self.names.slots[i].count:
                found[self.names.slots[i].text[:self.names.slots[i].size]] = self.names.slots[i].count
        if self.names.others:
            found[OTHERS.encode()] = self.names.others
        return found

    def nonzero(self, int64_t at):
        """The first byte from `at` on that is not 0; the size where all are."""
        cdef int64_t found
        with nogil:
            found = window_nonzero(&self.w, at, self.w.size)
        if found < 0:
            self.result(SCAN_ERROR)
        return found

    def heads(self, int64_t at, int64_t end):
        """How many commands seem to begin between two places: what damage there has cost."""
        cdef int64_t found
        with nogil:
            found = count_heads(&self.w, at, end)
        if self.w.error:
            self.result(SCAN_ERROR)
        return found

    def peek(self, int64_t at, size_t count):
        """Some bytes of the file; no more than a window holds."""
        cdef size_t have = 0
        cdef const char* p
        if count > WINDOW:
            count = WINDOW
        p = window_look(&self.w, at, count, &have)
        if p == NULL:
            self.result(SCAN_ERROR)
        return p[:min(have, count)]


# --- our records -----------------------------------------------------------------------------------------------------

cdef uint32_t crc_of(window_t* w, int64_t at, int64_t size, uint32_t crc) noexcept nogil:
    """CRC-32 of a part of the file, whatever its size."""
    cdef size_t have = 0
    cdef const char* p
    while size > 0:
        p = window_look(w, at, WINDOW if size > WINDOW else <size_t>size, &have)
        if p == NULL or have == 0:
            return 0
        if <int64_t>have > size:
            have = <size_t>size
        crc = crc32(crc, p, have)
        at += <int64_t>have
        size -= <int64_t>have
    return crc


cdef uint32_t unwound[256]     # the index in the CRC's table of an entry, by its highest byte
cdef uint32_t crc_table[256]


cdef void prepare_unwinding() noexcept:
    cdef uint32_t i, c
    cdef int k
    for i in range(256):
        c = i
        for k in range(8):
            c = (c >> 1) ^ 0xEDB88320u if c & 1 else c >> 1
        crc_table[i] = c
        unwound[c >> 24] = i


prepare_unwinding()


cdef uint32_t unwind(uint32_t crc, const char* data, size_t size) noexcept nogil:
    """The CRC from which `data` leads to `crc`: each step of a CRC can be taken back."""
    cdef uint32_t state = ~crc, i
    while size:
        size -= 1
        i = unwound[state >> 24]
        state = ((state ^ crc_table[i]) << 8) | ((i ^ <unsigned char>data[size]) & 0xff)
    return ~state


cdef class LogScan(Pass):
    """One pass over the records of a segment, from `at` on.

    seed: see segment.Header. least: no offset falls below it. arities: of declared commands, by name in upper case;
    deep: object to commands that are not declared, or disagree with it. Raises OSError where a read fails.
    """
    cdef uint32_t seed
    cdef readonly int64_t least        # the offset at which the next record may begin
    cdef readonly int64_t gaps, gap_bytes
    cdef readonly int64_t resp_bytes
    cdef readonly int64_t transactions
    cdef readonly int64_t end          # of the record objected to
    cdef readonly int64_t first_gap    # place of the first record that comes after a gap; -1
    cdef int64_t first_offset_, last_offset_
    cdef bint behind                   # a fault: the gap after it is what was lost

    def __init__(self, int fd, int64_t size, int64_t at, uint32_t seed, int64_t least, arities=None,
                 bint deep=False, int64_t databases=1 << 31):
        self.at = at
        self.seed = seed
        self.least = least
        self.deep = deep
        self.databases = databases
        self.first_gap = self.first_offset_ = self.last_offset_ = -1
        if arities is not None:
            self.declare(arities)

    @property
    def first_offset(self):
        return None if self.first_offset_ < 0 else self.first_offset_

    @property
    def last_offset(self):
        """Of the last good record: where its RESP begins."""
        return None if self.last_offset_ < 0 else self.last_offset_

    cdef scanned body(self, int64_t start, int64_t end) noexcept nogil:
        """The RESP of a record whose CRC is good."""
        cdef command_t c
        cdef int64_t at = start, began
        cdef walked state
        cdef objection why
        cdef bint inside = False, ended = False
        cdef scanned verdict = SCAN_MORE
        while at < end:
            began = at
            state = walk(&self.w, &at, end, &c)
            if state == WALK_ERROR:
                return SCAN_ERROR
            self.why_ = WHY_NOTHING
            if state != WALK_COMMAND:
                self.place = at
                return SCAN_RESP
            if ended:                              # nothing follows the EXEC of a record
                self.place = began
                self.why_ = WHY_OUTSIDE
                return SCAN_RESP
            why = self.count(&c)
            if began == start and c.name_size == 6 and memcmp(c.name, b"SELECT", 6) == 0:
                start = at                         # may stand before a MULTI
            elif c.name_size == 5 and memcmp(c.name, b"MULTI", 5) == 0:
                if inside or began != start:
                    self.place = began
                    self.why_ = WHY_NESTED
                    return SCAN_RESP
                inside = True
            elif c.name_size == 4 and memcmp(c.name, b"EXEC", 4) == 0:
                if not inside:
                    self.place = began
                    self.why_ = WHY_OUTSIDE
                    return SCAN_RESP
                inside = False
                ended = True
            if why != WHY_NOTHING and verdict == SCAN_MORE:
                verdict = self.object_to(&c, why, began)
        if inside:
            self.place = end
            self.why_ = WHY_UNENDED
            return SCAN_RESP
        self.transactions += ended
        return verdict

    cdef scanned one(self) noexcept nogil:
        """Checks the record at `at` and moves behind it where it is good."""
        cdef size_t have = 0
        cdef int64_t left = self.w.size - self.at, length, offset, ms
        cdef uint32_t database, unsynced, crc, stored
        cdef const char* p
        cdef scanned state
        if left <= 0:
            return SCAN_END
        p = window_look(&self.w, self.at, HEAD_SIZE, &have)
        if p == NULL:
            return SCAN_ERROR
        left = self.w.size - self.at
        if left <= 0:
            return SCAN_END
        if left < LENGTH_SIZE:
            return SCAN_SHORT
        length = take32(p)
        if length <= FIELDS_SIZE:
            self.found = length
            return SCAN_LENGTH
        self.found = LENGTH_SIZE + length + CRC_SIZE
        if left < self.found:
            return SCAN_SHORT
        offset = take64(p + 4)
        ms = take64(p + 12)
        database = take32(p + 20)
        unsynced = take32(p + 24)
        if self.found <= WINDOW:
            p = window_look(&self.w, self.at, <size_t>self.found, &have)
            if p == NULL:
                return SCAN_ERROR
            if <int64_t>have < self.found:
                return SCAN_SHORT
            crc = crc32(self.seed, p, LENGTH_SIZE + <size_t>length)
            stored = take32(p + LENGTH_SIZE + length)
        else:
            crc = crc_of(&self.w, self.at, LENGTH_SIZE + length, self.seed)
            p = window_look(&self.w, self.at + LENGTH_SIZE + length, CRC_SIZE, &have)
            if p == NULL or self.w.error:
                return SCAN_ERROR
            if have < CRC_SIZE:
                return SCAN_SHORT
            stored = take32(p)
        self.end = self.at + LENGTH_SIZE + length + CRC_SIZE
        if crc != stored:
            self.wanted = crc
            self.found = stored
            return SCAN_CRC
        if offset < self.least:
            self.wanted = self.least
            self.found = offset
            return SCAN_BACK
        if ms > self.until_ms or offset + length - FIELDS_SIZE > self.until_place:
            return SCAN_UNTIL
        state = self.body(self.at + HEAD_SIZE, self.end - CRC_SIZE)
        if state == SCAN_MORE and self.deep and database >= self.databases:
            self.why_ = WHY_DATABASE
            self.found = database
            self.place = self.at
            state = SCAN_COMMAND
        if state != SCAN_MORE:
            return state
        if self.first_offset_ < 0:
            self.first_offset_ = offset
            self.first_ms_ = ms
        elif offset > self.least and not self.behind:
            self.gaps += 1
            self.gap_bytes += offset - self.least
            if self.first_gap < 0:
                self.first_gap = self.at
        self.behind = False
        self.last_offset_ = offset
        self.last_ms_ = ms
        self.least = offset + length - FIELDS_SIZE
        self.resp_bytes += length - FIELDS_SIZE
        self.records += 1
        self.durable = max(self.durable, self.at - <int64_t>unsynced)
        self.at = self.end
        return SCAN_MORE

    def run(self, int64_t budget):
        """Goes on for about `budget` bytes: "more", or why it has stopped (a word of STATES), with `at` at the record
        that is wrong. Call `skip` or `find` then."""
        cdef scanned state = SCAN_MORE
        cdef int64_t until = self.at + budget
        with nogil:
            while state == SCAN_MORE and self.at < until:
                state = self.one()
        return self.result(state)

    def skip(self):
        """Passes over a record that is whole but was objected to ("back", "resp", "command")."""
        self.at = self.end
        self.behind = True

    def find(self, int64_t budget):
        """Looks for the next good record, from the byte behind `at` on, for about `budget` bytes. True: `at` is there;
        None: call again; False: there is none, and `at` is the end."""
        cdef int64_t at = self.at + 1, until = self.at + budget, length, offset, room
        cdef size_t have = 0, i
        cdef const char* p = self.w.data
        cdef const char* q
        cdef bint found = False, ended = False
        cdef uint32_t crc
        self.behind = True
        with nogil:
            while at < until and not found:
                p = window_look(&self.w, at, HEAD_SIZE + CRC_SIZE + 1, &have)
                if p == NULL:
                    break
                if have <= HEAD_SIZE + CRC_SIZE:       # nothing shorter is a record
                    ended = True
                    break
                room = self.w.size - at - LENGTH_SIZE - CRC_SIZE
                for i in range(have - HEAD_SIZE - CRC_SIZE):
                    # The cheap tests come first; see records.next_record.
                    if p[i + HEAD_SIZE] != c'*':
                        continue
                    length = take32(p + i)
                    if not FIELDS_SIZE < length <= room - <int64_t>i or take32(p + i + 20) >= <uint32_t>1 << 31:
                        continue
                    offset = take64(p + i + 4)
                    if not self.least <= offset < self.least + (<int64_t>1 << 50):
                        continue
                    if i + LENGTH_SIZE + <size_t>length + CRC_SIZE <= have:
                        found = crc32(self.seed, p + i, LENGTH_SIZE + <size_t>length) \
                            == take32(p + i + LENGTH_SIZE + length)
                        if found:
                            at += <int64_t>i
                            break
                        continue
                    at += <int64_t>i                   # it does not lie in the window: that moves
                    crc = crc_of(&self.w, at, LENGTH_SIZE + length, self.seed)
                    q = window_look(&self.w, at + LENGTH_SIZE + length, CRC_SIZE, &have)
                    found = q != NULL and have >= CRC_SIZE and take32(q) == crc
                    at += not found
                    break
                else:
                    at += <int64_t>(have - HEAD_SIZE - CRC_SIZE)
        if self.w.error:
            p = NULL
        if p == NULL:
            self.result(SCAN_ERROR)
        if found:
            self.at = at
            return True
        if not ended and at < self.w.size:
            self.at = at - 1
            return None
        self.at = self.w.size
        return False

    def seed_at(self, int64_t at):
        """The seed with which the bytes at a place would be a good record; None where they can be none, or are too
        many. That they are one is known when the record behind gives the same, or the seed is known from elsewhere."""
        cdef size_t have = 0
        cdef const char* p = window_look(&self.w, at, HEAD_SIZE, &have)
        cdef int64_t length, size
        if p == NULL:
            self.result(SCAN_ERROR)
        if have <= HEAD_SIZE + CRC_SIZE:
            return None
        length = take32(p)
        size = LENGTH_SIZE + length + CRC_SIZE
        if length <= FIELDS_SIZE or size > WINDOW or size > self.w.size - at:
            return None
        p = window_look(&self.w, at, <size_t>size, &have)
        if p == NULL:
            self.result(SCAN_ERROR)
        if <int64_t>have < size or p[HEAD_SIZE] != c'*':
            return None
        return unwind(take32(p + size - CRC_SIZE), p, <size_t>size - CRC_SIZE), size


# --- Redis's log -----------------------------------------------------------------------------------------------------

cdef class AofScan(Pass):
    """One pass over bare RESP commands, from `at` on: Redis's own append-only files, `#TS:` lines and all.

    arities, deep: as LogScan. Raises OSError where a read fails.
    """
    cdef readonly int64_t multi        # where a transaction that is not ended began; -1
    cdef readonly int64_t transactions
    cdef readonly int64_t annotations

    def __init__(self, int fd, int64_t size, int64_t at, arities=None, bint deep=False, int64_t databases=1 << 31):
        self.at = at
        self.deep = deep
        self.databases = databases
        self.multi = -1
        if arities is not None:
            self.declare(arities)

    @property
    def good(self):
        """Up to where all is whole: commands, and transactions."""
        return self.at if self.multi < 0 else self.multi

    cdef scanned annotation(self) noexcept nogil:
        """A line that begins with `#`; of those that are known, `#TS:<Unix seconds>` matters."""
        cdef size_t have = 0, i = 1
        cdef int64_t seconds = 0
        cdef const char* p = window_look(&self.w, self.at, 1024, &have)
        if p == NULL:
            return SCAN_ERROR
        while i < have and i < 1024 and p[i] != c'\n':
            i += 1
        if i == have and self.at + <int64_t>have >= self.w.size:
            return SCAN_SHORT
        if i >= 1024 or i == have or p[i - 1] != c'\r':
            self.place = self.at + <int64_t>i
            return SCAN_RESP
        if i > 5 and memcmp(p, b"#TS:", 4) == 0:
            have = i - 1
            for i in range(4, have):
                if not c'0' <= p[i] <= c'9' or i > 20:
                    self.place = self.at + <int64_t>i
                    return SCAN_RESP
                seconds = seconds * 10 + (p[i] - c'0')
            if seconds * 1000 > self.until_ms:
                return SCAN_UNTIL
            self.last_ms_ = seconds * 1000
            if self.first_ms_ < 0:
                self.first_ms_ = self.last_ms_
            i = have + 1
        self.annotations += 1
        self.at += <int64_t>i + 1
        return SCAN_MORE

    cdef scanned one(self) noexcept nogil:
        cdef size_t have = 0
        cdef command_t c
        cdef int64_t at = self.at
        cdef const char* p
        cdef walked state
        cdef objection why
        cdef scanned verdict = SCAN_MORE
        if at >= self.w.size:
            return SCAN_END
        p = window_look(&self.w, at, 1, &have)
        if p == NULL:
            return SCAN_ERROR
        if have == 0:
            return SCAN_END
        if p[0] == c'#':
            return self.annotation()
        self.why_ = WHY_NOTHING
        state = walk(&self.w, &at, self.w.size, &c)
        if state == WALK_ERROR:
            return SCAN_ERROR
        if state == WALK_SHORT:
            return SCAN_SHORT
        if state == WALK_BAD:
            self.place = at
            return SCAN_RESP
        if at > self.until_place:
            return SCAN_UNTIL
        why = self.count(&c)
        if why != WHY_NOTHING:
            verdict = self.object_to(&c, why, self.at)
        self.wanted = at                           # where `skip` goes
        if is_name(&c, b"MULTI", 5):
            if self.multi >= 0:
                self.object_to(&c, WHY_NESTED, self.at)
                return SCAN_RESP
            self.multi = self.at
        elif is_name(&c, b"EXEC", 4):
            if self.multi < 0:
                self.object_to(&c, WHY_OUTSIDE, self.at)
                return SCAN_RESP
            self.multi = -1
            self.transactions += 1
        if self.multi < 0:
            self.records += 1
        if verdict == SCAN_MORE:
            self.at = at
        return verdict

    def run(self, int64_t budget):
        """Goes on for about `budget` bytes: "more", or why it has stopped, with `at` at the command that is wrong. Call
        `skip` (where `why` says something) or `find` then."""
        cdef scanned state = SCAN_MORE
        cdef int64_t until = self.at + budget
        with nogil:
            while state == SCAN_MORE and self.at < until:
                state = self.one()
        return self.result(state)

    def skip(self):
        """Passes over a command that is whole but was objected to: "command", or "resp" with a reason in `why`. A
        second MULTI begins a transaction anew."""
        if self.why_ == WHY_NESTED:
            self.multi = self.at
        self.at = self.wanted

    def chain(self, int64_t at, int most):
        """(commands, end): how many whole commands, `most` at most, follow each other at a place, and where they end.
        Annotations count for nothing but do not end it."""
        cdef command_t c
        cdef int found = 0
        cdef int64_t next_
        cdef size_t have = 0, i
        cdef const char* p
        cdef walked state
        while found < most and at < self.w.size:
            p = window_look(&self.w, at, 64, &have)
            if p == NULL:
                self.result(SCAN_ERROR)
            if have and p[0] == c'#':
                i = 1
                while i < have and i < 64 and p[i] != c'\n':
                    i += 1
                if i >= have or i >= 64:
                    break
                at += <int64_t>i + 1
                continue
            next_ = at
            state = walk(&self.w, &next_, self.w.size, &c)
            if state == WALK_ERROR:
                self.result(SCAN_ERROR)
            if state != WALK_COMMAND or names_find(self.names, c.name, c.name_size, False) == NULL:
                break
            found += 1
            at = next_
        return found, at

    def find(self, int64_t budget):
        """Looks for the next whole command of a known name, from the byte behind `at` on, that begins a line. True: `at`
        is there; None: call again; False: there is none, and `at` is the end. A transaction that was open is given up."""
        cdef int64_t at = self.at + 1, until = self.at + budget, next_
        cdef size_t have = 0, i
        cdef const char* p
        cdef command_t c
        cdef walked state
        cdef bint found = False
        self.multi = -1
        with nogil:
            while at < until and at < self.w.size:     # which shrinks where the file turns out shorter
                p = window_look(&self.w, at, 2, &have)
                if p == NULL:
                    break
                i = 0
                while i < have and p[i] != c'*':
                    i += 1
                at += <int64_t>i
                if i == have:
                    continue
                if at > 0:
                    p = window_look(&self.w, at - 1, 1, &have)
                    if p == NULL:
                        break
                    if p[0] != c'\n' and at != self.place + 2:    # or the CRLF before it is what is damaged
                        at += 1
                        continue
                next_ = at
                state = walk(&self.w, &next_, self.w.size, &c)
                if state == WALK_ERROR:
                    break
                if state == WALK_COMMAND and names_find(self.names, c.name, c.name_size, False) != NULL:
                    found = True
                    break
                at += 1
        if self.w.error:
            self.result(SCAN_ERROR)
        if found:
            self.at = at
            return True
        if at < self.w.size:
            self.at = at - 1
            return None
        self.at = self.w.size
        return False
