"""Checks of GraFormer: adjacency, forward pass, root-relative pose."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, close

from posecli.methods.graformer import GraFormerLifter
from posecli.nets.graph import adjacency
from posecli.weights.convert_graph import convert_graformer


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"adjacency": _adjacency, "forward": _forward, "lifted": _lifted}


def _model(case: Case) -> GraFormerLifter:
    s = case.settings
    model = convert_graformer(case.checkpoint, heads=s["n_head"]).model
    config = model.config
    assert (config.width, config.depth, config.order) == (s["hid_dim"], s["num_layers"], s["cheb_K"])
    body = model.joints.network
    assert body.num_joints == s["num_joints"]
    assert sorted(body.bones) == sorted(tuple(edge) for edge in s["edges"])
    return model


def _adjacency(case: Case) -> None:
    close(adjacency(_model(case).joints.network.parents, self_loops=True), case["adj"], 1e-7)


def _forward(case: Case) -> None:
    with torch.no_grad():
        close(_model(case).predict(case["input_2d"]), case["pose"], case.about["tolerance_abs"]["default"])


def _lifted(case: Case) -> None:
    """Through the interface of lifting, in which Human3.6M-16 is filled up to 17 joints."""
    model = _model(case)
    x2d = case["input_2d"]
    if model.skeleton.num_joints > x2d.shape[1]:
        neck = model.skeleton.index("Neck/Nose")
        x2d = torch.cat([x2d[:, :neck], torch.full_like(x2d[:, :1], 9.9), x2d[:, neck:]], dim=1)
    pose = model.lift_windows(x2d[:, None], hypotheses=2, steps=1, generator=torch.Generator())
    for hypothesis in pose.unbind(1):
        actual = model.joints.drop(hypothesis[:, 0])
        close(actual, case["pose_rootrel"], case.about["tolerance_abs"]["default"])
