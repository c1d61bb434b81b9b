# cython: cdivision=True
"""RDB: lengths, strings, items. The functions for Python stand at the end."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy

from rlite.engine.core.lzf cimport lzf_compress, lzf_decompress, lzf_init, lzf_t
from rlite.engine.core.resp cimport format_int, parse_int

cdef enum:
    CODED = 0xc0               # the two bits of an encoded string
    CODED_LZF = 3
    MODULE_END = 0             # what the parts of a module's value begin with
    MODULE_SIGNED = 1
    MODULE_UNSIGNED = 2
    MODULE_FLOAT = 3
    MODULE_DOUBLE = 4
    MODULE_STRING = 5
    SHORTEST_COMPRESSED = 20
    BEST_RATIO = 133           # LZF makes no more of a byte: three bytes of an item give 264 at most


# --- lengths and strings ---------------------------------------------------------------------------------------------

cdef bint wrong(cursor_t* c, const char* what, size_t at) noexcept nogil:
    if c.wrong == NULL:
        c.wrong = what
        c.wrong_at = at
    return False


cdef inline bint skip(cursor_t* c, uint64_t size) noexcept nogil:
    if size > c.size - c.at:
        c.wanted = c.at + min(size, <uint64_t>1 << 62)
        return False
    c.at += size
    return True


cdef bint take_raw(cursor_t* c, size_t size, const char** at) noexcept nogil:
    at[0] = <const char*>c.p + c.at
    return skip(c, size)


cdef inline uint64_t little(const unsigned char* p, int n) noexcept nogil:
    cdef uint64_t v = 0
    while n:
        n -= 1
        v = v << 8 | p[n]
    return v


cdef inline uint64_t big(const unsigned char* p, int n) noexcept nogil:
    cdef uint64_t v = 0
    cdef int i
    for i in range(n):
        v = v << 8 | p[i]
    return v


cdef inline bint take_either(cursor_t* c, uint64_t* n, int* code) noexcept nogil:
    """A length, or the code of an encoded string (-1: none)."""
    cdef unsigned char first
    cdef size_t size
    if c.at == c.size:
        return False
    first = c.p[c.at]
    code[0] = -1
    if first < 0x40:
        n[0] = first
        c.at += 1
        return True
    if first < 0x80:
        if c.size - c.at < 2:
            return False
        n[0] = <uint64_t>(first & 0x3f) << 8 | c.p[c.at + 1]
        c.at += 2
        return True
    if first >= CODED:
        n[0] = 0
        code[0] = first & 0x3f
        c.at += 1
        return True
    if first > 0x81:
        return wrong(c, b"no length begins with this byte", c.at)
    size = 4 if first == 0x80 else 8
    if c.size - c.at < 1 + size:
        return False
    n[0] = big(c.p + c.at + 1, <int>size)
    c.at += 1 + size
    return True


cdef bint take_length(cursor_t* c, uint64_t* n) noexcept nogil:
    cdef size_t at = c.at
    cdef int code
    if not take_either(c, n, &code):
        return False
    return code < 0 or wrong(c, b"a length is wanted, not a string", at)


cdef inline bint take_lzf_head(cursor_t* c, uint64_t* packed, uint64_t* size) noexcept nogil:
    cdef size_t at = c.at
    if not take_length(c, packed) or not take_length(c, size):
        return False
    if packed[0] > <uint64_t>1 << 40 or size[0] > BEST_RATIO * packed[0]:
        return wrong(c, b"a compressed string cannot be that long", at)
    return True


cdef bint skip_string(cursor_t* c) noexcept nogil:
    cdef uint64_t n, size
    cdef size_t at = c.at
    cdef int code
    if not take_either(c, &n, &code):
        return False
    if code < 0:
        return skip(c, n)
    if code < CODED_LZF:
        return skip(c, 1 << code)
    if code > CODED_LZF:
        return wrong(c, b"no such encoding of a string", at)
    return take_lzf_head(c, &n, &size) and skip(c, n)


cdef bint take_string(cursor_t* c, scratch_t* scratch, string_t* s) noexcept nogil:
    cdef:
        uint64_t n, size
        size_t at = c.at
        int code
        char* grown
        const char* fault
    if not take_either(c, &n, &code):
        return False
    if code < 0:
        s.size = n
        return take_raw(c, n, &s.data)
    if code < CODED_LZF:
        if c.size - c.at < <size_t>1 << code:
            return False
        n = little(c.p + c.at, 1 << code)
        c.at += 1 << code
        s.data = s.digits
        s.size = format_int(s.digits, <int64_t>(n << (64 - (8 << code))) >> (64 - (8 << code)))
        return True
    if code > CODED_LZF:
        return wrong(c, b"no such encoding of a string", at)
    if not take_lzf_head(c, &n, &size) or n > c.size - c.at:
        return False
    if size > scratch.cap:
        grown = <char*>realloc(scratch.data, size + (size >> 1) + 64)
        if grown == NULL:
            return wrong(c, b"not enough memory for a string", at)
        scratch.data = grown
        scratch.cap = size + (size >> 1) + 64
    if scratch.data != NULL:
        fault = lzf_decompress(<const char*>c.p + c.at, n, scratch.data, size)
        if fault != NULL:
            return wrong(c, fault, at)
    s.data = scratch.data if scratch.data != NULL else s.digits
    s.size = size
    c.at += n
    return True


cdef size_t put_length_at(char* to, uint64_t n) noexcept nogil:
    cdef int i
    if n < 1 << 6:
        to[0] = <char>n
        return 1
    if n < 1 << 14:
        to[0] = <char>(0x40 | n >> 8)
        to[1] = <char>n
        return 2
    if n < <uint64_t>1 << 32:
        to[0] = <char>0x80
        for i in range(4):
            to[1 + i] = <char>(n >> (24 - 8 * i))
        return 5
    to[0] = <char>0x81
    for i in range(8):
        to[1 + i] = <char>(n >> (56 - 8 * i))
    return 9


cdef size_t put_integer_at(char* to, const char* data, size_t size) noexcept nogil:
    cdef int64_t v
    cdef int code, i
    if size == 0 or size > 11 or not parse_int(data, size, &v):
        return 0
    if -(1 << 7) <= v < 1 << 7:
        code = 0
    elif -(1 << 15) <= v < 1 << 15:
        code = 1
    elif -(<int64_t>1 << 31) <= v < <int64_t>1 << 31:
        code = 2
    else:
        return 0
    to[0] = <char>(CODED | code)
    for i in range(1 << code):
        to[1 + i] = <char>(v >> (8 * i))
    return 1 + (1 << code)


# --- how long values are ---------------------------------------------------------------------------------------------

cdef bint skip_strings(cursor_t* c, uint64_t each, uint64_t behind) noexcept nogil:
    """A count, and so many times `each` strings with `behind` bytes after them."""
    cdef uint64_t n, i, k
    if not take_length(c, &n):
        return False
    for i in range(n):
        for k in range(each):
            if not skip_string(c):
                return False
        if not skip(c, behind):
            return False
    return True


cdef bint skip_lengths(cursor_t* c, int count) noexcept nogil:
    cdef uint64_t n
    while count:
        if not take_length(c, &n):
            return False
        count -= 1
    return True


cdef bint skip_old_scores(cursor_t* c) noexcept nogil:
    """A sorted set whose scores are texts; lengths from 253 on stand for nan, inf and -inf."""
    cdef uint64_t n, i
    cdef int size
    if not take_length(c, &n):
        return False
    for i in range(n):
        if not skip_string(c) or c.at == c.size:
            return False
        size = c.p[c.at]
        c.at += 1
        if size < 253 and not skip(c, size):
            return False
    return True


cdef bint skip_nodes(cursor_t* c) noexcept nogil:
    """A list's nodes: each a kind and a string."""
    cdef uint64_t n, i, kind
    cdef size_t at
    if not take_length(c, &n):
        return False
    for i in range(n):
        at = c.at
        if not take_length(c, &kind):
            return False
        if kind != 1 and kind != 2:
            return wrong(c, b"no such node of a list", at)
        if not skip_string(c):
            return False
    return True


