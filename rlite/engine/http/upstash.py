"""Commands over HTTP, in the shape that the Upstash SDKs speak: a command is a JSON array, its answer is
`{"result": …}` or `{"error": "…"}`.

With the header `Upstash-Encoding: base64` strings come as base64, but for the status OK; without it, what is
no UTF-8 comes with U+FFFD in its place.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from rlite.engine.errors import CommandError
from rlite.engine.http.api import Api
from rlite.engine.http.problems import bad_request
from rlite.engine.http.routes import Answer, Errors, Parameter, Request, route
from rlite.engine.reply import ErrorReply, Simple

DATABASE = Parameter("db", "The database.", {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, "0")
COMMAND = {
    "type": "array",
    "minItems": 1,
    "items": {"type": ["string", "number", "boolean"]},
    "description": "A command's name and its arguments.",
}
COMMANDS = {"type": "array", "items": COMMAND}
RESULT = {"type": "object", "properties": {"result": {}, "error": {"type": "string"}}}
RESULTS = {"type": "array", "items": RESULT}
REFUSED = {400: ("The command was refused, or it failed.", RESULT)}

Encode = Callable[[bytes], str]


def words(command: Sequence[str | bool]) -> list[bytes]:
    """The arguments of a command; numbers come as they were written (see Route.number_texts)."""
    try:
        return [(str(each).lower() if isinstance(each, bool) else each).encode("utf-8") for each in command]
    except UnicodeEncodeError:
        raise bad_request("an argument holds half of a surrogate pair, which UTF-8 cannot say") from None


def plain(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def in_base64(raw: bytes) -> str:
    return b64encode(raw).decode()


def encoder(request: Request) -> Encode:
    return in_base64 if request.headers.get("upstash-encoding", "").lower() == "base64" else plain


def shown(reply: Any, encode: Encode) -> Any:
    """A reply of RESP2 as JSON."""
    if isinstance(reply, list):
        return [shown(each, encode) for each in reply]
    if isinstance(reply, bytes):
        return encode(reply)
    if isinstance(reply, Simple):
        return reply.text if reply.text == "OK" else encode(reply.text.encode("utf-8", "surrogateescape"))
    if isinstance(reply, ErrorReply):
        return reply.text
    return reply


def result(reply: Any, encode: Encode) -> dict[str, Any]:
    if isinstance(reply, ErrorReply):
        return {"error": reply.text}
    return {"result": shown(reply, encode)}


def failed(reply: ErrorReply) -> Answer:
    return Answer({"error": reply.text}, 400)


@route("POST", "/", summary="Runs a command.", tag="commands", parameters=(DATABASE,), body=COMMAND,
       number_texts=True, errors=Errors.UPSTASH,
       answers={200: ("Its reply.", RESULT), **REFUSED})  # fmt: skip
def run_command(api: Api, request: Request) -> Answer:
    args = words(request.body)
    with api.session(request.peer, request.query["db"]) as session:
        reply = session.ask(args)
    return failed(reply) if isinstance(reply, ErrorReply) else Answer(result(reply, encoder(request)))


@route("POST", "/pipeline", summary="Runs commands one after the other; others may come between them.",
       tag="commands", parameters=(DATABASE,), body=COMMANDS, number_texts=True, errors=Errors.UPSTASH,
       answers={200: ("The reply to each; one may be an error.", RESULTS)})  # fmt: skip
def run_pipeline(api: Api, request: Request) -> Answer:
    encode = encoder(request)
    commands = [words(each) for each in request.body]
    with api.session(request.peer, request.query["db"]) as session:
        return Answer([result(session.ask(args), encode) for args in commands])


@route("POST", "/multi-exec", summary="Runs commands as one transaction.", tag="commands",
       parameters=(DATABASE,), body=COMMANDS, number_texts=True, errors=Errors.UPSTASH,
       answers={200: ("The reply to each; one may be an error.", RESULTS),
                400: ("A command was refused; none has run.", RESULT)})  # fmt: skip
def run_transaction(api: Api, request: Request) -> Answer:
    encode = encoder(request)
    commands = [words(each) for each in request.body]
    with api.session(request.peer, request.query["db"]) as session:
        session.call(b"MULTI")
        for args in commands:
            queued = session.ask(args)
            if isinstance(queued, ErrorReply):
                session.call(b"DISCARD")
                return failed(queued)
        try:
            replies = session.call(b"EXEC")
        except CommandError as fault:
            return failed(ErrorReply(fault.text))
    return Answer([result(each, encode) for each in replies])
