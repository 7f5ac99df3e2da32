"""2D keypoints of one person through a clip: what detection hands to lifting."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.skeleton import H36M17, Skeleton, scores_to_h36m17, to_h36m17


@dataclass(frozen=True)
class Keypoints2D:
    """One person's joints in the image, a row per frame of the source.

    xy: (T, J, 2) float32 pixels of the upright image, origin at its top left corner; NaN where not found.
    scores: (T, J) float32 in [0, 1]; 0 where not found.
    found: (T,) bool, a person was seen in this frame.
    timestamps_s: (T,) float64 seconds, strictly increasing.
    image_size: (width, height) pixels.
    world: (T, J, 3) float32 metres, the detector's own 3D guess (hip-centred, x right, y down, z forward),
        where it makes one: only to compare with.
    provenance: detector, version, weights hash, settings and source, ready for JSON.
    """

    xy: NDArray[np.float32]
    scores: NDArray[np.float32]
    found: NDArray[np.bool_]
    timestamps_s: NDArray[np.float64]
    skeleton: Skeleton
    image_size: tuple[int, int]
    world: NDArray[np.float32] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        t, j = len(self.timestamps_s), self.skeleton.num_joints
        shapes: dict[str, tuple[int, ...]] = {"xy": (t, j, 2), "scores": (t, j), "found": (t,)}
        if self.world is not None:
            shapes["world"] = (t, j, 3)
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")
        if not np.isfinite(self.timestamps_s).all():
            raise ValueError("timestamps_s must be finite")
        if t > 1 and not np.all(np.diff(self.timestamps_s) > 0):
            raise ValueError("timestamps_s must increase from frame to frame")

    def __len__(self) -> int:
        return len(self.timestamps_s)

    def to_h36m17(self) -> Keypoints2D:
        """The same person on Human3.6M-17, by the table in `posecli.skeleton`."""
        if self.skeleton == H36M17:
            return self
        return replace(
            self,
            xy=to_h36m17(self.xy, self.skeleton).astype(np.float32),
            scores=scores_to_h36m17(self.scores, self.skeleton).astype(np.float32),
            world=None if self.world is None else to_h36m17(self.world, self.skeleton).astype(np.float32),
            skeleton=H36M17,
        )
