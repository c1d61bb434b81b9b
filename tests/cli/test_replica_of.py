"""`rlite replica-of` as people run it: in pipes, on terminals, with servers of both kinds, in bad company."""

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.proxy import Proxy
from support.raw_replication import HISTORY, MasterLink, RawMaster
from support.replication import (
    PAIRS,
    Pair,
    ask,
    do,
    fields,
    follow,
    in_sync,
    kinds,
    node,
    promote,
    replicated,
    run,
)
from support.servers import Server, free_port, rlite_program, start_rlite, wait_for
from support.tools import ENVIRONMENT, on_terminal, rlite
from support.wire import Array, Bulk

from rlite.cli.replica_faults import is_talking
from rlite.engine.client import Connection

PASSWORD = "p4ss:w@rd/ %1"
QUOTED = "p4ss%3Aw%40rd%2F%20%251"
ALL = (*PAIRS, kinds("redis", "redis"))

# The document of --status: each field's types; a dict is an object, a list holds the shape of its items.
WORD, COUNT, MAYBE = (str,), (int,), (type(None),)
SHAPE: dict[str, Any] = {
    "schema": WORD, "server": WORD, "redis_version": WORD + MAYBE, "rlite_version": WORD + MAYBE,
    "run_id": WORD + MAYBE, "loading": (bool,), "role": WORD, "history": WORD + MAYBE,
    "former_history": WORD + MAYBE, "former_history_end": COUNT + MAYBE, "offset": COUNT,
    "read_only": (bool, type(None)), "lag_bytes": COUNT + MAYBE, "lag_seconds": COUNT + MAYBE,
    "master": {
        "host": WORD, "port": COUNT, "link": WORD, "last_io_seconds": COUNT + MAYBE,
        "down_seconds": COUNT + MAYBE, "offset": COUNT + MAYBE,
        "transfer": {
            "read_bytes": COUNT, "total_bytes": COUNT + MAYBE, "left_bytes": COUNT + MAYBE,
            "last_io_seconds": COUNT,
        },
        "error": {"kind": WORD, "text": WORD},
    },
    "replicas": [{"host": WORD, "port": COUNT, "state": WORD, "offset": COUNT, "lag_bytes": COUNT,
                  "lag_seconds": COUNT}],
}  # fmt: skip


