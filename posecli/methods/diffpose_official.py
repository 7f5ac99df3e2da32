"""DiffPose as its authors released it (Gong et al., CVPR 2023), for single frames and for video.

Not the method of the paper: there is no heatmap and no mixture. A first network guesses the pose; a second, trained
to predict noise in (u, v, x, y, z) per joint, takes a few deterministic DDIM steps from that guess, to which no
noise was added. All hypotheses are therefore the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from posecli.diffusion import gaussian, noise, sampler, schedules
from posecli.errors import UsageError
from posecli.methods.common import (
    Losses,
    both_ways,
    check_windows,
    dropout_source,
    flip_averaged,
    position_loss,
)
from posecli.methods.frames import NetworkJoints
from posecli.methods.settings import DEEPEST, Settings
from posecli.nets.diffpose import GraFormerNoise
from posecli.nets.graformer import GraFormer
from posecli.nets.mixste import MixSTENet
from posecli.skeleton import Skeleton


@dataclass(frozen=True)
class DiffPoseOfficialConfig(Settings):
    """Everything that builds both networks and the sampler. Defaults are the released frame model's for detected
    2D; for its true 2D `reach` is 12, for its video model 1 (with frames 243).

    frames: 1: GraFormer makes the first guess, of each frame by itself. More: MixSTE does, of windows so long, with
        flip averaging; its sizes are mixste_width, mixste_depth, mixste_heads and mixste_mlp_ratio.
    reach: the noise that the first guess is taken to hold; of `steps` steps the first is at
        (steps - 1) · (reach // steps), so that with 24, as released, two steps begin at 12 and a single one at 0.
    uv_noise: standard deviation of training noise in the 2D channels, of that in the others (ours for frames, where
        the release takes it from a file of mixtures; released for video).
    """

    skeleton: str = "h36m17"
    frames: int = 1
    width: int = 96
    step_width: int = 384  # of the step embedding
    depth: int = 5
    heads: int = 4
    order: int = 2  # of the Chebyshev polynomials
    dropout: float = 0.25  # see `GraFormerConfig`
    conv_dropout: float = 0.1
    mixste_width: int = 512
    mixste_depth: int = 8
    mixste_heads: int = 8
    mixste_mlp_ratio: float = 2.0
    timesteps: int = 51
    beta_start: float = 1e-4
    beta_end: float = 1e-3
    reach: int = 24
    eta: float = 0.0  # randomness of DDIM
    uv_noise: float = 0.5

    def __post_init__(self) -> None:
        self.check_skeleton(self.skeleton)
        self.check_whole(
            "frames", "width", "step_width", "heads", "mixste_width", "mixste_heads", "timesteps", "reach"
        )
        self.check_whole("depth", "order", "mixste_depth", most=DEEPEST)
        if self.width % self.heads or self.width % 2 or self.width < 4:
            raise ValueError(f"width must be even and a multiple of heads ({self.heads}), got {self.width}")
        if self.mixste_width % self.mixste_heads:
            raise ValueError(f"mixste_width must be a multiple of mixste_heads ({self.mixste_heads})")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(
                f"0 < beta_start <= beta_end < 1 must hold, got {self.beta_start!r} and {self.beta_end!r}"
            )
        if self.reach > self.timesteps:
            raise ValueError(f"reach must be at most timesteps ({self.timesteps}), got {self.reach}")
        self.check_ratio("mixste_mlp_ratio")
        self.check_share("dropout", "conv_dropout", below_one=True)
        self.check_share("eta", "uv_noise")


@dataclass(frozen=True)
class DiffPoseLosses(Losses):
    """guess: of the first network (frame: squared error, video: joint distance). noise: of the second, as released a
    sum over joints and channels; the total takes its mean, lest clipped gradients be the second's alone."""

    guess: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Step:
    """What one sampling step saw and made; all (N, J, 5): u, v normalised, x, y, z metres."""

    t: int
    state: Tensor  # before the step
    signals: tuple[Tensor]
    noises: tuple[Tensor]


class DiffPoseOfficial(nn.Module):
    """The method: both networks, their losses, the sampler. All poses in metres."""

    def __init__(self, config: DiffPoseOfficialConfig) -> None:
        super().__init__()
        self.config = config
        self.default_steps = min(2, config.reach)  # the released tests': two for frames, one for video
        self.joints = NetworkJoints.named(config.skeleton)
        body = self.joints.network
        graformer: dict[str, Any] = {
            "parents": body.parents,
            "width": config.width,
            "depth": config.depth,
            "heads": config.heads,
            "order": config.order,
            "dropout": config.dropout,
            "conv_dropout": config.conv_dropout,
        }
        self.guesser: GraFormer | MixSTENet
        if config.frames == 1:
            self.guesser = GraFormer(**graformer)
        else:
            self.guesser = MixSTENet(
                joints=body.num_joints,
                frames=config.frames,
                width=config.mixste_width,
                depth=config.mixste_depth,
                heads=config.mixste_heads,
                mlp_ratio=config.mixste_mlp_ratio,
            )
        self.net = GraFormerNoise(step_width=config.step_width, **graformer)
        self.schedule = schedules.linear_schedule(
            config.timesteps, start=config.beta_start, end=config.beta_end
        )

    @property
    def window(self) -> int:
        return self.config.frames

    @property
    def skeleton(self) -> Skeleton:
        return self.joints.lifted

    # Training

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> DiffPoseLosses:
        """One training pass of both networks, which share nothing: x2d (B, T, J, 2), true pose (B, T, J, 3) in
        metres with the root at zero.

        final_share: of no use here, since noise and not the pose is predicted.
        generator draws, in this order: steps, noise, dropout of the first network, of the second.
        """
        x2d, pose = self.joints.drop(x2d), self.joints.drop(pose)
        frames = x2d.shape[:-2].numel()
        t = self.antithetic(
            torch.randint(
                self.config.timesteps, (frames // 2 + 1,), generator=generator, device=generator.device
            ),
            frames,
        ).to(pose.device)
        z = noise.from_generator(generator, pose.device)((frames, pose.shape[-2], 5))
        inner = dropout_source(generator, pose)
        guess = self._guess(x2d, inner)
        guess_loss = (guess - pose).square().mean() if self.config.frames == 1 else position_loss(guess, pose)
        clean = torch.cat([x2d, pose], dim=-1).flatten(0, -3)
        scale = z.new_tensor([self.config.uv_noise, self.config.uv_noise, 1.0, 1.0, 1.0])
        noise_loss = self.noise_loss(clean, t, z * scale, inner)
        total = guess_loss + noise_loss / clean.shape[1:].numel()
        return DiffPoseLosses(total, guess_loss, noise_loss)

    def antithetic(self, drawn: Tensor, count: int) -> Tensor:
        """Steps in pairs t and T-1-t: drawn (count // 2 + 1,) → (count,)."""
        return torch.cat([drawn, self.config.timesteps - 1 - drawn])[:count]

    def noise_loss(
        self, clean: Tensor, t: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Squared error of the noise, summed over joints and channels, mean over poses.

        clean, noise (N, J, 5), the noise scaled as it is to be; t (N,).
        """
        seen = gaussian.q_sample(clean, t, noise, self.schedule)
        return (noise - self.net(seen, t, generator)).square().sum(dim=(1, 2)).mean()

    # Sampling

    @torch.no_grad()
    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """See `methods.base.Lifter`; with eta 0, as released, nothing is drawn and all hypotheses are the same."""
        check_windows(x2d, self.window, self.skeleton.num_joints)
        start = self.start(self.joints.drop(x2d))
        states = start.flatten(0, 1)
        copies = hypotheses if self.config.eta > 0 else 1
        draw = noise.from_generator(generator, x2d.device)
        end = self.sample(states.repeat(copies, 1, 1), times=self.times(steps), draw=draw)
        poses = self.joints.restore(self.root_to_zero(end[..., 2:]))  # (copies · B · T, J, 3)
        poses = poses.view(copies, *x2d.shape[:2], *poses.shape[1:]).transpose(0, 1)
        return poses.expand(-1, hypotheses, -1, -1, -1)

    def start(self, x2d: Tensor) -> Tensor:
        """Where sampling begins: x2d (B, T, J, 2) → (B, T, J, 5), the input and the first network's guess, its root
        put to zero."""
        if self.config.frames == 1:
            pose = self._guess(x2d)
        else:
            mirror = self.joints.network.mirror
            pose = flip_averaged(self._guess(both_ways(x2d, mirror)), mirror)
        return torch.cat([x2d, self.root_to_zero(pose)], dim=-1)

    def root_to_zero(self, pose: Tensor) -> Tensor:
        """(..., J, 3) with its root at zero and all other joints where they were. The release means to subtract the
        root, but does so in place, and by the time the other joints' turn has come the root is zero.
        """
        root = torch.tensor([self.joints.network.root], device=pose.device)
        return pose.index_fill(-2, root, 0.0)

    def times(self, steps: int) -> list[int]:
        """Descending steps of sampling, -1 for the clean signal at the end: multiples of reach // steps (where that
        leaves a remainder, the release takes one step more). Raises UsageError where there are more than `reach`."""
        if steps > self.config.reach:
            raise UsageError(f"these weights denoise in at most {self.config.reach} steps, not {steps}")
        stride = self.config.reach // steps
        return [*reversed(range(0, stride * steps, stride)), -1]

    @torch.no_grad()
    def sample(
        self, start: Tensor, *, times: list[int], draw: noise.Noise, trace: list[Step] | None = None
    ) -> Tensor:
        """Denoise from `start` (N, J, 5), taken to be the state at times[0] → (N, J, 5), root not zeroed.

        draw: asked for noise (N, J, 5) after every step but the last. trace: receives a `Step` per step.
        """

        def guess(states: sampler.States, now: int) -> Step:
            (state,) = states
            t = torch.full((len(state),), now, device=state.device)
            eps = self.net(state, t)
            return Step(now, state, (gaussian.x0_from_noise(state, t, eps, self.schedule),), (eps,))

        end = start
        for step in sampler.ddim(
            (start,),
            guess,
            schedule=self.schedule,
            steps=len(times) - 1,
            eta=self.config.eta,
            draw=draw,
            times=times,
        ):
            (end,) = step.signals
            if trace is not None:
                trace.append(step)
        return end

    def _guess(self, x2d: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """First guess (B, T, J, 3) of x2d (B, T, J, 2), root not zeroed."""
        if isinstance(self.guesser, GraFormer):
            return self.guesser(x2d, generator=generator)
        return self.guesser(x2d, generator=generator)[:, 0]
