"""One fast pass over a log: ours (records) or Redis's (bare RESP). Checks, counts, finds its place again.

Reads through a window (windows.pxd), without the GIL while it runs; Python calls in pieces, so that it can show
progress and be interrupted. Knows nothing of manifests or of what is to be done about a fault: that is
persistence/reading.py and persistence/check.py.
"""
from libc.stdint cimport int64_t, uint32_t

from rlite.engine.core.windows cimport window_t

cdef enum:
    NAME_MAX = 32
    NAMES = 1024               # slots of the table of names; more than 700 different ones are counted as one

cdef enum walked:
    WALK_COMMAND               # a whole command; `at` is behind it
    WALK_SHORT                 # the bytes end inside it
    WALK_BAD                   # `at` is where it stops being RESP
    WALK_ERROR                 # a read failed

cdef enum scanned:
    SCAN_MORE                  # the piece is done, nothing wrong
    SCAN_END                   # all of it is read
    SCAN_SHORT                 # the file ends inside a record or command
    SCAN_LENGTH                # no record is so short: `found`
    SCAN_CRC                   # `wanted` and `found`
    SCAN_BACK                  # a good record whose offset (`found`) falls below `wanted`
    SCAN_RESP                  # a good record that holds no RESP, or no whole transaction; `place`: where in the file
    SCAN_COMMAND               # with deep: unknown command, wrong arity, database: `place`, `why`
    SCAN_UNTIL                 # what comes now is later than what was asked for
    SCAN_ERROR                 # a read failed

cdef enum objection:
    WHY_NOTHING
    WHY_UNKNOWN                # no such command
    WHY_ARITY
    WHY_DATABASE               # `found`: its number
    WHY_NESTED                 # MULTI inside MULTI
    WHY_OUTSIDE                # EXEC without MULTI
    WHY_UNENDED                # MULTI without EXEC

cdef struct name_t:
    char text[NAME_MAX]        # upper case
    unsigned char size         # 0: the slot is free
    int arity                  # 0: not declared
    int64_t count

cdef struct names_t:
    name_t slots[NAMES]
    int used
    int64_t others

cdef struct command_t:
    char name[NAME_MAX]        # upper case, cut
    size_t name_size           # as it is
    int64_t argc
    int64_t first              # the second word as a number, where it is one: SELECT's database; -1

cdef uint32_t crc_of(window_t* w, int64_t at, int64_t size, uint32_t crc) noexcept nogil     # of a part of the file
