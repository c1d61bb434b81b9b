"""`rlite snapshot diff` as people run it."""

import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.servers import Server, running, start_redis
from support.snapshots import OLD_FORMS, fill, old_file, peak_kib, rdb, rlite, string, text

from rlite.engine.persistence.snapshot_key import SnapshotKey, encoded
from rlite.engine.types.rdb_values import Fields, putter

PUT = putter(True)


def differences(a: str | Path, b: str | Path, *options: str, given: bytes = b"") -> dict[str, Any]:
    done = rlite("snapshot", "diff", a, b, "-o", "json", *options, given=given)
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["schema"] == "rlite.snapshot-diff/1"
    assert done.returncode == (0 if document["same"] else 1), done.stderr
    return document


def changes(document: dict[str, Any]) -> set[tuple[str, ...]]:
    return {(one["change"], one["key"], *one["what"]) for one in document["differences"]}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "a.rdb", tmp_path / "b.rdb"


def test_every_way_to_differ_is_told(files: tuple[Path, Path]) -> None:
    a, b = files
    same = [string(b"same", deadline=5_000), SnapshotKey(3, b"l", 1, b"\x01" + text(b"x"))]
    a.write_bytes(
        rdb([
            *same, string(b"gone"), string(b"value", b"1"), string(b"ttl", deadline=10_000),
            string(b"lost", deadline=1), string(b"type"), string(b"both", b"1", deadline=1),
            string(b"moved", db=1),
        ])
    )  # fmt: skip
    b.write_bytes(
        rdb([
            string(b"new"), string(b"value", b"2"), string(b"ttl", deadline=11_000), string(b"lost"),
            SnapshotKey(0, b"type", 2, b"\x01" + text(b"m")), string(b"both", b"2"),
            string(b"moved", db=2), *same,
        ])
    )  # fmt: skip
    document = differences(a, b)
    assert changes(document) == {
        ("only-a", "gone"), ("only-b", "new"), ("changed", "value", "value"), ("changed", "ttl", "ttl"),
        ("changed", "lost", "ttl"), ("changed", "type", "type"), ("changed", "both", "value", "ttl"),
        ("only-a", "moved"), ("only-b", "moved"),
    }  # fmt: skip
    told = {one["key"]: one for one in document["differences"]}
    assert told["ttl"]["a"] == {"type": "string", "expires_at_ms": 10_000}
    assert told["ttl"]["b"] == {"type": "string", "expires_at_ms": 11_000}
    assert (told["gone"]["b"], told["new"]["a"]) == (None, None)
    assert {key: document[key] for key in ("keys_a", "keys_b", "equal", "only_a", "only_b", "changed")} == {
        "keys_a": 9, "keys_b": 9, "equal": 2, "only_a": 2, "only_b": 2, "changed": 5,
    }  # fmt: skip
    assert document["changed_what"] == {"type": 1, "value": 2, "ttl": 3}
    sides = {"only-a": "only-b", "only-b": "only-a", "changed": "changed"}
    assert {(sides[one[0]], *one[1:]) for one in changes(differences(b, a))} == changes(document)
    assert changes(differences(a, b, "--match", "t*")) == {
        ("changed", "ttl", "ttl"),
        ("changed", "type", "type"),
    }
    assert changes(differences(a, b, "--db", "1")) == {("only-a", "moved")}


def test_deadlines_within_the_tolerance_are_the_same(files: tuple[Path, Path]) -> None:
    a, b = files
    a.write_bytes(rdb([string(b"k", deadline=10_000), string(b"none")]))
    b.write_bytes(rdb([string(b"k", deadline=11_000), string(b"none", deadline=0)]))
    assert changes(differences(a, b, "--ttl-tolerance", "999ms")) >= {("changed", "k", "ttl")}
    assert changes(differences(a, b, "--ttl-tolerance", "1s")) == {("changed", "none", "ttl")}


def forms(value: object) -> SnapshotKey:
    kind, raw = encoded(value, PUT)  # type: ignore[arg-type]
    return SnapshotKey(0, b"k", kind, raw)


@pytest.mark.parametrize("form", OLD_FORMS, ids=lambda form: form[4])
def test_the_same_value_in_an_old_form_is_equal(form: Any, files: tuple[Path, Path]) -> None:
    _, kind, raw, type_, _, _, value = form
    a, b = files
    a.write_bytes(rdb([SnapshotKey(0, b"k", kind, raw)]))
    b.write_bytes(rdb([forms(Fields(list(value.items())) if type_ == "hash" else value)]))
    assert differences(a, b)["same"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([b"a", b"b"], [b"b", b"a"], False),
        ({b"a", b"b", b"c"}, {b"c", b"b", b"a"}, True),
        ({b"1", b"2"}, {b"1", b"2", b"3"}, False),
        ({b"a": 1.0, b"b": 2.0}, {b"b": 2.0, b"a": 1.0}, True),
        ({b"a": 1.0}, {b"a": 1.0000000000000002}, False),
        ({b"a": 0.0}, {b"a": -0.0}, True),
        (Fields([(b"f", b"1"), (b"g", b"2")]), Fields([(b"g", b"2"), (b"f", b"1")]), True),
        (Fields([(b"f", b"g")]), Fields([(b"f", b"h")]), False),
        (Fields([(b"f", b"g")]), Fields([(b"f", b"g")], {b"f": 4102444800000}), False),
        (Fields([(b"ab", b"c")]), Fields([(b"a", b"bc")]), False),
        ([b"ab", b"c"], [b"a", b"bc"], False),
    ],
)
def test_order_counts_where_it_means_something(
    one: object, other: object, same: bool, files: tuple[Path, Path]
) -> None:
    a, b = files
    a.write_bytes(rdb([forms(one)]))
    b.write_bytes(rdb([forms(other)]))
    assert differences(a, b)["same"] is same


