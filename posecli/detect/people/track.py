"""One stretch of following one person, and how well a sight fits to it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.detect.people.rows import Rows
from posecli.detect.people.sight import Eyes, Sight, Spot

_LOOK_BACK_S = 0.3  # motion is judged against what was so long ago
_COAST_S = 0.5  # nobody is expected to go on in a straight line for longer


@dataclass(frozen=True)
class _Past:
    time_s: float
    frame: int
    xy: NDArray[np.float32]
    radius: float


class Track:
    """Frames of one person without a break that needs explaining; `aim` is None while lost. `plain`: found in the
    whole picture, not only in an enlarged part of it."""

    def __init__(self, number: int, shot: int, eyes: Eyes) -> None:
        self.number, self.shot = number, shot
        self.rows = Rows(eyes)
        self.plain = True
        self.area = 0.0  # sum over the frames of the area of the joints' box, square pixels
        self.aim: Any | None = None
        self._eyes = eyes
        self._past: deque[_Past] = deque()

    @property
    def last(self) -> _Past:
        return self._past[-1]

    def start(self) -> None:
        """Found, or found again: the way so far says nothing about where to look."""
        self._aimer = self._eyes.aimer()

    def follow(self, frame: int, time_s: float, sight: Sight) -> None:
        """Take a sight as this person's."""
        self.aim = self._aimer(sight)
        self.rows.append(frame, sight)
        self.area += float(np.prod(np.nanmax(sight.xy, axis=0) - np.nanmin(sight.xy, axis=0)))
        self._past.append(_Past(time_s, frame, sight.xy, sight.radius))
        while len(self._past) > 2 and self._past[1].time_s < time_s - _LOOK_BACK_S:
            self._past.popleft()

    def expected(self, time_s: float) -> NDArray[np.float32]:
        """Joints (J, 2) where the motion of a while ago leads to, or up to now if it has been watched too briefly."""
        old, new = self._past[0], self._past[-1]
        if new.time_s - old.time_s < 0.05:
            return new.xy
        speed = np.nanmean(new.xy - old.xy, axis=0) / (new.time_s - old.time_s)
        return np.asarray(new.xy + speed * min(time_s - new.time_s, _COAST_S), np.float32)

    def misfit(self, sight: Sight, time_s: float) -> float:
        """Distance of a sight's joints from those expected, in body radii."""
        return apart(self.expected(time_s), sight.xy, max(self.last.radius, sight.radius))


def apart(a: NDArray[np.float32], b: NDArray[np.float32], radius: float) -> float:
    """Mean distance of the joints of two poses (J, 2) in body radii."""
    distance = np.linalg.norm(a - b, axis=1)
    return float(np.nanmean(distance)) / max(radius, 1.0) if np.isfinite(distance).any() else np.inf


def explains(sight: Sight, spot: Spot) -> bool:
    """Whether a spot is no more than the person already seen."""
    x, y = sight.circle[0]
    small, large = sorted((sight.radius, spot.radius))
    return bool(np.hypot(x - spot.x, y - spot.y) < 0.35 * small and large < 1.7 * small)
