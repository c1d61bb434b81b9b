"""`rlite snapshot convert`: what goes in comes out, whatever lies between; and what goes wrong harms
nothing.
"""

import fcntl
import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.servers import Server, running, start_redis, start_rlite, wait_for
from support.snapshots import (
    OLD_FORMS,
    every_kind,
    fill,
    image,
    old_file,
    peak_kib,
    rdb,
    rlite,
    string,
    text,
)  # fmt: skip
from support.wire import Simple

from rlite.engine.persistence.diffing import meaning
from rlite.engine.persistence.rdb_shapes import type_of
from rlite.engine.persistence.snapshot_json import key_in, key_out, text_in, text_out
from rlite.engine.persistence.snapshot_key import SnapshotKey, encoded
from rlite.engine.types.rdb_stream import Image
from rlite.engine.types.rdb_values import Fields, putter


def convert(*args: str | Path, given: bytes = b"", code: int = 0) -> bytes:
    done = rlite("snapshot", "convert", *args, given=given)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def same(a: Path, b: Path) -> bool:
    done = rlite("snapshot", "diff", a, b)
    assert done.returncode in (0, 1), done.stderr
    assert done.returncode == 0, done.stdout
    return True


PATHS = ["x.ndjson", "x.resp", "x.rdb", "appendonlydir"]


@pytest.fixture
def start(tmp_path: Path) -> Path:
    path = tmp_path / "start.rdb"
    path.write_bytes(rdb(every_kind()))
    return path


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("restore", [(), ("--restore",)], ids=["commands", "restore"])
def test_there_and_back_again(start: Path, tmp_path: Path, name: str, restore: tuple[str, ...]) -> None:
    if restore and name in ("x.ndjson", "x.rdb"):
        assert b"--restore" in convert(start, tmp_path / name, *restore, code=2)
        return
    convert(start, tmp_path / name, *restore)
    convert(tmp_path / name, tmp_path / "back.rdb")
    assert same(start, tmp_path / "back.rdb")


@pytest.mark.parametrize("first", ["x.ndjson", "x.resp", "appendonlydir"])
@pytest.mark.parametrize("second", ["x.ndjson", "x.resp", "appendonlydir"])
def test_every_form_becomes_every_other(start: Path, tmp_path: Path, first: str, second: str) -> None:
    convert(start, tmp_path / first)
    (tmp_path / "then").mkdir()
    convert(tmp_path / first, tmp_path / "then" / second)
    convert(tmp_path / "then" / second, tmp_path / "back.rdb")
    assert same(start, tmp_path / "back.rdb")


def test_pipes_carry_every_form_but_a_log(start: Path, tmp_path: Path) -> None:
    for form in ("rdb", "resp", "ndjson"):
        made = convert(start, "-", "--to", form)
        back = convert("-", "-", "--to", "rdb", given=gzip.compress(made))
        (tmp_path / "back.rdb").write_bytes(back)
        assert same(start, tmp_path / "back.rdb")
    assert b"directory" in convert(start, "-", "--to", "log", code=2)


def test_old_forms_convert(tmp_path: Path) -> None:
    (tmp_path / "old.rdb").write_bytes(old_file(6))
    lines = convert(tmp_path / "old.rdb", "-", "--to", "ndjson").splitlines()
    found = {made["key"]: made["value"] for made in map(json.loads, lines)}
    for key, _, _, type_, _, _, value in OLD_FORMS:
        if type_ == "list":
            assert found[key.decode()] == [item.decode() for item in value]  # type: ignore[attr-defined]
    assert found["zsettext"] == [["m", 1.5], ["n", "inf"]]
    assert dict(found["hashmap"]) == {"f": "v", "g": "w"}


# --- real servers ---


def digest(server: Server) -> object:
    with server.wire() as wire:
        return wire.command("DEBUG", "DIGEST")


@pytest.fixture
def dumped(redis_peer: Server) -> tuple[Path, object]:
    """A dump.rdb of the real server, and the digest of what it holds."""
    with redis_peer.wire() as wire:
        fill(wire)
        wire.command("SAVE")
    return redis_peer.directory / "dump.rdb", digest(redis_peer)


