"""Schedule and DDIM against the published tables and against algebra."""

from __future__ import annotations

import math

import pytest
import torch

from posecli.diffusion import noise
from posecli.diffusion.gaussian import ddim_coefficients, ddim_step, noise_from_x0, q_sample
from posecli.diffusion.schedules import cosine_schedule, sampling_times

SCHEDULE = cosine_schedule(1000)


@pytest.mark.parametrize(
    ("steps", "times"),
    [
        (1, [999, -1]),
        (5, [999, 799, 599, 399, 199, -1]),
        (10, [999, 899, 799, 699, 599, 499, 399, 299, 199, 99, -1]),
    ],
)
def test_sampling_times(steps: int, times: list[int]) -> None:
    assert sampling_times(1000, steps) == times


@pytest.mark.parametrize(
    ("t", "then", "abar_next", "sigma", "c"),  # methods.md, appendix B
    [
        (999, 799, 0.0940456, 0.951816, 0.000146),
        (799, 599, 0.34081, 0.725834, 0.363807),
        (399, 199, 0.898706, 0.283416, 0.144809),
        (199, 99, 0.972093, 0.144219, 0.084310),
    ],
)
def test_ddim_coefficients(t: int, then: int, abar_next: float, sigma: float, c: float) -> None:
    assert SCHEDULE.alpha_bar(then) == pytest.approx(abar_next, abs=1e-6)
    assert ddim_coefficients(SCHEDULE, t, then, 1.0) == pytest.approx((sigma, c), abs=1e-6)


def test_noise_from_x0_undoes_q_sample() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, z = (torch.randn(4, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.tensor([0, 10, 500, 999])
    torch.testing.assert_close(noise_from_x0(q_sample(x0, t, z, SCHEDULE), t, x0, SCHEDULE), z)


def test_deterministic_ddim_with_the_true_signal_lands_on_the_forward_process() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, z = (torch.randn(1, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    stepped = ddim_step(x0, z, torch.ones_like(z), t=800, t_next=300, schedule=SCHEDULE, eta=0.0)
    torch.testing.assert_close(stepped, q_sample(x0, torch.tensor([300]), z, SCHEDULE))


def test_stochastic_ddim_keeps_the_marginal_variance() -> None:
    for t, then in ((999, 799), (500, 499), (199, 99)):
        sigma, c = ddim_coefficients(SCHEDULE, t, then, 1.0)
        assert math.isclose(sigma**2 + c**2, 1 - SCHEDULE.alpha_bar(then), rel_tol=1e-12)


def test_recorded_noise_is_strict() -> None:
    draw = noise.recorded([torch.zeros(2, 3)])
    with pytest.raises(ValueError, match="shape"):
        draw((3, 2))
    draw = noise.recorded([torch.zeros(2, 3)])
    assert draw((2, 3)).shape == (2, 3)
    with pytest.raises(ValueError, match="ended"):
        draw((2, 3))
