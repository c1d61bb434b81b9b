"""What the API turns away: with the right status, a problem document, and no harm to clients of RESP."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.http import Http, Served, serving
from support.servers import wait_for

from rlite.engine.errors import RliteError
from rlite.engine.http import serving as http_serving
from rlite.engine.http.guarding import MAX_BODY

JSON = {"Content-Type": "application/json"}
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"  # and more headers


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    with serving(http_token="a secret", requirepass="password") as served:
        yield served


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        bearer(""),
        bearer("password"),
        {"Authorization": "Basic YTpi"},
        {"Authorization": "a secret"},
        {"Authorization": "\xff\xfe"},
        {"Authorization": ""},
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/api/info", "/api/keys/key", "/api/openapi.json"])
def test_without_the_right_token_nothing_is_told(guarded: Served, path: str, headers: dict[str, str]) -> None:
    got = guarded.http.request("GET", path, headers=headers)
    assert got.problem == (401, "UNAUTHORIZED")
    assert got.headers["www-authenticate"] == 'Bearer realm="rlite"'


def test_with_the_token_all_is_told_whatever_the_host_is_called(guarded: Served) -> None:
    assert guarded.http.request("GET", "/metrics", headers=bearer("a secret")).status == 200
    named = {**bearer("a secret"), "Host": "rlite.example:8379"}
    assert guarded.http.request("GET", "/api/info", headers=named).status == 200


def test_a_command_without_the_token_is_refused_in_the_words_of_its_route(guarded: Served) -> None:
    got = guarded.http.send("POST", "/", ["SET", "key", "value"])
    assert got.status == 401
    assert got.json["error"].startswith("UNAUTHORIZED")
    allowed = guarded.http.send("POST", "/", ["GET", "key"], Authorization="Bearer a secret")
    assert allowed.json == {"result": None}


def test_probes_need_no_token(guarded: Served) -> None:
    assert guarded.http.get("/readyz").status == 200


def test_the_password_is_the_token_where_no_other_is_set() -> None:
    with serving(requirepass="password") as served:
        assert served.http.get("/metrics").status == 401
        assert served.http.request("GET", "/metrics", headers=bearer("password")).status == 200
        wire = served.running.wire()
        wire.command("AUTH", "password")
        wire.command("CONFIG", "SET", "requirepass", "another")
        assert served.http.request("GET", "/metrics", headers=bearer("password")).status == 401
        assert served.http.request("GET", "/metrics", headers=bearer("another")).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8379", "127.0.0.1.evil.example", "localhost.evil", ""]
)
def test_a_name_that_a_browser_was_led_by_is_turned_away(http: Http, host: str) -> None:
    assert http.request("GET", "/api/info", headers={"Host": host}).problem == (421, "UNKNOWN_HOST")
    got = http.send("POST", "/", ["SET", "key", "value"], Host=host)
    assert got.status == 421
    assert http.command("GET", "key") == {"result": None}


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "10.1.2.3:8379", "localhost."]
)
def test_localhost_and_addresses_are_let_in(http: Http, host: str) -> None:
    assert http.request("GET", "/api/info", headers={"Host": host}).status == 200


def test_further_names_can_be_let_in(served: Served) -> None:
    wire = served.running.wire()
    wire.command("CONFIG", "SET", "http-hosts", "cache.example other")
    assert served.http.request("GET", "/api/info", headers={"Host": "Cache.Example:8379"}).status == 200
    wire.command("CONFIG", "SET", "http-hosts", "")
    assert served.http.request("GET", "/api/info", headers={"Host": "cache.example"}).status == 421
    wire.close()


def test_an_address_beyond_this_machine_needs_a_token() -> None:
    with (
        pytest.raises(RliteError, match=r"http-bind 0\.0\.0\.0 .* set http-token"),
        serving(http_bind=["0.0.0.0"]),
    ):
        pass
    with serving(http_bind=["0.0.0.0"], http_token="secret") as served:
        assert served.http.get("/api/info").status == 401


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(RliteError, match=f"could not listen on 127.0.0.1:{port}"),
            serving(http_port=port),
        ):
            pass


def test_no_other_site_may_read_an_answer(http: Http) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    for method, path in (("OPTIONS", "/api/keys/key"), ("GET", "/api/info"), ("OPTIONS", "/")):
        got = http.request(method, path, headers=asked)
        assert not [name for name in got.headers if name.startswith("access-control")]
    assert http.request("OPTIONS", "/", headers=asked).problem == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", None]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("PUT", "/api/keys/key"), ("PATCH", "/api/keys/key")]
)
def test_a_body_of_another_kind_than_json_changes_nothing(
    http: Http, method: str, path: str, media_type: str | None
) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    got = http.request(method, path, b'["SET", "key", "value"]', headers)
    assert got.status == 415
    assert http.command("EXISTS", "key") == {"result": 0}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[", b'["SET"', b"nonsense", b"\xff\xfe", b'["GET", NaN]', b'["GET", "a"] more',
        b"[" * 100_000, b'{"a":' * 100_000, b'["\\ud800x"]', b"[" + b"1" * 5000 + b"e]",
    ],
)  # fmt: skip
def test_what_is_no_json_is_a_bad_request(http: Http, body: bytes) -> None:
    got = http.request("POST", "/", body, JSON)
    assert got.status == 400
    assert got.json["error"].startswith("BAD_REQUEST")


@pytest.mark.parametrize(
    "body", ["text", 1, None, {}, [], [None], [[]], [{}], [["SET", "a", "b"]], ["SET", "a", None]]
)
def test_what_is_no_command_is_invalid(http: Http, body: object) -> None:
    got = http.send("POST", "/", body)
    assert (got.status, got.json["error"].partition(" ")[0]) == (422, "INVALID")


def test_a_body_too_large_is_turned_away_before_it_has_come(http: Http) -> None:
    assert http.raw(POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1)).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_bounded_too(http: Http) -> None:
    chunks = (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 64
    with socket.create_connection(("127.0.0.1", http.port), timeout=20) as peer:
        peer.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            peer.sendall(chunks)


def test_a_body_at_the_limit_is_taken(http: Http) -> None:
    value = "x" * (MAX_BODY - len(json.dumps(["SET", "key", ""])))
    assert http.command("SET", "key", value) == {"result": "OK"}
    assert http.command("STRLEN", "key") == {"result": len(value)}


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET /api/info\r\n\r\n",
        b"GET /api/info HTTP/1.1\r\n\r\n",
        b"GET /api/info HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /api/info HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300 + b"\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_problem_and_the_connection_ends(http: Http, head: bytes) -> None:
    answer = http.raw(head)
    first, _, rest = answer.partition(b"\r\n")
    assert first.split()[1] in (b"400", b"431", b"501"), answer
    assert b"application/problem+json" in rest
    assert http.get("/livez").status == 200


def test_a_slow_sender_of_a_head_is_cut_off(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_serving, "HEAD_SECONDS", 0.1)
    for beginning in (b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /li"):
        answer = http.raw(beginning)
        assert b"HTTP/1.1 408 " in answer
        assert b'"code": "TOO_SLOW"' in answer


def test_a_slow_sender_of_a_body_is_cut_off(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlite.engine.http.app.BODY_SECONDS", 0.1)
    head = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n["
    )
    assert http.raw(head).startswith(b"HTTP/1.1 408 ")


def test_a_reader_that_does_not_read_is_cut_off(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_serving, "READ_SECONDS", 0.1)
    http.command("SET", "key", "x" * (7 << 20))
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", http.port))
        peer.sendall(b"GET /api/keys/key HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        wait_for(lambda: connections(http) == 1, "the end of the other connection")


def connections(http: Http) -> int:
    text = http.get("/metrics").raw.decode()
    return int(float(text.partition("\nrlite_http_connections ")[2].partition("\n")[0]))


def test_one_connection_too_many_is_told_so(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_serving, "MAX_CONNECTIONS", 3)
    wait_for(lambda: connections(http) == 1, "the end of earlier connections")
    with ExitStack() as stack:
        for _ in range(3):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", http.port), timeout=10))
            peer.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert peer.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert http.raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    wait_for(lambda: http.get("/livez").status == 200, "room for a connection")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/keys/%", 400), ("/api/keys/%zz", 400), ("/api/keys/a%2", 400), ("/api/info?section=%zz", 400),
        ("/api/keys?count=0", 400), ("/api/keys?count=x", 400), ("/api/keys?count=99999999", 400),
        ("/api/keys?nonsense=1", 400), ("/api/keys?count=1&count=2", 400), ("/api/keys?type=nonsense", 400),
        ("/api/keys/a?db=16", 400), ("/api/keys/a?db=-1", 400), ("/api/keys?cursor=x", 400),
        ("/api/slowlog?kind=x", 400), ("/api/hotkeys?by=x", 400), ("/api/keys?" + "a=1&" * 100, 400),
        ("/", 405), ("/api", 404), ("/api/keys/", 404), ("//", 404), ("/api%2Fkeys/a", 404),
        ("/api/../metrics", 404), ("/api/info/", 404),
    ],
)  # fmt: skip
def test_a_bad_path_or_query_gets_a_problem(http: Http, path: str, code: int) -> None:
    assert http.get(path).problem[0] == code


def test_a_wrong_method_names_the_right_ones(http: Http) -> None:
    got = http.request("POST", "/api/keys/key")
    assert got.problem == (405, "METHOD_NOT_ALLOWED")
    assert set(got.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT", "PATCH", "DELETE"}


def test_a_fault_of_ours_is_a_problem_that_tells_nothing(
    http: Http, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rlite.engine.http.looking.typed_section", lambda _: 1 / 0)
    got = http.get("/api/info")
    assert got.problem == (500, "INTERNAL")
    assert "ZeroDivision" not in got.raw.decode()
    assert "ZeroDivisionError" in caplog.text


def test_the_port_of_resp_is_not_disturbed_by_all_that(served: Served) -> None:
    wire = served.running.wire()
    with ExitStack() as stack:
        for _ in range(20):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", served.http.port), timeout=10))
            peer.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        assert wire.command("PING") == wire.command("PING")
    wire.close()
