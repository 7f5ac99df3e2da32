"""Checks of DDHPose: denoiser, one sampling step, full sampler, training side."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from cases import Case, close, close_relative
from torch import Tensor

from posecli.diffusion import noise
from posecli.diffusion.gaussian import q_sample
from posecli.methods.common import mirrored
from posecli.methods.ddhpose import DDHPose
from posecli.weights.convert import convert_ddhpose, ddhpose_key


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    found: dict[str, Callable[[Case], None]] = {}
    for array, name, check in (
        ("denoiser__t", "denoiser", _denoiser),
        ("step__t", "step", _step),
        ("train__t", "training", _training),
        ("loss__pred", "losses", _losses),
        ("q__t", "q_sample", _q_sample),
        ("decomp__dir", "decomposition", _decomposition),
        ("input_2d_flip", "mirror", _mirror),
    ):
        if array in case.about["arrays"]:
            found[name] = check
    for run in case.settings.get("runs", []):
        found[f"sampler-{run['key']}"] = lambda case, run=run: _sampler(case, run)
    return found


def _model(case: Case) -> DDHPose:
    s = case.settings
    model = convert_ddhpose(
        case.checkpoint, dataset=s["dataset"], heads=s["num_heads"], official_slots=s["dataset"] == "3dhp"
    ).model
    config = model.config
    assert (config.frames, config.width, config.depth) == (s["num_frame"], s["embed_dim"], s["depth"])
    assert (config.mlp_ratio, config.clamp, config.eta) == (s["mlp_ratio"], s["clamp"], s["eta"])
    assert model.skeleton.root == s["root"]
    assert [list(bone) for bone in model.skeleton.bones] == s["bones_parent_child"]
    assert [child for _, child in model.skeleton.bones] == s["bone_state_slot"]
    return model


def _millimetres(case: Case) -> float:
    """What the arrays of this variant are multiplied with at its border."""
    return 1000.0 if case.settings["dataset"] == "3dhp" else 1.0


def _denoiser(case: Case) -> None:
    model = _model(case)
    for i, t in enumerate(case["denoiser__t"]):
        x2d = case["input_2d"][: len(t)]
        with torch.no_grad():
            pose = model.denoise(x2d, (case["denoiser__dir"], case["denoiser__len"]), t)
        close(pose, case[f"denoiser__out_{i}"], case.about["tolerance_abs"]["denoiser"])


def _step(case: Case) -> None:
    tolerance = case.about["tolerance_abs"]
    t = case["step__t"]
    x2d = case["input_2d"][: len(t)]
    with torch.no_grad():
        step = _model(case).step(x2d, (case["denoiser__dir"], case["denoiser__len"]), t)
    close(step.pose, case["step__pose"], tolerance["step__pose"])
    for name, eps in zip(("dir", "len"), step.noises, strict=True):
        if f"step__eps_{name}" in case:
            close(eps, case[f"step__eps_{name}"], tolerance[f"eps_{name}"])


def _sampler(case: Case, run: dict) -> None:
    tolerance = case.about["tolerance_abs"]
    key = run["key"]
    draws = [case[name] for name in sorted(case.arrays) if name.startswith(f"{key}__noise_")]
    trace: list = []
    last = _model(case).sample(
        case["input_2d"][: run["b"]],
        hypotheses=run["H"],
        steps=run["K"],
        draw=noise.recorded(draws),
        trace=trace,
    )
    unit = _millimetres(case)
    poses = torch.stack([step.pose for step in trace], dim=1)
    assert torch.equal(poses[:, -1], last)
    assert [step.t for step in trace] == case[f"{key}__times"].tolist()[:-1]
    close(poses * unit, case[f"{key}__pose_steps"], tolerance["sampler"])
    for name, part, limit in (
        ("state_dir", lambda step: step.states[0], tolerance["sampler"] / unit),
        ("state_len", lambda step: step.states[1], tolerance["sampler"] / unit),
        ("eps_dir", lambda step: step.noises[0], tolerance["eps_dir"]),
        ("eps_len", lambda step: step.noises[1], tolerance["eps_len"]),
    ):
        if f"{key}__{name}" in case:
            close(torch.stack([part(s) for s in trace], dim=1), case[f"{key}__{name}"], limit)


def _decomposition(case: Case) -> None:
    direction, length = _model(case).bones(case["pose_gt"] / _millimetres(case))
    close(direction, case["decomp__dir"], case.about["tolerance_abs"]["decomposition"])
    close(length, case["decomp__len"], case.about["tolerance_abs"]["decomposition"])


def _q_sample(case: Case) -> None:
    actual = q_sample(case["q__x0"], case["q__t"], case["q__noise"], _model(case).schedule)
    close(actual, case["q__x_t"], case.about["tolerance_abs"]["q_sample"])


def _mirror(case: Case) -> None:
    assert torch.equal(mirrored(case["input_2d"], _model(case).skeleton.mirror), case["input_2d_flip"])


def _compare_losses(case: Case, prefix: str, losses) -> None:
    for name, part in (
        ("3d_pos", losses.position),
        ("length", losses.length),
        ("dir", losses.direction),
        ("total", losses.total),
    ):
        close_relative(part, case[f"{prefix}__loss_{name}"], 1e-5)


def _losses(case: Case) -> None:
    prediction = case["loss__pred"].requires_grad_()
    losses = _model(case).losses(prediction, case["pose_gt"])
    _compare_losses(case, "loss", losses)
    losses.objective(scaled_by_itself=True).backward()
    close_relative(prediction.grad, case["loss__grad_pred"], 1e-4)


def _training(case: Case) -> None:
    model, unit = _model(case), _millimetres(case)
    noises = case["train__noise_dir"], case["train__noise_len"]
    states = model.noised_states(case["pose_gt"] / unit, case["train__t"], noises)
    for state, name in zip(states, ("dir", "len"), strict=True):
        close(state, case[f"train__x_{name}"], case.about["tolerance_abs"]["q_sample"])
    seen = tuple(state[:, None] for state in states)
    pose = model.denoise(case["input_2d"], seen, case["train__t"])[:, 0] * unit
    close(pose, case["train__pred"], case.about["tolerance_abs"]["train__pred"])
    losses = model.losses(pose, case["pose_gt"])
    _compare_losses(case, "train", losses)
    losses.objective(scaled_by_itself=True).backward()

    gradients = {f"{name}": parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    names = case.settings["grad_norm_names"]
    assert len(names) == len(gradients)
    norms = torch.stack([_gradient(gradients, name).double().norm() for name in names])
    torch.testing.assert_close(norms, case["train__grad_norms"], rtol=1e-4, atol=1e-4 * norms.max().item())
    for array in case.arrays:
        if match := re.fullmatch(r"train__grad__(.+)", array):
            expected = case[array]
            close_relative(_gradient(gradients, match[1]).reshape(expected.shape), expected, 1e-4)


def _gradient(gradients: dict[str, Tensor], released_name: str) -> Tensor:
    return gradients["net." + ddhpose_key(released_name.removeprefix("dir_bone_estimator."))]
