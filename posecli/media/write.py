"""Video out: H.264 in mp4 at the frames' own, possibly uneven, times."""

from __future__ import annotations

import contextlib
import errno
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from posecli.errors import OutputError

_TIME_BASE = Fraction(1, 90_000)  # 24, 25, 30, 50, 60 fps and their /1.001 kin fall within 6 µs of it
_BT709 = 1  # the same number for matrix, primaries and transfer in ISO/IEC 23091-2
# Without these, swscale comes out two grey levels too dark; they cost a third of a millisecond at 720p.
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_LONE_FRAME_S = 1 / 30  # how long the only frame of a video is shown


class VideoWriter:
    """Writes pictures to an mp4 that appears under its name only once it is whole.

        with VideoWriter("out.mp4", (1280, 720)) as video:
            video.write(image_bgr, time_s)

    size: (width, height) in pixels; an odd side is padded by one repeated row or column, since yuv420p
    needs even ones. crf: x264's constant quality, 0 (lossless) to 51; preset: x264's speed.
    The first picture is shown at 0; every later one keeps its distance to it within 6 µs, and the last
    is shown as long as the one before it.

    The file grows under a hidden temporary name in the same folder; leaving the `with` block through any
    exception (Ctrl-C included) removes it. Raises OutputError where it cannot be written.
    """

    def __init__(
        self, path: str | Path, size: tuple[int, int], *, crf: int = 20, preset: str = "veryfast"
    ) -> None:
        if min(size) < 1:
            raise ValueError(f"size must be positive, got {size}")
        self.path = Path(path)
        self.size = size
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._reformatter = VideoReformatter()
        self._start_s: float | None = None
        self._last_pts = -1
        self._last_step = round(_LONE_FRAME_S / _TIME_BASE)
        self._held: av.Packet[av.VideoStream] | None = None
        if not self.path.parent.is_dir():
            raise OutputError(f"{self.path.parent}: no such folder; create it first.")
        if "libx264" not in av.codecs_available:
            raise OutputError(
                "PyAV has no H.264 encoder here; reinstall it with: pip install --force-reinstall av"
            )
        try:
            self._part.touch()  # PyAV opens it with the first packet: a folder without permission shows here
            self._container = av.open(
                str(self._part.absolute()), "w", format="mp4", options={"movflags": "+faststart"}
            )
            self._stream = self._add_stream(crf, preset)
        except BaseException as error:  # no `with` block has begun that would remove it after Ctrl-C
            self._part.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise self._cannot_write(error) from error
            raise

    def _add_stream(self, crf: int, preset: str) -> av.VideoStream:
        # No B-frames: packets leave in the order of their times and the file needs no edit list.
        options = {"crf": str(crf), "preset": preset, "bf": "0", "g": "120"}
        stream = self._container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        stream.time_base = _TIME_BASE
        context = stream.codec_context
        context.time_base = _TIME_BASE
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Append one picture: (H, W, 3) uint8 BGR of the writer's size, shown from `time_s` (seconds)."""
        width, height = self.size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 ({height}, {width}, 3), got {image.dtype} {image.shape}")
        if self._start_s is None:
            self._start_s = time_s
        pts = round((time_s - self._start_s) / _TIME_BASE)
        if pts <= self._last_pts:
            raise ValueError(f"times must increase, got {time_s} s after {self._last_pts * _TIME_BASE} s")
        self._last_pts = pts
        if width % 2 or height % 2:
            image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        picture = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="bgr24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=_EXACT,
        )
        picture.pts, picture.time_base = pts, _TIME_BASE
        try:
            self._mux(self._stream.encode(picture))
        except (OSError, av.FFmpegError) as error:
            self.discard()
            raise self._cannot_write(error) from error

    def _mux(self, packets: list[av.Packet[av.VideoStream]]) -> None:
        """Hand packets on one late, since a packet's duration is known when the next one comes."""
        for packet in packets:
            if self._held is not None and packet.pts is not None and self._held.pts is not None:
                self._last_step = self._held.duration = packet.pts - self._held.pts
                self._container.mux(self._held)
            self._held = packet

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._start_s is None:
            self.discard()
            raise OutputError(f"{self.path}: no pictures to write.")
        try:
            self._mux(self._stream.encode(None))
            if self._held is not None:
                self._held.duration = self._last_step
                self._container.mux(self._held)
            self._container.close()
            self._part.replace(self.path)
        except BaseException as error:
            self.discard()
            if isinstance(error, (OSError, av.FFmpegError)):
                raise self._cannot_write(error) from error
            raise

    def discard(self) -> None:
        """Leave nothing behind."""
        self._held = None
        with contextlib.suppress(OSError, av.FFmpegError):
            self._container.close()
        self._part.unlink(missing_ok=True)

    def _cannot_write(self, error: OSError | av.FFmpegError) -> OutputError:
        if error.errno == errno.ENOSPC:
            return OutputError(f"{self.path}: the disk is full; free some space or choose another --out.")
        reason = error.strerror or str(error)
        return OutputError(f"{self.path}: cannot be written ({reason}); choose another --out.")
