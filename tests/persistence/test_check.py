"""aof-check's engine: what belongs together, whose history it is, what all faults mean together."""

import fcntl
import os
import random
import zlib
from pathlib import Path

import pytest
from support.logs import HISTORY, Log, directory, resp

from rlite.engine.persistence import layout, manifest
from rlite.engine.persistence.check import Report, advice, check
from rlite.engine.persistence.layout import Form, LayoutError
from rlite.engine.persistence.manifest import Manifest
from rlite.engine.persistence.reading import Kind, Verdict


def checked(path: Path, *, deep: bool = False) -> Report:
    (found,) = layout.find(path)
    return check(path, found, deep=deep, databases=16)


def chain(count: int = 3) -> list[Log]:
    """Segments that follow each other."""
    logs: list[Log] = []
    for number in range(count):
        logs.append(Log(first=logs[-1].offset if logs else 0, salt=100 + number).fill(20))
    return logs


def test_a_whole_log_is_fine_by_directory_by_dir_around_it_and_by_manifest(tmp_path: Path) -> None:
    place = directory(tmp_path, chain())
    for path in (tmp_path, place, place / "appendonly.manifest"):
        report = checked(path)
        assert (report.verdict, report.faults, len(report.files)) == (Verdict.FINE, (), 3)
        assert report.total("records") == 60
        assert report.by_name == {b"SET": 60}
    assert checked(place / "appendonly.2.aof").total("records") == 20


def test_a_torn_end_is_one_though_an_empty_segment_follows(tmp_path: Path) -> None:
    logs = chain()
    place = directory(tmp_path, [*logs, Log(first=logs[-1].offset, salt=9)])
    path = place / "appendonly.3.aof"
    path.write_bytes(path.read_bytes()[:-3])
    report = checked(place)
    assert report.verdict is Verdict.TORN_TAIL
    assert [fault.kind for fault in report.damage] == [Kind.TORN]
    assert report.last_good == (path, logs[2].bounds[-2])


def test_a_torn_end_with_records_in_a_later_segment_is_damage(tmp_path: Path) -> None:
    place = directory(tmp_path, chain())
    path = place / "appendonly.2.aof"
    path.write_bytes(path.read_bytes()[:-3])
    report = checked(place)
    assert report.verdict is Verdict.MIDDLE
    assert any("--salvage" in line for line in advice(report))


def test_a_missing_segment_and_one_that_nobody_names_are_told(tmp_path: Path) -> None:
    place = directory(tmp_path, chain())
    (place / "appendonly.2.aof").rename(place / "appendonly.7.aof")
    report = checked(place)
    assert report.verdict is Verdict.MIDDLE
    kinds = {(fault.kind, fault.path.name) for fault in report.faults}
    assert (Kind.MISSING, "appendonly.2.aof") in kinds
    assert (Kind.EXTRA, "appendonly.7.aof") in kinds
    assert "appendonly.2.aof" in advice(report)[0]


def test_a_file_that_nobody_names_is_no_damage(tmp_path: Path) -> None:
    place = directory(tmp_path, chain(1))
    (place / "appendonly.9.aof").write_bytes(Log(first=5).fill(2).data)
    (place / "appendonly.1.aof.lost-20261125T100000Z").write_bytes(b"x")
    report = checked(place)
    assert report.verdict is Verdict.FINE
    assert [fault.kind for fault in report.faults] == [Kind.EXTRA]


def test_a_manifest_cut_or_changed_at_any_byte_is_told_and_the_segments_are_checked_all_the_same(
    tmp_path: Path,
) -> None:
    place = directory(tmp_path, chain(2))
    path = place / "appendonly.manifest"
    whole = path.read_bytes()
    for at in range(len(whole) - 1):
        for broken in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            path.write_bytes(broken)
            report = checked(place)
            assert report.verdict is Verdict.MIDDLE, broken
            assert [fault.kind for fault in report.faults] == [Kind.MANIFEST], broken
            assert report.total("records") == 40, broken
            assert any("--rebuild-manifest" in line for line in advice(report)), broken
    path.unlink()
    report = checked(place)
    assert [fault.kind for fault in report.faults] == [Kind.MISSING]
    assert report.verdict is Verdict.MIDDLE


