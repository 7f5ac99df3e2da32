"""H_K, the distribution of 3D poses that DiffPose starts from (Gong et al., CVPR 2023, section 4.1).

x and y of a joint come from the detector's heatmap, as a cloud of positions in the image; z from the context
encoder's pose with the spread of its errors, or from the histogram of the training set.

How image-plane x, y become metres relative to the root
    The paper does not say. A joint at root-relative (X, Y, Z) of a person whose root is Z_0 metres away is seen at
    u = f (X_0 + X) / (Z_0 + Z), and the root at u_0 = f X_0 / Z_0, f being whatever scaled the image. Hence

        X = s (u - u_0) + q Z u     with s = Z_0 / f metres per unit of the image and q = 1 / f,

    and the same for Y: exact perspective, linear in two unknowns. Given the context encoder's pose both are least
    squares over the joints, s for each frame (people walk to and fro) and q for each window (a lens does not
    change). So a cloud is carried along the rays of the camera to the depth of each of its samples, and with the
    true pose the truth's x, y come back exactly. Without a context encoder q is 0 and s its mean in training: the
    weak perspective that is left when nobody knows how far away the person is.

    The cloud of the root moves all joints of its sample against it, as the pose is told relative to it; the root
    itself stays at zero and is no part of the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from posecli.diffusion.noise import from_generator
from posecli.skeleton import Skeleton

BINS, REACH = 96, 1.4
"""Histograms of z: so many bins from -REACH to +REACH metres."""

# Spread of BlazePose's heatmaps (as `detect.clouds` reads them) relative to half the person's box, medians of two
# clips; from clip to clip and frame to frame it varies by a factor of about 1.5 either way.
_SPREAD = {
    "Hip": 0.06, "RHip": 0.08, "LHip": 0.08, "RKnee": 0.05, "LKnee": 0.05, "RAnkle": 0.23, "LAnkle": 0.23,
    "Spine": 0.035, "Thorax": 0.03, "Neck/Nose": 0.03, "Head": 0.055, "LShoulder": 0.04, "RShoulder": 0.04,
    "LElbow": 0.065, "RElbow": 0.065, "LWrist": 0.18, "RWrist": 0.18,
}  # fmt: skip
_OTHER_SPREAD, SPREAD_VARIES = 0.08, 0.4

_MOMENTUM = 0.02  # of the running figures; the first batch counts as a whole
_SCALES = (0.05, 20.0)  # metres per unit of the image: from a child that fills it to a dot
_WIDEST = 1.2  # tangent of half the widest angle a person fills


def placement(x2d: Tensor, pose: Tensor, root: int) -> tuple[Tensor, Tensor]:
    """s (B, T) and q (B,) of the module's text, from x2d (B, T, J, 2) and root-relative poses (B, T, J, 3)."""
    away = (x2d - x2d[..., root, None, :]).flatten(2)  # (B, T, 2J)
    deeper = (pose[..., 2:] * x2d).flatten(2)
    beside = pose[..., :2].flatten(2)
    length = away.square().sum(-1).clamp_min(1e-6)
    # What the scale of each frame cannot explain is left to q.
    deeper_on, beside_on = ((away * v).sum(-1) / length for v in (deeper, beside))
    rest = deeper - deeper_on[..., None] * away
    unexplained = beside - beside_on[..., None] * away
    q = (rest * unexplained).sum((1, 2)) / rest.square().sum((1, 2)).clamp_min(1e-6)
    q = q.clamp(0.0, _WIDEST)
    s = (beside_on - q[:, None] * deeper_on).clamp(*_SCALES)
    return s, q


def placed(cloud: Tensor, z: Tensor, s: Tensor, q: Tensor, root: int) -> Tensor:
    """Clouds (F, J, S, 2) in the image of F frames, their depths z (F, J, S) in metres relative to the root, s (F,)
    and q (F,) → root-relative positions (F, J, S, 3), metres.
    """
    away = cloud - cloud[:, root, None]
    xy = s[:, None, None, None] * away + q[:, None, None, None] * z[..., None] * cloud
    return torch.cat([xy, z[..., None]], dim=-1)


