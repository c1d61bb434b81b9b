"""The same program against two servers, reply by reply.

Replies are compared as bytes unless a step names another way to agree (`AGREEMENTS`): time, ids and random
order can not be equal. After the program the two keyspaces are compared too, since a command may answer well
and store badly. What differs is shown as the shortest prefix that shows it, with both replies.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from support.programs import Step
from support.servers import Server
from support.wire import (
    Array,
    Bulk,
    ClosedError,
    Err,
    Int,
    Map,
    NoReplyError,
    Reply,
    Set,
    Simple,
    Wire,
    encode,
    parse,
)

SILENCE = b"(no reply was due)"
CLOSED = b"(closed)"


def _about(ours: Reply, theirs: Reply) -> bool:
    """Integers within 2 %, or 2; anything else equal. For what is left of a TTL."""
    if isinstance(ours, Int) and isinstance(theirs, Int) and (ours.value > 0) == (theirs.value > 0):
        return abs(ours.value - theirs.value) <= max(2, abs(theirs.value) * 0.02)
    return ours == theirs


def _flat(reply: Reply) -> list[str]:
    """The leaves, sorted: for arrays whose order is the server's own business."""
    return sorted(map(repr, _leaves(reply)))


def _unordered(ours: Reply, theirs: Reply) -> bool:
    return type(ours) is type(theirs) and _flat(ours) == _flat(theirs)


def _kind(ours: Reply, theirs: Reply) -> bool:
    """The same RESP type, and both or neither empty or an error."""
    if isinstance(ours, Err) or isinstance(theirs, Err):
        return ours == theirs
    return type(ours) is type(theirs)


def _code(ours: Reply, theirs: Reply) -> bool:
    """Errors agree in their first word; other replies are equal."""
    if isinstance(ours, Err) and isinstance(theirs, Err):
        return ours.text.split(b" ")[0] == theirs.text.split(b" ")[0]
    return ours == theirs


def _dump(ours: Reply, theirs: Reply) -> bool:
    """DUMP payloads without their last ten bytes: version and checksum."""
    if isinstance(ours, Bulk) and isinstance(theirs, Bulk):
        return ours.data[:-10] == theirs.data[:-10]
    return ours == theirs


def _but_consumers(ours: Reply, theirs: Reply) -> bool:
    """XINFO GROUPS without the number of consumers: since 7.2 one is made though it gets nothing."""

    def rest(reply: Reply) -> list[str]:
        leaves = ["", *map(repr, _leaves(reply))]
        return [leaf for before, leaf in pairwise(leaves) if "consumers" not in before]

    return rest(ours) == rest(theirs)


def _encoding(ours: Reply, theirs: Reply) -> bool:
    """OBJECT ENCODING: since 7.2 small sets and lists are listpacks, sets by what makes them."""
    older = (Bulk(b"hashtable"), Bulk(b"quicklist"), Bulk(b"intset"))
    return ours == theirs or (ours == Bulk(b"listpack") and theirs in older)


def _leaves(reply: Reply) -> list[Reply]:
    match reply:
        case Array(items) | Set(items):
            return [leaf for item in items for leaf in _leaves(item)]
        case Map(pairs):
            return [leaf for pair in pairs for item in pair for leaf in _leaves(item)]
        case _:
            return [reply]


def _shape(ours: Reply, theirs: Reply) -> bool:
    """The same nesting of the same types; an array's length counts, the leaves' values do not."""
    if isinstance(ours, Array) and isinstance(theirs, Array):
        pairs = zip(ours.items, theirs.items, strict=False)
        return len(ours.items) == len(theirs.items) and all(_shape(one, other) for one, other in pairs)
    return type(ours) is type(theirs)


AGREEMENTS: Mapping[str, Callable[[Reply, Reply], bool]] = {
    "about": _about,
    "unordered": _unordered,
    "kind": _kind,
    "code": _code,
    "dump": _dump,
    "shape": _shape,
    "encoding": _encoding,
    "butconsumers": _but_consumers,
}


def agree(step: Step, ours: bytes, theirs: bytes) -> bool:
    """Whether two raw replies to a step are the same, as the step understands it."""
    if ours == theirs:
        return True
    if step.agreement in ("exact", "silent") or SILENCE in (ours, theirs) or CLOSED in (ours, theirs):
        return False
    return AGREEMENTS[step.agreement](parse(ours), parse(theirs))


def _read(wire: Wire, step: Step) -> bytes:
    if step.agreement == "silent":
        return SILENCE
    try:
        return wire.read_raw_reply()
    except ClosedError:
        return CLOSED
    except NoReplyError as error:
        raise AssertionError(f"no reply to {step}: {error}") from None


