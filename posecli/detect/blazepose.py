"""The embedded detector: MediaPipe's BlazePose (full) run through LiteRT.

Somebody followed is looked at in a crop that follows from the landmarks of the frame before, smoothed as the
released graph smooths them. The landmarks themselves are kept unsmoothed: lifting wants what was measured.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.detect.blazepose_networks import NUM_NAMED, LandmarkNetwork, PersonDetector
from posecli.detect.heatmaps import HeatmapFormat, HeatmapSink
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.network import Box
from posecli.detect.people.sight import Sight, Spot
from posecli.detect.people.surest import follow_surest
from posecli.detect.roi import MARGIN, OneEuro, Roi
from posecli.errors import UsageError
from posecli.media.frames import Frame
from posecli.skeleton import BLAZEPOSE33, Skeleton
from posecli.weights.fetch import BlazePoseFiles, Progress, blazepose_files

HEATMAPS = HeatmapFormat(BLAZEPOSE33.joint_names, kind="logit", codec="blazepose")
HIP_CENTRE, RIM = 33, 34  # auxiliary landmarks that span the next crop


@dataclass(frozen=True)
class BlazePoseSettings:
    """Whatever changes the result: thresholds, all probabilities, two of them MediaPipe's defaults.

    To begin takes more than to go on: in traffic without people the package follows a ghost for 7 frames,
    at presences up to 0.89; people in plain sight have more than 0.99.
    """

    min_detection_score: float = 0.5  # a person seems to be there: look closer
    min_first_presence: float = 0.9  # the closer look agrees: start to track (ours, not MediaPipe's)
    min_presence: float = 0.5  # the person is still in the crop: go on

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 < value < 1.0:
                raise UsageError(f"{name} must lie between 0 and 1. Got {value}")


class BlazePose:
    """Detector of one person's 33 BlazePose joints; `detect` may be called for any number of clips.

    threads: for the two networks. offline: never fetch them. files: use these networks instead of the
    cached ones. Raises NetworkError when the networks are neither cached nor to be had.
    """

    name = "blazepose"
    version = "mediapipe-0.10.21-full"
    skeleton: Skeleton = BLAZEPOSE33
    format = HEATMAPS
    has_world = True

    def __init__(
        self,
        *,
        threads: int = 2,
        offline: bool = False,
        files: BlazePoseFiles | None = None,
        settings: BlazePoseSettings | None = None,
        progress: Progress | None = None,
    ) -> None:
        files = files or blazepose_files(offline=offline, progress=progress)
        self._settings = settings or BlazePoseSettings()
        self.weights_hash = _hash_of(files)
        self._find = PersonDetector(
            files.detection, threads=threads, min_score=self._settings.min_detection_score
        )
        self._look = LandmarkNetwork(
            files.landmark, threads=threads, min_presence=self._settings.min_presence
        )

    def settings(self) -> dict[str, Any]:
        """What the result depends on beside the weights, ready for JSON."""
        return {**asdict(self._settings), "runtime": f"ai-edge-litert {version('ai-edge-litert')}"}

    def detect(
        self,
        frames: Iterable[Frame],
        image_size: tuple[int, int],
        *,
        heatmaps: HeatmapSink | None = None,
        on_frame: Callable[[int], None] | None = None,
    ) -> Keypoints2D:
        """Follow the surest person through `frames`; see `posecli.detect.people.surest.follow_surest`.

        Scores are the network's visibility: the probability that a joint lies in the picture and is not hidden.
        """
        return follow_surest(self, frames, image_size, heatmaps=heatmaps, on_frame=on_frame)

    def find(self, image: NDArray[np.uint8], view: Roi | None = None) -> list[Spot]:
        return [Spot(roi.x, roi.y, roi.side / 2 / MARGIN, roi) for roi in self._find(image, view)]

    def look(self, image: NDArray[np.uint8], aim: Roi, *, first: bool) -> Sight | None:
        landmarks = self._look(image, aim)
        if landmarks is None or (first and landmarks.presence <= self._settings.min_first_presence):
            return None
        return Sight(
            xy=landmarks.xy[:NUM_NAMED],
            scores=landmarks.visibility[:NUM_NAMED],
            presence=landmarks.presence,
            circle=landmarks.xy[[HIP_CENTRE, RIM]].astype(np.float64),
            values=(landmarks.logits,),
            to_image=landmarks.heatmap_to_image,
            world=landmarks.world,
        )

    def aimer(self) -> Callable[[Sight], Roi | None]:
        return _Aimer()


class _Aimer:
    """The next region, from alignment points smoothed as the released graph smooths them."""

    def __init__(self) -> None:
        self._smooth = OneEuro()

    def __call__(self, sight: Sight) -> Roi | None:
        body_size = Roi.around(sight.circle[0], sight.circle[1], margin=1.0).side
        hips, rim = self._smooth(sight.circle, body_size)
        roi = Roi.around(hips, rim)
        return roi if roi.usable() else None


class BlazePoseFinder:
    """BlazePose's person detector alone: boxes for other pose networks. Takes what `BlazePose` takes."""

    name = "blazepose"
    version = BlazePose.version

    def __init__(
        self,
        *,
        threads: int = 2,
        offline: bool = False,
        files: BlazePoseFiles | None = None,
        min_score: float = 0.5,
        progress: Progress | None = None,
    ) -> None:
        files = files or blazepose_files(offline=offline, progress=progress)
        self.weights_hash = hashlib.sha256(files.detection.read_bytes()).hexdigest()
        self._min_score = min_score
        self._find = PersonDetector(files.detection, threads=threads, min_score=min_score)

    def settings(self) -> dict[str, Any]:
        """What its boxes depend on beside the weights, ready for JSON."""
        return {"min_score": self._min_score, "runtime": f"ai-edge-litert {version('ai-edge-litert')}"}

    def boxes(self, image: NDArray[np.uint8], view: Roi | None = None) -> list[Box]:
        """Upright boxes about whole people, the surest first; pixels."""
        return [_body_box(roi) for roi in self._find(image, view)]


def _body_box(roi: Roi) -> Box:
    """About somebody standing along the region's axis: as tall as the body's circle, 0.6 of that wide."""
    radius = roi.side / 2 / MARGIN
    along, across = abs(math.cos(roi.rotation)), abs(math.sin(roi.rotation))
    half_width, half_height = radius * max(0.6 * along, across), radius * max(along, 0.6 * across)
    return Box(roi.x - half_width, roi.y - half_height, roi.x + half_width, roi.y + half_height)


def _hash_of(files: BlazePoseFiles) -> str:
    digest = hashlib.sha256()
    for path in (files.detection, files.landmark):
        digest.update(path.read_bytes())
    return digest.hexdigest()
