"""Layers on the graph of a body's joints, shared by GraFormer, Modulated GCN, DiffPose and DiffuPose.

Tokens are kept joint first, (J, N, C) with N poses: mixing joints is then one matrix product, a linear layer is
another, and no layer but attention has to reorder its tokens. `joints_first` and `joints_last` lead in and out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets.attention import attend


def joints_first(x: Tensor) -> Tensor:
    """(..., J, C) → tokens (J, N, C), N poses."""
    return x.reshape(-1, *x.shape[-2:]).transpose(0, 1)


def joints_last(tokens: Tensor, shape: Sequence[int]) -> Tensor:
    """Tokens (J, N, C) → (*shape, J, C) with N = product of `shape`, as float32 at least."""
    tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    return tokens.transpose(0, 1).reshape(*shape, tokens.shape[0], tokens.shape[-1])


# Adjacency ---------------------------------------------------------------------------------------------


def adjacency(parents: Sequence[int], *, self_loops: bool) -> Tensor:
    """Row-normalised adjacency (J, J) of the undirected tree `parents` (-1 for the root).

    self_loops: a joint counts among its own neighbours (GraFormer, DiffPose). Without, the rows are normalised
        over the neighbours alone and the diagonal is set to 1 afterwards (Modulated GCN, DiffuPose).
    """
    size = len(parents)
    matrix = torch.eye(size) if self_loops else torch.zeros(size, size)
    for child, parent in enumerate(parents):
        if parent >= 0:
            matrix[child, parent] = matrix[parent, child] = 1.0
    matrix = matrix / matrix.sum(dim=1, keepdim=True).clamp_min(1.0)
    return matrix if self_loops else matrix + torch.eye(size)


def chebyshev(matrix: Tensor, order: int) -> Tensor:
    """Chebyshev polynomials T_1 … T_order (order, J, J) of the graph Laplacian I - D^-½ A D^-½ of `matrix` A,
    D its row sums; T_0, the identity, is left out.
    """
    if order < 1:
        raise ValueError(f"the order of Chebyshev polynomials must be at least 1, got {order}")
    root = matrix.sum(dim=1).rsqrt()
    laplacian = torch.eye(len(matrix)) - root[:, None] * matrix * root
    found = [torch.eye(len(matrix)), laplacian]
    while len(found) <= order:
        found.append(2 * laplacian @ found[-1] - found[-2])
    return torch.stack(found[1:])


def mix(matrix: Tensor, tokens: Tensor) -> Tensor:
    """Every token replaced by a weighted sum over the joints: matrix (..., J, J), tokens (J, N, C)."""
    return (matrix @ tokens.flatten(1)).view(*matrix.shape[:-1], *tokens.shape[1:])


# Layers ------------------------------------------------------------------------------------------------


class ChebConv(nn.Module):
    """Chebyshev graph convolution: sum over k of T_k x W_k, and a bias (GraFormer's ChebGConv).

    polynomials: from `chebyshev`; constants, not part of the weights. `weight`: (order + 1, in, out).
    """

    polynomials: Tensor

    def __init__(self, polynomials: Tensor, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(polynomials) + 1, width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))
        nn.init.xavier_normal_(self.weight)
        self.register_buffer("polynomials", polynomials, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(J, N, in) → (J, N, out)."""
        stacked = torch.cat([tokens, *mix(self.polynomials, tokens).to(tokens.dtype)], dim=-1)
        return stacked @ self.weight.flatten(0, 1) + self.bias


class LearnedGraphMLP(nn.Module):
    """Two linear layers, each after mixing the joints by one learned adjacency (GraFormer's GraphNet).

    The adjacency A is normalised as d_i A_ij d_j with d_j = (sum_i A_ij + 1e-5)^-½: sums over the first index
    on both sides, as released, which matters because nothing keeps A symmetric.
    """

    def __init__(self, joints: int, width: int, hidden: int) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(torch.eye(joints))
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(J, N, C) → same shape."""
        root = (self.adjacency.sum(dim=0) + 1e-5).rsqrt()
        matrix = root[:, None] * self.adjacency * root
        return self.fc2(mix(matrix, F.relu(self.fc1(mix(matrix, tokens)))))


class JointAttention(nn.Module):
    """Multi-head self-attention of the joints of a pose."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(J, N, C) → same shape."""
        per_head = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))  # (J, N, 3, h, D)
        q, k, v = per_head.permute(2, 1, 3, 0, 4).contiguous().unbind()
        return self.proj(attend(q, k, v).permute(2, 0, 1, 3).flatten(-2))


class StdNorm(nn.Module):
    """Normalisation of GraFormer: unbiased standard deviation, and eps added to it, not to the variance."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) → same shape."""
        std, mean = torch.std_mean(x, dim=-1, keepdim=True)
        return self.weight * (x - mean) / (std + self.eps) + self.bias


class JointNorm(nn.BatchNorm1d):
    """Batch normalisation per channel, over all joints of all poses."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(J, N, C) → same shape."""
        return super().forward(tokens.flatten(0, 1)).view_as(tokens)


class ModulatedConv(nn.Module):
    """Modulated graph convolution (Zou & Tang, ICCV 2021): one weight for a joint itself and one for its
    neighbours, both scaled per joint and channel (`modulation`), over a static adjacency to which a learned one
    (`affinity`) is added; the sum is made symmetric.

    static: from `adjacency(..., self_loops=False)`; a constant, not part of the weights. `weight`: (2, in, out).
    """

    static: Tensor

    def __init__(self, static: Tensor, width_in: int, width_out: int) -> None:
        super().__init__()
        joints = len(static)
        self.weight = nn.Parameter(torch.empty(2, width_in, width_out))
        self.modulation = nn.Parameter(torch.ones(joints, width_out))
        self.affinity = nn.Parameter(torch.full((joints, joints), 1e-6))
        self.bias = nn.Parameter(torch.zeros(width_out))
        for weight in self.weight:
            nn.init.xavier_uniform_(weight, gain=2**0.5)
        self.register_buffer("static", static, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(J, N, in) → (J, N, out)."""
        matrix = self.static + self.affinity
        matrix = (matrix + matrix.t()) / 2
        itself = matrix.diagonal()
        modulation = self.modulation[:, None]
        own, others = (tokens @ weight * modulation for weight in self.weight)
        return itself[:, None, None] * own + mix(matrix - torch.diag(itself), others) + self.bias


class NonLocal(nn.Module):
    """Non-local block over joints (embedded Gaussian): x + norm(out(softmax(θ(x) φ(x)ᵀ) g(x))).

    The norm begins at zero, so that a fresh block changes nothing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Linear(width, width // 2) for _ in range(3))
        self.out = nn.Linear(width // 2, width)
        self.norm = JointNorm(width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """(J, N, C) → same shape."""
        theta, phi, g = (layer(tokens).transpose(0, 1) for layer in (self.theta, self.phi, self.g))
        seen = (theta @ phi.mT).softmax(dim=-1).to(g.dtype) @ g
        return tokens + self.norm(self.out(seen.transpose(0, 1)))