cdef bint skip_fields_with_deadlines(cursor_t* c) noexcept nogil:
    cdef uint64_t n, i, later
    if not take_length(c, &n):
        return False
    for i in range(n):
        if not take_length(c, &later) or not skip_string(c) or not skip_string(c):
            return False
    return True


cdef bint skip_stream(cursor_t* c, int form) noexcept nogil:
    cdef uint64_t groups, g, n, i
    if not skip_strings(c, 2, 0) or not skip_lengths(c, 3 if form == 1 else 8) or not take_length(c, &groups):
        return False
    for g in range(groups):
        if not skip_string(c) or not skip_lengths(c, 2 if form == 1 else 3) or not take_length(c, &n):
            return False
        for i in range(n):                 # pending entries: id, time, deliveries
            if not skip(c, 16 + 8) or not skip_lengths(c, 1):
                return False
        if not take_length(c, &n):
            return False
        for i in range(n):                 # consumers: name, one time or two, ids
            if not skip_string(c) or not skip(c, 16 if form == 3 else 8) or not skip_ids(c):
                return False
    return True


cdef bint skip_ids(cursor_t* c) noexcept nogil:
    cdef uint64_t n
    if not take_length(c, &n):
        return False
    return n <= (c.size - c.at) // 16 and skip(c, 16 * n)


