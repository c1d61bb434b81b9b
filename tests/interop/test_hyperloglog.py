"""HyperLogLogs answer, and are stored, as on the real redis-server: to the byte, sparse and dense."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.differential import Pair
from support.grammar import choice, coherent, commands
from support.programs import Step, each_program
from support.wire import Simple


@each_program(r"""
== PFADD, PFCOUNT and the bytes between them
PFADD k a b c d e f g
PFCOUNT k
GET k
OBJECT ENCODING k
PFADD k a b c
PFADD k h
GET k
PFCOUNT k missing
PFADD empty
GET empty
PFCOUNT empty
GET empty
PFADD empty
PFCOUNT missing
EXISTS missing
PFADD k ""
PFCOUNT k
STRLEN k

== PFMERGE
PFADD a 1 2 3
PFADD b 3 4 5
PFMERGE c a b
GET c
PFCOUNT c
PFCOUNT a b c
PFMERGE none
GET none
PFMERGE a missing
GET a
PFDEBUG TODENSE b
PFMERGE c b
PFDEBUG ENCODING c
GET c
PFCOUNT c

== PFDEBUG
PFADD k a b c
PFDEBUG DECODE k
PFDEBUG ENCODING k
PFDEBUG GETREG k
PFDEBUG ENCODING k
PFDEBUG DECODE k
PFDEBUG TODENSE k
PFDEBUG NOSUCH k
PFDEBUG ENCODING missing
PFDEBUG ENCODING
PFADD l a
PFDEBUG TODENSE l
PFDEBUG TODENSE l
GET l

== what is no HyperLogLog
SET k abc
PFADD k a
PFCOUNT k
PFMERGE k
SET k HYLL
PFADD k a
SET k 12345
PFADD k a
LPUSH l a
PFADD l a
PFCOUNT l
PFMERGE x l
EXISTS x
SET k "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00"
PFCOUNT k
PFCOUNT k k
PFMERGE k k
SET k "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00"
PFCOUNT k
SET k "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00"
PFCOUNT k
SET k "HYLL\x01\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
PFCOUNT k
PFADD k a
GET k

== the TTL stays, and WATCH sees the estimate being kept
PFADD k a
EXPIRE k 100
PFADD k b
TTL k
WATCH k
PFCOUNT k
MULTI
PING
EXEC
WATCH k
PFCOUNT k
MULTI
PING
EXEC
""")
def test_replies(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.same(steps, **mode)


COMMANDS = """
PFADD key element+
PFADD key element element element element element element element element element element element
PFADD key element element element element element element element element element element element
PFMERGE key key key
PFCOUNT key
PFCOUNT key key
PFDEBUG DECODE key
PFDEBUG ENCODING key
PFDEBUG TODENSE key
GET key
SETRANGE key small '1'
COPY key key REPLACE
DEL key
OBJECT ENCODING key
"""


@pytest.mark.parametrize(("most", "different"), [(60, 40), (200, 2_000), (3_000, 10**9)])
def test_random_programs(pair: Pair, most: int, different: int) -> None:
    words = {
        "key": choice("a", "b", "c"),
        "element": st.integers(0, different).map(lambda number: b"%d" % number),
        # In the head only: of runs that make no sense, Redis keeps what it had changed before it found out.
        "small": choice("0", "4", "12"),
    }

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(commands(COMMANDS, words), min_size=2, max_size=40), st.booleans())
    def program(steps: list[Step], pipelined: bool) -> None:
        pair.same(coherent(steps), pipelined=pipelined)

    with pair.configured({"hll-sparse-max-bytes": str(most)}):
        program()


def test_a_value_that_grows_from_nothing_to_dense(pair: Pair) -> None:
    elements = [b"%d" % number for number in range(20_000)]
    steps = []
    for at in range(0, len(elements), 250):
        steps.append(Step((b"PFADD", b"k", *elements[at : at + 250])))
        steps.append(Step((b"PFCOUNT", b"k")))
        steps.append(Step((b"GET", b"k")))
    pair.same(steps)


def test_it_tests_itself(pair: Pair) -> None:
    with pair.ours.wire() as wire:
        assert wire.command("PFSELFTEST") == Simple(b"OK")
