"""Exit codes, the same for every tool. Each man page's EXIT STATUS is made from this table."""

from enum import IntEnum


class Exit(IntEnum):
    """What a shell script is told."""

    FINE = 0
    NOT_SO = 1  # damage found, or the thing asked is not so
    USAGE = 2
    FAILED = 3  # could not do it: input and output, permission, connection, time
    UNCONFIRMED = 4
    LOCKED = 5  # files are in use by a live server
    BEYOND_TRUNCATION = 6
    INTERRUPTED = 130
    BROKEN_PIPE = 141
