"""The part of a picture that a top-down network is shown: the person's box, widened, in the network's own proportions.

As mmpose does it (mmpose 1.3: bounding boxes to centre and scale, top-down affine). Two conventions of what a grid over
the crop means:
    sides    W columns have steps of 1/W of its width, the first at its left side (MSRA, SimCC)
    edges    W columns go from side to side in W - 1 steps (UDP; Huang et al., CVPR 2020, section 3)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from posecli.detect.network import Box


@dataclass(frozen=True)
class BoxCrop:
    """A rectangle in pixels of the image; may reach beyond it."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def around(cls, box: Box, aspect: float, padding: float) -> BoxCrop:
        """About the middle of `box`, `padding` times as large, then widened to aspect = width / height."""
        width, height = (box.right - box.left) * padding, (box.bottom - box.top) * padding
        width, height = max(width, height * aspect), max(height, width / aspect)
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        return cls(x - width / 2, y - height / 2, width, height)

    def to_image(self, grid: tuple[float, float], *, edges: bool) -> NDArray[np.float64]:
        """(2, 3) affine from places on a grid of so many (columns, rows) to pixels."""
        columns, rows = (side - 1 if edges else side for side in grid)
        return np.array([[self.width / columns, 0, self.left], [0, self.height / rows, self.top]])

    def cut(self, image: NDArray[np.uint8], size: tuple[int, int], *, edges: bool) -> NDArray[np.uint8]:
        """The crop (height, width, 3) at `size` (width, height), bilinear, black beyond the image."""
        affine = self.to_image(size, edges=edges)
        return cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
