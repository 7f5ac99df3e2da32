"""The skeleton that a golden case speaks of, by its symmetric joints."""

from __future__ import annotations

from typing import Any

from posecli.skeleton import SKELETONS, Skeleton


def skeleton_of(settings: dict[str, Any]) -> Skeleton:
    """One that posecli knows, else a new one under which all joints hang on the first; it becomes known, so that a
    method's config can name it.
    """
    joints = settings["num_joints"]
    left, right = tuple(settings["joints_left"]), tuple(settings["joints_right"])
    for known in SKELETONS.values():
        if (known.num_joints, known.left, known.right) == (joints, left, right):
            return known
    made = Skeleton(
        name=f"golden{len(SKELETONS)}",
        joint_names=tuple(f"joint {j}" for j in range(joints)),
        parents=(-1, *[0] * (joints - 1)),
        left=left,
        right=right,
    )
    SKELETONS[made.name] = made
    return made
