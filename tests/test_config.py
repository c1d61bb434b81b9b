"""Typed values of directives, CONFIG's rules, and the same said by the real server."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.servers import Server as Process
from support.servers import running, start_redis
from support.wire import Err, Wire

from rlite.engine import errors, values
from rlite.engine.config import Config, ConfigErrors, parse_memory
from rlite.engine.directives import BY_NAME, DIRECTIVES, Support
from rlite.engine.errors import CommandError
from rlite.engine.server import Server


@pytest.fixture
def ours() -> Iterator[Wire]:
    server = Server(Config(port=0, bind="127.0.0.1", io_threads=1, save=""))
    server.start()
    wire = Wire(("127.0.0.1", server.port))
    yield wire
    wire.close()
    server.stop()


# --- the table ---


@pytest.mark.parametrize("name", DIRECTIVES)
def test_a_default_reads_back(name: str) -> None:
    row = DIRECTIVES[name]
    value = values.default(row)
    for words in values.lines(row, value):
        if row.kind.name != "LIMITS":
            assert values.parse(row, words) == value
    assert row.help.endswith(".")
    if row.support is Support.REFUSED:
        assert row.reason


# --- memory ---


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1k", 1000), ("1kb", 1024), ("2M", 2_000_000), ("1Mb", 1 << 20), ("3g", 3 * 10**9),
     ("1GB", 1 << 30), ("7b", 7), ("18446744073709551616", 2**64 - 1)],
)  # fmt: skip
def test_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["-1", "1.5g", "1e3", "mb", "1 mb", "1tb", "100mbx", "+1", "\u0661"])
def test_not_memory(text: str) -> None:
    with pytest.raises(ValueError, match=errors.CONFIG_NOT_MEMORY):
        parse_memory(text)


@given(st.integers(0, 2**32), st.sampled_from(sorted(values.UNITS)))
def test_any_memory(number: int, unit: str) -> None:
    assert parse_memory(f"{number}{unit.upper()}") == number * values.UNITS[unit]


# --- Config ---


def test_values_are_typed() -> None:
    config = Config(
        port=0, maxmemory="1mb", protected_mode=False, bind=["127.0.0.1", "-::1"], unixsocketperm="700"
    )
    assert config["maxmemory"] == config.int("maxmemory") == 1 << 20
    assert config.flag("protected-mode") is False
    assert config["bind"] == ["127.0.0.1", "-::1"]
    assert config["unixsocketperm"] == 0o700
    assert config.text("unixsocketperm") == "700"
    assert config.origin("port") == "argument"
    assert config.origin("timeout") == "default"
    assert 1 <= config.int("io-threads") <= 8
    assert config.text("dir").endswith("rlite")


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        Config(prt=1, timeout="x", cluster_enabled=True, lock_stripes=3)
    told = {problem.directive: str(problem) for problem in caught.value.problems}
    assert set(told) == {"prt", "timeout", "cluster-enabled", "lock-stripes"}
    assert "did you mean port?" in told["prt"]
    assert "power of two" in told["lock-stripes"]
    assert "cluster mode" in told["cluster-enabled"]


def test_notes_name_what_has_no_effect() -> None:
    assert Config().notes == []
    assert Config(activedefrag=True, timeout=3).notes == ["activedefrag yes"]


def test_notes_keep_secrets() -> None:
    assert Config(tls_key_file_pass="s3cret").notes == ["tls-key-file-pass"]


def test_an_alias_is_the_same_directive() -> None:
    config = Config(hash_max_ziplist_entries=7)
    assert config["hash-max-listpack-entries"] == config["hash-max-ziplist-entries"] == 7


def test_set_is_all_or_nothing() -> None:
    config = Config()
    with pytest.raises(CommandError):
        config.set_many([(b"timeout", b"5"), (b"maxclients", b"0")])
    assert config["timeout"] == 0
    assert config.origin("timeout") == "default"


def test_a_listener_may_undo_a_change() -> None:
    config = Config()
    heard: list[object] = []

    def refuse(value: object) -> None:
        raise CommandError("ERR not today")

    config.subscribe("timeout", heard.append)
    config.subscribe("maxclients", refuse)
    with pytest.raises(CommandError) as caught:
        config.set_many([(b"timeout", b"5"), (b"maxclients", b"9")])
    assert caught.value.text == errors.CONFIG_SET_FAILED % ("maxclients", "not today")
    assert heard == [5, 0]
    assert (config["timeout"], config["maxclients"]) == (0, 1000)


def test_protected_directives_ask_where_the_client_is() -> None:
    config = Config(enable_protected_configs="local")
    config.set_many([(b"dbfilename", b"x")], local=True)
    with pytest.raises(CommandError, match="protected"):
        config.set_many([(b"dbfilename", b"y")], local=False)
    assert config["dbfilename"] == "x"


def test_threads_that_set_different_directives_lose_nothing() -> None:
    config = Config()

    def work(name: bytes) -> None:
        for number in range(200):
            config.set_many([(name, b"%d" % number)])

    threads = [
        threading.Thread(target=work, args=(name,))
        for name in (b"timeout", b"tcp-keepalive", b"lfu-decay-time")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [config["timeout"], config["tcp-keepalive"], config["lfu-decay-time"]] == [199, 199, 199]


# --- the command ---


def test_a_change_takes_effect(ours: Wire) -> None:
    ours.command("SET", "key", "value")
    assert not isinstance(ours.command("CONFIG", "SET", "maxmemory", "1", "timeout", "100"), Err)
    assert isinstance(ours.command("SET", "key", "value"), Err)
    ours.command("CONFIG", "SET", "maxmemory", "0", "proto-max-bulk-len", "1mb")
    assert not isinstance(ours.command("SET", "key", "value"), Err)
    # Announced and not sent: closing on unread bytes would reset the connection, and lose the reply.
    ours.send_raw(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1048577\r\n")
    assert isinstance(ours.read_reply(), Err)


def test_an_idle_client_is_disconnected(ours: Wire) -> None:
    ours.command("CONFIG", "SET", "timeout", "1")
    assert ours.is_closed(timeout=10)


def test_a_password_binds_new_clients(ours: Wire) -> None:
    ours.command("CONFIG", "SET", "requirepass", "secret")
    assert not isinstance(ours.command("GET", "key"), Err)
    with Wire(ours.socket.getpeername()) as other:
        assert isinstance(other.command("GET", "key"), Err)
        ours.command("CONFIG", "SET", "requirepass", "")
        assert not isinstance(other.command("GET", "key"), Err)


def test_renamed_commands() -> None:
    server = Server(Config(port=0, bind="127.0.0.1", io_threads=1, save="", rename_command=["GET", "fetch"]))
    server.start()
    wire = Wire(("127.0.0.1", server.port))
    try:
        wire.command("SET", "key", "value")
        assert isinstance(wire.command("GET", "key"), Err)
        assert not isinstance(wire.command("FETCH", "key"), Err)
    finally:
        wire.close()
        server.stop()


@pytest.mark.parametrize("pair", ["NOSUCH x", "GET set"])
def test_a_rename_that_makes_no_sense(pair: str) -> None:
    with pytest.raises(ConfigErrors):
        Server(Config(port=0, rename_command=pair))


# Requests both servers refuse or grant in the same words. What differs on purpose is not here: port and bind.
REQUESTS = [
    "SET foo bar", "SET maxmemory abc", "SET maxmemory -1", "SET timeout -1", "SET Timeout -1",
    "SET timeout 007", "SET timeout 9999999999999999999999", "SET hz abc", "SET hz 0", "SET hz 0 foo 1",
    "SET appendonly maybe", "SET maxmemory-policy x", "SET maxmemory-policy ALLKEYS-LRU", "SET loglevel x",
    "SET databases 3", "SET timeout 1 timeout 2", "SET maxmemory-clients 200%", "SET maxmemory-clients x",
    "SET maxmemory-clients 5%", "SET dir /", "SET save abc", "SET save 1",
    "SET client-output-buffer-limit abc", "SET requirepass a b", "SET oom-score-adj-values abc",
    "SET unixsocketperm 888", "SET maxclients 0", "SET maxmemory 1e3", "SET proto-max-bulk-len 1",
    "SET client-query-buffer-limit 1", "SET lfu-log-factor -1", "SET include x",
    "SET maxmemory-eviction-tenacity 101", "SET enable-debug-command yes", "SET rename-command a",
    "SET user x", "SET slowlog-log-slower-than -2", "SET list-max-listpack-size abc",
    "SET list-max-listpack-size 99999999999", "SET latency-tracking-info-percentiles 101",
    "SET latency-tracking-info-percentiles x", "SET loadmodule x", "SET cluster-enabled yes",
    "SET hash-max-ziplist-entries 10", "SET maxmemory 100mbx", "SET maxmemory 100mb",
    "SET maxmemory-samples 0", "SET repl-backlog-size 0", "SET stream-node-max-entries -1",
    "SET replicaof a", "SET slaveof a", "SET io-threads 2", "SET active-defrag-cycle-min 100",
    "SET timeout", "SET", "GET", "foo", "RESETSTAT x", "RESETSTAT", "HELP x", "GET timeout",
    "GET save hash-max-ziplist-e*", "GET TIMEOUT nothing", "SET notify-keyspace-events ", "GET maxmemory*",
    "GET latency-tracking-info-percentiles", "GET client-out*",
]  # fmt: skip
VALUES = [
    ("save", "60 1 30 2"), ("save", ""), ("save", "0 1"), ("save", "1 2 3"), ("save", '"1 2"'),
    ("save", "'open"),
    ("client-output-buffer-limit", "normal 1mb 2 3"), ("client-output-buffer-limit", "normal 1 2 abc"),
    ("client-output-buffer-limit", "norma 1 2 3"),
    ("client-output-buffer-limit", "replica 1k 2 3 pubsub 0 0 0"),
    ("latency-tracking-info-percentiles", ""), ("latency-tracking-info-percentiles", "50 99.99 100"),
    ("oom-score-adj-values", "1 2 3"), ("oom-score-adj-values", "3 2 1000000"), ("masterauth", "a b"),
]  # fmt: skip


def same_pairs(reply: object) -> object:
    items = getattr(reply, "items", None)
    if isinstance(items, (list, tuple)) and len(items) % 2 == 0:
        return sorted(map(str, zip(items[::2], items[1::2], strict=True)))
    return reply


@pytest.mark.peer("redis-server")
def test_the_words_of_the_real_server(ours: Wire) -> None:
    with running(start_redis) as peer:
        theirs = peer.wire()
        ours.command("CONFIG", "SET", "save", "")
        for request in REQUESTS:
            words = request.split(" ")
            got, wanted = ours.command("CONFIG", *words), theirs.command("CONFIG", *words)
            assert same_pairs(got) == same_pairs(wanted), request
        for name, value in VALUES:
            got, wanted = (wire.command("CONFIG", "SET", name, value) for wire in (ours, theirs))
            assert got == wanted, (name, value)
            got, wanted = (wire.command("CONFIG", "GET", name) for wire in (ours, theirs))
            assert got == wanted, (name, value)


# Where our default or our answer is another one on purpose.
OWN = frozenset(
    "port bind dir unixsocket logfile pidfile maxclients io-threads save enable-debug-command".split()  # noqa: SIM905
) | {"repl-backlog-size"}


@pytest.mark.peer("redis-server")
def test_the_directives_of_the_real_server(redis_peer: Process) -> None:
    items = getattr(redis_peer.wire().command("CONFIG", "GET", "*"), "items", [])
    theirs = {
        name.data.decode(): value.data.decode() for name, value in zip(items[::2], items[1::2], strict=True)
    }
    assert len(theirs) > 150
    assert set(theirs) - set(BY_NAME) == set()
    shown = Config().match([b"*"])
    differing = {name: (shown[name], value) for name, value in theirs.items() if shown[name] != value}
    assert set(differing) <= OWN


@pytest.mark.parametrize("name", ["appendfilename", "appenddirname", "dbfilename"])
@pytest.mark.parametrize("value", ["a/b", "..", ""])
def test_the_name_of_a_file_is_no_path(name: str, value: str) -> None:
    with pytest.raises(ConfigErrors, match="can't be a path, just a filename"):
        Config(**{name: value})
