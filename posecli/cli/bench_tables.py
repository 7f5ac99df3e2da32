"""`posecli bench h36m`, `3dhp`, `humaneva` and `compare`: the papers' tables, published beside measured."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posecli.cli import options as o
from posecli.cli.bench_common import Plot, Result, as_json, check, made_by, read_json, show, write_json
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written
from posecli.errors import InputError, UsageError

if TYPE_CHECKING:
    from posecli.bench.report import Table
    from posecli.bench.result import BenchResult

_NOTES = f"""Released weights: posecli weights convert. The data: posecli data check %s DIR. Several hypotheses or \
steps, as in -H 1,5,20 -W 1,10, are measured one after the other; --plot then draws errors against both.

Protocol official is each release's own; it takes things from the truth, and says so. Protocol clean counts every \
frame once, averages hypotheses (P-Agg) and takes nothing from the truth.

{ANYWHERE}"""

H36M_EPILOG = f"""[bold]Examples[/bold]

  posecli bench h36m --method ddhpose

  posecli bench h36m --data h36m --weights ddhpose-h36m.safetensors -H 20 -W 10 --out run.json

  posecli bench h36m --data h36m --weights mixste.safetensors --keypoints gt --protocol clean --format latex

The first prints what the papers say; the others put a measured row beside it. Official: frames in overlapping \
windows count twice, the root is treated as each code does, hypotheses are chosen with the true root and camera where \
the paper's numbers are (J-Agg).

{_NOTES % "h36m"}"""

MPI3DHP_EPILOG = f"""[bold]Examples[/bold]

  posecli bench 3dhp

  posecli bench 3dhp --data 3dhp --weights ddhpose-3dhp.safetensors --out run.json

PCK below 150 mm and AUC count 14 joints, MPJPE 17, all in valid frames; the mean is of the six sequences. Official: \
of a frame in two windows the last one's pose counts, hypotheses are chosen with the true root and camera (J-Agg).

{_NOTES % "3dhp"}"""

HUMANEVA_EPILOG = f"""[bold]Examples[/bold]

  posecli bench humaneva

  posecli bench humaneva --data humaneva --weights diffupose-humaneva.safetensors -H 10 -W 100

P-MPJPE by action and person, as DiffuPose prints it. No release has a HumanEva evaluation that runs: official means \
the windows and roots of its Human3.6M evaluation.

