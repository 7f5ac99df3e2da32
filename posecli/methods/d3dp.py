"""D3DP: diffusion of the pose itself (Shan et al., ICCV 2023), as released. DDHPose's parent.

Symbols: y pose, the state; t its diffusion step; x2d the condition.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posecli.diffusion import gaussian, noise, sampler, schedules
from posecli.methods.common import (
    Losses,
    PoseSampler,
    both_ways,
    check_windows,
    dropout_source,
    flip_averaged,
    position_loss,
)
from posecli.methods.settings import DiffusionSettings
from posecli.nets.mixste import MixSTENet
from posecli.skeleton import SKELETONS, Skeleton


@dataclass(frozen=True)
class D3DPConfig(DiffusionSettings):
    """Everything that builds the network and its sampler. Defaults are the released model's.

    `clamp` also cuts the poses (metres): a raised hand of a tall person reaches it.
    """


@dataclass(frozen=True)
class Step:
    """What one sampling step saw and made, (B, H, T, J, 3) each."""

    t: int
    state: Tensor  # before the step
    noise: Tensor  # estimate of the noise in it
    pose: Tensor  # metres, clamped, root not zeroed
    scale: float  # of states

    @property
    def signals(self) -> tuple[Tensor]:
        return (self.pose * self.scale,)

    @property
    def noises(self) -> tuple[Tensor]:
        return (self.noise,)


class D3DP(PoseSampler):
    """The method: network, forward diffusion with its loss, and sampler. All poses in metres."""

    def __init__(self, config: D3DPConfig) -> None:
        super().__init__()
        self.config = config
        self.skeleton: Skeleton = SKELETONS[config.skeleton]
        self.net = MixSTENet(
            joints=self.skeleton.num_joints,
            frames=config.frames,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            state_channels=3,
            drop_path=config.drop_path,
        )
        self.schedule = schedules.cosine_schedule(config.timesteps)

    @property
    def window(self) -> int:
        return self.config.frames

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> Losses:
        """One training pass: x2d (B, T, J, 2), true pose (B, T, J, 3) in metres with the root at zero. The loss is
        the mean joint distance of the estimated clean pose.

        final_share: see `schedules.training_times`.
        generator draws, in this order: t per clip, noise of the pose, DropPath.
        """
        times = schedules.training_times(
            len(pose), self.config.timesteps, generator=generator, final_share=final_share
        )
        t = times.to(pose.device)
        z = noise.from_generator(generator, pose.device)(tuple(pose.shape))
        state = gaussian.q_sample(pose * self.config.state_scale, t, z, self.schedule)
        inner = dropout_source(generator, pose)
        prediction = self.net(x2d, self._seen(state)[:, None], t, inner)[:, 0]
        return Losses(position_loss(prediction, pose))

    @torch.no_grad()
    def sample(
        self,
        x2d: Tensor,
        *,
        hypotheses: int,
        steps: int,
        draw: noise.Noise,
        flip: bool = True,
        trace: list[Step] | None = None,
    ) -> Tensor:
        """Denoise from pure noise: x2d (B, T, J, 2) → pose (B, H, T, J, 3), metres, root not zeroed.

        draw: asked for (B, H, T, J, 3) at the start and after every step but the last.
        flip: average with the mirrored pass in every step, as released.
        trace: receives a `Step` per step.
        """
        check_windows(x2d, self.window, self.skeleton.num_joints)

        def guess(states: sampler.States, now: int) -> Step:
            t = torch.full((len(x2d),), now, device=x2d.device)
            return self.step(x2d, states[0], t, flip=flip)

        first = draw((x2d.shape[0], hypotheses, *x2d.shape[1:3], 3))
        pose = first
        for step in sampler.ddim(
            (first,), guess, schedule=self.schedule, steps=steps, eta=self.config.eta, draw=draw
        ):
            pose = step.pose
            if trace is not None:
                trace.append(step)
        return pose

    def step(self, x2d: Tensor, state: Tensor, t: Tensor, *, flip: bool = True) -> Step:
        """One network evaluation with the estimates that follow from it; state (B, H, T, J, 3), t (B,)."""
        seen, limit, scale = self._seen(state), self.config.clamp, self.config.state_scale
        if flip:
            mirror = self.skeleton.mirror
            both = self.net(both_ways(x2d, mirror), both_ways(seen, mirror), torch.cat([t, t]))
            pose = flip_averaged(both, mirror)
        else:
            pose = self.net(x2d, seen, t)
        pose = pose.clamp(-limit, limit)
        eps = gaussian.noise_from_x0(state, t, pose * scale, self.schedule)
        return Step(int(t[0]), state, eps, pose, scale)

    def _seen(self, state: Tensor) -> Tensor:
        """A noisy state as the network sees it: in metres, clamped."""
        return (state / self.config.state_scale).clamp(-self.config.clamp, self.config.clamp)
