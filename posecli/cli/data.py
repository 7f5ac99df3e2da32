"""`posecli data build`: corpora for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli.console import Output
from posecli.cli.summary import written
from posecli.errors import UsageError

app = typer.Typer(help="Motion capture corpora for training.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Motion capture corpora for training."""


@app.command(epilog="[bold]Example[/bold]\n\n  posecli data build cmu cmu_raw.tar.xz --out corpus.h5")
def build(
    context: typer.Context,
    corpus: Annotated[str, typer.Argument(help="Which corpus: cmu.")],
    raw: Annotated[Path, typer.Argument(help="Folder or .tar.xz of the ASF/AMC and BVH files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The corpus file to write.")] = Path("corpus.h5"),
) -> None:
    """Read raw motion capture into one HDF5 file: joints and landmarks, cleaned and split by subject."""
    from posecli.corpus.build import build_corpus

    say: Output = context.obj
    if corpus != "cmu":
        raise UsageError(f"unknown corpus {corpus!r}; one of: cmu")
    with say.stage("build", None, "clips") as advance:
        summary = build_corpus(raw, out, progress=lambda done, total: advance(done))
    say.say(f"{summary}")
    written(say, [out])
