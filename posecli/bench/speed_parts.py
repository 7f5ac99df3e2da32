"""The parts of posecli that `posecli bench speed` times, each built from a task that can be sent to a fresh process.

Stages: detect (frames in memory → joints and heatmaps), network (one call of a lifter, `batch` frames of windows), lift
(a clip's joints → motion: windows that overlap, blending, filters, the root's path), refine (motion → motion) and
render (a video read, drawn on and written again).
"""

from __future__ import annotations

import signal
import tempfile
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posecli.bench.speed import Part, Speed, Timing, measured
from posecli.bench.speed_baselines import LandmarkNetworkAlone, PlainNetwork, encoded_again
from posecli.camera import Pinhole
from posecli.demo import shipped_motion
from posecli.detect import make_detector
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError, PosecliError, UsageError
from posecli.export.video import save_video
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.machine import choose_device
from posecli.media import open_media
from posecli.media.write import VideoWriter
from posecli.methods import METHODS
from posecli.methods.base import chosen_steps
from posecli.motion import Motion
from posecli.refine import REFINERS
from posecli.refine.apply import NetworkRefiner, Refiner, TimeFilter, refine_motion
from posecli.refine.filters import FILTERS
from posecli.skeleton import H36M17
from posecli.weights import store
from posecli.weights.format import load_weights

STAGES = ("detect", "network", "lift", "refine", "render")
DTYPES = ("float32", "bfloat16", "float16")
PLAIN = "plain"
"""Name of `speed_baselines.PlainNetwork` among the lifters."""

_DEMO_SIZE = (720, 1280)
_RATE = 30.0


@dataclass(frozen=True)
class Task:
    """One row to measure.

    name: of a detector, lifter ("plain" too), filter or refiner; what the baselines of detect and render are called
    is in `_PARTS`. settings: `hypotheses`, `steps`, `window`, `batch`, `dtype` of lifters, as far as the stage has
    them; None where the method decides. weights: a file; "" for what ships, or random ones where nothing does or its
    window is another. size: settings of the network that random weights are drawn for, other than the method's own.
    video: what detect and render work on, its first `frames` frames.
    """

    stage: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    baseline: bool = False
    weights: str = ""
    size: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 1
    frames: int = 240
    video: str = ""
    offline: bool = False


def measure(task: Task, timing: Timing) -> Speed:
    """Time one part in this process; its peak memory is then that of all that the process has done."""
    with tempfile.TemporaryDirectory(prefix="posecli-speed-") as folder:
        settings, part = _built(task, Path(folder))
        return measured(part, task.stage, task.name, settings, timing, baseline=task.baseline)


def measure_apart(task: Task, timing: Timing) -> Speed:
    """Time one part in a fresh process. Raises what `measure` raises, a RuntimeError that names it where it is neither
    the user's nor the system's, and PosecliError where the process is killed."""
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_alone, args=(there, task, timing), daemon=True)
    process.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError:
        raise PosecliError(
            f"{task.name}: its process ended without an answer (not enough memory?); try a smaller --batch"
        ) from None
    finally:
        process.terminate()
        process.join()
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, Speed)
    return answer


def _alone(pipe: Connection, task: Task, timing: Timing) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    try:
        torch.set_num_threads(task.threads)
        pipe.send(measure(task, timing))
    except (PosecliError, OSError, MemoryError) as error:
        pipe.send(error)
    except Exception as error:  # any other may be of a kind that cannot be sent
        sent = RuntimeError(f"{type(error).__name__}: {error}")
        sent.add_note(traceback.format_exc())
        pipe.send(sent)


def demo_video(target: Path, frames: int) -> Path:
    """The demo's person, rendered: a video in which there is somebody to find. The motion is played to and fro."""
    from posecli.corpus.mannequin import Stage, Style
    from posecli.corpus.mannequin_room import Ground

    camera = Pinhole.from_fov(_DEMO_SIZE)
    stage = Stage(camera.matrix, _DEMO_SIZE, Style(), Ground((0.0, -1.0, 0.0), -_CAMERA_HEIGHT), 2.5)
    with VideoWriter(target, _DEMO_SIZE) as writer:
        for index, points in enumerate(_demo_points(frames)):
            writer.write(stage.render(points.astype(np.float32), seed=index), index / _RATE)
    return target


_CAMERA_HEIGHT = 1.15  # metres above the floor, level, 2.5 m from the person


