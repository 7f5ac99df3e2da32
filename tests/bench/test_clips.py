"""Comparison with marker-based truth."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from posecli.bench.clips import load_truth, run_video, score
from posecli.bench.refined import run_refine
from posecli.errors import InputError
from posecli.skeleton import LIMBS

RNG = np.random.default_rng(2)
TRUTH = RNG.normal(size=(8, 17, 3))


def test_only_limbs_and_complete_frames_count() -> None:
    truth, guess = TRUTH.copy(), TRUTH + np.array([0.3, 0.0, 0.0])
    truth[:, [7, 9, 10]] = np.nan  # no truth for these, as in the files
    guess[0, 13] = np.nan
    truth[1, 5] = np.nan
    result = score(guess, truth)
    assert result.frames == 6
    assert result.root_mpjpe_mm == pytest.approx(0, abs=1e-9)
    assert result.pa_mpjpe_mm == pytest.approx(0, abs=1e-9)


def test_root_relative_is_about_the_middle_of_the_hips_in_millimetres() -> None:
    guess = TRUTH.copy()
    guess[:, [1, 4]] += [0.0, 0.012, 0.0]  # both hips: all ten others are now 12 mm off
    assert score(guess, TRUTH).root_mpjpe_mm == pytest.approx(10.0)
    assert len(LIMBS) == 12


def test_unequal_lengths_and_nothing_in_common_are_one_line() -> None:
    with pytest.raises(InputError, match="the video has 5 frames and its truth 8"):
        score(TRUTH[:5], TRUTH)
    with pytest.raises(InputError, match="nothing to compare"):
        score(np.full_like(TRUTH, np.nan), TRUTH)


def test_foreign_reference_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut off")
    np.save(tmp_path / "array.npy", TRUTH)
    np.savez(tmp_path / "other.npz", x=TRUTH)
    with zipfile.ZipFile(tmp_path / "claims.npz", "w", zipfile.ZIP_DEFLATED) as archive:  # 400 GB, it says
        for name, type_, shape in ("joints_cam_mm", "<f8", (10**9, 17, 3)), ("valid", "|b1", (10**9, 17)):
            with archive.open(f"{name}.npy", "w") as file:
                header = {"descr": type_, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
    np.savez(tmp_path / "shape.npz", joints_cam_mm=TRUTH, valid=np.ones((8, 16), bool))
    for path in [*tmp_path.iterdir(), tmp_path / "absent.npz"]:
        with pytest.raises(InputError, match="is no reference file"):
            load_truth(path)


def test_the_shared_truth_is_in_metres_before_the_camera(shared_data: Path) -> None:
    truth = load_truth(shared_data / "videos" / "opencap_walk_ts" / "ref.npz")
    assert truth.shape == (89, 17, 3)
    assert np.isnan(truth[:, [7, 9, 10]]).all()
    thigh = np.linalg.norm(truth[:, 2] - truth[:, 1], axis=-1)
    assert 0.3 < np.nanmedian(thigh) < 0.55 and np.nanmin(truth[:, 0, 2]) > 1


def test_nothing_need_be_kept_and_truth_of_another_length_is_named(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/video.mp4").symlink_to(shared_data / "videos/robust/juggle_20frames.mp4")

    def write(frames: int) -> None:
        truth = 1000 * RNG.normal(size=(frames, 17, 3))
        np.savez(tmp_path / "clip/ref.npz", joints_cam_mm=truth, valid=np.ones((frames, 17), bool))

    write(20)
    result = run_video(tmp_path)
    assert result.ours.frames == 20 and not result.failed
    write(19)
    with pytest.raises(InputError, match=r"^clip: the video has 20 frames and its truth 19"):
        run_refine(["ddhpose"], [], video=tmp_path)
