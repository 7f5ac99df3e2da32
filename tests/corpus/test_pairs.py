"""The paired set: truth and detections agree, interruptions do not matter, damage is told in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from posecli.camera import Pinhole
from posecli.corpus import pairs as module
from posecli.corpus.landmarks_seen import LANDMARK_NAMES, SEEN_COLUMNS, SEEN_POINTS
from posecli.corpus.pair_clouds import unpack
from posecli.corpus.paired_windows import paired_batches
from posecli.corpus.pairs import MISSED, XY_STEPS, Pairs, load_pairs, make_pairs
from posecli.corpus.simulate import SimulatorConfig
from posecli.corpus.store import SPLITS, Clip
from posecli.demo import shipped_motion
from posecli.detect.blazepose import BlazePose
from posecli.errors import InputError, NetworkError, UsageError
from posecli.skeleton import H36M17

FRAMES = 4
EASY = SimulatorConfig(viewpoint="studio", mixed=0, sitting=0, reaching=0, still=0)


@pytest.fixture(scope="module")
def detector() -> BlazePose:
    try:
        return BlazePose(threads=1)
    except NetworkError as error:
        pytest.skip(f"the BlazePose networks cannot be had: {error}")


def clips() -> list[Clip]:
    points = shipped_motion().points
    return [Clip(points, 30.0, subject, 0, "A", 0, "", True, 1.0) for subject in (1, 5, 2)]


@pytest.fixture(scope="module")
def made(detector: BlazePose, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROUND", (1, 1, 1))
        assert make_pairs(clips(), path, windows=6, frames=FRAMES, detector=detector, config=EASY) == 6
    return path


def test_the_detector_sees_the_mannequin_where_it_is(made: Path) -> None:
    pairs = load_pairs(made)
    assert [SPLITS[k] for k in pairs.split] == ["train", "val", "test"] * 2
    assert pairs.subject.tolist() == [1, 5, 2] * 2
    assert pairs.found.mean() > 0.9
    limbs = [d for d, p in enumerate(SEEN_POINTS) if p < 17]
    true = pairs.projections()[:, :, SEEN_POINTS][:, :, limbs]
    height = np.ptp(true[..., 1], axis=2).mean(axis=1)
    error = np.linalg.norm(pairs.xy[:, :, SEEN_COLUMNS][:, :, limbs] - true, axis=-1) / height[:, None, None]
    assert np.nanmedian(error) < 0.05
    # Whole people in the picture, at 300 pixels or so: 320 are asked for.
    assert (true > 0).all() and (true < pairs.size[:, None, None]).all()
    assert (height > 120).all()
    # Heatmaps lie where the landmarks are: mean cell through the affine, within an eighth of the person.
    cell = np.concatenate([pairs.heatmaps[..., 1:3], np.ones_like(pairs.heatmaps[..., :1])], axis=-1)
    at = np.einsum("ntij,ntdj->ntdi", pairs.to_image, cell)
    off = np.linalg.norm(at - pairs.xy[:, :, SEEN_COLUMNS], axis=-1) / height[:, None, None]
    assert np.nanmedian(off) < 0.125
    # And so do the clouds kept of them, which are narrower: odds, not probabilities.
    assert pairs.places is not None
    places = unpack(pairs.places)
    assert np.array_equal(places.known.numpy().all(axis=2), pairs.found)
    middle, _ = places.through(torch.from_numpy(pairs.to_image)[:, :, None]).moments()
    off = np.linalg.norm(middle.numpy() - pairs.xy[:, :, SEEN_COLUMNS], axis=-1) / height[:, None, None]
    assert np.nanmedian(off) < 0.05
    whole = pairs.heatmaps[..., 3] + pairs.heatmaps[..., 5]
    kept = places.moments()[1].diagonal(dim1=-2, dim2=-1).sum(-1).numpy()
    assert np.nanmedian(kept / whole) < 1


def test_an_interrupted_run_goes_on_to_the_same_end(
    made: Path, detector: BlazePose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUND", (1, 1, 1))
    path = tmp_path / "pairs.h5"

    class Interrupted(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise Interrupted

    with pytest.raises(Interrupted):
        make_pairs(clips(), path, windows=6, frames=FRAMES, detector=detector, config=EASY, progress=stop)
    assert len(load_pairs(path)) == 3 and [p.name for p in tmp_path.iterdir()] == ["pairs.h5"]
    make_pairs(clips(), path, windows=6, frames=FRAMES, detector=detector, config=EASY)
    with h5py.File(path) as one, h5py.File(made) as other:
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name][()], other[name][()])
    # What the file holds is told, not what was asked for; and it is left as it is.
    assert make_pairs(clips(), path, windows=2, frames=FRAMES, detector=detector, config=EASY) == 6
    other = replace(EASY, bone_std=0.0)
    for changed in ({"seed": 1, "config": EASY}, {"config": other}):
        with pytest.raises(UsageError, match="other settings"):
            make_pairs(clips(), path, windows=6, frames=FRAMES, detector=detector, **changed)


def test_files_of_the_first_version_are_read_without_clouds(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    path.write_bytes(made.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["places"]
        with pytest.raises(InputError, match="places is missing"):
            load_pairs(path)
        file.attrs["schema"] = 1
    old, new = load_pairs(path, "val"), load_pairs(made, "val")
    assert old.places is None and new.places is not None and len(new.places) == 2
    np.testing.assert_array_equal(old.xy, new.xy)


def write(path: Path, xy: np.ndarray, points: np.ndarray, focal: float, size: tuple[int, int]) -> Pairs:
    """One window of exact detections (T, 33, 2) of points (T, 28, 3)."""
    t = len(xy)
    columns: module.Columns = {
        "split": np.array([1], np.uint8), "viewpoint": np.array([0], np.uint8), "subject": np.array([5], np.int32),
        "size": np.array([size], np.int32), "focal": np.array([focal], np.float32),
        "up": np.array([[0, -1, 0]], np.float32),
        "xy": np.where(np.isnan(xy), MISSED, np.round(xy * XY_STEPS)).astype(np.int16)[None],
        "scores": np.full((1, t, 33), 255, np.uint8), "points": np.round(points * 2000).astype(np.int16)[None],
        "heatmaps": np.zeros((1, t, 19, 7), np.float16), "to_image": np.zeros((1, t, 2, 3), np.float32),
        "places": np.zeros((1, t, 19, 4, 6), np.uint8),
    }  # fmt: skip
    module._write(path, [columns], {"frames": t})
    return load_pairs(path)


def exact(frames: int = 12) -> tuple[np.ndarray, np.ndarray, float, tuple[int, int]]:
    """Projections (T, 33, 2) through a lens 1.3 times as long as assumed, and the points (T, 28, 3)."""
    size = (720, 1280)
    points = shipped_motion().points[:frames].astype(float)
    points = (points - points[:, :1].mean(axis=0)) * [1, -1, -1] + [0.4, 0.1, 4.0]
    focal = 1.3 * Pinhole.from_fov(size).focal
    pixels = points[..., :2] / points[..., 2:] * focal + np.array(size) / 2
    xy = np.zeros((frames, 33, 2))
    xy[:, SEEN_COLUMNS] = pixels[:, SEEN_POINTS]
    return xy, points, focal, size


def test_batches_are_what_the_simulator_gives(tmp_path: Path) -> None:
    xy, points, focal, size = exact()
    (batch,) = paired_batches(write(tmp_path / "p.h5", xy, points, focal, size), 6)
    assert batch.x2d.shape == (2, 6, 17, 2) and batch.pose.shape == (2, 6, 17, 3)
    joints = torch.from_numpy(points[:, :17]).float().reshape(2, 6, 17, 3)
    torch.testing.assert_close(
        batch.faced.to_camera(batch.pose), joints - joints[:, :, :1], atol=6e-4, rtol=0
    )  # half millimetres
    limbs = [H36M17.index(n) for n in ("LAnkle", "RWrist", "LShoulder")]
    seen = 1.3 * joints[..., :2] / joints[..., 2:]
    torch.testing.assert_close(batch.flat[:, :, limbs], seen[:, :, limbs], atol=1e-4, rtol=0)  # pixels / 16
    assert batch.viewpoint.tolist() == [0, 0]


def test_gaps_are_bridged_and_long_absences_left_out(tmp_path: Path) -> None:
    xy, points, focal, size = exact(12)
    xy[2:4] = np.nan
    xy[6:11] = np.nan
    pairs = write(tmp_path / "p.h5", xy, points, focal, size)
    assert pairs.found[0].tolist() == [k not in (2, 3, 6, 7, 8, 9, 10) for k in range(12)]
    (batch,) = paired_batches(pairs, 6)
    assert len(batch.flat) == 1
    line = torch.lerp(batch.flat[0, 1], batch.flat[0, 4], 1 / 3)
    torch.testing.assert_close(batch.flat[0, 2], line, atol=1e-6, rtol=0)
    with pytest.raises(UsageError, match="12 frames, too short for 13"):
        paired_batches(pairs, 13)


def test_what_is_no_paired_set_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    with pytest.raises(InputError, match="does not exist"):
        load_pairs(path)
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(InputError, match="not a paired set"):
        load_pairs(path)
    with pytest.raises(ValueError, match="split"):
        load_pairs(path, "training")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("points", np.zeros((1, 84, 12), np.int16), "behind the camera"),
        ("split", np.array([7], np.uint8), "unknown split"),
        ("scores", np.zeros((1, 32, 12), np.uint8), "scores has shape"),
        ("focal", np.array([np.nan], np.float32), "make no sense"),
        ("xy", np.zeros((1, 66, 12), np.float64), "xy holds float64"),
        ("up", None, "up is missing"),
        ("to_image", np.full((1, 6, 12), np.inf, np.float32), "lie nowhere in the picture"),
    ],
)
def test_damage_is_told_in_one_line(tmp_path: Path, name: str, value: np.ndarray | None, words: str) -> None:
    path = tmp_path / "p.h5"
    write(path, *exact(12))
    with h5py.File(path, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value
    with pytest.raises(InputError, match=words) as caught:
        load_pairs(path)
    assert "\n" not in str(caught.value)


def test_names_of_landmarks() -> None:
    assert len(LANDMARK_NAMES) == 19 and LANDMARK_NAMES[0] == "nose" and LANDMARK_NAMES[-1] == "right_ankle"
