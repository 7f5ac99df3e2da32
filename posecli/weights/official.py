"""A released checkpoint → a weights file of posecli, with where it came from and proof that it computes.

The converters (`convert`, `convert_graph`) make the model; here it gets its file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posecli.errors import InputError, UsageError
from posecli.methods.base import Lifter, usual_steps
from posecli.skeleton import HUMANEVA15
from posecli.weights import convert, convert_graph
from posecli.weights.convert import DATASETS, Converted
from posecli.weights.fingerprint import left_beside
from posecli.weights.format import load_weights, save_weights, weights_hash

SEQUENCES = ("ddhpose", "d3dp", "mixste", "stcformer")
"""Methods whose checkpoints fit Human3.6M and MPI-INF-3DHP alike: somebody has to say which. Those of the others say by
the number of their joints whether they are of Human3.6M or HumanEva."""

METHODS = (*SEQUENCES, "graformer", "mgcn", "diffpose-official", "diffupose")
CHECK_TOLERANCE_M = 1e-4
_RATES_HZ = {"h36m": 50.0, "humaneva": 60.0}


@dataclass(frozen=True)
class Request:
    """What a checkpoint cannot say of itself.

    dataset: one of `DATASETS`, needed for `SEQUENCES`. frames: STCFormer's window, needed for it.
    first: DiffPose's first network, a file beside its noise network, needed for it.
    no_flip: of Modulated GCN, released without the mirrored pass for true 2D.
    """

    method: str
    dataset: str | None = None
    frames: int | None = None
    first: Path | None = None
    no_flip: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError where something is missing or belongs to another method."""
        if self.method not in METHODS:
            raise UsageError(
                f"unknown method {self.method!r}; checkpoints of these are converted: {', '.join(METHODS)}"
            )
        if self.dataset is not None and self.dataset not in DATASETS:
            raise UsageError(f"--dataset must be one of {', '.join(DATASETS)}, not {self.dataset!r}")
        if self.method in SEQUENCES and self.dataset is None:
            raise UsageError(
                f"say what {self.method} was trained on with --dataset h36m or 3dhp: the file fits both, and the wrong "
                "one gives plausible but bad poses"
            )
        if self.method not in SEQUENCES and self.dataset == "3dhp":
            raise UsageError(f"no weights of {self.method} for MPI-INF-3DHP were released")
        for needed, value, method in (
            ("--frames", self.frames, "stcformer"),
            ("--first", self.first, "diffpose-official"),
        ):
            if (value is None) is (self.method == method):
                raise UsageError(f"{needed} is needed for {method}, and only for it")
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"--frames must be at least 1, not {self.frames}")
        if self.no_flip and self.method != "mgcn":
            raise UsageError("--no-flip is only for mgcn")


def convert_official(path: Path, request: Request) -> Converted:
    """The model of a released checkpoint, in eval mode; metadata say the files' SHA-256, what was dropped, and what
    the model answers to a fixed input (`answer`).

    Raises InputError where a file is damaged, of another model, or holds anything but data and tensors.
    """
    made = _convert(path, request)
    sources = [path] if request.first is None else [path, request.first]
    of_joints = "humaneva" if made.model.skeleton == HUMANEVA15 else "h36m"
    dataset = request.dataset or of_joints
    if request.method not in SEQUENCES and dataset != of_joints:
        raise UsageError(f"{path} has the joints of {of_joints}, not of {dataset}; leave --dataset away")
    beside = [line for source in sources for line in left_beside(source)]
    made = replace(made, dropped=(*made.dropped, *dict.fromkeys(beside)))
    metadata: dict[str, Any] = {
        **made.metadata,
        "dataset": dataset,
        "origin": "released checkpoint",
        "sources": [{"file": source.name, "sha256": weights_hash(source)} for source in sources],
        "dropped": list(made.dropped),
        **({"rate_hz": _RATES_HZ[dataset]} if dataset in _RATES_HZ else {}),
        "self_check": answer(made.model),  # type: ignore[arg-type]
    }
    return replace(made, metadata=metadata)


def write_converted(made: Converted, out: Path) -> None:
    """Write the weights, read them again and compare their answer; InputError, and no file, where it is another."""

    def check(written: Path) -> None:
        _, again, metadata = load_weights(written)
        if not same_answer(answer(again), metadata["self_check"]):
            raise InputError(f"{out} would not compute what its checkpoint does; convert it again")

    save_weights(out, made.method, made.model, made.metadata, check=check)


def answer(model: Lifter) -> dict[str, Any]:
    """What a model says to fixed numbers: the last frame's pose, metres, and the SHA-256 of the whole.

    The input is normal noise of size 0.3 from seed 0, the sampler's noise comes from seed 1, one hypothesis. The
    hash agrees where machine and PyTorch do, the pose everywhere (`same_answer`).
    """
    shape = (1, model.window, model.skeleton.num_joints, 2)
    x2d = 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    steps = usual_steps(model)
    with torch.inference_mode():
        pose = model.lift_windows(x2d, hypotheses=1, steps=steps, generator=torch.Generator().manual_seed(1))
    found = pose.float().cpu().contiguous().numpy()
    if not np.isfinite(found).all():
        raise InputError("this checkpoint's network answers with numbers that are not finite; get it again")
    return {
        "steps": steps,
        "last_pose_m": [[round(float(v), 6) for v in joint] for joint in found[0, 0, -1]],
        "sha256": hashlib.sha256(found.astype("<f4").tobytes()).hexdigest(),
    }


def same_answer(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two answers are alike to `CHECK_TOLERANCE_M`."""
    a, b = (np.array(each["last_pose_m"]) for each in (first, second))
    return a.shape == b.shape and bool(np.abs(a - b).max() <= CHECK_TOLERANCE_M)


def _convert(path: Path, request: Request) -> Converted:
    dataset = request.dataset or "h36m"
    match request.method:
        case "ddhpose":
            return convert.convert_ddhpose(path, dataset=dataset)
        case "d3dp":
            return convert.convert_d3dp(path, dataset=dataset)
        case "mixste":
            return convert.convert_mixste(path, dataset=dataset)
        case "stcformer":
            return convert.convert_stcformer(path, dataset=dataset, frames=request.frames or 0)
        case "graformer":
            return convert_graph.convert_graformer(path)
        case "mgcn":
            return convert_graph.convert_mgcn(path, flip=not request.no_flip)
        case "diffupose":
            return convert_graph.convert_diffupose(path)
    assert request.first is not None
    return convert_graph.convert_diffpose(path, request.first)
