"""Write small files in exactly the formats of the licensed data sets: motion that ships with posecli, invented cameras.

    python scripts/make_dataset_fixtures.py h36m|3dhp|humaneva FOLDER

Human3.6M's: positions_3d (32 joints, world metres), positions_2d of four cameras with lenses, exact ("gt"), detected
("cpn_ft_h36m_dbb": exact plus noise, some frames longer than the motion) and without the neck ("hr").

MPI-INF-3DHP's: the test archives of both truths and a training archive of one; bodies of different sizes, the same
size in univ_annot3. HumanEva-I's: motion in chunks, exact keypoints of three cameras.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.calibration import CalibratedCamera, from_screen
from posecli.corpus.h36m import KEPT
from posecli.datasets import humaneva, mpi3dhp
from posecli.datasets.h36m import ACTIONS, DROPPED, IMAGE_SIZES, TEST, TRAIN
from posecli.demo import shipped_motion
from posecli.skeleton import H36M16, H36M17, HUMANEVA15, MPI3DHP17, Skeleton

Array = NDArray[np.float64]

_METADATA = {
    "layout_name": "h36m",
    "num_joints": 17,
    "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
}


def motion(frames: int, start: int) -> Array:
    """(frames, 17, 3) world metres, z up: the shipped clip, forth and back, wandering so that it fills the room."""
    points = shipped_motion().points[:, :17].astype(np.float64)
    order = np.r_[np.arange(len(points)), np.arange(len(points))[::-1]]
    chosen = points[order[(start + np.arange(frames)) % len(order)]]
    chosen = chosen - [*chosen[:, 0].mean(axis=0)[[0]], 0, *chosen[:, 0].mean(axis=0)[[2]]]
    walk = 2 * np.pi * np.arange(frames) / 180 + start
    chosen = chosen + np.stack([np.sin(walk), 0.2 * np.sin(2 * walk), np.cos(walk)], axis=-1)[:, None]
    return chosen[..., [0, 2, 1]] * [1, -1, 1]


def cameras(sizes: tuple[tuple[int, int], ...] = IMAGE_SIZES) -> tuple[CalibratedCamera, ...]:
    """In the corners of the room, turned to its middle, with lenses. sizes: of their images."""
    made = []
    for view, (width, height) in enumerate(sizes):
        scale = width / 1000
        made.append(
            replace(
                _placed(view),
                focal=(scale * (1145.0 + view), scale * (1143.5 + view)),
                centre=(width / 2 + scale * (12 + 3 * view), height / 2 + scale * (15 - 4 * view)),
                image_size=(width, height),
                radial=(-0.2, 0.24, -0.002),
                tangential=(-0.0009, -0.0014),
            )
        )
    return tuple(made)


def _placed(view: int, lens: CalibratedCamera | None = None) -> CalibratedCamera:
    """A camera in a corner of the room, turned to its middle."""
    angle = np.radians(40 + 90 * view)
    place = np.array([5 * np.cos(angle), 5 * np.sin(angle), 1.4 + 0.1 * view])
    forward = (np.array([0, 0, 0.9]) - place) / np.linalg.norm(np.array([0, 0, 0.9]) - place)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(forward, right), forward], axis=-1)
    return replace(
        lens or CalibratedCamera((1.0, 1.0), (0.0, 0.0), (1, 1)),
        orientation=_quaternion(turn),
        translation=(place[0], place[1], place[2]),
    )


def write_h36m(
    folder: Path,
    frames: int = 24,
    *,
    subjects: tuple[str, ...] = (*TRAIN, *TEST),
    actions: tuple[str, ...] = ACTIONS,
    seed: int = 0,
) -> None:
    """All archives of Human3.6M, with two takes of every action of `frames`, one or two more frames."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    world: dict[str, dict[str, Any]] = {s: {} for s in subjects}
    views: dict[str, dict[str, dict[str, Any]]] = {
        kind: {s: {} for s in subjects} for kind in ("gt", "cpn_ft_h36m_dbb", "hr")
    }
    for row, subject in enumerate(subjects):
        for number, action in enumerate(actions):
            for take in (f"{action} 1", f"{action}" if number % 2 == 0 else f"{action} 2"):
                if (subject, take) in DROPPED:
                    continue
                count = frames + (number % 3)
                joints = motion(count, 31 * number + 7 * row + 11 * (take == action)).astype(np.float32)
                recorded = np.zeros((count, 32, 3), np.float32)
                recorded[:, list(KEPT)] = joints
                world[subject][take] = recorded
                exact = [
                    from_screen(camera.project(camera.from_world(joints)), camera.image_size).astype(
                        np.float32
                    )
                    for camera in cameras()
                ]
                views["gt"][subject][take] = exact
                longer = [np.concatenate([view, view[-1:]]) for view in exact]
                noisy = [(v + rng.normal(0, 4, v.shape)).astype(np.float32) for v in longer]
                views["cpn_ft_h36m_dbb"][subject][take] = noisy
                kept = [H36M17.index(name) for name in H36M16.joint_names]
                views["hr"][subject][take] = [view[:, kept] for view in noisy]
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=np.array(world, dtype=object))
    for kind, content in views.items():
        metadata = _METADATA
        if kind == "hr":
            sides = [list(H36M16.left), list(H36M16.right)]
            metadata = {**_METADATA, "num_joints": 16, "keypoints_symmetry": sides}
        np.savez_compressed(
            folder / f"data_2d_h36m_{kind}.npz",
            positions_2d=np.array(content, dtype=object),
            metadata=np.array(metadata, dtype=object),
        )


