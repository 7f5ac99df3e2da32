"""D3PRefiner (Yan et al., 2024): a lifter's answer and its 2D poses in, a better answer out.

No code of the paper was released; where it contradicts itself see `refine.diffusion` and `refine.noise`. Three
settings are the paper's own ablation (Table III): without diffusion, without the conditional distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from posecli.diffusion.schedules import cosine_schedule, training_times
from posecli.methods.common import Losses, both_ways, dropout_source, flip_averaged
from posecli.methods.settings import DEEPEST, Settings
from posecli.methods.stcformer import body_parts
from posecli.nets.d3prefiner import PoseDenoiser
from posecli.refine.diffusion import denoise, noisy_state
from posecli.refine.noise import NoiseModel, white_noise
from posecli.skeleton import SKELETONS, Skeleton

NORMALISATIONS = ("joints", "mean")
_SWITCHES = ("diffusion", "conditional", "named_joints")


@dataclass(frozen=True)
class D3PRefinerConfig(Settings):
    """Everything that builds the network. Defaults are the paper's.

    depth: denoising blocks L, of two criss-cross modules each (the paper's 4 in section IV-A, 8 in IV-D).
    steps: K of DDIM. diffusion: without it the error is guessed once, from the noisy pose alone.
    conditional: train on errors drawn from the noise model; without it on the lifter's very errors.
    temporal_rho: correlation of drawn errors from frame to frame (ours; the paper has 0).
    normalise: the network gives errors over their root mean square by joint and axis ("joints"), or over the mean
        size of all ("mean"): the paper's "normalised by its average value" may be either.
    named_joints: see `posecli.nets.d3prefiner.PoseDenoiser` (ours).
    reach: see there too (ours).
    motion: how much the loss minds what is wrong with the error's bending in time, its second difference, beside
        what is wrong with the error: each as a part of what there is to be found (ours; the paper has 0).
    strength: how much of the correction is made (ours). Training finds it on people whom it did not fit, on whom a
        lifter errs otherwise than on those it did (`posecli.refine.strength`).
    """

    added: ClassVar[frozenset[str]] = frozenset({"reach", "strength"})

    skeleton: str = "h36m17"
    frames: int = 81  # window T
    width: int = 256
    depth: int = 4
    heads: int = 8
    mlp_ratio: float = 4.0
    dropout: float = 0.0  # of the MLPs, training only
    timesteps: int = 50
    steps: int = 2
    diffusion: bool = True
    conditional: bool = True
    temporal_rho: float = 0.0
    normalise: str = "joints"
    named_joints: bool = False
    reach: int = 0
    motion: float = 0.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        self.check_skeleton(self.skeleton)
        self.check_whole("frames", "width", "heads", "timesteps", "steps")
        self.check_whole("depth", most=DEEPEST)
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of twice heads ({2 * self.heads}), got {self.width}")
        self.check_ratio("mlp_ratio")
        self.check_not_negative("motion")
        self.check_share("dropout", "temporal_rho", below_one=True)
        self.check_share("strength")
        whole = isinstance(self.reach, int) and not isinstance(self.reach, bool)
        if not (whole and 0 <= self.reach < self.frames):
            raise ValueError(f"reach must be a whole number from 0 to below frames, got {self.reach!r}")
        if self.steps > self.timesteps:
            raise ValueError(f"steps must be at most timesteps ({self.timesteps}), got {self.steps}")
        if not all(isinstance(getattr(self, name), bool) for name in _SWITCHES):
            raise ValueError(f"{', '.join(_SWITCHES)} must be true or false")
        if self.normalise not in NORMALISATIONS:
            raise ValueError(f"normalise must be one of {', '.join(NORMALISATIONS)}, got {self.normalise!r}")


class D3PRefiner(nn.Module):
    """Network, loss and refining. Poses in metres, relative to the root, whose own position stays zero."""

    scale: Tensor

    def __init__(self, config: D3PRefinerConfig) -> None:
        super().__init__()
        self.config = config
        self.skeleton: Skeleton = SKELETONS[config.skeleton]
        self.schedule = cosine_schedule(config.timesteps)
        self.net = PoseDenoiser(
            parts=body_parts(self.skeleton),
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            dropout=config.dropout,
            named_joints=config.named_joints,
            reach=config.reach,
        )
        self.register_buffer("scale", torch.ones(self.skeleton.num_joints, 3))

    @property
    def window(self) -> int:
        return self.config.frames

    def set_scale(self, error: Tensor) -> None:
        """Take the unit of the network's answers from errors (..., J, 3), metres, of the training set."""
        flat = error.reshape(-1, *error.shape[-2:]).double()
        size = flat.square().mean(dim=0).sqrt()
        if self.config.normalise == "mean":
            size = flat[:, self._joints].abs().mean().expand_as(size)
        self.scale.copy_(size.clamp(min=1e-6))

    def loss(
        self,
        x2d: Tensor,
        noisy: Tensor,
        pose: Tensor,
        *,
        noise: NoiseModel,
        generator: torch.Generator,
    ) -> Losses:
        """Equation 7: the mean length of what is wrong with the guessed error, in units of `scale`; and of how that
        bends in time, where the settings ask for it.

        x2d (B, T, J, 2), a lifter's answer and the truth (B, T, J, 3). generator: of steps and errors.
        """
        error = self._error(x2d, noisy, pose, noise, generator)
        if self.config.diffusion:
            t = training_times(len(pose), self.config.timesteps, generator=generator).to(pose.device)
            state = noisy_state(pose, error, t, self.schedule)
        else:
            t = torch.full((len(pose),), self.config.timesteps - 1, device=pose.device)
            state = pose + error
        guess = self.net(x2d, state, t, dropout_source(generator, pose))
        real = (error / self.scale)[..., self._joints, :]
        wrong = real - guess[..., self._joints, :]
        total = torch.linalg.vector_norm(wrong, dim=-1).mean()
        if self.config.motion and wrong.shape[1] > 2:
            left, there = (torch.linalg.vector_norm(x.diff(n=2, dim=1), dim=-1).mean() for x in (wrong, real))
            total = total + self.config.motion * left / there.clamp(min=1e-6)
        return Losses(total)

    @torch.no_grad()
    def refine(self, x2d: Tensor, noisy: Tensor) -> Tensor:
        """x2d (B, T, J, 2) normalised, noisy (B, T, J, 3) → refined (B, T, J, 3): the mean of the pass and of the
        mirrored pass. Nothing is random. Any T; `window` is the one trained for.
        """
        joints = self.skeleton.num_joints
        if x2d.ndim != 4 or x2d.shape[2:] != (joints, 2) or noisy.shape != (*x2d.shape[:3], 3):
            raise ValueError(
                f"x2d and noisy must be (B, T, {joints}, 2) and (B, T, {joints}, 3), "
                f"got {tuple(x2d.shape)} and {tuple(noisy.shape)}"
            )
        mirror = self.skeleton.mirror
        x2d, noisy = both_ways(x2d, mirror), both_ways(noisy, mirror)
        if self.config.diffusion:
            refined = denoise(
                noisy,
                lambda state, t: self.error(x2d, state, t),
                schedule=self.schedule,
                steps=self.config.steps,
            )
        else:
            refined = noisy - self.error(x2d, noisy, self.config.timesteps - 1)
        refined = noisy + self.config.strength * (refined - noisy)
        return flip_averaged(refined, mirror)

    def error(self, x2d: Tensor, state: Tensor, t: int) -> Tensor:
        """The error guessed in a state (B, T, J, 3) at t, metres, zero at the root."""
        guess = self.net(x2d, state, torch.full((len(state),), t, device=state.device)) * self.scale
        guess[..., self.skeleton.root, :] = 0
        return guess

    @property
    def _joints(self) -> list[int]:
        """All but the root."""
        return [j for j in range(self.skeleton.num_joints) if j != self.skeleton.root]

    def _error(
        self, x2d: Tensor, noisy: Tensor, pose: Tensor, noise: NoiseModel, generator: torch.Generator
    ) -> Tensor:
        if not self.config.conditional:
            return noisy - pose
        white = white_noise(
            noisy.shape[0],
            noisy.shape[1],
            len(noise.error_mean),
            generator=generator,
            rho=self.config.temporal_rho,
        )
        # On the CPU, where every machine has float64: it is little beside the network.
        error = noise.sample(x2d.cpu(), noisy.cpu(), white.cpu())
        return error.to(noisy.dtype).to(noisy.device)
