"""Turns released checkpoints into posecli's own weights. Only what the checkpoint's keys and shapes say is used;
what they cannot say (the skeleton) has to be given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posecli.diffusion.schedules import schedule_buffers
from posecli.errors import InputError
from posecli.methods.ddhpose import DDHPose, DDHPoseConfig
from posecli.weights.unpickle import StoredTensor, load_tensor, read_checkpoint

DATASETS = {"h36m": "h36m17", "3dhp": "mpi_inf_3dhp17"}
"""Training set of a checkpoint → its skeleton. Both have 17 joints, so no shape tells them apart."""

_DDHPOSE = "dir_bone_estimator."


@dataclass(frozen=True)
class Converted:
    """method: name in `METHODS`; dropped: keys of the checkpoint that were left out on purpose."""

    method: str
    model: DDHPose
    dropped: tuple[str, ...]
    metadata: dict[str, Any]


def convert_ddhpose(path: Path, *, dataset: str, heads: int = 8, official_slots: bool = False) -> Converted:
    """Released DDHPose checkpoint (`best_epoch.bin`, `epoch_N.bin`) → our model, in eval mode.

    dataset: "h36m" or "3dhp", which the file does not say. heads: neither (8 in every release).
    Raises InputError when the file is damaged, of another model, or of another noise schedule.
    """
    if dataset not in DATASETS:
        raise InputError(f"dataset must be one of {sorted(DATASETS)}, got {dataset!r}")
    checkpoint = read_checkpoint(path)
    state = _state(checkpoint, "model_pos", path)
    tensors = {key: load_tensor(tensor, path) for key, tensor in state.items()}
    if f"{_DDHPOSE}group" not in tensors:
        raise InputError(f"{path} is no DDHPose checkpoint: it has no {_DDHPOSE}group")
    buffers = {key: value for key, value in tensors.items() if not key.startswith(_DDHPOSE)}
    network = {key.removeprefix(_DDHPOSE): v for key, v in tensors.items() if key.startswith(_DDHPOSE)}
    model = DDHPose(_ddhpose_config(network, DATASETS[dataset], heads, official_slots, path)).eval()
    _check_schedule(buffers, model, path)
    dead = [key for key in network if re.fullmatch(r"STEblocks\.\d+\.attn\.qkv_xc\.(weight|bias)", key)]
    renamed = {f"net.{ddhpose_key(key)}": value for key, value in network.items() if key not in dead}
    ours = model.state_dict()
    # the released tables carry an axis of length one in front
    fitted = {key: v[0] if key in ours and v.ndim == ours[key].ndim + 1 and len(v) == 1 else v
              for key, v in renamed.items()}  # fmt: skip
    try:
        model.load_state_dict(fitted, strict=True)
    except RuntimeError as error:
        raise InputError(f"{path} does not fit DDHPose: {' '.join(str(error).split())}") from None
    dropped = (*buffers, *(_DDHPOSE + key for key in dead))
    return Converted(
        "ddhpose", model, dropped, {"dataset": dataset, "units": "m", "input": "X / w * 2 - [1, h / w]"}
    )


def ddhpose_key(key: str) -> str:
    """Name of a released parameter (without `dir_bone_estimator.`) in our network."""
    tables = {"Spatial_pos_embed": "pos_s", "Temporal_pos_embed": "pos_t", "group": "group_emb"}
    if key in tables:
        return tables[key]
    key = re.sub(r"^(S|T)TEblocks_0\.0\.", lambda m: f"{m[1]}TEblocks.-1.", key)  # the plain pair comes first
    key = re.sub(r"^STEblocks\.(-?\d+)\.", lambda m: f"spatial.{int(m[1]) + 1}.", key)
    key = re.sub(r"^TTEblocks\.(-?\d+)\.", lambda m: f"temporal.{int(m[1]) + 1}.", key)
    for theirs, ours in (
        (".attn.qkv_xc.", ".kc."),
        (".attn.", "."),
        (".mlp.", "."),
        ("Spatial_patch_to_embedding.", "embed."),
        ("Spatial_norm.", "norm_s."),
        ("Temporal_norm.", "norm_t."),
        ("time_mlp.1.", "time.0."),
        ("time_mlp.3.", "time.1."),
        ("head_pose.0.", "head.norm."),
        ("head_pose.1.", "head.out."),
    ):
        key = key.replace(theirs, ours)
    return key


def _state(checkpoint: Any, entry: str, path: Path) -> dict[str, StoredTensor]:
    """The state dict under `entry`, `module.` prefixes removed."""
    state = checkpoint.get(entry) if isinstance(checkpoint, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise InputError(f"{path} has no network under {entry!r}")
    if not all(isinstance(k, str) and isinstance(v, StoredTensor) for k, v in state.items()):
        raise InputError(f"{path}: {entry!r} holds more than tensors")
    return {re.sub(r"^(module\.)+", "", key): value for key, value in state.items()}


def _ddhpose_config(
    network: Mapping[str, Tensor], skeleton: str, heads: int, official_slots: bool, path: Path
) -> DDHPoseConfig:
    try:
        _, frames, width = network["Temporal_pos_embed"].shape
        depth = 1 + len({m[1] for key in network if (m := re.match(r"STEblocks\.(\d+)\.", key))})
        hidden = len(network["STEblocks_0.0.mlp.fc1.weight"])
        return DDHPoseConfig(
            skeleton=skeleton,
            frames=frames,
            width=width,
            depth=depth,
            heads=heads,
            mlp_ratio=hidden / width,
            hrtt_layout="official",
            hrst_over_frames=frames == 17,
            official_slots=official_slots,
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} does not fit DDHPose: {error}") from None


def _check_schedule(buffers: Mapping[str, Tensor], model: DDHPose, path: Path) -> None:
    ours = schedule_buffers(model.schedule)
    unknown = set(buffers) - set(ours)
    if unknown:
        raise InputError(f"{path} does not fit DDHPose: unknown entries {', '.join(sorted(unknown))}")
    betas = buffers.get("betas")
    if betas is None or betas.shape != ours["betas"].shape:
        raise InputError(f"{path} was trained with another noise schedule: it does not have 1000 betas")
    if not torch.allclose(betas.double(), ours["betas"], rtol=0, atol=1e-6):
        raise InputError(
            f"{path} was trained with another noise schedule: its betas differ from the cosine's"
        )
