"""The real Redis Sentinel over a master and three replicas: the master goes, clients go on, nothing is lost.

One deployment serves the module; each test begins with it whole and empty, whoever is master by then.
"""

import random
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import recipes
from support.sentinels import SERVICE, Deployment, Writer, deployment
from support.servers import Server
from support.wire import NoReplyError, Wire

pytestmark = pytest.mark.peer("redis-sentinel", "redis-tools")
# A master that no replica has answered for three seconds takes no more writes.
STRICT = {"min-replicas-to-write": "1", "min-replicas-max-lag": "3"}


@pytest.fixture(scope="module")
def _deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("ha"), STRICT) as made:
        yield made


@pytest.fixture
def deployed(_deployed: Deployment) -> Deployment:
    _deployed.heal()
    return _deployed


def writer(deployed: Deployment, replicas: int = 1) -> Writer:
    """An application that takes a write for done when so many replicas have it."""
    return Writer(deployed.sentinel_client(decode_responses=True).master_for(SERVICE), replicas)


def silence(server: Server, how: signal.Signals) -> None:
    if how == signal.SIGKILL:
        server.kill9()
    else:
        server.process.send_signal(how)


def wake(deployed: Deployment, server: Server) -> Server:
    """The same server, at work again after `silence`."""
    if server.is_running():
        server.process.send_signal(signal.SIGCONT)
        return server
    return deployed.start_again(server)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_master_that_falls_silent_is_replaced_and_comes_back_as_a_replica(
    deployed: Deployment, how: signal.Signals
) -> None:
    former = deployed.master
    with writer(deployed) as application:
        application.wait_acknowledged(50)
        silence(former, how)
        promoted = deployed.wait_promoted(former)
        application.wait_acknowledged(50)  # the same client goes on, with the new master
        former = wake(deployed, former)
        deployed.wait_whole()
        application.wait_acknowledged(50)
    assert deployed.master is promoted
    assert former in deployed.replicas
    with deployed.client(promoted) as connection:
        assert application.lost(connection) == []
    deployed.wait_equal()


def test_a_failover_by_hand_leaves_the_new_master_in_every_file(deployed: Deployment) -> None:
    former = deployed.master
    # A master that lives goes on taking writes until Sentinel tells it otherwise, and the other two replicas
    # acknowledge them: so what must not be lost waits for all three.
    with writer(deployed, replicas=3) as application:
        application.wait_acknowledged(50)
        deployed.ask(deployed.sentinels[0], "FAILOVER", SERVICE)
        promoted = deployed.wait_promoted(former)
        deployed.wait_whole()
        application.wait_acknowledged(50)
    with deployed.client(promoted) as connection:
        assert application.lost(connection) == []
    deployed.wait_equal()
    for server in deployed.servers:
        expected = [] if server is promoted else [f"replicaof 127.0.0.1 {promoted.port}"]
        assert replicaof_lines(server) == expected
    # The file alone makes it a replica again, before any sentinel has looked.
    assert former.stop() == 0
    former = deployed.start_again(former)
    with deployed.client(former) as connection:
        role = connection.role()
    assert (role[0], role[1], int(role[2])) == ("slave", "127.0.0.1", promoted.port)
    deployed.wait_whole()
    deployed.wait_equal()


def test_a_failover_by_hand_loses_nothing_when_writes_are_paused_first(
    deployed: Deployment, tmp_path: Path
) -> None:
    former = deployed.master
    with writer(deployed) as application:
        application.wait_acknowledged(50)
        addresses = {("10.0.0.1", 6379): former.address, ("10.0.0.1", 26379): deployed.sentinels[0].address}
        # The documented pause is for slower clocks than these.
        recipes.run("pause", addresses, tmp_path, instead={"PAUSE 10000": "PAUSE 5000"})
        reached = deployed.replication(former)["master_repl_offset"]
        deployed.wait("the replicas have it all", lambda: min(offsets(deployed, former)) >= reached)
        recipes.run("failover", addresses, tmp_path)
        promoted = deployed.wait_promoted(former)
        deployed.wait_whole()
        application.wait_acknowledged(50)
    with deployed.client(promoted) as connection:
        assert application.lost(connection) == []
    deployed.wait_equal()


def test_everybody_may_be_killed_after_a_failover_and_has_the_data_again(deployed: Deployment) -> None:
    former = deployed.master
    with writer(deployed, replicas=3) as application:
        application.wait_acknowledged(50)
        deployed.ask(deployed.sentinels[0], "FAILOVER", SERVICE)
        deployed.wait_promoted(former)
        deployed.wait_whole()
        application.wait_acknowledged(50)
    before = deployed.wait_equal()
    for server in deployed.servers:
        server.kill9()
    for server in list(deployed.servers):
        deployed.start_again(server)
    deployed.wait_whole()
    assert deployed.wait_equal() == before
    with deployed.client(deployed.master) as connection:
        assert application.lost(connection) == []


def offsets(deployed: Deployment, master: Server) -> list[int]:
    """What each replica has acknowledged, as the master knows it."""
    seen = [line for name, line in deployed.replication(master).items() if re.fullmatch(r"slave\d+", name)]
    return [int(line["offset"]) for line in seen]


