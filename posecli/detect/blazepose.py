"""The embedded detector: MediaPipe's BlazePose (full) run through LiteRT, one person, tracked.

The person detector runs only while nobody is tracked; otherwise the crop follows from the landmarks of the
frame before, smoothed as the released graph smooths them. The landmarks themselves are kept unsmoothed:
lifting wants what was measured.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.detect.blazepose_networks import NUM_NAMED, LandmarkNetwork, Landmarks, PersonDetector
from posecli.detect.heatmaps import HeatmapFormat, HeatmapRecord, HeatmapSink
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.roi import OneEuro, Roi
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
        """Follow the surest person through `frames` (read once, one held at a time).

        image_size: (width, height) pixels. heatmaps: takes a record for every frame with a person.
        on_frame: called with the number of frames done. Scores are the network's visibility: the
        probability that a joint lies in the picture and is not hidden.
        """
        track = _Track()
        rows = _Rows()
        for number, frame in enumerate(frames):
            landmarks = self._step(frame.image, track)
            if landmarks is not None and heatmaps is not None:
                heatmaps.append(
                    HeatmapRecord(HEATMAPS, number, (landmarks.logits,), landmarks.heatmap_to_image)
                )
            rows.append(frame.time_s, landmarks)
            if on_frame is not None:
                on_frame(number + 1)
        return rows.keypoints(image_size, self._provenance())

    def _step(self, image: NDArray[np.uint8], track: _Track) -> Landmarks | None:
        """One frame: where the person was, else (nobody tracked, or lost just now) wherever one is found."""
        landmarks = None if track.roi is None else self._look(image, track.roi)
        if landmarks is None:
            track.lose()
            roi = self._find(image)
            landmarks = None if roi is None else self._look(image, roi)
            if landmarks is not None and landmarks.presence <= self._settings.min_first_presence:
                landmarks = None
        if landmarks is not None:
            track.follow(landmarks)
        return landmarks

    def _provenance(self) -> dict[str, Any]:
        return {
            "detector": self.name,
            "detector_version": self.version,
            "weights_hash": self.weights_hash,
            "settings": self.settings(),
        }


class _Track:
    """Where to look next; `roi` is None while nobody is followed."""

    def __init__(self) -> None:
        self.lose()

    def lose(self) -> None:
        self.roi: Roi | None = None
        self._smooth = OneEuro()

    def follow(self, landmarks: Landmarks) -> None:
        ends = landmarks.xy[[HIP_CENTRE, RIM]].astype(np.float64)
        body_size = Roi.around(ends[0], ends[1], margin=1.0).side
        hips, rim = self._smooth(ends, body_size)
        roi = Roi.around(hips, rim)
        self.roi = roi if roi.usable() else None


class _Rows:
    """Keypoints as they arrive: all that is kept of a frame."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._found: list[bool] = []
        self._rows = array("f")  # (33, 6) a frame: x, y, score, world; half of what a list of arrays takes

    def append(self, time_s: float, landmarks: Landmarks | None) -> None:
        row = np.full((NUM_NAMED, 6), np.nan, dtype=np.float32)
        if landmarks is None:
            row[:, 2] = 0.0
        else:
            row[:, :2] = landmarks.xy[:NUM_NAMED]
            row[:, 2] = landmarks.visibility[:NUM_NAMED]
            row[:, 3:] = landmarks.world
        self._times.append(time_s)
        self._found.append(landmarks is not None)
        self._rows.frombytes(row.tobytes())

    def keypoints(self, image_size: tuple[int, int], provenance: dict[str, Any]) -> Keypoints2D:
        rows = np.frombuffer(self._rows, dtype=np.float32).reshape(-1, NUM_NAMED, 6)  # (T, 33, 6)
        return Keypoints2D(
            xy=rows[..., :2].copy(),
            scores=rows[..., 2].copy(),
            found=np.array(self._found, dtype=bool),
            timestamps_s=np.array(self._times, dtype=np.float64),
            skeleton=BLAZEPOSE33,
            image_size=image_size,
            world=rows[..., 3:].copy(),
            provenance=provenance,
        )


def _hash_of(files: BlazePoseFiles) -> str:
    digest = hashlib.sha256()
    for path in (files.detection, files.landmark):
        digest.update(path.read_bytes())
    return digest.hexdigest()
