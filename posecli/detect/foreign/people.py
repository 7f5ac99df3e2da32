"""Who is who from frame to frame, and whom to lift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from posecli.detect.foreign.clip import ForeignClip, Sighting
from posecli.detect.people.choose import Presence

_FORGET = 30
"""Frames after which somebody not seen any more is not looked for."""
_FARTHEST = 0.6
"""How far joints may move between two sightings, relative to the longer side of the person's box."""


@dataclass
class Person:
    """One person through a clip."""

    name: str | None
    frames: dict[int, Sighting]

    @cached_property
    def presence(self) -> Presence:
        extents = np.array([_extent(s.xy) for s in self.frames.values()])  # (N, 2)
        area = float(sum(np.prod(extent) for extent in extents))
        return Presence(np.array(sorted(self.frames)), area, float(np.median(extents[:, 1])))


def people(clip: ForeignClip) -> list[Person]:
    """Everybody in the clip, who covers most first: by the file's own numbers, else followed by position."""
    sightings = [s for seen in clip.frames.values() for s in seen]
    named = bool(sightings) and all(s.person is not None for s in sightings)
    if named:
        found: dict[str | None, Person] = {}
        for frame, seen in sorted(clip.frames.items()):
            for s in seen:
                found.setdefault(s.person, Person(s.person, {})).frames.setdefault(frame, s)
        return sorted(found.values(), key=lambda p: -p.presence.area)
    if all(len(seen) <= 1 for seen in clip.frames.values()):
        alone = {frame: seen[0] for frame, seen in sorted(clip.frames.items()) if seen}
        return [Person(None, alone)] if alone else []
    return sorted(_followed(clip), key=lambda p: -p.presence.area)


def _followed(clip: ForeignClip) -> list[Person]:
    """Frame by frame, the assignment with the smallest distance in all; whoever fits nobody is new."""
    finished: list[Person] = []
    active: list[tuple[int, Person]] = []  # frame of the last sighting, person
    for frame, seen in sorted(clip.frames.items()):
        finished += [p for last, p in active if frame - last > _FORGET]
        active = [(last, p) for last, p in active if frame - last <= _FORGET]
        cost = np.array([[_distance(p.frames[last], s) for s in seen] for last, p in active])
        taken: set[int] = set()
        if cost.size:
            for row, column in zip(*linear_sum_assignment(np.minimum(cost, 10.0)), strict=True):
                if cost[row, column] < _FARTHEST:
                    person = active[row][1]
                    person.frames[frame] = seen[column]
                    active[row] = (frame, person)
                    taken.add(int(column))
        active += [(frame, Person(None, {frame: s})) for k, s in enumerate(seen) if k not in taken]
    return finished + [p for _, p in active]


def _distance(a: Sighting, b: Sighting) -> float:
    """Mean distance of the joints seen in both, relative to the larger box; infinite without any."""
    apart = np.linalg.norm(a.xy - b.xy, axis=1)
    both = np.isfinite(apart)
    if not both.any():
        return float("inf")
    size = max(float(_extent(a.xy).max()), float(_extent(b.xy).max()), 1.0)
    return float(apart[both].mean()) / size


def _extent(xy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Width and height (2,) of what is seen of a person (at least one joint is)."""
    return (np.nanmax(xy, axis=0) - np.nanmin(xy, axis=0)).astype(np.float64)
