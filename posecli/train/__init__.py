"""Training: from a corpus and a configuration to weights and their card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from posecli import __version__
from posecli.corpus.simulate import SimulatorConfig
from posecli.corpus.store import ACKNOWLEDGEMENT, load_corpus
from posecli.errors import UsageError
from posecli.files import atomic_write
from posecli.methods import METHODS
from posecli.methods.base import usual_hypotheses, usual_steps
from posecli.methods.diffpose import DiffPose
from posecli.nets.mixste import with_frames
from posecli.train.calibrate import calibrate
from posecli.train.card import write_card
from posecli.train.config import TrainConfig
from posecli.train.curve import plot_curve
from posecli.train.data import PAIRS_RATE, PairedSet
from posecli.train.devices import main_process
from posecli.train.loop import Progress, train
from posecli.train.validation import validation_batches, wants_clouds
from posecli.weights import store
from posecli.weights.format import load_weights, read_header, save_weights, weights_hash

__all__ = ["TrainConfig", "make_weights"]


def make_weights(
    method: str,
    data: Path,
    config: TrainConfig,
    folder: Path,
    *,
    pairs: Path | None = None,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Path, Path]:
    """Train `method` on the corpus `data`; returns the weights file and its card, both in `folder`.

    pairs: the paired set, to be validated on and, as `config.pairs_share` says, trained on. device: "auto", "cpu" or
    "cuda". Subjects are split as the corpus says; the test subjects are only looked at when all is decided, to check
    the uncertainty that the validation subjects gave. Under `torchrun` every process calls this and the first one
    writes. Raises `PosecliError` for an unknown method, wrong settings, a missing extra, an unreadable corpus or
    paired set.
    """
    model, start = _network(method, config)
    simulator = SimulatorConfig(**config.simulator)
    detector = weights_hash(Path(simulator.detector_model)) if simulator.detector_model else ""
    if pairs is not None and simulator.rate != PAIRS_RATE:
        raise UsageError(
            f"the paired set has {PAIRS_RATE:g} frames/s, not the simulator's {simulator.rate:g}"
        )
    paired = None
    if pairs is not None:
        paired = PairedSet.read(pairs, model.window, simulator.size_exponent, clouds=wants_clouds(model))
    validating = load_corpus(data, "val")
    outcome = train(
        model, load_corpus(data, "train"), validating, config, folder,
        paired=paired, device=device, start=start, progress=progress,
    )  # fmt: skip
    validation = outcome.validation
    metadata = {
        "rate_hz": simulator.rate,
        "size_exponent": simulator.size_exponent,
        "error_std_m": [[round(float(v), 5) for v in row] for row in validation.error_std],
        "validation": validation.as_dict(),
        "training": asdict(
            replace(
                config,
                init=Path(config.init).name,
                model=model.config.to_dict() if start else config.model,
                simulator={
                    k: Path(v).name if k == "detector_model" else v for k, v in config.simulator.items()
                },
            )
        ),
        "steps_used": usual_steps(model),
        "hypotheses_used": usual_hypotheses(model),
        "device": outcome.device,
        "processes": outcome.processes,
        "corpus_sha256": store.sha256(data),
        "posecli": __version__,
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    if pairs is not None:
        metadata["pairs_sha256"] = store.sha256(pairs)
    if start:
        metadata["init_sha256"] = start
    if detector:
        metadata["detector_model_sha256"] = detector
    weights = folder / f"{method}-cmu.safetensors"
    card = weights.with_suffix(".md")
    if not main_process():
        return weights, card
    model.cpu().eval()
    bank = None if paired is None else paired.bank
    seen = validation_batches(validating, model.window, config, bank)
    if paired is not None:
        seen += paired.val.batches()
    others = load_corpus(data, "test")
    test = validation_batches(others, model.window, config, bank) if others else []
    metadata["calibration"] = calibrate(model, seen, test=test, windows=config.calibration_windows)
    save_weights(weights, method, model.cpu(), metadata, half=True)
    write_card(
        card, weights, method, {**metadata, "waiting": outcome.waiting}
    )  # a time: not in the weights' bytes
    plot_curve(folder / "log.csv", folder / "curve.png")
    with atomic_write(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    return weights, card


def _network(method: str, config: TrainConfig) -> tuple[Any, str]:
    """The network to train, and the SHA-256 of the weights it begins with, "" for random ones."""
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}; one of: {', '.join(METHODS)}")
    settings, start, tensors, found = METHODS[method].defaults, "", {}, method
    if config.init:
        path = store.find(None, config.init)
        found = read_header(path)["method"]
        first: Any = load_weights(path)[1]
        if found == method:
            settings = first.config.to_dict()
        elif found == {**settings, **config.model}.get("context"):  # the encoder that is part of `method`
            settings = {**settings, **DiffPose.settings_for(first)}
        else:
            raise UsageError(f"init: {path} are weights of {found}, not of {method}")
        start, tensors = store.sha256(path), first.state_dict()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)  # the network's first weights
            model: Any = METHODS[method].build({**settings, **config.model})
    except (TypeError, ValueError) as error:
        raise UsageError(f"settings of {method}: {error}") from error
    tensors = with_frames(tensors, model.window)
    if config.fresh:
        if not start or found != method:
            raise UsageError(f"fresh goes with init, weights of {method}")
        own = {name: value for name, value in model.state_dict().items() if name.startswith(config.fresh)}
        if not own:
            raise UsageError(f"fresh: no parameter of {method} is called {config.fresh}…")
        tensors = {name: value for name, value in tensors.items() if not name.startswith(config.fresh)} | own
    if start:
        try:
            (model.load_state_dict if found == method else model.load_context)(tensors)
        except RuntimeError:
            raise UsageError(
                f"init: the network of {config.init} has other sizes than [model] asks for; leave them out there, "
                "or name the parts that begin anew with fresh"
            ) from None
    return model, start
