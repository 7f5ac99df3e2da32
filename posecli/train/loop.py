"""Training of a lifter on simulated detections of corpus motion.

Step k draws everything it needs from a generator seeded with (seed, k), so a run that was killed and resumed
from its last checkpoint goes on exactly as if nothing had happened.
"""

from __future__ import annotations

import json
import math
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posecli.bench.metrics import mpjpe, p_mpjpe
from posecli.corpus.simulate import MotionClip, Simulator, SimulatorConfig
from posecli.errors import InputError, UsageError
from posecli.files import atomic_write
from posecli.methods.base import Trainable
from posecli.skeleton import LIMBS


@dataclass(frozen=True)
class TrainConfig:
    """One run. `model` goes to the method's own config; `simulator` to `SimulatorConfig`."""

    steps: int = 4000
    batch: int = 64  # windows a step
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 200
    ema: float = 0.999
    clip_norm: float = 1.0
    seed: int = 0
    final_share: float = 0.5  # share of clips trained at the step where sampling begins
    bfloat16: bool = True  # autocast; three times as fast on CPUs with AVX512-BF16
    validate_every: int = 500
    validation_windows: int = 1024
    checkpoint_every_s: float = 120.0
    model: dict[str, Any] = field(default_factory=dict)
    simulator: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.validate_every, self.validation_windows) < 1:
            raise UsageError("steps, batch, validate_every and validation_windows must be at least 1")
        known = {f.name for f in fields(SimulatorConfig)}
        if unknown := set(self.simulator) - known:
            raise UsageError(
                f"unknown simulator setting {sorted(unknown)[0]!r}; one of: {', '.join(sorted(known))}"
            )

    @classmethod
    def from_toml(cls, path: Path) -> TrainConfig:
        """Read a configuration file; raises InputError or UsageError where it cannot be."""
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not TOML: {error}") from error
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise UsageError(
                f"{path}: unknown setting {sorted(unknown)[0]!r}; one of: {', '.join(sorted(known))}"
            )
        return cls(**values)


@dataclass(frozen=True)
class Validation:
    """Errors on held-out subjects, mm; `error_std` (17, 3) metres along the turned camera's axes."""

    mpjpe_mm: float
    p_mpjpe_mm: float
    limbs_p_mpjpe_mm: float
    error_std: np.ndarray[Any, Any]

    def as_dict(self) -> dict[str, float]:
        return {k: round(v, 3) for k, v in asdict(self).items() if k != "error_std"}


@dataclass(frozen=True)
class Progress:
    """What a caller is told after every step; `validation` only when there was one."""

    step: int
    steps: int
    loss: float
    steps_per_s: float
    waiting: float  # share of the time spent on making data
    validation: Validation | None = None


