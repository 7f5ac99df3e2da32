"""A low-pass filter without delay, for motion on a uniform grid.

Detectors tremble from frame to frame and lifters pass it on; people do not move that fast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded


def low_pass(points: NDArray[np.floating], rate: float, cutoff: float | None) -> NDArray[np.float64]:
    """Points (G, ...) at `rate` Hz → the same without what moves faster than `cutoff` Hz.

    Minimises Σ |y - x|² + λ Σ |second difference of y|² (Whittaker 1923; Eilers 2003). Inside a clip it answers
    a sine of f Hz with the amplitude `response(f)` and no delay: the shape of the fourth-order zero-phase
    Butterworth filter that is usual in biomechanics. Unlike that it needs no guess of what came before the
    first frame, takes clips of any length, and keeps straight motion, hence also rest, to the ends.
    cutoff: where half of the amplitude is left. None, or half the rate and more: nothing is filtered.
    """
    values = np.asarray(points, dtype=np.float64)
    count = len(values)
    if cutoff is None or cutoff >= rate / 2 or count < 3:
        return values
    # Lower band of D'D, with D the second differences (1, -2, 1) of `count` values.
    bending = np.zeros((3, count))
    bending[0, :-2] += 1
    bending[0, 1:-1] += 4
    bending[0, 2:] += 1
    bending[1, :-2] -= 2
    bending[1, 1:-1] -= 2
    bending[2, :-2] += 1
    band = bending / (2 * np.sin(np.pi * cutoff / rate)) ** 4
    band[0] += 1
    return solveh_banded(band, values.reshape(count, -1), lower=True).reshape(values.shape)


def response(frequency: float, rate: float, cutoff: float) -> float:
    """Amplitude that `low_pass` leaves of a sine of `frequency` Hz, far from the ends of a clip."""
    return float(1 / (1 + (np.sin(np.pi * frequency / rate) / np.sin(np.pi * cutoff / rate)) ** 4))
