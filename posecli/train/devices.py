"""Where a run computes: one CPU or GPU, or the processes that `torchrun` started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from posecli.errors import PosecliError, UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEVICES = ("auto", "cpu", "cuda")


def main_process() -> bool:
    """Whether this process is the one that writes and speaks; `torchrun` starts several."""
    return os.environ.get("RANK", "0") == "0"


def launch(device: str, precision: str) -> Fabric:
    """Fabric on `device` (one of DEVICES; "auto" takes a GPU where there is one), its processes connected.

    Raises PosecliError where the extra [train] is not installed, UsageError where the device is not there.
    """
    try:
        import tensorboardX  # noqa: F401
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise PosecliError(
            f"training needs {error.name}, which is not installed; run: pip install 'posecli[train]'"
        ) from None
    if device not in DEVICES:
        raise UsageError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA GPU is usable here; use --device cpu, or install a torch with CUDA")
    processes, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if device == "cuda" and here > torch.cuda.device_count():
        raise UsageError(
            f"{here} processes for {torch.cuda.device_count()} GPUs; "
            f"start torchrun with --nproc-per-node {torch.cuda.device_count()}"
        )
    # Methods may leave parameters unused in a pass (stochastic depth, heads of other stages).
    strategy = DDPStrategy(find_unused_parameters=True) if processes > 1 else "auto"
    fabric = Fabric(
        accelerator=device,
        devices=here,
        num_nodes=max(1, processes // here),
        strategy=strategy,
        precision=precision,
    )
    fabric.launch()
    return fabric
