"""MEMORY: what keys and the server take. USAGE runs under the lock of its key; the rest touches no key."""

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command, container
from rlite.engine.commands.helping import declare_help
from rlite.engine.commands.info import resident_bytes
from rlite.engine.errors import CommandError
from rlite.engine.reply import OK, Reply, Verbatim

SHARDS = ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]
SLOT = 8  # bytes that a key takes in its table beside its entry
LITTLE = 5 << 20  # below so many bytes the figures of a process say nothing about its data

container("MEMORY", since="4.0.0", summary="What memory is used for.")


@command(
    "MEMORY USAGE key [SAMPLES count]", arity=-3, flags="readonly", keys=(2, 2, 1), access="RO",
    group="server", since="4.0.0", complexity="O(1)",
    summary="Returns the bytes that a key and its value take.",
)  # fmt: skip
def memory_usage(call: Call) -> Reply:
    for i in range(3, len(call.args), 2):
        if call.word(i) != b"SAMPLES" or i + 1 == len(call.args):
            raise CommandError(errors.SYNTAX)
        if call.int(i + 1) < 0:
            raise CommandError(errors.SYNTAX)
    facts = call.db.inspect(call.args[2])
    return None if facts is None else facts["bytes"] + SLOT


@command(
    "MEMORY STATS", arity=2, flags="", group="server", since="4.0.0", complexity="O(1)", tips=SHARDS,
    summary="Returns figures of the server's memory.",
)  # fmt: skip
def memory_stats(call: Call) -> Reply:
    server, keyspace = call.server, call.server.keyspace
    used, dataset = keyspace.used_memory(), keyspace.dataset_bytes()
    counters = keyspace.counters()
    peak, resident = max(used, counters["peak"]), resident_bytes()
    sizes = {i: keyspace.size(i) for i in range(keyspace.databases)}
    keys = sum(sizes.values())
    stats: dict[Reply, Reply] = {
        b"peak.allocated": peak,
        b"total.allocated": used,
        b"startup.allocated": server.startup_memory,
        b"replication.backlog": server.log.backlog[1],
        b"clients.slaves": 0,
        b"clients.normal": counters["client_bytes"],
        b"cluster.links": 0,
        b"aof.buffer": 0,
        b"lua.caches": 0,
        b"functions.caches": 0,
        b"overhead.total": max(0, used - dataset),
        b"keys.count": keys,
        b"keys.bytes-per-key": max(0, used - server.startup_memory) // keys if keys else 0,
        b"dataset.bytes": dataset,
        b"dataset.percentage": 100 * dataset / max(1, used - server.startup_memory),
        b"peak.percentage": 100 * used / peak if peak else 0.0,
        b"allocator.resident": resident,
        b"fragmentation": resident / used if used else 0.0,
        b"fragmentation.bytes": resident - used,
    }
    return stats


@command(
    "MEMORY DOCTOR", arity=2, flags="", group="server", since="4.0.0", complexity="O(1)", tips=SHARDS,
    summary="Says in words what looks wrong with the use of memory.",
)  # fmt: skip
def memory_doctor(call: Call) -> Reply:
    keyspace = call.server.keyspace
    used, peak = keyspace.used_memory(), keyspace.counters()["peak"]
    if used < LITTLE:
        return said("There is too little data here to say anything about its use of memory.")
    found = []
    if peak > used * 1.5:
        found.append(f"The data took {peak} bytes at its peak, now {used}; the process may hold the rest.")
    if resident_bytes() > used * 2:
        found.append("The process holds over twice the memory of its data: MEMORY PURGE may help.")
    return said(" ".join(found) or "Nothing looks wrong.")


def said(text: str) -> Reply:
    return Verbatim("txt", text.encode() + b"\n")


@command(
    "MEMORY PURGE", arity=2, flags="", group="server", since="4.0.0", complexity="Depends on the allocator.",
    tips=["request_policy:all_shards", "response_policy:all_succeeded"],
    summary="Gives memory that is free back to the system, where the C library can.",
)  # fmt: skip
def memory_purge(_call: Call) -> Reply:
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)
    return OK


declare_help("MEMORY", since="4.0.0", group="server")
