"""VideoPose3D's 2D archives.

    data_2d_<name>.npz   `positions_2d` {subject: {action: [(T, J, 2) per camera]}} and `metadata` {layout_name,
                         num_joints, keypoints_symmetry, video_metadata {subject: {w, h, fps}}}
    Detectron's own      `boxes`, `keypoints` (per frame [[], (N, 4, 17)]: x, y, logit, probability), `metadata`

Both are pickled inside; they are read with the restricted reader of `posecli.weights.unpickle`, which makes nothing
but containers and numbers.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from posecli.detect.foreign.clip import (
    MOST_BYTES,
    MOST_FRAMES,
    ForeignClip,
    add,
    listed,
    only_known,
    sighting,
)
from posecli.errors import InputError
from posecli.skeleton import COCO17, H36M17, HALPE26
from posecli.weights.unpickle import Inert, read_plain_pickle

_MOST_THINGS = 4 * MOST_FRAMES
_LAYOUTS = {"coco": {17: COCO17}, "h36m": {17: H36M17}, "halpe": {26: HALPE26}}


def read_vp3d(path: Path, wanted: str | None = None) -> ForeignClip:
    """The only sequence of the archive, or the one whose subject is called `wanted` (the video's name)."""
    members = _members(path)
    if "positions_2d" in members:
        return _positions(members, path, wanted)
    if {"keypoints", "boxes"} <= set(members):
        return _detectron(members, path)
    raise InputError(f"{path} holds {listed(sorted(members)) or 'nothing'}, not VideoPose3D's positions_2d")


def _positions(members: dict[str, Any], path: Path, wanted: str | None) -> ForeignClip:
    subjects, metadata = members["positions_2d"], members.get("metadata")
    if not isinstance(subjects, dict):
        raise InputError(f"{path}: positions_2d is not what VideoPose3D writes")
    sequences = {
        f"{subject}/{action}" + (f"/{camera}" if len(cameras) > 1 else ""): (str(subject), points)
        for subject, actions in subjects.items()
        if isinstance(actions, dict)
        for action, cameras in actions.items()
        if isinstance(cameras, list | tuple)
        for camera, points in enumerate(cameras)
    }
    if len(sequences) != 1 and wanted is not None:
        sequences = {k: v for k, v in sequences.items() if Path(v[0]).stem == wanted} or sequences
    if len(sequences) != 1:
        raise InputError(
            f"{path} holds {len(sequences)} sequences ({listed(list(sequences), 4)}); one is lifted at a time: give "
            "the video whose name one of them bears, or an archive of one"
        )
    ((name, (subject, points)),) = sequences.items()
    if not isinstance(points, np.ndarray) or points.ndim != 3 or points.shape[2] not in (2, 3):
        raise InputError(f"{path}: {name} is not an array of frames, joints and x, y")
    about = metadata if isinstance(metadata, dict) else {}
    layout = str(about.get("layout_name", "coco"))
    if layout not in _LAYOUTS:
        raise InputError(f"{path}: joint layout {layout[:40]!r} is unknown; known are {', '.join(_LAYOUTS)}")
    skeleton = only_known(points.shape[1], _LAYOUTS[layout], path)
    videos = about.get("video_metadata")
    about_video = videos.get(subject) if isinstance(videos, dict) else None
    clip = ForeignClip("vp3d", skeleton, size=_size(about_video), fps=_rate(about_video))
    for frame, xy in enumerate(points):
        scores = xy[:, 2] if points.shape[2] == 3 else None
        add(clip, frame, [sighting(xy[:, :2], scores, skeleton.num_joints, f"{path}: frame {frame}")], path)
    return clip


def _detectron(members: dict[str, Any], path: Path) -> ForeignClip:
    frames = members["keypoints"]
    if not isinstance(frames, np.ndarray | list):
        raise InputError(f"{path}: keypoints is not what VideoPose3D's infer_video.py writes")
    clip = ForeignClip(
        "vp3d", COCO17, size=_size(members.get("metadata")), fps=_rate(members.get("metadata"))
    )
    for number, frame in enumerate(frames):
        where = f"{path}: frame {number}"
        people = frame[1] if isinstance(frame, list | np.ndarray) and len(frame) == 2 else None
        people = [] if people is None or len(people) == 0 else people
        seen = []
        for person in people:
            if not isinstance(person, np.ndarray) or person.shape != (4, 17):
                raise InputError(f"{where}: a person is not (4, 17) numbers")
            seen.append(sighting(person[:2].T, person[3], 17, where))
        add(clip, number, seen, path)
    return clip


def _members(path: Path) -> dict[str, Any]:
    """The archive's arrays by name; object arrays as containers of plain arrays."""
    wanted = {"positions_2d", "metadata", "boxes", "keypoints"}
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {
                i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")
            }
            if sum(infos[name].file_size for name in wanted & set(infos)) > MOST_BYTES:
                raise InputError(f"{path} holds more than {MOST_BYTES >> 20} MiB; cut it into pieces")
            found: dict[str, Any] = {name: None for name in infos}
            for name in wanted & set(infos):
                found[name] = _array(io.BytesIO(archive.read(infos[name])))
            return found
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error})") from None
    except (
        zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, TypeError, RuntimeError,
        NotImplementedError, RecursionError, MemoryError, OverflowError,
    ) as error:  # fmt: skip
        raise InputError(f"{path} is not a readable archive of VideoPose3D: {error}") from None