def test_a_segment_of_another_history_is_named_as_such(tmp_path: Path) -> None:
    logs = chain()
    stranger = Log(history="e" * 40, first=logs[1].first, salt=5).fill(20)
    place = directory(tmp_path, [logs[0], stranger, logs[2]])
    report = checked(place)
    assert [(fault.kind, fault.path.name) for fault in report.damage] == [(Kind.FOREIGN, "appendonly.2.aof")]
    assert report.verdict is Verdict.MIDDLE


def test_a_last_segment_that_the_manifest_does_not_know_the_history_of_is_foreign(tmp_path: Path) -> None:
    logs = chain(2)
    place = directory(tmp_path, logs)
    names = tuple(f"appendonly.{number}.aof" for number in (1, 2))
    manifest.write(place / "appendonly.manifest", Manifest("e" * 40, segments=names))
    assert [fault.kind for fault in checked(place).damage] == [Kind.FOREIGN]


def test_a_log_that_outlived_restarts_holds_many_histories_and_is_fine(tmp_path: Path) -> None:
    logs: list[Log] = []
    for number in range(4):
        first = logs[-1].offset if logs else 0
        logs.append(Log(history=f"{number}" * 40, first=first, salt=number).fill(5))
    place = directory(tmp_path, logs)
    assert checked(place).verdict is Verdict.FINE


def test_a_segment_that_begins_before_the_end_of_the_one_before_is_damage(tmp_path: Path) -> None:
    logs = chain(2)
    logs[1] = Log(first=logs[0].offset - 50, salt=7).fill(20)
    report = checked(directory(tmp_path, logs))
    assert report.verdict is Verdict.MIDDLE
    assert {fault.kind for fault in report.damage} == {Kind.BACK}


def test_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    log = Log().fill(2)
    log.data[8] = 2
    log.data[80:84] = zlib.crc32(log.data[:80]).to_bytes(4, "little")
    report = checked(directory(tmp_path, [log]))
    assert report.verdict is Verdict.UNREADABLE
    assert "version 2" in report.damage[0].found


