"""aof-repair's plan: which bytes of which files are kept, what that costs, and when it must not be done.

Plans only; surgery.py carries a plan out. Nothing is invented: what is kept is whole good records in their
order, with the offsets they had.
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from rlite.engine.core.logscan import AofScan
from rlite.engine.errors import RliteError
from rlite.engine.persistence import foreign, layout, redis_manifest, segment
from rlite.engine.persistence.check import Checked, Report, check
from rlite.engine.persistence.layout import Form, Layout, Part, Role
from rlite.engine.persistence.manifest import Manifest
from rlite.engine.persistence.reading import (
    PIECE,
    Fault,
    Kind,
    Reading,
    Tick,
    Verdict,
    no_tick,
    opened,
    read_segment,
)
from rlite.engine.persistence.segment import Header, HeaderError


class Why(StrEnum):
    """Why a repair is refused."""

    NEWER = "newer-version"
    NOT_BY_TRUNCATION = "damage-in-the-middle"
    IMPOSSIBLE = "impossible"
    TOO_MUCH = "too-much-would-be-lost"


class RefusedError(RliteError):
    """A repair that must not be done, or cannot; `why` says of which kind."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for. salvage: keep what is good behind damage; to_offset: nothing that ends behind
    this offset of the history (Redis: behind this byte of its files of commands); to_ms: nothing later than
    this Unix time; rebuild: make the manifest anew; max_loss: bytes that may be lost; deep, databases: see
    reading.How.
    """

    salvage: bool = False
    to_offset: int | None = None
    to_ms: int | None = None
    rebuild: bool = False
    max_loss: int | None = None
    deep: bool = False
    databases: int = 1 << 31


class Act(StrEnum):
    """What is done to a file."""

    REWRITE = "rewrite"  # a new file of what is kept takes its place
    ASIDE = "set-aside"  # it is renamed, and belongs to the log no longer
    MANIFEST = "manifest"  # a new manifest takes the place of the one there, if there is one


@dataclass(frozen=True, slots=True)
class Change:
    """One file that changes. size: as it is now; keep: ranges of it that stay, in order; head: bytes that
    come before them (a new header), or the whole content of a manifest; lost: ranges that are kept aside;
    zeros: bytes that are left out and worth nothing.
    """

    act: Act
    path: Path
    size: int
    keep: tuple[tuple[int, int], ...] = ()
    head: bytes = b""
    lost: tuple[tuple[int, int], ...] = ()
    zeros: int = 0
    commands: int = 0

    @property
    def bytes_lost(self) -> int:
        return sum(end - start for start, end in self.lost)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done. before: the log as it was found (with the manifest that it will have); kept: what
    stays of it; changes: empty where nothing is to be done.
    """

    path: Path
    layout: Layout
    wish: Wish
    before: Report
    kept: Report
    changes: tuple[Change, ...]

    @property
    def bytes_lost(self) -> int:
        return sum(change.bytes_lost for change in self.changes)

    @property
    def commands_lost(self) -> int:
        """Those that begin, or seem to, in what is cut out."""
        return sum(change.commands for change in self.changes)


def plan(path: Path, wish: Wish, tick: Tick = no_tick) -> Plan:
    """What would have to be done to a log. Raises RefusedError, layout.LayoutError, OSError."""
    found = layout.for_repair(path)
    if found.form is Form.SNAPSHOT:
        raise RefusedError(Why.IMPOSSIBLE, f"{path}: a snapshot cannot be repaired, only brought back")
    spoiled = found.manifest is not None and any(
        fault.path == found.manifest and fault.kind in (Kind.MANIFEST, Kind.MISSING) for fault in found.faults
    )
    anew = found.whole and found.manifest is not None and (wish.rebuild or spoiled)
    working = _rebuilt(layout.without_manifest(found), wish) if anew else found
    before = check(path, working, deep=wish.deep, databases=wish.databases, tick=tick)
    if before.verdict is Verdict.UNREADABLE:
        raise RefusedError(Why.NEWER, "a newer rlite has written this: repair it with that version")
    _must_have_base(working, before)
    kept = before
    if wish.to_offset is not None or wish.to_ms is not None:
        _must_reach(working, before, wish)
        kept = check(
            path, working, deep=wish.deep, databases=wish.databases, until_offset=wish.to_offset,
            until_ms=wish.to_ms, tick=tick,
        )  # fmt: skip
    if kept.verdict is Verdict.MIDDLE and not wish.salvage:
        raise RefusedError(
            Why.NOT_BY_TRUNCATION,
            "something durable was damaged, and good records stand behind it: truncation would lose those. "
            "--salvage keeps them and leaves out what is damaged",
        )
    if not wish.salvage:
        kept = replace(kept, files=tuple(_cut(kept.files)))
    changes = _changes(working, before, kept, anew=anew, salvage=wish.salvage)
    if not working.whole and any(change.act is Act.ASIDE for change in changes):
        raise RefusedError(Why.IMPOSSIBLE, "its header is damaged, and nothing in it can be believed")
    planned = Plan(path, working, wish, before, kept, tuple(changes))
    if wish.max_loss is not None and planned.bytes_lost > wish.max_loss:
        raise RefusedError(
            Why.TOO_MUCH,
            f"{planned.bytes_lost} bytes would be lost, more than the {wish.max_loss} that may be",
        )
    return planned


