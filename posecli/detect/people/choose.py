"""Whom to lift, of several people: by size, by time, or by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.errors import UsageError

LARGEST, ALL = "largest", "all"
CHOICES = {
    LARGEST: "the one who is largest over the clip",
    "longest": "the one seen in most frames",
    "first": "the one seen first",
    ALL: "everybody",
}


@dataclass(frozen=True)
class Presence:
    """When and how large somebody is in a clip.

    frames: (N,) numbers of the frames in which the person is seen, increasing. area: sum over them of the area of the
    joints' box, square pixels. height: median height of that box, pixels.
    """

    frames: NDArray[np.int64]
    area: float
    height: float


def check_choice(asked: str) -> None:
    """Raises UsageError for anything but a name in `CHOICES` or a number."""
    if asked not in CHOICES and not asked.isdecimal():
        raise UsageError(
            f"--person takes {', '.join(CHOICES)} or a number that `posecli inspect` lists, not {asked!r}"
        )


def chosen(asked: str, people: Sequence[Presence]) -> list[int]:
    """Places in `people` (at least one, who covers most first) of whom is asked for; ties go to who covers more.

    Raises UsageError for a number that nobody has.
    """
    check_choice(asked)
    places = range(len(people))
    if asked == ALL:
        return list(places)
    if asked == LARGEST:
        return [max(places, key=lambda k: people[k].area)]
    if asked == "longest":
        return [max(places, key=lambda k: len(people[k].frames))]
    if asked == "first":
        return [min(places, key=lambda k: int(people[k].frames[0]))]
    number = int(asked) if len(asked) < 10 else len(people)
    if number >= len(people):
        there = (
            "is one person, 0" if len(people) == 1 else f"are {len(people)} people, 0 to {len(people) - 1}"
        )
        raise UsageError(f"there is no person {asked}: there {there}; `posecli inspect` lists them")
    return [number]


def record(asked: str, place: int, people: Sequence[Presence], of_frames: int) -> dict[str, Any]:
    """What a detections file says of its person: what was asked for, the number (`id`), of how many people (`count`),
    seen in how many of how many frames."""
    return {
        "asked": asked,
        "id": place,
        "count": len(people),
        "frames_seen": len(people[place].frames),
        "of_frames": of_frames,
    }


def answers(record: Any, asked: str) -> bool:
    """Whether the person of a detections file is the one asked for. Files without such a record hold the only one
    there was, which is whom any word asks for."""
    if not isinstance(record, dict):
        return asked in (LARGEST, "longest", "first", "0")
    return asked == record.get("asked") or asked == str(record.get("id"))


def described(record: dict[str, Any]) -> str:
    """For a summary: of how many people, and who this one is."""
    name = record.get("name")
    who = f" ({name!r} in the file)" if name is not None else ""
    seen = f"in {record['frames_seen']} of {record['of_frames']} frames"
    if record["count"] == 1:
        return f"1{who}, {seen}"
    why = CHOICES.get(record["asked"]) if record["asked"] != ALL else None
    return f"{record['count']}; this is {record['id']}{who}{f', {why}' if why else ''}, {seen}"
