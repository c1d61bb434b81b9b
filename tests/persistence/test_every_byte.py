"""A log cut at every byte, and with every byte flipped: what is before is kept, nothing is invented."""

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.logs import Log, directory, resp

from rlite.engine.commands.context import Context, Loading
from rlite.engine.config import Config
from rlite.engine.core.database import Database
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.core.replay import Replay
from rlite.engine.persistence import layout, recovery, replaying
from rlite.engine.persistence.check import check
from rlite.engine.persistence.outcome import DamageError, Recovered, RecoveryError, Source
from rlite.engine.persistence.reading import Verdict
from rlite.engine.persistence.segment import SIZE
from rlite.engine.server import Server


def fill(log: Log, count: int, start: int = 0) -> Log:
    """Records each of which leaves its mark: `n` counts them, `order` holds their numbers as they came."""
    for number in range(start, start + count):
        log.add(
            resp("MULTI") + resp("INCR", "n") + resp("APPEND", "order", f"{number},") + resp("EXEC")
            if number % 3 == 0
            else resp("MULTI") + resp("INCR", "n") + resp("APPEND", "order", f"{number},")
            + resp("SETBIT", "bits", number % 64, 1) + resp("EXEC")
        )  # fmt: skip
    return log


def state(keyspace: Keyspace) -> tuple[bytes | None, bytes | None]:
    db = Database(keyspace, 0)
    return db.get(b"n"), db.get(b"order")


def wanted(count: int) -> tuple[bytes | None, bytes | None]:
    if count == 0:
        return None, None
    return b"%d" % count, b"".join(b"%d," % number for number in range(count))


@pytest.fixture(scope="module")
def server() -> Context:
    return Server(Config(databases=1, lock_stripes=1)).context


def fresh(server: Context) -> Context:
    """The same server with an empty keyspace."""
    server.keyspace = Keyspace(1, 1)
    server.keyspace.loading = True
    return server


def player(server: Context) -> Replay:
    return Replay(server.keyspace, server.table, replaying.runner(server, lambda: False))


RECORDS = 3000


def test_a_segment_cut_at_every_byte_gives_its_whole_records(server: Context) -> None:
    """One replay that is given one more byte at a time: it has always run the whole records so far."""
    log = fill(Log(), RECORDS)
    data, replay = bytes(log.data), player(fresh(server))
    at, done = SIZE, 0
    for length in range(SIZE, len(data) + 1):
        why, at = replay.records(data, length, at, log.header.seed, length)
        if length == log.bounds[done + 1] if done < RECORDS else False:
            done += 1
            assert why == "end"
            assert Database(server.keyspace, 0).get(b"n") == b"%d" % done
        else:
            assert why == ("end" if length == log.bounds[done] else "short")
        assert at == log.bounds[done]
        assert replay.count == done
    assert state(server.keyspace) == wanted(RECORDS)


def test_a_segment_with_any_byte_flipped_stops_at_that_record(server: Context) -> None:
    log = fill(Log(), RECORDS)
    data, replay = bytearray(log.data), player(fresh(server))
    for number in range(RECORDS):
        start, end = log.bounds[number], log.bounds[number + 1]
        for at in range(start, end):
            data[at] ^= 1 + at % 255
            why, where = replay.records(data, len(data), start, log.header.seed, len(data))
            data[at] ^= 1 + at % 255
            assert where == start
            assert why in ("short", "length", "crc")
        assert replay.count == number
        assert replay.records(data, len(data), start, log.header.seed, end) == (
            ("end" if end == len(data) else "until"), end
        )  # fmt: skip
    assert state(server.keyspace) == wanted(RECORDS)


