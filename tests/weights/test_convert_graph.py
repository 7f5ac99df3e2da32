"""Released checkpoints of graph networks: what is said of files that do not fit, and DiffPose's video pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posecli.errors import InputError
from posecli.weights.convert_graph import (
    convert_diffpose,
    convert_diffupose,
    convert_graformer,
    convert_mgcn,
    convert_post_refine,
)


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> Path:
    return shared_data / "golden"


@pytest.mark.parametrize(
    ("convert", "file", "message"),
    [
        (
            convert_graformer,
            "modulated_gcn_gt/checkpoint.pth.tar",
            "does not fit GraFormer: it has no gconv_input",
        ),
        (convert_graformer, "diffpose/checkpoint_pose.pth", "holds no network where posecli looks"),
        (convert_graformer, "mixste_f9/checkpoint.bin", "holds no network where posecli looks"),
        (
            convert_mgcn,
            "graformer_j16/checkpoint.pth.tar",
            "does not fit Modulated GCN: it has no gconv_input",
        ),
        (convert_mgcn, "modulated_gcn_cpn/checkpoint_post_refine.pth", "does not fit Modulated GCN"),
        (convert_post_refine, "modulated_gcn_cpn/checkpoint.pth", "does not fit Modulated GCN's refinement"),
        (convert_diffupose, "graformer_j16/checkpoint.pth.tar", "holds no network where posecli looks"),
        (convert_diffupose, "diffpose/checkpoint_diff.pth", "holds no network where posecli looks"),
    ],
)
def test_another_models_file_is_refused_in_one_line(
    golden: Path, convert: Callable[..., Any], file: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        convert(golden / file)
    assert "\n" not in str(caught.value)


def test_what_no_file_states_is_checked_against_it(golden: Path) -> None:
    graformer = golden / "graformer_j16" / "checkpoint.pth.tar"
    with pytest.raises(InputError, match=r"multiple of heads \(5\)"):
        convert_graformer(graformer, heads=5)
    with pytest.raises(InputError, match="size mismatch"):
        convert_graformer(graformer, skeleton="h36m17")
    with pytest.raises(InputError, match="skeleton must be one of"):
        convert_graformer(graformer, skeleton="spider")


def test_diffposes_files_the_wrong_way_round(golden: Path) -> None:
    first, second = golden / "diffpose" / "checkpoint_pose.pth", golden / "diffpose" / "checkpoint_diff.pth"
    with pytest.raises(InputError, match=r"checkpoint_pose\.pth does not fit DiffPose"):
        convert_diffpose(first, second)


def test_left_out_entries_are_listed(golden: Path) -> None:
    diffupose = convert_diffupose(golden / "diffupose_j17" / "checkpoint.pt")
    assert {"betas", "p2_loss_weight", "denoise_fn.block3.mlp.1.weight"} <= set(diffupose.dropped)
    pair = convert_diffpose(
        golden / "diffpose" / "checkpoint_diff.pth", golden / "diffpose" / "checkpoint_pose.pth"
    )
    assert set(pair.dropped) == {f"temb.dense.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}


def test_mixste_in_front_makes_the_video_model(golden: Path) -> None:
    """Its guess is MixSTE's own flip average, its result a single step from there, at t = 0."""
    case = golden / "mixste_f9"
    model = convert_diffpose(
        golden / "diffpose" / "checkpoint_diff.pth", case / "checkpoint.bin", guess_heads=4
    ).model
    assert (model.config.frames, model.config.reach, model.times(1)) == (9, 1, [0, -1])
    with np.load(case / "io.npz", allow_pickle=False) as arrays:
        x2d, expected = (torch.from_numpy(arrays[name]) for name in ("input_2d", "pose_avg"))
    start = model.start(x2d)
    assert torch.equal(start[..., :2], x2d)
    torch.testing.assert_close(start[..., 1:, 2:], expected[..., 1:, :], rtol=0, atol=1e-5)
    pose = model.lift_windows(x2d, hypotheses=1, steps=1, generator=torch.Generator())
    eps = model.net(start.flatten(0, 1), torch.zeros(len(x2d) * 9))[..., 2:].view(*x2d.shape[:3], 3)
    moved = (start[..., 2:] - 0.01 * eps) / 0.9999**0.5  # 0.01 = sqrt(1 - abar_0)
    torch.testing.assert_close(pose[:, 0, :, 1:], moved[:, :, 1:], rtol=0, atol=1e-5)


def test_a_foreign_noise_schedule_is_named(golden: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(golden / "diffupose_j16" / "checkpoint.pt", weights_only=True, map_location="cpu")
    checkpoint["ema"]["ema_model.module.betas"] *= 0.5
    torch.save(checkpoint, tmp_path / "other.pt")
    with pytest.raises(InputError, match="another noise schedule than cosine, linear"):
        convert_diffupose(tmp_path / "other.pt")
