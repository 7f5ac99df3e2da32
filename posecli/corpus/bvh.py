"""Biovision hierarchies (BVH): reader and forward kinematics for any channel order.

    p_j = p_parent + R_parent · (offset_j or its position channels),   R_j = R_parent · R(channels in order)
Positions stay in the file's unit: BVH names none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posecli.corpus.kinematics import Array, Posed, euler_matrices, parse_numbers
from posecli.errors import InputError

MAX_JOINTS = 1000


@dataclass(frozen=True)
class BvhJoint:
    """`parent` is an index, -1 for the root. An end site is named after its joint, with ".end" appended."""

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Bvh:
    """joints: parents first. values: (T, sum of channels), file units and degrees. frame_time: seconds."""

    joints: tuple[BvhJoint, ...]
    values: Array
    frame_time: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(joint.name for joint in self.joints)

    def pose(self) -> Posed:
        """Forward kinematics; positions (T, N, 3) in the file's unit."""
        frames = len(self.values)
        positions = np.empty((frames, len(self.joints), 3))
        rotations = np.empty((frames, len(self.joints), 3, 3))
        column = 0
        for k, joint in enumerate(self.joints):
            values = self.values[:, column : column + len(joint.channels)]
            column += len(joint.channels)
            turned = [c for c, name in enumerate(joint.channels) if name.endswith("rotation")]
            local = euler_matrices(values[:, turned], "".join(joint.channels[c][0] for c in turned))
            offset = np.broadcast_to(np.array(joint.offset), (frames, 3)).copy()
            for c, name in enumerate(joint.channels):
                if name.endswith("position"):  # replaces the offset, as every program that reads BVH does
                    offset[:, "xyz".index(name[0])] = values[:, c]
            if joint.parent < 0:
                positions[:, k], rotations[:, k] = offset, local
            else:
                parent = rotations[:, joint.parent]
                positions[:, k] = positions[:, joint.parent] + (parent @ offset[..., None])[..., 0]
                rotations[:, k] = parent @ local
        return Posed(self.names, positions, rotations)


def read_bvh(data: bytes, label: str = "motion") -> Bvh:
    """Skeleton and motion from the bytes of a .bvh file; `label` names it in errors.

    Raises InputError where it is damaged, cut short or something else.
    """
    head, mark, tail = data.partition(b"MOTION")
    if not head.lstrip().upper().startswith(b"HIERARCHY") or not mark:
        raise InputError(f"{label} is not a BVH file: HIERARCHY or MOTION is missing")
    try:
        joints = _read_hierarchy(head.decode("latin-1").split()[1:])
        frames, frame_time, numbers = _read_motion(tail)
    except (ValueError, IndexError, StopIteration, RuntimeError) as error:
        # RuntimeError: what StopIteration becomes within a generator
        why = error if isinstance(error, ValueError) else "its braces do not match, or it ends too early"
        raise InputError(f"{label} is damaged: {why}") from error
    channels = sum(len(joint.channels) for joint in joints)
    if channels == 0 or numbers.size == 0 or numbers.size % channels:
        raise InputError(f"{label} is damaged or cut short: its motion is not rows of {channels} numbers")
    if numbers.size < frames * channels:
        raise InputError(f"{label} is cut short: {frames} frames announced, {numbers.size // channels} found")
    if not np.isfinite(numbers).all():
        raise InputError(f"{label} is damaged: it holds values that are not finite")
    return Bvh(tuple(joints), numbers.reshape(-1, channels)[:frames], frame_time)


def _read_hierarchy(words: list[str]) -> list[BvhJoint]:
    joints: list[BvhJoint] = []
    open_joints: list[int] = []  # from the root down to the joint whose braces we are in
    pending: tuple[str, int] | None = None  # name and parent of a joint whose brace has not opened yet
    stream = iter(words)
    for word in stream:
        kind = word.upper()
        if kind in ("ROOT", "JOINT"):
            pending = (next(stream), open_joints[-1] if open_joints else -1)
        elif kind == "END":
            next(stream)  # the word "Site"
            pending = (f"{joints[open_joints[-1]].name}.end", open_joints[-1])
        elif kind == "{":
            if pending is None:
                raise ValueError("a brace opens without a joint")
            joints.append(BvhJoint(*pending, offset=(0.0, 0.0, 0.0), channels=()))
            open_joints.append(len(joints) - 1)
            pending = None
        elif kind == "}":
            open_joints.pop()
        elif kind in ("OFFSET", "CHANNELS"):
            at = open_joints[-1]
            old = joints[at]
            if kind == "OFFSET":
                x, y, z = (float(next(stream)) for _ in range(3))
                joints[at] = BvhJoint(old.name, old.parent, (x, y, z), old.channels)
            else:
                channels = tuple(next(stream).lower() for _ in range(int(next(stream))))
                bad = [c for c in channels if c[:1] not in "xyz" or c[1:] not in ("position", "rotation")]
                if bad:
                    raise ValueError(f"unknown channel {bad[0]!r}")
                joints[at] = BvhJoint(old.name, old.parent, old.offset, channels)
        else:
            raise ValueError(f"unexpected word {word[:30]!r} in its hierarchy")
        if len(joints) > MAX_JOINTS:
            raise ValueError(f"more than {MAX_JOINTS} joints")
    if not joints or open_joints:
        raise ValueError("its hierarchy is not closed")
    if sum(joint.parent < 0 for joint in joints) != 1:
        raise ValueError("it holds more than one skeleton")
    return joints


def _read_motion(text: bytes) -> tuple[int, float, Array]:
    """(number of frames announced, frame time in seconds, all numbers)."""
    lines = text.lstrip().split(b"\n", 2)
    if (
        len(lines) < 3
        or not lines[0].startswith(b"Frames:")
        or not lines[1].strip().startswith(b"Frame Time:")
    ):
        raise ValueError("Frames: or Frame Time: is missing after MOTION")
    frames, frame_time = int(lines[0].split(b":")[1]), float(lines[1].split(b":")[1])
    if frames < 1 or not frame_time > 0:
        raise ValueError("it announces no frames")
    return frames, frame_time, parse_numbers(lines[2])
