"""Files of Redis's own read from end to end: append-only files of bare commands, and snapshots (RDB).

There are no checksums in Redis's log: a fault is where it stops being RESP, and what follows it is believed
when it is whole commands of known names. Gives the same Reading as reading.py, so that all that is said
about our own files can be said about these. Only reads.
"""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from rlite.engine.core.crc64 import crc64
from rlite.engine.core.logscan import AofScan
from rlite.engine.core.rdb import RdbError, Walker
from rlite.engine.persistence.reading import (
    KEPT_FAULTS,
    PIECE,
    PLAIN,
    Fault,
    How,
    Kind,
    Reading,
    Tick,
    no_tick,
    objection,
    opened,
)

MAGIC = b"REDIS"
ENOUGH = 16  # whole commands in a row that cannot be the text of one value by chance
_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was read. end: behind its last byte; keys: how many; fault: what is wrong with it,
    None: it is whole; checked: whether it has a checksum; made_ms: Unix time as it says itself.
    """

    end: int
    keys: int
    fault: Fault | None = None
    checked: bool = False
    made_ms: int | None = None


def read_snapshot(path: Path, descriptor: int, size: int, tick: Tick = no_tick) -> Snapshot:
    """Reads the snapshot that a file begins with, item by item. Holds no more than its largest item."""
    walker, held = Walker(), bytearray()
    base = at = crc = keys = 0
    made_ms: int | None = None
    while True:
        try:
            item = walker.next(held, at, base=base, last=base + len(held) >= size)
        except RdbError as error:
            place = base + at if error.offset is None else min(error.offset, size)
            return Snapshot(
                base + at, keys, _bad((path, base + at, size), keys, "an RDB item", f"{error} (at {place})")
            )
        if item is None:
            crc = crc64(memoryview(held)[:at], crc)
            del held[:at]
            base, at = base + at, 0
            # An item that did not fit is tried again with twice as much.
            want = min(max(_READ, len(held)), size - base - len(held))
            more = os.pread(descriptor, want, base + len(held))
            tick(len(more))
            if not more:  # somebody has shortened it meanwhile
                size = base + len(held)
            held += more
            continue
        keys += item.kind == "key"
        if (
            item.kind == "aux"
            and item.name == b"ctime"
            and item.text
            and re.fullmatch(rb"\d{1,15}", item.text)
        ):
            made_ms = int(item.text) * 1000
        if item.kind == "end":
            body = item.end if item.checksum is None else item.end - 8
            fault = None
            if item.checksum:
                crc = crc64(memoryview(held)[:body], crc)
                if crc != item.checksum:
                    fault = _bad(
                        (path, 0, size), keys, f"CRC-64 {item.checksum:016x}", f"{crc:016x} as of its bytes"
                    )
            return Snapshot(base + item.end, keys, fault, bool(item.checksum), made_ms)
        at = item.end


def _bad(at: tuple[Path, int, int], keys: int, expected: str, found: str) -> Fault:
    """at: the file, where, and its size."""
    path, place, size = at
    return Fault(path, Kind.SNAPSHOT, place, size, keys + 1, expected, found, last_end=place, grave=True)


def read_rdb(path: Path, *, size: int | None = None, tick: Tick = no_tick) -> Reading:
    """Reads a file that is a snapshot and nothing else. `records` and `commands` of the Reading are its keys.
    Raises OSError.
    """
    with opened(path, size) as (descriptor, there):
        found = read_snapshot(path, descriptor, there, tick)
    faults = _of_snapshot(path, found)
    if found.fault is None and found.end < there:
        faults.append(
            _bad(
                (path, found.end, there), found.keys, "the end of the file", f"{there - found.end} bytes more"
            )
        )
    spans = ((0, found.end),) if found.fault is None else ()
    return Reading(
        path, there, spans=spans, faults=tuple(faults), records=found.keys, first_ms=found.made_ms,
        last_ms=found.made_ms, body=0,
    )  # fmt: skip


def _of_snapshot(path: Path, found: Snapshot) -> list[Fault]:
    if found.fault is not None:
        return [found.fault]
    if found.checked:
        return []
    note = Fault(path, Kind.UNCHECKED, found.end, found.end, 0, "a checksum", "none: rdbchecksum was off")
    return [note]


def read_aof(path: Path, *, size: int | None = None, how: How = PLAIN, tick: Tick = no_tick) -> Reading:
    """Reads an append-only file of Redis's: bare commands, or those behind a snapshot. A transaction counts
    as one record. Raises OSError.
    """
    with opened(path, size) as (descriptor, there):
        start, made_ms, faults = 0, None, list[Fault]()
        if os.pread(descriptor, len(MAGIC), 0) == MAGIC:
            snapshot = read_snapshot(path, descriptor, there, tick)
            faults = _of_snapshot(path, snapshot)
            if snapshot.fault is not None and snapshot.fault.at:
                return Reading(path, there, faults=tuple(faults), records=snapshot.keys, body=0)
            start, made_ms = snapshot.end, snapshot.made_ms
        scan = AofScan(descriptor, there, start, how.arities, how.deep, how.databases)
        found = _Aof(path, scan, how, tick, faults).read()
        return (
            found if made_ms is None else replace(found, first_ms=made_ms, last_ms=found.last_ms or made_ms)
        )


class _Aof:
    """One reading of bare commands: where it is, and what it has found."""

    def __init__(self, path: Path, scan: AofScan, how: How, tick: Tick, faults: list[Fault]) -> None:
        self.path, self.scan, self.how, self.tick = path, scan, how, tick
        self.body = self.start = self.done = scan.at  # where what is good now began; what `tick` was told of
        self.faults = faults
        self.spans: list[tuple[int, int]] = []
        self.more = 0

    def read(self) -> Reading:
        scan = self.scan
        scan.stop_behind(self.how.until_offset, self.how.until_ms)
        while True:
            state = scan.run(PIECE)
            self.ticked()
            if state == "more":
                continue
            at = scan.good
            if state == "end":
                self.good_until(at)
                if scan.multi >= 0:
                    self.cut_transaction(at, scan.size)
                break
            if state == "until":
                self.good_until(at)
                break
            if state == "command":
                self.objected()
            elif scan.why == "outside":
                self.outside()
            elif scan.why == "nested":
                self.good_until(at)
                self.cut_transaction(at, scan.at)
                self.start = scan.at
                scan.skip()
            elif not self.behind(state, at):
                break
        return Reading(
            self.path, scan.size, spans=tuple(self.spans), faults=tuple(self.faults), more=self.more,
            records=scan.records, transactions=scan.transactions, commands=scan.commands,
            resp_bytes=sum(end - start for start, end in self.spans), by_name=scan.by_name,
            first_ms=scan.first_ms, last_ms=scan.last_ms,
            until=state == "until", body=self.body,
            annotated=scan.last_ms is not None,
        )  # fmt: skip

    def ticked(self) -> None:
        self.tick(self.scan.at - self.done)
        self.done = self.scan.at

    def good_until(self, at: int) -> None:
        if at > self.start:
            self.spans.append((self.start, at))

    def add(self, kind: Kind, at: int, end: int, expected: str, found: str, *, grave: bool = False) -> None:
        scan = self.scan
        if len(self.faults) >= KEPT_FAULTS:
            self.more += 1
            return
        commands = 0 if kind.is_note or kind is Kind.ZEROS else scan.heads(at, end)
        fault = Fault(self.path, kind, at, end, scan.records + 1, expected, found, commands, at)
        self.faults.append(replace(fault, last_ms=scan.last_ms, grave=grave))

    def cut_transaction(self, at: int, end: int) -> None:
        kind = Kind.LIVE if self.how.live and end == self.scan.size else Kind.CUT_MULTI
        self.add(kind, at, end, "EXEC, which ends a transaction", f"MULTI at {at}, and no EXEC to {end}")

    def objected(self) -> None:
        """A command that is whole and that `deep` objects to."""
        scan = self.scan
        at = scan.at
        self.good_until(scan.good)
        expected, found = objection(scan.why, scan.command, scan.found, self.how)
        scan.skip()
        self.add(Kind.COMMAND, at, scan.at, expected, found, grave=True)
        self.start = scan.at if scan.multi < 0 else scan.multi

    def outside(self) -> None:
        """EXEC without MULTI: behind damage, the end of the transaction that was damaged; it goes as a
        whole.
        """
        scan = self.scan
        at = scan.at
        scan.skip()
        before = self.faults[-1] if self.faults and not self.faults[-1].kind.is_note else None
        if before is not None and before.end == self.start:
            commands = before.commands + scan.heads(self.start, scan.at)
            self.faults[-1] = replace(before, end=scan.at, commands=commands)
        else:
            self.good_until(at)
            self.add(Kind.CUT_MULTI, at, scan.at, "MULTI before EXEC", "EXEC alone", grave=True)
        self.start = scan.at

    def behind(self, state: str, at: int) -> bool:
        """It is no RESP from here on; finds the place where it is again. Whether there is one."""
        scan = self.scan
        place, multi = scan.at, scan.multi
        self.good_until(at)
        kind, expected, found = (
            Kind.TORN,
            "a whole command",
            f"the end of the file, {scan.size - place} bytes on",
        )
        if state == "resp":
            kind, expected = Kind.RESP, "a RESP command"
            found = f"{scan.peek(scan.place, 16)!r} at {scan.place}"
        if scan.nonzero(place) == scan.size:
            self.add(Kind.ZEROS, at, scan.size, expected, f"{scan.size - place} zeros to the end of the file")
            return False
        if state == "short" and self.how.live:
            self.add(Kind.LIVE, at, scan.size, expected, found)
            return False
        if multi >= 0:
            found += f", in the transaction that begins at {multi}"
        while True:
            while (there := scan.find(PIECE)) is None:
                self.ticked()
            if not there or state == "resp":
                break
            # A value may hold the text of commands: it takes many, or all the rest of the file, to say that
            # it is a length that is wrong.
            count, end = scan.chain(scan.at, ENOUGH)
            if count >= ENOUGH or end >= scan.size:
                kind = Kind.RESP
                expected, found = (
                    "a length that fits",
                    f"one that goes beyond the end, and whole commands at {scan.at}",
                )
                break
        self.ticked()
        self.add(kind, at, scan.at, expected, found)
        self.start = scan.at
        return there
