"""The diffusion towards noisy poses: coefficients as printed, and exact errors undone exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from posecli.diffusion.schedules import cosine_schedule, sampling_times
from posecli.refine.diffusion import clean_pose, denoise, noisy_state

SCHEDULE = cosine_schedule(50)


def poses(seed: int = 0) -> Iterator[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    shape = (3, 5, 17, 3)
    return (torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2))


def test_the_last_state_is_the_noisy_pose_and_the_sums_are_those_of_the_paper() -> None:
    assert sampling_times(50, 2) == [49, 24, -1]
    total = [math.sqrt(SCHEDULE.alpha_bar(t)) + math.sqrt(1 - SCHEDULE.alpha_bar(t)) for t in (49, 24)]
    assert [round(v, 3) for v in total] == [1.001, 1.414]
    pose, error = poses()
    last = noisy_state(pose, error, torch.full((3,), 49), SCHEDULE)
    torch.testing.assert_close(last, pose + error, atol=6e-3, rtol=0)


def test_the_state_is_equation_8() -> None:
    pose, error = poses()
    t = torch.tensor([0, 24, 49])
    state = noisy_state(pose, error, t, SCHEDULE)
    for row, step in enumerate(t.tolist()):
        abar = float(torch.cos(torch.tensor(((step + 1) / 50 + 0.008) / 1.008 * math.pi / 2)) ** 2)
        abar = max(abar / math.cos(0.008 / 1.008 * math.pi / 2) ** 2, 1e-9)
        if step < 49:  # there the schedule's largest step is cut
            expected = abar**0.5 * pose[row] + (1 - abar) ** 0.5 * (pose[row] + error[row])
            torch.testing.assert_close(state[row], expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(clean_pose(state[row], error[row], step, SCHEDULE), pose[row])


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_with_the_exact_error_the_pose_comes_back_exactly(steps: int) -> None:
    """The first state lies 0.001 beside x_0 + e, as abar does not quite end at zero; e is exact of that state."""
    pose, error = poses()
    first = noisy_state(pose, error, torch.full((3,), 49), SCHEDULE)
    seen: list[int] = []

    def exact(state: torch.Tensor, t: int) -> torch.Tensor:
        seen.append(t)
        torch.testing.assert_close(state, noisy_state(pose, error, torch.full((3,), t), SCHEDULE))
        return error

    torch.testing.assert_close(denoise(first, exact, schedule=SCHEDULE, steps=steps), pose)
    assert seen == sampling_times(50, steps)[:-1]


def test_a_step_is_equation_9() -> None:
    noisy, wrong = poses(3)
    a = [SCHEDULE.alpha_bar(t) for t in (49, 24)]
    first = (noisy - (1 - a[0]) ** 0.5 * wrong) / (a[0] ** 0.5 + (1 - a[0]) ** 0.5)
    between = ((1 - a[1]) ** 0.5 + a[1] ** 0.5) * first + (1 - a[1]) ** 0.5 * wrong
    last = (between - (1 - a[1]) ** 0.5 * (2 * wrong)) / (a[1] ** 0.5 + (1 - a[1]) ** 0.5)
    guess = denoise(noisy, lambda state, t: wrong if t == 49 else 2 * wrong, schedule=SCHEDULE, steps=2)
    torch.testing.assert_close(guess, last)