class Depths(nn.Module):
    """What training knows of depth and size: running figures, kept with the weights.

    error: (J,) metres, root mean square of the context encoder's error in z. On motion that the encoder was trained
        on it is smaller than on other motion.
    histogram: (J, BINS), how often each root-relative z occurred. scale: mean of s, see the module's text.
    """

    error: Tensor
    histogram: Tensor
    scale: Tensor
    learned: Tensor

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.register_buffer("error", torch.full((joints,), 0.1))
        self.register_buffer("histogram", torch.full((joints, BINS), 1 / BINS))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("learned", torch.zeros(()))

    @torch.no_grad()
    def learn(self, truth: Tensor, guess: Tensor | None, x2d: Tensor, root: int) -> None:
        """Take in a batch: true poses (B, T, J, 3), the context encoder's, and the 2D joints they are seen at."""
        rate = torch.where(self.learned == 0, 1.0, _MOMENTUM)
        self.learned.fill_(1)
        z = truth[..., 2].flatten(0, -2).T  # (J, N)
        bins = ((z + REACH) * (BINS / (2 * REACH))).long().clamp(0, BINS - 1)
        counts = torch.zeros_like(self.histogram).scatter_add_(1, bins, torch.ones_like(z))
        self.histogram.lerp_(counts / z.shape[1], rate)
        self.scale.lerp_(placement(x2d, truth, root)[0].mean(), rate)
        if guess is not None:
            square = (guess[..., 2] - truth[..., 2]).square().mean(dim=(0, 1))
            self.error.copy_(self.error.square().lerp_(square, rate).sqrt())

    def around(self, white: Tensor) -> Tensor:
        """By how much z differs from the context encoder's: white (J, S) standard normal → (J, S) metres."""
        return self.error[:, None] * white

    def anywhere(self, white: Tensor) -> Tensor:
        """z from the histograms: white (J, S) standard normal, as quantiles → (J, S) metres."""
        edges = torch.nn.functional.pad(self.histogram.cumsum(dim=1), (1, 0))
        place = torch.special.ndtr(white) * edges[:, -1:]
        found = (torch.searchsorted(edges, place.contiguous(), right=True) - 1).clamp(0, BINS - 1)
        low, high = edges.gather(1, found), edges.gather(1, found + 1)
        part = ((place - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        return (found + part) * (2 * REACH / BINS) - REACH


@dataclass(frozen=True)
class Context:
    """What is known of F frames before any diffusion.

    x2d: (F, J, 2). half_box: (F, 1), half the longer side of the person's box in the window. pose: (F, J, 3) metres,
    root at zero; None without encoder. feature: (F, J, C), where g wants it. scale, perspective: s (F,) and q (F,) of
    the module's text. cloud: (F, J, S, 2) from heatmaps, where there are any.
    """

    x2d: Tensor
    half_box: Tensor
    pose: Tensor | None
    feature: Tensor | None
    scale: Tensor
    perspective: Tensor
    cloud: Tensor | None

    def of(self, frames: Tensor | slice) -> Context:
        """The same of some frames."""
        every = {item.name: getattr(self, item.name) for item in fields(self)}
        some: dict[str, Any] = {k: None if value is None else value[frames] for k, value in every.items()}
        return Context(**some)


@dataclass(frozen=True)
class Quantiles:
    """The draws that make one sample of H_K after another; the same for all frames, so that a sample is a motion.

    plane: (J, S, 2) standard normal, for x and y where they are simulated. depth: (J, S) standard normal, for z.
    component: (H,) in [0, 1), which component of the mixture a hypothesis is said to come from.
    first: (H, J, 3) standard normal, where the diffusion ends in N(0, I) instead.
    """

    plane: Tensor
    depth: Tensor
    component: Tensor
    first: Tensor

    @classmethod
    def draw(
        cls, joints: int, samples: int, hypotheses: int, generator: torch.Generator, device: torch.device
    ) -> Quantiles:
        normal = from_generator(generator, device)
        return cls(
            normal((joints, samples, 2)),
            normal((joints, samples)),
            torch.rand(hypotheses, generator=generator, device=generator.device).to(device),
            normal((hypotheses, joints, 3)),
        )

    def mirrored(self, mirror: Sequence[int]) -> Quantiles:
        """What makes the mirror images of the same samples; mirror: `Skeleton.mirror`."""
        order, turn = list(mirror), self.plane.new_tensor([-1.0, 1.0, 1.0])
        return Quantiles(
            self.plane[order] * turn[:2], self.depth[order], self.component, self.first[:, order] * turn
        )


def start_poses(
    context: Context, depths: Depths, quantiles: Quantiles, skeleton: Skeleton, z_from: str
) -> Tensor:
    """Poses drawn from H_K: (F, S, J, 3), metres, root at zero. z_from: "context" or "histogram".

    Without clouds x and y are Gaussian about x2d, as wide as a detector's heatmaps are in a box of `half_box`.
    """
    cloud = context.cloud
    if cloud is None:
        spread = [_SPREAD.get(name, _OTHER_SPREAD) for name in skeleton.joint_names]
        width = context.half_box * context.x2d.new_tensor(spread)  # (F, J)
        cloud = context.x2d[:, :, None] + width[..., None, None] * quantiles.plane
    if context.pose is not None and z_from == "context":
        z = context.pose[..., 2:] + depths.around(quantiles.depth)
    else:
        z = depths.anywhere(quantiles.depth).expand(len(cloud), -1, -1)
    z = z - z[:, skeleton.root, None]  # told relative to the root, whose own z is known: zero
    return placed(cloud, z, context.scale, context.perspective, skeleton.root).transpose(1, 2)
