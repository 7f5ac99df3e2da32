"""Refining a motion: what a known refiner changes, and what it must leave alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import savgol_filter

from posecli.bench.metrics import acceleration_error, mpjpe
from posecli.bones import usual_lengths
from posecli.errors import InputError, UsageError
from posecli.export.npz import load_npz, save_npz
from posecli.lifting import standing_height
from posecli.motion import Motion
from posecli.refine.apply import NetworkRefiner, TimeFilter, left_alone, refine_motion
from posecli.refine.d3prefiner import D3PRefiner, D3PRefinerConfig
from posecli.skeleton import BLAZEPOSE33, H36M17
from posecli.weights.format import save_weights


def test_a_network_works_in_the_camera_turned_to_the_person(
    seen: Callable[..., Motion], weights: Path
) -> None:
    """The test's network finds 10 cm along the turned camera's axis in every joint; taking them away moves joints
    10 cm along the middle ray of the person, the same in every window, whatever their blending."""
    refiner = NetworkRefiner.load(weights)
    motion = seen()
    refined = refine_motion(motion, refiner)
    moved = refined.joints_3d - motion.joints_3d
    assert (moved[:, 0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(moved[:, 1:], axis=-1), 0.10, atol=1e-3)
    towards = -moved[:, 1:].mean(axis=(0, 1)) / 0.10
    expected = np.array([0.3, 0.0, 4.0]) / np.linalg.norm([0.3, 0.0, 4.0])
    assert towards @ expected > 0.99
    assert np.array_equal(refined.unrefined_3d, motion.joints_3d)
    assert refined.settings["refinements"][0]["base"] == "ddhpose" and "refinements" not in motion.settings
    again = refine_motion(refined, TimeFilter("savgol"))
    assert [r["method"] for r in again.settings["refinements"]] == ["d3prefiner", "savgol"]
    assert np.array_equal(again.unrefined_3d, motion.joints_3d)  # before the first of them


def test_missing_frames_stay_missing_and_nothing_crosses_a_gap(
    seen: Callable[..., Motion], body: np.ndarray, weights: Path
) -> None:
    gone = np.zeros(len(body), bool)
    gone[30:55] = True
    joints = body.copy()
    joints[55:] += np.array([0.0, 5.0, 0.0])  # would show at once before the gap
    joints[:, 0] = 0
    joints[gone] = np.nan
    one = joints.copy()
    one[55:] = np.nan
    for refiner in (
        TimeFilter("savgol"),
        TimeFilter("lowpass"),
        TimeFilter("one-euro"),
        NetworkRefiner.load(weights),
    ):
        refined = refine_motion(seen(joints, valid=~gone), refiner)
        alone = refine_motion(seen(one, valid=~gone & (np.arange(len(body)) < 55)), refiner)
        assert np.isnan(refined.joints_3d[gone]).all() and np.array_equal(refined.valid, ~gone)
        np.testing.assert_allclose(refined.joints_3d[:30], alone.joints_3d[:30], atol=1e-6)
        assert np.isfinite(refined.joints_3d[~gone]).all()


def test_bridged_frames_need_no_2d(seen: Callable[..., Motion], weights: Path) -> None:
    motion = seen()
    bridged = np.zeros(len(motion), bool)
    bridged[20:25] = True
    points = motion.keypoints_2d.copy()
    points[bridged] = np.nan
    refined = refine_motion(seen(bridged=bridged, keypoints_2d=points), NetworkRefiner.load(weights))
    whole = refine_motion(motion, NetworkRefiner.load(weights))
    np.testing.assert_allclose(refined.joints_3d, whole.joints_3d, atol=5e-3)


@pytest.mark.parametrize("rate", [24.0, 60.0, 29.97])
def test_sources_of_other_rates_keep_their_own_frames(
    seen: Callable[..., Motion], weights: Path, rate: float
) -> None:
    motion = seen(timestamps_s=3.0 + np.arange(90) / rate)
    refined = refine_motion(motion, NetworkRefiner.load(weights))
    assert np.array_equal(refined.timestamps_s, motion.timestamps_s)
    moved = np.linalg.norm((refined.joints_3d - motion.joints_3d)[:, 1:], axis=-1)
    assert abs(np.median(moved) - 0.10) < 3e-3 and moved.max() < 0.16  # 60 Hz through 30 Hz cuts corners


def test_filters_calm_white_noise(seen: Callable[..., Motion], body: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, body.shape)
    noise[:, 0] = 0
    motion = seen(body + noise)
    results = {
        name: refine_motion(motion, TimeFilter(name)).joints_3d for name in ("savgol", "lowpass", "one-euro")
    }
    before = acceleration_error(motion.joints_3d, body, 30).mean()
    for name, joints in results.items():
        assert acceleration_error(joints, body, 30).mean() < 0.5 * before, name
    for name in ("savgol", "lowpass"):
        assert mpjpe(results[name], body).mean() < 0.8 * mpjpe(motion.joints_3d, body).mean(), name
    expected = savgol_filter(motion.joints_3d.astype(float), 11, 3, axis=0)
    np.testing.assert_allclose(results["savgol"], expected - expected[:, :1], atol=1e-6)


def test_bones_keep_one_length_where_they_had(seen: Callable[..., Motion]) -> None:
    settings = {"method": "ddhpose", "fixed_bones": True}
    refined = refine_motion(seen(settings=settings), TimeFilter("savgol"))
    child, parent = zip(*((c, p) for p, c in H36M17.bones), strict=True)
    length = np.linalg.norm(refined.joints_3d[:, child] - refined.joints_3d[:, parent], axis=-1)
    assert length.std(axis=0).max() < 1e-6
    np.testing.assert_allclose(length[0], usual_lengths(refined.joints_3d, H36M17)[list(child)], atol=1e-6)


def test_hypotheses_are_refined_alike(seen: Callable[..., Motion], weights: Path) -> None:
    motion = seen()
    shifted = motion.joints_3d + np.float32(0.01)
    shifted[:, 0] = 0
    refined = refine_motion(
        seen(hypotheses=np.stack([motion.joints_3d, shifted])), NetworkRefiner.load(weights)
    )
    assert refined.hypotheses is not None
    np.testing.assert_allclose(refined.hypotheses[0], refined.joints_3d, atol=1e-6)
    np.testing.assert_allclose(
        refined.hypotheses[1] - refined.hypotheses[0], shifted - motion.joints_3d, atol=1e-4
    )


def test_the_file_keeps_both(seen: Callable[..., Motion], tmp_path: Path) -> None:
    refined = refine_motion(seen(), TimeFilter("savgol"))
    back = load_npz(save_npz(refined, tmp_path / "refined.npz"))
    assert back.unrefined_3d is not None and np.array_equal(back.unrefined_3d, refined.unrefined_3d)
    assert np.array_equal(back.joints_3d, refined.joints_3d) and back.settings == refined.settings


class Known:
    """A refiner that adds what it is told, in the camera's axes, at its own rate."""

    record: Mapping[str, Any] = {"method": "known"}

    def __init__(self, offset: float = 0.0, rate_hz: float | None = 30.0) -> None:
        self.offset, self.rate_hz = offset, rate_hz

    def __call__(self, poses: np.ndarray, flat: np.ndarray, rate: float) -> np.ndarray:
        moved = poses + self.offset
        moved[:, :, 0] = 0
        return moved


