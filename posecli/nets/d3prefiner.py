"""PoseDenoiser, the network of D3PRefiner (Yan et al., figure 3c): the error in a noisy pose sequence.

Of the criss-cross modules it stacks (those of STCFormer) the second of every block is to relate the sequence and the
step of the diffusion, so the step's embedding is added between the two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets.attention import dropout, sinusoid
from posecli.nets.stcformer import CrissCross

_DIFFERENCES = 10.0  # metres → decimetres, so that what moves between frames is not lost beside the pose


class DenoisingBlock(nn.Module):
    """x + STC(x), plus the projected step; x + STC(x); x + MLP(LN x)."""

    def __init__(
        self, *, width: int, heads: int, hidden: int, parts: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.first = CrissCross(width=width, heads=heads, parts=parts)
        self.step = nn.Linear(width, width)
        self.second = CrissCross(width=width, heads=heads, parts=parts)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, step: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """x (B, T, J, C), step (B, C) → (B, T, J, C)."""
        x = x + self.first(x, generator) + self.step(step)[:, None, None]
        x = x + self.second(x, generator)
        hidden = self._drop(F.gelu(self.fc1(self.norm(x))), generator)
        return x + self._drop(self.fc2(hidden), generator)

    def _drop(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return dropout(x, self.dropout, self.training, generator)


class PoseDenoiser(nn.Module):
    """g(y, x_t, t) of equation 7 for any number of joints and frames. It begins by finding no error.

    parts: a body part number per joint, see `posecli.methods.stcformer.body_parts`.
    depth: denoising blocks L, each of two criss-cross modules. dropout: of the MLPs, training only.
    named_joints: a learned vector per joint is added to its tokens. The criss-cross modules mark a joint only by its
        neighbours and its part of the body, and need long to tell one from another (ours; the paper has none).
    reach: frames to either side that the first layer looks at, as differences from the frame itself (ours; the paper
        has 0). The criss-cross modules know of time only what convolutions over three frames tell them: each can calm
        what trembles over one frame more to either side, and no filter worth its name is that short.
    """

    def __init__(
        self,
        *,
        parts: tuple[int, ...],
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        named_joints: bool = False,
        reach: int = 0,
    ) -> None:
        super().__init__()
        self.width, self.reach = width, reach
        self.embed = nn.Linear(5 * (2 * reach + 1), width)
        self.joint = nn.Parameter(0.1 * torch.randn(len(parts), width)) if named_joints else None
        self.time = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        self.blocks = nn.ModuleList(
            DenoisingBlock(
                width=width, heads=heads, hidden=int(width * mlp_ratio), parts=parts, dropout=dropout
            )
            for _ in range(depth)
        )
        self.out = nn.Linear(width, 3)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, x2d: Tensor, state: Tensor, t: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """x2d (B, T, J, 2) normalised, state x_t (B, T, J, 3) metres, t (B,) → normalised error (B, T, J, 3)."""
        x = self.embed(self._around(torch.cat([state, x2d], dim=-1)))
        if self.joint is not None:
            x = x + self.joint
        step = self.time[1](F.gelu(self.time[0](sinusoid(t, self.width))))
        for block in self.blocks:
            x = block(x, step, generator)
        return self.out(x).float()

    def _around(self, x: Tensor) -> Tensor:
        """(B, T, J, C) → (B, T, J, (2 reach + 1) C): the frame, and what its neighbours have more than it; beyond the
        ends the first and the last frame go on."""
        if self.reach == 0:
            return x
        frames = torch.arange(x.shape[1], device=x.device)
        near = [x[:, (frames + k).clamp(0, len(frames) - 1)] for k in range(-self.reach, self.reach + 1) if k]
        return torch.cat([x, *(_DIFFERENCES * (n - x) for n in near)], dim=-1)
