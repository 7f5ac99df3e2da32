"""Square regions of interest, rotated so that the person stands upright, and how they follow the person.

Geometry of MediaPipe's pose graph (Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking",
2020): a region is spanned by two alignment points, the centre of the hips and a point on the circle around
it that encloses the whole body; the vector between them gives size and rotation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 1.25  # the crop is this much larger than the body's circle


@dataclass(frozen=True)
class Roi:
    """A square in the image. centre (x, y) and side in pixels; rotation in radians, clockwise as seen."""

    x: float
    y: float
    side: float
    rotation: float = 0.0

    @classmethod
    def around(cls, centre: NDArray[np.floating], rim: NDArray[np.floating], margin: float = MARGIN) -> Roi:
        """The square about the circle with this centre through `rim` (2,) pixels, turned so that the
        vector from centre to rim points up in the crop."""
        dx, dy = (float(value) for value in rim - centre)
        rotation = math.pi / 2 - math.atan2(-dy, dx)
        rotation -= 2 * math.pi * math.floor((rotation + math.pi) / (2 * math.pi))
        return cls(float(centre[0]), float(centre[1]), 2 * math.hypot(dx, dy) * margin, rotation)

    @classmethod
    def letterbox(cls, width: int, height: int) -> Roi:
        """The smallest upright square about the whole picture."""
        return cls(width / 2, height / 2, max(width, height))

    def to_image(self, cells: int) -> NDArray[np.float64]:
        """(2, 3) affine from a grid of cells × cells over this square to image pixels."""
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        linear = np.array([[cos, -sin], [sin, cos]]) * (self.side / cells)
        shift = np.array([self.x, self.y]) - linear @ np.full(2, cells / 2)
        return np.column_stack([linear, shift])

    def usable(self) -> bool:
        """False for a square that cannot be cut out (not finite, or nothing of it left)."""
        return bool(np.isfinite([self.x, self.y, self.side, self.rotation]).all()) and 1.0 < self.side < 1e5


def apply_affine(affine: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.floating]:
    """(2, 3) affine applied to points (..., 2)."""
    return points @ affine[:, :2].T + affine[:, 2]


class OneEuro:
    """Low-pass filter that opens up with speed (Casiez et al., "1 € Filter", CHI 2012), as MediaPipe sets it
    for the alignment points: their jitter would shake the next crop.

    Speeds are measured in body sizes per second, at the nominal 30 frames per second that MediaPipe assumes.
    """

    rate_hz = 30.0
    min_cutoff_hz = 0.01
    beta = 10.0
    speed_cutoff_hz = 1.0

    def __init__(self) -> None:
        self._raw: NDArray[np.float64] | None = None
        self._speed = np.zeros(0)
        self._value = np.zeros(0)

    def __call__(self, value: NDArray[np.float64], body_size: float) -> NDArray[np.float64]:
        """Next value (any shape, pixels) of a body of this size in pixels → smoothed value."""
        if self._raw is None or body_size < 1e-6:
            self._raw, self._speed, self._value = value, np.zeros_like(value), value
            return value
        speed = (value - self._raw) / body_size * self.rate_hz
        self._speed = self._speed + self._weight(np.float64(self.speed_cutoff_hz)) * (speed - self._speed)
        weight = self._weight(self.min_cutoff_hz + self.beta * np.abs(self._speed))
        self._raw, self._value = value, self._value + weight * (value - self._value)
        return self._value

    def _weight(self, cutoff_hz: NDArray[np.float64] | np.float64) -> NDArray[np.float64] | np.float64:
        return 1.0 / (1.0 + self.rate_hz / (2 * math.pi * cutoff_hz))
