"""How each landmark is seen: its place in the picture, the axes of the body part it sits on, what hides it.

The same figures serve the fit of the detector model and the simulator. D = 19 landmarks in the order of
`landmarks_seen.LANDMARK_NAMES`; camera frame, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from posecli.corpus.landmarks_seen import LANDMARK_NAMES, SEEN_POINTS
from posecli.corpus.store import LANDMARKS, POINT_NAMES
from posecli.corpus.viewpoints import Seen
from posecli.skeleton import HEIGHT_OVER_CHAIN

_P = {name: k for k, name in enumerate((*POINT_NAMES, "skull"))}  # skull: midway between the ears
_SIDE = [
    1.0 if n.endswith("left") or n.startswith("left") else -1.0 if "right" in n else 0.0
    for n in LANDMARK_NAMES
]
_FACE = [k for k, p in enumerate(SEEN_POINTS) if POINT_NAMES[p] in LANDMARKS]
_HIPS = [LANDMARK_NAMES.index(n) for n in ("left_hip", "right_hip")]
_CHAIN = ((2, 1), (3, 2), (0, 7), (7, 8), (8, 9), (9, 10))

# Flesh that can hide a joint: from point to point, radius in metres of an adult.
_FLESH = (
    ("Hip", "Thorax", 0.13), ("LShoulder", "RShoulder", 0.07), ("skull", "skull", 0.085),
    ("LHip", "LKnee", 0.075), ("RHip", "RKnee", 0.075), ("LKnee", "LAnkle", 0.05), ("RKnee", "RAnkle", 0.05),
    ("LShoulder", "LElbow", 0.047), ("RShoulder", "RElbow", 0.047), ("LElbow", "LWrist", 0.037),
    ("RElbow", "RWrist", 0.037),
)  # fmt: skip
# How deep a joint lies in its own flesh, which does not count as hiding it.
_DEEP = {"hip": 0.16, "shoulder": 0.12, "knee": 0.12, "elbow": 0.1, "ankle": 0.1, "wrist": 0.09}


@dataclass(frozen=True)
class Views:
    """flat: (B, T, D, 2) true flat coordinates. unit: (B, T, 1, 1), half the person's standing height as it would
    look there, flat. axes: (B, T, D, 3, 2), what a step of one unit outwards (away from the body's middle plane),
    up and forward along the body part does to `flat`, in units. front: (B, T, D) 1 when the part faces the camera,
    -1 when it shows its back. near: (B, T, D) 1 where the landmark's side of the body is turned to the camera, -1
    where it is turned away, 0 for the nose. hidden: (B, T, D) from 0 to 1, behind other parts of the body.
    beyond: (B, T, D, 2), how far outside the picture, in units, 0 inside. tilt: (B, T), angle in the picture
    between the way from hips to face and up, radians.
    """

    flat: Tensor
    unit: Tensor
    axes: Tensor
    front: Tensor
    near: Tensor
    hidden: Tensor
    beyond: Tensor
    tilt: Tensor


def view(seen: Seen, every: int = 1) -> Views:
    """Windows before their cameras → how each landmark is seen; hiding is found every `every` frames only."""
    points = seen.points
    joints = points[:, :, SEEN_POINTS]
    height = _half_height(points)
    flat = seen.flat(joints)
    unit = (height / points[:, :, 0, 2] * seen.zoom[:, None])[..., None, None]
    frames = _part_axes(points)  # (B, T, 5, 3, 3), rows: left, up, forward
    frames = frames[:, :, _PART]
    side = torch.tensor(_SIDE)
    ray = F.normalize(joints, dim=-1)
    toward = -(frames @ ray[..., None])[
        ..., 0
    ]  # (B, T, D, 3): cosines between the axes and the way to the camera
    # A step o moves x/z by (o_x - x/z o_z) / z.
    step = frames[..., :2] - (joints[..., :2] / joints[..., 2:])[..., None, :] * frames[..., 2:]
    step = step * (points[:, :, :1, 2:] / joints[..., 2:])[..., None]
    outwards = torch.where(side == 0, 0.0, side)[:, None, None] * step[..., :1, :]
    axes = torch.cat([outwards, step[..., 1:, :]], dim=-2)
    over = (flat.abs() - seen.half[:, None, None]).clamp(min=0) * flat.sign()
    trunk = flat[:, :, _FACE].mean(dim=2) - flat[:, :, _HIPS].mean(dim=2)
    return Views(
        flat, unit, axes, front=toward[..., 2], near=side * toward[..., 0], hidden=_hidden(points, height, every),
        beyond=over / unit, tilt=torch.atan2(trunk[..., 0].abs(), -trunk[..., 1]),
    )  # fmt: skip


def _half_height(points: Tensor) -> Tensor:
    """(B, 1): half the standing height by the bones of a window's first frame."""
    first = points[:, 0]
    ends = first[:, [b for _, b in _CHAIN]] - first[:, [a for a, _ in _CHAIN]]
    return torch.linalg.vector_norm(ends, dim=-1).sum(-1, keepdim=True) * (HEIGHT_OVER_CHAIN / 2)


# Which of the five parts below a landmark sits on.
_PARTS = (("shoulder", 1), ("elbow", 1), ("wrist", 1), ("hip", 0), ("knee", 2), ("ankle", 2))
_PART = [
    next((p + (k == "knee" or k == "ankle") * ("right" in n) for k, p in _PARTS if k in n), 4)
    for n in LANDMARK_NAMES
]


def _part_axes(points: Tensor) -> Tensor:
    """(B, T, 5, 3, 3) rows left, up, forward of pelvis, chest, left leg, right leg (along the shin), head."""
    left = [
        ("LHip", "RHip"),
        ("LShoulder", "RShoulder"),
        ("LHip", "RHip"),
        ("LHip", "RHip"),
        ("left_ear", "right_ear"),
    ]
    up = [
        ("Thorax", "Hip"),
        ("Thorax", "Hip"),
        ("LKnee", "LAnkle"),
        ("RKnee", "RAnkle"),
        ("left_eye", "mouth_left"),
    ]
    y = F.normalize(_between(points, up), dim=-1)
    x = _between(points, left)
    x = F.normalize(x - (x * y).sum(-1, keepdim=True) * y, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-2)


def _between(points: Tensor, pairs: list[tuple[str, str]]) -> Tensor:
    return points[:, :, [_P[a] for a, _ in pairs]] - points[:, :, [_P[b] for _, b in pairs]]


def _hidden(points: Tensor, height: Tensor, every: int) -> Tensor:
    """(B, T, D): does the line from the camera to a landmark pass through flesh well before it arrives?"""
    frames = points.shape[1]
    if every > 1:
        rows = torch.arange(0, frames + every - 1, every).clamp(max=frames - 1)
        points = points[:, rows]
    ears = points[:, :, [_P["left_ear"], _P["right_ear"]]].mean(dim=2, keepdim=True)
    points = torch.cat([points, ears], dim=2)
    size = (height / 0.87)[..., None, None]  # (B, 1, 1, 1) of an adult's
    a, b = [_P[name] for name, _, _ in _FLESH], [_P[name] for _, name, _ in _FLESH]
    x, y = (points[..., k] / points[..., 2] for k in range(2))
    along_x, along_y = (
        (x[..., b] - x[..., a])[:, :, None],
        (y[..., b] - y[..., a])[:, :, None],
    )  # (B, T, 1, C)
    away_x = x[..., SEEN_POINTS][..., None] - x[:, :, None, a]  # (B, T, D, C)
    away_y = y[..., SEEN_POINTS][..., None] - y[:, :, None, a]
    part = (away_x * along_x + away_y * along_y) / (along_x.square() + along_y.square()).clamp(min=1e-8)
    part = part.clamp(0, 1)
    near, far = points[:, :, None, a, 2], points[:, :, None, b, 2]
    depth = near + part * (far - near)
    radius = torch.tensor([r for _, _, r in _FLESH]) * size
    aside = torch.hypot(away_x - part * along_x, away_y - part * along_y) * depth
    surface = depth - (radius.square() - aside.square()).clamp(min=0).sqrt()
    deep = torch.tensor([next((v for k, v in _DEEP.items() if k in n), 0.08) for n in LANDMARK_NAMES])
    gap = points[:, :, SEEN_POINTS, None, 2] - deep[:, None] * size - surface
    hidden = torch.sigmoid(torch.minimum(gap / 0.015, (radius - aside) / 0.008)).amax(dim=-1)
    hidden = (2 * hidden - 0.5).clamp(0, 1)  # nobody is a little hidden by flesh that is merely near
    if every > 1:
        hidden = F.interpolate(
            hidden.transpose(1, 2), size=(len(rows) - 1) * every + 1, mode="linear", align_corners=True
        ).transpose(1, 2)[:, :frames]
    return hidden
