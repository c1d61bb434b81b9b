"""What a replica refuses and does for its clients, and what the change of a role does to them."""

import pytest
from support.following import Servers, established, info, until, until_up
from support.raw_replication import HISTORY, MasterLink, PatientMaster
from support.servers import wait_for
from support.snapshots import rdb, string
from support.wire import Array, Bulk, Err, Int, Null, Push, Simple, Wire, encode

READ_ONLY = Err(b"READONLY You can't write against a read only replica.")
MASTER_DOWN = Err(b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
UNBLOCKED = Err(
    b"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)


def synced(master: PatientMaster, wire: Wire) -> MasterLink:
    """The master's end of a link over which a key `k` has come."""
    link = master.accept()
    link.sync(rdb([string(b"k", b"v")]))
    link.acknowledged(0)
    until_up(wire)
    return link


def shown(wire: Wire, *command: bytes | str | int) -> str:
    reply = wire.command(*command)
    assert isinstance(reply, Bulk)
    return reply.data.decode()


# --- writes of clients ---


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "k", "1"), ("DEL", "k"), ("LPUSH", "l", "x"), ("XADD", "s", "*", "f", "v"), ("FLUSHALL",),
        ("BLPOP", "l", 0), ("SORT", "l", "STORE", "m"), ("GETEX", "k", "PERSIST"), ("EXPIRE", "k", 10),
        ("RESTORE", "r", 0, "x"), ("SWAPDB", 0, 1), ("PFADD", "p", "x"),
        ("EVAL", "return redis.call('del', 'k')", 0),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_replica_refuses_what_writes(
    command: tuple[str | int, ...], master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    synced(master, wire)
    reply = wire.command(*command)
    if command[0] == "EVAL":
        assert isinstance(reply, Err)
        assert reply.text.startswith(READ_ONLY.text)
    else:
        assert reply == READ_ONLY
    assert wire.command("GET", "k") == Bulk(b"v")
    assert "rejected_calls=1" in shown(wire, "INFO", "commandstats") or command[0] == "EVAL"


def test_a_replica_refuses_it_for_want_of_a_password_first(master: PatientMaster, servers: Servers) -> None:
    server = servers.start(requirepass="secret")
    wire = server.wire()
    assert wire.command("SET", "k", "1") == Err(b"NOAUTH Authentication required.")
    wire.command("AUTH", "secret")
    wire.command("REPLICAOF", "127.0.0.1", master.port)
    assert wire.command("SET", "k", "1") == READ_ONLY


def test_a_transaction_that_writes_is_refused_as_it_is_queued(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    synced(master, wire)
    assert wire.command("MULTI") == Simple(b"OK")
    assert wire.command("GET", "k") == Simple(b"QUEUED")
    assert wire.command("SET", "k", "1") == READ_ONLY
    assert wire.command("EXEC") == Err(b"EXECABORT Transaction discarded because of previous errors.")
    assert [wire.command(*words) for words in (("MULTI",), ("GET", "k"), ("EXEC",))][2] == Array(
        (Bulk(b"v"),)
    )


def test_a_transaction_queued_before_the_role_changed_is_refused_as_it_runs(
    master: PatientMaster, servers: Servers
) -> None:
    server = servers.start()
    wire, other = server.wire(), server.wire()
    wire.command("MULTI")
    assert wire.command("SET", "k", "1") == Simple(b"QUEUED")
    other.command("REPLICAOF", "127.0.0.1", master.port)
    assert wire.command("EXEC") == Err(b"EXECABORT Transaction discarded because of: " + READ_ONLY.text)
    assert wire.command("GET", "k") == Null(b"$")


def test_scripts_that_say_what_they_do_are_judged_by_that(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    synced(master, wire)
    assert wire.command("EVAL", "#!lua flags=no-writes\nreturn redis.call('get', 'k')", 0) == Bulk(b"v")
    assert wire.command("EVAL", "return redis.call('get', 'k')", 0) == Bulk(b"v")
    assert wire.command("EVAL", "#!lua\nreturn 1", 0) == Err(
        b"READONLY Can not run script with write flag on readonly replica."
    )
    caught = wire.command("EVAL", "return redis.pcall('set', 'k', 1)", 0)
    assert isinstance(caught, Err)
    assert caught.text.startswith(READ_ONLY.text)


def test_a_writable_replica_takes_writes_and_keeps_them_out_of_its_history(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master, replica_read_only=False)
    link = synced(master, wire)
    assert info(wire)["slave_read_only"] == "0"
    assert wire.command("SET", "mine", "1") == Simple(b"OK")
    assert wire.command("EVAL", "return redis.call('incr', 'mine')", 0) == Int(2)
    assert info(wire)["slave_repl_offset"] == "0"
    wire.command("CONFIG", "SET", "replica-read-only", "yes")
    assert wire.command("SET", "mine", "2") == READ_ONLY
    said = encode("SET", "k", "w")
    link.send(said)
    link.acknowledged(len(said))
    assert wire.command("GET", "mine") == Bulk(b"2")


def test_reads_of_a_replica_and_its_masters_writes_take_no_more_than_on_a_master(
    master: PatientMaster, servers: Servers
) -> None:
    """Many of both at once: none is lost, none is refused."""
    wire = servers.following(master)
    link = synced(master, wire)
    stream = b"".join(encode("INCR", "n") for _ in range(2000))
    link.send(stream)
    wire.send_raw(encode("GET", "k") * 2000)
    assert [wire.read_reply() for _ in range(2000)] == [Bulk(b"v")] * 2000
    link.acknowledged(len(stream))
    assert wire.command("GET", "n") == Bulk(b"2000")


# --- a link that is down ---


def test_a_replica_that_must_not_be_stale_answers_only_what_needs_no_data(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.start(replica_serve_stale_data=False).wire()
    wire.command("SET", "k", "old")
    wire.command("REPLICAOF", "127.0.0.1", master.port)
    assert wire.command("GET", "k") == MASTER_DOWN
    assert wire.command("PING") == MASTER_DOWN
    assert wire.command("SET", "k", "1") == READ_ONLY
    assert wire.command("EVAL", "return 1", 0) == MASTER_DOWN
    assert wire.command("EVAL", "#!lua flags=no-writes\nreturn 1", 0) == Err(
        b"MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' "
        b"flag is not set on the script."
    )
    assert wire.command("EVAL", "#!lua flags=no-writes,allow-stale\nreturn 1", 0) == Int(1)
    stale = wire.command("EVAL", "#!lua flags=no-writes,allow-stale\nreturn redis.call('get', 'k')", 0)
    assert isinstance(stale, Err)
    assert stale.text.startswith(b"ERR Can not execute the command on a stale replica")
    assert shown(wire, "INFO", "replication")
    assert isinstance(wire.command("ROLE"), Array)
    link = synced(master, wire)
    assert wire.command("GET", "k") == Bulk(b"v")
    link.close()
    until(wire, "GET", "k", becomes=MASTER_DOWN)
    wire.command("CONFIG", "SET", "replica-serve-stale-data", "yes")
    assert wire.command("GET", "k") == Bulk(b"v")
    wire.command("CONFIG", "SET", "replica-serve-stale-data", "no")
    assert wire.command("GET", "k") == MASTER_DOWN
    wire.command("REPLICAOF", "NO", "ONE")
    assert wire.command("GET", "k") == Bulk(b"v")


# --- what the stream does to clients ---


def test_who_waits_on_a_replica_wakes_when_the_stream_brings_it(
    master: PatientMaster, servers: Servers
) -> None:
    server = servers.start()
    wire, waiting = server.wire(), server.wire()
    wire.command("REPLICAOF", "127.0.0.1", master.port)
    link = synced(master, wire)
    waiting.send("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    wait_for(lambda: "blocked_clients:1" in shown(wire, "INFO", "clients"), "it waits")
    link.send(encode("XADD", "s", "5-1", "f", "v"))
    assert waiting.read_reply() == Array((
        Array((Bulk(b"s"), Array((Array((Bulk(b"5-1"), Array((Bulk(b"f"), Bulk(b"v"))))),)))),
    ))  # fmt: skip


def test_a_watched_key_that_the_stream_changes_breaks_the_transaction(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    link = synced(master, wire)
    wire.command("WATCH", "k")
    said = encode("SET", "k", "w")
    link.send(said)
    link.acknowledged(len(said))
    assert [wire.command(*words) for words in (("MULTI",), ("GET", "k"), ("EXEC",))][2] == Null(b"*")


def test_new_data_break_every_watch_of_what_they_replace(master: PatientMaster, servers: Servers) -> None:
    server = servers.start()
    wire, other = server.wire(), server.wire()
    wire.command("SET", "mine", "1")
    wire.command("WATCH", "mine")
    other.command("REPLICAOF", "127.0.0.1", master.port)
    synced(master, other)
    assert [wire.command(*words) for words in (("MULTI",), ("GET", "k"), ("EXEC",))][2] == Null(b"*")


def test_messages_events_and_monitors_hear_of_the_stream(master: PatientMaster, servers: Servers) -> None:
    server = servers.start(notify_keyspace_events="KEA")
    wire, listener, monitor = server.wire(), server.wire(protocol=3), server.wire()
    wire.command("REPLICAOF", "127.0.0.1", master.port)
    link = synced(master, wire)
    listener.command("SUBSCRIBE", "news", "__keyevent@0__:set")
    listener.read_reply()
    assert monitor.command("MONITOR") == Simple(b"OK")
    link.send(encode("SET", "a", "1") + encode("PUBLISH", "news", "hello"))
    assert listener.read_reply() == Push((Bulk(b"message"), Bulk(b"__keyevent@0__:set"), Bulk(b"a")))
    assert listener.read_reply() == Push((Bulk(b"message"), Bulk(b"news"), Bulk(b"hello")))
    line = monitor.read_reply()
    assert isinstance(line, Simple)
    assert line.text.endswith(b'[0 127.0.0.1:%d] "SET" "a" "1"' % master.port)


# --- the link as a client ---


def test_the_master_is_a_client_that_can_be_listed_and_killed(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    synced(master, wire)
    line = shown(wire, "CLIENT", "LIST", "TYPE", "master")
    assert " flags=M " in line
    assert f" addr=127.0.0.1:{master.port} " in line
    assert line.count("\n") == 1
    assert wire.command("CLIENT", "KILL", "TYPE", "master") == Int(1)
    assert master.accept().goes_on()[:2] == (b"PSYNC", HISTORY.encode())
    until_up(wire)
    assert wire.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") == Int(0)
    assert info(wire)["master_link_status"] == "up"


def test_a_pause_of_clients_is_none_of_the_stream(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    link = synced(master, wire)
    wire.command("CLIENT", "PAUSE", 60_000, "ALL")
    said = encode("SET", "k", "w")
    link.send(said)
    link.acknowledged(len(said))
    wire.command("CLIENT", "UNPAUSE")
    assert wire.command("GET", "k") == Bulk(b"w")


def test_a_replica_says_that_it_is_one(master: PatientMaster, servers: Servers) -> None:
    wire = servers.start().wire()
    assert b"role" in wire.command("HELLO").items[10].data  # type: ignore[union-attr]
    wire.command("REPLICAOF", "127.0.0.1", master.port)
    link = master.accept()
    wait_for(lambda: wire.command("ROLE").items[3] == Bulk(b"handshake"), "it greets")  # type: ignore[union-attr]
    link.sync(rdb([]), offset=42)
    until_up(wire)
    assert wire.command("ROLE") == Array(
        (Bulk(b"slave"), Bulk(b"127.0.0.1"), Int(master.port), Bulk(b"connected"), Int(42))
    )
    assert wire.command("HELLO").items[11] == Bulk(b"replica")  # type: ignore[union-attr]


# --- roles that change ---


def test_who_waits_on_a_master_is_sent_away_when_it_becomes_a_replica(
    master: PatientMaster, servers: Servers
) -> None:
    server = servers.start()
    wire, waiting = server.wire(), server.wire()
    waiting.send("BLPOP", "l", 0)
    wait_for(lambda: "blocked_clients:1" in shown(wire, "INFO", "clients"), "it waits")
    wire.command("REPLICAOF", "127.0.0.1", master.port)
    assert waiting.read_reply() == UNBLOCKED
    assert waiting.is_closed()


def test_a_role_is_changed_inside_a_transaction_as_sentinel_does(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.start().wire()
    wire.send_raw(
        encode("MULTI") + encode("SLAVEOF", "127.0.0.1", master.port)
        + encode("CLIENT", "KILL", "TYPE", "pubsub") + encode("EXEC")
    )  # fmt: skip
    assert [wire.read_reply() for _ in range(4)][3] == Array((Simple(b"OK"), Int(0)))
    link = synced(master, wire)
    wire.send_raw(encode("MULTI") + encode("SLAVEOF", "NO", "ONE") + encode("SET", "a", "1") + encode("EXEC"))
    assert [wire.read_reply() for _ in range(4)][2] == READ_ONLY
    wire.send_raw(encode("MULTI") + encode("SLAVEOF", "NO", "ONE") + encode("EXEC"))
    assert [wire.read_reply() for _ in range(3)][2] == Array((Simple(b"OK"),))
    assert link.is_closed()
    assert wire.command("SET", "a", "1") == Simple(b"OK")


def test_nothing_of_the_stream_is_applied_once_the_role_has_changed(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    link = established(master, wire)
    link.send(b"".join(encode("SET", "n", n) for n in range(20_000)))
    until(wire, "EXISTS", "n", becomes=Int(1))
    assert wire.command("REPLICAOF", "NO", "ONE") == Simple(b"OK")
    seen = wire.command("GET", "n")
    facts = info(wire)
    assert link.is_closed()
    assert wire.command("GET", "n") == seen
    assert isinstance(seen, Bulk)
    applied = sum(len(encode("SET", "n", n)) for n in range(int(seen.data) + 1))
    assert facts["second_repl_offset"] == str(applied + 1)


def test_the_master_can_be_read_back_as_a_directive(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    assert wire.command("CONFIG", "GET", "replicaof") == Array(
        (Bulk(b"replicaof"), Bulk(b"127.0.0.1 %d" % master.port))
    )
    wire.command("REPLICAOF", "NO", "ONE")
    assert wire.command("CONFIG", "GET", "replicaof") == Array((Bulk(b"replicaof"), Bulk(b"")))


def test_a_server_follows_from_its_start_whom_its_directives_name(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.start(replicaof=f"127.0.0.1 {master.port}").wire()
    assert wire.command("SET", "k", "1") == READ_ONLY
    link = master.accept()
    assert link.sync(rdb([string(b"k", b"v")])) == (b"PSYNC", b"?", b"-1")
    until_up(wire)
    assert wire.command("GET", "k") == Bulk(b"v")


def test_a_replica_leaves_maxmemory_to_its_master_unless_told_otherwise(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master, maxmemory=1_500_000, maxmemory_policy="allkeys-lru")
    link = established(master, wire)
    stream = b"".join(encode("SET", f"key:{n}", "x" * 1000) for n in range(3000))
    link.send(stream)
    link.acknowledged(len(stream))
    assert wire.command("DBSIZE") == Int(3000)
    assert wire.command("EVAL", "return 1", 0) == Int(1)
    wire.command("REPLICAOF", "NO", "ONE")
    assert wire.command("SET", "one", "more") == Simple(b"OK")
    reply = wire.command("DBSIZE")
    assert isinstance(reply, Int)
    assert reply.value < 3000
