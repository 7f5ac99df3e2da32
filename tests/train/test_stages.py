"""A second stage: from given weights, with the paired set; what chooses the best weights, what is logged."""

from __future__ import annotations

import csv
import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboardX.proto.event_pb2 import Event
from torch import Tensor

from posecli.corpus.detector_model import shipped_model
from posecli.corpus.store import load_corpus
from posecli.errors import InputError, PosecliError, UsageError
from posecli.methods import METHODS
from posecli.methods.ddhpose import DDHPose, DDHPoseConfig
from posecli.train import TrainConfig, make_weights
from posecli.train.checkpoint import Run
from posecli.train.data import PairedSet, WindowSet
from posecli.train.devices import launch
from posecli.train.loop import train
from posecli.train.validation import Validation, validation_batches
from posecli.weights.format import load_weights
from posecli.weights.store import sha256

MODEL = {"frames": 9, "width": 16, "depth": 1, "heads": 2, "drop_path": 0.0}
SETTINGS: dict[str, Any] = {
    "steps": 1, "batch": 4, "warmup": 0, "validate_every": 1, "validation_windows": 64, "precision": "32-true",
    "model": MODEL,
}  # fmt: skip


def build(method: str) -> Any:
    return METHODS[method].build({**METHODS[method].defaults, **MODEL})


def events(folder: Path) -> dict[str, dict[int, float]]:
    """Tag → step → value of TensorBoard's files, records of: length, its CRC, content, its CRC."""
    found: dict[str, dict[int, float]] = {}
    for path in folder.iterdir():
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_a_second_stage_begins_with_the_weights_of_the_first(corpus: Path, tmp_path: Path) -> None:
    first, _ = make_weights("mixste", corpus, TrainConfig(**SETTINGS), tmp_path / "first")
    tiny = {**SETTINGS, "learning_rate": 1e-12, "ema": 0.0, "init": str(first), "model": {}}
    second, card = make_weights("mixste", corpus, TrainConfig(**tiny), tmp_path / "second")
    (_, before, _), (_, after, metadata) = load_weights(first), load_weights(second)
    assert all(torch.equal(v, after.state_dict()[k]) for k, v in before.state_dict().items())
    assert metadata["training"]["model"] == before.config.to_dict() and "width `16`" in card.read_text()
    tiny["init"] = str(first.rename(tmp_path / "another name.safetensors"))
    again, _ = make_weights("mixste", corpus, TrainConfig(**tiny), tmp_path / "second")
    assert again == second  # its checkpoint is known again
    with pytest.raises(UsageError, match="weights of mixste, not of ddhpose"):
        make_weights("ddhpose", corpus, TrainConfig(**tiny), tmp_path / "third")
    for frames in (0, -3, 2.5, "x"):
        with pytest.raises(UsageError, match=r"settings of mixste: .*frames"):
            make_weights(
                "mixste", corpus, TrainConfig(**{**tiny, "model": {"frames": frames}}), tmp_path / "third"
            )
    with pytest.raises(UsageError, match=r"init: the network of .* has other sizes than \[model\] asks for"):
        make_weights("mixste", corpus, TrainConfig(**{**tiny, "model": {"width": 8}}), tmp_path / "third")


def test_a_second_stage_may_have_longer_windows(corpus: Path, tmp_path: Path) -> None:
    """The table of places in time is drawn out: its ends stay where they were, its middle in the middle."""
    first, _ = make_weights("mixste", corpus, TrainConfig(**SETTINGS), tmp_path / "first")
    longer = {**SETTINGS, "learning_rate": 1e-12, "ema": 0.0, "init": str(first), "model": {"frames": 17}}
    second, _ = make_weights("mixste", corpus, TrainConfig(**longer), tmp_path / "second")
    before, after = (load_weights(path)[1] for path in (first, second))
    assert (before.window, after.window) == (9, 17)
    table, drawn_out = before.net.pos_t, after.net.pos_t
    torch.testing.assert_close(drawn_out[::2], table, atol=1e-3, rtol=0)  # float16 in the file
    torch.testing.assert_close(drawn_out[1::2], (table[1:] + table[:-1]) / 2, atol=1e-3, rtol=0)
    others = {k: v for k, v in before.state_dict().items() if k != "net.pos_t"}
    assert all(torch.equal(v, after.state_dict()[k]) for k, v in others.items())


