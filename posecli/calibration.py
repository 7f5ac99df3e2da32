"""Calibrated cameras of data sets: place, direction, lens. For the benches that know them; a video's is unknown.

Screen coordinates are normalised as VideoPose3D does: x in [-1, 1] across the image, y in the same unit, both about
the image's middle. Camera frame as everywhere: x right, y down, z forward, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
Points = NDArray[np.floating]


def to_screen(pixels: Points, image_size: tuple[int, int]) -> Array:
    """Pixels (..., 2) → normalised screen coordinates: X / w * 2 - [1, h / w]."""
    width, height = image_size
    return np.asarray(pixels, dtype=np.float64) / width * 2 - np.array([1, height / width])


def from_screen(screen: Points, image_size: tuple[int, int]) -> Array:
    """The inverse of `to_screen`."""
    width, height = image_size
    return (np.asarray(screen, dtype=np.float64) + np.array([1, height / width])) * width / 2


def rotation(quaternion: Points) -> Rotation:
    """Rotations from quaternions (..., 4) in the order w, x, y, z."""
    q = np.asarray(quaternion, dtype=np.float64)
    return Rotation.from_quat(q[..., [1, 2, 3, 0]])


@dataclass(frozen=True)
class CalibratedCamera:
    """focal, centre: (x, y) in pixels. radial: k1, k2, k3. tangential: p1, p2. image_size: (width, height).

    orientation: quaternion (w, x, y, z) that turns the camera's axes into the world's. translation: the camera's
    place in the world, metres.
    """

    focal: tuple[float, float]
    centre: tuple[float, float]
    image_size: tuple[int, int]
    radial: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tangential: tuple[float, float] = (0.0, 0.0)
    orientation: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def intrinsics(self) -> Array:
        """(9,): focal lengths and centre in screen coordinates, radial, tangential distortion."""
        focal = np.asarray(self.focal) / self.image_size[0] * 2
        centre = to_screen(np.asarray(self.centre), self.image_size)
        return np.concatenate([focal, centre, self.radial, self.tangential])

    def from_world(self, points: Points) -> Array:
        """World points (..., 3) → this camera's frame."""
        return self._turn(np.asarray(points, dtype=np.float64) - self.translation, inverse=True)

    def to_world(self, points: Points) -> Array:
        """Points (..., 3) in this camera's frame → world."""
        return self._turn(np.asarray(points, dtype=np.float64), inverse=False) + self.translation

    def project(self, points: Points, *, distort: bool = True) -> Array:
        """Points (..., 3) in this camera's frame → screen coordinates (..., 2).

        As released (VideoPose3D): X / Z and Y / Z are cut to [-1, 1] before the lens, whose polynomials run away
        further out. distort: apply the lens.
        """
        points = np.asarray(points, dtype=np.float64)
        flat = np.clip(points[..., :2] / points[..., 2:], -1, 1)
        focal, centre, radial, tangential = np.split(self.intrinsics, [2, 4, 7])
        if distort:
            r2 = (flat**2).sum(axis=-1, keepdims=True)
            stretch = 1 + (radial * np.concatenate([r2, r2**2, r2**3], axis=-1)).sum(axis=-1, keepdims=True)
            tilt = (tangential * flat).sum(axis=-1, keepdims=True)
            flat = flat * (stretch + tilt) + tangential * r2
        return focal * flat + centre

    def back_project(self, screen: Points, depth: Points) -> Array:
        """Screen coordinates (..., 2) at `depth` (..., 1), metres, → points (..., 3) in this camera's frame. The
        lens is taken as free of distortion.
        """
        focal, centre = self.intrinsics[:2], self.intrinsics[2:4]
        flat = (np.asarray(screen, dtype=np.float64) - centre) / focal
        return np.concatenate([flat * depth, np.broadcast_to(depth, (*flat.shape[:-1], 1))], axis=-1)

    def _turn(self, points: Array, *, inverse: bool) -> Array:
        turn = rotation(np.asarray(self.orientation))
        return turn.apply(points.reshape(-1, 3), inverse=inverse).reshape(points.shape)
