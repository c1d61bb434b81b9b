"""A load whose effect is known step by step, to see what a crash has taken.

Each lane is one connection that performs its own numbered steps, in order, on keys of its own; what step
*n* does follows from *n* alone, so the lane's whole data after *n* steps is a pure function (`expected`).
After a crash a lane's data must be that of exactly one *n*: if it is of none, a transaction was halved, or
something was invented or put in another order; if *n* is less than what was acknowledged, or read by
somebody, something was lost. One list is shared by all lanes: it holds the order among them.

Knows the commands and the replies, not how the server is started, killed or its files are treated.
"""

import bisect
import copy
import random
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from support.wire import Array, Bulk, Err, Int, Null, Reader, Reply, Simple, Wire, encode

Command = tuple[bytes, ...]
Ask = Callable[[Sequence[Command]], list[Reply]]
SECOND = 1.0
LIST_KEEPS, STREAM_KEEPS, FIELDS = 20, 10, 7
TTL_SECONDS = 1_000_000
SCRIPT = b"""
redis.call('SET', KEYS[1], ARGV[1])
redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[3], ARGV[1])
return 1
"""

# What step n does: KINDS[n % len(KINDS)]. Those that leave no number behind (incr, trim, ...) never stand
# side by side.
KINDS = (
    "string", "incr", "push", "trim", "hash", "delete", "zset", "members", "multi", "pop",
    "script", "float", "stream", "brief", "volatile", "shared", "database",
)  # fmt: skip


def kind_of(n: int) -> str:
    return KINDS[n % len(KINDS)]


def last_of(kind: str, n: int, back: int = 0) -> int | None:
    """The number of the latest step of a kind among steps 1..n, or of the `back`-th before it."""
    found = n - (n - KINDS.index(kind)) % len(KINDS) - back * len(KINDS)
    return found if found >= 1 else None


def count_of(kind: str, n: int) -> int:
    last = last_of(kind, n)
    return 0 if last is None else (last - KINDS.index(kind)) // len(KINDS) + (KINDS.index(kind) > 0)


def value_of(n: int) -> bytes:
    """The value of a string step: its number and a filling; now and then one of several blocks."""
    turn = n // len(KINDS)
    size = 9000 + turn % 5000 if turn % 32 == 7 else turn * 37 % 120
    return b"%d %b" % (n, b"x" * size)


def number_in(value: bytes) -> int:
    return int(value.split(b" ", 1)[0])


def commands(lane: int, n: int, shared: bytes) -> list[Command]:
    """What step n of a lane sends."""
    number, turn = b"%d" % n, n // len(KINDS)

    def key(name: bytes) -> bytes:
        return b"%d:%b" % (lane, name)

    match kind_of(n):
        case "string":
            return [(b"SET", key(b"string"), value_of(n))]
        case "incr":
            return [(b"INCR", key(b"counter"))]
        case "push":
            return [(b"RPUSH", key(b"list"), number)]
        case "trim":
            return [(b"LTRIM", key(b"list"), b"%d" % -LIST_KEEPS, b"-1")]
        case "hash":
            return [(b"HSET", key(b"hash"), b"f%d" % (turn % FIELDS), number)]
        case "delete":
            return [(b"DEL", key(b"hidden"))] if turn % 2 else [(b"SET", key(b"hidden"), number)]
        case "zset":
            return [(b"ZADD", key(b"zset"), number, b"m%d" % (turn % FIELDS))]
        case "members":
            return [(b"SADD", key(b"set"), number, b"a", b"b")]
        case "pop":  # which ones is chance, so all
            return [(b"SPOP", key(b"set"), b"100")]
        case "multi":
            pair = [(b"SET", key(b"one"), number), (b"SET", key(b"two"), number)]
            return [(b"MULTI",), *pair, (b"EXEC",)]
        case "script":
            keys = (key(b"three"), key(b"runs"), key(b"four"))
            return [(b"EVAL", SCRIPT, b"3", *keys, number)]
        case "float":
            return [(b"INCRBYFLOAT", key(b"float"), b"0.1")]
        case "stream":
            return [(b"XADD", key(b"stream"), b"MAXLEN", b"%d" % STREAM_KEEPS, b"*", b"n", number)]
        case "brief":
            return [(b"SET", key(b"brief"), number, b"PX", b"1")]
        case "volatile":
            return [(b"SET", key(b"volatile"), number, b"EX", b"%d" % TTL_SECONDS)]
        case "shared":
            return [(b"RPUSH", shared, b"%d:%d" % (lane, n))]
        case _:
            return [(b"SELECT", b"1"), (b"SET", key(b"string"), number), (b"SELECT", b"0")]


