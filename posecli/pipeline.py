"""What posecli is for, as functions: lift, lift to files, detect to a file. `posecli.walk` does the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posecli import defaults
from posecli.clip import DETECTIONS_SUFFIX, Clip
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import OutputError, UsageError
from posecli.export import EXPORTERS
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.motion import Motion
from posecli.reporting import Reporter, Silent
from posecli.resume import changed_setting, earlier_motion
from posecli.walk import Outcome, Walk, folder_for_results


@dataclass
class Detected:
    """What `detect_to_file` made, or (`reused`) found made already."""

    keypoints: Keypoints2D
    file: Path
    seconds: dict[str, float]
    warnings: list[str]
    reused: bool


def lift(
    path: str | Path | None = None,
    *,
    keypoints: str | Path | None = None,
    keypoints_format: str = "auto",
    size: tuple[int, int] | None = None,
    method: str = defaults.METHOD,
    weights: str | Path | None = None,
    detector: str = defaults.DETECTOR,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    config: LiftConfig | None = None,
    device: str = "auto",
    offline: bool = False,
    reporter: Reporter | None = None,
) -> Motion:
    """Video (or picture, folder of pictures, detections file) → 3D motion of one person; writes no file.

    The result has a row for every frame that decodes, at the source's own times: `joints_3d` (T, 17, 3) in
    metres, camera frame (x right, y down, z forward), relative to the pelvis; see `Motion` for the rest.
    What went wrong on the way without stopping it (lost frames, absences) is in `motion.settings["warnings"]`,
    beside everything needed to make the same motion again. One seed, one result.

    path: whatever FFmpeg decodes, a folder or pattern of pictures, or a `.detections.h5` that posecli wrote.
    keypoints: 2D joints that another tool found, in place of detecting; `path` may then be left out where `fps` and
        `size` (width, height) are given or the file tells. keypoints_format: "auto", or a name in
        `posecli.detect.foreign.FORMATS`.
    method: a name in `posecli.methods.METHODS`.
    weights: a weights file, or the name of shipped ones; None: those that ship for the method.
    detector: a name in `posecli.detect.DETECTORS`; its networks are fetched on first use unless `offline`.
    start, end: seconds; frames with start <= time < end. fps: rate of a folder of pictures, 30 by default.
    config: hypotheses, steps, seed, field of view, height, longest gap to bridge; see `LiftConfig`.
    device: "auto", "cpu", "cuda" or "mps", for the lifter.
    reporter: is told of progress and warnings as they come.

    Raises a `PosecliError` for whatever a user can mend: InputError (missing, damaged, not a video),
    UsageError (a value that cannot work), NobodyError (no person in any frame), NetworkError.
    """
    clip = Clip.of(path, start, end, fps, keypoints, keypoints_format, size)
    walk = Walk(clip, detector, reporter or Silent(), offline=offline)
    lifting = Lifting(method, weights, device, config or LiftConfig())
    return walk.lift(walk.keypoints(None), lifting)


def lift_to_files(
    path: str | Path | None = None,
    *,
    keypoints: str | Path | None = None,
    keypoints_format: str = "auto",
    size: tuple[int, int] | None = None,
    out: str | Path = defaults.OUT,
    exports: Sequence[str] = tuple(EXPORTERS),
    overwrite: bool = False,
    method: str = defaults.METHOD,
    weights: str | Path | None = None,
    detector: str = defaults.DETECTOR,
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
    Results lying there raise an OutputError unless `overwrite`. Every file appears whole or not at all.
    """
    check_exports(exports)
    clip = Clip.of(path, start, end, fps, keypoints, keypoints_format, size)
    targets = {kind: Path(out) / f"{clip.stem}.{kind}" for kind in exports}
    _refuse_to_overwrite(clip, list(targets.values()), overwrite)
    walk = Walk(clip, detector, reporter or Silent(), offline=offline)
    # A wrong name or value should fail before minutes of detection.
    lifting = Lifting(method, weights, device, config or LiftConfig())
    return walk.write(lifting, targets)


def lift_or_skip(
    clip: Clip,
    lifting: Lifting,
    *,
    out: Path,
    exports: Sequence[str],
    overwrite: bool,
    detector: str,
    offline: bool,
    reporter: Reporter,
) -> Outcome:
    """`lift_to_files` for one of many: what an earlier run made of the same source is taken as it is if all files
    are there and no setting changed, and is replaced if not. Results of another source are not overwritten."""
    targets = {kind: out / f"{clip.stem}.{kind}" for kind in exports}
    walk = Walk(clip, detector, reporter, offline=offline)
    earlier = None if overwrite else earlier_motion(out / f"{clip.stem}.npz", clip.path)
    if earlier is not None:
        change = "files are missing" if not all(t.exists() for t in targets.values()) else None
        change = change or changed_setting(earlier, lifting.record, walk.wanted())
        if change is None:
            return Outcome(earlier, skipped=True)
        reporter.note(f"{clip.path}: lifting again, {change}")
    _refuse_to_overwrite(clip, list(targets.values()), overwrite or earlier is not None)
    return walk.write(lifting, targets)


def check_exports(exports: Sequence[str]) -> None:
    """Raises UsageError where there are none, or unknown ones."""
    if not exports:
        raise UsageError(f"nothing to export; one or more of: {', '.join(EXPORTERS)}")
    if unknown := [e for e in exports if e not in EXPORTERS]:
        raise UsageError(f"unknown export {unknown[0]!r}; one or more of: {', '.join(EXPORTERS)}")


def detect_to_file(
    path: str | Path,
    *,
    out: str | Path = defaults.OUT,
    overwrite: bool = False,
    detector: str = defaults.DETECTOR,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> Detected:
    """Detect only: write `<stem>.detections.h5` into `out`. Raises what `lift_to_files` raises."""
    clip = Clip(Path(path), start, end, fps)
    target = Path(out) / f"{clip.stem}{DETECTIONS_SUFFIX}"
    _refuse_to_overwrite(clip, [target], overwrite)
    walk = Walk(clip, detector, reporter or Silent(), offline=offline)
    with folder_for_results(target.parent):
        keypoints = walk.detect(target)
    return Detected(keypoints, target, walk.seconds, walk.warnings, walk.reused is not None)


def _refuse_to_overwrite(clip: Clip, targets: list[Path], overwrite: bool) -> None:
    for target in targets:
        for source in filter(None, (clip.path, clip.keypoints)):
            if source.exists() and target.exists() and target.samefile(source):
                raise OutputError(f"{target} is the input itself; choose another folder with --out")
        if target.exists() and not overwrite:
            raise OutputError(f"{target} exists; use --overwrite, or another folder with --out")
