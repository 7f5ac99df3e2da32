"""Error measures of 3D poses, by the names papers use. Same unit out as in; float64 inside.

Predictions and truth are (..., J, 3), or (..., T, J, 3) where time matters. Batched: no loop over frames.
Root-centre both first where that is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Poses = NDArray[np.floating]


PCK_MM = 150.0
AUC_MM = tuple(5.0 * k for k in range(31))
"""Thresholds of MPI-INF-3DHP: 0, 5 … 150 mm."""


def joint_errors(predicted: Poses, truth: Poses) -> Array:
    """Distance of every joint, (..., J)."""
    return np.linalg.norm(_f64(predicted) - _f64(truth), axis=-1)


def mpjpe(predicted: Poses, truth: Poses) -> Array:
    """Protocol 1: mean distance of the joints, per frame (...,)."""
    return joint_errors(predicted, truth).mean(axis=-1)


def procrustes_align(predicted: Poses, truth: Poses) -> Array:
    """`predicted` after the similarity (scale, rotation, translation) that brings each frame nearest to `truth`.

    Rotations are proper: a mirrored pose stays wrong. Shapes (..., J, 3); a pose without extent is only moved.
    """
    p, g = _f64(predicted), _f64(truth)
    p_mean, g_mean = p.mean(axis=-2, keepdims=True), g.mean(axis=-2, keepdims=True)
    p0, g0 = p - p_mean, g - g_mean
    u, singular, vt = np.linalg.svd(np.swapaxes(p0, -1, -2) @ g0)
    sign = np.ones_like(singular)
    sign[..., -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[..., None, :]) @ vt
    extent = (p0**2).sum(axis=(-1, -2))
    scale = (singular * sign).sum(axis=-1) / np.where(extent > 0, extent, 1.0)
    return scale[..., None, None] * (p0 @ rotation) + g_mean


def p_mpjpe(predicted: Poses, truth: Poses) -> Array:
    """Protocol 2 (PA-MPJPE): `mpjpe` after `procrustes_align`, per frame (...,)."""
    return mpjpe(procrustes_align(predicted, truth), truth)


def n_mpjpe(predicted: Poses, truth: Poses) -> Array:
    """`mpjpe` after the scale of each frame that is best in least squares, <g, p> / <p, p>, per frame (...,)."""
    p, g = _f64(predicted), _f64(truth)
    extent = (p**2).sum(axis=(-1, -2), keepdims=True)
    return mpjpe(p * ((p * g).sum(axis=(-1, -2), keepdims=True) / np.where(extent > 0, extent, 1.0)), g)


def mpjve(predicted: Poses, truth: Poses) -> Array:
    """Velocity error: `mpjpe` of the differences from frame to frame, per step (..., T - 1), unit per frame.

    Times the frame rate it is a speed. Steps lie inside the clip, never across two (as the papers' code has it).
    """
    return mpjpe(np.diff(_f64(predicted), axis=-3), np.diff(_f64(truth), axis=-3))


def accelerations(poses: Poses, fps: float) -> Array:
    """Second differences in time (..., T - 2, J, 3), unit per s²."""
    return np.diff(_f64(poses), n=2, axis=-3) * fps**2


def acceleration_error(predicted: Poses, truth: Poses, fps: float) -> Array:
    """Mean distance of the joints' accelerations, per inner frame (..., T - 2), unit per s²."""
    return mpjpe(accelerations(predicted, fps), accelerations(truth, fps))


def mean_acceleration(poses: Poses, fps: float) -> Array:
    """Mean size of the joints' accelerations, per inner frame (..., T - 2), unit per s². Prediction's over
    truth's tells jitter."""
    return np.linalg.norm(accelerations(poses, fps), axis=-1).mean(axis=-1)


def bone_lengths(poses: Poses, bones: Sequence[tuple[int, int]]) -> Array:
    """Length of every bone (one end, other end), (..., bones)."""
    ends = np.asarray(bones)
    return joint_errors(_f64(poses)[..., ends[:, 0], :], _f64(poses)[..., ends[:, 1], :])


def bone_drift(poses: Poses, bones: Sequence[tuple[int, int]]) -> Array:
    """Spread over time (standard deviation) of every bone's length relative to its mean, (..., bones); 0 is rigid."""
    lengths = bone_lengths(poses, bones)
    mean = lengths.mean(axis=-2)
    return lengths.std(axis=-2) / np.where(mean > 0, mean, 1.0)


def pck(errors: NDArray[np.floating], threshold: float = PCK_MM) -> float:
    """Percentage of joint errors strictly below `threshold` (same unit), as MPI-INF-3DHP counts."""
    return float(100.0 * (_f64(errors) < threshold).mean())


def auc(errors: NDArray[np.floating], thresholds: Sequence[float] = AUC_MM) -> float:
    """Mean of `pck` over the thresholds, percent."""
    return float(np.mean([pck(errors, t) for t in thresholds]))


def _f64(poses: Poses) -> Array:
    return np.asarray(poses, dtype=np.float64)
