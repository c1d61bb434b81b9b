from typing_extensions import Buffer

STATES: dict[int, str]

def checksum(data: Buffer, crc: int = 0) -> int:
    """The CRC-32 of a buffer, which is not empty; crc: of what stands before it."""

def sealed(resp: bytes, offset: int, ms: int, database: int, seed: int, unsynced: int = 0) -> bytes:
    """One record as it stands in a file. resp: one command or more; seed: see segment.Header; unsynced: bytes
    right before it that may not be on disk yet.
    """

def read_record(data: Buffer, at: int, seed: int) -> tuple[str, tuple[int, int, int, bytes, int] | None]:
    """(state, record) at a place of a buffer: a word of STATES, and (offset, ms, database, resp, end) where
    it is good, else None. Raises IndexError beyond the buffer.
    """

def find_record(data: Buffer, at: int, seed: int, least: int) -> int | None:
    """Where the next good record begins, at or after `at`, whose offset is `least` or more; None: nowhere."""
