"""`posecli methods`, `detectors`, `doctor`: what there is, and whether it works here."""

from __future__ import annotations

import importlib
import platform
import sys

import torch
import typer

from posecli.cli.console import Output
from posecli.detect import DETECTORS
from posecli.errors import ExitCode
from posecli.methods import METHODS
from posecli.pipeline import DEFAULT_DETECTOR, DEFAULT_METHOD, versions
from posecli.weights import fetch, store


def methods(context: typer.Context) -> None:
    """List the lifters, and the weights that ship for each."""
    rows = []
    for name, entry in METHODS.items():
        weights = ", ".join(w.name for w in store.shipped() if w.method == name) or "none shipped"
        rows.append((name + (" (default)" if name == DEFAULT_METHOD else ""), entry.title, weights))
    context.obj.table("method", "what it is", "weights", rows=rows)


def detectors(context: typer.Context) -> None:
    """List the 2D detectors."""
    rows = []
    for name, kind in DETECTORS.items():
        cached = "networks cached" if fetch.blazepose_cached() else "networks fetched on first use"
        rows.append((name + (" (default)" if name == DEFAULT_DETECTOR else ""), kind.version, cached))
    context.obj.table("detector", "version", "state", rows=rows)


def doctor(context: typer.Context) -> None:
    """Check what posecli needs on this machine; exits non-zero where something is missing."""
    say: Output = context.obj
    well = True

    def line(ok: bool, subject: str, text: str) -> None:
        say.out.print(f"{'ok ' if ok else 'BAD'}  {subject:<16} {text}", markup=False)

    line(sys.version_info >= (3, 11), "python", f"{platform.python_version()} on {platform.platform()}")
    for name, number in versions().items():
        line(True, name, number)
    for module in ("cv2", "h5py", "safetensors", "ai_edge_litert"):
        try:
            found = importlib.import_module(module)
            line(True, module, getattr(found, "__version__", "present"))
        except ImportError as error:
            well = False
            line(False, module, f"{error}; reinstall with: pip install --force-reinstall posecli")
    devices = ["cpu"] + [n for n, there in (("cuda", torch.cuda.is_available()),
                                            ("mps", torch.backends.mps.is_available())) if there]  # fmt: skip
    line(True, "devices", f"{', '.join(devices)}; {torch.get_num_threads()} CPU threads")
    cached = fetch.blazepose_cached()
    line(
        True,
        "blazepose",
        f"in {fetch.cache_dir()}" if cached else "not fetched yet: posecli weights pull blazepose",
    )
    weights = store.shipped()
    well = well and bool(weights)
    line(bool(weights), "weights", ", ".join(w.name for w in weights) or f"none in {store.shipped_folder()}")
    if not well:
        raise typer.Exit(ExitCode.ERROR)
