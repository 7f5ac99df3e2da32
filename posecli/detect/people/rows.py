"""One person's keypoints as they arrive: all that is kept of a frame."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.detect.keypoints import Keypoints2D
from posecli.detect.people.sight import Eyes, Sight


class Rows:
    """Frames in which the person was seen, in order; half of what a list of arrays takes."""

    def __init__(self, eyes: Eyes) -> None:
        self._skeleton, self._has_world = eyes.skeleton, eyes.has_world
        self._width = 6 if eyes.has_world else 3  # x, y, score, world
        self._frames = array("q")
        self._values = array("f")

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def frames(self) -> NDArray[np.int64]:
        return np.frombuffer(self._frames, dtype=np.int64).copy()

    def append(self, frame: int, sight: Sight) -> None:
        """Frames must increase."""
        row = np.empty((self._skeleton.num_joints, self._width), dtype=np.float32)
        row[:, :2], row[:, 2] = sight.xy, sight.scores
        if self._has_world:
            row[:, 3:] = sight.world
        self._frames.append(frame)
        self._values.frombytes(row.tobytes())

    def values(self) -> NDArray[np.float32]:
        """(N, J, 3 or 6)"""
        shape = (-1, self._skeleton.num_joints, self._width)
        return np.frombuffer(self._values, dtype=np.float32).reshape(shape)

    @staticmethod
    def keypoints(
        rows: list[Rows],
        eyes: Eyes,
        times: NDArray[np.float64],
        image_size: tuple[int, int],
        provenance: dict[str, Any],
    ) -> Keypoints2D:
        """Keypoints over all T frames of the clip from stretches of one person that share no frame."""
        t, joints, width = len(times), eyes.skeleton.num_joints, 6 if eyes.has_world else 3
        table = np.full((t, joints, width), np.nan, dtype=np.float32)
        table[..., 2] = 0.0
        found = np.zeros(t, dtype=bool)
        for part in rows:
            table[part.frames] = part.values()
            found[part.frames] = True
        return Keypoints2D(
            xy=table[..., :2].copy(),
            scores=table[..., 2].copy(),
            found=found,
            timestamps_s=times,
            skeleton=eyes.skeleton,
            image_size=image_size,
            world=table[..., 3:].copy() if eyes.has_world else None,
            provenance=provenance,
        )
