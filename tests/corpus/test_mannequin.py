"""The mannequin is where the camera should see it, and is the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from posecli.corpus.mannequin import Stage, Style
from posecli.corpus.mannequin_room import Ground
from posecli.corpus.store import POINT_NAMES

SIZE = (360, 640)


@dataclass(frozen=True)
class Camera:
    """A camera in the corpus's world (y up, metres): x_camera = rotation · x_world + translation.

    k: (3, 3) pixels. Camera frame x right, y down, z forward.
    """

    k: NDArray[np.float64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def to_camera(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """World points (..., 3) → camera frame."""
        return points @ self.rotation.T + self.translation

    def ground(self, height: float = 0.0) -> Ground:
        """The plane y = `height` of the world, in the camera frame."""
        up = self.rotation[:, 1]
        return Ground((float(up[0]), float(up[1]), float(up[2])), float(height + up @ self.translation))


def standing() -> np.ndarray:
    """A person of 1.75 m who stands upright at the origin and looks along +z: (28, 3), metres, y up."""
    places = {
        "Hip": (0, 0.93, 0), "RHip": (-0.09, 0.93, 0), "RKnee": (-0.09, 0.50, 0), "RAnkle": (-0.09, 0.08, 0),
        "LHip": (0.09, 0.93, 0), "LKnee": (0.09, 0.50, 0), "LAnkle": (0.09, 0.08, 0), "Spine": (0, 1.1, 0),
        "Thorax": (0, 1.36, 0), "Neck/Nose": (0, 1.56, 0.02), "Head": (0, 1.66, 0.03), "LShoulder": (0.18, 1.42, 0),
        "LElbow": (0.3, 1.15, 0), "LWrist": (0.35, 0.9, 0.03), "RShoulder": (-0.18, 1.42, 0),
        "RElbow": (-0.3, 1.15, 0), "RWrist": (-0.35, 0.9, 0.03), "nose": (0, 1.63, 0.14),
        "left_eye": (0.032, 1.65, 0.11), "right_eye": (-0.032, 1.65, 0.11), "left_ear": (0.075, 1.625, 0.02),
        "right_ear": (-0.075, 1.625, 0.02), "mouth_left": (0.025, 1.58, 0.115), "mouth_right": (-0.025, 1.58, 0.115),
        "left_heel": (0.09, 0.02, -0.05), "right_heel": (-0.09, 0.02, -0.05), "left_foot_index": (0.1, 0.02, 0.19),
        "right_foot_index": (-0.1, 0.02, 0.19),
    }  # fmt: skip
    return np.array([places[name] for name in POINT_NAMES], dtype=float)


def camera(azimuth_deg: float = 0.0) -> Camera:
    """Upright, 4 m away, turned towards the person's middle; 45° along the longer side of the image."""
    turn = np.radians(azimuth_deg)
    position = np.array([4 * np.sin(turn), 1.2, 4 * np.cos(turn)])
    forward = np.array([0, 0.9, 0]) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    focal = max(SIZE) / 2 / np.tan(np.radians(45) / 2)
    k = np.array([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1.0]])
    return Camera(k, rotation, -rotation @ position)


def colours_of(style: Style, picture: np.ndarray, uv: np.ndarray) -> dict[str, np.ndarray]:
    at = np.round(uv).astype(int)
    return {name: picture[y, x].astype(float) for name, (x, y) in zip(POINT_NAMES, at, strict=True)}


def hue(colour: np.ndarray) -> np.ndarray:
    return colour / np.linalg.norm(colour)


def test_camera_is_upright_and_not_mirrored() -> None:
    seen = camera().to_camera(np.array([[0, 0.9, 0], [0, 1.9, 0], [1, 0.9, 0]]))
    np.testing.assert_allclose(seen[0], [0, 0, np.hypot(4, 0.3)], atol=1e-9)
    assert seen[1, 1] < seen[0, 1]  # y is down in the camera
    assert seen[2, 0] > 0.99  # seen from the front, the person's left is on the right
    assert np.linalg.det(camera(70).rotation) == pytest.approx(1)
    ground = camera(70).ground(0.25)
    on_floor = camera(70).to_camera(np.array([[3.0, 0.25, -2.0]]))
    assert on_floor @ np.array(ground.up) == pytest.approx(ground.height)


@pytest.mark.parametrize("azimuth", [0, 60, 180])
def test_joints_are_covered_in_their_colours(azimuth: int) -> None:
    style = replace(Style(), grain=0.0)
    view = camera(azimuth)
    points = view.to_camera(standing())
    uv = points @ view.k.T
    uv = uv[:, :2] / uv[:, 2:]
    picture = Stage(view.k, SIZE, style, view.ground(), 4.0).render(points)
    seen = colours_of(style, picture, uv)
    expected = {
        "LKnee": style.clothes.trousers, "RKnee": style.clothes.trousers, "LElbow": style.clothes.skin,
        "Thorax": style.clothes.shirt, "RWrist": style.clothes.skin,
    }  # fmt: skip
    if azimuth == 0:
        expected["nose"] = style.clothes.skin
    if azimuth == 180:
        expected["nose"] = style.clothes.hair
    if azimuth == 60:
        del expected["RWrist"]  # behind the body
    for name, colour in expected.items():
        np.testing.assert_allclose(hue(seen[name]), hue(np.array(colour, float)), atol=0.03, err_msg=name)


def test_nothing_beyond_the_body_is_painted() -> None:
    style = replace(Style(), grain=0.0, shadow=0.0)
    view = camera()
    stage = Stage(view.k, SIZE, style, view.ground(), 4.0)
    points = view.to_camera(standing())
    changed = (stage.render(points) != stage.room).any(axis=-1)
    uv = points @ view.k.T
    uv = uv[:, :2] / uv[:, 2:]
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    metre = view.k[0, 0] / 4.0
    assert uv[:, 1].min() - 0.2 * metre < rows[0] < uv[:, 1].min()
    assert uv[:, 1].max() < rows[-1] < uv[:, 1].max() + 0.1 * metre
    assert uv[:, 0].min() - 0.15 * metre < columns[0] < columns[-1] < uv[:, 0].max() + 0.15 * metre


def test_same_seed_same_picture() -> None:
    view = camera(30)
    points = view.to_camera(standing())

    def picture(seed: int) -> NDArray[np.uint8]:
        style = Style.random(np.random.default_rng(seed))
        return Stage(view.k, SIZE, style, view.ground(), 4.0).render(points, 7)

    a, b = picture(5), picture(5)
    np.testing.assert_array_equal(a, b)
    assert a.shape == (640, 360, 3) and a.dtype == np.uint8
    assert (picture(6) != a).any()


@pytest.mark.parametrize("shift", [(0, 0, -4.1), (0, 0, -3.95), (3, 0, 0), (0, -9, 0)])
def test_people_out_of_sight_or_too_near_do_no_harm(shift: tuple[float, float, float]) -> None:
    view = camera()
    points = view.to_camera(standing()) + shift
    picture = Stage(view.k, SIZE, Style(), view.ground(), float(points[0, 2])).render(points)
    assert picture.shape == (640, 360, 3)


def test_a_style_must_make_sense() -> None:
    with pytest.raises(ValueError, match="ambient"):
        Style(ambient=2.0)
    with pytest.raises(ValueError, match="lamp"):
        Style(lamp=(0, 0, 0))
