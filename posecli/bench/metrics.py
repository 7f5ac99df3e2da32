"""Error measures of 3D poses, by the names papers use. Same unit out as in; float64 inside.

Predictions and truth are (..., J, 3). Batched: no loop over frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Poses = NDArray[np.floating]


def mpjpe(predicted: Poses, truth: Poses) -> Array:
    """Protocol 1: mean distance of the joints, per frame (...,). Root-centre both first where that is meant."""
    return np.linalg.norm(_f64(predicted) - _f64(truth), axis=-1).mean(axis=-1)


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


def _f64(poses: Poses) -> Array:
    return np.asarray(poses, dtype=np.float64)
