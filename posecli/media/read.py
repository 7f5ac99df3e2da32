"""Pictures in: a video file, a folder of images, a list of images or one image, as a stream of frames."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from posecli.errors import InputError, UsageError
from posecli.media.clock import Clock
from posecli.media.decode import Damage, announced_frames, open_container, pictures
from posecli.media.exif import exif_turn
from posecli.media.frames import Frame, Frames, MediaInfo, Report
from posecli.media.prefetch import prefetch
from posecli.media.upright import Upright
from posecli.media.words import damage_warnings, plural

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
DEFAULT_RATE = 30.0  # Hz, for images, which carry no times


def open_media(
    path: str | Path | Sequence[str | Path],
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
) -> Frames:
    """Open a video file, an image, a folder of images (in natural order), a glob or a list of images.

    start, end: seconds; frames with start <= time < end come out, their index still counted from the
    file's first frame (everything before `start` is decoded, since only decoding tells how many there are).
    fps: rate of an image list, 30 Hz by default; videos carry their own times.
    One frame is decoded here, so a source without pictures raises InputError now; a `start` beyond the end
    raises it during iteration. UsageError for values that cannot work.
    """
    if start is not None and not start >= 0:
        raise UsageError(f"--start must be 0 or more seconds, got {start:g}.")
    if end is not None and not end > (start or 0):
        raise UsageError(f"--end must lie after --start ({start or 0:g} s), got {end:g}.")
    if fps is not None and not 0 < fps < float("inf"):
        raise UsageError(f"--fps must be above 0, got {fps:g}.")
    images = _image_list(path)
    if images is None and isinstance(path, str | Path):
        video = Path(path)
        if not _is_still(video):
            if fps is not None:
                raise UsageError(f"--fps is for images; {video.name} is a video and carries its own times.")
            return VideoFile(video, start, end)
        images = [video]
    return ImageList(images or [], start, end, fps or DEFAULT_RATE)


def _image_list(path: str | Path | Sequence[str | Path]) -> list[Path] | None:
    """The images meant by a folder, a pattern or a list; None for a single file. InputError when none."""
    if not isinstance(path, str | Path):
        if not path:
            raise InputError("No images given.")
        return [Path(p) for p in path]
    place = Path(path)
    if place.is_dir():
        try:
            found = [
                p
                for p in place.iterdir()
                if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")
            ]
        except OSError as error:
            raise InputError(f"{place}: cannot be read ({error.strerror}).") from error
        if not found:
            raise InputError(
                f"{place}: a folder without images; give a video file or a folder of JPEG or PNG files."
            )
        return sorted(found, key=natural_key)
    if place.exists():
        if not place.is_file():
            raise InputError(f"{place}: not a regular file; give a video file or a folder of images.")
        return None
    if any(c in str(path) for c in "*?[") and place.parent.is_dir():
        found = [p for p in place.parent.glob(place.name) if p.is_file()]
        if found:
            return sorted(found, key=natural_key)
    raise InputError(f"{place}: no such file or folder; check the spelling.")


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts img2 before img10."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(0, int(p), p) if i % 2 else (1, 0, p.casefold()) for i, p in enumerate(parts)]


def _is_still(path: Path) -> bool:
    with open_container(path) as (container, _):
        return container.format.name.endswith("_pipe") or container.format.name == "image2"


class _Source(ABC):
    """A `Frames` with the part that videos and image lists share: the interval, and working ahead."""

    info: MediaInfo

    def __init__(self, start: float | None, end: float | None) -> None:
        self.report = Report()
        self._start, self._end = start, end

    def __iter__(self) -> Iterator[Frame]:
        return prefetch(self._frames)

    def _frames(self) -> Iterator[Frame]:
        self.report.warnings.clear()
        last, given = None, False
        for index, time_s, image in self._pictures():
            last = time_s
            if self._end is not None and time_s >= self._end:
                break
            if self._start is None or time_s >= self._start:
                given = True
                yield Frame(image(), time_s, index)
        else:
            self._conclude()
        if given:
            return
        if last is None:
            raise InputError(
                f"{self.info.path.name}: no picture in it can be decoded (damaged, or too large); "
                "copy or convert it again."
            )
        raise InputError(
            f"{self.info.path.name}: no frame lies between --start {self._start or 0:g} s and "
            f"{'its end' if self._end is None else f'--end {self._end:g} s'}; its last frame is at {last:.2f} s."
        )

    @abstractmethod
    def _pictures(self) -> Iterator[tuple[int, float, Callable[[], NDArray[np.uint8]]]]:
        """(index, time in s, a function that gives the BGR picture) of every frame."""

    @abstractmethod
    def _conclude(self) -> None:
        """Write what went wrong into the report, after the last frame."""


class VideoFile(_Source):
    """The frames of a video file."""

    def __init__(self, path: Path, start: float | None, end: float | None) -> None:
        super().__init__(start, end)
        with open_container(path) as (container, stream):
            self._pixel_aspect = stream.sample_aspect_ratio
            self._time_base = time_base = stream.time_base or Fraction(1, 90_000)
            rate = stream.average_rate or stream.guessed_rate
            duration = float(stream.duration * time_base) if stream.duration else None
            if duration is None and container.duration:
                duration = container.duration / av.time_base
            count = announced_frames(container, stream)
            codec = stream.codec_context.name
        if count is None and duration and rate:
            count = round(duration * rate)
        first = next(pictures(path, Damage()), None)
        if first is None:
            raise InputError(
                f"{path.name}: no picture in it can be decoded (damaged, or too large); copy or convert it again."
            )
        width, height = Upright(first, self._pixel_aspect).size
        self.info = MediaInfo(path, width, height, codec, float(rate) if rate else None, duration, count)
        self._interval_s = 1 / float(rate or DEFAULT_RATE)

    def _pictures(self) -> Iterator[tuple[int, float, Callable[[], NDArray[np.uint8]]]]:
        self._damage = Damage()
        self._clock = Clock(self._interval_s)
        upright: Upright | None = None
        self._count, self._last_s = 0, 0.0
        for index, picture in enumerate(pictures(self.info.path, self._damage)):
            upright = upright or Upright(picture, self._pixel_aspect)
            stamp = None if picture.pts is None else float(picture.pts * self._time_base)
            if index == 0 and self._damage.evidence and self._damage.lost:
                self._clock.start(self._damage.lost[0][1])  # lost pictures before this one keep their time
            self._count, self._last_s = index + 1, self._clock(stamp)
            yield index, self._last_s, lambda u=upright, p=picture: u(p)  # type: ignore[misc]

    def _conclude(self) -> None:
        name, warnings = self.info.path.name, self.report.warnings
        next_s = self._last_s + self._interval_s
        warnings += damage_warnings(name, self._damage, self._count, next_s, self._clock.origin)
        if self._clock.unstamped and self._clock.unstamped >= self._count - 1:
            warnings.append(f"{name}: holds no timestamps; taken as {1 / self._interval_s:g} frames a second")
        elif self._clock.repaired:
            warnings.append(
                f"{name}: {plural(len(self._clock.repaired), 'frame')} without a timestamp later than the one "
                f"before; theirs were made up (the first at {self._clock.repaired[0]:.2f} s)"
            )


class ImageList(_Source):
    """Images at a steady rate; one that cannot be read leaves a gap in time and a warning."""

    def __init__(self, images: list[Path], start: float | None, end: float | None, rate: float) -> None:
        super().__init__(start, end)
        self._images, self._rate = images, rate
        for path in images:
            try:
                image, codec = _read_image(path)
            except InputError:
                if len(images) == 1:
                    raise
                continue
            break
        else:
            raise InputError(f"{images[0].parent}: none of the {len(images)} images can be decoded.")
        height, width = image.shape[:2]
        place = images[0] if len(images) == 1 else images[0].parent
        self.info = MediaInfo(place, width, height, codec, rate, len(images) / rate, len(images))

    def _pictures(self) -> Iterator[tuple[int, float, Callable[[], NDArray[np.uint8]]]]:
        self._unread: list[str] = []
        self._scaled: list[str] = []
        size = (self.info.width, self.info.height)
        index = 0
        for slot, path in enumerate(self._images):
            try:
                image, _ = _read_image(path)
            except InputError:
                self._unread.append(path.name)
                continue
            if image.shape[1::-1] != size:
                self._scaled.append(path.name)
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            yield index, slot / self._rate, lambda i=image: i  # type: ignore[misc]
            index += 1

    def _conclude(self) -> None:
        for names, what in (
            (self._unread, "left out, cannot be decoded"),
            (
                self._scaled,
                f"scaled to the first one's size, {self.info.width}x{self.info.height}",
            ),
        ):
            if names:
                listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
                self.report.warnings.append(
                    f"{self.info.path.name}: {plural(len(names), 'image')} {what}: {listed}"
                )


def _read_image(path: Path) -> tuple[NDArray[np.uint8], str]:
    """The picture in an image file, (H, W, 3) uint8 BGR, turned as its EXIF says, and its codec's name."""
    with open_container(path) as (_, stream):
        aspect, codec = stream.sample_aspect_ratio, stream.codec_context.name
    for picture in pictures(path, Damage(), threads=1):
        return Upright(picture, aspect, exif_turn(path))(picture), codec
    raise InputError(
        f"{path.name}: no picture in it can be decoded (damaged, or too large); copy or convert it again."
    )