def loaded(path: Path) -> object:
    """The digest of what the real server makes of a snapshot."""

    def start(directory: Path, directives: dict[str, str], *, unix: bool = False) -> Server:
        (directory / "dump.rdb").write_bytes(path.read_bytes())
        return start_redis(directory, directives)

    with running(start, {"enable-debug-command": "yes"}) as server:
        return digest(server)


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize("name", PATHS)
def test_the_real_server_loads_what_came_back(dumped: tuple[Path, object], tmp_path: Path, name: str) -> None:
    dump, before = dumped
    convert(dump, tmp_path / name)
    convert(tmp_path / name, tmp_path / "back.rdb")
    assert same(dump, tmp_path / "back.rdb")
    assert loaded(tmp_path / "back.rdb") == before
    checked = subprocess.run(
        ["redis-check-rdb", str(tmp_path / "back.rdb")], capture_output=True, check=True, timeout=30
    )
    assert b"RDB looks OK" in checked.stdout


@pytest.mark.peer("redis-server", "redis-tools")
@pytest.mark.parametrize("options", [(), ("--restore",), ("--replace",), ("--restore", "--replace")])
def test_redis_cli_pipe_takes_the_commands(dumped: tuple[Path, object], options: tuple[str, ...]) -> None:
    dump, before = dumped
    commands = convert(dump, "-", "--to", "resp", *options)
    with running(start_redis, {"enable-debug-command": "yes"}) as server:
        for _ in range(2 if "--replace" in options else 1):
            piped = subprocess.run(
                ["redis-cli", "-p", str(server.port), "--pipe"], input=commands, capture_output=True,
                timeout=30, check=False,
            )  # fmt: skip
            assert b"errors: 0" in piped.stdout
        assert digest(server) == before


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_the_log_of_the_real_server_converts(tmp_path: Path, preamble: str) -> None:
    settings_ = {"appendonly": "yes", "aof-use-rdb-preamble": preamble, "enable-debug-command": "yes"}
    with running(start_redis, settings_) as server:
        with server.wire() as wire:
            fill(wire)
            wire.command("BGREWRITEAOF")
            wait_for(lambda: b"aof_rewrite_in_progress:0" in info(wire), "the rewrite")
            wire.command("SET", "after", "it")
            wire.command("DEL", "list")
        before = digest(server)
        place = server.directory / "appendonlydir"
        convert(place, tmp_path / "back.rdb")
        one = b"".join(
            path.read_bytes() for path in sorted(place.glob("*.base.*")) + sorted(place.glob("*.incr.aof"))
        )
        (tmp_path / "appendonly.aof").write_bytes(one)  # as before 7.0
    assert loaded(tmp_path / "back.rdb") == before
    convert(tmp_path / "appendonly.aof", tmp_path / "other.rdb", "--from", "resp")
    assert loaded(tmp_path / "other.rdb") == before
    if preamble == "yes":
        said = convert(tmp_path / "appendonly.aof", tmp_path / "third.rdb", code=1)
        assert b"--from resp" in said


def info(wire: object) -> bytes:
    found = wire.command("INFO", "persistence")  # type: ignore[attr-defined]
    return bytes(found.data)


@pytest.mark.peer("redis-server")
def test_our_server_starts_from_a_log_that_was_made(dumped: tuple[Path, object], tmp_path: Path) -> None:
    dump, before = dumped
    convert(dump, tmp_path / "appendonlydir")

    def start(directory: Path, directives: dict[str, str], *, unix: bool = False) -> Server:
        (tmp_path / "appendonlydir").rename(directory / "appendonlydir")
        return start_rlite(directory, directives)

    with running(start, {"appendonly": "yes", "enable-debug-command": "yes"}) as server:
        assert digest(server) == before
        with server.wire() as wire:
            assert wire.command("SET", "more", "1") == Simple(b"OK")
        place = server.directory / "appendonlydir"
        said = convert(place, tmp_path / "x.rdb", code=5)
        assert b"locked by process %d" % server.pid in said
        server.stop()
        convert(place, tmp_path / "x.rdb")
    found = rlite("snapshot", "diff", dump, tmp_path / "x.rdb", "-o", "csv").stdout.splitlines()
    assert [line.split(b",")[:3] for line in found[1:]] == [[b"only-b", b"0", b"more"]]


