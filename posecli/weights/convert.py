"""Turns released checkpoints into posecli's own weights. Only what the checkpoint's keys and shapes say is used;
what they cannot say (the skeleton, the number of heads) has to be given.

Three steps, the same for every model: read the state dict and strip its prefixes, rename its keys to ours, load them
strictly into a network that its shapes describe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from posecli.diffusion.schedules import Schedule, schedule_buffers
from posecli.errors import InputError
from posecli.methods.d3dp import D3DP, D3DPConfig
from posecli.methods.ddhpose import DDHPose, DDHPoseConfig
from posecli.methods.mixste import MixSTE, MixSTEConfig
from posecli.methods.stcformer import STCFormer, STCFormerConfig
from posecli.skeleton import SKELETONS
from posecli.weights.unpickle import StoredTensor, load_tensor, read_checkpoint

DATASETS = {"h36m": "h36m17", "3dhp": "mpi_inf_3dhp17", "humaneva": "humaneva15"}
"""Training set of a checkpoint → its skeleton. The first two have 17 joints, so no shape tells them apart."""

Tensors = dict[str, Tensor]
T = TypeVar("T")

_DDHPOSE = "dir_bone_estimator."
_D3DP = "pose_estimator."
_NEVER_USED = re.compile(r"STEblocks\.\d+\.attn\.qkv_xc\.(weight|bias)")
"""DDHPose's spatial blocks have a projection of child tokens that they are never given."""


@dataclass(frozen=True)
class Converted:
    """method: name in `METHODS`; dropped: keys of the checkpoint that were left out on purpose."""

    method: str
    model: nn.Module
    dropped: tuple[str, ...]
    metadata: dict[str, Any]


def convert_ddhpose(path: Path, *, dataset: str, heads: int = 8, official_slots: bool = False) -> Converted:
    """Released DDHPose checkpoint (`best_epoch.bin`, `epoch_N.bin`) → our model, in eval mode.

    dataset: a key of `DATASETS` or the name of a skeleton, which the file does not say. heads: neither (8 in every
        release).
    Raises InputError when the file is damaged, of another model, or of another noise schedule.
    """
    skeleton = skeleton_of(dataset)
    network, buffers = _network_and_buffers(path, "DDHPose", _DDHPOSE, "group")
    frames = _of("DDHPose", path, lambda: network["Temporal_pos_embed"].shape[1])
    config = _of("DDHPose", path, lambda: DDHPoseConfig(
        skeleton=skeleton, **mixste_sizes(network, heads), hrtt_layout="official",
        hrst_over_frames=frames == 17, official_slots=official_slots,
        timesteps=_timesteps(buffers),
    ))  # fmt: skip
    model = DDHPose(config).eval()
    _check_schedule(buffers, model.schedule, "DDHPose", path)
    dead = [key for key in network if _NEVER_USED.fullmatch(key)]
    kept = {ddhpose_key(key): value for key, value in network.items() if key not in dead}
    load_into(model.net, kept, "DDHPose", path)
    return _converted("ddhpose", model, dataset, (*buffers, *(_DDHPOSE + key for key in dead)))


def convert_d3dp(path: Path, *, dataset: str, heads: int = 8, **sampler: Any) -> Converted:
    """Released D3DP checkpoint → our model, in eval mode; arguments and errors as `convert_ddhpose`.

    sampler: fields of `D3DPConfig` that no checkpoint holds (eta, clamp, state_scale), where not the released ones.
    """
    skeleton = skeleton_of(dataset)
    network, buffers = _network_and_buffers(path, "D3DP", _D3DP, "time_mlp.1.weight")
    config = _of("D3DP", path, lambda: D3DPConfig(
        skeleton=skeleton, **mixste_sizes(network, heads), timesteps=_timesteps(buffers), **sampler,
    ))  # fmt: skip
    model = D3DP(config).eval()
    _check_schedule(buffers, model.schedule, "D3DP", path)
    load_into(model.net, mixste_state(network), "D3DP", path)
    return _converted("d3dp", model, dataset, tuple(buffers))


def convert_mixste(path: Path, *, dataset: str, heads: int = 8) -> Converted:
    """Released MixSTE checkpoint → our model, in eval mode; arguments and errors as `convert_ddhpose`."""
    skeleton = skeleton_of(dataset)
    network = mixste_tensors(path)
    config = _of("MixSTE", path, lambda: MixSTEConfig(skeleton=skeleton, **mixste_sizes(network, heads)))
    model = MixSTE(config).eval()
    load_into(model.net, mixste_state(network), "MixSTE", path)
    return _converted("mixste", model, dataset, ())


