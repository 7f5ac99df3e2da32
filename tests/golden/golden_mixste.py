"""Checks of MixSTE: forward, flipped forward, flip average."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, close
from skeletons import skeleton_of

from posecli.methods.common import mirrored
from posecli.methods.mixste import MixSTE
from posecli.weights.convert import convert_mixste


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"forward": _forward, "flip": _flip, "sizes": _sizes}


def _model(case: Case) -> MixSTE:
    s = case.settings
    converted = convert_mixste(case.checkpoint, dataset=skeleton_of(s).name, heads=s["num_heads"])
    assert converted.method == "mixste" and converted.dropped == ()
    return converted.model


def _sizes(case: Case) -> None:
    s, config = case.settings, _model(case).config
    assert (config.frames, config.width, config.depth) == (s["num_frame"], s["embed_dim"], s["depth"])
    assert config.mlp_ratio == s["mlp_ratio"]


def _forward(case: Case) -> None:
    model, tolerance = _model(case), case.about["tolerance_abs"]["default"]
    with torch.no_grad():
        close(model.net(case["input_2d"])[:, 0], case["pose"], tolerance)
        close(model.net(case["input_2d_flip"])[:, 0], case["pose_flip_raw"], tolerance)


def _flip(case: Case) -> None:
    model = _model(case)
    assert torch.equal(mirrored(case["input_2d"], model.skeleton.mirror), case["input_2d_flip"])
    with torch.no_grad():
        close(model.predict(case["input_2d"]), case["pose_avg"], case.about["tolerance_abs"]["default"])
