"""A key of a snapshot as one JSON object, and back, without loss. Pure.

Bytes that are UTF-8 are a string; others {"base64": "..."}. A score is a number, or "inf" and "-inf". An id
of a stream is "ms-seq". What a value of each type is:

    string  text                    list, set  [text...]            zset  [[member, score]...]
    hash    [[field, value]...], with a third element where the field has a deadline (Unix milliseconds)
    stream  {"entries": [[id, [field, value...]]...], "last_id", "max_deleted_id", "entries_added", "groups":
            [{"name", "last_id", "entries_read", "consumers": [[name, seen_at_ms, active_at_ms]...],
              "pending": [[id, consumer, delivered_at_ms, count]...]}...]}
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from rlite.engine.persistence.snapshot_key import SnapshotKey, Value, encoded
from rlite.engine.types.groups import Consumer, Group, Groups, Id, Pending
from rlite.engine.types.rdb_stream import Image
from rlite.engine.types.rdb_values import Fields, Put

Json = Any
MOST = 2**64 - 1
TIMES = -(2**63), 2**63 - 1


def text_out(raw: bytes) -> Json:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode("ascii")}


def text_in(value: Json) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("a string holds half a surrogate pair; bytes are given as base64") from None
    if isinstance(value, dict) and value.keys() == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"no base64: {value['base64'][:40]!r}") from None
    raise ValueError(f'a string or {{"base64": ...}} belongs where there is {_shown(value)}')


def key_out(item: SnapshotKey, type_: str) -> dict[str, Json]:
    """The object of a key. Raises RdbError for a value that cannot be decoded."""
    made: dict[str, Json] = {"db": item.db, "key": text_out(item.key), "type": type_}
    if item.deadline is not None:
        made["expires_at_ms"] = item.deadline
    if item.idle is not None:
        made["idle_s"] = item.idle
    if item.frequency is not None:
        made["frequency"] = item.frequency
    made["value"] = value_out(item.value())
    return made


def key_in(made: Json, put: Put) -> SnapshotKey:
    """The key that an object describes. Raises ValueError, which says what is wrong with it."""
    if not isinstance(made, dict):
        raise ValueError(f"an object belongs where there is {_shown(made)}")  # noqa: TRY004 - of the text, not of a caller
    missing = [name for name in ("key", "type", "value") if name not in made]
    if missing:
        raise ValueError(f"it has no {missing[0]!r}")
    reader = _READERS.get(made["type"]) if isinstance(made["type"], str) else None
    if reader is None:
        raise ValueError(f"no such type: {_shown(made['type'])}; there are {', '.join(_READERS)}")
    kind, raw = encoded(reader(made["value"]), put)
    return SnapshotKey(
        db=_number(made.get("db", 0), 0, 2**31 - 1), key=text_in(made["key"]), kind=kind, raw=raw,
        deadline=_maybe(made.get("expires_at_ms"), 0, 2**63 - 1), idle=_maybe(made.get("idle_s"), 0, 2**62),
        frequency=_maybe(made.get("frequency"), 0, 255),
    )  # fmt: skip


# --- values ------------------------------------------------------------------------------------------------


def value_out(value: Value) -> Json:
    match value:
        case bytes():
            return text_out(value)
        case list():
            return [text_out(item) for item in value]
        case set():
            return [text_out(member) for member in sorted(value)]
        case dict():
            return [[text_out(member), _score_out(score)] for member, score in value.items()]
        case Fields(pairs=pairs, deadlines=times):
            return [
                [text_out(name), text_out(item), *((times[name],) if name in times else ())]
                for name, item in pairs
            ]
        case Image():
            return _stream_out(value)


def _stream_out(image: Image) -> Json:
    return {
        "entries": [[_id_out(id_), [text_out(text) for text in texts]] for id_, texts in image.entries],
        "last_id": _id_out(image.last_id),
        "max_deleted_id": _id_out(image.max_deleted),
        "entries_added": image.added,
        "groups": [
            {
                "name": text_out(name),
                "last_id": _id_out(group.last_id),
                "entries_read": group.read,
                "consumers": [[text_out(c.name), c.seen_at, c.active_at] for c in group.named()],
                "pending": [
                    [_id_out(id_), text_out(p.consumer.name), p.delivered_at, p.count]
                    for id_, p in group.pending.items()
                ],
            }
            for name, group in image.groups.named()
        ],
    }


def _list_in(made: Json) -> list[bytes]:
    found = [text_in(item) for item in _array(made)]
    if not found:
        raise ValueError("a value without elements")
    return found


def _set_in(made: Json) -> set[bytes]:
    members = _list_in(made)
    found = set(members)
    if len(found) != len(members):
        raise ValueError("a member of a set comes twice")
    return found


def _zset_in(made: Json) -> dict[bytes, float]:
    pairs = [_array(pair, 2) for pair in _array(made)]
    found = {text_in(member): _score_in(score) for member, score in pairs}
    if not found or len(found) != len(pairs):
        raise ValueError("a sorted set without members, or with one that comes twice")
    return found


def _hash_in(made: Json) -> Fields:
    found = Fields([])
    for triple in _array(made):
        if not isinstance(triple, list) or len(triple) not in (2, 3):
            raise ValueError(
                f"[field, value] or [field, value, deadline] belongs where there is {_shown(triple)}"
            )
        name = text_in(triple[0])
        found.pairs.append((name, text_in(triple[1])))
        if len(triple) == 3:
            found.deadlines[name] = _number(triple[2], 0, TIMES[1])
    if not found.pairs or len({name for name, _ in found.pairs}) != len(found.pairs):
        raise ValueError("a hash without fields, or with one that comes twice")
    return found


def _stream_in(made: Json) -> Image:
    if not isinstance(made, dict) or "entries" not in made or "last_id" not in made:
        raise ValueError(f'a stream is {{"entries": ..., "last_id": ...}}, not {_shown(made)}')
    image = Image([])
    for entry in _array(made["entries"]):
        id_, texts = _array(entry, 2)
        strings = [text_in(text) for text in _array(texts)]
        if not strings or len(strings) % 2:
            raise ValueError(f"the fields and values of {_shown(id_)} do not come in pairs")
        image.entries.append((_id_in(id_), strings))
    ids = [id_ for id_, _ in image.entries]
    image.last_id = _id_in(made["last_id"])
    if any(one >= other for one, other in pairwise(ids)):
        raise ValueError("the entries of a stream are not in the order of their ids")
    if ids and image.last_id < ids[-1]:
        raise ValueError("the last_id of a stream is before its last entry")
    image.max_deleted = _id_in(made.get("max_deleted_id", "0-0"))
    image.added = _number(made.get("entries_added", len(ids)), 0, MOST)
    image.groups = Groups()
    for group in _array(made.get("groups", [])):
        name = text_in(group.get("name") if isinstance(group, dict) else group)
        if name in image.groups:
            raise ValueError("a consumer group comes twice")
        image.groups[name] = _group_in(group)
    return image


def _group_in(made: dict[str, Json]) -> Group:
    group = Group(_id_in(made.get("last_id")), _maybe(made.get("entries_read"), 0, MOST))
    for part in _array(made.get("consumers", [])):
        name, seen, active = _array(part, 3)
        consumer = Consumer(text_in(name), _number(seen, *TIMES), _maybe(active, *TIMES))
        group.consumers[consumer.name] = consumer
    for part in _array(made.get("pending", [])):
        id_, name, delivered, count = _array(part, 4)
        owner = group.consumers.get(text_in(name))
        if owner is None:
            raise ValueError(f"an entry is pending for {_shown(name)}, which is no consumer of the group")
        pending = Pending(owner, _number(delivered, *TIMES), _number(count, 0, MOST))
        at = _id_in(id_)
        if at in group.pending:
            raise ValueError(f"{_shown(id_)} is pending twice")
        group.pending[at] = owner.pending[at] = pending
    return group


_READERS: dict[str, Callable[[Json], Value]] = {
    "string": text_in, "list": _list_in, "set": _set_in, "zset": _zset_in, "hash": _hash_in,
    "stream": _stream_in,
}  # fmt: skip


# --- parts -------------------------------------------------------------------------------------------------


def _score_out(score: float) -> Json:
    if math.isinf(score):
        return "inf" if score > 0 else "-inf"
    return score


def _score_in(made: Json) -> float:
    if made in ("inf", "-inf"):
        return float(made)
    if isinstance(made, bool) or not isinstance(made, int | float) or math.isnan(made):
        raise ValueError(f'a number, "inf" or "-inf" belongs where there is {_shown(made)}')
    return float(made)


def _id_out(id_: Id) -> str:
    return f"{id_[0]}-{id_[1]}"


def _id_in(made: Json) -> Id:
    found = re.fullmatch(r"([0-9]{1,20})-([0-9]{1,20})", made) if isinstance(made, str) else None
    if found is None or max(int(found[1]), int(found[2])) >= 2**64:
        raise ValueError(f"no id of an entry: {_shown(made)}")
    return int(found[1]), int(found[2])


def _array(made: Json, size: int | None = None) -> list[Json]:
    if not isinstance(made, list) or (size is not None and len(made) != size):
        what = "an array" if size is None else f"an array of {size}"
        raise ValueError(f"{what} belongs where there is {_shown(made)}")
    return made


def _number(made: Json, low: int, high: int) -> int:
    if isinstance(made, bool) or not isinstance(made, int) or not low <= made <= high:
        raise ValueError(f"a whole number from {low} to {high} belongs where there is {_shown(made)}")
    return made


def _maybe(made: Json, low: int, high: int) -> int | None:
    return None if made is None else _number(made, low, high)


def _shown(made: Json) -> str:
    text = repr(made)
    return text if len(text) <= 40 else text[:37] + "..."
