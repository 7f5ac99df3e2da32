"""Training of a lifter, whatever its method: one loop on Lightning Fabric for CPU, GPU and several of them.

Step k draws everything it needs from a generator of its own (`posecli.train.data`), so a run that was killed
and resumed from its last checkpoint goes on exactly as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posecli.corpus.simulate import MotionClip, Simulator, SimulatorConfig
from posecli.errors import InputError, OutputError, PosecliError, UsageError
from posecli.methods.base import Trainable
from posecli.skeleton import H36M17
from posecli.train.checkpoint import Run
from posecli.train.config import TrainConfig, learning_rate_factor
from posecli.train.data import Feed, Mixed, PairedSet, Source
from posecli.train.devices import launch
from posecli.train.log import RunLog
from posecli.train.validation import Validation, Windows, validate, validation_batches, wants_clouds
from posecli.weights.format import weights_hash


@dataclass(frozen=True)
class Progress:
    """What a caller is told after every step; `validation` only when there was one."""

    step: int
    steps: int
    loss: float
    steps_per_s: float
    waiting: float  # share of the time in which the device made data or waited for it
    validation: Validation | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run ended with: the best validation, how and on how many processes it was reached."""

    validation: Validation
    waiting: float  # as in `Progress`, over the whole run
    device: str
    processes: int


def train(
    model: Trainable,
    training: Sequence[MotionClip],
    validating: Sequence[MotionClip],
    config: TrainConfig,
    folder: Path,
    *,
    paired: PairedSet | None = None,
    device: str = "auto",
    start: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train `model` in place, ending with the moving average of weights that was best on validation.

    folder: receives `checkpoint.pt` (to go on from, if it is there already), `log.csv` and `tensorboard/`.
    paired: trained on as `config.pairs_share` says, and validated on; the best weights are those with the least
    MPJPE + PA-MPJPE on validation, summed over simulated and paired windows. start: identifies the weights that
    `model` begins with, where they are not random. device: see `launch`. Under `torchrun` every process calls this;
    the first one alone writes.
    Raises UsageError where the checkpoint is of another run, InputError where it is damaged or a side of the corpus
    is empty, OutputError where `folder` cannot be written, PosecliError where the loss stops being a number.
    """
    if not training or not validating:
        raise InputError("the corpus has no clips to train on, or none to validate on")
    if model.skeleton.joint_names != H36M17.joint_names:
        raise UsageError(f"the corpus has the joints of {H36M17.name}, the network those of another skeleton")
    if config.pairs_share and paired is None:
        raise UsageError("pairs_share asks for a paired set; name it with --pairs, or set pairs_share = 0")
    fabric = launch(device, config.precision)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    network, stepper = fabric.setup(_Pass(model), optimizer)
    bank = paired.bank if paired is not None and wants_clouds(model) else None
    simulator: Source = Simulator(
        training, model.window, SimulatorConfig(**config.simulator), device=fabric.device, clouds=bank
    )
    if paired is not None and config.pairs_share:
        simulator = Mixed(simulator, paired.train.to(fabric.device), config.paired_windows)
    feed = Feed(simulator, config.batch, config.seed, fabric.device, fabric.global_rank)
    held_out = validation_batches(validating, model.window, config, bank)
    held_out_pairs = [] if paired is None else paired.val.batches()

    def measure() -> Validation:
        model.eval()
        return validate(model, held_out, config.seed, paired=held_out_pairs, device=fabric.device)

    # Files that a run depends on are told by their content: one that was renamed is the same.
    named = {
        k: weights_hash(Path(v)) if k == "detector_model" and v else v for k, v in config.simulator.items()
    }
    same = replace(config, init="", simulator=named)
    settings = json.dumps([asdict(same), start, fabric.world_size], sort_keys=True)
    run = Run(
        model, optimizer, folder / "checkpoint.pt",
        decay=config.ema, settings=settings, motion=_digest([*training, *validating], paired),
    )  # fmt: skip
    run.resume()
    fabric.barrier()  # nobody writes while another still reads
    writes = fabric.is_global_zero
    log = RunLog(folder, run.step) if writes else None
    before_s, waited_before_s = run.spent_s, run.waited_s
    first, began = run.step, time.monotonic()
    saved = began
    while run.step < config.steps:
        windows, generator = feed.take(run.step)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate_factor(run.step, config)
        network.train()
        loss = network(partial(_loss, windows, generator, config.final_share))
        stepper.zero_grad(set_to_none=True)
        fabric.backward(loss)
        fabric.clip_gradients(network, stepper, max_norm=config.clip_norm, error_if_nonfinite=False)
        stepper.step()
        run.step += 1
        run.average()
        if run.step < config.steps:
            feed.prepare(run.step)
        if not math.isfinite(value := float(loss.detach())):  # here Python waits for a GPU
            raise PosecliError(
                f"the loss is {value} at step {run.step - 1}; use a lower learning_rate"
                if run.step > 1
                else f"the loss is {value} before anything was learned: something in the corpus, the paired set, the "
                "simulator's settings or the weights to begin with makes no sense"
            )

        validation = None
        if run.step % config.validate_every == 0 or run.step == config.steps:
            with run.averaged():
                validation = measure()
            run.keep_if_best(validation)
        now = time.monotonic()
        run.spent_s, run.waited_s = before_s + now - began, waited_before_s + feed.waited()
        waiting = run.waited_s / max(run.spent_s, 1e-9)
        if log is not None:
            log.step(run.step, value, optimizer.param_groups[0]["lr"], waiting)
            if validation is not None:
                log.validation(run.step, value, waiting, validation)
        if writes and (validation is not None or now - saved > config.checkpoint_every_s):
            run.save()
            saved = time.monotonic()
        if progress is not None:
            rate = (run.step - first) / max(now - began, 1e-9)
            progress(Progress(run.step, config.steps, value, rate, waiting, validation))
    if log is not None:
        log.close()
    run.load_best()
    outcome = Outcome(measure(), run.waited_s / max(run.spent_s, 1e-9), fabric.device.type, fabric.world_size)
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()
    return outcome


class _Pass(nn.Module):
    """One training pass as a plain module, whose call Fabric can wrap in autocast and the exchange of gradients.

    It is handed a function and not the windows: Fabric rounds every tensor that it sees to bfloat16, and joints
    by up to 2 mm with it.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss_of: Callable[[Any], Tensor]) -> Tensor:
        return loss_of(self.model)


def _loss(windows: Windows, generator: torch.Generator, final_share: float, model: Trainable) -> Tensor:
    more: dict[str, Any] = {"clouds": windows.clouds} if wants_clouds(model) else {}
    return model.loss(
        windows.x2d, windows.pose, generator=generator, final_share=final_share, **more
    ).objective()


def _digest(clips: Sequence[MotionClip], paired: PairedSet | None) -> str:
    """Tells corpora apart, and paired sets."""
    rows: list[Any] = [
        (c.subject, float(c.fps), float(c.weight), hashlib.sha256(c.points.tobytes()).hexdigest())
        for c in clips
    ]
    if paired is not None:
        rows += [
            [hashlib.sha256(part.numpy().tobytes()).hexdigest() for part in (side.x2d, side.pose)]
            for side in (paired.train, paired.val)
        ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
