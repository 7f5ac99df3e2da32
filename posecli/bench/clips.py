"""Accuracy on real clips that have marker-based truth beside them: a folder each, of a video and `ref.npz`.

The whole pipeline runs on them with a user's defaults. Beside it stand the world landmarks that the same landmark
network gave on the same frames: MediaPipe's own 3D, unsmoothed, not that of its package.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.bench.metrics import mean_acceleration, mpjpe, p_mpjpe
from posecli.bench.provenance import made_by
from posecli.bench.scores import Coverage
from posecli.detect.store import load_detections
from posecli.errors import InputError, NobodyError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.motion import stretches
from posecli.pipeline import Detected, detect_to_file
from posecli.reporting import Reporter, Silent
from posecli.skeleton import H36M17, LIMBS
from posecli.untrusted_npz import read_npz

RIGHT_HIP, LEFT_HIP = 1, 4
TRUTH = "ref.npz"
_LARGEST_TRUTH = 1 << 30  # bytes, unpacked: an hour of joints takes a tenth
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
MOST_FOLDERS = 10_000


@dataclass(frozen=True)
class ClipScore:
    """Errors over the 12 limb joints, mm, and over how many frames they are means.

    jitter: mean acceleration over that of the truth, same joints and frames; NaN without times.
    """

    pa_mpjpe_mm: float
    root_mpjpe_mm: float  # root-relative about the middle of the hips
    frames: int
    jitter: float = float("nan")

    def to_dict(self) -> dict[str, float]:
        return {"pa_mpjpe_mm": self.pa_mpjpe_mm, "root_mpjpe_mm": self.root_mpjpe_mm,
                "jitter": self.jitter, "frames": self.frames}  # fmt: skip


@dataclass(frozen=True)
class ClipResult:
    """One clip: ours, MediaPipe's, what our stated spread was worth, seconds per stage."""

    name: str
    ours: ClipScore
    mediapipe: ClipScore
    coverage: Coverage
    seconds: dict[str, float]

    @property
    def ratio(self) -> float:
        """Our PA-MPJPE over MediaPipe's."""
        return self.ours.pa_mpjpe_mm / self.mediapipe.pa_mpjpe_mm


@dataclass(frozen=True)
class VideoResult:
    """All clips of a folder. skipped: those without truth, or with nobody in them, each with the reason; failed: those
    whose files cannot be used."""

    clips: tuple[ClipResult, ...]
    skipped: dict[str, str]
    failed: dict[str, str]
    made_by: dict[str, Any]

    @property
    def ours(self) -> ClipScore:
        return mean_clips([c.ours for c in self.clips])

    @property
    def mediapipe(self) -> ClipScore:
        return mean_clips([c.mediapipe for c in self.clips])

    @property
    def coverage(self) -> Coverage:
        return Coverage.together([c.coverage for c in self.clips])

    @property
    def seconds(self) -> dict[str, float]:
        """Stage → duration, all clips together."""
        return {stage: sum(c.seconds[stage] for c in self.clips) for stage in self.clips[0].seconds}

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            **self.made_by,
            "clips": {
                c.name: {"posecli": c.ours.to_dict(), "mediapipe_world": c.mediapipe.to_dict(),
                         "pa_mpjpe_ratio": c.ratio, "joints_3d_std": c.coverage.to_dict(), "seconds": c.seconds}
                for c in self.clips
            },
            "mean": {"posecli": self.ours.to_dict(), "mediapipe_world": self.mediapipe.to_dict()},
            "joints_3d_std": self.coverage.to_dict(),
            "skipped": self.skipped,
            "failed": self.failed,
        }  # fmt: skip


