"""Calibrated cameras: round trips, and the pinhole camera as the case without a lens."""

from __future__ import annotations

import numpy as np

from posecli.calibration import CalibratedCamera, from_screen, to_screen
from posecli.camera import Pinhole

SIZE = (640, 480)
TURNED = CalibratedCamera(
    focal=(500.0, 500.0),
    centre=(310.0, 250.0),
    image_size=SIZE,
    orientation=(0.5, 0.5, -0.5, 0.5),
    translation=(1.0, -2.0, 3.0),
)


def points() -> np.ndarray:
    return np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 5], (4, 17, 3))


def test_screen_coordinates_of_corners_and_back() -> None:
    corners = np.array([[0, 0], [640, 480], [320, 240]])
    np.testing.assert_allclose(to_screen(corners, SIZE), [[-1, -0.75], [1, 0.75], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(from_screen(to_screen(points()[..., :2], SIZE), SIZE), points()[..., :2])


def test_world_and_back() -> None:
    np.testing.assert_allclose(TURNED.to_world(TURNED.from_world(points())), points(), atol=1e-12)
    np.testing.assert_allclose(TURNED.to_world(np.zeros((1, 3))), [TURNED.translation])


def test_without_a_lens_it_is_the_pinhole_camera() -> None:
    pixels = Pinhole(500.0, (310.0, 250.0)).project(points())
    np.testing.assert_allclose(from_screen(TURNED.project(points()), SIZE), pixels, atol=1e-9)


def test_back_projection_undoes_projection() -> None:
    p = points()
    np.testing.assert_allclose(TURNED.back_project(TURNED.project(p), p[..., 2:]), p, atol=1e-12)


def test_radial_distortion_by_hand() -> None:
    camera = CalibratedCamera((320.0, 320.0), (320.0, 240.0), SIZE, radial=(0.1, 0.0, 0.0))
    # x/z = 0.5, r² = 0.25: stretched by 1.025; one focal length is one half of the image's width
    np.testing.assert_allclose(camera.project(np.array([1.0, 0.0, 2.0])), [0.5 * 1.025, 0.0])
