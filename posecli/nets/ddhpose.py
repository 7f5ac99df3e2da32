"""HSTDenoiser, the network of DDHPose (Cai et al., AAAI 2024), as released.

2D pose, noisy bone directions and noisy bone lengths in; clean 3D pose out. MixSTE's first pair of blocks, then
pairs whose spatial attention is HRST (attention between joints is averaged down the kinematic tree) and whose
temporal attention is HRTT (keys see each joint's children).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from posecli.nets import hierarchy
from posecli.nets.mixste import MixSTENet


class HSTDenoiser(MixSTENet):
    """DDHPose's denoiser for any tree of joints, width, depth, heads and window. Its state is (B, H, T, J, 4):
    bone direction xyz and bone length, in the slot of the bone's child joint.

    What the paper's ablations take away or put in, everything else being as released, has a setting here.

    parents: the kinematic tree, -1 for the root.
    state_channels: of the state; 3 for the pose itself instead of its bones.
    outputs: 4 for direction and length of each joint's bone, instead of the joint's place.
    hierarchy_embedding: joints as far from the root share an embedding. hrst: the rule for spatial attention.
    hrtt_layout: "official" hands HRTT's child tokens over in the order of the released code (clip by clip
        time-major tokens read as if joint-major, so joint j at time k gets token j·T + k); "paper" aligns them;
        "off": no HRTT.
    hrst_over_frames: with T == J the released code runs the spatial rule in the temporal blocks too, and
        leaves the child keys out; only for weights trained so.
    Others as in `MixSTENet`; the plain pair counts in depth.
    """

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
        state_channels: int = 4,
        outputs: int = 3,
        hierarchy_embedding: bool = True,
        hrst: bool = True,
        hrtt_layout: str = "official",
        hrst_over_frames: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(
            joints=len(parents),
            frames=frames,
            width=width,
            depth=depth,
            heads=heads,
            mlp_ratio=mlp_ratio,
            state_channels=state_channels,
            groups=hierarchy.levels(parents) if hierarchy_embedding else (),
            extra_keys=hrtt_layout != "off",
            outputs=outputs,
            drop_path=drop_path,
        )
        self.hrst, self.hrtt_layout, self.hrst_over_frames = hrst, hrtt_layout, hrst_over_frames
        at, matrix = hierarchy.hrst_map(parents)
        self.register_buffer("hrst_at", at, persistent=False)
        self.register_buffer("hrst_matrix", matrix, persistent=False)
        self.register_buffer("child_average", hierarchy.child_average(parents), persistent=False)

    def _blocks(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        x = self._first_pair(x, generator)
        extra = None if self.hrst_over_frames or self.hrtt_layout == "off" else self._child_tokens(x)
        hrst = (self.hrst_at, self.hrst_matrix) if self.hrst else None
        over_frames = hrst if self.hrst_over_frames else None
        for spatial, temporal in zip(self.spatial[1:], self.temporal[1:], strict=True):
            x = self.norm_s(spatial(x, logit_map=hrst, generator=generator))
            x = self.norm_t(temporal(x, extra=extra, logit_map=over_frames, generator=generator))
        return x

    def _child_tokens(self, x: Tensor) -> Tensor:
        """HRTT's child features (T, N, J, C), standardised: every block scales them with its own norm."""
        t, n, j, c = x.shape
        mean = torch.matmul(self.child_average, x)
        mean = F.layer_norm(mean.float(), (c,), eps=1e-6)
        if self.hrtt_layout == "official":
            mean = mean.transpose(0, 1).reshape(n, j, t, c).permute(2, 0, 1, 3).contiguous()
        return mean
