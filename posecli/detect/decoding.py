"""Pose networks' answers → joints, in cells: heatmaps and SimCC's pair of vectors.

A peak lies between cells: the parabola through the logarithms of the largest value and its two neighbours, exact for
the Gaussians that these networks are trained with. mmpose stops at the cell for SimCC and moves a quarter of a cell for
MSRA: on average the same place, in steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.detect.heatmaps import Kind, to_probability

Floats = NDArray[np.floating[Any]]
_TINY = 1e-6
_NEAR = 0.03  # of a vector's length: where a softmax' mass must lie to count for the peak


def softmax(values: Floats, axes: int) -> NDArray[np.float32]:
    """Over the last `axes` axes together."""
    over = tuple(range(-axes, 0))
    raised = np.exp(values.astype(np.float32) - values.max(axis=over, keepdims=True))
    return raised / raised.sum(axis=over, keepdims=True)


def simcc_joints(x: Floats, y: Floats, kind: Kind) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Vectors (J, columns) and (J, rows) → cells (J, 2), column and row; scores (J,) in [0, 1], the smaller of the two
    peaks, as mmpose has it (Jiang et al., "RTMPose", 2023; Li et al., "SimCC", ECCV 2022)."""
    peaks = [_peaks(to_probability(v, kind)) for v in (x, y)]
    scores = np.minimum(peaks[0][1], peaks[1][1])
    return np.stack([peaks[0][0], peaks[1][0]], axis=1), np.clip(scores, 0, 1).astype(np.float32)


def grid_joints(grid: Floats, kind: Kind) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Heatmaps (J, rows, columns) → cells (J, 2), column and row; scores (J,) in [0, 1], their peaks."""
    p = to_probability(grid, kind)
    joints, _, columns = p.shape
    row, column = np.divmod(p.reshape(joints, -1).argmax(axis=1), columns)
    every = np.arange(joints)
    x, score = _peaks(p[every, row], column)
    y, _ = _peaks(p[every, :, column], row)
    return np.stack([x, y], axis=1), np.clip(score, 0, 1).astype(np.float32)


def concentration(vectors: Floats) -> NDArray[np.float32]:
    """Of vectors (J, N) that sum to one, the share within 3 % of their length about the peak: a score where the height
    of the peak is none, since it falls as the cells get finer."""
    n = vectors.shape[1]
    reach = max(1, round(_NEAR * n))
    apart = np.abs(np.arange(n) - vectors.argmax(axis=1)[:, None])
    return np.where(apart <= reach, vectors, 0).sum(axis=1).astype(np.float32)


def _peaks(
    p: NDArray[np.float32], at: NDArray[np.integer[Any]] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Vectors (J, N), and the cells (J,) of their peaks if known → places (J,) to a fraction of a cell, values (J,)."""
    every, n = np.arange(len(p)), p.shape[1]
    at = p.argmax(axis=1) if at is None else at
    place = at.astype(np.float64)
    inner = (at > 0) & (at < n - 1) & (p[every, at] > _TINY)
    j, k = every[inner], at[inner]
    left, top, right = (np.log(np.maximum(p[j, k + step], _TINY)).astype(np.float64) for step in (-1, 0, 1))
    bend = left - 2 * top + right
    place[inner] += np.where(bend < 0, (left - right) / np.where(bend < 0, 2 * bend, 1), 0).clip(-0.5, 0.5)
    return place, p[every, at]
