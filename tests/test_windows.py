"""Noise that belongs to frames, hypotheses that go through a whole clip, and the filter after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from posecli.camera import Pinhole
from posecli.detect.keypoints import Keypoints2D
from posecli.diffusion.noise import Noise
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.methods.base import DrawsNoise
from posecli.motion import Motion
from posecli.skeleton import H36M17, Skeleton
from posecli.smooth import low_pass, response
from posecli.uncertainty import Uncertainty
from posecli.windows import ClipNoise

SIZE = (1280, 720)
CAMERA = Pinhole.from_fov(SIZE)
CPU = torch.device("cpu")


class Settings:
    def to_dict(self) -> dict[str, Any]:
        return {}


@dataclass
class Noisy:
    """Answers with nothing but the noise that it is handed: what a hypothesis is made of is seen at once."""

    window: int = 27
    skeleton: Skeleton = H36M17
    config: Settings = field(default_factory=Settings)

    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        raise AssertionError("it draws noise")

    def lift_drawing(self, x2d: Tensor, *, hypotheses: int, steps: int, draw: Noise) -> Tensor:
        pose = sum(draw((len(x2d), hypotheses, self.window, 17, 3)) for _ in range(steps))
        assert isinstance(pose, Tensor)
        return pose - pose[..., :1, :]


def person(found: np.ndarray, fps: float = 30.0) -> Keypoints2D:
    """Somebody who stands still, about the optical axis."""
    count = len(found)
    flat = 0.2 * np.random.default_rng(0).uniform(-1, 1, (17, 2))
    xy = np.repeat((flat * CAMERA.focal + CAMERA.centre)[None], count, axis=0).astype(np.float32)
    xy[~found] = np.nan
    scores = np.where(found[:, None], np.float32(0.9), np.float32(0)) * np.ones((1, 17), np.float32)
    return Keypoints2D(
        xy=xy, scores=scores, found=found, timestamps_s=np.arange(count) / fps, skeleton=H36M17, image_size=SIZE
    )  # fmt: skip


def lift(count: int, **settings: Any) -> Motion:
    config = LiftConfig(keep_hypotheses=True, fixed_bones=False, **settings)
    return lift_keypoints(person(np.ones(count, bool)), Noisy(), config)


def test_overlapping_windows_see_the_same_noise() -> None:
    noise = ClipNoise((7, 0))
    shape = (3, 2, 81, 17, 3)  # frames of three blocks
    draw = noise.of([0, 40, 120], CPU)
    first, second = draw(shape), draw(shape)
    np.testing.assert_array_equal(first[0, :, 40:], first[1, :, :41])
    np.testing.assert_array_equal(first[1, :, 80:], first[2, :, :1])
    again = noise.of([40], CPU)
    np.testing.assert_array_equal(again((1, 2, 81, 17, 3))[0], first[1])
    np.testing.assert_array_equal(again((1, 2, 81, 17, 3))[0], second[1])


def test_noise_is_standard_normal_and_without_repetition() -> None:
    drawn = [
        ClipNoise(seed).of([0], CPU)((1, 2, 200, 16, 1)).flatten().numpy()
        for seed in ((0, 0), (0, 1), (1, 0))
    ]
    draw = ClipNoise((0, 0)).of([0], CPU)
    _, other = draw((1, 2, 200, 16, 1)), draw((1, 2, 200, 16, 1)).flatten().numpy()
    for numbers in (*drawn, other):
        assert abs(numbers.mean()) < 0.05 and numbers.std() == pytest.approx(1, abs=0.03)
    correlation = np.corrcoef([*drawn, other]) - np.eye(4)
    assert np.abs(correlation).max() < 0.06
    frames = drawn[0].reshape(2, 200, 16)
    assert len(np.unique(frames)) > 0.99 * frames.size  # float32: two of 6400 may fall together


def test_a_hypothesis_is_one_motion_through_the_whole_clip() -> None:
    """Windows that each drew their own would be averaged where they overlap: √½ of the spread in the middle."""
    motion = lift(200, hypotheses=3, smooth_hz=None)
    assert motion.hypotheses is not None
    # The root's noise is subtracted from every joint's.
    assert np.sqrt((motion.hypotheses[:, :, 1:] ** 2).mean()) == pytest.approx(np.sqrt(2), rel=0.03)
    raw = ClipNoise((0, 0)).of([0], CPU)((1, 3, 200, 17, 3))[0].numpy()
    np.testing.assert_allclose(
        motion.hypotheses, raw - raw[:, :, :1], atol=0.05
    )  # but for the turn of the camera


def test_a_seed_gives_the_same_result_for_any_batch() -> None:
    runs = [lift(100, seed=5, steps=2, hypotheses=2, batch=batch).joints_3d for batch in (1, 4, 64)]
    np.testing.assert_allclose(runs[0], runs[1], atol=1e-6)
    np.testing.assert_allclose(runs[0], runs[2], atol=1e-6)
    assert np.abs(lift(100, seed=6, steps=2, hypotheses=2).joints_3d - runs[0]).max() > 0.5


def test_the_result_is_freed_from_trembling() -> None:
    """White noise, whose amplitude the filter's response foretells; at 60 Hz as at 30."""
    rough, calm = lift(1200, smooth_hz=None), lift(1200, smooth_hz=5.0)
    gain = np.array([response(f, 30, 5) for f in np.linspace(0, 15, 1001)])
    expected = np.sqrt(np.mean(gain**2))
    assert calm.joints_3d[:, 1:].std() / rough.joints_3d[:, 1:].std() == pytest.approx(expected, rel=0.02)
    np.testing.assert_allclose(calm.joints_3d, low_pass(rough.joints_3d, 30, 5.0), atol=1e-5)
    fast = lift_keypoints(
        person(np.ones(1200, bool), 60.0), Noisy(), LiftConfig(smooth_hz=5.0, fixed_bones=False)
    )
    jerk = np.diff(fast.joints_3d, 2, axis=0).std() * 60**2
    assert jerk == pytest.approx(np.diff(calm.joints_3d, 2, axis=0).std() * 30**2, rel=0.25)


