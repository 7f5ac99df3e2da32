"""MixSTE (Zhang et al., CVPR 2022), the network under MixSTE, D3DP and DDHPose, as released.

A token per joint and frame; pairs of blocks, the first attending over the joints of a frame, the second over the
frames of a joint. One layer norm after all spatial blocks, one after all temporal ones, each shared by every pair.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.nets.attention import Block, sinusoid


class MixSTENet(nn.Module):
    """MixSTE for any number of joints, width, depth, heads and window; with a state to denoise, D3DP's network.

    frames: window length T, fixed by the positional table.
    depth: pairs of spatial and temporal blocks.
    state_channels: S, channels of the noisy state beside the 2D joints, 0 for none. With a state the network also
        takes the diffusion step.
    groups: a group number per joint; joints of a group share an embedding besides their own (DDHPose). Empty: none.
    extra_keys: the temporal blocks of all pairs but the first have a projection of additional keys (DDHPose).
    outputs: channels that a joint is answered with, 3 for its place.
    drop_path: rate of the last pair; rates rise linearly from 0 at the first (training only).
    """

    level: Tensor

    def __init__(
        self,
        *,
        joints: int,
        frames: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 2.0,
        state_channels: int = 0,
        groups: tuple[int, ...] = (),
        extra_keys: bool = False,
        outputs: int = 3,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Linear(2 + state_channels, width)  # [u, v, state]
        # Zero in the released code. Tokens that can be told apart from the first step halve the steps that a
        # short training needs (DDHPose: loss 0.35 instead of 0.55 after 300 steps of 16 windows, width 128).
        if groups:
            self.group_emb = nn.Parameter(0.3 * torch.randn(max(groups) + 1, width))
        self.register_buffer("level", torch.tensor(groups, dtype=torch.long), persistent=False)
        self.pos_s = nn.Parameter(0.3 * torch.randn(joints, width))
        self.pos_t = nn.Parameter(0.3 * torch.randn(frames, width))
        if state_channels:
            self.time = nn.ModuleList([nn.Linear(width, 2 * width), nn.Linear(2 * width, width)])
        hidden = int(width * mlp_ratio)
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.spatial = nn.ModuleList(
            Block(width=width, heads=heads, hidden=hidden, axis="joints", drop_path=rate) for rate in rates
        )
        self.temporal = nn.ModuleList(
            Block(
                width=width,
                heads=heads,
                hidden=hidden,
                axis="frames",
                drop_path=rate,
                extra_keys=extra_keys and i > 0,
            )
            for i, rate in enumerate(rates)
        )
        self.norm_s = nn.LayerNorm(width, eps=1e-6)
        self.norm_t = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.ModuleDict({"norm": nn.LayerNorm(width), "out": nn.Linear(width, outputs)})

    def forward(
        self,
        x2d: Tensor,
        state: Tensor | None = None,
        t: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x2d (B, T, J, 2), state (B, H, T, J, S), t (B,) → pose (B, H, T, J, outputs); H is 1 without a state.

        2D is normalised (x right, y down); poses are metres in camera axes, the root not zeroed.
        generator: source of DropPath's draws while training.
        """
        b, frames, joints, _ = x2d.shape
        x = self._blocks(self._tokens(x2d, state, t), generator)
        pose = self.head["out"](self.head["norm"](x)).float()
        return pose.reshape(frames, b, -1, joints, pose.shape[-1]).permute(1, 2, 0, 3, 4)

    def features(self, x2d: Tensor) -> Tensor:
        """What the head sees of a network without a state: x2d (B, T, J, 2) → tokens (T, B, J, C)."""
        return self._blocks(self._tokens(x2d, None, None), None)

    def _tokens(self, x2d: Tensor, state: Tensor | None, t: Tensor | None) -> Tensor:
        """Embedded input (T, N, J, C), N = B·H. The 2D part is the same for all hypotheses and computed once."""
        w2d, w_state = self.embed.weight[:, :2], self.embed.weight[:, 2:]
        known: Tensor = self.pos_s  # of a token, apart from its inputs
        if len(self.level):
            known = known + self.group_emb[self.level]
        if t is not None:
            known = known + self.time[1](F.gelu(self.time[0](sinusoid(t, self.width))))[:, None]  # (B, J, C)
        clip = F.linear(x2d.transpose(0, 1), w2d, self.embed.bias) + known  # (T, B, J, C)
        if state is None:
            return clip
        x = F.linear(state.permute(2, 0, 1, 3, 4), w_state) + clip[:, :, None]  # (T, B, H, J, C)
        return x.flatten(1, 2)

    def _blocks(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """All pairs of blocks on tokens (T, N, J, C)."""
        x = self._first_pair(x, generator)
        for spatial, temporal in zip(self.spatial[1:], self.temporal[1:], strict=True):
            x = self.norm_s(spatial(x, generator=generator))
            x = self.norm_t(temporal(x, generator=generator))
        return x

    def _first_pair(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """The plain pair, with the place in time added between its blocks."""
        x = self.norm_s(self.spatial[0](x, generator=generator))
        x = x + self.pos_t[:, None, None]
        return self.norm_t(self.temporal[0](x, generator=generator))


def with_frames(tensors: dict[str, Tensor], frames: int) -> dict[str, Tensor]:
    """A network's tensors for windows of `frames`: its table of places in time (T, C), drawn out or in linearly.

    Tables of other networks, and those that fit, stay as they are. To the network a longer window then looks like
    slower motion in one of the length that it knows.
    """
    drawn = dict(tensors)
    for name, table in tensors.items():
        if name.rpartition(".")[2] == "pos_t" and table.ndim == 2 and len(table) != frames:
            along = F.interpolate(table.T[None], size=frames, mode="linear", align_corners=True)
            drawn[name] = along[0].T.contiguous()
    return drawn
