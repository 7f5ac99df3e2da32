"""`posecli bench refine`: what refiners make of lifters' answers, beside filters that know nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.bench.clips import check_lengths, find_clips, seen_clip
from posecli.bench.metrics import acceleration_error, mean_acceleration, mpjpe, mpjve, p_mpjpe
from posecli.bench.open import Sample, open_samples, pair_samples
from posecli.bench.open_data import OpenBenchmark, load_benchmark
from posecli.bench.provenance import made_by
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError, NobodyError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.machine import choose_device
from posecli.motion import Motion, stretches
from posecli.refine.apply import NetworkRefiner, Refiner, TimeFilter, refine_motion
from posecli.refine.choose import MadeBy, doubts
from posecli.refine.filters import FILTERS
from posecli.reporting import Reporter, Silent
from posecli.skeleton import H36M17, LIMBS
from posecli.weights import store
from posecli.weights.format import read_header

AS_LIFTED = "as lifted"
ROUGH = "as lifted, --smooth off"

Poses = NDArray[np.floating]


@dataclass(frozen=True)
class Errors:
    """Means over a clip, or over clips (each counting the same): mm, mm/s, mm/s². predicted_ and true_ are mean sizes,
    and `jitter` is their ratio, as in `posecli.bench.scores`."""

    mpjpe_mm: float
    p_mpjpe_mm: float
    velocity_mm_s: float
    acceleration_mm_s2: float
    predicted_acceleration_mm_s2: float
    true_acceleration_mm_s2: float

    @property
    def jitter(self) -> float:
        true = self.true_acceleration_mm_s2
        return self.predicted_acceleration_mm_s2 / true if true > 0 else float("nan")

    def to_dict(self) -> dict[str, float]:
        return {**asdict(self), "jitter": self.jitter}


@dataclass(frozen=True)
class Row:
    """What one lifter's answers are like after one refiner. change: of each error, in per cent of `AS_LIFTED`.
    base: what a network was fitted to, "" for filters."""

    lifter: str
    refiner: str
    base: str
    errors: Errors
    change: dict[str, float]


@dataclass(frozen=True)
class RefineResult:
    rows: tuple[Row, ...]
    benchmark: dict[str, Any]
    lifters: tuple[dict[str, Any], ...]
    refiners: dict[str, Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "benchmark": self.benchmark,
            "lifters": list(self.lifters),
            "refiners": {name: dict(record) for name, record in self.refiners.items()},
            "rows": [{**asdict(row), "errors": row.errors.to_dict()} for row in self.rows],
        }


def run_refine(
    lifters: Sequence[str] = (),
    networks: Sequence[str] | None = None,
    *,
    config: LiftConfig | None = None,
    video: Path | None = None,
    pairs: Path | None = None,
    keep: Path | None = None,
    benchmark: OpenBenchmark | None = None,
    device: str = "auto",
    offline: bool = False,
    reporter: Reporter | None = None,
) -> RefineResult:
    """Lift every clip with each of `lifters`, refine it in every way, and compare with the truth.

    lifters: names of methods whose weights ship, or weights files; all that ship if none is named. Rows call them by
    their method, or by their file's name where these are not the weights that the method takes by itself.
    networks: weights of refiners, of which those fitted to a lifter or to "any" are tried on it; all that ship if None.
    The filters are always tried. config: of lifting; its low-pass is what `ROUGH` is without.
    video: a folder of real clips (`posecli.bench.clips`) instead of the open benchmark, over the 12 limb joints about
    the middle of the hips; keep: a folder for their detections. pairs: a paired set's test subjects instead.
    Raises PosecliError.
    """
    say, config = reporter or Silent(), config or LiftConfig()
    paths = [_weights(name) for name in lifters] or _shipped_lifters()
    wanted = [w.name for w in store.shipped() if w.method == "d3prefiner"] if networks is None else networks
    files = [store.find("d3prefiner", name) for name in wanted]
    trained = {name: NetworkRefiner.load(path, choose_device(device)) for name, path in _apart(files).items()}
    methods = {path: str(read_header(path)["method"]) for path in paths}
    for name, network in trained.items():
        if network.base not in ("any", *methods.values()):
            say.warn(f"{name} is left out: it was fitted to {network.base}, which is not among the lifters")
    samples, about = _samples(video, pairs, benchmark, keep, offline, say)
    limbs = video is not None
    rows: list[Row] = []
    records = []
    for path in paths:
        method, label = methods[path], _label(path, methods[path])
        lifting = Lifting(method, path, device, config)
        rough = Lifting(method, path, device, replace(config, smooth_hz=None))
        refiners: dict[str, Refiner] = {name: TimeFilter(name) for name in FILTERS}
        for name, network in trained.items():
            if network.base in (method, "any"):
                refiners[name] = network
                for message in doubts(network, MadeBy.of(lifting.record)):
                    say.warn(f"{name}, lifted with {path.name}: {message}")
        found: dict[str, list[Errors]] = {name: [] for name in (ROUGH, AS_LIFTED, *refiners)}
        with say.stage(f"refine {label}", len(samples), "clips") as advance:
            for done, sample in enumerate(samples):
                try:
                    motion = _lift(lifting, sample.keypoints)
                except NobodyError:
                    say.warn(f"{sample.source} is left out: the detector found nobody in it")
                    continue
                results = {AS_LIFTED: motion, ROUGH: _lift(rough, sample.keypoints)}
                results |= {name: refine_motion(motion, refiner) for name, refiner in refiners.items()}
                for name, result in results.items():
                    found[name].append(compare(result.joints_3d, sample.truth, sample.fps, limbs=limbs))
                advance(done + 1)
        if not found[AS_LIFTED]:
            raise InputError("nobody is found in any clip; there is nothing to score")
        means = {name: mean_errors(errors) for name, errors in found.items()}
        before = asdict(means[AS_LIFTED])
        for name, errors in means.items():
            change = {
                key: 100 * (value / before[key] - 1)
                for key, value in asdict(errors).items()
                if not key.startswith(("predicted_", "true_"))
            }
            base = trained[name].base if name in trained else ""
            rows.append(Row(label, name, base, errors, change))
        records.append(made_by(lifting))
    return RefineResult(
        tuple(rows),
        {**about, "clips": len(samples)},
        tuple(records),
        {n: r.record for n, r in trained.items()},
    )


def compare(predicted: Poses, truth: Poses, fps: float, *, limbs: bool = False) -> Errors:
    """Poses (T, 17, 3), metres, row k of one with row k of the other; frames that are not finite in both are left out.

    limbs: over the 12 limb joints about the middle of the hips, as motion capture of other skeletons allows; else all
    joints relative to the root. Raises InputError where no frame is left, or where the two are not equally long.
    """
    check_lengths(predicted, truth)
    p, g = (1000 * np.asarray(x, np.float64) for x in (predicted, truth))
    if limbs:
        hips = [H36M17.index("RHip"), H36M17.index("LHip")]
        p, g = ((x - x[:, hips].mean(axis=1, keepdims=True))[:, list(LIMBS)] for x in (p, g))
    both: NDArray[np.bool_] = np.asarray(np.isfinite(p).all(axis=(1, 2)) & np.isfinite(g).all(axis=(1, 2)))
    if not both.any():
        raise InputError("no frame has both a prediction and a truth; there is nothing to compare")
    runs = [(p[s], g[s]) for s in stretches(both)]

    def mean(values: list[NDArray[np.float64]]) -> float:
        every = np.concatenate([v.ravel() for v in values])
        return float(every.mean()) if len(every) else float("nan")

    return Errors(
        mpjpe_mm=float(mpjpe(p[both], g[both]).mean()),
        p_mpjpe_mm=float(p_mpjpe(p[both], g[both]).mean()),
        velocity_mm_s=fps * mean([mpjve(a, b) for a, b in runs]),
        acceleration_mm_s2=mean([acceleration_error(a, b, fps) for a, b in runs]),
        predicted_acceleration_mm_s2=mean([mean_acceleration(a, fps) for a, _ in runs]),
        true_acceleration_mm_s2=mean([mean_acceleration(b, fps) for _, b in runs]),
    )


def mean_errors(errors: Sequence[Errors]) -> Errors:
    return Errors(**{key: float(np.nanmean([getattr(e, key) for e in errors])) for key in asdict(errors[0])})


def _lift(lifting: Lifting, keypoints: Keypoints2D) -> Motion:
    """A motion that says how it was made, as files do: refining looks at that."""
    motion = lifting(keypoints)
    return replace(motion, settings={**motion.settings, **lifting.record})


def _apart(files: Sequence[Path]) -> dict[str, Path]:
    """Files by their stems; those of the same stem, as runs of one recipe leave them, by their whole paths."""
    stems = [path.stem for path in dict.fromkeys(files)]
    return {p.stem if stems.count(p.stem) == 1 else str(p.with_suffix("")): p for p in files}


def _weights(name: str) -> Path:
    return Path(name) if Path(name).is_file() else store.find(name)


def _label(path: Path, method: str) -> str:
    """Its method where these are the weights that `--method` takes, else the file's name."""
    usual = next((w.path for w in store.shipped() if w.method == method), path)
    return method if path.resolve() == usual.resolve() else path.stem