def _cut(files: tuple[Checked, ...]) -> Iterator[Checked]:
    """What truncation leaves: all up to the first fault. Good records behind it go as well (nothing says
    that they were on disk before it was), and so do segments behind that one, which hold none.
    """
    for checked in files:
        reading = checked.reading
        damage = reading.damage
        if not damage:
            yield checked
            continue
        first = damage[0]
        if first.kind is Kind.HOLE:
            return
        spans = tuple(span for span in reading.spans if span[1] <= first.at)
        if len(spans) < len(reading.spans):
            reading = replace(
                reading, spans=spans, records=max(first.record - 1, 0), last_ms=first.last_ms,
                last_offset=first.last_offset, offset_end=None,
            )  # fmt: skip
        yield replace(checked, reading=reading)
        if reading.header is not None:
            return


def _must_have_base(working: Layout, report: Report) -> None:
    said = working.ours or working.theirs
    if said is not None and said.base in working.missing:
        raise RefusedError(
            Why.IMPOSSIBLE,
            f"the snapshot {said.base} is missing: without it the rest means nothing. Bring it back",
        )
    for fault in report.damage:
        if fault.kind is Kind.SNAPSHOT:
            raise RefusedError(
                Why.IMPOSSIBLE,
                f"{fault.path.name}: the snapshot is damaged ({fault.found}): without it the rest means "
                "nothing. Bring it back from a backup or a replica",
            )


def _must_reach(working: Layout, report: Report, wish: Wish) -> None:
    """Whether one can go back that far: a snapshot cannot be undone."""
    said = working.ours
    if said is not None and said.base and wish.to_offset is not None and wish.to_offset < said.base_offset:
        raise RefusedError(
            Why.IMPOSSIBLE,
            f"the snapshot {said.base} already holds what came before offset {said.base_offset}: "
            "one cannot go back behind it",
        )
    if wish.to_ms is None:
        return
    made = _base_ms(working, report)
    if made is not None and wish.to_ms < made:
        raise RefusedError(Why.IMPOSSIBLE, f"the snapshot is of {_time(made)}: one cannot go back behind it")
    if working.form is not Form.OURS and not any(
        c.reading.annotated for c in report.files if not c.part.rdb and c.reading.commands
    ):
        raise RefusedError(
            Why.IMPOSSIBLE,
            "this log of Redis's holds no times (aof-timestamp-enabled was no): use --to-offset",
        )


def _base_ms(working: Layout, report: Report) -> int | None:
    """When the snapshot that a log begins with was made; None: it has none, or that does not say."""
    for checked in report.files:
        if working.form is Form.OURS:
            header = checked.reading.header
            if header is not None:
                return header.made_ms if working.ours is not None and working.ours.base else None
        elif checked.part.rdb or checked.reading.body:
            return checked.reading.first_ms
    return None


def _time(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000))


# --- files -------------------------------------------------------------------------------------------------


def _changes(working: Layout, before: Report, kept: Report, *, anew: bool, salvage: bool) -> list[Change]:
    stays = {checked.part.path: checked for checked in kept.files}
    changes: list[Change] = []
    headers: dict[str, Header] = {}
    said = working.ours
    # Who has the history up to behind the damage has what is no longer here, and must not go on with it: from
    # there on it gets a name that nobody knows.
    damaged = {fault.path for fault in before.damage if salvage and not _of_header_alone(fault)}
    inside = damaged <= {checked.part.path for checked in before.files}
    afresh = os.urandom(20).hex() if damaged and not inside else ""
    least = said.base_offset if said is not None else 0
    led = said is not None and said.base is not None
    for checked in before.files:
        part, there = checked.part, stays.get(checked.part.path)
        if part.rdb:
            continue
        if working.form is not Form.OURS:
            changes += _of_commands(checked, there)
            continue
        reading = None if there is None else there.reading
        header = (
            None
            if reading is None
            else _header(reading, least if led else 0, headers, working, salvage=salvage)
        )
        if reading is None or header is None:
            changes.append(_aside(checked))
            continue
        if part.path in damaged and not afresh:
            afresh = os.urandom(20).hex()
        if afresh:
            header = replace(header, history=afresh)
        headers[part.path.name] = header
        changes += _of_segment(checked, reading, header)
        if reading.offset_end is not None:
            least = reading.offset_end
        elif not led:
            least = header.first
        led = True
    if working.form is Form.OURS and working.manifest is not None:
        changes += _manifest(working, headers, least, anew=anew)
    elif working.form is Form.REDIS:
        changes += _redis_manifest(working, anew=anew)
    return changes


