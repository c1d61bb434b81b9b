"""The server that the tests of commands talk to."""

from collections.abc import Iterator

import pytest
from support.in_process import InProcess, started


@pytest.fixture
def engine() -> Iterator[InProcess]:
    """A server of one's own, DEBUG allowed."""
    running = started(enable_debug_command="yes")
    yield running
    running.close()
