"""What the API tells of a server."""

import gzip
import json
import re
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support.http import Http, Served, serving
from support.servers import wait_for

from rlite.engine.commands.context import Loading

PROBES = ("/livez", "/healthz", "/readyz")


def test_probes_say_that_all_is_well(http: Http) -> None:
    for path in PROBES:
        got = http.get(path)
        assert (got.status, got.json) == (200, {"status": "ok"})


def test_a_server_that_loads_lives_and_is_not_ready(served: Served) -> None:
    served.context.loading = Loading()
    try:
        got = served.http.get("/readyz")
        assert (got.status, got.json["reasons"]) == (503, ["loading"])
        assert got.headers["retry-after"] == "1"
        assert served.http.get("/livez").status == 200
        assert served.http.command("GET", "key") == {
            "error": "LOADING Redis is loading the dataset in memory"
        }
        assert served.http.get("/api/keys/key").problem == (503, "LOADING")
    finally:
        served.context.loading = None


def test_a_replica_without_a_link_is_not_ready() -> None:
    with serving() as served:
        wire = served.running.wire()
        wire.command("REPLICAOF", "127.0.0.1", "1")
        got = served.http.get("/readyz")
        assert got.status == 503
        assert got.json["reasons"] == ["replica without a link to its master"]
        assert served.http.get("/api/replication").json["role"] == "slave"
        wire.command("REPLICAOF", "NO", "ONE")
        assert served.http.get("/readyz").status == 200


@pytest.mark.parametrize("path", ["/metrics", "/api/metrics"])
def test_metrics_come_as_text_and_as_openmetrics(http: Http, path: str) -> None:
    http.command("SET", "key", "value")
    plain = http.get(path)
    assert plain.headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in parse_text(plain.raw.decode())}
    assert {"redis_up", "redis_commands", "rlite_http_requests", "rlite_http_connections"} <= names
    other = http.get(path, Accept="application/openmetrics-text; version=1.0.0")
    assert other.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in parse_openmetrics(other.raw.decode())} == names


def test_metrics_are_compressed_for_who_wants_that(http: Http) -> None:
    got = http.get("/metrics", Accept_Encoding="gzip")
    assert got.headers["content-encoding"] == "gzip"
    assert b"redis_up 1.0" in gzip.decompress(got.raw)


def test_requests_are_counted_by_route_and_status(http: Http) -> None:
    http.get("/api/keys/there-is-none")
    text = http.get("/metrics").raw.decode()
    assert re.search(r'rlite_http_requests_total\{code="404",route="/api/keys/\{key\}"\} [1-9]', text)


def test_info_comes_as_values(http: Http) -> None:
    http.command("SET", "key", "value")
    sections = http.get("/api/info").json["sections"]
    assert sections["keyspace"]["db0"]["keys"] == 1
    assert sections["server"]["redis_version"] == "7.4.0"
    assert isinstance(sections["memory"]["used_memory"], int)
    assert "commandstats" not in sections


def test_info_comes_by_section_and_an_unknown_one_is_refused(http: Http) -> None:
    sections = http.get("/api/info?section=Commandstats,CLIENTS").json["sections"]
    assert sections.keys() == {"clients", "commandstats"}
    assert http.get("/api/info?section=nonsense").problem == (400, "BAD_REQUEST")


def test_the_slow_log_comes_with_its_facts_and_goes_on_by_id() -> None:
    with serving(slowlog_log_slower_than=0) as served:
        wire = served.running.wire()
        wire.command("CLIENT", "SETNAME", "me")
        wire.command("SET", "key", b"\xff")
        wait_for(lambda: len(served.http.get("/api/slowlog").json["entries"]) >= 2, "entries of the slow log")
        got = served.http.get("/api/slowlog").json
        entry = next(each for each in got["entries"] if each["command"] == "set")
        assert entry["args"] == ["SET", "key", "\\xff"]
        assert (entry["key"], entry["client_name"], entry["database"]) == ("key", "me", 0)
        newer = served.http.get(f"/api/slowlog?since_id={entry['id']}").json
        assert not newer["gap"]
        assert all(each["id"] > entry["id"] for each in newer["entries"])


