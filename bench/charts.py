"""Draws the figures as SVG: one file a question, bars side by side, readable on light and dark pages."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fairness import FLOODS, fairness_medians

WIDTH, LABEL_WIDTH, BAR_HEIGHT, GAP, GROUP_GAP, TOP = 820, 330, 16, 4, 14, 46
VALUE_WIDTH = 90
COLOURS = {"postgres": "#8a8f98", "pgbouncer": "#d08a3c", "portcullis": "#2f7f86"}
INK = "#6b7280"


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
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
            f'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="{html.escape(title, quote=True)}">')
    return "\n".join([head, text(10, 24, title, size=15, weight="bold"), *parts, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, size: int = 12, weight: str = "normal") -> str:
    """One line of text."""
    return (f'<text x="{x:.1f}" y="{y}" fill="{INK}" font-size="{size}" font-weight="{weight}">'
            f"{html.escape(words)}</text>")
