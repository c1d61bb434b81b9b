"""A plain HTTP client for tests of the API: what it sends is what it is told to send."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote_from_bytes

from support.in_process import InProcess, started
from support.servers import free_port


@dataclass(frozen=True, slots=True)
class Got:
    """An answer. headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def problem(self) -> tuple[int, str]:
        """Status and code of a problem document, whose form is checked."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        assert {"type", "title", "detail"} <= self.json.keys()
        return self.status, self.json["code"]


@dataclass(slots=True)
class Http:
    """A client of the API on this port; a connection a request."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Got:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})})
            answer = connection.getresponse()
            return Got(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Got:
        return self.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def send(self, method: str, path: str, body: Any, **headers: str) -> Got:
        """Sends JSON."""
        said = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.request(method, path, json.dumps(body).encode(), said)

    def command(self, *args: Any, **headers: str) -> Any:
        """The answer to a command, as JSON."""
        return self.send("POST", "/", list(args), **headers).json

    def raw(self, data: bytes, *, until_closed: bool = True) -> bytes:
        """Sends bytes as they are, and returns what comes until the end of the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as peer:
            peer.sendall(data)
            found = b""
            while part := peer.recv(65536):
                found += part
                if not until_closed:
                    break
            return found


def key_path(key: bytes) -> str:
    return "/api/keys/" + quote_from_bytes(key, safe="")


@dataclass(slots=True)
class Served:
    """A server of this process, and a client of its API."""

    running: InProcess
    http: Http

    @property
    def context(self) -> Any:
        return self.running.server.context


@contextmanager
def serving(**directives: object) -> Iterator[Served]:
    """A server in this process with an API on a port of its own."""
    port = free_port()
    running = started(**{"http_port": port, "http_bind": ["127.0.0.1"], **directives})
    try:
        yield Served(running, Http(port))
    finally:
        running.close()