{_NOTES % "humaneva"}"""

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Folder of the data set's archives; without it, published only."
    ),
]
Method = Annotated[
    str | None,
    typer.Option("--method", "-m", metavar="NAME", help="Lifter; that of the weights, or all published."),
]
Weights = Annotated[
    Path | None, typer.Option("--weights", "-w", metavar="FILE", help="Converted weights to measure.")
]
Protocol = Annotated[str, typer.Option("--protocol", metavar="NAME", help="official or clean, see below.")]
Hypotheses = Annotated[
    str,
    typer.Option("--hypotheses", "-H", metavar="N,N…", help="Poses sampled per frame; or several numbers."),
]
Steps = Annotated[
    str | None,
    typer.Option(
        "--steps", "-W", metavar="N,N…", help="Denoising steps; the method's own, or several numbers."
    ),
]
Format = Annotated[
    str,
    typer.Option("--format", metavar="KIND", help="What to print: rich, markdown, latex, csv or json."),
]


def h36m(
    context: typer.Context,
    data: Data = None,
    method: Method = None,
    weights: Weights = None,
    keypoints: Annotated[
        str | None,
        typer.Option(
            "--keypoints", metavar="KIND", help="cpn, gt, or what follows data_2d_h36m_ in a file name."
        ),
    ] = None,
    protocol: Protocol = "official",
    hypotheses: Hypotheses = "1",
    steps: Steps = None,
    seed: o.Seed = 0,
    format: Format = "rich",
    out: Result = None,
    plot: Plot = None,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
) -> None:
    """Human3.6M as the papers report it: by action, P1 (MPJPE) and P2 (P-MPJPE), published beside measured."""
    _bench(
        context.obj, "h36m", data, method, weights, keypoints, None, protocol, hypotheses, steps, seed, format, out,
        plot, device, overwrite,
    )  # fmt: skip


def mpi3dhp(
    context: typer.Context,
    data: Data = None,
    method: Method = None,
    weights: Weights = None,
    truth: Annotated[
        str, typer.Option("--truth", metavar="KIND", help="annot3, or univ_annot3: everybody of one size.")
    ] = "annot3",
    protocol: Protocol = "official",
    hypotheses: Hypotheses = "1",
    steps: Steps = None,
    seed: o.Seed = 0,
    format: Format = "rich",
    out: Result = None,
    plot: Plot = None,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
) -> None:
    """MPI-INF-3DHP as the papers report it: PCK, AUC and MPJPE on true keypoints, published beside measured."""
    _bench(
        context.obj, "3dhp", data, method, weights, None, truth, protocol, hypotheses, steps, seed, format, out,
        plot, device, overwrite,
    )  # fmt: skip


def humaneva(
    context: typer.Context,
    data: Data = None,
    method: Method = None,
    weights: Weights = None,
    keypoints: Annotated[
        str | None,
        typer.Option("--keypoints", metavar="KIND", help="gt, or what follows data_2d_humaneva15_."),
    ] = None,
    protocol: Protocol = "official",
    hypotheses: Hypotheses = "1",
    steps: Steps = None,
    seed: o.Seed = 0,
    format: Format = "rich",
    out: Result = None,
    plot: Plot = None,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
) -> None:
    """HumanEva-I as DiffuPose reports it: P-MPJPE by action and person, published beside measured."""
    _bench(
        context.obj, "humaneva", data, method, weights, keypoints, None, protocol, hypotheses, steps, seed, format,
        out, plot, device, overwrite,
    )  # fmt: skip


def _bench(
    say: Output, bench: str, data: Path | None, method: str | None, weights: Path | None, keypoints: str | None,
    truth: str | None, protocol: str, hypotheses: str, steps: str | None, seed: int, format: str, out: Path | None,
    plot: Path | None, device: str, overwrite: bool,
) -> None:  # fmt: skip
    from posecli.bench import tables
    from posecli.bench.layouts import layout_of
    from posecli.bench.protocols import check_protocol

    tables.check_format(format)
    check_protocol(protocol)
    if data is None:
        for name, value in (("--weights", weights), ("--out", out), ("--plot", plot)):
            if value is not None:
                raise UsageError(
                    f"{name} is for a measurement, which needs {layout_of(bench).title}; name its folder with --data"
                )
        _published(say, bench, method, keypoints, format)
        return
    if weights is None:
        raise UsageError(
            "--data needs --weights FILE: released weights, made readable by posecli weights convert"
        )
    from posecli.bench.plots import check_ending
    from posecli.bench.run import run_bench
    from posecli.lifting import LiftConfig
    from posecli.weights.format import read_header

    check(format, tables.FORMATS, out, plot, overwrite)
    if plot is not None:
        check_ending(plot)
    pairs = itertools.product(_numbers("--steps", steps), _numbers("--hypotheses", hypotheses))
    results = run_bench(
        bench, data, weights=weights, method=method or read_header(weights)["method"], keypoints=keypoints,
        truth=truth, protocol=protocol, device=device, reporter=say,
        configs=[LiftConfig(hypotheses=h or 1, steps=w, seed=seed) for w, h in pairs],
    )  # fmt: skip
    first = results[0]
    content: dict[str, Any] = first.to_dict() if len(results) == 1 else _together(results)
    _print_table(say, format, results, content)
    if out is not None:
        write_json(out, content)
    if plot is not None:
        from posecli.bench.table_plots import plot_result, plot_sweep

        if len(results) == 1:
            plot_result(first, plot)
        else:
            plot_sweep(results, plot)
    if format == "rich":
        if len(results) == 1:
            for_all = tables.aggregation_table(first)
            say.say()
            say.table(*for_all.headings, rows=for_all.rows)
        for line in tables.remarks(first):
            say.fact("note", line)
        seconds = {stage: sum(r.seconds[stage] for r in results) for stage in ("lift", "score")}
        used = {
            key: ", ".join(dict.fromkeys(str(r.settings[key]) for r in results))
            for key in ("hypotheses", "steps")
        }
        told = first.to_dict()
        told["settings"] = {**first.settings, **used}
        made_by(say, told, {"load": first.seconds["load"], **seconds})
        written(say, [path for path in (out, plot) if path is not None])


def _together(results: list[BenchResult]) -> dict[str, Any]:
    return {"bench": results[0].bench, "runs": [result.to_dict() for result in results]}


def _print_table(say: Output, format: str, results: list[BenchResult], content: dict[str, Any]) -> None:
    from posecli.bench import tables

    table: Table = tables.result_table(results[0]) if len(results) == 1 else tables.sweep_table(results)
    if format == "json":
        say.say(as_json(content))
    elif format == "latex":
        say.say(tables.latex(table))
    else:
        narrow = format == "rich" and len(results) == 1
        show(say, format, tables.upright(table) if narrow else table, content)


def _numbers(option: str, text: str | None) -> list[int | None]:
    """ "1,5,20" → those; [None] where nothing was said."""
    if text is None:
        return [None]
    try:
        found = sorted({int(word) for word in text.split(",")})
    except ValueError:
        found = [0]
    if not found or found[0] < 1 or len(found) > 20:
        raise UsageError(f"{option} takes a number, or up to 20 of them with commas between, not {text!r}")
    return list(found)


def _published(say: Output, bench: str, method: str | None, keypoints: str | None, format: str) -> None:
    """The papers' rows, and what it would take to measure beside them."""
    from posecli.bench import published, tables
    from posecli.bench.layouts import layout_of

    rows = published.chosen(bench, method, keypoints)
    if not rows:
        known = sorted({row.method for row in published.published(bench)})
        kinds = sorted({row.keypoints for row in published.published(bench)})
        raise UsageError(f"nothing is published of that; methods: {', '.join(known)}; 2D: {', '.join(kinds)}")
    table = tables.published_table(bench, rows)
    if format == "json":
        say.say(as_json({"bench": bench, "published": [row.to_dict() for row in rows]}))
    elif format == "latex":
        say.say(tables.latex(table))
    else:
        show(say, format, table, {})
    if format == "rich":
        for line in published.sources(bench, rows):
            say.fact("source", line)
        units = "PCK and AUC in %, MPJPE in mm" if bench == "3dhp" else "mm; 2D hr: HRNet, 16 joints"
        say.fact("note", f"all as published, nothing here was measured; {units}")
        title = layout_of(bench).title
        say.fact(
            "measure", f"--data DIR with {title}'s archives (posecli data check {bench} DIR says what to get)"
        )


COMPARE_EPILOG = "[bold]Example[/bold]\n\n  posecli bench compare official.json clean.json"


def compare(
    context: typer.Context,
    first: Annotated[
        Path, typer.Argument(metavar="A", help="Result file of posecli bench h36m, 3dhp or humaneva --out.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one, of the same data set.")],
    format: Annotated[
        str, typer.Option("--format", metavar="KIND", help="What to print: rich, markdown, latex or csv.")
    ] = "rich",
) -> None:
    """Put two results of bench h36m, 3dhp or humaneva side by side, and say where their making differs."""
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
