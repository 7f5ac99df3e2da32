"""From a decoded picture to what a viewer would see: upright, square pixels, BGR."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

_SQUARE_ENOUGH = 0.005  # a pixel this close to square is left alone: resampling would only blur
_WIDEST = 8  # aspect ratios beyond this are nonsense in a header


@dataclass(frozen=True)
class Turn:
    """A quarter-turn or mirror image: first transpose (swap x and y), then mirror left-right, then up-down."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Turn:
        """The turn in the frame's display matrix: a row vector (x, y, 1) times it is where the pixel is shown.

        ISO/IEC 14496-12, 8.3.2: rows (a b u), (c d v), (x y w), the first two columns 16.16 fixed point;
        here x' = a x + c y, y' = b x + d y with y downwards. Other angles than quarters are rounded to one.
        """
        try:
            matrix = np.frombuffer(cast(Any, frame.side_data)[Type.DISPLAYMATRIX], np.int32)
        except KeyError:
            return cls()
        except ValueError:  # PyAV 18 stumbles over side data newer than itself; the plain angle it can tell
            quarters = round(-frame.rotation / 90) % 4  # clockwise
            return cls(quarters % 2 == 1, mirror_x=quarters in (1, 2), mirror_y=quarters in (2, 3))
        a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, mirror_x=c < 0, mirror_y=b < 0)
        return cls(False, mirror_x=a < 0, mirror_y=d < 0)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.transpose and self.mirror_x != self.mirror_y:
            return cv2.rotate(
                image, cv2.ROTATE_90_CLOCKWISE if self.mirror_x else cv2.ROTATE_90_COUNTERCLOCKWISE
            )
        if self.transpose:
            image = cv2.transpose(image)
        if self.mirror_x or self.mirror_y:
            image = cv2.flip(image, -1 if self.mirror_x and self.mirror_y else int(self.mirror_x))
        return image


def square_size(width: int, height: int, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """(width, height) that show the same picture with square pixels; one side grows, none shrinks."""
    ratio = float(pixel_aspect or 1)
    if abs(ratio - 1) < _SQUARE_ENOUGH or not 1 / _WIDEST <= ratio <= _WIDEST:
        return width, height
    return (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))


class Upright:
    """Turns decoded pictures into (H, W, 3) uint8 BGR of one size, that of the first picture.

    size: (width, height) of what comes out. A picture of another size than the first (a stream may change
    it) is scaled to it; transparent parts come out black.
    """

    def __init__(self, first: av.VideoFrame, pixel_aspect: Fraction | None, turn: Turn | None = None) -> None:
        self.turn = Turn.of(first) if turn is None else turn
        self._stored = square_size(first.width, first.height, pixel_aspect)
        self.size = self._stored[::-1] if self.turn.transpose else self._stored
        self._reformatter = VideoReformatter()  # one for all frames: it keeps its tables

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        if any(component.is_alpha for component in frame.format.components):
            return self.turn.apply(_over_black(self._array(frame, "bgra")))
        return self.turn.apply(self._array(frame, "bgr24"))

    def _array(self, frame: av.VideoFrame, layout: str) -> NDArray[np.uint8]:
        return cast(
            NDArray[np.uint8],
            self._reformatter.reformat(frame, *self._stored, layout, threads=1).to_ndarray(),
        )


def _over_black(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) BGRA, alpha not premultiplied, to (H, W, 3) BGR."""
    alpha = image[..., 3]
    if alpha.min() == 255:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return cv2.multiply(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), cv2.merge([alpha] * 3), scale=1 / 255)
