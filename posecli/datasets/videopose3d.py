"""The archives that VideoPose3D's scripts make of Human3.6M and HumanEva-I, and so every paper here:

data_3d_<data set>.npz                positions_3d: subject → take → (T, J, 3), metres in the world
data_2d_<data set>_<keypoints>.npz    positions_2d: subject → take → cameras → (T' >= T, J', 2) pixels; metadata
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.calibration import CalibratedCamera
from posecli.datasets.resection import fit_camera
from posecli.errors import InputError
from posecli.skeleton import Skeleton
from posecli.untrusted_npz import read_npz

Takes = dict[str, dict[str, NDArray[np.floating]]]
Views = dict[str, dict[str, list[NDArray[np.floating]]]]

_POINTS = 600  # that a camera is found from


def read_positions(
    path: Path, subjects: tuple[str, ...], joints: tuple[int, ...], wanted: Callable[[str, str], bool]
) -> Takes:
    """Motion of the subjects' takes for which `wanted(subject, take)` holds; joints: how many an array may have.

    Raises InputError where a subject lacks or an array is not as above.
    """
    found = read_npz(path, "positions_3d")["positions_3d"]
    positions: Takes = {}
    for subject in subjects:
        positions[subject] = {}
        for take, world in _takes(found, subject, path).items():
            if not wanted(subject, take):
                continue
            if not (
                _is_array(world) and world.ndim == 3 and world.shape[1] in joints and world.shape[2] == 3
            ):
                raise InputError(f"{path}: {subject} {take} is not (frames, {_or(joints)} joints, 3)")
            if not len(world) or not np.isfinite(world).all():
                raise InputError(f"{path}: {subject} {take} is empty or holds numbers that are not finite")
            positions[subject][take] = world
    return positions


def read_views(path: Path, positions: Takes, cameras: int, skeletons: tuple[Skeleton, ...]) -> Views:
    """Keypoints of the takes of `positions`, cut to their lengths, of the first `cameras` cameras.

    skeletons: whose joints they may be. Raises InputError where a take lacks or does not fit.
    """
    archive = read_npz(path, "positions_2d", optional=("metadata",))
    counts = tuple(s.num_joints for s in skeletons)
    views: Views = {}
    joints: set[int] = set()
    for subject, takes in positions.items():
        there = _takes(archive["positions_2d"], subject, path)
        views[subject] = {}
        for take, world in takes.items():
            seen = there.get(take)
            if not isinstance(seen, list | tuple) or len(seen) < cameras:
                raise InputError(f"{path}: {subject} {take} does not have {cameras} cameras")
            for view in seen[:cameras]:
                if not (
                    _is_array(view) and view.ndim == 3 and view.shape[1] in counts and view.shape[2] >= 2
                ):
                    raise InputError(f"{path}: {subject} {take} is not (frames, {_or(counts)} joints, 2)")
                if len(view) < len(world):
                    raise InputError(
                        f"{path}: {subject} {take} has {len(view)} frames, its motion {len(world)}"
                    )
                joints.add(view.shape[1])
            views[subject][take] = [view[: len(world), :, :2] for view in seen[:cameras]]
            if not all(np.isfinite(view).all() for view in views[subject][take]):
                raise InputError(f"{path}: {subject} {take} holds numbers that are not finite")
    if len(joints) > 1:
        raise InputError(f"{path}: some takes have {min(joints)} joints, others {max(joints)}")
    for body in skeletons:
        if body.num_joints in joints:
            _check_layout(archive.get("metadata"), body, path)
    return views


def find_cameras(
    positions: Takes, true: Views, image_sizes: tuple[tuple[int, int], ...]
) -> dict[str, tuple[tuple[CalibratedCamera, float], ...]]:
    """Every subject's cameras from motion and its exact projection, each with its RMS distance in pixels.

    Raises InputError where the two have different joints.
    """
    cameras = {}
    for subject, takes in positions.items():
        world = np.concatenate([w.reshape(-1, 3) for w in takes.values()])
        chosen = np.linspace(0, len(world) - 1, min(_POINTS, len(world))).astype(int)
        row = []
        for view, size in enumerate(image_sizes):
            pixels = np.concatenate([true[subject][take][view].reshape(-1, 2) for take in takes])
            if len(pixels) != len(world):
                raise InputError("exact keypoints must have the motion's joints")
            row.append(fit_camera(world[chosen], pixels[chosen], size))
        cameras[subject] = tuple(row)
    return cameras


def _check_layout(metadata: Any, body: Skeleton, path: Path) -> None:
    """Detectors of other joints, as many, come in files of the same form; their pairs of sides give them away."""
    if not isinstance(metadata, dict) or "keypoints_symmetry" not in metadata:
        return
    try:
        pairs = [[int(j) for j in side] for side in metadata["keypoints_symmetry"]]
    except (TypeError, ValueError):
        raise InputError(f"{path}: its metadata are damaged") from None
    if sorted(map(sorted, pairs)) != sorted([sorted(body.left), sorted(body.right)]):
        layout = str(metadata.get("layout_name", "unknown"))[:40]
        raise InputError(
            f"{path}: its joints are not {_OWNERS.get(body.name, body.name)} (layout {layout}); released weights want "
            "those"
        )


_OWNERS = {"h36m17": "Human3.6M's", "h36m16": "Human3.6M's", "humaneva15": "HumanEva's"}


def _takes(found: Any, subject: str, path: Path) -> dict[str, Any]:
    takes = found.get(subject) if isinstance(found, dict) else None
    if not isinstance(takes, dict) or not takes:
        raise InputError(f"{path} holds nothing of subject {subject}")
    return {str(take): content for take, content in takes.items()}


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _or(counts: tuple[int, ...]) -> str:
    return " or ".join(map(str, counts))
