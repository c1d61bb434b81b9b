"""Commands over HTTP: the SDK that many use, and what it does not show."""

import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.http import Http, Served, serving
from support.servers import wait_for
from support.wire import Array, Bulk, Err, Int
from upstash_redis import Redis
from upstash_redis.errors import UpstashError

from rlite.engine.commands import declare_all
from rlite.engine.commands.declare import REGISTRY
from rlite.engine.http.calling import OF_A_CONNECTION

BASE64 = {"Upstash_Encoding": "base64"}


@pytest.fixture
def redis(served: Served) -> Iterator[Redis]:
    with Redis(url=f"http://127.0.0.1:{served.http.port}", token="any") as redis:
        yield redis


def test_the_sdk_reads_and_writes_values_of_each_type(redis: Redis) -> None:
    assert redis.set("key", "wert, é, 🂡", ex=100) is True
    assert redis.get("key") == "wert, é, 🂡"
    assert 90 < redis.ttl("key") <= 100
    assert redis.get("none") is None
    assert redis.rpush("list", "a", "b") == 2
    assert redis.lrange("list", 0, -1) == ["a", "b"]
    assert redis.hset("hash", values={"a": 1, "b": "two"}) == 2
    assert redis.hgetall("hash") == {"a": "1", "b": "two"}
    assert redis.zadd("zset", {"a": 1.5, "b": 2}) == 2
    assert redis.zrange("zset", 0, -1, withscores=True) == [("a", 1.5), ("b", 2.0)]
    assert redis.sadd("set", "a", "b") == 2
    assert set(redis.smembers("set")) == {"a", "b"}
    assert redis.incr("n") == 1
    assert redis.incrbyfloat("f", 0.5) == 0.5
    assert redis.xadd("stream", "1-1", {"field": "value"}) == "1-1"
    assert redis.eval("return {KEYS[1], ARGV[1], 3}", keys=["k"], args=["a"]) == ["k", "a", 3]
    assert redis.mget("key", "none") == ["wert, é, 🂡", None]
    assert redis.delete("key", "none") == 1
    cursor, keys = redis.scan(0)
    assert (int(cursor), set(keys)) == (0, {"list", "hash", "zset", "set", "n", "f", "stream"})


def test_the_sdk_hears_errors_by_their_text(redis: Redis) -> None:
    redis.set("key", "text")
    with pytest.raises(UpstashError, match="WRONGTYPE"):
        redis.lpush("key", "a")


def test_the_sdks_pipeline_and_transaction_answer_each_command(redis: Redis) -> None:
    pipeline = redis.pipeline()
    pipeline.set("a", 1).incr("a").get("a").exists("a", "b")
    assert pipeline.exec() == [True, 2, "2", 1]
    transaction = redis.multi()
    transaction.set("b", 5).incr("b").lrange("none", 0, -1)
    assert transaction.exec() == [True, 6, []]


def test_the_sdk_gives_its_token() -> None:
    with serving(http_token="secret") as served:
        url = f"http://127.0.0.1:{served.http.port}"
        with Redis(url=url, token="secret") as redis:
            assert redis.set("key", "value") is True
        with Redis(url=url, token="wrong") as redis, pytest.raises(UpstashError, match="UNAUTHORIZED"):
            redis.get("key")


def test_numbers_reach_the_command_as_they_were_written(http: Http) -> None:
    body = b'["RPUSH", "key", 1, 1.50, 1e3, -0, 12345678901234567890123, true, false]'
    got = http.request("POST", "/", body, {"Content-Type": "application/json"})
    assert got.json == {"result": 7}
    assert http.command("LRANGE", "key", 0, -1)["result"] == [
        "1", "1.50", "1e3", "-0", "12345678901234567890123", "true", "false",
    ]  # fmt: skip


def test_strings_come_in_base64_when_asked_for_but_for_ok(http: Http) -> None:
    assert http.command("SET", "key", "OK", **BASE64) == {"result": "OK"}
    assert http.command("GET", "key", **BASE64) == {"result": b64encode(b"OK").decode()}
    assert http.command("PING", **BASE64) == {"result": b64encode(b"PONG").decode()}
    assert http.command("STRLEN", "key", **BASE64) == {"result": 2}
    assert http.command("GET", "none", **BASE64) == {"result": None}