def _demo_points(frames: int) -> np.ndarray[Any, Any]:
    """(T, 28, 3) metres in the frame of the camera."""
    points = shipped_motion().points
    back_and_forth = np.concatenate([points, points[::-1]])
    points = back_and_forth[np.arange(frames) % len(back_and_forth)]
    middle = shipped_motion().points[:, 0].mean(axis=0)
    away = np.array([0.0, 0.0, 2.5])
    return np.asarray((points - [middle[0], _CAMERA_HEIGHT, middle[2]]) * [1, -1, -1] + away)


def _motion(frames: int, times: np.ndarray[Any, Any], size: tuple[int, int]) -> Motion:
    """The demo's motion at these times, with its joints where a camera of that size sees them."""
    points = _demo_points(frames)[:, :17]
    relative = (points - points[:, :1]).astype(np.float32)
    everywhere = np.ones(frames, bool)
    return Motion(
        timestamps_s=times, joints_3d=relative, joints_3d_std=np.full_like(relative, 0.05), valid=everywhere,
        bridged=~everywhere, keypoints_2d=Pinhole.from_fov(size).project(points).astype(np.float32),
        scores_2d=np.full((frames, 17), 0.9, np.float32), image_size=size, root_path=points[:, 0].astype(np.float32),
    )  # fmt: skip


# What is built ----------------------------------------------------------------------------------------


def _built(task: Task, folder: Path) -> tuple[dict[str, Any], Part]:
    """What the task's settings come to, and the part itself."""
    makers: dict[str, Callable[[Task, Path], tuple[dict[str, Any], Part]]] = {
        "detect": _detect, "network": _network, "lift": _lift, "refine": _refine, "render": _render,
    }  # fmt: skip
    if task.stage not in makers:
        raise UsageError(f"unknown stage {task.stage!r}; one or more of: {', '.join(STAGES)}")
    return makers[task.stage](task, folder)


def _detect(task: Task, folder: Path) -> tuple[dict[str, Any], Part]:
    if task.name == "landmark network alone":
        alone = LandmarkNetworkAlone(task.threads, offline=task.offline)
        return {}, Part(partial(alone, 30), 30, note="LiteRT on one picture; nothing else")
    frames = list(islice(open_media(task.video), task.frames))
    if not frames:
        raise InputError(f"{task.video} has no frames to detect in")
    size = (frames[0].image.shape[1], frames[0].image.shape[0])
    detector = make_detector(task.name, threads=task.threads, offline=task.offline)
    found = int(detector.detect(frames, size).found.sum())
    part = Part(
        partial(detector.detect, frames, size), len(frames), weights=f"{detector.name} {detector.version}",
        weights_sha256=detector.weights_hash, note=f"somebody found in {found} of {len(frames)} frames; not decoded",
    )  # fmt: skip
    return {"size": f"{size[0]}x{size[1]}"}, part


def lifter(task: Task) -> tuple[Any, str, str | None]:
    """The network of a task on its device, what its weights are, and their hash."""
    window = task.settings.get("window")
    device = choose_device(task.device)
    if task.name == PLAIN:
        return PlainNetwork(window or 27).eval().to(device), "random", None
    if task.name not in METHODS:
        raise UsageError(f"unknown method {task.name!r}; one of: {', '.join([*METHODS, PLAIN])}")
    files = [Path(task.weights)] if task.weights else []
    if not files and not task.size:
        files = [w.path for w in store.shipped() if w.method == task.name]
    for path in files[:1]:
        found, model, _ = load_weights(path, device)
        if found != task.name:
            raise UsageError(f"{path} are weights of {found}, not of {task.name}; use --method {found}")
        if window in (None, model.window):
            return model, path.name, store.sha256(path)
        if task.weights:
            raise UsageError(
                f"{path} has windows of {model.window} frames, not of {window}; leave --window away"
            )
    settings = {**METHODS[task.name].defaults, **task.size}
    if window is not None and "frames" in settings:
        settings["frames"] = window
    elif window not in (None, 1):
        raise UsageError(f"{task.name} lifts frame by frame; it has no windows of {window}")
    torch.manual_seed(0)
    try:
        return METHODS[task.name].build(settings).to(device), "random", None
    except ValueError as error:
        raise UsageError(f"{task.name} cannot be built so: {error}") from None


