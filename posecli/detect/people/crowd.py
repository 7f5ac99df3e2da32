"""From a clip to the people in it: follow everybody, then say which stretches are one person."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posecli.detect.heatmaps import HeatmapRecord
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.people.choose import Presence
from posecli.detect.people.rows import Rows
from posecli.detect.people.sight import Eyes
from posecli.detect.people.track import Track
from posecli.detect.people.tracker import PeopleSettings, Tracker
from posecli.media.frames import Frame

_PROOF = (
    15  # frames that somebody found only in an enlarged part of the picture must be seen in: cars may look so
)
_BRIEF = 8  # frames; whoever is seen in fewer while others are there longer is taken for a mistake


class TrackSink(Protocol):
    """Takes heatmaps of several tracks as they are made."""

    def append(self, track: int, record: HeatmapRecord) -> None: ...

    def close_others(self, open: Iterable[int]) -> None:
        """Only tracks of these numbers will have more."""


@dataclass(frozen=True)
class Person:
    """Somebody in a clip: stretches that share no frame. presence: when, and how large."""

    tracks: tuple[Track, ...]
    presence: Presence


@dataclass(frozen=True)
class Crowd:
    """Everybody in a clip of T frames, who covers most of the pictures first: the place is the person's id.

    times_s: (T,). image_size: (width, height) pixels. shots: how many the clip has.
    """

    people: tuple[Person, ...]
    times_s: NDArray[np.float64]
    image_size: tuple[int, int]
    shots: int
    eyes: Eyes

    def keypoints(self, person: int, provenance: dict[str, Any] | None = None) -> Keypoints2D:
        """One person's keypoints over all frames."""
        rows = [track.rows for track in self.people[person].tracks]
        return Rows.keypoints(rows, self.eyes, self.times_s, self.image_size, provenance or {})


def follow_everybody(
    eyes: Eyes,
    frames: Iterable[Frame],
    image_size: tuple[int, int],
    settings: PeopleSettings | None = None,
    *,
    heatmaps: TrackSink | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Crowd:
    """Follow all people through `frames` (read once, one held at a time).

    image_size: (width, height) pixels. heatmaps: takes a record for every person in every frame. on_frame: called
    with the number of frames done. While only one person is in the picture, what is found of him is exactly what
    `posecli.detect.people.surest.follow_surest` finds.
    """
    tracker, times = Tracker(eyes, settings or PeopleSettings()), array("d")
    for number, frame in enumerate(frames):
        seen = tracker.step(number, frame.time_s, frame.image)
        if heatmaps is not None:
            for track, sight in seen:
                record = HeatmapRecord(eyes.format, number, sight.values, sight.to_image)
                heatmaps.append(track.number, record)
            heatmaps.close_others(track.number for track in tracker.open_tracks)
        times.append(frame.time_s)
        if on_frame is not None:
            on_frame(number + 1)
    found = [Person(tuple(tracks), _presence(tracks)) for tracks in joined(tracker.tracks, len(times))]
    found.sort(key=lambda person: (-person.presence.area, person.tracks[0].number))
    return Crowd(tuple(found), np.array(times, dtype=np.float64), image_size, tracker.shots, eyes)


def joined(tracks: Sequence[Track], length: int) -> list[list[Track]]:
    """Tracks grouped by person, in a clip of `length` frames.

    In a shot in which no two people are ever seen together, all tracks are one person's: one who was lost for long or
    left the picture and came back. Where there are several, a track is a person (the tracker has found again whom it
    could), and very brief ones are left out.
    """
    tracks = [track for track in tracks if track.plain or len(track.rows) >= min(_PROOF, length)]
    people: list[list[Track]] = []
    brief = min(_BRIEF, max(1, length // 4))
    for shot in sorted({track.shot for track in tracks}):
        every = [track for track in tracks if track.shot == shot]
        lasting = [track for track in every if len(track.rows) >= brief]
        if not lasting:
            people += [every] if _apart_in_time(every) else [[track] for track in every]
        elif _apart_in_time(lasting):
            alone = list(lasting)
            for track in every:
                if len(track.rows) < brief and _apart_in_time([*alone, track]):
                    alone.append(track)
            people.append(sorted(alone, key=lambda track: track.number))
        else:
            people += [[track] for track in lasting]
    return people


def _apart_in_time(tracks: Sequence[Track]) -> bool:
    frames = np.concatenate([track.rows.frames for track in tracks])
    return len(np.unique(frames)) == len(frames)


def _presence(tracks: Sequence[Track]) -> Presence:
    frames = np.sort(np.concatenate([track.rows.frames for track in tracks]))
    y = np.concatenate([track.rows.values()[..., 1] for track in tracks])  # (N, J)
    height = float(np.median(np.nanmax(y, axis=1) - np.nanmin(y, axis=1)))
    return Presence(frames, sum(track.area for track in tracks), height)
