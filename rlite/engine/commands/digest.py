"""DEBUG DIGEST: one fingerprint of all data, the same as Redis computes, so that two servers can be compared.

Runs with every stripe locked. Each key is hashed with its value; the hashes are joined by xor, so their order
does not matter. Whether a key has a deadline counts, when it is does not.
"""

import hashlib
import struct

from rlite.engine.core.database import Database

SIZE = 20
NUMBERS = {"string": 0, "list": 1, "set": 2, "zset": 3, "hash": 4, "stream": 6}  # Redis's, of the types
LAST_ID = (2**64 - 1, 2**64 - 1)


def _xored(digest: bytes, data: bytes) -> bytes:
    other = int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest(), "big")
    return (int.from_bytes(digest, "big") ^ other).to_bytes(SIZE, "big")


def _mixed(digest: bytes, data: bytes) -> bytes:
    """As `_xored`, but what is mixed in one after the other counts in that order."""
    return hashlib.sha1(_xored(digest, data), usedforsecurity=False).digest()


def of_value(db: Database, key: bytes, digest: bytes = bytes(SIZE)) -> bytes:
    """The digest of a key's value; the one given, where the key does not exist."""
    kind = db.type(key)
    if kind is None:
        return digest
    digest = _mixed(digest, struct.pack(">I", NUMBERS[kind]))
    if kind == "string":
        digest = _mixed(digest, db.get(key) or b"")
    elif kind == "list":
        view = db.list(key, create=True)
        for item in view.range(0, len(view)):
            digest = _mixed(digest, item)
    elif kind == "set":
        for member in db.set_(key, create=True).members():
            digest = _xored(digest, member)
    elif kind == "zset":
        for member, score in db.sorted_set(key, create=True).items():
            digest = _xored(digest, _mixed(_mixed(bytes(SIZE), member), f"{score:.17g}".encode()))
    elif kind == "hash":
        for field, value in db.hash_(key, create=True).items():
            digest = _xored(digest, _mixed(_mixed(bytes(SIZE), field), value))
    else:
        for (ms, seq), strings in db.stream(key, create=True).range((0, 0), LAST_ID):
            digest = _mixed(digest, b"%d.%d" % (ms, seq))
            for text in strings:
                digest = _mixed(digest, text)
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
