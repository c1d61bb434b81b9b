"""What commands say to the log is what they did: run again, it makes the same data set, at any time, on any
machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effect_cases import CASES, Case, fits
from support.effect_programs import GROUPS, program_of, waiting
from support.effects import Logged, logged
from support.grammar import coherent
from support.programs import Step, words

from rlite.engine.commands import blocking

NARROW = {
    "list_max_listpack_size": 4,
    "hash_max_listpack_entries": 3,
    "set_max_intset_entries": 3,
    "set_max_listpack_entries": 3,
    "zset_max_listpack_entries": 3,
    "stream_node_max_entries": 3,
}


@pytest.fixture(scope="module", params=[{}, NARROW], ids=["wide", "narrow"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Logged, Logged]]:
    """One that logs, and one that runs the log."""
    with logged(**request.param) as first, logged(**request.param) as second:
        yield first, second


@pytest.fixture(scope="module")
def one() -> Iterator[Logged]:
    with logged() as only:
        yield only


# --- the oracle --------------------------------------------------------------------------------------------

# Programs run in servers that are emptied first: no state passes between examples.
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def check(pair: tuple[Logged, Logged], steps: list[Step]) -> None:
    first, second = pair
    first.empty()
    second.empty()
    for step in steps:
        if not first.blocked(step.connection):
            first.run(step.args, step.connection)
    second.replay(first.journal.data)
    shown = "\n    ".join(map(str, steps))
    said = "\n    ".join(first.lines())
    assert second.state() == first.state(), f"after\n    {shown}\nthe log holds\n    {said}"


def hunt(pair: tuple[Logged, Logged], one: st.SearchStrategy[Step], examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=HEALTH, print_blob=True)
    @given(st.lists(one, min_size=2, max_size=25))
    def program(steps: list[Step]) -> None:
        check(pair, coherent(steps))

    program()


def payloads(server: Logged) -> list[bytes]:
    """What DUMP returns for a value of each type, and one that is damaged."""
    server.empty()
    for line in (
        "SET s v", "RPUSH l a b", "SADD t a b 1", "SADD i 1 2", "ZADD z 1 a 2 b", "HSET h f v g w",
        "HSET e f v g w", "HEXPIREAT e 4102444800 FIELDS 1 f", "XADD x 1-1 f v", "XGROUP CREATE x g 0",
        "XREADGROUP GROUP g alice STREAMS x >",
    ):  # fmt: skip
        server.run([word.encode() for word in line.split()])
    found = [server.run([b"DUMP", key]) for key in (b"s", b"l", b"t", b"i", b"z", b"h", b"e", b"x")]
    return [payload for payload in found if isinstance(payload, bytes)] + [b"damaged"]


@pytest.mark.parametrize("group", GROUPS)
def test_what_was_logged_makes_the_same_data_when_it_runs_again(
    pair: tuple[Logged, Logged], group: str
) -> None:
    hunt(pair, program_of(group, payloads(pair[0])), 100)


def test_what_was_given_to_those_who_waited_is_logged(pair: tuple[Logged, Logged]) -> None:
    hunt(pair, waiting(payloads(pair[0])), 150)


# --- row by row --------------------------------------------------------------------------------------------


def told(server: Logged, case: Case) -> list[str]:
    """What stands in our log for a row's command."""
    for line in case.before:
        server.run(words(line.encode()))
    since = len(server.journal.records)
    server.run(words(case.command.encode()))
    if server.blocked("a"):  # its time is up
        blocking.unblock(server.context, server.client())
    return server.lines(since)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_command_is_logged_as(one: Logged, case: Case) -> None:
    with kept(one):
        got = told(one, case)
    assert len(got) == len(case.effects), got
    assert all(map(fits, got, case.effects)), got


@contextmanager
def kept(server: Logged) -> Iterator[None]:
    """An empty server, whose directives are what they were afterwards."""
    names = ("stream-node-max-entries", "lazyfree-lazy-server-del", "notify-keyspace-events")
    server.empty()
    before = {name: server.run([b"CONFIG", b"GET", name.encode()]) for name in names}
    yield
    for name, value in before.items():
        assert isinstance(value, dict)
        ((_, old),) = value.items()
        assert isinstance(old, bytes)
        server.run([b"CONFIG", b"SET", name.encode(), old])
