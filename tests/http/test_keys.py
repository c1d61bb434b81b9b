"""Keys as resources, over the socket."""

import threading
from base64 import b64decode, b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.http import Http, Served, key_path

from rlite.engine.commands.dispatch import execute

VALUES = {
    "string": "text",
    "list": ["a", "b", "a"],
    "set": ["only"],
    "hash": {"field": "value", "other": ""},
    "zset": [{"member": "low", "score": -1.5}, {"member": "high", "score": 2}],
}


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_of_each_type_comes_back_as_it_was_put(http: Http, kind: str) -> None:
    put = http.send("PUT", "/api/keys/key", {"type": kind, "value": VALUES[kind]})
    assert (put.status, put.json["created"]) == (201, True)
    got = http.get("/api/keys/key").json
    assert got["value"] == VALUES[kind]
    assert (got["type"], got["encoding"], got["ttl_ms"], got["cursor"]) == (kind, "utf-8", None, None)
    assert http.command("TYPE", "key") == {"result": kind}


def test_a_stream_is_read_in_parts(http: Http) -> None:
    for i in range(5):
        http.command("XADD", "stream", f"{i}-1", "field", f"value{i}", "field", "twice")
    first = http.get("/api/keys/stream?count=2").json
    assert first["value"][0] == {"id": "0-1", "fields": [["field", "value0"], ["field", "twice"]]}
    ids, cursor = [each["id"] for each in first["value"]], first["cursor"]
    while cursor:
        part = http.get(f"/api/keys/stream?count=2&cursor={cursor}").json
        ids += [each["id"] for each in part["value"]]
        cursor = part["cursor"]
    assert ids == [f"{i}-1" for i in range(5)]


@pytest.mark.parametrize("kind", ["list", "set", "hash", "zset"])
def test_a_large_value_comes_in_parts_that_are_all_of_it(http: Http, kind: str) -> None:
    names = [f"m{i}" for i in range(1500)]
    commands = {
        "list": ["RPUSH", "key", *names], "set": ["SADD", "key", *names],
        "hash": ["HSET", "key", *(part for name in names for part in (name, name))],
        "zset": ["ZADD", "key", *(part for i, name in enumerate(names) for part in (i, name))],
    }  # fmt: skip
    http.command(*commands[kind])
    found: list[str] = []
    cursor = "0"
    while cursor is not None:
        part = http.get(f"/api/keys/key?count=400&cursor={cursor}").json
        assert part["size"] == 1500
        assert len(part["value"]) < 1500
        found += [each["member"] if kind == "zset" else each for each in part["value"]]
        cursor = part["cursor"]
    assert set(found) == set(names)
    if kind in ("list", "zset"):
        assert found == names


def test_a_missing_key_is_not_found(http: Http) -> None:
    assert http.get("/api/keys/none").problem == (404, "NO_SUCH_KEY")
    assert http.request("DELETE", "/api/keys/none").problem == (404, "NO_SUCH_KEY")
    assert http.send("PATCH", "/api/keys/none", {"ttl_ms": 5}).problem == (404, "NO_SUCH_KEY")
    assert http.send("PATCH", "/api/keys/none", {"ttl_ms": None}).problem == (404, "NO_SUCH_KEY")


def test_a_put_takes_the_place_of_what_was_there(http: Http) -> None:
    http.send("PUT", "/api/keys/key", {"type": "list", "value": ["a"], "ttl_ms": 100_000})
    got = http.send("PUT", "/api/keys/key", {"type": "list", "value": ["b"]})
    assert (got.status, got.json["created"]) == (200, False)
    assert http.get("/api/keys/key").json["value"] == ["b"]
    assert http.get("/api/keys/key").json["ttl_ms"] is None
    http.send("PUT", "/api/keys/key", {"value": "text"})
    assert http.get("/api/keys/key").json["type"] == "string"


@pytest.mark.parametrize("kind", VALUES)
def test_a_put_may_say_how_long_the_key_stays(http: Http, kind: str) -> None:
    http.send("PUT", "/api/keys/key", {"type": kind, "value": VALUES[kind], "ttl_ms": 100_000})
    assert 90_000 < http.get("/api/keys/key").json["ttl_ms"] <= 100_000


def test_a_patch_changes_the_time_left(http: Http) -> None:
    http.command("SET", "key", "value")
    assert http.send("PATCH", "/api/keys/key", {"ttl_ms": 50_000}).json["ttl_ms"] == 50_000
    assert 40_000 < http.get("/api/keys/key").json["ttl_ms"] <= 50_000
    http.send("PATCH", "/api/keys/key", {"ttl_ms": None})
    assert http.get("/api/keys/key").json["ttl_ms"] is None


def test_a_delete_says_nothing_and_the_key_is_gone(http: Http) -> None:
    http.command("SET", "key", "value")
    got = http.request("DELETE", "/api/keys/key")
    assert (got.status, got.raw) == (204, b"")
    assert http.command("EXISTS", "key") == {"result": 0}


