"""A master, its replicas, and the real redis-sentinel over them: what the tests of failovers act upon.

Every server and every sentinel has a directory and a configuration file of its own, as Sentinel asks for: it
has each server rewrite its file. Sentinel's own clocks (how often it pings, asks INFO, says hello) are
set several times as fast as usual, so that a failover takes two seconds.
Knows nothing of what is tested; acts on its own processes only.
"""

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from support import recipes
from support.servers import LOOPBACK, Place, Server, free_port, launch, start_again, start_from_file, wait_for

SERVICE = "mymaster"
# A replica whose INFO is older than five ping periods is not promoted, and in trouble INFO is asked for once
# a second, whatever else is set: so no shorter than this. And a master is down for longer than those five:
# then the offsets that Sentinel compares were all reported after it fell silent.
PING_PERIOD_MS = 250
DOWN_AFTER_MS = 1300
# SENTINEL DEBUG's names, in milliseconds. Usual: 10000, 1000, 1000, 2000, 1000, 30000, 10000.
CLOCKS = {
    "info-period": 500, "ping-period": PING_PERIOD_MS, "ask-period": 100, "publish-period": 200,
    "min-link-reconnect-period": 200, "tilt-period": 500, "slave-reconf-timeout": 2000,
}  # fmt: skip


def client(server: Server, **options: Any) -> redis.Redis:
    """A connection to one server through its Unix socket, so that it is reached even when cut off."""
    return redis.Redis(
        unix_socket_path=str(server.unix_socket), decode_responses=True, socket_timeout=5,
        retry=Retry(NoBackoff(), 1), **options,
    )  # fmt: skip


