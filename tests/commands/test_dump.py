"""DUMP and RESTORE: LZF, RDB strings, payloads of ours and of the real server, and payloads nobody made in
good faith.
"""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.servers import Server
from support.wire import Bulk, Err, Simple

from rlite.engine.commands.dump import checksum, string_in
from rlite.engine.errors import CommandError
from rlite.engine.types import lzf
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
        assert len(string_in(payload, LIMIT)) <= LIMIT


def test_a_length_of_terabytes_takes_no_memory() -> None:
    body = b"\0\xc3" + put_length(10) + put_length(2**42) + b"x" * 10
    payload = body + (10).to_bytes(2, "little")
    with pytest.raises(CommandError, match="Bad data format"):
        string_in(payload + checksum(payload), LIMIT)


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


@pytest.mark.peer("redis-server")
def test_a_type_we_do_not_hold_is_named(rlite: Server, redis_peer: Server) -> None:
    with rlite.wire() as ours, redis_peer.wire() as theirs:
        theirs.command("RPUSH", "list", "a")
        payload = theirs.command("DUMP", "list")
        assert isinstance(payload, Bulk)
        reply = ours.command("RESTORE", "k", "0", payload.data)
    assert isinstance(reply, Err)
    assert b"not supported" in reply.text
