"""What a refiner learns from: 2D poses, what a lifter made of them as a user would get it, and the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posecli.bones import usual_lengths, with_lengths
from posecli.corpus.simulate import MotionClip, Simulator, SimulatorConfig
from posecli.errors import InputError
from posecli.lifting import LiftConfig
from posecli.methods.base import Lifter, usual_steps
from posecli.methods.common import both_ways, mirrored
from posecli.refine.crossfit import subject_folds
from posecli.reporting import Reporter, Silent
from posecli.skeleton import H36M17
from posecli.smooth import low_pass
from posecli.uncertainty import Uncertainty
from posecli.windows import lift_grid, window_starts

_AT_ONCE = 32


@dataclass(frozen=True)
class Pairs:
    """Windows in the camera turned to the person (`posecli.facing`): x2d (N, T, 17, 2) normalised; noisy, what the
    lifter answered, and pose, the truth, (N, T, 17, 3), metres, relative to the root."""

    x2d: Tensor
    noisy: Tensor
    pose: Tensor

    def __post_init__(self) -> None:
        count, frames = self.pose.shape[:2]
        wanted = {
            "x2d": (count, frames, 17, 2),
            "noisy": (count, frames, 17, 3),
            "pose": (count, frames, 17, 3),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if tuple(value.shape) != shape or not count or not torch.isfinite(value).all():
                raise InputError(
                    f"{name} of refiner's pairs must be finite numbers of shape {shape}, not empty"
                )

    def __len__(self) -> int:
        return len(self.pose)

    def draw(self, batch: int, generator: torch.Generator) -> Pairs:
        """`batch` windows with repetition, half of them seen in a mirror."""
        at = torch.randint(len(self), (batch,), generator=generator)
        flip = torch.rand(batch, 1, 1, 1, generator=generator) < 0.5
        return Pairs(
            *(
                torch.where(flip, mirrored(value[at], H36M17.mirror), value[at])
                for value in (self.x2d, self.noisy, self.pose)
            )
        )

    def both_ways(self) -> Pairs:
        """All windows and their mirror images: what `draw` draws from."""
        return Pairs(*(both_ways(value, H36M17.mirror) for value in (self.x2d, self.noisy, self.pose)))

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in ("x2d", "noisy", "pose")))


def lifted_pairs(
    lifter: Lifter,
    clips: Sequence[MotionClip],
    windows: int,
    *,
    frames: int,
    simulator: SimulatorConfig | None = None,
    config: LiftConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Simulated windows of `clips`, lifted as `posecli lift` lifts: overlapping windows blended, low-passed, bones of
    one length.

    clips: of people the lifter was not trained on. frames: T of a pair, whatever the lifter's own window.
    simulator: its rate and size_exponent must be the lifter's. progress: called with (windows done, in all).
    """
    simulator, config = simulator or SimulatorConfig(), config or LiftConfig()
    source = Simulator(clips, frames, simulator)
    generator = torch.Generator().manual_seed(seed)
    starts = window_starts(frames, lifter.window, config.overlap)
    parts: list[Pairs] = []
    done = 0
    while done < windows:
        batch = source.draw(min(_AT_ONCE, windows - done), generator)
        answers = []
        for row, flat in enumerate(batch.flat.double().numpy()):
            lifted, _ = lift_grid(
                flat, starts, lifter, Uncertainty.constant(),
                hypotheses=1, steps=config.steps or usual_steps(lifter), batch=config.batch,
                seed=(seed, done + row), size_exponent=simulator.size_exponent, progress=lambda count: None,
            )  # fmt: skip
            pose = low_pass(lifted, simulator.rate, config.smooth_hz)[:, 0]
            fixed = with_lengths(pose, usual_lengths(pose, H36M17), H36M17)
            answers.append(fixed if config.fixed_bones else pose)
        noisy = batch.faced.from_camera(torch.from_numpy(np.stack(answers)).float())
        parts.append(Pairs(batch.x2d, noisy, batch.pose))
        done += len(answers)
        if progress is not None:
            progress(done, windows)
    return Pairs.joined(parts)


def cross_fitted_pairs(
    fit: Callable[[int, Sequence[MotionClip]], Lifter],
    clips: Sequence[MotionClip],
    windows: int,
    *,
    folds: int,
    frames: int,
    simulator: SimulatorConfig | None = None,
    config: LiftConfig | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Pairs:
    """`lifted_pairs` of every subject by a lifter that does not know them.

    fit: (number of the fold, clips of the others) → a lifter trained on these. Raises InputError where there are fewer
    subjects than folds.
    """
    try:
        held = subject_folds([clip.subject for clip in clips], folds)
    except ValueError as error:
        raise InputError(f"the corpus cannot be cross-fitted: {error}") from None
    parts = []
    for fold, rows in enumerate(held):
        out = set(rows.tolist())
        lifter = fit(fold, [clip for k, clip in enumerate(clips) if k not in out])
        share = max(1, round(windows * len(rows) / len(clips)))
        name = f"lift people held out, {fold + 1} of {folds}"
        with (reporter or Silent()).stage(name, share, "windows") as advance:
            parts.append(
                lifted_pairs(
                    lifter, [clips[k] for k in rows], share,
                    frames=frames, simulator=simulator, config=config, seed=seed + fold, progress=advance,
                )
            )  # fmt: skip
    return Pairs.joined(parts)
