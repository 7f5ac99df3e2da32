"""What every reader of pictures hands on: frames with their own times, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One picture.

    image: (H, W, 3) uint8, BGR, upright (rotation applied) with square pixels.
    time_s: seconds, from the container's timestamp, 0 at the start of the presentation.
    index: how many frames of the source were decoded before this one.
    """

    image: NDArray[np.uint8]
    time_s: float
    index: int


@dataclass(frozen=True)
class MediaInfo:
    """What is known before the first frame is decoded; counts and durations are hints, never promises."""

    path: Path
    width: int  # as shown: after rotation and with square pixels
    height: int
    codec: str
    frame_rate: float | None  # average, Hz
    duration_s: float | None
    frame_count_hint: int | None  # from header or duration; wrong in many files


@dataclass
class Report:
    """What went wrong while reading, in words for the user; complete once the iterator has ended."""

    warnings: list[str] = field(default_factory=list)


class Frames(Protocol):
    """A stream of frames: iterate once, then read `report`. Never holds more than a few pictures."""

    info: MediaInfo
    report: Report

    def __iter__(self) -> Iterator[Frame]: ...
