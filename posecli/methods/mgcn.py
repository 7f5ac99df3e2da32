"""Modulated GCN as a lifter of single frames (Zou & Tang, ICCV 2021).

The released refinement with the root's true depth is no part of it (see `nets.mgcn.PostRefine`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posecli.methods.common import Losses, position_loss
from posecli.methods.frames import FrameLifter
from posecli.methods.settings import DEEPEST, Settings
from posecli.nets.mgcn import ModulatedGCN
from posecli.skeleton import SKELETONS


@dataclass(frozen=True)
class ModulatedGCNConfig(Settings):
    """Everything that builds the network. Defaults are the released model's for detected 2D.

    flip: average with the mirrored pass when lifting, as released for detected 2D.
    """

    skeleton: str = "h36m17"
    width: int = 384
    depth: int = 4
    non_local: bool = True
    flip: bool = True

    def __post_init__(self) -> None:
        self.check_skeleton(self.skeleton)
        self.check_whole("width")
        self.check_whole("depth", most=DEEPEST)
        if self.width < 2:
            raise ValueError(f"width must be at least 2, got {self.width}")


class ModulatedGCNLifter(FrameLifter):
    """The method: one pass per frame, no randomness."""

    def __init__(self, config: ModulatedGCNConfig) -> None:
        net = ModulatedGCN(
            parents=SKELETONS[config.skeleton].parents,
            width=config.width,
            depth=config.depth,
            non_local=config.non_local,
        )
        super().__init__(net, config.skeleton, flip=config.flip)
        self.config = config

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> Losses:
        """Mean joint distance; x2d (B, T, J, 2), pose (B, T, J, 3) metres. Nothing is drawn."""
        return Losses(position_loss(self.net(self.joints.drop(x2d)), self.joints.drop(pose)))
