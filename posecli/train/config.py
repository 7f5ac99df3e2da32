"""Settings of a training run, as a TOML file or from Python."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from posecli.corpus.simulate import SimulatorConfig
from posecli.errors import UsageError
from posecli.settings_file import read_settings

PRECISIONS = ("bf16-mixed", "32-true")
SCHEDULES = ("cosine", "constant")

_FASTEST = 1e30  # beyond, float32 ends
_MOST_WINDOWS = 100_000
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "dict": (dict,),
}  # fmt: skip
_KIND_WORDS = {int: "a whole number", float: "a number", str: "a text", dict: "a table"}


@dataclass(frozen=True)
class TrainConfig:
    """One run. `model` goes to the method's own config; `simulator` to `SimulatorConfig`."""

    steps: int = 4000
    batch: int = 64  # windows a step, on each process
    learning_rate: float = 1e-3
    schedule: str = "cosine"  # down to 1 % of learning_rate; or "constant"
    weight_decay: float = 0.05
    warmup: int = 200  # steps in which the learning rate rises, whatever the schedule
    ema: float = 0.999
    clip_norm: float = 1.0
    seed: int = 0
    init: str = ""  # weights to start from, a file or the name of shipped ones; without, random ones
    fresh: str = ""  # what of them begins with random ones all the same: names of parameters begin with this
    pairs_share: float = 0.0  # share of a batch that comes from the paired set
    final_share: float = 0.5  # share of clips trained at the step where sampling begins
    precision: str = "bf16-mixed"  # or "32-true"; three times as fast on CPUs with AVX512-BF16
    validate_every: int = 500
    validation_windows: int = 1024
    calibration_windows: int = 512  # to fit the uncertainty on, and to check it on
    checkpoint_every_s: float = 120.0
    model: dict[str, Any] = field(default_factory=dict)
    simulator: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            value, wanted = getattr(self, item.name), _KINDS[str(item.type).partition("[")[0]]
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise UsageError(f"{item.name} must be {_KIND_WORDS[wanted[-1]]}, not {value!r}")
        counts = ("steps", "batch", "validate_every", "validation_windows", "calibration_windows")
        if min(getattr(self, name) for name in counts) < 1:
            raise UsageError(f"{', '.join(counts[:-1])} and {counts[-1]} must be at least 1")
        if not all(0 <= n < math.inf for n in (self.warmup, self.weight_decay, self.checkpoint_every_s)):
            raise UsageError("warmup, weight_decay and checkpoint_every_s must not be negative")
        if not (0 < self.learning_rate <= _FASTEST and self.clip_norm > 0):
            raise UsageError(
                f"learning_rate and clip_norm must be positive, learning_rate at most {_FASTEST:g}"
            )
        if max(self.validation_windows, self.calibration_windows) > _MOST_WINDOWS:
            raise UsageError(f"validation_windows and calibration_windows must be at most {_MOST_WINDOWS}")
        if not (0 <= self.ema < 1 and 0 <= self.final_share <= 1):
            raise UsageError("ema must lie in [0, 1) and final_share in [0, 1]")
        if not 0 <= self.seed < 2**40:
            raise UsageError(f"a seed must be a whole number from 0 to 2^40 - 1, not {self.seed}")
        for name, choices in (("precision", PRECISIONS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if not 0 <= self.pairs_share <= 1 or (self.pairs_share and not self.paired_windows):
            raise UsageError(
                f"pairs_share must lie in [0, 1] and give at least one of the {self.batch} windows of a batch, "
                f"not {self.pairs_share:g}"
            )
        known = {f.name for f in fields(SimulatorConfig)}
        if unknown := set(self.simulator) - known:
            raise UsageError(
                f"unknown simulator setting {sorted(unknown)[0]!r}; one of: {', '.join(sorted(known))}"
            )
        SimulatorConfig(**self.simulator)

    @property
    def paired_windows(self) -> int:
        """Windows of a batch that come from the paired set."""
        return round(self.pairs_share * self.batch)

    @classmethod
    def from_toml(cls, path: Path) -> TrainConfig:
        """Read a configuration file; raises InputError or UsageError where it cannot be."""
        return read_settings(cls, path)


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then all of it, or half a cosine down to 1 %."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.schedule == "constant":
        return 1.0
    part = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * part)) / 2
