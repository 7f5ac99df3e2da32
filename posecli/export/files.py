"""A motion file → the other formats, at any time after it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posecli.detect.provenance import source_identity
from posecli.errors import InputError, NobodyError, OutputError, UsageError
from posecli.export import EXPORTERS
from posecli.export.npz import load_npz
from posecli.export.video import save_video
from posecli.media import open_media
from posecli.media.frames import Frames
from posecli.motion import Motion
from posecli.reporting import Reporter, Silent


@dataclass(frozen=True)
class Exported:
    """files: what was written. notes: exporter → what it has to say."""

    motion: Motion
    files: list[Path] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


def export_file(
    path: Path,
    kinds: Sequence[str],
    *,
    out: Path | None = None,
    video: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Exported:
    """Write the motion in `path` (our NPZ) as `<stem>.<kind>` for each of `kinds`, names in `EXPORTERS`.

    out: folder, that of `path` if not given. video: what to draw on for "mp4"; without it the one that the file names,
    where it lies beside it, one folder up or in the current folder. Everything that can be wrong is looked at before
    anything is written; every file appears whole or not at all. Raises PosecliError.
    """
    say, folder = reporter or Silent(), path.parent if out is None else out
    if not kinds:
        raise UsageError(f"nothing to export; one or more of: {', '.join(EXPORTERS)}")
    if unknown := [kind for kind in kinds if kind not in EXPORTERS]:
        raise UsageError(f"unknown export {unknown[0]!r}; one or more of: {', '.join(EXPORTERS)}")
    if path.is_dir() or not path.name:
        raise InputError(f"{path} is a folder; name the motion file")
    motion = load_npz(path)
    if not motion.valid.any() and kinds != ["npz"]:
        raise NobodyError(f"no frame of {path} has a pose; there is nothing to write as {', '.join(kinds)}")
    targets = {kind: folder / f"{path.stem}.{kind}" for kind in kinds}
    for target in targets.values():
        if target.exists() and target.samefile(path):
            raise OutputError(f"{target} is the input itself; choose another folder with --out")
        if target.exists() and not overwrite:
            raise OutputError(f"{target} exists; use --overwrite, or another folder with --out")
    frames = source_frames(motion, path, video) if "mp4" in kinds else None
    if frames is not None and video is not None and not _same_source(motion, video):
        say.warn(f"{video} is not the file that {path.name} was made from, as its size and content have it")
    made = Exported(motion)
    folder.mkdir(parents=True, exist_ok=True)
    for kind, target in sorted(targets.items(), key=lambda item: item[0] == "npz"):  # first what can fail
        with say.stage(kind, len(motion), "frames") as advance:
            if kind == "mp4" and frames is not None:
                save_video(motion, frames, target, progress=advance)
            else:
                said = EXPORTERS[kind](motion, target)
                if kind == "bvh":
                    made.notes[kind] = str(said)
        made.files.append(target)
    return made


def source_frames(motion: Motion, path: Path, video: Path | None = None) -> Frames:
    """The pictures of the motion read from `path`, opened at the stretch that it was made from. video: see
    `export_file`. Raises InputError where they are not found."""
    detection = motion.settings.get("detection")
    made: dict[str, Any] = detection if isinstance(detection, dict) else {}
    source = made["source"] if isinstance(made.get("source"), dict) else {}
    start, end, fps = (
        _number(value) for value in (made.get("start_s"), made.get("end_s"), source.get("fps"))
    )
    opening = {"start": start, "end": end, **({} if fps is None else {"fps": fps})}
    if video is not None:
        return open_media(video, **opening)
    name = Path(str(source.get("name", ""))).name
    for folder in (path.parent, path.parent.parent, Path()):
        place = folder / name
        if name not in ("", "..") and _is_there(place) and _same_source(motion, place):
            return open_media(place, **opening)
    where = f"{name} is not beside {path.name} nor in this folder" if name else f"{path.name} names no video"
    raise InputError(f"no mp4 can be made: {where}; name the video with --video")


def _same_source(motion: Motion, place: Path) -> bool:
    """Whether this is what the motion says that it was made from; yes where it says nothing."""
    detection = motion.settings.get("detection")
    source = detection.get("source") if isinstance(detection, dict) else None
    if not isinstance(source, dict):
        return True
    return all(source.get(key) == value for key, value in source_identity(place).items() if key != "name")


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # no name of a file, or a folder that may not be looked into
        return False


def _number(value: object) -> float | None:
    """A setting of a file from outside."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9:  # nor NaN
        return float(value)
    return None
