"""Joints that a tool did not see."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from posecli.skeleton import Skeleton

Points = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LONGEST_S = 0.5
"""A joint unseen for longer than this (from sighting to sighting) is not filled in: it may be anywhere."""

_STAND_INS = {
    "left_ear": ("right_ear", "left_eye", "nose"),
    "right_ear": ("left_ear", "right_eye", "nose"),
    "nose": ("left_eye", "right_eye", "left_ear", "right_ear"),
}
"""Seen from the side or behind, parts of the face are hidden as a rule; within a head's width, these stand in."""


def fill_missing(
    xy: Points, scores: NDArray[np.float32], times: NDArray[np.float64], skeleton: Skeleton, joints: list[int]
) -> tuple[Points, Mask]:
    """Positions (T, J, 2) with single missing `joints` filled in, and which were (T, J).

    First between the joint's own sightings at most half a second apart, along a straight line; then, in the face,
    by a neighbour. Frames with fewer than half of `joints` stay as they are: nobody is there.
    """
    seen: Mask = np.asarray(np.isfinite(xy).all(axis=-1))
    there = seen[:, joints].mean(axis=1) >= 0.5
    filled, result = np.zeros_like(seen), xy.copy()
    for joint in joints:
        for before, after in itertools.pairwise(np.flatnonzero(seen[:, joint])):
            if after - before > 1 and times[after] - times[before] <= _LONGEST_S:
                rows = np.flatnonzero(there[before:after]) + before
                rows = rows[~seen[rows, joint]]
                part = ((times[rows] - times[before]) / (times[after] - times[before]))[:, None]
                result[rows, joint] = (1 - part) * xy[before, joint] + part * xy[after, joint]
                filled[rows, joint] = True
    for joint in joints:
        for name in _STAND_INS.get(skeleton.joint_names[joint], ()):
            other = skeleton.index(name)
            rows = np.flatnonzero(there & ~seen[:, joint] & ~filled[:, joint] & seen[:, other])
            result[rows, joint] = xy[rows, other]
            filled[rows, joint] = True
    return result, filled
