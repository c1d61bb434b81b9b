"""What commands say to the log is what they did: run again, it makes the same data set, at any time, on any
machine.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effect_cases import CASES, Case, fits
from support.effect_programs import GROUPS, program_of, waiting
from support.effects import SEED, Logged, logged, restored
from support.grammar import coherent
from support.in_process import InProcess
from support.programs import Step, words
from support.wire import encode

from rlite.engine.commands.declare import REGISTRY, Command
from rlite.engine.core.records import sealed

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
    return server.lines(since)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_command_is_logged_as(one: Logged, case: Case) -> None:
    with restored(one):
        got = told(one, case)
    assert len(got) == len(case.effects), got
    assert all(map(fits, got, case.effects)), got


def test_a_stored_order_that_redis_leaves_open_is_logged_as_its_outcome(one: Logged) -> None:
    """Elements of a set that weigh the same: a real replica would store them as they lie in its memory."""
    one.empty()
    one.run([b"SADD", b"s", b"b", b"a"])
    assert one.told("SORT s BY w_* ALPHA STORE d") == ["RPUSH d a b"]
    assert one.told("SORT s BY w_* ALPHA STORE d") == ["DEL d", "RPUSH d a b"]
    assert one.told("SORT none BY w_* ALPHA STORE d") == ["SORT none BY w_* ALPHA STORE d"]
    assert one.told("SORT s ALPHA STORE d") == ["SORT s ALPHA STORE d"]


def test_migrate_logs_the_keys_that_left(one: Logged, engine: InProcess) -> None:
    with restored(one), engine.wire() as there:
        there.command("SET", "b", "in the way")
        for key in (b"a", b"b", b"c"):
            one.run([b"SET", key, b"v"])
        move = f"MIGRATE 127.0.0.1 {engine.server.port} '' 0 10000"
        assert one.told(f"{move} COPY KEYS c") == []
        assert one.told(f"{move} REPLACE KEYS nosuch c") == ["DEL c"]
        assert one.told(f"{move} KEYS a b c") == ["DEL a"]  # an error to the client, for b stays


PAST = 1_000  # Unix milliseconds


def test_a_date_that_is_past_when_the_log_runs_again_deletes_nothing(one: Logged) -> None:
    """It was to come when it was logged, and what follows in the log may have put it off."""
    payload = payloads(one)[0]
    lines: list[list[bytes]] = [
        [b"HSET", b"h", b"f", b"v", b"g", b"w"],
        [b"HPEXPIREAT", b"h", b"%d" % PAST, b"FIELDS", b"1", b"f"],
        [b"HPERSIST", b"h", b"FIELDS", b"1", b"f"],
        [b"RESTORE", b"k", b"%d" % PAST, payload, b"ABSTTL"],
        [b"PERSIST", b"k"],
        [b"SET", b"l", b"v", b"PXAT", b"%d" % PAST],
        [b"PEXPIREAT", b"l", b"4102444800000"],
        [b"SET", b"gone", b"v", b"PXAT", b"%d" % PAST],
    ]
    with restored(one):
        data, offset = b"", 0
        for args in lines:
            data += sealed(encode(*args), offset, PAST, 0, SEED)
            offset += len(encode(*args))
        one.replay(data)
        assert one.run([b"HGETALL", b"h"]) == [b"f", b"v", b"g", b"w"]
        assert one.run([b"MGET", b"k", b"l", b"gone"]) == [b"v", b"v", None]


# --- the page about it -------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "internals" / "effects.md"


def command_of(line: str) -> Command:
    first, second = [*line.upper().split(), ""][:2]
    return REGISTRY.get(f"{first} {second}") or REGISTRY[first]


def listed(title: str) -> set[str]:
    """The commands that a section of the page names: in its first paragraph of names, or in its table."""
    section = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z, ]+) \|", section, re.MULTILINE)
    if not rows:
        rows = re.findall(r"^[A-Z, \n]+\.$", section, re.MULTILINE)
    return {" ".join(name.split()) for row in rows for name in row.rstrip(".").split(",")}


def test_the_page_names_every_command_that_changes_data_by_how_it_is_logged() -> None:
    plain, other = listed("As they came"), listed("In another form")
    assert not plain & other
    changing = {
        command.name
        for command in REGISTRY.values()
        if command.flags & {"write", "may_replicate"} and not command.flags & {"pubsub"}
    }
    assert plain | other == changing
    rows: dict[str, list[Case]] = {}
    for case in CASES:
        rows.setdefault(command_of(case.command).name, []).append(case)
    for name in plain:
        assert all(case.effects in ((), (case.command,)) for case in rows[name] if "*" not in str(case)), name
        assert any(case.effects for case in rows[name]), name
    for name in other - {"MIGRATE", "EVALSHA"}:
        assert any(case.effects != (case.command,) for case in rows[name]), name
