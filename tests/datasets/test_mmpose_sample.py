"""Four real frames of Human3.6M, from mmpose's test data, where a tester has them: our model of its cameras' lenses.

POSECLI_MMPOSE_H36M names the folder (tests/data/h36m of mmpose), which holds test_h36m_body3d.npz (imgname; part,
pixels; S, the camera's frame) and cameras.pkl ((subject, camera) → f, c, k, p, w, h). Without it the same is done on
a generated folder of that form.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from dataset_fixtures import script

from posecli.calibration import CalibratedCamera, from_screen
from posecli.corpus.h36m import KEPT
from posecli.datasets.h36m import CAMERAS
from posecli.datasets.resection import fit_camera
from posecli.untrusted_npz import _Revival, read_npz
from posecli.weights.unpickle import read_inert

REAL = os.environ.get("POSECLI_MMPOSE_H36M")


def generated(folder: Path) -> Path:
    script().write_h36m(folder / "h36m", 2, subjects=("S9", "S11"), actions=("Posing",))
    with np.load(folder / "h36m/data_3d_h36m.npz", allow_pickle=True) as file:
        world = file["positions_3d"].item()["S9"]["Posing 1"][:, list(KEPT)]
    names, pixels, points, cameras = [], [], [], {}
    for name, camera in zip(CAMERAS, script().cameras(), strict=True):
        placed = camera.from_world(world[0])
        seen = from_screen(camera.project(placed), camera.image_size)
        names.append(f"S9/S9_Posing_1.{name}/S9_Posing_1.{name}_000001.jpg")
        pixels.append(np.c_[seen, np.ones(17)])
        points.append(np.c_[placed, np.ones(17)])
        column = {"f": camera.focal, "c": camera.centre, "k": camera.radial, "p": camera.tangential}
        cameras["S9", name] = {
            **{key: np.array(value)[:, None] for key, value in column.items()},
            "w": camera.image_size[0], "h": camera.image_size[1], "name": f"camera {name}",
        }  # fmt: skip
    np.savez(
        folder / "test_h36m_body3d.npz", imgname=np.array(names), part=np.array(pixels), S=np.array(points)
    )
    (folder / "cameras.pkl").write_bytes(pickle.dumps(cameras))
    return folder


@pytest.mark.parametrize("real", [True, False], ids=["mmpose's", "generated"])
def test_our_lens_is_human36ms(real: bool, tmp_path: Path) -> None:
    if real and not REAL:
        pytest.skip("set POSECLI_MMPOSE_H36M to the folder tests/data/h36m of mmpose")
    folder = Path(REAL) if real and REAL else generated(tmp_path)
    data = read_npz(folder / "test_h36m_body3d.npz", "imgname", "part", "S")
    with (folder / "cameras.pkl").open("rb") as file:
        cameras = _Revival(1 << 20).of(read_inert(file))
    assert len(data["imgname"]) == 4
    for name, part, points in zip(data["imgname"], data["part"], data["S"], strict=True):
        subject, rest = Path(str(name)).name.split("_", 1)
        about = cameras[subject, rest.split(".")[1].split("_")[0]]
        f, c, k, p = (np.ravel(about[key]).astype(float) for key in "fckp")
        camera = CalibratedCamera(
            (f[0], f[1]), (c[0], c[1]), (int(about["w"]), int(about["h"])), (k[0], k[1], k[2]), (p[0], p[1])
        )
        seen = from_screen(camera.project(points[:, :3].astype(float)), camera.image_size)
        # VideoPose3D's tangential term, which is ours, is a simplification of the data set's: 0.1 px or so
        assert np.abs(seen - part[:, :2]).max() < 1.0


def test_a_camera_is_found_from_few_frames() -> None:
    """What the readers of Human3.6M and HumanEva rest on, from no more points than four frames have."""
    true = script().cameras()[0]
    world = script().motion(90, 0)[::22][:4].reshape(-1, 3)
    pixels = from_screen(true.project(true.from_world(world)), true.image_size)
    found, off = fit_camera(world, pixels, true.image_size)
    assert off < 1e-4 and np.abs(np.subtract(found.focal, true.focal)).max() < 0.5
