"""Error measures in cases whose answer is known without them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posecli.bench.metrics import mpjpe, p_mpjpe, procrustes_align

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
