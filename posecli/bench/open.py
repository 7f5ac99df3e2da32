"""`posecli bench open`: a lifter on the open benchmark, or on real detections of rendered motion."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.bench.metrics import joint_errors
from posecli.bench.open_data import KEYPOINTS, OpenBenchmark, load_benchmark
from posecli.bench.provenance import made_by
from posecli.bench.scores import Coverage, Scores, histogram, mean_scores, score_poses
from posecli.detect.clouds import JointClouds
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError, NobodyError, UsageError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.motion import Motion
from posecli.reporting import Reporter, Silent
from posecli.skeleton import BLAZEPOSE33
from posecli.weights import store


@dataclass(frozen=True)
class Sample:
    """A clip to lift and its truth: joints (T, 17, 3), metres, camera frame, relative to the root. clouds: where its
    heatmaps put the joints, where they were kept."""

    keypoints: Keypoints2D
    truth: NDArray[np.floating]
    fps: float
    action: str
    viewpoint: str
    source: str
    clouds: JointClouds | None = None


@dataclass(frozen=True)
class SampleResult:
    action: str
    viewpoint: str
    source: str
    scores: Scores


@dataclass(frozen=True)
class OpenResult:
    """Scores of every clip, what the spread was worth, and how it was made.

    errors: counts of joint errors (the root's left out), see `posecli.bench.scores.histogram`.
    coverage: None where the weights state no spread. seconds: stage → duration.
    """

    clips: tuple[SampleResult, ...]
    coverage: Coverage | None
    errors: NDArray[np.int64]
    benchmark: dict[str, Any]
    made_by: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def overall(self) -> Scores:
        return mean_scores([c.scores for c in self.clips])

    def by(self, label: str) -> dict[str, Scores]:
        """Scores by "action" or "viewpoint", in order of appearance."""
        groups: dict[str, list[Scores]] = {}
        for clip in self.clips:
            groups.setdefault(getattr(clip, label), []).append(clip.scores)
        return {name: mean_scores(group) for name, group in groups.items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""

        def plain(groups: Mapping[str, Scores]) -> dict[str, Any]:
            return {name: scores.to_dict() for name, scores in groups.items()}

        return {
            "benchmark": self.benchmark,
            **self.made_by,
            "seconds": self.seconds,
            "overall": self.overall.to_dict(),
            "by_action": plain(self.by("action")),
            "by_viewpoint": plain(self.by("viewpoint")),
            "joints_3d_std": None if self.coverage is None else self.coverage.to_dict(),
            "joint_errors_per_10_mm": self.errors.tolist(),
            "clips": [
                {"source": c.source, "action": c.action, "viewpoint": c.viewpoint, **c.scores.to_dict()}
                for c in self.clips
            ],
        }


def run_open(
    *,
    method: str | None = None,
    weights: str | Path | None = None,
    config: LiftConfig | None = None,
    keypoints: str = "detected",
    pairs: str | Path | None = None,
    benchmark: OpenBenchmark | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> OpenResult:
    """Score weights on the benchmark that ships with posecli, lifted just as a user's detections are.

    keypoints: "detected" by the benchmark's simulated detector, or "true", what a perfect one would say.
    pairs: a paired set (`posecli.corpus.pairs`) whose test subjects are scored instead.
    benchmark: another than the one that ships, or a part of it.
    Raises InputError for a damaged benchmark or weights, UsageError for names and values that cannot work.
    """
    if keypoints not in KEYPOINTS:
        raise UsageError(f"keypoints must be one of {', '.join(KEYPOINTS)}, not {keypoints!r}")
    if pairs is not None and keypoints == "true":
        raise UsageError("--keypoints true is for the open benchmark; a paired set is scored as detected")
    clock = time.monotonic()
    lifting = Lifting(method, weights, device, config or LiftConfig())
    if pairs is None:
        benchmark = benchmark or load_benchmark()
        samples = open_samples(benchmark, keypoints)
        about = {"name": "posecli open", "sha256": benchmark.sha256, "keypoints": keypoints}
    else:
        samples = pair_samples(Path(pairs))
        about = {"name": "paired set", "sha256": store.sha256(Path(pairs)), "keypoints": "BlazePose"}
    loaded = time.monotonic() - clock
    result = evaluate(samples, lifting, about, reporter)
    return OpenResult(
        result.clips, result.coverage, result.errors, result.benchmark, made_by(lifting),
        {"load": loaded, **result.seconds},
    )  # fmt: skip


def evaluate(
    samples: Sequence[Sample],
    lift: Callable[..., Motion],
    benchmark: dict[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> OpenResult:
    """Score anything that lifts keypoints on any samples. A clip in which nobody is found is warned of and left
    out; raises InputError where none is left."""
    reporter = reporter or Silent()
    clips, coverage, errors = [], [], histogram(np.empty(0))
    spread, seconds = False, {"lift": 0.0, "score": 0.0}
    with reporter.stage("bench", len(samples), "clips") as advance:
        for done, sample in enumerate(samples):
            clock = time.monotonic()
            try:
                along = {} if sample.clouds is None else {"clouds": sample.clouds}
                motion = lift(sample.keypoints, **along)
            except NobodyError:
                reporter.warn(f"{sample.source} is left out: the detector found nobody in it")
                continue
            lifted = time.monotonic()
            predicted = motion.joints_3d.astype(np.float64)
            scores = score_poses(predicted, sample.truth, sample.fps)
            clips.append(SampleResult(sample.action, sample.viewpoint, sample.source, scores))
            off_root = [j for j in range(motion.skeleton.num_joints) if j != motion.skeleton.root]
            std = motion.joints_3d_std[:, off_root]
            spread |= bool(np.nanmax(std) > 0)
            coverage.append(Coverage.of((predicted - sample.truth)[:, off_root], std))
            errors += histogram(1000 * joint_errors(predicted, sample.truth)[:, off_root])
            seconds["lift"] += lifted - clock
            seconds["score"] += time.monotonic() - lifted
            advance(done + 1)
    if not clips:
        raise InputError("nobody is found in any clip; there is nothing to score")
    about = {**(benchmark or {}), "clips": len(clips), "frames": sum(c.scores.frames for c in clips)}
    return OpenResult(
        tuple(clips), Coverage.together(coverage) if spread else None, errors, about, {}, seconds
    )


def open_samples(benchmark: OpenBenchmark, keypoints: str = "detected") -> list[Sample]:
    """The benchmark's clips, by one kind of its keypoints."""
    return [
        Sample(c.keypoints(keypoints), c.joints, c.fps, c.action, c.viewpoint, c.source)
        for c in benchmark.clips
    ]


def pair_samples(path: Path, split: str = "test") -> list[Sample]:
    """Subjects of one side of a paired set: what BlazePose said of rendered motion, with the clouds of its heatmaps
    where the set keeps them. They have no actions."""
    from posecli.corpus.paired_windows import PairedClipClouds
    from posecli.corpus.pairs import RATE, load_pairs
    from posecli.corpus.viewpoints import NAMES

    pairs = load_pairs(path, split)
    if not len(pairs):
        raise InputError(f"{path} has no windows of its {split} split")
    samples = []
    for k in np.argsort(pairs.subject, kind="stable").tolist():
        keypoints = Keypoints2D(
            xy=pairs.xy[k],
            scores=pairs.scores[k],
            found=pairs.found[k],
            timestamps_s=np.arange(pairs.xy.shape[1]) / RATE,
            skeleton=BLAZEPOSE33,
            image_size=(int(pairs.size[k, 0]), int(pairs.size[k, 1])),
        )
        samples.append(
            Sample(
                keypoints,
                pairs.points[k, :, :17] - pairs.points[k, :, :1],
                RATE,
                f"subject {int(pairs.subject[k]):02d}",
                NAMES[int(pairs.viewpoint[k])],
                f"{path.name}, {split} window {k}",
                None if pairs.places is None else PairedClipClouds(pairs, k, keypoints),
            )
        )
    return samples