def has_shape(value: object, shape: Any, at: str = "$") -> None:
    """Objects may be null where the server has nothing to say there."""
    if isinstance(shape, dict):
        if value is None and at != "$":
            return
        assert isinstance(value, dict), at
        assert value.keys() == shape.keys(), at
        for name, inner in shape.items():
            has_shape(value[name], inner, f"{at}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), at
        for item in value:
            has_shape(item, shape[0], f"{at}[]")
    else:
        assert type(value) in shape, f"{at}: {value!r}"


def document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    assert found["schema"] == "rlite.replica-status/1"
    has_shape(found, SHAPE)
    return found


def status(server: Server, *args: str, code: int = 0) -> dict[str, Any]:
    done = rlite("replica-of", "-p", server.port, "--status", "-o", "json", *args)
    assert done.returncode == code, done.stderr
    return document(done.stdout)


def told(server: Server, *args: str | int, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
    """replica-of, to a server."""
    done = rlite("replica-of", "-p", server.port, *args, **more)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(params=ALL)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two servers that know nothing of each other yet."""
    with replicated(*request.param, attach=False) as found:
        yield found


@pytest.fixture(params=[kinds("rlite"), kinds("redis")])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with node(request.param[0]) as found:
        yield found


@pytest.fixture
def redis() -> Iterator[Server]:
    with node("redis") as found:
        yield found


needs_redis = pytest.mark.peer("redis-server")


# --- following ---------------------------------------------------------------------------------------------


def test_it_returns_when_the_replica_has_all_that_the_master_had(pair: Pair) -> None:
    run(pair.master, [("SET", f"k{number}", number) for number in range(1000)])
    done = told(pair.replica, "127.0.0.1", pair.master.port)
    assert ask(pair.replica, "GET", "k999") == Bulk(b"999")
    assert done.stdout.startswith(f"127.0.0.1:{pair.replica.port} follows 127.0.0.1:{pair.master.port}, in ")
    assert done.stdout.count("\n") == 1
    assert "it took over all data" in done.stdout
    assert done.stderr == ""


def test_a_link_that_broke_goes_on_where_it_was(pair: Pair) -> None:
    told(pair.replica, f"127.0.0.1:{pair.master.port}")
    run(pair.master, [("SET", "a", 1)])
    in_sync(*pair)
    told(pair.replica, f"redis://127.0.0.1:{pair.master.port}/3")  # the same: nothing changes
    done = told(pair.replica, f"127.0.0.1:{pair.master.port}")
    assert "it went on where it was" in done.stdout


def test_without_waiting_it_returns_at_once_with_how_it_stands(redis: Server) -> None:
    done = told(redis, "127.0.0.1", free_port(), "--no-wait", "-o", "json")
    found = document(done.stdout)
    assert (found["role"], found["master"]["link"]) == ("replica", "down")


def test_the_socket_the_uri_and_the_environment_name_the_server(tmp_path: Path, redis: Server) -> None:
    with node("redis", {"unixsocket": str(tmp_path / "s")}) as other:
        for args, environment in (
            (("-s", str(tmp_path / "s")), {}),
            (("-u", f"redis://127.0.0.1:{other.port}"), {}),
            (("-u", f"unix://{tmp_path}/s"), {}),
            ((), {"RLITE_URL": f"redis://127.0.0.1:{other.port}"}),
            (("-p", str(other.port)), {"RLITE_URL": f"redis://:secret@127.0.0.1:{redis.port}"}),
        ):
            done = rlite("replica-of", *args, "127.0.0.1", redis.port, environment=environment)
            assert done.returncode == 0, done.stderr
            assert fields(other)["role"] == "slave"
            assert rlite("replica-of", *args, "no", "one", environment=environment).returncode == 0
            assert fields(other)["role"] == "master"


# --- passwords ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kinds("rlite"), kinds("redis")])
def test_the_login_for_the_master_comes_from_the_uri_or_a_file_and_is_never_shown(
    kind: tuple[str], tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    with node("redis", {"requirepass": PASSWORD}) as master, node(kind[0]) as replica:
        uri = f"redis://:{QUOTED}@127.0.0.1:{master.port}"
        place = ("127.0.0.1", master.port)
        for args, given in (
            ((uri,), ""),
            ((*place, "--master-password-file", file), ""),
            ((*place, "--master-password-file", "-"), PASSWORD),
            ((f"redis://default:wrong@127.0.0.1:{master.port}", "--master-password-file", file), ""),
        ):
            done = told(replica, *args, given=given)
            assert PASSWORD not in done.stdout + done.stderr
            promote(replica)
            do(replica, "CONFIG", "SET", "masterauth", "")


@needs_redis
def test_a_user_of_the_master_is_set_with_its_password(redis: Server) -> None:
    with node("redis") as master:
        do(master, "ACL", "SETUSER", "repl", "on", ">secret", "+psync", "+replconf", "+ping", "+info")
        do(master, "ACL", "SETUSER", "default", "resetpass", "-@all", "+ping", "off")
        told(redis, f"redis://repl:secret@127.0.0.1:{master.port}")
        assert fields(redis)["master_link_status"] == "up"


@pytest.mark.parametrize("kind", [kinds("rlite"), kinds("redis")])
@pytest.mark.parametrize(
    ("uri", "reason"),
    [("", "asks for a password"), (":wrong@", "the master refuses the password")],
)
def test_a_password_that_the_master_refuses_ends_the_waiting_at_once(
    kind: tuple[str], uri: str, reason: str
) -> None:
    with node("redis", {"requirepass": "right"}) as master, node(kind[0]) as replica:
        done = told(replica, f"redis://{uri}127.0.0.1:{master.port}", code=3, seconds=20)
        assert reason in done.stderr
        assert "wrong" not in done.stdout + done.stderr
        assert done.stdout == ""
        found = status(replica, code=1)
        assert found["master"]["error"]["kind"] == "auth"


@pytest.mark.parametrize("kind", [kinds("rlite"), kinds("redis")])
def test_the_right_password_after_a_wrong_one_is_good(kind: tuple[str]) -> None:
    with node("redis", {"requirepass": "right"}) as master, node(kind[0]) as replica:
        told(replica, f"redis://:wrong@127.0.0.1:{master.port}", code=3, seconds=20)
        assert "in step" in told(replica, f"redis://:right@127.0.0.1:{master.port}", seconds=30).stdout


@needs_redis
def test_a_password_for_a_master_without_any_is_named_as_the_reason(redis: Server) -> None:
    with node("redis") as master:
        done = told(redis, f"redis://:secret@127.0.0.1:{master.port}", code=3)
    assert "masterauth" in done.stderr
    assert "secret" not in done.stderr


def test_the_server_s_own_password_is_asked_for_and_taken(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    with node("rlite", {"requirepass": "secret"}) as server:
        done = told(server, "--status", code=3)
        assert done.stderr.count("\n") == 1
        assert "it asks for a password" in done.stderr
        done = told(server, "--status", "-a", "wrong", code=3)
        assert "it refuses the password" in done.stderr
        assert "others on this machine" in done.stderr
        assert told(server, "--status", "-a", "secret", "--no-auth-warning").stderr == ""
        assert told(server, "--status", environment={"REDISCLI_AUTH": "secret"}).stderr == ""
        assert told(server, "--status", "--password-file", file).stderr == ""
        assert told(server, "--status", "--user", "default", "--password-file", file).stderr == ""


def test_a_password_for_a_server_without_any_is_no_fault(server: Server) -> None:
    assert told(server, "--status", environment={"REDISCLI_AUTH": "secret"}).stderr == ""


def test_a_password_in_the_environment_s_uri_goes_to_no_other_server(server: Server) -> None:
    url = "redis://:secret@127.0.0.1:1"
    assert told(server, "--status", environment={"RLITE_URL": url}).stderr == ""


# --- masters that do not answer ----------------------------------------------------------------------------


def test_a_port_where_nobody_listens_is_given_up_with_the_reason(server: Server) -> None:
    port = free_port()
    done = told(server, "127.0.0.1", port, code=3, seconds=30)
    assert "Connection refused" in done.stderr
    assert "it goes on trying" in done.stderr
    found = status(server, code=1)
    assert found["master"]["error"]["kind"] == "refused"
    assert (found["master"]["host"], found["master"]["port"]) == ("127.0.0.1", port)
    assert found["lag_bytes"] is None


def test_a_host_that_nobody_knows_is_named(server: Server) -> None:
    done = told(server, "nosuch.invalid", 6379, code=3, seconds=40)
    assert "nosuch.invalid" in done.stderr


def test_the_timeout_ends_the_waiting_with_what_is_known(server: Server) -> None:
    done = told(server, "127.0.0.1", free_port(), "--timeout", "1.5", code=3, seconds=30)
    assert "not within 1.5 seconds (" in done.stderr
    assert "refused" in done.stderr


def test_a_master_that_comes_up_late_is_waited_for(server: Server) -> None:
    port = free_port()
    with subprocess.Popen(
        [*rlite_program(), "replica-of", "-p", str(server.port), "--timeout", "40", "127.0.0.1", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        wait_for(lambda: fields(server).get("master_port") == str(port), "it is told", seconds=30)
        with node("redis", {"port": str(port)}):
            out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "in step" in out


def test_what_is_no_redis_is_named_as_that(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        done = told(server, "127.0.0.1", listener.getsockname()[1], code=3, seconds=30)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert status(server, code=1)["role"] == "replica"
    assert "follows 127.0.0.1" in done.stderr


def newer(link: MasterLink) -> None:
    """A master of a version to come: its snapshots are of a format that nobody knows yet."""
    while True:
        words = link.command()
        match words[0].upper():
            case b"INFO":
                text = b"redis_version:99.0.0\r\nrun_id:" + b"f" * 40 + b"\r\nrole:master\r\n"
                link.send(b"$%d\r\n%s\r\n" % (len(text), text))
            case b"PSYNC":
                rdb = b"REDIS0099\xff" + bytes(8)
                link.send(b"+FULLRESYNC %s 0\r\n$%d\r\n%s" % (HISTORY.encode(), len(rdb), rdb))
            case b"PING":
                link.send(b"+PONG\r\n")
            case _:
                link.send(b"+OK\r\n")


def test_a_master_of_a_newer_version_is_given_up_with_that_reason(server: Server) -> None:
    with RawMaster(newer) as master:
        done = told(server, *master.address, code=3, seconds=60)
        assert "version" in done.stderr or "newer" in done.stderr


def test_behind_a_mapped_port_nobody_guesses_what_its_loopback_is(server: Server) -> None:
    with node("redis", {"requirepass": "secret"}) as other, Proxy(server.address) as mapped:
        args = ("replica-of", "-p", mapped.port, "127.0.0.1", other.port, "--timeout", "1")
        done = rlite(*args)
        assert done.returncode == 3
        # What a real Redis does not say is not looked up at what may be another server.
        assert ("the log of" in done.stderr) is (server.name == "redis")
        do(server, "CONFIG", "SET", "masterauth", "secret")
        done = rlite(*args[:-1], "30")
        assert "in step at offset" in done.stdout
        assert rlite("replica-of", "-p", mapped.port, "127.0.0.1", mapped.port, "--no-wait").returncode == 0


@needs_redis
def test_a_replica_that_talks_to_its_master_has_a_way_to_it(redis: Server) -> None:
    def silent(link: MasterLink) -> None:
        link.command()
        link.is_closed(30)

    with RawMaster(silent) as master, Connection(port=redis.port) as connection:
        follow(redis, master.address)
        wait_for(lambda: is_talking(connection), "it says PING")
        follow(redis, ("127.0.0.1", free_port()))
        wait_for(lambda: not is_talking(connection), "it knocks in vain")
        promote(redis)
        assert not is_talking(connection)


# --- circles -----------------------------------------------------------------------------------------------


def test_a_server_does_not_follow_itself_and_nothing_is_changed(server: Server) -> None:
    for host in ("127.0.0.1", "localhost"):
        done = told(server, host, server.port, code=3)
        assert "that is the server itself; nothing was changed" in done.stderr
    assert fields(server)["role"] == "master"


def test_a_circle_of_several_is_seen_and_nothing_is_changed(pair: Pair) -> None:
    with node("redis") as third:
        told(pair.replica, "127.0.0.1", pair.master.port)
        told(third, "127.0.0.1", pair.replica.port)
        done = told(pair.master, "127.0.0.1", third.port, code=3)
        chain = f"127.0.0.1:{third.port} follows 127.0.0.1:{pair.replica.port}, which follows it already"
        assert chain in done.stderr
        assert fields(pair.master)["role"] == "master"


@needs_redis
def test_a_circle_is_seen_where_the_server_needs_a_password(redis: Server) -> None:
    with node("redis", {"requirepass": "secret"}) as master:
        told(redis, f"redis://:secret@127.0.0.1:{master.port}")
        done = told(master, "127.0.0.1", redis.port, code=3, environment={"REDISCLI_AUTH": "secret"})
    assert "a circle" in done.stderr


# --- leading -----------------------------------------------------------------------------------------------


def test_no_one_makes_it_a_master_that_tells_its_history(pair: Pair) -> None:
    told(pair.replica, "127.0.0.1", pair.master.port)
    run(pair.master, [("SET", "a", 1)])
    in_sync(*pair)
    before = status(pair.replica)
    done = told(pair.replica, "no", "ONE", "-o", "json")
    after = document(done.stdout)
    assert (after["role"], after["master"]) == ("master", None)
    assert (after["former_history"], after["offset"]) == (before["history"], after["former_history_end"])
    assert after["history"] != before["history"]
    assert ask(pair.replica, "GET", "a") == Bulk(b"1")
    again = told(pair.replica, "NO", "ONE")
    assert "is a master already" in again.stdout
    assert after["history"] in again.stdout


def test_no_one_says_that_something_may_be_missing_where_the_link_was_down(server: Server) -> None:
    told(server, "127.0.0.1", free_port(), "--no-wait")
    done = told(server, "NO", "ONE")
    assert "it may lack what that has last written" in done.stderr
    assert "is a master: history " in done.stdout


# --- how it stands -----------------------------------------------------------------------------------------


def test_the_status_of_both_ends_agrees(pair: Pair) -> None:
    told(pair.replica, "127.0.0.1", pair.master.port)
    run(pair.master, [("SET", "a", "b" * 1000)])
    in_sync(*pair)
    wait_for(lambda: status(pair.master)["replicas"][0]["lag_bytes"] == 0, "it has acknowledged")
    master, replica = status(pair.master), status(pair.replica)
    assert (master["role"], replica["role"]) == ("master", "replica")
    assert master["history"] == replica["history"]
    assert replica["master"]["port"] == pair.master.port
    assert (replica["master"]["link"], replica["lag_bytes"], replica["lag_seconds"]) == ("up", 0, 0)
    assert replica["read_only"] is True
    assert (master["read_only"], master["lag_bytes"]) == (None, None)
    (seen,) = master["replicas"]
    assert (seen["host"], seen["port"], seen["state"]) == ("127.0.0.1", pair.replica.port, "online")


def test_the_lag_is_what_the_master_has_more(redis: Server) -> None:
    with node("redis") as master, Proxy(master.address) as proxy:
        told(redis, *proxy.address)
        do(redis, "CONFIG", "SET", "repl-timeout", "1000")
        proxy.freeze()
        run(master, [("SET", "a", "b" * 5000)])
        assert status(master)["replicas"][0]["lag_bytes"] >= 5000
        # The look at the master would go through the frozen link as well.
        done = rlite("replica-of", "-p", redis.port, "--status", "-o", "json", "-t", "0.5")
        assert document(done.stdout)["lag_bytes"] is None
        proxy.thaw()
        in_sync(master, redis)
        assert status(redis)["lag_bytes"] == 0


def test_a_table_says_the_same_in_words(pair: Pair) -> None:
    told(pair.replica, "127.0.0.1", pair.master.port)
    text = told(pair.replica, "--status").stdout
    assert text.startswith(f"127.0.0.1:{pair.replica.port}: replica of 127.0.0.1:{pair.master.port}, ")
    assert "  link     up" in text
    assert "  behind   0 bytes, 0 s" in text
    lines = told(pair.master, "--status").stdout.splitlines()
    assert lines[-2].split() == ["replica", "state", "offset", "behind", "last", "heard", "of"]
    assert lines[-1].startswith(f"127.0.0.1:{pair.replica.port}")


def test_ndjson_is_the_document_on_one_line(server: Server) -> None:
    done = told(server, "--status", "-o", "ndjson")
    assert done.stdout.count("\n") == 1
    assert document(done.stdout)["server"] == f"127.0.0.1:{server.port}"


def hostile(link: MasterLink) -> None:
    """A server whose words would like to be acted on by a terminal."""
    while link.command():
        text = (
            b"redis_version:\x1b[31m7\x07\r\nrole:slave\r\nmaster_host:\x1b]0;x\x07\r\nmaster_port:99999999999\r\n"
            b"master_link_status:down\r\nslave_repl_offset:many\r\nrlite_master_link_error:auth: \x1b[2J\r\n"
            b"slave0:ip=\x1b[1m,port=x\r\n"
        )
        link.send(b"$%d\r\n%s\r\n" % (len(text), text))


def test_what_a_server_says_reaches_no_terminal_unescaped() -> None:
    with RawMaster(hostile) as fake:
        done = rlite("replica-of", "-p", fake.address[1], "--status")
        assert done.returncode == 1
        assert "\x1b" not in done.stdout + done.stderr
        assert "\\x1b[31m7\\a" in done.stdout
        assert "Traceback" not in done.stderr


# --- servers that do not let it ----------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_named() -> None:
    port = free_port()
    done = rlite("replica-of", "-p", port, "127.0.0.1", 1)
    assert done.returncode == 3
    assert done.stderr == f"rlite: could not connect to 127.0.0.1:{port}: Connection refused\n"


@needs_redis
@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ("-replicaof", "its user may not follow a master"),
        ("-config", "its user may not take the master's password"),
        ("-info", "its user may not do that"),
    ],
)
def test_a_user_that_may_not_is_told_what(redis: Server, rules: str, reason: str) -> None:
    do(redis, "ACL", "SETUSER", "ops", "on", ">secret", "~*", "+@all", rules)
    done = rlite(
        "replica-of", "-u", f"redis://ops:secret@127.0.0.1:{redis.port}", "--no-auth-warning",
        "redis://:x@127.0.0.1:1",
    )  # fmt: skip
    assert done.returncode == 3
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert fields(redis)["role"] == "master"


@needs_redis
def test_a_server_that_has_the_command_no_more_is_told_apart(tmp_path: Path) -> None:
    conf = tmp_path / "renamed.conf"
    conf.write_text('rename-command REPLICAOF ""\n')
    with node("redis", {"include": str(conf)}) as server:
        done = told(server, "127.0.0.1", 1, code=3)
    assert "it has no command to follow a master" in done.stderr


def test_somebody_else_s_order_ends_the_waiting(server: Server) -> None:
    with subprocess.Popen(
        [*rlite_program(), "replica-of", "-p", str(server.port), "--timeout", "40", "127.0.0.1", "1"],
        stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        wait_for(lambda: fields(server).get("master_port") == "1", "it is told", seconds=30)
        promote(server)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "somebody told it otherwise meanwhile" in err


# --- from the start on -------------------------------------------------------------------------------------


@needs_redis
@pytest.mark.parametrize("way", ["words", "one word", "file", "variable"])
def test_a_server_is_a_replica_from_its_start_on(way: str, tmp_path: Path, redis: Server) -> None:
    run(redis, [("SET", "a", 1)])
    place = f"127.0.0.1 {redis.port}"
    conf = tmp_path / "rlite.conf"
    conf.write_text(f"# of ours\nreplicaof {place}\nhz 20\n" if way == "file" else "hz 20\n")
    directives = {"replicaof": place.replace(" ", ":")} if way == "one word" else {}
    arguments = ("--replicaof", *place.split()) if way == "words" else ()
    environment = {"RLITE_REPLICAOF": place} if way == "variable" else {}
    server = start_rlite(tmp_path, directives, arguments=(str(conf), *arguments), environment=environment)
    try:
        in_sync(redis, server)
        assert ask(server, "GET", "a") == Bulk(b"1")
        assert config(server) == place
        told(server, "NO", "ONE")
        assert config(server) == ""
        do(server, "CONFIG", "REWRITE")
        assert "replicaof" not in conf.read_text()
        told(server, "127.0.0.1", redis.port)
        do(server, "CONFIG", "REWRITE")
        assert conf.read_text().count(f"replicaof {place}\n") == 1
    finally:
        server.stop()


def config(server: Server) -> str:
    """What CONFIG GET says of replicaof."""
    reply = ask(server, "CONFIG", "GET", "replicaof")
    assert isinstance(reply, Array)
    value = reply.items[1]
    assert isinstance(value, Bulk)
    return value.data.decode()


def test_a_master_that_makes_no_sense_stops_the_start() -> None:
    done = rlite("serve", "--replicaof", "db.example", "--port", "0")
    assert done.returncode == 2
    assert done.stderr == (
        "rlite: --replicaof: replicaof: the port is missing: db.example PORT "
        "(HOST PORT, HOST:PORT, or no one)\n"
    )


# --- usage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        ([], "which master?"),
        (["host"], "the port is missing"),
        (["host", "0"], "is no port"),
        (["a", "1", "2"], "a host and a port are wanted"),
        (["rediss://host"], "asks for TLS"),
        (["unix:///tmp/s"], "a replica reaches its master by TCP"),
        (["--status", "host", "1"], "--status changes nothing"),
        (["no", "one", "--master-user", "a"], "NO ONE has no password"),
        (["-s", "/s", "-p", "1", "h", "1"], "-s is a server by itself"),
        (["--timeout", "0", "h", "1"], "--timeout"),
        (["-u", "ftp://h", "h", "1"], "ftp:// is not known"),
        (["--password-file", "/no/such", "h", "1"], "/no/such: No such file or directory"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(args: list[str], fault: str) -> None:
    where = [] if {"-s", "-u"} & set(args) else ["-p", str(free_port())]
    done = rlite("replica-of", *where, *args)
    assert done.returncode == 2, done.stderr
    assert fault in done.stderr


# --- terminals and pipes -----------------------------------------------------------------------------------


@pytest.fixture
def slowly(redis: Server) -> Iterator[tuple[Server, Proxy]]:
    """An empty server, and the way to a master whose data take a second and more to pass."""
    with node("redis", {"repl-diskless-sync": "no", "rdbcompression": "no"}) as master:
        run(master, [("SETRANGE", f"k{number}", 100_000, "x") for number in range(40)])
        with Proxy(master.address) as proxy:
            proxy.rate = 3e6
            yield redis, proxy


@needs_redis
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_progress_is_drawn_over_itself_on_a_terminal(slowly: tuple[Server, Proxy], term: str) -> None:
    server, proxy = slowly
    with on_terminal("replica-of", "-p", server.port, *proxy.address, environment={"TERM": term}) as terminal:
        assert terminal.end() == 0, terminal.text
    lines = terminal.text.replace("\r\n", "\n").split("\r")
    drawn = [line for line in lines if line.startswith("receiving")]
    assert len(drawn) >= 3
    assert all("of 3.8 MiB (" in line and "/s, 0:00:0" in line for line in drawn[:-1]), drawn
    assert lines[-1].startswith(f"127.0.0.1:{server.port} follows")
    assert lines[-1].endswith("it took over all data, 3.8 MiB\n")
    assert (b"\x1b" in terminal.shown) is (term != "dumb")


@needs_redis
def test_in_a_pipe_there_is_no_progress_unless_it_is_asked_for(slowly: tuple[Server, Proxy]) -> None:
    server, proxy = slowly
    assert told(server, *proxy.address).stderr == ""


@needs_redis
def test_ctrl_c_ends_the_waiting_and_the_server_goes_on(slowly: tuple[Server, Proxy]) -> None:
    server, proxy = slowly
    with on_terminal("replica-of", "-p", server.port, *proxy.address) as terminal:
        terminal.wait_for(b"receiving")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    assert f"127.0.0.1:{server.port} goes on by itself" in terminal.text
    command = f"rlite replica-of -h 127.0.0.1 -p {server.port} --status"
    assert command in terminal.text
    assert "Traceback" not in terminal.text
    wait_for(lambda: fields(server)["master_link_status"] == "up", "it has gone on", seconds=30)
    assert rlite(*command.split()[1:]).returncode == 0


@needs_redis
def test_a_transfer_is_seen_in_the_status(slowly: tuple[Server, Proxy]) -> None:
    server, proxy = slowly
    told(server, *proxy.address, "--no-wait")
    wait_for(lambda: int(fields(server).get("master_sync_read_bytes", 0)) > 0, "it receives", seconds=30)
    found = status(server)
    assert found["master"]["link"] == "transfer"
    assert found["master"]["transfer"]["total_bytes"] > 3_900_000
    assert "receiving the data: " in told(server, "--status").stdout


def test_on_a_terminal_it_asks_before_own_data_are_given_up(server: Server) -> None:
    run(server, [("SET", "a", 1)])
    args = ("replica-of", "-p", server.port, "127.0.0.1", free_port(), "--no-wait")
    for keys in (b"n\n", b"\n"):
        with on_terminal(*args) as terminal:
            terminal.wait_for(b"holds 1 key of its own")
            terminal.wait_for(b"[y/N]")
            terminal.type(keys)
            assert terminal.end() == 4
        assert fields(server)["role"] == "master"
    for more, keys in (((), b"y\n"), (("-y",), b"")):
        with on_terminal(*args, *more) as terminal:
            if keys:
                terminal.wait_for(b"[y/N]")
                terminal.type(keys)
            assert terminal.end() == 0
        assert fields(server)["role"] == "slave"
        promote(server)


def test_a_reader_that_goes_away_ends_it_with_141(server: Server) -> None:
    with subprocess.Popen(
        [*rlite_program(), "replica-of", "-p", str(server.port), "--status"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(30) == 141
    assert err == ""


def test_help_has_examples_and_the_exit_codes() -> None:
    done = rlite("help", "replica-of")
    assert done.returncode == 0
    for text in ("rlite replica-of -p 6380 127.0.0.1 6379", "Exit code 0:", "--timeout SECONDS"):
        assert text in done.stdout
