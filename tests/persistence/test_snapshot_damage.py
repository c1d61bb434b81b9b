"""Snapshots with bytes changed at random and no checksum to tell: readers finish, or name a fault."""

import json
import random

import pytest
from support.snapshots import every_kind, old_file, rdb

from rlite.engine.persistence.diffing import meaning
from rlite.engine.persistence.inspecting import Inspection
from rlite.engine.persistence.rdb_shapes import type_of
from rlite.engine.persistence.rebuilding import commands_of
from rlite.engine.persistence.selecting import Wanted
from rlite.engine.persistence.snapshot_json import key_in, key_out
from rlite.engine.persistence.snapshot_key import SnapshotKey
from rlite.engine.persistence.snapshot_reading import Checksum, DamagedError, End, SnapshotReader
from rlite.engine.types.rdb_string import RdbError
from rlite.engine.types.rdb_values import putter


def unsummed(data: bytes) -> bytes:
    """The file of a server that computes no checksums."""
    return data[:-8] + bytes(8)


def used(item: SnapshotKey) -> None:
    """All that the tools do with a value. Raises RdbError."""
    meaning(item)
    assert list(commands_of(item))
    again = key_in(json.loads(json.dumps(key_out(item, type_of(item.kind)))), putter(True))
    assert meaning(again) == meaning(item)


@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes_are_a_named_fault_or_another_value(seed: int) -> None:
    choose = random.Random(seed)
    files = [unsummed(rdb([key])) for key in every_kind()] + [unsummed(old_file(9))]
    faults = 0
    for _ in range(400):
        data = bytearray(choose.choice(files))
        for _ in range(choose.choice((1, 1, 2, 6))):
            data[choose.randrange(9, len(data))] = choose.choice((choose.randrange(256), 0, 0xFF, 0x80, 0xC3))
        size = len(data)
        inspection = Inspection(SnapshotReader(iter([bytes(data)]), size=lambda size=size: size), Wanted(0))
        keys = list(inspection.keys())
        assert (inspection.damage is None) == (inspection.end is not None)
        assert inspection.damage is None or 0 <= inspection.damage.offset <= size
        assert inspection.read >= len(keys)
        try:
            for event in SnapshotReader(iter([bytes(data)])).events():
                if isinstance(event, SnapshotKey):
                    used(event)
                elif isinstance(event, End):
                    assert event.checksum in (Checksum.OFF, Checksum.BAD)
        except (DamagedError, RdbError):
            faults += 1
    assert faults > 50


def test_what_is_not_damaged_is_used_whole() -> None:
    for key in every_kind():
        used(key)
