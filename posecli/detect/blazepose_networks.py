"""BlazePose's two networks: what goes in, what comes out, and how the numbers become points in the image.

Follows the graph that MediaPipe 0.10.21 releases (modules/pose_detection, modules/pose_landmark): person
detection on the letterboxed frame, then 33 landmarks on a rotated square crop.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posecli.detect.roi import Roi, apply_affine
from posecli.errors import InputError

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

DETECTION_SIZE = 224
STRIDES = (8, 16, 32, 32, 32)  # of the SSD head; two anchors per cell and layer
OVERLAP = 0.3  # boxes that share more are one person

LANDMARK_SIZE = 256
HEATMAP_SIZE = 64
NUM_LANDMARKS = 39  # 33 named ones, then auxiliary points: 33 hip centre, 34 rim of the body's circle
NUM_NAMED = 33
REFINE_RADIUS = 3  # a kernel of 7 × 7 cells
REFINE_MIN_CONFIDENCE = 0.5


@dataclass(frozen=True)
class Landmarks:
    """What the landmark network says about one crop.

    presence: probability that somebody is in the crop. xy: (39, 2) image pixels. visibility: (39,) in [0, 1].
    world: (33, 3) metres, hip-centred, x right, y down, z forward. logits: (33, 64, 64) heatmaps, [row, column].
    heatmap_to_image: (2, 3) affine from heatmap cell (column, row) to image pixel.
    """

    presence: float
    xy: Floats
    visibility: Floats
    world: Floats
    logits: Floats
    heatmap_to_image: NDArray[np.float64]


class PersonDetector:
    """pose_detection.tflite: the people of a frame as regions of interest."""

    def __init__(self, model: Path, *, threads: int, min_score: float) -> None:
        self._network = _interpreter(model, threads)
        self._input, self._outputs = _ports(self._network)
        self._min_score = min_score

    def __call__(self, image: Image, view: Roi | None = None) -> list[Roi]:
        """image (H, W, 3) uint8 BGR → regions around the people in it, the surest first.

        view: an upright square of the image to look at alone; all of it if not given."""
        view = view or Roi.letterbox(image.shape[1], image.shape[0])
        crop = cut_out(image, view, DETECTION_SIZE, cv2.BORDER_CONSTANT)
        self._network.set_tensor(self._input, crop[None].astype(np.float32) * (2 / 255) - 1)
        self._network.invoke()
        raw = self._network.get_tensor(self._outputs["Identity"])[0]  # (2254, 12)
        scores = sigmoid(np.clip(self._network.get_tensor(self._outputs["Identity_1"])[0, :, 0], -100, 100))
        keep = scores >= self._min_score
        if not keep.any():
            return []
        affine, regions = view.to_image(1), []
        for points in distinct_people(decode_boxes(raw[keep], anchors()[keep]), scores[keep]):
            hips, rim = apply_affine(affine, points[:2])
            regions.append(Roi.around(hips, rim))
        return [roi for roi in regions if roi.usable()]


class LandmarkNetwork:
    """pose_landmark_full.tflite: landmarks, heatmaps and a 3D guess inside a region of interest."""

    def __init__(self, model: Path, *, threads: int, min_presence: float) -> None:
        self._network = _interpreter(model, threads)
        self._input, self._outputs = _ports(self._network)
        self._min_presence = min_presence

    def __call__(self, image: Image, roi: Roi) -> Landmarks | None:
        """image (H, W, 3) uint8 BGR → landmarks of the person in `roi`, or None if nobody is there."""
        crop = cut_out(image, roi, LANDMARK_SIZE, cv2.BORDER_REPLICATE)
        self._network.set_tensor(self._input, crop[None].astype(np.float32) * (1 / 255))
        self._network.invoke()
        presence = self._output("Identity_1").item()
        if presence <= self._min_presence:
            return None
        values = self._output("Identity").reshape(NUM_LANDMARKS, 5)  # x, y, z, visibility, presence
        heatmaps = self._output("Identity_3")[0]  # (64, 64, 39)
        cells = refine(values[:, :2] * (HEATMAP_SIZE / LANDMARK_SIZE), heatmaps)
        affine = roi.to_image(HEATMAP_SIZE)
        world = self._output("Identity_4").reshape(NUM_LANDMARKS, 3)[:NUM_NAMED].copy()
        world[:, :2] = world[:, :2] @ Roi(0, 0, 1, roi.rotation).to_image(1)[:, :2].T
        return Landmarks(
            presence=presence,
            xy=apply_affine(affine, cells).astype(np.float32),
            visibility=sigmoid(values[:, 3]),
            world=world.astype(np.float32),
            logits=np.ascontiguousarray(heatmaps[..., :NUM_NAMED].transpose(2, 0, 1)),
            heatmap_to_image=affine,
        )

    def _output(self, name: str) -> Floats:
        return self._network.get_tensor(self._outputs[name])


def sigmoid(x: Floats) -> Floats:
    """Logit → probability, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def cut_out(image: Image, roi: Roi, size: int, border: int) -> Image:
    """The region as (size, size, 3) RGB uint8, bilinear."""
    crop = cv2.warpAffine(
        image,
        roi.to_image(size),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    return cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)


