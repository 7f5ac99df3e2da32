"""From 2D keypoints to 3D motion: gaps, windows, blending, hypotheses; the same for every method.

A lifter sees windows of a fixed length at a fixed rate. So the keypoints are brought to that rate, cut into
overlapping windows, each looked at by a camera turned to the person (`posecli.facing`), lifted, turned back,
blended with weights that fall to nothing at the ends of a window, and brought back to the source's own times.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from posecli.camera import DEFAULT_FOV_DEG, Pinhole, root_path
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import NobodyError, UsageError
from posecli.facing import face_windows
from posecli.methods.base import Lifter
from posecli.motion import Motion
from posecli.skeleton import H36M17, LIMBS

Array = NDArray[np.float64]

_HEIGHT_BONES = ((5, 6), (4, 5), (0, 7), (7, 8), (8, 9), (9, 10))
_ANKLE_AND_CROWN_M = 0.16
"""What the chain ankle → head of Human3.6M-17 lacks to a standing height: ankle to floor, head joint to crown."""


@dataclass(frozen=True)
class LiftConfig:
    """Settings of lifting that no method's paper knows.

    hypotheses, steps: H and W of the sampler. seed: of all noise.
    overlap: share of a window that its neighbour also sees, [0, 1).
    max_gap_s: absences up to this long are bridged, longer ones split the motion.
    fov_deg: field of view along the image's longer side.
    height_m: the person's standing height, where known; else the size comes from the training data.
    keep_hypotheses: put all of them in the result. batch: windows per network call.
    """

    hypotheses: int = 1
    steps: int = 1
    seed: int = 0
    overlap: float = 0.5
    max_gap_s: float = 0.5
    fov_deg: float = DEFAULT_FOV_DEG
    height_m: float | None = None
    keep_hypotheses: bool = False
    batch: int = 8

    def __post_init__(self) -> None:
        if self.hypotheses < 1 or self.steps < 1:
            raise UsageError("hypotheses and steps must be at least 1")
        if not 0.0 <= self.overlap < 1.0:
            raise UsageError(f"overlap must lie in [0, 1), not {self.overlap:g}")
        if self.height_m is not None and not 0.3 < self.height_m < 2.6:
            raise UsageError(f"a height of {self.height_m:g} m is not a person's (give metres, e.g. 1.75)")


def lift_keypoints(
    keypoints: Keypoints2D,
    lifter: Lifter,
    config: LiftConfig | None = None,
    *,
    rate: float = 30.0,
    error_std: NDArray[np.floating] | None = None,
    settings: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Motion:
    """Lift one person's keypoints to 3D.

    keypoints: any skeleton with a rule in `posecli.skeleton.H36M_RULES`.
    rate: Hz, the rate of the lifter's windows.
    error_std: (17, 3) metres, the lifter's error on validation data along the axes of the turned camera; it is
        the spread of a result with one hypothesis, and added to the spread of several.
    progress: called with (windows done, windows in all).
    Raises NobodyError where no frame holds a person.
    """
    config = config or LiftConfig()
    body = keypoints.to_h36m17()
    camera = Pinhole.from_fov(body.image_size, config.fov_deg)
    times = body.timestamps_s
    valid, bridged = _bridge(body.found, times, config.max_gap_s)
    if not valid.any():
        raise NobodyError("no person was found in any frame; nothing to lift")

    frames, joints = len(body), H36M17.num_joints
    shape = (config.hypotheses, frames, joints, 3)
    poses = np.full(shape, np.nan, dtype=np.float32)
    std = np.full((frames, joints, 3), np.nan, dtype=np.float32)
    roots = np.full((frames, 3), np.nan, dtype=np.float32)
    prior = np.zeros((joints, 3)) if error_std is None else np.asarray(error_std, dtype=np.float64)
    flat = camera.rays(body.xy)[..., :2]

    segments = [_segment(run, times, body.found, rate) for run in _runs(valid)]
    plans = [window_starts(len(s.grid), lifter.window, config.overlap) for s in segments]
    total, done = sum(len(p) for p in plans), 0
    generator = torch.Generator().manual_seed(config.seed)
    for segment, starts in zip(segments, plans, strict=True):
        grid_flat = resample_points(segment.seen_times, flat[segment.seen], segment.grid)

        def step(count: int, base: int = done) -> None:
            if progress is not None:
                progress(base + count, total)

        lifted, spread = _lift_grid(grid_flat, starts, lifter, config, prior, generator, step)
        done += len(starts)
        rows = segment.rows
        poses[:, rows] = _at_times(segment.grid, lifted, times[rows])
        std[rows] = _linear(segment.grid, spread, times[rows])

    source = "prior"
    if config.height_m is not None:
        factor = config.height_m / standing_height(np.nanmean(poses, axis=0)[valid])
        poses, std, source = poses * np.float32(factor), std * np.float32(factor), "height"
    mean = poses.mean(axis=0)
    weights = np.where(body.found[:, None], np.nan_to_num(body.scores), 0.0)
    weights[:, [j for j in range(joints) if j not in LIMBS]] *= 0.2  # built joints are less exact in 2D
    for segment in segments:
        rows = segment.rows
        roots[rows] = root_path(mean[rows], body.xy[rows], weights[rows] + 1e-6, times[rows], camera)
    return Motion(
        timestamps_s=times,
        joints_3d=mean,
        joints_3d_std=std,
        valid=valid,
        bridged=bridged,
        keypoints_2d=body.xy,
        scores_2d=body.scores,
        image_size=body.image_size,
        root_path=roots,
        hypotheses=poses if config.keep_hypotheses else None,
        scale_source=source,
        settings=dict(settings or {}),
    )


def standing_height(poses: NDArray[np.floating]) -> float:
    """Height (metres) of a person standing straight with the median bone lengths of `poses` (T, 17, 3)."""
    chain = sum(
        float(np.median(np.linalg.norm(poses[:, a] - poses[:, b], axis=-1))) for a, b in _HEIGHT_BONES
    )
    return chain + _ANKLE_AND_CROWN_M


# Gaps and segments -------------------------------------------------------------------------------------


def _bridge(
    found: NDArray[np.bool_], times: Array, max_gap_s: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which frames get a pose, and which of them had nobody: absences between sightings up to `max_gap_s`."""
    valid = found.copy()
    seen = np.flatnonzero(found)
    for before, after in itertools.pairwise(seen):
        if after - before > 1 and times[after] - times[before] <= max_gap_s:
            valid[before:after] = True
    return valid, valid & ~found


