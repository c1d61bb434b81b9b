"""A server inside the test's own process, for directives and states that no other process shows."""

from rlite.engine.config import Config
from rlite.engine.server import Server
from support.wire import Wire


class InProcess:
    """A running server of this process, and connections to it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._wires: list[Wire] = []

    def wire(self, *, protocol: int = 2) -> Wire:
        wire = Wire(("127.0.0.1", self.server.port), timeout=10)
        self._wires.append(wire)
        if protocol != 2:
            wire.command("HELLO", protocol)
        return wire

    def close(self) -> None:
        for wire in self._wires:
            wire.close()
        self.server.stop()


def started(**directives: object) -> InProcess:
    server = Server(Config(**{"port": 0, "bind": ["127.0.0.1"], "io_threads": 2, "save": "", **directives}))
    server.start()
    return InProcess(server)
