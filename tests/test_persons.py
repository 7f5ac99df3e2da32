"""Two people in a video, from file to files: a set of results each, chosen, used again, never overwritten unasked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import posecli
from posecli.batch import lift_many
from posecli.cli.main import main
from posecli.detect.store import load_detections
from posecli.errors import ExitCode, OutputError, UsageError
from posecli.lifting import LiftConfig
from posecli.pipeline import lift_to_files
from posecli.reporting import Silent
from posecli.seeing import SeeConfig
from posecli.walk import Outcome

FRAMES = 100


@pytest.fixture(scope="module")
def video(shared_data: Path) -> Path:
    """A man who balances, and a woman seen from behind who waves; 1088 × 1920."""
    return shared_data / "videos" / "p2s_multi_cam2" / "cam02.mp4"


@pytest.fixture(scope="module")
def both(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return lift_to_files(video, out=tmp_path_factory.mktemp("both"), exports=("npz",), person="all")


def test_each_is_followed_to_the_end(both: Outcome) -> None:
    man, woman = both.motions
    folder = both.files[0].parent
    assert sorted(p.name for p in folder.iterdir()) == [
        "cam02_p0.detections.h5", "cam02_p0.npz", "cam02_p1.detections.h5", "cam02_p1.npz",
    ]  # fmt: skip
    assert man.valid.all() and woman.valid.all() and len(man) == len(woman) == FRAMES
    x = [float(np.median(m.keypoints_2d[..., 0])) for m in (man, woman)]
    assert 450 < x[0] < 650 and 100 < x[1] < 300
    steps = [np.linalg.norm(np.diff(m.keypoints_2d[:, 0], axis=0), axis=-1).max() for m in (man, woman)]
    assert max(steps) < 100  # pixels a frame of the pelvis, who are 380 apart: nobody becomes the other
    for number in (0, 1):
        stored = load_detections(folder / f"cam02_p{number}.detections.h5")
        assert stored.heatmaps is not None and stored.heatmaps.frames.tolist() == list(range(FRAMES))
        who = stored.keypoints.provenance["person"]
        assert (who["id"], who["count"], who["frames_seen"]) == (number, 2, FRAMES)


def test_each_file_lifts_to_the_same_again(both: Outcome) -> None:
    folder = both.files[0].parent
    for number, motion in enumerate(both.motions):
        again = posecli.lift(folder / f"cam02_p{number}.detections.h5")
        np.testing.assert_array_equal(again.joints_3d, motion.joints_3d)
        assert again.settings == motion.settings
    with pytest.raises(UsageError, match="holds person 1; for --person 0 give the video"):
        lift_to_files(folder / "cam02_p1.detections.h5", out=folder / "x", person="0")


def test_what_is_there_is_kept_and_used_again(both: Outcome, video: Path) -> None:
    folder = both.files[0].parent
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    with pytest.raises(OutputError, match=r"cam02_p0\.npz exists; use --overwrite"):
        lift_to_files(video, out=folder, exports=("npz",), person="all")
    (folder / "cam02_p0.npz").rename(folder / "aside")
    with pytest.raises(OutputError, match=r"cam02_p1\.npz exists"):  # nobody's results, even if of one only
        lift_to_files(video, out=folder, exports=("npz",), person="all")
    (folder / "aside").rename(folder / "cam02_p0.npz")
    result = lift_many(
        [video], out=folder, exports=("npz",), seeing=SeeConfig(person="all"), method="ddhpose", weights=None,
        start=None, end=None, fps=None, config=LiftConfig(), device="auto", reporter=Silent(),
    )[0]  # fmt: skip
    assert result.error is None and result.outcome is not None
    assert result.outcome.skipped and len(result.outcome.motions) == 2
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    (folder / "cam02_p1.npz").rename(folder / "cam02_p7.npz")  # as if there had been more people once
    again = lift_to_files(video, out=folder, exports=("npz",), person="all", overwrite=True)
    assert again.reused == folder / "cam02_p0.detections.h5" and "detect" not in again.seconds
    assert (folder / "cam02_p1.npz").is_file()
    assert again.warnings[-1] == f"{folder} still holds cam02_p7 of an earlier run with more people"


def test_one_of_them_and_a_sheet_of_all(
    both: Outcome, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over the first 0.2 s: `inspect` numbers people as --person does."""
    stretch = ["--end", "0.2", "--out", str(tmp_path)]
    assert main(["inspect", str(video), *stretch]) == ExitCode.OK
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert [row[:3] for row in rows] == [[str(k), "0.00 to 0.18 s", "100% of the frames"] for k in (0, 1)]
    sheet = cv2.imread(str(tmp_path / "cam02.people.png"))
    assert sheet.shape[0] > 2 * 200 and sheet.std() > 20
    assert main(["inspect", str(video), *stretch]) == ExitCode.OUTPUT
    tall = [int(row[3].split()[0]) for row in rows]
    assert main(["detect", str(video), *stretch, "--person", "1"]) == ExitCode.OK
    assert "2; this is 1, in 12 of 12 frames" in capsys.readouterr().out
    found = load_detections(tmp_path / "cam02.detections.h5").keypoints
    assert np.median(np.ptp(found.xy[..., 1], axis=1)) == pytest.approx(tall[1], abs=1)
