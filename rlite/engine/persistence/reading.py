"""A segment of the log read from end to end: what is good in it, every fault, and what the faults mean.

What aof-check reports, what aof-repair acts on and what recovery decides at a start is this one reading, so
that they agree. Only reads. The fast pass itself is core/logscan; docs/internals/log-format.md has the
rules.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from pathlib import Path

from rlite.engine.core.logscan import LogScan
from rlite.engine.persistence import segment
from rlite.engine.persistence.segment import Header, HeaderError, NewerVersionError

PIECE = 16 << 20  # bytes between two looks at the clock: some hundredths of a second
KEPT_FAULTS = 10_000  # so that a hostile file cannot fill the memory; the rest is counted
_SMALLEST = 32  # bytes of a record that holds nothing

Tick = Callable[[int], None]  # told how many bytes more have been read; may raise to stop


class Kind(StrEnum):
    """What is wrong with a place. The values are those of the JSON output."""

    TORN = "torn-tail"
    ZEROS = "zeros"
    LENGTH = "bad-length"
    CHECKSUM = "bad-checksum"
    STALE = "stale-record"
    BACK = "offset-back"
    RESP = "bad-resp"
    CUT_MULTI = "cut-transaction"
    COMMAND = "bad-command"
    HEADER = "bad-header"
    NEWER = "newer-version"
    FOREIGN = "foreign-history"
    HOLE = "missing-commands"  # between two segments
    MISSING = "missing-file"
    MANIFEST = "bad-manifest"
    SNAPSHOT = "bad-snapshot"
    # Notes: worth knowing, and no damage.
    GAP = "gap"
    EXTRA = "extra-file"
    LIVE = "live-tail"
    UNCHECKED = "not-checked"

    @property
    def is_note(self) -> bool:
        return self in (Kind.GAP, Kind.EXTRA, Kind.LIVE, Kind.UNCHECKED)


class Verdict(Enum):
    """What faults mean together."""

    FINE = "fine"
    TORN_TAIL = "torn-tail"  # nothing behind the first fault shows that it was on disk: truncation repairs it
    MIDDLE = "damage-in-the-middle"  # something durable was damaged, good data stands behind it
    UNREADABLE = "newer-version"  # nobody here can say


@dataclass(frozen=True, slots=True)
class Fault:
    """One place where a file is not as it should be, or a note.

    at, end: bytes of the file that cannot be used; end: where something good begins again, or its size.
    record: its number, from 1, among those that were good so far. commands: how many seem to have stood
    there. last_end: where the last good record before it ends; last_offset, last_ms: that record's (None:
    there is none). grave: never a torn tail, even when nothing good follows.
    """

    path: Path
    kind: Kind
    at: int
    end: int
    record: int = 0
    expected: str = ""
    found: str = ""
    commands: int = 0
    last_end: int = 0
    last_offset: int | None = None
    last_ms: int | None = None
    grave: bool = False

    @property
    def size(self) -> int:
        """Bytes lost."""
        return 0 if self.kind.is_note else self.end - self.at


@dataclass(frozen=True, slots=True)
class Reading:
    """A file of a log, read from end to end.

    size: as far as it was looked at; spans: what is good in it, (from, to) in the file, header and preamble
    not counted, oldest first; offset_end: of the history, behind the last good record. seed: see
    segment.Header (of records whose header is damaged it is known all the same); more: faults that `faults`
    no longer holds; durable: the bytes before this one were on disk when some good record was written, None
    where records do not tell; until: whether it was read only up to the limit that How set; body: where its
    records or commands begin; annotated: whether a file of Redis's holds times.
    """

    path: Path
    size: int
    header: Header | None = None
    seed: int | None = None
    spans: tuple[tuple[int, int], ...] = ()
    faults: tuple[Fault, ...] = ()
    more: int = 0
    records: int = 0
    transactions: int = 0
    commands: int = 0
    resp_bytes: int = 0
    by_name: Mapping[bytes, int] = field(default_factory=dict)
    first_ms: int | None = None
    last_ms: int | None = None
    first_offset: int | None = None
    last_offset: int | None = None
    offset_end: int | None = None
    durable: int | None = None
    until: bool = False
    body: int = segment.SIZE
    annotated: bool = False

    @property
    def damage(self) -> list[Fault]:
        """The faults that are no notes."""
        return [fault for fault in self.faults if not fault.kind.is_note]

    @property
    def good_behind(self) -> bool:
        """Whether something good stands behind the first fault, in this file, that was written when the
        place of the fault was on disk already. (A power cut may keep what was written later, and not what
        stands before it.)
        """
        damage = self.damage
        if self.durable is None:
            return bool(damage and self.spans and self.spans[-1][1] > damage[0].at)
        return bool(damage) and self.durable > damage[0].at


def verdict(readings: list[Reading]) -> Verdict:
    """What the faults of segments mean that follow each other, oldest first."""
    if any(fault.kind is Kind.NEWER for reading in readings for fault in reading.faults):
        return Verdict.UNREADABLE
    damaged = False
    for reading in readings:
        if (damaged and reading.spans) or any(fault.grave for fault in reading.faults):
            return Verdict.MIDDLE
        if reading.damage:
            if reading.good_behind or reading.damage[0].kind is Kind.BACK:  # not torn, but not in its place
                return Verdict.MIDDLE
            damaged = True
    return Verdict.TORN_TAIL if damaged else Verdict.FINE


@contextlib.contextmanager
def opened(path: Path, size: int | None = None) -> Iterator[tuple[int, int]]:
    """(descriptor, size) of a file to read; size: look no further. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        there = os.fstat(descriptor).st_size
        yield descriptor, there if size is None else min(size, there)
    finally:
        os.close(descriptor)


