"""Append-only files of the real redis-server, loaded by us: the same data, and Redis's rules for cut ends."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.logs import resp
from support.recovering import digest, load
from support.servers import Server, start_redis, wait_for
from support.wire import Simple

from rlite.engine.persistence import layout
from rlite.engine.persistence.check import check
from rlite.engine.persistence.outcome import DamageError, RecoveryError, Source
from rlite.engine.persistence.reading import Verdict

pytestmark = pytest.mark.peer("redis-server")
FORMS = {
    "parts": {},
    "parts without a snapshot": {"aof-use-rdb-preamble": "no"},
    "parts with times": {"aof-timestamp-enabled": "yes"},
}
PROGRAM: tuple[tuple[object, ...], ...] = (
    ("SET", "a", "1"), ("INCR", "a"), ("SETEX", "soon", 1000, "v"), ("SET", "gone", "v", "PXAT", 9),
    ("GET", "gone"),
    ("RPUSH", "list", *range(200)), ("LPOP", "list", 3), ("SADD", "set", *range(100)), ("SPOP", "set"),
    ("HSET", "hash", "f", "v", "g", "w" * 100), ("ZADD", "zset", 1, "a", 2.5, "b"),
    ("ZINCRBY", "zset", 0.1, "a"), ("XADD", "stream", "*", "f", "v"), ("XGROUP", "CREATE", "stream", "g", 0),
    ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "stream", ">"), ("PFADD", "hll", *range(50)),
    ("SETBIT", "bits", 9, 1), ("SELECT", 5), ("SET", "other", "x"), ("EXPIRE", "other", 5000),
    ("SELECT", 0), ("RENAME", "a", "b"), ("COPY", "b", "c", "DB", 7),
    ("MULTI",), ("INCRBYFLOAT", "f", "1.5"), ("APPEND", "b", "7"), ("EXEC",),
    ("EVAL", "redis.call('SET', KEYS[1], 'lua') return 1", 1, "script"),
    ("GEOADD", "geo", 13.3, 52.5, "Berlin"),
    ("XADD", "stream", "MAXLEN", "~", 1, "LIMIT", 10, "*", "f", "v"),
    ("XTRIM", "stream", "MAXLEN", "~", 1, "LIMIT", 9),
)  # fmt: skip


def run(server: Server, program: tuple[tuple[object, ...], ...] = PROGRAM) -> None:
    with server.wire() as wire:
        for words in program:
            wire.command(*words)  # type: ignore[arg-type]


def rewrite(server: Server) -> None:
    with server.wire() as wire:
        wire.command("BGREWRITEAOF")
        wait_for(
            lambda: "aof_rewrite_in_progress:0" in str(wire.command("INFO", "persistence")), "a rewritten log"
        )


def stopped(server: Server) -> bytes:
    """Ends it. Returns the digest of what it had."""
    with server.wire() as wire:
        found = wire.command("DEBUG", "DIGEST")
    assert isinstance(found, Simple)
    server.stop()
    return found.text


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    server = start_redis(tmp_path, {"appendonly": "yes", "enable-debug-command": "yes"})
    yield server
    server.stop()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_what_redis_had(form: str, tmp_path: Path) -> None:
    server = start_redis(tmp_path, {"appendonly": "yes", "enable-debug-command": "yes", **FORMS[form]})
    run(server)
    rewrite(server)
    run(server, PROGRAM[:20])
    wanted = stopped(server)
    before = {path: path.read_bytes() for path in (tmp_path / "appendonlydir").iterdir()}
    loaded = load(tmp_path, enable_debug_command="yes")
    assert loaded.result.source is Source.REDIS_LOG
    assert loaded.result.failed == 0
    assert digest(loaded.server) == wanted
    assert {path: path.read_bytes() for path in (tmp_path / "appendonlydir").iterdir()} == before


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_one_file_as_before_redis_7_gives_what_redis_had(preamble: str, tmp_path: Path) -> None:
    server = start_redis(
        tmp_path, {"appendonly": "yes", "enable-debug-command": "yes", "aof-use-rdb-preamble": preamble}
    )
    run(server)
    rewrite(server)
    run(server, PROGRAM[:20])
    wanted = stopped(server)
    parts = tmp_path / "appendonlydir"
    (base,) = parts.glob("*.base.*")
    (incr,) = parts.glob("*.incr.aof")
    (tmp_path / "appendonly.aof").write_bytes(base.read_bytes() + incr.read_bytes())
    shutil.rmtree(parts)
    loaded = load(tmp_path, enable_debug_command="yes")
    assert digest(loaded.server) == wanted


def test_a_snapshot_is_loaded_where_there_is_no_log(tmp_path: Path) -> None:
    server = start_redis(tmp_path, {"enable-debug-command": "yes"})
    run(server)
    with server.wire() as wire:
        wire.command("SAVE")
    wanted = stopped(server)
    for appendonly in (False, True):
        loaded = load(tmp_path, enable_debug_command="yes", appendonly=appendonly)
        assert loaded.result.source is Source.SNAPSHOT
        assert digest(loaded.server) == wanted


def plain(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    return path


START = resp("SELECT", 0) + resp("SET", "a", 1)
TRANSACTION = resp("MULTI") + resp("SET", "a", 2) + resp("SET", "b", 2) + resp("EXEC")


def test_a_log_cut_at_every_byte_loads_up_to_its_last_whole_command_or_transaction(tmp_path: Path) -> None:
    data = START + TRANSACTION + resp("SET", "c", 3)
    bounds = {
        0: (None, None),
        len(START): (b"1", None),
        len(START + TRANSACTION): (b"2", None),
        len(data): (b"2", b"3"),
    }
    for cut in range(1, len(data) + 1):
        path = plain(tmp_path, data[:cut])
        loaded = load(tmp_path, databases=1)
        reached = max(bound for bound in bounds if bound <= cut)
        assert (loaded.get("a"), loaded.get("c")) == bounds[reached], cut
        assert len(loaded.result.cut) == (cut not in bounds and cut != len(resp("SELECT", 0)))
        assert path.read_bytes() == data[:cut]


def test_a_cut_end_is_refused_where_the_directive_says_so(tmp_path: Path) -> None:
    for data in (START[:-1], START + TRANSACTION[:-9]):
        plain(tmp_path, data)
        with pytest.raises(RecoveryError, match="aof-load-truncated is no"):
            load(tmp_path, aof_load_truncated=False)


def test_zeros_at_the_end_are_left_out(tmp_path: Path) -> None:
    plain(tmp_path, START + bytes(4096))
    loaded = load(tmp_path)
    assert loaded.get("a") == b"1"
    assert loaded.result.cut[0].size == 4096


@pytest.mark.parametrize("at", [0, 5, 17, len(resp("SELECT", 0)), len(START) + 1])
def test_damage_before_good_commands_is_refused(tmp_path: Path, at: int) -> None:
    data = bytearray(START + resp("SET", "b", 2) + resp("SET", "c", 3) + TRANSACTION)
    data[at] = ord("9")
    plain(tmp_path, bytes(data))
    with pytest.raises(RecoveryError, match="rlite aof-repair"):
        load(tmp_path)


def test_a_length_that_swallows_the_rest_is_damage_and_no_cut_end(tmp_path: Path) -> None:
    plain(tmp_path, START.replace(b"$1\r\n1", b"$99999\r\n1") + resp("SET", "b", 2) + resp("SET", "c", 3))
    with pytest.raises(DamageError, match=r"good commands follow at byte"):
        load(tmp_path)


def test_a_cut_part_that_is_not_the_last_is_refused(tmp_path: Path) -> None:
    parts = tmp_path / "appendonlydir"
    parts.mkdir()
    (parts / "appendonly.aof.1.incr.aof").write_bytes(START[:-1])
    (parts / "appendonly.aof.2.incr.aof").write_bytes(START)
    (parts / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
    )
    with pytest.raises(DamageError, match="in the next file"):
        load(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "file x.aof seq 1",
        "file ../x.aof seq 1 type i",
        "nonsense",
        "file x.aof seq one type i",
        'file "x seq 1 type i',
    ],
)
def test_a_manifest_that_is_none_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    parts = tmp_path / "appendonlydir"
    parts.mkdir()
    (parts / "appendonly.aof.manifest").write_text(f"# a remark\n{line}\n")
    with pytest.raises(RecoveryError, match=r"line 2: .* is no line of a manifest"):
        load(tmp_path)


def test_a_part_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    parts = tmp_path / "appendonlydir"
    parts.mkdir()
    (parts / "appendonly.aof.manifest").write_text("file 'a file.aof' seq 1 type b\n")
    with pytest.raises(RecoveryError, match=r"a file\.aof is missing"):
        load(tmp_path)


def test_a_damaged_preamble_is_refused(tmp_path: Path, redis: Server) -> None:
    run(redis)
    rewrite(redis)
    stopped(redis)
    (base,) = (tmp_path / "appendonlydir").glob("*.base.rdb")
    data = bytearray(base.read_bytes())
    data[len(data) // 2] ^= 0x40
    base.write_bytes(data)
    with pytest.raises(RecoveryError, match=r"base\.rdb"):
        load(tmp_path)


def test_an_unknown_command_is_refused_and_a_failing_one_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain(tmp_path, START + resp("NOSUCH", "x") + START)
    with pytest.raises(RecoveryError, match=r"byte \d+: NOSUCH: ERR unknown command"):
        load(tmp_path)
    plain(tmp_path, START + resp("LPUSH", "a", "x") * 3 + resp("SET", "b", 2))
    loaded = load(tmp_path)
    assert loaded.get("b") == b"2"
    assert loaded.result.failed == 3
    assert sum("LPUSH" in record.getMessage() for record in caplog.records) == 1


def test_a_log_with_any_byte_changed_is_judged_as_aof_check_judges_it(tmp_path: Path) -> None:
    """What has no checksum can be changed into another good command; everything else is seen."""
    data = START + TRANSACTION + resp("APPEND", "c", "xyz") + resp("SET", "d", 4)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 + at % 255
        path = plain(tmp_path, bytes(changed))
        (found,) = layout.find(path)
        meaning = check(path, found).verdict
        try:
            loaded = load(tmp_path, databases=1)
        except DamageError:
            assert meaning is Verdict.MIDDLE, at
        except RecoveryError:
            assert meaning in (Verdict.MIDDLE, Verdict.FINE), at  # a command that nobody knows
        else:
            assert meaning is (Verdict.TORN_TAIL if loaded.result.cut else Verdict.FINE), at
        assert path.read_bytes() == changed


def test_our_own_log_wins_over_one_of_redis(tmp_path: Path) -> None:
    from support.logs import Log, directory

    plain(tmp_path, START)
    ours = Log()
    ours.add(resp("SET", "a", "ours"))
    directory(tmp_path, [ours])
    assert load(tmp_path).get("a") == b"ours"
