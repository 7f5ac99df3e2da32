"""`posecli bench h36m`: a method on Human3.6M's test subjects, by a named protocol."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from posecli.bench import released
from posecli.bench.protocols import (
    AGGREGATIONS,
    BATCH,
    LEAKS,
    MEASURES,
    NOTHING,
    Totals,
    check_protocol,
    headline,
    nearest_reprojection,
    on_lines_of_sight,
    score_pose,
    score_with_truth,
    windows,
)
from posecli.bench.provenance import made_by
from posecli.bench.scores import histogram
from posecli.calibration import to_screen
from posecli.datasets import h36m
from posecli.errors import InputError, UsageError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.reporting import Reporter, Silent
from posecli.skeleton import H36M17

INPUT = "X / w * 2 - [1, h / w]"
"""What weights must say of their input: the papers', as converters write it."""

_FRAMES_AT_ONCE = 2048  # per network call, times hypotheses


@dataclass(frozen=True)
class H36MResult:
    """Errors of a method on S9 and S11.

    actions: by action in the papers' order, frame-weighted over subjects and cameras. errors: counts of joint errors
    of the headline poses that need no truth (P-Agg), see `posecli.bench.scores.histogram`.
    """

    method: str
    protocol: str
    keypoints: str
    aggregation: str
    actions: dict[str, Totals]
    joints: int
    errors: NDArray[np.int64]
    made_by: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Scored; under "official" some frames twice."""
        return sum(totals.frames for totals in self.actions.values())

    def row(self, measure: str = "p1", aggregation: str | None = None) -> list[float]:
        """A value per action; NaN where the data have none."""
        name = aggregation or self.aggregation
        return [self.actions.get(action, NOTHING).mean(name, measure) for action in h36m.ACTIONS]

    def mean(self, measure: str = "p1", aggregation: str | None = None) -> float:
        """The papers' average: of the action means, each counting the same."""
        values = [v for v in self.row(measure, aggregation) if v == v]
        return float(np.mean(values)) if values else float("nan")

    @property
    def aggregations(self) -> tuple[str, ...]:
        found = {name for totals in self.actions.values() for name, _ in totals.sums}
        return tuple(name for name in AGGREGATIONS if name in found)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""

        def values(aggregation: str) -> dict[str, Any]:
            measures = [m for m in MEASURES if self.mean(m, aggregation) == self.mean(m, aggregation)]
            return {
                m: {"mean": self.mean(m, aggregation),
                    "actions": dict(zip(h36m.ACTIONS, self.row(m, aggregation), strict=True))}
                for m in measures
            }  # fmt: skip

        return {
            "bench": "h36m",
            "method": self.method,
            "protocol": self.protocol,
            "leak": LEAKS.get(self.method) if self.protocol == "official" else None,
            "keypoints": self.keypoints,
            "joints": self.joints,
            "headline": self.aggregation,
            "frames": self.frames,
            "units": {"p1": "mm", "p2": "mm", "p3": "mm", "velocity": "mm/frame"},
            "measured": {name: values(name) for name in self.aggregations},
            "joint_errors_per_10_mm": self.errors.tolist(),
            **{k: v for k, v in self.made_by.items() if k != "method"},
            "seconds": self.seconds,
        }


