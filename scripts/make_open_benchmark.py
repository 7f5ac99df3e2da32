"""Make the open benchmark's file: held-out motion, fixed cameras, a fixed simulated detector.

    posecli data build cmu cmu_raw.tar.xz --out corpus.h5
    python scripts/make_open_benchmark.py corpus.h5 --out posecli/assets/open_benchmark.npz

Equal corpora give equal files. Of every action, `PLACES` moments evenly spaced over the test subjects' recordings
of it; each is seen from all four viewpoints in turn, so that every action meets every viewpoint equally often.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from posecli.bench.open_data import FILE, OpenClip, load_benchmark, write_benchmark
from posecli.camera import Pinhole
from posecli.corpus.landmarks_seen import H36M_FROM_SEEN, SEEN_POINTS
from posecli.corpus.simulate import Simulator, SimulatorConfig
from posecli.corpus.store import ACKNOWLEDGEMENT, Clip, load_corpus, resample
from posecli.corpus.viewpoints import NAMES, Seen

FPS = 30.0
SECONDS = 4.0
SHORTEST = 1.2  # recordings shorter than this are left out
PLACES = 8
SEED = 3
OFF_CENTRE = (0.5, -0.5, 0.0)  # where in the picture, from the middle (0) to a side (±1)

# action → recordings "subject_trial", with the seconds to take where not all of it is that action
ACTIONS: dict[str, tuple[str | tuple[str, float, float], ...]] = {
    "walk": ("2_1", "2_2", "12_1", "12_2", "12_3", "49_1", "131_1", "131_9", "131_12", "131_14"),
    "run and jump": ("2_3", "2_4", "49_2", "49_3", "49_4", "49_5", "131_3", "131_7"),
    "fight": ("2_5", "2_7", "2_8", "2_9", "86_1"),
    "everyday": ("2_6", "2_10", "131_5", "131_6"),  # bend, scoop, wash oneself, duck underneath
    "sit": (("86_9", 7.0, 27.0),),  # sits down on a stool, sits, gets up
    "balance": ("49_15", "49_18", "49_19", "49_20"),
    "dance": ("49_9", "49_10", "49_12", "49_13", "49_16", "49_22"),
    "acrobatics": ("49_6", "49_7", "49_8", "49_21"),  # cartwheels; spins and hangs on ropes
}


@dataclass(frozen=True)
class Viewpoint:
    """A camera: picture in pixels, field of view along its longer side and roll in degrees, metres over the floor
    and away (at least: it steps back until the person is in the picture all the time)."""

    image_size: tuple[int, int]
    fov_deg: float
    height_m: float
    distance_m: float
    roll_deg: float


VIEWPOINTS = {
    "phone": Viewpoint((1080, 1920), 66.0, 1.4, 2.5, 2.0),
    "webcam": Viewpoint((1280, 720), 72.0, 1.0, 2.2, 0.0),
    "surveillance": Viewpoint((1920, 1080), 90.0, 3.2, 4.5, -1.5),
    "studio": Viewpoint((1000, 1000), 47.0, 1.5, 4.5, 0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    trials: dict[str, list[Clip]] = {}
    for clip in load_corpus(options.corpus, "test"):
        trials.setdefault(f"{clip.subject}_{clip.trial}", []).append(clip)
    made: list[OpenClip] = []
    for action, names in ACTIONS.items():
        for place, (motion, source) in enumerate(moments(trials, names)):
            view = tuple(VIEWPOINTS)[place % len(VIEWPOINTS)]
            made.append(film(motion, source, action, view, number=len(made)))
    about = f"CMU test subjects, {len(made)} clips at {FPS:g} frames/s. {ACKNOWLEDGEMENT}"
    digest = write_benchmark(options.out, made, about)
    frames = sum(len(c) for c in load_benchmark(options.out).clips)
    print(
        f"{options.out}: {len(made)} clips, {frames} frames, {options.out.stat().st_size / 1e6:.2f} MB, {digest}"
    )


def moments(
    trials: dict[str, list[Clip]], names: tuple[str | tuple[str, float, float], ...]
) -> list[tuple[NDArray[np.float64], str]]:
    """`PLACES` pieces (T, 28, 3) of at most `SECONDS`, spread evenly over the recordings laid end to end."""
    pieces: list[tuple[NDArray[np.float64], str]] = []
    for entry in names:
        name, begin, end = (entry, 0.0, math.inf) if isinstance(entry, str) else entry
        for clip in trials[name]:
            points = resample(clip.points, clip.fps, FPS).astype(np.float64)
            points = points[round(begin * FPS) : None if end == math.inf else round(end * FPS)]
            if len(points) >= SHORTEST * FPS:
                pieces.append((points, f"{name} @ {clip.first_frame / clip.fps + begin:.2f} s"))
    ends = list(accumulate(len(points) for points, _ in pieces))
    chosen = []
    for place in range(PLACES):
        at = int((place + 0.5) / PLACES * ends[-1])
        which = next(k for k, stop in enumerate(ends) if at < stop)
        points, source = pieces[which]
        length = min(len(points), round(SECONDS * FPS))
        start = min(max(at - (ends[which] - len(points)) - length // 2, 0), len(points) - length)
        name, _, seconds, _ = source.split()
        chosen.append((points[start : start + length], f"{name} @ {float(seconds) + start / FPS:.2f} s"))
    return chosen


def film(points: NDArray[np.float64], source: str, action: str, view: str, number: int) -> OpenClip:
    """World points (T, 28, 3), y up, floor at 0 → one clip of the benchmark, by camera and detector `number`."""
    viewpoint = VIEWPOINTS[view]
    camera = Pinhole.from_fov(viewpoint.image_size, viewpoint.fov_deg)
    assumed = Pinhole.from_fov(viewpoint.image_size)
    azimuth = number * math.pi * (3 - math.sqrt(5))  # the golden angle: spread over all sides
    seen, up = place_camera(points, viewpoint, camera, azimuth, OFF_CENTRE[number // 4 % len(OFF_CENTRE)])
    scene = Seen(
        points=torch.from_numpy(seen[None]).float(),
        zoom=torch.tensor([camera.focal / assumed.focal]),
        half=torch.tensor([viewpoint.image_size]) / 2 / assumed.focal,
        up=torch.from_numpy(up[None]).float(),
        viewpoint=torch.tensor([NAMES.index(view)]),
    )
    detected = detect(scene, torch.Generator().manual_seed(SEED * 10**6 + number))
    landmarks = seen[:, SEEN_POINTS, :2] / seen[:, SEEN_POINTS, 2:] * camera.focal / assumed.focal
    perfect = np.einsum("jd,tdc->tjc", H36M_FROM_SEEN, landmarks)
    # Noise is a fraction of the person's size; through another camera than ours it would be far more.
    if np.abs(detected - perfect).mean() > 0.1 * np.ptp(perfect):
        raise RuntimeError("the simulator no longer looks through the camera that it is given")
    joints = seen[:, :17]
    return OpenClip(
        joints=joints - joints[:, :1],
        root=joints[:, 0],
        detected=(detected * assumed.focal + assumed.centre).astype(np.float32),
        true=(perfect * assumed.focal + assumed.centre).astype(np.float32),
        scores=np.ones(joints.shape[:2], np.float32),
        fps=FPS,
        image_size=viewpoint.image_size,
        K=camera.matrix,
        subject=int(source.split("_")[0]),
        source=source,
        action=action,
        viewpoint=view,
    )


def detect(scene: Seen, generator: torch.Generator) -> NDArray[np.float64]:
    """One clip before its camera → the simulated detector's joints (T, 17, 2), flat coordinates."""

    class Still(Simulator):
        """Looks through the camera that is given; the cameras of training are random."""

        def see(self, points: torch.Tensor, generator: torch.Generator) -> Seen:
            return scene

    frames = scene.points.shape[1]
    nothing = Clip(np.zeros((frames, 28, 3), np.float32), FPS, 0, 0, "A", 0, "", True, 1.0)
    simulator = Still([nothing], frames, SimulatorConfig(rate=FPS, noise="fitted", other_rates=0.0))
    return simulator.look(scene.points, generator).flat[0].double().numpy()


def place_camera(
    points: NDArray[np.float64], viewpoint: Viewpoint, camera: Pinhole, azimuth: float, off_centre: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World points → the frame of a still camera that has the middle of the whole motion at `off_centre`; and up."""
    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    middle, outwards = (low + high) / 2, np.array([math.sin(azimuth), 0.0, math.cos(azimuth)])
    size, distance = np.array(viewpoint.image_size), viewpoint.distance_m
    while True:
        position = np.array([middle[0], viewpoint.height_m, middle[2]]) + distance * outwards
        forward = (middle - position) / np.linalg.norm(middle - position)
        right = np.cross(forward, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(forward, right), forward])  # rows: x right, y down, z forward
        pan = math.atan(off_centre * viewpoint.image_size[0] / 2 / camera.focal)
        axes = Rotation.from_euler("y", pan).as_matrix() @ axes
        axes = Rotation.from_euler("z", viewpoint.roll_deg, degrees=True).as_matrix() @ axes
        seen = (points - position) @ axes.T
        if seen[..., 2].min() > 0.8:
            pixels = camera.project(seen)
            if (pixels > 0.02 * size).all() and (pixels < 0.98 * size).all():
                return seen, axes[:, 1]
        distance += 0.1


if __name__ == "__main__":
    main()
