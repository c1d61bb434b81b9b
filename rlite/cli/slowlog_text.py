"""What `rlite slowlog` prints of calls and groups of them: lines for people, objects for programs. Pure."""

from collections.abc import Iterable

from rlite.cli.options import moment_text
from rlite.cli.output import aligned, escaped, name_fields, size_text
from rlite.cli.slowlog_groups import Group
from rlite.cli.slowlog_reading import Logged


def amount(kind: str, value: int) -> str:
    """Microseconds or bytes for people."""
    if kind != "slow":
        return size_text(value)
    if value < 1000:
        return f"{value} us"
    return f"{value / 1000:.1f} ms" if value < 1_000_000 else f"{value / 1_000_000:.2f} s"


def shown(call: Logged, kind: str, width: int) -> str:
    """A call as one line; width: at which it is cut, 0: nowhere."""
    words = " ".join(quoted(arg) for arg in call.args)
    who = escaped(call.client) + (f" ({escaped(call.client_name)})" if call.client_name else "")
    where = f"  db{call.db}" if call.db else ""
    text = f"{moment_text(call.time_ms)}  {amount(kind, call.value):>9}  {who}{where}  {words}"
    return text if not width or len(text) <= width else text[: max(width - 3, 1)] + "..."


def quoted(arg: bytes) -> str:
    """An argument for people: in quotes where it is empty or has spaces."""
    text = escaped(arg)
    return f'"{text}"' if not text or " " in text else text


def described(call: Logged, kind: str, run_id: str) -> dict[str, object]:
    """A call as NDJSON has it (rlite.slowlog-entry/1)."""
    args: dict[str, object] = {"args": [escaped_unless_text(each) for each in call.args]}
    if any(not is_text(each) for each in call.args):
        args["args_b64"] = [name_fields(each, "a").get("a_b64") for each in call.args]
    return {
        "type": kind,
        "id": call.id,
        "run_id": run_id,
        "time": moment_text(call.time_ms),
        "time_ms": call.time_ms,
        "duration_us": call.duration_us,
        "request_bytes": call.request_bytes,
        "reply_bytes": call.reply_bytes,
        **name_fields(call.command.encode("utf-8", "surrogateescape"), "cmd"),
        **args,
        "args_truncated": call.args_cut,
        **({"key": None} if call.key is None else name_fields(call.key)),
        **name_fields(call.client, "client_addr"),
        **name_fields(call.client_name, "client_name"),
        **({"user": None} if call.user is None else name_fields(call.user, "user")),
        "db": call.db,
    }


def is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def escaped_unless_text(data: bytes) -> str:
    return data.decode("utf-8") if is_text(data) else escaped(data)


def group_table(groups: Iterable[Group], by: str, kind: str) -> str:
    """Groups as a table; empty where there are none."""
    rows = [
        (
            escaped(each.name, 60),
            each.calls,
            *(amount(kind, value) for value in (each.total, int(each.mean), each.longest)),
            moment_text(each.last_ms),
        )
        for each in groups
    ]
    return aligned((by, "calls", "in all", "mean", "largest", "last"), rows, right=(1, 2, 3, 4))


def group_facts(group: Group, by: str, kind: str) -> dict[str, object]:
    """A group as NDJSON has it (rlite.slowlog-group/1)."""
    unit = "us" if kind == "slow" else "bytes"
    return {
        "type": kind,
        "by": by,
        **name_fields(group.name, "name"),
        "calls": group.calls,
        f"total_{unit}": group.total,
        f"mean_{unit}": round(group.mean, 3),
        f"max_{unit}": group.longest,
        "last_time": moment_text(group.last_ms),
        "last_time_ms": group.last_ms,
    }
