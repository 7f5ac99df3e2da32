"""Time the mixture fit of DiffPose: frames a second of EM in 48 dimensions, and how good the fits are.

OMP_NUM_THREADS=1 taskset -c 1 python scripts/time_mixture.py

Samples are those of a walk: wide, skewed clouds of all joints that move from frame to frame, with the same draws in
all frames. Seconds are those of the processor, not of the clock, so that a busy machine says nearly the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from posecli.diffusion import mixture
from posecli.diffusion.mixture import Mixture

FRAMES, DIMS, COMPONENTS, FLOOR = 216, 48, 5, 0.005**2


def samples(count: int, seed: int) -> Tensor:
    """(FRAMES, count, DIMS) metres: about a moving pose, every coordinate wide by itself, some in two places."""
    g = torch.Generator().manual_seed(0)
    width = 0.02 + 0.2 * torch.rand(DIMS, generator=g) ** 2
    middle, sway = 0.3 * torch.randn(DIMS, generator=g), 0.1 * torch.randn(DIMS, generator=g)
    phase = torch.sin(torch.arange(FRAMES) / 10)[:, None, None]
    other = torch.where(torch.rand(DIMS, generator=g) < 0.1, 0.4, 0.0)
    g.manual_seed(seed)
    white = torch.randn(count, DIMS, generator=g)
    there = (torch.rand(count, DIMS, generator=g) < 0.3).float()
    return middle + sway * phase + width * (1 + 0.3 * phase) * white + other * there


def measure(name: str, fit: Callable[[], Mixture], held: Tensor) -> None:
    clock = time.process_time()
    fitted = fit()
    took = time.process_time() - clock
    likely = float(fitted.log_density(held).mean())
    print(f"{name:44} {len(held) / took:6.0f} frames/s, held-out samples {likely:.2f} nats")


def main() -> None:
    torch.set_num_threads(1)
    held, leader = samples(500, 2), torch.arange(FRAMES) // 8 * 8
    for count in (1000, 500):
        x = samples(count, 1)
        for iterations in (12, 6):
            measure(
                f"{count} samples, diagonal, {iterations} iterations",
                lambda x=x, n=iterations: mixture.fit(  # type: ignore[misc]
                    x, COMPONENTS, generator=torch.Generator().manual_seed(0), covariance="diagonal",
                    iterations=n, floor=FLOOR,
                ).mixture,
                held,
            )  # fmt: skip
        measure(
            f"{count} samples, diagonal, led from every eighth",
            lambda x=x: mixture.fit_alike(  # type: ignore[misc]
                x, COMPONENTS, leader, generator=torch.Generator().manual_seed(0), floor=FLOOR
            ),
            held,
        )
    few = samples(1000, 1)[:16]
    measure(
        "1000 samples, full, 12 iterations",
        lambda: mixture.fit(few, COMPONENTS, generator=torch.Generator().manual_seed(0), floor=FLOOR).mixture,
        held[:16],
    )


if __name__ == "__main__":
    main()
