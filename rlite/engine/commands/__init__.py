"""The commands. Importing this package declares them all; `declare.REGISTRY` then holds them."""

from rlite.engine.commands import configuration, connection, expiry, keys, strings, transactions

__all__ = ["configuration", "connection", "expiry", "keys", "strings", "transactions"]
