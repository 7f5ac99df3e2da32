"""The table of `posecli bench refine`."""

from __future__ import annotations

from posecli.bench.refined import AS_LIFTED, RefineResult, Row
from posecli.bench.report import Table

_COLUMNS = (
    ("MPJPE (mm)", "mpjpe_mm", 1),
    ("P-MPJPE (mm)", "p_mpjpe_mm", 1),
    ("velocity error (mm/s)", "velocity_mm_s", 0),
    ("accel. error (mm/s²)", "acceleration_mm_s2", 0),
)


def table(result: RefineResult) -> Table:
    """A row per lifter and refiner; beside each error its change."""
    headings = ("lifter", "refiner", "fitted to", *(c[0] for c in _COLUMNS), "jitter")
    return Table(headings, tuple(_cells(row) for row in result.rows))


def _cells(row: Row) -> tuple[str, ...]:
    cells = []
    for _, key, decimals in _COLUMNS:
        value = f"{getattr(row.errors, key):.{decimals}f}"
        cells.append(value if row.refiner == AS_LIFTED else f"{value} ({row.change[key]:+.1f} %)")
    return row.lifter, row.refiner, row.base or "–", *cells, f"{row.errors.jitter:.2f}"
