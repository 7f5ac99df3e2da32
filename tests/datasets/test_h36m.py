"""Human3.6M's archives: what is read, which cameras follow, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_fixtures import script

from posecli.corpus.h36m import KEPT
from posecli.datasets import h36m
from posecli.datasets.check import check, complete
from posecli.datasets.resection import fit_camera
from posecli.errors import InputError

FRAMES = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("h36m")
    script().write_h36m(path, FRAMES, subjects=h36m.TEST)
    return path


@pytest.fixture(scope="module")
def cpn(folder: Path) -> h36m.Human36M:
    return h36m.load(folder, "cpn")


def raw(folder: Path, name: str, key: str) -> dict:
    with np.load(folder / name, allow_pickle=True) as file:
        return file[key].item()


def test_clips_are_the_archives_as_numpy_reads_them(folder: Path, cpn: h36m.Human36M) -> None:
    world = raw(folder, "data_3d_h36m.npz", "positions_3d")
    pixels = raw(folder, "data_2d_h36m_cpn_ft_h36m_dbb.npz", "positions_2d")
    clips = list(cpn.clips())
    assert len(clips) == 4 * (30 + 29)  # S11 has no "Directions"
    assert sum(map(len, clips)) == cpn.frames
    for clip in clips:
        truth = world[clip.subject][clip.take][:, list(KEPT)]
        seen = pixels[clip.subject][clip.take][clip.view]
        assert len(seen) == len(truth) + 1 and len(clip) == len(truth)  # keypoints are cut to the motion
        assert np.array_equal(clip.pixels, seen[: len(truth)])
        in_world = clip.camera.to_world(clip.poses + clip.root)
        assert np.abs(in_world - truth).max() < 1e-5
        assert not clip.poses[:, 0].any()
    assert {clip.action for clip in clips} == set(h36m.ACTIONS)


def test_cameras_follow_from_motion_and_its_projection(cpn: h36m.Human36M) -> None:
    for subject in h36m.TEST:
        for found, true in zip(cpn.cameras[subject], script().cameras(), strict=True):
            assert np.abs(found.intrinsics - true.intrinsics).max() < 1e-3
            assert np.abs(np.subtract(found.translation, true.translation)).max() < 1e-6  # metres
            a, b = np.array(found.orientation), np.array(true.orientation)
            assert min(np.abs(a - b).max(), np.abs(a + b).max()) < 1e-6
    assert cpn.misses_px < 1e-3


def test_keypoints_by_name(folder: Path) -> None:
    assert h36m.load(folder, "hr").joints == 16
    exact = h36m.load(folder, "gt")
    clip = next(exact.clips())
    with np.load(folder / "data_2d_h36m_gt.npz", allow_pickle=True) as file:
        assert np.array_equal(clip.pixels, file["positions_2d"].item()["S9"][clip.take][0])


def changed(folder: Path, tmp_path: Path, name: str, key: str, change) -> Path:
    for file in folder.glob("*.npz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = raw(tmp_path, name, key)
    change(content)
    np.savez(tmp_path / name, **{key: np.array(content, dtype=object)})
    return tmp_path


TRUE_2D, MOTION = ("data_2d_h36m_gt.npz", "positions_2d"), ("data_3d_h36m.npz", "positions_3d")


@pytest.mark.parametrize(
    ("where", "change", "says"),
    [
        (MOTION, lambda c: c.pop("S9"), "nothing of subject S9"),
        (MOTION, lambda c: c["S9"].update({"Eating 1": np.zeros((5, 20, 3))}), "32 or 17 joints"),
        (MOTION, lambda c: c["S9"].update({"Eating 1": np.full((5, 32, 3), np.nan)}), "not finite"),
        (TRUE_2D, lambda c: c["S11"].pop("Photo 1"), "S11 Photo 1 does not have 4 cameras"),
        (TRUE_2D, lambda c: c["S11"]["Photo 1"].pop(), "S11 Photo 1 does not have 4 cameras"),
        (TRUE_2D, lambda c: c["S9"].update({"Photo 1": [v[:3] for v in c["S9"]["Photo 1"]]}), "has 3 frames"),
        (TRUE_2D, lambda c: [c["S9"][t].reverse() for t in list(c["S9"])[:9]], "is not the projection"),
    ],
)
def test_what_does_not_fit_is_named(
    folder: Path, tmp_path: Path, where: tuple[str, str], change, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        h36m.load(changed(folder, tmp_path, *where, change), "cpn")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no data_3d_h36m\.npz in .*posecli data check h36m"):
        h36m.load(tmp_path)
    findings = check("h36m", tmp_path)
    assert [f.subject for f in findings if f.ok is False] == [
        "data_3d_h36m.npz", "data_2d_h36m_gt.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    ]  # fmt: skip
    assert all("missing" in f.text for f in findings) and not complete(findings)


def test_check_counts(folder: Path) -> None:
    said = {f.subject: f for f in check("h36m", folder)}
    assert said["cameras"].ok and said["data_2d_h36m_hr.npz"].ok
    assert said["data_2d_h36m_hr.npz"].text.startswith("16 joints")
    frames = sum(len(w) for takes in raw(folder, *MOTION).values() for w in takes.values()) * 4
    assert f"59 takes, {frames} frames" in said["test frames"].text
    assert said["test frames"].ok is False and "543344" in said["test frames"].text
    assert said["training"].ok is None


def test_points_of_no_camera() -> None:
    with pytest.raises(InputError, match="no camera follows"):
        fit_camera(np.zeros((3, 3)), np.zeros((3, 2)), (1000, 1000))


def test_joints_of_another_detector_are_refused(folder: Path, tmp_path: Path) -> None:
    """VideoPose3D offers COCO's 17 joints in a file of the same form."""
    for file in folder.glob("*.npz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    coco = {"layout_name": "coco", "num_joints": 17,
            "keypoints_symmetry": [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]}  # fmt: skip
    np.savez(
        tmp_path / "data_2d_h36m_detectron_pt_coco.npz",
        positions_2d=np.array(raw(folder, *TRUE_2D), dtype=object),
        metadata=np.array(coco, dtype=object),
    )
    with pytest.raises(InputError, match=r"not Human3\.6M's \(layout coco\)"):
        h36m.load(tmp_path, "detectron_pt_coco")
    said = {f.subject: f for f in check("h36m", tmp_path)}
    assert said["data_2d_h36m_detectron_pt_coco.npz"].ok is None  # it may lie there
    assert said["data_2d_h36m_gt.npz"].ok and said["data_2d_h36m_hr.npz"].ok
