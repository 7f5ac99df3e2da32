"""One pose from several hypotheses.

mean: their average (P-Agg), the papers' choice where nothing else is known, and ours.
reproject: of every joint, in every frame by itself, the hypothesis that is seen nearest to the 2D joint; the first of
    equals. That is J-Agg (JPMA) of D3DP (Shan et al., ICCV 2023), which DDHPose's tables use too. The papers project
    with the true camera and the true path of the root. Nobody has those for a video: here the camera is the assumed
    one, and the path is estimated from the mean of the hypotheses. An extension, then, and not the papers' measure.
    Joints that come from different hypotheses need not agree in the lengths of their bones, and the choice follows
    the detector's errors: on every eighth clip of the open benchmark (915 frames, ddhpose, 5 hypotheses, 5 steps)
    MPJPE / P-MPJPE were 70.4 / 53.4 mm and jitter 3.0, those of the mean 67.2 / 48.8 mm and 0.8.
none: the first hypothesis alone, which is what a run with one hypothesis and the same seed gives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posecli.camera import Pinhole, root_path
from posecli.skeleton import H36M17, LIMBS

Array = NDArray[np.float64]

AGGREGATES = ("mean", "reproject", "none")

_RAYS = Pinhole(1.0, (0.0, 0.0))
"""The camera whose pixels are x/z and y/z of the rays."""
_BUILT_JOINTS = 0.2
"""Weight, in the path of the root, of joints that are made from others: they are less exact."""


def aggregate(kind: str, poses: Array, flat: Array, times: Array) -> Array:
    """Hypotheses (G, H, 17, 3) → poses (G, 17, 3), metres, camera axes, relative to the root.

    kind: one of `AGGREGATES`. flat: (G, 17, 2), x/z and y/z of the rays through the 2D joints. times: (G,) seconds.
    """
    if kind == "none":
        return poses[:, 0]
    mean = poses.mean(axis=1)
    if kind == "mean" or poses.shape[1] == 1:
        return mean
    weights = np.full(flat.shape[:2], _BUILT_JOINTS)
    weights[:, list(LIMBS)] = 1.0
    return nearest_seen(poses, flat, root_path(mean, flat, weights, times, _RAYS))


def nearest_seen(poses: Array, flat: Array, roots: Array) -> Array:
    """Of every joint the hypothesis whose projection lies nearest to `flat` (G, 17, 2), with the root at `roots`
    (G, 3), metres. poses (G, H, 17, 3) → (G, 17, 3). What would lie behind the camera is not chosen."""
    placed = poses + roots[:, None, None]
    depth = placed[..., 2]
    before = depth > 1e-3
    seen = placed[..., :2] / np.where(before, depth, 1.0)[..., None]
    away = np.where(before, np.linalg.norm(seen - flat[:, None], axis=-1), np.inf)  # (G, H, 17)
    away[:, :, H36M17.root] = 0.0  # the same of all
    chosen = away.argmin(axis=1)
    return np.take_along_axis(poses, chosen[:, None, :, None], axis=1)[:, 0]
