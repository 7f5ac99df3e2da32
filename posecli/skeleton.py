"""Joint sets: names, parents, symmetric pairs, and the table that maps one set to another.

Shape letters used in the whole package: B clips, H hypotheses, T frames, J joints, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skeleton:
    """A named joint set. `parents[j]` is the index of joint j's parent, -1 for the root.

    `left[k]` and `right[k]` are the k-th symmetric pair. Raises ValueError where these do not make one tree with
    each joint in one pair at most.
    """

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.joint_names) == len(self.parents):
            raise ValueError(f"{self.name}: {len(self.joint_names)} names but {len(self.parents)} parents")
        if len(self.left) != len(self.right):
            raise ValueError(f"{self.name}: left and right joints must come in pairs")
        count, paired = len(self.parents), (*self.left, *self.right)
        if len(set(paired)) != len(paired) or not set(paired) <= set(range(count)):
            raise ValueError(f"{self.name}: a joint in two pairs, or a pair of joints there are not")
        reached = {j for j, parent in enumerate(self.parents) if parent == -1}
        if len(reached) != 1:
            raise ValueError(f"{self.name}: one joint must be the root, not {len(reached)}")
        while grown := {j for j, p in enumerate(self.parents) if p in reached} - reached:
            reached |= grown
        if len(reached) != count:
            raise ValueError(
                f"{self.name}: joints {sorted(set(range(count)) - reached)} do not hang on the root"
            )

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    @cached_property
    def root(self) -> int:
        """Index of the joint without a parent."""
        return self.parents.index(-1)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) of every bone, in the order of the child joints."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Permutation of joint indices that swaps left and right."""
        order = list(range(self.num_joints))
        for a, b in zip(self.left, self.right, strict=True):
            order[a], order[b] = b, a
        return tuple(order)

    def index(self, name: str) -> int:
        """Raises ValueError for a joint there is not."""
        return self.joint_names.index(name)


H36M17 = Skeleton(
    name="h36m17",
    joint_names=(
        "Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Spine", "Thorax", "Neck/Nose", "Head",
        "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
)  # fmt: skip
"""Human3.6M-17 as VideoPose3D orders it; the skeleton of every posecli result."""

HEIGHT_OVER_CHAIN = 1.10
"""Standing height over the length of the chain ankle → head of Human3.6M-17, which lacks what lies between
ankle and floor and between head joint and crown: about 0.16 m where the chain measures 1.59 m (CMU's adults)."""

LIMBS = (1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16)
"""The twelve Human3.6M-17 joints that marker sets define alike (hips to ankles, shoulders to wrists)."""

BLAZEPOSE33 = Skeleton(
    name="blazepose33",
    joint_names=(
        "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
        "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
        "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
        "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel",
        "left_foot_index", "right_foot_index",
    ),
    # BlazePose names no root; for drawing, everything hangs on the nose.
    parents=(
        -1, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16, 11, 12, 23, 24, 25,
        26, 27, 28, 29, 30,
    ),
    left=(1, 2, 3, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31),
    right=(4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32),
)  # fmt: skip

MPI3DHP17 = Skeleton(
    name="mpi_inf_3dhp17",
    joint_names=(
        "Head top", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "RHip",
        "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Pelvis", "Spine", "Head",
    ),
    parents=(1, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1),
    left=(5, 6, 7, 11, 12, 13),
    right=(2, 3, 4, 8, 9, 10),
)  # fmt: skip

H36M16 = Skeleton(
    name="h36m16",
    joint_names=tuple(name for name in H36M17.joint_names if name != "Neck/Nose"),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14),
    left=(4, 5, 6, 10, 11, 12),
    right=(1, 2, 3, 13, 14, 15),
)
"""Human3.6M without the neck: DiffuPose's own setting, and that of graph networks on true 2D."""

HUMANEVA15 = Skeleton(
    name="humaneva15",
    joint_names=(
        "Pelvis", "Thorax", "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist", "LHip",
        "LKnee", "LAnkle", "RHip", "RKnee", "RAnkle", "Head",
    ),
    parents=(-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1),
    left=(2, 3, 4, 8, 9, 10),
    right=(5, 6, 7, 11, 12, 13),
)  # fmt: skip

COCO17 = Skeleton(
    name="coco17",
    joint_names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle",
    ),
    parents=(-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    left=(1, 3, 5, 7, 9, 11, 13, 15),
    right=(2, 4, 6, 8, 10, 12, 14, 16),
)  # fmt: skip

OPENPOSE18 = Skeleton(
    name="openpose18",
    joint_names=(
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
        "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "right_eye", "left_eye", "right_ear", "left_ear",
    ),
    parents=(1, -1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15),
    left=(5, 6, 7, 11, 12, 13, 15, 17),
    right=(2, 3, 4, 8, 9, 10, 14, 16),
)  # fmt: skip
"""OpenPose's COCO model."""

OPENPOSE25 = Skeleton(
    name="openpose25",
    joint_names=(
        *OPENPOSE18.joint_names[:8], "mid_hip", *OPENPOSE18.joint_names[8:],
        "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
    ),
    parents=(1, 8, 1, 2, 3, 1, 5, 6, -1, 8, 9, 10, 8, 12, 13, 0, 0, 15, 16, 14, 19, 14, 11, 22, 11),
    left=(5, 6, 7, 12, 13, 14, 16, 18, 19, 20, 21),
    right=(2, 3, 4, 9, 10, 11, 15, 17, 22, 23, 24),
)  # fmt: skip
"""OpenPose's BODY_25."""

