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
from torch import nn

from posecli import resample
from posecli.camera import DEFAULT_FOV_DEG, Pinhole, root_path
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError, NobodyError, UsageError
from posecli.facing import face_windows
from posecli.methods.base import Lifter
from posecli.motion import Motion, stretches
from posecli.skeleton import H36M17, H36M_RULES, LIMBS

Array = NDArray[np.float64]

_HEIGHT_BONES = (((5, 6), (2, 3)), ((4, 5), (1, 2)), ((0, 7),), ((7, 8),), ((8, 9),), ((9, 10),))
_BEYOND_THE_CHAIN = 1.10
"""Standing height over the length of the chain ankle → head of Human3.6M-17, which lacks what lies between
ankle and floor and between head joint and crown: about 0.16 m where the chain measures 1.59 m (CMU's adults)."""

_LONGEST_STEP_S = 0.5
"""Frames further apart than this (and than `max_gap_s`) are lifted apart: what happened between is unknown."""


@dataclass(frozen=True)
class LiftConfig:
    """Settings of lifting that no method's paper knows.

    hypotheses, steps: H and W of the sampler. seed: of all noise.
    overlap: share of a window that its neighbour also sees, [0, 1).
    max_gap_s: absences up to this long (from sighting to sighting) are bridged, longer ones split the motion.
    fov_deg: field of view along the image's longer side.
    height_m: the person's standing height, where known; else the size comes from the training data.
    keep_hypotheses: put all of them in the result. Each window draws its own, and where windows overlap they are
        blended: there they spread less than `joints_3d_std` says, which is the spread within windows.
    batch: windows times hypotheses per network call; at least one window. A sampler draws its noise call by
        call, so a seed gives the same result for the same batch only.
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
        if min(self.hypotheses, self.steps, self.batch) < 1:
            raise UsageError("hypotheses, steps and batch must be at least 1")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"a seed must be a whole number from 0 to 2^63 - 1, not {self.seed}")
        if not 0.0 <= self.overlap < 1.0:
            raise UsageError(f"overlap must lie in [0, 1), not {self.overlap:g}")
        if not 0.0 <= self.max_gap_s <= 60.0:
            raise UsageError(f"a gap to bridge must lie between 0 and 60 seconds, not {self.max_gap_s:g}")
        if not 1.0 < self.fov_deg < 170.0:
            raise UsageError(f"a field of view must lie between 1 and 170 degrees, not {self.fov_deg:g}")
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

    keypoints: any skeleton with a rule in `posecli.skeleton.H36M_RULES`. A frame counts as one with nobody
        where a joint that a rule needs is not finite.
    lifter: of Human3.6M-17. A torch module gets its input on the device of its weights.
    rate: Hz, the rate of the lifter's windows.
    error_std: (17, 3) metres, the lifter's error on validation data along the axes of the turned camera; it is
        the spread of a result with one hypothesis, and added to the spread of several. Without it, one
        hypothesis has a spread of zero, which then says nothing.
    progress: called with (windows done, windows in all).
    Returns a Motion whose `joints_3d_std` are the square roots of the diagonal of the error's covariance in the
        camera frame; the turn makes the axes' errors correlated, and those off-diagonal entries are dropped.
    Raises NobodyError where no frame holds a person, UsageError or InputError where keypoints, weights or their
        metadata cannot be used.
    """
    config = config or LiftConfig()
    prior = _checked(keypoints, lifter, rate, error_std)
    body = keypoints.to_h36m17()
    camera = Pinhole.from_fov(body.image_size, config.fov_deg)
    times = body.timestamps_s
    found = body.found & np.isfinite(body.xy).all(axis=(1, 2))
    valid, bridged = _bridge(found, times, config.max_gap_s)
    if not valid.any():
        raise NobodyError("no person was found in any frame; nothing to lift")

    frames, joints = len(body), H36M17.num_joints
    poses = np.full((config.hypotheses, frames, joints, 3), np.nan, dtype=np.float32)
    std = np.full((frames, joints, 3), np.nan, dtype=np.float32)
    flat = camera.rays(body.xy)[..., :2]

    segments = _segments(valid, found, times, rate, max(config.max_gap_s, _LONGEST_STEP_S))
    plans = [window_starts(len(s.grid), lifter.window, config.overlap) for s in segments]
    total, done = sum(len(p) for p in plans), 0
    generator = torch.Generator().manual_seed(config.seed)
    for segment, starts in zip(segments, plans, strict=True):
        on_grid = resample.to_grid(times[segment.seen], flat[segment.seen], segment.grid)

        def step(count: int, base: int = done) -> None:
            if progress is not None:
                progress(base + count, total)

        lifted, spread = _lift_grid(on_grid, starts, lifter, config, prior, generator, step)
        done += len(starts)
        rows = segment.rows
        poses[:, rows] = resample.spline(segment.grid, lifted, times[rows]).swapaxes(0, 1)
        std[rows] = resample.linear(segment.grid, spread, times[rows])

    source = "prior"
    if config.height_m is not None:
        factor = np.float32(config.height_m / standing_height(poses.mean(axis=0)[valid]))
        poses, std, source = poses * factor, std * factor, "height"
    mean = poses.mean(axis=0)
    return Motion(
        timestamps_s=times,
        joints_3d=mean,
        joints_3d_std=std,
        valid=valid,
        bridged=bridged,
        keypoints_2d=body.xy,
        scores_2d=body.scores,
        image_size=body.image_size,
        root_path=_roots(mean, body, found, segments, camera),
        hypotheses=poses if config.keep_hypotheses else None,
        scale_source=source,
        settings=dict(settings or {}),
    )


