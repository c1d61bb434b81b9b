"""What `snapshot convert` makes: an RDB file, commands as RESP, a log of ours, NDJSON. Key by key, as they
come.

Each writer takes `key` and `function` any number of times, then `finish` once. They write to a file that
somebody else opens, syncs and names. What a form cannot hold is counted in `left_out`.
"""

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from rlite.engine.client import request
from rlite.engine.core.records import sealed
from rlite.engine.persistence import manifest, segment
from rlite.engine.persistence.manifest import Manifest
from rlite.engine.persistence.rdb_shapes import type_of
from rlite.engine.persistence.rdb_writing import RdbWriter
from rlite.engine.persistence.rebuilding import commands_of
from rlite.engine.persistence.segment import Header
from rlite.engine.persistence.snapshot_json import key_out, text_out
from rlite.engine.persistence.snapshot_key import NO_LIMIT, SnapshotKey
from rlite.engine.persistence.snapshot_reading import Function
from rlite.engine.types.rdb_string import get_string

SCHEMA = "rlite.snapshot-value/1"
STEM = "appendonly"
FUNCTION = 0xF5


class Writer(Protocol):
    """keys: written so far; left_out: what this form cannot hold, and how many of it."""

    left_out: dict[str, int]

    @property
    def keys(self) -> int: ...
    def key(self, item: SnapshotKey) -> None: ...
    def function(self, item: Function) -> None: ...
    def finish(self) -> None: ...


def code_of(item: Function) -> bytes | None:
    """The code of a library of functions; None for the form of a release candidate."""
    return get_string(item.raw, 1, NO_LIMIT)[0] if item.raw[0] == FUNCTION else None


class ToRdb:
    """An RDB file; the file must be able to seek."""

    def __init__(self, file: BinaryIO) -> None:
        self._writer = RdbWriter(file)
        self._writer.begin()
        self.left_out: dict[str, int] = {}

    @property
    def keys(self) -> int:
        return self._writer.keys

    def key(self, item: SnapshotKey) -> None:
        self._writer.key(item)

    def function(self, item: Function) -> None:
        self._writer.function(item.raw)

    def finish(self) -> None:
        self._writer.finish()


class ToResp:
    """Commands for `redis-cli --pipe`. restore: one RESTORE a key; replace: what is there goes first."""

    def __init__(self, file: BinaryIO, *, restore: bool = False, replace: bool = False) -> None:
        self._file = file
        self._restore, self._replace = restore, replace
        self._database = 0
        self.keys = 0
        self.left_out: dict[str, int] = {}

    def key(self, item: SnapshotKey) -> None:
        if item.db != self._database:
            self._file.write(request(b"SELECT", b"%d" % item.db))
            self._database = item.db
        for command in commands_of(item, restore=self._restore, replace=self._replace):
            self._file.write(request(*command))
        self.keys += 1

    def function(self, item: Function) -> None:
        code = code_of(item)
        if code is None:
            left_out(self, "function libraries of a release candidate")
            return
        self._file.write(request(b"FUNCTION", b"LOAD", *([b"REPLACE"] if self._replace else []), code))

    def finish(self) -> None:
        self._file.flush()


class ToNdjson:
    """One object a line; see snapshot_json."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.keys = 0
        self.left_out: dict[str, int] = {}

    def key(self, item: SnapshotKey) -> None:
        self._line(key_out(item, type_of(item.kind)))
        self.keys += 1

    def function(self, item: Function) -> None:
        code = code_of(item)
        if code is None:
            left_out(self, "function libraries of a release candidate")
            return
        self._line({"function": text_out(code)})

    def _line(self, made: dict[str, object]) -> None:
        text = json.dumps({"schema": SCHEMA, **made}, separators=(",", ":"), allow_nan=False)
        self._file.write(text.encode() + b"\n")

    def finish(self) -> None:
        self._file.flush()


class ToLog:
    """The one segment of a log that begins with these keys. The file is the segment; `manifest_text` names
    it. A record holds one command, with a SELECT before it where the database changes.
    """

    def __init__(self, file: BinaryIO, *, restore: bool = False) -> None:
        self._file = file
        self._restore = restore
        self.header = Header.new(secrets.token_hex(20), 0)
        self._offset = self.header.first
        self._database = -1
        self._ms = time.time_ns() // 1_000_000
        self.keys = 0
        self.left_out: dict[str, int] = {}
        file.write(self.header.packed())

    def key(self, item: SnapshotKey) -> None:
        for command in commands_of(item, restore=self._restore):
            data = request(*command)
            if item.db != self._database:
                data = request(b"SELECT", b"%d" % item.db) + data
                self._database = item.db
            self._file.write(sealed(data, self._offset, self._ms, item.db, self.header.seed))
            self._offset += len(data)
        self.keys += 1

    def function(self, _item: Function) -> None:
        left_out(self, "function libraries, which rlite has no commands for")

    def finish(self) -> None:
        self._file.flush()


def write_manifest(directory: Path, history: str) -> None:
    """The manifest beside the segment that ToLog wrote. Raises OSError."""
    name = segment.segment_name(STEM, 1)
    manifest.write(directory / segment.manifest_name(STEM), Manifest(history, segments=(name,)))


def segment_path(directory: Path) -> Path:
    return directory / segment.segment_name(STEM, 1)


def left_out(writer: Writer, what: str) -> None:
    writer.left_out[what] = writer.left_out.get(what, 0) + 1


def notes(writer: Writer) -> Iterator[str]:
    """What was left out, in words."""
    for what, count in writer.left_out.items():
        yield f"{count:,} left out: {what}"
