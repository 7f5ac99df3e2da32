"""`posecli bench h36m`, `3dhp` and `humaneva`: a method on a paper's data set, by a named protocol."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from posecli.bench.protocols import NOTHING, Totals, check_protocol, headline
from posecli.bench.provenance import made_by
from posecli.bench.result import BenchResult
from posecli.bench.scenes import Material, load
from posecli.bench.scoring import Scoring
from posecli.errors import UsageError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.reporting import Reporter, Silent
from posecli.skeleton import Skeleton

INPUT = "X / w * 2 - [1, h / w]"
"""What weights must say of their input: the papers', as converters write it."""


def run_bench(
    bench: str,
    folder: Path,
    *,
    weights: str | Path,
    method: str,
    keypoints: str | None = None,
    truth: str | None = None,
    protocol: str = "official",
    configs: Sequence[LiftConfig] = (LiftConfig(),),
    device: str = "auto",
    reporter: Reporter | None = None,
) -> list[BenchResult]:
    """Score converted weights on the archives in `folder`, once for each of `configs`.

    bench: a name in `posecli.bench.layouts.LAYOUTS`. keypoints, truth: see `posecli.bench.scenes.load`.
    configs: hypotheses, steps and seed are used, nothing else. A seed gives the same numbers again on the same device.
    Raises InputError for data or weights that cannot be used, UsageError for what does not go together.
    """
    check_protocol(protocol)
    reporter = reporter or Silent()
    clock = time.monotonic()
    lifters = [Lifting(method, weights, device, config) for config in configs]
    _check_weights(lifters[0], Path(weights), bench)
    material = load(bench, folder, keypoints, truth)
    loading = time.monotonic() - clock
    results = [score(lifting, material, protocol=protocol, reporter=reporter) for lifting in lifters]
    return [replace(result, seconds={"load": loading, **result.seconds}) for result in results]


def score(
    lifting: Lifting, material: Material, *, protocol: str, reporter: Reporter | None = None
) -> BenchResult:
    """Lift and score what is loaded already; errors as `run_bench`."""
    check_protocol(protocol)
    _check_skeleton(lifting, material.skeleton)
    reporter, method = reporter or Silent(), str(lifting.record["method"])
    scoring = Scoring(lifting, method, protocol, material)
    groups: dict[str, Totals] = {}
    done, name = 0, f"bench H={lifting.hypotheses} W={lifting.steps}"
    with reporter.stage(name, material.frames, "frames") as advance:
        for number, scene in enumerate(material.scenes()):
            groups[scene.group] = groups.get(scene.group, NOTHING) + scoring.of(scene, number)
            done += len(scene)
            advance(done)
    made = made_by(lifting) | {"config": lifting.model.config.to_dict()}
    made["settings"] = {
        "hypotheses": lifting.hypotheses,
        "steps": lifting.steps,
        "seed": lifting.config.seed,
        "p_best_windows": material.layout.batch,
        **material.about,
    }
    layout = material.layout
    return BenchResult(
        layout.bench, method, protocol, material.keypoints, headline(layout, method, protocol), groups,
        len(scoring.joints), scoring.errors, made, dict(scoring.seconds),
    )  # fmt: skip


def _check_weights(lifting: Lifting, path: Path, bench: str) -> None:
    """Weights of another input would give poses, only bad ones."""
    from posecli.weights.format import read_header
    from posecli.weights.store import find

    found = find(lifting.record["method"], path)
    if read_header(found)["metadata"].get("input") != INPUT:
        raise UsageError(
            f"{found.name} looks at a camera turned to the person, not at a data set's images as the papers do; "
            f"bench {bench} scores released weights: posecli weights convert"
        )


def _check_skeleton(lifting: Lifting, skeleton: Skeleton) -> None:
    if lifting.model.skeleton != skeleton:
        raise UsageError(
            f"{lifting.record['weights']} lifts the joints of {lifting.model.skeleton.name}, this data set has those "
            f"of {skeleton.name}"
        )
