"""Gaussian diffusion as pure functions: forward noising and the DDIM update.

Coefficients are taken from the float64 schedule and applied in the precision of the signal, so that the
same code runs where float64 does not exist (MPS).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posecli.diffusion.schedules import Schedule


def _abar(schedule: Schedule, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(abar_t) and sqrt(1 - abar_t) for t (B,), shaped to broadcast against `like` (B, ...)."""
    abar = schedule.alphas_cumprod
    table = torch.stack([abar.sqrt(), (1 - abar).sqrt()]).to(like.dtype).to(like.device)
    # Looked up where t lies: to ask for t's values would make Python wait for the GPU.
    signal, noise = table[:, t.to(like.device)].reshape(2, -1, *([1] * (like.ndim - 1)))
    return signal, noise


def q_sample(x0: Tensor, t: Tensor, noise: Tensor, schedule: Schedule) -> Tensor:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise (DDHPose eq. 3). x0, noise (B, ...); t (B,) integers."""
    signal, spread = _abar(schedule, t, x0)
    return signal * x0 + spread * noise


def noise_from_x0(x_t: Tensor, t: Tensor, x0: Tensor, schedule: Schedule) -> Tensor:
    """The noise that, with x_0, explains x_t (DDHPose below eq. 4). x_t, x0 (B, ...); t (B,) integers."""
    signal, spread = _abar(schedule, t, x_t)
    return (x_t - signal * x0) / spread


def x0_from_noise(x_t: Tensor, t: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    """The clean signal that, with noise eps, explains x_t: `noise_from_x0` the other way round."""
    signal, spread = _abar(schedule, t, x_t)
    return (x_t - spread * eps) / signal


def ddim_coefficients(schedule: Schedule, t: int, t_next: int, eta: float) -> tuple[float, float]:
    """(sigma, c) of the DDIM step from t to t_next (Song 2021, eq. 12 and 16): sigma scales fresh noise,
    c the noise estimate. eta 1 is as random as DDPM, 0 is deterministic.
    """
    abar, abar_next = schedule.alpha_bar(t), schedule.alpha_bar(t_next)
    sigma = eta * math.sqrt((1 - abar / abar_next) * (1 - abar_next) / (1 - abar))
    return sigma, math.sqrt(max(1 - abar_next - sigma**2, 0.0))


def ddim_step(
    x0: Tensor, eps: Tensor, noise: Tensor, *, t: int, t_next: int, schedule: Schedule, eta: float
) -> Tensor:
    """x at t_next from the estimates of the clean signal and of the noise (DDHPose eq. 4); all (B, ...)."""
    sigma, c = ddim_coefficients(schedule, t, t_next, eta)
    return math.sqrt(schedule.alpha_bar(t_next)) * x0 + c * eps + sigma * noise
