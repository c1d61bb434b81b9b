"""XINFO: what a stream, its groups and their consumers are like."""

from itertools import islice
from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command, container
from rlite.engine.commands.helping import declare_help, subcommand_syntax
from rlite.engine.commands.stream_groups import existing_group, first_id, groups_of, lag, now_ms
from rlite.engine.commands.stream_ids import LAST, ZERO, entries_reply, entry_reply, id_text
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

if TYPE_CHECKING:
    from rlite.engine.core.streamview import StreamView
    from rlite.engine.types.groups import Consumer, Group

SHOWN = 10  # entries that FULL shows of each list

container("XINFO", since="5.0.0", group="stream", summary="Commands that tell about streams.")


def existing(call: Call) -> "StreamView":
    view = call.db.stream(call.args[2])
    call.looked_up(view is not None)
    if view is None:
        raise CommandError(errors.NO_SUCH_KEY)
    return view


@command(
    "XINFO STREAM key [FULL [COUNT count]]", arity=-3, flags="readonly", keys=(2, 2, 1), access="RO access",
    group="stream", since="5.0.0", complexity="O(1), and O(n) for n entries shown",
    summary="Tells what a stream is like.",
)  # fmt: skip
def xinfo_stream(call: Call) -> Reply:
    full, count = len(call.args) > 3, SHOWN
    if full:
        if call.word(3) != b"FULL" or len(call.args) not in (4, 6):
            raise subcommand_syntax(call)
        if len(call.args) == 6:
            if call.word(4) != b"COUNT":
                raise subcommand_syntax(call)
            count = call.int(5)
            count = SHOWN if count < 0 else count
    view = existing(call)
    found: dict[Reply, Reply] = {
        b"length": len(view),
        b"radix-tree-keys": view.blocks,
        b"radix-tree-nodes": view.blocks + 1,
        b"last-generated-id": id_text(view.last_id),
        b"max-deleted-entry-id": id_text(view.max_deleted),
        b"entries-added": view.added,
        b"recorded-first-entry-id": id_text(first_id(view)),
    }
    if full:
        found[b"entries"] = entries_reply(view.range(ZERO, LAST, count or -1))
        found[b"groups"] = [
            group_in_full(view, name, group, count) for name, group in groups_of(view).named()
        ]
        return found
    first, last = view.first(), view.last()
    found[b"groups"] = len(groups_of(view))
    found[b"first-entry"] = None if first is None else entry_reply(first)
    found[b"last-entry"] = None if last is None else entry_reply(last)
    return found


def group_in_full(view: "StreamView", name: bytes, group: "Group", count: int) -> Reply:
    most = count or None
    return {
        b"name": name,
        b"last-delivered-id": id_text(group.last_id),
        b"entries-read": group.read,
        b"lag": lag(view, group),
        b"pel-count": len(group.pending),
        b"pending": [
            [id_text(id_), each.consumer.name, each.delivered_at, each.count]
            for id_, each in islice(group.pending.items(), most)
        ],
        b"consumers": [consumer_in_full(each, most) for each in group.named()],
    }


def consumer_in_full(consumer: "Consumer", most: int | None) -> Reply:
    return {
        b"name": consumer.name,
        b"seen-time": consumer.seen_at,
        b"active-time": -1 if consumer.active_at is None else consumer.active_at,
        b"pel-count": len(consumer.pending),
        b"pending": [
            [id_text(id_), each.delivered_at, each.count]
            for id_, each in islice(consumer.pending.items(), most)
        ],
    }


@command(
    "XINFO GROUPS key", arity=3, flags="readonly", keys=(2, 2, 1), access="RO access", group="stream",
    since="5.0.0", complexity="O(n) where n is the number of groups", summary="Lists the groups of a stream.",
)  # fmt: skip
def xinfo_groups(call: Call) -> Reply:
    view = existing(call)
    return [
        {
            b"name": name,
            b"consumers": len(group.consumers),
            b"pending": len(group.pending),
            b"last-delivered-id": id_text(group.last_id),
            b"entries-read": group.read,
            b"lag": lag(view, group),
        }
        for name, group in groups_of(view).named()
    ]


@command(
    "XINFO CONSUMERS key group", arity=4, flags="readonly", keys=(2, 2, 1), access="RO access",
    group="stream", since="5.0.0", tips=("nondeterministic_output",),
    complexity="O(n) where n is the number of consumers", summary="Lists the consumers of a group.",
)  # fmt: skip
def xinfo_consumers(call: Call) -> Reply:
    existing(call)
    _, group = existing_group(call)
    now = now_ms()
    return [
        {
            b"name": each.name,
            b"pending": len(each.pending),
            b"idle": max(0, now - each.seen_at),
            b"inactive": -1 if each.active_at is None else max(0, now - each.active_at),
        }
        for each in group.named()
    ]


declare_help("XINFO", since="5.0.0", group="stream")
