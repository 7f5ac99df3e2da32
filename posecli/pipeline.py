"""What posecli is for, as functions: lift, lift to files, detect to a file. `posecli.walk` does the work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from posecli import defaults
from posecli.clip import DETECTIONS_SUFFIX, Clip
from posecli.detect.backends import DetectorOptions
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.people.choose import ALL, LARGEST
from posecli.detect.swaps import SwapSettings
from posecli.errors import OutputError, UsageError
from posecli.export import EXPORTERS
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.motion import Motion
from posecli.reporting import Reporter, Silent
from posecli.resume import changed_setting, earlier_motion
from posecli.seeing import Ledger, SeeConfig, Seeing, stems
from posecli.walk import Outcome, Walk, folder_for_results


@dataclass
class Detected:
    """What `detect_to_file` made, or (`reused`) found made already: keypoints and file of the person wanted, or of the
    first of several, the rest of whom are in `others`."""

    keypoints: Keypoints2D
    file: Path
    seconds: dict[str, float]
    warnings: list[str]
    reused: bool
    others: list[Detected] = field(default_factory=list)


def lift(
    path: str | Path | None = None,
    *,
    keypoints: str | Path | None = None,
    keypoints_format: str = "auto",
    size: tuple[int, int] | None = None,
    method: str | None = None,
    weights: str | Path | None = None,
    detector: str = defaults.DETECTOR,
    detector_options: DetectorOptions | None = None,
    person: str = LARGEST,
    swaps: SwapSettings | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    config: LiftConfig | None = None,
    refine: str | None = None,
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
        detector_options: its files, where it needs any.
    person: whom to lift of several: "largest" (over the clip), "longest", "first", or a number that
        `posecli inspect` lists.
    swaps: what to do where left is taken for right.
    start, end: seconds; frames with start <= time < end. fps: rate of a folder of pictures, 30 by default.
    config: hypotheses, steps, seed, field of view, height, longest gap to bridge; see `LiftConfig`.
    refine: what refines the motion, "d3prefiner", a file of its weights, or a filter (`posecli.refine.choose`).
    device: "auto", "cpu", "cuda" or "mps", for the lifter.
    reporter: is told of progress and warnings as they come.

    Raises a `PosecliError` for whatever a user can mend: InputError (missing, damaged, not a video),
    UsageError (a value that cannot work), NobodyError (no person in any frame), NetworkError.
    """
    if person == ALL:
        raise UsageError("one motion is of one person; lift_to_files writes all of them")
    clip = Clip.of(path, start, end, fps, keypoints, keypoints_format, size)
    seeing = _see(detector, detector_options, person, swaps, offline=offline)
    walk = Walk(clip, seeing, reporter or Silent())
    lifting = Lifting.of_videos(method, weights, device, config or LiftConfig(), refine)
    return walk.lift(walk.seeing.people(None)[0], lifting)


def lift_to_files(
    path: str | Path | None = None,
    *,
    keypoints: str | Path | None = None,
    keypoints_format: str = "auto",
    size: tuple[int, int] | None = None,
    out: str | Path = defaults.OUT,
    exports: Sequence[str] = tuple(EXPORTERS),
    overwrite: bool = False,
    method: str | None = None,
    weights: str | Path | None = None,
    detector: str = defaults.DETECTOR,
    detector_options: DetectorOptions | None = None,
    person: str = LARGEST,
    swaps: SwapSettings | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    config: LiftConfig | None = None,
    refine: str | None = None,
    device: str = "auto",
    offline: bool = False,
    reporter: Reporter | None = None,
) -> Outcome:
    """`lift`, and write `<stem>.npz`, `.bvh`, `.mp4` (as asked) and `<stem>.detections.h5` into `out`; for
    `person="all"` such a set of everybody, `<stem>_p0.npz` and so on.

    Detections lying in `out` already are used again when detector, version, weights, settings and source agree.
    Results lying there raise an OutputError unless `overwrite`. Every file appears whole or not at all.
    """
    check_exports(exports)
    clip = Clip.of(path, start, end, fps, keypoints, keypoints_format, size)
    seeing = _see(detector, detector_options, person, swaps, offline=offline, overwrite=overwrite)
    _refuse_to_overwrite(clip, Path(out), exports, person, overwrite)
    walk = Walk(clip, seeing, reporter or Silent())
    # A wrong name or value should fail before minutes of detection.
    lifting = Lifting.of_videos(method, weights, device, config or LiftConfig(), refine)
    return walk.write(lifting, Path(out), exports)


