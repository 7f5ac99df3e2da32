"""Checks of Modulated GCN: forward pass, flip average, refinement with the true root's depth."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, close
from torch import Tensor

from posecli.methods.common import mirrored
from posecli.methods.mgcn import ModulatedGCNLifter
from posecli.nets.graph import adjacency
from posecli.weights.convert_graph import convert_mgcn, convert_post_refine


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    found: dict[str, Callable[[Case], None]] = {"adjacency": _adjacency, "forward": _forward}
    if "pose_avg" in case:
        found["flip"] = _flip
    if "post__pose" in case:
        found["refinement"] = _refinement
    return found


def _model(case: Case) -> ModulatedGCNLifter:
    s = case.settings
    path = case.checkpoint if isinstance(case.about["checkpoint"], str) else case.checkpoints[0]
    model = convert_mgcn(path, flip="input_2d_flip" in case).model
    assert (model.config.width, model.config.depth) == (s["hid_dim"], s["num_layers"])
    assert list(model.joints.network.parents) == s["parents"]
    if "joints_left" in s:
        assert list(model.joints.network.left) == s["joints_left"]
        assert list(model.joints.network.right) == s["joints_right"]
    return model


def _tolerance(case: Case) -> float:
    return case.about["tolerance_abs"]["default"]


def _adjacency(case: Case) -> None:
    close(adjacency(_model(case).joints.network.parents, self_loops=False), case["adj"], 1e-7)


@torch.no_grad()
def _forward(case: Case) -> None:
    model = _model(case)
    pose = model.net(case["input_2d"])
    close(pose, case["pose"], _tolerance(case))
    close(model.net(case["input_2d"][:1]), case["pose"][:1], _tolerance(case))  # one pose alone
    if "pose_rootrel" in case:
        close(pose - pose[..., :1, :], case["pose_rootrel"], _tolerance(case))


@torch.no_grad()
def _flip(case: Case) -> None:
    model = _model(case)
    assert torch.equal(mirrored(case["input_2d"], model.joints.network.mirror), case["input_2d_flip"])
    pose = model.predict(case["input_2d"])
    close(pose, case["pose_avg"], _tolerance(case))
    close(pose - pose[..., :1, :], case["pose_avg_rootrel"], _tolerance(case))


@torch.no_grad()
def _refinement(case: Case) -> None:
    pose = _model(case).predict(case["input_2d"])
    projected = back_projected(pose, case["input_2d"], case["post__pose_gt"], case["post__cam"])
    close(projected, case["post__xyz"], _tolerance(case))
    close(convert_post_refine(case.checkpoints[1])(pose, projected), case["post__pose"], _tolerance(case))


def back_projected(pose: Tensor, x2d: Tensor, truth: Tensor, camera: Tensor) -> Tensor:
    """Released evaluations' use of the truth: every joint where its 2D input lies at the predicted depth plus the
    true root's, relative to the root at its true depth. pose, truth (b, 1, J, 3), root of truth in camera space;
    camera (b, 9)."""
    depth = torch.cat([torch.zeros_like(pose[..., :1, 2:]), pose[..., 1:, 2:]], dim=-2) + truth[..., :1, 2:]
    focal, centre = camera[:, None, None, :2], camera[:, None, None, 2:4]
    xyz = torch.cat([(x2d - centre) / focal * depth, depth], dim=-1)
    return xyz - xyz[..., :1, :]
