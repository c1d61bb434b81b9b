"""The ASGI application: a request is checked, its handler is run in the thread that is its place, and what
comes of it is sent. Runs in the API's loop; nothing here waits for a lock of the keyspace.
"""

import asyncio
import gzip
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from rlite.engine.addresses import host_port, is_loopback
from rlite.engine.errors import CommandError
from rlite.engine.http import guarding, keys, looking, problems, upstash
from rlite.engine.http.api import Api
from rlite.engine.http.problems import ProblemError
from rlite.engine.http.routes import ROUTES, Answer, Errors, Place, Request, Route, Stream, by_path

log = logging.getLogger("rlite")
BODY_SECONDS = 30.0  # in which a body must have come
GZIP_FROM = 4096  # bytes from which on metrics are compressed for who wants that
SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
INTERNAL = ProblemError(500, "INTERNAL", "an internal error; the server's log has the details")

Executors = Mapping[Place, Executor]


def make_app(api: Api, executors: Executors) -> ASGIApp:
    """The application of one server. Routes are found by the path as it was sent, its percent-encoding on:
    a key may have slashes, line ends and whatever else in it.
    """
    for module in (looking, keys, upstash):
        assert module
    routes = [
        HttpRoute(path.replace("{key}", "{key:path}"), endpoint(api, executors, methods), methods=[*methods])
        for path, methods in by_path(ROUTES).items()
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: not_routed})
    app.router.redirect_slashes = False

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send)

    return whole


async def not_routed(http: HttpRequest, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    try:
        check_head(http)
    except ProblemError as problem:
        return failure(problem, Errors.PROBLEM)
    code, detail = {
        404: ("NOT_FOUND", "there is nothing at this path; /api/openapi.json says what there is"),
        405: ("METHOD_NOT_ALLOWED", "this path does not take this method"),
    }.get(fault.status_code, ("HTTP", fault.detail))
    return failure(ProblemError(fault.status_code, code, detail, fault.headers or {}), Errors.PROBLEM)


def endpoint(api: Api, executors: Executors, methods: Mapping[str, Route]) -> Callable[[HttpRequest], Any]:
    async def answer(http: HttpRequest) -> Response:
        route = methods["GET" if http.method == "HEAD" else http.method]
        try:
            response = await respond(api, executors, route, http)
        except ProblemError as problem:
            response = failure(problem, route.errors)
        except CommandError as fault:
            response = failure(problems.of_command(fault.text), route.errors)
        except ClientDisconnect:
            response = Response(status_code=400)
        except Exception:
            log.exception("internal error in %s %s", route.method, route.path)
            response = failure(INTERNAL, route.errors)
        api.count(route.path, response.status_code)
        return response

    return answer


async def respond(api: Api, executors: Executors, route: Route, http: HttpRequest) -> Response:
    let_in(api, route, http)
    if api.stopping() and not route.open:
        raise ProblemError(503, "STOPPING", "the server is stopping", {"Connection": "close"})
    request = await checked(route, http)
    if route.place is Place.LOOP:
        answer = route.handler(api, request)
    else:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(executors[route.place], route.handler, api, request)
    if isinstance(answer, Stream):
        return StreamingResponse(answer.events, media_type="text/event-stream", headers=SAFE)
    return sent(answer, http.headers.get("accept-encoding", ""))


def check_head(http: HttpRequest) -> None:
    scope = http.scope
    guarding.check_head(scope["raw_path"], scope["query_string"], scope["headers"])


def let_in(api: Api, route: Route, http: HttpRequest) -> None:
    """Raises ProblemError for who may not ask."""
    config = api.server.config
    check_head(http)
    if route.open:
        return
    token = config.text("http-token") or config.text("requirepass")
    if token:
        guarding.check_token(http.headers.get("authorization", ""), token)
        return
    local = http.scope.get("server") or ("", None)
    if not is_loopback(local[0]):
        raise ProblemError(
            403, "NO_TOKEN_SET", "without http-token or requirepass the API serves this machine only"
        )
    guarding.check_host(http.headers.get("host"), config.words("http-hosts"))


async def checked(route: Route, http: HttpRequest) -> Request:
    """The parts of a request as its route declares them."""
    scope = http.scope
    key = guarding.key_of(scope["raw_path"]) if "{key}" in route.path else b""
    query = guarding.query_of(scope["query_string"], route)
    body = None
    if route.body is not None:
        guarding.check_media_type(http.headers.get("content-type", ""))
        guarding.check_length(http.headers.get("content-length"))
        body = guarding.body_of(await received(http), route)
    peer = http.client
    address = "" if peer is None else host_port(peer.host, peer.port)
    return Request(key, query, body, http.headers, address)


async def received(http: HttpRequest) -> bytes:
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in http.stream():
                raw += chunk
                if len(raw) > guarding.MAX_BODY:
                    raise guarding.too_large()
    except TimeoutError:
        raise ProblemError(
            408, "TOO_SLOW", f"the body did not come within {BODY_SECONDS:g} s", {"Connection": "close"}
        ) from None
    return bytes(raw)


def as_text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def sent(answer: Answer, accept_encoding: str) -> Response:
    headers = {**SAFE, **answer.headers}
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    if not isinstance(answer.body, bytes):
        return Response(as_text(answer.body), answer.status, headers, answer.media_type)
    body = answer.body
    headers["Vary"] = "Accept, Accept-Encoding"
    if len(body) >= GZIP_FROM and "gzip" in accept_encoding:
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    return Response(body, answer.status, headers, answer.media_type)


def failure(problem: ProblemError, errors: Errors) -> Response:
    headers = {**SAFE, **problem.headers}
    if errors is Errors.UPSTASH:
        text = problem.detail if problem.code == "ERR" else f"{problem.code} {problem.detail}"
        return Response(as_text({"error": text}), problem.status, headers, "application/json")
    return Response(as_text(problem.document()), problem.status, headers, problems.MEDIA_TYPE)
