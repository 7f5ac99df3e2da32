"""What a top-down pose network is to posecli: a picture and a person's box in, that person's joints out.

BlazePose crops by its own rules (`posecli.detect.blazepose_networks`); every other network is given a box, found by a
person detector or around the joints of the frame before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posecli.detect.heatmaps import HeatmapFormat
from posecli.skeleton import Skeleton


@dataclass(frozen=True)
class Box:
    """An upright box in pixels of the image, origin at its top left corner; may reach beyond the image."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.left, self.top, self.right, self.bottom]).all()):
            raise ValueError("a box needs finite sides")
        if self.right <= self.left or self.bottom <= self.top:
            raise ValueError(f"a box must not be empty: {self}")


@dataclass(frozen=True)
class PoseSeen:
    """What a network saw in one box of one frame.

    xy: (J, 2) float32 pixels of the image. scores: (J,) float32 in [0, 1].
    values, to_image: as in `posecli.detect.heatmaps.HeatmapRecord`.
    """

    xy: NDArray[np.float32]
    scores: NDArray[np.float32]
    values: tuple[NDArray[np.floating], ...]
    to_image: NDArray[np.float64]


class PoseNetwork(Protocol):
    """A top-down 2D pose network.

    name: of the backend. version: of the model, for provenance. weights_hash: SHA-256 of the file it came from.
    """

    name: str
    version: str
    weights_hash: str
    skeleton: Skeleton
    format: HeatmapFormat

    def settings(self) -> dict[str, Any]:
        """What the result depends on beside the weights, ready for JSON."""

    def look(self, image: NDArray[np.uint8], box: Box) -> PoseSeen:
        """The person in `box`, whatever is in it. image: (rows, columns, 3) uint8, BGR, as in `media.frames`."""
