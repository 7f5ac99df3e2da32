"""`posecli refine` and `posecli export` as a user starts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from posecli.cli.main import main
from posecli.errors import ExitCode
from posecli.export.npz import load_npz, save_npz
from posecli.media.write import VideoWriter
from posecli.motion import Motion
from posecli.refine.d3prefiner import D3PRefiner, D3PRefinerConfig
from posecli.weights import store
from posecli.weights.format import save_weights


@pytest.fixture
def preds(seen: Callable[..., Motion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save_npz(seen(), Path("preds.npz"))


def test_our_own_file(preds: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refine", "preds.npz", "--weights", str(weights)]) == ExitCode.OK
    said = capsys.readouterr()
    # 100 mm, but for the last state of the paper's schedule being 1.001 times a pose.
    assert "joints by 99.8 mm (median)" in said.out and "warning" not in said.err
    assert (
        main(["refine", "preds.refined.npz", "--weights", str(weights), "--out", "twice.npz"]) == ExitCode.OK
    )
    assert "preds.refined.npz is refined already" in capsys.readouterr().err
    refined = load_npz("preds.refined.npz")
    done = refined.settings["refinements"][0]
    assert (done["method"], done["base"], done["warnings"]) == ("d3prefiner", "ddhpose", [])
    assert done["input"]["name"] == "preds.npz" and len(done["weights_hash"]) == 64
    assert main(["export", "preds.refined.npz", "--to", "bvh,npz", "--out", "results"]) == ExitCode.OK
    assert Path("results/preds.refined.bvh").read_text().startswith("HIERARCHY")
    assert np.array_equal(load_npz("results/preds.refined.npz").joints_3d, refined.joints_3d)


def test_another_lifter_is_warned_of(
    seen: Callable[..., Motion], preds: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_npz(seen(settings={"method": "mixste"}), "other.npz")
    assert main(["refine", "other.npz", "--weights", str(weights), "--out", "x.npz"]) == ExitCode.OK
    assert "fitted to the errors of ddhpose, but mixste made this file" in capsys.readouterr().err
    assert load_npz("x.npz").settings["refinements"][0]["warnings"]


def test_a_foreign_file(seen: Callable[..., Motion], preds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("X3D.npy", seen().joints_3d)
    np.save("2d.npy", seen().keypoints_2d)
    line = ["refine", "X3D.npy", "--method", "savgol", "--keypoints", "2d.npy", "--image-size", "1280x720"]
    assert main(line) == ExitCode.USAGE
    assert "give --fps RATE too" in capsys.readouterr().err
    assert main([*line, "--fps", "30"]) == ExitCode.OK
    assert load_npz("X3D.refined.npz").settings["source"]["name"] == "X3D.npy"
    assert "warning" not in capsys.readouterr().err
    np.save("X3D.npy", 0.4 * seen().joints_3d)  # in units of the picture, as MotionBERT writes them
    assert main([*line, "--fps", "30", "--overwrite"]) == ExitCode.OK
    assert "m tall; give --height if that is wrong" in capsys.readouterr().err
    assert main([*line, "--fps", "30", "--overwrite", "--height", "1.7"]) == ExitCode.OK
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("refine preds.npz --out no/such/out.mp4", ExitCode.USAGE, "ending in .npz"),
        ("refine nope.npz --method savgol", ExitCode.INPUT, "nope.npz does not exist"),
        ("refine preds.npz --method median", ExitCode.USAGE, "one of: d3prefiner, savgol, one-euro, lowpass"),
        ("refine preds.npz --method savgol --weights x", ExitCode.USAGE, "has no weights"),
        ("refine preds.npz --method savgol --out x.npy", ExitCode.USAGE, "ending in .npz"),
        ("refine preds.npz --method savgol --out preds.npz", ExitCode.OUTPUT, "is the input itself"),
        (
            "refine preds.npz --method savgol --out there.npz",
            ExitCode.OUTPUT,
            "there.npz exists; use --overwrite",
        ),
        ("refine preds.npz --method savgol --image-size 5", ExitCode.USAGE, "takes WIDTHxHEIGHT"),
        ("refine preds.npz --method savgol --fps 30", ExitCode.USAGE, "posecli's own and says it all"),
        ("refine there.npz --method savgol", ExitCode.INPUT, "not"),
        ("refine preds.npz --weights there.npz", ExitCode.INPUT, "no readable weights file"),
        ("refine .", ExitCode.INPUT, ". is a folder; name the file to refine"),
        ("refine " + 300 * "x" + " --method savgol", ExitCode.INPUT, "File name too long"),
        (
            "refine preds.npz --method savgol --out " + 300 * "x" + ".npz",
            ExitCode.INPUT,
            "File name too long",
        ),
        ("export .", ExitCode.INPUT, ". is a folder; name the motion file"),
        ("render .", ExitCode.INPUT, ". is a folder; name the motion file"),
        ("train d3prefiner --data x.h5", ExitCode.USAGE, "--base LIFTER goes with d3prefiner"),
        ("train mixste --base ddhpose --data x.h5", ExitCode.USAGE, "--base LIFTER goes with d3prefiner"),
        ("train d3prefiner --base ddhpose --data x.h5", ExitCode.INPUT, "there is no corpus at x.h5"),
        ("export preds.npz --to fbx", ExitCode.USAGE, "unknown export 'fbx'; one or more of: npz, bvh, mp4"),
        ("export preds.npz --to ,", ExitCode.USAGE, "nothing to export"),
        ("export preds.npz --to npz", ExitCode.OUTPUT, "is the input itself"),
        (
            "export preds.npz --to bvh,mp4",
            ExitCode.INPUT,
            "preds.npz names no video; name the video with --video",
        ),
        ("export there.npz", ExitCode.INPUT, "there.npz is not a readable .npz file"),
        ("render there.npz", ExitCode.INPUT, "there.npz is not a readable .npz file"),
        ("render preds.npz --out x.avi", ExitCode.USAGE, "ending in .mp4 or .gif"),
        ("render preds.npz --out preds.npz", ExitCode.USAGE, "ending in .mp4 or .gif"),
        ("render preds.npz --out no/such.mp4", ExitCode.OUTPUT, "no such folder"),
        ("render preds.npz --video gone.mp4", ExitCode.INPUT, "gone.mp4"),
        ("lift x.mp4 --refine median", ExitCode.USAGE, "unknown refiner 'median'"),
        ("bench refine --lifter median --refiner none", ExitCode.INPUT, "no weights for median ship"),
        ("bench refine --refiner there.npz", ExitCode.INPUT, "no readable weights file"),
        ("bench refine --keep x", ExitCode.USAGE, "--keep is for the detections of --video"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing(
    line: str, code: ExitCode, says: str, preds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("there.npz").write_text("something else")
    assert main(line.split()) == code
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert sorted(p.name for p in Path().iterdir()) == ["preds.npz", "there.npz"]


def test_no_input_is_overwritten(
    seen: Callable[..., Motion], preds: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("X3D.npy", seen().joints_3d)
    np.savez("2d.npz", keypoints=seen().keypoints_2d)
    before = Path("2d.npz").read_bytes()
    line = ["refine", "X3D.npy", "--method", "savgol", "--keypoints", "2d.npz", "--image-size", "1280x720"]
    assert main([*line, "--fps", "30", "--out", "2d.npz", "--overwrite"]) == ExitCode.OUTPUT
    assert Path("2d.npz").read_bytes() == before
    Path("w.npz").write_bytes(weights.read_bytes())
    assert (
        main(["refine", "preds.npz", "--weights", "w.npz", "--out", "w.npz", "--overwrite"])
        == ExitCode.OUTPUT
    )
    assert Path("w.npz").read_bytes() == weights.read_bytes()


def test_exports_are_all_there_or_none(
    seen: Callable[..., Motion], preds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_npz(seen(np.full((90, 17, 3), np.nan), valid=np.zeros(90, bool)), "nobody.npz")
    assert main(["export", "nobody.npz", "--to", "npz,bvh", "--out", "x"]) == ExitCode.NOBODY
    far = np.arange(90) / 30
    far[45:] += 9e7
    save_npz(seen(timestamps_s=far), "far.npz")
    assert main(["export", "far.npz", "--to", "npz,bvh", "--out", "x"]) == ExitCode.USAGE
    assert not Path("x").exists() or not list(Path("x").iterdir())
    assert capsys.readouterr().err.count("error: ") == 2


def test_what_a_file_says_cannot_steer_the_terminal(
    seen: Callable[..., Motion], preds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"method": "ddhpose", "refinements": [{"method": "\x1b[2J\x1b]0;title\x07\nline2"}]}
    save_npz(seen(settings=settings), "odd.npz")
    assert main(["refine", "odd.npz", "--method", "savgol"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\x07" not in said and "line2" in said


def test_a_video_is_found_again_by_its_bytes(
    seen: Callable[..., Motion], preds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from posecli.detect.provenance import source_identity

    with VideoWriter("v.mp4", (64, 48)) as video:
        for k in range(10):
            video.write(np.full((48, 64, 3), 20 * k, np.uint8), k / 30)
    made = {"source": source_identity(Path("v.mp4")), "start_s": None, "end_s": None}
    motion = seen(settings={"method": "test", "detection": made}, image_size=(64, 48))
    save_npz(motion, "m.npz")
    assert main(["export", "m.npz", "--to", "mp4"]) == ExitCode.OK
    assert Path("m.mp4").stat().st_size > 1000
    Path("v.mp4").write_bytes(Path("v.mp4").read_bytes() + b"\0")  # not those bytes any more
    assert main(["export", "m.npz", "--to", "mp4", "--overwrite"]) == ExitCode.INPUT
    capsys.readouterr()
    assert main(["export", "m.npz", "--to", "mp4", "--video", "v.mp4", "--overwrite"]) == ExitCode.OK
    assert "v.mp4 is not the file that m.npz was made from" in capsys.readouterr().err


def test_shipped_weights_go_by_the_lifter(
    seen: Callable[..., Motion],
    preds: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_npz(seen(settings={"method": "mixste"}), "other.npz")
    folder = Path("weights")
    folder.mkdir()
    monkeypatch.setattr(store, "shipped_folder", lambda: folder)
    assert main(["refine", "preds.npz"]) == ExitCode.INPUT
    assert "no weights of d3prefiner ship with posecli yet: make some" in capsys.readouterr().err
    (folder / "d3prefiner-ddhpose.safetensors").write_bytes(weights.read_bytes())
    assert main(["refine", "preds.npz"]) == ExitCode.OK
    assert main(["refine", "other.npz"]) == ExitCode.INPUT
    assert (
        "no weights of d3prefiner for mixste ship with posecli (only for ddhpose)" in capsys.readouterr().err
    )
    (folder / "d3prefiner-any.safetensors").write_bytes(weights.read_bytes())
    for name, used in (("preds", "d3prefiner-ddhpose"), ("other", "d3prefiner-any")):
        assert main(["refine", f"{name}.npz", "--overwrite"]) == ExitCode.OK
        done = load_npz(f"{name}.refined.npz").settings["refinements"]
        assert done[0]["weights"] == f"{used}.safetensors"


def test_other_weights_of_the_same_lifter(
    seen: Callable[..., Motion],
    preds: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A refiner that was fitted to some weights of a lifter is not taken by itself for others, and warns of them."""
    folder, fitted, other = Path("weights"), 64 * "a", 64 * "b"
    folder.mkdir()
    monkeypatch.setattr(store, "shipped_folder", lambda: folder)
    _save_refiner(folder / "d3prefiner-ddhpose.safetensors", base="ddhpose", bases={"ddhpose": fitted})
    for digest in (fitted, other):
        save_npz(seen(settings={"method": "ddhpose", "weights_hash": digest}), f"{digest[0]}.npz")
    assert main(["refine", "a.npz"]) == ExitCode.OK
    assert "warning" not in capsys.readouterr().err
    assert main(["refine", "b.npz"]) == ExitCode.OK  # nothing better ships
    says = "fitted to the errors of ddhpose, with other weights than those that made this file"
    assert says in capsys.readouterr().err
    assert says in load_npz("b.refined.npz").settings["refinements"][0]["warnings"][0]
    _save_refiner(
        folder / "d3prefiner-any.safetensors", base="any", bases={"ddhpose": fitted, "mixste": fitted}
    )
    for name, used in (("a", "ddhpose"), ("b", "any")):
        assert main(["refine", f"{name}.npz", "--overwrite"]) == ExitCode.OK
        said = capsys.readouterr()
        assert ("errors of ddhpose, mixste, with other weights" in said.err) == (name == "b")
        assert f"d3prefiner-{used}.safetensors, fitted to ddhpose" in said.out
        done = load_npz(f"{name}.refined.npz").settings["refinements"][0]
        assert done["weights"] == f"d3prefiner-{used}.safetensors" and done["bases"]["ddhpose"] == fitted
    save_npz(seen(settings={"method": "MotionBERT"}), "c.npz")
    assert main(["refine", "c.npz", "--weights", "d3prefiner-any"]) == ExitCode.OK
    assert "errors of ddhpose, mixste, but MotionBERT made this file" in capsys.readouterr().err
    assert main(["refine", "c.npz", "--method", "savgol", "--overwrite"]) == ExitCode.OK
    assert "warning" not in capsys.readouterr().err


