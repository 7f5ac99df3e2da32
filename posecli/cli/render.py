"""`posecli render`: a motion file as something to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written

EPILOG = f"""[bold]Examples[/bold]

  posecli render posecli_out/video.npz

  posecli render video.refined.npz --video video.mp4 --out refined.mp4

  posecli render video.refined.npz --out refined.gif

{ANYWHERE}"""


def render(
    context: typer.Context,
    motion: Annotated[
        Path,
        typer.Argument(metavar="FILE.npz", help="What posecli lift or refine wrote.", show_default=False),
    ],
    video: Annotated[
        Path | None,
        typer.Option(
            "--video",
            metavar="VIDEO",
            help="Its source; found by itself where it lies near, else a dark ground stands in for it.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="An .mp4 or a .gif; <stem>.mp4 beside the file if not given."
        ),
    ] = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Draw a motion file: the 2D joints over the source's picture, beside the 3D skeleton on a floor."""
    from posecli.export.render import render_file

    say: Output = context.obj
    made = render_file(motion, out=out, video=video, overwrite=overwrite, reporter=say)
    say.fact("pictures", f"{made.pictures}, {'without the source' if made.source is None else made.source}")
    written(say, [made.file])
