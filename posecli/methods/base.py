"""What lifting asks of a method, whatever its paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from posecli.diffusion.noise import Noise
from posecli.errors import UsageError
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


def usual_steps(lifter: Lifter) -> int:
    """Denoising steps that a method takes where nobody says how many: its own `default_steps`, or one."""
    return int(getattr(lifter, "default_steps", 1))


def chosen_steps(name: str, lifter: Lifter, asked: int | None) -> int:
    """Denoising steps to take: as many as asked, or as usual. name: of the method. Raises UsageError where it has not
    so many."""
    steps = asked or usual_steps(lifter)
    most = lifter.config.to_dict().get("timesteps", steps)
    if steps > most:
        raise UsageError(f"{name} denoises in at most {most} steps, not {steps}")
    return steps


def usual_hypotheses(lifter: Lifter) -> int:
    """Hypotheses that a method takes where nobody says how many: its own `default_hypotheses`, or one."""
    return int(getattr(lifter, "default_hypotheses", 1))


@runtime_checkable
class DrawsNoise(Lifter, Protocol):
    """A lifter whose noise can be handed in frame by frame, so that overlapping windows share it."""

    def lift_drawing(self, x2d: Tensor, *, hypotheses: int, steps: int, draw: Noise) -> Tensor:
        """`lift_windows` with noise from `draw`, which is asked for shapes (B, H, T, ...) only."""


@runtime_checkable
class HeatmapLifter(Lifter, Protocol):
    """A lifter that starts from all the places where a joint may be, not from one guess of each."""

    @property
    def cloud_size(self) -> int:
        """Places S that it wants of each joint and frame; 0 where its settings make it do without."""

    def lift_windows(
        self,
        x2d: Tensor,
        *,
        hypotheses: int,
        steps: int,
        generator: torch.Generator,
        cloud: Tensor | None = None,
    ) -> Tensor:
        """`Lifter.lift_windows`. cloud: (B, T, J, S, 2), places of the joints drawn from their heatmaps, in the units
        of x2d; without it the lifter makes do with Gaussians about x2d. Windows of one clip share their draws where
        the generator comes in the same state.
        """


class Clouds(Protocol):
    """Where the joints of B windows may be, drawn when asked for."""

    def draw(self, frames: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """frames: (B, F) indices of frames in each window. Returns places (B, F, J, S, 2) in the units of the windows'
        x2d, S = `count`.
        """

    def of(self, windows: slice) -> Clouds:
        """Those of some of the windows."""


class Objective(Protocol):
    """Losses of one training pass; `objective()` is what `backward` is called on."""

    def objective(self) -> Tensor: ...


class Trainable(Lifter, Protocol):
    """A lifter that is a torch module and knows its loss."""

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> Objective: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...

    def train(self, mode: bool = True) -> Any: ...

    def eval(self) -> Any: ...
