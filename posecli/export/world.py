"""From the camera's frame to the y-up worlds that animation programs use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posecli.motion import Motion

Array = NDArray[np.float64]

Y_UP_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Camera (x right, y down, z forward) → x right, y up, z towards the camera: who faces the camera faces +z,
with the left side at +x. A rotation, determinant +1; anything else would mirror the person."""

SOLE_M = 0.08
"""Height of the ankle over the sole."""


def y_up_points(motion: Motion) -> Array:
    """Joints (T, J, 3) of `motion`, metres, y up; NaN where not valid.

    With a root path the first valid frame stands at x = z = 0, else the root rests there. The lowest joint of
    the whole clip lies `SOLE_M` over y = 0. Nothing is levelled: where the camera was pitched, so is the world.
    """
    rotation = Y_UP_FROM_CAMERA
    assert round(float(np.linalg.det(rotation))) == 1
    points = motion.joints_3d.astype(np.float64)
    if motion.root_path is not None:
        points = points + motion.root_path[:, None]
    points = points @ rotation.T
    points[~motion.valid] = np.nan
    if motion.valid.any():
        first = points[np.argmax(motion.valid), motion.skeleton.root]
        points -= (first[0], np.nanmin(points[..., 1]) - SOLE_M, first[2])
    return points
