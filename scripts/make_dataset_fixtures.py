"""Write small files in exactly the formats of the licensed data sets: motion that ships with posecli, invented cameras.

    python scripts/make_dataset_fixtures.py h36m FOLDER

Human3.6M's: positions_3d (32 joints, world metres), positions_2d of four cameras with lenses, exact ("gt"), detected
("cpn_ft_h36m_dbb": exact plus noise, some frames longer than the motion) and without the neck ("hr").
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.calibration import CalibratedCamera, from_screen
from posecli.corpus.h36m import KEPT
from posecli.datasets.h36m import ACTIONS, DROPPED, IMAGE_SIZES, TEST, TRAIN
from posecli.demo import shipped_motion
from posecli.skeleton import H36M16, H36M17

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


def cameras() -> tuple[CalibratedCamera, ...]:
    """Four in the corners of the room, turned to its middle, with lenses."""
    made = []
    for view, size in enumerate(IMAGE_SIZES):
        angle = np.radians(40 + 90 * view)
        place = np.array([5 * np.cos(angle), 5 * np.sin(angle), 1.4 + 0.1 * view])
        forward = (np.array([0, 0, 0.9]) - place) / np.linalg.norm(np.array([0, 0, 0.9]) - place)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(forward, right), forward], axis=-1)
        w, x, y, z = _quaternion(turn)
        made.append(
            CalibratedCamera(
                focal=(1145.0 + view, 1143.5 + view),
                centre=(512.0 + 3 * view, 515.0 - 4 * view),
                image_size=size,
                radial=(-0.2, 0.24, -0.002),
                tangential=(-0.0009, -0.0014),
                orientation=(w, x, y, z),
                translation=(place[0], place[1], place[2]),
            )
        )
    return tuple(made)


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


def _quaternion(turn: Array) -> tuple[float, float, float, float]:
    from scipy.spatial.transform import Rotation

    x, y, z, w = (float(v) for v in Rotation.from_matrix(turn).as_quat())
    return w, x, y, z


WRITERS = {"h36m": write_h36m}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in WRITERS:
        sys.exit(__doc__)
    WRITERS[sys.argv[1]](Path(sys.argv[2]))
