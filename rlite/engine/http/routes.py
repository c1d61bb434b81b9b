"""How a route is declared: routing, checks of parameters and bodies, and the OpenAPI document follow from it.

Values only; knows nothing of sockets. The routes themselves stand in looking.py, keys.py and upstash.py.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from rlite.engine.http.schemas import Schema

if TYPE_CHECKING:
    from rlite.engine.http.api import Api


class Place(Enum):
    """Where a handler runs."""

    LOOP = "in the loop: it waits for nothing"
    LOOKING = "in the one thread for looking at the server"
    COMMANDS = "in one of the threads that run commands"


class Errors(Enum):
    """How a route tells of errors."""

    PROBLEM = "problem documents"
    UPSTASH = 'objects {"error": text}'


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query. default: the text of its value where it is not given; None for none."""

    name: str
    help: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request, checked. key: the rest of the path behind /api/keys/; query: values of all parameters;
    body: JSON; headers: by lower-case name; peer: the client's address, `host:port`.
    """

    key: bytes
    query: Mapping[str, Any]
    body: Any
    headers: Mapping[str, str]
    peer: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. body: bytes as they are, anything else as JSON; None for none."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without an end: server-sent events, as text. They are asked for in the loop."""

    events: Any  # an asynchronous iterator of str


Handler = Callable[["Api", Request], "Answer | Stream"]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. open: needs no token; whole: is there while the server loads or stops; answers:
    description and schema of the body, by status.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    tag: str
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    answers: Mapping[int, tuple[str, Schema | None]] = field(default_factory=dict)
    place: Place = Place.COMMANDS
    errors: Errors = Errors.PROBLEM
    open: bool = False
    number_texts: bool = False  # numbers of the body come as they were written, as text
    media_type: str = "application/json"

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.handler.__name__


ROUTES: list[Route] = []


def route(method: str, path: str, *, summary: str, tag: str, **more: Any) -> Callable[[Handler], Handler]:
    """Declares a handler's route."""

    def add(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, summary, handler, tag, **more))
        return handler

    return add


def by_path(routes: Iterable[Route]) -> dict[str, dict[str, Route]]:
    """The routes of each path, by method."""
    found: dict[str, dict[str, Route]] = {}
    for each in routes:
        found.setdefault(each.path, {})[each.method] = each
    return found
