"""Servers started as processes, for tests and benchmarks: ours, and the real redis-server beside it.

A server gets a directory of its own, a free port on loopback, and a log file; waiting is always polling
with a deadline. `RLITE_TEST_STAND_IN=redis` starts redis-server wherever ours is asked for, which is how
the programs of the interop tests are themselves checked.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.wire import Wire

START_SECONDS = 20.0
STOP_SECONDS = 20.0
READY = "Ready to accept connections"

# Which of Debian's packages brings which programs.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "redis-server": ("redis-server",),
    "redis-sentinel": ("redis-sentinel",),
    "redis-tools": ("redis-cli", "redis-benchmark"),
    "nutcracker": ("nutcracker",),
    "iproute2": ("ip",),
    "npm": ("npm", "node"),
}


class StartError(Exception):
    """A server did not come up; carries its exit code, if it ended, and its log."""

    def __init__(self, argv: list[str], exit_code: int | None, log: str) -> None:
        super().__init__(f"{' '.join(argv)} did not start (exit code {exit_code}):\n{log}")
        self.exit_code = exit_code
        self.log = log


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float = 10.0) -> None:
    """Poll until `condition` holds; fail naming `what` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.002)


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_cluster_port() -> int:
    """A port for a node of a Redis Cluster, which takes the one 10,000 above it for itself, too."""
    while True:
        port = random.randrange(12_000, 22_000)  # below what the system gives to connections
        with socket.socket() as probe, socket.socket() as bus, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port


def missing_programs(package: str) -> list[str]:
    """The programs of a Debian package that are not on this machine."""
    return [program for program in PACKAGES[package] if shutil.which(program) is None]


@dataclass(slots=True, eq=False)
class Server:
    """A running server process."""

    name: str
    process: subprocess.Popen[bytes]
    directory: Path
    argv: list[str]
    port: int = 0
    unix_socket: Path | None = None
    host: str = "127.0.0.1"
    _wires: list[Wire] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        return (self.host, self.port)

    @property
    def log_path(self) -> Path:
        return self.directory / "server.log"

    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text(errors="replace")

    def wire(self, *, protocol: int = 2, unix: bool = False, timeout: float = 10.0) -> Wire:
        """A new raw connection, closed at the latest when the server is stopped."""
        if unix:
            assert self.unix_socket is not None, "started without a Unix socket"
        wire = Wire(str(self.unix_socket) if unix else self.address, timeout=timeout)
        self._wires.append(wire)
        if protocol != 2:
            wire.command("HELLO", protocol)
        return wire

    def close_wires(self) -> None:
        while self._wires:
            self._wires.pop().close()

    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_ended(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {seconds} s:\n{self.log()}") from None

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit code."""
        self.close_wires()
        if self.is_running():
            self.process.send_signal(sig)
        try:
            return self.wait_ended()
        finally:
            self.kill9()

    def kill9(self) -> None:
        """End it without asking."""
        self.close_wires()
        if self.is_running():
            self.process.kill()
        self.process.wait()

    def has_children(self) -> bool:
        """Whether any process that it forked, or it itself, is still there."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill_group(self) -> None:
        """End it and the children it has forked, without asking; also those that outlived it."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def rss(self) -> int:
        """Resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def launch(
    name: str, argv: list[str], directory: Path, environment: Mapping[str, str] | None = None
) -> Server:
    """A process in a directory of its own, with its output in `server.log` there; it may not be ready yet."""
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            process_group=0,  # with the children that it forks
        )
    return Server(name, process, directory, argv)


def _wait_ready(server: Server) -> None:
    try:
        wait_for(lambda: not server.is_running() or READY in server.log(), READY, seconds=START_SECONDS)
    except AssertionError:
        server.kill9()
        raise StartError(server.argv, None, server.log()) from None
    if not server.is_running():
        raise StartError(server.argv, server.process.returncode, server.log())


def _directive_arguments(directives: Mapping[str, str]) -> list[str]:
    arguments: list[str] = []
    for name, value in directives.items():
        words = value.split(" ") if name in ("save", "bind", "replicaof") else [value]
        arguments += [f"--{name}", *words]
    return arguments


def _peer_program(name: str) -> str:
    program = shutil.which(name)
    assert program is not None, f"{name} is not on this machine"
    return program


