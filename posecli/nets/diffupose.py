"""The denoiser of DiffuPose (Choi et al., IROS 2023), as released: a modulated GCN that knows the step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets import graph
from posecli.nets.attention import sinusoid
from posecli.nets.mgcn import ModulatedGCN


class StepScale(nn.Module):
    """Scales and shifts every channel by what an embedding of the step says, then SiLU."""

    def __init__(self, step_width: int, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(step_width, 2 * width)

    def forward(self, tokens: Tensor, step: Tensor) -> Tensor:
        """tokens (J, N, C), step (N, E) → (J, N, C)."""
        scale, shift = self.fc(F.silu(step)).chunk(2, dim=-1)
        return F.silu(tokens * (1 + scale) + shift)


class DiffuPoseNet(nn.Module):
    """Noisy pose and 2D pose in; noise of the pose (3 channels) and the 2D pose again (2 channels) out.

    parents: the kinematic tree, -1 for the root. width: a multiple of 16, at least 32.
    """

    def __init__(self, *, parents: Sequence[int], width: int = 384, depth: int = 4) -> None:
        super().__init__()
        self.width = width
        step_width = width // 2
        self.time = nn.ModuleList([nn.Linear(width // 8, step_width), nn.Linear(step_width, step_width)])
        self.gcn = ModulatedGCN(parents=parents, width_in=5, width_out=5, width=width, depth=depth)
        self.before = StepScale(step_width, width)
        self.after = StepScale(step_width, width)

    def forward(self, x_t: Tensor, x2d: Tensor, t: Tensor) -> Tensor:
        """x_t (N, J, 3), x2d (N, J, 2) normalised, t (N,) → (N, J, 5): noise, then the 2D input rebuilt."""
        step = self.time[1](F.gelu(self.time[0](sinusoid(t, self.width // 8))))
        tokens = self.gcn.trunk(graph.joints_first(torch.cat([x_t, x2d], dim=-1)))
        tokens = self.before(tokens, step)
        if self.gcn.non_local is not None:
            tokens = self.gcn.non_local(tokens)
        tokens = self.gcn.output(self.after(tokens, step))
        return graph.joints_last(tokens, x_t.shape[:-2])
