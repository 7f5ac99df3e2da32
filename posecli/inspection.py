"""Who is in a video: a list of people with times and sizes, and a sheet of small pictures of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posecli import defaults
from posecli.clip import Clip
from posecli.detect.backends import DetectorOptions
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.people.crowd import Crowd
from posecli.errors import OutputError
from posecli.files import atomic_write
from posecli.media.draw import DARK, FAINT, MIDDLE, draw_keypoints, text
from posecli.reporting import Advance, Reporter, Silent
from posecli.seeing import Ledger, SeeConfig, Seeing
from posecli.walk import folder_for_results

Image = NDArray[np.uint8]

SHEET_SUFFIX = ".people.png"
_CELL = 180, 240  # width and height of a small picture, pixels
_LABEL = 190  # width of what stands before a row
_GAP = 6
_COLUMNS = 6
_MOST_ROWS = 24


@dataclass(frozen=True)
class Inspected:
    """One person: first and last sighting in seconds, in how many frames, median height of the joints in pixels."""

    start_s: float
    end_s: float
    frames_seen: int
    height: float


@dataclass(frozen=True)
class Inspection:
    """What `inspect_video` found. people: by number, as `--person` takes it. frames: of the clip."""

    people: tuple[Inspected, ...]
    frames: int
    shots: int
    image_size: tuple[int, int]
    sheet: Path
    seconds: dict[str, float]
    warnings: list[str]


def inspect_video(
    path: str | Path,
    *,
    out: str | Path = defaults.OUT,
    overwrite: bool = False,
    detector: str = defaults.DETECTOR,
    detector_options: DetectorOptions | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> Inspection:
    """Find everybody in a video and draw `<stem>.people.png` into `out`: a row for each person.

    Raises NobodyError, InputError, UsageError, and OutputError where the sheet is there already, unless `overwrite`.
    """
    clip = Clip(Path(path), start, end, fps)
    sheet = Path(out) / f"{clip.stem}{SHEET_SUFFIX}"
    if sheet.exists() and not overwrite:
        raise OutputError(f"{sheet} exists; use --overwrite, or another folder with --out")
    ledger = Ledger(reporter or Silent())
    config = SeeConfig(detector, detector_options or DetectorOptions(), offline=offline)
    with folder_for_results(sheet.parent):
        crowd = Seeing(clip, config, ledger).follow(clip.open())
        with ledger.timed("draw", len(crowd.times_s), "frames") as advance:
            encoded = cv2.imencode(".png", _sheet(crowd, clip, advance))[1].tobytes()
        with atomic_write(sheet) as part:
            part.write_bytes(encoded)
    people = tuple(
        Inspected(
            float(crowd.times_s[p.presence.frames[0]]),
            float(crowd.times_s[p.presence.frames[-1]]),
            len(p.presence.frames),
            p.presence.height,
        )
        for p in crowd.people
    )
    return Inspection(
        people, len(crowd.times_s), crowd.shots, crowd.image_size, sheet, ledger.seconds, ledger.warnings
    )


def _sheet(crowd: Crowd, clip: Clip, advance: Advance) -> Image:
    """(H, W, 3) BGR; the video is read once more for it."""
    people = crowd.people[:_MOST_ROWS]
    keypoints = [crowd.keypoints(k) for k in range(len(people))]
    wanted: dict[int, list[tuple[int, int]]] = {}  # frame → (person, column)
    for number, person in enumerate(people):
        frames = person.presence.frames
        for column, place in enumerate(
            np.unique(np.linspace(0, len(frames) - 1, _COLUMNS).round().astype(int))
        ):
            wanted.setdefault(int(frames[place]), []).append((number, column))
    width, height = _CELL
    picture = np.full(
        ((height + _GAP) * len(people) + _GAP, _LABEL + (width + _GAP) * _COLUMNS + _GAP, 3), DARK, np.uint8
    )
    last = max(wanted)
    for row, frame in enumerate(clip.open()):
        for number, column in wanted.get(row, ()):
            top, left = _GAP + number * (height + _GAP), _LABEL + _GAP + column * (width + _GAP)
            cell = _cell(frame.image, keypoints[number], row)
            text(cell, f"{frame.time_s:.2f} s", (6, height - 8), 11, MIDDLE)
            picture[top : top + height, left : left + width] = cell
        advance(row + 1)
        if row == last:
            break
    for number, person in enumerate(people):
        top = _GAP + number * (height + _GAP)
        share = len(person.presence.frames) / len(crowd.times_s)
        text(picture, str(number), (16, top + 70), 44, MIDDLE)
        first, final = (crowd.times_s[person.presence.frames[k]] for k in (0, -1))
        for line, words in enumerate(
            (
                f"{first:.2f} to {final:.2f} s",
                f"{share:.0%} of frames",
                f"{person.presence.height:.0f} px tall",
            )
        ):
            text(picture, words, (16, top + 110 + 26 * line), 12, FAINT)
    return picture


def _cell(image: Image, keypoints: Keypoints2D, row: int) -> Image:
    """The person in a small picture, with the joints drawn over."""
    width, height = _CELL
    xy = keypoints.xy[row]
    low, high = np.nanmin(xy, axis=0), np.nanmax(xy, axis=0)
    scale = 0.8 * min(width / max(high[0] - low[0], 8.0), height / max(high[1] - low[1], 8.0))
    shift = np.array([width, height]) / 2 - scale * (low + high) / 2
    affine = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    cell = cv2.warpAffine(image, affine, _CELL, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    draw_keypoints(cell, xy * scale + shift, keypoints.scores[row], keypoints.skeleton)
    return np.asarray(cell, np.uint8)
