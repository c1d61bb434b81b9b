"""Recovery of our own log: what is read, what is cut off, what is refused."""

from pathlib import Path

import pytest
from support.logs import Writer, load, resp, write_log

from rlite.engine.core.records import sealed
from rlite.engine.persistence.recovery import RecoveryError, Source
from rlite.engine.persistence.segment import SIZE


def test_an_empty_directory_holds_nothing(tmp_path: Path) -> None:
    assert load(tmp_path).result.source is Source.NOTHING


def test_a_log_of_two_segments_is_read_in_order(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.segment([resp("SET", "a", 1), (3, resp("SET", "b", 2))], 4)
    writer.segment([resp("INCR", "a"), resp("SADD", "s", "x", "y")], 5)
    writer.close()
    loaded = load(tmp_path)
    assert loaded.get(b"a") == b"2"
    assert loaded.get(b"b", 3) == b"2"
    result = loaded.result
    assert (result.source, result.keys, result.commands) == (Source.LOG, 3, 4)
    assert (result.offset, result.previous, result.previous_end) == (
        writer.offset,
        writer.history,
        writer.offset,
    )
    assert result.manifest == writer.manifest
    assert result.next_number == 6
    assert result.cut == ()


def test_a_torn_end_is_cut_off_and_kept(tmp_path: Path) -> None:
    path = write_log(tmp_path, [resp("SET", "a", 1), resp("SET", "a", 2)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    loaded = load(tmp_path)
    (cut,) = loaded.result.cut
    assert loaded.get(b"a") == b"1"
    assert cut.kept is not None
    assert path.read_bytes() + cut.kept.read_bytes() == whole[:-3]
    assert cut.at == path.stat().st_size
    assert loaded.result.offset == len(resp("SET", "a", 1))
    again = load(tmp_path)
    assert again.result.cut == ()
    assert again.get(b"a") == b"1"


def test_damage_before_good_records_is_refused_and_the_repair_is_named(tmp_path: Path) -> None:
    path = write_log(tmp_path, [resp("SET", "a", 1), resp("SET", "a", 2), resp("SET", "a", 3)])
    data = bytearray(path.read_bytes())
    data[SIZE + 30] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecoveryError, match=r"byte 84: .*damage.*rlite aof-repair"):
        load(tmp_path)
    assert path.read_bytes() == data


def test_damage_before_a_good_later_segment_is_refused(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    path = writer.segment([resp("SET", "a", 1)], 1)
    writer.segment([resp("SET", "a", 2)], 2, salt=78)
    writer.close()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecoveryError, match=r"good records follow at byte 84 of appendonly\.2\.aof"):
        load(tmp_path)


def test_a_torn_end_is_refused_where_the_directive_says_so(tmp_path: Path) -> None:
    path = write_log(tmp_path, [resp("SET", "a", 1)])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecoveryError, match="aof-load-truncated is no"):
        load(tmp_path, aof_load_truncated=False)
    assert list(path.parent.glob("*.lost-*")) == []


def test_a_record_of_another_salt_is_never_run(tmp_path: Path) -> None:
    path = write_log(tmp_path, [resp("SET", "a", 1)])
    stale = sealed(resp("SET", "a", "stale"), 1000, 1, 0, 12345)
    with path.open("ab") as file:
        file.write(stale)
    loaded = load(tmp_path)
    assert loaded.get(b"a") == b"1"
    assert loaded.result.cut[0].size == len(stale)
