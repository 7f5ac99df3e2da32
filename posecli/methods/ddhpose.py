"""DDHPose: diffusion of bone lengths and bone directions (Cai et al., AAAI 2024), as released.

Symbols: d bone direction, l bone length, y pose; the state of a bone lives in the slot of its child joint, so
that states have a slot per joint and the root's carries no signal. Equation numbers are the paper's.
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
from posecli.nets.ddhpose import HSTDenoiser
from posecli.skeleton import SKELETONS, Skeleton

SHORTEST_BONE = 1e-8
"""Metres. A bone of no length has no direction; dividing by this instead of zero keeps NaN away."""


@dataclass(frozen=True)
class DDHPoseConfig(DiffusionSettings):
    """Everything that builds the network and its sampler. Defaults are the released model's where it has one."""

    pose_clamp: float = 1.1  # metres; poses are cut to ± this: a raised hand of a tall person reaches it
    hrtt_layout: str = "official"  # or "paper", see HSTDenoiser
    hrst_over_frames: bool = False  # released behaviour for frames == joints, see HSTDenoiser
    official_slots: bool = False  # 3DHP as released: with several steps, noise is estimated from slots 1…J-1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("pose_clamp")
        if self.hrtt_layout not in ("official", "paper"):
            raise ValueError(f'hrtt_layout must be "official" or "paper", got {self.hrtt_layout!r}')
        if self.hrst_over_frames and self.frames != SKELETONS[self.skeleton].num_joints:
            raise ValueError("hrst_over_frames needs as many frames as joints")


@dataclass(frozen=True)
class BoneLosses(Losses):
    """Eq. 8–10 as released; in the poses' units (metres: position m, length m²)."""

    position: Tensor
    length: Tensor
    direction: Tensor


@dataclass(frozen=True)
class Step:
    """What one sampling step saw and made. States and pose have a slot per joint, estimates one per bone."""

    t: int
    direction: Tensor  # (B, H, T, J, 3) before the step
    length: Tensor  # (B, H, T, J, 1) before the step
    pose: Tensor  # (B, H, T, J, 3) metres, clamped, root not zeroed
    signals: tuple[Tensor, Tensor]  # directions (B, H, T, J-1, 3) and lengths (B, H, T, J-1, 1) of that pose
    noises: tuple[Tensor, Tensor]  # likewise


