"""Lifting with a lifter whose answer is known: what windows, times, gaps and hypotheses do to it.

`Linear` answers each frame by itself: depth is a fixed multiple of its normalised 2D. The person's box, spanned
by two joints that do not move, is the same in every window and lies in the middle of the image, so the right
answer for every frame is known whichever windows saw it.
"""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from posecli.camera import Pinhole
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError, NobodyError, UsageError
from posecli.lifting import LiftConfig, lift_keypoints, standing_height
from posecli.skeleton import H36M17, MPI3DHP17, Skeleton
from posecli.uncertainty import Uncertainty
from posecli.windows import window_starts

SIZE = (1280, 720)
CAMERA = Pinhole.from_fov(SIZE)
BOX = 0.25  # half the box's side, tangent of an angle
RAW = LiftConfig(
    smooth_hz=None, fixed_bones=False
)  # what windows, times and gaps do, without the filter after them


class Settings:
    def to_dict(self) -> dict[str, Any]:
        return {}


@dataclass
class Linear:
    """(u, v) → (u, v, 0.5 u - 0.25 v) relative to the root, plus noise for the sampler's."""

    window: int = 27
    noise: float = 0.0
    skeleton: Skeleton = H36M17
    config: Settings = field(default_factory=Settings)

    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        assert x2d.dtype == torch.float32 and x2d.shape[1:] == (self.window, 17, 2)
        depth = 0.5 * x2d[..., :1] - 0.25 * x2d[..., 1:]
        pose = torch.cat([x2d, depth], dim=-1)[:, None].expand(-1, hypotheses, -1, -1, -1)
        pose = pose + self.noise * torch.randn(pose.shape, generator=generator)
        return pose - pose[..., :1, :]


def answer(flat: np.ndarray) -> np.ndarray:
    """What `Linear` says of rays (T, 17, 2) in a box of half side BOX about the optical axis."""
    u, v = flat[..., 0] / BOX, flat[..., 1] / BOX
    pose = np.stack([u, v, 0.5 * u - 0.25 * v], axis=-1)
    return pose - pose[:, :1]


def person(times: np.ndarray, frequency: float = 0.7) -> np.ndarray:
    """Rays (T, 17, 2): joints on smooth paths inside a box whose corners are two joints at rest."""
    phase = np.arange(17)[:, None] + np.array([0.0, 1.5])
    flat = 0.8 * BOX * np.sin(2 * np.pi * frequency * times[:, None, None] + phase)
    flat[:, 10], flat[:, 6] = (-BOX, -BOX), (BOX, BOX)
    return flat


def keypoints(times: np.ndarray, flat: np.ndarray | None = None, **changes: Any) -> Keypoints2D:
    flat = person(times) if flat is None else flat
    xy = (flat * CAMERA.focal + CAMERA.centre).astype(np.float32)
    found = changes.pop("found", np.ones(len(times), bool))
    xy[~found] = np.nan
    scores = np.where(found[:, None], np.float32(0.9), np.float32(0)) * np.ones((1, 17), np.float32)
    values = {"scores": scores, "found": found, "skeleton": H36M17, "image_size": SIZE, **changes}
    return Keypoints2D(xy=xy, timestamps_s=times, **values)


def seconds(count: int, fps: float = 30.0) -> np.ndarray:
    return np.arange(count) / fps


# Windows and times


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("count", [28, 54, 100])
def test_windows_blend_without_seams(count: int, overlap: float) -> None:
    times = seconds(count)
    motion = lift_keypoints(
        keypoints(times), Linear(), LiftConfig(overlap=overlap, smooth_hz=None, fixed_bones=False)
    )
    np.testing.assert_allclose(motion.joints_3d, answer(person(times)), atol=2e-5)
    assert motion.valid.all() and not motion.bridged.any()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 26, 27])
def test_clips_no_longer_than_a_window(count: int) -> None:
    times = seconds(count)
    motion = lift_keypoints(keypoints(times), Linear(), RAW)
    np.testing.assert_allclose(motion.joints_3d, answer(person(times)), atol=2e-5)
    assert motion.root_path is not None and np.isfinite(motion.root_path).all()