def run_h36m(
    folder: Path,
    *,
    weights: str | Path,
    method: str,
    keypoints: str = "cpn",
    protocol: str = "official",
    config: LiftConfig | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> H36MResult:
    """Score converted weights on the archives in `folder` (`posecli.datasets.h36m`).

    keypoints: "cpn", "gt", or what stands behind data_2d_h36m_ in the file's name.
    config: hypotheses, steps and seed are used, nothing else. A seed gives the same numbers again on the same device.
    Raises InputError for data or weights that cannot be used, UsageError for what does not go together.
    """
    check_protocol(protocol)
    reporter = reporter or Silent()
    clock = time.monotonic()
    lifting = Lifting(method, weights, device, config or LiftConfig())
    _check_input(lifting, Path(weights))
    data = h36m.load(folder, keypoints)
    scoring = _Scoring(lifting, method, protocol, data.joints)
    seconds = {"load": time.monotonic() - clock, "lift": 0.0, "score": 0.0}
    actions: dict[str, Totals] = {}
    total, done = data.frames, 0
    with reporter.stage("bench", total, "frames") as advance:
        for number, clip in enumerate(data.clips()):
            scores = scoring.of(clip, number, seconds)
            actions[clip.action] = actions.get(clip.action, NOTHING) + scores
            done += len(clip)
            advance(done)
    made = made_by(lifting) | {"config": lifting.model.config.to_dict()}
    used = lifting.config
    made["settings"] = {
        "hypotheses": used.hypotheses,
        "steps": used.steps,
        "seed": used.seed,
        "subjects": list(h36m.TEST),
        "p_best_windows": BATCH,
        "cameras_off_px": data.misses_px,
    }
    return H36MResult(
        method, protocol, keypoints, headline(method, protocol), actions, len(scoring.joints), scoring.errors,
        made, seconds,
    )  # fmt: skip


class _Scoring:
    """Lifts a clip the way of its protocol and scores it."""

    def __init__(self, lifting: Lifting, method: str, protocol: str, joints_2d: int) -> None:
        self.lifter, self.method, self.protocol = lifting.model, method, protocol
        self.config = lifting.config
        self.neckless = joints_2d == 16
        without_neck = released.needs_no_neck(self.lifter)
        if self.neckless and not without_neck:
            raise UsageError(
                f"these keypoints have 16 joints, these weights of {method} want 17; use --keypoints cpn"
            )
        self.joints = [j for j in range(17) if not (without_neck and j == released.NECK)]
        self.device = next(self.lifter.parameters()).device
        self.errors: NDArray[np.int64] = histogram(np.zeros(0))

    def of(self, clip: h36m.Clip, number: int, seconds: dict[str, float]) -> Totals:
        clock = time.monotonic()
        pixels = np.insert(clip.pixels, released.NECK, 0, axis=1) if self.neckless else clip.pixels
        screen = to_screen(pixels, clip.camera.image_size)
        window, apart = released.window_of(self.lifter, self.protocol)
        cut = windows(len(clip), window, self.protocol, centred=apart)
        hypotheses = self._lift(screen, cut.rows, number)[:, cut.scored]  # (H, F, 17, 3)
        seconds["lift"] += time.monotonic() - clock
        clock = time.monotonic()
        frames = cut.rows[cut.scored]
        truth, root, seen = clip.poses[frames], clip.root[frames], screen[frames]
        pose = hypotheses.mean(axis=0)
        official = self.protocol == "official"
        if official and self.method == "diffupose":
            pose = on_lines_of_sight(pose, root, seen, clip.camera)
        keep = self.joints
        scores = score_pose("P-Agg", pose[:, keep], truth[:, keep])
        if official and self.method in ("ddhpose", "d3dp"):
            nearest = nearest_reprojection(hypotheses, root, seen, clip.camera)
            per_window = cut.scored.sum(axis=1)
            ends = np.cumsum(per_window)
            stops = [*ends[BATCH - 1 :: BATCH], *([] if len(ends) % BATCH == 0 else [ends[-1]])]
            batches = [slice(int(a), int(b)) for a, b in zip([0, *stops], stops, strict=False)]
            scores += score_with_truth(hypotheses, truth, nearest, batches)
        moving = [j for j in keep if j != H36M17.root]
        self.errors = self.errors + histogram(
            np.linalg.norm(pose[:, moving].astype(np.float64) - truth[:, moving], axis=-1) * 1000
        )
        seconds["score"] += time.monotonic() - clock
        return scores

    def _lift(self, screen: NDArray[np.float64], rows: NDArray[np.int64], number: int) -> NDArray[np.float32]:
        """Screen coordinates (T, J, 2), windows (W, t) → (H, W, t, 17, 3)."""
        entropy = np.random.SeedSequence([self.config.seed, number]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(entropy[0]) >> 1)
        at_once = max(1, _FRAMES_AT_ONCE // (rows.shape[1] * self.config.hypotheses))
        parts = []
        for first in range(0, len(rows), at_once):
            x2d = torch.from_numpy(screen[rows[first : first + at_once]]).float().to(self.device)
            pose = released.poses(
                self.lifter, self.method, x2d, protocol=self.protocol, hypotheses=self.config.hypotheses,
                steps=int(self.config.steps or 1), generator=generator,
            )  # fmt: skip
            parts.append(pose.float().cpu().numpy())
        found = np.concatenate(parts).swapaxes(0, 1)
        if not np.isfinite(found).all():
            raise InputError(
                "the network's answer is not finite: its weights are damaged; convert them again"
            )
        return found


def _check_input(lifting: Lifting, path: Path) -> None:
    """Weights of another input would give poses, only bad ones."""
    from posecli.weights.format import read_header
    from posecli.weights.store import find

    found = find(lifting.record["method"], path)
    if read_header(found)["metadata"].get("input") != INPUT:
        raise UsageError(
            f"{found.name} looks at a camera turned to the person, not at Human3.6M's images as the papers do; "
            "bench h36m scores released weights: posecli weights convert"
        )
    if lifting.model.skeleton != H36M17:
        raise UsageError(f"{found.name} lifts {lifting.model.skeleton.name}, not Human3.6M's 17 joints")
