"""Fixtures and rules for all tests: servers, real peers, and what happens where a peer is missing."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
from support import netns
from support.differential import Pair
from support.in_process import InProcess, started
from support.netns import Network
from support.servers import PACKAGES, Server, missing_programs, running, start_redis, start_rlite

StartRlite = Callable[..., Server]


def require_package(package: str) -> None:
    """Skip, naming the Debian package, where its programs are missing; in CI that is a failure."""
    missing = missing_programs(package)
    if missing:
        leave_out(f"{', '.join(missing)} not found: apt-get install {package}")


def leave_out(reason: str) -> NoReturn:
    """Skip the test for something that this machine lacks; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kills 5000`: how often the durability tests kill a server under load, all together; `--cuts 200`:
    how often the replication tests cut a link under load, all pairs together.
    """
    parser.addoption("--kills", type=int, default=None, help="SIGKILLs under load (default: 40, in CI 240)")
    parser.addoption("--cuts", type=int, default=None, help="cut links under load (default: 30, in CI 200)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave hunts of minutes or hours out, unless -m asks for them."""
    if "long" in (config.option.markexpr or ""):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.peer("redis-tools")`: this test runs a program of that package."""
    for mark in item.iter_markers("peer"):
        for package in mark.args:
            assert package in PACKAGES, f"support/servers.py does not know the package {package!r}"
            require_package(package)


@pytest.fixture
def rlite_proc(tmp_path: Path) -> Iterator[StartRlite]:
    """Start servers of our own in this test: `rlite_proc({"maxmemory": "1mb"}, unix=True)`."""
    with ExitStack() as stack:

        def start(directives: Mapping[str, str] | None = None, *, unix: bool = False) -> Server:
            return stack.enter_context(running(start_rlite, directives, unix=unix))

        yield start


@pytest.fixture(scope="session")
def _rlite_session() -> Iterator[Server]:
    with running(start_rlite, {"enable-debug-command": "yes"}) as server:
        yield server


@pytest.fixture(scope="session")
def _redis_session() -> Iterator[Server]:
    require_package("redis-server")
    with running(start_redis, {"enable-debug-command": "yes"}) as server:
        yield server


def _emptied(server: Server) -> Iterator[Server]:
    with server.wire() as wire:
        wire.command("FLUSHALL")
    yield server
    server.close_wires()


@pytest.fixture
def rlite(_rlite_session: Server) -> Iterator[Server]:
    """Our server, shared by the session, empty at the start of each test."""
    yield from _emptied(_rlite_session)


@pytest.fixture
def redis_peer(_redis_session: Server) -> Iterator[Server]:
    """The real redis-server, shared by the session, empty at the start of each test."""
    yield from _emptied(_redis_session)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Three machines, as network namespaces, whose links can be cut."""
    require_package("iproute2")
    reason = netns.obstacle()
    if reason is not None:
        leave_out(reason)
    with netns.network(3) as made:
        yield made


@pytest.fixture(scope="session")
def pair(_rlite_session: Server, _redis_session: Server) -> Pair:
    """Our server and the real one; each program empties both."""
    return Pair(_rlite_session, _redis_session)


@pytest.fixture(params=["rlite", "redis_peer"])
def server(request: pytest.FixtureRequest) -> Server:
    """Ours, and then the real one: what a test says with it holds for both."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Server)
    return found


@pytest.fixture
def engine() -> Iterator[InProcess]:
    """A server of one's own in this process, DEBUG allowed."""
    running = started(enable_debug_command="yes")
    yield running
    running.close()
