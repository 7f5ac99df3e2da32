"""`posecli demo`: the whole of posecli on a clip whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import summarise

EPILOG = f"""[bold]Example[/bold]

  posecli demo --out posecli-demo

{ANYWHERE}"""


def demo(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for video and results.")
    ] = Path("posecli-demo"),
    offline: o.Offline = False,
) -> None:
    """Render a few seconds of a mannequin, lift that video as a user would, and compare with the known truth."""
    from posecli import demo as demonstration

    say: Output = context.obj
    result = demonstration.run(out, offline=offline, reporter=say)
    say.fact("video", f"{result.video}, rendered from CMU motion capture: {result.description}")
    summarise(say, result.outcome)
    say.fact("truth", f"PA-MPJPE {result.pa_mpjpe_mm:.1f} mm over 12 limb joints and {result.frames} frames")
    say.fact("look at", str(out / f"{result.video.stem}.mp4"))
