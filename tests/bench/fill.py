"""Latency while the keyspace grows: every key new, 50 clients, no pipelining.

Growth is when a table that resizes at once would stop for everybody, so the worst of all requests counts.
"""

from bench.common import Options, Result, contestants, loadgen, median

POINTS = ("p50", "p99", "p99.9", "p99.99", "worst", "per_second")


def measure(options: Options) -> Result:
    """Fresh servers for each pair of runs, one after the other."""
    runs: list[tuple[dict[str, float], dict[str, float]]] = []
    for _ in range(min(options.runs, 3)):
        with contestants(options) as (ours, theirs):
            pair = [
                loadgen(server, clients=50, requests=options.fill, gets=0, keys=0, size=32)
                for server in (ours, theirs)
            ]
            runs.append((pair[0], pair[1]))
    rows = [
        (name, *(f"{median(run[side][point] for run in runs):,.0f}" for point in POINTS))
        for side, name in ((0, options.ours), (1, options.theirs))
    ]
    ratios = (median(run[0][point] / run[1][point] for run in runs) for point in POINTS)
    rows.append(("ratio", *(f"{ratio:.2f}" for ratio in ratios)))
    headers = (f"{options.fill:,} new keys, µs", *POINTS)
    return Result(
        "fill", headers, rows, {"ours": [run[0] for run in runs], "theirs": [run[1] for run in runs]}
    )
