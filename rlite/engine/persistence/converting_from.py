"""Where `snapshot convert` takes keys from: an RDB file, our log or Redis's, RESP commands, NDJSON.

An RDB and NDJSON pass key by key. A log and RESP hold commands, which must be run: all of their data is then
in memory. Whatever is wrong with the input ends it with a DamagedError or ConvertError; a log is never
changed.
"""

import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path

from rlite.engine.commands import saving
from rlite.engine.commands.context import Context, Loading
from rlite.engine.config import Config
from rlite.engine.core.database import Database
from rlite.engine.core.replay import Replay
from rlite.engine.errors import RliteError
from rlite.engine.persistence import manifest, recovery, redis_log, replaying, segment
from rlite.engine.persistence.manifest import Manifest, ManifestError
from rlite.engine.persistence.outcome import Plan, RecoveryError, Source, advice
from rlite.engine.persistence.snapshot_json import key_in, text_in
from rlite.engine.persistence.snapshot_key import SnapshotKey
from rlite.engine.persistence.snapshot_reading import (
    DamagedError,
    End,
    Function,
    ModuleData,
    SnapshotReader,
    sound,
)
from rlite.engine.types.rdb_string import RdbError, put_string
from rlite.engine.types.rdb_values import putter

FUNCTION = 0xF5  # the opcode before a library of functions

Passing = SnapshotKey | Function | ModuleData


class Form(StrEnum):
    """What a file is."""

    RDB = "rdb"
    LOG = "log"
    RESP = "resp"
    NDJSON = "ndjson"


class ConvertError(RliteError):
    """An input that cannot be converted, though it is not damaged; says what and where."""


def form_of(head: bytes) -> Form | None:
    """What a file is that begins with these bytes (unpacked); None: nothing that is known."""
    if head.startswith(b"REDIS"):
        return Form.RDB
    if head.startswith((segment.MAGIC, b"rlite-log ", b"file ")):
        return Form.LOG
    if head.lstrip()[:1] == b"{":
        return Form.NDJSON
    return Form.RESP if head.startswith((b"*", b"#")) else None


# --- formats that pass key by key --------------------------------------------------------------------------


def of_rdb(pieces: Iterator[bytes], size: Callable[[], int | None] = lambda: None) -> Iterator[Passing]:
    """Everything in an RDB file, which must be good to its end. size: see SnapshotReader. Raises
    DamagedError, ConvertError.
    """
    reader = SnapshotReader(pieces, size=size)
    yield from _of_reader(reader)
    end = reader.offset
    if more := reader.trailing():
        raise ConvertError(
            f"{more} bytes follow the end of the RDB, at offset {end}: a log with an RDB at its head is "
            f"converted with --from resp"
        )


def _of_reader(reader: SnapshotReader) -> Iterator[Passing]:
    for event in reader.events():
        if isinstance(event, SnapshotKey | Function | ModuleData):
            yield event
        elif isinstance(event, End):
            sound(event)


def of_ndjson(pieces: Iterator[bytes]) -> Iterator[Passing]:
    """Keys, one object a line (see snapshot_json). Holds a digest of each key, to find one that comes twice.
    Raises ConvertError.
    """
    seen: set[bytes] = set()
    put = putter(True)
    for number, text in enumerate(_lines(pieces), start=1):
        if not text.strip():
            continue
        try:
            made = json.loads(text)
            if isinstance(made, dict) and "function" in made:
                yield Function(bytes([FUNCTION]) + put_string(text_in(made["function"]), compressed=True))
                continue
            key = key_in(made, put)
        except (ValueError, RecursionError, OverflowError) as fault:
            raise ConvertError(f"line {number}: {fault}") from None
        digest = blake2b(key.db.to_bytes(4, "little") + key.key, digest_size=12).digest()
        if digest in seen:
            raise ConvertError(f"line {number}: its key has been there before")
        seen.add(digest)
        yield key


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for text in whole:
            yield b"".join((*parts, text))
            parts.clear()
        if rest:
            parts.append(rest)
    if parts:
        yield b"".join(parts)


# --- formats that are run ----------------------------------------------------------------------------------


def of_resp(pieces: Iterator[bytes], server: Context) -> Iterator[Passing]:
    """What commands leave behind, Redis's append-only file among them, with or without an RDB at its head.
    server: its keyspace is empty and nobody else's. Raises DamagedError, ConvertError.
    """
    first = next(pieces, b"")
    while 0 < len(first) < 5 and (more := next(pieces, b"")):
        first += more
    start = 0
    if first.startswith(b"REDIS"):
        reader = SnapshotReader(pieces, first)
        for item in _of_reader(reader):
            if isinstance(item, SnapshotKey):
                _put(server, item)
            else:
                yield item
        start = reader.offset
        first, pieces = b"", reader.rest()
    _run(first, pieces, start, server)
    yield from of_keyspace(server)


