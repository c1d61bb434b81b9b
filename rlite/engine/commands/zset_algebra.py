"""Sorted sets made of sorted sets and sets: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD."""

import math
from collections.abc import Callable

from rlite.engine import errors
from rlite.engine.commands.call import Call, parse_int
from rlite.engine.commands.declare import Keys, command
from rlite.engine.commands.hashes import paired
from rlite.engine.commands.sets import limit_after
from rlite.engine.commands.sorted_sets import store_pairs
from rlite.engine.core.views import SortedSetView, parse_score
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

Scores = dict[bytes, float]
Join = Callable[[float, float], float]


STORED = Keys(1, 1, 1, access=("OW", "update"), more=(Keys(counted=2, access=("RO", "access")),))


def scores_of(call: Call, key: bytes) -> Scores:
    """A sorted set's members with their scores; those of a set all score 1."""
    if call.db.type(key) == "set":
        view = call.db.set_(key)
        return dict.fromkeys(view.members(), 1.0) if view is not None else {}
    pairs: SortedSetView | None = call.db.sorted_set(key)
    return dict(pairs.items()) if pairs is not None else {}


def added(a: float, b: float) -> float:
    """A sum in which infinities of both signs make 0, as in Redis."""
    total = a + b
    return 0.0 if math.isnan(total) else total


AGGREGATES: dict[bytes, Join] = {b"SUM": added, b"MIN": min, b"MAX": max}


def input_keys(call: Call, first: int) -> list[bytes]:
    """The keys of a command whose `numkeys` is argument `first`."""
    count = parse_int(call.args[first])
    if count is None:
        raise CommandError(errors.NOT_AN_INTEGER)
    if count < 1:
        raise CommandError(errors.AT_LEAST_ONE_KEY % call.command.counted_as)
    if count > len(call.args) - first - 1:
        raise CommandError(errors.SYNTAX)
    return call.args[first + 1 : first + 1 + count]


def inputs(call: Call, first: int, *, weighted: bool, shown: bool) -> tuple[list[Scores], Join, bool]:
    """(scores by weight, how to join them, WITHSCORES) of a command whose `numkeys` is argument `first`."""
    keys = input_keys(call, first)
    count = len(keys)
    weights, with_scores = [1.0] * count, False
    join: Callable[[float, float], float] = added
    sources = [scores_of(call, key) for key in keys]
    i = first + 1 + count
    while i < len(call.args):
        word = call.word(i)
        if weighted and word == b"WEIGHTS" and len(call.args) - i > count:
            for k in range(count):
                weight = parse_score(call.args[i + 1 + k])
                if weight is None:
                    raise CommandError(errors.WEIGHT_NOT_A_FLOAT)
                weights[k] = weight
            i += 1 + count
        elif weighted and word == b"AGGREGATE" and i + 1 < len(call.args):
            found = AGGREGATES.get(call.word(i + 1))
            if found is None:
                raise CommandError(errors.SYNTAX)
            join = found
            i += 2
        elif shown and word == b"WITHSCORES":
            with_scores = True
            i += 1
        else:
            raise CommandError(errors.SYNTAX)
    for k, weight in enumerate(weights):
        if weight != 1.0:
            sources[k] = {name: number(score * weight) for name, score in sources[k].items()}
    return sources, join, with_scores


def number(product: float) -> float:
    """Infinity times zero counts as 0."""
    return 0.0 if math.isnan(product) else product


def union(sources: list[Scores], join: Join) -> Scores:
    total: Scores = {}
    for source in sorted(sources, key=len):
        for member, score in source.items():
            total[member] = join(total[member], score) if member in total else score
    return total


def intersection(sources: list[Scores], join: Join) -> Scores:
    smallest, *others = sorted(sources, key=len)
    total: Scores = {}
    for member, score in smallest.items():
        joined = score
        for other in others:
            if member not in other:
                break
            joined = join(joined, other[member])
        else:
            total[member] = joined
    return total


def difference(sources: list[Scores], _join: Join) -> Scores:
    first, *others = sources
    return {member: score for member, score in first.items() if not any(member in other for other in others)}


def in_order(scores: Scores) -> list[tuple[bytes, float]]:
    return sorted(scores.items(), key=lambda pair: (pair[1], pair[0]))


def declare_algebra(name: str, work: Callable[[list[Scores], Join], Scores], options: str, what: str) -> None:
    """ZUNION and ZUNIONSTORE, and so on."""
    weighted = bool(options)

    @command(
        f"{name} numkeys key [key ...]{options} [WITHSCORES]", arity=-3, flags="readonly movablekeys",
        keys=Keys(counted=1, access=("RO", "access")), group="sorted-set", since="6.2.0",
        complexity="O(n + m * log m): members in all, members returned", summary=f"Returns {what}.",
    )  # fmt: skip
    def shown(call: Call) -> Reply:
        sources, join, with_scores = inputs(call, 1, weighted=weighted, shown=True)
        pairs = in_order(work(sources, join))
        return paired(call, pairs) if with_scores else [member for member, _ in pairs]

    @command(
        f"{name}STORE destination numkeys key [key ...]{options}", arity=-4,
        flags="write denyoom movablekeys",
        keys=STORED, group="sorted-set", since="2.0.0",
        complexity="O(n + m * log m): members in all, members kept", summary=f"Makes a sorted set of {what}.",
    )  # fmt: skip
    def stored(call: Call) -> Reply:
        sources, join, _ = inputs(call, 2, weighted=weighted, shown=False)
        return store_pairs(call, f"{name.lower()}store", in_order(work(sources, join)))


WEIGHED = " [WEIGHTS weight [weight ...]] [AGGREGATE (SUM | MIN | MAX)]"
declare_algebra("ZUNION", union, WEIGHED, "the members that any of several sorted sets has")
declare_algebra("ZINTER", intersection, WEIGHED, "the members that all of several sorted sets have")
declare_algebra("ZDIFF", difference, "", "the members of the first sorted set that no other has")


@command(
    "ZINTERCARD numkeys key [key ...] [LIMIT limit]", arity=-3, flags="readonly movablekeys",
    keys=Keys(counted=1, access=("RO", "access")), group="sorted-set", since="7.0.0",
    complexity="O(n * m): members of the smallest sorted set, sorted sets",
    summary="Counts the members that all of several sorted sets have.",
)  # fmt: skip
def zintercard(call: Call) -> Reply:
    keys = input_keys(call, 1)
    sources = [scores_of(call, key) for key in keys]
    limit = limit_after(call, 2 + len(keys))
    return min(limit or 2**63, len(intersection(sources, added)))
