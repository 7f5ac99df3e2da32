"""Any top-down pose network as a detector: people found by another network, then each looked at in a box of its own.

A person newly found is looked at twice, in the finder's box and then in one about the joints; after that, the box of
each frame goes about the joints of the frame before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posecli.detect.heatmaps import HeatmapSink
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.network import Box, PoseNetwork
from posecli.detect.people.sight import Image, Sight, Spot
from posecli.detect.people.surest import follow_surest
from posecli.detect.roi import Roi
from posecli.errors import UsageError
from posecli.media.frames import Frame


class Finder(Protocol):
    """Finds people in a picture.

    name, version: of the network, weights_hash: SHA-256 of its file; `provenance` keeps them.
    """

    name: str
    version: str
    weights_hash: str

    def settings(self) -> dict[str, Any]:
        """What its boxes depend on beside the weights, ready for JSON."""

    def boxes(self, image: Image, view: Roi | None = None) -> list[Box]:
        """Upright boxes about whole people in the picture (rows, columns, 3) BGR, or in an upright square of it;
        pixels of the picture, the surest first."""


@dataclass(frozen=True)
class TopDownSettings:
    """Whatever changes the result. Scores are the mean over the joints of what the network gives them."""

    min_first_score: float = 0.35  # somebody is in the finder's box: start to follow
    min_score: float = 0.2  # the person is still in the box: go on
    margin: float = (
        0.12  # of the box's longer side, added on all sides of the joints: they end at eyes and ankles
    )
    min_joint_score: float = 0.2  # joints that are less sure do not shape the next box

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 <= value < 1.0:
                raise UsageError(f"{name} must be at least 0 and less than 1. Got {value}")


class TopDown:
    """Detector made of a finder and a pose network; `detect` may be called for any number of clips."""

    has_world = False

    def __init__(self, network: PoseNetwork, finder: Finder, settings: TopDownSettings | None = None) -> None:
        self._network, self._finder = network, finder
        self._settings = settings or TopDownSettings()
        self.name, self.version, self.weights_hash = network.name, network.version, network.weights_hash
        self.skeleton, self.format = network.skeleton, network.format

    def settings(self) -> dict[str, Any]:
        """What the result depends on beside the weights, ready for JSON."""
        finder = {key: getattr(self._finder, key) for key in ("name", "version", "weights_hash")}
        return {
            **self._network.settings(),
            **asdict(self._settings),
            "finder": finder | self._finder.settings(),
        }

    def detect(
        self,
        frames: Iterable[Frame],
        image_size: tuple[int, int],
        *,
        heatmaps: HeatmapSink | None = None,
        on_frame: Callable[[int], None] | None = None,
    ) -> Keypoints2D:
        """Follow the surest person through `frames`; see `posecli.detect.people.surest.follow_surest`."""
        return follow_surest(self, frames, image_size, heatmaps=heatmaps, on_frame=on_frame)

    def find(self, image: Image, view: Roi | None = None) -> list[Spot]:
        spots = []
        for box in self._finder.boxes(image, view):
            x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
            spots.append(Spot(x, y, float(np.hypot(box.right - x, box.bottom - y)), box))
        return spots

    def look(self, image: Image, aim: Box, *, first: bool) -> Sight | None:
        sight = self._look(image, aim)
        if first and sight is not None and (again := self._box(sight)) is not None:
            sight = self._look(image, again)  # a finder's box is about right, not more
        least = self._settings.min_first_score if first else self._settings.min_score
        return sight if sight is not None and sight.presence > least else None

    def aimer(self) -> Callable[[Sight], Box | None]:
        return self._box

    def _look(self, image: Image, box: Box) -> Sight | None:
        seen = self._network.look(image, box)
        if not np.isfinite(seen.xy).any():
            return None
        return Sight(
            xy=seen.xy,
            scores=seen.scores,
            presence=float(np.nan_to_num(seen.scores).mean()),
            circle=_circle(seen.xy),
            values=seen.values,
            to_image=seen.to_image,
        )

    def _box(self, sight: Sight) -> Box | None:
        """About the sure joints of a sight, with a margin; None where that makes no box."""
        sure = (sight.scores >= self._settings.min_joint_score) & np.isfinite(sight.xy).all(axis=1)
        if sure.sum() < 3:
            return None
        low, high = sight.xy[sure].min(axis=0).astype(float), sight.xy[sure].max(axis=0).astype(float)
        margin = max(1.0, self._settings.margin * float((high - low).max()))
        if not 1.0 < margin + float((high - low).max()) < 1e5:
            return None
        return Box(*(low - margin), *(high + margin))


def _circle(xy: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 2) middle of the joints' box, and its corner."""
    low, high = np.nanmin(xy, axis=0), np.nanmax(xy, axis=0)
    return np.stack([(low + high) / 2, high]).astype(np.float64)
