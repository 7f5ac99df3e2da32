"""DiffPose as the paper tells it (Gong et al., CVPR 2023): from the detector's heatmaps through a fitted mixture.

Nobody has released this; the released code is another method (`posecli.methods.diffpose_official`). Symbols: h_k the
pose after k of K steps, H_K the distribution sampling starts from (`diffpose_start`), μ, Σ, π a component of the
mixture fitted to it (`diffusion.mixture`), f_ST the context feature. Equation numbers are the paper's; our t is k - 1.

What the paper leaves open, and what is done here
- One draw of noise makes a whole chain h_1 … h_K ("generate N sets of h_1 … h_K"): what g must answer is then a
  function of h_k and h_0, and its chains are those of DDIM without fresh noise. (Equation 9 with noise of its own for
  every step would ask g for h_{k-1} without the noise that h_{k-1} has.)
- The printed schedule leaves 97 % of the truth in h_K (abar_K = 0.949), which sampling cannot put there. The default
  is the cosine schedule, whose h_K is the mixture; the printed one is `schedule = "diffpose-printed"`.
- DDIM steps need the clean pose that g's answer implies, and μ: each sample belongs to a component drawn from its
  posterior under the mixture, which is fitted when lifting as it is in training.
- target "previous" is the paper's g: its answer is h_{k-1}, told as a change of h_k. The clean pose follows from the
  two by solving equation 7, which multiplies g's error by 1 / c_k (about 30 at k = 50). target "clean" answers h_0,
  from which h_{k-1} follows, and its loss is equation 9 divided by c_k². It learns much faster: 300 steps of a small
  g about an encoder made 48 mm wrong gave 44 mm with "clean" and 59 mm with "previous" (5 hypotheses, 5 steps).
- Covariances are diagonal. A full one of 48 × 48 for each of 5 components is more than 1000 samples can tell: held-out
  samples are less likely under it (44.3 against 55.3 nats, scripts/time_mixture.py), and it takes 16 times as long.
- Equation 9 is a squared error, whose best answer is a mean; MPJPE, by which methods are compared and by which context
  encoders are trained, asks for a median. `loss = "distance"` is the mean distance of joints instead (ours).
- The paper's g hears of the heatmaps only through h_k, one place of each joint at a time. With `spread` it is also told
  where the samples of H_K lie and how far they spread, joint by joint (ours): which joints are not to be trusted.
- With `skip` what g answers is added to the context encoder's pose, so that a short training begins where the encoder
  ended; the paper's g answers the whole pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from posecli.diffusion import gaussian, mixture, noise, schedules
from posecli.diffusion.mixture import Mixture
from posecli.methods.base import Clouds
from posecli.methods.common import Losses, check_windows, mirrored
from posecli.methods.diffpose_config import DiffPoseConfig
from posecli.methods.diffpose_start import SPREAD_VARIES, Context, Depths, Quantiles, placement, start_poses
from posecli.methods.graformer import GraFormerLifter
from posecli.methods.mixste import MixSTE, MixSTEConfig
from posecli.nets.diffpose_paper import ContextEncoder, PoseDenoiser
from posecli.skeleton import SKELETONS, Skeleton

_FRAMES_AT_ONCE = 256  # in sampling: 1000 samples of each are 50 MB
_FRAMES_A_LEADER = 8  # see `mixture.fit_alike`
_FARTHEST = 2.0  # metres, no joint is further from the root than this


class DiffPose(nn.Module):
    """The method: context encoder (frozen), denoiser g, losses and sampler. All poses in metres.

    States are poses without their root, (F, N, D) with F frames, N chains or hypotheses, D = 3 (J - 1).
    """

    # The paper's are 5 and 5, which cost 3 mm on validation subjects: each hypothesis is then a pose that may have
    # been, and the mean of five such lies further off than what one step answers, which is a mean by itself.
    default_hypotheses, default_steps = 20, 1

    def __init__(self, config: DiffPoseConfig) -> None:
        super().__init__()
        self.config = config
        self.skeleton: Skeleton = SKELETONS[config.skeleton]
        joints, settings = self.skeleton.num_joints, config.context_config()
        self.context: ContextEncoder | None = None
        width = 0
        if settings is not None:
            method = MixSTE(settings) if isinstance(settings, MixSTEConfig) else GraFormerLifter(settings)
            self.context = ContextEncoder(method.net).requires_grad_(False)  # type: ignore[arg-type]
            width = settings.width + 6 * config.spread if config.feature else 0
        self.denoiser = PoseDenoiser(
            parents=self.skeleton.parents,
            width=config.width,
            blocks=config.blocks,
            heads=config.heads,
            context_width=width,
        )
        if config.skip:  # before any training the answer is the encoder's
            for parameter in self.denoiser.output.parameters():
                nn.init.zeros_(parameter)
        self.depths = Depths(joints)
        self.schedule = schedules.SCHEDULES[config.schedule](config.timesteps)
        self._moving = [j for j in range(joints) if j != self.skeleton.root]

    @property
    def window(self) -> int:
        return self.config.frames

    @property
    def cloud_size(self) -> int:
        """See `methods.base.HeatmapLifter`."""
        return self.config.samples if self.config.components else 0

    def train(self, mode: bool = True) -> DiffPose:
        super().train(mode)
        if self.context is not None:
            self.context.eval()
        return self

    @staticmethod
    def settings_for(encoder: MixSTE | GraFormerLifter) -> dict[str, Any]:
        """The settings that a pre-trained encoder decides: those with which `load_context` will take it."""
        model = encoder.config.to_dict()
        skeleton, frames = model.pop("skeleton"), model.pop("frames", None)
        decided = {"skeleton": skeleton, "context_model": model}
        return decided if frames is None else {**decided, "frames": frames}

    def load_context(self, weights: Mapping[str, Tensor]) -> None:
        """Take over a pre-trained encoder: the `state_dict()` of method `mixste` or `graformer`, as `config` says.
        Raises RuntimeError where its network has other sizes.
        """
        if self.context is None:
            raise ValueError("this network has no context encoder")
        net = {key.removeprefix("net."): value for key, value in weights.items() if key.startswith("net.")}
        self.context.net.load_state_dict(net)

    # H_K and its mixture (section 4.1, equation 6)

    @torch.no_grad()
    def look(self, x2d: Tensor, cloud: Tensor | None = None) -> Context:
        """What is known of windows x2d (B, T, J, 2) with clouds (B, T, J, S, 2): a row per frame, B·T in all."""
        frames, root = x2d.shape[1], self.skeleton.root
        half_box = (x2d.amax((1, 2)) - x2d.amin((1, 2))).amax(-1) / 2
        pose = feature = None
        scale, perspective = self.depths.scale.expand(x2d.shape[:2]), x2d.new_zeros(len(x2d))
        if self.context is not None:
            pose, feature = self.context(x2d)
            pose = pose - pose[..., root, None, :]
            scale, perspective = placement(x2d, pose, root)
        return Context(
            x2d=x2d.flatten(0, 1),
            half_box=half_box.repeat_interleave(frames)[:, None],
            pose=None if pose is None else pose.flatten(0, 1),
            feature=feature.float().flatten(0, 1) if feature is not None and self.config.feature else None,
            scale=scale.flatten(),
            perspective=perspective.repeat_interleave(frames),
            cloud=None if cloud is None else cloud.flatten(0, 1),
        )

    @torch.no_grad()
    def start(self, context: Context, quantiles: Quantiles) -> Tensor:
        """Poses drawn from H_K, as states (F, S, D)."""
        return self._states(start_poses(context, self.depths, quantiles, self.skeleton, self.config.z_from))

    def told(self, context: Context, samples: Tensor) -> Context:
        """The context with what g is told of H_K: each joint's mean, seen from the encoder's pose, and its standard
        deviations, in decimetres (numbers of about 1, as the feature's) behind the feature's channels."""
        if not self.config.spread or context.feature is None or context.pose is None:
            return context
        joints = self._poses(samples)
        about = [joints.mean(1) - context.pose, joints.std(1)]
        return replace(context, feature=torch.cat([context.feature, *(10 * a for a in about)], dim=-1))

    def fit(self, samples: Tensor, generator: torch.Generator, window: int = 1) -> Mixture:
        """The mixture of each frame's samples (F, S, D), by EM (equation 6).

        window: so many frames at a time belong together and share `Quantiles`. What a frame gets does not depend on
        other windows.
        """
        number = torch.arange(len(samples), device=samples.device)
        with _full_precision(samples.device):
            return mixture.fit_alike(
                samples,
                self.config.components,
                number - number % window % _FRAMES_A_LEADER,
                generator=generator,
                covariance=self.config.covariance,  # type: ignore[arg-type]
                iterations=self.config.em_iterations,
                follow=self.config.em_follow,
                floor=self.config.floor**2,
            )

    # The denoiser (equation 8)

    def denoise(self, h: Tensor, t: Tensor, mean: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """h_{k-1} and h_0 as g sees them, both (F, N, D): it answers one, from which the other follows.

        h: (F, N, D) after k = t + 1 steps, t (F,). mean: (F, N, D), μ of the components. context: of the F frames.
        """
        answer = self._states(self.denoiser(self._poses(h), t + 1, context.feature))
        if self.config.skip and context.pose is not None:
            answer = answer + self._states(context.pose)[:, None]
        if self.config.target == "clean":
            return self.carried(h, answer, t, mean), answer
        answer = h + answer
        own, kept = self._line(t, h)
        return answer, mean + (answer - mean - kept * (h - mean)) / own

    def carried(self, h: Tensor, clean: Tensor, t: Tensor, mean: Tensor) -> Tensor:
        """h_{k-1} of the chain that leads from h_0 = `clean` to h_k = `h` with one noise (equation 7 twice)."""
        own, kept = self._line(t, h)
        return mean + kept * (h - mean) + own * (clean - mean)

    def _line(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """c_k and b_{k-1} / b_k, shaped to broadcast: (h_{k-1} - μ) = b_{k-1} / b_k (h_k - μ) + c_k (h_0 - μ)
        where equation 7 is (h_k - μ) = a_k (h_0 - μ) + b_k ε. For k = 1 they are 1 and 0."""
        abar = torch.cat([torch.ones(1, dtype=torch.float64), self.schedule.alphas_cumprod])
        a, b = abar.sqrt(), (1 - abar).sqrt()
        kept = b[:-1] / b[1:]
        own, kept = (
            torch.stack([a[:-1] - a[1:] * kept, kept]).to(like.dtype).to(like.device)[:, t, None, None]
        )
        return own, kept

    def _poses(self, states: Tensor) -> Tensor:
        """(F, N, D) → (F, N, J, 3) with the root at zero."""
        poses = states.new_zeros(*states.shape[:2], self.skeleton.num_joints, 3)
        poses[:, :, self._moving] = states.reshape(*states.shape[:2], -1, 3)
        return poses

    def _states(self, poses: Tensor) -> Tensor:
        """(..., J, 3) → (..., D), root-relative."""
        poses = poses - poses[..., self.skeleton.root, None, :]
        return poses[..., self._moving, :].flatten(-2)

    # Training (equation 9)

    def loss(
        self,
        x2d: Tensor,
        pose: Tensor,
        *,
        generator: torch.Generator,
        final_share: float = 0.0,
        clouds: Clouds | None = None,
    ) -> Losses:
        """One training pass: x2d (B, T, J, 2), true pose (B, T, J, 3) in metres with the root at zero.

        The loss is equation 9 with means in the place of sums: over frames, chains and coordinates, m²; or over joints,
        m, where `loss` is "distance".
        clouds: of the windows' heatmaps, asked for the frames that are diffused; without them Gaussians are simulated.
        final_share: share of the frames that get the last step, where sampling begins.
        generator draws, in this order: frames, clouds, quantiles, EM's first means, components, noise, steps.
        """
        config, device = self.config, x2d.device
        x2d, pose = x2d.float(), pose.float()  # a loop in mixed precision may have cut them
        context = self.look(x2d)
        if self.training:
            guess = None if context.pose is None else context.pose.view_as(pose)
            self.depths.learn(pose, guess, x2d, self.skeleton.root)
        batch, frames = x2d.shape[:2]
        chosen = torch.randint(
            frames, (batch, config.train_frames), generator=generator, device=generator.device
        )
        rows = (chosen + frames * torch.arange(batch, device=chosen.device)[:, None]).flatten().to(device)
        context = context.of(rows)
        if clouds is not None and self.cloud_size:
            cloud = clouds.draw(chosen.to(device), self.cloud_size, generator)
            context = replace(context, cloud=cloud.flatten(0, 1))
        clean = self._states(pose.flatten(0, 1)[rows])[:, None].expand(-1, config.chains, -1)
        samples = self._drawn(context, generator)
        mean, eps = self._noise(samples, clean, generator)
        context = self.told(context, samples)
        times = schedules.training_times(
            len(rows), config.timesteps, generator=generator, final_share=final_share
        )
        t = times.to(device)
        h = mixture.diffuse(clean, t, mean, eps, self.schedule)
        answer, guess_clean = self.denoise(h, t, mean, context)
        wrong = guess_clean - clean if config.target == "clean" else answer - self.carried(h, clean, t, mean)
        if config.loss == "distance":
            return Losses(torch.linalg.vector_norm(wrong.reshape(*wrong.shape[:-1], -1, 3), dim=-1).mean())
        return Losses(wrong.square().mean())

    @torch.no_grad()
    def _drawn(self, context: Context, generator: torch.Generator) -> Tensor:
        """Samples (F, S, D) of each frame's H_K in training, its Gaussians varied; S is 0 without a mixture."""
        joints, frames = self.skeleton.num_joints, len(context.x2d)
        if not self.config.components:
            return context.x2d.new_zeros(frames, 0, 3 * (joints - 1))
        draw = noise.from_generator(generator, context.x2d.device)
        quantiles = Quantiles.draw(joints, self.config.samples, 0, generator, context.x2d.device)
        varied = context.half_box * torch.exp(SPREAD_VARIES * draw((frames, joints)))
        return self.start(replace(context, half_box=varied), quantiles)

    @torch.no_grad()
    def _noise(self, samples: Tensor, like: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """μ and ε (F, N, D) of chains that end in each frame's mixture; 0 and N(0, I) in the standard diffusion."""
        draw = noise.from_generator(generator, like.device)
        if not self.config.components:
            return torch.zeros_like(like), draw(tuple(like.shape))
        fitted = self.fit(samples, generator, len(like))
        uniform = torch.rand(like.shape[:2], generator=generator, device=generator.device).to(like.device)
        component = fitted.components(uniform)
        return fitted.mean_of(component), fitted.noise_of(component, draw(tuple(like.shape)))

    # Sampling

    @torch.no_grad()
    def lift_windows(
        self,
        x2d: Tensor,
        *,
        hypotheses: int,
        steps: int,
        generator: torch.Generator,
        cloud: Tensor | None = None,
    ) -> Tensor:
        """See `methods.base.HeatmapLifter`. The paper's result is the mean over 5 hypotheses after 5 steps.

        All windows and frames of a call share their draws (`Quantiles`), so a hypothesis is one motion; calls with
        generators in the same state go on with the same ones.
        """
        check_windows(x2d, self.window, self.skeleton.num_joints)
        quantiles = Quantiles.draw(
            self.skeleton.num_joints, self.config.samples, hypotheses, generator, x2d.device
        )
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        pose = self._lift(x2d, cloud, quantiles, steps, seed)
        if self.config.flip:
            mirror = self.skeleton.mirror
            if cloud is not None:
                cloud = mirrored(cloud.transpose(2, 3), mirror).transpose(2, 3)
            twin = self._lift(mirrored(x2d, mirror), cloud, quantiles.mirrored(mirror), steps, seed)
            pose = (pose + mirrored(twin, mirror)) / 2
        return pose

    def _lift(self, x2d: Tensor, cloud: Tensor | None, quantiles: Quantiles, steps: int, seed: int) -> Tensor:
        """(B, T, J, 2) → (B, H, T, J, 3)."""
        context = self.look(x2d, cloud)
        parts = []
        at_once = max(1, _FRAMES_AT_ONCE // x2d.shape[1]) * x2d.shape[1]  # whole windows
        for at in range(0, len(context.x2d), at_once):
            some = context.of(slice(at, at + at_once))
            samples = self.start(some, quantiles) if self.config.components else None
            h, mean = self._first(samples, len(some.x2d), quantiles, seed, x2d.shape[1])
            if samples is not None:
                some = self.told(some, samples)
            for now, then in pairwise(schedules.sampling_times(self.config.timesteps, steps)):
                t = torch.full((len(h),), now, device=h.device)
                before, clean = self.denoise(h, t, mean, some)
                if then == now - 1:
                    h = before
                    continue
                clean = clean.clamp(-_FARTHEST, _FARTHEST) - mean
                eps = gaussian.noise_from_x0(h - mean, t, clean, self.schedule)
                h = mean + gaussian.ddim_step(
                    clean, eps, torch.zeros_like(eps), t=now, t_next=then, schedule=self.schedule, eta=0.0
                )
            parts.append(self._poses(h))
        poses = torch.cat(parts)  # (B·T, H, J, 3)
        return poses.view(*x2d.shape[:2], *poses.shape[1:]).transpose(1, 2)

    def _first(
        self, samples: Tensor | None, frames: int, quantiles: Quantiles, seed: int, window: int
    ) -> tuple[Tensor, Tensor]:
        """h_K drawn from H_K, one for each hypothesis, and μ of the component it belongs to; both (F, H, D)."""
        hypotheses = len(quantiles.component)
        if samples is None:
            first = quantiles.first[:, self._moving].flatten(1).expand(frames, -1, -1)
            return first, torch.zeros_like(first)
        h = samples[:, torch.arange(hypotheses, device=samples.device) % samples.shape[1]]
        fitted = self.fit(samples, torch.Generator().manual_seed(seed), window)
        return h, fitted.mean_of(fitted.components_of(h, quantiles.component.expand(frames, -1)))


def _full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """No autocast: a mixture's small variances do not survive bfloat16. Devices without autocast need no leave."""
    return (
        torch.autocast(device.type, enabled=False)
        if torch.amp.is_autocast_available(device.type)
        else nullcontext()
    )
