"""Other programs' predictions → Motion: VideoPose3D and its family, MotionBERT, MMPose.

Arrays say nothing about themselves: neither joints nor axes, unit, times nor the picture's size. What is missing has
to be given; what can be checked is checked against the 2D joints, onto which 3D joints must project.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from posecli.detect.foreign import Timing, load_foreign
from posecli.detect.provenance import source_identity
from posecli.errors import InputError, UsageError
from posecli.export.npz import load_npz
from posecli.lifting import standing_height
from posecli.motion import Motion
from posecli.refine.foreign_files import read_array, read_json
from posecli.skeleton import COCO17, H36M17, to_h36m17

Array = NDArray[np.float64]

NAMES_3D = ("reconstruction", "X3D", "prediction", "keypoints_3d", "poses_3d")
NAMES_2D = ("keypoints_2d", "keypoints", "reconstruction", "positions_2d")
"""What the arrays are called inside an `.npz`, in this order. MHFormer's family calls 2D and 3D `reconstruction`."""

_METRES = (0.5, 2.6)  # a person's standing height
_LARGEST = 1e6
_WORST_FIT = 0.45  # part of the 2D joints' spread that a projection of the 3D joints may leave unexplained
_MOST_BACKWARDS = -0.03  # of the leg; in every one of the corpus's 485 clips knees lie 0.06 to 0.36 forward
_MMPOSE = np.array([[-1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
"""(x, y, z) of MMPose's demo and Inferencer → camera: they write (-x, z, -y) of Human3.6M's camera frame. The
determinant is -1: what they write is mirrored, and this mirrors it back."""


@dataclass(frozen=True)
class Beside:
    """What a foreign file leaves out.

    keypoints: the 2D joints that were lifted, pixels: an array (T, 17, 2), or what `posecli.detect.foreign` reads.
    image_size: (width, height) of that picture. rate: frames a second. height_m: the person's standing height. base:
    the lifter that made the file, where known.
    """

    keypoints: Path | None = None
    image_size: tuple[int, int] | None = None
    rate: float | None = None
    height_m: float | None = None
    base: str | None = None

    def __post_init__(self) -> None:
        if self.image_size is not None and not all(1 <= side <= 100_000 for side in self.image_size):
            raise UsageError(f"--image-size must be WIDTHxHEIGHT in pixels, not {self.image_size}")
        if self.rate is not None and not 1 <= self.rate <= 1000:
            raise UsageError(f"--fps must lie between 1 and 1000, not {self.rate:g}")
        if self.height_m is not None and not 0.3 < self.height_m < 2.6:
            raise UsageError(f"a height of {self.height_m:g} m is not a person's (give metres, e.g. 1.75)")


def read_predictions(path: Path, beside: Beside | None = None) -> Motion:
    """Predictions of any lifter as a Motion: our NPZ by itself; a `.npy` or `.npz` of one array (T, 17, 3), or MMPose's
    JSON, with what `beside` adds.

    3D joints are Human3.6M's 17, those of a 2D array these or COCO's: what fits is taken. Axes are the camera's
    (x right, y down, z forward), of a JSON MMPose's own or the camera's. Frames of a JSON without anybody are missing
    frames. Raises InputError or UsageError, one line, where something is wrong or missing: joints of another set or
    order or axes, too, as far as the 2D joints tell.
    """
    beside = beside or Beside()
    if _is_ours(path):
        return _ours(path, beside)
    mmpose = path.suffix.lower() == ".json"
    joints, valid = _mmpose(path) if mmpose else _plain(path, NAMES_3D, 3)
    if not valid.any():
        raise InputError(f"{path}: nobody is in any of its {len(valid)} frames")
    wanted = {
        "--keypoints FILE": beside.keypoints,
        "--image-size WIDTHxHEIGHT": beside.image_size,
        "--fps RATE": beside.rate,
    }
    if missing := [option for option, given in wanted.items() if given is None]:
        raise UsageError(
            f"{path} is not posecli's own and does not say it all: give {', '.join(missing)} too"
        )
    assert beside.keypoints is not None and beside.image_size is not None and beside.rate is not None
    layouts, seen = _seen(beside.keypoints, beside.rate, beside.image_size)
    pixels = layouts[H36M17.name]
    if len(pixels) != len(joints):
        raise InputError(
            f"{path} has {len(joints)} frames, but {beside.keypoints} {len(pixels)}; they must be of the same frames"
        )
    if (valid & ~seen).any():
        frame = int(np.argmax(valid & ~seen))
        raise InputError(f"{beside.keypoints}: frame {frame} has nobody, but {path} has a pose in it")
    joints = joints - joints[:, H36M17.root, None]
    axes = {"camera": np.eye(3), "mmpose": _MMPOSE} if mmpose else {"camera": np.eye(3)}
    fits = {
        (frame, layout): (joints @ turn.T, points)
        for frame, turn in axes.items()
        for layout, points in layouts.items()
    }
    misfit = {key: _misfit(pose[valid], points[valid]) for key, (pose, points) in fits.items()}
    best = min(misfit, key=lambda key: misfit[key])
    if not misfit[best] <= _WORST_FIT:
        raise InputError(
            f"the 3D joints of {path} do not project onto the 2D joints of {beside.keypoints}: the 3D joints must be "
            "Human3.6M's 17 in its order, in the camera's axes (x right, y down, z forward), the 2D joints "
            "Human3.6M's or COCO's 17, of the same person and frames"
        )
    turned, pixels = fits[best]
    if (bend := _knees_forward(turned[valid])) < _MOST_BACKWARDS:
        raise InputError(
            f"the knees of {path} bend backwards, by {-bend:.0%} of the leg on average: its depth runs the wrong way. "
            "z must grow away from the camera; negate it"
        )
    metric, source = _in_metres(turned, valid, path, beside.height_m)
    metric[~valid] = np.nan
    count = len(metric)
    return Motion(
        timestamps_s=np.arange(count) / _exact(beside.rate),
        joints_3d=metric.astype(np.float32),
        joints_3d_std=np.full(metric.shape, np.nan, np.float32),
        valid=valid,
        bridged=np.zeros(count, bool),
        keypoints_2d=pixels.astype(np.float32),
        scores_2d=np.repeat(seen[:, None], 17, axis=1).astype(np.float32),
        image_size=beside.image_size,
        scale_source=source,
        settings={
            "method": beside.base or "unknown",
            "source": source_identity(path),
            "keypoints": {**source_identity(beside.keypoints), "axes": best[0], "joints": best[1]},
        },
    )


def _ours(path: Path, beside: Beside) -> Motion:
    """Our own file, which says everything but, where it came from another program, perhaps the lifter."""
    motion = load_npz(path)
    unknown = motion.settings.get("method", "unknown") == "unknown"
    if beside.base is not None and unknown:
        motion.settings["method"] = beside.base
    given = ("keypoints", "image_size", "rate", "height_m", *(() if unknown else ("base",)))
    if any(getattr(beside, name) is not None for name in given):
        raise UsageError(
            f"{path} is posecli's own and says it all; leave out --keypoints, --image-size, --fps, --height, --base"
        )
    return motion


def _is_ours(path: Path) -> bool:
    """An NPZ with a schema version; `load_npz` then says what is wrong with it."""
    return "schema_version" in _members(path)


def _members(path: Path) -> list[str]:
    """Names of the arrays of an NPZ; none where it is none."""
    try:
        if not path.is_file():
            return []
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


def _seen(path: Path, rate: float, size: tuple[int, int]) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """2D joints (T, 17, 2), pixels, by the joint set they may be meant in, and who is there (T,)."""
    of_arrays = path.suffix.lower() in (".npy", ".npz")
    # AlphaPose, OpenPose, MMPose, COCO, VideoPose3D's custom data, …: these say which joints they hold.
    if not of_arrays or {"positions_2d", "metadata"} <= {*_members(path)}:
        found = load_foreign(path, timing=Timing(fps=rate, size=size)).to_h36m17()
        return {
            H36M17.name: np.where(found.found[:, None, None], found.xy, 0.0).astype(np.float64)
        }, found.found
    pixels, seen = _plain(path, NAMES_2D, 2)
    middle = np.median(pixels.reshape(-1, 2), axis=0)
    if np.abs(pixels).max() <= 2 or (middle < 0).any() or (middle > size).any():
        raise InputError(
            f"most 2D joints of {path} are no pixels of a picture of {size[0]}x{size[1]} (around "
            f"{middle[0]:.3g}, {middle[1]:.3g}); normalised joints must be brought back to pixels"
        )
    sets = (H36M17, COCO17)
    return {skeleton.name: to_h36m17(pixels, skeleton).astype(np.float64) for skeleton in sets}, seen


def _plain(path: Path, names: tuple[str, ...], channels: int) -> tuple[Array, NDArray[np.bool_]]:
    """(T, 17, channels) of one person, and that everybody is there."""
    array = read_array(path, names)
    if array.ndim == 4 and array.shape[0] == 1:  # MHFormer's family has an axis of people
        array = array[0]
    _check(array, channels, path)
    return array, np.ones(len(array), bool)


def _check(array: Array, channels: int, path: Path) -> None:
    if array.ndim == 4 and array.shape[0] > 1 and array.shape[2:] == (17, channels):
        raise InputError(f"{path} holds {array.shape[0]} people; keep one of them, shape (T, 17, {channels})")
    if array.ndim != 3 or array.shape[1:] != (17, channels) or not len(array):
        raise InputError(
            f"{path} must have shape (T, 17, {channels}), Human3.6M's 17 joints, not {array.shape}"
        )
    if np.abs(array, where=np.isfinite(array), out=np.zeros_like(array)).max() > _LARGEST:
        raise InputError(
            f"{path} holds numbers beyond {_LARGEST:g}, which are neither metres, millimetres nor pixels"
        )
    if not np.isfinite(array).all():
        frame = int(np.argmin(np.isfinite(array).all(axis=(1, 2))))
        raise InputError(f"{path}: frame {frame} holds numbers that are not finite (NaN or infinity)")


def _mmpose(path: Path) -> tuple[Array, NDArray[np.bool_]]:
    """`instance_info` of MMPose's demos, or the bare list of its Inferencer: (T, 17, 3) and who is there."""

    def wrong(what: str) -> NoReturn:
        raise InputError(f"{path} is not a result of MMPose: {what}")

    document: Any = read_json(path)
    frames = document.get("instance_info") if isinstance(document, dict) else document
    if not isinstance(frames, list) or not frames:
        wrong("the list instance_info is missing or empty")
    poses = np.zeros((len(frames), 17, 3))
    valid = np.zeros(len(frames), bool)
    for row, frame in enumerate(frames):
        people = frame.get("instances") if isinstance(frame, dict) else None
        if not isinstance(people, list):
            wrong(f"frame {row} has no list of instances")
        if len(people) > 1:
            raise InputError(f"{path}: frame {row} holds {len(people)} people; keep one of them")
        if people:
            points = people[0].get("keypoints") if isinstance(people[0], dict) else None
            try:
                pose = np.asarray(points)
            except (TypeError, ValueError, OverflowError):
                wrong(f"the keypoints of frame {row} are not numbers")
            if pose.dtype.kind not in "if":
                wrong(f"the keypoints of frame {row} are not numbers")
            if pose.shape != (17, 3):
                raise InputError(f"{path}: frame {row} has keypoints of shape {pose.shape}, not (17, 3)")
            if not np.isfinite(pose).all():
                raise InputError(f"{path}: frame {row} holds numbers that are not finite (NaN or infinity)")
            if np.abs(pose).max() > _LARGEST:
                wrong(f"frame {row} holds numbers beyond {_LARGEST:g}")
            poses[row], valid[row] = pose, True
    return poses, valid


def _exact(rate: float) -> float:
    """29.97 stands for 30000/1001, or a few minutes on the frames would no longer be those of the video."""
    exact = round(rate * 1.001) / 1.001
    return exact if abs(rate - exact) < min(0.005, abs(rate - round(rate))) else rate


def _knees_forward(pose: Array) -> float:
    """How far knees lie before the middle of hip and ankle, as a part of the leg, mean of frames and sides.

    What 2D joints cannot tell: a pose mirrored in depth projects like the true one, but its knees bend backwards.
    """
    across = pose[:, H36M17.index("RHip")] - pose[:, H36M17.index("LHip")]
    forward = np.cross(across, pose[:, H36M17.root] - pose[:, H36M17.index("Thorax")])  # right × down
    forward /= np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-12)
    bends = []
    for side in "LR":
        hip, knee, ankle = (pose[:, H36M17.index(side + name)] for name in ("Hip", "Knee", "Ankle"))
        leg = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
        off = ((knee - (hip + ankle) / 2) * forward).sum(axis=-1)
        bends.append(off / np.maximum(leg, 1e-12))
    return float(np.mean(bends))


def _misfit(pose: Array, pixels: Array) -> float:
    """What no scaled x and y of the 3D joints explain of the 2D joints, as a part of their spread: median of frames."""
    flat = pose[..., :2] - pose[..., :2].mean(axis=1, keepdims=True)
    seen = pixels - pixels.mean(axis=1, keepdims=True)
    size = np.maximum((flat * seen).sum(axis=(1, 2)) / np.maximum((flat**2).sum(axis=(1, 2)), 1e-12), 0.0)
    left = ((seen - size[:, None, None] * flat) ** 2).sum(axis=(1, 2)) / np.maximum(
        (seen**2).sum(axis=(1, 2)), 1e-12
    )
    left[(seen**2).mean(axis=(1, 2)) < 1] = np.inf  # all joints within a pixel show nothing
    return float(np.median(np.sqrt(left)))


def _in_metres(
    pose: Array, valid: NDArray[np.bool_], path: Path, height_m: float | None
) -> tuple[Array, str]:
    """Poses in metres and what says so: as they are, from millimetres, or by the person's height."""
    height = standing_height(pose[valid])
    if height_m is not None and height > 0:
        return pose * (height_m / height), "height"
    for factor in (1.0, 1e-3):
        if _METRES[0] <= height * factor <= _METRES[1]:
            return pose * factor, "prior"
    raise InputError(
        f"{path}: the person in it stands {height:.3g} units tall, neither metres nor millimetres; "
        "give the person's height in metres with --height"
    )
