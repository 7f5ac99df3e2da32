"""From posed CMU skeletons to Human3.6M-17 and the eleven points that detectors see besides.

Bodies come in three dialects: A (the original ASF/AMC), B (MotionBuilder-friendly BVH of the same skeleton,
thorax and wrist bones lost) and D (retargeted to one DAZ figure). Metres, y up; in every rest pose the body
faces +z and its left is +x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posecli.corpus.asf_amc import INCH
from posecli.corpus.bvh import Bvh
from posecli.corpus.kinematics import Array, Posed, euler_matrices
from posecli.corpus.store import LANDMARKS
from posecli.skeleton import H36M17

CMU_UNIT = INCH / 0.45
"""Metres in one CMU unit of length (0.056444); BVH files of tier B are in it as well."""
DAZ_UNIT = 0.01

WRIST = 0.88
"""The wrist joint lies at this part of the ASF's forearm (radius and wrist bones together, split 2:1)."""
RADIUS = 2 / 3

# Face, metres from the middle of the ear axis, x to the person's left, y up the head, z out of the face:
# an adult of 1.75 m. Breadths and depths after the head charts of Tilley, "The Measure of Man and Woman".
_FACE = {
    "nose": (0.0, 0.005, 0.120), "left_eye": (0.032, 0.025, 0.090), "right_eye": (-0.032, 0.025, 0.090),
    "left_ear": (0.075, 0.0, 0.0), "right_ear": (-0.075, 0.0, 0.0),
    "mouth_left": (0.025, -0.045, 0.095), "mouth_right": (-0.025, -0.045, 0.095),
}  # fmt: skip
# The ear axis from the base of the skull (the end of the ASF's upper neck), in the head's frame.
_EARS = (0.0, 0.05, 0.012)
# The DAZ figure has eyes of its own, 8 cm above and before the head joint; ears follow from them.
_EARS_DAZ = (0.002, 0.055, -0.0095)
# A head held level is pitched down by this much in the ASF's head frame (its head bone runs from the neck to
# the middle of the skull, which lies further forward): the median over walking clips is 15° with walkers
# looking about 5° down. The DAZ figure has no such tilt.
_LEVEL_DEG = 10.0
# From the ankle, in a frame with y away from the sole and z towards the toes; ankles are 7 cm above the sole.
_HEEL = (0.0, -0.05, -0.05)
SOLE = 0.02
"""Toes and heels are points in the foot, this far above the floor when it stands flat (metres)."""
_LEVEL = euler_matrices(np.array([-_LEVEL_DEG]), "x")
_ADULT_LEG = 0.85  # hip to ankle of the adult above


@dataclass(frozen=True)
class Body:
    """What placing landmarks needs of a clip.

    joints: (T, 17, 3). head, left_foot, right_foot: (T, 3, 3) rotations. left_toe, right_toe: (T, 3).
    ears: (T, 3), middle of the ear axis. sole_up: for each foot (left, right), the direction away from the
    floor in the foot's own frame when it stands flat.
    """

    joints: Array
    head: Array
    ears: Array
    feet: tuple[Array, Array]
    toes: tuple[Array, Array]
    sole_up: tuple[Array, Array]


def body_from_asf(posed: Posed, sole_up: tuple[Array, Array]) -> Body:
    """Tier A. Nodes are named after bones and lie at the bones' ends."""
    at = posed.at
    joints = np.stack(
        [
            (at("lhipjoint") + at("rhipjoint")) / 2,
            at("rhipjoint"), at("rfemur"), at("rtibia"), at("lhipjoint"), at("lfemur"), at("ltibia"),
            at("lowerback"), at("thorax"), at("upperneck"), at("head"),
            at("lclavicle"), at("lhumerus"), at("lhumerus") + WRIST * (at("lwrist") - at("lhumerus")),
            at("rclavicle"), at("rhumerus"), at("rhumerus") + WRIST * (at("rwrist") - at("rhumerus")),
        ],
        axis=1,
    )  # fmt: skip
    head = posed.turn("head") @ _LEVEL
    return Body(
        joints, head, at("upperneck") + head @ np.array(_EARS), (posed.turn("lfoot"), posed.turn("rfoot")),
        (at("ltoes"), at("rtoes")), sole_up,
    )  # fmt: skip


