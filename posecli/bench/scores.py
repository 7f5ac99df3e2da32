"""What a benchmark says of one clip, of a group of clips, and of the spread that a result claims for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from posecli.bench.metrics import (
    acceleration_error,
    auc,
    bone_drift,
    joint_errors,
    mean_acceleration,
    mpjve,
    n_mpjpe,
    p_mpjpe,
    pck,
)
from posecli.motion import stretches
from posecli.skeleton import H36M17, LIMBS

PCK_JOINTS = (*LIMBS, H36M17.index("Thorax"), H36M17.index("Head"))
"""The fourteen that MPI-INF-3DHP counts: limbs, neck and head; pelvis, spine and nose are left out."""

LEVELS = tuple(round(0.05 * k, 2) for k in range(1, 20))
HISTOGRAM_MM = 10.0  # width of a bin; the last of the 41 holds all that is larger
HISTOGRAM_BINS = 41

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Means over a clip, or over clips (each counting the same). Lengths in mm, seconds, percent.

    mpjve_mm is per frame, as papers have it, velocity_mm_s the same by time. acceleration_mm_s2 is the error's;
    predicted_ and true_ are mean sizes, and `jitter` is their ratio: 1 is as lively as the truth.
    frames: of the clips together; missed: those of them without a pose, which count nowhere else.
    """

    mpjpe_mm: float
    p_mpjpe_mm: float
    n_mpjpe_mm: float
    mpjve_mm: float
    velocity_mm_s: float
    acceleration_mm_s2: float
    predicted_acceleration_mm_s2: float
    true_acceleration_mm_s2: float
    bone_drift_percent: float
    pck150_percent: float
    auc_percent: float
    frames: int
    missed: int

    @property
    def jitter(self) -> float:
        """Mean acceleration of the prediction over that of the truth; NaN where the truth has none."""
        true = self.true_acceleration_mm_s2
        return self.predicted_acceleration_mm_s2 / true if true > 0 else float("nan")

    def to_dict(self) -> dict[str, float]:
        return {**asdict(self), "jitter": self.jitter}


def score_poses(predicted: NDArray[np.floating], truth: NDArray[np.floating], fps: float) -> Scores:
    """Scores of poses (T, 17, 3) of Human3.6M-17, metres, relative to the root, which counts as a joint.

    Frames that are not finite in both are missed; differences in time are taken between neighbours only.
    Raises ValueError where no frame is left.
    """
    both = np.isfinite(predicted).all(axis=(1, 2)) & np.isfinite(truth).all(axis=(1, 2))
    if not both.any():
        raise ValueError("no frame has both a prediction and a truth")
    p, g = predicted[both] * 1000.0, truth[both] * 1000.0
    runs = [(predicted[s] * 1000.0, truth[s] * 1000.0) for s in stretches(both)]
    steps = [mpjve(a, b) for a, b in runs]
    bends = [
        (acceleration_error(a, b, fps), mean_acceleration(a, fps), mean_acceleration(b, fps)) for a, b in runs
    ]
    error, jitter, lively = (_mean([bend[k] for bend in bends]) for k in range(3))
    step = _mean(steps)
    errors = joint_errors(p, g)
    fourteen = errors[:, list(PCK_JOINTS)]
    return Scores(
        mpjpe_mm=float(errors.mean()),
        p_mpjpe_mm=float(p_mpjpe(p, g).mean()),
        n_mpjpe_mm=float(n_mpjpe(p, g).mean()),
        mpjve_mm=step,
        velocity_mm_s=step * fps,
        acceleration_mm_s2=error,
        predicted_acceleration_mm_s2=jitter,
        true_acceleration_mm_s2=lively,
        bone_drift_percent=float(100 * bone_drift(p, H36M17.bones).mean()),
        pck150_percent=pck(fourteen),
        auc_percent=auc(fourteen),
        frames=len(both),
        missed=int((~both).sum()),
    )


def mean_scores(clips: Sequence[Scores]) -> Scores:
    """Scores of a group: every clip counts the same, frames are added."""
    counts = {name: sum(getattr(c, name) for c in clips) for name in ("frames", "missed")}
    names = [f.name for f in fields(Scores) if f.name not in counts]
    means: dict[str, Any] = {n: float(np.nanmean([getattr(c, n) for c in clips])) for n in names}
    return Scores(**means, **counts)


@dataclass(frozen=True)
class Coverage:
    """How often the truth lies within the stated spread. ratios: (N, 3), |error| / std along x, y, z (depth)."""

    ratios: NDArray[np.float32]

    @classmethod
    def of(cls, error: NDArray[np.floating], std: NDArray[np.floating]) -> Coverage:
        """error, std: (..., 3), same unit; rows that are not finite are left out."""
        error, std = np.abs(error).reshape(-1, 3), std.reshape(-1, 3)
        known = np.isfinite(error).all(axis=1) & np.isfinite(std).all(axis=1)
        error, std = error[known], std[known]
        return cls(np.where(error > 0, error / np.maximum(std, 1e-12), 0.0).astype(np.float32))

    @classmethod
    def together(cls, parts: Sequence[Coverage]) -> Coverage:
        return cls(np.concatenate([np.empty((0, 3), np.float32), *(p.ratios for p in parts)]))

    @cached_property
    def _axes(self) -> dict[str, NDArray[np.float32]]:
        r = self.ratios
        return {"x": r[:, 0], "y": r[:, 1], "depth": r[:, 2], "image": r[:, :2].ravel(), "all": r.ravel()}

    def within(self, stds: float, axis: str = "all") -> float:
        """Share of true coordinates within `stds` standard deviations; axis: x, y, depth, image (x, y) or all."""
        ratios = self._axes[axis]
        return float((ratios <= stds).mean()) if len(ratios) else float("nan")

    def curve(self, axis: str) -> list[float]:
        """Observed share at every nominal one of `LEVELS`, for normally distributed errors."""
        return [self.within(float(ndtri((1 + level) / 2)), axis) for level in LEVELS]

    def to_dict(self) -> dict[str, Any]:
        table = {
            axis: {"within_1_std": self.within(1, axis), "within_2_std": self.within(2, axis)}
            for axis in self._axes
        }
        curves = {axis: self.curve(axis) for axis in self._axes}
        return {"nominal": {"within_1_std": 0.6827, "within_2_std": 0.9545}, **table,
                "reliability": {"nominal": list(LEVELS), **curves}}  # fmt: skip


def histogram(errors_mm: NDArray[np.floating]) -> NDArray[np.int64]:
    """Counts (41,) of joint errors in bins of 10 mm; the last holds all from 400 mm on. NaN counts nowhere."""
    errors = errors_mm[np.isfinite(errors_mm)]
    bins = np.minimum(errors // HISTOGRAM_MM, HISTOGRAM_BINS - 1).astype(np.int64)
    return np.bincount(bins.ravel(), minlength=HISTOGRAM_BINS)


def _mean(parts: Sequence[Array]) -> float:
    """Mean over everything in `parts`; NaN where there is nothing."""
    values = np.concatenate([part.ravel() for part in parts])
    return float(values.mean()) if len(values) else float("nan")
