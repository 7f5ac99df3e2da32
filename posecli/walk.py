"""One clip on its way: what it is read from, detected, lifted and exported to, timed, with its warnings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posecli.clip import DETECTIONS_SUFFIX, Clip
from posecli.detect.backends import DETECTORS, make_detector
from posecli.detect.foreign import Timing, load_foreign
from posecli.detect.heatmaps import Heatmaps
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.provenance import difference, provenance, source_identity
from posecli.detect.store import DetectionsWriter, load_detections, reuse_obstacle
from posecli.errors import NobodyError, OutputError, UsageError
from posecli.export import EXPORTERS
from posecli.export.video import save_video
from posecli.loaded import Lifting
from posecli.machine import versions
from posecli.media import open_media
from posecli.media.frames import Frames
from posecli.motion import Motion
from posecli.reporting import Advance, Reporter

_MOST_THREADS = 4  # the detector's networks are small: more threads would only wait for each other


@dataclass
class Outcome:
    """All that one run made. `reused`: the detections file whose content stood in for detecting."""

    motion: Motion
    files: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # stage → duration
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # exporter → what it has to say
    reused: Path | None = None
    skipped: bool = False  # all of it lay there from an earlier run


class Walk:
    """One clip on its way; collects files, seconds, warnings."""

    def __init__(self, clip: Clip, detector: str, reporter: Reporter, *, offline: bool) -> None:
        if detector not in DETECTORS:
            raise UsageError(f"unknown detector {detector!r}; one of: {', '.join(DETECTORS)}")
        self.clip, self.detector, self.reporter, self.offline = clip, detector, reporter, offline
        self.files: list[Path] = []
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        self.notes: dict[str, str] = {}
        self.reused: Path | None = None
        self.heatmaps: Heatmaps | None = None  # of the keypoints, where a file keeps them

    def write(self, lifting: Lifting, targets: dict[str, Path]) -> Outcome:
        """Lift, and write every target and the detections beside them."""
        folder = next(iter(targets.values())).parent
        with folder_for_results(folder):
            keypoints = self.keypoints(folder / f"{self.clip.stem}{DETECTIONS_SUFFIX}")
            motion = self.lift(keypoints, lifting)
            for kind, target in targets.items():
                self.export(motion, kind, target)
        return Outcome(motion, self.files, self.seconds, self.warnings, self.notes, self.reused)

    def wanted(self) -> dict[str, Any]:
        """The provenance that detections of this clip would have if they were made now."""
        if self.clip.is_detections:
            return load_detections(self.clip.path).keypoints.provenance
        wanted = provenance(self._engine(), self.clip.path, self.clip.start, self.clip.end)
        if self.clip.fps is not None:
            wanted["source"]["fps"] = self.clip.fps
        return wanted

    def keypoints(self, target: Path | None) -> Keypoints2D:
        """The 2D of the clip: from the detections file that it is, from one made before, or detected now."""
        if self.clip.keypoints is not None:
            return self._given(self.clip.keypoints, target)
        if not self.clip.is_detections:
            return self.detect(target)
        if (self.clip.start, self.clip.end, self.clip.fps) != (None, None, None):
            raise UsageError("--start, --end and --fps need the video; a detections file is lifted whole")
        return self._load(self.clip.path)

    def detect(self, target: Path | None) -> Keypoints2D:
        """Detect, keeping the heatmaps in `target`; raises NobodyError (and leaves no file) without a person."""
        frames = self.clip.open()
        engine = self._engine()
        wanted = provenance(engine, self.clip.path, self.clip.start, self.clip.end)
        if self.clip.fps is not None:
            wanted["source"]["fps"] = self.clip.fps
        if target is not None and target.exists():
            obstacle = reuse_obstacle(target, wanted)
            if obstacle is None:
                self.reporter.note(f"using the detections of an earlier run: {target}")
                return self._load(target)
            self.reporter.note(f"detecting again and replacing {target}: {obstacle}")
        size = (frames.info.width, frames.info.height)
        with nullcontext() if target is None else DetectionsWriter(target, wanted) as writer:
            with self._timed("detect", _count(frames, self.clip), "frames") as advance:
                keypoints = engine.detect(frames, size, heatmaps=writer, on_frame=advance)
            for message in frames.report.warnings:
                self.warn(message)
            if not keypoints.found.any():
                raise NobodyError(
                    f"{self.clip.path}: no person was found in any of {len(keypoints)} frames; nothing was written"
                )
            if writer is not None:
                writer.finish(keypoints, warnings=frames.report.warnings)
        if target is not None:
            self.files.append(target)
            self.heatmaps = load_detections(target).heatmaps
        return replace(keypoints, provenance={**wanted, "warnings": list(frames.report.warnings)})

    def _given(self, file: Path, target: Path | None) -> Keypoints2D:
        """What another tool found, kept in `target` like our own detections."""
        clip = self.clip
        timing = Timing(fps=clip.fps, size=clip.size, start_s=clip.start, end_s=clip.end)
        source = {**source_identity(file), "name": ""}  # no video to draw on
        if clip.has_video:
            timing = self._video_timing()
            source = source_identity(clip.path) | ({} if clip.fps is None else {"fps": clip.fps})
        keypoints = load_foreign(file, clip.keypoints_format, timing)
        made = keypoints.provenance
        for message in made["warnings"]:
            self.warn(message)
        if not made["settings"]["person"].startswith("1"):
            self.reporter.note(f"{file}: people: {made['settings']['person']}")
        made = {
            **made,
            "settings": {**made["settings"], "file": source_identity(file)},
            "source": source,
            "start_s": clip.start,
            "end_s": clip.end,
            "warnings": list(self.warnings),
        }
        if target is not None:
            if target.exists() and (obstacle := reuse_obstacle(target, made)) is not None:
                self.reporter.note(f"replacing {target}: {obstacle}")
            with DetectionsWriter(target, made) as writer:
                writer.finish(keypoints, warnings=self.warnings)
            self.files.append(target)
        return replace(keypoints, provenance=made)

    def _video_timing(self) -> Timing:
        """Times of all frames of the video, which has to be decoded for that."""
        frames = self.clip.open()
        rows, seconds = [], []
        with self._timed("read times", _count(frames, self.clip), "frames") as advance:
            for count, frame in enumerate(frames, start=1):
                rows.append(frame.index)
                seconds.append(frame.time_s)
                advance(count)
        for message in frames.report.warnings:
            self.warn(message)
        times = np.full(rows[-1] + 1, np.nan)
        times[rows] = seconds
        size = (frames.info.width, frames.info.height)
        return Timing(
            times_s=times, rows=np.array(rows), complete=self.clip.end is None, size=size, name=self.clip.stem
        )

    def _load(self, path: Path) -> Keypoints2D:
        detections = load_detections(path)
        for message in detections.keypoints.provenance["warnings"]:
            self.warn(message)
        self.reused, self.heatmaps = path, detections.heatmaps
        return detections.keypoints

    def lift(self, keypoints: Keypoints2D, lifting: Lifting) -> Motion:
        """Keypoints → motion, with everything that made it written into its settings."""
        clouds = lifting.clouds(keypoints, self.heatmaps)
        if clouds is not None and clouds.warning:
            self.warn(clouds.warning)
        with self._timed("lift", None, "windows") as advance:
            motion = lifting(keypoints, advance, clouds)
        for message in _absences(motion):
            self.warn(message)
        settings = {
            **lifting.record,
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
        if self.clip.has_video:
            return self.clip.open()
        if not self.clip.is_detections:
            self.warn("no mp4 written: keypoints alone give nothing to draw on; give the video too")
            return None
        made = motion.settings["detection"]
        source, start, end = made["source"], made["start_s"], made["end_s"]
        name = Path(str(source.get("name", ""))).name if isinstance(source, dict) else ""
        for folder in (self.clip.path.parent, self.clip.path.parent.parent, Path()):
            video = folder / name
            if name and video.exists():
                fps = {"fps": source["fps"]} if "fps" in source else {}
                if not difference({**made, "source": {**source_identity(video), **fps}}, made):
                    return open_media(video, start=start, end=end, **fps)
        self.warn(
            f"no mp4 written: {name or 'its video'} is not beside {self.clip.path.name} nor in this folder; "
            "put it there, or lift the video itself"
        )
        return None

    def _engine(self) -> Any:
        threads = min(torch.get_num_threads(), _MOST_THREADS)
        make = partial(make_detector, self.detector, threads=threads, offline=self.offline)
        with ExitStack() as stack:
            advance: Advance | None = None

            def fetching(done: int, total: int) -> None:  # is called only where something is missing
                nonlocal advance
                megabytes = total // 10**6
                if advance is None:
                    advance = stack.enter_context(self.reporter.stage("fetch detector", megabytes, "MB"))
                advance(done // 10**6)

            return make(progress=fetching)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        self.reporter.warn(message)

    @contextmanager
    def _timed(self, name: str, total: int | None, unit: str) -> Iterator[Any]:
        clock = time.monotonic()
        with self.reporter.stage(name, total, unit) as advance:
            yield advance
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - clock


@contextmanager
def folder_for_results(folder: Path) -> Iterator[None]:
    """Make `folder`; where the block fails before anything is in it, what was made is taken away again."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file lies in its place" if isinstance(error, FileExistsError) else error.strerror
        raise OutputError(f"cannot make the folder {folder} ({reason}); choose another with --out") from None
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty: a finished stage is kept
            for place in missing:
                place.rmdir()
        raise


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
