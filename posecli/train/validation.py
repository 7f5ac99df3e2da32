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
from posecli.corpus.window_clouds import CloudBank
from posecli.methods.base import Clouds, HeatmapLifter, Lifter, usual_hypotheses, usual_steps
from posecli.skeleton import LIMBS
from posecli.train.config import TrainConfig

_CLOUDED_FRAMES = 216


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

    @property
    def clouds(self) -> Clouds | None:
        """Where the detector's heatmaps put the joints, where that is known."""


def wants_clouds(model: object) -> bool:
    """It starts from heatmaps."""
    return isinstance(model, HeatmapLifter) and model.cloud_size > 0


def lifted(
    model: Lifter,
    windows: Windows,
    *,
    hypotheses: int,
    steps: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Poses (B, H, T, 17, 3) on the CPU. A method that starts from heatmaps gets the clouds of the windows, few
    windows at a time (clouds of 216 frames take 29 MB for 1000 places), all with the same draws.
    """
    x2d = windows.x2d.to(device)
    with torch.inference_mode():
        if not (isinstance(model, HeatmapLifter) and model.cloud_size and windows.clouds is not None):
            pose = model.lift_windows(x2d, hypotheses=hypotheses, steps=steps, generator=generator)
            return pose.float().cpu()
        every = torch.arange(x2d.shape[1], device=x2d.device)
        state, poses = generator.get_state(), []
        at_once = max(1, _CLOUDED_FRAMES // x2d.shape[1])
        for at in range(0, len(x2d), at_once):
            generator.set_state(state)
            some = slice(at, at + at_once)
            clouds = windows.clouds.of(some)
            cloud = clouds.draw(every.expand(len(x2d[some]), -1), model.cloud_size, generator).to(device)
            pose = model.lift_windows(
                x2d[some], hypotheses=hypotheses, steps=steps, generator=generator, cloud=cloud
            )
            poses.append(pose.float().cpu())
    return torch.cat(poses)


def validation_batches(
    clips: Sequence[MotionClip],
    window: int,
    config: TrainConfig,
    bank: CloudBank | None = None,
    size: int = 64,
) -> list[Windows]:
    """Fixed windows of held-out subjects, the same on every device, `size` in each batch. bank: what their clouds are
    taken from, where the method wants any."""
    simulator = Simulator(clips, window, SimulatorConfig(**config.simulator), clouds=bank)
    generator = torch.Generator().manual_seed(20_240_613)
    whole, rest = divmod(config.validation_windows, size)
    return [simulator.draw(count, generator) for count in [size] * whole + [rest] * bool(rest)]


def validate(
    model: Lifter,
    batches: Iterable[Windows],
    seed: int,
    *,
    paired: Iterable[Windows] = (),
    device: torch.device | str = "cpu",
) -> Validation:
    """As many hypotheses (their mean) and steps as the method takes by itself: `default_hypotheses`, `default_steps`,
    or one. The model lies on `device`, and is in eval mode."""
    pairs = list(paired)
    beside = validate(model, pairs, seed, device=device) if pairs else None
    generator = torch.Generator().manual_seed(seed)
    hypotheses, steps = usual_hypotheses(model), usual_steps(model)
    guesses, truths = [], []
    for windows in batches:
        poses = lifted(model, windows, hypotheses=hypotheses, steps=steps, generator=generator, device=device)
        guesses.append(poses[:, 0] if hypotheses == 1 else poses.mean(dim=1))
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
