"""Cameras, and the path of the root by least squares of the reprojection error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

from posecli.bench.clips import load_truth
from posecli.camera import DEFAULT_FOV_DEG, Pinhole, root_path
from posecli.demo import shipped_motion
from posecli.errors import UsageError
from posecli.skeleton import LIMBS

RNG = np.random.default_rng(0)
CAMERA = Pinhole.from_fov((1280, 720))


def moving_person(times: np.ndarray) -> np.ndarray:
    """Root-relative joints (T, 17, 3) in the camera frame."""
    points = shipped_motion().points[: len(times), :17].astype(np.float64) * [1, -1, -1]
    return points - points[:, :1]


def test_field_of_view_is_that_of_the_longer_side() -> None:
    wide = Pinhole.from_fov((1000, 600), 90.0)
    assert wide.focal == pytest.approx(500.0) and wide.centre == (500.0, 300.0)
    assert Pinhole.from_fov((600, 1000), 90.0).focal == pytest.approx(500.0)
    # A 26 mm lens on 36 mm of film sees 2·atan(18 / 26).
    assert pytest.approx(np.degrees(2 * np.arctan(18 / 26)), abs=0.05) == DEFAULT_FOV_DEG
    for fov in (0.5, 1.0, 170.0, 190.0, float("nan")):
        with pytest.raises(UsageError, match="field of view"):
            Pinhole.from_fov((640, 480), fov)


def test_projection_is_the_matrix_and_undone_by_rays() -> None:
    camera = Pinhole(800.0, (310.0, 255.0))
    np.testing.assert_allclose(camera.project(np.array([[0.5, -0.25, 2.0]])), [[510.0, 155.0]])
    points = RNG.uniform(-1, 1, (20, 3)) + np.array([0, 0, 3])
    homogeneous = points @ camera.matrix.T
    np.testing.assert_allclose(camera.project(points), homogeneous[:, :2] / homogeneous[:, 2:])
    np.testing.assert_allclose(camera.rays(camera.project(points)) * points[:, 2:], points)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 60])
def test_steady_motion_is_found_exactly(count: int) -> None:
    """A path without acceleration costs nothing, so without noise it is the answer: at even and uneven times."""
    times = np.cumsum(RNG.uniform(0.01, 0.06, count))
    pose = moving_person(times)
    truth = np.array([-1.0, 0.3, 5.0]) + times[:, None] * [0.8, -0.1, -0.5]
    keypoints = CAMERA.project(pose + truth[:, None])
    path = root_path(pose, keypoints, np.ones((count, 17)), times, CAMERA)
    np.testing.assert_allclose(path, truth, atol=1e-5)


def test_frames_without_a_person_are_crossed_straight() -> None:
    times = np.arange(60) / 30
    pose = moving_person(times)
    truth = np.array([0.5, 0.2, 3.0]) + times[:, None] * [0.3, 0.0, 0.4]
    keypoints = CAMERA.project(pose + truth[:, None])
    keypoints[20:30], keypoints[45, 3], keypoints[50, 8] = np.nan, np.nan, np.inf
    pose[25] = np.nan
    path = root_path(pose, keypoints, np.ones((60, 17)), times, CAMERA)
    np.testing.assert_allclose(path, truth, atol=1e-4)


def test_it_minimises_the_documented_cost() -> None:
    """Against a general minimiser of Σ w |reprojection error / focal|² + smoothness ∫|r̈|²."""
    times = np.cumsum(RNG.uniform(0.02, 0.05, 25))
    pose, smoothness = moving_person(times), 2e-4
    truth = np.stack([np.sin(3 * times), 0.1 * times, 3 + 0.4 * np.cos(4 * times)], axis=-1)
    keypoints = CAMERA.project(pose + truth[:, None]) + RNG.normal(0, 1.5, (25, 17, 2))
    weights = RNG.uniform(0.2, 1, (25, 17))
    before, after = np.diff(times)[:-1, None], np.diff(times)[1:, None]

    def residuals(flat: np.ndarray) -> np.ndarray:
        path = flat.reshape(25, 3)
        miss = (CAMERA.project(pose + path[:, None]) - keypoints) / CAMERA.focal
        step = np.diff(path, axis=0)
        span = (before + after) / 2
        bend = (step[1:] / after - step[:-1] / before) / span * np.sqrt(smoothness * span)
        return np.concatenate([(np.sqrt(weights)[..., None] * miss).ravel(), bend.ravel()])

    best = least_squares(residuals, truth.ravel(), xtol=1e-12, ftol=1e-12).x.reshape(25, 3)
    path = root_path(pose, keypoints, weights, times, CAMERA, smoothness=smoothness)
    assert np.abs(path - best).max() < 0.005  # depth in the weights is the last iteration's
    assert (residuals(path.ravel()) ** 2).sum() < 1.001 * (residuals(best.ravel()) ** 2).sum()


def test_it_stays_sane_where_nothing_is_known() -> None:
    times = np.array([0.0, 1e-6, 0.5, 0.5 + 1e-6, 1.0])  # frames almost at once
    pose = moving_person(times)
    keypoints = CAMERA.project(pose + np.array([0.2, 0.1, 20.0]))
    path = root_path(pose, keypoints, np.full((5, 17), 0.01), times, CAMERA)
    np.testing.assert_allclose(path, np.tile([0.2, 0.1, 20.0], (5, 1)), rtol=0.02)
    assert np.isfinite(root_path(pose, keypoints, np.zeros((5, 17)), times, CAMERA)).all()
    assert np.isfinite(root_path(0 * pose, 0 * keypoints, np.ones((5, 17)), times, CAMERA)).all()


@pytest.mark.parametrize("name", ["opencap_STS", "opencap_walk_ts"])
def test_the_marked_root_is_found(shared_data: Path, name: str) -> None:
    """True joints and true focal length with the truth's own image points, which are 5 to 10 px off (no lens
    distortion in `Pinhole`): the root's path to within centimetres of the markers'."""
    folder = shared_data / "videos" / name
    truth, limbs = load_truth(folder / "ref.npz"), list(LIMBS)
    with np.load(folder / "ref.npz") as file:
        uv, times, matrix = file["uv_px"].astype(np.float64), file["time_video"], file["K"]
    camera = Pinhole(float(matrix[0, 0]), (float(matrix[0, 2]), float(matrix[1, 2])))
    good = np.isfinite(truth[:, limbs]).all(axis=(1, 2)) & np.isfinite(uv[:, limbs]).all(axis=(1, 2))
    truth, uv, times = truth[good], uv[good], times[good]
    pose = truth - truth[:, :1]
    path = root_path(pose, uv, np.ones(uv.shape[:2]), times, camera)
    error = np.abs(path - truth[:, 0])
    assert (np.median(error, axis=0) < [0.02, 0.02, 0.06]).all()
    exact = root_path(pose, camera.project(truth), np.ones(uv.shape[:2]), times, camera)
    assert np.abs(exact - truth[:, 0]).max() < 0.015  # smoothing alone