@pytest.mark.parametrize("rate", [20.0, 24.0, 60.0])
def test_nothing_moves_but_by_the_refiner(seen: Callable[..., Motion], body: np.ndarray, rate: float) -> None:
    """Through a grid of another rate comes the correction, not the pose."""
    rough = body + np.random.default_rng(0).normal(0, 0.02, body.shape)
    rough[:, 0] = 0
    motion = seen(rough, timestamps_s=np.arange(90) / rate)
    moved = refine_motion(motion, Known(0.05)).joints_3d - motion.joints_3d
    np.testing.assert_allclose(moved[:, 1:], 0.05, atol=1e-6)
    still = refine_motion(motion, Known())
    assert np.array_equal(still.joints_3d, motion.joints_3d)
    assert left_alone(still) == [
        "frames 0-89 are not refined: too few in a row at this rate, without 2D joints, or several at one time"
    ]


def test_frames_that_cannot_be_refined_are_named(seen: Callable[..., Motion]) -> None:
    times = np.arange(90) / 30
    times[60:] += 1.0  # a jump
    times[70] = times[69]  # two frames at one time
    refined = refine_motion(seen(timestamps_s=times), TimeFilter("savgol"))
    assert left_alone(refined)[0].startswith("frames 60-89 are not refined")
    assert left_alone(refine_motion(seen(), TimeFilter("savgol"))) == []


