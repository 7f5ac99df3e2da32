"""Every lifter whose weights ship, on one benchmark: one table, lifted and measured alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posecli.bench.open import OpenResult, run_open
from posecli.errors import InputError
from posecli.lifting import LiftConfig
from posecli.methods import METHODS
from posecli.reporting import Reporter, Silent
from posecli.weights import store


def run_every(
    *,
    config: LiftConfig | None = None,
    keypoints: str = "detected",
    pairs: str | Path | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> list[OpenResult]:
    """`run_open` of all shipped lifters, the most accurate first. config: hypotheses and steps that it leaves open are
    each method's own. Raises InputError where no weights ship, and what `run_open` raises."""
    say = reporter or Silent()
    files = [w for w in store.shipped() if w.method in METHODS]
    if not files:
        raise InputError("no weights of lifters ship with posecli; name a file with --weights")
    results = []
    for done, file in enumerate(files):
        say.note(f"{file.name}, {done + 1} of {len(files)}")
        results.append(
            run_open(
                weights=file.path,
                config=config,
                keypoints=keypoints,
                pairs=pairs,
                device=device,
                reporter=say,
            )
        )
    return sorted(results, key=lambda r: r.overall.mpjpe_mm)


def to_dict(results: Sequence[OpenResult]) -> dict[str, Any]:
    """All of it by weights' name, ready for JSON."""
    return {Path(r.made_by["weights"]).stem: r.to_dict() for r in results}
