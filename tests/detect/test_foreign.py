"""Other tools' keypoints: who is lifted, what is missing, when it was, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import (
    FPS,
    FRAMES,
    LAYOUTS,
    SIZE,
    TIMES,
    alphapose,
    coco_results,
    mmpose_demo,
    mmpose_inferencer,
    openpose,
    own_csv,
    points,
    sports2d,
    vp3d,
)
from numpy.typing import NDArray

from posecli.detect.foreign import Timing, load_foreign, load_people
from posecli.detect.foreign.names import match
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.people.choose import described
from posecli.detect.store import DetectionsWriter, load_detections
from posecli.detect.swaps import SwapSettings
from posecli.errors import InputError, NobodyError, OutputError, PosecliError, UsageError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.pipeline import lift_to_files
from posecli.skeleton import BLAZEPOSE33, COCO17, H36M17, HALPE26, OPENPOSE25, Skeleton

ASIDE = Timing(fps=FPS, size=SIZE)
WRIST, ANKLE, EAR = (COCO17.index(name) for name in ("left_wrist", "right_ankle", "left_ear"))


def coco() -> NDArray[np.float32]:
    return points(COCO17).copy()


def test_lifts_to_the_same_as_our_own_file(tmp_path: Path) -> None:
    """Every layout, through the shipped weights: 1e-6 m."""
    lifting = Lifting("ddhpose", None, "cpu", LiftConfig())
    ours: dict[tuple[str, bool], NDArray[np.float32]] = {}
    for number, (_, skeleton, write, scored) in enumerate(LAYOUTS.values()):
        if (key := (skeleton.name, scored)) not in ours:
            person = points(skeleton)
            scores = person[..., 2] if scored else np.ones_like(person[..., 2])
            own = Keypoints2D(person[..., :2], scores, np.ones(FRAMES, bool), TIMES, skeleton, SIZE)
            with DetectionsWriter(tmp_path / "own.h5", {}) as out:
                out.finish(own)
            ours[key] = lifting(load_detections(tmp_path / "own.h5").keypoints).joints_3d
        folder = tmp_path / str(number)
        folder.mkdir()
        theirs = lifting(load_foreign(write(folder, points(skeleton)), "auto", ASIDE))
        np.testing.assert_allclose(theirs.joints_3d, ours[key], atol=1e-6)


def test_constructors(tmp_path: Path) -> None:
    read = Keypoints2D.from_openpose(openpose(tmp_path, points(OPENPOSE25)), ASIDE)
    assert (read.skeleton, len(read)) == (OPENPOSE25, FRAMES)
    assert Keypoints2D.from_trc(sports2d(tmp_path, points(HALPE26)), ASIDE).skeleton == HALPE26
    for name in ("alphapose", "coco", "mmpose", "vitpose", "vp3d", "halpe", "csv", "file"):
        assert callable(getattr(Keypoints2D, f"from_{name}"))


@pytest.mark.parametrize(
    ("spell", "skeleton"),
    [
        (lambda n: n, H36M17),
        (lambda n: n.replace("_", " ").title(), COCO17),
        (lambda n: n.replace("left_", "l-").replace("right_", "R."), BLAZEPOSE33),
        (lambda n: "Pelvis" if n == "mid_hip" else n.upper(), OPENPOSE25),
        (
            lambda n: n.replace("_", " ").title().replace(" ", "").replace("Left", "L").replace("Right", "R"),
            HALPE26,
        ),
    ],
)
def test_names_however_they_are_spelled(spell: Callable[[str], str], skeleton: Skeleton) -> None:
    found, places = match([spell(name) for name in skeleton.joint_names], "x")
    assert found == skeleton and places == list(range(skeleton.num_joints))


def test_missing_joints(tmp_path: Path) -> None:
    """Short gaps along a straight line, an ear by the other one; an ankle gone for long takes its frames away."""
    person = coco()
    person[5:8, WRIST] = 0  # as OpenPose and AlphaPose write what they did not see
    person[12, EAR] = 0
    person[20:, ANKLE] = 0
    read = load_foreign(alphapose(tmp_path, person), "auto", ASIDE)
    true = coco()
    steps = np.linspace(0, 1, 5)[1:4, None]
    np.testing.assert_allclose(
        read.xy[5:8, WRIST], (1 - steps) * true[4, WRIST, :2] + steps * true[8, WRIST, :2], rtol=1e-6
    )
    np.testing.assert_array_equal(read.scores[5:8, WRIST], 0)
    interpolated = (true[11, EAR, :2] + true[13, EAR, :2]) / 2
    np.testing.assert_allclose(read.xy[12, EAR], interpolated, rtol=1e-6)
    np.testing.assert_array_equal(read.found, np.arange(FRAMES) < 20)
    assert np.isnan(read.xy[20:]).all() and not read.scores[20:].any()
    assert read.provenance["warnings"] == [
        "joints not seen were filled in, of 40 frames: left_ear in 1, left_wrist in 3",
        "20 frames left out, joints are missing: right_ankle in 20 of them",
    ]


def test_an_ear_never_seen(tmp_path: Path) -> None:
    person = coco()
    person[:, EAR] = 0
    read = load_foreign(alphapose(tmp_path, person), "auto", ASIDE)
    np.testing.assert_array_equal(read.xy[:, EAR], person[:, COCO17.index("right_ear"), :2])
    assert read.found.all()


def test_a_joint_never_seen(tmp_path: Path) -> None:
    person = coco()
    person[:, ANKLE] = 0
    with pytest.raises(
        InputError, match="no frame has all joints that lifting needs; missing: right_ankle in 40"
    ):
        load_foreign(alphapose(tmp_path, person), "auto", ASIDE)


def crowd(folder: Path, numbered: bool) -> Path:
    """The person, a smaller one who crosses before her, and a giant in three frames, in changing order."""
    rng = np.random.default_rng(0)
    entries = []
    for frame, joints in enumerate(coco()):
        small, giant = joints.copy(), joints.copy()
        small[:, :2] = joints[:, :2] * 0.4 + [12 * frame, 100]
        giant[:, :2] = joints[:, :2] * 1.2 + [400, 0]
        seen = [("7", joints), ("3", small)] + ([("9", giant)] if frame in (10, 11, 12) else [])
        for k in rng.permutation(len(seen)):
            name, who = seen[k]
            entries.append({"image_id": f"{frame}.jpg", "category_id": 1, "score": 1.0, "idx": int(name),
                            "keypoints": who.astype(float).ravel().tolist()})  # fmt: skip
            if not numbered:
                del entries[-1]["idx"]
    path = folder / "crowd.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("numbered", [True, False])
def test_the_one_who_is_largest_over_the_clip(numbered: bool, tmp_path: Path) -> None:
    read = load_foreign(crowd(tmp_path, numbered), "alphapose", ASIDE)
    np.testing.assert_array_equal(read.xy, coco()[..., :2])
    who = read.provenance["person"]
    said = described(who)
    assert said.startswith("3; this is 0") and said.endswith(
        "the one who is largest over the clip, in 40 of 40 frames"
    )
    assert ("'7' in the file" in said) == numbered and who["asked"] == "largest"


def test_whom_of_several(tmp_path: Path) -> None:
    path = crowd(tmp_path, True)
    everybody = load_people(path, "alphapose", ASIDE, "all")
    assert [k.provenance["person"]["id"] for k in everybody] == [0, 1, 2]
    assert [k.provenance["person"]["name"] for k in everybody] == ["7", "3", "9"]
    assert [int(k.found.sum()) for k in everybody] == [40, 40, 3]
    second = load_people(path, "alphapose", ASIDE, "1")[0]
    np.testing.assert_array_equal(second.xy, everybody[1].xy)
    np.testing.assert_allclose(second.xy[5], coco()[5, :, :2] * 0.4 + [60, 100], rtol=1e-5)
    with pytest.raises(UsageError, match="no person 3: there are 3 people, 0 to 2"):
        load_people(path, "alphapose", ASIDE, "3")


def test_left_and_right_exchanged_are_put_right(tmp_path: Path) -> None:
    person = coco()
    person[15:19] = person[15:19][:, list(COCO17.mirror)]
    read = load_foreign(alphapose(tmp_path, person), "auto", ASIDE)
    assert read.provenance["warnings"] == [
        "left and right legs look exchanged in frames 15-18; put right",
        "left and right arms look exchanged in frames 15-18; put right",
    ]
    limbs = slice(COCO17.index("left_shoulder"), None)  # which way the face looks is not judged
    np.testing.assert_array_equal(read.xy[:, limbs], coco()[:, limbs, :2])
    kept = load_people(alphapose(tmp_path, person), timing=ASIDE, swaps=SwapSettings(repair=False))[0]
    assert [w.rpartition("; ")[2] for w in kept.provenance["warnings"]] == ["left as they are"] * 2
    np.testing.assert_array_equal(kept.xy, person[..., :2])


def test_frames_of_a_video(tmp_path: Path) -> None:
    """The file's frames find the video's times; frames without anybody, and some wanted, stay in place."""
    times = np.cumsum(np.linspace(0.02, 0.06, FRAMES))  # a phone's: no steady rate
    person = coco()
    person[7] = 0
    path = mmpose_inferencer(tmp_path, person)
    read = load_foreign(path, "auto", Timing(times_s=times, size=SIZE))
    np.testing.assert_array_equal(read.timestamps_s, times)
    np.testing.assert_array_equal(np.flatnonzero(~read.found), [7])
    part = load_foreign(
        path, "auto", Timing(times_s=times, rows=np.arange(10, 20), complete=False, size=SIZE)
    )
    np.testing.assert_array_equal(part.xy, person[10:20, :, :2])
    np.testing.assert_array_equal(part.timestamps_s, times[10:20])
    counted_from_one = mmpose_demo(tmp_path, points(HALPE26))
    read = load_foreign(counted_from_one, "auto", Timing(times_s=times, size=SIZE))
    np.testing.assert_array_equal(read.xy[0, :26], points(HALPE26)[0, :, :2])


def test_part_of_a_file_without_video(tmp_path: Path) -> None:
    timing = Timing(fps=FPS, size=SIZE, start_s=0.4, end_s=0.8)
    read = load_foreign(coco_results(tmp_path, coco()), "auto", timing)
    np.testing.assert_allclose(read.timestamps_s, TIMES[10:20])
    np.testing.assert_array_equal(read.xy, coco()[10:20, :, :2])


def test_a_table_with_times_needs_no_rate(tmp_path: Path) -> None:
    read = load_foreign(own_csv(tmp_path, coco()), "auto", Timing(size=SIZE))
    np.testing.assert_array_equal(read.timestamps_s, TIMES)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def evil_archive(folder: Path) -> Path:
    path = folder / "evil.npz"
    np.savez(path, positions_2d=np.array(Evil(), dtype=object))
    return path


def bottomless_archive(folder: Path) -> Path:
    """Lists of lists of lists: 10^30 numbers in a few hundred bytes."""
    many: list[Any] = [1.0]
    for _ in range(30):
        many = [many] * 10
    path = folder / "deep.npz"
    content = np.empty((), dtype=object)
    content[()] = {"a": {"b": many}}
    np.savez(path, positions_2d=content)
    return path


def text(content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "file.txt").write_text(content)
        return folder / "file.txt"

    return write


def edited(change: Callable[[list[Any]], None]) -> Callable[[Path], Path]:
    """AlphaPose's list with something wrong in it."""

    def write(folder: Path) -> Path:
        path = alphapose(folder, coco())
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return path

    return write