def test_our_log_with_a_base_and_segments_converts(tmp_path: Path) -> None:
    with running(start_rlite, {"appendonly": "yes", "enable-debug-command": "yes"}) as server:
        with server.wire() as wire:
            fill(wire, field_ttl=True)
            wire.command("BGREWRITEAOF")
            wait_for(lambda: b"aof_rewrite_in_progress:0" in info(wire), "the rewrite")
            for command in (
                ("SET", "after", "it"),
                ("DEL", "list"),
                ("HDEL", "hash", "f"),
                ("PERSIST", "for a day"),
            ):
                wire.command(*command)
        before = digest(server)
        server.stop()
        assert list((server.directory / "appendonlydir").glob("*.rdb"))
        convert(server.directory / "appendonlydir", tmp_path / "back.rdb")
        convert(server.directory, tmp_path / "other.rdb")
    assert same(tmp_path / "back.rdb", tmp_path / "other.rdb")
    convert(tmp_path / "back.rdb", tmp_path / "appendonlydir")

    def start(directory: Path, directives: dict[str, str], *, unix: bool = False) -> Server:
        (tmp_path / "appendonlydir").rename(directory / "appendonlydir")
        return start_rlite(directory, directives)

    with running(start, {"appendonly": "yes", "enable-debug-command": "yes"}) as server:
        assert digest(server) == before


def test_our_own_snapshot_survives_every_form(tmp_path: Path) -> None:
    directives = {"enable-debug-command": "yes", "appendonly": "no", "save": "3600 1"}
    with running(start_rlite, directives) as server:
        with server.wire() as wire:
            fill(wire, field_ttl=True)
            assert wire.command("SAVE") == Simple(b"OK")
        before = digest(server)
        own = tmp_path / "own.rdb"
        own.write_bytes((server.directory / "dump.rdb").read_bytes())
    document = json.loads(rlite("snapshot", "inspect", own, "-o", "json").stdout)
    assert document["good"]
    assert "hashtable-ttl" in {row["encoding"] for row in document["encodings"]}
    for name in PATHS:
        convert(own, tmp_path / name)
        convert(tmp_path / name, tmp_path / "back.rdb", "--force")
        assert same(own, tmp_path / "back.rdb")

    def start(directory: Path, directives: dict[str, str], *, unix: bool = False) -> Server:
        (directory / "dump.rdb").write_bytes((tmp_path / "back.rdb").read_bytes())
        return start_rlite(directory, directives)

    with running(start, directives) as server:
        assert digest(server) == before


@pytest.mark.peer("redis-server", "redis-tools")
@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_what_redis_cli_takes_from_a_live_server_is_read_from_a_pipe(tmp_path: Path, diskless: str) -> None:
    directives = {"repl-diskless-sync": diskless, "repl-diskless-sync-delay": "0"}
    with running(start_redis, directives) as server:
        with server.wire() as wire:
            fill(wire)
            wire.command("SAVE")
        taken = subprocess.run(
            ["redis-cli", "-p", str(server.port), "--rdb", "-"], capture_output=True, check=True, timeout=30
        ).stdout
        convert("-", tmp_path / "x.rdb", given=taken)
        assert same(server.directory / "dump.rdb", tmp_path / "x.rdb")
        done = rlite("snapshot", "inspect", "-", "-o", "json", given=taken)
        assert done.returncode == 0
        assert json.loads(done.stdout)["trailing_bytes"] == 0


