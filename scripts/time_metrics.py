"""Time all measures on as many frames as Human3.6M's test has, with random predictions.

OMP_NUM_THREADS=1 taskset -c 1 python scripts/time_metrics.py
"""

from __future__ import annotations

import time

import numpy as np

from posecli.bench.metrics import auc, joint_errors, pck
from posecli.bench.protocols import NOTHING, score_pose
from posecli.datasets.h36m import TEST_FRAMES

CLIPS = 236  # takes of S9 and S11 by cameras


def main() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.4, (TEST_FRAMES, 17, 3)).astype(np.float32)
    guess = (truth + rng.normal(0, 0.04, truth.shape)).astype(np.float32)
    clock = time.perf_counter()
    totals = NOTHING
    below, area, frames = 0.0, 0.0, 0
    for g, p in zip(np.array_split(truth, CLIPS), np.array_split(guess, CLIPS), strict=True):
        totals += score_pose("P-Agg", p, g)
        errors = 1000 * joint_errors(p, g)
        below, area, frames = below + pck(errors) * len(g), area + auc(errors) * len(g), frames + len(g)
    took = time.perf_counter() - clock
    values = ", ".join(f"{m} {totals.mean('P-Agg', m):.2f}" for m in ("p1", "p2", "p3", "velocity"))
    print(f"{frames} frames in {took:.1f} s: {values}, PCK@150 {below / frames:.2f}, AUC {area / frames:.2f}")


if __name__ == "__main__":
    main()
