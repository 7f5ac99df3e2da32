"""Results as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from posecli.bench.clips import VideoResult
from posecli.bench.open import OpenResult
from posecli.bench.scores import HISTOGRAM_BINS, HISTOGRAM_MM, LEVELS, Coverage
from posecli.errors import UsageError
from posecli.files import atomic_write

ENDINGS = (".png", ".svg", ".pdf")
_OURS, _ALIGNED, _THEIRS = "#3b6fb6", "#9dbbe0", "#b0b0b0"


def check_ending(path: Path) -> None:
    """Raises UsageError where `path` does not end like a picture that can be written."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"a plot must end in {', '.join(ENDINGS)}, not {path.name!r}")


def plot_open(result: OpenResult, path: Path) -> None:
    """Errors by action and viewpoint, how errors are spread, and what the stated spread is worth."""
    figure = _figure(12, 8.5)
    above = figure.add_gridspec(2, 1)[0].subgridspec(1, 2, width_ratios=(2, 1))
    below = figure.add_gridspec(2, 1)[1].subgridspec(1, 2, width_ratios=(2, 1))
    first = figure.add_subplot(above[0])
    for axes, label in ((first, "action"), (figure.add_subplot(above[1], sharey=first), "viewpoint")):
        groups = result.by(label)
        _bars(
            axes, list(groups),
            (("MPJPE", _OURS, [s.mpjpe_mm for s in groups.values()]),
             ("P-MPJPE", _ALIGNED, [s.p_mpjpe_mm for s in groups.values()])),
        )  # fmt: skip
        axes.set_title(f"by {label}")
        axes.axhline(result.overall.mpjpe_mm, color="k", lw=0.8, ls=":", label="MPJPE, all")
    first.set_ylabel("mm")
    first.legend(frameon=False)
    _histogram(figure.add_subplot(below[0]), result)
    _reliability(figure.add_subplot(below[1]), result.coverage)
    made, about = result.made_by, result.benchmark
    figure.suptitle(
        f"{about.get('name', 'benchmark')}, {about.get('keypoints', '')} keypoints: {made.get('weights', '')}, "
        f"MPJPE {result.overall.mpjpe_mm:.1f} mm, P-MPJPE {result.overall.p_mpjpe_mm:.1f} mm"
    )
    _save(figure, path)


def plot_video(result: VideoResult, path: Path) -> None:
    """Errors of every clip beside MediaPipe's, and what the stated spread is worth."""
    figure = _figure(13, 4.6)
    names = [c.name for c in result.clips]
    pairs = [(c.ours, c.mediapipe) for c in result.clips]
    for place, (key, title) in enumerate(
        (("pa_mpjpe_mm", "PA-MPJPE, 12 limb joints"), ("root_mpjpe_mm", "root-relative MPJPE"))
    ):
        axes = figure.add_subplot(1, 3, place + 1)
        _bars(
            axes, names,
            (("posecli", _OURS, [getattr(a, key) for a, _ in pairs]),
             ("MediaPipe world landmarks", _THEIRS, [getattr(b, key) for _, b in pairs])),
        )  # fmt: skip
        axes.set_title(title)
        axes.set_ylabel("mm")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    _reliability(figure.add_subplot(1, 3, 3), result.coverage)
    _save(figure, path)


def _bars(axes: Any, names: list[str], series: tuple[tuple[str, str, list[float]], ...]) -> None:
    place = np.arange(len(names))
    width = 0.8 / len(series)
    for k, (label, colour, values) in enumerate(series):
        bars = axes.bar(place + (k - (len(series) - 1) / 2) * width, values, width, label=label, color=colour)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks(
        place, names, rotation=25 if len(names) > 3 else 0, ha="right" if len(names) > 3 else "center"
    )
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _histogram(axes: Any, result: OpenResult) -> None:
    share = 100 * result.errors / max(int(result.errors.sum()), 1)
    edges = HISTOGRAM_MM * np.arange(HISTOGRAM_BINS)
    axes.bar(edges, share, HISTOGRAM_MM, align="edge", color=_OURS, edgecolor="w", lw=0.5)
    axes.axvline(150, color="k", lw=0.8, ls=":")
    axes.annotate("PCK: 150 mm", (155, axes.get_ylim()[1] * 0.9), fontsize=8)
    ticks = np.arange(0, HISTOGRAM_MM * HISTOGRAM_BINS, 50)
    axes.set_xticks(ticks, [*(f"{t:.0f}" for t in ticks[:-1]), f"≥ {ticks[-1]:.0f}"])
    axes.set_title("errors of single joints")
    axes.set_xlabel("mm")
    axes.set_ylabel("% of joints")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _reliability(axes: Any, coverage: Coverage | None) -> None:
    """Nominal against observed share; on the diagonal the stated spread is exact, above it too large."""
    axes.set_title("is the stated spread true?")
    axes.plot((0, 100), (0, 100), color="k", lw=0.8, ls=":", label="exact")
    if coverage is None:
        axes.text(50, 50, "these weights state no spread", ha="center")
    else:
        for name, axis, colour in (("image axes", "image", _OURS), ("depth", "depth", "#c8553d")):
            shares = 100 * np.array(coverage.curve(axis))
            axes.plot(100 * np.array(LEVELS), shares, marker=".", color=colour, label=name)
    axes.set_xlabel("interval stated to hold, %")
    axes.set_ylabel("of truth inside it, %")
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # drawn in memory: no window system is asked for
    return figure


def _save(figure: Figure, path: Path) -> None:
    check_ending(path)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120)
