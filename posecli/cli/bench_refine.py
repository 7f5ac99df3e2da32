"""`posecli bench refine`: refiners and filters beside what was lifted."""

from __future__ import annotations

from typing import Annotated

import typer

from posecli.cli import options as o
from posecli.cli.bench_common import Format, Keep, Pairs, Result, Video, check, show, write_json
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written
from posecli.errors import UsageError

EPILOG = f"""[bold]Examples[/bold]

  posecli bench refine

  posecli bench refine --lifter ddhpose --refiner runs/refiner/d3prefiner-ddhpose.safetensors --format markdown

  posecli bench refine --video clips --keep detections --out refined.json

The last runs on every folder below clips that holds a video and its truth, ref.npz, over the 12 limb joints.

{ANYWHERE}"""


def refine(
    context: typer.Context,
    lifter: Annotated[
        str,
        typer.Option(
            "--lifter",
            "-l",
            metavar="NAMES",
            help="Lifters whose answers are refined, or weights files, with commas; all that ship if not given.",
        ),
    ] = "",
    refiner: Annotated[
        str | None,
        typer.Option(
            "--refiner",
            "-r",
            metavar="FILES",
            help="Weights of d3prefiner to try beside the filters, with commas, or none; all that ship if not given.",
        ),
    ] = None,
    video: Video = None,
    pairs: Pairs = None,
    keep: Keep = None,
    format: Format = "rich",
    out: Result = None,
    device: o.Device = "auto",
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Score what refining makes of lifted motion of people that neither lifter nor refiner ever saw.

    Every row is compared with what posecli lift answers with its defaults; one row is that without its low-pass. The \
filters know nothing: a network that does not beat them is not worth its weights.
    """
    from posecli.bench import report_refined
    from posecli.bench.refined import run_refine
    from posecli.bench.report import FORMATS

    say: Output = context.obj
    check(format, FORMATS, out, None, overwrite)
    if video is not None and pairs is not None:
        raise UsageError("--video and --pairs are two different things to measure on; give one of them")
    if keep is not None and video is None:
        raise UsageError("--keep is for the detections of --video DIR")
    networks = None if refiner is None else [] if refiner == "none" else _names(refiner)
    result = run_refine(
        _names(lifter), networks,
        video=video, pairs=pairs, keep=keep, device=device, offline=offline, reporter=say,
    )  # fmt: skip
    content = result.to_dict()
    show(say, format, report_refined.table(result), content)
    if out is not None:
        write_json(out, content)
    if format == "rich":
        say.fact("data", f"{result.benchmark['name']}, {result.benchmark['clips']} clips")
        written(say, [] if out is None else [out])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