@pytest.mark.parametrize("window", [1, 2, 9])
def test_windows_of_any_length(window: int) -> None:
    times = seconds(40)
    motion = lift_keypoints(keypoints(times), Linear(window), RAW)
    np.testing.assert_allclose(motion.joints_3d, answer(person(times)), atol=2e-5)


def test_every_frame_is_in_a_window_and_the_last_ends_with_the_clip() -> None:
    for frames in range(1, 200):
        for overlap in (0.0, 0.25, 0.5, 0.99):
            starts = window_starts(frames, 27, overlap)
            assert {t for s in starts for t in range(s, s + 27)} >= set(range(frames))
            assert starts == sorted(set(starts)) and (starts[-1] == max(0, frames - 27))


@pytest.mark.parametrize(
    ("fps", "bound"), [(24, 0.008), (29.97, 1e-5), (50, 0.004), (60, 0.004), (240, 0.004)]
)
def test_smooth_motion_survives_the_way_to_30_hz_and_back(fps: float, bound: float) -> None:
    """0.7 Hz with amplitude 1.6 (a joint's 0.8 and the root's): straight lines between 24 Hz lose up to
    1 - cos(0.7 π / 24) of it, the tent over 60 Hz (1 - cos(0.7 · 2π / 60)) / 2; at the ends it is one-sided."""
    times = 12.34 + seconds(int(3 * fps), fps)
    motion = lift_keypoints(keypoints(times), Linear(), RAW)
    np.testing.assert_array_equal(motion.timestamps_s, times)
    assert np.abs(motion.joints_3d - answer(person(times))).max() < bound


def test_uneven_times_are_heeded() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.012, 0.06, 150))
    motion = lift_keypoints(keypoints(times), Linear(), RAW)
    truth = answer(person(times))
    error = np.abs(motion.joints_3d - truth).max()
    as_if_even = answer(person(np.linspace(times[0], times[-1], 150)))
    assert error < 0.03 < 10 * 0.03 < np.abs(as_if_even - truth).max()


def test_a_jump_in_time_is_lifted_apart_and_costs_no_memory() -> None:
    """A damaged file may claim a frame a year later: nothing is invented for the time between."""
    times = np.concatenate([seconds(10), 3e7 + seconds(10)])
    calls: list[tuple[int, int]] = []
    motion = lift_keypoints(
        keypoints(times), Linear(), RAW, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 2), (2, 2)] and motion.valid.all()
    np.testing.assert_allclose(motion.joints_3d, answer(person(times)), atol=2e-5)


def test_slow_sources_are_lifted_picture_by_picture() -> None:
    times = seconds(6, fps=1.0)
    motion = lift_keypoints(keypoints(times), Linear(), RAW)
    np.testing.assert_allclose(motion.joints_3d, answer(person(times)), atol=2e-5)


# Absences


def absent(count: int, *gaps: tuple[int, int]) -> np.ndarray:
    found = np.ones(count, bool)
    for first, after in gaps:
        found[first:after] = False
    return found


def test_short_gaps_are_bridged_and_marked_long_ones_split() -> None:
    times = seconds(120)
    found = absent(120, (0, 3), (20, 25), (50, 80), (118, 120))
    motion = lift_keypoints(
        keypoints(times, found=found), Linear(), LiftConfig(max_gap_s=0.5, smooth_hz=None, fixed_bones=False)
    )
    assert motion.segments() == [slice(3, 50), slice(80, 118)]
    assert np.flatnonzero(motion.bridged).tolist() == [20, 21, 22, 23, 24]
    truth = answer(person(times))
    np.testing.assert_allclose(motion.joints_3d[found], truth[found], atol=3e-3)
    expected = answer(person(times[[19, 25]]))  # rays are joined by straight lines, and `Linear` is linear
    part = (np.arange(1, 6) / 6)[:, None, None]
    np.testing.assert_allclose(
        motion.joints_3d[20:25], expected[:1] * (1 - part) + expected[1:] * part, atol=3e-3
    )
    for array in (motion.joints_3d, motion.joints_3d_std, motion.root_path):
        assert array is not None and array.dtype == np.float32
        assert np.isfinite(array[motion.valid]).all() and np.isnan(array[~motion.valid]).all()
    assert np.isnan(motion.keypoints_2d[~found]).all() and (motion.scores_2d[~found] == 0).all()