def _network(task: Task, folder: Path) -> tuple[dict[str, Any], Part]:
    model, weights, digest = lifter(task)
    hypotheses, steps, dtype = _sampling(task, model)
    batch = task.settings.get("batch") or LiftConfig().batch
    windows = max(1, batch // (model.window * hypotheses))
    device = choose_device(task.device)
    generator = torch.Generator().manual_seed(0)
    x2d = 0.5 * torch.randn(windows, model.window, 17, 2, generator=generator)
    x2d = x2d.to(device)
    low = dtype != "float32"

    def call() -> None:
        with torch.inference_mode():
            context = torch.autocast(device.type, getattr(torch, dtype)) if low else nullcontext()
            with context:
                model.lift_windows(x2d, hypotheses=hypotheses, steps=steps, generator=generator)

    settings = {
        "hypotheses": hypotheses, "steps": steps, "window": model.window, "batch": windows * model.window * hypotheses,
        "dtype": dtype,
    }  # fmt: skip
    return settings, Part(call, windows * model.window, model, device, weights, digest)


def _lift(task: Task, folder: Path) -> tuple[dict[str, Any], Part]:
    model, weights, digest = lifter(task)
    hypotheses, steps, _ = _sampling(task, model)
    config = LiftConfig(hypotheses=hypotheses, steps=steps)
    if task.settings.get("batch"):
        config = LiftConfig(hypotheses=hypotheses, steps=steps, batch=task.settings["batch"])
    motion = _motion(task.frames, np.arange(task.frames) / _RATE, _DEMO_SIZE)
    keypoints = Keypoints2D(
        xy=motion.keypoints_2d, scores=motion.scores_2d, found=motion.valid, timestamps_s=motion.timestamps_s,
        skeleton=H36M17, image_size=motion.image_size,
    )  # fmt: skip
    settings = {
        "hypotheses": hypotheses, "steps": steps, "window": model.window, "batch": config.batch, "dtype": "float32",
    }  # fmt: skip
    part = Part(
        partial(lift_keypoints, keypoints, model, config), task.frames, model, choose_device(task.device), weights,
        digest, note=f"windows overlap by {config.overlap:.0%}, filters and root path included",
    )  # fmt: skip
    return settings, part


def _sampling(task: Task, model: Any) -> tuple[int, int, str]:
    dtype = task.settings.get("dtype") or "float32"
    if dtype not in DTYPES:
        raise UsageError(f"--dtype must be one or more of {', '.join(DTYPES)}, not {dtype!r}")
    steps = chosen_steps(task.name, model, task.settings.get("steps"))
    return task.settings.get("hypotheses") or 1, steps, dtype


def _refine(task: Task, folder: Path) -> tuple[dict[str, Any], Part]:
    motion = _motion(task.frames, np.arange(task.frames) / _RATE, _DEMO_SIZE)
    device = choose_device(task.device)
    if task.name in FILTERS:
        return {}, Part(partial(refine_motion, motion, TimeFilter(task.name)), task.frames)
    if task.name not in REFINERS:
        raise UsageError(f"unknown refiner {task.name!r}; one of: {', '.join([*FILTERS, *REFINERS])}")
    refiner: Refiner
    if task.weights:
        refiner = NetworkRefiner.load(Path(task.weights), device)
        weights, digest = Path(task.weights).name, store.sha256(Path(task.weights))
    else:
        torch.manual_seed(0)
        model: Any = REFINERS[task.name].build(REFINERS[task.name].defaults).to(device)
        refiner = NetworkRefiner(model, _RATE, 0.5, "any", {"method": task.name})
        weights, digest = "random", None
    settings = {"window": refiner.model.window, "steps": refiner.model.config.steps}
    part = Part(
        partial(refine_motion, motion, refiner), task.frames, refiner.model, device, weights, digest,
        note="windows overlap by 50%",
    )  # fmt: skip
    return settings, part


def _render(task: Task, folder: Path) -> tuple[dict[str, Any], Part]:
    source, target = Path(task.video), folder / "rendered.mp4"
    times = np.array([frame.time_s for frame in islice(open_media(source), task.frames)])
    if not len(times):
        raise InputError(f"{source} has no frames to draw on")
    info = open_media(source).info
    settings = {"size": f"{info.width}x{info.height}"}
    if task.name == "decode and encode alone":
        return settings, Part(partial(encoded_again, source, target, len(times)), len(times))
    motion = _motion(len(times), times, (info.width, info.height))

    def call() -> None:
        save_video(motion, open_media(source), target)

    return settings, Part(call, len(times), note="decoding, drawing and encoding")
