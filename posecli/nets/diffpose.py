"""The noise network of DiffPose (Gong et al., CVPR 2023), as released ("GCNdiff"): a GraFormer that knows the step.

It sees a pose as (u, v, x, y, z) per joint and predicts the noise in all five. The network of the paper's text is
another one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets.attention import sinusoid
from posecli.nets.graformer import GraFormer


class GraFormerNoise(nn.Module):
    """GraFormer on noisy values per joint with an embedding of the diffusion step in every layer.

    channels: of the state. step_width: of the embedding. Other arguments: see `GraFormer`.
    """

    def __init__(
        self,
        *,
        parents: Sequence[int],
        channels: int = 5,
        width: int = 96,
        step_width: int = 384,
        depth: int = 5,
        heads: int = 4,
        order: int = 2,
        dropout: float = 0.0,
        conv_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = width
        self.time = nn.ModuleList([nn.Linear(width, step_width), nn.Linear(step_width, step_width)])
        self.net = GraFormer(
            parents=parents,
            width_in=channels,
            width_out=channels,
            width=width,
            depth=depth,
            heads=heads,
            order=order,
            step_width=step_width,
            dropout=dropout,
            conv_dropout=conv_dropout,
        )

    def forward(self, state: Tensor, t: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """state (N, J, C), t (N,) → noise (N, J, C). generator: source of dropout's draws while training."""
        step = self.time[1](F.silu(self.time[0](sinusoid(t, self.width))))
        return self.net(state, step, generator)