def no_tick(_count: int) -> None:
    """For who does not want to know."""


@dataclass(frozen=True, slots=True)
class How:
    """How closely to look. arities: of declared commands, by name in upper case; deep: object to commands
    that are not declared or disagree with that; live: a server is writing, so a record that is not all
    there yet is none. seeds: of other segments, and their names, to tell what a stale record is of.
    until_offset, until_ms: read nothing that ends behind this offset of the history (of a file of Redis's:
    this place in it), or is later than this Unix time.
    """

    arities: Mapping[bytes, int] = field(default_factory=dict)
    deep: bool = False
    databases: int = 1 << 31
    live: bool = False
    seeds: Mapping[int, str] = field(default_factory=dict)
    until_offset: int | None = None
    until_ms: int | None = None


PLAIN = How()


def read_segment(
    path: Path, *, least: int = 0, size: int | None = None, how: How = PLAIN, tick: Tick = no_tick
) -> Reading:
    """Reads a segment of ours. least: the offset at which the one before it ended; size: look no further.

    Raises OSError where the file cannot be read.
    """
    with opened(path, size) as (descriptor, there):
        head = os.pread(descriptor, segment.SIZE, 0)[:there]
        try:
            header = segment.read_header(head)
        except NewerVersionError as fault:
            if _only_version_damaged(head):
                damaged = Fault(path, Kind.HEADER, 0, segment.SIZE, found=f"{fault}; its checksum says 1")
                return _without_header(damaged, descriptor, there, least=least, how=how, tick=tick)
            newer = Fault(path, Kind.NEWER, 0, there, expected=f"version {segment.VERSION}", found=str(fault))
            return Reading(path, there, faults=(newer,))
        except HeaderError as fault:
            damaged = Fault(
                path, Kind.HEADER, 0, min(there, segment.SIZE), found=str(fault) if there else "an empty file"
            )
            return _without_header(damaged, descriptor, there, least=least, how=how, tick=tick)
        scan = LogScan(
            descriptor, there, segment.SIZE, header.seed, max(least, header.first),
            how.arities, how.deep, how.databases,
        )  # fmt: skip
        return _read(path, scan, [], header=header, seed=header.seed, how=how, tick=tick)


