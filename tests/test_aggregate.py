"""How several hypotheses become one pose, on people whose place before the camera is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from posecli.aggregate import AGGREGATES, aggregate, nearest_seen
from posecli.camera import Pinhole
from posecli.demo import shipped_motion
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import UsageError
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.skeleton import H36M17, Skeleton

SIZE = (1280, 720)
CAMERA = Pinhole.from_fov(SIZE)
ROOT = np.array([0.4, -0.1, 4.0])
FRAMES = 40
TIMES = np.arange(FRAMES) / 30


def truth() -> np.ndarray:
    """(T, 17, 3): the demo's motion, camera axes, relative to the root."""
    points = shipped_motion().points[:FRAMES, :17] * np.array([1.0, -1.0, -1.0])
    return points - points[:, :1]


def rays(pose: np.ndarray) -> np.ndarray:
    placed = pose + ROOT
    return placed[..., :2] / placed[..., 2:]


def wrong(rng: np.random.Generator, pose: np.ndarray, size: float) -> np.ndarray:
    """The pose with every joint moved sideways by `size` metres, but for the root."""
    angle = rng.uniform(0, 2 * np.pi, pose.shape[:-1])
    off = size * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
    off[:, 0] = 0
    return pose + off


def test_each_joint_comes_from_the_hypothesis_that_is_seen_nearest() -> None:
    """Four hypotheses, of which at every joint and frame another one is right: all of the truth comes together."""
    rng, pose = np.random.default_rng(0), truth()
    several = np.stack([wrong(rng, pose, 0.1) for _ in range(4)], axis=1)
    right = rng.integers(4, size=(FRAMES, 17))
    frames, joints = np.mgrid[:FRAMES, :17]
    several[frames, right, joints] = pose[frames, joints]
    np.testing.assert_array_equal(nearest_seen(several, rays(pose), np.tile(ROOT, (FRAMES, 1))), pose)
    # With the path estimated from their mean, as in use; a few joints are seen nearer elsewhere.
    chosen = aggregate("reproject", several, rays(pose), TIMES)
    assert (chosen == pose).all(axis=-1).mean() > 0.98
    mean = np.linalg.norm(several.mean(axis=1) - pose, axis=-1).mean()
    assert np.linalg.norm(chosen - pose, axis=-1).mean() < 0.1 * mean


def test_what_reproduces_the_image_decides_and_not_the_depth() -> None:
    """Along a ray all depths look alike: the first of equals is taken, whatever is true."""
    pose = truth()
    placed = pose + ROOT
    farther = placed * 1.1 - ROOT
    several = np.stack([farther, pose], axis=1)
    chosen = nearest_seen(several, rays(pose), np.tile(ROOT, (FRAMES, 1)))
    same = np.isclose(chosen, farther).all(axis=-1) | np.isclose(chosen, pose).all(axis=-1)
    assert same.all()
    behind = pose.copy()
    behind[:, 5] = [0.0, 0.0, -9.0]
    several = np.stack([behind, wrong(np.random.default_rng(1), pose, 0.3)], axis=1)
    np.testing.assert_array_equal(
        nearest_seen(several, rays(pose), np.tile(ROOT, (FRAMES, 1)))[:, 5], several[:, 1, 5]
    )


def test_mean_and_first() -> None:
    rng, pose = np.random.default_rng(2), truth()
    several = np.stack([wrong(rng, pose, 0.1) for _ in range(3)], axis=1)
    np.testing.assert_allclose(aggregate("mean", several, rays(pose), TIMES), several.mean(axis=1))
    np.testing.assert_array_equal(aggregate("none", several, rays(pose), TIMES), several[:, 0])
    for kind in AGGREGATES:  # with one hypothesis all are alike
        np.testing.assert_array_equal(aggregate(kind, several[:, :1], rays(pose), TIMES), several[:, 0])


class Settings:
    def to_dict(self) -> dict[str, Any]:
        return {}


@dataclass
class Guesses:
    """Knows the truth up to one hypothesis in which the left arm is elsewhere, and one in which the right leg is."""

    truth: Tensor
    window: int = 27
    skeleton: Skeleton = H36M17
    config: Settings = field(default_factory=Settings)
    at: int = 0

    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        pose = self.truth[None, None].expand(len(x2d), hypotheses, self.window, -1, -1).clone()
        pose[:, 0, :, 11:14] += torch.tensor([0.15, 0.0, 0.0])
        pose[:, 1, :, 1:4] += torch.tensor([0.0, -0.15, 0.0])
        return pose


def test_lifting_puts_the_parts_together_and_records_how() -> None:
    """Somebody at rest straight ahead, so that the turned camera is the real one."""
    pose = truth()[:1]
    pose = pose - (pose.min(axis=1, keepdims=True) + pose.max(axis=1, keepdims=True)) / 2 * [1, 1, 0]
    placed = pose + np.array([0.0, 0.0, 4.0])
    xy = np.repeat(CAMERA.project(placed), 60, axis=0).astype(np.float32)
    body = Keypoints2D(
        xy=xy, scores=np.full((60, 17), 0.9, np.float32), found=np.ones(60, bool),
        timestamps_s=np.arange(60) / 30, skeleton=H36M17, image_size=SIZE,
    )  # fmt: skip
    relative = pose[0] - pose[0, :1]
    lifter = Guesses(torch.from_numpy(relative).float())
    errors = {}
    for kind in AGGREGATES:
        motion = lift_keypoints(body, lifter, LiftConfig(hypotheses=2, aggregate=kind, keep_hypotheses=True))
        assert motion.hypotheses is not None and len(motion.hypotheses) == 2
        errors[kind] = np.linalg.norm(motion.joints_3d - relative, axis=-1).mean(axis=0)
        raw = lift_keypoints(
            body, lifter, LiftConfig(hypotheses=2, aggregate=kind, fixed_bones=False, smooth_hz=None)
        )
        off = np.linalg.norm(raw.joints_3d - relative, axis=-1).mean(axis=0)
        expected = {"mean": (0.075, 0.075), "none": (0.15, 0.0), "reproject": (0.0, 0.0)}[kind]
        np.testing.assert_allclose([off[12], off[2]], expected, atol=0.01)
    assert errors["reproject"].mean() < min(errors["mean"].mean(), errors["none"].mean())


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(UsageError, match="aggregate must be one of mean, reproject, none, not 'best'"):
        LiftConfig(aggregate="best")
