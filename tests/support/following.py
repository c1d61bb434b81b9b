"""Servers of the test's own process that follow a master which is the test itself."""

from contextlib import ExitStack

from support.in_process import InProcess, started
from support.raw_replication import MasterLink, PatientMaster
from support.servers import wait_for
from support.snapshots import rdb
from support.wire import Bulk, Simple, Wire


class Servers:
    """Servers of this process that end with the test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, **directives: object) -> InProcess:
        made = started(**directives)
        self._stack.callback(made.close)
        return made

    def following(self, master: PatientMaster, **directives: object) -> Wire:
        """A connection to a server that follows a master."""
        wire = self.start(**directives).wire()
        assert wire.command("REPLICAOF", "127.0.0.1", master.port) == Simple(b"OK")
        return wire


def info(wire: Wire) -> dict[str, str]:
    reply = wire.command("INFO", "replication")
    assert isinstance(reply, Bulk)
    pairs = (line.split(":", 1) for line in reply.data.decode().splitlines() if ":" in line)
    return dict(pairs)


def is_up(wire: Wire) -> bool:
    return info(wire)["master_link_status"] == "up"


def until_up(wire: Wire) -> None:
    wait_for(lambda: is_up(wire), "the link is up")


def until_fault(wire: Wire, beginning: str) -> str:
    wait_for(lambda: info(wire)["rlite_master_link_error"].startswith(beginning), beginning)
    return info(wire)["rlite_master_link_error"]


def until(wire: Wire, *command: bytes | str | int, becomes: object) -> None:
    wait_for(lambda: wire.command(*command) == becomes, f"{command} is answered with {becomes}")


def established(master: PatientMaster, wire: Wire, offset: int = 0) -> MasterLink:
    peer = master.accept()
    peer.sync(rdb([]), offset=offset)
    peer.acknowledged(offset)
    until_up(wire)
    return peer
