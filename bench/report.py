"""The report: the results as a person reads them."""

from typing import Any

from bench.ratios import AT_MOST, BARS, is_reached

COLUMNS = {
    "rps": ("req/s", ",.0f"),
    "p50_ms": ("p50 ms", ",.2f"),
    "p99_ms": ("p99 ms", ",.2f"),
    "server_us": ("server us", ",.0f"),
    "postgres_us": ("postgres us", ",.0f"),
    "generator_us": ("generator us", ",.1f"),
}


def table(results: dict[str, Any]) -> str:
    machine = results["machine"]
    cores, versions = f"{machine['cores']} cores", f"Python {machine['python']}, PostgreSQL {machine['postgres']}"
    lines = [f"{cores}, {versions}, {results['appointments']:,} appointments"]
    lines.append(
        f"medians of {results['length']['rounds']} rounds of {results['length']['seconds']:g} s; CPU is for each request"
    )
    for layout, runs in results["layouts"].items():
        lines += ["", f"{layout:24}" + "".join(f"{title:>14}" for title, _ in COLUMNS.values())]
        lines += [_run(name, run) for name, run in runs.items()]
    lines += ["", *(_ratio(name, ratio) for name, ratio in results["ratios"].items()), ""]
    lines += [
        f"a page of 10 of one provider among {size:>10} appointments: "
        f"first {page['first_ms']:.3f} ms, thousandth {page['thousandth_ms']:.3f} ms"
        for size, page in results["pages"].items()
    ]
    if bulk := results["bulk_seconds"]:
        lines.append(f"10,000 appointments: COPY {bulk['copy']:.3f} s, ours {bulk['ours']:.3f} s")
    return "\n".join(lines)


def _run(name: str, run: dict[str, Any]) -> str:
    return f"{name:24}" + "".join(f"{run[column]:>14{shown}}" for column, (_, shown) in COLUMNS.items())


def _ratio(name: str, ratio: float) -> str:
    if name not in BARS:
        return f"{name:24}{ratio:>10.3f}"
    wanted = f"{'at most' if name in AT_MOST else 'at least'} {BARS[name]:g}"
    return f"{name:24}{ratio:>10.3f}   {wanted:14}{'' if is_reached(name, ratio) else 'MISSED'}".rstrip()
