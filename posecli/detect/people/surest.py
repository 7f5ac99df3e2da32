"""Follow one person: the surest, until lost, then whoever is surest then."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from posecli.detect.heatmaps import HeatmapRecord, HeatmapSink
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.people.rows import Rows
from posecli.detect.people.sight import Eyes, Sight
from posecli.detect.provenance import identity
from posecli.media.frames import Frame


def follow_surest(
    eyes: Eyes,
    frames: Iterable[Frame],
    image_size: tuple[int, int],
    *,
    heatmaps: HeatmapSink | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Keypoints2D:
    """Each frame is looked at where the person was in the one before; the person is looked for only while lost.

    frames are read once, one held at a time. image_size: (width, height) pixels. heatmaps: takes a record for every
    frame with a person. on_frame: called with the number of frames done.
    """
    rows, times = Rows(eyes), array("d")
    aimer, aim = eyes.aimer(), None
    for number, frame in enumerate(frames):
        sight = None if aim is None else eyes.look(frame.image, aim, first=False)
        if sight is None:
            aimer = eyes.aimer()
            sight = find_surest(eyes, frame.image)
        aim = None if sight is None else aimer(sight)
        if sight is not None:
            rows.append(number, sight)
            if heatmaps is not None:
                heatmaps.append(HeatmapRecord(eyes.format, number, sight.values, sight.to_image))
        times.append(frame.time_s)
        if on_frame is not None:
            on_frame(number + 1)
    return Rows.keypoints([rows], eyes, np.array(times, dtype=np.float64), image_size, identity(eyes))


def find_surest(eyes: Eyes, image: Any) -> Sight | None:
    """Whoever is surest to be in the picture, looked at closely."""
    spots = eyes.find(image)
    return eyes.look(image, spots[0].aim, first=True) if spots else None