def _shipped_lifters() -> list[Path]:
    return [w.path for w in store.shipped() if w.method != "d3prefiner"]


def _samples(
    video: Path | None,
    pairs: Path | None,
    benchmark: OpenBenchmark | None,
    keep: Path | None,
    offline: bool,
    say: Reporter,
) -> tuple[list[Sample], dict[str, Any]]:
    """What to lift, with its truth, and what it is."""
    if video is not None:
        return _clips(video, keep, offline, say), {"name": str(video)}
    if pairs is not None:
        return pair_samples(pairs), {"name": "paired set", "sha256": store.sha256(pairs)}
    benchmark = benchmark or load_benchmark()
    return open_samples(benchmark), {"name": "posecli open", "sha256": benchmark.sha256}


def _clips(video: Path, keep: Path | None, offline: bool, say: Reporter) -> list[Sample]:
    """The clips below a folder; those in which nobody is found are warned of and left out."""
    clips, skipped = find_clips(video)
    for name, reason in skipped.items():
        say.note(f"skipped {name}: {reason}")
    samples = []
    for name, path in clips.items():
        try:
            with seen_clip(name, path, keep=keep, offline=offline, reporter=say) as (detected, truth):
                keypoints = detected.keypoints
        except NobodyError:
            say.warn(f"{name} is left out: nobody is found in it")
            continue
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        steps = np.diff(keypoints.timestamps_s)
        fps = float(1 / np.median(steps)) if len(steps) else 30.0
        samples.append(Sample(keypoints, truth, fps, name, "", name))
    return samples
