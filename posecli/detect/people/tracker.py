"""Everybody in the picture, followed from frame to frame.

Each person is looked at where he was in the frame before. Where people come close, sights and people are matched
anew (the assignment with the least sum of distances between the joints seen and the joints expected), and of two
who have come to lie on the same person, the one who got there against his own motion is lost. Whoever is lost is
looked for in the whole picture, and is himself again if found near where his motion led. Newcomers are looked for
only now and then, one part of the picture at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from posecli.detect.people.shots import ShotCuts
from posecli.detect.people.sight import Eyes, Image, Sight
from posecli.detect.people.track import Track, apart, explains
from posecli.detect.roi import Roi
from posecli.errors import UsageError

_SAME = 0.2  # poses that differ by less, in body radii, are of one person
_NEAR = 1.5  # people whose middles are closer, in body radii, may be mistaken for each other
_OWN = 0.1  # what a sight in somebody's own crop may fit worse than another and still be his
_FOUND_AGAIN = (
    0.5,
    1.5,
)  # misfit, in body radii and in body radii per second of absence, of somebody found again


@dataclass(frozen=True)
class PeopleSettings:
    """How hard people are looked for.

    search_every: frames from one look for newcomers to the next; each is at the whole picture or at one part of it.
    At the start of a shot all of them are looked at. urgent_s: so long after losing somebody the whole picture is
    searched in every frame. memory_s: so long somebody lost may be found again as the same person. most: people
    followed at a time.
    """

    search_every: int = 8
    urgent_s: float = 0.5
    memory_s: float = 2.0
    most: int = 8

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= (1 if name in ("search_every", "most") else 0)):
                raise UsageError(f"{name} of people makes no sense: {value}")


class Tracker:
    """Call `step` with every frame in order; `tracks` are all there have been."""

    def __init__(self, eyes: Eyes, settings: PeopleSettings) -> None:
        self._eyes, self._settings = eyes, settings
        self._cuts = ShotCuts()
        self.tracks: list[Track] = []
        self._active: list[Track] = []
        self._lost: list[Track] = []
        self._shot = 0
        self._turn = 0

    @property
    def shots(self) -> int:
        """How many there have been."""
        return self._shot + 1

    @property
    def open_tracks(self) -> list[Track]:
        """Tracks that may go on."""
        return self._active + self._lost

    def step(self, number: int, time_s: float, image: Image) -> list[tuple[Track, Sight]]:
        """One frame (H, W, 3) BGR → who is seen in it."""
        new_shot = number == 0
        if self._cuts(image):
            self._active, self._lost, self._shot, new_shot = [], [], self._shot + 1, True
        seen = self._followed(image, time_s)
        gone = [track for track in self._active if all(track is not t for t, _ in seen)]
        for track in gone:
            track.aim = None
        self._lost = [t for t in self._lost if time_s - t.last.time_s <= self._settings.memory_s] + gone
        found: list[Sight] = []
        in_parts: list[Sight] = []
        for view in self._views(image, number, time_s, new_shot, nobody=not seen):
            new = self._newcomers(image, view, [s for _, s in seen] + found)
            found += new
            in_parts += new if view is not None else []
        seen += self._named(found, in_parts, time_s)
        for track, sight in seen:
            track.follow(number, time_s, sight)
        self._active = [track for track, _ in seen]
        return seen

    def _followed(self, image: Image, time_s: float) -> list[tuple[Track, Sight]]:
        """Everybody active who is seen again, each with his sight."""
        looks = [
            (track, self._eyes.look(image, track.aim, first=False))
            for track in self._active
            if track.aim is not None
        ]
        seen = [(track, sight) for track, sight in looks if sight is not None]
        return seen if not _close(seen) else _matched(seen, time_s)

    def _views(
        self, image: Image, number: int, time_s: float, new_shot: bool, *, nobody: bool
    ) -> Iterator[Roi | None]:
        """Parts of the picture to look for people in; None is all of it."""
        parts = parts_of(image.shape[1], image.shape[0])
        if new_shot:
            yield from (None, *parts)
            return
        urgent = any(time_s - t.last.time_s <= self._settings.urgent_s for t in self._lost)
        if nobody or urgent:
            yield None
        if number % self._settings.search_every == 0:
            views = [*parts] if nobody or urgent else [None, *parts]
            self._turn += 1
            yield views[self._turn % len(views)]

    def _newcomers(self, image: Image, view: Roi | None, there: list[Sight]) -> list[Sight]:
        """People in a part of the picture who are not among those seen."""
        found: list[Sight] = []
        for spot in self._eyes.find(image, view):
            if len(there) + len(found) >= self._settings.most:
                break
            if any(explains(sight, spot) for sight in there + found):
                continue
            sight = self._eyes.look(image, spot.aim, first=True)
            if sight is not None and not any(_same(sight, other) for other in there + found):
                found.append(sight)
        return found

    def _named(self, found: list[Sight], in_parts: list[Sight], time_s: float) -> list[tuple[Track, Sight]]:
        """Who they are: somebody lost, if that fits, or somebody new."""
        named: list[tuple[Track, Sight]] = []
        if found and self._lost:
            cost = np.array([[self._strangeness(t, s, time_s) for s in found] for t in self._lost])
            pairs = zip(*linear_sum_assignment(np.minimum(cost, 10.0)), strict=True)
            named = [(self._lost[i], found[j]) for i, j in pairs if cost[i, j] < 1.0]
        taken = {id(sight) for _, sight in named}
        for sight in found:
            if id(sight) not in taken:
                track = Track(len(self.tracks), self._shot, self._eyes)
                track.plain = all(sight is not other for other in in_parts)
                self.tracks.append(track)
                named.append((track, sight))
        for track, _ in named:
            track.start()
        self._lost = [t for t in self._lost if all(t is not track for track, _ in named)]
        return named

    def _strangeness(self, track: Track, sight: Sight, time_s: float) -> float:
        """At least 1 where a sight cannot be the person lost."""
        small, large = sorted((track.last.radius, sight.radius))
        if large > 1.8 * small:
            return math.inf
        base, per_second = _FOUND_AGAIN
        return track.misfit(sight, time_s) / (base + per_second * (time_s - track.last.time_s))


def parts_of(width: int, height: int) -> list[Roi]:
    """Overlapping upright squares, 0.6 of the picture's longer side, which cover it: two or four, as a rule."""
    side = 0.6 * max(width, height)

    def centres(length: int) -> list[float]:
        if length <= side:
            return [length / 2]
        count = 1 + math.ceil((length - side) / (0.7 * side))
        return [float(c) for c in np.linspace(side / 2, length - side / 2, count)]

    return [Roi(x, y, side) for y in centres(height) for x in centres(width)]