def two_sequences(folder: Path) -> Path:
    path = folder / "two.npz"
    both = {"a.mp4": {"custom": [coco()[..., :2]]}, "b.mp4": {"custom": [coco()[..., :2]]}}
    np.savez(path, positions_2d=both)  # type: ignore[arg-type]
    return path


def shares(folder: Path) -> Path:
    person = coco()
    person[..., :2] /= 640
    return openpose(folder, np.concatenate([person, person[:, :1]], axis=1))


@pytest.mark.parametrize(
    ("write", "format", "says"),
    [
        (text(""), "auto", "is empty or of no keypoint format"),
        (text("\0\1"), "auto", "is empty or of no keypoint format"),
        (text("{"), "auto", "is not readable JSON"),
        (text("[" * 100_000), "auto", "is not readable JSON"),
        (text('{"a": 1}'), "auto", "JSON of no known layout"),
        (text("[]"), "alphapose", "nobody in any"),
        (text("[[[]]]"), "coco", "is --format right"),
        (text("a,b\n1,2\n"), "auto", "no columns like nose_x and nose_y"),
        (text("nose_x,nose_y\n1,2\n"), "auto", "lifting needs"),
        (text("frame,x\n"), "trc", "Frame#"),
        (lambda f: f, "coco", "is a folder"),
        (lambda f: f, "openpose", "no file is called like OpenPose's"),
        (lambda f: f / "nope.json", "coco", "no such file"),
        (evil_archive, "auto", "holds an object of"),
        (bottomless_archive, "auto", "holds more than 2000000 things"),
        (two_sequences, "vp3d", "holds 2 sequences (a.mp4/custom, b.mp4/custom)"),
        (edited(lambda c: c[3].update(keypoints=[1.0] * 50)), "auto", "image 3.jpg: 50 numbers are not x, y and score"),
        (edited(lambda c: c[3].update(keypoints=[1.0] * 21)), "auto", "image 3.jpg: 7 joints where 17 were expected"),
        (edited(lambda c: c[3].update(keypoints="abc")), "auto", "image 3.jpg: its keypoints are not a plain table"),
        (edited(lambda c: c[3].update(keypoints={"a": 1})), "auto", "image 3.jpg: its keypoints are not a plain table"),
        (edited(lambda c: c[0].update(keypoints=[1.0] * 30)), "auto", "this one has 10"),
        (edited(lambda c: c[3].update(image_id="999999999.jpg")), "auto", "are more than 500000"),
        (shares, "auto", "between 0 and 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(
    write: Callable[[Path], Path], format: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PosecliError) as error:
        load_foreign(write(tmp_path), format, ASIDE)
    assert says in str(error.value) and "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


def test_what_is_not_a_number_is_not_seen(tmp_path: Path) -> None:
    """null, NaN, infinity, numbers beyond any picture."""
    path = alphapose(tmp_path, coco())
    content = json.loads(path.read_text())
    for frame, value in ((3, None), (4, float("nan")), (5, float("inf")), (6, 1e300)):
        content[frame]["keypoints"][3 * WRIST] = value
    content[7]["keypoints"][3 * WRIST + 2] = None  # its score
    path.write_text(json.dumps(content))
    read = load_foreign(path, "auto", ASIDE)
    assert read.found.all() and np.isfinite(read.xy[:, WRIST]).all() and np.isfinite(read.scores).all()
    np.testing.assert_array_equal(np.flatnonzero(read.scores[:, WRIST] == 0), [3, 4, 5, 6, 7])


@pytest.mark.parametrize(
    ("timing", "error", "says"),
    [
        (Timing(size=SIZE), UsageError, "give the video, or --fps 30"),
        (Timing(fps=30), UsageError, "give the video, or --size"),
        (Timing(times_s=np.arange(20) / 25, size=SIZE), InputError, "goes on to frame 40, the video has 20"),
        (Timing(fps=25, size=SIZE, start_s=9), InputError, "no frame lies between 9 and inf s"),
    ],
)
def test_times_and_size_are_needed(timing: Timing, error: type[Exception], says: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=says):
        load_foreign(alphapose(tmp_path, coco()), "auto", timing)


def test_nobody(tmp_path: Path) -> None:
    with pytest.raises(NobodyError, match="nobody in any of its 40 frames"):
        load_foreign(openpose(tmp_path, np.zeros((FRAMES, 25, 3), np.float32)), "auto", ASIDE)


def test_from_keypoints_to_files(tmp_path: Path) -> None:
    """Without a video: results and a detections file that lifts to the same again; never over the input."""
    path = vp3d(tmp_path, coco())  # tells size and rate itself
    made = lift_to_files(keypoints=path, out=tmp_path / "out", exports=("npz", "mp4"))
    assert [f.name for f in made.files] == ["data_2d_custom_clip.detections.h5", "data_2d_custom_clip.npz"]
    assert made.warnings == ["no mp4 written: keypoints alone give nothing to draw on; give the video too"]
    assert made.motion.settings["detection"]["detector"] == "vp3d keypoints"
    again = lift_to_files(made.files[0], out=tmp_path / "again", exports=("npz",))
    assert (tmp_path / "again/data_2d_custom_clip.npz").read_bytes() == made.files[1].read_bytes()
    assert again.motion.settings == made.motion.settings
    (tmp_path / "second").mkdir()
    other, kept = vp3d(tmp_path / "second", coco() + 1), made.files[0].read_bytes()
    made.files[1].unlink()
    with pytest.raises(OutputError, match="exists and other settings made it; use --overwrite"):
        lift_to_files(keypoints=other, out=tmp_path / "out", exports=("npz",))
    assert made.files[0].read_bytes() == kept and not made.files[1].exists()
    before = path.read_bytes()
    with pytest.raises(PosecliError, match="is the input itself"):
        lift_to_files(keypoints=path, out=tmp_path, exports=("npz",), overwrite=True)
    assert path.read_bytes() == before


def test_with_the_video(shared_data: Path, tmp_path: Path) -> None:
    """Times, size and pictures come from the video; frames it does not name have nobody."""
    video = shared_data / "videos/robust/juggle_20frames.mp4"
    made = lift_to_files(video, keypoints=alphapose(tmp_path, coco()[:18]), out=tmp_path / "out")
    names = [f.name.removeprefix("juggle_20frames.") for f in made.files]
    assert names == ["detections.h5", "npz", "bvh", "mp4"]
    own = lift_to_files(video, out=tmp_path / "own", exports=("npz",))
    np.testing.assert_array_equal(made.motion.timestamps_s, own.motion.timestamps_s)
    assert made.motion.image_size == own.motion.image_size
    np.testing.assert_array_equal(made.motion.valid, np.arange(20) < 18)
    np.testing.assert_array_equal(made.motion.settings["detection"]["source"]["name"], video.name)


def test_a_pickle_of_ours_is_not_trusted_either(tmp_path: Path) -> None:
    """The archive's inner pickle may name numpy's arrays and scalars, and nothing else of numpy."""
    path = tmp_path / "state.npz"
    np.savez(path, positions_2d=np.array(np.random.RandomState(0), dtype=object))
    with pytest.raises(InputError, match=r"holds an object of numpy\.random"):
        load_foreign(path, "vp3d", ASIDE)