def _runs(valid: NDArray[np.bool_]) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], valid, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


@dataclass(frozen=True)
class _Segment:
    """A stretch of frames without a long absence, and the uniform times at which it is lifted."""

    rows: slice
    seen: NDArray[np.int64]  # frames of the stretch in which the person was found
    seen_times: Array
    grid: Array


def _segment(rows: slice, times: Array, found: NDArray[np.bool_], rate: float) -> _Segment:
    seen = np.arange(rows.start, rows.stop)[found[rows]]
    first, last = times[rows.start], times[rows.stop - 1]
    count = int(np.ceil((last - first) * rate - 1e-6)) + 1
    return _Segment(rows, seen, times[seen], first + np.arange(count) / rate)


def resample_points(times: Array, points: Array, grid: Array) -> Array:
    """Points (T, ...) at `times` → at the uniform times `grid`.

    Each grid time takes the mean of the samples under a tent as wide as the coarser of the two spacings: plain
    linear interpolation where the source is slower, an average that keeps no aliases where it is faster.
    """
    if len(times) == 1:
        return np.repeat(points, len(grid), axis=0)
    spacing = grid[1] - grid[0] if len(grid) > 1 else np.inf
    straight = _linear(times, points, grid)
    if not np.isfinite(spacing):
        return straight
    first = np.searchsorted(times, grid - spacing, side="right")
    last = np.searchsorted(times, grid + spacing, side="left")
    out = straight.copy()
    for row in np.flatnonzero(
        last - first >= 3
    ):  # at least three samples under the tent: the source is faster
        inside = slice(first[row], last[row])
        tent = 1 - np.abs(times[inside] - grid[row]) / spacing
        out[row] = np.tensordot(tent / tent.sum(), points[inside], axes=1)
    return out


