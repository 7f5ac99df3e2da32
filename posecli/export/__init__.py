"""Motion → files. `EXPORTERS` names the formats of `--export`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posecli.export.bvh import save_bvh
from posecli.export.npz import save_npz
from posecli.export.video import save_video

EXPORTERS: dict[str, Callable[..., Any]] = {"npz": save_npz, "bvh": save_bvh, "mp4": save_video}
"""Ending → writer. Called with (motion, path); the writer of "mp4" with (motion, frames, path)."""
