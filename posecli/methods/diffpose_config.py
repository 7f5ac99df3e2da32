"""Settings of DiffPose as the paper tells it; what they mean is told in `posecli.methods.diffpose`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from posecli.diffusion import schedules
from posecli.methods.graformer import GraFormerConfig
from posecli.methods.mixste import MixSTEConfig
from posecli.methods.settings import DEEPEST, Settings

CONTEXTS = ("mixste", "graformer", "none")


@dataclass(frozen=True)
class DiffPoseConfig(Settings):
    """Everything that builds the networks, and the diffusion. Defaults are the paper's where it has one, but for
    schedule, target and covariance.

    context: "mixste" (windows), "graformer" (frames) or "none"; context_model: settings of that method other than
        its defaults, `frames` and `skeleton` being this one's.
    feature: give f_ST to g. z_from: z from the "context" encoder or the training set's "histogram".
    components: M; 0 is the standard diffusion from N(0, I) (equation 4), which knows no heatmaps.
    """

    added: ClassVar[frozenset[str]] = frozenset({"loss", "spread"})

    skeleton: str = "h36m17"
    frames: int = 243  # window T
    context: str = "mixste"
    context_model: dict[str, Any] = field(default_factory=dict)
    feature: bool = True
    z_from: str = "context"
    width: int = 128  # channels of the embedded pose and of f_ST
    blocks: int = 3
    heads: int = 4
    timesteps: int = 50  # K
    schedule: str = "cosine"  # a name in `diffusion.schedules.SCHEDULES`
    target: str = "clean"  # or the paper's "previous", see the module's text
    spread: bool = False  # g is told mean and spread of H_K's samples (ours)
    skip: bool = False  # g's "clean" answer is a change of the context encoder's pose (ours)
    loss: str = "squared"  # equation 9, or the mean "distance" of joints (ours)
    components: int = 5  # M
    covariance: str = "diagonal"  # or the paper's "full"
    samples: int = 1000  # poses drawn from H_K for the fit, N_GMM
    em_iterations: int = 12  # of every eighth frame of a window; the others go on from that one's
    em_follow: int = 4  # iterations of those others
    floor: float = (
        0.005  # metres; how exactly a sample of H_K is known, the least standard deviation of the mixture
    )
    train_frames: int = 4  # frames of each window that a training step diffuses; the context sees all of them
    chains: int = 5  # of each of those frames, N of equation 9
    flip: bool = True  # average with the mirrored pass when lifting (ours)

    def __post_init__(self) -> None:
        self.check_skeleton(self.skeleton)
        self.check_whole("frames", "width", "heads", "timesteps", "samples", "em_iterations", "em_follow")
        self.check_whole("train_frames", "chains")
        self.check_whole("blocks", most=DEEPEST)
        choices = {
            "context": CONTEXTS,
            "z_from": ("context", "histogram"),
            "schedule": tuple(schedules.SCHEDULES),
            "target": ("previous", "clean"),
            "loss": ("squared", "distance"),
            "covariance": ("diagonal", "full"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if not isinstance(self.components, int) or not 0 <= self.components <= 100:
            raise ValueError(f"components must be a whole number from 0 to 100, got {self.components!r}")
        for name in ("feature", "flip", "skip", "spread"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if 2 * self.width % self.heads or self.width % 2:
            raise ValueError(f"width must be even, and twice it a multiple of heads ({self.heads})")
        self.check_positive("floor")
        if self.skip and (self.target != "clean" or self.context == "none"):
            raise ValueError('skip needs target "clean" and a context encoder')
        if self.spread and not (self.feature and self.components):
            raise ValueError(
                "spread goes with feature and with components: there must be a mixture to be told of"
            )
        if self.context == "none" and (self.feature or self.z_from == "context"):
            raise ValueError('without a context encoder feature must be false and z_from "histogram"')
        self.context_config()

    def context_config(self) -> MixSTEConfig | GraFormerConfig | None:
        """Settings of the context encoder. Raises ValueError where `context_model` does not fit."""
        if not isinstance(self.context_model, dict):
            raise ValueError(f"context_model must be a table of settings, got {self.context_model!r}")
        if self.context == "none":
            if self.context_model:
                raise ValueError("context_model has settings, but there is no context encoder")
            return None
        if self.context == "graformer":
            frame = {"skeleton": self.skeleton}
            return GraFormerConfig.from_dict({**GraFormerConfig().to_dict(), **self.context_model, **frame})
        window = {"skeleton": self.skeleton, "frames": self.frames}
        return MixSTEConfig.from_dict({**MixSTEConfig().to_dict(), **self.context_model, **window})
