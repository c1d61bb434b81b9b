"""Latency of a mixed load: 100 clients, 80 % GET and 20 % SET over 100,000 keys, no pipelining."""

from bench.common import Options, Result, contestants, fill, loadgen, median

POINTS = ("p50", "p99", "p99.9", "worst", "per_second")
KEYS = 100_000


def measure(options: Options) -> Result:
    """The two servers in turn (A B A B)."""
    runs: list[tuple[dict[str, float], dict[str, float]]] = []
    with contestants(options) as servers:
        for server in servers:
            fill(server, KEYS, b"x" * 32)
        for _ in range(options.runs):
            pair = [
                loadgen(server, clients=100, requests=options.requests, gets=80, keys=KEYS, size=32)
                for server in servers
            ]
            runs.append((pair[0], pair[1]))
    rows = [
        (name, *(f"{median(run[side][point] for run in runs):,.0f}" for point in POINTS))
        for side, name in ((0, options.ours), (1, options.theirs))
    ]
    ratios = (median(run[0][point] / run[1][point] for run in runs) for point in POINTS)
    rows.append(("ratio", *(f"{ratio:.2f}" for ratio in ratios)))
    data = {"ours": [run[0] for run in runs], "theirs": [run[1] for run in runs]}
    return Result("latency", ("100 clients, 80 % GET, µs", *POINTS), rows, data)
