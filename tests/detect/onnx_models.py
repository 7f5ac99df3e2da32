"""ONNX networks whose answers are known: they find discs of agreed colours, and say it as RTMPose and others would.

Each joint has a colour of its own that pictures of the world hardly have. The network measures the middle of that
colour's pixels in its input, so where a disc was painted is where its peak must be. Exported by torch.onnx.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB
PEAK = 0.9  # value of the highest cell of a joint that is seen; 0 of one that is not
RATIO = 2.0  # SimCC cells a pixel
SIGMA = 5.0  # SimCC cells, as RTMPose's 4.9 and 5.66
GRID_SIGMA = 2.0  # heatmap cells


def colours(count: int) -> NDArray[np.uint8]:
    """(count, 3) RGB: full red, no green, blue in steps of 9."""
    return np.array([(255, 0, 9 * k) for k in range(count)], np.uint8)


def paint(
    image: NDArray[np.uint8], centres: NDArray[np.floating], radius: float, skip: tuple[int, ...] = ()
) -> None:
    """A disc for each of the centres (J, 2), pixels, into a BGR picture; hard edges, to 1/16 pixel."""
    for j, ((x, y), (r, g, b)) in enumerate(zip(centres, colours(len(centres)).tolist(), strict=True)):
        if j not in skip:
            place = (round(x * 16), round(y * 16))
            cv2.circle(image, place, round(radius * 16), (b, g, r), -1, cv2.LINE_8, shift=4)


class Seen(nn.Module):
    """Input (1, 3, H, W), RGB, normalised → middle (C, 2) of each colour's pixels, how much of it there is (C,)."""

    def __init__(self, palette: NDArray[np.uint8], size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.register_buffer("palette", torch.from_numpy(palette).float()[:, :, None, None])
        self.register_buffer("x", torch.arange(size[0]).float().view(1, 1, -1))
        self.register_buffer("y", torch.arange(size[1]).float().view(1, -1, 1))

    def mask(self, picture: Tensor) -> Tensor:
        """(C, H, W) in [0, 1]"""
        apart = (picture * self.std + self.mean - self.palette).abs().sum(dim=1)
        return (1 - apart / 6).clamp(min=0)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        mask = self.mask(picture)
        mass = mask.sum(dim=(1, 2))
        middle = torch.stack([(mask * self.x).sum(dim=(1, 2)), (mask * self.y).sum(dim=(1, 2))], dim=1)
        return middle / mass.clamp(min=1e-3)[:, None], mass


class RtmPose(nn.Module):
    """SimCC: Gaussians of height PEAK in vectors of RATIO cells a pixel."""

    def __init__(self, joints: int = 17, size: tuple[int, int] = (192, 256), logits: bool = False) -> None:
        super().__init__()
        self.seen, self.logits = Seen(colours(joints), size), logits
        self.register_buffer("columns", torch.arange(round(size[0] * RATIO)).float()[None])
        self.register_buffer("rows", torch.arange(round(size[1] * RATIO)).float()[None])

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        middle, mass = self.seen(picture)
        height = PEAK * (mass / 4).clamp(max=1)[:, None]
        vectors = []
        for k, cells in enumerate((self.columns, self.rows)):
            power = -((cells - RATIO * middle[:, k : k + 1]) ** 2) / (2 * SIGMA**2)
            vectors.append((power + 7 if self.logits else height * power.exp())[None])
        return vectors[0], vectors[1]


class Heatmaps(nn.Module):
    """Gaussians of height PEAK; udp: cells go from edge to edge of the input."""

    def __init__(
        self, joints: int = 17, size: tuple[int, int] = (192, 256), *, udp: bool, logits: bool = False
    ) -> None:
        super().__init__()
        self.seen, self.logits = Seen(colours(joints), size), logits
        width, height = size
        scale = [(width // 4 - 1) / (width - 1), (height // 4 - 1) / (height - 1)] if udp else [1 / 4, 1 / 4]
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("columns", torch.arange(width // 4).float().view(1, 1, -1))
        self.register_buffer("rows", torch.arange(height // 4).float().view(1, -1, 1))

    def forward(self, picture: Tensor) -> Tensor:
        middle, mass = self.seen(picture)
        x, y = (middle * self.scale)[:, :, None, None].unbind(dim=1)
        p = ((-((self.columns - x) ** 2) - (self.rows - y) ** 2) / (2 * GRID_SIGMA**2)).exp()
        p = PEAK * (mass / 4).clamp(max=1)[:, None, None] * p
        return (torch.logit(p, eps=1e-6) if self.logits else p)[None]


PEOPLE = np.array([(0, 255, 0), (0, 255, 60)], np.uint8)
"""RGB of the rectangles that are people to `Detector`, of scores 0.9 and 0.6."""
SCORES = (0.9, 0.6)


class Detector(nn.Module):
    """Rectangles of agreed colours as boxes, each found twice, and once more as something that is no person.

    form: "dets" as mmdeploy exports YOLOX and RTMDet, with each box once; "boxes" with their scores beside; "yolox"
    and "yolox-cells" as YOLOX exports itself, ready and relative to its grids.
    mean, std: BGR, that the input was normalised with.
    """

    def __init__(
        self, form: str, size: tuple[int, int] = (640, 640), mean: Any = (0, 0, 0), std: Any = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.form, self.size = form, size
        self.seen = Seen(PEOPLE[:, ::-1].copy(), size)
        self.seen.mean[:] = torch.tensor(mean).float().view(1, 3, 1, 1)
        self.seen.std[:] = torch.tensor(std).float().view(1, 3, 1, 1)
        self.register_buffer("scores", torch.tensor(SCORES))
        corners, strides = [], []
        for stride in (8, 16, 32):
            row, column = torch.meshgrid(*(torch.arange(s // stride) for s in size[::-1]), indexing="ij")
            corners.append(torch.stack([column, row], dim=-1).reshape(-1, 2))
            strides.append(torch.full((corners[-1].shape[0], 1), stride))
        self.register_buffer("corners", torch.cat(corners).float())
        self.register_buffer("strides", torch.cat(strides).float())

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        mask = (self.seen.mask(picture) > 0.5).float()
        far = 1e4
        low = torch.stack(
            [(far - (far - s) * mask).amin(dim=(1, 2)) for s in (self.seen.x, self.seen.y)], dim=1
        )
        high = torch.stack([(s * mask).amax(dim=(1, 2)) for s in (self.seen.x, self.seen.y)], dim=1) + 1
        scores = self.scores * (mask.sum(dim=(1, 2)) > 0)
        low = torch.minimum(low, high)
        boxes = torch.cat([low, high], dim=1)  # (2, 4)
        if self.form == "dets":
            other = torch.tensor([[10.0, 10.0, 300.0, 300.0, 0.95]])
            dets = torch.cat([torch.cat([boxes, scores[:, None]], dim=1), other])
            return dets[None], torch.tensor([[0, 0, 16]])
        twice = torch.cat([boxes, boxes + 2])
        of_person = torch.cat([scores, scores * 0.9])
        if self.form == "boxes":
            return twice[None], torch.stack([of_person, 1 - of_person], dim=1)[None]
        rows = len(self.corners)
        centre, side = (twice[:, :2] + twice[:, 2:]) / 2, twice[:, 2:] - twice[:, :2]
        if self.form == "yolox-cells":
            filler = torch.cat([torch.full((rows - 4, 2), 0.5), torch.zeros(rows - 4, 2)], dim=1)
            corner, stride = self.corners[:4], self.strides[:4]
            places = torch.cat([centre / stride - corner, (side.clamp(min=1) / stride).log()], dim=1)
        else:
            filler = torch.cat(
                [(self.corners + 0.5)[4:] * self.strides[4:], torch.full((rows - 4, 2), 20.0)], dim=1
            )
            places = torch.cat([centre, side], dim=1)
        sure, nothing = torch.ones(4, 1), torch.zeros(rows - 4, 3)
        found = torch.cat([places, sure, of_person[:, None], 1 - of_person[:, None]], dim=1)
        return (torch.cat([found, torch.cat([filler, nothing], dim=1)])[None],)


def export(
    network: nn.Module,
    path: Path,
    names: list[str],
    size: tuple[int, int] = (192, 256),
    *,
    open_sides: bool = False,
) -> Path:
    """Write `network` as mmdeploy would: input "input", batch left open. open_sides: height and width too."""
    axes = {0: "batch", **({2: "height", 3: "width"} if open_sides else {})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (torch.zeros(1, 3, size[1], size[0]),), str(path), input_names=["input"],
            output_names=names, dynamic_axes={"input": axes}, opset_version=17, dynamo=False,
        )  # fmt: skip
    return path


def constant(
    path: Path,
    outputs: dict[str, tuple[int, ...]],
    *,
    value: float = 0.0,
    inputs: dict[str, tuple[int, ...]] | None = None,
) -> Path:
    """A network that gives the same numbers whatever it is shown."""
    inputs = inputs or {"input": (1, 3, 256, 192)}
    kind = onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node(
            "ConstantOfShape", [f"{n}_shape"], [n], value=onnx.helper.make_tensor("v", kind, [1], [value])
        )
        for n in outputs
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "constant",
        [onnx.helper.make_tensor_value_info(n, kind, s) for n, s in inputs.items()],
        [onnx.helper.make_tensor_value_info(n, kind, s) for n, s in outputs.items()],
        [
            onnx.helper.make_tensor(f"{n}_shape", onnx.TensorProto.INT64, [len(s)], s)
            for n, s in outputs.items()
        ],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    return path
