"""Measured tables as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from posecli.bench.plots import check_ending
from posecli.bench.published import counterpart
from posecli.bench.result import UNITS, BenchResult
from posecli.bench.scores import HISTOGRAM_BINS, HISTOGRAM_MM
from posecli.files import atomic_write

_OURS, _THEIRS = "#3b6fb6", "#b0b0b0"
_LINES = ("#3b6fb6", "#c8553d", "#4f9d69", "#8d6cab", "#c79a2d", "#5aa9b8", "#7f7f7f")


def plot_result(result: BenchResult, path: Path) -> None:
    """Each printed measure by column, beside the published row where there is one, and how errors of joints are
    spread."""
    check_ending(path)
    printed = result.layout.printed
    figure = _figure(13, 3 * (len(printed) + 1))
    for k, (measure, title) in enumerate(printed.items()):
        axes = figure.add_subplot(len(printed) + 1, 1, k + 1)
        row = counterpart(result, measure)
        series = [(f"{result.method}, measured", _OURS, tuple(result.row(measure)))]
        if row is not None and row.values:
            series.insert(0, (f"{row.label}, published", _THEIRS, row.values))
        place, width = np.arange(len(result.layout.short)), 0.8 / len(series)
        for number, (label, colour, values) in enumerate(series):
            at = place + (number - (len(series) - 1) / 2) * width
            bars = axes.bar(at, np.nan_to_num(np.array(values)), width, label=label, color=colour)
            axes.bar_label(bars, fmt="%.0f", fontsize=8)
        if row is not None and row.printed_mean is not None and not row.values:
            axes.axhline(row.printed_mean, color=_THEIRS, label=f"{row.label}, published mean")
        axes.set_xticks(place, list(result.layout.short))
        axes.set_title(f"{title}, mean {result.mean(measure):.1f} {UNITS[measure]}")
        axes.set_ylabel(UNITS[measure])
        axes.margins(y=0.25)  # room for the legend
        _grid(axes)
        axes.legend(frameon=False, loc="upper right", ncols=2)
    _histogram(figure.add_subplot(len(printed) + 1, 1, len(printed) + 1), [result])
    figure.suptitle(_about(result) + f", {result.aggregation}")
    _save(figure, path)


def plot_sweep(results: Sequence[BenchResult], path: Path) -> None:
    """Each printed measure against hypotheses, a line for every number of steps and way to make one pose, and against
    steps; and how errors of joints are spread with the most of both."""
    check_ending(path)
    first = results[0]
    printed = first.layout.printed
    figure = _figure(13, 3.2 * (len(printed) + 1))
    grid = figure.add_gridspec(len(printed) + 1, 2)
    for k, (measure, title) in enumerate(printed.items()):
        for column, (along, other, word, letter) in enumerate(
            (("hypotheses", "steps", "hypotheses", "W"), ("steps", "hypotheses", "denoising steps", "H"))
        ):
            axes = figure.add_subplot(grid[k, column])
            _against(axes, results, measure, along, other, letter)
            axes.set_title(f"{title} against {word}")
            axes.set_xlabel(word)
            axes.set_ylabel(UNITS[measure])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.axes[0].legend(handles, labels, frameon=False, fontsize=8, ncols=2)
    if len(printed):
        figure.axes[1].legend(frameon=False, fontsize=8, ncols=2)
    ends = [results[0], results[-1]] if len(results) > 1 else [results[0]]
    _histogram(figure.add_subplot(grid[len(printed), :]), ends)
    figure.suptitle(_about(first))
    _save(figure, path)


def _against(
    axes: Any, results: Sequence[BenchResult], measure: str, along: str, other: str, letter: str
) -> None:
    """Lines of the mean over one setting, for every value of the other and every aggregation."""
    marks = {"P-Agg": ("o", "-"), "J-Agg": ("s", "-"), "P-Best": ("^", ":"), "J-Best": ("v", ":")}
    places = sorted({int(r.settings[along]) for r in results})
    for number, value in enumerate(sorted({int(r.settings[other]) for r in results})):
        row = [r for r in results if r.settings[other] == value]
        for name in results[0].aggregations:
            marker, style = marks[name]
            points = sorted((int(r.settings[along]), r.mean(measure, name)) for r in row)
            axes.plot(
                *zip(*points, strict=True), marker=marker, ls=style, ms=5,
                color=_LINES[number % len(_LINES)], label=f"{letter}={value}, {name}",
            )  # fmt: skip
    said = False
    for r in results:
        row_of_paper = counterpart(r, measure)
        if row_of_paper is not None:
            label = None if said else "published"
            axes.plot(r.settings[along], row_of_paper.mean, "x", color="k", ms=8, label=label)
            said = True
    axes.set_xscale("log")
    axes.set_xticks(places, [str(p) for p in places])
    axes.minorticks_off()
    _grid(axes)


def _histogram(axes: Any, results: Sequence[BenchResult]) -> None:
    """Shares of joints by error of the mean hypothesis, which takes nothing from the truth."""
    edges = HISTOGRAM_MM * np.arange(HISTOGRAM_BINS)
    for number, result in enumerate(results):
        share = 100 * result.errors / max(int(result.errors.sum()), 1)
        used = result.settings
        label = f"H={used.get('hypotheses')}, W={used.get('steps')}"
        if number == 0:
            axes.bar(
                edges, share, HISTOGRAM_MM, align="edge", color=_OURS, edgecolor="w", lw=0.5, label=label
            )
        else:
            axes.stairs(share, [*edges, edges[-1] + HISTOGRAM_MM], color=_LINES[number], lw=1.5, label=label)
    axes.set_title("errors of single joints, mean hypothesis (the last bar holds all beyond)")
    if not any(result.errors.any() for result in results):
        axes.text(0.5, 0.5, "not known: no cameras", ha="center", transform=axes.transAxes)
    axes.set_xlabel("mm")
    axes.set_ylabel("% of joints")
    axes.legend(frameon=False)
    _grid(axes)


def _about(result: BenchResult) -> str:
    truth = result.settings.get("truth")
    kind = f", truth {truth}" if truth else ""
    return f"{result.layout.title}, {result.method}, {result.keypoints} keypoints{kind}, protocol {result.protocol}"


def _grid(axes: Any) -> None:
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # drawn in memory: no window system is asked for
    return figure


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120)