cdef bint skip_module(cursor_t* c) noexcept nogil:
    """The parts of a module's value, up to the mark that ends them."""
    cdef uint64_t part
    cdef size_t at
    while True:
        at = c.at
        if not take_length(c, &part):
            return False
        if part == MODULE_END:
            return True
        if part == MODULE_SIGNED or part == MODULE_UNSIGNED:
            if not skip_lengths(c, 1):
                return False
        elif part == MODULE_FLOAT or part == MODULE_DOUBLE:
            if not skip(c, 4 if part == MODULE_FLOAT else 8):
                return False
        elif part == MODULE_STRING:
            if not skip_string(c):
                return False
        else:
            return wrong(c, b"no such part of a module's value", at)


cdef bint skip_value(cursor_t* c, int kind) noexcept nogil:
    """Moves behind a value of this RDB type."""
    if kind == RDB_LIST or kind == RDB_SET or kind == RDB_LIST_QUICKLIST:
        return skip_strings(c, 1, 0)
    if kind == RDB_HASH:
        return skip_strings(c, 2, 0)
    if kind == RDB_ZSET_2:
        return skip_strings(c, 1, 8)
    if kind == RDB_ZSET:
        return skip_old_scores(c)
    if kind == RDB_LIST_QUICKLIST_2:
        return skip_nodes(c)
    if kind == RDB_STREAM_1 or kind == RDB_STREAM_2 or kind == RDB_STREAM_3:
        return skip_stream(c, 1 if kind == RDB_STREAM_1 else 2 if kind == RDB_STREAM_2 else 3)
    if kind == RDB_HASH_METADATA:
        return skip(c, 8) and skip_fields_with_deadlines(c)
    if kind == RDB_HASH_METADATA_EARLY:
        return skip_fields_with_deadlines(c)
    if kind == RDB_HASH_LISTPACK_EX:
        return skip(c, 8) and skip_string(c)
    if kind == RDB_MODULE_2:
        return skip_lengths(c, 1) and skip_module(c)
    if kind == RDB_MODULE:
        return wrong(c, b"a module's value of an early form, which tells no length", c.at)
    if kind < 0 or kind > RDB_HASH_LISTPACK_EX or kind == 8:
        return wrong(c, b"no such type of a value", c.at)
    return skip_string(c)


# --- items -----------------------------------------------------------------------------------------------------------

cdef bint read_header(walk_t* w, cursor_t* c, item_t* item) noexcept nogil:
    cdef const unsigned char* p = c.p + c.at
    cdef size_t size = c.size - c.at
    cdef int i, version = 0
    if memcmp(p, b"REDIS", min(size, <size_t>5)) != 0:
        return wrong(c, b"an RDB file begins with REDIS", c.at)
    for i in range(5, <int>min(size, <size_t>9)):
        if not c'0' <= p[i] <= c'9':
            return wrong(c, b"no version of an RDB file", c.at + 5)
        version = 10 * version + p[i] - c'0'
    if size < 9:
        return False
    if version < 1 or version > READ_VERSION:
        return wrong(c, b"an RDB version that this rlite does not know (1 to 12)", c.at + 5)
    w.version = version
    c.at += 9
    item.kind = ITEM_HEADER
    return True


