"""What lifting asks of a method, whatever its paper."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from posecli.skeleton import Skeleton


class Config(Protocol):
    """A frozen dataclass that says everything needed to build the network again."""

    def to_dict(self) -> dict[str, Any]: ...


class Lifter(Protocol):
    """A method that turns windows of 2D joints into hypotheses of 3D motion."""

    @property
    def window(self) -> int:
        """Frames T in a window; `lift_windows` takes no other number."""

    @property
    def skeleton(self) -> Skeleton: ...

    @property
    def config(self) -> Config: ...

    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """x2d (B, T, J, 2) normalised (x right, y down, about the middle of image or box) →
        poses (B, H, T, J, 3), metres, camera axes, relative to the root, whose own position is zero.
        """
