"""A calibrated camera from points whose places are known and their pixels.

Human3.6M's archives hold motion in the world and its exact projection, but not the cameras. They follow from the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import rq
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from posecli.calibration import CalibratedCamera, from_screen
from posecli.errors import InputError

Array = NDArray[np.float64]


def fit_camera(
    world: NDArray[np.floating], pixels: NDArray[np.floating], image_size: tuple[int, int]
) -> tuple[CalibratedCamera, float]:
    """The camera that sees points (N, 3), world metres, at pixels (N, 2), and how far off it is, RMS in pixels.

    Direct linear transform without a lens (Hartley & Zisserman, Multiple View Geometry, 7.1), then least squares over
    all 15 numbers. Raises InputError where the points determine no camera.
    """
    points, places = np.asarray(world, dtype=np.float64), np.asarray(pixels, dtype=np.float64)
    try:
        start = _pack(*_linear(points, places))
    except (np.linalg.LinAlgError, ValueError):
        raise InputError("no camera follows from these points and pixels") from None

    def misses(values: Array) -> Array:
        camera = _unpack(values, image_size)
        return (from_screen(camera.project(camera.from_world(points)), image_size) - places).ravel()

    found = least_squares(misses, start, x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=30)
    return _unpack(found.x, image_size), float(np.sqrt((found.fun**2).mean() * 2))


def _linear(world: Array, pixels: Array) -> tuple[Array, Array, Array]:
    """Pinhole matrix (3, 3), rotation from the world, place in the world."""
    if len(world) < 6:
        raise ValueError("too few points")
    middle, spread = pixels.mean(axis=0), pixels.std() or 1.0
    seen = (pixels - middle) / spread
    centre, size = world.mean(axis=0), world.std() or 1.0
    points = np.c_[(world - centre) / size, np.ones(len(world))]
    zero = np.zeros_like(points)
    system = np.r_[np.c_[points, zero, -seen[:, :1] * points], np.c_[zero, points, -seen[:, 1:] * points]]
    _, vectors = np.linalg.eigh(system.T @ system)
    projection = vectors[:, 0].reshape(3, 4)
    pixel_back = np.array([[spread, 0, middle[0]], [0, spread, middle[1]], [0, 0, 1]])
    world_there = np.eye(4)
    world_there[:3] = np.c_[np.eye(3), -centre] / size
    projection = pixel_back @ projection @ world_there
    if np.linalg.det(projection[:, :3]) < 0:
        projection = -projection
    pinhole, turn = rq(projection[:, :3])
    signs = np.diag(np.sign(np.diag(pinhole)))
    pinhole, turn = pinhole @ signs, signs @ turn
    return pinhole / pinhole[2, 2], turn, -np.linalg.solve(projection[:, :3], projection[:, 3])


def _pack(pinhole: Array, turn: Array, place: Array) -> Array:
    return np.r_[
        np.diag(pinhole)[:2], pinhole[:2, 2], np.zeros(5), Rotation.from_matrix(turn).as_rotvec(), place
    ]


def _unpack(values: Array, image_size: tuple[int, int]) -> CalibratedCamera:
    numbers = [float(v) for v in values]
    x, y, z, w = Rotation.from_rotvec(values[9:12]).inv().as_quat()
    return CalibratedCamera(
        focal=(numbers[0], numbers[1]),
        centre=(numbers[2], numbers[3]),
        image_size=image_size,
        radial=(numbers[4], numbers[5], numbers[6]),
        tangential=(numbers[7], numbers[8]),
        orientation=(float(w), float(x), float(y), float(z)),
        translation=(numbers[12], numbers[13], numbers[14]),
    )
