"""Values of every type: after random programs the books hold, to the byte, and a value saved and restored is
the same value.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interop.test_random_types import GENERIC, GROUPS, NARROW, STREAM_WORDS, WORDS
from support.grammar import commands
from support.programs import Step

from rlite.engine import Engine
from rlite.engine.core.audit import audit
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.errors import CommandError

FIELD_TTL = """
HEXPIRE key 1000 FIELDS 1 field
HPEXPIRE key 1000 FIELDS 2 field field
HPERSIST key FIELDS 1 field
HPEXPIREAT key 1 FIELDS 1 field
HTTL key FIELDS 1 field
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(enable_debug_command="yes") as found:
        yield found


def run(engine: Engine, steps: list[Step]) -> None:
    engine.execute("FLUSHALL")
    for step in steps:
        try:
            engine.execute(*step.args)
        except CommandError:
            continue


def keyspace_of(engine: Engine) -> Keyspace:
    return engine._server.context.keyspace


def digest(engine: Engine, key: bytes) -> object:
    return engine.execute("DEBUG", "DIGEST-VALUE", key)


@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
@pytest.mark.parametrize("group", GROUPS)
def test_the_books_hold(engine: Engine, group: str, narrow: bool) -> None:
    words = WORDS | STREAM_WORDS if group == "streams" else WORDS
    text = (GROUPS[group] + (FIELD_TTL if group == "hashes" else "")) * 3 + GENERIC.replace(
        "MULTI\nEXEC\n", ""
    )
    # Nobody blocks here: there is no second client that could end it.
    text = "\n".join(line for line in text.splitlines() if not line.startswith(("B", "(BL")))
    old = {name: engine.execute("CONFIG", "GET", name) for name in NARROW}

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(commands(text, words), min_size=2, max_size=30))
    def program(steps: list[Step]) -> None:
        run(engine, steps)
        audit(keyspace_of(engine))
        keys = engine.execute("KEYS", "*")
        assert isinstance(keys, list)
        for key in keys:
            assert isinstance(key, bytes)
            engine.execute("PERSIST", key)  # a digest tells of a deadline, DUMP does not
            before = digest(engine, key)
            dumped = engine.execute("DUMP", key)
            assert isinstance(dumped, bytes)
            engine.execute("RESTORE", key, 0, dumped, "REPLACE")
            assert digest(engine, key) == before
            engine.execute("COPY", key, "the copy", "REPLACE")
            assert digest(engine, b"the copy") == before
            engine.execute("UNLINK", "the copy")
        audit(keyspace_of(engine))
        engine.execute("FLUSHALL")
        assert audit(keyspace_of(engine)) >= 0

    if narrow:
        for name, value in NARROW.items():
            engine.execute("CONFIG", "SET", name, value)
    try:
        program()
    finally:
        for name, pair in old.items():
            value = pair[name.encode()] if isinstance(pair, dict) else pair[1]  # type: ignore[index]
            engine.execute("CONFIG", "SET", name, value)  # type: ignore[arg-type]


ELEMENTS = {"RPUSH": "value:%d", "SADD": "value:%d", "ZADD": "%d value:%d", "HSET": "field:%d v", "XADD": ""}


@pytest.mark.parametrize("make", ELEMENTS)
def test_large_values_are_booked_and_freed(engine: Engine, make: str) -> None:
    engine.execute("FLUSHALL")
    empty = keyspace_of(engine).dataset_bytes()
    for first in range(0, 50_000, 1000):
        if make == "XADD":
            for _ in range(1000):
                engine.execute("XADD", "k", "*", "f", "v")
            continue
        words = " ".join(ELEMENTS[make].replace("%d", str(number)) for number in range(first, first + 1000))
        engine.execute(make, "k", *words.split())
    assert keyspace_of(engine).dataset_bytes() - empty > 100_000
    audit(keyspace_of(engine))
    engine.execute("UNLINK", "k")
    assert keyspace_of(engine).dataset_bytes() == empty
    audit(keyspace_of(engine))
