"""What `posecli bench speed` counts, on networks whose work can be counted by hand, and how a row comes about."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from posecli.bench.speed import Part, Timing, clocked, measured, multiply_adds
from posecli.bench.speed_baselines import WIDTH, PlainNetwork
from posecli.bench.speed_parts import Task, measure, measure_apart
from posecli.bench.speed_run import SpeedConfig, SpeedResult, speed_table, tasks
from posecli.cli.main import main
from posecli.errors import InputError, UsageError
from posecli.nets.mixste import MixSTENet
from posecli.weights import store

CPU = torch.device("cpu")
ONCE = Timing(warm_up=1, repeats=1)


def test_products_convolutions_and_attention_are_counted() -> None:
    linear, conv = nn.Linear(10, 20), nn.Conv1d(4, 8, 3)
    q = torch.randn(2, 3, 5, 7)  # batch, heads, tokens, channels
    assert multiply_adds(lambda: linear(torch.randn(6, 10))) == 6 * 10 * 20
    assert multiply_adds(lambda: conv(torch.randn(1, 4, 12))) == 10 * 8 * 4 * 3
    assert multiply_adds(lambda: F.scaled_dot_product_attention(q, q, q)) == 2 * (2 * 3) * 5 * 5 * 7
    assert multiply_adds(lambda: F.gelu(torch.randn(50))) == 0


def test_released_mixste_needs_147_gmac_for_243_frames() -> None:
    """By hand: 16 layers of 8 D² for every one of 243 · 17 tokens, attention 2 · (17 + 243) D for 8 of each."""
    tokens, width = 243 * 17, 512
    layers = tokens * (16 * 8 * width**2 + 8 * 2 * (17 + 243) * width)
    with torch.device("meta"):  # shapes alone
        net = MixSTENet(joints=17, frames=243, width=width, depth=8, heads=8, mlp_ratio=2.0).eval()
        x2d = torch.randn(1, 243, 17, 2)
    ends = tokens * width * (2 + 3)
    assert multiply_adds(lambda: net(x2d)) == pytest.approx(layers + ends, rel=1e-6)
    assert layers == pytest.approx(147e9, rel=0.005)


def test_calls_are_timed_after_those_that_warm_up() -> None:
    calls: list[float] = []

    def call() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.2 if len(calls) <= 2 else 0.02)

    seconds = clocked(call, Timing(warm_up=2, repeats=3), CPU)
    assert len(calls) == 5 and len(seconds) == 3
    assert all(0.02 <= s < 0.2 for s in seconds)
    row = measured(Part(call, frames=10), "lift", "sleep", {}, Timing(1, 3))
    assert row.frames_per_s == 10 / sorted(row.seconds)[1] and row.gmacs is None and row.parameters is None
    assert row.peak_mb is None or 50 < row.peak_mb < 1e5
    with pytest.raises(UsageError, match="between 1 and 1000"):
        Timing(repeats=0)


def test_a_row_of_a_plain_network() -> None:
    window, windows = 27, 9
    row = measure(Task("network", "plain", {"window": window}, baseline=True), ONCE)
    weights = 34 * window * WIDTH + WIDTH**2 + 51 * window * WIDTH
    assert row.parameters == weights + 2 * WIDTH + 51 * window
    assert row.parameters == sum(p.numel() for p in PlainNetwork(window).parameters())
    assert row.frames == window * windows and row.settings["batch"] == 243
    assert row.gmacs == pytest.approx(windows * weights / 1e9)
    assert row.gmacs_per_frame == pytest.approx(weights / window / 1e9)


def test_weights_are_those_that_ship_or_random_and_the_row_says_which() -> None:
    shipped = next(w for w in store.shipped() if w.method == "ddhpose")
    row = measure(Task("network", "ddhpose", {"batch": 27}), ONCE)
    assert (
        row.weights == shipped.path.name and row.weights_sha256 == store.recorded_hashes()[shipped.path.name]
    )
    tiny = {"width": 16, "depth": 1, "heads": 2}
    row = measure(Task("network", "ddhpose", {"window": 9, "steps": 2, "dtype": "bfloat16"}, size=tiny), ONCE)
    assert (row.weights, row.weights_sha256) == ("random", None)
    assert (row.settings["window"], row.settings["steps"], row.settings["dtype"]) == (9, 2, "bfloat16")
    once = measure(Task("network", "ddhpose", {"window": 9, "steps": 1}, size=tiny), ONCE)
    assert row.gmacs_per_frame == pytest.approx(2 * (once.gmacs_per_frame or 0), rel=1e-6)
    several = measure(
        Task("network", "diffupose", {"hypotheses": 4, "batch": 16}, size={"width": 32, "depth": 1}), ONCE
    )
    assert several.frames == 4 and several.settings["steps"] == 5


def test_every_stage_begins_with_its_baseline() -> None:
    config = SpeedConfig(methods=("ddhpose", "graformer"), hypotheses=(1, 5), threads=1)
    planned = tasks(config, Path("clip.mp4"))
    first = {stage: next(t for t in planned if t.stage == stage) for stage in config.stages}
    assert all(task.baseline for task in first.values())
    network = [(t.name, t.settings["hypotheses"], t.baseline) for t in planned if t.stage == "network"]
    assert network == [
        ("plain", 1, True), ("mixste", 1, True), ("ddhpose", 1, False), ("ddhpose", 5, False),
        ("plain", 1, True), ("graformer", 1, False), ("graformer", 5, False),
    ]  # fmt: skip
    mixste = next(t for t in planned if t.name == "mixste")
    assert mixste.size["width"] == 96 and mixste.settings["window"] == 27  # as the shipped weights'


def test_lifting_and_refining_are_timed_whole_and_stand_beside_their_baselines() -> None:
    plain = {"window": 9, "batch": 90}
    rows = [
        measure(Task("lift", "plain", plain, baseline=True, frames=40), ONCE),
        measure(Task("lift", "graformer", {"batch": 90}, size={"width": 16, "depth": 1}, frames=40), ONCE),
        measure(Task("lift", "mixste", plain, size={"width": 16, "depth": 1, "heads": 2}, frames=40), ONCE),
        measure(Task("refine", "lowpass", baseline=True, frames=40), ONCE),
        measure(Task("refine", "one-euro", frames=40), ONCE),
    ]
    result = SpeedResult(tuple(rows), {"device": "cpu"})
    beside = [None if (other := result.beside(row)) is None else other.name for row in rows]
    assert beside == ["plain", None, "plain", "lowpass", "lowpass"]  # windows of 1 and of 9 do not compare
    content = json.loads(json.dumps(result.to_dict()))
    assert content["rows"][4]["beside"]["ratio"] == pytest.approx(rows[4].frames_per_s / rows[3].frames_per_s)
    table = speed_table(result)
    assert table.rows[0][8] == "baseline" and table.rows[2][8].endswith("× plain")
    assert table.rows[1][9] == "random" and "random" in table.markdown()


def test_a_process_of_its_own_says_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="graformer lifts frame by frame"):
        measure_apart(Task("network", "graformer", {"window": 9}), ONCE)
    with pytest.raises(
        RuntimeError, match="TypeError: "
    ) as caught:  # ours are named, and told in full by --debug
        measure_apart(Task("network", "plain", {"window": "nine"}), ONCE)
    assert "speed_parts.py" in caught.value.__notes__[0]


def test_no_more_steps_than_the_diffusion_has() -> None:
    tiny = {"width": 16, "depth": 1, "heads": 2}
    with pytest.raises(UsageError, match="d3dp denoises in at most 1000 steps, not 1001"):
        measure(Task("network", "d3dp", {"window": 9, "steps": 1001}, size=tiny), ONCE)


def test_shipped_weights_go_by_their_name() -> None:
    planned = tasks(SpeedConfig(stages=("network",), weights=Path("mixste-cmu")))
    assert [(task.name, task.weights) for task in planned] == [
        ("plain", ""), ("mixste", str(store.find("mixste", "mixste-cmu")))
    ]  # fmt: skip
    with pytest.raises(UsageError, match="mixste-cmu are weights of mixste, not of d3dp"):
        tasks(SpeedConfig(stages=("network",), methods=("d3dp",), weights=Path("mixste-cmu")))
    with pytest.raises(InputError, match="no weights file absent; shipped are"):
        tasks(SpeedConfig(stages=("network",), weights=Path("absent")))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed.json"
    line = ["bench", "speed", "--stage", "refine", "--refiner", "lowpass", "--frames", "30", "--repeats", "2"]
    assert main([*line, "--format", "markdown", "--out", str(out)]) == 0
    assert "| refine | lowpass |" in capsys.readouterr().out
    content = json.loads(out.read_text())
    (row,) = content["rows"]
    assert row["frames"] == 30 and len(row["seconds"]) == 2 and row["baseline"]
    assert {"git", "threads", "processor", "versions", "busy", "device"} <= set(content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stage", "swim"], "unknown stage 'swim'"),
        (["--method", "swim"], "unknown method 'swim'"),
        (["--hypotheses", "few"], "--hypotheses takes whole numbers"),
        (["--batch", "0"], "must lie between 1 and 100000"),
        (["--threads", "100000"], "threads must lie between 1 and 1024, got 100000"),
        (["--stage", ""], "no stage is named; one or more of: detect, network"),
        (["--dtype", ","], "no dtype is named; one or more of: float32"),
        (["--format", "xml"], "--format must be one of"),
        (["--method", "mixste,d3dp", "--weights", "w.safetensors"], "--weights are of one method"),
    ],
)
def test_what_cannot_be_timed_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "speed", *arguments]) != 0
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
