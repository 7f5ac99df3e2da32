"""`posecli data build cmu`: the raw files of the CMU database → the corpus (see `store`)."""

from __future__ import annotations

import csv
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from posecli.corpus.asf_amc import AsfSkeleton, read_amc, read_asf
from posecli.corpus.bvh import read_bvh
from posecli.corpus.kinematics import Array
from posecli.corpus.landmarks import (
    SOLE,
    Body,
    body_from_asf,
    body_from_cmu_bvh,
    body_from_daz,
    guess_thorax,
    points_of,
)
from posecli.corpus.store import Clip, write_corpus
from posecli.errors import InputError, UsageError

MAX_SPEED = 18.0
"""Metres per second; a joint faster than this has jumped, and the clip is cut there."""
MIN_SECONDS = 0.5
"""Shorter pieces are dropped."""
SLOW_SUBJECTS = frozenset({33, 34, 42, 60, 61, 62, 74, 75, 77, 79, 80, 87, 88, 89, 136})
"""Captured at 60 frames a second, all others at 120; what the headers of retargeted files say is not true."""
NO_FLAT_FLOOR = frozenset({1, 3, 127})
WEIGHTS = {"A": 1.0, "B": 1.0, "D": 0.3}
_MAX_MEMBER = 256 << 20
_MAX_FPS = 1000
_WHOLE = re.compile(r"\s*[0-9]{1,9}\s*")
_NAME = re.compile(
    r"(?:^|/)(?P<tier>[ABD])/\d{3}/(?P<subject>\d{1,3})(?:_(?P<trial>\d{1,3}))?\.(?P<kind>asf|amc|bvh)$"
)

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a trial to keep, in frames of the file (without the T-pose that begins a BVH)."""

    start: int
    end: int
    description: str = ""


@dataclass(frozen=True)
class BuildReport:
    """What went into a corpus. `skipped`: (file, why) of every damaged file."""

    clips: int
    frames: int
    seconds: float
    cut: int
    skipped: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        text = f"{self.clips} clips, {self.frames} frames, {self.seconds / 60:.1f} minutes"
        text += f", {self.cut} cuts at jumps" if self.cut else ""
        return text + (f", {len(self.skipped)} files left out" if self.skipped else "")


@dataclass(frozen=True)
class _Member:
    name: str
    tier: str
    subject: int
    trial: int
    kind: str


def build_corpus(
    raw: Path,
    out: Path,
    clips_csv: Path | None = None,
    index_csv: Path | None = None,
    fps: float | None = None,
    progress: Progress | None = None,
    step_mm: float = 0.5,
) -> BuildReport:
    """Read the raw database (a folder or the .tar.xz), write the corpus to `out`.

    clips_csv: which segments to keep; index_csv: descriptions and frame rates. By default `clips.csv` and
    `cmu_index.csv` beside `raw` where they exist; without them whole trials are kept and jumps cut.
    fps: take frames away down to this rate (a divisor of the native one); None keeps the native rate.

    Raises InputError where nothing can be read, UsageError for a rate that does not divide the native ones.
    """
    if not raw.exists():
        raise InputError(f"{raw} does not exist; give the folder or archive of the raw CMU files")
    segments = _read_segments(_beside(raw, clips_csv, "clips.csv"))
    index = _read_index(_beside(raw, index_csv, "cmu_index.csv"))
    skeletons: dict[int, AsfSkeleton] = {}
    skipped: list[tuple[str, str]] = []
    total = 0
    for member, data in _members(raw, {"asf", "amc", "bvh"}, {"asf"}):
        total += member.kind != "asf"
        if data is not None:
            try:
                skeletons[member.subject] = read_asf(data, member.name)
            except InputError as error:
                skipped.append((member.name, str(error)))
    clips: list[Clip] = []
    done = cut = 0
    for member, data in _members(raw, {"amc", "bvh"}, {"amc", "bvh"}):
        assert data is not None
        if progress is not None:
            progress(done, total)
        done += 1
        wanted = None if segments is None else segments.get((member.subject, member.trial, member.tier), [])
        if wanted == []:
            continue
        description, native = index.get((member.subject, member.trial), ("", _native_fps(member.subject)))
        try:
            with np.errstate(all="ignore"):  # absurd numbers are told by the clips that come of them
                points = points_of(_read_body(member, data, skeletons))
                found, jumps = _clips(member, points, wanted, native, description)
            _check_reach(member, found, step_mm)
        except InputError as error:
            skipped.append((member.name, str(error)))
            continue
        clips += [_at_rate(clip, fps) for clip in found]
        cut += jumps
    if not clips:
        why = f": {skipped[0][1]}" if skipped else ""
        raise InputError(f"{raw} holds no motion that could be read (A/…/*.amc, B/…/*.bvh, D/…/*.bvh){why}")
    clips.sort(key=lambda clip: (clip.tier, clip.subject, clip.trial, clip.first_frame))
    write_corpus(out, clips, step_mm)
    if progress is not None:
        progress(total, total)
    frames = sum(len(clip) for clip in clips)
    return BuildReport(len(clips), frames, sum(len(c) / c.fps for c in clips), cut, tuple(skipped))


def _read_body(member: _Member, data: bytes, skeletons: dict[int, AsfSkeleton]) -> Body:
    skeleton = skeletons.get(member.subject)
    if member.kind == "amc":
        if skeleton is None:
            raise InputError(
                f"{member.name} has no skeleton: the .asf of subject {member.subject} is missing"
            )
        asf, posed = skeleton, skeleton.pose(read_amc(data, skeleton, member.name))
        return _named(member, lambda: body_from_asf(posed, (-asf.rest("ltibia"), -asf.rest("rtibia"))))
    bvh = read_bvh(data, member.name)
    if len(bvh.values) < 2:
        raise InputError(f"{member.name} holds no motion: only its T-pose")
    posed = replace(bvh, values=bvh.values[1:]).pose()
    if member.tier == "D":
        return _named(member, lambda: body_from_daz(posed))
    return _named(
        member, lambda: body_from_cmu_bvh(posed, skeleton.rest("thorax") if skeleton else guess_thorax(bvh))
    )


def _named(member: _Member, make: Callable[[], Body]) -> Body:
    try:
        return make()
    except KeyError as error:
        raise InputError(f"{member.name} is not a CMU skeleton: it has no bone {error}") from error


def _members(raw: Path, kinds: set[str], load: set[str]) -> Iterator[tuple[_Member, bytes | None]]:
    """Motion files of a folder or archive in stored order, with their bytes for the kinds in `load`."""
    if raw.is_dir():
        for path in sorted(raw.rglob("*")):
            member = _member(path.relative_to(raw).as_posix())
            if member is not None and member.kind in kinds and path.is_file():
                yield member, path.read_bytes() if member.kind in load else None
        return
    try:
        with tarfile.open(raw, "r|*") as archive:
            for entry in archive:
                member = _member(entry.name)
                if (
                    member is None
                    or member.kind not in kinds
                    or not entry.isfile()
                    or entry.size > _MAX_MEMBER
                ):
                    continue
                file = archive.extractfile(entry) if member.kind in load else None
                yield member, file.read() if file is not None else None
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{raw} is not a readable archive: {error}") from error


def _member(name: str) -> _Member | None:
    match = _NAME.search(name)
    if match is None or (match["kind"] == "asf") == (match["trial"] is not None):
        return None
    return _Member(name, match["tier"], int(match["subject"]), int(match["trial"] or 0), match["kind"])


def _clips(
    member: _Member, points: Array, wanted: list[Segment] | None, native: float, description: str
) -> tuple[list[Clip], int]:
    """Clips of a trial at its native rate, and how often it was cut at jumps."""
    clips: list[Clip] = []
    jumps = 0
    for segment in wanted or [Segment(0, len(points))]:
        pieces = _cut_jumps(points[segment.start : segment.end], native)
        jumps += len(pieces) - 1
        for first, piece in pieces:
            if len(piece) >= MIN_SECONDS * native:
                text, first = segment.description or description, segment.start + first
                clips.append(_clip(member, piece, first, native, text))
    return clips, jumps


def _check_reach(member: _Member, clips: list[Clip], step_mm: float) -> None:
    """Raises InputError where `write_corpus` could not keep a clip."""
    reach = np.iinfo(np.int16).max * step_mm / 1000
    for clip in clips:
        if not (np.abs(clip.points) < reach).all():  # so asked, NaN is refused as well
            raise InputError(
                f"{member.name} is damaged: from frame {clip.first_frame} on, joints lie {reach:.3g} m or more "
                "from the middle, or nowhere"
            )


def _cut_jumps(points: Array, fps: float) -> list[tuple[int, Array]]:
    """Pieces between jumps, each with the frame it starts at."""
    speed = np.linalg.norm(np.diff(points[:, :17], axis=0), axis=-1).max(axis=-1, initial=0) * fps
    starts = [0, *(int(t) + 1 for t in np.flatnonzero(speed > MAX_SPEED))]
    return [(a, points[a:b]) for a, b in pairwise([*starts, len(points)])]


def _clip(member: _Member, points: Array, first_frame: int, fps: float, description: str) -> Clip:
    """A piece of a trial, lowered so that its feet touch y = 0, and brought near the origin."""
    flat_floor = member.subject not in NO_FLAT_FLOOR
    low = points[..., 1].min(axis=1)
    floor = (np.percentile(low, 5) if flat_floor else low.min()) - SOLE
    middle = points[:, 0].mean(axis=0)
    return Clip(
        points=(points - np.array([middle[0], floor, middle[2]])).astype(np.float32),
        fps=fps, subject=member.subject, trial=member.trial, tier=member.tier, first_frame=first_frame,
        description=description, flat_floor=flat_floor, weight=WEIGHTS[member.tier],
    )  # fmt: skip


def _at_rate(clip: Clip, fps: float | None) -> Clip:
    if fps is None or fps >= clip.fps:
        return clip
    step = clip.fps / fps
    if abs(step - round(step)) > 1e-6:
        raise UsageError(f"{fps:g} frames a second does not divide the native {clip.fps:g}; use 60, 30 or 20")
    return replace(clip, points=clip.points[:: round(step)], fps=fps)


def _beside(raw: Path, given: Path | None, name: str) -> Path | None:
    if given is not None:
        return given
    guess = raw.parent / name
    return guess if guess.is_file() else None


def _read_segments(path: Path | None) -> dict[tuple[int, int, str], list[Segment]] | None:
    if path is None:
        return None
    segments: dict[tuple[int, int, str], list[Segment]] = {}
    columns = ("subject", "trial", "tier", "native_start", "native_end", "description")
    for row in _rows(path, columns, whole={"subject", "trial", "native_start", "native_end"}):
        key = (int(row["subject"]), int(row["trial"]), row["tier"])
        segment = Segment(int(row["native_start"]), int(row["native_end"]), row["description"])
        segments.setdefault(key, []).append(segment)
    return segments


def _read_index(path: Path | None) -> dict[tuple[int, int], tuple[str, float]]:
    if path is None:
        return {}
    index = {}
    columns = ("Subject", "Trial #", "Motion Description", "framerate")
    for row in _rows(path, columns, whole={"Subject", "Trial #", "framerate"}):
        key = (int(row["Subject"]), int(row["Trial #"]))
        rate = int(row["framerate"])
        if not 1 <= rate <= _MAX_FPS:
            raise InputError(
                f"{path}: trial {key[1]} of subject {key[0]} has {rate} frames a second; give 1 to {_MAX_FPS}"
            )
        index[key] = (row["Motion Description"], _native_fps(key[0], float(rate)))
    return index


def _native_fps(subject: int, stated: float = 120.0) -> float:
    return 60.0 if subject in SLOW_SUBJECTS else stated


def _rows(path: Path, columns: tuple[str, ...], whole: set[str]) -> Iterator[dict[str, str]]:
    """Rows of a CSV file that has `columns`; those in `whole` must be whole numbers below 1e9."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            reader = csv.DictReader(file)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise InputError(f"{path} lacks the columns {', '.join(sorted(missing))}")
            for row in reader:
                values = {name: row[name] or "" for name in columns}  # None where a line is short
                if not all(_WHOLE.fullmatch(values[name]) for name in whole):
                    raise InputError(f"{path} line {reader.line_num} has a number that is not one")
                if any("\0" in value for value in values.values()):
                    raise InputError(
                        f"{path} line {reader.line_num} holds a character NUL, which no text has"
                    )
                yield values
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
