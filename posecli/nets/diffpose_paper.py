"""Networks of DiffPose as the paper tells it (Gong et al., CVPR 2023, section 4.5): denoiser g and context encoder.

The released code runs another network (`posecli.nets.diffpose`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets import graph
from posecli.nets.graformer import GraFormer
from posecli.nets.mixste import MixSTENet


def step_embedding(k: Tensor, width: int) -> Tensor:
    """f_D (N, width) of the steps k (N,): sin(k / 10000^(2j/width)) at the even index 2j, the cosine of the same at
    2j + 1 (supplement, section 2).
    """
    frequency = torch.exp(
        torch.arange(0, width, 2, device=k.device, dtype=torch.float32) * (-math.log(10_000.0) / width)
    )
    angle = k.to(torch.float32)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class GCNAttentionBlock(nn.Module):
    """Two graph convolutions, then self-attention over the joints, each branch with a residual connection.

    The norms before the branches are ours: without them three blocks do not train at the learning rates in use here.
    """

    def __init__(self, polynomials: Tensor, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.conv1 = graph.ChebConv(polynomials, width, width)
        self.conv2 = graph.ChebConv(polynomials, width, width)
        self.attention = graph.JointAttention(width, heads)

    def forward(self, x: Tensor) -> Tensor:
        """(J, N, C) → same shape."""
        x = x + F.relu(self.conv2(F.relu(self.conv1(self.norm1(x)))))
        return x + self.attention(self.norm2(x))


class PoseDenoiser(nn.Module):
    """Denoiser g: noisy poses, their step and the context of their frame in, a pose out.

    width: channels of the embedded pose and of f_ST, 128 in the paper; the blocks work on twice that.
    context_width: channels of the context encoder's tokens, which a linear layer brings to `width`; 0: no context,
        and the embedded pose takes all channels.
    """

    def __init__(
        self,
        *,
        parents: Sequence[int],
        width: int = 128,
        blocks: int = 3,
        heads: int = 4,
        order: int = 1,
        context_width: int = 0,
    ) -> None:
        super().__init__()
        polynomials = graph.chebyshev(graph.adjacency(parents, self_loops=True), order)
        self.width = 2 * width
        self.input = graph.ChebConv(polynomials, 3, width if context_width else 2 * width)
        self.context = nn.Linear(context_width, width) if context_width else None
        self.blocks = nn.ModuleList(GCNAttentionBlock(polynomials, 2 * width, heads) for _ in range(blocks))
        self.output = graph.ChebConv(polynomials, 2 * width, 3)

    def forward(self, h: Tensor, k: Tensor, context: Tensor | None = None) -> Tensor:
        """h (N, H, J, 3) metres, k (N,) steps from 1 to K, context (N, J, C) → (N, H, J, 3), float32."""
        shape = h.shape[:2]
        x = self.input(graph.joints_first(h)).unflatten(1, shape)  # (J, N, H, C)
        if self.context is not None:
            if context is None:
                raise ValueError("this denoiser needs the context of each frame")
            f_st = self.context(context.transpose(0, 1))[:, :, None]  # (J, N, 1, C)
            x = torch.cat([x, f_st.expand(-1, -1, shape[1], -1)], dim=-1)
        x = (x + step_embedding(k, self.width)[:, None]).flatten(1, 2)
        for block in self.blocks:
            x = block(x)
        return graph.joints_last(self.output(x), shape)


class ContextEncoder(nn.Module):
    """Context encoder φ_ST: a lifter whose answer and whose last tokens are both used.

    net: MixSTE for windows, GraFormer for single frames. Its weights are those of the method of that name.
    """

    def __init__(self, net: MixSTENet | GraFormer) -> None:
        super().__init__()
        self.net = net

    def forward(self, x2d: Tensor) -> tuple[Tensor, Tensor]:
        """x2d (B, T, J, 2) normalised → pose (B, T, J, 3) metres, tokens (B, T, J, C); the root is not zeroed."""
        if isinstance(self.net, GraFormer):
            features = self.net.features(x2d)  # (J, B·T, C)
            pose, tokens = (
                graph.joints_last(each, x2d.shape[:2]) for each in (self.net.output(features), features)
            )
            return pose, tokens
        features = self.net.head["norm"](self.net.features(x2d)).permute(1, 0, 2, 3)
        return self.net.head["out"](features).float(), features
