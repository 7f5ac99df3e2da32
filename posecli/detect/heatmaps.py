"""The heatmap record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class HeatmapRecord:
    """What one network said about one frame, before anybody took a maximum.

    frame: index of the frame in the clip (row of the keypoints).
    values: (J, rows, columns) float32.
    to_image: (2, 3) affine from heatmap cell (column, row) to image pixel.
    """

    frame: int
    values: NDArray[np.float32]
    to_image: NDArray[np.float64]


class HeatmapSink(Protocol):
    """Takes records as they are made."""

    def append(self, record: HeatmapRecord) -> None: ...
