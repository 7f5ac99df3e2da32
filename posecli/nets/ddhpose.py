"""HSTDenoiser, the network of DDHPose (Cai et al., AAAI 2024), as released.

2D pose, noisy bone directions and noisy bone lengths in; clean 3D pose out. One plain spatial and temporal
block, then blocks whose spatial attention is HRST (attention between joints is averaged down the kinematic
tree) and whose temporal attention is HRTT (keys see each joint's children).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets import hierarchy
from posecli.nets.attention import Block, sinusoid


class HSTDenoiser(nn.Module):
    """DDHPose's denoiser for any tree of joints, width, depth, heads and window.

    parents: the kinematic tree, -1 for the root.
    frames: window length T, fixed by the positional table.
    depth: pairs of spatial and temporal blocks, the plain pair included.
    hrtt_layout: "official" hands HRTT's child tokens over in the order of the released code (clip by clip
        time-major tokens read as if joint-major, so joint j at time k gets token j·T + k); "paper" aligns them.
    hrst_over_frames: with T == J the released code runs the spatial rule in the temporal blocks too, and
        leaves the child keys out; only for weights trained so.
    drop_path: rate of the last pair; rates rise linearly from 0 at the first (training only).
    """

    level: Tensor
    hrst_at: Tensor
    hrst_matrix: Tensor
    child_average: Tensor

    def __init__(
        self,
        *,
        parents: tuple[int, ...],
        frames: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 2.0,
        hrtt_layout: str = "official",
        hrst_over_frames: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        joints = len(parents)
        level = hierarchy.levels(parents)
        self.width = width
        self.hrtt_layout, self.hrst_over_frames = hrtt_layout, hrst_over_frames
        self.embed = nn.Linear(6, width)  # [u, v, direction xyz, length]
        # Zero in the released code. Tokens that can be told apart from the first step halve the steps that a
        # short training needs (loss 0.35 instead of 0.55 after 300 steps of 16 windows, width 128).
        self.group_emb = nn.Parameter(0.3 * torch.randn(max(level) + 1, width))
        self.pos_s = nn.Parameter(0.3 * torch.randn(joints, width))
        self.pos_t = nn.Parameter(0.3 * torch.randn(frames, width))
        self.time = nn.ModuleList([nn.Linear(width, 2 * width), nn.Linear(2 * width, width)])
        hidden = int(width * mlp_ratio)
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.spatial = nn.ModuleList(
            Block(width=width, heads=heads, hidden=hidden, axis="joints", drop_path=rate) for rate in rates
        )
        self.temporal = nn.ModuleList(
            Block(width=width, heads=heads, hidden=hidden, axis="frames", drop_path=rate, extra_keys=i > 0)
            for i, rate in enumerate(rates)
        )
        self.norm_s = nn.LayerNorm(width, eps=1e-6)
        self.norm_t = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.ModuleDict({"norm": nn.LayerNorm(width), "out": nn.Linear(width, 3)})
        self.register_buffer("level", torch.tensor(level), persistent=False)
        at, matrix = hierarchy.hrst_map(parents)
        self.register_buffer("hrst_at", at, persistent=False)
        self.register_buffer("hrst_matrix", matrix, persistent=False)
        self.register_buffer("child_average", hierarchy.child_average(parents), persistent=False)

    def forward(
        self,
        x2d: Tensor,
        direction: Tensor,
        length: Tensor,
        t: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x2d (B, T, J, 2), direction (B, H, T, J, 3), length (B, H, T, J, 1), t (B,) → pose (B, H, T, J, 3).

        2D is normalised (x right, y down); poses are metres in camera axes, the root not zeroed.
        generator: source of DropPath's draws while training.
        """
        b, h, frames, joints, _ = direction.shape
        x = self._tokens(x2d, torch.cat([direction, length], dim=-1), t)  # (T, N, J, C), N = B·H
        x = self.norm_s(self.spatial[0](x, generator=generator))
        x = x + self.pos_t[:, None, None]
        x = self.norm_t(self.temporal[0](x, generator=generator))
        extra = None if self.hrst_over_frames else self._child_tokens(x)
        hrst = (self.hrst_at, self.hrst_matrix)
        over_frames = hrst if self.hrst_over_frames else None
        for spatial, temporal in zip(self.spatial[1:], self.temporal[1:], strict=True):
            x = self.norm_s(spatial(x, logit_map=hrst, generator=generator))
            x = self.norm_t(temporal(x, extra=extra, logit_map=over_frames, generator=generator))
        pose = self.head["out"](self.head["norm"](x)).float()
        return pose.reshape(frames, b, h, joints, 3).permute(1, 2, 0, 3, 4)

    def _tokens(self, x2d: Tensor, state: Tensor, t: Tensor) -> Tensor:
        """Embedded input (T, N, J, C). The 2D part is the same for all hypotheses and computed once."""
        b, h, frames, joints, _ = state.shape
        w2d, w_state = self.embed.weight[:, :2], self.embed.weight[:, 2:]
        place = self.pos_s + self.group_emb[self.level]  # hierarchical spatial embedding, (J, C)
        when = self.time[1](F.gelu(self.time[0](sinusoid(t, self.width))))  # (B, C)
        clip = F.linear(x2d.transpose(0, 1), w2d, self.embed.bias) + (place + when[:, None])  # (T, B, J, C)
        x = F.linear(state.permute(2, 0, 1, 3, 4), w_state) + clip[:, :, None]  # (T, B, H, J, C)
        return x.reshape(frames, b * h, joints, self.width)

    def _child_tokens(self, x: Tensor) -> Tensor:
        """HRTT's child features (T, N, J, C), standardised: every block scales them with its own norm."""
        t, n, j, c = x.shape
        mean = torch.matmul(self.child_average, x)
        mean = F.layer_norm(mean.float(), (c,), eps=1e-6)
        if self.hrtt_layout == "official":
            mean = mean.transpose(0, 1).reshape(n, j, t, c).permute(2, 0, 1, 3).contiguous()
        return mean
