"""Heatmaps kept: the record every detector makes, and a sparse store that reads back as full arrays.

What is stored
    Values become probabilities p (logits through the sigmoid, probabilities as they are, clipped to [0, 1]).
    A cell with p < 0.002 becomes code 0; any other becomes one byte, the square root of p on 255 equal steps
    from sqrt(0.002) to 1, so that small probabilities keep finer steps. Bytes of 16 frames at a time are
    compressed by HDF5's gzip: the zeros cost next to nothing. BlazePose's 33 × 64 × 64 cells take 4–6 kB a
    frame instead of 541 kB.
    Beside the cells stand the moments of the whole heatmap before anything was dropped: mass, mean and
    covariance for each joint, float32.

What is lost (figures of real clips: median, 95th percentile, largest)
    p: at most 0.0038 where kept (half a step, at p = 1; 0.0002 at p = 0.002), less than 0.002 where dropped.
    Peak: the largest cell read back held, before, at most 0.0076 less than the true maximum. On real clips it
        is the very same cell for 19 joints in 20 and else a neighbour.
    Far, faint cells: they hold 1.5 %, 10 %, 13 % of a heatmap's mass. Computed from the kept cells alone, the
        mean would be off by 0.3, 2.6, 4 cells and the standard deviation 30 %, 60 %, 83 % too small; the
        stored moments are exact (1e-4 cells), so use them where that matters.
    Logits read back are those of the stored p: within 0.13 of the truth for p from 0.002 to 0.97; never above
        6.9, and -6.9 (p = 0.001) where the cell was dropped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from posecli.detect import untrusted_h5 as h5

Kind = Literal["logit", "probability"]
Layout = Literal["grid", "simcc"]

FLOOR = 2e-3  # smaller probabilities are dropped
_SQRT_FLOOR = float(np.sqrt(FLOOR))
_STEP = (1.0 - _SQRT_FLOOR) / 254  # codes 1 … 255
_LOGIT_CLIP = (FLOOR / 2, 1 - FLOOR / 2)
_CHUNK_FRAMES = 16
_MAX_READ_BYTES = 1 << 32
_GRIDS: dict[str, tuple[str, ...]] = {"grid": ("grid",), "simcc": ("x", "y")}


@dataclass(frozen=True)
class HeatmapFormat:
    """What the records of one clip have in common.

    joint_names: J names. kind: what the network's numbers are. codec: how its training encoded a joint as a
    heatmap ("blazepose", "msra", "udp", "simcc"); the affine of a record already accounts for it.
    layout: "grid", one array (J, rows, columns); "simcc", two arrays (J, columns) and (J, rows).
    """

    joint_names: tuple[str, ...]
    kind: Kind
    codec: str
    layout: Layout = "grid"

    def __post_init__(self) -> None:
        for value, allowed in ((self.kind, get_args(Kind)), (self.layout, get_args(Layout))):
            if value not in allowed:
                raise ValueError(f"must be one of {', '.join(allowed)}. Got {value!r}")


@dataclass(frozen=True)
class HeatmapRecord:
    """What a network said about one frame, before anybody took a maximum.

    frame: row of the clip's keypoints. values: one array or two, as `format.layout` says, float.
    to_image: (2, 3) affine from heatmap cell (column, row), whole numbers at cell centres, to image pixel.
    """

    format: HeatmapFormat
    frame: int
    values: tuple[NDArray[np.floating], ...]
    to_image: NDArray[np.float64]


class HeatmapSink(Protocol):
    """Takes records as they are made."""

    def append(self, record: HeatmapRecord) -> None: ...


def encode(p: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Probabilities (any shape) → codes."""
    p = np.clip(p, 0.0, 1.0)
    codes = np.zeros(p.shape, np.uint8)
    kept = p >= FLOOR
    codes[kept] = np.rint((np.sqrt(p[kept]) - _SQRT_FLOOR) / _STEP) + 1
    return codes


