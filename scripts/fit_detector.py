"""How well the simulated detector describes the real one: percentiles of errors by joint, as a Markdown table.

    python scripts/fit_detector.py pairs.h5 --clips opencap_STS=STS.detections.h5 --data ../shared/data/videos

Errors are lengths in the picture, in % of the longer side of the box around the twelve limb joints' true places
(the median over a window's frames). Real and simulated detections of the paired set are of the same windows of
validation subjects. The clips' own truth is projected marker data, said to be within 5 to 10 pixels; "centred"
takes each clip's mean offset over all joints and frames away. Nothing is fitted to the clips.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from posecli.corpus.body_views import view
from posecli.corpus.detector_model import DetectorErrors, shipped_model
from posecli.corpus.landmarks_seen import LANDMARK_NAMES, SEEN_COLUMNS, SEEN_POINTS
from posecli.corpus.paired_errors import assumed_focal, seen_pairs
from posecli.corpus.pairs import RATE, Pairs, load_pairs
from posecli.corpus.simulate import Simulator, SimulatorConfig
from posecli.corpus.store import POINT_NAMES, Clip
from posecli.detect.store import load_detections
from posecli.skeleton import BLAZEPOSE33, H36M17

LIMB_KINDS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
PERCENTILES = (50, 75, 90, 95)
Errors = dict[str, NDArray[np.float64]]
"""Kind of joint → error vectors (windows, frames, joints of the kind, 2), % of the box; NaN where missed."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--data", type=Path, help="folder of the clips' folders, each with its ref.npz")
    parser.add_argument("--clips", nargs="*", default=[], metavar="NAME=DETECTIONS")
    parser.add_argument("--draws", type=int, default=8)
    options = parser.parse_args()
    pairs = load_pairs(options.pairs, options.split)
    middle, focal = pairs.size[:, None, None] / 2, assumed_focal(pairs)[:, None, None, None]
    real = (pairs.xy[:, :, SEEN_COLUMNS] - middle) / focal
    columns: dict[str, Errors] = {"BlazePose, mannequins": of_pairs(pairs, real)}
    for noise in ("fitted", "guessed"):
        drawn = [of_pairs(pairs, simulated(pairs, noise, seed)) for seed in range(options.draws)]
        columns[f"simulated, {noise}"] = {k: np.concatenate([d[k] for d in drawn]) for k in drawn[0]}
    for clip in options.clips:
        name, _, path = clip.partition("=")
        raw, centred = of_clip(Path(path), options.data / name / "ref.npz")
        columns[f"BlazePose, {name}"], columns[f"{name}, centred"] = raw, centred
    print(f"{options.pairs.name}, {options.split}: {len(pairs)} windows of {pairs.xy.shape[1]} frames; "
          f"{shipped_model().source}\n")  # fmt: skip
    print(table("error, 50 / 75 / 90 / 95 %", columns, 0))
    print(table("second difference at 30 Hz, 50 / 75 / 90 / 95 %", columns, 2))


def of_pairs(pairs: Pairs, detected: NDArray[np.floating]) -> Errors:
    """Errors of detections (N, T, 19, 2), flat coordinates."""
    flat = view(seen_pairs(pairs)).flat.double().numpy()
    limbs = [d for d, p in enumerate(SEEN_POINTS) if POINT_NAMES[p] in H36M17.joint_names]
    box = np.median(np.ptp(flat[:, :, limbs], axis=2).max(axis=-1), axis=1)[:, None, None, None]
    error = 100 * (detected - flat) / box
    kinds = ("face", *LIMB_KINDS)
    return {kind: error[:, :, [d for d, n in enumerate(LANDMARK_NAMES) if _is(n, kind)]] for kind in kinds}


def simulated(pairs: Pairs, noise: str, seed: int) -> NDArray[np.float64]:
    """What the simulator makes of the windows of the paired set: (N, T, 19, 2), flat coordinates."""
    seen, generator = seen_pairs(pairs), torch.Generator().manual_seed(seed)
    frames = pairs.xy.shape[1]
    if noise == "fitted":
        return DetectorErrors(shipped_model(), frames, RATE)(seen, generator).double().numpy()
    nobody = Clip(np.zeros((frames, len(POINT_NAMES), 3), np.float32), RATE, 0, 0, "A", 0, "", True, 1.0)
    simulator = Simulator([nobody], frames, SimulatorConfig(noise="guessed"))
    return simulator._err(seen.flat(seen.points[:, :, SEEN_POINTS]), generator).double().numpy()


def of_clip(detections: Path, reference: Path) -> tuple[Errors, Errors]:
    """Errors of the limb joints on a real clip, and the same less the clip's mean offset."""
    keypoints = load_detections(detections).keypoints
    xy = keypoints.xy
    with np.load(reference, allow_pickle=False) as file:
        true, valid = (
            file["uv_px"].astype(np.float64),
            file["valid"].astype(bool) & file["in_image"].astype(bool),
        )
    rows = min(len(xy), len(true))
    true = np.where(valid[..., None], true, np.nan)[:rows]
    names = [n for n in BLAZEPOSE33.joint_names if any(k in n for k in LIMB_KINDS)]
    there = np.array([POINT_NAMES[SEEN_POINTS[LANDMARK_NAMES.index(n)]] for n in names])
    true = true[:, [H36M17.index(n) for n in there]]
    error = xy[:rows, [BLAZEPOSE33.index(n) for n in names]] - true
    whole = true[np.isfinite(true).all(axis=(1, 2))]
    box = np.median(np.ptp(whole, axis=1).max(axis=-1))
    step = max(1, round(1 / float(np.median(np.diff(keypoints.timestamps_s))) / RATE))
    out = []
    for offset in (0.0, np.nanmean(error, axis=(0, 1))):
        part = 100 * (error[::step] - offset)[None] / box
        out.append({k: part[:, :, [j for j, n in enumerate(names) if k in n]] for k in LIMB_KINDS})
    return out[0], out[1]


def table(title: str, columns: dict[str, Errors], order: int) -> str:
    """Rows: kinds of joints; cells: percentiles of the length of the `order`-th difference in time."""
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for kind in ("face", *LIMB_KINDS):
        cells = []
        for errors in columns.values():
            if kind not in errors:
                cells.append("")
                continue
            length = np.linalg.norm(np.diff(errors[kind], order, axis=1), axis=-1)
            cells.append(" / ".join(f"{v:.1f}" for v in np.nanpercentile(length, PERCENTILES)))
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _is(name: str, kind: str) -> bool:
    return kind in name or (kind == "face" and not any(k in name for k in LIMB_KINDS))


if __name__ == "__main__":
    main()
