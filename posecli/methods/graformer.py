"""GraFormer as a lifter of single frames (Zhao et al., CVPR 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posecli.methods.common import Losses, dropout_source
from posecli.methods.frames import FrameLifter
from posecli.methods.settings import DEEPEST, Settings
from posecli.nets.graformer import GraFormer
from posecli.skeleton import SKELETONS


@dataclass(frozen=True)
class GraFormerConfig(Settings):
    """Everything that builds the network. Defaults are the released model's.

    flip: average with the mirrored pass when lifting (ours; the release does not).
    """

    skeleton: str = "h36m17"
    width: int = 96
    depth: int = 5
    heads: int = 4
    order: int = 2  # of the Chebyshev polynomials
    dropout: float = 0.25  # of attention's and MLP's branches, training only; not of the attention weights
    conv_dropout: float = 0.1  # after each convolution, training only
    flip: bool = False

    def __post_init__(self) -> None:
        self.check_skeleton(self.skeleton)
        self.check_whole("width", "heads")
        self.check_whole("depth", "order", most=DEEPEST)
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads ({self.heads}), got {self.width}")
        self.check_share("dropout", "conv_dropout", below_one=True)


class GraFormerLifter(FrameLifter):
    """The method: one pass per frame, no randomness."""

    def __init__(self, config: GraFormerConfig) -> None:
        net = GraFormer(
            parents=SKELETONS[config.skeleton].parents,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            order=config.order,
            dropout=config.dropout,
            conv_dropout=config.conv_dropout,
        )
        super().__init__(net, config.skeleton, flip=config.flip)
        self.config = config

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> Losses:
        """Squared error, as released; x2d (B, T, J, 2), pose (B, T, J, 3) metres. generator: dropout's draws."""
        prediction = self.net(self.joints.drop(x2d), generator=dropout_source(generator, x2d))
        return Losses((prediction - self.joints.drop(pose)).square().mean())
