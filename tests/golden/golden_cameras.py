"""Checks of calibrated cameras and of Human3.6M's joint numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cases import Case

from posecli.calibration import CalibratedCamera, from_screen, rotation, to_screen
from posecli.corpus.h36m import KEPT, camera_poses
from posecli.skeleton import H36M17


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"screen": _screen, "world": _world, "project": _project, "joints": _joints}


def _camera(case: Case) -> CalibratedCamera:
    s = case.settings["camera"]
    return CalibratedCamera(
        focal=tuple(s["focal"]),
        centre=tuple(s["center"]),
        image_size=(s["res_w"], s["res_h"]),
        radial=tuple(s["radial"]),
        tangential=tuple(s["tangential"]),
        orientation=tuple(s["orientation"]),
        translation=tuple(np.array(s["translation"]) / 1000),
    )


def _close(actual, case: Case, name: str, tolerance: str = "default") -> None:
    expected = case.arrays[name]
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= case.about["tolerance_abs"][tolerance], name


def _screen(case: Case) -> None:
    camera, pixels = _camera(case), case.arrays["pixels"]
    _close(camera.intrinsics, case, "intrinsic")
    _close(to_screen(pixels, camera.image_size), case, "screen_norm")
    for name in (n for n in case.arrays if n.startswith("norm_")):
        width, height = name.removeprefix("norm_").split("x")
        _close(to_screen(pixels, (int(width), int(height))), case, name)
    back = from_screen(to_screen(pixels, camera.image_size), camera.image_size)
    np.testing.assert_allclose(back, case.arrays["screen_back"], rtol=1e-6)  # pixels, not screen units


def _world(case: Case) -> None:
    camera = _camera(case)
    _close(np.array(camera.translation), case, "translation_m")
    points = camera.from_world(case.arrays["world_points"])
    _close(points, case, "camera_points", "world_camera")
    _close(camera.to_world(points), case, "world_back", "world_camera")
    turns = rotation(case.arrays["quaternions"])
    _close(turns.apply(case.arrays["vectors"]), case, "qrot")
    difference = rotation(case.arrays["qinverse"]) * turns
    assert difference.magnitude().max() < 1e-6


def _project(case: Case) -> None:
    camera, points = _camera(case), case.arrays["project_points"]
    _close(camera.project(points), case, "project")
    _close(camera.project(points, distort=False), case, "project_linear")
    depth = case.arrays["uvd_depth"].copy()
    depth[..., 0, :] = 0  # the root lies at its own depth, whatever the network said
    xyz = camera.back_project(case.arrays["uvd_2d"], depth + case.arrays["uvd_gt"][..., :1, 2:])
    _close(xyz - xyz[..., :1, :], case, "uvd2xyz")


def _joints(case: Case) -> None:
    for actual, name in (
        (KEPT, "kept_joints"),
        (H36M17.parents, "parents17"),
        (H36M17.left, "joints_left17"),
        (H36M17.right, "joints_right17"),
    ):
        assert list(actual) == case.arrays[name].tolist()
    _close(camera_poses(case.arrays["mocap32"], _camera(case)), case, "pose17_camera", "world_camera")
