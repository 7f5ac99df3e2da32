"""What a result depends on besides its input: the device, and versions of programs."""

from __future__ import annotations

from importlib.metadata import version

import torch

from posecli import __version__
from posecli.errors import UsageError


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `mps` → a device that is there; raises UsageError where it is not."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(n for n in ("cuda", "mps", "cpu") if there[n]))
    if name not in there:
        raise UsageError(f"unknown device {name!r}; one of: auto, cpu, cuda, mps")
    if not there[name]:
        raise UsageError(f"this machine's PyTorch has no {name}; use --device cpu")
    return torch.device(name)


def versions() -> dict[str, str]:
    """Versions of posecli and of what its numbers depend on."""
    return {"posecli": __version__, **{name: version(name) for name in ("torch", "numpy", "scipy", "av")}}
