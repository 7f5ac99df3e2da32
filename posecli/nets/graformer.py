"""GraFormer (Zhao et al., CVPR 2022), as released: self-attention over joints and Chebyshev graph convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets import graph
from posecli.nets.attention import dropout


class GraFormerLayer(nn.Module):
    """x + Attention(norm x), x + LearnedGraphMLP(norm x), then x + two Chebyshev convolutions.

    polynomials: from `graph.chebyshev`.
    step_width: width E of a step embedding that a linear layer adds between the convolutions; None: there is none.
    dropout, conv_dropout: of the attention's and MLP's branches, and after each convolution; training only.
    """

    def __init__(
        self,
        polynomials: Tensor,
        *,
        width: int,
        heads: int,
        step_width: int | None = None,
        dropout: float = 0.0,
        conv_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout, self.conv_dropout = dropout, conv_dropout
        self.norm1, self.norm2 = graph.StdNorm(width), graph.StdNorm(width)
        self.attention = graph.JointAttention(width, heads)
        self.mlp = graph.LearnedGraphMLP(polynomials.shape[-1], width, 2 * width)
        self.conv1 = graph.ChebConv(polynomials, width, width)
        self.conv2 = graph.ChebConv(polynomials, width, width)
        self.step = None if step_width is None else nn.Linear(step_width, width)

    def forward(
        self, x: Tensor, step: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """x (J, N, C), step (N, E) → (J, N, C). generator: source of dropout's draws while training."""

        def drop(branch: Tensor, rate: float) -> Tensor:
            return dropout(branch, rate, self.training, generator)

        x = x + drop(self.attention(self.norm1(x)), self.dropout)
        x = x + drop(self.mlp(self.norm2(x)), self.dropout)
        y = drop(F.relu(self.conv1(x)), self.conv_dropout)
        if self.step is not None and step is not None:
            y = y + self.step(F.silu(step))
        return x + drop(F.relu(self.conv2(y)), self.conv_dropout)


class GraFormer(nn.Module):
    """A pose per joint in, values per joint out: convolution, `depth` layers, convolution.

    parents: the kinematic tree, -1 for the root. order: of the Chebyshev polynomials.
    Other arguments: see `GraFormerLayer`.
    """

    def __init__(
        self,
        *,
        parents: Sequence[int],
        width_in: int = 2,
        width_out: int = 3,
        width: int = 96,
        depth: int = 5,
        heads: int = 4,
        order: int = 2,
        step_width: int | None = None,
        dropout: float = 0.0,
        conv_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        polynomials = graph.chebyshev(graph.adjacency(parents, self_loops=True), order)
        self.input = graph.ChebConv(polynomials, width_in, width)
        self.layers = nn.ModuleList(
            GraFormerLayer(
                polynomials,
                width=width,
                heads=heads,
                step_width=step_width,
                dropout=dropout,
                conv_dropout=conv_dropout,
            )
            for _ in range(depth)
        )
        self.output = graph.ChebConv(polynomials, width, width_out)

    def forward(
        self, x: Tensor, step: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """x (..., J, in), step (N, E) with N the product of the leading sizes → (..., J, out), float32.

        For lifting: 2D normalised in, metres in camera axes out, the root not zeroed.
        """
        return graph.joints_last(self.output(self.features(x, step, generator)), x.shape[:-2])

    def features(
        self, x: Tensor, step: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """What the last convolution sees: (..., J, in) → tokens (J, N, C)."""
        tokens = self.input(graph.joints_first(x))
        for layer in self.layers:
            tokens = layer(tokens, step, generator)
        return tokens
