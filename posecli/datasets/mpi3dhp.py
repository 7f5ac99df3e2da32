"""MPI-INF-3DHP in the archives of P-STMO and D3DP. Each holds one array, `data`:

    data_test_3dhp….npz     sequence TS1 … TS6 → data_2d (T, 17, 2) pixels, data_3d (T, 17, 3) mm in the camera's
                            frame, valid (T,): frames that count
    data_train_3dhp….npz    "S1 Seq1" … "S8 Seq2" → [camera → {data_2d, data_3d}, frames a second]

The same file names exist with two truths. `annot3` (files that end in _ori; D3DP, DDHPose) is the person as recorded;
`univ_annot3` (P-STMO, STCFormer) is scaled to one size for all, so that its projection is not the keypoints. Their
errors cannot be compared, and nothing in a file says which it is; `annotation_of` tells from the bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.calibration import CalibratedCamera, from_screen
from posecli.errors import InputError, UsageError
from posecli.skeleton import MPI3DHP17
from posecli.untrusted_npz import read_npz

SEQUENCES = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
VALID = (603, 540, 505, 553, 276, 452)
"""Frames that count, of each sequence."""

TRAIN = tuple(f"S{subject} Seq{take}" for subject in range(1, 9) for take in (1, 2))
TRAIN_CAMERAS = ("0", "1", "2", "4", "5", "6", "7", "8")

ANNOTATIONS = {"annot3": "_ori", "univ_annot3": ""}
"""Kind of truth → how its files' names end."""

INDOORS = CalibratedCamera((1500.1722, 1500.1722), (1017.3873, 1043.032), (2048, 2048))
OUTDOORS = CalibratedCamera((1683.9834, 1683.9834), (939.85754, 560.14075), (1920, 1080))
CAMERAS = dict(zip(SEQUENCES, (INDOORS,) * 4 + (OUTDOORS,) * 2, strict=True))
"""Of the test sequences, as the releases have them."""

UNIVERSAL_MM = 920.0
"""Knee to neck (knee to hip, pelvis to spine, spine to neck) of everybody in univ_annot3."""

_ALIKE = 0.02
_REPROJECTED = 0.0025  # of the image's width; the keypoints are the truth's own projection


@dataclass(frozen=True)
class Sequence:
    """pixels: (T, 17, 2). poses: (T, 17, 3), metres, camera frame, relative to the root. root: (T, 1, 3), its place.
    valid: (T,), frames that count."""

    name: str
    pixels: NDArray[np.float32]
    poses: NDArray[np.float32]
    root: NDArray[np.float32]
    valid: NDArray[np.bool_]
    camera: CalibratedCamera

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def knee_to_neck_mm(self) -> float:
        """Median over the frames that count."""
        body = self.poses[self.valid].astype(np.float64)
        along = (("LKnee", "LHip"), ("Pelvis", "Spine"), ("Spine", "Neck"))
        index = MPI3DHP17.index
        length = sum(np.linalg.norm(body[:, index(a)] - body[:, index(b)], axis=-1) for a, b in along)
        return float(1000 * np.median(length))

    @property
    def reprojection_px(self) -> float:
        """Median distance of the truth's projection from the keypoints, in the frames that count."""
        placed = (self.poses + self.root)[self.valid]
        seen = from_screen(self.camera.project(placed, distort=False), self.camera.image_size)
        return float(np.median(np.linalg.norm(seen - self.pixels[self.valid], axis=-1)))


def archive_file(annotation: str) -> str:
    """Name of the test archive of a kind of `ANNOTATIONS`."""
    return f"data_test_3dhp{ANNOTATIONS[annotation]}.npz"


def train_file(annotation: str) -> str:
    return f"data_train_3dhp{ANNOTATIONS[annotation]}.npz"


def load(folder: Path, annotation: str = "annot3") -> tuple[Sequence, ...]:
    """The test sequences there are in the archive of `annotation`.

    Raises UsageError for an unknown kind, InputError where the file is missing, damaged or not as above.
    """
    if annotation not in ANNOTATIONS:
        raise UsageError(f"annotation must be one of {', '.join(ANNOTATIONS)}, not {annotation!r}")
    if not (folder / archive_file(annotation)).is_file():
        raise InputError(
            f"there is no {archive_file(annotation)} in {folder}; `posecli data check 3dhp {folder}` says what is "
            "missing and where to get it"
        )
    return read_test(folder / archive_file(annotation))


def read_test(path: Path) -> tuple[Sequence, ...]:
    """The sequences of a test archive, in the order of `SEQUENCES`; InputError where it is none."""
    found = read_npz(path, "data")["data"]
    known = [name for name in SEQUENCES if isinstance(found, dict) and name in found]
    if not known:
        raise InputError(f"{path} holds none of the sequences {', '.join(SEQUENCES)}")
    return tuple(_sequence(name, found[name], path) for name in known)


def annotation_of(sequences: tuple[Sequence, ...]) -> str | None:
    """The kind of truth, or None where it is neither: univ_annot3 where everybody has the universal size, annot3
    where the truth's projection is the keypoints."""
    if all(abs(s.knee_to_neck_mm / UNIVERSAL_MM - 1) < _ALIKE for s in sequences):
        return "univ_annot3"
    if all(s.reprojection_px < _REPROJECTED * s.camera.image_size[0] for s in sequences):
        return "annot3"
    return None


def read_train(path: Path) -> dict[str, dict[str, int]]:
    """Frames of every sequence and camera of a training archive; InputError where an array is not as above."""
    found = read_npz(path, "data")["data"]
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no sequences")
    frames: dict[str, dict[str, int]] = {}
    for name, content in found.items():
        cameras = content[0] if isinstance(content, list | tuple) and content else None
        if not isinstance(cameras, dict):
            raise InputError(f"{path}: {name} holds no cameras")
        frames[str(name)] = {
            str(camera): len(_arrays(f"{name}, camera {camera}", each, path)[0])
            for camera, each in cameras.items()
        }
    return frames


def _sequence(name: str, content: Any, path: Path) -> Sequence:
    pixels, millimetres = _arrays(name, content, path)
    valid = content.get("valid")
    valid = np.asarray(valid).reshape(-1) if isinstance(valid, np.ndarray | list) else np.zeros(0)
    if len(valid) != len(pixels) or valid.dtype.kind not in "biuf":
        raise InputError(f"{path}: {name} does not say of each frame whether it counts")
    placed = millimetres.astype(np.float64) / 1000
    root = placed[:, [MPI3DHP17.root]]
    return Sequence(
        name,
        pixels.astype(np.float32),
        (placed - root).astype(np.float32),
        root.astype(np.float32),
        valid.astype(bool),
        CAMERAS[name],
    )


def _arrays(name: str, content: Any, path: Path) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Pixels and millimetres of a sequence, checked."""
    joints = MPI3DHP17.num_joints
    found = [content.get(key) if isinstance(content, dict) else None for key in ("data_2d", "data_3d")]
    for array, width in zip(found, (2, 3), strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != 3:
            raise InputError(f"{path}: {name} lacks data_{width}d of floating point numbers")
        if not len(array) or array.shape[1] != joints or array.shape[2] < width:
            raise InputError(f"{path}: {name}, data_{width}d, is not (frames, {joints} joints, {width})")
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name}, data_{width}d, holds numbers that are not finite")
    pixels, millimetres = found
    assert pixels is not None and millimetres is not None
    if len(pixels) != len(millimetres):
        raise InputError(
            f"{path}: {name} has {len(pixels)} frames of keypoints and {len(millimetres)} of truth"
        )
    return pixels[..., :2], millimetres[..., :3]
