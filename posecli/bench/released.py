"""Lifters asked as the released evaluations ask theirs: their windows, and the predicted root where they keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from posecli.bench.protocols import ROOT
from posecli.diffusion import noise
from posecli.methods.base import Lifter
from posecli.methods.d3dp import D3DP
from posecli.methods.ddhpose import DDHPose
from posecli.methods.mixste import MixSTE
from posecli.methods.stcformer import STCFormer
from posecli.skeleton import H36M16

STCFORMER_STRIDES = {27: 3, 81: 3, 243: 2}
"""Frames of a window → how far apart they lie, in the paper."""


def needs_no_neck(lifter: Lifter) -> bool:
    """Whether its network has Human3.6M's 16 joints; the neck of its poses is made up and not scored."""
    joints = getattr(lifter, "joints", None)
    return joints is not None and joints.network == H36M16


def as_released(lifter: Lifter, bench: str, protocol: str) -> Lifter:
    """The lifter, with the slip of DDHPose's release for MPI-INF-3DHP where its protocol is asked for: with several
    steps, noise is estimated from other slots than the bones'."""
    slips = bench == "3dhp" and protocol == "official" and isinstance(lifter, DDHPose)
    if not slips or not isinstance(lifter, DDHPose) or lifter.config.official_slots:
        return lifter
    made = DDHPose(replace(lifter.config, official_slots=True)).eval()
    made.load_state_dict(lifter.state_dict())
    return made.to(next(lifter.parameters()).device)


def window_of(lifter: Lifter, protocol: str) -> tuple[int, int | None]:
    """Frames of a window, and for windows around every frame how far apart those lie (None: side by side).

    STCFormer's release scores the middle frame of a window around every frame, so "official" does with weights that
    are set to lift whole windows as well.
    """
    if isinstance(lifter, STCFormer):
        frames = lifter.config.frames
        if lifter.config.protocol == "centre":
            return frames, lifter.config.stride
        if protocol == "official":
            return frames, STCFORMER_STRIDES.get(frames, 1)
    return lifter.window, None


def poses(
    lifter: Lifter,
    method: str,
    x2d: Tensor,
    *,
    protocol: str,
    hypotheses: int,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Windows x2d (B, T, J, 2) → (B, H, T, J, 3), metres; the root kept, zeroed or subtracted as `ROOT` says for
    protocol "official", subtracted otherwise."""
    root = ROOT.get(method, "subtracted") if protocol == "official" else "subtracted"
    raw = _raw(lifter)
    if raw is None:  # it lifts with the root at zero already
        return lifter.lift_windows(x2d, hypotheses=hypotheses, steps=steps, generator=generator)
    with torch.inference_mode():
        pose = raw(x2d, hypotheses, steps, generator)
    at = lifter.skeleton.root
    if root == "zeroed":
        pose = pose.clone()
        pose[..., at, :] = 0
    elif root == "subtracted":
        pose = pose - pose[..., at, None, :]
    return pose


def _raw(lifter: Lifter) -> Callable[[Tensor, int, int, torch.Generator], Tensor] | None:
    """Poses as the network gives them, for methods whose code does not subtract the root."""
    if isinstance(lifter, MixSTE | STCFormer):
        return lambda x2d, hypotheses, steps, generator: lifter.predict(x2d)[:, None].expand(
            -1, hypotheses, -1, -1, -1
        )
    if isinstance(lifter, D3DP | DDHPose):
        return lambda x2d, hypotheses, steps, generator: lifter.sample(
            x2d, hypotheses=hypotheses, steps=steps, draw=noise.from_generator(generator, x2d.device)
        )
    return None
