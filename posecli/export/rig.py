"""Points → a skeleton with constant bones and joint rotations.

World and rest pose: y up, right-handed, metres; a person facing +z has the left side at +x. Rest is a T-pose.

Points say where a bone points but not how it turns about itself, and what one usually takes for that, the
plane of a limb's two bones, is noise while the limb is straight (at 5° of bend 10 mm of noise make a median
error of 39°). So:

* pelvis and thorax are frames from hips and shoulders, whose lines are never short;
* every other bone makes the smallest swing from its rest direction, relative to its parent;
* a limb's upper bone is also turned about itself until its hinge stands square to the limb's plane, but only
  as far as the limb is bent (nothing below 20°, fully above 40°). In between the angle is held and low-passed.

Three kinds of joint have no point of their own: the first spine joint, the neck and the shoulders (collar
bones) sit a fixed share of the way to their point. They give pelvis and thorax joints to turn about, which a
bone that is rigidly part of the frame would not have, and they are what other programs expect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from posecli.export.world import SOLE_M
from posecli.skeleton import H36M17

Array = NDArray[np.float64]

_UP, _DOWN, _LEFT, _RIGHT = (0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)
_BEND_DEG = (20.0, 40.0)  # where the limb's plane begins to count, and where it counts fully
_TWIST_HZ = 3.0  # half amplitude of the low-pass on turns about a bone
_STUB = 0.2  # how far along a joint without a point sits


@dataclass(frozen=True)
class RigJoint:
    """One joint of the rig; parents come first in `RIG`.

    point: the Human3.6M-17 joint it stands for, "" where it has none.
    aim: the point that its bone leads to; "" where it only follows its parent.
    rest: direction of that bone in the rest pose.
    frame: pairs of points (from, to) along its x and, nearly, its y axis, where it is a frame.
    hinge: axis, in the rest pose, about which the next bone flexes.
    limit_deg: turns about itself beyond this are no human's and are ignored.
    end: offset of the end site, metres; the length counts only where `aim` has no joint.
    """

    name: str
    parent: str
    point: str = ""
    aim: str = ""
    rest: tuple[float, float, float] = _UP
    frame: tuple[tuple[str, str], tuple[str, str]] | None = None
    hinge: tuple[float, float, float] | None = None
    limit_deg: float = 0.0
    end: tuple[float, float, float] | None = None


def _leg(side: str, s: str) -> tuple[RigJoint, ...]:
    return (
        RigJoint(f"{side}UpLeg", "Hips", f"{s}Hip", f"{s}Knee", _DOWN, hinge=(1, 0, 0), limit_deg=120),
        RigJoint(f"{side}Leg", f"{side}UpLeg", f"{s}Knee", f"{s}Ankle", _DOWN),
        RigJoint(f"{side}Foot", f"{side}Leg", f"{s}Ankle", end=(0, -SOLE_M, 0.15)),
    )


def _arm(side: str, s: str) -> tuple[RigJoint, ...]:
    out = _LEFT if s == "L" else _RIGHT
    hinge = (0, -out[0], 0)  # palms down, elbows flex to the front
    return (
        RigJoint(f"{side}Shoulder", "Spine2", "", f"{s}Shoulder", out),
        RigJoint(
            f"{side}Arm", f"{side}Shoulder", f"{s}Shoulder", f"{s}Elbow", out, hinge=hinge, limit_deg=150
        ),
        RigJoint(f"{side}ForeArm", f"{side}Arm", f"{s}Elbow", f"{s}Wrist", out),
        RigJoint(f"{side}Hand", f"{side}ForeArm", f"{s}Wrist", end=(0.16 * out[0], 0, 0)),
    )


RIG: tuple[RigJoint, ...] = (
    RigJoint("Hips", "", "Hip", frame=(("RHip", "LHip"), ("Hip", "Spine"))),
    *_leg("Left", "L"),
    *_leg("Right", "R"),
    RigJoint("Spine", "Hips", "", "Spine"),
    RigJoint("Spine1", "Spine", "Spine", "Thorax"),
    RigJoint("Spine2", "Spine1", "Thorax", frame=(("RShoulder", "LShoulder"), ("Spine", "Thorax"))),
    RigJoint("Neck", "Spine2", "", "Neck/Nose", hinge=(-1, 0, 0), limit_deg=100),
    RigJoint("Head", "Neck", "Neck/Nose", "Head", end=_UP),
    *_arm("Left", "L"),
    *_arm("Right", "R"),
)
"""MotionBuilder's names, a depth-first order. Its joints are Human3.6M-17's, but for the four of `point` ""."""

NAMES = tuple(joint.name for joint in RIG)
PARENTS = tuple(NAMES.index(joint.parent) if joint.parent else -1 for joint in RIG)


@dataclass(frozen=True)
class Posed:
    """offsets: (K, 3) of each joint from its parent at rest, metres; the root's is zero.

    ends: joint index → offset (3,) of its end site. local: (T, K, 3, 3) rotations relative to the parent.
    root: (T, 3) position of the root.
    """

    offsets: Array
    ends: dict[int, Array]
    local: Array
    root: Array


def pose_rig(points: Array, rate: float, measured: NDArray[np.bool_] | None = None) -> Posed:
    """Fit `RIG` to Human3.6M-17 points (T, 17, 3), all finite, at `rate` Hz.

    Bone lengths are medians over the frames in `measured` (T,), default all, and left and right alike.
    """
    measured = np.ones(len(points), np.bool_) if measured is None else measured
    world = np.empty((len(points), len(RIG), 3, 3))
    place = np.empty((len(points), len(RIG), 3))
    offsets = np.zeros((len(RIG), 3))
    ends: dict[int, Array] = {}
    for k, joint in enumerate(RIG):
        parent = PARENTS[k]
        before = world[:, parent] if parent >= 0 else np.broadcast_to(np.eye(3), (len(points), 3, 3))
        if joint.point:
            place[:, k] = _at(points, joint.point)
            if parent >= 0:
                length = _length(place[:, k] - place[:, parent], measured)
                offsets[k] = length * np.array(_rest_towards(RIG[parent], joint))
        else:
            whole = _length(_at(points, joint.aim) - place[:, parent], measured)
            offsets[k] = _STUB * whole * np.array(joint.rest)
            place[:, k] = place[:, parent] + before @ offsets[k]
        world[:, k] = _turn(joint, points, place[:, k], before, rate)
        if joint.end is not None:
            length = _length(_at(points, joint.aim) - place[:, k], measured) if joint.aim else 1.0
            ends[k] = length * np.array(joint.end)
    _make_symmetric(offsets)
    local = world.copy()
    for k, parent in enumerate(PARENTS):
        if parent >= 0:
            local[:, k] = world[:, parent].swapaxes(-1, -2) @ world[:, k]
    return Posed(offsets, ends, local, place[:, 0].copy())


def _turn(joint: RigJoint, points: Array, place: Array, before: Array, rate: float) -> Array:
    """World rotation (T, 3, 3) of a joint, from that of its parent."""
    if joint.frame:
        (x0, x1), (y0, y1) = joint.frame
        return _frame(_at(points, x1) - _at(points, x0), _at(points, y1) - _at(points, y0), before)
    if not joint.aim:
        return before
    rest = np.array(joint.rest)
    bone = _unit(_at(points, joint.aim) - place, before @ rest)
    spare = np.array(joint.hinge or ((1.0, 0.0, 0.0) if abs(rest[0]) < 0.5 else (0.0, 1.0, 0.0)))
    swung = before @ _swing(rest, (before.swapaxes(-1, -2) @ bone[..., None])[..., 0], spare)
    if joint.hinge is None:
        return swung
    tip = next(other.aim for other in RIG if other.point == joint.aim)
    after = _unit(_at(points, tip) - _at(points, joint.aim), bone)
    return _about(bone, _twist(swung @ np.array(joint.hinge), bone, after, joint.limit_deg, rate)) @ swung


def _twist(hinge: Array, bone: Array, after: Array, limit_deg: float, rate: float) -> Array:
    """Angle (T,) about `bone` (T, 3) that squares `hinge` (T, 3) to the plane of `bone` and `after`.

    Minimises Σ w (φ - measured)² + λ Σ (φ_t - φ_t-1)² + ε Σ φ²: a low-pass where the limb is bent (w = 1),
    a straight line across stretches where it is not (w = 0), nothing where it never is.
    """
    normal = np.cross(bone, after)
    angle = np.arctan2(
        np.einsum("ti,ti->t", np.cross(hinge, normal), bone), np.einsum("ti,ti->t", hinge, normal)
    )
    bend = np.arctan2(np.linalg.norm(normal, axis=-1), np.einsum("ti,ti->t", bone, after))
    low, high = np.deg2rad(_BEND_DEG)
    share = np.clip((bend - low) / (high - low), 0.0, 1.0)
    weight = share * share * (3 - 2 * share) * (np.abs(angle) < np.deg2rad(limit_deg))
    stiffness = 1.0 / (2.0 * np.sin(np.pi * min(_TWIST_HZ / rate, 0.5))) ** 2
    if len(bone) == 1:
        return weight * angle / (weight + 1e-6)
    banded = np.zeros((2, len(bone)))
    banded[1] = weight + 1e-6
    banded[1, 1:] += stiffness
    banded[1, :-1] += stiffness
    banded[0, 1:] = -stiffness
    return np.asarray(solveh_banded(banded, weight * angle))


def _rest_towards(parent: RigJoint, child: RigJoint) -> tuple[float, float, float]:
    if parent.aim == child.point:
        return parent.rest
    return _LEFT if child.point.startswith("L") else _RIGHT  # the hips, sideways from the pelvis


def _make_symmetric(offsets: Array) -> None:
    for k, name in enumerate(NAMES):
        if name.startswith("Left"):
            other = NAMES.index(name.replace("Left", "Right"))
            length = (np.linalg.norm(offsets[k]) + np.linalg.norm(offsets[other])) / 2
            for side in (k, other):
                offsets[side] *= length / np.linalg.norm(offsets[side])


def _at(points: Array, name: str) -> Array:
    return points[:, H36M17.index(name)]


def _length(bone: Array, measured: NDArray[np.bool_]) -> float:
    """Median, at least a millimetre: readers of BVH stumble over bones without length."""
    return max(float(np.median(np.linalg.norm(bone[measured], axis=-1))), 1e-3)


def _unit(vector: Array, spare: Array) -> Array:
    """Vectors (T, 3) of length one; `spare` where they have none."""
    norm = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.where(norm > 1e-6, vector / np.maximum(norm, 1e-6), spare)


def _frame(x: Array, y: Array, spare: Array) -> Array:
    """Rotations (T, 3, 3) with x as first axis and y in the plane of the first two."""
    first = _unit(x, spare[..., 0])
    y = y - first * np.einsum("ti,ti->t", first, y)[:, None]
    other = spare[..., 1] - first * np.einsum("ti,ti->t", first, spare[..., 1])[:, None]
    second = _unit(y, _unit(other, np.cross(spare[..., 2], first)))
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _swing(rest: Array, to: Array, spare: Array) -> Array:
    """Smallest rotations (T, 3, 3) from `rest` (3,) to unit vectors `to` (T, 3); half a turn is about `spare`."""
    cos = to @ rest
    skew = _cross_matrix(np.cross(rest, to))
    half_turn = 2 * np.outer(spare, spare) - np.eye(3)
    turned = np.eye(3) + skew + skew @ skew / np.maximum(1 + cos, 1e-9)[:, None, None]
    return np.where((1 + cos < 1e-7)[:, None, None], half_turn, turned)


def _about(axis: Array, angle: Array) -> Array:
    """Rotations (T, 3, 3) by `angle` (T,) about unit vectors `axis` (T, 3)."""
    skew = _cross_matrix(axis)
    s, c = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + s * skew + (1 - c) * (skew @ skew)


def _cross_matrix(v: Array) -> Array:
    zero = np.zeros(len(v))
    x, y, z = v.T
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
