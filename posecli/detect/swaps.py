"""Left taken for right: found in the 2D joints of one person, and put right where that is sure."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from posecli.detect.keypoints import Keypoints2D
from posecli.errors import UsageError
from posecli.skeleton import Skeleton

Points = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LONGEST_STEP_S = 0.2
"""Frames further apart than this are not compared."""

_SIDES = {"legs": ("hip", "knee", "ankle"), "arms": ("shoulder", "elbow", "wrist")}
_OF_LEGS = ("hip", "knee", "ankle", "heel", "toe", "foot")
_OF_FACE = ("eye", "ear", "mouth")

# Costs of an explanation, in shares of the person's height: joints must move by what is left between two frames.
_PER_CHANGE = 0.03  # sides change from one frame to the next
_PER_FRAME = 0.002  # a frame is exchanged: of two ways round, the rarer is the mistake
_PER_TWIST = 0.05  # left and right hip lie the other way round than left and right shoulder
_WIDE = 0.05  # share of the height from left to right hip, and shoulder, from which on that can be told
_MOST = 0.5
_TOGETHER = 0.05  # sides of a part that are nearer than this may change places unseen


@dataclass(frozen=True)
class SwapSettings:
    """What counts as an exchange of sides, and what becomes of it.

    repair: put right what is sure; else only report. min_jump: share of the person's height that the joints jump, on
    average, where sides are exchanged from one frame to the next. max_other: so much of that jump may remain with
    the sides exchanged. longest_s: an exchange that lasts longer is reported and not repaired.
    """

    repair: bool = True
    min_jump: float = 0.07
    max_other: float = 0.4
    longest_s: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} of swaps makes no sense: {value}")


@dataclass(frozen=True)
class Swaps:
    """Frames (T,) in which left and right look exchanged, by part ("legs", "arms"): sure ones begin and end with a
    jump and are short; of the others, which way round is right is anybody's guess."""

    sure: dict[str, Mask] = field(default_factory=dict)
    unsure: dict[str, Mask] = field(default_factory=dict)

    def messages(self, repair: bool) -> list[str]:
        """In words, for warnings."""
        said = []
        for found, words in (
            (self.sure, "put right" if repair else "left as they are"),
            (self.unsure, "left as they are"),
        ):
            for part, mask in found.items():
                said.append(f"left and right {part} look exchanged in frames {_ranges(mask)}; {words}")
        return said

    def orders(self, skeleton: Skeleton) -> dict[int, NDArray[np.int64]]:
        """Frame → order (J,) of the joints that puts it right, for the frames that are sure."""
        orders: dict[int, NDArray[np.int64]] = {}
        for part, mask in self.sure.items():
            joints = _part(skeleton, part)
            for frame in np.flatnonzero(mask):
                order = orders.setdefault(int(frame), np.arange(skeleton.num_joints))
                order[joints] = np.array(skeleton.mirror)[joints]
        return orders


def find_swaps(
    xy: Points, times: NDArray[np.float64], skeleton: Skeleton, settings: SwapSettings | None = None
) -> Swaps:
    """xy: (T, J, 2) pixels, NaN where not seen. times: (T,) seconds.

    Of all ways to tell legs and arms as exchanged or not, frame by frame, the cheapest is looked for (Viterbi): joints
    should move little, sides change seldom, hips lie the same way round as shoulders. Of two ways round that are
    equally good, the rarer is the mistake. Only what begins or ends with a plain jump is told, which is one by more
    than 7 % of the person's height of which hardly anything would be left with the sides exchanged.
    """
    settings = settings or SwapSettings()
    every: Mask = np.asarray(np.isfinite(xy).all(axis=-1))
    usual = [np.ptp(frame[ok][:, 1]) for frame, ok in zip(xy, every, strict=True) if ok.sum() > 3]
    height = max(float(np.median(usual)), 1.0) if usual else 1.0
    sides = _sides(skeleton)
    if len(sides) < len(_SIDES):
        return Swaps()
    limbs = (
        np.stack([xy[:, [*left, *right]] for left, right in sides.values()], axis=1) / height
    )  # (T, 2, 6, 2)
    sure, unsure = ({part: np.zeros(len(xy), dtype=bool) for part in sides} for _ in range(2))
    seen = np.flatnonzero(np.isfinite(limbs).all(axis=(2, 3)).any(axis=1))
    for rows in np.split(seen, np.flatnonzero(np.diff(times[seen]) > _LONGEST_STEP_S) + 1):
        if len(rows) < 3:
            continue
        kept, other = _moves(limbs[rows])
        states = _cheapest(kept, other, _twist(limbs[rows]))
        for place, part in enumerate(sides):
            plain = (kept[:, place] > settings.min_jump) & (
                other[:, place] < settings.max_other * kept[:, place]
            )
            near = np.maximum(kept, other)[:, place] < _TOGETHER
            for first, stop in _runs(states[:, place]):
                ends = [k - 1 for k in (first, stop) if 0 < k < len(rows)]  # moves across the ends
                if not plain[ends].any():
                    continue
                short = times[rows[stop - 1]] - times[rows[first]] <= settings.longest_s
                certain = len(ends) == 2 and short and bool((plain | near)[ends].all())
                (sure if certain else unsure)[part][rows[first:stop]] = True
    return Swaps(*({part: mask for part, mask in found.items() if mask.any()} for found in (sure, unsure)))


