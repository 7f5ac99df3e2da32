"""The walk: media → detect → lift → export, with progress, provenance and what went wrong on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posecli import __version__
from posecli.detect import DETECTORS
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.provenance import difference, provenance, source_identity
from posecli.detect.store import DetectionsWriter, load_detections, reuse_obstacle
from posecli.errors import InputError, NobodyError, OutputError, UsageError
from posecli.export import EXPORTERS
from posecli.export.video import save_video
from posecli.lift import LiftConfig, lift_keypoints
from posecli.media import open_media
from posecli.media.frames import Frames
from posecli.motion import Motion
from posecli.reporting import Reporter, Silent
from posecli.weights import store
from posecli.weights.format import load_weights

DEFAULT_METHOD = "ddhpose"
DEFAULT_DETECTOR = "blazepose"
DEFAULT_OUT = Path("posecli_out")
EXPORTS = ("npz", "bvh", "mp4")
DETECTIONS_SUFFIX = ".detections.h5"


@dataclass(frozen=True)
class Clip:
    """What to read: a video, picture or folder of pictures, or a detections file; `start` and `end` in seconds."""

    path: Path
    start: float | None = None
    end: float | None = None
    fps: float | None = None  # of a folder of pictures

    def open(self) -> Frames:
        return open_media(self.path, start=self.start, end=self.end, fps=self.fps)

    @property
    def is_detections(self) -> bool:
        return self.path.suffix == ".h5" and self.path.is_file()

    @property
    def stem(self) -> str:
        return self.path.name.removesuffix(DETECTIONS_SUFFIX) if self.is_detections else self.path.stem


@dataclass
class Outcome:
    """All that one run made."""

    motion: Motion
    files: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # stage → duration
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # exporter → what it has to say


def lift(
    path: str | Path,
    *,
    method: str = DEFAULT_METHOD,
    weights: str | Path | None = None,
    detector: str = DEFAULT_DETECTOR,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    config: LiftConfig | None = None,
    device: str = "auto",
    offline: bool = False,
    reporter: Reporter | None = None,
) -> Motion:
    """Video (or picture, folder, detections file) → 3D motion of one person; writes no file.

    The result has a row per frame: metres, camera frame, root-relative (see `Motion`). Warnings are in
    `motion.settings["warnings"]`. Raises `PosecliError` for whatever a user can mend.
    """
    walk = _Walk(Clip(Path(path), start, end, fps), detector, reporter or Silent(), offline=offline)
    lifter = _Lifting(method, weights, device)
    return walk.lift(walk.keypoints(None), lifter, config or LiftConfig())


def lift_to_files(
    path: str | Path,
    *,
    out: str | Path = DEFAULT_OUT,
    exports: Sequence[str] = EXPORTS,
    overwrite: bool = False,
    method: str = DEFAULT_METHOD,
    weights: str | Path | None = None,
    detector: str = DEFAULT_DETECTOR,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    config: LiftConfig | None = None,
    device: str = "auto",
    offline: bool = False,
    reporter: Reporter | None = None,
) -> Outcome:
    """`lift`, and write `<stem>.npz`, `.bvh`, `.mp4` (as asked) and `<stem>.detections.h5` into `out`.

    Detections lying in `out` already are used again when detector, version, weights, settings and source agree.
    """
    clip, folder = Clip(Path(path), start, end, fps), Path(out)
    if unknown := [e for e in exports if e not in EXPORTERS]:
        raise UsageError(f"unknown export {unknown[0]!r}; one or more of: {', '.join(EXPORTERS)}")
    targets = {kind: folder / f"{clip.stem}.{kind}" for kind in exports}
    _refuse_to_overwrite(clip.path, list(targets.values()), overwrite)
    walk = _Walk(clip, detector, reporter or Silent(), offline=offline)
    lifter = _Lifting(method, weights, device)  # a wrong name should fail before minutes of detection
    keypoints = walk.keypoints(folder / f"{clip.stem}{DETECTIONS_SUFFIX}")
    motion = walk.lift(keypoints, lifter, config or LiftConfig())
    for kind, target in targets.items():
        walk.export(motion, kind, target)
    return Outcome(motion, walk.files, walk.seconds, walk.warnings, walk.notes)


def detect_to_file(
    path: str | Path,
    *,
    out: str | Path = DEFAULT_OUT,
    overwrite: bool = False,
    detector: str = DEFAULT_DETECTOR,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> tuple[Keypoints2D, Path, dict[str, float]]:
    """Detect only: write `<stem>.detections.h5` into `out`; returns keypoints, file, seconds per stage."""
    clip = Clip(Path(path), start, end, fps)
    target = Path(out) / f"{clip.stem}{DETECTIONS_SUFFIX}"
    _refuse_to_overwrite(clip.path, [target], overwrite)
    walk = _Walk(clip, detector, reporter or Silent(), offline=offline)
    return walk.detect(target), target, walk.seconds


class _Lifting:
    """A lifter with its weights on its device, and what is to be recorded of it."""

    def __init__(self, method: str, weights: str | Path | None, device: str) -> None:
        path = store.find(method, weights)
        found, model, metadata = load_weights(path, choose_device(device))
        if found != method:
            raise UsageError(f"{path} are weights of {found}, not of {method} (use --method {found})")
        self.method, self.model, self.metadata = method, model, metadata
        self.rate_hz = float(metadata.get("rate_hz", 30.0))
        self.record: dict[str, Any] = {
            "method": method,
            "weights": path.name,
            "weights_hash": store.sha256(path),
            "rate_hz": self.rate_hz,
        }
        std = metadata.get("error_std_m")
        self.error_std = None if std is None else np.asarray(std, dtype=np.float64)


class _Walk:
    """One clip on its way; collects files, seconds, warnings."""

    def __init__(self, clip: Clip, detector: str, reporter: Reporter, *, offline: bool) -> None:
        if detector not in DETECTORS:
            raise UsageError(f"unknown detector {detector!r}; one of: {', '.join(DETECTORS)}")
        self.clip, self.detector, self.reporter, self.offline = clip, detector, reporter, offline
        self.files: list[Path] = []
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        self.notes: dict[str, str] = {}

    def keypoints(self, target: Path | None) -> Keypoints2D:
        """The 2D of the clip: from the detections file that it is, from one made before, or detected now."""
        if not self.clip.path.exists():
            raise InputError(f"{self.clip.path}: no such file or folder")
        if self.clip.is_detections:
            if self.clip.start is not None or self.clip.end is not None:
                raise UsageError("--start and --end need the video; a detections file is lifted whole")
            return load_detections(self.clip.path).keypoints
        return self.detect(target)

    def detect(self, target: Path | None) -> Keypoints2D:
        """Detect, keeping the heatmaps in `target`; raises NobodyError (and leaves no file) without a person."""
        frames = self.clip.open()
        engine = self._engine()
        wanted = provenance(engine, self.clip.path, self.clip.start, self.clip.end)
        if target is not None and target.exists():
            obstacle = reuse_obstacle(target, wanted)
            if obstacle is None:
                self.reporter.note(f"using the detections of an earlier run: {target}")
                return load_detections(target).keypoints
            self.reporter.note(f"detecting again and replacing {target}: {obstacle}")
        size = (frames.info.width, frames.info.height)
        with self._timed("detect", _count(frames, self.clip), "frames") as advance:
            if target is None:
                keypoints = engine.detect(frames, size, on_frame=advance)
            else:
                with DetectionsWriter(target, wanted) as writer:
                    keypoints = engine.detect(frames, size, heatmaps=writer, on_frame=advance)
                    self._somebody(keypoints)
                    keypoints = replace(keypoints, provenance=wanted)
                    writer.finish(keypoints)
        for message in frames.report.warnings:
            self.warn(message)
        self._somebody(keypoints)
        if target is not None:
            self.files.append(target)
        return replace(keypoints, provenance=wanted)

    def lift(self, keypoints: Keypoints2D, lifting: _Lifting, config: LiftConfig) -> Motion:
        """Keypoints → motion, with everything that made it written into its settings."""
        with self._timed("lift", None, "windows") as advance:
            motion = lift_keypoints(
                keypoints,
                lifting.model,
                config,
                rate=lifting.rate_hz,
                error_std=lifting.error_std,
                progress=lambda done, total: advance(done),
            )
        for message in _absences(motion):
            self.warn(message)
        settings = {
            **lifting.record,
            **asdict(config),
            "detection": keypoints.provenance,
            "versions": versions(),
            "warnings": list(self.warnings),
        }
        return replace(motion, settings=settings)

    def export(self, motion: Motion, kind: str, target: Path) -> None:
        """Write one kind of file; a video needs the source, and is left out with a warning where that is gone."""
        frames = self._source_frames(motion) if kind == "mp4" else None
        if kind == "mp4" and frames is None:
            return
        with self._timed(kind, len(motion), "frames") as advance:
            if frames is not None:
                save_video(motion, frames, target, progress=advance)
            else:
                said = EXPORTERS[kind](motion, target)
                if kind == "bvh":
                    self.notes[kind] = str(said)
        self.files.append(target)

    def _source_frames(self, motion: Motion) -> Frames | None:
        """The pictures to draw on; for a detections file, the video it names, beside it or in this folder."""
        if not self.clip.is_detections:
            return self.clip.open()
        made = motion.settings["detection"]
        name = Path(str(made["source"]["name"])).name
        for folder in (self.clip.path.parent, self.clip.path.parent.parent, Path()):
            video = folder / name
            if video.exists() and not difference({**made, "source": source_identity(video)}, made):
                return open_media(video, start=made["start_s"], end=made["end_s"])
        self.warn(f"no mp4 written: {name} is neither beside {self.clip.path.name} nor in this folder")
        return None

    def _engine(self) -> Any:
        make = partial(DETECTORS[self.detector], threads=torch.get_num_threads(), offline=self.offline)
        with self.reporter.stage("fetch detector", None, "bytes") as advance:
            return make(progress=lambda done, total: advance(done))

    def _somebody(self, keypoints: Keypoints2D) -> None:
        if not keypoints.found.any():
            raise NobodyError(
                f"{self.clip.path}: no person was found in any of {len(keypoints)} frames; nothing was written"
            )

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        self.reporter.warn(message)

    @contextmanager
    def _timed(self, name: str, total: int | None, unit: str) -> Iterator[Any]:
        clock = time.monotonic()
        with self.reporter.stage(name, total, unit) as advance:
            yield advance
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - clock


def _refuse_to_overwrite(source: Path, targets: list[Path], overwrite: bool) -> None:
    for target in targets:
        if source.exists() and target.exists() and target.samefile(source):
            raise OutputError(f"{target} is the input itself; choose another folder with --out")
        if target.exists() and not overwrite:
            raise OutputError(f"{target} exists; use --overwrite, or another folder with --out")


def _count(frames: Frames, clip: Clip) -> int | None:
    """About how many frames will come: for the progress bar only."""
    info = frames.info
    if clip.start is None and clip.end is None:
        return info.frame_count_hint
    if info.frame_rate is None or info.duration_s is None:
        return None
    end = min(clip.end if clip.end is not None else info.duration_s, info.duration_s)
    return max(1, round((end - (clip.start or 0.0)) * info.frame_rate))


def _absences(motion: Motion) -> list[str]:
    """In words: the frames with nobody, and those bridged."""
    messages = []
    for mask, words in ((~motion.valid, "nobody found in"), (motion.bridged, "pose interpolated in")):
        if mask.any():
            messages.append(f"{words} frames {frame_ranges(mask)} ({int(mask.sum())} of {len(motion)})")
    return messages


def frame_ranges(mask: np.ndarray[Any, Any], most: int = 8) -> str:
    """The true entries of a mask as "0-4, 9, 12-40"."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    ranges = [f"{a}" if b - a == 1 else f"{a}-{b - 1}" for a, b in edges.reshape(-1, 2)]
    return ", ".join(ranges[:most]) + (
        f" and {len(ranges) - most} more stretches" if len(ranges) > most else ""
    )


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `mps` → a device that is there; raises UsageError where it is not."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(n for n in ("cuda", "mps", "cpu") if there[n]))
    if name not in there:
        raise UsageError(f"unknown device {name!r}; one of: auto, cpu, cuda, mps")
    if not there[name]:
        raise UsageError(f"this machine's PyTorch has no {name}; use --device cpu")
    return torch.device(name)


def versions() -> dict[str, str]:
    """Versions of posecli and of what its numbers depend on."""
    return {"posecli": __version__, **{name: version(name) for name in ("torch", "numpy", "scipy", "av")}}
