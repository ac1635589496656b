"""Draws the figures as SVG: one file a question, bars side by side, readable on light and dark pages."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fairness import FLOODS, fairness_medians
from parties import PARTIES, REST, limit_costs, limit_ratios
from workloads import LIMIT

WIDTH, LABEL_WIDTH, BAR_HEIGHT, GAP, GROUP_GAP, TOP = 820, 330, 16, 4, 14, 46
VALUE_WIDTH = 90
COLOURS = {"postgres": "#8a8f98", "pgbouncer": "#d08a3c", "portcullis": "#2f7f86"}
INK = "#6b7280"
# Whose time: those of the other charts, and lighter what the kernel does for the proxy. Nobody's is left blank.
PARTY_COLOURS = dict(zip(PARTIES, ("#8a8f98", "#6c7fb0", COLOURS["portcullis"], "#63adb3"))) | {REST: "none"}
# A figure fits in.
FIGURE_WIDTH = 26
LEGEND_WIDTH = 154


@dataclass(frozen=True)
class Bar:
    """One bar: whose, what it says, how long."""

    target: str
    label: str
    value: float


def draw_all(report: dict, folder: Path) -> list[Path]:
    """Writes a chart for each kind of figure that the report holds."""
    charts = {
        "throughput": ("Transactions a second (longer is better)", workload_bars(report, "tps"), 0),
        "cpu": ("Proxy CPU per transaction in µs (shorter is better)", workload_bars(report, "cpu_us"), 1),
        "p50": ("Latency in ms, median (shorter is better)", workload_bars(report, "p50_ms"), 2),
        "p99": ("Latency in ms, 99th percentile (shorter is better)", workload_bars(report, "p99_ms"), 2),
        "memory": ("Memory per idle client in KiB (shorter is better)", memory_bars(report), 1),
        "fairness": ("A quiet tenant's 99th percentile in ms (shorter is better)", fairness_bars(report), 2),
    }
    folder.mkdir(exist_ok=True)
    written = []
    for name, (title, groups, digits) in charts.items():
        if groups:
            path = folder / f"{name}.svg"
            path.write_text(draw(title, groups, digits))
            written.append(path)
    costs = limit_costs(report["workloads"].get(LIMIT, {}).get("runs", {}))
    if costs:
        path = folder / "limit.svg"
        path.write_text(draw_limit(costs))
        written.append(path)
    return written


def workload_bars(report: dict, figure: str) -> list[tuple[str, list[Bar]]]:
    """For each workload the median of one figure of every case that has it."""
    groups = []
    for workload in report["workloads"].values():
        bars = []
        for label, runs in workload["runs"].items():
            values = [run[figure] for run in runs if run["error"] is None and run[figure] is not None]
            if values:
                bars.append(Bar(label.split(",")[0], label, median(values)))
        if bars:
            groups.append((workload["title"], bars))
    return groups


def memory_bars(report: dict) -> list[tuple[str, list[Bar]]]:
    """Memory after login and after the first query."""
    kinds = (("kib_before_first_query", "after login"), ("kib_after_first_query", "after its first query"))
    return [(title, [Bar(target, target, figures[key]) for target, figures in report["memory"].items()])
            for key, title in kinds if report["memory"]]


def fairness_bars(report: dict) -> list[tuple[str, list[Bar]]]:
    """A quiet tenant alone, and beside one that floods, in each way."""
    if not report.get("fairness"):
        return []
    return [(f"{FLOODS[kind].title}: {when}", [Bar(label.split(",")[0], label, figures[when]["p99_ms"])
                                              for label, figures in ways.items()])
            for kind, ways in fairness_medians(report["fairness"]).items() for when in ("alone", "beside")]


def draw(title: str, groups: list[tuple[str, list[Bar]]], digits: int) -> str:
    """One chart as an SVG document."""
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    parts, y = [], TOP
    for name, bars in groups:
        # Each group by itself: a page of rows takes a hundred times what one row takes.
        longest = max(bar.value for bar in bars) or 1.0
        parts.append(text(10, y + 12, name, weight="bold"))
        y += BAR_HEIGHT + GAP
        for bar in bars:
            length = max(1.0, bar.value / longest * room)
            colour = COLOURS.get(bar.target, INK)
            parts.append(text(22, y + 12, bar.label))
            parts.append(f'<rect x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" rx="2" fill="{colour}"/>')
            parts.append(text(LABEL_WIDTH + length + 6, y + 12, f"{bar.value:,.{digits}f}"))
            y += BAR_HEIGHT + GAP
        y += GROUP_GAP
    return document(title, parts, y)


def draw_limit(costs: dict[str, dict[str, float]]) -> str:
    """Where the cores' time of a transaction goes, with and without the proxy: bars of one segment a party."""
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    shares = {title: {name: figures[name] for name in (*PARTIES, REST) if name in figures} for title, figures in costs.items()}
    longest = max(sum(each.values()) for each in shares.values()) or 1.0
    parts, y = [], TOP
    for title, each in shares.items():
        parts.append(text(22, y + 12, f"{title}, {costs[title]['tps']:,.0f} a second"))
        x = float(LABEL_WIDTH)
        for name, value in each.items():
            width = value / longest * room
            parts.append(segment(x, y, width, name))
            if width >= FIGURE_WIDTH:
                parts.append(text(x + 4, y + 12, f"{value:.1f}", size=11, colour=INK if name == REST else "#ffffff"))
            x += width
        parts.append(text(x + 6, y + 12, f"{sum(each.values()):.1f}"))
        y += BAR_HEIGHT + GAP
    y += GROUP_GAP
    for place, name in enumerate(PARTY_COLOURS):
        x = 22 + place * LEGEND_WIDTH
        parts += [segment(x, y, 12, name), text(x + 17, y + 12, name)]
    ratios = "".join(f"; {title} {ratio:.2f} of the limit" for title, ratio in limit_ratios(costs).items())
    return document(f"The cores' time of a transaction in µs{ratios}", parts, y + BAR_HEIGHT + GROUP_GAP)


def segment(x: float, y: float, width: float, party: str) -> str:
    """A party's piece of a bar."""
    stroke = f' stroke="{INK}" stroke-width="0.5"' if party == REST else ""
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{PARTY_COLOURS[party]}"{stroke}/>'


def document(title: str, parts: list[str], height: float) -> str:
    """The whole of a chart."""
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="{html.escape(title, quote=True)}">')
    return "\n".join([head, text(10, 24, title, size=15, weight="bold"), *parts, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, size: int = 12, weight: str = "normal", colour: str = INK) -> str:
    """One line of text."""
    return (f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-size="{size}" font-weight="{weight}">'
            f"{html.escape(words)}</text>")
