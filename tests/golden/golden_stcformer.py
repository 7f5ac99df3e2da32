"""Checks of STCFormer: forward, flip average, windows of other lengths."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, close
from skeletons import skeleton_of

from posecli.methods.common import both_ways, flip_averaged, mirrored
from posecli.methods.stcformer import body_parts
from posecli.nets.stcformer import STCFormerNet
from posecli.weights.convert import (
    convert_stcformer,
    load_into,
    stcformer_sizes,
    stcformer_state,
    stcformer_tensors,
)


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    found = {"forward": _forward, "flip": _flip, "lengths": _lengths}
    if skeleton_of(case.settings).name == "h36m17":
        found["convert"] = _convert
    return found


def _net(case: Case) -> STCFormerNet:
    s = case.settings
    tensors = stcformer_tensors(case.checkpoint)
    sizes = stcformer_sizes(tensors)
    assert (sizes["width"], sizes["depth"], sizes["heads"]) == (s["d_hid"], s["layers"], s["heads"])
    net = STCFormerNet(parts=tuple(s["part_of_joint"]), **sizes).eval()
    load_into(net, stcformer_state(tensors), "STCFormer", case.checkpoint)
    return net


def _tolerance(case: Case) -> float:
    return case.about["tolerance_abs"]["default"]


def _forward(case: Case) -> None:
    net = _net(case)
    with torch.no_grad():
        close(net(case["input_2d"]), case["pose"], _tolerance(case))
        close(net(case["input_2d_flip"]), case["pose_flip_raw"], _tolerance(case))


def _flip(case: Case) -> None:
    mirror = skeleton_of(case.settings).mirror
    assert torch.equal(mirrored(case["input_2d"], mirror), case["input_2d_flip"])
    with torch.no_grad():
        pose = flip_averaged(_net(case)(both_ways(case["input_2d"], mirror)), mirror)
    close(pose, case["pose_avg"], _tolerance(case))


def _lengths(case: Case) -> None:
    others = [name for name in case.arrays if name.startswith("in2_")]
    net = _net(case)
    for name in others:
        with torch.no_grad():
            close(net(case[name]), case[name.replace("in2_", "out2_")], _tolerance(case))


def _convert(case: Case) -> None:
    s = case.settings
    assert body_parts(skeleton_of(s)) == tuple(s["part_of_joint"])
    model = convert_stcformer(case.checkpoint, dataset="h36m", frames=s["num_frame"]).model
    with torch.no_grad():
        close(model.predict(case["input_2d"]), case["pose_avg"], _tolerance(case))