@pytest.mark.peer("redis-server")
def test_functions_pass_between_snapshots_and_are_told_where_they_cannot(
    tmp_path: Path, redis_peer: Server
) -> None:
    code = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
    with redis_peer.wire() as wire:
        wire.command("FUNCTION", "LOAD", code)
        wire.command("SET", "k", "v")
        wire.command("SAVE")
        wire.command("FUNCTION", "FLUSH")
    dump = redis_peer.directory / "dump.rdb"
    for name in ("x.ndjson", "y.rdb"):
        convert(dump, tmp_path / name)
        convert(tmp_path / name, tmp_path / "back.rdb", "--force")
        document = json.loads(rlite("snapshot", "inspect", tmp_path / "back.rdb", "-o", "json").stdout)
        assert document["functions"] == 1
    assert code.encode() in convert(dump, "-", "--to", "resp")
    done = rlite("snapshot", "convert", dump, tmp_path / "appendonlydir")
    assert done.returncode == 0
    assert b"1 left out: function libraries" in done.stderr


# --- NDJSON ---

TEXTS = st.one_of(st.binary(max_size=20), st.text(max_size=10).map(str.encode))
VALUES = st.one_of(
    TEXTS,
    st.lists(TEXTS, min_size=1),
    st.sets(TEXTS, min_size=1),
    st.dictionaries(TEXTS, st.floats(allow_nan=False), min_size=1),
    st.dictionaries(TEXTS, TEXTS, min_size=1).map(lambda pairs: Fields(list(pairs.items()))),
    st.just(image(deleted=True)),
)


@given(TEXTS, VALUES, st.none() | st.integers(0, 2**62), st.none() | st.integers(0, 255))
@settings(max_examples=150)
def test_json_gives_back_what_it_took(
    key: bytes, value: object, deadline: int | None, use: int | None
) -> None:
    kind, raw = encoded(value, putter(True))  # type: ignore[arg-type]
    item = SnapshotKey(3, key, kind, raw, deadline, None, use)
    back = key_in(json.loads(json.dumps(key_out(item, type_of(kind)))), putter(True))
    if isinstance(value, Image):  # whose consumers and deliveries name each other
        assert meaning(back) == meaning(item)
    else:
        assert back.value() == item.value()
    assert (back.db, back.key, back.kind, back.deadline, back.frequency) == (3, key, kind, deadline, use)


@given(st.binary())
def test_any_bytes_pass_through_json(raw: bytes) -> None:
    assert text_in(json.loads(json.dumps(text_out(raw)))) == raw


BAD_LINES = [
    ("not json", "line 2"),
    ("[]", "an object belongs"),
    ('{"type":"string","value":""}', "no 'key'"),
    ('{"key":"k","type":"blob","value":""}', "no such type"),
    ('{"key":"k","type":"string","value":5}', "a string or"),
    ('{"key":{"base64":"!"},"type":"string","value":""}', "no base64"),
    ('{"key":"\\ud800","type":"string","value":""}', "surrogate"),
    ('{"key":"k","type":"list","value":[]}', "without elements"),
    ('{"key":"k","type":"set","value":["a","a"]}', "twice"),
    ('{"key":"k","type":"zset","value":[["a","x"]]}', "a number"),
    ('{"key":"k","type":"zset","value":[["a"]]}', "an array of 2"),
    ('{"key":"k","type":"zset","value":[["a",NaN]]}', "a number"),
    ('{"key":"k","type":"hash","value":[["a","b","c"]]}', "a whole number"),
    ('{"key":"k","type":"stream","value":{"entries":[["1-1",["a"]]],"last_id":"1-1"}}', "pairs"),
    (
        '{"key":"k","type":"stream","value":{"entries":[["2-1",["a","b"]],["1-1",["a","b"]]],"last_id":"2-1"}}',
        "order",
    ),
    ('{"key":"k","type":"stream","value":{"entries":[],"last_id":"soon"}}', "no id"),
    ('{"key":"k","type":"string","value":"","db":-1}', "a whole number"),
    ('{"key":"k","type":"string","value":"","expires_at_ms":"soon"}', "a whole number"),
    ('{"key":"first","type":"string","value":"again"}', "been there before"),
    ("[" * 100_000, "line 2"),
]


