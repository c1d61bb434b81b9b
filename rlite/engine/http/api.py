"""The API of one server: what its handlers share, and its own figures. Written with the GIL."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from rlite.engine.commands.context import Context
from rlite.engine.http.calling import Note, Session, session
from rlite.engine.http.problems import bad_request
from rlite.engine.observe.metrics import Metrics
from rlite.engine.observe.slowlog import CommandLog


@dataclass(slots=True)
class Api:
    """stopping: whether the server is; note: told of a call that took long; answered: requests by route and
    status; connections: open ones.
    """

    server: Context
    command_log: CommandLog
    stopping: Callable[[], bool]
    note: Note
    answered: dict[tuple[str, int], int] = field(default_factory=dict)
    connections: int = 0
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.server, [self.own_metrics])

    def session(self, peer: str, database: int = 0) -> AbstractContextManager[Session]:
        """A client for the commands of one request. Raises ProblemError for a database that is not there."""
        if database >= self.server.keyspace.databases:
            raise bad_request(f"there are {self.server.keyspace.databases} databases")
        return session(self.server, self.note, peer, database)

    def count(self, route: str, status: int) -> None:
        self.answered[route, status] = self.answered.get((route, status), 0) + 1

    def own_metrics(self) -> Iterator[Metric]:
        """What the API tells of itself."""
        requests = CounterMetricFamily(
            "rlite_http_requests_total", "Requests answered, by route and status.", labels=["route", "code"]
        )
        for (route, status), count in sorted(self.answered.items()):
            requests.add_metric((route, str(status)), count)
        yield requests
        yield GaugeMetricFamily("rlite_http_connections", "Open connections of the API.", self.connections)

    def unready(self) -> list[str]:
        """Why the server should get no requests now; empty where it may."""
        server = self.server
        replication = server.replication
        reasons: Iterable[tuple[bool, str]] = (
            (self.stopping(), "stopping"),
            (server.loading is not None, "loading"),
            (
                replication is not None and replication.master is not None and not replication.link_up,
                "replica without a link to its master",
            ),
        )
        return [reason for holds, reason in reasons if holds]
