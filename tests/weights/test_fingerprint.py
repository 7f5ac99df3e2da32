"""Released checkpoints told by the names of their tensors; every golden one becomes a weights file by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import GOLDEN

from posecli.errors import InputError, UsageError
from posecli.weights.fingerprint import left_beside, method_of
from posecli.weights.format import load_weights
from posecli.weights.official import Request, answer, convert_official, same_answer, write_converted

METHODS = {
    "d3dp": "d3dp", "ddhpose": "ddhpose", "diffpose": "diffpose-official", "diffupose": "diffupose",
    "graformer": "graformer", "mixste": "mixste", "modulated": "mgcn", "stcformer": "stcformer",
}  # fmt: skip
FILES = sorted(GOLDEN.glob("*/checkpoint*"))
PARTS = ("checkpoint_pose.pth", "checkpoint_post_refine.pth")
WHOLE = [file for file in FILES if file.name not in PARTS]


def name(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def test_there_are_golden_checkpoints(shared_data: Path) -> None:
    assert len(WHOLE) >= 18


@pytest.mark.parametrize("file", WHOLE, ids=name)
def test_every_golden_checkpoint_is_told_and_becomes_a_file_that_stands_alone(
    file: Path, tmp_path: Path
) -> None:
    """That the model in memory gives the golden output is tests/golden's; the file must hold that model."""
    method = method_of(file)
    assert method == METHODS[file.parent.name.partition("_")[0]]
    needs = {
        "dataset": ("3dhp" if "3dhp" in file.parent.name else "h36m")
        if method in ("ddhpose", "d3dp", "mixste", "stcformer")
        else None,
        "frames": 27 if method == "stcformer" else None,
        "first": file.parent / "checkpoint_pose.pth" if method == "diffpose-official" else None,
    }
    made = convert_official(file, Request(method, **needs))
    write_converted(made, tmp_path / "w.safetensors")
    found, model, metadata = load_weights(tmp_path / "w.safetensors")
    assert found == method and metadata["dropped"] == list(made.dropped)
    expected = made.model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    assert same_answer(answer(model), metadata["self_check"])


def test_a_file_of_another_answer_is_not_kept(shared_data: Path, tmp_path: Path) -> None:
    made = convert_official(shared_data / "golden/mixste_f9/checkpoint.bin", Request("mixste", "h36m"))
    said = made.metadata["self_check"]
    moved = [[x + 0.001, y, z] for x, y, z in said["last_pose_m"]]
    false = replace(made, metadata={**made.metadata, "self_check": {**said, "last_pose_m": moved}})
    with pytest.raises(InputError, match=r"w\.safetensors would not compute what its checkpoint does"):
        write_converted(false, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", [f for f in FILES if f.name in PARTS], ids=name)
def test_parts_of_methods_are_named(file: Path) -> None:
    with pytest.raises(InputError, match=r"is no method of its own: it is the (first network|refinement) of"):
        method_of(file)


def test_what_lies_beside_the_network_is_listed(shared_data: Path) -> None:
    golden = shared_data / "golden"
    beside = left_beside(golden / "mixste_f9/checkpoint.bin")
    assert beside == ("entry epoch", "entry lr", "entry random_state", "entry optimizer")
    assert left_beside(golden / "diffpose/checkpoint_diff.pth")[-1] == "entry 4 (moving average)"
    assert left_beside(golden / "stcformer/checkpoint.pth") == ()
    diffupose = left_beside(golden / "diffupose_j16/checkpoint.pt")
    assert {"entry model", "entry scaler", "entry ema: online_model"} <= set(diffupose)
    made = convert_official(golden / "mixste_f9/checkpoint.bin", Request("mixste", "h36m"))
    assert set(beside) <= set(made.dropped) and made.metadata["dropped"] == list(made.dropped)


def test_files_of_none(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model_pos": {"conv1.weight": torch.zeros(1)}}, path)
    with pytest.raises(
        InputError, match=r"no method that posecli converts: its first tensors are conv1\.weight"
    ):
        method_of(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="it holds no tensors"):
        method_of(path)


@pytest.mark.parametrize("file", ["mixste_f9/checkpoint.bin", "stcformer/checkpoint.pth"])
def test_damaged_checkpoints_end_in_one_line_or_in_their_method(
    file: str, shared_data: Path, tmp_path: Path
) -> None:
    """A zip container and an older one, with bytes changed anywhere."""
    whole, path = (shared_data / "golden" / file).read_bytes(), tmp_path / "damaged.pt"
    rng = np.random.default_rng(0)
    request = Request("mixste", "h36m") if "mixste" in file else Request("stcformer", "h36m", frames=27)
    for number in range(25):
        content = bytearray(whole)
        # the structure lies at the beginning or, of zip files, at the end as well
        reach = len(content) if number % 3 == 0 else 3000
        for place in rng.integers(0, min(reach, len(content)), 3):
            content[-place if number % 2 else place] = rng.integers(0, 256)
        path.write_bytes(bytes(content))
        try:
            method_of(path)
            if number % 5 == 0:
                convert_official(path, request)
        except (InputError, UsageError) as error:
            assert "damaged.pt" in str(error) or "not finite" in str(error)


def test_joints_say_which_data_set(shared_data: Path) -> None:
    file = shared_data / "golden/diffupose_j16/checkpoint.pt"
    assert convert_official(file, Request("diffupose")).metadata["dataset"] == "h36m"
    with pytest.raises(UsageError, match="has the joints of h36m, not of humaneva"):
        convert_official(file, Request("diffupose", "humaneva"))
    with pytest.raises(InputError, match=r"does not fit MixSTE: .*size mismatch for pos_s"):
        convert_official(shared_data / "golden/mixste_f9/checkpoint.bin", Request("mixste", "humaneva"))