def test_bytes_that_are_no_text_are_marked_unless_base64_is_asked_for(http: Http) -> None:
    http.command("EVAL", "return redis.call('SET', KEYS[1], '\\255a')", 1, "key")
    assert http.command("GET", "key") == {"result": "\ufffda"}
    assert http.command("GET", "key", **BASE64) == {"result": b64encode(b"\xffa").decode()}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_any_text_comes_back_as_it_was_sent(shared: Served, texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    shared.http.command("DEL", "texts")
    assert shared.http.command("RPUSH", "texts", *texts) == {"result": len(texts)}
    assert shared.http.command("LRANGE", "texts", 0, -1) == {"result": texts}


def test_what_needs_a_connection_or_waits_is_refused_before_it_does_anything(http: Http) -> None:
    http.command("RPUSH", "list", "a")
    waiting = (
        "BLPOP list 0", "BRPOPLPUSH list other 1", "BLMOVE list other LEFT LEFT 0",
        "XREAD BLOCK 0 STREAMS s $", "WAIT 1 0", "BZPOPMIN z 0",
    )  # fmt: skip
    for line in waiting:
        assert "cannot be used over HTTP" in http.command(*line.split())["error"], line
    connected = (
        "MULTI", "SELECT 1", "SUBSCRIBE a", "MONITOR", "CLIENT REPLY OFF", "WATCH list", "HELLO 3", "AUTH a",
        "PSYNC ? -1", "client setname a",
    )  # fmt: skip
    for line in connected:
        assert "HTTP has none that lasts" in http.command(*line.split())["error"], line
    assert http.command("LRANGE", "list", 0, -1) == {"result": ["a"]}
    assert http.command("CLIENT", "LIST")["result"] == ""


def test_the_names_of_what_needs_a_connection_are_those_of_commands() -> None:
    declare_all()
    assert set(OF_A_CONNECTION) <= set(REGISTRY)


def test_no_command_that_may_wait_does_so(served: Served) -> None:
    """Each command with that flag, as one would call it."""
    declare_all()
    for name, command in REGISTRY.items():
        if "blocking" in command.flags:
            arguments = {"XREAD": ["BLOCK", 0, "STREAMS", "s", "$"],
                         "XREADGROUP": ["GROUP", "g", "c", "block", 0, "STREAMS", "s", ">"]}  # fmt: skip
            given_ = arguments.get(name, ["a"] * (abs(command.arity) - 1))
            assert "over HTTP" in served.http.command(name, *given_)["error"], name
    assert not served.context.blocked


def test_reading_a_stream_without_waiting_is_allowed(http: Http) -> None:
    http.command("XADD", "s", "1-1", "f", "v")
    assert http.command("XREAD", "STREAMS", "s", "0") == {"result": [["s", [["1-1", ["f", "v"]]]]]}


def test_unknown_commands_and_wrong_counts_of_arguments_are_told_as_over_resp(served: Served) -> None:
    wire = served.running.wire()
    for args in (
        ["NONSENSE", "a"],
        ["GET"],
        ["CONFIG", "NONSENSE"],
        ["OBJECT"],
        ["POST", "/"],
        ["HOST:", "a"],
    ):
        error = served.http.command(*args)["error"]
        assert error.startswith("ERR ")
        if args[0] not in ("POST", "HOST:"):  # over RESP those end the connection
            assert wire.command(*args) == Err(error.encode())
    wire.close()


def test_a_refused_command_leaves_a_transaction_undone(http: Http) -> None:
    for bad in (["GET"], ["NONSENSE"], ["BLPOP", "a", 0], ["MULTI"], ["CONFIG", "NONSENSE"]):
        got = http.send("POST", "/multi-exec", [["SET", "key", "value"], bad])
        assert got.status == 400
        assert "error" in got.json
    assert http.command("EXISTS", "key") == {"result": 0}


def test_an_error_within_a_transaction_leaves_the_others_done(http: Http) -> None:
    got = http.send("POST", "/multi-exec", [["SET", "key", "a"], ["INCR", "key"], ["GET", "key"]])
    assert got.status == 200
    assert got.json[0] == {"result": "OK"}
    assert "not an integer" in got.json[1]["error"]
    assert got.json[2] == {"result": "a"}


def test_nothing_to_do_is_done(http: Http) -> None:
    assert http.send("POST", "/pipeline", []).json == []
    assert http.send("POST", "/multi-exec", []).json == []


def test_a_transaction_is_one(served: Served) -> None:
    """Nobody sees the two halves apart."""
    stop = threading.Event()
    torn: list[object] = []

    def watch() -> None:
        wire = served.running.wire()
        while not stop.is_set():
            pair = wire.command("MGET", "one", "two")
            assert isinstance(pair, Array)
            if pair.items[0] != pair.items[1]:
                torn.append(pair)
        wire.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(100):
        assert served.http.send("POST", "/multi-exec", [["INCR", "one"], ["INCR", "two"]]).status == 200
    stop.set()
    watcher.join()
    assert not torn


def test_changes_over_http_are_seen_and_heard_over_resp(served: Served) -> None:
    blocked, listener = served.running.wire(), served.running.wire()
    listener.command("SUBSCRIBE", "news")
    blocked.send("BLPOP", "list", "10")
    wait_for(lambda: bool(served.context.blocked), "a client that waits")
    assert served.http.command("RPUSH", "list", "a") == {"result": 1}
    assert blocked.read_reply() == Array((Bulk(b"list"), Bulk(b"a")))
    assert served.http.command("PUBLISH", "news", "hello") == {"result": 1}
    assert listener.read_reply() == Array((Bulk(b"message"), Bulk(b"news"), Bulk(b"hello")))
    blocked.close()
    listener.close()


def test_a_pause_holds_writes_up_and_not_reads(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = served.running.wire()
    wire.command("CLIENT", "PAUSE", "100000", "WRITE")
    monkeypatch.setattr("rlite.engine.http.calling.PAUSE_SECONDS", 0.05)
    assert served.http.command("GET", "key") == {"result": None}
    assert served.http.command("SET", "key", "a")["error"].startswith("PAUSED ")
    assert served.http.send("PUT", "/api/keys/key", {"value": "a"}).problem == (503, "PAUSED")
    assert served.http.send("POST", "/multi-exec", [["SET", "key", "a"]]).status == 400
    assert wire.command("EXISTS", "key") == Int(0)
    monkeypatch.setattr("rlite.engine.http.calling.PAUSE_SECONDS", 20)
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(served.http.command("SET", "key", "a")))
    thread.start()
    wire.command("CLIENT", "UNPAUSE")
    thread.join()
    assert done == [{"result": "OK"}]
    wire.close()


def test_a_slow_script_has_others_told_busy_and_probes_go_on() -> None:
    with serving(busy_reply_threshold=50) as served:
        http = served.http
        results: list[object] = []
        script = threading.Thread(target=lambda: results.append(http.command("EVAL", "while true do end", 0)))
        script.start()
        wait_for(lambda: served.context.scripts.slow, "a slow script")
        assert http.get("/livez").status == 200
        assert http.get("/api/info?section=server").status == 200
        assert http.command("GET", "key")["error"].startswith("BUSY ")
        assert http.get("/api/keys/key").problem == (503, "BUSY")
        assert http.command("SCRIPT", "KILL") == {"result": "OK"}
        script.join()
        assert "error" in results[0]  # type: ignore[operator]


def test_a_long_command_keeps_nobody_of_resp_waiting(served: Served) -> None:
    wire = served.running.wire()
    served.http.send("POST", "/pipeline", [["RPUSH", "list", *(["x" * 100] * 1000)] for _ in range(40)])
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            served.http.command("LRANGE", "list", 0, -1)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for each in threads:
        each.start()
    took = []
    for _ in range(300):
        started = time.perf_counter()
        wire.command("GET", "key")
        took.append(time.perf_counter() - started)
    stop.set()
    for each in threads:
        each.join()
    assert sorted(took)[len(took) // 2] < 0.05
    wire.close()


def test_a_shutdown_over_http_ends_the_server() -> None:
    with serving() as served:
        with suppress(OSError):  # it may be gone before it could answer
            served.http.command("SHUTDOWN", "NOSAVE")
        assert served.running.server.stopped.wait(10)


def test_what_is_written_over_http_is_in_the_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("data")
    kept = {"dir": str(directory), "appendonly": True, "appendfsync": "always"}
    with serving(**kept) as served:
        assert served.http.send("PUT", "/api/keys/key", {"value": "a"}).status == 201
        assert served.http.command("INCR", "n") == {"result": 1}
    with serving(**kept) as served:
        assert served.http.send("POST", "/", ["MGET", "key", "n"]).json == {"result": ["a", "1"]}
