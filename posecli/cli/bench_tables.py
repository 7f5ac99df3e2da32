"""`posecli bench h36m` and `compare`: the papers' tables, published beside measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o
from posecli.cli.bench_common import Plot, Result, as_json, check, made_by, read_json, show, write_json
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written
from posecli.errors import InputError, UsageError

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

    check(format, tables.FORMATS, out, plot, overwrite)
    if plot is not None:
        check_ending(plot)
    result = run_h36m(
        data, weights=weights, method=method or read_header(weights)["method"], keypoints=keypoints or "cpn",
        protocol=protocol, config=LiftConfig(hypotheses=hypotheses, steps=steps, seed=seed), device=device,
        reporter=say,
    )  # fmt: skip
    table, content = tables.result_table(result), result.to_dict()
    if format == "json":
        say.say(as_json(content))
    elif format == "latex":
        say.say(tables.latex(table))
    else:
        show(say, format, tables.upright(table) if format == "rich" else table, content)
    if out is not None:
        write_json(out, content)
    if plot is not None:
        from posecli.bench.table_plots import plot_h36m

        plot_h36m(result, plot)
    if format == "rich":
        for_all = tables.aggregation_table(result)
        say.say()
        say.table(*for_all.headings, rows=for_all.rows)
        for line in tables.remarks(result):
            say.fact("note", line)
        made_by(say, content, result.seconds)
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
        say.say(as_json({"bench": "h36m", "published": [row.to_dict() for row in rows]}))
    elif format == "latex":
        say.say(tables.latex(table))
    else:
        show(say, format, table, {})
    if format == "rich":
        for line in tables.sources(rows):
            say.fact("source", line)
        say.fact("note", "all as published, nothing here was measured; mm; 2D hr: HRNet, 16 joints")
        say.fact(
            "measure", "--data DIR with Human3.6M's archives (posecli data check h36m DIR says what to get)"
        )


COMPARE_EPILOG = "[bold]Example[/bold]\n\n  posecli bench compare official.json clean.json"


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
    check(format, ("rich", "markdown", "latex", "csv"), None, None, False)
    contents = [read_json(path) for path in (first, second)]
    try:
        table, apart = tables.compare(contents[0], contents[1])
    except InputError as error:
        raise InputError(f"{first} or {second} cannot be compared: {error}") from None
    if format == "latex":
        say.say(tables.latex(table))
    else:
        show(say, format, table, {})
    if format == "rich":
        say.fact("a, b", f"{first}, {second}")
        for line in apart:
            say.fact("differs", line)
