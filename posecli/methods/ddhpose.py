"""DDHPose: diffusion of bone lengths and bone directions (Cai et al., AAAI 2024), as released.

Symbols: d bone direction, l bone length, y pose; the state of a bone lives in the slot of its child joint, so
that states have a slot per joint and the root's carries no signal. Equation numbers are the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn

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
from posecli.nets import hierarchy
from posecli.nets.ddhpose import HSTDenoiser
from posecli.skeleton import SKELETONS, Skeleton

HRTT = ("official", "paper", "off")
SHORTEST_BONE = 1e-8
"""Metres. A bone of no length has no direction; dividing by this instead of zero keeps NaN away."""


@dataclass(frozen=True)
class DDHPoseConfig(DiffusionSettings):
    """Everything that builds the network and its sampler. Defaults are the released model's where it has one.

    The last six are what the paper's tables 4 to 6 take away or put in.
    """

    pose_clamp: float = 1.1  # metres; poses are cut to ± this: a raised hand of a tall person reaches it
    hrtt_layout: str = "official"  # or "paper", or "off", see HSTDenoiser
    hrst_over_frames: bool = False  # released behaviour for frames == joints, see HSTDenoiser
    official_slots: bool = False  # 3DHP as released: with several steps, noise is estimated from slots 1…J-1
    disentangled_input: bool = True  # noise on bone directions and lengths; without, on the joints
    disentangled_output: bool = False  # the network answers bones, of which the pose is chained from the root
    hierarchy_embedding: bool = True  # see HSTDenoiser, as the next
    hrst: bool = True
    length_weight: float = 1.0  # of the disentanglement loss's two parts
    direction_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("pose_clamp")
        self.check_not_negative("length_weight", "direction_weight")
        if self.hrtt_layout not in HRTT:
            raise ValueError(f"hrtt_layout must be one of {', '.join(HRTT)}, got {self.hrtt_layout!r}")
        for field in fields(self):
            if field.type == "bool" and not isinstance(getattr(self, field.name), bool):
                raise ValueError(f"{field.name} must be true or false, got {getattr(self, field.name)!r}")
        if self.hrst_over_frames and self.frames != SKELETONS[self.skeleton].num_joints:
            raise ValueError("hrst_over_frames needs as many frames as joints")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """See `Settings`. Files from before the settings of the ablations do without them."""
        later = fields(cls)[[f.name for f in fields(cls)].index("disentangled_input") :]
        return super().from_dict({f.name: f.default for f in later} | values)


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
    states: sampler.States  # before the step: directions (B, H, T, J, 3) and lengths (B, H, T, J, 1)
    pose: Tensor  # (B, H, T, J, 3) metres, clamped, root not zeroed
    signals: sampler.States  # of that pose, without the root: (B, H, T, J-1, ·)
    noises: sampler.States  # likewise


class DDHPose(PoseSampler):
    """The method: network, forward diffusion with its losses, and sampler. All poses in metres.

    States are the pair of bone directions and lengths; without `disentangled_input` the joints' places alone.
    """

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
            state_channels=4 if config.disentangled_input else 3,
            outputs=4 if config.disentangled_output else 3,
            hierarchy_embedding=config.hierarchy_embedding,
            hrst=config.hrst,
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
        self._channels = (3, 1) if config.disentangled_input else (3,)  # of each state
        level = hierarchy.levels(self.skeleton.parents)
        self._outwards = sorted(self.skeleton.bones, key=lambda bone: level[bone[1]])

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

    def diffused(self, pose: Tensor) -> sampler.States:
        """What of pose (..., J, 3) noise is added to, entries (..., J-1, C) in the order of the child joints."""
        if self.config.disentangled_input:
            return self.bones(pose)
        return (pose[..., self._child, :] - pose[..., [self.skeleton.root], :],)

    def chained(self, answer: Tensor) -> Tensor:
        """Directions (of any length) and lengths (..., J, 4) → the pose (..., J, 3) of these bones, its root zero."""
        bone = nn.functional.normalize(answer[..., :3], dim=-1, eps=SHORTEST_BONE) * answer[..., 3:]
        places = [torch.zeros_like(bone[..., 0, :])] * self.skeleton.num_joints
        for parent, child in self._outwards:
            places[child] = places[parent] + bone[..., child, :]
        return torch.stack(places, dim=-2)

    def _slots(self, bones: Tensor) -> Tensor:
        """(..., J-1, C) per bone → (..., J, C) per joint, zero at the root."""
        joints = bones.new_zeros(*bones.shape[:-2], self.skeleton.num_joints, bones.shape[-1])
        joints[..., self._child, :] = bones
        return joints

    # Training (eq. 2, 3, 7–10)

    def noised_states(self, pose: Tensor, t: Tensor, noises: sampler.States) -> sampler.States:
        """Forward diffusion of true bones to step t (eq. 3), clamped as the network expects.

        pose (B, T, J, 3), t (B,), noises (B, T, J, 3) and (B, T, J, 1) → states of those shapes.
        """
        scale = self.config.state_scale
        return tuple(
            self._seen(gaussian.q_sample(self._slots(x0) * scale, t, z, self.schedule))
            for x0, z in zip(self.diffused(pose), noises, strict=True)
        )

    def denoise(
        self, x2d: Tensor, states: sampler.States, t: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Network on clamped states (B, H, T, J, 3) and (B, H, T, J, 1) → pose (B, H, T, J, 3); see `HSTDenoiser`."""
        answer = self.net(x2d, torch.cat(states, dim=-1), t, generator)
        return self.chained(answer) if self.config.disentangled_output else answer

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
        noises = tuple(draw((*pose.shape[:-1], channels)) for channels in self._channels)
        states = tuple(state[:, None] for state in self.noised_states(pose, t, noises))
        prediction = self.denoise(x2d, states, t, dropout_source(generator, pose))[:, 0]
        return self.losses(prediction, pose)

    def losses(self, prediction: Tensor, pose: Tensor) -> BoneLosses:
        """Losses of poses (B, T, J, 3) as the released loop computes them.

        Position: mean joint distance (eq. 9). Length: squared difference of the bone lengths' means over the
        window. Direction: squared distance of unit vectors (eq. 8 without its roots).
        """
        direction, length = self.bones(prediction)
        direction_true, length_true = self.bones(pose)
        position = position_loss(prediction, pose)
        length_loss = (length_true.mean(dim=1) - length.mean(dim=1)).square().mean()
        direction_loss = (direction_true - direction).square().sum(dim=-1).mean()
        parts = self.config.length_weight * length_loss, self.config.direction_weight * direction_loss
        total = position + parts[0] + parts[1]
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
        first = tuple(draw((*shape, channels)) for channels in self._channels)

        def guess(bones: sampler.States, now: int) -> Step:
            # The root's slots keep their first draw: there is no bone to update them with.
            states = tuple(state.index_copy(-2, child, new) for state, new in zip(first, bones, strict=True))
            t = torch.full((len(x2d),), now, device=x2d.device)
            return self.step(x2d, states, t, flip=flip)

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

    def step(self, x2d: Tensor, states: sampler.States, t: Tensor, *, flip: bool = True) -> Step:
        """One network evaluation with the estimates that follow from it; t (B,)."""
        pose = self._predict(x2d, tuple(map(self._seen, states)), t, flip=flip)
        scale, limit = self.config.state_scale, self.config.pose_clamp
        noises = tuple(
            gaussian.noise_from_x0(
                state[..., self._eps_slots, :],
                t,
                x0.clamp(-self.config.clamp, self.config.clamp) * scale,
                self.schedule,
            )
            for state, x0 in zip(states, self.diffused(pose), strict=True)
        )
        pose = pose.clamp(-limit, limit)
        return Step(int(t[0]), states, pose, tuple(x0 * scale for x0 in self.diffused(pose)), noises)

    def _seen(self, state: Tensor) -> Tensor:
        """A noisy state as the network sees it: in metres, clamped."""
        return (state / self.config.state_scale).clamp(-self.config.clamp, self.config.clamp)

    def _predict(self, x2d: Tensor, states: sampler.States, t: Tensor, *, flip: bool) -> Tensor:
        """Pose (B, H, T, J, 3); with flip, the mean of the pass and the mirrored pass, run as one batch."""
        if not flip:
            return self.denoise(x2d, states, t)
        mirror = self._mirror
        twice = tuple(  # lengths have no side to be negated
            both_ways(s, mirror) if s.shape[-1] > 1 else torch.cat([s, s[..., mirror, :]]) for s in states
        )
        return flip_averaged(self.denoise(both_ways(x2d, mirror), twice, torch.cat([t, t])), mirror)
