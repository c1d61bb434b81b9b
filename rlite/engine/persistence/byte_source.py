"""Bytes of a file or of standard input, piece by piece, unpacked where they are gzip's (told by their first
bytes, not by the name). Holds one piece at a time, however large the file is.
"""

import os
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from rlite.engine.errors import RliteError

PIECE = 1 << 18
GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS


class CompressionError(RliteError):
    """gzip data that is cut or damaged; says where, in the compressed file."""


class ByteSource:
    """One file (`-`: standard input), read once from its start to its end. Raises OSError from the
    constructor.

    total: size of the file, 0 where nobody knows; done: bytes read of it so far; gzip: known after the first
    piece.
    """

    def __init__(self, name: str | Path) -> None:
        self.name = str(name)
        self.standard_input = self.name == "-"
        self.file: BinaryIO = sys.stdin.buffer if self.standard_input else Path(name).open("rb")  # noqa: SIM115 - closed by close()
        status = os.fstat(self.file.fileno())
        self.total = status.st_size if stat.S_ISREG(status.st_mode) else 0
        self.done = 0
        self.gzip = False

    @property
    def plain_size(self) -> int | None:
        """How many bytes `pieces` gives; None where nobody knows. To be asked after the first piece."""
        return None if self.gzip or not self.total else self.total

    def close(self) -> None:
        if not self.standard_input:
            self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _read(self) -> bytes:
        """What is there by now, at most a piece; nothing: the end."""
        piece = os.read(self.file.fileno(), PIECE)
        self.done += len(piece)
        return piece

    def pieces(self) -> Iterator[bytes]:
        """The content, unpacked. Raises CompressionError after the last bytes that could be had, OSError."""
        first = self._read()
        while len(first) < 2 and (more := self._read()):
            first += more
        self.gzip = first.startswith(GZIP_MAGIC)
        if self.gzip:
            yield from self._unpacked(first)
            return
        while first:
            yield first
            first = self._read()

    def _unpacked(self, packed: bytes) -> Iterator[bytes]:
        member = zlib.decompressobj(_GZIP)
        while packed or (packed := self._read()):
            if member.eof:  # one more member: gzip files may be joined
                if not packed.startswith(GZIP_MAGIC[:1]):
                    if packed.strip(b"\0"):
                        raise CompressionError(
                            f"what follows the gzip data before byte {self.done} is not gzip's"
                        )
                    packed = b""
                    continue
                member = zlib.decompressobj(_GZIP)
            try:
                piece = member.decompress(packed, PIECE)
            except zlib.error as fault:
                raise CompressionError(
                    f"the gzip data is damaged before byte {self.done} of the file ({fault})"
                ) from None
            packed = member.unconsumed_tail or member.unused_data
            if piece:
                yield piece
        if not member.eof and (piece := member.flush()):
            yield piece
        if not member.eof:
            raise CompressionError(f"the gzip data is cut: the file ends after {self.done} bytes")
