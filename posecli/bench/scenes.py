"""Data sets of papers, made ready for scoring: one kind of clip for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.bench.layouts import Layout, layout_of
from posecli.calibration import CalibratedCamera, to_screen
from posecli.datasets import h36m, humaneva, mpi3dhp
from posecli.errors import UsageError
from posecli.skeleton import H36M17, HUMANEVA15, MPI3DHP17, Skeleton

NECK = H36M17.index("Neck/Nose")


@dataclass(frozen=True)
class Scene:
    """A clip. group: its column. screen: (T, J, 2), normalised input. truth: (T, J, 3), metres, relative to the root.
    root: (T, 1, 3), its place in the frame of `camera`; both None where the truth has the world's axes.
    valid: (T,), frames that count."""

    group: str
    screen: NDArray[np.float64]
    truth: NDArray[np.float32]
    root: NDArray[np.float32] | None
    camera: CalibratedCamera | None
    valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.screen)


@dataclass(frozen=True)
class Material:
    """frames: of all scenes. joints_2d: that the keypoints have; 16 are Human3.6M's without the neck, which is zero
    in `Scene.screen`. about: what a result should say of the data."""

    layout: Layout
    keypoints: str
    skeleton: Skeleton
    joints_2d: int
    frames: int
    scenes: Callable[[], Iterator[Scene]]
    about: dict[str, Any] = field(default_factory=dict)


def load(bench: str, folder: Path, keypoints: str | None = None, truth: str | None = None) -> Material:
    """The test side of a data set; bench: a name in `LAYOUTS`.

    keypoints: of Human3.6M "cpn" (None) or as `posecli.datasets.h36m` names them, of HumanEva "gt" (None) or another
    file's; MPI-INF-3DHP has only true ones. truth: of MPI-INF-3DHP, annot3 (None) or univ_annot3.
    Raises InputError for files that are missing or damaged, UsageError for what a data set does not have.
    """
    layout = layout_of(bench)
    if truth is not None and bench != "3dhp":
        raise UsageError("only MPI-INF-3DHP has truths to choose from")
    if bench == "h36m":
        return _h36m(layout, h36m.load(folder, keypoints or "cpn"), keypoints or "cpn")
    if bench == "humaneva":
        return _humaneva(layout, humaneva.load(folder, keypoints or "gt"), keypoints or "gt")
    if keypoints not in (None, "gt"):
        raise UsageError("MPI-INF-3DHP's archives hold true keypoints only; leave --keypoints away")
    kind = truth or "annot3"
    return _3dhp(layout, mpi3dhp.load(folder, kind), kind)


def _h36m(layout: Layout, data: h36m.Human36M, keypoints: str) -> Material:
    neckless = data.joints == 16

    def scenes() -> Iterator[Scene]:
        for clip in data.clips():
            pixels = np.insert(clip.pixels, NECK, 0, axis=1) if neckless else clip.pixels
            screen = to_screen(pixels, clip.camera.image_size)
            yield Scene(clip.action, screen, clip.poses, clip.root, clip.camera, np.ones(len(clip), bool))

    about = {"subjects": list(h36m.TEST), "cameras_off_px": data.misses_px}
    return Material(layout, keypoints, H36M17, data.joints, data.frames, scenes, about)


def _3dhp(layout: Layout, sequences: tuple[mpi3dhp.Sequence, ...], kind: str) -> Material:
    def scenes() -> Iterator[Scene]:
        for s in sequences:
            screen = to_screen(s.pixels, s.camera.image_size)
            yield Scene(s.name, screen, s.poses, s.root, s.camera, s.valid)

    counted = tuple(s for s in sequences if s.valid.any())
    about = {"truth": kind, "truth_looks_like": mpi3dhp.annotation_of(counted) if counted else None}
    return Material(layout, "gt", MPI3DHP17, 17, sum(map(len, sequences)), scenes, about)


def _humaneva(layout: Layout, data: humaneva.HumanEva, keypoints: str) -> Material:
    def scenes() -> Iterator[Scene]:
        for clip in data.clips():
            screen = to_screen(clip.pixels, humaneva.IMAGE_SIZE)
            yield Scene(clip.group, screen, clip.poses, clip.root, clip.camera, np.ones(len(clip), bool))

    about = {"subjects": list(humaneva.TEST), "cameras_off_px": data.misses_px}
    return Material(layout, keypoints, HUMANEVA15, 15, data.frames, scenes, about)
