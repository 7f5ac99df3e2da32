"""`posecli bench speed`: which parts are timed beside which baselines, and the result as a table and as JSON."""

from __future__ import annotations

import itertools
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from posecli import __version__, defaults
from posecli.bench.provenance import git_revision
from posecli.bench.report import Table
from posecli.bench.speed import Speed, Timing
from posecli.bench.speed_parts import DTYPES, PLAIN, STAGES, Task, demo_video, measure_apart
from posecli.errors import UsageError
from posecli.machine import choose_device, versions
from posecli.methods import METHODS
from posecli.reporting import Reporter, Silent
from posecli.weights import store
from posecli.weights.format import read_header

_SIZE = ("width", "depth", "heads", "mlp_ratio")
"""Settings that a MixSTE of the same size shares with a lifter of its family."""

_MOST_THREADS = 1024
"""OpenMP ends the process where the system does not give it all that it was told to start."""


@dataclass(frozen=True)
class SpeedConfig:
    """What to time. Lifters are timed with every combination of hypotheses, steps, windows, batches and dtypes; None
    among them leaves it to the method (of a window: to its weights).

    methods: lifters; none: those whose weights ship. weights: of the only method, a file or the name of shipped ones.
    frames: of the clips that detect, lift, refine and render work on. video: what detect and render work on; None: the
    demo's person, rendered. threads: of PyTorch and of the detector; None: PyTorch's own number.
    """

    stages: tuple[str, ...] = STAGES
    methods: tuple[str, ...] = ()
    weights: Path | None = None
    hypotheses: tuple[int | None, ...] = (None,)
    steps: tuple[int | None, ...] = (None,)
    windows: tuple[int | None, ...] = (None,)
    batches: tuple[int | None, ...] = (None,)
    dtypes: tuple[str, ...] = ("float32",)
    detector: str = defaults.DETECTOR
    refiners: tuple[str, ...] = ("d3prefiner",)
    frames: int = 90
    video: Path | None = None
    device: str = "cpu"
    threads: int | None = None
    offline: bool = False
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        for names, known, what in (
            (self.stages, STAGES, "stage"),
            (self.dtypes, DTYPES, "dtype"),
            (self.methods, (*METHODS, PLAIN), "method"),
        ):
            if not names and what != "method":
                raise UsageError(f"no {what} is named; one or more of: {', '.join(known)}")
            if unknown := [name for name in names if name not in known]:
                raise UsageError(f"unknown {what} {unknown[0]!r}; one or more of: {', '.join(known)}")
        numbers = (*self.hypotheses, *self.steps, *self.windows, *self.batches, self.frames)
        if any(number is not None and not 1 <= number <= 100_000 for number in numbers):
            raise UsageError("hypotheses, steps, windows, batches and frames must lie between 1 and 100000")
        if self.threads is not None and not 1 <= self.threads <= _MOST_THREADS:
            raise UsageError(f"threads must lie between 1 and {_MOST_THREADS}, got {self.threads}")
        if self.weights is not None and len(self.methods) > 1:
            raise UsageError("--weights are of one method; name that one with --method, or none")


@dataclass(frozen=True)
class SpeedResult:
    """Rows in the order in which they were measured, and what they depend on."""

    rows: tuple[Speed, ...]
    made_by: dict[str, Any]

    def beside(self, row: Speed) -> Speed | None:
        """The baseline of the same stage, window, batch and dtype."""

        def alike(other: Speed) -> bool:
            keys = [
                key for key in ("window", "batch", "dtype") if key in row.settings and key in other.settings
            ]
            return all(row.settings[key] == other.settings[key] for key in keys)

        baselines = (r for r in self.rows if r.baseline and r.stage == row.stage and alike(r))
        return next(baselines, None)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        rows = []
        for row in self.rows:
            other = self.beside(row)
            against = (
                None
                if other is None
                else {"name": other.name, "ratio": row.frames_per_s / other.frames_per_s}
            )
            rows.append({**row.to_dict(), "beside": against})
        return {"bench": "speed", **self.made_by, "rows": rows}


def run_speed(config: SpeedConfig, reporter: Reporter | None = None) -> SpeedResult:
    """Measure, every part in a fresh process. Raises `PosecliError` for what cannot be timed as asked."""
    reporter = reporter or Silent()
    choose_device(config.device)
    made_by = _made_by(config)
    if made_by["busy"] is not None and made_by["busy"] > 0.2:
        reporter.warn(
            f"other programs keep {made_by['busy']:.1f} processors busy: what follows is slower than it need be"
        )
    with tempfile.TemporaryDirectory(prefix="posecli-speed-") as folder:
        demo = Path(folder) / "demo.mp4"
        wanted = config.video is None and {"detect", "render"} & set(config.stages)
        todo = tasks(config, demo if wanted else config.video)
        if wanted:  # after what may be refused
            demo_video(demo, config.frames)
        rows = []
        with reporter.stage("time", len(todo), "parts") as advance:
            for done, task in enumerate(todo):
                rows.append(measure_apart(task, config.timing))
                advance(done + 1)
    return SpeedResult(tuple(rows), made_by)