def _put(server: Context, item: SnapshotKey) -> None:
    if item.db >= server.keyspace.databases:
        raise ConvertError(
            f"database {item.db} is beyond the {server.keyspace.databases} there are: --databases"
        )
    try:
        value = item.value()
    except RdbError as fault:
        raise DamagedError(f"in the value of the key that begins here: {fault}", item.offset) from None
    db = Database(server.keyspace, item.db)
    db.lock([item.key])
    try:
        saving.put_value(db, item.key, value)
        if item.deadline is not None:
            db.set_deadline(item.key, min(item.deadline, 2**62))
    finally:
        db.unlock()


def _run(first: bytes, pieces: Iterator[bytes], start: int, server: Context) -> None:
    """Runs commands. start: the offset at which the first begins."""
    server.keyspace.loading = True  # nothing goes for its age before all is there
    replay = Replay(server.keyspace, server.table, replaying.runner(server, lambda: False), True)
    data, at = bytearray(first), start
    why = "end"
    while True:
        if data:
            why, done = replay.commands(data, len(data), 0, len(data) + 1)
            at += done
            del data[:done]
        if why == "failed" and replay.failure is not None:
            args, error = replay.failure
            raise ConvertError(f"{_shown(args)} at offset {at} failed: {error}")
        if why == "resp":
            raise DamagedError("no command begins here", at)
        wanted, more = max(len(data), 1), 0
        for piece in pieces:
            data += piece
            more += len(piece)
            if more >= wanted:
                break
        if not more:
            break
    if data:
        raise DamagedError(
            "the input ends in the middle of the command, or transaction, that begins here", at
        )


def _shown(args: list[bytes]) -> str:
    return args[0][:40].decode("utf-8", "backslashreplace")


def of_log(path: Path, server: Context, progress: Loading) -> Iterator[Passing]:
    """What a log leaves behind: a directory with a manifest, the manifest, or one segment. Reads only.
    server: its keyspace is empty and nobody else's. Raises RecoveryError, ConvertError, OSError.
    """
    found = plan(named(path))
    if found is None:
        raise ConvertError("no log: neither a manifest nor a segment")
    recovery.recover(found, server, progress, truncated=False)
    yield from of_keyspace(server)


def named(path: Path) -> Path:
    """The manifest in a directory, or in the one directory below that has one; a file is itself."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.manifest")) or sorted(path.glob("*/*.manifest"))
    if len(found) == 1:
        return found[0]
    if found:
        raise ConvertError(f"there are several logs: name one of their manifests, as {found[0]}")
    raise ConvertError("there is no manifest of a log")


def plan(path: Path) -> Plan | None:
    """What has to be read for a log; None where there is none. path: a manifest, ours or Redis's, or a
    segment of ours. Raises RecoveryError, OSError.
    """
    with path.open("rb") as file:
        head = file.read(segment.SIZE)
    if path.name.endswith(".manifest") and not head.startswith(b"rlite-log"):
        name, place = path.name.removesuffix(".manifest"), path.absolute().parent
        config = Config(dir=str(place.parent), appenddirname=place.name, appendfilename=name)
        return redis_log.plan(place.parent, config)
    if path.name.endswith(".manifest"):
        try:
            listed = manifest.read(path)
        except ManifestError as fault:
            raise RecoveryError(f"{path}: {fault}. {advice(path.parent)}") from None
    elif head.startswith(segment.MAGIC):
        header = segment.read_header(head)
        listed = Manifest(header.history, base_offset=header.first, segments=(path.name,))
    else:
        return None
    paths = tuple(path.parent / name for name in listed.files)
    for each in paths:
        if not each.exists():
            raise RecoveryError(f"{each} is missing, and {path.name} names it. {advice(path.parent)}")
    return Plan(Source.LOG, path.parent, paths, sum(each.stat().st_size for each in paths), listed)


def of_keyspace(server: Context) -> Iterator[Passing]:
    """Every key there is, those past their deadline included."""
    held = Database(server.keyspace, 0)
    held.lock_all()
    try:
        held.hold_still()
        for index in range(server.keyspace.databases):
            db = held.sibling(index)
            db.hold_still()
            for key in db.keys():
                found = saving.saved(db, key, server.config)
                if found is not None:
                    yield SnapshotKey(index, key, *found, deadline=db.deadline(key))
    finally:
        held.unlock()
