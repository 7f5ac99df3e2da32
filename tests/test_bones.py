"""Bones that keep their length."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.bones import usual_lengths, with_lengths
from posecli.skeleton import H36M17

CHILD = [j for j, p in enumerate(H36M17.parents) if p >= 0]
PARENT = [H36M17.parents[j] for j in CHILD]


def lengths_of(poses: np.ndarray) -> np.ndarray:
    return np.linalg.norm(poses[..., CHILD, :] - poses[..., PARENT, :], axis=-1)


def breathing(frames: int = 220) -> tuple[np.ndarray, np.ndarray]:
    """Poses (T, 17, 3) whose bones have known directions, and lengths that change by up to a tenth."""
    rng = np.random.default_rng(0)
    way = rng.normal(size=(frames, 17, 3))
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    swing = 0.4 * (1 + 0.1 * np.sin(np.arange(frames) / 7))
    poses = np.zeros((frames, 17, 3))
    for joint in CHILD:  # in Human3.6M-17 parents come first
        poses[:, joint] = poses[:, H36M17.parents[joint]] + way[:, joint] * swing[:, None]
    return poses, way


def test_lengths_are_constant_and_directions_stay() -> None:
    poses, way = breathing()
    fixed = with_lengths(poses, usual_lengths(poses, H36M17), H36M17)
    assert lengths_of(fixed) == pytest.approx(np.full((220, 16), 0.4), abs=2e-3)
    assert np.ptp(lengths_of(fixed), axis=0).max() < 1e-12
    bones = fixed[:, CHILD] - fixed[:, PARENT]
    np.testing.assert_allclose(
        bones / np.linalg.norm(bones, axis=-1, keepdims=True), way[:, CHILD], atol=1e-12
    )
    np.testing.assert_array_equal(fixed[:, 0], poses[:, 0])


def test_left_and_right_meet_in_the_middle() -> None:
    poses, _ = breathing()
    poses[:, [5, 6]] += (poses[:, 5] - poses[:, 4])[:, None] * 0.5  # left thigh half as long again
    lengths = usual_lengths(poses, H36M17)
    assert lengths[H36M17.index("LKnee")] == lengths[H36M17.index("RKnee")] == pytest.approx(0.5, abs=3e-3)


def test_absent_frames_stay_absent_and_count_for_nothing() -> None:
    poses, _ = breathing()
    lengths = usual_lengths(poses, H36M17)
    gappy = np.concatenate([poses, np.full((50, 17, 3), np.nan)])
    np.testing.assert_array_equal(usual_lengths(gappy, H36M17), lengths)
    assert np.isnan(with_lengths(gappy, lengths, H36M17)[220:]).all()


def test_a_bone_without_length_stays() -> None:
    poses, _ = breathing(3)
    poses[1] = 0.0
    assert (with_lengths(poses, np.full(17, 0.4), H36M17)[1] == 0).all()
