"""Our own log, loaded: its base snapshot, then its segments, each record checked. See recovery.py."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.commands.context import Context, Loading
from rlite.engine.core.replay import Replay
from rlite.engine.persistence import replaying, segment, tails
from rlite.engine.persistence.feeding import feed, load_snapshot
from rlite.engine.persistence.outcome import (
    Cut,
    DamageError,
    Plan,
    Recovered,
    RecoveryError,
    Source,
    advice,
    told,
)
from rlite.engine.persistence.reading import Fault, Kind, Verdict
from rlite.engine.persistence.segment import Header, HeaderError
from rlite.engine.persistence.snapshot import History

log = logging.getLogger("rlite")

if TYPE_CHECKING:
    from rlite.engine.core.rdbload import Loaded


class OwnLog:
    """One loading of our log: how far it is, and what it has found."""

    def __init__(self, found: Plan, server: Context, progress: Loading, *, truncated: bool) -> None:
        assert found.manifest is not None
        self.manifest = found.manifest
        self.directory = found.directory
        self.keyspace = server.keyspace
        self.progress = progress
        self.truncated = truncated
        self.replay = Replay(server.keyspace, server.table, replaying.runner(server, progress.stop), True)
        self.replay.offset = self.manifest.base_offset
        self.histories: list[str] = []  # of the segments so far, each once where several follow each other
        self.before = self.manifest.base or ""  # the file that was read last
        self.dropped: set[str] = set()  # segments that hold nothing and are not to be named any more
        self.cut: list[Cut] = []
        self.base: Loaded | None = None

    def load(self) -> Recovered:
        segments = [self.directory / name for name in self.manifest.segments]
        if self.manifest.base is not None:
            self.base = load_snapshot(self.directory / self.manifest.base, self.keyspace, self.progress)
            history = History.of(self.base)
            self.replay.selected = 0 if history is None else history.selected
        for index, path in enumerate(segments):
            if path.name not in self.dropped:
                self.segment(path, segments[index + 1 :])
            self.before = path.name
        kept = tuple(name for name in self.manifest.segments if name not in self.dropped)
        return Recovered(
            Source.LOG, offset=self.replay.offset, selected=self.replay.selected,
            manifest=replace(self.manifest, segments=kept),
            commands=self.replay.running, cut=tuple(self.cut), snapshot=self.base,
        )  # fmt: skip

    def segment(self, path: Path, later: list[Path]) -> None:
        """Runs one segment. Raises RecoveryError where what is behind it could be lost."""
        size = path.stat().st_size
        with path.open("rb", buffering=0) as file:
            try:
                header = segment.read_header(file.read(segment.SIZE))
            except HeaderError as fault:
                self.ended(path, str(fault), later)
                return
            if not self.belongs(path, header, later):
                return

            def run(data: bytearray, held: int, left: int) -> tuple[str, int]:
                why, done = self.replay.records(data, held, 0, header.seed, held)
                self.progress.commands = self.replay.running
                if why == "short" and held >= done + 4:
                    length = int.from_bytes(data[done : done + 4], "little")
                    if length + 8 > left - done:  # no need to read on to see that it does not end here
                        return "beyond", done
                return why, done

            why, at = feed(file, segment.SIZE, size, run, self.progress)
        if why == "failed" and self.replay.failure is not None:
            args, error = self.replay.failure
            name = args[0].decode("utf-8", "backslashreplace")
            raise RecoveryError(f"{path}: byte {at}: {name} failed: {error}. {advice(self.directory)}")
        if why != "end":
            self.ended(path, why, later)

    def belongs(self, path: Path, header: Header, later: list[Path]) -> bool:
        """Raises RecoveryError for a segment that the others do not lead to.

        False: it holds nothing, and what came before it did not reach the disk.
        """
        ids, now, before = self.histories, self.manifest.history, self.manifest.previous
        foreign = header.history in ids[:-1] or (not later and header.history not in (now, before))
        first = not ids and self.manifest.base is None
        if not ids or header.history != ids[-1]:
            foreign = foreign or (header.history == now and bool(ids) and ids[-1] != before)
            ids.append(header.history)
        if foreign:
            raise RecoveryError(
                f"{path}: it is of history {header.history}, and the manifest is of {now}"
                f"{before and f' after {before}'}: a segment of another log. {advice(self.directory)}"
            )
        if first:
            self.replay.offset = header.first
        if header.first <= self.replay.offset:
            return True
        # It was made when the log had come to its first offset, though that need not have been on disk.
        if any(reading.spans for reading in tails.judged([path, *later])[1]):
            missing = header.first - self.replay.offset
            raise DamageError(
                f"{path}: it goes on at offset {header.first}, and {self.before} ends at "
                f"{self.replay.offset}: {missing} bytes of commands are missing between them. "
                f"{advice(self.directory)}"
            )
        self.dropped.update(each.name for each in (path, *later))
        return False

    def ended(self, path: Path, why: str, later: list[Path]) -> None:
        """Something is not good: cut off where it is the log's end, RecoveryError where it is not."""
        size = path.stat().st_size
        meaning, readings = tails.judged([path, *later])
        damage = readings[0].damage
        at, what = (damage[0].at, fault_text(damage[0])) if damage else (0, why)
        if meaning is Verdict.UNREADABLE:
            raise RecoveryError(f"{path}: {why}")
        if why == "offset":
            raise RecoveryError(
                f"{path}: it holds records of offsets below {self.replay.offset}, up to which the log before "
                f"them goes: it is of another log, or not in its place. {advice(self.directory)}"
            )
        if damage and damage[0].kind is Kind.HEADER and size > segment.SIZE:
            meaning = Verdict.MIDDLE  # it was there before the first record: what is behind it is not torn
        if meaning is Verdict.MIDDLE or (size == 0 and any(reading.spans for reading in readings)):
            raise DamageError(
                f"{path}: byte {at}: {what}, and it is not the end of the log: this is damage. "
                f"{advice(self.directory)}"
            )
        if meaning is Verdict.FINE and size:
            raise RecoveryError(f"{path}: byte {at}: {what}. {advice(self.directory)}")
        if not self.truncated:
            raise RecoveryError(
                f"{path}: byte {at}: {what}, and aof-load-truncated is no. {advice(self.directory)}"
            )
        self.dropped.update(each.name for each in later)
        if at == 0:
            self.dropped.add(path.name)
        kept = tails.cut_off(path, at) if size > at else None
        cut = Cut(path, at, size - at, what, kept, self.replay.last_ms)
        self.cut.append(cut)
        log.warning("%s", told(cut))


def fault_text(fault: Fault) -> str:
    """What is wrong, in words."""
    found = f": found {fault.found}" if fault.found else ""
    return f"{fault.kind.value}{found}{fault.expected and ', expected '}{fault.expected}"
