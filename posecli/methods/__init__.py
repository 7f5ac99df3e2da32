"""The methods posecli knows, by the name that users and weights files call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from posecli.methods.d3dp import D3DP, D3DPConfig
from posecli.methods.ddhpose import DDHPose, DDHPoseConfig
from posecli.methods.mixste import MixSTE, MixSTEConfig
from posecli.methods.stcformer import STCFormer, STCFormerConfig


@dataclass(frozen=True)
class MethodEntry:
    """build: settings, as `config.to_dict()` wrote them → the method with fresh weights, in eval mode.
    Raises ValueError when a setting is unknown or wrong. defaults: every setting of the method.
    """

    title: str
    paper: str
    build: Callable[[dict[str, Any]], nn.Module]
    defaults: dict[str, Any]


METHODS: dict[str, MethodEntry] = {
    "ddhpose": MethodEntry(
        title="DDHPose: disentangled diffusion of bone lengths and directions, over a window of frames",
        paper="Cai et al., AAAI 2024",
        build=lambda settings: DDHPose(DDHPoseConfig.from_dict(settings)).eval(),
        defaults=DDHPoseConfig().to_dict(),
    ),
    "d3dp": MethodEntry(
        title="D3DP: diffusion of the pose, over a window of frames",
        paper="Shan et al., ICCV 2023",
        build=lambda settings: D3DP(D3DPConfig.from_dict(settings)).eval(),
        defaults=D3DPConfig().to_dict(),
    ),
    "mixste": MethodEntry(
        title="MixSTE: attention over joints and frames in turn, over a window of frames",
        paper="Zhang et al., CVPR 2022",
        build=lambda settings: MixSTE(MixSTEConfig.from_dict(settings)).eval(),
        defaults=MixSTEConfig().to_dict(),
    ),
    "stcformer": MethodEntry(
        title="STCFormer: attention over joints and frames side by side, over a window of frames",
        paper="Tang et al., CVPR 2023",
        build=lambda settings: STCFormer(STCFormerConfig.from_dict(settings)).eval(),
        defaults=STCFormerConfig().to_dict(),
    ),
}