def _linear(times: Array, points: NDArray[np.floating], at: Array) -> Array:
    """Straight lines through points (T, ...) at `times`, held beyond the ends."""
    if len(times) == 1:
        return np.repeat(np.asarray(points, dtype=np.float64), len(at), axis=0)
    after = np.clip(np.searchsorted(times, at, side="right"), 1, len(times) - 1)
    part = np.clip((at - times[after - 1]) / (times[after] - times[after - 1]), 0, 1)
    part = part.reshape(-1, *[1] * (points.ndim - 1))
    return points[after - 1] * (1 - part) + points[after] * part


def _at_times(grid: Array, poses: Array, times: Array) -> Array:
    """Poses (H, G, J, 3) on the uniform grid → (H, T, J, 3) at the source's times, by cubic splines."""
    order = min(3, len(grid) - 1)
    if order < 1:
        return np.repeat(poses, len(times), axis=1)
    if order == 2:
        order = 1
    return make_interp_spline(grid, poses, k=order, axis=1)(np.clip(times, grid[0], grid[-1]))


# Windows -----------------------------------------------------------------------------------------------


def window_starts(frames: int, window: int, overlap: float) -> list[int]:
    """First frames of the windows that cover a clip; the last window ends with the clip."""
    if frames <= window:
        return [0]
    stride = max(1, round(window * (1 - overlap)))
    starts = list(range(0, frames - window, stride))
    return [*starts, frames - window]


def _lift_grid(
    flat: Array,
    starts: list[int],
    lifter: Lifter,
    config: LiftConfig,
    prior: Array,
    generator: torch.Generator,
    progress: Callable[[int], None],
) -> tuple[Array, Array]:
    """Lift rays (G, 17, 2) on the uniform grid.

    Returns hypotheses (H, G, 17, 3) and their spread (G, 17, 3), metres, in the real camera's frame.
    """
    window, frames = lifter.window, len(flat)
    padding = max(0, window - frames)
    # A clip shorter than the window is played forth and back until it is long enough.
    padded = np.pad(flat, ((0, padding), (0, 0), (0, 0)), mode="symmetric")
    # Half-sample offset: no weight is ever zero, so the first and last frames of a clip count as well.
    fade = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
    joints = flat.shape[1]
    total = np.zeros((config.hypotheses, len(padded), joints, 3))
    variance = np.zeros((len(padded), joints, 3))
    weight = np.zeros(len(padded))
    for first in range(0, len(starts), config.batch):
        chosen = starts[first : first + config.batch]
        stack = np.stack([padded[s : s + window] for s in chosen])
        faced = face_windows(torch.from_numpy(stack).float())
        with torch.inference_mode():
            answer = lifter.lift_windows(
                faced.x2d, hypotheses=config.hypotheses, steps=config.steps, generator=generator
            )
        camera = faced.to_camera(answer.float().cpu()).numpy()
        turn = faced.rotation.numpy().astype(np.float64)
        # The validation error is given along the turned camera's axes: rotate its covariance's diagonal.
        turned_prior = np.einsum("bij,kj->bki", turn**2, prior**2)
        for row, start in enumerate(chosen):
            at = slice(start, start + window)
            total[:, at] += camera[row] * fade[:, None, None]
            spread = camera[row].var(axis=0, ddof=1) if config.hypotheses > 1 else 0.0
            variance[at] += (spread + turned_prior[row]) * fade[:, None, None]
            weight[at] += fade
        progress(first + len(chosen))
    total /= weight[:, None, None]
    variance /= weight[:, None, None]
    return total[:, :frames], np.sqrt(variance[:frames])
