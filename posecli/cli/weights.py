"""`posecli weights list|pull|verify|convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli.console import Output
from posecli.cli.summary import written
from posecli.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from posecli.weights.store import ShippedWeights

app = typer.Typer(help="Weights: what ships, what is fetched, whether it is intact.", no_args_is_help=True)


@app.command("list", epilog="[bold]Example[/bold]\n\n  posecli weights list")
def list_(context: typer.Context) -> None:
    """List the shipped lifter weights and the detector's networks."""
    from posecli.weights import fetch, store

    rows = [(w.name, _for(w), f"{w.path.stat().st_size / 1e6:.1f} MB", str(w.path)) for w in store.shipped()]
    cached = fetch.blazepose_cached()
    where = str(fetch.cache_dir()) if cached else "not fetched: posecli weights pull blazepose"
    rows.append(("blazepose", "detector", "9.4 MB", where))
    context.obj.table("name", "for", "size", "where", rows=rows)


def _for(weights: ShippedWeights) -> str:
    """The method, and for a refiner the lifters that it was fitted to."""
    from posecli.methods import METHODS
    from posecli.refine.choose import fitted_to
    from posecli.weights.format import read_header

    if weights.method in METHODS:
        return weights.method
    return f"{weights.method} of {fitted_to(read_header(weights.path)['metadata'])}"


@app.command(epilog="[bold]Example[/bold]\n\n  posecli weights pull blazepose")
def pull(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to fetch: blazepose.")] = "blazepose",
) -> None:
    """Fetch the detector's networks now, so that later runs need no network."""
    from posecli.weights import fetch

    say: Output = context.obj
    if name != "blazepose":
        raise UsageError(
            f"nothing to fetch by the name {name!r}; one of: blazepose (the lifters' weights ship)"
        )
    with say.stage("fetch blazepose", fetch.WHEEL_BYTES // 10**6, "MB") as advance:
        fetch.blazepose_files(progress=lambda done, total: advance(done // 10**6))
    say.say(f"blazepose is in {fetch.cache_dir()}")


@app.command(epilog="[bold]Example[/bold]\n\n  posecli weights verify")
def verify(context: typer.Context) -> None:
    """Compare every weights file with its recorded SHA-256; exits non-zero where one differs or is missing."""
    from posecli.weights import fetch, store

    checked = store.verify()
    rows = [(c.weights.name, c.state, c.sha256) for c in checked]
    rows.append(("blazepose", "intact" if fetch.blazepose_cached() else "not fetched", ""))
    context.obj.table("name", "state", "sha256", rows=rows)
    if bad := [f"{c.weights.name} ({c.state})" for c in checked if c.state != "intact"]:
        raise InputError(
            f"not as recorded in {store.shipped_folder() / 'SHA256SUMS'}: {', '.join(bad)}; reinstall posecli"
        )


CONVERT_EPILOG = """[bold]Examples[/bold]

  posecli weights convert best_epoch.bin --dataset h36m --out ddhpose-h36m.safetensors

  posecli weights convert model.pth --dataset h36m --frames 81

  posecli weights convert diffpose_uvxyz_cpn.pth --first gcn_xyz_cpn.pth

Then: posecli bench h36m, or 3dhp, or humaneva, with --data DIR --weights FILE.

The method is told by the names of the tensors. What is dropped is listed, a noise schedule is compared with ours, and \
the answer to a fixed input is kept in the file. Nothing in the checkpoint is run: what is not a tensor or plain \
data is refused by name."""


@app.command(epilog=CONVERT_EPILOG)
def convert(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Checkpoint that the authors released.")],
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", metavar="NAME", help="Whose it is; otherwise its tensors' names say."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="What it was trained on: h36m, 3dhp or humaneva; no file says it.",
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", help="STCFormer's window, which no file says.")
    ] = None,
    first: Annotated[
        Path | None, typer.Option("--first", metavar="FILE", help="DiffPose's first network.")
    ] = None,
    no_flip: Annotated[
        bool, typer.Option("--no-flip", help="Modulated GCN for true 2D, released without the mirrored pass.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The .safetensors file to write.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Turn a released checkpoint into a weights file of posecli, for posecli bench h36m, 3dhp and humaneva."""
    from posecli.weights.fingerprint import method_of
    from posecli.weights.official import Request, convert_official, write_converted

    say: Output = context.obj
    told, method = method is None, method or method_of(file)
    request = Request(method, dataset, frames, first, no_flip)
    out = out or Path(f"{method}-{file.stem}.safetensors")
    if out.suffix != ".safetensors":
        raise UsageError(f"weights are .safetensors files, not {out.name!r}")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists; use --overwrite, or another name with --out")
    made = convert_official(file, request)
    write_converted(made, out)
    how = " (by its tensors' names)" if told else ""
    say.fact("method", f"{made.method}{how}, trained on {made.metadata['dataset']}")
    for source in made.metadata["sources"]:
        say.fact("source", f"{source['file']}, SHA-256 {source['sha256']}")
    say.fact("dropped", ", ".join(made.dropped) or "nothing")
    say.fact(
        "check", f"written, read again, same answer; SHA-256 of it {made.metadata['self_check']['sha256']}"
    )
    written(say, [out])
