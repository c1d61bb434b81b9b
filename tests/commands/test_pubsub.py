"""Pub/sub and MONITOR: who hears what, and in what order. Each test holds for rlite and for redis-server."""

import pytest
from support.servers import Server, wait_for
from support.wire import Array, Bulk, Err, Int, Null, Push, Reply, Simple, Wire


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    assert isinstance(request.param, int)
    return request.param


def told(protocol: int, *items: bytes | int | None) -> Reply:
    """A message in the form of a protocol."""
    null = Null(b"_") if protocol == 3 else Null(b"$")
    parts = tuple(null if i is None else Int(i) if isinstance(i, int) else Bulk(i) for i in items)
    return Push(parts) if protocol == 3 else Array(parts)


def test_channels_and_patterns(server: Server, protocol: int) -> None:
    with server.wire(protocol=protocol) as wire, server.wire() as other:
        wire.send("SUBSCRIBE", "a", "b", "a")
        assert [wire.read_reply() for _ in range(3)] == [
            told(protocol, b"subscribe", channel, count)
            for channel, count in ((b"a", 1), (b"b", 2), (b"a", 2))
        ]
        assert wire.command("PSUBSCRIBE", "[ab]*") == told(protocol, b"psubscribe", b"[ab]*", 3)
        assert other.command("PUBLISH", "a", "hello") == Int(2)
        assert wire.read_reply() == told(protocol, b"message", b"a", b"hello")
        assert wire.read_reply() == told(protocol, b"pmessage", b"[ab]*", b"a", b"hello")
        assert other.command("PUBLISH", "c", "unheard") == Int(0)
        assert wire.command("UNSUBSCRIBE", "a") == told(protocol, b"unsubscribe", b"a", 2)
        assert other.command("PUBLISH", "abc", "\x00\r\n") == Int(1)
        assert wire.read_reply() == told(protocol, b"pmessage", b"[ab]*", b"abc", b"\x00\r\n")
        assert wire.command("PUNSUBSCRIBE") == told(protocol, b"punsubscribe", b"[ab]*", 1)
        assert wire.command("UNSUBSCRIBE") == told(protocol, b"unsubscribe", b"b", 0)
        assert wire.command("UNSUBSCRIBE") == told(protocol, b"unsubscribe", None, 0)
        assert wire.command("PUNSUBSCRIBE", "x") == told(protocol, b"punsubscribe", b"x", 0)


def test_shards(server: Server, protocol: int) -> None:
    with server.wire(protocol=protocol) as wire, server.wire() as other:
        assert wire.command("SSUBSCRIBE", "s") == told(protocol, b"ssubscribe", b"s", 1)
        assert other.command("SPUBLISH", "s", "x") == Int(1)
        assert wire.read_reply() == told(protocol, b"smessage", b"s", b"x")
        assert other.command("PUBLISH", "s", "x") == Int(0)
        assert other.command("PUBSUB", "SHARDCHANNELS") == Array((Bulk(b"s"),))
        assert other.command("PUBSUB", "SHARDNUMSUB", "s", "t") == Array(
            (Bulk(b"s"), Int(1), Bulk(b"t"), Int(0))
        )
        assert other.command("PUBSUB", "CHANNELS") == Array(())
        assert wire.command("SUNSUBSCRIBE", "s") == told(protocol, b"sunsubscribe", b"s", 0)


def test_what_a_subscriber_may_send(server: Server, protocol: int) -> None:
    with server.wire(protocol=protocol) as wire:
        wire.command("SUBSCRIBE", "a")
        if protocol == 3:  # pushes are told apart from replies, so everything may be sent
            assert wire.command("GET", "nosuch") == Null(b"_")
            assert wire.command("PING") == Simple(b"PONG")
            return
        refused = wire.command("GET", "nosuch")
        assert isinstance(refused, Err)
        assert refused.text.startswith(b"ERR Can't execute 'get': only (P|S)SUBSCRIBE")
        assert wire.command("PING") == Array((Bulk(b"pong"), Bulk(b"")))
        assert wire.command("PING", "x") == Array((Bulk(b"pong"), Bulk(b"x")))
        assert wire.command("RESET") == Simple(b"RESET")
        assert wire.command("GET", "nosuch") == Null(b"$")


