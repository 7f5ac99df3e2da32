"""Time all measures on as many frames as Human3.6M's test has, with random predictions: those of the mean hypothesis,
and those that choose among hypotheses (of which there is one).

OMP_NUM_THREADS=1 taskset -c 1 python scripts/time_metrics.py
"""

from __future__ import annotations

import time

import numpy as np

from posecli.bench.metrics import auc, joint_errors, pck
from posecli.bench.protocols import NOTHING, nearest_reprojection, score_pose, score_with_truth
from posecli.calibration import CalibratedCamera
from posecli.datasets.h36m import TEST_FRAMES

CLIPS = 236  # takes of S9 and S11 by cameras


def main() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.4, (TEST_FRAMES, 17, 3)).astype(np.float32)
    guess = (truth + rng.normal(0, 0.04, truth.shape)).astype(np.float32)
    camera = CalibratedCamera(
        (1145.0, 1144.0), (512.0, 515.0), (1000, 1000), (-0.2, 0.24, -0.002), (-0.001, -0.001)
    )
    root = np.array([[[0.1, 0.2, 5.0]]])
    clock, processor = time.perf_counter(), time.process_time()
    totals = NOTHING
    below, area, frames = 0.0, 0.0, 0
    for g, p in zip(np.array_split(truth, CLIPS), np.array_split(guess, CLIPS), strict=True):
        totals += score_pose("P-Agg", p, g)
        nearest = nearest_reprojection(p[None], root, camera.project(g + root), camera)
        totals += score_with_truth(p[None], g, nearest, [slice(0, len(g))])
        errors = 1000 * joint_errors(p, g)
        below, area, frames = below + pck(errors) * len(g), area + auc(errors) * len(g), frames + len(g)
    took, busy = time.perf_counter() - clock, time.process_time() - processor
    values = ", ".join(f"{m} {totals.mean('P-Agg', m):.2f}" for m in ("p1", "p2", "p3", "velocity"))
    print(f"{frames} frames in {took:.1f} s ({busy:.1f} s of processor time): {values},")
    print(f"PCK@150 {below / frames:.2f}, AUC {area / frames:.2f}, J-Agg {totals.mean('J-Agg', 'p1'):.2f}")


if __name__ == "__main__":
    main()
