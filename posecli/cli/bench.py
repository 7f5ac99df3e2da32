"""`posecli bench`: how good weights are, measured the same way everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posecli import defaults
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written
from posecli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from posecli.bench.report import Table
    from posecli.bench.scores import Coverage

app = typer.Typer(
    help="Measure weights: accuracy, jitter, and whether the stated spread is true.", no_args_is_help=True
)

Format = Annotated[
    str, typer.Option("--format", metavar="KIND", help="What to print: rich, markdown, csv or json.")
]
Result = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write everything there, as JSON.")
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .png, .svg or .pdf.")]

OPEN_EPILOG = f"""[bold]Examples[/bold]

  posecli bench open

  posecli bench open --hypotheses 5 --steps 5 --out result.json --plot result.png

  posecli bench open --keypoints true --format markdown

  posecli bench open --video clips --out clips.json

The last runs the whole pipeline on every folder below clips that holds a video and its truth, ref.npz, and puts \
MediaPipe's world landmarks beside it.

{ANYWHERE}"""


@app.callback()
def _group() -> None:
    """Measure weights: accuracy, jitter, and whether the stated spread is true."""


@app.command("open", epilog=OPEN_EPILOG)
def open_(
    context: typer.Context,
    method: o.Method = defaults.METHOD,
    weights: o.Weights = None,
    hypotheses: o.Hypotheses = 1,
    steps: o.Steps = None,
    seed: o.Seed = 0,
    keypoints: Annotated[
        str,
        typer.Option(
            "--keypoints", metavar="KIND", help="detected, or true: what a perfect detector would say."
        ),
    ] = "detected",
    video: Annotated[
        Path | None,
        typer.Option("--video", metavar="DIR", help="Real clips instead, through the whole pipeline."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="FILE", help="A paired set's test subjects instead (posecli data)."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="With --video: keep detections there, to use them again."),
    ] = None,
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
    _check(format, report.FORMATS, out, plot, overwrite)
    if plot is not None:
        plots.check_ending(plot)
    if video is not None and (pairs is not None or keypoints != "detected"):
        raise UsageError("--video detects for itself; leave --keypoints and --pairs away")
    if keep is not None and video is None:
        raise UsageError("--keep is for the detections of --video DIR")
    config = LiftConfig(hypotheses=hypotheses, steps=steps, seed=seed)
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
    _print(say, format, table, content)
    if out is not None:
        _write_json(out, content)
    if plot is not None:
        draw(plot)
    if format == "rich":
        say.fact("spread", report.coverage_line(coverage))
        _made_by(say, content, seconds)
        written(say, [path for path in (out, plot) if path is not None])


def _check(
    format: str, formats: tuple[str, ...], out: Path | None, plot: Path | None, overwrite: bool
) -> None:
    """What should fail before minutes of work."""
    if format not in formats:
        raise UsageError(f"--format must be one of {', '.join(formats)}, not {format!r}")
    for path in (out, plot):
        if path is not None and path.is_dir():
            raise OutputError(f"{path} is a folder; name a file")
        if path is not None and path.exists() and not overwrite:
            raise OutputError(f"{path} exists; use --overwrite, or another name")


def _print(say: Output, format: str, table: Table, content: dict[str, Any]) -> None:
    from posecli.bench.report import two_lines

    if format == "rich":
        say.table(*map(two_lines, table.headings), rows=table.rows)
    elif format == "json":
        say.say(_json(content))
    else:
        say.say(table.markdown() if format == "markdown" else table.csv())


def _made_by(say: Output, content: dict[str, Any], seconds: dict[str, float]) -> None:
    settings = content["settings"]
    say.fact("weights", f"{content['weights']}, SHA-256 {content['weights_sha256'][:16]}…")
    if "benchmark" in content:
        about = content["benchmark"]
        say.fact(
            "data",
            f"{about['name']}, {about['clips']} clips, {about['keypoints']}, SHA-256 {about['sha256'][:16]}…",
        )
    say.fact(
        "lifted", f"hypotheses {settings['hypotheses']}, steps {settings['steps']}, seed {settings['seed']}, "
        f"on {content['device']}"
    )  # fmt: skip
    say.fact("time", ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items()))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    from posecli.files import atomic_write

    with atomic_write(path) as partial:
        partial.write_text(_json(content) + "\n", encoding="utf-8")


def _json(content: dict[str, Any]) -> str:
    """Strict JSON: what is not a number there is none of."""
    return json.dumps(_finite(content), indent=1, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
