"""`posecli methods`, `detectors`, `doctor`: what there is, and whether it works here."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from posecli import defaults
from posecli.cli.console import ANYWHERE, Output
from posecli.errors import ExitCode, InputError

if TYPE_CHECKING:
    from posecli.weights.store import ShippedWeights

_LIBRARIES = ("torch", "numpy", "scipy", "av", "cv2", "h5py", "safetensors", "ai_edge_litert", "matplotlib")


METHODS_EPILOG = f"""[bold]Examples[/bold]

  posecli methods

  posecli methods --speed

The second times every lifter on this machine, those without weights with random ones; some take a minute.

{ANYWHERE}"""


def methods(
    context: typer.Context,
    speed: Annotated[bool, typer.Option("--speed", help="Time each on this machine, too.")] = False,
) -> None:
    """List the lifters: what they look at, the weights that ship, how good those are and how fast.

    Accuracy is that of posecli bench open with its defaults, MPJPE / P-MPJPE in mm, as the card of the weights has it.
    """
    from posecli.methods import METHODS
    from posecli.weights import store
    from posecli.weights.figures import open_figures
    from posecli.weights.format import read_header

    say: Output = context.obj
    weights_of: dict[str, list[ShippedWeights | None]] = {name: [] for name in METHODS}
    for file in store.shipped():
        weights_of.get(file.method, []).append(file)
    found = [(name, weights) for name, files in weights_of.items() for weights in files or [None]]
    rows = []
    with say.stage("time", len(found), "lifters") if speed else nullcontext(lambda done: None) as advance:
        for done, (name, weights) in enumerate(found):
            entry = METHODS[name]
            settings = entry.defaults if weights is None else read_header(weights.path)["config"]
            figures = None if weights is None else open_figures(weights.card)
            rows.append(
                (
                    name,
                    _mark(name == defaults.METHOD),
                    "frame" if settings.get("frames", 1) == 1 else f"{settings['frames']} frames",
                    "none shipped" if weights is None else weights.name,
                    "not measured"
                    if figures is None
                    else f"{figures.mpjpe_mm:.1f} / {figures.p_mpjpe_mm:.1f}",
                    *([_frames_per_s(name, weights)] if speed else []),
                    entry.title,
                    entry.paper,
                )
            )
            advance(done + 1)
    here = ["frames/s here"] if speed else []
    say.table("method", "", "input", "weights", "bench open", *here, "what it is", "paper", rows=rows)


def _frames_per_s(name: str, weights: ShippedWeights | None) -> str:
    """Of the network alone, one hypothesis, the method's own steps."""
    from posecli.bench.speed import Timing
    from posecli.bench.speed_parts import Task, measure

    row = measure(
        Task("network", name, weights="" if weights is None else str(weights.path)), Timing(repeats=2)
    )
    number = f"{row.frames_per_s:.{0 if row.frames_per_s >= 10 else 2}f}"
    return number if row.weights != "random" else f"{number} (random weights)"


def detectors(context: typer.Context) -> None:
    """List the 2D detectors."""
    from posecli.detect import DETECTORS
    from posecli.weights import fetch

    cached = "networks cached" if fetch.blazepose_cached() else "networks fetched on first use"
    rows = []
    for name, kind in DETECTORS.items():
        state = cached
        if kind.runtime is not None:
            there = importlib.util.find_spec(kind.runtime) is not None
            state = f"{kind.runtime} is here" if there else " && ".join(kind.install)
        rows.append((name, _mark(name == defaults.DETECTOR), kind.title, kind.joints, state))
    context.obj.table("detector", "", "what it is", "finds", "state", rows=rows)


def doctor(context: typer.Context) -> None:
    """Check what posecli needs on this machine; exits non-zero where something is missing."""
    say: Output = context.obj
    checks = [_python(), *map(_library, _LIBRARIES)]
    if all(ok for ok, _, _ in checks):  # what follows needs them
        checks += [_encoder(), _devices(), _blazepose(), _weights()]
    for ok, subject, text in checks:
        say.check(ok, subject, text)
    if not all(ok for ok, _, _ in checks):
        raise typer.Exit(ExitCode.ERROR)


_Check = tuple[bool, str, str]


def _python() -> _Check:
    return sys.version_info >= (3, 11), "python", f"{platform.python_version()} on {platform.platform()}"


def _library(module: str) -> _Check:
    try:
        found = importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a system library is missing or of the wrong kind
        return False, module, f"{error}; reinstall with: pip install --force-reinstall posecli"
    return True, module, getattr(found, "__version__", "present")


def _encoder() -> _Check:
    import av

    ok = "libx264" in av.codecs_available
    return (
        ok,
        "H.264 encoder",
        "libx264" if ok else "missing; reinstall with: pip install --force-reinstall av",
    )


def _devices() -> _Check:
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    names = ", ".join(name for name, present in there.items() if present)
    return True, "devices", f"{names}; {torch.get_num_threads()} CPU threads"


def _blazepose() -> _Check:
    from posecli.weights import fetch

    where = f"in {fetch.cache_dir()}" if fetch.blazepose_cached() else "fetched on first use"
    return True, "blazepose", where


def _weights() -> _Check:
    from posecli.weights import store

    try:
        checked = store.verify()
    except InputError as error:
        return False, "weights", str(error)
    if bad := [f"{c.weights.name} ({c.state})" for c in checked if c.state != "intact"]:
        return False, "weights", f"not as recorded: {', '.join(bad)}; reinstall posecli"
    return True, "weights", ", ".join(c.weights.name for c in checked)


def _mark(is_default: bool) -> str:
    return "default" if is_default else ""
