"""Sorted sets. Adding, scores and plain ranges are the core's (core/zsets.pyx); here are the other ranges,
removal by range, random members, and the commands that pop from the first of several keys or wait.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlite.engine import errors
from rlite.engine.commands.blocking import waits
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, command, core_command
from rlite.engine.commands.hashes import paired, pick_count, picked
from rlite.engine.commands.lists import bounds, option_count, tell_if_gone, tell_replaced
from rlite.engine.commands.walking import ScanOptions, parse_cursor
from rlite.engine.core.views import SortedSetView, parse_score
from rlite.engine.errors import CommandError
from rlite.engine.reply import BLOCK, NULL_ARRAY, Reply

Pairs = list[tuple[bytes, float]]

core_command(
    "ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]", arity=-4,
    flags="write denyoom fast", keys=(1, 1, 1), access="RW update", group="sorted-set", since="1.2.0",
    complexity="O(log n) for each member", summary="Gives members of a sorted set their scores.",
)  # fmt: skip
core_command(
    "ZINCRBY key increment member", arity=4, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW access update", group="sorted-set", since="1.2.0", complexity="O(log n)",
    summary="Adds to the score of a member.",
)  # fmt: skip
core_command(
    "ZCARD key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO", group="sorted-set",
    since="1.2.0", complexity="O(1)", summary="Counts the members of a sorted set.",
)  # fmt: skip
core_command(
    "ZSCORE key member", arity=3, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="sorted-set", since="1.2.0", complexity="O(1)", summary="Returns the score of a member.",
)  # fmt: skip
core_command(
    "ZMSCORE key member [member ...]", arity=-3, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="sorted-set", since="6.2.0", complexity="O(1) for each member",
    summary="Returns the scores of members.",
)  # fmt: skip
core_command(
    "ZRANK key member [WITHSCORE]", arity=-3, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="sorted-set", since="2.0.0", complexity="O(log n)",
    summary="Returns the place of a member, the lowest score first.",
)  # fmt: skip
core_command(
    "ZREVRANK key member [WITHSCORE]", arity=-3, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="sorted-set", since="2.0.0", complexity="O(log n)",
    summary="Returns the place of a member, the highest score first.",
)  # fmt: skip
core_command(
    "ZREM key member [member ...]", arity=-3, flags="write fast", keys=(1, 1, 1), access="RW delete",
    group="sorted-set", since="1.2.0", complexity="O(log n) for each member", summary="Removes members.",
)  # fmt: skip
core_command(
    "ZPOPMIN key [count]", arity=-2, flags="write fast", keys=(1, 1, 1), access="RW access delete",
    group="sorted-set", since="5.0.0", complexity="O(m * log n): members taken, members there",
    summary="Takes the members with the lowest scores.",
)  # fmt: skip
core_command(
    "ZPOPMAX key [count]", arity=-2, flags="write fast", keys=(1, 1, 1), access="RW access delete",
    group="sorted-set", since="5.0.0", complexity="O(m * log n): members taken, members there",
    summary="Takes the members with the highest scores.",
)  # fmt: skip


# --- ranges ------------------------------------------------------------------------------------------------


def score_bound(raw: bytes) -> tuple[float, bool]:
    """(score, whether it is left out) of one end of a range: `1.5`, `(1.5`, `-inf`."""
    exclusive = raw[:1] == b"("
    text = raw[1:] if exclusive else raw
    score = parse_score(text.lstrip()) if text else 0.0  # as strtod reads them
    if score is None:
        raise CommandError(errors.MIN_MAX_FLOAT)
    return score, exclusive


def ranks_by_score(view: SortedSetView | None, low: bytes, high: bytes) -> tuple[int, int]:
    """The half-open range of ranks of the scores between two bounds."""
    (least, without_least), (most, without_most) = score_bound(low), score_bound(high)
    if view is None:
        return 0, 0
    return view.below(least, without_least), view.below(most, not without_most)


def lex_bound(raw: bytes) -> tuple[bytes, int]:
    """(member, kind) of one end of a range by name: -1 `-`, 1 `+`, 0 included, 2 left out."""
    if raw in (b"-", b"+"):
        return b"", -1 if raw == b"-" else 1
    if raw[:1] not in (b"[", b"("):
        raise CommandError(errors.MIN_MAX_LEX)
    return raw[1:], 0 if raw[:1] == b"[" else 2


def ranks_by_lex(view: SortedSetView | None, low: bytes, high: bytes) -> tuple[int, int]:
    (least, at_least), (most, at_most) = lex_bound(low), lex_bound(high)
    if view is None:
        return 0, 0
    size = len(view)
    start = 0 if at_least == -1 else size if at_least == 1 else view.lex_below(least, at_least == 2)
    stop = 0 if at_most == -1 else size if at_most == 1 else view.lex_below(most, at_most == 0)
    return start, stop


def check_bounds(call: Call, by: str, first: int) -> None:
    """Raises CommandError where the bounds, arguments `first` and the next, make no sense."""
    check: Callable[[bytes], object] = score_bound if by == "score" else lex_bound
    for i in (first, first + 1):
        if by == "index":
            call.int(i)
        else:
            check(call.args[i])


@dataclass(slots=True)
class Wanted:
    """Which part of a sorted set a command wants: by index, score or name, and what of that."""

    by: str = "index"
    reverse: bool = False
    offset: int = 0
    count: int = -1
    limited: bool = False
    scores: bool = False

    def of(self, call: Call, view: SortedSetView | None, first: int) -> Pairs:
        """The pairs wanted; the bounds are arguments `first` and the next."""
        low, high = call.args[first : first + 2]
        if self.reverse and self.by != "index":
            low, high = high, low
        if self.by == "index":
            size = 0 if view is None else len(view)
            start, stop = bounds(call, first, size)
            if self.reverse:
                start, stop = size - stop, size - start
        elif self.by == "score":
            start, stop = ranks_by_score(view, low, high)
        else:
            start, stop = ranks_by_lex(view, low, high)
        if view is None or self.offset < 0:
            return []
        if self.limited and self.reverse:
            stop -= self.offset
            start = start if self.count < 0 else max(start, stop - self.count)
        elif self.limited:
            start += self.offset
            stop = stop if self.count < 0 else min(stop, start + self.count)
        return view.items(start, stop, self.reverse) if start < stop else []

    def options(self, call: Call, first: int, allowed: Sequence[bytes]) -> "Wanted":
        """Reads the options from argument `first` on."""
        i = first
        while i < len(call.args):
            word = call.word(i)
            if word not in allowed:
                raise CommandError(errors.SYNTAX)
            if word == b"WITHSCORES":
                self.scores = True
            elif word == b"REV":
                self.reverse = True
            elif word in (b"BYSCORE", b"BYLEX"):
                if self.by != "index":
                    raise CommandError(errors.SYNTAX)
                self.by = "score" if word == b"BYSCORE" else "lex"
            elif i + 2 < len(call.args):
                self.offset, self.count, self.limited = call.int(i + 1), call.int(i + 2), True
                i += 2
            else:
                raise CommandError(errors.SYNTAX)
            i += 1
        if self.limited and self.by == "index":
            raise CommandError(errors.ZRANGE_LIMIT)
        if self.scores and self.by == "lex":
            raise CommandError(errors.ZRANGE_WITHSCORES)
        return self


def shown(call: Call, wanted: Wanted) -> Reply:
    """The range of the key that is argument 1, bounds behind it."""
    check_bounds(call, wanted.by, 2)
    view = call.db.sorted_set(call.args[1])
    call.looked_up(view is not None)
    pairs = wanted.of(call, view, 2)
    return paired(call, pairs) if wanted.scores else [member for member, _ in pairs]


SHOWN = (b"WITHSCORES", b"LIMIT")  # read everywhere; where they make no sense, the error says so
CHOICE = (b"REV", b"BYSCORE", b"BYLEX", b"LIMIT")


@command(
    "ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]", core=True, arity=-4,
    flags="readonly", keys=(1, 1, 1), access="RO access", group="sorted-set", since="1.2.0",
    complexity="O(log n + m): members there, members returned",
    summary="Returns members between two places, scores or names.",
)  # fmt: skip
def zrange(call: Call) -> Reply:
    return shown(call, Wanted().options(call, 4, SHOWN + CHOICE))


@command(
    "ZREVRANGE key start stop [WITHSCORES]", core=True, arity=-4, flags="readonly", keys=(1, 1, 1),
    access="RO access", group="sorted-set", since="1.2.0", complexity="O(log n + m)",
    summary="Returns members between two places, the highest score first.",
)  # fmt: skip
def zrevrange(call: Call) -> Reply:
    return shown(call, Wanted(reverse=True).options(call, 4, SHOWN))


@command(
    "ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]", arity=-4, flags="readonly",
    keys=(1, 1, 1), access="RO access", group="sorted-set", since="1.0.5", complexity="O(log n + m)",
    summary="Returns the members between two scores.",
)  # fmt: skip
def zrangebyscore(call: Call) -> Reply:
    return shown(call, Wanted("score").options(call, 4, SHOWN))


@command(
    "ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]", arity=-4, flags="readonly",
    keys=(1, 1, 1), access="RO access", group="sorted-set", since="2.2.0", complexity="O(log n + m)",
    summary="Returns the members between two scores, the highest first.",
)  # fmt: skip
def zrevrangebyscore(call: Call) -> Reply:
    return shown(call, Wanted("score", reverse=True).options(call, 4, SHOWN))


@command(
    "ZRANGEBYLEX key min max [LIMIT offset count]", arity=-4, flags="readonly", keys=(1, 1, 1),
    access="RO access", group="sorted-set", since="2.8.9", complexity="O(log n + m)",
    summary="Returns the members between two names.",
)  # fmt: skip
def zrangebylex(call: Call) -> Reply:
    return shown(call, Wanted("lex").options(call, 4, SHOWN))


@command(
    "ZREVRANGEBYLEX key max min [LIMIT offset count]", arity=-4, flags="readonly", keys=(1, 1, 1),
    access="RO access", group="sorted-set", since="2.8.9", complexity="O(log n + m)",
    summary="Returns the members between two names, the last first.",
)  # fmt: skip
def zrevrangebylex(call: Call) -> Reply:
    return shown(call, Wanted("lex", reverse=True).options(call, 4, SHOWN))


def store_pairs(
    call: Call, event: str, pairs: Sequence[tuple[bytes, float]], target: bytes | None = None
) -> int:
    """Makes a key, argument 1 unless told, hold these pairs; without any the key goes."""
    target = call.args[1] if target is None else target
    existed = call.db.delete(target)
    if pairs:
        view = call.db.sorted_set(target, create=True)
        for member, score in pairs:
            view.add(member, score)
    tell_replaced(call, target, "z", event, existed=existed, changes=int(bool(pairs)))
    return len(pairs)


@command(
    "ZRANGESTORE dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]", arity=-5,
    flags="write denyoom", group="sorted-set", since="6.2.0", complexity="O(log n + m)",
    keys=Keys(1, 1, 1, access=("OW", "update"), more=(Keys(2, 2, 1, access=("RO", "access")),)),
    summary="Makes a sorted set of a range of another.",
)  # fmt: skip
def zrangestore(call: Call) -> Reply:
    wanted = Wanted().options(call, 5, CHOICE)
    check_bounds(call, wanted.by, 3)
    return store_pairs(call, "zrangestore", wanted.of(call, call.db.sorted_set(call.args[2]), 3))


@command(
    "ZCOUNT key min max", arity=4, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="sorted-set", since="2.0.0", complexity="O(log n)", summary="Counts members between two scores.",
)  # fmt: skip
def zcount(call: Call) -> Reply:
    check_bounds(call, "score", 2)
    view = call.db.sorted_set(call.args[1])
    call.looked_up(view is not None)
    start, stop = ranks_by_score(view, call.args[2], call.args[3])
    return max(0, stop - start)


@command(
    "ZLEXCOUNT key min max", arity=4, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="sorted-set", since="2.8.9", complexity="O(log n)", summary="Counts the members between two names.",
)  # fmt: skip
def zlexcount(call: Call) -> Reply:
    check_bounds(call, "lex", 2)
    view = call.db.sorted_set(call.args[1])
    call.looked_up(view is not None)
    start, stop = ranks_by_lex(view, call.args[2], call.args[3])
    return max(0, stop - start)


def remove_range(call: Call, event: str, view: SortedSetView | None, start: int, stop: int) -> Reply:
    removed = 0 if view is None else view.remove_range(start, stop)
    if view is not None and removed:
        call.changed(removed)
        call.notify("z", event, call.args[1])
        tell_if_gone(call, call.args[1], view)
    return removed


@command(
    "ZREMRANGEBYRANK key start stop", arity=4, flags="write", keys=(1, 1, 1), access="RW delete",
    group="sorted-set", since="2.0.0", complexity="O(log n + m)",
    summary="Removes the members between two places.",
)  # fmt: skip
def zremrangebyrank(call: Call) -> Reply:
    check_bounds(call, "index", 2)
    view = call.db.sorted_set(call.args[1])
    return remove_range(call, "zremrangebyrank", view, *bounds(call, 2, 0 if view is None else len(view)))


@command(
    "ZREMRANGEBYSCORE key min max", arity=4, flags="write", keys=(1, 1, 1), access="RW delete",
    group="sorted-set", since="1.2.0", complexity="O(log n + m)",
    summary="Removes the members between two scores.",
)  # fmt: skip
def zremrangebyscore(call: Call) -> Reply:
    check_bounds(call, "score", 2)
    view = call.db.sorted_set(call.args[1])
    return remove_range(call, "zremrangebyscore", view, *ranks_by_score(view, call.args[2], call.args[3]))


@command(
    "ZREMRANGEBYLEX key min max", arity=4, flags="write", keys=(1, 1, 1), access="RW delete",
    group="sorted-set", since="2.8.9", complexity="O(log n + m)",
    summary="Removes the members between two names.",
)  # fmt: skip
def zremrangebylex(call: Call) -> Reply:
    check_bounds(call, "lex", 2)
    view = call.db.sorted_set(call.args[1])
    return remove_range(call, "zremrangebylex", view, *ranks_by_lex(view, call.args[2], call.args[3]))


@command(
    "ZRANDMEMBER key [count [WITHSCORES]]", arity=-2, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="sorted-set", since="6.2.0", tips=("nondeterministic_output",),
    complexity="O(n) where n is the number of members returned", summary="Returns any members.",
)  # fmt: skip
def zrandmember(call: Call) -> Reply:
    if len(call.args) == 2:
        view = call.db.sorted_set(call.args[1])
        call.looked_up(view is not None)
        pair = None if view is None else view.random()
        return None if pair is None else pair[0]
    count, with_scores = pick_count(call, b"WITHSCORES")
    view = call.db.sorted_set(call.args[1])
    call.looked_up(view is not None)
    if view is None:
        return []
    pairs = picked(view.items, view.random, len(view), count)
    return paired(call, pairs) if with_scores else [member for member, _ in pairs]


@command(
    "ZSCAN key cursor [MATCH pattern] [COUNT count]", arity=-3, flags="readonly", keys=(1, 1, 1),
    access="RO access", group="sorted-set", since="2.8.0", tips=("nondeterministic_output",),
    complexity="O(1) a call; O(n) for a whole walk", summary="Walks the members, some at a time.",
)  # fmt: skip
def zscan(call: Call) -> Reply:
    cursor = parse_cursor(call.args[2])
    view = call.db.sorted_set(call.args[1])
    call.looked_up(view is not None)
    if view is None:
        return [b"0", []]
    asked = ScanOptions.of(call, 3)
    cursor, pairs = view.scan(cursor, asked.count, asked.pattern)
    return [b"%d" % cursor, [part for member, score in pairs for part in (member, score_text(score))]]


def score_text(score: float) -> bytes:
    """A score as text, as RESP2 shows a double."""
    text = f"{score:.17g}"
    return text.encode()


# --- popping from the first of several ---------------------------------------------------------------------


def take(call: Call, key: bytes, view: SortedSetView, lowest: bool, most: int) -> Pairs:
    size = len(view)
    start = 0 if lowest else max(0, size - most)
    stop = min(size, most) if lowest else size
    pairs = view.items(start, stop, reverse=not lowest)
    view.remove_range(start, stop)
    call.changed(len(pairs))
    call.notify("z", "zpopmin" if lowest else "zpopmax", key)
    tell_if_gone(call, key, view)
    return pairs


def pop_or_wait(call: Call, lowest: bool) -> Reply:
    seconds, keys = call.seconds(len(call.args) - 1), call.args[1:-1]

    def attempt(call: Call) -> Reply:
        for key in keys:
            view = call.db.sorted_set(key)
            if view is not None:
                ((member, score),) = take(call, key, view, lowest, 1)
                call.log_as(b"ZPOPMIN" if lowest else b"ZPOPMAX", key)
                return [key, member, score]
        return BLOCK

    return waits(call, keys, seconds, attempt)


@command(
    "BZPOPMIN key [key ...] timeout", arity=-3, flags="write fast blocking", keys=(1, -2, 1),
    access="RW access delete", group="sorted-set", since="5.0.0", complexity="O(log n)",
    summary="Takes the lowest member of the first sorted set that has one; waits where none has.",
)  # fmt: skip
def bzpopmin(call: Call) -> Reply:
    return pop_or_wait(call, lowest=True)


@command(
    "BZPOPMAX key [key ...] timeout", arity=-3, flags="write fast blocking", keys=(1, -2, 1),
    access="RW access delete", group="sorted-set", since="5.0.0", complexity="O(log n)",
    summary="Takes the highest member of the first sorted set that has one; waits where none has.",
)  # fmt: skip
def bzpopmax(call: Call) -> Reply:
    return pop_or_wait(call, lowest=False)


def pop_many(call: Call, first: int) -> tuple[list[bytes], Callable[[Call], Reply]]:
    """The keys of ZMPOP, whose `numkeys` is argument `first`, and the attempt to pop from them."""
    count = call.count_of_keys(first)
    keys = call.args[first + 1 : first + 1 + count]
    if first + 1 + count >= len(call.args) or call.word(first + 1 + count) not in (b"MIN", b"MAX"):
        raise CommandError(errors.SYNTAX)
    lowest = call.word(first + 1 + count) == b"MIN"
    most = option_count(call, first + 2 + count)

    def attempt(call: Call) -> Reply:
        for key in keys:
            view = call.db.sorted_set(key)
            if view is not None:
                pairs = take(call, key, view, lowest, most)
                call.log_as(b"ZPOPMIN" if lowest else b"ZPOPMAX", key, b"%d" % len(pairs))
                return [key, [list[Reply](pair) for pair in pairs]]
        return BLOCK

    return keys, attempt


@command(
    "ZMPOP numkeys key [key ...] (MIN | MAX) [COUNT count]", arity=-4, flags="write movablekeys",
    keys=Keys(counted=1, access=("RW", "access", "delete")), group="sorted-set", since="7.0.0",
    complexity="O(k + m * log n): keys, members taken, members there",
    summary="Takes members from the first sorted set that has any.",
)  # fmt: skip
def zmpop(call: Call) -> Reply:
    reply = pop_many(call, 1)[1](call)
    return NULL_ARRAY if reply is BLOCK else reply


@command(
    "BZMPOP timeout numkeys key [key ...] (MIN | MAX) [COUNT count]", arity=-5,
    flags="write blocking movablekeys", keys=Keys(counted=2, access=("RW", "access", "delete")),
    group="sorted-set", since="7.0.0", complexity="O(k + m * log n): keys, members taken, members there",
    summary="Takes members from the first sorted set that has any; waits where none has.",
)  # fmt: skip
def bzmpop(call: Call) -> Reply:
    seconds = call.seconds(1)
    keys, attempt = pop_many(call, 2)
    return waits(call, keys, seconds, attempt)
