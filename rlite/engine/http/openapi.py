"""The API as an OpenAPI 3.1 document, made from the routes' declarations."""

from functools import cache
from typing import Any

from rlite.engine.http import problems
from rlite.engine.http.routes import ROUTES, Errors, Parameter, Route
from rlite.engine.http.upstash import RESULT
from rlite.engine.version import RLITE_VERSION

# What any route may answer beside what it declares.
COMMON = {
    400: "The request cannot be understood.",
    401: "The token is missing or wrong.",
    403: "What this server does not allow.",
    408: "The request took too long to come.",
    421: "The Host header names none of this server's hosts.",
    431: "The request's line and headers are too large.",
    500: "A fault of the server, which its log describes.",
    503: "Not now: the server loads, stops, or holds commands up.",
}
WITH_BODY = {
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The body is not as it must be.",
}
# Errors of the commands behind a route.
OF_COMMANDS = {
    409: "The key holds a value of another type.",
    507: "No memory is left.",
}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "One word for programs, such as WRONGTYPE."},
        "detail": {"type": "string"},
    },
}


def parameter(each: Parameter) -> dict[str, Any]:
    schema = dict(each.schema)
    if each.default is not None:
        schema["default"] = int(each.default) if schema["type"] == "integer" else each.default
    return {"name": each.name, "in": "query", "required": False, "description": each.help, "schema": schema}


def answers(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    others = {**COMMON, **(WITH_BODY if route.body is not None else {})}
    if route.tag == "keys":
        others |= OF_COMMANDS
    if route.errors is Errors.UPSTASH:
        media_type, schema = "application/json", RESULT
    else:
        media_type, schema = problems.MEDIA_TYPE, {"$ref": "#/components/schemas/Problem"}
    for status, text in others.items():
        found[str(status)] = {"description": text, "content": {media_type: {"schema": schema}}}
    for status, (text, body) in route.answers.items():
        found[str(status)] = {"description": text}
        if status >= 400 and body is None:
            found[str(status)]["content"] = {media_type: {"schema": schema}}
        elif body is not None:
            found[str(status)]["content"] = {route.media_type: {"schema": body}}
        elif status == 200:
            found[str(status)]["content"] = {route.media_type: {"schema": {"type": "string"}}}
    return dict(sorted(found.items()))


def operation(route: Route) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": answers(route),
    }
    parameters = [parameter(each) for each in route.parameters]
    if "{key}" in route.path:
        parameters.insert(
            0,
            {
                "name": "key", "in": "path", "required": True, "schema": {"type": "string"},
                "description": "The key, percent-encoded; any bytes may be.",
            },
        )  # fmt: skip
    if parameters:
        made["parameters"] = parameters
    if route.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": route.body}}}
    if route.open:
        made["security"] = []
    return made


@cache
def description() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rlite",
            "version": RLITE_VERSION,
            "description": "Looks at a server and works with its keys. See docs/http-api.md.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
