"""`posecli bench open` as a user runs it, on part of the benchmark or on a clip of 0.8 s."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from as_a_user import Run
from safetensors import safe_open

from posecli.bench import run_video
from posecli.bench.open_data import load_benchmark
from posecli.cli.main import main
from posecli.errors import ExitCode
from posecli.pipeline import lift
from posecli.weights import store


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two short clips of the benchmark instead of all: walking by phone, running by webcam."""
    whole = load_benchmark()
    part = replace(whole, clips=(whole.clips[0], whole.clips[13]))
    monkeypatch.setattr("posecli.bench.open.load_benchmark", lambda: part)


def test_table_json_and_plot_agree(
    short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "open", "--format", "csv", "--out", "r.json", "--plot", "r.png"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    content = json.loads(Path("r.json").read_text())
    assert [row[:2] for row in rows[1:]] == [
        ["action", "walk"], ["action", "run and jump"], ["viewpoint", "phone"], ["viewpoint", "webcam"],
        ["all", "all"],
    ]  # fmt: skip
    column = {name: rows[0].index(name) for name in ("MPJPE (mm)", "P-MPJPE (mm)", "AUC (%)", "jitter")}
    for row in rows[1:]:
        group = content["overall"] if row[0] == "all" else content[f"by_{row[0]}"][row[1]]
        assert float(row[column["MPJPE (mm)"]]) == pytest.approx(group["mpjpe_mm"], abs=0.051)
        assert float(row[column["P-MPJPE (mm)"]]) == pytest.approx(group["p_mpjpe_mm"], abs=0.051)
        assert float(row[column["AUC (%)"]]) == pytest.approx(group["auc_percent"], abs=0.051)
        assert float(row[column["jitter"]]) == pytest.approx(group["jitter"], abs=0.0051)
    both = np.mean([clip["mpjpe_mm"] for clip in content["clips"]])
    assert content["overall"]["mpjpe_mm"] == pytest.approx(both)
    assert content["benchmark"]["frames"] == sum(clip["frames"] for clip in content["clips"])
    assert {"method", "weights_sha256", "settings", "posecli", "git", "device", "seconds"} <= content.keys()
    for axis in ("x", "y", "depth", "image", "all"):
        assert 0 <= content["joints_3d_std"][axis]["within_1_std"] <= 1
    assert Path("r.png").read_bytes().startswith(b"\x89PNG")

    # The same numbers from another run, in another form; what lies there is not replaced unasked.
    assert main(["bench", "open", "--format", "json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["by_action"] == content["by_action"]
    assert main(["bench", "open", "--out", "r.json"]) == ExitCode.OUTPUT
    assert "r.json exists; use --overwrite" in capsys.readouterr().err


def test_all_shipped_lifters_in_one_table(
    short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The most accurate first, each as `--weights` alone gives it, with the size of its network and its own window."""
    few = [w for w in store.shipped() if w.name in ("graformer-cmu", "ddhpose-cmu", "d3prefiner-any")]
    monkeypatch.setattr(store, "shipped", lambda: few)
    assert (
        main(["bench", "open", "--method", "all", "--format", "csv", "--out", str(tmp_path / "all.json")])
        == 0
    )
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["weights"], row["input"], row["H, W"]) for row in rows] == [
        ("ddhpose-cmu", "27 frames", "1, 1"), ("graformer-cmu", "frame", "1, 1")
    ]  # fmt: skip
    content = json.loads((tmp_path / "all.json").read_text())
    assert main(["bench", "open", "--weights", "graformer-cmu", "--format", "json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert content["graformer-cmu"]["overall"] == alone["overall"]
    assert float(rows[1]["MPJPE (mm)"]) == pytest.approx(alone["overall"]["mpjpe_mm"], abs=0.051)
    with safe_open(few[-1].path, framework="pt") as file:
        counted = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    assert int(rows[1]["parameters"]) == counted  # GraFormer's file holds nothing else
    assert min(float(row["frames/s"]) for row in rows) > 0


def test_a_clip_whose_truth_is_our_own_answer(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then the error is nothing, and MediaPipe's is what it differs from us."""
    clip, place = shared_data / "videos/robust/juggle_20frames.mp4", tmp_path / "clips" / "own"
    place.mkdir(parents=True)
    (place / "any name.mp4").write_bytes(clip.read_bytes())
    joints = lift(clip).joints_3d * 1000
    np.savez(place / "ref.npz", joints_cam_mm=joints, valid=np.ones(joints.shape[:2], bool))
    (tmp_path / "clips" / "other").mkdir()
    (tmp_path / "clips" / "other" / "x.mp4").write_bytes(b"")
    for name, content in (("bad", b"no archive"), ("damaged", (place / "ref.npz").read_bytes())):
        (tmp_path / "clips" / name).mkdir()
        (tmp_path / "clips" / name / "x.mp4").write_bytes(clip.read_bytes() if name == "bad" else b"")
        (tmp_path / "clips" / name / "ref.npz").write_bytes(content)
    keep = ["--keep", str(tmp_path / "kept")]
    arguments = ["bench", "open", "--video", str(tmp_path / "clips"), "--format", "json", *keep]
    assert main(arguments) == ExitCode.INPUT  # and yet the others are scored
    said = capsys.readouterr()
    assert "skipped other: no ref.npz beside its video" in said.err
    assert "bad is left out" in said.err and "damaged is left out" in said.err
    assert said.err.endswith("error: bad, damaged could not be used; the other clips are scored above\n")
    content = json.loads(said.out)
    ours, theirs = (content["clips"]["own"][who] for who in ("posecli", "mediapipe_world"))
    assert ours["pa_mpjpe_mm"] < 0.01 and ours["root_mpjpe_mm"] < 0.01 and ours["frames"] == 20
    assert ours["jitter"] == pytest.approx(1, abs=1e-3)
    assert 20 < theirs["pa_mpjpe_mm"] < 200 and theirs["frames"] == 20
    assert content["joints_3d_std"]["all"]["within_1_std"] == 1.0  # no error lies inside any spread
    assert list(content["skipped"]) == ["other"] and list(content["failed"]) == ["bad", "damaged"]
    kept = list((tmp_path / "kept").rglob("*.detections.h5"))
    assert len(kept) == 1
    began = kept[0].stat().st_mtime_ns
    again = run_video(tmp_path / "clips", keep=tmp_path / "kept")
    assert again.ours.pa_mpjpe_mm < 0.01 and again.clips[0].seconds["detect"] == 0
    assert kept[0].stat().st_mtime_ns == began


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--format", "latex"], ExitCode.USAGE, "--format must be one of rich, markdown, csv, json"),
        (["--keypoints", "perfect"], ExitCode.USAGE, "keypoints must be one of detected, true"),
        (["--plot", "x.doc"], ExitCode.USAGE, "a plot must end in .png, .svg, .pdf"),
        (["--out", "."], ExitCode.OUTPUT, "is a folder; name a file"),
        (["--method", "nope"], ExitCode.USAGE, "unknown method 'nope'"),
        (["--weights", "nope"], ExitCode.INPUT, "posecli weights list"),
        (["--video", "absent"], ExitCode.INPUT, "absent is no folder"),
        (
            ["--video", "."],
            ExitCode.INPUT,
            "holds no clip to score; each wants a video and a ref.npz beside it",
        ),
        (["--video", ".", "--keypoints", "true"], ExitCode.USAGE, "leave --keypoints and --pairs away"),
        (["--pairs", "absent.h5"], ExitCode.INPUT, "absent.h5"),
        (["--method", "all", "--plot", "x.png"], ExitCode.USAGE, "leave --weights, --video and --plot away"),
        (["--keep", "x"], ExitCode.USAGE, "--keep is for the detections of --video"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nonsense_ends_in_one_line(
    arguments: list[str], code: ExitCode, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "open", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("error: ") and says in said.err
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_command(posecli: Run) -> None:
    assert "posecli bench open --video clips" in posecli("bench", "open", "--help").stdout
