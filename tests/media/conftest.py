"""Small videos made with PyAV, whose pictures and times are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

MakeVideo = Callable[..., Path]


def corners(width: int, height: int) -> NDArray[np.uint8]:
    """A BGR picture whose quarters are red, green (upper left and right), blue and white (lower)."""
    image = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    image[:top, :left] = (0, 0, 255)
    image[:top, left:] = (0, 255, 0)
    image[top:, :left] = (255, 0, 0)
    image[top:, left:] = (255, 255, 255)
    return image


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    def make(
        name: str,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        size: tuple[int, int] = (64, 48),
        frames: int = 12,
        stamps_ms: Sequence[int] | None = None,
        aspect: Fraction | None = None,
        rotation: tuple[float, bool, bool] | None = None,
        codec_options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
        images: Sequence[NDArray[np.uint8]] | None = None,
        format: str | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", format=format, options=container_options or {}) as container:
            stream: Any = container.add_stream(codec, rate=30, options=codec_options or {})
            stream.width, stream.height = size
            stream.pix_fmt = pix_fmt
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            if rotation is not None:
                stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
            if stamps_ms is not None:
                stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            for i in range(len(stamps_ms) if stamps_ms is not None else frames):
                image = images[i] if images is not None else corners(*size)
                frame = av.VideoFrame.from_ndarray(image, format="bgra" if image.shape[2] == 4 else "bgr24")
                frame = frame.reformat(format=pix_fmt)
                if stamps_ms is not None:
                    frame.pts, frame.time_base = stamps_ms[i], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make
