"""The test kit itself, against the real redis-server."""

import pytest

from support.differential import Pair, agree
from support.programs import Step, program, programs, quote, words
from support.servers import Server, StartError, running, start_redis
from support.wire import (
    Array,
    BigNumber,
    Bool,
    Bulk,
    ClosedError,
    Double,
    Err,
    Int,
    Map,
    NoReplyError,
    Null,
    Set,
    Simple,
    Verbatim,
    parse,
)


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        (b"+OK\r\n", Simple(b"OK")),
        (b"-ERR no\r\n", Err(b"ERR no")),
        (b"!6\r\nERR no\r\n", Err(b"ERR no", bulk=True)),
        (b":-1\r\n", Int(-1)),
        (b"$3\r\na\r\n\r\n", Bulk(b"a\r\n")),
        (b"$-1\r\n", Null(b"$")),
        (b"*-1\r\n", Null(b"*")),
        (b"_\r\n", Null(b"_")),
        (b"*2\r\n:1\r\n*0\r\n", Array((Int(1), Array(())))),
        (b"~1\r\n,1.5\r\n", Set((Double(b"1.5"),))),
        (b"%1\r\n+a\r\n#t\r\n", Map(((Simple(b"a"), Bool(value=True)),))),
        (b"(123\r\n", BigNumber(b"123")),
        (b"=6\r\ntxt:hi\r\n", Verbatim(b"txt", b"hi")),
    ],
)
def test_each_resp_type_is_told_apart(raw: bytes, reply: object) -> None:
    assert parse(raw) == reply


def test_words_are_split_as_redis_cli_splits_them() -> None:
    assert words(rb"""SET "a b\x00\n" 'c d' "" e""") == (b"SET", b"a b\x00\n", b"c d", b"", b"e")


def test_a_quoted_argument_reads_back() -> None:
    for arg in (b"", b"a b", b'"', b"\\", bytes(range(256))[:150]):
        assert words(quote(arg).encode()) == (arg,)


def test_programs_name_connections_and_agreements() -> None:
    assert program("GET k\n# why\n b| @about TTL k") == (
        Step((b"GET", b"k")),
        Step((b"TTL", b"k"), "about", "b"),
    )
    assert list(programs("== one\nGET a\n== two\nGET b")) == ["one", "two"]


def test_agreements_are_no_looser_than_they_say() -> None:
    about, order = Step((b"TTL",), "about"), Step((b"KEYS",), "unordered")
    assert agree(about, b":99\r\n", b":100\r\n")
    assert not agree(about, b":-1\r\n", b":1\r\n")
    assert not agree(about, b":90\r\n", b":100\r\n")
    assert agree(order, b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n")
    assert not agree(order, b"*1\r\n+a\r\n", b"*2\r\n+b\r\n+a\r\n")


def test_the_wire_keeps_bytes_and_deadlines(redis_peer: Server) -> None:
    with redis_peer.wire() as wire:
        assert wire.command("SET", "k", b"\x00\r\n") == Simple(b"OK")
        wire.send("GET", "k")
        assert wire.read_raw_reply() == b"$3\r\n\x00\r\n\r\n"
        with pytest.raises(NoReplyError):
            wire.read_reply(timeout=0.01)
        wire.send("QUIT")
        assert wire.read_reply() == Simple(b"OK")
        with pytest.raises(ClosedError):
            wire.read_reply()


def test_a_difference_is_shown_with_both_replies(redis_peer: Server) -> None:
    pair = Pair(redis_peer, redis_peer)
    pair.same(program("SET a 1\nINCR a"))
    with pytest.raises(AssertionError, match=r"(?s)SET a 1.*> a\| CLIENT ID.*redis: b':\d+"):
        pair.same(program("SET a 1\nCLIENT ID\nGET a"))


@pytest.mark.peer("redis-server")
def test_a_server_stops_with_its_exit_code_and_listens_on_a_unix_socket() -> None:
    with running(start_redis, unix=True) as server:
        assert server.wire(unix=True).command("PING") == Simple(b"PONG")
        assert server.rss() > 1 << 20
        assert server.stop() == 0
        assert not server.is_running()


@pytest.mark.peer("redis-server")
def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(StartError, match="Bad directive"), running(start_redis, {"no-such-directive": "1"}):
        pass
