"""How a server stands in replication: what its INFO says, as a value, and that as a table or JSON.

Pure but for the printing. Knows Redis's fields, and the one that rlite adds (rlite_master_link_error).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from rlite.cli.info_text import number, parts
from rlite.cli.output import aligned, document, escaped, line, size_text
from rlite.engine.addresses import Address

SCHEMA = "rlite.replica-status/1"
NO_ID = "0" * 40


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a replica has no link. kind: one word, the same for programs in every version; text: for people."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """The data set on its way from the master. total: bytes, 0 where the master does not say how many."""

    read: int
    total: int
    left: int
    last_io_seconds: int


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica as its master sees it. lag_seconds: since it last acknowledged."""

    host: str
    port: int
    state: str
    offset: int
    lag_bytes: int
    lag_seconds: int


@dataclass(frozen=True, slots=True)
class Status:
    """master: whom it follows, None where it is a master; fault: why its link is down, as far as is known;
    master_offset: where the master is, None where it could not be asked; former_end: the offset up to which
    its history is that of former_id.
    """

    redis_version: str
    rlite_version: str
    run_id: str
    port: int
    keys: int
    loading: bool
    history: str
    former_id: str
    former_end: int
    offset: int
    replicas: tuple[Replica, ...]
    master: Address | None = None
    link_up: bool = False
    last_io_seconds: int | None = None
    down_seconds: int | None = None
    transfer: Transfer | None = None
    read_only: bool = False
    fault: Fault | None = None
    master_offset: int | None = None

    @property
    def version(self) -> str:
        if self.rlite_version:
            return f"rlite {self.rlite_version}"
        return f"Redis {self.redis_version}" if self.redis_version else "a server without a version"

    @property
    def lag_bytes(self) -> int | None:
        """What it has not yet of what its master has; None where that is not known."""
        if self.master_offset is None or not self.link_up:
            return None
        return max(0, self.master_offset - self.offset)

    @property
    def lag_seconds(self) -> int | None:
        """How old, at most, its data are; None where that is not known."""
        if not self.link_up:
            return self.down_seconds
        return 0 if self.lag_bytes == 0 else self.last_io_seconds


def status_of(info: Mapping[str, str]) -> Status:
    """From the fields of INFO. `master_offset` is asked elsewhere."""
    master = None
    if info.get("role") == "slave":
        master = Address(info.get("master_host", ""), number(info, "master_port"))
    transfer = None
    if number(info, "master_sync_in_progress"):
        transfer = Transfer(
            number(info, "master_sync_read_bytes"),
            max(0, number(info, "master_sync_total_bytes")),
            max(0, number(info, "master_sync_left_bytes")),
            number(info, "master_sync_last_io_seconds_ago"),
        )
    own = number(info, "master_repl_offset")
    error = info.get("rlite_master_link_error", "")
    kind, colon, text = error.partition(": ")
    former = info.get("master_replid2", NO_ID)
    return Status(
        redis_version=info.get("redis_version", ""),
        rlite_version=info.get("rlite_version", ""),
        run_id=info.get("run_id", ""),
        port=number(info, "tcp_port"),
        keys=sum(number(parts(value), "keys") for name, value in info.items() if name[:2] == "db"),
        loading=bool(number(info, "loading")),
        history=info.get("master_replid", ""),
        former_id="" if former == NO_ID else former,
        former_end=max(0, number(info, "second_repl_offset", 0) - 1),
        offset=number(info, "slave_repl_offset") if master else own,
        replicas=tuple(_replicas(info, own)),
        master=master,
        link_up=info.get("master_link_status") == "up",
        last_io_seconds=_seconds(info, "master_last_io_seconds_ago"),
        down_seconds=_seconds(info, "master_link_down_since_seconds"),
        transfer=transfer,
        read_only=bool(number(info, "slave_read_only", 0)),
        fault=Fault(kind, text) if colon else Fault("other", error) if error else None,
    )


def _seconds(info: Mapping[str, str], name: str) -> int | None:
    value = number(info, name, -1)
    return None if value < 0 else value


def _replicas(info: Mapping[str, str], own: int) -> list[Replica]:
    """slave0, slave1 and so on, in that order."""
    found: list[Replica] = []
    while said := parts(info.get(f"slave{len(found)}", "")):
        offset = number(said, "offset")
        host, port, state = said.get("ip", ""), number(said, "port"), said.get("state", "")
        found.append(Replica(host, port, state, offset, max(0, own - offset), number(said, "lag")))
    return found


