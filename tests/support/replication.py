"""Pairs of a master and its replica, ours or the real one, and the questions that tests ask of them.

A node's kind is "rlite" or "redis". With RLITE_TEST_STAND_IN=redis every node is redis-server, which is how
these tests are themselves checked.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from support.load import Load
from support.servers import Server, running, start_redis, start_rlite, wait_for
from support.wire import Array, Bulk, ClosedError, Err, NoReplyError, Reply, Simple, Wire, encode

STARTS = {"rlite": start_rlite, "redis": start_redis}
# No waiting for more replicas before a snapshot; a replica's port is its own.
DIRECTIVES = {"enable-debug-command": "yes", "repl-diskless-sync-delay": "0"}
SECONDS = 30.0
STAND_IN = os.environ.get("RLITE_TEST_STAND_IN") == "redis"


def kinds(*names: str) -> object:
    """A parameter: which kind each server of a test is. With the stand-in one of them is enough."""
    marks = [pytest.mark.peer("redis-server")] if STAND_IN or "redis" in names else []
    if STAND_IN and "redis" in names:
        marks.append(pytest.mark.skip("the stand-in makes it the same as another one"))
    return pytest.param(names, id="-".join(names), marks=marks)


PAIRS = (kinds("rlite", "rlite"), kinds("rlite", "redis"), kinds("redis", "rlite"))


def is_rlite(server: Server) -> bool:
    return server.name == "rlite"


@contextmanager
def node(
    kind: str, directives: Mapping[str, str] | None = None, *, parent: Path | None = None
) -> Iterator[Server]:
    """A server of a kind, in a directory of its own."""
    with running(STARTS[kind], {**DIRECTIVES, **(directives or {})}, parent=parent) as server:
        try:
            yield server
        finally:
            if not is_rlite(server):  # which refuses to end while it writes its first log
                server.kill_group()


@dataclass(frozen=True, slots=True)
class Pair:
    """A master and its replica."""

    master: Server
    replica: Server

    def __iter__(self) -> Iterator[Server]:
        return iter((self.master, self.replica))


@contextmanager
def replicated(
    master: str,
    replica: str,
    *,
    both: Mapping[str, str] | None = None,
    of_master: Mapping[str, str] | None = None,
    of_replica: Mapping[str, str] | None = None,
    attach: bool = True,
) -> Iterator[Pair]:
    """A pair of these kinds, in sync unless it is not to be attached."""
    with ExitStack() as stack:
        pair = Pair(
            stack.enter_context(node(master, {**(both or {}), **(of_master or {})})),
            stack.enter_context(node(replica, {**(both or {}), **(of_replica or {})})),
        )
        if attach:
            follow(pair.replica, pair.master)
            in_sync(*pair)
        yield pair


def ask(server: Server, *args: bytes | str | int) -> Reply:
    """A command on a connection of its own."""
    with Wire(server.address, timeout=SECONDS) as wire:
        return wire.command(*args)


def do(server: Server, *args: bytes | str | int) -> None:
    """A command that must not fail."""
    reply = ask(server, *args)
    assert not isinstance(reply, Err), f"{server.name}: {args[0]!r}: {reply}"


def text(server: Server, *args: bytes | str | int) -> str:
    """A bulk or simple reply as text."""
    reply = ask(server, *args)
    assert isinstance(reply, Bulk | Simple), reply
    return (reply.data if isinstance(reply, Bulk) else reply.text).decode()


def follow(replica: Server, master: Server | tuple[str, int]) -> None:
    """REPLICAOF; does not wait."""
    host, port = master if isinstance(master, tuple) else master.address
    do(replica, "REPLICAOF", host, port)


def promote(server: Server) -> None:
    do(server, "REPLICAOF", "NO", "ONE")


def fields(server: Server, section: str = "replication") -> dict[str, str]:
    """The lines of a section of INFO, in their order."""
    lines = text(server, "INFO", section).split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def stat(server: Server, name: str) -> int:
    """A number of INFO stats, sync_full for example."""
    return int(fields(server, "stats")[name])


def offset(server: Server) -> int:
    """The bytes of the stream that a server has: what it has written as a master, applied as a replica."""
    found = fields(server)
    return int(found["slave_repl_offset" if found["role"] == "slave" else "master_repl_offset"])


def is_up(replica: Server) -> bool:
    return fields(replica).get("master_link_status") == "up"


def wait_up(replica: Server, *, seconds: float = SECONDS) -> None:
    wait_for(lambda: is_up(replica), f"{replica.name}: the link is up", seconds=seconds)


def wait_online(master: Server, *, seconds: float = SECONDS) -> None:
    """Until the master counts each of its replicas as following the stream, and has at least one."""

    def all_online() -> bool:
        lines = [line for name, line in fields(master).items() if name.startswith("slave")]
        return bool(lines) and all("state=online" in line for line in lines)

    wait_for(all_online, "the replicas are online", seconds=seconds)


def wait_logged(replica: Server, *, seconds: float = SECONDS) -> None:
    """Until the log of a server that has just had a full resync holds all of it: a rewrite brings that."""

    def is_there() -> bool:
        found = fields(replica, "persistence")
        idle = found["aof_rewrite_in_progress"] == found["aof_rewrite_scheduled"] == "0"
        return idle and int(found["aof_rewrites"]) > 0

    wait_for(is_there, "the log holds the master's data", seconds=seconds)


def in_sync(master: Server, *replicas: Server, seconds: float = SECONDS) -> None:
    """Waits until the links are up and each replica has applied what the master has written so far."""
    goal = offset(master)
    for replica in replicas:

        def has_it(replica: Server = replica) -> bool:
            found = fields(replica)
            return found.get("master_link_status") == "up" and int(found["slave_repl_offset"]) >= goal

        try:
            wait_for(has_it, f"offset {goal}", seconds=seconds)
        except AssertionError as late:
            raise AssertionError(
                f"{replica.name}: {late}; it says {fields(replica)}, its master {fields(master)}\n"
                f"{replica.log()[-2000:]}"
            ) from None


def digest(server: Server) -> str:
    return text(server, "DEBUG", "DIGEST")


def same_data(master: Server, *replicas: Server, seconds: float = SECONDS) -> str:
    """Waits for the replicas and compares fingerprints of all data; returns it.

    Should a key of the master expire between two looks they are taken anew, for some seconds.
    """
    deadline = time.monotonic() + 5
    while True:
        in_sync(master, *replicas, seconds=seconds)
        found = [digest(server) for server in (master, *replicas)]
        if len(set(found)) == 1:
            return found[0]
        if time.monotonic() > deadline:
            raise AssertionError(difference(master, *replicas))
        time.sleep(0.01)


def difference(master: Server, *replicas: Server) -> str:
    """Which keys differ, by the fingerprints of their values, for a failure's message."""
    said: list[str] = []
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(one.address, timeout=SECONDS)) for one in (master, *replicas)]
        for database in range(16):
            keys: set[bytes] = set()
            for wire in wires:
                wire.command("SELECT", database)
                reply = wire.command("KEYS", "*")
                assert isinstance(reply, Array)
                keys |= {item.data for item in reply.items if isinstance(item, Bulk)}
            for key in sorted(keys):
                found = [
                    tuple(wire.command(*command, key) for command in (("DEBUG", "DIGEST-VALUE"), ("PTTL",)))
                    for wire in wires
                ]
                # The times to live differ by the time it takes to ask.
                if (
                    len({values[0] for values in found}) > 1
                    or len({values[1].value < 0 for values in found}) > 1
                ):
                    said.append(f"database {database}, {key!r}: {found}")
    names = [f"{one.name} ({offset(one)})" for one in (master, *replicas)]
    return f"the data differ, {' and '.join(names)}: " + "\n".join(said[:20] or ["(no key that differs)"])


