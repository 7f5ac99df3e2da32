"""The open benchmark's data: motion of held-out people, as recorded, seen by fixed cameras through a fixed detector.

One file ships with posecli (`assets/open_benchmark.npz`, made by `scripts/make_open_benchmark.py`), its SHA-256
beside it. Whole numbers: 0.1 mm and 0.1 pixel, so that the file is small and the same everywhere.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError
from posecli.files import atomic_write
from posecli.skeleton import H36M17

SCHEMA = 1
FILE = Path(__file__).resolve().parents[1] / "assets" / "open_benchmark.npz"
STEP_M, STEP_PX = 1e-4, 0.1
KEYPOINTS = ("detected", "true")

_J = H36M17.num_joints
# name → (dtype, shape after the first axis); the first axis is frames, or clips
_FRAMES: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "joints": (np.int16, (_J, 3)), "root": (np.int16, (3,)), "detected": (np.int16, (_J, 2)),
    "true": (np.int16, (_J, 2)), "scores": (np.uint8, (_J,)),
}  # fmt: skip
_CLIPS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "start": (np.int32, ()), "subject": (np.int16, ()), "image_size": (np.int16, (2,)),
    "K": (np.float64, (3, 3)),
}  # fmt: skip
_WORDS = ("source", "action", "viewpoint")
_MISSING = np.iinfo(np.int16).min  # a joint the detector did not give


@dataclass(frozen=True)
class OpenClip:
    """One clip of the benchmark, T frames at `fps`.

    joints: (T, 17, 3) float64 metres, camera frame, relative to the root; root: (T, 3) where that is.
    detected, true: (T, 17, 2) float32 pixels: what the simulated detector said (NaN where nothing), and what a
        perfect one would have said. scores: (T, 17) of the former.
    K: (3, 3) the camera's own intrinsics, which the lifter is not told.
    source: where the motion is from, "subject_trial @ seconds".
    """

    joints: NDArray[np.float64]
    root: NDArray[np.float64]
    detected: NDArray[np.float32]
    true: NDArray[np.float32]
    scores: NDArray[np.float32]
    fps: float
    image_size: tuple[int, int]
    K: NDArray[np.float64]
    subject: int
    source: str
    action: str
    viewpoint: str

    def __len__(self) -> int:
        return len(self.joints)

    def keypoints(self, kind: str = "detected") -> Keypoints2D:
        """The 2D to lift: "detected", or "true" for the bound that a perfect detector would reach."""
        xy, scores = (
            (self.detected, self.scores) if kind == "detected" else (self.true, np.ones_like(self.scores))
        )
        return Keypoints2D(
            xy=xy,
            scores=scores,
            found=np.asarray(np.isfinite(xy).all(axis=(1, 2))),
            timestamps_s=np.arange(len(self)) / self.fps,
            skeleton=H36M17,
            image_size=self.image_size,
            provenance={"detector": f"open benchmark, {kind}"},
        )


@dataclass(frozen=True)
class OpenBenchmark:
    clips: tuple[OpenClip, ...]
    sha256: str
    about: str


def load_benchmark(path: Path = FILE) -> OpenBenchmark:
    """Read the benchmark, checked against the SHA-256 that lies beside it.

    Raises InputError where the file is missing, damaged or another than the recorded one.
    """
    try:
        content, recorded = path.read_bytes(), hash_file(path).read_text(encoding="ascii").split()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise InputError(f"the open benchmark is incomplete ({error}); reinstall posecli") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != recorded:
        raise InputError(
            f"{path} is damaged or changed: its SHA-256 is {digest[:16]}…, not {recorded[:16]}…; reinstall posecli"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return _read({name: file[name] for name in file.files}, digest)
    except (OSError, EOFError, BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no open benchmark of this version ({error}); reinstall posecli"
        ) from None


def write_benchmark(path: Path, clips: Sequence[OpenClip], about: str) -> str:
    """Write clips to `path` and its SHA-256 beside it; returns that. Equal clips give equal files."""
    rates = {clip.fps for clip in clips}
    if len(rates) != 1:
        raise ValueError(f"all clips must have one frame rate, not {sorted(rates)}")

    def steps(values: NDArray[np.floating], step: float) -> NDArray[np.int16]:
        whole = np.round(values.astype(np.float64) / step)
        if np.abs(whole[np.isfinite(whole)]).max() > np.iinfo(np.int16).max:
            raise ValueError("a value is too large for 16 bits")
        return np.where(np.isfinite(whole), whole, _MISSING).astype(np.int16)

    arrays: dict[str, NDArray[Any]] = {
        "joints": np.concatenate([steps(c.joints, STEP_M) for c in clips]),
        "root": np.concatenate([steps(c.root, 10 * STEP_M) for c in clips]),
        "detected": np.concatenate([steps(c.detected, STEP_PX) for c in clips]),
        "true": np.concatenate([steps(c.true, STEP_PX) for c in clips]),
        "scores": np.concatenate([np.round(c.scores * 255).astype(np.uint8) for c in clips]),
        "start": np.cumsum([0, *(len(c) for c in clips)])[:-1].astype(np.int32),
        "subject": np.array([c.subject for c in clips], np.int16),
        "image_size": np.array([c.image_size for c in clips], np.int16),
        "K": np.array([c.K for c in clips]),
        **{name: np.array([getattr(c, name) for c in clips]) for name in _WORDS},
        "fps": np.array(rates.pop()),
        "about": np.array(about),
        "schema": np.array(SCHEMA),
    }
    with atomic_write(path) as partial:
        np.savez_compressed(partial, allow_pickle=False, **arrays)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with atomic_write(hash_file(path)) as partial:
        partial.write_text(f"{digest}  {path.name}\n", encoding="ascii")
    return digest


def hash_file(path: Path) -> Path:
    """Where the SHA-256 of a benchmark file is written."""
    return path.with_suffix(".sha256")


def _read(arrays: dict[str, NDArray[Any]], digest: str) -> OpenBenchmark:
    if int(arrays["schema"]) != SCHEMA:
        raise ValueError(f"schema {int(arrays['schema'])}, not {SCHEMA}")
    frames, clips = len(arrays["joints"]), len(arrays["start"])
    for columns, count in ((_FRAMES, frames), (_CLIPS, clips)):
        for name, (dtype, rest) in columns.items():
            if arrays[name].dtype != dtype or arrays[name].shape != (count, *rest):
                raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
    starts = [*arrays["start"].tolist(), frames]
    if starts[0] != 0 or any(b <= a for a, b in pairwise(starts)):
        raise ValueError("its clips overlap")

    def pixels(name: str, rows: slice) -> NDArray[np.float32]:
        whole = arrays[name][rows]
        return np.where(whole == _MISSING, np.nan, whole * STEP_PX).astype(np.float32)

    read = []
    for k, rows in enumerate(slice(a, b) for a, b in pairwise(starts)):
        width, height = arrays["image_size"][k].tolist()
        read.append(
            OpenClip(
                joints=arrays["joints"][rows] * STEP_M,
                root=arrays["root"][rows] * (10 * STEP_M),
                detected=pixels("detected", rows),
                true=pixels("true", rows),
                scores=(arrays["scores"][rows] / 255).astype(np.float32),
                fps=float(arrays["fps"]),
                image_size=(width, height),
                K=arrays["K"][k],
                subject=int(arrays["subject"][k]),
                **{name: str(arrays[name][k]) for name in _WORDS},
            )
        )
    return OpenBenchmark(tuple(read), digest, str(arrays["about"]))
