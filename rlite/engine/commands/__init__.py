"""The commands. `declare_all()` imports every module of this package; `declare.REGISTRY` then holds their
commands.
"""

from importlib import import_module

# One module a group; the order is that in which COMMAND lists them.
MODULES = (
    "strings", "keys", "moving", "walking", "databases", "objects", "bits", "bitfield", "hyperloglog", "lcs",
    "dump",
    "lists", "hashes", "hash_ttl", "sets", "sorted_sets", "zset_algebra", "sorting", "geo", "streams",
    "stream_groups", "stream_info", "scripting", "expiry", "connection", "pubsub",
    "monitoring", "transactions", "clients", "configuration", "introspect", "info", "administration",
    "memory", "waiting", "migrating", "debug",
)  # fmt: skip


def declare_all() -> None:
    """Declares every command, once."""
    for name in MODULES:
        import_module(f"{__name__}.{name}")
