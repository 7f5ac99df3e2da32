"""Motion: the result that lifting makes, refining improves and exporters write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.skeleton import H36M17, Skeleton


@dataclass(frozen=True)
class Motion:
    """3D motion of one person, a row per frame of the source.

    Coordinates are the camera's (x right, y down, z forward), metres, relative to the root joint (the pelvis).
    Frames with nobody hold NaN in every 3D array and False in `valid`.

    timestamps_s: (T,) float64 seconds, the source's own.
    joints_3d: (T, J, 3) float32.
    joints_3d_std: (T, J, 3) float32, standard deviation along each axis; NaN where the lifter, another program's, did
        not state any.
    valid: (T,) bool, a pose exists (measured or bridged).
    bridged: (T,) bool, the pose was filled in over a short gap in the detections.
    keypoints_2d, scores_2d: (T, J, 2) pixels and (T, J): what was lifted.
    root_path: (T, 3) float32, position of the root in the camera frame, estimated; None where not estimated.
    hypotheses: (H, T, J, 3) float32, where asked for.
    unrefined_3d: (T, J, 3) float32, what `joints_3d` was before anything refined it; None where nothing did.
    image_size: (width, height) pixels.
    scale_source: where the metric scale comes from: "prior" (the size of people in the training data) or
        "height" (the user gave one).
    settings: method, weights hash, seed, detector, versions …, ready for JSON.
    """

    timestamps_s: NDArray[np.float64]
    joints_3d: NDArray[np.float32]
    joints_3d_std: NDArray[np.float32]
    valid: NDArray[np.bool_]
    bridged: NDArray[np.bool_]
    keypoints_2d: NDArray[np.float32]
    scores_2d: NDArray[np.float32]
    image_size: tuple[int, int]
    root_path: NDArray[np.float32] | None = None
    hypotheses: NDArray[np.float32] | None = None
    unrefined_3d: NDArray[np.float32] | None = None
    skeleton: Skeleton = H36M17
    frame: str = "camera"
    units: str = "m"
    scale_source: str = "prior"
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        t, j = len(self.timestamps_s), self.skeleton.num_joints
        shapes: dict[str, tuple[int, ...]] = {
            "joints_3d": (t, j, 3), "joints_3d_std": (t, j, 3), "valid": (t,), "bridged": (t,),
            "keypoints_2d": (t, j, 2), "scores_2d": (t, j),
        }  # fmt: skip
        if self.root_path is not None:
            shapes["root_path"] = (t, 3)
        if self.hypotheses is not None:
            shapes["hypotheses"] = (*self.hypotheses.shape[:1], t, j, 3)
        if self.unrefined_3d is not None:
            shapes["unrefined_3d"] = (t, j, 3)
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")

    def __len__(self) -> int:
        return len(self.timestamps_s)

    def segments(self) -> list[slice]:
        """Stretches of frames without a gap, in order: a long absence splits a motion into several."""
        return stretches(self.valid)


def stretches(mask: NDArray[np.bool_]) -> list[slice]:
    """The runs of true entries of a mask (T,), in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def frame_ranges(mask: NDArray[np.bool_], most: int = 8) -> str:
    """The true entries of a mask as "0-4, 9, 12-40"."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    ranges = [f"{a}" if b - a == 1 else f"{a}-{b - 1}" for a, b in edges.reshape(-1, 2)]
    return ", ".join(ranges[:most]) + (
        f" and {len(ranges) - most} more stretches" if len(ranges) > most else ""
    )
