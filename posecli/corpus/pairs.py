"""The paired set: what the real detector said of rendered mannequins, beside the exact truth.

Windows of corpus motion are varied as in training (`posecli.corpus.simulate`), put before random cameras
(`posecli.corpus.viewpoints`), rendered (`posecli.corpus.mannequin`) and shown to BlazePose frame by frame as a
video is. Layout of the file (HDF5, version 2), N windows of T frames at 30 Hz:

    split, viewpoint, subject (N,)   indices into SPLITS and viewpoints.NAMES; whose motion
    size (N, 2) pixels   focal (N,) pixels, principal point in the middle   up (N, 3) world's up, camera frame
    xy (N, T, 33, 2)     landmarks, sixteenths of a pixel, MISSED where nobody was found
    scores (N, T, 33)    of 255
    points (N, T, 28, 3) truth, camera frame, half millimetres
    heatmaps (N, T, 19, 7)   of the landmarks in LANDMARK_NAMES: mass, mean x, y, variance xx, xy, yy of the whole
                             heatmap in cells, and its largest probability
    to_image (N, T, 2, 3)    heatmap cell to pixel
    places (N, T, 19, 4, 6)  where the same landmarks may be, as bytes of `posecli.corpus.pair_clouds`

Files of version 1 lack `places` and are read all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from posecli.camera import Pinhole
from posecli.corpus.landmarks_seen import LANDMARK_NAMES, SEEN_COLUMNS
from posecli.corpus.mannequin import Stage, Style
from posecli.corpus.mannequin_room import Ground
from posecli.corpus.pair_clouds import BYTES, COMPONENTS, pack
from posecli.corpus.simulate import Simulator, SimulatorConfig
from posecli.corpus.store import POINT_NAMES, SPLITS, Clip
from posecli.corpus.viewpoints import NAMES, Seen
from posecli.detect import untrusted_h5 as h5
from posecli.detect.blazepose import HEATMAPS, BlazePose
from posecli.detect.heatmaps import HeatmapRecord, moments, to_probability
from posecli.errors import InputError, UsageError
from posecli.files import atomic_write
from posecli.media.frames import Frame
from posecli.skeleton import BLAZEPOSE33

FORMAT, SCHEMA = "posecli.pairs", 2
RATE = 30.0
SIDES = (640, 1280)  # pixels of the longer side, fewest and most
PERSON = 320  # pixels that a person should have; BlazePose looks at a crop of 256 × 256
XY_STEPS, MISSED = 16, -32768
POINT_STEPS = 2000  # a metre
ROUND = (10, 2, 2)  # windows of train, val, test subjects that are made (and saved) together
_MAX_WINDOWS, _MAX_FRAMES = 20_000, 2_000


@dataclass(frozen=True)
class Pairs:
    """Windows as the detector saw them and as they were; arrays in plain units.

    xy: (N, T, 33, 2) pixels, NaN where missed. scores: (N, T, 33) in [0, 1], 0 where missed. points: (N, T, 28, 3)
    metres, camera frame. size: (N, 2) width and height, pixels. focal: (N,) pixels. up: (N, 3). heatmaps,
    to_image: see the module, NaN where missed. subject, split, viewpoint: (N,). places: (N, T, 19, 4, 6) packed
    clouds, zero where missed; None in files of version 1.
    """

    xy: NDArray[np.float32]
    scores: NDArray[np.float32]
    points: NDArray[np.float32]
    size: NDArray[np.int32]
    focal: NDArray[np.float32]
    up: NDArray[np.float32]
    heatmaps: NDArray[np.float32]
    to_image: NDArray[np.float32]
    subject: NDArray[np.int32]
    split: NDArray[np.uint8]
    viewpoint: NDArray[np.uint8]
    places: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def found(self) -> NDArray[np.bool_]:
        """(N, T): somebody was found."""
        return np.isfinite(self.xy[..., 0, 0])

    def of(self, split: str) -> Pairs:
        """The windows of one side of the split."""
        rows = self.split == SPLITS.index(split)
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        kept: dict[str, Any] = {k: None if column is None else column[rows] for k, column in columns.items()}
        return Pairs(**kept)

    def projections(self) -> NDArray[np.float32]:
        """True pixels (N, T, 28, 2) of `points`."""
        flat = self.points[..., :2] / self.points[..., 2:]
        pixels = flat * self.focal[:, None, None, None] + self.size[:, None, None, :] / 2
        return pixels.astype(np.float32)


def make_pairs(
    clips: Sequence[Clip],
    out: Path,
    *,
    windows: int = 448,
    frames: int = 45,
    seed: int = 0,
    detector: BlazePose | None = None,
    config: SimulatorConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Render and detect `windows` windows (whole rounds of 10 train, 2 val and 2 test ones) into `out`.

    The file is replaced after every round of 14, so an interrupted run loses little and goes on where it stopped;
    the result does not depend on interruptions. progress: called with (windows done, windows in all). Returns
    how many windows the file holds, which are more than `windows` where it held more before. Raises UsageError for
    the file of a run with another seed, length, corpus, simulator or detector at `out`, OutputError, InputError.
    """
    if not (1 <= windows <= _MAX_WINDOWS and 2 <= frames <= _MAX_FRAMES):
        raise UsageError(f"windows must be from 1 to {_MAX_WINDOWS}, frames from 2 to {_MAX_FRAMES}")
    if not 0 <= seed < 2**40:
        raise UsageError(f"a seed must be a whole number from 0 to 2^40 - 1, not {seed}")
    config = config or SimulatorConfig()
    sides = [[c for c in clips if c.split == name] for name in SPLITS]
    if not all(sides):
        raise InputError(
            "the corpus lacks clips of one side of the split; make it with 'posecli data build cmu'"
        )
    detector = detector or BlazePose()
    about = {
        "seed": seed, "frames": frames, "clips": len(clips), "points": sum(len(c) for c in clips),
        "detector": detector.version, "settings": _digest(config, detector),
    }  # fmt: skip
    made = _resumed(out, about)
    simulators = [Simulator(side, frames, config) for side in sides]
    rounds = -(-windows // sum(ROUND))
    for number in range(len(made), rounds):
        if progress is not None:
            progress(number * sum(ROUND), rounds * sum(ROUND))
        made.append(_round(simulators, detector, seed, number, progress, rounds))
        _write(out, made, about)
    return len(made) * sum(ROUND)


def _digest(config: SimulatorConfig, detector: BlazePose) -> str:
    """Of all else that the windows depend on."""
    settings = [asdict(config), detector.weights_hash, detector.settings()]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


Columns = dict[str, NDArray[Any]]


def _round(
    simulators: Sequence[Simulator],
    detector: BlazePose,
    seed: int,
    number: int,
    progress: Callable[[int, int], None] | None,
    rounds: int,
) -> Columns:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    rng = np.random.default_rng([seed, number])
    rows: list[Columns] = []
    for split, (simulator, count) in enumerate(zip(simulators, ROUND, strict=True)):
        # Bodies are mixed within a batch: draw some more than are used.
        points, subjects = simulator.motion_of(max(count, 8), generator)
        seen = simulator.see(points[:count], generator)
        for row in range(count):
            window = _film(seen, row, detector, rng)
            rows.append(
                window
                | {"subject": np.array(int(subjects[row]), np.int32), "split": np.array(split, np.uint8)}
            )
            if progress is not None:
                progress(number * sum(ROUND) + len(rows), rounds * sum(ROUND))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _film(seen: Seen, row: int, detector: BlazePose, rng: np.random.Generator) -> Columns:
    """Render one window and run the detector on it."""
    points = seen.points[row].numpy().astype(np.float64)
    half, up = seen.half[row].numpy(), seen.up[row].numpy()
    flat = seen.flat(seen.points)[row]
    extent = float((flat.amax(dim=1) - flat.amin(dim=1)).amax(dim=-1).median()) / (2 * half.max())
    size = np.round(half / half.max() * np.clip(PERSON / extent, *SIDES) / 2).astype(int) * 2
    width, height = (int(s) for s in size)
    focal = float(Pinhole.from_fov((width, height)).focal * seen.zoom[row])
    k = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    ground = Ground((float(up[0]), float(up[1]), float(up[2])), float((points @ up).min()) - 0.02)
    stage = Stage(k, (width, height), Style.random(rng), ground, float(points[:, 0, 2].mean()))
    first = int(rng.integers(2**30))

    def pictures() -> Iterator[Frame]:
        for index, pose in enumerate(points):
            yield Frame(stage.render(pose, seed=first + index), index / RATE, index)

    sink = _Summaries(len(points))
    found = detector.detect(pictures(), (width, height), heatmaps=sink)
    xy = np.where(found.found[:, None, None], np.clip(np.round(found.xy * XY_STEPS), -32767, 32767), MISSED)
    return {
        "viewpoint": np.array(int(seen.viewpoint[row]), np.uint8), "size": size.astype(np.int32),
        "focal": np.array(focal, np.float32),
        "up": up.astype(np.float32),
        "xy": xy.astype(np.int16), "scores": np.round(found.scores * 255).astype(np.uint8),
        "points": np.round(np.clip(points * POINT_STEPS, -32767, 32767)).astype(np.int16),
        "heatmaps": sink.rows, "to_image": sink.to_image, "places": sink.places(),
    }  # fmt: skip


class _Summaries:
    """Takes heatmaps as the detector makes them and keeps their moments and peaks, and what clouds are drawn from."""

    def __init__(self, frames: int) -> None:
        self._maps: dict[int, NDArray[np.float32]] = {}
        self.rows = np.full((frames, len(SEEN_COLUMNS), 7), np.nan, np.float16)
        self.to_image = np.full((frames, 2, 3), np.nan, np.float32)

    def append(self, record: HeatmapRecord) -> None:
        p = to_probability(record.values[0][SEEN_COLUMNS], record.format.kind)
        self.rows[record.frame, :, :6] = moments(p)
        self.rows[record.frame, :, 6] = p.max(axis=(1, 2))
        self.to_image[record.frame] = record.to_image
        self._maps[record.frame] = p

    def places(self) -> NDArray[np.uint8]:
        """(T, 19, 4, 6), all frames at once: much faster than one by one."""
        packed = np.zeros((len(self.rows), len(SEEN_COLUMNS), COMPONENTS, BYTES), np.uint8)
        if self._maps:
            maps = np.concatenate(list(self._maps.values()))
            packed[list(self._maps)] = pack(maps, HEATMAPS).reshape(len(self._maps), *packed.shape[1:])
        return packed


# The file ----------------------------------------------------------------------------------------------

_SHAPES: dict[str, tuple[type[np.generic], tuple[int, ...], bool]] = {
    "split": (np.uint8, (), False), "viewpoint": (np.uint8, (), False), "subject": (np.int32, (), False),
    "size": (np.int32, (2,), False), "focal": (np.float32, (), False), "up": (np.float32, (3,), False),
    "xy": (np.int16, (BLAZEPOSE33.num_joints, 2), True), "scores": (np.uint8, (BLAZEPOSE33.num_joints,), True),
    "points": (np.int16, (len(POINT_NAMES), 3), True), "heatmaps": (np.float16, (len(LANDMARK_NAMES), 7), True),
    "to_image": (np.float32, (2, 3), True),
    "places": (np.uint8, (len(LANDMARK_NAMES), COMPONENTS, BYTES), True),
}  # fmt: skip
"""Column → type, shape of an entry, whether it has an entry for every frame."""
_SINCE_2 = ("places",)


def _write(path: Path, made: Sequence[Columns], about: dict[str, Any]) -> None:
    with atomic_write(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["format"], file.attrs["schema"], file.attrs["about"] = FORMAT, SCHEMA, json.dumps(about)
        for name in _SHAPES:
            data = np.concatenate([columns[name] for columns in made])
            # Frame to frame little changes: entries side by side along time compress best.
            if _SHAPES[name][2]:
                data = np.ascontiguousarray(np.moveaxis(data.reshape(*data.shape[:2], -1), 1, -1))
            file.create_dataset(name, data=data, compression="gzip", compression_opts=4, shuffle=True)


def _read(path: Path) -> tuple[Columns, dict[str, Any]]:
    with h5.opened(path, "a paired set of posecli") as file:
        if "format" not in file.attrs or h5.text(file, "format") != FORMAT:
            raise h5.Malformed("it was not written by 'posecli data pairs'")
        schema = int(file.attrs.get("schema", 0))
        if schema not in (1, SCHEMA):
            raise h5.Malformed("it has another version; make it anew with 'posecli data pairs'")
        about = h5.json_value(file, "about", dict)
        frames, count = about.get("frames"), len(h5.dataset(file, "split", np.uint8, (None,)))
        if not (isinstance(frames, int) and 2 <= frames <= _MAX_FRAMES and 0 < count <= _MAX_WINDOWS):
            raise h5.Malformed("it claims a size that makes no sense")
        columns = {}
        for name, (dtype, shape, timed) in _SHAPES.items():
            if schema == 1 and name in _SINCE_2:
                continue
            if not timed:
                columns[name] = h5.read(file, name, dtype, (count, *shape))
                continue
            flat = h5.read(file, name, dtype, (count, int(np.prod(shape)), frames))
            columns[name] = np.moveaxis(flat, -1, 1).reshape(count, frames, *shape)
        if columns["split"].max() >= len(SPLITS) or columns["viewpoint"].max() >= len(NAMES):
            raise h5.Malformed("it has windows of an unknown split or viewpoint")
        if not (
            np.isfinite(columns["focal"]).all() and columns["focal"].min() > 0 and columns["size"].min() > 0
        ):
            raise h5.Malformed("it has cameras that make no sense")
        if columns["points"][..., 2].min() <= 0:
            raise h5.Malformed("it has points behind the camera")
        seen = columns["xy"][..., 0, 0] != MISSED
        if not np.isfinite(columns["to_image"][seen]).all():
            raise h5.Malformed("it has heatmaps that lie nowhere in the picture")
    return columns, about


def _resumed(out: Path, about: dict[str, Any]) -> list[Columns]:
    """Rounds that are in `out` already."""
    if not out.exists():
        return []
    columns, found = _read(out)
    if found != about:
        raise UsageError(
            f"{out} is of other settings, another corpus, detector or version; delete it or choose another --out"
        )
    step = sum(ROUND)
    return [{n: c[k : k + step] for n, c in columns.items()} for k in range(0, len(columns["split"]), step)]


def load_pairs(path: Path, split: str | None = None) -> Pairs:
    """Read a paired set, all of it or one side of the split.

    Raises InputError where the file is missing, damaged or something else, ValueError for an unknown split.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    columns, _ = _read(path)
    missed = columns["xy"][..., :1, :1] == MISSED
    xy = np.where(missed, np.nan, columns["xy"].astype(np.float32) / XY_STEPS).astype(np.float32)
    pairs = Pairs(
        xy=xy, scores=(columns["scores"] / 255).astype(np.float32),
        points=(columns["points"] / POINT_STEPS).astype(np.float32), size=columns["size"], focal=columns["focal"],
        up=columns["up"], heatmaps=columns["heatmaps"].astype(np.float32), to_image=columns["to_image"],
        subject=columns["subject"], split=columns["split"], viewpoint=columns["viewpoint"],
        places=columns.get("places"),
    )  # fmt: skip
    return pairs if split is None else pairs.of(split)
