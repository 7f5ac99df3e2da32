"""The papers' ways of scoring, by name, and one that takes nothing from the truth.

official: as each release evaluates. The last window of a clip overlaps the one before. On Human3.6M frames in the
    overlap count twice; a clip shorter than a window is filled with its last frame, and the filling counts. On
    MPI-INF-3DHP the last window's poses replace the others', and only valid frames count. The root is treated as the
    method's code does (`ROOT`). Hypotheses are made one in four ways, of which only P-Agg is possible without the
    truth. DiffuPose's poses are put on the lines of sight of the input with the true root's depth (Human3.6M).
clean: every frame once, the root subtracted, hypotheses averaged, nothing from the truth.

How hypotheses become one pose (D3DP, DDHPose):

P-Agg: their mean. P-Best: the one nearest to the truth on average over an evaluation batch of `Layout.batch` windows.
J-Best: per frame and joint the nearest to the truth. J-Agg: per frame and joint the one whose projection, with the
true root and camera, lies nearest to the input's keypoint. Ties go to the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posecli.bench.layouts import Layout
from posecli.bench.metrics import (
    auc,
    joint_errors,
    mpjpe,
    mpjve,
    n_mpjpe,
    p_mpjpe,
    pck,
    procrustes_align,
)
from posecli.calibration import CalibratedCamera
from posecli.errors import UsageError
from posecli.paper_windows import centre_windows, evaluation_windows

Array = NDArray[np.float64]
Poses = NDArray[np.floating]

PROTOCOLS = ("official", "clean")
PCK_JOINTS = 14
"""Of MPI-INF-3DHP's joints the first so many count for PCK and AUC: pelvis, spine and head do not."""

AGGREGATIONS = ("P-Agg", "P-Best", "J-Best", "J-Agg")
ROOT = {"mixste": "kept", "stcformer": "zeroed", "d3dp": "zeroed", "ddhpose": "zeroed"}
"""What a release does with the predicted root before scoring: nothing, so that its error is in the mean; puts it to
zero and leaves the other joints where they are; all others: subtracts it."""

_AGREED = "official: J-Agg takes the true root and camera"
_SIGHT = "official: x and y come from the input's lines of sight at the true root's depth"


@dataclass(frozen=True)
class Windows:
    """Source frames (W, T) of windows, and which of their frames are scored, likewise (W, T)."""

    rows: NDArray[np.int64]
    scored: NDArray[np.bool_]

    @property
    def frames(self) -> int:
        """Frames that are scored."""
        return int(self.scored.sum())


def check_protocol(name: str) -> None:
    """Raises UsageError for a name that is none of `PROTOCOLS`."""
    if name not in PROTOCOLS:
        raise UsageError(f"protocol must be one of {', '.join(PROTOCOLS)}, not {name!r}")


def headline(layout: Layout, method: str, protocol: str) -> str:
    """The aggregation whose numbers stand in the tables."""
    return "J-Agg" if protocol == "official" and method in layout.agreed else "P-Agg"


def sees_depth(layout: Layout, method: str, protocol: str) -> bool:
    """Whether poses are put on the lines of sight, at the true root's depth."""
    return protocol == "official" and method == "diffupose" and layout.bench == "h36m"


def leak(layout: Layout, method: str, protocol: str) -> str | None:
    """What a protocol takes from the truth that no video gives."""
    if sees_depth(layout, method, protocol):
        return _SIGHT
    return _AGREED if headline(layout, method, protocol) == "J-Agg" else None


