"""DEBUG DIGEST: one fingerprint of all data, the same as Redis computes, so that two servers can be compared.

Runs with every stripe locked. Each key is hashed with its value; the hashes are joined by xor, so their order
does not matter. Whether a key has a deadline counts, when it is does not.
"""

import hashlib
import struct

from rlite.engine.core.database import Database

SIZE = 20
STRING = 0  # Redis's number of the type


def _xored(digest: bytes, data: bytes) -> bytes:
    other = int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest(), "big")
    return (int.from_bytes(digest, "big") ^ other).to_bytes(SIZE, "big")


def _mixed(digest: bytes, data: bytes) -> bytes:
    """As `_xored`, but what is mixed in one after the other counts in that order."""
    return hashlib.sha1(_xored(digest, data), usedforsecurity=False).digest()


def of_value(db: Database, key: bytes, digest: bytes = bytes(SIZE)) -> bytes:
    """The digest of a key's value; the one given, where the key does not exist."""
    value = db.get(key)
    if value is None:
        return digest
    digest = _mixed(_mixed(digest, struct.pack(">I", STRING)), value)
    return digest if db.deadline(key) is None else _xored(digest, b"!!expire!!")


def of_database(db: Database, index: int, digest: bytes) -> bytes:
    """Adds one database to a digest; an empty one changes nothing."""
    keys = db.keys()
    if keys:
        digest = _mixed(digest, struct.pack(">I", index))
    for key in keys:
        digest = _xored(digest, of_value(db, key, _mixed(bytes(SIZE), key)))
    return digest


def of_everything(db: Database, databases: int) -> bytes:
    digest = bytes(SIZE)
    for index in range(databases):
        sibling = db.sibling(index)
        sibling.no_touch = True
        digest = of_database(sibling, index, digest)
    return digest