def decode(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Codes (any shape) → probabilities; 0 where the cell was dropped."""
    table = (_SQRT_FLOOR + (np.arange(256) - 1) * _STEP) ** 2
    table[0] = 0.0
    return table.astype(np.float32)[codes]


def moments(p: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probabilities (J, rows, columns) → (J, 6) mass, mean x, mean y, variance xx, xy, yy, in cells."""
    joints, rows, columns = p.shape
    y, x = (grid.ravel() for grid in np.mgrid[:rows, :columns] - np.array([rows, columns])[:, None, None] / 2)
    sums = p.reshape(joints, -1) @ np.stack([x**0, x, y, x * x, x * y, y * y], axis=1)  # (J, 6)
    mass = sums[:, 0]
    _, mx, my, xx, xy, yy = (sums / np.maximum(mass, 1e-30)[:, None]).T
    centred = (mass, mx + columns / 2, my + rows / 2, xx - mx * mx, xy - mx * my, yy - my * my)
    return np.stack(centred, axis=1).astype(np.float32)


def to_probability(values: NDArray[np.floating], kind: Kind) -> NDArray[np.float32]:
    """A network's numbers → probabilities, float32."""
    if kind == "probability":
        return np.asarray(values, np.float32)
    return (0.5 * (1.0 + np.tanh(0.5 * np.asarray(values, np.float32)))).astype(np.float32)


class HeatmapWriter:
    """Appends records to an open HDF5 group; holds at most 16 frames of codes. Call `flush` at the end."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self._format: HeatmapFormat | None = None
        self._pending: list[HeatmapRow] = []
        self._count = 0

    def append(self, record: HeatmapRecord) -> None:
        row = _encode_record(record)
        if self._format is None:
            self._create(record.format, row)
        elif record.format != self._format:
            raise ValueError("all heatmaps of a clip must have one format")
        self._pending.append(row)
        if len(self._pending) == _CHUNK_FRAMES:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        if self._format is None or not self._pending:
            return
        start, self._count = self._count, self._count + len(self._pending)
        for name, dataset in self._group.items():
            stacked = np.stack([row[name] for row in self._pending])
            if name in _GRIDS[self._format.layout]:  # time last: equal cells of 16 frames lie side by side
                dataset.resize(self._count, axis=dataset.ndim - 1)
                dataset[..., start:] = np.moveaxis(stacked, 0, -1)
            else:
                dataset.resize(self._count, axis=0)
                dataset[start:] = stacked
        self._pending.clear()

    def _create(self, format: HeatmapFormat, row: HeatmapRow) -> None:
        self._format = format
        attributes = self._group.attrs
        attributes["joint_names"] = json.dumps(format.joint_names)
        attributes["kind"], attributes["codec"], attributes["layout"] = (
            format.kind,
            format.codec,
            format.layout,
        )
        attributes["code"] = (
            f"0: dropped (p < {FLOOR}); c in 1..255: p = (sqrt({FLOOR}) + (c - 1) / 254 * (1 - sqrt({FLOOR})))^2"
        )
        for name, value in row.items():
            if name in _GRIDS[format.layout]:
                shape, chunks = (*value.shape, 0), (*value.shape, _CHUNK_FRAMES)
                limit: tuple[int | None, ...] = (*value.shape, None)
                options: dict[str, Any] = {"compression": "gzip", "compression_opts": 4}
            else:
                shape, limit, chunks = (0, *value.shape), (None, *value.shape), (_CHUNK_FRAMES, *value.shape)
                options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
            self._group.create_dataset(
                name, shape=shape, maxshape=limit, chunks=chunks, dtype=value.dtype, **options
            )


HeatmapRow = dict[str, NDArray[Any]]
"""One frame's entry for each dataset: grid or x and y, moments (grid only), frame, to_image."""


def _encode_record(record: HeatmapRecord) -> HeatmapRow:
    names = _GRIDS[record.format.layout]
    joints = len(record.format.joint_names)
    if len(record.values) != len(names) or any(len(v) != joints for v in record.values):
        raise ValueError(f"{record.format.layout}: {len(names)} arrays of {joints} joints are needed")
    row: HeatmapRow = {
        "frame": np.array(record.frame, np.int64),
        "to_image": record.to_image.astype(np.float64),
    }
    for name, values in zip(names, record.values, strict=True):
        p = to_probability(values, record.format.kind)
        row[name] = encode(p)
        if name == "grid":
            row["moments"] = moments(np.clip(p, 0.0, 1.0))
    return row


class Heatmaps:
    """The heatmaps of a detections file, read when asked for; a row per frame in which somebody was found.

    format: see `HeatmapFormat`. frames: (N,) rows of the clip's keypoints, increasing. to_image: (N, 2, 3).
    moments: (N, J, 6) mass, mean x, mean y, variance xx, xy, yy of each whole heatmap in cells; None for
    "simcc". Arrays are the full ones: dropped cells are filled in as the module's text says.
    """

    def __init__(self, path: Path, group: h5py.Group, clip_length: int) -> None:
        """Check the group of an open, untrusted file. Raises `untrusted_h5.Malformed`."""
        self._path, self._group_name = path, group.name
        names = h5.json_value(group, "joint_names", list)
        if not all(isinstance(name, str) for name in names):
            raise h5.Malformed("joint_names holds more than names")
        try:
            kind, layout = h5.text(group, "kind"), h5.text(group, "layout")
            self.format = HeatmapFormat(tuple(names), kind, h5.text(group, "codec"), layout)  # type: ignore[arg-type]
        except ValueError as error:
            raise h5.Malformed(str(error)) from error
        self.frames: NDArray[np.int64] = h5.read(group, "frame", np.int64, (None,))
        n, joints = len(self.frames), len(names)
        if n and not (
            self.frames[0] >= 0 and (np.diff(self.frames) > 0).all() and self.frames[-1] < clip_length
        ):
            raise h5.Malformed("heatmaps of frames that are not in the clip")
        self.to_image: NDArray[np.float64] = h5.read(group, "to_image", np.float64, (n, 2, 3))
        self.moments: NDArray[np.float32] | None = None
        if layout == "grid":
            self.moments = h5.read(group, "moments", np.float32, (n, joints, 6))
        for name, shape in self._shapes(n).items():
            h5.dataset(group, name, np.uint8, shape)

    def __len__(self) -> int:
        return len(self.frames)

    def read(
        self, start: int = 0, stop: int | None = None, *, kind: Kind = "probability"
    ) -> tuple[NDArray[np.float32], ...]:
        """Rows start … stop - 1 as full arrays, (N, J, rows, columns) or for "simcc" (N, J, columns) and
        (N, J, rows), as probabilities or logits. Raises InputError where the file is damaged."""
        start, stop, _ = slice(start, stop).indices(len(self))
        with h5.opened(self._path, "a detections file") as file:
            group = file[self._group_name]
            arrays = []
            for name, shape in self._shapes(len(self)).items():
                item = h5.dataset(group, name, np.uint8, shape)
                if 4 * float(np.prod(item.shape[:-1], dtype=float)) * (stop - start) > _MAX_READ_BYTES:
                    raise h5.Malformed(f"{stop - start} heatmaps are too many to read at once")
                codes = np.moveaxis(item[..., start : max(start, stop)], -1, 0)
                arrays.append(_as_kind(decode(np.ascontiguousarray(codes)), kind))
        return tuple(arrays)

    def _shapes(self, n: int) -> dict[str, tuple[int | None, ...]]:
        joints = len(self.format.joint_names)
        if self.format.layout == "grid":
            return {"grid": (joints, None, None, n)}
        return {"x": (joints, None, n), "y": (joints, None, n)}


def _as_kind(p: NDArray[np.float32], kind: Kind) -> NDArray[np.float32]:
    if kind == "probability":
        return p
    p = np.clip(p, *_LOGIT_CLIP)
    return np.log(p / (1 - p))
