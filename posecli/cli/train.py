"""`posecli train`: make weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written
from posecli.errors import UsageError

if TYPE_CHECKING:
    from posecli.train.loop import Progress

EPILOG = f"""[bold]Example[/bold]

  posecli data build cmu cmu_raw.tar.xz --out corpus.h5

  posecli train ddhpose --data corpus.h5 --out runs/first

  posecli train ddhpose --data corpus.h5 --pairs pairs.h5 --config mine.toml --device cuda

  posecli train d3prefiner --base mixste --data corpus.h5 --out runs/refiner

On several GPUs:  torchrun --nproc-per-node 4 -m posecli train ddhpose --data corpus.h5 --device cuda

Settings of the recipe, for a CPU and for a GPU: scripts/*.toml of posecli's source. Those of shipped weights stand \
in their cards.

Needs the extra:  pip install 'posecli\\[train]'. Curves:  tensorboard --logdir runs/first/tensorboard

A run that was stopped goes on from its last checkpoint when the same line is given again.

{ANYWHERE}"""


def train(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="Lifter to train (posecli methods), or d3prefiner.")],
    data: Annotated[Path, typer.Option("--data", help="Corpus (posecli data build).")],
    config: Annotated[Path | None, typer.Option("--config", help="Settings, TOML.")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", help="Paired set to validate on, and with pairs_share to train on."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="Of d3prefiner: the lifter whose answers it refines, or its weights file; several with commas "
            "between them, for a refiner of any lifter's.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")] = Path("runs/latest"),
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a lifter on corpus motion seen through virtual cameras; ends with weights and their card in --out."""
    from posecli.train import TrainConfig, make_weights
    from posecli.train.devices import main_process

    # It would announce its precision; importing it sets the level of its topmost logger anew.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    say: Output = context.obj
    if not main_process():  # torchrun starts several; one is enough to hear
        say.quiet = True
    if method == "d3prefiner" or base is not None:
        if method != "d3prefiner" or base is None:
            raise UsageError("--base LIFTER goes with d3prefiner and with nothing else")
        _train_refiner(say, base, data, config, out, pairs, device)
        return
    settings = TrainConfig() if config is None else TrainConfig.from_toml(config)
    with say.stage("train", settings.steps, "steps") as advance:

        def follow(progress: Progress) -> None:
            advance(progress.step)
            if progress.validation is not None:
                figures = ", ".join(f"{k} {v:g}" for k, v in progress.validation.as_dict().items())
                say.note(
                    f"step {progress.step}: loss {progress.loss:.4f}, {figures}, "
                    f"waiting for data {progress.waiting:.1%}"
                )

        files = make_weights(method, data, settings, out, pairs=pairs, device=device, progress=follow)
    if main_process():
        written(say, files)


def _train_refiner(
    say: Output, base: str, data: Path, config: Path | None, out: Path, pairs: Path | None, device: str
) -> None:
    from posecli.refine.make import make_refiner
    from posecli.refine.settings import RefinerTraining

    settings = RefinerTraining() if config is None else RefinerTraining.from_toml(config)
    bases = list(dict.fromkeys(name.strip() for name in base.split(",") if name.strip()))
    if not bases:
        raise UsageError("--base names no lifter")
    written(say, make_refiner(bases, data, settings, out, pairs=pairs, device=device, reporter=say))