def run_video(
    folder: str | Path,
    *,
    method: str | None = None,
    weights: str | Path | None = None,
    config: LiftConfig | None = None,
    device: str = "auto",
    keep: str | Path | None = None,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> VideoResult:
    """Score the whole pipeline on every clip below `folder` that has a `ref.npz` beside it.

    keep: a folder for the detections, which are used again when it is given another time. Folders without a
    `ref.npz`, or in which nobody is found, are named in `skipped`, those with a damaged video or truth, or with a
    truth of another length, in `failed`; both are warned of. Raises InputError where nothing is left.
    """
    reporter = reporter or Silent()
    found, skipped = find_clips(Path(folder))
    for name, reason in skipped.items():
        reporter.note(f"skipped {name}: {reason}")
    lifting = Lifting(method, weights, device, config or LiftConfig())
    results, failed = [], {}
    for name, video in found.items():
        reporter.note(f"{name}:")
        try:
            with seen_clip(name, video, keep=keep, offline=offline, reporter=reporter) as (detected, truth):
                results.append(_score_clip(name, detected, truth, lifting))
        except NobodyError:
            skipped[name] = "nobody is found in it"
            reporter.warn(f"{name} is left out: nobody is found in it")
        except InputError as error:
            failed[name] = str(error)
            reporter.warn(f"{name} is left out: {error}")
    if not results:
        raise InputError(
            f"{folder} holds no clip that can be scored; each wants a video and a {TRUTH} beside it"
        )
    return VideoResult(tuple(results), skipped, failed, made_by(lifting))


def find_clips(folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Name → video of every folder at or below `folder` that has its truth beside it; and name → why not.

    The video is the only one there, or the one called `video`. Raises InputError where there is no clip at all.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder; give one that holds clips, each a video with a {TRUTH} beside it"
        )
    found, skipped = {}, {}
    for number, place in enumerate([folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]):
        if number > MOST_FOLDERS:
            raise InputError(f"{folder} has more than {MOST_FOLDERS} folders below it; give a smaller one")
        videos = sorted(p for p in place.iterdir() if p.suffix.lower() in VIDEOS and p.is_file())
        name = place.relative_to(folder).as_posix() if place != folder else place.resolve().name
        named = [v for v in videos if v.stem == "video"] if len(videos) > 1 else videos
        if (place / TRUTH).is_file() and len(named) == 1:
            found[name] = named[0]
        elif (place / TRUTH).is_file():
            skipped[name] = f"{len(videos) or 'no'} videos beside its {TRUTH}, none called video"
        elif videos:
            skipped[name] = f"no {TRUTH} beside its video"
    if not found:
        raise InputError(f"{folder} holds no clip to score; each wants a video and a {TRUTH} beside it")
    return found, skipped


def load_truth(path: Path) -> NDArray[np.float64]:
    """Joints (T, 17, 3) of a `ref.npz`, metres, camera frame; NaN where a joint has no truth."""
    try:
        found = read_npz(path, "joints_cam_mm", "valid", most_bytes=_LARGEST_TRUTH)
        joints, valid = found["joints_cam_mm"].astype(np.float64) / 1000, found["valid"].astype(bool)
        if joints.shape != (*valid.shape, 3) or valid.shape[1:] != (H36M17.num_joints,):
            raise ValueError(f"joints have shape {joints.shape}, their mask {valid.shape}")
        return np.where(valid[..., None], joints, np.nan)
    # TypeError, AttributeError: things where arrays should be
    except (InputError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no reference file: {error}") from error


@contextmanager
def seen_clip(
    name: str, video: Path, *, keep: str | Path | None, offline: bool, reporter: Reporter
) -> Iterator[tuple[Detected, NDArray[np.float64]]]:
    """A clip's detections and its truth, see `load_truth`. The file of the detections lies in `keep`/`name`, or is gone
    after the block. Raises what `detect_to_file` raises, InputError also for a truth that is none or of another length.
    """
    truth = load_truth(video.with_name(TRUTH))
    with TemporaryDirectory(prefix="posecli-bench-") as scratch:
        place = Path(scratch) if keep is None else Path(keep) / name
        detected = detect_to_file(video, out=place, overwrite=True, offline=offline, reporter=reporter)
        check_lengths(detected.keypoints.xy, truth)
        yield detected, truth


def check_lengths(predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> None:
    """Raises InputError where row k of one cannot be row k of the other."""
    if len(predicted) != len(truth):
        raise InputError(
            f"the video has {len(predicted)} frames and its truth {len(truth)}: row k of {TRUTH} must be the k-th frame"
        )


def score(
    predicted: NDArray[np.floating], truth: NDArray[np.floating], times: NDArray[np.float64] | None = None
) -> ClipScore:
    """Compare poses (T, 17, 3) in metres, camera frame, row k of one with row k of the other.

    Frames count where all 12 limb joints are finite in both. times: (T,) seconds, for the jitter.
    Raises InputError where there is no such frame, or where the two are not equally long.
    """
    check_lengths(predicted, truth)
    limbs = list(LIMBS)
    guess, real = _hip_centred(predicted)[:, limbs], _hip_centred(truth)[:, limbs]
    both = np.asarray(np.isfinite(guess).all(axis=(1, 2)) & np.isfinite(real).all(axis=(1, 2)))
    if not both.any():
        raise InputError(
            "no frame has all limb joints in both prediction and truth; there is nothing to compare"
        )
    jitter = float("nan")
    if times is not None and len(times) > 1:
        fps = 1 / float(np.median(np.diff(times)))
        ours, theirs = (
            np.concatenate([mean_acceleration(poses[s], fps) for s in stretches(both)])
            for poses in (guess, real)
        )
        if len(theirs) and theirs.mean() > 0:
            jitter = float(ours.mean() / theirs.mean())
    guess, real = guess[both], real[both]
    return ClipScore(
        pa_mpjpe_mm=float(p_mpjpe(guess, real).mean() * 1000),
        root_mpjpe_mm=float(mpjpe(guess, real).mean() * 1000),
        frames=int(both.sum()),
        jitter=jitter,
    )


def mean_clips(scores: Sequence[ClipScore]) -> ClipScore:
    """Every clip counts the same; frames are added."""
    return ClipScore(
        float(np.mean([s.pa_mpjpe_mm for s in scores])),
        float(np.mean([s.root_mpjpe_mm for s in scores])),
        sum(s.frames for s in scores),
        float(np.mean([s.jitter for s in scores])),
    )


def _score_clip(name: str, detected: Detected, truth: NDArray[np.float64], lifting: Lifting) -> ClipResult:
    clock = time.monotonic()
    maps = load_detections(detected.file).heatmaps
    motion = lifting(detected.keypoints, clouds=lifting.clouds(detected.keypoints, maps))
    seconds = {"detect": detected.seconds.get("detect", 0.0), "lift": time.monotonic() - clock}
    world = detected.keypoints.to_h36m17().world
    if world is None:
        raise InputError("this detector gives no 3D of its own to compare with")
    ours, theirs = (score(poses, truth, motion.timestamps_s) for poses in (motion.joints_3d, world))
    error = _hip_centred(motion.joints_3d) - _hip_centred(truth)
    limbs = list(LIMBS)
    return ClipResult(
        name,
        ours,
        theirs,
        Coverage.of(error[:, limbs], motion.joints_3d_std[:, limbs]),
        seconds,
    )


def _hip_centred(poses: NDArray[np.floating]) -> NDArray[np.float64]:
    """(T, 17, 3) about the middle of the hips."""
    return (poses - poses[:, [RIGHT_HIP, LEFT_HIP]].mean(axis=1, keepdims=True)).astype(np.float64)
