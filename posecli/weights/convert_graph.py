"""Turns released checkpoints of the graph networks into posecli's weights: GraFormer, Modulated GCN, DiffPose and
DiffuPose. Sizes follow from keys and shapes; heads and skeleton, which no file states, may have to be given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posecli.diffusion.schedules import SCHEDULES
from posecli.errors import InputError
from posecli.methods.diffpose_official import DiffPoseOfficial, DiffPoseOfficialConfig
from posecli.methods.diffupose import DiffuPose, DiffuPoseConfig
from posecli.methods.graformer import GraFormerConfig, GraFormerLifter
from posecli.methods.mgcn import ModulatedGCNConfig, ModulatedGCNLifter
from posecli.nets.mgcn import PostRefine
from posecli.skeleton import H36M16, H36M17, HUMANEVA15
from posecli.weights.convert import Converted, mixste_key, mixste_sizes, mixste_tensors
from posecli.weights.unpickle import StoredTensor, load_tensor, read_checkpoint

State = dict[str, Tensor]

_SKELETONS = {s.num_joints: s.name for s in (HUMANEVA15, H36M16, H36M17)}
_METADATA = {"units": "m", "input": "X / w * 2 - [1, h / w]"}


def convert_graformer(path: Path, *, heads: int = 4, skeleton: str | None = None) -> Converted:
    """Released GraFormer checkpoint (`.pth.tar` with `state_dict`) → our model, in eval mode.

    heads: not in the file (4 in every release). skeleton: key of `SKELETONS`; None: Human3.6M-17 or -16 or
        HumanEva-15, whichever has as many joints as the file.
    Raises InputError when the file is damaged or of another model, as all functions here do.
    """
    state = _state(_entry(read_checkpoint(path), "state_dict"), path)
    with _fitting(path, "GraFormer"):
        sizes = _graformer_sizes(state, heads)
        model = GraFormerLifter(GraFormerConfig(skeleton=skeleton or _skeleton(state), **sizes)).eval()
        _load(model.net, _renamed(state, _GRAFORMER))
    return Converted("graformer", model, (), dict(_METADATA))


def convert_mgcn(path: Path, *, flip: bool = True, skeleton: str | None = None) -> Converted:
    """Released Modulated GCN checkpoint (bare, or with `state_dict`) → our model, in eval mode.

    flip: average with the mirrored pass, as released for detected 2D but not for true 2D. skeleton: see
    `convert_graformer`.
    """
    state = _state(_entry(read_checkpoint(path), "state_dict"), path)
    with _fitting(path, "Modulated GCN"):
        config = ModulatedGCNConfig(
            skeleton=skeleton or _skeleton(state),
            **_mgcn_sizes(state),
            non_local="non_local.g.weight" in state,
            flip=flip,
        )
        model = ModulatedGCNLifter(config).eval()
        _load(model.net, _renamed(state, _MODULATED))
    return Converted("mgcn", model, (), dict(_METADATA))


def convert_post_refine(path: Path) -> PostRefine:
    """Released refinement network of Modulated GCN → ours, in eval mode."""
    state = _state(_entry(read_checkpoint(path), "state_dict"), path)
    with _fitting(path, "Modulated GCN's refinement"):
        hidden, inputs = state["post_refine.0.weight"].shape
        model = PostRefine(inputs // 6, hidden).eval()
        _load(model, _renamed(state, ((r"^post_refine\.0\.", "fc1."), (r"^post_refine\.3\.", "fc2."))))
    return model


def convert_diffpose(
    path: Path,
    guess: Path,
    *,
    heads: int = 4,
    guess_heads: int | None = None,
    reach: int | None = None,
    ema: bool = False,
    skeleton: str | None = None,
    **sampler: Any,
) -> Converted:
    """Released DiffPose checkpoints → our model, in eval mode: the noise network (`diffpose_*uvxyz_*.pth`) and the
    one that makes the first guess, GraFormer for frames (`gcn_xyz_*.pth`) or MixSTE for video (`mixste_*.bin`).

    reach: see `DiffPoseOfficialConfig`; None: 24 for frames, as released for detected 2D (12 for true 2D), 1 for video.
    ema: take the averaged weights of `.pth` files, which the released test does not.
    heads, skeleton: see `convert_graformer`. guess_heads: of MixSTE, 8 in every release.
    sampler: fields of the config that no file holds (timesteps, betas, eta), where not the released ones.
    """
    state = _state(_item(read_checkpoint(path), 4 if ema else 0), path)
    first_checkpoint = read_checkpoint(guess)
    video = isinstance(first_checkpoint, Mapping)
    first = mixste_tensors(guess) if video else _state(_item(first_checkpoint, 4 if ema else 0), guess)
    with _fitting(guess, "DiffPose's first network"):
        mixste = mixste_sizes(first, guess_heads or 8) if video else {}
    with _fitting(path, "DiffPose"):
        config = DiffPoseOfficialConfig(
            skeleton=skeleton or _skeleton(state),
            **_graformer_sizes(state, heads),
            step_width=len(state["temb.dense.0.weight"]),
            reach=reach or (1 if video else 24),
            frames=mixste.pop("frames", 1),
            **{f"mixste_{name}": value for name, value in mixste.items()},
            **sampler,
        )
        model = DiffPoseOfficial(config).eval()
        _load(model.net, _under("net.", _renamed(state, _GRAFORMER)))
    unused = tuple(key for key in first if key.startswith("temb."))
    with _fitting(guess, "DiffPose's first network"):
        if video:
            _load(model.guesser, {mixste_key(key): value for key, value in first.items()})
        else:
            _load(model.guesser, _renamed({k: v for k, v in first.items() if k not in unused}, _GRAFORMER))
    return Converted("diffpose-official", model, unused, dict(_METADATA))


def convert_diffupose(
    path: Path, *, online: bool = False, skeleton: str | None = None, **sampler: Any
) -> Converted:
    """Released DiffuPose checkpoint (`best_model.pt`) → our model, in eval mode.

    online: take the weights as trained instead of their moving average, which the released test takes.
    skeleton: see `convert_graformer`. sampler: fields of `DiffuPoseConfig` that no file holds (clamp, loss …), where
        not the released ones.
    """
    prefix = ("online" if online else "ema") + "_model.module."
    entry = _entry(read_checkpoint(path), "ema")
    everything = _state(entry, path, prefix)
    state = {k.removeprefix("denoise_fn."): v for k, v in everything.items() if k.startswith("denoise_fn.")}
    unused = [key for key in state if key.startswith("block3.")]
    with _fitting(path, "DiffuPose"):
        name, timesteps = _schedule(everything["betas"])
        config = DiffuPoseConfig(
            skeleton=skeleton or _skeleton(state),
            **_mgcn_sizes(state),
            timesteps=timesteps,
            schedule=name,
            **sampler,
        )
        model = DiffuPose(config).eval()
        _load(model.net, _renamed({k: v for k, v in state.items() if k not in unused}, _DIFFUPOSE))
    dropped = [k for k in everything if not k.startswith("denoise_fn.")] + [f"denoise_fn.{k}" for k in unused]
    return Converted("diffupose", model, tuple(dropped), dict(_METADATA))


# Names -------------------------------------------------------------------------------------------------

Renames = Sequence[tuple[str, str]]

_GRAFORMER: Renames = (
    (r"^gconv_(input|output)\.", r"\1."),
    (r"^gconv_layers\.(\d+)\.gconv([12])\.gconv\.", r"layers.\1.conv\2."),
    (r"^gconv_layers\.(\d+)\.temb_proj\.", r"layers.\1.step."),
    (r"^atten_layers\.(\d+)\.self_attn\.linears\.[012]\.", r"layers.\1.attention.qkv."),
    (r"^atten_layers\.(\d+)\.self_attn\.linears\.3\.", r"layers.\1.attention.proj."),
    (r"^atten_layers\.(\d+)\.feed_forward\.A_hat$", r"layers.\1.mlp.adjacency"),
    (r"^atten_layers\.(\d+)\.feed_forward\.gconv([12])\.fc\.", r"layers.\1.mlp.fc\2."),
    (r"^atten_layers\.(\d+)\.sublayer\.0\.norm\.", r"layers.\1.norm1."),
    (r"^atten_layers\.(\d+)\.sublayer\.1\.norm\.", r"layers.\1.norm2."),
    (r"\.a_2$", ".weight"),
    (r"\.b_2$", ".bias"),
    (r"^temb\.dense\.([01])\.", r"time.\1."),
)

_MODULATED: Renames = (
    (r"^gconv_input\.0\.gconv\.", "input.conv."),
    (r"^gconv_input\.0\.bn\.", "input.norm."),
    (r"^gconv_layers\.(\d+)\.gconv1\.", r"layers.\1.first."),
    (r"^gconv_layers\.(\d+)\.gconv2\.", r"layers.\1.second."),
    (r"^gconv_output\.", "output."),
    (r"^non_local\.W\.0\.", "non_local.out."),
    (r"^non_local\.W\.1\.", "non_local.norm."),
    (r"\.gconv\.", ".conv."),
    (r"\.bn\.", ".norm."),
    (r"\.W$", ".weight"),
    (r"\.M$", ".modulation"),
    (r"\.adj2$", ".affinity"),
)

_DIFFUPOSE: Renames = (
    *_MODULATED,
    (r"^(input|layers|non_local|output)\.", r"gcn.\1."),
    (r"^time_mlp\.1\.", "time.0."),
    (r"^time_mlp\.3\.", "time.1."),
    (r"^block1\.mlp\.1\.", "before.fc."),
    (r"^block2\.mlp\.1\.", "after.fc."),
)


def _renamed(state: State, renames: Renames) -> State:
    """Every rename applied to every key, in order; tensors that get the same name are joined along the first axis
    (queries, keys and values, in the order of their old names)."""
    found: dict[str, list[Tensor]] = {}
    for old in sorted(state):
        new = old
        for pattern, replacement in renames:
            new = re.sub(pattern, replacement, new)
        found.setdefault(new, []).append(state[old])
    return {key: torch.cat(parts) if len(parts) > 1 else parts[0] for key, parts in found.items()}


def _under(prefix: str, state: State) -> State:
    """Everything but the step embedding belongs to the GraFormer inside the noise network."""
    return {key if key.startswith("time.") else prefix + key: value for key, value in state.items()}


def _load(module: nn.Module, state: State) -> None:
    """Strict load; shapes may differ in axes of length one. Raises ValueError where it does not fit."""
    ours = module.state_dict()
    fitted = {
        key: value.reshape(ours[key].shape)
        if key in ours and _long_axes(value) == _long_axes(ours[key])
        else value
        for key, value in state.items()
    }
    try:
        module.load_state_dict(fitted, strict=True)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _long_axes(x: Tensor) -> list[int]:
    return [size for size in x.shape if size != 1]


# Sizes -------------------------------------------------------------------------------------------------


def _graformer_sizes(state: State, heads: int) -> dict[str, Any]:
    polynomials, _, _, width = state["gconv_input.weight"].shape
    return {
        "width": width,
        "depth": _layers(state, "atten_layers"),
        "heads": heads,
        "order": polynomials - 1,
    }


def _mgcn_sizes(state: State) -> dict[str, Any]:
    return {
        "width": state["gconv_input.0.gconv.W"].shape[2],
        "depth": _layers(state, "gconv_layers"),
    }


def _layers(state: State, name: str) -> int:
    return len({m[1] for key in state if (m := re.match(rf"{name}\.(\d+)\.", key))})


def _skeleton(state: State) -> str:
    """The Human3.6M or HumanEva skeleton with the joints of an adjacency or modulation in the file."""
    for key, value in state.items():
        if key.endswith((".A_hat", ".adj2")):
            if len(value) not in _SKELETONS:
                raise ValueError(f"no skeleton of {len(value)} joints is known")
            return _SKELETONS[len(value)]
    raise ValueError("it holds no adjacency")


def _schedule(betas: Tensor) -> tuple[str, int]:
    """Name and length of the schedule with these betas."""
    for name, make in SCHEDULES.items():
        if torch.allclose(betas.double(), make(len(betas)).betas, rtol=0, atol=1e-6):
            return name, len(betas)
    raise ValueError(f"it was trained with another noise schedule than {', '.join(SCHEDULES)}")


# Containers --------------------------------------------------------------------------------------------


def _entry(checkpoint: Any, name: str) -> Any:
    """The state under `name`, or the checkpoint itself where it is one."""
    return checkpoint.get(name, checkpoint) if isinstance(checkpoint, Mapping) else None


def _item(checkpoint: Any, index: int) -> Any:
    return checkpoint[index] if isinstance(checkpoint, list) and index < len(checkpoint) else None


def _state(entry: Any, path: Path, prefix: str = "") -> State:
    """The tensors whose keys begin with `prefix`, without it and without `module.`."""
    chosen = (
        {k: v for k, v in entry.items() if isinstance(k, str) and k.startswith(prefix)}
        if isinstance(entry, Mapping)
        else {}
    )
    if not chosen or not all(isinstance(value, StoredTensor) for value in chosen.values()):
        raise InputError(f"{path} holds no network where posecli looks for one")
    return {
        re.sub(r"^(module\.)+", "", key.removeprefix(prefix)): load_tensor(value, path)
        for key, value in chosen.items()
    }


@contextmanager
def _fitting(path: Path, name: str) -> Iterator[None]:
    """Turns what a checkpoint of something else makes Python raise into words."""
    try:
        yield
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        what = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} does not fit {name}: {what}") from None