def _of_header_alone(fault: Fault) -> bool:
    """Whether no record is lost with it."""
    return fault.kind is Kind.HEADER and fault.end <= segment.SIZE


def _header(
    reading: Reading, least: int, before: dict[str, Header], working: Layout, *, salvage: bool
) -> Header | None:
    """The header that a segment will have; None: it is left out, because nothing in it can be used."""
    kinds = {fault.kind for fault in reading.damage}
    if Kind.FOREIGN in kinds:
        return None
    if reading.header is not None:
        led = bool(before) or (working.ours is not None and working.ours.base is not None)
        if salvage and led and reading.header.first > least:
            # What is missing before it stays missing; a server goes on over that only if the header says so.
            return replace(reading.header, first=least)
        return reading.header
    if reading.seed is None or reading.first_offset is None:
        return None
    said = working.ours
    is_last = said is None or not said.segments or reading.path.name == said.segments[-1]
    history = next(reversed(before.values())).history if before else ""
    if said is not None and said.history and (is_last or not history):
        history = said.history
    history = history or _neighbour(reading.path) or os.urandom(20).hex()
    first = least or (said.base_offset if said is not None else 0) or reading.first_offset
    return Header(history, first, reading.first_ms or 0, segment.salt_for(reading.seed))


def _neighbour(path: Path) -> str:
    """The replication id in the next segment behind one; empty: there is none."""
    number = segment.number_of(path)
    others = [
        (other, each)
        for each in path.parent.glob("*.aof")
        if (other := segment.number_of(each)) is not None and number is not None and other > number
    ]
    for _, each in sorted(others):
        try:
            with each.open("rb") as file:
                return segment.read_header(file.read(segment.SIZE)).history
        except (HeaderError, OSError):
            continue
    return ""


def _of_segment(checked: Checked, reading: Reading, header: Header) -> list[Change]:
    """What is done to a segment that stays."""
    size = checked.reading.size
    new = b"" if reading.header == header else header.packed()
    keep = reading.spans if new else ((0, segment.SIZE), *reading.spans)
    keep = _joined(keep)
    if not new and keep == ((0, size),):
        return []
    return [_rewrite(checked, keep, new)]


def _of_commands(checked: Checked, there: Checked | None) -> list[Change]:
    """What is done to a file of Redis's: it stays in any case, if empty, since its manifest names it."""
    size, body = checked.reading.size, checked.reading.body
    spans = there.reading.spans if there is not None else ()
    keep = _joined((*(((0, body),) if body else ()), *spans))
    return [] if keep == ((0, size),) or not size else [_rewrite(checked, keep, b"")]


