"""The two records that travel between stages: shapes are checked when they are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posecli.detect.keypoints import Keypoints2D
from posecli.motion import Motion, stretches
from posecli.skeleton import BLAZEPOSE33, H36M17


def motion(frames: int = 4, **changes: Any) -> Motion:
    values: dict[str, Any] = {
        "timestamps_s": np.arange(frames) / 30.0,
        "joints_3d": np.zeros((frames, 17, 3), np.float32),
        "joints_3d_std": np.zeros((frames, 17, 3), np.float32),
        "valid": np.ones(frames, bool),
        "bridged": np.zeros(frames, bool),
        "keypoints_2d": np.zeros((frames, 17, 2), np.float32),
        "scores_2d": np.ones((frames, 17), np.float32),
        "image_size": (640, 480),
    }
    return Motion(**{**values, **changes})


def keypoints(frames: int = 3, **changes: Any) -> Keypoints2D:
    values: dict[str, Any] = {
        "xy": np.zeros((frames, 33, 2), np.float32),
        "scores": np.ones((frames, 33), np.float32),
        "found": np.ones(frames, bool),
        "timestamps_s": np.arange(frames) / 30.0,
        "skeleton": BLAZEPOSE33,
        "image_size": (640, 480),
    }
    return Keypoints2D(**{**values, **changes})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("joints_3d", (4, 16, 3)), ("joints_3d_std", (3, 17, 3)), ("valid", (5,)), ("bridged", (4, 1)),
        ("keypoints_2d", (4, 17, 3)), ("scores_2d", (4,)), ("root_path", (4, 2)), ("hypotheses", (2, 3, 17, 3)),
        ("hypotheses", (4, 17, 3)), ("hypotheses", ()),
    ],
)  # fmt: skip
def test_a_motion_of_other_shapes_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        motion(**{name: np.zeros(shape)})


def test_segments_are_the_stretches_with_a_pose() -> None:
    valid = np.array([0, 1, 1, 0, 0, 1, 0, 1], bool)
    assert motion(8, valid=valid).segments() == [slice(1, 3), slice(5, 6), slice(7, 8)]
    assert stretches(np.ones(3, bool)) == [slice(0, 3)]
    assert stretches(np.zeros(3, bool)) == stretches(np.zeros(0, bool)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xy": np.zeros((3, 17, 2))}, "xy must have shape"),
        ({"scores": np.zeros(3)}, "scores must have shape"),
        ({"found": np.zeros((3, 1), bool)}, "found must have shape"),
        ({"world": np.zeros((3, 33, 2))}, "world must have shape"),
        ({"timestamps_s": np.array([0.0, 0.1, 0.1])}, "increase"),
        ({"timestamps_s": np.array([0.0, 0.2, 0.1])}, "increase"),
        ({"timestamps_s": np.array([0.0, np.nan, 0.1])}, "finite"),
        ({"timestamps_s": np.array([0.0, 0.1, np.inf])}, "finite"),
    ],
)
def test_keypoints_of_other_shapes_or_times_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        keypoints(**changes)


def test_keypoints_become_human36m() -> None:
    xy = np.random.default_rng(0).uniform(0, 640, (3, 33, 2)).astype(np.float32)
    xy[1] = np.nan
    found = np.array([True, False, True])
    body = keypoints(xy=xy, found=found, world=np.zeros((3, 33, 3), np.float32)).to_h36m17()
    assert body.skeleton == H36M17 and body.xy.dtype == np.float32 and body.world is not None
    np.testing.assert_allclose(body.xy[::2, 13], xy[::2, 15], atol=1e-4)
    assert np.isnan(body.xy[1]).all()
    assert body.to_h36m17() is body
    assert len(keypoints(0).to_h36m17()) == 0
