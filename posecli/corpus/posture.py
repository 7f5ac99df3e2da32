"""Postures that motion capture has too few of: sitting, crouching, folded and reaching arms, mixed bodies, people
who lie, stand on their hands or turn over.

Windows of points (B, T, 28, 3), metres, y up, are changed through the pelvis' and chest's own frames; bones
keep their lengths. All randomness comes from one generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

HIP, RHIP, RKNEE, RANKLE, LHIP, LKNEE, LANKLE, SPINE, THORAX = range(9)
ARMS = ((11, 12, 13, 1.0), (14, 15, 16, -1.0))  # shoulder, elbow, wrist; +1 on the left
LEGS = ((LHIP, LKNEE, LANKLE, (24, 26), 1.0), (RHIP, RKNEE, RANKLE, (25, 27), -1.0))
UPPER = (*range(SPINE, 17), *range(17, 24))


def mix_bodies(points: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Put the upper body of another window of the batch on the pelvis of `share` of the windows."""
    order = torch.randperm(len(points), generator=generator)
    mixed = torch.rand(len(points), generator=generator) < share
    pelvis, upper = _frame(points, LHIP, RHIP, THORAX), list(UPPER)
    other = points[order]
    local = (other[:, :, upper] - other[:, :, :1]) @ pelvis[order]
    moved = points.clone()
    moved[:, :, upper] = local @ pelvis.transpose(-1, -2) + points[:, :, :1]
    return torch.where(mixed[:, None, None, None], moved, points)


