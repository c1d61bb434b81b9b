"""Snapshots across the border: Redis reads ours, we read Redis's, and what only old versions wrote."""

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from persistence.snapshots import PROGRAM, digest, engine, fill, loaded, saved
from support.servers import Server, running, start_redis
from support.wire import Simple, Wire

from rlite.engine import Engine
from rlite.engine.core.crc64 import crc64
from rlite.engine.types.listpack import put_listpack
from rlite.engine.types.rdb_string import put_length, put_string


@pytest.fixture(scope="module")
def peer() -> Iterator[Server]:
    with running(start_redis, {"enable-debug-command": "yes"}) as server:
        yield server


def peers_digest(wire: Wire) -> str:
    reply = wire.command("DEBUG", "DIGEST")
    assert isinstance(reply, Simple)
    return reply.text.decode()


@pytest.mark.peer("redis-tools")
@pytest.mark.parametrize("directives", [{}, {"rdbcompression": "no"}, {"rdbchecksum": "no"}])
def test_redis_check_rdb_calls_ours_good(tmp_path: Path, directives: dict[str, str]) -> None:
    with engine(**directives) as one:
        fill(one)
        (tmp_path / "x.rdb").write_bytes(saved(one))
        told = subprocess.run(
            ["redis-check-rdb", str(tmp_path / "x.rdb")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        keys = one._server.keyspace.size(0) + one._server.keyspace.size(9)
    assert told.returncode == 0, told.stdout
    assert "RDB looks OK" in told.stdout
    assert f"{keys} keys read" in told.stdout


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru", "allkeys-lfu"])
def test_redis_loads_ours_and_has_the_same_data(peer: Server, policy: str) -> None:
    with engine(maxmemory_policy=policy) as one, peer.wire() as wire:
        fill(one)
        (peer.directory / "dump.rdb").write_bytes(saved(one))
        assert wire.command("DEBUG", "RELOAD", "NOSAVE") == Simple(b"OK")
        assert peers_digest(wire) == digest(one)


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rdbcompression": "no"},
        {"maxmemory-policy": "allkeys-lfu"},
        # Redis packs far more than we do, and a list's nodes are compressed in memory.
        {"hash-max-listpack-entries": "5000", "zset-max-listpack-entries": "5000",
         "set-max-intset-entries": "5000", "list-max-listpack-size": "-5", "list-compress-depth": "1",
         "hash-max-listpack-value": "5000"},
        {"hash-max-listpack-entries": "1", "zset-max-listpack-entries": "0", "set-max-intset-entries": "1",
         "list-max-listpack-size": "1"},
    ],
)  # fmt: skip
def test_we_load_what_redis_saved(peer: Server, tmp_path: Path, settings: dict[str, str]) -> None:
    with peer.wire() as wire, engine() as one:
        before = {name: wire.command("CONFIG", "GET", name).items[1].data for name in settings}  # type: ignore[union-attr]
        for name, value in settings.items():
            wire.command("CONFIG", "SET", name, value)
        wire.command("FLUSHALL")
        for command in PROGRAM:
            wire.command(*command)  # type: ignore[arg-type]
        assert wire.command("SAVE") == Simple(b"OK")
        expected = peers_digest(wire)
        for name, value in before.items():
            wire.command("CONFIG", "SET", name, value)
        result = loaded(one, (peer.directory / "dump.rdb").read_bytes(), tmp_path / "x.rdb")
        assert result.aux[b"redis-ver"].startswith(b"7.")
        assert digest(one) == expected
        # And back: what was made of it is whole.
        (peer.directory / "dump.rdb").write_bytes(saved(one))
        assert wire.command("DEBUG", "RELOAD", "NOSAVE") == Simple(b"OK")
        assert peers_digest(wire) == expected


# --- what only old versions wrote --------------------------------------------------------------------------


def ziplist(items: list[bytes | int]) -> bytes:
    """The packed form that listpacks replaced: each element with the length of the one before."""
    body, before, tail = b"", 0, 10
    for item in items:
        tail = 10 + len(body)
        head = bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)
        if isinstance(item, bytes):
            size = len(item)
            coding = bytes([size]) if size < 64 else bytes([0x40 | size >> 8, size & 0xFF])
            entry = head + coding + item
        elif 0 <= item <= 12:
            entry = head + bytes([0xF1 + item])
        else:
            entry = head + b"\xc0" + struct.pack("<h", item)
        body += entry
        before = len(entry)
    return struct.pack("<IIH", 10 + len(body) + 1, tail, len(items)) + body + b"\xff"


def intset(numbers: list[int]) -> bytes:
    return struct.pack("<II", 4, len(numbers)) + b"".join(struct.pack("<i", n) for n in numbers)


def text(value: bytes, compressed: bool = False) -> bytes:
    return put_string(value, compressed=compressed)


