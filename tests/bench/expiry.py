"""How late keys go that nobody reads: redis#15620's experiment.

A million other volatile keys with far deadlines, then a thousand due at one moment. A client asks DBSIZE each
millisecond or so; the n-th key's lag is when the count first fell by n, less the deadline.
"""

import time

from support.servers import Server
from support.wire import Int

from bench.common import Options, Result, contestants, send_in_chunks

DUE = 1000


def lags(server: Server, others: int, cap: float) -> list[float]:
    """Milliseconds late, one a key that went before `cap` seconds had passed."""
    send_in_chunks(
        server, ((b"SET", b"far:%012d" % index, b"x", b"EX", b"864000") for index in range(others))
    )
    # Far enough away that all thousand are in before.
    deadline = int(time.time() * 1000) + 1500
    due = (b"%d" % deadline,)
    send_in_chunks(server, ((b"SET", b"due:%d" % index, b"x", b"PXAT", *due) for index in range(DUE)))
    assert time.time() * 1000 < deadline, "the machine is too slow for this experiment"
    gone: list[float] = []
    with server.wire() as wire:
        while len(gone) < DUE:
            reply = wire.command("DBSIZE")
            late = time.time() * 1000 - deadline
            assert isinstance(reply, Int)
            gone += [late] * (DUE - (reply.value - others) - len(gone))
            if late > cap * 1000:
                break
            time.sleep(0.001)
    return gone


def _at(gone: list[float], rank: int, cap: float) -> str:
    return f"{gone[rank - 1]:.1f}" if len(gone) >= rank else f"> {cap * 1000:.0f}"


def measure(options: Options) -> Result:
    """Once for each server: theirs takes its time, and the cap ends it."""
    rows: list[tuple[str, ...]] = []
    data: dict[str, object] = {}
    with contestants(options) as servers:
        for side, name, server in zip(
            ("ours", "theirs"), (options.ours, options.theirs), servers, strict=True
        ):
            gone = lags(server, options.keys, options.cap)
            points = [_at(gone, rank, options.cap) for rank in (DUE // 2, DUE * 99 // 100, DUE)]
            rows.append((name, *points, f"{len(gone)}/{DUE}"))
            data[side] = {
                "server": name,
                "others": options.keys,
                "cap_ms": options.cap * 1000,
                "lags_ms": gone,
            }
    return Result("expiry", ("ms late", "p50", "p99", "all", "gone"), rows, data)
