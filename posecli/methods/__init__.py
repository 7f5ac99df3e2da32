"""The methods posecli knows, by the name that users and weights files call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from posecli.methods.d3dp import D3DP, D3DPConfig
from posecli.methods.ddhpose import DDHPose, DDHPoseConfig
from posecli.methods.diffpose import DiffPose, DiffPoseConfig
from posecli.methods.diffpose_official import DiffPoseOfficial, DiffPoseOfficialConfig
from posecli.methods.diffupose import DiffuPose, DiffuPoseConfig
from posecli.methods.graformer import GraFormerConfig, GraFormerLifter
from posecli.methods.mgcn import ModulatedGCNConfig, ModulatedGCNLifter
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
    "graformer": MethodEntry(
        title="GraFormer: graph convolutions and attention over joints, frame by frame",
        paper="Zhao et al., CVPR 2022",
        build=lambda settings: GraFormerLifter(GraFormerConfig.from_dict(settings)).eval(),
        defaults=GraFormerConfig().to_dict(),
    ),
    "mgcn": MethodEntry(
        title="Modulated GCN: graph convolutions with weights modulated by joint, frame by frame",
        paper="Zou & Tang, ICCV 2021",
        build=lambda settings: ModulatedGCNLifter(ModulatedGCNConfig.from_dict(settings)).eval(),
        defaults=ModulatedGCNConfig().to_dict(),
    ),
    "diffpose": MethodEntry(
        title="DiffPose as the paper tells it: from heatmaps through a fitted mixture, by frame or window",
        paper="Gong et al., CVPR 2023",
        build=lambda settings: DiffPose(DiffPoseConfig.from_dict(settings)).eval(),
        defaults=DiffPoseConfig().to_dict(),
    ),
    "diffpose-official": MethodEntry(
        title="DiffPose as its authors' code has it: denoising of a first guess, by frame or window",
        paper="Gong et al., CVPR 2023",
        build=lambda settings: DiffPoseOfficial(DiffPoseOfficialConfig.from_dict(settings)).eval(),
        defaults=DiffPoseOfficialConfig().to_dict(),
    ),
    "diffupose": MethodEntry(
        title="DiffuPose: diffusion of the pose, given its 2D pose, frame by frame",
        paper="Choi et al., IROS 2023",
        build=lambda settings: DiffuPose(DiffuPoseConfig.from_dict(settings)).eval(),
        defaults=DiffuPoseConfig().to_dict(),
    ),
}