def test_the_limit_of_a_gap_counts_from_sighting_to_sighting() -> None:
    for missing, bridged in ((14, True), (15, False)):  # 15 and 16 steps of 1/30 s
        found = absent(60, (20, 20 + missing))
        motion = lift_keypoints(
            keypoints(seconds(60), found=found), Linear(), LiftConfig(max_gap_s=0.51, fixed_bones=False)
        )
        assert motion.valid.all() == bridged
    motion = lift_keypoints(
        keypoints(seconds(60), found=absent(60, (20, 21))),
        Linear(),
        LiftConfig(max_gap_s=0, fixed_bones=False),
    )
    assert motion.segments() == [slice(0, 20), slice(21, 60)]


def test_single_sightings() -> None:
    found = np.zeros(90, bool)
    found[[0, 45, 89]] = True
    motion = lift_keypoints(keypoints(seconds(90), found=found), Linear(), RAW)
    np.testing.assert_array_equal(motion.valid, found)
    np.testing.assert_allclose(motion.joints_3d[found], answer(person(seconds(90)))[found], atol=2e-5)


def test_a_joint_that_is_not_a_number_makes_its_frame_an_absence() -> None:
    body = keypoints(seconds(40))
    body.xy[12, 13] = np.nan
    body.xy[30, 2, 0] = np.inf
    motion = lift_keypoints(body, Linear(), RAW)
    assert np.flatnonzero(motion.bridged).tolist() == [12, 30]
    np.testing.assert_allclose(motion.joints_3d, answer(person(seconds(40))), atol=0.02)


def test_nobody_is_an_error_of_its_own() -> None:
    for count in (0, 1, 20):
        body = keypoints(seconds(count), found=np.zeros(count, bool))
        with pytest.raises(NobodyError, match="no person"):
            lift_keypoints(body, Linear())


# Size, hypotheses, spread