def _array(file: io.BytesIO) -> Any:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError("an unknown version of .npy")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if not dtype.hasobject:
        return _plain(shape, dtype, fortran, file.read())
    value = _Revival()(read_plain_pickle(file))
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value


class _Revival:
    """What numpy pickled, made anew from its description; containers as they are.

    A pickle may hold one list in many places, and that again: a small file with more content than fits the world.
    """

    def __init__(self) -> None:
        self.left = _MOST_THINGS

    def __call__(self, value: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"it holds more than {_MOST_THINGS} things")
        if isinstance(value, dict):
            return {key: self(v) for key, v in value.items() if isinstance(key, str | int)}
        if isinstance(value, list | tuple):
            return [self(v) for v in value]
        if not isinstance(value, Inert):
            return value
        if value.origin.endswith("multiarray._reconstruct") and isinstance(value.state, tuple):
            _, shape, dtype, fortran, data = value.state
            if isinstance(data, list):
                return _nested([self(item) for item in data], tuple(shape))
            return _plain(shape, _dtype(dtype), bool(fortran), data)
        if value.origin.endswith("multiarray.scalar") and len(value.arguments) == 2:
            return _plain((), _dtype(value.arguments[0]), False, value.arguments[1]).item()
        raise ValueError(f"it holds {value.origin[:60]}, which is not read")


def _nested(items: list[Any], shape: tuple[int, ...]) -> Any:
    """An object array of any number of dimensions, as lists in lists."""
    if shape == () and len(items) == 1:
        return items[0]
    if math.prod(shape) != len(items) or not 1 <= len(shape) <= 4:
        raise ValueError("an array is cut short")
    if len(shape) == 1:
        return items
    size = math.prod(shape[1:])
    return [_nested(items[k * size : (k + 1) * size], shape[1:]) for k in range(shape[0])]


def _dtype(described: Any) -> np.dtype[Any]:
    name = described.arguments[0] if isinstance(described, Inert) and described.arguments else None
    if not isinstance(name, str) or re.fullmatch(r"[fiu][1248]|b1", name) is None:
        raise ValueError("an array is not of numbers")
    order = described.state[1] if isinstance(described.state, tuple) and len(described.state) > 1 else "="
    return np.dtype(f"{order}{name}" if order in ("<", ">") else name)


def _plain(shape: Any, dtype: np.dtype[Any], fortran: bool, data: Any) -> NDArray[Any]:
    if not isinstance(data, bytes) or dtype.kind not in "fiub":
        raise ValueError("an array is not of numbers")
    if math.prod(shape) * dtype.itemsize != len(data) or any(side < 0 for side in shape):
        raise ValueError("an array is cut short")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _size(about: Any) -> tuple[int, int] | None:
    sides = (about.get("w"), about.get("h")) if isinstance(about, dict) else (None, None)
    good = all(isinstance(side, int) and 0 < side < 1 << 16 for side in sides)
    return (int(sides[0]), int(sides[1])) if good and sides[0] is not None and sides[1] is not None else None


def _rate(about: Any) -> float | None:
    rate = about.get("fps") if isinstance(about, dict) else None
    return float(rate) if isinstance(rate, int | float) and 0 < rate < 1000 else None
