"""Conversion of released checkpoints of MixSTE's family and STCFormer: what is kept, dropped and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from posecli.diffusion import schedules
from posecli.errors import InputError
from posecli.methods.ddhpose import DDHPose
from posecli.weights.convert import convert_d3dp, convert_ddhpose, convert_mixste, convert_stcformer
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


def stcformer(path: Path, *, dataset: str):
    return convert_stcformer(path, dataset=dataset, frames=27)


CONVERTERS = {
    "mixste": (convert_mixste, "mixste_f27/checkpoint.bin"),
    "d3dp": (convert_d3dp, "d3dp/checkpoint.bin"),
    "stcformer": (stcformer, "stcformer/checkpoint.pth"),
}


@pytest.mark.parametrize("method", CONVERTERS)
def test_each_converts_its_own_checkpoint_to_a_file_that_stands_alone(
    method: str, shared_data: Path, tmp_path: Path
) -> None:
    convert, name = CONVERTERS[method]
    converted = convert(shared_data / "golden" / name, dataset="h36m")
    assert converted.method == method
    save_weights(tmp_path / "w.safetensors", method, converted.model, converted.metadata)
    found, loaded, _ = load_weights(tmp_path / "w.safetensors")
    assert found == method and loaded.config == converted.model.config
    expected = converted.model.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.state_dict().items())


@pytest.mark.parametrize("method", CONVERTERS)
@pytest.mark.parametrize("other", ["mixste", "d3dp", "stcformer", "ddhpose"])
def test_each_refuses_the_checkpoints_of_the_others(method: str, other: str, shared_data: Path) -> None:
    if method != other:
        path = shared_data / "golden" / {**{k: v[1] for k, v in CONVERTERS.items()},
                                         "ddhpose": "ddhpose_f9/checkpoint.bin"}[other]  # fmt: skip
        with pytest.raises(
            InputError, match=r"is no .* checkpoint|has no network under|holds more than tensors"
        ):
            CONVERTERS[method][0](path, dataset="h36m")


def test_heads_that_do_not_divide_the_width_are_refused(shared_data: Path) -> None:
    path = shared_data / "golden" / CONVERTERS["mixste"][1]
    with pytest.raises(InputError, match=r"does not fit MixSTE: width must be even and a multiple of heads"):
        convert_mixste(path, dataset="h36m", heads=7)


def test_a_skeleton_with_other_joints_is_refused(shared_data: Path) -> None:
    with pytest.raises(InputError, match=r"does not fit D3DP: .*size mismatch for pos_s"):
        convert_d3dp(shared_data / "golden" / CONVERTERS["d3dp"][1], dataset="h36m16")


def test_noise_steps_are_counted_in_the_checkpoint(shared_data: Path, tmp_path: Path) -> None:
    golden = shared_data / "golden" / CONVERTERS["d3dp"][1]
    betas = schedules.cosine_schedule(50).betas
    path = changed(golden, tmp_path, lambda s: s.update({"module.betas": betas}))
    assert convert_d3dp(path, dataset="h36m").model.config.timesteps == 50
    path = changed(golden, tmp_path, lambda s: s.pop("module.betas"))
    with pytest.raises(InputError, match="does not have 1000 betas"):
        convert_d3dp(path, dataset="h36m")


def test_attention_without_biases_has_biases_of_zero(shared_data: Path, tmp_path: Path) -> None:
    golden = shared_data / "golden" / CONVERTERS["mixste"][1]

    def strip(state: dict) -> None:
        for key in [k for k in state if k.endswith("attn.qkv.bias")]:
            del state[key]

    model = convert_mixste(changed(golden, tmp_path, strip), dataset="h36m").model
    assert not any(block.qkv.bias.any() for block in [*model.net.spatial, *model.net.temporal])