# --- forms -------------------------------------------------------------------------------------------------


def show(status: Status, where: str, output: str) -> None:
    """Prints it. where: the server that was asked."""
    if output == "json":
        document(SCHEMA, fields(status, where))
    elif output == "ndjson":
        line(SCHEMA, fields(status, where))
    else:
        table(status, where)


def fields(status: Status, where: str) -> dict[str, Any]:
    """The document: the same keys for every server, null where there is nothing to say."""
    replica = status.master is not None
    return {
        "server": where,
        "redis_version": status.redis_version or None,
        "rlite_version": status.rlite_version or None,
        "run_id": status.run_id or None,
        "loading": status.loading,
        "role": "replica" if replica else "master",
        "history": status.history or None,
        "former_history": status.former_id or None,
        "former_history_end": status.former_end if status.former_id else None,
        "offset": status.offset,
        "read_only": status.read_only if replica else None,
        "master": _master_fields(status),
        "lag_bytes": status.lag_bytes if replica else None,
        "lag_seconds": status.lag_seconds if replica else None,
        "replicas": [
            {
                "host": each.host, "port": each.port, "state": each.state, "offset": each.offset,
                "lag_bytes": each.lag_bytes, "lag_seconds": each.lag_seconds,
            }
            for each in status.replicas
        ],
    }  # fmt: skip


def _master_fields(status: Status) -> dict[str, Any] | None:
    if status.master is None:
        return None
    transfer, fault = status.transfer, status.fault
    return {
        "host": status.master.host,
        "port": status.master.port,
        "link": link_word(status),
        "last_io_seconds": status.last_io_seconds,
        "down_seconds": status.down_seconds,
        "offset": status.master_offset,
        "transfer": None
        if transfer is None
        else {
            "read_bytes": transfer.read,
            "total_bytes": transfer.total or None,
            "left_bytes": transfer.left if transfer.total else None,
            "last_io_seconds": transfer.last_io_seconds,
        },
        "error": None if fault is None or status.link_up else {"kind": fault.kind, "text": fault.text},
    }


def link_word(status: Status) -> str:
    """up, transfer or down."""
    if status.link_up:
        return "up"
    if status.transfer is None or (status.fault is not None and not status.transfer.read):
        return "down"  # a Redis that was turned away tries the oldest way of all, in vain, and calls it one
    return "transfer"


def table(status: Status, where: str) -> None:
    role = "master" if status.master is None else f"replica of {escaped(str(status.master))}"
    click.echo(f"{escaped(where)}: {role}, {escaped(status.version)}")
    rows: list[tuple[str, str]] = []
    if status.master is not None:
        rows.append(("link", _link_text(status)))
    rows.append(("history", escaped(status.history) or "-"))
    if status.former_id:
        rows.append(("before", f"{escaped(status.former_id)}, up to offset {status.former_end:,}"))
    rows.append(("offset", f"{status.offset:,}"))
    if status.master is not None:
        behind = "-" if status.lag_bytes is None else size_text(status.lag_bytes)
        seconds = "" if status.lag_seconds is None else f", {status.lag_seconds} s"
        rows.append(("behind", behind + seconds))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"  {name.ljust(width)}  {text}")
    replicas = [
        (
            escaped(str(Address(each.host, each.port))), escaped(each.state), f"{each.offset:,}",
            size_text(each.lag_bytes), f"{each.lag_seconds} s",
        )
        for each in status.replicas
    ]  # fmt: skip
    heads = ("replica", "state", "offset", "behind", "last heard of")
    if text := aligned(heads, replicas, right=(2, 3, 4)):
        click.echo(f"\n{text}")


def _link_text(status: Status) -> str:
    if status.link_up:
        heard = status.last_io_seconds
        return "up" if heard is None else f"up, the master was last heard {heard} s ago"
    if status.transfer is not None and link_word(status) == "transfer":
        total = f" of {size_text(status.transfer.total)}" if status.transfer.total else ""
        return f"receiving the data: {size_text(status.transfer.read)}{total}"
    text = "down" if status.down_seconds is None else f"down for {status.down_seconds} s"
    return text if status.fault is None else f"{text}: {escaped(status.fault.text)}"
