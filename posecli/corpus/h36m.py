"""How Human3.6M's files number joints. The data are licensed and never part of posecli."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posecli.calibration import CalibratedCamera

_COPIES = (4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31)
KEPT = tuple(joint for joint in range(32) if joint not in _COPIES)
"""Of the 32 recorded joints those of `skeleton.H36M17`, in its order; the others are toes, fingers and copies."""


def camera_poses(positions: NDArray[np.floating], camera: CalibratedCamera) -> NDArray[np.float64]:
    """Positions (T, 32, 3), world metres → (T, 17, 3) in the camera's frame as papers keep them: joint 0 is the root's
    own position, the others are relative to it.
    """
    points = camera.from_world(positions[:, list(KEPT)])
    points[:, 1:] -= points[:, :1]
    return points