def test_what_lies_in_missing_frames_counts_for_nothing(
    seen: Callable[..., Motion], body: np.ndarray
) -> None:
    gone = np.arange(90) < 60  # most of them
    joints = body.copy()
    joints[gone] = 0
    settings = {"method": "ddhpose", "fixed_bones": True}
    refined = refine_motion(seen(joints, valid=~gone, settings=settings), TimeFilter("savgol"))
    assert np.isnan(refined.joints_3d[gone]).all()
    assert standing_height(refined.joints_3d[~gone]) == pytest.approx(standing_height(body[~gone]), rel=5e-3)


def test_a_height_that_was_given_stays_and_the_network_sees_people_of_the_usual_size(
    seen: Callable[..., Motion], body: np.ndarray, weights: Path
) -> None:
    """A child of half the size is refined as the same child of full size would be, at half the size."""
    refiner = NetworkRefiner.load(weights)
    half, whole = (
        refine_motion(seen(factor * body, scale_source="height"), refiner).joints_3d for factor in (0.5, 1.0)
    )
    np.testing.assert_allclose(2 * half, whole, atol=1e-5)
    assert standing_height(half) == pytest.approx(0.5 * standing_height(body), rel=1e-5)
    as_it_is = refine_motion(seen(0.5 * body), refiner).joints_3d  # nobody said how tall
    assert np.abs(as_it_is - half).max() > 0.02


def test_the_root_is_put_where_the_refined_joints_are_seen(
    seen: Callable[..., Motion], body: np.ndarray
) -> None:
    """Joints that a refiner made larger by a tenth are as far away by a tenth more."""

    class Larger(Known):
        def __call__(self, poses: np.ndarray, flat: np.ndarray, rate: float) -> np.ndarray:
            return 1.1 * poses

    path = np.tile(np.array([0.3, 0.0, 4.0], np.float32), (90, 1))
    refined = refine_motion(seen(root_path=path), Larger())
    assert refined.root_path is not None
    np.testing.assert_allclose(refined.root_path, 1.1 * path, atol=0.01)
    assert refine_motion(seen(), Larger()).root_path is None


def test_many_hypotheses_are_as_each_by_itself(seen: Callable[..., Motion], body: np.ndarray) -> None:
    torch.manual_seed(1)
    model = D3PRefiner(D3PRefinerConfig(frames=9, width=16, depth=1, heads=2)).eval()
    refiner = NetworkRefiner(model, 30.0, 0.5, "ddhpose", {"method": "d3prefiner"})
    rng = np.random.default_rng(0)
    many = np.stack([body + rng.normal(0, 0.01, (1, 17, 1)) for _ in range(19)]).astype(np.float32)
    many[:, :, 0] = 0
    together = refine_motion(seen(hypotheses=many), refiner).hypotheses
    assert together is not None
    for k in (0, 8, 18):
        alone = refine_motion(seen(many[k]), refiner)
        np.testing.assert_allclose(together[k], alone.joints_3d, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_shortest_clips(seen: Callable[..., Motion], body: np.ndarray, weights: Path, count: int) -> None:
    for refiner in (
        TimeFilter("savgol"),
        TimeFilter("lowpass"),
        TimeFilter("one-euro"),
        NetworkRefiner.load(weights),
    ):
        assert np.isfinite(refine_motion(seen(body[:count]), refiner).joints_3d).all()


def test_what_cannot_be_refined_is_said(seen: Callable[..., Motion], weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to refine"):
        refine_motion(seen(valid=np.zeros(90, bool)), TimeFilter("savgol"))
    with pytest.raises(UsageError, match="unknown filter 'median'; one of: savgol, one-euro, lowpass"):
        TimeFilter("median")
    foreign = Motion(
        np.zeros(1), *(np.zeros((1, 33, 3), np.float32),) * 2, np.ones(1, bool), np.zeros(1, bool),
        np.zeros((1, 33, 2), np.float32), np.zeros((1, 33), np.float32), (10, 10), skeleton=BLAZEPOSE33,
    )  # fmt: skip
    with pytest.raises(UsageError, match="needs joints of h36m17, not blazepose33"):
        refine_motion(foreign, TimeFilter("savgol"))
    model = NetworkRefiner.load(weights).model
    for metadata in (
        {},
        {"rate_hz": 0.0, "size_exponent": 0.5, "base": "x"},
        {"rate_hz": 30, "size_exponent": 2, "base": "x"},
    ):
        bad = tmp_path / "bad.safetensors"
        save_weights(bad, "d3prefiner", model, metadata)
        with pytest.raises(InputError, match="its header is damaged"):
            NetworkRefiner.load(bad)
