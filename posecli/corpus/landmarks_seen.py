"""The nineteen BlazePose landmarks that lifting uses, and where the corpus has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posecli.corpus.store import LANDMARKS, POINT_NAMES
from posecli.skeleton import BLAZEPOSE33, h36m_weights

_LIMB_NAMES = {
    "left_hip": "LHip", "right_hip": "RHip", "left_knee": "LKnee", "right_knee": "RKnee",
    "left_ankle": "LAnkle", "right_ankle": "RAnkle", "left_shoulder": "LShoulder",
    "right_shoulder": "RShoulder", "left_elbow": "LElbow", "right_elbow": "RElbow",
    "left_wrist": "LWrist", "right_wrist": "RWrist",
}  # fmt: skip

LANDMARK_NAMES = tuple(n for n in BLAZEPOSE33.joint_names if n in _LIMB_NAMES or n in LANDMARKS[:7])
"""D = 19: nose, eyes, ears, mouth, then shoulders to wrists and hips to ankles, left before right."""
SEEN_COLUMNS = [BLAZEPOSE33.index(n) for n in LANDMARK_NAMES]
SEEN_POINTS = [POINT_NAMES.index(_LIMB_NAMES.get(n, n)) for n in LANDMARK_NAMES]
"""Index of each landmark among BlazePose's 33, and among the corpus' 28 points."""


def twin(name: str) -> str:
    """The name of the same joint on the other side."""
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


TWINS = [LANDMARK_NAMES.index(twin(n)) for n in LANDMARK_NAMES]
H36M_FROM_SEEN: NDArray[np.float64] = h36m_weights(BLAZEPOSE33)[:, SEEN_COLUMNS]
"""(17, 19): all that the rules of `posecli.skeleton` need lies in the nineteen."""


def to_flat_h36m(flat: NDArray[np.floating]) -> NDArray[np.float64]:
    """All of BlazePose's landmarks (..., 33, 2) → Human3.6M-17 (..., 17, 2)."""
    return np.einsum("jd,...dc->...jc", H36M_FROM_SEEN, flat[..., SEEN_COLUMNS, :])
