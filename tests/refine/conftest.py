"""Motion that is seen by a known camera, and a refiner whose network is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posecli.camera import Pinhole
from posecli.demo import shipped_motion
from posecli.motion import Motion
from posecli.refine.d3prefiner import D3PRefiner, D3PRefinerConfig
from posecli.weights.format import save_weights

SIZE = (1280, 720)
SMALL = {"frames": 9, "width": 16, "depth": 1, "heads": 2}


@pytest.fixture(scope="session")
def body() -> np.ndarray:
    """(T, 17, 3) metres, camera frame, relative to the root: captured motion, at 30 Hz."""
    points = shipped_motion().points[:90, :17] * np.array([1.0, -1.0, -1.0])
    return points - points[:, :1]


@pytest.fixture
def seen(body: np.ndarray) -> Callable[..., Motion]:
    """The motion four metres before the default camera, with its exact 2D."""

    def make(joints: np.ndarray | None = None, **changes: Any) -> Motion:
        joints = body if joints is None else joints
        count = len(joints)
        pixels = Pinhole.from_fov(SIZE).project(body[:count] + np.array([0.3, 0.0, 4.0]))
        values: dict[str, Any] = {
            "timestamps_s": np.arange(count) / 30,
            "joints_3d": joints.astype(np.float32),
            "joints_3d_std": np.full((count, 17, 3), 0.02, np.float32),
            "valid": np.ones(count, bool),
            "bridged": np.zeros(count, bool),
            "keypoints_2d": pixels.astype(np.float32),
            "scores_2d": np.ones((count, 17), np.float32),
            "image_size": SIZE,
            "settings": {"method": "ddhpose", "seed": 0},
        }
        return Motion(**(values | changes))

    return make


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A refiner that answers, whatever it sees, that every joint but the root lies 5 cm too far to the right, and as
    its mirror image says the same of the left: it moves nothing; and at depth 10 cm too far, which both agree on."""
    torch.manual_seed(0)
    model = D3PRefiner(D3PRefinerConfig(**SMALL)).eval()
    with torch.no_grad():
        model.net.out.bias.copy_(torch.tensor([0.05, 0.0, 0.10]))
    path = tmp_path / "d3prefiner-test.safetensors"
    save_weights(path, "d3prefiner", model, {"rate_hz": 30.0, "size_exponent": 0.5, "base": "ddhpose"})
    return path
