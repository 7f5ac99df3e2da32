"""STCFormer: a window of 2D joints straight to 3D (Tang et al., CVPR 2023), as released."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posecli.methods.common import (
    Losses,
    both_ways,
    check_windows,
    dropout_source,
    flip_averaged,
    position_loss,
)
from posecli.methods.settings import DEEPEST, Settings
from posecli.nets.stcformer import STCFormerNet
from posecli.paper_windows import centre_windows
from posecli.skeleton import SKELETONS, Skeleton

_AT_ONCE = 32
"""Windows per pass of the centre-frame protocol, which has one per frame."""


def body_parts(skeleton: Skeleton) -> tuple[int, ...]:
    """Part number of every joint: 0 for the middle of the body, then the limbs in the order of their first joint
    (Human3.6M: right leg 1, left leg 2, left arm 3, right arm 4).
    """
    sided = {*skeleton.left, *skeleton.right}

    def top(joint: int) -> int:
        parent = skeleton.parents[joint]
        return top(parent) if parent in sided else joint

    tops = [top(joint) if joint in sided else -1 for joint in range(skeleton.num_joints)]
    limbs = sorted(set(tops) - {-1})
    return tuple(0 if t < 0 else 1 + limbs.index(t) for t in tops)


@dataclass(frozen=True)
class STCFormerConfig(Settings):
    """Everything that builds the network. Defaults are the released model's.

    protocol: "sequence" lifts all frames of a window in one pass. "centre", by which the paper reports, lifts every
        frame as the middle of a window of its own: `frames` times the work.
    stride: of the frames in such a window (the paper: 3 for 27 and 81 frames, 2 for 243).
    """

    skeleton: str = "h36m17"
    frames: int = 243  # window T of the network
    width: int = 256
    depth: int = 6
    heads: int = 8
    mlp_ratio: float = 4.0
    dropout: float = 0.1  # of the MLPs, training only
    protocol: str = "sequence"
    stride: int = 1

    def __post_init__(self) -> None:
        self.check_skeleton(self.skeleton)
        self.check_whole("frames", "width", "heads", "stride")
        self.check_whole("depth", most=DEEPEST)
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of twice heads ({2 * self.heads}), got {self.width}")
        self.check_ratio("mlp_ratio")
        self.check_share("dropout", below_one=True)
        if self.protocol not in ("sequence", "centre"):
            raise ValueError(f'protocol must be "sequence" or "centre", got {self.protocol!r}')
        if self.protocol == "sequence" and self.stride != 1:
            raise ValueError('a stride other than 1 needs protocol "centre"')
        if self.protocol == "centre" and self.frames % 2 == 0:
            raise ValueError(f'protocol "centre" needs an odd number of frames, got {self.frames}')


class STCFormer(nn.Module):
    """The method: network, loss, flip-averaged lifting. All poses in metres."""

    def __init__(self, config: STCFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.skeleton: Skeleton = SKELETONS[config.skeleton]
        self.net = STCFormerNet(
            parts=body_parts(self.skeleton),
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            dropout=config.dropout,
        )

    @property
    def window(self) -> int:
        """Of the centre-frame protocol twice what one pass sees, less one: the middle half of the frames, which
        blending favours, then has neighbours on both sides; the others repeat the frames at the ends.
        """
        if self.config.protocol == "sequence":
            return self.config.frames
        return 2 * (self.config.frames - 1) * self.config.stride + 1

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> Losses:
        """One training pass: x2d (B, T, J, 2), true pose (B, T, J, 3) in metres with the root at zero. The loss is
        the mean joint distance over all frames; under "centre" over those of the window in the middle.

        generator: draws dropout, where it lives on the device of the pose. final_share: of diffusion, ignored.
        """
        if self.config.protocol == "centre":
            middle = centre_windows(self.window, self.config.frames, self.config.stride)[self.window // 2]
            x2d, pose = x2d[:, middle], pose[:, middle]
        return Losses(position_loss(self.net(x2d, dropout_source(generator, pose)), pose))

    @torch.no_grad()
    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """See `methods.base.Lifter`. Nothing is random: all hypotheses are the same pose, so the spread of a result
        is that of the calibration alone; steps and generator are not used.
        """
        check_windows(x2d, self.window, self.skeleton.num_joints)
        pose = self.predict(x2d) if self.config.protocol == "sequence" else self._centres(x2d)
        pose = pose - pose[..., self.skeleton.root, None, :]
        return pose[:, None].expand(-1, hypotheses, -1, -1, -1)

    def predict(self, x2d: Tensor) -> Tensor:
        """x2d (B, T, J, 2), any T → pose (B, T, J, 3), metres, the mean of the pass and the mirrored pass; the root
        is not zeroed."""
        mirror = self.skeleton.mirror
        return flip_averaged(self.net(both_ways(x2d, mirror)), mirror)

    def _centres(self, x2d: Tensor) -> Tensor:
        """Every frame of x2d (B, T, J, 2) as the middle one of its window → (B, T, J, 3)."""
        b, t = x2d.shape[:2]
        around = centre_windows(t, self.config.frames, self.config.stride)
        middle = self.config.frames // 2
        poses = []
        for rows in torch.split(torch.from_numpy(around), max(1, _AT_ONCE // b)):
            pose = self.predict(x2d[:, rows].flatten(0, 1))[:, middle]
            poses.append(pose.reshape(b, len(rows), *pose.shape[1:]))
        return torch.cat(poses, dim=1)
