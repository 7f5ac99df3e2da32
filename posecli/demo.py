"""The demonstration: render shipped motion as a video, lift it, measure the distance to the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posecli.bench.metrics import p_mpjpe
from posecli.camera import DEFAULT_FOV_DEG, Pinhole
from posecli.corpus.mannequin import Stage, Style
from posecli.corpus.mannequin_room import Ground
from posecli.media.write import VideoWriter
from posecli.pipeline import lift_to_files
from posecli.reporting import Reporter, Silent
from posecli.skeleton import LIMBS
from posecli.walk import Outcome

SIZE = (720, 1280)
"""Width and height of the rendered clip, a phone held upright."""

_DISTANCE, _HEIGHT = 2.5, 1.15
"""Metres from the camera to the person, and from the floor to the level camera."""


@dataclass(frozen=True)
class DemoMotion:
    """points: (T, 28, 3) metres, y up, floor at 0 (17 joints, then the landmarks of `posecli.corpus`)."""

    points: NDArray[np.float32]
    fps: float
    description: str


@dataclass(frozen=True)
class DemoResult:
    """pa_mpjpe_mm: over the 12 limb joints and the `frames` in which a pose was found."""

    video: Path
    outcome: Outcome
    description: str
    pa_mpjpe_mm: float
    frames: int


def shipped_motion() -> DemoMotion:
    """The few seconds of CMU motion capture that come with the package (a subject no weights were trained on)."""
    folder = files("posecli") / "assets"
    about = json.loads((folder / "demo_motion.json").read_text(encoding="utf-8"))
    with (folder / "demo_motion.npy").open("rb") as file:
        points = np.load(file, allow_pickle=False).astype(np.float32) / 1000  # millimetres
    return DemoMotion(points, float(about["fps"]), about["description"])


def run(out: Path, *, offline: bool = False, reporter: Reporter | None = None) -> DemoResult:
    """Render, lift, compare; everything is written into `out`, earlier results there are replaced."""
    reporter = reporter or Silent()
    motion = shipped_motion()
    truth = _before_camera(motion.points)
    video = out / "input" / "demo.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    camera = Pinhole.from_fov(SIZE, DEFAULT_FOV_DEG)
    stage = Stage(camera.matrix, SIZE, Style(), Ground((0.0, -1.0, 0.0), -_HEIGHT), _DISTANCE)
    with reporter.stage("render", len(truth), "frames") as advance, VideoWriter(video, SIZE) as writer:
        for index, points in enumerate(truth):
            writer.write(stage.render(points, seed=index), index / motion.fps)
            advance(index + 1)
    outcome = lift_to_files(video, out=out, overwrite=True, offline=offline, reporter=reporter)
    lifted, limbs = outcome.motion, list(LIMBS)
    both = lifted.valid[: len(truth)]
    errors = p_mpjpe(lifted.joints_3d[: len(truth)][both][:, limbs], truth[: len(both)][both][:, limbs])
    return DemoResult(video, outcome, motion.description, float(errors.mean()) * 1000, int(both.sum()))


def _before_camera(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points (T, 28, 3), y up, floor at 0 → the frame of a level camera that looks at the person's middle."""
    middle = points[:, 0].mean(axis=0)
    shifted = points - [middle[0], _HEIGHT, middle[2]]
    return (shifted * [1, -1, -1] + [0, 0, _DISTANCE]).astype(np.float32)