def _joined(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Ranges that follow each other, as one."""
    found: list[tuple[int, int]] = []
    for start, end in ranges:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)


def _rewrite(checked: Checked, keep: tuple[tuple[int, int], ...], head: bytes) -> Change:
    size = checked.reading.size
    lost, at = [], 0
    for start, end in (*keep, (size, size)):
        if start > at:
            lost.append((at, start))
        at = end
    zeros = [(f.at, f.end) for f in checked.reading.damage if f.kind is Kind.ZEROS]
    if head and lost:  # the old header is no data
        lost[0] = (min(max(lost[0][0], segment.SIZE), lost[0][1]), lost[0][1])
    worth = [piece for piece in lost if piece not in zeros and piece[1] > piece[0]]
    nothing = sum(end - start for start, end in lost if (start, end) in zeros)
    commands = _commands(checked.part.path, worth)
    return Change(Act.REWRITE, checked.part.path, size, keep, head, tuple(worth), nothing, commands)


def _commands(path: Path, ranges: Iterable[tuple[int, int]]) -> int:
    """How many commands seem to begin in parts of a file."""
    with opened(path) as (descriptor, size):
        scan = AofScan(descriptor, size, 0)
        return sum(
            scan.heads(at, min(at + PIECE, end)) for start, end in ranges for at in range(start, end, PIECE)
        )


def _aside(checked: Checked) -> Change:
    size = checked.reading.size
    empty = not checked.reading.records and not any(f.commands for f in checked.reading.damage)
    lost = () if empty else ((min(segment.SIZE, size), size),)
    commands = _commands(checked.part.path, lost)
    return Change(Act.ASIDE, checked.part.path, size, lost=lost, commands=commands)


# --- manifests ---------------------------------------------------------------------------------------------


def _manifest(working: Layout, headers: dict[str, Header], end: int, *, anew: bool) -> list[Change]:
    """The manifest as it must be, where that is not what it says."""
    said, path = working.ours, working.manifest
    assert said is not None
    assert path is not None
    names = tuple(name for name in said.segments if name in headers)
    new = replace(said, segments=names, previous_end=min(said.previous_end, end))
    if names and headers[names[-1]].history not in (said.history, said.previous):
        history = headers[names[-1]].history
        older = [headers[name].history for name in names if headers[name].history != history]
        since = [headers[name].first for name in names if headers[name].history == history]
        new = replace(
            new, history=history, previous=older[-1] if older else "", previous_end=since[0] if older else 0
        )
    if new == said and not anew:
        return []
    size = path.stat().st_size if path.exists() else 0
    return [Change(Act.MANIFEST, path, size, head=new.text().encode("utf-8", "surrogateescape"))]


def _redis_manifest(working: Layout, *, anew: bool) -> list[Change]:
    said, path = working.theirs, working.manifest
    assert said is not None
    assert path is not None
    names = tuple(name for name in said.increments if name not in working.missing)
    if names == said.increments and not anew:
        return []
    size = path.stat().st_size if path.exists() else 0
    text = replace(said, increments=names).text()
    return [Change(Act.MANIFEST, path, size, head=text.encode("utf-8", "surrogateescape"))]


def _rebuilt(bare: Layout, wish: Wish) -> Layout:
    """A log whose manifest is lost, with the manifest that its files speak for. Raises RefusedError,
    OSError.
    """
    if bare.form is Form.REDIS:
        names = [part.path.name for part in bare.parts]
        return replace(bare, theirs=redis_manifest.guessed(names), faults=(), missing=())
    segments = [(segment.number_of(part.path) or 0, part.path) for part in bare.parts]
    bases = sorted(
        ((segment.number_of(path) or 0, path) for path in bare.spare if path.suffix == ".rdb"), reverse=True
    )
    base: Path | None = None
    start = 0
    for number, path in bases:
        # A base is what the segments from its number on continue; one that is not whole was never in use.
        if any(n == number for n, _ in segments) and not foreign.read_rdb(path).damage:
            base, start = path, number
            break
    paths = [path for number, path in segments if number >= start]
    heads = {path: _head(path) for path in paths}
    known = [head for head in heads.values() if head is not None]
    first = heads[paths[0]] if paths else None
    late = first is not None and first.first > 0 and _begins_late(paths)
    if base is None and not wish.salvage and (bases or late):
        raise RefusedError(
            Why.NOT_BY_TRUNCATION,
            "the manifest is lost, and so is the snapshot that the first segment continues: bring that back, "
            "or use --salvage to go on without it",
        )
    history = known[-1].history if known else os.urandom(20).hex()
    older = [head for head in known if head.history != history]
    since = [head.first for head in known if head.history == history]
    new = Manifest(
        history, base.name if base else None, _base_offset(paths[0]) if base is not None and paths else 0,
        tuple(path.name for path in paths), older[-1].history if older else "",
        since[0] if older and since else 0,
    )  # fmt: skip
    parts = (
        *((Part(base, Role.BASE, rdb=True),) if base else ()),
        *(Part(path, Role.SEGMENT) for path in paths),
    )
    faults: tuple[Fault, ...] = ()
    return replace(bare, ours=new, parts=parts, faults=faults, missing=())


def _base_offset(path: Path) -> int:
    """The offset of the base that a segment continues, or one behind which nothing is missing: that of its
    first record. (Its header may say less: it was made ahead.)
    """
    reading = read_segment(path)
    if reading.first_offset is not None:
        return reading.first_offset
    return reading.header.first if reading.header is not None else 0


def _begins_late(paths: list[Path]) -> bool:
    """Whether there were segments before the first one there."""
    return (segment.number_of(paths[0]) or 0) > 1


def _head(path: Path) -> Header | None:
    with path.open("rb") as file:
        try:
            return segment.read_header(file.read(segment.SIZE))
        except HeaderError:
            return None
