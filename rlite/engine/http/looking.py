"""Routes that look at the server: probes, metrics, INFO, the command log, hot keys, clients, latency,
replication. They read what the commands of the same names read, and touch no key.
"""

from typing import TYPE_CHECKING, cast

from rlite.engine.commands import clients, info
from rlite.engine.http.api import Api
from rlite.engine.http.problems import bad_request
from rlite.engine.http.routes import Answer, Parameter, Place, Request, Stream, route
from rlite.engine.http.slowlog_stream import entry_document, slow_calls
from rlite.engine.observe import hotkeys as tracker
from rlite.engine.observe import latency as times
from rlite.engine.observe.slowlog import Kind
from rlite.engine.observe.typed_info import typed_section

if TYPE_CHECKING:
    from rlite.engine.observe.latency_monitor import LatencyMonitor

KIND = Parameter(
    "kind", "Which log.", {"type": "string", "enum": [kind.value for kind in Kind]}, default="slow"
)
COUNT = Parameter("count", "How many at most.", {"type": "integer", "minimum": 1, "maximum": 10_000}, "128")
OBJECT = {"type": "object"}


def document(name: str, **members: object) -> Answer:
    """A JSON document that names its schema."""
    return Answer({"schema": f"rlite.{name}/1", **members})


def text_of(raw: bytes) -> str:
    """Bytes for people: UTF-8, and what is none escaped."""
    return raw.decode("utf-8", "backslashreplace")


PROBE = {200: ("It is.", OBJECT)}


@route("GET", "/livez", summary="Whether the process lives.", tag="probes", place=Place.LOOP, open=True,
       answers=PROBE)  # fmt: skip
def live(_api: Api, _request: Request) -> Answer:
    return Answer({"status": "ok"})


@route("GET", "/healthz", summary="Whether the server works: the same as /livez, by its older name.",
       tag="probes", place=Place.LOOP, open=True, answers=PROBE)  # fmt: skip
def healthy(_api: Api, _request: Request) -> Answer:
    return Answer({"status": "ok"})


@route("GET", "/readyz", summary="Whether the server should get requests now: not while it loads or stops, "
       "nor as a replica without a link.", tag="probes", place=Place.LOOP, open=True,
       answers={**PROBE, 503: ("It should not.", OBJECT)})  # fmt: skip
def ready(api: Api, _request: Request) -> Answer:
    reasons = api.unready()
    if reasons:
        return Answer({"status": "unready", "reasons": reasons}, 503, {"Retry-After": "1"})
    return Answer({"status": "ok"})


EXPOSITION = {200: ("Metrics in the text format, or OpenMetrics where Accept asks for it.", None)}


@route("GET", "/metrics", summary="Metrics for Prometheus.", tag="metrics", place=Place.LOOKING,
       answers=EXPOSITION, media_type="text/plain")  # fmt: skip
def metrics(api: Api, request: Request) -> Answer:
    return exposition(api, request)


def exposition(api: Api, request: Request) -> Answer:
    body, media_type = api.metrics.text(request.headers.get("accept", ""))
    return Answer(body, media_type=media_type)


@route("GET", "/api/metrics", summary="The same as /metrics.", tag="metrics", place=Place.LOOKING,
       answers=EXPOSITION, media_type="text/plain")  # fmt: skip
def api_metrics(api: Api, request: Request) -> Answer:
    return exposition(api, request)


@route("GET", "/api/info", summary="INFO as values.", tag="looking", place=Place.LOOKING,
       parameters=(Parameter("section", "Sections, with commas between; all but the long ones by default.",
                             default="default"),),
       answers={200: ("The fields of each section, by its name in lower case.", OBJECT)})  # fmt: skip
def server_info(api: Api, request: Request) -> Answer:
    names = [name.strip().lower() for name in request.query["section"].split(",")]
    known = {name.lower() for name in info.SECTIONS} | {"default", "all", "everything"}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise bad_request(f"there is no section {unknown[0][:64]!r}; there are {', '.join(sorted(known))}")
    sections = {name.lower(): typed_section(info.SECTIONS[name](api.server)) for name in info.wanted(names)}
    return document("info", sections=sections)


@route("GET", "/api/slowlog", summary="The latest calls that were slow, or large.", tag="looking",
       place=Place.LOOKING, parameters=(KIND, COUNT, Parameter(
           "since_id", "Only entries with greater ids.", {"type": "integer", "minimum": -1}, "-1")),
       answers={200: ("Entries, the newest first; gap: some after since_id are lost.", OBJECT)})  # fmt: skip