def expected(n: int) -> dict[str, Any]:
    """A lane's data after its first n steps, as `observed` puts it."""

    def text(kind: str, back: int = 0) -> bytes | None:
        last = last_of(kind, n, back)
        return None if last is None else b"%d" % last

    def latest(kind: str, count: int) -> list[bytes]:
        return [number for back in range(count) if (number := text(kind, back)) is not None]

    string = last_of("string", n)
    trim, hidden = last_of("trim", n) or 0, last_of("delete", n)
    kept = LIST_KEEPS + (count_of("push", n) - count_of("push", trim))
    fields = {number: (int(number) // len(KINDS)) % FIELDS for number in latest("hash", FIELDS)}
    members = {number: (int(number) // len(KINDS)) % FIELDS for number in latest("zset", FIELDS)}
    added = last_of("members", n)
    return {
        "string": None if string is None else value_of(string),
        "counter": count_of("incr", n),
        "list": latest("push", kept)[::-1],
        "hash": {b"f%d" % name: number for number, name in fields.items()},
        "hidden": None if hidden is None or hidden // len(KINDS) % 2 else b"%d" % hidden,
        "zset": {b"m%d" % name: number for number, name in members.items()},
        "set": {b"%d" % added, b"a", b"b"} if added and added > (last_of("pop", n) or 0) else set(),
        "one": text("multi"),
        "two": text("multi"),
        "three": text("script"),
        "four": text("script"),
        "runs": count_of("script", n),
        "float": count_of("float", n),
        "stream": latest("stream", STREAM_KEEPS)[::-1],
        "brief": None,
        "volatile": text("volatile"),
        "ttl": text("volatile") is not None,
        "database": text("database"),
        "shared": text("shared"),
    }


# --- reading it back ----------------------------------------------------------------------------------------

READS: Sequence[tuple[bytes, ...]] = (
    (b"GET", b"string"), (b"GET", b"counter"), (b"LRANGE", b"list", b"0", b"-1"), (b"HGETALL", b"hash"),
    (b"GET", b"hidden"), (b"ZRANGE", b"zset", b"0", b"-1", b"WITHSCORES"), (b"SMEMBERS", b"set"),
    (b"GET", b"one"), (b"GET", b"two"), (b"GET", b"three"), (b"GET", b"four"), (b"GET", b"runs"),
    (b"GET", b"float"), (b"XRANGE", b"stream", b"-", b"+"), (b"GET", b"brief"), (b"GET", b"volatile"),
    (b"TTL", b"volatile"),
)  # fmt: skip


def reads(lane: int) -> list[Command]:
    """What is asked to see all of a lane's data, in the order in which `observed` takes the replies."""
    own = [(name, b"%d:%b" % (lane, key), *rest) for name, key, *rest in READS]
    return [*own, (b"SELECT", b"1"), (b"GET", b"%d:string" % lane), (b"SELECT", b"0")]


def plain(reply: Reply) -> Any:
    """A reply without its types: bytes, int, None, lists. Errors are raised."""
    match reply:
        case Bulk(data):
            return data
        case Int(value):
            return value
        case Simple(text):
            return text
        case Null():
            return None
        case Array(items):
            return [plain(item) for item in items]
        case _:
            raise AssertionError(f"not expected when reading back: {reply}")


def observed(replies: Sequence[Reply], shared: bytes | None) -> dict[str, Any]:
    """A lane's data from the replies to `reads`, and its newest step in the shared list."""
    values = [plain(reply) for reply in replies]
    stream, ttl = values[13], values[16]
    return {
        "string": values[0],
        "counter": int(values[1] or 0),
        "list": values[2],
        "hash": _pairs(values[3]),
        "hidden": values[4],
        "zset": _pairs(values[5]),
        "set": set(values[6]),
        "one": values[7],
        "two": values[8],
        "three": values[9],
        "four": values[10],
        "runs": int(values[11] or 0),
        "float": round(float(values[12] or 0) * 10),
        "stream": [fields[1] for _, fields in stream],
        "brief": values[14],
        "volatile": values[15],
        # A deadline is a date: it neither vanishes nor begins anew.
        "ttl": ttl != -2 and 0 < ttl <= TTL_SECONDS,
        "database": values[18],
        "shared": shared,
    }


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def newest_in(data: dict[str, Any]) -> int:
    """The highest step number that stands anywhere in a lane's data."""
    seen = [0]
    for name, value in data.items():
        match value:
            case bytes():
                seen.append(number_in(value))
            case dict():
                seen += map(int, value.values())
            case list():
                seen += map(int, value)
            case set():
                seen += [int(member) for member in value if member not in (b"a", b"b")]
            case _:
                assert value is None or name in ("counter", "runs", "float", "ttl"), name
    return max(seen)


class LostError(AssertionError):
    """The data after a crash is not what was promised."""


def steps_in(data: dict[str, Any], lane: int, floor: int, sent: int) -> int:
    """How many steps a lane's data holds. Raises LostError where it is of no number, or not within
    floor..sent.
    """
    newest = newest_in(data)
    # More than one where a step leaves no trace (a trim of a short list).
    fitting = [n for n in range(newest, newest + len(KINDS)) if expected(n) == data]
    promised = [n for n in fitting if floor <= n <= sent]
    if promised:
        return promised[-1]
    if fitting:
        kind = "lost" if fitting[-1] < floor else "invented"
        raise LostError(f"lane {lane}: {kind}: it holds {fitting[-1]} steps; promised {floor}, sent {sent}")
    wanted = expected(newest)
    wrong = {name: (data[name], wanted[name]) for name in wanted if data[name] != wanted[name]}
    raise LostError(
        f"lane {lane}: no number of steps leaves this. Newest is step {newest} ({kind_of(newest)}),"
        f" promised {floor}, sent {sent}. (found, expected after step {newest}): {wrong}"
    )


# --- the lanes ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lane:
    """What one writer knows. sent: its newest step; acknowledged: the newest whose whole reply came, with
    the times (monotonic) and numbers of all since the round began; seen: the newest that any reader was
    shown; begun: how many steps there were when the round began.
    """

    number: int
    sent: int = 0
    acknowledged: int = 0
    begun: int = 0
    times: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    seen: int = 0
    stream_ids: dict[int, bytes] = field(default_factory=dict)
    refused: Err | None = None

    def acknowledge(self, n: int, now: float) -> None:
        self.acknowledged = n
        self.times.append(now)
        self.numbers.append(n)

    def acknowledged_by(self, moment: float) -> int:
        """The newest step that was acknowledged at a moment."""
        at = bisect.bisect_right(self.times, moment)
        return self.numbers[at - 1] if at else self.begun

    def begin(self, steps: int) -> None:
        """Goes on from a number of steps, as found after a restart."""
        self.sent = self.acknowledged = self.begun = self.seen = steps
        self.times.clear()
        self.numbers.clear()
        self.stream_ids.clear()
        self.refused = None


class Connection:
    """A socket without blocking, and what is still to be answered on it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self.socket.getsockname()[1]
        self.reader = Reader(self._nothing_more)
        self.closed = False
        self.waiting: list[tuple[int, int]] = []  # (step, replies that are still to come)
        self._unsent = b""

    @staticmethod
    def _nothing_more() -> bytes:
        raise BlockingIOError

    def send(self, data: bytes) -> None:
        self._unsent += data
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # what was already answered can still be read
            self._unsent = b""

    def replies(self) -> list[Reply]:
        """All whole replies that are there; notes when the server has closed."""
        if self._unsent:
            self.send(b"")
        try:
            while data := self.socket.recv(1 << 18):
                self.reader.buffer += data
            self.closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
        found = []
        try:
            while True:
                found.append(self.reader.next()[0])
        except BlockingIOError:
            return found


class Load:
    """Lanes and readers on one server, in rounds: connect, run, let it be killed, verify on the restarted
    one.

    depth: how many steps a lane has in flight at most. random: decides depths and the order.
    """

    def __init__(self, *, lanes: int = 4, readers: int = 1, depth: int = 8, seed: int = 0) -> None:
        self.lanes = [Lane(number) for number in range(lanes)]
        self.random = random.Random(seed)
        self.round = 0
        self.acknowledged = 0  # over all rounds
        self.read = 0
        self._readers = readers
        self._depth = depth
        self._writing: list[tuple[Lane, Connection]] = []
        self._reading: list[Connection] = []
        self._selector = selectors.DefaultSelector()
        self._places: dict[int, bytes] = {}  # of the shared list, as acknowledged in this round
        self.lane_of_port: dict[int, Lane] = {}
        self.reader_ports: set[int] = set()

    def copy(self) -> Self:
        """What it knows of this round, for checks after later ones."""
        other = copy.copy(self)
        other.lanes = copy.deepcopy(self.lanes)
        other._places = dict(self._places)
        by_number = {lane.number: lane for lane in other.lanes}
        other.lane_of_port = {port: by_number[lane.number] for port, lane in self.lane_of_port.items()}
        return other

    @property
    def shared(self) -> bytes:
        return b"shared:%d" % self.round

    def connect(self, address: tuple[str, int]) -> None:
        """Begins a round."""
        self.round += 1
        self._places.clear()
        self.lane_of_port = {}
        self.reader_ports = set()
        for lane in self.lanes:
            connection = Connection(address)
            self._writing.append((lane, connection))
            self.lane_of_port[connection.port] = lane
            self._selector.register(connection.socket, selectors.EVENT_READ, (lane, connection))
        for _ in range(self._readers):
            connection = Connection(address)
            self._reading.append(connection)
            self.reader_ports.add(connection.port)
            self._selector.register(connection.socket, selectors.EVENT_READ, (None, connection))

    def writers(self) -> list[tuple[Lane, Connection]]:
        """The lanes and their connections in this round."""
        return list(self._writing)

    def run(self, until: Callable[[], bool]) -> None:
        """Sends and receives until it is told to stop, or all connections are closed."""
        for lane, connection in self._writing:
            self._send_steps(lane, connection)
        for connection in self._reading:
            self._send_reads(connection)
        while not until() and self._selector.get_map():
            self._turn(0.002, go_on=True)

    def drain(self) -> None:
        """Takes what had been answered before the server ended: that is acknowledged too."""
        deadline = time.monotonic() + 10
        while self._selector.get_map():
            self._turn(0.1, go_on=False)
            assert time.monotonic() < deadline, "the connections of a killed server stay open"
        self._writing.clear()
        self._reading.clear()

    def settle(self) -> None:
        """Waits for the answers to all that was sent, on a server that goes on; keeps the connections."""
        deadline = time.monotonic() + 30
        while any(connection.waiting and not connection.closed for _, connection in self._writing):
            self._turn(0.1, go_on=False)
            assert time.monotonic() < deadline, "30 s without an answer"

    def _turn(self, seconds: float, *, go_on: bool) -> None:
        for key, _ in self._selector.select(seconds):
            lane, connection = key.data
            replies = connection.replies()
            if lane is None:
                self._take_reads(connection, replies)
            else:
                self._take_steps(lane, connection, replies)
            if connection.closed:
                self._selector.unregister(connection.socket)
                connection.socket.close()
            elif go_on and not connection.waiting:
                if lane is None:
                    self._send_reads(connection)
                elif lane.refused is None:
                    self._send_steps(lane, connection)

    def _send_steps(self, lane: Lane, connection: Connection) -> None:
        sent = b""
        for _ in range(self.random.randint(1, self._depth)):
            lane.sent += 1
            step = commands(lane.number, lane.sent, self.shared)
            connection.waiting.append((lane.sent, len(step)))
            sent += b"".join(encode(*command) for command in step)
        connection.send(sent)

    def _take_steps(self, lane: Lane, connection: Connection, replies: list[Reply]) -> None:
        now = time.monotonic()
        for reply in replies:
            n, left = connection.waiting[0]
            if isinstance(reply, Err):
                lane.refused = lane.refused or reply
            if left > 1:
                connection.waiting[0] = (n, left - 1)
                continue
            connection.waiting.pop(0)
            if lane.refused is not None:
                continue
            self._acknowledge(lane, n, reply, now)

    def _acknowledge(self, lane: Lane, n: int, reply: Reply, now: float) -> None:
        lane.acknowledge(n, now)
        self.acknowledged += 1
        if kind_of(n) == "shared":
            assert isinstance(reply, Int), reply
            self._places[reply.value - 1] = b"%d:%d" % (lane.number, n)
        elif kind_of(n) == "stream":
            assert isinstance(reply, Bulk), reply
            lane.stream_ids[n] = reply.data

    def _send_reads(self, connection: Connection) -> None:
        keys = [b"%d:%b" % (lane.number, name) for lane in self.lanes for name in (b"one", b"two", b"string")]
        connection.waiting.append((0, 1))
        connection.send(encode(b"MGET", *keys))

    def _take_reads(self, connection: Connection, replies: list[Reply]) -> None:
        for reply in replies:
            connection.waiting.pop(0)
            self.read += 1
            for lane, newest in self.shown_by(reply):
                lane.seen = max(lane.seen, newest)

    def shown_by(self, reply: Reply) -> list[tuple[Lane, int]]:
        """What a reader's reply shows: the newest step of each lane. Half a transaction is an error."""
        values = plain(reply)
        shown = []
        for at, lane in enumerate(self.lanes):
            one, two, string = values[3 * at : 3 * at + 3]
            assert one == two, f"a reader saw half a transaction of lane {lane.number}: {one!r} and {two!r}"
            shown.append((lane, max([number_in(value) for value in (one, string) if value], default=0)))
        return shown

    def check(self, ask: Ask, floors: Callable[[Lane], int]) -> list[int]:
        """How many steps of each lane a server holds that was started again after this round.

        ask: replies to some commands; floors: how many steps of a lane must be there. Raises LostError.
        """
        items = plain(ask([(b"LRANGE", self.shared, b"0", b"-1")])[0])
        self._check_places(items)
        found = []
        for lane in self.lanes:
            replies = ask(reads(lane.number))
            own = [
                number for owner, number in (item.split(b":") for item in items) if int(owner) == lane.number
            ]
            before = last_of("shared", lane.begun)
            newest = own[-1] if own else None if before is None else b"%d" % before
            steps = steps_in(observed(replies, newest), lane.number, floors(lane), lane.sent)
            wanted = [b"%d" % n for n in range(lane.begun + 1, steps + 1) if kind_of(n) == "shared"]
            if own != wanted:
                raise LostError(f"lane {lane.number} has {own} in the shared list, expected {wanted}")
            self._check_stream(lane, replies[13])
            found.append(steps)
        return found

    def verify(self, wire: Wire, floors: Callable[[Lane], int]) -> None:
        """`check` on a connection; the next round goes on from what is there."""

        def ask(asked: Sequence[Command]) -> list[Reply]:
            wire.send_raw(b"".join(encode(*command) for command in asked))
            return [wire.read_reply() for _ in asked]

        for lane, steps in zip(self.lanes, self.check(ask, floors), strict=True):
            lane.begin(steps)
        wire.command(b"UNLINK", b"shared:%d" % (self.round - 1), self.shared)

    def _check_stream(self, lane: Lane, reply: Reply) -> None:
        for identity, fields in plain(reply):
            acknowledged = lane.stream_ids.get(int(fields[1]), identity)
            if acknowledged != identity:
                raise LostError(
                    f"lane {lane.number}: {acknowledged!r} was acknowledged, found as {identity!r}"
                )

    def _check_places(self, items: list[bytes]) -> None:
        for place, item in self._places.items():
            if place < len(items) and items[place] != item:
                raise LostError(f"the shared list has {items[place]!r} at {place}; acknowledged was {item!r}")
