"""Keys as resources: `/api/keys/{key}`, and their list.

A key is the rest of the path with its percent-encoding taken off, so that any bytes can be said; strings in
documents are text, or base64 where the document's `encoding` says so. A large value comes in parts: `cursor`
asks for the next one. Each request is a few ordinary commands.
"""

import hashlib
import json
from typing import Any

from rlite.engine.errors import CommandError
from rlite.engine.http.api import Api
from rlite.engine.http.calling import Session
from rlite.engine.http.documents import ENCODING, decoded, encoded, name_of
from rlite.engine.http.problems import ProblemError
from rlite.engine.http.representations import MAX_STRING, SHAPES, Page, Shape
from rlite.engine.http.routes import Answer, Parameter, Request, route
from rlite.engine.http.upstash import DATABASE

MAX_COUNT = 10_000
TRIES = 3  # at reading a key whose type others change meanwhile
TTL = {"type": ["integer", "null"], "minimum": 1, "maximum": 2**53 - 1,
       "description": "Milliseconds the key has left; null: it stays."}  # fmt: skip
WRITTEN = {
    "type": "object",
    "required": ["value"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "enum": [name for name, shape in SHAPES.items() if shape.write]},
        "value": {"description": "string: text; list, set: [text]; hash: {field: text}; "
                  "zset: [{member, score}]"},
        "ttl_ms": TTL,
        "encoding": {**ENCODING, "description": "What the strings of value are; base64 for any bytes."},
    },
}  # fmt: skip
CHANGED = {
    "type": "object",
    "required": ["ttl_ms"],
    "additionalProperties": False,
    "properties": {"ttl_ms": TTL},
}
DOCUMENT = {"type": "object"}
MISSING = {404: ("There is no such key.", None)}
COUNT = Parameter(
    "count", "How many parts at most.", {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}, "1000"
)


def missing() -> ProblemError:
    return ProblemError(404, "NO_SUCH_KEY", "there is no such key")


@route("GET", "/api/keys", summary="Lists keys, by a cursor.", tag="keys", parameters=(
           DATABASE, Parameter("cursor", "Where to go on: 0, or what the last answer said.", default="0"),
           Parameter("match", "A glob that keys must match."),
           Parameter("type", "The type they must have.", {"type": "string", "enum": [*SHAPES]}),
           Parameter("count", "How many to look at.",
                     {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}, "100")),
       answers={200: ("Keys; cursor is null at the end. A key may come twice.", DOCUMENT)})  # fmt: skip
def list_keys(api: Api, request: Request) -> Answer:
    query = request.query
    args = [b"SCAN", query["cursor"].encode("utf-8", "surrogateescape"), b"COUNT", b"%d" % query["count"]]
    for name in ("match", "type"):
        if query[name] is not None:
            args += [name.upper().encode(), query[name].encode("utf-8", "surrogateescape")]
    with api.session(request.peer, query["db"]) as session:
        cursor, found = session.call(*args)
    keys = [name_of(key) for key in found]
    return Answer(
        {"schema": "rlite.keys/1", "keys": keys, "cursor": None if cursor == b"0" else cursor.decode()}
    )


def read(
    session: Session, key: bytes, cursor: str, count: int, *, watched: bool = False
) -> tuple[str, int, int, Page]:
    """Type, milliseconds left (-1: it stays), size and a part of the value, of one moment.

    watched: the key is, so what happens between is found out later (EXEC here would end that). Raises
    ProblemError.
    """
    for last in (False,) * (TRIES - 1) + (True,):
        kind = session.call(b"TYPE", key).text
        if kind == "none":
            raise missing()
        words, page = SHAPES[kind].read(key, cursor, count)
        commands = ((b"PTTL", key), (SHAPES[kind].size, key), words)
        try:
            if kind == "string" and session.call(b"STRLEN", key) > MAX_STRING:
                raise ProblemError(
                    413, "TOO_LARGE", f"it is longer than {MAX_STRING} bytes; GETRANGE reads parts of it"
                )
            replies = (
                [session.call(*each) for each in commands] if watched else session.transaction(*commands)
            )
        except CommandError as fault:  # it has become of another type
            if last or not fault.text.startswith("WRONGTYPE"):
                raise
            continue
        assert replies is not None, key
        left, size, reply = replies
        if left == -2 or reply is None:
            raise missing()
        return kind, left, size, page(reply)
    raise AssertionError("unreachable")


def tag_of(kind: str, shape: Shape, value: Any) -> str:
    """The entity tag of a whole value."""
    shown, encoding = encoded(value)
    if shape.unordered and isinstance(shown, list):
        shown = sorted(shown)
    text = json.dumps([kind, encoding, shown], sort_keys=shape.unordered)
    return '"' + hashlib.blake2b(text.encode(), digest_size=16).hexdigest() + '"'


def tags(header: str) -> list[str]:
    return [each.strip().removeprefix("W/") for each in header.split(",")]


@route("GET", "/api/keys/{key}", summary="A key's value, type and time left.", tag="keys", parameters=(
           DATABASE, COUNT, Parameter("cursor", "Which part: 0, or what the last answer said.", default="0"),
           Parameter("encoding", "base64: have its strings so in any case.", ENCODING)),
       answers={200: ("The value, or a part of it: cursor is null in the last. ETag where it is whole.",
                      DOCUMENT), 304: ("It is what If-None-Match says.", None), **MISSING,
                413: ("A string too long for one answer.", None)})  # fmt: skip
