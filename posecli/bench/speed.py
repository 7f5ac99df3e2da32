"""How long a part of posecli takes, what it computes and how much memory it needs.

Time: the median of several calls after others that do not count, with the fastest and the slowest. Multiply-adds:
those of matrix products, convolutions and attention, as `torch.utils.flop_counter` counts them, in one call; additions,
norms, activations and whatever is not PyTorch are not counted. Memory: on the CPU the peak resident memory of the
process (so every part is measured in a fresh one, see `posecli.bench.speed_parts`), on a GPU the most that PyTorch
had allocated there.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from posecli.errors import UsageError


@dataclass(frozen=True)
class Timing:
    """warm_up: calls that are not counted; at least one, for what is only done once. repeats: those that are."""

    warm_up: int = 1
    repeats: int = 5

    def __post_init__(self) -> None:
        if not (1 <= self.warm_up <= 1000 and 1 <= self.repeats <= 1000):
            raise UsageError("warm-up and repeats must lie between 1 and 1000")


@dataclass(frozen=True)
class Part:
    """Something to be timed.

    call: does the work once, on `frames` frames. model: whose parameters count; None where there is no network of
    PyTorch's. device: where it works. weights: "random" or a file's name; "" where there is nothing to load. note:
    what else must be known to read its row.
    """

    call: Callable[[], object]
    frames: int
    model: nn.Module | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    weights: str = ""
    weights_sha256: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Speed:
    """What one part took. seconds: of every counted call, each of `frames` frames; gmacs: 1e9 multiply-adds in one
    call, None where PyTorch does not do the work. peak_mb: 1e6 bytes; None where the system does not tell."""

    stage: str
    name: str
    settings: dict[str, Any]
    frames: int
    seconds: tuple[float, ...]
    parameters: int | None
    gmacs: float | None
    peak_mb: float | None
    weights: str
    weights_sha256: str | None
    device: str
    note: str
    baseline: bool = False

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)

    @property
    def frames_per_s(self) -> float:
        return self.frames / self.median_s

    @property
    def gmacs_per_frame(self) -> float | None:
        return None if self.gmacs is None else self.gmacs / self.frames

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        figures = {
            "median_s": self.median_s,
            "min_s": min(self.seconds),
            "max_s": max(self.seconds),
            "frames_per_s": self.frames_per_s,
            "gmacs_per_frame": self.gmacs_per_frame,
        }
        return {**asdict(self), "seconds": list(self.seconds), **figures}


def measured(
    part: Part, stage: str, name: str, settings: dict[str, Any], timing: Timing, *, baseline: bool = False
) -> Speed:
    """Time, count and weigh `part`."""
    if part.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(part.device)
    seconds = clocked(part.call, timing, part.device)
    peak = peak_mb(part.device)  # before counting, which keeps more than the work itself
    return Speed(
        stage=stage,
        name=name,
        settings=settings,
        frames=part.frames,
        seconds=seconds,
        parameters=None if part.model is None else sum(p.numel() for p in part.model.parameters()),
        gmacs=None if part.model is None else multiply_adds(part.call) / 1e9,
        peak_mb=peak,
        weights=part.weights,
        weights_sha256=part.weights_sha256,
        device=torch.cuda.get_device_name(part.device) if part.device.type == "cuda" else str(part.device),
        note=part.note,
        baseline=baseline,
    )


def clocked(call: Callable[[], object], timing: Timing, device: torch.device) -> tuple[float, ...]:
    """Seconds of every counted call, the device's work included."""
    seconds = []
    for k in range(timing.warm_up + timing.repeats):
        _wait(device)
        clock = time.perf_counter()
        call()
        _wait(device)
        if k >= timing.warm_up:
            seconds.append(time.perf_counter() - clock)
    return tuple(seconds)


def multiply_adds(call: Callable[[], object]) -> float:
    """Of matrix products, convolutions and attention that PyTorch does in one call."""
    # Written out, attention is matrix products; PyTorch's own kernel for CPUs would not be counted.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    return counter.get_total_flops() / 2


def peak_mb(device: torch.device) -> float | None:
    """Most memory so far: of this process, or on a GPU of PyTorch's tensors there since the count was reset."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of a started process would count its parent's memory, too
        peaks = [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(peaks[0][1]) * 1024 / 1e6 if peaks else None
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