cdef bint read_item(walk_t* w, cursor_t* c, item_t* item) noexcept nogil:
    cdef:
        int op
        size_t at
        uint64_t n
        const unsigned char* p
    while True:                            # what stands before a key's type
        if c.at == c.size:
            return False
        at = c.at
        op = c.p[at]
        c.at += 1
        p = c.p + c.at
        if op == OP_EXPIRE_MS:
            if not skip(c, 8):
                return False
            item.expire_ms = <int64_t>little(p, 8)
            if item.expire_ms < 0:
                item.expire_ms = 0         # long ago
        elif op == OP_EXPIRE_S:
            if not skip(c, 4):
                return False
            item.expire_ms = <int64_t>little(p, 4) * 1000
        elif op == OP_IDLE:
            if not take_length(c, &n):
                return False
            item.idle_s = <int64_t>min(n, <uint64_t>1 << 32)
        elif op == OP_FREQ:
            if not skip(c, 1):
                return False
            item.freq = p[0]
        else:
            break
    if op <= RDB_HASH_LISTPACK_EX:
        item.kind = ITEM_KEY
        item.type = op
        item.name = c.at
        if not skip_string(c):
            return False
        item.value = c.at
        return skip_value(c, op)
    if at != item.start:
        return wrong(c, b"a deadline or a use that belongs to no key", item.start)
    if op == OP_SELECT:
        item.kind = ITEM_SELECT
        if not take_length(c, item.numbers):
            return False
        if item.numbers[0] > 0x7fffffff:
            return wrong(c, b"no such database", at)
        w.database = <int>item.numbers[0]
        return True
    if op == OP_RESIZE:
        item.kind = ITEM_RESIZE
        return take_length(c, item.numbers) and take_length(c, item.numbers + 1)
    if op == OP_AUX:
        item.kind = ITEM_AUX
        item.name = c.at
        if not skip_string(c):
            return False
        item.value = c.at
        return skip_string(c)
    if op == OP_END:
        item.kind = ITEM_END
        if w.version < CHECKED_VERSION:
            return True
        if not skip(c, 8):
            return False
        item.numbers[0] = little(p, 8)
        return True
    if op == OP_FUNCTION:
        item.kind = ITEM_FUNCTION
        item.value = c.at
        return skip_string(c)
    if op == OP_FUNCTION_EARLY:            # name, engine, perhaps a description, code
        item.kind = ITEM_FUNCTION
        if not skip_string(c) or not skip_string(c) or not take_length(c, &n) or (n and not skip_string(c)):
            return False
        item.value = c.at
        return skip_string(c)
    if op == OP_MODULE_AUX:
        item.kind = ITEM_MODULE
        return skip_lengths(c, 3) and skip_module(c)
    if op == OP_SLOT_INFO:
        item.kind = ITEM_SLOT
        return skip_lengths(c, 3)
    return wrong(c, b"no item of an RDB file begins with this byte", at)


cdef item_kind rdb_next(walk_t* w, cursor_t* c, item_t* item) noexcept nogil:
    """The item at the cursor, which moves behind it."""
    item.start = c.at
    item.name = item.value = 0
    item.expire_ms = item.idle_s = -1
    item.freq = -1
    if not (read_item(w, c, item) if w.version else read_header(w, c, item)):
        item.kind = ITEM_BAD if c.wrong != NULL else ITEM_MORE
    item.end = c.at
    return item.kind


# --- for Python ------------------------------------------------------------------------------------------------------

class RdbError(ValueError):
    """Bytes that are no RDB; the message says what is wrong. offset: where, if that is known."""

    def __init__(self, message, offset=None):
        super().__init__(message if offset is None else f"{message} (at offset {offset})")
        self.offset = offset


KINDS = {ITEM_HEADER: "header", ITEM_AUX: "aux", ITEM_SELECT: "select", ITEM_RESIZE: "resize", ITEM_KEY: "key",
         ITEM_FUNCTION: "function", ITEM_MODULE: "module", ITEM_SLOT: "slot", ITEM_END: "end"}


cdef class Item:
    cdef readonly object kind, start, end, version, database, name, text, type, value, expire_ms, idle_s, freq
    cdef readonly object keys, volatiles, checksum

    def __repr__(self):
        return f"<{self.kind} item at {self.start}>"


cdef bytes string_of(cursor_t* c, size_t at):
    """A string that has been passed over already."""
    cdef cursor_t copy = c[0]
    cdef scratch_t scratch
    cdef string_t s
    scratch.data = NULL
    scratch.cap = 0
    copy.at = at
    try:
        if not take_string(&copy, &scratch, &s):
            c.wrong = copy.wrong
            c.wrong_at = copy.wrong_at
            return None
        return s.data[:s.size]
    finally:
        free(scratch.data)