def replicaof_lines(server: Server) -> list[str]:
    lines = (server.directory / "server.conf").read_text().splitlines()
    return [line for line in lines if line.split()[:1] in (["replicaof"], ["slaveof"])]


def test_reads_are_spread_over_the_replicas(deployed: Deployment) -> None:
    addresses = {
        (f"10.0.0.{n + 1}", 26379): sentinel.address for n, sentinel in enumerate(deployed.sentinels)
    }
    found: dict[str, Any] = {}
    exec(recipes.placed(recipes.block("client"), addresses), found)
    found["master"].set("key", "value")
    deployed.wait_equal()
    for server in deployed.servers:
        with deployed.client(server) as connection:
            connection.config_resetstat()
    with ExitStack() as stack:
        # Each of the pool's connections goes to the next replica.
        for _ in range(3):
            connection = stack.enter_context(found["replica"].client())
            assert [connection.get("key") for _ in range(20)] == [b"value"] * 20
    reads = {server.port: gets(deployed, server) for server in deployed.servers}
    assert reads == {server.port: 0 if server is deployed.master else 20 for server in deployed.servers}


def gets(deployed: Deployment, server: Server) -> int:
    with deployed.client(server) as connection:
        return int(connection.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"])


def test_the_documented_look_names_the_master(deployed: Deployment, tmp_path: Path) -> None:
    master = deployed.master
    addresses = {("10.0.0.1", 6379): master.address, ("10.0.0.1", 26379): deployed.sentinels[0].address}
    answer = recipes.run("look", addresses, tmp_path).split("\n")
    assert answer[:3] == [
        "127.0.0.1",
        str(master.port),
        "OK 3 usable Sentinels. Quorum and failover authorization can be reached",
    ]
    assert answer[3] == "master"


def test_the_clients_of_a_demoted_master_are_sent_away(deployed: Deployment) -> None:
    former = deployed.master
    with former.wire() as ordinary, former.wire() as subscriber:
        subscriber.command("SUBSCRIBE", "channel")
        ordinary.command("PING")
        deployed.ask(deployed.sentinels[0], "FAILOVER", SERVICE)
        deployed.wait_promoted(former)
        deployed.wait_whole()
        assert is_closed(ordinary)
        assert is_closed(subscriber)


def is_closed(wire: Wire) -> bool:
    try:
        wire.read_to_end()
    except NoReplyError:
        return False
    return True


def test_role_tells_a_client_of_either_side_who_is_who(deployed: Deployment) -> None:
    master = deployed.master
    with deployed.client(master) as connection:
        kind, offset, replicas = connection.role()
    assert kind == "master"
    assert int(offset) > 0
    others = {one.port for one in deployed.servers if one is not master}
    assert {(host, int(port)) for host, port, _ in replicas} == {("127.0.0.1", port) for port in others}
    for replica in deployed.replicas:
        with deployed.client(replica) as connection:
            kind, host, port, state, _ = connection.role()
        assert (kind, host, int(port), state) == ("slave", "127.0.0.1", master.port, "connected")


def test_a_replica_without_priority_is_never_promoted(deployed: Deployment) -> None:
    former = deployed.master
    *barred, eligible = deployed.replicas
    for replica in barred:
        with deployed.client(replica) as connection:
            connection.config_set("replica-priority", 0)
    try:
        deployed.wait(
            "the sentinels know the priorities",
            lambda: all(deployed.seen_priority(one) == 0 for one in barred),
        )
        deployed.ask(deployed.sentinels[0], "FAILOVER", SERVICE)
        assert deployed.wait_promoted(former) is eligible
    finally:
        deployed.wait_whole()
        for replica in barred:
            with deployed.client(replica) as connection:
                connection.config_set("replica-priority", 100)


def test_servers_with_a_password_fail_over_as_others_do(tmp_path: Path) -> None:
    with deployment(tmp_path, replicas=1, password="secret") as deployed:
        former = deployed.master
        with writer(deployed) as application:
            application.wait_acknowledged(20)
            former.kill9()
            promoted = deployed.wait_promoted(former)
            deployed.start_again(former)
            deployed.wait_whole()
            application.wait_acknowledged(20)
        with deployed.client(promoted) as connection:
            assert application.lost(connection) == []
        deployed.wait_equal()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_forty_masters_in_a_row_are_replaced_and_no_acknowledged_write_is_lost(deployed: Deployment) -> None:
    chance = random.Random(5)
    with writer(deployed) as application:
        for _ in range(40):
            former = deployed.master
            application.wait_acknowledged(chance.randrange(5, 200))
            silence(former, chance.choice([signal.SIGKILL, signal.SIGSTOP]))
            promoted = deployed.wait_promoted(former)
            if chance.random() < 0.5:
                application.wait_acknowledged(20)
            wake(deployed, former)
            deployed.wait_whole(seconds=60)
            with deployed.client(promoted) as connection:
                assert application.lost(connection) == []
    deployed.wait_equal()
