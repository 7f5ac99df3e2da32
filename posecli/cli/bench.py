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
from posecli.errors import InputError, OutputError, UsageError

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


H36M_EPILOG = f"""[bold]Examples[/bold]

  posecli bench h36m --method ddhpose

  posecli bench h36m --data h36m --weights ddhpose-h36m.safetensors -H 20 -W 10 --out run.json

  posecli bench h36m --data h36m --weights mixste.safetensors --keypoints gt --protocol clean --format latex

The first prints what the papers say; the others put a measured row beside it. Released weights: posecli weights \
convert. The data: posecli data check h36m DIR.

Protocol official is each release's own: frames in overlapping windows count twice, the root is treated as that code \
does, hypotheses are chosen with the true root and camera where the paper's numbers are (J-Agg). Protocol clean \
counts every frame once, averages hypotheses (P-Agg) and takes nothing from the truth.

{ANYWHERE}"""


@app.command("h36m", epilog=H36M_EPILOG)
def h36m(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Folder of Human3.6M's archives; without it, published only."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", metavar="NAME", help="Lifter; that of the weights, or all published."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", metavar="FILE", help="Converted weights to measure.")
    ] = None,
    keypoints: Annotated[
        str | None,
        typer.Option(
            "--keypoints", metavar="KIND", help="cpn, gt, or what follows data_2d_h36m_ in a file name."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="NAME", help="official or clean, see below.")
    ] = "official",
    hypotheses: o.Hypotheses = 1,
    steps: o.Steps = None,
    seed: o.Seed = 0,
    format: Annotated[
        str,
        typer.Option("--format", metavar="KIND", help="What to print: rich, markdown, latex, csv or json."),
    ] = "rich",
    out: Result = None,
    plot: Plot = None,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
) -> None:
    """Human3.6M as the papers report it: by action, P1 (MPJPE) and P2 (P-MPJPE), published beside measured."""
    from posecli.bench import tables
    from posecli.bench.protocols import check_protocol

    say: Output = context.obj
    tables.check_format(format)
    check_protocol(protocol)
    if data is None:
        for name, value in (("--weights", weights), ("--out", out), ("--plot", plot)):
            if value is not None:
                raise UsageError(
                    f"{name} is for a measurement, which needs Human3.6M; name its folder with --data"
                )
        _published(say, method, keypoints, format)
        return
    if weights is None:
        raise UsageError(
            "--data needs --weights FILE: released weights, made readable by posecli weights convert"
        )
    from posecli.bench.h36m import run_h36m
    from posecli.bench.plots import check_ending
    from posecli.lifting import LiftConfig
    from posecli.weights.format import read_header

    _check(format, tables.FORMATS, out, plot, overwrite)
    if plot is not None:
        check_ending(plot)
    result = run_h36m(
        data, weights=weights, method=method or read_header(weights)["method"], keypoints=keypoints or "cpn",
        protocol=protocol, config=LiftConfig(hypotheses=hypotheses, steps=steps, seed=seed), device=device,
        reporter=say,
    )  # fmt: skip
    table, content = tables.result_table(result), result.to_dict()
    if format == "json":
        say.say(_json(content))
    elif format == "latex":
        say.say(tables.latex(table))
    else:
        _print(say, format, tables.upright(table) if format == "rich" else table, content)
    if out is not None:
        _write_json(out, content)
    if plot is not None:
        from posecli.bench.table_plots import plot_h36m

        plot_h36m(result, plot)
    if format == "rich":
        for_all = tables.aggregation_table(result)
        say.say()
        say.table(*for_all.headings, rows=for_all.rows)
        for line in tables.remarks(result):
            say.fact("note", line)
        _made_by(say, content, result.seconds)
        written(say, [path for path in (out, plot) if path is not None])


def _published(say: Output, method: str | None, keypoints: str | None, format: str) -> None:
    """The papers' rows, and what it would take to measure beside them."""
    from posecli.bench import tables

    rows = tables.chosen(method, keypoints)
    if not rows:
        known = sorted({row.method for row in tables.published_h36m()})
        kinds = sorted({row.keypoints for row in tables.published_h36m()})
        raise UsageError(f"nothing is published of that; methods: {', '.join(known)}; 2D: {', '.join(kinds)}")
    table = tables.published_table(rows)
    if format == "json":
        say.say(_json({"bench": "h36m", "published": [row.to_dict() for row in rows]}))
    elif format == "latex":
        say.say(tables.latex(table))
    else:
        _print(say, format, table, {})
    if format == "rich":
        for line in tables.sources(rows):
            say.fact("source", line)
        say.fact("note", "all as published, nothing here was measured; mm; 2D hr: HRNet, 16 joints")
        say.fact(
            "measure", "--data DIR with Human3.6M's archives (posecli data check h36m DIR says what to get)"
        )


@app.command(epilog="[bold]Example[/bold]\n\n  posecli bench compare official.json clean.json")
def compare(
    context: typer.Context,
    first: Annotated[Path, typer.Argument(metavar="A", help="Result file of posecli bench h36m --out.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    format: Annotated[
        str, typer.Option("--format", metavar="KIND", help="What to print: rich, markdown, latex or csv.")
    ] = "rich",
) -> None:
    """Put two results of bench h36m side by side, and say where their making differs."""
    from posecli.bench import tables

    say: Output = context.obj
    _check(format, ("rich", "markdown", "latex", "csv"), None, None, False)
    contents = [_read_json(path) for path in (first, second)]
    try:
        table, apart = tables.compare(contents[0], contents[1])
    except InputError as error:
        raise InputError(f"{first} or {second} cannot be compared: {error}") from None
    if format == "latex":
        say.say(tables.latex(table))
    else:
        _print(say, format, table, {})
    if format == "rich":
        say.fact("a, b", f"{first}, {second}")
        for line in apart:
            say.fact("differs", line)


def _read_json(path: Path) -> dict[str, Any]:
    """A result file; InputError where it is none."""
    try:
        if path.stat().st_size > 1 << 24:
            raise ValueError("it is far too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no result file of posecli bench") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is no result file of posecli bench")
    return content


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