def run(server: Server, steps: Sequence[Step], *, protocol: int = 2, pipelined: bool = False) -> list[bytes]:
    """The raw replies of one server to a program, on connections of its own, from an empty keyspace.

    Keys past their deadline stay until somebody looks at them: when a server removes them by itself is its
    own affair, and DBSIZE would tell.
    """
    wires: dict[str, Wire] = {}
    with server.wire() as reset:
        assert reset.command("FLUSHALL") == Simple(b"OK")
        assert reset.command("DEBUG", "SET-ACTIVE-EXPIRE", "0") == Simple(b"OK")
        try:
            for step in steps:
                if step.connection not in wires:
                    wires[step.connection] = server.wire(protocol=protocol)
            if pipelined:
                return _run_pipelined(wires["a"], steps)
            return [_exchange(wires[step.connection], step) for step in steps]
        finally:
            with server.wire() as again:  # the first may have been killed by the program
                assert again.command("DEBUG", "SET-ACTIVE-EXPIRE", "1") == Simple(b"OK")
            server.close_wires()


def _run_pipelined(wire: Wire, steps: Sequence[Step]) -> list[bytes]:
    wire.send_raw(b"".join(encode(*step.args) for step in steps))
    return [_read(wire, step) for step in steps]


def _exchange(wire: Wire, step: Step) -> bytes:
    try:
        wire.send(*step.args)
    except (BrokenPipeError, ConnectionResetError):
        return CLOSED
    return _read(wire, step)


def keyspace(server: Server, databases: Sequence[int] = (0, 1)) -> dict[tuple[int, bytes], str]:
    """Every key with its type, a digest of its value, and whether it has a TTL."""
    with server.wire() as wire:
        return {key: seen for database in databases for key, seen in database_seen(wire, database).items()}


def database_seen(wire: Wire, database: int = 0) -> dict[tuple[int, bytes], str]:
    """As `keyspace`, one database of whoever is at the other end."""
    found: dict[tuple[int, bytes], str] = {}
    if database:  # a node of a cluster has only one, and no SELECT
        wire.command("SELECT", database)
    keys = wire.command("KEYS", "*")
    assert isinstance(keys, Array)
    for key in sorted(item.data for item in keys.items if isinstance(item, Bulk)):
        kind, ttl = wire.command("TYPE", key), wire.command("TTL", key)
        value = wire.command("DEBUG", "DIGEST-VALUE", key)
        volatile = isinstance(ttl, Int) and ttl.value >= 0
        found[database, key] = f"{kind} {value} {'volatile' if volatile else 'persistent'}"
    return found


@dataclass(frozen=True, slots=True)
class Pair:
    """Our server and the real one, side by side."""

    ours: Server
    theirs: Server

    def same(self, steps: Sequence[Step], *, protocol: int = 2, pipelined: bool = False) -> None:
        """Fail with the first differing command and both replies, or with the first differing key."""
        our_replies = run(self.ours, steps, protocol=protocol, pipelined=pipelined)
        their_replies = run(self.theirs, steps, protocol=protocol, pipelined=pipelined)
        for at, (step, ours, theirs) in enumerate(zip(steps, our_replies, their_replies, strict=True)):
            if not agree(step, ours, theirs):
                before = "\n    ".join(str(earlier) for earlier in steps[:at])
                how = f"RESP{protocol}{', pipelined' if pipelined else ''}"
                raise AssertionError(
                    f"replies differ ({how}):\n    {before}\n  > {step}\n"
                    f"    {self.ours.name}: {_show(ours)}\n    {self.theirs.name}: {_show(theirs)}"
                )
        our_keys, their_keys = keyspace(self.ours), keyspace(self.theirs)
        text = "\n    ".join(map(str, steps))
        assert our_keys == their_keys, f"the keyspaces differ after\n    {text}"

    @contextmanager
    def configured(self, directives: Mapping[str, str]) -> Iterator[None]:
        """Both servers with these directives; afterwards with those they had."""
        before: dict[Server, dict[str, bytes]] = {}
        for server in (self.ours, self.theirs):
            with server.wire() as wire:
                before[server] = {}
                for name, value in directives.items():
                    reply = wire.command("CONFIG", "GET", name)
                    assert isinstance(reply, Array)
                    old = reply.items[1]
                    assert isinstance(old, Bulk)
                    before[server][name] = old.data
                    assert wire.command("CONFIG", "SET", name, value) == Simple(b"OK")
        try:
            yield
        finally:
            for server, old_values in before.items():
                with server.wire() as wire:
                    for name, was in old_values.items():
                        assert wire.command("CONFIG", "SET", name, was) == Simple(b"OK")

    def needs(self, *commands: str) -> None:
        """Skip the test as long as our server lacks a command it builds on (lists, for wrong types)."""
        with self.ours.wire() as wire:
            reply = wire.command("COMMAND", "INFO", *commands)
        if not (isinstance(reply, Array) and all(isinstance(item, Array) for item in reply.items)):
            pytest.skip(f"{self.ours.name} does not have all of {', '.join(commands)}")


def _show(raw: bytes) -> str:
    return repr(raw) if len(raw) <= 400 else f"{raw[:400]!r}... ({len(raw)} bytes)"