def lift_or_skip(
    clip: Clip,
    lifting: Lifting,
    *,
    out: Path,
    exports: Sequence[str],
    seeing: SeeConfig,
    reporter: Reporter,
) -> Outcome:
    """`lift_to_files` for one of many: what an earlier run made of the same source is taken as it is if all files
    are there and no setting changed, and is replaced if not. Results of another source are not overwritten."""
    walk = Walk(clip, seeing, reporter)
    earlier = [] if seeing.overwrite else _earlier(clip, out, seeing.person)
    if earlier:
        change = None
        if not all((out / f"{stem}.{kind}").exists() for _, stem in earlier for kind in exports):
            change = "files are missing"
        wanted = None if change else walk.seeing.wanted()
        for motion, _ in earlier:
            change = change or changed_setting(motion, lifting.record, wanted or {})
        if change is None:
            motions = [motion for motion, _ in earlier]
            return Outcome(motions[0], skipped=True, others=motions[1:])
        reporter.note(f"{clip.path}: lifting again, {change}")
        walk = Walk(clip, replace(seeing, overwrite=True), reporter)
    _refuse_to_overwrite(clip, out, exports, seeing.person, seeing.overwrite or bool(earlier))
    return walk.write(lifting, out, exports)


def _earlier(clip: Clip, out: Path, person: str) -> list[tuple[Motion, str]]:
    """Motions that an earlier run made of the same source, with what their files are called; none if one is gone."""
    first = earlier_motion(out / f"{stems(clip, person, [0])[0]}.npz", clip.path)
    if first is None:
        return []
    who = first.settings["detection"].get("person")
    count = int(who.get("count", 1)) if person == ALL and isinstance(who, dict) else 1
    names = stems(clip, person, range(count))
    motions = [first, *(earlier_motion(out / f"{stem}.npz", clip.path) for stem in names[1:])]
    return [
        (m, stem) for m, stem in zip(motions, names, strict=True) if m is not None and None not in motions
    ]


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
    detector_options: DetectorOptions | None = None,
    person: str = LARGEST,
    swaps: SwapSettings | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> Detected:
    """Detect only: write `<stem>.detections.h5` into `out`; for `person="all"` `<stem>_p0.detections.h5` and so on.
    Raises what `lift_to_files` raises."""
    clip = Clip(Path(path), start, end, fps)
    seeing = _see(detector, detector_options, person, swaps, offline=offline, overwrite=overwrite)
    _refuse_to_overwrite(clip, Path(out), [DETECTIONS_SUFFIX[1:]], person, overwrite)
    ledger = Ledger(reporter or Silent())
    with folder_for_results(Path(out)):
        people = Seeing(clip, seeing, ledger).detect(Path(out))
    found = []
    for someone in people:
        assert someone.file is not None
        found.append(
            Detected(someone.keypoints, someone.file, ledger.seconds, ledger.warnings, not someone.made)
        )
    found[0].others = found[1:]
    return found[0]


def _see(
    detector: str, options: DetectorOptions | None, person: str, swaps: SwapSettings | None, *, offline: bool,
    overwrite: bool = False,
) -> SeeConfig:  # fmt: skip
    return SeeConfig(
        detector,
        options or DetectorOptions(),
        person,
        swaps or SwapSettings(),
        offline=offline,
        overwrite=overwrite,
    )


def _refuse_to_overwrite(clip: Clip, out: Path, kinds: Sequence[str], person: str, overwrite: bool) -> None:
    targets = [out / f"{stem}.{kind}" for kind in kinds for stem in stems(clip, person, [0])]
    if (
        person == ALL and out.is_dir()
    ):  # how many there are shows later; somebody's results may lie there by then
        name = re.compile(re.escape(clip.stem) + r"_p\d+\.(" + "|".join(map(re.escape, kinds)) + ")")
        targets += [path for path in sorted(out.iterdir()) if name.fullmatch(path.name)]
    for target in targets:
        for source in filter(None, (clip.path, clip.keypoints)):
            if source.exists() and target.exists() and target.samefile(source):
                raise OutputError(f"{target} is the input itself; choose another folder with --out")
        if target.exists() and not overwrite:
            raise OutputError(f"{target} exists; use --overwrite, or another folder with --out")