def test_gaps_stay_gaps_and_stretches_are_smoothed_apart() -> None:
    found = np.ones(120, bool)
    found[50:80] = False
    motion = lift_keypoints(person(found), Noisy(), LiftConfig(smooth_hz=2.0, fixed_bones=False))
    np.testing.assert_array_equal(motion.valid, found)
    alone = lift_keypoints(person(found[:50]), Noisy(), LiftConfig(smooth_hz=2.0, fixed_bones=False))
    np.testing.assert_allclose(motion.joints_3d[:50], alone.joints_3d, atol=1e-6)


def test_samplers_of_ours_take_noise_by_frames() -> None:
    from posecli.methods import METHODS

    for name in ("ddhpose", "d3dp"):
        settings = {**METHODS[name].defaults, "frames": 9, "width": 16, "depth": 1, "heads": 2}
        model: Any = METHODS[name].build(settings)
        assert isinstance(model, DrawsNoise)
        x2d = torch.randn(2, 9, 17, 2, generator=torch.Generator().manual_seed(0))
        draw = ClipNoise((1, 0)).of([0, 4], CPU)
        pose = model.lift_drawing(x2d, hypotheses=2, steps=3, draw=draw)
        assert pose.shape == (2, 2, 9, 17, 3)
        np.testing.assert_array_equal(pose[..., 0, :], 0)


@pytest.mark.parametrize("window", [1, 27])
def test_the_first_hypothesis_is_the_same_however_many_follow(window: int) -> None:
    """So `aggregate="none"` is what a run with one hypothesis gives, spread included."""
    uncertainty = Uncertainty.constant(np.full((17, 3), 0.1))
    one, many, other = (
        lift_keypoints(
            person(np.ones(90, bool)),
            Noisy(window),
            LiftConfig(hypotheses=count, aggregate=kind, steps=2),
            uncertainty=uncertainty,
        )
        for count, kind in ((1, "mean"), (4, "none"), (4, "mean"))
    )
    np.testing.assert_allclose(many.joints_3d, one.joints_3d, atol=1e-5)
    np.testing.assert_allclose(many.joints_3d_std, one.joints_3d_std, atol=1e-6)
    assert np.abs(other.joints_3d - one.joints_3d).max() > 0.1
    assert (other.joints_3d_std[:, 1:] > one.joints_3d_std[:, 1:]).all()
