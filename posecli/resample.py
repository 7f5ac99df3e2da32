"""From a source's own times, however uneven, to a uniform grid and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.sparse import csr_array

Array = NDArray[np.float64]


def uniform_times(first: float, last: float, rate: float) -> Array:
    """Evenly spaced times (G,) from `first` to `last` (seconds), both included, as near to `rate` (Hz) as fits."""
    steps = max(1, round((last - first) * rate)) if last > first else 0
    return np.linspace(first, last, steps + 1)


def to_grid(times: Array, points: NDArray[np.floating], grid: Array) -> Array:
    """Points (T, ...) at increasing `times` → (G, ...) at the evenly spaced times `grid`, held beyond the ends.

    Where the source is slower, straight lines between its samples. Where it is faster, the value at each grid
    time of a line fitted to the samples under a tent two grid steps wide: an average that keeps no aliases and
    leaves straight motion as it is, wherever the samples fall under the tent.
    """
    out = linear(times, points, grid)
    if len(grid) < 2 or len(times) < 3:
        return out
    spacing = grid[1] - grid[0]
    first = np.searchsorted(times, grid - spacing, side="right")
    after = np.searchsorted(times, grid + spacing, side="left")
    # At least three samples, on both sides of the grid time: no fit reaches out into a gap.
    many = after - first >= 3
    many[many] = (times[first[many]] <= grid[many]) & (grid[many] <= times[after[many] - 1])
    if not many.any():
        return out
    first, count = first[many], (after - first)[many]
    row = np.repeat(np.arange(len(count)), count)
    column = np.arange(len(row)) + np.repeat(first - np.cumsum(count) + count, count)
    offset = times[column] - grid[many][row]
    tent = 1 - np.abs(offset) / spacing
    total = np.bincount(row, tent)
    mean = np.bincount(row, tent * offset) / total
    centred = offset - mean[row]
    spread = np.bincount(row, tent * centred**2) / total
    weight = tent / total[row] * (1 - (mean / spread)[row] * centred)
    fit = csr_array((weight, (row, column)), shape=(len(count), len(times)))
    out[many] = (fit @ points.reshape(len(times), -1)).reshape(-1, *points.shape[1:])
    return out


def linear(times: Array, points: NDArray[np.floating], at: Array) -> Array:
    """Straight lines through points (T, ...) at increasing `times` → (A, ...), held beyond the ends."""
    if len(times) == 1:
        return np.repeat(np.asarray(points, dtype=np.float64), len(at), axis=0)
    after = np.clip(np.searchsorted(times, at, side="right"), 1, len(times) - 1)
    part = np.clip((at - times[after - 1]) / (times[after] - times[after - 1]), 0, 1)
    part = part.reshape(-1, *[1] * (points.ndim - 1))
    return points[after - 1] * (1 - part) + points[after] * part


def spline(grid: Array, points: NDArray[np.floating], at: Array) -> Array:
    """Cubic splines through points (G, ...) at uniform times → (A, ...), held beyond the ends; straight lines
    where fewer than four points leave a cubic undetermined."""
    if len(grid) < 4:
        return linear(grid, points, at)
    return make_interp_spline(grid, points, k=3)(np.clip(at, grid[0], grid[-1]))
