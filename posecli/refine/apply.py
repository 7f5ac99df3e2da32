"""Refine a whole motion: stretch by stretch, on a uniform grid, with every frame's own time kept.

Frames without a pose stay without one, and what a refiner says never reaches across a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from posecli import resample
from posecli.bones import usual_lengths, with_lengths
from posecli.camera import DEFAULT_FOV_DEG, Pinhole
from posecli.errors import InputError, UsageError
from posecli.facing import face_windows
from posecli.lifting import roots, standing_height
from posecli.motion import Motion, frame_ranges
from posecli.refine import REFINERS
from posecli.refine.d3prefiner import D3PRefiner
from posecli.refine.filters import FILTERS, Filter
from posecli.segments import Segment, segments
from posecli.skeleton import H36M17
from posecli.weights import store
from posecli.weights.format import load_weights
from posecli.windows import window_starts

Array = NDArray[np.float64]

_SLOWEST, _FASTEST = 1.0, 1000.0  # Hz
_OVERLAP = 0.5
_WINDOWS_A_CALL = 8
_USUAL_HEIGHT_M = 1.73
"""Standing height (`posecli.lifting.standing_height`) of people as lifters answer them, and of the corpus."""


class Refiner(Protocol):
    """Anything that betters a stretch of poses."""

    @property
    def rate_hz(self) -> float | None:
        """Frames a second that it works at; None: the source's own."""

    @property
    def record(self) -> Mapping[str, Any]:
        """What is to be known of it afterwards, ready for JSON."""

    def __call__(self, poses: Array, flat: Array, rate: float) -> Array:
        """poses (H, G, 17, 3), metres, camera frame, relative to the root; flat (G, 17, 2), x/z and y/z of the rays
        through the 2D joints, NaN where a stretch has none; rate of both in Hz → poses, refined."""


