"""Stated against observed uncertainty, as a picture beside the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from posecli.files import atomic_write


def plot_reliability(coverage: dict[str, Any], picture: Path) -> None:
    """Draw what `posecli.train.calibrate.coverage` measured into a PNG: on the diagonal, intervals are as wide as
    they should be; above it they are too wide, below too narrow."""
    figure = Figure(figsize=(8.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)  # drawn in memory: no window system is asked for
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, title in ((left, "one", "one hypothesis"), (right, "several", "several hypotheses")):
        axes.fill_between([0, 100], [-5, 95], [5, 105], color="0.9", label="within 5 points")
        axes.plot([0, 100], [0, 100], color="0.5", linewidth=1)
        for axis, observed in coverage[key].items():
            axes.plot(coverage["levels"], observed, marker=".", label=axis)
        axes.set(title=title, xlabel="stated, %", xlim=(0, 100), ylim=(0, 100), aspect="equal")
        axes.grid(alpha=0.3)
    left.set_ylabel("of the truth found inside, %")
    left.legend(frameon=False, loc="upper left")
    with atomic_write(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
