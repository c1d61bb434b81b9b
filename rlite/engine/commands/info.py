"""INFO: the sections and their fields, named as monitoring tools and clients know them.

Each section is a function from the server to its fields, in a registry to which later features add theirs.
Touches no key; runs with the GIL. Figures are sums over threads: exact once they rest.
"""

import os
import platform
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rlite.engine.commands.call import Call
from rlite.engine.commands.context import Context, Loading
from rlite.engine.commands.declare import command
from rlite.engine.reply import Reply, Verbatim
from rlite.engine.version import REDIS_VERSION, RLITE_VERSION

Section = Callable[[Context], Mapping[str, object]]
SECTIONS: dict[str, Section] = {}  # by name as it is printed; the order here is the order of INFO
NOT_BY_DEFAULT = frozenset({"commandstats", "latencystats"})
HZ = 10  # turns of the server's clock a second


def section(name: str) -> Callable[[Section], Section]:
    """Adds a section to INFO; what stands under its name already is replaced."""

    def add(build: Section) -> Section:
        SECTIONS[name] = build
        return build

    return add


def human(size: float) -> str:
    """A size as INFO shows it to people: 1.50M."""
    for unit in "BKMGTPE":
        if size < 1024 or unit == "E":
            return f"{int(size)}B" if unit == "B" else f"{size:.2f}{unit}"
        size /= 1024
    raise AssertionError("unreachable")


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def system_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def polls_by_epoll(context: Context) -> bool:
    return sys.platform == "linux" and context.config.text("event-poller") == "auto"


@section("Server")
def server(context: Context) -> Mapping[str, object]:
    now = time.time()
    uptime = int(now - context.started)
    about = platform.uname()
    return {
        "redis_version": REDIS_VERSION,
        "rlite_version": RLITE_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "redis_mode": "standalone",
        "os": f"{about.system} {about.release} {about.machine}",
        "arch_bits": struct.calcsize("P") * 8,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll" if polls_by_epoll(context) else "poll",
        "atomicvar_api": "c11-builtin",
        "gcc_version": "0.0.0",
        "process_id": os.getpid(),
        "process_supervised": "no",
        "run_id": context.run_id,
        "tcp_port": context.port,
        "server_time_usec": int(now * 1e6),
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime // 86400,
        "hz": HZ,
        "configured_hz": HZ,
        "lru_clock": int(now) & 0xFFFFFF,
        "executable": sys.executable,
        "config_file": context.config_file,
        "io_threads_active": int(len(context.loops) > 1),
        **(
            {"listener0": f"name=tcp,bind={','.join(map(str, bind))},port={context.port}"}
            if context.port and isinstance(bind := context.config.get("bind"), list | tuple)
            else {}
        ),
    }


@section("Clients")
def clients(context: Context) -> Mapping[str, object]:
    everybody = list(context.clients.values())
    facts = [each.facts() for each in everybody]
    return {
        "connected_clients": sum(not each.peer for each in everybody),
        "cluster_connections": 0,
        "maxclients": context.config.get("maxclients", 0),
        "client_recent_max_input_buffer": max((each["qbuf"] for each in facts), default=0),
        "client_recent_max_output_buffer": max((each["omem"] for each in facts), default=0),
        "blocked_clients": len(context.blocked),
        "tracking_clients": 0,
        "pubsub_clients": sum(1 for each in everybody if each.subscriptions and each.subscriptions.any),
        "watching_clients": sum(1 for each in everybody if each.watched),
        "clients_in_timeout_table": 0,
        "total_watched_keys": len(context.watchers),
        "total_blocking_keys": len(context.waiting),
        "total_blocking_keys_on_nokey": 0,
    }


@section("Memory")
def memory(context: Context) -> Mapping[str, object]:
    used = context.keyspace.used_memory()
    counters = context.keyspace.counters()
    peak, dataset = max(used, counters["peak"]), context.keyspace.dataset_bytes()
    resident, total = resident_bytes(), system_bytes()
    overhead = max(0, used - dataset)
    lua = context.scripts.lua_bytes()
    limit = int(str(context.config.get("maxmemory", 0)))
    return {
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": f"{100 * used / peak if peak else 0:.2f}%",
        "used_memory_overhead": overhead,
        "used_memory_startup": context.startup_memory,
        "used_memory_dataset": dataset,
        "used_memory_dataset_perc": f"{100 * dataset / max(1, used - context.startup_memory):.2f}%",
        "total_system_memory": total,
        "total_system_memory_human": human(total),
        "used_memory_lua": lua,
        "used_memory_vm_eval": lua,
        "used_memory_lua_human": human(lua),
        "used_memory_scripts_eval": context.scripts.text_bytes,
        "number_of_cached_scripts": len(context.scripts.known),
        "number_of_functions": 0,
        "number_of_libraries": 0,
        "used_memory_vm_functions": 0,
        "used_memory_vm_total": lua,
        "used_memory_vm_total_human": human(lua),
        "used_memory_functions": 0,
        "used_memory_scripts": context.scripts.text_bytes,
        "used_memory_scripts_human": human(context.scripts.text_bytes),
        "maxmemory": limit,
        "maxmemory_human": human(limit),
        "maxmemory_policy": context.config.get("maxmemory-policy", "noeviction"),
        # The whole process counts here, the interpreter included: far above 1 while there is little data.
        "mem_fragmentation_ratio": f"{resident / used if used else 0:.2f}",
        "mem_fragmentation_bytes": resident - used,
        "mem_not_counted_for_evict": 0,
        "mem_replication_backlog": context.log.backlog[1],
        "mem_total_replication_buffers": context.log.backlog[1],
        "mem_clients_slaves": 0,
        "mem_clients_normal": counters["client_bytes"],
        "mem_cluster_links": 0,
        "mem_aof_buffer": 0,
        "mem_allocator": "libc",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": 0,
        "lazyfreed_objects": 0,
    }


