"""DUMP and RESTORE: LZF, RDB strings, payloads of ours and of the real server, and payloads nobody made in
good faith.
"""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.servers import Server
from support.wire import Bulk, Err, Simple

from rlite.engine.commands.dump import checksum, value_in
from rlite.engine.core import lzf
from rlite.engine.errors import CommandError
from rlite.engine.types.listpack import back_length
from rlite.engine.types.rdb_string import RdbError, get_length, get_string, put_length, put_string

LIMIT = 1 << 20
REPETITIVE = st.lists(st.sampled_from([b"a", b"ab", b"xyz", b"\0" * 40, b"0123456789"]), max_size=200).map(
    b"".join
)
STRINGS = st.one_of(
    st.binary(max_size=300), REPETITIVE, st.integers(-(2**40), 2**40).map(lambda n: b"%d" % n)
)


@given(STRINGS)
def test_lzf_gives_back_what_it_took(data: bytes) -> None:
    assert lzf.decompress(lzf.compress(data), len(data)) == data


@given(st.binary(max_size=100), st.integers(0, 1000))
def test_lzf_of_garbage_fails_or_gives_the_length_announced(data: bytes, size: int) -> None:
    with contextlib.suppress(ValueError):
        assert len(lzf.decompress(data, size)) == size


@given(st.integers(0, 2**64 - 1))
def test_lengths(size: int) -> None:
    assert get_length(put_length(size) + b"rest", 0) == (size, False, len(put_length(size)))


@given(STRINGS, st.booleans())
def test_strings(value: bytes, compressed: bool) -> None:
    packed = put_string(value, compressed=compressed)
    assert get_string(packed, 0, LIMIT) == (value, len(packed))
    assert len(packed) <= len(value) + 9


@given(st.binary(max_size=60))
def test_a_string_of_garbage_fails_within_its_limit(data: bytes) -> None:
    try:
        value, end = get_string(data, 0, LIMIT)
    except RdbError:
        return
    assert len(value) <= LIMIT
    assert end <= len(data)


@given(st.binary(max_size=80))
def test_a_payload_with_a_good_checksum_and_a_bad_body_is_refused(body: bytes) -> None:
    payload = body + (10).to_bytes(2, "little")
    payload += checksum(payload)
    with contextlib.suppress(CommandError):
        value_in(payload, LIMIT)


def test_a_length_of_terabytes_takes_no_memory() -> None:
    body = b"\0\xc3" + put_length(10) + put_length(2**42) + b"x" * 10
    payload = body + (10).to_bytes(2, "little")
    with pytest.raises(CommandError, match="Bad data format"):
        value_in(payload + checksum(payload), LIMIT)


@pytest.mark.peer("redis-server")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=STRINGS)
def test_payloads_travel_both_ways(rlite: Server, redis_peer: Server, value: bytes) -> None:
    with rlite.wire() as ours, redis_peer.wire() as theirs:
        for source, target in ((ours, theirs), (theirs, ours)):
            source.command("SET", "k", value)
            payload = source.command("DUMP", "k")
            assert isinstance(payload, Bulk)
            assert target.command("RESTORE", "k2", "0", payload.data, "REPLACE") == Simple(b"OK")
            assert target.command("GET", "k2") == Bulk(value)


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize(
    "value", [b"", b"1", b"-1", b"127", b"128", b"32768", b"-2147483648", b"2147483648", b"short"]
)
def test_payloads_without_compression_are_the_same_bytes(
    rlite: Server, redis_peer: Server, value: bytes
) -> None:
    payloads = []
    for server in (rlite, redis_peer):
        with server.wire() as wire:
            wire.command("SET", "k", value)
            payloads.append(wire.command("DUMP", "k"))
    assert payloads[0] == payloads[1]


def test_a_type_we_do_not_hold_is_named(rlite: Server) -> None:
    body = b"\x07" + (12).to_bytes(2, "little")
    with rlite.wire() as wire:
        reply = wire.command("RESTORE", "k", "0", body + checksum(body))
    assert isinstance(reply, Err)
    assert b"a module's value" in reply.text


