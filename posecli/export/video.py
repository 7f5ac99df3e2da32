"""Motion → mp4: the source with the 2D skeleton, beside the 3D skeleton on a floor.

Two pictures side by side, as high as the source but 480 to 720 pixels; the source is shrunk to fit (at most
1280 wide), the 3D view is a square. Its camera stands where the source's camera stood, a little to the right
and above, and travels with the person; the floor's grid shows the travelling. Nothing is levelled, see
`posecli.export.world`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from posecli.errors import InputError
from posecli.export.world import y_up_points
from posecli.media.draw import FAINT, LEFT, RIGHT, Stage, View, disc, draw_keypoints, text, text_width
from posecli.media.frames import Frame, Frames
from posecli.media.write import VideoWriter
from posecli.motion import Motion
from posecli.reporting import Advance

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

HEIGHTS = (480, 720)
MAX_WIDTH = 1280
_SAME_TIME_S = 1e-4
_FOLLOW_S = 0.6  # how smoothly the camera travels: standard deviation of its Gaussian


def save_video(motion: Motion, frames: Frames, path: Path | str, progress: Advance | None = None) -> int:
    """Write the side-by-side video, H.264 at the source's own times; return the number of pictures.

    frames: the source that `motion` was lifted from, freshly opened; pictures before its first or after its
        last row are skipped. Rows and pictures are matched by their times.
    progress: called with the number of pictures done.
    Raises InputError where no picture belongs to the motion, OutputError where `path` cannot be written.
    """
    source = (frames.info.width, frames.info.height)
    panel, height = layout(*source)
    scene = _Scene(motion, height)
    canvas = np.empty((height, panel[0] + height, 3), np.uint8)
    done = 0
    with VideoWriter(path, (panel[0] + height, height)) as video:
        for frame, row in _matched(motion, frames):
            canvas[:, : panel[0]] = _source_panel(frame.image, motion, row, panel, height)
            canvas[:, panel[0] :] = scene.picture(row, frame.time_s)
            video.write(canvas, frame.time_s)
            done += 1
            if progress is not None:
                progress(done)
        if done == 0:
            raise InputError(
                f"{frames.info.path} has no picture at the times of this motion; is it another video?"
            )
    return done


def layout(width: int, height: int) -> tuple[tuple[int, int], int]:
    """Size of the source's picture within the video, and the height of the video; all even."""
    low, high = HEIGHTS
    scale = min(max(low, min(height, high)) / height, MAX_WIDTH / width)
    panel = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
    return panel, max(panel[1], low)


def _matched(motion: Motion, frames: Frames) -> Iterator[tuple[Frame, int]]:
    """Pictures with their row of the motion, -1 for a picture between rows."""
    times = motion.timestamps_s
    for frame in frames:
        row = int(np.searchsorted(times, frame.time_s - _SAME_TIME_S))
        if row == len(times):
            return
        if abs(times[row] - frame.time_s) <= _SAME_TIME_S:
            yield frame, row
        elif row > 0:
            yield frame, -1


def _source_panel(image: Image, motion: Motion, row: int, panel: tuple[int, int], height: int) -> Image:
    """The picture fitted to its panel, with the keypoints of that row."""
    if (image.shape[1], image.shape[0]) != panel:
        shrinks = image.shape[0] > panel[1]
        image = cv2.resize(image, panel, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    else:
        image = image.copy()
    if row >= 0 and motion.valid[row]:
        points = motion.keypoints_2d[row] * (np.array(panel) / motion.image_size)
        draw_keypoints(image, points, motion.scores_2d[row], motion.skeleton)
    if panel[1] == height:
        return image
    framed = np.full((height, panel[0], 3), (30, 27, 26), np.uint8)
    top = (height - panel[1]) // 2
    framed[top : top + panel[1]] = image
    return framed


class _Scene:
    """The 3D half: stage, travelling camera, captions."""

    def __init__(self, motion: Motion, size: int) -> None:
        self._motion = motion
        points = y_up_points(motion)
        self._centre = _travel(motion, points)
        self._points = points - self._centre[:, None]
        self._std = motion.joints_3d_std.mean(axis=-1, dtype=np.float64)
        self._stage = Stage(_view(self._points[motion.valid], size))
        self._size = size
        self._method = str(motion.settings.get("method", ""))

    def picture(self, row: int, time_s: float) -> Image:
        somebody = row >= 0 and bool(self._motion.valid[row])
        centre = self._centre[max(row, 0)]
        image = self._stage.empty((centre[0], centre[2]))
        if somebody:
            self._stage.draw(image, self._points[row], self._std[row], self._motion.skeleton)
        self._captions(image, somebody, row, time_s)
        return image

    def _captions(self, image: Image, somebody: bool, row: int, time_s: float) -> None:
        size, margin, letter = self._size, self._size // 30, self._size / 52
        minutes, seconds = divmod(max(time_s, 0.0), 60)
        text(image, f"{int(minutes)}:{seconds:05.2f}", (margin, size - margin), letter, FAINT)
        text(
            image,
            self._method,
            (size - margin - text_width(self._method, letter), size - margin),
            letter,
            FAINT,
        )
        across = margin
        for name, colour in (("left", LEFT), ("right", RIGHT)):
            disc(image, np.array([across + letter / 2, margin + letter / 2]), 0.4 * letter, colour)
            text(image, name, (round(across + 1.5 * letter), round(margin + letter)), letter, FAINT)
            across += round(3 * letter) + text_width(name, letter)
        words = "" if somebody else "no person"
        if somebody and self._motion.bridged[row]:
            words = "bridged"
        text(image, words, (size - margin - text_width(words, letter), round(margin + letter)), letter, FAINT)


def _travel(motion: Motion, points: Array) -> Array:
    """Where on the floor the camera looks, (T, 3): the root's path, smoothed; frames with nobody hold."""
    centre = np.zeros((len(motion), 3))
    rows = np.flatnonzero(motion.valid)
    if motion.root_path is None or len(rows) == 0:
        return centre
    times = motion.timestamps_s
    interval = max(float(times[-1] - times[0]) / max(len(times) - 1, 1), 1e-3)
    for axis in (0, 2):
        path = np.interp(np.arange(len(motion)), rows, points[rows, motion.skeleton.root, axis])
        centre[:, axis] = gaussian_filter1d(path, _FOLLOW_S / interval, mode="nearest", truncate=3)
    return centre


def _view(points: Array, size: int) -> View:
    """A view that holds (nearly) all of (T, J, 3); the rare outlier may leave it."""
    if len(points) == 0:
        return View(size, reach=1.0, height=0.9)
    top = float(np.percentile(points[..., 1].max(axis=1), 98))
    middle = top / 2
    away = np.linalg.norm(points - (0.0, middle, 0.0), axis=-1).max(axis=1)
    return View(size, reach=float(np.clip(np.percentile(away, 98) + 0.08, 0.6, 20.0)), height=middle)
