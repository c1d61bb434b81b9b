"""The server that the tests of commands talk to."""

from collections.abc import Iterator

import pytest
from support.in_process import InProcess, started
from support.servers import Server


@pytest.fixture
def engine() -> Iterator[InProcess]:
    """A server of one's own, DEBUG allowed."""
    running = started(enable_debug_command="yes")
    yield running
    running.close()


@pytest.fixture(params=["rlite", "redis_peer"])
def server(request: pytest.FixtureRequest) -> Server:
    """Ours, and then the real one: what a test says with it holds for both."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Server)
    return found
