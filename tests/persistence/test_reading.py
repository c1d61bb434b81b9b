"""One reading of a segment: every cut and every flipped byte is found, for what it is, where it is."""

from pathlib import Path

import pytest
from support.logs import Log, resp

from rlite.engine.persistence.reading import How, Kind, Verdict, read_segment, verdict
from rlite.engine.persistence.segment import SIZE


@pytest.fixture
def log() -> Log:
    """A hundred and twenty records: short, long and transactions."""
    made = Log(first=1000).fill(100)
    made.add(resp("MULTI") + resp("SET", "a", 1) + resp("INCR", "b") + resp("EXEC"))
    return made.fill(15, size=40).fill(4)


def test_a_good_segment_has_no_fault_and_its_figures_are_right(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "a.1.aof"
    path.write_bytes(log.data)
    found = read_segment(path)
    assert found.faults == ()
    assert found.spans == ((SIZE, len(log.data)),)
    assert (found.records, found.transactions, found.commands) == (120, 1, 123)
    assert found.by_name == {b"SET": 120, b"MULTI": 1, b"INCR": 1, b"EXEC": 1}
    assert (found.first_offset, found.offset_end) == (1000, log.offset)
    assert (found.first_ms, found.last_ms) == (log.header.made_ms + 1, log.ms)
    assert found.resp_bytes == sum(map(len, log.resps))
    assert verdict([found]) is Verdict.FINE


def test_a_segment_cut_at_any_byte_is_a_torn_tail_that_begins_behind_its_last_whole_record(
    tmp_path: Path, log: Log
) -> None:
    path = tmp_path / "a.1.aof"
    for cut in range(SIZE, len(log.data)):
        path.write_bytes(log.data[:cut])
        found = read_segment(path)
        whole = [bound for bound in log.bounds if bound <= cut]
        assert found.records == len(whole) - 1, cut
        if cut in log.bounds:
            assert not found.faults, cut
            continue
        (fault,) = found.faults
        assert (fault.kind, fault.at, fault.end, fault.record) == (Kind.TORN, whole[-1], cut, len(whole)), cut
        assert verdict([found]) is Verdict.TORN_TAIL, cut


def test_a_cut_header_is_a_torn_tail_and_so_is_an_empty_file(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "a.1.aof"
    for cut in range(SIZE):
        path.write_bytes(log.data[:cut])
        found = read_segment(path)
        assert [fault.kind for fault in found.faults] == [Kind.HEADER], cut
        assert verdict([found]) is Verdict.TORN_TAIL, cut


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_costs_its_record_alone_and_is_told_from_a_tail(
    tmp_path: Path, log: Log, flip: int
) -> None:
    path = tmp_path / "a.1.aof"
    for at in range(SIZE, len(log.data)):
        data = bytearray(log.data)
        data[at] ^= flip
        path.write_bytes(data)
        found = read_segment(path)
        number = max(n for n, bound in enumerate(log.bounds) if bound <= at)
        (fault,) = found.faults
        begin, end = log.bounds[number], log.bounds[number + 1]
        assert (fault.at, fault.end, fault.record) == (begin, end, number + 1), at
        assert found.records == len(log.resps) - 1, at
        last = number == len(log.resps) - 1
        assert verdict([found]) is (Verdict.TORN_TAIL if last else Verdict.MIDDLE), at
        assert fault.kind in {Kind.CHECKSUM, Kind.LENGTH, Kind.TORN}, at


def test_a_hole_before_records_is_a_torn_tail_only_if_none_of_them_knows_it_on_disk(tmp_path: Path) -> None:
    """A power cut may lose a block that was not synced and keep those behind it."""
    path = tmp_path / "a.1.aof"
    log = Log().fill(3)
    synced = len(log.data)
    for number in range(6):
        log.add(resp("SET", f"late:{number}", number), synced=synced)
    path.write_bytes(hole(log, 4))
    found = read_segment(path)
    assert (found.durable, found.damage[0].at) == (synced, log.bounds[4])
    assert verdict([found]) is Verdict.TORN_TAIL
    path.write_bytes(hole(log, 2))
    assert verdict([read_segment(path)]) is Verdict.MIDDLE
    log.add(resp("SET", "later", 1), synced=log.bounds[5])
    path.write_bytes(hole(log, 4))
    assert verdict([read_segment(path)]) is Verdict.MIDDLE
    path.write_bytes(hole(log, 5))
    assert verdict([read_segment(path)]) is Verdict.TORN_TAIL


def hole(log: Log, number: int) -> bytes:
    """A segment with zeros where a record was."""
    begin, end = log.bounds[number : number + 2]
    return bytes(log.data[:begin]) + bytes(end - begin) + bytes(log.data[end:])


def test_a_transaction_may_begin_behind_a_select(tmp_path: Path) -> None:
    path = tmp_path / "a.1.aof"
    log = Log()
    log.add(resp("SELECT", 3) + resp("MULTI") + resp("SET", "a", 1) + resp("EXEC"), database=3)
    path.write_bytes(log.data)
    found = read_segment(path)
    assert (found.faults, found.transactions) == ((), 1)


def test_a_header_with_a_flipped_byte_loses_no_record(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "a.1.aof"
    for at in range(SIZE):
        data = bytearray(log.data)
        data[at] ^= 0x21
        path.write_bytes(data)
        found = read_segment(path)
        assert [fault.kind for fault in found.faults] == [Kind.HEADER], at
        assert (found.records, found.seed) == (120, log.header.seed), at
        assert verdict([found]) is Verdict.MIDDLE, at


def test_every_fault_is_found_not_the_first(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "a.1.aof"
    data = bytearray(log.data)
    for number in (3, 50, 51, 90):
        data[log.bounds[number] + 34] ^= 1
    path.write_bytes(data)
    found = read_segment(path)
    assert [(fault.at, fault.end) for fault in found.faults] == [
        (log.bounds[3], log.bounds[4]), (log.bounds[50], log.bounds[52]), (log.bounds[90], log.bounds[91]),
    ]  # fmt: skip
    assert [fault.commands for fault in found.faults] == [1, 2, 1]
    assert found.records == 116


def test_zeros_at_the_end_are_a_torn_tail_however_many_they_are(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "a.1.aof"
    for zeros in (1, 3, 4, 31, 32, 4096):
        path.write_bytes(log.data + bytes(zeros))
        found = read_segment(path)
        assert [fault.kind for fault in found.faults] == [Kind.ZEROS], zeros
        assert verdict([found]) is Verdict.TORN_TAIL, zeros
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # a terabyte that takes no room
    found = read_segment(path)
    assert [(fault.kind, fault.at) for fault in found.faults] == [(Kind.ZEROS, len(log.data))]


def test_zeros_in_the_middle_are_no_tail(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "a.1.aof"
    data = bytearray(log.data)
    data[log.bounds[5] : log.bounds[9]] = bytes(log.bounds[9] - log.bounds[5])
    path.write_bytes(data)
    found = read_segment(path)
    assert [(fault.kind, fault.at, fault.end) for fault in found.faults] == [
        (Kind.ZEROS, log.bounds[5], log.bounds[9])
    ]
    assert verdict([found]) is Verdict.MIDDLE


def test_a_record_of_another_segment_is_named_as_that(tmp_path: Path, log: Log) -> None:
    other = Log(first=log.offset, salt=99).fill(3)
    path = tmp_path / "a.1.aof"
    path.write_bytes(bytes(log.data) + other.data[SIZE:])
    found = read_segment(path)
    assert [fault.kind for fault in found.faults] == [Kind.STALE]
    named = read_segment(path, how=How(seeds={other.header.seed: "a.0.aof"}))
    assert named.faults[0].found == "a record of a.0.aof"
    assert verdict([found]) is Verdict.TORN_TAIL


def test_a_block_that_came_again_goes_back_in_the_offsets(tmp_path: Path, log: Log) -> None:
    again = log.data[log.bounds[10] : log.bounds[12]]
    path = tmp_path / "a.1.aof"
    path.write_bytes(log.data[: log.bounds[30]] + again + log.data[log.bounds[30] :])
    found = read_segment(path)
    (fault,) = found.faults
    assert (fault.kind, fault.at, fault.end) == (Kind.BACK, log.bounds[30], log.bounds[30] + len(again))
    assert found.records == 120
    assert verdict([found]) is Verdict.MIDDLE


def test_a_gap_in_the_offsets_is_a_note_and_no_fault(tmp_path: Path) -> None:
    log = Log().fill(2)
    log.add(resp("SET", "a", 1), offset=log.offset + 14)
    path = tmp_path / "a.1.aof"
    path.write_bytes(log.data)
    found = read_segment(path)
    assert [(note.kind, note.at) for note in found.faults] == [(Kind.GAP, log.bounds[2])]
    assert found.damage == []
    assert verdict([found]) is Verdict.FINE


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"*1\r\n$4\r\nPIN\r\n", Kind.RESP),
        (b"PING\r\n", Kind.RESP),
        (b"*0\r\n", Kind.RESP),
        (resp("MULTI") + resp("SET", "a", 1), Kind.CUT_MULTI),
        (resp("SET", "a", 1) + resp("EXEC"), Kind.CUT_MULTI),
        (resp("MULTI") + resp("MULTI") + resp("EXEC"), Kind.CUT_MULTI),
        (resp("MULTI") + resp("EXEC") + resp("SET", "a", 1), Kind.CUT_MULTI),
    ],
)
def test_what_a_record_holds_must_be_commands_and_whole_transactions(
    tmp_path: Path, content: bytes, kind: Kind
) -> None:
    log = Log().fill(2)
    log.add(content)
    log.fill(1)
    path = tmp_path / "a.1.aof"
    path.write_bytes(log.data)
    found = read_segment(path)
    assert [(fault.kind, fault.at, fault.end) for fault in found.faults if not fault.kind.is_note] == [
        (kind, log.bounds[2], log.bounds[3])
    ]


def test_deep_objects_to_commands_that_are_not_declared_so(tmp_path: Path) -> None:
    log = Log().fill(1)
    for words in (["NOSUCH", "a"], ["SET", "a"], ["SELECT", "99"], ["SELECT", "3"]):
        log.add(resp(*words))
    log.add(resp("SET", "a", 1), database=77)
    path = tmp_path / "a.1.aof"
    path.write_bytes(log.data)
    assert read_segment(path).damage == []
    how = How(arities={b"SET": -3, b"SELECT": 2}, deep=True, databases=16)
    found = read_segment(path, how=how)
    assert [(fault.at, fault.end, fault.found) for fault in found.damage] == [
        (log.bounds[1], log.bounds[4], "'NOSUCH'"), (log.bounds[5], log.bounds[6], "database 77"),
    ]  # fmt: skip


def test_a_tail_that_a_live_server_is_writing_is_a_note(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "a.1.aof"
    path.write_bytes(log.data[:-5])
    found = read_segment(path, how=How(live=True))
    assert [fault.kind for fault in found.faults] == [Kind.LIVE]
    assert verdict([found]) is Verdict.FINE


def test_a_record_larger_than_the_window_is_checked_and_found_again(tmp_path: Path) -> None:
    log = Log().fill(2)
    log.add(resp("SET", "big", b"x" * 3_000_000))
    log.fill(2)
    path = tmp_path / "a.1.aof"
    path.write_bytes(log.data)
    assert read_segment(path).records == 5
    data = bytearray(log.data)
    data[log.bounds[1] + 40] ^= 1
    path.write_bytes(data)
    assert [(fault.at, fault.end) for fault in read_segment(path).damage] == [(log.bounds[1], log.bounds[2])]
    data = bytearray(log.data)
    data[log.bounds[2] + 2_000_000] ^= 1
    path.write_bytes(data)
    assert [(fault.at, fault.end) for fault in read_segment(path).damage] == [(log.bounds[2], log.bounds[3])]


def test_damage_before_a_later_segment_with_records_is_no_tail(tmp_path: Path, log: Log) -> None:
    (tmp_path / "a.1.aof").write_bytes(log.data[:-1])
    later, empty = Log(first=log.offset).fill(3), Log(first=log.offset)
    for name, content, expected in (("2", later, Verdict.MIDDLE), ("3", empty, Verdict.TORN_TAIL)):
        (tmp_path / f"a.{name}.aof").write_bytes(content.data)
        readings = [read_segment(tmp_path / f"a.{number}.aof") for number in ("1", name)]
        assert verdict(readings) is expected
