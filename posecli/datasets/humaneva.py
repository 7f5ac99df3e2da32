"""HumanEva-I in VideoPose3D's archives (`posecli.datasets.videopose3d`), 15 joints, three cameras, 60 frames/s:

    data_3d_humaneva15.npz                positions_3d: "Validate/S1" → "Walking 1 chunk0" → (T, 15, 3)
    data_2d_humaneva15_<keypoints>.npz    positions_2d: likewise, of each camera (T, 15, 2)

Takes are cut into chunks where the motion capture failed. The cameras are in neither file; they follow from the
motion and its exact projection, keypoints "gt". Without them a pose cannot be turned into the camera's axes, and only
measures that align it first mean anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posecli.calibration import CalibratedCamera
from posecli.datasets import videopose3d
from posecli.datasets.videopose3d import Takes, Views
from posecli.errors import InputError
from posecli.skeleton import HUMANEVA15

PEOPLE = ("S1", "S2", "S3")
TEST = tuple(f"Validate/{person}" for person in PEOPLE)
TRAIN = tuple(f"Train/{person}" for person in PEOPLE)
ACTIONS = ("Walk", "Jog", "Box")
"""Those that are scored, by how their takes' names begin."""

CAMERAS = ("C1", "C2", "C3")
IMAGE_SIZE = (640, 480)
POSITIONS = "data_3d_humaneva15.npz"
TRUE_KEYPOINTS = "gt"
FARTHEST_PX = 0.5
"""RMS, of a camera that is believed; its own model of the lens differs a little from ours."""


def keypoints_file(keypoints: str) -> str:
    return f"data_2d_humaneva15_{keypoints}.npz"


def action_of(take: str) -> str | None:
    """ "Walking 1 chunk0" → "Walk"; None for an action that is not scored."""
    return next((action for action in ACTIONS if take.startswith(action)), None)


@dataclass(frozen=True)
class Clip:
    """A chunk of a take as one camera saw it.

    pixels: (T, 15, 2). poses: (T, 15, 3), metres, relative to the root, in the camera's axes, the world's where the
    camera is unknown. root: (T, 1, 3), its place in the camera's frame.
    """

    person: str
    take: str
    view: int
    pixels: NDArray[np.float32]
    poses: NDArray[np.float32]
    root: NDArray[np.float32] | None
    camera: CalibratedCamera | None

    @property
    def group(self) -> str:
        """ "Walk S1": what tables have columns of."""
        return f"{action_of(self.take)} {self.person}"

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class HumanEva:
    """cameras: subject → three cameras, empty where they are unknown; misses_px: how far off the worst is, RMS."""

    positions: Takes
    views: Views
    cameras: dict[str, tuple[CalibratedCamera, ...]]
    misses_px: float | None

    def clips(self) -> Iterator[Clip]:
        """Subject by subject, take by take, camera by camera."""
        for subject, takes in self.positions.items():
            for take, world in takes.items():
                for view in range(len(CAMERAS)):
                    camera = self.cameras[subject][view] if subject in self.cameras else None
                    placed = world.astype(np.float64) if camera is None else camera.from_world(world)
                    root = placed[:, [HUMANEVA15.root]]
                    yield Clip(
                        subject.rpartition("/")[2], take, view,
                        np.asarray(self.views[subject][take][view], np.float32),
                        (placed - root).astype(np.float32),
                        None if camera is None else root.astype(np.float32), camera,
                    )  # fmt: skip

    @property
    def frames(self) -> int:
        """Over all takes and cameras."""
        return sum(len(w) for takes in self.positions.values() for w in takes.values()) * len(CAMERAS)


def load(folder: Path, keypoints: str = TRUE_KEYPOINTS, subjects: tuple[str, ...] = TEST) -> HumanEva:
    """The scored actions of `subjects`. keypoints: what stands behind data_2d_humaneva15_.

    Raises InputError that names the file that is missing, damaged or does not fit.
    """
    for name in (POSITIONS, keypoints_file(keypoints)):
        if not (folder / name).is_file():
            raise InputError(
                f"there is no {name} in {folder}; `posecli data check humaneva {folder}` says what is missing and "
                "where to get it"
            )
    positions = read_positions(folder, subjects)
    views = read_views(folder, keypoints, positions)
    cameras: dict[str, tuple[CalibratedCamera, ...]] = {}
    worst = None
    if (folder / keypoints_file(TRUE_KEYPOINTS)).is_file():
        true = views if keypoints == TRUE_KEYPOINTS else read_views(folder, TRUE_KEYPOINTS, positions)
        cameras, worst = find_cameras(positions, true)
    return HumanEva(positions, views, cameras, worst)


def read_positions(folder: Path, subjects: tuple[str, ...]) -> Takes:
    """Motion of the scored actions; InputError where there is none of a subject."""
    path = folder / POSITIONS
    found = videopose3d.read_positions(
        path, subjects, (HUMANEVA15.num_joints,), lambda _, take: action_of(take) is not None
    )
    for subject, takes in found.items():
        if not takes:
            raise InputError(f"{path}: {subject} has no takes of {', '.join(ACTIONS)}")
    return found


def read_views(folder: Path, keypoints: str, positions: Takes) -> Views:
    """Keypoints of the takes of `positions`; InputError where one lacks or does not fit."""
    path = folder / keypoints_file(keypoints)
    return videopose3d.read_views(path, positions, len(CAMERAS), (HUMANEVA15,))


def find_cameras(positions: Takes, true: Views) -> tuple[dict[str, tuple[CalibratedCamera, ...]], float]:
    """Cameras by subject, none where one is further off than `FARTHEST_PX`, and how far the worst is, RMS."""
    found = videopose3d.find_cameras(positions, true, (IMAGE_SIZE,) * len(CAMERAS))
    worst = max(off for row in found.values() for _, off in row)
    if not worst < FARTHEST_PX:
        return {}, worst
    return {subject: tuple(camera for camera, _ in row) for subject, row in found.items()}, worst
