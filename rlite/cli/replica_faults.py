"""Why a replica and its master do not come together, found out by asking both; and the words for it.

A server of ours says itself why its link is down. For a real Redis the master is asked from here, with what
the replica would log in with, which is a guess where this machine sees another network than the replica does.
"""

import errno
from dataclasses import dataclass, replace

from rlite.cli.asking import info_text
from rlite.cli.info_text import flat, number
from rlite.cli.options import Target, for_nothing
from rlite.cli.output import escaped
from rlite.cli.replica_status import Fault, Status, status_of
from rlite.engine.addresses import Address, is_loopback
from rlite.engine.client import ConnectError, Connection, NotRespError
from rlite.engine.errors import CommandError, RliteError

# Faults that no waiting mends: somebody must change something.
LASTING = frozenset({"auth", "circle", "data", "denied", "disk", "internal", "protocol", "version"})
# Faults of the way from here to the master, which may be another than the replica's.
OF_THE_WAY = frozenset({"lost", "refused", "unreachable"})
# What a master says while it will be there shortly.
PASSING = ("not yet", "loading")
HOPS = 8  # of a chain of replicas that are looked at for a circle


def lasting(fault: Fault) -> bool:
    return fault.kind in LASTING


def passing(fault: Fault) -> bool:
    """Whether it will pass by itself, as far as anybody can tell."""
    return fault.kind == "loading" or (fault.kind == "refused" and fault.text.startswith(PASSING))


def read_status(connection: Connection) -> Status:
    """How a server stands. Raises CommandError, RliteError."""
    status = status_of(flat(info_text(connection)))
    fault = status.fault
    if fault is not None and fault.kind == "auth":  # its text is the master's reply
        words = master_fault(CommandError(fault.text))
        status = replace(status, fault=replace(words, kind=fault.kind))
    return status


# --- words -------------------------------------------------------------------------------------------------


def master_fault(fault: CommandError) -> Fault:
    """What a master's error reply means for its replica."""
    text = escaped(fault.text)
    word = fault.text.partition(" ")[0]
    if word == "NOAUTH":
        return Fault("auth", "the master asks for a password: --master-password-file, or the URI")
    if word == "WRONGPASS" or "invalid password" in fault.text:
        return Fault("auth", "the master refuses the password, or the name of the user")
    if for_nothing(fault):
        return Fault(
            "auth",
            "the master wants no password, and turns away who sends one: masterauth is set",
        )
    if word == "NOPERM":
        return Fault("auth", f"the master does not permit it: {text}")
    if word == "DENIED":
        return Fault("denied", "the master is in protected mode: it serves its own machine only")
    if word == "LOADING":
        return Fault("loading", "the master is still loading its data")
    return Fault("auth" if "AUTH" in word else "refused", f"the master says: {text}")


# --- looking at the master ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen of a master from here: how it stands, or why not."""

    status: Status | None
    fault: Fault | None


def look(master: Target | None) -> Sight:
    """Asks a master how it stands, as its replica would log in; nothing where it cannot be seen from here."""
    if master is None:
        return Sight(None, None)
    try:
        with master.connect(strict=True) as connection:
            status = read_status(connection)
    except CommandError as fault:
        return Sight(None, master_fault(fault))
    except NotRespError:
        return Sight(None, Fault("protocol", f"what listens at {master} is no Redis server"))
    except ConnectError as fault:
        kind = "refused" if fault.number == errno.ECONNREFUSED else "unreachable"
        return Sight(None, Fault(kind, escaped(str(fault))))
    except RliteError as fault:
        return Sight(None, Fault("lost", escaped(str(fault))))
    if status.loading:
        return Sight(status, Fault("loading", "the master is still loading its data"))
    if status.master is not None and not status.link_up:
        upstream = escaped(str(status.master))
        return Sight(
            status, Fault("upstream", f"the master is a replica itself, and has no link to {upstream}")
        )
    return Sight(status, None)


def way_to(address: Address, server: Address, status: Status) -> Address | None:
    """Where for us is what `server` knows by `address`: loopback there is its machine. None where nobody can
    tell: behind a tunnel or a container's mapped port its loopback is not ours. status: how `server` stands.
    """
    if server.unix or not is_loopback(address.host):
        return address
    if status.port not in (0, server.port):
        return None
    return address if is_loopback(server.host) else replace(address, host=server.host)


def circle(told: Status, server: Address, master: Target) -> Fault | None:
    """Whether the master's data come, at the end of its chain, from the server that shall follow it. Looks
    as far as it can; None where there is no circle, or none can be seen. master: as it is reached from here.
    """
    at = master
    through: list[str] = []
    for _ in range(HOPS):
        if _same(at.address, server):
            return _circle(through)
        status = look(at).status
        if status is None or not status.run_id:
            return None
        if status.run_id == told.run_id:
            return _circle(through)
        if status.master is None:
            return None
        through.append(escaped(str(at.address)))
        here = way_to(status.master, at.address, status)
        if here is None:
            return None
        at = replace(at, address=replace(at.address, host=here.host, port=here.port))
    return None


def _circle(through: list[str]) -> Fault:
    if not through:
        return Fault("circle", "that is the server itself")
    chain = through[0] + "".join(f" follows {each}, which" for each in through[1:])
    return Fault("circle", f"that would be a circle: {chain} follows it already")


def _same(one: Address, other: Address) -> bool:
    """Whether two addresses are surely of one server, as they are written."""
    hosts_alike = one.host == other.host or (is_loopback(one.host) and is_loopback(other.host))
    return not one.unix and not other.unix and hosts_alike and one.port == other.port


def is_talking(connection: Connection) -> bool:
    """Whether a replica has a connection to its master, though not yet the stream; ROLE knows. Then a fault
    to connect that is seen from here, from another network perhaps, is none of the replica's.
    """
    try:
        role = connection.command("ROLE")
    except CommandError:
        return False
    return isinstance(role, list) and len(role) == 5 and role[3] in (b"handshake", b"sync", b"connected")


def login_of(connection: Connection) -> tuple[str | None, str | None]:
    """User and password with which a server logs in to its master, where it tells. Never for printing."""
    said: list[str] = []
    for name in ("masteruser", "masterauth"):
        try:
            reply = connection.command("CONFIG", "GET", name)
        except CommandError:
            return None, None
        value = reply[1] if isinstance(reply, list) and len(reply) == 2 else b""
        said.append(value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else "")
    return said[0] or None, said[1] or None


def newer(master: Status | None, replica: Status) -> Fault | None:
    """Where a master is of a later version than the replica that cannot take its data."""
    if master is None:
        return None
    theirs, ours = _release(master.redis_version), _release(replica.redis_version)
    if theirs <= ours:
        return None
    return Fault(
        "version",
        f"the master ({escaped(master.version)}) is newer than the replica ({escaped(replica.version)}), "
        "which may not be able to read its data",
    )


def _release(version: str) -> tuple[int, ...]:
    return tuple(number({"part": part}, "part") for part in version.split(".")[:2])
