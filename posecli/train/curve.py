"""The learning curve of a run, as a picture beside its log."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from posecli.files import atomic_write

_LINES = (
    ("mpjpe_mm", "MPJPE, 17 joints"),
    ("p_mpjpe_mm", "PA-MPJPE, 17 joints"),
    ("limbs_p_mpjpe_mm", "PA-MPJPE, 12 limb joints"),
)


def plot_curve(log: Path, picture: Path) -> None:
    """Draw the validation errors of `log.csv` over the steps into a PNG; dashed are those on the paired set."""
    with log.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)  # drawn in memory: no window system is asked for
    axes = figure.add_subplot()
    for colour, (key, label) in enumerate(_LINES):
        for prefix, style, seen in (("", "-", ""), ("paired_", "--", ", paired set")):
            if rows and f"{prefix}{key}" in rows[0]:
                errors = [float(row[f"{prefix}{key}"]) for row in rows]
                axes.plot(steps, errors, style, color=f"C{colour}", marker=".", label=label + seen)
    axes.set_xlabel("step")
    axes.set_ylabel("mm on validation subjects")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with atomic_write(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
