"""The clients people use, used for real: redis-py in both protocols, redis-cli and redis-benchmark."""

import subprocess
from collections.abc import Iterator

import pytest
import redis
from support.servers import Server
from support.wire import Int, encode

Client = redis.Redis


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def client(rlite: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    host, port = rlite.address
    with redis.Redis(host, port, protocol=request.param, socket_timeout=10, client_name="tests") as connected:
        yield connected


def test_redis_py_reads_and_writes(client: Client) -> None:
    assert client.ping()
    assert client.set("k", b"\x00\xff", ex=100) is True
    assert client.get("k") == b"\x00\xff"
    assert 0 < client.ttl("k") <= 100
    assert client.set("k", "v", nx=True) is None
    assert client.set("k", "w", get=True) == b"\x00\xff"
    assert client.incr("n", 5) == 5
    assert client.incrbyfloat("f", 0.5) == 0.5
    assert client.mset({"a": 1, "b": 2}) is True
    assert client.mget("a", "b", "missing") == [b"1", b"2", None]
    assert client.getex("a", persist=True) == b"1"
    assert client.delete("a", "missing") == 1
    assert client.client_getname() in ("tests", b"tests")
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("k")


def test_redis_py_parses_what_servers_say_of_themselves(client: Client) -> None:
    client.set("k", "v")
    info = client.info()
    assert info["db0"]["keys"] == 1
    assert int(info["redis_version"].split(".")[0]) >= 7
    assert any(row["name"] == "tests" for row in client.client_list())
    assert client.command()["get"]["arity"] == 2
    assert client.memory_usage("k") > 0
    seconds, micros = client.time()
    assert seconds > 1_600_000_000
    assert 0 <= micros < 1_000_000


def test_redis_py_pipelines_and_transactions(client: Client) -> None:
    with client.pipeline(transaction=False) as pipe:
        for index in range(5000):
            pipe.set(f"k{index}", index)
        assert all(pipe.execute())
    with client.pipeline() as pipe:
        pipe.watch("k1")
        assert pipe.get("k1") == b"1"
        pipe.multi()
        pipe.incr("k1").get("k1")
        assert pipe.execute() == [2, b"2"]
        pipe.watch("k1")
        client.set("k1", "changed by another")
        pipe.multi()
        pipe.set("k1", "never")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert client.dbsize() == 5000


def test_redis_py_scans(client: Client) -> None:
    client.mset({f"k{index}": index for index in range(1000)})
    assert set(client.scan_iter(match="k*", count=50)) == {f"k{index}".encode() for index in range(1000)}


def test_redis_py_over_a_unix_socket(rlite_proc: object) -> None:
    assert callable(rlite_proc)
    server = rlite_proc(unix=True)
    with redis.Redis(unix_socket_path=str(server.unix_socket), socket_timeout=10) as connected:
        connected.set("k", "v")
        assert connected.get("k") == b"v"


def _run(program: str, server: Server, *arguments: str, stdin: bytes = b"") -> str:
    argv = [program, "-h", "127.0.0.1", "-p", str(server.port), *arguments]
    done = subprocess.run(argv, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.decode()


@pytest.mark.peer("redis-tools")
def test_redis_cli_runs_a_script(rlite: Server) -> None:
    script = b"""set k "hello world"\nget k\nincr k\nselect 1\nget k\n"""
    assert _run("redis-cli", rlite, stdin=script).splitlines() == [
        "OK",
        "hello world",
        "ERR value is not an integer or out of range",
        "",
        "OK",
        "",
    ]
    assert _run("redis-cli", rlite, "--no-raw", "mget", "k", "missing") == '1) "hello world"\n2) (nil)\n'


@pytest.mark.peer("redis-tools")
def test_redis_cli_speaks_resp3(rlite: Server) -> None:
    shown = _run("redis-cli", rlite, "-3", "--no-raw", "config", "get", "maxmemory-policy")
    assert shown == '1# "maxmemory-policy" => "noeviction"\n'


@pytest.mark.peer("redis-tools")
def test_redis_cli_takes_an_argument_from_its_input(rlite: Server) -> None:
    assert _run("redis-cli", rlite, "-x", "set", "k", stdin=b"a\x00\r\nb") == "OK\n"
    assert _run("redis-cli", rlite, "strlen", "k") == "5\n"


@pytest.mark.peer("redis-tools")
def test_redis_cli_loads_a_pipe(rlite: Server) -> None:
    stream = b"".join(encode("SET", f"k{index}", "v" * 50) for index in range(20_000))
    said = _run("redis-cli", rlite, "--pipe", stdin=stream)
    assert "errors: 0, replies: 20000" in said
    with rlite.wire() as wire:
        assert wire.command("DBSIZE") == Int(20_000)


@pytest.mark.peer("redis-tools")
def test_redis_cli_scans(rlite: Server) -> None:
    with rlite.wire() as wire:
        for index in range(200):
            wire.command("SET", f"k{index}", "v")
    assert len(_run("redis-cli", rlite, "--scan", "--pattern", "k*").split()) == 200


@pytest.mark.peer("redis-tools")
@pytest.mark.parametrize("pipeline", ["1", "16"])
def test_redis_benchmark_finishes_without_errors(rlite: Server, pipeline: str) -> None:
    options = (
        "-n",
        "20000",
        "-c",
        "20",
        "-r",
        "1000",
        "-P",
        pipeline,
        "-t",
        "ping,set,get,incr,mset",
        "--csv",
    )
    lines = _run("redis-benchmark", rlite, *options).splitlines()
    assert [line.split(",")[0].strip('"') for line in lines] == [
        "test",
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "MSET (10 keys)",
    ]
    assert all(float(line.split(",")[1].strip('"')) > 0 for line in lines[1:])