@dataclass(slots=True, eq=False)
class Deployment:
    """The servers (the first was the master at the start) and the sentinels that watch them."""

    servers: list[Server]
    sentinels: list[Server]
    password: str | None = None

    # What is so -------------------------------------------------------------------------------------

    def client(self, server: Server) -> redis.Redis:
        return client(server, password=self.password)

    def replication(self, server: Server) -> dict[str, Any]:
        """INFO replication."""
        with self.client(server) as connection:
            found: dict[str, Any] = connection.info("replication")
        return found

    def digest(self, server: Server) -> str:
        with self.client(server) as connection:
            return str(connection.execute_command("DEBUG", "DIGEST"))

    def ask(self, sentinel: Server, *words: str) -> Any:
        """What a sentinel answers to SENTINEL and these words."""
        options = {"decode_responses": True, "socket_timeout": 5}
        with redis.Redis(host=sentinel.host, port=sentinel.port, **options) as connection:
            return connection.execute_command("SENTINEL", *words)

    def masters(self, asked: Sequence[Server] | None = None) -> list[Server]:
        """Whom each sentinel takes for the master."""
        addresses = [self.ask(one, "GET-MASTER-ADDR-BY-NAME", SERVICE) for one in asked or self.sentinels]
        by_address = {(one.host, str(one.port)): one for one in self.servers}
        return [by_address[host, port] for host, port in addresses]

    @property
    def master(self) -> Server:
        """The one that all sentinels name."""
        named = self.masters()
        assert len(set(named)) == 1, f"the sentinels disagree: {[one.port for one in named]}"
        return named[0]

    @property
    def replicas(self) -> list[Server]:
        master = self.master
        return [one for one in self.servers if one is not master]

    def seen_priority(self, replica: Server) -> int:
        """The highest priority that any sentinel has noted for a replica."""
        noted = [
            int(one["slave-priority"])
            for sentinel in self.sentinels
            for one in map(_named, self.ask(sentinel, "REPLICAS", SERVICE))
            if one["port"] == str(replica.port) and one["ip"] == replica.host
        ]
        return max(noted)

    def logs(self) -> str:
        """What everybody has logged, for the message of a failure."""
        return "\n".join(f"--- {one.name}\n{one.log()[-4000:]}" for one in [*self.servers, *self.sentinels])

    # Waiting ----------------------------------------------------------------------------------------

    def wait(self, what: str, condition: Any, *, seconds: float = 20.0) -> None:
        """As `wait_for`, but a server that does not answer at the moment only means: not yet."""

        def holds() -> bool:
            with suppress(redis.RedisError, KeyError):
                return bool(condition())
            return False

        try:
            wait_for(holds, what, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def _replicates(self, replica: Server, master: Server) -> bool:
        info = self.replication(replica)
        return (
            info["role"] == "slave"
            and (info["master_host"], info["master_port"]) == (master.host, master.port)
            and info["master_link_status"] == "up"
        )

    def is_whole(self) -> bool:
        """One master, in everybody's view, with all others as its replicas, and no sentinel in doubt."""
        masters = self.masters()
        master = masters[0]
        if len(set(masters)) != 1 or self.replication(master)["role"] != "master":
            return False
        others = [one for one in self.servers if one is not master]
        if not all(self._replicates(one, master) for one in others):
            return False
        for sentinel in self.sentinels:
            state = _named(self.ask(sentinel, "MASTER", SERVICE))
            seen = [_named(one) for one in self.ask(sentinel, "REPLICAS", SERVICE)]
            if state["flags"] != "master":
                return False
            if int(state["num-other-sentinels"]) != len(self.sentinels) - 1 or len(seen) != len(others):
                return False
            if not all(one["flags"] == "slave" and one["master-link-status"] == "ok" for one in seen):
                return False
        return True

    def wait_whole(self, *, seconds: float = 30.0) -> None:
        self.wait(
            "one master, all others its replicas, the sentinels at peace", self.is_whole, seconds=seconds
        )

    def wait_promoted(self, former: Server, asked: Sequence[Server] | None = None) -> Server:
        """Whom the sentinels have made master in the place of `former`."""

        def is_new() -> bool:
            named = set(self.masters(asked))
            return len(named) == 1 and former not in named and self.replication(*named)["role"] == "master"

        self.wait(f"another master than port {former.port}", is_new, seconds=30.0)
        return self.masters(asked)[0]

    def wait_trusted(self, sentinel: Server) -> None:
        """Until a sentinel finds nothing wrong with the master."""
        self.wait(
            "a sentinel that hears the master",
            lambda: _named(self.ask(sentinel, "MASTER", SERVICE))["flags"] == "master",
        )

    def wait_equal(self) -> str:
        """The digest of the data, when all servers hold the same."""
        found: list[str] = []

        def is_equal() -> bool:
            found[:] = [self.digest(one) for one in self.servers]
            return len(set(found)) == 1

        self.wait("equal digests", is_equal)
        return found[0]

    # Acting -----------------------------------------------------------------------------------------

    def start_again(self, ended: Server) -> Server:
        """Bring a server back that has ended; takes its place in `servers`."""
        again = start_again(ended)
        self.servers[self.servers.index(ended)] = again
        return again

    def heal(self) -> None:
        """Everybody runs, and there is one master with all the others behind it; the data are gone."""
        for server in list(self.servers):
            if server.is_running():
                server.process.send_signal(signal.SIGCONT)
            else:
                self.start_again(server)
        self.wait_whole()
        with self.client(self.master) as connection:
            connection.flushall()
        self.wait_equal()

    def sentinel_client(self, **options: Any) -> Sentinel:
        """redis-py's client, as an application makes it; `options` are those of its connections.

        It is told to give a silent peer up soon and to ask the next one at once. By itself it tries each of
        them again and again, seconds apart, and a failover lasts a minute for it.
        """
        soon = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
        return Sentinel(
            [(one.host, one.port) for one in self.sentinels],
            sentinel_kwargs={**soon, "retry": Retry(NoBackoff(), 0)},
            retry=Retry(NoBackoff(), 1), password=self.password, **soon, **options,
        )  # fmt: skip

    def stop(self) -> None:
        for one in [*self.sentinels, *self.servers]:
            one.kill9()


def _named(reply: Any) -> dict[str, str]:
    """Sentinel's flat name, value, name, value as a dict; newer redis-py has made one already."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _start_sentinel(directory: Path, master: Server, place: Place, password: str | None) -> Server:
    port = free_port()
    # The documented file at its own place, and sooner: what comes later in it wins.
    documented = recipes.block("sentinel.conf").replace("10.0.0.1 6379", f"{master.host} {master.port}")
    own = {"port": port, "bind": place.host, "dir": directory}
    lines = [
        f"{name} {own[name]}" if (name := line.split()[0]) in own else line
        for line in documented.splitlines()
    ]
    lines += [
        "protected-mode no",
        f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
        f"sentinel failover-timeout {SERVICE} 2000",
    ]
    if password is not None:
        lines.append(f"sentinel auth-pass {SERVICE} {password}")
    path = directory / "sentinel.conf"
    path.write_text("\n".join(lines) + "\n")
    sentinel = launch("sentinel", [*place.prefix, "redis-sentinel", str(path)], directory)
    sentinel.host, sentinel.port = place.host, port
    wait_for(
        lambda: "+monitor master" in sentinel.log() or not sentinel.is_running(), "it watches", seconds=20.0
    )
    assert sentinel.is_running(), sentinel.log()
    with redis.Redis(host=place.host, port=port) as connection:
        for name, milliseconds in CLOCKS.items():
            connection.execute_command("SENTINEL", "DEBUG", name, milliseconds)
    return sentinel


@contextmanager
def deployment(
    directory: Path,
    directives: Mapping[str, str] | None = None,
    *,
    replicas: int = 3,
    password: str | None = None,
    places: Sequence[Place] = (),
) -> Iterator[Deployment]:
    """A master, its replicas and three sentinels, in peace with each other, for the length of a `with` block.

    `places`: where they run; the n-th server and the n-th sentinel share the n-th place.
    """

    def place(n: int) -> Place:
        return places[n] if places else LOOPBACK

    def room(name: str) -> Path:
        (directory / name).mkdir()
        return directory / name

    common = {
        "appendonly": "yes", "enable-debug-command": "yes", "repl-diskless-sync-delay": "0",
        "repl-ping-replica-period": "1", "repl-timeout": "5", **(directives or {}),
    }  # fmt: skip
    if password is not None:
        common |= {"requirepass": password, "masterauth": password}
    with ExitStack() as stack:
        made = Deployment([], [], password)
        stack.callback(made.stop)
        for n in range(replicas + 1):
            first = made.servers[0] if made.servers else None
            follow = {"replicaof": f"{first.host} {first.port}"} if first else {}
            started = start_from_file(room(f"server-{n}"), {**common, **follow}, place(n))
            started.name = f"server {n}, port {started.port}"
            made.servers.append(started)
        for n in range(3):
            sentinel = _start_sentinel(room(f"sentinel-{n}"), made.servers[0], place(n), password)
            sentinel.name = f"sentinel {n}, port {sentinel.port}"
            made.sentinels.append(sentinel)
        made.wait_whole()
        yield made


@dataclass(slots=True, eq=False)
class Writer:
    """An application: writes numbered keys one after the other through a client, until it is told to stop.

    A write counts as acknowledged when its SET was answered OK and, on the same connection, WAIT said that
    `replicas` of them have it. Whatever fails is given up and the next number tried; `failures` counts by
    the class of redis-py's error, or by the first word of an error that it has no class for. `pause`: seconds
    between two writes.
    """

    client: redis.Redis
    replicas: int = 1
    prefix: str = "key"
    pause: float = 0.0
    acknowledged: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            n = self.sent
            self.sent += 1
            try:
                if self._write(f"{self.prefix}:{n}", f"value {n}"):
                    self.acknowledged[f"{self.prefix}:{n}"] = f"value {n}"
                self._stopped.wait(self.pause)
            except redis.RedisError as error:
                kind = type(error).__name__
                if type(error) is redis.ResponseError:
                    kind = str(error).split()[0]
                self.failures[kind] = self.failures.get(kind, 0) + 1
                time.sleep(0.01)

    def _write(self, key: str, value: str) -> bool:
        with self.client.pipeline(transaction=False) as pipe:
            pipe.set(key, value)
            if self.replicas:
                pipe.execute_command("WAIT", self.replicas, 300)
            answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, redis.RedisError):
                raise answer
        return not self.replicas or int(answers[1]) >= self.replicas

    def wait_acknowledged(self, more: int, *, seconds: float = 30.0) -> None:
        """Until so many writes more than now are acknowledged."""
        goal = len(self.acknowledged) + more
        try:
            wait_for(lambda: len(self.acknowledged) >= goal, f"{more} more acknowledged", seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; failures: {self.failures}") from None

    def lost(self, connection: redis.Redis) -> list[str]:
        """The acknowledged keys that a server does not hold as they were acknowledged."""
        wrong: list[str] = []
        names = list(self.acknowledged)
        for part in (names[at : at + 1000] for at in range(0, len(names), 1000)):
            with connection.pipeline(transaction=False) as pipe:  # no MGET: the keys of a cluster are apart
                for name in part:
                    pipe.get(name)
                found = pipe.execute()
            wrong += [
                name for name, value in zip(part, found, strict=True) if value != self.acknowledged[name]
            ]
        return wrong
