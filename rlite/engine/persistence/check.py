"""aof-check's work: all files of a log read, every fault told, one verdict and what to do about it.

Only reads. The reading of one file is reading.py's and foreign.py's, what belongs together is layout.py's;
here it is put together: what follows what, whose history it is, what it all means.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from rlite.engine.commands import declare_all
from rlite.engine.commands.declare import REGISTRY
from rlite.engine.persistence import foreign, reading, segment
from rlite.engine.persistence.layout import Form, Layout, Part, Role, holder
from rlite.engine.persistence.reading import Fault, How, Kind, Reading, Tick, Verdict, no_tick
from rlite.engine.persistence.segment import HeaderError


@dataclass(frozen=True, slots=True)
class Checked:
    """A file of a log, and how it was found."""

    part: Part
    reading: Reading


@dataclass(frozen=True, slots=True)
class Report:
    """A log that was checked. path: as it was asked for; live: process id of the server that is writing to
    it, 0: one that does not say, None: nobody; files: in the order in which they are read.
    """

    path: Path
    layout: Layout
    live: int | None
    verdict: Verdict
    files: tuple[Checked, ...]
    deep: bool = False
    faults: tuple[Fault, ...] = field(default=())

    @property
    def damage(self) -> list[Fault]:
        """The faults that are no notes."""
        return [fault for fault in self.faults if not fault.kind.is_note]

    @property
    def more(self) -> int:
        """Faults that were only counted."""
        return sum(checked.reading.more for checked in self.files)

    @property
    def size(self) -> int:
        return sum(checked.reading.size for checked in self.files)

    @property
    def lost(self) -> int:
        """Bytes that cannot be used."""
        if self.verdict is not Verdict.TORN_TAIL:
            return sum(fault.size for fault in self.damage)
        # All from the first fault on: what stands behind it was not known to be on disk.
        cut = [checked.reading for checked in self.files if checked.reading.damage]
        return sum(found.size - found.damage[0].at for found in cut)

    @property
    def by_name(self) -> Mapping[bytes, int]:
        total: Counter[bytes] = Counter()
        for checked in self.files:
            total.update(checked.reading.by_name)
        return dict(total.most_common())

    def total(self, name: str) -> int:
        """The sum of a figure of the readings: records, commands, transactions, resp_bytes."""
        return sum(getattr(checked.reading, name) for checked in self.files)

    @property
    def first_ms(self) -> int | None:
        times = [c.reading.first_ms for c in self.files if c.reading.first_ms is not None]
        return times[0] if times else None

    @property
    def last_ms(self) -> int | None:
        times = [c.reading.last_ms for c in self.files if c.reading.last_ms is not None]
        return times[-1] if times else None

    @property
    def last_good(self) -> tuple[Path, int] | None:
        """The file and the place in it up to which everything can be read without a fault."""
        found: tuple[Path, int] | None = None
        for checked in self.files:
            damage = checked.reading.damage
            found = (checked.part.path, damage[0].last_end if damage else checked.reading.size)
            if damage:
                break
        return found


def sizes_of(layout: Layout) -> dict[Path, int]:
    """The sizes of its files now: a live server goes on writing. Raises OSError."""
    return {part.path: part.path.stat().st_size for part in layout.parts}


def arities() -> dict[bytes, int]:
    """The arity of each declared command, by name in upper case."""
    declare_all()
    return {name.encode(): command.arity for name, command in REGISTRY.items() if " " not in name}


def check(
    path: Path,
    layout: Layout,
    *,
    deep: bool = False,
    databases: int = 1 << 31,
    until_offset: int | None = None,
    until_ms: int | None = None,
    locked: bool = False,
    tick: Tick = no_tick,
) -> Report:
    """Reads all of a log. path: as it was asked for; deep, databases, until: see reading.How; locked: see
    layout.holder.

    What comes after a file in which a limit was reached is not read; until_offset counts, in a log of
    Redis's, the bytes of its files of commands. Raises OSError where a file cannot be read.
    """
    live = holder(layout, locked=locked)
    sizes = sizes_of(layout)
    how = How(arities(), deep, databases, seeds=_seeds(layout), until_offset=until_offset, until_ms=until_ms)
    files: list[Checked] = []
    least = layout.ours.base_offset if layout.ours is not None else 0
    led = layout.ours is not None and layout.ours.base is not None  # whether it is known where the log begins
    for part in layout.parts:
        is_last = part is layout.parts[-1]
        closely = replace(how, live=live is not None and is_last)
        if part.role is Role.BASE:
            closely = replace(closely, until_offset=None, until_ms=None)
        found = _read(part, layout, least, size=sizes[part.path], how=closely, tick=tick)
        header = found.header
        if header is not None:
            if not led:
                least = max(least, header.first)
            elif header.first > least and found.spans and not any(c.reading.damage for c in files):
                found = _behind_a_hole(found, least, header.first)
            led = True
        least = found.offset_end if found.offset_end is not None else least
        files.append(Checked(part, found))
        if found.until:
            break
        if part.role is Role.COMMANDS and how.until_offset is not None:
            how = replace(how, until_offset=max(how.until_offset - found.size, 0))
    whole = len(files) == len(layout.parts)
    files = _with_history(layout, files, whole=whole)
    faults = (*layout.faults, *(fault for checked in files for fault in checked.reading.faults))
    return Report(path, layout, live, _verdict(layout, files), tuple(files), deep, faults)


def _behind_a_hole(found: Reading, least: int, first: int) -> Reading:
    """A segment with records that does not begin where what comes before it has ended, or earlier: that was
    cut between two records. (One without records may have been made ahead.)
    """
    expected = f"a segment that goes on at offset {least}"
    said = f"one that begins at {first}: {first - least} bytes of commands are missing before it"
    hole = Fault(found.path, Kind.HOLE, 0, 0, 0, expected, said, grave=True)
    return replace(found, faults=(hole, *found.faults))


def _read(part: Part, layout: Layout, least: int, *, size: int, how: How, tick: Tick) -> Reading:
    if part.rdb:
        return foreign.read_rdb(part.path, size=size, tick=tick)
    if layout.form is Form.OURS:
        return reading.read_segment(part.path, least=least, size=size, how=how, tick=tick)
    return foreign.read_aof(part.path, size=size, how=how, tick=tick)


def _seeds(layout: Layout) -> dict[int, str]:
    """The seeds of all segments there, by which a stale record is known."""
    found: dict[int, str] = {}
    if layout.form is not Form.OURS:
        return found
    others = sorted(each for each in layout.directory.glob("*.aof") if each.is_file())
    for path in others[:1000]:
        with path.open("rb") as file:
            head = file.read(segment.SIZE)
        try:
            found[segment.read_header(head).seed] = path.name
        except HeaderError:
            continue
    return found


def _verdict(layout: Layout, files: list[Checked]) -> Verdict:
    found = reading.verdict([checked.reading for checked in files])
    if found is Verdict.UNREADABLE or not any(fault.grave for fault in layout.faults):
        return found
    return Verdict.MIDDLE


def _with_history(layout: Layout, files: list[Checked], *, whole: bool) -> list[Checked]:
    """Tells of segments that belong to another history. whole: none of them was left out.

    A server takes a new id at each start, so a log may hold many; but each stands there once, in one run,
    and the last is one of the two that the manifest names.
    """
    said = layout.ours
    if said is None:
        return files
    known = {said.history, said.previous} - {""}
    ids = [(n, c.reading.header.history) for n, c in enumerate(files) if c.reading.header is not None]
    strange: dict[int, str] = {}
    if whole and ids and ids[-1][1] not in known:
        strange[ids[-1][0]] = f"{' or '.join(sorted(known))}, as the manifest says"
    seen: dict[str, int] = {}
    for place, (_, history) in enumerate(ids):
        if history in seen and seen[history] != place - 1:
            for between, other in ids[seen[history] + 1 : place]:
                strange[between] = f"{history}, as before and behind it ({other} is not)"
        seen[history] = place
    for (number, one), (_, other) in pairwise(ids):
        if other == said.history and one not in (other, said.previous):
            strange[number] = f"{said.previous or 'none'}, which the manifest names as the one before"
    found = list(files)
    for number, expected in strange.items():
        checked = files[number]
        header = checked.reading.header
        assert header is not None
        fault = Fault(
            checked.part.path,
            Kind.FOREIGN,
            0,
            0,
            0,
            f"history {expected}",
            f"history {header.history}",
            grave=True,
        )
        found[number] = replace(
            checked, reading=replace(checked.reading, faults=(fault, *checked.reading.faults))
        )
    return found


def advice(report: Report, words: tuple[str, ...] = ("rlite", "aof-repair")) -> list[str]:
    """What to do: sentences, and commands as lists of words joined for a shell. Empty where all is well."""
    import shlex

    def command(*more: str) -> str:
        return shlex.join([*words, *more, str(report.path)])

    match report.verdict:
        case Verdict.FINE:
            return []
        case Verdict.UNREADABLE:
            return ["A newer rlite has written this: check it with that version."]
        case Verdict.TORN_TAIL:
            if report.live is not None:
                return ["A server is running on it: stop that first, or leave the tail to its next start."]
            if report.layout.form is Form.OURS and report.layout.whole:
                return [f"The server cuts this off by itself when it starts; so does: {command()}"]
            return [f"Cut it off: {command()}"]
        case Verdict.MIDDLE:
            pass
    found = []
    kinds = {fault.kind for fault in report.damage}
    if Kind.MISSING in kinds and report.layout.missing:
        found.append(f"Look for {', '.join(report.layout.missing)} in backups before anything else.")
    if Kind.MANIFEST in kinds or (Kind.MISSING in kinds and not report.layout.missing):
        found.append(f"Make the manifest anew from the files that are there: {command('--rebuild-manifest')}")
    if Kind.SNAPSHOT in kinds:
        found.append("A damaged snapshot cannot be repaired: bring it back from a backup or a replica.")
    if kinds - {Kind.MANIFEST, Kind.SNAPSHOT, Kind.MISSING}:
        found.append(
            "Something durable was damaged: if a replica or a backup is whole, use that. What is good can be "
            f"kept without it: {command('--salvage')}"
        )
    return found
