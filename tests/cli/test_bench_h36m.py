"""`posecli bench h36m`, `bench compare`, `weights convert` and `data check` as a user runs them."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_fixtures import script
from tiny_networks import tiny_weights

from posecli.cli.main import main
from posecli.errors import ExitCode
from posecli.weights.format import load_weights
from posecli.weights.official import answer, same_answer

METHODS = {
    "ddhpose": ("ddhpose_f9/checkpoint.bin", "--dataset", "h36m"),
    "d3dp": ("d3dp/checkpoint.bin", "--dataset", "h36m"),
    "mixste": ("mixste_f9/checkpoint.bin", "--dataset", "h36m"),
    "stcformer": ("stcformer/checkpoint.pth", "--dataset", "h36m", "--frames", "9"),
    "graformer": ("graformer_j17/checkpoint.pth.tar",),
    "mgcn": ("modulated_gcn_cpn/checkpoint.pth",),
    "diffpose-official": ("diffpose/checkpoint_diff.pth", "--first", "diffpose/checkpoint_pose.pth"),
    "diffupose": ("diffupose_j16/checkpoint.pt",),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("h36m")
    script().write_h36m(path, 12, subjects=("S9", "S11"), actions=("Posing",))
    return path


@pytest.mark.parametrize("method", METHODS)
def test_from_checkpoint_to_table_in_both_protocols(
    method: str, shared_data: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    golden = shared_data / "golden"
    file, *rest = METHODS[method]
    rest = [str(golden / word) if "/" in word else word for word in rest]
    assert (
        main(["weights", "convert", str(golden / file), "--method", method, *rest, "--out", "w.safetensors"])
        == 0
    )
    assert "same answer" in capsys.readouterr().out
    _, model, metadata = load_weights(Path("w.safetensors"))
    assert same_answer(answer(model), metadata["self_check"])
    keypoints = "hr" if method == "diffupose" else "cpn"
    line = [
        "bench",
        "h36m",
        "--data",
        str(folder),
        "-w",
        "w.safetensors",
        "--keypoints",
        keypoints,
        "-H",
        "2",
    ]
    frames = {}
    for protocol in ("official", "clean"):
        assert main([*line, "--protocol", protocol, "--format", "csv", "--out", f"{protocol}.json"]) == 0
        rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
        content = json.loads(Path(f"{protocol}.json").read_text())
        measured = content["measured"][content["headline"]]
        (row,) = (r for r in rows if r[0] == "P1" and "measured" in r[1])
        assert float(row[-1]) == pytest.approx(measured["p1"]["mean"], abs=0.0051)
        assert row[2] == "-" and float(row[8]) == pytest.approx(measured["p1"]["by"]["Posing"], abs=0.051)
        assert content["weights_sha256"] and content["protocol"] == protocol
        frames[protocol] = content["frames"]
        if protocol == "clean":
            assert list(content["measured"]) == ["P-Agg"] and content["leak"] is None
        elif method in ("ddhpose", "d3dp"):
            assert content["headline"] == "J-Agg" and "true root" in content["leak"]
            p1 = {name: values["p1"]["mean"] for name, values in content["measured"].items()}
            assert p1["J-Best"] <= min(p1["J-Agg"], p1["P-Best"])
    windowed = {"ddhpose": 2 * 9, "d3dp": 27, "mixste": 2 * 9}  # frames in the windows over 12
    clips = 4 * 2 * 2  # views, subjects, takes
    assert frames == {"official": clips * windowed.get(method, 12), "clean": clips * 12}
    if method == "ddhpose":
        assert main(["bench", "compare", "official.json", "clean.json"]) == 0
        said = capsys.readouterr().out
        assert "protocol: official | clean" in said and "\nP2\tWalkT\t-\t-\t-" in said
        assert main([*line, "--out", "again.json", "--plot", "p.png"]) == 0
        again, first = (json.loads(Path(f"{n}.json").read_text()) for n in ("again", "official"))
        assert again["measured"] == first["measured"]
        assert Path("p.png").read_bytes().startswith(b"\x89PNG")
        assert "takes from the truth: official: J-Agg" in capsys.readouterr().out


def test_without_data_the_papers_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "h36m", "--method", "ddhpose", "--format", "csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))[1:]
    assert len(rows) == 6 and all("(published)" in row[1] for row in rows)
    assert rows[0][3:6] == ["37.3", "40.0", "35.2"] and rows[0][-3:] == ["27.7", "39.7", "39.65"]
    assert main(["bench", "h36m"]) == 0
    said = capsys.readouterr().out
    assert "nothing here was measured" in said and "posecli data check h36m" in said
    assert "difference" not in said and "(measured" not in said
    assert main(["bench", "h36m", "--format", "json", "--keypoints", "gt"]) == 0
    assert {r["keypoints"] for r in json.loads(capsys.readouterr().out)["published"]} == {"gt"}


def test_the_other_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    script().write_3dhp(Path("3dhp"), 12)
    tiny_weights(tmp_path, "d3dp", "3dhp")
    line = ["bench", "3dhp", "--data", "3dhp", "-w", "3dhp-d3dp.safetensors"]
    assert main([*line, "--format", "csv", "--out", "one.json"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert [row[:2] for row in rows[1:4]] == [
        ["PCK", "D3DP, H=1 W=1 (published)"], ["PCK", "d3dp (measured, official, J-Agg)"], ["PCK", "difference"]
    ]  # fmt: skip
    assert rows[0][2:] == [*(f"TS{k}" for k in range(1, 7)), "printed mean", "mean of row"]
    one = json.loads(Path("one.json").read_text())
    assert one["settings"]["truth"] == "annot3" and one["units"]["pck"] == "%"
    assert main([*line, "-H", "2,1", "-W", "1,2", "--plot", "p.svg", "--out", "all.json"]) == 0
    said = capsys.readouterr().out
    assert "lifted   hypotheses 1, 2, steps 1, 2, seed 0, on cpu" in said
    runs = json.loads(Path("all.json").read_text())["runs"]
    assert [(r["settings"]["hypotheses"], r["settings"]["steps"]) for r in runs] == [
        (1, 1),
        (2, 1),
        (1, 2),
        (2, 2),
    ]
    assert runs[0]["measured"] == one["measured"]
    assert "\n2\t2\tJ-Agg\t" in said and Path("p.svg").read_text().startswith("<?xml")
    assert main(["bench", "compare", "one.json", "all.json"]) == ExitCode.INPUT
    assert "one holds several runs" in capsys.readouterr().err
    assert main(["bench", "humaneva", "--format", "csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 5 and rows[1][3:6] == ["13.6", "11.6", "16.7"] and rows[0][3] == "Walk S1"
    assert main(["bench", "3dhp", "--method", "ddhpose"]) == 0
    said = capsys.readouterr().out
    assert "PCK, AUC, MPJPE DDHPose, H=1 W=1, gt: Cai et al." in said and "nothing here was measured" in said
    assert main(["data", "check", "3dhp", "3dhp"]) == ExitCode.INPUT
    said = capsys.readouterr()
    assert "0 px from the keypoints: annot3" in said.out and "annot3 frames, univ_annot3 frames" in said.err


class Attack:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ["bench", "h36m", "--method", "nope"],
            ExitCode.USAGE,
            "nothing is published of that; methods: d3dp",
        ),
        (["bench", "h36m", "--weights", "x"], ExitCode.USAGE, "needs Human3.6M; name its folder with --data"),
        (["bench", "h36m", "--data", "."], ExitCode.USAGE, "--data needs --weights FILE"),
        (["bench", "h36m", "--data", ".", "-w", "x"], ExitCode.INPUT, "there is no weights file x"),
        (["bench", "h36m", "--protocol", "mine"], ExitCode.USAGE, "protocol must be one of official, clean"),
        (["bench", "h36m", "--format", "xml"], ExitCode.USAGE, "rich, markdown, latex, csv, json"),
        (
            ["bench", "3dhp", "--data", ".", "-w", "x", "-H", "1,x"],
            ExitCode.USAGE,
            "up to 20 of them with commas",
        ),
        (["bench", "3dhp", "--data", "."], ExitCode.USAGE, "--data needs --weights FILE"),
        (["bench", "3dhp", "--out", "x"], ExitCode.USAGE, "which needs MPI-INF-3DHP; name its folder"),
        (
            ["bench", "humaneva", "-m", "ddhpose"],
            ExitCode.USAGE,
            "nothing is published of that; methods: diffupose",
        ),
        (["weights", "convert", "bad.pt"], ExitCode.INPUT, "an object of posix.system"),
        (["weights", "convert", "cut.pt"], ExitCode.INPUT, "cut.pt is not a"),
        (["bench", "compare", "a", "b"], ExitCode.INPUT, "cannot read a"),
        (["bench", "compare", "bad.pt", "bad.pt"], ExitCode.INPUT, "bad.pt is no result file"),
        (
            ["data", "check", "coco", "."],
            ExitCode.USAGE,
            "unknown data set 'coco'; one of: h36m, 3dhp, humaneva",
        ),
        (["data", "check", "h36m", "absent"], ExitCode.INPUT, "absent is no folder"),
        (["weights", "convert", "bad.pt", "-m", "mixste"], ExitCode.USAGE, "--dataset h36m or 3dhp"),
        (["weights", "convert", "bad.pt", "-m", "mgcn"], ExitCode.INPUT, "an object of posix.system"),
        (["weights", "convert", "cut.pt", "-m", "diffupose"], ExitCode.INPUT, "cut.pt is not a"),
        (["weights", "convert", "bad.pt", "-m", "vit"], ExitCode.USAGE, "unknown method 'vit'"),
        (["weights", "convert", "bad.pt", "-m", "diffpose-official"], ExitCode.USAGE, "--first is needed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nonsense_ends_in_one_line(
    arguments: list[str], code: ExitCode, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Attack()}, "bad.pt")
    Path("cut.pt").write_bytes(Path("bad.pt").read_bytes()[:200])
    assert main(arguments) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("error: ") and says in said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.pt", "cut.pt"]


def test_checkpoints_whose_numbers_are_broken_are_refused(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(
        shared_data / "golden/mixste_f9/checkpoint.bin", map_location="cpu", weights_only=False
    )["model_pos"]
    broken = {k: torch.full_like(v, np.nan) for k, v in state.items()}
    torch.save({"model_pos": broken}, tmp_path / "nan.bin")
    line = ["weights", "convert", str(tmp_path / "nan.bin"), "-m", "mixste", "--dataset", "h36m"]
    assert main([*line, "--out", str(tmp_path / "w.safetensors")]) == ExitCode.INPUT
    assert "not finite" in capsys.readouterr().err
    assert not (tmp_path / "w.safetensors").exists()
