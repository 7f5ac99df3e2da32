"""The corpus on disk: every clip's points, compact enough to travel (HDF5, layout version 1).

Points are whole steps of `step_mm`, differenced along time and stored channel by channel, so that gzip finds
small numbers. Rounding is the only loss: at most half a step per coordinate, and it does not add up, because
differences are taken of the rounded values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from posecli.errors import InputError
from posecli.files import atomic_write
from posecli.skeleton import H36M17

SCHEMA = 1
LANDMARKS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "mouth_left", "mouth_right",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
"""What follows the seventeen joints of Human3.6M; names as in `posecli.skeleton.BLAZEPOSE33`."""

POINT_NAMES = (*H36M17.joint_names, *LANDMARKS)
ACKNOWLEDGEMENT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. "
    "The database was created with funding from NSF EIA-0196217."
)

SPLITS = ("train", "val", "test")
TEST_SUBJECTS = frozenset({2, 12, 49, 86, 131})
VAL_SUBJECTS = frozenset({5, 9, 10})
LINKED_SUBJECTS = ((16, 17), (7, 8), (64, 124), (93, 127, 14, 1))
"""Numbers under which the same person appears: always on one side of the split."""

_TEXT = h5py.string_dtype()
_COLUMNS = {
    "start": np.int64, "subject": np.int32, "trial": np.int32, "tier": _TEXT, "first_frame": np.int64,
    "fps": np.float64,
    "description": _TEXT, "flat_floor": np.bool_, "weight": np.float32, "split": _TEXT,
}  # fmt: skip
_CHUNK = 8192
_MAX_FRAMES = 4_000_000  # nine hours at 120 Hz; more is not a file that we wrote
_MAX_CLIPS = 100_000


def split_of(subject: int) -> str:
    """Which side of the split a CMU subject is on: "train", "val" or "test"."""
    return "test" if subject in TEST_SUBJECTS else "val" if subject in VAL_SUBJECTS else "train"


@dataclass(frozen=True)
class Clip:
    """One stretch of motion.

    points: (T, 28, 3) float32 metres, in the order of `POINT_NAMES`, y up, the floor at 0 where `flat_floor`.
    first_frame: where it starts in its trial, in native frames.
    weight: how far to trust it when sampling (1, or less for retargeted motion).
    """

    points: NDArray[np.float32]
    fps: float
    subject: int
    trial: int
    tier: str
    first_frame: int
    description: str
    flat_floor: bool
    weight: float

    @property
    def split(self) -> str:
        return split_of(self.subject)

    def __len__(self) -> int:
        return len(self.points)


def write_corpus(path: Path, clips: Sequence[Clip], step_mm: float = 0.5) -> None:
    """Write clips to `path`, replacing it at once when complete.

    Raises OutputError where it cannot be written, ValueError for points outside ±32 767 steps.
    """
    steps = [np.round(clip.points.astype(np.float64) * (1000 / step_mm)) for clip in clips]
    if any(np.abs(s).max(initial=0) > np.iinfo(np.int16).max or not np.isfinite(s).all() for s in steps):
        raise ValueError("points are too far from the origin, or not finite")
    # The first frame of a clip is a difference from nothing. Differences wrap around in int16 and so do the
    # sums that undo them: exact whatever the size.
    coded = [np.diff(s.reshape(len(s), -1).astype(np.int16), axis=0, prepend=np.int16(0)) for s in steps]
    channels = 3 * len(POINT_NAMES)
    deltas = np.concatenate(coded) if coded else np.empty((0, channels), np.int16)
    table = {
        "start": np.cumsum([0, *(len(c) for c in clips)])[:-1],
        "subject": [c.subject for c in clips], "trial": [c.trial for c in clips], "tier": [c.tier for c in clips],
        "first_frame": [c.first_frame for c in clips],
        "fps": [c.fps for c in clips], "description": [c.description for c in clips],
        "flat_floor": [c.flat_floor for c in clips], "weight": [c.weight for c in clips],
        "split": [c.split for c in clips],
    }  # fmt: skip
    with atomic_write(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["step_mm"] = step_mm
        file.attrs["acknowledgement"] = ACKNOWLEDGEMENT
        file.attrs["point_names"] = list(POINT_NAMES)
        chunks = (1, max(1, min(_CHUNK, len(deltas))))
        file.create_dataset(
            "deltas", data=deltas.T, chunks=chunks, compression="gzip", compression_opts=9, shuffle=True
        )
        for name, values in table.items():
            file.create_dataset(f"clips/{name}", data=np.array(values, dtype=_COLUMNS[name]))


def load_corpus(path: Path, split: str | None = None) -> list[Clip]:
    """Clips of a corpus file: of one side of the split, or all.

    Raises InputError where the file is missing, damaged or something else, ValueError for an unknown split.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    if not path.is_file():
        raise InputError(f"there is no corpus at {path}; make it with 'posecli data build cmu'")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("schema") != SCHEMA or list(file.attrs["point_names"]) != list(POINT_NAMES):
                raise ValueError("it has another version; make it anew with 'posecli data build cmu'")
            deltas = _read(file, "deltas", (3 * len(POINT_NAMES), _MAX_FRAMES))
            table = {name: _read(file, f"clips/{name}", (_MAX_CLIPS,)) for name in _COLUMNS}
            step = float(file.attrs["step_mm"]) / 1000
        starts = [*(int(s) for s in table["start"]), deltas.shape[1]]
        if any(len(column) != len(table["start"]) for column in table.values()):
            raise ValueError("its table of clips has holes")
        rates, weights = (table[name].astype(np.float64) for name in ("fps", "weight"))
        if not (0 < step <= 1 and ((rates > 0) & (rates <= 1e5)).all()):
            raise ValueError("its unit or its clips' rates make no sense")
        if not ((weights > 0) & (weights < np.inf)).all():
            raise ValueError("its clips' weights make no sense")
        if starts[0] != 0 or any(b < a for a, b in pairwise(starts)):
            raise ValueError("its clips overlap")
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is not a readable corpus: {error}") from error
    clips = []
    for k, (a, b) in enumerate(pairwise(starts)):
        subject = int(table["subject"][k])
        if split is not None and split_of(subject) != split:
            continue
        steps = np.cumsum(deltas[:, a:b], axis=1, dtype=np.int16)
        points = (steps.T.astype(np.float32) * np.float32(step)).reshape(-1, len(POINT_NAMES), 3)
        clips.append(
            Clip(
                points=points, fps=float(table["fps"][k]), subject=subject, trial=int(table["trial"][k]),
                tier=_text(table["tier"][k]), first_frame=int(table["first_frame"][k]),
                description=_text(table["description"][k]),
                flat_floor=bool(table["flat_floor"][k]), weight=float(table["weight"][k]),
            )
        )  # fmt: skip
    return clips


