"""Pinhole cameras: focal length, rays, projection, and the path of the root through space.

Camera frame as in OpenCV: x right, y down, z forward; metres, radians, pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.sparse import coo_array, csc_array

from posecli.errors import UsageError

DEFAULT_FOV_DEG = 69.4
"""Field of view along the longer side of the image when nothing is known: a 26 mm (35 mm equivalent) lens,
the main camera of most phones."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion and with square pixels.

    focal: pixels. centre: principal point (x, y), pixels.
    """

    focal: float
    centre: tuple[float, float]

    @classmethod
    def from_fov(cls, image_size: tuple[int, int], fov_deg: float = DEFAULT_FOV_DEG) -> Pinhole:
        """Camera with a field of view of `fov_deg` along the longer side, principal point in the middle.

        Raises UsageError for a field of view outside (1, 170) degrees.
        """
        if not 1.0 < fov_deg < 170.0:
            raise UsageError(f"a field of view must lie between 1 and 170 degrees, not {fov_deg:g}")
        width, height = image_size
        focal = max(width, height) / 2 / np.tan(np.radians(fov_deg) / 2)
        return cls(float(focal), (width / 2, height / 2))

    @property
    def matrix(self) -> Array:
        """The (3, 3) intrinsic matrix."""
        return np.array([[self.focal, 0, self.centre[0]], [0, self.focal, self.centre[1]], [0, 0, 1]])

    def rays(self, xy: NDArray[np.floating]) -> Array:
        """Pixels (..., 2) → directions (..., 3) with z = 1."""
        flat = (np.asarray(xy, dtype=np.float64) - self.centre) / self.focal
        return np.concatenate([flat, np.ones_like(flat[..., :1])], axis=-1)

    def project(self, points: NDArray[np.floating]) -> Array:
        """Points (..., 3) in the camera frame, any unit → pixels (..., 2)."""
        points = np.asarray(points, dtype=np.float64)
        return points[..., :2] / points[..., 2:] * self.focal + self.centre


def root_path(
    joints: NDArray[np.floating],
    keypoints: NDArray[np.floating],
    weights: NDArray[np.floating],
    timestamps_s: NDArray[np.floating],
    camera: Pinhole,
    *,
    smoothness: float = 2e-4,
) -> Array:
    """Where the root is in every frame, by least squares of the reprojection error.

    Minimises, over all root positions r_t together, Σ w (reprojection error / focal)² + smoothness · ∫|r̈|²,
    each squared error multiplied out by its depth and divided by the last iteration's (three rounds).

    joints: (T, J, 3) metres, root-relative, camera frame. keypoints: (T, J, 2) pixels. weights: (T, J) ≥ 0.
    timestamps_s: (T,) increasing. smoothness: in s³; larger values give a steadier depth.
    Returns (T, 3) metres, camera frame. The depth is only as true as the focal length and the scale.
    """
    pose = np.asarray(joints, dtype=np.float64)
    frames = len(pose)
    flat = camera.rays(keypoints)[..., :2]  # (T, J, 2): x/z, y/z
    weight = np.where(np.isfinite(flat).all(-1) & np.isfinite(pose).all(-1), weights, 0.0).astype(np.float64)
    flat, pose = np.nan_to_num(flat), np.nan_to_num(pose)

    # Unknown r: (P_xy + r_xy) - flat (P_z + r_z) = 0 for every joint and axis, that is A r = rhs with the
    # rows of A (1, 0, -x) and (0, 1, -y).
    rhs = flat * pose[..., 2:] - pose[..., :2]  # (T, J, 2)
    bend = _second_difference(np.asarray(timestamps_s, dtype=np.float64))
    penalty = smoothness * (bend.T @ bend)
    depth = np.full(frames, _first_depth(flat, pose, weight))
    path = np.zeros((frames, 3))
    for _ in range(3):
        scaled = weight / np.maximum(pose[..., 2] + depth[:, None], 0.1) ** 2  # (T, J)
        normal = np.zeros((frames, 3, 3))
        normal[:, [0, 1], [0, 1]] = scaled.sum(1)[:, None]
        normal[:, :2, 2] = normal[:, 2, :2] = -np.einsum("tj,tja->ta", scaled, flat)
        normal[:, 2, 2] = np.einsum("tj,tja,tja->t", scaled, flat, flat)
        gradient = np.einsum("tj,tja->ta", scaled, rhs)
        gradient = np.column_stack([gradient, -np.einsum("tj,tja,tja->t", scaled, flat, rhs)])
        bands = _bands(normal + 1e-9 * np.eye(3), penalty)
        path = solve_banded((6, 6), bands, gradient.ravel()).reshape(frames, 3)
        depth = np.maximum(path[:, 2], 0.3)
    return path


def _bands(blocks: Array, penalty: csc_array) -> Array:
    """The matrix with `blocks` (T, 3, 3) on its diagonal plus `penalty` (T, T; two frames' reach) for each axis,
    as LAPACK stores bands (13, 3T): entry (i, j) is in row 6 + i - j of column j."""
    bands = np.zeros((13, len(blocks), 3))
    for row in range(3):
        for column in range(3):
            bands[6 + row - column, :, column] = blocks[:, row, column]
    bands[6] += penalty.diagonal()[:, None]
    for apart in range(1, min(3, len(blocks))):
        bands[6 + 3 * apart, :-apart] += penalty.diagonal(-apart)[:, None]
        bands[6 - 3 * apart, apart:] += penalty.diagonal(apart)[:, None]
    return bands.reshape(13, -1)


def _first_depth(flat: Array, pose: Array, weight: Array) -> float:
    """Depth at which the spread of the pose matches its spread in the image, over all frames."""
    w = weight[..., None] / max(weight.sum(), 1e-9)
    seen = np.sqrt((w * (flat - (w * flat).sum((0, 1))) ** 2).sum())
    real = np.sqrt((w * (pose[..., :2] - (w * pose[..., :2]).sum((0, 1))) ** 2).sum())
    return float(np.clip(real / max(seen, 1e-6), 0.5, 100.0))


def _second_difference(times: Array) -> csc_array:
    """Matrix (T-2, T) giving the second derivative at uneven times, scaled so that its squares integrate."""
    count = len(times)
    if count < 3:
        return csc_array((0, count))
    before, after = np.diff(times)[:-1], np.diff(times)[1:]
    span = (before + after) / 2
    row = np.arange(count - 2)
    values = np.concatenate([1 / before, -(1 / before + 1 / after), 1 / after]) / np.tile(np.sqrt(span), 3)
    columns = np.concatenate([row, row + 1, row + 2])
    return csc_array(coo_array((values, (np.tile(row, 3), columns)), shape=(count - 2, count)))
