"""What commands say to the log is what they did: run again, it makes the same data set, at any time, on any
machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effect_cases import CASES, Case, fits
from support.effects import Logged, logged
from support.grammar import choice, coherent, commands
from support.programs import Step, words
from support.typed_commands import (
    GENERIC,
    HASHES,
    LISTS,
    NAMES,
    SETS,
    SORTED_SETS,
    STREAM_WORDS,
    STREAMS,
    WORDS,
)

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

AGING = """
(EXPIRE|PEXPIRE) key (1000|1000000|0|'-1') [NX|XX|GT|LT]
(EXPIREAT|PEXPIREAT) key (4102444800|1) [NX|XX|GT|LT]
PERSIST key
RENAMENX key key
GETDEL key
"""
MORE = {
    "hashes": """
        HSET key (field value)+
        (HEXPIRE|HPEXPIRE) key 1000000 [NX|XX|GT|LT] FIELDS 1 field
        (HEXPIRE|HPEXPIRE) key (1000000|2000000|0) [NX|XX|GT|LT] FIELDS 2 field field
        (HEXPIREAT|HPEXPIREAT) key (4102444800|1) [NX|XX|GT|LT] FIELDS 2 field field
        HPERSIST key FIELDS 1 field
        HINCRBYFLOAT key field float
        """,
    "sets": """
        SPOP key [count]
        SADD key member member member member
        SORT key (BY 'w_*' | BY 'nosort') [ALPHA] [LIMIT 0 3] STORE key
        SORT key ALPHA [DESC] [GET 'w_*'] STORE key
        """,
    "streams": """
        XADD key newid field value
        XADD key [NOMKSTREAM] [(MAXLEN|MINID) ('='|~) count] ('*'|newid) field value
        XADD key (MAXLEN|MINID) ~ (count|id) LIMIT count ('*'|newid) field value
        XTRIM key (MAXLEN|MINID) ~ (count|id) [LIMIT count]
        XREADGROUP GROUP 'g' consumer [COUNT count] [NOACK] STREAMS key key (id|>) (id|>)
        XREADGROUP GROUP 'g' consumer [COUNT count] [NOACK] STREAMS key >
        XCLAIM key 'g' consumer 0 id+ [FORCE] [JUSTID] [LASTID id]
        XAUTOCLAIM key 'g' consumer 0 0 [COUNT count]
        """,
}
BYTES = """
SET key value
SET key value [NX|XX] [GET] (EX 1000 | PX 1000000 | EXAT 4102444800 | PXAT 4102444800000 | KEEPTTL)
(SETEX|PSETEX) key 1000000 value
GETEX key (EX 1000 | PX 1000000 | EXAT 4102444800 | EXAT 1 | PERSIST)
SET key float
INCRBYFLOAT key float
GETSET key value
APPEND key value
SETRANGE key small value
SETBIT key small (0|1)
BITOP (AND|OR|XOR) key key key
BITOP NOT key key
BITFIELD key [OVERFLOW FAIL] (SET 'u8' small int | INCRBY 'i5' small int)
BITFIELD key [OVERFLOW (SAT|FAIL|WRAP)] (INCRBY 'u2' small int)+
PFADD key member+
PFADD key member
PFCOUNT key
PFCOUNT key key
PFMERGE key key+
PFDEBUG (TODENSE|GETREG) key
GEOADD key [NX|XX] [CH] lon lat member
GEOADD key (lon lat member)+
GEORADIUS key lon lat 500 KM [COUNT 2 [ANY]] [ASC|DESC] (STORE|STOREDIST) key
GEOSEARCHSTORE key key FROMLONLAT lon lat BYBOX 500 500 KM [COUNT 2 [ANY]] [STOREDIST]
RPUSH key value+
SORT key [ALPHA] [BY 'nosort'] STORE key
INCRBY key int
DECR key
RESTORE key (0|100000) payload [REPLACE] [ABSTTL] [(IDLETIME|FREQ) small]
RESTORE key (4102444800000|1) payload REPLACE ABSTTL
SWAPDB 0 1
SELECT (0|1)
"""
PLACES = {"lon": choice("13.3", "13.4", "15", "181"), "lat": choice("52.5", "38.1", "37.5", "x")}
GROUPS = {
    "lists": LISTS,
    "hashes": HASHES + MORE["hashes"],
    "sets": SETS + MORE["sets"],
    "sorted-sets": SORTED_SETS,
    "names": NAMES,
    "streams": STREAMS + MORE["streams"] * 3,
    "bytes": BYTES,
}
WAITING = """
(BLPOP|BRPOP) key [key] 0
BLMOVE key key (LEFT|RIGHT) (LEFT|RIGHT) 0
BRPOPLPUSH key key 0
BLMPOP 0 2 key key (LEFT|RIGHT) [COUNT count]
(BZPOPMIN|BZPOPMAX) key [key] 0
BZMPOP 0 2 key key (MIN|MAX) [COUNT count]
XREADGROUP GROUP 'g' consumer [COUNT count] BLOCK 0 [NOACK] STREAMS key >
XREADGROUP GROUP 'g' consumer [COUNT count] BLOCK 0 [NOACK] STREAMS key key > >
"""
SERVING = """
(LPUSH|RPUSH) key value+
LPUSH key value
ZADD key (score member)+
XADD key newid field value
XGROUP CREATE key 'g' 0 MKSTREAM
XGROUP DELCONSUMER key 'g' consumer
XGROUP DESTROY key 'g'
XDEL key id
DEL key
MULTI
EXEC
RENAME key key
COPY key key REPLACE
"""
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


def vocabulary(pair: tuple[Logged, Logged], group: str) -> dict[str, st.SearchStrategy[bytes]]:
    more = STREAM_WORDS if group in ("streams", "waiting") else {}
    return WORDS | more | PLACES | {"payload": st.sampled_from(payloads(pair[0]))}


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
    hunt(pair, commands(GROUPS[group] * 2 + GENERIC + AGING, vocabulary(pair, group)), 100)


def test_what_was_given_to_those_who_waited_is_logged(pair: tuple[Logged, Logged]) -> None:
    known = vocabulary(pair, "waiting")
    waiting = st.tuples(commands(WAITING, known), st.sampled_from("bcd"))
    one = st.one_of(
        waiting.map(lambda drawn: Step(drawn[0].args, "exact", drawn[1])), commands(SERVING, known)
    )
    hunt(pair, one, 150)


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
