"""Checks of DiffuPose: denoiser, the whole chain for the input and its mirror image, losses, schedule."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, close
from golden_mgcn import back_projected

from posecli.bench.metrics import mpjpe
from posecli.diffusion import gaussian, noise
from posecli.diffusion.schedules import schedule_buffers
from posecli.methods.common import flip_averaged, mirrored
from posecli.methods.diffupose import DiffuPose
from posecli.nets.graph import adjacency
from posecli.weights.convert_graph import convert_diffupose


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    return {
        "adjacency": _adjacency,
        "denoiser": _denoiser,
        "chain": _chain,
        "losses": _losses,
        "losses-of-batch": _losses_of_batch,
        "schedule": _schedule,
    }


def _model(case: Case, **options) -> DiffuPose:
    s = case.settings
    options |= {"clamp": s["clamp_x0"], "loss": s["loss"].split(";")[0]}
    model = convert_diffupose(case.checkpoint, **options).model
    config, body = model.config, model.joints.network
    assert (config.width, config.depth) == (s["model_dim"], s["num_res_layers"])
    assert config.timesteps == s["timesteps"]
    assert config.schedule == s["beta_schedule"].split()[0]
    assert list(body.parents) == s["parents"]
    assert list(body.left) == s["joints_left"] and list(body.right) == s["joints_right"]
    assert model.joint_weights.tolist() == s["joint_weights"]
    return model


def _adjacency(case: Case) -> None:
    close(adjacency(_model(case).joints.network.parents, self_loops=False), case["adj"], 1e-7)


@torch.no_grad()
def _denoiser(case: Case) -> None:
    model, tolerance = _model(case), case.about["tolerance_abs"]["denoiser"]
    x_t, x2d = case["denoiser__x_t"][:, 0], case["input_2d"][:, 0]
    for i, t in enumerate(case["denoiser__t"]):
        close(model.net(x_t, x2d, t), case[f"denoiser__out_{i}"][:, 0], tolerance)
    # one pose alone, at which the released network fails
    t, expected = case["denoiser__t"][0], case["denoiser__out_0"][:, 0]
    close(model.net(x_t[:1], x2d[:1], t[:1]), expected[:1], tolerance)
    online = _model(case, online=True).net(x_t, x2d, case["denoiser__t"][2])
    close(online, case["denoiser__out_online_2"][:, 0], tolerance)


def _chain(case: Case) -> None:
    """Both chains with all states, their average, and what the released evaluation makes of it with the truth."""
    model, tolerance = _model(case), case.about["tolerance_abs"]["sampler"]
    assert torch.equal(mirrored(case["input_2d"], model.joints.network.mirror), case["input_2d_flip"])
    ends = []
    for key, x2d in (("chain", case["input_2d"][:, 0]), ("chain_flip", case["input_2d_flip"][:, 0])):
        draws = [case[f"{key}__noise_init"][:, 0], *case[f"{key}__noise_steps"][:, :, 0]]
        trace: list = []
        end = model.sample(x2d, steps=model.config.timesteps, draw=noise.recorded(draws), trace=trace)
        states = torch.stack([*(step.state for step in trace[1:]), end])
        close(states, case[f"{key}__states"][:, :, 0], tolerance)
        ends.append(end)
    pose = flip_averaged(torch.cat(ends), model.joints.network.mirror)
    close(pose, case["pose_avg"][:, 0], tolerance)

    camera = case["post__cam"].expand(len(pose), -1)
    moved = back_projected(pose[:, None], case["input_2d"], case["post__pose_gt"], camera)
    moved = torch.cat([moved[..., :2], case["post__pose"][..., 2:]], dim=-1)
    close(moved, case["post__pose"], tolerance)
    truth = torch.cat([torch.zeros_like(moved[..., :1, :]), case["post__pose_gt"][..., 1:, :]], dim=-2)
    close(torch.tensor(mpjpe(moved.numpy(), truth.numpy()).mean()), case["post__error"], tolerance)


@torch.no_grad()
def _losses(case: Case) -> None:
    model, tolerance = _model(case), case.about["tolerance_abs"]["loss"]
    x0, z, t = case["loss__x0"][:, 0], case["loss__noise"][:, 0], case["loss__t"]
    close(gaussian.q_sample(x0, t, z, model.schedule), case["loss__x_t"][:, 0], 1e-6)
    losses = model.losses(case["input_2d"][:, 0], x0, t, z)
    close(losses.objective(), case["loss__weighted"], tolerance)
    close(losses.unweighted, case["loss__unweighted"], tolerance)


def _losses_of_batch(case: Case) -> None:
    model = _model(case).train()
    losses = model.losses(
        case["input_2d"][:, 0], case["loss__x0"][:, 0], case["loss__t"], case["loss__noise"][:, 0]
    )
    close(losses.objective(), case["loss__weighted_bn_train"], case.about["tolerance_abs"]["loss"])


def _schedule(case: Case) -> None:
    buffers = schedule_buffers(_model(case).schedule)
    tables = [name for name in case.arrays if name.startswith("sched__")]
    assert tables
    for name in tables:
        actual = buffers[name.removeprefix("sched__")].float()
        torch.testing.assert_close(actual, case[name], rtol=1e-6, atol=1e-7)
