"""A file that another tool wrote → the keypoints of one person, ready to be lifted."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.detect.foreign.clean import fill_missing
from posecli.detect.foreign.clip import MOST_FRAMES, ForeignClip, Sighting, listed
from posecli.detect.foreign.json_lists import read_alphapose, read_coco, read_json, read_mmpose, read_vitpose
from posecli.detect.foreign.names import needed
from posecli.detect.foreign.openpose import read_openpose
from posecli.detect.foreign.people import Person, people
from posecli.detect.foreign.tables import read_csv, read_trc
from posecli.detect.foreign.vp3d import read_vp3d
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.people.choose import ALL, LARGEST, chosen, record
from posecli.detect.swaps import SwapSettings, find_swaps, put_right
from posecli.errors import InputError, NobodyError, UsageError


def _halpe(path: Path) -> ForeignClip:
    return read_coco(path, "halpe")  # AlphaPose's list of results, or annotations in COCO's layout


FORMATS: dict[str, Callable[[Path], ForeignClip]] = {
    "openpose": read_openpose,
    "alphapose": read_alphapose,
    "coco": read_coco,
    "mmpose": read_mmpose,
    "vitpose": read_vitpose,
    "vp3d": read_vp3d,
    "halpe": _halpe,
    "csv": read_csv,
    "trc": read_trc,
}
"""Name on the command line → reader."""


@dataclass(frozen=True)
class Timing:
    """When the frames are, and how large the pictures.

    times_s: of every frame of the source, by frame number from 0; or `fps`; or neither, where the file tells.
    rows: numbers of the frames wanted; None: all. complete: `times_s` reaches to the source's end.
    """

    times_s: NDArray[np.float64] | None = None
    rows: NDArray[np.int64] | None = None
    complete: bool = True
    fps: float | None = None
    start_s: float | None = None  # of a file without a video: frames with start <= time < end
    end_s: float | None = None
    size: tuple[int, int] | None = None
    name: str | None = None  # of the video, to find its sequence among several


def load_foreign(path: str | Path, format: str = "auto", timing: Timing | None = None) -> Keypoints2D:
    """Read `path` and choose the person who covers most of the pictures over the clip; see `load_people`."""
    return load_people(path, format, timing)[0]


def load_people(
    path: str | Path,
    format: str = "auto",
    timing: Timing | None = None,
    person: str = LARGEST,
    swaps: SwapSettings | None = None,
) -> list[Keypoints2D]:
    """Read `path` and take the person asked for, a name in `posecli.detect.people.choose.CHOICES` or a number (0 covers
    most of the pictures); a list of one, but for "all".

    `provenance` of the results says which format and person it was and what there is to warn of.
    Raises InputError (not readable, joints missing, not of this video), NobodyError, UsageError (fps or size needed,
    no such person).
    """
    path, timing, swaps = Path(path), timing or Timing(), swaps or SwapSettings()
    if format == "auto":
        format = guess(path)
    if format not in FORMATS:
        raise UsageError(f"unknown keypoint format {format!r}; one of: auto, {', '.join(FORMATS)}")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the spelling")
    if path.is_dir() and format != "openpose":
        raise InputError(f"{path} is a folder; {format} keypoints are one file")
    clip = read_vp3d(path, timing.name) if format == "vp3d" else FORMATS[format](path)
    everybody = people(clip)
    if not everybody:
        raise NobodyError(f"{path}: nobody in any of its {len(clip.frames)} frames; nothing was written")
    warnings: list[str] = []
    numbers, times = _between(*_frames(clip, timing, path, warnings), timing, path)
    size = timing.size or clip.size
    if size is None:
        raise UsageError(
            f"{path} does not tell the size of the pictures: give the video, or --size 1920x1080"
        )
    presences = [one.presence for one in everybody]
    made: dict[str, Any] = {
        "detector": f"{clip.format} keypoints",
        "detector_version": None,
        "weights_hash": None,
        "settings": {"format": clip.format, "skeleton": clip.skeleton.name, "swaps": asdict(swaps)},
    }
    found = []
    for place in chosen(person, presences):
        name = everybody[place].name
        who = record(person, place, presences, len(clip.frames)) | {"name": name}
        keypoints = Keypoints2D(
            *_table(everybody[place], numbers, clip.skeleton.num_joints), np.ones(len(times), dtype=bool), times,
            clip.skeleton, size, provenance={**made, "person": who, "warnings": list(warnings)},
        )  # fmt: skip
        try:
            found.append(_usable(keypoints, path, swaps))
        except (InputError, NobodyError) as error:
            if person != ALL or len(everybody) == 1:
                raise
            reasons = str(error)
            warnings = [*warnings, f"person {place} was left out: {reasons}"]
    if not found:
        raise InputError(f"{path}: nobody in it can be lifted; {warnings[-1]}")
    return found


def _usable(keypoints: Keypoints2D, path: Path, settings: SwapSettings) -> Keypoints2D:
    """Sides put right, single missing joints filled in, frames without all that lifting needs left out."""
    xy, times, skeleton = keypoints.xy, keypoints.timestamps_s, keypoints.skeleton
    warnings, joints = keypoints.provenance["warnings"], needed(skeleton)
    _check_pixels(xy[:, joints], keypoints.image_size, path, warnings)
    swaps = find_swaps(xy, times, skeleton, settings)
    warnings += swaps.messages(settings.repair)
    if settings.repair:
        keypoints = put_right(keypoints, swaps)
    xy, scores = keypoints.xy, keypoints.scores.copy()
    seen = scores > 0
    xy, filled = fill_missing(xy, scores, times, skeleton, joints)
    names = skeleton.joint_names
    if filled.any():
        counts = [f"{names[j]} in {int(filled[:, j].sum())}" for j in joints if filled[:, j].any()]
        warnings.append(f"joints not seen were filled in, of {len(times)} frames: {listed(counts)}")
    usable: NDArray[np.bool_] = seen | filled
    found: NDArray[np.bool_] = np.asarray(usable[:, joints].all(axis=1))
    _report_missing(usable[:, joints], found, [names[j] for j in joints], path, warnings)
    xy[~found], scores[~found] = np.nan, 0.0
    return replace(keypoints, xy=xy, scores=scores, found=found)


def guess(path: Path) -> str:
    """The format of a file by what is in it. Raises InputError where it is none that is known."""
    if path.is_dir():
        return "openpose"
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error})") from None
    if zipfile.is_zipfile(path):
        return "vp3d"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] not in (b"{", b"["):
        if text.startswith(b"PathFileType"):
            return "trc"
        if b"\0" not in start and text[:1]:
            return "csv"
        raise InputError(f"{path} is empty or of no keypoint format; formats: {', '.join(FORMATS)}")
    found = _json_format(read_json(path))
    if found is None:
        raise InputError(f"{path}: JSON of no known layout; name it with --format: {', '.join(FORMATS)}")
    return found


def _json_format(content: Any) -> str | None:
    if isinstance(content, dict):
        for key, name in (
            ("people", "openpose"), ("annotations", "coco"), ("instance_info", "mmpose"), ("skeleton", "vitpose"),
        ):  # fmt: skip
            if key in content:
                return name
        return None
    first = next((entry for entry in content if entry), None) if isinstance(content, list) else None
    if isinstance(first, list):
        return "vitpose"
    if not isinstance(first, dict):
        return None
    if "image_id" in first:
        return "alphapose" if isinstance(first["image_id"], str) or {"idx", "box"} & set(first) else "coco"
    return "mmpose" if "instances" in first or "keypoint_scores" in first else None


def _frames(
    clip: ForeignClip, timing: Timing, path: Path, warnings: list[str]
) -> tuple[list[int], NDArray[np.float64]]:
    """Numbers, as the file counts, and times of the frames that the result has rows for."""
    given = sorted(clip.frames)
    first, last = given[0], given[-1]
    if timing.times_s is not None:
        count = len(timing.times_s)
        base = clip.counts_from
        if base is None:
            base = 1 if first >= 1 and last == count and timing.complete else 0
        beyond = last - base - (count - 1)
        if timing.complete and beyond > 2:
            raise InputError(
                f"{path} goes on to frame {last - base + 1}, the video has {count}: they do not belong together"
            )
        if timing.complete and beyond > 0:
            warnings.append(
                f"the last {beyond} frames of {path.name} lie beyond the video's end and were left out"
            )
        rows = np.arange(count) if timing.rows is None else timing.rows
        return [int(r) + base for r in rows], timing.times_s[rows]
    if last - first >= MOST_FRAMES:
        raise InputError(f"{path}: frames {first} to {last} are more than {MOST_FRAMES}")
    if timing.fps is None and clip.times_s is not None:
        times = np.array([clip.times_s[number] for number in given])
        if not (np.diff(times) > 0).all() or not np.isfinite(times).all():
            raise InputError(f"{path}: its times do not increase from frame to frame; give --fps instead")
        return given, times
    fps = timing.fps or clip.fps
    if fps is None:
        raise UsageError(f"{path} does not tell when its frames are: give the video, or --fps 30")
    if not 0.1 <= fps <= 10_000:
        raise UsageError(f"--fps must lie between 0.1 and 10000, not {fps:g}")
    numbers = np.arange(first, last + 1)
    base = clip.counts_from if clip.counts_from is not None else min(first, 1)
    return numbers.tolist(), (numbers - base) / fps


def _between(
    numbers: list[int], times: NDArray[np.float64], timing: Timing, path: Path
) -> tuple[list[int], NDArray[np.float64]]:
    start, end = timing.start_s or 0.0, float("inf") if timing.end_s is None else timing.end_s
    rows = [k for k, time in enumerate(times) if start <= time < end]
    if not rows:
        raise InputError(
            f"{path}: no frame lies between {start:g} and {end:g} s; its last is at {times[-1]:.2f} s"
        )
    return ([numbers[k] for k in rows], times[rows]) if timing.times_s is None else (numbers, times)


def _table(
    person: Person, numbers: Sequence[int], joints: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """xy (T, J, 2) and scores (T, J) of the frames `numbers`."""
    nobody = Sighting(np.full((joints, 2), np.nan, np.float32), np.zeros(joints, np.float32))
    rows = [person.frames.get(number, nobody) for number in numbers]
    return np.stack([r.xy for r in rows]), np.stack([r.scores for r in rows])


def _check_pixels(xy: NDArray[np.float32], size: tuple[int, int], path: Path, warnings: list[str]) -> None:
    """Raises InputError for shares of the picture in place of pixels; warns where the picture must be another."""
    points = xy[np.isfinite(xy).all(axis=-1)]
    if len(points) and np.abs(points).max() <= 2 < min(size):
        raise InputError(
            f"{path}: its coordinates lie between 0 and 1; pixels of the whole picture are needed"
        )
    margin = 0.1 * np.array(size)
    outside = ((points < -margin) | (points > np.array(size) + margin)).any(axis=-1)
    if len(points) and outside.mean() > 0.2:
        warnings.append(
            f"{outside.mean():.0%} of the joints lie outside a picture of {size[0]}x{size[1]}: were they found in "
            "another video or size?"
        )


def _report_missing(
    usable: NDArray[np.bool_], found: NDArray[np.bool_], names: list[str], path: Path, warnings: list[str]
) -> None:
    """Frames with a person who cannot be lifted because joints are missing; an InputError if that is all of them."""
    lacking = ~found & (usable.mean(axis=1) >= 0.5)
    order = np.argsort(-(~usable[lacking]).sum(axis=0), kind="stable")
    counts = [f"{names[j]} in {n}" for j in order if (n := int((~usable[lacking, j]).sum()))]
    if not found.any() and lacking.any():
        raise InputError(
            f"{path}: no frame has all joints that lifting needs; missing: {listed(counts, 8)} frames"
        )
    if not found.any():
        raise NobodyError(
            f"{path}: nobody in the {len(found)} frames that were asked for; nothing was written"
        )
    if lacking.any():
        warnings.append(f"{int(lacking.sum())} frames left out, joints are missing: {listed(counts)} of them")