def test_a_second_stage_may_begin_with_a_new_head(corpus: Path, tmp_path: Path) -> None:
    """DDHPose that answers bones (4 numbers a joint) from one that answers joints (3); the rest stays as it was."""
    first, _ = make_weights("ddhpose", corpus, TrainConfig(**SETTINGS), tmp_path / "first")
    settings = {**SETTINGS, "learning_rate": 1e-12, "ema": 0.0, "init": str(first)}
    bones = {**settings, "model": {"disentangled_output": True}}
    with pytest.raises(UsageError, match="or name the parts that begin anew with fresh"):
        make_weights("ddhpose", corpus, TrainConfig(**bones), tmp_path / "second")
    for wrong, words in ({**bones, "fresh": "net.tail"}, "no parameter of ddhpose is called net.tail"), (
        {**bones, "fresh": "net.head", "init": ""}, "fresh goes with init",
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            make_weights("ddhpose", corpus, TrainConfig(**wrong), tmp_path / "second")
    second, _ = make_weights(
        "ddhpose", corpus, TrainConfig(**bones, fresh="net.head.out"), tmp_path / "second"
    )
    before, after = (load_weights(path)[1].state_dict() for path in (first, second))
    assert [k for k in before if not torch.equal(before[k], after[k])] == [
        "net.head.out.weight",
        "net.head.out.bias",
    ]
    assert after["net.head.out.weight"].shape == (4, MODEL["width"])
    anew, _ = make_weights(
        "ddhpose", corpus, TrainConfig(**settings, fresh="net.head.out", seed=1), tmp_path / "third"
    )
    assert not torch.equal(
        load_weights(anew)[1].state_dict()["net.head.out.weight"], before["net.head.out.weight"]
    )


def test_joints_reach_the_loss_unrounded(corpus: Path, tmp_path: Path) -> None:
    """bfloat16 is for the network's products: a truth rounded to it is off by up to 2 mm."""
    seen: list[torch.dtype] = []

    class Watched(DDHPose):
        def loss(self, x2d: Tensor, pose: Tensor, **other: Any) -> Any:
            seen.extend([x2d.dtype, pose.dtype])
            return super().loss(x2d, pose, **other)

    model = Watched(DDHPoseConfig(**MODEL))
    config = TrainConfig(**{**SETTINGS, "precision": "bf16-mixed"})
    train(model, load_corpus(corpus, "train"), load_corpus(corpus, "val"), config, tmp_path)
    assert seen == [torch.float32, torch.float32]


def test_the_paired_set_is_validated_on_and_logged(corpus: Path, tmp_path: Path) -> None:
    training, validating = load_corpus(corpus, "train"), load_corpus(corpus, "val")
    config = TrainConfig(**{**SETTINGS, "steps": 10, "validate_every": 5, "pairs_share": 0.5})
    batch = validation_batches(validating, 9, config)[0]
    held_out = WindowSet(batch.x2d, 1.5 * batch.pose)  # the same windows, with people half as big again
    paired = PairedSet(held_out, held_out)
    model = build("mixste")
    outcome = train(model, training, validating, config, tmp_path, paired=paired, device="cpu")
    validation = outcome.validation
    assert validation.paired is not None
    # By hand: the chosen weights' errors on both.
    guess = model.lift_windows(batch.x2d, hypotheses=1, steps=1, generator=torch.Generator())[:, 0]
    for part, truth in ((validation, batch.pose), (validation.paired, held_out.pose)):
        by_hand = float((guess - truth).norm(dim=-1).mean() * 1000)
        assert part.mpjpe_mm == pytest.approx(by_hand, rel=1e-4)
    rows = list(csv.DictReader((tmp_path / "log.csv").open(newline="")))
    assert [row["step"] for row in rows] == ["5", "10"]
    scores = [
        sum(float(row[f"{p}{k}"]) for p in ("", "paired_") for k in ("mpjpe_mm", "p_mpjpe_mm"))
        for row in rows
    ]
    assert validation.score == pytest.approx(min(scores), abs=0.01)
    board = events(tmp_path / "tensorboard")
    for name in ("p_mpjpe_mm", "paired_limbs_p_mpjpe_mm"):
        logged = {int(row["step"]): float(row[name]) for row in rows}
        assert board[f"validation/{name}"] == pytest.approx(logged, rel=1e-5)
    assert set(board["loss"]) == set(board["learning_rate"]) == {10}
    with pytest.raises(UsageError, match="name it with --pairs"):
        train(model, training, validating, config, tmp_path / "other", device="cpu")
    with pytest.raises(UsageError, match="other motion"):
        train(model, training, validating, config, tmp_path, device="cpu",
              paired=PairedSet(WindowSet(batch.x2d, batch.pose), held_out))  # fmt: skip


def test_the_best_weights_are_those_with_the_least_sum_of_both_sets(tmp_path: Path) -> None:
    def validation(simulated: float, paired: float) -> Validation:
        std = np.zeros((17, 3))
        return Validation(simulated, 30, 0, std, Validation(paired, 40, 0, std))

    model = build("mixste")
    run = Run(
        model, torch.optim.AdamW(model.parameters()), tmp_path / "c.pt", decay=0, settings="", motion=""
    )
    chosen = []
    for simulated, paired in ((60, 80), (50, 95), (70, 69), (69, 70)):
        run.ema["head.1.bias" if "head.1.bias" in run.ema else next(iter(run.ema))].fill_(simulated)
        run.keep_if_best(validation(simulated, paired))
        chosen.append(run.best_score)
    assert chosen == [210, 210, 209, 209]
    key = "head.1.bias" if "head.1.bias" in run.ema else next(iter(run.ema))
    assert float(run.best[key].flatten()[0]) == 70  # a tie keeps the earlier
    assert validation(60, 80).paired is not None and math.isfinite(run.best_score)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning_fabric", "tensorboardX"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(PosecliError, match=rf"{name}.*pip install 'posecli\[train\]'$"):
                launch("cpu", "32-true")


def test_devices_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="device must be one of auto, cpu, cuda, not 'tpu'"):
        launch("tpu", "32-true")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="use --device cpu"):
            launch("cuda", "32-true")
        assert launch("auto", "bf16-mixed").device.type == "cpu"


def test_another_detector_model_is_trained_with_and_recorded(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "fitted.json"
    path.write_text(json.dumps(shipped_model().to_dict()), encoding="utf-8")
    settings = {**SETTINGS, "simulator": {"detector_model": str(path)}}
    weights, _ = make_weights("mixste", corpus, TrainConfig(**settings), tmp_path / "run")
    metadata = load_weights(weights)[2]
    assert metadata["detector_model_sha256"] == sha256(path)
    assert metadata["training"]["simulator"] == {"detector_model": "fitted.json"}  # no folder of the maker's
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*fitted\.json"):
        make_weights("mixste", corpus, TrainConfig(**settings), tmp_path / "other")
