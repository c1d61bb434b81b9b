"""Recovery of our own log: what is read, what is cut off, what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.logs import HISTORY, Log, directory, resp
from support.recovering import load

from rlite.engine.core.database import Database
from rlite.engine.core.records import sealed
from rlite.engine.engine import Engine
from rlite.engine.persistence import manifest, snapshot
from rlite.engine.persistence.outcome import DamageError, RecoveryError, Source
from rlite.engine.persistence.segment import SIZE


def log(*contents: bytes, first: int = 0, salt: int = 7, history: str = HISTORY) -> Log:
    made = Log(history=history, first=first, salt=salt)
    for content in contents:
        made.add(content)
    return made


def one(tmp_path: Path, *contents: bytes) -> Path:
    """A log of one segment, whose path this returns."""
    return directory(tmp_path, [log(*contents)]) / "appendonly.1.aof"


def test_an_empty_directory_holds_nothing(tmp_path: Path) -> None:
    assert load(tmp_path).result.source is Source.NOTHING


def test_a_log_of_two_segments_is_read_in_order(tmp_path: Path) -> None:
    a = Log()
    a.add(resp("SET", "a", 1))
    a.add(resp("SET", "b", 2), database=3)
    b = log(resp("INCR", "a"), resp("SADD", "s", "x", "y"), first=a.offset, salt=8)
    place = directory(tmp_path, [a, b], first=4)
    loaded = load(tmp_path)
    assert loaded.get("a") == b"2"
    assert loaded.get("b", 3) == b"2"
    result = loaded.result
    assert (result.source, result.keys, result.commands) == (Source.LOG, 3, 4)
    assert (result.offset, result.previous) == (b.offset, HISTORY)
    assert result.manifest == manifest.read(place / "appendonly.manifest")
    assert result.next_number == 6
    assert result.cut == ()


def test_a_number_that_a_stray_file_has_is_not_given_again(tmp_path: Path) -> None:
    path = one(tmp_path, resp("SET", "a", 1))
    path.with_name("appendonly.9.aof").write_bytes(b"")
    assert load(tmp_path).result.next_number == 10


def test_a_torn_end_is_cut_off_and_kept(tmp_path: Path) -> None:
    path = one(tmp_path, resp("SET", "a", 1), resp("SET", "a", 2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    loaded = load(tmp_path)
    (cut,) = loaded.result.cut
    assert loaded.get("a") == b"1"
    assert cut.kept is not None
    assert path.read_bytes() + cut.kept.read_bytes() == whole[:-3]
    assert cut.at == path.stat().st_size
    assert loaded.result.offset == len(resp("SET", "a", 1))
    again = load(tmp_path)
    assert again.result.cut == ()
    assert again.get("a") == b"1"


def test_zeros_at_the_end_are_cut_off(tmp_path: Path) -> None:
    path = one(tmp_path, resp("SET", "a", 1))
    good = path.read_bytes()
    path.write_bytes(good + bytes(5000))
    loaded = load(tmp_path)
    assert loaded.get("a") == b"1"
    assert loaded.result.cut[0].size == 5000
    assert path.read_bytes() == good


def test_what_is_lost_is_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = one(tmp_path, resp("SET", "a", 1), resp("SET", "a", 2))
    path.write_bytes(path.read_bytes()[:-3])
    loaded = load(tmp_path)
    (cut,) = loaded.result.cut
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert cut.kept is not None
    for part in (
        str(path),
        f"{cut.size} bytes",
        f"byte {cut.at}",
        cut.kept.name,
        "2023-11-14 22:13:20.001 UTC",
    ):
        assert part in line


@pytest.mark.parametrize("cut", [1, 40])
def test_a_segment_that_holds_nothing_behind_an_end_that_is_not_all_there_is_dropped(
    tmp_path: Path, cut: int
) -> None:
    """A rewrite makes the next segment before what was logged until then need be on disk."""
    first, second = resp("SET", "a", 1), resp("SET", "a", 2)
    a = log(first, second)
    place = directory(tmp_path, [a, log(first=a.offset, salt=8)])
    path = place / "appendonly.1.aof"
    path.write_bytes(path.read_bytes()[: -cut if cut == 1 else a.bounds[1]])
    loaded = load(tmp_path)
    assert loaded.get("a") == b"1"
    assert loaded.result.offset == len(first)
    assert loaded.result.manifest is not None
    assert loaded.result.manifest.segments == ("appendonly.1.aof",)


def test_a_segment_that_begins_before_its_first_record_is_in_its_place(tmp_path: Path) -> None:
    a = log(resp("SET", "a", 1), resp("SET", "a", 2))
    b = Log(first=len(resp("SET", "a", 1)), salt=8)
    b.add(resp("APPEND", "a", 3), offset=a.offset)
    directory(tmp_path, [a, b])
    assert load(tmp_path).get("a") == b"23"


def test_a_hole_between_two_segments_is_damage(tmp_path: Path) -> None:
    a = log(resp("SET", "a", 1), resp("SET", "a", 2))
    place = directory(tmp_path, [a, log(resp("SET", "b", 3), first=a.offset, salt=8)])
    path = place / "appendonly.1.aof"
    path.write_bytes(path.read_bytes()[: a.bounds[1]])
    with pytest.raises(DamageError, match=rf"{len(resp('SET', 'a', 2))} bytes of commands are missing"):
        load(tmp_path)


def test_a_base_is_loaded_first_and_keeps_what_has_expired(tmp_path: Path) -> None:
    engine = Engine(save="")
    engine.execute("SET", "a", "base", "PXAT", 9_999_999_999_999)
    engine.set("b", "base")
    a = log(resp("PEXPIREAT", "a", 1000), resp("APPEND", "a", "+"), first=500)
    place = directory(tmp_path, [a])
    db = Database(engine._server.keyspace, 0)
    db.lock_all()
    snapshot.save(place / "appendonly.1.rdb", db, engine._server.keyspace, engine._server.config)
    db.unlock()
    engine.close()
    path = place / "appendonly.manifest"
    manifest.write(path, replace(manifest.read(path), base="appendonly.1.rdb", base_offset=500))
    loaded = load(tmp_path)
    assert loaded.result.keys == 2
    assert loaded.result.offset == a.offset
    assert loaded.get("b") == b"base"
    assert loaded.get("a") is None  # it is due now that all is loaded


def test_a_damaged_base_is_refused(tmp_path: Path) -> None:
    place = directory(tmp_path, [log(resp("SET", "a", 1))])
    (place / "appendonly.1.rdb").write_bytes(b"REDIS0010\xfa nonsense")
    path = place / "appendonly.manifest"
    manifest.write(path, replace(manifest.read(path), base="appendonly.1.rdb"))
    with pytest.raises(RecoveryError, match=r"appendonly\.1\.rdb"):
        load(tmp_path)


def test_a_base_without_its_manifest_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "appendonlydir"
    place.mkdir()
    (place / "appendonly.3.rdb").write_bytes(b"REDIS0010")
    with pytest.raises(RecoveryError, match="manifest is missing"):
        load(tmp_path)


def test_a_new_segment_overwrites_no_file_that_lies_there(tmp_path: Path) -> None:
    place = tmp_path / "appendonlydir"
    place.mkdir()
    (place / "appendonly.7.aof").write_bytes(b"something else")
    assert load(tmp_path).result.next_number == 8


def test_damage_before_good_records_is_refused_and_the_repair_is_named(tmp_path: Path) -> None:
    path = one(tmp_path, resp("SET", "a", 1), resp("SET", "a", 2), resp("SET", "a", 3))
    data = bytearray(path.read_bytes())
    data[SIZE + 30] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamageError, match=r"byte 84: .*damage.*rlite aof-repair"):
        load(tmp_path)
    assert path.read_bytes() == data


def test_damage_before_a_good_later_segment_is_refused(tmp_path: Path) -> None:
    a = log(resp("SET", "a", 1))
    place = directory(tmp_path, [a, log(resp("SET", "a", 2), first=a.offset, salt=8)])
    path = place / "appendonly.1.aof"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamageError, match=r"appendonly\.1\.aof: byte 84"):
        load(tmp_path)


def test_a_torn_end_is_refused_where_the_directive_says_so(tmp_path: Path) -> None:
    path = one(tmp_path, resp("SET", "a", 1))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecoveryError, match="aof-load-truncated is no"):
        load(tmp_path, aof_load_truncated=False)
    assert list(path.parent.glob("*.lost-*")) == []


def test_a_record_of_another_salt_is_never_run(tmp_path: Path) -> None:
    path = one(tmp_path, resp("SET", "a", 1))
    stale = sealed(resp("SET", "a", "stale"), 1000, 1, 0, 12345)
    with path.open("ab") as file:
        file.write(stale)
    loaded = load(tmp_path)
    assert loaded.get("a") == b"1"
    assert loaded.result.cut[0].size == len(stale)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    path = one(tmp_path, resp("SET", "a", 1))
    data = bytearray(path.read_bytes())
    data[8] = 2
    header = data[: SIZE - 4]
    import zlib

    data[SIZE - 4 : SIZE] = zlib.crc32(header).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(RecoveryError, match="its format is version 2; this rlite knows version 1 and older"):
        load(tmp_path)


def test_a_newer_manifest_is_refused_by_name(tmp_path: Path) -> None:
    place = one(tmp_path, resp("SET", "a", 1)).parent / "appendonly.manifest"
    place.write_text(place.read_text().replace("rlite-log 1", "rlite-log 2"))
    with pytest.raises(RecoveryError, match="its format is version 2"):
        load(tmp_path)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_segment_of_another_history_is_refused(tmp_path: Path, which: int) -> None:
    logs, first = [], 0
    for number in range(3):
        history = "f0e1" * 10 if number == which else HISTORY
        logs.append(log(resp("SET", "a", number), first=first, salt=number, history=history))
        first = logs[-1].offset
    place = directory(tmp_path, logs)
    path = place / "appendonly.manifest"
    manifest.write(path, replace(manifest.read(path), history=HISTORY, previous=""))
    with pytest.raises(RecoveryError, match="another log"):
        load(tmp_path)


def test_a_log_over_three_restarts_is_one_log(tmp_path: Path) -> None:
    logs, first = [], 0
    for number, history in enumerate(("aaaa" * 10, "bbbb" * 10, "bbbb" * 10, "cccc" * 10)):
        logs.append(log(resp("APPEND", "a", number), first=first, salt=number, history=history))
        first = logs[-1].offset
    place = directory(tmp_path, logs)
    path = place / "appendonly.manifest"
    manifest.write(path, replace(manifest.read(path), previous="bbbb" * 10))
    assert load(tmp_path).get("a") == b"0123"


def test_a_segment_out_of_its_place_is_refused(tmp_path: Path) -> None:
    a = log(resp("SET", "a", 1))
    directory(tmp_path, [a, log(resp("SET", "a", 2), first=a.offset - 1, salt=8)])
    with pytest.raises(RecoveryError, match="not in its place"):
        load(tmp_path)


def test_a_segment_may_have_been_made_before_the_one_before_it_ended(tmp_path: Path) -> None:
    a = log(resp("SET", "a", 1))
    b = Log(first=a.offset - 20, salt=8)
    b.add(resp("INCR", "a"), offset=a.offset)
    directory(tmp_path, [a, b])
    assert load(tmp_path).get("a") == b"2"


def test_a_missing_segment_is_refused_by_name(tmp_path: Path) -> None:
    a = log(resp("SET", "a", 1))
    place = directory(tmp_path, [a, log(resp("SET", "a", 2), first=a.offset, salt=8)])
    (place / "appendonly.1.aof").unlink()
    with pytest.raises(RecoveryError, match=r"appendonly\.1\.aof is missing"):
        load(tmp_path)


def test_segments_without_their_manifest_are_refused(tmp_path: Path) -> None:
    path = one(tmp_path, resp("SET", "a", 1))
    path.with_name("appendonly.manifest").unlink()
    with pytest.raises(RecoveryError, match=r"appendonly\.manifest is missing.*aof-repair"):
        load(tmp_path)


def test_a_first_start_that_ended_before_its_manifest_was_written_left_nothing(tmp_path: Path) -> None:
    path = one(tmp_path)
    path.with_name("appendonly.manifest").unlink()
    assert path.stat().st_size == SIZE
    assert load(tmp_path).result.source is Source.NOTHING


def test_blocks_that_a_power_cut_kept_behind_lost_ones_are_cut_off_with_them(tmp_path: Path) -> None:
    made = log(resp("SET", "a", 1))
    synced = len(made.data)
    for number in (2, 3):
        made.add(resp("SET", "a", number), synced=synced)
    path = directory(tmp_path, [made]) / "appendonly.1.aof"
    begin, end = made.bounds[1:3]
    path.write_bytes(made.data[:begin] + bytes(end - begin) + made.data[end:])
    loaded = load(tmp_path)
    assert loaded.get("a") == b"1"
    (cut,) = loaded.result.cut
    assert (cut.at, cut.size) == (begin, len(made.data) - begin)
    assert path.stat().st_size == begin


def test_a_command_that_fails_is_refused_with_its_place(tmp_path: Path) -> None:
    a = log(resp("SET", "a", "text"))
    at = len(a.data)
    a.add(resp("INCR", "a"))
    directory(tmp_path, [a])
    with pytest.raises(RecoveryError, match=rf"byte {at}: INCR failed: ERR value is not an integer"):
        load(tmp_path)


def test_a_database_beyond_the_directive_is_refused(tmp_path: Path) -> None:
    a = Log()
    a.add(resp("SET", "a", 1), database=12)
    directory(tmp_path, [a])
    with pytest.raises(RecoveryError, match="DB index is out of range"):
        load(tmp_path, databases=8)


def test_limits_and_names_that_have_changed_since_refuse_nothing(tmp_path: Path) -> None:
    one(
        tmp_path, resp("SET", "a", "x" * 2_000_000), resp("APPEND", "a", "y"), resp("more", "a", "z"),
    )  # fmt: skip
    directives: dict[str, object] = {
        "proto_max_bulk_len": "1mb", "maxmemory": "1mb", "requirepass": "secret",
        "rename_command": ["APPEND", "more"],
    }  # fmt: skip
    loaded = load(tmp_path, **directives)
    assert loaded.get("a") == b"x" * 2_000_000 + b"yz"


def test_python_commands_transactions_and_large_records_are_read(tmp_path: Path) -> None:
    big = b"x" * (9 << 20)
    one(
        tmp_path,
        resp("MULTI") + resp("SET", "a", big) + resp("SETBIT", "bits", 7, 1) + resp("EXEC"),
        resp("XADD", "s", "5-1", "f", "v"),
        resp("XGROUP", "CREATE", "s", "g", "0"),
        resp("HSET", "h", "f", "v"),
        resp("HPEXPIREAT", "h", 1, "FIELDS", 1, "f"),
        resp("COPY", "bits", "bits2"),
    )
    loaded = load(tmp_path)
    assert loaded.get("a") == big
    assert loaded.get("bits2") == b"\x01"
    assert loaded.result.keys == 5
    loaded.server.keyspace.keep(10**9)
    assert loaded.server.keyspace.size(0) == 4  # the hash went with its field
