"""How good a lifter is on people it was not trained on: the figures that choose the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from posecli.bench.metrics import mpjpe, p_mpjpe
from posecli.corpus.simulate import MotionClip, Simulator, SimulatorConfig
from posecli.methods.base import Lifter, usual_steps
from posecli.skeleton import LIMBS
from posecli.train.config import TrainConfig


@dataclass(frozen=True)
class Validation:
    """Errors on held-out subjects, mm; `error_std` (17, 3) metres along the turned camera's axes.

    paired: the same on the paired set's held-out subjects, whose 2D joints a real detector found, where one is given.
    """

    mpjpe_mm: float
    p_mpjpe_mm: float
    limbs_p_mpjpe_mm: float
    error_std: np.ndarray[Any, Any]
    paired: Validation | None = None

    @property
    def score(self) -> float:
        """What the best weights have least of: MPJPE + PA-MPJPE, summed over both sets where there are two."""
        return self.mpjpe_mm + self.p_mpjpe_mm + (self.paired.score if self.paired else 0.0)

    def as_dict(self) -> dict[str, float]:
        names = ("mpjpe_mm", "p_mpjpe_mm", "limbs_p_mpjpe_mm")
        figures = {name: round(getattr(self, name), 3) for name in names}
        paired = self.paired.as_dict() if self.paired else {}
        return figures | {f"paired_{name}": value for name, value in paired.items()}


class Windows(Protocol):
    """2D joints and the truth behind them: what a lifter learns from, and is measured on."""

    @property
    def x2d(self) -> Tensor:
        """(B, T, 17, 2), as `posecli.facing.face_windows` gives it."""

    @property
    def pose(self) -> Tensor:
        """(B, T, 17, 3) metres, root-relative, in the turned camera."""


def validation_batches(
    clips: Sequence[MotionClip], window: int, config: TrainConfig, size: int = 64
) -> list[Windows]:
    """Fixed windows of held-out subjects, the same on every device, `size` in each batch."""
    simulator = Simulator(clips, window, SimulatorConfig(**config.simulator))
    generator = torch.Generator().manual_seed(20_240_613)
    return [simulator.draw(size, generator) for _ in range(max(1, config.validation_windows // size))]


def validate(
    model: Lifter,
    batches: Iterable[Windows],
    seed: int,
    *,
    paired: Iterable[Windows] = (),
    device: torch.device | str = "cpu",
) -> Validation:
    """One hypothesis and as many steps as the method takes by itself (its `default_steps`, or one). The model lies on
    `device`, and is in eval mode."""
    pairs = list(paired)
    beside = validate(model, pairs, seed, device=device) if pairs else None
    generator = torch.Generator().manual_seed(seed)
    steps = usual_steps(model)
    guesses, truths = [], []
    for windows in batches:
        x2d = windows.x2d.to(device)
        with torch.inference_mode():
            pose = model.lift_windows(x2d, hypotheses=1, steps=steps, generator=generator)[:, 0]
        guesses.append(pose.float().cpu())
        truths.append(windows.pose.cpu())
    guess, truth = torch.cat(guesses).numpy(), torch.cat(truths).numpy()
    limbs = list(LIMBS)
    return Validation(
        mpjpe_mm=float(mpjpe(guess, truth).mean() * 1000),
        p_mpjpe_mm=float(p_mpjpe(guess, truth).mean() * 1000),
        limbs_p_mpjpe_mm=float(p_mpjpe(guess[..., limbs, :], truth[..., limbs, :]).mean() * 1000),
        error_std=np.sqrt(((guess - truth) ** 2).mean(axis=(0, 1))),
        paired=beside,
    )
