"""The plain path is the ordinary path without the GIL: the same programs give the same replies, keys and
counts.

Two servers in this process, one with its gate shut so that every command comes to Python. What differs is
only the path; the property holds for replies byte for byte, for the keyspace with its deadlines, and for the
counters.
"""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wire import Wire, encode

from rlite.engine.commands.declare import REGISTRY
from rlite.engine.config import Config
from rlite.engine.core.audit import audit
from rlite.engine.core.database import Database
from rlite.engine.server import Server

KEY = st.sampled_from([b"a", b"b", b"c", b"a-longer-key-name", b""])
NUMBER = st.sampled_from(
    [b"0", b"1", b"-1", b"7", b"9223372036854775807", b"-9223372036854775808", b"1e3", b"01", b""]
)
VALUE = st.one_of(st.sampled_from([b"", b"x", b"10", b"3.5", b"-7", b"v" * 100]), NUMBER)
SECONDS = st.sampled_from([b"100000", b"200000", b"-1", b"0", b"9223372036854775807", b"x"])
OPTION = st.sampled_from([b"NX", b"XX", b"GET", b"KEEPTTL", b"EX", b"PX", b"gt", b"LT", b"PERSIST", b"junk"])


def shape(
    name: bytes, *parts: st.SearchStrategy[bytes] | st.SearchStrategy[list[bytes]]
) -> st.SearchStrategy[list[bytes]]:
    """Commands of one form: each part an argument or a list of them."""
    return st.tuples(*parts).map(
        lambda drawn: [name, *(arg for part in drawn for arg in (part if isinstance(part, list) else [part]))]
    )


OPTIONS = st.lists(st.one_of(OPTION, SECONDS), max_size=3)
COMMANDS = st.one_of(
    shape(b"SET", KEY, VALUE, OPTIONS),
    shape(b"GETEX", KEY, OPTIONS),
    shape(b"MSET", st.lists(VALUE, min_size=1, max_size=5)),
    shape(b"MSETNX", st.lists(KEY, min_size=1, max_size=4)),
    *(
        shape(name, KEY)
        for name in (b"GET", b"get", b"GETDEL", b"INCR", b"DECR", b"STRLEN", b"PERSIST", b"TYPE")
    ),
    *(
        shape(name, KEY, VALUE)
        for name in (b"SETNX", b"GETSET", b"APPEND", b"INCRBY", b"DECRBY", b"INCRBYFLOAT")
    ),
    *(shape(name, KEY, SECONDS, VALUE) for name in (b"SETEX", b"PSETEX", b"SETRANGE", b"GETRANGE")),
    *(shape(name, KEY, SECONDS, OPTIONS) for name in (b"EXPIRE", b"PEXPIRE")),
    *(
        shape(name, st.lists(KEY, max_size=4))
        for name in (b"MGET", b"DEL", b"UNLINK", b"EXISTS", b"TOUCH", b"PING")
    ),
    shape(b"ECHO", VALUE),
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    pair = [Server(Config(port=0, bind="127.0.0.1", io_threads=1, save="")) for _ in range(2)]
    for server in pair:
        server.start()
    pair[1].context.gate.close()
    yield pair[0], pair[1]
    for server in pair:
        server.stop()


def state(server: Server) -> dict[bytes, tuple[bytes | None, bool, str]]:
    """The keys with value, whether they have a deadline, and encoding."""
    found = {}
    for key in Database(server.keyspace, 0).keys():
        db = Database(server.keyspace, 0)
        facts = db.inspect(key)
        assert facts is not None
        found[key] = db.get(key), db.deadline(key) is not None, facts["encoding"]
    return found


def counts(server: Server) -> dict[str, tuple[int, int]]:
    """Calls and failures by command; time is left out."""
    totals: dict[str, tuple[int, int]] = {}
    for command in REGISTRY.values():
        which = server.context.ids[command.counted_as]
        rows = [each.tally(which) for each in server.context.all_counters()]
        totals[command.name] = sum(row[0] for row in rows), sum(row[2] for row in rows)
    for name in ("hits", "misses", "dirty"):
        totals[name] = server.context.total(name), 0
    return totals


@settings(max_examples=150, deadline=None)
@given(program=st.lists(COMMANDS, min_size=1, max_size=40), protocol=st.sampled_from([2, 3]))
def test_both_paths_agree(servers: tuple[Server, Server], program: list[list[bytes]], protocol: int) -> None:
    replies: list[list[bytes]] = []
    changes: list[dict[str, tuple[int, int]]] = []
    for server in servers:
        for database in range(2):
            Database(server.keyspace, database).flush().bury()
        before = counts(server)
        with Wire(("127.0.0.1", server.port)) as wire:
            if protocol == 3:
                wire.command("HELLO", "3")
            wire.send_raw(b"".join(encode(*command) for command in program))
            replies.append([wire.read_raw_reply() for _ in program])
        after = counts(server)
        changes.append({name: (after[name][0] - n[0], after[name][1] - n[1]) for name, n in before.items()})
        assert audit(server.keyspace) >= 0
    shown = [b" ".join(command) for command in program]
    assert list(zip(shown, replies[0], strict=True)) == list(zip(shown, replies[1], strict=True))
    assert state(servers[0]) == state(servers[1])
    # A refusal of arity is made in Python on both, and counted by neither.
    assert changes[0] == changes[1]


def test_the_gate_really_shuts_the_plain_path(servers: tuple[Server, Server]) -> None:
    for server, plainly in zip(servers, (True, False), strict=True):
        ordinary = server.context.counters.totals()["commands"]
        with Wire(("127.0.0.1", server.port)) as wire:
            for _ in range(10):
                wire.command("SET", "gate", str(time.monotonic()))
        assert (server.context.counters.totals()["commands"] == ordinary) == plainly
