"""What commands say to the log is what the real redis-server writes to its AOF, row by row."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.effect_cases import CASES, Case, fits
from support.effects import Logged, logged, restored
from support.programs import quote, words
from support.servers import Server, running, start_redis
from support.wire import Array, Bulk, Err, Reader, Simple, Wire

LOGGING = {"appendonly": "yes", "appendfsync": "always", "enable-debug-command": "yes"}
DIRECTIVES = (("stream-node-max-entries", "100"), ("lazyfree-lazy-server-del", "no"))
FRAMES = {b"MULTI", b"EXEC"}


@pytest.fixture(scope="module")
def logging_redis() -> Iterator[Server]:
    with running(start_redis, LOGGING) as server:
        yield server


def commands_in(data: bytes) -> list[str]:
    """The commands of a part of an AOF, without what only frames them."""
    reader = Reader(lambda: pytest.fail(f"half a command at the end of {data[-100:]!r}"))
    reader.buffer += data
    found: list[str] = []
    while reader.buffer:
        reply, _ = reader.next()
        assert isinstance(reply, Array)
        args = [item.data for item in reply.items if isinstance(item, Bulk)]
        if args[0].upper() not in FRAMES | {b"SELECT"}:
            found.append(" ".join(map(quote, args)))
    return found


def log_of(server: Server) -> Path:
    (path,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    return path


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize("case", [case for case in CASES if not case.ours_only], ids=str)
def test_redis_logs_the_same(logging_redis: Server, case: Case) -> None:
    with logging_redis.wire() as wire:
        run(wire, "FLUSHALL", *case.before)
        since = log_of(logging_redis).stat().st_size
        run(wire, case.command)
        got = commands_in(log_of(logging_redis).read_bytes()[since:])
        for name, value in DIRECTIVES:
            wire.command("CONFIG", "SET", name, value)
    assert len(got) == len(case.effects), got
    assert all(map(fits, got, case.effects)), got


def run(wire: Wire, *lines: str) -> None:
    for line in lines:
        wire.command(*words(line.encode()))


@pytest.fixture(scope="module")
def ours() -> Iterator[Logged]:
    with logged(databases=16) as one:
        yield one


TAKEN = [case for case in CASES if not re.search("HP?EXPIRE", str(case))]  # of 7.4


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize("case", TAKEN, ids=str)
def test_redis_makes_the_same_data_of_what_we_logged(ours: Logged, redis_peer: Server, case: Case) -> None:
    with restored(ours), redis_peer.wire() as wire:
        for line in (*case.before, case.command):
            ours.run(words(line.encode()))
        for database, args in (effect for record in ours.journal.records for effect in record):
            wire.command("SELECT", database)
            reply = wire.command(*args)
            assert not isinstance(reply, Err), f"{args}: {reply}"
        theirs = wire.command("DEBUG", "DIGEST")
        assert isinstance(theirs, Simple)
        assert ours.run([b"DEBUG", b"DIGEST"]) == theirs.text.decode()
