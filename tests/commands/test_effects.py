"""What commands say to the log is what they did: run again, it makes the same data set, at any time, on any
machine.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effects import Logged, logged
from support.grammar import choice, coherent, commands
from support.programs import Step
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

KEPT = GENERIC.replace("EXPIRE key 1000", "EXPIREAT key 4102444800")
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
        SPOP key count
        SADD key member member member member
        SORT key (BY 'w_*' | BY 'nosort') [ALPHA] [LIMIT 0 3] STORE key
        SORT key ALPHA [DESC] [GET 'w_*'] STORE key
        """,
    "streams": """
        XADD key newid field value
        XTRIM key (MAXLEN|MINID) ~ (count|id) [LIMIT count]
        XREADGROUP GROUP 'g' consumer [COUNT count] [NOACK] STREAMS key key (id|>) (id|>)
        XREADGROUP GROUP 'g' consumer [COUNT count] [NOACK] STREAMS key >
        XCLAIM key 'g' consumer 0 id+ [FORCE] [JUSTID] [LASTID id]
        XAUTOCLAIM key 'g' consumer 0 0 [COUNT count]
        """,
}
BYTES = """
SET key value
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
RESTORE key (0|100000|4102444800000|1) payload REPLACE [ABSTTL]
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
    second.again(first.journal.records)
    shown = "\n    ".join(map(str, steps))
    said = "\n    ".join(first.lines())
    assert second.state() == first.state(), f"after\n    {shown}\nthe log holds\n    {said}"
    assert second.lines() == first.lines(), "what has run again logs something else"


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
    hunt(pair, commands(GROUPS[group] * 2 + KEPT, vocabulary(pair, group)), 100)


def test_what_was_given_to_those_who_waited_is_logged(pair: tuple[Logged, Logged]) -> None:
    words = vocabulary(pair, "waiting")
    waiting = st.tuples(commands(WAITING, words), st.sampled_from("bcd"))
    one = st.one_of(
        waiting.map(lambda drawn: Step(drawn[0].args, "exact", drawn[1])), commands(SERVING, words)
    )
    hunt(pair, one, 150)