def test_introspection(server: Server) -> None:
    with server.wire() as a, server.wire() as b, server.wire() as other:
        a.command("SUBSCRIBE", "news")
        b.command("SUBSCRIBE", "news")
        b.command("PSUBSCRIBE", "n*")
        assert other.command("PUBSUB", "CHANNELS") == Array((Bulk(b"news"),))
        assert other.command("PUBSUB", "CHANNELS", "x*") == Array(())
        assert other.command("PUBSUB", "NUMSUB", "news", "x") == Array(
            (Bulk(b"news"), Int(2), Bulk(b"x"), Int(0))
        )
        assert other.command("PUBSUB", "NUMSUB") == Array(())
        assert other.command("PUBSUB", "NUMPAT") == Int(1)
        listed = other.command("CLIENT", "LIST", "TYPE", "pubsub")
        assert isinstance(listed, Bulk)
        assert listed.data.count(b" sub=1 ") == 2
        assert listed.data.count(b" psub=1 ") == 1


def test_who_leaves_is_forgotten(server: Server) -> None:
    with server.wire() as wire, server.wire() as other:
        wire.command("SUBSCRIBE", "a")
        wire.command("PSUBSCRIBE", "a*")
        wire.close()
        wait_for(lambda: other.command("PUBLISH", "a", "x") == Int(0), "the subscriber to be gone")
        assert other.command("PUBSUB", "NUMPAT") == Int(0)
        assert other.command("PUBSUB", "CHANNELS") == Array(())


def test_messages_keep_their_order(server: Server) -> None:
    with server.wire(protocol=3) as wire, server.wire() as other:
        wire.command("SUBSCRIBE", "a", "b")
        wire.read_reply()
        names = [(b"a" if number % 3 else b"b", b"%d" % number) for number in range(5000)]
        other.send_raw(b"".join(
            b"*3\r\n$7\r\nPUBLISH\r\n$1\r\n%b\r\n$%d\r\n%b\r\n" % (channel, len(text), text)
            for channel, text in names
        ))  # fmt: skip
        for channel, text in names:
            assert wire.read_reply() == told(3, b"message", channel, text)


def test_publishing_in_transactions_and_scripts(server: Server) -> None:
    with server.wire(protocol=3) as wire, server.wire() as other:
        wire.command("SUBSCRIBE", "a")
        other.command("MULTI")
        other.command("PUBLISH", "a", "1")
        other.command("INCR", "n")
        other.command("EXEC")
        assert wire.read_reply() == told(3, b"message", b"a", b"1")
        assert other.command("EVAL", "return redis.call('PUBLISH', 'a', '2')", 0) == Int(1)
        assert wire.read_reply() == told(3, b"message", b"a", b"2")
        # Its own message reaches a client before the reply, or behind it; both come.
        wire.send("PUBLISH", "a", "self")
        assert {repr(wire.read_reply()) for _ in range(2)} == {
            repr(told(3, b"message", b"a", b"self")), repr(Int(1)),
        }  # fmt: skip


def fed(wire: Wire) -> bytes:
    """A line of MONITOR without its time and place."""
    line = wire.read_reply()
    assert isinstance(line, Simple)
    return line.text.partition(b"] ")[2]


def test_monitor_shows_what_runs(server: Server) -> None:
    with server.wire() as wire, server.wire() as other:
        assert wire.command("MONITOR") == Simple(b"OK")
        other.command("SET", "k", 'a "b" \x00\n')
        other.command("NOSUCH")
        other.command("MULTI")
        other.command("GET", "k")
        other.command("EXEC")
        other.command("EVAL", "return redis.call('GET', KEYS[1])", 1, "k")
        assert [fed(wire) for _ in range(6)] == [
            b'"SET" "k" "a \\"b\\" \\x00\\n"', b'"MULTI"', b'"GET" "k"', b'"EXEC"',
            b'"EVAL" "return redis.call(\'GET\', KEYS[1])" "1" "k"', b'"GET" "k"',
        ]  # fmt: skip
