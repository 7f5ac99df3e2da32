"""People found by a detection network in ONNX: YOLOX, RTMDet, and others that answer like them.

Three forms of answer are known, told apart by their shapes (N boxes, C classes; pixels of the input):
    dets (1, N, 5), labels (1, N)       corners and score, sorted out by the network: mmdeploy's exports
    boxes (1, N, 4), scores (1, N, C)   corners
    one (1, N, 5 + C)                   YOLOX's own export: centre, size, score of anything, of each class; ready,
                                        or relative to the cells of its three grids (Ge et al., "YOLOX", 2021)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posecli.detect.network import Box
from posecli.detect.onnx_session import Output, listed
from posecli.detect.onnx_tried import tried
from posecli.detect.preprocessing import BoxPreprocessing, Described
from posecli.detect.roi import Roi
from posecli.errors import InputError, UsageError

YOLOX = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "channels": "bgr"}
RTMDET = {"mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395), "channels": "bgr"}
STRIDES = (8, 16, 32)

Floats = NDArray[np.float32]


class OnnxFinder:
    """Boxes for pose networks (`posecli.detect.topdown.Finder`).

    path: the model. preprocessing: a TOML file about it; see `posecli.detect.preprocessing`.
    Raises UsageError where onnxruntime is not installed or the description cannot be, InputError for files that are not
    what they should be.
    """

    name = "onnx"

    def __init__(self, path: Path, *, threads: int = 2, preprocessing: Path | None = None) -> None:
        self._session, written, size, outputs = tried(path, preprocessing, threads=threads)
        usual = {**_usual(path, written, outputs), "input_size": size}
        self.preprocessing = written.build(BoxPreprocessing, usual)
        self._places = written.places
        self.version, self.weights_hash = path.stem, self._session.sha256
        self._relative = self._is_relative(outputs)
        self._boxes_and_scores(outputs)

    def settings(self) -> dict[str, Any]:
        """What the result depends on beside the weights, ready for JSON."""
        return {**asdict(self.preprocessing), "described_by": list(self._places), **self._session.settings()}

    def boxes(self, image: NDArray[np.uint8], view: Roi | None = None) -> list[Box]:
        """Boxes about people in the picture (rows, columns, 3) BGR, or in an upright square of it; pixels of the
        picture, the surest first. Raises InputError where the network fails."""
        settings, (width, height) = self.preprocessing, self.preprocessing.input_size
        across, down = image.shape[1::-1] if view is None else (view.side, view.side)
        left, top = (0.0, 0.0) if view is None else (view.x - view.side / 2, view.y - view.side / 2)
        pixel = max(across / width, down / height)  # of the input, in pixels of the image
        affine = np.array([[pixel, 0, left + (pixel - 1) / 2], [0, pixel, top + (pixel - 1) / 2]])
        flags, fill = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, [settings.fill] * 3
        shown = cv2.warpAffine(image, affine, (width, height), flags=flags, borderValue=fill)
        corners, scores = self._boxes_and_scores(self._session.run(settings.tensor(shown)))
        sides = corners[:, 2:] - corners[:, :2]
        keep = (scores >= settings.min_score) & (sides > 1).all(axis=1)
        corners, scores, sides = corners[keep], scores[keep], sides[keep]
        shape = np.concatenate([corners[:, :2], sides], axis=1)
        order = cv2.dnn.NMSBoxes(shape.tolist(), scores.tolist(), 0.0, settings.overlap)
        placed = corners * pixel + np.array([left, top, left, top])
        return [Box(*(float(side) for side in placed[k])) for k in order]

    def _boxes_and_scores(self, outputs: Sequence[Output]) -> tuple[Floats, Floats]:
        """Corners (N, 4) left, top, right, bottom in pixels of the input; how surely a person is in them (N,)."""
        person, values = self.preprocessing.person, [output.values[0] for output in outputs]
        match _form(self._session.path, outputs):
            case "dets":
                dets, labels = values
                return dets[:, :4], np.where(labels == person, dets[:, 4], 0)
            case "boxes":
                corners, scores = values
            case _:
                corners, scores = self._yolox(values[0])
        if person >= scores.shape[1]:
            raise UsageError(
                f"{self._session.path} knows {scores.shape[1]} classes, so person = {person} is none"
            )
        return corners, scores[:, person]

    def _yolox(self, rows: Floats) -> tuple[Floats, Floats]:
        """(N, 5 + C) centre, size, score of anything, of each class → corners (N, 4), scores (N, C)."""
        centre, size = rows[:, :2], rows[:, 2:4]
        if self._relative:
            corner, stride = self._cells
            centre, size = (centre + corner) * stride, np.exp(size.clip(max=10)) * stride
        return np.concatenate([centre - size / 2, centre + size / 2], axis=1), rows[:, 4:5] * rows[:, 5:]

    def _is_relative(self, outputs: Sequence[Output]) -> bool:
        """Whether YOLOX's centres are relative to their cells, about 0.5: else they lie all over the input."""
        if len(outputs) != 1 or outputs[0].shape[1] != len(self._cells[0]):
            return False
        return float(np.abs(outputs[0].values[0, :, :2]).mean()) < min(self.preprocessing.input_size) / 8

    @cached_property
    def _cells(self) -> tuple[Floats, Floats]:
        """(N, 2) column and row of each cell of the three grids, (N, 1) its side in pixels of the input."""
        corners, strides = [], []
        for stride in STRIDES:
            columns, rows = (side // stride for side in self.preprocessing.input_size)
            row, column = np.mgrid[:rows, :columns]
            corners.append(np.stack([column, row], axis=-1).reshape(-1, 2))
            strides.append(np.full((rows * columns, 1), stride))
        return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _form(path: Path, outputs: Sequence[Output]) -> str:
    """Which of the module's three forms these are. Raises InputError for another network's."""
    match [output.shape for output in outputs]:
        case [(1, n, 5), (1, also)] if n == also:
            return "dets"
        case [(1, n, 4), (1, also, _)] if n == also:
            return "boxes"
        case [(1, n, more)] if 5 < more < n:
            return "yolox"
    raise InputError(f"{path} gives {listed(outputs)}: no boxes as of YOLOX or RTMDet")


def _usual(path: Path, written: Described, outputs: Sequence[Output]) -> dict[str, Any]:
    """Values that the network was trained with: YOLOX's own export is YOLOX; of others the name must tell."""
    if _form(path, outputs) == "yolox" or "mean" in written.entries:
        return YOLOX
    names = f"{path.parent.name}/{path.name}".lower()
    for name, values in (("yolox", YOLOX), ("rtmdet", RTMDET)):
        if name in names:
            return values
    raise UsageError(
        f"{path} does not tell which values it takes: call it rtmdet… or yolox… if it is one, or write mean, "
        f"std and channels into {path.with_suffix('.toml').name} beside it"
    )
