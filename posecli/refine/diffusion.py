"""The diffusion of D3PRefiner: from true poses not to white noise but to noisy poses.

The noise of the standard forward process is replaced by epsilon = x_0 + e, a pose that a lifter might have answered
(paper, equations 3 and 4). With the last abar next to zero the last state is such an answer, so that refining begins
with what the lifter said. Equations 7 and 8 are read so that they agree with 3: sqrt(1 - abar) epsilon, and x_0 + e.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from posecli.diffusion import gaussian
from posecli.diffusion.sampler import States, ddim
from posecli.diffusion.schedules import Schedule

ErrorGuess = Callable[[Tensor, int], Tensor]
"""(state, t) → the error e in it, shaped like the state."""


def noisy_state(pose: Tensor, error: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """x_t of true poses and errors (B, ...), t (B,): equation 8."""
    return gaussian.q_sample(pose, t, pose + error, schedule)


def clean_pose(state: Tensor, error: Tensor, t: int, schedule: Schedule) -> Tensor:
    """Equation 9, first line: the pose that, with `error`, makes this state at t."""
    abar = schedule.alpha_bar(t)
    signal, noise = abar**0.5, (1 - abar) ** 0.5
    return (state - noise * error) / (signal + noise)


@dataclass(frozen=True)
class _Guess:
    signals: States
    noises: States


def denoise(noisy: Tensor, error: ErrorGuess, *, schedule: Schedule, steps: int) -> Tensor:
    """A lifter's answer (B, ...) → the refined pose; DDIM without randomness over `steps` even steps (equation 9).

    The second line of equation 9 is the DDIM update with epsilon = x_0 + e for the noise.
    """

    def guess(states: States, t: int) -> _Guess:
        e = error(states[0], t)
        pose = clean_pose(states[0], e, t, schedule)
        return _Guess((pose,), (pose + e,))

    pose = noisy
    for made in ddim((noisy,), guess, schedule=schedule, steps=steps, eta=0.0, draw=torch.zeros):
        pose = made.signals[0]
    return pose
