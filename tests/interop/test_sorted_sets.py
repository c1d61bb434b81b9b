"""Corners of sorted sets that random programs have found, as on the real redis-server."""

from collections.abc import Sequence
from typing import Any

from support.differential import Pair
from support.programs import Step, each_program


@each_program(r"""
== a score of minus zero is zero in a packed sorted set
ZADD z -0 m
ZSCORE z m
ZADD b 0 m
ZUNIONSTORE a 1 b WEIGHTS -1
ZSCORE a m
ZRANGE a 0 -1 WITHSCORES

== and stays what it is in a large one
CONFIG SET zset-max-listpack-entries 0
ZADD z -0 m
ZSCORE z m
ZADD z 0 m
ZSCORE z m
CONFIG SET zset-max-listpack-entries 128
""")
def test_minus_zero(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.same(steps, **mode)
