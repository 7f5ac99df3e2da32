"""Human3.6M in VideoPose3D's archives: motion in the world, keypoints of four cameras.

    data_3d_h36m.npz                      positions_3d: subject → action → (T, 32 or 17, 3) metres
    data_2d_h36m_<keypoints>.npz          positions_2d: subject → action → 4 cameras → (T' >= T, 17 or 16, 2) pixels

The cameras are in neither; `posecli.datasets.resection` finds them from the motion and its exact projection,
data_2d_h36m_gt.npz.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.calibration import CalibratedCamera
from posecli.corpus.h36m import KEPT, camera_poses
from posecli.datasets.resection import fit_camera
from posecli.errors import InputError
from posecli.skeleton import H36M16, H36M17
from posecli.untrusted_npz import read_npz

TRAIN = ("S1", "S5", "S6", "S7", "S8")
TEST = ("S9", "S11")
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
SHORT = (
    "Dir", "Disc", "Eat", "Greet", "Phone", "Photo", "Pose", "Pur", "Sit", "SitD", "Smoke", "Wait", "WalkD",
    "Walk", "WalkT",
)  # fmt: skip
"""How papers head their columns, in the order of `ACTIONS`."""

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
IMAGE_SIZES = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))
DROPPED = (("S11", "Directions"),)
"""Takes that every evaluation leaves out: a corrupted video."""

POSITIONS = "data_3d_h36m.npz"
TRUE_KEYPOINTS = "gt"
_FILES = {"cpn": "cpn_ft_h36m_dbb"}
_FARTHEST_PX = 0.05  # RMS; float32 pixels of a 1000 px image are exact to 0.0001

Takes = dict[str, dict[str, NDArray[np.floating]]]
Views = dict[str, dict[str, list[NDArray[np.floating]]]]


def keypoints_file(keypoints: str) -> str:
    """Name of the archive of "cpn", "gt", or whatever stands behind data_2d_h36m_."""
    return f"data_2d_h36m_{_FILES.get(keypoints, keypoints)}.npz"


def action_of(take: str) -> str:
    """ "Walking 1" → "Walking"."""
    return re.sub(r" \d+$", "", take)


@dataclass(frozen=True)
class Clip:
    """A take as one camera saw it.

    pixels: (T, J, 2), J as the keypoints have it. poses: (T, 17, 3), metres, camera frame, relative to the root.
    root: (T, 1, 3), the root's own place there.
    """

    subject: str
    take: str
    view: int
    pixels: NDArray[np.float32]
    poses: NDArray[np.float32]
    root: NDArray[np.float32]
    camera: CalibratedCamera

    @property
    def action(self) -> str:
        return action_of(self.take)

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Human36M:
    """Motion, keypoints and cameras of some subjects.

    positions: subject → take → (T, 17, 3), world metres. views: subject → take → four times (T, J, 2) pixels.
    cameras: subject → four cameras. misses_px: how far off each of them is, RMS, the worst.
    """

    positions: Takes
    views: Views
    cameras: dict[str, tuple[CalibratedCamera, ...]]
    misses_px: float

    def clips(self) -> Iterator[Clip]:
        """Subject by subject, take by take, camera by camera."""
        for subject, takes in self.positions.items():
            for take, world in takes.items():
                for view, camera in enumerate(self.cameras[subject]):
                    placed = camera_poses(_as_recorded(world), camera)
                    root = placed[:, :1].copy()
                    placed[:, 0] = 0
                    yield Clip(
                        subject, take, view, np.asarray(self.views[subject][take][view], np.float32),
                        placed.astype(np.float32), root.astype(np.float32), camera,
                    )  # fmt: skip

    @property
    def joints(self) -> int:
        """Of the keypoints: 17, or 16 without the neck."""
        return next(view.shape[1] for takes in self.views.values() for v in takes.values() for view in v)

    @property
    def frames(self) -> int:
        """Over all takes and cameras."""
        return sum(len(w) for takes in self.positions.values() for w in takes.values()) * len(CAMERAS)


def load(folder: Path, keypoints: str = "cpn", subjects: tuple[str, ...] = TEST) -> Human36M:
    """Read `subjects` from the archives in `folder`.

    keypoints: see `keypoints_file`. Raises InputError that names the file that is missing, damaged or does not fit.
    """
    for name in (POSITIONS, keypoints_file(keypoints), keypoints_file(TRUE_KEYPOINTS)):
        if not (folder / name).is_file():
            raise InputError(
                f"there is no {name} in {folder}; `posecli data check h36m {folder}` says what is missing and where "
                "to get it"
            )
    positions = read_positions(folder, subjects)
    true = read_views(folder, TRUE_KEYPOINTS, positions)
    views = true if keypoints == TRUE_KEYPOINTS else read_views(folder, keypoints, positions)
    cameras, worst = find_cameras(positions, true)
    return Human36M(positions, views, cameras, worst)


def read_positions(folder: Path, subjects: tuple[str, ...]) -> Takes:
    """Motion of the subjects, 17 joints; InputError where it is not as `Human36M` says."""
    path = folder / POSITIONS
    found = read_npz(path, "positions_3d")["positions_3d"]
    positions: Takes = {}
    for subject in subjects:
        takes = _dict(found, subject, path)
        positions[subject] = {}
        for take, world in takes.items():
            if (subject, take) in DROPPED:
                continue
            if (
                not _is_array(world)
                or world.ndim != 3
                or world.shape[1] not in (32, 17)
                or world.shape[2] != 3
            ):
                raise InputError(f"{path}: {subject} {take} is not (frames, 32 or 17 joints, 3)")
            if not len(world) or not np.isfinite(world).all():
                raise InputError(f"{path}: {subject} {take} is empty or holds numbers that are not finite")
            positions[subject][take] = world[:, list(KEPT)] if world.shape[1] == 32 else world
    return positions


def read_views(folder: Path, keypoints: str, positions: Takes) -> Views:
    """Keypoints of the takes of `positions`, cut to their lengths; InputError where one lacks or does not fit."""
    path = folder / keypoints_file(keypoints)
    archive = read_npz(path, "positions_2d", optional=("metadata",))
    found = archive["positions_2d"]
    views: Views = {}
    joints: set[int] = set()
    for subject, takes in positions.items():
        there = _dict(found, subject, path)
        views[subject] = {}
        for take, world in takes.items():
            seen = there.get(take)
            if not isinstance(seen, list | tuple) or len(seen) < len(CAMERAS):
                raise InputError(f"{path}: {subject} {take} does not have {len(CAMERAS)} cameras")
            for view in seen[: len(CAMERAS)]:
                if (
                    not _is_array(view)
                    or view.ndim != 3
                    or view.shape[1] not in (17, 16)
                    or view.shape[2] < 2
                ):
                    raise InputError(f"{path}: {subject} {take} is not (frames, 17 or 16 joints, 2)")
                if len(view) < len(world):
                    raise InputError(
                        f"{path}: {subject} {take} has {len(view)} frames, its motion {len(world)}"
                    )
                joints.add(view.shape[1])
            views[subject][take] = [view[: len(world), :, :2] for view in seen[: len(CAMERAS)]]
            if not all(np.isfinite(view).all() for view in views[subject][take]):
                raise InputError(f"{path}: {subject} {take} holds numbers that are not finite")
    if len(joints) > 1:
        raise InputError(f"{path}: some takes have 16 joints, others 17")
    _check_layout(archive.get("metadata"), max(joints, default=17), path)
    return views


def find_cameras(
    positions: Takes, true: Views, points: int = 1500
) -> tuple[dict[str, tuple[CalibratedCamera, ...]], float]:
    """Cameras of every subject from motion and its exact projection, and the worst RMS distance in pixels.

    points: so many of each, evenly taken. Raises InputError where the two do not belong together.
    """
    cameras: dict[str, tuple[CalibratedCamera, ...]] = {}
    worst = 0.0
    for subject, takes in positions.items():
        world = np.concatenate([w.reshape(-1, 3) for w in takes.values()])
        chosen = np.linspace(0, len(world) - 1, min(points, len(world))).astype(int)
        row = []
        for view, size in enumerate(IMAGE_SIZES):
            pixels = np.concatenate([true[subject][take][view].reshape(-1, 2) for take in takes])
            if len(pixels) != len(world):
                raise InputError(f"{keypoints_file(TRUE_KEYPOINTS)} must have 17 joints")
            camera, off = fit_camera(world[chosen], pixels[chosen], size)
            if not off < _FARTHEST_PX:
                raise InputError(
                    f"{keypoints_file(TRUE_KEYPOINTS)} is not the projection of {POSITIONS}: {subject}, camera "
                    f"{CAMERAS[view]}, is {off:.2f} px off at best; make both with the same script"
                )
            worst = max(worst, off)
            row.append(camera)
        cameras[subject] = tuple(row)
    return cameras, worst


def _as_recorded(world: NDArray[np.floating]) -> NDArray[np.floating]:
    """17 joints among 32, as `camera_poses` wants them."""
    recorded = np.zeros((len(world), 32, 3), world.dtype)
    recorded[:, list(KEPT)] = world
    return recorded


def _check_layout(metadata: Any, joints: int, path: Path) -> None:
    """Detectors of other joints, 17 as well, come in files of the same form; their pairs of sides give them away."""
    if not isinstance(metadata, dict) or "keypoints_symmetry" not in metadata:
        return
    body = H36M17 if joints == 17 else H36M16
    try:
        pairs = [[int(j) for j in side] for side in metadata["keypoints_symmetry"]]
    except (TypeError, ValueError):
        raise InputError(f"{path}: its metadata are damaged") from None
    if sorted(map(sorted, pairs)) != sorted([sorted(body.left), sorted(body.right)]):
        layout = metadata.get("layout_name", "unknown")
        raise InputError(
            f"{path}: its joints are not Human3.6M's (layout {layout}); released weights want those"
        )


def _dict(found: Any, subject: str, path: Path) -> dict[str, Any]:
    takes = found.get(subject) if isinstance(found, dict) else None
    if not isinstance(takes, dict) or not takes:
        raise InputError(f"{path} holds nothing of subject {subject}")
    return takes


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
