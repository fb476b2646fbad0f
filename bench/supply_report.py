"""The report of supply: its figures as tables in Markdown."""

from typing import Any


def table(results: dict[str, Any]) -> str:
    """Write all of it, with the ratio to what PostgreSQL alone can do."""
    machine, sizes = results["machine"], " + ".join(f"{size:,}" for size in results["providers"])
    versions = f"Python {machine['python']}, PostgreSQL {machine['postgres']}"
    lines = [
        f"{machine['cores']} cores, {versions}, {sizes} providers",
        f"medians of {results['length']['rounds']} rounds of {results['length']['seconds']:g} s",
        "",
        *_publication(results),
        "",
        *_requests(results["searches"]),
        "",
        *_requests(results["reservations"]),
        "",
        *_undisturbed(results["undisturbed"]),
    ]
    lines += ["", *(f"{name:40}{ratio:>8.3f}" for name, ratio in results["ratios"].items()), ""]
    runs = {**results["searches"], **results["reservations"]}
    lines += [f"{name}: {fault}" for name, run in runs.items() for fault in sorted(set(run["faults"]))]
    return "\n".join(lines)


def _publication(results: dict[str, Any]) -> list[str]:
    found = results["publication"]
    lines = _head("publishing", "ours", "beside", "ratio", "statements")
    rates = (f"{found['ours']:,} rows/s", f"COPY {found['copy']:,} rows/s", f"{found['ratio']:.2f}")
    lines.append(_row(f"{found['rows']:,} appointments from rules", *rates, str(found["statements"])))
    for name, run in results["republication"].items():
        changed = f"created {run['created']}, kept {run['kept']}, removed {run['removed']}, affected {run['affected']}"
        lines.append(_row(f"a week is set: {name}", f"{run['ms']:.0f} ms", changed, "", str(run["statements"])))
    return lines


def _requests(runs: dict[str, Any]) -> list[str]:
    lines = _head("requests", "req/s", "p99 ms", "pgbench, same SQL", "ratio", "statements", "database us", "rows read")
    for name, run in runs.items():
        limit = (f"{run['pgbench']:,.0f}", f"{run['ratio']:.2f}") if "pgbench" in run else ("", "")
        cost = (str(run["statements"]), f"{run['us']:,.0f}", f"{run['rows']:,}")
        lines.append(_row(name, f"{run['rps']:,.0f}", f"{run['p99_ms']:,.1f}", *limit, *cost))
    return lines


def _undisturbed(runs: dict[str, Any]) -> list[str]:
    lines = _head("reservations while", "req/s", "p50 ms", "p99 ms", "ratio of p99", "times", "waits seen")
    first = next(iter(runs.values()))["p99_ms"]
    for name, run in runs.items():
        waits = f"{run['looks_with_a_wait']} of {run['looks']}"
        ratio = f"{run['p99_ms'] / first:.2f}"
        told = (f"{run['rps']:,.0f}", f"{run['p50_ms']:.1f}", f"{run['p99_ms']:.1f}", ratio, str(run["times"]), waits)
        lines.append(_row(name, *told))
    return lines


def _head(*titles: str) -> list[str]:
    return [_row(*titles), _row("---", *("---:" for _ in titles[1:]))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
