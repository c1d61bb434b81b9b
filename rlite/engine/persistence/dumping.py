"""The records around a place of a log file, decoded one by one: what `aof-check --dump` shows. Only reads."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlite.engine.core.logscan import AofScan, LogScan
from rlite.engine.core.records import read_record
from rlite.engine.persistence import segment
from rlite.engine.persistence.check import arities
from rlite.engine.persistence.layout import Form, Layout
from rlite.engine.persistence.reading import PIECE, opened, read_segment
from rlite.engine.persistence.segment import HeaderError

AROUND = 5  # records shown before and behind the place
_NEAR = 1 << 20  # bytes before the place from which on pieces are looked at one by one
_MOST = 64 << 10  # bytes of a record that are decoded


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of a file. at, end: where; good: whether it is a record (or a command of Redis's); offset,
    ms, database: a record's own; commands: its words, as far as they were decoded; raw: the first bytes of
    what is no record.
    """

    at: int
    end: int
    good: bool
    offset: int | None = None
    ms: int | None = None
    database: int | None = None
    commands: tuple[tuple[bytes, ...], ...] = ()
    raw: bytes = b""
    state: str = ""


def around(path: Path, layout: Layout, at: int) -> list[Shown]:
    """What stands around a byte of a file: some pieces before it, the one it is in, some behind. Raises
    OSError.
    """
    ours = layout.form is Form.OURS
    seed = _seed(path) if ours else 0
    before: list[Shown] = []
    behind = -1
    with opened(path) as (descriptor, size):
        for piece in _ours(descriptor, size, seed, at) if ours else _theirs(descriptor, size, at):
            before.append(piece)
            if behind >= 0 or piece.end > at:
                behind += 1
                if behind > AROUND:
                    break
            elif len(before) > AROUND:
                del before[0]
    return before


def _seed(path: Path) -> int:
    """The seed of a segment; where its header is damaged, as its records have it."""
    with path.open("rb") as file:
        head = file.read(segment.SIZE)
    try:
        return segment.read_header(head).seed
    except HeaderError:
        return read_segment(path).seed or 0


def _ours(descriptor: int, size: int, seed: int, at: int) -> Iterator[Shown]:
    """The pieces of a segment, from a little before a place on."""
    scan = LogScan(descriptor, size, min(segment.SIZE, size), seed, 0)
    if at < segment.SIZE:
        yield Shown(0, min(segment.SIZE, size), good=False, raw=scan.peek(0, segment.SIZE), state="header")
    last = scan.at
    while scan.at < size:
        last = scan.at
        # Far from the place whole pieces are passed over; near it, record by record.
        far = at - scan.at - _NEAR
        state = scan.run(max(1, min(PIECE, far)))
        if state == "more" and far > 0:
            continue
        if state == "more":
            yield _record(descriptor, last, scan.at, seed)
            continue
        start = scan.at
        if state == "end":
            return
        if state in ("back", "resp", "command"):
            scan.skip()
        else:
            while scan.find(PIECE) is None:
                pass
        yield Shown(start, scan.at, good=False, raw=scan.peek(start, min(64, scan.at - start)), state=state)


def _record(descriptor: int, at: int, end: int, seed: int) -> Shown:
    """A good record, decoded as far as it is not too long."""
    data = os.pread(descriptor, min(end - at, _MOST), at)
    if end - at <= _MOST:
        _, record = read_record(data, 0, seed)
        assert record is not None
        offset, ms, database, resp, _ = record
    else:
        offset, ms = (int.from_bytes(data[n : n + 8], "little") for n in (4, 12))
        database, resp = int.from_bytes(data[20:24], "little"), data[24:]
    return Shown(at, end, good=True, offset=offset, ms=ms, database=database, commands=words_of(resp))


def _theirs(descriptor: int, size: int, at: int) -> Iterator[Shown]:
    """The commands of a file of Redis's."""
    from rlite.engine.persistence.foreign import MAGIC, read_snapshot

    start = 0
    if os.pread(descriptor, len(MAGIC), 0) == MAGIC:
        start = read_snapshot(Path(), descriptor, size).end
        yield Shown(0, start, good=True, state="snapshot")
    scan = AofScan(descriptor, size, start, arities())
    while scan.at < size:
        last = scan.at
        far = at - scan.at - _NEAR
        state = scan.run(max(1, min(PIECE, far)))
        if state == "more" and far > 0:
            continue
        if state == "more":
            data = os.pread(descriptor, min(scan.at - last, _MOST), last)
            yield Shown(last, scan.at, good=True, commands=words_of(data), raw=data[:64])
            continue
        if state == "end":
            return
        if scan.why:
            scan.skip()
        else:
            while scan.find(PIECE) is None:
                pass
        yield Shown(last, scan.at, good=False, raw=scan.peek(last, min(64, scan.at - last)), state=state)


def words_of(resp: bytes) -> tuple[tuple[bytes, ...], ...]:
    """The commands in some RESP; the last may be cut."""
    found: list[tuple[bytes, ...]] = []
    at = 0
    while at < len(resp) and resp[at : at + 1] == b"*":
        end = resp.find(b"\r\n", at)
        if end < 0 or not resp[at + 1 : end].isdigit():
            break
        count, at = int(resp[at + 1 : end]), end + 2
        words: list[bytes] = []
        while len(words) < count and resp[at : at + 1] == b"$":
            end = resp.find(b"\r\n", at)
            if end < 0 or not resp[at + 1 : end].isdigit():
                return (*found, tuple(words))
            size = int(resp[at + 1 : end])
            words.append(resp[end + 2 : end + 2 + size])
            at = end + 4 + size
        found.append(tuple(words))
        if len(words) < count:
            break
    return tuple(found)
