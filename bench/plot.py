"""The picture of the table: python -m bench.plot draws docs/performance.svg from bench/results.json."""

import json
from html import escape
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"
PICTURE = Path(__file__).parent.parent / "docs" / "performance.svg"

PANELS = {
    "First 50 free appointments of one provider, with the provider's name": {
        "read_pgbench_rows": "pgbench, as rows",
        "read_pgbench": "pgbench, our statement",
        "read_ours": "Holdfast",
        "read_plain_same_sql": "plain Starlette, our statement",
        "read_plain": "plain Starlette, json_agg",
        "read_mercurius": "Mercurius with JIT",
        "read_postgraphile": "PostGraphile 5",
        "read_ordinary": "Holdfast, COMPILE=off",
        "read_idiomatic": "Strawberry, ORM, data loader",
    },
    "Reserve": {
        "reserve_pgbench": "pgbench, our statement",
        "reserve_ours": "Holdfast",
        "reserve_ordinary": "Holdfast, COMPILE=off",
    },
}
OURS = ("read_ours", "reserve_ours")
WIDTH, LABELS, VALUES = 800, 240, 80
BAR, GAP, TITLE, MARGIN = 20, 8, 44, 16
# In the middle between black and white, so that they are read on either.
WORDS, BARS, ACCENT = "#737d88", "#9aa4af", "#2f81f7"
FONT = "-apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"


def picture(results: dict[str, Any], layout: str = "shared") -> str:
    """Draw a panel of bars for the read, and one for the write; the fastest first."""
    runs, parts, y = results["layouts"][layout], [], MARGIN
    for title, names in PANELS.items():
        measured = {name: runs[name]["rps"] for name in names if name in runs}
        if not measured:
            continue
        parts.append(_text(0, y + 16, f"{title}: requests per second", "font-weight='600'"))
        y += TITLE - MARGIN
        for name in sorted(measured, key=lambda each: -measured[each]):
            parts.append(_bar(y, names[name], measured[name] / max(measured.values()), measured[name], name in OURS))
            y += BAR + GAP
        y += MARGIN
    parts.append(_text(0, y + 8, _told(results), "font-size='12'"))
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y + MARGIN}' width='{WIDTH}' height='{y + MARGIN}'"
    style = f"font-family=\"{FONT}\" font-size='14' fill='{WORDS}'"
    return "\n".join(
        [f"{head} role='img' {style}>", "<title>Requests per second, side by side</title>", *parts, "</svg>"]
    )


def _bar(y: int, label: str, share: float, rps: float, is_ours: bool) -> str:
    middle, length = y + BAR - 5, max(1.0, share * (WIDTH - LABELS - VALUES))
    weight, colour = ("font-weight='600'", ACCENT) if is_ours else ("", BARS)
    return "\n".join(
        [
            _text(LABELS - 10, middle, label, f"text-anchor='end' {weight}"),
            f"<rect x='{LABELS}' y='{y}' width='{length:.1f}' height='{BAR}' rx='2' fill='{colour}'/>",
            _text(LABELS + length + 8, middle, f"{rps:,.0f}", weight),
        ]
    )


def _text(x: float, y: float, words: str, more: str) -> str:
    return f"<text x='{x:.1f}' y='{y}' {more}>{escape(words)}</text>"


def _told(results: dict[str, Any]) -> str:
    machine, length = results["machine"], results["length"]
    return (
        f"{machine['cores']} cores for database, 2 workers and load generator; 32 connections; "
        f"{results['appointments']:,} appointments; median of {length['rounds']} x {length['seconds']:g} s; "
        f"PostgreSQL {machine['postgres']}"
    )


def main() -> None:
    PICTURE.write_text(picture(json.loads(RESULTS.read_text())) + "\n")


if __name__ == "__main__":
    main()