def test_each_database_has_keys_of_its_own(http: Http) -> None:
    http.send("PUT", "/api/keys/key?db=3", {"value": "three"})
    assert http.get("/api/keys/key").status == 404
    assert http.get("/api/keys/key?db=3").json["value"] == "three"
    assert http.send("POST", "/?db=3", ["GET", "key"]).json == {"result": "three"}


@pytest.mark.parametrize(
    "body",
    [
        {}, {"value": None}, {"value": 5}, {"value": "a", "type": "stream"}, {"value": "a", "type": "x"},
        {"value": "a", "ttl_ms": 0}, {"value": "a", "ttl_ms": -5}, {"value": "a", "ttl_ms": 1.5},
        {"value": "a", "ttl_ms": "5"}, {"value": "a", "ttl_ms": True}, {"value": "a", "more": 1},
        {"value": "a", "ttl_ms": 2**53}, {"value": "not base64!", "encoding": "base64"},
        {"value": "YQ", "encoding": "base64"}, {"value": "a", "encoding": "latin-1"},
        {"value": "\ud800"}, {"value": ["a"], "type": "string"}, {"value": [], "type": "list"},
        {"value": [1], "type": "list"}, {"value": "a", "type": "set"}, {"value": {}, "type": "hash"},
        {"value": {"a": 1}, "type": "hash"}, {"value": ["a"], "type": "hash"}, {"value": [], "type": "zset"},
        {"value": [{"member": "a"}], "type": "zset"}, {"value": ["a"], "type": "zset"},
        {"value": [{"member": "a", "score": "x"}], "type": "zset"},
        {"value": [{"member": "a", "score": True}], "type": "zset"},
        {"value": [{"member": "a", "score": 1, "more": 1}], "type": "zset"}, [], "text", None,
    ],
)  # fmt: skip
def test_a_body_that_is_not_as_described_changes_nothing(http: Http, body: object) -> None:
    http.command("SET", "key", "before")
    assert http.send("PUT", "/api/keys/key", body).problem == (422, "INVALID")
    assert http.command("GET", "key") == {"result": "before"}


def test_infinite_scores_stay_text(http: Http) -> None:
    value = [{"member": "low", "score": "-inf"}, {"member": "high", "score": "inf"}]
    http.send("PUT", "/api/keys/key", {"type": "zset", "value": value})
    assert http.get("/api/keys/key").json["value"] == value


def test_bytes_that_are_no_text_come_in_base64(http: Http) -> None:
    path = key_path(b"\xff\x00/key")
    body = {"type": "hash", "value": {b64(b"\xfe"): b64(b"\x00\x01")}, "encoding": "base64"}
    put = http.send("PUT", path, body).json
    assert (put["key"], put["key_encoding"], put["href"]) == (b64(b"\xff\x00/key"), "base64", path)
    got = http.get(path).json
    assert (got["encoding"], got["value"]) == ("base64", {b64(b"\xfe"): b64(b"\x00\x01")})
    assert http.get("/api/keys").json["keys"] == [
        {"key": b64(b"\xff\x00/key"), "key_encoding": "base64", "href": path}
    ]


def test_base64_can_be_asked_for(http: Http) -> None:
    http.command("SET", "key", "text")
    got = http.get("/api/keys/key?encoding=base64").json
    assert (got["encoding"], got["value"]) == ("base64", b64(b"text"))


@settings(max_examples=60, deadline=None)
@given(key=st.binary(min_size=1, max_size=40), value=st.binary(max_size=60))
def test_any_key_and_value_can_be_put_got_listed_and_deleted(
    shared: Served, key: bytes, value: bytes
) -> None:
    http, path = shared.http, key_path(key)
    assert http.send("PUT", path, {"value": b64(value), "encoding": "base64"}).status in (200, 201)
    got = http.get(path)
    document = got.json
    decode = {"utf-8": str.encode, "base64": b64decode}[document["encoding"]]
    assert decode(document["value"]) == value
    assert document["href"] == path
    listed: list[str] = []
    cursor = "0"
    while cursor is not None:
        part = http.get(f"/api/keys?cursor={cursor}").json
        listed += [each["href"] for each in part["keys"]]
        cursor = part["cursor"]
    assert path in listed
    assert http.get(path, If_None_Match=got.headers["etag"]).status == 304
    assert http.request("DELETE", path).status == 204
    assert http.get(path).status == 404


def test_keys_are_listed_by_cursor_pattern_and_type(http: Http) -> None:
    for i in range(300):
        http_key = f"user:{i}" if i % 2 else f"other:{i}"
        http.command("SET" if i % 3 else "RPUSH", http_key, "x")
    found: set[str] = set()
    cursor = "0"
    while cursor is not None:
        part = http.get(f"/api/keys?match=user:*&type=list&count=50&cursor={cursor}").json
        found |= {each["key"] for each in part["keys"]}
        cursor = part["cursor"]
    assert found == {f"user:{i}" for i in range(300) if i % 2 and i % 3 == 0}