def _same(a: Sight, b: Sight) -> bool:
    return apart(a.xy, b.xy, (a.radius + b.radius) / 2) < _SAME


def _close(seen: list[tuple[Track, Sight]]) -> bool:
    """Whether any two are so near that they might be mistaken for each other."""
    for k, (_, a) in enumerate(seen):
        for _, b in seen[:k]:
            if np.hypot(*(a.circle[0] - b.circle[0])) < _NEAR * max(a.radius, b.radius):
                return True
    return False


def _matched(seen: list[tuple[Track, Sight]], time_s: float) -> list[tuple[Track, Sight]]:
    """Sights and people matched anew; whoever is left without a sight of his own is not among them."""
    tracks, sights = [t for t, _ in seen], [s for _, s in seen]
    groups: list[list[int]] = []
    for k, sight in enumerate(sights):
        for group in groups:
            if any(_same(sight, sights[other]) for other in group):
                group.append(k)
                break
        else:
            groups.append([k])
    own = [[k if k in group else group[0] for group in groups] for k in range(len(tracks))]
    cost = np.array(
        [
            [track.misfit(sights[own[k][g]], time_s) - _OWN * (k in group) for g, group in enumerate(groups)]
            for k, track in enumerate(tracks)
        ]
    )
    rows, columns = linear_sum_assignment(np.minimum(cost, 10.0))
    return [(tracks[k], sights[own[k][g]]) for k, g in zip(rows, columns, strict=True)]
