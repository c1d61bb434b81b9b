"""The commands. Importing this package declares them all; `declare.REGISTRY` then holds them."""

from rlite.engine.commands import (
    administration,
    clients,
    connection,
    debug,
    expiry,
    info,
    introspect,
    keys,
    memory,
    strings,
    transactions,
)

__all__ = [
    "administration",
    "clients",
    "connection",
    "debug",
    "expiry",
    "info",
    "introspect",
    "keys",
    "memory",
    "strings",
    "transactions",
]
