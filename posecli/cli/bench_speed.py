"""`posecli bench speed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli import defaults
from posecli.cli import bench_common as c
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written
from posecli.errors import UsageError

EPILOG = f"""[bold]Examples[/bold]

  posecli bench speed

  posecli bench speed --stage network --method ddhpose --hypotheses 1,5 --steps 1,5 --format markdown

  posecli bench speed --stage network --method mixste,d3dp,ddhpose --window 243 --batch 243 --dtype float32,bfloat16

  posecli bench speed --stage detect,render --video clip.mp4 --out speed.json

Lists are separated by commas; lifters are timed with every combination. Each part has a process of its own, and each \
stage a named baseline in the same run: a plain network of three linear layers (and a MixSTE of the same size), \
BlazePose's landmark network without posecli, a low-pass filter, decoding and encoding alone.

{ANYWHERE}"""


def speed(
    context: typer.Context,
    stage: Annotated[
        str, typer.Option("--stage", metavar="NAMES", help="Of detect, network, lift, refine, render.")
    ] = "detect,network,lift,refine,render",
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAMES",
            help="Lifters, or all; those with shipped weights if not given.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE",
            help="Weights file of the method, or the name of shipped ones; random ones where none ship.",
        ),
    ] = None,
    hypotheses: Annotated[str, typer.Option("--hypotheses", "-H", metavar="NUMBERS")] = "1",
    steps: Annotated[
        str | None, typer.Option("--steps", "-W", metavar="NUMBERS", help="The method's own if not given.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option("--window", "-T", metavar="NUMBERS", help="Frames; that of the weights if not given."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch", metavar="NUMBERS", help="Frames times hypotheses in a call; 256 if not given."
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAMES", help="Of float32, bfloat16, float16 (autocast).")
    ] = "float32",
    detector: o.Detector = defaults.DETECTOR,
    refiner: Annotated[
        str, typer.Option("--refiner", metavar="NAMES", help="Of d3prefiner, savgol, one-euro, lowpass.")
    ] = "d3prefiner",
    video: Annotated[
        Path | None,
        typer.Option("--video", metavar="FILE", help="To detect in and draw on; the demo's if not given."),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=1, help="Of the clips that are worked on.")
    ] = 90,
    warm_up: Annotated[
        int, typer.Option("--warm-up", metavar="N", min=1, help="Calls that do not count.")
    ] = 1,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="Calls that do.")] = 5,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, help="PyTorch's number if not given.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps, of lifters and refiners.")
    ] = "auto",
    format: c.Format = "rich",
    out: c.Result = None,
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Time detector, lifters, refiner and renderer, each by itself and beside a named baseline."""
    from posecli.bench import report
    from posecli.bench.speed import Timing
    from posecli.bench.speed_run import SpeedConfig, remarks, run_speed, speed_table
    from posecli.machine import choose_device
    from posecli.methods import METHODS

    say: Output = context.obj
    c.check(format, report.FORMATS, out, None, overwrite)
    config = SpeedConfig(
        stages=_names(stage), methods=tuple(METHODS) if method == "all" else _names(method or ""), weights=weights,
        hypotheses=_numbers("--hypotheses", hypotheses), steps=_numbers("--steps", steps),
        windows=_numbers("--window", window), batches=_numbers("--batch", batch), dtypes=_names(dtype),
        detector=detector, refiners=_names(refiner), frames=frames, video=video,
        device=choose_device(device).type, threads=threads, offline=offline,
        timing=Timing(warm_up=warm_up, repeats=repeats),
    )  # fmt: skip
    result = run_speed(config, say)
    content = result.to_dict()
    c.show(say, format, speed_table(result), content)
    if out is not None:
        c.write_json(out, content)
    if format == "rich":
        made = result.made_by
        for line in remarks(result.rows):
            say.fact("note", line)
        say.fact(
            "on", f"{made['device']}, {made['processor']}, {made['threads']} of {made['processors']} threads, load "
            f"{made['busy']} when it began; median of {made['repeats']} calls after {made['warm_up']}"
        )  # fmt: skip
        written(say, [] if out is None else [out])


def _names(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _numbers(option: str, value: str | None) -> tuple[int | None, ...]:
    if value is None:
        return (None,)
    try:
        return tuple(int(number) for number in _names(value)) or (None,)
    except ValueError:
        raise UsageError(
            f"{option} takes whole numbers separated by commas, such as 1,5, not {value!r}"
        ) from None
