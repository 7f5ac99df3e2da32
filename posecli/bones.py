"""One skeleton for a whole clip: bones keep their length, and those of left and right are alike.

Lifters answer window by window and let bones breathe; people's don't.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posecli.skeleton import Skeleton

_NO_LENGTH = 1e-6
"""Metres. A bone this short has no direction; it stays as it is."""


def usual_lengths(poses: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.float64]:
    """Median length (J,) of the bone above each joint, the mean of left and right; zero at the root.

    poses: (..., J, 3), in any unit; NaN where there is none.
    """
    child, parent = _ends(skeleton)
    bones = np.linalg.norm(poses[..., child, :] - poses[..., parent, :], axis=-1).reshape(-1, len(child))
    lengths = np.zeros(skeleton.num_joints)
    lengths[child] = np.nanmedian(bones, axis=0)
    return (lengths + lengths[list(skeleton.mirror)]) / 2


def with_lengths(
    poses: NDArray[np.floating], lengths: NDArray[np.floating], skeleton: Skeleton
) -> NDArray[np.floating]:
    """Poses (..., J, 3) with every bone brought to its length (J,), its direction and the root's place kept."""
    fixed = poses.copy()
    for child, parent in zip(*_ends(skeleton), strict=True):
        bone = poses[..., child, :] - poses[..., parent, :]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        factor = np.where(length > _NO_LENGTH, lengths[child] / np.maximum(length, _NO_LENGTH), 1.0)
        fixed[..., child, :] = fixed[..., parent, :] + bone * factor
    return fixed


def _ends(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    """Child and parent of each bone, parents before their children."""
    depth = {skeleton.root: 0}
    while len(depth) < skeleton.num_joints:
        depth |= {c: depth[p] + 1 for c, p in enumerate(skeleton.parents) if c not in depth and p in depth}
    child = [joint for joint in sorted(depth, key=lambda j: depth[j]) if joint != skeleton.root]
    return child, [skeleton.parents[joint] for joint in child]
