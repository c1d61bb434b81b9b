"""`rlite serve` as people start it: arguments, files, ports, sockets, signals, exit codes.

Real processes, real pipes.
"""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from support.servers import StartError, rlite_program, running, start_rlite, wait_for
from support.wire import Bulk, Simple


def rlite(
    *args: str, given: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*rlite_program(), *args], capture_output=True, text=True, input=given, timeout=30, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with running(start_rlite) as server:
        with server.wire() as wire:
            assert wire.command("SET", "k", "v") == Simple(b"OK")
            server.process.send_signal(number)
            assert server.process.wait(10) == 0
            assert wire.read_to_end() == b""
        assert "Ready to accept connections" in server.log()


def test_a_port_that_is_taken_is_said_in_one_line_with_exit_code_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = rlite("serve", "--port", str(port), "--bind", "127.0.0.1")
    assert done.returncode == 3
    assert done.stdout == ""
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("maxmemory 5xx", "memory"),
        ("port 99999", "65535"),
        ("prot 6379", "did you mean port"),
        ("maxmemory-policy lru", "allkeys-lru"),
        ("io-threads 0", "io-threads"),
        ("lock-stripes 3", "power of two"),
        ('requirepass "open', "quote"),
        ("cluster-enabled yes", "cluster"),
        ("loadmodule /x.so", "module"),
    ],
)
def test_a_bad_line_is_named_and_nothing_starts(tmp_path: Path, line: str, named: str) -> None:
    conf = tmp_path / "bad.conf"
    conf.write_text(f"# a comment\ndatabases 4\n{line}\n")
    done = rlite("serve", str(conf), "--port", "0")
    assert done.returncode == 2
    assert f"{conf}:3" in done.stderr
    assert line.partition(" ")[0] in done.stderr
    assert named in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    conf = tmp_path / "bad.conf"
    conf.write_text("port x\nmaxclients -1\nnosuch 1\n")
    done = rlite("serve", str(conf), "--hz", "abc")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 4


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    done = rlite("serve", str(tmp_path / "none.conf"))
    assert done.returncode == 2
    assert "none.conf" in done.stderr


def test_check_config_starts_nothing() -> None:
    assert rlite("serve", "--check-config", "--maxmemory", "1gb").returncode == 0
    assert rlite("serve", "--check-config", "--maxmemory", "1tb").returncode == 2


def test_print_config_shows_values_and_where_they_came_from(tmp_path: Path) -> None:
    conf = tmp_path / "a.conf"
    conf.write_text("databases 4\nport 1000\nhz 20\n")
    environment = {"RLITE_PORT": "2000", "RLITE_MAXMEMORY": "1mb"}
    done = rlite(
        "serve", str(conf), "--print-config", "-o", "json", "--port", "3000", environment=environment
    )
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["schema"] == "rlite.config/1"
    rows = {row["directive"]: row for row in document["directives"]}
    assert rows["port"]["value"] == "3000"
    assert "--port" in rows["port"]["origin"]
    assert rows["maxmemory"] == {"directive": "maxmemory", "value": "1048576", "origin": "RLITE_MAXMEMORY"}
    assert rows["databases"]["origin"] == f"{conf}:1"
    assert rows["timeout"]["origin"] == "default"


def test_print_config_hides_secrets() -> None:
    for form in ("table", "json"):
        done = rlite("serve", "--print-config", "-o", form, "--requirepass", "hunter2")
        assert done.returncode == 0
        assert "hunter2" not in done.stdout


def test_the_configuration_can_come_from_standard_input() -> None:
    done = rlite("serve", "-", "--print-config", "-o", "json", given="databases 7\n")
    rows = {row["directive"]: row["value"] for row in json.loads(done.stdout)["directives"]}
    assert rows["databases"] == "7"


def test_a_broken_pipe_is_told_by_the_exit_code() -> None:
    program = " ".join(rlite_program())
    script = (
        f"set -o pipefail; {program} serve --print-config | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() in ("0", "141")  # 0: all was written before head ended
    assert "Traceback" not in done.stderr


def test_a_unix_socket_serves_and_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with running(start_rlite, {"unixsocket": str(path), "unixsocketperm": "700"}) as server:
        assert path.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(path))
            peer.sendall(b"PING\r\n")
            assert peer.recv(100) == b"+PONG\r\n"
        assert server.stop() == 0
    assert not path.exists()


def test_a_password_keeps_strangers_out_and_never_reaches_the_log() -> None:
    with running(start_rlite, {"requirepass": "hunter2"}) as server, server.wire() as wire:
        assert wire.command("GET", "k").text.startswith(b"NOAUTH")
        assert wire.command("AUTH", "wrong").text.startswith(b"WRONGPASS")
        assert wire.command("AUTH", "hunter2") == Simple(b"OK")
        assert wire.command("SET", "k", "v") == Simple(b"OK")
        assert "hunter2" not in server.log()


@pytest.mark.peer("redis-server")
def test_a_stock_redis_conf_starts() -> None:
    """Debian's own file, where it is installed; inert directives are told in one line."""
    conf = Path("/etc/redis/redis.conf")
    if not os.access(conf, os.R_OK):
        pytest.skip("needs /etc/redis/redis.conf of Debian's package redis-server")
    done = rlite("serve", str(conf), "--check-config")
    assert done.returncode == 0, done.stderr


def test_ping_says_whether_somebody_is_there() -> None:
    with running(start_rlite) as server:
        done = rlite("ping", "-p", str(server.port))
        assert (done.returncode, done.stdout) == (0, "PONG\n")
        port = server.port
    done = rlite("ping", "-p", str(port))
    assert done.returncode == 3
    assert "could not connect" in done.stderr


def test_help_and_typos() -> None:
    assert "rlite serve" in rlite("--help").stdout
    assert rlite("help", "serve").stdout == rlite("serve", "--help").stdout
    wrong = rlite("serv")
    assert wrong.returncode == 2
    assert "serve" in wrong.stderr


def test_two_servers_can_not_share_a_port() -> None:
    with running(start_rlite) as server, pytest.raises(StartError) as failure:
        start_rlite(server.directory, {"port": str(server.port)})
    assert failure.value.exit_code == 3


def test_a_bug_in_a_handler_is_logged_and_the_server_goes_on() -> None:
    """Nothing a client sends should get there; if it does, its connection ends and nobody else's."""
    from support.in_process import started

    from rlite.engine.commands.declare import REGISTRY

    broken = started()
    try:
        command = REGISTRY["TIME"]
        handler = command.handler
        object.__setattr__(command, "handler", lambda _call: 1 / 0)
        try:
            with broken.wire() as wire:
                wire.send("TIME")
                assert wire.read_to_end() == b"-ERR internal error; the server's log has the details\r\n"
        finally:
            object.__setattr__(command, "handler", handler)
        with broken.wire() as wire:
            assert wire.command("ECHO", "still here") == Bulk(b"still here")
    finally:
        broken.close()


def test_a_shutdown_command_ends_the_process() -> None:
    with running(start_rlite) as server:
        with server.wire() as wire:
            wire.send("SHUTDOWN", "NOSAVE")
            assert wire.read_to_end() == b""
        wait_for(lambda: server.process.poll() is not None, "the process ends")
        assert server.process.returncode == 0
