"""The directives of the first slice, with their defaults. The full table replaces this file."""

import os
from collections.abc import Iterator, Mapping


class Config(Mapping[str, object]):
    """Typed values of directives by name."""

    def __init__(self, **values: object) -> None:
        self._values: dict[str, object] = {
            "port": 6379, "bind": ["127.0.0.1", "-::1"], "unixsocket": "", "unixsocketperm": 0, "tcp-backlog": 511,
            "tcp-keepalive": 300, "maxclients": 1000, "databases": 16, "requirepass": "", "lock-stripes": 16,
            "io-threads": max(1, min(8, (os.cpu_count() or 2) // 2)), "protected-mode": True,
            "proto-max-bulk-len": 512 << 20, "slowlog-log-slower-than": 10000, "slowlog-max-len": 128,
        }  # fmt: skip
        self._values.update({name.replace("_", "-"): value for name, value in values.items()})

    def __getitem__(self, name: str) -> object:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
