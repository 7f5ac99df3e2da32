"""`posecli lift` of several inputs: one failure stops nothing, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign_files import FRAMES, openpose, points

from posecli.batch import expanded
from posecli.cli.main import main
from posecli.errors import ExitCode
from posecli.skeleton import OPENPOSE25


@pytest.fixture(scope="module")
def videos(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good videos and a damaged one."""
    folder = tmp_path_factory.mktemp("videos")
    clip = (shared_data / "videos/robust/juggle_1frame.mp4").read_bytes()
    for name, content in (("a1.mp4", clip), ("a2.mp4", clip[:2000]), ("a10.mp4", clip)):
        (folder / name).write_bytes(content)
    return folder


def table(said: str) -> dict[str, str]:
    rows = [line.split("\t") for line in said.splitlines()]
    return {Path(row[0]).name: row[1] for row in rows}


def test_one_damaged_file_among_others(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder: all others are lifted; a second run skips them; a change lifts them again; --overwrite all."""
    command = ["lift", str(videos), "--out", str(tmp_path), "--export", "npz,bvh"]

    def run(*more: str) -> tuple[dict[str, str], list[str]]:
        assert main([*command, *more]) == ExitCode.INPUT
        said = capsys.readouterr()
        assert said.err.splitlines()[-1] == f"error: 1 of 3 inputs failed: {videos / 'a2.mp4'}"
        return table(said.out), said.err.splitlines()

    first, errors = run()
    assert list(first.items()) == [("a1.mp4", "done"), ("a2.mp4", "failed"), ("a10.mp4", "done")]
    assert errors[0] == f"[1/3] {videos / 'a1.mp4'}"
    assert sum(line.startswith("error: a2.mp4: ") for line in errors) == 1
    made = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert set(made) == {
        f"{stem}.{kind}" for stem in ("a1", "a10") for kind in ("npz", "bvh", "detections.h5")
    }

    assert run()[0] == {"a1.mp4": "skipped", "a2.mp4": "failed", "a10.mp4": "skipped"}
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == made

    (tmp_path / "a1.bvh").unlink()  # as if that run had been stopped
    results, errors = run()
    assert results == {"a1.mp4": "done", "a2.mp4": "failed", "a10.mp4": "skipped"}
    assert f"{videos / 'a1.mp4'}: lifting again, files are missing" in errors

    results, errors = run("--seed", "5")
    assert results == {"a1.mp4": "done", "a2.mp4": "failed", "a10.mp4": "done"}
    assert f"{videos / 'a10.mp4'}: lifting again, seed was 0" in errors
    assert run("--seed", "5", "--overwrite")[0] == results


def test_results_of_something_else_are_kept(
    videos: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of the same name made from another video, or by another program, is not replaced."""
    other = tmp_path / "other" / "a1.mp4"
    other.parent.mkdir()
    other.write_bytes((shared_data / "videos/robust/juggle_20frames.mp4").read_bytes())
    out = tmp_path / "out"
    assert main(["lift", str(other), "--out", str(out), "--export", "npz"]) == ExitCode.OK
    (out / "a10.npz").write_text("mine")
    before = (out / "a1.npz").read_bytes()
    inputs = [str(videos / "a1.mp4"), str(videos / "a10.mp4")]
    assert main(["lift", *inputs, "--out", str(out), "--export", "npz"]) == ExitCode.OUTPUT
    assert capsys.readouterr().err.count("exists; use --overwrite") == 2
    assert (out / "a1.npz").read_bytes() == before and (out / "a10.npz").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["0"], "webcams and streams cannot be lifted"),
        (["rtsp://camera/1"], "webcams and streams cannot be lifted"),
        (["https://example.org/a.mp4"], "download it"),
        (["a.mp4", "rtsp://camera/1"], "webcams and streams"),
        (["a.mp4", "elsewhere/a.mp4"], "a.mp4 and elsewhere/a.mp4 would both be written as a.npz"),
        (["a.mp4", "b.mp4", "--method", "nope"], "unknown method 'nope'"),
        (["a.mp4", "b.mp4", "--export", "fbx"], "unknown export 'fbx'"),
        (["a.mp4", "b.mp4", "--keypoints", "x.json"], "--keypoints belong to one video"),
        (["a.mp4", "--format", "coco"], "are for --keypoints"),
        (["a.mp4", "--keypoints", "x.json", "--size", "640x480"], "a video tells its own"),
        (["--keypoints", "x.json", "--size", "640"], "--size takes width and height"),
        (["--keypoints", "x.json", "--size", "0x480"], "--size must be"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nonsense(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused once, before anything is done."""
    assert main(["lift", *arguments]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and said.out == ""


def test_what_stands_for_several(videos: Path, tmp_path: Path) -> None:
    """Folders of videos and patterns that no shell has expanded; pictures are one motion, as before."""
    sorted_as_read = [videos / name for name in ("a1.mp4", "a2.mp4", "a10.mp4")]
    assert expanded(videos) == sorted_as_read
    assert expanded(videos / "a*.mp4") == sorted_as_read
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "1.mp4").write_bytes(b"")
    for one in (tmp_path, tmp_path / "*.png", tmp_path / "1.mp4", tmp_path / "none*.mp4"):
        assert expanded(one) == [one]


def test_keypoints_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of OpenPose's files, then a rate that nobody told."""
    folder, out = tmp_path / "json", tmp_path / "out"
    folder.mkdir()
    openpose(folder, points(OPENPOSE25))
    command = ["lift", "--keypoints", str(folder), "--size", "640x480", "--export", "npz,bvh"]
    assert main([*command, "--fps", "25", "--out", str(out)]) == ExitCode.OK
    facts = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["people", f"1, in {FRAMES} of {FRAMES} frames"] in facts
    assert ["frames", f"{FRAMES} over 1.56 s, all with a pose"] in facts
    assert main([*command, "--out", str(tmp_path / "other")]) == ExitCode.USAGE
    assert "give the video, or --fps 30" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
