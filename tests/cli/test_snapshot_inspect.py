"""`rlite snapshot inspect` as people run it: real files, pipes, damage, hostile names, memory."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.servers import Server, rlite_program
from support.snapshots import OLD_FORMS, fill, old_file, peak_kib, rdb, rlite, string, text
from support.wire import Int

from rlite.engine.persistence.snapshot_key import SnapshotKey


def inspected(*args: str | Path, given: bytes = b"", code: int = 0) -> dict[str, Any]:
    done = rlite("snapshot", "inspect", *args, "-o", "json", given=given)
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["schema"] == "rlite.snapshot-inspect/1"
    return document


def keys(*args: str | Path, given: bytes = b"") -> list[dict[str, Any]]:
    done = rlite("snapshot", "inspect", "--keys", *args, given=given)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def dump(redis_peer: Server) -> Path:
    """A dump.rdb of the real server."""
    with redis_peer.wire() as wire:
        fill(wire)
        wire.command("SAVE")
    return redis_peer.directory / "dump.rdb"


@pytest.mark.peer("redis-server")
def test_the_real_servers_snapshot_is_summed_up(dump: Path, redis_peer: Server) -> None:
    document = inspected(dump)
    assert document["good"]
    assert document["checksum"] == "good"
    assert document["rdb_version"] == 10
    assert document["aux"]["redis-ver"].startswith("7.")
    assert document["bytes_read"] == dump.stat().st_size
    with redis_peer.wire() as wire:
        sizes = {}
        for db in (0, 9):
            wire.command("SELECT", db)
            size = wire.command("DBSIZE")
            assert isinstance(size, Int)
            sizes[db] = size.value
    assert {row["db"]: row["keys"] for row in document["databases"]} == sizes
    assert document["total"]["keys"] == sum(sizes.values())
    assert document["total"]["volatile"] == 3
    shapes = {(row["type"], row["encoding"]) for row in document["encodings"]}
    assert shapes == {
        ("string", "raw"), ("string", "int"), ("string", "lzf"), ("list", "quicklist"), ("set", "intset"),
        ("set", "hashtable"), ("zset", "listpack"), ("zset", "skiplist"), ("hash", "listpack"),
        ("hash", "hashtable"), ("stream", "stream-2"),
    }  # fmt: skip
    assert {row["range"]: row["keys"] for row in document["ttl"] if row["keys"]} == {
        "1h to 1d": 2, "over 30d": 1, "no ttl": document["total"]["keys"] - 3,
    }  # fmt: skip
    assert document["prefixes"][0]["prefix"] == "user:"
    for part in ("databases", "types", "encodings", "ttl"):
        assert sum(row["keys"] for row in document[part]) == document["total"]["keys"]
        assert sum(row["bytes"] for row in document[part]) == document["total"]["bytes"]


@pytest.mark.peer("redis-server")
def test_each_key_agrees_with_what_the_server_says_of_it(dump: Path, redis_peer: Server) -> None:
    lengths = {
        "string": "STRLEN",
        "list": "LLEN",
        "set": "SCARD",
        "zset": "ZCARD",
        "hash": "HLEN",
        "stream": "XLEN",
    }
    found = keys(dump)
    assert all(key["schema"] == "rlite.snapshot-key/1" for key in found)
    with redis_peer.wire() as wire:
        for key in found:
            wire.command("SELECT", key["db"])
            name = b"\x00\xff\x1b[31m" if "key_b64" in key else key["key"].encode()
            assert wire.command(lengths[key["type"]], name) == Int(key["elements"])
            assert wire.command("PEXPIRETIME", name) == Int(key.get("expires_at_ms", -1))
    assert sorted(key["bytes"] for key in found)[-10:] == sorted(
        row["bytes"] for row in inspected(dump)["largest"]
    )


@pytest.mark.peer("redis-server")
def test_gzip_and_standard_input_are_read_as_the_file_is(dump: Path, tmp_path: Path) -> None:
    packed = tmp_path / "any name"
    packed.write_bytes(gzip.compress(dump.read_bytes()))
    plain = inspected(dump, "--at", "1700000000")
    for document in (
        inspected(packed, "--at", "1700000000"),
        inspected("-", "--at", "1700000000", given=dump.read_bytes()),
        inspected("-", "--at", "1700000000", given=packed.read_bytes()),
    ):
        assert {**document, "file": "", "gzip": ""} == {**plain, "file": "", "gzip": ""}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ((), ["a:1", "a:2", "b", "l"]),
        (("--match", "a:*"), ["a:1", "a:2"]),
        (("--match", "a:[2-9]", "--match", "b"), ["a:2", "b"]),
        (("--type", "list"), ["l"]),
        (("--db", "4"), ["b"]),
        (("--expired", "--at", "2000"), ["a:1"]),
        (("--not-expired", "--at", "2000"), ["a:2", "b", "l"]),
        (("--ttl", "none"), ["b", "l"]),
        (("--ttl", "<1h", "--not-expired", "--at", "2000"), ["a:2"]),
        (("--ttl", ">1h", "--at", "1970-01-01T00:00:00Z"), []),
        (("--min-size", "1kb"), ["b"]),
        (("--max-size", "20"), ["a:1", "a:2", "l"]),
        (("--limit", "2"), ["a:1", "a:2"]),
    ],
)
def test_filters_choose_keys(tmp_path: Path, options: tuple[str, ...], names: list[str]) -> None:
    file = tmp_path / "x.rdb"
    file.write_bytes(
        rdb([
            string(b"a:1", deadline=1_000_000), string(b"a:2", deadline=3_000_000),
            SnapshotKey(4, b"b", 0, text(b"x" * 2000)), SnapshotKey(5, b"l", 1, b"\x01" + text(b"i")),
        ])
    )  # fmt: skip
    assert [key["key"] for key in keys(file, *options)] == names
    if "--limit" not in options:
        done = rlite("snapshot", "inspect", file, "--count", *options)
        assert done.stdout == b"%d\n" % len(names)
        assert inspected(file, *options)["total"]["keys"] == len(names)


def test_old_forms_and_versions_are_read(tmp_path: Path) -> None:
    for version, checksum in ((10, "good"), (6, "off"), (3, "none")):
        (tmp_path / "old.rdb").write_bytes(old_file(version))
        document = inspected(tmp_path / "old.rdb")
        assert document["rdb_version"] == version
        assert document["checksum"] == checksum
        assert {(row["type"], row["encoding"]) for row in document["encodings"]} == {
            (form[3], form[4]) for form in OLD_FORMS
        }


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("head", "begins with REDIS"),
        ("version", "version"),
        ("opcode", "no item"),
        ("inside a value", "value"),
        ("cut", "ends in the middle"),
        ("before the end", "ends in the middle"),
        ("cut checksum", "ends in the middle"),
    ],
)
def test_damage_is_told_with_its_place_and_what_was_read_before_it(
    tmp_path: Path, place: str, said: str
) -> None:
    data = bytearray(rdb([string(b"k%d" % i, b"v" * 30) for i in range(10)]))
    fifth = bytes(data).index(b"k5") - 2
    if place == "head":
        data[0] ^= 1
    elif place == "version":
        data[5:9] = b"0099"
    elif place == "opcode":
        data[fifth] = 0xF0
    elif place == "inside a value":
        data[fifth] = 16  # a hash as a listpack, which text is not
    elif place == "cut":
        del data[fifth + 5 :]
    elif place == "before the end":
        del data[-9:]
    else:
        del data[-3:]
    read = {"head": 0, "version": 0, "before the end": 10, "cut checksum": 10}.get(place, 5)
    file = tmp_path / "bad.rdb"
    file.write_bytes(data)
    document = inspected(file, code=1)
    assert not document["good"]
    assert document["checksum"] == "unread"
    assert said in document["damage"]["what"]
    assert document["total"]["keys"] == read
    where = {"head": 0, "version": 5, "opcode": fifth, "inside a value": fifth}.get(place, len(data))
    assert document["damage"]["offset"] == where
    done = rlite("snapshot", "inspect", file, "--keys")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == read
    assert b"damaged at offset %d" % where in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_changed_byte_that_reads_well_is_found_by_the_checksum(tmp_path: Path) -> None:
    data = rdb([string(b"key", b"value")]).replace(b"value", b"valuf")
    (tmp_path / "x").write_bytes(data)
    document = inspected(tmp_path / "x", code=1)
    assert document["checksum"] == "bad"
    assert document["damage"] is None
    done = rlite("snapshot", "inspect", tmp_path / "x")
    assert b"something in it was changed" in done.stderr


def test_an_empty_file_no_rdb_and_cut_gzip_are_named_as_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "x"
    for content, said in (
        (b"", b"empty"),
        (b"SQLite format 3\0" * 10, b"begins with REDIS"),
        (gzip.compress(os.urandom(100))[:30], b"damaged"),
        (gzip.compress(rdb([string(b"k")]))[:-4], b"gzip data is cut"),
        (gzip.compress(b"no rdb at all"), b"begins with REDIS"),
    ):
        file.write_bytes(content)
        done = rlite("snapshot", "inspect", file)
        assert done.returncode == 1
        assert said in done.stderr
        assert b"Traceback" not in done.stderr


def test_what_cannot_be_opened_or_makes_no_sense_is_told_apart_from_damage(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(rdb([]))
    assert rlite("snapshot", "inspect", tmp_path / "missing").returncode == 2
    assert rlite("snapshot", "inspect", tmp_path).returncode == 2
    for options in (
        ("--ttl", "soon"),
        ("--min-size", "big"),
        ("--at", "then"),
        ("--type", "blob"),
        ("--keys", "-o", "json"),
        ("--limit", "1"),
        ("--prefix-sep", ""),
        ("--largest", "-1"),
    ):
        done = rlite("snapshot", "inspect", tmp_path / "x", *options)
        assert done.returncode == 2, options
        assert b"Traceback" not in done.stderr


HOSTILE = [
    b"\x1b[31mred\x1b]0;title\x07",
    b"line\nbreak\r",
    b"\xff\xfe",
    "\u202eright to left\u0085".encode(),
    b"[link=x]",
]


def test_names_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "x.rdb"
    file.write_bytes(rdb([string(name + b":" + name) for name in HOSTILE]))
    for form in ("table", "json", "ndjson", "csv"):
        done = rlite("snapshot", "inspect", file, "-o", form)
        assert done.returncode == 0
        shown = done.stdout.decode()
        assert all(letter.isprintable() or letter == "\n" for letter in shown), form
    listed = rlite("snapshot", "inspect", file, "--keys").stdout
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in listed)
    names = [json.loads(line) for line in listed.splitlines()]
    assert [name["key"].encode() for name in names if "key_b64" not in name] == [
        name + b":" + name for name in HOSTILE if name != b"\xff\xfe"
    ]


def test_every_form_of_output_has_the_same_numbers(tmp_path: Path) -> None:
    file = tmp_path / "x.rdb"
    file.write_bytes(rdb([string(b"p:%d" % i, b"v" * i, db=i % 2) for i in range(40)]))
    total = inspected(file)["total"]
    rows = [
        json.loads(line) for line in rlite("snapshot", "inspect", file, "-o", "ndjson").stdout.splitlines()
    ]
    assert {row["schema"] for row in rows} == {"rlite.snapshot-inspect.row/1"}
    assert next(row for row in rows if row["section"] == "total")["bytes"] == total["bytes"]
    table = list(csv.DictReader(io.StringIO(rlite("snapshot", "inspect", file, "-o", "csv").stdout.decode())))
    assert sum(int(row["bytes"]) for row in table if row["section"] == "databases") == total["bytes"]
    listed = list(
        csv.DictReader(io.StringIO(rlite("snapshot", "inspect", file, "--keys", "-o", "csv").stdout.decode()))
    )
    assert sum(int(row["bytes"]) for row in listed) == total["bytes"]
    shown = rlite("snapshot", "inspect", file).stdout
    assert b"40 keys in all" in shown
    assert b"checksum: good" in shown


def test_keys_come_as_they_are_read_and_a_reader_who_leaves_ends_it(tmp_path: Path) -> None:
    data = rdb([string(b"k%d" % i) for i in range(20_000)])
    process = subprocess.Popen(
        [*rlite_program(), "snapshot", "inspect", "-", "--keys"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(data[:1000])
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["key"] == "k0"  # long before the end
    process.stdout.close()
    try:
        process.stdin.write(data[1000:])
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.wait(20) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("options", [(), ("--keys",)], ids=["summary", "keys"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, options: tuple[str, ...]) -> None:
    value = os.urandom(10_000)
    peaks = []
    for count in (2_000, 20_000):  # 20 MB, 200 MB
        path = tmp_path / "x.rdb"
        path.write_bytes(rdb(string(b"user:%d:%d" % (i % 7, i), value) for i in range(count)))
        peaks.append(peak_kib("snapshot", "inspect", path, *options))
        path.unlink()
    assert peaks[1] < peaks[0] + 8_000


def test_a_length_that_cannot_be_does_not_fill_the_memory(tmp_path: Path) -> None:
    whole = rdb([string(b"before"), string(b"k" * 300, os.urandom(1000))])
    at = whole.index(b"kkk") + 300
    bad = whole[:at] + b"\x80\xf0\x00\x00\x00" + os.urandom(150_000_000)  # a string of 4 GB
    path = tmp_path / "bad.rdb"
    path.write_bytes(bad)
    document = inspected(path, code=1)
    assert document["total"]["keys"] == 1
    assert document["damage"]["offset"] == len(bad)
    assert "ends in the middle" in document["damage"]["what"]
    program = [*rlite_program(), "snapshot", "inspect", str(path)]
    measured = subprocess.run(
        [sys.executable, "-c", PEAK_OF_FAILURE, *program], capture_output=True, check=True, timeout=60
    )
    assert int(measured.stdout) < 60_000
    path.write_bytes(whole[:at] + b"\x81" + b"\xff" * 8 + bytes(100))
    document = inspected("-", given=path.read_bytes(), code=1)
    assert "longer than" in document["damage"]["what"]


PEAK_OF_FAILURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
