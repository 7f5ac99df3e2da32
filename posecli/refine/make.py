"""From a corpus and lifters to a refiner's weights and their card."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from posecli import __version__
from posecli.bench.metrics import mpjpe
from posecli.corpus.simulate import MotionClip, SimulatorConfig
from posecli.corpus.store import ACKNOWLEDGEMENT, load_corpus
from posecli.errors import InputError, UsageError
from posecli.files import atomic_write, claim
from posecli.lifting import LiftConfig
from posecli.machine import choose_device
from posecli.methods import METHODS
from posecli.methods.base import Lifter
from posecli.refine.card import write_card
from posecli.refine.crossfit import subject_folds
from posecli.refine.pairs import Pairs, cross_fitted_pairs, detected_pairs, lifted_pairs
from posecli.refine.settings import RefinerTraining
from posecli.refine.strength import find_strength
from posecli.refine.train import Progress, measure, train_refiner
from posecli.reporting import Reporter, Silent
from posecli.train.config import TrainConfig
from posecli.weights import store
from posecli.weights.format import load_weights, save_weights


@dataclass(frozen=True)
class Base:
    """A lifter whose answers are refined. simulator: with its rate and its view of the person's size."""

    method: str
    sha256: str
    model: Any
    simulator: SimulatorConfig


