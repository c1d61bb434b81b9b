from collections.abc import Callable
from typing import Any, TypedDict

from rlite.engine.commands.declare import Command
from rlite.engine.core.reactor import Loop

REASONS: dict[str, int]

class Facts(TypedDict):
    age: int
    idle: int
    qbuf: int
    qbuf_free: int
    argv_mem: int
    obl: int
    omem: int
    rbs: int
    total: int
    events: str
    net_in: int
    net_out: int
    commands: int

class Client:
    """One client of the server: over a socket, or in process (no I/O thread behind it)."""

    mailbox: Callable[..., None] | None
    loop: Loop | None
    name: str
    lib_name: str
    lib_ver: str
    address: str
    local_address: str
    user: str
    transaction: list[tuple[Command, list[bytes]]] | None
    transaction_failed: bool
    watched: dict[tuple[int, bytes], bool] | None
    watch_broken: bool
    reply_mode: str
    no_evict: bool
    is_unix: bool
    subscriptions: Any
    in_script: bool
    peer: str
    database: int
    resp: int
    no_touch: bool
    last_command: int
    took_ns: int
    max_bulk: int
    def __init__(self, fd: int = -1) -> None: ...
    @property
    def id(self) -> int: ...
    @property
    def fd(self) -> int: ...
    @property
    def closing(self) -> bool: ...
    def restricted(self, reason: str) -> bool: ...
    def restrict(self, reason: str) -> None: ...
    def lift(self, reason: str) -> None: ...
    def close_when_sent(self) -> None: ...
    def drop(self) -> None: ...
    def facts(self) -> Facts: ...
    def write_now(self, data: bytes) -> None: ...
