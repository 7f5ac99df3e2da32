"""What the tests of detection share beside fixtures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posecli.detect import Detections, DetectionsWriter
from posecli.detect.heatmaps import HeatmapRecord
from posecli.detect.keypoints import Keypoints2D
from posecli.media import Frame


@dataclass
class Run:
    """A clip detected with its heatmaps kept, every fifth of them also as the network made it."""

    path: Path
    frames: int
    keypoints: Keypoints2D
    raw: list[HeatmapRecord]
    stored: Detections
    wanted: dict[str, object]


class Tee:
    """Heatmaps go to the file; every fifth is kept for comparison."""

    def __init__(self, file: DetectionsWriter) -> None:
        self.file, self.seen = file, 0
        self.raw: list[HeatmapRecord] = []

    def append(self, record: HeatmapRecord) -> None:
        self.file.append(record)
        if self.seen % 5 == 0:
            self.raw.append(record)
        self.seen += 1


def as_frames(images: Iterable[np.ndarray]) -> Iterator[Frame]:
    for index, image in enumerate(images):
        yield Frame(image, index / 30, index)
