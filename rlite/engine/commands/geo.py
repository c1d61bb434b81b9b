"""Places: sorted sets whose scores are geohashes. What a score means is told in types/geohash.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import REGISTRY, Keys, command
from rlite.engine.commands.sorted_sets import store_pairs
from rlite.engine.core.views import SortedSetView, parse_score
from rlite.engine.errors import CommandError
from rlite.engine.reply import NULL_ARRAY, Raw, Reply
from rlite.engine.types import geohash
from rlite.engine.types.geohash import Shape

UNITS = {b"m": 1.0, b"km": 1000.0, b"ft": 0.3048, b"mi": 1609.34}  # metres
Place = tuple[float, float]


def number(call: Call, index: int, error: str = errors.NOT_A_FLOAT) -> float:
    value = parse_score(call.args[index])
    if value is None:
        raise CommandError(error)
    return value


def unit(call: Call, index: int) -> float:
    metres = UNITS.get(call.args[index].lower())
    if metres is None:
        raise CommandError(errors.GEO_UNIT)
    return metres


def place(call: Call, index: int) -> Place:
    """Longitude and latitude, arguments `index` and the next."""
    longitude, latitude = number(call, index), number(call, index + 1)
    (west, east), (south, north) = geohash.LONGITUDES, geohash.LATITUDES
    if not (west <= longitude <= east and south <= latitude <= north):
        raise CommandError(errors.GEO_PAIR % (f"{longitude:f}", f"{latitude:f}"))
    return longitude, latitude


def place_of(view: SortedSetView, member: bytes) -> Place:
    score = view.score(member)
    if score is None:
        raise CommandError(errors.GEO_NO_MEMBER)
    return geohash.decode(int(score))


def coordinate(call: Call, value: float) -> Reply:
    """A degree with the 17 decimals that Redis shows."""
    text = f"{value:.17f}".rstrip("0").rstrip(".").encode()
    return Raw(b",%s\r\n" % text) if call.client.resp == 3 else text


def coordinates(call: Call, where: Place) -> Reply:
    return [coordinate(call, where[0]), coordinate(call, where[1])]


def metres_shown(metres: float, of_unit: float) -> bytes:
    return b"%.4f" % (metres / of_unit)


@command(
    "GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]", arity=-5,
    flags="write denyoom", keys=(1, 1, 1), access="RW update", group="geo", since="3.2.0",
    complexity="O(log n) for each member", summary="Adds places, or moves them.",
)  # fmt: skip
def geoadd(call: Call) -> Reply:
    first = 2
    while first < len(call.args) and call.word(first) in (b"NX", b"XX", b"CH"):
        first += 1
    options = [word.upper() for word in call.args[2:first]]
    if (len(call.args) - first) % 3 or (b"NX" in options and b"XX" in options):
        raise CommandError(errors.SYNTAX)
    args = [b"ZADD", call.args[1], *options]
    for i in range(first, len(call.args), 3):
        args += [b"%d" % geohash.encode(*place(call, i)), call.args[i + 2]]
    zadd = REGISTRY["ZADD"].core
    assert zadd is not None
    done = call.db.run_core(zadd, args, [1], call.client.resp, bool(call.server.notify_classes))
    assert done is not None
    raw, _, dirty, _, _, events = done
    call.changed(dirty)
    call.log_nothing()  # ZADD has told the log
    for kind, event, key in events:
        call.notify(kind, event, key)
    return Raw(raw)


@command(
    "GEOPOS key [member [member ...]]", arity=-2, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="geo", since="3.2.0", complexity="O(1) for each member", summary="Tells where members are.",
)  # fmt: skip
def geopos(call: Call) -> Reply:
    return [
        NULL_ARRAY if score is None else coordinates(call, geohash.decode(score)) for score in scores(call)
    ]


@command(
    "GEOHASH key [member [member ...]]", arity=-2, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="geo", since="3.2.0", complexity="O(1) for each member",
    summary="Returns where members are as geohashes.",
)  # fmt: skip
def geohashes(call: Call) -> Reply:
    return [None if score is None else geohash.text(score) for score in scores(call)]


def scores(call: Call) -> list[int | None]:
    """The scores of the members that are arguments 2 and on; None for those not there."""
    view = call.db.sorted_set(call.args[1])
    call.looked_up(view is not None)
    found = [None if view is None else view.score(member) for member in call.args[2:]]
    return [None if score is None else int(score) for score in found]


@command(
    "GEODIST key member1 member2 [M | KM | FT | MI]", arity=-4, flags="readonly", keys=(1, 1, 1),
    access="RO access", group="geo", since="3.2.0", complexity="O(1)",
    summary="Tells how far two members are from each other.",
)  # fmt: skip
def geodist(call: Call) -> Reply:
    if len(call.args) > 5:
        raise CommandError(errors.SYNTAX)
    metres = unit(call, 4) if len(call.args) == 5 else 1.0
    view = call.db.sorted_set(call.args[1])
    call.looked_up(view is not None)
    a, b = (None, None) if view is None else (view.score(call.args[2]), view.score(call.args[3]))
    if a is None or b is None:
        return None
    return metres_shown(geohash.distance(geohash.decode(int(a)), geohash.decode(int(b))), metres)


# --- searching ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """One member within a shape. distance: metres from its centre."""

    member: bytes
    score: int
    where: Place
    distance: float


@dataclass(slots=True)
class Search:
    """What one of the searching commands asks for. unit: metres."""

    centre: Place | None = None
    radius: float | None = None
    box: Place | None = None
    unit: float = 1.0
    has_centre: bool = False
    lonlat: bool = False  # the centre is given by its place
    count: int = 0
    any: bool = False
    order: bytes = b""
    shown: set[bytes] = field(default_factory=set)
    target: bytes | None = None
    by_distance: bool = False  # a stored score is the distance

    def read_radius(self, call: Call, index: int) -> None:
        self.radius = number(call, index, errors.GEO_RADIUS)
        if self.radius < 0:
            raise CommandError(errors.GEO_RADIUS_NEGATIVE)
        self.unit = unit(call, index + 1)

    def read_box(self, call: Call, index: int) -> None:
        width = number(call, index, errors.GEO_WIDTH)
        height = number(call, index + 1, errors.GEO_HEIGHT)
        if width < 0 or height < 0:
            raise CommandError(errors.GEO_BOX_NEGATIVE)
        self.box, self.unit = (width, height), unit(call, index + 2)

    def read_member(self, view: SortedSetView | None, member: bytes) -> None:
        """Of a key that is not there the answer is empty, whatever the member."""
        if view is not None:
            self.centre = place_of(view, member)
        self.has_centre = True

    def read_options(
        self, call: Call, view: SortedSetView | None, first: int, *, old: bool, storing: bool
    ) -> None:
        """Arguments from `first` on. old: those of GEORADIUS; storing: some of them may store."""
        i = first
        while i < len(call.args):
            word, left = call.word(i), len(call.args) - i - 1
            if word in (b"WITHDIST", b"WITHHASH", b"WITHCOORD"):
                self.shown.add(word)
            elif word == b"ANY":
                self.any = True
            elif word in (b"ASC", b"DESC"):
                self.order = word
            elif word == b"COUNT" and left:
                self.count = call.int(i + 1)
                if self.count <= 0:
                    raise CommandError(errors.GEO_COUNT)
                i += 1
            elif old and storing and left and word in (b"STORE", b"STOREDIST"):
                self.target, self.by_distance = call.args[i + 1], word == b"STOREDIST"
                i += 1
            elif not old and word == b"FROMMEMBER" and left and not (self.has_centre and self.lonlat):
                self.read_member(view, call.args[i + 1])
                i += 1
            elif not old and word == b"FROMLONLAT" and left >= 2 and (self.lonlat or not self.has_centre):
                self.centre, self.has_centre, self.lonlat = place(call, i + 1), True, True
                i += 2
            elif not old and word == b"BYRADIUS" and left >= 2 and self.box is None:
                self.read_radius(call, i + 1)
                i += 2
            elif not old and word == b"BYBOX" and left >= 3 and self.radius is None:
                self.read_box(call, i + 1)
                i += 3
            elif not old and storing and word == b"STOREDIST":
                self.by_distance = True
            else:
                raise CommandError(errors.SYNTAX)
            i += 1

    def run(self, view: SortedSetView) -> list[Found]:
        assert self.centre is not None
        metres = self.unit
        width, height = self.box or (0.0, 0.0)
        radius = None if self.radius is None else self.radius * metres
        shape = Shape(self.centre, radius, width * metres, height * metres)
        order = self.order or (b"ASC" if self.count and not self.any else b"")
        found: list[Found] = []
        for low, high in shape.cells():
            if self.any and self.count and len(found) >= self.count:
                break
            for member, score in view.items(view.below(low, False), view.below(high, False)):
                where = geohash.decode(int(score))
                distance = shape.distance_to(where)
                if distance is not None:
                    found.append(Found(member, int(score), where, distance))
                    if self.any and self.count and len(found) >= self.count:
                        break
        if order:
            found.sort(key=lambda each: each.distance, reverse=order == b"DESC")
        return found[: self.count] if self.count else found

    def reply(self, call: Call, found: Sequence[Found]) -> Reply:
        if not self.shown:
            return [each.member for each in found]
        rows: list[Reply] = []
        for each in found:
            row: list[Reply] = [each.member]
            if b"WITHDIST" in self.shown:
                row.append(metres_shown(each.distance, self.unit))
            if b"WITHHASH" in self.shown:
                row.append(each.score)
            if b"WITHCOORD" in self.shown:
                row.append(coordinates(call, each.where))
            rows.append(row)
        return rows

    def store(self, call: Call, event: str, found: Sequence[Found]) -> int:
        assert self.target is not None
        scored = [
            (each.member, each.distance / self.unit if self.by_distance else float(each.score))
            for each in found
        ]
        return store_pairs(call, event, scored, self.target)


def searched(call: Call, search: Search, view: SortedSetView | None, event: str, storing: str) -> Reply:
    """The checks after all options are read, the search, and its reply. storing: how errors call it."""
    if search.target is not None and search.shown:
        raise CommandError(errors.GEO_STORE_WITH % storing)
    if not search.has_centre:
        raise CommandError(errors.GEO_FROM % call.args[0].decode("latin-1"))
    if search.radius is None and search.box is None:
        raise CommandError(errors.GEO_BY % call.args[0].decode("latin-1"))
    if search.any and not search.count:
        raise CommandError(errors.GEO_ANY)
    found = [] if view is None else search.run(view)
    return search.reply(call, found) if search.target is None else search.store(call, event, found)


OPTIONS = "[WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]"
STORE = " [STORE key | STOREDIST key]"
AROUND = "(M | KM | FT | MI)"


def keys_of_old(after: int) -> Keys:
    """The keys of GEORADIUS and its kind, whose options begin at argument `after`."""
    words, access = ("STORE", "STOREDIST"), ("OW", "update")
    stored = tuple(Keys(keyword=word, after=after, step=1, access=access) for word in words)
    return Keys(1, 1, 1, access=("RO", "access"), more=stored)


OF_SEARCH = "O(n + log m): members in the cells around the shape, members there"


def around_a_place(call: Call, storing: bool) -> Reply:
    """GEORADIUS."""
    view = call.db.sorted_set(call.args[1])
    search = Search(centre=place(call, 2), has_centre=True)
    search.read_radius(call, 4)
    search.read_options(call, view, 6, old=True, storing=storing)
    return searched(call, search, view, "georadiusstore", errors.GEO_OLD_STORE)


def around_a_member(call: Call, storing: bool) -> Reply:
    """GEORADIUSBYMEMBER. Of a key that is not there, the radius is not looked at."""
    view = call.db.sorted_set(call.args[1])
    search = Search()
    search.read_member(view, call.args[2])
    if view is None:
        search.radius = 0.0
    else:
        search.read_radius(call, 3)
    search.read_options(call, view, 5, old=True, storing=storing)
    return searched(call, search, view, "georadiusstore", errors.GEO_OLD_STORE)


@command(
    f"GEORADIUS key longitude latitude radius {AROUND} {OPTIONS}{STORE}", arity=-6,
    flags="write denyoom movablekeys", keys=keys_of_old(6), group="geo", since="3.2.0", complexity=OF_SEARCH,
    summary="Finds, or stores, the members within a circle.",
)  # fmt: skip
def georadius(call: Call) -> Reply:
    return around_a_place(call, True)


@command(
    f"GEORADIUSBYMEMBER key member radius {AROUND} {OPTIONS}{STORE}", arity=-5,
    flags="write denyoom movablekeys", keys=keys_of_old(5), group="geo", since="3.2.0", complexity=OF_SEARCH,
    summary="Finds, or stores, the members within a circle around another.",
)  # fmt: skip
def georadiusbymember(call: Call) -> Reply:
    return around_a_member(call, True)


@command(
    f"GEORADIUS_RO key longitude latitude radius {AROUND} {OPTIONS}", arity=-6, flags="readonly",
    keys=(1, 1, 1), access="RO access", group="geo", since="3.2.10", complexity=OF_SEARCH,
    summary="Finds the members within a circle.",
)  # fmt: skip
def georadius_ro(call: Call) -> Reply:
    return around_a_place(call, False)


@command(
    f"GEORADIUSBYMEMBER_RO key member radius {AROUND} {OPTIONS}", arity=-5, flags="readonly",
    keys=(1, 1, 1), access="RO access", group="geo", since="3.2.10", complexity=OF_SEARCH,
    summary="Finds the members within a circle around another.",
)  # fmt: skip
def georadiusbymember_ro(call: Call) -> Reply:
    return around_a_member(call, False)


SHAPE = (
    "(FROMMEMBER member | FROMLONLAT longitude latitude) "
    f"(BYRADIUS radius {AROUND} | BYBOX width height {AROUND})"
)


@command(
    f"GEOSEARCH key {SHAPE} [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]", arity=-7,
    flags="readonly", keys=(1, 1, 1), access="RO access", group="geo", since="6.2.0", complexity=OF_SEARCH,
    summary="Finds the members within a circle or a box.",
)  # fmt: skip
def geosearch(call: Call) -> Reply:
    view = call.db.sorted_set(call.args[1])
    search = Search()
    search.read_options(call, view, 2, old=False, storing=False)
    return searched(call, search, view, "", "")


@command(
    f"GEOSEARCHSTORE destination source {SHAPE} [ASC | DESC] [COUNT count [ANY]] [STOREDIST]", arity=-8,
    flags="write denyoom", group="geo", since="6.2.0", complexity=OF_SEARCH,
    keys=Keys(1, 1, 1, access=("OW", "update"), more=(Keys(2, 2, 1, access=("RO", "access")),)),
    summary="Makes a sorted set of the members within a circle or a box.",
)  # fmt: skip
def geosearchstore(call: Call) -> Reply:
    view = call.db.sorted_set(call.args[2])
    search = Search(target=call.args[1])
    search.read_options(call, view, 3, old=False, storing=True)
    return searched(call, search, view, "geosearchstore", "GEOSEARCHSTORE")