@dataclass(frozen=True)
class TimeFilter:
    """One of `FILTERS` as a refiner; it looks at the poses alone."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in FILTERS:
            raise UsageError(f"unknown filter {self.name!r}; one of: {', '.join(FILTERS)}")

    @property
    def rate_hz(self) -> None:
        return None

    @property
    def record(self) -> dict[str, Any]:
        return {"method": self.name}

    def __call__(self, poses: Array, flat: Array, rate: float) -> Array:
        run: Filter = FILTERS[self.name]
        return run(poses.swapaxes(0, 1), rate).swapaxes(0, 1)


@dataclass(frozen=True)
class NetworkRefiner:
    """A D3PRefiner with what its weights say of themselves.

    base: the lifter whose errors it was fitted to, "any" for several. size_exponent: of the windows it was trained on
    (`posecli.facing.face_windows`).
    """

    model: D3PRefiner
    rate_hz: float
    size_exponent: float
    base: str
    record: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> NetworkRefiner:
        """Raises InputError where the file cannot be used, UsageError where it holds a lifter."""
        method, model, metadata = load_weights(path, device)
        if method not in REFINERS:
            raise UsageError(
                f"{path} are weights of the lifter {method}, not of a refiner ({', '.join(REFINERS)})"
            )
        try:
            rate, exponent = float(metadata["rate_hz"]), float(metadata["size_exponent"])
            base, bases = metadata["base"], metadata.get("bases", {})
            sound = _SLOWEST <= rate <= _FASTEST and 0 <= exponent <= 1 and isinstance(base, str)
            sound = sound and isinstance(bases, dict)
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound or model.skeleton != H36M17:
            raise InputError(f"{path}: its header is damaged; fetch the file again")
        record = {
            "method": method, "weights": path.name, "weights_hash": store.sha256(path), "base": base,
            "bases": bases, "steps": model.config.steps,
        }  # fmt: skip
        return cls(model, rate, exponent, base, record)

    def __call__(self, poses: Array, flat: Array, rate: float) -> Array:
        if not np.isfinite(flat).all():
            return poses  # nothing was seen in this stretch: nothing is known of its errors
        if len(poses) > _WINDOWS_A_CALL:  # many hypotheses: some at a time
            parts = [poses[k : k + _WINDOWS_A_CALL] for k in range(0, len(poses), _WINDOWS_A_CALL)]
            return np.concatenate([self(part, flat, rate) for part in parts])
        window, frames = self.model.window, len(flat)
        starts = window_starts(frames, window, _OVERLAP)
        missing = max(0, window - frames)  # a short stretch is played forth and back until it is long enough
        flat = np.pad(flat, ((0, missing), (0, 0), (0, 0)), mode="symmetric")
        padded = np.pad(poses, ((0, 0), (0, missing), (0, 0), (0, 0)), mode="symmetric")
        fade = np.sin(np.pi * (np.arange(window) + 0.5) / window)[:, None, None] ** 2
        total, weight = np.zeros_like(padded), np.zeros((padded.shape[1], 1, 1))
        per_call = max(1, _WINDOWS_A_CALL // len(poses))
        for first in range(0, len(starts), per_call):
            chosen = starts[first : first + per_call]
            answer = self._windows(
                np.stack([padded[:, s : s + window] for s in chosen]),
                np.stack([flat[s : s + window] for s in chosen]),
            )
            for start, refined in zip(chosen, answer, strict=True):
                total[:, start : start + window] += refined * fade
                weight[start : start + window] += fade
        return (total / weight)[:, :frames]

    def _windows(self, poses: Array, flat: Array) -> Array:
        """poses (b, H, T, 17, 3), flat (b, T, 17, 2) → poses, through the camera turned to the person."""
        device = self.model.scale.device
        faced = face_windows(torch.from_numpy(flat).float(), self.size_exponent)
        many = poses.shape[1]
        turned = faced.from_camera(torch.from_numpy(poses).float()).flatten(0, 1)
        x2d = faced.x2d.repeat_interleave(many, dim=0)
        refined = self.model.refine(x2d.to(device), turned.to(device)).cpu()
        answer = faced.to_camera(refined.view(-1, many, *refined.shape[1:])).numpy().astype(np.float64)
        if not np.isfinite(answer).all():
            raise InputError("the refiner's answer is not finite: its weights are damaged; fetch them again")
        return answer


def refine_motion(
    motion: Motion, refiner: Refiner, *, progress: Callable[[int, int], None] | None = None
) -> Motion:
    """The motion with refined joints (and hypotheses); what they were before is kept in `unrefined_3d`, that of the
    first refining where there were several. The root's path, where there is one, is found anew for them.

    Bones keep one length where the motion's settings say that they did, and the person the height that the user gave.
    The standard deviations stay those of the lifter. What was done is appended to `settings["refinements"]`, with the
    frames that it could do nothing for (`left_alone`). progress: called with (stretches done, in all). Raises
    UsageError for another skeleton or where no frame has a pose.
    """
    if motion.skeleton != H36M17:
        raise UsageError(f"refining needs joints of {H36M17.name}, not {motion.skeleton.name}")
    if not motion.valid.any():
        raise UsageError("no frame of this motion has a pose; there is nothing to refine")
    times, valid = motion.timestamps_s, motion.valid
    camera = Pinhole.from_fov(motion.image_size, _number(motion.settings.get("fov_deg"), DEFAULT_FOV_DEG))
    flat = camera.rays(motion.keypoints_2d)[..., :2]
    found = valid & ~motion.bridged & np.isfinite(flat).all(axis=(1, 2))
    poses = motion.joints_3d[None].astype(np.float64)
    if motion.hypotheses is not None:
        poses = np.concatenate([poses, motion.hypotheses])
    poses[:, ~valid] = np.nan
    # Networks know the errors of people as large as lifters see them: a height that was given is set aside.
    height = standing_height(poses[0, valid]) if motion.scale_source == "height" else 0.0
    scale = _USUAL_HEIGHT_M / height if height > 0 else 1.0
    rate = refiner.rate_hz or _usual_rate(times)
    runs = segments(valid, found, times, rate, 0.0)
    refined, changed = poses * scale, np.zeros(len(motion), bool)
    for done, run in enumerate(runs):
        moved = _moved(refiner, run, times, refined[:, run.rows], flat, rate)
        if moved is not None:
            refined[:, run.rows] += moved
            changed[run.rows] = True
        if progress is not None:
            progress(done + 1, len(runs))
    if motion.settings.get("fixed_bones") is True:
        lengths = usual_lengths(refined[:1, valid], H36M17)
        refined = np.asarray(with_lengths(refined, lengths, H36M17), np.float64)
    if height > 0:
        refined *= height / standing_height(refined[0, valid])
    better = refined.astype(np.float32)
    before = motion.settings.get("refinements", [])
    record = dict(refiner.record)
    if (valid & ~changed).any():
        record["left_alone"] = frame_ranges(valid & ~changed)
    return replace(
        motion,
        joints_3d=better[0],
        hypotheses=None if motion.hypotheses is None else better[1:],
        unrefined_3d=motion.joints_3d if motion.unrefined_3d is None else motion.unrefined_3d,
        root_path=_path(
            motion, better[0], found, [run.rows for run in runs if changed[run.rows].all()], camera
        ),
        settings={
            **motion.settings,
            "refinements": [*(before if isinstance(before, list) else []), record],
        },
    )


def left_alone(motion: Motion) -> list[str]:
    """In words: the frames that the last refining could do nothing for."""
    frames = motion.settings["refinements"][-1].get("left_alone")
    if frames is None:
        return []
    return [
        f"frames {frames} are not refined: too few in a row at this rate, without 2D joints, or several at one time"
    ]


def _moved(
    refiner: Refiner, run: Segment, times: Array, poses: Array, flat: Array, rate: float
) -> Array | None:
    """By how much the poses (H, T, 17, 3) of one stretch are moved; None where the refiner has nothing to say.

    It works on a grid of its own rate; what comes back to the source's times is the correction, not the pose, so that
    nothing changes but by the refiner.
    """
    own = times[run.rows]
    if len(own) < 2 or (np.diff(own) <= 0).any():
        return None  # one frame, or several at one time, have no motion to refine
    on_grid = resample.to_grid(own, poses.swapaxes(0, 1), run.grid).swapaxes(0, 1)
    seen = np.full((len(run.grid), *flat.shape[1:]), np.nan)
    if len(run.seen):
        seen = resample.to_grid(times[run.seen], flat[run.seen], run.grid)
    moved = refiner(on_grid, seen, rate) - on_grid
    if not moved.any():
        return None
    moved -= moved[:, :, H36M17.root, None]
    return resample.spline(run.grid, moved.swapaxes(0, 1), own).swapaxes(0, 1)


def _path(
    motion: Motion, joints: NDArray[np.float32], found: NDArray[np.bool_], rows: list[slice], camera: Pinhole
) -> NDArray[np.float32] | None:
    """The root's path for other joints in these stretches, as it was in the others."""
    if motion.root_path is None:
        return None
    rows = [r for r in rows if found[r].any()]
    path = roots(joints, motion.keypoints_2d, motion.scores_2d, found, motion.timestamps_s, rows, camera)
    return np.where(np.isfinite(path), path, motion.root_path).astype(np.float32)


def _usual_rate(times: Array) -> float:
    """Frames a second of the source: one over the median step."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    return float(np.clip(1 / np.median(steps), _SLOWEST, _FASTEST)) if len(steps) else 30.0


def _number(value: object, otherwise: float) -> float:
    """A setting of a file from outside."""
    sound = isinstance(value, int | float) and not isinstance(value, bool) and 1 < value < 170
    return float(value) if sound else otherwise  # type: ignore[arg-type]
