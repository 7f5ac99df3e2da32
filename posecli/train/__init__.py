"""Training: from a corpus and a configuration to weights and their card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from posecli import __version__
from posecli.corpus.simulate import SimulatorConfig
from posecli.corpus.store import ACKNOWLEDGEMENT, load_corpus
from posecli.errors import UsageError
from posecli.files import atomic_write
from posecli.methods import METHODS
from posecli.train.card import write_card
from posecli.train.curve import plot_curve
from posecli.train.loop import Progress, TrainConfig, train
from posecli.weights import store
from posecli.weights.format import save_weights

__all__ = ["TrainConfig", "make_weights"]


def make_weights(
    method: str,
    data: Path,
    config: TrainConfig,
    folder: Path,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Path, Path]:
    """Train `method` on the corpus `data`; returns the weights file and its card, both in `folder`.

    Subjects are split as the corpus says; the test subjects are not even read. Raises `PosecliError` for an
    unknown method, wrong settings or an unreadable corpus.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}; one of: {', '.join(METHODS)}")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)  # the network's first weights
            model: Any = METHODS[method].build({**METHODS[method].defaults, **config.model})
    except (TypeError, ValueError) as error:
        raise UsageError(f"settings of {method}: {error}") from error
    validation = train(
        model, load_corpus(data, "train"), load_corpus(data, "val"), config, folder, progress=progress
    )
    metadata = {
        "rate_hz": SimulatorConfig(**config.simulator).rate,
        "error_std_m": [[round(float(v), 5) for v in row] for row in validation.error_std],
        "validation": validation.as_dict(),
        "training": asdict(config),
        "corpus_sha256": store.sha256(data),
        "posecli": __version__,
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    weights = folder / f"{method}-cmu.safetensors"
    save_weights(weights, method, model, metadata, half=True)
    card = weights.with_suffix(".md")
    write_card(card, weights, method, metadata)
    plot_curve(folder / "log.csv", folder / "curve.png")
    with atomic_write(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    return weights, card
