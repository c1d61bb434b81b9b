"""What a master and a replica say of themselves, and refuse, is what redis-server says and refuses."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.raw_replication import EMPTY_RDB, HISTORY, MasterLink, RawMaster, RawReplica
from support.replication import (
    PAIRS,
    Pair,
    ask,
    do,
    fields,
    follow,
    in_sync,
    is_rlite,
    is_up,
    node,
    offset,
    promote,
    replicated,
    run,
    same_data,
    stat,
    text,
    wait_online,
    wait_up,
)
from support.servers import Server, free_port, wait_for
from support.wire import Array, Bulk, Err, Int, Null, Reply, Simple, encode

READONLY = Err(b"READONLY You can't write against a read only replica.")
MASTERDOWN = Err(b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
NOREPLICAS = Err(b"NOREPLICAS Not enough good replicas to write.")
SLAVE_LINE = re.compile(r"ip=127\.0\.0\.1,port=(\d+),state=online,offset=(\d+),lag=[01]")


@pytest.fixture(scope="module", params=PAIRS)
def lasting(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with replicated(*request.param) as both:
        yield both


@pytest.fixture
def pair(lasting: Pair) -> Pair:
    """A pair in sync, without data; shared by the tests of the module."""
    wait_up(lasting.replica)
    do(lasting.master, "FLUSHALL")
    in_sync(*lasting)
    return lasting


@pytest.fixture(scope="module")
def real() -> Iterator[Pair]:
    """Two real servers, to compare with."""
    with replicated("redis", "redis") as both:
        yield both


@pytest.fixture(scope="module")
def alone() -> Iterator[Server]:
    """A server of ours that follows nobody, or whom a test says."""
    with node("rlite", {"repl-timeout": "5"}) as server:
        yield server


def names(server: Server) -> list[str]:
    """The fields of INFO replication in their order, but for those that only we have."""
    return [name for name in fields(server) if not name.startswith("rlite_")]


# --- INFO and ROLE ------------------------------------------------------------------------------------------


@pytest.mark.peer("redis-server")
def test_info_has_the_real_ones_fields_in_their_order(pair: Pair, real: Pair) -> None:
    wait_online(pair.master)
    for ours, theirs in zip(pair, real, strict=True):
        assert names(ours) == names(theirs)


@pytest.mark.peer("redis-server")
def test_info_of_a_replica_without_its_master_has_the_real_ones_fields(alone: Server, real: Pair) -> None:
    with node("redis") as other:
        lost = ("127.0.0.1", free_port())
        for server in (alone, other):
            follow(server, lost)
            wait_for(lambda server=server: "master_link_down_since_seconds" in fields(server), "it is down")
        ours, theirs = fields(alone), fields(other)
        assert names(alone) == names(other)
    promote(alone)
    same = ("role", "master_link_status", "master_sync_in_progress", "slave_read_only", "master_host")
    assert [ours[name] for name in same] == [theirs[name] for name in same]


@pytest.mark.peer("redis-server")
def test_info_while_a_snapshot_comes_has_the_real_ones_fields(alone: Server) -> None:
    def half(link: MasterLink) -> None:
        link.handshake()
        link.send(b"+FULLRESYNC %b 0\r\n$1000\r\n" % HISTORY.encode() + b"REDIS0009" + bytes(391))
        link.is_closed(30)

    with RawMaster(half) as master, node("redis") as other:
        for server in (alone, other):
            follow(server, master.address)
            wait_for(lambda server=server: fields(server)["master_sync_in_progress"] == "1", "it syncs")
            wait_for(lambda server=server: fields(server)["master_sync_read_bytes"] == "400", "400 bytes")
        ours, theirs = fields(alone), fields(other)
        assert names(alone) == names(other)
        promote(alone)
    progress = [name for name in ours if name.startswith("master_sync_") and "seconds" not in name]
    assert {name: ours[name] for name in progress} == {name: theirs[name] for name in progress}


def test_info_says_how_far_both_are(pair: Pair) -> None:
    do(pair.master, "SET", "key", "value")
    in_sync(*pair)
    wait_for(
        lambda: f"offset={offset(pair.master)}" in fields(pair.master)["slave0"], "the offset is acknowledged"
    )
    master, replica = fields(pair.master), fields(pair.replica)
    line = SLAVE_LINE.fullmatch(master["slave0"])
    assert line is not None, master["slave0"]
    assert line[1] == str(pair.replica.port)
    assert (master["role"], replica["role"]) == ("master", "slave")
    assert master["connected_slaves"] == "1"
    assert master["master_replid"] == replica["master_replid"]
    assert re.fullmatch("[0-9a-f]{40}", master["master_replid"])
    assert replica["master_host"] == "127.0.0.1"
    assert replica["master_port"] == str(pair.master.port)
    assert replica["slave_read_repl_offset"] == replica["slave_repl_offset"] == replica["master_repl_offset"]
    assert int(master["repl_backlog_histlen"]) <= int(master["master_repl_offset"])
    first, length = int(master["repl_backlog_first_byte_offset"]), int(master["repl_backlog_histlen"])
    assert first + length == int(master["master_repl_offset"]) + 1


def test_role_says_who_follows_whom(pair: Pair) -> None:
    do(pair.master, "SET", "key", "value")
    in_sync(*pair)
    port, at = str(pair.replica.port).encode(), offset(pair.master)
    # What was acknowledged last, and that is done each second.
    shown = Array((Array((Bulk(b"127.0.0.1"), Bulk(port), Bulk(b"%d" % at))),))
    wait_for(
        lambda: ask(pair.master, "ROLE") == Array((Bulk(b"master"), Int(at), shown)), "it is acknowledged"
    )
    replica = ask(pair.replica, "ROLE")
    assert isinstance(replica, Array)
    assert replica.items[:4] == (
        Bulk(b"slave"), Bulk(b"127.0.0.1"), Int(pair.master.port), Bulk(b"connected")
    )  # fmt: skip
    assert replica.items[4] == Int(offset(pair.replica))


def test_role_of_a_replica_without_its_master(alone: Server) -> None:
    port = free_port()
    follow(alone, ("127.0.0.1", port))
    found = ask(alone, "ROLE")
    promote(alone)
    assert isinstance(found, Array)
    assert found.items[:3] == (Bulk(b"slave"), Bulk(b"127.0.0.1"), Int(port))
    assert found.items[3] in (Bulk(b"connect"), Bulk(b"connecting"))
    assert isinstance(found.items[4], Int)


def test_the_master_can_be_read_back_as_a_directive(alone: Server) -> None:
    follow(alone, ("127.0.0.1", 1))
    said: Reply = ask(alone, "CONFIG", "GET", "replicaof")
    assert said == Array((Bulk(b"replicaof"), Bulk(b"127.0.0.1 1")))
    promote(alone)
    assert ask(alone, "CONFIG", "GET", "replicaof") == Array((Bulk(b"replicaof"), Bulk(b"")))


def test_a_replica_is_shown_at_the_address_that_it_announces(alone: Server) -> None:
    with node("rlite", {"replica-announce-ip": "10.9.8.7", "replica-announce-port": "1234"}) as replica:
        follow(replica, alone)
        in_sync(alone, replica)
        wait_online(alone)
        assert fields(alone)["slave0"].startswith("ip=10.9.8.7,port=1234,")
        assert "10.9.8.7" in str(ask(alone, "ROLE"))


# --- clients ------------------------------------------------------------------------------------------------


def clients(server: Server, kind: str) -> list[dict[str, str]]:
    lines = text(server, "CLIENT", "LIST", "TYPE", kind).splitlines()
    return [dict(word.split("=", 1) for word in line.split(" ")) for line in lines]


def test_the_clients_of_a_link_have_their_flags(pair: Pair) -> None:
    assert [client["flags"] for client in clients(pair.master, "replica")] == ["S"]
    assert [client["flags"] for client in clients(pair.replica, "master")] == ["M"]
    assert not clients(pair.master, "master")
    assert not clients(pair.replica, "replica")
    assert all(client["flags"] == "N" for client in clients(pair.master, "normal"))


@pytest.mark.parametrize("at_master", [True, False], ids=["replica", "master"])
def test_a_link_that_is_killed_comes_back_and_goes_on(pair: Pair, at_master: bool) -> None:
    full, partial = stat(pair.master, "sync_full"), stat(pair.master, "sync_partial_ok")
    server, kind = (pair.master, "replica") if at_master else (pair.replica, "master")
    assert ask(server, "CLIENT", "KILL", "TYPE", kind) == Int(1)
    do(pair.master, "SET", "key", "value")
    wait_for(lambda: stat(pair.master, "sync_partial_ok") > partial, "a partial resync")
    same_data(*pair)
    assert stat(pair.master, "sync_full") == full


# --- WAIT and what needs replicas ---------------------------------------------------------------------------


def test_wait_counts_the_replicas_that_have_it(pair: Pair) -> None:
    with pair.master.wire() as wire:
        wire.command("SET", "key", "value")
        assert wire.command("WAIT", 1, 5000) == Int(1)
        assert ask(pair.replica, "GET", "key") == Bulk(b"value")
        begin = time.monotonic()
        assert wire.command("WAIT", 2, 100) == Int(1)
        assert time.monotonic() - begin >= 0.1
        assert wire.command("WAIT", 0, 100) == Int(1)
        wire.command("SET", "key", "other")
        assert wire.command("WAIT", 1, 0) == Int(1)


def test_a_replica_refuses_wait(pair: Pair) -> None:
    refusal = ask(pair.replica, "WAIT", 1, 100)
    assert isinstance(refusal, Err)
    assert refusal.text.startswith(b"ERR WAIT cannot be used with replica instances.")


def test_waitaof_counts_the_disks_that_have_it() -> None:
    with replicated("rlite", "rlite", both={"appendonly": "yes"}) as (master, replica):
        if not is_rlite(master):
            pytest.skip("the stand-in does not know WAITAOF")
        with master.wire() as wire:
            wire.command("SET", "key", "value")
            assert wire.command("WAITAOF", 1, 1, 10_000) == Array((Int(1), Int(1)))
            wire.command("SET", "key", "other")
            assert wire.command("WAITAOF", 0, 2, 2500) == Array((Int(1), Int(1)))
            assert ask(replica, "GET", "key") == Bulk(b"other")


@pytest.mark.peer("redis-server")
def test_waitaof_does_not_count_a_replica_that_says_nothing_of_its_disk() -> None:
    with replicated("rlite", "redis", both={"appendonly": "yes"}) as (master, _):
        if not is_rlite(master):
            pytest.skip("the stand-in does not know WAITAOF")
        with master.wire() as wire:
            wire.command("SET", "key", "value")
            assert wire.command("WAITAOF", 1, 0, 10_000) == Array((Int(1), Int(0)))
            assert wire.command("WAITAOF", 1, 1, 1500) == Array((Int(1), Int(0)))


@pytest.mark.parametrize("servers", PAIRS)
def test_too_few_replicas_refuse_writes(servers: tuple[str, str]) -> None:
    directives = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}
    with replicated(*servers, of_master=directives, attach=False) as (master, replica):
        assert ask(master, "SET", "key", "value") == NOREPLICAS
        assert isinstance(ask(master, "GET", "key"), Null)
        follow(replica, master)
        wait_for(lambda: ask(master, "SET", "key", "value") == Simple(b"OK"), "writes again")
        same_data(master, replica)
        assert fields(master)["min_slaves_good_slaves"] == "1"
        replica.kill9()
        wait_for(lambda: ask(master, "SET", "key", "value") == NOREPLICAS, "refused again")


# --- what a replica refuses ---------------------------------------------------------------------------------


def test_a_replica_refuses_writes(pair: Pair) -> None:
    do(pair.master, "SET", "key", "value")
    in_sync(*pair)
    replies = run(
        pair.replica,
        [("SET", "key", "x"), ("DEL", "key"), ("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "key"),
         ("MULTI",), ("SET", "key", "x"), ("EXEC",), ("GET", "key"), ("FLUSHALL",), ("PUBLISH", "a", "b")],
    )  # fmt: skip
    assert replies[0] == replies[1] == replies[4] == replies[7] == READONLY
    assert isinstance(replies[2], Err)
    assert b"READONLY" in replies[2].text
    assert isinstance(replies[5], Err)
    assert replies[5].text.startswith(b"EXECABORT")
    assert replies[6] == Bulk(b"value")
    assert replies[8] == Int(0)
    same_data(*pair)


def test_a_writable_replica_keeps_its_writes_for_itself(pair: Pair) -> None:
    do(pair.master, "SET", "key", "value")
    in_sync(*pair)
    do(pair.replica, "CONFIG", "SET", "replica-read-only", "no")
    try:
        do(pair.replica, "SET", "local", "x")
        do(pair.replica, "SET", "key", "x")
        before = offset(pair.replica)
        do(pair.replica, "SET", "brief", "x", "PX", 20)
        wait_for(lambda: ask(pair.replica, "EXISTS", "brief") == Int(0), "a key of its own expires")
        assert offset(pair.replica) == before
        assert ask(pair.master, "EXISTS", "local") == Int(0)
        do(pair.master, "APPEND", "key", "!")
        in_sync(*pair)
        assert ask(pair.replica, "GET", "key") == Bulk(b"x!")
    finally:
        do(pair.replica, "CONFIG", "SET", "replica-read-only", "yes")
        do(pair.master, "FLUSHALL")
    same_data(*pair)


def test_a_replica_that_must_not_be_stale_refuses_while_its_link_is_down(alone: Server) -> None:
    do(alone, "SET", "key", "value")
    do(alone, "CONFIG", "SET", "replica-serve-stale-data", "no")
    follow(alone, ("127.0.0.1", free_port()))
    try:
        refused = run(
            alone, [("GET", "key"), ("SET", "key", 1), ("EVAL", "return 1", 0), ("PUBLISH", "a", "b")]
        )
        served = run(alone, [("INFO",), ("ROLE",), ("CONFIG", "GET", "port"), ("MULTI",), ("DISCARD",)])
        in_multi = run(alone, [("MULTI",), ("GET", "key"), ("EXEC",)])
        asked = run(alone, [("PING",), ("SELECT", 1), ("SUBSCRIBE", "c")])
    finally:
        promote(alone)
        do(alone, "CONFIG", "SET", "replica-serve-stale-data", "yes")
    assert refused[0] == MASTERDOWN
    assert isinstance(refused[1], Err)
    assert isinstance(refused[2], Err)
    assert not any(isinstance(reply, Err) for reply in served)
    assert in_multi[1] == MASTERDOWN
    assert asked[0] == MASTERDOWN
    assert not any(isinstance(reply, Err) for reply in asked[1:])
    assert ask(alone, "GET", "key") == Bulk(b"value")


def test_old_data_are_served_until_the_new_ones_are_there(alone: Server) -> None:
    """While a snapshot comes; with replica-serve-stale-data no they are not."""
    rest = EMPTY_RDB[9:]
    go_on: list[MasterLink] = []

    def in_two_parts(link: MasterLink) -> None:
        link.handshake()
        link.send(b"+FULLRESYNC %b 0\r\n$%d\r\n" % (HISTORY.encode(), len(EMPTY_RDB)) + EMPTY_RDB[:9])
        go_on.append(link)
        link.is_closed(60)

    do(alone, "SET", "key", "old")
    with RawMaster(in_two_parts) as master:
        follow(alone, master.address)
        wait_for(lambda: fields(alone)["master_sync_in_progress"] == "1", "it syncs")
        wait_for(lambda: bool(go_on), "the first part is sent")
        assert ask(alone, "GET", "key") == Bulk(b"old")
        assert ask(alone, "SET", "key", "x") == READONLY
        do(alone, "CONFIG", "SET", "replica-serve-stale-data", "no")
        assert ask(alone, "GET", "key") == MASTERDOWN
        do(alone, "CONFIG", "SET", "replica-serve-stale-data", "yes")
        go_on[0].send(rest)
        wait_up(alone)
        assert isinstance(ask(alone, "GET", "key"), Null)
        promote(alone)


def test_a_replica_without_its_master_cannot_be_followed(alone: Server) -> None:
    follow(alone, ("127.0.0.1", free_port()))
    with RawReplica(alone.address) as raw:
        answer = raw.psync()
    promote(alone)
    assert answer.startswith(b"-NOMASTERLINK Can't SYNC while not connected with my master")


# --- passwords ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("servers", PAIRS)
def test_a_replica_gives_its_masters_password(servers: tuple[str, str]) -> None:
    """The right one, a wrong one, the right one again; at last a user of its own with the least it needs."""
    with ExitStack() as stack:
        master, replica = stack.enter_context(replicated(*servers, attach=False))
        do(replica, "CONFIG", "SET", "masterauth", "secret")
        admin = stack.enter_context(master.wire())
        admin.command("CONFIG", "SET", "requirepass", "secret")
        assert admin.command("AUTH", "secret") == Simple(b"OK")
        follow(replica, master)
        wait_up(replica)
        admin.command("SET", "key", "one")
        wait_for(lambda: ask(replica, "GET", "key") == Bulk(b"one"), "the stream")

        do(replica, "CONFIG", "SET", "masterauth", "wrong")
        admin.command("CLIENT", "KILL", "TYPE", "replica")
        wait_for(lambda: not is_up(replica), "refused")
        admin.command("SET", "key", "two")
        wait_for(lambda: "WRONGPASS" in replica.log(), "the log says why")
        assert ask(replica, "GET", "key") == Bulk(b"one")

        do(replica, "CONFIG", "SET", "masterauth", "secret")
        wait_for(lambda: ask(replica, "GET", "key") == Bulk(b"two"), "the right password again", seconds=20)

        user, password = "follower", "more"
        made = admin.command("ACL", "SETUSER", user, "on", f">{password}", "+psync", "+replconf", "+ping")
        if isinstance(made, Err):  # we have no users but this one
            user, password = "default", "secret"
        for name, value in (("masteruser", user), ("masterauth", password)):
            do(replica, "CONFIG", "SET", name, value)
        partial = ask_stat(admin.command("INFO", "stats"), "sync_partial_ok")
        admin.command("CLIENT", "KILL", "TYPE", "replica")
        wait_for(
            lambda: ask_stat(admin.command("INFO", "stats"), "sync_partial_ok") > partial, "it logs in again"
        )
        admin.command("SET", "key", "three")
        wait_for(lambda: ask(replica, "GET", "key") == Bulk(b"three"), "as a user", seconds=20)
        assert f"user={user}" in said_by(admin.command("CLIENT", "LIST", "TYPE", "replica"))


def ask_stat(reply: Reply, name: str) -> int:
    """A number of an INFO that was asked for on a connection with a password."""
    lines = dict(line.split(":", 1) for line in said_by(reply).split("\r\n") if ":" in line)
    return int(lines[name])


def said_by(reply: Reply) -> str:
    assert isinstance(reply, Bulk), reply
    return reply.data.decode()


def test_a_replica_that_has_no_password_says_so_in_its_log(alone: Server) -> None:
    with node("rlite", {"requirepass": "secret"}) as master:
        follow(alone, master)
        wait_for(lambda: "NOAUTH" in alone.log(), "the log says why")
        assert not is_up(alone)
        promote(alone)


# --- REPLICAOF, REPLCONF, PSYNC -----------------------------------------------------------------------------


def test_replicaof_refuses_what_is_no_port(alone: Server) -> None:
    for port in ("x", "-1", "70000", ""):
        assert ask(alone, "REPLICAOF", "127.0.0.1", port) == Err(b"ERR Invalid master port")
    assert isinstance(ask(alone, "REPLICAOF", "127.0.0.1"), Err)
    assert fields(alone)["role"] == "master"


def test_replicaof_is_run_in_a_transaction_as_sentinel_does(pair: Pair) -> None:
    host, port = pair.master.address
    replies = run(
        pair.replica,
        [("MULTI",), ("SLAVEOF", "NO", "ONE"), ("CLIENT", "KILL", "TYPE", "pubsub"), ("EXEC",),
         ("MULTI",), ("SLAVEOF", host, port), ("CLIENT", "KILL", "TYPE", "pubsub"), ("EXEC",)],
    )  # fmt: skip
    done = Array((Simple(b"OK"), Int(0)))
    assert replies[3] == replies[7] == done
    same_data(*pair)


def test_a_replica_answers_getack_at_once_with_what_it_has_read(alone: Server) -> None:
    stream = encode("SELECT", 0) + encode("SET", "key", "value")
    getack = encode("REPLCONF", "GETACK", "*")

    def script(link: MasterLink) -> None:
        psync = link.handshake()
        assert psync[0] == b"PSYNC"
        link.full(offset=1000)
        link.send(stream + getack)
        link.acknowledged(1000 + len(stream))  # Redis does not count the GETACK that it answers
        link.acknowledged(1000 + len(stream + getack))
        assert link.is_closed(30)

    with RawMaster(script) as master:
        follow(alone, master.address)
        wait_for(lambda: ask(alone, "GET", "key") == Bulk(b"value"), "the stream")
        wait_for(lambda: offset(alone) == 1000 + len(stream + getack), "all is counted")
        assert fields(alone)["master_replid"] == HISTORY
        promote(alone)
        assert fields(alone)["master_replid2"] == HISTORY
        assert fields(alone)["second_repl_offset"] == str(1000 + len(stream + getack) + 1)


def test_a_replica_introduces_itself(alone: Server) -> None:
    said: list[tuple[bytes, ...]] = []

    def script(link: MasterLink) -> None:
        while True:
            words = link.command()
            said.append(words)
            if words[0] == b"PSYNC":
                break
            link.send(b"+PONG\r\n" if words[0] == b"PING" else b"+OK\r\n")
        link.full()
        link.is_closed(30)

    with RawMaster(script) as master:
        follow(alone, master.address)
        wait_up(alone)
        promote(alone)
    assert said[0] == (b"PING",)
    assert (b"REPLCONF", b"listening-port", str(alone.port).encode()) in said
    capas = [word for words in said if words[1:2] == (b"capa",) for word in words]
    assert {b"eof", b"psync2"} <= set(capas)
    assert said[-1][0] == b"PSYNC"


def test_a_master_that_cannot_yet_sync_is_asked_again(alone: Server) -> None:
    answers = [b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n", b"-LOADING wait\r\n", b""]

    def script(link: MasterLink) -> None:
        link.handshake()
        answer = answers.pop(0) if answers else b""
        if answer:
            link.send(answer)
            link.is_closed(10)
            return
        link.full()
        link.is_closed(60)

    with RawMaster(script) as master:
        follow(alone, master.address)
        wait_up(alone)
        assert master.connections >= 3
        promote(alone)


def test_a_stranger_gets_a_full_resync_and_a_known_offset_the_rest(pair: Pair) -> None:
    do(pair.master, "SET", "key", "value")
    with RawReplica(pair.master.address) as raw:
        raw.attach()
        do(pair.master, "SET", "key", "other")
        raw.told()
        history, at = raw.history, raw.offset
    do(pair.master, "SET", "key", "third")
    with RawReplica(pair.master.address) as raw:
        assert raw.psync(history, at + 1) == b"+CONTINUE " + history.encode()
        assert raw.told() == (b"SET", b"key", b"third")
    for asked in (("f" * 40, at + 1), (history, at + 100_000), (history, 10**18), ("?", -1)):
        with RawReplica(pair.master.address) as raw:
            assert raw.psync(*asked).startswith(b"+FULLRESYNC " + history.encode())


def test_an_old_replica_that_says_sync_gets_a_snapshot_and_the_stream(pair: Pair) -> None:
    do(pair.master, "SET", "key", "value")
    with RawReplica(pair.master.address, capa=()) as raw:
        raw.send(b"SYNC\r\n")
        assert b"value" in raw.snapshot()
        do(pair.master, "SET", "key", "later")
        assert raw.told() == (b"SET", b"key", b"later")


def test_pings_keep_the_link_alive_and_are_counted(pair: Pair) -> None:
    do(pair.master, "CONFIG", "SET", "repl-ping-replica-period", 1)
    try:
        before = offset(pair.master)
        wait_for(lambda: offset(pair.replica) >= before + 2 * len(encode("PING")), "two pings")
        same_data(*pair)
    finally:
        do(pair.master, "CONFIG", "SET", "repl-ping-replica-period", 10)


@pytest.mark.peer("redis-tools")
def test_redis_cli_takes_a_snapshot_of_a_master(pair: Pair, tmp_path) -> None:
    import subprocess

    do(pair.master, "SET", "key", "a value to find")
    file = tmp_path / "taken.rdb"
    argv = ["redis-cli", "-p", str(pair.master.port), "--rdb", str(file)]
    subprocess.run(argv, check=True, capture_output=True, timeout=30)
    assert b"a value to find" in file.read_bytes()
    wait_for(lambda: fields(pair.master)["connected_slaves"] == "1", "it has left")


# --- FAILOVER -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("servers", PAIRS)
def test_failover_exchanges_the_roles_without_losing_a_write(servers: tuple[str, str]) -> None:
    with replicated(*servers) as (master, replica):
        do(master, "SET", "key", "value")
        wait_online(master)
        assert ask(master, "FAILOVER", "TO", *replica.address, "TIMEOUT", 10_000) == Simple(b"OK")
        wait_for(lambda: fields(replica)["role"] == "master", "the replica is the master")
        wait_for(lambda: fields(master)["role"] == "slave", "the master is the replica")
        do(replica, "SET", "key", "new")
        same_data(replica, master)
        assert stat(replica, "sync_full") == 0
        assert fields(master)["master_failover_state"] == "no-failover"


def test_failover_is_refused_where_it_cannot_be(pair: Pair) -> None:
    assert ask(pair.replica, "FAILOVER") == Err(b"ERR FAILOVER is not valid when server is a replica.")
    assert ask(pair.master, "FAILOVER", "ABORT") == Err(b"ERR No failover in progress.")
    stranger = ask(pair.master, "FAILOVER", "TO", "127.0.0.1", 1)
    assert stranger == Err(b"ERR FAILOVER target HOST and PORT is not a replica.")
