"""The commands. Importing this package declares them all; `declare.REGISTRY` then holds them."""

from rlite.engine.commands import clients, connection, expiry, keys, strings, transactions

__all__ = ["clients", "connection", "expiry", "keys", "strings", "transactions"]
