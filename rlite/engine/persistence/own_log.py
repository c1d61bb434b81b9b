"""Our own log, loaded: its base snapshot, then its segments, each record checked. See recovery.py."""

import logging
from dataclasses import replace
from pathlib import Path

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

log = logging.getLogger("rlite")


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
        self.reached = -1  # the offset where something was cut off; -1: nothing was
        self.empty: set[str] = set()
        self.cut: list[Cut] = []

    def load(self) -> Recovered:
        segments = [self.directory / name for name in self.manifest.segments]
        if self.manifest.base is not None:
            load_snapshot(self.directory / self.manifest.base, self.keyspace, self.progress)
        for index, path in enumerate(segments):
            self.segment(path, segments[index + 1 :])
        kept = tuple(name for name in self.manifest.segments if name not in self.empty)
        return Recovered(
            Source.LOG, offset=self.replay.offset, previous=self.manifest.history,
            previous_end=self.replay.offset if self.reached < 0 else self.reached,
            manifest=replace(self.manifest, segments=kept), commands=self.replay.running, cut=tuple(self.cut),
        )  # fmt: skip

    def segment(self, path: Path, later: list[Path]) -> None:
        """Runs one segment. Raises RecoveryError where what is behind it could be lost."""
        size, before = path.stat().st_size, self.replay.offset
        with path.open("rb", buffering=0) as file:
            try:
                header = segment.read_header(file.read(segment.SIZE))
            except HeaderError as fault:
                self.ended(path, str(fault), before, later)
                return
            self.belongs(path, header, last=not later)
            self.replay.offset = max(before, header.first)  # it is made before the one before it ends

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
        if why == "offset" and at == segment.SIZE:
            raise RecoveryError(
                f"{path}: it begins before offset {before}, where the log before it ends: of another log, or "
                f"not in its place. {advice(self.directory)}"
            )
        if why != "end":
            self.ended(path, why, before, later)

    def belongs(self, path: Path, header: Header, *, last: bool) -> None:
        """Raises RecoveryError for a segment that the others do not lead to."""
        ids, now = self.histories, self.manifest.history
        foreign = header.history in ids[:-1] or (last and header.history not in (now, self.manifest.previous))
        if not ids or header.history != ids[-1]:
            foreign = foreign or (header.history == now and bool(ids) and ids[-1] != self.manifest.previous)
            ids.append(header.history)
        if foreign:
            raise RecoveryError(
                f"{path}: it is of history {header.history}, and the manifest is of {now}"
                f"{self.manifest.previous and ' after '}{self.manifest.previous}: a segment of another log. "
                f"{advice(self.directory)}"
            )

    def ended(self, path: Path, why: str, before: int, later: list[Path]) -> None:
        """Something is not good: cut off where it is the log's end, RecoveryError where it is not."""
        size = path.stat().st_size
        meaning, readings = tails.judged([path, *later], before)
        damage = readings[0].damage
        at, what = (damage[0].at, fault_text(damage[0])) if damage else (0, why)
        if meaning is Verdict.UNREADABLE:
            raise RecoveryError(f"{path}: {why}")
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
        if at == 0:
            self.empty.add(path.name)
        if self.reached < 0:
            self.reached = self.replay.offset
        kept = tails.cut_off(path, at) if size > at else None
        cut = Cut(path, at, size - at, what, kept, self.replay.last_ms)
        self.cut.append(cut)
        log.warning("%s", told(cut))


def fault_text(fault: Fault) -> str:
    """What is wrong, in words."""
    found = f": found {fault.found}" if fault.found else ""
    return f"{fault.kind.value}{found}{fault.expected and ', expected '}{fault.expected}"
