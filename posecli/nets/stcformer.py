"""STCFormer (Tang et al., CVPR 2023): spatio-temporal criss-cross attention, as released.

In every block half of the channels attend over the joints of a frame and the other half, at the same time, over the
frames of a joint. Values also pass a small convolution over the (frame, joint) plane, and joints carry a mark of the
body part they belong to. There is no positional table: one set of weights takes windows of any length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets.attention import attend, drop_path, dropout

PART_SHARE = (1e-4, 1e-9)
"""What the part embedding is multiplied with before it is added to the spatial and to the temporal half. As
released: next to nothing, kept so that released weights give the released numbers."""


class CrissCross(nn.Module):
    """The attention of a block: x (B, T, J, C) → same shape, without the residual.

    parts: a body part number per joint.
    """

    part: Tensor

    def __init__(self, *, width: int, heads: int, parts: tuple[int, ...]) -> None:
        super().__init__()
        half = width // 2
        self.heads, self.scale = heads, half**-0.5  # of half the width, not of a head's, as released
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.near_s = nn.Conv2d(half, half, 3, padding=1, groups=half)
        self.near_t = nn.Conv2d(half, half, 3, padding=1, groups=half)
        self.part_emb = nn.Embedding(max(parts) + 1, half // heads)
        self.proj = nn.Linear(width, width)
        self.register_buffer("part", torch.tensor(parts, dtype=torch.long), persistent=False)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        b, t, j, c = x.shape
        qkv = self.qkv(self.norm(x)).view(b, t, j, 3, 2, self.heads, -1)  # 2: spatial half, temporal half
        mark = self.part_emb(self.part).expand(b, 1, j, -1)  # (B, 1, J, D): the same in every frame and head
        if self.training:
            mark = drop_path(mark, 0.5, (b, 1, 1, 1), generator)
        q, k, v = qkv[..., 0, :, :].permute(3, 0, 1, 4, 2, 5).flatten(1, 2).contiguous()  # (B·T, h, J, D)
        spatial = attend(q, k, v, scale=self.scale).view(b, t, self.heads, j, -1).permute(0, 1, 3, 2, 4)
        q, k, v = qkv[..., 1, :, :].permute(3, 0, 2, 4, 1, 5).flatten(1, 2).contiguous()  # (B·J, h, T, D)
        temporal = attend(q, k, v, scale=self.scale).view(b, j, self.heads, t, -1).permute(0, 3, 1, 2, 4)
        halves = [
            attended + self._near(conv, qkv[..., 2, half, :, :]) + share * mark[:, :, :, None]
            for half, (attended, conv, share) in enumerate(
                ((spatial, self.near_s, PART_SHARE[0]), (temporal, self.near_t, PART_SHARE[1]))
            )
        ]
        return self.proj(torch.cat(halves, dim=-1).reshape(b, t, j, c))  # head by head: spatial, temporal

    def _near(self, conv: nn.Module, v: Tensor) -> Tensor:
        """Values (B, T, J, h, D) mixed over neighbouring frames and joints (neighbours by index)."""
        b, t, j, h, d = v.shape
        plane = conv(v.reshape(b, t, j, h * d).permute(0, 3, 1, 2))
        return plane.permute(0, 2, 3, 1).reshape(b, t, j, h, d)


class CrissCrossBlock(nn.Module):
    """x + CrissCross(x), then x + MLP(LN x); the MLP has no biases, exact GELU, dropout behind both layers."""

    def __init__(
        self, *, width: int, heads: int, hidden: int, parts: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.attention = CrissCross(width=width, heads=heads, parts=parts)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        x = x + self.attention(x, generator)
        hidden = self._drop(F.gelu(self.fc1(self.norm(x))), generator)
        return x + self._drop(self.fc2(hidden), generator)

    def _drop(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return dropout(x, self.dropout, self.training, generator)


class STCFormerNet(nn.Module):
    """STCFormer for any number of joints, width, depth and heads.

    parts: a body part number per joint, see `posecli.methods.stcformer.body_parts`.
    dropout: of the MLPs, training only.
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
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(2, width, bias=False)
        self.blocks = nn.ModuleList(
            CrissCrossBlock(
                width=width, heads=heads, hidden=int(width * mlp_ratio), parts=parts, dropout=dropout
            )
            for _ in range(depth)
        )
        self.out = nn.Linear(width, 3, bias=False)

    def forward(self, x2d: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """x2d (B, T, J, 2) normalised (x right, y down) → pose (B, T, J, 3), metres, root not zeroed; any T.

        generator: source of dropout's draws while training.
        """
        x = F.gelu(self.embed(x2d))
        for block in self.blocks:
            x = block(x, generator)
        return self.out(x).float()