def make_refiner(
    bases: Sequence[str],
    data: Path,
    config: RefinerTraining,
    folder: Path,
    *,
    pairs: Path | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> tuple[Path, Path]:
    """Train a refiner for lifters on the corpus `data`; returns the weights file and its card, both in `folder`.

    bases: methods whose weights ship, or weights files; with several of them the refiner is for any lifter.
    pairs: a paired set, whose windows are learned from too. What the lifters answer is kept in `folder`, and training
    goes on from its checkpoint there: a run that was killed ends with the same weights. Raises PosecliError.
    """
    if pairs is not None and config.fit == "held-out":
        raise UsageError(
            '--pairs goes with fit = "training" or "folds": its validation windows are to validate on'
        )
    say = reporter or Silent()
    known = [load_base(name) for name in bases]
    if len({(b.simulator.rate, b.simulator.size_exponent) for b in known}) != 1:
        raise UsageError("these lifters see windows at different rates or sizes; refine each by itself")
    load_corpus(data, "val")  # says what is wrong with it, before anything is lifted
    claim(folder / "log.csv", overwrite=True)
    corpus = store.sha256(data)
    fitted, held = [], []
    for base in known:
        learn, check = _pairs_of(base, data, corpus, config, folder, pairs, device, say)
        fitted.append(learn)
        held.append(check)
        figures = [float(mpjpe(p.noisy.numpy(), p.pose.numpy()).mean() * 1000) for p in (learn, check)]
        say.note(
            f"{base.method} errs by {figures[0]:.1f} mm on the people to fit on, {figures[1]:.1f} on the others"
        )
    learn, check = Pairs.joined(fitted), Pairs.joined(held)
    rows: list[dict[str, float]] = []
    with say.stage("train refiner", config.steps, "steps") as advance:

        def follow(now: Progress) -> None:
            advance(now.step)
            if now.scores is not None:
                rows.append({"step": now.step, "loss": now.loss, **asdict(now.scores)})
                figures = ", ".join(f"{name} {value:.2f}" for name, value in asdict(now.scores).items())
                say.note(f"step {now.step}: loss {now.loss:.4f}, {figures} (mm)")

        made = train_refiner(
            learn, check, config, folder=folder, device=choose_device(device), progress=follow
        )
    model = made.model.cpu()
    model.config = replace(model.config, strength=find_strength(model, held))
    scores = measure(model, check)
    name = known[0].method if len(known) == 1 else "any"
    about = {
        "base": name,
        "bases": {base.method: base.sha256 for base in known},
        "rate_hz": known[0].simulator.rate,
        "size_exponent": known[0].simulator.size_exponent,
        "windows": {"fit": len(learn), "validation": len(check)},
        "fit_mpjpe_mm": round(float(mpjpe(learn.noisy.numpy(), learn.pose.numpy()).mean() * 1000), 3),
        "validation": {key: round(value, 3) for key, value in asdict(scores).items()},
        "strength": model.config.strength,
        "training": asdict(replace(config, init=Path(config.init).name)),
        "corpus_sha256": corpus,
        "pairs_sha256": None if pairs is None else store.sha256(pairs),
        "init_sha256": store.sha256(store.find("d3prefiner", config.init)) if config.init else None,
        "posecli": __version__,
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    target = folder / f"d3prefiner-{name}.safetensors"
    save_weights(target, "d3prefiner", model, about, half=True)
    card = target.with_suffix(".md")
    write_card(card, target, about)
    _log(folder / "log.csv", rows)
    return target, card


def load_base(name: str) -> Base:
    """A shipped method's lifter, or that of a weights file. Raises UsageError, InputError."""
    if name not in METHODS and not Path(name).is_file():
        raise UsageError(
            f"no lifter and no weights file {name!r} for --base; lifters are: {', '.join(METHODS)}"
        )
    if not Path(name).is_file() and not any(w.method == name for w in store.shipped()):
        raise InputError(f"no weights for {name} ship with posecli; name a weights file of it with --base")
    path = Path(name) if Path(name).is_file() else store.find(name)
    method, lifter, metadata = load_weights(path)
    if method not in METHODS:
        raise UsageError(f"{path} are weights of {method}, which is no lifter")
    simulator = SimulatorConfig(
        rate=float(metadata.get("rate_hz", 30.0)), size_exponent=float(metadata.get("size_exponent", 0.0))
    )
    return Base(method, store.sha256(path), lifter, simulator)


def _pairs_of(
    base: Base,
    data: Path,
    corpus: str,
    config: RefinerTraining,
    folder: Path,
    paired: Path | None,
    device: str,
    say: Reporter,
) -> tuple[Pairs, Pairs]:
    """What to learn from, and what to choose the best weights on, of other people; kept in `folder`."""
    frames, names = config.network.frames, ("fit", "windows", "validation_windows", "seed", "folds", "lifter")
    share = config.shares.get(base.method, 1.0)
    told = {name: getattr(config, name) for name in names} | ({} if share == 1 else {"share": share})
    sources = [base.sha256, corpus, None if paired is None else store.sha256(paired)]
    about = json.dumps([*sources, frames, told, asdict(LiftConfig())], sort_keys=True)
    windows, check_windows = (math.ceil(share * n) for n in (config.windows, config.validation_windows))
    files = [folder / f"pairs-{base.method}-{kind}.safetensors" for kind in ("fit", "validation")]
    kept = [Pairs.load(file, about) for file in files]
    validating = load_corpus(data, "val")
    others: Sequence[MotionClip] = validating
    learning: Sequence[MotionClip] = load_corpus(data, "train")
    if config.fit == "held-out":
        half, rest = subject_folds_of(validating)
        learning, others = half, rest
    lift = partial(_lift, base, frames=frames, say=say)
    learn, check = kept
    if learn is None:
        if config.fit == "folds":
            fold = _fold_trainer(base, validating, config, folder, device, say)
            learn = cross_fitted_pairs(
                fold, learning, windows,
                folds=config.folds, frames=frames, simulator=base.simulator, seed=config.seed, reporter=say,
            )  # fmt: skip
        else:
            learn = lift(learning, windows, seed=config.seed)
        if paired is not None:
            more = detected_pairs(base.model, paired, "train", frames=frames, simulator=base.simulator)
            learn = Pairs.joined([learn, more])
        learn.save(files[0], about)
    if check is None:
        check = lift(others, check_windows, seed=config.seed + 1000)
        if paired is not None:
            more = detected_pairs(base.model, paired, "val", frames=frames, simulator=base.simulator)
            check = Pairs.joined([check, more])
        check.save(files[1], about)
    return learn, check


def subject_folds_of(clips: Sequence[MotionClip]) -> tuple[list[MotionClip], list[MotionClip]]:
    """Clips in two halves, nobody in both. Raises InputError where they are of one person."""
    try:
        halves = subject_folds([clip.subject for clip in clips], 2)
    except ValueError as error:
        raise InputError(f"the corpus has too few validation subjects to fit on: {error}") from None
    first, second = ([clips[k] for k in rows] for rows in halves)
    return first, second


def _lift(
    base: Base, clips: Sequence[MotionClip], windows: int, *, frames: int, seed: int, say: Reporter
) -> Pairs:
    with say.stage(f"lift with {base.method}", windows, "windows") as advance:
        return lifted_pairs(
            base.model, clips, windows,
            frames=frames, simulator=base.simulator, seed=seed, progress=advance,
        )  # fmt: skip


def _fold_trainer(
    base: Base,
    validating: Sequence[MotionClip],
    config: RefinerTraining,
    folder: Path,
    device: str,
    say: Reporter,
) -> Callable[[int, Sequence[MotionClip]], Lifter]:
    """What trains the lifter of one fold: the network of `base` with random first weights."""
    from posecli.train.loop import train  # brings Fabric along

    try:
        settings = TrainConfig(**config.lifter)
    except TypeError as error:
        raise UsageError(f"settings of the lifter: {error}") from None
    own = {"rate": base.simulator.rate, "size_exponent": base.simulator.size_exponent}
    settings = replace(settings, simulator={**settings.simulator, **own})

    def fit(number: int, clips: Sequence[MotionClip]) -> Lifter:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + number)
            model: Any = METHODS[base.method].build(base.model.config.to_dict())
        with say.stage(f"train lifter {number + 1} of {config.folds}", settings.steps, "steps") as advance:
            train(
                model, clips, validating, settings, folder / f"fold-{base.method}-{number}",
                device=device, progress=lambda now: advance(now.step),
            )  # fmt: skip
        return model.cpu().eval()

    return fit


def _log(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Add the rows of this call to those that an earlier one left."""
    before: list[dict[str, Any]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            before = [row for row in csv.DictReader(file) if not rows or int(row["step"]) < rows[0]["step"]]
    if not (table := [*before, *rows]):
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
