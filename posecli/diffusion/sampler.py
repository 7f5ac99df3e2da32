"""The DDIM sampler that every method with a clean-signal estimate shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from torch import Tensor

from posecli.diffusion import gaussian
from posecli.diffusion.noise import Noise
from posecli.diffusion.schedules import Schedule, sampling_times

States = tuple[Tensor, ...]
"""One tensor per diffused quantity, each (B, H, ...): DDHPose has two, most methods one."""


class Guess(Protocol):
    """What a method makes of its states at one time."""

    @property
    def signals(self) -> States:
        """Estimates of the clean signals."""

    @property
    def noises(self) -> States:
        """Estimates of the noise in the states."""


G = TypeVar("G", bound=Guess)


def ddim(
    states: States,
    guess: Callable[[States, int], G],
    *,
    schedule: Schedule,
    steps: int,
    eta: float,
    draw: Noise,
    times: Sequence[int] | None = None,
) -> Iterator[G]:
    """Yields the guess of every step, from the last time T-1 down; the last guess holds the result.

    states: at the first time; pure noise where that is T-1. guess: (states, t) → estimates, shaped like the states.
    times: the steps to take, descending and ending with -1, instead of `steps` evenly spaced ones.
    draw: asked for noise of each state in turn after every step but the last, where the answer is the clean signal.
    """
    for now, then in pairwise(times or sampling_times(schedule.timesteps, steps)):
        made = guess(states, now)
        yield made
        if then >= 0:
            states = tuple(
                gaussian.ddim_step(
                    x0, eps, draw(tuple(x0.shape)), t=now, t_next=then, schedule=schedule, eta=eta
                )
                for x0, eps in zip(made.signals, made.noises, strict=True)
            )
