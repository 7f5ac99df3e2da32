"""From file to files: what is made again and what is not, what is overwritten, what is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import posecli
from posecli.errors import InputError, NobodyError, OutputError, UsageError
from posecli.lifting import LiftConfig
from posecli.media import VideoWriter
from posecli.motion import frame_ranges
from posecli.pipeline import detect_to_file, lift_to_files
from posecli.walk import Outcome

RATE = 24.0


class Said:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.stages: list[str] = []

    def stage(self, name: str, total: int | None, unit: str):  # type: ignore[no-untyped-def]
        from posecli.reporting import Silent

        self.stages.append(name)
        return Silent().stage(name, total, unit)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module")
def clip(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of a man, in a folder of its own."""
    path = tmp_path_factory.mktemp("clip") / "man.mp4"
    path.write_bytes((shared_data / "videos/robust/juggle_20frames.mp4").read_bytes())
    return path


@pytest.fixture(scope="module")
def first(clip: Path) -> Outcome:
    """What one run on `clip` made, in results/ beside it."""
    return lift_to_files(clip, out=clip.parent / "results", exports=("npz",))


def pictures(clip: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(clip)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def write(path: Path, images: list[NDArray[np.uint8]]) -> Path:
    with VideoWriter(path, images[0].shape[1::-1]) as writer:
        for index, image in enumerate(images):
            writer.write(image, index / RATE)
    return path


def test_same_seed_same_bytes_and_nothing_detected_twice(clip: Path, first: Outcome, tmp_path: Path) -> None:
    npz = clip.parent / "results/man.npz"
    before = npz.read_bytes()
    said = Said()
    again = lift_to_files(clip, out=npz.parent, exports=("npz",), overwrite=True, reporter=said)
    assert said.notes == [f"using the detections of an earlier run: {npz.parent / 'man.detections.h5'}"]
    assert "detect" not in said.stages and again.reused == npz.parent / "man.detections.h5"
    assert npz.read_bytes() == before
    anew = lift_to_files(clip, out=tmp_path, exports=("npz",))
    assert anew.reused is None
    assert (tmp_path / "man.npz").read_bytes() == before


def test_a_detections_file_gives_the_same_bytes(clip: Path, first: Outcome, tmp_path: Path) -> None:
    results = clip.parent / "results"
    outcome = lift_to_files(results / "man.detections.h5", out=tmp_path, exports=("npz", "mp4"))
    assert (tmp_path / "man.npz").read_bytes() == (results / "man.npz").read_bytes()
    assert (tmp_path / "man.mp4").is_file()  # the video that the file names lies beside its folder
    assert [f.name for f in outcome.files] == ["man.npz", "man.mp4"]


def test_another_seed_another_motion(clip: Path, first: Outcome) -> None:
    detections = clip.parent / "results/man.detections.h5"
    other = posecli.lift(detections, config=LiftConfig(seed=1))
    assert not np.array_equal(other.joints_3d, first.motion.joints_3d)
    np.testing.assert_array_equal(posecli.lift(detections).joints_3d, first.motion.joints_3d)


@pytest.mark.parametrize("change", ["start", "end", "video"])
def test_other_detections_are_not_used(change: str, clip: Path, first: Outcome, tmp_path: Path) -> None:
    """They are made anew, saying why."""
    for name in ("man.mp4", "man.detections.h5"):
        source = clip if name == clip.name else clip.parent / "results" / name
        (tmp_path / name).write_bytes(source.read_bytes())
    if change == "video":
        write(tmp_path / "man.mp4", pictures(clip)[:5])
    part = {"start": {"start": 0.5}, "end": {"end": 0.25}, "video": {}}[change]
    said = Said()
    outcome = lift_to_files(tmp_path / "man.mp4", out=tmp_path, exports=("npz",), reporter=said, **part)
    why = {"start": "it starts elsewhere", "end": "it ends elsewhere", "video": "it belongs to another video"}
    assert said.notes == [f"detecting again and replacing {tmp_path / 'man.detections.h5'}: {why[change]}"]
    assert len(outcome.motion) == {"start": 8, "end": 6, "video": 5}[change]


def test_results_are_not_overwritten_unasked(clip: Path, first: Outcome) -> None:
    results = clip.parent / "results"
    before = {p.name: p.read_bytes() for p in results.iterdir()}
    for attempt in (lift_to_files, detect_to_file):
        with pytest.raises(OutputError, match="exists; use --overwrite"):
            attempt(clip, out=results)
    assert {p.name: p.read_bytes() for p in results.iterdir()} == before


def test_a_damaged_source_is_told_again_from_its_detections(shared_data: Path, tmp_path: Path) -> None:
    video = shared_data / "videos/robust/truncated_faststart_45pct.mp4"
    found = detect_to_file(video, out=tmp_path, start=3.0)
    assert len(found.warnings) == 1 and "168 lost" in found.warnings[0]
    motion = posecli.lift(found.file)
    assert motion.settings["warnings"] == found.warnings


def test_a_person_who_leaves_and_comes_back(clip: Path, tmp_path: Path) -> None:
    """Five dark frames (0.2 s) are bridged and marked, a dark second splits the motion; warnings name them."""
    man = pictures(clip)
    dark = np.zeros_like(man[0])
    video = write(tmp_path / "leaves.mp4", [*man[:14], *[dark] * 5, *man[:14], *[dark] * 24, *man[:14]])
    said = Said()
    outcome = lift_to_files(video, out=tmp_path, exports=("npz", "bvh"), reporter=said)
    motion = outcome.motion
    gone, bridged = slice(33, 57), slice(14, 19)
    expected = np.ones(71, dtype=bool)
    expected[gone] = False
    np.testing.assert_array_equal(motion.valid, expected)
    np.testing.assert_array_equal(np.flatnonzero(motion.bridged), range(bridged.start, bridged.stop))
    assert [(s.start, s.stop) for s in motion.segments()] == [(0, 33), (57, 71)]
    assert np.isnan(motion.joints_3d[gone]).all() and np.isfinite(motion.joints_3d[expected]).all()
    assert said.warnings == [
        "nobody found in frames 33-56 (24 of 71)",
        "pose interpolated in frames 14-18 (5 of 71)",
    ]


def test_nobody_leaves_no_files(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(NobodyError, match="in any of 90 frames"):
        lift_to_files(shared_data / "videos/robust/black_3s.mp4", out=tmp_path / "a/b")
    assert list(tmp_path.iterdir()) == []


def test_pictures(clip: Path, tmp_path: Path) -> None:
    """A folder, a pattern, and another rate: results are called like the folder, and the rate counts."""
    import cv2

    folder = tmp_path / "my.shots"
    folder.mkdir()
    for index, image in enumerate(pictures(clip)[:3]):
        cv2.imwrite(str(folder / f"shot{index}.png"), image)
    out = tmp_path / "out"
    outcome = lift_to_files(folder, out=out, exports=("npz",), fps=10)
    assert [f.name for f in outcome.files] == ["my.shots.detections.h5", "my.shots.npz"]
    np.testing.assert_allclose(outcome.motion.timestamps_s, [0, 0.1, 0.2])
    other = lift_to_files(folder, out=out, exports=("npz",), fps=20, overwrite=True)
    np.testing.assert_allclose(other.motion.timestamps_s, [0, 0.05, 0.1])
    pattern = lift_to_files(folder / "*1.png", out=tmp_path / "one", exports=("npz",))
    assert (len(pattern.motion), pattern.files[-1].name) == (1, "my.shots.npz")


def test_python_finds_the_same(clip: Path, first: Outcome) -> None:
    """`posecli.lift` returns what the files are written from, and `posecli.load` reads it back."""
    motion = posecli.lift(clip, method="ddhpose")
    assert isinstance(motion, posecli.Motion)
    loaded = posecli.load(clip.parent / "results/man.npz")
    for name in ("joints_3d", "joints_3d_std", "timestamps_s", "root_path", "keypoints_2d", "valid"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(motion, name))
    assert loaded.settings == motion.settings
    with pytest.raises(posecli.PosecliError):
        posecli.lift("nope.mp4")


def test_import_is_light() -> None:
    """What stands in the package is imported when it is first asked for."""
    code = (
        "import sys, posecli; assert not {'torch', 'numpy'} & set(sys.modules); "
        "from posecli.lifting import LiftConfig; "
        "assert posecli.LiftConfig is LiftConfig and callable(posecli.lift); "
        "assert {'lift', 'load', 'Motion'} <= set(dir(posecli))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"method": "nope"}, UsageError),
        ({"detector": "nope"}, UsageError),
        ({"weights": "nope"}, InputError),
        ({"exports": ()}, UsageError),
        ({"config": LiftConfig(steps=1001)}, UsageError),
    ],
)
def test_wrong_names_fail_before_anything_is_done(
    arguments: dict[str, object], error: type[Exception], clip: Path, tmp_path: Path
) -> None:
    said = Said()
    with pytest.raises(error):
        lift_to_files(clip, out=tmp_path / "out", reporter=said, **arguments)  # type: ignore[arg-type]
    assert said.stages == [] and not (tmp_path / "out").exists()


def test_frame_ranges() -> None:
    mask = np.zeros(20, dtype=bool)
    mask[[0, 1, 2, 5, 18, 19]] = True
    assert frame_ranges(mask) == "0-2, 5, 18-19"
    assert frame_ranges(np.tile([True, False], 10)) == "0, 2, 4, 6, 8, 10, 12, 14 and 2 more stretches"
