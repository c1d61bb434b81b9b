"""A pytest plugin: the fixture `rlite_server` gives each test a fresh, empty server in this process.

It is found by pytest on its own once rlite is installed. It imports the engine only when a test asks for a
server.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rlite.engine.server import Server


class RliteServer:
    """A running server: `host`, `port`, `url` for any client; `directives` it was started with."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self.host = "127.0.0.1"
        self.port = server.port
        self.url = f"redis://{self.host}:{self.port}/0"

    def __repr__(self) -> str:
        return f"<rlite server at {self.url}>"


@pytest.fixture
def rlite_server(request: pytest.FixtureRequest) -> Iterator[RliteServer]:
    """A fresh server on a free port of loopback, stopped after the test.

    Directives can be given by a marker: `@pytest.mark.rlite(maxmemory="1mb",
    maxmemory_policy="allkeys-lru")`.
    """
    from rlite.engine.config import Config
    from rlite.engine.server import Server

    marker = request.node.get_closest_marker("rlite")
    directives = dict(marker.kwargs) if marker is not None else {}
    server = Server(Config(**{"port": 0, "bind": "127.0.0.1", "io_threads": 1, "save": "", **directives}))
    server.start()
    try:
        yield RliteServer(server)
    finally:
        server.stop()


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker that carries directives."""
    config.addinivalue_line(
        "markers", "rlite(**directives): directives for the server of the rlite_server fixture"
    )
