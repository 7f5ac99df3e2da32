"""Where a sampler's noise comes from: a generator, or a recording.

A `Noise` is called with a shape and returns standard normal numbers. Samplers ask for their draws in a
fixed, documented order, so a recording of another program's draws can be played back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Noise = Callable[[tuple[int, ...]], Tensor]


def from_generator(generator: torch.Generator, device: torch.device | str = "cpu") -> Noise:
    """Draws from `generator` on the generator's own device and moves them to `device`: with a CPU
    generator a seed gives the same draws on every machine.
    """

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator, device=generator.device).to(device)

    return draw


def recorded(draws: Iterable[Tensor]) -> Noise:
    """Plays `draws` back in order. Raises ValueError when a shape differs or the recording is over."""
    remaining = iter(draws)

    def draw(shape: tuple[int, ...]) -> Tensor:
        noise = next(remaining, None)
        if noise is None:
            raise ValueError(f"the recording has ended, but noise of shape {shape} was asked for")
        if tuple(noise.shape) != tuple(shape):
            raise ValueError(f"recorded noise has shape {tuple(noise.shape)}, asked for {shape}")
        return noise

    return draw