ZIPMAP = b"\x02\x01a\x01\x00x\x01b\x02\x01yz\x00\xff"
LONG = [b"e%d" % n * 20 for n in range(40)]
OLD: list[tuple[int, bytes, bytes, object]] = [
    (1, b"list", put_length(3) + text(b"a") + text(b"12") + text(b"x" * 100, True),
     [b"a", b"12", b"x" * 100]),
    (10, b"list:zip", text(ziplist([b"a", 5, 1000, b"y" * 200, b"z"])),
     [b"a", b"5", b"1000", b"y" * 200, b"z"]),
    (14, b"list:quick", put_length(2) + text(ziplist([b"a"])) + text(ziplist([*LONG]), True), [b"a", *LONG]),
    (3, b"zset", put_length(3) + text(b"a") + b"\x031.5" + text(b"b") + b"\xfe" + text(b"c") + b"\xff",
     {b"a": 1.5, b"b": float("inf"), b"c": float("-inf")}),
    (12, b"zset:zip", text(ziplist([b"a", 3, b"b", b"4.5"])), {b"a": 3.0, b"b": 4.5}),
    (9, b"hash:zipmap", text(ZIPMAP), [b"a", b"x", b"b", b"yz"]),
    (13, b"hash:zip", text(ziplist([b"f", b"v", b"g", 12])), [b"f", b"v", b"g", b"12"]),
    (11, b"set:int", text(intset([-70000, 3, 99])), {b"-70000", b"3", b"99"}),
    (20, b"set:packed", text(put_listpack([b"a", b"5"])), {b"a", b"5"}),
]  # fmt: skip


def whole(version: int, body: bytes) -> bytes:
    data = b"REDIS%04d" % version + b"\xfe\x00" + body + b"\xff"
    return data + crc64(data).to_bytes(8, "little") if version >= 5 else data


def value_of(of: Engine, key: bytes) -> object:
    kind = of.execute("TYPE", key)
    if kind == "list":
        return of.execute("LRANGE", key, 0, -1)
    if kind == "set":
        return set(of.execute("SMEMBERS", key))  # type: ignore[arg-type]
    if kind == "zset":
        flat = of.execute("ZRANGE", key, 0, -1, "WITHSCORES")
        return {name: score for name, score in flat}  # type: ignore[union-attr, misc, str-unpack] # noqa: C416
    found = of.execute("HGETALL", key)
    assert isinstance(found, dict)
    return [part for pair in found.items() for part in pair]


@pytest.mark.parametrize("version", [4, 9, 11])
@pytest.mark.parametrize("old", OLD, ids=lambda old: old[1].decode())
def test_old_forms_are_read(tmp_path: Path, version: int, old: tuple[int, bytes, bytes, object]) -> None:
    kind, key, value, meant = old
    with engine() as one:
        result = loaded(one, whole(version, bytes([kind]) + text(key) + value), tmp_path / "x.rdb")
        assert (result.keys, result.version) == (1, version)
        assert value_of(one, key) == meant


def test_deadlines_in_seconds_are_read(tmp_path: Path) -> None:
    with engine() as one:
        body = b"\xfd" + struct.pack("<I", 4102444800) + b"\x00\x01k\x01v"
        loaded(one, whole(3, body), tmp_path / "x.rdb")
        assert one.execute("PEXPIRETIME", "k") == 4102444800000


def test_functions_and_modules_data_are_passed_over_and_told(tmp_path: Path) -> None:
    with engine() as one:
        code = b"#!lua name=lib\nredis.register_function('f', function() return 1 end)"
        module = b"\xf7\x81" + b"\x01" * 8 + b"\x02\x01" + b"\x05\x03abc" + b"\x02\x07" + b"\x00"
        body = b"\xf5" + text(code) + module + b"\x00\x01k\x01v"
        data = whole(10, b"")[:9] + body + b"\xff"
        result = loaded(one, data + crc64(data).to_bytes(8, "little"), tmp_path / "x.rdb")
        assert result.keys == 1
        assert len(result.dropped) == 2
        assert one.execute("GET", "k") == b"v"


def test_larger_packed_values_than_ours_become_full_ones(tmp_path: Path) -> None:
    fields = [b"%d" % n for n in range(2000)]
    packed = text(put_listpack(fields))
    scores = text(put_listpack([part for n in range(500) for part in (b"m%d" % n, b"%d" % n)]))
    body = b"\x10\x01h" + packed + b"\x14\x01s" + packed + b"\x11\x01z" + scores
    with engine() as one:
        loaded(one, whole(11, body), tmp_path / "x.rdb")
        assert [one.execute("OBJECT", "ENCODING", key) for key in "hsz"] == [
            b"hashtable",
            b"hashtable",
            b"skiplist",
        ]
        assert one.execute("HGET", "h", "998") == b"999"
        assert one.execute("SCARD", "s") == 2000
        assert one.execute("ZRANK", "z", "m499") == 499