def resample(points: NDArray[np.float32], fps_from: float, fps_to: float) -> NDArray[np.float32]:
    """Points (T, …) at one rate → at another, from the first frame to the last whole step.

    Downwards by a whole number it takes every n-th frame; otherwise cubic splines through the frames.
    """
    ratio = fps_from / fps_to
    if len(points) < 2 or ratio == 1:
        return points
    if ratio > 1 and abs(ratio - round(ratio)) < 1e-6:
        return points[:: round(ratio)]
    count = int(np.floor((len(points) - 1) / ratio + 1e-9)) + 1
    spline = CubicSpline(np.arange(len(points)), points, axis=0)
    return spline(np.arange(count) * ratio).astype(np.float32)


def _read(file: h5py.File, name: str, limit: tuple[int, ...]) -> NDArray[np.generic]:
    """A dataset of the type we write, in this very file, no larger than `limit` (its first axis exact if two)."""
    data = file[name]
    wanted = np.int16 if name == "deltas" else _COLUMNS[name.removeprefix("clips/")]
    if not isinstance(data, h5py.Dataset) or data.dtype != wanted or data.is_virtual or data.external:
        raise ValueError(f"{name} is not what posecli writes")
    shape = data.shape
    if len(shape) != len(limit) or shape[-1] > limit[-1] or shape[:-1] != limit[:-1]:
        raise ValueError(f"{name} has shape {shape}")
    return data[:]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
