from typing_extensions import Buffer

class RdbError(ValueError):
    """Bytes that are no RDB; the message says what is wrong. offset: where, if that is known."""

    offset: int | None
    def __init__(self, message: str, offset: int | None = None) -> None: ...

class Item:
    """One item of an RDB file. What does not belong to its kind is None."""

    kind: str
    """"header", "aux", "select", "resize", "key", "function", "module" (auxiliary data), "slot" or "end"."""
    start: int
    """Where it begins in the buffer, and `end`: behind its last byte."""
    end: int
    version: int | None
    """Of a header."""
    database: int | None
    """Of a key, or the one selected."""
    name: bytes | None
    """The key, or the name of an AUX field."""
    text: bytes | None
    """The value of an AUX field."""
    type: int | None
    """The RDB type of a key's value, whose raw bytes are data[value:end]."""
    value: int | None
    expire_ms: int | None
    idle_s: int | None
    freq: int | None
    keys: int | None
    """Of "resize": keys announced for the database, and how many of them have a deadline."""
    volatiles: int | None
    checksum: int | None
    """Of "end": the CRC-64 of all before it; 0 where it was not computed, None where the version has none."""

class Walker:
    """Reads a file item by item, from its header to its end; the buffer may be moved along the file."""

    version: int
    """0: the header has not been read yet."""
    database: int
    @property
    def wanted(self) -> int:
        """After None: the offset in the file up to which bytes are needed at least."""

    def next(self, data: Buffer, at: int, *, base: int = 0, last: bool = False) -> Item | None:
        """The item that begins at a place of a buffer; None where it does not end in it: come again with more
        bytes, from the same place. Values are measured, not decoded. base: the offset in the file at which
        the buffer begins (errors tell offsets in the file); last: no bytes come after it, so that a cut item
        is an error. Raises RdbError, IndexError.
        """

def get_string(data: bytes, at: int, limit: int) -> tuple[bytes, int]:
    """(string, offset behind it). Raises RdbError for damage, and for a string longer than `limit`."""

def put_string(value: bytes, *, compressed: bool) -> bytes:
    """A string in its shortest form: an integer where it is one, LZF where that saves more than four
    bytes.
    """
