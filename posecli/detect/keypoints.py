"""2D keypoints of one person through a clip: what detection hands to lifting."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posecli.skeleton import H36M17, Skeleton, scores_to_h36m17, to_h36m17

if TYPE_CHECKING:
    from posecli.detect.foreign import Timing


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

    @classmethod
    def from_file(cls, path: str | Path, format: str = "auto", timing: Timing | None = None) -> Keypoints2D:
        """What another tool found, of the person who is largest over the clip; see `posecli.detect.foreign`.

        format: a name in `posecli.detect.foreign.FORMATS`, or "auto" to go by the content.
        timing: times or rate, and size, where the file does not tell them.
        Raises InputError, UsageError or NobodyError.
        """
        from posecli.detect.foreign import load_foreign

        return load_foreign(path, format, timing)

    @classmethod
    def from_openpose(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """A folder of OpenPose's JSON files, one per frame."""
        return cls.from_file(path, "openpose", timing)

    @classmethod
    def from_alphapose(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """AlphaPose's `alphapose-results.json`."""
        return cls.from_file(path, "alphapose", timing)

    @classmethod
    def from_coco(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """Results or annotations in COCO's layout."""
        return cls.from_file(path, "coco", timing)

    @classmethod
    def from_mmpose(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """Predictions of MMPose's Inferencer or demo scripts."""
        return cls.from_file(path, "mmpose", timing)

    @classmethod
    def from_vitpose(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """easy_ViTPose's JSON, or that of Transformers' ViTPose."""
        return cls.from_file(path, "vitpose", timing)

    @classmethod
    def from_vp3d(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """VideoPose3D's `data_2d_….npz`, or what its Detectron script writes."""
        return cls.from_file(path, "vp3d", timing)

    @classmethod
    def from_halpe(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """Halpe's 26 or 136 joints, as AlphaPose's results or in COCO's layout."""
        return cls.from_file(path, "halpe", timing)

    @classmethod
    def from_csv(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """A table with columns nose_x, nose_y, nose_score …; or DeepLabCut's."""
        return cls.from_file(path, "csv", timing)

    @classmethod
    def from_trc(cls, path: str | Path, timing: Timing | None = None) -> Keypoints2D:
        """A TRC file with pixels, as Sports2D writes."""
        return cls.from_file(path, "trc", timing)
