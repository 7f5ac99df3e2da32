"""DiffuPose: diffusion of single 3D poses, given their 2D pose (Choi et al., IROS 2023), as released.

The released evaluation afterwards replaces x and y by a back-projection with the true root's depth; the method is
what comes before that. Equation numbers are the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posecli.diffusion import gaussian, noise, sampler, schedules
from posecli.errors import UsageError
from posecli.methods.common import Losses, both_ways, check_windows, flip_averaged
from posecli.methods.frames import NetworkJoints
from posecli.methods.settings import DEEPEST, Settings
from posecli.nets.diffupose import DiffuPoseNet
from posecli.skeleton import Skeleton

_JOINT_WEIGHTS = {"Knee": 2.0, "Elbow": 2.0, "Ankle": 4.0, "Wrist": 4.0, "Neck/Nose": 2.0}
"""Weights of joints in the loss, by the name without its side; all others count 1 (as released)."""


@dataclass(frozen=True)
class DiffuPoseConfig(Settings):
    """Everything that builds the network and its sampler. Defaults are the released model's for 17 joints
    (the paper's own models work on "h36m16")."""

    skeleton: str = "h36m17"
    width: int = 384
    depth: int = 4  # residual blocks
    timesteps: int = 100
    schedule: str = "cosine"  # or "linear"
    clamp: float = 1.0  # metres; estimates of the clean pose are cut to ± this in every step
    eta: float = 0.0  # randomness of DDIM; with as many steps as `timesteps` it is DDPM instead
    flip: bool = True  # average every hypothesis with one of the mirrored input, of noise of its own
    loss: str = "l1"  # or "l2"
    recon_weight: float = 0.8  # of the rebuilt 2D input in the loss (λ, eq. 10)
    weighted_joints: bool = True  # the further from the trunk, the more a joint counts in the loss

    def __post_init__(self) -> None:
        self.check_skeleton(self.skeleton)
        self.check_whole("width", "timesteps")
        self.check_whole("depth", most=DEEPEST)
        if self.width % 16 or self.width < 32:
            raise ValueError(f"width must be a multiple of 16 and at least 32, got {self.width}")
        if self.schedule not in schedules.SCHEDULES:
            raise ValueError(f"schedule must be one of {sorted(schedules.SCHEDULES)}, got {self.schedule!r}")
        if self.loss not in ("l1", "l2"):
            raise ValueError(f'loss must be "l1" or "l2", got {self.loss!r}')
        self.check_positive("clamp")
        self.check_share("eta")
        self.check_not_negative("recon_weight")


@dataclass(frozen=True)
class DiffuPoseLosses(Losses):
    """Eq. 10. unweighted: the same without weights of joints."""

    unweighted: Tensor


@dataclass(frozen=True)
class Step:
    """What one sampling step saw and made; all (N, J, 3) in metres."""

    t: int
    state: Tensor  # before the step
    pose: Tensor  # estimate of the clean pose, clamped
    signals: tuple[Tensor]
    noises: tuple[Tensor]


class DiffuPose(nn.Module):
    """The method: network, forward diffusion with its loss, and sampler. All poses in metres."""

    window = 1
    default_hypotheses = 5
    default_steps = 5  # of 100; costs 3.1 mm with one hypothesis, 0.4 mm with ten (table VI)
    joint_weights: Tensor

    def __init__(self, config: DiffuPoseConfig) -> None:
        super().__init__()
        self.config = config
        self.joints = NetworkJoints.named(config.skeleton)
        body = self.joints.network
        self.net = DiffuPoseNet(parents=body.parents, width=config.width, depth=config.depth)
        self.schedule = schedules.SCHEDULES[config.schedule](config.timesteps)
        weights = [_JOINT_WEIGHTS.get(name.lstrip("LR"), 1.0) for name in body.joint_names]
        self.register_buffer("joint_weights", torch.tensor(weights), persistent=False)

    @property
    def skeleton(self) -> Skeleton:
        return self.joints.lifted

    # Training (eq. 2, 8–10)

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> DiffuPoseLosses:
        """One training pass: x2d (B, T, J, 2), true pose (B, T, J, 3) in metres with the root at zero; every frame
        of every clip counts as a pose of its own.

        final_share: of no use here, since noise and not the pose is predicted; all t are drawn alike.
        generator draws, in this order: t per pose, noise.
        """
        x2d, pose = (self.joints.drop(x).flatten(0, -3) for x in (x2d, pose))
        t = schedules.training_times(len(pose), self.config.timesteps, generator=generator)
        z = noise.from_generator(generator, pose.device)(tuple(pose.shape))
        return self.losses(x2d, pose, t.to(pose.device), z)

    def losses(self, x2d: Tensor, pose: Tensor, t: Tensor, z: Tensor) -> DiffuPoseLosses:
        """Losses of predicting noise z (N, J, 3) of poses at steps t (N,), and of rebuilding x2d (N, J, 2)."""
        answer = self.net(gaussian.q_sample(pose, t, z, self.schedule), x2d, t)
        error = answer - torch.cat([z, x2d], dim=-1)
        error = error.abs() if self.config.loss == "l1" else error.square()
        error = torch.cat([error[..., :3], self.config.recon_weight * error[..., 3:]], dim=-1)
        weighted = error * self.joint_weights[:, None] if self.config.weighted_joints else error
        return DiffuPoseLosses(weighted.mean(), error.mean())

    # Sampling

    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """See `methods.base.Lifter`. `steps` as many as `timesteps`: DDPM; fewer: DDIM."""
        draw = noise.from_generator(generator, x2d.device)
        return self.lift_drawing(x2d, hypotheses=hypotheses, steps=steps, draw=draw)

    def lift_drawing(self, x2d: Tensor, *, hypotheses: int, steps: int, draw: noise.Noise) -> Tensor:
        """See `methods.base.DrawsNoise`. draw: asked as by `sample`, each time for (B, H, T, J, 3) and, with flip, at
        once for as much again, the mirrored chain's; J the network's joints. Raises UsageError for a single step."""
        check_windows(x2d, self.window, self.skeleton.num_joints)
        if steps < 2:
            raise UsageError(
                "DiffuPose predicts noise, and one step from noise alone is no pose; use 5 or more"
            )
        mirror = self.joints.network.mirror
        shape = (len(x2d), hypotheses, self.window)

        def twice(flat: tuple[int, ...]) -> Tensor:
            chains = 2 if self.config.flip else 1
            return torch.cat([draw((*shape, *flat[1:])).flatten(0, 2) for _ in range(chains)])

        frames = self.joints.drop(x2d)[:, 0].repeat_interleave(hypotheses, dim=0)
        seen = both_ways(frames, mirror) if self.config.flip else frames
        poses = self.sample(seen, steps=steps, draw=twice)
        poses = self.joints.restore(flip_averaged(poses, mirror) if self.config.flip else poses)
        return poses.view(*shape, *poses.shape[1:])

    @torch.no_grad()
    def sample(
        self, x2d: Tensor, *, steps: int, draw: noise.Noise, trace: list[Step] | None = None
    ) -> Tensor:
        """Denoise from pure noise: x2d (N, J, 2) → pose (N, J, 3), metres, root not zeroed.

        draw: asked for the first state, then for the noise of every step but the last, all (N, J, 3).
        trace: receives a `Step` per step.
        """
        # DDIM with eta 1 over all steps, its noise estimate taken from the clamped pose, is DDPM's posterior
        eta = 1.0 if steps == self.config.timesteps else self.config.eta

        def guess(states: sampler.States, now: int) -> Step:
            (state,) = states
            t = torch.full((len(x2d),), now, device=x2d.device)
            eps = self.net(state, x2d, t)[..., :3]
            pose = gaussian.x0_from_noise(state, t, eps, self.schedule)
            pose = pose.clamp(-self.config.clamp, self.config.clamp)
            eps = gaussian.noise_from_x0(state, t, pose, self.schedule)
            return Step(now, state, pose, (pose,), (eps,))

        pose = start = draw((*x2d.shape[:-1], 3))
        for step in sampler.ddim((start,), guess, schedule=self.schedule, steps=steps, eta=eta, draw=draw):
            pose = step.pose
            if trace is not None:
                trace.append(step)
        return pose
