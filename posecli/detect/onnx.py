"""Top-down pose networks in ONNX: RTMPose and others with SimCC vectors, HRNet, ViTPose and others with heatmaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posecli.detect.box_crop import BoxCrop
from posecli.detect.decoding import concentration, grid_joints, simcc_joints, softmax
from posecli.detect.heatmaps import HeatmapFormat, Kind, Layout
from posecli.detect.network import Box, PoseSeen
from posecli.detect.onnx_session import Output, listed
from posecli.detect.onnx_tried import tried
from posecli.detect.preprocessing import IMAGENET, PosePreprocessing
from posecli.detect.roi import apply_affine
from posecli.errors import InputError, UsageError

if TYPE_CHECKING:
    from posecli.detect.backends import DetectorOptions

_SKELETONS: dict[int, tuple[str, tuple[int, ...]]] = {
    17: ("coco17", ()),
    26: ("halpe26", ()),
    133: ("coco17", tuple(range(17))),  # COCO-WholeBody begins with the body
}
"""Joints that a network gives → the skeleton that is meant if nothing else is written, and where in it."""


def load(options: DetectorOptions, *, threads: int) -> OnnxPose:
    """The network of `options.model`, shown pictures as `options.preprocessing` or the model itself says."""
    if options.model is None:
        raise UsageError("--detector onnx needs --det-model")
    return OnnxPose(options.model, threads=threads, preprocessing=options.preprocessing)


class OnnxPose:
    """A top-down network (`posecli.detect.network.PoseNetwork`).

    path: the model. preprocessing: a TOML file about it; see `posecli.detect.preprocessing`.
    Raises UsageError where onnxruntime is not installed or the description cannot be, InputError for files that are not
    what they should be.
    """

    name = "onnx"

    def __init__(self, path: Path, *, threads: int = 2, preprocessing: Path | None = None) -> None:
        self._session, written, size, outputs = tried(path, preprocessing, threads=threads)
        usual = _usual(outputs, size)
        if "skeleton" in written.entries:
            usual["joints"] = ()  # they were those of the usual one
        self.preprocessing = written.build(PosePreprocessing, usual)
        self._places = written.places
        self.version, self.weights_hash = path.stem, self._session.sha256
        self.skeleton = self.preprocessing.joint_set
        kind: Kind = "logit" if self.preprocessing.values == "logit" else "probability"
        layout: Layout = "simcc" if self.preprocessing.codec == "simcc" else "grid"
        self.format = HeatmapFormat(self.skeleton.joint_names, kind, self.preprocessing.codec, layout)
        self._values(outputs)

    def settings(self) -> dict[str, Any]:
        """What the result depends on beside the weights, ready for JSON."""
        return {**asdict(self.preprocessing), "described_by": list(self._places), **self._session.settings()}

    def look(self, image: NDArray[np.uint8], box: Box) -> PoseSeen:
        """See `posecli.detect.network.PoseNetwork`. Raises InputError where the network fails."""
        settings, width, height = self.preprocessing, *self.preprocessing.input_size
        crop = BoxCrop.around(box, width / height, settings.padding)
        edges = settings.codec == "udp"
        shown = crop.cut(image, (width, height), edges=edges)
        values = self._values(self._session.run(settings.tensor(shown)))
        if settings.codec == "simcc":
            x, y = values
            cells, scores = simcc_joints(x, y, self.format.kind)
            ratio = settings.simcc_split_ratio
            to_image = crop.to_image((width * ratio, height * ratio), edges=False)
        else:
            (grid,) = values
            cells, scores = grid_joints(grid, self.format.kind)
            to_image = crop.to_image((grid.shape[2], grid.shape[1]), edges=edges)
        if settings.values == "softmax":
            across, down = values if len(values) == 2 else (values[0].sum(axis=1), values[0].sum(axis=2))
            scores = np.minimum(concentration(across), concentration(down))
        xy = apply_affine(to_image, cells).astype(np.float32)
        xy[scores <= 0] = np.nan  # no peak, no place
        return PoseSeen(xy, scores, values, to_image)

    def _values(self, outputs: Sequence[Output]) -> tuple[NDArray[np.float32], ...]:
        """The skeleton's joints as vectors (J, columns) and (J, rows), or heatmaps (J, rows, columns)."""
        settings, path, simcc = self.preprocessing, self._session.path, self.format.layout == "simcc"
        order = _order(outputs, settings.input_size)
        if len(order) != (2 if simcc else 1):
            wanted = "SimCC's two vectors" if simcc else "heatmaps"
            raise InputError(f"{path} gives {listed(outputs)}, not {wanted} of one person; it cannot be used")
        values = [outputs[k].values[0] for k in order]
        cells = [round(side * settings.simcc_split_ratio) for side in settings.input_size]
        if simcc and [v.shape[1] for v in values] != cells:
            raise UsageError(
                f"{path} gives {listed(outputs)}, but simcc_split_ratio = {settings.simcc_split_ratio:g} means vectors "
                f"of {cells[0]} and {cells[1]}"
            )
        joints, given = settings.joints or tuple(range(self.skeleton.num_joints)), len(values[0])
        if max(joints) >= given or (not settings.joints and given != len(joints)):
            raise UsageError(
                f"{path} gives {given} joints, {settings.skeleton} has {self.skeleton.num_joints}: write skeleton and "
                f"joints into {path.with_suffix('.toml').name} beside it"
            )
        chosen = [v[list(joints)] for v in values]
        return tuple(softmax(v, v.ndim - 1) if settings.values == "softmax" else v for v in chosen)


def _usual(outputs: Sequence[Output], size: tuple[int, int]) -> dict[str, Any]:
    """What the outputs' shapes tell, and else what such networks have in common."""
    usual: dict[str, Any] = {**IMAGENET, "input_size": size}
    if order := _order(outputs, size):
        first = outputs[order[0]].shape
        usual["codec"] = "simcc" if len(order) == 2 else "msra"
        if len(order) == 2:
            usual["simcc_split_ratio"] = first[2] / size[0]
        if first[1] in _SKELETONS:
            usual["skeleton"], usual["joints"] = _SKELETONS[first[1]]
    return usual


def _order(outputs: Sequence[Output], size: tuple[int, int]) -> tuple[int, ...]:
    """Which outputs are SimCC's x and y, or which one the heatmaps; empty for another network's."""
    shapes = [output.shape for output in outputs]
    match shapes:
        case [(1, _, rows, columns)] if rows > 1 and columns > 1:
            return (0,)
        case [(1, joints, first, *rest), (1, same, second, *more)] if (
            joints == same and not rest and not more
        ):
            if outputs[0].name.endswith("y") and outputs[1].name.endswith("x"):
                return (1, 0)
            if first * size[1] == second * size[0]:
                return (0, 1)
            if first * size[0] == second * size[1]:
                return (1, 0)
    return ()
