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

import numpy as np
from numpy.typing import NDArray

from posecli.calibration import CalibratedCamera
from posecli.corpus.h36m import KEPT, camera_poses
from posecli.datasets import videopose3d
from posecli.datasets.videopose3d import Takes, Views
from posecli.errors import InputError
from posecli.skeleton import H36M16, H36M17

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

TEST_FRAMES, TRAIN_FRAMES = 543_344, 1_559_752
"""Over all cameras, as public logs of the evaluations have them."""


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
    found = videopose3d.read_positions(
        folder / POSITIONS, subjects, (32, 17), lambda subject, take: (subject, take) not in DROPPED
    )
    return {
        subject: {
            take: world[:, list(KEPT)] if world.shape[1] == 32 else world for take, world in takes.items()
        }
        for subject, takes in found.items()
    }


def read_views(folder: Path, keypoints: str, positions: Takes) -> Views:
    """Keypoints of the takes of `positions`, cut to their lengths; InputError where one lacks or does not fit."""
    path = folder / keypoints_file(keypoints)
    return videopose3d.read_views(path, positions, len(CAMERAS), (H36M17, H36M16))


def find_cameras(positions: Takes, true: Views) -> tuple[dict[str, tuple[CalibratedCamera, ...]], float]:
    """Cameras of every subject from motion and its exact projection, and the worst RMS distance in pixels.

    Raises InputError where the two do not belong together.
    """
    try:
        found = videopose3d.find_cameras(positions, true, IMAGE_SIZES)
    except InputError as error:
        raise InputError(f"{keypoints_file(TRUE_KEYPOINTS)}: {error}") from None
    for subject, row in found.items():
        for name, (_, off) in zip(CAMERAS, row, strict=True):
            if not off < _FARTHEST_PX:
                raise InputError(
                    f"{keypoints_file(TRUE_KEYPOINTS)} is not the projection of {POSITIONS}: {subject}, camera "
                    f"{name}, is {off:.2f} px off at best; make both with the same script"
                )
    cameras = {subject: tuple(camera for camera, _ in row) for subject, row in found.items()}
    return cameras, max(off for row in found.values() for _, off in row)


def _as_recorded(world: NDArray[np.floating]) -> NDArray[np.floating]:
    """17 joints among 32, as `camera_poses` wants them."""
    recorded = np.zeros((len(world), 32, 3), world.dtype)
    recorded[:, list(KEPT)] = world
    return recorded
