from collections.abc import Iterator

import pytest
from support.http import Http, Served, serving


@pytest.fixture(scope="session")
def shared() -> Iterator[Served]:
    """One server for the tests that leave it as it was, but for its keys."""
    with serving() as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Served:
    wire = shared.running.wire()
    wire.command("FLUSHALL")
    wire.close()
    return shared


@pytest.fixture
def http(served: Served) -> Http:
    return served.http