HALPE26 = Skeleton(
    name="halpe26",
    joint_names=(
        *COCO17.joint_names, "head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe",
        "right_small_toe", "left_heel", "right_heel",
    ),
    parents=(
        18, 0, 0, 1, 2, 18, 18, 5, 6, 7, 8, 19, 19, 11, 12, 13, 14, 18, 19, -1, 15, 16, 20, 21, 15, 16,
    ),
    left=(*COCO17.left, 20, 22, 24),
    right=(*COCO17.right, 21, 23, 25),
)  # fmt: skip
"""The body of Halpe: COCO's joints, the top of the head, neck, pelvis and feet."""

SKELETONS: dict[str, Skeleton] = {
    s.name: s
    for s in (
        H36M17, BLAZEPOSE33, MPI3DHP17, H36M16, HUMANEVA15, COCO17, OPENPOSE18, OPENPOSE25, HALPE26,
    )
}  # fmt: skip

# Every Human3.6M joint as a weighted sum of a detector's joints; the weights of a row sum to one.
# Limbs are the detector's own. What Human3.6M has and detectors lack is built by these rules:
#   pelvis    midpoint of the hips
#   thorax    midpoint of the shoulders
#   spine     midpoint of pelvis and thorax
#   neck/nose the nose (Human3.6M's own point lies between the two; the nose is what can be seen)
#   head      top of the head: midpoint of the ears, raised along the face (mouth to eyes) by 1.7 times
#             the distance from mouth to eyes
# Training projects corpus motion onto the detector's joints first and then through this same table, so
# that networks see in training what they see in use.
_H36M_FROM_BLAZEPOSE: dict[str, dict[str, float]] = {
    "Hip": {"left_hip": 0.5, "right_hip": 0.5},
    "RHip": {"right_hip": 1.0},
    "RKnee": {"right_knee": 1.0},
    "RAnkle": {"right_ankle": 1.0},
    "LHip": {"left_hip": 1.0},
    "LKnee": {"left_knee": 1.0},
    "LAnkle": {"left_ankle": 1.0},
    "Spine": {"left_hip": 0.25, "right_hip": 0.25, "left_shoulder": 0.25, "right_shoulder": 0.25},
    "Thorax": {"left_shoulder": 0.5, "right_shoulder": 0.5},
    "Neck/Nose": {"nose": 1.0},
    "Head": {
        "left_ear": 0.5, "right_ear": 0.5,
        "left_eye": 0.85, "right_eye": 0.85, "mouth_left": -0.85, "mouth_right": -0.85,
    },
    "LShoulder": {"left_shoulder": 1.0},
    "LElbow": {"left_elbow": 1.0},
    "LWrist": {"left_wrist": 1.0},
    "RShoulder": {"right_shoulder": 1.0},
    "RElbow": {"right_elbow": 1.0},
    "RWrist": {"right_wrist": 1.0},
}  # fmt: skip

# Detectors without a mouth: BlazePose's head, to the nearest that ears, nose and shoulders can tell (least squares
# over upright and bent poses of the corpus, with 8 mm of noise on the face and 12 mm on the shoulders: 25 mm off).
_H36M_FROM_COCO = {
    **_H36M_FROM_BLAZEPOSE,
    "Head": {
        "left_ear": 0.875, "right_ear": 0.875, "nose": -0.15, "left_shoulder": -0.3, "right_shoulder": -0.3,
    },
}  # fmt: skip

H36M_RULES: dict[str, Mapping[str, Mapping[str, float]]] = {
    BLAZEPOSE33.name: _H36M_FROM_BLAZEPOSE,
    **dict.fromkeys((COCO17.name, OPENPOSE18.name, OPENPOSE25.name), _H36M_FROM_COCO),
    HALPE26.name: {**_H36M_FROM_BLAZEPOSE, "Head": {"head": 1.0}},  # it marks the top of the head itself
    H36M17.name: {name: {name: 1.0} for name in H36M17.joint_names},
}
"""Skeleton name → how its joints make Human3.6M-17."""


def h36m_weights(source: Skeleton) -> NDArray[np.float64]:
    """Matrix (17, J) that turns the joints of `source` into Human3.6M-17.

    Raises KeyError where no rule for `source` is written down in `H36M_RULES`.
    """
    rules = H36M_RULES[source.name]
    weights = np.zeros((H36M17.num_joints, source.num_joints))
    for row, name in enumerate(H36M17.joint_names):
        for joint, weight in rules[name].items():
            weights[row, source.index(joint)] = weight
    return weights


def to_h36m17(points: NDArray[np.floating], source: Skeleton) -> NDArray[np.floating]:
    """Points (..., J, C) on `source` → (..., 17, C) on Human3.6M-17, same units and dtype.

    NaN spreads only to the joints that are built from it.
    """
    weights = h36m_weights(source).astype(points.dtype)
    used = [np.flatnonzero(row) for row in weights]
    return np.stack(
        [np.einsum("j,...jc->...c", row[u], points[..., u, :]) for row, u in zip(weights, used, strict=True)],
        axis=-2,
    )


def scores_to_h36m17(scores: NDArray[np.floating], source: Skeleton) -> NDArray[np.floating]:
    """Scores (..., J) → (..., 17): a built joint is as sure as the least sure joint it is built from."""
    used = h36m_weights(source) != 0
    return np.stack([scores[..., row].min(axis=-1) for row in used], axis=-1)
