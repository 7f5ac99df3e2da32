"""Checks of D3DP: denoiser, full sampler with its states and noise estimates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, close
from skeletons import skeleton_of

from posecli.diffusion import noise
from posecli.methods.common import mirrored
from posecli.methods.d3dp import D3DP
from posecli.weights.convert import convert_d3dp

SCHEDULE_BUFFERS = 12


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    found: dict[str, Callable[[Case], None]] = {"mirror": _mirror}
    if "denoiser__t" in case:
        found["denoiser"] = _denoiser
    for run in case.settings.get("runs", []):
        found[f"sampler-{run['key']}"] = lambda case, run=run: _sampler(case, run)
    return found


def _model(case: Case) -> D3DP:
    s = case.settings
    skeleton = skeleton_of(s)
    converted = convert_d3dp(
        case.checkpoint,
        dataset=skeleton.name,
        heads=s["num_heads"],
        eta=s["eta"],
        clamp=s["clamp"],
        state_scale=s["scale"],
    )
    assert len(converted.dropped) == SCHEDULE_BUFFERS
    model, config = converted.model, converted.model.config
    assert (config.frames, config.width, config.depth) == (s["num_frame"], s["embed_dim"], s["depth"])
    assert (config.mlp_ratio, config.timesteps) == (s["mlp_ratio"], s["timesteps"])
    assert model.skeleton == skeleton
    return model


def _unit(case: Case, array: str) -> float:
    return 1000.0 if case.about["arrays"][array].get("unit") == "mm" else 1.0


def _mirror(case: Case) -> None:
    assert torch.equal(mirrored(case["input_2d"], _model(case).skeleton.mirror), case["input_2d_flip"])


def _denoiser(case: Case) -> None:
    model = _model(case)
    for i, t in enumerate(case["denoiser__t"]):
        with torch.no_grad():
            pose = model.net(case["input_2d"][: len(t)], case["denoiser__x_t"], t)
        unit = _unit(case, f"denoiser__out_{i}")
        close(pose * unit, case[f"denoiser__out_{i}"], case.about["tolerance_abs"]["denoiser"])


def _sampler(case: Case, run: dict) -> None:
    key, tolerance = run["key"], case.about["tolerance_abs"]["sampler"]
    draws = [case[name] for name in sorted(case.arrays) if name.startswith(f"{key}__noise_")]
    trace: list = []
    last = _model(case).sample(
        case["input_2d"][: run["b"]],
        hypotheses=run["H"],
        steps=run["K"],
        draw=noise.recorded(draws),
        trace=trace,
    )
    unit = _unit(case, f"{key}__pose_steps")
    poses = torch.stack([step.pose for step in trace], dim=1)
    assert torch.equal(poses[:, -1], last)
    assert [step.t for step in trace] == case[f"{key}__times"].tolist()[:-1]
    close(poses * unit, case[f"{key}__pose_steps"], tolerance)
    for name, part in (("state_steps", "state"), ("eps_steps", "noise")):
        if f"{key}__{name}" in case:
            actual = torch.stack([getattr(step, part) for step in trace], dim=1)
            close(actual, case[f"{key}__{name}"], tolerance / unit)
