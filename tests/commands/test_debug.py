"""DEBUG for those who write test suites, and WAIT and WAITAOF on a server that stands alone."""

import pytest
from support.servers import Server
from support.wire import Array, Bulk, Err, Int, Reply, Simple, Wire

OK = Simple(b"OK")


@pytest.fixture
def wire(rlite: Server) -> Wire:
    return rlite.wire()


def text(reply: Reply) -> str:
    assert isinstance(reply, Bulk | Simple), reply
    return (reply.data if isinstance(reply, Bulk) else reply.text).decode()


@pytest.mark.parametrize(
    "line",
    [
        "QUICKLIST-PACKED-THRESHOLD 100b", "DICT-RESIZING 0", "REPLYBUFFER PEAK-RESET-TIME 100",
        "REPLYBUFFER RESIZING 1", "SET-ACTIVE-EXPIRE 1",
    ],
)  # fmt: skip
def test_what_test_suites_set_is_accepted(wire: Wire, line: str) -> None:
    assert wire.command("DEBUG", *line.split()) == OK


def test_stringmatch_len(wire: Wire) -> None:
    assert wire.command("DEBUG", "STRINGMATCH-LEN", 10, "a*a") == Int(1)
    assert wire.command("DEBUG", "STRINGMATCH-LEN", 10, "a*b") == Int(0)
    # Exponential in a naive matcher: each star may end anywhere.
    assert wire.command("DEBUG", "STRINGMATCH-LEN", 10_000, "a*" * 50 + "b") == Int(0)
    assert isinstance(wire.command("DEBUG", "STRINGMATCH-LEN", -1, "a"), Err)


def test_tables_are_told(wire: Wire) -> None:
    wire.command("SADD", "full", *(f"member:{n}" for n in range(1000)))
    wire.command("SADD", "small", "a")
    assert "1000 elements in" in text(wire.command("DEBUG", "HTSTATS-KEY", "full"))
    refused = wire.command("DEBUG", "HTSTATS-KEY", "small")
    assert isinstance(refused, Err)
    assert b"not represented using an hash table" in refused.text
    assert wire.command("DEBUG", "HTSTATS-KEY", "nosuch") == Err(b"ERR no such key")
    told = text(wire.command("DEBUG", "HTSTATS", 0))
    stripes = [line for line in told.splitlines() if line.startswith("[Stripe ")]
    assert len(stripes) == 16
    counts = [int(line.split()[0]) for line in told.splitlines() if " elements in " in line]
    assert sum(counts) == 2
    assert wire.command("DEBUG", "HTSTATS", 99) == Err(b"ERR Out of range database")


def test_packed_values_are_told(wire: Wire) -> None:
    wire.command("RPUSH", "l", "a", "b", "c")
    assert text(wire.command("DEBUG", "LISTPACK", "l")).startswith("3 elements, ")
    wire.command("SET", "s", "v")
    assert wire.command("DEBUG", "LISTPACK", "s") == Err(b"ERR Not a listpack encoded object.")
    assert wire.command("DEBUG", "LISTPACK", "nosuch") == Err(b"ERR no such key")


@pytest.mark.parametrize(
    "line", ["SET k v", "RPUSH k a b", "HSET k f v", "SADD k a", "SADD k 1", "ZADD k 1 a", "XADD k 1-1 f v"]
)
def test_debug_object_tells_of_every_type(wire: Wire, line: str) -> None:
    wire.command(*line.split())
    told = text(wire.command("DEBUG", "OBJECT", "k"))
    assert " encoding:" in told
    assert " serializedlength:" in told


def test_waiting_for_replicas_that_are_not_there(wire: Wire) -> None:
    wire.command("SET", "k", "v")
    assert wire.command("WAIT", 0, 0) == Int(0)
    assert wire.command("WAIT", 1, 10) == Int(0)
    assert wire.command("WAITAOF", 0, 0, 0) == Array((Int(0), Int(0)))
    assert wire.command("WAITAOF", 0, 1, 10) == Array((Int(0), Int(0)))
    for line, said in (
        ("WAIT x 0", b"not an integer"), ("WAIT 1 -1", b"timeout is negative"),
        ("WAIT 1 x", b"timeout is not an integer"),
        ("WAITAOF 2 0 0", b"between 0 and 1"), ("WAITAOF 0 -1 0", b"must be positive"),
        ("WAITAOF 1 0 0", b"appendonly is disabled"),
    ):  # fmt: skip
        reply = wire.command(*line.split())
        assert isinstance(reply, Err), line
        assert said in reply.text, reply
