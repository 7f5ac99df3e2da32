"""The frame in which lifters work: a virtual camera turned towards the person, scaled to the person's box.

A network that sees only a box cannot know where in the image the person stood, although a person at the edge
is seen from another side than one in the middle. So every window is first looked at by a camera that pans and
tilts (without roll) until the middle of the person's box lies on its axis; the network's answer is turned
back afterwards. Nor can it know how far away the person is, which says how strong the perspective is; so a box
may keep a share of its size (`size_exponent`). Training and use go through this one function.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

USUAL_SCALE = 0.2
"""Half the box of a standing adult about four metres away, as the tangent of an angle."""


@dataclass(frozen=True)
class FacedWindows:
    """Windows as a lifter takes them.

    x2d: (B, T, J, 2), the middle of the person's box over the whole window is zero; along its longer side the
        box fills ± (scale / USUAL_SCALE) ^ size_exponent: [-1, 1] for an exponent of 0.
    rotation: (B, 3, 3), columns are the turned camera's axes in the real camera's frame.
    scale: (B,), half the longer side of the box as the tangent of an angle.
    shown: (B,), what tangents of the turned camera are multiplied with to give x2d.
    """

    x2d: Tensor
    rotation: Tensor
    scale: Tensor
    shown: Tensor

    def see(self, flat: Tensor) -> Tensor:
        """Other points of the same windows, (B, ..., 2) as `face_windows` takes them → in the units of x2d."""
        turned = self.from_camera(torch.cat([flat, torch.ones_like(flat[..., :1])], dim=-1))
        x2d = turned[..., :2] / turned[..., 2:].clamp(min=1e-3)
        return x2d * self.shown.view(-1, *[1] * (flat.ndim - 1))

    def to_camera(self, points: Tensor) -> Tensor:
        """Vectors (B, ..., 3) in the turned camera → the real camera's frame."""
        shape = points.shape
        flat = points.reshape(shape[0], -1, 3)
        return (flat @ self.rotation.transpose(1, 2)).reshape(shape)

    def from_camera(self, points: Tensor) -> Tensor:
        """Vectors (B, ..., 3) in the real camera's frame → the turned camera."""
        shape = points.shape
        return (points.reshape(shape[0], -1, 3) @ self.rotation).reshape(shape)


def face_windows(flat: Tensor, size_exponent: float = 0.0) -> FacedWindows:
    """Normalise windows of one person's joints.

    flat: (B, T, J, 2), x/z and y/z of the rays through the joints (see `Pinhole.rays`), all finite.
    size_exponent: how much of the person's apparent size stays visible, 0 (none) to 1 (all); the one that the
        lifter was trained with.
    """
    rotation = turn_towards(_box(flat)[0])
    rays = torch.cat([flat, torch.ones_like(flat[..., :1])], dim=-1)
    turned = (rays.flatten(1, 2) @ rotation).reshape(rays.shape)
    x2d = turned[..., :2] / turned[..., 2:].clamp(min=1e-3)
    scale = _box(x2d)[1].clamp(min=1e-6)
    shown = (scale / USUAL_SCALE).clamp(0.2, 5.0) ** size_exponent / scale
    return FacedWindows(x2d * shown[:, None, None, None], rotation, scale, shown)


def _box(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (B, 2) and half the longer side (B,) of the box around all joints of a window."""
    low, high = flat.amin(dim=(1, 2)), flat.amax(dim=(1, 2))
    return (low + high) / 2, ((high - low) / 2).amax(dim=-1)


def turn_towards(centre: Tensor) -> Tensor:
    """Rotation (B, 3, 3) of a camera panned, then tilted, so that the ray (x, y, 1) becomes its axis.

    centre: (B, 2). The x axis of the turned camera stays perpendicular to the y axis of the first one.
    """
    forward = torch.nn.functional.normalize(torch.cat([centre, torch.ones_like(centre[:, :1])], -1), dim=-1)
    up_free = torch.tensor([0.0, 1.0, 0.0], dtype=centre.dtype, device=centre.device).expand_as(forward)
    right = torch.nn.functional.normalize(torch.linalg.cross(up_free, forward), dim=-1)
    down = torch.linalg.cross(forward, right)
    return torch.stack([right, down, forward], dim=-1)
