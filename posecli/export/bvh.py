"""Motion → BVH, checked by forward kinematics of the very text that is written.

Channels Z X Y; root OFFSET zero; position channels on the root only; MotionBuilder's names; end sites with a
length; y up; frame time with eight decimals. Blender and three.js agree on such files.

BVH knows one fixed rate and no absence. Motion whose times are uneven is resampled to its median interval.
Frames with nobody hold the last pose (at the start: the first one to come), so that one file keeps the clip's
timing however often the person leaves; the report names the held stretches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from posecli.corpus.bvh import read_bvh
from posecli.errors import NobodyError, UsageError
from posecli.export.rig import NAMES, PARENTS, RIG, Posed, pose_rig
from posecli.export.world import y_up_points
from posecli.files import atomic_write
from posecli.motion import Motion
from posecli.skeleton import H36M17

Array = NDArray[np.float64]
Units = Literal["cm", "m"]

UNITS: dict[str, float] = {"cm": 100.0, "m": 1.0}
"""Unit → how many of it make a metre."""
MAX_FRAMES = 2_000_000
_EVEN = 0.1  # times this share of an interval off an even grid still count as even
_LONE_FRAME_S = 1 / 30


@dataclass(frozen=True)
class BvhReport:
    """What was written, and how far it is from the motion.

    mean_mm, max_mm: distance between the 17 joints of the motion and forward kinematics of the text, over all
        frames that are not held; what constant bones and the format cost.
    resampled: the source's times were uneven.
    held: (start, end) seconds of the source, stretches without a pose in which the last pose stands.
    """

    path: Path
    frames: int
    fps: float
    mean_mm: float
    max_mm: float
    resampled: bool
    held: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        text = (
            f"{self.frames} frames at {self.fps:.6g} fps, off the joints by {self.mean_mm:.1f} mm on average"
        )
        text += f" and {self.max_mm:.1f} mm at most"
        if self.resampled:
            text += "; resampled, since BVH knows no uneven times"
        if self.held:
            stretches = ", ".join(f"{start:.2f}-{end:.2f} s" for start, end in self.held)
            text += f"; nobody, so the last pose is held at {stretches}"
        return text


@dataclass(frozen=True)
class _Even:
    """Points (T, 17, 3) on an even grid, all finite; `measured` (T,) is False where a pose is held."""

    points: Array
    measured: NDArray[np.bool_]
    interval: float
    resampled: bool
    held: tuple[tuple[float, float], ...]


def save_bvh(motion: Motion, path: Path | str, units: Units = "cm") -> BvhReport:
    """Write `motion` as BVH in the world of `posecli.export.world.y_up_points`.

    units: of the offsets and the root; programs take one unit of the file as one of theirs.
    Raises NobodyError where no frame holds a pose, UsageError for another skeleton than Human3.6M-17 or times
    too far apart, OutputError where `path` cannot be written.
    """
    if units not in UNITS:
        raise UsageError(f"BVH units must be one of {', '.join(UNITS)}, not {units!r}")
    if motion.skeleton != H36M17:
        raise UsageError(f"BVH is written for {H36M17.name}, this motion is {motion.skeleton.name}")
    if not motion.valid.any():
        raise NobodyError("no frame holds a person, so there is nothing to write as BVH")
    even = _evenly(motion)
    posed = pose_rig(even.points, 1 / even.interval, even.measured)
    text = _hierarchy(posed, UNITS[units]) + _frames(posed, even.interval, UNITS[units])
    error_mm = 1000 * _distance(text, even.points, UNITS[units])[even.measured]
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="ascii", newline="\n")
    return BvhReport(
        path=Path(path),
        frames=len(even.points),
        fps=1 / even.interval,
        mean_mm=float(error_mm.mean()),
        max_mm=float(error_mm.max()),
        resampled=even.resampled,
        held=even.held,
    )


def _evenly(motion: Motion) -> _Even:
    """Bring a motion to a fixed rate and fill the frames with nobody."""
    times, valid = motion.timestamps_s, motion.valid
    points = y_up_points(motion)
    # Each frame without a pose looks at the last one with a pose, those at the start at the first.
    rows = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
    rows[rows < 0] = np.argmax(valid)
    steps = np.diff(times)
    mean = float(times[-1] - times[0]) / len(steps) if len(steps) else _LONE_FRAME_S
    grid = times[0] + mean * np.arange(len(times))
    if len(times) < 3 or float(np.abs(times - grid).max()) <= _EVEN * mean:
        interval, resampled, measured, filled = mean, False, valid, points[rows]
    else:
        interval, resampled = float(np.median(steps[steps > 0])), True
        count = round((times[-1] - times[0]) / interval) + 1
        if count > MAX_FRAMES:
            raise UsageError(
                f"evenly spaced, this motion would have {count} frames; cut it with --start and --end"
            )
        grid = times[0] + interval * np.arange(count)
        # Between two poses, blend; next to a frame with nobody, take the nearer row.
        after = np.clip(np.searchsorted(times, grid, side="right"), 1, len(times) - 1)
        before = after - 1
        share = np.clip((grid - times[before]) / np.maximum(steps[before], 1e-9), 0.0, 1.0)
        both = valid[before] & valid[after]
        share = np.where(both, share, np.round(share))
        measured = np.where(share < 0.5, valid[before], valid[after])
        share = share[:, None, None]
        filled = (1 - share) * points[rows[before]] + share * points[rows[after]]
    return _Even(filled, measured, interval or _LONE_FRAME_S, resampled, _held(times, valid))


def _held(times: Array, valid: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], valid, [True]]).astype(np.int8)))
    last = len(times) - 1
    return tuple((float(times[a]), float(times[min(b, last)])) for a, b in edges.reshape(-1, 2))


def _hierarchy(posed: Posed, scale: float) -> str:
    lines = ["HIERARCHY"]

    def add(k: int, depth: int) -> None:
        pad = "\t" * depth
        lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {NAMES[k]}")
        lines.append(pad + "{")
        lines.append(f"{pad}\tOFFSET {_numbers(scale * posed.offsets[k])}")
        turns = "Zrotation Xrotation Yrotation"
        lines.append(
            f"{pad}\tCHANNELS " + (f"3 {turns}" if depth else f"6 Xposition Yposition Zposition {turns}")
        )
        for child, parent in enumerate(PARENTS):
            if parent == k:
                add(child, depth + 1)
        if k in posed.ends:
            offset = _numbers(scale * posed.ends[k])
            lines.extend(
                [f"{pad}\tEnd Site", f"{pad}\t" + "{", f"{pad}\t\tOFFSET {offset}", f"{pad}\t" + "}"]
            )
        lines.append(pad + "}")

    add(0, 0)
    return "\n".join(lines) + "\n"


def _frames(posed: Posed, interval: float, scale: float) -> str:
    values = np.concatenate(
        [scale * posed.root, np.rad2deg(euler_zxy(posed.local)).reshape(len(posed.root), -1)], axis=1
    )
    rows = "\n".join(_numbers(row) for row in values)
    return f"MOTION\nFrames: {len(values)}\nFrame Time: {interval:.8f}\n{rows}\n"


def _numbers(values: Array) -> str:
    return " ".join(f"{value:.6f}" for value in np.round(values, 6) + 0.0)  # + 0.0 makes -0 plain


def euler_zxy(rotation: Array) -> Array:
    """Rotations (T, K, 3, 3) → angles (T, K, 3) in radians, order z, x, y, with R = Rz Rx Ry.

    Every rotation has two such triples, and each angle any number of whole turns; the ones nearest to the
    frame before are taken, so that programs which blend between frames see no jump. At the pole (x = ±90°)
    only the sum or difference of z and y is defined, and y stays.
    """
    z = np.arctan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    x = np.arctan2(rotation[..., 2, 1], np.hypot(rotation[..., 0, 1], rotation[..., 1, 1]))
    y = np.arctan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    angles = np.stack([z, x, y], axis=-1)
    pole = np.hypot(rotation[..., 0, 1], rotation[..., 1, 1]) < 1e-6
    turned = np.arctan2(rotation[..., 1, 0], rotation[..., 0, 0])
    previous = np.zeros_like(angles[0])
    for t, current in enumerate(angles):
        if (at := pole[t]).any():
            current[at, 2] = previous[at, 2]
            current[at, 0] = turned[t, at] - np.sign(current[at, 1]) * previous[at, 2]
        other = np.stack([current[:, 0] + np.pi, np.pi - current[:, 1], current[:, 2] + np.pi], axis=-1)
        pair = np.stack([current, other])
        pair -= 2 * np.pi * np.round((pair - previous) / (2 * np.pi))
        cost = np.abs(pair - previous).sum(axis=-1)
        # A fresh start takes the plain triple; afterwards the nearer one.
        nearer = (cost[1] < cost[0] - 1e-9)[:, None] & (t > 0)
        angles[t] = previous = np.where(nearer, pair[1], pair[0])
    return angles


def _distance(text: str, points: Array, scale: float) -> Array:
    """Metres (T, 17) between the joints and what a reader makes of the text."""
    posed = read_bvh(text.encode("ascii")).pose()
    node = {joint.point: joint.name for joint in RIG if joint.point} | {"Head": "Head.end"}
    read = np.stack([posed.at(node[name]) for name in H36M17.joint_names], axis=1) / scale
    return np.asarray(np.linalg.norm(read - points, axis=-1))
