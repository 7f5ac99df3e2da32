"""Pinhole cameras: focal length, rays, projection, and the path of the root through space.

Camera frame as in OpenCV: x right, y down, z forward; metres, radians, pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

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
        """Points (..., 3) before the camera (z > 0), in its frame, any unit → pixels (..., 2)."""
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
    flat = camera.rays(keypoints)[..., :2]  # (T, J, 2): x/z, y/z
    weight = np.where(np.isfinite(flat).all(-1) & np.isfinite(pose).all(-1), weights, 0.0).astype(np.float64)
    flat, pose = (np.where(np.isfinite(x), x, 0.0) for x in (flat, pose))
    bending = smoothness * _bending(np.asarray(timestamps_s, dtype=np.float64))
    depth = np.full(len(pose), _first_depth(flat, pose, weight))
    path = np.zeros((len(pose), 3))
    for _ in range(3):
        path = _solve(flat, pose, weight / np.maximum(pose[..., 2] + depth[:, None], 0.1) ** 2, bending)
        depth = np.maximum(path[:, 2], 0.3)
    return path


def _solve(flat: Array, pose: Array, weight: Array, bending: Array) -> Array:
    """Root positions r (T, 3) that minimise Σ w |P_xy + r_xy - f (P_z + r_z)|² + the path's bending.

    flat: f (T, J, 2). pose: P (T, J, 3). weight: w (T, J). bending: see `_bending`. The normal equations couple
    a frame with the next two only: a band of six beside the diagonal, solved in time and memory linear in T.
    """
    u, v = flat[..., 0], flat[..., 1]
    miss_u = weight * (u * pose[..., 2] - pose[..., 0])
    miss_v = weight * (v * pose[..., 2] - pose[..., 1])
    total, total_u, total_v = weight.sum(1), (weight * u).sum(1), (weight * v).sum(1)
    spread = (weight * (u**2 + v**2)).sum(1)
    # Lower band: entry [k, t, i] couples unknown 3t + i with the one k places later.
    band = np.zeros((7, len(pose), 3))
    band[0] = np.stack([total, total, spread], axis=1)
    band[1, :, 1] = -total_v
    band[2, :, 0] = -total_u
    band[0::3] += bending[..., None]
    # Frames that nothing holds must not leave the system without a solution, nor rounding without a root.
    band[0] += 1e-9 * total.mean() + 1e-14 * band[0].max() + 1e-15
    right = np.stack([miss_u.sum(1), miss_v.sum(1), -(u * miss_u + v * miss_v).sum(1)], axis=1)
    return solveh_banded(band.reshape(7, -1), right.ravel(), lower=True).reshape(-1, 3)


def _first_depth(flat: Array, pose: Array, weight: Array) -> float:
    """Depth at which the spread of the pose about its middle matches its spread in the image, over all frames."""
    w = weight[..., None]
    share = w / np.maximum(w.sum(1, keepdims=True), 1e-12)
    seen, real = (
        (w * (points - (share * points).sum(1, keepdims=True)) ** 2).sum() for points in (flat, pose[..., :2])
    )
    return float(np.clip(np.sqrt(real / max(seen, 1e-12 * weight.sum() + 1e-300)), 0.5, 100.0))


def _bending(times: Array) -> Array:
    """Matrix of the quadratic form ∫|r̈|² for r at uneven times: its diagonal and the two below, (3, T)."""
    bands = np.zeros((3, len(times)))
    if len(times) < 3:
        return bands
    steps = np.maximum(np.diff(times), 4e-3)  # frames almost at once would outweigh all others
    before, after = steps[:-1], steps[1:]
    # Second difference of three neighbours, scaled so that its squares integrate.
    span = np.sqrt((before + after) / 2)
    a, b, c = 1 / before / span, -(1 / before + 1 / after) / span, 1 / after / span
    bands[0, :-2] += a**2
    bands[0, 1:-1] += b**2
    bands[0, 2:] += c**2
    bands[1, :-2] += a * b
    bands[1, 1:-1] += b * c
    bands[2, :-2] = a * c
    return bands
