"""HumanEva-I's archives: what is read, which cameras follow, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_fixtures import script

from posecli.datasets import humaneva
from posecli.datasets.check import check, complete
from posecli.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("humaneva")
    script().write_humaneva(path, 12)
    return path


def raw(folder: Path, name: str, key: str) -> dict:
    with np.load(folder / name, allow_pickle=True) as file:
        return file[key].item()


def test_clips_are_the_archives_as_numpy_reads_them(folder: Path) -> None:
    data = humaneva.load(folder)
    clips = list(data.clips())
    assert (
        len(clips) == 3 * 3 * 2 * 3 and sum(map(len, clips)) == data.frames
    )  # people, actions, chunks, cameras
    assert {c.group for c in clips} == {
        f"{a} {s}" for a in ("Walk", "Jog", "Box") for s in ("S1", "S2", "S3")
    }
    world = raw(folder, "data_3d_humaneva15.npz", "positions_3d")
    pixels = raw(folder, "data_2d_humaneva15_gt.npz", "positions_2d")
    for clip in clips:
        assert np.array_equal(clip.pixels, pixels[f"Validate/{clip.person}"][clip.take][clip.view])
        truth = world[f"Validate/{clip.person}"][clip.take]
        assert np.abs(clip.camera.to_world(clip.poses + clip.root) - truth).max() < 1e-4
        assert not clip.poses[:, 0].any()


def test_cameras_follow_from_motion_and_its_projection(folder: Path) -> None:
    data = humaneva.load(folder)
    assert data.misses_px is not None and data.misses_px < 0.001
    true = script().cameras(((640, 480),) * 3)
    for row in data.cameras.values():
        for found, expected in zip(row, true, strict=True):
            assert np.abs(np.subtract(found.translation, expected.translation)).max() < 1e-4


def test_without_cameras_poses_stay_in_the_world(folder: Path, tmp_path: Path) -> None:
    """Keypoints that are not the projection, or no exact ones: P-MPJPE needs none."""
    (tmp_path / "data_3d_humaneva15.npz").write_bytes((folder / "data_3d_humaneva15.npz").read_bytes())
    pixels = raw(folder, "data_2d_humaneva15_gt.npz", "positions_2d")
    rng = np.random.default_rng(0)
    for takes in pixels.values():
        for views in takes.values():
            views[:] = [(v + rng.normal(0, 3, v.shape)).astype(np.float32) for v in views]
    for name, misses in (("hr", None), ("gt", pytest.approx(3 * 2**0.5, rel=0.1))):
        np.savez(tmp_path / f"data_2d_humaneva15_{name}.npz", positions_2d=np.array(pixels, dtype=object))
        data = humaneva.load(tmp_path, name)
        assert data.cameras == {} and data.misses_px == misses
        clip = next(data.clips())
        truth = raw(folder, "data_3d_humaneva15.npz", "positions_3d")[f"Validate/{clip.person}"][clip.take]
        assert clip.root is None and np.abs(clip.poses - (truth - truth[:, :1])).max() < 1e-6
    said = {f.subject: f for f in check("humaneva", tmp_path)}
    assert said["cameras"].ok is None and "only P-MPJPE is scored" in said["cameras"].text


def test_check(folder: Path, tmp_path: Path) -> None:
    findings = check("humaneva", folder)
    assert complete(findings)
    said = {f.subject: f.text for f in findings}
    assert said["test frames"] == "Walk, Jog, Box: 18 chunks, 702 frames over all cameras"
    assert said["data_2d_humaneva15_gt.npz"] == "15 joints, 3 cameras, every chunk"
    nothing = check("humaneva", tmp_path)
    assert [f.ok for f in nothing] == [False, False] and "humaneva.is.tue.mpg.de" in nothing[0].text
    with pytest.raises(InputError, match="posecli data check humaneva"):
        humaneva.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w, p: w.pop("Validate/S2"), "nothing of subject Validate/S2"),
        (lambda w, p: w.update({"Validate/S2": {"Gestures 1 chunk0": np.zeros((4, 15, 3))}}), "has no takes of Walk"),
        (lambda w, p: w["Validate/S2"].update({"Jog 1 chunk0": np.zeros((4, 20, 3))}), "15 joints, 3"),
        (lambda w, p: p["Validate/S2"]["Jog 1 chunk0"].pop(), "does not have 3 cameras"),
        (lambda w, p: p["Validate/S2"].update({"Jog 1 chunk0": [None] * 3}), r"is not \(frames, 15 joints, 2\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path, change, says: str) -> None:
    world = raw(folder, "data_3d_humaneva15.npz", "positions_3d")
    pixels = raw(folder, "data_2d_humaneva15_gt.npz", "positions_2d")
    change(world, pixels)
    np.savez(tmp_path / "data_3d_humaneva15.npz", positions_3d=np.array(world, dtype=object))
    np.savez(tmp_path / "data_2d_humaneva15_gt.npz", positions_2d=np.array(pixels, dtype=object))
    with pytest.raises(InputError, match=says):
        humaneva.load(tmp_path)
    assert not complete(check("humaneva", tmp_path))
