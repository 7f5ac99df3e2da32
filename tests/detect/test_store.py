"""Detections files: round trips, reuse, and files that are not what they say."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from detect_runs import Run

from posecli.detect import DetectionsWriter, load_detections, provenance, reuse_obstacle
from posecli.detect.heatmaps import HeatmapFormat, HeatmapRecord
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.provenance import sampled_sha256, source_identity
from posecli.errors import InputError, OutputError
from posecli.skeleton import BLAZEPOSE33


class Fake:
    """Stands for a detector only where its name and settings are asked for."""

    name, version, weights_hash = "blazepose", "1", "abc"

    def settings(self) -> dict[str, object]:
        return {"min_presence": 0.5}


@pytest.fixture
def keypoints() -> Keypoints2D:
    rng = np.random.default_rng(1)
    found = np.array([True, False, True, True])
    xy = rng.random((4, 33, 2), np.float32) * 500
    xy[~found] = np.nan
    return Keypoints2D(
        xy, rng.random((4, 33), np.float32), found, np.array([0, 0.04, 0.1, 0.1001]), BLAZEPOSE33, (720, 1280)
    )


@pytest.fixture
def written(tmp_path: Path, keypoints: Keypoints2D) -> Path:
    """A small file with heatmaps of three frames; its source is a stand-in of 3 MB."""
    video = tmp_path / "clip.mp4"
    video.write_bytes(bytes(range(250)) * 12_000)
    path = tmp_path / "clip.detections.h5"
    format = HeatmapFormat(BLAZEPOSE33.joint_names, kind="logit", codec="blazepose")
    with DetectionsWriter(path, provenance(Fake(), video, 1.0, None)) as file:
        for frame in (0, 2, 3):
            file.append(HeatmapRecord(format, frame, (np.zeros((33, 64, 64), np.float32),), np.eye(2, 3)))
        file.finish(keypoints)
    return path


def test_what_was_found_comes_back_to_the_bit(run: Run) -> None:
    back = run.stored.keypoints
    for name in ("xy", "scores", "found", "timestamps_s", "world"):
        assert np.array_equal(getattr(back, name), getattr(run.keypoints, name), equal_nan=True), name
    assert back.skeleton is BLAZEPOSE33 and back.image_size == run.keypoints.image_size
    assert back.provenance == {**run.wanted, "warnings": []}
    assert back.provenance["source"]["name"] == "video.mp4"
    assert reuse_obstacle(run.path, run.wanted) is None


def test_gaps_and_missing_parts(tmp_path: Path, written: Path, keypoints: Keypoints2D) -> None:
    back = load_detections(written)
    assert back.keypoints.world is None and back.keypoints.found.tolist() == [True, False, True, True]
    assert back.heatmaps is not None and back.heatmaps.frames.tolist() == [0, 2, 3]
    nobody = replace(
        keypoints,
        xy=keypoints.xy[:0], scores=keypoints.scores[:0], found=keypoints.found[:0], timestamps_s=np.zeros(0),
    )  # fmt: skip
    with DetectionsWriter(tmp_path / "empty.h5", {}) as file:
        file.finish(nobody)
    empty = load_detections(tmp_path / "empty.h5")
    assert len(empty.keypoints) == 0 and empty.heatmaps is None


def test_reuse_needs_everything_to_agree(tmp_path: Path, written: Path) -> None:
    video = tmp_path / "clip.mp4"
    wanted = provenance(Fake(), video, 1.0, None)
    assert reuse_obstacle(written, wanted) is None
    shutil.copy(video, tmp_path / "copy.mp4")
    assert reuse_obstacle(written, provenance(Fake(), tmp_path / "copy.mp4", 1.0, None)) is None
    for key, value, words in (
        ("detector", "other", "another detector"),
        ("detector_version", "2", "another version"),
        ("weights_hash", "def", "other weights"),
        ("settings", {"min_presence": 0.6}, "other settings"),
        ("start_s", None, "starts elsewhere"),
        ("end_s", 9.0, "ends elsewhere"),
    ):
        assert words in (reuse_obstacle(written, {**wanted, key: value}) or "")
    video.write_bytes(video.read_bytes()[:-1] + b"x")
    assert reuse_obstacle(written, provenance(Fake(), video, 1.0, None)) == "it belongs to another video"
    assert "does not exist" in (reuse_obstacle(tmp_path / "none.h5", wanted) or "")


def test_source_identity(tmp_path: Path) -> None:
    """Large files by samples that include both ends; folders by all their files."""
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(100 << 20)
    before = sampled_sha256(big)
    for place in (0, (100 << 20) - 1):
        with big.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        before, last = sampled_sha256(big), before
        assert before != last
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"one")
    one = source_identity(folder)
    (folder / "2.png").write_bytes(b"two")
    two = source_identity(folder)
    assert one["sha256_sampled"] != two["sha256_sampled"] and two["bytes"] == 6
    assert source_identity(folder / "*.png")["sha256_sampled"] == two["sha256_sampled"]


def text(path: Path) -> None:
    path.write_text("frame,x,y\n1,2,3\n")


def zero(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def missing(path: Path) -> None:
    path.unlink()


def foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["positions"] = np.zeros(3)


def bomb(path: Path) -> None:
    """Claims 200 GB of keypoints that were never written."""
    with h5py.File(path, "r+") as file:
        del file["keypoints/timestamps_s"]
        file.create_dataset("keypoints/timestamps_s", (25_000_000_000,), "f8", chunks=(1000,))


def huge_chunk(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["heatmaps/grid"]
        file.create_dataset(
            "heatmaps/grid", (33, 8192, 8192, 3), "u1", chunks=(1, 8192, 8192, 3), compression="gzip"
        )


def elsewhere(path: Path) -> None:
    other = path.with_name("secret.h5")
    with h5py.File(other, "w") as file:
        file["found"] = np.ones(4, np.uint8)
    with h5py.File(path, "r+") as file:
        del file["keypoints/found"]
        file["keypoints/found"] = h5py.ExternalLink(str(other), "found")


def wrong_shape(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["keypoints/xy"]
        file["keypoints/xy"] = np.zeros((4, 17, 2), np.float32)


def time_stands_still(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["keypoints/timestamps_s"][...] = 0


def frames_beyond_the_clip(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["heatmaps/frame"][...] = [0, 2, 400]


def settings_not_json(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["settings"] = "{"


def settings_of_a_number_too_long(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["settings"] = '{"a": ' + "9" * 5000 + "}"


def newer(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (text, "not a detections file of posecli, or it is damaged"),
        (zero, "not a detections file of posecli, or it is damaged"),
        (truncated, "not a detections file of posecli, or it is damaged"),
        (missing, "does not exist"),
        (foreign, "was not written by posecli"),
        (bomb, "timestamps_s claims to be larger than the file can hold"),
        (huge_chunk, "grid claims to be larger than the file can hold"),
        (elsewhere, "found is missing"),
        (wrong_shape, "xy has shape"),
        (time_stands_still, "damaged"),
        (frames_beyond_the_clip, "frames that are not in the clip"),
        (settings_not_json, "settings is not JSON"),
        (settings_of_a_number_too_long, "settings is not JSON"),
        (newer, "update posecli"),
    ],
)
def test_files_from_outside_are_refused_in_one_line(written: Path, spoil, words: str) -> None:
    spoil(written)
    with pytest.raises(InputError) as caught:
        load_detections(written)
    message = str(caught.value)
    assert words in message and str(written) in message and "\n" not in message


def test_damage_within_the_heatmaps_is_told_when_they_are_read(written: Path) -> None:
    with h5py.File(written) as file:
        where = file["heatmaps/grid"].id.get_chunk_info(0).byte_offset
    heatmaps = load_detections(written).heatmaps
    with written.open("r+b") as raw:
        raw.seek(where)
        raw.write(b"\xff" * 64)
    assert heatmaps is not None
    with pytest.raises(InputError, match="damaged"):
        heatmaps.read()


def test_nothing_is_left_of_a_run_that_stops(tmp_path: Path, keypoints: Keypoints2D) -> None:
    path = tmp_path / "clip.detections.h5"
    with pytest.raises(KeyboardInterrupt), DetectionsWriter(path, {}):
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError, match="finish"), DetectionsWriter(path, {}):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_no_file(tmp_path: Path, keypoints: Keypoints2D) -> None:
    path = tmp_path / "clip.detections.h5"
    format = HeatmapFormat(BLAZEPOSE33.joint_names, kind="probability", codec="blazepose")
    noise = np.random.default_rng(0).random((33, 64, 64), np.float32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=f"cannot write {path}"), DetectionsWriter(path, {}) as file:
            for frame in range(64):
                file.append(HeatmapRecord(format, frame, (noise,), np.eye(2, 3)))
            file.finish(keypoints)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_attributes_name_the_run(written: Path) -> None:
    """As another program would see them."""
    with h5py.File(written) as file:
        attributes = {key: file.attrs[key] for key in file.attrs}
    assert attributes["format"] == "posecli.detections" and attributes["schema_version"] == 1
    assert json.loads(attributes["detector"]) == "blazepose"
    source = json.loads(attributes["source"])
    assert (
        source["name"] == "clip.mp4" and source["bytes"] == 3_000_000 and len(source["sha256_sampled"]) == 64
    )
