"""Weights files: round trip, and one clear line for every way a file can be wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from posecli.errors import InputError, OutputError
from posecli.methods.ddhpose import DDHPose, DDHPoseConfig
from posecli.methods.graformer import GraFormerConfig
from posecli.weights.format import load_weights, read_header, save_weights, weights_hash


@pytest.fixture
def model() -> DDHPose:
    torch.manual_seed(0)
    return DDHPose(DDHPoseConfig(frames=3, width=8, depth=2, heads=2))


@pytest.fixture
def file(tmp_path: Path, model: DDHPose) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, "ddhpose", model, {"trained_on": "nothing"})
    return path


def rewrite(file: Path, header: dict | None = None, tensors: dict | None = None) -> Path:
    """`file` with parts of its header or its tensors replaced, still a sound safetensors file."""
    with safe_open(file, framework="pt") as opened:
        entries = json.loads(opened.metadata()["posecli"])
    contents = load_file(file)
    save_file({**contents, **(tensors or {})}, file, {"posecli": json.dumps({**entries, **(header or {})})})
    return file


def test_round_trip_is_exact(file: Path, model: DDHPose) -> None:
    method, loaded, metadata = load_weights(file)
    assert (method, metadata) == ("ddhpose", {"trained_on": "nothing"})
    assert loaded.config == model.config and not loaded.training
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert read_header(file)["config"] == model.config.to_dict()


def test_half_precision_halves_the_file_and_rounds(tmp_path: Path, file: Path, model: DDHPose) -> None:
    half = tmp_path / "half.safetensors"
    save_weights(half, "ddhpose", model, half=True)
    _, loaded, _ = load_weights(half)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value.half().float())
    numbers = sum(p.numel() for p in model.parameters())
    assert file.stat().st_size - half.stat().st_size == pytest.approx(2 * numbers, abs=200)


def test_equal_weights_give_equal_files(tmp_path: Path, file: Path, model: DDHPose) -> None:
    again = tmp_path / "again.safetensors"
    save_weights(again, "ddhpose", model, {"trained_on": "nothing"})
    assert weights_hash(again) == weights_hash(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.safetensors", "weights.safetensors"]


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no weights file"):
        load_weights(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello, this is no weights file at all")
    (tmp_path / "empty").touch()
    save_file({"x": torch.zeros(2)}, tmp_path / "foreign")
    for name, message in (
        ("text", "no readable"),
        ("empty", "no readable"),
        ("foreign", "no posecli weights"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_weights(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError):
        load_weights(tmp_path)


def test_truncated_files(file: Path) -> None:
    whole = file.read_bytes()
    for length in (4, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match="no readable weights file"):
            load_weights(file)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": 99}, "has format 99.*update posecli"),
        ({"method": "magic"}, "'magic'.*update posecli"),
        ({"method": ["ddhpose"]}, "header is damaged"),
        ({"config": {}}, "settings are damaged: .*missing settings"),
        ({"config": "none"}, "header is damaged"),
        ({"config": {**DDHPoseConfig(frames=3, width=8, depth=2, heads=2).to_dict(), "width": 16}}, "does not fit"),
        ({"config": {**DDHPoseConfig(frames=3, width=8, depth=2, heads=2).to_dict(), "width": "8"}}, "damaged"),
        # 10 000 wide: refused by its shapes before any memory is taken
        ({"config": {**DDHPoseConfig(frames=3, width=8, depth=2, heads=2).to_dict(), "width": 10_000}}, "does not fit"),
        # and these before their many parts are built
        ({"config": {**DDHPoseConfig().to_dict(), "depth": 10_000}}, "depth must be a whole number from 1 to 100"),
        ({"config": {**DDHPoseConfig().to_dict(), "mlp_ratio": 1e300}}, "mlp_ratio must be .* at most 100, got 1e"),
        ({"method": "graformer", "config": {**GraFormerConfig().to_dict(), "order": 10_000}}, "order must be a whole"),
    ],
)  # fmt: skip
def test_headers_that_do_not_fit(file: Path, header: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_weights(rewrite(file, header=header))


def test_a_header_nested_too_deep(file: Path) -> None:
    save_file(load_file(file), file, {"posecli": "[" * 100_000})
    with pytest.raises(InputError, match="header is damaged; fetch the file again"):
        load_weights(file)


@pytest.mark.parametrize("tensors", [{"net.pos_s": torch.zeros(3, 3)}, {"extra": torch.zeros(1)}])
def test_tensors_that_do_not_fit(file: Path, tensors: dict) -> None:
    with pytest.raises(InputError, match="does not fit its own settings"):
        load_weights(rewrite(file, tensors=tensors))


def test_unwritable_target(tmp_path: Path, model: DDHPose) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        save_weights(tmp_path / "file" / "weights", "ddhpose", model)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        save_weights(tmp_path / "folder", "ddhpose", model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, InputError("not the same")])
def test_a_file_gets_its_name_after_its_check(
    raised: BaseException, tmp_path: Path, file: Path, model: DDHPose
) -> None:
    before, seen = file.read_bytes(), []

    def check(written: Path) -> None:
        seen.append(load_weights(written)[0])
        raise raised

    for path in (tmp_path / "new.safetensors", file):
        with pytest.raises((KeyboardInterrupt, InputError)):
            save_weights(path, "ddhpose", model, check=check)
    assert seen == ["ddhpose", "ddhpose"]
    assert [p.name for p in tmp_path.iterdir()] == [file.name] and file.read_bytes() == before