def convert_stcformer(path: Path, *, dataset: str, frames: int) -> Converted:
    """Released STCFormer checkpoint (a bare state dict) → our model, in eval mode; errors as `convert_ddhpose`.

    frames: window to lift by. The network takes any; released weights were trained for 27 and 81.
    """
    skeleton = skeleton_of(dataset)
    network = stcformer_tensors(path)
    config = _of("STCFormer", path, lambda: STCFormerConfig(
        skeleton=skeleton, frames=frames, **stcformer_sizes(network),
    ))  # fmt: skip
    model = STCFormer(config).eval()
    load_into(model.net, stcformer_state(network), "STCFormer", path)
    return _converted("stcformer", model, dataset, ())


# MixSTE, D3DP, DDHPose ---------------------------------------------------------------------------------


def mixste_tensors(path: Path) -> Tensors:
    """The network of a MixSTE checkpoint by its released names. Raises InputError where it is another model's."""
    tensors = _state(read_checkpoint(path), "model_pos", path)
    if "STEblocks.0.attn.qkv.weight" not in tensors or "Spatial_pos_embed" not in tensors:
        raise InputError(f"{path} is no MixSTE checkpoint: it has no STEblocks.0.attn.qkv.weight")
    return tensors


def mixste_sizes(network: Mapping[str, Tensor], heads: int) -> dict[str, Any]:
    """frames, width, depth, heads, mlp_ratio of a network with released names. Raises KeyError or ValueError."""
    _, frames, width = network["Temporal_pos_embed"].shape
    blocks = {m[1] for key in network if (m := re.match(r"STEblocks(_?[\d.]*\d)\.", key))}
    hidden = len(network["STEblocks.0.mlp.fc1.weight"])
    return {
        "frames": frames,
        "width": width,
        "depth": len(blocks),
        "heads": heads,
        "mlp_ratio": hidden / width,
    }


def ddhpose_key(key: str) -> str:
    """Name of a released parameter (without `dir_bone_estimator.`) in our network: as MixSTE's, with the plain pair
    of blocks, which is stored apart, in front.
    """
    key = re.sub(r"^([ST]TEblocks)\.(\d+)\.", lambda m: f"{m[1]}.{int(m[2]) + 1}.", key)
    return mixste_key(key.replace("TEblocks_0.0.", "TEblocks.0."))


def mixste_state(network: Mapping[str, Tensor]) -> Tensors:
    """Released names → ours. Networks built with the released option of no bias for queries, keys and values get a
    bias of zero.
    """
    state = {mixste_key(key): value for key, value in network.items()}
    for key in [k for k in state if k.endswith(".qkv.weight")]:
        bias = key.replace(".qkv.weight", ".qkv.bias")
        state.setdefault(bias, torch.zeros(len(state[key])))
    return state


def mixste_key(key: str) -> str:
    """Name of a released parameter of MixSTE, or of D3DP without `pose_estimator.`, in our network."""
    for theirs, ours in (
        ("Spatial_pos_embed", "pos_s"),
        ("Temporal_pos_embed", "pos_t"),
        ("STEblocks.", "spatial."),
        ("TTEblocks.", "temporal."),
        (".attn.qkv_xc.", ".kc."),
        (".attn.", "."),
        (".mlp.", "."),
        ("Spatial_patch_to_embedding.", "embed."),
        ("Spatial_norm.", "norm_s."),
        ("Temporal_norm.", "norm_t."),
        ("time_mlp.1.", "time.0."),
        ("time_mlp.3.", "time.1."),
        ("head_pose.", "head."),
        ("head.0.", "head.norm."),
        ("head.1.", "head.out."),
    ):
        key = key.replace(theirs, ours)
    return "group_emb" if key == "group" else key


def _network_and_buffers(path: Path, title: str, prefix: str, sign: str) -> tuple[Tensors, Tensors]:
    """A diffusion model's network, without `prefix`, and what lies beside it. sign: an entry the network must have."""
    tensors = _state(read_checkpoint(path), "model_pos", path)
    if f"{prefix}{sign}" not in tensors:
        raise InputError(f"{path} is no {title} checkpoint: it has no {prefix}{sign}")
    network = {key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)}
    return network, {key: v for key, v in tensors.items() if not key.startswith(prefix)}


def _timesteps(buffers: Mapping[str, Tensor]) -> int:
    return buffers["betas"].numel() if "betas" in buffers else 1000


def _check_schedule(buffers: Mapping[str, Tensor], schedule: Schedule, title: str, path: Path) -> None:
    ours = schedule_buffers(schedule)
    unknown = set(buffers) - set(ours)
    if unknown:
        raise InputError(f"{path} does not fit {title}: unknown entries {', '.join(sorted(unknown))}")
    betas, steps = buffers.get("betas"), schedule.timesteps
    if betas is None or betas.shape != ours["betas"].shape:
        raise InputError(f"{path} was trained with another noise schedule: it does not have {steps} betas")
    if not torch.allclose(betas.double(), ours["betas"], rtol=0, atol=1e-6):
        raise InputError(
            f"{path} was trained with another noise schedule: its betas differ from the cosine's"
        )


