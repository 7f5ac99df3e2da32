"""What following people needs of a detector, whichever it is: to find them in a picture, and to look at one closely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posecli.detect.heatmaps import HeatmapFormat
from posecli.detect.provenance import Identified
from posecli.detect.roi import Roi
from posecli.skeleton import Skeleton

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Spot:
    """Somewhere in the picture a person seems to be.

    x, y: middle of the body, radius: of a circle about it that holds the body, pixels. aim: what the detector's own
    `look` takes.
    """

    x: float
    y: float
    radius: float
    aim: Any


@dataclass(frozen=True)
class Sight:
    """One person, looked at closely in one frame.

    xy: (J, 2) float32 pixels of the image. scores: (J,) float32 in [0, 1]. presence: probability that somebody is
    there. circle: (2, 2) middle of the body, and a point on a circle about it that holds the body. values, to_image:
    as in `posecli.detect.heatmaps.HeatmapRecord`. world: (J, 3) metres, the network's own 3D guess, where it makes one.
    """

    xy: NDArray[np.float32]
    scores: NDArray[np.float32]
    presence: float
    circle: NDArray[np.float64]
    values: tuple[NDArray[np.floating], ...]
    to_image: NDArray[np.float64]
    world: NDArray[np.float32] | None = None

    @property
    def radius(self) -> float:
        return float(np.hypot(*(self.circle[1] - self.circle[0])))


class Aimer(Protocol):
    """Remembers one person's way and says where to look in the next frame; None where that is nowhere."""

    def __call__(self, sight: Sight) -> Any | None: ...


class Eyes(Identified, Protocol):
    """A detector, as whoever follows people sees it.

    has_world: its sights have `world`.
    """

    skeleton: Skeleton
    format: HeatmapFormat
    has_world: bool

    def find(self, image: Image, view: Roi | None = None) -> list[Spot]:
        """Where people seem to be in the picture (H, W, 3), or in an upright square of it; the surest first."""

    def look(self, image: Image, aim: Any, *, first: bool) -> Sight | None:
        """The person aimed at, or None if nobody is there; to begin (`first`) takes more than to go on."""

    def aimer(self) -> Aimer:
        """For a person newly found."""
