"""Which method a released checkpoint is of, by the names of its tensors, and what lies in it beside the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posecli.errors import InputError
from posecli.weights.unpickle import StoredTensor, read_checkpoint

_SIGNS = (
    ("dir_bone_estimator.group", "ddhpose"),
    ("pose_estimator.", "d3dp"),
    ("denoise_fn.gconv_input.", "diffupose"),
    ("stcformer.stc_block.", "stcformer"),
    ("STEblocks.0.", "mixste"),
    ("gconv_layers.0.temb_proj.", "diffpose-official"),
    ("temb.dense.", "diffpose-first"),
    ("atten_layers.0.", "graformer"),
    ("gconv_input.0.gconv.W", "mgcn"),
    ("post_refine.", "mgcn-refinement"),
)
"""How a tensor's name begins → the method; the first that fits counts."""

_PARTS = {
    "diffpose-first": "it is the first network of DiffPose, which is converted together with its noise network: "
    "posecli weights convert NOISE_NETWORK --first {path}",
    "mgcn-refinement": "it is the refinement of Modulated GCN, which needs the root's true depth and is no lifter",
}


def method_of(path: Path) -> str:
    """The method of a released checkpoint. Raises InputError where it is damaged, hostile, or of none that posecli
    converts."""
    names = sorted(_networks_names(read_checkpoint(path)))
    for sign, method in _SIGNS:
        if any(name.startswith(sign) for name in names):
            if method in _PARTS:
                raise InputError(f"{path} is no method of its own: {_PARTS[method].format(path=path)}")
            return method
    found = f"its first tensors are {', '.join(names[:3])}" if names else "it holds no tensors"
    raise InputError(
        f"{path} is of no method that posecli converts: {found[:300]}; --method says which it should be"
    )


def left_beside(path: Path) -> tuple[str, ...]:
    """What a checkpoint holds beside the network that is converted, which is dropped with it: optimizer, counters,
    random state, weights of another moving average."""
    checkpoint = read_checkpoint(path)
    if isinstance(checkpoint, list):  # DiffPose: model, optimizer, epoch, step, moving average
        names = ("model", "optimizer", "epoch", "step", "moving average")
        return tuple(f"entry {k} ({names[k] if k < len(names) else '?'})" for k in range(1, len(checkpoint)))
    if not isinstance(checkpoint, Mapping):
        return ()
    used = next((name for name in ("model_pos", "ema", "state_dict") if name in checkpoint), None)
    if used is None:
        return ()
    beside = [f"entry {name}" for name in checkpoint if name != used]
    if used == "ema":
        groups = {str(name).partition(".")[0] for name in checkpoint["ema"]} - {"ema_model"}
        beside += [f"entry ema: {name}" for name in sorted(groups)]
    return tuple(beside)


def _networks_names(checkpoint: Any) -> set[str]:
    """Names of the tensors of the network, without `module.` and DiffuPose's own prefixes."""
    state = checkpoint
    if isinstance(state, list) and state:
        state = state[0]
    elif isinstance(state, Mapping):
        for entry in ("model_pos", "ema", "state_dict"):
            if isinstance(state.get(entry), Mapping):
                state = state[entry]
                break
    if not isinstance(state, Mapping):
        return set()
    return {
        re.sub(r"^(ema_model\.|online_model\.)?(module\.)*", "", key)
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, StoredTensor)
    }
