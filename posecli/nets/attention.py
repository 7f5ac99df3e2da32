"""Transformer blocks over (frame, joint) tokens, shared by MixSTE's descendants.

Tokens are kept time first, (T, N, J, C) with N sequences (clips × hypotheses): attention over joints and
attention over frames are then both views of the same memory, and no block has to reorder its tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHORT = 128
"""Up to this many tokens plain matrix products are faster on a CPU than the fused kernel (backward above
all: 3 to 10 times for 17 to 27 tokens; with 81 a whole training step takes 0.54 s instead of 1.01, both measured);
beyond it memory matters and the fused kernel wins."""


class _SplitHeads(torch.autograd.Function):
    """Projected tokens → queries, keys, values per head, each contiguous, in one pass over memory each way."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, extra_keys: Tensor | None, heads: int, over_frames: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.layout = (*qkv.shape[:3], heads, over_frames)
        ctx.has_extra = extra_keys is not None
        q, k, v = _per_head(qkv, 3, heads, over_frames).contiguous().unbind()
        if extra_keys is not None:
            k += _per_head(extra_keys, 1, heads, over_frames)[0]
        return q, k, v

    @staticmethod
    def backward(ctx: Any, dq: Tensor, dk: Tensor, dv: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        t, n, j, heads, over_frames = ctx.layout
        width = heads * dq.shape[-1]
        grad = dq.new_empty(t, n, j, 3 * width)
        for target, part in zip(_per_head(grad, 3, heads, over_frames), (dq, dk, dv), strict=True):
            target.copy_(part)
        return grad, grad[..., width : 2 * width] if ctx.has_extra else None, None, None


def _per_head(x: Tensor, parts: int, heads: int, over_frames: bool) -> Tensor:
    """(T, N, J, parts·h·D) → (parts, T·N, h, J, D) or, over frames, (parts, N·J, h, T, D); a view."""
    t, n, j, _ = x.shape
    x = x.reshape(t, n * j, parts, heads, -1) if over_frames else x.reshape(t * n, j, parts, heads, -1)
    return x.permute(2, 1, 3, 0, 4) if over_frames else x.permute(2, 0, 3, 1, 4)


class _MapEntries(torch.autograd.Function):
    """Replaces some columns of x (..., S) by a linear map of themselves: y[..., at] = x[..., at] @ matrixᵀ."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, at: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(at, matrix)
        rows = x.flatten(0, -2)
        mapped = rows.index_select(1, at) @ matrix.t().to(x.dtype)
        return rows.index_copy(1, at, mapped).view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        at, matrix = ctx.saved_tensors
        return _map_entries(grad, at, matrix.t()), None, None


# torch's stubs leave `apply` untyped
_split_heads: Callable[[Tensor, Tensor | None, int, bool], tuple[Tensor, Tensor, Tensor]] = _SplitHeads.apply
_map_entries: Callable[[Tensor, Tensor, Tensor], Tensor] = _MapEntries.apply

LogitMap = tuple[Tensor, Tensor]
"""(at (K,), matrix (K, K)): entries of the flattened logits (S²) that a linear map of themselves replaces."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, logit_map: LogitMap | None = None, *, scale: float | None = None
) -> Tensor:
    """Softmax attention of q, k, v (N, h, S, D) → (N, h, S, D).

    logit_map: applied to the scaled logits before the softmax. scale: of the logits, 1/sqrt(D) if not given.
    """
    if logit_map is None and q.shape[-2] > SHORT:
        return F.scaled_dot_product_attention(q, k, v, scale=scale)
    logits = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.transpose(-1, -2)
    if logit_map is not None:
        logits = _map_entries(logits.flatten(-2), *logit_map).view_as(logits)
    # at least float32, under autocast too: more exact, and on CPUs five times faster than in bfloat16
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.softmax(dim=-1, dtype=dtype).to(v.dtype) @ v


def drop_path(x: Tensor, rate: float, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Stochastic depth: drops whole residual branches with probability `rate`, one draw per entry of `shape`
    (which broadcasts against x), and scales the others up.
    """
    keep = torch.empty(shape, device=x.device, dtype=x.dtype).bernoulli_(1 - rate, generator=generator)
    return x * (keep / (1 - rate))


def dropout(x: Tensor, rate: float, training: bool, generator: torch.Generator | None) -> Tensor:
    """Dropout whose draws come from `generator` (the global one if there is none)."""
    return drop_path(x, rate, tuple(x.shape), generator) if training and rate > 0 else x


class Block(nn.Module):
    """Pre-norm transformer block: x + Attention(LN x), then x + MLP(LN x) (MixSTE; LN eps 1e-6, exact GELU).

    axis: "joints" or "frames", what the tokens attend over.
    extra_keys: the block has a projection `kc` of a second token set, added to its keys (HRTT, DDHPose eq. 6).
    drop_path: rate of stochastic depth while training.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        hidden: int,
        axis: str,
        extra_keys: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.axis, self.drop_path = heads, axis, drop_path
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.kc = nn.Linear(width, width) if extra_keys else None
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(
        self,
        x: Tensor,
        extra: Tensor | None = None,
        logit_map: LogitMap | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x (T, N, J, C) → same shape.

        extra (T, N, J, C): standardised tokens (zero mean, unit variance) for the additional keys; this
        block's own norm1 scales and shifts them.
        logit_map: see `attend`.
        """
        x = x + self._drop(self._attention(self.norm1(x), extra, logit_map), generator)
        return x + self._drop(self.fc2(F.gelu(self.fc1(self.norm2(x)))), generator)

    def _attention(self, y: Tensor, extra: Tensor | None, logit_map: LogitMap | None) -> Tensor:
        t, n, j, c = y.shape
        extra_keys = None
        if self.kc is not None and extra is not None:
            # kc(norm1's scale and shift of extra) as one linear map; Q Kᵀ + Q K_cᵀ = Q (K + K_c)ᵀ
            weight = self.kc.weight * self.norm1.weight
            bias = F.linear(self.norm1.bias, self.kc.weight, self.kc.bias)
            extra_keys = F.linear(extra, weight, bias)
        over_frames = self.axis == "frames"
        q, k, v = _split_heads(self.qkv(y), extra_keys, self.heads, over_frames)
        out = attend(q, k, v, logit_map)
        out = out.permute(2, 0, 1, 3) if over_frames else out.transpose(1, 2)
        return self.proj(out.reshape(t, n, j, c))

    def _drop(self, branch: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return branch
        t, n, j, _ = branch.shape
        shape = (t, n, 1, 1) if self.axis == "joints" else (1, n, j, 1)
        return drop_path(branch, self.drop_path, shape, generator)


def sinusoid(t: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of t (B,) → (B, width): sines, then cosines, of t · 10000^(-k / (width/2 - 1)).

    All in float32: released networks were trained with its rounding (up to 1.5e-5 of their output).
    """
    half = width // 2
    step = math.log(10000.0) / (half - 1)
    frequencies = torch.exp(torch.arange(half, device=t.device, dtype=torch.float32) * -step)
    angles = t.to(torch.float32)[:, None] * frequencies[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
