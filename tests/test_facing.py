"""The camera turned to the person."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from posecli.demo import shipped_motion
from posecli.facing import face_windows, turn_towards

POSE = torch.from_numpy(shipped_motion().points[:27, :17] * [1, -1, -1]).float()
POSE = POSE - POSE[:, :1].mean(dim=0, keepdim=True)


def seen(pose: Tensor, turn: Tensor, distance: float = 4.0) -> tuple[Tensor, Tensor]:
    """Rays (1, T, 17, 2) and points of a person at `distance` on the axis of a camera, which is then turned."""
    points = (pose + torch.tensor([0.0, 0.0, distance])) @ turn.T
    return (points[..., :2] / points[..., 2:])[None], points[None]


def rotation(axis: str, degrees: float) -> Tensor:
    return torch.from_numpy(Rotation.from_euler(axis, degrees, degrees=True).as_matrix()).float()


def test_turns_are_rotations_whose_axis_is_the_ray() -> None:
    centre = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * 2
    turn = turn_towards(centre)
    eye = torch.eye(3).expand(50, 3, 3)
    torch.testing.assert_close(turn @ turn.transpose(1, 2), eye, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(50), atol=1e-6, rtol=0)
    ray = torch.nn.functional.normalize(torch.cat([centre, torch.ones(50, 1)], -1), dim=-1)
    torch.testing.assert_close(turn[:, :, 2], ray, atol=1e-6, rtol=0)
    assert turn[:, 1, 0].abs().max() < 1e-6  # no roll: x stays level
    torch.testing.assert_close(turn_towards(torch.zeros(1, 2)), torch.eye(3)[None])


def test_a_pan_gives_the_known_matrix() -> None:
    turn = turn_towards(torch.tensor([[math.tan(math.radians(30)), 0.0]]))
    torch.testing.assert_close(turn[0], rotation("y", 30), atol=1e-6, rtol=0)


def test_to_and_from_camera_are_inverse() -> None:
    faced = face_windows(seen(POSE, rotation("yx", [25, 10]))[0])
    points = torch.randn(1, 4, 27, 17, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(faced.to_camera(faced.from_camera(points)), points, atol=1e-5, rtol=0)
    expected = torch.einsum("ij,bhtkj->bhtki", faced.rotation[0], points)
    torch.testing.assert_close(faced.to_camera(points), expected, atol=1e-5, rtol=0)


def test_the_box_fills_minus_one_to_one_along_its_longer_side() -> None:
    for distance in (1.6, 4.0, 20.0):
        x2d = face_windows(seen(POSE, rotation("yx", [20, -8]), distance)[0]).x2d
        half = (x2d.amax(dim=(1, 2)) - x2d.amin(dim=(1, 2))) / 2
        torch.testing.assert_close(half.amax(), torch.tensor(1.0), atol=1e-5, rtol=0)
        assert x2d.abs().max() < 1.15  # and lies about the middle


def test_an_exponent_keeps_its_share_of_the_size() -> None:
    """A person half as far away is about twice as large; with an exponent of a half, √2 times."""
    near, far = (face_windows(seen(POSE, torch.eye(3), d)[0], size_exponent=0.5) for d in (3.0, 6.0))
    half = [float((w.x2d.amax(dim=(1, 2)) - w.x2d.amin(dim=(1, 2))).amax() / 2) for w in (near, far)]
    assert half[0] / half[1] == pytest.approx(float((near.scale / far.scale) ** 0.5), rel=1e-5)
    assert half[1] == pytest.approx(float((far.scale / 0.2) ** 0.5), rel=1e-5)


def test_scale_is_half_the_box_as_a_tangent() -> None:
    flat = torch.tensor([[-0.1, -0.3], [0.1, 0.3]]).reshape(1, 1, 2, 2)
    faced = face_windows(flat)
    torch.testing.assert_close(faced.scale, torch.tensor([0.3]))
    torch.testing.assert_close(faced.x2d * 0.3, flat)


@pytest.mark.parametrize(
    ("axis", "degrees", "limit_2d", "limit_3d"),
    [("y", 30, 0.02, 0.005), ("y", -20, 0.02, 0.005), ("x", 12, 0.05, 0.01), ("x", -25, 0.1, 0.02),
     ("yx", [25, 10], 0.15, 0.07)],
)  # fmt: skip
def test_turning_the_camera_changes_hardly_anything(
    axis: str, degrees: float, limit_2d: float, limit_3d: float
) -> None:
    """The person at the image's edge or in its middle: nearly the same 2D, and pose in the turned camera. What is
    left: the box's middle is no fixed point of the body, and after pan and tilt "without roll" means 4° of roll.
    """
    flat, points = seen(POSE, torch.eye(3))
    middle = face_windows(flat)
    flat, turned = seen(POSE, rotation(axis, degrees))
    faced = face_windows(flat)
    assert (faced.x2d - middle.x2d).abs().max() < limit_2d
    bones, expected = (p - p[:, :, :1] for p in (turned, points))
    assert (faced.from_camera(bones) - middle.from_camera(expected)).abs().max() < limit_3d
    assert (bones - expected).abs().max() > 0.15  # what it would be without the turn


def test_one_point_many_times_is_no_division_by_zero() -> None:
    faced = face_windows(torch.full((2, 3, 17, 2), 0.4))
    assert torch.isfinite(faced.x2d).all() and faced.x2d.abs().max() < 1.1