_3DHP_FROM_H36M = {"Head top": "Head", "Neck": "Thorax", "Pelvis": "Hip", "Head": "Neck/Nose"}
_HUMANEVA_FROM_H36M = {"Pelvis": "Hip"}


def write_3dhp(folder: Path, frames: int = 24) -> None:
    """Both test archives and a training archive; every seventh frame does not count."""
    folder.mkdir(parents=True, exist_ok=True)
    tests: dict[str, dict[str, Any]] = {kind: {} for kind in mpi3dhp.ANNOTATIONS}
    for number, (name, lens) in enumerate(mpi3dhp.CAMERAS.items()):
        size = 0.9 + 0.04 * number
        count = frames + number
        joints = size * _as(MPI3DHP17, motion(count, 40 * number), _3DHP_FROM_H36M)
        placed = _placed(number % 4, lens).from_world(joints)
        pixels = from_screen(lens.project(placed, distort=False), lens.image_size)
        root = placed[:, [MPI3DHP17.root]]
        for kind, poses in (("annot3", placed), ("univ_annot3", root + (placed - root) * _universal(placed))):
            tests[kind][name] = {
                "data_2d": pixels.astype(np.float64),
                "data_3d": 1000 * poses,
                "valid": (np.arange(count) % 7 != 3).astype(np.uint8),
            }
    for kind, content in tests.items():
        np.savez_compressed(folder / mpi3dhp.archive_file(kind), data=np.array(content, dtype=object))
    train = {}
    for number, name in enumerate(mpi3dhp.TRAIN):
        joints = _as(MPI3DHP17, motion(5, 13 * number), _3DHP_FROM_H36M)
        views = {}
        for view, camera in enumerate(mpi3dhp.TRAIN_CAMERAS):
            placed = _placed(view % 4, mpi3dhp.INDOORS).from_world(joints)
            pixels = from_screen(mpi3dhp.INDOORS.project(placed, distort=False), mpi3dhp.INDOORS.image_size)
            views[camera] = {"data_2d": pixels, "data_3d": 1000 * placed}
        train[name] = [views, 25 if number % 2 else 50]
    np.savez_compressed(folder / mpi3dhp.train_file("annot3"), data=np.array(train, dtype=object))


def write_humaneva(folder: Path, frames: int = 24, *, chunks: tuple[int, ...] = (0, 2)) -> None:
    """Motion in chunks and its exact projection, of all six subjects and five actions."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = (humaneva.IMAGE_SIZE,) * len(humaneva.CAMERAS)
    world: dict[str, dict[str, Any]] = {}
    views: dict[str, dict[str, Any]] = {}
    for row, subject in enumerate((*humaneva.TRAIN, *humaneva.TEST)):
        world[subject], views[subject] = {}, {}
        for number, action in enumerate(("Walking 1", "Jog 1", "Box 1", "Gestures 1", "ThrowCatch 1")):
            for chunk in chunks:  # what lies between was corrupted
                take = f"{action} chunk{chunk}"
                joints = _as(
                    HUMANEVA15, motion(frames + chunk, 31 * number + 7 * row + chunk), _HUMANEVA_FROM_H36M
                )
                world[subject][take] = joints.astype(np.float32)
                views[subject][take] = [
                    from_screen(c.project(c.from_world(world[subject][take])), c.image_size).astype(
                        np.float32
                    )
                    for c in cameras(sizes)
                ]
    metadata = {
        "layout_name": "humaneva15",
        "num_joints": 15,
        "keypoints_symmetry": [list(HUMANEVA15.left), list(HUMANEVA15.right)],
    }
    np.savez_compressed(folder / humaneva.POSITIONS, positions_3d=np.array(world, dtype=object))
    np.savez_compressed(
        folder / humaneva.keypoints_file("gt"),
        positions_2d=np.array(views, dtype=object),
        metadata=np.array(metadata, dtype=object),
    )


def _as(skeleton: Skeleton, joints: Array, names: dict[str, str]) -> Array:
    """Human3.6M's joints as another set's that are nearest by name."""
    return joints[:, [H36M17.index(names.get(name, name)) for name in skeleton.joint_names]]


def _universal(placed: Array) -> Array:
    """By how much every pose (T, 17, 3) must be scaled to have the universal size, (T, 1, 1)."""
    index = MPI3DHP17.index
    along = (("LKnee", "LHip"), ("Pelvis", "Spine"), ("Spine", "Neck"))
    height = sum(np.linalg.norm(placed[:, index(a)] - placed[:, index(b)], axis=-1) for a, b in along)
    return (mpi3dhp.UNIVERSAL_MM / 1000 / height)[:, None, None]


def _quaternion(turn: Array) -> tuple[float, float, float, float]:
    from scipy.spatial.transform import Rotation

    x, y, z, w = (float(v) for v in Rotation.from_matrix(turn).as_quat())
    return w, x, y, z


WRITERS = {"h36m": write_h36m, "3dhp": write_3dhp, "humaneva": write_humaneva}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in WRITERS:
        sys.exit(__doc__)
    WRITERS[sys.argv[1]](Path(sys.argv[2]))
