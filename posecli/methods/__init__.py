"""The methods posecli knows, by the name that users and weights files call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from posecli.methods.ddhpose import DDHPose, DDHPoseConfig


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
}