def test_a_command_over_http_is_in_the_slow_log_with_its_peer() -> None:
    with serving(slowlog_log_slower_than=0) as served:
        served.http.command("SET", "key", "value")
        entries = served.http.get("/api/slowlog").json["entries"]
        entry = next(each for each in entries if each["command"] == "set")
        assert entry["client"].startswith("127.0.0.1:")


def test_slow_calls_come_as_events_that_go_on_after_the_last_one() -> None:
    with serving(slowlog_log_slower_than=0) as served:
        wire = served.running.wire()
        wire.command("SET", "before", "1")
        wait_for(lambda: bool(served.http.get("/api/slowlog").json["entries"]), "the first entry")
        connection = HTTPConnection("127.0.0.1", served.http.port, timeout=20)
        connection.request("GET", "/api/slowlog/stream", headers={"Last-Event-ID": "0"})
        answer = connection.getresponse()
        assert answer.getheader("content-type") == "text/event-stream; charset=utf-8"
        wire.command("SET", "after", "1")
        events: list[dict[str, object]] = []
        while not any(event["key"] == "after" for event in events):
            line = answer.readline().decode()
            assert line, "the stream has ended"
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
        assert "before" not in [event["key"] for event in events]
        ids = [event["id"] for event in events]
        assert ids == sorted(ids)  # type: ignore[type-var]
        connection.close()


def test_a_stream_says_what_it_has_missed() -> None:
    with serving(slowlog_log_slower_than=0, slowlog_max_len=2) as served:
        wire = served.running.wire()
        for i in range(10):
            wire.command("SET", f"key{i}", "1")
        wait_for(lambda: served.http.get("/api/slowlog").json["next_id"] >= 10, "the entries of the slow log")
        connection = HTTPConnection("127.0.0.1", served.http.port, timeout=20)
        connection.request("GET", "/api/slowlog/stream", headers={"Last-Event-ID": "1"})
        answer = connection.getresponse()
        while not (line := answer.readline().decode()).startswith("event: "):
            assert line
        assert line == "event: gap\n"
        assert json.loads(answer.readline().decode().removeprefix("data: "))["lost"] >= 6
        connection.close()


def test_hot_keys_clients_latency_and_replication_are_told(served: Served) -> None:
    wire = served.running.wire()
    wire.command("CLIENT", "SETNAME", "looked-at")
    for _ in range(50):
        wire.command("GET", "hot")
    keys = served.http.get("/api/hotkeys?top=1000&by=cpu").json["keys"]
    assert "hot" in [each["key"] for each in keys]
    clients = served.http.get("/api/clients").json
    assert "looked-at" in [each["name"] for each in clients["clients"]]
    commands = served.http.get("/api/latency").json["commands"]
    assert commands["get"]["calls"] >= 50
    assert 0 < commands["get"]["p50_us"] <= commands["get"]["p99_us"]
    replication = served.http.get("/api/replication").json
    assert (replication["role"], replication["replicas"]) == ("master", [])
    wire.close()


def test_the_openapi_document_describes_every_route(http: Http) -> None:
    document = http.get("/api/openapi.json").json
    assert document["openapi"] == "3.1.0"
    for path in (*PROBES, "/metrics", "/", "/pipeline", "/multi-exec", "/api/keys", "/api/keys/{key}"):
        assert path in document["paths"]
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    ids = [each["operationId"] for each in operations]
    assert len(ids) == len(set(ids))
    assert all(each["responses"] for each in operations)


def test_without_a_port_nothing_of_http_is_imported(tmp_path: Path) -> None:
    code = """
import sys
import rlite.cli.main, rlite.engine.server
heavy = {"starlette", "uvicorn", "prometheus_client", "h11", "anyio"}
print(sorted(heavy & {name.split(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout == b"[]\n"


def test_the_api_ends_with_the_server_though_somebody_listens_to_a_stream() -> None:
    with serving() as served:
        connection = HTTPConnection("127.0.0.1", served.http.port, timeout=20)
        connection.request("GET", "/api/slowlog/stream")
        answer = connection.getresponse()
        assert answer.readline()
        served.running.close()
        while answer.readline():
            pass
        with pytest.raises(OSError):
            served.http.get("/livez")