def get_key(api: Api, request: Request) -> Answer:
    query = request.query
    with api.session(request.peer, query["db"]) as session:
        kind, left, size, page = read(session, request.key, query["cursor"], query["count"])
    value, encoding = encoded(page.value, query["encoding"] or "")
    headers = {}
    if query["cursor"] == "0" and not page.next:
        headers["ETag"] = tag_of(kind, SHAPES[kind], page.value)
        if {headers["ETag"], "*"} & set(tags(request.headers.get("if-none-match", ""))):
            return Answer(None, 304, headers)
    return Answer(
        {
            "schema": "rlite.key/1", **name_of(request.key), "type": kind,
            "ttl_ms": None if left < 0 else left, "size": size, "encoding": encoding, "value": value,
            "cursor": page.next or None,
        },
        headers=headers,
    )  # fmt: skip


def check_preconditions(session: Session, request: Request) -> bool:
    """Has If-Match and If-None-Match hold, and watches the key so that they go on holding. False: there were
    none. Raises ProblemError.
    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is None and none_match is None:
        return False
    session.call(b"WATCH", request.key)
    try:
        kind, _, _, page = read(session, request.key, "0", MAX_COUNT, watched=True)
        there = {"*"} if page.next else {tag_of(kind, SHAPES[kind], page.value), "*"}
    except ProblemError as problem:
        if problem.status == 413:
            there = {"*"}
        elif problem.status == 404:
            there = set()
        else:
            raise
    if match is not None and not there & set(tags(match)):
        raise precondition("If-Match")
    if none_match is not None and there & set(tags(none_match)):
        raise precondition("If-None-Match")
    return True


def precondition(header: str) -> ProblemError:
    return ProblemError(412, "PRECONDITION_FAILED", f"the key is not as {header} says")


FAILED = {412: ("The key is not as If-Match or If-None-Match says.", None)}


@route("PUT", "/api/keys/{key}", summary="Gives a key a value, in place of what it had.", tag="keys",
       parameters=(DATABASE,), body=WRITTEN, answers={200: ("It had a value before.", DOCUMENT),
                                                      201: ("It is new.", DOCUMENT), **FAILED})  # fmt: skip
def put_key(api: Api, request: Request) -> Answer:
    key, body = request.key, request.body
    kind, left = body.get("type", "string"), body.get("ttl_ms")
    shape = SHAPES[kind]
    assert shape.write is not None, kind
    words = list(shape.write(key, decoded_value(body["value"], kind, body.get("encoding", "utf-8"))))
    commands: list[list[bytes]] = [[b"EXISTS", key] if kind == "string" else [b"DEL", key], words]
    if left is not None and kind == "string":
        words += [b"PX", b"%d" % left]
    elif left is not None:
        commands.append([b"PEXPIRE", key, b"%d" % left])
    with api.session(request.peer, request.query["db"]) as session:
        check_preconditions(session, request)
        replies = session.transaction(*commands)
    if replies is None:
        raise precondition("If-Match or If-None-Match")
    created = replies[0] == 0
    return Answer(
        {"schema": "rlite.key-written/1", **name_of(key), "type": kind, "created": created},
        201 if created else 200,
    )


def decoded_value(value: Any, kind: str, encoding: str) -> Any:
    """A value from a body, its strings as bytes; the names `member` and `score` of a sorted set's parts are
    ours, and in no encoding.
    """
    if kind != "zset" or not isinstance(value, list):
        return decoded(value, encoding)
    return [
        {
            name.encode(): decoded(part, encoding if name == "member" else "utf-8")
            for name, part in each.items()
        }
        if isinstance(each, dict)
        else each
        for each in value
    ]


@route("PATCH", "/api/keys/{key}", summary="Changes the time a key has left.", tag="keys",
       parameters=(DATABASE,), body=CHANGED, answers={200: ("It is changed.", DOCUMENT), **MISSING,
                                                      **FAILED})  # fmt: skip
def patch_key(api: Api, request: Request) -> Answer:
    key, left = request.key, request.body["ttl_ms"]
    change = [b"PERSIST", key] if left is None else [b"PEXPIRE", key, b"%d" % left]
    with api.session(request.peer, request.query["db"]) as session:
        check_preconditions(session, request)
        replies = session.transaction([b"EXISTS", key], change)
    if replies is None:
        raise precondition("If-Match")
    if replies[0] == 0:
        raise missing()
    return Answer({"schema": "rlite.key-written/1", **name_of(key), "ttl_ms": left})


@route("DELETE", "/api/keys/{key}", summary="Deletes a key.", tag="keys", parameters=(DATABASE,),
       answers={204: ("It is gone.", None), **MISSING, **FAILED})  # fmt: skip
def delete_key(api: Api, request: Request) -> Answer:
    with api.session(request.peer, request.query["db"]) as session:
        check_preconditions(session, request)
        replies = session.transaction([b"DEL", request.key])
    if replies is None:
        raise precondition("If-Match")
    if replies[0] == 0:
        raise missing()
    return Answer(None, 204)
