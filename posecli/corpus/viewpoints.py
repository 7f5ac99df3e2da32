"""Where cameras stand: phone, webcam, surveillance and studio, each with its lens, place and picture.

Lengths in metres, angles in degrees. A camera sees a window of motion of one person, stands still, and has that
person in its picture, wholly or cut by the frame. "Flat" coordinates are those of the camera that lifting assumes
(`posecli.camera.DEFAULT_FOV_DEG` along the longer side): x/z and y/z of the true camera times `zoom`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from posecli.camera import DEFAULT_FOV_DEG

ASSUMED_TAN = math.tan(math.radians(DEFAULT_FOV_DEG) / 2)
"""Half the longer side of every picture, in flat coordinates."""
NEAREST_M = 0.5
"""Every point is at least this far before the lens."""


@dataclass(frozen=True)
class Viewpoint:
    """One row of the table; pairs are lower and upper limits.

    share: of the windows of a mixed draw. fov_deg: along the longer side, log-uniform in focal length.
    distance_m: to the middle of the person, log-uniform; more where the person would not fit. height_m: over the
    floor. roll_deg: standard deviation. upright: share of pictures taller than wide. cut: share of windows that
    need not have the whole person in the picture.
    """

    share: float
    fov_deg: tuple[float, float]
    distance_m: tuple[float, float]
    height_m: tuple[float, float]
    roll_deg: float
    upright: float
    cut: float


VIEWPOINTS = {
    "phone": Viewpoint(0.40, (52, 76), (1.8, 6.0), (0.8, 1.8), 3.0, 0.6, 0.10),
    "webcam": Viewpoint(0.10, (55, 85), (1.0, 3.0), (0.6, 1.4), 2.0, 0.0, 0.40),
    "surveillance": Viewpoint(0.15, (60, 100), (3.5, 12.0), (2.2, 4.5), 3.0, 0.0, 0.08),
    "studio": Viewpoint(0.15, (28, 55), (3.0, 9.0), (0.8, 2.2), 1.5, 0.15, 0.05),
    "any": Viewpoint(0.20, (40, 90), (1.8, 9.0), (0.0, 4.5), 5.0, 0.5, 0.10),
}
"""Name → ranges. A judgement of what people film with, not a measurement; "any" keeps networks from relying on it."""
NAMES = tuple(VIEWPOINTS)
ASPECTS = (9 / 16, 9 / 16, 3 / 4)
"""Shorter over longer side of a picture, one drawn at random."""


@dataclass(frozen=True)
class Seen:
    """Windows before their cameras.

    points: (B, T, 28, 3) metres, camera frame. zoom: (B,), true focal length over assumed. half: (B, 2), half the
    picture's width and height in flat coordinates; infinite where there is no frame. up: (B, 3), the world's up
    in the camera frame. viewpoint: (B,), index into `NAMES`, -1 where none.
    """

    points: Tensor
    zoom: Tensor
    half: Tensor
    up: Tensor
    viewpoint: Tensor

    def flat(self, points: Tensor) -> Tensor:
        """Camera-frame points (B, T, N, 3) → flat coordinates (B, T, N, 2)."""
        return points[..., :2] / points[..., 2:] * self.zoom[:, None, None, None]


def choose(batch: int, name: str, generator: torch.Generator) -> Tensor:
    """Indices (B,) into `NAMES`: `name` for all, or drawn by share for "mixed"."""
    if name != "mixed":
        return torch.full((batch,), NAMES.index(name))
    shares = torch.tensor([v.share for v in VIEWPOINTS.values()])
    return torch.multinomial(shares, batch, replacement=True, generator=generator)


def look_from(points: Tensor, which: Tensor, generator: torch.Generator) -> Seen:
    """World points (B, T, 28, 3), y up → before random cameras of the viewpoints `which` (B,)."""
    batch = len(points)
    rows = torch.tensor(
        [
            [*_log_tan(v.fov_deg), *map(math.log, v.distance_m), *v.height_m, v.roll_deg, v.upright, v.cut]
            for v in VIEWPOINTS.values()
        ]
    )[which]
    u = torch.rand(batch, 8, generator=generator)
    tangent = torch.exp(torch.lerp(rows[:, 0], rows[:, 1], u[:, 0]))  # of half the longer side
    distance = torch.exp(torch.lerp(rows[:, 2], rows[:, 3], u[:, 1]))
    height = torch.lerp(rows[:, 4], rows[:, 5], u[:, 2])
    roll = torch.deg2rad(rows[:, 6] * torch.randn(batch, generator=generator))
    aspect = torch.tensor(ASPECTS)[(u[:, 3] * len(ASPECTS)).long()]
    one = torch.ones_like(aspect)
    upright = (u[:, 4] < rows[:, 7])[:, None]
    shape = torch.where(upright, torch.stack([aspect, one], -1), torch.stack([one, aspect], -1))
    cut = (u[:, 5] < rows[:, 8])[:, None]
    side = tangent[:, None] * shape  # (B, 2): tangents of half the true picture

    centre = points[:, :, 0].mean(dim=1)
    floor = points[..., 1].amin(dim=(1, 2))
    level = about(1, 2 * math.pi * u[:, 6])
    body = _turned(points - centre[:, None, None], level)
    # Far enough to fit: how far the body reaches to the side and up, and towards the camera.
    reach = torch.stack([body[..., 0], body[..., 1]], -1).abs().amax(dim=(1, 2)) + 0.12
    fits = (reach / side).amax(dim=-1) * 1.05 + body[..., 2].abs().amax(dim=(1, 2)) * 0.7
    distance = torch.where(cut[:, 0], distance, torch.maximum(distance, fits))

    slope = torch.asin(((height - (centre[:, 1] - floor)) / distance).clamp(-0.95, 0.95))
    slack = (side - reach / distance[:, None]).clamp(min=0.03)
    slack = torch.where(cut, 0.8 * side, slack)
    aim = slack * (2 * torch.rand(batch, 2, generator=generator) - 1)
    # Cameras roll about their axis: where the aim would be in an unrolled picture decides the pitch.
    pitch = slope - torch.atan(roll.cos() * aim[:, 1] - roll.sin() * aim[:, 0])
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    lean = about(2, roll) @ about(0, pitch) @ flip
    body = _turned(body, lean)
    ray = F.normalize(torch.cat([aim, torch.ones(batch, 1)], -1), dim=-1)
    nearest = -body[..., 2].amin(dim=(1, 2)) + NEAREST_M
    distance = torch.maximum(distance, nearest / ray[:, 2])
    return Seen(
        points=body + (ray * distance[:, None])[:, None, None],
        zoom=ASSUMED_TAN / tangent,
        half=ASSUMED_TAN * shape,
        up=(lean @ level)[:, :, 1],
        viewpoint=which,
    )


def _turned(points: Tensor, rotation: Tensor) -> Tensor:
    """Points (B, T, N, 3) by rotations (B, 3, 3)."""
    return (points.flatten(1, 2) @ rotation.transpose(1, 2)).reshape(points.shape)


def about(axis: int, angle: Tensor) -> Tensor:
    """Rotations (B, 3, 3) about a coordinate axis."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.zeros(len(angle), 3, 3)
    matrix[:, axis, axis] = 1
    matrix[:, a, a] = matrix[:, b, b] = angle.cos()
    matrix[:, b, a], matrix[:, a, b] = angle.sin(), -angle.sin()
    return matrix


def _log_tan(fov_deg: tuple[float, float]) -> tuple[float, float]:
    low, high = (math.log(math.tan(math.radians(f) / 2)) for f in fov_deg)
    return low, high