# STCFormer ---------------------------------------------------------------------------------------------


def stcformer_tensors(path: Path) -> Tensors:
    """The network of an STCFormer checkpoint by its released names. Raises InputError where it is another model's."""
    tensors = _state(read_checkpoint(path), None, path)
    if "stcformer.stc_block.0.stc_att.qkv.weight" not in tensors:
        raise InputError(f"{path} is no STCFormer checkpoint: it has no stcformer.stc_block")
    return tensors


def stcformer_sizes(network: Mapping[str, Tensor]) -> dict[str, Any]:
    """width, depth, heads, mlp_ratio of a network with released names. Raises KeyError or ValueError."""
    width = len(network["pose_emb.weight"])
    first = "stcformer.stc_block.0."
    per_head = network[f"{first}stc_att.emb.weight"].shape[1]
    hidden = len(network[f"{first}mlp.fc1.weight"])
    blocks = {m[1] for key in network if (m := re.match(r"stcformer\.stc_block\.(\d+)\.", key))}
    if not per_head or width % (2 * per_head):
        raise ValueError(f"a part embedding of {per_head} channels does not divide a width of {width}")
    return {
        "width": width,
        "depth": len(blocks),
        "heads": width // 2 // per_head,
        "mlp_ratio": hidden / width,
    }


def stcformer_state(network: Mapping[str, Tensor]) -> Tensors:
    """Released names and layouts → ours. Rows of qkv lie channel by channel (q, k, v of the first, of the second …);
    ours lie q, k, v one after the other.
    """
    state = {}
    for key, value in network.items():
        name = key
        for theirs, ours in (
            ("pose_emb.", "embed."),
            ("regress_head.", "out."),
            ("stcformer.stc_block.", "blocks."),
            (".stc_att.layer_norm.", ".attention.norm."),
            (".stc_att.emb.", ".attention.part_emb."),
            (".stc_att.sep2_s.", ".attention.near_s."),
            (".stc_att.sep2_t.", ".attention.near_t."),
            (".stc_att.", ".attention."),
            (".layer_norm.", ".norm."),
            (".mlp.", "."),
        ):
            name = name.replace(theirs, ours)
        if ".qkv." in name and len(value) % 3 == 0:
            value = value.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)  # type: ignore[no-untyped-call]
        state[name] = value
    return state


# Steps that all share ----------------------------------------------------------------------------------


def skeleton_of(dataset: str) -> str:
    """Raises InputError for what is neither one of `DATASETS` nor a skeleton."""
    if dataset not in DATASETS and dataset not in SKELETONS:
        raise InputError(f"dataset must be one of {sorted(DATASETS)} or a skeleton's name, got {dataset!r}")
    return DATASETS.get(dataset, dataset)


def load_into(network: nn.Module, tensors: Mapping[str, Tensor], title: str, path: Path) -> None:
    """Load tensors by our names, all of them and no others. An axis of length one that released tables carry in
    front is removed. Raises InputError where names or shapes differ.
    """
    ours = network.state_dict()
    fitted = {key: v[0] if key in ours and v.ndim == ours[key].ndim + 1 and len(v) == 1 else v
              for key, v in tensors.items()}  # fmt: skip
    try:
        network.load_state_dict(fitted, strict=True)
    except RuntimeError as error:
        raise InputError(f"{path} does not fit {title}: {' '.join(str(error).split())}") from None


def _of(title: str, path: Path, make: Callable[[], T]) -> T:
    """What `make` reads out of a network's shapes; InputError where they make no sense."""
    try:
        return make()
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        raise InputError(f"{path} does not fit {title}: {error}") from None


def _state(checkpoint: Any, entry: str | None, path: Path) -> Tensors:
    """The state dict under `entry` (None: the checkpoint itself), `module.` prefixes removed."""
    state = checkpoint
    if entry is not None:
        state = checkpoint.get(entry) if isinstance(checkpoint, Mapping) else None
    where = repr(entry) if entry is not None else "its top level"
    if not isinstance(state, Mapping) or not state:
        raise InputError(f"{path} has no network under {where}")
    if not all(isinstance(k, str) and isinstance(v, StoredTensor) for k, v in state.items()):
        raise InputError(f"{path}: {where} holds more than tensors")
    return {re.sub(r"^(module\.)+", "", key): load_tensor(value, path) for key, value in state.items()}


def _converted(method: str, model: nn.Module, dataset: str, dropped: tuple[str, ...]) -> Converted:
    metadata = {"dataset": dataset, "units": "m", "input": "X / w * 2 - [1, h / w]"}
    return Converted(method, model, dropped, metadata)