def windows(
    frames: int, window: int, protocol: str, *, centred: int | None = None, overlap: str = "all"
) -> Windows:
    """How a clip is cut for a network of `window` frames.

    centred: a window around every frame, its frames so many apart, of which the middle one is scored.
    overlap: under "official", whose pose counts of a frame in two windows: "all", or "last".
    clean: the first one's, and no filling.
    """
    if centred is not None:
        rows = centre_windows(frames, window, centred)
        scored = np.zeros(rows.shape, bool)
        scored[:, (window - 1) // 2] = True
        return Windows(rows, scored)
    rows = evaluation_windows(frames, window)
    if protocol == "official" and overlap == "all":
        return Windows(rows, np.ones(rows.shape, bool))
    order = -1 if protocol == "official" else 1
    scored = np.zeros(rows.shape, bool)
    firsts = np.unique(rows[::order].ravel(), return_index=True)[1]
    window_of, frame_of = np.divmod(firsts, window)
    scored[::order][window_of, frame_of] = True
    return Windows(rows, scored)


@dataclass(frozen=True)
class Totals:
    """Sums over frames and how many they are, by aggregation and measure; adds up."""

    sums: dict[tuple[str, str], tuple[float, int]]

    def __add__(self, other: Totals) -> Totals:
        keys = {**self.sums, **other.sums}
        nothing = (0.0, 0)
        pairs = {k: (self.sums.get(k, nothing), other.sums.get(k, nothing)) for k in keys}
        return Totals({k: (a[0] + b[0], a[1] + b[1]) for k, (a, b) in pairs.items()})

    def mean(self, aggregation: str, measure: str) -> float:
        """Mean over frames; NaN where there were none."""
        total, count = self.sums.get((aggregation, measure), (0.0, 0))
        return total / count if count else float("nan")

    @property
    def frames(self) -> int:
        return max(
            (count for (_, measure), (_, count) in self.sums.items() if measure != "velocity"), default=0
        )


NOTHING = Totals({})


def score_pose(name: str, pose: Poses, truth: Poses) -> Totals:
    """One motion (F, J, 3) against the truth, both in metres; `name` is how it came about."""
    p, g = np.asarray(pose, np.float64) * 1000, np.asarray(truth, np.float64) * 1000
    values = {"p1": mpjpe(p, g), "p2": p_mpjpe(p, g), "p3": n_mpjpe(p, g), "velocity": mpjve(p, g)}
    return Totals({(name, key): (float(v.sum()), len(v)) for key, v in values.items()})


def score_aligned(name: str, pose: Poses, truth: Poses) -> Totals:
    """P2 alone, for which the two need not have the same axes."""
    values = 1000 * p_mpjpe(pose, truth)
    return Totals({(name, "p2"): (float(values.sum()), len(values))})


def score_3dhp(name: str, pose: Poses, truth: Poses) -> Totals:
    """MPI-INF-3DHP's: PCK@150 and AUC, percent, of the first fourteen joints, MPJPE of all; (F, 17, 3) in metres."""
    errors, count = 1000 * joint_errors(pose, truth), len(truth)
    if not count:
        return NOTHING
    counted = errors[:, :PCK_JOINTS]
    values = {"pck": pck(counted), "auc": auc(counted), "p1": float(errors.mean())}
    return Totals({(name, key): (value * count, count) for key, value in values.items()})


def best_of_batches(hypotheses: Poses, truth: Poses, batch: int) -> NDArray[np.int64]:
    """(W,): for each of W windows the hypothesis of (H, W, T, J, 3) that is nearest to the truth (W, T, J, 3) on
    average over the window's batch of so many."""
    by_window = joint_errors(hypotheses, truth).mean(axis=(2, 3))  # (H, W)
    starts = range(0, by_window.shape[1], batch)
    best = [by_window[:, a : a + batch].mean(axis=1).argmin() for a in starts]
    return np.repeat(best, batch)[: by_window.shape[1]]


def taken(hypotheses: Poses, chosen: NDArray[np.integer]) -> Poses:
    """(F, J, 3): of each joint of (H, F, J, 3) the hypothesis `chosen` (F, J)."""
    return np.take_along_axis(hypotheses, chosen[None, ..., None], axis=0)[0]


def score_with_truth(
    hypotheses: Poses, truth: Poses, nearest: NDArray[np.integer], batches: Sequence[slice]
) -> Totals:
    """P1 and P2 of the aggregations that choose among hypotheses.

    hypotheses: (H, F, J, 3), metres. truth: (F, J, 3). nearest: (F, J), the hypothesis that J-Agg chooses.
    batches: stretches of F that are evaluated together, for P-Best.
    P2: every hypothesis is aligned by itself first; J-Agg keeps its choice, the others choose again.
    """
    h, g = np.asarray(hypotheses, np.float64) * 1000, np.asarray(truth, np.float64) * 1000
    sums: dict[tuple[str, str], tuple[float, int]] = {}
    for measure, poses in (("p1", h), ("p2", procrustes_align(h, g))):
        errors = joint_errors(poses, g)  # (H, F, J)
        by_batch = [errors[:, part].mean(axis=(1, 2)).min() * (part.stop - part.start) for part in batches]
        sums["P-Best", measure] = (float(sum(by_batch)), len(g))
        sums["J-Best", measure] = (float(errors.min(axis=0).mean(axis=-1).sum()), len(g))
        chosen = np.take_along_axis(errors, nearest[None], axis=0)[0]
        sums["J-Agg", measure] = (float(chosen.mean(axis=-1).sum()), len(g))
    return Totals(sums)


def nearest_reprojection(
    hypotheses: Poses, root: Poses, screen: Poses, camera: CalibratedCamera
) -> NDArray[np.int64]:
    """(F, J): the hypothesis of (H, F, J, 3) whose projection is nearest to the input `screen` (F, J, 2).

    root: (F, 1, 3), the true root in the camera's frame, metres. The lens is applied.
    """
    seen = camera.project(np.asarray(hypotheses, np.float64) + root)
    return np.linalg.norm(seen - screen, axis=-1).argmin(axis=0)


def on_lines_of_sight(pose: Poses, root: Poses, screen: Poses, camera: CalibratedCamera) -> Array:
    """DiffuPose's last step as released: every joint of (F, J, 3) where the input sees it, at the pose's depth behind
    the true root's; relative to the root. The lens is left out."""
    depth = np.asarray(pose, np.float64)[..., 2:].copy()
    depth[:, 0] = 0  # the root lies at its own depth, whatever the network said
    points = camera.back_project(screen, depth + np.asarray(root, np.float64)[..., 2:])
    return points - points[:, :1]
