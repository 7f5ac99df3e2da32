"""The corpus against another conversion of the same files (real data), and what damaged input ends in."""

from __future__ import annotations

import csv
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posecli.corpus.build import BuildReport, build_corpus
from posecli.corpus.store import POINT_NAMES, Clip, load_corpus
from posecli.errors import InputError, UsageError
from posecli.skeleton import LIMBS

FOLDERS = ("A/009", "A/007", "A/010", "B/032", "B/007", "D/011")
# Another conversion gives whole millimetres; B's subject 32 has no ASF, so its thorax is estimated by both.
LIMB_BOUND_MM = {"A": (1.0, 1.5), "B": (4.0, 8.0), "D": (1.0, 1.5)}


SAFE: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in Python 3.11.0 to 3.11.3


@pytest.fixture(scope="module")
def raw(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few folders of the raw archive, with the tables beside them as they are published."""
    source = shared_data / "cmu"
    if not (source / "cmu_raw.tar.xz").is_file():
        pytest.skip(f"no raw motion capture in {source}")
    root = tmp_path_factory.mktemp("cmu")

    def wanted(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        return (member for member in archive if member.name.startswith(FOLDERS))

    with tarfile.open(source / "cmu_raw.tar.xz", "r|xz") as archive:
        archive.extractall(root / "raw", members=wanted(archive), **SAFE)
    for name in ("clips.csv", "cmu_index.csv"):
        (root / name).write_bytes((source / name).read_bytes())
    return root / "raw"


@pytest.fixture(scope="module")
def built(raw: Path) -> tuple[BuildReport, list[Clip]]:
    report = build_corpus(raw, raw.parent / "corpus.h5")
    return report, load_corpus(raw.parent / "corpus.h5")


def test_agrees_with_another_conversion(built: tuple[BuildReport, list[Clip]], shared_data: Path) -> None:
    report, clips = built
    assert report.clips == len(clips) and not report.skipped
    with np.load(shared_data / "cmu" / "cmu_h36m17_30fps_mm.npz") as file:
        other = {key: file[key] for key in ("pos", "start", "subject", "trial", "tier")}
    with (shared_data / "cmu" / "clips.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors: dict[str, list[np.ndarray]] = {tier: [] for tier in "ABD"}
    by_key = {(c.subject, c.trial, c.tier, c.first_frame): c for c in clips}
    for k, row in enumerate(rows):
        clip = by_key.pop(
            (int(row["subject"]), int(row["trial"]), row["tier"], int(row["native_start"])), None
        )
        if clip is None:
            continue
        theirs = other["pos"][other["start"][k] : other["start"][k + 1]] / 1000
        ours = clip.points[:: round(clip.fps / 30), :17]
        frames = min(len(ours), len(theirs))
        assert len(theirs) - frames <= 1  # the one trial whose file ends within its last frame
        difference = ours[:frames] - theirs[:frames]
        moved = np.median(difference[:, LIMBS].reshape(-1, 3), axis=0)  # floor and origin are choices
        errors[clip.tier].append(1000 * np.linalg.norm(difference - moved, axis=-1)[:, LIMBS].ravel())
    assert not by_key  # every clip is one of theirs
    for tier, (median, high) in LIMB_BOUND_MM.items():
        error = np.concatenate(errors[tier])
        assert np.median(error) <= median and np.percentile(error, 95) <= high, tier


def test_rates_tiers_and_landmarks(built: tuple[BuildReport, list[Clip]]) -> None:
    clips = built[1]
    assert {c.fps for c in clips} == {120.0}
    assert {c.tier: c.weight for c in clips} == {"A": 1.0, "B": 1.0, "D": pytest.approx(0.3)}
    index = {name: k for k, name in enumerate(POINT_NAMES)}
    for clip in clips:
        points = clip.points
        assert np.median(points[..., 1].min(axis=1)) == pytest.approx(0.02, abs=0.05)
        if clip.description not in ("walk", "run", "slow walk", "brisk walk"):
            continue
        velocity = points[-1, 0] - points[0, 0]
        if np.linalg.norm(velocity) < 1:
            continue
        ahead = velocity * [1, 0, 1] / np.linalg.norm(velocity * [1, 0, 1])
        ears = (points[:, index["left_ear"]] + points[:, index["right_ear"]]) / 2
        facing = (points[:, index["nose"]] - ears) @ ahead
        left = (points[:, index["left_ear"]] - points[:, index["right_ear"]]) @ np.cross([0, 1, 0], ahead)
        # Faces look where people walk, and their left is on the left; toes are before heels.
        assert np.median(facing) > 0.08 and np.median(left) > 0.1, (clip.subject, clip.trial, clip.tier)
        for side in ("left", "right"):
            foot = points[:, index[f"{side}_foot_index"]] - points[:, index[f"{side}_heel"]]
            assert np.median(foot @ ahead) > 0.05  # a runner's feet often point down
            assert 0.18 < np.median(np.linalg.norm(foot, axis=-1)) < 0.30


def test_archive_and_folder_give_the_same(raw: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "small.tar.xz", "w:xz", preset=0) as archive:
        for folder in ("A/009/09_01.amc", "A/009/09.asf", "B/032/32_01.bvh"):  # the skeleton after its motion
            archive.add(raw / folder, arcname=folder)
    tables = {"clips_csv": raw.parent / "clips.csv", "index_csv": raw.parent / "cmu_index.csv"}
    seen: list[tuple[int, int]] = []
    build_corpus(tmp_path / "small.tar.xz", tmp_path / "a.h5", **tables, progress=lambda *s: seen.append(s))
    assert seen[0] == (0, 2) and seen[-1] == (2, 2)
    with tarfile.open(tmp_path / "small.tar.xz") as archive:
        archive.extractall(tmp_path / "b", **SAFE)
    build_corpus(tmp_path / "b", tmp_path / "b.h5", **tables)
    a, b = load_corpus(tmp_path / "a.h5"), load_corpus(tmp_path / "b.h5")
    assert len(a) == len(b) == 2
    for one, two in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.points, two.points)

    slow = build_corpus(tmp_path / "b", tmp_path / "c.h5", **tables, fps=30)
    assert slow.frames == sum(-(-len(c) // 4) for c in a)
    with pytest.raises(UsageError, match="50"):
        build_corpus(tmp_path / "b", tmp_path / "d.h5", **tables, fps=50)

    broken = (tmp_path / "small.tar.xz").read_bytes()
    (tmp_path / "half.tar.xz").write_bytes(broken[: len(broken) // 2])
    with pytest.raises(InputError, match=r"half\.tar\.xz"):
        build_corpus(tmp_path / "half.tar.xz", tmp_path / "e.h5", **tables)
    assert not (tmp_path / "e.h5").exists()


def test_jumps_are_cut(raw: Path, tmp_path: Path) -> None:
    folder = tmp_path / "A" / "009"
    folder.mkdir(parents=True)
    (folder / "09.asf").write_bytes((raw / "A/009/09.asf").read_bytes())
    text = (raw / "A/009/09_12.amc").read_bytes()
    clean = build_corpus_of(tmp_path, folder, text)
    assert len(clean) == 1
    head, frame, tail = text.partition(b"\n301\n")
    jumped = head + frame + re.sub(rb"^root \S+", b"root 99", tail, count=1)  # one frame metres away
    pieces = build_corpus_of(tmp_path, folder, jumped)
    assert [clip.first_frame for clip in pieces] == [0, 301]
    assert sum(map(len, pieces)) == len(clean[0]) - 1


def test_absurd_and_foreign_files_are_skipped(
    raw: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """The others are built all the same."""
    for folder, name in (
        ("A/009", "09_12.amc"),
        ("A/009", "09.asf"),
        ("A/007", "07_01.amc"),
        ("A/007", "07.asf"),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_bytes((raw / folder / name).read_bytes())
    file = tmp_path / "A/007/07_01.amc"
    text = file.read_bytes()
    for place in (b"1e308", b"1e30"):
        file.write_bytes(re.sub(rb"^root \S+", b"root " + place, text, flags=re.M))
        report = build_corpus(tmp_path, tmp_path / "c.h5")
        ((name, why),) = report.skipped
        assert (
            name == "A/007/07_01.amc" and "from frame 0 on, joints lie 16.4 m or more from the middle" in why
        )
        assert {clip.subject for clip in load_corpus(tmp_path / "c.h5")} == {9}
    skeleton = tmp_path / "A/007/07.asf"
    skeleton.write_bytes(skeleton.read_bytes().replace(b"ltibia", b"lshank"))
    file.write_bytes(text.replace(b"ltibia", b"lshank"))
    assert "it has no bone 'ltibia'" in build_corpus(tmp_path, tmp_path / "c.h5").skipped[0][1]
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "row", "says"),
    [
        ("clips.csv", "7,1,A,0,²,walk", "line 2 has a number that is not one"),
        ("clips.csv", f"7,1,A,0,{'9' * 5000},walk", "line 2 has a number that is not one"),
        ("clips.csv", "7,1,A,0,,walk", "line 2 has a number that is not one"),
        ("clips.csv", "7,1,A,0,300,wa\0lk", "line 2 holds a character NUL, which no text has"),
        ("cmu_index.csv", "7,1,walk,0", "trial 1 of subject 7 has 0 frames a second"),
        ("cmu_index.csv", "7,1,walk,99999", "trial 1 of subject 7 has 99999 frames a second"),
    ],
)
def test_damaged_tables_are_one_clear_line(name: str, row: str, says: str, tmp_path: Path) -> None:
    heading = {
        "clips.csv": "subject,trial,tier,native_start,native_end,description",
        "cmu_index.csv": "Subject,Trial #,Motion Description,framerate",
    }
    (tmp_path / "raw").mkdir()
    (tmp_path / name).write_text(f"{heading[name]}\n{row}\n", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"{name}") + ".*" + re.escape(says)):
        build_corpus(tmp_path / "raw", tmp_path / "c.h5")


def build_corpus_of(root: Path, folder: Path, amc: bytes) -> list[Clip]:
    (folder / "09_12.amc").write_bytes(amc)
    build_corpus(root, root / "c.h5")
    return load_corpus(root / "c.h5")


def test_nothing_to_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        build_corpus(tmp_path / "absent", tmp_path / "c.h5")
    (tmp_path / "text.tar.xz").write_text("not an archive")
    with pytest.raises(InputError, match="not a readable archive"):
        build_corpus(tmp_path / "text.tar.xz", tmp_path / "c.h5")
    empty = tmp_path / "raw"
    (empty / "A" / "009").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no motion"):
        build_corpus(empty, tmp_path / "c.h5")
    (empty / "A" / "009" / "09_01.amc").write_text("rubbish")
    with pytest.raises(InputError, match=r"the \.asf of subject 9 is missing"):
        build_corpus(empty, tmp_path / "c.h5")
    (tmp_path / "clips.csv").write_text("subject,trial\n1,2\n")
    with pytest.raises(InputError, match="lacks the columns"):
        build_corpus(empty, tmp_path / "c.h5")
    assert not (tmp_path / "c.h5").exists()