def test_a_known_height_sets_the_scale() -> None:
    plain = lift_keypoints(
        keypoints(seconds(50)), Linear(), uncertainty=Uncertainty.constant(np.full((17, 3), 0.1))
    )
    tall = lift_keypoints(
        keypoints(seconds(50)),
        Linear(),
        LiftConfig(height_m=1.8, keep_hypotheses=True),
        uncertainty=Uncertainty.constant(np.full((17, 3), 0.1)),
    )
    assert standing_height(tall.joints_3d) == pytest.approx(1.8, rel=1e-5)
    factor = 1.8 / standing_height(plain.joints_3d)
    np.testing.assert_allclose(tall.joints_3d, plain.joints_3d * factor, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(tall.joints_3d_std, plain.joints_3d_std * factor, rtol=1e-4)
    assert tall.root_path is not None and plain.root_path is not None and tall.hypotheses is not None
    np.testing.assert_allclose(tall.root_path, plain.root_path * factor, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(tall.hypotheses[0], tall.joints_3d)
    assert (plain.scale_source, tall.scale_source) == ("prior", "height")


def test_an_adult_of_the_corpus_stands_about_as_tall_as_adults_are() -> None:
    from posecli.demo import shipped_motion

    assert 1.65 < standing_height(shipped_motion().points[:, :17]) < 1.85


def test_a_seed_reproduces_a_result() -> None:
    def run(seed: int) -> np.ndarray:
        return lift_keypoints(keypoints(seconds(60)), Linear(noise=0.1), LiftConfig(seed=seed)).joints_3d

    np.testing.assert_array_equal(run(3), run(3))
    assert np.abs(run(3) - run(4)).max() > 0.05


def test_hypotheses_their_mean_and_their_spread() -> None:
    config = LiftConfig(hypotheses=24, keep_hypotheses=True, fixed_bones=False)
    motion = lift_keypoints(keypoints(seconds(60)), Linear(noise=0.05), config)
    assert motion.hypotheses is not None and motion.hypotheses.shape == (24, 60, 17, 3)
    assert motion.hypotheses.dtype == motion.joints_3d.dtype == motion.joints_3d_std.dtype == np.float32
    np.testing.assert_allclose(motion.hypotheses.mean(axis=0), motion.joints_3d, atol=1e-6)
    np.testing.assert_array_equal(motion.joints_3d[:, 0], 0)
    np.testing.assert_array_equal(motion.joints_3d_std[:, 0], 0)
    # The root's noise is subtracted from every joint's: √2 times 0.05.
    assert np.sqrt((motion.joints_3d_std[:, 1:] ** 2).mean()) == pytest.approx(0.05 * np.sqrt(2), rel=0.05)
    assert lift_keypoints(keypoints(seconds(5)), Linear(), LiftConfig(hypotheses=2)).hypotheses is None


def test_the_prior_spread_is_turned_with_the_camera() -> None:
    """Spread along depth only, a person 30° to the right: a quarter of the variance is sideways."""
    prior = np.tile([0.0, 0.0, 0.2], (17, 1))
    flat = 0.05 * person(seconds(30)) + [np.tan(np.radians(30)), 0.0]
    motion = lift_keypoints(keypoints(seconds(30), flat), Linear(), uncertainty=Uncertainty.constant(prior))
    expected = np.tile([0.1, 0.0, 0.2 * np.cos(np.radians(30))], (30, 17, 1))
    np.testing.assert_allclose(motion.joints_3d_std, expected, atol=2e-3)
    several = lift_keypoints(
        keypoints(seconds(30), flat),
        Linear(noise=0.05),
        LiftConfig(hypotheses=8),
        uncertainty=Uncertainty.constant(prior),
    )
    assert (several.joints_3d_std[:, 1:] > motion.joints_3d_std[:, 1:] - 1e-6).all()


# Progress, device, refusals, length


def test_progress_reaches_its_total_once() -> None:
    calls: list[tuple[int, int]] = []
    body = keypoints(seconds(400), found=absent(400, (100, 150), (300, 340)))
    lift_keypoints(body, Linear(), LiftConfig(batch=3), progress=lambda *call: calls.append(call))
    done, totals = zip(*calls, strict=True)
    assert len(set(totals)) == 1 and done[-1] == totals[0]
    assert all(a < b for a, b in pairwise(done))


class Elsewhere(nn.Module):
    """Weights on the device "meta", which holds no numbers: only shows where the input was sent."""

    window, skeleton, config = 9, H36M17, Settings()

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))
        self.seen: set[str] = set()

    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        self.seen.add(x2d.device.type)
        return torch.zeros(len(x2d), hypotheses, 9, 17, 3)


def test_windows_go_to_the_device_of_the_weights() -> None:
    lifter = Elsewhere()
    lift_keypoints(keypoints(seconds(20)), lifter)
    assert lifter.seen == {"meta"}


@pytest.mark.parametrize(
    "change",
    [
        {"hypotheses": 0}, {"steps": 0}, {"batch": 0}, {"seed": -1}, {"seed": 2**64}, {"overlap": 1.0},
        {"overlap": float("nan")}, {"max_gap_s": -0.1}, {"max_gap_s": float("nan")}, {"fov_deg": 0.0},
        {"fov_deg": 180.0}, {"height_m": 175.0}, {"height_m": 0.0}, {"smooth_hz": 0.0}, {"smooth_hz": float("nan")},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        LiftConfig(**change)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused() -> None:
    body = keypoints(seconds(5))
    with pytest.raises(UsageError, match="these weights lift mpi_inf_3dhp17"):
        lift_keypoints(body, Linear(skeleton=MPI3DHP17))
    with pytest.raises(UsageError, match="keypoints of mpi_inf_3dhp17"):
        lift_keypoints(keypoints(seconds(5), skeleton=MPI3DHP17), Linear())
    for rate in (0.0, -30.0, float("nan"), 1e9):
        with pytest.raises(InputError, match="header is damaged"):
            lift_keypoints(body, Linear(), rate=rate)
    with pytest.raises(InputError, match="not finite"):
        lift_keypoints(body, Linear(noise=float("nan")))


def test_ten_minutes_at_60_hz_stay_small() -> None:
    body = keypoints(seconds(36_000, 60.0))
    clock = time.monotonic()
    tracemalloc.start()
    motion = lift_keypoints(body, Linear())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert motion.valid.all() and time.monotonic() - clock < 30
    assert peak < 250 * 2**20  # 7 kB a frame; a decoded 720p picture is 2.7 MB
