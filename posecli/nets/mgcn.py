"""Modulated GCN (Zou & Tang, ICCV 2021), as released: residual blocks of modulated graph convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets import graph


class ModulatedBlock(nn.Module):
    """Modulated convolution, batch normalisation, ReLU."""

    def __init__(self, static: Tensor, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = graph.ModulatedConv(static, width_in, width_out)
        self.norm = graph.JointNorm(width_out)

    def forward(self, tokens: Tensor) -> Tensor:
        """(J, N, in) → (J, N, out)."""
        return F.relu(self.norm(self.conv(tokens)))


class ModulatedResidual(nn.Module):
    """x + two modulated blocks."""

    def __init__(self, static: Tensor, width: int) -> None:
        super().__init__()
        self.first = ModulatedBlock(static, width, width)
        self.second = ModulatedBlock(static, width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(J, N, C) → same shape."""
        return tokens + self.second(self.first(tokens))


class ModulatedGCN(nn.Module):
    """A pose per joint in, values per joint out: block, `depth` residual blocks, non-local block, convolution.

    parents: the kinematic tree, -1 for the root.
    non_local: the block over all joints before the output (released for detected 2D, left out for true 2D).
    """

    def __init__(
        self,
        *,
        parents: Sequence[int],
        width_in: int = 2,
        width_out: int = 3,
        width: int = 384,
        depth: int = 4,
        non_local: bool = True,
    ) -> None:
        super().__init__()
        static = graph.adjacency(parents, self_loops=False)
        self.input = ModulatedBlock(static, width_in, width)
        self.layers = nn.ModuleList(ModulatedResidual(static, width) for _ in range(depth))
        self.non_local = graph.NonLocal(width) if non_local else None
        self.output = graph.ModulatedConv(static, width, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., J, in) → (..., J, out), float32; any number of poses, one included.

        For lifting: 2D normalised in, metres in camera axes out, the root not zeroed.
        """
        tokens = self.trunk(graph.joints_first(x))
        if self.non_local is not None:
            tokens = self.non_local(tokens)
        return graph.joints_last(self.output(tokens), x.shape[:-2])

    def trunk(self, tokens: Tensor) -> Tensor:
        """Everything before the non-local block: (J, N, in) → (J, N, C)."""
        tokens = self.input(tokens)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class PostRefine(nn.Module):
    """Decides per joint how much of a pose's x, y to replace by a back-projection of the 2D input.

    The released refinement of Modulated GCN. Its second input needs the root's true depth and the camera, so no
    lifting method can use it; it exists for comparison with released numbers.
    """

    def __init__(self, joints: int, hidden: int = 1024) -> None:
        super().__init__()
        self.fc1 = nn.Linear(joints * 6, hidden)
        self.fc2 = nn.Linear(hidden, joints * 2)

    def forward(self, pose: Tensor, projected: Tensor) -> Tensor:
        """pose, projected (..., J, 3) → (..., J, 3), all metres relative to the root."""
        both = torch.cat([pose, projected], dim=-1).flatten(-2)
        share = self.fc2(F.relu(self.fc1(both))).sigmoid().view(*pose.shape[:-1], 2)
        xy = share * pose[..., :2] + (1 - share) * projected[..., :2]
        return torch.cat([xy, pose[..., 2:]], dim=-1)
