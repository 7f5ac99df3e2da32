"""What every reader of another tool's file hands on: people in numbered frames, on one skeleton."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.errors import InputError
from posecli.skeleton import Skeleton

MOST_BYTES = 512 << 20
MOST_FRAMES = 500_000  # four and a half hours at 30 frames/s
MOST_PEOPLE = 500  # in one frame
_FARTHEST = 1e6  # pixels; whatever lies beyond was never a position in a picture


@dataclass(frozen=True)
class Sighting:
    """One person in one frame.

    xy: (J, 2) float32 pixels, NaN where not seen. scores: (J,) float32 in [0, 1], 0 where not seen.
    person: the tool's own number or name for whom it followed, where it did.
    """

    xy: NDArray[np.float32]
    scores: NDArray[np.float32]
    person: str | None = None


@dataclass
class ForeignClip:
    """The content of one file.

    frames: frame number → everybody seen in it. A frame looked at without finding anybody has an empty list.
    counts_from: number of the first frame of the source, 0 or 1; None where the format leaves it open.
    times_s: frame number → seconds, where the file tells. size: (width, height) and fps likewise.
    """

    format: str
    skeleton: Skeleton
    frames: dict[int, list[Sighting]] = field(default_factory=dict)
    counts_from: int | None = 0
    times_s: dict[int, float] | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None


def sighting(points: Any, scores: Any, joints: int, where: str, person: Any = None) -> Sighting:
    """Numbers from outside → a Sighting of the first `joints` joints.

    points: (≥ J, 2) or flat; scores: (≥ J,), or None where the tool gives none (then 1).
    Not seen are joints that are not finite, lie at (0, 0) or have a score of 0 or less: all tools write them so.
    Raises InputError that begins with `where` for anything that is not such numbers.
    """
    flat = numbers(points, where).reshape(-1)
    if len(flat) < 2 * joints:
        raise InputError(f"{where}: {len(flat) // 2} joints where {joints} were expected")
    xy = flat[: 2 * joints].reshape(joints, 2)
    sure = np.ones(joints) if scores is None else numbers(scores, where).reshape(-1)
    if len(sure) < joints:
        raise InputError(f"{where}: {len(sure)} scores for {joints} joints")
    sure = sure[:joints]
    seen = np.isfinite(xy).all(axis=1) & (np.abs(xy) < _FARTHEST).all(axis=1) & (xy != 0).any(axis=1)
    seen &= np.nan_to_num(sure) > 0  # what is not a number is no score
    return Sighting(
        np.where(seen[:, None], xy, np.nan).astype(np.float32),
        np.where(seen, np.clip(sure, 0.0, 1.0), 0.0).astype(np.float32),
        None if person is None else str(person)[:40],
    )


def triples(flat: Any, joints: int, where: str, person: Any = None) -> Sighting:
    """x, y, score one after the other, or a row of three for each joint → a Sighting."""
    values = numbers(flat, where).reshape(-1)
    if len(values) % 3:
        raise InputError(f"{where}: {len(values)} numbers are not x, y and score of every joint")
    table = values.reshape(-1, 3)
    return sighting(table[:, :2], table[:, 2], joints, where, person)


def numbers(value: Any, where: str) -> NDArray[np.float64]:
    """Nested lists of numbers (null stands for "not a number") as an array; InputError for anything else."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: its keypoints are not a plain table of numbers") from None
    if array.size > 4096:
        raise InputError(f"{where}: {array.size} numbers for one person are more than any tool writes")
    return array


def add(clip: ForeignClip, frame: int, people: Iterable[Sighting], path: Path) -> None:
    """Put people into a frame, but for those without any joint; InputError where that is more than can be."""
    if not 0 <= frame < 1 << 31:
        raise InputError(f"{path}: there can be no frame {frame}")
    there = clip.frames.setdefault(frame, [])
    there.extend(p for p in people if p.scores.any())
    if len(there) > MOST_PEOPLE:
        raise InputError(f"{path}: more than {MOST_PEOPLE} people in frame {frame}")
    if len(clip.frames) > MOST_FRAMES:
        raise InputError(f"{path}: more than {MOST_FRAMES} frames; cut it into pieces")


def read_bytes(path: Path) -> bytes:
    """The content of a file of at most `MOST_BYTES`; raises InputError where it cannot be had."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES >> 20} MiB; cut it into pieces")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error})") from None


def only_known(count: int, known: dict[int, Skeleton], where: str | Path) -> Skeleton:
    """The skeleton that has so many joints in this format; InputError where there is none."""
    if count not in known:
        counts = ", ".join(map(str, known))
        raise InputError(f"{where}: joint sets of {counts} joints are known, this one has {count}")
    return known[count]


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names in a line, cut where they are many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