def _save_refiner(path: Path, **said: object) -> None:
    about = {"rate_hz": 30.0, "size_exponent": 0.5, **said}
    save_weights(
        path, "d3prefiner", D3PRefiner(D3PRefinerConfig(frames=9, width=16, depth=1, heads=2)), about
    )


def test_lifting_and_refining_in_one_go(seen: Callable[..., Motion], preds: Path, weights: Path) -> None:
    """`lift --refine` gives what `lift` and then `refine` give."""
    sequence = {"S": {"walk": [seen().keypoints_2d[:60]]}}
    layout = {"layout_name": "h36m", "num_joints": 17}
    np.savez("2d.npz", positions_2d=np.array(sequence, object), metadata=np.array(layout, object))
    line = ["lift", "--keypoints", "2d.npz", "--fps", "30", "--size", "1280x720", "--export", "npz,bvh"]
    assert main([*line, "--out", "plain"]) == ExitCode.OK
    assert main([*line, "--out", "both", "--refine", str(weights)]) == ExitCode.OK
    plain, both = load_npz("plain/2d.npz"), load_npz("both/2d.npz")
    assert both.unrefined_3d is not None and np.array_equal(both.unrefined_3d, plain.joints_3d)
    assert main(["refine", "plain/2d.npz", "--weights", str(weights), "--out", "after.npz"]) == ExitCode.OK
    assert np.array_equal(load_npz("after.npz").joints_3d, both.joints_3d)
    assert np.abs(both.joints_3d - plain.joints_3d).max() > 0.05
    done = both.settings["refinements"]
    assert [d["method"] for d in done] == ["d3prefiner"] and done[0]["weights"] == weights.name
    assert Path("both/2d.bvh").read_text() != Path("plain/2d.bvh").read_text()


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_motion_is_drawn_without_its_source(
    ending: str, seen: Callable[..., Motion], preds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = np.arange(90) >= 20
    joints = seen().joints_3d.copy()
    joints[gone] = np.nan
    save_npz(seen(joints, valid=~gone, image_size=(320, 180)), "m.npz")
    assert main(["render", "m.npz", "--out", f"m.{ending}"]) == ExitCode.OK
    assert "m.npz names no video: drawn without its pictures" in capsys.readouterr().err
    with av.open(f"m.{ending}") as container:
        pictures = list(container.decode(video=0))
    # every frame, or 12.5 of them a second from 0 to 89/30 s
    assert len(pictures) == {"mp4": 90, "gif": 38}[ending]
    assert len(list(Path().iterdir())) == 3  # with preds.npz; nothing else is left
    assert main(["render", "m.npz", "--out", f"m.{ending}"]) == ExitCode.OUTPUT