def test_what_a_live_server_writes_meanwhile_is_not_looked_at(tmp_path: Path) -> None:
    logs = chain(1)
    place = directory(tmp_path, logs)
    path = place / "appendonly.1.aof"
    path.write_bytes(path.read_bytes()[:-3])
    (tmp_path / "rlite.lock").write_text(f"{os.getpid()}\n")
    with (tmp_path / "rlite.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = checked(place)
        assert report.live == os.getpid()
        assert report.verdict is Verdict.FINE
        assert [fault.kind for fault in report.faults] == [Kind.LIVE]
    assert checked(place).verdict is Verdict.TORN_TAIL


def test_deep_looks_at_each_command(tmp_path: Path) -> None:
    log = Log().fill(3)
    log.add(resp("NOSUCHCOMMAND", "x"))
    log.fill(1)
    log.add(resp("GETSET", "only"))
    log.fill(1)
    log.add(resp("SELECT", 16))
    log.add(resp("SELECT", 15))
    place = directory(tmp_path, [log])
    assert checked(place).verdict is Verdict.FINE
    report = checked(place, deep=True)
    assert [(fault.kind, fault.at, fault.end) for fault in report.damage] == [
        (Kind.COMMAND, log.bounds[number], log.bounds[number + 1]) for number in (3, 5, 7)
    ]
    assert report.verdict is Verdict.MIDDLE


def test_a_directory_without_a_log_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no log here"):
        layout.find(tmp_path)


def test_random_bytes_are_never_fine_and_never_a_crash(tmp_path: Path) -> None:
    source = random.Random(4)
    for number in range(200):
        path = tmp_path / f"x.{number}.aof"
        head = source.choice([b"", b"RLITEAOF", b"REDIS0011", b"*3\r\n$3\r\n", Log().data[:84]])
        path.write_bytes(head + source.randbytes(source.randrange(1, 3000)))
        report = checked(path)
        assert report.verdict is not Verdict.FINE


# --- Redis's own -------------------------------------------------------------------------------------------


def plain(tmp_path: Path) -> tuple[Path, list[int], bytes]:
    """A file of commands: (path, where each command or transaction begins and the end, bytes)."""
    units = [resp("SELECT", 0)]
    units += [resp("SET", f"key:{number}", "v" * (number % 9)) for number in range(30)]
    units.insert(10, resp("MULTI") + resp("SET", "a", 1) + resp("INCR", "a") + resp("EXEC"))
    units.insert(20, b"#TS:1700000000\r\n")
    bounds = [0]
    for unit in units:
        bounds.append(bounds[-1] + len(unit))
    path = tmp_path / "appendonly.aof"
    path.write_bytes(b"".join(units))
    return path, bounds, b"".join(units)


def test_redis_file_cut_at_any_byte_is_a_torn_tail_at_the_last_whole_command_or_transaction(
    tmp_path: Path,
) -> None:
    path, bounds, whole = plain(tmp_path)
    report = checked(path)
    assert (report.verdict, report.layout.form) == (Verdict.FINE, Form.PLAIN)
    assert report.by_name == {b"SET": 31, b"SELECT": 1, b"MULTI": 1, b"INCR": 1, b"EXEC": 1}
    assert report.last_ms == 1_700_000_000_000
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        report = checked(path)
        if cut in bounds:
            assert report.verdict is Verdict.FINE, cut
            continue
        assert report.verdict is Verdict.TORN_TAIL, cut
        (fault,) = report.damage
        assert fault.at == max(bound for bound in bounds if bound < cut), cut
        assert fault.end == cut, cut


def test_a_byte_of_structure_changed_in_redis_file_is_found_and_good_commands_behind_it_too(
    tmp_path: Path,
) -> None:
    path, bounds, whole = plain(tmp_path)
    for at in range(bounds[1], bounds[-6]):
        if chr(whole[at]) not in "*$\r\n":
            continue
        path.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
        report = checked(path)
        assert report.verdict is Verdict.MIDDLE, at
        begin = max(bound for bound in bounds if bound <= at)
        assert report.damage[0].at == begin, at
        assert report.files[0].reading.spans[-1][1] == len(whole), at


def test_half_a_transaction_is_never_counted_as_good(tmp_path: Path) -> None:
    path, bounds, whole = plain(tmp_path)
    begin, end = bounds[10], bounds[11]
    for at in range(begin, end):
        if chr(whole[at]) not in "*$\r\n":
            continue
        path.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
        report = checked(path)
        (fault,) = report.damage
        assert fault.at == begin, at
        assert fault.end >= end, at
        assert fault.end in bounds, at


def test_zeros_behind_redis_commands_are_a_torn_tail(tmp_path: Path) -> None:
    path, _, whole = plain(tmp_path)
    path.write_bytes(whole + bytes(5000))
    report = checked(path)
    assert [(fault.kind, fault.at) for fault in report.damage] == [(Kind.ZEROS, len(whole))]
    assert report.verdict is Verdict.TORN_TAIL


def test_the_history_of_the_fixtures_is_a_replication_id() -> None:
    assert len(HISTORY) == 40


def test_commands_that_are_missing_between_two_segments_are_damage(tmp_path: Path) -> None:
    """Nothing is wrong with either: the first was cut between two records, and the next says so."""
    logs = chain(2)
    place = directory(tmp_path, logs)
    path = place / "appendonly.1.aof"
    path.write_bytes(logs[0].data[: logs[0].bounds[-2]])
    report = checked(place)
    assert report.verdict is Verdict.MIDDLE
    (fault,) = report.damage
    assert (fault.kind, fault.path.name) == (Kind.HOLE, "appendonly.2.aof")
    assert f"{len(logs[0].resps[-1])} bytes of commands are missing" in fault.found


def test_a_segment_made_ahead_that_holds_nothing_is_no_damage(tmp_path: Path) -> None:
    logs = chain(1)
    place = directory(tmp_path, [*logs, Log(first=logs[0].offset, salt=9)])
    path = place / "appendonly.1.aof"
    path.write_bytes(logs[0].data[: logs[0].bounds[-2]])
    assert checked(place).verdict is Verdict.FINE
