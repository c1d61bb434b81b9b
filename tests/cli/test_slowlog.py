"""`rlite slowlog tail` as people run it: in pipes and on terminals, at rlite, Redis and a Valkey of ours."""

import json
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.differential import Pair
from support.raw_replication import MasterLink, RawMaster
from support.servers import (
    Server,
    free_port,
    rlite_program,
    running,
    start_redis,
    start_rlite,
    wait_for,
)
from support.tools import ENVIRONMENT, on_terminal, rlite
from support.wire import Bulk, encode

from rlite.cli.slowlog_following import Cursor, Gap
from rlite.cli.slowlog_groups import MOST, NONE, OTHERS, Groups
from rlite.cli.slowlog_reading import Batch, Logged

STARTS = {"rlite": start_rlite, "redis": start_redis}
EITHER = pytest.mark.parametrize(
    "kind", ["rlite", pytest.param("redis", marks=pytest.mark.peer("redis-server"))]
)
LOGGING = {"slowlog-log-slower-than": "0", "slowlog-max-len": "1000", "enable-debug-command": "yes"}


class Stream:
    """A running `rlite slowlog tail` whose output is a pipe."""

    def __init__(self, *args: str | int) -> None:
        self.process = subprocess.Popen(
            [*rlite_program(), "slowlog", "tail", *map(str, args)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        self._pending = b""

    def next(self, seconds: float = 20.0) -> dict[str, Any]:
        """The next line, as the object it is."""
        deadline = time.monotonic() + seconds
        assert self.process.stdout is not None
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            assert left > 0, f"no line within {seconds} s, only {self._pending!r}"
            if select.select([self.process.stdout], [], [], left)[0]:
                more = os.read(self.process.stdout.fileno(), 65536)
                assert more, f"it has ended: {self.errors()}"
                self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def until(self, schema: str, seconds: float = 20.0) -> dict[str, Any]:
        """The next object of this schema; those before it are dropped."""
        deadline = time.monotonic() + seconds
        while (found := self.next(max(deadline - time.monotonic(), 0.001)))["schema"] != schema:
            pass
        return found

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def end(self, sig: signal.Signals = signal.SIGINT) -> tuple[int, list[dict[str, Any]]]:
        """Sends a signal; returns the exit code, and what was still printed."""
        self.process.send_signal(sig)
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, [json.loads(line) for line in (self._pending + out).splitlines()]


@contextmanager
def tailing(server: Server, *args: str | int) -> Iterator[Stream]:
    """A tail that follows a server, gone at the end of the block."""
    stream = Stream("-p", server.port, "--interval", "20ms", *args)
    try:
        yield stream
    finally:
        if stream.process.poll() is None:
            stream.process.kill()
        stream.process.communicate()


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    with running(STARTS[kind], LOGGING) as found:
        yield found


def once(server: Server, *args: str | int, code: int = 0) -> list[dict[str, Any]]:
    done = rlite("slowlog", "tail", "--once", "-p", server.port, *args)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def do(server: Server, *commands: tuple[str | int, ...]) -> None:
    with server.wire() as wire:
        for command in commands:
            wire.command(*command)


# --- what there is -----------------------------------------------------------------------------------------


@EITHER
def test_once_prints_the_last_entries_the_oldest_first(server: Server) -> None:
    do(server, *(("SET", f"k{n}", n) for n in range(15)))
    found = once(server)
    assert [each["args"] for each in found] == [["SET", f"k{n}", str(n)] for n in range(5, 15)]
    entry = found[-1]
    assert entry["schema"] == "rlite.slowlog-entry/1"
    assert (entry["type"], entry["cmd"], entry["key"]) == ("slow", "set", "k14")
    assert entry["id"] == found[-2]["id"] + 1
    assert entry["args_truncated"] is False
    assert entry["client_addr"].startswith("127.0.0.1:")
    assert entry["time"].endswith("Z")
    assert abs(entry["time_ms"] / 1000 - time.time()) < 60
    assert 0 <= entry["duration_us"] < 10_000_000
    assert len(once(server, "-n", 3)) == 3
    assert once(server, "-n", 0) == []
    assert len(once(server, "-n", 1000)) == 15


@EITHER
def test_its_own_calls_are_not_shown(server: Server) -> None:
    once(server)
    once(server)
    assert once(server, "-n", 100) == []


def test_rlite_tells_user_database_and_bytes(tmp_path: Path) -> None:
    with running(start_rlite, LOGGING) as server:
        do(server, ("CLIENT", "SETNAME", "worker"), ("SELECT", 3), ("SET", "k", "value"), ("GET", "k"))
        entry = once(server)[-1]
    assert (entry["user"], entry["db"], entry["client_name"]) == ("default", 3, "worker")
    assert entry["request_bytes"] == len(encode("GET", "k"))
    assert entry["reply_bytes"] == len(b"$5\r\nvalue\r\n")


@EITHER
def test_filters_are_by_command_client_key_and_time(server: Server) -> None:
    do(server, ("CLIENT", "SETNAME", "one"), ("SET", "user:1", "x"), ("GET", "user:1"), ("GET", "item:1"))
    do(server, ("CLIENT", "SETNAME", "two"), ("SET", "item:1", "x"), ("CONFIG", "GET", "port"))
    do(server, ("DEBUG", "SLEEP", "0.02"), ("XGROUP", "CREATE", "stream", "g", "$", "MKSTREAM"))

    def args(*options: str) -> list[str]:
        return [" ".join(each["args"]) for each in once(server, "-n", 100, *options)]

    assert args("--cmd", "get") == ["GET user:1", "GET item:1"]
    assert args("--cmd", "GET", "--cmd", "se*") == [
        "SET user:1 x",
        "GET user:1",
        "GET item:1",
        "SET item:1 x",
    ]
    assert args("--cmd", "config") == ["CONFIG GET port"]
    assert args("--cmd", "config|get") == ["CONFIG GET port"]
    assert args("--key", "user:*") == ["SET user:1 x", "GET user:1"]
    assert args("--key", "stream") == ["XGROUP CREATE stream g $ MKSTREAM"]
    assert args("--key", "item:1", "--client", "two") == ["SET item:1 x"]
    assert "DEBUG SLEEP 0.02" not in args("--client", "one")
    assert len(args("--client", "127.0.0.1")) == 9
    assert args("--min", "15ms") == ["DEBUG SLEEP 0.02"]
    assert args("--min", "1h") == []
    assert args("--cmd", "get", "-n", "1") == ["GET item:1"]


@EITHER
def test_bytes_that_are_no_text_come_escaped_and_whole(server: Server) -> None:
    with server.wire() as wire:
        wire.command("SET", b"\xff\x1b[31m", "plain")
    (entry,) = once(server)
    assert entry["key"] == "\\xff\\x1b[31m"
    assert entry["key_b64"] == "/xtbMzFt"
    assert entry["args"] == ["SET", "\\xff\\x1b[31m", "plain"]
    assert entry["args_b64"] == [None, "/xtbMzFt", None]


@EITHER
def test_cut_arguments_are_said_to_be_cut(server: Server) -> None:
    do(server, ("SET", "k", "x" * 200), ("DEL", *map(str, range(40))), ("GET", "k"))
    assert [each["args_truncated"] for each in once(server)] == [True, True, False]


def test_large_requests_and_replies_are_logs_of_their_own() -> None:
    limits = {"commandlog-request-larger-than": "1000", "commandlog-reply-larger-than": "1000"}
    with running(start_rlite, limits) as server:
        do(server, ("SET", "k", "x" * 5000), ("GET", "k"), ("SET", "small", "x" * 1000))
        requests = once(server, "--type", "large-request")
        assert [each["key"] for each in requests] == ["k", "small"]
        assert requests[0]["request_bytes"] == len(encode("SET", "k", "x" * 5000))
        assert [each["key"] for each in once(server, "--type", "large-request", "--min", "4kb")] == ["k"]
        (reply,) = once(server, "--type", "large-reply")
        assert (reply["cmd"], reply["reply_bytes"], reply["type"]) == ("get", 5009, "large-reply")
        assert once(server) == []


def test_groups_add_calls_up(pair: Pair) -> None:
    for server in (pair.ours, pair.theirs):
        do(server, ("CONFIG", "SET", "slowlog-log-slower-than", 0), ("SLOWLOG", "RESET"))
        do(server, ("CLIENT", "SETNAME", "app"), *(("GET", f"k{n % 2}") for n in range(20)))
        do(server, ("CONFIG", "SET", "slowlog-log-slower-than", 10000))
        by_command = {each["name"]: each for each in once(server, "--group-by", "command")}
        gets = by_command["get"]
        assert (gets["schema"], gets["by"], gets["calls"]) == ("rlite.slowlog-group/1", "command", 20)
        assert gets["total_us"] >= gets["max_us"] >= gets["mean_us"] >= 0
        by_key = {each["name"]: each["calls"] for each in once(server, "--group-by", "key", "--cmd", "get")}
        assert by_key == {"k0": 10, "k1": 10}
        by_client = {each["name"]: each["calls"] for each in once(server, "--group-by", "client")}
        assert by_client["app"] == 21


# --- what comes --------------------------------------------------------------------------------------------


@EITHER
def test_entries_are_printed_as_they_come(server: Server) -> None:
    do(server, ("SET", "before", 1))
    with tailing(server, "-n", 1) as tail:
        assert tail.next()["key"] == "before"
        for n in range(3):
            do(server, ("SET", f"k{n}", n))
            assert tail.next()["key"] == f"k{n}"
        code, rest = tail.end()
    assert (code, rest) == (130, [])


@EITHER
def test_every_entry_comes_once_or_is_said_to_be_lost(server: Server) -> None:
    do(server, ("CONFIG", "SET", "slowlog-max-len", 8), ("SLOWLOG", "RESET"))
    do(server, ("GET", "first"))
    with tailing(server) as tail:
        while tail.next()["key"] != "first":
            pass
        with server.wire() as wire:  # far more at once than the log holds
            for _ in range(5):
                wire.send_raw(b"".join(encode("SET", "k", n) for n in range(200)))
                for _ in range(200):
                    wire.read_reply()
            wire.command("GET", "last")
        seen: list[int] = []
        lost = 0
        while True:
            found = tail.next()
            if found["schema"] == "rlite.slowlog-gap/1":
                assert found["restarted"] is False
                assert found["missed"] == found["last_id"] - found["first_id"] + 1
                lost += found["missed"]
                if seen:
                    assert found["first_id"] == seen[-1] + 1
                seen.append(found["last_id"])
            else:
                if seen:
                    assert found["id"] == seen[-1] + 1
                seen.append(found["id"])
                if found["key"] == "last":
                    break
    assert lost > 0


@EITHER
def test_a_restart_is_said_and_followed(kind: str, tmp_path: Path) -> None:
    port = free_port()

    def start(name: str) -> Server:
        (tmp_path / name).mkdir()
        found = STARTS[kind](tmp_path / name, {**LOGGING, "port": str(port)})
        found.port = port
        return found

    first, second = start("first"), None
    try:
        do(first, ("SET", "old", 1))
        with tailing(first, "-t", "5") as tail:
            old = tail.next()
            assert old["key"] == "old"
            first.kill9()
            first.wait_ended()
            second = start("second")
            do(second, ("SET", "new", 1))
            gap = tail.until("rlite.slowlog-gap/1")
            assert gap["restarted"] is True
            new = tail.until("rlite.slowlog-entry/1")
            while new["key"] != "new":
                new = tail.until("rlite.slowlog-entry/1")
            assert new["run_id"] == gap["run_id"] != old["run_id"]
            tail.process.send_signal(signal.SIGINT)
            _, errors = tail.process.communicate(timeout=20)
        assert b"connected again" in errors
    finally:
        for each in filter(None, (first, second)):
            if each.is_running():
                each.kill9()


@EITHER
def test_a_reset_loses_nothing_that_comes_later(server: Server) -> None:
    with tailing(server) as tail:
        do(server, ("SET", "a", 1))
        assert tail.next()["key"] == "a"
        do(server, ("SLOWLOG", "RESET"), ("SET", "b", 1))
        keys = []
        while "b" not in keys:
            found = tail.next()
            keys.append(found.get("key"))


def readings(server: Server) -> int:
    """How often a server's log was read so far."""
    with server.wire() as wire:
        reply = wire.command("INFO", "commandstats")
    assert isinstance(reply, Bulk)
    found = re.search(rb"cmdstat_commandlog\|entries:calls=(\d+)", reply.data)
    return int(found[1]) if found else 0


def test_groups_are_printed_when_the_command_is_ended() -> None:
    with running(start_rlite, LOGGING) as server:
        do(server, *(("SET", "k", n) for n in range(5)))
        with tailing(server, "--group-by", "key", "--every", "1h") as tail:
            assert tail.next()["calls"] == 5
            do(server, ("SET", "k", "x"))
            before = readings(server)
            wait_for(lambda: readings(server) >= before + 2, "two readings")
            code, printed = tail.end()
    assert code == 130
    assert {each["name"]: each["calls"] for each in printed}["k"] == 6


def test_groups_are_printed_from_time_to_time() -> None:
    with (
        running(start_rlite, LOGGING) as server,
        tailing(server, "--group-by", "command", "--every", "50ms") as tail,
    ):
        do(server, ("SET", "k", 1))
        found = tail.until("rlite.slowlog-group/1")
        do(server, ("GET", "k"))
        while found["name"] != "get":
            found = tail.next()
    assert found["calls"] == 1


def test_it_ends_when_nobody_reads_it_though_nothing_comes() -> None:
    with running(start_rlite) as server, tailing(server) as tail:
        assert tail.process.stdout is not None
        tail.process.stdout.close()
        assert tail.process.wait(timeout=20) == 141
        tail.process.stdout = None


# --- on a terminal -----------------------------------------------------------------------------------------


def test_people_get_lines_and_are_told_what_is_logged() -> None:
    with running(start_rlite, LOGGING) as server:
        with server.wire() as wire:
            wire.command("CLIENT", "SETNAME", "app")
            wire.command("SET", b"k\x1b[31m", "two words")
        with on_terminal("slowlog", "tail", "-p", server.port, "--interval", "20ms") as terminal:
            terminal.wait_for(b"logs calls from 0 us on")
            terminal.wait_for(b"(app)")
            terminal.wait_for(b"k\\x1b[31m")
            do(server, ("CONFIG", "SET", "slowlog-max-len", 2), ("DEBUG", "SLEEP", "0.03"))
            terminal.wait_for(b" ms  ")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 130
        assert b"\x1b[31m" not in terminal.shown


def test_a_table_of_groups_is_printed_for_people() -> None:
    with running(start_rlite, LOGGING) as server:
        do(server, *(("GET", f"k{n}") for n in range(30)))
        done = rlite("slowlog", "tail", "-p", server.port, "--once", "--group-by", "key", "-o", "text")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["key", "calls", "in", "all", "mean", "largest", "last"]
    assert "and 10 more" in lines
    assert done.returncode == 0


# --- what goes wrong ---------------------------------------------------------------------------------------


def test_nobody_there_is_an_exit_code_of_3() -> None:
    done = rlite("slowlog", "tail", "-p", free_port())
    assert (done.returncode, done.stdout) == (3, "")
    assert "Connection refused" in done.stderr


def test_a_password_is_needed_and_used() -> None:
    with running(start_rlite, {**LOGGING, "requirepass": "secret"}) as server:
        done = rlite("slowlog", "tail", "--once", "-p", server.port)
        assert done.returncode == 3
        assert "NOAUTH" in done.stderr
        done = rlite("slowlog", "tail", "--once", "-p", server.port, environment={"REDISCLI_AUTH": "secret"})
        assert done.returncode == 0
        assert "secret" not in done.stdout


@pytest.mark.peer("redis-server")
def test_a_log_that_a_server_does_not_have_is_named() -> None:
    with running(start_redis) as server:
        done = rlite("slowlog", "tail", "-p", server.port, "--type", "large-reply")
    assert done.returncode == 3
    assert "no large-reply log" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--min", "10"], "10' is no length of time"),
        (["--min", "ten ms"], "is no length of time"),
        (["--min", "10ms", "--type", "large-reply"], "is no size"),
        (["--interval", "0s"], "--interval"),
        (["--every", "1us"], "--every"),
        (["--group-by", "user"], "--group-by"),
        (["-n", "-1"], "-n"),
        (["--type", "fast"], "--type"),
    ],
)
def test_bad_options_are_named(options: list[str], said: str) -> None:
    done = rlite("slowlog", "tail", *options)
    assert done.returncode == 2
    assert said in done.stderr