cdef class Walker:
    cdef walk_t walk
    cdef readonly object wanted

    @property
    def version(self):
        return self.walk.version

    @property
    def database(self):
        return self.walk.database

    def next(self, const unsigned char[::1] data not None, size_t at, *, uint64_t base=0, bint last=False):
        """The item that begins at a place of a buffer; None where it does not end in it (see rdb.pyi)."""
        cdef:
            cursor_t c
            item_t found
            Item item
        c.size = data.shape[0]
        if at > c.size:
            raise IndexError(f"offset {at} of {c.size} bytes")
        c.p = &data[0] if c.size else <const unsigned char*>b""
        c.at = at
        c.wrong = NULL
        c.wanted = 0
        with nogil:
            rdb_next(&self.walk, &c, &found)
        if found.kind == ITEM_MORE:
            if last:
                raise RdbError(f"the file ends in the middle of what begins at offset {base + at}", base + c.size)
            self.wanted = base + max(c.wanted, c.size + 1)
            return None
        item = Item.__new__(Item)
        if found.kind != ITEM_BAD:
            item.kind = KINDS[found.kind]
            item.start = found.start
            item.end = found.end
            if found.kind == ITEM_KEY:
                item.name = string_of(&c, found.name)
                item.type = found.type
                item.value = found.value
                item.database = self.walk.database
                item.expire_ms = None if found.expire_ms < 0 else found.expire_ms
                item.idle_s = None if found.idle_s < 0 else found.idle_s
                item.freq = None if found.freq < 0 else found.freq
            elif found.kind == ITEM_AUX:
                item.name = string_of(&c, found.name)
                item.text = string_of(&c, found.value)
            elif found.kind == ITEM_HEADER:
                item.version = self.walk.version
            elif found.kind == ITEM_SELECT:
                item.database = self.walk.database
            elif found.kind == ITEM_RESIZE:
                item.keys, item.volatiles = found.numbers[0], found.numbers[1]
            elif found.kind == ITEM_FUNCTION:
                item.value = found.value
            elif found.kind == ITEM_END and self.walk.version >= CHECKED_VERSION:
                item.checksum = found.numbers[0]
        if c.wrong != NULL:
            raise RdbError((<bytes>c.wrong).decode(), base + c.wrong_at)
        return item


def get_string(bytes data not None, size_t at, uint64_t limit):
    """(string, offset behind it). Raises RdbError for damage, and for a string longer than `limit`."""
    cdef:
        cursor_t c
        scratch_t scratch
        string_t s
        uint64_t size
        int code
    c.p = <const unsigned char*><const char*>data
    c.size = len(data)
    c.at = min(at, c.size)
    c.wrong = NULL
    scratch.data = NULL
    scratch.cap = 0
    if take_either(&c, &size, &code):          # before memory is taken
        if code == CODED_LZF and not (take_length(&c, &size) and take_length(&c, &size)):
            size = 0
        if size > limit:
            raise RdbError(f"a string of {size} bytes is longer than allowed", at)
    c.at = min(at, c.size)
    c.wrong = NULL
    try:
        if not take_string(&c, &scratch, &s):
            if c.wrong != NULL:
                raise RdbError((<bytes>c.wrong).decode(), c.wrong_at)
            raise RdbError("the bytes end in the middle of a string", at)
        return s.data[:s.size], c.at
    finally:
        free(scratch.data)


cdef lzf_t shared              # under the GIL
lzf_init(&shared)


def put_string(bytes value not None, *, bint compressed):
    """A string in its shortest form: an integer where it is one, LZF where that saves more than four bytes."""
    cdef:
        char head[24]
        size_t size = len(value), made, n
        char* packed
    n = put_integer_at(head, value, size)
    if n:
        return head[:n]
    if compressed and size > SHORTEST_COMPRESSED:
        packed = <char*>malloc(size - 5)
        if packed == NULL:
            raise MemoryError
        try:
            made = lzf_compress(&shared, value, size, packed, size - 5)
            if made:
                head[0] = <char>(CODED | CODED_LZF)
                n = 1 + put_length_at(head + 1, made)
                n += put_length_at(head + n, size)
                return head[:n] + packed[:made]
        finally:
            free(packed)
    return head[:put_length_at(head, size)] + value
