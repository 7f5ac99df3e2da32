"""Filters over time alone: what a learned refiner has to beat. They know neither people nor lifters."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from posecli.smooth import low_pass

Array = NDArray[np.float64]
Filter = Callable[[NDArray[np.floating], float], Array]
"""(points (G, ...) on a uniform grid, its rate in Hz) → the same, filtered."""


def savitzky_golay(
    points: NDArray[np.floating], rate: float, *, window_s: float = 0.37, degree: int = 3
) -> Array:
    """Every frame by the middle of a polynomial fitted to the frames around it (Savitzky & Golay 1964).

    window_s: how long such a stretch is, in seconds (11 frames at 30 Hz); at the ends the polynomial of the last whole
    stretch. A clip too short for more than `degree` frames a stretch stays as it is.
    """
    values = np.asarray(points, dtype=np.float64)
    window = min(2 * int(window_s * rate / 2) + 1, len(values) - (len(values) + 1) % 2)
    if window <= degree:
        return values
    return savgol_filter(values, window, degree, axis=0)


def one_euro(
    points: NDArray[np.floating],
    rate: float,
    *,
    min_cutoff: float = 1.7,
    beta: float = 10.0,
    derivative_cutoff: float = 1.0,
) -> Array:
    """The 1€ filter (Casiez et al., CHI 2012): exponential smoothing that gives way to speed. Causal, so it lags.

    min_cutoff: Hz, at rest. beta: how many Hz a speed of one metre a second adds. derivative_cutoff: Hz, of the
    speed's own smoothing. Every coordinate by itself, as published. With the defaults, chosen for a lag and not fitted,
    what moves at 1 m/s is about 14 mm late.
    """
    values = np.asarray(points, dtype=np.float64)
    out = values.copy()
    speed = np.zeros_like(values[0]) if len(values) else values
    for k in range(1, len(values)):
        fresh = (values[k] - values[k - 1]) * rate
        speed = speed + _share(np.asarray(derivative_cutoff), rate) * (fresh - speed)
        share = _share(min_cutoff + beta * np.abs(speed), rate)
        out[k] = out[k - 1] + share * (values[k] - out[k - 1])
    return out


def _share(cutoff: Array, rate: float) -> Array:
    """Weight of a new sample in exponential smoothing with this cutoff (Hz)."""
    return 1 / (1 + rate / (2 * math.pi * cutoff))


FILTERS: dict[str, Filter] = {
    "savgol": savitzky_golay,
    "one-euro": one_euro,
    "lowpass": partial(low_pass, cutoff=5.0),
}
"""Name → filter with its usual settings."""
