"""Noise schedules of the diffusion papers, in float64 on the CPU.

Symbols: beta_t variance added at step t, alpha_t = 1 - beta_t, abar_t = product of alpha up to t
(`alphas_cumprod`), so that x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """A variance schedule. `betas`: (T,) float64; everything else follows from it."""

    betas: Tensor
    alphas_cumprod: Tensor

    @property
    def timesteps(self) -> int:
        return len(self.betas)

    def alpha_bar(self, t: int) -> float:
        """abar_t; 1 for t < 0, the clean signal."""
        return float(self.alphas_cumprod[t]) if t >= 0 else 1.0


def from_betas(betas: Tensor) -> Schedule:
    """Schedule of variances `betas` (T,), computed in float64."""
    betas = betas.detach().to("cpu", torch.float64)
    return Schedule(betas, torch.cumprod(1.0 - betas, dim=0))


def cosine_schedule(timesteps: int, *, offset: float = 0.008, max_beta: float = 0.999) -> Schedule:
    """Cosine schedule (Nichol & Dhariwal 2021, eq. 17) as D3DP and DDHPose use it: abar follows
    cos²((t/T + s)/(1 + s) · π/2), betas are cut at `max_beta`.
    """
    if timesteps < 1:
        raise ValueError(f"timesteps must be at least 1, got {timesteps}")
    x = torch.linspace(0, timesteps, timesteps + 1, dtype=torch.float64, device="cpu")
    abar = torch.cos(((x / timesteps) + offset) / (1 + offset) * math.pi * 0.5) ** 2
    abar = abar / abar[0]
    return from_betas((1 - abar[1:] / abar[:-1]).clamp(0, max_beta))


def linear_schedule(timesteps: int, *, start: float | None = None, end: float | None = None) -> Schedule:
    """Betas evenly spaced from `start` to `end`, both included.

    Left out, they are those of Ho et al. 2020 (1e-4 and 0.02 for 1000 steps) scaled to the number of steps, so that
    the last state is noise however few they are.
    """
    if timesteps < 1:
        raise ValueError(f"timesteps must be at least 1, got {timesteps}")
    scale = 1000 / timesteps
    first, last = scale * 1e-4 if start is None else start, scale * 0.02 if end is None else end
    return from_betas(
        torch.linspace(first, last, timesteps, dtype=torch.float64, device="cpu").clamp(max=0.999)
    )


SCHEDULES: dict[str, Callable[[int], Schedule]] = {
    "cosine": cosine_schedule,
    "linear": linear_schedule,
    # DiffPose: what is printed in the paper, and what the released code runs (with 51 steps). Neither comes near pure
    # noise: abar ends at 0.949 and 0.972.
    "diffpose-printed": lambda timesteps: linear_schedule(timesteps, start=1e-4, end=2e-3),
    "diffpose-official": lambda timesteps: linear_schedule(timesteps, start=1e-4, end=1e-3),
}
"""Name → schedule of so many steps."""


def schedule_buffers(schedule: Schedule) -> dict[str, Tensor]:
    """The twelve (T,) float64 tables that DDPM code registers, by their usual names.

    posecli computes with `betas` and `alphas_cumprod` alone; the rest is here to be compared with the
    tables inside released checkpoints.
    """
    betas, abar = schedule.betas, schedule.alphas_cumprod
    abar_prev = torch.cat([abar.new_ones(1), abar[:-1]])
    posterior = betas * (1 - abar_prev) / (1 - abar)
    return {
        "betas": betas,
        "alphas_cumprod": abar,
        "alphas_cumprod_prev": abar_prev,
        "sqrt_alphas_cumprod": abar.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - abar).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - abar).log(),
        "sqrt_recip_alphas_cumprod": (1 / abar).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / abar - 1).sqrt(),
        "posterior_variance": posterior,
        "posterior_log_variance_clipped": posterior.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * abar_prev.sqrt() / (1 - abar),
        "posterior_mean_coef2": (1 - abar_prev) * (1 - betas).sqrt() / (1 - abar),
    }


def sampling_times(timesteps: int, steps: int) -> list[int]:
    """`steps` time steps from T-1 downwards, evenly spaced, and -1 (the clean signal) as the last entry."""
    if not 1 <= steps <= timesteps:
        raise ValueError(f"sampling steps must lie between 1 and {timesteps}, got {steps}")
    # float32 and truncation, as released: they decide which integer an inexact quotient becomes.
    return [int(t) for t in torch.linspace(-1, timesteps - 1, steps + 1).tolist()][::-1]


def training_times(
    count: int, timesteps: int, *, generator: torch.Generator, final_share: float = 0.0
) -> Tensor:
    """A time step per clip (count,), on the generator's device: any of them alike, as released.

    final_share: this share of the clips gets the last, at which sampling begins (ours: with one step, the default in
        use, nothing else counts).
    """
    t = torch.randint(timesteps, (count,), generator=generator, device=generator.device)
    t[: round(final_share * count)] = timesteps - 1
    return t