def start_redis(
    directory: Path,
    directives: Mapping[str, str] | None = None,
    *,
    unix: bool = False,
    name: str = "redis",
    environment: Mapping[str, str] | None = None,
    wait: bool = True,
    ports: Callable[[], int] = free_port,
) -> Server:
    """The real redis-server, without persistence, on a port that was free a moment ago."""
    socket_path = directory / "s" if unix else None
    for attempt in range(5):
        port = ports()
        settings = {"port": str(port), "save": "", "appendonly": "no", "dir": str(directory)}
        if socket_path is not None:
            settings["unixsocket"] = str(socket_path)
        argv = [_peer_program("redis-server"), *_directive_arguments({**settings, **(directives or {})})]
        server = launch(name, argv, directory, environment)
        if not wait:
            return server
        try:
            _wait_ready(server)
        except StartError as error:
            # Somebody else may have taken the port between the probe and the start.
            if "Address already in use" in error.log and attempt < 4:
                continue
            raise
        server.port, server.unix_socket = port, socket_path
        return server
    raise AssertionError("unreachable")


def rlite_program() -> list[str]:
    """How to run the `rlite` that belongs to this interpreter."""
    script = Path(sys.executable).parent / "rlite"
    return [str(script)] if script.exists() else [_peer_program("rlite")]


def start_rlite(
    directory: Path,
    directives: Mapping[str, str] | None = None,
    *,
    unix: bool = False,
    arguments: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    wait: bool = True,
    prefix: tuple[str, ...] = (),
) -> Server:
    """Our server as a process, on a port of its own choice. `arguments` go before the directives; prefix: a
    command that runs it.

    Without `wait` it has no port yet, and may never come up.
    """
    if stand_in():
        name = "redis standing in for rlite"
        return start_redis(directory, directives, unix=unix, name=name, environment=environment, wait=wait)
    port_file = directory / "port"
    port_file.unlink(missing_ok=True)
    socket_path = directory / "s" if unix else None
    settings = {"port": "0", "save": "", "appendonly": "no", "dir": str(directory)}
    if socket_path is not None:
        settings["unixsocket"] = str(socket_path)
    options = _directive_arguments({**settings, **(directives or {})})
    argv = [*prefix, *rlite_program(), "serve", *arguments, "--port-file", str(port_file), *options]
    server = launch("rlite", argv, directory, environment)
    if not wait:
        return server
    _wait_ready(server)
    # The log line and the file come at the same moment, in no promised order.
    wait_for(lambda: port_file.exists() and port_file.read_text().strip() != "", "the port file")
    server.port, server.unix_socket = int(port_file.read_text()), socket_path
    return server


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process is to run: its address as others see it, and a command that runs it there."""

    host: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


LOOPBACK = Place()


def stand_in() -> bool:
    """Whether redis-server is started where ours is asked for."""
    return os.environ.get("RLITE_TEST_STAND_IN") == "redis"


def start_from_file(directory: Path, directives: Mapping[str, str], place: Place = LOOPBACK) -> Server:
    """Our server with a configuration file of its own, which CONFIG REWRITE can write; an option for nothing.

    The port is fixed (given, or free a moment ago), so that `start_again` brings it back where it was.
    """
    port = int(directives.get("port") or free_port())
    socket_path = directory / "s"
    settings = {
        "port": str(port), "bind": place.host, "save": '""', "appendonly": "no", "dir": str(directory),
        "unixsocket": str(socket_path), "protected-mode": "no", **directives,
    }  # fmt: skip
    path = directory / "server.conf"
    path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    program = [_peer_program("redis-server")] if stand_in() else [*rlite_program(), "serve"]
    server = launch("server", [*place.prefix, *program, str(path)], directory)
    _wait_ready(server)
    server.host, server.port, server.unix_socket = place.host, port, socket_path
    return server


def start_again(server: Server) -> Server:
    """A server of `start_from_file` that has ended, with the same file, directory and port."""
    assert not server.is_running(), f"{server.name} still runs"
    log = server.log_path
    log.rename(log.with_name(f"server-{server.pid}.log"))
    again = launch(server.name, server.argv, server.directory)
    _wait_ready(again)
    again.host, again.port, again.unix_socket = server.host, server.port, server.unix_socket
    return again


@contextmanager
def running(
    start: Callable[..., Server],
    directives: Mapping[str, str] | None = None,
    *,
    unix: bool = False,
    parent: Path | None = None,
) -> Iterator[Server]:
    """A server in a temporary directory (below `parent`) for the length of a `with` block."""
    # Short on purpose: the path of a Unix socket may have only about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="rl-", dir=parent) as directory:
        server = start(Path(directory), directives, unix=unix)
        try:
            yield server
        finally:
            if server.is_running():
                server.stop()
