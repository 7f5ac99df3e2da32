"""Lifts a clip of a data set the way of a protocol, and scores it."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from posecli.bench import released
from posecli.bench.protocols import (
    NOTHING,
    Totals,
    best_of_batches,
    nearest_reprojection,
    on_lines_of_sight,
    score_3dhp,
    score_aligned,
    score_pose,
    score_with_truth,
    sees_depth,
    taken,
    windows,
)
from posecli.bench.scenes import NECK, Material, Scene
from posecli.bench.scores import histogram
from posecli.errors import InputError, UsageError
from posecli.loaded import Lifting

Poses = NDArray[np.floating]

_FRAMES_AT_ONCE = (
    2048  # per network call, times hypotheses: methods of single frames get so many poses at once
)


class Scoring:
    """errors: joint errors of all clips so far, see `BenchResult`. seconds: lifting and scoring took."""

    def __init__(self, lifting: Lifting, method: str, protocol: str, material: Material) -> None:
        self.layout, self.method, self.protocol = material.layout, method, protocol
        self.lifter = released.as_released(lifting.model, self.layout.bench, protocol)
        self.hypotheses, self.steps, self.seed = lifting.hypotheses, lifting.steps, lifting.config.seed
        without_neck = released.needs_no_neck(self.lifter)
        if material.joints_2d == 16 and not without_neck:
            raise UsageError(
                f"these keypoints have 16 joints, these weights of {method} want 17; use --keypoints cpn"
            )
        self.root = material.skeleton.root
        neck = {NECK} if without_neck else set()
        self.joints = [j for j in range(material.skeleton.num_joints) if j not in neck]
        self.device = next(lifting.model.parameters()).device
        self.errors: NDArray[np.int64] = histogram(np.zeros(0))
        self.seconds = {"lift": 0.0, "score": 0.0}

    def of(self, scene: Scene, number: int) -> Totals:
        """Scores of the scene, the `number`-th of its data set, which decides over the noise."""
        clock = time.monotonic()
        window, apart = released.window_of(self.lifter, self.protocol)
        cut = windows(len(scene), window, self.protocol, centred=apart, overlap=self.layout.overlap)
        lifted = self._lift(scene.screen, cut.rows, number)
        self.seconds["lift"] += time.monotonic() - clock
        clock = time.monotonic()
        scored = cut.scored & scene.valid[cut.rows]
        scores = self._score(scene, cut.rows, scored, lifted) if scored.any() else NOTHING
        self.seconds["score"] += time.monotonic() - clock
        return scores

    def _score(
        self, scene: Scene, rows: NDArray[np.int64], scored: NDArray[np.bool_], lifted: Poses
    ) -> Totals:
        """lifted: (H, W, T, J, 3)."""
        hypotheses, frames = lifted[:, scored], rows[scored]  # (H, F, J, 3), (F,)
        truth, seen = scene.truth[frames], scene.screen[frames]
        pose, keep = hypotheses.mean(axis=0), self.joints
        if scene.root is None or scene.camera is None:
            return score_aligned("P-Agg", pose[:, keep], truth[:, keep])
        root = scene.root[frames]
        if sees_depth(self.layout, self.method, self.protocol):
            pose = on_lines_of_sight(pose, root, seen, scene.camera)
        of_3dhp = self.layout.bench == "3dhp"
        scores = (score_3dhp if of_3dhp else score_pose)("P-Agg", pose[:, keep], truth[:, keep])
        if self.protocol == "official" and self.method in self.layout.agreed:
            nearest = nearest_reprojection(hypotheses, root, seen, scene.camera)
            if of_3dhp:
                best = best_of_batches(lifted, scene.truth[rows], self.layout.batch)
                window_of = np.nonzero(scored)[0]
                closest = np.linalg.norm(hypotheses - truth, axis=-1).argmin(axis=0)
                apart = hypotheses[best[window_of], np.arange(len(frames))]
                scores += score_3dhp("P-Best", apart, truth)
                scores += score_3dhp("J-Best", taken(hypotheses, closest), truth)
                scores += score_3dhp("J-Agg", taken(hypotheses, nearest), truth)
            else:
                scores += score_with_truth(hypotheses, truth, nearest, _batches(scored, self.layout.batch))
        moving = [j for j in keep if j != self.root]
        apart_mm = np.linalg.norm(pose[:, moving].astype(np.float64) - truth[:, moving], axis=-1) * 1000
        self.errors = self.errors + histogram(apart_mm)
        return scores

    def _lift(self, screen: NDArray[np.float64], rows: NDArray[np.int64], number: int) -> NDArray[np.float32]:
        """Screen coordinates (T, J, 2), windows (W, t) → (H, W, t, J, 3)."""
        entropy = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(entropy[0]) >> 1)
        at_once = max(1, _FRAMES_AT_ONCE // (rows.shape[1] * self.hypotheses))
        parts = []
        for first in range(0, len(rows), at_once):
            x2d = torch.from_numpy(screen[rows[first : first + at_once]]).float().to(self.device)
            pose = released.poses(
                self.lifter, self.method, x2d, protocol=self.protocol, hypotheses=self.hypotheses,
                steps=self.steps, generator=generator,
            )  # fmt: skip
            parts.append(pose.float().cpu().numpy())
        found = np.concatenate(parts).swapaxes(0, 1)
        if not np.isfinite(found).all():
            raise InputError(
                "the network's answer is not finite: its weights are damaged; convert them again"
            )
        return found


def _batches(scored: NDArray[np.bool_], batch: int) -> list[slice]:
    """Stretches of the scored frames that lie in the same so many windows."""
    ends = np.cumsum(scored.sum(axis=1))
    stops = [*ends[batch - 1 :: batch], *([] if len(ends) % batch == 0 else [ends[-1]])]
    return [slice(int(a), int(b)) for a, b in zip([0, *stops], stops, strict=False)]
