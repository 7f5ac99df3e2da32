"""DDHPose: diffusion of bone lengths and bone directions (Cai et al., AAAI 2024), as released.

Symbols: d bone direction, l bone length, y pose; the state of a bone lives in the slot of its child joint, so
that states have a slot per joint and the root's carries no signal. Equation numbers are the paper's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from posecli.diffusion import gaussian, noise, schedules
from posecli.nets.ddhpose import HSTDenoiser
from posecli.skeleton import SKELETONS, Skeleton

SHORTEST_BONE = 1e-8
"""Metres. A bone of no length has no direction; dividing by this instead of zero keeps NaN away."""

LARGEST = 10_000
"""Upper limit of every size in a config: a damaged weights file must not ask for all memory."""


@dataclass(frozen=True)
class DDHPoseConfig:
    """Everything that builds the network and its sampler. Defaults are the released model's where it has one."""

    skeleton: str = "h36m17"
    frames: int = 243  # window T
    width: int = 512
    depth: int = 8  # pairs of spatial and temporal blocks
    heads: int = 8
    mlp_ratio: float = 2.0
    drop_path: float = 0.1  # stochastic depth of the last pair, training only
    timesteps: int = 1000
    eta: float = 1.0  # randomness of DDIM
    clamp: float = 1.1  # states are cut to ± this before the network sees them
    pose_clamp: float = 1.1  # metres; poses are cut to ± this: a raised hand of a tall person reaches it
    state_scale: float = 1.0  # states are multiplied by this before noise is added
    hrtt_layout: str = "official"  # or "paper", see HSTDenoiser
    hrst_over_frames: bool = False  # released behaviour for frames == joints, see HSTDenoiser
    official_slots: bool = False  # 3DHP as released: with several steps, noise is estimated from slots 1…J-1

    def __post_init__(self) -> None:
        if self.skeleton not in SKELETONS:
            raise ValueError(f"skeleton must be one of {sorted(SKELETONS)}, got {self.skeleton!r}")
        if self.hrtt_layout not in ("official", "paper"):
            raise ValueError(f'hrtt_layout must be "official" or "paper", got {self.hrtt_layout!r}')
        for name in ("frames", "width", "depth", "heads", "timesteps"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
                raise ValueError(f"{name} must be a whole number from 1 to {LARGEST}, got {value!r}")
        if self.width % self.heads or self.width % 2 or self.width < 4:
            raise ValueError(f"width must be even and a multiple of heads ({self.heads}), got {self.width}")
        for name in ("mlp_ratio", "clamp", "pose_clamp", "state_scale"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("drop_path", "eta"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)!r}")
        if self.drop_path == 1:
            raise ValueError("drop_path must be below 1")
        if self.hrst_over_frames and self.frames != SKELETONS[self.skeleton].num_joints:
            raise ValueError("hrst_over_frames needs as many frames as joints")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DDHPoseConfig:
        """The inverse of `to_dict`. Raises ValueError on an unknown or missing field or a wrong value."""
        names = {field.name for field in dataclasses.fields(cls)}
        if set(values) != names:
            raise ValueError(
                f"unknown settings {sorted(set(values) - names)}, missing settings {sorted(names - set(values))}"
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Losses:
    """Eq. 8–10 as released; scalars, in the poses' units (metres: position m, length m²)."""

    position: Tensor
    length: Tensor
    direction: Tensor
    total: Tensor

    def objective(self, *, scaled_by_itself: bool = False) -> Tensor:
        """What to call `backward()` on. scaled_by_itself: the released loop hands the loss in as incoming
        gradient, so gradients are loss · ∇loss.
        """
        return self.total * self.total.detach() if scaled_by_itself else self.total


@dataclass(frozen=True)
class Step:
    """What one sampling step saw and made. States and pose have a slot per joint, noise estimates per bone."""

    t: int
    direction: Tensor  # (B, H, T, J, 3) before the step
    length: Tensor  # (B, H, T, J, 1) before the step
    eps_direction: Tensor  # (B, H, T, J-1, 3)
    eps_length: Tensor  # (B, H, T, J-1, 1)
    pose: Tensor  # (B, H, T, J, 3) metres, clamped, root not zeroed


class DDHPose(nn.Module):
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
        """Network on clamped states; shapes as `HSTDenoiser.forward`."""
        return self.net(x2d, direction, length, t, generator)

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> Losses:
        """One training pass: x2d (B, T, J, 2), true pose (B, T, J, 3) in metres with the root at zero.

        final_share: this share of the clips gets the last t, at which sampling begins (ours: with one step, the
            default in use, nothing else counts); the others any t alike, as released.
        generator draws, in this order: t per clip, noise of directions, noise of lengths, DropPath.
        """
        draw = noise.from_generator(generator, pose.device)
        t = torch.randint(
            self.config.timesteps, (len(pose),), generator=generator, device=generator.device
        ).to(pose.device)
        t[: round(final_share * len(t))] = self.config.timesteps - 1
        shape = tuple(pose.shape[:-1])
        direction, length = self.noised_states(pose, t, draw((*shape, 3)), draw((*shape, 1)))
        # DropPath draws where the tokens live; a generator of another device cannot serve it
        inner = generator if generator.device == pose.device else None
        prediction = self.denoise(x2d, direction[:, None], length[:, None], t, inner)[:, 0]
        return self.losses(prediction, pose)

    def losses(
        self, prediction: Tensor, pose: Tensor, *, length_weight: float = 1.0, direction_weight: float = 1.0
    ) -> Losses:
        """Losses of poses (B, T, J, 3) as the released loop computes them.

        Position: mean joint distance (eq. 9). Length: squared difference of the bone lengths' means over the
        window. Direction: squared distance of unit vectors (eq. 8 without its roots).
        """
        direction, length = self.bones(prediction)
        direction_true, length_true = self.bones(pose)
        position = torch.linalg.vector_norm(prediction - pose, dim=-1).mean()
        length_loss = (length_true.mean(dim=1) - length.mean(dim=1)).square().mean()
        direction_loss = (direction_true - direction).square().sum(dim=-1).mean()
        total = position + length_weight * length_loss + direction_weight * direction_loss
        return Losses(position, length_loss, direction_loss, total)

    # Sampling (eq. 4)

    @torch.no_grad()
    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """See `methods.base.Lifter`."""
        draw = noise.from_generator(generator, x2d.device)
        pose = self.sample(x2d, hypotheses=hypotheses, steps=steps, draw=draw)
        return pose - pose[..., self.skeleton.root, None, :]

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
        if x2d.shape[1:] != (self.window, self.skeleton.num_joints, 2):
            raise ValueError(
                f"x2d must be (B, {self.window}, {self.skeleton.num_joints}, 2), got {tuple(x2d.shape)}"
            )
        shape = (x2d.shape[0], hypotheses, *x2d.shape[1:3])
        direction, length = draw((*shape, 3)), draw((*shape, 1))
        times = schedules.sampling_times(self.config.timesteps, steps)
        pose = direction
        for now, then in pairwise(times):
            t = torch.full((len(x2d),), now, device=x2d.device)
            step = self.step(x2d, direction, length, t, flip=flip)
            pose = step.pose
            if trace is not None:
                trace.append(step)
            if then < 0:
                break
            # The root's slots keep their first draw: there is no bone to update them with.
            direction, length = direction.clone(), length.clone()
            bones = self.bones(pose)
            for state, x0, eps in (
                (direction, bones[0], step.eps_direction),
                (length, bones[1], step.eps_length),
            ):
                state[..., self._child, :] = gaussian.ddim_step(
                    x0 * self.config.state_scale,
                    eps,
                    draw(tuple(x0.shape)),
                    t=now,
                    t_next=then,
                    schedule=self.schedule,
                    eta=self.config.eta,
                )
        return pose

    def step(self, x2d: Tensor, direction: Tensor, length: Tensor, t: Tensor, *, flip: bool = True) -> Step:
        """One network evaluation with the estimates that follow from it; t (B,)."""
        pose = self._predict(x2d, self._seen(direction), self._seen(length), t, flip=flip)
        bone_direction, bone_length = (
            x.clamp(-self.config.clamp, self.config.clamp) for x in self.bones(pose)
        )
        scale = self.config.state_scale
        eps = [
            gaussian.noise_from_x0(state[..., self._eps_slots, :], t, x0 * scale, self.schedule)
            for state, x0 in ((direction, bone_direction), (length, bone_length))
        ]
        pose = pose.clamp(-self.config.pose_clamp, self.config.pose_clamp)
        return Step(int(t[0]), direction, length, eps[0], eps[1], pose)

    def _seen(self, state: Tensor) -> Tensor:
        """A noisy state as the network sees it: in metres, clamped."""
        return (state / self.config.state_scale).clamp(-self.config.clamp, self.config.clamp)

    def _predict(self, x2d: Tensor, direction: Tensor, length: Tensor, t: Tensor, *, flip: bool) -> Tensor:
        """Pose (B, H, T, J, 3); with flip, the mean of the pass and the mirrored pass, run as one batch."""
        if not flip:
            return self.denoise(x2d, direction, length, t)
        both = self.denoise(
            torch.cat([x2d, self._mirrored(x2d)]),
            torch.cat([direction, self._mirrored(direction)]),
            torch.cat([length, length[..., self._mirror, :]]),
            torch.cat([t, t]),
        )
        pose, mirrored = both.chunk(2)
        return (pose + self._mirrored(mirrored)) / 2

    def _mirrored(self, x: Tensor) -> Tensor:
        """(..., J, C) seen in a mirror: x negated, left and right swapped."""
        x = x[..., self._mirror, :]
        return torch.cat([-x[..., :1], x[..., 1:]], dim=-1)
