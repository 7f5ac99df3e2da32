"""Accuracy on real clips that have marker-based truth beside them (`video.mp4` and `ref.npz`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from posecli.bench.metrics import mpjpe, p_mpjpe
from posecli.errors import InputError
from posecli.skeleton import H36M17, LIMBS

RIGHT_HIP, LEFT_HIP = 1, 4


@dataclass(frozen=True)
class ClipScore:
    """Errors over the 12 limb joints, mm, and over how many frames they are means."""

    pa_mpjpe_mm: float
    root_mpjpe_mm: float  # root-relative about the middle of the hips
    frames: int


def load_truth(path: Path) -> NDArray[np.float64]:
    """Joints (T, 17, 3) of a `ref.npz`, metres, camera frame; NaN where a joint has no truth."""
    try:
        with np.load(path, allow_pickle=False) as file:
            joints, valid = file["joints_cam_mm"].astype(np.float64) / 1000, file["valid"].astype(bool)
        if joints.shape != (*valid.shape, 3) or valid.shape[1:] != (H36M17.num_joints,):
            raise ValueError(f"joints have shape {joints.shape}, their mask {valid.shape}")
        return np.where(valid[..., None], joints, np.nan)
    # TypeError, AttributeError: a lone array where an archive should be
    except (OSError, EOFError, BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no reference file: {error}") from error


def score(predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> ClipScore:
    """Compare poses (T, 17, 3) in metres, camera frame, row k of one with row k of the other.

    Frames count where all 12 limb joints are finite in both. Raises InputError where there is no such frame.
    """
    limbs = list(LIMBS)
    rows = min(len(predicted), len(truth))
    guess, real = predicted[:rows][:, limbs], truth[:rows][:, limbs]
    both = np.isfinite(guess).all(axis=(1, 2)) & np.isfinite(real).all(axis=(1, 2))
    if not both.any():
        raise InputError(
            "no frame has all limb joints in both prediction and truth; there is nothing to compare"
        )
    guess, real = guess[both], real[both]
    hips = [limbs.index(RIGHT_HIP), limbs.index(LEFT_HIP)]
    centred = [poses - poses[:, hips].mean(axis=1, keepdims=True) for poses in (guess, real)]
    return ClipScore(
        pa_mpjpe_mm=float(p_mpjpe(guess, real).mean() * 1000),
        root_mpjpe_mm=float(mpjpe(centred[0], centred[1]).mean() * 1000),
        frames=int(both.sum()),
    )
