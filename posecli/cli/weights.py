"""`posecli weights list|pull|verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from posecli.cli.console import Output
from posecli.errors import InputError, UsageError
from posecli.weights import fetch, store

app = typer.Typer(help="Weights: what ships, what is fetched, whether it is intact.", no_args_is_help=True)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the shipped lifter weights and the detector's networks."""
    rows = [
        (w.name, w.method, f"{w.path.stat().st_size / 2**20:.1f} MiB", str(w.path)) for w in store.shipped()
    ]
    cached = fetch.blazepose_cached()
    where = str(fetch.cache_dir()) if cached else "not fetched (posecli weights pull blazepose)"
    rows.append(("blazepose", "detector", "9.0 MiB", where))
    context.obj.table("name", "method", "size", "where", rows=rows)


@app.command(epilog="[bold]Example[/bold]\n\n  posecli weights pull blazepose")
def pull(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to fetch: blazepose.")] = "blazepose",
) -> None:
    """Fetch the detector's networks now, so that later runs need no network."""
    say: Output = context.obj
    if name != "blazepose":
        raise UsageError(
            f"nothing to fetch by the name {name!r}; one of: blazepose (the lifters' weights ship)"
        )
    with say.stage("fetch blazepose", None, "bytes") as advance:
        fetch.blazepose_files(progress=lambda done, total: advance(done))
    say.say(f"blazepose is in {fetch.cache_dir()}")


@app.command()
def verify(context: typer.Context) -> None:
    """Compare every weights file with its recorded SHA-256; exits non-zero where one differs."""
    say: Output = context.obj
    recorded, bad = store.recorded_hashes(), []
    rows = []
    for weights in store.shipped():
        good = recorded.get(weights.path.name) == store.sha256(weights.path)
        rows.append((weights.name, "intact" if good else "DIFFERS", store.sha256(weights.path)[:16]))
        if not good:
            bad.append(weights.name)
    cached = fetch.blazepose_cached()
    rows.append(("blazepose", "intact" if cached else "not fetched", ""))
    say.table("name", "state", "sha256", rows=rows)
    if bad:
        raise InputError(f"{', '.join(bad)} differ from their recorded hash; reinstall posecli")
