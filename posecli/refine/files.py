"""`posecli refine` as a function: a file of predictions → a refined NPZ."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posecli.detect.provenance import source_identity
from posecli.errors import InputError, OutputError, UsageError
from posecli.export.npz import save_npz
from posecli.machine import choose_device, versions
from posecli.motion import Motion
from posecli.refine import REFINERS
from posecli.refine.apply import NetworkRefiner, Refiner, TimeFilter, refine_motion
from posecli.refine.filters import FILTERS
from posecli.refine.foreign import Beside, read_predictions
from posecli.reporting import Reporter, Silent
from posecli.weights import store

DEFAULT = "d3prefiner"


@dataclass(frozen=True)
class Refined:
    """moved_mm: median distance by which refining moved a joint other than the root."""

    motion: Motion
    file: Path
    moved_mm: float
    warnings: list[str] = field(default_factory=list)


def refine_file(
    path: Path,
    *,
    out: Path | None = None,
    method: str = DEFAULT,
    weights: str | None = None,
    device: str = "auto",
    beside: Beside | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Refined:
    """Refine the predictions in `path` and write them to `out`, `<stem>.refined.npz` beside `path` if not given.

    method: "d3prefiner" or one of `FILTERS`. weights: of the former, a file or the name of shipped ones. beside: see
    `read_predictions`. Raises PosecliError; then nothing was written.
    """
    say = reporter or Silent()
    target = path.with_name(f"{path.stem}.refined.npz") if out is None else out
    if target.suffix != ".npz":
        raise UsageError(f"--out names the file to write, ending in .npz, not {target}")
    if target.exists() and path.exists() and target.samefile(path):
        raise OutputError(f"{target} is the input itself; choose another file with --out")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; use --overwrite, or another file with --out")
    refiner = _refiner(method, weights, device)
    motion = read_predictions(path, beside)
    warnings = _doubts(refiner, motion)
    for message in warnings:
        say.warn(message)
    with say.stage("refine", None, "pieces") as advance:
        refined = refine_motion(motion, refiner, progress=advance)
    done = refined.settings["refinements"]
    done[-1] |= {"input": source_identity(path), "versions": versions(), "warnings": warnings}
    moved = np.linalg.norm(refined.joints_3d - motion.joints_3d, axis=-1)[motion.valid, 1:]
    save_npz(refined, target)
    return Refined(refined, target, float(np.median(moved)) * 1000, warnings)


def _refiner(method: str, weights: str | None, device: str) -> Refiner:
    if method in FILTERS:
        if weights is not None:
            raise UsageError(f"{method} is a filter and has no weights; leave out --weights")
        return TimeFilter(method)
    if method not in REFINERS:
        raise UsageError(f"unknown refiner {method!r}; one of: {', '.join([*REFINERS, *FILTERS])}")
    if weights is None and not any(w.method == method for w in store.shipped()):
        raise InputError(
            f"no weights for {method} ship with posecli yet: make some (posecli train {method} --base LIFTER) and name "
            f"them with --weights, or use a filter that needs none: --method {', '.join(FILTERS)}"
        )
    return NetworkRefiner.load(store.find(method, weights), choose_device(device))


def _doubts(refiner: Refiner, motion: Motion) -> list[str]:
    """In words: where weights were fitted to the errors of another lifter."""
    base, made_by = refiner.record.get("base", "any"), motion.settings.get("method", "unknown")
    if base == "any" or base == made_by:
        return []
    if made_by == "unknown":
        return [
            f"these weights were fitted to the errors of {base}; which lifter made this file is not known (--base)"
        ]
    return [
        f"these weights were fitted to the errors of {base}, but {made_by} made this file: it may get worse"
    ]
