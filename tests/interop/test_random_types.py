"""Random programs over each type answer, and store, as on the real redis-server.

Left out is what is random by itself (SPOP of a few): tests/commands holds that against a model.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.differential import Pair
from support.grammar import coherent, commands
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

GROUPS = {
    "lists": LISTS,
    "hashes": HASHES,
    "sets": SETS,
    "sorted-sets": SORTED_SETS,
    "names": NAMES,
    "streams": STREAMS,
}
# Small thresholds make small programs cross them.
NARROW = {
    "list-max-listpack-size": "4",
    "hash-max-listpack-entries": "3",
    "set-max-intset-entries": "3",
    "zset-max-listpack-entries": "3",
    "stream-node-max-entries": "3",
}
# The servers are the session's, and each program empties them first: no state passes between examples.
KEPT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def check(pair: Pair, group: str, narrow: bool, examples: int) -> None:
    """So many random programs of a group."""
    words = WORDS | STREAM_WORDS if group == "streams" else WORDS
    one = commands(GROUPS[group] * 3 + GENERIC, words)

    @settings(max_examples=examples, deadline=None, suppress_health_check=KEPT, print_blob=True)
    @given(st.lists(one, min_size=2, max_size=25), st.booleans(), st.sampled_from([2, 3]))
    def program(steps: list[Step], pipelined: bool, protocol: int) -> None:
        pair.same(coherent(steps), pipelined=pipelined, protocol=protocol)

    with pair.configured(NARROW if narrow else {}):
        program()


@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
@pytest.mark.parametrize("group", GROUPS)
def test_random_programs(pair: Pair, group: str, narrow: bool) -> None:
    check(pair, group, narrow, 400)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
@pytest.mark.parametrize("group", GROUPS)
def test_many_random_programs(pair: Pair, group: str, narrow: bool) -> None:
    check(pair, group, narrow, 10_000)