@section("Persistence")
def persistence(context: Context) -> Mapping[str, object]:
    """Snapshots and the log."""
    fields = {
        "loading": int(context.loading is not None),
        "async_loading": int(context.replication is not None and context.replication.loading),
        "current_cow_peak": 0,
        "current_cow_size": 0,
        "current_cow_size_age": 0,
        "current_fork_perc": "0.00",
        "current_save_keys_processed": 0,
        "current_save_keys_total": 0,
        "rdb_changes_since_last_save": context.total("dirty"),
        "rdb_bgsave_in_progress": 0,
        "rdb_last_save_time": int(context.started),
        "rdb_last_bgsave_status": "ok",
        "rdb_last_bgsave_time_sec": -1,
        "rdb_current_bgsave_time_sec": -1,
        "rdb_saves": 0,
        "rdb_last_cow_size": 0,
        "rdb_last_load_keys_expired": 0,
        "rdb_last_load_keys_loaded": 0,
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
        "aof_last_rewrite_time_sec": -1,
        "aof_current_rewrite_time_sec": -1,
        "aof_last_bgrewrite_status": "ok",
        "aof_rewrites": 0,
        "aof_last_write_status": "ok",
        "aof_last_cow_size": 0,
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
    }
    return {
        **fields,
        **loading(context.loading),
        **(context.rewriter.facts() if context.rewriter is not None else {}),
        **(context.saves.info() if context.saves is not None else {}),
    }


def loading(progress: Loading | None) -> dict[str, object]:
    """Fields that are there while the data is being loaded only."""
    if progress is None:
        return {}
    return {
        "loading_start_time": int(progress.started),
        "loading_total_bytes": progress.total,
        "loading_rdb_used_mem": 0,
        "loading_loaded_bytes": progress.loaded,
        "loading_loaded_perc": f"{100 * progress.share:.2f}",
        "loading_eta_seconds": int(progress.seconds_left),
    }


def errors_by_word(context: Context) -> dict[str, int]:
    """Error replies by the first word of their text, over all threads."""
    found = dict(context.errors)
    for counters in context.all_counters():
        for word, count in counters.error_counts().items():
            found[word] = found.get(word, 0) + count
    return found


@section("Stats")
def stats(context: Context) -> Mapping[str, object]:
    totals = dict.fromkeys(context.counters.totals(), 0)
    for each in context.all_counters():
        for name, value in each.totals().items():
            totals[name] += value
    keys, rates = context.keyspace.counters(), context.samples
    forked = context.saves.forked() if context.saves is not None else {}
    return {
        "total_connections_received": context.connections_received,
        "total_commands_processed": totals["commands"],
        "instantaneous_ops_per_sec": int(rates.get("commands", 0)),
        "total_net_input_bytes": totals["net_in"],
        "total_net_output_bytes": totals["net_out"],
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": f"{rates.get('net_in', 0) / 1024:.2f}",
        "instantaneous_output_kbps": f"{rates.get('net_out', 0) / 1024:.2f}",
        "instantaneous_input_repl_kbps": f"{rates.get('repl_in', 0) / 1024:.2f}",
        "instantaneous_output_repl_kbps": "0.00",
        "rejected_connections": context.connections_rejected,
        **({} if context.replication is None else context.replication.syncs()),
        "expired_subkeys": keys["expired_fields"],
        "expired_keys": keys["expired_keys"],
        "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": 0,
        "expire_cycle_cpu_milliseconds": keys["expire_ns"] // 1_000_000,
        "evicted_keys": keys["evicted_keys"],
        "evicted_clients": 0,
        "evicted_scripts": 0,
        "total_eviction_exceeded_time": 0,
        "current_eviction_exceeded_time": 0,
        "keyspace_hits": totals["hits"],
        "keyspace_misses": totals["misses"],
        "pubsub_channels": len(context.board.channels),
        "pubsub_patterns": len(context.board.patterns),
        "pubsubshard_channels": len(context.board.shards),
        "latest_fork_usec": forked.get("latest_fork_usec", 0),
        "total_forks": forked.get("total_forks", 0),
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "total_active_defrag_time": 0,
        "current_active_defrag_time": 0,
        "tracking_total_keys": 0,
        "tracking_total_items": 0,
        "tracking_total_prefixes": 0,
        "unexpected_error_replies": context.unexpected_errors,
        "total_error_replies": sum(errors_by_word(context).values()),
        "dump_payload_sanitizations": 0,
        "total_reads_processed": totals["reads"],
        "total_writes_processed": totals["writes"],
        "io_threaded_reads_processed": 0,
        "io_threaded_writes_processed": 0,
        "client_query_buffer_limit_disconnections": 0,
        "client_output_buffer_limit_disconnections": 0,
        "reply_buffer_shrinks": 0,
        "reply_buffer_expands": 0,
        "acl_access_denied_auth": 0,
        "acl_access_denied_cmd": 0,
        "acl_access_denied_key": 0,
        "acl_access_denied_channel": 0,
    }