@cache
def anchors() -> Floats:
    """Centres (2254, 2) of the SSD anchors, x and y in fractions of the input; all have unit size."""
    centres = []
    for stride in STRIDES:
        cells = DETECTION_SIZE // stride
        y, x = (np.mgrid[:cells, :cells] + 0.5) / cells
        centres.append(np.stack([x, y], axis=-1).reshape(-1, 2).repeat(2, axis=0))
    # Layers of one stride share their cells: all anchors of a cell stand together.
    ordered = [
        centres[0],
        centres[1],
        np.concatenate([c.reshape(-1, 2, 2) for c in centres[2:]], 1).reshape(-1, 2),
    ]
    return np.concatenate(ordered).astype(np.float32)


def decode_boxes(raw: Floats, centres: Floats) -> Floats:
    """Network output (N, 12) at anchors (N, 2) → (N, 6, 2) fractions of the input: box corners, then the
    4 alignment points (hip centre, rim of the full body, shoulder centre, rim of the upper body)."""
    values = raw.reshape(-1, 6, 2) / np.float32(DETECTION_SIZE)
    centre, size = values[:, 0] + centres, values[:, 1]
    points = values[:, 2:] + centres[:, None]
    return np.concatenate([(centre - size / 2)[:, None], (centre + size / 2)[:, None], points], axis=1)


def distinct_people(boxes: Floats, scores: Floats) -> list[Floats]:
    """Alignment points (4, 2) of each person, the surest first: those of the highest-scoring box, averaged by score
    with all boxes that overlap it, then likewise among the boxes left (weighted non-maximum suppression).

    boxes: (N, 6, 2) as from `decode_boxes`, scores: (N,)."""
    people = []
    while len(scores):
        best = boxes[scores.argmax()]
        shared = np.minimum(boxes[:, 1], best[1]) - np.maximum(boxes[:, 0], best[0])
        intersection = np.prod(np.clip(shared, 0, None), axis=-1)
        areas = np.prod(boxes[:, 1] - boxes[:, 0], axis=-1)
        same = intersection > OVERLAP * (areas + areas[scores.argmax()] - intersection)
        same[scores.argmax()] = True
        people.append(np.average(boxes[same, 2:], axis=0, weights=scores[same]))
        boxes, scores = boxes[~same], scores[~same]
    return people


def refine(cells: Floats, logits: Floats) -> Floats:
    """Move each landmark to the centre of probability of the 7 × 7 cells about it, where the heatmap is sure.

    cells: (K, 2) landmarks in heatmap cells (column, row). logits: (64, 64, K). Returns (K, 2).
    """
    refined = cells.copy()
    rows, columns, _ = logits.shape
    for k, (x, y) in enumerate(cells):
        column, row = int(x), int(y)  # towards zero, as the released graph does
        if not (0 <= column < columns and 0 <= row < rows):
            continue
        top, bottom = max(0, row - REFINE_RADIUS), min(rows, row + REFINE_RADIUS + 1)
        left, right = max(0, column - REFINE_RADIUS), min(columns, column + REFINE_RADIUS + 1)
        weights = sigmoid(logits[top:bottom, left:right, k])
        if weights.max() < REFINE_MIN_CONFIDENCE:
            continue
        total = weights.sum()
        refined[k, 0] = weights.sum(axis=0) @ np.arange(left, right) / total
        refined[k, 1] = weights.sum(axis=1) @ np.arange(top, bottom) / total
    return refined


def _interpreter(model: Path, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter  # late: it is slow to import

    try:
        with _silent():
            network = Interpreter(model_path=str(model), num_threads=threads)
            network.allocate_tensors()
    except (ValueError, RuntimeError, OSError) as error:
        raise InputError(f"{model} is not a TFLite network that LiteRT can run: {error}") from error
    return network


@contextmanager
def _silent() -> Iterator[None]:
    """Keep LiteRT's note about its delegate off the terminal: it is written by C code and has no switch."""
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _ports(network: Any) -> tuple[int, dict[str, int]]:
    """Tensor index of the input, and of each output by name."""
    outputs = {detail["name"]: int(detail["index"]) for detail in network.get_output_details()}
    return int(network.get_input_details()[0]["index"]), outputs