def _only_version_damaged(head: bytes) -> bool:
    """Whether a header that claims a newer format is one of ours in which just that number was damaged."""
    try:
        segment.read_header(head[:8] + segment.VERSION.to_bytes(4, "little") + head[12:])
    except HeaderError:
        return False
    return True


def _without_header(fault: Fault, descriptor: int, size: int, *, least: int, how: How, tick: Tick) -> Reading:
    """A segment whose header is damaged. Its records can be believed where they agree on a salt."""
    scan = LogScan(descriptor, size, segment.SIZE, 0, least)
    seed = _believed_seed(scan, descriptor, least)
    fault = replace(fault, expected=f"a header of {segment.SIZE} bytes with its checksum")
    if seed is None:
        zeros = scan.nonzero(0) == size
        # The header was on disk before any record: this is no torn tail, and nobody can say what it cost.
        behind = size > segment.SIZE and not zeros
        lost = replace(fault, kind=Kind.ZEROS if zeros and size else Kind.HEADER, end=size, grave=behind)
        return Reading(
            fault.path, size, faults=(replace(lost, commands=0 if zeros else _heads(scan, 0, size)),)
        )
    scan = LogScan(descriptor, size, segment.SIZE, seed, least, how.arities, how.deep, how.databases)
    fault = replace(fault, grave=True)
    return _read(fault.path, scan, [fault], header=None, seed=seed, how=how, tick=tick)


def _believed_seed(scan: LogScan, descriptor: int, least: int) -> int | None:
    """The seed of a segment whose header is damaged: that of the salt in it where any record agrees, else the
    one on which two records behind the header agree.
    """
    if scan.size <= segment.SIZE:
        return None
    seed = segment.seed_of(scan.peek(segment.SIZE - 12, 8))
    probe = LogScan(descriptor, scan.size, segment.SIZE - 1, seed, least)
    while (found := probe.find(PIECE)) is None:
        pass
    return seed if found else agreed_seed(scan, segment.SIZE)


def agreed_seed(scan: LogScan, at: int) -> int | None:
    """The seed that two records, one behind the other, agree on. One record alone agrees with any."""
    first = scan.seed_at(at)
    if first is None:
        return None
    second = scan.seed_at(at + first[1])
    return first[0] if second is not None and second[0] == first[0] else None


def _heads(scan: LogScan, at: int, end: int) -> int:
    return sum(scan.heads(start, min(start + PIECE, end)) for start in range(at, end, PIECE))


def _read(
    path: Path,
    scan: LogScan,
    faults: list[Fault],
    *,
    header: Header | None,
    seed: int,
    how: How,
    tick: Tick,
) -> Reading:
    """Runs the scan to the end of the file, and finds its place again behind each fault."""
    spans: list[tuple[int, int]] = []
    start, more, done = segment.SIZE, 0, 0
    scan.stop_behind(how.until_offset, how.until_ms)
    while True:
        state = scan.run(PIECE)
        tick(scan.at - done)
        done = scan.at
        if state == "more":
            continue
        at = scan.at
        if at > start:
            spans.append((start, at))
        if state in ("end", "until"):
            break
        fault = _fault(path, scan, state, how)
        if state in ("back", "resp", "command"):
            scan.skip()
        elif fault.kind is Kind.LIVE or (fault.kind is Kind.ZEROS and fault.end == scan.size):
            faults.append(fault)
            break
        else:
            while (found := scan.find(PIECE)) is None:
                tick(scan.at - done)
                done = scan.at
            if found and fault.kind is Kind.TORN:
                # It seemed to be longer than the file, and others stand behind it: its length is what is
                # wrong.
                fault = replace(fault, kind=Kind.LENGTH)
        fault = replace(fault, end=scan.at, commands=_heads(scan, at, scan.at))
        start = scan.at
        before = faults[-1] if faults else None
        if before is not None and before.end == at and before.kind is fault.kind and at > before.at:
            faults[-1] = replace(before, end=fault.end, commands=before.commands + fault.commands)
        elif len(faults) < KEPT_FAULTS:
            faults.append(fault)
        else:
            more += 1
    if scan.gaps:
        gaps = f"{scan.gaps}, of {scan.gap_bytes} bytes in all; the first is here"
        faults.append(Fault(path, Kind.GAP, scan.first_gap, scan.first_gap, 0, "offsets without gaps", gaps))
    return Reading(
        path, scan.size, header, seed, tuple(spans), tuple(faults), more, scan.records, scan.transactions,
        scan.commands, scan.resp_bytes, scan.by_name, scan.first_ms, scan.last_ms, scan.first_offset,
        scan.last_offset, scan.least if scan.records else None, scan.durable if scan.records else 0,
        until=state == "until",
    )  # fmt: skip


