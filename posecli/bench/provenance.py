"""What a result file says beside its numbers, so that somebody else can make them again."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from posecli import __version__
from posecli.loaded import Lifting
from posecli.machine import versions

_ROOT = Path(__file__).resolve().parents[2]


def made_by(lifting: Lifting) -> dict[str, Any]:
    """Method, weights and their hash, size and window of the network, settings, versions, git revision and device,
    ready for JSON."""
    record = dict(lifting.record)
    device = next(lifting.model.parameters()).device
    return {
        "posecli": __version__,
        "git": git_revision(),
        "method": record.pop("method"),
        "weights": record.pop("weights"),
        "weights_sha256": record.pop("weights_hash"),
        "parameters": sum(p.numel() for p in lifting.model.parameters()),
        "window": lifting.model.window,
        "settings": record,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }


def git_revision() -> str | None:
    """Commit of the checkout that runs, "-dirty" where files differ from it; None for an installed package."""
    if not (_ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
