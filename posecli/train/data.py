"""Where the windows of a step come from, and how long the network waits for them.

Step k of process r draws everything it needs from a generator seeded with (seed, k, r): what was killed and
goes on from step k sees what it would have seen. On a GPU the windows are made there, and those of the next
step are asked for while the network still works on this one, so that the GPU never waits for Python.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from posecli.corpus.window_clouds import CloudBank, MixedClouds, PairedClouds
from posecli.errors import InputError
from posecli.methods.base import Clouds
from posecli.methods.common import mirrored
from posecli.skeleton import H36M17
from posecli.train.validation import Windows

PAIRS_RATE = 30.0
"""Hz, of every paired set (`posecli.corpus.pairs.RATE`, whose module brings the detector along)."""


class Source(Protocol):
    """Anything that windows can be drawn from, all randomness from `generator`."""

    def draw(self, batch: int, generator: torch.Generator) -> Windows: ...


@dataclass(frozen=True)
class WindowSet:
    """A fixed set of windows: x2d (N, T, 17, 2), pose (N, T, 17, 3); see `Windows`. clouds: theirs, for methods that
    start from heatmaps."""

    x2d: Tensor
    pose: Tensor
    clouds: PairedClouds | None = None

    def __len__(self) -> int:
        return len(self.x2d)

    def to(self, device: torch.device) -> WindowSet:
        clouds = None if self.clouds is None else self.clouds.to(device)
        return WindowSet(self.x2d.to(device), self.pose.to(device), clouds)

    def of(self, windows: Tensor | slice) -> WindowSet:
        """Some of them."""
        clouds = None if self.clouds is None else self.clouds.of(windows)
        return WindowSet(self.x2d[windows], self.pose[windows], clouds)

    def batches(self, size: int = 64) -> list[WindowSet]:
        """All of it, in pieces of up to `size` windows."""
        return [self.of(slice(k, k + size)) for k in range(0, len(self), size)]

    def draw(self, batch: int, generator: torch.Generator) -> WindowSet:
        """`batch` windows with repetition, half of them seen in a mirror."""
        device = self.x2d.device
        at = torch.randint(len(self), (batch,), generator=generator, device=device)
        flip = torch.rand(batch, 1, 1, 1, generator=generator, device=device) < 0.5
        some = self.of(at)
        return WindowSet(
            torch.where(flip, mirrored(some.x2d, H36M17.mirror), some.x2d),
            torch.where(flip, mirrored(some.pose, H36M17.mirror), some.pose),
            None if some.clouds is None else some.clouds.mirrored(flip.flatten()),
        )


@dataclass(frozen=True)
class Drawn:
    """Windows of one step; see `Windows`."""

    x2d: Tensor
    pose: Tensor
    clouds: Clouds | None = None


@dataclass(frozen=True)
class PairedSet:
    """What a real detector said of rendered motion: windows to train on, and of held-out subjects.

    bank: what the clouds of simulated windows are taken from, where clouds were asked for.
    """

    train: WindowSet
    val: WindowSet
    bank: CloudBank | None = None

    @classmethod
    def read(cls, path: Path, window: int, size_exponent: float = 0.5, *, clouds: bool = False) -> PairedSet:
        """The paired set of `posecli data pairs`, cut into windows. Raises InputError, UsageError."""
        from posecli.corpus.paired_windows import cloud_bank, paired_batches  # brings the detector along
        from posecli.corpus.pairs import load_pairs

        def side(split: str, overlap: float) -> WindowSet:
            batches = paired_batches(
                load_pairs(path, split), window, overlap=overlap, size_exponent=size_exponent, clouds=clouds
            )
            if not batches:
                raise InputError(f"{path} holds no windows of the {split} split in which a person was found")
            along = [b.clouds for b in batches if isinstance(b.clouds, PairedClouds)]
            return WindowSet(
                torch.cat([b.x2d for b in batches]),
                torch.cat([b.pose for b in batches]),
                PairedClouds.together(along) if along else None,
            )

        bank = cloud_bank(load_pairs(path, "train")) if clouds else None
        return cls(side("train", 0.75), side("val", 0.0), bank)


@dataclass(frozen=True)
class Mixed:
    """Batches of which `paired_windows` come from the paired set, the others from the simulator."""

    simulator: Source
    pairs: Source
    paired_windows: int

    def draw(self, batch: int, generator: torch.Generator) -> Drawn:
        drawn = [
            source.draw(count, generator)
            for source, count in (
                (self.pairs, self.paired_windows),
                (self.simulator, batch - self.paired_windows),
            )
            if count
        ]
        # Losses may treat the first clips of a batch otherwise than the last (DDHPose's final_share).
        order = torch.randperm(batch, generator=generator, device=generator.device)
        parts = tuple((d.clouds, len(d.x2d)) for d in drawn if d.clouds is not None)
        return Drawn(
            torch.cat([d.x2d for d in drawn])[order],
            torch.cat([d.pose for d in drawn])[order],
            MixedClouds(parts, order) if len(parts) == len(drawn) else None,
        )


class Feed:
    """Hands out the windows of each step together with the generator for the rest of the step's randomness."""

    def __init__(self, source: Source, batch: int, seed: int, device: torch.device, rank: int = 0) -> None:
        self.source, self.batch, self.seed, self.device, self.rank = source, batch, seed, device, rank
        self._clock = _Clock(device)
        self._ready: tuple[int, Windows, torch.Generator] | None = None

    def prepare(self, step: int) -> None:
        """Begin to make the windows of `step`; on a GPU they are made after the work asked for so far."""
        generator = torch.Generator(self.device).manual_seed(self._seed_of(step))
        with self._clock:
            self._ready = step, self.source.draw(self.batch, generator), generator

    def take(self, step: int) -> tuple[Windows, torch.Generator]:
        if self._ready is None or self._ready[0] != step:
            self.prepare(step)
        assert self._ready is not None
        _, windows, generator = self._ready
        self._ready = None
        return windows, generator

    def waited(self) -> float:
        """Seconds so far in which the device made windows, or waited for them, instead of training."""
        return self._clock.seconds()

    def _seed_of(self, step: int) -> int:
        return int(np.random.SeedSequence([self.seed, step, self.rank]).generate_state(1, np.uint64)[0])


class _Clock:
    """Adds up the time a device spends inside a block: the GPU's own, where Python only asks for work."""

    def __init__(self, device: torch.device) -> None:
        self._total = self._began = 0.0
        self._events: list[Any] = []
        if device.type == "cuda":
            self._events = [torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)]  # type: ignore[no-untyped-call]
        self._open = False

    def __enter__(self) -> None:
        self.seconds()
        if self._events:
            self._events[0].record()
        else:
            self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if self._events:
            self._events[1].record()
            self._open = True
        else:
            self._total += time.monotonic() - self._began

    def seconds(self) -> float:
        if self._open:
            self._events[1].synchronize()
            self._total += self._events[0].elapsed_time(self._events[1]) / 1000
            self._open = False
        return self._total