TEXT = st.one_of(st.binary(max_size=100), st.integers(-(2**63), 2**63 - 1).map(lambda n: b"%d" % n))
FLOATS = st.one_of(st.floats(allow_nan=False), st.integers(-(10**6), 10**6).map(float))
VALUES = st.one_of(
    st.lists(TEXT, min_size=1, max_size=200).map(lambda items: [b"RPUSH", b"k", *items]),
    st.lists(TEXT, min_size=1, max_size=200).map(lambda items: [b"SADD", b"k", *items]),
    st.dictionaries(TEXT, TEXT, min_size=1, max_size=100).map(
        lambda pairs: [b"HSET", b"k", *(part for pair in pairs.items() for part in pair)]
    ),
    st.dictionaries(TEXT, FLOATS, min_size=1, max_size=100).map(
        lambda pairs: [
            b"ZADD",
            b"k",
            *(part for name, score in pairs.items() for part in (b"%r" % score, name)),
        ]
    ),
)


@pytest.mark.peer("redis-server")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=VALUES, narrow=st.booleans())
def test_values_of_every_type_travel_both_ways(
    rlite: Server, redis_peer: Server, words: list[bytes], narrow: bool
) -> None:
    with rlite.wire() as ours, redis_peer.wire() as theirs:
        for source, target in ((ours, theirs), (theirs, ours)):
            source.command("FLUSHALL")
            if narrow:
                source.command(words[0], b"k", *[b"%d" % i for i in range(600)])
            source.command(*words)
            payload = source.command("DUMP", "k")
            assert isinstance(payload, Bulk)
            assert target.command("RESTORE", "k2", "0", payload.data, "REPLACE") == Simple(b"OK")
            assert target.command("DEBUG", "DIGEST-VALUE", "k2") == source.command(
                "DEBUG", "DIGEST-VALUE", "k"
            )


STREAM = [
    "XADD s 1-1 f v g w", "XADD s 2-1 f v2 g w2", "XADD s 2-5 other x", "XADD s 3-0 f v3 g w3", "XDEL s 2-1",
    "XGROUP CREATE s g 0", "XREADGROUP GROUP g alice COUNT 2 STREAMS s >",
    "XREADGROUP GROUP g bob STREAMS s >",
    "XACK s g 1-1", "XGROUP CREATE s empty $", "XADD s 9-9 n 12345 m -5",
]  # fmt: skip
TELLING = ["XRANGE s - +", "XLEN s", "XINFO GROUPS s", "XPENDING s g", "XPENDING s empty"]


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize("count", [1, 250])
def test_streams_travel_both_ways(rlite: Server, redis_peer: Server, count: int) -> None:
    with rlite.wire() as ours, redis_peer.wire() as theirs:
        for source, target in ((ours, theirs), (theirs, ours)):
            source.command("FLUSHALL")
            target.command("FLUSHALL")
            for line in STREAM:
                source.command(*line.split())
            for i in range(count):
                source.command("XADD", "s", f"10-{i + 1}", "f", str(i), "g", "x" * (i % 50))
            payload = source.command("DUMP", "s")
            assert isinstance(payload, Bulk)
            told = [source.command(*line.split()) for line in TELLING]
            assert target.command("RESTORE", "s", "0", payload.data) == Simple(b"OK")
            assert [target.command(*line.split()) for line in TELLING] == told
            again = target.command("DUMP", "s")
            assert isinstance(again, Bulk)
            source.command("DEL", "s")
            assert source.command("RESTORE", "s", "0", again.data) == Simple(b"OK")


def test_fields_keep_their_deadlines(rlite: Server) -> None:
    with rlite.wire() as wire:
        for extra in ((), tuple(str(i) for i in range(2000))):
            wire.command("DEL", "h", "h2")
            wire.command("HSET", "h", "a", "1", "b", "2", *extra)
            wire.command("HPEXPIREAT", "h", "4000000000123", "FIELDS", "1", "a")
            payload = wire.command("DUMP", "h")
            assert isinstance(payload, Bulk)
            assert wire.command("RESTORE", "h2", "0", payload.data) == Simple(b"OK")
            told = wire.command("HPEXPIRETIME", "h2", "FIELDS", "2", "a", "b")
            assert told == wire.command("HPEXPIRETIME", "h", "FIELDS", "2", "a", "b")
            assert wire.command("DEBUG", "DIGEST-VALUE", "h") == wire.command("DEBUG", "DIGEST-VALUE", "h2")


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [(127, b"\x7f"), (128, b"\x01\x80"), (200, b"\x01\xc8"), (16383, b"\x7f\xff"), (16384, b"\x01\x80\x80")],
)
def test_the_length_behind_an_element_is_read_backwards(size: int, bytes_: bytes) -> None:
    assert back_length(size) == bytes_