def test_a_pattern_may_be_any_bytes(http: Http) -> None:
    http.send("PUT", key_path(b"\xffkey"), {"value": "a"})
    http.send("PUT", key_path(b"key"), {"value": "a"})
    assert [each["href"] for each in http.get("/api/keys?match=%FF*").json["keys"]] == ["/api/keys/%FFkey"]


def test_a_tag_changes_with_the_value_and_not_with_the_time_left(http: Http) -> None:
    http.command("SET", "key", "one")
    tag = http.get("/api/keys/key").headers["etag"]
    http.command("EXPIRE", "key", 100)
    assert http.get("/api/keys/key").headers["etag"] == tag
    assert http.get("/api/keys/key", If_None_Match=tag).status == 304
    http.command("SET", "key", "two")
    assert http.get("/api/keys/key").headers["etag"] != tag
    assert http.get("/api/keys/key", If_None_Match=f'"x", {tag}').status == 200


def test_a_change_may_depend_on_the_tag(http: Http) -> None:
    http.command("SET", "key", "one")
    tag = http.get("/api/keys/key").headers["etag"]
    http.command("SET", "key", "two")
    for method, body in (("PUT", {"value": "mine"}), ("PATCH", {"ttl_ms": 5}), ("DELETE", None)):
        assert http.send(method, "/api/keys/key", body, If_Match=tag).problem == (412, "PRECONDITION_FAILED")
    assert http.get("/api/keys/key").json["value"] == "two"
    tag = http.get("/api/keys/key").headers["etag"]
    assert http.send("PUT", "/api/keys/key", {"value": "mine"}, If_Match=tag).status == 200
    assert http.request("DELETE", "/api/keys/key", headers={"If-Match": "*"}).status == 204
    assert http.request("DELETE", "/api/keys/key", headers={"If-Match": "*"}).status == 412


def test_a_put_may_ask_that_nothing_be_there(http: Http) -> None:
    create = {"If_None_Match": "*"}
    assert http.send("PUT", "/api/keys/key", {"value": "first"}, **create).status == 201
    assert http.send("PUT", "/api/keys/key", {"value": "second"}, **create).status == 412
    assert http.get("/api/keys/key").json["value"] == "first"


def test_of_many_that_change_by_tag_each_change_is_kept(served: Served) -> None:
    http = served.http
    http.send("PUT", "/api/keys/number", {"value": "0"})

    def add(times: int) -> None:
        done = 0
        while done < times:
            got = http.get("/api/keys/number")
            body = {"value": str(int(got.json["value"]) + 1)}
            done += http.send("PUT", "/api/keys/number", body, If_Match=got.headers["etag"]).status == 200

    threads = [threading.Thread(target=add, args=(15,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert http.get("/api/keys/number").json["value"] == "60"
    assert not served.context.watchers


def test_a_string_too_long_for_a_document_is_refused_and_can_be_deleted(http: Http) -> None:
    http.command("SETRANGE", "key", 9 << 20, "x")
    assert http.get("/api/keys/key").problem == (413, "TOO_LARGE")
    assert http.request("DELETE", "/api/keys/key", headers={"If-Match": "*"}).status == 204


def test_a_head_request_has_no_body(http: Http) -> None:
    http.command("SET", "key", "value")
    got = http.request("HEAD", "/api/keys/key")
    assert (got.status, got.raw) == (200, b"")
    assert int(got.headers["content-length"]) > 0


def test_out_of_memory_is_insufficient_storage(served: Served) -> None:
    wire = served.running.wire()
    wire.command("CONFIG", "SET", "maxmemory", "1")
    try:
        assert served.http.send("PUT", "/api/keys/key", {"value": "a"}).problem == (507, "OOM")
        assert served.http.send("PUT", "/api/keys/key", {"type": "set", "value": ["a"]}).problem == (
            507,
            "OOM",
        )
        error = served.http.command("SET", "key", "a")["error"]
        assert error.startswith("OOM ")
    finally:
        wire.command("CONFIG", "SET", "maxmemory", "0")
        wire.close()


def test_a_key_that_changes_its_type_while_it_is_read_is_read_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = served.http
    http.command("SET", "key", "text")
    wire = served.running.wire()
    changed = False

    def meddling(server: object, client: object, args: list[bytes]) -> object:
        nonlocal changed
        if args[0] == b"MULTI" and not changed:
            changed = True
            wire.command("DEL", "key")
            wire.command("RPUSH", "key", "a")
        return execute(server, client, args)  # type: ignore[arg-type]

    monkeypatch.setattr("rlite.engine.http.calling.execute", meddling)
    got = http.get("/api/keys/key").json
    assert changed
    assert (got["type"], got["value"]) == ("list", ["a"])
    wire.close()
