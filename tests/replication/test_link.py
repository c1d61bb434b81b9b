"""The link to a master, against one that says just what the test has it say."""

import pytest
from support.following import Servers, established, info, is_up, until, until_fault, until_up
from support.raw_replication import HISTORY, PatientMaster
from support.servers import wait_for
from support.snapshots import rdb, string
from support.wire import Bulk, Err, Int, Null, Simple, encode

OTHER = "b" * 40
MARK = b"m" * 39 + b"k"


# --- the handshake ---


def test_a_replica_says_who_it_is_and_asks_for_what_is_behind_its_offset(
    master: PatientMaster, servers: Servers
) -> None:
    server = servers.start()
    server.wire().command("REPLICAOF", "127.0.0.1", master.port)
    peer = master.accept()
    assert peer.command() == (b"PING",)
    peer.send(b"+PONG\r\n")
    assert peer.command() == (b"REPLCONF", b"listening-port", b"%d" % server.server.port)
    assert peer.command() == (b"REPLCONF", b"capa", b"eof", b"capa", b"psync2")
    peer.send(b"+OK\r\n" * 2)
    assert peer.command()[0] == b"PSYNC"


def test_a_replica_logs_in_and_gives_the_address_it_is_told_to(
    master: PatientMaster, servers: Servers
) -> None:
    servers.following(
        master, masteruser="replicator", masterauth="secret", replica_announce_ip="10.1.2.3",
        replica_announce_port=7000,
    )  # fmt: skip
    peer = master.accept()
    assert peer.command() == (b"PING",)
    peer.send(b"-NOAUTH Authentication required.\r\n")
    assert peer.command() == (b"AUTH", b"replicator", b"secret")
    assert peer.command() == (b"REPLCONF", b"listening-port", b"7000")
    assert peer.command() == (b"REPLCONF", b"ip-address", b"10.1.2.3")
    assert peer.command() == (b"REPLCONF", b"capa", b"eof", b"capa", b"psync2")


def test_a_wrong_password_is_told_in_info_and_tried_again(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master, masterauth="wrong")
    peer = master.accept()
    peer.command()
    peer.send(b"-NOAUTH Authentication required.\r\n")
    peer.command()
    peer.send(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
    until_fault(wire, "auth: WRONGPASS")
    wire.command("CONFIG", "SET", "masterauth", "right")
    peer = master.accept()
    peer.command()
    peer.send(b"-NOAUTH Authentication required.\r\n")
    assert peer.command() == (b"AUTH", b"right")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"-NOMASTERLINK Can't SYNC while not connected with my master", "refused: not yet: NOMASTERLINK"),
        (b"-LOADING Redis is loading the dataset in memory", "refused: not yet: LOADING"),
        (b"-ERR unknown command 'PSYNC'", "refused: the master answered PSYNC with ERR unknown command"),
        (b"-NOPERM no", "auth: NOPERM"),
        (b"+FULLRESYNC tooshort 0", "protocol: the master answered PSYNC with +FULLRESYNC tooshort"),
        (b"+FULLRESYNC " + b"c" * 40 + b" x", "protocol: the master answered PSYNC with"),
        (b"+CONTINUE tooshort", "protocol: the master answered PSYNC with +CONTINUE tooshort"),
        (b"HTTP/1.1 400 Bad Request", "protocol: the master answered PSYNC with HTTP/1.1"),
    ],
)
def test_a_master_that_does_not_let_it_in_is_asked_again(
    answer: bytes, fault: str, master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    peer = master.accept()
    peer.handshake()
    peer.send(b"\n\n" + answer + b"\r\n")
    until_fault(wire, fault)
    assert master.accept().sync(rdb([string(b"k")]))[0] == b"PSYNC"
    until_up(wire)
    assert info(wire)["rlite_master_link_error"] == ""


def test_nobody_at_the_address_is_told_in_info(servers: Servers) -> None:
    with PatientMaster() as gone:
        port = gone.port
    wire = servers.start().wire()
    wire.command("REPLICAOF", "127.0.0.1", port)
    until_fault(wire, "refused: could not connect to 127.0.0.1")
    wire.command("REPLICAOF", "no.such.host.invalid", port)
    until_fault(wire, "unreachable: no.such.host.invalid is no address")


# --- the transfer ---


def test_a_transfer_of_known_length_becomes_the_data(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    data = rdb([string(b"k", b"v"), string(b"other", b"w", db=3)])
    peer = master.accept()
    peer.sync(data, offset=1000)
    peer.acknowledged(1000)
    until_up(wire)
    assert wire.command("GET", "k") == Bulk(b"v")
    facts = info(wire)
    assert (facts["role"], facts["master_host"], facts["master_port"]) == (
        "slave", "127.0.0.1", str(master.port),
    )  # fmt: skip
    assert (facts["slave_repl_offset"], facts["master_replid"]) == ("1000", HISTORY)
    wire.command("SELECT", 3)
    assert wire.command("GET", "other") == Bulk(b"w")


@pytest.mark.parametrize("step", [1, 7, 39, 40, 41, 1000])
def test_a_transfer_up_to_a_mark_ends_there_however_it_is_cut(
    step: int, master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    data = rdb([string(b"k", b"v" * 300 + MARK[:39])])
    peer = master.accept()
    peer.handshake()
    peer.send(b"+FULLRESYNC %s 7\r\n\n\n$EOF:%s\r\n" % (HISTORY.encode(), MARK))
    stream = encode("SET", "behind", "it")
    whole = data + MARK + stream
    for at in range(0, len(whole), step):
        peer.send(whole[at : at + step])
    peer.acknowledged(7 + len(stream))
    assert wire.command("GET", "behind") == Bulk(b"it")
    assert wire.command("GET", "k") == Bulk(b"v" * 300 + MARK[:39])


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"REDIS0099" + bytes(20), "version: the master's data: an RDB version"),
        (rdb([string(b"k", b"v")])[:-9] + bytes(9), "data: the master's data:"),
        (b"not an RDB file at all", "data: the master's data:"),
    ],
    ids=["too new", "damaged", "nonsense"],
)
def test_data_that_cannot_be_loaded_change_nothing(
    data: bytes, fault: str, master: PatientMaster, servers: Servers
) -> None:
    wire = servers.start().wire()
    wire.command("SET", "mine", "1")
    wire.command("REPLICAOF", "127.0.0.1", master.port)
    master.accept().sync(data)
    until_fault(wire, fault)
    assert wire.command("GET", "mine") == Bulk(b"1")
    again = master.accept()  # it is not given up
    again.sync(rdb([string(b"k", b"v")]))
    until_up(wire)
    assert wire.command("GET", "mine") == Null(b"$")