# --- Valkey ------------------------------------------------------------------------------------------------


class Valkey:
    """As much of a Valkey as the command asks for."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []  # the newest first
        self.asked: list[tuple[bytes, ...]] = []
        self._lock = threading.Lock()

    def log(self, number: int) -> None:
        parts = [encode("HGETALL", f"h{number}"), encode("127.0.0.1:1")[4:], encode("name")[4:]]
        with self._lock:
            self.entries.insert(0, b"*6\r\n:%d\r\n:1700000000\r\n:%d\r\n%b%b%b" % (number, 5000, *parts))

    def serve(self, link: MasterLink) -> None:
        while True:
            words = link.command()
            self.asked.append(words)
            match [word.upper() for word in words]:
                case [b"COMMANDLOG", b"ENTRIES", *_]:
                    link.send(b"-ERR unknown subcommand 'ENTRIES'. Try COMMANDLOG HELP.\r\n")
                case [b"COMMANDLOG", b"LEN", _]:
                    link.send(b":%d\r\n" % len(self.entries))
                case [b"COMMANDLOG", b"GET", count, _]:
                    with self._lock:
                        found = self.entries[: int(count)]
                    link.send(b"*%d\r\n%b" % (len(found), b"".join(found)))
                case [b"INFO", *_]:
                    text = b"# Server\r\nredis_version:7.2.4\r\nrun_id:" + b"a" * 40 + b"\r\n"
                    link.send(b"$%d\r\n%b\r\n" % (len(text), text))
                case [b"COMMAND", *_]:
                    link.send(b"*1\r\n*6\r\n$7\r\nhgetall\r\n:2\r\n*0\r\n:1\r\n:1\r\n:1\r\n")
                case _:
                    link.send(b"+OK\r\n")


def test_valkeys_logs_are_read_as_far_back_as_is_needed() -> None:
    valkey = Valkey()
    for number in range(5):
        valkey.log(number)
    with RawMaster(valkey.serve) as master:
        port = int(master.address[1])
        stream = Stream("-p", port, "--type", "large-reply", "--interval", "20ms", "-n", "2")
        try:
            assert [stream.next()["id"] for _ in range(2)] == [3, 4]
            for number in range(5, 105):
                valkey.log(number)
            found = [stream.next() for _ in range(100)]
        finally:
            stream.process.kill()
            stream.process.communicate()
    assert [each["id"] for each in found] == list(range(5, 105))
    assert found[-1]["key"] == "h104"
    assert (found[-1]["reply_bytes"], found[-1]["duration_us"]) == (5000, None)
    counts = {int(words[2]) for words in valkey.asked if words[1:2] == (b"GET",)}
    assert counts & {128}


# --- in small ----------------------------------------------------------------------------------------------


def call(number: int, value: int = 10, key: bytes | None = b"k", client: bytes = b"h:1") -> Logged:
    return Logged(number, 1000 * number, value, "get", (b"GET",), False, client, b"", key)


def batch(*ids: int, run: str = "a", next_id: int | None = None) -> Batch:
    return Batch(run, max(ids, default=-1) + 1 if next_id is None else next_id, tuple(map(call, ids)))


def test_the_cursor_moves_from_id_to_id() -> None:
    cursor = Cursor()
    assert cursor.advance(batch(7, 8)) == ((call(7), call(8)), None)  # what was before is no gap
    assert cursor.since("a") == 8
    assert cursor.advance(batch(9)) == ((call(9),), None)
    assert cursor.advance(batch(next_id=10)) == ((), None)
    assert cursor.advance(batch(12, 13)) == ((call(12), call(13)), Gap(10, 11))
    assert cursor.advance(batch(next_id=20)) == ((), Gap(14, 19))
    assert cursor.since("b") == -1
    assert cursor.advance(batch(3, 4, run="b")) == ((call(3), call(4)), Gap(0, 2, restarted=True))
    assert cursor.advance(batch(5, run="b")) == ((call(5),), None)


def test_a_restart_without_a_gap_is_told_all_the_same() -> None:
    cursor = Cursor("a", 5)
    entries, gap = cursor.advance(batch(0, run="b"))
    assert (len(entries), gap) == (1, Gap(0, -1, restarted=True))
    assert gap is not None
    assert gap.missed == 0
    assert cursor.since("b") == 0


def test_groups_beyond_the_most_are_counted_together() -> None:
    groups = Groups("key")
    groups.add(call(n, key=b"%d" % n) for n in range(MOST + 5))
    groups.add([call(1, key=None), call(1, value=1_000_000, key=b"0")])
    found = {each.name: each for each in groups.sorted()}
    assert found[OTHERS].calls == 6  # the one without a key, too
    assert groups.sorted()[0].name == b"0"
    assert NONE not in found


def test_clients_are_put_together_by_address_without_port() -> None:
    groups = Groups("client")
    groups.add([call(1, client=b"10.0.0.1:1"), call(2, client=b"10.0.0.1:2"), call(3, client=b"")])
    assert {each.name: each.calls for each in groups.sorted()} == {b"10.0.0.1": 2, NONE: 1}
