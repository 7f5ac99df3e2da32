"""Settings that lifters share, checked when built: a damaged weights file must end in words, not in a crash."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from posecli.skeleton import SKELETONS

LARGEST = 10_000
"""Upper limit of every size in a config: a damaged weights file must not ask for all memory."""

DEEPEST = 100
"""Upper limit of what is built over and over, blocks or polynomials: even without memory each takes its time."""

LARGEST_RATIO = 100.0
"""Upper limit of an MLP's width over that of its network."""


@dataclass(frozen=True)
class Settings:
    """A method's config as a weights file keeps it.

    added: fields that weights files from before they existed do not have; their defaults are what was done then.
    """

    added: ClassVar[frozenset[str]] = frozenset()

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises ValueError on an unknown or missing field or a wrong value."""
        names = {field.name for field in dataclasses.fields(cls)}
        unknown, missing = set(values) - names, names - set(values) - cls.added
        if unknown or missing:
            raise ValueError(f"unknown settings {sorted(unknown)}, missing settings {sorted(missing)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def check_skeleton(self, name: str) -> None:
        if name not in SKELETONS:
            raise ValueError(f"skeleton must be one of {sorted(SKELETONS)}, got {name!r}")

    def check_whole(self, *names: str, most: int = LARGEST) -> None:
        """Fields `names` must be whole numbers from 1 to `most`."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}")

    def check_ratio(self, name: str) -> None:
        """Field `name` must be positive and at most `LARGEST_RATIO`."""
        if not 0 < getattr(self, name) <= LARGEST_RATIO:
            raise ValueError(
                f"{name} must be positive and at most {LARGEST_RATIO:g}, got {getattr(self, name)!r}"
            )

    def check_positive(self, *names: str) -> None:
        for name in names:
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")

    def check_not_negative(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)!r}")

    def check_share(self, *names: str, below_one: bool = False) -> None:
        """Fields `names` must lie between 0 and 1."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)!r}")
            if below_one and getattr(self, name) == 1:
                raise ValueError(f"{name} must be below 1")


@dataclass(frozen=True)
class MixSTESettings(Settings):
    """What builds a network of MixSTE's family. Defaults are the released models'."""

    skeleton: str = "h36m17"
    frames: int = 243  # window T
    width: int = 512
    depth: int = 8  # pairs of spatial and temporal blocks
    heads: int = 8
    mlp_ratio: float = 2.0
    drop_path: float = 0.1  # stochastic depth of the last pair, training only

    def __post_init__(self) -> None:
        self.check_skeleton(self.skeleton)
        self.check_whole("frames", "width", "heads")
        self.check_whole("depth", most=DEEPEST)
        if self.width % self.heads or self.width % 2 or self.width < 4:
            raise ValueError(f"width must be even and a multiple of heads ({self.heads}), got {self.width}")
        self.check_ratio("mlp_ratio")
        self.check_share("drop_path", below_one=True)


@dataclass(frozen=True)
class DiffusionSettings(MixSTESettings):
    """The same with the diffusion of D3DP and DDHPose around it."""

    timesteps: int = 1000
    eta: float = 1.0  # randomness of DDIM
    clamp: float = 1.1  # states are cut to ± this before the network sees them
    state_scale: float = 1.0  # states are multiplied by this before noise is added

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_whole("timesteps")
        self.check_positive("clamp", "state_scale")
        self.check_share("eta")
