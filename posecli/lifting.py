"""From 2D keypoints to 3D motion: gaps, windows, blending, hypotheses; the same for every method.

A lifter sees windows of a fixed length at a fixed rate. So the keypoints are brought to that rate stretch by
stretch (`posecli.segments`), cut into overlapping windows, lifted and blended (`posecli.windows`), freed from what
trembles faster than people move (`posecli.smooth`), and brought back to the source's own times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli import resample
from posecli.aggregate import AGGREGATES, aggregate
from posecli.bones import usual_lengths, with_lengths
from posecli.camera import DEFAULT_FOV_DEG, Pinhole, root_path
from posecli.detect.clouds import JointClouds
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError, NobodyError, UsageError
from posecli.grid_clouds import GridClouds
from posecli.methods.base import HeatmapLifter, Lifter, usual_hypotheses, usual_steps
from posecli.motion import Motion
from posecli.segments import bridge, segments
from posecli.skeleton import H36M17, H36M_RULES, HEIGHT_OVER_CHAIN, LIMBS
from posecli.smooth import low_pass
from posecli.uncertainty import Uncertainty
from posecli.windows import lift_grid, window_starts

_HEIGHT_BONES = (((5, 6), (2, 3)), ((4, 5), (1, 2)), ((0, 7),), ((7, 8),), ((8, 9),), ((9, 10),))


@dataclass(frozen=True)
class LiftConfig:
    """Settings of lifting that no method's paper knows.

    hypotheses, steps: H and W of the sampler; None: as many as the method takes by itself (`usual_hypotheses`,
        `usual_steps`).
    seed: of all noise.
    overlap: share of a window that its neighbour also sees, [0, 1).
    max_gap_s: absences up to this long (from sighting to sighting) are bridged, longer ones split the motion.
    fov_deg: field of view along the image's longer side.
    height_m: the person's standing height, where known; else the size comes from the training data.
    smooth_hz: half of what moves at this frequency is taken out, of what moves faster nearly all (see
        `posecli.smooth`); None: nothing. On held-out motion, simulated and filmed, 5 to 8 Hz are alike to 0.3 mm and
        no worse than none; of these, 8 Hz leaves people about as lively as they are (`posecli bench open`: 1.10 of
        their acceleration; 0.73 and 1.25 on the two clips with motion capture. 7 Hz: 0.99, 0.64 and 1.12).
    fixed_bones: bones keep their median length through the clip, the same left and right (`posecli.bones`); so do
        those of every hypothesis. On held-out motion seen as above (48 clips of 5 s) PA-MPJPE fell from 64.1 to
        63.2 mm, MPJPE from 85.3 to 84.9.
    aggregate: how hypotheses become one pose, one of `posecli.aggregate.AGGREGATES`. The stated spread is that of
        the mean's error for "reproject" too.
    keep_hypotheses: put all of them in the result; of a sampler's, each is one motion through its whole stretch.
    batch: frames times hypotheses per network call; at least one window. It decides speed and memory alone: noise
        belongs to frames (`posecli.windows.ClipNoise`), whichever call they are lifted in. (But for lifters that draw
        from a generator, which is DiffPose's official code with an eta other than its own.)
    """

    hypotheses: int | None = None
    steps: int | None = None
    seed: int = 0
    overlap: float = 0.5
    max_gap_s: float = 0.5
    fov_deg: float = DEFAULT_FOV_DEG
    height_m: float | None = None
    smooth_hz: float | None = 8.0
    fixed_bones: bool = True
    aggregate: str = "mean"
    keep_hypotheses: bool = False
    batch: int = 256

    def __post_init__(self) -> None:
        if min(n for n in (self.hypotheses, self.steps, self.batch) if n is not None) < 1:
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
        if self.smooth_hz is not None and not 0.5 <= self.smooth_hz <= 1000.0:
            raise UsageError(f"smoothing must lie between 0.5 and 1000 Hz, not {self.smooth_hz:g}")
        if self.aggregate not in AGGREGATES:
            raise UsageError(f"aggregate must be one of {', '.join(AGGREGATES)}, not {self.aggregate!r}")


def lift_keypoints(
    keypoints: Keypoints2D,
    lifter: Lifter,
    config: LiftConfig | None = None,
    *,
    rate: float = 30.0,
    size_exponent: float = 0.0,
    uncertainty: Uncertainty | None = None,
    clouds: JointClouds | None = None,
    settings: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Motion:
    """Lift one person's keypoints to 3D.

    keypoints: any skeleton with a rule in `posecli.skeleton.H36M_RULES`. A frame counts as one with nobody
        where a joint that a rule needs is not finite.
    lifter: of Human3.6M-17. A torch module gets its input on the device of its weights.
    rate, size_exponent: of the windows that the lifter was trained on: Hz, and how much of the person's apparent
        size they show (`posecli.facing.face_windows`).
    uncertainty: what is known of the lifter's error (`Uncertainty.from_metadata` of its weights). Without it, the
        spread of the result is that of its hypotheses, and zero with one, which then says nothing.
    clouds: where the joints of `keypoints` may be, for a `HeatmapLifter`; others do not look at them.
    progress: called with (windows done, windows in all).
    Returns a Motion whose `joints_3d_std` are the square roots of the diagonal of the error's covariance in the
        camera frame; the turn makes the axes' errors correlated, and those off-diagonal entries are dropped.
    Raises NobodyError where no frame holds a person, UsageError or InputError where keypoints or weights cannot
        be used.
    """
    config = config or LiftConfig()
    _check(keypoints, lifter, rate, size_exponent)
    uncertainty = uncertainty or Uncertainty.constant()
    body = keypoints.to_h36m17()
    camera = Pinhole.from_fov(body.image_size, config.fov_deg)
    times = body.timestamps_s
    found = body.found & np.isfinite(body.xy).all(axis=(1, 2))
    valid, bridged = bridge(found, times, config.max_gap_s)
    if not valid.any():
        raise NobodyError("no person was found in any frame; nothing to lift")

    hypotheses = config.hypotheses or usual_hypotheses(lifter)
    frames, joints = len(body), H36M17.num_joints
    # The result first, then the hypotheses that it was made of.
    poses = np.full((1 + hypotheses, frames, joints, 3), np.nan, dtype=np.float32)
    std = np.full((frames, joints, 3), np.nan, dtype=np.float32)
    flat = camera.rays(body.xy)[..., :2]

    runs = segments(valid, found, times, rate, config.max_gap_s)
    plans = [window_starts(len(run.grid), lifter.window, config.overlap) for run in runs]
    total, done = sum(len(p) for p in plans), 0
    for number, (run, starts) in enumerate(zip(runs, plans, strict=True)):

        def step(count: int, base: int = done) -> None:
            if progress is not None:
                progress(base + count, total)

        on_grid = resample.to_grid(times[run.seen], flat[run.seen], run.grid)
        around = None
        if clouds is not None and isinstance(lifter, HeatmapLifter) and lifter.cloud_size:
            around = GridClouds(
                clouds, run.seen, times, flat, run.grid, on_grid, camera, lifter.cloud_size, config.seed
            )
        lifted, spread = lift_grid(
            on_grid, starts, lifter, uncertainty,
            hypotheses=hypotheses, steps=config.steps or usual_steps(lifter), batch=config.batch,
            seed=(config.seed, number), size_exponent=size_exponent, clouds=around,
            alone=config.aggregate == "none", progress=step,
        )  # fmt: skip
        done += len(starts)
        result = aggregate(config.aggregate, lifted, on_grid, run.grid)
        steady = low_pass(np.concatenate([result[:, None], lifted], axis=1), rate, config.smooth_hz)
        poses[:, run.rows] = resample.spline(run.grid, steady, times[run.rows]).swapaxes(0, 1)
        std[run.rows] = resample.linear(run.grid, spread, times[run.rows])

    if config.fixed_bones:
        lengths = usual_lengths(poses[:1] if config.aggregate == "none" else poses[1:], H36M17)
        poses = with_lengths(poses, lengths, H36M17).astype(np.float32)
    source = "prior"
    if config.height_m is not None:
        factor = np.float32(config.height_m / standing_height(poses[0][valid]))
        poses, std, source = poses * factor, std * factor, "height"
    return Motion(
        timestamps_s=times,
        joints_3d=poses[0],
        joints_3d_std=std,
        valid=valid,
        bridged=bridged,
        keypoints_2d=body.xy,
        scores_2d=body.scores,
        image_size=body.image_size,
        root_path=roots(poses[0], body.xy, body.scores, found, times, [run.rows for run in runs], camera),
        hypotheses=poses[1:] if config.keep_hypotheses else None,
        scale_source=source,
        settings=dict(settings or {}),
    )


def standing_height(poses: NDArray[np.floating]) -> float:
    """Height of a person standing straight with the median bone lengths of `poses` (T, 17, 3), in their unit."""
    bones = [
        np.mean([np.median(np.linalg.norm(poses[:, a] - poses[:, b], axis=-1)) for a, b in sides])
        for sides in _HEIGHT_BONES
    ]
    return float(np.sum(bones)) * HEIGHT_OVER_CHAIN


def _check(keypoints: Keypoints2D, lifter: Lifter, rate: float, size_exponent: float) -> None:
    """Refuses what would end in nonsense: files from outside say all of these."""
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
    if not 0.0 <= size_exponent <= 1.0:
        raise InputError(f"the weights say size_exponent {size_exponent:g}; their header is damaged")


def roots(
    pose: NDArray[np.floating],
    xy: NDArray[np.floating],
    scores: NDArray[np.floating],
    found: NDArray[np.bool_],
    times: NDArray[np.float64],
    stretches: Sequence[slice],
    camera: Pinhole,
) -> NDArray[np.float32]:
    """Path of the root (T, 3), metres, camera frame, each stretch by itself, NaN elsewhere: `posecli.camera.root_path`.

    pose (T, 17, 3) relative to the root; xy (T, 17, 2) pixels, scores (T, 17) and found (T,) of the 2D joints; times
    (T,) seconds, increasing in a stretch.
    """
    weights = np.where(found[:, None], np.maximum(np.nan_to_num(scores), 0.01), 0.0)
    weights[:, [j for j in range(H36M17.num_joints) if j not in LIMBS]] *= 0.2  # built joints are less exact
    path = np.full((len(pose), 3), np.nan, dtype=np.float32)
    for rows in stretches:
        path[rows] = root_path(pose[rows], xy[rows], weights[rows], times[rows], camera)
    return path
