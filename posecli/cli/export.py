"""`posecli export`: motion files in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written

EPILOG = f"""[bold]Examples[/bold]

  posecli export posecli_out/video.npz --to bvh

  posecli export preds.refined.npz --to bvh,mp4 --video video.mp4 --out results

{ANYWHERE}"""


def export(
    context: typer.Context,
    motion: Annotated[
        Path,
        typer.Argument(metavar="FILE.npz", help="What posecli lift or refine wrote.", show_default=False),
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="KINDS", help="What to write, of: npz, bvh, mp4.")
    ] = "bvh",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder; that of the file if not given.")
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            "--video", metavar="VIDEO", help="To draw on for mp4; found by itself where it lies near."
        ),
    ] = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Write a motion file as BVH or as a video, without detecting or lifting again."""
    from posecli.export.files import export_file

    say: Output = context.obj
    kinds = [kind.strip() for kind in to.split(",") if kind.strip()]
    made = export_file(motion, kinds, out=out, video=video, overwrite=overwrite, reporter=say)
    for kind, note in made.notes.items():
        say.fact(kind, note)
    written(say, made.files)