def train(
    model: Trainable,
    training: Sequence[MotionClip],
    validating: Sequence[MotionClip],
    config: TrainConfig,
    folder: Path,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Validation:
    """Train `model` in place, ending with the moving average of weights that was best on validation.

    folder: receives `checkpoint.pt` (to go on from, if it is there already) and `log.csv`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    simulator = Simulator(training, model.window, SimulatorConfig(**config.simulator))
    held_out = validation_batches(validating, model.window, config)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    run = _Run(model, optimizer, folder / "checkpoint.pt", config)
    run.resume()
    started, first, waited, saved = time.monotonic(), run.step, 0.0, time.monotonic()
    while run.step < config.steps:
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + run.step)
        clock = time.monotonic()
        batch = simulator.draw(config.batch, generator)
        waited += time.monotonic() - clock
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(run.step, config)
        model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.bfloat16):
            loss = model.loss(
                batch.x2d, batch.pose, generator=generator, final_share=config.final_share
            ).objective()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        run.step += 1
        run.average()

        validation = None
        if run.step % config.validate_every == 0 or run.step == config.steps:
            with run.averaged():
                validation = validate(model, held_out, config.seed)
            run.keep_if_best(validation)
            _log(folder / "log.csv", run.step, float(loss.detach()), validation)
        if validation is not None or time.monotonic() - saved > config.checkpoint_every_s:
            run.save()
            saved = time.monotonic()
        if progress is not None:
            elapsed = time.monotonic() - started
            rate = (run.step - first) / max(elapsed, 1e-9)
            progress(
                Progress(
                    run.step,
                    config.steps,
                    float(loss.detach()),
                    rate,
                    waited / max(elapsed, 1e-9),
                    validation,
                )
            )
    run.load_best()
    return validate(model, held_out, config.seed)


class _Run:
    """Everything that a checkpoint holds: weights, their average, the best average, optimiser, step."""

    def __init__(
        self, model: Trainable, optimizer: torch.optim.Optimizer, path: Path, config: TrainConfig
    ) -> None:
        self.model, self.optimizer, self.path = model, optimizer, path
        self.decay = config.ema
        self.fingerprint = json.dumps(asdict(config), sort_keys=True)
        self.step = 0
        self.best_error = math.inf
        self.ema = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.best = {k: v.clone() for k, v in self.ema.items()}

    def average(self) -> None:
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.ema[key].lerp_(value, 1 - decay)
            else:
                self.ema[key].copy_(value)

    def averaged(self) -> _Swapped:
        return _Swapped(self.model, self.ema)

    def keep_if_best(self, validation: Validation) -> None:
        if validation.p_mpjpe_mm + validation.mpjpe_mm < self.best_error:
            self.best_error = validation.p_mpjpe_mm + validation.mpjpe_mm
            self.best = {k: v.clone() for k, v in self.ema.items()}

    def load_best(self) -> None:
        self.model.load_state_dict(self.best)

    def save(self) -> None:
        state = {
            "fingerprint": self.fingerprint, "step": self.step, "best_error": self.best_error,
            "model": self.model.state_dict(), "ema": self.ema, "best": self.best,
            "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        with atomic_write(self.path) as temporary:
            torch.save(state, temporary)

    def resume(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path, weights_only=True)
        if state["fingerprint"] != self.fingerprint:
            raise UsageError(
                f"{self.path} is of a run with other settings; choose another folder or delete it"
            )
        self.step, self.best_error = state["step"], state["best_error"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema, self.best = state["ema"], state["best"]


class _Swapped:
    """Context in which the model has other weights."""

    def __init__(self, model: Trainable, weights: dict[str, Tensor]) -> None:
        self.model, self.weights = model, weights

    def __enter__(self) -> None:
        self.kept = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.weights)

    def __exit__(self, *_: object) -> None:
        self.model.load_state_dict(self.kept)


def _schedule(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to 1 %."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    part = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * part)) / 2


def validation_batches(
    clips: Sequence[MotionClip], window: int, config: TrainConfig, size: int = 64
) -> list[tuple[Tensor, Tensor]]:
    """Fixed windows of held-out subjects: x2d (64, T, 17, 2) and pose (64, T, 17, 3) each."""
    simulator = Simulator(clips, window, SimulatorConfig(**config.simulator))
    generator = torch.Generator().manual_seed(20_240_613)
    batches = [simulator.draw(size, generator) for _ in range(max(1, config.validation_windows // size))]
    return [(b.x2d, b.pose) for b in batches]


def validate(model: Trainable, batches: Sequence[tuple[Tensor, Tensor]], seed: int) -> Validation:
    """One hypothesis, one step, as `posecli lift` does by default."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    predicted = []
    with torch.inference_mode():
        for x2d, _ in batches:
            predicted.append(model.lift_windows(x2d, hypotheses=1, steps=1, generator=generator)[:, 0])
    guess = torch.cat(predicted).float().numpy()
    truth = torch.cat([pose for _, pose in batches]).numpy()
    limbs = list(LIMBS)
    return Validation(
        mpjpe_mm=float(mpjpe(guess, truth).mean() * 1000),
        p_mpjpe_mm=float(p_mpjpe(guess, truth).mean() * 1000),
        limbs_p_mpjpe_mm=float(p_mpjpe(guess[..., limbs, :], truth[..., limbs, :]).mean() * 1000),
        error_std=np.sqrt(((guess - truth) ** 2).mean(axis=(0, 1))),
    )


def _log(path: Path, step: int, loss: float, validation: Validation) -> None:
    row = {"step": step, "loss": round(loss, 5), **validation.as_dict()}
    new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        if new:
            file.write(",".join(row) + "\n")
        file.write(",".join(str(v) for v in row.values()) + "\n")
