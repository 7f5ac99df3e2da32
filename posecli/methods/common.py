"""What lifters have in common: the mirror, the shape of their windows, a loss that can be called on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posecli.diffusion import noise
from posecli.skeleton import Skeleton


@dataclass(frozen=True)
class Losses:
    """Losses of one training pass; scalars. `total` is what is minimised."""

    total: Tensor

    def objective(self, *, scaled_by_itself: bool = False) -> Tensor:
        """What to call `backward()` on. scaled_by_itself: the released loops of MixSTE, D3DP and DDHPose hand the
        loss in as incoming gradient, so gradients are loss · ∇loss.
        """
        return self.total * self.total.detach() if scaled_by_itself else self.total


def position_loss(prediction: Tensor, pose: Tensor) -> Tensor:
    """Mean distance of the joints of (..., J, 3), in their unit."""
    return torch.linalg.vector_norm(prediction - pose, dim=-1).mean()


def mirrored(x: Tensor, mirror: Sequence[int]) -> Tensor:
    """(..., J, C) seen in a mirror: x negated, left and right swapped. mirror: `Skeleton.mirror`."""
    x = x[..., list(mirror), :]
    return torch.cat([-x[..., :1], x[..., 1:]], dim=-1)


def both_ways(x: Tensor, mirror: Sequence[int]) -> Tensor:
    """(B, ..., J, C) and its mirror image as one batch (2B, ..., J, C)."""
    return torch.cat([x, mirrored(x, mirror)])


def flip_averaged(both: Tensor, mirror: Sequence[int]) -> Tensor:
    """Answers to a batch of `both_ways` (2B, ..., J, 3) → (B, ..., J, 3), the mean of each with its mirrored twin
    (flip augmentation at test, as all releases do)."""
    pose, other = both.chunk(2)
    return (pose + mirrored(other, mirror)) / 2


def check_windows(x2d: Tensor, window: int, joints: int) -> None:
    """Raises ValueError where x2d is not (B, T, J, 2)."""
    if x2d.ndim != 4 or x2d.shape[1:] != (window, joints, 2):
        raise ValueError(f"x2d must be (B, {window}, {joints}, 2), got {tuple(x2d.shape)}")


def dropout_source(generator: torch.Generator, x: Tensor) -> torch.Generator | None:
    """The generator where it can serve draws beside `x`: dropout draws where the tokens live, and a generator of
    another device cannot; there the global one has to.
    """
    return generator if generator.device == x.device else None


class PoseSampler(nn.Module):
    """A method that samples whole poses from noise (D3DP, DDHPose): how it answers as a `methods.base.DrawsNoise`.

    Subclasses have `skeleton` and `sample(x2d, *, hypotheses, steps, draw)` → (B, H, T, J, 3), root not zeroed.
    """

    skeleton: Skeleton
    sample: Callable[..., Tensor]

    @torch.no_grad()
    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """See `methods.base.Lifter`."""
        draw = noise.from_generator(generator, x2d.device)
        return self.lift_drawing(x2d, hypotheses=hypotheses, steps=steps, draw=draw)

    def lift_drawing(self, x2d: Tensor, *, hypotheses: int, steps: int, draw: noise.Noise) -> Tensor:
        """See `methods.base.DrawsNoise`."""
        pose = self.sample(x2d, hypotheses=hypotheses, steps=steps, draw=draw)
        return pose - pose[..., self.skeleton.root, None, :]