def slowlog(api: Api, request: Request) -> Answer:
    log = api.command_log.kinds[Kind(request.query["kind"])]
    since = request.query["since_id"]
    there = log.newest(-1)
    found = [each for each in there if each.id > since][: request.query["count"]]
    oldest = there[-1].id if there else log.next_id
    return document(
        "slowlog", kind=request.query["kind"], threshold=log.threshold, length=log.length,
        next_id=log.next_id, gap=0 <= since < oldest - 1, entries=[entry_document(each) for each in found],
    )  # fmt: skip


@route("GET", "/api/slowlog/stream", summary="Calls that were slow, as they end: server-sent events.",
       tag="looking", place=Place.LOOP, parameters=(KIND,), media_type="text/event-stream",
       answers={200: ("Events `call`, whose ids Last-Event-ID goes on from; `gap` where some are lost.",
                      None)})  # fmt: skip
def slowlog_stream(api: Api, request: Request) -> Stream:
    log = api.command_log.kinds[Kind(request.query["kind"])]
    last = request.headers.get("last-event-id", "")
    if last and not (last.isascii() and last.isdigit() and len(last) < 19):
        raise bad_request("Last-Event-ID must be an id that an event of this stream had")
    return Stream(slow_calls(log, int(last) if last else log.next_id - 1, api.stopping))


@route("GET", "/api/hotkeys", summary="The most used keys of the last seconds.", tag="looking",
       place=Place.LOOKING, parameters=(
           Parameter("by", "What they are ordered by: uses, CPU time, bytes of requests.",
                     {"type": "string", "enum": list(tracker.ORDERS)}, "ops"),
           Parameter("top", "How many at most.", {"type": "integer", "minimum": 1, "maximum": 1000}, "20")),
       answers={200: ("Keys with their rates a second.", OBJECT)})  # fmt: skip
def hot_keys(api: Api, request: Request) -> Answer:
    by, top = request.query["by"], request.query["top"]
    keys = [
        {
            "database": each.database, "key": text_of(each.key), "key_cut": each.cut, "hot": each.hot,
            "ops_per_second": round(each.uses - each.error, 3), "error": round(each.error, 3),
            "reads_per_second": round(each.reads, 3), "writes_per_second": round(each.writes, 3),
            "cpu_us_per_second": round(each.cpu_us, 3), "net_bytes_per_second": round(each.net_bytes, 3),
            "share": round(each.share, 6),
        }
        for each in tracker.tracked(api.server, by)[:top]
    ]  # fmt: skip
    return document("hotkeys", by=by, keys=keys)


@route("GET", "/api/clients", summary="The connections of clients.", tag="looking", place=Place.LOOKING,
       parameters=(COUNT,), answers={200: ("What CLIENT LIST says of each.", OBJECT)})  # fmt: skip
def connected_clients(api: Api, request: Request) -> Answer:
    everybody = clients.everybody(api.server)
    return document(
        "clients", total=len(everybody),
        clients=[clients.fields_of(api.server, each) for each in everybody[: request.query["count"]]],
    )  # fmt: skip


@route("GET", "/api/latency", summary="How long commands take, and events that took long.", tag="looking",
       place=Place.LOOKING,
       answers={200: ("Percentiles (microseconds) by command; events by name.", OBJECT)})  # fmt: skip
def latency(api: Api, _request: Request) -> Answer:
    wanted = (50.0, 95.0, 99.0, 99.9)
    commands = {
        name: {"calls": found.total}
        | {f"p{each:g}_us": ns / 1000 for each, ns in zip(wanted, found.percentiles(wanted), strict=True)}
        for name, found in times.timed(api.server)
    }
    events = {
        name: {"latest_at": latest.at, "latest_ms": latest.ms, "highest_ms": highest}
        for name, latest, highest in cast("LatencyMonitor", api.server.latency_monitor).latest()
    }
    return document("latency", commands=commands, events=events)


@route("GET", "/api/replication", summary="Replicas, or the master and the link to it.", tag="looking",
       place=Place.LOOKING, answers={200: ("INFO replication, replicas as a list.", OBJECT)})  # fmt: skip
def replication(api: Api, _request: Request) -> Answer:
    fields = typed_section(info.SECTIONS["Replication"](api.server))
    names = [name for name in fields if name.startswith("slave") and name[5:].isdigit()]
    replicas = [fields.pop(name) for name in names]
    return document("replication", **fields, replicas=replicas)


@route("GET", "/api/openapi.json", summary="This API, as OpenAPI describes it.", tag="looking",
       place=Place.LOOP, answers={200: ("OpenAPI 3.1.", OBJECT)})  # fmt: skip
def openapi(_api: Api, _request: Request) -> Answer:
    from rlite.engine.http.openapi import description

    return Answer(description())
