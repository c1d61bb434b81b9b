"""Blocking commands: who is served, when, and by what. Each test holds for rlite and for redis-server."""

import time

import pytest
from support.servers import Server, wait_for
from support.wire import Array, Bulk, Double, Err, Int, NoReplyError, Null, Reply, Simple, Wire

NOTHING = Null(b"*")


def blocked(server: Server, count: int) -> None:
    """Wait until so many clients are blocked."""

    def now() -> bool:
        with server.wire() as wire:
            info = wire.command("INFO", "clients")
        assert isinstance(info, Bulk)
        return b"blocked_clients:%d\r\n" % count in info.data

    wait_for(now, f"{count} blocked clients")


def waiting(server: Server, *args: object) -> Wire:
    """A connection that waits in this command."""
    with server.wire() as wire:
        info = wire.command("INFO", "clients")
    assert isinstance(info, Bulk)
    before = int(info.data.partition(b"blocked_clients:")[2].split()[0])
    wire = server.wire()
    wire.send(*args)
    blocked(server, before + 1)
    return wire


def strings(*words: bytes) -> Array:
    return Array(tuple(map(Bulk, words)))


def silent(wire: Wire) -> bool:
    """Nothing has come; what was sent before this has been answered elsewhere."""
    try:
        wire.read_reply(timeout=0.05)
    except NoReplyError:
        return True
    return False


def test_first_come_first_served(server: Server) -> None:
    waiters = [waiting(server, "BLPOP", "k", 0) for _ in range(4)]
    with server.wire() as other:
        for number, waiter in enumerate(waiters):
            other.command("RPUSH", "k", number)
            assert waiter.read_reply() == strings(b"k", b"%d" % number)
        assert other.command("EXISTS", "k") == Int(0)


def test_one_push_serves_as_many_as_it_can(server: Server) -> None:
    waiters = [waiting(server, "BRPOP", "k", 0) for _ in range(3)]
    with server.wire() as other:
        assert other.command("RPUSH", "k", "a", "b", "c", "d") == Int(4)
        assert [each.read_reply() for each in waiters] == [strings(b"k", each) for each in (b"d", b"c", b"b")]
        assert other.command("LRANGE", "k", 0, -1) == strings(b"a")


