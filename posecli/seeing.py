"""Where the 2D of a clip comes from: a detections file, another tool's keypoints, an earlier run, or detecting now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posecli import defaults
from posecli.clip import DETECTIONS_SUFFIX, Clip
from posecli.detect.backends import Detector, DetectorOptions, check_options, make_detector
from posecli.detect.foreign import Timing, load_people
from posecli.detect.heatmaps import Heatmaps
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.people.choose import ALL, LARGEST, answers, check_choice, chosen, record
from posecli.detect.people.crowd import Crowd, follow_everybody
from posecli.detect.people.tracker import PeopleSettings
from posecli.detect.provenance import provenance, source_identity
from posecli.detect.store import DetectionsWriter, load_detections, reuse_obstacle
from posecli.detect.swaps import SwapSettings, find_swaps, put_right
from posecli.detect.track_heatmaps import TrackHeatmaps
from posecli.errors import NobodyError, OutputError, UsageError
from posecli.media.frames import Frames
from posecli.reporting import Advance, Reporter

_MOST_THREADS = 4  # the detector's networks are small: more threads would only wait for each other


@dataclass(frozen=True)
class SeeConfig:
    """How the 2D is to be had.

    detector: a name in `posecli.detect.DETECTORS`; options: its files. person: whom to take, a name in
    `posecli.detect.people.choose.CHOICES` or a number. overwrite: keypoints of another tool may replace a detections
    file. Raises UsageError.
    """

    detector: str = defaults.DETECTOR
    options: DetectorOptions = field(default_factory=DetectorOptions)
    person: str = LARGEST
    swaps: SwapSettings = field(default_factory=SwapSettings)
    people: PeopleSettings = field(default_factory=PeopleSettings)
    offline: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_options(self.detector, self.options)
        check_choice(self.person)


@dataclass(frozen=True)
class Someone:
    """One person of a clip: keypoints (with full provenance), their heatmaps where a file keeps them, what the results
    are called, and the detections file; `made`: it was written now."""

    keypoints: Keypoints2D
    heatmaps: Heatmaps | None
    stem: str
    file: Path | None = None
    made: bool = False


@dataclass
class Ledger:
    """What is told while a clip is worked on, and kept: seconds per stage, warnings."""

    reporter: Reporter
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        self.reporter.warn(message)

    @contextmanager
    def timed(self, name: str, total: int | None, unit: str) -> Iterator[Any]:
        clock = time.monotonic()
        with self.reporter.stage(name, total, unit) as advance:
            yield advance
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - clock


class Seeing:
    """The people wanted of one clip."""

    def __init__(self, clip: Clip, config: SeeConfig, ledger: Ledger) -> None:
        self.clip, self.config, self.ledger = clip, config, ledger

    def wanted(self) -> dict[str, Any]:
        """The provenance that detections of this clip would have if they were made now."""
        if self.clip.is_detections:
            return load_detections(self.clip.path).keypoints.provenance
        clip, config = self.clip, self.config
        wanted = provenance(self.detector, clip.path, clip.start, clip.end, config.person)
        wanted["settings"] |= {"people": asdict(config.people), "swaps": asdict(config.swaps)}
        if clip.fps is not None:
            wanted["source"]["fps"] = clip.fps
        return wanted

    def people(self, folder: Path | None) -> list[Someone]:
        """Whom the clip is wanted of, at least one; detections are kept in `folder`."""
        if self.clip.keypoints is not None:
            return self._given(self.clip.keypoints, folder)
        if not self.clip.is_detections:
            return self.detect(folder)
        if (self.clip.start, self.clip.end, self.clip.fps) != (None, None, None):
            raise UsageError("--start, --end and --fps need the video; a detections file is lifted whole")
        someone = self._load(self.clip.path, self.clip.stem)
        asked, there = self.config.person, someone.keypoints.provenance.get("person")
        if asked not in (LARGEST, ALL) and not answers(there, asked):
            who = f"person {there['id']}" if isinstance(there, dict) else "only one person"
            raise UsageError(f"{self.clip.path} holds {who}; for --person {asked} give the video")
        return [someone]

    def _stems(self, numbers: Sequence[int]) -> list[str]:
        return stems(self.clip, self.config.person, numbers)

    def detect(self, folder: Path | None) -> list[Someone]:
        """Detect, keeping the heatmaps in `folder`; raises NobodyError (and leaves no file) without a person."""
        wanted = self.wanted()
        if folder is not None and (earlier := self._earlier(folder, wanted)):
            return earlier
        frames = self.clip.open()
        scratch = None if folder is None else folder / f"{self.clip.stem}{DETECTIONS_SUFFIX}"
        with nullcontext() if scratch is None else TrackHeatmaps(scratch) as heatmaps:
            crowd = self.follow(frames, heatmaps)
            presences = [person.presence for person in crowd.people]
            places = chosen(self.config.person, presences)
            found = []
            before = list(self.ledger.warnings)
            for place, stem in zip(places, self._stems(places), strict=True):
                who = record(self.config.person, place, presences, len(crowd.times_s))
                made = {**wanted, "person": who, "warnings": before}
                tracks = [track.number for track in crowd.people[place].tracks]
                found.append(self._keep(crowd.keypoints(place, made), stem, folder, heatmaps, tracks))
        return found

    def follow(self, frames: Frames, heatmaps: TrackHeatmaps | None = None) -> Crowd:
        """Everybody in the clip, at least one; raises NobodyError otherwise."""
        size = (frames.info.width, frames.info.height)
        detector = self.detector
        with self.ledger.timed("detect", frame_count(frames, self.clip), "frames") as advance:
            crowd = follow_everybody(
                detector, frames, size, self.config.people, heatmaps=heatmaps, on_frame=advance
            )
        for message in frames.report.warnings:
            self.ledger.warn(message)
        if not crowd.people:
            raise NobodyError(
                f"{self.clip.path}: no person was found in any of {len(crowd.times_s)} frames; nothing was written"
            )
        return crowd

    def _keep(
        self, keypoints: Keypoints2D, stem: str, folder: Path | None, heatmaps: TrackHeatmaps | None,
        tracks: list[int],
    ) -> Someone:  # fmt: skip
        """One person just detected, written where there is a folder for it."""
        swaps = find_swaps(keypoints.xy, keypoints.timestamps_s, keypoints.skeleton, self.config.swaps)
        messages = swaps.messages(self.config.swaps.repair)
        for message in messages:
            self.ledger.warn(message)
        made = {**keypoints.provenance, "warnings": [*keypoints.provenance["warnings"], *messages]}
        orders = swaps.orders(keypoints.skeleton) if self.config.swaps.repair else {}
        keypoints = replace(put_right(keypoints, swaps) if orders else keypoints, provenance=made)
        if folder is None or heatmaps is None:
            return Someone(keypoints, None, stem)
        target = folder / f"{stem}{DETECTIONS_SUFFIX}"
        with DetectionsWriter(target, made) as writer:
            writer.take(heatmaps, tracks, orders)
            writer.finish(keypoints, warnings=made["warnings"])
        return Someone(keypoints, load_detections(target).heatmaps, stem, target, made=True)

    def _earlier(self, folder: Path, wanted: dict[str, Any]) -> list[Someone]:
        """What an earlier run left in `folder`, if that is just what is wanted; empty otherwise."""
        first = folder / f"{self._stems([0])[0]}{DETECTIONS_SUFFIX}"
        if not first.exists():
            return []
        obstacle, files = reuse_obstacle(first, wanted), [first]
        if obstacle is None and self.config.person == ALL:
            count = load_detections(first).keypoints.provenance["person"]["count"]
            files = [folder / f"{stem}{DETECTIONS_SUFFIX}" for stem in self._stems(range(count))]
            obstacles = [reuse_obstacle(f, wanted) if f.exists() else "of others it is gone" for f in files]
            obstacle = next(filter(None, obstacles), None)
        if obstacle is not None:
            self.ledger.reporter.note(f"detecting again and replacing {first}: {obstacle}")
            return []
        for file in files:
            self.ledger.reporter.note(f"using the detections of an earlier run: {file}")
        return [
            self._load(file, stem) for file, stem in zip(files, self._stems(range(len(files))), strict=True)
        ]

    def _given(self, file: Path, folder: Path | None) -> list[Someone]:
        """What another tool found, kept in `folder` like our own detections."""
        clip = self.clip
        timing = Timing(fps=clip.fps, size=clip.size, start_s=clip.start, end_s=clip.end)
        source = {**source_identity(file), "name": ""}  # no video to draw on
        if clip.has_video:
            timing = self._video_timing()
            source = source_identity(clip.path) | ({} if clip.fps is None else {"fps": clip.fps})
        everybody = load_people(file, clip.keypoints_format, timing, self.config.person, self.config.swaps)
        before, found = list(self.ledger.warnings), []
        stems = self._stems([keypoints.provenance["person"]["id"] for keypoints in everybody])
        for keypoints, stem in zip(everybody, stems, strict=True):
            made = keypoints.provenance
            for message in made["warnings"]:
                self.ledger.warn(message)
            made = {
                **made,
                "settings": {**made["settings"], "file": source_identity(file)},
                "source": source,
                "start_s": clip.start,
                "end_s": clip.end,
                "warnings": [*before, *made["warnings"]],
            }
            target = None if folder is None else folder / f"{stem}{DETECTIONS_SUFFIX}"
            if target is not None:
                if target.exists() and (obstacle := reuse_obstacle(target, made)) is not None:
                    if not self.config.overwrite:
                        raise OutputError(
                            f"{target} exists and {obstacle}; use --overwrite, or another folder with --out"
                        )
                    self.ledger.reporter.note(f"replacing {target}: {obstacle}")
                with DetectionsWriter(target, made) as writer:
                    writer.finish(keypoints, warnings=made["warnings"])
            found.append(
                Someone(replace(keypoints, provenance=made), None, stem, target, made=target is not None)
            )
        return found

    def _video_timing(self) -> Timing:
        """Times of all frames of the video, which has to be decoded for that."""
        frames = self.clip.open()
        rows, seconds = [], []
        with self.ledger.timed("read times", frame_count(frames, self.clip), "frames") as advance:
            for count, frame in enumerate(frames, start=1):
                rows.append(frame.index)
                seconds.append(frame.time_s)
                advance(count)
        for message in frames.report.warnings:
            self.ledger.warn(message)
        times = np.full(rows[-1] + 1, np.nan)
        times[rows] = seconds
        size = (frames.info.width, frames.info.height)
        return Timing(
            times_s=times, rows=np.array(rows), complete=self.clip.end is None, size=size, name=self.clip.stem
        )

    def _load(self, path: Path, stem: str) -> Someone:
        detections = load_detections(path)
        for message in detections.keypoints.provenance["warnings"]:
            if message not in self.ledger.warnings:  # the reader's are in every person's file
                self.ledger.warn(message)
        return Someone(detections.keypoints, detections.heatmaps, stem, path)

    @cached_property
    def detector(self) -> Detector:
        """Made when first asked for; fetches its networks if need be."""
        config = self.config
        threads = min(torch.get_num_threads(), _MOST_THREADS)
        make = partial(
            make_detector, config.detector, config.options, threads=threads, offline=config.offline
        )
        with ExitStack() as stack:
            advance: Advance | None = None

            def fetching(done: int, total: int) -> None:  # is called only where something is missing
                nonlocal advance
                megabytes = total // 10**6
                if advance is None:
                    stage = self.ledger.reporter.stage("fetch detector", megabytes, "MB")
                    advance = stack.enter_context(stage)
                advance(done // 10**6)

            return make(progress=fetching)


def stems(clip: Clip, person: str, numbers: Sequence[int]) -> list[str]:
    """What the results of the people of these numbers are called (only one, unless `person` is "all")."""
    if person == ALL and not clip.is_detections:
        return [f"{clip.stem}_p{number}" for number in numbers]
    return [clip.stem]


def frame_count(frames: Frames, clip: Clip) -> int | None:
    """About how many frames will come: for the progress bar only."""
    info = frames.info
    if clip.start is None and clip.end is None:
        return info.frame_count_hint
    if info.frame_rate is None or info.duration_s is None:
        return None
    end = min(clip.end if clip.end is not None else info.duration_s, info.duration_s)
    return max(1, round((end - (clip.start or 0.0)) * info.frame_rate))
