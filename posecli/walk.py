"""One clip on its way: what is seen in it, lifted and exported, timed, with its warnings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from posecli.clip import Clip
from posecli.detect.people.choose import ALL
from posecli.detect.provenance import difference, source_identity
from posecli.errors import OutputError
from posecli.export import EXPORTERS
from posecli.export.video import save_video
from posecli.loaded import Lifting
from posecli.machine import versions
from posecli.media import open_media
from posecli.media.frames import Frames
from posecli.motion import Motion, frame_ranges
from posecli.refine.apply import Refiner, left_alone, refine_motion
from posecli.refine.choose import MadeBy, doubts
from posecli.reporting import Reporter
from posecli.seeing import Ledger, SeeConfig, Seeing, Someone


@dataclass
class Outcome:
    """All that one run made. motion: of the person wanted, or of the first of several, whose motions are then in
    `others`. reused: the detections file whose content stood in for detecting."""

    motion: Motion
    files: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # stage → duration
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # exporter → what it has to say
    reused: Path | None = None
    skipped: bool = False  # all of it lay there from an earlier run
    others: list[Motion] = field(default_factory=list)

    @property
    def motions(self) -> list[Motion]:
        """Of everybody lifted."""
        return [self.motion, *self.others]


class Walk:
    """One clip on its way; collects files, seconds, warnings."""

    def __init__(self, clip: Clip, seeing: SeeConfig, reporter: Reporter) -> None:
        self.clip, self.ledger = clip, Ledger(reporter)
        self.seeing = Seeing(clip, seeing, self.ledger)
        self.files: list[Path] = []
        self.notes: dict[str, str] = {}

    def write(self, lifting: Lifting, folder: Path, kinds: Sequence[str]) -> Outcome:
        """Lift everybody wanted, and write every kind of result, and the detections, into `folder`."""
        with folder_for_results(folder):
            people = self.seeing.people(folder)
            self.files += [someone.file for someone in people if someone.made and someone.file is not None]
            motions = []
            for someone in people:
                motions.append(self.lift(someone, lifting))
                for kind in kinds:
                    self.export(motions[-1], kind, folder / f"{someone.stem}.{kind}")
            self._warn_of_others(folder, people)
        reused = None if people[0].made else people[0].file
        ledger = self.ledger
        return Outcome(
            motions[0], self.files, ledger.seconds, ledger.warnings, self.notes, reused, others=motions[1:]
        )

    def _warn_of_others(self, folder: Path, people: Sequence[Someone]) -> None:
        """Sets of results that an earlier run made of people who are not found any more."""
        if self.seeing.config.person != ALL:
            return
        name = re.compile("(" + re.escape(self.clip.stem) + r"_p\d+)\.(npz|bvh|mp4|detections\.h5)")
        there = {match[1] for path in folder.iterdir() if (match := name.fullmatch(path.name))}
        if old := sorted(there - {someone.stem for someone in people}):
            self.ledger.warn(f"{folder} still holds {', '.join(old)} of an earlier run with more people")

    def lift(self, someone: Someone, lifting: Lifting) -> Motion:
        """Keypoints → motion, with everything that made it written into its settings."""
        keypoints = someone.keypoints
        warnings = list(keypoints.provenance.get("warnings", ()))
        clouds = lifting.clouds(keypoints, someone.heatmaps)
        messages = [clouds.warning] if clouds is not None and clouds.warning else []
        with self.ledger.timed("lift", None, "windows") as advance:
            motion = lifting(keypoints, advance, clouds)
        for message in messages + _absences(motion):
            self.ledger.warn(message)
            warnings.append(message)
        settings = {
            **lifting.record,
            "detection": keypoints.provenance,
            "versions": versions(),
            "warnings": warnings,
        }
        motion = replace(motion, settings=settings)
        if lifting.refiner is None:
            return motion
        return self._refined(motion, lifting.refiner)

    def _refined(self, motion: Motion, refiner: Refiner) -> Motion:
        """The motion refined, with the joints from before it beside (`posecli refine` does the same to a file)."""
        messages = doubts(refiner, MadeBy.of(motion.settings))
        for message in messages:
            self.ledger.warn(message)
        with self.ledger.timed("refine", None, "pieces") as advance:
            motion = refine_motion(motion, refiner, progress=advance)
        for message in (left := left_alone(motion)):
            self.ledger.warn(message)
        motion.settings["refinements"][-1]["warnings"] = messages + left
        return motion

    def export(self, motion: Motion, kind: str, target: Path) -> None:
        """Write one kind of file; a video needs the source, and is left out with a warning where that is gone."""
        frames = self._source_frames(motion) if kind == "mp4" else None
        if kind == "mp4" and frames is None:
            return
        with self.ledger.timed(kind, len(motion), "frames") as advance:
            if frames is not None:
                save_video(motion, frames, target, progress=advance)
            else:
                said = EXPORTERS[kind](motion, target)
                if kind == "bvh":
                    self.notes[kind if kind not in self.notes else target.name] = str(said)
        self.files.append(target)

    def _source_frames(self, motion: Motion) -> Frames | None:
        """The pictures to draw on; for a detections file, the video it names, beside it or in this folder."""
        if self.clip.has_video:
            return self.clip.open()
        if not self.clip.is_detections:
            self.ledger.warn("no mp4 written: keypoints alone give nothing to draw on; give the video too")
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
        self.ledger.warn(
            f"no mp4 written: {name or 'its video'} is not beside {self.clip.path.name} nor in this folder; "
            "put it there, or lift the video itself"
        )
        return None


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


def _absences(motion: Motion) -> list[str]:
    """In words: the frames with nobody, and those bridged."""
    messages = []
    for mask, words in ((~motion.valid, "nobody found in"), (motion.bridged, "pose interpolated in")):
        if mask.any():
            messages.append(f"{words} frames {frame_ranges(mask)} ({int(mask.sum())} of {len(motion)})")
    return messages
