"""What a server says of its commands, its state and its clients has the form that tools read."""

import pytest
from support.servers import Server
from support.wire import Array, Bulk, Err, Int, Reply, Simple, Wire

# Commands whose declaration a client may read: what both servers must say of them alike.
DECLARED = (
    "append decr decrby get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset "
    "msetnx psetex set setex setnx setrange strlen substr bitcount bitpos bitop bitfield bitfield_ro "
    "setbit getbit del unlink exists type rename renamenx copy move touch object randomkey scan keys "
    "expire pexpire expireat pexpireat expiretime pexpiretime ttl pttl persist dump restore select "
    "swapdb flushdb flushall dbsize ping echo hello auth reset quit client command config info time "
    "lolwut debug memory multi exec discard watch unwatch shutdown "
)


def _words(reply: Reply) -> set[bytes]:
    assert isinstance(reply, Array)
    return {item.text for item in reply.items if isinstance(item, Simple)}


@pytest.mark.parametrize("name", DECLARED.split())
def test_a_command_is_declared_as_in_redis(rlite: Server, redis_peer: Server, name: str) -> None:
    with rlite.wire() as ours, redis_peer.wire() as theirs:
        (mine,), (other,) = (_items(wire.command("COMMAND", "INFO", name)) for wire in (ours, theirs))
    mine_items, other_items = _items(mine), _items(other)
    assert mine_items[:2] == other_items[:2], "name and arity"
    assert _words(mine_items[2]) == _words(other_items[2]), "flags"
    assert mine_items[3:6] == other_items[3:6], "first key, last key, step"
    assert _words(mine_items[6]) == _words(other_items[6]), "ACL categories"


def _items(reply: Reply) -> tuple[Reply, ...]:
    assert isinstance(reply, Array), f"no such command: {reply}"
    return reply.items


def _info(wire: Wire, section: str) -> dict[str, str]:
    reply = wire.command("INFO", section)
    assert isinstance(reply, Bulk)
    lines = reply.data.decode().split("\r\n")
    assert lines[0].startswith("# ")
    return dict(line.split(":", 1) for line in lines if ":" in line)


# Fields that monitoring and clients read by name.
INFO_FIELDS = {
    "server": "redis_version redis_mode os arch_bits multiplexing_api process_id run_id tcp_port "
    "uptime_in_seconds uptime_in_days hz configured_hz config_file server_time_usec executable",
    "clients": "connected_clients maxclients blocked_clients client_recent_max_input_buffer tracking_clients",
    "memory": "used_memory used_memory_human used_memory_rss used_memory_peak used_memory_peak_human "
    "used_memory_overhead used_memory_dataset maxmemory maxmemory_human maxmemory_policy "
    "mem_fragmentation_ratio mem_allocator total_system_memory",
    "stats": "total_connections_received total_commands_processed instantaneous_ops_per_sec "
    "total_net_input_bytes total_net_output_bytes rejected_connections expired_keys evicted_keys "
    "keyspace_hits keyspace_misses "
    "total_error_replies latest_fork_usec pubsub_channels pubsub_patterns",
    "persistence": "loading rdb_changes_since_last_save rdb_bgsave_in_progress aof_enabled",
    "replication": "role connected_slaves master_replid master_repl_offset second_repl_offset",
    "cpu": "used_cpu_sys used_cpu_user",
    "cluster": "cluster_enabled",
}


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
@pytest.mark.parametrize("section", INFO_FIELDS)
def test_info_has_the_fields_people_read(request: pytest.FixtureRequest, target: str, section: str) -> None:
    server: Server = request.getfixturevalue(target)
    with server.wire() as wire:
        fields = _info(wire, section)
    assert set(INFO_FIELDS[section].split()) <= set(fields)


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
def test_info_counts_what_happened(request: pytest.FixtureRequest, target: str) -> None:
    server: Server = request.getfixturevalue(target)
    with server.wire() as wire:
        assert wire.command("CONFIG", "RESETSTAT") == Simple(b"OK")
        wire.command("SET", "k", "v", "EX", 1000)
        for key in ("k", "k", "missing"):
            wire.command("GET", key)
        assert isinstance(wire.command("INCR", "k"), Err)
        stats, keyspace = _info(wire, "stats"), _info(wire, "keyspace")
        errors, commands = _info(wire, "errorstats"), _info(wire, "commandstats")
        assert (stats["keyspace_hits"], stats["keyspace_misses"]) == ("2", "1")
        assert keyspace["db0"].startswith("keys=1,expires=1,avg_ttl=")
        assert stats["total_error_replies"] == "1"
        assert errors["errorstat_ERR"] == "count=1"
        assert commands["cmdstat_get"].startswith("calls=3,usec=")
        assert "rejected_calls=0,failed_calls=1" in commands["cmdstat_incr"]


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
def test_client_list_and_info_name_the_fields_tools_parse(
    request: pytest.FixtureRequest, target: str
) -> None:
    server: Server = request.getfixturevalue(target)
    with server.wire() as wire:
        wire.command("CLIENT", "SETNAME", "me")
        wire.command("SELECT", 1)
        client_id, info = wire.command("CLIENT", "ID"), wire.command("CLIENT", "INFO")
        listed = wire.command("CLIENT", "LIST", "ID", client_id.value if isinstance(client_id, Int) else -1)
    for reply in (info, listed):
        assert isinstance(reply, Bulk)
        assert reply.data.endswith(b"\n")
        fields = dict(word.split("=", 1) for word in reply.data.decode().split())
        assert {
            "addr",
            "laddr",
            "fd",
            "age",
            "idle",
            "flags",
            "sub",
            "psub",
            "multi",
            "qbuf",
            "obl",
            "omem",
        } <= set(fields)
        assert (fields["name"], fields["db"], fields["user"]) == ("me", "1", "default")
        assert (fields["cmd"].split("|")[0], fields["resp"]) == ("client", "2")