def _fault(path: Path, scan: LogScan, state: str, how: How) -> Fault:
    """What is wrong where the scan has stopped."""
    at, left = scan.at, scan.size - scan.at
    end = scan.size
    kind, expected, found = Kind.TORN, "", ""
    match state:
        case "short":
            needed = scan.found if left >= 4 else 4
            expected, found = f"a record of {needed} bytes", f"{left} bytes to the end of the file"
            if how.live:
                kind = Kind.LIVE
            elif scan.nonzero(at) == scan.size:
                kind, found = Kind.ZEROS, f"{left} zeros to the end of the file"
        case "length":
            kind, expected, found = Kind.LENGTH, "a length of 21 or more", f"length {scan.found}"
            zeros = scan.nonzero(at) - at
            if zeros >= min(left, _SMALLEST):
                kind, expected = Kind.ZEROS, "a record"
                end = at + zeros
                found = f"{zeros} zeros" + (" to the end of the file" if zeros == left else "")
            if how.live and zeros == left:
                kind = Kind.LIVE
        case "crc":
            kind = Kind.CHECKSUM
            expected, found = f"CRC-32 {scan.wanted:08x} as of its bytes", f"{scan.found:08x}"
            if stale := _stale(scan, how):
                kind, expected, found = Kind.STALE, "a record with this segment's salt", stale
        case "back":
            kind = Kind.BACK
            expected, found = f"offset {scan.wanted} or more", f"offset {scan.found}"
        case "resp" if scan.why:
            kind = Kind.CUT_MULTI
            expected = "a transaction from MULTI to EXEC"
            found = {"nested": "a second MULTI", "outside": "commands outside of MULTI and EXEC"}.get(
                scan.why, "no EXEC"
            ) + f" at {scan.place}"
        case "resp":
            kind, expected = Kind.RESP, "a RESP command in a record whose checksum is good"
            found = f"{scan.peek(scan.place, 16)!r} at {scan.place}"
        case _:
            kind = Kind.COMMAND
            expected, found = objection(scan.why, scan.command, scan.found, how)
    return Fault(
        path, kind, at, end, scan.records + 1, expected, found, 0, at, scan.last_offset, scan.last_ms,
        grave=state in ("resp", "command"),  # its checksum is good: it was written so
    )  # fmt: skip


def objection(why: str, command: bytes, number: int, how: How) -> tuple[str, str]:
    """(expected, found) of a command that `deep` objects to."""
    name = command.decode("latin-1")
    match why:
        case "unknown":
            return "a command that rlite knows", repr(name)
        case "arity":
            arity = how.arities.get(command, 0)
            words = f"{arity}" if arity > 0 else f"{-arity} or more"
            return f"{name} with {words} words", f"{number} words"
        case _:
            return f"a database below {how.databases}", f"database {number}"


def _stale(scan: LogScan, how: How) -> str:
    """Of what a record is whose CRC agrees with another salt; empty where it is just damaged."""
    implied = scan.seed_at(scan.at)
    if implied is None:
        return ""
    seed, size = implied
    if seed in how.seeds:
        return f"a record of {how.seeds[seed]}"
    behind = scan.seed_at(scan.at + size)
    return "a record of another file" if behind is not None and behind[0] == seed else ""
