"""Pictures of nothing, at the times of a motion: to draw it on where the source is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posecli.media.draw import DARK
from posecli.media.frames import Frame, MediaInfo, Report
from posecli.motion import Motion

_LONGEST_SIDE = 1280


class BlankFrames:
    """A `posecli.media.frames.Frames` of a dark ground in the shape of the motion's picture."""

    def __init__(self, motion: Motion) -> None:
        self._times = np.unique(motion.timestamps_s)  # a file from outside may have two frames at one time
        shrink = min(1.0, _LONGEST_SIDE / max(motion.image_size))
        width, height = (max(2, round(side * shrink)) for side in motion.image_size)
        self.info = MediaInfo(Path("no picture"), width, height, "none", None, None, len(self._times))
        self.report = Report()

    def __iter__(self) -> Iterator[Frame]:
        image = np.full((self.info.height, self.info.width, 3), DARK, np.uint8)
        for index, time in enumerate(self._times.tolist()):
            yield Frame(image, time, index)
