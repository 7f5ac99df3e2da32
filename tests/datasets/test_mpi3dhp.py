"""MPI-INF-3DHP's archives: what is read, the two truths told apart, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_fixtures import script

from posecli.datasets import mpi3dhp
from posecli.datasets.check import check, complete
from posecli.errors import InputError, UsageError

TEST = "data_test_3dhp_ori.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("3dhp")
    script().write_3dhp(path)
    return path


def raw(path: Path) -> dict:
    with np.load(path, allow_pickle=True) as file:
        return file["data"].item()


def test_sequences_are_the_archive_as_numpy_reads_it(folder: Path) -> None:
    content = raw(folder / TEST)
    sequences = mpi3dhp.load(folder)
    assert [s.name for s in sequences] == list(content) == list(mpi3dhp.SEQUENCES)
    for s in sequences:
        found = content[s.name]
        assert np.abs(1000 * (s.poses + s.root) - found["data_3d"]).max() < 0.002
        assert not s.poses[:, 14].any()
        assert np.abs(s.pixels - found["data_2d"]).max() < 1e-3
        assert np.array_equal(s.valid, found["valid"] == 1)
        assert s.camera.image_size == ((1920, 1080) if s.name in ("TS5", "TS6") else (2048, 2048))
        assert s.reprojection_px < 0.001


def test_the_two_truths_are_told_apart(folder: Path) -> None:
    recorded, universal = (mpi3dhp.load(folder, kind) for kind in mpi3dhp.ANNOTATIONS)
    assert mpi3dhp.annotation_of(recorded) == "annot3"
    assert mpi3dhp.annotation_of(universal) == "univ_annot3"
    # one of the people happens to have the universal size
    assert abs(recorded[4].knee_to_neck_mm / 920 - 1) < 0.02 and mpi3dhp.annotation_of(recorded) == "annot3"
    assert [round(s.knee_to_neck_mm, 3) for s in universal] == [920] * 6
    assert [round(s.root.sum(), 3) for s in recorded] == [round(s.root.sum(), 3) for s in universal]


def test_a_file_under_the_other_ones_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / TEST).write_bytes((folder / "data_test_3dhp.npz").read_bytes())
    said = {f.subject: f for f in check("3dhp", tmp_path)}
    assert said["annot3 truth"].ok is False and "the file's name says annot3" in said["annot3 truth"].text
    assert said["data_test_3dhp.npz"].ok is None  # one of the two is enough


def test_counts_and_what_is_missing(folder: Path, tmp_path: Path) -> None:
    said = {f.subject: f for f in check("3dhp", folder)}
    assert said["annot3 truth"].ok and said["univ_annot3 truth"].ok
    frames = said["annot3 frames"]
    assert frames.ok is False and "TS1 21 of 24" in frames.text and "603, 540, 505" in frames.text
    train = said["data_train_3dhp_ori.npz"]
    assert train.ok and train.text == "16 sequences, 640 frames over all cameras, 8 cameras each"
    nothing = check("3dhp", tmp_path)
    assert not complete(nothing) and [f.ok for f in nothing] == [False, False, None, None]
    assert "vcai.mpi-inf.mpg.de/3dhp-dataset" in nothing[0].text and "P-STMO" in nothing[1].text
    with pytest.raises(InputError, match="posecli data check 3dhp"):
        mpi3dhp.load(tmp_path)
    with pytest.raises(UsageError, match="one of annot3, univ_annot3"):
        mpi3dhp.load(folder, "annot2")


def test_as_many_frames_as_the_evaluations_count(tmp_path: Path) -> None:
    script().write_3dhp(tmp_path)
    content = raw(tmp_path / TEST)
    for name, count in zip(mpi3dhp.SEQUENCES, mpi3dhp.VALID, strict=True):
        content[name] = {k: np.repeat(v[:1], count, axis=0) for k, v in content[name].items()}
    np.savez(tmp_path / TEST, data=np.array(content, dtype=object))
    said = {f.subject: f for f in check("3dhp", tmp_path)}
    assert said["annot3 frames"].ok and "TS6 452 of 452" in said["annot3 frames"].text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.clear(), "holds none of the sequences"),
        (lambda c: c["TS2"].pop("valid"), "TS2 does not say of each frame"),
        (lambda c: c["TS2"].update(valid=np.ones(3)), "TS2 does not say of each frame"),
        (lambda c: c["TS3"].pop("data_2d"), "TS3 lacks data_2d"),
        (
            lambda c: c["TS3"].update(data_3d=np.zeros((5, 28, 3))),
            r"TS3, data_3d, is not \(frames, 17 joints",
        ),
        (lambda c: c["TS3"].update(data_3d=np.zeros((5, 17, 3))), "26 frames of keypoints and 5 of truth"),
        (lambda c: c["TS4"]["data_3d"].fill(np.nan), "TS4, data_3d, holds numbers that are not finite"),
        (lambda c: c.update(TS1=5), "TS1 lacks data_2d"),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path, change, says: str) -> None:
    content = raw(folder / TEST)
    change(content)
    np.savez(tmp_path / TEST, data=np.array(content, dtype=object))
    with pytest.raises(InputError, match=says):
        mpi3dhp.load(tmp_path)
    assert any(f.ok is False and f.subject == TEST for f in check("3dhp", tmp_path))


def test_training_cameras(folder: Path, tmp_path: Path) -> None:
    (tmp_path / TEST).write_bytes((folder / TEST).read_bytes())
    content = raw(folder / "data_train_3dhp_ori.npz")
    content["S3 Seq1"][0].pop("4")
    np.savez(tmp_path / "data_train_3dhp_ori.npz", data=np.array(content, dtype=object))
    said = {f.subject: f for f in check("3dhp", tmp_path)}
    assert "S3 Seq1 does not have cameras 0, 1, 2, 4" in said["data_train_3dhp_ori.npz"].text
