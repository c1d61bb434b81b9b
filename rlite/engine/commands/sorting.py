"""SORT and SORT_RO: the elements of a list, set or sorted set in the order of themselves or of other keys.

Which other keys, only the elements tell, so every stripe is locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, Locks, command
from rlite.engine.commands.lists import tell_replaced
from rlite.engine.core.views import parse_score
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

ITSELF = b"#"


@dataclass(slots=True)
class Sorting:
    """The options of one call. by: None where the elements are their own weights; limit: (offset, count)."""

    descending: bool = False
    alpha: bool = False
    by: bytes | None = None
    limit: tuple[int, int] = (0, -1)
    get: list[bytes] = field(default_factory=list)
    target: bytes | None = None

    @property
    def keeps_order(self) -> bool:
        """BY a name that no element changes asks for no order at all."""
        return self.by is not None and b"*" not in self.by

    def part(self, size: int) -> slice:
        offset, count = self.limit
        offset = min(max(offset, 0), size)
        return slice(offset, size if count < 0 else min(offset + count, size))


def options(call: Call, *, storing: bool) -> Sorting:
    found = Sorting()
    i = 2
    while i < len(call.args):
        word, left = call.word(i), len(call.args) - i - 1
        if word in (b"ASC", b"DESC"):
            found.descending = word == b"DESC"
        elif word == b"ALPHA":
            found.alpha = True
        elif word == b"LIMIT" and left >= 2:
            found.limit = call.int(i + 1), call.int(i + 2)
            i += 2
        elif word == b"STORE" and left and storing:
            found.target = call.args[i + 1]
            i += 1
        elif word == b"BY" and left:
            found.by = call.args[i + 1]
            i += 1
        elif word == b"GET" and left:
            found.get.append(call.args[i + 1])
            i += 1
        else:
            raise CommandError(errors.SYNTAX)
        i += 1
    return found


def stored_at(args: Sequence[bytes]) -> list[int]:
    """Where the key behind the last STORE stands: the words of other options may look like it."""
    found: list[int] = []
    skips = {b"LIMIT": 2, b"GET": 1, b"BY": 1, b"STORE": 1}
    i = 2
    while i < len(args):
        word = args[i].upper()
        if word == b"STORE" and i + 1 < len(args):
            found = [i + 1]
        i += 1 + skips.get(word, 0)
    return found


def looked_up(call: Call, pattern: bytes, element: bytes) -> bytes | None:
    """What a pattern says of an element: `#` itself; `w_*` the string at that key; `h_*->f` a field there."""
    if pattern == ITSELF:
        return element
    before, star, after = pattern.partition(b"*")
    if not star:
        return None
    rest, arrow, name = after.partition(b"->")
    key = before + element + (rest if arrow and name else after)
    wanted = "hash" if arrow and name else "string"
    if call.db.type(key) != wanted:
        return None
    view = call.db.hash_(key) if wanted == "hash" else None
    return call.db.get(key) if view is None else view.get(name)


def elements(call: Call, sorting: Sorting, key: bytes) -> list[bytes]:
    """The elements, in no order; or, where the order stays as it is, those that LIMIT lets through."""
    match call.db.type(key):
        case None:
            return []
        case "list":
            view = call.db.list(key, create=True)
            items = view.range(0, len(view))
            return items[::-1] if sorting.keeps_order and sorting.descending else items
        case "set":
            return call.db.set_(key, create=True).members()
        case "zset":
            backwards = sorting.keeps_order and sorting.descending
            return [member for member, _ in call.db.sorted_set(key, create=True).items(reverse=backwards)]
    raise CommandError(errors.WRONG_TYPE)


def weight(raw: bytes | None) -> float:
    if raw is None:
        return 0.0
    value = parse_score(raw) if raw else 0.0
    if value is None:
        raise CommandError(errors.SORT_NOT_A_DOUBLE)
    return value


def in_order(call: Call, sorting: Sorting, items: list[bytes]) -> list[bytes]:
    """Sorted by name, or by weight and then by name. What has no weight counts as 0, or comes first."""
    by, down = sorting.by, sorting.descending
    if by is None and sorting.alpha:
        return sorted(items, reverse=down)
    said = {item: item if by is None else looked_up(call, by, item) for item in items}
    if sorting.alpha:
        return sorted(items, key=lambda item: (said[item] is not None, said[item] or b""), reverse=down)
    weights = {item: weight(raw) for item, raw in said.items()}
    return sorted(items, key=lambda item: (weights[item], item), reverse=down)


def sorted_elements(call: Call, sorting: Sorting) -> list[bytes | None]:
    """What the options ask for, each element replaced by what GET says of it."""
    key = call.args[1]
    # A set has no order of its own: where its order would be kept or seen by a script, it gets one.
    lasting = sorting.target is not None or call.client.in_script
    if sorting.keeps_order and lasting and call.db.type(key) == "set":
        sorting.alpha, sorting.by = True, None
    items = elements(call, sorting, key)
    if lasting and sorting.alpha and sorting.by is not None and call.db.type(key) == "set":
        items.sort()  # what weighs the same stays in this order, whichever way the set lies in memory
    if not sorting.keeps_order:
        items = in_order(call, sorting, items)
    items = items[sorting.part(len(items))]
    if not sorting.get:
        return list(items)
    return [looked_up(call, pattern, item) for item in items for pattern in sorting.get]


SYNTAX = " key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]"
STORED = Keys(find=stored_at, access=("OW", "update"))
BY_PATTERN = Keys(find=lambda _args: [], access=("RO", "access"))  # known only from what is sorted
COMPLEXITY = "O(n + m * log m): elements there, elements returned"


@command(
    f"SORT{SYNTAX} [STORE destination]", arity=-2, flags="write denyoom movablekeys", group="generic",
    since="1.0.0", acl="-keyspace set sortedset list dangerous", complexity=COMPLEXITY,
    locks=Locks.EVERYTHING, summary="Returns or stores the elements of a list, set or sorted set in order.",
    keys=Keys(1, 1, 1, access=("RO", "access"), more=(BY_PATTERN, STORED)),
)  # fmt: skip
def sort(call: Call) -> Reply:
    sorting = options(call, storing=True)
    found = sorted_elements(call, sorting)
    target = sorting.target
    if target is None:
        return list[Reply](found)
    by_weight = sorting.alpha and sorting.by is not None and not sorting.keeps_order
    open_order = by_weight and call.db.type(call.args[1]) == "set"
    existed = call.db.delete(target)
    values = [item or b"" for item in found]
    if values:
        call.db.list(target, create=True).push(values, left=False)
    if open_order:  # what weighs the same stands in another order at a real replica: it is told the outcome
        if existed:
            call.log_as(b"DEL", target)
        if values:
            call.log_as(b"RPUSH", target, *values)
    tell_replaced(call, target, "l", "sortstore", existed=existed, changes=len(found))
    return len(found)


@command(
    f"SORT_RO{SYNTAX}", arity=-2, flags="readonly movablekeys", group="generic", since="7.0.0",
    acl="-keyspace set sortedset list dangerous", complexity=COMPLEXITY, locks=Locks.EVERYTHING,
    keys=Keys(1, 1, 1, access=("RO", "access"), more=(BY_PATTERN,)),
    summary="Returns the elements of a list, set or sorted set in order.",
)  # fmt: skip
def sort_ro(call: Call) -> Reply:
    return list[Reply](sorted_elements(call, options(call, storing=False)))
