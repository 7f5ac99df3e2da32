"""Checks of DiffPose as released: both networks, schedule, deterministic and stochastic sampling, training loss."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import torch
from cases import Case, close
from torch import Tensor

from posecli.diffusion import gaussian, noise
from posecli.methods.diffpose_official import DiffPoseOfficial
from posecli.nets.graph import adjacency
from posecli.weights.convert_graph import convert_diffpose


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    found: dict[str, Callable[[Case], None]] = {
        "adjacency": _adjacency,
        "first-guess": _guess,
        "noise-network": _noise_network,
        "schedule": _schedule,
        "training": _training,
        "ema": _ema,
        "given": _given,
        "stochastic": _stochastic,
    }
    for run in case.settings["sampling"]:
        found[f"sampler-{run['key']}"] = lambda case, run=run: _sampler(case, run)
        found[f"lifted-{run['key']}"] = lambda case, run=run: _lifted(case, run)
    return found


def _model(case: Case, **options) -> DiffPoseOfficial:
    s, diffusion = case.settings, case.settings["diffusion"]
    guess, path = case.checkpoints
    model = convert_diffpose(
        path, guess, heads=s["n_head"], eta=s["eta"], timesteps=diffusion["num"],
        beta_start=diffusion["beta_start"], beta_end=diffusion["beta_end"], **options,
    ).model  # fmt: skip
    config = model.config
    assert (config.width, config.step_width) == (s["hid_dim"], s["emb_dim"])
    assert (config.depth, config.order) == (s["num_layers"], s["cheb_K"])
    assert sorted(model.joints.network.bones) == sorted(tuple(edge) for edge in s["edges"])
    return model


def _single(case: Case) -> float:
    return case.about["tolerance_abs"]["single_forward"]


def _adjacency(case: Case) -> None:
    close(adjacency(_model(case).joints.network.parents, self_loops=True), case["adj"], 1e-7)


@torch.no_grad()
def _guess(case: Case) -> None:
    model = _model(case)
    close(model.guesser(case["input_2d"]), case["pose_net"], _single(case))
    close(model.start(case["input_2d"][:, None])[:, 0], case["start"], _single(case))


@torch.no_grad()
def _noise_network(case: Case) -> None:
    model = _model(case)
    for i, t in enumerate(case["diff__t"]):
        close(model.net(case["diff__state"], t), case[f"diff__eps_{i}"], _single(case))


def _schedule(case: Case) -> None:
    schedule = _model(case).schedule
    close(schedule.betas, case["sched__betas"], 1e-12)
    abar = torch.tensor([schedule.alpha_bar(t) for t in range(-1, schedule.timesteps)])
    close(abar, case["sched__alphas_cumprod_f32"], 1e-6)


@torch.no_grad()
def _training(case: Case) -> None:
    model = _model(case)
    assert torch.equal(model.antithetic(case["train__t_draw"], len(case["train__t"])), case["train__t"])
    scaled = case["train__noise"] * case["train__noise_scale"]
    x_t = gaussian.q_sample(case["train__uvxyz"], case["train__t"], scaled, model.schedule)
    close(x_t, case["train__x_t"], _single(case))
    close(model.net(x_t, case["train__t"]), case["train__eps_pred"], _single(case))
    loss = model.noise_loss(case["train__uvxyz"], case["train__t"], scaled)
    close(loss, case["train__loss"], 1e-5 * float(case["train__loss"].abs().clamp(min=1)))


@torch.no_grad()
def _ema(case: Case) -> None:
    model = _model(case, ema=True)
    close(model.guesser(case["input_2d"]), case["ema__pose_net"], _single(case))
    close(model.net(case["diff__state"], case["diff__t"][1]), case["ema__diff_eps_1"], _single(case))


def _walk(case: Case, model: DiffPoseOfficial, start: Tensor, seq: list[int], draws: Tensor | None) -> tuple:
    """(states before every step and at the end, clean estimates), stacked."""
    trace: list = []
    draw = noise.recorded([torch.zeros_like(start)] * len(seq) if draws is None else draws)
    end = model.sample(start, times=[*reversed(seq), -1], draw=draw, trace=trace)
    return torch.stack([*(s.state for s in trace), end]), torch.stack([s.signals[0] for s in trace])


def _stated(case: Case, array: str) -> list[int]:
    """The list of steps that an array's description names."""
    found = re.search(r"seq \[([\d, ]+)\]", case.about["arrays"][array]["desc"])
    assert found
    return [int(t) for t in found[1].split(",")]


def _sampler(case: Case, run: dict) -> None:
    key, tolerance = run["key"], case.about["tolerance_abs"]["sampling"]
    model = _model(case)
    start = model.start(case["input_2d"][:, None])[:, 0]
    states, x0 = _walk(case, model, start, run["seq"], None)
    close(states, case[f"{key}__states"], tolerance)
    close(x0, case[f"{key}__x0"], tolerance)
    close(model.root_to_zero(states[-1, ..., 2:]), case[f"{key}__pose"], tolerance)


def _lifted(case: Case, run: dict) -> None:
    """The same through the interface of lifting: the released lists are those of `reach` and a number of steps."""
    seq = run["seq"]
    reach = len(seq) * (seq[1] - seq[0]) if len(seq) > 1 else 1
    model = _model(case, reach=reach)
    pose = model.lift_windows(
        case["input_2d"][:, None], hypotheses=3, steps=len(seq), generator=torch.Generator()
    )
    expected = case[f"{run['key']}__pose"][:, None, None].expand(-1, 3, -1, -1, -1)
    close(pose, expected, case.about["tolerance_abs"]["sampling"])


def _given(case: Case) -> None:
    states, x0 = _walk(case, _model(case), case["diff__state"], _stated(case, "given__states"), None)
    close(states, case["given__states"], case.about["tolerance_abs"]["sampling"])
    close(x0, case["given__x0"], case.about["tolerance_abs"]["sampling"])


def _stochastic(case: Case) -> None:
    model = _model(case)
    model.config = replace(model.config, eta=1.0)
    seq = _stated(case, "eta1__states")
    states, _ = _walk(case, model, case["diff__state"], seq, case["eta1__noise"])
    close(states, case["eta1__states"], case.about["tolerance_abs"]["sampling"])