def standing_height(poses: NDArray[np.floating]) -> float:
    """Height of a person standing straight with the median bone lengths of `poses` (T, 17, 3), in their unit."""
    bones = [
        np.mean([np.median(np.linalg.norm(poses[:, a] - poses[:, b], axis=-1)) for a, b in sides])
        for sides in _HEIGHT_BONES
    ]
    return float(np.sum(bones)) * _BEYOND_THE_CHAIN


def _checked(
    keypoints: Keypoints2D, lifter: Lifter, rate: float, error_std: NDArray[np.floating] | None
) -> Array:
    """The prior's spread (17, 3); refuses what would end in nonsense: files from outside say all of these."""
    if keypoints.skeleton.name not in H36M_RULES:
        raise UsageError(
            f"keypoints of {keypoints.skeleton.name} cannot be lifted; one of: {', '.join(H36M_RULES)}"
        )
    if lifter.skeleton != H36M17:
        raise UsageError(
            f"these weights lift {lifter.skeleton.name}; video needs weights for {H36M17.name} (use --weights)"
        )
    if not 1.0 <= rate <= 1000.0:
        raise InputError(f"the weights say they work at {rate:g} frames/s; their header is damaged")
    prior = np.zeros((H36M17.num_joints, 3)) if error_std is None else np.asarray(error_std, dtype=np.float64)
    if prior.shape != (H36M17.num_joints, 3) or not (np.isfinite(prior).all() and (prior >= 0).all()):
        raise InputError("the weights' figures of their own error make no sense; their header is damaged")
    return prior


def _roots(
    mean: NDArray[np.float32],
    body: Keypoints2D,
    found: NDArray[np.bool_],
    segments: list[_Segment],
    camera: Pinhole,
) -> NDArray[np.float32]:
    """Path of the root (T, 3), each stretch by itself."""
    weights = np.where(found[:, None], np.maximum(np.nan_to_num(body.scores), 0.01), 0.0)
    weights[:, [j for j in range(H36M17.num_joints) if j not in LIMBS]] *= 0.2  # built joints are less exact
    roots = np.full((len(body), 3), np.nan, dtype=np.float32)
    for rows in (segment.rows for segment in segments):
        roots[rows] = root_path(mean[rows], body.xy[rows], weights[rows], body.timestamps_s[rows], camera)
    return roots


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


@dataclass(frozen=True)
class _Segment:
    """A stretch of frames without a long absence, and the uniform times at which it is lifted."""

    rows: slice
    seen: NDArray[np.int64]  # frames of the stretch in which the person was found
    grid: Array


def _segments(
    valid: NDArray[np.bool_], found: NDArray[np.bool_], times: Array, rate: float, longest: float
) -> list[_Segment]:
    """Stretches of valid frames, cut also where the source itself jumps by more than `longest` seconds (which
    bounds the grid, whatever times a damaged file claims)."""
    jumps = np.flatnonzero(np.diff(times) > longest) + 1
    segments = []
    for run in stretches(valid):
        cuts = [run.start, *(int(j) for j in jumps if run.start < j < run.stop), run.stop]
        for start, stop in itertools.pairwise(cuts):
            seen = np.arange(start, stop)[found[start:stop]]
            grid = resample.uniform_times(times[start], times[stop - 1], rate)
            segments.append(_Segment(slice(start, stop), seen, grid))
    return segments


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

    Returns hypotheses (G, H, 17, 3) and their spread (G, 17, 3), metres, in the real camera's frame.
    """
    window, frames, joints = lifter.window, len(flat), flat.shape[1]
    # A clip shorter than the window is played forth and back until it is long enough.
    padded = np.pad(flat, ((0, max(0, window - frames)), (0, 0), (0, 0)), mode="symmetric")
    # Half-sample offset: no weight is ever zero, so the first and last frames of a clip count as well.
    fade = np.sin(np.pi * (np.arange(window) + 0.5) / window)[:, None, None] ** 2
    total = np.zeros((len(padded), config.hypotheses, joints, 3))
    variance = np.zeros((len(padded), joints, 3))
    weight = np.zeros((len(padded), 1, 1))
    device = _device(lifter)
    per_call = max(1, config.batch // config.hypotheses)
    for first in range(0, len(starts), per_call):
        chosen = starts[first : first + per_call]
        faced = face_windows(torch.from_numpy(np.stack([padded[s : s + window] for s in chosen])).float())
        with torch.inference_mode():
            answer = lifter.lift_windows(
                faced.x2d.to(device), hypotheses=config.hypotheses, steps=config.steps, generator=generator
            )
        camera = faced.to_camera(answer.float().cpu()).numpy()  # (b, H, window, 17, 3)
        if not np.isfinite(camera).all():
            raise InputError("the network's answer is not finite: its weights are damaged; fetch them again")
        turn = faced.rotation.numpy().astype(np.float64)
        # Diagonal of R diag(prior²) Rᵀ: the validation error is given along the turned camera's axes.
        turned_prior = np.einsum("bij,kj->bki", turn**2, prior**2)
        for row, start in enumerate(chosen):
            at = slice(start, start + window)
            spread = camera[row].var(axis=0, ddof=1) if config.hypotheses > 1 else 0.0
            total[at] += camera[row].swapaxes(0, 1) * fade[..., None]
            variance[at] += (spread + turned_prior[row]) * fade
            weight[at] += fade
        progress(first + len(chosen))
    return (total / weight[..., None])[:frames], np.sqrt(variance / weight)[:frames]


def _device(lifter: Lifter) -> torch.device:
    """Where the lifter's weights lie; one without weights works on the CPU."""
    parameters = lifter.parameters() if isinstance(lifter, nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device
