"""Training of a refiner, from pairs to a network; what was stopped goes on to the same result."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from posecli.bench.metrics import acceleration_error, mpjpe, mpjve, p_mpjpe
from posecli.errors import InputError, PosecliError, UsageError
from posecli.refine.d3prefiner import D3PRefiner
from posecli.refine.noise import NoiseModel
from posecli.refine.pairs import Pairs
from posecli.refine.settings import RefinerTraining
from posecli.train.checkpoint import Run
from posecli.weights import store
from posecli.weights.format import load_weights

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Scores:
    """mm, over all frames of a set of pairs; velocity in mm a frame, acceleration (of the error) in mm a frame
    squared. `before` are the lifter's own."""

    mpjpe_before: float
    mpjpe: float
    p_mpjpe_before: float
    p_mpjpe: float
    velocity_before: float
    velocity: float
    acceleration_before: float
    acceleration: float

    @property
    def score(self) -> float:
        """What the best weights have least of."""
        return self.mpjpe


@dataclass(frozen=True)
class Progress:
    """After every step; `scores` of the validation pairs only where they were measured."""

    step: int
    loss: float
    scores: Scores | None = None


@dataclass(frozen=True)
class Trained:
    """losses: of every step that this call made."""

    model: D3PRefiner
    noise: NoiseModel
    scores: Scores
    losses: list[float]


def train_refiner(
    pairs: Pairs,
    validation: Pairs,
    config: RefinerTraining,
    *,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Fit the noise model, then train; ends with the weights that had the least MPJPE on `validation`.

    pairs, validation: of different people. Everything random follows from `config.seed`. folder: keeps a checkpoint at
    every validation, from which the same call goes on. Raises InputError where windows have another length than the
    network's or the checkpoint is damaged, UsageError where it is of another run, PosecliError where the loss stops
    being a number.
    """
    for part in (pairs, validation):
        if part.pose.shape[1] != config.network.frames:
            raise InputError(
                f"the pairs have {part.pose.shape[1]} frames, the network {config.network.frames} (frames in [model])"
            )
    seen = pairs.both_ways()  # as they are drawn: half of them in a mirror
    noise = NoiseModel.fit(seen.x2d, seen.noisy, seen.pose)
    model = _first(config, seen).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    settings, motion = (
        json.dumps(asdict(config), sort_keys=True),
        f"{fingerprint(pairs)} {fingerprint(validation)}",
    )
    known: Any = model  # `Run` speaks of lifters, but asks of them only their weights
    run = Run(
        known, optimizer, (folder or Path()) / CHECKPOINT, decay=config.ema, settings=settings, motion=motion
    )
    if folder is not None:
        run.resume()
    epoch = max(1, len(pairs) // config.batch)
    losses: list[float] = []
    while run.step < config.steps:
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + run.step)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * config.decay ** (run.step // epoch)
        model.train()
        drawn = pairs.draw(config.batch, generator, config.crop)
        state = [value.to(device) for value in (drawn.x2d, drawn.noisy, drawn.pose)]
        loss = model.loss(*state, noise=noise, generator=generator).objective()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise PosecliError(f"the loss is {losses[-1]} at step {run.step}; use a lower learning_rate")
        run.step += 1
        run.average()
        scores: Any = None
        if run.step % config.validate_every == 0 or run.step == config.steps:
            with run.averaged():
                scores = measure(model, validation)
            run.keep_if_best(scores)
            if folder is not None:
                run.save()
        if progress is not None:
            progress(Progress(run.step, losses[-1], scores))
    run.load_best()
    return Trained(model.eval(), noise, measure(model, validation), losses)


def _first(config: RefinerTraining, pairs: Pairs) -> D3PRefiner:
    """The network that training begins with. Raises InputError, UsageError where `init` cannot be used."""
    if config.init:
        path = store.find("d3prefiner", config.init)
        method, model, _ = load_weights(path)
        if (
            method != "d3prefiner"
            or replace(model.config, strength=config.network.strength) != config.network
        ):
            raise UsageError(f"init: {path} holds another network than [model] describes")
        model.config = config.network
        return cast(D3PRefiner, model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = D3PRefiner(config.network)
    model.set_scale(pairs.noisy - pairs.pose)
    return model


def refined(model: D3PRefiner, pairs: Pairs, batch: int = 32) -> Tensor:
    """What the refiner makes of the lifter's answers: (N, T, 17, 3) on the CPU."""
    model.eval()
    device = model.scale.device
    parts = (slice(k, k + batch) for k in range(0, len(pairs), batch))
    return torch.cat([model.refine(pairs.x2d[k].to(device), pairs.noisy[k].to(device)).cpu() for k in parts])


def measure(model: D3PRefiner, pairs: Pairs) -> Scores:
    """Errors of the lifter's answers and of the refined ones."""
    truth = pairs.pose.numpy()
    found = {}
    for name, poses in (("_before", pairs.noisy.numpy()), ("", refined(model, pairs).numpy())):
        found[f"mpjpe{name}"] = float(mpjpe(poses, truth).mean() * 1000)
        found[f"p_mpjpe{name}"] = float(p_mpjpe(poses, truth).mean() * 1000)
        found[f"velocity{name}"] = float(mpjve(poses, truth).mean() * 1000)
        found[f"acceleration{name}"] = float(acceleration_error(poses, truth, 1.0).mean() * 1000)
    return Scores(**found)


def fingerprint(pairs: Pairs) -> str:
    """Tells sets of pairs apart."""
    digest = hashlib.sha256()
    for value in (pairs.x2d, pairs.noisy, pairs.pose):
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
