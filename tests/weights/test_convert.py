"""Conversion of released DDHPose checkpoints: what is kept, dropped and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from posecli.errors import InputError
from posecli.methods.ddhpose import DDHPose
from posecli.weights.convert import convert_ddhpose
from posecli.weights.format import load_weights, save_weights


@pytest.fixture
def golden(shared_data: Path) -> Path:
    return shared_data / "golden" / "ddhpose_f9" / "checkpoint.bin"


def changed(golden: Path, tmp_path: Path, change) -> Path:
    state = torch.load(golden, map_location="cpu", weights_only=False)["model_pos"]
    change(state)
    path = tmp_path / "changed.bin"
    torch.save({"model_pos": state}, path)
    return path


def test_what_is_dropped_is_listed(golden: Path) -> None:
    converted = convert_ddhpose(golden, dataset="h36m")
    assert len([key for key in converted.dropped if "." not in key]) == 12  # schedule buffers
    assert sorted(key for key in converted.dropped if "." in key) == [
        f"dir_bone_estimator.STEblocks.{i}.attn.qkv_xc.{kind}" for i in (0, 1) for kind in ("bias", "weight")
    ]
    assert converted.model.config.frames == 9 and converted.model.config.skeleton == "h36m17"


def test_a_converted_file_stands_alone(golden: Path, tmp_path: Path) -> None:
    converted = convert_ddhpose(golden, dataset="h36m")
    path = tmp_path / "converted.safetensors"
    save_weights(path, converted.method, converted.model, converted.metadata)
    _, loaded, metadata = load_weights(path)
    assert isinstance(loaded, DDHPose) and metadata["dataset"] == "h36m"
    x2d = torch.randn(1, 9, 17, 2, generator=torch.Generator().manual_seed(0))
    first, second = (
        model.lift_windows(x2d, hypotheses=1, steps=1, generator=torch.Generator().manual_seed(1))
        for model in (converted.model, loaded)
    )
    assert torch.equal(first, second)


def test_another_schedule_is_refused(golden: Path, tmp_path: Path) -> None:
    path = changed(golden, tmp_path, lambda s: s.update({"module.betas": s["module.betas"] * 1.1}))
    with pytest.raises(InputError, match="another noise schedule"):
        convert_ddhpose(path, dataset="h36m")


def test_missing_and_unknown_entries_are_refused(golden: Path, tmp_path: Path) -> None:
    name = "module.dir_bone_estimator.Spatial_norm.weight"
    path = changed(golden, tmp_path, lambda s: s.pop(name))
    with pytest.raises(InputError, match=r"does not fit DDHPose.*norm_s\.weight"):
        convert_ddhpose(path, dataset="h36m")
    path = changed(golden, tmp_path, lambda s: s.update({"module.dir_bone_estimator.extra": torch.zeros(1)}))
    with pytest.raises(InputError, match="extra"):
        convert_ddhpose(path, dataset="h36m")


def test_other_models_and_datasets_are_refused(shared_data: Path, golden: Path) -> None:
    with pytest.raises(InputError, match="no DDHPose checkpoint"):
        convert_ddhpose(shared_data / "golden" / "d3dp" / "checkpoint.bin", dataset="h36m")
    with pytest.raises(InputError, match="no network under 'model_pos'"):
        convert_ddhpose(shared_data / "golden" / "stcformer" / "checkpoint.pth", dataset="h36m")
    with pytest.raises(InputError, match="dataset must be one of"):
        convert_ddhpose(golden, dataset="coco")
