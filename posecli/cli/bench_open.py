"""`posecli bench open`: a lifter on the benchmark that ships with posecli, or the pipeline on real clips."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli import options as o
from posecli.cli.bench_common import (
    Format,
    Keep,
    Pairs,
    Plot,
    Result,
    Video,
    check,
    made_by,
    show,
    write_json,
)
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written
from posecli.errors import InputError, UsageError

if TYPE_CHECKING:
    from posecli.bench.scores import Coverage

EPILOG = f"""[bold]Examples[/bold]

  posecli bench open

  posecli bench open --hypotheses 5 --steps 5 --out result.json --plot result.png

  posecli bench open --keypoints true --format markdown

  posecli bench open --method all --format markdown

  posecli bench open --video clips --out clips.json

The last runs the whole pipeline on every folder below clips that holds a video and its truth, ref.npz, and puts \
MediaPipe's world landmarks beside it.

{ANYWHERE}"""


def open_(
    context: typer.Context,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME",
            help="Lifter, as posecli methods lists them; that of --weights, or ddhpose, if not given. all: a table of "
            "those whose weights ship.",
        ),
    ] = None,
    weights: o.Weights = None,
    hypotheses: o.Hypotheses = None,
    steps: o.Steps = None,
    aggregate: o.Aggregate = "mean",
    seed: o.Seed = 0,
    keypoints: Annotated[
        str,
        typer.Option(
            "--keypoints", metavar="KIND", help="detected, or true: what a perfect detector would say."
        ),
    ] = "detected",
    video: Video = None,
    pairs: Pairs = None,
    keep: Keep = None,
    format: Format = "rich",
    out: Result = None,
    plot: Plot = None,
    device: o.Device = "auto",
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Score a lifter on motion of people it never saw: fixed cameras, detections and seeds, that ship with posecli.

    Human3.6M's 17 joints relative to the pelvis, by action and by viewpoint; every clip counts the same. Jitter is \
the mean acceleration over that of the truth, bone drift how much bones change their length.
    """
    from posecli.bench import plots, report
    from posecli.bench.clips import run_video
    from posecli.bench.open import run_open
    from posecli.lifting import LiftConfig

    say: Output = context.obj
    check(format, report.FORMATS, out, plot, overwrite)
    if plot is not None:
        plots.check_ending(plot)
    if video is not None and (pairs is not None or keypoints != "detected"):
        raise UsageError("--video detects for itself; leave --keypoints and --pairs away")
    if keep is not None and video is None:
        raise UsageError("--keep is for the detections of --video DIR")
    config = LiftConfig(hypotheses=hypotheses, steps=steps, seed=seed, aggregate=aggregate)
    if method == "all":
        if weights is not None or video is not None or plot is not None:
            raise UsageError(
                "--method all is a table of all shipped lifters; leave --weights, --video and --plot away"
            )
        from posecli.bench import every

        results = every.run_every(
            config=config, keypoints=keypoints, pairs=pairs, device=device, reporter=say,
        )  # fmt: skip
        content = every.to_dict(results)
        show(say, format, report.every_table(results), content)
        if out is not None:
            write_json(out, content)
            if format == "rich":
                written(say, [out])
        return
    draw: Callable[[Path], None]
    coverage: Coverage | None
    if video is not None:
        clips = run_video(
            video, method=method, weights=weights, config=config, device=device, keep=keep, offline=offline,
            reporter=say,
        )  # fmt: skip
        table, content, coverage = report.video_table(clips), clips.to_dict(), clips.coverage
        seconds, draw = clips.seconds, partial(plots.plot_video, clips)
    else:
        result = run_open(
            method=method, weights=weights, config=config, keypoints=keypoints, pairs=pairs, device=device,
            reporter=say,
        )  # fmt: skip
        table, content, coverage = report.open_table(result), result.to_dict(), result.coverage
        seconds, draw = result.seconds, partial(plots.plot_open, result)
    show(say, format, table, content)
    if out is not None:
        write_json(out, content)
    if plot is not None:
        draw(plot)
    if format == "rich":
        say.fact("spread", report.coverage_line(coverage))
        made_by(say, content, seconds)
        written(say, [path for path in (out, plot) if path is not None])
    if video is not None and clips.failed:
        names = ", ".join(clips.failed)
        raise InputError(f"{names} could not be used; the other clips are scored above")
