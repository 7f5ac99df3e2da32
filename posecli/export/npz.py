"""Motion ↔ `.npz`, loadable anywhere with `numpy.load(path, allow_pickle=False)`.

Schema version 1; T frames, J joints, H hypotheses. Coordinates are those of `posecli.motion.Motion`.

================== ============ ========= ==============================================================
key                shape        dtype     meaning
================== ============ ========= ==============================================================
schema_version     ()           int64     1
timestamps_s       (T,)         float64   seconds from the start of the source's presentation
joint_names        (J,)         str       Human3.6M-17
parents            (J,)         int64     index of the parent joint, -1 for the root
keypoints_2d       (T, J, 2)    float32   what was lifted, pixels of the upright image
scores_2d          (T, J)       float32   the detector's confidence in it
joints_3d          (T, J, 3)    float32   relative to the root; NaN where not valid
joints_3d_std      (T, J, 3)    float32   standard deviation along each axis; NaN where not known
hypotheses         (H, T, J, 3) float32   only when asked for
unrefined_3d       (T, J, 3)    float32   only after `posecli refine`: joints_3d before it
valid              (T,)         bool      a pose exists in this frame
bridged            (T,)         bool      it was filled in over a short gap in the detections
root_path          (T, 3)       float32   only when estimated: the root in the camera frame
frame              ()           str       "camera": x right, y down, z forward
units              ()           str       "m"
scale_source       ()           str       "prior" or "height", see `Motion`
image_size         (2,)         int64     width, height in pixels
settings_json      ()           str       JSON object: method, weights hash, seed, detector, versions …
================== ============ ========= ==============================================================

Readers ignore keys they do not know. A change that would break a reader raises `schema_version`.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from posecli.errors import InputError
from posecli.files import atomic_write
from posecli.motion import Motion
from posecli.npy_header import read_header
from posecli.skeleton import SKELETONS, Skeleton

SCHEMA_VERSION = 1
MAX_BYTES = 4 << 30
MAX_EXPANSION = 50
"""A file that claims more bytes than this, or so many times its own size, is refused before allocation."""

_LATEST_S, _SHORTEST_S = 1e8, 1e-5
_FARTHEST_M = 1e5
"""Three years; a camera of 100,000 frames a second; what is farther is no person."""

_OPTIONAL = ("hypotheses", "root_path", "unrefined_3d")
_SHAPES: dict[str, tuple[str | int, ...]] = {
    "schema_version": (),
    "timestamps_s": ("T",),
    "joint_names": ("J",),
    "parents": ("J",),
    "keypoints_2d": ("T", "J", 2),
    "scores_2d": ("T", "J"),
    "joints_3d": ("T", "J", 3),
    "joints_3d_std": ("T", "J", 3),
    "hypotheses": ("H", "T", "J", 3),
    "unrefined_3d": ("T", "J", 3),
    "valid": ("T",),
    "bridged": ("T",),
    "root_path": ("T", 3),
    "frame": (),
    "units": (),
    "scale_source": (),
    "image_size": (2,),
    "settings_json": (),
}
_KINDS = {
    **dict.fromkeys(_SHAPES, "f"),
    **dict.fromkeys(("schema_version", "parents", "image_size"), "i"),
    **dict.fromkeys(("valid", "bridged"), "b"),
    **dict.fromkeys(("joint_names", "frame", "units", "scale_source", "settings_json"), "U"),
}
_KIND_NAMES = {"f": "floating point", "i": "integer", "b": "bool", "U": "text"}


def save_npz(motion: Motion, path: Path | str) -> Path:
    """Write `motion` as the table above says. Raises OutputError where `path` cannot be written."""
    arrays: dict[str, Any] = {
        "schema_version": np.int64(SCHEMA_VERSION),
        "timestamps_s": np.asarray(motion.timestamps_s, np.float64),
        "joint_names": np.array(motion.skeleton.joint_names),
        "parents": np.array(motion.skeleton.parents, np.int64),
        "keypoints_2d": np.asarray(motion.keypoints_2d, np.float32),
        "scores_2d": np.asarray(motion.scores_2d, np.float32),
        "joints_3d": np.asarray(motion.joints_3d, np.float32),
        "joints_3d_std": np.asarray(motion.joints_3d_std, np.float32),
        "valid": np.asarray(motion.valid, np.bool_),
        "bridged": np.asarray(motion.bridged, np.bool_),
        "frame": np.array(motion.frame),
        "units": np.array(motion.units),
        "scale_source": np.array(motion.scale_source),
        "image_size": np.array(motion.image_size, np.int64),
        "settings_json": np.array(json.dumps(motion.settings, sort_keys=True)),
    }
    for name in _OPTIONAL:
        if (array := getattr(motion, name)) is not None:
            arrays[name] = np.asarray(array, np.float32)
    with atomic_write(path) as temporary:
        np.savez(temporary, **{name: arrays[name] for name in _SHAPES if name in arrays})
    return Path(path)


def load_npz(path: Path | str) -> Motion:
    """Read what `save_npz` wrote, or anybody else by the same table; the file need not be trusted.

    Names, types and shapes of all arrays are checked against each other and against `MAX_BYTES` before any is
    allocated; nothing is unpickled. Raises InputError, one line that names what is missing or wrong.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _read_arrays(archive, path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (zipfile.BadZipFile, ValueError, struct.error) as error:
        raise InputError(f"{path} is not a readable .npz file ({error})") from None
    except (OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    return _motion(arrays, path)


@dataclass(frozen=True)
class _Header:
    """What the first bytes of a member say about its array."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    data_bytes: int


def _fail(path: Path, what: str) -> NoReturn:
    raise InputError(f"{path} is not a posecli motion file: {what}")


def _read_arrays(archive: zipfile.ZipFile, path: Path) -> dict[str, NDArray[Any]]:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if missing := [name for name in _SHAPES if name not in members and name not in _OPTIONAL]:
        _fail(path, f"{', '.join(missing)} missing")
    headers: dict[str, _Header] = {}
    sizes: dict[str, int] = {}
    for name, shape in _SHAPES.items():
        if name in members:
            if members[name].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                _fail(path, f"{name} is packed in a way numpy does not use")
            with archive.open(members[name]) as stream:
                headers[name] = _read_header(stream, name, path)
            _check_header(name, headers[name], shape, sizes, path)
            if members[name].file_size - headers[name].data_bytes not in range(10, 1 << 14):
                _fail(path, f"{name} is cut short or longer than its header says")
    # Small files may expand as they like: an hour of nobody compresses well, and honestly.
    limit = min(MAX_BYTES, max(256 << 20, MAX_EXPANSION * path.stat().st_size))
    if (total := sum(header.data_bytes for header in headers.values())) > limit:
        _fail(path, f"it claims {total / 2**20:.0f} MiB of data (at most {limit / 2**20:.0f} are read)")
    arrays = {}
    for name, header in headers.items():
        with archive.open(members[name]) as stream:
            _read_header(stream, name, path)
            data = bytearray(stream.read(header.data_bytes))
        if len(data) != header.data_bytes:
            _fail(path, f"{name} is cut short")
        flat = np.frombuffer(data, header.dtype)
        if _KINDS[name] == "U":
            _check_text(flat, name, path)
        arrays[name] = flat.reshape(header.shape, order="F" if header.fortran_order else "C")
    return arrays


def _read_header(stream: IO[bytes], name: str, path: Path) -> _Header:
    try:
        shape, fortran_order, dtype = read_header(stream)
    except ValueError:
        _fail(path, f"{name} is not an array numpy can read without pickle")
    if dtype.hasobject:
        _fail(path, f"{name} holds Python objects, which are not read")
    return _Header(shape, fortran_order, dtype, math.prod(shape) * dtype.itemsize)


def _check_text(flat: NDArray[Any], name: str, path: Path) -> None:
    """numpy stores text as raw code points and fails hard on numbers that are none."""
    codes = flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder))
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        _fail(path, f"{name} is not text")


def _check_header(
    name: str, header: _Header, shape: tuple[str | int, ...], sizes: dict[str, int], path: Path
) -> None:
    """Compare with the table; `sizes` remembers what T, J and H were the first time."""
    if header.dtype.kind != _KINDS[name]:
        _fail(path, f"{name} must be {_KIND_NAMES[_KINDS[name]]}, not {header.dtype}")
    fits = len(header.shape) == len(shape) and all(
        got == (sizes.setdefault(want, got) if isinstance(want, str) else want)
        for got, want in zip(header.shape, shape, strict=True)
    )
    if not fits:
        expected = ", ".join(str(sizes.get(s, s)) if isinstance(s, str) else str(s) for s in shape)
        _fail(path, f"{name} must have shape ({expected}), not {header.shape}")


def _motion(arrays: Mapping[str, NDArray[Any]], path: Path) -> Motion:
    version = int(arrays["schema_version"])
    if version != SCHEMA_VERSION:
        hint = "; update posecli" if version > SCHEMA_VERSION else ""
        raise InputError(f"{path} has schema version {version}, this posecli reads {SCHEMA_VERSION}{hint}")
    try:
        settings = json.loads(str(arrays["settings_json"]))
        json.dumps(settings, ensure_ascii=False).encode()  # no halves of characters, which nothing can print
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        _fail(path, "settings_json is not a JSON object")
    for name, known in (("frame", "camera"), ("units", "m")):
        if str(arrays[name]) != known:
            _fail(path, f'{name} must be "{known}"')
    if (arrays["image_size"] < 1).any():
        _fail(path, "image_size must be positive")

    times = arrays["timestamps_s"].astype(np.float64)
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        _fail(path, "timestamps_s must be finite and in order")
    steps = np.diff(times)
    if np.abs(times).max(initial=0) > _LATEST_S or (0 < steps[steps > 0].min(initial=1) < _SHORTEST_S):
        _fail(path, f"timestamps_s must be seconds below {_LATEST_S:g}, {_SHORTEST_S:g} apart or more")
    valid, in_frames = arrays["valid"], {}
    for name in ("joints_3d", "root_path", "unrefined_3d", "hypotheses"):
        if name in arrays:
            with np.errstate(over="ignore"):
                in_frames[name] = arrays[name].astype(np.float32)
            by_frame = np.moveaxis(in_frames[name], _SHAPES[name].index("T"), 0)  # a view
            if not (np.abs(by_frame[valid]) < _FARTHEST_M).all():  # nor where it is NaN
                _fail(path, f"{name} has frames that are valid but not finite, or beyond {_FARTHEST_M:g} m")
            by_frame[~valid] = np.nan
    return Motion(
        timestamps_s=times,
        joints_3d=in_frames["joints_3d"],
        joints_3d_std=arrays["joints_3d_std"].astype(np.float32),
        valid=valid,
        bridged=arrays["bridged"],
        keypoints_2d=arrays["keypoints_2d"].astype(np.float32),
        scores_2d=arrays["scores_2d"].astype(np.float32),
        image_size=(int(arrays["image_size"][0]), int(arrays["image_size"][1])),
        root_path=in_frames.get("root_path"),
        hypotheses=in_frames.get("hypotheses"),
        unrefined_3d=in_frames.get("unrefined_3d"),
        skeleton=_skeleton(arrays, path),
        scale_source=str(arrays["scale_source"]),
        settings=settings,
    )


def _skeleton(arrays: Mapping[str, NDArray[Any]], path: Path) -> Skeleton:
    names, parents = arrays["joint_names"].tolist(), arrays["parents"].tolist()
    for skeleton in SKELETONS.values():
        if [*skeleton.joint_names] == names and [*skeleton.parents] == parents:
            return skeleton
    _fail(path, f"joint_names and parents are none of {', '.join(SKELETONS)}")