@pytest.mark.parametrize(("line", "said"), BAD_LINES, ids=[said for _, said in BAD_LINES])
def test_a_bad_line_is_named_with_what_belongs_there(tmp_path: Path, line: str, said: str) -> None:
    source = tmp_path / "x.ndjson"
    source.write_text('{"key":"first","type":"string","value":"v"}\n' + line + "\n")
    told = convert(source, tmp_path / "x.rdb", code=1)
    assert b"line 2" in told
    assert said.encode() in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.ndjson"]


# --- what goes wrong ---


def test_what_is_there_is_not_replaced_without_force(start: Path, tmp_path: Path) -> None:
    for name in PATHS:
        target = tmp_path / name
        if name == "appendonlydir":
            target.mkdir()
            (target / "precious").write_bytes(b"1")
        else:
            target.write_bytes(b"precious")
        said = convert(start, target, code=4)
        assert b"--force" in said
        assert target.is_dir() or target.read_bytes() == b"precious"
        convert(start, target, "--force")
        convert(target, tmp_path / "back", "--to", "rdb", "--force")
        assert same(start, tmp_path / "back")
    (kept,) = tmp_path.glob("appendonlydir.before-*")
    assert (kept / "precious").read_bytes() == b"1"


@pytest.mark.parametrize("name", PATHS)
def test_a_damaged_input_leaves_everything_as_it_was(start: Path, tmp_path: Path, name: str) -> None:
    data = start.read_bytes()
    bad = tmp_path / "bad.rdb"
    target = tmp_path / name
    convert(start, target)
    before = sorted((path.name, path.stat().st_ino) for path in tmp_path.rglob("*"))
    for content in (
        data[:-1],
        data[: len(data) // 2],
        data.replace(b"text", b"tixt", 1),
        b"REDIS00",
        gzip.compress(data)[:-6],
    ):
        bad.write_bytes(content)
        assert b"damaged at offset" in convert(bad, target, "--force", code=1)
    bad.unlink()
    assert sorted((path.name, path.stat().st_ino) for path in tmp_path.rglob("*")) == before


def test_a_damaged_log_is_refused_and_not_touched(start: Path, tmp_path: Path) -> None:
    place = tmp_path / "appendonlydir"
    convert(start, place)
    segment = place / "appendonly.1.aof"
    data = segment.read_bytes()
    for content in (data[:-5], data[:-1] + b"\0", data[:2000] + b"\xff" + data[2001:], b"RLITEAOF"):
        segment.write_bytes(content)
        said = convert(place, tmp_path / "x.rdb", code=1)
        assert str(segment).encode() in said
        assert b"aof-check" in said
        assert segment.read_bytes() == content
        assert sorted(path.name for path in place.iterdir()) == ["appendonly.1.aof", "appendonly.manifest"]


def test_bad_resp_is_told_with_its_place(tmp_path: Path) -> None:
    good = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
    for content, said in (
        (good + good[:-4], b"damaged at offset %d" % len(good)),
        (good + b"*3\r\n$3\r\nSET\r\n$1\r\nkk\r\n$1\r\nv\r\n", b"damaged at offset"),
        (good + b"*1\r\n$5\r\nMULTI\r\n" + good, b"damaged at offset %d" % len(good)),
        (good + b"*2\r\n$4\r\nLPOP\r\n$1\r\nk\r\n", b"LPOP at offset %d failed: WRONGTYPE" % len(good)),
        (good + b"*1\r\n$7\r\nNOTHING\r\n", b"NOTHING at offset %d failed" % len(good)),
        (good + b"*2\r\n$6\r\nSELECT\r\n$2\r\n16\r\n", b"SELECT"),
    ):
        said_ = convert("-", tmp_path / "x.rdb", given=content, code=1)
        assert said in said_, said_
    assert not (tmp_path / "x.rdb").exists()
    convert(
        "-",
        tmp_path / "x.rdb",
        "--databases",
        "17",
        given=good + b"*2\r\n$6\r\nSELECT\r\n$2\r\n16\r\n" + good,
    )


def test_a_log_that_a_server_holds_is_left_alone(start: Path, tmp_path: Path) -> None:
    convert(start, tmp_path / "appendonlydir")
    with (tmp_path / "rlite.lock").open("w+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(b"4711\n")
        held.flush()
        for source in (tmp_path / "appendonlydir", tmp_path / "appendonlydir" / "appendonly.manifest"):
            assert b"locked by process 4711" in convert(source, tmp_path / "x.rdb", code=5)
    convert(tmp_path / "appendonlydir" / "appendonly.manifest", tmp_path / "x.rdb")
    convert(tmp_path / "appendonlydir" / "appendonly.1.aof", tmp_path / "y.rdb", "--from", "log")
    assert same(start, tmp_path / "x.rdb")
    assert same(start, tmp_path / "y.rdb")


def test_what_is_unclear_is_asked_for(start: Path, tmp_path: Path) -> None:
    assert b"--to" in convert(start, tmp_path / "unnamed", code=2)
    assert b"--from" in convert("-", tmp_path / "x.rdb", given=b"PING\r\n", code=1)
    assert b"empty" in convert("-", tmp_path / "x.rdb", code=1)
    assert b"manifest" in convert(tmp_path, tmp_path / "x.rdb", code=1)
    convert("-", tmp_path / "x.rdb", "--from", "ndjson")
    assert (
        json.loads(rlite("snapshot", "inspect", tmp_path / "x.rdb", "-o", "json").stdout)["total"]["keys"]
        == 0
    )
    assert convert(start, tmp_path / "no such" / "x.rdb", code=3)


def test_a_modules_value_is_named_and_refused_unless_it_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "x.rdb"
    module = SnapshotKey(0, b"mod\x1b", 7, b"\x81" + bytes(8) + b"\x02\x05\x00")
    source.write_bytes(rdb([string(b"k"), module]))
    said = convert(source, tmp_path / "x.ndjson", code=1)
    assert rb"mod\\x1b" in said or rb"mod\x1b" in said
    assert b"module" in said
    convert(source, tmp_path / "copy.rdb")
    assert same(source, tmp_path / "copy.rdb")
    convert(source, tmp_path / "x.ndjson", "--type", "string")


def test_filters_choose_what_passes(tmp_path: Path) -> None:
    source = tmp_path / "x.rdb"
    source.write_bytes(
        rdb([string(b"a:1", deadline=1000), string(b"a:2"), SnapshotKey(3, b"b", 1, b"\x01" + text(b"i"))])
    )
    for options, names in (
        ((), ["a:1", "a:2", "b"]),
        (("--match", "a:*"), ["a:1", "a:2"]),
        (("--not-expired",), ["a:2", "b"]),
        (("--db", "3"), ["b"]),
        (("--type", "string", "--ttl", "none"), ["a:2"]),
    ):
        lines = convert(source, "-", "--to", "ndjson", *options).splitlines()
        assert [json.loads(line)["key"] for line in lines] == names


def test_deadlines_that_are_past_stay_in_what_is_run(tmp_path: Path) -> None:
    source = tmp_path / "x.rdb"
    source.write_bytes(rdb([string(b"old", deadline=1000), string(b"k")]))
    convert(source, tmp_path / "appendonlydir")
    convert(tmp_path / "appendonlydir", tmp_path / "y.rdb")
    assert same(source, tmp_path / "y.rdb")


def test_large_files_pass_in_little_memory(tmp_path: Path) -> None:
    value = os.urandom(50_000)
    source = tmp_path / "x.rdb"
    source.write_bytes(rdb(string(b"%d" % i, value) for i in range(2000)))  # 100 MB
    for name in ("y.rdb", "y.ndjson", "y.resp", "appendonlydir"):
        assert peak_kib("snapshot", "convert", source, tmp_path / name) < 70_000


def test_the_number_of_keys_is_told(start: Path, tmp_path: Path) -> None:
    done = rlite("snapshot", "convert", start, tmp_path / "x.ndjson")
    assert done.stdout == b""
    assert b"%d keys written to" % len(every_kind()) in done.stderr
