"""Motions with known poses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from posecli.motion import Motion
from posecli.skeleton import H36M17

# A T-pose as the camera sees somebody who faces it (x right, y down, z forward): the person's left is at +x.
T_POSE = {
    "Hip": (0, 0, 0), "LHip": (0.13, 0, 0), "RHip": (-0.13, 0, 0),
    "LKnee": (0.13, 0.45, 0), "RKnee": (-0.13, 0.45, 0), "LAnkle": (0.13, 0.88, 0), "RAnkle": (-0.13, 0.88, 0),
    "Spine": (0, -0.25, 0), "Thorax": (0, -0.50, 0), "Neck/Nose": (0, -0.70, -0.10), "Head": (0, -0.83, 0),
    "LShoulder": (0.17, -0.50, 0), "RShoulder": (-0.17, -0.50, 0),
    "LElbow": (0.45, -0.50, 0), "RElbow": (-0.45, -0.50, 0),
    "LWrist": (0.70, -0.50, 0), "RWrist": (-0.70, -0.50, 0),
}  # fmt: skip


@pytest.fixture
def t_pose() -> np.ndarray:
    return np.array([T_POSE[name] for name in H36M17.joint_names], np.float32)


@pytest.fixture
def make_motion() -> Callable[..., Motion]:
    """Motion from joints (T, 17, 3), everything else filled in."""

    def make(joints: np.ndarray, rate: float = 30.0, **changes: Any) -> Motion:
        count = len(joints)
        values: dict[str, Any] = {
            "timestamps_s": np.arange(count) / rate,
            "joints_3d": joints.astype(np.float32),
            "joints_3d_std": np.full((count, 17, 3), 0.02, np.float32),
            "valid": np.ones(count, bool),
            "bridged": np.zeros(count, bool),
            "keypoints_2d": (joints[..., :2] * 200 + 320).astype(np.float32),
            "scores_2d": np.ones((count, 17), np.float32),
            "image_size": (640, 640),
            "settings": {"method": "test", "seed": 0},
        }
        return Motion(**(values | changes))

    return make