@pytest.mark.parametrize(
    ("args", "late"),
    [
        (("BLPOP", "k", "0.05"), NOTHING),
        (("BLMPOP", "0.05", 1, "k", "LEFT"), NOTHING),
        (("BLMOVE", "k", "l", "LEFT", "LEFT", "0.05"), NOTHING),
        (("BRPOPLPUSH", "k", "l", "0.05"), NOTHING),
        (("BZPOPMIN", "k", "0.05"), NOTHING),
        (("BZMPOP", "0.05", 1, "k", "MIN"), NOTHING),
        (("XREAD", "BLOCK", 50, "STREAMS", "k", "$"), NOTHING),
        (("WAIT", 1, 50), Int(0)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_time_is_kept(server: Server, args: tuple[object, ...], late: Reply) -> None:
    with server.wire() as wire:
        begin = time.monotonic()
        assert wire.command(*args) == late
        took = time.monotonic() - begin
        assert 0.045 < took < 1.0  # a busy machine may be late, a correct server never early
        assert wire.command("PING") == Simple(b"PONG")


def test_the_first_key_that_has_something_counts(server: Server) -> None:
    with server.wire() as wire:
        wire.command("RPUSH", "b", "1")
        wire.command("RPUSH", "c", "2")
        assert wire.command("BLPOP", "a", "b", "c", 0) == strings(b"b", b"1")
        waiter = waiting(server, "BLPOP", "x", "y", "z", 0)
        wire.send_raw(b"".join(b"*3\r\n$5\r\nRPUSH\r\n$1\r\n%s\r\n$1\r\n1\r\n" % key for key in (b"z", b"x")))
        assert waiter.read_reply() == strings(b"z", b"1")


def test_a_transaction_wakes_when_it_is_done(server: Server) -> None:
    waiter = waiting(server, "BLPOP", "k", 0)
    with server.wire() as other:
        other.command("MULTI")
        other.command("RPUSH", "k", "gone")
        other.command("LPOP", "k")
        other.command("EXEC")
        assert silent(waiter)
        other.command("MULTI")
        other.command("RPUSH", "k", "b")
        other.command("LPUSH", "k", "a")
        other.command("EXEC")
        assert waiter.read_reply() == strings(b"k", b"a")


def test_a_script_wakes_when_it_is_done(server: Server) -> None:
    waiter = waiting(server, "BLPOP", "k", 0)
    with server.wire() as other:
        other.command("EVAL", "redis.call('RPUSH', KEYS[1], 'x') redis.call('DEL', KEYS[1])", 1, "k")
        assert silent(waiter)
        other.command("EVAL", "redis.call('RPUSH', KEYS[1], 'b') redis.call('LPUSH', KEYS[1], 'a')", 1, "k")
        assert waiter.read_reply() == strings(b"k", b"a")


def test_nobody_waits_inside_a_transaction(server: Server) -> None:
    with server.wire() as wire:
        wire.command("MULTI")
        for args in (("BLPOP", "k", 0), ("BLMOVE", "k", "l", "LEFT", "LEFT", 0), ("BZPOPMIN", "k", 0),
                     ("XREAD", "BLOCK", 0, "STREAMS", "k", "$"), ("WAIT", 1, 0)):  # fmt: skip
            assert wire.command(*args) == Simple(b"QUEUED")
        # Redis answers some of these with a null array, others with a null string.
        replies = wire.command("EXEC")
        assert isinstance(replies, Array)
        assert [type(each) for each in replies.items] == [Null, Null, Null, Null, Int]


def test_moving_wakes_the_next(server: Server) -> None:
    last = waiting(server, "BLPOP", "b", 0)
    first = waiting(server, "BLMOVE", "a", "b", "LEFT", "RIGHT", 0)
    with server.wire() as other:
        other.command("RPUSH", "a", "x")
        assert first.read_reply() == Bulk(b"x")
        assert last.read_reply() == strings(b"b", b"x")
        assert other.command("EXISTS", "a", "b") == Int(0)


@pytest.mark.parametrize(
    "command", [("RENAME", "made", "k"), ("COPY", "made", "k"), ("SORT", "made", "STORE", "k")]
)
def test_whatever_makes_a_list_wakes(server: Server, command: tuple[str, ...]) -> None:
    waiter = waiting(server, "BLPOP", "k", 0)
    with server.wire() as other:
        other.command("RPUSH", "made", "1")
        other.command(*command)
        assert waiter.read_reply() == strings(b"k", b"1")


def test_another_type_wakes_nobody(server: Server) -> None:
    waiter = waiting(server, "BLPOP", "k", 0)
    with server.wire() as other:
        other.command("SET", "k", "v")
        assert silent(waiter)
        other.command("DEL", "k")
        other.command("RPUSH", "k", "x")
        assert waiter.read_reply() == strings(b"k", b"x")
        other.command("SET", "k", "v")
        reply = other.command("BLPOP", "k", 0)
        assert isinstance(reply, Err)
        assert reply.text.startswith(b"WRONGTYPE")


def test_sorted_sets(server: Server) -> None:
    low = waiting(server, "BZPOPMIN", "z", 0)
    high = waiting(server, "BZPOPMAX", "y", "z", 0)
    several = waiting(server, "BZMPOP", 0, 2, "y", "z", "MIN", "COUNT", 2)
    with server.wire() as other:
        other.command("ZADD", "z", 1, "a", 2, "b", 3, "c", 4, "d")
        assert low.read_reply() == strings(b"z", b"a", b"1")
        assert high.read_reply() == strings(b"z", b"d", b"4")
        pairs = Array((strings(b"b", b"2"), strings(b"c", b"3")))
        assert several.read_reply() == Array((Bulk(b"z"), pairs))


def test_sorted_sets_in_resp3_have_doubles(server: Server) -> None:
    with server.wire(protocol=3) as waiter, server.wire() as other:
        waiter.send("BZPOPMIN", "z", 0)
        blocked(server, 1)
        other.command("ZADD", "z", "1.5", "a")
        assert waiter.read_reply() == Array((Bulk(b"z"), Bulk(b"a"), Double(b"1.5")))


def test_streams_serve_everyone(server: Server) -> None:
    readers = [waiting(server, "XREAD", "BLOCK", 0, "STREAMS", "x", "$") for _ in range(2)]
    with server.wire() as other:
        other.command("XADD", "x", "1-1", "f", "v")
        entry = Array((Bulk(b"1-1"), strings(b"f", b"v")))
        for reader in readers:
            assert reader.read_reply() == Array((Array((Bulk(b"x"), Array((entry,)))),))


def test_a_group_serves_one(server: Server) -> None:
    with server.wire() as other:
        other.command("XGROUP", "CREATE", "x", "g", "$", "MKSTREAM")
        readers = [
            waiting(server, "XREADGROUP", "GROUP", "g", name, "BLOCK", 0, "STREAMS", "x", ">")
            for name in ("alice", "bob")
        ]
        other.command("XADD", "x", "1-1", "f", "v")
        entry = Array((Bulk(b"1-1"), strings(b"f", b"v")))
        assert readers[0].read_reply() == Array((Array((Bulk(b"x"), Array((entry,)))),))
        assert silent(readers[1])
        other.command("XGROUP", "DESTROY", "x", "g")
        gone = readers[1].read_reply()
        assert isinstance(gone, Err)
        assert gone.text.startswith(b"NOGROUP")


def test_unblocking_from_outside(server: Server) -> None:
    with server.wire() as wire, server.wire() as other:
        number = wire.command("CLIENT", "ID")
        assert isinstance(number, Int)
        for words, told in ((("TIMEOUT",), NOTHING), (("ERROR",), None)):
            wire.send("BLPOP", "k", 0)
            blocked(server, 1)
            assert other.command("CLIENT", "UNBLOCK", number.value, *words) == Int(1)
            reply = wire.read_reply()
            assert reply == told or (isinstance(reply, Err) and reply.text.startswith(b"UNBLOCKED"))
        assert other.command("CLIENT", "UNBLOCK", number.value) == Int(0)


def test_who_has_left_takes_nothing(server: Server) -> None:
    waiter = waiting(server, "BLPOP", "k", 0)
    waiter.close()
    blocked(server, 0)
    with server.wire() as other:
        other.command("RPUSH", "k", "x")
        assert other.command("LLEN", "k") == Int(1)


def test_what_was_sent_behind_runs_after(server: Server) -> None:
    with server.wire() as wire, server.wire() as other:
        wire.send("BLPOP", "k", 0)
        wire.send("PING")
        blocked(server, 1)
        assert silent(wire)
        other.command("RPUSH", "k", "x")
        assert wire.read_reply() == strings(b"k", b"x")
        assert wire.read_reply() == Simple(b"PONG")


def test_databases_are_apart(server: Server) -> None:
    waiter = waiting(server, "BLPOP", "k", 0)
    with server.wire() as other:
        other.command("SELECT", 1)
        other.command("RPUSH", "k", "elsewhere")
        assert silent(waiter)
        other.command("SWAPDB", 0, 1)
        assert waiter.read_reply() == strings(b"k", b"elsewhere")
        other.command("FLUSHALL")