def sit(points: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Bend hips and knees of `share` of the windows towards sitting or crouching, leaning the trunk, some of
    them sitting down or standing up within the window."""
    batch, frames = points.shape[:2]
    chosen = torch.rand(batch, generator=generator) < share
    part = _coming(batch, frames, generator)[..., None]  # (B, T, 1): 0 as captured, 1 seated
    left, up, forward = _frame(points, LHIP, RHIP, THORAX).unbind(-1)
    sky = torch.tensor([0.0, 1.0, 0.0]).expand_as(up)
    moved = points.clone()

    lean = torch.deg2rad(_normal((batch, 1, 1), generator) * 14 + 8) * part
    upper = list(UPPER)
    turn = _about(left, lean[..., 0])
    moved[:, :, upper] = (points[:, :, upper] - points[:, :, :1]) @ turn.transpose(-1, -2) + points[:, :, :1]

    flexion = torch.deg2rad(_uniform((batch, 1, 1), 55, 115, generator))
    shank = torch.deg2rad(_normal((batch, 1, 1), generator) * 16 - 5)
    level = F.normalize(forward - (forward * sky).sum(-1, keepdim=True) * sky, dim=-1)
    for hip, knee, ankle, feet, side in LEGS:
        spread = torch.deg2rad(_normal((batch, 1, 1), generator) * 9 + 8) * side
        own = torch.deg2rad(_normal((batch, 1, 1), generator) * 6)
        seated = -up * (flexion + own).cos() + forward * (flexion + own).sin() + left * spread.tan()
        thigh = _towards(points[:, :, knee] - points[:, :, hip], seated, part)
        shin = _towards(
            points[:, :, ankle] - points[:, :, knee], -sky + level * (shank + 2 * own).tan(), part
        )
        moved[:, :, knee] = moved[:, :, hip] + thigh
        moved[:, :, ankle] = moved[:, :, knee] + shin
        for foot in feet:
            moved[:, :, foot] = moved[:, :, ankle] + points[:, :, foot] - points[:, :, ankle]
    return torch.where(chosen[:, None, None, None], moved, points)


def reach(points: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Bring each hand, in `share` of the windows, to a random place around the chest (folded arms, hands on
    hips, reaching): two-bone inverse kinematics with a random swivel of the elbow."""
    batch, frames = points.shape[:2]
    chest = _frame(points, 11, 14, THORAX, below=HIP)
    moved = points.clone()
    for shoulder, elbow, wrist, side in ARMS:
        chosen = torch.rand(batch, generator=generator) < share
        part = _coming(batch, frames, generator)[..., None]
        upper = _length(points[:, :, elbow] - points[:, :, shoulder])
        lower = _length(points[:, :, wrist] - points[:, :, elbow])
        # A place in the chest's frame (left, up, forward), in arm lengths, wandering a little.
        low, high = torch.tensor([-0.75, -0.95, 0.05]), torch.tensor([0.55, 0.8, 0.95])
        place = low + (high - low) * torch.rand(batch, 1, 3, generator=generator)
        place = place + 0.12 * _normal((batch, 1, 3), generator) * torch.linspace(-1, 1, frames)[:, None]
        place = place * torch.tensor([side, 1.0, 1.0]) * (upper + lower)
        goal = (chest @ place[..., None])[..., 0]
        goal = torch.lerp(points[:, :, wrist] - points[:, :, shoulder], goal, part)
        far = _length(goal)
        span = torch.maximum(torch.minimum(far, 0.98 * (upper + lower)), (upper - lower).abs() + 0.12)
        along = goal / far.clamp(min=1e-4)
        height = ((upper**2 - lower**2 + span**2) / (2 * span)).clamp(-0.999 * upper, 0.999 * upper)
        out = (upper**2 - height**2).clamp(min=0).sqrt()
        # The elbow hangs down and outwards, more or less.
        swivel = F.normalize(
            torch.tensor([0.8 * side, -1.0, -0.3]) + 0.5 * _normal((batch, 1, 3), generator), dim=-1
        )
        wanted = (chest @ swivel[..., None])[..., 0]
        bend = F.normalize(wanted - (wanted * along).sum(-1, keepdim=True) * along, dim=-1)
        moved[:, :, elbow] = points[:, :, shoulder] + along * height + bend * out
        moved[:, :, wrist] = points[:, :, shoulder] + along * span
        kept = chosen[:, None, None]
        for joint in (elbow, wrist):
            moved[:, :, joint] = torch.where(kept, moved[:, :, joint], points[:, :, joint])
    return moved


def tumble(points: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Turn `share` of the windows as they are about a level axis through the middle of the motion, as though the floor
    stood elsewhere: a third by about a right angle (lying), the others by any angle; half of them turn on through the
    window, by up to a quarter turn. The lowest point stays as high as it was. Nothing of gravity is in it."""
    batch, frames = points.shape[:2]
    chosen = torch.rand(batch, generator=generator) < share
    heading = _uniform((batch, 1), -math.pi, math.pi, generator)
    side = 1 - 2 * (torch.rand(batch, 1, generator=generator) < 0.5).float()
    lying = side * (math.pi / 2 + 0.25 * _normal((batch, 1), generator))
    first = torch.where(
        torch.rand(batch, 1, generator=generator) < 1 / 3,
        lying,
        _uniform((batch, 1), -math.pi, math.pi, generator),
    )
    turning = _uniform((batch, 1), -math.pi / 2, math.pi / 2, generator)
    turning = torch.where(torch.rand(batch, 1, generator=generator) < 0.5, turning, 0.0)
    angle = first + turning * torch.linspace(-0.5, 0.5, frames)  # (B, T)
    axis = torch.stack([heading.cos(), torch.zeros_like(heading), heading.sin()], -1).expand(-1, frames, -1)
    centre = points[:, :, :1].mean(dim=1, keepdim=True)
    moved = (points - centre) @ _about(axis, angle).transpose(-1, -2) + centre
    lift = points[..., 1].amin(dim=(1, 2)) - moved[..., 1].amin(dim=(1, 2))
    moved = moved + lift[:, None, None, None] * torch.tensor([0.0, 1.0, 0.0])
    return torch.where(chosen[:, None, None, None], moved, points)


def _frame(points: Tensor, left: int, right: int, top: int, below: int = HIP) -> Tensor:
    """Axes (B, T, 3, 3) of a body part, columns: to the person's left, up along the trunk, forward."""
    x = F.normalize(points[:, :, left] - points[:, :, right], dim=-1)
    y = points[:, :, top] - points[:, :, below]
    y = F.normalize(y - (y * x).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def _coming(batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """(B, T) in [0, 1]: half of the windows all 1, the others passing smoothly between 0 and 1."""
    middle = _uniform((batch, 1), -0.2, 1.2, generator)
    width = _uniform((batch, 1), 0.1, 0.5, generator) * (
        1 - 2 * (torch.rand(batch, 1, generator=generator) < 0.5)
    )
    time = torch.linspace(0, 1, frames)[None]
    passing = torch.sigmoid((time - middle) / width * 3)
    still = torch.rand(batch, 1, generator=generator) < 0.5
    return torch.where(still, torch.ones_like(passing), passing)


def _towards(bone: Tensor, direction: Tensor, part: Tensor) -> Tensor:
    """`bone` turned towards `direction` by `part`, as long as before."""
    length = _length(bone)
    return (
        F.normalize(torch.lerp(bone / length.clamp(min=1e-6), F.normalize(direction, dim=-1), part), dim=-1)
        * length
    )


def _about(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotations (B, T, 3, 3) about unit axes (B, T, 3) (Rodrigues)."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*axis.shape[:-1], 3, 3)
    sin, cos = angle.sin()[..., None, None], angle.cos()[..., None, None]
    return torch.eye(3) + sin * cross + (1 - cos) * (cross @ cross)


def _length(vector: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vector, dim=-1, keepdim=True)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)
