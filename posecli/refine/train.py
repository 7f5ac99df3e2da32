"""Training of a refiner: from pairs to weights, and from a corpus and a lifter to pairs (cross-fitted by subject)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from posecli import __version__
from posecli.bench.metrics import mpjpe, mpjve, p_mpjpe
from posecli.corpus.simulate import MotionClip, SimulatorConfig
from posecli.corpus.store import ACKNOWLEDGEMENT, load_corpus
from posecli.errors import InputError, PosecliError, UsageError
from posecli.files import atomic_write
from posecli.machine import choose_device
from posecli.methods import METHODS
from posecli.methods.base import Lifter
from posecli.refine.d3prefiner import D3PRefiner, D3PRefinerConfig
from posecli.refine.noise import NoiseModel
from posecli.refine.pairs import Pairs, cross_fitted_pairs, lifted_pairs
from posecli.reporting import Reporter, Silent
from posecli.settings_file import read_settings
from posecli.train.config import TrainConfig
from posecli.weights import store
from posecli.weights.format import load_weights, save_weights


@dataclass(frozen=True)
class RefinerTraining:
    """One run, as a TOML file or from Python. `model` goes to `D3PRefinerConfig`.

    decay: of the learning rate at every epoch, a pass over as many windows as there are (the paper's 0.96).
    folds, windows, validation_windows, lifter: of `make_refiner` alone. lifter: settings of the training of the base
    lifter of each fold (`TrainConfig`), steps, batch and so on.
    """

    steps: int = 4000
    batch: int = 16
    learning_rate: float = 1e-3
    decay: float = 0.96
    clip_norm: float = 1.0
    seed: int = 0
    validate_every: int = 500
    folds: int = 5
    windows: int = 4000
    validation_windows: int = 256
    model: dict[str, Any] = field(default_factory=dict)
    lifter: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "dict": (dict,)}
        for item in fields(self):
            value, wanted = getattr(self, item.name), kinds[str(item.type).partition("[")[0]]
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise UsageError(f"{item.name} must be of type {wanted[-1].__name__}, not {value!r}")
        counts = ("steps", "batch", "validate_every", "windows", "validation_windows")
        if min(getattr(self, name) for name in counts) < 1 or self.folds < 2:
            raise UsageError(f"{', '.join(counts)} must be at least 1, and folds at least 2")
        if not (0 < self.learning_rate < math.inf and 0 < self.decay <= 1 and self.clip_norm > 0):
            raise UsageError("learning_rate and clip_norm must be positive, and decay lie in (0, 1]")
        if not 0 <= self.seed < 2**40:
            raise UsageError(f"a seed must be a whole number from 0 to 2^40 - 1, not {self.seed}")
        _ = self.network

    @property
    def network(self) -> D3PRefinerConfig:
        """Raises UsageError where `model` is wrong."""
        try:
            return D3PRefinerConfig.from_dict({**D3PRefinerConfig().to_dict(), **self.model})
        except ValueError as error:
            raise UsageError(f"settings of d3prefiner: {error}") from None

    @classmethod
    def from_toml(cls, path: Path) -> RefinerTraining:
        """Raises InputError or UsageError where the file cannot be used."""
        return read_settings(cls, path)


@dataclass(frozen=True)
class Scores:
    """mm, over all frames of a set of pairs; velocity in mm a frame. `before` are the lifter's own."""

    mpjpe_before: float
    mpjpe: float
    p_mpjpe_before: float
    p_mpjpe: float
    velocity_before: float
    velocity: float


@dataclass(frozen=True)
class Progress:
    """After every step; `scores` of the validation pairs only where they were measured."""

    step: int
    loss: float
    scores: Scores | None = None


@dataclass(frozen=True)
class Trained:
    """losses: of every step."""

    model: D3PRefiner
    noise: NoiseModel
    scores: Scores
    losses: list[float]


def train_refiner(
    pairs: Pairs,
    validation: Pairs,
    config: RefinerTraining,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Fit the noise model, then train; ends with the weights that had the least MPJPE on `validation`.

    pairs, validation: of people the lifter was not trained on, and of different people. Everything random follows from
    `config.seed`. Raises InputError where windows have another length than the network's, PosecliError where the loss
    stops being a number.
    """
    for part in (pairs, validation):
        if part.pose.shape[1] != config.network.frames:
            raise InputError(
                f"the pairs have {part.pose.shape[1]} frames, the network {config.network.frames} (frames in [model])"
            )
    seen = pairs.both_ways()  # as they are drawn: half of them in a mirror
    noise = NoiseModel.fit(seen.x2d, seen.noisy, seen.pose)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # the network's first weights
        model = D3PRefiner(config.network)
    model.set_scale(seen.noisy - seen.pose)
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    epoch = max(1, len(pairs) // config.batch)
    losses: list[float] = []
    best: tuple[float, dict[str, torch.Tensor]] = (math.inf, {})
    for step in range(config.steps):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * config.decay ** (step // epoch)
        model.train()
        drawn = pairs.draw(config.batch, generator)
        state = [value.to(device) for value in (drawn.x2d, drawn.noisy, drawn.pose)]
        loss = model.loss(*state, noise=noise, generator=generator).objective()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise PosecliError(f"the loss is {losses[-1]} at step {step}; use a lower learning_rate")
        scores = None
        if (step + 1) % config.validate_every == 0 or step + 1 == config.steps:
            scores = measure(model, validation)
            if scores.mpjpe < best[0]:
                best = scores.mpjpe, {k: v.detach().clone() for k, v in model.state_dict().items()}
        if progress is not None:
            progress(Progress(step + 1, losses[-1], scores))
    model.load_state_dict(best[1])
    return Trained(model.eval(), noise, measure(model, validation), losses)


def measure(model: D3PRefiner, pairs: Pairs, batch: int = 32) -> Scores:
    """Errors of the lifter's answers and of the refined ones."""
    model.eval()
    device = model.scale.device
    refined = torch.cat(
        [
            model.refine(pairs.x2d[k : k + batch].to(device), pairs.noisy[k : k + batch].to(device)).cpu()
            for k in range(0, len(pairs), batch)
        ]
    )
    truth = pairs.pose.numpy()
    found = {}
    for name, poses in (("_before", pairs.noisy.numpy()), ("", refined.numpy())):
        found[f"mpjpe{name}"] = float(mpjpe(poses, truth).mean() * 1000)
        found[f"p_mpjpe{name}"] = float(p_mpjpe(poses, truth).mean() * 1000)
        found[f"velocity{name}"] = float(mpjve(poses, truth).mean() * 1000)
    return Scores(**found)


def make_refiner(
    base: str,
    data: Path,
    config: RefinerTraining,
    folder: Path,
    *,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Path:
    """Train a refiner for a lifter on the corpus `data`; returns the weights file, in `folder`.

    base: a method whose weights ship, or a weights file. For each of `config.folds` a lifter of the same network is
    trained on the other folds' subjects, in `fold-k` (what was stopped there goes on); their answers about the held-out
    subjects are what the refiner learns from. It is validated on the validation subjects as lifted by the base itself.
    Raises PosecliError.
    """
    if base not in METHODS and not Path(base).is_file():
        raise UsageError(
            f"no lifter and no weights file {base!r} for --base; lifters are: {', '.join(METHODS)}"
        )
    path = Path(base) if Path(base).is_file() else _shipped(base)
    base, lifter, metadata = load_weights(path)
    if base not in METHODS:
        raise UsageError(f"{path} are weights of {base}, which is no lifter")
    say = reporter or Silent()
    simulator = SimulatorConfig(
        rate=float(metadata.get("rate_hz", 30.0)), size_exponent=float(metadata.get("size_exponent", 0.0))
    )
    training, validating = load_corpus(data, "train"), load_corpus(data, "val")
    frames = config.network.frames
    fold = _fold_trainer(base, lifter, validating, config, simulator, folder, device, say)
    pairs = cross_fitted_pairs(
        fold,
        training,
        config.windows,
        folds=config.folds,
        frames=frames,
        simulator=simulator,
        seed=config.seed,
    )
    with say.stage("lift validation", config.validation_windows, "windows") as advance:
        held = lifted_pairs(
            lifter, validating, config.validation_windows,
            frames=frames, simulator=simulator, seed=config.seed + 1000, progress=advance,
        )  # fmt: skip
    rows: list[dict[str, float]] = []
    with say.stage("train refiner", config.steps, "steps") as advance:

        def follow(now: Progress) -> None:
            advance(now.step)
            if now.scores is not None:
                rows.append({"step": now.step, "loss": now.loss, **asdict(now.scores)})
                figures = ", ".join(f"{name} {value:.2f}" for name, value in asdict(now.scores).items())
                say.note(f"step {now.step}: loss {now.loss:.4f}, {figures} (mm)")

        made = train_refiner(pairs, held, config, device=choose_device(device), progress=follow)
    target = folder / f"d3prefiner-{base}.safetensors"
    about = {
        "base": base,
        "base_sha256": store.sha256(path),
        "rate_hz": simulator.rate,
        "size_exponent": simulator.size_exponent,
        "validation": {name: round(value, 3) for name, value in asdict(made.scores).items()},
        "training": asdict(config),
        "corpus_sha256": store.sha256(data),
        "posecli": __version__,
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    save_weights(target, "d3prefiner", made.model.cpu(), about, half=True)
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    with atomic_write(folder / "log.csv") as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return target


def _shipped(base: str) -> Path:
    if not any(w.method == base for w in store.shipped()):
        raise InputError(f"no weights for {base} ship with posecli; name a weights file of it with --base")
    return store.find(base)


def _fold_trainer(
    base: str,
    like: Any,
    validating: Sequence[MotionClip],
    config: RefinerTraining,
    simulator: SimulatorConfig,
    folder: Path,
    device: str,
    say: Reporter,
) -> Callable[[int, Sequence[MotionClip]], Lifter]:
    """What trains the lifter of one fold: the network of `like` with random first weights."""
    from posecli.train.loop import train  # brings Fabric along

    try:
        settings = TrainConfig(**config.lifter)
    except TypeError as error:
        raise UsageError(f"settings of the lifter: {error}") from None
    settings = replace(
        settings,
        simulator={**settings.simulator, "rate": simulator.rate, "size_exponent": simulator.size_exponent},
    )

    def fit(number: int, clips: Sequence[MotionClip]) -> Lifter:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + number)
            model: Any = METHODS[base].build(like.config.to_dict())
        with say.stage(f"train lifter {number + 1} of {config.folds}", settings.steps, "steps") as advance:
            train(
                model, clips, validating, settings, folder / f"fold-{number}",
                device=device, progress=lambda now: advance(now.step),
            )  # fmt: skip
        return model.cpu().eval()

    return fit