def put_right(keypoints: Keypoints2D, swaps: Swaps) -> Keypoints2D:
    """The keypoints with the sure ones exchanged back; the very same object where there are none."""
    orders = swaps.orders(keypoints.skeleton)
    if not orders:
        return keypoints
    xy, scores = keypoints.xy.copy(), keypoints.scores.copy()
    world = None if keypoints.world is None else keypoints.world.copy()
    for frame, order in orders.items():
        xy[frame], scores[frame] = xy[frame, order], scores[frame, order]
        if world is not None:
            world[frame] = world[frame, order]
    return replace(keypoints, xy=xy, scores=scores, world=world)


def _part(skeleton: Skeleton, part: str) -> list[int]:
    """All joints with a side that belong to the legs, or to the arms."""
    joints = []
    for joint in (*skeleton.left, *skeleton.right):
        name = skeleton.joint_names[joint].lower()
        if any(word in name for word in _OF_FACE):
            continue
        if any(word in name for word in _OF_LEGS) == (part == "legs"):
            joints.append(joint)
    return joints


def _sides(skeleton: Skeleton) -> dict[str, tuple[list[int], list[int]]]:
    """Part → its three joints on the left, and on the right; lacks a part of which joints are missing."""
    found = {}
    for part, names in _SIDES.items():
        sided = [[f"{side}_{name}" for name in names] for side in ("left", "right")]
        if skeleton.name.startswith("h36m"):
            sided = [[f"{side}{name.capitalize()}" for name in names] for side in ("L", "R")]
        if set(itertools.chain(*sided)) <= set(skeleton.joint_names):
            left, right = ([skeleton.index(name) for name in side] for side in sided)
            found[part] = (left, right)
    return found


def _moves(limbs: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean way (N - 1, 2) of a part's joints from one row to the next as they are, and with the sides exchanged; 0
    where it is not seen. limbs: (N, 2, 6, 2) of both parts, three joints of the left, then of the right, in heights."""
    filled = limbs.astype(np.float64)
    seen: Mask = np.asarray(np.isfinite(filled).all(axis=(2, 3)))
    for row in range(1, len(filled)):  # what is not seen stays where it was
        filled[row][~seen[row]] = filled[row - 1][~seen[row]]
    kept = np.linalg.norm(filled[1:] - filled[:-1], axis=-1).mean(axis=-1)
    other = np.linalg.norm(filled[1:, :, [3, 4, 5, 0, 1, 2]] - filled[:-1], axis=-1).mean(axis=-1)
    unknown = ~seen[1:] | ~np.isfinite(kept)
    return np.where(unknown, 0.0, kept), np.where(unknown, 0.0, other)


def _twist(limbs: Points) -> NDArray[np.int64]:
    """(N,) 1 where hips and shoulders lie the same way round, -1 where not, 0 where that cannot be told."""
    width = limbs[:, :, 0, 0] - limbs[:, :, 3, 0]  # left minus right: of the hips, of the shoulders
    plain = (np.abs(width) > _WIDE).all(axis=1)
    return np.where(plain, np.sign(np.nan_to_num(width)).prod(axis=1), 0).astype(np.int64)


def _cheapest(
    kept: NDArray[np.float64], other: NDArray[np.float64], twist: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(N, 2) whether each part is exchanged in each row, at the least cost in all."""
    states = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    odd = states.sum(axis=1) % 2 == 1
    own = _PER_FRAME * states.sum(axis=1) + _PER_TWIST * (np.where(odd, -1, 1) * twist[:, None] < 0)  # (N, 4)
    change = states[:, None] != states[None]  # (4, 4, 2)
    cost, came = own[0], np.zeros((len(own), 4), dtype=np.int64)
    for row in range(1, len(own)):
        way = np.where(
            change, np.minimum(other[row - 1], _MOST) + _PER_CHANGE, np.minimum(kept[row - 1], _MOST)
        )
        total = cost[:, None] + way.sum(axis=-1)
        came[row] = total.argmin(axis=0)
        cost = total.min(axis=0) + own[row]
    path = [int(cost.argmin())]
    for row in range(len(own) - 1, 0, -1):
        path.append(int(came[row, path[-1]]))
    return np.asarray(states[path[::-1]])


def _runs(mask: Mask) -> list[tuple[int, int]]:
    """(first, stop) of each stretch of true entries."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _ranges(mask: Mask, most: int = 6) -> str:
    words = [f"{a}" if b - a == 1 else f"{a}-{b - 1}" for a, b in _runs(mask)]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
