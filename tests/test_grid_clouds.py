"""Clouds on their way to a lifter: through times, gaps, windows and the turned camera; and a file's heatmaps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from posecli.detect.clouds import NO_HEATMAPS, JointClouds, score_spread
from posecli.detect.keypoints import Keypoints2D
from posecli.facing import face_windows
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.methods.diffpose import DiffPose
from posecli.methods.diffpose_config import DiffPoseConfig
from posecli.pipeline import detect_to_file, lift_to_files
from posecli.skeleton import H36M17, Skeleton
from posecli.weights.format import save_weights

SIZE = (1280, 720)


class Settings:
    def to_dict(self) -> dict[str, Any]:
        return {}


@dataclass
class Looking:
    """A lifter that keeps what it is shown and answers with nothing."""

    window: int = 9
    cloud_size: int = 400
    skeleton: Skeleton = H36M17
    config: Settings = field(default_factory=Settings)
    seen: list[tuple[Tensor, Tensor | None, int]] = field(default_factory=list)

    def lift_windows(
        self,
        x2d: Tensor,
        *,
        hypotheses: int,
        steps: int,
        generator: torch.Generator,
        cloud: Tensor | None = None,
    ) -> Tensor:
        self.seen.append((x2d, cloud, int(torch.randint(10**9, (), generator=generator))))
        return torch.zeros(len(x2d), hypotheses, *x2d.shape[1:3], 3)


def clip(frames: int, rate: float, lost: slice = slice(0, 0)) -> Keypoints2D:
    """A person of 300 pixels who drifts to the right, off the middle of the image."""
    body = torch.randn(17, 2, generator=torch.Generator().manual_seed(0)).numpy()
    body = body / np.ptp(body, axis=0).max() * 300
    drift = np.arange(frames)[:, None, None] / rate * np.array([90.0, 20.0])
    xy = (body + np.array([300.0, 380.0]) + drift).astype(np.float32)
    found = np.ones(frames, bool)
    found[lost] = False
    xy[~found] = np.nan
    scores = np.where(found[:, None], 0.9, 0.0).repeat(17, axis=1).astype(np.float32)
    return Keypoints2D(xy, scores, found, np.arange(frames) / rate, H36M17, SIZE)


@pytest.mark.parametrize(
    ("frames", "rate", "lost"),
    [(40, 30.0, slice(0, 0)), (60, 50.0, slice(0, 0)), (40, 24.0, slice(12, 17)), (4, 30.0, slice(0, 0))],
)
def test_clouds_lie_about_the_joints_that_the_lifter_is_shown(frames: int, rate: float, lost: slice) -> None:
    keypoints, lifter = clip(frames, rate, lost), Looking()
    lift_keypoints(keypoints, lifter, LiftConfig(batch=3 * 9), clouds=JointClouds(keypoints, None))
    half_box = (keypoints.xy[0].max(axis=0) - keypoints.xy[0].min(axis=0)).max() / 2
    assert lifter.seen
    for x2d, cloud, _ in lifter.seen:
        assert cloud is not None and cloud.shape == (*x2d.shape[:3], 400, 2) and cloud.dtype == torch.float32
        torch.testing.assert_close(cloud.mean(dim=3), x2d, atol=0.03, rtol=0)
        # The box of a window is the person's, and as much wider as the person drifts in it.
        wide = float((x2d.amax((1, 2)) - x2d.amin((1, 2))).max()) / 2
        assert wide == pytest.approx(1, abs=1e-4)
        person = float((x2d[0, 0].amax(0) - x2d[0, 0].amin(0)).max()) / 2
        expected = float(score_spread(np.array(0.9))) * person
        assert cloud.std(dim=3).mean().item() == pytest.approx(expected, rel=0.06)
    assert half_box == pytest.approx(150)
    assert len({number for *_, number in lifter.seen}) == 1  # every call got a generator in the same state
    x2d, cloud, _ = lifter.seen[0]
    if frames == 40 and rate == 30.0 and cloud is not None:  # windows of 9 frames that share 5
        away = cloud - x2d[..., None, :]
        torch.testing.assert_close(away[0, 4:], away[1, :5], atol=0.01, rtol=0)  # the same guesses


def test_lifters_that_want_no_clouds_get_none() -> None:
    keypoints, lifter = clip(20, 30.0), Looking(cloud_size=0)
    lift_keypoints(keypoints, lifter, clouds=JointClouds(keypoints, None))
    assert all(cloud is None for _, cloud, _ in lifter.seen)


@pytest.mark.parametrize("exponent", [0.0, 0.7])
def test_other_points_of_a_window_are_faced_alike(exponent: float) -> None:
    flat = torch.randn(3, 5, 17, 2, generator=torch.Generator().manual_seed(0)) * 0.1 + torch.tensor(
        [0.3, -0.2]
    )
    faced = face_windows(flat, exponent)
    torch.testing.assert_close(faced.see(flat), faced.x2d, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(faced.see(flat[..., None, :])[..., 0, :], faced.x2d, atol=1e-5, rtol=1e-5)


def test_a_video_s_heatmaps_reach_diffpose_and_their_absence_is_said(
    shared_data: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = DiffPoseConfig(
        frames=9, context_model={"width": 16, "depth": 1, "heads": 2}, width=8, blocks=1, heads=2,
        timesteps=10, components=2, covariance="diagonal", samples=50, target="clean", flip=False,
    )  # fmt: skip
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, "diffpose", DiffPose(config))
    video = shared_data / "videos/robust/juggle_20frames.mp4"
    detected = detect_to_file(video, out=tmp_path)
    lift = {"method": "diffpose", "weights": weights, "exports": ("npz",), "overwrite": True}
    settings = LiftConfig(hypotheses=3, steps=5)
    with_maps = lift_to_files(detected.file, out=tmp_path / "a", config=settings, **lift)
    assert NO_HEATMAPS not in with_maps.warnings
    again = lift_to_files(video, out=tmp_path / "b", config=settings, **lift)
    assert NO_HEATMAPS not in again.warnings
    np.testing.assert_array_equal(again.motion.joints_3d, with_maps.motion.joints_3d)
    with h5py.File(detected.file, "r+") as file:
        del file["heatmaps"]
    without = lift_to_files(detected.file, out=tmp_path / "c", config=settings, **lift)
    assert without.warnings.count(NO_HEATMAPS) == 1
    assert np.abs(without.motion.joints_3d - with_maps.motion.joints_3d).max() > 1e-3