@section("Replication")
def replication(context: Context) -> Mapping[str, object]:
    return {} if context.replication is None else context.replication.info()


@section("CPU")
def cpu(_context: Context) -> Mapping[str, object]:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "used_cpu_sys": f"{own.ru_stime:.6f}",
        "used_cpu_user": f"{own.ru_utime:.6f}",
        "used_cpu_sys_children": f"{children.ru_stime:.6f}",
        "used_cpu_user_children": f"{children.ru_utime:.6f}",
    }


@section("Modules")
def modules(_context: Context) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command has cost so far, over all threads. ns: nanoseconds in all calls."""

    name: str
    calls: int
    ns: int
    failed: int
    rejected: int


def costs(context: Context) -> Iterator[Cost]:
    """Every command that was called or refused, by name."""
    everyone = list(context.all_counters())
    for name, which in sorted(context.ids.items()):
        tallies = [each.tally(which) for each in everyone]
        cost = Cost(name, *(sum(column) for column in zip(*tallies, strict=True)))
        if cost.calls or cost.failed or cost.rejected:
            yield cost


@section("Commandstats")
def commandstats(context: Context) -> Mapping[str, object]:
    """What each command that was called has cost so far."""
    return {
        f"cmdstat_{each.name}": f"calls={each.calls},usec={each.ns // 1000},"
        f"usec_per_call={each.ns / 1000 / each.calls if each.calls else 0:.2f},"
        f"rejected_calls={each.rejected},failed_calls={each.failed}"
        for each in costs(context)
    }


@section("Errorstats")
def errorstats(context: Context) -> Mapping[str, object]:
    return {f"errorstat_{word}": f"count={count}" for word, count in sorted(errors_by_word(context).items())}


@section("Latencystats")
def latencystats(_context: Context) -> Mapping[str, object]:
    """Its place; what stands there comes from observe/latency_commands.py."""
    return {}


@section("Cluster")
def cluster(_context: Context) -> Mapping[str, object]:
    return {"cluster_enabled": 0}


@section("Keyspace")
def keyspace(context: Context) -> Mapping[str, object]:
    """Databases that hold keys; an empty one has no line, since readers divide by its keys."""
    keys = context.keyspace
    return {
        f"db{i}": f"keys={keys.size(i)},expires={keys.volatile_size(i)},"
        f"avg_ttl={keys.average_ttl_ms(i)},subexpiry=0"
        for i in range(keys.databases)
        if keys.size(i)
    }


def wanted(names: list[str]) -> list[str]:
    """The sections that the arguments of INFO ask for, in INFO's order."""
    names = names or ["default"]
    everything = "all" in names or "everything" in names
    default = everything or "default" in names
    return [
        name for name in SECTIONS
        if name.lower() in names or everything or (default and name.lower() not in NOT_BY_DEFAULT)
    ]  # fmt: skip


def text(context: Context, names: list[str]) -> str:
    """The text of INFO for these lower-case names of sections."""
    parts: list[str] = []
    for name in wanted(names):
        lines = [f"# {name}", *(f"{key}:{value}" for key, value in SECTIONS[name](context).items())]
        parts.append("".join(line + "\r\n" for line in lines))
    return "\r\n".join(parts)


@command(
    "INFO [section [section ...]]", arity=-1, flags="loading stale", group="server", since="1.0.0",
    complexity="O(1)", acl="dangerous",
    tips=["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    summary="Tells about the server, in sections of name:value lines.",
)  # fmt: skip
def info(call: Call) -> Reply:
    names = [arg.decode("latin-1").lower() for arg in call.args[1:]]
    return Verbatim("txt", text(call.server, names).encode("utf-8", "surrogateescape"))
