"""Error measures in cases whose answer is known without them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posecli.bench.metrics import (
    acceleration_error,
    auc,
    bone_drift,
    mean_acceleration,
    mpjpe,
    mpjve,
    n_mpjpe,
    p_mpjpe,
    pck,
    procrustes_align,
)

RNG = np.random.default_rng(0)
POSES = RNG.normal(size=(6, 17, 3))


def test_mpjpe_of_a_shift_is_its_length() -> None:
    np.testing.assert_allclose(mpjpe(POSES + np.array([3.0, 0.0, 4.0]), POSES), 5.0, rtol=1e-12)
    one_joint = POSES.copy()
    one_joint[:, 5, 1] += 1.7
    np.testing.assert_allclose(mpjpe(one_joint, POSES), 0.1, rtol=1e-12)


def test_a_similarity_leaves_no_error() -> None:
    turn = Rotation.random(6, random_state=1).as_matrix()
    moved = 2.5 * POSES @ turn + RNG.normal(size=(6, 1, 3))
    np.testing.assert_allclose(p_mpjpe(moved, POSES), 0.0, atol=1e-12)
    np.testing.assert_allclose(procrustes_align(moved, POSES), POSES, atol=1e-12)


def test_a_mirrored_pose_stays_wrong() -> None:
    assert p_mpjpe(POSES * [-1, 1, 1], POSES).min() > 0.1


def test_flat_poses_may_be_mirrored_in_their_plane_by_turning_over() -> None:
    flat = POSES * [1, 1, 0]
    np.testing.assert_allclose(p_mpjpe(flat * [-1, 1, 1], flat), 0.0, atol=1e-7)


def test_a_known_optimum() -> None:
    """Square of side 2 against a rectangle 4 × 2: the best scale of the square is 1.5, each corner 0.5·√2 off."""
    square = np.array([[1, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]], dtype=float)
    np.testing.assert_allclose(p_mpjpe(square, square * [2, 1, 1]), 0.5 * np.sqrt(2), rtol=1e-12)


def test_a_pose_without_extent_is_only_moved() -> None:
    aligned = procrustes_align(np.full((17, 3), 7.0), POSES[0])
    np.testing.assert_allclose(aligned, np.broadcast_to(POSES[0].mean(axis=0), (17, 3)), atol=1e-12)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_leading_axes_are_free(lead: tuple[int, ...]) -> None:
    a, b = RNG.normal(size=(2, *lead, 17, 3)).astype(np.float32)
    assert p_mpjpe(a, b).shape == lead and p_mpjpe(a, b).dtype == np.float64
    assert (p_mpjpe(a, b) <= mpjpe(a - a.mean(-2, keepdims=True), b - b.mean(-2, keepdims=True)) + 0.05).all()


def test_n_mpjpe_ignores_size_only() -> None:
    np.testing.assert_allclose(n_mpjpe(0.3 * POSES, POSES), 0.0, atol=1e-12)
    away = np.array([[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(n_mpjpe(away * [0, 1, 0] + [0, 5, 0], away), 0.5)  # nothing in common: scale 0
    assert np.isfinite(n_mpjpe(np.zeros((1, 2, 3)), away)).all()


def test_velocity_error_of_a_steady_drift() -> None:
    truth = RNG.normal(size=(20, 17, 3))
    drift = np.arange(20)[:, None, None] * np.array([0.0, 0.3, 0.4])
    np.testing.assert_allclose(mpjve(truth + drift, truth), np.full(19, 0.5))
    np.testing.assert_allclose(mpjve(truth + 7.0, truth), 0.0, atol=1e-12)


def test_a_falling_body_accelerates_as_it_falls() -> None:
    """½ g t² sampled at 50 Hz: second differences give g exactly."""
    seconds = np.arange(30) / 50
    falling = np.zeros((30, 17, 3)) + 0.5 * 9810.0 * seconds[:, None, None] ** 2 * [0.0, 1.0, 0.0]
    np.testing.assert_allclose(mean_acceleration(falling, 50), np.full(28, 9810.0))
    np.testing.assert_allclose(acceleration_error(falling, np.zeros_like(falling), 50), np.full(28, 9810.0))
    np.testing.assert_allclose(acceleration_error(falling + 3.0, falling, 50), 0.0, atol=1e-6)


def test_bone_drift_of_a_breathing_bone() -> None:
    """One of two bones is 9 and 11 cm by turns: it strays by 10 % of its mean, the other not at all."""
    poses = np.zeros((10, 3, 3))
    poses[:, 1, 0] = np.where(np.arange(10) % 2, 9.0, 11.0)
    poses[:, 2, 1] = 4.0
    np.testing.assert_allclose(bone_drift(poses, [(0, 1), (0, 2)]), [0.1, 0.0], atol=1e-12)


def test_pck_is_strict_and_auc_has_31_thresholds() -> None:
    assert pck(np.array([149.999, 150.0, 151.0, 0.0])) == 50.0
    assert auc(np.array([0.0])) == pytest.approx(100 * 30 / 31)  # nothing is below the threshold of 0
    assert auc(np.array([72.0])) == pytest.approx(100 * 16 / 31)  # 75, 80 … 150
