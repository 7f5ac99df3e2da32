"""Training of a lifter on simulated detections of corpus motion.

Step k draws everything it needs from a generator seeded with (seed, k), so a run that was killed and resumed
from its last checkpoint goes on exactly as if nothing had happened.
"""

from __future__ import annotations

import csv
import hashlib
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
from posecli.errors import InputError, OutputError, PosecliError, UsageError
from posecli.files import atomic_write
from posecli.methods.base import Trainable
from posecli.skeleton import LIMBS

_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "dict": (dict,)}
_KIND_WORDS = {int: "a whole number", float: "a number", bool: "true or false", dict: "a table"}


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
        for item in fields(self):
            value, wanted = getattr(self, item.name), _KINDS[str(item.type).partition("[")[0]]
            if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
                raise UsageError(f"{item.name} must be {_KIND_WORDS[wanted[-1]]}, not {value!r}")
        if min(self.steps, self.batch, self.validate_every, self.validation_windows) < 1:
            raise UsageError("steps, batch, validate_every and validation_windows must be at least 1")
        if min(self.warmup, self.weight_decay, self.checkpoint_every_s) < 0:
            raise UsageError("warmup, weight_decay and checkpoint_every_s must not be negative")
        if not (0 < self.learning_rate < math.inf and self.clip_norm > 0):
            raise UsageError("learning_rate and clip_norm must be positive")
        if not (0 <= self.ema < 1 and 0 <= self.final_share <= 1):
            raise UsageError("ema must lie in [0, 1) and final_share in [0, 1]")
        if not 0 <= self.seed < 2**40:
            raise UsageError(f"a seed must be a whole number from 0 to 2^40 - 1, not {self.seed}")
        known = {f.name for f in fields(SimulatorConfig)}
        if unknown := set(self.simulator) - known:
            raise UsageError(
                f"unknown simulator setting {sorted(unknown)[0]!r}; one of: {', '.join(sorted(known))}"
            )
        SimulatorConfig(**self.simulator)

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
    Raises UsageError where the checkpoint is of another run, InputError where it is damaged or a side of the corpus
    is empty, OutputError where `folder` cannot be written, PosecliError where the loss stops being a number.
    """
    if not training or not validating:
        raise InputError("the corpus has no clips to train on, or none to validate on")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    simulator = Simulator(training, model.window, SimulatorConfig(**config.simulator))
    held_out = validation_batches(validating, model.window, config)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    run = _Run(model, optimizer, folder / "checkpoint.pt", config, _digest(training))
    run.resume()
    log = _Log(folder / "log.csv", run.step)
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
        if not math.isfinite(value := float(loss.detach())):
            raise PosecliError(f"the loss is {value} at step {run.step}; use a lower learning_rate")
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
            log.add(run.step, value, validation)
        if validation is not None or time.monotonic() - saved > config.checkpoint_every_s:
            run.save()
            saved = time.monotonic()
        if progress is not None:
            elapsed = time.monotonic() - started
            rate = (run.step - first) / max(elapsed, 1e-9)
            waiting = waited / max(elapsed, 1e-9)
            progress(Progress(run.step, config.steps, value, rate, waiting, validation))
    run.load_best()
    return validate(model, held_out, config.seed)


class _Run:
    """Everything that a checkpoint holds: weights, their average, the best average, optimiser, step."""

    def __init__(
        self,
        model: Trainable,
        optimizer: torch.optim.Optimizer,
        path: Path,
        config: TrainConfig,
        corpus: str,
    ) -> None:
        self.model, self.optimizer, self.path, self.corpus = model, optimizer, path, corpus
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
            "fingerprint": self.fingerprint, "corpus": self.corpus, "step": self.step, "best_error": self.best_error,
            "model": self.model.state_dict(), "ema": self.ema, "best": self.best,
            "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        with atomic_write(self.path) as temporary:
            torch.save(state, temporary)

    def resume(self) -> None:
        if not self.path.exists():
            return
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            settings, corpus = state["fingerprint"], state.get("corpus", self.corpus)
        except Exception:  # a damaged file makes the unpickler raise whatever it stumbles over
            raise InputError(f"{self.path} is damaged; delete it to start the run again") from None
        if settings != self.fingerprint or corpus != self.corpus:
            what = "settings" if settings != self.fingerprint else "motion"
            raise UsageError(f"{self.path} is of a run with other {what}; choose another folder or delete it")
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.best_error = state["step"], state["best_error"]
            self.ema, self.best = state["ema"], state["best"]
        except (RuntimeError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.path} is of a run with another network; choose another folder or delete it"
            ) from None


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


def _digest(clips: Sequence[MotionClip]) -> str:
    """Tells corpora apart: of each clip its subject, length, rate and weight, not every point."""
    rows = [(c.subject, len(c.points), float(c.fps), float(c.weight)) for c in clips]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


class _Log:
    """A row of figures per validation, as CSV; rows past `step`, at which a run goes on, are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        rows: list[list[str]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.reader(file) if row]
        kept = [row for row in rows if not row[0].isdecimal() or int(row[0]) <= step]
        self.empty = not kept
        if kept != rows:
            with atomic_write(path) as temporary:
                temporary.write_text("".join(",".join(row) + "\n" for row in kept), encoding="utf-8")

    def add(self, step: int, loss: float, validation: Validation) -> None:
        row = {"step": step, "loss": round(loss, 5), **validation.as_dict()}
        with self.path.open("a", encoding="utf-8") as file:
            if self.empty:
                file.write(",".join(row) + "\n")
            file.write(",".join(str(v) for v in row.values()) + "\n")
        self.empty = False
