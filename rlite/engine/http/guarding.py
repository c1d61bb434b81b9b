"""Who may ask, and how much: the token, the Host header, the size and form of a body, the query, the path.

Pure functions of the parts of a request; each raises ProblemError for what it does not let in.
"""

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from rlite.engine.http.problems import ProblemError, bad_request, unprocessable
from rlite.engine.http.routes import Route
from rlite.engine.http.schemas import InvalidError, check, from_text

MAX_BODY = 8 << 20  # bytes
MAX_HEAD = 16 << 10  # bytes of a request's line and headers
KEYS = b"/api/keys/"
BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
MAX_DEPTH_TEXT = "the body is nested too deep"


def is_token(header: str, token: str) -> bool:
    """Whether an Authorization header carries the token; takes the same time whatever is wrong with it."""
    scheme, _, given = header.partition(" ")
    right, said = (
        hashlib.sha256(each.encode("utf-8", "surrogateescape")).digest() for each in (token, given.strip())
    )
    return hmac.compare_digest(right, said) and scheme.lower() == "bearer"


def check_token(header: str, token: str) -> None:
    if not is_token(header, token):
        raise ProblemError(
            401, "UNAUTHORIZED", "the token is missing or wrong: send it as Authorization: Bearer",
            {"WWW-Authenticate": 'Bearer realm="rlite"'},
        )  # fmt: skip


def host_name(header: str) -> str:
    """The host of a Host header, without its port."""
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdigit() else header).lower().removesuffix(".")


def check_host(header: str | None, names: Sequence[str]) -> None:
    """A page that a browser has from elsewhere reaches this machine by a name of its own (DNS rebinding): so
    only addresses, localhost, and the names that http-hosts says are let in.
    """
    if header is None:
        raise bad_request("there is no Host header")
    name = host_name(header)
    if name == "localhost" or name in (each.lower() for each in names):
        return
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        raise ProblemError(
            421, "UNKNOWN_HOST", f"{name[:64]!a} is no host of this server; http-hosts names them"
        ) from None


def key_of(raw_path: bytes) -> bytes:
    """The key that a path names."""
    if not raw_path.startswith(KEYS):
        raise ProblemError(404, "NOT_FOUND", "there is nothing at this path")
    return unquoted(raw_path.removeprefix(KEYS), "path")


def unquoted(raw: bytes, where: str) -> bytes:
    if BAD_PERCENT.search(raw):
        raise bad_request(f"the {where} has a % that two hexadecimal digits do not follow")
    return unquote_to_bytes(raw)


def query_of(raw: bytes, route: Route) -> Mapping[str, Any]:
    """The values of a route's parameters; None for one without a default that is not given. Texts are UTF-8,
    other bytes are kept as surrogates.
    """
    unquoted(raw, "query")
    try:
        given = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="surrogateescape", max_num_fields=32
        )
    except ValueError:
        raise bad_request("the query cannot be read") from None
    known = {each.name: each for each in route.parameters}
    said: dict[str, str] = {}
    for name, text in given:
        if name not in known:
            raise bad_request(f"there is no parameter {name[:64]!a}; there are {', '.join(known) or 'none'}")
        if name in said:
            raise bad_request(f"the parameter {name} is given twice")
        said[name] = text
    values: dict[str, Any] = {}
    for name, each in known.items():
        chosen = said.get(name, each.default)
        try:
            values[name] = None if chosen is None else from_text(chosen, each.schema, f"the parameter {name}")
        except InvalidError as fault:
            raise bad_request(str(fault)) from None
    return values


def check_head(raw_path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """A head too large that comes in parts is stopped by the server below; one that comes at once, here."""
    if len(raw_path) + len(query) + sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
        raise ProblemError(
            431, "HEAD_TOO_LARGE", f"a request's line and headers may have {MAX_HEAD} bytes",
            {"Connection": "close"},
        )  # fmt: skip


def check_media_type(header: str) -> None:
    """JSON only: a form of another site cannot send that without the browser asking first."""
    if header.partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "NOT_JSON", "the body must be JSON: Content-Type: application/json")


def check_length(header: str | None) -> None:
    if header is not None and (not header.isdigit() or int(header[:20]) > MAX_BODY):
        raise too_large()


def too_large() -> ProblemError:
    return ProblemError(413, "TOO_LARGE", f"a body may have {MAX_BODY} bytes", {"Connection": "close"})


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def body_of(raw: bytes, route: Route) -> Any:
    """The body of a request, as its route declares it."""
    number: dict[str, Any] = {"parse_int": str, "parse_float": str} if route.number_texts else {}
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant, **number)
    except RecursionError:
        raise bad_request(MAX_DEPTH_TEXT) from None
    except ValueError as fault:
        raise bad_request(f"the body is no JSON: {str(fault)[:200]}") from None
    assert route.body is not None, route.path
    try:
        check(value, route.body)
    except InvalidError as fault:
        raise unprocessable(str(fault)) from None
    return value
