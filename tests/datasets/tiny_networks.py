"""Weights files of tiny networks of every method, as converters write them."""

from __future__ import annotations

from pathlib import Path

import torch

from posecli.methods import METHODS
from posecli.weights.format import save_weights

PAPERS = {"input": "X / w * 2 - [1, h / w]"}
SKELETONS = {"h36m": "h36m17", "3dhp": "mpi_inf_3dhp17", "humaneva": "humaneva15"}
WINDOW = 9
_WINDOWED = {"frames": WINDOW, "width": 16, "depth": 2, "heads": 2}
SETTINGS = {
    "ddhpose": _WINDOWED,
    "d3dp": _WINDOWED,
    "mixste": _WINDOWED,
    "stcformer": _WINDOWED,
    "graformer": {"width": 16, "depth": 2, "heads": 2},
    "mgcn": {"width": 16, "depth": 1},
    "diffpose": {
        "frames": WINDOW, "width": 16, "blocks": 1, "heads": 2, "timesteps": 6, "components": 2, "samples": 12,
        "covariance": "diagonal", "em_iterations": 2, "context_model": {"width": 16, "depth": 1, "heads": 2},
    },
    "diffpose-official": {"width": 16, "step_width": 16, "depth": 2},
    "diffupose": {"width": 32, "depth": 1},
}  # fmt: skip


def tiny_weights(folder: Path, method: str, bench: str, **settings: object) -> Path:
    entry = METHODS[method]
    torch.manual_seed(0)
    model = entry.build(
        {**entry.defaults, **SETTINGS[method], "skeleton": SKELETONS[bench], **settings}  # type: ignore[arg-type]
    )
    path = folder / f"{bench}-{method}.safetensors"
    save_weights(path, method, model, {**PAPERS, "dataset": bench})
    return path
