"""The command log as server-sent events. Runs in the API's loop; looks a few times a second, and only while
somebody listens.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from rlite.engine.observe.slowlog import Entry, SlowLog

LOOK_SECONDS = 0.2
KEEP_ALIVE_SECONDS = 15.0  # a comment goes out after so long without an event


def entry_document(entry: Entry) -> dict[str, object]:
    """An entry as JSON has it; what is no UTF-8 is escaped."""

    def shown(raw: bytes) -> str:
        return raw.decode("utf-8", "backslashreplace")

    return {
        "id": entry.id,
        "time": entry.at,
        "command": entry.command,
        "value": entry.value,
        "duration_us": entry.microseconds,
        "request_bytes": entry.request_bytes,
        "reply_bytes": entry.reply_bytes,
        "args": [shown(each) for each in entry.args],
        "args_cut": entry.args_cut,
        "key": None if entry.key is None else shown(entry.key),
        "database": entry.database,
        "client": entry.address,
        "client_name": entry.name,
        "user": entry.user,
    }


def event(kind: str, data: object, id_: int | None = None) -> str:
    text = f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
    return text if id_ is None else f"id: {id_}\n{text}"


async def slow_calls(log: SlowLog, last: int, stopping: Callable[[], bool]) -> AsyncIterator[str]:
    """Events for the entries after the id `last`, as they come, until the server stops."""
    if last >= log.next_id:  # of an earlier life of the server, whose ids began anew
        yield event("gap", {"restarted": True})
        last = -1
    quiet = 0.0
    yield ": here begins what is slow\n\n"
    while not stopping():
        new = [entry for entry in log.newest(-1) if entry.id > last][::-1]
        first = new[0].id if new else log.next_id
        if first > last + 1:
            yield event("gap", {"restarted": False, "lost": first - 1 - last}, first - 1)
            last = first - 1
        for entry in new:
            yield event("call", entry_document(entry), entry.id)
            last = entry.id
        quiet = 0.0 if new else quiet + LOOK_SECONDS
        if quiet >= KEEP_ALIVE_SECONDS:
            yield ": still here\n\n"
            quiet = 0.0
        await asyncio.sleep(LOOK_SECONDS)
