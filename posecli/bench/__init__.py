"""Measures of poses, the open benchmark, and scores on clips with truth.

    from posecli.bench import run_open, run_video

    run_open(method="ddhpose").overall.mpjpe_mm
    run_video("clips").ours.pa_mpjpe_mm     # every folder below with a video and its ref.npz

What stands here is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posecli.bench.clips import VideoResult, run_video
    from posecli.bench.open import OpenResult, run_open

__all__ = ["OpenResult", "VideoResult", "run_open", "run_video"]

_HOMES = {"OpenResult": "open", "run_open": "open", "VideoResult": "clips", "run_video": "clips"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"posecli.bench.{_HOMES[name]}"), name)
