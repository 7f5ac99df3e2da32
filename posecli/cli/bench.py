"""`posecli bench`: how good weights are, measured the same way everywhere."""

from __future__ import annotations

import typer

from posecli.cli import bench_open, bench_refine, bench_speed, bench_tables

app = typer.Typer(
    help="Measure weights: accuracy, jitter, and whether the stated spread is true.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Measure weights: accuracy, jitter, and whether the stated spread is true."""


app.command("open", epilog=bench_open.EPILOG)(bench_open.open_)
app.command("h36m", epilog=bench_tables.H36M_EPILOG)(bench_tables.h36m)
app.command("3dhp", epilog=bench_tables.MPI3DHP_EPILOG)(bench_tables.mpi3dhp)
app.command("humaneva", epilog=bench_tables.HUMANEVA_EPILOG)(bench_tables.humaneva)
app.command("compare", epilog=bench_tables.COMPARE_EPILOG)(bench_tables.compare)
app.command("speed", epilog=bench_speed.EPILOG)(bench_speed.speed)
app.command("refine", epilog=bench_refine.EPILOG)(bench_refine.refine)