class DDHPose(PoseSampler):
    """The method: network, forward diffusion with its losses, and sampler. All poses in metres."""

    def __init__(self, config: DDHPoseConfig) -> None:
        super().__init__()
        self.config = config
        self.skeleton: Skeleton = SKELETONS[config.skeleton]
        self.net = HSTDenoiser(
            parents=self.skeleton.parents,
            frames=config.frames,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            hrtt_layout=config.hrtt_layout,
            hrst_over_frames=config.hrst_over_frames,
            drop_path=config.drop_path,
        )
        self.schedule = schedules.cosine_schedule(config.timesteps)
        parent, child = zip(*self.skeleton.bones, strict=True)
        self._parent, self._child = list(parent), list(child)
        # slots of x_t that the noise estimate is computed from: the bones' own, or the released 3DHP slip
        joints = self.skeleton.num_joints
        self._eps_slots = list(range(1, joints)) if config.official_slots else self._child
        self._mirror = list(self.skeleton.mirror)

    @property
    def window(self) -> int:
        return self.config.frames

    # Bones (eq. 1 and 7)

    def bones(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """pose (..., J, 3) → unit directions (..., J-1, 3) and lengths (..., J-1, 1), in the order of
        `skeleton.bones`, which is that of the child joints.
        """
        vector = pose[..., self._child, :] - pose[..., self._parent, :]
        length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
        return vector / length.clamp_min(SHORTEST_BONE), length

    def _slots(self, bones: Tensor) -> Tensor:
        """(..., J-1, C) per bone → (..., J, C) per joint, zero at the root."""
        joints = bones.new_zeros(*bones.shape[:-2], self.skeleton.num_joints, bones.shape[-1])
        joints[..., self._child, :] = bones
        return joints

    # Training (eq. 2, 3, 7–10)

    def noised_states(
        self, pose: Tensor, t: Tensor, noise_direction: Tensor, noise_length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Forward diffusion of true bones to step t (eq. 3), clamped as the network expects.

        pose (B, T, J, 3), t (B,), noise (B, T, J, 3) and (B, T, J, 1) → states of those shapes.
        """
        direction, length = self.bones(pose)
        scale = self.config.state_scale
        noised = (
            gaussian.q_sample(self._slots(x0) * scale, t, z, self.schedule)
            for x0, z in ((direction, noise_direction), (length, noise_length))
        )
        direction, length = (self._seen(x) for x in noised)
        return direction, length

    def denoise(
        self,
        x2d: Tensor,
        direction: Tensor,
        length: Tensor,
        t: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Network on clamped states direction (B, H, T, J, 3) and length (B, H, T, J, 1); see `HSTDenoiser`."""
        return self.net(x2d, torch.cat([direction, length], dim=-1), t, generator)

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> BoneLosses:
        """One training pass: x2d (B, T, J, 2), true pose (B, T, J, 3) in metres with the root at zero.

        final_share: see `schedules.training_times`.
        generator draws, in this order: t per clip, noise of directions, noise of lengths, DropPath.
        """
        draw = noise.from_generator(generator, pose.device)
        times = schedules.training_times(
            len(pose), self.config.timesteps, generator=generator, final_share=final_share
        )
        t = times.to(pose.device)
        shape = tuple(pose.shape[:-1])
        direction, length = self.noised_states(pose, t, draw((*shape, 3)), draw((*shape, 1)))
        inner = dropout_source(generator, pose)
        prediction = self.denoise(x2d, direction[:, None], length[:, None], t, inner)[:, 0]
        return self.losses(prediction, pose)

    def losses(
        self, prediction: Tensor, pose: Tensor, *, length_weight: float = 1.0, direction_weight: float = 1.0
    ) -> BoneLosses:
        """Losses of poses (B, T, J, 3) as the released loop computes them.

        Position: mean joint distance (eq. 9). Length: squared difference of the bone lengths' means over the
        window. Direction: squared distance of unit vectors (eq. 8 without its roots).
        """
        direction, length = self.bones(prediction)
        direction_true, length_true = self.bones(pose)
        position = position_loss(prediction, pose)
        length_loss = (length_true.mean(dim=1) - length.mean(dim=1)).square().mean()
        direction_loss = (direction_true - direction).square().sum(dim=-1).mean()
        total = position + length_weight * length_loss + direction_weight * direction_loss
        return BoneLosses(total, position, length_loss, direction_loss)

    # Sampling (eq. 4)

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

        draw: asked for directions (B, H, T, J, 3), lengths (B, H, T, J, 1), then after every step but the
            last for directions and lengths of the bones, (B, H, T, J-1, ·).
        flip: average with the mirrored pass in every step, as released.
        trace: receives a `Step` per step.
        """
        check_windows(x2d, self.window, self.skeleton.num_joints)
        shape = (x2d.shape[0], hypotheses, *x2d.shape[1:3])
        first = draw((*shape, 3)), draw((*shape, 1))

        def guess(bones: sampler.States, now: int) -> Step:
            # The root's slots keep their first draw: there is no bone to update them with.
            direction, length = (
                state.index_copy(-2, child, new) for state, new in zip(first, bones, strict=True)
            )
            t = torch.full((len(x2d),), now, device=x2d.device)
            return self.step(x2d, direction, length, t, flip=flip)

        child = torch.tensor(self._child, device=x2d.device)
        pose = first[0]
        for step in sampler.ddim(
            tuple(state[..., self._child, :] for state in first),
            guess,
            schedule=self.schedule,
            steps=steps,
            eta=self.config.eta,
            draw=draw,
        ):
            pose = step.pose
            if trace is not None:
                trace.append(step)
        return pose

    def step(self, x2d: Tensor, direction: Tensor, length: Tensor, t: Tensor, *, flip: bool = True) -> Step:
        """One network evaluation with the estimates that follow from it; t (B,)."""
        pose = self._predict(x2d, self._seen(direction), self._seen(length), t, flip=flip)
        scale, limit = self.config.state_scale, self.config.pose_clamp
        eps_direction, eps_length = (
            gaussian.noise_from_x0(
                state[..., self._eps_slots, :],
                t,
                x0.clamp(-self.config.clamp, self.config.clamp) * scale,
                self.schedule,
            )
            for state, x0 in zip((direction, length), self.bones(pose), strict=True)
        )
        pose = pose.clamp(-limit, limit)
        bone_direction, bone_length = self.bones(pose)
        return Step(
            t=int(t[0]),
            direction=direction,
            length=length,
            pose=pose,
            signals=(bone_direction * scale, bone_length * scale),
            noises=(eps_direction, eps_length),
        )

    def _seen(self, state: Tensor) -> Tensor:
        """A noisy state as the network sees it: in metres, clamped."""
        return (state / self.config.state_scale).clamp(-self.config.clamp, self.config.clamp)

    def _predict(self, x2d: Tensor, direction: Tensor, length: Tensor, t: Tensor, *, flip: bool) -> Tensor:
        """Pose (B, H, T, J, 3); with flip, the mean of the pass and the mirrored pass, run as one batch."""
        if not flip:
            return self.denoise(x2d, direction, length, t)
        both = self.denoise(
            both_ways(x2d, self._mirror),
            both_ways(direction, self._mirror),
            torch.cat([length, length[..., self._mirror, :]]),
            torch.cat([t, t]),
        )
        return flip_averaged(both, self._mirror)