def tasks(config: SpeedConfig, video: Path | None = None) -> list[Task]:
    """The rows to measure: of every stage the baseline first. Raises InputError or UsageError for weights that are not
    there or of another method."""
    if config.weights is not None:
        config = replace(config, weights=store.find(next(iter(config.methods), None), config.weights))
    common = Task(
        "", "", device=config.device, threads=config.threads or torch.get_num_threads(), frames=config.frames,
        video="" if video is None else str(video), offline=config.offline,
    )  # fmt: skip
    todo: list[Task] = []
    for stage in dict.fromkeys(config.stages):
        if stage == "detect":
            names = ["landmark network alone", config.detector]
        elif stage == "render":
            names = ["decode and encode alone", "mp4"]
        elif stage == "refine":
            names = list(dict.fromkeys(["lowpass", *config.refiners]))
        else:
            todo += _lifters(config, replace(common, stage=stage))
            continue
        todo += [replace(common, stage=stage, name=name, baseline=k == 0) for k, name in enumerate(names)]
    return todo


def _lifters(config: SpeedConfig, common: Task) -> list[Task]:
    """Every method with every setting, each after a plain network and a MixSTE of the same window and size."""
    methods = config.methods
    if not methods:
        shipped = [w.method for w in store.shipped() if w.method in METHODS]
        methods = (
            tuple(dict.fromkeys(shipped))
            if config.weights is None
            else (read_header(config.weights)["method"],)
        )
    dtypes = config.dtypes if common.stage == "network" else ("float32",)
    todo: list[Task] = []
    for method, h, w, window, batch, dtype in itertools.product(
        methods, config.hypotheses, config.steps, config.windows, config.batches, dtypes
    ):
        settings = {"hypotheses": h, "steps": w, "window": window, "batch": batch, "dtype": dtype}
        weights = "" if config.weights is None else str(config.weights)
        model = _settings(method, config.weights, window)
        plain = {**settings, "hypotheses": 1, "steps": 1, "window": window or model.get("frames", 1)}
        size = {name: model[name] for name in _SIZE if name in model}
        todo.append(replace(common, name=PLAIN, settings=plain, baseline=True))
        if method != "mixste" and len(size) == len(_SIZE):
            todo.append(replace(common, name="mixste", settings=plain, size=size, baseline=True))
        todo.append(replace(common, name=method, settings=settings, weights=weights))
    return [
        task for k, task in enumerate(todo) if task not in todo[:k] and (task.baseline or task.name != PLAIN)
    ]


def _settings(method: str, weights: Path | None, window: int | None) -> dict[str, Any]:
    """Those that the network of a row will have."""
    files = [weights] if weights else [w.path for w in store.shipped() if w.method == method]
    if files:
        settings: dict[str, Any] = read_header(files[0])["config"]
        if weights or window in (None, settings.get("frames", 1)):
            return settings
    return METHODS[method].defaults if method in METHODS else {}


def _made_by(config: SpeedConfig) -> dict[str, Any]:
    device = choose_device(config.device)
    return {
        "posecli": __version__,
        "git": git_revision(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": config.threads or torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}",
        "busy": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "warm_up": config.timing.warm_up,
        "repeats": config.timing.repeats,
        "versions": versions(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def speed_table(result: SpeedResult) -> Table:
    """A row per part."""
    return Table(
        (
            "stage", "part", "settings", "frames/s", "ms/frame (fastest, slowest)", "GMAC/frame", "parameters",
            "peak (MB)", "beside", "weights",
        ),
        tuple(_row(result, row) for row in result.rows),
    )  # fmt: skip


def _row(result: SpeedResult, row: Speed) -> tuple[str, ...]:
    other = result.beside(row)
    beside = (
        "baseline"
        if row.baseline or other is None
        else f"{row.frames_per_s / other.frames_per_s:.3g} × {other.name}"
    )
    each = [1000 * s / row.frames for s in (row.median_s, min(row.seconds), max(row.seconds))]
    return (
        row.stage,
        row.name,
        _words(row.settings),
        f"{row.frames_per_s:.{0 if row.frames_per_s >= 10 else 2}f}",
        f"{each[0]:.3g} ({each[1]:.3g}, {each[2]:.3g})",
        "–" if row.gmacs_per_frame is None else f"{row.gmacs_per_frame:.3g}",
        "–" if row.parameters is None else f"{row.parameters:,}",
        "–" if row.peak_mb is None else f"{row.peak_mb:.0f}",
        beside,
        row.weights or "–",
    )


_SHORT = {"hypotheses": "H", "steps": "W", "window": "T", "batch": "batch"}


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{_SHORT[k]} {v}" if k in _SHORT else str(v) for k, v in settings.items())


def remarks(rows: Sequence[Speed]) -> list[str]:
    """What must be known to read the table."""
    lines = [
        "GMAC: 1e9 multiply-adds of matrix products, convolutions and attention done by PyTorch; LiteRT's and all else "
        "are not counted",
        "peak: resident memory of a fresh process that does only this, Python and PyTorch included; on a GPU what "
        "PyTorch allocated there",
    ]
    if any(row.weights == "random" for row in rows):
        lines.append("random weights: as fast as trained ones, and good for nothing else")
    notes = {(row.stage, row.name): row.note for row in rows if row.note}
    return lines + [f"{stage} {name}: {note}" for (stage, name), note in notes.items()]