def test_the_old_data_are_served_while_new_ones_come(master: PatientMaster, servers: Servers) -> None:
    wire = servers.start().wire()
    wire.command("SET", "mine", "1")
    wire.command("REPLICAOF", "127.0.0.1", master.port)
    peer = master.accept()
    peer.handshake()
    data = rdb([string(b"k", b"v")])
    peer.send(b"+FULLRESYNC %s 0\r\n$%d\r\n" % (HISTORY.encode(), len(data)) + data[:10])
    wait_for(lambda: info(wire).get("master_sync_read_bytes") == "10", "ten bytes have come")
    facts = info(wire)
    assert (facts["master_sync_in_progress"], facts["master_sync_total_bytes"]) == ("1", str(len(data)))
    assert facts["master_sync_left_bytes"] == str(len(data) - 10)
    assert wire.command("GET", "mine") == Bulk(b"1")
    peer.send(data[10:])
    until_up(wire)
    assert "master_sync_total_bytes" not in info(wire)
    assert (wire.command("GET", "mine"), wire.command("GET", "k")) == (Null(b"$"), Bulk(b"v"))


# --- the stream ---


def test_the_stream_is_applied_however_it_is_cut(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    peer = established(master, wire)
    stream = b"".join([
        encode("SELECT", 5), encode("SET", "a", "1"), encode("PING"), encode("MULTI"), encode("INCR", "a"),
        encode("RPUSH", "l", "x", "y"), encode("EXEC"), encode("XADD", "s", "5-1", "f", "v"),
    ])  # fmt: skip
    for at in range(len(stream)):
        peer.send(stream[at : at + 1])
    peer.acknowledged(len(stream))
    wire.command("SELECT", 5)
    assert wire.command("GET", "a") == Bulk(b"2")
    assert wire.command("LLEN", "l") == Int(2)
    assert wire.command("XLEN", "s") == Int(1)


def test_a_master_that_asks_is_told_the_offset_at_once(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    peer = established(master, wire, offset=10)
    ask = encode("REPLCONF", "GETACK", "*")
    for times in range(1, 4):
        peer.send(ask)
        peer.acknowledged(10 + times * len(ask))


def test_a_broken_link_goes_on_where_it_was(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    peer = established(master, wire, offset=10)
    first = encode("SELECT", 2) + encode("SET", "a", "1")
    peer.send(first + encode("SET", "a", "lost")[:-3])
    peer.acknowledged(10 + len(first))
    peer.close()
    peer = master.accept()
    # The unfinished command was not applied: it is asked for again. The database is still the one selected.
    assert peer.goes_on() == (b"PSYNC", HISTORY.encode(), b"%d" % (10 + len(first) + 1))
    peer.send(encode("SET", "b", "2"))
    wire.command("SELECT", 2)
    until(wire, "GET", "b", becomes=Bulk(b"2"))
    assert wire.command("GET", "a") == Bulk(b"1")


def test_a_silent_master_is_given_up_and_asked_again(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master, repl_timeout=1)
    established(master, wire)
    until_fault(wire, "timeout: nothing came from the master for")
    assert master.accept().goes_on()[0] == b"PSYNC"


def test_another_history_id_is_taken_over_with_the_data_as_they_are(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    peer = established(master, wire, offset=10)
    peer.send(encode("SET", "a", "1"))
    until(wire, "GET", "a", becomes=Bulk(b"1"))
    peer.close()
    master.accept().goes_on(OTHER)
    until_up(wire)
    offset = 10 + len(encode("SET", "a", "1"))
    facts = info(wire)
    assert (facts["master_replid"], facts["master_replid2"]) == (OTHER, HISTORY)
    assert (facts["slave_repl_offset"], facts["second_repl_offset"]) == (str(offset), str(offset + 1))
    assert wire.command("GET", "a") == Bulk(b"1")


def test_what_is_no_command_breaks_the_link(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    peer = established(master, wire)
    peer.send(b"*1\r\n:5\r\n")
    until_fault(wire, "protocol:")
    assert wire.command("PING") == Simple(b"PONG")


# --- roles ---


def test_a_master_again_keeps_its_data_and_no_longer_its_link(
    master: PatientMaster, servers: Servers
) -> None:
    wire = servers.following(master)
    peer = established(master, wire, offset=10)
    peer.send(encode("SET", "a", "1"))
    until(wire, "GET", "a", becomes=Bulk(b"1"))
    assert wire.command("REPLICAOF", "NO", "ONE") == Simple(b"OK")
    facts = info(wire)
    offset = 10 + len(encode("SET", "a", "1"))
    assert (facts["role"], facts["master_replid2"]) == ("master", HISTORY)
    assert facts["master_replid"] not in (HISTORY, facts["master_replid2"])
    assert facts["second_repl_offset"] == str(offset + 1)
    assert "master_host" not in facts
    assert wire.command("SET", "a", "2") == Simple(b"OK")
    assert wire.command("REPLICAOF", "NO", "ONE") == Simple(b"OK")
    assert info(wire)["master_replid2"] == HISTORY


def test_the_same_master_again_changes_nothing(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    established(master, wire)
    already = Simple(b"OK Already connected to specified master")
    assert wire.command("SLAVEOF", "127.0.0.1", master.port) == already
    assert is_up(wire)
    assert wire.command("REPLICAOF", "127.0.0.1", "port") == Err(b"ERR Invalid master port")
    assert wire.command("REPLICAOF", "127.0.0.1", 65536) == Err(b"ERR Invalid master port")


def test_another_master_ends_the_link_to_the_one_before(master: PatientMaster, servers: Servers) -> None:
    wire = servers.following(master)
    peer = established(master, wire)
    with PatientMaster() as other:
        wire.command("REPLICAOF", "127.0.0.1", other.port)
        assert other.accept().goes_on()[:2] == (b"PSYNC", HISTORY.encode())
        until_up(wire)
        assert peer.is_closed()
        assert wire.command("GET", "late") == Null(b"$")


@pytest.mark.parametrize("stage", ["connected", "greeted", "half a transfer", "streaming"])
def test_a_server_stops_at_once_whatever_its_link_waits_for(
    stage: str, master: PatientMaster, servers: Servers
) -> None:
    server = servers.start()
    server.wire().command("REPLICAOF", "127.0.0.1", master.port)
    peer = master.accept()
    if stage == "greeted":
        peer.handshake()
    elif stage == "half a transfer":
        peer.handshake()
        peer.send(b"+FULLRESYNC %s 0\r\n$1000\r\nREDIS" % HISTORY.encode())
        wait_for(lambda: info(server.wire()).get("master_sync_read_bytes") == "5", "five bytes have come")
    elif stage == "streaming":
        peer.sync(rdb([]))
        peer.acknowledged(0)
    server.close()
    link = server.server.replication.following.link
    assert link is not None
    assert link.ended
    assert link.join(0)
