"""`posecli refine` as a function: a file of predictions → a refined NPZ."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posecli.detect.provenance import source_identity
from posecli.errors import InputError, OutputError, UsageError
from posecli.export.npz import save_npz
from posecli.lifting import standing_height
from posecli.machine import versions
from posecli.motion import Motion
from posecli.refine.apply import left_alone, refine_motion
from posecli.refine.choose import DEFAULT, MadeBy, choose_refiner, doubts, in_words
from posecli.refine.foreign import Beside, read_predictions
from posecli.reporting import Reporter, Silent

_GROWN_M = (1.4, 2.1)


@dataclass(frozen=True)
class Refined:
    """moved_mm: median distance by which refining moved a joint other than the root. refiner: its weights and the
    lifters that they were fitted to, or the filter, in words."""

    motion: Motion
    file: Path
    moved_mm: float
    refiner: str
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

    method, weights: see `choose_refiner`; shipped weights go by the lifter that made the file. beside: see
    `read_predictions`. Raises PosecliError; then nothing was written.
    """
    say = reporter or Silent()
    if path.is_dir() or not path.name:
        raise InputError(f"{path} is a folder; name the file to refine")
    target = path.with_name(f"{path.stem}.refined.npz") if out is None else out
    if target.suffix != ".npz":
        raise UsageError(f"--out names the file to write, ending in .npz, not {target}")
    inputs = [
        path,
        *([beside.keypoints] if beside and beside.keypoints else []),
        *map(Path, filter(None, [weights])),
    ]
    if target.exists() and any(other.exists() and target.samefile(other) for other in inputs):
        raise OutputError(f"{target} is the input itself; choose another file with --out")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; use --overwrite, or another file with --out")
    motion = read_predictions(path, beside)
    made_by = MadeBy.of(motion.settings)
    refiner = choose_refiner(method, weights, made_by=made_by, device=device)
    warnings = doubts(refiner, made_by) + _doubtful_size(motion)
    if motion.unrefined_3d is not None and "base" in refiner.record:
        warnings.append(f"{path} is refined already; these weights were fitted to what lifters answer")
    for message in warnings:
        say.warn(message)
    with say.stage("refine", None, "pieces") as advance:
        refined = refine_motion(motion, refiner, progress=advance)
    for message in left_alone(refined):
        say.warn(message)
        warnings.append(message)
    done = refined.settings["refinements"]
    done[-1] |= {"input": source_identity(path), "versions": versions(), "warnings": warnings}
    moved = np.linalg.norm(refined.joints_3d - motion.joints_3d, axis=-1)[motion.valid, 1:]
    save_npz(refined, target)
    return Refined(refined, target, float(np.median(moved)) * 1000, in_words(done[-1]), warnings)


def _doubtful_size(motion: Motion) -> list[str]:
    """A foreign file does not say its unit: what is far from a grown person's size may be none of those we know."""
    if motion.scale_source != "prior" or "source" not in motion.settings:
        return []
    height = standing_height(motion.joints_3d[motion.valid])
    if _GROWN_M[0] <= height <= _GROWN_M[1]:
        return []
    return [
        f"taken as metres or millimetres, the person stands {height:.2f} m tall; give --height if that is wrong"
    ]
