"""Ratios: the figures that count, under the names by which they are known."""

from typing import Any

# Name, layout, and the two runs whose requests per second are divided.
DIVIDED = [
    ("read_vs_plain", "shared", "read_ours", "read_plain"),
    ("read_vs_plain_same_sql", "shared", "read_ours", "read_plain_same_sql"),
    ("read_vs_pgbench", "shared", "read_ours", "read_pgbench"),
    ("read_vs_pgbench_pinned", "pinned", "read_ours", "read_pgbench"),
    ("read_vs_ordinary", "shared", "read_ours", "read_ordinary"),
    ("nested_vs_ordinary", "shared", "nested_ours", "nested_ordinary"),
    ("reserve_vs_pgbench", "shared", "reserve_ours", "reserve_pgbench"),
    ("read_guarded_vs_unguarded", "shared", "read_guarded", "read_unguarded"),
    ("reserve_guarded_vs_unguarded", "shared", "reserve_guarded", "reserve_unguarded"),
    ("two_workers_vs_one", "shared", "read_ours", "read_one_worker"),
    ("read_vs_idiomatic", "shared", "read_ours", "read_idiomatic"),
    ("read_vs_postgraphile", "shared", "read_ours", "read_postgraphile"),
    ("read_vs_mercurius", "shared", "read_ours", "read_mercurius"),
]
# What the ratio, or the memory, is meant to be; at least, save where it is at most.
BARS = {
    "read_vs_plain": 1.5,
    "read_vs_pgbench": 0.5,
    "read_vs_pgbench_pinned": 0.9,
    "read_vs_ordinary": 40,
    "nested_vs_ordinary": 20,
    "reserve_vs_pgbench": 0.7,
    "bulk_vs_copy": 0.5,
    "read_guarded_vs_unguarded": 0.9,
    "reserve_guarded_vs_unguarded": 0.9,
    "rss_mb": 80,
}
AT_MOST = {"rss_mb"}


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Divide what was measured; what was left out has no ratio."""
    found: dict[str, float] = {}
    for name, layout, ours, theirs in DIVIDED:
        runs = results["layouts"].get(layout, {})
        if ours in runs and theirs in runs:
            found[name] = runs[ours]["rps"] / runs[theirs]["rps"]
    if bulk := results["bulk_seconds"]:
        found["bulk_vs_copy"] = bulk["copy"] / bulk["ours"]
    if results["rss_mb"]:
        found["rss_mb"] = results["rss_mb"]
    for place in ("first", "thousandth"):
        took = [page[f"{place}_ms"] for page in results["pages"].values()]
        found[f"flat_{place}_page"] = max(took) / min(took)
    return {name: round(ratio, 3) for name, ratio in found.items()}


def is_reached(name: str, ratio: float) -> bool:
    return ratio <= BARS[name] if name in AT_MOST else ratio >= BARS[name]