def run(server: Server, commands: Sequence[Sequence[bytes | str | int]]) -> list[Reply]:
    """Commands on one connection, in one packet."""
    with Wire(server.address, timeout=SECONDS) as wire:
        wire.send_raw(b"".join(encode(*command) for command in commands))
        return [wire.read_reply() for _ in commands]


class Writing:
    """A load on a server by a thread, for the length of a `with` block; at its end all that was sent is
    answered. For servers that live through it.
    """

    def __init__(self, server: Server, *, seed: int = 0, lanes: int = 3, depth: int = 8) -> None:
        self.load = Load(seed=seed, lanes=lanes, depth=depth)
        self.load.connect(server.address)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None and self._failure is not None:
            raise self._failure
        for lane in self.load.lanes:
            assert error is not None or lane.refused is None, f"lane {lane.number}: {lane.refused}"

    def _run(self) -> None:
        try:
            self.load.run(self._stop.is_set)
            self.load.settle()
        except BaseException as failure:  # for the test's thread
            self._failure = failure

    def wait_written(self, more: int, *, seconds: float = SECONDS) -> None:
        """Until so many more steps are acknowledged."""
        goal = self.load.acknowledged + more
        wait_for(
            lambda: self.load.acknowledged >= goal or self._failure is not None,
            f"{more} more steps",
            seconds=seconds,
        )


def answers(server: Server) -> bool:
    """Whether a server answers PING in time, whatever it says."""
    try:
        ask(server, "PING")
    except (OSError, ClosedError, NoReplyError):
        return False
    return True
