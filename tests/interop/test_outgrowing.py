"""What docs/replication.md says of outgrowing one machine, done with the commands that stand there.

twemproxy over three servers; and the move to a real Redis Cluster, by import and by a replica that becomes
its first node, while an application writes.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from support import recipes
from support.differential import database_seen
from support.sentinels import Writer
from support.servers import (
    Server,
    free_cluster_port,
    free_port,
    launch,
    start_again,
    start_from_file,
    start_redis,
    wait_for,
)
from support.tools import rlite
from support.wire import Bulk, ClosedError, Wire

KEEPING = {"appendonly": "yes", "enable-debug-command": "yes", "repl-diskless-sync-delay": "0"}
DEBUGGED = {"redis-server --port": "redis-server --enable-debug-command yes --logfile server.log --port"}
NODE = {"cluster-enabled": "yes", "cluster-node-timeout": "1500", "enable-debug-command": "yes"}


def client(server: Server) -> redis.Redis:
    return redis.Redis(host=server.host, port=server.port, retry=Retry(NoBackoff(), 1), decode_responses=True)


def fill(connection: redis.Redis, count: int) -> None:
    """Values of every type, with and without deadlines."""
    with connection.pipeline(transaction=False) as pipe:
        for n in range(count):
            pipe.set(f"string:{n}", f"value {n}", ex=100_000 if n % 3 else None)
        pipe.rpush("list", *range(300))
        pipe.sadd("set", *(f"member {n}" for n in range(300)))
        pipe.sadd("integers", *range(100))
        pipe.zadd("zset", {f"member {n}": n / 4 for n in range(300)})
        pipe.hset("hash", mapping={f"field {n}": n for n in range(300)})
        pipe.xadd("stream", {"field": "value"}, id="1-1")
        pipe.xgroup_create("stream", "group", "0")
        pipe.pfadd("hyperloglog", *range(1000))
        pipe.execute()


def values(*addresses: recipes.Address) -> dict[bytes, str]:
    """Each key that these servers hold together, with its type, digest, and whether it expires."""
    found: dict[bytes, str] = {}
    for address in addresses:
        with Wire(address) as wire:
            its = {key: seen for (_, key), seen in database_seen(wire).items()}
        assert not its.keys() & found.keys(), "a key is on two servers"
        found |= its
    return found


# --- a replica ---------------------------------------------------------------------------------------------


def test_a_replica_is_made_and_promoted_with_the_tools(tmp_path: Path, shards: list[Server]) -> None:
    master, replica, _ = shards
    addresses = {("10.0.0.1", 6379): master.address, ("10.0.0.2", 6379): replica.address}
    with client(master) as here, client(replica) as there:
        here.set("key", "value")
        there.set("of its own", "gone")
        told = recipes.run("follow", addresses, tmp_path)
        assert str(master.port) in told
        assert there.get("key") == "value"
        assert not there.exists("of its own")
        with pytest.raises(redis.exceptions.ReadOnlyError):
            there.set("key", "other")
        recipes.run("promote", addresses, tmp_path)
        assert there.role()[0] == "master"
        assert there.set("key", "other")
        assert here.get("key") == "value"


def test_the_documented_configuration_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for blocks in (["rlite.conf"], ["rlite.conf", "replicaof"]):
        text = "".join(map(recipes.block, blocks)).replace("/var/lib/rlite", str(tmp_path / "data"))
        (tmp_path / "rlite.conf").write_text(text)
        done = rlite("serve", tmp_path / "rlite.conf", "--check-config")
        assert done.returncode == 0, done.stderr


# --- shards behind twemproxy -------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        servers = []
        for n in range(3):
            (tmp_path / f"shard-{n}").mkdir()
            servers.append(start_from_file(tmp_path / f"shard-{n}", KEEPING))
        stack.callback(lambda: [server.kill9() for server in servers])
        yield servers


@contextmanager
def twemproxy(directory: Path, shards: list[Server]) -> Iterator[redis.Redis]:
    """A client of a proxy with the documented configuration, started by the documented command."""
    port, stats = free_port(), free_port()
    addresses: dict[recipes.Address, recipes.Address] = {("10.0.0.9", 6379): ("127.0.0.1", port)}
    for n, shard in enumerate(shards):
        addresses[f"10.0.0.{n + 1}", 6379] = shard.address
    config = recipes.placed(recipes.block("nutcracker.yml"), addresses)
    (directory / "nutcracker.yml").write_text(config)
    command = recipes.block("nutcracker").replace("22222", str(stats)).split()
    proxy = launch("nutcracker", command, directory)
    try:
        connection = recipe_client(port)
        wait_for(lambda: answers(connection), "twemproxy answers")
        yield connection
    finally:
        assert proxy.is_running(), (directory / "nutcracker.log").read_text()
        proxy.stop()


def recipe_client(port: int) -> redis.Redis:
    """The documented client: twemproxy knows neither HELLO nor CLIENT."""
    found: dict[str, redis.Redis] = {}
    text = recipes.placed(recipes.block("nutcracker client"), {("10.0.0.9", 6379): ("127.0.0.1", port)})
    exec(text, found)
    connection = found["shards"]
    connection.set_retry(Retry(NoBackoff(), 0))
    return connection


def answers(connection: redis.Redis) -> bool:
    try:
        return connection.get("nosuch") is None
    except redis.RedisError:
        return False


@pytest.mark.peer("nutcracker")
def test_twemproxy_spreads_keys_over_three_servers(tmp_path: Path, shards: list[Server]) -> None:
    names = [f"key:{n}" for n in range(300)]
    with twemproxy(tmp_path, shards) as proxy:
        for name in names:
            assert proxy.set(name, f"value of {name}")
        assert proxy.mget(names) == [f"value of {name}".encode() for name in names]
        assert proxy.mset({"a": "1", "b": "2", "c": "3"})
        assert proxy.delete("a", "b", "c", *names[:30]) == 33
        assert proxy.mget(names[:31]) == [None] * 30 + [f"value of {names[30]}".encode()]
        proxy.rpush("list", "a", "b")
        proxy.expire("list", 1000)
        assert proxy.lrange("list", 0, -1) == [b"a", b"b"]
        assert 0 < proxy.ttl("list") <= 1000
        assert proxy.eval("return redis.call('LLEN', KEYS[1])", 1, "list") == 2
        parts = [client(shard).keys() for shard in shards]
    assert all(len(part) > 30 for part in parts)
    assert sorted(key for part in parts for key in part) == sorted([*names[30:], "list"])


@pytest.mark.peer("nutcracker")
def test_twemproxy_does_without_a_server_that_dies_and_takes_it_back(
    tmp_path: Path, shards: list[Server]
) -> None:
    names = [f"key:{n}" for n in range(300)]
    with twemproxy(tmp_path, shards) as proxy:
        for name in names:
            proxy.set(name, "first")
        its = set(client(shards[0]).keys())
        shards[0].kill9()
        failed = 0
        for name in names:
            try:
                # Its keys are looked for elsewhere now; those of the others have stayed where they were.
                assert proxy.get(name) == (None if name in its else b"first")
            except redis.RedisError:
                failed += 1
        assert failed <= 2
        assert proxy.set(min(its), "elsewhere")
        shards[0] = start_again(shards[0])
        wait_for(lambda: proxy.get(min(its)) == b"first", "the server is back in the ring", seconds=20)
        for name in names:
            assert proxy.get(name) == b"first"


# --- a Redis Cluster ---------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "source").mkdir()
    server = start_from_file(tmp_path / "source", KEEPING)
    try:
        yield server
    finally:
        server.kill9()


@contextmanager
def nodes(directory: Path, count: int) -> Iterator[list[Server]]:
    """Empty nodes of a cluster, which do not know each other."""
    with ExitStack() as stack:
        started = []
        for n in range(count):
            (directory / f"node-{n}").mkdir()
            node = start_redis(directory / f"node-{n}", NODE, ports=free_cluster_port)
            stack.callback(node.kill9)
            started.append(node)
        yield started


def addresses_of(source: Server, cluster: list[Server]) -> dict[recipes.Address, recipes.Address]:
    return {("10.0.0.1", 6379): source.address} | {
        (f"10.0.0.{11 + n}", 6379): node.address for n, node in enumerate(cluster)
    }


def cluster_client(node: Server | recipes.Address) -> RedisCluster:
    host, port = node.address if isinstance(node, Server) else node
    return RedisCluster(startup_nodes=[ClusterNode(host, port)], decode_responses=True)


@pytest.mark.peer("redis-server", "redis-tools")
def test_an_import_brings_everything_into_a_cluster_while_an_application_writes(
    tmp_path: Path, source: Server
) -> None:
    with nodes(tmp_path, 3) as cluster, client(source) as here:
        addresses = addresses_of(source, cluster)
        recipes.run("create", addresses, tmp_path)
        wait_cluster(*(node.address for node in cluster))
        places = [node.address for node in cluster]
        fill(here, 1000)
        here.set("to be deleted", "1")
        with Writer(client(source), replicas=0, prefix="meanwhile", pause=0.005) as application:
            application.wait_acknowledged(50)
            recipes.run("import", addresses, tmp_path)
            application.wait_acknowledged(50)
        at_first = values(*places)
        assert at_first.keys() < values(source.address).keys()
        here.delete("to be deleted")
        here.set("string:1", "changed since")
        recipes.run("import", addresses, tmp_path)
        moved = values(*places)
        # What the docs say of deletions between the two imports.
        assert moved.pop(b"to be deleted")
        assert moved == values(source.address)
        with cluster_client(cluster[0]) as there:
            assert there.get("string:1") == "changed since"
            assert application.lost(there) == []
            assert there.xinfo_groups("stream")[0]["name"] == "group"
        assert all(client(node).dbsize() > 200 for node in cluster)


@pytest.mark.peer("redis-server", "redis-tools")
def test_a_replica_becomes_the_first_node_of_a_cluster(tmp_path: Path, source: Server) -> None:
    with nodes(tmp_path, 2) as others, client(source) as here, ExitStack() as stack:
        first = ("127.0.0.1", free_cluster_port())
        addresses = addresses_of(source, []) | {
            ("10.0.0.11", 6379): first,
            ("10.0.0.12", 6379): others[0].address,
            ("10.0.0.13", 6379): others[1].address,
        }
        node = redis.Redis(*first, decode_responses=True)
        stack.callback(end, node)
        fill(here, 1000)
        (tmp_path / "first").mkdir()
        with Writer(client(source), replicas=0, prefix="meanwhile", pause=0.005) as application:
            recipes.run("node", addresses, tmp_path / "first", instead=DEBUGGED)
            wait_for(lambda: cluster_info(first, "cluster_known_nodes") == "1", "a node", seconds=20)
            recipes.run("node follows", addresses, tmp_path / "first", instead=DEBUGGED)
            wait_for(lambda: is_up(node), "Redis has the data of its master", seconds=30)
            application.wait_acknowledged(50)
            here.delete("string:7")
        assert recipes.run("caught up", addresses, tmp_path).split() == ["OK", "1"]
        recipes.run("take over", addresses, tmp_path / "first", instead=DEBUGGED)
        wait_cluster(first)
        expected = values(source.address)
        assert values(first) == expected
        assert b"string:7" not in expected
        with cluster_client(first) as there:
            assert application.lost(there) == []
            with Writer(there, replicas=0, prefix="later", pause=0.01) as later:
                recipes.run("second node", addresses, tmp_path)
                wait_cluster(first, others[0].address)
                recipes.run("third node", addresses, tmp_path)
                wait_cluster(first, *(other.address for other in others))
                # A full third for each takes redis-cli a quarter of a minute: here they get less.
                less = f"--cluster-use-empty-masters --cluster-weight {node_id(first)}=30"
                recipes.run("rebalance", addresses, tmp_path, instead={"--cluster-use-empty-masters": less})
                later.wait_acknowledged(100)
            assert later.failures == {}
            assert later.lost(there) == []
        connections = [node, *(client(other) for other in others)]
        assert sum(one.dbsize() for one in connections) == len(expected) + len(later.acknowledged)
        assert all(one.dbsize() > 0 for one in connections)


def end(node: redis.Redis) -> None:
    with suppress(redis.RedisError):
        node.shutdown(nosave=True)


def is_up(node: redis.Redis) -> bool:
    try:
        return bool(node.info("replication").get("master_link_status") == "up")
    except redis.RedisError:
        return False


def cluster_info(address: recipes.Address, name: str) -> str | None:
    """A line of CLUSTER INFO; None when there is no answer."""
    with suppress(OSError, ClosedError), Wire(address) as wire:
        reply = wire.command("CLUSTER", "INFO")
        assert isinstance(reply, Bulk)
        return dict(line.split(":") for line in reply.data.decode().split())[name]
    return None


def node_id(address: recipes.Address) -> str:
    with Wire(address) as wire:
        reply = wire.command("CLUSTER", "MYID")
    assert isinstance(reply, Bulk)
    return reply.data.decode()


def wait_cluster(*addresses: recipes.Address) -> None:
    """Until these nodes have a cluster that works, and know each other."""

    def agree(name: str, value: str) -> bool:
        return all(cluster_info(address, name) == value for address in addresses)

    wait_for(lambda: agree("cluster_known_nodes", str(len(addresses))), "all know each other", seconds=30)
    wait_for(lambda: agree("cluster_state", "ok"), "a cluster that works", seconds=30)
