"""The methods posecli knows, by the name that users and weights files call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from posecli.methods.d3dp import D3DP, D3DPConfig
from posecli.methods.ddhpose import DDHPose, DDHPoseConfig
from posecli.methods.diffpose import DiffPose
from posecli.methods.diffpose_config import DiffPoseConfig
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


def _entry(title: str, paper: str, method: Callable[[Any], nn.Module], config: Any) -> MethodEntry:
    """config: the method's class of settings, which has defaults, `to_dict` and `from_dict`."""
    return MethodEntry(
        title, paper, lambda settings: method(config.from_dict(settings)).eval(), config().to_dict()
    )


METHODS: dict[str, MethodEntry] = {
    "ddhpose": _entry(
        "DDHPose: disentangled diffusion of bone lengths and directions, over a window of frames",
        "Cai et al., AAAI 2024",
        DDHPose,
        DDHPoseConfig,
    ),
    "d3dp": _entry(
        "D3DP: diffusion of the pose, over a window of frames",
        "Shan et al., ICCV 2023",
        D3DP,
        D3DPConfig,
    ),
    "mixste": _entry(
        "MixSTE: attention over joints and frames in turn, over a window of frames",
        "Zhang et al., CVPR 2022",
        MixSTE,
        MixSTEConfig,
    ),
    "stcformer": _entry(
        "STCFormer: attention over joints and frames side by side, over a window of frames",
        "Tang et al., CVPR 2023",
        STCFormer,
        STCFormerConfig,
    ),
    "graformer": _entry(
        "GraFormer: graph convolutions and attention over joints, frame by frame",
        "Zhao et al., CVPR 2022",
        GraFormerLifter,
        GraFormerConfig,
    ),
    "mgcn": _entry(
        "Modulated GCN: graph convolutions with weights modulated by joint, frame by frame",
        "Zou & Tang, ICCV 2021",
        ModulatedGCNLifter,
        ModulatedGCNConfig,
    ),
    "diffpose": _entry(
        "DiffPose as the paper tells it: from heatmaps through a fitted mixture, by frame or window",
        "Gong et al., CVPR 2023",
        DiffPose,
        DiffPoseConfig,
    ),
    "diffpose-official": _entry(
        "DiffPose as its authors' code has it: denoising of a first guess, by frame or window",
        "Gong et al., CVPR 2023",
        DiffPoseOfficial,
        DiffPoseOfficialConfig,
    ),
    "diffupose": _entry(
        "DiffuPose: diffusion of the pose, given its 2D pose, frame by frame",
        "Choi et al., IROS 2023",
        DiffuPose,
        DiffuPoseConfig,
    ),
}