def guess_thorax(bvh: Bvh) -> Array:
    """The thorax bone (3,) that tier B lost, metres, for subjects without an ASF.

    In 22 ASF skeletons it is the bone below it plus (0, 0.01, 0.07) CMU units, with a spread of 3 mm forward
    and 1 mm otherwise. Raises KeyError where the file has no "Spine1".
    """
    if "Spine1" not in bvh.names:
        raise KeyError("Spine1")
    below = np.array(bvh.joints[bvh.names.index("Spine1")].offset)
    return (below + np.array([0.0, 0.01, 0.07])) * CMU_UNIT


def body_from_cmu_bvh(posed: Posed, thorax: Array) -> Body:
    """Tier B, `posed` in CMU units. `thorax` (3,): the bone that the BVH lost, metres, in its rest pose."""
    lift = posed.turn("Spine1") @ thorax

    def at(name: str) -> Array:
        return posed.at(name) * CMU_UNIT

    def wrist(side: str) -> Array:
        elbow = at(f"{side}ForeArm") + lift
        return elbow + WRIST / RADIUS * (at(f"{side}Hand") - at(f"{side}ForeArm"))

    joints = np.stack(
        [
            (at("LeftUpLeg") + at("RightUpLeg")) / 2,
            at("RightUpLeg"), at("RightLeg"), at("RightFoot"), at("LeftUpLeg"), at("LeftLeg"), at("LeftFoot"),
            at("Spine"), at("Spine1") + lift, at("Head") + lift, at("Head.end") + lift,
            at("LeftArm") + lift, at("LeftForeArm") + lift, wrist("Left"),
            at("RightArm") + lift, at("RightForeArm") + lift, wrist("Right"),
        ],
        axis=1,
    )  # fmt: skip
    head = posed.turn("Head") @ _LEVEL
    up = np.array([0.34202, 0.939693, 0.0])
    return Body(
        joints, head, joints[:, 9] + head @ np.array(_EARS), (posed.turn("LeftFoot"), posed.turn("RightFoot")),
        (at("LeftToeBase.end"), at("RightToeBase.end")), (up * (-1, 1, 1), up),
    )  # fmt: skip


def body_from_daz(posed: Posed) -> Body:
    """Tier D, `posed` in centimetres."""

    def at(name: str) -> Array:
        return posed.at(name) * DAZ_UNIT

    def toe(side: str) -> Array:  # the figure's foot ends at the ball
        return at(f"{side}Foot") + 1.5 * (at(f"{side}Foot.end") - at(f"{side}Foot"))

    head = posed.turn("head")
    joints = np.stack(
        [
            (at("lThigh") + at("rThigh")) / 2,
            at("rThigh"), at("rShin"), at("rFoot"), at("lThigh"), at("lShin"), at("lFoot"), at("abdomen"),
            at("chest") + posed.turn("chest") @ np.array([0.0, 0.1731, -0.0341]), at("head"),
            at("head") + head @ np.array([0.0, 0.17, 0.02]),
            at("lShldr"), at("lForeArm"), at("lHand"), at("rShldr"), at("rForeArm"), at("rHand"),
        ],
        axis=1,
    )  # fmt: skip
    up = np.array([0.0, 1.0, 0.0])
    return Body(
        joints, head, at("head") + head @ np.array(_EARS_DAZ), (posed.turn("lFoot"), posed.turn("rFoot")),
        (toe("l"), toe("r")), (up, up),
    )  # fmt: skip


def points_of(body: Body) -> Array:
    """(T, 28, 3): joints, then `LANDMARKS`."""
    legs = [
        np.linalg.norm(body.joints[0, b] - body.joints[0, a]) for a, b in ((1, 2), (2, 3), (4, 5), (5, 6))
    ]
    # Heads and feet vary less than legs do.
    scale = (1 + sum(legs) / (2 * _ADULT_LEG)) / 2
    places = {name: body.ears + body.head @ (scale * np.array(offset)) for name, offset in _FACE.items()}
    for k, side in enumerate(("left", "right")):
        ankle = body.joints[:, H36M17.index("LAnkle" if side == "left" else "RAnkle")]
        forward = np.median(np.einsum("tji,tj->ti", body.feet[k], body.toes[k] - ankle), axis=0)
        up = body.sole_up[k] / np.linalg.norm(body.sole_up[k])
        forward -= up * (forward @ up)
        forward /= np.linalg.norm(forward)
        heel = scale * (_HEEL[1] * up + _HEEL[2] * forward)
        places[f"{side}_heel"] = ankle + body.feet[k] @ heel
        places[f"{side}_foot_index"] = body.toes[k]
    return np.concatenate([body.joints, np.stack([places[name] for name in LANDMARKS], axis=1)], axis=1)
