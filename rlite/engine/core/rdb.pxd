"""RDB files (Redis's rdb.h): their items one by one, and how long each value is, without decoding it.

Pure functions of bytes that a stranger may have written: nothing is read outside the buffer, and each fault is named with
its offset. Strings and lengths are read and written here for all others: files, DUMP, RESTORE.

Lengths: the first byte's top two bits: 00 a length of 6 bits, 01 of 14 bits, 10 of 32 (0x80) or 64 bits (0x81),
big-endian; 11 an encoded string: 0, 1, 2 an integer of 8, 16, 32 bits, little-endian, 3 LZF (its compressed length, its
length, the data).
"""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.lzf cimport lzf_t

cdef enum:                     # opcodes
    OP_SLOT_INFO = 244
    OP_FUNCTION = 245
    OP_FUNCTION_EARLY = 246    # of 7.0's release candidates
    OP_MODULE_AUX = 247
    OP_IDLE = 248              # seconds since the last use
    OP_FREQ = 249              # LFU counter
    OP_AUX = 250
    OP_RESIZE = 251
    OP_EXPIRE_MS = 252
    OP_EXPIRE_S = 253
    OP_SELECT = 254
    OP_END = 255

cdef enum:                     # types of values
    RDB_STRING = 0
    RDB_LIST = 1
    RDB_SET = 2
    RDB_ZSET = 3
    RDB_HASH = 4
    RDB_ZSET_2 = 5
    RDB_MODULE = 6
    RDB_MODULE_2 = 7
    RDB_HASH_ZIPMAP = 9
    RDB_LIST_ZIPLIST = 10
    RDB_SET_INTSET = 11
    RDB_ZSET_ZIPLIST = 12
    RDB_HASH_ZIPLIST = 13
    RDB_LIST_QUICKLIST = 14
    RDB_STREAM_1 = 15
    RDB_HASH_LISTPACK = 16
    RDB_ZSET_LISTPACK = 17
    RDB_LIST_QUICKLIST_2 = 18
    RDB_STREAM_2 = 19
    RDB_SET_LISTPACK = 20
    RDB_STREAM_3 = 21
    RDB_HASH_METADATA_EARLY = 22       # fields with deadlines, of 7.4's release candidates
    RDB_HASH_LISTPACK_EX_EARLY = 23
    RDB_HASH_METADATA = 24             # fields with deadlines
    RDB_HASH_LISTPACK_EX = 25

cdef enum:
    WRITTEN_VERSION = 10       # what Redis 7.0 reads
    FIELDS_VERSION = 12        # where fields of hashes have deadlines
    READ_VERSION = 12
    CHECKED_VERSION = 5        # from here on a CRC-64 ends the file

cdef struct cursor_t:
    const unsigned char* p
    size_t size
    size_t at
    const char* wrong          # NULL: nothing yet, or the bytes have ended
    size_t wrong_at
    size_t wanted              # where the last string that goes beyond the bytes would end

cdef struct string_t:          # a string, decoded
    const char* data           # in the buffer, in the scratch, or the digits below
    size_t size
    char digits[24]

cdef struct scratch_t:         # where compressed strings are unpacked
    char* data
    size_t cap

cdef enum item_kind:
    ITEM_MORE                  # it does not end in this buffer
    ITEM_BAD                   # cursor_t.wrong
    ITEM_HEADER
    ITEM_AUX
    ITEM_SELECT
    ITEM_RESIZE
    ITEM_KEY
    ITEM_FUNCTION
    ITEM_MODULE
    ITEM_SLOT
    ITEM_END

cdef struct item_t:
    item_kind kind
    int type                   # of a key's value
    size_t start
    size_t name                # where the key, or the name of an AUX field, begins (encoded)
    size_t value               # where its value begins
    size_t end
    int64_t expire_ms          # Unix time; -1: none
    int64_t idle_s             # -1: not told
    int freq                   # -1: not told
    uint64_t numbers[2]        # RESIZE: keys, volatile keys; SELECT: database; END: the checksum, where there is one

cdef struct walk_t:
    int version                # 0: the header has not been read
    int database

# All of these return False where the bytes end or are wrong; the cursor then stands somewhere behind its start.
cdef bint take_length(cursor_t* c, uint64_t* n) noexcept nogil
cdef bint take_string(cursor_t* c, scratch_t* scratch, string_t* s) noexcept nogil   # decoded; holds until the next
cdef bint take_raw(cursor_t* c, size_t size, const char** at) noexcept nogil
cdef bint skip_string(cursor_t* c) noexcept nogil
cdef bint skip_value(cursor_t* c, int kind) noexcept nogil
cdef bint wrong(cursor_t* c, const char* what, size_t at) noexcept nogil             # notes a fault; always False
cdef item_kind rdb_next(walk_t* w, cursor_t* c, item_t* item) noexcept nogil

cdef size_t put_length_at(char* to, uint64_t n) noexcept nogil                       # at most 9 bytes
cdef size_t put_integer_at(char* to, const char* data, size_t size) noexcept nogil   # 0: it is no such integer; else 2 to 5