@pytest.mark.peer("redis-server")
def test_a_real_servers_snapshot_equals_that_of_one_with_other_encodings(
    redis_peer: Server, tmp_path: Path
) -> None:
    plain = {
        "hash-max-listpack-entries": "0", "zset-max-listpack-entries": "0", "set-max-intset-entries": "0",
        "rdbcompression": "no", "list-max-listpack-size": "2", "stream-node-max-entries": "1",
        "rdbchecksum": "no",
    }  # fmt: skip
    with redis_peer.wire() as wire:
        fill(wire)
        wire.command("SAVE")
    a = redis_peer.directory / "dump.rdb"
    with running(start_redis, plain) as other:
        with other.wire() as wire:
            fill(wire)
            wire.command("SAVE")
        document = differences(a, other.directory / "dump.rdb", "--ttl-tolerance", "1m")
    assert changes(document) == set()


def test_gzip_and_standard_input(files: tuple[Path, Path]) -> None:
    a, b = files
    one, other = rdb([string(b"k"), string(b"a")]), rdb([string(b"k"), string(b"b")])
    a.write_bytes(gzip.compress(one))
    b.write_bytes(other)
    expected = {("only-a", "a"), ("only-b", "b")}
    assert changes(differences(a, b)) == expected
    assert changes(differences(a, "-", given=other)) == expected
    assert changes(differences("-", b, given=gzip.compress(one))) == expected
    assert rlite("snapshot", "diff", "-", "-").returncode == 2


def test_each_form_of_output(files: tuple[Path, Path]) -> None:
    a, b = files
    a.write_bytes(rdb([string(b"\x1b[31m\xff"), string(b"k", b"1")]))
    b.write_bytes(rdb([string(b"k", b"2")]))
    shown = rlite("snapshot", "diff", a, b)
    assert shown.returncode == 1
    assert shown.stdout.splitlines()[:2] in (
        [rb"- db0 \x1b[31m\xff (string)", b"~ db0 k: value"],
        [b"~ db0 k: value", rb"- db0 \x1b[31m\xff (string)"],
    )
    assert b"0 equal, 1 only in A, 0 only in B, 1 changed" in shown.stdout
    assert len(rlite("snapshot", "diff", a, b, "--summary").stdout.splitlines()) == 1
    *keys, summary = map(json.loads, rlite("snapshot", "diff", a, b, "-o", "ndjson").stdout.splitlines())
    assert {key["schema"] for key in keys} == {"rlite.snapshot-diff.key/1"}
    assert summary["schema"] == "rlite.snapshot-diff.summary/1"
    assert (summary["only_a"], summary["changed"]) == (1, 1)
    rows = list(csv.DictReader(io.StringIO(rlite("snapshot", "diff", a, b, "-o", "csv").stdout.decode())))
    assert {row["change"] for row in rows} == {"only-a", "changed"}


def test_a_file_that_cannot_be_read_to_its_end_is_no_difference(files: tuple[Path, Path]) -> None:
    a, b = files
    good = rdb([string(b"k%d" % i) for i in range(100)])
    a.write_bytes(good)
    for content in (good[:-20], b"", good.replace(b"k50", b"k5x"), b"no rdb", gzip.compress(good)[:-5]):
        b.write_bytes(content)
        for pair in ((a, b), (b, a)):
            done = rlite("snapshot", "diff", *pair)
            assert done.returncode == 3
            assert b"damaged at offset" in done.stderr
            assert str(b).encode() in done.stderr
            assert b"Traceback" not in done.stderr
    assert rlite("snapshot", "diff", a, a.with_name("none")).returncode == 2


def test_old_files_compare_with_new_ones(files: tuple[Path, Path]) -> None:
    a, b = files
    a.write_bytes(old_file(3))
    b.write_bytes(old_file(10))
    assert differences(a, b)["same"]


def test_large_values_do_not_stay_in_memory(files: tuple[Path, Path]) -> None:
    a, b = files
    value = os.urandom(100_000)
    for path in files:
        path.write_bytes(rdb(string(b"%d" % i, value) for i in range(1500)))  # 150 MB
    assert peak_kib("snapshot", "diff", a, b) < 60_000