class Bench:
    """A log of two segments, and what recovery makes of a changed copy of it."""

    def __init__(self, root: Path, server: Context, count: int) -> None:
        self.root, self.server = root, server
        first = fill(Log(salt=1), count // 2)
        second = fill(Log(first=first.offset, salt=2), count - count // 2, count // 2)
        self.logs = (first, second)
        self.place = directory(root, self.logs)
        self.paths = [self.place / f"appendonly.{number}.aof" for number in (1, 2)]
        self.config = Config(dir=root, appendonly=True, databases=1, lock_stripes=1)
        server.config = self.config

    def try_with(self, which: int, data: bytes) -> None:
        """Recovers with these bytes as one of the segments, and holds it to its promises."""
        for path, log in zip(self.paths, self.logs, strict=True):
            path.write_bytes(log.data)
        self.paths[which].write_bytes(data)
        report = check(self.place, layout.find(self.place)[0])
        meaning, readings = report.verdict, [checked.reading for checked in report.files]
        before = 0  # whole records before the first byte that differs
        for index, log in enumerate(self.logs):
            common = self.same(log.data, data) if index == which else len(log.data)
            before += sum(bound <= common for bound in log.bounds[1:])
            if common < len(log.data):
                break
        said = check(self.place, layout.find(self.place)[0]).verdict
        fresh(self.server)
        fault, done = self.recovered()
        # What aof-check tells is what recovery does.
        assert (fault is None) is (said in (Verdict.FINE, Verdict.TORN_TAIL)), said
        if fault is not None:
            headless = not readings[which].spans and (len(data) > SIZE or not data)
            assert meaning in (Verdict.MIDDLE, Verdict.UNREADABLE) or headless
            assert (meaning is Verdict.MIDDLE) <= isinstance(fault, DamageError)
            assert self.paths[which].name in str(fault)
            assert self.paths[which].read_bytes() == data
            return
        assert meaning in (Verdict.FINE, Verdict.TORN_TAIL)
        assert state(self.server.keyspace) == wanted(before)
        assert bool(done.cut) == (meaning is Verdict.TORN_TAIL or data == b"")
        kept = b"".join(cut.kept.read_bytes() for cut in done.cut if cut.kept is not None)
        assert self.paths[which].read_bytes() + kept == data
        for cut in done.cut:
            if cut.kept is not None:
                cut.kept.unlink()

    @staticmethod
    def same(a: bytes | bytearray, b: bytes) -> int:
        """How many bytes two files have in common from the start on."""
        low, high = 0, min(len(a), len(b))
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if zlib.crc32(a[:middle]) == zlib.crc32(b[:middle]) else (low, middle - 1)
            )
        return low

    def recovered(self) -> tuple[RecoveryError | None, Recovered]:
        try:
            return None, recovery.recover(recovery.plan(self.config), self.server, Loading())
        except RecoveryError as fault:
            return fault, Recovered(Source.NOTHING)


@pytest.fixture
def bench(tmp_path: Path, server: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)  # no power is cut here, thousands of times
    yield Bench(tmp_path, server, 8)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("which", [0, 1])
def test_recovery_of_a_log_cut_at_every_byte(bench: Bench, which: int) -> None:
    data = bytes(bench.logs[which].data)
    for length in range(len(data) + 1):
        bench.try_with(which, data[:length])


@pytest.mark.parametrize("which", [0, 1])
def test_recovery_of_a_log_with_every_byte_flipped(bench: Bench, which: int) -> None:
    data = bytearray(bench.logs[which].data)
    for at in range(len(data)):
        data[at] ^= 1 + at % 255
        bench.try_with(which, bytes(data))
        data[at] ^= 1 + at % 255


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("what", ["cut", "flipped"])
def test_recovery_of_thousands_of_records(tmp_path: Path, server: Context, what: str) -> None:
    bench = Bench(tmp_path, server, 4000)
    for which in (0, 1):
        data = bytearray(bench.logs[which].data)
        for at in range(len(data)):
            if what == "cut":
                bench.try_with(which, bytes(data[:at]))
            else:
                data[at] ^= 1 + at % 255
                bench.try_with(which, bytes(data))
                data[at] ^= 1 + at % 255
