"""A measured table as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from posecli.bench.h36m import H36MResult
from posecli.bench.plots import check_ending
from posecli.bench.scores import HISTOGRAM_BINS, HISTOGRAM_MM
from posecli.bench.tables import TITLES, counterpart
from posecli.datasets.h36m import SHORT
from posecli.files import atomic_write

_OURS, _THEIRS = "#3b6fb6", "#b0b0b0"


def plot_h36m(result: H36MResult, path: Path) -> None:
    """P1 and P2 by action, beside the published row where there is one, and how errors of joints are spread."""
    check_ending(path)
    figure = Figure(figsize=(13, 9), layout="constrained")
    FigureCanvasAgg(figure)  # drawn in memory: no window system is asked for
    for k, (measure, title) in enumerate(TITLES.items()):
        axes = figure.add_subplot(3, 1, k + 1)
        printed = counterpart(result, measure)
        series = [] if printed is None else [(f"{printed.label}, published", _THEIRS, printed.actions)]
        series.append((f"{result.method}, measured", _OURS, tuple(result.row(measure))))
        place, width = np.arange(len(SHORT)), 0.8 / len(series)
        for number, (label, colour, values) in enumerate(series):
            at = place + (number - (len(series) - 1) / 2) * width
            bars = axes.bar(at, np.nan_to_num(np.array(values)), width, label=label, color=colour)
            axes.bar_label(bars, fmt="%.0f", fontsize=8)
        axes.set_xticks(place, list(SHORT))
        axes.set_title(f"{title}, mean {result.mean(measure):.1f} mm")
        axes.set_ylabel("mm")
        axes.margins(y=0.25)  # room for the legend
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="upper right", ncols=2)
    axes = figure.add_subplot(3, 1, 3)
    share = 100 * result.errors / max(int(result.errors.sum()), 1)
    edges = HISTOGRAM_MM * np.arange(HISTOGRAM_BINS)
    axes.bar(edges, share, HISTOGRAM_MM, align="edge", color=_OURS, edgecolor="w", lw=0.5)
    axes.set_title("errors of single joints, mean hypothesis (the last bar holds all beyond)")
    axes.set_xlabel("mm")
    axes.set_ylabel("% of joints")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.suptitle(
        f"Human3.6M, {result.method}, {result.keypoints} keypoints, protocol {result.protocol}, {result.aggregation}"
    )
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120)
