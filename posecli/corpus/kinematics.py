"""What both motion capture readers share: a posed skeleton, rotations from Euler angles, numbers from text."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Posed:
    """A skeleton over time, in the world of its file.

    positions: (T, N, 3), in the unit of the reader (metres for ASF/AMC, the file's own for BVH).
    rotations: (T, N, 3, 3), the rotation of each node's frame; identity in the rest pose.
    """

    names: tuple[str, ...]
    positions: Array
    rotations: Array

    def __len__(self) -> int:
        return len(self.positions)

    def at(self, name: str) -> Array:
        """Position (T, 3) of a node. Raises KeyError where there is none of that name."""
        return self.positions[:, self._index(name)]

    def turn(self, name: str) -> Array:
        """Rotation (T, 3, 3) of a node. Raises KeyError where there is none of that name."""
        return self.rotations[:, self._index(name)]

    def cut(self, start: int, end: int) -> Posed:
        """Frames start ≤ t < end."""
        return Posed(self.names, self.positions[start:end], self.rotations[start:end])

    def _index(self, name: str) -> int:
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(name) from None


def euler_matrices(angles_deg: Array, axes: str) -> Array:
    """Angles (..., K) in degrees about `axes` (K letters of "xyz") → (..., 3, 3).

    The first letter turns last: R = R(axes[0]) · R(axes[1]) · …, each about the axes already turned (what
    BVH channels mean). No angle at all gives the identity.
    """
    shape = angles_deg.shape[:-1]
    result = np.broadcast_to(np.eye(3), (*shape, 3, 3))
    radians = np.deg2rad(angles_deg)
    for k, axis in enumerate(axes):
        i, j = ((1, 2), (2, 0), (0, 1))["xyz".index(axis)]
        c, s = np.cos(radians[..., k, None]), np.sin(radians[..., k, None])
        # Multiplying by an elementary rotation from the right mixes two columns; no 3×3 product is needed.
        turned = result.copy()
        turned[..., i] = c * result[..., i] + s * result[..., j]
        turned[..., j] = c * result[..., j] - s * result[..., i]
        result = turned
    return np.ascontiguousarray(result)


def parse_numbers(text: bytes) -> Array:
    """White-space separated numbers, or an empty array where any word is not one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # NumPy's only sign that it stopped early
        try:
            return np.fromstring(text, dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            return np.empty(0)
